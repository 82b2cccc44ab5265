package intake_test

import (
	"fmt"
	"strings"
	"testing"

	"postern/internal/account"
	"postern/internal/intake"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// spellings are ways to write an address of a domain in a header field. Each must be read as that domain or refused.
func spellings(domain string) []string {
	upper := strings.ToUpper(domain)
	return []string{
		"x@" + domain, "x@" + upper, "<x@" + domain + ">", "Name <x@" + domain + ">", `"Name, with comma" <x@` + domain + ">",
		"x@sub." + domain, `"x"@` + domain, `"a@shop.test"@` + domain, `"a@shop.test" <x@` + domain + ">", "a@shop.test <x@" + domain + ">",
		"=?utf-8?q?a=40shop=2Etest?= <x@" + domain + ">", "=?utf-8?b?YUBzaG9wLnRlc3Q=?= <x@" + domain + ">", "(a@shop.test) x@" + domain,
		"x(comment)@" + domain, "x@(comment)" + domain, "x @ " + domain, "group: x@" + domain + ";", "group: a@shop.test, x@" + domain + ";",
		"a@shop.test, x@" + domain, "x@" + domain + ", a@shop.test", "<@shop.test:x@" + domain + ">", "x@" + domain + " (a@shop.test)",
		"\r\n x@" + domain, "Name\r\n <x@" + domain + ">", "<a@shop.test> <x@" + domain + ">", "<x@" + domain + "> <a@shop.test>",
		"a@shop.test@" + domain, "x@" + domain + "\x00@shop.test", "x%" + domain + "@" + domain, domain + "!x@" + domain,
		"<a@shop.test\r\n\t> x@" + domain, "x@" + domain + ".", "=?utf-8?q?x=40" + domain + "?=", "=?utf-8?q?x?=@" + domain,
		"x@\t" + domain, "a@shop.test; x@" + domain, "a@shop.test x@" + domain, "\"unclosed <x@" + domain + ">",
		"(unclosed <a@shop.test> x@" + domain, "x@[192.0.2.1]", "x@" + strings.Replace(domain, ".", "。", 1), "x@" + domain + "\u200b",
		"ｘ@" + domain, "\u202ea@shop.test\u202c <x@" + domain + ">", "x@xn--" + domain, "<x@" + domain, "x@" + domain + ">", "a@shop.test\\ <x@" + domain + ">",
		"<<x@" + domain + ">>", ",,,x@" + domain, "x@" + domain + ",,,", "mailto:x@" + domain, "undisclosed-recipients:;, x@" + domain,
	}
}

// TestIdentityMatrix: two customers, every field that names an author, every spelling: nobody speaks in the name of another (CERT
// VU#244112). The message counts as foreign when the receiver could read a foreign author in it.
func TestIdentityMatrix(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	combos, accepted := 0, 0
	foreign := []string{"rival.test", "victim.test", "shop.test.victim.test", "notshop.test", "shop.test-victim.test", "xn--bcher-kvb.test", "test", "shop.tes"}
	c := r.connect(t, intake.Relay, "192.0.2.1")
	for _, domain := range foreign {
		for _, spelling := range spellings(domain) {
			for _, field := range []string{"From", "Sender", "Resent-From", "Resent-Sender", "from", "FROM", "From ", "sEnDeR", "Resent-From\t"} {
				for _, own := range []string{"", "From: a@shop.test\r\n", "From: a@shop.test\r\nFrom: b@shop.test\r\n"} {
					message := own + field + ": " + spelling + "\r\nSubject: x\r\n\r\nx\r\n"
					combos++
					if _, err := c.send("a@shop.test", []string{"v@there.test"}, []byte(message)); err == nil {
						accepted++
						t.Errorf("accepted: %q", message)
					}
					message = field + ": " + spelling + "\r\n" + own + "Subject: x\r\n\r\nx\r\n"
					combos++
					if _, err := c.send("a@shop.test", []string{"v@there.test"}, []byte(message)); err == nil {
						accepted++
						t.Errorf("accepted: %q", message)
					}
				}
			}
		}
		for _, from := range []string{"a@" + domain, "a@" + strings.ToUpper(domain), "a@sub." + domain, `"a@shop.test"@` + domain} {
			combos++
			if a, err := mail.ParseAddress(from); err == nil {
				tr := &smtp.Transaction{Envelope: mail.Envelope{ReversePath: a}}
				if c.sess.Mail(t.Context(), tr) == nil {
					accepted++
					t.Errorf("reverse path accepted: %s", from)
				}
			}
		}
	}
	if mails, _ := r.queued(t); len(mails) != 0 {
		t.Errorf("%d messages stored", len(mails))
	}
	t.Logf("%d combinations, %d foreign accepted", combos, accepted)
}

// TestOwnIdentity: what is the customer's own stays usable, however it is written.
func TestOwnIdentity(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	for _, author := range []string{
		"a@shop.test", "A@SHOP.TEST", "Name <a@sub.deep.shop.test>", `"Name, Ltd." <a@shop.test>`, "=?utf-8?q?Caf=C3=A9?= <a@shop.test>",
		"=?utf-8?q?ceo=40victim=2Etest?= <a@shop.test>", `"ceo@victim.test" <a@shop.test>`, "a@bücher.test", "a@xn--bcher-kva.test", "a@BÜCHER.test",
		"team: a@shop.test, b@shop.test;", "a@shop.test, b@xn--bcher-kva.test", "a@shop.test (a comment)", "Name\r\n <a@shop.test>", `"very odd"@shop.test`,
	} {
		for _, field := range []string{"From", "Sender", "Resent-From", "Resent-Sender"} {
			message := "From: a@shop.test\r\n" + field + ": " + author + "\r\n\r\nx\r\n"
			if _, err := c.send("a@shop.test", []string{"v@there.test"}, []byte(message)); err != nil {
				t.Errorf("%s: %s: %v", field, author, err)
			}
		}
	}
	// The null reverse path is the mark of bounces; To, Cc and Reply-To may name anybody.
	if _, err := c.send("", []string{"v@there.test"}, letter("Reply-To: x@victim.test\r\nCc: y@victim.test\r\n")); err != nil {
		t.Errorf("null reverse path: %v", err)
	}
	for _, from := range []string{"a@shop.test", "a@SUB.Shop.Test", "a@bücher.test"} {
		if err := c.sess.Mail(t.Context(), &smtp.Transaction{Envelope: mail.Envelope{ReversePath: address(t, from)}}); err != nil {
			t.Errorf("own reverse path %s: %v", from, err)
		}
	}
}

// TestUnreadableAuthor: what we cannot read, the receiver might.
func TestUnreadableAuthor(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	for _, author := range []string{"no address at all", "<>", "a@", "@shop.test", "a@shop..test", "a@-shop-.test", "a@shop.test]", "\"", "(", "a@xn--a.shop.test"} {
		_, err := c.send("a@shop.test", []string{"v@there.test"}, []byte("From: "+author+"\r\n\r\nx\r\n"))
		refusal(t, err, 550, smtp.Enhanced{5, 6, 0}, "From")
	}
	// A control character in what is quoted back must not begin another line of the reply.
	_, err := c.send("a@shop.test", []string{"v@there.test"}, []byte("From: x\x07\x1b[31m\x7f@@\r\n\r\nx\r\n"))
	if err == nil || strings.ContainsAny(err.Error(), "\x07\x1b\x7f\r") {
		t.Errorf("answer: %q", err)
	}
	_, err = c.send("a@shop.test", []string{"v@there.test"}, []byte("From: "+strings.Repeat("é", 500)+"\r\n\r\nx\r\n"))
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("long answer: %v", err)
	}
}

