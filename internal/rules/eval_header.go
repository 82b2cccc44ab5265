package rules

import (
	"math"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// headerEvals look at header fields (SpamAssassin's HeaderEval).
var headerEvals = map[string]evalFunc{
	// Every charset is welcome (ok_locales all).
	"check_for_faraway_charset_in_headers": {run: func(*scan, *Rule) bool { return false }},
	"check_for_unique_subject_id":          {run: func(*scan, *Rule) bool { return false }},
	"check_illegal_chars":                  {run: illegalChars, check: need(3, 3)},
	"check_for_matching_env_and_hdr_from": {run: func(c *scan, _ *Rule) bool {
		return strings.EqualFold(c.get("EnvelopeFrom:addr"), c.get("From:addr"))
	}},
	"sorted_recipients":           {run: func(c *scan, _ *Rule) bool { return c.recipients().sorted }},
	"similar_recipients":          {run: similarRecipients, check: need(2, 2)},
	"check_for_missing_to_header": {run: func(c *scan, _ *Rule) bool { return c.get("To") == "" && c.get("Apparently-To") == "" }},
	"check_for_shifted_date":      {run: shiftedDate, check: need(2, 2)},
	"received_within_months":      {run: receivedWithin, check: need(2, 2)},
	"subject_is_all_caps":         {run: subjectCaps},
	"check_for_to_in_subject":     {run: toInSubject, check: need(1, 1)},
	"check_outlook_message_id":    {run: outlookID},
	"check_messageid_not_usable":  {run: messageIDUnusable},
	"check_header_count_range":    {run: headerCount, check: need(3, 3)},
	"check_unresolved_template":   {run: unresolvedTemplate},
	"check_ratware_name_id":       {run: ratwareNameID},
	"check_ratware_envelope_from": {run: ratwareEnvelope},
	"check_equal_from_domains":    {run: differentFromDomains},
}

func illegalChars(c *scan, r *Rule) bool {
	name := r.arg(0)
	if !strings.HasSuffix(name, ":raw") {
		name += ":raw"
	}
	s := c.get(name)
	if strings.TrimSpace(s) == "" {
		return false
	}
	control, high, exempt := 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case b < ' ' && b != '\t' && b != '\n' && b != '\r':
			control++
		case b >= 0x7f:
			high++
			if b == 0xa2 || b == 0xa3 || b == 0xae {
				exempt++
			}
		}
	}
	if has8Bit([]byte(s)) && utf8.ValidString(s) && control == 0 {
		return false // UTF-8 in headers has been allowed since (RFC 6532)
	}
	illegal := control + high
	if illegal > 0 && strings.EqualFold(name, "subject:raw") && exempt == 1 {
		illegal--
	}
	return float64(illegal)/float64(len(s)) >= r.num(1) && float64(illegal) >= r.num(2)
}

// recipientFacts are what the order and the likeness of recipients show.
type recipientFacts struct {
	sorted  bool
	similar float64
}

const (
	sortedFrom     = 7 // recipients
	similarFrom    = 5
	similarLetters = 2
	mostRecipients = 256
)

func (c *scan) recipients() recipientFacts {
	return remember(c.v, "recipients", func() (f recipientFacts) {
		list := append([]string(nil), c.header("ToCc:addr").values...)
		if len(list) < similarFrom {
			list = append(list, c.header("Bcc:addr").values...)
		}
		var addresses []string
		previous := ""
		for _, a := range list {
			if !strings.EqualFold(a, previous) {
				addresses = append(addresses, a)
				previous = a
			}
			if len(addresses) == mostRecipients {
				break
			}
		}
		f.sorted = len(addresses) >= sortedFrom && sort.StringsAreSorted(addresses)
		if len(addresses) < similarFrom {
			return f
		}
		hits, pairs := 0, 0
		cut := func(s string) string { return s[:min(len(s), similarLetters)] }
		host := func(s string) string { _, h, _ := strings.Cut(s, "@"); return h }
		for i, a := range addresses {
			for _, b := range addresses[i+1:] {
				if cut(a) == cut(b) {
					hits++
				}
				if ha, hb := host(a), host(b); cut(ha) == cut(hb) && ha != hb {
					hits++
				}
				pairs++
			}
		}
		f.similar = float64(hits) / float64(pairs)
		return f
	})
}

func similarRecipients(c *scan, r *Rule) bool {
	x := c.recipients().similar
	return (r.arg(0) == "undef" || x >= r.num(0)) && (r.arg(1) == "undef" || x < r.num(1))
}

// receivedDate finds the first " 21 Nov 2026 10:00:00 +0000" with its zone; "" if there is none. One character may stand before the day.
func receivedDate(s string) string {
	for i := 0; i < len(s); i++ {
		if !isHTMLSpace(s[i]) {
			continue
		}
		for skip := 1; skip >= 0; skip-- {
			if i+skip < len(s) && (skip == 0 || s[i+1] != '\n') {
				if end := dateAt(s, i+1+skip); end > 0 {
					return s[i:end]
				}
			}
		}
	}
	return ""
}

