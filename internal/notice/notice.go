// Package notice writes the mail that Postern itself sends: to a sender whose message is held, delayed or could not be
// delivered, and to the operator. It puts that mail into the spool like any other; it never opens a connection.
//
// # What it writes
//
//   - Held: a message waits for a person. Says why, who can release it, what happens when nobody acts and when, with a link
//     to the page of the message. Many holds become one digest.
//   - HoldExpired: a held message was removed because nobody acted.
//   - Failed, Delayed, Delivered: delivery status notifications (RFC 3464), with a part that a person understands.
//   - Returned: a status notification about what another system reported after it had taken the message, see returned.go.
//   - Asked, Alarm: to the operator.
//   - TellAccount: to somebody who signs in, about his own account; see user.go.
//
// PassOn is the one thing that is not ours: an automatic answer that came to a return address, given to the sender as it is.
//
// Texts are in the customer's language (locale keys "notice.*"), as plain text and as HTML with the same content. Everything
// that comes from outside (subjects, addresses, answers of servers, questions) is made one harmless line before it enters a
// header or a page; HTML is escaped by html/template, texts know placeholders and nothing else.
//
// # Who is told
//
// Nobody but people of the customer: the envelope sender if his domain belongs to the customer that sent the message, else
// the customer's Contact, else nobody. A forged sender is never written to, so nothing that we send is backscatter. Our own
// mail (spool.Message.Notice) and, for status notifications, the null reverse path get no notice at all; what we send has the
// null reverse path itself, so no loop can start.
//
// Notifications that go to the Contact in the stead of a sender who is not known to belong to the customer are limited (see
// maxForContact): a burst of forged mail must not bury him. What is not written is in the journal all the same.
//
// # At least once
//
// A call that returned nil has put its mail into the spool durably, or decided that nobody is to be told. Callers repeat
// calls after trouble or a crash. For status notifications and HoldExpired the queue ID of the notice is derived from the
// message, the kind and the recipients, and a bounded memory knows what was told lately: a repeated call does nothing while
// the process lives or while the first notice is still in the spool. Only a crash after the notice has left, and before the
// caller noted it, sends it twice.
//
// # Digests
//
// The first Options.DigestAfter notices about held mail for one addressee within Options.DigestEvery go out one by one; what
// comes after is gathered in memory, at most 200 entries and a count, and goes out as one mail when the time is over and at
// shutdown (Run). So does a notice that the spool did not take at once. Ever new sender names of one customer (see
// maxAddressees), as a misused form makes them, end in one digest for his Contact. A crash loses a digest that was being gathered: a reminder, no mail. The messages themselves are held in
// the spool, stand on the portal, and each expires with its own notice.
//
// # How it fails
//
// Errors are those of the spool (spool.ErrFull, store.ErrBroken): nothing was put, call again later. Links.Check fails with
// ErrLinkForged or ErrLinkExpired.
//
// Callers: intake (Held, HoldExpired, Asked), delivery (Failed, Delayed, Delivered), feedback (Returned, PassOn), app (Alarm, Run), portal (Links). All
// methods may be called from many goroutines.
package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/spool"
)

// Told says that a notice was queued.
type Told struct {
	Kind     string         // which notice, see Options.Told
	About    []mail.QueueID // the messages it is about
	Customer string         // whose they are
	To       mail.Address   // who gets it
	ID       mail.QueueID   // its own queue ID
	At       time.Time
}

// Options is what New needs.
type Options struct {
	Accounts *account.Ledger
	Spool    *spool.Spool
	Catalog  *locale.Catalog
	Links    *Links
	Hostname string       // our name in Message-ID and Reporting-MTA
	From     mail.Address // header From of notices; default postmaster@Hostname
	FromName string       // default "Postern"
	Operator mail.Address // where questions and alarms go; null: From

	DigestAfter int           // notices about held mail per addressee and DigestEvery before a digest takes over; default 5
	DigestEvery time.Duration // default 1 h
	ReturnBytes int           // bytes of the original's body returned with a DSN at most; default and ceiling 50 KiB; negative: none
	Expire      time.Duration // how long a notice itself is tried; default 48 h

	// Told hears of every notice once it is in the spool: which notice ("held", "digest", "hold-expired", "asked", "failed", "delayed",
	// "relayed"), about which messages, to whom, under which queue ID. Nil: nobody.
	Told   func(Told)
	Logger *slog.Logger     // default: silent
	Now    func() time.Time // default time.Now; its zone is the one dates are written in
}

// maxReturned is the ceiling of Options.ReturnBytes, which is that of room report.
const maxReturned = 50 << 10

// Notices writes and queues our own mail. Make one with New.
type Notices struct {
	o      Options
	daemon mail.Address                     // header From of status notifications
	newID  func(now time.Time) mail.QueueID // of notices that are not derived

	mu      sync.Mutex // guards what follows
	told    memory
	alarms  memory
	digests digests
	stead   map[string]*allowance // by customer
	late    lateDigests
	wake    chan struct{} // a digest got a due time
}

