package intake_test

import (
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/smtp"
)

// TestLimitOfALogin: what is above a limit is put off with the reason and the end; what was not taken is not counted.
func TestLimitOfALogin(t *testing.T) {
	t.Parallel()
	// The clock stands at the beginning of a slot, so that none ends meanwhile.
	hold := time.Now().UTC().Truncate(time.Hour).Add(30 * time.Minute)
	ahead := time.Duration(0)
	r := start(t, settings{change: func(o *intake.Options) { o.Now = func() time.Time { return hold.Add(ahead) } }})
	limits := account.CredentialSettings{Limits: account.Limits{MessagesHour: 2, RecipientsDay: 6}}
	if err := r.accounts.UpdateCredential(t.Context(), r.user, limits); err != nil {
		t.Fatal(err)
	}
	c, err := r.login(t, r.user, r.password)
	if err != nil {
		t.Fatal(err)
	}
	one := []string{"someone@there.test"}
	later := func(err error, text string) {
		t.Helper()
		refusal(t, err, 450, smtp.Enhanced{4, 7, 1}, text)
	}
	if _, err := c.send("news@rival.test", one, letter("")); err == nil {
		t.Fatal("sent in another's name")
	}
	if _, err := c.send("news@shop.test", one, letter("")); err != nil {
		t.Fatal(err)
	}
	_, err = c.send("news@shop.test", []string{"a@there.test", "b@there.test", "c@there.test", "d@there.test", "e@there.test", "f@there.test"}, letter(""))
	later(err, "6 recipients a day; there is room again from "+hold.Add(24*time.Hour+30*time.Minute).Format("2006-01-02 15:04")+" UTC on")
	if _, err := c.send("news@shop.test", one, crlf("From: x@rival.test\nSubject: forged\n\nx\n")); err == nil {
		t.Fatal("a forged author is taken")
	}
	if _, err := c.send("news@shop.test", one, letter("")); err != nil {
		t.Fatal(err)
	}
	_, err = c.send("news@shop.test", one, letter(""))
	later(err, "2 messages an hour; there is room again from "+hold.Add(65*time.Minute).Format("2006-01-02 15:04"))
	_, err = c.send("news@shop.test", one, letter(""))
	later(err, r.user)
	if got := r.accounts.Spent(r.user, hold); got != (account.Spent{MessagesHour: 2, MessagesDay: 2, RecipientsDay: 2}) {
		t.Errorf("spent %+v", got)
	}
	// The relay door has no login, and so none of its limits.
	if _, err := r.connect(t, intake.Relay, "192.0.2.1").send("news@shop.test", one, letter("")); err != nil {
		t.Errorf("at the relay door: %v", err)
	}
	if err := r.journal.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, _, err := r.journal.Search(t.Context(), journal.Query{Kinds: []journal.Kind{journal.Limited}})
	if err != nil || len(facts) != 2 || facts[0].Credential != r.user || facts[0].NextAt.IsZero() || !strings.Contains(facts[0].Text+facts[1].Text, "2 messages an hour") {
		t.Errorf("facts: %+v %v", facts, err)
	}
	if n := r.counted("refused:limit"); n != 3 {
		t.Errorf("counted %d", n)
	}
	ahead = 65 * time.Minute
	if _, err := c.send("news@shop.test", one, letter("")); err != nil {
		t.Errorf("an hour later: %v", err)
	}
	uses, err := r.accounts.Uses(t.Context(), "shop", hold)
	if err != nil || len(uses[r.user]) == 0 {
		t.Fatalf("%v %v", uses, err)
	}
	var messages, refused int
	for _, d := range uses[r.user] {
		messages, refused = messages+d.Messages, refused+d.Refused
	}
	if messages != 3 || refused != 3 { // forged, and twice above the limit
		t.Errorf("history: %d taken, %d refused", messages, refused)
	}
}
