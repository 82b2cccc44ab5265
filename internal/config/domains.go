package config

import (
	"strings"

	"postern/internal/mail"
	"postern/internal/tree"
)

// Domains says how senders set up their domains.
type Domains struct {
	SelfService  bool         `key:"self_service"`
	SPFInclude   string       `key:"spf_include"`   // "" = addresses are named one by one
	DMARCReports mail.Address `key:"dmarc_reports"` // null = an address of the sender's domain
}

func domainKeys() []Key {
	return []Key{
		{Path: "domains", Doc: "How senders set up their domains; see domains.md in the manual."},
		{Path: "domains.self_service", Default: "true", Restart: true, Doc: "Customers of the database may add a domain themselves on the pages, once a TXT record proves that it is theirs. false: only operators add domains."},
		{Path: "domains.spf_include", Unit: "DNS name", Sample: "_spf.example.org", Restart: true, Doc: "Name whose SPF record holds all addresses mail leaves from. Senders are then told to publish include: with this name, else the addresses themselves."},
		{Path: "domains.dmarc_reports", Unit: "mail address", Sample: "dmarc@example.org", Restart: true, Doc: "Address for DMARC reports that senders are told to publish. In another domain than theirs it takes reports only where that domain says so in DNS; the page shows the record. Empty: reports.address where a listener takes reports, else an address of the sender's own domain."},
	}
}

// domains looks whether the include is a name that can hold a record. Its labels may begin with an underscore.
func (v *validation) domains() {
	name := v.Domains.SPFInclude
	if name == "" {
		return
	}
	if d, err := mail.ParseDomain(strings.ReplaceAll(name, "_", "x")); err != nil || !strings.Contains(string(d), ".") || strings.HasSuffix(name, ".") {
		v.bad("domains.spf_include", "%q is no DNS name; expected one like _spf.example.org", tree.Clip(name))
	}
}
