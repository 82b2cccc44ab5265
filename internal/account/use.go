package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postern/internal/store"
)

// Use of credentials. Counting costs the hot path a lookup in memory: what was counted is written in batches every flushEvery by Run, and when it
// ends. A limit is exact within a process. Across restarts and nodes it is approximate: counts of the last flushEvery may be missing.

const (
	// flushEvery is how often counts are written and those of other nodes are read.
	flushEvery = 15 * time.Second
	// keepUse is how many days of use are kept.
	keepUse = 400
	// flushBatch is how many credentials one transaction writes.
	flushBatch = 500
)

// Names of limits, in LimitError.Limit.
const (
	MessagesPerHour  = "messages-hour"
	MessagesPerDay   = "messages-day"
	RecipientsPerDay = "recipients-day"
)

// ErrLimit: a credential has used up one of its limits; a *LimitError says which.
var ErrLimit = errors.New("account: limit of the credential reached")

// LimitError is a limit that is used up, or would be.
type LimitError struct {
	User  string
	Limit string // MessagesPerHour, MessagesPerDay, RecipientsPerDay
	Most  int
	Until time.Time // when the next hour or day begins (UTC), and there is room again
}

// Error names limit and end.
func (e *LimitError) Error() string {
	return fmt.Sprintf("account: %s has used up its limit %s of %d, until %s", e.User, e.Limit, e.Most, e.Until.UTC().Format(time.RFC3339))
}

// Is makes errors.Is(err, ErrLimit) true.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

// Spent is what a credential used in the present hour and day (UTC).
type Spent struct {
	MessagesHour, MessagesDay, RecipientsDay int
}

// Day is what a credential did on a day.
type Day struct {
	Day        time.Time // midnight, UTC
	Messages   int       // taken
	Recipients int       // of the messages taken
	Refused    int       // messages, by the tests, by a limit or for another reason
	Last       time.Time
	LastIP     netip.Addr
}

// dayKey is one credential on one day.
type dayKey struct {
	user string
	day  int64
}

// tally counts one credential on one day. Differences of tallies are tallies.
type tally struct {
	messages, recipients, refused int64
	hour                          int64 // the latest hour with messages
	hourMessages                  int64 // ... and how many
	at                            time.Time
	ip                            netip.Addr
}

func (t tally) plus(o tally) tally {
	t.messages, t.recipients, t.refused = t.messages+o.messages, t.recipients+o.recipients, t.refused+o.refused
	switch {
	case o.hour > t.hour:
		t.hour, t.hourMessages = o.hour, o.hourMessages
	case o.hour == t.hour:
		t.hourMessages += o.hourMessages
	}
	if o.at.After(t.at) {
		t.at, t.ip = o.at, o.ip
	}
	return t
}

// usage is what is counted. base is what the database said last, of credentials with limits and the present day; flying is being written.
type usage struct {
	flushing sync.Mutex // one writer at a time; held while base is read, so that base and pending never overlap
	mu       sync.Mutex
	base     map[dayKey]tally
	pending  map[dayKey]tally
	flying   map[dayKey]tally
	recent   map[string]tally // at and ip: the last use that this process saw, by user
	forgot   int64            // the day on which what is too old was removed last; guarded by flushing
}

func newUsage() *usage {
	return &usage{base: map[dayKey]tally{}, pending: map[dayKey]tally{}, flying: map[dayKey]tally{}, recent: map[string]tally{}}
}

func dayOf(t time.Time) int64  { return floor(t.Unix(), 86400) }
func hourOf(t time.Time) int64 { return floor(t.Unix(), 3600) }

func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// sum is what is known of a key. The caller holds mu.
func (u *usage) sum(k dayKey) tally { return u.base[k].plus(u.flying[k]).plus(u.pending[k]) }

// spent is the sum at a moment.
func (u *usage) spent(user string, now time.Time) Spent {
	t := u.sum(dayKey{user, dayOf(now)})
	s := Spent{MessagesDay: int(t.messages), RecipientsDay: int(t.recipients)}
	if t.hour == hourOf(now) {
		s.MessagesHour = int(t.hourMessages)
	}
	return s
}

// over returns the limit that so much more would break, of several the one that ends last.
func (m Limits) over(user string, s Spent, messages, recipients int, now time.Time) error {
	hour, day := time.Unix((hourOf(now)+1)*3600, 0).UTC(), time.Unix((dayOf(now)+1)*86400, 0).UTC()
	switch {
	case m.RecipientsDay > 0 && s.RecipientsDay+recipients > m.RecipientsDay:
		return &LimitError{user, RecipientsPerDay, m.RecipientsDay, day}
	case m.MessagesDay > 0 && s.MessagesDay+messages > m.MessagesDay:
		return &LimitError{user, MessagesPerDay, m.MessagesDay, day}
	case m.MessagesHour > 0 && s.MessagesHour+messages > m.MessagesHour:
		return &LimitError{user, MessagesPerHour, m.MessagesHour, hour}
	}
	return nil
}

