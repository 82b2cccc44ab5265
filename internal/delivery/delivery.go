// Package delivery takes due mail from the spool, signs it, finds the recipient's mail exchanger, speaks to it and writes
// down what became of each recipient. It states facts; it never decides what they say about a sender's reputation.
//
// Life of an attempt: Claim (spool) -> one job per message and recipient domain -> its destination (directory: exchangers, provider,
// route; a domain that DNS is slow about keeps only its own mail waiting) -> egress address (shaping.Choose) -> lane (shaping.Offer) ->
// one of the lane's connections, which carries many messages of one route -> outcomes, gathered -> journal, notices, spool.Settle in one
// commit.
//
// A lane is the queue towards one provider from one egress address. It belongs to shaping, which says how many connections it may have,
// whose message is next, and when it stands still; delivery asks and obeys, and tells it each answer. What a lane does not take is
// parked: it goes back to the spool with the lane's name, a reason and a time, which is no attempt. Everything in memory is also in the
// spool, and comes again from there after a crash. How many messages are in memory at once is bounded (Options.Window).
//
// Fates: 2xx delivered; 4xx, and everything that is our network's or a name server's trouble, deferred by the schedule of the answer,
// the provider or the configuration until the message expires; 5xx, a null MX and a domain that does not exist, bounced with a delivery
// status notification. What a receiver's answer means (provider.Classify) may overrule its code: a block against us that passes is a
// deferral whatever its code. One recipient's fate never decides another's. A connection lost after the final dot is a deferral: the
// message may arrive twice, and the journal says so.
//
// Who calls it: app (New, Load, Run, Tune); portal and api (Lanes, Explain, InForce, Lift, PauseLane).
//
// How it fails: New and Load say what is wrong. While it runs nothing ends it: a store that does not answer makes outcomes wait, a
// message that makes the code panic is deferred alone, an egress address that is gone pauses its lanes and is logged.
package delivery

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/dns"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/smtp"
	"postern/internal/spool"
	"postern/internal/suppression"
	"postern/internal/tlspolicy"
)

// DefaultRetry is the pause after the first, second, … failed attempt; the last one repeats until the message expires.
func DefaultRetry() []time.Duration {
	return []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
}

// Options is what New needs. Zero values take the defaults named at each field.
type Options struct {
	Hostname string
	Spool    *spool.Spool
	Journal  *journal.Journal
	Accounts *account.Ledger
	Notices  *notice.Notices
	Resolver dns.Resolver

	Knowledge   func() *provider.Knowledge // what is known about receivers; nil: our own data
	Shaping     shaping.Options            // pools, shares and the database; New sets the rest. Pools nil: those of Accounts
	TLS         *tlspolicy.Book            // nil: encryption where it is offered
	Suppression *suppression.Ledger        // nil: everybody is written to
	// ReturnPath gives the reverse path that a recipient (index in the envelope) of a message sees instead of the message's own; ok is false when
	// it keeps its own. Recipients with equal ones share a transaction. It is asked once per attempt and must not wait. nil: all keep theirs.
	ReturnPath func(m *spool.Message, recipient int) (path mail.Address, ok bool)

	Smarthost   *Smarthost     // nil: deliver to the recipients' MX
	Port        int            // port of mail exchangers; default 25 (other values serve tests on loopback)
	PerLane     int            // connections to one receiver nobody knows, and to the smarthost; default 10
	Connections int            // connections in all; default 500
	PerConn     int            // messages on one connection; default 100. A provider's own limit counts where it is lower
	PerMessage  int            // recipients in one transaction; default 100 (RFC 5321 4.5.3.1.8 grants at least that). As PerConn
	Window      int            // messages in memory; default 20,000
	Tuning      Tuning         // retry schedule and what else may change later (Tune)
	LinkIdle    time.Duration  // an idle connection is kept open; default 2 s
	RootCAs     *x509.CertPool // for the smarthost; nil: the system's
	IPv4Only    bool           // use no IPv6 address of a destination
	OwnAddrs    func() []netip.AddrPort
	Dial        func(ctx context.Context, network, addr string) (net.Conn, error)
	Timeouts    smtp.Timeouts // zero: smtp.DefaultTimeouts

	Logger *slog.Logger
	Now    func() time.Time
	// Count hears each event with the recipient domain and the provider's name ("default" for those nobody knows): "delivered", "deferred",
	// "bounced", "expired", "parked", "connected", "unreachable".
	Count func(event, domain, provider string)
	Took  func(time.Duration) // from acceptance to the remote 250
	// Words tells people in English why something waits; nil: the code and its arguments.
	Words func(shaping.Why) string

	// Settled hears of the end of each recipient's delivery, once it is written down; not of our own notices. It must not wait: all
	// outcomes of the gateway pass it one after the other. nil: nobody hears.
	Settled func(Settled)
}

