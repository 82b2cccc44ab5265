package filter

import (
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"postern/internal/dkim"
	"postern/internal/dmarc"
	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/spf"
)

// What delivery does about TLS (Options.TLS).
const (
	TLSOffered   = "opportunistic" // STARTTLS wherever the receiver offers it
	TLSNever     = "none"
	TLSSmarthost = "smarthost" // mail leaves through a relay, which speaks to the receivers
)

// measure holds the message against everything that any provider asks. What only bulk mail must have is left out for other mail.
func (s *scan) measure(ctx context.Context, bulk bool) map[string]measured {
	byIP, byKey := s.spfFound(ctx), s.dkimFound(ctx)
	a := s.alignment(ctx, byIP, byKey)
	found := map[string]measured{
		NeedSPF:          byIP,
		NeedDKIM:         byKey,
		NeedDKIMKey:      s.keyFound(ctx),
		NeedSPFAligned:   a.spf,
		NeedDKIMAligned:  a.dkim,
		NeedPTR:          s.ptrFound(ctx),
		NeedHello:        s.helloFound(ctx),
		NeedTLS:          s.tlsFound(),
		NeedForm:         s.formFound(),
		NeedFromDomain:   s.fromDomainFound(ctx),
		NeedDMARC:        s.dmarcFound(ctx),
		NeedDMARCReports: s.reportsFound(ctx),
		NeedDMARCPass:    s.passFound(ctx),
	}
	found[NeedSPFNoFail] = noFail(byIP)
	found[NeedSPFOrDKIM] = either(byIP, byKey, "neither")
	found[NeedAligned] = either(a.spf, a.dkim, "not_aligned")
	if bulk {
		found[NeedOneClick] = s.oneClickFound(ctx)
		found[NeedBodyLink] = s.bodyLinkFound()
		found[NeedFeedbackID] = s.feedbackIDFound(ctx)
	}
	return found
}

// either is met when one of two is; its evidence is that one's, or both.
func either(a, b measured, why string) measured {
	switch {
	case a.State == Met:
		return a
	case b.State == Met:
		return b
	case a.State == NotKnown:
		return a
	case b.State == NotKnown:
		return b
	}
	return missing(why, strings.Trim(a.Evidence+"; "+b.Evidence, "; "), a.Args)
}

// spfFound: SPF passes for the envelope's sender from every address the message may leave from.
func (s *scan) spfFound(ctx context.Context) measured {
	f := s.spfOf(ctx)
	worst, evidence := f.worst()
	switch {
	case len(f.measured) == 0:
		return notKnown("no_egress", "")
	case worst.Result != "" && worst.Result != spf.Pass:
		args := map[string]string{"Domain": worst.Domain, "IP": worst.egress.String(), "Suggested": SuggestSPF(worst.Record, s.Egress),
			"Mechanisms": strings.Join(spfMechanisms(s.Egress), " ")}
		if len(args["Suggested"]) > maxArgText {
			args["Suggested"] = args["Mechanisms"] // half a record must not be published
		}
		if s.leaving().IsNull() {
			return missing("spf_hello", evidence[0], args)
		}
		return missing("spf_"+string(worst.Result), evidence[0], args)
	case f.unknown != "":
		return notKnown("dns", f.unknown)
	}
	return met(evidence[0])
}

// noFail: SPF does not fail, which is less than to pass.
func noFail(m measured) measured {
	if m.State == Missing && m.Why != "spf_fail" && m.Why != "spf_permerror" && m.Why != "spf_hello" {
		return met(m.Evidence)
	}
	return m
}