// Room reports whether a credential may send one more message to so many recipients now, without counting it; else the error is a *LimitError.
// Nobody in particular ("" or unknown) has no limits.
func (l *Ledger) Room(user string, recipients int, now time.Time) error {
	c := l.state.Load().credentials[user]
	if c == nil || c.Limits == (Limits{}) {
		return nil
	}
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	return c.Limits.over(user, l.uses.spent(user, now), 1, recipients, now)
}

// Spend counts a message to so many recipients, if all limits have room for it; else nothing is counted and the error is a *LimitError.
func (l *Ledger) Spend(user string, recipients int, ip netip.Addr, now time.Time) error {
	c := l.state.Load().credentials[user]
	if c == nil {
		return nil
	}
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	if c.Limits != (Limits{}) {
		if err := c.Limits.over(user, l.uses.spent(user, now), 1, recipients, now); err != nil {
			return err
		}
	}
	l.uses.count(dayKey{user, dayOf(now)}, tally{messages: 1, recipients: int64(recipients), hour: hourOf(now), hourMessages: 1, at: now, ip: ip})
	return nil
}

// Unspend takes back what Spend counted at that moment: the message was not taken after all. refused counts it as refused.
func (l *Ledger) Unspend(user string, recipients int, at time.Time, refused bool) {
	if l.state.Load().credentials[user] == nil {
		return
	}
	t := tally{messages: -1, recipients: -int64(recipients), hour: hourOf(at), hourMessages: -1}
	if refused {
		t.refused = 1
	}
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	k := dayKey{user, dayOf(at)}
	if p := l.uses.pending[k]; p.hour > t.hour { // that hour is over: only the day's count matters
		t.hour, t.hourMessages = 0, 0
	}
	l.uses.count(k, t)
}

// Refused counts a message that a credential tried to send and that was refused.
func (l *Ledger) Refused(user string, ip netip.Addr, now time.Time) {
	if l.state.Load().credentials[user] == nil {
		return
	}
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	l.uses.count(dayKey{user, dayOf(now)}, tally{refused: 1, at: now, ip: ip})
}

// count takes in what happened. The caller holds mu.
func (u *usage) count(k dayKey, t tally) {
	u.pending[k] = u.pending[k].plus(t)
	if t.at.After(u.recent[k.user].at) {
		u.recent[k.user] = tally{at: t.at, ip: t.ip}
	}
}

// Spent returns what a credential used in the present hour and day; of one without limits only what this process counted lately.
func (l *Ledger) Spent(user string, now time.Time) Spent {
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	return l.uses.spent(user, now)
}

// readUse reads the day's counts of credentials with limits. The caller holds flushing.
func readUse(t *store.Tx, day int64) (map[dayKey]tally, error) {
	rows := t.Query(`SELECT u.credential, u.messages, u.recipients, u.refused, u.hour, u.hour_messages, u.used, u.used_ip FROM account_use u
 JOIN account_credential c ON c.name = u.credential
 WHERE u.day = ? AND (c.messages_hour > 0 OR c.messages_day > 0 OR c.recipients_day > 0)`, day)
	base := map[dayKey]tally{}
	for rows.Next() {
		var user, ip string
		var x tally
		if err := rows.Scan(&user, &x.messages, &x.recipients, &x.refused, &x.hour, &x.hourMessages, &x.at, &ip); err != nil {
			return nil, err
		}
		x.ip, _ = netip.ParseAddr(ip) // "" is none
		base[dayKey{user, day}] = x
	}
	return base, rows.Err()
}

// refreshUse takes in what other nodes counted.
func (l *Ledger) refreshUse(ctx context.Context) error {
	l.uses.flushing.Lock()
	defer l.uses.flushing.Unlock()
	return l.readBase(ctx)
}

func (l *Ledger) readBase(ctx context.Context) error {
	var base map[dayKey]tally
	if err := l.db.Read(ctx, func(t *store.Tx) (err error) {
		base, err = readUse(t, dayOf(l.now()))
		return err
	}); err != nil {
		return fmt.Errorf("account: read use: %w", err)
	}
	l.uses.mu.Lock()
	l.uses.base = base
	l.uses.mu.Unlock()
	return nil
}

// Flush writes what was counted, and reads what other nodes counted. What cannot be written stays counted, for the next time.
func (l *Ledger) Flush(ctx context.Context) error {
	u := l.uses
	u.flushing.Lock()
	defer u.flushing.Unlock()
	for {
		u.mu.Lock()
		for k, t := range u.pending {
			if len(u.flying) == flushBatch {
				break
			}
			u.flying[k] = t
			delete(u.pending, k)
		}
		batch := u.flying
		u.mu.Unlock()
		if len(batch) == 0 {
			return l.readBase(ctx)
		}
		err := l.db.Write(ctx, func(t *store.Tx) error { return writeUse(t, batch) })
		u.mu.Lock()
		into := u.pending
		if err == nil {
			into = u.base // until it is read again
		}
		for k, t := range batch {
			into[k] = t.plus(into[k])
		}
		u.flying = map[dayKey]tally{}
		u.mu.Unlock()
		if err != nil {
			return fmt.Errorf("account: write use: %w", err)
		}
	}
}

