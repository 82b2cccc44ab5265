package rules

import (
	"fmt"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"strings"
)

// relay is one hop, as a Received field tells it.
type relay struct {
	ip, rdns, helo, by, ident, envFrom, id, auth string
	hasEnvFrom, noReverse, private, internal     bool
}

// relays are the hops of a message, the newest first. Without configured networks, hops are trusted as long as they are private addresses
// or authenticated.
type relays struct {
	trusted, untrusted, internal, external []*relay
	unparseable                            int
	lastTrusted, lastInternal              int // index of the last such Received field, -1 for none
}

// String is the form that rules on X-Spam-Relays-* match.
func (r *relay) String() string {
	return fmt.Sprintf("[ ip=%s rdns=%s helo=%s by=%s ident=%s envfrom=%s intl=%d id=%s auth=%s msa=0 ]",
		r.ip, r.rdns, r.helo, r.by, r.ident, r.envFrom, int(truth(r.internal)), r.id, r.auth)
}

func joinRelays(list []*relay) string {
	out := make([]string, len(list))
	for i, r := range list {
		out[i] = r.String()
	}
	return strings.Join(out, " ")
}

const maxReceived = 200

// relay reads the Received fields.
func (v *View) relay(l *lists) *relays {
	if v.haveRelays {
		return &v.relays
	}
	v.haveRelays = true
	r := &v.relays
	r.lastTrusted, r.lastInternal = -1, -1
	lines := v.field("Received", false, false)
	if len(lines) > maxReceived {
		lines = lines[:maxReceived]
	}
	headers := l.originating
	if len(headers) == 0 {
		headers = defaultOriginating
	}
	for _, name := range headers {
		if values := v.field(name, false, false); len(values) > 0 {
			if found := ips(values[len(values)-1:], false); len(found) > 0 {
				lines = append(lines, "from X-Originating-IP: "+found[0]+"\n")
			}
		}
	}
	trusted := true
	for _, line := range lines {
		hop, known := parseReceived(line)
		if !known {
			r.unparseable++
		}
		if known && hop != nil && hop.fetched {
			if trusted {
				r.trusted, r.internal, r.external = nil, nil, nil
			}
			hop = nil
		}
		if hop == nil {
			if trusted {
				r.lastTrusted++
				r.lastInternal++
			}
			continue
		}
		trusted = trusted && (hop.private || hop.auth != "")
		hop.internal = trusted
		if trusted {
			r.trusted, r.internal = append(r.trusted, &hop.relay), append(r.internal, &hop.relay)
			r.lastTrusted++
			r.lastInternal++
		} else {
			r.untrusted, r.external = append(r.untrusted, &hop.relay), append(r.external, &hop.relay)
		}
	}
	return r
}

// defaultOriginating are the fields that name the address a web mail was written from.
var defaultOriginating = []string{"X-Yahoo-Post-IP", "X-Apparently-From", "X-Originating-IP", "X-Sender-IP"}

// ipPattern finds what may be an address; parse confirms it.
const ipPattern = `((?:IPv6:)?(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*[0-9A-Fa-f:]))`

// shape is one way servers write Received fields. The pattern sees the field after "from ", spaces squeezed, the date gone. names say what
// its groups are. Where the pattern does not show whether the server looked up the name of the client, looked does.
type shape struct {
	when    *regexp.Regexp // first condition, nil for none
	pattern *regexp.Regexp
	names   []string
	looked  bool
	unless  *regexp.Regexp // the shape does not apply to such a field, nil for none
	qmail   bool           // the server writes "unknown" where it did not look the name up
	none    bool           // the field speaks of no hop worth telling
	fetch   bool           // mail was fetched, not received
	noID    bool           // what follows "id" is none
	pieces  bool           // no pattern: the pieces are looked for one by one
	needs   []string       // texts without which the shape cannot fit: most fields are refused by them
}

// withNeeds draws out of the patterns the texts that every match holds.
func withNeeds(list []shape) []shape {
	for i := range list {
		for _, re := range []*regexp.Regexp{list[i].when, list[i].pattern} {
			if re == nil {
				continue
			}
			if tree, err := syntax.Parse(re.String(), syntax.Perl); err == nil {
				list[i].needs = appendLiterals(list[i].needs, tree)
			}
		}
	}
	return list
}

func appendLiterals(list []string, tree *syntax.Regexp) []string {
	switch tree.Op {
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range tree.Sub {
			list = appendLiterals(list, sub)
		}
	case syntax.OpLiteral:
		if len(tree.Rune) > 1 && tree.Flags&syntax.FoldCase == 0 {
			list = append(list, string(tree.Rune))
		}
	}
	return list
}

