package aggregate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/store"
)

// States of what came in.
const (
	stateWaiting = 0
	stateUnread  = 1 // could not be read
	stateForeign = 2 // about a domain that nobody here has

	stateUndecided = -1 // it waits for the DNS to say who vouches for its mail
)

// howMail is how what strangers send comes.
const howMail = "mail"

// Arrival is something that came in as a report.
type Arrival struct {
	How      string // "mail", "upload" (portal), "api"
	ClientIP netip.Addr
	Sender   string // header From of the mail
	Hello    string // of the client that brought the mail

	ReversePath mail.Address // of its envelope

	Customer string // who uploaded it; "": mail, or the operator
	Name     string // of the file
	Raw      []byte
}

// Put finds out who vouches for the mail that brought a report, writes it down and returns when it is durable. Run reads it later. The error is ErrBusy when too many wait.
func (l *Ledger) Put(ctx context.Context, a Arrival) error {
	now := l.o.Now()
	client := ""
	if a.ClientIP.IsValid() {
		client = a.ClientIP.String()
	}
	v, undecided := l.vouched(ctx, &a)
	err := l.db.Write(ctx, func(tx *store.Tx) error {
		var waiting, open int64
		if err := tx.QueryRow(`SELECT count(*) FROM aggregate_inbox WHERE state = ?`, stateWaiting).Scan(&waiting); err != nil {
			return err
		}
		if waiting >= MaxWaiting {
			return ErrBusy
		}
		state, next := stateWaiting, int64(0)
		if undecided {
			if err := tx.QueryRow(`SELECT count(*) FROM aggregate_inbox WHERE state = ?`, stateUndecided).Scan(&open); err != nil {
				return err
			}
			if open < maxUndecided {
				state, next = stateUndecided, micros(now.Add(againAfter))
			}
		}
		_, err := tx.Exec(sqlPut, newID(now), micros(now), state, next, a.How, client, clip(a.Hello, 255), a.ReversePath.String(), clip(a.Sender, 300), a.Customer, clip(a.Name, 300), len(a.Raw), "",
			string(v.proof), v.author, v.signed, a.Raw)
		return err
	})
	if err != nil {
		return fmt.Errorf("report not written down: %w", err)
	}
	l.nudge()
	return nil
}

// nudge makes Run look now.
func (l *Ledger) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// waiting is a row of the inbox.
type waiting struct {
	id string
	Arrival
	received time.Time
	verdict  verdict
}

// scan reads the columns of inboxColumns.
func (x *waiting) scan(row *store.Row) error {
	var client, path string
	err := row.Scan(&x.id, &x.received, &x.How, &client, &x.Hello, &path, &x.Sender, &x.Customer, &x.Name, &x.verdict.proof, &x.verdict.author, &x.verdict.signed, &x.Raw)
	x.ClientIP, x.ReversePath = clientOf(client), addressOf(path)
	return err
}

// claimFor is how long one node reads a report alone; another tries again after that.
const claimFor = 10 * time.Minute

