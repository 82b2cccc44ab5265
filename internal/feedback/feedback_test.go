package feedback_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/internal/feedback"
	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// reply is a line of testdata/replies.txt.
type reply struct {
	id, provider   string
	code           int
	enhanced, text string
	category       string
	fault          string
}

func replies(t testing.TB) []reply {
	t.Helper()
	text, err := os.ReadFile("testdata/replies.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []reply
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 7 {
			t.Fatalf("line %q", line)
		}
		code, err := strconv.Atoi(f[2])
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		out = append(out, reply{f[0], f[1], code, f[3], f[4], f[5], f[6]})
	}
	if len(out) != 172 {
		t.Fatalf("%d answers", len(out))
	}
	return out
}

// knowledge is what the program knows of receivers.
func knowledge(t testing.TB, dirs ...string) *provider.Knowledge {
	t.Helper()
	k, err := provider.Load(dirs)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// names are the receivers of testdata/replies.txt as package provider names them; those that are missing are nobody in particular.
var names = map[string]string{"Free": "free", "Orange": "orange", "La Poste": "laposte", "SFR": "sfr", "Bouygues": "bouygues", "Microsoft consumer": "outlook",
	"Microsoft 365": "microsoft365", "Gmail": "gmail", "Yahoo": "yahoo", "Apple iCloud": "apple", "GMX/Web.de": "gmx", "Mimecast": "mimecast", "Proofpoint users": "proofpoint"}

func judge(k *provider.Knowledge, from string, code int, enhanced, text string) feedback.Category {
	a := provider.Answer{Provider: names[from], Code: code, Enhanced: enhanced, Text: text}
	return feedback.Judge(k.Classify(a), a)
}

// TestReplies holds the judgement against answers of real servers: every unknown user is recognised, and nothing else is taken for one.
func TestReplies(t *testing.T) {
	t.Parallel()
	k, refused := knowledge(t), 0
	for _, r := range replies(t) {
		got := judge(k, r.provider, r.code, r.enhanced, r.text)
		fail := func(want string) {
			t.Errorf("%s %s %d %s %q (%s, %s): judged %s, want %s", r.id, r.provider, r.code, r.enhanced, r.text, r.category, r.fault, got, want)
		}
		switch r.category {
		case "userunknown", "notaccept":
			if got != feedback.UnknownUser {
				fail("unknown user")
			}
			continue
		case "spamdetected", "virusdetected", "notcompliantrfc":
			if r.code >= 500 && got != feedback.Refused {
				fail("refused")
			}
		case "blocked", "authfailure", "requireptr", "toomanyconn", "speeding", "badreputation", "mailboxfull", "suspend", "systemerror", "failedstarttls", "filtered", "onhold", "rejected":
			if got == feedback.Refused {
				fail("nobody's doing")
			}
		}
		if got == feedback.UnknownUser {
			fail("anything but unknown user")
		}
		if (r.code < 500) != (got == feedback.Temporary) {
			fail("temporary when, and only when, the code says so")
		}
		if got == feedback.Refused {
			refused++
		}
	}
	t.Logf("%d of 172 answers count against the message", refused)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	k := knowledge(t)
	for _, tc := range []struct {
		code           int
		enhanced, text string
		want           feedback.Category
	}{
		{250, "2.0.0", "queued as 12", feedback.Accepted},
		{0, "", "", feedback.Temporary},
		{354, "", "go on", feedback.Temporary},
		{999, "5.1.1", "user unknown", feedback.Temporary},
		{451, "4.4.1", "connection timed out", feedback.Temporary},
		{550, "", "", feedback.Other},
		{550, "5.1.1", "", feedback.UnknownUser},
		{550, "5.1.2", "The domain nowhere.example does not exist", feedback.UnknownUser},
		{556, "5.1.10", "there.example takes no mail (null MX)", feedback.UnknownUser},
		{550, "5.1.1", "Your IP address is blocked, see https://list.example/", feedback.Other},
		{550, "5.1.1", "<b@there.example>: Recipient address rejected: User unknown in relay recipient table", feedback.UnknownUser},
		{550, "5.7.1", "User unknown; also, 192.0.2.1 blocked using zen.spamhaus.org", feedback.Other},
		{550, "5.1.8", "Sender address rejected: Domain of sender does not exist", feedback.Other},
		{553, "5.1.8", "MAIL FROM domain does not exist", feedback.Other},
		{550, "5.2.1", "The mailbox unavailable", feedback.Other},
		{550, "", "Requested action not taken: mailbox unavailable", feedback.UnknownUser},
		{552, "5.2.2", "Mailbox full; no such quota", feedback.Other},
		{554, "5.6.0", "Message format not acceptable", feedback.Refused},
		{554, "5.7.1", "This looks like spam", feedback.Refused},
		{554, "5.7.1", "Go away", feedback.Other},
	} {
		if got := judge(k, "", tc.code, tc.enhanced, tc.text); got != tc.want {
			t.Errorf("%d %s %q: %s, want %s", tc.code, tc.enhanced, tc.text, got, tc.want)
		}
	}
}

// TestSettled: what is judged is counted for the identity that the tests of the message saw.
func TestSettled(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 18, 40, 0, 0, time.UTC)
	l, err := learn.New(learn.Options{DB: storetest.SQLite(t, store.MainSchema()), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	k := knowledge(t)
	f := feedback.New(feedback.Options{Learn: l, Knowledge: func() *provider.Knowledge { return k }})
	head := []byte("X-PHP-Originating-Script: 33:form.php\r\nFrom: <info@shop.example>\r\n\r\nbody\r\n")
	ip := netip.MustParseAddr("192.0.2.7")
	o := feedback.Outcome{Customer: "c", ClientIP: ip, HeaderFrom: "info@shop.example", Head: head, At: now}
	for i, r := range []struct {
		code           int
		enhanced, text string
	}{{250, "2.0.0", "ok"}, {250, "", "ok"}, {550, "5.1.1", "user unknown"}, {554, "5.7.1", "spam detected"}, {550, "5.7.1", "blocked using zen.spamhaus.org"}, {450, "4.1.1", "user unknown"},
		{451, "", "later"}} {
		o.Recipient = mail.Address{Local: fmt.Sprint("r", i), Domain: "there.example"}
		o.Code, o.Enhanced, o.Text = r.code, r.enhanced, r.text
		f.Settled(o)
		own := o
		own.Customer = ""
		f.Settled(own)
		feedback.New(feedback.Options{}).Settled(o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	b, err := l.Observe(t.Context(), learn.Observation{Identity: learn.IdentityOf("c", "", ip, "shop.example", head), At: now,
		Recipients: []mail.Recipient{{Address: mail.Address{Local: "R1", Domain: "there.example"}}, {Address: mail.Address{Local: "r2", Domain: "there.example"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if b.Own.Settled != 4 || b.Own.Unknown != 1 || b.Own.Refused != 1 || b.Strangers != 1 {
		t.Errorf("%+v", b)
	}
}

func FuzzJudge(f *testing.F) {
	for _, r := range replies(f) {
		f.Add(r.code, r.enhanced, r.text)
	}
	k := knowledge(f)
	f.Fuzz(func(t *testing.T, code int, enhanced, text string) {
		switch c := judge(k, "", code, enhanced, text); {
		case c == feedback.Accepted && (code < 200 || code > 299), c == feedback.Refused && (code < 500 || code > 599),
			c == feedback.UnknownUser && (code < 400 || code > 599):
			t.Fatalf("%d is %s", code, c)
		}
		a := provider.Answer{Code: code, Enhanced: enhanced, Text: text, Phase: "rcpt"}
		m := k.Classify(a)
		switch r := feedback.RuleOn(m, a); {
		case r.Reason == "":
		case m.Party != provider.OfRecipient && m.Party != provider.RecipientDomain, code < 400, code > 599, r.Need < 1, code < 500 && r.Need < 2:
			t.Fatalf("%d %s %q (%s of %s) makes %+v", code, enhanced, text, m.Category, m.Party, r)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	all, k := replies(b), knowledge(b)
	for i := 0; b.Loop(); i++ {
		r := all[i%len(all)]
		judge(k, r.provider, r.code, r.enhanced, r.text)
	}
}
