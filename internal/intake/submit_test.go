package intake_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"postern/internal/account"
	"postern/internal/intake"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/suppression"
)

// injected is a message for some recipients through the API, in the name of the shop.
func injected(t *testing.T, from string, message []byte, to ...string) intake.Injection {
	t.Helper()
	in := intake.Injection{Customer: "shop", Credential: "token:abc", ClientIP: netip.MustParseAddr("203.0.113.9"), Message: message,
		Envelope: mail.Envelope{ReversePath: address(t, from)}}
	for _, a := range to {
		in.Envelope.Recipients = append(in.Envelope.Recipients, mail.Recipient{Address: address(t, a)})
	}
	return in
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	out, err := r.Submit(t.Context(), injected(t, "news@shop.test", []byte("From: The Shop <news@shop.test>\nTo: someone@there.test\nBcc: secret@there.test\nSubject: Your order\n\nHello,\nhere it is."), "someone@there.test"))
	if err != nil || out.Held || out.Link != "" || out.ID == "" || len(out.Refused) != 0 {
		t.Fatalf("%+v %v", out, err)
	}
	w, body := r.one(t)
	if w.ID != out.ID || w.Customer != "shop" || w.Credential != "token:abc" || w.ClientIP.String() != "203.0.113.9" || w.Envelope.EightBit || w.Envelope.SMTPUTF8 {
		t.Errorf("stored %+v", w.Message)
	}
	for _, part := range []string{"with HTTP id\r\n " + string(out.ID), "\r\nDate: ", "\r\nMessage-ID: <", "\r\n\r\nHello,\r\nhere it is.\r\n"} {
		if !strings.Contains(body, part) {
			t.Errorf("the stored message lacks %q:\n%s", part, body)
		}
	}
	if strings.Contains(body, "secret@") {
		t.Error("the blind copy is told to all")
	}
	if got := r.kinds(t, out.ID); got != "accepted/rule" {
		t.Errorf("facts %s", got)
	}
}

// TestSubmitHeldAndRefused: the filter and the customer's mode are those of SMTP.
func TestSubmitHeldAndRefused(t *testing.T) {
	t.Parallel()
	bad := []byte("From: a@shop.test\n\nx\n")
	r := start(t, settings{scores: map[string]float64{"MISSING_SUBJECT": 5}})
	out, err := r.Submit(t.Context(), injected(t, "news@shop.test", bad, "someone@there.test"))
	if err != nil || !out.Held || out.Verdict.Score != 5 || !strings.HasPrefix(out.Link, "https://gate.test/m/") {
		t.Fatalf("%+v %v", out, err)
	}
	strict := shop()
	strict.Mode = account.ModeReject
	r = start(t, settings{customers: []account.Customer{strict}, scores: map[string]float64{"MISSING_SUBJECT": 5}})
	_, err = r.Submit(t.Context(), injected(t, "news@shop.test", bad, "someone@there.test"))
	var no *intake.Refusal
	if !errors.As(err, &no) || no.Code != 550 || no.Enhanced != "5.7.1" || no.Temporary() || no.ID == "" || !strings.Contains(no.Text, "score 5.0 is above 3.0") {
		t.Fatalf("%+v", err)
	}
	if v, err := r.Desk().View(t.Context(), no.ID); err != nil || v.Status != intake.Refused {
		t.Errorf("its page: %+v %v", v, err)
	}
	if mails, _ := r.queued(t); len(mails) != 0 {
		t.Error("kept")
	}
}

