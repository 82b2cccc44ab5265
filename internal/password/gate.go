package password

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// The gate's figures.
const (
	failureWindow   = 15 * time.Minute // failures older than this no longer count towards the limit
	failuresPerUser = 5
	failuresPerIP   = 20 // a /32 or a /64
	firstBlock      = time.Minute
	longestBlock    = 4 * time.Hour
	knownFor        = 24 * time.Hour // an address that authenticated a user
	maxRemembered   = 10_000         // entries of each table
)

// Gate stands before the password check: it remembers who was right, who was wrong and when. It lives in
// memory; what it shut may be shared with other processes and with the next one (Changes, Learn). Its methods may be called concurrently. Make one with NewGate.
type Gate struct {
	Hasher
	keep   time.Duration
	secret []byte // key of the HMACs, random per process

	mu    sync.Mutex
	right map[[sha256.Size]byte]time.Time // HMAC of user, password, stored hash -> until
	users map[name]*failures
	ips   map[netip.Prefix]*failures
	known map[knownPair]time.Time // -> until

	shared changes // what is to be told to other processes
}

// name stands for a user: a digest, because what is typed as a name may be a password, and is kept.
type name [16]byte

func nameOf(user string) (n name) {
	sum := sha256.Sum256([]byte(user))
	copy(n[:], sum[:])
	return n
}

type knownPair struct {
	user name
	from netip.Prefix
}

// failures counts the wrong passwords of one user or one client network.
type failures struct {
	count   int // within the window, or since the first block
	last    time.Time
	blocked time.Time // until; zero: not yet
	shared  bool      // it stands where other processes read it
}

// NewGate returns a gate that knows nobody yet. A password found right is remembered for keep, as an HMAC under a key that lives in
// this process only, and forgotten when the stored hash changes; 0: it is computed every time.
func NewGate(keep time.Duration) (*Gate, error) {
	g := &Gate{
		Hasher: NewHasher(),
		keep:   keep,
		secret: make([]byte, 32),
		right:  map[[sha256.Size]byte]time.Time{},
		users:  map[name]*failures{},
		ips:    map[netip.Prefix]*failures{},
		known:  map[knownPair]time.Time{},
		shared: newChanges(),
	}
	if _, err := rand.Read(g.secret); err != nil {
		return nil, fmt.Errorf("password: random bytes: %w", err)
	}
	return g, nil
}

// Attempt is one password to look at.
type Attempt struct {
	User, Password string
	Stored         string     // the user's hash; "" when there is no such user, or he has no password
	IP             netip.Addr // of the client; the zero address: failures count against the user only
}

// Check looks at a password. ErrDenied for what does not fit, at the same cost whether the user exists or not; ErrThrottled when
// the gate is shut. What others found out while it waited for its turn counts: a flood of parallel guesses gets no more tries than a queue of
// them, and many sessions that start at once with the same password cost one hash. A password that fits does not open the gate: Succeeded does.
func (g *Gate) Check(ctx context.Context, a Attempt, now func() time.Time) error {
	at := now()
	if !g.Admits(a.User, a.IP, at) {
		return ErrThrottled
	}
	if a.Stored != "" && g.remembers(a.User, a.Password, a.Stored, at) {
		return nil
	}
	release, err := g.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	at = now()
	switch {
	case !g.Admits(a.User, a.IP, at):
		return ErrThrottled
	case a.Stored != "" && g.remembers(a.User, a.Password, a.Stored, at):
		return nil
	case !g.verify(a.Password, a.Stored):
		g.Failed(a.User, a.IP, at)
		return ErrDenied
	}
	g.remember(a.User, a.Password, a.Stored, at)
	return nil
}

