package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/spool"
)

// session is one client's conversation.
type session struct {
	client     atomic.Pointer[string] // the client's confirmed name, once DNS has told it
	in         *Intake
	door       Door
	conn       *smtp.Conn
	customer   account.Customer
	credential account.Credential
	known      bool // the customer is known by credential
	warmed     [4]warmth
	warmedNext int // the place in warmed that is used next
	outcome    outcome
}

// warmth is a domain that was asked for.
type warmth struct {
	domain mail.Domain
	at     time.Time
}

// warmFor is how long a session does not ask again for a domain that it asked for.
const warmFor = 30 * time.Second

// Auth checks a login (smtp.Authenticator).
func (s *session) Auth(ctx context.Context, c *smtp.Conn, user, password string) error {
	credential, customer, err := s.in.o.Accounts.AuthenticateFrom(ctx, c.ClientIP, user, password)
	switch {
	case err == nil:
		s.credential, s.customer, s.known = credential, customer, true
		return nil
	case errors.Is(err, account.ErrDenied):
		s.in.o.Count("refused:login")
		return &smtp.Error{Code: 535, Enhanced: smtp.Enhanced{5, 7, 8}, Text: "User name or password is wrong"}
	case errors.Is(err, account.ErrThrottled):
		s.in.o.Count("refused:login")
		return &smtp.Error{Code: 454, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too many failed logins; wait some minutes before the next try"}
	case errors.Is(err, account.ErrElsewhere):
		s.in.o.Count("refused:elsewhere")
		s.in.o.Accounts.Refused(credential.User, c.ClientIP, s.in.o.Now())
		return &smtp.Error{Code: 535, Enhanced: smtp.Enhanced{5, 7, 8}, Text: "This login is not taken from " + showIP(c.ClientIP) + "; its networks are set in the portal, or by the operator"}
	case errors.Is(err, account.ErrSuspended):
		s.in.o.Count("refused:suspended")
		return &smtp.Error{Code: 535, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "This customer is suspended; ask the operator"}
	}
	s.in.o.Logger.Error("login cannot be checked", "error", err)
	return &smtp.Error{Code: 454, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Logins cannot be checked at the moment; try again later"}
}

// Mail checks that the client is a customer in good standing and may use the reverse path.
func (s *session) Mail(ctx context.Context, t *smtp.Transaction) error {
	if s.door == Submission && !s.known {
		return &smtp.Error{Code: 530, Enhanced: smtp.Enhanced{5, 7, 0}, Text: "Log in first (AUTH)"}
	}
	// What is in force may have changed since the connection began; a long-lived one must not outlive a cut.
	customer, ok := s.in.o.Accounts.Customer(s.customer.ID)
	if !ok || customer.Suspended {
		s.in.o.Count("refused:suspended")
		return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Customer " + s.customer.ID + " is suspended; ask the operator"}
	}
	if !s.entitled() {
		s.in.o.Count("refused:suspended")
		return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "This client may no longer send for customer " + s.customer.ID +
			": its network or login was taken away; connect again"}
	}
	s.customer = customer
	if err := s.in.mayUse(s.customer, "MAIL FROM", t.Envelope.ReversePath); err != nil {
		s.in.o.Count("refused:identity")
		return err
	}
	if err := s.allowed(t.Envelope, 1); err != nil {
		s.in.o.Accounts.Refused(s.credential.User, s.conn.ClientIP, s.in.o.Now())
		return err
	}
	s.warm(ctx, t.Envelope.ReversePath.Domain)
	return nil
}

// entitled reports whether what let the client in still does: its network at the relay door, else its credential.
func (s *session) entitled() bool {
	switch s.door {
	case HTTP: // the token was asked for with this request
		return true
	case Relay:
		c, ok := s.in.o.Accounts.ByNetwork(s.conn.ClientIP)
		return ok && c.ID == s.customer.ID
	}
	c, ok := s.in.o.Accounts.Credential(s.credential.User)
	return ok && !c.Revoked && c.Customer == s.customer.ID && c.From(s.conn.ClientIP)
}

// Rcpt takes any recipient but those who are not written to: whether his domain exists is tested with the message, and told with a reason.
func (s *session) Rcpt(ctx context.Context, t *smtp.Transaction, r mail.Recipient) error {
	if err := s.suppressed(ctx, t.Envelope, r.Address); err != nil {
		return err
	}
	if err := s.allowed(t.Envelope, len(t.Envelope.Recipients)+1); err != nil {
		return err
	}
	if len(t.Envelope.Recipients) < 4 { // the first few pay for the wait; a long list is warmed by delivery
		s.warm(ctx, r.Address.Domain)
	}
	return nil
}

// warm asks for a domain's MX while the client still talks, so that the answer is in the cache when the tests want it.
func (s *session) warm(ctx context.Context, d mail.Domain) {
	if s.in.o.Resolver == nil || d == "" {
		return
	}
	if _, literal := d.Literal(); literal {
		return
	}
	now := s.in.o.Now()
	for _, w := range s.warmed {
		if w.domain == d && now.Sub(w.at) < warmFor {
			return
		}
	}
	s.warmed[s.warmedNext] = warmth{d, now}
	s.warmedNext = (s.warmedNext + 1) % len(s.warmed)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		dns.MX(ctx, s.in.o.Resolver, string(d))
	}()
}

