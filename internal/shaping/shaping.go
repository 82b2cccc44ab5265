// Package shaping decides when which message may go where from which of our addresses: lanes, the customers' shares in them, the providers'
// limits, what is in force on a lane and why, and the warm-up of new addresses. It speaks to nobody: delivery asks and obeys.
//
// A lane is the queue towards one provider from one egress address. In a lane customers take turns by weight, in a customer transactional mail goes
// before bulk, in a class the streams (credentials) take turns. A lane keeps a bounded number of messages in memory; what is beyond comes back with a
// time and a reason (Wait), which delivery writes into the spool.
//
// What is in force (Reaction) has a reason, a start and an end, is kept in the database, and can be lifted by the operator. Limits are counted here,
// per egress address: an address belongs to one node, so nobody else counts.
//
// # Life
//
// New opens nothing, Load reads what an earlier process left, Run writes: what is in force at once, counts every few seconds, both once more when it
// ends. A lane comes with its first message and goes when it has been idle, nothing is in force on it and its limits' windows are empty. It
// has no goroutine: one timer, and the caller's workers.
//
// An item: Offer -> waiting -> Take -> being sent -> Observe per answer -> Done; or it is parked, by the answer of Offer or later by Options.Park. A
// worker: Options.Hire -> Take ... -> Leave. A reaction: in force -> over, or -> probing (one message goes first) -> over or in force again.
//
// A reaction stops the lane, or less (Scope): a sender whom an answer is about, or the exchangers of a provider's one customer that nobody answers at (a
// route). What less than a lane is stopped waits in the spool, so that the lane's memory and connections stay with the others.
//
// # Who calls it
//
// delivery; the faces read Lanes, InForce, History, Explain and Pools, and call PauseLane and Lift through it.
//
// # How it fails
//
// Offer, Take, Done and Observe do not fail. While the database is out, lanes with a limit by hour or day wait for their counts to be stored, for half
// a minute at most; then mail goes on, and a crash in that state may let an hour or day hold more than its limit. PauseLane and Lift take hold
// and return the database's error when they could not be written; Run goes on trying.
package shaping

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/store"
)

// Key names a lane.
type Key struct {
	Egress   netip.Addr // invalid: whichever the system chooses
	Provider string     // provider.Provider.Name; for exchangers nobody knows their site, "mx:mx1.example.net,mx2.example.net"
}

// String is "orange 192.0.2.10"; without an address "orange".
func (k Key) String() string {
	if !k.Egress.IsValid() {
		return k.Provider
	}
	return k.Provider + " " + k.Egress.String()
}

// ParseKey reads what String wrote.
func ParseKey(s string) (Key, error) {
	name, addr, found := strings.Cut(s, " ")
	if !found {
		return Key{Provider: name}, nil
	}
	ip, err := netip.ParseAddr(addr)
	return Key{Provider: name, Egress: ip}, err
}

// Class of a message.
type Class int

// The classes, most urgent first.
const (
	Transactional Class = iota
	Normal
	Bulk
)

// Item is one message for one lane.
type Item struct {
	ID         mail.QueueID
	Customer   string // "": our own mail
	Stream     string // credential, or what else tells a customer's senders apart
	Sender     string // domain that the message is sent in the name of
	Class      Class
	Recipients int
	Size       int64
	Received   time.Time
	Route      string // items of one route may share a connection
	Job        any    // the caller's own
}

// Why is a reason to wait that people can be told in their language (locale: shaping.why.CODE).
type Why struct {
	Code string   // one of Codes
	Args []string // for the sentence, in the order of Names
}

// Wait is an item that was not taken: it comes back at Until.
type Wait struct {
	Until time.Time
	Why   Why
}

// Event is what happened on a lane: one per recipient answered, and one per connection that failed.
type Event struct {
	Customer string
	Stream   string
	Sender   string // as Item.Sender
	Route    string // as Item.Route; "": about the lane, whatever its routes
	Class    Class
	Accepted bool
	Connect  bool // about the connection, not about a recipient: no exchanger could be reached, or none let us in
	Meaning  provider.Meaning
	Code     int
	Text     string // evidence, as the server said it
	ID       mail.QueueID
}

// Kind of a reaction.
type Kind string

// The kinds.
const (
	Pause       Kind = "pause"       // nothing leaves
	Slow        Kind = "slow"        // slower, fewer connections
	Watch       Kind = "watch"       // another provider of its group blocks us: slower, and one probe first
	Governor    Kind = "governor"    // too many unknown recipients
	Unreachable Kind = "unreachable" // nobody answers
	Operator    Kind = "operator"    // a person paused it
	Floor       Kind = "floor"       // told by Options.Alarm only: an address sends so little that the provider forgets it
)

// Kinds returns all kinds.
func Kinds() []Kind { return []Kind{Pause, Slow, Watch, Governor, Unreachable, Operator, Floor} }