// TestSubmitLaws: what SMTP refuses is refused here, with the same codes, and nothing is stored.
func TestSubmitLaws(t *testing.T) {
	t.Parallel()
	fine := letter("")
	for _, tc := range []struct {
		name   string
		change func(*testing.T, *rooms, *intake.Injection)
		code   int
		text   string
	}{
		{"nobody's customer", func(_ *testing.T, _ *rooms, in *intake.Injection) { in.Customer = "nobody" }, 550, "suspended"},
		{"suspended", func(t *testing.T, r *rooms, _ *intake.Injection) {
			if err := r.accounts.SetSuspended(t.Context(), "shop", true); err != nil {
				t.Fatal(err)
			}
		}, 550, "suspended"},
		{"reverse path", func(t *testing.T, _ *rooms, in *intake.Injection) {
			in.Envelope.ReversePath = address(t, "x@rival.test")
		}, 550, "rival.test"},
		{"author", func(_ *testing.T, _ *rooms, in *intake.Injection) {
			in.Message = crlf("From: x@rival.test\nSubject: forged\n\nx\n")
		}, 550, "rival.test"},
		{"no recipient", func(_ *testing.T, _ *rooms, in *intake.Injection) { in.Envelope.Recipients = nil }, 554, "no recipients"},
		{"all suppressed", func(t *testing.T, r *rooms, _ *intake.Injection) {
			if err := r.list.Add(t.Context(), suppression.Entry{Customer: "shop", Address: address(t, "someone@there.test"), Reason: suppression.UnknownUser, By: "rule"}); err != nil {
				t.Fatal(err)
			}
		}, 550, "no such recipient"},
		{"loop", func(_ *testing.T, _ *rooms, in *intake.Injection) {
			in.Message = append([]byte(strings.Repeat("Received: from a by b; x\r\n", 60)), fine...)
		}, 554, "loop"},
		{"bare CR", func(_ *testing.T, _ *rooms, in *intake.Injection) {
			in.Message = append(fine[:len(fine):len(fine)], "a\rb\r\n"...)
		}, 554, "carriage return"},
		{"CR at the end", func(_ *testing.T, _ *rooms, in *intake.Injection) {
			in.Message = append(fine[:len(fine):len(fine)], '\r')
		}, 554, "carriage return"},
		{"NUL", func(_ *testing.T, _ *rooms, in *intake.Injection) {
			in.Message = append(fine[:len(fine):len(fine)], "a\x00b\r\n"...)
		}, 554, "NUL"},
		{"the spool is gone", func(_ *testing.T, r *rooms, _ *intake.Injection) { _ = r.spoolDB.Close() }, 451, "could not be stored"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, settings{})
			in := injected(t, "news@shop.test", fine, "someone@there.test")
			tc.change(t, r, &in)
			out, err := r.Submit(t.Context(), in)
			var no *intake.Refusal
			if !errors.As(err, &no) || no.Code != tc.code || no.Temporary() != (tc.code/100 == 4) || !strings.Contains(no.Text, tc.text) || out.ID != "" || no.ID != "" {
				t.Fatalf("%+v %#v", out, err)
			}
			if works, _, err := r.spool.List(t.Context(), spool.Filter{Limit: 10}); err == nil && len(works) != 0 {
				t.Error("something is stored")
			} else if err != nil && !errors.Is(err, store.ErrClosed) {
				t.Error(err)
			}
		})
	}
}

// TestSubmitForSome: recipients who are not written to are named, the others get the message.
func TestSubmitForSome(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	if err := r.list.Add(t.Context(), suppression.Entry{Customer: "shop", Address: address(t, "bob@there.test"), Reason: suppression.UnknownUser, By: "rule"}); err != nil {
		t.Fatal(err)
	}
	out, err := r.Submit(t.Context(), injected(t, "news@shop.test", letter(""), "ann@there.test", "bob@there.test", "zoé@there.test"))
	if err != nil || len(out.Refused) != 1 || out.Refused[0].Address.Local != "bob" || out.Refused[0].Why.Code != 550 {
		t.Fatalf("%+v %v", out, err)
	}
	w, _ := r.one(t)
	if len(w.Recipients) != 2 || !w.Envelope.SMTPUTF8 {
		t.Errorf("%d recipients, SMTPUTF8 %t", len(w.Recipients), w.Envelope.SMTPUTF8)
	}
}

// FuzzSubmit: whatever is handed over, what is stored has no line end but CRLF and no NUL.
func FuzzSubmit(f *testing.F) {
	for _, s := range []string{"a\nb", "a\r\nb\r\n", "\n", "", "a\rb", "a\r\r\nb", "\x00", "a\n\r\nb", "\r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := intake.Canonical(raw)
		if err != nil {
			return
		}
		text := string(out)
		if !strings.HasSuffix(text, "\r\n") || strings.ContainsAny(strings.ReplaceAll(text, "\r\n", ""), "\r\n\x00") {
			t.Errorf("%q becomes %q", raw, out)
		}
		if strings.ReplaceAll(text, "\r\n", "\n") != strings.ReplaceAll(string(raw), "\r\n", "\n")+map[bool]string{true: "\n"}[!strings.HasSuffix(string(raw), "\n")] {
			t.Errorf("%q becomes %q: something else was changed", raw, out)
		}
	})
}
