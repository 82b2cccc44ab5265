package portal

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestRich(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("record ", 6)
	flat := func(blocks []block) string {
		var b strings.Builder
		for _, x := range blocks {
			if x.Copy != "" {
				b.WriteString("[" + x.Copy + "]")
				continue
			}
			b.WriteString("(")
			for _, s := range x.Spans {
				if s.Code {
					b.WriteString("<" + s.Text + ">")
				} else {
					b.WriteString(s.Text)
				}
			}
			b.WriteString(")")
		}
		return b.String()
	}
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "Do this.\nThen that.\n\n", "(Do this.)(Then that.)"},
		{"short code", "Set `a` to `b`.", "(Set <a> to <b>.)"},
		{"record at the end", "At `name` put `" + long + "`.", "(At <name> put )[" + long + "]"},
		{"record in the middle", "Put `" + long + "`, then wait.", "(Put <" + long + ">, then wait.)"},
		{"record alone", "`" + long + "`", "[" + long + "]"},
		{"unpaired", "a `b` c ` d", "(a <b> c ` d)"},
		{"empty code", "a `` b", "(a  b)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := flat(rich(tc.in)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzText: what clean and rich make of outside text is bounded, valid, free of control characters, and loses no words.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a`b`c", "`````", "\u202eabc\x00\r\n", "\xff\xfe", strings.Repeat("é", 700), "`" + strings.Repeat("x", 40) + "`."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := clean(s, 100)
		if n := utf8.RuneCountInString(c); n > 101 || !utf8.ValidString(c) {
			t.Errorf("%d characters, valid: %v", n, utf8.ValidString(c))
		}
		if i := strings.IndexFunc(c, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }); i >= 0 {
			t.Errorf("control character at %d of %q", i, c)
		}
		bare := func(s string) string {
			return strings.Map(func(r rune) rune {
				if unicode.IsSpace(r) || r == '`' || r == '.' {
					return -1
				}
				return r
			}, s)
		}
		var b strings.Builder
		for _, x := range rich(c) {
			b.WriteString(x.Copy)
			for _, p := range x.Spans {
				b.WriteString(p.Text)
			}
		}
		if got, want := bare(b.String()), bare(c); got != want {
			t.Errorf("%q became %q", want, got)
		}
	})
}
