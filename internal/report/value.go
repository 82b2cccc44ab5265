package report

import (
	"errors"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postern/internal/mail"
)

// dateLayouts are the forms of dates that receivers write where the format has seconds since 1970, or RFC 3339.
var dateLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05-0700", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 MST", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02 15:04", "2006-01-02", "20060102", time.ANSIC, time.UnixDate}

// moment reads a time: seconds since 1970, with a fraction or without, milli- or microseconds where they are too many for seconds, or a date. What can be read in two ways, such as
// 01/02/2026, is not read.
func moment(s string) time.Time {
	if s = strings.TrimSpace(s); len(s) > 60 {
		return time.Time{}
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > 0 && f < 1e17 {
		for f >= 1e11 {
			f /= 1000
		}
		if t := time.Unix(int64(f), 0).UTC(); plausible(t) {
			return t
		}
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil && plausible(t) {
			return t.UTC()
		}
	}
	if t, err := mail.ParseDate(s); (err == nil || errors.Is(err, mail.ErrDateWeekday)) && plausible(t) {
		return t.UTC()
	}
	return time.Time{}
}

// wholeDay completes a time of which one end is missing: reports are about a day.
func wholeDay(begin, end time.Time) (time.Time, time.Time) {
	const day = 24*time.Hour - time.Second
	switch {
	case begin.IsZero() && !end.IsZero():
		return end.Add(-day), end
	case end.IsZero() && !begin.IsZero():
		return begin, begin.Add(day)
	}
	return begin, end
}

// thousands is a count with commas between its groups.
var thousands = regexp.MustCompile(`^[0-9]{1,3}(?:,[0-9]{3})+$`)

// number reads a count.
func number(s string) (int64, bool) {
	if s = strings.TrimSpace(s); len(s) > 60 {
		return 0, false
	}
	if thousands.MatchString(s) {
		s = strings.ReplaceAll(s, ",", "")
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f != math.Trunc(f) || math.Abs(f) > float64(maxCount) {
			return 0, false
		}
		n = int64(f)
	}
	if n < 0 || n > maxCount {
		return 0, false
	}
	return n, true
}

// looseAddress reads an IP address in the forms that reports have it in: in brackets, behind "IPv6:", with a zone, a port, the length of its whole network, a host's name beside it.
func looseAddress(s string) (ip netip.Addr, port int) {
	s = strings.TrimSpace(s[:min(len(s), 400)])
	if from := strings.IndexByte(s, '['); from >= 0 {
		if to := strings.IndexByte(s[from:], ']'); to > 0 {
			if rest, ok := strings.CutPrefix(s[from+to+1:], ":"); ok {
				port, _ = strconv.Atoi(strings.TrimSpace(rest))
			}
			s = s[from+1 : from+to]
		}
	}
	for _, word := range strings.FieldsFunc(s, func(c rune) bool { return strings.ContainsRune(" \t\r\n()[];,<>\"'", c) }) {
		if len(word) > 5 && strings.EqualFold(word[:2], "ip") && word[4] == ':' {
			word = word[5:]
		}
		whole := ""
		word, whole, _ = strings.Cut(word, "/")
		ip, err := netip.ParseAddr(word)
		if err != nil {
			ip, err = netip.ParseAddr(unpadded(word))
		}
		if err != nil {
			if both, err := netip.ParseAddrPort(word); err == nil {
				return both.Addr().Unmap().WithZone(""), int(both.Port())
			}
			continue
		}
		if whole != "" && whole != strconv.Itoa(ip.BitLen()) {
			continue // a network
		}
		if port < 0 || port > 65535 {
			port = 0
		}
		return ip.Unmap().WithZone(""), port
	}
	return netip.Addr{}, 0
}

// unpadded takes the zeros from an address that is written with three digits everywhere, which nobody means as octal.
func unpadded(s string) string {
	parts := strings.Split(s, ".")
	if len(s) != len("192.000.002.001") || len(parts) != 4 {
		return s
	}
	for i, p := range parts {
		if len(p) != 3 {
			return s
		}
		if parts[i] = strings.TrimLeft(p, "0"); parts[i] == "" {
			parts[i] = "0"
		}
	}
	return strings.Join(parts, ".")
}

// reportName is what a DMARC or TLS report's file name says (RFC 7489 7.2.1.1, RFC 8460 5.1): receiver!domain!begin!end[!id].xml.gz.
type reportName struct {
	Receiver, Domain string
	Begin, End       time.Time
	ID               string
}

func parseName(name string) (n reportName, ok bool) {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	for _, end := range []string{".gz", ".zip", ".xml", ".json", ".eml"} {
		if len(name) > len(end) && strings.EqualFold(name[len(name)-len(end):], end) {
			name = name[:len(name)-len(end)]
			if end == ".gz" || end == ".zip" {
				continue
			}
		}
	}
	f := strings.Split(clipped(name, 500), "!")
	if len(f) < 4 || len(f) > 6 {
		return n, false
	}
	n = reportName{Receiver: f[0], Domain: strings.ToLower(f[1]), Begin: moment(f[2]), End: moment(f[3])}
	if len(f) > 4 {
		n.ID = f[4]
	}
	return n, n.Domain != "" && !n.Begin.IsZero() && !n.End.IsZero()
}
