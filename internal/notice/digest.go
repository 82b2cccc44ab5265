package notice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/spool"
)

// Bounds of what waits in memory.
const (
	maxEntries    = 200    // messages listed in one digest; the rest is counted
	maxAddressees = 100    // windows open for one customer at a time; beyond it his contact's digest takes all
	maxWindows    = 20_000 // windows open at a time; beyond it nobody new gets single notices
)

// retryDigest is how long a digest that could not be queued waits.
const retryDigest = time.Minute

// shutdownTime bounds the last digests.
const shutdownTime = 20 * time.Second

// windowKey names whom a window counts for.
type windowKey struct {
	customer string
	to       mail.Address
}

// window counts the notices to one addressee from its first one on, and gathers those above Options.DigestAfter.
type window struct {
	due     time.Time // when it ends
	lang    string
	instead bool // the addressee is the contact, not the sender
	sent    int  // single notices
	count   int  // gathered, listed or not
	entries []entry
	first   time.Time // end of the hold that ends first
}

// entry is one line of a digest.
type entry struct {
	id    mail.QueueID
	sent  string // subject
	to    string
	score float64
}

// digests are the open windows. The caller locks.
type digests struct {
	windows map[windowKey]*window
	open    map[string]int // windows by customer
	closed  bool           // Run has ended: nobody would send what is gathered
}

func newDigests() digests {
	return digests{windows: make(map[windowKey]*window), open: make(map[string]int)}
}

// hold is one held message and who is to be told of it.
type hold struct {
	c       account.Customer
	to      mail.Address
	instead bool // to is the contact
	lang    string
	m       *spool.Message
	now     time.Time
	late    bool // its single notice could not be queued: into the digest
}

// gather notes a held message, and reports whether it goes into a digest. False: the notice is to be sent at once.
func (n *Notices) gather(h hold) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := &n.digests
	k := windowKey{h.c.ID, h.to}
	w := d.windows[k]
	if w != nil && w.count == 0 && !h.now.Before(w.due) {
		d.drop(k)
		w = nil
	}
	alone := !h.late
	if w == nil && d.crowded(h.c.ID, h.now) {
		// Holds under ever new sender names, as from a misused form: one mailbox gets them all, if there is one.
		if h.c.Contact.IsNull() {
			n.o.Logger.Warn("too many senders with held mail at a time: no notice about this message", "queue_id", h.m.ID, "account", h.c.ID)
			return true
		}
		k.to, h.instead, alone = h.c.Contact, true, false
		w = d.windows[k]
	}
	if d.closed {
		return false
	}
	if w == nil {
		w = &window{due: h.now.Add(n.o.DigestEvery), lang: h.lang, instead: h.instead}
		d.windows[k] = w
		d.open[h.c.ID]++
		n.wakeRun()
	}
	if alone && w.sent < n.o.DigestAfter {
		w.sent++
		return false
	}
	w.count++
	if !h.m.HoldUntil.IsZero() && (w.first.IsZero() || h.m.HoldUntil.Before(w.first)) {
		w.first = h.m.HoldUntil
	}
	if len(w.entries) < maxEntries {
		w.entries = append(w.entries, entry{id: h.m.ID, sent: tidy(h.m.Subject, 80), to: n.recipientSummary(h.lang, h.m.Envelope.Recipients), score: h.m.Score})
	}
	return true
}

// crowded reports whether no further window may open for a customer.
func (d *digests) crowded(customer string, now time.Time) bool {
	full := func() bool { return d.open[customer] >= maxAddressees || len(d.windows) >= maxWindows }
	if full() {
		d.sweep(now)
	}
	return full()
}

// drop forgets a window.
func (d *digests) drop(k windowKey) {
	delete(d.windows, k)
	if d.open[k.customer]--; d.open[k.customer] <= 0 {
		delete(d.open, k.customer)
	}
}

// sweep forgets windows that are over and gathered nothing.
func (d *digests) sweep(now time.Time) {
	for k, w := range d.windows {
		if w.count == 0 && !now.Before(w.due) {
			d.drop(k)
		}
	}
}

