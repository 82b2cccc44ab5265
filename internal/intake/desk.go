package intake

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/spool"
)

// Errors of the desk, told apart by the faces with errors.Is.
var (
	ErrNotHeld     = errors.New("intake: the message is not held")
	ErrNotFound    = errors.New("intake: no such message")
	ErrNotAllowed  = errors.New("intake: the sender may not release this message himself")
	ErrTooSoon     = errors.New("intake: tested a moment ago, wait some seconds")
	ErrNotKept     = errors.New("intake: the message was refused, not kept")
	ErrAlreadyDone = errors.New("intake: the operator was already asked")
)

// retestEvery is the pause between two "test again" of one message: each asks dozens of DNS questions.
const retestEvery = 5 * time.Second

// Status is where a message that was held or refused stands today.
type Status string

// The states that a held message's page shows.
const (
	Waiting   Status = "held"      // waits for a person
	Refused   Status = "rejected"  // refused in session, only its verdict is kept
	Leaving   Status = "queued"    // released, being delivered
	Delivered Status = "delivered" // accepted by the recipients' servers
	Failed    Status = "bounced"   // released, then given up
	Dropped   Status = "dropped"   // removed by a person
	Expired   Status = "expired"   // removed because nobody acted in time
)

// View is everything that the page of one message shows. It holds no content of the message beyond a few header fields.
type View struct {
	ID         mail.QueueID
	Status     Status
	Customer   account.Customer
	From, To   string // header From; first recipient
	Recipients int
	Subject    string
	MessageID  string
	ClientIP   string
	Size       int64
	Received   time.Time
	HoldUntil  time.Time // when it is removed if nobody acts
	HoldReason string    // why it is held: "score", or what an operator or the spool wrote
	Verdict    filter.Verdict
	Retests    int  // how often it was tested again
	Asked      bool // the operator was asked
	CanRetest  bool
	CanRelease bool   // by the sender himself, under the customer's policy
	WhyNot     string // "policy", "ceiling", "locked" (a virus) or "denied" (an operator's list) when he may not
	Ceiling    float64
	CanAllow   bool           // the sender may have messages with this From address pass from now on, see Desk.Allow
	Allowed    account.Entry  // his entry that does so already; zero: none
	Facts      []journal.Fact // the message's life, oldest first
}

// Desk acts on held mail, for every face alike: each act is checked, done, and written into the journal with its actor.
type Desk struct {
	in *Intake

	mu     sync.Mutex
	tested map[mail.QueueID]time.Time // last "test again"
}

// Desk returns the desk for held mail.
func (in *Intake) Desk() *Desk { return &Desk{in: in, tested: make(map[mail.QueueID]time.Time)} }

// View returns the page's facts. ErrNotFound when neither the spool nor the journal knows the message.
func (d *Desk) View(ctx context.Context, id mail.QueueID) (View, error) {
	facts, err := d.in.o.Journal.Trace(ctx, id)
	if err != nil {
		return View{}, fmt.Errorf("view %s: %w", id, err)
	}
	v := View{ID: id, Facts: facts}
	for _, f := range facts {
		d.apply(&v, f)
	}
	work, err := d.in.o.Spool.Get(ctx, id)
	switch {
	case err == nil:
		d.describe(&v, work)
	case !errors.Is(err, spool.ErrNotFound):
		return View{}, fmt.Errorf("view %s: %w", id, err)
	case len(facts) == 0:
		return View{}, ErrNotFound
	}
	if c, ok := d.in.o.Accounts.Customer(v.Customer.ID); ok {
		v.Customer = c
	} else {
		v.Customer.Suspended = true // a customer that is gone sends no more
	}
	d.permit(&v)
	d.own(&v)
	return v, nil
}

