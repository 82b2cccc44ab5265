package feedback_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	netsmtp "net/smtp"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/feedback"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/provider"
	"postern/internal/returnpath"
	"postern/internal/smtp"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// hall is a door on a real port with real ledgers behind it.
type hall struct {
	t       testing.TB
	codec   *returnpath.Codec
	door    *feedback.Door
	journal *journal.Journal
	main    *store.DB
	spool   *spool.Spool
	addr    string
	signed  []mail.Domain

	mu     sync.Mutex
	heard  []feedback.Heard
	counts map[string]int
	fail   error // of Heard
}

const returnDomain = "bounce.gate.test"

func newHall(t testing.TB, change ...func(*feedback.DoorOptions)) *hall {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	h := &hall{t: t, counts: map[string]int{}, main: storetest.SQLite(t, store.MainSchema())}
	accounts, err := account.New(account.Options{DB: h.main})
	must(err)
	must(accounts.PutCustomer(t.Context(), account.Customer{ID: "shop", Language: "en", Domains: []mail.Domain{"shop.test"}}))
	must(accounts.PutCustomer(t.Context(), account.Customer{ID: "quiet", Language: "en", Domains: []mail.Domain{"quiet.test"}, DropAutoReplies: true}))
	h.journal, err = journal.New(journal.Options{DB: h.main})
	must(err)
	h.spool, err = spool.Open(spool.Options{DB: storetest.SQLite(t, store.SpoolSchema()), Node: "one", Dir: filepath.Join(t.TempDir(), "bodies"), Reserve: -1})
	must(err)
	catalog, err := locale.New()
	must(err)
	links, err := notice.NewLinks("https://gate.test", make([]byte, 32), 0)
	must(err)
	notices, err := notice.New(notice.Options{Accounts: accounts, Spool: h.spool, Catalog: catalog, Links: links, Hostname: "gate.test"})
	must(err)
	h.codec, err = returnpath.New([]byte("0123456789abcdef0123456789abcdef"))
	must(err)
	o := feedback.DoorOptions{Codec: h.codec, Takes: func(d mail.Domain) bool { return d == returnDomain }, Accounts: accounts, Journal: h.journal, Notices: notices,
		Operator: mail.Address{Local: "ops", Domain: "operator.test"}, Logger: storetest.Logger(t), Feedback: feedback.New(feedback.Options{}),
		Signed: func(context.Context, []byte) []mail.Domain { h.mu.Lock(); defer h.mu.Unlock(); return h.signed },
		Heard: func(_ context.Context, x feedback.Heard) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.fail == nil {
				h.heard = append(h.heard, x)
			}
			return h.fail
		},
		Count: func(event string) { h.mu.Lock(); defer h.mu.Unlock(); h.counts[event]++ }}
	for _, f := range change {
		f(&o)
	}
	h.door, err = feedback.NewDoor(o)
	must(err)
	h.addr = h.listen(h.door, h.door.Limits(smtp.Limits{SoftErrors: 1000, Errors: 1000, NewPerMinutePerIP: -1}))
	return h
}

