package feedback

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/returnpath"
	"postern/internal/smtp"
)

// origin is what the journal knows of a message that something is told about.
type origin struct {
	accepted journal.Fact
	ordered  []string        // recipients in the order of the envelope, where that is known
	known    []string        // recipients in any order
	count    int             // how many there are
	heard    []journal.Fact  // what was told about it before
	seen     map[string]bool // of known, lower case
}

// settling is how long the acceptance of a message may be on its way into the journal of another machine.
const settling = 10 * time.Minute

// origin looks a message up. Nil without an error: the journal has forgotten it, or never knew it. A report may be quicker than our own facts, which are
// written in company: they are waited for, and those of another machine by having the report come again.
func (d *Door) origin(ctx context.Context, ref returnpath.Ref) (*origin, error) {
	o, err := d.trace(ctx, ref)
	if err != nil || o != nil {
		return o, err
	}
	if err := d.o.Journal.Flush(ctx); err != nil {
		return nil, fmt.Errorf("message of a report: %w", err)
	}
	if o, err = d.trace(ctx, ref); err != nil || o != nil {
		return o, err
	}
	if d.o.Now().Sub(ref.Made) < settling {
		d.o.Count("early")
		return nil, &smtp.Error{Code: 451, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "The message is not written down here yet; try again in some minutes"}
	}
	d.o.Count("unknown")
	d.o.Logger.Warn("a report is about a message that the journal does not know; journal.retention may be shorter than the life of return addresses", "queue_id", ref.ID)
	return nil, nil
}

// trace gathers what stands in the journal, nil if that is no acceptance.
func (d *Door) trace(ctx context.Context, ref returnpath.Ref) (*origin, error) {
	facts, err := d.o.Journal.Trace(ctx, ref.ID)
	if err != nil {
		return nil, fmt.Errorf("message of a report: %w", err)
	}
	o := &origin{seen: map[string]bool{}}
	found := false
	for _, f := range facts {
		switch f.Kind {
		case journal.Accepted, journal.Held, journal.Recovered:
			if !found {
				o.accepted, found = f, true
			}
			o.add(f.Recipient)
		case journal.Addressed:
			var list []string
			if json.Unmarshal(f.Detail, &list) == nil {
				o.ordered = list
				for _, r := range list {
					o.add(r)
				}
			}
		case journal.Delivered, journal.Deferred, journal.Bounced, journal.Expired:
			o.add(f.Recipient)
		case journal.Returned, journal.LateDelay, journal.Confirmed, journal.AutoReply, journal.Complaint, journal.Unread:
			o.heard = append(o.heard, f)
		}
	}
	if !found {
		return nil, nil
	}
	o.count = 1
	if n, ok := strings.CutSuffix(o.accepted.Text, " recipients"); ok {
		if n, err := strconv.Atoi(n); err == nil {
			o.count = n
		}
	}
	if o.count == 1 && len(o.ordered) == 0 {
		o.ordered = []string{o.accepted.Recipient}
	}
	o.count = max(o.count, len(o.known))
	return o, nil
}

func (o *origin) add(recipient string) {
	if key := strings.ToLower(recipient); recipient != "" && !o.seen[key] {
		o.seen[key] = true
		o.known = append(o.known, recipient)
	}
}

// recipient is the address of that number, "" if it is not known.
func (o *origin) recipient(index int) string {
	if index >= 0 && index < len(o.ordered) {
		return o.ordered[index]
	}
	return ""
}

// which recipient of the message a report is about: the one whose return address it came to; else the one that it names; else the only one. An
// address that is no recipient of the message is never taken on a report's word.
func (o *origin) which(ref returnpath.Ref, r *report.BounceRecipient) (index int, recipient string) {
	if a := o.recipient(ref.Recipient); a != "" {
		return ref.Recipient, a
	}
	original := r.Original
	if _, rest, ok := strings.Cut(original, ";"); ok {
		original = strings.TrimSpace(rest)
	}
	for _, said := range []string{r.Address.String(), original} {
		if said == "" || !o.seen[strings.ToLower(said)] {
			continue
		}
		is := func(x string) bool { return strings.EqualFold(x, said) }
		if k := slices.IndexFunc(o.known, is); k >= 0 {
			return slices.IndexFunc(o.ordered, is), o.known[k]
		}
	}
	if o.count == 1 && len(o.known) == 1 {
		return 0, o.known[0]
	}
	return -1, ""
}

// fact begins a fact about the message.
func (o *origin) fact(now time.Time) journal.Fact {
	a := o.accepted
	return journal.Fact{At: now, QueueID: a.QueueID, Customer: a.Customer, Credential: a.Credential, ClientIP: a.ClientIP, ReversePath: a.ReversePath, HeaderFrom: a.HeaderFrom,
		Subject: a.Subject, MessageID: a.MessageID, Size: a.Size, Score: a.Score, Actor: "rule"}
}

// sameFor is how long the same report counts once.
const sameFor = 7 * 24 * time.Hour

// has reports whether the same was told before: the same kind about the same recipient with the same code. Answers are told apart by their
// Message-ID.
func (o *origin) has(f *journal.Fact, now time.Time) bool {
	return slices.ContainsFunc(o.heard, func(x journal.Fact) bool {
		same := x.Kind == f.Kind && strings.EqualFold(x.Recipient, f.Recipient) && now.Sub(x.At) < sameFor
		if f.Kind == journal.AutoReply || f.Kind == journal.Unread {
			return same && x.MessageID == f.MessageID
		}
		if f.Kind == journal.Complaint {
			return same && x.Host == f.Host // one that nobody signed does not stand in the way of one that counts
		}
		return same && x.Enhanced == f.Enhanced && x.Code == f.Code
	})
}

// answers is how many answers in a recipient's name were written down.
func (o *origin) answers(recipient string) int {
	n := 0
	for _, f := range o.heard {
		if (f.Kind == journal.AutoReply || f.Kind == journal.Unread) && strings.EqualFold(f.Recipient, recipient) {
			n++
		}
	}
	return n
}

// excess reports whether more was told about the message than its recipients' systems have to tell.
func (o *origin) excess() bool { return len(o.heard) >= 10+5*o.count }

// Errors of Look.
var (
	ErrNotOurs = returnpath.ErrNotOurs // nothing in the text is ours
	ErrForged  = returnpath.ErrForged  // it has the form of ours and a wrong signature
)

// Made says what a reference leads to, for people: the message's acceptance, and the recipient that it names.
type Made struct {
	Ref       returnpath.Ref
	Accepted  journal.Fact // zero Kind: the journal does not know the message
	Recipient mail.Address // null: none is named
}

// Look reads a return address, a reference, or any text that holds one.
func (d *Door) Look(ctx context.Context, text string) (Made, error) {
	ref, ok := d.o.Codec.Find([]byte(text))
	if !ok {
		local, _, _ := strings.Cut(strings.Trim(text, "<> "), "@")
		_, err := d.o.Codec.ReadAny(local)
		if err == nil {
			err = returnpath.ErrNotOurs
		}
		return Made{}, err
	}
	out := Made{Ref: ref}
	if err := d.o.Journal.Flush(ctx); err != nil {
		return Made{}, err
	}
	o, err := d.trace(ctx, ref)
	if err != nil || o == nil {
		return out, err
	}
	out.Accepted = o.accepted
	if a, err := mail.ParseAddress(o.recipient(ref.Recipient)); err == nil {
		out.Recipient = a
	}
	return out, nil
}
