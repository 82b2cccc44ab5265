package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/checkup"
	"postern/internal/mail"
	"postern/internal/user"
)

// DomainSetUp is how a sender's domain is set up: what was found, and what to publish.
type DomainSetUp struct {
	Customer string        `json:"customer"`
	Domain   string        `json:"domain"`
	At       time.Time     `json:"at"`
	State    checkup.State `json:"state" enum:"fine,advice,unknown,problem" doc:"The worst of what the sender has to see to"`
	Egress   []string      `json:"egress" nullable:"false" doc:"Addresses that mail may leave from"`
	Findings []Finding     `json:"findings" nullable:"false"`
	Zone     string        `json:"zone,omitempty" doc:"What to publish, as lines of a zone file"`
}

// Finding is one thing that was looked at.
type Finding struct {
	Group    checkup.Group `json:"group" enum:"spf,dkim,dmarc,return,exists,egress,sts,tlsrpt"`
	Code     string        `json:"code" doc:"Stable word of what was found"`
	State    checkup.State `json:"state" enum:"fine,advice,unknown,problem"`
	Subject  string        `json:"subject,omitempty" doc:"What of the group it is about: a selector, an address"`
	Operator bool          `json:"operator,omitempty" doc:"The gateway's operator mends it"`
	Optional bool          `json:"optional,omitempty"`
	What     string        `json:"what" doc:"What is the case"`
	Do       string        `json:"do,omitempty" doc:"What to do"`
	Records  []DNSRecord   `json:"records,omitempty" doc:"What to publish"`
	Found    []DNSAnswer   `json:"found,omitempty" doc:"What DNS said"`
}

// DNSRecord is a record to publish.
type DNSRecord struct {
	Name    string   `json:"name"`
	Type    string   `json:"type" enum:"TXT,CNAME,MX"`
	Value   string   `json:"value"`
	TTL     int      `json:"ttl" doc:"Seconds"`
	Replace []string `json:"replace,omitempty" doc:"Values that it takes the place of"`
	Choice  int      `json:"choice,omitempty" doc:"Records of one finding with different numbers are ways to choose between"`
}

// DNSAnswer is a question that was put to DNS, with its answer.
type DNSAnswer struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Status string   `json:"status" enum:"found,nothing,try later"`
	Values []string `json:"values,omitempty"`
	Why    string   `json:"why,omitempty" doc:"With try later: what went wrong"`
}

// Domains are the domains of customers.
type Domains struct {
	Domains []Domain `json:"domains" nullable:"false"`
	Next    string   `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (d Domains) nextPage() string { return d.Next }

// Domain is a domain of a customer, which he may write in From.
type Domain struct {
	Customer string `json:"customer"`
	Domain   string `json:"domain"`
	Keys     int    `json:"keys" doc:"Signing keys in use"`
}

// addDomains registers how senders' domains are set up.
func (s *server) addDomains() {
	add(s, http.MethodGet, "/v1/domains", "list-domains", "Domains that customers write in From", over(user.SetupRead), s.listDomains)
	add(s, http.MethodPost, "/v1/domains", "add-domain", "Give a customer a domain that its challenge proves", over(user.SetupWrite).as("domain.add").anew(), s.addDomain)
	add(s, http.MethodGet, "/v1/domains/{domain}/challenge", "challenge-domain", "The TXT record that proves a domain to be a customer's", over(user.SetupWrite), s.challengeDomain)
	add(s, http.MethodDelete, "/v1/domains/{domain}", "remove-domain", "Take a domain from a customer", over(user.SetupWrite).as("domain.remove"), s.removeDomain)
	add(s, http.MethodGet, "/v1/domains/{domain}", "check-domain", "How a domain is set up in DNS now, and what to publish", over(user.SetupRead), s.checkDomain)
	s.addChecks()
	s.addKeys()
}

type domainsIn struct {
	ForCustomer
	Paging
}

func (s *server) listDomains(_ context.Context, in *domainsIn) (*body[Domains], error) {
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	all := []Domain{}
	for _, c := range s.o.Accounts.Customers() {
		if in.Customer != "" && in.Customer != c.ID {
			continue
		}
		for _, d := range c.Domains {
			all = append(all, Domain{Customer: c.ID, Domain: string(d)})
		}
	}
	key := func(d Domain) string { return d.Domain + "\x00" + d.Customer }
	slices.SortFunc(all, func(a, b Domain) int { return strings.Compare(key(a), key(b)) })
	all, next, err := pageOf(in.Paging, all, key)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Keys = len(s.o.Accounts.SigningKeys(mail.Domain(all[i].Domain)))
	}
	return &body[Domains]{Domains{all, next}}, nil
}

type domainIn struct {
	Domain   string `path:"domain" maxLength:"255"`
	Language string `query:"language" enum:"en,fr" default:"en"`
}

func (in *domainIn) owner(_ context.Context, s *server) (string, bool, error) {
	return s.domainOwner(in.Domain)
}
func (in *domainIn) kind() string { return "not-found" }

func (s *server) checkDomain(ctx context.Context, in *domainIn) (*body[DomainSetUp], error) {
	if s.o.Advisor == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway looks at no domains")
	}
	customer, found, err := s.domainOwner(in.Domain)
	if err != nil {
		return nil, err
	}
	d, err := mail.ParseDomain(in.Domain)
	if err != nil || !found {
		return nil, problem(http.StatusNotFound, "not-found", "%q is no customer's domain; the list of domains has them all", clip(in.Domain, 100))
	}
	if err := s.mayLook(ctx); err != nil {
		return nil, err
	}
	r, err := s.o.Advisor.SetUp(ctx, customer, d)
	switch {
	case errors.Is(err, checkup.ErrNotHis), errors.Is(err, account.ErrNotFound):
		return nil, missing("not-found")
	case err != nil:
		return nil, s.fail(err)
	}
	out := DomainSetUp{Customer: customer, Domain: string(d), At: r.At, State: r.State(), Egress: []string{}, Findings: []Finding{}, Zone: r.Snippet()}
	for _, ip := range r.Egress {
		out.Egress = append(out.Egress, ip.String())
	}
	for _, f := range r.Findings {
		text := checkup.Words(s.texts, in.Language, f)
		x := Finding{Group: f.Group, Code: f.Code, State: f.State, Subject: f.Subject, Operator: f.Operator, Optional: f.Optional, What: text.What, Do: text.Do}
		for _, y := range f.Records {
			x.Records = append(x.Records, DNSRecord{y.Name, y.Type, y.Value, y.TTL, y.Replace, y.Choice})
		}
		for _, y := range f.Evidence {
			x.Found = append(x.Found, DNSAnswer{y.Name, y.Type, y.Status, y.Values, y.Why})
		}
		out.Findings = append(out.Findings, x)
	}
	return &body[DomainSetUp]{out}, nil
}
