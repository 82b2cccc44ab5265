// Package journal keeps append-only facts about messages: one line per fate, searchable, for as long as the retention.
// It is what "what became of my mail?" is answered from; the operator's log is slog, and holds no addresses.
//
// # Order and durability
//
// All facts of a process pass one queue in the order in which Append and Post were called. Append returns when its facts,
// and everything posted before them, are on stable storage. Post returns at once; its facts are durable soon: with the
// next Append, Flush, or turn of Run. What was posted and not yet durable when the process dies is lost; so a room that
// is about to forget something (delivery before spool.Settle) calls Append or Flush first. Facts may repeat after a
// crash, never lack: whoever recovers writes again what HasAccepted does not know.
//
// There is no goroutine but the caller's, and one of Run, which counts facts for figures over time (Figures) behind everybody's back:
// whoever needs durability writes everybody's waiting facts in one transaction
// while the next ones gather. When the database is out, Append fails and posted facts wait; more than Options.Backlog of
// them make Post wait too while Run is at work. An Append whose outcome is unknown (store.ErrBroken) may have been
// written: write it again.
//
// # Figures
//
// Run counts the facts by hour and by day, per customer, provider and test (roll.go): each once, in a transaction with the mark up to which
// it has counted, whatever node it runs on. Pages ask for Figures, ByProvider, TestSums, TestPoints and Top, which add what is not counted yet,
// and so read hundreds of rows where the facts are millions. Figures outlive facts: hours stay 35 days, days 400. A journal from before is
// counted in pieces behind the work; until then an answer says how far it came, and what is not counted is unknown, not zero.
//
// # Searches
//
// A page of a search compares a bounded number of facts with what no index answers (Scan), and says from where to search further back.
//
// # Who calls it
//
// intake, delivery, portal, api: Append, Post. portal, api, cli: Trace, Search, Counts. portal: Figures and the like. app: Run, HasAccepted.
// Facts hold personal data; they leave by age (Run), in small pieces.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Kind says what a fact is about.
type Kind string

