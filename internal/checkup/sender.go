package checkup

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/mail"
	"postern/internal/near"
	"postern/internal/smtp"
)

// sender looks at what is true of the address of a sender alone; all of its domain is looked at beside.
func (c *Checker) sender(ctx context.Context, t Target, ask Ask) ([]Finding, []dnsbl.Listing) {
	out := []Finding{judgeRole(t.Address)}
	out = append(out, judgeSyntax(t.Address)...)
	out = append(out, judgeDomain(t.Address)...)
	out = append(out, c.exists(ctx, t.Address, ask))
	return append(out, matches(t.Address, ask)...), nil
}

func ofSender(a mail.Address, code string, s State) Finding {
	return Finding{Group: Sender, Code: "sender." + code, State: s, Subject: a.String(), Args: map[string]any{"Address": a.String(), "Domain": a.Domain.Unicode(), "Local": a.Local}}
}

// judgeRole says whether a person may stand behind the address.
func judgeRole(a mail.Address) Finding {
	switch mail.RoleOf(a.Local) {
	case mail.DutyRole:
		return ofSender(a, "duty", Problem)
	case mail.AdminRole:
		return ofSender(a, "admin", Advice)
	case mail.ProgramRole:
		return ofSender(a, "program", Problem)
	case mail.ReturnRole:
		return ofSender(a, "return", Problem)
	case mail.SilentRole:
		return ofSender(a, "silent", Advice)
	}
	return ofSender(a, "person", Fine)
}

// judgeSyntax names what programs stumble over although the standards allow it.
func judgeSyntax(a mail.Address) []Finding {
	var out []Finding
	note := func(code string, s State) { out = append(out, ofSender(a, code, s)) }
	_, literal := a.Domain.Literal()
	switch local := a.Local; {
	case literal:
		note("literal", Problem) // no SPF, no DMARC, and hardly any receiver takes it
	case strings.HasPrefix(a.String(), `"`):
		note("quoted", Advice)
	case a.NeedsSMTPUTF8():
		note("utf8", Advice)
	case strings.ContainsAny(local, "%!"):
		note("route", Problem) // read as a relaying trick, see the forms of the relay test
	case strings.ContainsAny(local, "#$&'*/?^`{|}~"):
		note("odd", Advice)
	case looksMade(local):
		note("made", Advice)
	case utf8.RuneCountInString(local) > 40:
		note("long", Advice)
	}
	if strings.ContainsFunc(a.Local, func(r rune) bool { return r >= 'A' && r <= 'Z' }) {
		f := ofSender(a, "capitals", Fine)
		f.Optional = true
		out = append(out, f)
	}
	return out
}

// looksMade reports whether a local part looks as if a program had invented it: seed 003 counts "fanciful senders" among the marks of abuse.
func looksMade(local string) bool {
	local, _, _ = strings.Cut(strings.ToLower(local), "+")
	letters, digits, changes, vowels := 0, 0, 0, 0
	last := rune(0)
	kind := func(r rune) rune {
		switch {
		case r >= '0' && r <= '9':
			return '0'
		case r >= 'a' && r <= 'z':
			return 'a'
		}
		return '-'
	}
	for _, r := range local {
		k := kind(r)
		switch k {
		case '0':
			digits++
		case 'a':
			letters++
			if strings.ContainsRune("aeiouy", r) {
				vowels++
			}
		}
		if k != last && (k == '0' || k == 'a') && (last == '0' || last == 'a') {
			changes++
		}
		last = k
	}
	n := letters + digits
	switch {
	case n < 10:
		return false
	case changes >= 4 && digits >= 3:
		return true
	case letters >= 12 && 6*vowels < letters:
		return true
	}
	return digits >= 8 && letters > 0 && 2*digits > n && changes >= 2
}