// apply moves the view along by one fact.
func (d *Desk) apply(v *View, f journal.Fact) {
	switch f.Kind {
	case journal.Accepted, journal.Held, journal.Rejected:
		v.Customer.ID, v.From, v.To, v.Subject, v.MessageID = f.Customer, f.HeaderFrom, f.Recipient, f.Subject, f.MessageID
		v.Size, v.Received, v.Recipients = f.Size, f.At, 1
		if f.ClientIP.IsValid() {
			v.ClientIP = f.ClientIP.String()
		}
		_, _ = fmt.Sscanf(f.Text, "%d recipients", &v.Recipients)
		v.Status = map[journal.Kind]Status{journal.Accepted: Leaving, journal.Held: Waiting, journal.Rejected: Refused}[f.Kind]
		v.HoldUntil = f.NextAt
	case journal.Retested:
		v.Retests++
	case journal.Released:
		v.Status = Leaving
	case journal.Delivered:
		v.Status = Delivered
	case journal.Bounced, journal.Returned:
		v.Status = Failed
	case journal.Dropped:
		v.Status = Dropped
	case journal.Expired:
		v.Status = Expired
	case journal.Asked:
		v.Asked = true
	}
	// The newest verdict counts: the first one comes with the message, later ones with each test.
	if len(f.Detail) > 0 {
		var verdict filter.Verdict
		if json.Unmarshal(f.Detail, &verdict) == nil && !verdict.At.IsZero() {
			v.Verdict = verdict
		} else if b, ok := journal.DecodeBrief(f.Detail); ok && v.Verdict.At.IsZero() {
			v.Verdict = verdictOf(b, f)
		}
	}
}

// verdictOf is what the journal keeps of the verdict of a message that passed: tests and points, without evidence.
func verdictOf(b journal.Brief, f journal.Fact) filter.Verdict {
	v := filter.Verdict{Score: f.Score, Raw: b.Raw, Threshold: b.Threshold, Held: b.Held, Locked: b.Locked, At: f.At, Hits: []filter.Hit{}}
	for test, points := range b.Points {
		v.Hits = append(v.Hits, filter.Hit{Test: test, Points: points, Evidence: []string{}})
	}
	slices.SortFunc(v.Hits, func(x, y filter.Hit) int {
		return cmp.Or(cmp.Compare(y.Points, x.Points), strings.Compare(x.Test, y.Test))
	})
	return v
}

// describe fills in what the spool knows: it is nearer to the truth than the journal while the message is there.
func (d *Desk) describe(v *View, w spool.Work) {
	v.Customer.ID, v.From, v.Subject, v.MessageID = w.Customer, w.HeaderFrom, w.Subject, w.MessageID
	v.Size, v.Received, v.HoldUntil, v.Recipients = w.Size, w.Received, w.HoldUntil, len(w.Envelope.Recipients)
	if len(w.Envelope.Recipients) > 0 {
		v.To = w.Envelope.Recipients[0].Address.String()
	}
	if w.ClientIP.IsValid() {
		v.ClientIP = w.ClientIP.String()
	}
	v.HoldReason = w.HoldReason
	v.Status = Leaving
	if w.Held {
		v.Status = Waiting
	}
	var verdict filter.Verdict
	if json.Unmarshal(w.Verdict, &verdict) == nil {
		v.Verdict = verdict
	}
}

// permit decides what the sender may do himself.
func (d *Desk) permit(v *View) {
	v.Ceiling = v.Customer.ReleaseCeiling
	if v.Status != Waiting {
		return
	}
	v.CanRetest = !v.Verdict.Locked
	switch {
	case v.Verdict.Denied():
		v.WhyNot = "denied"
	case v.Verdict.Locked:
		v.WhyNot = "locked"
	case !v.Customer.SelfRelease || v.forOperator():
		v.WhyNot = "policy"
	case v.Verdict.Score > v.Customer.ReleaseCeiling:
		v.WhyNot = "ceiling"
	default:
		v.CanRelease = true
	}
}

// forOperator reports whether only an operator may let the message go, whatever its score: its customer is cut off, or somebody
// else than the tests holds it. The sender's link would otherwise undo what was done against him.
func (v *View) forOperator() bool { return v.Customer.Suspended || v.HoldReason != byScore }

// bySender is the actor of who follows the link of a notice.
const bySender = "sender"

// byScore is the reason of messages that the tests hold.
const byScore = "score"

// held returns the view of a message that must be held.
func (d *Desk) held(ctx context.Context, id mail.QueueID) (View, error) {
	v, err := d.View(ctx, id)
	switch {
	case err != nil:
		return v, err
	case v.Status == Refused:
		return v, ErrNotKept
	case v.Status != Waiting:
		return v, ErrNotHeld
	}
	return v, nil
}

