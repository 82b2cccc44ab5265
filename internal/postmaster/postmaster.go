// Package postmaster keeps what providers publish about our addresses and domains: Microsoft's SNDS for IP addresses, Google's Postmaster Tools for
// domains.
//
// # What it holds
//
// Of SNDS a [Row] for each address and period (colour of the filter, complaint rate, trap hits, volumes), and which ranges are blocked, junked or taken
// for a bot, since when, with each change ([Postmaster.Events]). Of Postmaster Tools a share for each domain, day and metric, and what of Google's
// demands a domain keeps. What is missing is unknown: a day without a row is no day without complaints, and nothing here turns it into zero. SNDS
// says nothing of an address with fewer than about 100 messages a day; Gmail nothing of a domain with few users.
//
// The map of all addresses ([Postmaster.Heat]) is added up at each visit, from a sheet for each day that is written together with its rows (sheet.go): it is as
// new as they are.
//
// # Ways in
//
// Import takes a file's bytes from people and programs. Run reads a folder that is watched, fetches links, and asks the interfaces of 2026: Microsoft's with a
// sign-in of a person (Connect, Finish; OAuth 2 with PKCE, the refresh token is kept encrypted), Google's with a service account or a refresh token.
// The same figures twice change nothing; figures of the same period replace older ones; a fetch that fails never blanks what is known. In a
// cluster one node fetches (a lease of some minutes), and each one watches its own folder.
//
// # What it tells
//
// Options.Raise and Clear get what an operator must know: an address that is red, hits traps, is complained about or blocked; access that ends soon; fetching
// that fails; a domain that Gmail's users mark as spam. It decides no measure and mends nothing.
//
// # Secrets
//
// Links, tokens and keys are never in a log, an error, a page or a figure: faults are words ([Fault]), made from the kind of failure and never from its text.
//
// # Who calls it, and how it fails
//
// api, portal and cli read and import; app wires; reputation reads Trend. Errors are the database's, wrapped, or those of report.ReadSNDS, [ErrSignIn], [ErrOff].
package postmaster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"postern/internal/store"
)

// Errors that a caller can ask for with errors.Is.
var (
	// ErrOff: this way is not configured.
	ErrOff = errors.New("postmaster: not configured")
	// ErrSignIn: the sign-in cannot be finished: it is too old, belongs to another one, or Microsoft refused it.
	ErrSignIn = errors.New("postmaster: the sign-in was not accepted")
	// ErrNoRows: the bytes hold no row that can be read, or none at all.
	ErrNoRows = errors.New("postmaster: no row could be read")
)

// Link is an address from which SNDS figures or states are fetched. Its URL holds the key and is a secret.
type Link struct {
	Name string
	URL  string
}

// Microsoft is how the interface of SNDS is reached. The zero Microsoft is off.
type Microsoft struct {
	Base      string // of the interface, without "/api/..."; "": off
	Authority string // of the sign-in, without "/oauth2/..."
	ClientID  string
	Scope     string // "": ClientID/.default offline_access openid profile
	Redirect  string // where the sign-in leads back to
}

// Google is how Postmaster Tools is reached. The zero Google is off.
type Google struct {
	Base  string // of the interface, without "/v2/..."; "": off
	Token string // address of tokens; "": what the key says, else Google's
	// Key is a service account's key (JSON); or ClientID, ClientSecret and Refresh are a person's permission.
	Key                             []byte
	ClientID, ClientSecret, Refresh string
	Domains                         []string // asked for; none: all that the account may see
}

// Bounds are from where on an operator is told. Zero fields have their defaults.
type Bounds struct {
	Complaints   float64 // percent, of SNDS; default 0.3 (Microsoft names no bound; providers' common one is 0.3 %, read 2026-11)
	SpamWarning  float64 // percent, of Gmail; default 0.1 (Google's sender guidelines: stay below 0.1 %, read 2026-11)
	SpamCritical float64 // percent, of Gmail; default 0.3 (the same: never reach 0.3 %)
}

// Alarm is a state that an operator must know of.
type Alarm struct {
	Key      string // what it is about, stable
	Code     string // the sentences: locale alarm.CODE.title and alarm.CODE.text
	Critical bool
	Args     map[string]string // what is written otherwise in French stands there twice: "Day" and "Day.fr"
	Since    time.Time         // zero: now
}

// Options is what New needs. DB is required.
type Options struct {
	DB     *store.DB // with store.MainSchema
	Node   string    // name of this node in a cluster; it keeps its turn over a restart
	Now    func() time.Time
	Logger *slog.Logger
	// HTTP reaches the providers. nil: http.DefaultClient, which follows redirects; give one that does not.
	HTTP *http.Client
	// Secret encrypts permissions in the database; the same on all nodes. Fewer than 16 bytes: nobody can connect an account.
	Secret []byte
	// Ours are the addresses and ranges that mail leaves from. nil: none are known.
	Ours func() []netip.Prefix

	Folder      string        // watched for SNDS files; "": none
	Links       []Link        // fetched
	Microsoft   Microsoft     // asked when an account is connected
	Google      Google        // asked
	SNDSEvery   time.Duration // between two fetches; default 6 h
	GoogleEvery time.Duration // default 12 h
	Keep        time.Duration // how long figures are kept; default 400 days
	Bounds      Bounds

	// Raise and Clear tell an operator. They must not wait. nil: nobody is told.
	Raise func(Alarm)
	Clear func(key string)
	// Standing returns the keys of all alarms that are raised, so that those from before a restart are cleared, too. nil: none are.
	Standing func() []string
	// Demand names one of Google's demands ("dns_records") for people, "" one that it does not know. nil: all have the name that Google's interface gives them.
	Demand func(lang, name string) string
}