// dkimFound: a signature verifies, one of the message's own or ours.
func (s *scan) dkimFound(ctx context.Context) measured {
	f := s.dkimOf(ctx)
	unpublished, ours := s.ourSignatures(f)
	failed := ""
	for _, sig := range f.signatures {
		switch {
		case sig.Status == dkim.StatusPass:
			return met(fmt.Sprintf("d=%s s=%s %s %d bits", sig.Domain, sig.Selector, sig.Algorithm, sig.KeyBits))
		case sig.Status != dkim.StatusTempError && failed == "":
			failed = fmt.Sprintf("d=%s s=%s: %s, %s", sig.Domain, sig.Selector, sig.Status, sig.Reason)
		}
	}
	for _, k := range ours {
		return met(fmt.Sprintf("d=%s s=%s %s (added when the message leaves)", k.Domain, k.Selector, k.Algorithm))
	}
	from, _ := s.fromDomain()
	args := map[string]string{"Domain": string(from)}
	switch {
	case f.unknown != "":
		return notKnown("dns", f.unknown)
	case len(unpublished) > 0:
		k := unpublished[0].key
		args["Domain"], args["Name"], args["Record"] = string(k.Domain), k.RecordName(), k.Record()
		return missing("dkim_unpublished", k.RecordName(), args)
	case failed != "":
		return missing("dkim_invalid", failed, args)
	}
	return missing("dkim_none", "", args)
}

// goodKey is the size that Google and Yahoo advise for RSA keys, in bits; they ask for 1024, and dkim.Verify accepts no less.
const goodKey = 2048

// keyFound: a valid signature is of an RSA key of good size. Microsoft and Yahoo do not verify Ed25519 (third parties' tables, 2026-03), so that
// a signature of that kind alone is none to them.
func (s *scan) keyFound(ctx context.Context) measured {
	f := s.dkimOf(ctx)
	_, ours := s.ourSignatures(f)
	best, evidence, any := 0, "", false
	see := func(algorithm string, bits int, text string) {
		any = true
		if !strings.HasPrefix(algorithm, "rsa") {
			bits = 0
		}
		if bits > best || evidence == "" {
			best, evidence = bits, text
		}
	}
	for _, sig := range f.signatures {
		if sig.Status == dkim.StatusPass {
			see(sig.Algorithm, sig.KeyBits, fmt.Sprintf("d=%s s=%s %s %d bits", sig.Domain, sig.Selector, sig.Algorithm, sig.KeyBits))
		}
	}
	for _, k := range ours {
		bits := 0
		if public, ok := k.Private.Public().(*rsa.PublicKey); ok {
			bits = public.N.BitLen()
		}
		see(k.Algorithm, bits, fmt.Sprintf("d=%s s=%s %s %d bits", k.Domain, k.Selector, k.Algorithm, bits))
	}
	switch {
	case !any && f.unknown != "":
		return notKnown("dns", f.unknown)
	case !any:
		return measured{Finding: Finding{State: NotForThis, Why: "no_signature"}}
	case best >= goodKey:
		return met(evidence)
	case best == 0:
		return missing("key_ed25519", evidence, nil)
	}
	m := missing("key_short", evidence, nil)
	m.soft = true
	return m
}

// alignments are SPF and DKIM each as proof of the author's domain.
type alignments struct{ spf, dkim measured }

// alignment compares with the domain of From. The policy says how, when there is one; without it the comparison is the relaxed one, by the
// public suffix list.
func (s *scan) alignment(ctx context.Context, byIP, byKey measured) alignments {
	f := s.dmarcOf(ctx)
	if f.from == "" {
		none := missing("no_from", "", nil)
		return alignments{none, none}
	}
	sp, dk := s.spfOf(ctx), s.dkimOf(ctx)
	bySPF, byDKIM := f.outcome.SPFAligned, f.outcome.DKIMAligned
	if !f.outcome.Policy.Found {
		bySPF = sameOrganization(f.from, sp.passes)
		byDKIM = slices.ContainsFunc(dk.valid, func(d mail.Domain) bool { return sameOrganization(f.from, d) })
	}
	out := alignments{byIP, byKey}
	open := f.outcome.Result == dmarc.TempError
	judge := func(m measured, aligned bool, why, evidence string) measured {
		switch {
		case aligned:
			return met(evidence)
		case m.State != Met:
			return m
		case open:
			return notKnown("dns", "_dmarc."+string(f.from)+": no answer")
		}
		return missing(why, evidence, map[string]string{"Domain": string(f.from), "Sender": orDash(string(s.leaving().Domain)),
			"Mechanisms": strings.Join(spfMechanisms(s.Egress), " ")})
	}
	out.spf = judge(out.spf, bySPF, "spf_other_domain", fmt.Sprintf("From %s, envelope %s", f.from, orDash(string(sp.passes))))
	var signers []string
	for _, d := range dk.valid {
		signers = append(signers, "d="+string(d))
	}
	out.dkim = judge(out.dkim, byDKIM, "dkim_other_domain", fmt.Sprintf("From %s, %s", f.from, strings.Join(signers, " ")))
	return out
}

