package checkup

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// ports are those that are looked at.
var ports = []int{portRelay, portSubmitTLS, portSubmission}

// servers looks at what listens on an address, one connection to each port; and at servers of ours more closely.
func (c *Checker) servers(ctx context.Context, ip netip.Addr, n named, ask Ask) []Finding {
	if why := c.mayProbe(ip, ask); why != "" {
		return []Finding{{Group: Server, Code: "server." + why, State: Unknown, Optional: true, Subject: ip.String(), Args: map[string]any{"IP": ip.String()}}}
	}
	name := n.serverName()
	doors := make([]door, len(ports))
	var all sync.WaitGroup
	for i, port := range ports {
		all.Go(func() {
			doors[i] = c.knock(ctx, ip, port, name)
			if doors[i].tls != nil && c.ours(ip, ask) {
				c.tryVersions(ctx, &doors[i], name)
			}
		})
	}
	all.Wait()
	out := judgeReach(ip, doors)
	for _, d := range doors {
		out = append(out, c.judgeDoor(ctx, d, n)...)
		out = append(out, c.judgeTLS(d, n)...)
		out = append(out, c.judgeDANE(ctx, d, n)...)
	}
	if ask.Relay != nil {
		out = append(out, c.relay(ctx, ip, doors[0], n, ask)...)
	}
	return out
}

// serverName is the name that TLS is asked for: one that leads to the address, else that of EHLO.
func (n named) serverName() string {
	switch {
	case len(n.confirmed) > 0:
		return n.confirmed[0]
	case hostName(n.hello):
		return n.hello
	}
	return ""
}

// judgeReach sums up the ports that did not speak to us. That nothing listens is no fault: an address that only sends needs no server.
func judgeReach(ip netip.Addr, doors []door) []Finding {
	by := map[reach][]string{}
	var asked []Question
	for _, d := range doors {
		by[d.reach] = append(by[d.reach], strconv.Itoa(d.port))
		if d.reach == doorClosed || d.reach == doorSilent {
			asked = append(asked, d.question())
		}
	}
	finding := func(code string, s State, ports []string) Finding {
		return Finding{Group: Server, Code: code, State: s, Optional: s == Unknown, Subject: ip.String(), Evidence: asked,
			Args: map[string]any{"IP": ip.String(), "Ports": strings.Join(ports, ", ")}}
	}
	var out []Finding
	if shut := by[doorClosed]; len(shut) == len(doors) {
		out = append(out, finding("server.none", Fine, shut))
	} else if len(shut) > 0 {
		out = append(out, finding("server.closed", Fine, shut))
	}
	if mute := by[doorSilent]; len(mute) > 0 {
		out = append(out, finding("server.silent", Unknown, mute))
	}
	return out
}

// judgeDoor looks at the first words of a server.
func (c *Checker) judgeDoor(ctx context.Context, d door, n named) []Finding {
	f := Finding{Group: Server, Subject: strconv.Itoa(d.port), Evidence: []Question{d.question()}, Args: map[string]any{"IP": d.ip.String(), "Port": d.port}}
	end := func(code string, s State) []Finding {
		f.Code, f.State = code, s
		return []Finding{f}
	}
	switch d.reach {
	case doorStrange:
		if d.tlsErr != nil {
			return nil // judgeTLS says it
		}
		f.Args["Why"] = reason(d.err)
		return end("server.strange", Problem)
	case doorRefuses:
		f.Args["Reply"] = clip(replyText(d.greeting), 300)
		f.Optional = true
		return end("server.refuses", Unknown)
	case doorOpen:
	default:
		return nil
	}
	b := readBanner(d.greeting)
	f.Args["Name"], f.Args["Greeting"] = orPhrase(clip(b.name, 255), "no-name"), clip(strings.Join(d.greeting.Lines, " "), 200)
	f.Args["Offers"] = orPhrase(offers(d), "nothing")
	var more []Finding
	if auth, early := d.plain["AUTH"]; early && d.port != portSubmitTLS {
		more = append(more, Finding{Group: Server, Code: "server.auth-plain", State: Problem, Subject: strconv.Itoa(d.port), Evidence: f.Evidence,
			Args: map[string]any{"Port": d.port, "Mechanisms": clip(auth, 100), "IP": d.ip.String()}})
	}
	w := c.witness()
	switch {
	case d.port != portRelay:
		f.Code, f.State = "server.fine", Fine
	case !hostName(b.name):
		f.Code, f.State = "server.no-name", Advice
	case slices.Contains(n.confirmed, b.name):
		f.Code, f.State = "server.fine", Fine
	default:
		switch dns.LeadsTo(ctx, w, b.name, d.ip) {
		case dns.Found:
			f.Code, f.State = "server.fine", Fine
		case dns.TryLater:
			f.Code, f.State = "server.name-unknown", Unknown
		default:
			f.Code, f.State = "server.other-name", Advice
		}
		f.Evidence = append(f.Evidence, w.evidence()...)
	}
	return append([]Finding{f}, more...)
}

