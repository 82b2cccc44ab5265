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
			{"failed-advice", func(d *desk, m spool.Message) error {
				f := failures(m, spool.Bounced)[:2]
				f[0].Category, f[0].Party = "userunknown", "recipient" // our own words are as good as those of a category
				f[1].Recipient.Code, f[1].Recipient.Enhanced, f[1].Recipient.Text, f[1].Recipient.Host = 550, "", "Too many spams from your IP", "mx1.free.example[198.51.100.25]"
				f[1].Category, f[1].Party, f[1].Conversation = "blocked", "sender-ip", nil
				f[1].Advice = map[string]string{"en": "Free blocks the gateway's address for spam; the block lasts 24 hours at most.",
					"fr": "Free bloque l'adresse de la passerelle pour spam ; le blocage dure au plus 24 heures."}
				return d.Failed(t.Context(), m, m.Body, f)
			}},
			{"delayed-waiting", func(d *desk, m spool.Message) error {
				f := failures(m, spool.Queued)
				for i := range f {
					f[i].Wait, f[i].Conversation = notice.Text{Key: "shaping.why.pause", Args: map[string]any{"Provider": "Free"}}, nil
				}
				f[1].Recipient.Host, f[1].Recipient.Enhanced, f[1].Recipient.Attempts, f[1].Recipient.Last = "", "4.4.5", 0, time.Time{}
				f[1].Recipient.Text = "Free refuses mail from this address for now"
				f[1].Wait = notice.Text{Key: "shaping.why.governor", Args: map[string]any{"Provider": "Free", "Share": "12", "Customer": "another-customer"}}
				f[2].Wait = notice.Text{Key: "shaping.why.operator", Args: map[string]any{"Provider": "Free", "Reason": ""}}
				return d.Delayed(t.Context(), m, m.Body, f)
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
