// Package feedback judges what comes back: what a recipient's server said in the end, and whose doing it is. It tells the ledger of experience,
// which counts it for the identity that sent the message, and the list of addresses that are not written to.
//
// What it does: [Judge] says of an answer's meaning (package provider) what it says of the sender, one of five things ([Category]). [RuleOn] says
// what it means for the list. [Feedback.Settled] judges the end of one recipient's delivery and has it counted and listed; [Feedback.Returned]
// and [Feedback.Complained] do so for what comes back later. [Feedback.Rejudge] takes off the list what was misread.
//
// The rule that it keeps: our own trouble is neither the recipient's fault nor the sender's. A block against our addresses, a limit that
// we broke, a signature or a record that is missing count for nobody, whatever code they come with. What is in doubt counts for nobody either, or
// must be heard again on another day. Three locks keep blocks and outages off the list: the answer's meaning must name the recipient's or his
// domain's fault; while a block of the provider is in force, and while it suddenly knows far fewer users than usual ([Outage]), no answer of it is
// sure, and what it said in the hour before is taken back; and every entry that answers made is judged again when what is known of
// answers changes.
//
// [Door] takes in what comes back by SMTP: it accepts mail for return addresses that we signed and for nothing else, reads bounces, automatic answers
// and complaints, writes them into the journal before it answers 250, and has the sender told (door.go, inbound.go).
//
// Who calls it: app gives delivery a hook that leads here, gives the door [Feedback.Heard], and runs Run. How it fails: nothing that delivery calls waits
// or fails; the queues are bounded, and what finds no room there is lost and counted (learn.Ledger.Lost, [Feedback.Lost]). What comes by the door is
// never in a queue: it is on stable storage before the door answers 250, and stays with the reporting server (451) when the store is in trouble.
package feedback

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"postern/internal/journal"
	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/suppression"
)

// Options is what New needs.
type Options struct {
	Learn       *learn.Ledger              // nil: nothing is counted
	Suppression *suppression.Ledger        // nil: nothing is listed
	Knowledge   func() *provider.Knowledge // what is known of answers now; nil: nothing
	Journal     *journal.Journal           // nil: lists are changed without a trace
	// Blocked reports whether a provider refuses us as a whole at present, on any lane. nil: never.
	Blocked func(provider string) bool
	// Gone asks the DNS, past any cache, whether a domain certainly takes no mail: it does not exist or says so (RFC 7505), and the resolver is
	// sound. nil: no domain is listed for everybody.
	Gone   func(ctx context.Context, d mail.Domain) bool
	Alarm  func(Outage)       // must not wait; nil: nobody is told
	Count  func(event string) // counts what was listed by reason, and "lost", "outage", "corrected"; nil: not counted
	Logger *slog.Logger
	Now    func() time.Time
}

// Feedback is the room. Its methods may be called from many goroutines.
type Feedback struct {
	o     Options
	queue chan event
	lost  atomic.Int64
	guard guard
}

// New makes the room.
func New(o Options) *Feedback {
	if o.Blocked == nil {
		o.Blocked = func(string) bool { return false }
	}
	if o.Alarm == nil {
		o.Alarm = func(Outage) {}
	}
	if o.Count == nil {
		o.Count = func(string) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Feedback{o: o, queue: make(chan event, mostWaiting)}
}

// Outcome is the end of one recipient's delivery: the server took the message, or it was given up.
type Outcome struct {
	Customer   string // account.Customer.ID; "": our own mail, which counts for nobody
	Credential string // of the submission; "" for a relay network
	ClientIP   netip.Addr
	HeaderFrom string // author's address
	Head       []byte // the message, or its header: it may name the script that made it
	Recipient  mail.Address
	At         time.Time

	Code     int    // of the last answer; 0: none
	Enhanced string // "5.1.1"; "": none
	Text     string

	QueueID  mail.QueueID
	Provider string           // provider.Provider.Name of who answered; "" not known
	Phase    string           // provider.Answer.Phase
	Host     string           // who answered
	Own      bool             // nobody answered: code and text are ours
	Meaning  provider.Meaning // of the answer; without a category it is classified here
}

// Settled judges an outcome and has it counted. It does not wait.
func (f *Feedback) Settled(o Outcome) Category {
	m := f.classify(o)
	c := Judge(m, provider.Answer{Code: o.Code, Enhanced: o.Enhanced, Text: o.Text})
	if o.Own && c == Refused {
		c = Other // nobody but us refused it
	}
	f.post(event{Outcome: o, meaning: m})
	if f.o.Learn == nil || o.Customer == "" {
		return c
	}
	fate := map[Category]learn.Fate{Accepted: learn.Delivered, UnknownUser: learn.UnknownUser, Refused: learn.Refused}[c]
	if fate == 0 || c != Accepted && o.Code < 500 {
		return c // an answer that was only put off when time ran out is none
	}
	var domain mail.Domain
	if a, err := mail.ParseAddress(o.HeaderFrom); err == nil {
		domain = a.Domain
	}
	f.o.Learn.Settled(learn.Settlement{Identity: learn.IdentityOf(o.Customer, o.Credential, o.ClientIP, domain, o.Head), At: o.At, Recipient: o.Recipient, Fate: fate})
	return c
}
