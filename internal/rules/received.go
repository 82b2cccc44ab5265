package rules

import (
	"regexp"
	"strings"
)

// receivedHop is a relay that was read, or the sign that the mail was fetched by a person's program.
type receivedHop struct {
	relay
	fetched bool
}

var (
	bareFrom    = regexp.MustCompile(`(?i)^from (\S+) by [^\s;]+ ?;`)
	bareIP      = regexp.MustCompile(`^\[[\d.]+\]$`)
	dateBehind  = regexp.MustCompile(`[\s;]+(?:(?:Mon|Tue|Thu|Wed|Fri|Sat|Sun), )?\d+ (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d+ \d+:\d+(?::\d+)? \S+$`)
	localFor    = regexp.MustCompile(`\bwith local for\b`)
	receivedID  = regexp.MustCompile(` id <?([^\s<>;]{3,})`)
	heloEquals  = regexp.MustCompile(`\bhelo=([-A-Za-z0-9.^+_&:=?!@%*$\\/]+)`)
	heloWord    = regexp.MustCompile(`\b(?:HELO|EHLO) ([-A-Za-z0-9.^+_&:=?!@%*$\\/]+)`)
	byHost      = regexp.MustCompile(` by (\S+)(?:[^-A-Za-z0-9;.]|$)`)
	withAuth    = regexp.MustCompile(`(?i) with ((?:ES|L|UTF8S|UTF8L)MTPS?A|ASMTP|HTTP[SU]?)(?: |;|$)`)
	authParen   = regexp.MustCompile(`^from .*?(?:\]\)|\)\]) \(AUTH: (LOGIN|PLAIN|DIGEST-MD5|CRAM-MD5) \S+(?:, .*?)?\) by `)
	sendmailOK  = regexp.MustCompile(`^from .*?(?:\](?: \([^)]*\))?\)|\)\]) .*?\(.*?authenticated.*?\).*? by`)
	postfixAuth = regexp.MustCompile(`\) \(Authenticated sender: \S+\) by \S+ \(([^)]+)\) with `)
	communigate = regexp.MustCompile(`CommuniGate Pro (?:HTTP|SMTP|XIMSS|IMAP)`)
	viaHTTP     = regexp.MustCompile(`(?i) \(via (HTTP.?)\)(?: |;|$)`)
	envelopeIn  = regexp.MustCompile(`(?i)(?:return-path:? |envelope-(?:sender|from)[ =])(\S+)\b`)
	subHelo     = regexp.MustCompile(`helo=(\S+)`)
	subIdent    = regexp.MustCompile(`ident=(\S*)`)
	identBefore = regexp.MustCompile(`^(?:IDENT:)?([^@]*)@`)
	anyIP       = regexp.MustCompile(`\[` + ipPattern + `\]`)
	mappedIP    = regexp.MustCompile(`(?i)^0*:0*:(?:0*:)*ffff:(\d+\.\d+\.\d+\.\d+)$`)
	gmailAuth   = regexp.MustCompile(` by mx\.google\.com with ESMTPS id [a-z0-9]{1,4}sm[0-9]{2,9}[a-z]{3}\.[0-9]{1,3}\.[0-9]{4}\.(?:[0-6][0-9]\.){4}[0-6][0-9]`)
	gmailCipher = regexp.MustCompile(`\(version=([^ ]+) cipher=([^)]+)\)`)
	gmxAuth     = regexp.MustCompile(`from \S* \((?:HELO|EHLO) \S*\) \[` + ipPattern + `\] by (mail\.gmx\.(?:net|com)) \([^)]+\) with (ESMTP|SMTP)`)
	criticalOK  = regexp.MustCompile(`\) by .+ \(\d{1,2}\.\d\.\d{3}(?:\.\d{1,3})?\) \(authenticated as .+\) id `)
	pieceHelo   = regexp.MustCompile(` \((\S+)\) `)
	pieceIP     = regexp.MustCompile(` \[` + ipPattern + `(?:\.\d+)?\] `)
	pieceBy     = regexp.MustCompile(`by (\S+) `)
	firstWord   = regexp.MustCompile(`^(\S+)[^-A-Za-z0-9.]`)
)

