package world

import (
	"fmt"
	"strings"
	"time"

	"postern/internal/dkim"
	"postern/internal/dmarc"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/spf"
)

// The mail domains of the providers, each named after its manners.
const (
	Greylist  = "greylist.example"
	ErrLimit  = "error-limit.example"
	UserList  = "user-list.example"
	Authentic = "authentic.example"
	NoMX      = "no-mx.example"
	Home      = "senders.example" // the mailboxes of those who send
	NoMail    = "no-mail.example" // takes no mail and says so (RFC 7505); no provider
)

// homeHost takes the mail of all senders' domains.
const homeHost = "mx." + Home

// Manner is how a provider behaves. Functions may be nil.
type Manner struct {
	Key   string // for texts: world.manner.KEY
	Model string // whose published answers it follows; "" nobody's

	domain, host string
	anybody      bool // every address has a mailbox
	connect      func(p *Provider, c *smtp.Conn) error
	rcpt         func(p *Provider, c *smtp.Conn, t *smtp.Transaction, to mail.Address) error
	unknown      func(p *Provider, c *smtp.Conn, to mail.Address) error
	data         func(p *Provider, l Letter) error
}

// manners are the five providers and the senders' own mailboxes.
func manners() []Manner {
	return []Manner{
		{Key: "greylist", Model: "Yahoo", domain: Greylist, host: "mx." + Greylist, rcpt: greylist, unknown: nobody},
		{Key: "errlimit", Model: "Free", domain: ErrLimit, host: "mx1." + ErrLimit, connect: errorLimitAtDoor, rcpt: errorLimit, unknown: counted},
		{Key: "userlist", Model: "Orange", domain: UserList, host: "smtp-in." + UserList, unknown: noSuchMailbox},
		{Key: "authentic", Model: "Gmail", domain: Authentic, host: "mx." + Authentic, unknown: nobody, data: onlyAuthentic},
		{Key: "nomx", domain: NoMX, unknown: nobody},
		{Key: "home", domain: Home, host: homeHost, anybody: true, unknown: nobody},
	}
}

// maxRemembered bounds what a provider remembers of its clients.
const maxRemembered = 10_000

func refuse(code int, enhanced smtp.Enhanced, format string, args ...any) error {
	return &smtp.Error{Code: code, Enhanced: enhanced, Text: fmt.Sprintf(format, args...)}
}

// nobody is the plain answer about a mailbox that does not exist (RFC 5321 4.2.3).
func nobody(_ *Provider, _ *smtp.Conn, to mail.Address) error {
	return refuse(550, smtp.Enhanced{5, 1, 1}, "<%s>: Recipient address rejected: User unknown", to)
}

// greylist defers the first attempt of each client, sender and recipient. Yahoo's servers behave so towards addresses they do not know
// yet: [TSS04] deferrals that end by themselves when the sender keeps trying (Yahoo Sender Hub, SMTP error codes, read 2026-11).
func greylist(p *Provider, c *smtp.Conn, t *smtp.Transaction, to mail.Address) error {
	now := p.w.o.Now()
	key := triplet{c.ClientIP, strings.ToLower(t.Envelope.ReversePath.String()), strings.ToLower(to.String())}
	p.mu.Lock()
	defer p.mu.Unlock()
	first, known := p.seen[key]
	if !known {
		if len(p.seen) >= maxRemembered {
			clear(p.seen)
		}
		first = now
		p.seen[key] = now
	}
	if now.Sub(first) >= p.w.o.GreyFor {
		return nil
	}
	return refuse(451, smtp.Enhanced{4, 7, 1}, "[TSS04] Messages from %s temporarily deferred: greylisted, try again in %v", c.ClientIP, p.w.o.GreyFor)
}

// errorLimitAt is how many unknown users one client may ask for before it is refused.
const errorLimitAt = 3

// faultsFade is the time without a further error after which a client's errors are forgotten.
const faultsFade = time.Minute

// tooManyErrors is Free's answer to a client that asked for too many unknown users (postmaster.free.fr, read 2026-11).
func (p *Provider) tooManyErrors(c *smtp.Conn, code int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, now := p.faults[c.ClientIP], p.w.o.Now()
	switch {
	case s == nil || s.closed.IsZero():
		return nil
	case now.Before(s.closed):
		return refuse(code, smtp.Enhanced{4, 7, 0}, "Too many errors from your ip (%s), please visit http://postmaster.%s/", c.ClientIP, p.Domain)
	}
	delete(p.faults, c.ClientIP)
	return nil
}

func errorLimitAtDoor(p *Provider, c *smtp.Conn) error { return p.tooManyErrors(c, 421) }

func errorLimit(p *Provider, c *smtp.Conn, _ *smtp.Transaction, _ mail.Address) error {
	return p.tooManyErrors(c, 451)
}

// counted refuses an unknown user and counts the fault.
func counted(p *Provider, c *smtp.Conn, to mail.Address) error {
	now := p.w.o.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.faults[c.ClientIP]
	if s == nil || now.Sub(s.last) > faultsFade {
		if len(p.faults) >= maxRemembered {
			clear(p.faults)
		}
		s = &strikes{}
		p.faults[c.ClientIP] = s
	}
	s.last = now
	if s.count++; s.count >= errorLimitAt {
		s.closed = now.Add(p.w.o.PenaltyFor)
	}
	return refuse(550, smtp.Enhanced{5, 1, 1}, "User unknown: <%s>", to)
}

// noSuchMailbox is Orange's answer about a mailbox that does not exist, in both languages, with its code 416 (postmaster.orange.fr, read
// 2026-11).
func noSuchMailbox(p *Provider, _ *smtp.Conn, to mail.Address) error {
	return refuse(550, smtp.Enhanced{5, 1, 1}, "<%s> Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]", to)
}

// onlyAuthentic wants SPF or DKIM, respects an SPF record's hard failure and the DMARC policy, and says so in Gmail's words (Gmail SMTP
// errors and codes, 5.7.26, read 2026-11).
func onlyAuthentic(p *Provider, l Letter) error {
	a, code := l.Auth, smtp.Enhanced{5, 7, 26}
	switch {
	case a.SPF.Result == spf.TempError || a.DMARC.Result == dmarc.TempError:
		return refuse(451, smtp.Enhanced{4, 7, 24}, "The authentication of this message could not be checked, please try again later")
	case a.DMARC.Result == dmarc.Fail && a.DMARC.Applied == dmarc.ActReject:
		return refuse(550, code, "Unauthenticated email from %s is not accepted due to domain's DMARC policy. Please contact the administrator of %s domain if "+
			"this was a legitimate mail.", a.From, a.From)
	case a.SPF.Result == spf.Fail && a.DMARC.Result != dmarc.Pass:
		return refuse(550, code, "The MAIL FROM domain [%s] has an SPF record with a hard fail policy (-all) but it fails to pass SPF checks with the ip: [%s]. "+
			"To best protect our users from spam and phishing, the message has been blocked.", a.SPF.Domain, l.ClientIP)
	case a.SPF.Result != spf.Pass && len(a.DKIMPass()) == 0:
		return refuse(550, code, "This mail has been blocked because the sender is unauthenticated. This provider requires all senders to authenticate with either "+
			"SPF or DKIM. Authentication results: DKIM = %s, SPF [%s] with ip: [%s] = %s", dkimWord(a.DKIM), a.SPF.Domain, l.ClientIP, a.SPF.Result)
	}
	return nil
}

func dkimWord(signatures []dkim.Signature) string {
	if len(signatures) == 0 {
		return "none"
	}
	return "did not pass"
}
