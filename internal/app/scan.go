package app

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"

	"postern/internal/account"
	"postern/internal/config"
	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/filter"
	"postern/internal/mail"
)

// Scanner is the filter of a configuration alone, without a gateway around it: for `postern scan`. It opens no database, so it knows no
// signing keys and no customers. Make one with NewScanner.
type Scanner struct {
	filter    *filter.Filter
	rules     *filter.RuleBook
	threshold float64
	egress    []account.Egress
}

// ScanInput is one message and what is known of its sending.
type ScanInput struct {
	Raw      []byte        // for RuleScanner, as it stands in the file
	Message  *mail.Message // for Scanner: parsed, with CRLF lines
	Envelope mail.Envelope
	IP       netip.Addr // the address it leaves from; invalid: those of the default pool
	Hello    string     // the name said in EHLO from there
}

var errLocal = errors.New("not asked (--local)")

// offline answers every question with "try later", so that what needs the network is shown as not measured.
type offline struct{}

// Query is dns.Resolver's.
func (offline) Query(context.Context, string, dns.Type) dns.Answer {
	return dns.Answer{Status: dns.TryLater, Err: errLocal}
}

// NewScanner makes the filter of a configuration. A local one asks no network. classify says how like spam a message is; nil: nobody is
// asked.
func NewScanner(c *config.Config, local bool, classify filter.Classify, log *slog.Logger) (*Scanner, error) {
	a := &App{log: log, guard: dnsbl.NewGuard(nil)}
	if err := a.openRules(c); err != nil {
		return nil, err
	}
	o := a.filterOptions(c, offline{})
	if local {
		o.Lists, o.Opinions, o.Offline = []dnsbl.List{}, nil, true
	} else {
		r := dnsOptions(c, log)
		resolver, err := dns.New(r)
		if err != nil {
			return nil, err
		}
		o.Resolver = resolver
	}
	o.Accounts, o.Unsigned, o.Disabled, o.Classify = nil, true, false, classify
	f, err := filter.New(o)
	if err != nil {
		return nil, err
	}
	s := &Scanner{filter: f, rules: a.rules, threshold: c.Filter.Threshold}
	for _, p := range c.Delivery.AccountPools() {
		if p.Name == account.DefaultPool {
			s.egress = p.Egress
		}
	}
	return s, nil
}

// Rule is the definition of a rule, "" of a test that is none.
func (s *Scanner) Rule(test string) string { return s.rules.Definition(test) }

// Scan tests one message.
func (s *Scanner) Scan(ctx context.Context, in ScanInput) (filter.Verdict, error) {
	x := filter.Input{Message: in.Message, Envelope: in.Envelope, Hello: in.Hello, Egress: s.egress,
		Customer: account.Customer{Threshold: s.threshold}}
	if in.IP.IsValid() {
		x.Egress = []account.Egress{{IP: in.IP, HELO: in.Hello}}
	}
	return s.filter.Run(ctx, x)
}
