package config

import (
	"time"

	"postern/internal/mail"
)

// Reports says where receivers send what they report about our domains, and what is kept of it; see package aggregate.
type Reports struct {
	Address mail.Address  `key:"address"` // null = see Config.ReportAddress
	TLS     mail.Address  `key:"tls"`     // null = see Config.TLSReportAddress
	Domains []mail.Domain `key:"domains"`
	Keep    time.Duration `key:"keep"`
	Max     Size          `key:"max"`

	Unauthenticated string `key:"unauthenticated"` // show, count, refuse: see aggregate.Unproven
}

func reportKeys() []Key {
	return []Key{
		{Path: "reports", Doc: "What receivers report about the domains of senders: DMARC and TLS reports; see reports.md in the manual."},
		{Path: "reports.address", Unit: "mail address", Sample: "dmarc@reports.example.org", Restart: true, Doc: "DMARC reports to this address are read. The MX of its domain must lead to the listener that takes what comes back (listen.bounces, or delivery.return_path.at_relay). Empty: dmarc at delivery.return_path.domain; without that, reports come by upload only."},
		{Path: "reports.tls", Unit: "mail address", Sample: "tlsrpt@reports.example.org", Restart: true, Doc: "TLS reports to this address are read. Empty: tlsrpt at the domain of reports.address."},
		{Path: "reports.domains", Default: "[]", Unit: "list of domains", Sample: "[example.org]", Restart: true, Doc: "Further domains whose reports are kept, beside those of customers: the operator's own. Reports about other domains are not kept."},
		{Path: "reports.keep", Default: "400d", Unit: timeUnit, Min: "30d", Max: "3650d", Restart: true, Doc: "How long figures are kept. Failure reports, which speak of persons, go after 14 days."},
		{Path: "reports.unauthenticated", Default: "show", Enum: []string{"show", "count", "refuse"}, Restart: true, Doc: "What is done with reports whose mail is not authenticated as their reporter's (SPF or DKIM in alignment with From), so that anybody may have written them. show: their figures are shown apart and count neither in advice nor in alarms. count: they count like all others. refuse: they are not summed; they wait with those that could not be read. Files that somebody uploads are trusted."},
		{Path: "reports.max", Default: "25MB", Unit: sizeUnit, Min: "100KB", Max: "32MB", Restart: true, Doc: "The longest mail with a report."},
	}
}

// ReportAddress is where DMARC reports are taken, null when they are not.
func (c *Config) ReportAddress() mail.Address {
	switch {
	case !c.Reports.Address.IsNull():
		return c.Reports.Address
	case c.Delivery.ReturnPath.Domain != "":
		return mail.Address{Local: "dmarc", Domain: c.Delivery.ReturnPath.Domain}
	}
	return mail.Address{}
}

// TLSReportAddress is where TLS reports are taken, null when they are not.
func (c *Config) TLSReportAddress() mail.Address {
	if !c.Reports.TLS.IsNull() {
		return c.Reports.TLS
	}
	a := c.ReportAddress()
	if !a.IsNull() {
		a.Local = "tlsrpt"
	}
	return a
}

// reports looks whether anything leads to the addresses.
func (v *validation) reports() {
	own := !v.Reports.Address.IsNull() || !v.Reports.TLS.IsNull()
	if own && len(v.Listen.Bounces) == 0 && !(v.Delivery.ReturnPath.AtRelay && len(v.Listen.Relay.Address) > 0) {
		v.doubt("reports.address", "no listener takes reports; set listen.bounces, or delivery.return_path.at_relay with listen.relay")
	}
}
