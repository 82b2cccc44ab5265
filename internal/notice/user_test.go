package notice_test

import (
	"strings"
	"testing"
	"time"

	"postern/internal/notice"
)

// TestAccountGolden shows what people hear about their accounts, in both languages.
func TestAccountGolden(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "fr"} {
		for _, kind := range notice.AccountKinds() {
			t.Run(kind+"."+lang, func(t *testing.T) {
				d := newDesk(t)
				a := notice.Account{Kind: kind, To: address(t, "anna@shop.example"), Name: "Anna <b>\r\nBcc: x@y.example", Language: lang, At: start, From: "203.0.113.7", Agent: "Firefox on Linux",
					Help: "https://gate.example/me", Zone: time.FixedZone("", 3600)}
				if kind == "invite" || kind == "reset" {
					a.Link, a.Ends, a.Agent = "https://gate.example/"+kind+"/SECRET", start.Add(time.Hour), ""
				}
				if err := d.TellAccount(t.Context(), a); err != nil {
					t.Fatal(err)
				}
				got := d.one()
				if !got.Notice || !got.Envelope.ReversePath.IsNull() || strings.Contains(got.Subject, "SECRET") || got.Envelope.Recipients[0].Address != a.To {
					t.Errorf("envelope %+v", got)
				}
				golden(t, "user-"+kind+"."+lang, show(t, got))
			})
		}
	}
}

func TestAccountRefusesOtherKinds(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if err := d.TellAccount(t.Context(), notice.Account{Kind: "praise", To: address(t, "anna@shop.example")}); err == nil {
		t.Error("a notice of no kind was written")
	}
}
