// Package delivery takes due mail from the spool, signs it, finds the recipient's mail exchanger, speaks to it and writes
// down what became of each recipient. It states facts; it never decides what they say about a sender's reputation.
//
// Life of an attempt: Claim (spool) -> one job per message and destination -> the destination's lane -> one of the lane's
// connections, which carries many messages -> outcomes, gathered -> journal, notices, spool.Settle in one commit.
//
// A lane is the queue towards one destination (a recipient domain, or the smarthost). It lives in memory and only while it
// has work: everything in it is also in the spool, and comes again from there after a crash. How many messages are in memory at
// once is bounded (Options.Window); the rest stays in the store.
//
// Fates: 2xx delivered; 4xx, and everything that is our network's or a name server's trouble, deferred by the retry schedule until
// the message expires; 5xx, a null MX and a domain that does not exist, bounced with a delivery status notification. One
// recipient's fate never decides another's. A connection lost after the final dot is a deferral: the message may arrive twice,
// and the journal says so.
package delivery

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/dns"
	"postern/internal/journal"
	"postern/internal/notice"
	"postern/internal/smtp"
	"postern/internal/spool"
)

// DefaultRetry is the pause after the first, second, … failed attempt; the last one repeats until the message expires.
func DefaultRetry() []time.Duration {
	return []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour}
}

// Smarthost is a server that takes all our mail, instead of the recipients' own (RFC 5321 calls it a relay).
type Smarthost struct {
	Host           string // name or IP
	Port           int    // default 587
	User, Password string // no login when User is empty
	// TLS is "required" (default: STARTTLS with a checked certificate), "implicit" (port 465, checked), "opportunistic" (STARTTLS
	// where offered, unchecked) or "none". A login needs one of the first two, or a smarthost on loopback.
	TLS string
}

// Options is what New needs. Zero values take the defaults named at each field.
type Options struct {
	Hostname string
	Spool    *spool.Spool
	Journal  *journal.Journal
	Accounts *account.Ledger
	Notices  *notice.Notices
	Resolver dns.Resolver

	Smarthost   *Smarthost     // nil: deliver to the recipients' MX
	Port        int            // port of mail exchangers; default 25 (other values serve tests on loopback)
	PerLane     int            // connections to one destination; default 10
	Connections int            // connections in all; default 500
	PerConn     int            // messages on one connection; default 100
	PerMessage  int            // recipients in one transaction; default 100 (RFC 5321 4.5.3.1.8 grants at least that)
	Window      int            // messages in memory; default 20,000
	Tuning      Tuning         // retry schedule and what else may change later (Tune)
	LinkIdle    time.Duration  // an idle connection is kept open; default 2 s
	Down        time.Duration  // a destination that cannot be reached is left alone; default 1 min
	RootCAs     *x509.CertPool // for the smarthost; nil: the system's
	IPv4Only    bool           // use no IPv6 address of a destination
	OwnAddrs    func() []netip.AddrPort
	Dial        func(ctx context.Context, network, addr string) (net.Conn, error)
	Timeouts    smtp.Timeouts // zero: smtp.DefaultTimeouts

	Logger *slog.Logger
	Now    func() time.Time
	Count  func(event, destination string) // "delivered", "deferred", "bounced", "expired", "connected", "unreachable"
	Took   func(time.Duration)             // from acceptance to the remote 250

	// Settled hears of the end of each recipient's delivery, once it is written down; not of our own notices. It must not wait: all
	// outcomes of the gateway pass it one after the other. nil: nobody hears.
	Settled func(Settled)
}

// Delivery is the room.
type Delivery struct {
	o Options

	keys dkim.Keyring
	tune atomic.Pointer[Tuning]

	mu    sync.Mutex
	lanes map[string]*lane
	jobs  int  // jobs in lanes and attempts, bounded by Window
	ended bool // no new attempt may begin
	slots chan struct{}

	outcomes chan outcome
	freed    chan struct{} // a job ended: there is room in the window
	ending   chan struct{} // closed when no new attempt may begin
	workers  sync.WaitGroup
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
}

