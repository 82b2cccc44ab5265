package spf

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// checkSyntax holds a record against the grammar of RFC 7208 12, so that an error
// behind the deciding term is found too (RFC 7208 4.6). The error wraps ErrSyntax and
// quotes the term.
func checkSyntax(record string) error {
	seen := make(map[string]bool)
	for term := range strings.SplitSeq(record[len("v=spf1"):], " ") {
		if term == "" {
			continue
		}
		if !validTerm(term, seen) {
			return fmt.Errorf("%w: %s", ErrSyntax, strconv.QuoteToASCII(clip(term)))
		}
	}
	return nil
}

// clip shortens a term that is to be quoted.
func clip(s string) string {
	const limit = 80
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}

// validTerm checks one directive or modifier; seen holds the modifiers that may
// occur once.
func validTerm(term string, seen map[string]bool) bool {
	for i := 0; i < len(term); i++ {
		if term[i] <= ' ' || term[i] > '~' {
			return false
		}
	}
	// "=" comes before any ":" or "/" in a modifier only.
	if i := strings.IndexAny(term, "=:/"); i >= 0 && term[i] == '=' {
		name, value := strings.ToLower(term[:i]), term[i+1:]
		switch name {
		case "redirect", "exp":
			if seen[name] {
				return false
			}
			seen[name] = true
			return validDomainSpec(value)
		}
		return validName(name) && validMacros(value)
	}
	return validMechanism(strings.TrimLeft(term[:1], "+-?~") + term[1:])
}

// validName checks a modifier's name: a letter, then letters, digits, "-", "_", ".".
func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// validMechanism checks a mechanism without its qualifier.
func validMechanism(term string) bool {
	name, rest := term, ""
	if i := strings.IndexAny(term, ":/"); i >= 0 {
		name, rest = term[:i], term[i:]
	}
	value, hasValue := strings.CutPrefix(rest, ":")
	switch strings.ToLower(name) {
	case "all":
		return rest == ""
	case "include", "exists":
		return hasValue && validDomainSpec(value)
	case "ptr":
		return rest == "" || hasValue && validDomainSpec(value)
	case "a", "mx":
		spec, ok := cutCIDR(rest)
		value, hasValue := strings.CutPrefix(spec, ":")
		return ok && (spec == "" || hasValue && validDomainSpec(value))
	case "ip4", "ip6":
		return hasValue && validNetwork(value, strings.EqualFold(name, "ip4"))
	}
	return false
}

// validNetwork checks the value of ip4: or ip6:.
func validNetwork(value string, four bool) bool {
	address, length, hasLength := strings.Cut(value, "/")
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Is4() != four || ip.Zone() != "" {
		return false
	}
	return !hasLength || validLength(length, ip.BitLen())
}

// validLength checks a prefix length: decimal, no leading zero.
func validLength(s string, most int) bool {
	if s == "" || len(s) > 3 || len(s) > 1 && s[0] == '0' {
		return false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n <= most
}

// cutCIDR takes a prefix length, "/24", "//64" or "/24//64", off the end of s and
// reports whether the numbers are valid. A slash that digits and slashes alone do not
// follow belongs to the name.
func cutCIDR(s string) (spec string, ok bool) {
	end := len(strings.TrimRight(s, "/0123456789"))
	i := strings.IndexByte(s[end:], '/')
	if i < 0 {
		return s, true
	}
	spec, lengths := s[:end+i], s[end+i:]
	four, six, hasSix := strings.Cut(lengths, "//")
	if hasSix && !validLength(six, 128) {
		return spec, false
	}
	if four == "" {
		return spec, hasSix
	}
	return spec, validLength(four[1:], 32)
}

// validDomainSpec checks a domain-spec: macros well formed, and an end that is a
// macro or a top label (RFC 7208 7.1).
func validDomainSpec(s string) bool {
	if s == "" || !validMacros(s) {
		return false
	}
	if strings.HasSuffix(s, "}") {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 {
		return false
	}
	top := s[dot+1:]
	letter := false
	for i := 0; i < len(top); i++ {
		switch c := top[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			letter = true
		case c == '-':
			letter = true
		case '0' <= c && c <= '9':
		default:
			return false
		}
	}
	return letter && top[0] != '-' && top[len(top)-1] != '-'
}

// validMacros checks that every "%" in s begins a macro that may stand there.
func validMacros(s string) bool {
	for {
		_, rest, found := strings.Cut(s, "%")
		if !found {
			return true
		}
		if rest == "" {
			return false
		}
		switch rest[0] {
		case '%', '_', '-':
			s = rest[1:]
		case '{':
			body, after, ok := strings.Cut(rest[1:], "}")
			if !ok {
				return false
			}
			if _, err := parseMacro(body, false); err != nil {
				return false
			}
			s = after
		default:
			return false
		}
	}
}
