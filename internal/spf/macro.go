package spf

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"postern/internal/dns"
)

// maxExplanation is the longest explanation handed on, in bytes: an SMTP reply line
// of it still fits (RFC 5321 4.5.3.1.5).
const maxExplanation = 400

// shield and unshield carry bytes through the library that mean something in a
// record: a slash and a space in a name, a percent sign that begins no macro.
var (
	shield   = strings.NewReplacer("/", "\x01", " ", "\x02", "%", "%%")
	unshield = strings.NewReplacer("\x01", "/", "\x02", " ")
)

// prepare returns the record with the macros in its terms expanded and its names
// shielded. The library reads names with a slash as prefix lengths, cuts no long
// expansion, and takes the client's validated name for "unknown"; so expansion is done
// here. The record has passed checkSyntax. domain is where it was found.
func (e *evaluation) prepare(ctx context.Context, record, domain string) string {
	terms := strings.Split(record, " ")
	for i, term := range terms {
		if i == 0 || !strings.ContainsAny(term, "%/") {
			continue
		}
		before, spec, after := cutSpec(term)
		if spec == "" {
			continue
		}
		name, err := e.expand(ctx, spec, domain, false)
		if err != nil {
			continue // not after checkSyntax; the library would refuse it as well
		}
		terms[i] = before + shield.Replace(name) + after
		e.terms[strings.TrimLeft(terms[i], "+-?~")] = strings.TrimLeft(term, "+-?~")
	}
	return strings.Join(terms, " ")
}

// cutSpec cuts a term around its domain-spec, which is empty when it has none.
func cutSpec(term string) (before, spec, after string) {
	i := strings.IndexAny(term, ":=/")
	if i < 0 || term[i] == '/' {
		return term, "", ""
	}
	before, spec = term[:i+1], term[i+1:]
	switch strings.ToLower(strings.TrimLeft(before, "+-?~")) {
	case "include:", "exists:", "ptr:", "redirect=":
		return before, spec, ""
	case "a:", "mx:":
		spec, _ = cutCIDR(spec)
		return before, spec, term[len(before)+len(spec):]
	}
	return term, "", ""
}

// explanation fetches the text of exp= in the record that refused (RFC 7208 6.2). Any
// difficulty means that there is none.
func (e *evaluation) explanation(ctx context.Context) string {
	domain := canonical(e.decided.domain)
	spec := ""
	for term := range strings.SplitSeq(e.records[domain], " ") {
		if name, value, ok := strings.Cut(term, "="); ok && strings.EqualFold(name, "exp") {
			spec = value
		}
	}
	if spec == "" {
		return ""
	}
	domain = unshield.Replace(domain)
	name, err := e.expand(ctx, spec, domain, false)
	if err != nil {
		return ""
	}
	records, err := e.ask(ctx, name, dns.TXT)
	if err != nil || len(records) != 1 || len(records[0].Text) > maxExplanation {
		return ""
	}
	text, err := e.expand(ctx, records[0].Text, domain, true)
	if err != nil || len(text) > maxExplanation {
		return ""
	}
	for i := 0; i < len(text); i++ {
		if text[i] < ' ' || text[i] > '~' {
			return ""
		}
	}
	return text
}

// expand expands the macros in s (RFC 7208 7); inText allows the letters that have
// a meaning in explanations only. A name that comes out too long loses labels on the
// left (RFC 7208 7.3).
func (e *evaluation) expand(ctx context.Context, s, domain string, inText bool) (string, error) {
	var b strings.Builder
	for len(s) > 0 {
		plain, rest, macro := strings.Cut(s, "%")
		b.WriteString(plain)
		if !macro {
			break
		}
		if rest == "" {
			return "", fmt.Errorf("%w: macro not ended", ErrSyntax)
		}
		switch rest[0] {
		case '%':
			b.WriteByte('%')
			s = rest[1:]
		case '_':
			b.WriteByte(' ')
			s = rest[1:]
		case '-':
			b.WriteString("%20")
			s = rest[1:]
		case '{':
			body, after, ok := strings.Cut(rest[1:], "}")
			if !ok {
				return "", fmt.Errorf("%w: macro not ended", ErrSyntax)
			}
			m, err := parseMacro(body, inText)
			if err != nil {
				return "", err
			}
			b.WriteString(e.value(ctx, m, domain))
			s = after
		default:
			return "", fmt.Errorf("%w: %%%c is no macro", ErrSyntax, rest[0])
		}
	}
	out := b.String()
	for !inText && len(strings.TrimSuffix(out, ".")) > 253 {
		_, rest, ok := strings.Cut(out, ".")
		if !ok {
			break
		}
		out = rest
	}
	return out, nil
}

