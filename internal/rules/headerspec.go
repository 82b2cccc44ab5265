package rules

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"postern/internal/mail"
)

// header returns the values of a header specification such as "Subject", "From:addr", "ALL" or "X-Spam-Relays-External", joined as header
// rules see them; set is false when there is none.
func (c *scan) header(name string) spec {
	if s, ok := c.v.specs[name]; ok {
		return s
	}
	s := spec{values: c.headerValues(name)}
	if s.set = len(s.values) > 0; s.set && len(s.values) == 1 {
		s.text = []byte(s.values[0])
	} else if s.set {
		between := "\n"
		if strings.HasSuffix(s.values[0], "\n") {
			between = ""
		}
		s.text = []byte(strings.Join(s.values, between))
	}
	c.v.specs[name] = s
	return s
}

// get returns a specification as one string: the first value for addresses, names and hosts, all joined for the rest.
func (c *scan) get(name string) string {
	s := c.header(name)
	if !s.set {
		return ""
	}
	if strings.Contains(name, ":") && !strings.HasSuffix(name, ":raw") || name == "EnvelopeFrom" {
		return strings.TrimSuffix(s.values[0], "\n")
	}
	return strings.Join(s.values, "")
}

// request is a specification taken apart.
type request struct {
	key                                    string // name in lower case, but for those that are special in capitals only
	name                                   string
	raw, addr, disp, host, domain, ip, rev bool
	first, last                            bool
}

// request returns a specification taken apart; those of header rules are taken apart once.
func (s *RuleSet) request(name string) request {
	if r, ok := s.plan.requests[name]; ok {
		return r
	}
	return parseRequest(name)
}

func parseRequest(s string) request {
	parts := strings.Split(s, ":")
	r := request{name: parts[0]}
	for _, m := range parts[1:] {
		switch m {
		case "raw":
			r.raw = true
		case "addr":
			r.addr = true
		case "name":
			r.disp = true
		case "host":
			r.host = true
		case "domain":
			r.host, r.domain = true, true
		case "ip":
			r.ip = true
		case "revip":
			r.ip, r.rev = true, true
		case "first":
			r.first = true
		case "last":
			r.last = true
		}
	}
	r.key = strings.ToLower(r.name)
	if strings.HasPrefix(r.key, "all") || r.key == "messageid" {
		r.key = r.name
	}
	return r
}

func (c *scan) headerValues(name string) []string {
	r := c.s.request(name)
	v := c.v
	var out []string
	one := func(s string, ok bool) []string {
		if !ok {
			return nil
		}
		return []string{s}
	}
	switch r.key {
	case "ALL":
		return v.allHeaders(r.raw)
	case "ALL-TRUSTED":
		return v.headersBetween(-1, v.relay(c.s.lists).lastTrusted+1, r.raw)
	case "ALL-INTERNAL":
		return v.headersBetween(-1, v.relay(c.s.lists).lastInternal+1, r.raw)
	case "ALL-UNTRUSTED":
		return v.headersBetween(v.relay(c.s.lists).lastTrusted+1, 1<<30, r.raw)
	case "ALL-EXTERNAL":
		return v.headersBetween(v.relay(c.s.lists).lastInternal+1, 1<<30, r.raw)
	case "envelopefrom":
		out = one(c.envelopeFrom())
	case "x-spam-relays-untrusted":
		out = []string{joinRelays(v.relay(c.s.lists).untrusted)}
	case "x-spam-relays-trusted":
		out = []string{joinRelays(v.relay(c.s.lists).trusted)}
	case "x-spam-relays-external":
		out = []string{joinRelays(v.relay(c.s.lists).external)}
	case "x-spam-relays-internal":
		out = []string{joinRelays(v.relay(c.s.lists).internal)}
	case "tocc":
		out = append(v.field("To", r.raw, true), v.field("Cc", r.raw, true)...)
	case "MESSAGEID":
		for _, n := range []string{"X-Message-Id", "Resent-Message-Id", "X-Original-Message-ID", "Message-Id"} {
			out = append(out, v.field(n, r.raw, true)...)
		}
	default:
		out = v.field(r.name, r.raw || r.addr || r.disp, false)
	}
	if len(out) == 0 {
		return nil
	}
	if r.first {
		out = out[:1]
	} else if r.last {
		out = out[len(out)-1:]
	}
	if r.addr || r.disp {
		out = v.addresses(out, r)
	}
	if r.host {
		out = c.hosts(out, r)
	} else if r.ip {
		out = ips(out, r.rev)
	}
	return out
}

// field returns all values of a field; unfolded raw values are those that are asked for together (ToCc, MESSAGEID).
func (v *View) field(name string, raw, unfoldRaw bool) []string {
	at := v.byName[strings.ToLower(name)]
	if len(at) == 0 {
		return nil
	}
	out := make([]string, 0, len(at))
	for _, i := range at {
		switch {
		case !raw:
			out = append(out, v.fields[i].decode())
		case unfoldRaw:
			out = append(out, unfold(v.fields[i].raw))
		default:
			out = append(out, v.fields[i].raw)
		}
	}
	return out
}

func (v *View) allHeaders(raw bool) []string {
	if raw {
		return v.pristineFields()
	}
	// All fields of one name come before those of the next in what the limit counts.
	out := make([]string, len(v.fields))
	size := 0
	for i := range v.fields {
		list := v.byName[strings.ToLower(v.fields[i].name)]
		if list[0] != i {
			continue
		}
		for _, k := range list {
			f := &v.fields[k]
			line := f.name + ": " + f.decode()
			if size += len(line); size > headersMax {
				v.flags.headerTruncated = true
				return slices.DeleteFunc(out, func(s string) bool { return s == "" })
			}
			out[k] = line
		}
	}
	return out
}

