// Package feedback judges what comes back: what a recipient's server said in the end, and whose doing it is. It tells the ledger of experience,
// which counts it for the identity that sent the message.
//
// What it does: [Judge] reads a code, an enhanced code (RFC 3463) and a text, and says one of five things ([Category]).
// [Feedback.Settled] judges the end of one recipient's delivery and has it counted. What it does not: it delays, suppresses or holds
// nothing, and it reads no mail.
//
// The rule that it keeps: our own trouble is neither the recipient's fault nor the sender's. A block against our addresses, a limit that
// we broke, a signature or a record that is missing, a full mailbox count for nobody, whatever code they come with. What is in doubt
// counts for nobody either.
//
// Who calls it: app gives delivery a hook that leads here. How it fails: not at all; the ledger's queue is bounded, and what finds
// no room there is lost and counted (learn.Ledger.Lost). Nothing here waits.
package feedback

import (
	"net/netip"
	"time"

	"postern/internal/learn"
	"postern/internal/mail"
)

// Options is what New needs.
type Options struct {
	Learn *learn.Ledger // nil: nothing is counted
}

// Feedback is the room. Its methods may be called from many goroutines.
type Feedback struct{ o Options }

// New makes the room.
func New(o Options) *Feedback { return &Feedback{o: o} }

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
}

// Settled judges an outcome and has it counted. It does not wait.
func (f *Feedback) Settled(o Outcome) Category {
	c := Judge(o.Code, o.Enhanced, o.Text)
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