// dmarcFound: there is a policy that counts.
func (s *scan) dmarcFound(ctx context.Context) measured {
	f := s.dmarcOf(ctx)
	args := map[string]string{"Domain": string(f.from)}
	switch p := f.outcome.Policy; {
	case f.from == "":
		return missing("no_from", "", nil)
	case p.Found:
		return met("_dmarc." + string(p.Domain) + ": " + p.Record)
	case errors.Is(f.outcome.Err, dmarc.ErrSeveralRecords), errors.Is(f.outcome.Err, dmarc.ErrBadRecord):
		return missing("dmarc_bad", reason(f.outcome.Err), args)
	case f.outcome.Result == dmarc.TempError:
		return notKnown("dns", "_dmarc."+string(f.from)+": "+reason(f.outcome.Err))
	}
	return missing("dmarc_none", "", args)
}

// reportsFound: the policy names an address for reports. A policy that lets forged mail be filed away or refused may do without.
func (s *scan) reportsFound(ctx context.Context) measured {
	m := s.dmarcFound(ctx)
	p := s.dmarcOf(ctx).outcome.Policy
	if m.State != Met || len(p.RUA) > 0 {
		return m
	}
	suggested := strings.TrimRight(p.Record, "; ") + "; rua=mailto:dmarc@" + string(p.Domain)
	if strings.Contains(strings.ToLower(p.Record), "rua") { // there is something, of no use
		suggested = "v=DMARC1; p=" + p.P + "; rua=mailto:dmarc@" + string(p.Domain)
	}
	m = missing("dmarc_no_rua", m.Evidence, map[string]string{"PolicyDomain": string(p.Domain), "Suggested": suggested})
	m.soft = p.P == dmarc.ActQuarantine || p.P == dmarc.ActReject
	return m
}

// passFound: DMARC passes.
func (s *scan) passFound(ctx context.Context) measured {
	f := s.dmarcOf(ctx)
	out := f.outcome
	evidence := fmt.Sprintf("From %s: SPF %s, DKIM %s", f.from, aligned(out.SPFAligned), aligned(out.DKIMAligned))
	switch {
	case out.Result == dmarc.Pass:
		return met(evidence)
	case out.Result == dmarc.Fail && f.unknown != "":
		return notKnown("dns", f.unknown)
	case out.Result == dmarc.Fail:
		m := missing("dmarc_fail", evidence+"; "+out.Policy.Record, map[string]string{"Domain": string(f.from), "Sender": orDash(string(s.leaving().Domain)),
			"Mechanisms": strings.Join(spfMechanisms(s.Egress), " ")})
		switch out.Applied {
		case dmarc.ActQuarantine:
			m.Why, m.hard = whyFiled, true
		case dmarc.ActReject:
			m.Why, m.hard = whyRejected, true
		}
		return m
	case out.Result == dmarc.TempError:
		return notKnown("dns", "_dmarc."+string(f.from)+": "+reason(out.Err))
	}
	return s.dmarcFound(ctx)
}

