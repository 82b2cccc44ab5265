package world

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/dkim"
	"postern/internal/dmarc"
	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/spf"
)

// Letter is a message that a provider took.
type Letter struct {
	At       time.Time
	Provider string // mail domain of the provider
	ClientIP netip.Addr
	Hello    string
	TLS      bool
	Envelope mail.Envelope // with the recipients that were accepted
	Raw      []byte
	Auth     Auth
}

// For reports whether a letter was addressed to a.
func (l Letter) For(a mail.Address) bool {
	return slices.ContainsFunc(l.Envelope.Recipients, func(r mail.Recipient) bool { return r.Address == a })
}

// Message parses the letter.
func (l Letter) Message() *mail.Message { return mail.Parse(l.Raw, mail.DefaultLimits()) }

// Auth is what a provider found out about who sent a letter.
type Auth struct {
	From  mail.Domain // of the author
	SPF   spf.Outcome
	DKIM  []dkim.Signature
	DMARC dmarc.Outcome
}

// DKIMPass returns the domains whose signature verifies.
func (a Auth) DKIMPass() []mail.Domain {
	var out []mail.Domain
	for _, s := range a.DKIM {
		if s.Status == dkim.StatusPass {
			out = append(out, s.Domain)
		}
	}
	return out
}

// authenticate checks a message as a receiver does.
func authenticate(ctx context.Context, r dns.Resolver, c *smtp.Conn, env mail.Envelope, raw []byte, now time.Time) Auth {
	a := Auth{SPF: spf.Check(ctx, r, spf.Query{IP: c.ClientIP, Hello: c.Hello, ReversePath: env.ReversePath}), DKIM: dkim.Verify(ctx, r, raw, now)}
	passes := mail.Domain("")
	if a.SPF.Result == spf.Pass {
		passes = mail.Domain(a.SPF.Domain)
	}
	for _, b := range mail.Parse(raw, mail.DefaultLimits()).From() {
		if b.Address.Domain != "" {
			a.From = b.Address.Domain
			break
		}
	}
	if a.From != "" {
		a.DMARC = dmarc.Evaluate(ctx, r, a.From, passes, a.DKIMPass())
	}
	return a
}

// Provider is a mail provider: an SMTP server with manners. It implements smtp.Handler.
type Provider struct {
	Domain string // mail domain
	Host   string // name of its mail exchanger; the domain itself when it has no MX
	IP     netip.Addr
	Manner Manner

	w  *World
	mu sync.Mutex
	// seen is when a client first offered mail from a sender to a recipient (greylisting).
	seen map[triplet]time.Time
	// faults counts what clients got wrong (error limits).
	faults map[netip.Addr]*strikes
}

// triplet is what greylisting remembers.
type triplet struct {
	client   netip.Addr
	from, to string
}

// strikes is what an error limit remembers of one client.
type strikes struct {
	count  int
	last   time.Time // of the latest error
	closed time.Time // refused until then
}

func newProvider(w *World, m Manner, ip netip.Addr) *Provider {
	p := &Provider{Domain: m.domain, Host: m.host, IP: ip, Manner: m, w: w, seen: map[triplet]time.Time{}, faults: map[netip.Addr]*strikes{}}
	if p.Host == "" {
		p.Host = m.domain
	}
	return p
}

// Hosts reports whether an address is one of the provider's mailboxes.
func (p *Provider) Hosts(a mail.Address) bool {
	if p.Manner.anybody {
		return true
	}
	return string(a.Domain) == p.Domain && slices.Contains(users, strings.ToLower(a.Local))
}

// users are the mailboxes of every provider.
var users = []string{"camille", "dominique", "noor", "sacha", "postmaster"}

// NewSession implements smtp.Handler.
func (p *Provider) NewSession(_ context.Context, c *smtp.Conn) (smtp.Session, error) {
	if p.Manner.connect != nil {
		if err := p.Manner.connect(p, c); err != nil {
			return nil, err
		}
	}
	return visit{p, c}, nil
}

// visit is one connection to a provider.
type visit struct {
	p *Provider
	c *smtp.Conn
}

// Mail takes every sender: whom it believes is decided when it has read the message.
func (v visit) Mail(context.Context, *smtp.Transaction) error { return nil }

// Rcpt answers for one recipient.
func (v visit) Rcpt(_ context.Context, t *smtp.Transaction, r mail.Recipient) error {
	if v.p.Manner.rcpt != nil {
		if err := v.p.Manner.rcpt(v.p, v.c, t, r.Address); err != nil {
			return err
		}
	}
	if v.p.Hosts(r.Address) {
		return nil
	}
	return v.p.Manner.unknown(v.p, v.c, r.Address)
}

// Data takes a message or refuses it.
func (v visit) Data(ctx context.Context, t *smtp.Transaction, raw []byte) (smtp.Reply, error) {
	now := v.p.w.o.Now()
	l := Letter{At: now, Provider: v.p.Domain, ClientIP: v.c.ClientIP, Hello: v.c.Hello, TLS: v.c.TLS != nil, Envelope: t.Envelope, Raw: bytes.Clone(raw),
		Auth: authenticate(ctx, v.p.w.resolver, v.c, t.Envelope, raw, now)}
	if v.p.Manner.data != nil {
		if err := v.p.Manner.data(v.p, l); err != nil {
			return smtp.Reply{}, err
		}
	}
	v.p.w.keep(l)
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Lines: []string{"OK " + string(mail.NewQueueID(now))[8:18]}}, nil
}

// Close ends the visit.
func (v visit) Close() {}