// macro is the inside of %{…}.
type macro struct {
	letter     byte // lower case
	escape     bool // the letter was a capital: escape as in a URL
	digits     int  // labels kept from the right; 0: all
	reverse    bool
	delimiters string
}

// parseMacro reads the inside of %{…} (RFC 7208 7.1).
func parseMacro(body string, inText bool) (macro, error) {
	bad := fmt.Errorf("%w: %%{%s} is no macro", ErrSyntax, body)
	letters := "slodiphv"
	if inText {
		letters += "crt"
	}
	if body == "" {
		return macro{}, bad
	}
	m := macro{letter: body[0], delimiters: "."}
	if 'A' <= m.letter && m.letter <= 'Z' {
		m.letter += 'a' - 'A'
		m.escape = true
	}
	if strings.IndexByte(letters, m.letter) < 0 {
		return macro{}, bad
	}
	rest := body[1:]
	digits := 0
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	if digits > 0 {
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || n == 0 {
			return macro{}, bad
		}
		m.digits, rest = n, rest[digits:]
	}
	if rest != "" && (rest[0] == 'r' || rest[0] == 'R') {
		m.reverse, rest = true, rest[1:]
	}
	if strings.Trim(rest, ".-+,/_=") != "" {
		return macro{}, bad
	}
	if rest != "" {
		m.delimiters = rest
	}
	return m, nil
}

// value returns what a macro stands for. The name of the checking host (r) is
// "unknown", as RFC 7208 7.3 allows; the time (t) is 0, since an evaluation reads no
// clock.
func (e *evaluation) value(ctx context.Context, m macro, domain string) string {
	var s string
	switch m.letter {
	case 's':
		s = e.local + "@" + e.domain
	case 'l':
		s = e.local
	case 'o':
		s = e.domain
	case 'd':
		s = domain
	case 'h':
		s = e.hello
	case 'c':
		s = e.ip.String()
	case 'i':
		s = e.ip.String()
		if !e.ip.Is4() {
			labels := strings.Split(dns.ReverseLabels(e.ip), ".")
			slices.Reverse(labels)
			s = strings.ToUpper(strings.Join(labels, "."))
		}
	case 'v':
		s = "in-addr"
		if !e.ip.Is4() {
			s = "ip6"
		}
	case 'p':
		s = e.clientName(ctx, domain)
	case 't':
		s = "0"
	default:
		s = "unknown"
	}
	if m.digits > 0 || m.reverse || m.delimiters != "." {
		parts := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(m.delimiters, r) })
		if m.reverse {
			slices.Reverse(parts)
		}
		if m.digits > 0 && m.digits < len(parts) {
			parts = parts[len(parts)-m.digits:]
		}
		s = strings.Join(parts, ".")
	}
	if m.escape {
		s = strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	}
	return s
}

// clientName returns the validated name of the client, preferring domain itself, then
// one below it; "unknown" when there is none (RFC 7208 7.3).
func (e *evaluation) clientName(ctx context.Context, domain string) string {
	if e.names == nil {
		e.names = e.validated(ctx)
	}
	best, rank := "unknown", 0
	for _, name := range e.names {
		r := 1
		switch {
		case strings.EqualFold(name, domain):
			r = 3
		case len(name) > len(domain) && strings.EqualFold(name[len(name)-len(domain)-1:], "."+domain):
			r = 2
		}
		if r > rank {
			best, rank = name, r
		}
	}
	return best
}

// validated returns the names in the reverse tree that lead back to the client's
// address, of the first ten (RFC 7208 5.5); never nil.
func (e *evaluation) validated(ctx context.Context) []string {
	const most = 10 // RFC 7208 4.6.4
	out := []string{}
	names, _ := e.LookupAddr(ctx, e.ip.String())
	for i, name := range names {
		if i == most {
			break
		}
		if !dns.HostName(name) {
			continue
		}
		typ := dns.TypeAAAA
		if e.ip.Is4() {
			typ = dns.TypeA
		}
		addrs, _ := e.addrs(ctx, name, typ)
		for _, a := range addrs {
			if a.IP.Equal(e.ip.AsSlice()) {
				out = append(out, name)
				break
			}
		}
	}
	return out
}
