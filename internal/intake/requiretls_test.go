package intake

import (
	"testing"

	"postern/internal/mail"
)

func TestTLSOptional(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, field string
		require     bool
		want        bool
	}{
		{"absent", "", false, false},
		{"no", "TLS-Required: No\r\n", false, true},
		{"letters and space", "tls-required:  nO \r\n", false, true},
		{"yes means nothing", "TLS-Required: Yes\r\n", false, false},
		{"with REQUIRETLS", "TLS-Required: No\r\n", true, false},
		{"twice", "TLS-Required: No\r\nTLS-Required: No\r\n", false, false},
		{"near miss", "X-TLS-Required: No\r\n", false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := mail.Parse([]byte("From: a@b.example\r\n"+tc.field+"\r\nhello\r\n"), mail.Limits{})
			if got := tlsOptional(mail.Envelope{RequireTLS: tc.require}, m); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
