package intake_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
)

// TestPassedVerdictIsKept: what the tests said of a message that passed stays in the journal without evidence, and its page shows it when the
// message has left.
func TestPassedVerdictIsKept(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: map[string]float64{"DMARC_MISSING": 1.5, "SPF_PASS": -0.5}})
	if _, err := r.connect(t, intake.Relay, "192.0.2.1").send("news@shop.test", []string{"a@there.test"}, letter("")); err != nil {
		t.Fatal(err)
	}
	if err := r.journal.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, _ := r.one(t)
	all, _, err := r.journal.Verdicts(t.Context(), journal.VerdictQuery{})
	if err != nil || len(all) != 1 || !all[0].Known || all[0].Brief.Points["DMARC_MISSING"] != 1.5 || all[0].Brief.Threshold != 3 || all[0].ID != w.ID {
		t.Fatalf("%+v %v", all, err)
	}
	if v, err := r.Desk().View(t.Context(), w.ID); err != nil || len(v.Verdict.Hits) == 0 || len(v.Verdict.Hits[0].Evidence) == 0 {
		t.Errorf("while it is here its page shows all: %+v %v", v.Verdict, err)
	}
	if err := r.spool.Drop(t.Context(), w.ID, "test"); err != nil {
		t.Fatal(err)
	}
	v, err := r.Desk().View(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	if h, fired := v.Verdict.Hit("DMARC_MISSING"); !fired || h.Points != 1.5 || len(h.Evidence) != 0 || v.Verdict.Hits[0].Test != "DMARC_MISSING" ||
		v.Verdict.Threshold != 3 || v.Verdict.Held || v.Verdict.At.IsZero() || v.Verdict.Score != all[0].Score {
		t.Errorf("%+v", v.Verdict)
	}
}

// TestRecoveredVerdictIsKept: a fact that is written again after a crash has the verdict too.
func TestRecoveredVerdictIsKept(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	verdict, _ := json.Marshal(map[string]any{"raw": 1.2, "score": 1.2, "threshold": 3, "at": time.Now(), "hits": []any{map[string]any{"test": "SPF_NONE", "points": 1.2}}})
	m := spool.Message{ID: mail.NewQueueID(time.Now()), Customer: "shop", Received: time.Now(), Expires: time.Now().Add(time.Hour), Body: letter(""), Verdict: verdict,
		Envelope: mail.Envelope{ReversePath: address(t, "news@shop.test"), Recipients: []mail.Recipient{{Address: address(t, "a@there.test")}}}}
	if err := r.spool.Put(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Recover(t.Context()); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	all, _, err := r.journal.Verdicts(t.Context(), journal.VerdictQuery{})
	if err != nil || len(all) != 1 || all[0].Brief.Points["SPF_NONE"] != 1.2 {
		t.Errorf("%+v %v", all, err)
	}
}

// TestDeniedIsForTheOperator: what an operator denied is not the sender's to test or release, whatever his ceiling; once the entry is gone, an
// operator's test lets it leave.
func TestDeniedIsForTheOperator(t *testing.T) {
	t.Parallel()
	c := shop()
	c.SelfRelease, c.ReleaseCeiling = true, 15
	r := start(t, settings{customers: []account.Customer{c, rival()}, real: true})
	entry := account.Entry{Kind: account.Deny, What: account.WhatFromDomain, Value: "shop.test", Note: "phone call", By: "operator:ann"}
	if _, err := r.accounts.AddEntry(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	reply, err := r.connect(t, intake.Relay, "192.0.2.1").send("news@shop.test", []string{"a@there.test"}, letter(""))
	if err != nil || reply.Code != 250 {
		t.Fatal(reply, err)
	}
	mails, _ := r.queued(t)
	id, desk := mails[0].ID, r.Desk()
	if v, err := desk.View(t.Context(), id); err != nil || v.CanRelease || v.CanRetest || v.WhyNot != "denied" || v.Verdict.Score != 15 {
		t.Errorf("%+v %v", v, err)
	}
	if _, err := desk.Release(t.Context(), id, "sender", true); !errors.Is(err, intake.ErrNotAllowed) {
		t.Errorf("released: %v", err)
	}
	if _, err := desk.Retest(t.Context(), id, "sender"); !errors.Is(err, intake.ErrNotAllowed) {
		t.Errorf("tested: %v", err)
	}
	if err := r.accounts.RemoveEntry(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	if v, err := desk.Retest(t.Context(), id, "operator:ann"); err != nil || v.Verdict.Locked {
		t.Errorf("%+v %v", v.Verdict, err)
	}
}
