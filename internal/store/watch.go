package store

import "sync"

// hub carries wake-ups inside this process.
type hub struct {
	mu     sync.Mutex
	topics map[string]map[chan struct{}]struct{}
}

func newHub() *hub { return &hub{topics: map[string]map[chan struct{}]struct{}{}} }

func (h *hub) watch(topic string) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics[topic] == nil {
		h.topics[topic] = map[chan struct{}]struct{}{}
	}
	h.topics[topic][ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.topics[topic], ch)
		if len(h.topics[topic]) == 0 {
			delete(h.topics, topic)
		}
	}
}

func (h *hub) wake(topic string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.topics[topic] {
		signal(ch)
	}
}

// wakeAll is for the moment when wake-ups from elsewhere may have been missed.
func (h *hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, set := range h.topics {
		for ch := range set {
			signal(ch)
		}
	}
}

// signal leaves one wake-up in a channel of capacity one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
