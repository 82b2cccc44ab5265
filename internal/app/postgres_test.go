package app_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"postern/internal/intake"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/store/storetest"
)

// idIn is the queue ID in a 250.
func idIn(t *testing.T, r smtp.Reply) mail.QueueID {
	t.Helper()
	words := strings.Fields(strings.Join(r.Lines, " "))
	if r.Code != 250 || len(words) < 4 {
		t.Fatalf("not accepted: %+v", r)
	}
	return mail.QueueID(words[3])
}

// TestPostgres: the whole gateway with its state in PostgreSQL and its folder lost at the restart: a large message is delivered, a bounce
// is told, a held message is shown, survives and leaves when it is released.
func TestPostgres(t *testing.T) {
	t.Parallel()
	config := fmt.Sprintf("storage: {url: %q}\n", storetest.PostgresURL(t, nil)) + customer
	a, r, _, stop := gateway(t, config)
	big := letter("A large order") + strings.Repeat("one more line of the order, and another half\n", 12_000)
	idIn(t, submit(t, a.Addresses("relay"), "news@customer.test", "someone@receiver.test", big).Data)
	if got := r.next(t); !bytes.HasSuffix(got.data, []byte(strings.ReplaceAll(big[len(big)-450:], "\n", "\r\n"))) {
		t.Errorf("the message of %d bytes arrived as %d", len(big), len(got.data))
	}
	idIn(t, submit(t, a.Addresses("relay"), "news@customer.test", "unknown@receiver.test", letter("Your order")).Data)
	if got := r.next(t); !bytes.Contains(got.data, []byte("Action: failed")) {
		t.Errorf("no notification of the bounce:\n%s", got.data)
	}
	bad := "From: The Shop <news@customer.test>\nTo: someone@receiver.test\nSubject: WIN\nDate: yesterday\nMIME-Version: 1.0\nContent-Type: text/html\n\n<CeNTer><a hReF=x>x</a>\n"
	id := idIn(t, submit(t, a.Addresses("relay"), "news@customer.test", "someone@receiver.test", bad).Data)
	r.next(t) // the notice
	resp, err := http.Get("http://" + a.Addresses("web") + strings.TrimPrefix(a.Links().For(id, id.Time()), "http://127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("page of the held message: %s", resp.Status)
	}
	stop()

	a, r, _, _ = gateway(t, config)
	if v, err := a.Desk().View(t.Context(), id); err != nil || v.Status != intake.Waiting || len(v.Verdict.Hits) == 0 {
		t.Fatalf("after the restart: %+v, %v", v, err)
	}
	if _, err := a.Desk().Release(t.Context(), id, "operator:test", false); err != nil {
		t.Fatal(err)
	}
	if got := r.next(t); !bytes.Contains(got.data, []byte("Subject: WIN")) {
		t.Errorf("released, but this arrived:\n%s", got.data)
	}
	waitFor(t, "an empty spool", func() bool {
		st, err := a.Spool().Stats(t.Context())
		return err == nil && st.Queued == 0 && st.Held == 0 && st.Silent == 0
	})
}
