package rules

import (
	"regexp"
	"strings"
)

// relayEvals look at the hops of a message (SpamAssassin's RelayEval and, for relays, WLBLEval).
var relayEvals = map[string]evalFunc{
	"check_all_trusted": {run: func(c *scan, _ *Rule) bool {
		r := c.relays()
		return len(r.trusted) > 0 && len(r.untrusted) == 0 && r.unparseable == 0
	}},
	"check_no_relays": {run: func(c *scan, _ *Rule) bool {
		r := c.relays()
		return len(r.trusted) == 0 && len(r.untrusted) == 0 && r.unparseable == 0
	}},
	"check_relays_unparseable":        {run: func(c *scan, _ *Rule) bool { return c.relays().unparseable > 0 }},
	"helo_ip_mismatch":                {run: heloIPMismatch},
	"check_for_no_rdns_dotcom_helo":   {run: noReverseDotcom},
	"check_for_forged_received_trail": {run: func(c *scan, _ *Rule) bool { from, _ := c.forgedTrail(); return from > 1 }},
	"check_for_forged_received_ip_helo": {run: func(c *scan, _ *Rule) bool {
		_, ip := c.forgedTrail()
		return ip > 0
	}},
	"check_for_numeric_helo":      {run: numericHelo},
	"check_for_sender_no_reverse": {run: senderNoReverse},
	"check_for_illegal_ip":        {run: func(*scan, *Rule) bool { return false }},
	"check_mailfrom_matches_rcvd": {run: mailFromMatches},
}

func (c *scan) relays() *relays { return c.v.relay(c.s.lists) }

func heloIPMismatch(c *scan, _ *Rule) bool {
	for _, r := range c.relays().untrusted {
		if isIPv4(r.helo) && !privateIP(r.helo) && isIPv4(r.ip) && !privateIP(r.ip) && r.helo != r.ip &&
			!strings.HasPrefix(r.ip, r.helo[:strings.LastIndexByte(r.helo, '.')+1]) {
			c.note("HELO " + r.helo + " from " + r.ip)
			return true
		}
	}
	return false
}

var dotcomHelo = regexp.MustCompile(`(?i)(?:\.|^)(lycos\.com|lycos\.co\.uk|hotmail\.com|localhost\.com|excite\.com|caramail\.com|cs\.com|aol\.com|msn\.com|yahoo\.com|drizzle\.com)$`)

func noReverseDotcom(c *scan, _ *Rule) bool {
	hit := false
	for _, r := range c.relays().untrusted {
		if !r.private {
			hit = dotcomHelo.MatchString(r.helo) && r.noReverse
		}
	}
	return hit
}

var (
	someHost  = regexp.MustCompile(`^\w+(?:[\w.-]+\.)+\w+$`)
	numericV4 = regexp.MustCompile(`^\d+\.\d+\.\d+\.\d+$`)
	longLabel = regexp.MustCompile(`\S{3,}|ie|fr|de`)
)

// baseDomain cuts a host name down to what is registered, by a rule of thumb.
func baseDomain(host string) string {
	host = strings.ToLower(host)
	if strings.IndexFunc(host, func(r rune) bool { return r >= 'a' && r <= 'z' }) < 0 {
		return host
	}
	labels := strings.Split(strings.TrimRight(host, "."), ".")
	n := len(labels)
	switch {
	case n > 1 && longLabel.MatchString(labels[n-1]):
		return strings.Join(labels[n-2:], ".")
	case n > 2:
		return strings.Join(labels[n-3:], ".")
	}
	return host
}

// forgedTrail counts hops where the name that one server gives itself is not the name the next one saw, and HELO addresses that lie far
// from the real one.
func (c *scan) forgedTrail() (from, ipHelo int) {
	list := c.relays().untrusted
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = baseDomain(r.rdns)
	}
	for i, r := range list {
		by := baseDomain(r.by)
		if !someHost.MatchString(by) {
			continue
		}
		if (names[i] == "localhost" || names[i] == "localhost.localdomain") && r.ip == "127.0.0.1" {
			names[i] = ""
		}
		helo := baseDomain(r.helo)
		if numericV4.MatchString(helo) && numericV4.MatchString(r.ip) && helo != r.ip && !privateIP(helo) && classB(helo) != classB(r.ip) {
			ipHelo++
		}
		if i > 0 && someHost.MatchString(names[i-1]) && by != names[i-1] && !(by == "msn.com" && names[i-1] == "hotmail.com") {
			from++
		}
	}
	return from, ipHelo
}

func classB(ip string) string {
	parts := strings.SplitN(ip, ".", 3)
	return parts[0] + "." + parts[1]
}

func numericHelo(c *scan, _ *Rule) bool {
	for _, r := range c.relays().untrusted {
		if isIPv4(r.helo) {
			return !privateIP(r.helo)
		}
	}
	return false
}

func senderNoReverse(c *scan, _ *Rule) bool {
	list := c.relays().untrusted
	return len(list) > 0 && strings.Contains(list[len(list)-1].rdns, ".") && !list[len(list)-1].private
}

// mailFromMatches: the envelope sender's domain is that of the server it came from.
func mailFromMatches(c *scan, _ *Rule) bool {
	sender := c.get("EnvelopeFrom:addr")
	at := strings.LastIndexByte(sender, '@')
	if at < 0 || !strings.Contains(sender[at:], ".") {
		return false
	}
	domain := c.s.lists.registered(sender[at+1:])
	list := c.relays().trusted
	if u := c.relays().untrusted; len(u) > 0 {
		list = u[:1]
	}
	for _, r := range list {
		if r.rdns != "" && c.s.lists.registered(r.rdns) == domain {
			return true
		}
	}
	return false
}
