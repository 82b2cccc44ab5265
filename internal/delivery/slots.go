package delivery

import (
	"sync"

	"postern/internal/shaping"
)

// slots bounds the connections of the whole gateway, and shares them: a lane has at most a quarter while others want one. The last quarter is kept for
// lanes that have less than that, so that lanes that answer slowly cannot have all.
type slots struct {
	mu      sync.Mutex
	total   int
	used    int
	held    map[shaping.Key]int
	waiting map[shaping.Key][]chan struct{}
}

func (s *slots) init(total int) {
	s.total, s.held, s.waiting = total, map[shaping.Key]int{}, map[shaping.Key][]chan struct{}{}
}

func (s *slots) share() int { return max(1, s.total/4) }

// fitsLocked says whether a lane may have one more now.
func (s *slots) fitsLocked(k shaping.Key) bool {
	if s.held[k] < s.share() {
		return s.used < s.total
	}
	return s.used < s.total-s.total/4
}

// acquire waits for a slot; false when ending was closed first.
func (s *slots) acquire(k shaping.Key, ending <-chan struct{}) bool {
	s.mu.Lock()
	if s.fitsLocked(k) {
		s.takeLocked(k)
		s.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	s.waiting[k] = append(s.waiting[k], turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return true
	case <-ending:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.waiting[k] {
		if c == turn {
			s.removeLocked(k, i)
			return false
		}
	}
	return true // it was granted at the same moment
}

func (s *slots) takeLocked(k shaping.Key) {
	s.used++
	s.held[k]++
}

func (s *slots) removeLocked(k shaping.Key, i int) {
	rest := append(s.waiting[k][:i:i], s.waiting[k][i+1:]...)
	if s.waiting[k] = rest; len(rest) == 0 {
		delete(s.waiting, k)
	}
}

// release gives a slot back, to the waiting lane that has the fewest.
func (s *slots) release(k shaping.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if s.held[k]--; s.held[k] == 0 {
		delete(s.held, k)
	}
	for {
		var next shaping.Key
		found := false
		for w := range s.waiting {
			if s.fitsLocked(w) && (!found || s.held[w] < s.held[next]) {
				next, found = w, true
			}
		}
		if !found {
			return
		}
		turn := s.waiting[next][0]
		s.removeLocked(next, 0)
		s.takeLocked(next)
		close(turn)
	}
}

// wanted reports whether a lane should give a slot back between two messages: another one waits that has fewer.
func (s *slots) wanted(k shaping.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.waiting {
		if w != k && s.held[w] < s.held[k] && (s.held[k] > s.share() || s.held[w] == 0) {
			return true
		}
	}
	return false
}