// judgeDomain looks at whose domain it is.
func judgeDomain(a mail.Address) []Finding {
	var out []Finding
	switch {
	case mail.FreeMail(a.Domain):
		out = append(out, ofSender(a, "freemail", Problem))
	case mail.Disposable(a.Domain):
		out = append(out, ofSender(a, "disposable", Problem))
	}
	for label := range strings.SplitSeq(a.Domain.Unicode(), ".") {
		if plain, deceives := mail.Imitation(label); deceives {
			f := ofSender(a, "imitates", Problem)
			f.Args["Plain"], f.Args["Encoded"] = plain, string(a.Domain)
			return append(out, f)
		}
	}
	if strings.Contains(string(a.Domain), "xn--") {
		f := ofSender(a, "idn", Advice)
		f.Args["Encoded"], f.Optional = string(a.Domain), true
		out = append(out, f)
	}
	if near := nearFreeMail(a.Domain); near != "" {
		f := ofSender(a, "misspelt", Problem)
		f.Args["Near"] = near
		out = append(out, f)
	}
	return out
}

// known are the providers whose names are misspelt most.
var known = strings.Fields(`gmail.com hotmail.com outlook.com yahoo.com icloud.com hotmail.fr outlook.fr yahoo.fr orange.fr laposte.net wanadoo.fr`)

// nearFreeMail is the provider that a domain is one slip of the keyboard away from: "gmial.com".
func nearFreeMail(d mail.Domain) string {
	if mail.FreeMail(d) {
		return ""
	}
	for _, k := range known {
		if near.Distance(string(d), k) == 1 {
			return k
		}
	}
	return ""
}

// shy are ends of the names of mail servers that are never asked whether an address exists: their operators take such questions for the harvesting of
// addresses and block who asks (postmaster pages of Google, Microsoft, Yahoo, Orange, Free; read 2026-11).
var shy = strings.Fields(`google.com googlemail.com outlook.com office365.us hotmail.com yahoodns.net icloud.com orange.fr wanadoo.fr free.fr proxad.net sfr.fr
	numericable.fr laposte.net bbox.fr bouyguestelecom.fr gmx.net gmx.com web.de ionos.com 1and1.com kundenserver.de mimecast.com pphosted.com ppe-hosted.com
	barracudanetworks.com messagelabs.com iphmx.com trendmicro.com sophos.com mail.ru yandex.net qq.com 163.com netease.com zoho.com zoho.eu
	protonmail.ch comcast.net cox.net aol.com secureserver.net ovh.net gandi.net infomaniak.ch amazonaws.com`)

// exists asks the domain's mail server whether it would take mail for the address (RCPT, no message). Only servers of ours, or of domains that the
// operator says are his, are asked.
func (c *Checker) exists(ctx context.Context, a mail.Address, ask Ask) Finding {
	w := c.witness()
	f := ofSender(a, "exists", Fine)
	end := func(code string, s State) Finding {
		f.Code, f.State, f.Optional = "sender."+code, s, s == Unknown
		f.Evidence = append(f.Evidence, w.evidence()...)
		return f
	}
	if !ask.Callout {
		return end("unasked", Unknown)
	}
	hosts, why := c.exchangers(ctx, w, a.Domain)
	switch {
	case why != "":
		f.Args["Why"] = why
		return end("unknown", Unknown)
	case len(hosts) == 0:
		return end("nowhere", Problem)
	}
	host := hosts[0]
	f.Args["Host"] = host.name
	if slices.ContainsFunc(shy, func(end string) bool { return host.name == end || strings.HasSuffix(host.name, "."+end) }) {
		return end("shy", Unknown)
	}
	if !c.ours(host.ip, ask) && !ask.Mine.owns(a.Domain) {
		return end("strangers", Unknown)
	}
	if c.mayProbe(host.ip, Ask{Probe: true}) != "" {
		f.Args["Why"] = host.ip.String() + " is not connected to"
		return end("unknown", Unknown)
	}
	got, any, err := c.callout(ctx, host, a)
	if err != nil {
		f.Args["Why"] = reason(err)
		return end("unknown", Unknown)
	}
	f.Args["Reply"] = clip(replyText(got), 300)
	f.Evidence = append(f.Evidence, Question{Name: a.String(), Type: "RCPT", Server: host.name, Status: "found", Values: []string{clip(replyText(got), 300)}})
	switch {
	case got.OK() && any.OK():
		return end("catch-all", Unknown)
	case got.OK():
		return end("exists", Fine)
	case got.Temporary():
		return end("later", Unknown)
	case noMailbox(got):
		return end("absent", Problem)
	}
	return end("refused", Unknown)
}