// dateAt reads a date that begins with the day at s[at:] and returns where it ends; 0 if none does.
func dateAt(s string, at int) (end int) {
	digits := func(behind byte) bool {
		begin := at
		for at < len(s) && s[at] >= '0' && s[at] <= '9' {
			at++
		}
		if at == begin || at >= len(s) || s[at] != behind {
			return false
		}
		at++
		return true
	}
	words := func(low, high int) bool {
		begin := at
		for at < len(s) && at-begin < high && !isHTMLSpace(s[at]) {
			at++
		}
		return at-begin >= low
	}
	if !digits(' ') || !words(3, 3) || at >= len(s) || s[at] != ' ' {
		return 0
	}
	at++
	if !digits(' ') || !digits(':') || !digits(':') || !digits(' ') || !words(1, len(s)) {
		return 0
	}
	return at
}

// dateHeader returns the time the message claims, in seconds.
func (c *scan) dateHeader() (int64, bool) {
	for _, name := range []string{"Resent-Date", "Date"} {
		for _, s := range c.v.field(name, false, false) {
			if t, ok := parseDate(s); ok {
				return t, true
			}
		}
	}
	return 0, false
}

var (
	localHop  = regexp.MustCompile(`\bfrom (?:localhost\s|(?:\S+ ){1,2}\S*\b127\.0\.0\.1\b)|qmail \d+ invoked by uid \d+`)
	fetchmail = regexp.MustCompile(`\bby localhost with \w+ \(fetchmail-[\d.]+`)
)

