package notice_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// start is when every test begins: a Saturday evening in Paris.
var start = time.Date(2026, 11, 21, 18, 40, 5, 0, time.FixedZone("CET", 3600))

const secret = "0123456789abcdef0123456789abcdef"

// desk is a Notices on real ledgers in temporary databases.
type desk struct {
	t     testing.TB
	clock *storetest.Clock
	spool *spool.Spool
	*notice.Notices
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	if s == "" {
		return mail.Address{}
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// customers of every test: whose mail is whose.
func customers(t testing.TB) []account.Customer {
	return []account.Customer{
		{ID: "shop", Name: "Shop & Sons", Language: "en", Contact: address(t, "boss@shop.example"), Domains: []mail.Domain{domain(t, "shop.example")}},
		{ID: "silent", Name: "Silent", Language: "en", Domains: []mail.Domain{domain(t, "silent.example")}},
		{ID: "hoster", Name: "Hébergeur", Language: "fr", Contact: address(t, "abuse@hoster.example"), Domains: []mail.Domain{domain(t, "hoster.example")},
			Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/25")}, AnyFrom: true},
		{ID: "wild", Name: "Wild", Language: "fr", Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.128/25")}, AnyFrom: true},
	}
}

func newDesk(t testing.TB, change ...func(*notice.Options)) *desk {
	t.Helper()
	c := storetest.NewClock(start)
	return newDeskAt(t, c, change...)
}

func newDeskAt(t testing.TB, c *storetest.Clock, change ...func(*notice.Options)) *desk {
	t.Helper()
	ledger, err := account.New(account.Options{DB: storetest.SQLite(t, store.MainSchema()), Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	for _, customer := range customers(t) {
		if err := ledger.PutCustomer(t.Context(), customer); err != nil {
			t.Fatal(err)
		}
	}
	if err := ledger.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(spool.Options{DB: storetest.SQLite(t, store.SpoolSchema()), Node: "one", Dir: filepath.Join(t.TempDir(), "bodies"), Reserve: -1, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	links, err := notice.NewLinks("https://mail.example.net", []byte(secret), 0)
	if err != nil {
		t.Fatal(err)
	}
	o := notice.Options{Accounts: ledger, Spool: s, Catalog: catalog, Links: links, Hostname: "mx.example.net", Now: c.Now,
		Operator: address(t, "ops@example.net"), Logger: storetest.Logger(t)}
	for _, f := range change {
		f(&o)
	}
	n, err := notice.New(o)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	n.SetIDs(func(now time.Time) mail.QueueID {
		count++
		return mail.QueueID(string(mail.NewQueueID(now))[:10] + fmt.Sprintf("%016d", count))
	})
	return &desk{t: t, clock: c, spool: s, Notices: n}
}

// queued is all that waits in the spool, oldest first, with bodies.
func (d *desk) queued() []spool.Message {
	d.t.Helper()
	var out []spool.Message
	cursor := ""
	for {
		works, next, err := d.spool.List(context.WithoutCancel(d.t.Context()), spool.Filter{Limit: 1000, Cursor: cursor})
		if err != nil {
			d.t.Fatal(err)
		}
		for _, w := range works {
			body, err := d.spool.Body(context.WithoutCancel(d.t.Context()), w.ID)
			if err != nil {
				d.t.Fatal(err)
			}
			w.Body = body
			out = append(out, w.Message)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b spool.Message) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return out
}

// one is the only message queued.
func (d *desk) one() spool.Message {
	d.t.Helper()
	all := d.queued()
	if len(all) != 1 {
		d.t.Fatalf("%d messages are queued, want 1", len(all))
	}
	return all[0]
}

const original = "Received: from client.shop.example by mx.example.net\r\n" +
	"From: Anna <anna@shop.example>\r\nTo: bob@dest.example\r\nSubject: =?utf-8?q?Votre_facture_n=C2=B0_12?=\r\n" +
	"Message-ID: <order-12@shop.example>\r\nDate: Sat, 21 Nov 2026 18:39:00 +0100\r\n\r\nHello Bob,\r\nhere is the invoice.\r\n"

// sent is a message that customer sent, held until a week later.
func sent(t testing.TB, customer, from, lang string) spool.Message {
	t.Helper()
	m := spool.Message{ID: "01kb4k2z8800000000000000zz", Customer: customer, ClientIP: netip.MustParseAddr("192.0.2.7"), Hello: "client.shop.example",
		Received: start.UTC().Add(-26 * time.Hour), Expires: start.UTC().Add(94 * time.Hour), Size: int64(len(original)), HeaderFrom: "anna@shop.example",
		Subject: "Votre facture n° 12", MessageID: "<order-12@shop.example>", Score: 6.5, Held: true, HoldReason: "score",
		HoldUntil: start.UTC().Add(6 * 24 * time.Hour), Language: lang, Body: []byte(original)}
	m.Envelope.ReversePath = address(t, from)
	for _, to := range []string{"bob@dest.example", "carole@dest.example", "zoé@exemple.example"} {
		m.Envelope.Recipients = append(m.Envelope.Recipients, mail.Recipient{Address: address(t, to)})
	}
	m.Verdict = []byte(`{"score":6.5,"raw":6.5,"threshold":3,"held":true,"hits":[
		{"test":"SPF_FAIL","points":3.5,"evidence":["v=spf1 -all"],"args":{"Domain":"shop.example","IP":"192.0.2.1","Suggested":"v=spf1 ip4:192.0.2.1 ~all"}},
		{"test":"MIME_HTML_ONLY","points":2,"evidence":["text/html"]},{"test":"SPF_PASS","points":-0.1,"evidence":[]},{"test":"NO_SUCH_TEST","points":1,"evidence":[]}]}`)
	return m
}

// failures are the fates of m's recipients, in the state given.
func failures(m spool.Message, state spool.State) []notice.Failure {
	said := []struct {
		code           int
		enhanced, text string
		host           string
	}{
		{550, "5.1.1", "The email account that you tried to reach does not exist. Please try double-checking the recipient's email address", "mx1.dest.example[198.51.100.25]"},
		{451, "4.7.1", "Greylisted, come back in 5 minutes", "mx1.dest.example[198.51.100.25]"},
		{550, "5.1.2", "Domain exemple.example does not exist (DNS: NXDOMAIN)", ""},
	}
	talk := []string{"> MAIL FROM:<anna@shop.example> SIZE=290", "< 250 2.1.0 Ok", "> RCPT TO:<bob@dest.example>", "< 550-5.1.1 The email account that you tried to reach does not exist.",
		"< 550 5.1.1 Please try double-checking the recipient's email address"}
	var out []notice.Failure
	for i, r := range m.Envelope.Recipients {
		f := notice.Failure{Recipient: spool.Recipient{Index: i, Recipient: r, State: state, Attempts: 1 + 2*i, Code: said[i].code, Enhanced: said[i].enhanced, Text: said[i].text, Host: said[i].host}}
		f.Recipient.Last = start.UTC()
		if i > 0 {
			f.Recipient.First = m.Received.Add(time.Minute)
		}
		if state == spool.Queued {
			f.Recipient.NextAt = start.UTC().Add(time.Hour)
			f.Recipient.Code, f.Recipient.Enhanced = 451, "4.7.1"
		}
		if said[i].host != "" {
			f.Conversation = talk
		}
		out = append(out, f)
	}
	return out
}

// reasons are those of HeldMail in tests.
func reasons() []notice.Reason {
	return []notice.Reason{
		{Test: "SPF_FAIL", Name: "SPF forbids this gateway to send", Fix: "In the DNS of shop.example, replace the TXT record that begins with v=spf1 by: `v=spf1 ip4:192.0.2.1 ~all`", Points: 3.5},
		{Test: "MIME_HTML_ONLY", Name: "Only HTML, no text", Fix: "Add a plain text part.", Points: 1.5},
		{Test: "A", Name: "Third", Fix: "Third fix", Points: 0.5}, {Test: "B", Name: "Fourth", Fix: "", Points: 0.5},
		{Test: "C", Name: "Fifth", Fix: "Fifth fix", Points: 0.5}, {Test: "D", Name: "Sixth", Fix: "Sixth fix", Points: 0.1},
	}
}

// body returns the decoded text of the first part of a kind.
func body(t testing.TB, raw []byte, kind string) string {
	t.Helper()
	for _, p := range mail.Parse(raw, mail.DefaultLimits()).Parts() {
		if p.MediaType == kind {
			return strings.ReplaceAll(p.Text(), "\r\n", "\n")
		}
	}
	t.Fatalf("no part %s in\n%s", kind, raw)
	return ""
}

// TestNewRefuses: what cannot work is said at once.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := notice.New(notice.Options{}); err == nil {
		t.Error("no ledgers: no error")
	}
	var good notice.Options
	newDesk(t, func(o *notice.Options) { good = *o })
	good.Hostname = "mx.example.net\r\nBcc: all@example.net"
	if _, err := notice.New(good); err == nil {
		t.Error("a host name with a line end: no error")
	}
}

// TestEnvelopeOfNotices: null reverse path, marked as ours, signed under our own name, with a life of its own.
func TestEnvelopeOfNotices(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		call func(d *desk, m spool.Message) error
		from string
		to   string
		auto string
	}{
		{"held", func(d *desk, m spool.Message) error {
			return d.Held(t.Context(), notice.HeldMail{Message: m, Threshold: 3})
		}, "postmaster@mx.example.net", "anna@shop.example", "auto-generated"},
		{"expired", func(d *desk, m spool.Message) error { return d.HoldExpired(t.Context(), m) }, "postmaster@mx.example.net", "anna@shop.example", "auto-generated"},
		{"asked", func(d *desk, m spool.Message) error { return d.Asked(t.Context(), m, "Why?") }, "postmaster@mx.example.net", "ops@example.net", "auto-generated"},
		{"failed", func(d *desk, m spool.Message) error {
			return d.Failed(t.Context(), m, m.Body, failures(m, spool.Bounced))
		}, "mailer-daemon@mx.example.net", "anna@shop.example", "auto-replied"},
		{"alarm", func(d *desk, m spool.Message) error { return d.Alarm(t.Context(), "k", "Disk", "The disk is full.") }, "postmaster@mx.example.net", "ops@example.net", "auto-generated"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDesk(t)
			if err := tc.call(d, sent(t, "shop", "anna@shop.example", "en")); err != nil {
				t.Fatal(err)
			}
			got := d.one()
			if !got.Notice || !got.Envelope.ReversePath.IsNull() || got.HeaderFrom != tc.from || len(got.Envelope.Recipients) != 1 || got.Envelope.Recipients[0].Address.String() != tc.to {
				t.Errorf("envelope: %+v", got)
			}
			if want := start.Add(48 * time.Hour); !got.Expires.Equal(want) {
				t.Errorf("expires %v, want %v", got.Expires, want)
			}
			m := mail.Parse(got.Body, mail.DefaultLimits())
			if got.MessageID != "<"+string(got.ID)+"@mx.example.net>" || strings.Trim(m.MessageID(), "<>") != strings.Trim(got.MessageID, "<>") {
				t.Errorf("Message-ID %q, in the header %q", got.MessageID, m.MessageID())
			}
			if v := m.Header.Get("Auto-Submitted"); v != tc.auto {
				t.Errorf("Auto-Submitted: %q", v)
			}
			if at, err := m.Date(); err != nil || !at.Equal(start) {
				t.Errorf("Date: %v %v", at, err)
			}
			if from := m.From(); len(from) != 1 || from[0].Address.String() != tc.from || from[0].Name != "Postern" {
				t.Errorf("From: %+v", from)
			}
			if m.Subject() != got.Subject || got.Subject == "" {
				t.Errorf("Subject: %q, spool %q", m.Subject(), got.Subject)
			}
			if len(m.Defects) > 0 {
				t.Errorf("defects: %+v", m.Defects)
			}
			if body(t, got.Body, "text/plain") == "" || body(t, got.Body, "text/html") == "" {
				t.Error("a part is empty")
			}
			for line := range bytes.Lines(got.Body) {
				if len(line) > 1000 || !bytes.HasSuffix(line, []byte("\r\n")) {
					t.Errorf("line of %d bytes: %.60q", len(line), line)
				}
			}
		})
	}
}

// TestRepeatedCalls: a caller that repeats after trouble does not flood the sender, not even in a new process.
func TestRepeatedCalls(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	m := sent(t, "shop", "anna@shop.example", "en")
	all := failures(m, spool.Bounced)
	calls := []func(n *notice.Notices) error{
		func(n *notice.Notices) error { return n.Failed(t.Context(), m, m.Body, all[:1]) },
		func(n *notice.Notices) error { return n.HoldExpired(t.Context(), m) },
		func(n *notice.Notices) error { return n.Delayed(t.Context(), m, m.Body, all[1:]) },
	}
	for range 3 {
		for i, call := range calls {
			if err := call(d.Notices); err != nil {
				t.Fatalf("call %d: %v", i, err)
			}
			d.clock.Add(time.Minute)
		}
	}
	if got := len(d.queued()); got != 3 {
		t.Fatalf("%d notices, want 3", got)
	}
	// Another process on the same spool, a minute later: same derived queue IDs.
	links, _ := notice.NewLinks("https://mail.example.net", []byte(secret), 0)
	again := newDeskAt(t, d.clock, func(o *notice.Options) { o.Spool, o.Links = d.spool, links })
	for i, call := range calls {
		if err := call(again.Notices); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if got := len(d.queued()); got != 3 {
		t.Fatalf("after a restart: %d notices, want 3", got)
	}
	// A recipient that was not told about yet is, and only he.
	if err := d.Failed(t.Context(), m, m.Body, all[:2]); err != nil {
		t.Fatal(err)
	}
	queued := d.queued()
	if len(queued) != 4 {
		t.Fatalf("%d notices, want 4", len(queued))
	}
	news := 0
	for _, q := range queued {
		if strings.Contains(string(q.Body), "Final-Recipient: rfc822; carole@dest.example\r\nAction: failed") {
			news++
			if strings.Contains(string(q.Body), "Final-Recipient: rfc822; bob@dest.example") {
				t.Error("told about bob again")
			}
		}
	}
	if news != 1 {
		t.Errorf("%d notifications about carole's failure, want 1", news)
	}
}

// TestAlarmOncePerDay: the operator hears the same thing once a day.
func TestAlarmOncePerDay(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *notice.Options) { o.Operator = mail.Address{} })
	for _, step := range []struct {
		key  string
		wait time.Duration
		want int
	}{{"a", 0, 1}, {"a", time.Hour, 1}, {"b", 0, 2}, {"a", 22 * time.Hour, 2}, {"a", 2 * time.Hour, 3}} {
		d.clock.Add(step.wait)
		if err := d.Alarm(t.Context(), step.key, "Disk\r\nBcc: all@example.net", "First.\n\n<b>Second</b>\r\nline"); err != nil {
			t.Fatal(err)
		}
		if got := len(d.queued()); got != step.want {
			t.Fatalf("after %s: %d alarms, want %d", step.key, got, step.want)
		}
	}
	got := d.queued()[0]
	if to := got.Envelope.Recipients[0].Address.String(); to != "postmaster@mx.example.net" {
		t.Errorf("without an operator it goes to %s", to)
	}
	if got.Subject != "[Postern] Disk Bcc: all@example.net" {
		t.Errorf("subject %q", got.Subject)
	}
	if html := body(t, got.Body, "text/html"); !strings.Contains(html, "&lt;b&gt;Second&lt;/b&gt;\nline") {
		t.Errorf("html: %s", html)
	}
}