// exchanger is a mail server with the address it is asked at.
type exchanger struct {
	name string
	ip   netip.Addr
}

// exchangers are a domain's mail servers, the first choice first; none: it takes no mail. why: DNS did not say.
func (c *Checker) exchangers(ctx context.Context, r dns.Resolver, d mail.Domain) (out []exchanger, why string) {
	mx := dns.MX(ctx, r, string(d))
	records := slices.Clone(mx.Records)
	switch {
	case mx.Status == dns.TryLater:
		return nil, reason(mx.Err)
	case mx.Status == dns.Nothing:
		records = []dns.Record{{Host: string(d)}}
	case nullMX(mx):
		return nil, ""
	}
	slices.SortStableFunc(records, func(x, y dns.Record) int { return int(x.Pref) - int(y.Pref) })
	for _, m := range records[:min(len(records), maxNames)] {
		a := dns.Addrs(ctx, r, m.Host)
		if a.Status == dns.TryLater {
			why = reason(a.Err)
		}
		for _, rec := range a.Records {
			out = append(out, exchanger{m.Host, rec.IP.Unmap()})
		}
	}
	if len(out) > 0 {
		why = ""
	}
	return out, why
}

// callout asks about the address, and about one that cannot exist: a server that takes that as well knows nothing yet.
func (c *Checker) callout(ctx context.Context, host exchanger, a mail.Address) (got, any smtp.Reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout()+time.Second)
	defer cancel()
	s, err := c.session(ctx, netip.AddrPortFrom(host.ip, portRelay), nil)
	if err != nil {
		return got, any, err
	}
	defer func() { _ = s.Close() }()
	m, got, err := s.Try(ctx, "", a.String())
	switch {
	case err != nil:
		return got, any, err
	case got.Code == 0:
		return got, any, fmt.Errorf("the null sender is refused: %s", replyText(m))
	case got.OK() && s.Usable():
		if _, any, err = s.Try(ctx, "", mail.Address{Local: "no-such-mailbox-" + nonce(), Domain: a.Domain}.String()); err != nil {
			return got, any, err
		}
	}
	_ = s.Quit(ctx)
	return got, any, nil
}

// noMailbox reports whether a refusal is about the mailbox and not about us (RFC 3463: X.1.1, X.1.2, X.1.6; without an enhanced code by its words).
func noMailbox(r smtp.Reply) bool {
	if !r.Permanent() {
		return false
	}
	if e := r.Enhanced; !e.IsZero() {
		return e[1] == 1 && (e[2] == 1 || e[2] == 2 || e[2] == 6 || e[2] == 10) || e[1] == 2 && e[2] == 1
	}
	text := strings.ToLower(strings.Join(r.Lines, " "))
	return slices.ContainsFunc([]string{"unknown", "no such", "does not exist", "doesn't exist", "not found", "no mailbox", "invalid recipient", "inconnu", "n'existe pas", "unavailable"},
		func(s string) bool { return strings.Contains(text, s) })
}

// matches looks whether the server belongs to the address: the name it gives in EHLO, and where bounces return.
func matches(a mail.Address, ask Ask) []Finding {
	own := Registered(a.Domain)
	var out []Finding
	if ask.ReturnPath != "" {
		f := ofSender(a, "return-aligned", Fine)
		f.Args["Return"] = string(ask.ReturnPath)
		if Registered(ask.ReturnPath) != own {
			f.Code, f.State = "sender.return-other", Advice
		}
		out = append(out, f)
	}
	hello := ask.HELO
	if hello == "" {
		return out
	}
	f := ofSender(a, "server-own", Fine)
	f.Args["Hello"], f.Optional = clip(hello, 255), true
	if d, err := mail.ParseDomain(hello); err != nil || Registered(d) != own {
		f.Code, f.State = "sender.server-other", Advice
	}
	return append(out, f)
}