// Reaction is something in force on a lane.
type Reaction struct {
	ID          string
	Lane        Key
	Kind        Kind
	Why         Why
	Rule        string // provider.Meaning.Rule that asked for it; "" none
	Evidence    string // the answer that caused it
	Started     time.Time
	Ends        time.Time
	Factor      float64 // of the rate; 0 none
	Connections int     // at most; 0 unchanged
	Probe       bool    // one message goes first when it ends
	BulkOnly    bool    // transactional mail goes on
	By          string  // "rule" or "operator:NAME"

	Customer string    // only his mail; "" everybody's
	Scope    Scope     // what it stops
	Target   string    // of Scope: the sender's domain, the stream, the route
	Rate     float64   // messages a minute at most; 0 no limit of its own
	Probing  bool      // its time is over and one message goes first
	Ended    time.Time // when it ended in truth; zero: it is in force
	EndedBy  string    // "time", "probe", "rule", "answer" or who lifted it

	lasts time.Duration // each time, before a probe
}

// Egress is one address mail leaves from.
type Egress struct {
	IP   netip.Addr // invalid: whichever the system chooses
	HELO string
	Warm time.Time // when its warm-up began; zero: it is warm
}

// Pool is the addresses of a class of mail.
type Pool struct {
	Name   string
	Egress []Egress
	// Overflow names the pool that takes what the warm-up of this one has no room for; "": the warm addresses of this one.
	Overflow string
	// Strict: what the warm-up has no room for waits for the next day, when no other address takes it. Otherwise it leaves within the provider's limits.
	Strict bool
	Spill  Spill
}

// Options is what New needs.
type Options struct {
	DB        *store.DB // with store.MainSchema; nil: nothing survives a restart (tests)
	Knowledge func() *provider.Knowledge
	Pools     []Pool
	Weight    func(customer string) int // 1 to 100; nil: 1 for everybody
	PerShare  int                       // messages of one customer in one lane's memory; default 500
	Window    int                       // messages in memory in all; default 20,000
	// Connections of a lane whose provider says nothing; default 10.
	Connections int
	WarmUp      []int // messages a day to one provider, from the first day of a warm-up on; nil: DefaultPlan

	// Hire is called when a lane wants one more connection. It must not wait; the caller serves the lane with a new worker (Take … Leave), or calls
	// Leave at once when he cannot.
	Hire func(Key)
	// Lifted is called when a lane is free again before the time its waiting messages were told, or sends faster than was thought: what waits for it
	// may come back at once. It must not wait.
	Lifted func(Key)
	// Park hands back an item that had been taken and has not begun: its lane stands still for longer than memory should hold it. The caller puts
	// it into the spool as if Offer had answered so. It must not wait. nil: such items stay in memory.
	Park   func(Key, Item, Wait)
	Alarm  func(Reaction) // an answer asked that the operator be told, or an address fell below a provider's floor (Kind Floor, no ID)
	Node   string         // this node of a cluster; "" alone
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Shaper is the room. Its methods may be called from many goroutines.
type Shaper struct {
	o     Options
	pools map[string]*Pool
	warm  map[string]time.Time // by address

	mu    sync.RWMutex
	lanes map[Key]*lane
	held  atomic.Int64 // items in memory
	// patience is until when nothing more is claimed: a lane that fills memory is being measured.
	patience atomic.Int64
	drained  atomic.Bool
	waiters  sync.Pool // of *waiter, not in use

	potMu sync.Mutex
	pots  map[potKey]*pot

	wideMu sync.RWMutex
	wides  map[netip.Addr]*wide // what stops all lanes of an address

	keep keeper
}

// New checks the options. It opens nothing.
func New(o Options) (*Shaper, error) {
	setInt := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	setInt(&o.PerShare, 500)
	setInt(&o.Window, 20_000)
	setInt(&o.Connections, 10)
	if len(o.WarmUp) == 0 {
		o.WarmUp = DefaultPlan()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Shaper{o: o, pools: make(map[string]*Pool), warm: make(map[string]time.Time), lanes: make(map[Key]*lane), pots: make(map[potKey]*pot)}
	s.keep.kick, s.keep.flushing = make(chan struct{}, 1), make(chan struct{}, 1)
	var problems []error
	for i := range o.Pools {
		p := &o.Pools[i]
		if s.pools[p.Name] != nil || p.Name == "" {
			problems = append(problems, fmt.Errorf("shaping: pool %q: names are given once and not empty", p.Name))
		}
		s.pools[p.Name] = p
		for _, e := range p.Egress {
			if !e.Warm.IsZero() && e.IP.IsValid() {
				s.warm[e.IP.String()] = e.Warm
			}
		}
		switch p.Spill {
		case "", SpillTrouble, SpillAlways, SpillNever:
		default:
			problems = append(problems, fmt.Errorf("shaping: pool %q: spill is %q; expected trouble, always or never", p.Name, p.Spill))
		}
	}
	for _, p := range o.Pools {
		if p.Overflow != "" && s.pools[p.Overflow] == nil {
			problems = append(problems, fmt.Errorf("shaping: pool %q: overflow %q is not a pool", p.Name, p.Overflow))
		}
	}
	return s, errors.Join(problems...)
}