// New checks the options and fills in the defaults.
func New(o Options) (*Notices, error) {
	if o.Accounts == nil || o.Spool == nil || o.Catalog == nil || o.Links == nil {
		return nil, errors.New("notice: Accounts, Spool, Catalog and Links are required")
	}
	host, err := mail.ParseDomain(o.Hostname)
	if err != nil {
		return nil, fmt.Errorf("notice: host name: %w", err)
	}
	o.Hostname = string(host)
	if o.From.IsNull() {
		o.From = mail.Address{Local: "postmaster", Domain: host}
	}
	if o.FromName == "" {
		o.FromName = "Postern"
	}
	o.FromName = headerText(o.FromName, maxName)
	if o.Operator.IsNull() {
		o.Operator = o.From
	}
	if o.DigestAfter <= 0 {
		o.DigestAfter = 5
	}
	if o.DigestEvery <= 0 {
		o.DigestEvery = time.Hour
	}
	switch {
	case o.ReturnBytes == 0 || o.ReturnBytes > maxReturned:
		o.ReturnBytes = maxReturned
	case o.ReturnBytes < 0:
		o.ReturnBytes = 0
	}
	if o.Expire <= 0 {
		o.Expire = 48 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Notices{o: o, daemon: mail.Address{Local: "mailer-daemon", Domain: host}, newID: mail.NewQueueID,
		digests: newDigests(), stead: make(map[string]*allowance), late: make(lateDigests), wake: make(chan struct{}, 1)}, nil
}

// Bounds of what is shown of values from outside, in characters.
const (
	maxName    = 100
	maxSubject = 200
	maxTitle   = 250  // a subject with what we say before it
	maxAddress = 320  // a path of RFC 5321 4.5.3.1.3 is shorter
	maxAnswer  = 1000 // as much as the spool keeps of an answer
	maxLine    = 300  // one line of a conversation
	maxLines   = 60   // of one conversation
)

// addressee returns whom of the customer a notice about m may go to: the envelope sender if his domain is the customer's,
// else the Contact (instead is then true), else nobody (null).
func (n *Notices) addressee(m *spool.Message) (to mail.Address, c account.Customer, instead bool) {
	c, ok := n.o.Accounts.Customer(m.Customer)
	if !ok {
		return mail.Address{}, c, false
	}
	sender := m.Envelope.ReversePath
	if !sender.IsNull() && n.o.Accounts.OwnsDomain(c, sender.Domain) && !n.ours(sender) {
		return sender, c, false
	}
	return c.Contact, c, true
}

// ours reports whether a is an address that we write from: an answer to it would only come back to us.
func (n *Notices) ours(a mail.Address) bool { return a == n.daemon }

// nobody says in the log why nothing is written. Addresses do not belong there.
func (n *Notices) nobody(m *spool.Message, what string) {
	n.o.Logger.Info("nobody to notify: the sender is not known to belong to the customer, who has no contact address",
		"notice", what, "queue_id", m.ID, "account", m.Customer)
}

// language is the one that m's people read.
func (n *Notices) language(m *spool.Message, c account.Customer) string {
	if m.Language != "" {
		return locale.Parse(m.Language)
	}
	return locale.Parse(c.Language)
}

// text fills in one sentence.
func (n *Notices) text(lang, key string, args map[string]any) string {
	return n.o.Catalog.Text(lang, "notice."+key, args)
}

// local puts t into the zone of Options.Now, for people to read.
func (n *Notices) local(t time.Time) time.Time { return t.In(n.o.Now().Location()) }

// letter is a notice ready to be queued.
type letter struct {
	kind      string         // which notice, for Options.Told
	about     []mail.QueueID // the messages it is about
	id        mail.QueueID
	customer  string
	lang      string
	from, to  mail.Address
	subject   string
	messageID string
	raw       []byte
	utf8      bool // an address of the header needs SMTPUTF8
	secure    bool // what it tells of was sent with REQUIRETLS
	lenient   bool // it goes whatever its recipient's domain asks of TLS
}

// put queues a letter. That a notice with a derived ID exists already means that an earlier call got so far.
func (n *Notices) put(ctx context.Context, l letter) (err error) {
	now := n.o.Now()
	if len(l.about) > 0 && n.o.Told != nil {
		defer func() {
			if err == nil {
				n.o.Told(Told{Kind: l.kind, About: l.about, Customer: l.customer, To: l.to, ID: l.id, At: now})
			}
		}()
	}
	m := spool.Message{ID: l.id, Customer: l.customer, Received: now, Expires: now.Add(n.o.Expire), Notice: true, Language: l.lang,
		HeaderFrom: l.from.String(), Subject: l.subject, MessageID: l.messageID, Body: l.raw,
		Envelope: mail.Envelope{Recipients: []mail.Recipient{{Address: l.to, Notify: mail.NotifyNever}}, EightBit: eightBit(l.raw), SMTPUTF8: l.utf8, RequireTLS: l.secure, TLSOptional: l.lenient}}
	if err := n.o.Spool.Put(ctx, &m); err != nil && !errors.Is(err, spool.ErrExists) {
		return fmt.Errorf("queue notice: %w", err)
	}
	return nil
}

func eightBit(p []byte) bool {
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