// receivedTimes returns the times of the Received fields; those of a person's own fetching left out.
func (c *scan) receivedTimes() []int64 {
	var lines []string
	for _, s := range c.v.field("Received", false, false) {
		if strings.TrimSpace(s) != "" {
			lines = append(lines, s)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	var local []string
	if localHop.MatchString(lines[0]) {
		local, lines = lines[:1], lines[1:]
	}
	if len(lines) > 0 && fetchmail.MatchString(lines[0]) {
		lines = lines[1:]
	} else if len(local) > 0 {
		lines = append(append([]string{}, local...), lines...)
	}
	var times []int64
	for _, s := range lines {
		if m := receivedDate(s); m != "" {
			if t, ok := parseDate(m); ok {
				times = append(times, t)
			}
		}
	}
	return times
}

// dateShift is how far Date lies from the nearest Received field, in seconds; 0 if it cannot be told.
func (c *scan) dateShift() int64 {
	return remember(c.v, "dateShift", func() int64 {
		date, ok := c.dateHeader()
		times := c.receivedTimes()
		if !ok || len(times) == 0 {
			return 0
		}
		diffs := make([]int64, len(times))
		for i, t := range times {
			diffs[i] = date - t
		}
		if n := len(diffs); n > 1 && diffs[n-1] == 0 {
			diffs = diffs[:n-1] // forged to look right
		}
		best := diffs[0]
		for _, d := range diffs {
			if abs(d) < abs(best) {
				best = d
			}
		}
		return best
	})
}

func abs(x int64) int64 {
	if x < 0 {
		return -x
	}
	return x
}

func shiftedDate(c *scan, r *Rule) bool {
	d := float64(c.dateShift())
	if (r.arg(0) == "undef" || d >= 3600*r.num(0)) && (r.arg(1) == "undef" || d < 3600*r.num(1)) {
		c.note("Date: " + c.get("Date"))
		return true
	}
	return false
}

const monthSeconds = 31556952.0 / 12

func receivedWithin(c *scan, r *Rule) bool {
	if c.v.options.Now.IsZero() {
		return false
	}
	var at int64
	if times := c.receivedTimes(); len(times) > 0 {
		at = times[0]
	} else if t, ok := c.dateHeader(); ok {
		at = t
	}
	d := float64(c.v.options.Now.Unix() - at)
	return (r.arg(0) == "undef" || d >= monthSeconds*r.num(0)) && (r.arg(1) == "undef" || d < monthSeconds*r.num(1))
}

var (
	replyPrefix = regexp.MustCompile(`(?i)^(?:(?:Re|Fwd|Fw|Aw|Antwort|WG|SV|VB|VS|VL):\s*)+`)
	capsWord    = regexp.MustCompile(`(?i)=\?[-_a-z0-9]*(?:koi|jp|jis|euc|gb|big5|isoir|cp1251|windows-1251|georgianps|pt154|tis)[-_a-z0-9]*\?`)
	noLetters   = regexp.MustCompile(`[^a-zA-Z]`)
)

func subjectCaps(c *scan, _ *Rule) bool {
	s := replyPrefix.ReplaceAllString(strings.TrimSpace(c.get("Subject")), "")
	if !strings.ContainsAny(s, spaces) || len(s) < 10 || capsWord.MatchString(c.get("Subject:raw")) {
		return false
	}
	s = noLetters.ReplaceAllString(s, "")
	return s != "" && s == strings.ToUpper(s)
}

func toInSubject(c *scan, r *Rule) bool {
	to := c.get("To:addr")
	if to == "" {
		return false
	}
	subject := c.get("Subject")
	if r.arg(0) == "address" {
		ok, err := regexp.MatchString(`(?i)\b`+regexp.QuoteMeta(to)+`\b`, subject)
		return err == nil && ok
	}
	user, _, _ := strings.Cut(to, "@")
	q := regexp.QuoteMeta(user)
	re, err := regexp.Compile(`^(?:(?i:(?:re|fw):\s*(?:\w+\s+)?` + q + `\n?$)|` + q + `\s*[,:;!?-](?:$|\s)|(?i:` + q + `\n?$)|(?i:,\s*` + q + `[,:;!?-]\n?$))`)
	return err == nil && r.arg(0) == "user" && re.MatchString(subject)
}

var outlookMID = regexp.MustCompile(`^<[0-9a-f]{4}([0-9a-f]{8})\$[0-9a-f]{8}\$[0-9a-f]{8}@`)

// outlookID: a Message-ID of Outlook's form whose time is neither that of Date nor that of the last Received field.
func outlookID(c *scan, _ *Rule) bool {
	m := outlookMID.FindStringSubmatch(c.get("MESSAGEID"))
	if m == nil {
		return false
	}
	token, _ := strconv.ParseUint(m[1], 16, 64)
	off := func(t int64) bool {
		return math.Abs(float64(token)-math.Trunc(float64(t)*0.0023283064365387+27111902.8329849)) >= 250
	}
	date, _ := parseDate(c.get("Date"))
	if !off(date) {
		return false
	}
	received := int64(0)
	if s := receivedDate(c.get("Received")); s != "" {
		received, _ = parseDate(s)
	}
	return off(received)
}

var unsubscribeBox = regexp.MustCompile(`(?i)<mailto:(?:leave-\S+|\S+-unsubscribe)@\S+>$`)

func messageIDUnusable(c *scan, _ *Rule) bool {
	received := c.get("Received")
	return unsubscribeBox.MatchString(strings.TrimSpace(c.get("List-Unsubscribe"))) || c.receivedRemoved() ||
		strings.Contains(received, "/CWT/DCE)") || strings.Contains(received, "iPlanet Messaging Server")
}

func headerCount(c *scan, r *Rule) bool {
	seen := map[string]bool{}
	for _, s := range c.v.field(r.arg(0), false, false) {
		seen[s] = true
	}
	n := float64(len(seen))
	return n >= r.num(1) && n <= r.num(2)
}

var (
	templateMark = regexp.MustCompile(`%[A-Z][A-Z_-]`)
	templateFree = regexp.MustCompile(`(?i)^(?:X-VMS-To|X-UIDL|X-Face|To|Cc|From|Subject|References|In-Reply-To|(?:X-|Resent-|X-Original-)?Message-Id):`)
)

func unresolvedTemplate(c *scan, _ *Rule) bool {
	for _, line := range c.header("ALL").values {
		if templateMark.MatchString(line) && !templateFree.MatchString(line) {
			c.note(line)
			return true
		}
	}
	return false
}

var ratwareMID = regexp.MustCompile(`<[A-Z]{28}\.([^>]+?)>`)

func ratwareNameID(c *scan, _ *Rule) bool {
	m := ratwareMID.FindStringSubmatch(c.get("MESSAGEID"))
	if m == nil {
		return false
	}
	ok, err := regexp.MatchString(`"[^"]+"\s*<`+regexp.QuoteMeta(m[1])+`>`, c.get("From"))
	return err == nil && ok
}

func ratwareEnvelope(c *scan, _ *Rule) bool {
	user, domain, ok := strings.Cut(c.get("To:addr"), "@")
	from := c.get("EnvelopeFrom:addr")
	if !ok || user == "" || from == "" || len(from) > 5 && strings.EqualFold(from[:3], "srs") && strings.IndexByte("=-+", from[4]) >= 0 {
		return false
	}
	domain = c.s.lists.registered(domain)
	if !c.s.lists.domainValid(domain) {
		return false
	}
	hit, err := regexp.MatchString(`(?i)\b`+regexp.QuoteMeta(domain)+`.`+regexp.QuoteMeta(user)+`@`, from)
	return err == nil && hit
}

var lastLabels = regexp.MustCompile(`^.+\.([^.]+\.[^.]+)$`)

func differentFromDomains(c *scan, _ *Rule) bool {
	cut := func(a string) string {
		i := strings.LastIndexByte(a, '@')
		if i < 0 {
			return ""
		}
		return lastLabels.ReplaceAllString(a[i+1:], "$1")
	}
	from, envelope := cut(c.get("From:addr")), cut(c.get("EnvelopeFrom:addr"))
	if from == "" || envelope == "" || strings.EqualFold(from, envelope) {
		return false
	}
	c.note("From: " + from + ", envelope: " + envelope)
	return true
}
