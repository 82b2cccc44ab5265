package notice

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/spool"
)

// Late is what another mail system reported about one recipient after it had taken the message. The message may have left the spool: what
// is known of it is given here.
type Late struct {
	ID          mail.QueueID
	Customer    string
	ReversePath mail.Address // the sender's own, from before we put ours in its place
	HeaderFrom  string
	Subject     string
	MessageID   string
	Size        int64
	Accepted    time.Time

	Recipient mail.Address
	Index     int    // in the envelope; -1: not known
	Action    string // report.Failed, report.Delayed or report.Delivered
	Host      string // who reported
	Code      int
	Enhanced  string
	Text      string
}

// Bounds of notices about reports.
const (
	maxLate        = 20  // single ones to one addressee within Options.DigestEvery; the others make a digest
	maxLateEntries = 200 // listed in a digest; the rest is counted
)

// Returned tells the sender of a report: a status notification like those of delivery, to the same people. Beyond 20 to one addressee within
// Options.DigestEvery, failures are gathered and told in one mail; reports of delay and success are then left out. A repeated call does
// nothing, as with the other status notifications.
func (n *Notices) Returned(ctx context.Context, l Late) error {
	r := spool.Recipient{Recipient: mail.Recipient{Address: l.Recipient}, Index: l.Index, Code: l.Code, Enhanced: l.Enhanced, Text: l.Text, Host: l.Host}
	m := spool.Message{ID: l.ID, Customer: l.Customer, Received: l.Accepted, HeaderFrom: l.HeaderFrom, Subject: l.Subject, MessageID: l.MessageID, Size: l.Size,
		Envelope: mail.Envelope{ReversePath: l.ReversePath, Recipients: []mail.Recipient{r.Recipient}}}
	switch l.Action {
	case report.Failed:
		r.State = spool.Bounced
	case report.Delayed:
		r.State = spool.Queued
	case report.Delivered:
		r.State = spool.Delivered
	default:
		return fmt.Errorf("notice of a report: action %q", l.Action)
	}
	kind := "late-" + l.Action
	if len(n.untold(&m, kind, []Failure{{Recipient: r}})) == 0 {
		return nil
	}
	to, c, _ := n.addressee(&m)
	if !to.IsNull() && n.gatherLate(c, to, &m, &r, l.Action) {
		return nil
	}
	action := l.Action
	if action == report.Delivered {
		action = report.Relayed // its texts are those of a delivery
	}
	return n.statusOf(ctx, m, nil, action, kind, "late.note", []Failure{{Recipient: r}})
}

// lateDigests are the reports to one addressee within one span.
type lateDigests map[windowKey]*lateWindow

type lateWindow struct {
	due     time.Time
	lang    string
	sent    int
	count   int
	entries []lateEntry
}

type lateEntry struct {
	id                mail.QueueID
	subject, to, said string
}

func (d lateDigests) untilNext(now time.Time) time.Duration {
	next := time.Hour
	for _, w := range d {
		if w.count > 0 {
			next = min(next, w.due.Sub(now))
		}
	}
	return next
}

// gatherLate reports whether a report goes without a notice of its own.
func (n *Notices) gatherLate(c account.Customer, to mail.Address, m *spool.Message, r *spool.Recipient, action string) bool {
	now := n.o.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	k := windowKey{c.ID, to}
	w := n.late[k]
	if w != nil && w.count == 0 && !now.Before(w.due) {
		w = nil
	}
	if w == nil {
		if len(n.late) >= maxWindows {
			for k, w := range n.late {
				if w.count == 0 && !now.Before(w.due) {
					delete(n.late, k)
				}
			}
			if len(n.late) >= maxWindows {
				return true
			}
		}
		w = &lateWindow{due: now.Add(n.o.DigestEvery), lang: n.language(m, c)}
		n.late[k] = w
	}
	if w.sent < maxLate || n.digests.closed {
		w.sent++
		return false
	}
	if action != report.Failed {
		return true
	}
	if w.count++; w.count == 1 {
		n.wakeRun()
	}
	if len(w.entries) < maxLateEntries {
		w.entries = append(w.entries, lateEntry{id: m.ID, subject: tidy(m.Subject, 80), to: shownAddress(r.Address), said: tidy(answer(*r), 160)})
	}
	n.told.note(toldKey(m.ID, "late-"+action, r.Index), now)
	return true
}