// Retest runs the tests again on the stored message, with DNS answers asked anew. A message that comes out at or under the
// threshold is released at once: it is now what any new message would be. The sender's test does not release what waits for the
// operator (forOperator), and a message in which a virus was found is for the operator to test.
func (d *Desk) Retest(ctx context.Context, id mail.QueueID, actor string) (View, error) {
	return d.RetestFor(ctx, id, actor, actor == bySender)
}

// RetestFor is Retest in the name of anybody; sender: he is bound to what the sender may do.
func (d *Desk) RetestFor(ctx context.Context, id mail.QueueID, actor string, sender bool) (View, error) {
	v, err := d.held(ctx, id)
	if err != nil {
		return v, err
	}
	if sender && v.Verdict.Locked { // a scanner that is away for a while would set the virus free
		return v, ErrNotAllowed
	}
	if !d.mayTest(id) {
		return v, ErrTooSoon
	}
	work, err := d.in.o.Spool.Get(ctx, id)
	if err != nil {
		return v, fmt.Errorf("retest %s: %w", id, err)
	}
	body, err := d.in.o.Spool.Body(ctx, id)
	if err != nil {
		return v, fmt.Errorf("retest %s: %w", id, err)
	}
	verdict, err := d.in.o.Fresh.Run(ctx, filter.Input{QueueID: id,
		Message: mail.Parse(body, d.in.o.MailSize), Envelope: work.Envelope, Leaving: d.in.leaving(v.Customer, id, work.Envelope.ReversePath, work.HeaderFrom), ClientIP: work.ClientIP, Hello: work.Hello,
		Authenticated: work.Credential != "", Credential: work.Credential, Customer: v.Customer, Egress: d.in.o.Accounts.Pool(work.Pool).Egress, Received: work.Received, Now: d.in.o.Now(), Earlier: &v.Verdict,
	})
	if _, virus := v.Verdict.Hit("VIRUS_FOUND"); virus && err == nil && verdict.Open() {
		err = filter.ErrUnscanned // the virus stands until a scanner takes it back
	}
	if err != nil {
		return v, fmt.Errorf("retest %s: %w", id, err)
	}
	text, err := json.Marshal(verdict)
	if err != nil {
		return v, fmt.Errorf("retest %s: %w", id, err)
	}
	if err := d.in.o.Spool.SetVerdict(ctx, id, verdict.Score, text); err != nil {
		return v, fmt.Errorf("retest %s: %w", id, err)
	}
	f := d.fact(journal.Retested, work, actor)
	f.Score, f.Detail = verdict.Score, text
	if err := d.in.o.Journal.Append(ctx, f); err != nil {
		return v, fmt.Errorf("retest %s: %w", id, err)
	}
	d.in.o.Count("retested")
	if !verdict.Held && (!sender || !v.forOperator()) {
		if err := d.release(ctx, work, "rule", verdict.Score); err != nil {
			return v, err
		}
	}
	return d.View(ctx, id)
}

// mayTest bounds how often one message is tested again.
func (d *Desk) mayTest(id mail.QueueID) bool {
	now := d.in.o.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if last, ok := d.tested[id]; ok && now.Sub(last) < retestEvery {
		return false
	}
	for k, t := range d.tested {
		if now.Sub(t) >= retestEvery {
			delete(d.tested, k)
		}
	}
	d.tested[id] = now
	return true
}

// Release lets a held message go as it is. sender asks the customer's policy; an operator may release anything.
func (d *Desk) Release(ctx context.Context, id mail.QueueID, actor string, sender bool) (View, error) {
	v, err := d.held(ctx, id)
	if err != nil {
		return v, err
	}
	if sender && !v.CanRelease {
		return v, ErrNotAllowed
	}
	work, err := d.in.o.Spool.Get(ctx, id)
	if err != nil {
		return v, fmt.Errorf("release %s: %w", id, err)
	}
	var body []byte
	if !sender { // a hacked account that may release its own mail must not teach that it is wanted
		body = d.lesson(ctx, id)
	}
	if err := d.release(ctx, work, actor, v.Verdict.Score); err != nil {
		return v, err
	}
	d.teach(work, false, body)
	return d.View(ctx, id)
}