// banner is what a greeting says.
type banner struct {
	name string // the host's own name, lower-case; "" none
	rest string
}

// readBanner reads a greeting (RFC 5321 4.2: "220 domain text"). What is no name is text.
func readBanner(r smtp.Reply) banner {
	if len(r.Lines) == 0 {
		return banner{}
	}
	first, rest, _ := strings.Cut(strings.TrimSpace(r.Lines[0]), " ")
	if _, err := mail.ParseDomain(first); err != nil || len(first) > 255 {
		return banner{rest: clip(r.Lines[0], 300)}
	}
	return banner{name: strings.ToLower(strings.TrimSuffix(first, ".")), rest: clip(rest, 300)}
}

// offers are the extensions of a server, those under TLS where there is TLS.
func offers(d door) string {
	ext := d.plain
	if d.secret != nil {
		ext = d.secret
	}
	var all []string
	for name := range ext {
		all = append(all, name)
	}
	slices.Sort(all)
	return clip(strings.Join(all, ", "), 300)
}

// relayForm is one way in which servers have been made to pass mail on for strangers. From and To are paths without angle brackets.
type relayForm struct {
	from, to string
	hack     bool // the recipient is, read plainly, an address of the server's own
}

// String is the form in short: who wrote to whom.
func (f relayForm) String() string { return "`<" + f.from + ">` → `<" + f.to + ">`" }

// relayForms are the forms to try against a server that calls itself host: each asks it to pass mail on to another domain.
func relayForms(to mail.Address, host string, ip netip.Addr, hostname string) []relayForm {
	literal := "[" + ip.String() + "]"
	if ip.Is6() {
		literal = "[IPv6:" + ip.String() + "]"
	}
	local, domain, plain := to.Local, string(to.Domain), to.String()
	probe := "relay-test@" + hostname
	return []relayForm{
		{probe, plain, false},
		{"", plain, false},
		{"postmaster@" + host, plain, false},
		{"postmaster@" + literal, plain, false},
		{plain, plain, false},
		{probe, `"` + plain + `"`, true},
		{probe, `"` + plain + `"@` + host, true},
		{probe, local + "%" + domain, true},
		{probe, local + "%" + domain + "@" + host, true},
		{probe, local + "%" + domain + "@" + literal, true},
		{probe, domain + "!" + local, true},
		{probe, domain + "!" + local + "@" + host, true},
		{probe, "@" + host + ":" + plain, false},
		{probe, "@" + literal + ":" + plain, false},
	}
}

// CheckRelay says why a test for an open relay is not made, or nil: the server must be ours or Mine, and the mailbox at a domain that is.
func (c *Checker) CheckRelay(t Target, ask Ask) error {
	switch {
	case ask.Relay == nil:
		return nil
	case t.Kind != OfIP:
		return fmt.Errorf("%w: %s is no IP; the server at one address is tested", ErrRelayTest, t)
	case !ask.Probe:
		return fmt.Errorf("%w: servers are not connected to", ErrRelayTest)
	case !c.ours(t.IP, ask):
		return fmt.Errorf("%w: nobody said that %s is yours; servers of others are not tested", ErrRelayTest, t.IP)
	case ask.Relay.To.IsNull():
		return fmt.Errorf("%w: it needs a mailbox of yours as recipient", ErrRelayTest)
	case !ask.Mine.owns(ask.Relay.To.Domain):
		return fmt.Errorf("%w: nobody said that %s is yours; mailboxes of others are not written to", ErrRelayTest, ask.Relay.To.Domain)
	}
	if _, literal := ask.Relay.To.Domain.Literal(); literal || strings.ContainsAny(ask.Relay.To.Local, `"\@%! `) {
		return fmt.Errorf("%w: %s: take a plain address at a domain", ErrRelayTest, ask.Relay.To)
	}
	return nil
}

