package user

import (
	"context"
	"net/netip"
	"time"

	"postern/internal/store"
)

// Entry is one line of the audit log: who did what to whom, from where.
type Entry struct {
	ID       int64
	At       time.Time // zero in Note: now
	Actor    string    // Principal.Actor
	Name     string    // for people, as it was then
	Customer string    // whom it concerns; "" the gateway
	Act      string    // stable word: "sign-in", "message.release", "lane.pause"
	Subject  string    // what it was done to: a queue ID, an address, a lane
	Text     string    // more, for people; at most 500 bytes; never a secret
	IP       netip.Addr
	Failed   bool // it was tried and refused
}

// Note writes lines of the audit log, durable on return.
func (l *Ledger) Note(ctx context.Context, entries ...Entry) error {
	return l.o.DB.Write(ctx, func(t *store.Tx) error { return l.note(t, entries...) })
}

func (l *Ledger) note(t *store.Tx, entries ...Entry) error {
	for _, e := range entries {
		if e.At.IsZero() {
			e.At = l.now()
		}
		if _, err := t.Exec(`INSERT INTO user_entry (at, actor, name, customer, act, subject, text, ip, failed) VALUES (?,?,?,?,?,?,?,?,?)`,
			e.At, cut(e.Actor, 100), cut(e.Name, 400), cut(e.Customer, 100), cut(e.Act, 60), cut(e.Subject, 400), cut(e.Text, 500), address(e.IP), e.Failed); err != nil {
			return err
		}
	}
	return nil
}

// EntryQuery chooses lines of the audit log.
type EntryQuery struct {
	Customer  string    // lines about this customer; "": about the gateway
	Everybody bool      // about the gateway and all customers; Customer is not looked at
	Actor     string    // of this actor; "": of all
	Act       string    // of this act; "": all
	From, To  time.Time // At in [From, To); zero: without that bound
	Before    int64     // the Next of the page before; 0: the newest
	Limit     int       // 1..200; 0: 200
}

// EntryPage is a page of lines, the newest first.
type EntryPage struct {
	Entries []Entry
	Next    int64 // 0: the last page
}

// Entries reads the audit log.
func (l *Ledger) Entries(ctx context.Context, q EntryQuery) (EntryPage, error) {
	limit := pageLimit(q.Limit)
	sql, args := `SELECT id, at, actor, name, customer, act, subject, text, ip, failed FROM user_entry WHERE id > 0`, []any{}
	where := func(condition string, arg any) { sql, args = sql+" AND "+condition, append(args, arg) }
	if q.Before > 0 {
		where("id < ?", q.Before)
	}
	if !q.Everybody {
		where("customer = ?", q.Customer)
	}
	if q.Actor != "" {
		where("actor = ?", q.Actor)
	}
	if q.Act != "" {
		where("act = ?", q.Act)
	}
	if !q.From.IsZero() {
		where("at >= ?", q.From)
	}
	if !q.To.IsZero() {
		where("at < ?", q.To)
	}
	var page EntryPage
	err := l.o.DB.Read(ctx, func(t *store.Tx) error {
		page = EntryPage{}
		rows := t.Query(sql+` ORDER BY id DESC LIMIT ?`, append(args, limit+1)...)
		for rows.Next() {
			if len(page.Entries) == limit {
				page.Next = page.Entries[limit-1].ID
				break
			}
			var e Entry
			var ip string
			if err := rows.Scan(&e.ID, &e.At, &e.Actor, &e.Name, &e.Customer, &e.Act, &e.Subject, &e.Text, &ip, &e.Failed); err != nil {
				return err
			}
			e.IP, _ = netip.ParseAddr(ip)
			page.Entries = append(page.Entries, e)
		}
		return rows.Err()
	})
	return page, err
}