// flushLate sends the digests of reports that are due, or all. What cannot be queued is tried again; at the end it is lost: the facts stand in
// the journal.
func (n *Notices) flushLate(ctx context.Context, now time.Time, all bool) {
	due := lateDigests{}
	n.mu.Lock()
	for k, w := range n.late {
		if w.count > 0 && (all || !now.Before(w.due)) {
			due[k] = w
			delete(n.late, k)
		}
	}
	n.mu.Unlock()
	for k, w := range due {
		err := n.sendLate(ctx, k, w, now)
		if err == nil {
			continue
		}
		n.o.Logger.Error("a digest of reports could not be queued", "account", k.customer, "messages", w.count, "again", !all, "error", err)
		if !all {
			w.due = now.Add(retryDigest)
			n.mu.Lock()
			if x := n.late[k]; x != nil {
				w.count += x.count
				w.entries = append(w.entries, x.entries[:min(len(x.entries), maxLateEntries-len(w.entries))]...)
			}
			n.late[k] = w
			n.mu.Unlock()
		}
	}
}

func (n *Notices) sendLate(ctx context.Context, k windowKey, w *lateWindow, now time.Time) error {
	say := func(key string, args map[string]any) string { return n.text(w.lang, "late.digest."+key, args) }
	count := map[string]any{"Count": w.count}
	p := &page{Lang: w.lang, Title: say("subject", count)}
	p.say("lead", say("lead", count))
	p.say("para", say("act", nil))
	t := block{Kind: "table", Head: []string{n.text(w.lang, "fact.subject", nil), n.text(w.lang, "fact.to", nil), say("answer", nil)}}
	about := make([]mail.QueueID, 0, len(w.entries))
	for _, e := range w.entries {
		about = append(about, e.id)
		t.Rows = append(t.Rows, row{Cells: []string{n.subject(w.lang, e.subject), e.to, e.said}, Link: n.o.Links.For(e.id, now)})
	}
	p.add(t)
	if rest := w.count - len(w.entries); rest > 0 {
		p.say("para", say("more", map[string]any{"Count": rest}))
	}
	p.say("small", n.text(w.lang, "foot.dsn", map[string]any{"Host": n.o.Hostname}))
	e := envelope{kind: "late-digest", about: about, id: n.newID(now), from: n.daemon, name: n.o.FromName, to: k.to, listID: n.listID(), now: now}
	if err := n.send(ctx, k.customer, e, p); err != nil {
		return fmt.Errorf("digest of reports: %w", err)
	}
	return nil
}

// Passed is mail of somebody else that is given on as it is.
type Passed struct {
	About    mail.QueueID // the message that it answers; "": none
	Customer string
	To       mail.Address
	Kind     string // for Options.Told: "auto-reply"
	Message  []byte // CRLF line ends
	UTF8     bool   // it came with SMTPUTF8
}

// ErrUnfit: the mail cannot be given on in a form that every server takes.
var ErrUnfit = errors.New("notice: this mail cannot be passed on")

// PassOn queues an automatic answer for the sender, or mail for the operator: unchanged but for lines that are too long, with the null reverse
// path, so that nothing comes back of it, and unsigned, since it is not ours. A repeated call does nothing while the first copy is in the
// spool. A null To is nobody and no error.
func (n *Notices) PassOn(ctx context.Context, p Passed) error {
	if p.To.IsNull() {
		return nil
	}
	raw := p.Message
	if mail.LongLine(raw) > 0 {
		out, _, err := mail.Reencode(raw, mail.Reencoding{})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnfit, err)
		}
		raw = out
	}
	sum := sha256.Sum256(p.Message)
	about := p.About
	if about == "" {
		about = mail.NewQueueID(n.o.Now())
	}
	l := letter{kind: p.Kind, id: n.derive(about, p.Kind+" "+hex.EncodeToString(sum[:16])+" "+p.To.String(), nil), customer: p.Customer, to: p.To, raw: raw,
		utf8: p.UTF8 || p.To.NeedsSMTPUTF8()}
	if p.About != "" {
		l.about = []mail.QueueID{p.About}
	}
	if c, ok := n.o.Accounts.Customer(p.Customer); ok {
		l.lang = locale.Parse(c.Language)
	}
	return n.put(ctx, l)
}