// lesson is the body of a message that a person decides on, taken before it leaves; nil when nobody learns or it cannot be read.
func (d *Desk) lesson(ctx context.Context, id mail.QueueID) []byte {
	if d.in.o.Taught == nil {
		return nil
	}
	body, err := d.in.o.Spool.Body(ctx, id)
	if err != nil {
		d.in.o.Logger.Warn("a decision teaches nothing: the body cannot be read", "queue_id", id, "error", err)
		return nil
	}
	return body
}

func (d *Desk) teach(w spool.Work, spam bool, body []byte) {
	if len(body) > 0 && w.Customer != "" {
		d.in.o.Taught(w.Customer, spam, body)
	}
}

func (d *Desk) release(ctx context.Context, work spool.Work, actor string, score float64) error {
	f := d.fact(journal.Released, work, actor)
	f.Score = score
	// The fact first: a release that is done and not written down would be an act without an author.
	if err := d.in.o.Journal.Append(ctx, f); err != nil {
		return fmt.Errorf("release %s: %w", work.ID, err)
	}
	if err := d.in.o.Spool.Release(ctx, work.ID); err != nil {
		return fmt.Errorf("release %s: %w", work.ID, err)
	}
	d.in.o.Count("released")
	return nil
}

// Drop removes a held message for good.
func (d *Desk) Drop(ctx context.Context, id mail.QueueID, actor string) (View, error) {
	v, err := d.held(ctx, id)
	if err != nil {
		return v, err
	}
	work, err := d.in.o.Spool.Get(ctx, id)
	if err != nil {
		return v, fmt.Errorf("drop %s: %w", id, err)
	}
	var body []byte
	if strings.HasPrefix(actor, "operator:") { // a sender who gives up says nothing about his message
		body = d.lesson(ctx, id)
	}
	if err := d.in.o.Journal.Append(ctx, d.fact(journal.Dropped, work, actor)); err != nil {
		return v, fmt.Errorf("drop %s: %w", id, err)
	}
	if err := d.in.o.Spool.Drop(ctx, id, actor); err != nil {
		return v, fmt.Errorf("drop %s: %w", id, err)
	}
	d.in.o.Count("dropped")
	d.teach(work, true, body)
	return d.View(ctx, id)
}

// Ask sends the sender's question about a held message to the operator, once per message.
func (d *Desk) Ask(ctx context.Context, id mail.QueueID, question string) (View, error) {
	return d.AskAs(ctx, id, question, bySender)
}

// AskAs is Ask in the name of one of the customer's users.
func (d *Desk) AskAs(ctx context.Context, id mail.QueueID, question, actor string) (View, error) {
	v, err := d.held(ctx, id)
	if err != nil {
		return v, err
	}
	if v.Asked {
		return v, ErrAlreadyDone
	}
	work, err := d.in.o.Spool.Get(ctx, id)
	if err != nil {
		return v, fmt.Errorf("ask about %s: %w", id, err)
	}
	f := d.fact(journal.Asked, work, actor)
	f.Text = clipText(question, 1000)
	if err := d.in.o.Journal.Append(ctx, f); err != nil {
		return v, fmt.Errorf("ask about %s: %w", id, err)
	}
	if err := d.in.o.Notices.Asked(ctx, work.Message, question); err != nil {
		return v, fmt.Errorf("ask about %s: %w", id, err)
	}
	return d.View(ctx, id)
}

func (d *Desk) fact(kind journal.Kind, w spool.Work, actor string) journal.Fact {
	f := fact(kind, &w.Message)
	f.At, f.Actor = d.in.o.Now(), actor
	return f
}

// heldMail puts a verdict into the words of the customer's language, for the notice.
func (in *Intake) heldMail(m spool.Message, c account.Customer, v filter.Verdict) notice.HeldMail {
	h := notice.HeldMail{Message: m, Threshold: v.Threshold, CanRelease: c.SelfRelease && !v.Locked && v.Score <= c.ReleaseCeiling}
	h.Message.Body = nil
	for _, hit := range v.Hits {
		if hit.Points <= 0 {
			continue
		}
		e := in.o.Explain(c.Language, hit)
		h.Reasons = append(h.Reasons, notice.Reason{Test: hit.Test, Name: e.Name, Fix: e.Fix, Points: hit.Points})
	}
	return h
}
