package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// ErrInvalid: what was asked for breaks a rule; the error text says which.
var ErrInvalid = errors.New("account: not accepted")

// ListKind says what an entry does.
type ListKind string

// The kinds of entries.
const (
	Allow ListKind = "allow" // what matches is let through
	Deny  ListKind = "deny"  // what matches is held or refused
)

// What is the part of a message that an entry looks at.
type What string

// The parts. Values are compared without regard to case.
const (
	WhatFrom       What = "from"        // an address in the header From
	WhatFromDomain What = "from-domain" // a domain in the header From, with everything below it
	WhatTo         What = "to"          // an envelope recipient
	WhatToDomain   What = "to-domain"   // the domain of an envelope recipient, with everything below it
	WhatClient     What = "client"      // the client IP, or a network of client IPs
	WhatCredential What = "credential"  // the user name of a login
)

// Whats are all parts in the order in which they are explained.
func Whats() []What {
	return []What{WhatFrom, WhatFromDomain, WhatTo, WhatToDomain, WhatClient, WhatCredential}
}

// Bounds of what one scope may have: lists are looked through by people, and read into memory by every node.
const (
	MaxOverrides  = 500    // tests with other points, per customer and for everybody
	MaxEntries    = 1_000  // list entries of one customer
	MaxAllEntries = 10_000 // list entries that count for everybody
	MaxOwnEntries = 100    // entries that a customer's sender made himself
	MaxPoints     = 100.0  // points of a test lie between -MaxPoints and MaxPoints

	maxNote  = 200
	maxValue = 320 // an address (RFC 5321 4.5.3.1)
	maxActor = 100
)

// entryKept is how long an entry stays listed after its end: whoever asks why mail is held again must still find it.
const entryKept = 30 * 24 * time.Hour

// Override is the points of a test that differ from its own, for one customer or for everybody.
type Override struct {
	Scope  string // Customer.ID; "" = everybody
	Test   string
	Points float64   // 0 switches the test off
	By     string    // actor, as in the journal; "" for the configuration
	At     time.Time // when it was set; zero for the configuration
	Origin string    // OriginConfig or OriginDatabase
}

// Entry is one line of an allow or deny list.
type Entry struct {
	Scope  string // Customer.ID whose mail it is about; "" = everybody's
	Own    bool   // made by the customer's sender himself: it has no more power than his releasing has
	Kind   ListKind
	What   What
	Value  string    // canonical: lower case, A-labels, networks masked
	Until  time.Time // when it ends; zero = never
	Note   string    // why, for people; at most 200 bytes
	By     string    // actor, as in the journal; "" for the configuration
	At     time.Time // when it was made; zero for the configuration
	Origin string    // OriginConfig or OriginDatabase
}

// String is the form that ParseEntry reads, without end and note.
func (e Entry) String() string { return string(e.What) + ":" + e.Value }

// Ended reports whether the entry counts no more.
func (e Entry) Ended(now time.Time) bool { return !e.Until.IsZero() && !now.Before(e.Until) }

// ParseEntry reads "WHAT:VALUE [until YYYY-MM-DD] [-- NOTE]", for example
// "from-domain:shop.example until 2027-01-31 -- asked by phone". The last day counts whole, in UTC. Kind and Scope are for
// the caller to fill in. Errors wrap ErrInvalid.
func ParseEntry(text string) (Entry, error) {
	var e Entry
	rest, note, _ := strings.Cut(text, " -- ")
	e.Note = strings.TrimSpace(note)
	rest, day, ends := strings.Cut(strings.TrimSpace(rest), " until ")
	if ends {
		t, err := time.Parse(time.DateOnly, strings.TrimSpace(day))
		if err != nil {
			return Entry{}, fmt.Errorf("%w: %q is no day; expected until YYYY-MM-DD", ErrInvalid, clip(day))
		}
		e.Until = t.AddDate(0, 0, 1)
	}
	what, value, ok := strings.Cut(strings.TrimSpace(rest), ":")
	e.What, e.Value = What(what), strings.TrimSpace(value)
	if !ok || !slices.Contains(Whats(), e.What) {
		return Entry{}, fmt.Errorf("%w: %q does not say what it is about; expected %s", ErrInvalid, clip(text), forms(strings.TrimSpace(rest)))
	}
	return e.canonical()
}