// parseReceived reads one Received field. A nil hop with known true is a field that speaks of no hop; known false is one that cannot be read.
func parseReceived(line string) (hop *receivedHop, known bool) {
	s := strings.Join(strings.Fields(line), " ")
	for strings.HasSuffix(s, ";") {
		s = strings.TrimSuffix(strings.TrimSuffix(s, ";"), " ")
	}
	low := strings.ToLower(s)
	if !strings.HasPrefix(low, "from ") && !strings.HasPrefix(low, "(from ") || strings.Contains(s, "with local for") && localFor.MatchString(s) {
		return nil, true
	}
	if mayBeBare(low) {
		if m := bareFrom.FindStringSubmatch(s); m != nil && !bareIP.MatchString(m[1]) {
			return nil, true
		}
	}
	s = withoutDate(s)
	s = strings.Replace(s, ")by ", ") by ", 1)
	h := &receivedHop{}
	h.readWords(s)
	looked := false
	if strings.HasPrefix(s, "from ") {
		s = s[5:]
		if strings.Contains(low, "return-path:") || strings.Contains(low, "envelope-") {
			if m := envelopeIn.FindStringSubmatch(s); m != nil {
				h.envFrom, h.hasEnvFrom = m[1], true
			}
		}
		fit, none := h.fit(s, &looked)
		switch {
		case none:
			return nil, true
		case h.fetched:
			return h, true
		case fit:
			return h.complete(looked), true
		}
		if m := firstWord.FindStringSubmatch(s); h.helo == "" && m != nil {
			h.helo = m[1]
		}
	}
	if m := anyIP.FindStringSubmatch(s); m != nil && validAddress(m[1]) {
		h.ip = m[1]
	}
	if h.ip != "" && h.by != "" {
		return h.complete(looked), true
	}
	return nil, strings.HasPrefix(low, "(from ") && strings.Contains(s, "@localhost) by ")
}

// mayBeBare reports whether a field can be "from x by y;" and no more before the date.
func mayBeBare(low string) bool {
	_, rest, _ := strings.Cut(strings.TrimPrefix(low, "from "), " ")
	rest, ok := strings.CutPrefix(rest, "by ")
	i := strings.IndexAny(rest, " ;")
	return ok && i >= 0 && (rest[i] == ';' || strings.HasPrefix(rest[i:], " ;"))
}

// dateTail is how far before its zone the date at the end of a field may begin.
const dateTail = 60

func withoutDate(s string) string {
	space := strings.LastIndexByte(s, ' ')
	if space <= 0 || s[space-1] < '0' || s[space-1] > '9' {
		return s
	}
	if before := strings.LastIndexByte(s[:space], ' '); strings.IndexByte(s[before+1:space], ':') < 0 {
		return s
	}
	tail := s[max(space-dateTail, 0):]
	if semicolon := strings.LastIndexByte(tail, ';'); semicolon >= 0 {
		for semicolon > 0 && (tail[semicolon-1] == ';' || tail[semicolon-1] == ' ') {
			semicolon--
		}
		if loc := dateBehind.FindStringIndex(tail[semicolon:]); loc != nil {
			return s[:len(s)-len(tail)+semicolon+loc[0]]
		}
	}
	if loc := dateBehind.FindStringIndex(tail); loc != nil {
		return s[:len(s)-len(tail)+loc[0]]
	}
	return s
}

// readWords takes what stands anywhere in the field.
func (h *receivedHop) readWords(s string) {
	if i := strings.Index(s, " id "); i >= 0 {
		if m := receivedID.FindStringSubmatch(s[i:]); m != nil {
			h.id = m[1]
		}
	}
	if strings.Contains(s, "helo=") {
		if m := heloEquals.FindStringSubmatch(s); m != nil {
			h.helo = m[1]
		}
	}
	if h.helo == "" && (strings.Contains(s, "HELO ") || strings.Contains(s, "EHLO ")) {
		if m := heloWord.FindStringSubmatch(s); m != nil {
			h.helo = m[1]
		}
	}
	if i := strings.Index(s, " by "); i >= 0 {
		if m := byHost.FindStringSubmatch(s[i:]); m != nil {
			h.by = m[1]
		}
	}
	h.auth = authOf(s)
}

func authOf(s string) string {
	if strings.Contains(s, " by ") {
		if m := withAuth.FindStringSubmatch(s); m != nil {
			return m[1]
		}
	}
	if strings.Contains(s, " by mx.google.com ") && gmailAuth.MatchString(s) {
		if m := gmailCipher.FindStringSubmatch(s); m != nil {
			return "GMail - transport=" + m[1] + " cipher=" + m[2]
		}
	}
	if strings.Contains(s, "(AUTH: ") {
		if m := authParen.FindStringSubmatch(s); m != nil {
			return m[1]
		}
	}
	if strings.Contains(s, "authenticated") && sendmailOK.MatchString(s) {
		return "Sendmail"
	}
	if strings.Contains(s, " by mail.gmx.") {
		if m := gmxAuth.FindStringSubmatch(s); m != nil {
			return "GMX (" + m[3] + " / " + m[2] + ")"
		}
	}
	if strings.Contains(s, " (authenticated as ") && criticalOK.MatchString(s) {
		return "CriticalPath"
	}
	if strings.Contains(s, "(Authenticated sender: ") {
		if m := postfixAuth.FindStringSubmatch(s); m != nil {
			if m[1] == "Postfix" {
				return m[1]
			}
			return "Postfix (" + m[1] + ")"
		}
	}
	if strings.Contains(s, " (account ") && communigate.MatchString(s) {
		return "Communigate"
	}
	if strings.Contains(s, " with Microsoft Exchange Server HTTP-DAV") {
		return "HTTP-DAV"
	}
	if strings.Contains(s, " by ") && strings.Contains(s, " (") {
		if m := viaHTTP.FindStringSubmatch(s); m != nil {
			return m[1]
		}
	}
	return ""
}