// The kinds. Every fact has At and Kind; every fact about a message has QueueID (Rejected: that of the refused
// transaction) and Customer. Fields named at a kind are filled as far as known; the others are empty.
const (
	// Accepted: intake answered 250 and queued the message. Credential, ClientIP, ReversePath, HeaderFrom, Subject,
	// MessageID, Size, Score, Detail = brief verdict (EncodeBrief); one fact per message, Recipient is the first.
	Accepted Kind = "accepted"
	// Held: the message was accepted and set aside, or set aside later. As Accepted, the reason is in Detail,
	// NextAt = end of the hold, Actor, Detail = verdict.
	Held Kind = "held"
	// Rejected: refused in session, after DATA or before. As Accepted as far as it came, Code, Enhanced, Text = our
	// answer, Detail = verdict.
	Rejected Kind = "rejected"
	// Released: a held message was queued. Actor.
	Released Kind = "released"
	// Retested: a stored message was tested again. Score, Detail = the new verdict, Actor.
	Retested Kind = "retested"
	// Dropped: removed by a person or a rule. Actor, Text = why, Recipient when only one was.
	Dropped Kind = "dropped"
	// Attempt: an attempt began or could not begin without ending a recipient. Host, EgressIP, Text, NextAt.
	Attempt Kind = "attempt"
	// Delivered: the remote server took it. Recipient, Host, EgressIP, Code, Enhanced, Text = its answer, Attempt.
	Delivered Kind = "delivered"
	// Deferred: not now. As Delivered, with NextAt.
	Deferred Kind = "deferred"
	// Bounced: given up for good. As Delivered; Code 0 when no server answered (Text says why).
	Bounced Kind = "bounced"
	// Expired: given up because of age, or a hold that ended. Recipient, Text, Attempt.
	Expired Kind = "expired"
	// Notified: a notice about the message was queued. Recipient = to whom, Text = which notice, Detail = its queue ID.
	Notified Kind = "notified"
	// DSN: a delivery status notification about the message was queued. As Notified.
	DSN Kind = "dsn"
	// Asked: a person looked at the message or asked about it. Actor, Text = what.
	Asked Kind = "asked"
	// Addressed: the recipients of a message with several, in the order of the envelope. Detail = JSON list of their addresses.
	Addressed Kind = "addressed"
	// Returned: a mail system that had taken the message reported later that it cannot be delivered. Recipient = ours, Host = who reported,
	// Code, Enhanced, Text = what it said, Category, Party, Rule, Provider, Detail = JSON: permanent, and the address that failed where it is another.
	Returned Kind = "returned"
	// LateDelay: a mail system that has taken the message reported that it is late there. As Returned.
	LateDelay Kind = "late-delay"
	// Confirmed: a mail system that has taken the message reported its delivery. As Returned.
	Confirmed Kind = "confirmed"
	// AutoReply: a program answered in the recipient's name, such as an out-of-office notice. Recipient, Subject = the answer's, Text = what became of it.
	AutoReply Kind = "auto-reply"
	// Complaint: the recipient's provider reported that he took the message for spam. Recipient as far as known, Host = who reported, Text =
	// kind of complaint, Detail = JSON: who signed it (none: it counts for nothing). Without QueueID and Customer: one that leads to no message of ours.
	Complaint Kind = "complaint"
	// Unread: mail came to the message's return address that is none of these. Subject, HeaderFrom, Text.
	Unread Kind = "unread"
	// Recovered: found in the spool after a crash without an Accepted fact, which this one replaces. As Accepted.
	Recovered Kind = "recovered"
	// Tuned: points of tests or a list of allowed and denied senders were changed. No message; Customer = whose ("" = everybody's),
	// Actor, Text = what.
	Tuned Kind = "tuned"
	// Suppressed: a recipient was not written to because he is on the list of those who are not (package suppression). Recipient, Code, Enhanced,
	// Text = our answer. QueueID when the message was taken.
	Suppressed Kind = "suppressed"
	// Limited: a login had used up one of its limits, so that its mail was put off. Credential, ClientIP, ReversePath, Code, Enhanced, Text = our
	// answer, NextAt = when there is room again. No message; one fact a minute for each login and limit.
	Limited Kind = "limited"
	// Listed: an address, or a whole domain ("@example.org"), was put on that list. QueueID = the message whose answer did it; Customer = whose
	// ("" = everybody's), Recipient, Host, Code, Enhanced, Text = reason and answer, NextAt = end, Actor.
	Listed Kind = "listed"
	// Lifted: it was taken off the list. As Listed, Text = reason and why.
	Lifted Kind = "lifted"
	// BlockListed: a blocklist has taken up an egress address or a domain. Customer = whose domain ("" the gateway's), EgressIP where it is an address,
	// Host = the list's zone, Category = who runs the list, Text = target, list, codes and the list's own reason, Actor.
	BlockListed Kind = "blocklisted"
	// BlockDelisted: it has dropped it again. As BlockListed.
	BlockDelisted Kind = "delisted"
	// DossierMoved: the dossier of such a listing came to another state. Customer, Host = who runs the list, Text = dossier, target, state and why, Actor.
	DossierMoved Kind = "dossier"
	// ReportAlarm: what receivers report about a domain needs somebody: new unknown senders, own mail that passes less, TLS sessions that fail. Customer = whose
	// domain ("" the gateway's), Category = which of them, Text = the domain and the figures, Actor.
	ReportAlarm Kind = "report-alarm"
	// ReportOver: that is over. As ReportAlarm.
	ReportOver Kind = "report-over"
)

// ActorNotice is the Actor of what became of our own mail: a notice or a delivery report that we send about a customer's mail. It is the customer's fact,
// but no figure counts it, for he did not send it.
const ActorNotice = "notice"

// Fact is one line of the journal. Zero fields are empty.
type Fact struct {
	ID          int64        // given by the journal; grows with the order of writing
	At          time.Time    // when it happened; Append and Post set the present when zero
	Kind        Kind         // required
	QueueID     mail.QueueID // our name of the message
	Customer    string       // account.Customer.ID
	Credential  string       // what authenticated the submission
	ClientIP    netip.Addr   // who brought it
	ReversePath string       // envelope sender, wire form without <>
	Recipient   string       // envelope recipient, wire form
	HeaderFrom  string       // header From: address, or name <address>
	Subject     string       // decoded, at most 500 bytes are kept
	MessageID   string       // Message-ID of the header, with <>
	Size        int64        // bytes
	Score       float64      // points, 0..15
	Host        string       // remote server: name[ip]
	EgressIP    netip.Addr   // from where we sent
	Code        int          // SMTP reply code
	Enhanced    string       // enhanced code "5.1.1"
	Text        string       // the answer or our reason, at most 2,000 bytes are kept
	NextAt      time.Time    // next event
	Attempt     int          // number of the attempt, from 1
	Actor       string       // "rule", "sender", "operator:NAME", ActorNotice
	Detail      []byte       // JSON, at most 256 KiB

	Category string // what the answer is about: provider.Category
	Party    string // who must mend it: provider.Party
	Rule     string // what told so: provider.Meaning.Rule; "" the codes
	Provider string // who answered: provider.Provider.Name; "default" for those nobody knows
	Lane     string // where it waits or was refused: shaping.Key
}

