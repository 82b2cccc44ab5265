// Package intake takes mail in. It decides who may hand us mail and in whose name, completes the trace fields, has the
// message tested, and then stores it to be delivered, stores it held, or refuses it. It never opens a connection.
//
// Doors: the relay door knows customers by their source network; the submission doors (587 with STARTTLS, 465) know them by
// a credential. A client that is neither gets nowhere: there is no setting that makes an open relay.
//
// Order of one message: RFC 5321 dialog (package smtp) -> hops, identity binding (the reverse path, From, Sender and Resent
// fields belong to the customer) -> trace fields, Bcc removed, lines above 998 octets re-encoded -> verdict (package
// filter) -> one durable commit (package spool) -> 250. Nothing is answered 250 before it is on stable storage; when the
// filter, the spool or an account cannot be read, the answer is 4xx and nothing is kept: an untested message is never
// delivered.
//
// Held mail: Desk (desk.go) shows, tests again, releases and drops it, for the portal, the API and the command line alike.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/smtp"
	"postern/internal/spool"
	"postern/internal/suppression"
)

// Door says how clients of a listener prove who they are.
type Door string

// The doors.
const (
	Relay      Door = "relay"      // by source network (port 25)
	Submission Door = "submission" // by credential (587, 465)
)

// Options is what New needs. Every room it names must be open.
type Options struct {
	Hostname string // our name in Received and Message-ID
	Accounts *account.Ledger
	Filter   *filter.Filter
	// Fresh is a filter whose resolver remembers nothing: "test again" must see a record that was published a minute ago.
	Fresh    *filter.Filter
	Resolver dns.Resolver // warmed while the client still talks; nil: not warmed
	Spool    *spool.Spool
	Journal  *journal.Journal
	Notices  *notice.Notices
	Links    *notice.Links
	Explain  func(lang string, h filter.Hit) filter.Explanation // puts a hit into words, for notices

	// Suppression is the list of addresses that are not written to: such recipients are refused. nil: none is.
	Suppression *suppression.Ledger

	MaxHops  int           // Received fields before a message counts as looping; default 50 (RFC 5321 6.3 asks for at least 100 or a good reason: Postfix uses 50)
	Expire   time.Duration // how long delivery tries; default 48 h
	HoldFor  time.Duration // how long a held message waits for a person; default 72 h
	MailSize mail.Limits   // what the parser looks at; zero: mail.DefaultLimits

	// Reference is an opaque text that leads back to a message. It is added to every message as field RefField, and stands before the "@" of
	// a Message-ID that we add. nil: no field, and the queue ID in the Message-ID.
	Reference func(mail.QueueID) string
	RefField  string
	// Leaving is the reverse path under which a message will leave, where that is not the sender's own: what its receiver checks SPF of. author
	// is the address in header From. nil: his own always.
	Leaving func(c account.Customer, id mail.QueueID, reversePath mail.Address, author string) (mail.Address, bool)

	Logger *slog.Logger
	Now    func() time.Time
	Count  func(event string)   // counts fates for metrics: "accepted", "held", "rejected", "refused:REASON"; nil: not counted
	Tested func(filter.Verdict) // sees every verdict of new mail, for metrics; nil: nobody
	// Taught sees a held message that a person decided on: released by an operator (not spam), or dropped by an operator
	// (spam). It must not wait, and may keep body. nil: nobody learns.
	Taught func(customer string, spam bool, body []byte)
}

// Intake is the room. It is safe for concurrent use.
type Intake struct {
	o      Options
	expire atomic.Int64 // nanoseconds; Options.Expire, or what SetExpire said since

	acceptSuppressed atomic.Bool // see SetRefuseSuppressed
	limits           limitNews
}

// SetExpire changes how long delivery tries the messages accepted from now on.
func (in *Intake) SetExpire(d time.Duration) { in.expire.Store(int64(d)) }

// New checks the options.
func New(o Options) (*Intake, error) {
	if o.Accounts == nil || o.Filter == nil || o.Spool == nil || o.Journal == nil || o.Notices == nil || o.Links == nil || o.Explain == nil {
		return nil, errors.New("intake: a room is missing from the options")
	}
	if o.Hostname == "" {
		return nil, errors.New("intake: no host name")
	}
	if o.Fresh == nil {
		o.Fresh = o.Filter
	}
	if o.MaxHops == 0 {
		o.MaxHops = 50
	}
	if o.Expire == 0 {
		o.Expire = 48 * time.Hour
	}
	if o.HoldFor == 0 {
		o.HoldFor = 72 * time.Hour
	}
	if o.MailSize == (mail.Limits{}) {
		o.MailSize = mail.DefaultLimits()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Count == nil {
		o.Count = func(string) {}
	}
	if o.Tested == nil {
		o.Tested = func(filter.Verdict) {}
	}
	in := &Intake{o: o}
	in.SetExpire(o.Expire)
	return in, nil
}

// Handler returns the decision-maker for a listener of the given door.
func (in *Intake) Handler(d Door) smtp.Handler { return handler{in, d} }

type handler struct {
	in   *Intake
	door Door
}

// NewSession lets a client talk: at the relay door only from a customer's network, at the submission doors anyone, who can then do
// nothing but log in.
func (h handler) NewSession(ctx context.Context, c *smtp.Conn) (smtp.Session, error) {
	s := &session{in: h.in, door: h.door, conn: c}
	h.in.reverse(ctx, s)
	if h.door == Submission {
		return s, nil
	}
	customer, ok := h.in.o.Accounts.ByNetwork(c.ClientIP)
	if !ok {
		h.in.o.Count("refused:network")
		h.in.o.Logger.Info("client refused: no customer has this network", "client_ip", c.ClientIP, "listener", c.Listener)
		return nil, &smtp.Error{Code: 554, Enhanced: smtp.Enhanced{5, 7, 1},
			Text: "Relaying denied: " + showIP(c.ClientIP) + " is in no customer's network here; use port 587 with a login, or ask the operator to add this address"}
	}
	s.customer = customer
	return s, nil
}

func showIP(ip netip.Addr) string {
	if !ip.IsValid() {
		return "this client"
	}
	return ip.String()
}
