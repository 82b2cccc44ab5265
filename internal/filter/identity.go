package filter

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/dmarc"
	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/spf"
)

// maxRecipientDomains bounds how many recipient domains are looked up for one message.
const maxRecipientDomains = 16

// checkSPF asks SPF for the reverse path from every address the message may leave from: the worst answer counts, because
// the receiver that gets it will act on it. SpamAssassin asks for the client's address, which no receiver will ever see.
// A null reverse path is judged by our own HELO name (RFC 7208 2.4): what is wrong there is no fault of the sender and is told by
// SPF_HELO_FAIL.
func checkSPF(ctx context.Context, s *scan) {
	f := s.spfOf(ctx)
	if f.unknown != "" {
		s.notMeasured("SPF_PASS", f.unknown)
	}
	names := map[spf.Result]string{spf.Pass: "SPF_PASS", spf.Fail: "SPF_FAIL", spf.SoftFail: "SPF_SOFTFAIL", spf.Neutral: "SPF_NEUTRAL",
		spf.None: "SPF_NONE", spf.PermError: "SPF_PERMERROR"}
	worst, evidence := f.worst()
	if _, literal := s.leaving().Domain.Literal(); literal {
		s.notMeasured("SPF_PASS", "an address literal has no SPF record")
		return
	}
	switch {
	case worst.Result == "", worst.Result == spf.Pass && f.unknown != "":
		return
	case worst.Result != spf.Pass && s.leaving().IsNull():
		return
	}
	args := map[string]string{
		"Domain": worst.Domain, "IP": worst.egress.String(), "Record": worst.Record,
		"Mechanisms": strings.Join(spfMechanisms(s.Egress), " "), "Suggested": SuggestSPF(worst.Record, s.Egress),
	}
	if len(args["Suggested"]) > maxArgText {
		delete(args, "Suggested") // half a record must not be published
	}
	if worst.Err != nil {
		args["Why"] = reason(worst.Err)
	}
	s.hit(names[worst.Result], args, evidence...)
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
	ours := spfMechanisms(egress)
	terms := strings.Fields(record)
	if len(terms) == 0 || !strings.EqualFold(terms[0], "v=spf1") {
		return strings.Join(append(append([]string{"v=spf1"}, ours...), "~all"), " ")
	}
	out := []string{"v=spf1"}
	for _, m := range ours {
		if !slices.ContainsFunc(terms, func(t string) bool { return strings.EqualFold(strings.TrimPrefix(t, "+"), m) }) {
			out = append(out, m)
		}
	}
	return strings.Join(append(out, terms[1:]...), " ")
}

// spfMechanisms are the mechanisms that let our addresses pass, IPv4 first.
func spfMechanisms(egress []account.Egress) []string {
	var ours []string
	for _, e := range egress {
		ip := e.IP.Unmap()
		mechanism := "ip4:" + ip.String()
		if ip.Is6() {
			mechanism = "ip6:" + ip.String()
		}
		if ip.IsValid() && !slices.Contains(ours, mechanism) {
			ours = append(ours, mechanism)
		}
	}
	slices.Sort(ours)
	return ours
}

// checkHELO asks SPF for the HELO names we use (RFC 7208 2.3): one that fails is a failure, and only all of them passing is a
// pass. Address literals and names of one label are left out, as in SpamAssassin. Only the operator can mend them.
func checkHELO(ctx context.Context, s *scan) {
	var passes, fails []string
	var args map[string]string // of the first failure, else of the first pass
	open, unknown := false, ""
	for _, e := range s.Egress {
		if !e.IP.IsValid() || !strings.Contains(e.HELO, ".") || strings.HasPrefix(e.HELO, "[") {
			continue
		}
		out := spf.Check(ctx, s.resolver, spf.Query{IP: e.IP, Hello: e.HELO, Identity: spf.Hello})
		here := map[string]string{"Hello": e.HELO, "IP": e.IP.String(), "Record": out.Record, "Suggested": SuggestSPF(out.Record, []account.Egress{e})}
		text := spfEvidence(spfResult{e.IP, e.HELO, out})
		switch out.Result {
		case spf.Pass:
			passes = append(passes, text)
			if args == nil {
				args = here
			}
		case spf.Fail, spf.SoftFail, spf.PermError:
			if len(fails) == 0 {
				args = here
			}
			fails = append(fails, text)
		case spf.TempError:
			unknown = "SPF of " + e.HELO + ": " + reason(out.Err)
		default:
			open = true // no record, or one that says nothing: neither good nor bad
		}
	}
	switch {
	case len(fails) > 0:
		s.hit("SPF_HELO_FAIL", args, fails...)
	case unknown != "":
		s.notMeasured("SPF_HELO_PASS", unknown)
	case len(passes) > 0 && !open:
		s.hit("SPF_HELO_PASS", args, passes...)
	}
}

