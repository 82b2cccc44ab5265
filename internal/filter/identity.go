package filter

import (
	"context"
	"fmt"
	"net/netip"
	"sort"
	"strings"

	"postern/internal/account"
	"postern/internal/dmarc"
	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/spf"
)

// maxRecipientDomains bounds how many recipient domains are looked up for one message.
const maxRecipientDomains = 16

// checkSPF asks SPF for the reverse path from every address the message may leave from: the worst answer counts, because
// the receiver that gets it will act on it. SpamAssassin asks for the client's address, which no receiver will ever see.
func checkSPF(ctx context.Context, s *scan) {
	f := s.spfOf(ctx)
	if f.unknown != "" {
		s.notMeasured("SPF_PASS", f.unknown)
	}
	names := map[spf.Result]string{spf.Pass: "SPF_PASS", spf.Fail: "SPF_FAIL", spf.SoftFail: "SPF_SOFTFAIL", spf.Neutral: "SPF_NEUTRAL",
		spf.None: "SPF_NONE", spf.PermError: "SPF_PERMERROR"}
	rank := map[spf.Result]int{spf.Pass: 1, spf.None: 2, spf.Neutral: 3, spf.SoftFail: 4, spf.PermError: 5, spf.Fail: 6}
	worst := spfResult{}
	var evidence []string
	for _, r := range f.measured {
		if r.Result == spf.TempError {
			continue
		}
		if rank[r.Result] > rank[worst.Result] {
			worst, evidence = r, nil
		}
		if r.Result == worst.Result {
			evidence = append(evidence, spfEvidence(r))
		}
	}
	if worst.Result == "" || worst.Result == spf.Pass && f.unknown != "" {
		return
	}
	s.hit(names[worst.Result], map[string]string{
		"Domain": worst.Domain, "IP": worst.egress.String(), "Record": worst.Record, "Mechanism": worst.Mechanism,
		"Suggested": SuggestSPF(worst.Record, s.Egress),
	}, evidence...)
}

func spfEvidence(r spfResult) string {
	text := fmt.Sprintf("%s from %s: %s", r.Domain, r.egress, r.Result)
	if r.Mechanism != "" {
		text += " (" + r.Mechanism + ")"
	}
	if r.Record != "" {
		text += ", record: " + r.Record
	}
	if r.Err != nil {
		text += ", " + reason(r.Err)
	}
	return text
}

// SuggestSPF returns the SPF record to publish so that the gateway's addresses pass: the record found with our mechanisms
// put in front, or a new one when there is none.
func SuggestSPF(record string, egress []account.Egress) string {
	var ours []string
	seen := map[netip.Addr]bool{}
	for _, e := range egress {
		if !e.IP.IsValid() || seen[e.IP] {
			continue
		}
		seen[e.IP] = true
		mechanism := "ip4:" + e.IP.String()
		if e.IP.Is6() && !e.IP.Is4In6() {
			mechanism = "ip6:" + e.IP.String()
		}
		ours = append(ours, mechanism)
	}
	sort.Strings(ours)
	terms := strings.Fields(record)
	if len(terms) == 0 || !strings.EqualFold(terms[0], "v=spf1") {
		return strings.Join(append(append([]string{"v=spf1"}, ours...), "~all"), " ")
	}
	out := []string{"v=spf1"}
	for _, m := range ours {
		if !strings.Contains(" "+record+" ", " "+m+" ") {
			out = append(out, m)
		}
	}
	return strings.Join(append(out, terms[1:]...), " ")
}

// checkHELO asks SPF for the HELO names we use (RFC 7208 2.3). Only the operator can mend them.
func checkHELO(ctx context.Context, s *scan) {
	for _, e := range s.Egress {
		if !e.IP.IsValid() || !strings.Contains(e.HELO, ".") {
			continue
		}
		out := spf.Check(ctx, s.resolver, spf.Query{IP: e.IP, Hello: e.HELO, Identity: "helo"})
		args := map[string]string{"Hello": e.HELO, "IP": e.IP.String(), "Record": out.Record}
		switch out.Result {
		case spf.Pass:
			s.hit("SPF_HELO_PASS", args, spfEvidence(spfResult{e.IP, e.HELO, out}))
			return
		case spf.Fail, spf.SoftFail, spf.PermError:
			s.hit("SPF_HELO_FAIL", args, spfEvidence(spfResult{e.IP, e.HELO, out}))
			return
		case spf.TempError:
			s.notMeasured("SPF_HELO_PASS", "SPF of "+e.HELO+": "+reason(out.Err))
			return
		}
	}
}