// network is the unit failures of client IPs are counted by; the zero prefix for no address.
func network(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Admits reports whether this pair of user and client may try a password now. The zero address counts for the user only.
func (g *Gate) Admits(user string, ip netip.Addr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := network(ip)
	if f := g.ips[from]; f != nil && now.Before(f.blocked) {
		return false
	}
	if f := g.users[nameOf(user)]; f != nil && now.Before(f.blocked) {
		return from.IsValid() && now.Before(g.known[knownPair{nameOf(user), from}])
	}
	return true
}

// Failed counts a failure: five of a user within 15 minutes, or twenty of a client network (an IPv4 address or an IPv6 /64), shut the gate
// for a minute, doubling with each further one up to four hours.
func (g *Gate) Failed(user string, ip netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := nameOf(user)
	if count(g.users, who, failuresPerUser, now) {
		note(g.shared.users, who)
	}
	g.failedNetwork(ip, now)
}

// AdmitsNetwork and FailedNetwork are Admits and Failed where nobody is named: a guessed token says no user.
func (g *Gate) AdmitsNetwork(ip netip.Addr, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.ips[network(ip)]
	return f == nil || !now.Before(f.blocked)
}

// FailedNetwork counts a failure of a client network.
func (g *Gate) FailedNetwork(ip netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failedNetwork(ip, now)
}

// failedNetwork counts a failure of a client network. The caller holds mu.
func (g *Gate) failedNetwork(ip netip.Addr, now time.Time) {
	if from := network(ip); from.IsValid() && count(g.ips, from, failuresPerIP, now) {
		note(g.shared.networks, from)
	}
}

// count notes a failure of key and blocks it when there were limit of them. It reports whether it is blocked.
func count[K comparable](table map[K]*failures, key K, limit int, now time.Time) bool {
	f := table[key]
	if f == nil {
		makeRoom(table, func(f *failures) time.Time { return f.last }, func(f *failures) bool { return f.over(now) })
		f = &failures{}
		table[key] = f
	}
	if f.over(now) {
		*f = failures{shared: f.shared}
	}
	f.count++
	f.last = now
	if beyond := f.count - limit; beyond >= 0 {
		block := longestBlock
		if beyond < 8 { // 2^8 minutes exceed the longest block
			block = min(firstBlock<<beyond, longestBlock)
		}
		f.blocked = now.Add(block)
	}
	return !f.blocked.IsZero()
}

// over reports whether these failures are forgotten: the window has passed since the last one, or as much time
// again as the block lasted.
func (f *failures) over(now time.Time) bool {
	return now.After(f.forgotten())
}

// forgotten is when that is.
func (f *failures) forgotten() time.Time {
	memory := failureWindow
	if !f.blocked.IsZero() {
		memory = max(memory, 2*f.blocked.Sub(f.last))
	}
	return f.last.Add(memory)
}

// Succeeded forgets the user's failures and notes the network he came from: for 24 hours the failures of others do not stop him there.
// Failures of the network stay: one right password does not clear a guesser.
func (g *Gate) Succeeded(user string, ip netip.Addr, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := nameOf(user)
	f := g.users[who]
	if f != nil && (f.shared || g.shared.users[who]) { // the lock ends for everybody
		note(g.shared.users, who)
	}
	delete(g.users, who)
	if from := network(ip); from.IsValid() {
		pair := knownPair{who, from}
		if _, ok := g.known[pair]; !ok {
			makeRoom(g.known, func(until time.Time) time.Time { return until }, now.After)
		}
		g.known[pair] = now.Add(knownFor)
	}
}

func (g *Gate) digest(user, password, stored string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, g.secret)
	for _, s := range []string{user, password, stored} {
		// The length goes first, so that no two triples read the same.
		fmt.Fprintf(mac, "%d:%s", len(s), s)
	}
	mac.Sum(sum[:0])
	return sum
}

func (g *Gate) remembers(user, password, stored string, now time.Time) bool {
	sum := g.digest(user, password, stored)
	g.mu.Lock()
	defer g.mu.Unlock()
	return now.Before(g.right[sum])
}

func (g *Gate) remember(user, password, stored string, now time.Time) {
	if g.keep <= 0 {
		return
	}
	sum := g.digest(user, password, stored)
	g.mu.Lock()
	defer g.mu.Unlock()
	makeRoom(g.right, func(until time.Time) time.Time { return until }, now.After)
	g.right[sum] = now.Add(g.keep)
}

// makeRoom keeps a table below its bound: what has expired goes first, then the oldest.
func makeRoom[K comparable, V any](table map[K]V, age func(V) time.Time, expired func(V) bool) {
	if len(table) < maxRemembered {
		return
	}
	var oldest K
	var at time.Time
	for key, v := range table {
		if expired(v) {
			delete(table, key)
		} else if t := age(v); at.IsZero() || t.Before(at) {
			oldest, at = key, t
		}
	}
	if len(table) >= maxRemembered {
		delete(table, oldest)
	}
}
