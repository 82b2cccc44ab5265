package intake_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/opinion"
	"postern/internal/smtp"
)

// scanner says what it is told to at the moment.
type scanner struct {
	now atomic.Pointer[said]
}

type said struct {
	answer opinion.Answer
	err    error
}

func (s *scanner) says(a opinion.Answer, err error) { s.now.Store(&said{a, err}) }

func (s *scanner) Ask(context.Context, opinion.Question) (opinion.Answer, error) {
	x := s.now.Load()
	return x.answer, x.err
}

// TestVirusIsForTheOperator: however generous the customer's policy is, and whatever the scanner does later, no act of the sender lets the
// message go.
func TestVirusIsForTheOperator(t *testing.T) {
	t.Parallel()
	var clamd scanner
	clamd.says(opinion.Answer{Signature: "Made.Up-1"}, nil)
	c := shop()
	c.SelfRelease, c.ReleaseCeiling, c.Threshold = true, 15, 15
	r := start(t, settings{customers: []account.Customer{c}, opinions: []filter.Opinion{{Name: "clamd", Asker: &clamd}}})
	id, desk := hold(t, r), r.Desk()
	closed := func(when string) {
		t.Helper()
		if v, err := desk.View(t.Context(), id); err != nil || v.Status != intake.Waiting || v.CanRelease || v.CanRetest || v.WhyNot != "locked" || !v.Verdict.Locked {
			t.Errorf("%s: %v, %s, can release %v, can test %v, why not %q", when, err, v.Status, v.CanRelease, v.CanRetest, v.WhyNot)
		}
		for name, err := range map[string]error{"release": second(desk.Release(t.Context(), id, "sender", true)), "test": second(desk.Retest(t.Context(), id, "sender"))} {
			if !errors.Is(err, intake.ErrNotAllowed) {
				t.Errorf("%s: the sender's %s: %v", when, name, err)
			}
		}
	}
	closed("held")
	away := &opinion.Error{Scanner: "clamd", Kind: opinion.ErrUnavailable}
	clamd.says(opinion.Answer{}, away)
	if _, err := desk.Retest(t.Context(), id, "operator:ann"); !errors.Is(err, filter.ErrUnscanned) {
		t.Errorf("tested without the scanner: %v", err)
	}
	closed("scanner away")
	r.ahead.Add(int64(6 * time.Second))
	clamd.says(opinion.Answer{}, nil)
	closed("scanner has changed its mind, and nobody asked it")
	if v, err := desk.Retest(t.Context(), id, "operator:ann"); err != nil || v.Status != intake.Leaving {
		t.Errorf("%v: after the operator's test %s", err, v.Status)
	}
}

// TestOperatorReleasesAVirus: he may, knowing better than the scanner.
func TestOperatorReleasesAVirus(t *testing.T) {
	t.Parallel()
	var clamd scanner
	clamd.says(opinion.Answer{Signature: "Made.Up-1"}, nil)
	r := start(t, settings{opinions: []filter.Opinion{{Name: "clamd", Asker: &clamd, Closed: true}}})
	id := hold(t, r)
	if v, err := r.Desk().Release(t.Context(), id, "operator:ann", false); err != nil || v.Status != intake.Leaving {
		t.Errorf("%v, %s", err, v.Status)
	}
}

// TestScannerThatMustAnswer: no answer is 451 and nothing kept; a size that it never takes is refused for good.
func TestScannerThatMustAnswer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		kind   error
		closed bool
		code   int
		event  string
	}{
		{"away", opinion.ErrUnavailable, true, 451, "refused:scanner"},
		{"nonsense", opinion.ErrProtocol, true, 451, "refused:scanner"},
		{"too large", opinion.ErrTooLarge, true, 552, "refused:unscannable"},
		{"away, and need not answer", opinion.ErrUnavailable, false, 250, "accepted"},
		{"too large, and need not answer", opinion.ErrTooLarge, false, 250, "accepted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var clamd scanner
			clamd.says(opinion.Answer{}, &opinion.Error{Scanner: "clamd", Kind: tc.kind, Detail: "192.0.2.200"})
			r := start(t, settings{opinions: []filter.Opinion{{Name: "clamd", Asker: &clamd, Closed: tc.closed}}})
			reply, err := r.connect(t, intake.Relay, "192.0.2.1").send("news@shop.test", []string{"a@there.test"}, letter(""))
			code := reply.Code
			if refusal := new(smtp.Error); errors.As(err, &refusal) {
				code = refusal.Code
			}
			kept, _ := r.queued(t)
			if code != tc.code || len(kept) > 0 != (tc.code == 250) || !slices.Contains(r.events, tc.event) {
				t.Errorf("%d (%v), %d kept, events %v", code, err, len(kept), r.events)
			}
		})
	}
}
