package smtp_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"postern/internal/smtp"
	"postern/internal/smtp/smtptest"
)

// TestRequireTLS: the wish travels only between servers that both promise it, under TLS (RFC 8689).
func TestRequireTLS(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name           string
		offer, startup bool // the server knows the extension; the client starts TLS
		want           error
	}{
		{"promised", true, true, nil},
		{"not promised", false, true, smtp.ErrNeedsRequireTLS},
		{"promised and not encrypted", true, false, smtp.ErrNeedsRequireTLS},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := &box{}
			addr := serve(t, b, func(o *smtp.ServerOptions) { o.TLS, o.RequireTLS = boxTLS(), tc.offer })
			c, err := smtp.Dial(t.Context(), netip.MustParseAddrPort(addr), smtp.ClientOptions{Hostname: "client.test"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if tc.startup {
				if err := c.StartTLS(t.Context(), boxClientTLS()); err != nil {
					t.Fatal(err)
				}
			}
			env := envelopeTo("you")
			env.RequireTLS = true
			_, err = c.Send(t.Context(), env, []byte("Subject: x\r\n\r\nhello\r\n"))
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			got := b.letters()
			if tc.want == nil && (len(got) != 1 || !got[0].t.Envelope.RequireTLS) || tc.want != nil && len(got) != 0 {
				t.Errorf("arrived: %+v", got)
			}
			if tc.want != nil && !c.Usable() {
				t.Error("nothing was sent, and the connection is gone")
			}
			env.RequireTLS = false
			if _, err := c.Send(t.Context(), env, []byte("Subject: x\r\n\r\nhello\r\n")); err != nil {
				t.Errorf("without: %v", err)
			}
			if got := b.letters(); got[len(got)-1].t.Envelope.RequireTLS {
				t.Error("the wish sticks to the next message")
			}
		})
	}
}

func TestRequireTLSParameter(t *testing.T) {
	t.Parallel()
	addr := serve(t, &box{}, func(o *smtp.ServerOptions) { o.TLS, o.RequireTLS = boxTLS(), true })
	smtptest.ClientTLS(t, addr, boxClientTLS(), ehloOK+`
		C: MAIL FROM:<a@a.test> REQUIRETLS
		S: 555 5.5.4 *
		C: STARTTLS
		S: 220 *
		C: TLS
		C: EHLO client.test
		R: 250 LIMITS RCPTMAX=1000 MAILMAX=1000
		C: MAIL FROM:<a@a.test> REQUIRETLS=yes
		S: 501 5.5.4 *
		C: MAIL FROM:<a@a.test> requiretls
		S: 250 *
		`+bye)
}

func TestRequireTLSText(t *testing.T) {
	t.Parallel()
	if s := smtp.ErrNeedsRequireTLS.Error(); !strings.Contains(s, "550") || !strings.Contains(s, "5.7.30") {
		t.Error(s)
	}
}