func (h *hall) listen(handler smtp.Handler, l smtp.Limits) string {
	h.t.Helper()
	server, err := smtp.NewServer(smtp.ServerOptions{Hostname: "gate.test", Handler: handler, Limits: l, BareNewline: smtp.BareNewlineNormalize})
	if err != nil {
		h.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	h.t.Cleanup(func() { stop(); <-done })
	return listener.Addr().String()
}

// sent puts a message into the journal, as intake and delivery would.
func (h *hall) sent(customer string, made time.Time, recipients ...string) mail.QueueID {
	h.t.Helper()
	id := mail.NewQueueID(made)
	f := journal.Fact{Kind: journal.Accepted, At: made, QueueID: id, Customer: customer, ReversePath: "ann@" + customer + ".test", HeaderFrom: "ann@" + customer + ".test",
		Subject: "Offer", MessageID: "<1@shop.test>", Recipient: recipients[0], Size: 1000, Actor: "rule"}
	facts := []journal.Fact{f}
	if len(recipients) > 1 {
		facts[0].Text = fmt.Sprintf("%d recipients", len(recipients))
		list := `["` + strings.Join(recipients, `","`) + `"]`
		facts = append(facts, journal.Fact{Kind: journal.Addressed, At: made, QueueID: id, Customer: customer, Detail: []byte(list)})
	}
	for _, r := range recipients {
		facts = append(facts, journal.Fact{Kind: journal.Delivered, At: made, QueueID: id, Customer: customer, Recipient: r, Code: 250})
	}
	if err := h.journal.Append(h.t.Context(), facts...); err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *hall) path(id mail.QueueID, recipient int) string {
	return h.codec.Local(id, recipient) + "@" + returnDomain
}

// send speaks to the door; the code of the answer that decided.
func (h *hall) send(from string, to []string, message string) (int, string) {
	h.t.Helper()
	return h.sendTo(h.addr, from, to, message)
}

func (h *hall) sendTo(addr, from string, to []string, message string) (int, string) {
	h.t.Helper()
	c, err := netsmtp.Dial(addr)
	if err != nil {
		return codeOf(err)
	}
	defer c.Close()
	if err := c.Mail(from); err != nil {
		return codeOf(err)
	}
	for _, r := range to {
		if err := c.Rcpt(r); err != nil {
			return codeOf(err)
		}
	}
	w, err := c.Data()
	if err != nil {
		return codeOf(err)
	}
	if _, err := w.Write([]byte(strings.ReplaceAll(strings.ReplaceAll(message, "\r\n", "\n"), "\n", "\r\n"))); err != nil {
		h.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		return codeOf(err)
	}
	return 250, ""
}

func codeOf(err error) (int, string) {
	var e *textproto.Error
	if errors.As(err, &e) {
		return e.Code, e.Msg
	}
	return 0, err.Error()
}

// facts of a message that were written by the door.
func (h *hall) facts(id mail.QueueID) []journal.Fact {
	h.t.Helper()
	all, err := h.journal.Trace(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(f journal.Fact) bool {
		return f.Kind == journal.Accepted || f.Kind == journal.Addressed || f.Kind == journal.Delivered
	})
}

func (h *hall) queued() []spool.Work {
	h.t.Helper()
	works, _, err := h.spool.List(h.t.Context(), spool.Filter{Limit: 100})
	if err != nil {
		h.t.Fatal(err)
	}
	return works
}

func (h *hall) count(event string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts[event]
}

// all is what was heard.
func (h *hall) all() []feedback.Heard {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.heard)
}

// figures are all counts.
func (h *hall) figures() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.counts)
}

// set changes what the door's neighbours do.
func (h *hall) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func bounce(recipient, action, status, text string) string {
	return "From: MAILER-DAEMON@mx.there.test\nTo: x@y.test\nSubject: Undelivered Mail Returned to Sender\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: text/plain\n\nIt did not work.\n\n--b\nContent-Type: message/delivery-status\n\n" +
		"Reporting-MTA: dns; mx.there.test\n\nFinal-Recipient: rfc822; " + recipient + "\nAction: " + action + "\nStatus: " + status + "\nDiagnostic-Code: smtp; " + text + "\n\n--b--\n"
}

const awayText = "From: Bob <bob@there.test>\nTo: ann@shop.test\nSubject: Out of office: Offer\nMessage-ID: <away%d@there.test>\nAuto-Submitted: auto-replied\n\nI am away until Monday.\n"

