// Package reputation watches our addresses and domains on blocklists: what was listed when, by whom and why; and opens a dossier for each listing, which
// joins what we know of its causes with the way out, until the list has been clean for thirty days.
//
// # What is watched
//
// Every egress address of the pools and every name that stands for us (customers' domains, domains of return addresses, host and EHLO names, Options.Domains) is
// looked up in all lists of the panel every Options.Every and Options.DomainsEvery, and a new one as soon as the accounts know it. The ranges of Options.Ranges are gone through once a day, spread evenly over it:
// a round. How far a round has come is stored, so that a restart goes on where it was. Of several nodes one at a time goes through a range, and each target is
// looked at by whoever comes first.
//
// # What is stored
//
// Of each own target, what every list says now (Target.Zones). Of everything, also of ranges: each stay on a list (Listing) and what changed (Event). What a day
// showed of an address is four bytes (Day), also of addresses of ranges: nothing else is stored of those that are clean.
//
// # States
//
// A list that does not answer changes nothing: what it said last stands, with the time since when it has not answered. A listing begins with the first answer that says
// so. It ends with the second clean answer, CleanAfter or more after the first: lists have many name servers, which do not change at the same moment. Disabled lists are
// those that are not asked.
//
// A dossier is open, mending, requested, clean, closed; see State. One goes on for each target and operator of lists, and a new listing opens it again; after thirty clean
// days the next listing opens a new one, which names the former.
//
// # What it does not
//
// It never asks a list for removal: Request is text for a person to send. It measures and advises; it stops nobody.
//
// # Who calls it
//
// app runs it (Run) and gives it its eyes (Options). portal and api read Summary, Targets, Listings, Timeline, History, Dossiers, Dossier, and act through Open, Note,
// Tick, Move, Refresh. Everything is safe for concurrent use, in several processes on one database.
//
// # How it fails
//
// Without its database it waits and goes on; without answers of lists it knows nothing new and says so. What a dossier could not gather is named in its
// evidence, and a cause that rests on it is unknown, not unlikely.
package reputation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/account"
	"postern/internal/checkup"
	"postern/internal/dnsbl"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/store"
)

// Options is what New needs. DB and Panel are required.
type Options struct {
	DB       *store.DB
	Panel    *dnsbl.Panel
	Accounts *account.Ledger  // whose pools and domains are watched; nil: only Domains, Ranges and Host
	Journal  *journal.Journal // nil: dossiers know nothing of who sent, and customers' programs are not told
	Catalog  *locale.Catalog  // for requests and alarms; nil: Request fails

	Host    string         // the gateway's name: watched, and the sender of requests
	Node    string         // this process among several; "" Host
	Contact mail.Address   // who answers for the gateway, in requests; null: a gap to fill in
	Domains []mail.Domain  // watched beside those that are found
	Ranges  []netip.Prefix // gone through once a day; see CheckRanges

	Every        time.Duration // between two looks at an egress address; 0: DefaultEvery
	DomainsEvery time.Duration // ... at a domain; 0: DefaultDomainsEvery
	Window       time.Duration // how far before a listing the journal is read; 0: DefaultWindow
	Keep         time.Duration // age at which ended listings, events and closed dossiers leave; 0: DefaultKeep

	// Check looks at an address or a domain from outside (checkup.Checker without lists); nil: dossiers know nothing of names and authentication.
	Check func(ctx context.Context, t checkup.Target, ask checkup.Ask) (checkup.CheckReport, error)
	// Strangers says how much of a customer's mail, and of that of some of his credentials ("": without one), went to people he never wrote to; nil: not known.
	Strangers func(ctx context.Context, customer string, credentials []string, from, to time.Time) (Acquaintance, error)
	// SNDS returns what Microsoft says of an address, the oldest day first; days without figures are missing. nil: not known.
	SNDS func(ctx context.Context, ip netip.Addr, from, to time.Time) ([]SNDSDay, error)

	// Raise, Clear and Tell tell the operator (room alarm); nil: nobody is told.
	Raise func(Alarm)
	Clear func(key string)
	Tell  func(Alarm)
	// Raised returns the keys of the alarms that stand, for those that ended while nobody could tell; nil: they stand until they are cleared by hand.
	Raised func() []string

	Logger *slog.Logger
	Now    func() time.Time
}

