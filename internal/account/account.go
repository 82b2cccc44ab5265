// Package account is the ledger of those who may send: customers, their networks and domains, the credentials
// that authenticate a submission, the DKIM keys that sign for a domain, and the pools mail leaves from.
//
// # What it holds
//
// A Customer comes from the configuration file (Origin "config") or was made here (Origin "database").
// What the file defines is edited in the file only: ErrFromConfig says which one. Suspension and credentials belong
// to this ledger for both kinds; they survive a customer's absence from the file and come back with it. A network and a domain belong
// to one customer. Networks as wide as a country are refused, because they would make an open relay.
//
// A credential is a generated user name and password, which may have limits and be bound to client networks; what it sends is counted by day
// (use.go). The password is shown once and kept as an argon2id
// hash. DKIM private keys are kept in the clear: the database file must be readable by Postern's user only
// (mode 0600, which store sees to), and so must its backups. Neither is ever logged.
//
// Tuning (tuning.go) is points of tests that differ, and allow and deny lists, for one customer or for everybody, from the file or made here.
// Tuned answers the filter from memory; what a match is worth is the filter's matter.
//
// # What it does not
//
// It asks no network, judges no message and sends nothing. Whether a domain really belongs to the customer
// is checked by who adds it.
//
// # Life
//
// New opens, Refresh (or SyncConfig) reads the database into memory, Run keeps the memory up to date with what other processes
// write. Until the first Refresh the ledger knows nobody and refuses everybody. ByNetwork, OwnsDomain,
// Customer, SigningKeys and Pool answer from memory and never wait; values they return share memory with the ledger and are only to be read.
// All methods are safe for concurrent use.
//
// # Who calls it
//
// intake (who is this, may he use this address), filter (identity tests), delivery (keys, pools), notice
// (language, contact), and the faces for editing.
//
// # How it fails
//
// Closed: an unreadable hash, an unknown user, a missing customer all deny. When the database does not
// answer, writes return its error and reads go on with the last known state.
package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/mail"
	"postern/internal/password"
	"postern/internal/store"
)

// Errors callers tell apart with errors.Is.
var (
	// ErrDenied: user name or password is wrong, or the credential is revoked. Which of them is not told.
	ErrDenied = errors.New("account: user name or password is wrong")
	// ErrSuspended: the password is right, but the customer may not send.
	ErrSuspended = errors.New("account: customer is suspended")
	// ErrThrottled: too many failures of this user or client IP; the password was not looked at.
	ErrThrottled = errors.New("account: too many failed logins, try again later")
	// ErrElsewhere: the password is right, but the credential is not taken from this client IP.
	ErrElsewhere = errors.New("account: the credential is not taken from this address")
	// ErrFromConfig: the customer is defined in the configuration file; the error text names it.
	ErrFromConfig = errors.New("account: defined in the configuration file")
	// ErrNotFound: no such customer, credential or key.
	ErrNotFound = errors.New("account: not found")
	// ErrTaken: the network, domain, key or id belongs to somebody already; the error text names him.
	ErrTaken = errors.New("account: taken")
)

// topic is what store.Notify tells other processes after a change.
const topic = "account"

// refreshEvery bounds how long a change made by another process may stay unseen when its notification is lost.
const refreshEvery = time.Minute

// Egress is one address and name that mail leaves from.
type Egress struct {
	IP   netip.Addr // invalid: whichever the system chooses
	HELO string     // the name said in EHLO; "" = the gateway's host name
	Warm time.Time  // when its warm-up began; zero: receivers know it
}

// Pool is the egress addresses used for a class of mail. No Egress at all means any address.
type Pool struct {
	Name   string
	Egress []Egress

	Overflow string // pool that takes what the warm-up of this one has no room for; "": the warm addresses of this one
	Strict   bool   // what no address takes waits for the next day of the warm-up
	Spill    string // when a message leaves from another address than its own: "trouble" (also ""), "always", "never"
}

// DefaultPool is the name of the pool of customers that name none.
const DefaultPool = "default"

// Options says what a ledger needs. DB must have the migrations of store.MainSchema.
type Options struct {
	DB     *store.DB
	Pools  []Pool           // none: one pool "default" with any address
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: silent
}

// Ledger is the account ledger. Make one with New.
type Ledger struct {
	db     *store.DB
	now    func() time.Time
	logger *slog.Logger
	pools  map[string]Pool

	refreshing   sync.Mutex // one reader of the database at a time, so that an older state never replaces a newer one
	tuning       Tuning     // of the configuration file tuningSource; guarded by refreshing
	tuningSource string
	state        atomic.Pointer[snapshot]
	gate         *password.Gate
	uses         *usage
	watchers     watchers
}

// New checks the options and makes a ledger. It does not read the database: Refresh, SyncConfig and Run do.
func New(o Options) (*Ledger, error) {
	if o.DB == nil {
		return nil, errors.New("account: Options.DB is missing")
	}
	l := &Ledger{db: o.DB, now: o.Now, logger: o.Logger, pools: map[string]Pool{}, uses: newUsage()}
	if l.now == nil {
		l.now = time.Now
	}
	if l.logger == nil {
		l.logger = slog.New(slog.DiscardHandler)
	}
	for _, p := range o.Pools {
		if _, twice := l.pools[p.Name]; twice || p.Name == "" {
			return nil, fmt.Errorf("account: pool %q: names are given once and not empty", p.Name)
		}
		l.pools[p.Name] = p
	}
	if _, ok := l.pools[DefaultPool]; !ok {
		l.pools[DefaultPool] = Pool{Name: DefaultPool}
	}
	var err error
	if l.gate, err = password.NewGate(rememberFor); err != nil {
		return nil, err
	}
	l.state.Store(newSnapshot(rows{}))
	return l, nil
}