// forms says how an entry is written; a value that lacks only its kind is shown with it.
func forms(value string) string {
	guess := []What{}
	if _, err := mail.ParseAddress(value); err == nil {
		guess = []What{WhatFrom, WhatTo}
	} else if _, err := parseClient(value); err == nil {
		guess = []What{WhatClient}
	} else if _, err := mail.ParseDomain(value); err == nil && strings.Contains(value, ".") {
		guess = []What{WhatFromDomain, WhatToDomain}
	}
	var all []string
	for _, w := range guess {
		all = append(all, string(w)+":"+value)
	}
	if len(all) == 0 {
		all = []string{"from:ADDRESS", "from-domain:DOMAIN", "to:ADDRESS", "to-domain:DOMAIN", "client:IP or NETWORK", "credential:USER"}
	}
	return strings.Join(all, " or ")
}

// canonical brings the value into the form in which it is compared, or says what is wrong with it.
func (e Entry) canonical() (Entry, error) {
	bad := func(format string, args ...any) (Entry, error) {
		return Entry{}, fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	if len(e.Value) == 0 || len(e.Value) > maxValue || strings.ContainsFunc(e.Value+e.Note, control) {
		return bad("%s: expected a value of 1 to %d bytes on one line", e.What, maxValue)
	}
	if len(e.Note) > maxNote {
		return bad("the note is longer than %d bytes", maxNote)
	}
	switch e.What {
	case WhatFrom, WhatTo:
		a, err := mail.ParseAddress(e.Value)
		if err != nil || a.IsNull() {
			return bad("%s: %q is no mail address", e.What, clip(e.Value))
		}
		e.Value = foldAddress(a)
	case WhatFromDomain, WhatToDomain:
		d, err := mail.ParseDomain(e.Value)
		if err != nil {
			return bad("%s: %q is no domain", e.What, clip(e.Value))
		}
		if e.Kind == Allow && !strings.Contains(string(d), ".") {
			return bad("%s: %s is a whole top-level domain", e.What, d)
		}
		e.Value = string(d)
	case WhatClient:
		p, err := parseClient(e.Value)
		if err != nil {
			return bad("client: %q is no address or network; expected 192.0.2.1, 192.0.2.0/24 or 2001:db8::/48", clip(e.Value))
		}
		if p.Bits() == 0 {
			return bad("client: %s is everybody", p)
		}
		e.Value = clientText(p)
	case WhatCredential:
		e.Value = strings.ToLower(e.Value)
	default:
		return bad("%q is nothing that a list can look at; expected one of %s", clip(string(e.What)), strings.Trim(fmt.Sprint(Whats()), "[]"))
	}
	return e, nil
}

// parseClient reads an address or a network.
func parseClient(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err == nil && p.Addr().Is4In6() {
		err = errors.New("IPv4 written as IPv6")
	}
	return p.Masked(), err
}

func clientText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// foldAddress is the form in which addresses are compared. RFC 5321 2.4 leaves the case of the local part to its owner; no provider
// that people write to tells two people apart by it.
func foldAddress(a mail.Address) string {
	return mail.Address{Local: strings.ToLower(a.Local), Domain: a.Domain}.String()
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:80], "") + "…"
}

// testForm is what names of tests and of rules look like (package filter, package rules).
var testForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

func checkOverride(test string, points float64) error {
	switch {
	case !testForm.MatchString(test):
		return fmt.Errorf("%w: %q is no test's name", ErrInvalid, clip(test))
	case math.IsNaN(points) || math.Abs(points) > MaxPoints:
		return fmt.Errorf("%w: %s: points must lie between %v and %v", ErrInvalid, test, -MaxPoints, MaxPoints)
	}
	return nil
}