// checkDKIM looks at the signatures the message carries and at the one we will add when it leaves.
func checkDKIM(ctx context.Context, s *scan) {
	f := s.dkimOf(ctx)
	if f.unknown != "" {
		s.notMeasured("DKIM_VALID", f.unknown)
	}
	valid := map[mail.Domain]bool{}
	var passing, failing, signed []string
	for _, sig := range f.signatures {
		name := fmt.Sprintf("d=%s s=%s %s", sig.Domain, sig.Selector, sig.Algorithm)
		signed = append(signed, name)
		switch sig.Status {
		case "pass":
			valid[sig.Domain] = true
			passing = append(passing, name)
		case "temperror":
		default:
			failing = append(failing, name+": "+sig.Status+", "+sig.Reason)
		}
	}
	for _, o := range f.ours {
		name := fmt.Sprintf("d=%s s=%s %s (added when the message leaves)", o.key.Domain, o.key.Selector, o.key.Algorithm)
		args := map[string]string{"Domain": string(o.key.Domain), "Name": o.key.RecordName(), "Record": o.key.Record(), "Found": o.found}
		switch o.state {
		case "match":
			valid[o.key.Domain] = true
			signed, passing = append(signed, name), append(passing, name)
		case "missing":
			s.hit("DKIM_KEY_UNPUBLISHED", args, o.key.RecordName()+": no such record")
		case "mismatch":
			s.hit("DKIM_KEY_UNPUBLISHED", args, o.key.RecordName()+": "+o.found)
		}
	}
	if len(signed) > 0 {
		s.hit("DKIM_SIGNED", nil, signed...)
	} else if f.unknown == "" && len(f.ours) == 0 {
		from, _ := s.fromDomain()
		s.hit("DKIM_NONE", map[string]string{"Domain": string(from)}, "no DKIM-Signature field, and no key for "+string(from))
	}
	if len(passing) > 0 {
		s.hit("DKIM_VALID", nil, passing...)
	}
	for _, b := range s.Message.From() {
		if valid[b.Address.Domain] {
			s.hit("DKIM_VALID_AU", map[string]string{"Domain": string(b.Address.Domain)}, "d="+string(b.Address.Domain)+" is the domain of From: "+b.Raw)
			break
		}
	}
	if len(failing) > 0 && len(valid) == 0 {
		s.hit("DKIM_INVALID", map[string]string{"Domain": string(f.signatures[0].Domain)}, failing...)
	}
}

// checkDMARC judges alignment as receivers will (RFC 9989): SPF must pass from every egress address, DKIM by a signature
// that verifies, ours included. Where SPF or DKIM is unknown, a failure would be a guess and is reported as unknown.
func checkDMARC(ctx context.Context, s *scan) {
	from, ok := s.fromDomain()
	if !ok {
		return // MISSING_FROM says it
	}
	sp, dk := s.spfOf(ctx), s.dkimOf(ctx)
	out := dmarc.Evaluate(ctx, s.resolver, from, sp.passes, dk.valid)
	args := map[string]string{"Domain": string(from), "Record": out.Policy.Record, "PolicyDomain": string(out.Policy.Domain), "Policy": out.Applied}
	evidence := fmt.Sprintf("From domain %s: SPF %s, DKIM %s; policy %s", from, aligned(out.SPFAligned), aligned(out.DKIMAligned), orDash(out.Policy.Record))
	switch out.Result {
	case "pass":
		s.hit("DMARC_PASS", args, evidence)
	case "none":
		s.hit("DMARC_MISSING", args, "_dmarc."+string(from)+": no record, nor at a parent domain")
	case "fail", "permerror":
		if sp.unknown != "" || dk.unknown != "" {
			s.notMeasured("DMARC_PASS", strings.Trim(sp.unknown+"; "+dk.unknown, "; "))
			return
		}
		test := map[string]string{"quarantine": "DMARC_FAIL_QUARANTINE", "reject": "DMARC_FAIL_REJECT"}[out.Applied]
		if test == "" {
			test = "DMARC_FAIL_NONE"
		}
		s.hit(test, args, evidence)
	default:
		s.notMeasured("DMARC_PASS", "_dmarc."+string(from)+": no answer")
	}
}

