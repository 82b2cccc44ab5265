package spool

import (
	"container/heap"
	"math"
	"slices"
	"time"

	"postern/internal/mail"
)

// key orders the queue: earliest next event first, then arrival.
type key struct {
	at int64 // microseconds
	id mail.QueueID
}

func (a key) less(b key) bool { return a.at < b.at || a.at == b.at && a.id < b.id }

// never is the horizon of a window that knows every queued message.
var never = key{at: math.MaxInt64}

// unread is the horizon of a window that knows nothing yet.
var unread = key{at: math.MinInt64}

// entry is what memory knows of one message.
type entry struct {
	key
	pos       int       // place in the heap, -1 outside
	full      *loaded   // nil: read it from the store before use
	claimed   []bool    // by recipient index; nil when nothing is claimed
	claims    int       // how many of them
	claimedAt time.Time // when the oldest of them was made
	stale     bool      // changed elsewhere while it was locked: full is dropped at unlock
	uncertain bool      // the outcome of a Settle is unknown: a missing row means that it was done
}

// loaded is a message with all its recipients as they stand in the store.
type loaded struct {
	msg  Message
	rcpt []Recipient
	rows bool   // some recipient has a row
	file string // the body's file, "" when it is in the row
	hash []byte
}

// cost is a rough count of the bytes that a loaded message occupies.
func (l *loaded) cost() int {
	return 768 + 256*len(l.rcpt) + len(l.msg.Verdict) + len(l.msg.Subject) + len(l.msg.HeaderFrom) + len(l.msg.MessageID)
}

// window is the part of the queue that memory knows. Its law: every queued message of this node whose key is not beyond
// the horizon is in byID; the store alone knows the rest. Held messages are not in it (except while an attempt made before
// the hold is still under way). Guarded by Spool.mu.
type window struct {
	heap    []*entry // queued, with a recipient that is not claimed; by key
	byID    map[mail.QueueID]*entry
	horizon key
	size    int // entries kept after a trim
	cost    int // of all entries' full
	budget  int // above it, full is not kept for what is not claimed
	claimed int // entries with claims
}

func (w *window) Len() int           { return len(w.heap) }
func (w *window) Less(i, j int) bool { return w.heap[i].less(w.heap[j].key) }
func (w *window) Swap(i, j int) {
	w.heap[i], w.heap[j] = w.heap[j], w.heap[i]
	w.heap[i].pos, w.heap[j].pos = i, j
}
func (w *window) Push(x any) { e := x.(*entry); e.pos = len(w.heap); w.heap = append(w.heap, e) }
func (w *window) Pop() any {
	last := len(w.heap) - 1
	e := w.heap[last]
	w.heap[last] = nil
	w.heap = w.heap[:last]
	e.pos = -1
	return e
}

func (w *window) reset() {
	w.heap, w.byID = nil, map[mail.QueueID]*entry{}
	w.horizon = unread
	w.cost, w.claimed = 0, 0
}

// place puts e where its key says; the entry must be in byID.
func (w *window) place(e *entry, at int64) {
	e.at = at
	if e.pos >= 0 {
		heap.Fix(w, e.pos)
		return
	}
	heap.Push(w, e)
}

// unqueue takes e out of the order, not out of memory.
func (w *window) unqueue(e *entry) {
	if e.pos >= 0 {
		heap.Remove(w, e.pos)
	}
}

// forget takes e out of memory, with its claims.
func (w *window) forget(e *entry) {
	w.unqueue(e)
	w.setFull(e, nil)
	if e.claims > 0 {
		w.claimed--
		e.claims, e.claimed = 0, nil
	}
	delete(w.byID, e.id)
}

func (w *window) setFull(e *entry, l *loaded) {
	if e.full != nil {
		w.cost -= e.full.cost()
	}
	e.full = l
	if l != nil {
		w.cost += l.cost()
	}
}

// add makes the window know a queued message. Without room it stays in the store, beyond the horizon.
func (w *window) add(k key, full *loaded, refilling bool) {
	if w.byID[k.id] != nil || !refilling && w.horizon.less(k) {
		return
	}
	e := &entry{key: k, pos: -1}
	w.byID[k.id] = e
	if full != nil && w.cost < w.budget {
		w.setFull(e, full)
	}
	heap.Push(w, e)
}

// trim forgets the latest entries when there are a quarter too many. locked entries stay.
func (w *window) trim(locked func(mail.QueueID) bool) {
	if len(w.heap) <= w.size+w.size/4 {
		return
	}
	slices.SortFunc(w.heap, func(a, b *entry) int {
		if a.less(b.key) {
			return -1
		}
		return 1
	})
	all := w.heap
	w.heap = all[:w.size:w.size]
	if last := all[w.size-1].key; last.less(w.horizon) {
		w.horizon = last
	}
	for i, e := range all { // a sorted slice is a heap
		e.pos = i
		if i < w.size {
			continue
		}
		e.pos = -1
		if e.claims > 0 || locked(e.id) {
			heap.Push(w, e)
			continue
		}
		w.setFull(e, nil)
		delete(w.byID, e.id)
	}
}

// nextUnclaimed is when the earliest queued recipient that is not claimed is due; ok is false when there is none.
func (e *entry) nextUnclaimed() (at int64, ok bool) {
	at = math.MaxInt64
	for i := range e.full.rcpt {
		r := &e.full.rcpt[i]
		if r.State != Queued || i < len(e.claimed) && e.claimed[i] {
			continue
		}
		if n := micros(r.NextAt); n < at {
			at, ok = n, true
		}
	}
	return at, ok
}

// settle puts e back in order after its recipients or claims changed: in the heap when a recipient waits, out of memory
// when nothing keeps it.
func (w *window) settle(e *entry, now int64) {
	at, waits := now, true
	if e.full != nil {
		at, waits = e.nextUnclaimed()
	}
	switch {
	case waits && (e.claims > 0 || e.full == nil || !w.horizon.less(key{at, e.id})):
		w.place(e, at)
	case e.claims > 0:
		w.unqueue(e)
	default:
		w.forget(e)
	}
}

// claim marks recipient i of e.
func (w *window) claim(e *entry, i int, now time.Time) {
	if e.claimed == nil {
		e.claimed = make([]bool, len(e.full.rcpt))
	}
	if i >= len(e.claimed) || e.claimed[i] {
		return
	}
	e.claimed[i] = true
	if e.claims == 0 {
		w.claimed++
		e.claimedAt = now
	}
	e.claims++
}

// unclaim takes the mark from recipient i of e.
func (w *window) unclaim(e *entry, i int) {
	if i < 0 || i >= len(e.claimed) || !e.claimed[i] {
		return
	}
	e.claimed[i] = false
	e.claims--
	if e.claims == 0 {
		w.claimed--
		e.claimed = nil
	}
}