// TestAuthorBeyondTheLimits: a header larger than what is read could hold an author who is not seen; it is refused.
func TestAuthorBeyondTheLimits(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	many := strings.Repeat("X-A: b\r\n", mail.DefaultLimits().HeaderFields)
	large := strings.Repeat("X-A: "+strings.Repeat("b", 900)+"\r\n", 1+mail.DefaultLimits().HeaderBytes/900)
	cases := map[string]string{
		"after many fields":   "From: a@shop.test\r\n" + many + "From: ceo@victim.test\r\n\r\nx\r\n",
		"after a large field": "From: a@shop.test\r\n" + large + "From: ceo@victim.test\r\n\r\nx\r\n",
		"only after":          many + "From: ceo@victim.test\r\n\r\nx\r\n",
		"at the end of a field": "From: a@shop.test" + strings.Repeat(",\r\n a@shop.test", 1+mail.DefaultLimits().FieldBytes/15) +
			",\r\n ceo@victim.test\r\n\r\nx\r\n",
		"behind a long name": "From: \"" + strings.Repeat("x\r\n ", mail.DefaultLimits().FieldBytes/4) + "\" <ceo@victim.test>\r\n\r\nx\r\n",
	}
	for i := range 16 { // one of them is cut behind a whole address
		cases[fmt.Sprint("cut in place ", i)] = "From: " + strings.Repeat("a", i) + "@shop.test" + strings.Repeat(",\r\n a@shop.test", 1+mail.DefaultLimits().FieldBytes/15) +
			",\r\n ceo@victim.test\r\n\r\nx\r\n"
	}
	for name, message := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := c.send("a@shop.test", []string{"v@there.test"}, []byte(message))
			refusal(t, err, 550, smtp.Enhanced{5, 6, 0}, "")
		})
	}
	if mails, _ := r.queued(t); len(mails) != 0 {
		t.Errorf("%d messages stored", len(mails))
	}
}