// Defaults and bounds.
const (
	DefaultEvery        = time.Hour
	DefaultDomainsEvery = 6 * time.Hour
	DefaultWindow       = 48 * time.Hour
	DefaultKeep         = 400 * 24 * time.Hour
	// DaysKept is how long the marks of days are kept.
	DaysKept = 100
	// CleanAfter is the least time between the two clean answers that end a listing.
	CleanAfter = 30 * time.Minute
	// QuietFor is how long a list must have been clean until a dossier closes.
	QuietFor = 30 * 24 * time.Hour
	// MaxRanged bounds the addresses of all ranges: four /16.
	MaxRanged = 4 << 16
	// MaxTargets bounds the addresses and domains that are watched beside ranges.
	MaxTargets = 100_000
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotFound: there is no such target, listing or dossier.
	ErrNotFound = errors.New("reputation: not found")
	// ErrInvalid: the act is not possible; the error's text says why.
	ErrInvalid = errors.New("reputation: not possible")
)

// ByRule is the actor of what the room does by itself.
const ByRule = "rule"

// Alarm is something that the operator must know, in the words of room alarm (texts alarm.CODE.title and .text).
type Alarm struct {
	Key      string // "reputation TARGET OPERATOR"
	Critical bool
	Code     string
	Args     map[string]string
	Since    time.Time
}

// Watch is the room. Its methods may be called from many goroutines.
type Watch struct {
	o     Options
	db    *store.DB
	log   *slog.Logger
	words *vocabulary
	wake  chan struct{} // a dossier waits to be gathered

	counts counters

	syncing sync.Mutex // held while the targets are compared

	mu      sync.Mutex
	synced  time.Time             // when the targets were last compared
	targets map[string]targetPlan // as they were then
}

// counters are the figures of Stats.
type counters struct {
	looks, answers, unknown, listed, delisted, gathered, failed atomic.Int64
}

// New checks the options. It touches neither database nor network.
func New(o Options) (*Watch, error) {
	if o.DB == nil || o.Panel == nil {
		return nil, errors.New("reputation: database or panel is missing")
	}
	if err := CheckRanges(o.Ranges); err != nil {
		return nil, fmt.Errorf("reputation: %w", err)
	}
	for _, x := range []struct {
		d     *time.Duration
		usual time.Duration
	}{{&o.Every, DefaultEvery}, {&o.DomainsEvery, DefaultDomainsEvery}, {&o.Window, DefaultWindow}, {&o.Keep, DefaultKeep}} {
		if *x.d <= 0 {
			*x.d = x.usual
		}
	}
	if o.Node == "" {
		o.Node = o.Host
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Watch{o: o, db: o.DB, log: o.Logger, words: newVocabulary(o.Catalog), wake: make(chan struct{}, 1)}, nil
}

// Stats are figures since the start, for metrics.
type Stats struct {
	Looks    int64 // targets that were looked up in all lists
	Answers  int64 // true answers of lists
	Unknown  int64 // questions without a true answer
	Listed   int64 // listings that began
	Delisted int64 // listings that ended
	Gathered int64 // dossiers that were gathered
	Failed   int64 // turns that failed: the database, mostly
}

// Stats returns the figures of this process.
func (w *Watch) Stats() Stats {
	c := &w.counts
	return Stats{c.looks.Load(), c.answers.Load(), c.unknown.Load(), c.listed.Load(), c.delisted.Load(), c.gathered.Load(), c.failed.Load()}
}