func TestBounce(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	id := h.sent("shop", time.Now().Add(-time.Hour), "bob@there.test")
	text := bounce("bob@there.test", "failed", "5.1.1", "550 5.1.1 <bob@there.test>: user unknown")
	for range 3 { // replayed, and in the other case: it counts once
		for _, to := range []string{h.path(id, 0), strings.ToUpper(h.path(id, 0))} {
			if code, msg := h.send("", []string{to}, text); code != 250 {
				t.Fatalf("%d %s", code, msg)
			}
		}
	}
	facts := h.facts(id)
	if len(facts) != 1 || facts[0].Kind != journal.Returned || facts[0].Recipient != "bob@there.test" || facts[0].Enhanced != "5.1.1" || facts[0].Code != 550 ||
		facts[0].Customer != "shop" || facts[0].Category != "userunknown" || facts[0].Party != "recipient" || !strings.Contains(string(facts[0].Detail), `"permanent":true`) {
		t.Errorf("%+v", facts)
	}
	if len(h.all()) != 1 || h.all()[0].Complaint || h.all()[0].Recipient.String() != "bob@there.test" || h.all()[0].Meaning.Category != provider.UserUnknown || !h.all()[0].Meaning.Permanent ||
		h.all()[0].Customer != "shop" || h.all()[0].QueueID != id || h.all()[0].Forwarded {
		t.Errorf("%+v", h.all())
	}
	q := h.queued()
	if len(q) != 1 || !q[0].Notice || !q[0].Envelope.ReversePath.IsNull() || q[0].Envelope.Recipients[0].Address.String() != "ann@shop.test" || q[0].Subject != "Not delivered: Offer" {
		t.Errorf("%+v", q)
	}
	if h.count("returned:userunknown") != 1 || h.count("duplicate") != 5 {
		t.Errorf("%v", h.figures())
	}
}

func TestReports(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	now := time.Now().Add(-time.Hour)
	for _, tc := range []struct {
		name, text string
		recipients []string
		index      int
		kind       journal.Kind
		recipient  string
		notices    int
		heard      int
	}{
		{"delay", bounce("bob@there.test", "delayed", "4.4.1", "451 4.4.1 later"), []string{"bob@there.test"}, 0, journal.LateDelay, "bob@there.test", 1, 0},
		{"success", bounce("bob@there.test", "delivered", "2.0.0", "250 ok"), []string{"bob@there.test"}, 0, journal.Confirmed, "bob@there.test", 1, 0},
		{"forwarded", bounce("other@far.test", "failed", "5.1.1", "550 5.1.1 unknown"), []string{"a@there.test", "bob@there.test"}, 1, journal.Returned, "bob@there.test", 1, 1},
		{"a block against us", bounce("bob@there.test", "failed", "5.7.1", "554 5.7.1 your IP is blocked using zen.spamhaus.org"), []string{"bob@there.test"}, 0, journal.Returned, "bob@there.test", 1, 1},
		{"one of several", bounce("BOB@there.test", "failed", "5.1.1", "550 5.1.1 unknown"), []string{"a@there.test", "bob@there.test"}, -1, journal.Returned, "bob@there.test", 1, 1},
		{"none of several", bounce("victim@far.test", "failed", "5.1.1", "550 5.1.1 unknown"), []string{"a@there.test", "bob@there.test"}, -1, journal.Returned, "victim@far.test", 0, 0},
		{"unreadable", "From: postmaster@there.test\nSubject: hello\n\nsomething\n", []string{"bob@there.test"}, 0, journal.Unread, "bob@there.test", 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := h.sent("shop", now, tc.recipients...)
			before, heard := len(h.queued()), len(h.all())
			if code, msg := h.send("", []string{h.path(id, tc.index)}, tc.text); code != 250 {
				t.Fatalf("%d %s", code, msg)
			}
			facts := h.facts(id)
			if len(facts) != 1 || facts[0].Kind != tc.kind || facts[0].Recipient != tc.recipient {
				t.Errorf("%+v", facts)
			}
			if n := len(h.queued()) - before; n != tc.notices {
				t.Errorf("%d notices", n)
			}
			if n := len(h.all()) - heard; n != tc.heard {
				t.Errorf("heard %d", n)
			} else if n == 1 && h.all()[heard].Forwarded != (tc.name == "forwarded") {
				t.Errorf("%+v", h.all()[heard])
			} else if n == 1 && h.all()[heard].Meaning.Permanent != (tc.name != "a block against us") {
				t.Errorf("%+v", h.all()[heard].Meaning)
			}
		})
	}
}

