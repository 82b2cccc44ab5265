package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

// clean makes text from outside fit for one line of a terminal: control characters (with them every escape sequence), changes of
// writing direction, and invalid bytes are shown as a replacement character, line ends and tabs as a space.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == '\r':
			return -1
		case hostile(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// cleanLines is clean that keeps line ends.
func cleanLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

// hostile reports whether a terminal would act on r instead of showing it, or whether it hides or turns what stands around it.
func hostile(r rune) bool {
	switch {
	case unicode.IsControl(r), r == unicode.ReplacementChar:
		return true
	case r == '\u00AD' || r == '\u200D' || r == '\u200C':
		return false // soft hyphen and joiners are part of ordinary writing
	}
	return unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp)
}

// escapeControls escapes in JSON what a terminal would act on and JSON leaves as it is (C1 controls, changes of writing direction).
func escapeControls(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == unicode.ReplacementChar || !hostile(r):
			b.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// ending reads when something ends, as the flag says: "" is never, 30d or 48h is a length of time from now, a day counts whole.
func ending(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 36500 {
			return now.AddDate(0, 0, n), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	return time.Time{}, usagef("%s %s is no end; expected 48h, 30d or a day such as 2027-01-31", flag, text)
}