// ptrFound: each address has a name that leads back to it.
func (s *scan) ptrFound(ctx context.Context) measured {
	facts := s.reverseOf(ctx)
	if len(facts) == 0 {
		return notKnown("no_egress", "")
	}
	var good []string
	var bad, open measured
	for _, r := range facts {
		ip, names := r.egress.IP.String(), r.names()
		args := map[string]string{"IP": ip, "Hello": r.egress.HELO, "Name": names}
		switch {
		case r.ptr.Status == dns.TryLater:
			open = notKnown("dns", "PTR of "+ip+": "+reason(r.ptr.Err))
		case r.ptr.Status == dns.Nothing:
			bad = missing("ptr_none", ip, args)
		case r.back == dns.TryLater:
			open = notKnown("dns", "addresses of "+names+": no answer")
		case r.back == dns.Nothing && bad.State == "":
			bad = missing("ptr_mismatch", ip+" PTR "+names, args)
		case r.back == dns.Found:
			good = append(good, ip+" PTR "+names)
		}
	}
	return worstOf(bad, open, met(strings.Join(good, ", ")))
}

// helloFound: the name said in HELO is a full name that the DNS knows.
func (s *scan) helloFound(ctx context.Context) measured {
	facts := s.reverseOf(ctx)
	if len(facts) == 0 {
		return notKnown("no_egress", "")
	}
	var good []string
	var bad, open measured
	for _, r := range facts {
		name := r.egress.HELO
		args := map[string]string{"IP": r.egress.IP.String(), "Hello": name}
		switch {
		case name == "":
			open = notKnown("no_hello", r.egress.IP.String())
		case !named(r.egress) || !dns.HostName(name) || !strings.Contains(strings.TrimSuffix(name, "."), "."):
			bad = missing("helo_no_name", name, args)
		case r.hello == dns.TryLater:
			open = notKnown("dns", "addresses of "+name+": no answer")
		case r.hello == dns.Nothing && !s.resolves(name):
			bad = missing("helo_unresolved", name, args)
		case !slices.Contains(good, name):
			good = append(good, name)
		}
	}
	return worstOf(bad, open, met(strings.Join(good, ", ")))
}

// resolves reports whether a name that was looked up has an address, whichever.
func (s *scan) resolves(name string) bool {
	m, ok := s.resolver.(*memory)
	if !ok {
		return false
	}
	four, _ := m.known(name, dns.TypeA)
	six, _ := m.known(name, dns.TypeAAAA)
	return four.Status == dns.Found || six.Status == dns.Found
}

// worstOf is the first that was set.
func worstOf(all ...measured) measured {
	for _, m := range all {
		if m.State != "" {
			return m
		}
	}
	return measured{}
}

// tlsFound is what delivery will do, for nobody knows yet what the receiver offers.
func (s *scan) tlsFound() measured {
	switch s.o.TLS {
	case TLSOffered:
		m := met("")
		m.Why = "tls_offered"
		return m
	case TLSNever:
		return missing("tls_none", "", nil)
	case TLSSmarthost:
		return notKnown("tls_smarthost", "")
	}
	return notKnown("tls_unknown", "")
}

// formFound: the header is as RFC 5322 asks, with the fields that receivers refuse to do without.
func (s *scan) formFound() measured {
	var faults []string
	for _, d := range s.Message.Defects {
		test := defectTests[d.Code]
		if test == "HEADER_MALFORMED" || test == "HEADER_DUPLICATE" || test == "HEADER_8BIT" || d.Code == mail.DefectHeaderUTF8 && !s.Envelope.SMTPUTF8 {
			faults = append(faults, strings.TrimPrefix(d.Where+": "+strings.TrimSpace(d.Detail), ": "))
		}
	}
	if _, ok := s.fromDomain(); !ok {
		faults = append(faults, "no usable From field")
	}
	if _, err := s.Message.Date(); err != nil {
		faults = append(faults, "Date: "+reason(err))
	}
	if !s.Message.Header.Has("Message-ID") {
		faults = append(faults, "no Message-ID field")
	}
	if len(faults) == 0 {
		return met("")
	}
	return missing("form", strings.Join(faults[:min(len(faults), 3)], "; "), nil)
}

