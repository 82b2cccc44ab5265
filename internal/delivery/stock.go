package delivery

import (
	"slices"
	"sync"

	"postern/internal/mail"
	"postern/internal/spool"
)

// stock is what delivery has claimed and not yet settled or given back: the books that show that nothing claimed is lost, and where people look when
// they ask about a message.
type stock struct {
	mu       sync.Mutex
	claimed  int // recipients, since the beginning
	settled  int // of which written down or given back
	reported int // of which the outcome is known and not written down
	count    int // jobs in memory
	byID     map[mail.QueueID][]*job
}

func (s *stock) init() { s.byID = map[mail.QueueID][]*job{} }

// jobs counts what is in memory.
func (s *stock) jobs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// add books a claimed job in.
func (s *stock) add(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claimed += len(j.to)
	all := s.byID[j.ID]
	if all == nil {
		all = j.inStock[:0]
	}
	s.byID[j.ID] = append(all, j)
	s.count++
}

// readdress gives a job that no lane has yet its reverse path.
func (s *stock) readdress(j *job, from mail.Address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.from = from
}

// place replaces a job by those that it was divided into, and gives them their lane.
func (s *stock) place(j *job, parts []*job, set func(*job)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parts {
		set(p)
		p.placed = true
	}
	if len(parts) == 1 && parts[0] == j {
		return
	}
	all := slices.DeleteFunc(s.byID[j.ID], func(x *job) bool { return x == j })
	s.byID[j.ID] = append(all, parts...)
	s.count += len(parts) - 1
}

// report books one recipient of a job as known.
func (s *stock) report(j *job, index int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reported++
	s.leaveLocked(j, index)
}

// settle books recipients whose outcome was known as written down.
func (s *stock) settle(recipients int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reported -= recipients
	s.settled += recipients
}

// giveBack books a whole job out.
func (s *stock) giveBack(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range j.to {
		if s.leaveLocked(j, r.Index) {
			s.settled++
		}
	}
}

// leaveLocked takes one recipient out of a job's open ones; the last one takes the job out of memory.
func (s *stock) leaveLocked(j *job, index int) bool {
	for i := range j.open {
		if j.open[i] == index {
			j.open = slices.Delete(j.open, i, i+1)
			if len(j.open) == 0 {
				s.removeLocked(j)
			}
			return true
		}
	}
	return false
}

func (s *stock) removeLocked(j *job) {
	s.count--
	all := s.byID[j.ID]
	if len(all) == 1 && all[0] == j {
		delete(s.byID, j.ID)
		return
	}
	s.byID[j.ID] = slices.DeleteFunc(all, func(x *job) bool { return x == j })
}

// look returns what is in memory of a message: copies of the jobs that hold it.
func (s *stock) look(id mail.QueueID) []job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []job
	for _, j := range s.byID[id] {
		c := *j
		c.open = slices.Clone(j.open)
		out = append(out, c)
	}
	return out
}

// Unaccounted is the number of recipients that were claimed and are neither in memory, nor about to be written down, nor settled or given back.
// It must be 0 at all times.
func (d *Delivery) Unaccounted() int {
	s := &d.stock
	s.mu.Lock()
	defer s.mu.Unlock()
	open := 0
	for _, jobs := range s.byID {
		for _, j := range jobs {
			open += len(j.open)
		}
	}
	return s.claimed - s.settled - s.reported - open
}

// letter is a message in memory, shared by its jobs: read and signed once.
type letter struct {
	spool.Message
	once sync.Once
	data []byte // signature and body, as it leaves
	body []byte // as it was accepted
	err  error
}

// begin notes that a worker has a job.
func (s *stock) begin(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.begun = true
}
