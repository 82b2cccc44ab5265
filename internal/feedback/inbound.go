package feedback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/provider"
	"postern/internal/report"
	"postern/internal/returnpath"
	"postern/internal/smtp"
)

// Heard is a report from outside that counts: a bounce of a message that a server had taken, or a complaint about it. Its message and recipient
// are known for certain: the reference was signed by us, and a complaint by a reporter that we know.
type Heard struct {
	QueueID    mail.QueueID
	Customer   string
	Recipient  mail.Address
	At         time.Time
	Complaint  bool
	Forwarded  bool // it is another address that failed, to which the recipient's mail is forwarded
	Code       int  // SMTP reply; 0: none told
	Enhanced   string
	Text       string
	Host       string // who said it
	Provider   string // provider.Provider.Name; "": unknown
	Phase      string
	Meaning    provider.Meaning
	Credential string
	ClientIP   netip.Addr
	HeaderFrom string
}

// arrival is a message at the door, read.
type arrival struct {
	raw    []byte
	m      *mail.Message // of its beginning
	bounce report.Bounce
	read   bool // bounce says something
	env    mail.Envelope
	conn   *smtp.Conn
	now    time.Time
}

// Data reads a message and answers 250 when what it says is written down.
func (s *doorSession) Data(ctx context.Context, t *smtp.Transaction, raw []byte) (smtp.Reply, error) {
	d := s.d
	if int64(len(raw)) > d.o.MaxBytes {
		return smtp.Reply{}, d.tooLarge()
	}
	a := &arrival{raw: raw, env: t.Envelope, conn: s.conn, now: d.o.Now(), m: mail.Parse(raw[:min(len(raw), d.o.ReadBytes)], mail.DefaultLimits())}
	if n := len(a.m.Header.All("Received")); n > d.o.Hops {
		d.o.Count("refused:loop")
		return smtp.Reply{}, &smtp.Error{Code: 554, Enhanced: smtp.Enhanced{5, 4, 6}, Text: fmt.Sprintf("This message has passed %d servers and seems to run in a loop", n)}
	}
	b, err := d.o.Read(a.m)
	a.bounce, a.read = b, err == nil
	var refusal error
	for i, x := range s.to {
		var refused *smtp.Error
		switch err := d.take(ctx, x, a); {
		case err == nil:
		case errors.As(err, &refused) && refused.Code >= 500:
			if i == 0 {
				refusal = err
			}
			continue
		default:
			if !errors.As(err, &refused) {
				d.o.Logger.Error("a report could not be written down", "error", err)
				err = &smtp.Error{Code: 451, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "The report could not be written down; try again later"}
			}
			return smtp.Reply{}, err // what is written down already is known when it comes again
		}
		refusal = nil
	}
	if refusal != nil {
		return smtp.Reply{}, refusal
	}
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Lines: []string{"Ok: read"}}, nil
}

// take deals with a message for one recipient.
func (d *Door) take(ctx context.Context, x target, a *arrival) error {
	complains := a.read && a.bounce.Kind == report.BounceComplaint
	switch {
	case x.kind == toReports:
		return d.toReports(ctx, a)
	case x.kind == toOperator:
		return d.toOperator(ctx, a)
	case x.kind == toComplaints && !complains && !d.reported(ctx, a):
		// Not every feedback loop writes RFC 5965; what a reporter signed is a complaint, and only that.
		d.o.Count("refused:no-complaint")
		return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "This address takes complaints of feedback loops only (RFC 5965); people write to abuse at this domain"}
	case x.kind == toComplaints:
		ref, ok := d.find(a)
		if !ok {
			return d.unknownComplaint(ctx, a)
		}
		return d.complaint(ctx, ref, a)
	case complains:
		return d.complaint(ctx, x.ref, a)
	}
	o, err := d.origin(ctx, x.ref)
	if err != nil || o == nil {
		return err
	}
	if o.excess() {
		d.o.Count("excess")
		d.o.Logger.Warn("too many reports about one message: no more are written down", "queue_id", x.ref.ID, "account", o.accepted.Customer)
		return nil
	}
	switch {
	case a.read && (a.bounce.Kind == report.BounceAutoReply || a.bounce.Kind == report.BounceChallenge):
		return d.answer(ctx, o, x.ref, a, journal.AutoReply)
	case a.read:
		return d.bounce(ctx, o, x.ref, a)
	case a.env.ReversePath.IsNull() || automatic(a.m):
		return d.answer(ctx, o, x.ref, a, journal.Unread)
	}
	d.o.Count("refused:person")
	return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "This address takes reports of mail systems only; write to the author of the message instead"}
}

