package intake_test

import (
	"fmt"
	"strings"
	"testing"

	"postern/internal/intake"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// TestLongLines: a page on one line is taken, stored with lines that every server takes, and says the same; what stands around it and
// other messages keep their octets.
func TestLongLines(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("<p class=\"x\">Bonjour, voici votre commande n° 7.</p>", 100)
	for _, door := range []intake.Door{intake.Relay, intake.Submission} {
		t.Run(string(door), func(t *testing.T) {
			t.Parallel()
			r := start(t, settings{})
			c := r.connect(t, intake.Relay, "192.0.2.1")
			if door == intake.Submission {
				var err error
				if c, err = r.login(t, r.user, r.password); err != nil {
					t.Fatal(err)
				}
			}
			message := string(letter("MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\nX-Kept:  as it is\n")) + page + "\r\n"
			if reply, err := c.send("news@shop.test", []string{"someone@there.test"}, []byte(message)); err != nil {
				t.Fatalf("%v %v", reply, err)
			}
			item, body := r.one(t)
			if line := mail.LongLine([]byte(body)); line != 0 {
				t.Errorf("line %d is too long:\n%s", line, body)
			}
			if item.Size != int64(len(body)) || item.Subject != "Your order" {
				t.Errorf("size %d for %d octets, subject %q", item.Size, len(body), item.Subject)
			}
			if !strings.Contains(body, "\r\nX-Kept:  as it is\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nHello,\r\n") {
				t.Errorf("header:\n%s", body[:min(len(body), 1500)])
			}
			if got := mail.Parse([]byte(body), mail.DefaultLimits()).Root.Text(); got != "Hello,\r\nhere it is.\r\n"+page+"\r\n" {
				t.Errorf("the text became %q", got)
			}
		})
	}
}

// TestLongLinesNotMended: what cannot be re-encoded is refused with the line as the client counts, and what to do; nothing is stored.
func TestLongLinesNotMended(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	x := strings.Repeat("x", 1500)
	for i, tc := range []struct {
		message string
		want    string
	}{
		{"Bcc: secret@there.test\nContent-Type: multipart/signed; boundary=b\n\n--b\n\n" + x + "\n--b\n\nsig\n--b--\n", "multipart/signed"},
		{"Content-Type: multipart/mixed\n\n" + x + "\n", "structure cannot be read"},
		{"References: <" + x + "@shop.test>\n\nx\n", "References"},
	} {
		message := "From: a@shop.test\n" + tc.message
		line := 1 + strings.Count(message[:strings.Index(message, x)], "\n")
		_, err := c.send("a@shop.test", []string{"someone@there.test"}, crlf(message))
		refusal(t, err, 554, smtp.Enhanced{5, 6, 0}, fmt.Sprintf("Line %d cannot", line))
		refusal(t, err, 554, smtp.Enhanced{5, 6, 0}, tc.want)
		refusal(t, err, 554, smtp.Enhanced{5, 6, 0}, "quoted-printable")
		if n := r.counted("refused:lines"); n != i+1 {
			t.Errorf("counted %d refusals", n)
		}
	}
	if mails, _ := r.queued(t); len(mails) != 0 {
		t.Errorf("%d messages were stored", len(mails))
	}
}

// TestLongLinesBinding: a long author field does not slip a foreign author past the binding.
func TestLongLinesBinding(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	from := strings.Repeat("a@shop.test,", 100)
	_, err := c.send("a@shop.test", []string{"someone@there.test"}, crlf("From: "+from+"boss@rival.test\nSubject: x\n\nx\n"))
	refusal(t, err, 550, smtp.Enhanced{5, 7, 1}, "rival.test")
	if reply, err := c.send("a@shop.test", []string{"someone@there.test"}, crlf("From: "+from+"b@shop.test\nSubject: x\n\nx\n")); err != nil {
		t.Errorf("own authors: %v %v", reply, err)
	}
}
