package feedback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/account"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/provider"
	"postern/internal/report"
	"postern/internal/returnpath"
	"postern/internal/smtp"
)

// The door for what comes back.
//
// It takes mail for five kinds of recipients, and for nothing else whoever asks, so it relays nothing: at the domains of return addresses, signed return
// addresses that are not too old, the address for complaints, and postmaster and abuse, which are the operator's; and wherever they are, the addresses for
// reports about domains (DMARC, TLS), which are handed on whole. A forged return address is refused at RCPT, so
// bounces of mail that somebody sent in our name end there.
//
// A message is read, judged and written down before 250 (inbound.go). When the journal or the spool cannot take it the answer is 451 and the
// reporting server keeps it.

// DoorOptions is what NewDoor needs. Codec, Takes, Accounts, Journal and Notices are required.
type DoorOptions struct {
	Codec    *returnpath.Codec
	Takes    func(mail.Domain) bool // whether mail for return addresses of that domain comes to us
	Accounts *account.Ledger
	Journal  *journal.Journal
	Notices  *notice.Notices
	Operator mail.Address // who gets mail to postmaster and abuse; null: it is refused
	Feedback *Feedback    // counts what is learned; nil: nothing is counted

	Complaints string        // local part of the address for complaints; "": fbl
	Reporters  []mail.Domain // domains whose complaints count when they are signed, beside those that are built in
	// Signed returns the domains whose DKIM signatures of a message verify. nil: no complaint counts.
	Signed    func(ctx context.Context, raw []byte) []mail.Domain
	Knowledge func() *provider.Knowledge // what is known of answers now; nil: our own data
	// Read reads a message that came back; nil: report.ReadBounce.
	Read func(*mail.Message) (report.Bounce, error)
	// Heard is told of every bounce and complaint that counts, before it is written down; an error keeps the message with the reporting server. nil: nobody.
	Heard func(context.Context, Heard) error

	Reports []mail.Address // addresses for reports about domains; with anything behind a "+" in the local part too
	// Report writes such a report down, durably. A temporary error keeps it with the reporting server. Required with Reports.
	Report func(ctx context.Context, r Reported) error

	MaxAge     time.Duration // of a return address; default 45 days
	MaxBytes   int64         // of a message; default 10 MiB
	ReadBytes  int           // of it that are looked at, from its beginning; default 1 MiB
	Recipients int           // of one message; default 5
	PerMinute  int           // messages of one network (IPv4 /24, IPv6 /48); default 1000
	Reported   int           // reports about domains of one network within a minute; default 300
	Forged     int           // refused recipients of one network within a minute; default 60
	Hops       int           // Received fields before a message counts as looping; default 50

	Logger *slog.Logger
	Now    func() time.Time
	Count  func(event string) // for metrics; nil: not counted
}

// Reported is a mail to an address for reports, with what vouches for it.
type Reported struct {
	ClientIP    netip.Addr
	Hello       string       // argument of EHLO or HELO
	ReversePath mail.Address // of the envelope
	Message     []byte
}

// Door takes in what comes back. It is a smtp.Handler and safe for concurrent use.
type Door struct {
	o          DoorOptions
	reporters  []mail.Domain
	rate       rates
	reportRate rates // of reports about domains
}