// relay tries the forms on port 25. Nothing is ever sent: each form ends after RCPT with RSET.
func (c *Checker) relay(ctx context.Context, ip netip.Addr, d door, n named, ask Ask) []Finding {
	to := ask.Relay.To
	f := Finding{Group: Server, Subject: ip.String(), Args: map[string]any{"IP": ip.String(), "To": to.String()}}
	end := func(code string, s State) []Finding {
		f.Code, f.State = code, s
		return []Finding{f}
	}
	if d.reach == doorClosed {
		return end("relay.none", Fine)
	}
	if d.reach != doorOpen {
		f.Args["Why"] = orPhrase(reason(d.err), "no-answer")
		return end("relay.unknown", Unknown)
	}
	switch at, err := c.delivers(ctx, to.Domain, ip); {
	case err != nil:
		f.Args["Why"] = reason(err)
		return end("relay.unknown", Unknown)
	case at:
		return end("relay.own", Unknown)
	}
	host := readBanner(d.greeting).name
	if !hostName(host) {
		host = n.serverName()
	}
	if host == "" {
		host = ip.String()
	}
	tried, err := c.tryForms(ctx, ip, relayForms(to, host, ip, c.o.Probes.Hostname), host)
	f.Evidence = tried.said
	f.Args["Tried"], f.Args["Forms"] = tried.answered, orPhrase(clip(strings.Join(tried.accepted, "; "), 600), "nothing")
	switch {
	case len(tried.accepted) > 0:
		return end("relay.open", Problem)
	case err != nil || tried.later > 0 || tried.answered == 0:
		f.Args["Why"] = "temporary refusals (4xx): " + strconv.Itoa(tried.later)
		if err != nil {
			f.Args["Why"] = reason(err)
		}
		return end("relay.unknown", Unknown)
	case len(tried.doubtful) > 0:
		f.Args["Forms"] = clip(strings.Join(tried.doubtful, "; "), 600)
		return end("relay.doubtful", Advice)
	}
	return end("relay.closed", Fine)
}

// delivers reports whether mail for a domain comes to this server anyway, so that taking it is no relaying.
func (c *Checker) delivers(ctx context.Context, d mail.Domain, ip netip.Addr) (bool, error) {
	mx := dns.MX(ctx, c.o.Resolver, string(d))
	hosts := []string{string(d)}
	switch mx.Status {
	case dns.TryLater:
		return false, fmt.Errorf("MX of %s: %w", d, mx.Err)
	case dns.Found:
		hosts = nil
		for _, r := range mx.Records[:min(len(mx.Records), maxNames)] {
			hosts = append(hosts, r.Host)
		}
	}
	for _, h := range hosts {
		switch dns.LeadsTo(ctx, c.o.Resolver, h, ip) {
		case dns.Found:
			return true, nil
		case dns.TryLater:
			return false, fmt.Errorf("addresses of %s: no answer", h)
		}
	}
	return false, nil
}

// tries is what came of the forms.
type tries struct {
	answered           int
	later              int // 4xx
	accepted, doubtful []string
	said               []Question
}

// tryForms speaks one session. The recipient of a hack is, read plainly, an address of the server itself: when the server takes any address of its
// own, that it takes the hack too proves nothing.
func (c *Checker) tryForms(ctx context.Context, ip netip.Addr, forms []relayForm, host string) (tries, error) {
	var out tries
	ctx, cancel := context.WithTimeout(ctx, 2*c.timeout())
	defer cancel()
	s, err := c.session(ctx, netip.AddrPortFrom(ip, portRelay), nil)
	if err != nil {
		return out, err
	}
	defer func() { _ = s.Close() }()
	_, any, err := s.Try(ctx, "relay-test@"+c.o.Probes.Hostname, "no-such-mailbox-"+nonce()+"@"+host)
	if err != nil {
		return out, err
	}
	for _, form := range forms {
		m, r, err := s.Try(ctx, form.from, form.to)
		if err != nil {
			return out, err
		}
		last := r
		if r.Code == 0 {
			last = m
		}
		out.answered++
		line := "MAIL FROM:<" + form.from + "> RCPT TO:<" + form.to + ">"
		out.said = append(out.said, Question{Name: line, Type: "RCPT", Server: ip.String(), Status: "found", Values: []string{clip(replyText(last), 300)}})
		switch {
		case last.Temporary():
			out.later++
		case r.OK() && form.hack && any.OK():
			out.doubtful = append(out.doubtful, form.String())
		case r.OK():
			out.accepted = append(out.accepted, form.String())
		}
		if !s.Usable() {
			return out, fmt.Errorf("the server ended the conversation: %s", replyText(last))
		}
	}
	_ = s.Quit(ctx)
	return out, nil
}
