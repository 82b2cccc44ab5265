package filter

import (
	"slices"
	"strings"

	"postern/internal/mail"
)

// Provider is a receiver that says what it asks of those who send to it. Its rules are data with a source and a date, so that they
// can be compared with what is published later.
type Provider struct {
	Key     string        // stored with verdicts: stable
	Name    string        // as its users know it, the same in every language
	Main    bool          // its card is made for every message, the others' only where a recipient is theirs
	Domains []mail.Domain // recipients' domains that are certainly its own
	MX      []string      // names of mail exchangers, or what they end in after a dot

	Daily int    // messages a day from which the rules for volume and bulk count; 0: it publishes no number
	URL   string // where it publishes them; "": nowhere
	Basis Basis
	Read  string // year and month

	Requirements []Requirement // in the order of the card
}

// Basis is how we know of a provider's rules.
type Basis string

// The bases.
const (
	BasisPage   Basis = "page"   // its page was read
	BasisCopy   Basis = "copy"   // quotations of its page were read
	BasisOthers Basis = "others" // it publishes no such page: what other senders and their tools report
)

// Requirement is one thing that a provider asks.
type Requirement struct {
	ID     string // one of the ids below; its texts are readiness.need.ID.*
	For    Scope
	Effect Effect
}

// Scope is whom a requirement is for.
type Scope string

// The scopes.
const (
	ForAll    Scope = "all"    // every sender, every message
	ForVolume Scope = "volume" // every message of senders of Provider.Daily messages or more
	ForBulk   Scope = "bulk"   // newsletters, advertising and lists of such senders
)

// Effect is what happens to mail that does not meet a requirement.
type Effect string

// The effects.
const (
	EffectRefuse Effect = "refuse" // it may be refused
	EffectSpam   Effect = "spam"   // it may be filed as spam, or the reputation suffers
	EffectAdvice Effect = "advice" // nothing for certain: the provider advises it
	EffectNote   Effect = "note"   // cannot be seen in one message: named so that it is known
)

// The ids of requirements. They are stored with verdicts.
const (
	NeedSPFOrDKIM     = "spf_or_dkim"
	NeedSPF           = "spf"
	NeedSPFNoFail     = "spf_no_fail"
	NeedSPFAligned    = "spf_aligned"
	NeedDKIM          = "dkim"
	NeedDKIMAligned   = "dkim_aligned"
	NeedDKIMKey       = "dkim_key_size"
	NeedAligned       = "aligned"
	NeedDMARC         = "dmarc_record"
	NeedDMARCReports  = "dmarc_rua"
	NeedDMARCPass     = "dmarc_pass"
	NeedPTR           = "ptr_forward"
	NeedHello         = "helo_fqdn"
	NeedTLS           = "tls"
	NeedForm          = "rfc5322_form"
	NeedFromDomain    = "from_domain_mx_a"
	NeedOneClick      = "one_click"
	NeedBodyLink      = "unsubscribe_body"
	NeedFeedbackID    = "feedback_id"
	NeedComplaintRate = "complaint_rate"
	NeedLimits        = "limits"
	NeedConsent       = "consent"
	NeedAddresses     = "known_addresses"
)

// Providers returns the table, the main ones first.
func Providers() []Provider { return slices.Clone(providerTable) }