// Postmaster is the room. Its methods may be called from many goroutines.
type Postmaster struct {
	o    Options
	db   *store.DB
	log  *slog.Logger
	id   string // of this node, for the lease
	wake chan struct{}

	folder folder

	mu      sync.Mutex
	access  map[string]token // tokens in memory, by source
	demands map[string]bool  // sources to be asked at the next turn, whatever their time
	told    map[string]bool  // keys of alarms that were raised by this process
	cleaned time.Time
}

// token is a short-lived permission. It is never written down.
type token struct {
	value string
	until time.Time
}

// New checks the options. It reads nothing.
func New(o Options) (*Postmaster, error) {
	if o.DB == nil {
		return nil, errors.New("postmaster: the database is missing")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	if o.Ours == nil {
		o.Ours = func() []netip.Prefix { return nil }
	}
	if o.Raise == nil {
		o.Raise = func(Alarm) {}
	}
	if o.Clear == nil {
		o.Clear = func(string) {}
	}
	def := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	def(&o.SNDSEvery, 6*time.Hour)
	def(&o.GoogleEvery, 12*time.Hour)
	def(&o.Keep, 400*24*time.Hour)
	for _, b := range []struct {
		value *float64
		to    float64
	}{{&o.Bounds.Complaints, .3}, {&o.Bounds.SpamWarning, .1}, {&o.Bounds.SpamCritical, .3}} {
		if *b.value <= 0 {
			*b.value = b.to
		}
	}
	names := map[string]bool{}
	for _, l := range o.Links {
		if l.Name == "" || names[l.Name] {
			return nil, fmt.Errorf("postmaster: two links are called %q", l.Name)
		}
		names[l.Name] = true
	}
	if m := &o.Microsoft; m.Base != "" && m.Scope == "" {
		m.Scope = m.ClientID + "/.default offline_access openid profile"
	}
	if o.Node == "" {
		o.Node = rand.Text()
	}
	return &Postmaster{o: o, db: o.DB, log: o.Logger, id: o.Node, wake: make(chan struct{}, 1), access: map[string]token{}, demands: map[string]bool{}, told: map[string]bool{}}, nil
}

// Turns of Run.
const (
	lookEvery  = 15 * time.Second // at the folder, and at what is due
	cleanEvery = time.Hour
)

// Run watches the folder and fetches what is due. It returns nil when ctx ends.
func (p *Postmaster) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		p.Turn(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-p.wake:
		}
	}
}

// Turn does once what is due: the folder, fetches, alarms, retention. Run calls it; what fails is noted with its source and tried again later.
func (p *Postmaster) Turn(ctx context.Context) {
	news := p.lookAtFolder(ctx)
	mine, err := p.lease(ctx)
	if err != nil {
		p.complain(ctx, "whose turn it is", err)
		return
	}
	if mine {
		for _, s := range p.sources() {
			due, err := p.due(ctx, s)
			if err != nil {
				p.complain(ctx, "what is due", err)
				continue
			}
			if !due || ctx.Err() != nil {
				continue
			}
			if mine, err = p.lease(ctx); !mine || err != nil { // the turn must last as long as one fetch
				break
			}
			p.fetch(ctx, s)
			news = true
		}
	}
	if mine {
		if err := p.pack(ctx); err != nil {
			p.complain(ctx, "what the map is made of", err)
		}
	}
	now := p.o.Now()
	p.mu.Lock()
	hourly := now.Sub(p.cleaned) >= cleanEvery
	if hourly {
		p.cleaned = now
	}
	p.mu.Unlock()
	if (news || hourly) && mine {
		if err := p.tell(ctx); err != nil {
			p.complain(ctx, "what an operator must know", err)
		}
	}
	if hourly && mine {
		if err := p.Clean(ctx); err != nil {
			p.complain(ctx, "what is too old", err)
		}
	}
}

func (p *Postmaster) complain(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		p.log.Warn("postmaster: "+what+" is not known; it will be tried again", "error", err)
	}
}

// Again has a source asked at the next turn, or all of them for "". It does not wait.
func (p *Postmaster) Again(name string) error {
	found := false
	p.mu.Lock()
	for _, s := range p.sources() {
		if name == "" || s.name == name {
			p.demands[s.name], found = true, true
		}
	}
	p.mu.Unlock()
	if !found {
		return ErrOff
	}
	p.poke()
	return nil
}

func (p *Postmaster) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// micros is a time as the database keeps it.
func micros(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Microsecond)
}

// dayOf is the number of a day, since 1970.
func dayOf(t time.Time) int64 { return t.Unix() / 86400 }

// timeOf is the beginning of a day.
func timeOf(day int64) time.Time { return time.Unix(day*86400, 0).UTC() }

// wrap names the room in an error of the database.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("postmaster: %w", err)
}
