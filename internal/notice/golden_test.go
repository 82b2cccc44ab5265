package notice_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/spool"
)

var update = flag.Bool("update", false, "rewrite testdata/*.want")

// TestGolden shows every notice as people and machines read it, in both languages. Review the difference when it changes.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "fr"} {
		for _, tc := range []struct {
			name string
			call func(d *desk, m spool.Message) error
		}{
			{"held-release", func(d *desk, m spool.Message) error {
				return d.Held(t.Context(), notice.HeldMail{Message: m, Threshold: 3, Reasons: reasons(), CanRelease: true})
			}},
			{"held-ask", func(d *desk, m spool.Message) error {
				m.Envelope.Recipients, m.Envelope.ReversePath = m.Envelope.Recipients[:1], mail.Address{} // so the contact is told
				return d.Held(t.Context(), notice.HeldMail{Message: m, Threshold: 3, Reasons: reasons()[:2]})
			}},
			{"digest", func(d *desk, m spool.Message) error { return gatherSome(t, d, m) }},
			{"expired", func(d *desk, m spool.Message) error {
				d.clock.Add(6 * 24 * time.Hour)
				return d.HoldExpired(t.Context(), m)
			}},
			{"asked", func(d *desk, m spool.Message) error {
				return d.Asked(t.Context(), m, "Hello,\nthis invoice is expected by our client.\r\n\r\nWhat is wrong with <it>?\n")
			}},
			{"failed", func(d *desk, m spool.Message) error {
				return d.Failed(t.Context(), m, m.Body, failures(m, spool.Bounced))
			}},
			{"gave-up", func(d *desk, m spool.Message) error {
				m.Envelope.Ret, m.Envelope.EnvelopeID = "HDRS", "order-12"
				return d.Failed(t.Context(), m, m.Body, failures(m, spool.Expired)[1:2])
			}},
			{"delayed", func(d *desk, m spool.Message) error {
				return d.Delayed(t.Context(), m, m.Body, failures(m, spool.Queued)[1:2])
			}},
			{"delivered", func(d *desk, m spool.Message) error {
				f := failures(m, spool.Delivered)[:1]
				f[0].Recipient.Code, f[0].Recipient.Enhanced, f[0].Recipient.Text, f[0].Conversation = 250, "2.0.0", "Ok: queued as 4Xyz", nil
				return d.Delivered(t.Context(), m, m.Body, f)
			}},
		} {
			t.Run(tc.name+"."+lang, func(t *testing.T) {
				d := newDesk(t, func(o *notice.Options) { o.DigestAfter = 1 })
				if err := tc.call(d, sent(t, "shop", "anna@shop.example", lang)); err != nil {
					t.Fatal(err)
				}
				queued := d.queued()
				golden(t, tc.name+"."+lang, show(t, queued[len(queued)-1]))
			})
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".want")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run the test with -update and review. Got:\n%s", path, got)
	}
}

// show writes a notice for a reviewer: header as it is, text parts decoded, the rest raw.
func show(t *testing.T, m spool.Message) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "# to <%s>, language %s, 8-bit %v, SMTPUTF8 %v, tried until %s\n\n", m.Envelope.Recipients[0].Address, m.Language,
		m.Envelope.EightBit, m.Envelope.SMTPUTF8, m.Expires.Format(time.RFC3339))
	header, _, _ := bytes.Cut(m.Body, []byte("\r\n\r\n"))
	fmt.Fprintf(&b, "%s\n", header)
	parsed := mail.Parse(m.Body, mail.DefaultLimits())
	fmt.Fprintf(&b, "(subject: %s)\n", parsed.Subject())
	for _, p := range parsed.Parts() {
		fmt.Fprintf(&b, "\n# part %s %s\n\n", p.Path, p.MediaType)
		if strings.HasPrefix(p.MediaType, "text/") {
			fmt.Fprintf(&b, "%s\n", strings.TrimRight(p.Text(), "\r\n"))
		} else {
			fmt.Fprintf(&b, "%s\n", bytes.TrimRight(p.Decoded(), "\r\n"))
		}
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n"))
}
