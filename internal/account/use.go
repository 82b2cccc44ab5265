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
// ends. A limit is exact within a process, to a slot of its window. Across restarts and nodes it is approximate: counts of the last flushEvery may be missing.

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
	Until time.Time // when so much is older than an hour or a day that there is room again (UTC)
}

// Error names limit and end.
func (e *LimitError) Error() string {
	return fmt.Sprintf("account: %s has used up its limit %s of %d, until %s", e.User, e.Limit, e.Most, e.Until.UTC().Format(time.RFC3339))
}

// Is makes errors.Is(err, ErrLimit) true.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

// Spent is what a credential used in the last hour and the last 24 hours, as limits count them.
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
	at                            time.Time
	ip                            netip.Addr
}

func (t tally) plus(o tally) tally {
	t.messages, t.recipients, t.refused = t.messages+o.messages, t.recipients+o.recipients, t.refused+o.refused
	if o.at.After(t.at) {
		t.at, t.ip = o.at, o.ip
	}
	return t
}

// usage is what is counted, by day for the history and by window for limits. base is what the database said last of credentials with limits; flying is
// being written.
type usage struct {
	flushing sync.Mutex // one writer at a time; held while base is read, so that base and pending never overlap
	mu       sync.Mutex
	pending  map[dayKey]tally
	flying   map[dayKey]tally
	recent   map[string]tally // at and ip: the last use that this process saw, by user
	forgot   int64            // the day on which what is too old was removed last; guarded by flushing

	base, pendingWindow, flyingWindow map[string]*window // by user
}

func newUsage() *usage {
	return &usage{pending: map[dayKey]tally{}, flying: map[dayKey]tally{}, recent: map[string]tally{},
		base: map[string]*window{}, pendingWindow: map[string]*window{}, flyingWindow: map[string]*window{}}
}

func dayOf(t time.Time) int64 { return floor(t.Unix(), 86400) }

func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// lately is what counts for a user at a moment. The caller holds mu.
func (u *usage) lately(user string, now time.Time) recent {
	return gather(now, u.base[user], u.flyingWindow[user], u.pendingWindow[user])
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
	return c.Limits.over(user, l.uses.lately(user, now), 1, recipients)
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
		if err := c.Limits.over(user, l.uses.lately(user, now), 1, recipients); err != nil {
			return err
		}
	}
	l.uses.count(dayKey{user, dayOf(now)}, tally{messages: 1, recipients: int64(recipients), at: now, ip: ip})
	l.uses.window(user).add(now, 1, int64(recipients))
	return nil
}

// Unspend takes back what Spend counted at that moment: the message was not taken after all. refused counts it as refused.
func (l *Ledger) Unspend(user string, recipients int, at time.Time, refused bool) {
	if l.state.Load().credentials[user] == nil {
		return
	}
	t := tally{messages: -1, recipients: -int64(recipients)}
	if refused {
		t.refused = 1
	}
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	l.uses.count(dayKey{user, dayOf(at)}, t)
	l.uses.window(user).add(at, -1, -int64(recipients))
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

// window is what is to be written of a user. The caller holds mu.
func (u *usage) window(user string) *window {
	w := u.pendingWindow[user]
	if w == nil {
		w = &window{}
		u.pendingWindow[user] = w
	}
	return w
}

// Spent returns what a credential used in the last hour and day; of one without limits only what this process counted lately.
func (l *Ledger) Spent(user string, now time.Time) Spent {
	l.uses.mu.Lock()
	defer l.uses.mu.Unlock()
	r := l.uses.lately(user, now)
	return r.spent()
}

// refreshUse takes in what other nodes counted.
func (l *Ledger) refreshUse(ctx context.Context) error {
	l.uses.flushing.Lock()
	defer l.uses.flushing.Unlock()
	return l.readBase(ctx)
}

func (l *Ledger) readBase(ctx context.Context) error {
	var base map[string]*window
	if err := l.db.Read(ctx, func(t *store.Tx) (err error) {
		base, err = readWindows(t, l.now())
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
			if w := u.pendingWindow[k.user]; w != nil {
				u.flyingWindow[k.user] = w
				delete(u.pendingWindow, k.user)
			}
		}
		batch, windows := u.flying, u.flyingWindow
		u.mu.Unlock()
		if len(batch) == 0 {
			return l.readBase(ctx)
		}
		err := l.db.Write(ctx, func(t *store.Tx) error { return writeUse(t, batch, windows) })
		u.mu.Lock()
		if err != nil {
			for k, t := range batch {
				u.pending[k] = t.plus(u.pending[k])
			}
		}
		into := u.pendingWindow
		if err == nil {
			into = u.base // until it is read again
		}
		for user, w := range windows {
			w.merge(into[user])
			into[user] = w
		}
		u.flying, u.flyingWindow = map[dayKey]tally{}, map[string]*window{}
		u.mu.Unlock()
		if err != nil {
			return fmt.Errorf("account: write use: %w", err)
		}
	}
}

// writeUse adds tallies to the database, credentials in order so that nodes do not wait for each other in a circle.
func writeUse(t *store.Tx, batch map[dayKey]tally, windows map[string]*window) error {
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
	for i, k := range keys {
		if w := windows[k.user]; w != nil && (i == 0 || keys[i-1].user != k.user) {
			if err := writeWindow(t, k.user, w); err != nil {
				return err
			}
		}
		x, ip := batch[k], ""
		if x.ip.IsValid() {
			ip = x.ip.String()
		}
		if _, err := t.Exec(`INSERT INTO account_use (credential, day, messages, recipients, refused, used, used_ip) VALUES (?,?,?,?,?,?,?)
 ON CONFLICT (credential, day) DO UPDATE SET messages = account_use.messages + excluded.messages, recipients = account_use.recipients + excluded.recipients,
 refused = account_use.refused + excluded.refused,
 used_ip = CASE WHEN excluded.used > account_use.used THEN excluded.used_ip ELSE account_use.used_ip END,
 used = CASE WHEN excluded.used > account_use.used THEN excluded.used ELSE account_use.used END`,
			k.user, k.day, x.messages, x.recipients, x.refused, x.at, ip); err != nil {
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
		if _, err := t.Exec(`DELETE FROM account_window WHERE latest < ?`, l.now().Add(-25*time.Hour)); err != nil {
			return err
		}
		_, err := t.Exec(`DELETE FROM account_use WHERE day < ?`, today-keepUse)
		return err
	})
	if err == nil {
		l.uses.forgot = today
	}
	return err
}