// pristineFields returns the header as it is, field by field; what is no field is among them, and so is the empty line if it is CRLF.
func (v *View) pristineFields() []string {
	b := v.pristine
	var out []string
	begin := -1
	for at := 0; at < min(len(b), headerBytes) && len(out) < headerFields; {
		end := lineEnd(b, at)
		if b[at] != ' ' && b[at] != '\t' {
			if begin >= 0 {
				out = append(out, string(b[begin:at]))
			}
			begin = at
		}
		at = end
	}
	if begin >= 0 && string(b[begin:]) != "\n" {
		out = append(out, string(b[begin:]))
	}
	return out
}

// headersBetween returns the headers from the Received field number low (from 0) up to number high; low -1 begins at the top.
func (v *View) headersBetween(low, high int, raw bool) []string {
	if high <= 0 {
		return nil
	}
	var out []string
	at := -1
	for _, line := range v.allHeaders(raw) {
		if len(line) > 9 && strings.EqualFold(line[:9], "Received:") {
			at++
		}
		if at >= low && at < high {
			out = append(out, line)
		} else if at == high {
			out = append(out, line)
			break
		}
	}
	return out
}

// envelopeFrom is the envelope sender: given, or from what earlier servers wrote down.
func (c *scan) envelopeFrom() (string, bool) {
	v := c.v
	if v.options.HasEnvelope {
		return v.options.ReversePath, true
	}
	rel := v.relay(c.s.lists)
	var hop *relay
	if len(rel.untrusted) > 0 {
		hop = rel.untrusted[0]
	} else if len(rel.trusted) > 0 {
		hop = rel.trusted[len(rel.trusted)-1]
	}
	if hop != nil && hop.hasEnvFrom && (strings.IndexByte(hop.envFrom, '@') > 0 || hop.envFrom == "") {
		return hop.envFrom, true
	}
	if sender := c.header("X-Sender:first:addr"); sender.set && strings.Contains(sender.values[0], "@") && strings.Contains(c.get("Received"), "(fetchmail") {
		return "", false // fetched mail: nothing tells whose Return-Path this is
	}
	for i, name := range []string{"X-Envelope-From", "Envelope-Sender", "Return-Path"} {
		at := v.byName[strings.ToLower(name)]
		if len(at) == 0 {
			continue
		}
		below := len(v.byName["received"]) > 0 && v.byName["received"][0] < at[len(at)-1]
		if below && i == 0 {
			return "", false
		}
		if !below {
			got := v.addresses(v.field(name, true, false)[:1], request{addr: true})
			if len(got) > 0 {
				return got[0], true
			}
		}
	}
	return "", false
}

var (
	angleAddress = regexp.MustCompile(`<([^<>\s:;,()]*@[^<>\s:;,()]+)>`)
	looseAddress = regexp.MustCompile(`[^\s<>"(),:;]+@[^\s<>"(),:;]+`)
)

// boxAddress returns the address as it is written.
func boxAddress(box mail.Mailbox) string {
	if m := angleAddress.FindStringSubmatch(box.Raw); m != nil {
		return m[1]
	}
	if strings.ContainsRune(box.Raw, '<') && strings.ContainsRune(box.Raw, '>') && box.Address.IsNull() {
		return "" // what stands between is no address
	}
	if strings.Count(box.Raw, "@") > 1 && !strings.ContainsAny(box.Raw, `"<(`) {
		return ""
	}
	if m := looseAddress.FindString(box.Raw); m != "" {
		return m
	}
	if !box.Address.IsNull() {
		return box.Address.String()
	}
	return ""
}

var hostShape = regexp.MustCompile(`(?i)[a-z0-9_.\-\x80-\xff]+`)

// hosts finds one host in each value.
func (c *scan) hosts(lines []string, r request) []string {
	var out []string
	for _, line := range lines {
		host := ""
		if at := strings.LastIndexByte(line, '@'); at >= 0 {
			host = strings.TrimRight(hostShape.FindString(line[at+1:]), ".")
			if !r.addr && !c.s.lists.hostValid(host) {
				host = ""
			}
		}
		if host == "" && !r.addr {
			for _, h := range hostShape.FindAllString(line, 100) {
				if h = strings.Trim(h, "._-"); strings.Contains(h, ".") && c.s.lists.hostValid(h) {
					host = h
					break
				}
			}
		}
		if host == "" {
			continue
		}
		if r.domain {
			host = c.s.lists.registered(host)
		}
		out = append(out, host)
	}
	return out
}

var ipShape = regexp.MustCompile(`(?i)[0-9a-f:.]+`)

// ips finds one IP address in each value; reversed as in DNS zones if asked.
func ips(lines []string, reverse bool) []string {
	var out []string
	for _, line := range lines {
		for _, s := range ipShape.FindAllString(line, 100) {
			a, err := netip.ParseAddr(s)
			if err != nil {
				continue
			}
			if reverse {
				s = reverseIP(a)
			}
			out = append(out, s)
			break
		}
	}
	return out
}

func reverseIP(a netip.Addr) string {
	if a.Is4() {
		b := strings.Split(a.String(), ".")
		return b[3] + "." + b[2] + "." + b[1] + "." + b[0]
	}
	b := a.As16()
	var out []string
	for i := len(b) - 1; i >= 0; i-- {
		out = append(out, string("0123456789abcdef"[b[i]&15]), string("0123456789abcdef"[b[i]>>4]))
	}
	return strings.Join(out, ".")
}
