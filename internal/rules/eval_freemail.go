package rules

import (
	"bytes"
	"regexp"
	"strings"
)

// freemailEvals look for addresses at providers of free mailboxes (SpamAssassin's FreeMail).
var freemailEvals = map[string]evalFunc{
	"check_freemail_from":    {run: freemailFrom, check: need(0, 1), pattern: 1},
	"check_freemail_header":  {run: freemailHeader, check: need(1, 2), pattern: 2},
	"check_freemail_body":    {run: freemailBody, check: need(0, 1), pattern: 1},
	"check_freemail_replyto": {run: freemailReply, check: need(0, 1)},
}

// Limits of addresses looked at in the body: with that many it is a list, not a place to answer to.
const (
	bodyEmailsMax    = 5
	bodyFreemailsMax = 3
)

var (
	functionBox = regexp.MustCompile(`(?i)^(?:abuse|support|sales|info|helpdesk|contact|kontakt|(?:post|host|domain)master|undisclosed.*|request-[a-f0-9]{16}|bounced?-|[a-f0-9]{8}(?:\.[a-f0-9]{8}|-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12})|.+=.+=.+)@`)
	bulkSender  = regexp.MustCompile(`(?i)(?:^(?:post|host|domain)master|^double-bounce|^(?:sentto|owner|return|(?:gr)?bounced?)-.+|-(?:request|bounces?|admin|owner)|\b(?:do[._-t]?)?no[._-t]?repl(?:y|ies)|.+=.+)@`)
	bodyEmail   = mustMatcher(emailShape, "i")
	urlWithAt   = regexp.MustCompile(`(?i)<?https?://\S{0,255}(?:@|%40)\S{0,255}`)
	// quotedEmail is an address in angle brackets or one of which "wrote:" and the like says that it is quoted: not where to answer.
	quotedEmail = mustMatcher(`<?(?<!mailto:)`+emailShape+`(?:>|\s{1,10}(?!(?:fa(?:x|csi)|tel|phone|e?-?mail))[a-z]{2,11}:)`, "i")
)

// emailShape is an address in text. That its last label is a top-level domain is for the caller to check.
const (
	emailAtom  = "[a-z0-9!#$%&'*+/=?^_`{|}~-]"
	emailShape = `(?=.{0,64}@)(?<!` + emailAtom + `)(` + emailAtom + `+(?:\.` + emailAtom + `+)*@(?:[a-z0-9](?:[a-z0-9-]{0,59}[a-z0-9])?\.){1,4}[a-z0-9-]{2,63})(?![a-z0-9-]|\.[a-z0-9])`
)

// freemail reports whether an address is at a provider of free mailboxes, function mailboxes left out.
func (l *lists) freemailAddress(address string) bool {
	domain := address[strings.LastIndexByte(address, '@')+1:]
	if address == "" || l.freemailWelcome[address] || l.freemailWelcome[domain] || functionBox.MatchString(address) {
		return false
	}
	if l.freemail[domain] {
		return true
	}
	for _, glob := range l.freemailGlobs {
		if strings.Count(glob, ".") == strings.Count(domain, ".") && globMatch(glob, domain) {
			return true
		}
	}
	return false
}

func (c *scan) lowerAll(name string) []string {
	var out []string
	for _, s := range c.header(name).values {
		out = append(out, strings.ToLower(s))
	}
	return out
}

// senders returns all addresses the message claims to come from.
func (c *scan) senders() []string {
	return remember(c.v, "senders", func() []string {
		if resent := c.header("Resent-From:first:addr").values; len(resent) > 0 {
			return resent
		}
		var out []string
		seen := map[string]bool{}
		for _, name := range []string{"From:addr", "Envelope-Sender:addr", "Resent-Sender:addr", "X-Envelope-From:addr", "EnvelopeFrom:addr"} {
			for _, s := range c.header(name).values {
				for strings.Contains(s, "..") {
					s = strings.ReplaceAll(s, "..", ".")
				}
				if s != "" && !seen[s] {
					seen[s] = true
					out = append(out, s)
				}
			}
		}
		return out
	})
}

func (c *scan) anyFreemail(r *Rule, addresses []string) bool {
	for _, a := range addresses {
		a = strings.ToLower(a)
		if c.s.lists.freemailAddress(a) && (r.compiled == nil || r.compiled.matches(a)) {
			c.note(a)
			return true
		}
	}
	return false
}

func freemailFrom(c *scan, r *Rule) bool { return c.anyFreemail(r, c.senders()) }

func freemailHeader(c *scan, r *Rule) bool {
	return c.anyFreemail(r, c.header(r.arg(0)+":addr").values)
}