// fromDomainFound: the domains of From and of the envelope can be answered.
func (s *scan) fromDomainFound(ctx context.Context) measured {
	from, ok := s.fromDomain()
	if !ok {
		return missing("no_from", "", nil)
	}
	domains := []mail.Domain{from}
	if path := s.leaving().Domain; path != "" && path != from {
		domains = append(domains, path)
	}
	var good []string
	for _, d := range domains {
		r := s.reachOf(ctx, d)
		switch r.state {
		case reachUnknown:
			return notKnown("dns", r.why)
		case reachMissing, reachNothing:
			return missing("no_mx_a", r.why, map[string]string{"Domain": string(d)})
		case reachNullMX:
			if d != from {
				return missing("no_mx_a", r.why, map[string]string{"Domain": string(d)})
			}
		}
		good = append(good, r.why)
	}
	return met(strings.Join(good, "; "))
}

// oneClick is what List-Unsubscribe-Post must say (RFC 8058 3.1).
const oneClick = "List-Unsubscribe=One-Click"

// oneClickFound: RFC 8058, with both fields under a signature that verifies (RFC 8058 4).
func (s *scan) oneClickFound(ctx context.Context) measured {
	fields, posts := s.Message.Header.All("List-Unsubscribe"), s.Message.Header.All("List-Unsubscribe-Post")
	switch {
	case len(fields) == 0:
		return missing("no_list_unsubscribe", "", nil)
	case len(fields) > 1 || len(posts) > 1:
		return missing("unsubscribe_twice", line(fields[0]), nil)
	case !slices.ContainsFunc(unsubscribeAddresses(fields[0].Value()), func(u *url.URL) bool { return u.Scheme == "https" && u.Host != "" }):
		return missing("unsubscribe_no_https", line(fields[0]), nil)
	case len(posts) == 0:
		return missing("no_unsubscribe_post", line(fields[0]), nil)
	case !strings.EqualFold(strings.Join(strings.Fields(posts[0].Value()), ""), oneClick):
		return missing("bad_unsubscribe_post", line(posts[0]), nil)
	}
	return s.signed(ctx, "unsubscribe_unsigned", line(fields[0]), "list-unsubscribe", "list-unsubscribe-post")
}

// signed: one valid signature covers all of the fields. Ours covers those of lists wherever they occur.
func (s *scan) signed(ctx context.Context, why, evidence string, names ...string) measured {
	f := s.dkimOf(ctx)
	if _, ours := s.ourSignatures(f); len(ours) > 0 {
		return met(evidence)
	}
	for _, sig := range f.signatures {
		if sig.Status == dkim.StatusPass && !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(sig.Headers, n) }) {
			return met(evidence)
		}
	}
	if f.unknown != "" {
		return notKnown("dns", f.unknown)
	}
	return missing(why, evidence, nil)
}

// unsubscribeAddresses reads the addresses in angle brackets of a List-Unsubscribe field (RFC 2369 2).
func unsubscribeAddresses(value string) []*url.URL {
	var out []*url.URL
	for len(out) < 8 {
		_, rest, ok := strings.Cut(value, "<")
		if !ok {
			break
		}
		text, after, ok := strings.Cut(rest, ">")
		if !ok {
			break
		}
		if u, err := url.Parse(strings.Join(strings.Fields(text), "")); err == nil {
			out = append(out, u)
		}
		value = after
	}
	return out
}

