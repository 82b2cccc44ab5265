package cli

import (
	"fmt"
	"strings"
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
