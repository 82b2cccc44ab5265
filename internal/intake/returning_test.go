package intake_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"postern/internal/account"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/mail"
)

// TestReference: every message gets the field that leads back to it, whatever it brought along; a Message-ID that we add carries the same, and one that
// is there stays.
func TestReference(t *testing.T) {
	t.Parallel()
	r := start(t, settings{change: func(o *intake.Options) {
		o.Reference, o.RefField = func(id mail.QueueID) string { return "m-" + string(id) }, "X-Postern-Ref"
	}})
	send := func(c *client, text []byte) (mail.QueueID, string) {
		t.Helper()
		reply, err := c.send("news@shop.test", []string{"bob@there.test"}, text)
		if err != nil || reply.Code != 250 {
			t.Fatal(reply, err)
		}
		id := mail.QueueID(strings.TrimPrefix(reply.Lines[0], "Ok: queued as "))
		body, err := r.spool.Body(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return id, string(body)
	}
	id, body := send(r.connect(t, intake.Relay, "192.0.2.1"), letter("x-postern-ref: m-somebody-elses\n"))
	if strings.Count(strings.ToLower(body), "x-postern-ref:") != 1 || !strings.Contains(body, "X-Postern-Ref: m-"+string(id)+"\r\n") || !strings.Contains(body, "Message-ID: <1@shop.test>\r\n") {
		t.Errorf("%s", body)
	}
	c, err := r.login(t, r.user, r.password)
	if err != nil {
		t.Fatal(err)
	}
	if id, body = send(c, []byte(strings.Replace(string(letter("")), "Message-ID: <1@shop.test>\r\n", "", 1))); !strings.Contains(body, "Message-ID: <m-"+string(id)+"@gate.test>\r\n") {
		t.Errorf("%s", body)
	}
}

// TestLeaving: SPF is judged for the reverse path that the receiver will see, and the recipients of a message with several are kept in order.
func TestLeaving(t *testing.T) {
	t.Parallel()
	elsewhere := true
	r := start(t, settings{scores: map[string]float64{"SPF_NONE": 0.5, "SPF_PASS": -0.1}, change: func(o *intake.Options) {
		o.Leaving = func(_ account.Customer, _ mail.QueueID, path mail.Address, _ string) (mail.Address, bool) {
			return mail.Address{Local: "b-x", Domain: "there.test"}, elsewhere // there.test has no SPF record
		}
	}})
	for _, want := range []string{"SPF_NONE", "SPF_PASS"} {
		reply, err := r.connect(t, intake.Relay, "192.0.2.1").send("news@shop.test", []string{"bob@there.test", "ann@there.test"}, letter(""))
		if err != nil || reply.Code != 250 {
			t.Fatal(reply, err)
		}
		id := mail.QueueID(strings.TrimPrefix(reply.Lines[0], "Ok: queued as "))
		if err := r.journal.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		facts, err := r.journal.Trace(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(facts, func(f journal.Fact) bool { return f.Kind == journal.Accepted })
		if i < 0 || !strings.Contains(string(facts[i].Detail), want) {
			t.Errorf("no %s: %+v", want, facts)
		}
		k := slices.IndexFunc(facts, func(f journal.Fact) bool { return f.Kind == journal.Addressed })
		var list []string
		if k >= 0 {
			_ = json.Unmarshal(facts[k].Detail, &list)
		}
		if elsewhere != slices.Equal(list, []string{"bob@there.test", "ann@there.test"}) {
			t.Errorf("recipients %q", list)
		}
		elsewhere = false
	}
}
