package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestMailbox: a separator needs an empty line before it, an address and a date; quoted ones are restored; line ends stay.
func TestMailbox(t *testing.T) {
	t.Parallel()
	const sep = "From anna@shop.example Sat Nov 21 18:40:00 2026\n"
	long := strings.Repeat("x", 100<<10)
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"two", sep + "A: 1\n\none\n\n" + sep + "A: 2\n\ntwo\n", []string{"A: 1\n\none\n\n", "A: 2\n\ntwo\n"}},
		{"no separator at all", "A: 1\n\nfrom\n", []string{"A: 1\n\nfrom\n"}},
		{"a sentence", sep + "A: 1\n\n\nFrom now on we meet at 18:40\n", []string{"A: 1\n\n\nFrom now on we meet at 18:40\n"}},
		{"no empty line before", sep + "A: 1\n\ntext\n" + sep, []string{"A: 1\n\ntext\n" + sep}},
		{"quoted", sep + "A: 1\n\n>From me\n>>From you\n> From all\n", []string{"A: 1\n\nFrom me\n>From you\n> From all\n"}},
		{"CRLF", strings.ReplaceAll(sep, "\n", "\r\n") + "A: 1\r\n\r\nx\r\n\r\n" + sep + "A: 2\r\n", []string{"A: 1\r\n\r\nx\r\n\r\n", "A: 2\r\n"}},
		{"long lines", sep + "A: 1\n\n" + long + "\n\n" + sep + "A: 2\n\n" + long, []string{"A: 1\n\n" + long + "\n\n", "A: 2\n\n" + long}},
		{"quoted inside a long line", sep + "A: 1\n\n" + strings.Repeat("x", 64<<10) + ">From x\n", []string{"A: 1\n\n" + strings.Repeat("x", 64<<10) + ">From x\n"}},
		{"empty one between", sep + "\n" + sep + "A: 2\n", []string{"A: 2\n"}},
		{"nothing", "", []string{"!box#1: is empty; expected a message"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			mailbox("box", bytes.NewReader([]byte(tc.in)), func(l letter) bool {
				if l.err != nil {
					got = append(got, "!"+l.err.Error())
				} else {
					got = append(got, string(l.raw))
				}
				return true
			})
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %.300q\nwant %.300q", got, tc.want)
			}
		})
	}
}

func FuzzMailbox(f *testing.F) {
	f.Add([]byte("From a Sat Nov 21 18:40:00 2026\nA: 1\n\n>From x\n\nFrom b Sat Nov 21 18:40:00 2026\nB: 2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		total := 0
		mailbox("box", bytes.NewReader(text), func(l letter) bool {
			if l.err == nil && len(bytes.TrimSpace(l.raw)) == 0 {
				t.Error("an empty message")
			}
			total += len(l.raw)
			return true
		})
		if total > len(text) {
			t.Errorf("%d bytes out of %d", total, len(text))
		}
	})
}
