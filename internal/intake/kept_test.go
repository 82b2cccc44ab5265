package intake_test

import (
	"errors"
	"testing"
	"time"

	"postern/internal/intake"
	"postern/internal/mail"
)

// TestSenderCannotUndoTheOperator: what a cut customer has in the hold, and what an operator set aside, leaves by the operator's hand alone,
// neither by the sender's release nor because his test again comes out well.
func TestSenderCannotUndoTheOperator(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(r *rooms, id mail.QueueID) error{
		"customer suspended": func(r *rooms, _ mail.QueueID) error { return r.accounts.SetSuspended(t.Context(), "shop", true) },
		"customer removed":   func(r *rooms, _ mail.QueueID) error { return r.accounts.SyncConfig(t.Context(), nil, "test") },
		"operator's hold":    func(r *rooms, id mail.QueueID) error { return r.spool.Hold(t.Context(), id, "operator", time.Time{}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, settings{scores: undocumented})
			id, desk := hold(t, r), r.Desk()
			if err := act(r, id); err != nil {
				t.Fatal(err)
			}
			publish(t, r)
			if v, err := desk.View(t.Context(), id); err != nil || v.CanRelease || v.WhyNot != "policy" {
				t.Errorf("%v: can release %v, why not %q", err, v.CanRelease, v.WhyNot)
			}
			if _, err := desk.Release(t.Context(), id, "sender", true); !errors.Is(err, intake.ErrNotAllowed) {
				t.Errorf("released: %v", err)
			}
			if v, err := desk.Retest(t.Context(), id, "sender"); err != nil || v.Status != intake.Waiting || v.Verdict.Score != 0 {
				t.Errorf("%v: after the sender's test %s, score %v", err, v.Status, v.Verdict.Score)
			}
			r.ahead.Add(int64(6 * time.Second))
			if v, err := desk.Retest(t.Context(), id, "operator:ann"); err != nil || v.Status != intake.Leaving {
				t.Errorf("%v: after the operator's test %s", err, v.Status)
			}
		})
	}
}
