// Package suppression is the ledger of addresses that are not written to: why, on what evidence, until when, for whom. feedback writes it, intake
// and delivery read it, people lift entries. It judges no answer and asks no network.
//
// # Entries
//
// An [Entry] is one address, or one whole domain, that one customer does not write to, or nobody does. Addresses are compared without regard to
// case, domains as A-labels; nothing else about a local part is presumed (a dot or a plus sign may well tell two mailboxes apart). Reasons have an
// order of strength ([Reasons]), and an entry is never replaced by a weaker one. Each reason has its time ([DefaultKeep]): mailboxes are
// emptied, accounts revived, domains renewed, so only what a person said stays until a person takes it back.
//
// # Strikes
//
// [Ledger.Record] takes what answers meant. A sure answer makes an entry at once; a doubtful one is a strike, and so many of them, on different days
// (12 hours apart at least), about different messages and within 30 days, make the entry. [Ledger.Delivered] forgets strikes: the address works.
//
// # Lifting
//
// [Ledger.Lift] removes an entry and keeps who did it and why ([Ledger.Lifts]). What was heard before, or about the same message, does not bring the
// entry back; a new answer does, and so does a person.
//
// # Memory
//
// Nearly every address asked for is not here. [Ledger.Check] answers that from a set of hashes (8 bytes each, at most half full) without
// touching the database, and reads the database only where the set has the address. The set never lacks an entry of this process; those of
// other nodes come with the store's wake-ups, in well under a second. It may have an address that was taken off elsewhere: that costs one
// needless read until the next full reading, once an hour.
//
// # Who calls it, and how it fails
//
// feedback: Record, Delivered, TakeBack, Each. intake and delivery: Check. api: List, Find, Add, Lift, Lifts, ReadCSV, WriteCSV. app: Refresh, Run.
// Errors are the database's, wrapped, or one of [ErrNotFound], [ErrInvalid], [ErrLifted], [ErrTooMany]. A set that could not be read makes Check
// ask the database each time; it never guesses that somebody may be written to.
package suppression

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Reason is why an address is not written to. The order of the constants is their strength: an entry is never replaced by a weaker one.
type Reason string

// The reasons.
const (
	MailboxFull  Reason = "mailbox-full" // again and again
	Suspended    Reason = "suspended"    // the mailbox is closed or archived
	Unwilling    Reason = "unwilling"    // the recipient's own filter refuses this sender
	UnknownUser  Reason = "unknown-user"
	NoMail       Reason = "no-mail" // the domain takes no mail or does not exist
	Complaint    Reason = "complaint"
	Unsubscribed Reason = "unsubscribed"
	ByOperator   Reason = "operator"
	BySender     Reason = "sender" // the customer put it there
)

// Reasons returns all reasons, the weakest first.
func Reasons() []Reason {
	return []Reason{MailboxFull, Suspended, Unwilling, UnknownUser, NoMail, Complaint, Unsubscribed, ByOperator, BySender}
}

// strength is the place of a reason in the order; -1 for what is none.
func (r Reason) strength() int {
	switch r {
	case MailboxFull:
		return 0
	case Suspended:
		return 1
	case Unwilling:
		return 2
	case UnknownUser:
		return 3
	case NoMail:
		return 4
	case Complaint:
		return 5
	case Unsubscribed:
		return 6
	case ByOperator:
		return 7
	case BySender:
		return 8
	}
	return -1
}

// DefaultKeep says how long an entry of each reason counts; what is missing counts until it is lifted.
//
// A full mailbox is emptied or given up within days. A suspended account is revived or removed within a season. A recipient's own filter is
// rarely changed. An address that does not exist is given to somebody else after a year or more, and a domain that does not exist is
// often only one that was not paid for in time: registries give it back for 30 days (ICANN's redemption period).
func DefaultKeep() map[Reason]time.Duration {
	const day = 24 * time.Hour
	return map[Reason]time.Duration{MailboxFull: 14 * day, Suspended: 90 * day, Unwilling: 180 * day, UnknownUser: 365 * day, NoMail: 30 * day}
}