// checkDKIM looks at the signatures the message carries and at the one we will add when it leaves.
func checkDKIM(ctx context.Context, s *scan) {
	f := s.dkimOf(ctx)
	if f.unknown != "" {
		s.notMeasured("DKIM_VALID", f.unknown)
	}
	var passing, failing, signed []string
	var authors []mail.Domain // whose own signature passes: i=, else d= (RFC 6376 3.5), as SpamAssassin reads it
	failed := ""              // d= of the first that fails
	for _, sig := range f.signatures {
		name := fmt.Sprintf("d=%s s=%s %s", sig.Domain, sig.Selector, sig.Algorithm)
		signed = append(signed, name)
		switch sig.Status {
		case dkim.StatusPass: // verified, not expired, RSA keys of 1024 bits or more: dkim.Verify accepts nothing else
			passing = append(passing, name)
			authors = append(authors, sig.Domain)
			if at := strings.LastIndexByte(sig.Identity, '@'); at >= 0 {
				authors[len(authors)-1] = mail.Domain(strings.ToLower(sig.Identity[at+1:]))
			}
		case dkim.StatusTempError:
		default:
			if failed == "" {
				failed = string(sig.Domain)
			}
			failing = append(failing, name+": "+sig.Status+", "+sig.Reason)
		}
	}
	unpublished, ours := s.ourSignatures(f)
	for _, k := range ours {
		name := fmt.Sprintf("d=%s s=%s %s (added when the message leaves)", k.Domain, k.Selector, k.Algorithm)
		signed, passing, authors = append(signed, name), append(passing, name), append(authors, k.Domain)
	}
	for _, o := range unpublished {
		found := "no such record"
		if o.found != "" {
			found = "another record: " + o.found
		}
		s.hit("DKIM_KEY_UNPUBLISHED", map[string]string{"Domain": string(o.key.Domain), "Name": o.key.RecordName(), "Record": o.key.Record()},
			o.key.RecordName()+": "+found)
	}
	if len(signed) > 0 {
		s.hit("DKIM_SIGNED", nil, signed...)
	} else if from, ok := s.fromDomain(); ok && f.unknown == "" && len(f.ours) == 0 {
		s.hit("DKIM_NONE", map[string]string{"Domain": string(from)}, "no DKIM-Signature field, and no key for "+string(from))
	}
	if len(passing) > 0 {
		s.hit("DKIM_VALID", nil, passing...)
	}
	for _, b := range s.Message.From() {
		if d := b.Address.Domain; d != "" && slices.Contains(authors, d) {
			s.hit("DKIM_VALID_AU", map[string]string{"Domain": string(d)}, "signed by "+string(d)+", the domain of From: "+b.Raw)
			break
		}
	}
	if len(failing) > 0 && len(passing) == 0 && f.unknown == "" {
		s.hit("DKIM_INVALID", map[string]string{"Domain": failed, "Why": failing[0]}, failing...)
	}
}

// ourSignatures tells which keys of ours will make a valid signature and, only when none does, which are not published: one
// signature that verifies is all a receiver needs.
func (s *scan) ourSignatures(f *dkimFact) (unpublished []ourKey, valid []dkim.Key) {
	for _, o := range f.ours {
		switch o.state {
		case dkim.PublishedMatch:
			valid = append(valid, o.key)
		case dkim.PublishedMissing, dkim.PublishedMismatch:
			unpublished = append(unpublished, o)
		}
	}
	if len(valid) > 0 {
		unpublished = nil
	}
	return unpublished, valid
}

