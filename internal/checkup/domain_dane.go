package checkup

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/tlspolicy"
)

// mxDoor is port 25 of an exchanger that was connected to.
type mxDoor struct {
	exchanger
	door door
}

// mxServers looks at the mail servers of a domain, as others who deliver to it meet them: their TLSA records, and with Ask.Probe port 25, one connection
// to each. Ports 465 and 587 belong to submission servers; they are looked at for an IP.
func (c *Checker) mxServers(ctx context.Context, d mail.Domain, ask Ask) part {
	mx := dns.MX(ctx, c.o.Resolver, string(d))
	all, _ := c.exchangers(ctx, c.o.Resolver, d) // that DNS does not say is told elsewhere
	if len(all) == 0 {
		return part{}
	}
	var hosts []string
	for _, x := range all {
		if !slices.Contains(hosts, x.name) && len(hosts) < maxHosts {
			hosts = append(hosts, x.name)
		}
	}
	chosen := c.toProbe(all, ask)
	doors, tlsa := make([]mxDoor, len(chosen)), make([]tlsaLook, len(hosts))
	var work sync.WaitGroup
	for i, x := range chosen {
		work.Go(func() { doors[i] = mxDoor{x, c.knockMX(ctx, x, ask.Reuse)} })
	}
	for i, h := range hosts {
		work.Go(func() { tlsa[i] = c.lookTLSA(ctx, h) })
	}
	work.Wait()
	out := part{doors: doors}
	for _, x := range doors {
		out.findings = append(out.findings, c.mxServer(ctx, x)...)
	}
	out.findings = append(out.findings, unasked(d, hosts, doors, c.probes(ask))...)
	out.findings = append(out.findings, c.mxDANE(ctx, d, mx.Status != dns.TryLater && mx.Authentic, tlsa, doors)...)
	return out
}

// probes reports whether mail servers are connected to at all.
func (c *Checker) probes(ask Ask) bool { return ask.Probe && c.o.Probes.Hostname != "" }

// toProbe are the exchangers to connect to, each name and each address once.
func (c *Checker) toProbe(all []exchanger, ask Ask) []exchanger {
	if !c.probes(ask) {
		return nil
	}
	var out []exchanger
	for _, x := range all {
		again := slices.ContainsFunc(out, func(y exchanger) bool { return y.name == x.name || y.ip == x.ip })
		if !again && len(out) < maxExchangers && !dns.Inside(x.ip, c.o.Probes.Inside) {
			out = append(out, x)
		}
	}
	return out
}

// mxServer says what one exchanger showed.
func (c *Checker) mxServer(ctx context.Context, x mxDoor) []Finding {
	n := named{names: []string{x.name}, confirmed: []string{x.name}}
	args := map[string]any{"Host": x.name, "IP": x.ip.String(), "Ports": "25"}
	var out []Finding
	switch x.door.reach {
	case doorClosed:
		out = []Finding{{Group: Server, Code: "server.mx-closed", State: Problem, Args: args, Evidence: []Question{x.door.question()}}}
	case doorSilent:
		out = []Finding{{Group: Server, Code: "server.silent", State: Unknown, Optional: true, Args: args, Evidence: []Question{x.door.question()}}}
	default:
		out = append(c.judgeDoor(ctx, x.door, n), c.judgeTLS(x.door, n)...)
	}
	for i := range out {
		out[i].Subject = x.name
	}
	return out
}

// unasked says what was not asked of the exchangers.
func unasked(d mail.Domain, hosts []string, doors []mxDoor, probes bool) []Finding {
	var asked, others []string
	for _, h := range hosts {
		if slices.ContainsFunc(doors, func(x mxDoor) bool { return x.name == h }) {
			asked = append(asked, h)
		} else {
			others = append(others, h)
		}
	}
	one := func(code string, s State, names []string) Finding {
		return Finding{Group: Server, Code: code, State: s, Optional: true, Subject: string(d), Args: map[string]any{"Domain": string(d), "Hosts": clip(strings.Join(names, ", "), 500)},
			Evidence: []Question{{Name: string(d), Type: "MX", Status: "found", Values: hosts[:min(len(hosts), maxValues)]}}}
	}
	switch {
	case !probes:
		return []Finding{one("server.mx-unprobed", Unknown, others)}
	case len(asked) == 0:
		return []Finding{one("server.mx-more", Unknown, others)}
	case len(others) > 0:
		return []Finding{one("server.mx-ports", Fine, asked), one("server.mx-more", Unknown, others)}
	}
	return []Finding{one("server.mx-ports", Fine, asked)}
}

// tlsaLook is what DNS says of the DANE of one exchanger.
type tlsaLook struct {
	host   string
	answer dns.Answer
	signed bool // DNSSEC vouches for its addresses, without which senders do not look for its TLSA records (RFC 7672 2.2.2)
	w      *witness
}

func (c *Checker) lookTLSA(ctx context.Context, host string) tlsaLook {
	l := tlsaLook{host: host, w: c.witness()}
	l.answer = l.w.Query(ctx, tlsaName(host, portRelay), dns.TypeTLSA)
	for _, t := range []dns.Type{dns.TypeA, dns.TypeAAAA} {
		if a := c.o.Resolver.Query(ctx, host, t); a.Status == dns.Found {
			l.signed = a.Authentic
			break
		}
	}
	return l
}

func tlsaName(host string, port int) string { return "_" + strconv.Itoa(port) + "._tcp." + host }

