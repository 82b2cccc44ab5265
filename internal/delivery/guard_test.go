package delivery_test

import (
	"testing"

	"postern/internal/delivery"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/notice"
)

// TestPoison: a panic while a notice is written ends neither the gateway nor the settling of everything else.
func TestPoison(t *testing.T) {
	t.Parallel()
	w, _ := simple(t, func(o *delivery.Options) {
		catalog, err := locale.New()
		if err != nil {
			t.Fatal(err)
		}
		links, err := notice.NewLinks("https://gate.test", make([]byte, 32), 0)
		if err != nil {
			t.Fatal(err)
		}
		o.Notices, err = notice.New(notice.Options{Accounts: o.Accounts, Spool: o.Spool, Catalog: catalog, Links: links, Hostname: "gate.test",
			Told: func(notice.Told) { panic("poison") }})
		if err != nil {
			t.Fatal(err)
		}
	})
	id := w.send("r550@there.test")
	w.await("bounced", 1)
	w.expect(id, "r550@there.test", journal.Bounced, 550, "")
	id = w.send("you@there.test")
	w.await("delivered", 1)
	w.expect(id, "you@there.test", journal.Delivered, 250, "")
}
