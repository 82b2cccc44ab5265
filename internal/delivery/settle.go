package delivery

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/spool"
)

// outcome is what an attempt, or the decision to make none, means for one recipient.
type outcome struct {
	letter *letter
	to     *spool.Recipient // not to be changed
	dst    *destination     // nil: it never came so far
	lane   shaping.Key
	egress netip.Addr

	code         int
	enhanced     string
	text         string
	phase        string
	host         string
	meaning      provider.Meaning
	attempted    bool
	wait         *shaping.Wait // not taken by its lane: it waits in the spool
	conversation []string
}

// report hands an outcome on to be written down.
func (d *Delivery) report(j *job, o outcome) {
	o.letter, o.dst, o.lane, o.egress = j.letter, j.dst, j.key, j.key.Egress
	d.stock.report(j, o.to.Index)
	d.known <- struct{}{}
	d.outcomes <- o
}

// maxUnsettled bounds the outcomes that are known and not yet written down, and with them the duplicates of a crash: besides what
// was on the wire, at most so many recipients get their message again. Half of them share one commit: as many come together meanwhile. maxParked of
// those that only wait share it too.
const (
	maxUnsettled = 256
	maxBatch     = maxUnsettled / 2
	maxParked    = 512
)

// gather is how long an outcome waits at most for others to share its commits: each writes the same pages of the journal's indexes again and takes a
// flush of the disk that the acceptance of mail waits for. Nobody waits for an outcome to be written down but the end of the process, and how
// many may be known and unwritten stays bounded by maxUnsettled.
const gather = 10 * time.Millisecond

// settle writes outcomes down until the channel closes, many in one commit: first the journal, then the notices owed, then the
// spool forgets. A crash in between repeats facts or notices, it loses none.
func (d *Delivery) settle(ctx context.Context) {
	var b batch
	company := time.NewTimer(gather)
	defer company.Stop()
	for open := true; open; {
		batch := b.outcomes[:0]
		select {
		case o, ok := <-d.outcomes:
			if open = ok; ok {
				batch = append(batch, o)
			}
			company.Reset(gather)
		case <-d.parking.came:
			company.Reset(0)
		}
	fill:
		for open && len(batch) < maxBatch {
			select {
			case o, ok := <-d.outcomes:
				if open = ok; !ok {
					break fill
				}
				batch = append(batch, o)
			case <-d.parking.came: // claimed mail that waits for its room
				break fill
			case <-company.C:
				break fill
			}
		}
		attempts := len(batch)
		if b.outcomes = append(batch, d.parking.take(maxParked)...); len(b.outcomes) > 0 {
			d.commit(ctx, &b)
		}
		for range attempts {
			<-d.known
		}
	}
	for {
		if b.outcomes = append(b.outcomes[:0], d.parking.take(maxParked)...); len(b.outcomes) == 0 {
			return
		}
		d.commit(ctx, &b)
	}
}

// batch is what one commit writes down. Its space is used again and again.
type batch struct {
	outcomes []outcome
	fates    []fate
	facts    []journal.Fact
	settled  []spool.Outcome
}

// clear forgets what was written down and keeps the space.
func (b *batch) clear() {
	clear(b.outcomes)
	clear(b.fates)
	clear(b.facts)
	clear(b.settled)
}

// fate is an outcome decided: what the spool and the journal are told.
type fate struct {
	*outcome
	spool.Outcome
	kind   journal.Kind
	silent bool // the journal does not hear of it
	delay  bool // the sender is told that it is late
}

// receiver is the name of the provider it went to, "default" for those nobody knows.
func (f *fate) receiver() string {
	if f.dst == nil {
		return "default"
	}
	return f.dst.known
}