// Evidence is what an entry stands on.
type Evidence struct {
	QueueID  mail.QueueID
	At       time.Time // when it was heard; zero: now
	Code     int
	Enhanced string
	Text     string // at most 500 bytes are kept
	Host     string // who said it
	Provider string // provider.Provider.Name
	Rule     string // provider.Meaning.Rule
	Phase    string
}

// Entry is one address that is not written to.
type Entry struct {
	Customer string       // account.Customer.ID; "" for everybody
	Address  mail.Address // Local "": the whole domain
	Reason   Reason
	Since    time.Time // zero in Add: now
	Until    time.Time // zero: until lifted; in Add: as long as the reason says
	By       string    // "rule", "operator:NAME", "sender:NAME", "recipient"
	Evidence Evidence
	Note     string    // at most 200 bytes
	Hits     int       // messages not sent because of it
	LastHit  time.Time // zero: never
}

// ByRule is the By of entries that answers made; only those are lifted when what is known of answers changes.
const ByRule = "rule"

// Bounds.
const (
	// MaxEntries is how many entries the ledger takes; the set of hashes is 64 MB then.
	MaxEntries = 4_000_000

	maxCustomer = 64
	maxLocal    = 192 // 64 octets on the wire (RFC 5321 4.5.3.1.1), and room for what mail.Address may hold unquoted
	maxText     = 500
	maxNote     = 200
	maxWord     = 100 // By, Enhanced, Provider, Rule, Phase
	maxHost     = 300
	maxQueues   = 8 // messages remembered behind an entry
)

// Errors that a caller can ask for with errors.Is.
var (
	// ErrNotFound: no such entry.
	ErrNotFound = errors.New("suppression: no such entry")
	// ErrInvalid: the entry cannot be kept; the text says why.
	ErrInvalid = errors.New("suppression: not accepted")
	// ErrLifted: the entry was taken off after this evidence was heard, or the evidence is about the same message.
	ErrLifted = errors.New("suppression: taken off since")
	// ErrTooMany: the ledger is full.
	ErrTooMany = errors.New("suppression: too many entries")
)

// Options is what New needs.
type Options struct {
	DB     *store.DB // with store.MainSchema
	Now    func() time.Time
	Logger *slog.Logger
	Keep   map[Reason]time.Duration // instead of DefaultKeep's, by reason; 0: until lifted
	Off    bool                     // Check finds nothing: the list is kept, and keeps nobody from writing
}

// Ledger is the room. Its methods may be called from many goroutines.
type Ledger struct {
	o    Options
	db   *store.DB
	log  *slog.Logger
	keep atomic.Pointer[map[Reason]time.Duration]
	off  atomic.Bool

	addresses memory // entries: customer, domain, local
	struck    memory // strikes: domain, local

	refreshing sync.Mutex
	seen       time.Time // the newest change that was read

	hitsMu sync.Mutex
	hits   map[hitKey]hitCount
}

type hitKey struct{ customer, domain, local string }

type hitCount struct {
	n  int
	at time.Time
}

// mostHits bounds the hits that wait to be written down.
const mostHits = 20_000

