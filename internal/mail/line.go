package mail

import "strings"

// Glimpse shortens what a stranger wrote for a sentence about it: 40 bytes at most, on one line, always UTF-8.
func Glimpse(s string) string {
	const most = 40
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s), "?")
}
