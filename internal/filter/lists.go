package filter

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"

	"postern/internal/dnsbl"
	"postern/internal/mail"
)

// Bounds on what one message may make us ask.
const (
	maxURIDomains = 20 // domains of links, as SpamAssassin's URIDNSBL
	maxAsking     = 16 // questions under way at once
)

// listQuestion is one target at one list; answers of questions with the same test are gathered into one hit.
type listQuestion struct {
	test   string
	list   *dnsbl.List
	ip     netip.Addr // or:
	domain string
	what   string // "egress address", "From domain", for the evidence
}

// checkLists asks the blocklists about our egress addresses, the client's address, the sender's domains and the domains of the
// links. An answer that refuses our resolver is a trouble of the operator's name server: it scores nothing and is named by a test
// of its own for the two lists whose names customers know.
func checkLists(ctx context.Context, s *scan) {
	if len(s.o.Lists) == 0 {
		return
	}
	questions := s.listQuestions()
	answers := make([]dnsbl.Listing, len(questions))
	slots := make(chan struct{}, maxAsking)
	var wg sync.WaitGroup
	for i, q := range questions {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			if q.domain != "" {
				answers[i] = s.o.Guard.CheckDomain(ctx, s.resolver, q.list, q.domain)
			} else {
				answers[i] = s.o.Guard.CheckIP(ctx, s.resolver, q.list, q.ip)
			}
		}()
	}
	wg.Wait()
	s.reportLists(questions, answers)
}

func (s *scan) reportLists(questions []listQuestion, answers []dnsbl.Listing) {
	evidence := map[string][]string{}
	first := map[string]map[string]string{}
	refused := map[string]string{} // zone -> target
	failed := map[string]string{}  // test -> why
	for i, a := range answers {
		q := questions[i]
		switch {
		case a.Refused:
			refused[q.list.Zone] = a.Target
		case a.State == dnsbl.Unknown:
			failed[q.test] = q.list.Zone + " about " + a.Target + ": " + reason(a.Err)
		case a.State == dnsbl.Listed && !q.list.Allow && counts(q, a):
			text := fmt.Sprintf("%s %s is listed by %s", q.what, a.Target, q.list.Name)
			if a.Reason != "" {
				text += ": " + a.Reason
			}
			evidence[q.test] = append(evidence[q.test], text)
			if first[q.test] == nil {
				first[q.test] = map[string]string{"Target": a.Target, "List": q.list.Name, "Reason": a.Reason, "URL": lookup(q.list)}
			}
		}
	}
	for test, lines := range evidence {
		s.hit(test, first[test], lines...)
		delete(failed, test)
	}
	for zone, target := range refused {
		text := zone + " refuses the questions of this gateway's name server (asked about " + target + ")"
		switch {
		case strings.HasSuffix(zone, "dnswl.org"):
			s.hit("RCVD_IN_DNSWL_BLOCKED", map[string]string{"Zone": zone}, text)
		case strings.HasSuffix(zone, "uribl.com"):
			s.hit("URIBL_BLOCKED", map[string]string{"Zone": zone}, text)
		default:
			s.notMeasured("DOMAIN_LISTED", text)
		}
	}
	for test, why := range failed {
		s.notMeasured(test, why)
	}
}

// counts leaves out what a list says of addresses that send directly (dial-up ranges): it is no fault of a client that sends
// through us.
func counts(q listQuestion, a dnsbl.Listing) bool {
	if q.test != "CLIENT_LISTED" {
		return true
	}
	for _, c := range a.Matched {
		if !c.EgressOnly && !c.Neutral {
			return true
		}
	}
	return false
}

func lookup(l *dnsbl.List) string {
	if l.LookupURL != "" {
		return l.LookupURL
	}
	return l.DelistURL
}

// listQuestions names what is asked, each question once.
func (s *scan) listQuestions() []listQuestion {
	var out []listQuestion
	seen := map[string]bool{}
	add := func(q listQuestion) {
		key := q.list.Zone + " " + q.ip.String() + " " + q.domain
		if !seen[key] {
			seen[key] = true
			out = append(out, q)
		}
	}
	domains := s.senderDomains()
	links := s.linkDomains(domains)
	for i := range s.o.Lists {
		l := &s.o.Lists[i]
		if l.Kinds&(dnsbl.IP4|dnsbl.IP6) != 0 {
			for _, e := range s.Egress {
				if public(e.IP) {
					add(listQuestion{"EGRESS_LISTED", l, e.IP, "", "egress address"})
				}
			}
			if !s.Authenticated && !l.Allow && public(s.ClientIP) {
				add(listQuestion{"CLIENT_LISTED", l, s.ClientIP, "", "client address"})
			}
		}
		if l.Kinds&dnsbl.Domain != 0 && !l.Allow {
			for _, d := range domains {
				add(listQuestion{"DOMAIN_LISTED", l, netip.Addr{}, d, "sender domain"})
			}
			for _, d := range links {
				add(listQuestion{"URI_LISTED", l, netip.Addr{}, d, "link to"})
			}
		}
	}
	return out
}

// senderDomains are the registrable domains of the reverse path and of From.
func (s *scan) senderDomains() []string {
	var out []string
	seen := map[string]bool{}
	add := func(d mail.Domain) {
		if r := registrable(d); r != "" && !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	add(s.Envelope.ReversePath.Domain)
	for _, b := range s.Message.From() {
		if len(out) < 5 {
			add(b.Address.Domain)
		}
	}
	return out
}

// linkDomains are the registrable domains of the links, without the sender's own.
func (s *scan) linkDomains(own []string) []string {
	seen := map[string]bool{}
	for _, d := range own {
		seen[d] = true
	}
	var out []string
	for _, u := range s.Message.URIs() {
		if len(out) == maxURIDomains {
			break
		}
		if u.Scheme == "mailto" {
			continue
		}
		if d := registrable(u.Host); d != "" && !seen[d] {
			seen[d] = true
			out = append(out, d)
		}
	}
	return out
}

// registrable is the part of a domain that somebody registered; "" for literals and names of one label.
func registrable(d mail.Domain) string {
	if _, literal := d.Literal(); literal || !strings.Contains(string(d), ".") {
		return ""
	}
	r, err := publicsuffix.EffectiveTLDPlusOne(string(d))
	if err != nil {
		return ""
	}
	return r
}