// TestRefused: nothing but what we made ourselves gets in, and nobody is relayed to.
func TestRefused(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	id, old := h.sent("shop", time.Now().Add(-time.Hour), "bob@there.test"), h.sent("shop", time.Now().Add(-46*24*time.Hour), "bob@there.test")
	forger, err := returnpath.New([]byte("another key, another key, another key"))
	if err != nil {
		t.Fatal(err)
	}
	good := h.path(id, 0)
	for _, tc := range []struct {
		name, to, count string
		code            int
	}{
		{"good", good, "returned:userunknown", 250},
		{"forged", forger.Local(id, 0) + "@" + returnDomain, "refused:forged", 550},
		{"changed", strings.Replace(good, "b-a", "b-b", 1), "", 550},
		{"too old", h.path(old, 0), "refused:old", 550},
		{"from the future", h.codec.Local(mail.NewQueueID(time.Now().Add(48*time.Hour)), 0) + "@" + returnDomain, "refused:old", 550},
		{"public reference", h.codec.Reference(id) + "@" + returnDomain, "refused:unknown", 550},
		{"no such name", "bob@" + returnDomain, "refused:unknown", 550},
		{"elsewhere", "victim@elsewhere.test", "refused:relay", 550},
		{"good name elsewhere", h.codec.Local(id, 0) + "@elsewhere.test", "refused:relay", 550},
		{"percent hack", "victim%elsewhere.test@" + returnDomain, "refused:unknown", 550},
		{"below our domain", h.codec.Local(id, 0) + "@x." + returnDomain, "refused:relay", 550},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := h.count(tc.count)
			code, msg := h.send("", []string{tc.to}, bounce("bob@there.test", "failed", "5.1.1", "550 unknown"))
			if code != tc.code || tc.count != "" && h.count(tc.count) != before+1 {
				t.Errorf("%d %s %v", code, msg, h.figures())
			}
		})
	}
	if code, _ := h.send("spammer@evil.test", []string{good}, "From: spammer@evil.test\nSubject: buy\n\nnow\n"); code != 550 || h.count("refused:person") != 1 {
		t.Errorf("a person's mail: %d %v", code, h.figures())
	}
	if n := len(h.facts(old)) + len(h.facts(id)); n != 1 {
		t.Errorf("%d facts", n)
	}
	for _, q := range h.queued() {
		if to := q.Envelope.Recipients[0].Address.Domain; to != "shop.test" {
			t.Errorf("mail to %s left", to)
		}
	}
}

func TestAutoReply(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	id, quiet := h.sent("shop", time.Now().Add(-time.Hour), "bob@there.test"), h.sent("quiet", time.Now().Add(-time.Hour), "bob@there.test")
	for i := range 6 { // the fourth is too many
		for _, from := range []string{"", "bob@there.test"} { // the same again
			if code, msg := h.send(from, []string{h.path(id, 0)}, fmt.Sprintf(awayText, i)); code != 250 {
				t.Fatalf("%d %s", code, msg)
			}
		}
	}
	if code, _ := h.send("", []string{h.path(quiet, 0)}, fmt.Sprintf(awayText, 1)); code != 250 {
		t.Fatal(code)
	}
	q := h.queued()
	if len(q) != 3 {
		t.Fatalf("%d passed on", len(q))
	}
	body, err := h.spool.Body(t.Context(), q[0].ID)
	if err != nil || !strings.HasPrefix(string(body), "Received: from [127.0.0.1]") || !strings.HasSuffix(string(body), "\r\n\r\nI am away until Monday.\r\n") ||
		q[0].Envelope.Recipients[0].Address.String() != "ann@shop.test" || q[0].HeaderFrom != "" {
		t.Errorf("%v %+v\n%s", err, q[0], body)
	}
	facts := h.facts(id)
	if len(facts) != 6 || facts[0].Kind != journal.AutoReply || facts[0].Subject != "Out of office: Offer" || facts[0].Text != "passed on to the sender" || !strings.Contains(facts[5].Text, "too many") {
		t.Errorf("%+v", facts)
	}
	if f := h.facts(quiet); len(f) != 1 || !strings.Contains(f[0].Text, "wants none") {
		t.Errorf("%+v", f)
	}
	if len(h.all()) != 0 {
		t.Errorf("%+v", h.all())
	}
}