// fit tries the shapes; none is true for a field that speaks of no hop.
func (h *receivedHop) fit(s string, looked *bool) (fit, none bool) {
	for i := range shapes {
		sh := &shapes[i]
		if !sh.possible(s) {
			continue
		}
		if sh.when != nil && !sh.when.MatchString(s) || sh.unless != nil && sh.unless.MatchString(s) {
			continue
		}
		if sh.pieces {
			if h.fitPieces(s) {
				return true, false
			}
			continue
		}
		m := sh.pattern.FindStringSubmatch(s)
		if m == nil {
			continue
		}
		if sh.none {
			return false, true
		}
		if sh.fetch {
			h.fetched = true
			return true, false
		}
		if !h.assign(sh, m[1:]) {
			continue
		}
		if sh.noID {
			h.id = ""
		}
		*looked = sh.looked && !(sh.qmail && h.rdns == "unknown")
		return true, false
	}
	return false, false
}

// fitPieces takes what it finds of a field of Exim that has none of its known forms.
func (h *receivedHop) fitPieces(s string) bool {
	if first, _, ok := strings.Cut(s, " "); ok {
		h.rdns = first
	}
	if m := pieceHelo.FindStringSubmatch(s); m != nil {
		h.helo = m[1]
	}
	if m := pieceIP.FindStringSubmatch(s); m != nil && validAddress(m[1]) {
		h.ip = m[1]
	}
	m := pieceBy.FindStringSubmatch(s)
	if m != nil {
		h.by = m[1]
	}
	return m != nil && h.ip != ""
}

// assign puts the groups where they belong; false when the address is none.
func (h *receivedHop) assign(sh *shape, groups []string) bool {
	for i, name := range sh.names {
		if i < len(groups) && name == "ip" && !validAddress(groups[i]) {
			return false
		}
	}
	for i, name := range sh.names {
		if i >= len(groups) {
			break
		}
		g := groups[i]
		switch name {
		case "ip":
			h.ip = g
		case "by":
			h.by = g
		case "helo":
			h.helo = g
		case "rdns":
			h.rdns = g
		case "rdnshelo":
			h.rdns, h.helo = g, g
		case "ident":
			h.ident = g
		case "identat":
			h.ident = strings.TrimSuffix(g, "@")
		case "rdnsident":
			h.rdns = g
			if m := identBefore.FindStringSubmatch(g); m != nil {
				h.ident, h.rdns = m[1], g[len(m[0]):]
			}
		case "sub":
			if m := subHelo.FindStringSubmatch(g); m != nil {
				h.helo = m[1]
			}
			if m := subIdent.FindStringSubmatch(g); m != nil {
				h.ident = m[1]
			}
		}
	}
	return true
}

// safeInRelay replaces what has a meaning in the form that rules match.
func safeInRelay(s string) string {
	if !strings.ContainsAny(s, unsafeInRelay) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if strings.IndexByte(unsafeInRelay, c) >= 0 {
			b[i] = '!'
		}
	}
	return string(b)
}

const unsafeInRelay = " \t\n\r\f\x00#[]()<>|"

// complete cleans the values.
func (h *receivedHop) complete(looked bool) *receivedHop {
	h.rdns = strings.TrimRight(h.rdns, ".")
	if strings.EqualFold(h.rdns, "unknown") || strings.HasPrefix(h.rdns, "[") {
		h.rdns = ""
	}
	if len(h.ip) > 5 && strings.EqualFold(h.ip[:5], "ipv6:") {
		h.ip = h.ip[5:]
	}
	if strings.IndexByte(h.ip, ':') >= 0 {
		if m := mappedIP.FindStringSubmatch(h.ip); m != nil {
			h.ip = m[1]
		}
	}
	h.by = strings.TrimSuffix(h.by, ";")
	for _, s := range []*string{&h.ip, &h.rdns, &h.helo, &h.by, &h.ident} {
		*s = safeInRelay(*s)
	}
	h.envFrom = safeInRelay(strings.TrimRight(strings.TrimLeft(h.envFrom, " <"), "> "))
	h.noReverse = h.rdns == "" && looked
	h.private = privateIP(h.ip)
	return h
}
