// Package aggregate keeps what receivers report about our domains: DMARC aggregate reports (RFC 7489, RFC 9990), failure reports (RFC 9991) and TLS
// reports (RFC 8460), summed by day and source, so that a domain's owner sees who sends as him, what passes, and when his policy can be stricter.
//
// # Ways in
//
// [Ledger.Put] judges what came by mail and writes it down before the door answers 250; [Ledger.Run] reads it afterwards. [Ledger.Import] reads an upload at once.
// A report counts once: reporter, the reporter's identifier and domain are its identity. What cannot be read waits for the operator with the reason,
// bounded in number and time; so does a report about a domain that nobody here has, without its content.
//
// # Who vouches for a report
//
// The address for reports stands in DNS for everybody to read, and whoever forges a report wants its figures believed: that a domain may go to reject, which then loses mail;
// that nothing is wrong while somebody sends in its name; or alarms until nobody looks any more. So the mail of a report must pass what RFC 7489 7.2.1.1 and RFC 9990 ask of it:
// SPF of the envelope or a DKIM signature in alignment with the one author in From, and the author must be of the organization that the report names as its reporter (name and
// address; a mailbox of a public provider vouches for nobody). It is judged at the door, once, and kept with the report ([Proof]). What the DNS leaves open waits and is judged
// again for six hours, and is then unknown, which is not authenticated. Bytes that a person brings in are trusted: he answers for them.
//
// What such a report does not pass is kept apart from the first row on: every sum has an unproven part, which pages and the API name. It counts neither in advice nor in troubles,
// neither begins nor ends one, tells no policy that something else tells, and takes no place of what counts in a list. Nor does it keep a genuine report out by coming first under
// its name: the two are told apart, and where they say the same the genuine one proves what is summed already. Options.Unproven lets the operator count them all the same, or
// have them not summed at all.
//
// What this does not stop: a receiver that lies about its own figures in its own name, as anybody with a domain may be a receiver. Its name stands beside them ([Overview].Reporters).
//
// # What is kept
//
// Sums by day and receiver ([Day]), by day and source ([Source]), and rows in all detail ([Row]), of domains that Options.Takes. A report of several days
// is spread over them by time. Of failure reports only what the owner can act on: no recipient, no local part, no subject, and not for long.
// TLS reports as sums and failures. All of it ends with Options.Keep; failure reports with FailuresFor.
//
// A day that no receiver reported is not known ([Day.Known]), which is not "no mail".
//
// # What it says
//
// Every source is put into one [Class]: our own, one that passes, a service that is known by its confirmed name, a forwarder, or unknown. Names are
// asked in the background, never while a page is made. [Advise] holds the figures against stated rules ([Rules]) and says whether the policy can be
// stricter, should stay, or must go back, with the record to publish. People mark sources as theirs or not ([Ledger.Mark]).
//
// # Whom it tells
//
// A [Trouble] begins when new sources that nobody knows send much in a domain's name, when the domain's own mail passes clearly less than it used to, and when
// sessions with its servers fail; reports that cannot be read are one trouble, gathered. Domains are looked at when something came about them ([Ledger.Judge]).
// Options.Changed hears of each beginning and end once, whichever node found it; Options.Raise and Clear as often as Run looks, on every node.
//
// # Who calls it, and how it fails
//
// feedback's door: Put. portal and api: everything else. app: Run. Whose domain it is decides the caller: nothing here knows customers beyond Options.
// Errors are the database's, wrapped, or one of [ErrBusy], [ErrNotTaken], [ErrNotFound] and report's. Everything is safe for concurrent use and for
// several nodes on one database.
package aggregate

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/store"
)

// Errors that a caller can ask for with errors.Is.
var (
	// ErrBusy: so many reports wait to be read that no more are taken now.
	ErrBusy = errors.New("too many reports wait to be read")
	// ErrNotTaken: the report is about a domain that is not the caller's.
	ErrNotTaken = errors.New("the report is about another domain")
	// ErrNotFound: there is no such thing.
	ErrNotFound = errors.New("no such report")
)

// Options is what New needs. DB is required.
type Options struct {
	DB       *store.DB
	Resolver dns.Resolver                                               // names of sources, and who vouches for a mail; nil: nothing is asked, and no mail is authenticated
	Takes    func(mail.Domain) bool                                     // whether somebody here has the domain; nil: all
	Egress   func() []netip.Addr                                        // our own addresses; nil: none
	Counted  func(event string)                                         // for metrics: "dmarc", "failure", "tls", "duplicate", "foreign", "unread", "other", "unauthenticated"; nil: not counted
	Heard    func(ctx context.Context, kind report.Kind, d mail.Domain) // a report was stored; nil: nobody
	Changed  func(ctx context.Context, t Trouble, began bool)           // a trouble began or is over, told once by the node that found it; nil: nobody
	Raise    func(Trouble)                                              // troubles that stand are told again and again; nil: no alarms
	Clear    func(key string)                                           // that of a trouble which is over; with Raise
	Standing func() []string                                            // keys of alarms that stand, of this room and others; with Raise
	Keep     time.Duration                                              // of sums; default 400 days
	Unproven Unproven                                                   // what is done with reports whose mail is not authenticated; "": UnprovenShow
	Limits   report.ReadLimits                                          // of what is read
	Logger   *slog.Logger
	Now      func() time.Time
}

// Times and bounds.
const (
	DefaultKeep  = 400 * 24 * time.Hour // a year, and the month to compare it with
	FailuresFor  = 14 * 24 * time.Hour  // failure reports speak of persons
	UnreadFor    = 30 * 24 * time.Hour  // what could not be read
	MaxUnread    = 500                  // of them
	MaxWaiting   = 5000                 // reports that wait to be read
	MaxFailures  = 200                  // failure reports of one domain
	MaxSources   = 10_000               // sources kept of one report; further ones are summed together
	maxKeptBytes = 1 << 20              // of what could not be read
	nameFor      = 30 * 24 * time.Hour  // until a source's name is asked again
	noNameFor    = 24 * time.Hour       // the same when there was no answer
)

// Ledger is the room.
type Ledger struct {
	o      Options
	db     *store.DB
	wake   chan struct{}
	memory memory
	reason *Reasons
}

// New checks the options.
func New(o Options) (*Ledger, error) {
	if o.DB == nil {
		return nil, errors.New("aggregate: the database is missing")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Takes == nil {
		o.Takes = func(mail.Domain) bool { return true }
	}
	if o.Egress == nil {
		o.Egress = func() []netip.Addr { return nil }
	}
	if o.Counted == nil {
		o.Counted = func(string) {}
	}
	if o.Raise != nil && (o.Clear == nil || o.Standing == nil) {
		return nil, errors.New("aggregate: alarms are raised and never cleared")
	}
	if o.Changed == nil {
		o.Changed = func(context.Context, Trouble, bool) {}
	}
	if o.Heard == nil {
		o.Heard = func(context.Context, report.Kind, mail.Domain) {}
	}
	switch o.Unproven {
	case "":
		o.Unproven = UnprovenShow
	case UnprovenShow, UnprovenCount, UnprovenRefuse:
	default:
		return nil, fmt.Errorf("aggregate: reports without proof are shown, counted or refused, not %q", o.Unproven)
	}
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	reason, err := NewReasons()
	if err != nil {
		return nil, err
	}
	return &Ledger{o: o, db: o.DB, wake: make(chan struct{}, 1), reason: reason}, nil
}

// Why is a reason that is kept, or of an outcome, in a language: Reasons.In.
func (l *Ledger) Why(lang, english string) string { return l.reason.In(lang, english) }

// Run reads what waits, asks for names and forgets what is old, until ctx ends.
func (l *Ledger) Run(ctx context.Context) error {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	var asked sync.WaitGroup
	defer asked.Wait()
	asked.Go(func() { l.undecided(ctx) })
	var swept, named time.Time
	for {
		if err := l.Process(ctx); err != nil && ctx.Err() == nil {
			l.o.Logger.Warn("reports not read; tried again in a minute", "error", err)
		}
		if err := l.Judge(ctx); err != nil && ctx.Err() == nil {
			l.o.Logger.Warn("what reports tell was not looked at; tried again in a minute", "error", err)
		}
		now := l.o.Now()
		if now.Sub(named) >= 30*time.Second {
			if err := l.Names(ctx, 200); err != nil && ctx.Err() == nil {
				l.o.Logger.Warn("names of sources not written", "error", err)
			}
			named = now
		}
		if now.Sub(swept) >= time.Hour {
			if err := l.Sweep(ctx); err != nil && ctx.Err() == nil {
				l.o.Logger.Warn("old reports not removed; tried again in an hour", "error", err)
			}
			swept = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-minute.C:
		case <-l.wake:
		}
	}
}

// newID makes the identifier of something that came in: its time first, so that they sort.
func newID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMicro()))
	_, _ = rand.Read(b[8:])
	return hex.EncodeToString(b[:])
}

// dayOf is the number of the UTC day that holds a moment.
func dayOf(t time.Time) int64 { return floorDiv(t.Unix(), 24*3600) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// dayStart is the first moment of a day.
func dayStart(d int64) time.Time { return time.Unix(d*24*3600, 0).UTC() }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// reversed turns a domain's labels round.
func reversed(d string) string {
	labels := strings.Split(d, ".")
	for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
		labels[i], labels[j] = labels[j], labels[i]
	}
	return strings.Join(labels, ".")
}