func (d *Delivery) decide(o *outcome) fate {
	now := d.o.Now()
	f := fate{outcome: o, Outcome: spool.Outcome{ID: o.letter.ID, Index: o.to.Index, Code: o.code, Enhanced: o.enhanced, Text: o.text, Host: o.host,
		Attempted: o.attempted, DelayNotified: o.to.DelayNotified}}
	over := false
	switch {
	case o.wait != nil:
		f = d.parked(f)
	case o.code >= 200 && o.code < 300:
		f.State, f.kind = spool.Delivered, journal.Delivered
		return f
	case !o.meaning.Temporary(o.code):
		f.State, f.kind = spool.Bounced, journal.Bounced
		return f
	default:
		f.kind = journal.Deferred
		f.NextAt, over = d.nextAttempt(o)
	}
	f.State = spool.Queued
	if over || f.NextAt.After(o.letter.Expires) {
		if over || !now.Before(o.letter.Expires.Add(-time.Second)) {
			f.State, f.kind, f.silent, f.Lane, f.Wait = spool.Expired, journal.Expired, false, "", ""
			return f
		}
		f.NextAt = o.letter.Expires // one last attempt at the end
	}
	if after := d.tune.Load().DelayNotice; after > 0 && !o.to.DelayNotified && !o.letter.Notice {
		due := o.letter.Received.Add(after)
		switch {
		case !now.Before(due):
			f.delay, f.DelayNotified = true, true
		case o.wait != nil && standing[o.wait.Why.Code] && f.NextAt.After(due):
			f.NextAt = due // the lane may stand still for days; the sender is told in time
		}
	}
	return f
}

// parked is the fate of a recipient that waits for its turn in a lane: no attempt, and a fact only when the reason is new to it and more than a matter
// of turns. The answer of its last attempt stays; where there is none the reason stands for it.
func (d *Delivery) parked(f fate) fate {
	o, w := f.outcome, f.wait
	f.kind, f.NextAt, f.Lane, f.Wait = journal.Attempt, w.Until, o.lane.String(), w.Why.String()
	if now := d.o.Now(); f.NextAt.Before(now.Add(minPark)) {
		f.NextAt = now.Add(minPark) // it would come back at once, and again
	}
	f.silent = w.Until.Sub(d.o.Now()) < longPark || ordinary[w.Why.Code] || shaping.ParseWhy(o.to.Wait).Code == w.Why.Code
	if o.text = d.o.Words(w.Why); o.to.Code != 0 {
		o.code, o.enhanced, o.text, o.host = o.to.Code, o.to.Enhanced, o.to.Text, o.to.Host
	} else {
		o.code, o.enhanced = 451, "4.4.5"
	}
	f.Code, f.Enhanced, f.Text, f.Host = o.code, o.enhanced, o.text, o.host
	return f
}

// minPark is the shortest time that a recipient is parked; from longPark on the journal hears why.
const (
	minPark  = 100 * time.Millisecond
	longPark = time.Minute
)

// ordinary are the reasons that belong to every queue: others are served first.
var ordinary = map[string]bool{"full": true, "share": true, "rate": true, "connections": true}

func (d *Delivery) commit(giveUp context.Context, b *batch) {
	ctx := context.WithoutCancel(giveUp) // what has begun is finished
	defer b.clear()
	b.fates, b.facts, b.settled = b.fates[:0], b.facts[:0], b.settled[:0]
	for i := range b.outcomes {
		b.fates = append(b.fates, d.decide(&b.outcomes[i]))
		f := &b.fates[i]
		b.settled = append(b.settled, f.Outcome)
		if !f.silent {
			b.facts = append(b.facts, d.factOf(f))
		}
		if f.State.Final() || f.delay {
			_, _ = d.data(ctx, f.letter) // who is told wants to see it, also where no attempt has read it
		}
	}
	if len(b.facts) > 0 {
		d.insist(giveUp, "facts not written", func() error { return d.o.Journal.Append(ctx, b.facts...) })
	}
	for _, group := range byLetter(b.fates) {
		d.insist(giveUp, "notice not queued", func() error { return d.tellSafely(ctx, group) })
	}
	d.insist(giveUp, "outcomes not settled", func() error { return d.settleAll(ctx, b.settled) })
	d.stock.settle(len(b.outcomes))
	d.roomMade()
	now := d.o.Now()
	for i := range b.fates {
		f := &b.fates[i]
		event := string(f.kind)
		if f.kind == journal.Attempt {
			event = "parked"
		}
		d.o.Count(event, string(f.to.Address.Domain), f.receiver())
		if f.kind == journal.Delivered {
			d.o.Took(now.Sub(f.letter.Received))
		}
		if f.State != spool.Queued && !f.letter.Notice {
			d.o.Settled(f.settled(now))
		}
	}
}