func aligned(ok bool) string {
	if ok {
		return "aligned"
	}
	return "not aligned"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// checkSender asks whether the sender's domains exist and could take an answer.
func checkSender(ctx context.Context, s *scan) {
	path := s.Envelope.ReversePath.Domain
	if path != "" {
		r := s.reachOf(ctx, path)
		s.reachHit(r, path, map[reach]string{reachMissing: "SENDER_DOMAIN_MISSING", reachNothing: "SENDER_NO_MX_A", reachNullMX: "SENDER_NULL_MX"}, "SENDER_NO_MX_A")
	}
	from, ok := s.fromDomain()
	if !ok || from == path {
		return
	}
	// A null MX in From is fine: no-reply domains say so on purpose.
	s.reachHit(s.reachOf(ctx, from), from, map[reach]string{reachMissing: "FROM_DOMAIN_MISSING", reachNothing: "FROM_NO_MX_A"}, "FROM_NO_MX_A")
}

func (s *scan) reachHit(r *reachFact, d mail.Domain, tests map[reach]string, unknown string) {
	if r.state == reachUnknown {
		s.notMeasured(unknown, r.why)
		return
	}
	if test := tests[r.state]; test != "" {
		s.hit(test, map[string]string{"Domain": string(d)}, r.why)
	}
}

// checkRecipients asks whether the recipients' domains exist. Only when no recipient can be reached does it count against
// the message: the fate of one recipient must not decide another's, and delivery tells the sender of the single ones.
func checkRecipients(ctx context.Context, s *scan) {
	domains := map[mail.Domain]bool{}
	for _, r := range s.Envelope.Recipients {
		domains[r.Address.Domain] = true
	}
	if len(domains) > maxRecipientDomains {
		return // a hopeless domain among many is a bounce, not a score
	}
	names := map[reach]string{reachMissing: "RCPT_DOMAIN_MISSING", reachNothing: "RCPT_NO_MX_A", reachNullMX: "RCPT_NULL_MX"}
	bad := map[string][]string{}
	var first = map[string]mail.Domain{}
	for d := range domains {
		r := s.reachOf(ctx, d)
		switch r.state {
		case reachUnknown:
			s.notMeasured("RCPT_NO_MX_A", r.why)
			return
		case reachable:
			return
		}
		test := names[r.state]
		bad[test] = append(bad[test], r.why)
		first[test] = d
	}
	for test, evidence := range bad {
		sort.Strings(evidence)
		s.hit(test, map[string]string{"Domain": string(first[test])}, evidence...)
	}
}

// checkReverseDNS looks at each egress address as a receiver does on connect: it has a name, the name leads back to it, and
// the HELO name is its own.
func checkReverseDNS(ctx context.Context, s *scan) {
	measured := false
	for _, e := range s.Egress {
		if !e.IP.IsValid() {
			continue
		}
		measured = true
		args := map[string]string{"IP": e.IP.String(), "Hello": e.HELO}
		ptr := dns.PTR(ctx, s.resolver, e.IP)
		switch ptr.Status {
		case dns.TryLater:
			s.notMeasured("RDNS_NONE", "PTR of "+e.IP.String()+": "+reason(ptr.Err))
			continue
		case dns.Nothing:
			s.hit("RDNS_NONE", args, dns.ReverseName(e.IP)+": no PTR record")
			continue
		}
		s.confirmReverse(ctx, e, ptr, args)
	}
	if !measured {
		s.notMeasured("RDNS_NONE", "the gateway's egress addresses are not configured (delivery.pools)")
	}
}

func (s *scan) confirmReverse(ctx context.Context, e account.Egress, ptr dns.Answer, args map[string]string) {
	var names []string
	state := dns.Nothing
	for i, rec := range ptr.Records {
		if i == 5 { // receivers look at a few names only
			break
		}
		names = append(names, rec.Host)
		if st := s.leadsTo(ctx, rec.Host, e.IP); st == dns.Found {
			state = dns.Found
			break
		} else if st == dns.TryLater {
			state = dns.TryLater
		}
	}
	args["Name"] = strings.Join(names, ", ")
	switch state {
	case dns.Nothing:
		s.hit("RDNS_MISMATCH", args, e.IP.String()+" PTR "+args["Name"]+", which has another address")
	case dns.TryLater:
		s.notMeasured("RDNS_MISMATCH", "addresses of "+args["Name"]+": no answer")
	}
	if e.HELO == "" {
		return
	}
	switch s.leadsTo(ctx, e.HELO, e.IP) {
	case dns.Nothing:
		s.hit("HELO_MISMATCH", args, "HELO "+e.HELO+" has no address "+e.IP.String())
	case dns.TryLater:
		s.notMeasured("HELO_MISMATCH", "addresses of "+e.HELO+": no answer")
	}
}

// leadsTo reports whether name has ip among its addresses: Found, Nothing (it has others or none), TryLater.
func (s *scan) leadsTo(ctx context.Context, name string, ip netip.Addr) dns.Status {
	a := dns.Addrs(ctx, s.resolver, name)
	if a.Status != dns.Found {
		return a.Status
	}
	for _, rec := range a.Records {
		if rec.IP.Unmap() == ip.Unmap() {
			return dns.Found
		}
	}
	return dns.Nothing
}

// checkClientReverse looks at the machine that gave us the mail when its address is public: receivers read it in the Received
// field. An authenticated client may be at home and is not asked.
func checkClientReverse(ctx context.Context, s *scan) {
	if s.Authenticated || !public(s.ClientIP) {
		return
	}
	ptr := dns.PTR(ctx, s.resolver, s.ClientIP)
	switch ptr.Status {
	case dns.TryLater:
		s.notMeasured("CLIENT_RDNS_NONE", "PTR of "+s.ClientIP.String()+": "+reason(ptr.Err))
	case dns.Nothing:
		s.hit("CLIENT_RDNS_NONE", map[string]string{"IP": s.ClientIP.String()}, dns.ReverseName(s.ClientIP)+": no PTR record")
	}
}

// public reports whether an address can be seen from the internet.
func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsValid() && ip.IsGlobalUnicast() && !ip.IsPrivate() && !cgnat.Contains(ip)
}

// cgnat is the shared address space of RFC 6598.
var cgnat = netip.MustParsePrefix("100.64.0.0/10")
