package app_test

import (
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/account"
	"postern/internal/api"
	"postern/internal/dkim"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/smtp"
)

const returning = `
hostname: gate.receiver.test
listen: {bounces: "127.0.0.1:2526"}
customers: [{id: shop, language: en, contact: owner@customer.test, networks: [127.0.0.0/8], domains: [customer.test], return_path: bounce.customer.test}]
`

// bring hands a report to a door; the code that decided.
func bring(t *testing.T, at, from, to, report string) int {
	t.Helper()
	c, err := smtp.Dial(t.Context(), netip.MustParseAddrPort(at), smtp.ClientOptions{Hostname: "mx.receiver.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	env := mail.Envelope{Recipients: []mail.Recipient{{Address: address(t, to)}}}
	if from != "" {
		env.ReversePath = address(t, from)
	}
	res, err := c.Send(t.Context(), env, []byte(report))
	switch {
	case len(res.Recipients) > 0 && res.Recipients[0].Code >= 300:
		return res.Recipients[0].Code
	case err != nil:
		t.Fatal(err)
	}
	return res.Data.Code
}

// TestReturning: a message leaves under a return address of ours and is judged so, its receiver takes it and bounces it later; the sender is told, and
// the facts and figures say so. A forged bounce finds nobody.
func TestReturning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "conf.d", "50.yaml"), []byte(returning), 0o600); err != nil {
		t.Fatal(err)
	}
	a, r, _, _ := gatewayIn(t, dir, "")
	if info, err := os.Stat(filepath.Join(dir, "return-path.key")); err != nil || info.Mode().Perm() != 0o600 || info.Size() < 64 {
		t.Errorf("key: %v %v", info, err)
	}
	res := submit(t, a.Addresses("relay"), "news@customer.test", "anna@receiver.test", letter("Your order"))
	if res.Data.Code != 250 {
		t.Fatalf("%+v", res)
	}
	id := mail.QueueID(strings.TrimPrefix(strings.Join(res.Data.Lines, ""), "Ok: queued as "))
	got := r.next(t)
	path := got.env.ReversePath
	if path.Domain != "bounce.customer.test" || !strings.HasPrefix(path.Local, "b-") {
		t.Fatalf("reverse path %s", path)
	}
	head, _, _ := bytes.Cut(got.data, []byte("\r\n\r\n"))
	if !bytes.Contains(head, []byte("\r\nX-Postern-Ref: m-")) {
		t.Errorf("%s", head)
	}

	report := "From: MAILER-DAEMON@mx.receiver.test\r\nTo: " + path.String() + "\r\nSubject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nIt did not work.\r\n\r\n--b\r\n" +
		"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.receiver.test\r\n\r\nFinal-Recipient: rfc822; anna@receiver.test\r\nAction: failed\r\nStatus: 5.1.1\r\n" +
		"Diagnostic-Code: smtp; 550 5.1.1 <anna@receiver.test>: user unknown\r\n\r\n--b--\r\n"
	other := "a"
	if path.Local[40] == 'a' {
		other = "b"
	}
	forged := path.Local[:40] + other + path.Local[41:] + "@" + string(path.Domain)
	for _, door := range []string{"bounces", "relay"} {
		if code := bring(t, a.Addresses(door), "", forged, report); code != 550 {
			t.Errorf("forged, at %s: %d", door, code)
		}
	}
	if code := bring(t, a.Addresses("bounces"), "x@evil.test", "victim@receiver.test", report); code != 550 {
		t.Errorf("relayed: %d", code)
	}
	for _, door := range []string{"bounces", "relay"} { // the second is a repetition, by a customer's own server
		if code := bring(t, a.Addresses(door), "", path.String(), report); code != 250 {
			t.Fatalf("at %s: %d", door, code)
		}
	}
	told := r.next(t)
	if to := told.env.Recipients[0].Address.String(); to != "news@customer.test" || !told.env.ReversePath.IsNull() || !bytes.Contains(told.data, []byte("Subject: Not delivered: Your order")) {
		t.Errorf("%s %s\n%s", told.env.ReversePath, to, told.data)
	}
	var facts []journal.Fact
	waitFor(t, "the fact of its delivery", func() bool { // outcomes are gathered: the report may be read before
		var err error
		if facts, err = a.Journal().Trace(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(facts, func(f journal.Fact) bool { return f.Kind == journal.Delivered })
	})
	count := map[journal.Kind]int{}
	for _, f := range facts {
		count[f.Kind]++
		if f.Kind == journal.Returned && (f.Category != "userunknown" || f.Recipient != "anna@receiver.test" || f.ReversePath != "news@customer.test") {
			t.Errorf("%+v", f)
		}
	}
	if count[journal.Returned] != 1 || count[journal.Delivered] != 1 || count[journal.DSN] != 1 {
		t.Errorf("%v", count)
	}
	client := api.NewClient(filepath.Join(dir, "admin.sock"), "test")
	for _, text := range []string{path.String(), string(head)} {
		x, err := client.ReturnAddress(t.Context(), text)
		if err != nil || x.QueueID != id || !x.Known || x.Customer != "shop" || x.Sender != "news@customer.test" || x.Public != (text != path.String()) {
			t.Errorf("%+v %v", x, err)
		}
	}
	if _, err := client.ReturnAddress(t.Context(), forged); err == nil || !strings.Contains(err.Error(), "wrong signature") {
		t.Errorf("forged: %v", err)
	}
	response, err := http.Get("http://" + a.Addresses("metrics") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	figures, err := io.ReadAll(response.Body)
	if err != nil || !bytes.Contains(figures, []byte(`postern_return_events_total{result="returned:userunknown"} 1`)) ||
		!bytes.Contains(figures, []byte(`postern_return_events_total{result="refused:forged"} 2`)) {
		t.Errorf("%v %s", err, figures)
	}
}

// TestReturningKept: without a signature of the author's domain the sender's own path is kept, and so it is for who wants it; with one it is ours, and SPF
// is judged for the domain that the receiver will see.
func TestReturningKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "hostname: gate.receiver.test\ndelivery: {return_path: {domain: back.receiver.test}}\n" +
		"customers: [{id: shop, contact: owner@customer.test, networks: [127.0.0.0/8], domains: [customer.test], threshold: 15}]\n"
	if err := os.WriteFile(filepath.Join(dir, "conf.d", "50.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a, r, _, _ := gatewayIn(t, dir, "")
	send := func(want string) {
		t.Helper()
		res := submit(t, a.Addresses("relay"), "news@customer.test", "anna@receiver.test", letter("Your order"))
		if res.Data.Code != 250 {
			t.Fatalf("%+v", res)
		}
		if got := r.next(t).env.ReversePath; string(got.Domain) != want {
			t.Fatalf("leaves as %s, want %s", got, want)
		}
	}
	send("customer.test")
	key, err := dkim.GenerateKey("customer.test", "s1", account.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Accounts().AddKey(t.Context(), account.KeyRecord{Domain: "customer.test", Selector: "s1", Algorithm: account.Ed25519, PEM: key.PEM(), Active: true}); err != nil {
		t.Fatal(err)
	}
	send("back.receiver.test")
	if err := a.Journal().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, _, err := a.Journal().Search(t.Context(), journal.Query{Customer: "shop", Kinds: []journal.Kind{journal.Accepted}})
	if err != nil || len(facts) != 2 {
		t.Fatalf("%+v %v", facts, err)
	}
	for i, want := range []string{"SPF_NONE", "SPF_PASS"} { // the newest first
		if !bytes.Contains(facts[i].Detail, []byte(want)) {
			t.Errorf("message %d: %s not in %s", i, want, facts[i].Detail)
		}
	}
}