// Options configure a journal. DB is required.
type Options struct {
	DB        *store.DB // opened with store.MainSchema
	Logger    *slog.Logger
	Now       func() time.Time
	Retention time.Duration // age at which facts leave. Default 90 days; negative: never
	Backlog   int           // posted facts that may wait in memory before Post waits. Default 10,000
}

// Journal is the ledger of facts. Its methods may be called from many goroutines.
type Journal struct {
	o    Options
	db   *store.DB
	log  *slog.Logger
	kick chan struct{} // tells Run that something was posted
	turn chan struct{} // held by the one that writes
	tops atomic.Pointer[topAnswer]
	tail atomic.Pointer[tail]

	mu      sync.Mutex
	queue   []item
	posted  int           // items in queue that nobody waits for
	room    chan struct{} // closed when the backlog shrank
	running int           // Runs at work
}

// item is one call of Append or Post.
type item struct {
	facts []Fact
	done  chan error // nil for Post
}

// maxDetail bounds Fact.Detail.
const maxDetail = 256 << 10

// gather is how long what is posted waits for company, so that many facts share a commit: nobody waits for it.
const gather = 20 * time.Millisecond

// batchFacts is how many facts one transaction holds at most.
const batchFacts = 2048

// ErrInvalid: a fact or a query breaks the contract; nothing was written.
var ErrInvalid = errors.New("invalid")

// New makes a journal; it does not touch the database.
func New(o Options) (*Journal, error) {
	if o.DB == nil {
		return nil, fmt.Errorf("open journal: %w: no database", ErrInvalid)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Retention == 0 {
		o.Retention = 90 * 24 * time.Hour
	}
	if o.Backlog <= 0 {
		o.Backlog = 10_000
	}
	return &Journal{o: o, db: o.DB, log: o.Logger, kick: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		room: make(chan struct{})}, nil
}

// Append writes facts and returns nil when they are durable, with everything posted before. After an error they are not
// in the queue any more; with store.ErrBroken they may have been written.
func (j *Journal) Append(ctx context.Context, facts ...Fact) error {
	for i := range facts {
		if err := check(&facts[i]); err != nil {
			return fmt.Errorf("append: %w", err)
		}
	}
	it := item{facts: j.stamp(facts), done: make(chan error, 1)}
	j.mu.Lock()
	j.queue = append(j.queue, it)
	j.mu.Unlock()
	for {
		select {
		case err := <-it.done:
			return wrap(err)
		case j.turn <- struct{}{}:
			j.write(ctx)
			<-j.turn
		case <-ctx.Done():
			if j.withdraw(it.done) {
				return fmt.Errorf("append: %w", ctx.Err())
			}
			return wrap(<-it.done) // being written: the result comes
		}
	}
}

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return nil
}

// Flush returns nil when everything posted before is durable.
func (j *Journal) Flush(ctx context.Context) error { return j.Append(ctx) }

// Post hands facts over to be written soon, in the same order as Append's. A fact that breaks the contract is logged and
// left out. When Options.Backlog facts wait and Run is at work, Post waits.
func (j *Journal) Post(facts ...Fact) {
	good := make([]Fact, 0, len(facts))
	for i := range facts {
		if err := check(&facts[i]); err != nil {
			j.log.Error("journal: fact left out", "queue_id", facts[i].QueueID, "kind", facts[i].Kind, "error", err)
			continue
		}
		good = append(good, facts[i])
	}
	if len(good) == 0 {
		return
	}
	it := item{facts: j.stamp(good)}
	j.mu.Lock()
	for j.running > 0 && j.posted >= j.o.Backlog {
		room := j.room
		j.mu.Unlock()
		<-room
		j.mu.Lock()
	}
	j.queue = append(j.queue, it)
	j.posted += len(good)
	j.mu.Unlock()
	select {
	case j.kick <- struct{}{}:
	default:
	}
}

// check refuses what can never be written.
func check(f *Fact) error {
	switch {
	case f.Kind == "" || len(f.Kind) > 30:
		return fmt.Errorf("%w fact: kind %q", ErrInvalid, f.Kind)
	case len(f.Detail) > maxDetail:
		return fmt.Errorf("%w fact: detail of %d bytes (at most %d)", ErrInvalid, len(f.Detail), maxDetail)
	}
	return nil
}

