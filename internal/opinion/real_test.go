package opinion_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/opinion"
	"postern/internal/opinion/opiniontest"
)

// letter is a message with a text and, if given, an attached zip file of one file with that content.
func letter(t testing.TB, text, attached string) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("From: anne@good.example\r\nTo: bob@there.example\r\nSubject: drawings\r\nDate: Sat, 21 Nov 2026 18:39:12 +0000\r\nMessage-ID: <1@good.example>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n" + text + "\r\n")
	if attached != "" {
		var z bytes.Buffer
		w := zip.NewWriter(&z)
		f, err := w.Create("drawing.txt")
		if err == nil {
			_, err = f.Write([]byte(attached))
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("--b\r\nContent-Type: application/zip; name=drawing.zip\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=drawing.zip\r\n\r\n")
		text := base64.StdEncoding.EncodeToString(z.Bytes())
		for len(text) > 76 {
			b.WriteString(text[:76] + "\r\n")
			text = text[76:]
		}
		b.WriteString(text + "\r\n")
	}
	b.WriteString("--b--\r\n")
	return b.Bytes()
}

func clamd(t testing.TB, o opinion.ClamdOptions) *opinion.Clamd {
	t.Helper()
	c, err := opinion.NewClamd(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func rspamd(t testing.TB, o opinion.RspamdOptions) *opinion.Rspamd {
	t.Helper()
	r, err := opinion.NewRspamd(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRealClamd asks Debian's clamd over both of its sockets.
func TestRealClamd(t *testing.T) {
	t.Parallel()
	server := opiniontest.StartClamd(t)
	for name, address := range map[string]string{"unix": server.Socket, "tcp": server.TCP} {
		t.Run(name, func(t *testing.T) {
			c := clamd(t, opinion.ClamdOptions{Address: address, Timeout: time.Minute})
			version, err := c.Version(t.Context())
			if err != nil || !strings.HasPrefix(version, "ClamAV ") {
				t.Errorf("version %q, %v", version, err)
			}
			for _, tc := range []struct {
				name string
				raw  []byte
				want string
				err  error
			}{
				{"clean", letter(t, "see you on Tuesday", "a drawing"), "", nil},
				{"nothing at all", nil, "", nil},
				{"in the text", letter(t, opiniontest.VirusText, ""), opiniontest.Signature, nil},
				{"in an attached archive", letter(t, "see you on Tuesday", opiniontest.VirusText), opiniontest.Signature, nil},
				{"behind a megabyte", letter(t, strings.Repeat("see you on Tuesday\r\n", 60000), opiniontest.VirusText), opiniontest.Signature, nil},
				{"larger than it takes", bytes.Repeat([]byte("see you on Tuesday\r\n"), 1_000_000), "", opinion.ErrTooLarge},
			} {
				t.Run(tc.name, func(t *testing.T) {
					a, err := c.Ask(t.Context(), opinion.Question{Raw: tc.raw})
					if !errors.Is(err, tc.err) || a.Signature != tc.want {
						t.Errorf("found %q, %v", a.Signature, err)
					}
				})
			}
			t.Run("many at once", func(t *testing.T) {
				var wg sync.WaitGroup
				for i := range 40 {
					wg.Go(func() {
						text, want := "see you on Tuesday", ""
						if i%2 == 1 {
							text, want = opiniontest.VirusText, opiniontest.Signature
						}
						if a, err := c.Ask(t.Context(), opinion.Question{Raw: letter(t, text, "")}); err != nil || a.Signature != want {
							t.Errorf("%d: found %q, %v", i, a.Signature, err)
						}
					})
				}
				wg.Wait()
			})
		})
	}
	server.Stop()
	for _, address := range []string{server.Socket, server.TCP} {
		if _, err := clamd(t, opinion.ClamdOptions{Address: address}).Ask(t.Context(), opinion.Question{Raw: letter(t, "hello", "")}); !errors.Is(err, opinion.ErrUnavailable) {
			t.Errorf("%s stopped: %v", address, err)
		}
	}
}

// BenchmarkClamd is one question about a message of plain text, with one signature in the scanner.
func BenchmarkClamd(b *testing.B) {
	server := opiniontest.StartClamd(b)
	for _, size := range []int{10_000, 100_000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			c := clamd(b, opinion.ClamdOptions{Address: server.Socket, Timeout: time.Minute})
			raw := letter(b, strings.Repeat("see you on Tuesday\r\n", size/20), "")
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := c.Ask(b.Context(), opinion.Question{Raw: raw}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// gtube is the text that every spam filter must stop, put together at run time.
var gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// TestRealRspamd asks Debian's rspamd.
func TestRealRspamd(t *testing.T) {
	t.Parallel()
	url, stop := opiniontest.StartRspamd(t)
	r := rspamd(t, opinion.RspamdOptions{URL: url, Timeout: time.Minute})
	if version, err := r.Version(t.Context()); err != nil || !strings.HasPrefix(version, "rspamd/") {
		t.Errorf("version %q, %v", version, err)
	}
	q := opinion.Question{IP: netip.MustParseAddr("192.0.2.25"), Hello: "mx.gate.example", Hostname: "mx.gate.example", QueueID: "4XYZ", User: "anne\r\nFrom: forged",
		From: "anne@good.example", Recipients: []string{"bob@there.example", "eva@there.example"}}
	envelope := func(a opinion.Answer) string {
		for _, s := range a.Symbols {
			if s.Name == "ENVELOPE" {
				return strings.Join(s.Options, "; ")
			}
		}
		return ""
	}
	t.Run("clean", func(t *testing.T) {
		q := q
		q.Raw = letter(t, "see you on Tuesday", "")
		a, err := r.Ask(t.Context(), q)
		if err != nil || a.Action != "no action" || a.Required != 15 || a.Score > 1 {
			t.Fatalf("%+v, %v", a, err)
		}
		if got, want := envelope(a), "ip=192.0.2.25 helo=mx.gate.example; from=anne@good.example; rcpt=2 bob@there.example; user=anne??From: forged id=4XYZ"; got != want {
			t.Errorf("it understood %s", got)
		}
	})
	t.Run("null sender, no envelope", func(t *testing.T) {
		a, err := r.Ask(t.Context(), opinion.Question{Raw: letter(t, "see you on Tuesday", "")})
		if err != nil || !strings.Contains(envelope(a), "from=; rcpt=0") {
			t.Errorf("%+v, %v", a, err)
		}
	})
	t.Run("suspect", func(t *testing.T) {
		q := q
		q.Raw = letter(t, opiniontest.SpamText, "")
		a, err := r.Ask(t.Context(), q)
		if err != nil || a.Action != "add header" || len(a.Symbols) != 2 || a.Symbols[0].Name != "MADE_UP_TEXT" || a.Symbols[0].Score != 7 {
			t.Errorf("%+v, %v", a, err)
		}
	})
	t.Run("GTUBE", func(t *testing.T) {
		q := q
		q.Raw = letter(t, gtube, "")
		if a, err := r.Ask(t.Context(), q); err != nil || a.Action != "reject" || len(a.Symbols) != 1 || a.Symbols[0].Name != "GTUBE" {
			t.Errorf("%+v, %v", a, err)
		}
	})
	stop()
	if _, err := r.Ask(t.Context(), q); !errors.Is(err, opinion.ErrUnavailable) {
		t.Errorf("stopped: %v", err)
	}
}