// checkDMARC judges alignment as receivers will (RFC 9989): SPF must pass from every egress address, DKIM by a signature
// that verifies, ours included. Where SPF or DKIM is unknown, a failure would be a guess and is reported as unknown.
func checkDMARC(ctx context.Context, s *scan) {
	f := s.dmarcOf(ctx)
	from, out := f.from, f.outcome
	if from == "" {
		return // MISSING_FROM says it
	}
	args := map[string]string{"Domain": string(from), "Record": out.Policy.Record, "PolicyDomain": string(out.Policy.Domain),
		"Sender": string(s.leaving().Domain), "Mechanisms": strings.Join(spfMechanisms(s.Egress), " ")}
	if s.leaving().IsNull() {
		args["Sender"] = "<>"
	}
	evidence := fmt.Sprintf("From domain %s: SPF %s, DKIM %s; policy %s", from, aligned(out.SPFAligned), aligned(out.DKIMAligned), orDash(out.Policy.Record))
	switch out.Result {
	case dmarc.Pass:
		s.hit("DMARC_PASS", args, evidence)
	case dmarc.None:
		if evidence = "_dmarc." + string(from) + ": no record, nor at a parent domain"; out.Err != nil {
			evidence = reason(out.Err)
		}
		s.hit("DMARC_MISSING", args, evidence)
	case dmarc.PermError: // an address literal can have no policy
	case dmarc.Fail:
		if f.unknown != "" {
			s.notMeasured("DMARC_PASS", f.unknown)
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
	path := s.leaving().Domain
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
// the message, and once: the fate of one recipient must not decide another's, and delivery tells the sender of the single ones.
func checkRecipients(ctx context.Context, s *scan) {
	var domains []mail.Domain
	for _, r := range s.Envelope.Recipients {
		if !slices.Contains(domains, r.Address.Domain) {
			domains = append(domains, r.Address.Domain)
		}
		if len(domains) > maxRecipientDomains {
			return // a hopeless domain among many is a bounce, not a score
		}
	}
	slices.Sort(domains)
	states := map[reach]mail.Domain{} // the first domain in each state
	var evidence []string
	unknown := ""
	for _, d := range domains {
		r := s.reachOf(ctx, d)
		switch r.state {
		case reachable:
			return
		case reachUnknown:
			unknown = r.why
		}
		evidence = append(evidence, r.why)
		if _, ok := states[r.state]; !ok {
			states[r.state] = d
		}
	}
	if unknown != "" {
		s.notMeasured("RCPT_NO_MX_A", unknown)
		return
	}
	for _, worst := range []struct {
		state reach
		test  string
	}{{reachMissing, "RCPT_DOMAIN_MISSING"}, {reachNothing, "RCPT_NO_MX_A"}, {reachNullMX, "RCPT_NULL_MX"}} {
		if d, ok := states[worst.state]; ok {
			s.hit(worst.test, map[string]string{"Domain": string(d)}, evidence...)
			return
		}
	}
}

// checkReverseDNS looks at each egress address as a receiver does on connect: it has a name, the name leads back to it, and
// the HELO name is its own.
func checkReverseDNS(ctx context.Context, s *scan) {
	facts := s.reverseOf(ctx)
	if len(facts) == 0 {
		s.notMeasured("RDNS_NONE", "the gateway's egress addresses are not configured (delivery.pools)")
	}
	for _, r := range facts {
		s.reportReverse(r)
		s.reportHello(r)
	}
}

func (s *scan) reportReverse(r reverseFact) {
	e := r.egress
	args := map[string]string{"IP": e.IP.String(), "Hello": e.HELO, "Name": r.names()}
	switch {
	case r.ptr.Status == dns.TryLater:
		s.notMeasured("RDNS_NONE", "PTR of "+e.IP.String()+": "+reason(r.ptr.Err))
	case r.ptr.Status == dns.Nothing:
		s.hit("RDNS_NONE", args, dns.ReverseName(e.IP)+": no PTR record")
	case r.back == dns.TryLater:
		s.notMeasured("RDNS_MISMATCH", "addresses of "+args["Name"]+": no answer")
	case r.back == dns.Nothing:
		s.hit("RDNS_MISMATCH", args, e.IP.String()+" PTR "+args["Name"]+", which has another address")
	}
}

func (s *scan) reportHello(r reverseFact) {
	e := r.egress
	switch {
	case !named(e):
	case r.hello == dns.Nothing:
		s.hit("HELO_MISMATCH", map[string]string{"IP": e.IP.String(), "Hello": e.HELO}, "HELO "+e.HELO+" has no address "+e.IP.String())
	case r.hello == dns.TryLater:
		s.notMeasured("HELO_MISMATCH", "addresses of "+e.HELO+": no answer")
	}
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
