package filter

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

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
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(maxAsking, len(questions)) {
		wg.Go(func() {
			defer s.caught("lists")
			for i := int(next.Add(1)) - 1; i < len(questions); i = int(next.Add(1)) - 1 {
				if q := questions[i]; q.domain != "" {
					answers[i] = s.o.Guard.CheckDomain(ctx, s.lists, q.list, q.domain)
				} else {
					answers[i] = s.o.Guard.CheckIP(ctx, s.lists, q.list, q.ip)
				}
			}
		})
	}
	wg.Wait()
	s.reportLists(questions, answers)
}

func (s *scan) reportLists(questions []listQuestion, answers []dnsbl.Listing) {
	for i, a := range answers {
		q := questions[i]
		switch {
		case a.Refused: // or paused after a refusal: still not measured, and still to be seen
			text := q.list.Zone + " refuses the questions of this gateway's name server (asked about " + a.Target + ")"
			switch {
			case strings.HasSuffix(q.list.Zone, "dnswl.org"):
				s.hitOnce("RCVD_IN_DNSWL_BLOCKED", map[string]string{"Zone": q.list.Zone}, text)
			case strings.HasSuffix(q.list.Zone, "uribl.com"):
				s.hitOnce("URIBL_BLOCKED", map[string]string{"Zone": q.list.Zone}, text)
			default:
				s.notMeasured(q.test, text)
			}
		case a.State == dnsbl.Unknown && !q.list.Allow:
			s.notMeasured(q.test, q.list.Zone+" about "+a.Target+": "+strings.TrimPrefix(reason(a.Err), q.list.Zone+": "))
		case !q.list.Allow && counts(q, a):
			text := fmt.Sprintf("%s %s is listed by %s", q.what, a.Target, q.list.Name)
			if a.Reason != "" {
				text += ": " + a.Reason
			}
			s.hit(q.test, map[string]string{"Target": a.Target, "List": q.list.Name, "URL": lookup(q.list)}, text)
		}
	}
}

// mild are codes of domain lists that are no reason to hold mail: legitimate bulk senders and click counters (SpamAssassin's scores
// for them lie between 0 and 1.1; 4.0, read 2026-11).
var mild = map[string]bool{"grey": true, "red": true, "CT": true, "DM": true}

// counts reports whether an answer holds a listing that speaks against the target in its role: what a list says of addresses
// that should not send directly is no fault of a client that sends through us.
func counts(q listQuestion, a dnsbl.Listing) bool {
	return slices.ContainsFunc(a.Against(q.test != "CLIENT_LISTED"), func(c dnsbl.Code) bool {
		return !(q.list.Kinds&dnsbl.Domain != 0 && mild[c.Name])
	})
}

// hitOnce is hit, but without more evidence when the test fired already.
func (s *scan) hitOnce(test string, args map[string]string, evidence string) {
	s.mu.Lock()
	fired := slices.ContainsFunc(s.hits, func(h Hit) bool { return h.Test == test })
	s.mu.Unlock()
	if !fired {
		s.hit(test, args, evidence)
	}
}

// lookup is the page where a person sees a listing, or can have it removed.
func lookup(l *dnsbl.List) string {
	if l.LookupURL != "" {
		return l.LookupURL
	}
	return l.DelistURL
}

// listQuestions names what is asked, each question once: the links come last, so that they run out of questions first. Lists
// without weight are for display only and not asked.
func (s *scan) listQuestions() []listQuestion {
	var ours []netip.Addr
	for _, e := range s.Egress {
		if public(e.IP) && !slices.Contains(ours, e.IP) {
			ours = append(ours, e.IP)
		}
	}
	client := !s.Authenticated && public(s.ClientIP) && !slices.Contains(ours, s.ClientIP)
	domains := s.senderDomains()
	links := s.linkDomains(domains)
	var out []listQuestion
	for i := range s.o.Lists {
		l := &s.o.Lists[i]
		if l.Weight == 0 {
			continue
		}
		if l.Kinds&(dnsbl.IP4|dnsbl.IP6) != 0 {
			for _, ip := range ours {
				out = append(out, listQuestion{"EGRESS_LISTED", l, ip, "", "egress address"})
			}
			if client && !l.Allow {
				out = append(out, listQuestion{"CLIENT_LISTED", l, s.ClientIP, "", "client address"})
			}
		}
		if l.Kinds&dnsbl.Domain != 0 && !l.Allow {
			for _, d := range domains {
				out = append(out, listQuestion{"DOMAIN_LISTED", l, netip.Addr{}, d, "sender domain"})
			}
		}
	}
	for _, d := range links {
		for i := range s.o.Lists {
			if l := &s.o.Lists[i]; l.Weight > 0 && l.Kinds&dnsbl.Domain != 0 && !l.Allow {
				out = append(out, listQuestion{"URI_LISTED", l, netip.Addr{}, d, "link to"})
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

// linkDomains are the registrable domains, or the addresses, of the links, without the sender's own.
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
		d := registrable(u.Host)
		if ip, literal := u.Host.Literal(); literal && public(ip) {
			d = ip.String() // for the lists that take addresses of hosts
		}
		if d != "" && !seen[d] {
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