// Delivery is the room.
type Delivery struct {
	o Options

	keys   dkim.Keyring
	tune   atomic.Pointer[Tuning]
	shaper *shaping.Shaper
	where  directory
	slots  slots
	stock  stock
	hurry  hurry
	lost   lostAddresses
	four   onlyFour

	mu      sync.Mutex
	serving func(shaping.Key) // starts a worker; nil while no attempt may begin
	workers sync.WaitGroup

	outcomes chan outcome
	known    chan struct{} // one for each outcome that is known and not written down
	parking  parking
	freed    chan struct{} // something left memory: there is room in the window
	ending   chan struct{} // closed when no new attempt may begin
}

// Tuning is what may change while mail is being delivered. It counts from the next attempt on.
type Tuning struct {
	Retry       []time.Duration // empty: DefaultRetry
	DelayNotice time.Duration   // 0: 4 h; negative: never
	NoTLS       bool
	NoSign      bool
	Private     []netip.Prefix // networks that are not on the internet and may be delivered to all the same; the smarthost needs none
}

// Tune replaces the tuning.
func (d *Delivery) Tune(t Tuning) {
	if len(t.Retry) == 0 {
		t.Retry = DefaultRetry()
	}
	if t.DelayNotice == 0 {
		t.DelayNotice = 4 * time.Hour
	}
	d.tune.Store(&t)
	d.where.forget()
}