// TestHeaderEndsWhereOthersEndIt: two readers must not disagree where the header ends, else a From hides in the "body".
func TestHeaderEndsWhereOthersEndIt(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	for i, junk := range []string{"junk line\r\n", "junk line\r\nmore junk\r\n", " leading\r\n", "\tleading\r\n", "From ceo@victim.test Sat Nov 21\r\n", ": empty name\r\n",
		"bad name: x\r\n", "\x00\r\n", "X\r\n\r\n", "é: x\r\n"} {
		message := "From: a@shop.test\r\n" + junk + "From: ceo@victim.test\r\nSubject: x\r\n\r\nx\r\n"
		_, err := c.send("a@shop.test", []string{"v@there.test"}, []byte(message))
		mails, _ := r.queued(t)
		for _, w := range mails {
			body, err := r.spool.Body(t.Context(), w.ID)
			if err != nil {
				t.Fatal(err)
			}
			header, _, found := strings.Cut(string(body), "\r\n\r\n")
			if !found || strings.Contains(header, "victim") {
				t.Errorf("junk %d: stored with a foreign author in the header:\n%s", i, body)
			}
			for _, line := range strings.Split(header, "\r\n") {
				if line == "" || line[0] != ' ' && line[0] != '\t' && !strings.Contains(line, ":") {
					t.Errorf("junk %d: the stored header holds a line that others may take for its end: %q", i, line)
				}
			}
			if err := r.spool.Drop(t.Context(), w.ID, "test"); err != nil {
				t.Fatal(err)
			}
		}
		_ = err // refused is fine too
	}
}

// TestAnyFrom: a hoster's relay network may send for domains we do not know.
func TestAnyFrom(t *testing.T) {
	t.Parallel()
	hoster := account.Customer{ID: "hoster", Networks: network("192.0.2.0/28"), AnyFrom: true}
	r := start(t, settings{customers: []account.Customer{hoster}})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	for i, from := range []string{"a@anywhere.test", "", "a@elsewhere.test"} {
		if _, err := c.send(from, []string{"v@there.test"}, crlf(fmt.Sprintf("From: x@else%d.test\n\nx\n", i))); err != nil {
			t.Errorf("%q: %v", from, err)
		}
	}
}
