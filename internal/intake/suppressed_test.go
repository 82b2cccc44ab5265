package intake_test

import (
	"errors"
	"strings"
	"testing"

	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/smtp"
	"postern/internal/suppression"
)

func TestSuppressed(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	put := func(customer, to string, reason suppression.Reason, v suppression.Evidence) {
		t.Helper()
		a, err := suppression.ParseAddress(to)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.list.Add(t.Context(), suppression.Entry{Customer: customer, Address: a, Reason: reason, By: "rule", Evidence: v}); err != nil {
			t.Fatal(err)
		}
	}
	put("shop", "bob@there.test", suppression.UnknownUser, suppression.Evidence{Code: 550, Enhanced: "5.1.1", Text: "Utilisateur \u00e9tranger\r\n250 ok " + strings.Repeat("x", 400)})
	put("rival", "ann@there.test", suppression.Complaint, suppression.Evidence{})
	put("", "@gone.test", suppression.NoMail, suppression.Evidence{})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	for to, want := range map[string]string{
		"BOB@there.test": "there is no such recipient; tried again from ", "ann@there.test": "", "x@gone.test": "Addresses at gone.test are on the suppression list", "bob@here.test": "",
	} {
		_, err := c.send("news@shop.test", []string{to}, letter(""))
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", to, err)
			}
			continue
		}
		refusal(t, err, 550, smtp.Enhanced{5, 7, 1}, want)
		var e *smtp.Error
		if errors.As(err, &e) {
			lines := strings.Split(e.Text, "\n")
			if len(lines) != 2 || len(lines[0]) > 250 || len(lines[1]) > 250 || strings.ContainsFunc(strings.Join(lines, ""), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q", e.Text)
			}
		}
	}
	if err := r.journal.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, _, err := r.journal.Search(t.Context(), journal.Query{Kinds: []journal.Kind{journal.Suppressed}})
	if err != nil || len(facts) != 2 || facts[0].Customer != "shop" || facts[0].Code != 550 || !facts[0].ClientIP.IsValid() {
		t.Errorf("%+v %v", facts, err)
	}
	if n := r.counted("refused:suppressed"); n != 2 {
		t.Errorf("%d counted", n)
	}
	r.SetRefuseSuppressed(false)
	if _, err := c.send("news@shop.test", []string{"bob@there.test"}, letter("")); err != nil {
		t.Errorf("accepted, to be bounced: %v", err)
	}
	r.SetRefuseSuppressed(true)
	// Without the list nothing is taken: nobody may be written to by a guess.
	if err := r.mainDB.Close(); err != nil {
		t.Fatal(err)
	}
	refusal(t, r.Suppressed(t.Context(), "shop", address(t, "bob@there.test")), 451, smtp.Enhanced{4, 3, 0}, "try again later")
	if err := r.Suppressed(t.Context(), "shop", address(t, "bob@here.test")); err != nil {
		t.Errorf("answered from memory: %v", err)
	}
}