func freemailBody(c *scan, r *Rule) bool {
	list, ok := c.bodyFreemails()
	return ok && c.anyFreemail(r, list)
}

// bodyFreemails returns the free mailboxes named in the body; ok is false when there are too many addresses.
func (c *scan) bodyFreemails() (list []string, ok bool) {
	type found struct {
		list []string
		ok   bool
	}
	f := remember(c.v, "bodyFreemails", func() found {
		all, free := 0, 0
		var list []string
		for _, a := range c.bodyAddresses() {
			if all++; all == bodyEmailsMax {
				return found{}
			}
			if c.s.lists.freemailAddress(a) {
				if free++; free == bodyFreemailsMax {
					return found{}
				}
				list = append(list, a)
			}
		}
		return found{list, true}
	})
	return f.list, f.ok
}

// bodyAddresses returns the addresses in links and in the text of the body. Those that are quoted, and URLs with addresses in them, it takes
// out of the text that rules see from then on: SpamAssassin does, and as its tests of the header come first, body rules never see them.
func (c *scan) bodyAddresses() []string {
	var out []string
	seen := map[string]bool{}
	add := func(a string) {
		if a = strings.ToLower(a); !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	for _, d := range c.uriDetails() {
		if d.types["a"] && !d.types["parsed"] && len(d.raw) > 7 && strings.EqualFold(d.raw[:7], "mailto:") {
			if loc, ok, _ := bodyEmail.Find([]byte(d.raw), 7); ok && loc[0] == 7 && c.emailValid([]byte(d.raw), loc) {
				add(d.raw[loc[2]:loc[3]])
			}
		}
		if len(out) >= 20 {
			break
		}
	}
	lines := append([][]byte(nil), c.body()...)
	c.stripped = lines
	for i, line := range lines {
		if bytes.IndexByte(line, '@') < 0 && !bytes.Contains(line, []byte("%40")) {
			continue
		}
		line = urlWithAt.ReplaceAll(line, []byte(" "))
		line = c.withoutQuoted(line)
		lines[i] = line
		for at := 0; ; {
			loc, ok, _ := bodyEmail.Find(line, at)
			if !ok {
				break
			}
			if c.emailValid(line, loc) {
				add(string(line[loc[2]:loc[3]]))
			}
			if len(out) >= 40 {
				return out
			}
			at = max(loc[1], at+1)
		}
	}
	return out
}

// emailValid reports whether the address that loc found ends in a top-level domain.
func (c *scan) emailValid(b []byte, loc []int) bool {
	a := b[loc[2]:loc[3]]
	return c.s.lists.tldValid(strings.ToLower(string(a[bytes.LastIndexByte(a, '.')+1:])))
}

// withoutQuoted puts a space in place of each quoted address.
func (c *scan) withoutQuoted(line []byte) []byte {
	var out []byte
	from := 0 // what is before is in out
	for at := 0; ; {
		loc, ok, _ := quotedEmail.Find(line, at)
		if !ok {
			break
		}
		at = max(loc[1], at+1)
		if c.emailValid(line, loc) {
			out = append(append(out, line[from:loc[0]]...), ' ')
			from = loc[1]
		}
	}
	if from == 0 {
		return line
	}
	return append(out, line[from:]...)
}

// freemailReply: answers go to a free mailbox other than the sender's, by Reply-To or by an address in the body.
func freemailReply(c *scan, r *Rule) bool {
	what := r.arg(0)
	if what == "" {
		what = "replyto"
	}
	if env := c.header("EnvelopeFrom"); env.set && bulkSender.MatchString(env.values[0]) {
		return false
	}
	from, reply := c.lowerAll("From:addr"), c.lowerAll("Reply-To:addr")
	free := func(list []string) bool {
		for _, a := range list {
			if c.s.lists.freemailAddress(a) {
				return true
			}
		}
		return false
	}
	fromFree, replyFree := free(from), free(reply)
	apart := true
	for _, a := range from {
		apart = apart && !hasWord(reply, a)
	}
	if fromFree && replyFree && apart {
		c.note(strings.Join(from, ", ") + " -> " + strings.Join(reply, ", "))
		return true
	}
	answer := reply
	if what == "replyto" {
		if !replyFree {
			return false
		}
	} else {
		if len(reply) > 0 && !replyFree || !fromFree {
			return false
		}
		if !replyFree {
			answer = from
		}
	}
	list, ok := c.bodyFreemails()
	if !ok {
		return false
	}
	for _, body := range list {
		for _, a := range answer {
			if body != a {
				c.note(a + ", " + body)
				return true
			}
		}
	}
	return false
}