// Settled is the end of one recipient's delivery, as a fact: delivered, refused for good, or given up when time ran out.
type Settled struct {
	Message   *spool.Message // only to be read
	Head      []byte         // the message as it was accepted; nil if it could not be read
	Recipient mail.Address
	At        time.Time

	Code     int // of the last answer, or of ours where nobody answered
	Enhanced string
	Text     string
	Phase    string // "mail", "rcpt", "end", …; "" unknown, or nobody answered
	Host     string // who answered: "mx.example.net[192.0.2.1]"; "" nobody
	Provider string // provider.Provider.Name; "default" for those nobody knows
	Meaning  provider.Meaning
}

func (f *fate) settled(now time.Time) Settled {
	return Settled{Message: &f.letter.Message, Head: f.letter.body, Recipient: f.to.Address, At: now, Code: f.outcome.code, Enhanced: f.outcome.enhanced, Text: f.outcome.text,
		Phase: f.phase, Host: f.outcome.host, Provider: f.receiver(), Meaning: f.meaning}
}

// settleAll settles a batch; when a message of it is no longer ours (adopted by another node after a long pause, or dropped by
// a person), the others are settled one by one.
func (d *Delivery) settleAll(ctx context.Context, all []spool.Outcome) error {
	err := d.o.Spool.Settle(ctx, all...)
	if !errors.Is(err, spool.ErrLost) && !errors.Is(err, spool.ErrNotFound) {
		return err
	}
	for _, o := range all {
		err := d.o.Spool.Settle(ctx, o)
		if errors.Is(err, spool.ErrLost) || errors.Is(err, spool.ErrNotFound) {
			d.o.Logger.Warn("outcome of a message that is no longer ours", "queue_id", o.ID, "state", string(o.State))
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// insist repeats what must not be lost until it works: while the store is broken nothing is settled, and nothing is delivered
// twice for that reason either, since the batch waits here. Only the end of the process gives up: what was not settled comes
// again from the spool.
func (d *Delivery) insist(giveUp context.Context, what string, f func() error) {
	pause := 50 * time.Millisecond
	for {
		err := f()
		if err == nil {
			return
		}
		d.o.Logger.Error(what+", trying again", "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-giveUp.Done():
			d.o.Logger.Error(what+", given up at shutdown: these messages will be attempted again", "error", err)
			return
		}
		pause = min(2*pause, 10*time.Second)
	}
}

func (d *Delivery) factOf(f *fate) journal.Fact {
	l, attempt := f.letter, f.to.Attempts
	if f.attempted {
		attempt++
	}
	fact := journal.Fact{Kind: f.kind, At: d.o.Now(), QueueID: l.ID, Customer: l.Customer, Credential: l.Credential, ClientIP: l.ClientIP,
		ReversePath: l.Envelope.ReversePath.String(), Recipient: f.to.Address.String(), HeaderFrom: l.HeaderFrom, Subject: l.Subject,
		MessageID: l.MessageID, Size: l.Size, Score: l.Score, Host: f.outcome.host, EgressIP: f.egress, Code: f.outcome.code,
		Enhanced: f.outcome.enhanced, Text: f.outcome.text, NextAt: f.NextAt, Attempt: attempt, Actor: "rule"}
	if l.Notice {
		fact.Actor = journal.ActorNotice
	}
	if f.dst != nil {
		fact.Provider = f.dst.known
	}
	if f.kind != journal.Delivered {
		fact.Category, fact.Party, fact.Rule = string(f.meaning.Category), string(f.meaning.Party), f.meaning.Rule
		if f.lane.Provider != "" {
			fact.Lane = f.lane.String()
		}
	}
	return fact
}

func byLetter(fates []fate) map[mail.QueueID][]fate {
	var out map[mail.QueueID][]fate
	for _, f := range fates {
		if f.kind == journal.Bounced || f.kind == journal.Expired || f.delay || f.kind == journal.Delivered && f.to.Notify&mail.NotifySuccess != 0 {
			if out == nil {
				out = make(map[mail.QueueID][]fate)
			}
			out[f.letter.ID] = append(out[f.letter.ID], f)
		}
	}
	return out
}

// tellSafely is tell, but a notice that can never be written is given up: the fate stands in the journal, and repeating it for ever would
// keep everybody else's from being written down.
func (d *Delivery) tellSafely(ctx context.Context, group []fate) error {
	id := group[0].letter.ID
	err := d.guarded(id, func() error { return d.tell(ctx, group) })
	if errors.Is(err, errPoison) || errors.Is(err, spool.ErrInvalid) {
		d.o.Logger.Error("a notice cannot be written and is left out", "queue_id", id, "account", group[0].letter.Customer, "error", err)
		return nil
	}
	return err
}

// tell queues the delivery status notifications that one message's fates call for (RFC 3461, 3464). Our own notices and mail
// with a null reverse path get none: a notification about a notification would never end.
func (d *Delivery) tell(ctx context.Context, group []fate) error {
	l := group[0].letter
	if l.Notice || l.Envelope.ReversePath.IsNull() {
		return nil
	}
	var failed, late, done []notice.Failure
	for _, f := range group {
		r := *f.to
		r.State, r.Code, r.Enhanced, r.Text, r.Host = f.State, f.outcome.code, f.outcome.enhanced, f.outcome.text, f.outcome.host
		r.NextAt = f.NextAt
		if f.attempted {
			r.Attempts, r.Last = r.Attempts+1, d.o.Now()
		}
		one := notice.Failure{Recipient: r, Conversation: f.conversation, Category: string(f.meaning.Category), Party: string(f.meaning.Party), Advice: d.advice(f.meaning)}
		if f.Wait != "" {
			w := shaping.ParseWhy(f.Wait)
			one.Wait = notice.Text{Key: w.Key(), Args: w.Values()}
		}
		wants := r.Notify
		if wants == 0 {
			wants = mail.NotifyFailure | mail.NotifyDelay // RFC 3461 4.1: the default is ours to choose
		}
		switch {
		case f.kind == journal.Delivered:
			done = append(done, one)
		case f.delay && wants&mail.NotifyDelay != 0:
			late = append(late, one)
		case !f.delay && f.State != spool.Queued && wants&mail.NotifyFailure != 0:
			failed = append(failed, one)
		}
	}
	body := l.body
	if len(failed) > 0 {
		if err := d.o.Notices.Failed(ctx, l.Message, body, failed); err != nil {
			return err
		}
	}
	if len(late) > 0 {
		if err := d.o.Notices.Delayed(ctx, l.Message, body, late); err != nil {
			return err
		}
	}
	if len(done) > 0 {
		return d.o.Notices.Delivered(ctx, l.Message, body, done)
	}
	return nil
}

// advice is what a rule knows beyond its category; of the category itself the notices have their own words.
func (d *Delivery) advice(m provider.Meaning) map[string]string {
	if maps.Equal(m.Advice, d.o.Knowledge().Advice(m.Category)) {
		return nil
	}
	return m.Advice
}