// check says what is wrong with an entry that is about to be kept.
func (e Entry) check() (Entry, error) {
	switch {
	case e.Kind != Allow && e.Kind != Deny:
		return Entry{}, fmt.Errorf("%w: kind %q; expected %s or %s", ErrInvalid, clip(string(e.Kind)), Allow, Deny)
	case e.Own && e.Scope == "":
		return Entry{}, fmt.Errorf("%w: a sender's own entry belongs to his customer", ErrInvalid)
	case e.Own && (e.Kind != Allow || !slices.Contains(ownWhats, e.What)):
		return Entry{}, fmt.Errorf("%w: a sender may allow a From address, a recipient or a recipient domain", ErrInvalid)
	}
	return e.canonical()
}

// ownWhats are what a sender's own entries may be about. A whole From domain, a network or a login would cover everything that a hacked
// account sends.
var ownWhats = []What{WhatFrom, WhatTo, WhatToDomain}

// Tuning is what the configuration says of points and lists.
type Tuning struct {
	Overrides []Override
	Entries   []Entry
}

// SyncTuning takes over what the configuration file source says; it replaces what an earlier call gave. Unlike customers it is not
// written to the database: every node reads its own file. A fault leaves all as it was.
func (l *Ledger) SyncTuning(ctx context.Context, t Tuning, source string) error {
	next, err := t.checked(source)
	if err != nil {
		return err
	}
	l.refreshing.Lock()
	l.tuning, l.tuningSource = next, source
	l.refreshing.Unlock()
	return l.Refresh(ctx)
}

// Check reports what SyncTuning would refuse. source is where the tuning stands.
func (t Tuning) Check(source string) error {
	_, err := t.checked(source)
	return err
}

// checked returns the tuning of a file in the form it is kept in.
func (t Tuning) checked(source string) (Tuning, error) {
	next := Tuning{Overrides: slices.Clone(t.Overrides), Entries: slices.Clone(t.Entries)}
	var faults []error
	for i := range next.Overrides {
		o := &next.Overrides[i]
		o.Origin = OriginConfig
		faults = append(faults, checkOverride(o.Test, o.Points))
	}
	for i, e := range next.Entries {
		e, err := e.check()
		e.Origin = OriginConfig
		faults, next.Entries[i] = append(faults, err), e
	}
	if err := errors.Join(faults...); err != nil {
		return Tuning{}, fmt.Errorf("account: %s: %w", source, err)
	}
	return next, nil
}

// Overrides returns all points that differ, sorted by scope and test.
func (l *Ledger) Overrides() []Override { return slices.Clone(l.state.Load().tuning.overrides) }

// Entries returns all entries, the ended ones too, sorted by scope, kind, what and value.
func (l *Ledger) Entries() []Entry { return slices.Clone(l.state.Load().tuning.entries) }

// EntriesOf returns the entries of one scope, the ended ones too, sorted by kind, what and value.
func (l *Ledger) EntriesOf(scope string) []Entry {
	all := l.state.Load().tuning.entries
	from, _ := slices.BinarySearchFunc(all, scope, func(e Entry, id string) int { return strings.Compare(e.Scope, id) })
	to := from
	for to < len(all) && all[to].Scope == scope {
		to++
	}
	return slices.Clone(all[from:to])
}

// SetPoints gives tests other points in a scope, all or none of them. Whether a test of that name exists is for the caller to ask.
// Errors: ErrNotFound (no such customer), ErrFromConfig, ErrInvalid.
func (l *Ledger) SetPoints(ctx context.Context, scope string, points map[string]float64, by string) error {
	for test, p := range points {
		if err := checkOverride(test, p); err != nil {
			return err
		}
		if err := l.notInFile(scope, test); err != nil {
			return err
		}
	}
	return l.write(ctx, func(t *store.Tx) error {
		if err := scopeExists(t, scope); err != nil {
			return err
		}
		for _, test := range slices.Sorted(maps.Keys(points)) {
			if err := storeOverride(t, Override{Scope: scope, Test: test, Points: points[test], By: cut(by, maxActor), At: micros(l.now())}); err != nil {
				return err
			}
		}
		return bounded(t, `SELECT count(*) FROM account_score WHERE scope = ?`, MaxOverrides, "tests with other points", scope)
	})
}