// automatic reports whether a message says of itself that no person wrote it (RFC 3834 5).
func automatic(m *mail.Message) bool {
	v, _, _ := strings.Cut(strings.ToLower(m.Header.Get("Auto-Submitted")), ";")
	return v != "" && strings.TrimSpace(v) != "no"
}

// detail is what a fact keeps of a report beside its own fields.
type detail struct {
	Permanent bool   `json:"permanent,omitempty"`
	Address   string `json:"address,omitempty"`  // that failed, where it is not the recipient
	Reporter  string `json:"reporter,omitempty"` // who signed a complaint; one without counts for nothing
}

// bounce writes down what a bounce says about each recipient that is ours.
func (d *Door) bounce(ctx context.Context, o *origin, ref returnpath.Ref, a *arrival) error {
	list := a.bounce.Recipients
	if ref.Recipient >= 0 && len(list) > 1 { // the return address says who it is; the report is about him
		best := slices.IndexFunc(list, func(r report.BounceRecipient) bool {
			return strings.EqualFold(r.Address.String(), o.recipient(ref.Recipient))
		})
		list = list[max(best, 0):][:1]
	}
	if len(list) == 0 {
		list = []report.BounceRecipient{{Explained: a.bounce.Text}}
	}
	for i := range list {
		if err := d.fate(ctx, o, ref, a, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

// fate writes down one recipient's fate, after everything that follows from it: a repetition finds the fact and does nothing.
func (d *Door) fate(ctx context.Context, o *origin, ref returnpath.Ref, a *arrival, r *report.BounceRecipient) error {
	index, recipient := o.which(ref, r)
	f := o.fact(a.now)
	f.Kind, f.Recipient, f.Code, f.Enhanced = journal.Returned, recipient, r.Reply, r.Status
	action := report.Failed
	switch {
	case r.Action == report.Delayed || r.Action == "" && a.bounce.Kind == report.BounceDelayed:
		f.Kind, action = journal.LateDelay, report.Delayed
	case r.Action == report.Delivered || r.Action == report.Relayed || r.Action == report.Expanded || r.Action == "" && a.bounce.Kind == report.BounceDelivered:
		f.Kind, action = journal.Confirmed, report.Delivered
	}
	f.Text = first(r.Diagnostic, r.Explained, "")
	f.Host = first(r.RemoteMTA, a.bounce.ReportingMTA, "")
	if recipient == "" {
		f.Recipient = r.Address.String()
	}
	if o.has(&f, a.now) {
		d.o.Count("duplicate")
		return nil
	}
	to, _ := mail.ParseAddress(recipient)
	x := detail{}
	if !r.Address.IsNull() && recipient != "" && !strings.EqualFold(r.Address.String(), recipient) {
		x.Address = r.Address.String()
	}
	if f.Kind == journal.Returned {
		meaning, who := d.meaning(&a.bounce, r)
		f.Category, f.Party, f.Rule, f.Provider, x.Permanent = string(meaning.Category), string(meaning.Party), meaning.Rule, who, meaning.Permanent
		if recipient != "" {
			h := Heard{QueueID: f.QueueID, Customer: f.Customer, Recipient: to, At: a.now, Forwarded: x.Address != "", Code: r.Reply, Enhanced: r.Status, Text: f.Text,
				Host: f.Host, Provider: who, Phase: r.Phase, Meaning: meaning, Credential: f.Credential, ClientIP: f.ClientIP, HeaderFrom: f.HeaderFrom}
			if err := d.heard(ctx, h); err != nil {
				return err
			}
		}
	}
	if recipient != "" {
		if err := d.tell(ctx, o, &f, index, to, action); err != nil {
			return err
		}
	}
	if err := d.write(ctx, f, x); err != nil {
		return err
	}
	event := string(f.Kind)
	if f.Kind == journal.Returned {
		event += ":" + f.Category
		d.o.Feedback.later(&f, to)
	}
	d.o.Count(event)
	return nil
}

func first(a, b, c string) string {
	switch {
	case a != "":
		return a
	case b != "":
		return b
	}
	return c
}

// meaning is what a report says about one recipient, and which receiver's rules told it.
func (d *Door) meaning(b *report.Bounce, r *report.BounceRecipient) (provider.Meaning, string) {
	v := judgeRecipient(b, r, d.o.Knowledge())
	return v.Meaning, v.Provider
}

// tell has the sender told.
func (d *Door) tell(ctx context.Context, o *origin, f *journal.Fact, index int, to mail.Address, action string) error {
	path, err := mail.ParseAddress(o.accepted.ReversePath)
	if err != nil {
		return nil // nobody to tell: the message had no sender
	}
	l := notice.Late{ID: f.QueueID, Customer: f.Customer, ReversePath: path, HeaderFrom: f.HeaderFrom, Subject: f.Subject, MessageID: f.MessageID, Size: f.Size,
		Accepted: o.accepted.At, Recipient: to, Index: index, Action: action, Host: f.Host, Code: f.Code, Enhanced: f.Enhanced, Text: f.Text}
	if err := d.o.Notices.Returned(ctx, l); err != nil {
		return fmt.Errorf("tell the sender of %s: %w", f.QueueID, err)
	}
	return nil
}

func (d *Door) heard(ctx context.Context, h Heard) error {
	if d.o.Heard == nil {
		return nil
	}
	if err := d.o.Heard(ctx, h); err != nil {
		return fmt.Errorf("report about %s: %w", h.QueueID, err)
	}
	return nil
}

// write makes a fact durable.
func (d *Door) write(ctx context.Context, f journal.Fact, x detail) error {
	if x != (detail{}) {
		text, err := json.Marshal(x)
		if err != nil {
			return err
		}
		f.Detail = text
	}
	return d.o.Journal.Append(ctx, f)
}

// maxPassed is how many answers about one recipient of one message are passed on.
const maxPassed = 3

// answer writes down that something answered, and gives it to the sender, who would have got it at his own address.
func (d *Door) answer(ctx context.Context, o *origin, ref returnpath.Ref, a *arrival, kind journal.Kind) error {
	_, recipient := o.which(ref, &report.BounceRecipient{})
	f := o.fact(a.now)
	f.Kind, f.Recipient, f.Subject, f.MessageID = kind, recipient, a.m.Subject(), a.m.MessageID()
	if kind == journal.Unread {
		f.HeaderFrom = a.m.Header.Get("From")
	}
	if o.has(&f, a.now) {
		d.o.Count("duplicate")
		return nil
	}
	path, err := mail.ParseAddress(o.accepted.ReversePath)
	c, known := d.o.Accounts.Customer(f.Customer)
	f.Text = "passed on to the sender"
	switch {
	case err != nil || !known || !d.o.Accounts.OwnsDomain(c, path.Domain):
		f.Text = "not passed on: the sender is not known to belong to the customer"
	case c.DropAutoReplies:
		f.Text = "not passed on: the customer wants none"
	case o.answers(recipient) >= maxPassed:
		f.Text = "not passed on: too many for one message"
	default:
		err := d.o.Notices.PassOn(ctx, notice.Passed{About: f.QueueID, Customer: f.Customer, To: path, Kind: string(kind), Message: a.traced(), UTF8: a.env.SMTPUTF8})
		if errors.Is(err, notice.ErrUnfit) {
			f.Text, err = "not passed on: its lines are too long", nil
		}
		if err != nil {
			return fmt.Errorf("pass on an answer to %s: %w", f.QueueID, err)
		}
	}
	if err := d.write(ctx, f, detail{}); err != nil {
		return err
	}
	d.o.Count(string(kind))
	return nil
}

// traced is the message with our trace field (RFC 5321 4.4), which ends loops.
func (a *arrival) traced() []byte {
	client := "unknown"
	if a.conn.ClientIP.IsValid() {
		client = a.conn.ClientIP.String()
	}
	return mail.Edit(a.raw, []string{"Return-Path"}, fmt.Sprintf("Received: from [%s] by %s (Postern, return path) with ESMTP; %s", client, a.conn.ServerName, a.now.Format(time.RFC1123Z)))
}

// toReports hands a report about domains on. It is read later: what counts here is that it is not lost.
func (d *Door) toReports(ctx context.Context, a *arrival) error {
	if !d.reportRate.take(a.conn.ClientIP, a.now, d.o.Reported, false) {
		d.o.Count("refused:rate")
		return &smtp.Error{Code: 450, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too many reports from your network; try again in some minutes"}
	}
	if err := d.o.Report(ctx, Reported{a.conn.ClientIP, a.conn.Hello, a.env.ReversePath, a.raw}); err != nil {
		return fmt.Errorf("report about a domain: %w", err)
	}
	d.o.Count("report")
	return nil
}

// perHour is how many messages to postmaster and abuse reach the operator within an hour.
const perHour = 30

func (d *Door) toOperator(ctx context.Context, a *arrival) error {
	if !d.rate.hourly(a.now, perHour) {
		d.o.Count("refused:rate")
		return &smtp.Error{Code: 450, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too much mail to this address; try again in an hour"}
	}
	err := d.o.Notices.PassOn(ctx, notice.Passed{To: d.o.Operator, Kind: "operator", Message: a.traced(), UTF8: a.env.SMTPUTF8})
	if errors.Is(err, notice.ErrUnfit) {
		return &smtp.Error{Code: 554, Enhanced: smtp.Enhanced{5, 6, 0}, Text: "A line of this message is longer than 998 characters and cannot be broken"}
	}
	if err == nil {
		d.o.Count("operator")
	}
	return err
}

// find looks for a reference in a complaint, in its bytes and in its parts that are encoded.
func (d *Door) find(a *arrival) (returnpath.Ref, bool) {
	best, found := d.o.Codec.Find(a.raw)
	if found && !best.Public {
		return best, true
	}
	stack := []*mail.Part{a.m.Root}
	for n := 0; len(stack) > 0 && n < 100; n++ {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if p == nil {
			continue
		}
		stack = append(stack, p.Children...)
		if len(p.Children) > 0 || !slices.Contains([]string{"base64", "quoted-printable"}, strings.ToLower(p.Header.Get("Content-Transfer-Encoding"))) {
			continue
		}
		if r, ok := d.o.Codec.Find(p.Decoded()); ok && (!found || best.Public && !r.Public) {
			best, found = r, true
		}
	}
	return best, found
}

// knownReporters are domains that sign complaints of their own users: those of the large feedback loops. Yahoo: "Complaint Feedback Loop" of the
// Sender Hub (read 2026-11); Microsoft: JMRP mails come from staff@hotmail.com; the others by their feedback loops' sender domains.
func knownReporters() []mail.Domain {
	return []mail.Domain{"arf.mail.yahoo.com", "yahooinc.com", "hotmail.com", "outlook.com", "microsoft.com", "signal-spam.fr", "validity.com", "returnpath.net", "aol.com",
		"comcast.net", "mail.ru", "fastmail.com", "cloudmark.com"}
}

// reporter is the domain that signed a message, if complaints of that domain count; "" if none does. The author must be of the domain too: who signs
// a mail is not always who speaks in it.
func (d *Door) reporter(ctx context.Context, a *arrival) mail.Domain {
	if d.o.Signed == nil {
		return ""
	}
	boxes := a.m.From()
	if len(boxes) != 1 || !slices.ContainsFunc(d.reporters, func(r mail.Domain) bool { return below(boxes[0].Address.Domain, r) }) {
		return "" // spares the keys' look-up
	}
	for _, signer := range d.o.Signed(ctx, a.raw) {
		for _, r := range d.reporters {
			if below(signer, r) && below(boxes[0].Address.Domain, r) {
				return r
			}
		}
	}
	return ""
}

func (d *Door) reported(ctx context.Context, a *arrival) bool { return d.reporter(ctx, a) != "" }

// below reports whether x is d or below it.
func below(x, d mail.Domain) bool { return x == d || strings.HasSuffix(string(x), "."+string(d)) }

// complaint writes down that a recipient took a message for spam. It counts only when a reporter that we know has signed it: anybody who has read
// the message can write such a report, and would keep a customer from writing to whomever he names.
func (d *Door) complaint(ctx context.Context, ref returnpath.Ref, a *arrival) error {
	o, err := d.origin(ctx, ref)
	if err != nil {
		return err
	}
	if o == nil {
		return d.unknownComplaint(ctx, a)
	}
	var said report.BounceRecipient
	if len(a.bounce.Recipients) > 0 {
		said = a.bounce.Recipients[0]
	}
	_, recipient := o.which(ref, &said)
	x := detail{Reporter: string(d.reporter(ctx, a))}
	verified, wanted := x.Reporter != "", strings.EqualFold(a.bounce.Feedback, "not-spam")
	f := o.fact(a.now)
	f.Category = string(provider.Feedback)
	f.Kind, f.Recipient, f.Text, f.Host = journal.Complaint, recipient, first(a.bounce.Feedback, "abuse", ""), x.Reporter
	if o.has(&f, a.now) || !verified && o.excess() {
		d.o.Count("duplicate")
		return nil
	}
	if verified && recipient != "" && !wanted {
		to, _ := mail.ParseAddress(recipient)
		h := Heard{QueueID: f.QueueID, Customer: f.Customer, Recipient: to, At: a.now, Complaint: true, Text: f.Text, Host: f.Host,
			Meaning: provider.Meaning{Category: provider.Feedback, Party: provider.Message}, Credential: f.Credential, ClientIP: f.ClientIP, HeaderFrom: f.HeaderFrom}
		if err := d.heard(ctx, h); err != nil {
			return err
		}
	}
	if err := d.write(ctx, f, x); err != nil {
		return err
	}
	if !verified {
		d.o.Count("complaint:unverified")
		return nil
	}
	d.o.Count("complaint")
	if to, err := mail.ParseAddress(recipient); err == nil && !wanted {
		d.o.Feedback.later(&f, to)
	}
	return nil
}

// unknownComplaint is one that leads to no message of ours, or to one that is forgotten. It is no reason to have the reporter send it again.
func (d *Door) unknownComplaint(ctx context.Context, a *arrival) error {
	d.o.Count("complaint:unknown")
	who := d.reporter(ctx, a)
	d.o.Logger.Warn("a complaint holds no reference to a message of ours", "reporter", who, "client_ip", a.conn.ClientIP)
	if who == "" {
		return nil
	}
	f := journal.Fact{At: a.now, Kind: journal.Complaint, Host: string(who), Text: first(a.bounce.Feedback, "abuse", ""), Subject: a.bounce.Original.Subject,
		MessageID: a.bounce.Original.MessageID, HeaderFrom: a.bounce.Original.From, Actor: "rule"}
	return d.write(ctx, f, detail{Reporter: string(who)})
}

// later counts what was reported for the identity that sent the message, as Settled counts answers.
func (f *Feedback) later(fact *journal.Fact, to mail.Address) {
	if f == nil || f.o.Learn == nil || fact.Customer == "" || to.IsNull() {
		return
	}
	fate := learn.Fate(0)
	switch provider.Category(fact.Category) {
	case provider.UserUnknown, provider.HostUnknown, provider.NotAccept:
		fate = learn.UnknownUser
	case provider.SpamDetected, provider.VirusDetected, provider.Feedback:
		fate = learn.Refused
	default:
		return
	}
	var domain mail.Domain
	if a, err := mail.ParseAddress(fact.HeaderFrom); err == nil {
		domain = a.Domain
	}
	f.o.Learn.Settled(learn.Settlement{Identity: learn.IdentityOf(fact.Customer, fact.Credential, fact.ClientIP, domain, nil), At: fact.At, Recipient: to, Fate: fate})
}