// writeUse adds tallies to the database, credentials in order so that nodes do not wait for each other in a circle.
func writeUse(t *store.Tx, batch map[dayKey]tally) error {
	keys := make([]dayKey, 0, len(batch))
	for k := range batch {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b dayKey) int {
		if a.user != b.user {
			if a.user < b.user {
				return -1
			}
			return 1
		}
		return int(a.day - b.day)
	})
	for _, k := range keys {
		x, ip := batch[k], ""
		if x.ip.IsValid() {
			ip = x.ip.String()
		}
		if _, err := t.Exec(`INSERT INTO account_use (credential, day, messages, recipients, refused, hour, hour_messages, used, used_ip) VALUES (?,?,?,?,?,?,?,?,?)
 ON CONFLICT (credential, day) DO UPDATE SET messages = account_use.messages + excluded.messages, recipients = account_use.recipients + excluded.recipients,
 refused = account_use.refused + excluded.refused,
 hour_messages = CASE WHEN excluded.hour > account_use.hour THEN excluded.hour_messages WHEN excluded.hour = account_use.hour THEN account_use.hour_messages + excluded.hour_messages ELSE account_use.hour_messages END,
 hour = CASE WHEN excluded.hour > account_use.hour THEN excluded.hour ELSE account_use.hour END,
 used_ip = CASE WHEN excluded.used > account_use.used THEN excluded.used_ip ELSE account_use.used_ip END,
 used = CASE WHEN excluded.used > account_use.used THEN excluded.used ELSE account_use.used END`,
			k.user, k.day, x.messages, x.recipients, x.refused, x.hour, x.hourMessages, x.at, ip); err != nil {
			return err
		}
		if x.at.IsZero() {
			continue
		}
		if _, err := t.Exec(`UPDATE account_credential SET used = ?, used_ip = ? WHERE name = ? AND used < ?`, x.at, ip, k.user, x.at); err != nil {
			return err
		}
	}
	return nil
}

// Uses returns what each credential of a customer did, by user, from a day on; days without use are left out. The oldest day comes first.
func (l *Ledger) Uses(ctx context.Context, customer string, from time.Time) (map[string][]Day, error) {
	all := map[dayKey]tally{}
	l.uses.flushing.Lock() // what is being written would be counted twice, or not at all
	defer l.uses.flushing.Unlock()
	err := l.db.Read(ctx, func(t *store.Tx) error {
		rows := t.Query(`SELECT u.credential, u.day, u.messages, u.recipients, u.refused, u.used, u.used_ip FROM account_credential c
 JOIN account_use u ON u.credential = c.name WHERE c.customer = ? AND u.day >= ?`, customer, dayOf(from))
		for rows.Next() {
			var k dayKey
			var x tally
			var ip string
			if err := rows.Scan(&k.user, &k.day, &x.messages, &x.recipients, &x.refused, &x.at, &ip); err != nil {
				return err
			}
			x.ip, _ = netip.ParseAddr(ip)
			all[k] = x
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("account: read use: %w", err)
	}
	s := l.state.Load()
	l.uses.mu.Lock()
	for k, x := range l.uses.pending {
		if c := s.credentials[k.user]; c != nil && c.Customer == customer && k.day >= dayOf(from) {
			all[k] = all[k].plus(x)
		}
	}
	l.uses.mu.Unlock()
	out := map[string][]Day{}
	for k, x := range all {
		out[k.user] = append(out[k.user], Day{Day: time.Unix(k.day*86400, 0).UTC(), Messages: int(x.messages), Recipients: int(x.recipients), Refused: int(x.refused), Last: x.at, LastIP: x.ip})
	}
	for _, days := range out {
		slices.SortFunc(days, func(a, b Day) int { return a.Day.Compare(b.Day) })
	}
	return out, nil
}

// lastUse completes a credential by what this process saw since the database was read.
func (l *Ledger) lastUse(c Credential) Credential {
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	if t := l.uses.recent[c.User]; t.at.After(c.LastUsed) {
		c.LastUsed, c.LastIP = micros(t.at), t.ip
	}
	return c
}

// forgetUse removes once a day what is too old to keep.
func (l *Ledger) forgetUse(ctx context.Context) error {
	today := dayOf(l.now())
	l.uses.flushing.Lock()
	defer l.uses.flushing.Unlock()
	if l.uses.forgot == today {
		return nil
	}
	err := l.db.Write(ctx, func(t *store.Tx) error {
		_, err := t.Exec(`DELETE FROM account_use WHERE day < ?`, today-keepUse)
		return err
	})
	if err == nil {
		l.uses.forgot = today
	}
	return err
}