// New checks the options. It opens nothing.
func New(o Options) (*Delivery, error) {
	if o.Spool == nil || o.Journal == nil || o.Accounts == nil || o.Notices == nil || o.Resolver == nil {
		return nil, errors.New("delivery: a room is missing from the options")
	}
	if o.Hostname == "" {
		return nil, errors.New("delivery: no host name")
	}
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
	if o.Down == 0 {
		o.Down = time.Minute
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
		o.Count = func(string, string) {}
	}
	if o.Took == nil {
		o.Took = func(time.Duration) {}
	}
	if o.Settled == nil {
		o.Settled = func(Settled) {}
	}
	if s := o.Smarthost; s != nil {
		if err := s.check(); err != nil {
			return nil, err
		}
	}
	d := &Delivery{o: o, lanes: make(map[string]*lane), slots: make(chan struct{}, o.Connections),
		outcomes: make(chan outcome, maxUnsettled-maxBatch), freed: make(chan struct{}, 1), ending: make(chan struct{})}
	d.Tune(o.Tuning)
	return d, nil
}

func (s *Smarthost) check() error {
	if s.Host == "" {
		return errors.New("delivery: smarthost without a host")
	}
	switch s.TLS {
	case "", "required", "implicit":
	case "none", "opportunistic":
		if ip, err := netip.ParseAddr(s.Host); s.User != "" && (err != nil || !ip.IsLoopback()) {
			return fmt.Errorf("delivery: a password is only sent to a smarthost whose certificate is checked; TLS is %q", s.TLS)
		}
	default:
		return fmt.Errorf("delivery: smarthost TLS is %q; expected required, implicit, opportunistic or none", s.TLS)
	}
	return nil
}

// Run is called once. It delivers until ctx ends; then no new attempt begins, those under way may finish within their own deadlines or when
// grace is over, and what has not begun goes back to the spool.
func (d *Delivery) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx)) // attempts outlive ctx by the grace
	defer stop()
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		d.settle(work)
	}()

	d.feed(ctx, work)

	close(d.ending)
	d.mu.Lock()
	d.ended = true
	for _, l := range d.lanes {
		d.giveBack(l)
	}
	d.mu.Unlock()
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
	close(d.outcomes)
	last := time.AfterFunc(drainGrace, stop) // a store that stays broken must not keep the process from ending
	defer last.Stop()
	<-settled
	return nil
}

// drainGrace is how long attempts may go on after the end was asked for.
const drainGrace = 20 * time.Second

// feed claims due mail and hands it to the lanes until ctx ends.
func (d *Delivery) feed(ctx, work context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var swept time.Time
	for ctx.Err() == nil {
		if now := d.o.Now(); now.Sub(swept) >= d.o.Down {
			d.forget(now)
			swept = now
		}
		d.mu.Lock()
		room := d.o.Window - d.jobs
		d.mu.Unlock()
		claimed := 0
		if room > 0 {
			works, err := d.o.Spool.Claim(ctx, min(room, 1000))
			if err != nil && ctx.Err() == nil {
				d.o.Logger.Error("mail cannot be claimed", "error", err)
			}
			for _, w := range works {
				d.route(work, w)
			}
			if claimed = len(works); claimed > 0 {
				continue
			}
		}
		wait := 5 * time.Second
		if next, err := d.o.Spool.NextDue(ctx); err == nil && !next.IsZero() {
			wait = min(wait, max(next.Sub(d.o.Now()), time.Millisecond))
		}
		if room <= 0 {
			wait = 5 * time.Second // only an ended job makes room
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

// letter is a message in memory, shared by its jobs: read and signed once.
type letter struct {
	spool.Message
	once sync.Once
	data []byte // signature and body, as it leaves
	body []byte // as it was accepted
	err  error
}

// job is one message for one destination.
type job struct {
	*letter
	to []spool.Recipient
}

// route sorts the due recipients of one message into lanes.
func (d *Delivery) route(ctx context.Context, w spool.Work) {
	l := &letter{Message: w.Message}
	byLane := make(map[string][]spool.Recipient, 1)
	for _, r := range w.Recipients {
		key := string(r.Address.Domain)
		if d.o.Smarthost != nil {
			key = smarthostLane
		}
		byLane[key] = append(byLane[key], r)
	}
	for key, to := range byLane {
		for len(to) > 0 {
			n := min(len(to), d.o.PerMessage)
			d.enqueue(ctx, key, job{letter: l, to: to[:n]})
			to = to[n:]
		}
	}
}

// smarthostLane names the one lane that everything goes through when there is a smarthost.
const smarthostLane = "smarthost"

// nextAttempt is when the n-th failed attempt (1, 2, …) is followed by another: the schedule with a tenth of jitter, so that
// mail that failed together does not come back together.
func (d *Delivery) nextAttempt(n int) time.Time {
	retry := d.tune.Load().Retry
	pause := retry[min(max(n, 1), len(retry))-1]
	jitter := time.Duration((rand.Float64() - 0.5) * 0.2 * float64(pause))
	return d.o.Now().Add(pause + jitter)
}
