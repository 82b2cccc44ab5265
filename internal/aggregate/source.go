package aggregate

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"

	"postern/internal/dns"
	"postern/internal/store"
)

// Class says what a source is to the domain.
type Class string

// The classes.
const (
	ClassOwn       Class = "own"       // one of our addresses, or a person said so
	ClassPasses    Class = "passes"    // its mail passes: the domain's SPF or DKIM vouch for it
	ClassPartly    Class = "partly"    // some of its mail passes, some does not
	ClassForwarder Class = "forwarder" // receivers say that it forwards
	ClassService   Class = "service"   // a known service by its confirmed name, whose mail does not pass
	ClassUnknown   Class = "unknown"   // nobody vouches for it
	ClassForeign   Class = "foreign"   // a person said that it does not send for the domain
)

// Classes returns all of them.
func Classes() []Class {
	return []Class{ClassOwn, ClassPasses, ClassPartly, ClassService, ClassForwarder, ClassUnknown, ClassForeign}
}

// NameState says what is known of a source's name.
type NameState int64

// The states.
const (
	NameToAsk       NameState = 0
	NameConfirmed   NameState = 1 // the name leads back to the address
	NameUnconfirmed NameState = 2 // it does not: anybody can write any name there
	NameNone        NameState = 3
	NameNoAnswer    NameState = 4
)

// Source is an address that sends in the domain's name.
type Source struct {
	Text      string     // the address; "": sources without one, or beyond MaxSources of a report
	IP        netip.Addr // invalid for that
	Name      string     // of the reverse tree; believe it only when Named is NameConfirmed
	Named     NameState
	Service   string // whose it is by its confirmed name, "" not known
	Class     Class
	Ours      bool   // one of our own addresses
	Mark      string // MarkOwn, MarkForeign or ""
	Days      int    // on which it was seen
	Last      time.Time
	Forwarded int64 // messages of which a receiver says that they were forwarded
	Sum
	Unproven  Part  // of it, by reports whose mail is not authenticated
	forwarded int64 // of Forwarded, by such reports
	all       bool  // what is unproven counts too
}

// counted is the source by the reports that count; false: none of them names it.
func (s Source) counted() (Source, bool) {
	if s.all || s.Unproven.Messages == 0 {
		return s, true
	}
	s.Sum = s.Sum.less(s.Unproven)
	s.Forwarded -= s.forwarded
	s.Unproven, s.forwarded = Part{}, 0
	return s, s.Messages > 0
}

// countedOf are sources by the reports that count.
func countedOf(all []Source) []Source {
	out := make([]Source, 0, len(all))
	for i := range all {
		if s, ok := all[i].counted(); ok {
			out = append(out, s)
		}
	}
	return out
}

// Guessed reports whether only reports whose mail is not authenticated name the source, and such do not count.
func (s *Source) Guessed() bool {
	return !s.all && s.Unproven.Messages > 0 && s.Unproven.Messages == s.Messages
}

// Failed are the messages that did not pass.
func (s *Source) Failed() int64 { return s.Messages - s.Passed }

// Alarming reports whether the owner should look at it: nobody knows it, and a report that counts names it.
func (s *Source) Alarming() bool {
	return (s.Class == ClassUnknown || s.Class == ClassService) && !s.Guessed()
}

// classify puts the source into its class.
func (s *Source) classify(own map[netip.Addr]bool) {
	s.IP, _ = netip.ParseAddr(s.Text)
	if s.Named == NameConfirmed {
		s.Service = serviceOf(s.Name)
	}
	s.Ours = s.IP.IsValid() && own[s.IP]
	by, ok := s.counted() // what nobody vouches for changes no class, but it is all that is known of some
	if !ok {
		by = *s
	}
	switch {
	case s.Mark == MarkForeign:
		s.Class = ClassForeign
	case s.Mark == MarkOwn || s.Ours:
		s.Class = ClassOwn
	case by.Messages > 0 && by.Passed*10 >= by.Messages*9:
		s.Class = ClassPasses
	case by.Forwarded*2 >= by.Messages && by.Forwarded > 0:
		s.Class = ClassForwarder
	case by.Passed > 0:
		s.Class = ClassPartly
	case s.Service != "":
		s.Class = ClassService
	default:
		s.Class = ClassUnknown
	}
}