// New checks the options. It reads nothing; Refresh and Run do.
func New(o Options) (*Ledger, error) {
	if o.DB == nil {
		return nil, fmt.Errorf("%w: no database", ErrInvalid)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Ledger{o: o, db: o.DB, log: o.Logger, hits: make(map[hitKey]hitCount)}
	if err := l.Tune(o.Keep, o.Off); err != nil {
		return nil, err
	}
	return l, nil
}

// Tune changes how long entries made from now on count, and whether the list is in force (Options.Keep, Options.Off).
func (l *Ledger) Tune(keep map[Reason]time.Duration, off bool) error {
	all := DefaultKeep()
	for r, d := range keep {
		if r.strength() < 0 || d < 0 {
			return fmt.Errorf("%w: %s for %s", ErrInvalid, d, r)
		}
		all[r] = d
	}
	l.keep.Store(&all)
	l.off.Store(off)
	return nil
}

// Check returns the entry that keeps a customer from writing to an address: his own, or one for everybody; the strongest of several. It counts
// a hit: ask once for each message and recipient. It answers from memory where there is none.
func (l *Ledger) Check(ctx context.Context, customer string, a mail.Address) (e Entry, found bool, err error) {
	if l.off.Load() || !l.addresses.mayHave(customer, a) {
		return Entry{}, false, nil
	}
	e, found, err = l.inForce(ctx, customer, a)
	if found {
		l.hit(e)
	}
	return e, found, err
}

// Suppressed is Check without counting a hit, for those who only want to know.
func (l *Ledger) Suppressed(ctx context.Context, customer string, a mail.Address) (e Entry, found bool, err error) {
	if l.off.Load() || !l.addresses.mayHave(customer, a) {
		return Entry{}, false, nil
	}
	return l.inForce(ctx, customer, a)
}

func (l *Ledger) inForce(ctx context.Context, customer string, a mail.Address) (best Entry, found bool, err error) {
	a = normal(a)
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		best, found = Entry{}, false
		rows := tx.Query(sqlInForce, string(a.Domain), a.Local, customer, l.o.Now())
		for rows.Next() {
			e, err := scanEntry(rows)
			if err != nil {
				return err
			}
			if !found || e.Reason.strength() > best.Reason.strength() || e.Reason == best.Reason && best.Customer == "" {
				best, found = e, true
			}
		}
		return rows.Err()
	})
	if err != nil {
		return Entry{}, false, fmt.Errorf("suppression: %w", err)
	}
	return best, found, nil
}

// Find returns the entries of an address, ended ones too as long as they are kept: of every customer and for everybody, those of its domain
// included.
func (l *Ledger) Find(ctx context.Context, a mail.Address) (all []Entry, err error) {
	a = normal(a)
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		all, err = scanEntries(tx.Query(sqlFind, string(a.Domain), a.Local))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("suppression: %w", err)
	}
	return all, nil
}

// hit counts; Run writes it down.
func (l *Ledger) hit(e Entry) {
	k := hitKey{e.Customer, string(e.Address.Domain), e.Address.Local}
	l.hitsMu.Lock()
	defer l.hitsMu.Unlock()
	h, known := l.hits[k]
	if !known && len(l.hits) >= mostHits {
		return // hits are for people to read; none is worth a gateway's memory
	}
	l.hits[k] = hitCount{h.n + 1, l.o.Now()}
}

// flushHits writes the hits down.
func (l *Ledger) flushHits(ctx context.Context) error {
	l.hitsMu.Lock()
	hits := l.hits
	l.hits = make(map[hitKey]hitCount)
	l.hitsMu.Unlock()
	if len(hits) == 0 {
		return nil
	}
	keys := make([]hitKey, 0, len(hits))
	for k := range hits {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, hitKey.compare) // one order everywhere: two nodes never wait for each other
	for piece := range slices.Chunk(keys, 500) {
		err := l.db.Write(ctx, func(tx *store.Tx) error {
			for _, k := range piece {
				if _, err := tx.Exec(sqlHit, hits[k].n, hits[k].at, k.customer, k.domain, k.local); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("suppression: hits: %w", err)
		}
	}
	return nil
}

// topic wakes the other nodes of a cluster.
const topic = "suppression"

// Turns of Run.
const (
	hitsEvery  = 10 * time.Second
	cleanEvery = time.Hour
)

// Run keeps memory up to date and removes what has ended. It returns nil when ctx ends.
func (l *Ledger) Run(ctx context.Context) error {
	heard, stop := l.db.Watch(topic)
	defer stop()
	hits := time.NewTicker(hitsEvery)
	defer hits.Stop()
	clean := time.NewTicker(cleanEvery)
	defer clean.Stop()
	for ctx.Err() == nil {
		var err error
		select {
		case <-ctx.Done():
		case <-heard:
			err = l.follow(ctx)
		case <-hits.C:
			err = l.flushHits(ctx)
		case <-clean.C:
			if err = l.Clean(ctx); err == nil {
				err = l.Refresh(ctx)
			}
		}
		if err != nil && ctx.Err() == nil {
			l.log.Warn("suppression: not up to date; will be tried again", "error", err)
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := l.flushHits(end); err != nil {
		l.log.Warn("suppression: hits not written down", "error", err)
	}
	return nil
}
