package feedback

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/suppression"
)

// Ruling is what an answer means for the list of addresses that are not written to.
type Ruling struct {
	Reason suppression.Reason // "": nothing
	Domain bool               // the whole domain
	Need   int                // answers of the kind before it counts, on different days and about different messages
	// Shared: two customers who hear it speak for everybody. Sure: one does.
	Shared, Sure bool
}

// Answers that are needed where one may be wrong: a mailbox is full for days before it is given up, and what is closed today may be a
// mistake that is mended tomorrow.
const (
	needFull  = 3
	needAgain = 2
)

// RuleOn says what an answer means for the list. Only what is the recipient's or his domain's own fault means anything: a block against us, a limit,
// a refusal of one message, a receiver in trouble never do, whatever code they come with. What is told by the codes alone, or passes according to
// its code, must be heard again on another day.
func RuleOn(m provider.Meaning, a provider.Answer) Ruling {
	if a.Code < 400 || a.Code > 599 || beforeRecipient[a.Phase] {
		return Ruling{}
	}
	switch m.Party {
	case provider.OfRecipient:
		switch m.Category {
		case provider.UserUnknown, provider.HasMoved:
			switch how := certainty(m, a); {
			case how == saysNothing:
				return Ruling{}
			case how == saysPerhaps || !m.Permanent || a.Code < 500:
				return Ruling{Reason: suppression.UnknownUser, Need: needAgain}
			default:
				return Ruling{Reason: suppression.UnknownUser, Need: 1, Shared: true, Sure: how == saysCertainly && m.Category == provider.UserUnknown && a.Phase == atRecipient}
			}
		case provider.Suspend:
			return Ruling{Reason: suppression.Suspended, Need: needAgain}
		case provider.MailboxFull:
			if certainty(m, a) == saysNothing {
				return Ruling{}
			}
			return Ruling{Reason: suppression.MailboxFull, Need: needFull}
		case provider.Filtered:
			if a.Code >= 500 && (certainty(m, a) == saysCertainly || preferences[m.Rule]) { // a bare refusal is not the recipient's word
				return Ruling{Reason: suppression.Unwilling, Need: needAgain}
			}
		}
	case provider.RecipientDomain:
		switch m.Category {
		case provider.HostUnknown, provider.NotAccept:
			if m.Permanent && certainty(m, a) != saysNothing {
				return Ruling{Reason: suppression.NoMail, Domain: true, Need: needAgain}
			}
		}
	}
	return Ruling{}
}

// beforeRecipient are the steps at which no recipient has been named yet, so that no answer is about one.
var beforeRecipient = map[string]bool{"connect": true, "ehlo": true, "tls": true, "mail": true}

// How sure an answer is of what it means.
const (
	saysNothing   = iota
	saysPerhaps   // must be heard again
	saysPlainly   // said in words, or by the status alone with none that contradict it
	saysCertainly // in words that a rule knows which was made for this receiver
)

// certainty says how sure a meaning is. Of receivers for whom no rule was made, a status of policy, network, system or content (RFC 3463 X.7, X.4,
// X.3, X.6) beside words such as "recipient address rejected" may be a block in disguise: it means nothing unless the words can mean nothing else,
// and then it must be heard again.
func certainty(m provider.Meaning, a provider.Answer) int {
	_, subject, _ := strings.Cut(a.Enhanced, ".")
	switch {
	case m.Rule == "":
		return saysPerhaps // by the codes
	case !strings.HasPrefix(m.Rule, anyReceiver):
		return saysCertainly
	case mailboxExists(m, a):
		return saysPerhaps
	case subject == "" || strings.IndexByte("0125", subject[0]) >= 0:
		return saysPlainly
	case names(a.Text):
		return saysPerhaps
	}
	return saysNothing
}

// mailboxExists reports whether the status speaks of a mailbox that is there (RFC 3463 X.2), and no word of one that is not: "5.2.1 mailbox
// unavailable".
func mailboxExists(m provider.Meaning, a provider.Answer) bool {
	_, subject, _ := strings.Cut(a.Enhanced, ".")
	return strings.HasPrefix(m.Rule, anyReceiver) && strings.HasPrefix(subject, "2.") && !names(a.Text)
}