var providerTable = []Provider{
	{
		// Google's guidelines for senders: in force since February 2024, refusals since November 2025. They name personal accounts.
		Key: "google", Name: "Gmail", Main: true, Daily: 5000, Basis: BasisCopy, Read: "2026-11",
		URL:     "https://support.google.com/a/answer/81126",
		Domains: []mail.Domain{"gmail.com", "googlemail.com"},
		MX:      []string{"gmail-smtp-in.l.google.com"},
		Requirements: []Requirement{
			{NeedSPFOrDKIM, ForAll, EffectRefuse},
			{NeedPTR, ForAll, EffectRefuse},
			{NeedTLS, ForAll, EffectRefuse},
			{NeedForm, ForAll, EffectRefuse},
			{NeedSPF, ForVolume, EffectRefuse},
			{NeedDKIM, ForVolume, EffectRefuse},
			{NeedDMARC, ForVolume, EffectRefuse},
			{NeedDMARCPass, ForVolume, EffectRefuse},
			{NeedDKIMAligned, ForVolume, EffectAdvice}, // "both" is announced as a later requirement
			{NeedDKIMKey, ForAll, EffectAdvice},        // 1024 bits asked, 2048 advised
			{NeedOneClick, ForBulk, EffectSpam},
			{NeedBodyLink, ForBulk, EffectSpam},
			{NeedFeedbackID, ForBulk, EffectAdvice}, // for the figures of Postmaster Tools
			{NeedComplaintRate, ForAll, EffectNote},
		},
	},
	{
		// Yahoo Sender Hub: the same date as Google; it says that it publishes no number. Covers AOL and AT&T, not Yahoo Japan.
		Key: "yahoo", Name: "Yahoo", Main: true, Basis: BasisCopy, Read: "2026-11",
		URL: "https://senders.yahooinc.com/best-practices/",
		Domains: []mail.Domain{"yahoo.com", "yahoo.fr", "yahoo.co.uk", "yahoo.de", "yahoo.es", "yahoo.it", "yahoo.ca", "yahoo.com.br", "yahoo.co.in",
			"ymail.com", "rocketmail.com", "aol.com", "aol.fr", "aim.com", "att.net", "sbcglobal.net", "bellsouth.net", "verizon.net"},
		MX: []string{"yahoodns.net"},
		Requirements: []Requirement{
			{NeedSPFOrDKIM, ForAll, EffectRefuse},
			{NeedPTR, ForAll, EffectRefuse},
			{NeedForm, ForAll, EffectRefuse},
			{NeedSPF, ForVolume, EffectRefuse},
			{NeedDKIM, ForVolume, EffectRefuse},
			{NeedDKIMKey, ForVolume, EffectSpam}, // 1024 bits asked, 2048 advised; Ed25519 is not verified there
			{NeedDMARC, ForVolume, EffectRefuse},
			{NeedDMARCPass, ForVolume, EffectRefuse},
			{NeedDMARCReports, ForVolume, EffectAdvice},
			{NeedOneClick, ForBulk, EffectSpam},
			{NeedBodyLink, ForBulk, EffectSpam},
			{NeedComplaintRate, ForAll, EffectNote},
			{NeedLimits, ForAll, EffectNote},
		},
	},
	{
		// Microsoft's consumer service: refusals with 550 5.7.515 since 5 May 2025. PTR, form and unsubscribing: its older policies.
		Key: "microsoft", Name: "Outlook/Hotmail", Main: true, Daily: 5000, Basis: BasisCopy, Read: "2026-11",
		URL: "https://substrate.office.com/ip-domain-management-snds/postmaster",
		Domains: []mail.Domain{"outlook.com", "outlook.fr", "hotmail.com", "hotmail.fr", "hotmail.co.uk", "hotmail.de", "hotmail.it", "hotmail.es", "live.com",
			"live.fr", "live.co.uk", "msn.com", "windowslive.com"},
		MX: []string{"olc.protection.outlook.com"},
		Requirements: []Requirement{
			{NeedPTR, ForAll, EffectSpam},
			{NeedForm, ForAll, EffectSpam},
			{NeedSPF, ForVolume, EffectRefuse},
			{NeedDKIM, ForVolume, EffectRefuse},
			{NeedDKIMKey, ForVolume, EffectSpam}, // Ed25519 is not verified there
			{NeedDMARC, ForVolume, EffectRefuse},
			{NeedDMARCPass, ForVolume, EffectRefuse},
			{NeedSPFAligned, ForVolume, EffectAdvice}, // "preferably both"
			{NeedDKIMAligned, ForVolume, EffectAdvice},
			{NeedFromDomain, ForVolume, EffectAdvice}, // addresses of From and Reply-To that can be answered
			{NeedBodyLink, ForBulk, EffectSpam},
		},
	},
	{
		// Postmaster pages of Orange, as of 15 May and 1 September 2026: SPF, DKIM and DMARC must all pass.
		Key: "orange", Name: "Orange", Main: true, Daily: 1000, Basis: BasisCopy, Read: "2026-11",
		URL:     "https://postmaster.orange.fr/",
		Domains: []mail.Domain{"orange.fr", "wanadoo.fr"},
		MX:      []string{"orange.fr", "wanadoo.fr"},
		Requirements: []Requirement{
			{NeedSPF, ForAll, EffectRefuse},
			{NeedDKIM, ForAll, EffectRefuse},
			{NeedDMARC, ForAll, EffectRefuse},
			{NeedDMARCPass, ForAll, EffectRefuse},
			{NeedPTR, ForAll, EffectRefuse},
			{NeedHello, ForAll, EffectRefuse},
			{NeedFromDomain, ForAll, EffectRefuse},
			{NeedForm, ForAll, EffectRefuse},
			{NeedTLS, ForAll, EffectAdvice}, // 1.2 or later
			{NeedOneClick, ForBulk, EffectSpam},
			{NeedFeedbackID, ForBulk, EffectSpam},
			{NeedComplaintRate, ForAll, EffectNote},
			{NeedConsent, ForBulk, EffectNote},
			{NeedLimits, ForAll, EffectNote},
		},
	},
	{
		// Technical specifications of laposte.net; since 9 September 2025 SPF and DKIM count only when aligned with From.
		Key: "laposte", Name: "La Poste", Main: true, Basis: BasisPage, Read: "2026-11",
		URL:     "https://postmaster.laposte.net/contents/quelles-sont-les-specifications-techniques-a-respecter-pour-emettre-des-emails-vers-laposte-net",
		Domains: []mail.Domain{"laposte.net"},
		MX:      []string{"laposte.net"},
		Requirements: []Requirement{
			{NeedPTR, ForAll, EffectRefuse},
			{NeedSPFNoFail, ForAll, EffectRefuse},
			{NeedAligned, ForAll, EffectSpam},
			{NeedDMARC, ForAll, EffectSpam},
			{NeedDMARCPass, ForAll, EffectSpam},    // its policy is followed
			{NeedDMARCReports, ForAll, EffectSpam}, // p=none without rua is not enough
			{NeedDKIM, ForAll, EffectAdvice},
			{NeedLimits, ForAll, EffectNote},
		},
	},
	{
		// iCloud Mail: rules for bulk mail, without a number.
		Key: "apple", Name: "iCloud", Basis: BasisCopy, Read: "2026-11",
		URL:     "https://support.apple.com/102322",
		Domains: []mail.Domain{"icloud.com", "me.com", "mac.com"},
		MX:      []string{"mail.icloud.com"},
		Requirements: []Requirement{
			{NeedPTR, ForVolume, EffectRefuse},
			{NeedSPF, ForVolume, EffectRefuse},
			{NeedDKIM, ForVolume, EffectRefuse},
			{NeedDMARC, ForVolume, EffectRefuse},
			{NeedDMARCPass, ForVolume, EffectRefuse},
			{NeedForm, ForVolume, EffectRefuse},
			{NeedBodyLink, ForBulk, EffectRefuse},
			{NeedConsent, ForBulk, EffectNote},
		},
	},
	{
		// SFR publishes nothing that can be reached; its refusals name spam, viruses, protocol errors, unknown users and volume.
		Key: "sfr", Name: "SFR", Basis: BasisOthers, Read: "2026-11",
		Domains: []mail.Domain{"sfr.fr", "neuf.fr", "numericable.fr", "club-internet.fr", "cegetel.net", "noos.fr", "9online.fr"},
		MX:      []string{"sfr.fr"},
		Requirements: []Requirement{
			{NeedAddresses, ForAll, EffectNote},
			{NeedComplaintRate, ForAll, EffectNote},
		},
	},
	{
		// Free counts spam and errors for each address, and blocks for up to 24 hours; no rule on SPF, DKIM or DMARC.
		Key: "free", Name: "Free", Basis: BasisPage, Read: "2026-11",
		URL:     "https://postmaster.free.fr/",
		Domains: []mail.Domain{"free.fr"},
		MX:      []string{"mx1.free.fr", "mx2.free.fr"},
		Requirements: []Requirement{
			{NeedAddresses, ForAll, EffectNote},
		},
	},
}

// providerOf finds a provider of the table by its key.
func providerOf(key string) (Provider, bool) {
	for _, p := range providerTable {
		if p.Key == key {
			return p, true
		}
	}
	return Provider{}, false
}

// Takes reports whether mail for a domain, with these mail exchangers (as far as known), goes to the provider.
func (p Provider) Takes(d mail.Domain, exchangers []string) bool {
	if slices.Contains(p.Domains, d) {
		return true
	}
	return slices.ContainsFunc(exchangers, func(host string) bool {
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		return slices.ContainsFunc(p.MX, func(name string) bool { return host == name || strings.HasSuffix(host, "."+name) })
	})
}

// Requirement returns what the provider asks under an id.
func (p Provider) Requirement(id string) (Requirement, bool) {
	for _, r := range p.Requirements {
		if r.ID == id {
			return r, true
		}
	}
	return Requirement{}, false
}