// complaint is a feedback report whose original is redacted but for one line; encode hides it in base64.
func complaint(from, line string, encode bool) string {
	original, encoding := line+"\nSubject: Offer\n\n", "7bit"
	if encode {
		original, encoding = base64.StdEncoding.EncodeToString([]byte(original))+"\n", "base64"
	}
	return "From: " + from + "\nTo: fbl@" + returnDomain + "\nSubject: complaint\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n" +
		"--b\nContent-Type: text/plain\n\nThis is an abuse report.\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nUser-Agent: x/1\nVersion: 1\nOriginal-Rcpt-To: redacted\n\n" +
		"--b\nContent-Type: text/rfc822-headers\nContent-Transfer-Encoding: " + encoding + "\n\n" + original + "\n--b--\n"
}

// TestComplaint: each of the three places leads to the message; only a signed report of a known reporter counts.
func TestComplaint(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(h *hall, id mail.QueueID) string{
		"message id":   func(h *hall, id mail.QueueID) string { return "Message-ID: <" + h.codec.Reference(id) + "@gate.test>" },
		"reverse path": func(h *hall, id mail.QueueID) string { return "Return-Path: <" + h.path(id, 0) + ">" },
		"our field":    func(h *hall, id mail.QueueID) string { return returnpath.Field + ": " + h.codec.Reference(id) },
	} {
		for _, encode := range []bool{false, true} {
			t.Run(fmt.Sprint(name, encode), func(t *testing.T) {
				t.Parallel()
				h := newHall(t)
				id := h.sent("shop", time.Now().Add(-time.Hour), "bob@there.test")
				text := complaint("staff@hotmail.com", place(h, id), encode)
				to := []string{"FBL@" + returnDomain}
				if code, msg := h.send("staff@hotmail.com", to, text); code != 250 || len(h.all()) != 0 {
					t.Fatalf("%d %s %+v", code, msg, h.all())
				}
				if f := h.facts(id); len(f) != 1 || f[0].Kind != journal.Complaint || strings.Contains(string(f[0].Detail), "reporter") || h.count("complaint:unverified") != 1 {
					t.Fatalf("not signed: %+v %v", f, h.figures())
				}
				h.set(func() { h.signed = []mail.Domain{"evil.test"} })
				h.send("x@evil.test", to, complaint("staff@evil.test", place(h, id), encode))
				h.send("x@evil.test", to, text)
				if len(h.all()) != 0 {
					t.Fatalf("anybody's: %+v", h.all())
				}
				h.set(func() { h.signed = []mail.Domain{"hotmail.com"} })
				for range 2 {
					if code, _ := h.send("staff@hotmail.com", to, text); code != 250 {
						t.Fatal(code)
					}
				}
				f := h.facts(id)
				if len(h.all()) != 1 || !h.all()[0].Complaint || h.all()[0].Recipient.String() != "bob@there.test" || len(f) != 2 || f[1].Host != "hotmail.com" || f[1].Text != "abuse" {
					t.Errorf("%+v %+v %v", h.all(), f, h.figures())
				}
				if n := len(h.queued()); n != 0 {
					t.Errorf("%d notices about a complaint", n)
				}
			})
		}
	}
}

