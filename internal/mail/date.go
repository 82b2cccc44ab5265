package mail

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrMissing is what Message.Date returns when there is no Date field.
var ErrMissing = errors.New("the field is missing")

// ErrDate is wrapped by every error about a date that cannot be read.
var ErrDate = errors.New("invalid date")

// ErrDateWeekday is wrapped when a date is readable but names the wrong day of
// the week; the time returned beside it is right. It wraps ErrDate.
var ErrDateWeekday = fmt.Errorf("%w: weekday", ErrDate)

var monthNames = [...]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

var dayNames = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// obsZones are the zones RFC 5322 4.3 defines, in minutes east of UTC.
var obsZones = map[string]int{
	"ut": 0, "gmt": 0, "utc": 0, "z": 0,
	"edt": -240, "est": -300, "cdt": -300, "cst": -360, "mdt": -360, "mst": -420, "pdt": -420, "pst": -480,
}

// ParseDate reads a date-time of RFC 5322 3.3 with the obsolete syntax of 4.3:
// comments, two- and three-digit years, seconds left out, named zones. UTC is
// taken for GMT, as everyone does. The error says what is wrong ("day 32 out of
// range", `zone "XYZ" unknown`) and wraps ErrDate; when only the day of the week
// is wrong the time is returned too and the error wraps ErrDateWeekday.
func ParseDate(s string) (time.Time, error) {
	words, err := dateWords(s)
	if err != nil {
		return time.Time{}, err
	}
	weekday := -1
	if w := words[0]; isAlpha(w[0]) {
		name, comma := strings.CutSuffix(w, ",")
		weekday = index(dayNames[:], strings.ToLower(name))
		if weekday < 0 {
			return time.Time{}, dateError("weekday %q unknown", name)
		}
		words = words[1:]
		if !comma {
			if len(words) == 0 || words[0] != "," {
				return time.Time{}, dateError("no comma after the weekday")
			}
			words = words[1:]
		}
	}
	if len(words) < 4 {
		return time.Time{}, dateError("%q is incomplete (want day month year time zone)", cleanText(s, 60))
	}
	day, month, year, err := calendar(words[0], words[1], words[2])
	if err != nil {
		return time.Time{}, err
	}
	hour, minute, second, rest, err := clock(words[3:])
	if err != nil {
		return time.Time{}, err
	}
	if len(rest) == 0 {
		return time.Time{}, dateError("the zone is missing")
	}
	zone, err := zoneOf(rest[0])
	if err != nil {
		return time.Time{}, err
	}
	if len(rest) > 1 {
		return time.Time{}, dateError("%q follows the zone", cleanText(rest[1], 30))
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, zone)
	if weekday >= 0 {
		if is := int(time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Weekday()); is != weekday {
			return t, fmt.Errorf("%w: %d %s %d is a %s, not a %s", ErrDateWeekday, day, monthNames[month-1], year, dayNames[is], dayNames[weekday])
		}
	}
	return t, nil
}

func dateError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDate, fmt.Sprintf(format, args...))
}

// dateWords splits s at white space and commas, without comments. A comma is
// part of the word before it, or a word if none is before it.
func dateWords(s string) ([]string, error) {
	const maxWords = 12
	words := make([]string, 0, maxWords+1)
	depth, start := 0, -1
	end := func(i int) {
		if start >= 0 {
			words = append(words, s[start:i])
			start = -1
		}
	}
	for i := 0; i < len(s) && len(words) < maxWords; i++ {
		c := s[i]
		switch {
		case depth > 0 && c == '\\':
			i++
		case c == '(':
			end(i)
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case c == ' ' || c == '\t':
			end(i)
		case c == ',':
			if start < 0 {
				start = i
			}
			end(i + 1)
		case c < ' ' || c > '~':
			return nil, dateError("the character %q may not stand in it", c)
		case start < 0:
			start = i
		}
	}
	if depth > 0 {
		return nil, dateError("a comment is not closed")
	}
	end(len(s))
	if len(words) == 0 {
		return nil, dateError("empty")
	}
	return words, nil
}

func calendar(d, m, y string) (day, month, year int, err error) {
	day, ok := number(d, 1, 2)
	if !ok {
		return 0, 0, 0, dateError("day %q is no number", cleanText(d, 20))
	}
	if month = index(monthNames[:], strings.ToLower(m)) + 1; month == 0 {
		return 0, 0, 0, dateError("month %q unknown", cleanText(m, 20))
	}
	if year, ok = number(y, 2, 4); !ok {
		return 0, 0, 0, dateError("year %q is no number of 2 to 4 digits", cleanText(y, 20))
	}
	switch { // RFC 5322 4.3
	case len(y) == 2 && year < 50:
		year += 2000
	case len(y) <= 3:
		year += 1900
	}
	if year < 1900 {
		return 0, 0, 0, dateError("year %d out of range", year)
	}
	last := time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
	if day < 1 || day > last {
		return 0, 0, 0, dateError("day %d out of range (%s %d has %d days)", day, monthNames[month-1], year, last)
	}
	return day, month, year, nil
}

// clock reads the time of day, which obsolete syntax may spread over several
// words ("12 : 30 : 05").
func clock(words []string) (hour, minute, second int, rest []string, err error) {
	text := words[0]
	rest = words[1:]
	for len(rest) > 0 && (strings.HasSuffix(text, ":") || rest[0][0] == ':') {
		text += rest[0]
		rest = rest[1:]
	}
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, 0, 0, nil, dateError("time %q is not hh:mm or hh:mm:ss", cleanText(text, 20))
	}
	for i, p := range parts {
		n, ok := number(p, 1, 2)
		name, most := "hour", 23
		switch i {
		case 1:
			name, most, minute = "minute", 59, n
		case 2:
			name, most, second = "second", 60, n // 60: leap second
		default:
			hour = n
		}
		if !ok {
			return 0, 0, 0, nil, dateError("%s %q is no number", name, cleanText(p, 20))
		}
		if n > most {
			return 0, 0, 0, nil, dateError("%s %d out of range", name, n)
		}
	}
	return hour, minute, second, rest, nil
}

func zoneOf(w string) (*time.Location, error) {
	if w[0] == '+' || w[0] == '-' {
		n, ok := number(w[1:], 4, 4)
		if !ok {
			return nil, dateError("zone %q is not +hhmm", cleanText(w, 20))
		}
		if n%100 > 59 {
			return nil, dateError("zone %s out of range", w)
		}
		seconds := (n/100*60 + n%100) * 60
		if w[0] == '-' {
			seconds = -seconds
		}
		return time.FixedZone("", seconds), nil
	}
	minutes, known := obsZones[strings.ToLower(w)]
	if !known {
		return nil, dateError("zone %q unknown", cleanText(w, 20))
	}
	if minutes == 0 {
		return time.UTC, nil
	}
	return time.FixedZone(strings.ToUpper(w), minutes*60), nil
}

// number reads lo to hi decimal digits.
func number(s string, lo, hi int) (int, bool) {
	if len(s) < lo || len(s) > hi || !isDigits(s) {
		return 0, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func index(list []string, s string) int {
	for i, l := range list {
		if l == s {
			return i
		}
	}
	return -1
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