// reverse asks for the client's name while it talks: the PTR record of its address, if that name leads back to it. The trace field
// shows it when it is known by then (RFC 5321 4.4).
func (in *Intake) reverse(ctx context.Context, s *session) {
	ip := s.conn.ClientIP
	if in.o.Resolver == nil || !ip.IsValid() {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		ptr := dns.PTR(ctx, in.o.Resolver, ip)
		for _, rec := range ptr.Records[:min(len(ptr.Records), 3)] {
			if dns.HostName(rec.Host) && dns.LeadsTo(ctx, in.o.Resolver, rec.Host, ip) == dns.Found {
				s.client.Store(&rec.Host)
				return
			}
		}
	}()
}

// Close ends the session.
func (s *session) Close() {}

// Data decides the fate of one message, within what the login may send.
func (s *session) Data(ctx context.Context, t *smtp.Transaction, raw []byte) (smtp.Reply, error) {
	now, recipients := s.in.o.Now(), len(t.Envelope.Recipients)
	// Counted before the tests: messages that come at the same time must not pass the limit together.
	if err := s.in.o.Accounts.Spend(s.credential.User, recipients, s.conn.ClientIP, now); err != nil {
		s.in.o.Accounts.Refused(s.credential.User, s.conn.ClientIP, now)
		return smtp.Reply{}, s.limited(t.Envelope, err, now)
	}
	reply, err := s.decide(ctx, t, raw, now)
	if err != nil {
		s.in.o.Accounts.Unspend(s.credential.User, recipients, now, permanent(err))
	}
	return reply, err
}

// decide tests a message and stores it, or refuses it.
func (s *session) decide(ctx context.Context, t *smtp.Transaction, raw []byte, now time.Time) (smtp.Reply, error) {
	id := mail.NewQueueID(now)
	if hops := countHops(raw, s.in.o.MaxHops); hops > s.in.o.MaxHops {
		s.in.o.Count("refused:loop")
		return smtp.Reply{}, &smtp.Error{Code: 554, Enhanced: smtp.Enhanced{5, 4, 6},
			Text: fmt.Sprintf("This message has passed %d servers and seems to run in a loop", hops)}
	}
	raw, err := shorten(s.complete(raw, id, t.Envelope, now), raw)
	if err != nil {
		s.in.o.Count("refused:lines")
		return smtp.Reply{}, err
	}
	m := mail.Parse(raw, s.in.o.MailSize)
	if err := s.in.mayAuthor(s.customer, m); err != nil {
		s.in.o.Count("refused:identity")
		return smtp.Reply{}, err
	}
	verdict, err := s.in.o.Filter.Run(ctx, filter.Input{
		QueueID: id, Message: m, Envelope: t.Envelope, Leaving: s.in.leaving(s.customer, id, t.Envelope.ReversePath, headerFrom(m)), ClientIP: s.conn.ClientIP, Hello: s.conn.Hello, Authenticated: s.known, Credential: s.credential.User,
		Customer: s.customer, Egress: s.in.o.Accounts.Pool(s.customer.Pool).Egress, Now: now,
	})
	if err != nil {
		return smtp.Reply{}, s.notTested(id, err)
	}
	s.in.o.Tested(verdict)
	if s.door == HTTP {
		s.outcome = outcome{id, verdict}
	}
	item, err := s.item(id, t.Envelope, m, raw, verdict, now)
	if err != nil {
		return smtp.Reply{}, err
	}
	if verdict.Held && s.customer.Mode == "reject" {
		return s.reject(ctx, item, verdict, now)
	}
	return s.keep(ctx, item, verdict)
}

// notTested is the answer where the filter has no verdict: an untested message is never taken. The client keeps it and tries again, unless
// that cannot help. A scanner that fails is watched elsewhere: a line for every message would say nothing more.
func (s *session) notTested(id mail.QueueID, err error) error {
	later := &smtp.Error{Code: 451, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "The message could not be tested; try again later"}
	switch {
	case errors.Is(err, filter.ErrUnscannable):
		s.in.o.Count("refused:unscannable")
		return &smtp.Error{Code: 552, Enhanced: smtp.Enhanced{5, 3, 4}, Text: "The message is larger than the scanner of this gateway takes; send less at a time"}
	case errors.Is(err, filter.ErrUnscanned):
		s.in.o.Count("refused:scanner")
		s.in.o.Logger.Debug("message not scanned", "queue_id", id, "account", s.customer.ID, "error", err)
		later.Text = "The message could not be scanned; try again later"
	default:
		s.in.o.Count("refused:filter")
		s.in.o.Logger.Error("message not tested", "queue_id", id, "account", s.customer.ID, "error", err)
	}
	return later
}

