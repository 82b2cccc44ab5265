package notice

import (
	"crypto/hmac"
	"crypto/sha256"
	"strconv"
	"time"

	"postern/internal/mail"
)

// memorySize bounds each memory of what was told. Beyond it the oldest entry is forgotten: at worst a notice is repeated.
const memorySize = 20_000

// memory knows keys that were noted lately, and when. The zero value is ready; the caller locks.
type memory struct {
	at    map[string]time.Time
	order []string // in the order of noting, oldest first from next on
	next  int
}

func (m *memory) noted(key string) (time.Time, bool) {
	t, ok := m.at[key]
	return t, ok
}

func (m *memory) note(key string, now time.Time) {
	if m.at == nil {
		m.at = make(map[string]time.Time)
	}
	if _, ok := m.at[key]; ok {
		m.at[key] = now
		return
	}
	m.at[key] = now
	if len(m.order) < memorySize {
		m.order = append(m.order, key)
		return
	}
	delete(m.at, m.order[m.next])
	m.order[m.next] = key
	m.next = (m.next + 1) % memorySize
}

// maxForContact is how many status notifications about senders who are not known to belong to the customer his contact gets
// within one Options.DigestEvery.
const maxForContact = 20

// allowance counts what one customer's contact got since a moment.
type allowance struct {
	since time.Time
	sent  int
}

// mayTellContact takes one from the customer's allowance.
func (n *Notices) mayTellContact(customer string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.stead[customer] // bounded by the number of customers: only those in the ledger come here
	if a == nil || now.Sub(a.since) >= n.o.DigestEvery {
		a = &allowance{since: now}
		n.stead[customer] = a
	}
	a.sent++
	return a.sent <= maxForContact
}

// crockford is the alphabet of queue IDs.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// derive returns the queue ID that a notice of this kind about these recipients of message id has every time it is written.
// The time in it is the message's. Like any other it cannot be guessed: it is made with the secret of the links.
func (n *Notices) derive(id mail.QueueID, kind string, indexes []int) mail.QueueID {
	h := hmac.New(sha256.New, n.o.Links.secret)
	h.Write([]byte("postern notice v1\x00" + string(id) + "\x00" + kind))
	for _, i := range indexes {
		h.Write([]byte("\x00" + strconv.Itoa(i)))
	}
	sum := h.Sum(nil)
	out := []byte(mail.NewQueueID(id.Time()))
	for i := 10; i < len(out); i++ {
		out[i] = crockford[sum[i]&31]
	}
	return mail.QueueID(out)
}