func TestComplaintsThatLeadNowhere(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	to := []string{"fbl@" + returnDomain}
	if code, _ := h.send("x@y.test", to, complaint("x@y.test", "Message-ID: <1@elsewhere.test>", false)); code != 250 || h.count("complaint:unknown") != 1 {
		t.Errorf("%d %v", code, h.figures())
	}
	fresh := mail.NewQueueID(time.Now())
	if code, _ := h.send("", []string{h.path(fresh, 0)}, bounce("bob@there.test", "failed", "5.1.1", "550 no")); code != 451 || h.count("early") != 1 {
		t.Errorf("a report that is quicker than the journal: %d %v", code, h.figures())
	}
	gone := mail.NewQueueID(time.Now().Add(-time.Hour))
	if code, _ := h.send("", []string{h.path(gone, 0)}, bounce("bob@there.test", "failed", "5.1.1", "550 no")); code != 250 || h.count("unknown") != 1 {
		t.Errorf("a report about a forgotten message: %d %v", code, h.figures())
	}
	if code, _ := h.send("", to, complaint("x@y.test", "Message-ID: <"+h.codec.Reference(gone)+"@gate.test>", false)); code != 250 || h.count("complaint:unknown") != 2 {
		t.Errorf("%d %v", code, h.figures())
	}
	if code, _ := h.send("x@y.test", to, "From: x@y.test\nSubject: hello\n\nbuy\n"); code != 550 {
		t.Errorf("a person at the address for complaints: %d", code)
	}
	h.set(func() { h.signed = []mail.Domain{"signal-spam.fr"} })
	h.send("", to, complaint("fbl@signal-spam.fr", "Subject: nothing", false))
	facts, _, err := h.journal.Search(t.Context(), journal.Query{Kinds: []journal.Kind{journal.Complaint}})
	if err != nil || len(facts) != 1 || facts[0].QueueID != "" || facts[0].Customer != "" || facts[0].Host != "signal-spam.fr" {
		t.Errorf("%+v %v", facts, err)
	}
}

func TestOperator(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	for i := range 35 {
		code, _ := h.send("bob@there.test", []string{[]string{"postmaster@", "Abuse@"}[i%2] + returnDomain}, fmt.Sprintf("From: bob@there.test\nSubject: help %d\n\nplease\n", i))
		if want := 250; i < 30 && code != want || i >= 30 && code != 450 {
			t.Errorf("%d: %d", i, code)
		}
	}
	q := h.queued()
	if len(q) != 30 || q[0].Envelope.Recipients[0].Address.String() != "ops@operator.test" {
		t.Errorf("%d %+v", len(q), q[0].Envelope)
	}
	none := newHall(t, func(o *feedback.DoorOptions) { o.Operator = mail.Address{Local: "ops", Domain: returnDomain} })
	if code, _ := none.send("", []string{"postmaster@" + returnDomain}, "Subject: x\n\ny\n"); code != 550 {
		t.Errorf("mail to the operator would come back here: %d", code)
	}
}

func TestDoorLimits(t *testing.T) {
	t.Parallel()
	h := newHall(t, func(o *feedback.DoorOptions) {
		o.MaxBytes, o.ReadBytes, o.PerMinute, o.Forged, o.Hops = 64<<10, 16<<10, 12, 3, 5
	})
	id := h.sent("shop", time.Now().Add(-time.Hour), "bob@there.test")
	path := h.path(id, 0)
	// What is beyond ReadBytes is not looked at: a returned message may be long.
	if code, msg := h.send("", []string{path}, bounce("bob@there.test", "failed", "5.1.1", "550 no such user")+strings.Repeat("returned text\n", 3000)); code != 250 || len(h.facts(id)) != 1 {
		t.Errorf("a long bounce: %d %s", code, msg)
	}
	if code, _ := h.send("", []string{path}, strings.Repeat("x\n", 64<<10)); code != 552 {
		t.Errorf("too large: %d", code)
	}
	if code, _ := h.send("", []string{path}, strings.Repeat("Received: x\n", 6)+"\n"); code != 554 {
		t.Errorf("loop: %d", code)
	}
	if code, _ := h.send("", slices.Repeat([]string{path}, 6), "Subject: x\n\n"); code != 452 {
		t.Errorf("recipients: %d", code)
	}
	var codes []int
	for range 5 {
		code, _ := h.send("", []string{"nobody@" + returnDomain}, "")
		codes = append(codes, code)
	}
	if !slices.Equal(codes, []int{550, 550, 550, 421, 421}) {
		t.Errorf("unknown recipients: %v", codes)
	}
	for range 12 {
		codes = append(codes, func() int { code, _ := h.send("", []string{path}, "Subject: x\n\n"); return code }())
	}
	if codes[len(codes)-1] != 450 {
		t.Errorf("too many messages: %v", codes)
	}
}