// UnsetPoints gives tests of a scope their own points back. Errors: ErrNotFound (one has no other points; nothing is changed),
// ErrFromConfig.
func (l *Ledger) UnsetPoints(ctx context.Context, scope string, tests ...string) error {
	for _, test := range tests {
		if err := l.notInFile(scope, test); err != nil {
			return err
		}
	}
	return l.write(ctx, func(t *store.Tx) error {
		for _, test := range tests {
			n, err := t.Exec(`DELETE FROM account_score WHERE scope = ? AND test = ?`, scope, test)
			if err == nil && n == 0 {
				err = fmt.Errorf("%w: %s has no other points %s", ErrNotFound, clip(test), scopeText(scope))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// scopeText names a scope in a sentence.
func scopeText(scope string) string {
	if scope == "" {
		return "for everybody"
	}
	return "for customer " + clip(scope)
}

// notInFile refuses to change here what the configuration file says.
func (l *Ledger) notInFile(scope, test string) error {
	s := l.state.Load()
	for _, o := range s.tuning.overrides {
		if o.Scope == scope && o.Test == test && o.Origin == OriginConfig {
			return fmt.Errorf("%w: points of %s %s stand in %s; change them there", ErrFromConfig, test, scopeText(scope), s.tuning.source)
		}
	}
	return nil
}

// AddEntry keeps an entry, or replaces end and note of the one that is there; it returns it as kept. Errors: ErrNotFound (no such
// customer), ErrFromConfig, ErrInvalid.
func (l *Ledger) AddEntry(ctx context.Context, e Entry) (Entry, error) {
	e, err := e.check()
	if err != nil {
		return Entry{}, err
	}
	e.Origin, e.By, e.At = OriginDatabase, cut(e.By, maxActor), micros(l.now())
	if !e.Until.IsZero() {
		if e.Until = micros(e.Until); e.Ended(l.now()) {
			return Entry{}, fmt.Errorf("%w: its end %s is past", ErrInvalid, e.Until.Format(time.RFC3339))
		}
	}
	if err := l.entryNotInFile(e); err != nil {
		return Entry{}, err
	}
	return e, l.write(ctx, func(t *store.Tx) error {
		if err := scopeExists(t, e.Scope); err != nil {
			return err
		}
		if _, err := t.Exec(`DELETE FROM account_entry WHERE until > 0 AND until < ?`, l.now().Add(-entryKept)); err != nil {
			return err
		}
		if err := storeEntry(t, e); err != nil {
			return err
		}
		most, what := MaxEntries, "list entries"
		switch {
		case e.Own:
			most, what = MaxOwnEntries, "entries of the sender's own"
		case e.Scope == "":
			most = MaxAllEntries
		}
		return bounded(t, `SELECT count(*) FROM account_entry WHERE scope = ? AND own = ?`, most, what, e.Scope, e.Own)
	})
}

// RemoveEntry takes an entry out; Scope, Own, Kind, What and Value name it. Errors: ErrNotFound, ErrFromConfig, ErrInvalid.
func (l *Ledger) RemoveEntry(ctx context.Context, e Entry) error {
	e, err := e.check()
	if err != nil {
		return err
	}
	if err := l.entryNotInFile(e); err != nil {
		return err
	}
	return l.write(ctx, func(t *store.Tx) error {
		n, err := t.Exec(`DELETE FROM account_entry WHERE scope = ? AND own = ? AND kind = ? AND what = ? AND value = ?`,
			e.Scope, e.Own, string(e.Kind), string(e.What), e.Value)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: %s is on no %s list %s", ErrNotFound, clip(e.String()), e.Kind, scopeText(e.Scope))
		}
		return err
	})
}

func (l *Ledger) entryNotInFile(e Entry) error {
	s := l.state.Load()
	for _, x := range s.tuning.entries {
		if x.Origin == OriginConfig && x.key() == e.key() {
			return fmt.Errorf("%w: %s %s stands in %s; change it there", ErrFromConfig, e.Kind, e, s.tuning.source)
		}
	}
	return nil
}

// key tells entries apart.
func (e Entry) key() [5]string {
	own := ""
	if e.Own {
		own = "own"
	}
	return [5]string{e.Scope, own, string(e.Kind), string(e.What), e.Value}
}

func compareEntries(a, b Entry) int {
	x, y := a.key(), b.key()
	return cmp.Or(strings.Compare(x[0], y[0]), strings.Compare(x[2], y[2]), strings.Compare(x[1], y[1]), strings.Compare(x[3], y[3]), strings.Compare(x[4], y[4]))
}

// scopeExists refuses to keep anything for a customer that nobody knows.
func scopeExists(t *store.Tx, scope string) error {
	if scope == "" {
		return nil
	}
	c, err := findCustomer(t, scope)
	if err == nil && c.gone {
		err = fmt.Errorf("%w: customer %s", ErrNotFound, scope)
	}
	return err
}

// bounded refuses a change that leaves more rows than there may be.
func bounded(t *store.Tx, query string, most int, what string, args ...any) error {
	var n int
	if err := t.QueryRow(query, args...).Scan(&n); err != nil {
		return err
	}
	if n > most {
		return fmt.Errorf("%w: more than %d %s; remove some first", ErrInvalid, most, what)
	}
	return nil
}

func storeOverride(t *store.Tx, o Override) error {
	_, err := t.Exec(`INSERT INTO account_score (scope, test, points, actor, at) VALUES (?,?,?,?,?)
 ON CONFLICT (scope, test) DO UPDATE SET points = excluded.points, actor = excluded.actor, at = excluded.at`,
		o.Scope, o.Test, o.Points, o.By, o.At)
	return err
}

func storeEntry(t *store.Tx, e Entry) error {
	_, err := t.Exec(`INSERT INTO account_entry (scope, own, kind, what, value, until, note, actor, at) VALUES (?,?,?,?,?,?,?,?,?)
 ON CONFLICT (scope, own, kind, what, value) DO UPDATE SET until = excluded.until, note = excluded.note, actor = excluded.actor, at = excluded.at`,
		e.Scope, e.Own, string(e.Kind), string(e.What), e.Value, e.Until, e.Note, e.By, e.At)
	return err
}

// readTuning reads what the database holds.
func readTuning(t *store.Tx) (Tuning, error) {
	var out Tuning
	scores := t.Query(`SELECT scope, test, points, actor, at FROM account_score ORDER BY scope, test`)
	for scores.Next() {
		o := Override{Origin: OriginDatabase}
		if err := scores.Scan(&o.Scope, &o.Test, &o.Points, &o.By, &o.At); err != nil {
			return Tuning{}, err
		}
		out.Overrides = append(out.Overrides, o)
	}
	if err := scores.Err(); err != nil {
		return Tuning{}, err
	}
	entries := t.Query(`SELECT scope, own, kind, what, value, until, note, actor, at FROM account_entry ORDER BY scope, own, kind, what, value`)
	for entries.Next() {
		e := Entry{Origin: OriginDatabase}
		if err := entries.Scan(&e.Scope, &e.Own, (*string)(&e.Kind), (*string)(&e.What), &e.Value, &e.Until, &e.Note, &e.By, &e.At); err != nil {
			return Tuning{}, err
		}
		out.Entries = append(out.Entries, e)
	}
	return out, entries.Err()
}

// deleteTuning removes what was decided about a customer that is removed.
func deleteTuning(t *store.Tx, customer string) error {
	if _, err := t.Exec(`DELETE FROM account_score WHERE scope = ?`, customer); err != nil {
		return err
	}
	_, err := t.Exec(`DELETE FROM account_entry WHERE scope = ?`, customer)
	return err
}

func cut(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }
