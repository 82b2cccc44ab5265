// Package learn is the ledger of experience: which words stand in spam and which in wanted mail (Bayes), how the messages of
// a sender scored so far (reputation, as SpamAssassin's AWL and TxRep), and how a sender sends (behaviour: how much, to whom, with what
// success). It gives figures; package filter makes points of them.
//
// # Bayes
//
// [Tokens] takes a message apart as SpamAssassin's Bayes plugin does. [Ledger.Learn] counts in how many messages of a class each
// token stood, [Ledger.Forget] takes a message back; a message counts once however often it is given. [Ledger.Classify] returns
// the probability that a message is spam, and the tokens that say so. Counts are kept per scope: a scope is a customer's id, and
// the scope [Base] counts for all. A customer's messages are judged by the base and by what he taught himself; what he teaches
// never reaches the base or another customer. With fewer than [MinCorpus] messages of either class there is no answer.
//
// # Reputation
//
// [Ledger.Record] adds a score to a sender's mean, [Ledger.Adjust] says how far the mean pulls a new score. A sender is an address
// from a network under somebody's answer ([Sender]), so that a forger does not inherit a good name; where nobody answers, a good
// mean helps nobody, it can only harm.
//
// # Behaviour
//
// [Ledger.Observe] counts a message of an [Identity] and returns how it sends, compared with its own past; [Ledger.Judged] and
// [Ledger.Settled] add what became of it. See behaviour.go.
//
// # Life and failure
//
// Reads come from a bounded cache; the rest of a message's tokens is read in one transaction. Learn, Forget, Erase and Record are
// durable when they return. [Ledger.Teach] and [Ledger.Remember] only put the work into a bounded queue, for callers that must not
// wait: [Ledger.Run] does it, and what does not fit is counted and lost, which costs a little experience and no mail. Run also
// hears what other nodes of a cluster learned, and removes what was not used for long or is too much. Errors are the database's;
// an answer that cannot be given is an error, never a guess.
//
// # Who calls it
//
// filter: Classify, Adjust, Remember, Observe, Judged. feedback: Settled. app: Run, Teach. api: Learn, Forget, Erase.
//
// Nothing readable of a message is stored but the author's address of a letter to many: tokens, messages, senders and recipients are digests.
package learn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Base is the scope that counts for every customer.
const Base = ""

// Class is what a learned message was.
type Class string

// The classes. Spam is what receivers do not want, whatever the sender thinks of it.
const (
	Ham  Class = "ham"
	Spam Class = "spam"
)

// MinCorpus is how many messages of each class must have been learned before Classify answers (SpamAssassin:
// bayes_min_spam_num, bayes_min_ham_num).
const MinCorpus = 200

// ErrInvalid: the call breaks the contract; nothing was done.
var ErrInvalid = errors.New("learn: invalid")

// Options configure a ledger. DB is required; zero values take the defaults.
type Options struct {
	DB     *store.DB // opened with store.MainSchema
	Logger *slog.Logger
	Now    func() time.Time

	CachedTokens int           // token counts kept in memory; default 200,000 (about 20 MB)
	ScopeTokens  int           // tokens kept per scope, the longest unused leave first; default 200,000
	KeepFor      time.Duration // how long an unused token, a sender or the memory that a message was learned is kept; default 365 days
	Waiting      int           // Teach and Remember that may wait for Run; default 1000

	Node           string // name of this node of a cluster
	BehaviourBytes int64  // memory for identities, about; default 64 MB (some 20,000 busy ones)
	SeenRecipients int    // recipients remembered per customer, at 8 to 22 bytes; default 1,048,576

	Reputation Reputation
}

// Reputation are the constants of the senders' ledger.
type Reputation struct {
	Factor   float64 // share of the distance to the mean that Adjust returns, above 0 to 1; default 0.5 (AWL, TxRep)
	Dilution float64 // weight of the past at each new message, above 0 to 1; 1 is AWL's plain mean, default 0.98 (TxRep)
	Memory   int     // messages that the past weighs at most; default 50
	MinCount int     // messages before the mean says anything; default 3
	Most     float64 // points that Adjust returns at most, either way; default 2, so that what was mended can pass
}

// Ledger is the room. Its methods may be called from many goroutines.
type Ledger struct {
	o     Options
	db    *store.DB
	log   *slog.Logger
	cache cache
	queue chan job
	lost  atomic.Int64
	bytes atomic.Int64 // of the messages in the queue

	usedMu sync.Mutex
	used   map[string]map[int64]struct{} // tokens that decided something since the last turn of Run, by scope

	behaviour *behaviours
}

// topic wakes the other nodes of a cluster when something was learned.
const topic = "learn"

// New makes a ledger; it does not touch the database.
func New(o Options) (*Ledger, error) {
	if o.DB == nil {
		return nil, fmt.Errorf("%w options: no database", ErrInvalid)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.CachedTokens <= 0 {
		o.CachedTokens = 200_000
	}
	if o.ScopeTokens <= 0 {
		o.ScopeTokens = 200_000
	}
	if o.KeepFor <= 0 {
		o.KeepFor = 365 * 24 * time.Hour
	}
	if o.Waiting <= 0 {
		o.Waiting = 1000
	}
	if o.BehaviourBytes <= 0 {
		o.BehaviourBytes = 64 << 20
	}
	if o.SeenRecipients <= 0 {
		o.SeenRecipients = 1 << 20
	}
	r := &o.Reputation
	for _, p := range []struct {
		name  string
		given *float64
		def   float64
		most  float64
	}{{"factor", &r.Factor, 0.5, 1}, {"dilution", &r.Dilution, 0.98, 1}, {"most", &r.Most, 2, 100}} {
		if *p.given == 0 {
			*p.given = p.def
		}
		if !(*p.given > 0 && *p.given <= p.most) {
			return nil, fmt.Errorf("%w options: reputation %s %v is not above 0 and at most %v", ErrInvalid, p.name, *p.given, p.most)
		}
	}
	if r.Memory <= 0 {
		r.Memory = 50
	}
	if r.MinCount <= 0 {
		r.MinCount = 3
	}
	l := &Ledger{o: o, db: o.DB, log: o.Logger, queue: make(chan job, o.Waiting), used: make(map[string]map[int64]struct{}),
		behaviour: newBehaviours(10 * o.Waiting)}
	l.cache.most = o.CachedTokens
	return l, nil
}

// job is one thing that Run does for somebody who does not wait: a message to learn, or a score to remember.
type job struct {
	scope  string
	class  Class
	raw    []byte // a message; nil: a score
	sender Sender
	score  float64
}

// maxWaiting bounds the messages in the queue together, in bytes.
const maxWaiting = 64 << 20

// Teach has a message learned by Run. raw must not change afterwards.
func (l *Ledger) Teach(scope string, class Class, raw []byte) {
	if raw == nil || l.bytes.Add(int64(len(raw))) > maxWaiting {
		l.bytes.Add(-int64(len(raw)))
		l.lost.Add(1)
		return
	}
	if !l.post(job{scope: scope, class: class, raw: raw}) {
		l.bytes.Add(-int64(len(raw)))
	}
}

// Remember has a sender's score recorded by Run.
func (l *Ledger) Remember(s Sender, score float64) { l.post(job{sender: s, score: score}) }

func (l *Ledger) post(j job) bool {
	select {
	case l.queue <- j:
		return true
	default:
		l.lost.Add(1)
		return false
	}
}

// Lost is how many Teach, Remember and Settled found no room or could not be written, since the start.
func (l *Ledger) Lost() int64 { return l.lost.Load() }

// Run does the work of the queue, hears what other nodes learned, and cleans up. When ctx ends it finishes what is in the queue and
// returns nil.
func (l *Ledger) Run(ctx context.Context) error {
	heard, stop := l.db.Watch(topic)
	defer stop()
	counted := make(chan struct{})
	go func() { defer close(counted); l.runBehaviour(ctx) }()
	defer func() { <-counted }()
	clean := time.NewTimer(10 * time.Minute)
	defer clean.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case j := <-l.queue:
			l.work(ctx, j)
		case <-heard:
			l.cache.clear()
		case <-clean.C:
			if err := l.Clean(ctx); err != nil && ctx.Err() == nil {
				l.log.Warn("learn: not cleaned up; will be tried again", "error", err)
			}
			clean.Reset(time.Hour)
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for len(l.queue) > 0 && end.Err() == nil {
		l.work(end, <-l.queue)
	}
	if err := l.touch(end); err != nil {
		l.log.Warn("learn: use of tokens not written down", "error", err)
	}
	return nil
}

// workTime bounds one turn of work, which is not cut short when the gateway stops.
const workTime = 10 * time.Second

// work does one job, and with it the scores that wait behind it: they share one commit.
func (l *Ledger) work(ctx context.Context, j job) {
	const together = 100
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workTime)
	defer cancel()
	var scores []job
	for {
		if j.raw != nil {
			l.bytes.Add(-int64(len(j.raw)))
			if _, err := l.Learn(ctx, j.scope, j.class, mail.Parse(j.raw, mail.DefaultLimits())); err != nil {
				l.lost.Add(1)
				l.log.Warn("learn: a message was not learned", "account", j.scope, "error", err)
			}
		} else {
			scores = append(scores, j)
		}
		if len(scores) == together || len(l.queue) == 0 {
			break
		}
		j = <-l.queue // Run alone takes from the queue
	}
	if len(scores) == 0 {
		return
	}
	if err := l.record(ctx, scores); err != nil {
		l.lost.Add(int64(len(scores)))
		l.log.Warn("learn: scores of senders not recorded", "messages", len(scores), "error", err)
	}
}

// day is the resolution in which use is written down: finer would write more and tell nothing.
func (l *Ledger) day() time.Time { return l.o.Now().UTC().Truncate(24 * time.Hour) }

// good refuses figures that would spoil a mean for ever.
func good(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) && math.Abs(x) <= 1000 }
