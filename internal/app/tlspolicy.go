package app

import (
	"context"

	"postern/internal/config"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/tlspolicy"
)

// openTLSPolicy makes the book of TLS policies.
func (a *App) openTLSPolicy(c *config.Config) (*tlspolicy.Book, error) {
	from := c.Notice.From.Domain
	if from == "" {
		from = mail.Domain(a.host)
	}
	contact := c.Notice.Operator
	if contact.IsNull() {
		contact = c.Notice.From
	}
	o := tlspolicy.Options{DB: a.mainDB, Resolver: a.resolver, Port: c.Delivery.Port, Tuning: tlsTuning(c), Logger: a.log,
		Organization: c.Notice.Name, Submitter: string(from), Send: a.sendTLSReport}
	if !contact.IsNull() {
		o.Contact = contact.String()
	}
	var err error
	a.tlsPolicy, err = tlspolicy.New(o)
	return a.tlsPolicy, err
}

// tlsTuning is the configuration in the words of the room. Reports name an address to write to, so there are none without.
func tlsTuning(c *config.Config) tlspolicy.Tuning {
	t := tlspolicy.Tuning{Default: tlspolicy.Mode(c.Delivery.TLS), Private: c.Delivery.Private, Reports: c.Delivery.TLSReports && !c.Notice.From.IsNull()}
	for _, r := range c.Delivery.TLSRules {
		t.Rules = append(t.Rules, tlspolicy.Rule{Domain: string(r.Domain), Exchanger: string(r.Exchanger), Mode: tlspolicy.Mode(r.TLS)})
	}
	return t
}

// sendTLSReport mails a report about TLS.
func (a *App) sendTLSReport(ctx context.Context, to mail.Address, subject, filename string, gz []byte, about string) error {
	from := a.config.Load().Notice.From.Domain
	return a.notices.SendTLSReport(ctx, notice.TLSReport{To: to, Subject: subject, Filename: filename, GZ: gz, Domain: about, Submitter: string(from)})
}

// keepsRequireTLS reports whether a message's wish for TLS on the whole way can be kept (RFC 8689): a smarthost must show who it is.
func keepsRequireTLS(d config.Delivery) bool {
	return d.Smarthost.Host == "" || d.Smarthost.TLS == "required" || d.Smarthost.TLS == "implicit"
}
