package dns

import (
	"sync"
	"time"
)

// cache holds answers until their TTL ends, at most maxEntries of them and about maxBytes; the least recently used go first.
type cache struct {
	maxEntries, maxBytes int

	mu      sync.Mutex
	entries map[key]*entry
	ring    entry // head of the ring: next is the newest, prev the oldest
	bytes   int
}

type entry struct {
	key        key
	answer     Answer
	until      time.Time
	bytes      int
	next, prev *entry
}

func newCache(maxEntries, maxBytes int) *cache {
	c := &cache{maxEntries: maxEntries, maxBytes: maxBytes, entries: map[key]*entry{}}
	c.ring.next, c.ring.prev = &c.ring, &c.ring
	return c
}

// get is the answer for k with what is left of its TTL.
func (c *cache) get(k key, now time.Time) (Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[k]
	if !ok {
		return Answer{}, false
	}
	left := e.until.Sub(now)
	if left <= 0 {
		c.drop(e)
		return Answer{}, false
	}
	if c.ring.next != e {
		e.unlink()
		e.linkAfter(&c.ring)
	}
	a := e.answer
	a.TTL = left
	return a, true
}

// put keeps a for a.TTL; an answer without TTL is not kept.
func (c *cache) put(k key, a Answer, now time.Time) {
	if a.TTL <= 0 {
		return
	}
	e := &entry{key: k, answer: a, until: now.Add(a.TTL), bytes: size(k, a)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.entries[k]; ok {
		c.drop(old)
	}
	c.entries[k] = e
	e.linkAfter(&c.ring)
	c.bytes += e.bytes
	for len(c.entries) > c.maxEntries || (c.bytes > c.maxBytes && len(c.entries) > 0) {
		c.drop(c.ring.prev)
	}
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

func (c *cache) drop(e *entry) {
	delete(c.entries, e.key)
	c.bytes -= e.bytes
	e.unlink()
}

func (e *entry) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
}

func (e *entry) linkAfter(at *entry) {
	e.prev, e.next = at, at.next
	at.next.prev = e
	at.next = e
}

// size is about the memory of an entry in bytes; the constants are the sizes of the structs with their map slot.
func size(k key, a Answer) int {
	n := 300 + len(k.name)
	for _, r := range a.Records {
		n += 150 + len(r.Name) + len(r.Host) + len(r.Text) + len(r.Data)
	}
	return n
}
