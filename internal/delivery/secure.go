package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/smtp"
	"postern/internal/tlspolicy"
)

// policyTimeout bounds the wait for a domain's TLS policy while a connection slot is taken. A policy host that is slower is asked on in the
// background, and counts for the next message.
const policyTimeout = 30 * time.Second

// meansTLS is a server whose TLS is not what the mail must have.
var meansTLS = provider.Meaning{Category: provider.FailedStartTLS, Party: provider.RecipientDomain}

// secure opens a connection to one address of a destination from an egress address, greets, and gives it the TLS that the policy of the
// recipient's domain asks for (tlspolicy.Book.For, Config), with the letter's own wish (REQUIRETLS) and the provider's (Limits.TLS) in the
// question. It returns a connection that may carry this letter and every other one of the same route (see tlsDemands), or why there is none:
//
//   - *smtp.Error (found with errors.As): the server answered, and refused us;
//   - *trouble: the policy forbids this exchanger, or cannot be known now; its words reach the sender. Permanent only for REQUIRETLS;
//   - smtp.ErrLocalAddr: the egress address is not on this machine;
//   - anything else: nobody answered as it should.
//
// Where the policy demands TLS there is no way back to plain text. It records what came of TLS (tlspolicy.Book.Record). Opening is bounded by
// Options.Timeouts; reach tries the next address after an error.
func (d *Delivery) secure(ctx context.Context, t target, e shaping.Egress, dst *destination, l *letter) (*link, error) {
	s := securing{d: d, t: t, e: e, l: l, q: d.tlsQuestion(dst, l)}
	s.q.Exchanger, s.q.Addr, s.q.AddrSigned = t.host, t.addr.Addr(), t.signed
	s.p = d.tlsPolicy(ctx, s.q)
	switch {
	case s.p.Deferred != "":
		s.record(tlspolicy.DNSSECInvalid, s.p.Deferred)
		return nil, s.forbid(451, "4.7.5", "%s is not used: %s", t, s.p.Deferred)
	case s.p.Refused != "":
		s.record(tlspolicy.ValidationFailed, s.p.Refused)
		return nil, s.forbid(451, "4.7.5", "%s is not used: %s", t, s.p.Refused)
	}
	for plain := s.p.Mode == tlspolicy.None; ; plain = true {
		c, err := smtp.Dial(ctx, t.addr, smtp.ClientOptions{Hostname: e.HELO, LocalAddr: e.IP, Dial: d.o.Dial, Timeouts: d.o.Timeouts})
		if err != nil {
			return nil, err
		}
		if plain {
			return s.link(c), nil
		}
		if s.from = e.IP; !s.from.IsValid() {
			s.from = c.LocalAddr().Addr().Unmap() // the system chose it
		}
		k, err := s.encrypt(ctx, c)
		if k != nil || err != nil {
			return k, err
		}
	}
}

// securing is one call of secure.
type securing struct {
	d *Delivery
	t target
	e shaping.Egress
	l *letter
	q tlspolicy.Question
	p tlspolicy.Policy

	from netip.Addr // where we speak from, once a connection is open
}

func (s *securing) link(c *smtp.Client) *link {
	return &link{Client: c, host: s.t.String(), egress: s.e.IP}
}

// encrypt starts TLS on a fresh connection, or says why it may not be used. Neither: try again without TLS.
func (s *securing) encrypt(ctx context.Context, c *smtp.Client) (*link, error) {
	demanded := s.p.Mode.Demanded()
	if _, offered := c.Extension("STARTTLS"); !offered {
		s.record(tlspolicy.NoSTARTTLS, "STARTTLS is not offered")
		if !demanded {
			return s.link(c), nil
		}
		s.leave(ctx, c)
		return nil, s.lack("5.7.10", "%s does not offer TLS, and %s demands it", s.t, s.who())
	}
	err := c.StartTLS(ctx, s.d.tlsConfig(s.p, s.q))
	if err == nil {
		return s.agreed(ctx, c)
	}
	_ = c.Close()
	if ctx.Err() != nil {
		return nil, err
	}
	result, words := tlspolicy.Failure(err)
	var said *smtp.Error
	refused := errors.As(err, &said)
	if refused {
		result = tlspolicy.NoSTARTTLS
	}
	s.record(result, words)
	if !demanded {
		s.d.o.Logger.Info("STARTTLS failed, trying without", "host", s.t.String(), "refused", refused, "error", err)
		return nil, nil
	}
	var unfit *tlspolicy.VerifyError
	if errors.As(err, &unfit) {
		return nil, s.lack("5.7.10", "the TLS of %s does not satisfy %s: %s", s.t, s.who(), words)
	}
	return nil, s.forbid(451, "4.7.5", "TLS with %s failed, and %s demands it: %s", s.t, s.who(), words)
}

