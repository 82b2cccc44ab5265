package mail_test

import (
	"strings"
	"testing"

	"postern/internal/mail"
)

func TestGlimpse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"plain", "v=DKIM1; k=rsa", "v=DKIM1; k=rsa"},
		{"lines and control characters", "a\r\nb\x00c\x7fd\te", "a  b c d e"},
		{"forty", strings.Repeat("x", 40), strings.Repeat("x", 40)},
		{"longer", strings.Repeat("x", 41), strings.Repeat("x", 40)},
		{"cut within a letter", strings.Repeat("x", 39) + "é", strings.Repeat("x", 39) + "\ufffd"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := mail.Glimpse(tc.in); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