// services are senders for others by the registrable domain of their confirmed names (their own pages on sending addresses, read 2026-11).
var services = map[string]string{
	"google.com": "Google", "googlemail.com": "Google", "outlook.com": "Microsoft 365", "hotmail.com": "Microsoft Outlook.com", "microsoft.com": "Microsoft",
	"amazonses.com": "Amazon SES", "amazonaws.com": "Amazon AWS", "sendgrid.net": "Twilio SendGrid", "mailgun.net": "Mailgun", "mailgun.org": "Mailgun", "mailjet.com": "Mailjet",
	"sendinblue.com": "Brevo", "brevo.com": "Brevo", "sender-sib.com": "Brevo", "mailin.fr": "Brevo", "mcsv.net": "Mailchimp", "mcdlv.net": "Mailchimp", "rsgsv.net": "Mailchimp", "mailchimp.com": "Mailchimp",
	"mandrillapp.com": "Mailchimp Transactional", "postmarkapp.com": "Postmark", "mtasv.net": "Postmark", "sparkpostmail.com": "SparkPost", "sparkpost.com": "SparkPost",
	"exacttarget.com": "Salesforce Marketing Cloud", "salesforce.com": "Salesforce", "hubspotemail.net": "HubSpot", "hubspot.com": "HubSpot", "zendesk.com": "Zendesk", "freshemail.io": "Freshworks",
	"freshdesk.com": "Freshworks", "service-now.com": "ServiceNow", "atlassian.net": "Atlassian", "mimecast.com": "Mimecast", "pphosted.com": "Proofpoint", "ppe-hosted.com": "Proofpoint",
	"barracudanetworks.com": "Barracuda", "messagelabs.com": "Symantec Email Security", "iphmx.com": "Cisco Secure Email", "trendmicro.com": "Trend Micro", "mailcontrol.com": "Forcepoint",
	"zoho.com": "Zoho", "zohomail.com": "Zoho", "zoho.eu": "Zoho", "messagingengine.com": "Fastmail", "protonmail.ch": "Proton", "icloud.com": "Apple iCloud", "apple.com": "Apple", "yahoo.com": "Yahoo", "yahoodns.net": "Yahoo",
	"ovh.net": "OVHcloud", "ovh.com": "OVHcloud", "gandi.net": "Gandi", "infomaniak.ch": "Infomaniak", "infomaniak.com": "Infomaniak", "kundenserver.de": "IONOS", "ionos.com": "IONOS", "ui-dns.com": "IONOS",
	"orange.fr": "Orange", "wanadoo.fr": "Orange", "free.fr": "Free", "proxad.net": "Free", "sfr.fr": "SFR", "sfr.net": "SFR", "laposte.net": "La Poste", "o2switch.net": "o2switch", "online.net": "Scaleway", "scaleway.com": "Scaleway",
	"mailo.com": "Mailo", "hostinger.com": "Hostinger", "titan.email": "Titan", "secureserver.net": "GoDaddy", "rackspace.com": "Rackspace", "emailsrvr.com": "Rackspace", "constantcontact.com": "Constant Contact", "ccsend.com": "Constant Contact",
	"createsend.com": "Campaign Monitor", "cmail19.com": "Campaign Monitor", "cmail20.com": "Campaign Monitor", "klaviyomail.com": "Klaviyo", "activecampaign.com": "ActiveCampaign", "emsd1.com": "ActiveCampaign",
	"sarbacane.com": "Sarbacane", "sbc30.net": "Sarbacane", "sbc31.net": "Sarbacane", "mailpoet.com": "MailPoet", "getresponse.com": "GetResponse", "elasticemail.com": "Elastic Email", "smtp2go.com": "SMTP2GO", "mailerlite.com": "MailerLite",
	"shopify.com": "Shopify", "stripe.com": "Stripe", "github.com": "GitHub", "linkedin.com": "LinkedIn", "facebook.com": "Meta",
}

// serviceOf is the service that a name belongs to, "" if it is not known.
func serviceOf(name string) string {
	d := Registrable(name)
	return services[d]
}

// Registrable is the domain under which a host name was registered; the name itself where that cannot be told.
func Registrable(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	d, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return name
	}
	return d
}

// Names asks for the names of sources whose name is not known or old, at most so many.
func (l *Ledger) Names(ctx context.Context, most int) error {
	if l.o.Resolver == nil {
		return nil
	}
	now := l.o.Now()
	var todo []string
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		todo = nil
		rows := tx.Query(sqlNamesToAsk, micros(now.Add(-noNameFor)), micros(now.Add(-nameFor)), most)
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			todo = append(todo, s)
		}
		return rows.Err()
	})
	if err != nil || len(todo) == 0 {
		return err
	}
	type answer struct {
		name  string
		state NameState
	}
	answers := make([]answer, len(todo))
	var wait sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, s := range todo {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answers[i].name, answers[i].state = l.name(ctx, s)
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return l.db.Write(ctx, func(tx *store.Tx) error {
		for i, s := range todo {
			if _, err := tx.Exec(sqlNamed, clip(answers[i].name, 253), int64(answers[i].state), micros(now), s); err != nil {
				return err
			}
		}
		return nil
	})
}

// maxPTR is how many names of one address are tried.
const maxPTR = 5

// name asks for the name of an address and whether it leads back.
func (l *Ledger) name(ctx context.Context, source string) (string, NameState) {
	ip, err := netip.ParseAddr(source)
	if err != nil {
		return "", NameNone
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	a := dns.PTR(ctx, l.o.Resolver, ip)
	switch a.Status {
	case dns.TryLater:
		return "", NameNoAnswer
	case dns.Nothing:
		return "", NameNone
	}
	name, state := "", NameNone
	for i, r := range a.Records {
		host := strings.ToLower(strings.TrimSuffix(r.Host, "."))
		if i == maxPTR || !dns.HostName(host) {
			continue
		}
		if name == "" {
			name, state = host, NameUnconfirmed
		}
		switch dns.LeadsTo(ctx, l.o.Resolver, host, ip) {
		case dns.Found:
			return host, NameConfirmed
		case dns.TryLater:
			state = NameNoAnswer
		}
	}
	return name, state
}