// agreed is a connection under TLS. A letter with REQUIRETLS needs a server that promises to demand the same (RFC 8689 4.2.1).
func (s *securing) agreed(ctx context.Context, c *smtp.Client) (*link, error) {
	failure, words := "", ""
	if s.d.o.TLS != nil {
		failure, words = s.d.o.TLS.Check(s.p, s.q, c.TLS())
	}
	s.record(failure, words)
	if _, promised := c.Extension("REQUIRETLS"); s.q.RequireTLS && !promised {
		s.leave(ctx, c)
		return nil, s.forbid(550, "5.7.30", "%s does not offer REQUIRETLS, which the sender demands for this message", s.t)
	}
	return s.link(c), nil
}

// leave ends a connection that may not be used, in good manners.
func (s *securing) leave(ctx context.Context, c *smtp.Client) {
	ctx, cancel := context.WithTimeout(ctx, s.d.o.Timeouts.Quit)
	defer cancel()
	_ = c.Quit(ctx) // nothing was asked of the server
	_ = c.Close()
}

// who demands TLS, for people.
func (s *securing) who() string {
	switch s.p.Source {
	case tlspolicy.SourceDANE:
		return "DANE (TLSA records of " + s.t.host + ")"
	case tlspolicy.SourceSTS:
		return "the MTA-STS policy of " + string(s.q.Domain)
	case tlspolicy.SourceRequireTLS:
		return "the sender (REQUIRETLS)"
	case tlspolicy.SourceProvider:
		return "the provider"
	}
	return "a rule of this gateway (delivery.tls_rules)"
}

// lack is a server that has not got what is demanded. The mail waits, for the domain's own mistake is mended sooner or later; a message with
// REQUIRETLS does not (RFC 8689 4.2.1), and permanent is its code.
func (s *securing) lack(permanent, format string, args ...any) *trouble {
	if s.q.RequireTLS && s.p.Source == tlspolicy.SourceRequireTLS {
		return s.forbid(550, permanent, format, args...)
	}
	return s.forbid(451, "4.7.5", format, args...)
}

func (s *securing) forbid(code int, enhanced, format string, args ...any) *trouble {
	m := meansTLS
	m.Permanent = code >= 500
	if s.p.Source == tlspolicy.SourceProvider {
		m.Party = provider.OfProvider
	}
	return &trouble{code, enhanced, fmt.Sprintf(format, args...), m}
}

// record counts what came of TLS.
func (s *securing) record(failure, detail string) {
	if s.d.o.TLS != nil {
		s.d.o.TLS.Record(tlspolicy.Result{Question: s.q, Policy: s.p, At: s.d.o.Now(), Egress: s.from, Failure: failure, Detail: detail})
	}
}

// forGood reports whether an error of secure will be the same at every later attempt.
func forGood(err error) bool {
	var t *trouble
	return errors.As(err, &t) && t.code >= 500
}

// tlsQuestion is what is asked of the book about a letter to a destination, whatever the exchanger.
func (d *Delivery) tlsQuestion(dst *destination, l *letter) tlspolicy.Question {
	q := tlspolicy.Question{Domain: dst.domain, Authentic: dst.signed, RequireTLS: l.Envelope.RequireTLS, TLSOptional: l.Envelope.TLSOptional}
	if dst.provider != nil {
		q.Provider = dst.provider.Limits.TLS
	}
	return q
}

// tlsPolicy is the policy for one exchanger; without a book it is encryption where it is offered.
func (d *Delivery) tlsPolicy(ctx context.Context, q tlspolicy.Question) tlspolicy.Policy {
	switch {
	case d.o.TLS != nil:
		ctx, cancel := context.WithTimeout(ctx, policyTimeout)
		defer cancel()
		return d.o.TLS.For(ctx, q)
	case q.RequireTLS:
		return tlspolicy.Policy{Mode: tlspolicy.Verified, Source: tlspolicy.SourceRequireTLS}
	case d.tune.Load().NoTLS:
		return tlspolicy.Policy{Mode: tlspolicy.None, Source: tlspolicy.SourceDefault}
	}
	return tlspolicy.Policy{Mode: tlspolicy.Opportunistic, Source: tlspolicy.SourceDefault}
}

func (d *Delivery) tlsConfig(p tlspolicy.Policy, q tlspolicy.Question) *tls.Config {
	switch {
	case d.o.TLS != nil:
		return d.o.TLS.Config(p, q)
	case p.Mode == tlspolicy.Verified:
		return &tls.Config{ServerName: q.Exchanger, RootCAs: d.o.RootCAs, MinVersion: tls.VersionTLS12}
	}
	return opportunistic(q.Exchanger)
}

// tlsDemands is what the TLS policy adds to the route of a letter to a destination: connections are shared only between letters whose
// exchangers and demands are the same. It does not wait: it is asked for each message.
func (d *Delivery) tlsDemands(dst *destination, l *letter) string {
	if d.o.TLS == nil {
		if l.Envelope.RequireTLS {
			return "requiretls"
		}
		return ""
	}
	word := d.o.TLS.Local(d.tlsQuestion(dst, l))
	if dst.alone && !l.Envelope.TLSOptional {
		word += " for " + string(dst.domain)
	}
	return word
}

// opportunistic is the TLS of mail exchangers: encryption without identity (RFC 7435); a certificate proves nothing where
// the MX name came unauthenticated from DNS.
func opportunistic(host string) *tls.Config {
	return &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
}