// Gate is what slows down who guesses passwords of credentials.
func (l *Ledger) Gate() *password.Gate { return l.gate }

// Refresh reads customers, credentials and keys from the database into memory.
func (l *Ledger) Refresh(ctx context.Context) error {
	l.refreshing.Lock()
	defer l.refreshing.Unlock()
	var r rows
	if err := l.db.Read(ctx, func(t *store.Tx) (err error) {
		r, err = readAll(t)
		return err
	}); err != nil {
		return fmt.Errorf("account: read: %w", err)
	}
	r.file, r.fileSource = l.tuning, l.tuningSource
	l.state.Store(newSnapshot(r))
	l.watchers.wake()
	return l.refreshUse(ctx)
}

// Run keeps the memory up to date and writes what credentials used until ctx ends; then it writes the rest and returns nil. What fails is logged
// and tried again.
func (l *Ledger) Run(ctx context.Context) error {
	changed, stop := l.db.Watch(topic)
	defer stop()
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	for {
		if err := l.Refresh(ctx); err != nil && ctx.Err() == nil {
			l.logger.Warn("accounts could not be read again, the last known state stays in force", "err", err)
		}
		for again := false; !again; {
			select {
			case <-ctx.Done():
				l.lastFlush(ctx)
				return nil
			case <-flush.C:
				l.flushed(ctx)
			case <-changed:
				again = true
			case <-tick.C:
				again = true
			}
		}
	}
}

// lastFlush writes what was counted when the process ends.
func (l *Ledger) lastFlush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	l.flushed(ctx)
}

// flushed is Flush with what is too old removed, and failures in the log.
func (l *Ledger) flushed(ctx context.Context) {
	err := l.Flush(ctx)
	if err == nil {
		err = l.forgetUse(ctx)
	}
	if err != nil && ctx.Err() == nil {
		l.logger.Warn("use of credentials not written, it is tried again", "err", err)
	}
}

// write runs fn in one transaction, then refreshes this process and tells the others.
func (l *Ledger) write(ctx context.Context, fn func(t *store.Tx) error) error {
	if err := l.db.Write(ctx, fn); err != nil {
		return err
	}
	l.db.Notify(topic)
	return l.Refresh(ctx)
}

// Pool returns the pool of that name; "" and unknown names mean the default pool.
func (l *Ledger) Pool(name string) Pool {
	if p, ok := l.pools[name]; ok {
		return p
	}
	return l.pools[DefaultPool]
}

// Pools returns all pools sorted by name.
func (l *Ledger) Pools() []Pool {
	var all []Pool
	for _, p := range l.pools {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Pool) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Addresses are those that mail leaves from, each once, in the order of the pools; not those that the system chooses.
func (l *Ledger) Addresses() (out []netip.Addr) {
	for _, p := range l.Pools() {
		for _, e := range p.Egress {
			if e.IP.IsValid() && !slices.Contains(out, e.IP) {
				out = append(out, e.IP)
			}
		}
	}
	return out
}

// snapshot is the ledger in memory. It never changes once made.
type snapshot struct {
	customers   map[string]*Customer
	sorted      []*Customer
	networks    map[netip.Prefix]*Customer
	lengths4    []int // prefix lengths in use, longest first
	lengths6    []int
	domains     map[mail.Domain]*Customer
	returns     map[mail.Domain]bool // domains of return addresses
	credentials map[string]*Credential
	keys        map[mail.Domain][]KeyRecord // newest first
	tuning      tuningState
}

func newSnapshot(r rows) *snapshot {
	s := &snapshot{
		customers:   map[string]*Customer{},
		networks:    map[netip.Prefix]*Customer{},
		domains:     map[mail.Domain]*Customer{},
		returns:     map[mail.Domain]bool{},
		credentials: map[string]*Credential{},
		keys:        map[mail.Domain][]KeyRecord{},
		tuning:      newTuningState(r.tuning, r.file, r.fileSource),
	}
	for i := range r.customers {
		c := &r.customers[i].Customer
		if r.customers[i].gone {
			continue
		}
		s.customers[c.ID] = c
		s.sorted = append(s.sorted, c)
		for _, n := range c.Networks {
			s.networks[n] = c
			if n.Addr().Is4() {
				s.lengths4 = append(s.lengths4, n.Bits())
			} else {
				s.lengths6 = append(s.lengths6, n.Bits())
			}
		}
		for _, d := range c.Domains {
			s.domains[d] = c
		}
		if d := c.ReturnDomain(); d != "" {
			s.returns[d] = true
		}
	}
	slices.SortFunc(s.sorted, func(a, b *Customer) int { return cmp.Compare(a.ID, b.ID) })
	for _, lengths := range []*[]int{&s.lengths4, &s.lengths6} {
		slices.SortFunc(*lengths, func(a, b int) int { return b - a })
		*lengths = slices.Compact(*lengths)
	}
	for i := range r.credentials {
		s.credentials[r.credentials[i].User] = &r.credentials[i]
	}
	for _, k := range r.keys {
		s.keys[k.Domain] = append(s.keys[k.Domain], k)
	}
	for _, keys := range s.keys {
		slices.SortFunc(keys, func(a, b KeyRecord) int {
			return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.Selector, a.Selector))
		})
	}
	return s
}