// NewDoor checks the options and fills in the defaults.
func NewDoor(o DoorOptions) (*Door, error) {
	if o.Codec == nil || o.Takes == nil || o.Accounts == nil || o.Journal == nil || o.Notices == nil {
		return nil, errors.New("feedback: the door needs Codec, Takes, Accounts, Journal and Notices")
	}
	if len(o.Reports) > 0 && o.Report == nil {
		return nil, errors.New("feedback: the door has addresses for reports and nobody who takes them")
	}
	if o.Complaints == "" {
		o.Complaints = "fbl"
	}
	for _, f := range []struct {
		field *int
		def   int
	}{{&o.ReadBytes, 1 << 20}, {&o.Recipients, 5}, {&o.PerMinute, 1000}, {&o.Forged, 60}, {&o.Hops, 50}, {&o.Reported, 300}} {
		if *f.field <= 0 {
			*f.field = f.def
		}
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 45 * 24 * time.Hour
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 10 << 20
	}
	if o.Read == nil {
		o.Read = report.ReadBounce
	}
	if o.Knowledge == nil {
		k, err := provider.Load(nil)
		if err != nil {
			return nil, err
		}
		o.Knowledge = func() *provider.Knowledge { return k }
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
	if o.Takes(o.Operator.Domain) {
		o.Operator = mail.Address{} // it would come back here
	}
	return &Door{o: o, reporters: append(knownReporters(), o.Reporters...), rate: rates{counts: map[netip.Prefix]*rate{}}, reportRate: rates{counts: map[netip.Prefix]*rate{}}}, nil
}

// Limits are those of a listener of its own, where the given ones are those of the other doors.
func (d *Door) Limits(l smtp.Limits) smtp.Limits {
	l.MessageBytes = d.o.MaxBytes
	l.InFlightBytes = max(l.InFlightBytes/8, 4*d.o.MaxBytes)
	l.Messages = 200
	return l
}

// NewSession lets anybody talk (smtp.Handler).
func (d *Door) NewSession(_ context.Context, c *smtp.Conn) (smtp.Session, error) {
	return &doorSession{d: d, conn: c}, nil
}

// Behind puts the door behind another listener's handler: recipients of return addresses are taken from everybody there. Who is not known gets no
// further than that; who is may do what he could before.
func (d *Door) Behind(h smtp.Handler, known func(netip.Addr) bool) smtp.Handler {
	return sharedHandler{d, h, known}
}

type sharedHandler struct {
	door  *Door
	own   smtp.Handler
	known func(netip.Addr) bool
}

// NewSession begins a session that has the listener's own handler only for those it knows (smtp.Handler).
func (h sharedHandler) NewSession(ctx context.Context, c *smtp.Conn) (smtp.Session, error) {
	s := &doorSession{d: h.door, conn: c}
	if !h.known(c.ClientIP) {
		return s, nil
	}
	own, err := h.own.NewSession(ctx, c)
	if err != nil {
		return nil, err
	}
	return &sharedSession{own: own, door: s}, nil
}

// sharedSession is a known client's: its recipients decide message by message who gets it.
type sharedSession struct {
	own    smtp.Session
	door   *doorSession
	toDoor bool // the message under way goes to the door
}

// Auth hands on (smtp.Authenticator).
func (s *sharedSession) Auth(ctx context.Context, c *smtp.Conn, user, password string) error {
	a, ok := s.own.(smtp.Authenticator)
	if !ok {
		return &smtp.Error{Code: 502, Enhanced: smtp.Enhanced{5, 5, 1}, Text: "There is no login here"}
	}
	return a.Auth(ctx, c, user, password)
}

// Mail begins a transaction.
func (s *sharedSession) Mail(ctx context.Context, t *smtp.Transaction) error {
	s.toDoor = false
	return s.own.Mail(ctx, t)
}

// Rcpt lets the first recipient decide; others of the other kind are to come in a message of their own.
func (s *sharedSession) Rcpt(ctx context.Context, t *smtp.Transaction, r mail.Recipient) error {
	toDoor := s.door.d.o.Takes(r.Address.Domain) || s.door.d.takesReport(r.Address)
	if len(t.Envelope.Recipients) == 0 {
		s.toDoor = toDoor
		if toDoor {
			if err := s.door.Mail(ctx, t); err != nil {
				return err
			}
		}
	}
	switch {
	case toDoor != s.toDoor:
		return &smtp.Error{Code: 452, Enhanced: smtp.Enhanced{4, 5, 3}, Text: "Return addresses need a message of their own; send to this recipient again"}
	case toDoor:
		return s.door.Rcpt(ctx, t, r)
	}
	return s.own.Rcpt(ctx, t, r)
}

// Data hands the message to whom its recipients belong.
func (s *sharedSession) Data(ctx context.Context, t *smtp.Transaction, message []byte) (smtp.Reply, error) {
	if s.toDoor {
		return s.door.Data(ctx, t, message)
	}
	return s.own.Data(ctx, t, message)
}

// Close ends both.
func (s *sharedSession) Close() { s.own.Close() }

// doorSession is one conversation with the door.
type doorSession struct {
	d    *Door
	conn *smtp.Conn
	to   []target // of the message under way
}

// target is what a recipient stands for.
type target struct {
	kind targetKind
	ref  returnpath.Ref
}

type targetKind int

const (
	toReference targetKind = iota
	toComplaints
	toOperator
	toReports
)

// Mail begins a transaction. Any reverse path will do: bounces have none, automatic answers may have one.
func (s *doorSession) Mail(_ context.Context, t *smtp.Transaction) error {
	s.to = nil
	if t.DeclaredSize > s.d.o.MaxBytes {
		return s.d.tooLarge()
	}
	if !s.d.rate.take(s.conn.ClientIP, s.d.o.Now(), s.d.o.PerMinute, false) {
		s.d.o.Count("refused:rate")
		return &smtp.Error{Code: 450, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too many messages from your network; try again in some minutes"}
	}
	return nil
}

func (d *Door) tooLarge() error {
	d.o.Count("refused:size")
	return &smtp.Error{Code: 552, Enhanced: smtp.Enhanced{5, 3, 4}, Text: fmt.Sprintf("Reports may have %d bytes; return the header only", d.o.MaxBytes)}
}

// Rcpt takes return addresses that we made, and the few names of the domain.
func (s *doorSession) Rcpt(_ context.Context, _ *smtp.Transaction, r mail.Recipient) error {
	d := s.d
	if len(s.to) >= d.o.Recipients {
		return &smtp.Error{Code: 452, Enhanced: smtp.Enhanced{4, 5, 3}, Text: "Too many recipients in one report; send the others again"}
	}
	x, err := d.target(r.Address)
	if err != nil {
		if !d.rate.take(s.conn.ClientIP, d.o.Now(), d.o.Forged, true) {
			return &smtp.Error{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Too many unknown recipients from your network"}
		}
		return err
	}
	s.to = append(s.to, x)
	return nil
}

// target tells what an address stands for. Errors are replies.
func (d *Door) target(a mail.Address) (target, error) {
	if d.takesReport(a) {
		return target{kind: toReports}, nil
	}
	if !d.o.Takes(a.Domain) {
		d.o.Count("refused:relay")
		return target{}, &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "Relaying denied: only reports about mail of this gateway are taken here"}
	}
	local := strings.ToLower(a.Local)
	switch {
	case local == strings.ToLower(d.o.Complaints):
		return target{kind: toComplaints}, nil
	case (local == "postmaster" || local == "abuse") && !d.o.Operator.IsNull(): // RFC 5321 4.5.1, RFC 2142
		return target{kind: toOperator}, nil
	}
	ref, err := d.o.Codec.Read(a.Local)
	now := d.o.Now()
	switch {
	case errors.Is(err, returnpath.ErrForged):
		d.o.Count("refused:forged")
		return target{}, &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "This return address was not made here: we did not send the message"}
	case err != nil:
		d.o.Count("refused:unknown")
		return target{}, &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "No such address"}
	case now.Sub(ref.Made) > d.o.MaxAge, ref.Made.After(now.Add(24 * time.Hour)):
		d.o.Count("refused:old")
		return target{}, &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: fmt.Sprintf("This return address is older than %d days", int(d.o.MaxAge.Hours()/24))}
	}
	return target{kind: toReference, ref: ref}, nil
}

