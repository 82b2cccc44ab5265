package app_test

import (
	"strings"
	"testing"

	"postern/internal/journal"
	"postern/internal/suppression"
)

// TestSuppression: what a receiver says of an address keeps the next message to it from being sent, which the sender hears at RCPT; a person lifts it.
func TestSuppression(t *testing.T) {
	t.Parallel()
	a, r, _, stop := gateway(t, customer)
	send := func(to string) (code int, text string) {
		t.Helper()
		res := submit(t, a.Addresses("relay"), "news@customer.test", to, letter("Your order"))
		if len(res.Recipients) == 1 && res.Recipients[0].Code >= 400 {
			return res.Recipients[0].Code, res.Recipients[0].Text()
		}
		return res.Data.Code, res.Data.Text()
	}
	if code, text := send("unknown-Bob@receiver.test"); code != 250 {
		t.Fatal(code, text)
	}
	listed := func() bool {
		e, found, err := a.Suppression().Suppressed(t.Context(), "shop", address(t, "unknown-bob@receiver.test"))
		if err != nil {
			t.Fatal(err)
		}
		return found && e.Reason == suppression.UnknownUser && e.Evidence.Host != "" && e.Evidence.Rule != ""
	}
	waitFor(t, "the address is listed", listed)
	r.next(t) // the bounce to the sender: our own notices go to everybody
	code, text := send("unknown-bob@RECEIVER.test")
	if code != 550 || !strings.Contains(text, "5.7.1") && !strings.Contains(text, "suppressed since") || !strings.Contains(text, "No such user here") {
		t.Fatal(code, text)
	}
	if code, text = send("reader@receiver.test"); code != 250 {
		t.Fatal(code, text)
	}
	r.next(t)
	if err := a.Journal().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, _, err := a.Journal().Search(t.Context(), journal.Query{Kinds: []journal.Kind{journal.Suppressed, journal.Listed}})
	if err != nil || len(facts) != 2 || facts[0].Recipient != "unknown-bob@receiver.test" || facts[1].Kind != journal.Listed || facts[1].QueueID == "" {
		t.Errorf("%+v %v", facts, err)
	}
	if err := a.Suppression().Lift(t.Context(), "shop", address(t, "unknown-bob@receiver.test"), "operator:eve"); err != nil {
		t.Fatal(err)
	}
	if code, text = send("unknown-bob@receiver.test"); code != 250 {
		t.Fatal(code, text)
	}
	waitFor(t, "a new answer lists it again", listed)
	stop()
}

// TestSuppressionAccepted: software that cannot cope with a refusal at RCPT gets a bounce.
func TestSuppressionAccepted(t *testing.T) {
	t.Parallel()
	a, r, _, _ := gateway(t, customer+"\nsuppression: {at_rcpt: accept}\n")
	e := suppression.Entry{Customer: "shop", Address: address(t, "reader@receiver.test"), Reason: suppression.Complaint, By: "recipient"}
	if err := a.Suppression().Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	res := submit(t, a.Addresses("relay"), "news@customer.test", "reader@receiver.test", letter("Your order"))
	if res.Data.Code != 250 {
		t.Fatalf("%+v", res)
	}
	if got := r.next(t); !strings.Contains(string(got.data), "suppressed") {
		t.Errorf("%s", got.data)
	}
}