// New checks the options. It opens nothing.
func New(o Options) (*Delivery, error) {
	if o.Spool == nil || o.Journal == nil || o.Accounts == nil || o.Notices == nil || o.Resolver == nil {
		return nil, errors.New("delivery: a room is missing from the options")
	}
	if o.Hostname == "" {
		return nil, errors.New("delivery: no host name")
	}
	if s := o.Smarthost; s != nil {
		if err := s.check(); err != nil {
			return nil, err
		}
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	d := &Delivery{o: o, outcomes: make(chan outcome, maxUnsettled), known: make(chan struct{}, maxUnsettled),
		freed: make(chan struct{}, 1), ending: make(chan struct{})}
	d.where.init()
	d.slots.init(o.Connections)
	d.stock.init()
	d.parking.came = make(chan struct{}, 1)
	d.hurry.came = make(chan struct{}, 1)
	d.Tune(o.Tuning)
	return d, d.openShaper()
}

// complete sets the defaults.
func (o *Options) complete() error {
	setInt := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	setInt(&o.Port, 25)
	setInt(&o.PerLane, 10)
	setInt(&o.Connections, 500)
	setInt(&o.PerConn, 100)
	setInt(&o.PerMessage, 100)
	setInt(&o.Window, 20000)
	if o.LinkIdle == 0 {
		o.LinkIdle = 2 * time.Second
	}
	if o.OwnAddrs == nil {
		o.OwnAddrs = func() []netip.AddrPort { return nil }
	}
	if o.Timeouts == (smtp.Timeouts{}) {
		o.Timeouts = smtp.DefaultTimeouts()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Count == nil {
		o.Count = func(string, string, string) {}
	}
	if o.Took == nil {
		o.Took = func(time.Duration) {}
	}
	if o.Words == nil {
		o.Words = func(w shaping.Why) string { return w.String() }
	}
	if o.Settled == nil {
		o.Settled = func(Settled) {}
	}
	if o.Knowledge == nil {
		k, err := provider.Load(nil)
		if err != nil {
			return err
		}
		o.Knowledge = func() *provider.Knowledge { return k }
	}
	return nil
}

// openShaper makes the room that decides what may leave, and has it call us.
func (d *Delivery) openShaper() (err error) {
	s := d.o.Shaping
	s.Knowledge, s.Hire, s.Lifted, s.Park = d.o.Knowledge, d.hire, d.lifted, d.handedBack
	if s.Pools == nil {
		for _, p := range d.o.Accounts.Pools() {
			pool := shaping.Pool{Name: p.Name, Overflow: p.Overflow, Strict: p.Strict, Spill: shaping.Spill(p.Spill)}
			for _, e := range p.Egress {
				pool.Egress = append(pool.Egress, shaping.Egress{IP: e.IP, HELO: e.HELO, Warm: e.Warm})
			}
			s.Pools = append(s.Pools, pool)
		}
	}
	if s.Window == 0 {
		s.Window = d.o.Window
	}
	if s.Connections == 0 {
		s.Connections = d.o.PerLane
	}
	if s.Logger == nil {
		s.Logger = d.o.Logger
	}
	if s.Now == nil {
		s.Now = d.o.Now
	}
	d.shaper, err = shaping.New(s)
	return err
}

// Load reads what was in force on the lanes when the process ended. Run does it when nobody did; an error then is logged, and mail leaves.
func (d *Delivery) Load(ctx context.Context) error { return d.shaper.Load(ctx) }

// Run is called once. It delivers until ctx ends; then no new attempt begins, those under way may finish within their own deadlines or when
// grace is over, and what has not begun goes back to the spool.
func (d *Delivery) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx)) // attempts outlive ctx by the grace
	defer stop()
	ledger, stopLedger := context.WithCancel(context.WithoutCancel(ctx)) // the lanes' memory outlives the attempts
	defer stopLedger()
	var side sync.WaitGroup
	side.Go(func() {
		if err := d.shaper.Run(ledger); err != nil {
			d.o.Logger.Error("what is in force on the lanes could not be kept", "error", err)
		}
	})
	side.Go(func() { d.hurrying(ctx) })
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		d.settle(work)
	}()
	d.mu.Lock()
	d.serving = func(k shaping.Key) {
		d.workers.Add(1)
		go d.serve(work, k)
	}
	d.mu.Unlock()

	d.feed(ctx)

	close(d.ending)
	d.mu.Lock()
	d.serving = nil
	d.mu.Unlock()
	d.giveBack()
	done := make(chan struct{})
	go func() { d.workers.Wait(); close(done) }()
	grace := time.NewTimer(drainGrace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		stop() // the remaining attempts end now, as deferrals
		<-done
	}
	d.giveBack() // what was placed while it ended
	close(d.outcomes)
	last := time.AfterFunc(drainGrace, stop) // a store that stays broken must not keep the process from ending
	defer last.Stop()
	<-settled
	stopLedger()
	side.Wait()
	return nil
}

// drainGrace is how long attempts may go on after the end was asked for.
const drainGrace = 20 * time.Second

// feed claims due mail and hands it on until ctx ends.
func (d *Delivery) feed(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		room := min(d.o.Window-d.stock.jobs()-d.parking.waiting(), d.shaper.Room())
		if room > 0 {
			works, err := d.o.Spool.Claim(ctx, min(room, 1000))
			if err != nil && ctx.Err() == nil {
				d.o.Logger.Error("mail cannot be claimed", "error", err)
			}
			for _, w := range works {
				d.route(ctx, w)
			}
			if len(works) > 0 {
				continue
			}
		}
		wait := 5 * time.Second
		if next, err := d.o.Spool.NextDue(ctx); err == nil && !next.IsZero() && room > 0 {
			wait = min(wait, max(next.Sub(d.o.Now()), time.Millisecond))
		}
		if room <= 0 {
			wait = min(wait, shortly) // there may be room again without anything ending
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-d.o.Spool.Wake():
		case <-d.freed:
		case <-timer.C:
		}
	}
}

// shortly is how long the feed waits when memory has no room.
const shortly = 100 * time.Millisecond

// roomMade wakes the feed, which may have found no room.
func (d *Delivery) roomMade() {
	select {
	case d.freed <- struct{}{}:
	default:
	}
}