// takesReport reports whether an address is one for reports about domains.
func (d *Door) takesReport(a mail.Address) bool {
	local, _, _ := strings.Cut(a.Local, "+")
	return slices.ContainsFunc(d.o.Reports, func(x mail.Address) bool { return x.Domain == a.Domain && strings.EqualFold(x.Local, local) })
}

// Close ends the session.
func (s *doorSession) Close() {}

// maxRates bounds the networks that are remembered.
const maxRates = 20_000

// rates count what networks do within a minute.
type rates struct {
	mu     sync.Mutex
	counts map[netip.Prefix]*rate
	hour   time.Time // of what the operator gets
	sent   int
}

type rate struct {
	since            time.Time
	messages, forged int
}

// take counts one message, or one refused recipient, and reports whether it is within the limit.
func (r *rates) take(ip netip.Addr, now time.Time, limit int, forged bool) bool {
	bits := 24
	if ip.Is6() {
		bits = 48
	}
	n, err := ip.Prefix(bits)
	if err != nil {
		return true // no address: a connection within the process
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.counts[n]
	if x == nil {
		if len(r.counts) >= maxRates {
			for k, v := range r.counts {
				if now.Sub(v.since) >= time.Minute {
					delete(r.counts, k)
				}
			}
			if len(r.counts) >= maxRates {
				return false
			}
		}
		x = &rate{since: now}
		r.counts[n] = x
	}
	if now.Sub(x.since) >= time.Minute {
		*x = rate{since: now}
	}
	if forged {
		x.forged++
		return x.forged <= limit
	}
	x.messages++
	return x.messages <= limit
}

// hourly takes one of so many within an hour.
func (r *rates) hourly(now time.Time, limit int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.hour) >= time.Hour {
		r.hour, r.sent = now, 0
	}
	r.sent++
	return r.sent <= limit
}
