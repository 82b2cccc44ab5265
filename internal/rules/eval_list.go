package rules

import (
	"net/netip"
	"regexp"
	"strings"
)

// listEvals compare addresses and hosts with the lists of the rule files (SpamAssassin's WLBLEval, VBounce, WelcomeListSubject).
var listEvals = withAliases(map[string]evalFunc{
	"check_from_in_welcomelist":         {run: func(c *scan, _ *Rule) bool { return c.fromListed("welcomelist_from", "welcomelist_from_rcvd") }},
	"check_from_in_default_welcomelist": {run: func(c *scan, _ *Rule) bool { return c.fromListed("", "def_welcomelist_from_rcvd") }},
	"check_from_in_blocklist":           {run: func(c *scan, _ *Rule) bool { return c.anyIn("blocklist_from", c.senders()) }},
	"check_to_in_welcomelist":           {run: func(c *scan, _ *Rule) bool { return c.anyIn("welcomelist_to", c.receivers()) }},
	"check_to_in_blocklist":             {run: func(c *scan, _ *Rule) bool { return c.anyIn("blocklist_to", c.receivers()) }},
	"check_to_in_more_spam":             {run: func(c *scan, _ *Rule) bool { return c.anyIn("more_spam_to", c.receivers()) }},
	"check_to_in_all_spam":              {run: func(c *scan, _ *Rule) bool { return c.anyIn("all_spam_to", c.receivers()) }},
	"check_from_in_list":                {run: func(c *scan, r *Rule) bool { return c.anyIn(r.arg(0), c.senders()) }, check: need(1, 1)},
	"check_to_in_list":                  {run: func(c *scan, r *Rule) bool { return c.anyIn(r.arg(0), c.receivers()) }, check: need(1, 1)},
	"check_replyto_in_list":             {run: replyToInList, check: need(1, 1)},
	"check_uri_host_listed":             {run: func(c *scan, r *Rule) bool { return c.hostListed(r.arg(0)) }, check: need(1, 1)},
	"check_uri_host_in_blocklist":       {run: func(c *scan, _ *Rule) bool { return c.hostListed("BLOCK") }},
	"check_uri_host_in_welcomelist":     {run: func(c *scan, _ *Rule) bool { return c.hostListed("WELCOME") }},
	"have_any_bounce_relays":            {run: func(c *scan, _ *Rule) bool { return len(c.s.lists.addresses[bounceRelays]) > 0 }},
	"check_welcomelist_bounce_relays":   {run: bounceRelay},
	// Lists of subjects are a matter of each recipient; none are kept here.
	"check_subject_in_welcomelist": {run: func(*scan, *Rule) bool { return false }},
	"check_subject_in_blocklist":   {run: func(*scan, *Rule) bool { return false }},
})

const bounceRelays = "welcomelist_bounce_relays"

// withAliases adds the names these functions had before version 4.
func withAliases(m map[string]evalFunc) map[string]evalFunc {
	for name, f := range m {
		old := strings.NewReplacer("welcomelist", "whitelist", "blocklist", "blacklist").Replace(name)
		m[old] = f
	}
	return m
}

func (c *scan) anyIn(list string, addresses []string) bool {
	for _, a := range addresses {
		if c.s.lists.inList(list, a) {
			c.note(a)
			return true
		}
	}
	return false
}

var receivedFor = regexp.MustCompile(` for <?(\S+@(\S+?))>?;`)

// receivers returns all addresses the message goes to, as far as it says.
func (c *scan) receivers() []string {
	return remember(c.v, "receivers", func() []string {
		var out []string
		out = append(out, c.header("Resent-To:first:addr").values...)
		if out = append(out, c.header("Resent-Cc:first:addr").values...); len(out) > 0 {
			return out
		}
		for i, s := range c.v.field("Received", false, false) {
			if m := receivedFor.FindStringSubmatch(s); i < 3 && m != nil && fqdnValid(asciiHost(m[2])) {
				out = append(out, m[1])
			}
		}
		for _, name := range []string{"To", "Apparently-To", "Delivered-To", "Envelope-Recipients", "Apparently-Resent-To", "X-Envelope-To",
			"Envelope-To", "X-Delivered-To", "X-Original-To", "X-Rcpt-To", "X-Real-To", "Cc"} {
			out = append(out, c.header(name+":addr").values...)
		}
		return out
	})
}

