package checkup

import (
	"slices"
	"strings"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/spf"
)

// returnPath looks at the name under which bounces come back.
func (l *look) returnPath() []Finding {
	f := Finding{Group: ReturnPath, State: Fine}
	own := l.customer.ReturnDomain()
	switch {
	case own != "":
		return l.ownReturn(own)
	case l.customer.ReturnPath == account.ReturnPathKept || l.o.Returns == "":
		f.Code = "return.kept"
	default:
		f.Code, f.Args = "return.ours", map[string]any{"Domain": string(l.o.Returns)}
	}
	return []Finding{f}
}

// ownReturn looks at a customer's own domain for return addresses: its MX must lead here, and SPF must know our addresses.
func (l *look) ownReturn(d mail.Domain) []Finding {
	w := l.witness()
	f := Finding{Group: ReturnPath, Subject: string(d), Args: map[string]any{"Domain": string(d), "Host": l.o.Hostname}}
	end := func(code string, s State) []Finding {
		f.Code, f.State, f.Evidence = code, s, w.evidence()
		if s == Problem {
			f.Records = l.returnRecords(d)
		}
		return []Finding{f}
	}
	mx := dns.MX(l.ctx, w, string(d))
	switch mx.Status {
	case dns.TryLater:
		f.Args["Why"] = reason(mx.Err)
		return end("return.unknown", Unknown)
	case dns.Nothing:
		return end("return.missing", Problem)
	}
	ours := []string{strings.ToLower(l.o.Hostname)}
	if l.o.Returns != "" {
		for _, r := range dns.MX(l.ctx, w, string(l.o.Returns)).Records {
			ours = append(ours, r.Host)
		}
	}
	var elsewhere []string
	for _, r := range mx.Records {
		if !slices.Contains(ours, r.Host) && len(elsewhere) < 5 {
			elsewhere = append(elsewhere, orNone(r.Host))
		}
	}
	if len(elsewhere) > 0 {
		f.Args["Elsewhere"] = clip(strings.Join(elsewhere, ", "), 300)
		return end("return.elsewhere", Problem)
	}
	if len(l.egress) == 0 {
		f.Args["Why"] = "the gateway's addresses are not configured"
		return end("return.unknown", Unknown)
	}
	for i, out := range l.evaluate(w, d, l.ips()) {
		switch out.Result {
		case spf.Pass:
		case spf.TempError:
			f.Args["Why"] = reason(out.Err)
			return end("return.unknown", Unknown)
		default:
			f.Args["IP"] = l.ips()[i].String()
			return end("return.spf", Problem)
		}
	}
	return end("return.fine", Fine)
}

// returnRecords are the two ways to publish a return domain: one alias, or MX and SPF.
func (l *look) returnRecords(d mail.Domain) []Record {
	value := strings.Join(append(append([]string{"v=spf1"}, l.addressTerms()...), "-all"), " ")
	out := []Record{
		{Name: string(d), Type: "MX", Value: "10 " + l.o.Hostname + ".", TTL: TTL, Choice: 1},
		{Name: string(d), Type: "TXT", Value: value, TTL: TTL, Choice: 1},
	}
	if l.o.Returns != "" {
		out[1].Value = "v=spf1 include:" + string(l.o.Returns) + " -all"
		out = append(out, Record{Name: string(d), Type: "CNAME", Value: string(l.o.Returns) + ".", TTL: TTL, Choice: 2})
	}
	return out
}

// exists looks whether the domain could take an answer (RFC 5321 5.1, RFC 7505).
func (l *look) exists() []Finding {
	w := l.witness()
	f := Finding{Group: Exists, Args: map[string]any{"Domain": string(l.domain)}}
	end := func(code string, s State) []Finding {
		f.Code, f.State, f.Evidence = code, s, w.evidence()
		return []Finding{f}
	}
	mx := dns.MX(l.ctx, w, string(l.domain))
	switch {
	case mx.Status == dns.TryLater:
		f.Args["Why"] = reason(mx.Err)
		return end("exists.unknown", Unknown)
	case mx.Status == dns.Nothing && mx.NXDomain:
		return end("exists.no-domain", Problem)
	case mx.Status == dns.Nothing:
		switch a := dns.Addrs(l.ctx, w, string(l.domain)); a.Status {
		case dns.TryLater:
			f.Args["Why"] = reason(a.Err)
			return end("exists.unknown", Unknown)
		case dns.Nothing:
			return end("exists.nothing", Problem)
		}
		return end("exists.address", Fine)
	case nullMX(mx):
		return end("exists.null", Problem)
	}
	hosts := mx.Records[:min(len(mx.Records), 8)]
	dead := ""
	for _, r := range hosts {
		switch a := dns.Addrs(l.ctx, w, r.Host); a.Status {
		case dns.Found:
			f.Args["Host"] = r.Host
			return end("exists.fine", Fine)
		case dns.TryLater:
			f.Args["Why"] = reason(a.Err)
		default:
			dead = r.Host
		}
	}
	if f.Args["Why"] != nil {
		return end("exists.unknown", Unknown)
	}
	f.Args["Host"] = orNone(dead)
	return end("exists.dead", Problem)
}