// leaving are the words of links by which one leaves a list, in the languages that senders of ours write: lower case, é also for e and É.
var leaving = accents("unsub", "optout", "opt-out", "opt_out", "opt out", "désab", "désinscri", "dés-inscri", "dés inscri", "ne plus recevoir", "stop receiving",
	"leave this list", "mailing preferences", "gérer vos abonnements", "gérer mes abonnements", "gérer vos préférences", "gérer mes préférences",
	"manage subscription", "manage your subscription", "manage preferences", "manage your preferences", "abmeld", "abbestell", "annulla", "disiscri",
	"cancela", "darse de baja", "afmeld", "uitschrij", "wypisz")

// accents adds each word with its é written in the other ways.
func accents(words ...string) []string {
	for _, w := range words {
		if strings.Contains(w, "é") {
			words = append(words, strings.ReplaceAll(w, "é", "e"), strings.ReplaceAll(w, "é", "É"))
		}
	}
	return words
}

// leavingAt is where a text speaks of leaving a list, -1 if nowhere.
func leavingAt(text string) int {
	lower := []byte(text) // ASCII alone is lowered, so that places stay
	for i, b := range lower {
		if b >= 'A' && b <= 'Z' {
			lower[i] = b + 'a' - 'A'
		}
	}
	for _, w := range leaving {
		if i := bytes.Index(lower, []byte(w)); i >= 0 {
			return i
		}
	}
	return -1
}

// Bounds on the search for a link to leave, which stands near the end.
const (
	mostLinks    = 500      // the last ones
	mostLinkText = 64 << 10 // bytes at the end of the text
)

// last returns at most n at the end.
func last[T any](all []T, n int) []T { return all[max(0, len(all)-n):] }

// bodyLinkFound: the text has a link to leave. It is looked for by words and by the address of the header, so that one with other words is
// not found.
func (s *scan) bodyLinkFound() measured {
	var targets []string
	for _, f := range s.Message.Header.All("List-Unsubscribe") {
		for _, u := range unsubscribeAddresses(f.Value()) {
			if u.Host != "" && len(u.Path) > 1 {
				targets = append(targets, strings.ToLower(u.Host)+u.Path)
			}
		}
	}
	leads := func(address string) bool {
		if leavingAt(address) >= 0 {
			return true
		}
		u, err := url.Parse(address)
		return err == nil && u.Host != "" && slices.Contains(targets, strings.ToLower(u.Host)+u.Path)
	}
	for _, p := range s.htmlParts() {
		for _, l := range last(p.HTML().Links, mostLinks) {
			if l.Tag == "a" && (leads(l.URL) || leavingAt(l.Text) >= 0) {
				return met(strings.TrimSpace(l.Text + " " + l.URL))
			}
		}
	}
	uris := s.Message.URIs()
	for _, u := range last(uris, mostLinks) {
		if u.Origin == "text" && leads(u.Raw) {
			return met(u.Raw)
		}
	}
	if len(uris) > 0 && len(s.htmlParts()) == 0 {
		text := s.Message.Text()
		text = text[max(0, len(text)-mostLinkText):]
		if at := leavingAt(text); at >= 0 {
			return met(around(text, at))
		}
	}
	return missing("no_body_link", "", nil)
}

// around is the line of a text in which something stands.
func around(text string, at int) string {
	start := strings.LastIndexByte(text[:at], '\n') + 1
	line, _, _ := strings.Cut(text[start:], "\n")
	return strings.TrimSpace(line)
}

// feedbackIDFound: Feedback-ID names its sender last (a:b:c:sender) and is under a valid signature, as Google reads it.
func (s *scan) feedbackIDFound(ctx context.Context) measured {
	fields := s.Message.Header.All("Feedback-ID")
	if len(fields) == 0 {
		return missing("no_feedback_id", "", nil)
	}
	parts := strings.Split(fields[0].Value(), ":")
	if len(fields) > 1 || len(parts) > 4 || strings.TrimSpace(parts[len(parts)-1]) == "" {
		return missing("feedback_id_form", line(fields[0]), nil)
	}
	return s.signed(ctx, "feedback_id_unsigned", line(fields[0]), "feedback-id")
}