// TestTrouble: what cannot be written down stays with the reporting server, and is not lost when it comes again.
func TestTrouble(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	id := h.sent("shop", time.Now().Add(-time.Hour), "bob@there.test")
	text := bounce("bob@there.test", "failed", "5.1.1", "550 5.1.1 unknown")
	h.set(func() { h.fail = errors.New("no room") })
	if code, _ := h.send("", []string{h.path(id, 0)}, text); code != 451 || len(h.facts(id)) != 0 {
		t.Errorf("%d %+v", code, h.facts(id))
	}
	h.set(func() { h.fail = nil })
	if code, _ := h.send("", []string{h.path(id, 0)}, text); code != 250 || len(h.facts(id)) != 1 || len(h.all()) != 1 || len(h.queued()) != 1 {
		t.Errorf("%d %+v", code, h.facts(id))
	}
	other := h.sent("shop", time.Now().Add(-time.Hour), "bob@there.test")
	if err := h.main.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _ := h.send("", []string{h.path(other, 0)}, text); code != 451 {
		t.Errorf("without a journal: %d", code)
	}
}

// TestExcess: whoever has a return address cannot fill the journal with it.
func TestExcess(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	id := h.sent("shop", time.Now().Add(-time.Hour), "bob@there.test")
	for i := range 40 {
		if code, _ := h.send("", []string{h.path(id, 0)}, bounce("bob@there.test", "failed", fmt.Sprintf("5.1.%d", i), "550 no")); code != 250 {
			t.Fatal(code)
		}
	}
	if n := len(h.facts(id)); n != 15 || h.count("excess") != 25 {
		t.Errorf("%d facts %v", n, h.figures())
	}
}

// own is a relay for one network, as the listener has without the door.
type own struct{ h *hall }

func (o own) NewSession(context.Context, *smtp.Conn) (smtp.Session, error) {
	return ownSession(o), nil
}

type ownSession struct{ h *hall }

func (ownSession) Mail(context.Context, *smtp.Transaction) error                 { return nil }
func (ownSession) Rcpt(context.Context, *smtp.Transaction, mail.Recipient) error { return nil }
func (s ownSession) Data(context.Context, *smtp.Transaction, []byte) (smtp.Reply, error) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.h.counts["relayed"]++
	return smtp.Reply{}, nil
}
func (ownSession) Close() {}

