package suppression

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Query says which entries are wanted. Zero fields ask nothing.
type Query struct {
	Customer string // what counts for this customer: his own entries and everybody's
	Own      bool   // only the customer's own; with Customer "" only everybody's
	Domain   mail.Domain
	Address  mail.Address // this one, and its whole domain
	Reason   Reason
	Provider string
	Rule     string
	ByRule   bool // only what answers made
	Ended    bool // also what counts no more
	Limit    int  // at most; default 100, at most 5,000
	Cursor   string
}

// cursor is where a page ends.
type cursor struct {
	Since    int64  `json:"s"` // microseconds
	Customer string `json:"c"`
	Domain   string `json:"d"`
	Local    string `json:"l"`
}

func (c cursor) String() string {
	text, _ := json.Marshal(c) // strings and a number
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(s string) (c cursor, err error) {
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil && len(s) <= 2000 {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || len(s) > 2000 {
		return c, fmt.Errorf("%w: the cursor is not one of ours", ErrInvalid)
	}
	return c, nil
}

// List returns entries, the newest first, and the cursor of the next page; "" after the last.
func (l *Ledger) List(ctx context.Context, q Query) (all []Entry, next string, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, 5000)
	var where []string
	var args []any
	add := func(sql string, a ...any) { where, args = append(where, sql), append(args, a...) }
	switch {
	case q.Own:
		add(`customer = ?`, q.Customer)
	case q.Customer != "":
		add(`(customer = ? OR customer = '')`, q.Customer)
	}
	if q.Domain != "" {
		add(`domain = ?`, strings.ToLower(string(q.Domain)))
	}
	if a := normal(q.Address); a.Domain != "" {
		add(`domain = ? AND (local = ? OR local = '')`, string(a.Domain), a.Local)
	}
	for _, x := range []struct{ column, value string }{{"reason", string(q.Reason)}, {"provider", q.Provider}, {"rule", q.Rule}} {
		if x.value != "" {
			add(x.column+` = ?`, x.value)
		}
	}
	if q.ByRule {
		add(`actor = ?`, ByRule)
	}
	if !q.Ended {
		add(`(until = 0 OR until > ?)`, l.o.Now())
	}
	if q.Cursor != "" {
		c, err := parseCursor(q.Cursor)
		if err != nil {
			return nil, "", err
		}
		add(`(since, customer, domain, local) < (?, ?, ?, ?)`, c.Since, c.Customer, c.Domain, c.Local)
	}
	sql := `SELECT ` + columns + ` FROM suppression_entry`
	if len(where) > 0 {
		sql += ` WHERE ` + strings.Join(where, ` AND `)
	}
	sql += ` ORDER BY since DESC, customer DESC, domain DESC, local DESC LIMIT ?`
	args = append(args, q.Limit+1)
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		all, err = scanEntries(tx.Query(sql, args...))
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("suppression: list: %w", err)
	}
	if len(all) > q.Limit {
		all = all[:q.Limit]
		e := all[len(all)-1]
		next = cursor{e.Since.UnixMicro(), e.Customer, string(e.Address.Domain), e.Address.Local}.String()
	}
	return all, next, nil
}

// Figures are how large the list is.
type Figures struct {
	Entries int // about; ended and lifted ones may be counted for an hour more
	Bytes   int // memory of the set of hashes
}

// Figures returns how large the list is, from memory.
func (l *Ledger) Figures() Figures {
	return Figures{Entries: l.addresses.len(), Bytes: l.addresses.bytes() + l.struck.bytes()}
}

// stamp writes a time for people and programs; "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
