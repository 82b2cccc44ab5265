package tlspolicy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
)

// STSMode is the mode of an MTA-STS policy (RFC 8461 5).
type STSMode string

// The modes of RFC 8461 5.
const (
	STSEnforce STSMode = "enforce" // only matching exchangers, only with a valid certificate
	STSTesting STSMode = "testing" // as enforce, but failures are reported and mail is delivered
	STSNone    STSMode = "none"    // the domain gave its policy up
)

// Bounds of what a policy may say and be.
const (
	maxPolicyBytes = 64 << 10               // RFC 8461 3.3: "such as 64 kilobytes"
	maxAge         = 31557600 * time.Second // RFC 8461 3.2: about one year; more is taken as this
	minAge         = 5 * time.Minute        // a shorter life would have the policy host asked for every message; RFC 8461 3.3 advises this pause
	maxPatterns    = 200                    // exchangers in one policy
)

// STSPolicy is a policy as its text says it (RFC 8461 3.2).
type STSPolicy struct {
	Mode   STSMode
	MaxAge time.Duration // within minAge and maxAge
	MX     []string      // patterns, lower case: a host name, or "*." and a domain; empty only with STSNone
}

// Errors of what a domain publishes. ErrNoPolicy is no fault: the domain has no MTA-STS.
var (
	ErrNoPolicy      = errors.New("no MTA-STS record")
	ErrInvalidRecord = errors.New("invalid MTA-STS record")
	ErrInvalidPolicy = errors.New("invalid MTA-STS policy")
)

// ParseSTSRecord reads the TXT records of _mta-sts.DOMAIN and returns the id of the policy (RFC 8461 3.1). Records that do not begin with
// "v=STSv1;" are others'; when not exactly one is left there is no policy (ErrNoPolicy). A broken one gives ErrInvalidRecord.
func ParseSTSRecord(texts []string) (id string, err error) {
	var found []string
	for _, t := range texts {
		if _, ok := recordFields(t, "STSv1"); ok {
			found = append(found, t)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%w: %d records with v=STSv1, expected one", ErrNoPolicy, len(found))
	}
	fields, _ := recordFields(found[0], "STSv1")
	for _, f := range fields {
		name, value, ok := strings.Cut(f, "=")
		name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
		if !ok || !isFieldName(name) {
			return "", fmt.Errorf("%w: %.40q is not of the form name=value", ErrInvalidRecord, f)
		}
		if name != "id" || id != "" {
			continue
		}
		if !isPolicyID(value) {
			return "", fmt.Errorf("%w: id %.40q is not of 1 to 32 letters and digits", ErrInvalidRecord, value)
		}
		id = value
	}
	if id == "" {
		return "", fmt.Errorf("%w: no id", ErrInvalidRecord)
	}
	return id, nil
}

// recordFields takes a record of the form "v=VERSION; name=value; ..." apart; ok is false when it begins with another version.
func recordFields(text, version string) (fields []string, ok bool) {
	rest, ok := strings.CutPrefix(text, "v="+version)
	if !ok {
		return nil, false
	}
	rest = strings.TrimLeft(rest, " \t")
	if rest == "" || rest[0] != ';' {
		return nil, rest == "" // a version alone: ours, and without the field that it needs
	}
	for f := range strings.SplitSeq(rest[1:], ";") {
		if f = strings.Trim(f, " \t"); f != "" {
			fields = append(fields, f)
		}
	}
	return fields, true
}

// isFieldName: RFC 8461 3.1, sts-ext-name.
func isFieldName(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && (i == 0 || c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return true
}

func isPolicyID(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// ParseSTSPolicy reads the text of a policy (RFC 8461 3.2): lines of "name: value", ended by LF or CRLF. Unknown names are skipped; of a name
// given twice, all but mx, the first counts. Everything else that is not as the RFC says gives ErrInvalidPolicy.
func ParseSTSPolicy(text []byte) (p STSPolicy, err error) {
	bad := func(format string, args ...any) (STSPolicy, error) {
		return STSPolicy{}, fmt.Errorf("%w: "+format, append([]any{ErrInvalidPolicy}, args...)...)
	}
	if len(text) > maxPolicyBytes {
		return bad("more than %d bytes", maxPolicyBytes)
	}
	seen := map[string]bool{}
	line := 0
	for l := range strings.SplitSeq(string(text), "\n") {
		line++
		if l = strings.TrimRight(strings.TrimSuffix(l, "\r"), " \t"); l == "" {
			continue
		}
		name, value, ok := strings.Cut(l, ":")
		if value = strings.TrimLeft(value, " \t"); !ok || !isFieldName(name) || !isPolicyValue(value) {
			return bad("line %d: %.60q is not of the form name: value", line, l)
		}
		if seen[name] && name != "mx" {
			continue
		}
		seen[name] = true
		switch name {
		case "version":
			if value != "STSv1" {
				return bad("version %.20q, expected STSv1", value)
			}
		case "mode":
			if p.Mode = STSMode(value); p.Mode != STSEnforce && p.Mode != STSTesting && p.Mode != STSNone {
				return bad("mode %.20q, expected enforce, testing or none", value)
			}
		case "max_age":
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil || len(value) > 10 || value[0] == '+' {
				return bad("max_age %.20q, expected seconds", value)
			}
			p.MaxAge = max(time.Duration(min(n, uint64(maxAge/time.Second)))*time.Second, minAge)
		case "mx":
			pattern := strings.ToLower(strings.TrimSuffix(value, "."))
			host := strings.TrimPrefix(pattern, "*.")
			if !dns.HostName(host) || !strings.Contains(host, ".") {
				return bad("mx %.60q is neither a host name nor *.domain", value)
			}
			if len(p.MX) == maxPatterns {
				return bad("more than %d mx", maxPatterns)
			}
			p.MX = append(p.MX, pattern)
		}
	}
	switch {
	case !seen["version"]:
		return bad("no version")
	case !seen["mode"]:
		return bad("no mode")
	case !seen["max_age"]:
		return bad("no max_age")
	case len(p.MX) == 0 && p.Mode != STSNone:
		return bad("no mx")
	}
	return p, nil
}

// isPolicyValue: printable, not empty (RFC 8461 3.2, sts-policy-ext-value).
func isPolicyValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// Matches reports whether an exchanger is among those of the policy (RFC 8461 4.1): "*." stands for exactly one label.
func (p STSPolicy) Matches(exchanger string) bool {
	exchanger = strings.ToLower(strings.TrimSuffix(exchanger, "."))
	for _, pattern := range p.MX {
		parent, wild := strings.CutPrefix(pattern, "*.")
		if !wild {
			if pattern == exchanger {
				return true
			}
			continue
		}
		if label, rest, ok := strings.Cut(exchanger, "."); ok && label != "" && rest == parent {
			return true
		}
	}
	return false
}

// lines is the policy as the reports show it (RFC 8460 4.4): its text in lines.
func (p STSPolicy) lines() []string {
	out := []string{"version: STSv1", "mode: " + string(p.Mode)}
	for _, m := range p.MX {
		out = append(out, "mx: "+m)
	}
	return append(out, fmt.Sprintf("max_age: %d", int64(p.MaxAge/time.Second)))
}

// policyHost is where a domain's policy is served (RFC 8461 3.3).
func policyHost(d mail.Domain) string { return "mta-sts." + string(d) }