// nullMX reports whether a domain says that it takes no mail (RFC 7505).
func nullMX(a dns.Answer) bool {
	return a.Status == dns.Found && len(a.Records) == 1 && a.Records[0].Host == ""
}

// reverse looks at the gateway's own addresses: a name that leads back, and the name said in EHLO.
func (l *look) reverse() []Finding {
	if len(l.egress) == 0 {
		code := "egress.unset"
		if l.o.Smarthost {
			code = "egress.smarthost"
		}
		return []Finding{{Group: Egress, Code: code, State: Unknown, Operator: true}}
	}
	var out []Finding
	for _, e := range l.egress {
		out = append(out, l.reverseOf(e))
	}
	if name := l.o.SPFInclude; name != "" {
		w := l.witness()
		f := Finding{Group: Egress, Code: "egress.include", State: Fine, Subject: name, Operator: true, Args: map[string]any{"Name": name}}
		var missing []string
		for i, x := range l.evaluate(w, mail.Domain(name), l.ips()) {
			switch x.Result {
			case spf.Pass:
			case spf.TempError:
				f.State = Worse(f.State, Unknown)
				missing = append(missing, l.ips()[i].String())
			default:
				f.State = Problem
				missing = append(missing, l.ips()[i].String())
			}
		}
		if f.State != Fine {
			f.Code, f.Args["IPs"] = "egress.include-lacks", strings.Join(missing, ", ")
			f.Evidence = w.evidence()
			out = append(out, f)
		}
	}
	return out
}

func (l *look) reverseOf(e account.Egress) Finding {
	w := l.witness()
	hello := e.HELO
	if hello == "" {
		hello = l.o.Hostname
	}
	f := Finding{Group: Egress, Subject: e.IP.String(), Operator: true, Args: map[string]any{"IP": e.IP.String(), "Hello": hello}}
	end := func(code string, s State) Finding {
		f.Code, f.State, f.Evidence = code, s, w.evidence()
		return f
	}
	ptr := dns.PTR(l.ctx, w, e.IP)
	switch ptr.Status {
	case dns.TryLater:
		f.Args["Why"] = reason(ptr.Err)
		return end("egress.unknown", Unknown)
	case dns.Nothing:
		f.Records = []Record{{Name: dns.ReverseName(e.IP), Type: "PTR", Value: hello + ".", TTL: TTL}}
		return end("egress.no-name", Problem)
	}
	back, name := dns.Nothing, ""
	for _, r := range ptr.Records[:min(len(ptr.Records), 5)] {
		name = r.Host
		if back = dns.LeadsTo(l.ctx, w, r.Host, e.IP); back != dns.Nothing {
			break
		}
	}
	f.Args["Name"] = clip(name, 255)
	switch back {
	case dns.TryLater:
		f.Args["Why"] = "addresses of " + clip(name, 100) + ": no answer"
		return end("egress.unknown", Unknown)
	case dns.Nothing:
		return end("egress.mismatch", Problem)
	}
	switch dns.LeadsTo(l.ctx, w, hello, e.IP) {
	case dns.TryLater:
		f.Args["Why"] = "addresses of " + hello + ": no answer"
		return end("egress.unknown", Unknown)
	case dns.Nothing:
		return end("egress.hello", Advice)
	}
	return end("egress.fine", Fine)
}

// inbound looks at what a domain publishes for mail that it receives: only where it receives any.
func (l *look) inbound() []Finding {
	if mx := dns.MX(l.ctx, l.known, string(l.domain)); mx.Status != dns.Found || nullMX(mx) {
		return nil
	}
	return []Finding{l.policy(), lookTLSReports(l.ctx, l.witness(), l.domain, l.o.TLSReports)}
}

// policy looks whether an MTA-STS policy is announced; its file is not fetched.
func (l *look) policy() Finding {
	f := stsRecord(l.ctx, l.witness(), l.domain)
	if f.Code == "" {
		f.Code = "sts.fine"
	}
	return f
}