// item builds what is stored.
func (s *session) item(id mail.QueueID, env mail.Envelope, m *mail.Message, raw []byte, v filter.Verdict, now time.Time) (*spool.Message, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("verdict: %w", err)
	}
	env.TLSOptional = tlsOptional(env, m)
	item := &spool.Message{
		ID: id, Customer: s.customer.ID, Credential: s.credential.User, Pool: s.customer.Pool, ClientIP: s.conn.ClientIP, Hello: s.conn.Hello,
		Received: now, Expires: now.Add(time.Duration(s.in.expire.Load())), Envelope: env, Size: int64(len(raw)), HeaderFrom: headerFrom(m), Subject: m.Subject(),
		MessageID: m.MessageID(), Score: v.Score, Verdict: text, Held: v.Held, Language: s.customer.Language, Body: raw,
		Class: classOf(m, len(env.Recipients), int64(len(raw))),
	}
	if v.Held {
		item.HoldReason, item.HoldUntil = byScore, now.Add(s.in.o.HoldFor)
	}
	return item, nil
}

func headerFrom(m *mail.Message) string {
	for _, b := range m.From() {
		if !b.Address.IsNull() {
			return b.Address.String()
		}
	}
	return m.Header.Get("From")
}

// reject refuses a message with the reason and a link to the page that explains it. The message is not kept, its verdict is.
func (s *session) reject(ctx context.Context, item *spool.Message, v filter.Verdict, now time.Time) (smtp.Reply, error) {
	f := fact(journal.Rejected, item)
	f.Code, f.Enhanced, f.Detail, f.Actor = 550, "5.7.1", item.Verdict, "rule"
	// Durable before the answer: the link in it must open a page, also after a crash.
	if err := s.in.o.Journal.Append(ctx, f); err != nil {
		return smtp.Reply{}, s.notStored(item.ID, err)
	}
	s.in.o.Count("rejected")
	top := "no single test"
	if len(v.Hits) > 0 {
		top = v.Hits[0].Test
	}
	return smtp.Reply{}, &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1},
		Text: fmt.Sprintf("Refused: score %.1f is above %.1f (%s first)\nReasons and how to mend them: %s", v.Score, v.Threshold, top, s.in.o.Links.For(item.ID, now))}
}

// keep stores the message, durably, before the client hears 250.
func (s *session) keep(ctx context.Context, item *spool.Message, v filter.Verdict) (smtp.Reply, error) {
	kind := journal.Accepted
	if item.Held {
		kind = journal.Held
	}
	f := fact(kind, item)
	f.Actor, f.Detail = "rule", brief(v)
	if item.Held {
		f.NextAt, f.Detail = item.HoldUntil, item.Verdict // the page shows why also when the message has left the spool
	}
	if err := s.in.o.Spool.Put(ctx, item); err != nil {
		return smtp.Reply{}, s.notStored(item.ID, err)
	}
	// The fact follows the message in the journal's own order; Recover writes it again if a crash comes between.
	s.in.o.Journal.Post(append(s.in.addressed(item), f)...)
	s.in.o.Count(string(kind))
	text := "Ok: queued as " + string(item.ID)
	if item.Held {
		text += fmt.Sprintf(" (held: score %.1f above %.1f)", v.Score, v.Threshold)
		if err := s.in.o.Notices.Held(ctx, s.in.heldMail(*item, s.customer, v)); err != nil {
			s.in.o.Logger.Error("no notice of a held message", "queue_id", item.ID, "account", item.Customer, "error", err)
		}
	}
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Lines: []string{text}}, nil
}

func (s *session) notStored(id mail.QueueID, err error) error {
	s.in.o.Logger.Error("message not stored", "queue_id", id, "account", s.customer.ID, "error", err)
	s.in.o.Count("refused:storage")
	if errors.Is(err, spool.ErrFull) {
		return &smtp.Error{Code: 452, Enhanced: smtp.Enhanced{4, 3, 1}, Text: "No room for more mail at the moment; try again later"}
	}
	return &smtp.Error{Code: 451, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "The message could not be stored; try again later"}
}

// brief is what the journal keeps of the verdict of a message that passes: enough to ask what another setting would have done.
func brief(v filter.Verdict) []byte {
	return journal.EncodeBrief(v.Raw, v.Threshold, func(yield func(string, float64) bool) {
		for _, h := range v.Hits {
			if !yield(h.Test, h.Points) {
				return
			}
		}
	})
}

// fact is a journal line about a stored message.
func fact(kind journal.Kind, m *spool.Message) journal.Fact {
	f := journal.Fact{Kind: kind, At: m.Received, QueueID: m.ID, Customer: m.Customer, Credential: m.Credential, ClientIP: m.ClientIP,
		ReversePath: m.Envelope.ReversePath.String(), HeaderFrom: m.HeaderFrom, Subject: m.Subject, MessageID: m.MessageID, Size: m.Size, Score: m.Score}
	switch n := len(m.Envelope.Recipients); {
	case n == 1:
		f.Recipient = m.Envelope.Recipients[0].Address.String()
	case n > 1:
		f.Recipient = m.Envelope.Recipients[0].Address.String()
		f.Text = fmt.Sprintf("%d recipients", n)
	}
	return f
}