// mxDANE judges the TLSA records of the exchangers (RFC 7672), against the certificates of those that were connected to.
func (c *Checker) mxDANE(ctx context.Context, d mail.Domain, mxSigned bool, looks []tlsaLook, doors []mxDoor) []Finding {
	var out []Finding
	var none []string
	without := c.witness()
	for _, l := range looks {
		switch {
		case l.answer.Status == dns.Found:
			i := slices.IndexFunc(doors, func(x mxDoor) bool { return x.name == l.host })
			var at *door
			if i >= 0 {
				at = &doors[i].door
			}
			out = append(out, c.danePart(ctx, d, mxSigned, l, at))
		case l.answer.Status == dns.Nothing:
			none = append(none, l.host)
			for _, q := range l.w.evidence() {
				without.note(q)
			}
		case mxSigned && l.signed: // else nobody asks
			out = append(out, Finding{Group: TLS, Code: "dane.unknown", State: Unknown, Subject: l.host, Evidence: l.w.evidence(),
				Args: map[string]any{"Name": tlsaName(l.host, portRelay), "Host": l.host, "Port": portRelay, "Why": reason(l.answer.Err)}})
		}
	}
	if len(none) > 0 {
		f := Finding{Group: TLS, Code: "dane.none", State: Advice, Optional: true, Subject: string(d), Evidence: without.evidence(), Args: map[string]any{"Domain": string(d), "Hosts": clip(strings.Join(none, ", "), 500)}}
		for _, x := range doors {
			// The record can be told where the certificate was seen, and is worth something where the zones are signed.
			if mxSigned && slices.Contains(none, x.name) && x.door.tls != nil && signedOf(looks, x.name) {
				f.Records = append(f.Records, tlsaRecord(tlsaName(x.name, portRelay), x.door.tls.PeerCertificates)...)
			}
		}
		out = append(out, f)
	}
	return out
}

func signedOf(looks []tlsaLook, host string) bool {
	return slices.ContainsFunc(looks, func(l tlsaLook) bool { return l.host == host && l.signed })
}

// danePart judges the TLSA records of one exchanger.
func (c *Checker) danePart(ctx context.Context, d mail.Domain, mxSigned bool, l tlsaLook, at *door) Finding {
	f, usable := readTLSA(l.answer, l.w, l.host, portRelay)
	f.Subject = l.host
	end := func(code string, s State) Finding {
		f.Code, f.State = code, s
		return f
	}
	switch {
	case len(usable) == 0:
		return end("dane.unusable", Problem)
	case at != nil && at.tls != nil:
		f.Evidence = append(f.Evidence, at.question())
		c.holdTLSA(&f, l.answer.Authentic, usable, l.host, []string{string(d)}, at)
		if f.State != Fine || mxSigned {
			return f
		}
		return end("dane.mx-unsigned", Advice)
	case !l.answer.Authentic && !c.validates(ctx, l.w):
		f.Optional = true
		return end("dane.unchecked", Unknown)
	case !l.answer.Authentic:
		f.Optional = true
		return end("dane.no-dnssec", Advice)
	case at != nil && at.reach == doorOpen && at.tlsErr == nil && mxSigned:
		f.Evidence = append(f.Evidence, at.question())
		return end("dane.no-tls", Problem)
	case !mxSigned:
		return end("dane.mx-unsigned", Advice)
	}
	f.Optional = true
	return end("dane.unheld", Unknown)
}

// validates reports whether the resolver vouches for what is signed for certain: the root.
func (c *Checker) validates(ctx context.Context, r dns.Resolver) bool {
	root := r.Query(ctx, ".", dns.TypeSOA)
	return root.Status == dns.Found && root.Authentic
}

// heldTo holds the servers that were connected to against the MTA-STS policy of the domain (RFC 8461 4.1, 4.2): TLS, with a certificate for the name of
// the exchanger that browsers would take. Names that the policy does not allow are told with the policy.
func (c *Checker) heldTo(d mail.Domain, p *tlspolicy.STSPolicy, doors []mxDoor) []Finding {
	if p == nil || p.Mode == tlspolicy.STSNone {
		return nil
	}
	grave := Advice
	if p.Mode == tlspolicy.STSEnforce {
		grave = Problem
	}
	var out []Finding
	var held []string
	var shown []Question
	for _, x := range doors {
		if x.door.reach != doorOpen || !p.Matches(x.name) || x.door.tlsErr != nil && timedOut(x.door.tlsErr) {
			continue
		}
		f := Finding{Group: STS, State: grave, Subject: x.name, Evidence: []Question{x.door.question()}, Args: map[string]any{"Host": x.name, "IP": x.ip.String(), "Mode": string(p.Mode), "Domain": string(d)}}
		switch {
		case x.door.tls == nil:
			f.Code = "sts.no-tls"
		default:
			chain := x.door.tls.PeerCertificates
			err := tlspolicy.VerifyChain(x.name, chain[:min(len(chain), maxChain)], c.o.Probes.RootCAs, c.o.Now())
			if err == nil {
				held, shown = append(held, x.name), append(shown, f.Evidence...)
				continue
			}
			f.Code, f.Args["Why"] = "sts.untrusted", reason(err)
		}
		out = append(out, f)
	}
	if len(held) > 0 && len(out) == 0 {
		out = append(out, Finding{Group: STS, Code: "sts.held", State: Fine, Evidence: shown, Args: map[string]any{"Hosts": clip(strings.Join(held, ", "), 500), "Mode": string(p.Mode), "Domain": string(d)}})
	}
	return out
}