// TestShared: at a listener that others use too, strangers get as far as return addresses and no further, whatever they try; customers send as before.
func TestShared(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	var known atomic.Bool
	addr := h.listen(h.door.Behind(own{h}, func(netip.Addr) bool { return known.Load() }), smtp.Limits{Errors: 1000, SoftErrors: 1000})
	id := h.sent("shop", time.Now().Add(-time.Hour), "bob@there.test")
	text := bounce("bob@there.test", "failed", "5.1.1", "550 unknown")
	for _, from := range []string{"", "ann@shop.test", "x@" + returnDomain, "postmaster@gate.test"} {
		for _, to := range [][]string{{"victim@elsewhere.test"}, {"ann@shop.test"}, {"victim@gate.test"}, {h.path(id, 0), "victim@elsewhere.test"}, {"victim@elsewhere.test", h.path(id, 0)},
			{"x@" + returnDomain}, {"\"victim@elsewhere.test\"@" + returnDomain}, {"victim%elsewhere.test@" + returnDomain}, {h.codec.Local(id, 0) + "@elsewhere.test"}} {
			if code, msg := h.sendTo(addr, from, to, text); code != 550 {
				t.Errorf("a stranger from %q to %q: %d %s", from, to, code, msg)
			}
		}
	}
	if code, msg := h.sendTo(addr, "", []string{h.path(id, 0)}, text); code != 250 || len(h.facts(id)) != 1 || h.count("relayed") != 0 {
		t.Errorf("a stranger's bounce: %d %s %v", code, msg, h.figures())
	}
	known.Store(true)
	if code, _ := h.sendTo(addr, "ann@shop.test", []string{"bob@there.test"}, text); code != 250 || h.count("relayed") != 1 {
		t.Errorf("a customer's mail: %d %v", code, h.figures())
	}
	if code, _ := h.sendTo(addr, "", []string{h.path(id, 0)}, bounce("bob@there.test", "failed", "5.2.2", "552 full")); code != 250 || h.count("relayed") != 1 || len(h.facts(id)) != 2 {
		t.Errorf("a customer's bounce: %d %v", code, h.figures())
	}
	if code, _ := h.sendTo(addr, "", []string{h.path(id, 0), "bob@there.test"}, text); code != 452 {
		t.Errorf("both in one: %d", code)
	}
	if code, _ := h.sendTo(addr, "", []string{"x@" + returnDomain}, text); code != 550 {
		t.Errorf("a customer to an address that does not exist: %d", code)
	}
	// One connection, several messages: what one was for does not stick to the next.
	c, err := netsmtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, to := range []string{h.path(id, 0), "bob@there.test", h.path(id, 0), "bob@there.test"} {
		if err := c.Mail("ann@shop.test"); err != nil {
			t.Fatal(err)
		}
		if err := c.Rcpt(to); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := c.Reset(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		w, err := c.Data()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if h.count("relayed") != 3 {
		t.Errorf("%v", h.figures())
	}
}

func TestLook(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	id := h.sent("shop", time.Now().Add(-time.Hour), "a@there.test", "bob@there.test")
	for _, text := range []string{h.path(id, 1), "<" + strings.ToUpper(h.path(id, 1)) + ">", h.codec.Local(id, 1)} {
		m, err := h.door.Look(t.Context(), text)
		if err != nil || m.Ref.ID != id || m.Recipient.String() != "bob@there.test" || m.Accepted.Customer != "shop" {
			t.Errorf("%q: %+v %v", text, m, err)
		}
	}
	if m, err := h.door.Look(t.Context(), "<"+h.codec.Reference(id)+"@gate.test>"); err != nil || m.Ref.ID != id || !m.Recipient.IsNull() || !m.Ref.Public {
		t.Errorf("%+v %v", m, err)
	}
	if _, err := h.door.Look(t.Context(), "bob@there.test"); !errors.Is(err, returnpath.ErrNotOurs) {
		t.Error(err)
	}
	forged := "b-" + strings.Repeat("a", 50)
	if _, err := h.door.Look(t.Context(), forged); err == nil {
		t.Error("forged")
	}
	if m, err := h.door.Look(t.Context(), h.path(mail.NewQueueID(time.Now()), 0)); err != nil || m.Accepted.Kind != "" {
		t.Errorf("%+v %v", m, err)
	}
}

// FuzzDoor: whatever a reporting server sends is answered, and nothing is relayed to anybody but the sender of the message.
func FuzzDoor(f *testing.F) {
	h := newHall(f, func(o *feedback.DoorOptions) { o.PerMinute, o.Logger = 1<<30, nil })
	id := h.sent("shop", time.Now().Add(-time.Hour), "bob@there.test")
	f.Add([]byte(bounce("bob@there.test", "failed", "5.1.1", "550 5.1.1 unknown")), false)
	f.Add([]byte(complaint("staff@hotmail.com", "Message-ID: <"+h.codec.Reference(id)+"@gate.test>", true)), true)
	f.Add(fmt.Appendf(nil, awayText, 1), false)
	f.Fuzz(func(t *testing.T, raw []byte, complaints bool) {
		s, err := h.door.NewSession(t.Context(), &smtp.Conn{ClientIP: netip.MustParseAddr("192.0.2.1"), ServerName: "gate.test"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		to := mail.Address{Local: h.codec.Local(id, 0), Domain: returnDomain}
		if complaints {
			to.Local = "fbl"
		}
		tr := &smtp.Transaction{}
		if err := s.Mail(t.Context(), tr); err != nil {
			t.Fatal(err)
		}
		if err := s.Rcpt(t.Context(), tr, mail.Recipient{Address: to}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Data(t.Context(), tr, raw); err != nil {
			var e *smtp.Error
			if !errors.As(err, &e) || e.Code < 500 {
				t.Fatalf("%v", err)
			}
		}
	})
}