// names reports whether a text names a recipient who does not exist.
func names(text string) bool {
	text = strings.ToLower(text[:min(len(text), maxText)])
	for _, w := range explicit {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// explicit are such words.
var explicit = []string{"unknown", "no such", "not exist", "n't exist", "not found", "invalid recipient", "invalid mailbox", "inconnu", "invalide", "n'existe pas", "unbekannt"}

// preferences are the rules for every receiver that know words of a recipient's own settings.
var preferences = map[string]bool{anyReceiver + "filtered": true, anyReceiver + "coded-filtered": true}

const (
	anyReceiver = "any/" // before the ids of rules that hold for every receiver (package provider)
	atRecipient = "rcpt" // provider.Answer.Phase
	// fromDNS is the phase of what our own look into the DNS said: that a domain does not exist or takes no mail. It is evidence, no text.
	fromDNS = "dns"
)

// ruleOnOwn says what our own words mean: nothing, unless they say what the DNS said (RFC 3463 X.1.2, RFC 7505 X.1.10), which delivery checked
// against a resolver in trouble before it gave up.
func ruleOnOwn(o Outcome) Ruling {
	if o.Code >= 500 && o.Code < 600 && (o.Enhanced == "5.1.2" || o.Enhanced == "5.1.10") {
		return Ruling{Reason: suppression.NoMail, Domain: true, Need: needAgain}
	}
	return Ruling{}
}

// event is an answer on its way to the list.
type event struct {
	Outcome
	meaning provider.Meaning
}

const (
	mostWaiting = 10_000
	together    = 256
)

// Heard has the list follow what was reported about a message of ours. What another address of the recipient's answered, to which his mail is forwarded,
// says nothing certain about him. It is durable when it returns nil; whoever reported must come again otherwise.
func (f *Feedback) Heard(ctx context.Context, h Heard) error {
	switch {
	case h.Complaint:
		return f.Complained(ctx, Complaint{Customer: h.Customer, Recipient: h.Recipient, QueueID: h.QueueID, At: h.At, Host: h.Host, Provider: h.Provider, Text: h.Text})
	case h.Forwarded:
		return nil
	}
	if h.Code == 0 && h.Enhanced != "" { // reports often have the status alone
		h.Code = int(h.Enhanced[0]-'0')*100 + 50
	}
	return f.Returned(ctx, Outcome{Customer: h.Customer, Credential: h.Credential, ClientIP: h.ClientIP, HeaderFrom: h.HeaderFrom, Recipient: h.Recipient, At: h.At,
		Code: h.Code, Enhanced: h.Enhanced, Text: h.Text, QueueID: h.QueueID, Provider: h.Provider, Phase: h.Phase, Host: h.Host, Meaning: h.Meaning})
}

// Returned takes an answer that came back later, in a bounce: for the list only, for the message was counted when it was delivered. Who calls it
// has made sure that the bounce is about a message of ours. It waits until the list has it on stable storage, ten seconds at most; the same answer
// again does no harm. A list that is full is no error: that would not pass while the reporting server tries.
func (f *Feedback) Returned(ctx context.Context, o Outcome) error {
	e := event{Outcome: o, meaning: f.classify(o)}
	if !f.concerns(&e) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	now := f.o.Now()
	if strikes := f.strikes(ctx, e, f.guard.wary(e, now)); len(strikes) > 0 {
		done, err := f.o.Suppression.Record(ctx, strikes...)
		switch {
		case errors.Is(err, suppression.ErrTooMany):
			f.lose("answers not recorded", err)
		case err != nil:
			return fmt.Errorf("answer of %s: %w", o.QueueID, err)
		}
		if facts := f.made(done); len(facts) > 0 && f.o.Journal != nil {
			if err := f.o.Journal.Append(ctx, facts...); err != nil {
				return fmt.Errorf("answer of %s: %w", o.QueueID, err)
			}
		}
	}
	// Counted when it is written down, so that one that must come again counts once. An outage that begins here takes back what it put on the list.
	if _, outage := f.guard.observe(e, now); outage != nil {
		f.takeBack(ctx, *outage)
	}
	return nil
}

// concerns reports whether an answer may say something for the list, and cuts it to what is needed of it.
func (f *Feedback) concerns(e *event) bool {
	if f.o.Suppression == nil || e.Customer == "" || e.meaning.Category == provider.Suppressed || e.Recipient.Domain == "" {
		return false // what the list itself refused says nothing new
	}
	if len(e.Text) > maxText {
		e.Text = e.Text[:maxText]
	}
	e.Head = nil
	return true
}

// post hands an answer to Run.
func (f *Feedback) post(e event) {
	if !f.concerns(&e) {
		return
	}
	select {
	case f.queue <- e:
	default:
		f.lost.Add(1)
		f.o.Count("lost")
	}
}

// Lost is how many answers found no room on their way to the list, since the start. The next answer about the same address makes up for it.
func (f *Feedback) Lost() int64 { return f.lost.Load() }

// Complaint is a recipient's word that he does not want this sender's mail (a feedback report, RFC 5965), traced to a message of ours.
type Complaint struct {
	Customer  string
	Recipient mail.Address
	QueueID   mail.QueueID
	At        time.Time // when it came; zero: now
	Host      string    // who sent the report
	Provider  string
	Text      string // what it says of itself, in a line
}

// Complained puts the recipient of a message that he complained about on the list of the customer who sent it: until it is lifted, and only for
// him. Who calls it has made sure that the report is about a message of ours. It is durable when it returns; a complaint that was lifted since is
// no error.
func (f *Feedback) Complained(ctx context.Context, c Complaint) error {
	if f.o.Suppression == nil || c.Customer == "" || c.Recipient.Domain == "" {
		return nil
	}
	if c.At.IsZero() {
		c.At = f.o.Now()
	}
	e := suppression.Entry{Customer: c.Customer, Address: c.Recipient, Reason: suppression.Complaint, By: "recipient",
		Evidence: suppression.Evidence{QueueID: c.QueueID, At: c.At, Text: c.Text, Host: c.Host, Provider: c.Provider}}
	err := f.o.Suppression.Add(ctx, e)
	switch {
	case errors.Is(err, suppression.ErrLifted):
		return nil
	case err != nil:
		return fmt.Errorf("complaint: %w", err)
	}
	f.o.Count(string(suppression.Complaint))
	f.tell(listed(e))
	return nil
}

// Run puts what was heard on the list and takes off what was misread (see Rejudge). It returns nil when ctx ends, with what waits done.
func (f *Feedback) Run(ctx context.Context) error {
	if f.o.Suppression == nil {
		<-ctx.Done()
		return nil
	}
	corrected := make(chan struct{})
	go func() { defer close(corrected); f.keepCorrect(ctx) }()
	defer func() { <-corrected }()
	for ctx.Err() == nil {
		select {
		case e := <-f.queue:
			f.turn(ctx, e)
		case <-ctx.Done():
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for len(f.queue) > 0 && end.Err() == nil {
		f.work(end, f.gather(<-f.queue))
	}
	return nil
}

// workTime bounds one turn of work, which is not cut short when the gateway stops.
const workTime = 10 * time.Second

func (f *Feedback) turn(ctx context.Context, e event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workTime)
	defer cancel()
	f.work(ctx, f.gather(e))
}

// gather takes what waits behind an event, so that they share one commit.
func (f *Feedback) gather(first event) []event {
	batch := []event{first}
	for len(batch) < together {
		select {
		case e := <-f.queue:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// work writes a batch down. What the database does not take is tried three times.
func (f *Feedback) work(ctx context.Context, batch []event) {
	var alive []mail.Address
	var strikes []suppression.Strike
	var outages []Outage
	for _, e := range batch {
		if e.Code >= 200 && e.Code < 300 {
			alive = append(alive, e.Recipient)
		}
		wary, outage := f.guard.observe(e, f.o.Now())
		if outage != nil {
			outages = append(outages, *outage)
		}
		strikes = append(strikes, f.strikes(ctx, e, wary)...)
	}
	f.insist(ctx, "strikes not forgotten", func() error { return f.o.Suppression.Delivered(ctx, alive...) })
	if len(strikes) > 0 {
		var done []suppression.Recorded
		f.insist(ctx, "answers not recorded", func() (err error) {
			done, err = f.o.Suppression.Record(ctx, strikes...)
			return err
		})
		f.tell(f.made(done)...)
	}
	for _, o := range outages {
		f.takeBack(ctx, o)
	}
}

// made counts what was put on the list, and returns the facts about it.
func (f *Feedback) made(done []suppression.Recorded) []journal.Fact {
	var facts []journal.Fact
	for _, r := range done {
		if r.Made {
			f.o.Count(string(r.Entry.Reason))
			facts = append(facts, listed(r.Entry))
		}
		if r.ForAll {
			all := r.Entry
			all.Customer = ""
			facts = append(facts, listed(all))
		}
	}
	return facts
}

// lose counts what could not be written down, and says why.
func (f *Feedback) lose(what string, err error) {
	f.lost.Add(1)
	f.o.Count("lost")
	f.o.Logger.Warn("feedback: "+what, "error", err)
}

func (f *Feedback) insist(ctx context.Context, what string, do func() error) {
	pause := 100 * time.Millisecond
	for try := 1; ; try++ {
		err := do()
		if err == nil {
			return
		}
		if try == 3 || ctx.Err() != nil || errors.Is(err, suppression.ErrTooMany) {
			f.lose(what, err)
			return
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		pause *= 5
	}
}

// strikes are what one answer adds to the list.
func (f *Feedback) strikes(ctx context.Context, e event, wary bool) []suppression.Strike {
	r, phase := RuleOn(e.meaning, provider.Answer{Code: e.Code, Enhanced: e.Enhanced, Phase: e.Phase, Text: e.Text}), e.Phase
	if e.Own {
		r, phase = ruleOnOwn(e.Outcome), fromDNS
	}
	if r.Reason == "" {
		return nil
	}
	if wary || e.Provider != "" && f.o.Blocked(e.Provider) {
		// Who blocks us, or has lost his directory, says "no such user" of users that he has.
		r.Need, r.Shared, r.Sure = max(r.Need, needAgain), false, false
	}
	s := suppression.Strike{Customer: e.Customer, Address: e.Recipient, Reason: r.Reason, Need: r.Need, Shared: r.Shared, Evidence: suppression.Evidence{QueueID: e.QueueID,
		At: e.At, Code: e.Code, Enhanced: e.Enhanced, Text: e.Text, Host: e.Host, Provider: e.Provider, Rule: e.meaning.Rule, Phase: phase}}
	if r.Domain {
		s.Address.Local = ""
	}
	out := []suppression.Strike{s}
	switch {
	case r.Sure:
		s.Customer = ""
		out = append(out, s)
	case e.Own && f.gone(ctx, e.Recipient.Domain):
		s.Customer = "" // what the DNS says of a domain holds for everybody, once it has said so twice
		out = append(out, s)
	}
	return out
}

// goneTime bounds one look into the DNS.
const goneTime = 3 * time.Second

// gone asks the DNS anew whether a domain takes no mail.
func (f *Feedback) gone(ctx context.Context, d mail.Domain) bool {
	if f.o.Gone == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	return f.o.Gone(ctx, d)
}

// listed is the fact that an address was put on the list.
func listed(e suppression.Entry) journal.Fact {
	v := e.Evidence
	return journal.Fact{Kind: journal.Listed, QueueID: v.QueueID, Customer: e.Customer, Recipient: suppression.FormatAddress(e.Address), Host: v.Host, Code: v.Code, Enhanced: v.Enhanced,
		Text: string(e.Reason) + ": " + v.Text, NextAt: e.Until, Actor: e.By}
}

// lifted is the fact that it was taken off.
func lifted(e suppression.Entry, why string) journal.Fact {
	return journal.Fact{Kind: journal.Lifted, QueueID: e.Evidence.QueueID, Customer: e.Customer, Recipient: suppression.FormatAddress(e.Address),
		Text: string(e.Reason) + ": " + why, Actor: suppression.ByRule}
}

func (f *Feedback) tell(facts ...journal.Fact) {
	if f.o.Journal != nil && len(facts) > 0 {
		f.o.Journal.Post(facts...)
	}
}