// possible reports whether s holds all that the shape needs.
func (s *shape) possible(field string) bool {
	for _, text := range s.needs {
		if !strings.Contains(field, text) {
			return false
		}
	}
	return true
}

func shapeOf(names, pattern string, looked bool) shape {
	return shape{pattern: regexp.MustCompile(strings.ReplaceAll(pattern, "IP", ipPattern)), names: strings.Fields(names), looked: looked}
}

func (s shape) given(when string) shape {
	s.when, s.qmail = regexp.MustCompile(when), when == qmailWith
	return s
}

func (s shape) withoutID() shape {
	s.noID = true
	return s
}

func (s shape) not(unless string) shape {
	s.unless = regexp.MustCompile(unless)
	return s
}

func noHop(pattern string) shape {
	return shape{pattern: regexp.MustCompile(strings.ReplaceAll(pattern, "LOCAL", `(?:localhost(?:\.localdomain)?|127\.0\.0\.1|::1)`)), none: true}
}

// The order matters: the first shape that fits is taken. The forms are those of common servers: Microsoft SMTPSVC and Exchange, XMail,
// Ecelerity, Exim, Postfix, Lotus Domino, Sendmail, qmail, qpsmtpd, CommuniGate, smap, MailGate and some that name no maker.
var shapes = withNeeds([]shape{
	shapeOf("ip by", `IP\b.{10,80}by (\S+) with HTTP`, false).given(` \((?:SquirrelMail|NaSMail) authenticated user `),
	shapeOf("ip by", `IP by (\S+) \(\S+\) with HTTP \(WebMailUI\)`, false).given(`aol\.com`),
	shapeOf("helo ip by", `^(\S*) \(\[IP\][^)]{0,40}\) by (\S+) with Microsoft SMTPSVC`, false),
	noHop(`^mail pickup service by (\S+) with Microsoft SMTPSVC$`),
	shapeOf("helo ip by", `^(\S+) \(\[?IP(?:%[A-Z0-9._~-]*)?\]?\) by (\S+) `, false).given(` with (?:Microsoft SMTP Server|mapi id) (?:\([^)]+\) )?\d+\.\d+\.\d+\.\d+(?:$| )`).withoutID(),
	shapeOf("helo ip by", `^(\S+) \(\[?IP\]?(?::\d+)\) by (\S+)(?: \(\S+\))? with \[XMail`, false),
	shapeOf("ip helo by", `^\(\[IP:\d+\] helo=(\S+)\) by (\S+) `, false).given(`\(ecelerity\b`),
	shapeOf("ip by", `^\S+ \(\[IP:\d+\]\) by (\S+) `, false).given(`\(ecelerity\b`),
	noHop(`Exim.*\bwith local(?:-\S+)? |\bwith local(?:-\S+)? .*Exim`),
	shapeOf("ip sub by", `^\[IP\] \((.*?)\) by (\S+) `, false).given(`Exim`),
	shapeOf("rdnshelo ip sub by", `^(\S+) \(\[IP\](.*?)\) by (\S+) `, false).given(`Exim`),
	shapeOf("rdnshelo ip - by", `^(\S+) \[IP\](:\d+)? by (\S+) `, false).given(`Exim`),
	{when: regexp.MustCompile(`Exim`), pieces: true},
	shapeOf("helo rdns ip by", `^(\S+) \((\S+) \[IP\]\) by (\S+) `, true).given(` \(Postfix\) with`),
	shapeOf("helo rdns ip by", `^(\S+) \((\S+)\[IP\]\) by (\S+) `, true).given(` \(Postfix\) with`),
	shapeOf("helo ip by", `^(\S+) \( ?IP\) by (\S+)`, false).given(`\(Scalix SMTP Relay`),
	shapeOf("helo ip by", `^(\S+) \(\[IP\]\) by (\S+) \(Lotus`, false),
	shapeOf("ip - by", `^IP \(\[IP\]\) by (\S+)`, false).given(`\bwith HTTP\b`),
	shapeOf("helo rdnsident ip by", `^(\S+) \((\S+) \[IP\].*\) by (\S+) \(`, true).not(` by \S+ \(qmail-\S+\) with `),
	shapeOf("helo rdns ip by", `^(\S+) \((\S+) \[IP\]\) by (\S+) with \S+ \(`, true),
	shapeOf("rdns ip helo by", `^(\S+) \(\[IP\] helo=(\S+)\) by (\S+) with `, false),
	shapeOf("helo ip by", `^(\S+) \(<unknown\S*>\[IP\]\) by (\S+) `, false),
	shapeOf("helo rdns ip by", `^(\S+) \((\S+\.\S+)\[IP\]\) by (\S+) `, true),
	shapeOf("helo ident ip by", `^(\S+) \((\S*)@\[IP\].*\) by (\S+) \(`, true),
	shapeOf("ip by", `^(?:IP )?.*by (\S+\.hotmail\.msn\.com) `, false),
	shapeOf("rdns helo ip by", `^(\S+) \((?:HELO|EHLO) (\S*)\) \(IP\) by (\S+) \(qpsmtpd/\S+\) with (?:ESMTP|SMTP)`, false),
	shapeOf("rdns helo ip by", `^(\S+) \(LHLO (\S*)\) \(IP\) by (\S+) with LMTP`, false),
	shapeOf("rdns helo ip by", `^(\S+) \((?:HELO|EHLO) (\S*)\) \[IP\] by (\S+) \([^)]+\) with (?:ESMTP|SMTP)`, false),
	shapeOf("helo ip by", `^(\S+) \(\[IP\]\) by (\S+) via smtpd \(for \S+\) with SMTP\(`, false),
	shapeOf("rdns helo ident ip - by", `^(\S+) \((?:HELO|EHLO) ([^ ()]*)\) \((\S*)@\[?IP\]?\)( \(envelope-sender <\S+>\))? by (\S+)`, true).given(qmailWith),
	shapeOf("rdns helo ip - by", `^(\S+) \((?:HELO|EHLO) ([^ ()]*)\) \(\[?IP\]?\)( \(envelope-sender <\S+>\))? by (\S+)`, true).given(qmailWith),
	shapeOf("rdnshelo ident ip - by", `^(\S+) \((\S*)@\[?IP\]?\)( \(envelope-sender <\S+>\))? by (\S+)`, true).given(qmailWith),
	shapeOf("rdnshelo ip - by", `^(\S+) \(\[?IP\]?\)( \(envelope-sender <\S+>\))? by (\S+)`, true).given(qmailWith),
	shapeOf("ip by", `^\[IP\] by (\S+) via HTTP$`, false),
	shapeOf("- ip by", `^(\S+) \( \[IP\]\).*? by (\S+) `, false),
	shapeOf("helo ip by", `^\((\S+) \[IP\]\) by (\S+) `, false),
	shapeOf("ip by", `^\[IP\] by (\S+) `, false),
	shapeOf("ip by", `^\(\[?IP\]?\) by (\S+) `, false),
	shapeOf("helo ip by", `^(\S+) \[IP\] by (\S+) \[IP\] with `, true),
	shapeOf("helo ip by", `^(\S+) \[\(IP\)\] by (\S+) \(IP\) `, false),
	shapeOf("helo ip by", `^(\S+) \(\[IP\]\) by (\S+) \(`, true),
	shapeOf("helo ip by", `^(\S+) \(softdnserr \[IP\]\).*? by (\S+)\b`, false),
	shapeOf("helo rdns ip by", `^(\S+) \((\S+) \[IP\]\).*? by (\S+)\b`, true),
	shapeOf("helo ip by", `^(\S+) \(\[IP(?:[.:]\d+)?\]\).*? by (\S+) `, true),
	{pattern: regexp.MustCompile(`with (?:POP3|IMAP)`), fetch: true},
	shapeOf("rdns helo identat ip by", `^(\S+) \((?:HELO|EHLO) ([^)]*)\) \((\S*@)?\[?IP\]?\).* by (\S+) `, true),
	shapeOf("rdnshelo identat ip by", `^(\S+) \((\S*@)?\[?IP\]?\).* by (\S+) `, true),
	shapeOf("ip by", `^\[IP\] by (\S+) with http for `, false),
	shapeOf("rdns ip by", `^(\S+)\(IP\) by (\S+) via smap `, true),
	shapeOf("rdns ip helo by", `^(\S+)\(IP, (?:HELO|EHLO) (\S*)\) by (\S+) via smap `, true),
	shapeOf("ip by", `^IP by (\S+) \((?:SMTPL|InterScan)\b`, false),
	noHop(`^\S+ by \S+ with BSMTP`),
	shapeOf("rdns helo identat ip by", `^(\S+) \((?:HELO|EHLO) (\S*)\) \((\S+@)?IP.*?\) by (\S+) with `, true),
	shapeOf("ip helo by", `^\[IP\] \((?:account \S+ )?(?:HELO|EHLO) (\S*)\) by (\S+) \(`, false),
	shapeOf("rdnshelo ip by", `^(\S+) \(\[IP\] verified\) by (\S+) \(`, true),
	shapeOf("ip by", `^\(\[IP\]\) by (\S+) with `, false),
	shapeOf("helo ip by", `^([^\d]\S+) \(IP\) by (\S+) `, false),
	noHop(`^\S+ \(\S+\) by \S+ \(Content Technologies `),
	shapeOf("helo ip - by", `^(\S+) \(\[IP\] \[(\S+)\]\) by (\S+) with `, false),
	shapeOf("ip by", `^IP by (\S+) with `, false),
	shapeOf("helo rdns ip by", `^(\S+) \((\S+)\[IP\]\) by (\S+) `, true),
	shapeOf("ip helo by", `^\[IP\]\S+ \((?:HELO|EHLO) (\S*)\) by (\S+) `, false),
	shapeOf("ip helo by", `^IP \((?:HELO|EHLO) (\S*)\) by (\S+) `, false),
	shapeOf("helo ip by", `^(\S+) \[IP\] by (\S+) `, false),
	shapeOf("rdns ip by", `^(\S+)\(IP\) by (\S+) `, false),
	shapeOf("helo ip by", `^(\S+) \(unverified \[IP\]\) by (\S+) `, false),
	shapeOf("ip by", `^IP \([A-Za-z][^)]+\) by (\S+) with `, false),
	shapeOf("ip sub by", `^\[IP\] \(([^)]+)\) by (\S+) `, false),
	shapeOf("rdns ip by", `^(\S+) \((?:\S+@)?IP\) by (\S+) with `, false),
	shapeOf("rdns ip helo by", `^(\S+)\(IP\)(?:, claiming to be "(\S+)")? via \S+ by (\S+),`, true),
	shapeOf("helo - ip by", `^(\S+) \((\S+)@IP with login\) by (\S+\.yahoo\.com) with SMTP`, false),
	shapeOf("ip", `^X-Originating-I[P]: IP$`, false),
	noHop(`^\S+ \([^\s@]+@LOCAL\) by \S+ \(`),
	noHop(`^\S+ \S+ by \S+ with local-e?smtp `),
	noHop(`^127\.0\.0\.1 \(AVG SMTP \S+ \[\S+\]\)`),
	noHop(`^\S+@\S+ by \S+ `),
	noHop(`^Unknown/Local \(`),
	noHop(`^LOCAL \((?:\S+@)?LOCAL[)\[]`),
	noHop(`^\S+ \((?:\S+@)?LOCAL\) `),
	noHop(`^\S+ \(\S+@\S+ \[LOCAL\]\) `),
	noHop(`^\(AUTH: \S+\) by \S+ with `),
	noHop(`^localhost \(localhost \[\[UNIX: localhost\]\]\) by `),
	noHop(`^\S+\.amazon\.com by \S+\.amazon\.com with ESMTP \(peer crosscheck: `),
	noHop(`^[^.]+ by \S+ with Novell_GroupWise`),
	noHop(`^no\.name\.available by \S+ via smtpd \(for `),
	noHop(`^\S+ by \S+ \(.{0,100}\) with qmail-scanner`),
	noHop(`^\S+ \(\[unix socket\]\) by \S+ \(Cyrus v[0-9.]*\) with LMTPA`),
	noHop(`^\S+ by \S+ (?:with|via|for|\()`),
	noHop(`^\S+ (?:(?:with|via|for) \S+|\(unverified\)) by\b`),
	noHop(`^\S+ \(unknown\) by \S+ \(SG\) with `),
	noHop(`^\S+ \(\S+ \[local\]\) by \S+ \(OpenSMTPD\) with `),
	noHop(`\(LSMTP for`),
	noHop(`^\(\[LOCAL\]\) with MailEnable `),
	noHop(`^facebook\.com \([^)]+\) by facebook\.com with Thrift id \S+$`),
	noHop(`^\S+ named \S+ by gmailapi\.google\.com with HTTPREST$`),
	noHop(`^\S+ id \S+$`),
	noHop(`^\[<.*? \(Jetsend`),
	noHop(`^\(\[LOCAL\]\) with MailEnable `),
	noHop(`^\S+ id \S+$`),
	noHop(`^\[<.*? \(Jetsend`),
})

// qmailWith is how qmail's Received fields end.
const qmailWith = `by \S+( \(.+\))* with (.* )?(SMTP|QMQP)(?:$|[^ ]| [^i]| i[^d]| id[^ ])`

func validAddress(s string) bool {
	if len(s) > 5 && strings.EqualFold(s[:5], "ipv6:") {
		s = s[5:]
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}