func (n *Notices) wakeRun() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run sends the digests that are due until ctx ends, then all that were gathered. Call it once.
func (n *Notices) Run(ctx context.Context) error {
	for {
		now := n.o.Now()
		n.flush(ctx, now, false)
		timer := time.NewTimer(n.untilNext(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			n.mu.Lock()
			n.digests.closed = true
			n.mu.Unlock()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
			defer cancel()
			n.flush(last, n.o.Now(), true)
			return nil
		case <-n.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// untilNext is the time until a window ends.
func (n *Notices) untilNext(now time.Time) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.o.DigestEvery
	for _, w := range n.digests.windows {
		next = min(next, w.due.Sub(now))
	}
	next = min(next, n.late.untilNext(now))
	return max(next, time.Second)
}

// flush sends the digests whose window is over, or all. What could not be queued is tried again a minute later; at the end
// it is lost, and said so.
func (n *Notices) flush(ctx context.Context, now time.Time, all bool) {
	n.flushLate(ctx, now, all)
	type due struct {
		k windowKey
		w *window
	}
	var ready []due
	n.mu.Lock()
	n.digests.sweep(now)
	for k, w := range n.digests.windows {
		if w.count > 0 && (all || !now.Before(w.due)) {
			ready = append(ready, due{k, w})
			n.digests.drop(k)
		}
	}
	n.mu.Unlock()
	for _, x := range ready {
		err := n.sendDigest(ctx, x.k, x.w, now)
		switch {
		case err == nil:
		case all:
			n.o.Logger.Error("a digest of held mail is lost: the messages stay held", "account", x.k.customer, "messages", x.w.count, "error", err)
		default:
			if !errors.Is(err, context.Canceled) {
				n.o.Logger.Error("a digest of held mail could not be queued; it is tried again", "account", x.k.customer, "messages", x.w.count, "error", err)
			}
			n.putBack(x.k, x.w, now)
		}
	}
}

// putBack keeps a digest for another try, together with what came in meanwhile.
func (n *Notices) putBack(k windowKey, w *window, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.due = now.Add(retryDigest)
	if later := n.digests.windows[k]; later != nil {
		w.count += later.count
		w.entries = append(w.entries, later.entries[:min(len(later.entries), maxEntries-len(w.entries))]...)
		if w.first.IsZero() || !later.first.IsZero() && later.first.Before(w.first) {
			w.first = later.first
		}
		n.digests.drop(k)
	}
	n.digests.windows[k] = w
	n.digests.open[k.customer]++
	n.wakeRun()
}

func (n *Notices) sendDigest(ctx context.Context, k windowKey, w *window, now time.Time) error {
	p := n.digestPage(w, now)
	about := make([]mail.QueueID, 0, len(w.entries))
	for _, entry := range w.entries {
		about = append(about, entry.id)
	}
	e := envelope{kind: "digest", about: about, id: n.newID(now), from: n.o.From, name: n.o.FromName, to: k.to, listID: n.listID(), now: now}
	if err := n.send(ctx, k.customer, e, p); err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	return nil
}

func (n *Notices) digestPage(w *window, now time.Time) *page {
	say := func(key string, args map[string]any) string { return n.text(w.lang, "digest."+key, args) }
	p := &page{Lang: w.lang, Title: say("subject", map[string]any{"Count": w.count})}
	lead := "lead.sender"
	if w.instead {
		lead = "lead.contact"
	}
	p.say("lead", say(lead, map[string]any{"Count": w.count}))
	if !w.first.IsZero() {
		p.say("para", say("until", map[string]any{"Until": n.local(w.first)}))
	}
	p.say("para", say("link", map[string]any{"Until": n.local(now.Add(n.o.Links.ttl))}))
	t := block{Kind: "table", Head: []string{n.text(w.lang, "fact.subject", nil), n.text(w.lang, "fact.to", nil), n.text(w.lang, "fact.score", nil)}}
	for _, e := range w.entries {
		t.Rows = append(t.Rows, row{Cells: []string{n.subject(w.lang, e.sent), e.to, locale.Number(w.lang, e.score)}, Link: n.o.Links.For(e.id, now)})
	}
	p.add(t)
	if rest := w.count - len(w.entries); rest > 0 {
		p.say("para", say("more", map[string]any{"Count": rest}))
	}
	p.say("para", say("check", nil))
	p.say("small", n.text(w.lang, "foot.held", map[string]any{"Host": n.o.Hostname}))
	return p
}
