package config

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/tree"
)

// kind is one type of plain value: how it is read, what to expect, and how it looks in JSON Schema.
type kind struct {
	expected string
	schema   map[string]any
	// parse reads the text. quoted tells that it stood in quotes. The error says what is wrong only when that adds to "expected".
	parse func(text string, quoted bool) (any, error)
	// number orders values for Min and Max; nil when they have no order.
	number func(v any) float64
	// write is the text to put back into YAML.
	write func(v any) string
}

const (
	durationPattern = `^([0-9]+(ms|s|m|h|d))+$`
	sizePattern     = `^[0-9]+(\.[0-9]+)?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$`
	envPattern      = `^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`
)

var (
	durationForm = regexp.MustCompile(durationPattern)
	durationPart = regexp.MustCompile(`([0-9]+)(ms|s|m|h|d)`)
	sizeForm     = regexp.MustCompile(sizePattern)
	envForm      = regexp.MustCompile(envPattern)
	intForm      = regexp.MustCompile(`^[+-]?[0-9]+$`)
	floatForm    = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$`)
)

// kinds holds every type a field of Config may have, apart from structs, slices and maps of these.
func kinds() map[reflect.Type]kind {
	all := scalarKinds()
	for t, k := range networkKinds() {
		all[t] = k
	}
	for t, k := range serviceKinds() {
		all[t] = k
	}
	return all
}

func asText(v any) string { return quote(fmt.Sprint(v)) }

// scalarKinds are text, numbers, times and sizes.
func scalarKinds() map[reflect.Type]kind {
	text := map[string]any{"type": "string"}
	return map[reflect.Type]kind{
		reflect.TypeFor[string](): {
			expected: "text", schema: text, write: asText,
			parse: func(s string, _ bool) (any, error) { return s, oneLine(s) },
		},
		reflect.TypeFor[Secret](): {
			expected: "the name of a file", schema: text,
			write: func(v any) string {
				if v.(Secret) == "" {
					return `""`
				}
				return quote(v.(Secret).String())
			},
			parse: func(s string, _ bool) (any, error) { return Secret(s), oneLine(s) },
		},
		reflect.TypeFor[bool](): {
			expected: "true or false", schema: map[string]any{"type": "boolean"}, write: func(v any) string { return fmt.Sprint(v) },
			parse: func(s string, quoted bool) (any, error) {
				if s == "true" || s == "false" {
					return s == "true", nil
				}
				return nil, fmt.Errorf("%q is neither", tree.Clip(s))
			},
		},
		reflect.TypeFor[int](): {
			expected: "a whole number", schema: map[string]any{"type": "integer"}, write: func(v any) string { return fmt.Sprint(v) },
			parse: func(s string, _ bool) (any, error) {
				n, err := strconv.Atoi(s)
				if err != nil || !intForm.MatchString(s) {
					return nil, fmt.Errorf("%q cannot be read", tree.Clip(s))
				}
				return n, nil
			},
			number: func(v any) float64 { return float64(v.(int)) },
		},
		reflect.TypeFor[float64](): {
			expected: "a number", schema: map[string]any{"type": "number"},
			write: func(v any) string { return strconv.FormatFloat(v.(float64), 'f', -1, 64) },
			parse: func(s string, _ bool) (any, error) {
				f, err := strconv.ParseFloat(s, 64)
				if err != nil || !floatForm.MatchString(s) {
					return nil, fmt.Errorf("%q cannot be read", tree.Clip(s))
				}
				return f, nil
			},
			number: func(v any) float64 { return v.(float64) },
		},
		reflect.TypeFor[time.Duration](): {
			expected: "a time like 90s, 5m, 1h30m, 7d", schema: map[string]any{"type": "string", "pattern": durationPattern},
			write:  func(v any) string { return formatDuration(v.(time.Duration)) },
			parse:  func(s string, _ bool) (any, error) { return parseDuration(s) },
			number: func(v any) float64 { return float64(v.(time.Duration)) },
		},
		reflect.TypeFor[Size](): {
			expected: "a size like 64KiB, 25MB, 1GiB", schema: map[string]any{"type": "string", "pattern": sizePattern},
			write:  func(v any) string { return formatSize(v.(Size)) },
			parse:  func(s string, _ bool) (any, error) { return parseSize(s) },
			number: func(v any) float64 { return float64(v.(Size)) },
		},
	}
}

// networkKinds are addresses and names of the network.
func networkKinds() map[reflect.Type]kind {
	text := map[string]any{"type": "string"}
	return map[reflect.Type]kind{
		reflect.TypeFor[netip.AddrPort](): {
			expected: "address:port like 127.0.0.1:2525 or [::1]:2525", schema: text, write: asText,
			parse: func(s string, _ bool) (any, error) { return parseAddrPort(s) },
		},
		reflect.TypeFor[netip.Addr](): {
			expected: "an IPv4 or IPv6 address", schema: text,
			write: func(v any) string {
				if a := v.(netip.Addr); a.IsValid() {
					return quote(a.String())
				}
				return `""`
			},
			parse: func(s string, _ bool) (any, error) {
				a, err := netip.ParseAddr(s)
				if err != nil || a.Zone() != "" || a.Is4In6() {
					return nil, fmt.Errorf("%q cannot be read", tree.Clip(s))
				}
				return a, nil
			},
		},
		reflect.TypeFor[netip.Prefix](): {
			expected: "a network like 192.0.2.0/24 or 2001:db8::/32", schema: text, write: asText,
			parse: func(s string, _ bool) (any, error) {
				p, err := netip.ParsePrefix(s)
				if err == nil {
					return p, nil
				}
				if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
					return nil, fmt.Errorf("%q is an address; did you mean %s?", s, netip.PrefixFrom(a, a.BitLen()))
				}
				return nil, fmt.Errorf("%q cannot be read", tree.Clip(s))
			},
		},
		reflect.TypeFor[mail.Domain](): {
			expected: "a domain name like example.org", schema: text,
			write: func(v any) string { return quote(string(v.(mail.Domain))) },
			parse: func(s string, _ bool) (any, error) {
				d, err := mail.ParseDomain(s)
				if err != nil {
					return nil, fmt.Errorf("%q cannot be read (%s)", tree.Clip(s), tree.Clip(err.Error()))
				}
				return d, nil
			},
		},
		reflect.TypeFor[mail.Address](): {
			expected: "a mail address like post@example.org", schema: text,
			write: func(v any) string { return quote(v.(mail.Address).String()) },
			parse: func(s string, _ bool) (any, error) {
				a, err := mail.ParseAddress(s)
				if err != nil || a.IsNull() {
					return nil, fmt.Errorf("%q cannot be read", tree.Clip(s))
				}
				return a, nil
			},
		},
	}
}

func oneLine(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("it contains line ends or control characters")
	}
	return nil
}

func parseDuration(s string) (time.Duration, error) {
	if !durationForm.MatchString(s) {
		if intForm.MatchString(s) {
			return 0, fmt.Errorf("%q has no unit; did you mean %ss?", tree.Clip(s), tree.Clip(s))
		}
		return 0, fmt.Errorf("%q cannot be read", tree.Clip(s))
	}
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	var total time.Duration
	for _, m := range durationPart.FindAllStringSubmatch(s, -1) {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || n > int64(math.MaxInt64-total)/int64(units[m[2]]) {
			return 0, fmt.Errorf("%q is longer than a human life", tree.Clip(s))
		}
		total += time.Duration(n) * units[m[2]]
	}
	return total, nil
}

// formatDuration is parseDuration's inverse for whole milliseconds.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	if d >= 7*24*time.Hour && d%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + "d"
	}
	var b strings.Builder
	for _, u := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if n := d / u.length; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d %= u.length
		}
	}
	return b.String()
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1}}

func parseSize(s string) (Size, error) {
	if !sizeForm.MatchString(s) {
		if intForm.MatchString(s) {
			return 0, fmt.Errorf("%q has no unit; did you mean %sMB?", tree.Clip(s), tree.Clip(s))
		}
		for _, u := range sizeUnits {
			if n := len(s) - len(u.name); n > 0 && strings.EqualFold(s[n:], u.name) && sizeForm.MatchString(strings.TrimSpace(s[:n])+u.name) {
				return 0, fmt.Errorf("%q has an unknown unit; did you mean %s%s?", tree.Clip(s), strings.TrimSpace(s[:n]), u.name)
			}
		}
		return 0, fmt.Errorf("%q cannot be read", tree.Clip(s))
	}
	for _, u := range sizeUnits {
		if number, ok := strings.CutSuffix(s, u.name); ok {
			f, err := strconv.ParseFloat(number, 64)
			if total := f * float64(u.bytes); err == nil && total <= 1<<60 {
				return Size(math.Round(total)), nil
			}
			break
		}
	}
	return 0, fmt.Errorf("%q is too large", tree.Clip(s))
}

// formatSize is parseSize's inverse.
func formatSize(n Size) string {
	if n > 0 {
		for _, u := range sizeUnits {
			if int64(n)%u.bytes == 0 {
				return strconv.FormatInt(int64(n)/u.bytes, 10) + u.name
			}
		}
	}
	return strconv.FormatInt(int64(n), 10) + "B"
}

func parseAddrPort(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	switch {
	case err == nil && a.Port() == 0:
		return a, fmt.Errorf("%q has port 0", tree.Clip(s))
	case err == nil && a.Addr().Is4In6():
		return a, fmt.Errorf("%q is IPv4 written as IPv6; did you mean %s?", tree.Clip(s), netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
	case err == nil:
		return a, nil
	}
	host, port, found := strings.Cut(s, ":")
	switch {
	case found && host == "" && intForm.MatchString(port):
		return a, fmt.Errorf("%q has no address; did you mean 0.0.0.0:%s (all IPv4) or [::]:%s (all)?", tree.Clip(s), tree.Clip(port), tree.Clip(port))
	case found && host == "localhost" && intForm.MatchString(port):
		return a, fmt.Errorf("%q has a name; did you mean 127.0.0.1:%s?", tree.Clip(s), tree.Clip(port))
	case intForm.MatchString(s):
		return a, fmt.Errorf("%q has no address; did you mean 127.0.0.1:%s?", tree.Clip(s), tree.Clip(s))
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return a, fmt.Errorf("%q has no port; did you mean %s?", tree.Clip(s), strings.TrimSuffix(netip.AddrPortFrom(ip, 0).String(), "0")+"PORT")
	}
	return a, fmt.Errorf("%q cannot be read", tree.Clip(s))
}

// bareWord are texts that YAML reads as what they are without quotes.
var bareWord = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./@-]*$`)

// quote writes text for YAML, with quotes only where it could be mistaken.
func quote(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "null", "nan", "inf":
		return strconv.Quote(s)
	}
	if bareWord.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func trimSlash(s string) string { return strings.TrimRight(s, "/") }

// withPassword puts a password into a database URL; a URL that does not parse stays as it is.
func withPassword(raw string, password Secret) string {
	u, err := url.Parse(raw)
	if err != nil || password == "" {
		return raw
	}
	u.User = url.UserPassword(u.User.Username(), string(password))
	return u.String()
}