// fromListed: a sender is on a list, or on a list of senders that must come from a relay and does.
func (c *scan) fromListed(list, received string) bool {
	relays := c.relays().untrusted
	if len(relays) > 1 {
		relays = relays[:1]
	} else if len(relays) == 0 {
		relays = c.relays().trusted
	}
	for _, a := range c.senders() {
		if list != "" && c.s.lists.inList(list, a) {
			return true
		}
		a = strings.ToLower(a)
		for glob, domains := range c.s.lists.received[received] {
			if !globMatch(glob, a) {
				continue
			}
			for _, d := range domains {
				for _, r := range relays {
					if relayIs(r, d) {
						return true
					}
				}
			}
		}
	}
	return false
}

// relayIs compares a relay with "example.org" or "[192.0.2.0/24]".
func relayIs(r *relay, want string) bool {
	if strings.HasPrefix(want, "[") {
		net := strings.NewReplacer("[", "", "]", "").Replace(want)
		ip, err := netip.ParseAddr(r.ip)
		if err != nil {
			return false
		}
		if p, err := netip.ParsePrefix(net); err == nil {
			return p.Contains(ip)
		}
		if a, err := netip.ParseAddr(net); err == nil {
			return a == ip
		}
		return strings.HasPrefix(r.ip, strings.TrimRight(net, ".")+".")
	}
	name := strings.ToLower(r.rdns)
	return name == want || strings.HasSuffix(name, "."+want)
}

func replyToInList(c *scan, r *Rule) bool {
	a := c.get("Reply-To:addr")
	return a != "" && c.anyIn(r.arg(0), []string{a})
}

// hostListed: the host of a URI, or a domain above it, is on a list; the nearest entry decides.
func (c *scan) hostListed(list string) bool {
	entries := c.s.lists.hosts[list]
	if len(entries) == 0 {
		return false
	}
	for _, d := range c.uriDetails() {
		if strings.HasPrefix(strings.ToLower(d.raw), "mailto:") {
			continue
		}
		for host := range d.hosts {
			h := strings.Trim(host, "[]")
			for {
				if listed, ok := entries[h]; ok {
					if listed {
						c.note(host)
						return true
					}
					break
				}
				_, above, ok := strings.Cut(h, ".")
				if !ok || isIP(h) {
					break
				}
				h = above
			}
		}
	}
	return false
}

var (
	receivedLine = regexp.MustCompile(`(?i)^[> ]*Received:`)
	dottedWord   = regexp.MustCompile(`\s(\S+\.\S+)\s`)
)

// bounceRelay: a Received field quoted in the body names one of our own relays, so that the bounce answers mail of ours.
func bounceRelay(c *scan, _ *Rule) bool {
	if len(c.s.lists.addresses[bounceRelays]) == 0 {
		return false
	}
	field := ""
	for _, line := range splitLines(c.v.section.body) {
		s := strings.TrimRight(string(line), "\r\n")
		if strings.HasPrefix(s, " ") || strings.HasPrefix(s, "\t") {
			if field != "" && len(field) < headerValMax {
				field += s
			}
		} else {
			field = ""
			if receivedLine.MatchString(s) {
				field = s
			}
		}
		if field == "" {
			continue
		}
		for _, m := range dottedWord.FindAllStringSubmatch(field, 100) {
			if c.s.lists.inList(bounceRelays, m[1]) {
				c.note(m[1])
				return true
			}
		}
	}
	return false
}