// stamp copies facts, with the time where it is missing.
func (j *Journal) stamp(facts []Fact) []Fact {
	out := make([]Fact, len(facts))
	copy(out, facts)
	for i := range out {
		if out[i].At.IsZero() {
			out[i].At = j.o.Now()
		}
	}
	return out
}

// withdraw takes an Append that has not been begun out of the queue.
func (j *Journal) withdraw(done chan error) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range j.queue {
		if j.queue[i].done == done {
			j.queue = append(j.queue[:i:i], j.queue[i+1:]...)
			return true
		}
	}
	return false
}

// write puts the head of the queue into the database. The caller holds turn.
func (j *Journal) write(ctx context.Context) {
	j.mu.Lock()
	n, count := 0, 0
	for n < len(j.queue) && (n == 0 || count+len(j.queue[n].facts) <= batchFacts) {
		count += len(j.queue[n].facts)
		n++
	}
	batch := j.queue[:n:n]
	j.queue = j.queue[n:]
	j.mu.Unlock()
	if n == 0 {
		return
	}
	var err error
	if count > 0 {
		// The facts of others must not depend on the patience of the one that happens to write.
		err = j.db.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error { return insert(tx, batch, count) })
	}
	var back []item // posted facts stay, in front
	freed := 0
	for _, it := range batch {
		switch {
		case it.done != nil:
			it.done <- err
		case err != nil:
			back = append(back, it)
		default:
			freed += len(it.facts)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(back) > 0 {
		j.queue = append(back, j.queue...)
	} else if len(j.queue) == 0 {
		j.queue = nil
	}
	if freed > 0 {
		j.posted -= freed
		close(j.room)
		j.room = make(chan struct{})
	}
}

// pending counts what waits.
func (j *Journal) pending() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.queue)
}

// Run writes what is posted and removes what is too old. When ctx ends it writes what is left and returns: nil, or the
// error that left facts unwritten.
func (j *Journal) Run(ctx context.Context) error {
	j.mu.Lock()
	j.running++
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		j.running--
		close(j.room) // nobody waits for a Run that is gone
		j.room = make(chan struct{})
		j.mu.Unlock()
	}()
	defer j.counting(ctx)()
	prune := time.NewTimer(time.Minute)
	defer prune.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	pause := time.Duration(0)
	waits := false // what was posted waits for company
	for {
		select {
		case <-ctx.Done():
			return j.last(ctx)
		case <-prune.C:
			if err := j.prune(ctx); err != nil && ctx.Err() == nil {
				j.log.Warn("journal: old facts not removed; will be tried again", "error", err)
			}
			prune.Reset(time.Hour)
			continue
		case <-j.kick:
			if !waits && pause == 0 {
				waits = true
				again.Reset(gather)
			}
			continue
		case <-again.C:
			waits = false
		}
		before := j.pending()
		if before == 0 {
			pause = 0
			continue
		}
		select {
		case j.turn <- struct{}{}:
			j.write(ctx)
			<-j.turn
		case <-ctx.Done():
			continue
		}
		switch left := j.pending(); {
		case left == 0:
			pause = 0
		case left < before || j.db.Broken() == nil:
			pause = 0
			again.Reset(time.Millisecond)
		default:
			pause = min(max(2*pause, 50*time.Millisecond), 5*time.Second)
			again.Reset(pause)
		}
	}
}

// last writes what is left when Run ends.
func (j *Journal) last(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for j.pending() > 0 {
		if err := j.Flush(ctx); err != nil {
			return fmt.Errorf("journal: facts left unwritten: %w", err)
		}
	}
	return nil
}

// pruneRows is how many facts one transaction removes: little, so that nobody waits behind it.
const pruneRows = 500

// prune removes facts older than the retention.
func (j *Journal) prune(ctx context.Context) error {
	if j.o.Retention < 0 {
		return nil
	}
	oldest := j.o.Now().Add(-j.o.Retention)
	for total := int64(0); ; {
		var n int64
		err := j.db.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(sqlPrune, oldest, pruneRows)
			return err
		})
		if err != nil {
			return fmt.Errorf("remove old facts: %w", err)
		}
		if total += n; n < pruneRows {
			if total > 0 {
				j.log.Info("journal: old facts removed", "facts", total)
			}
			return nil
		}
	}
}

// foldKey is the form in which identifiers are compared: lower-case, without surrounding space and <>, bounded.
func foldKey(s string) string {
	return cut(strings.ToLower(strings.Trim(strings.TrimSpace(s), "<>")), 400)
}

// cut bounds a string without breaking a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}