// Process reads all that waits.
func (l *Ledger) Process(ctx context.Context) error {
	for ctx.Err() == nil {
		x, ok, err := l.claim(ctx)
		if err != nil || !ok {
			return err
		}
		if _, err := l.processOne(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// claim takes the oldest report that nobody reads.
func (l *Ledger) claim(ctx context.Context) (x waiting, ok bool, err error) {
	now := l.o.Now()
	err = l.db.Write(ctx, func(tx *store.Tx) error {
		ok = false
		x = waiting{}
		err := x.scan(tx.QueryRow(sqlNextWaiting, stateWaiting, micros(now)))
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		ok = true
		_, err = tx.Exec(sqlClaim, micros(now.Add(claimFor)), x.id)
		return err
	})
	return x, ok, err
}

func (l *Ledger) processOne(ctx context.Context, x waiting) (Outcome, error) {
	if x.verdict.proof == ProofBefore {
		x.verdict, _ = l.vouched(ctx, &x.Arrival)
	}
	out, err := l.take(ctx, x.Arrival, x.verdict, x.received, nil)
	if err != nil {
		return out, err
	}
	state, why := stateWaiting, ""
	switch {
	case out.Fault != "":
		state, why = stateUnread, out.Fault
		l.o.Counted("unread")
	case out.Foreign != "" && out.Stored+out.Duplicates == 0:
		state, why = stateForeign, out.Foreign
		l.o.Counted("foreign")
	}
	return out, l.db.Write(ctx, func(tx *store.Tx) error {
		if state == stateWaiting {
			_, err := tx.Exec(`DELETE FROM aggregate_inbox WHERE id = ?`, x.id)
			return err
		}
		kept := x.Raw
		if state == stateForeign || len(kept) > maxKeptBytes {
			kept = nil
		}
		_, err := tx.Exec(`UPDATE aggregate_inbox SET state = ?, claimed = 0, why = ?, sender = ?, proof = ?, author = ?, signed = ?, body = ? WHERE id = ?`, state, clip(why, 500), clip(out.From, 300), string(x.verdict.proof), x.verdict.author, x.verdict.signed, append([]byte{}, kept...), x.id)
		return err
	})
}

// Outcome is what became of something that came in.
type Outcome struct {
	Stored     int              // reports that count now
	Duplicates int              // that counted before
	Others     []report.Kind    // reports that are recognised and kept nowhere here: complaints, abuse
	Foreign    string           // a domain of a report that is not the caller's; "": none
	Fault      string           // why something could not be read; "": everything was
	From       string           // header From of the mail around it
	Domains    []string         // that the stored ones are about
	Warnings   []report.Warning // of all of them
	Kinds      []report.Kind    // of the stored ones
}

// Import reads something at once and sums it up. own says which domains the caller may bring reports about; nil: those that Options.Takes.
func (l *Ledger) Import(ctx context.Context, a Arrival, own func(mail.Domain) bool) (Outcome, error) {
	v, _ := l.vouched(ctx, &a)
	out, err := l.take(ctx, a, v, l.o.Now(), own)
	if err != nil {
		return out, err
	}
	if out.Stored > 0 {
		l.nudge()
	}
	switch {
	case out.Stored+out.Duplicates+len(out.Others) > 0:
		return out, nil
	case out.Foreign != "":
		return out, fmt.Errorf("%w: %s", ErrNotTaken, out.Foreign)
	}
	return out, nil
}

// take reads and sums up. The error is the database's; what is wrong with the report stands in the outcome.
func (l *Ledger) take(ctx context.Context, a Arrival, v verdict, received time.Time, own func(mail.Domain) bool) (out Outcome, err error) {
	if own == nil {
		own = l.o.Takes
	}
	read, readErr := report.Read(a.Raw, a.Name, l.o.Limits)
	out.From = read.From
	if out.From == "" {
		out.From = a.Sender
	}
	if len(read.Refused) > 0 {
		out.Fault = strings.TrimPrefix(read.Refused[0].Error(), report.ErrRefused.Error()+": ")
	}
	if errors.Is(readErr, report.ErrNoReport) {
		out.Fault = report.ErrNoReport.Error()
		return out, nil
	}
	for i := range read.Reports {
		x := &read.Reports[i]
		m := meta{received: received, how: a.How, sender: clip(out.From, 300), signed: v.signed, proof: v.of(x), author: v.author}
		if !m.proof.Counts() && l.o.Unproven == UnprovenRefuse {
			out.Fault = m.refusal()
			continue
		}
		var stored, known bool
		var domains []string
		switch x.Kind {
		case report.KindAggregate:
			x.Aggregate.Policy.Domain = canonical(x.Aggregate.Policy.Domain)
			domains = []string{x.Aggregate.Policy.Domain}
			if owns(own, domains[0]) {
				stored, known, err = l.addAggregate(ctx, x, m)
			} else {
				out.Foreign = domains[0]
				continue
			}
		case report.KindTLS:
			stored, known, domains, err = l.addTLS(ctx, x, m, own)
			if len(domains) == 0 && err == nil {
				if out.Foreign = "-"; len(x.TLS.Policies) > 0 {
					out.Foreign = x.TLS.Policies[0].Domain
				}
				continue
			}
		case report.KindFailure:
			d := ownedOf(own, x.Feedback)
			if d == "" {
				if out.Foreign = x.Feedback.From(); out.Foreign == "" {
					out.Foreign = "-"
				}
				continue
			}
			domains = []string{d}
			stored, known, err = l.addFailure(ctx, x, m, d)
		default:
			out.Others = append(out.Others, x.Kind)
			l.o.Counted("other")
			continue
		}
		if err != nil {
			return out, err
		}
		out.Warnings = append(out.Warnings, x.Warnings...)
		out.Kinds = append(out.Kinds, x.Kind)
		out.Domains = append(out.Domains, domains...)
		if known {
			out.Duplicates++
			l.o.Counted("duplicate")
		}
		if stored {
			out.Stored++
			l.o.Counted(string(x.Kind))
			if !m.proof.Counts() {
				l.o.Counted("unauthenticated")
			}
			for _, d := range domains {
				l.o.Heard(ctx, x.Kind, mail.Domain(d))
			}
		}
	}
	return out, nil
}

// owns reports whether a domain as a report writes it is one that counts.
func owns(own func(mail.Domain) bool, d string) bool {
	name, err := mail.ParseDomain(d)
	return err == nil && own(name)
}

// canonical is a domain as we write it; what is none stays as it is.
func canonical(d string) string {
	if name, err := mail.ParseDomain(d); err == nil {
		return string(name)
	}
	return d
}

// ownedOf is the domain that a failure report is filed under.
func ownedOf(own func(mail.Domain) bool, f *report.Feedback) string {
	for _, d := range append([]string{f.From()}, f.Domains...) {
		if d != "" && owns(own, d) {
			return canonical(d)
		}
	}
	return ""
}

// Unread is something that came in and does not count.
type Unread struct {
	ID       string
	Received time.Time
	Foreign  bool // it is about a domain that nobody here has
	How      string
	ClientIP string
	Sender   string
	Name     string
	Size     int64
	Why      string // of what could not be read; the domain of what is foreign
	Proof    Proof  // of the mail: ProofPassed says that somebody vouches for it, whoever that is
	Kept     bool   // its bytes can be had
}

// Unread lists what came in and does not count, the newest first. after is the identifier of the last of the page before.
func (l *Ledger) Unread(ctx context.Context, after string, limit int) (out []Unread, err error) {
	if after == "" {
		after = "g" // behind all hexadecimal digits
	}
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows := tx.Query(sqlUnread, stateWaiting, after, limit)
		for rows.Next() {
			var x Unread
			var state, kept int64
			if err := rows.Scan(&x.ID, &x.Received, &state, &x.How, &x.ClientIP, &x.Sender, &x.Name, &x.Size, &x.Why, &x.Proof, &kept); err != nil {
				return err
			}
			x.Foreign, x.Kept = state == stateForeign, kept > 0
			out = append(out, x)
		}
		return rows.Err()
	})
	return out, err
}

// UnreadBody returns the bytes of what could not be read.
func (l *Ledger) UnreadBody(ctx context.Context, id string) (body []byte, err error) {
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT body FROM aggregate_inbox WHERE id = ? AND state > 0`, id).Scan(&body)
	})
	if errors.Is(err, store.ErrNoRows) || err == nil && len(body) == 0 {
		err = ErrNotFound
	}
	return body, err
}

// Again reads one of them again, which a newer version may be able to. What cannot be read still is kept with the reason of now. ErrNotFound: there is none, or its bytes were not kept.
func (l *Ledger) Again(ctx context.Context, id string) (Outcome, error) {
	var x waiting
	err := l.db.Write(ctx, func(tx *store.Tx) error {
		if id == "" {
			return ErrNotFound
		}
		if n, err := tx.Exec(sqlTakeAgain, stateWaiting, micros(l.o.Now().Add(claimFor)), stateUnread, id, id); err != nil || n == 0 {
			return cmp.Or(err, ErrNotFound)
		}
		x = waiting{}
		return x.scan(tx.QueryRow(sqlWaiting, id))
	})
	if err != nil {
		return Outcome{}, err
	}
	out, err := l.processOne(ctx, x)
	l.nudge()
	return out, err
}

// AgainAll has all of them read again that have bytes, as after an upgrade. It returns how many; Run reads them.
func (l *Ledger) AgainAll(ctx context.Context) (n int64, err error) {
	err = l.db.Write(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Exec(sqlTakeAgain, stateWaiting, 0, stateUnread, "", "")
		return err
	})
	l.nudge()
	return n, err
}

// Drop forgets one of them.
func (l *Ledger) Drop(ctx context.Context, id string) error {
	var n int64
	err := l.db.Write(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Exec(`DELETE FROM aggregate_inbox WHERE id = ? AND state > 0`, id)
		return err
	})
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	l.nudge()
	return err
}

// clip cuts text for a column.
func clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
