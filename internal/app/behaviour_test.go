package app_test

import (
	"fmt"
	"strings"
	"testing"

	"postern/internal/mail"
)

// TestBehaviour: what the recipients' servers answer counts for whoever sent, and holds his next messages; testing such a message again later does
// not let it go.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	a, r, _, _ := gateway(t, customer)
	go func() {
		for {
			select {
			case <-t.Context().Done():
				return
			case <-r.come:
			}
		}
	}()
	var held mail.QueueID
	n := 0
	for ; held == "" && n < 1000; n++ {
		to := fmt.Sprintf("reader%d@receiver.test", n)
		if n%5 == 0 {
			to = "unknown-" + to
		}
		res := submit(t, a.Addresses("relay"), "news@customer.test", to, letter("Your order"))
		said := strings.Join(res.Data.Lines, " ")
		if res.Data.Code != 250 {
			t.Fatalf("message %d: %+v", n+1, res.Data)
		}
		if strings.Contains(said, "(held: ") {
			held = mail.QueueID(strings.Fields(said)[3])
		}
	}
	if held == "" {
		t.Fatal("nothing is held")
	}
	check := func() {
		t.Helper()
		v, err := a.Desk().View(t.Context(), held)
		if err != nil {
			t.Fatal(err)
		}
		var evidence []string
		for _, h := range v.Verdict.Hits {
			if h.Test == "UNKNOWN_USERS" || h.Test == "VOLUME_UNUSUAL" {
				evidence = append(evidence, h.Evidence...)
			}
		}
		if len(evidence) != 2 || !strings.Contains(strings.Join(evidence, ""), "author domain customer.test") || !v.Verdict.Held {
			t.Errorf("held %t for %q of %+v", v.Verdict.Held, evidence, v.Verdict.Hits)
		}
	}
	t.Logf("message %d is held", n)
	check()
	if _, err := a.Desk().Retest(t.Context(), held, "sender"); err != nil {
		t.Fatal(err)
	}
	check()
}
