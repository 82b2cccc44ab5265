package feedback

import (
	"context"
	"fmt"
	"time"

	"postern/internal/provider"
	"postern/internal/suppression"
)

// Corrected is what a new look at the list changed.
type Corrected struct {
	Seen   int // entries that answers made
	Lifted int // of them, those whose evidence means something else today
}

// Turns of Rejudge.
const (
	correctAfter = 30 * time.Second // after the start, when there is other work
	correctEvery = 10 * time.Second // how soon a change of knowledge is seen
	correctPause = 20 * time.Millisecond
	correctAgain = 5 * time.Minute // after an error
)

// keepCorrect judges the list again at the start, since the program may know more than the one before it, and whenever the knowledge of receivers
// was read again.
func (f *Feedback) keepCorrect(ctx context.Context) {
	if f.o.Knowledge == nil {
		return
	}
	var judged *provider.Knowledge
	t := time.NewTimer(correctAfter)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		t.Reset(correctEvery)
		k := f.o.Knowledge()
		if k == judged {
			continue
		}
		if _, err := f.Rejudge(ctx); err != nil {
			if ctx.Err() == nil {
				f.o.Logger.Warn("feedback: the list was not judged again; will be tried again", "error", err)
			}
			t.Reset(correctAgain)
			continue
		}
		judged = k
	}
}

// Rejudge classifies the evidence of everything that answers put on the list once more, in small pieces, and lifts what no longer means that this
// recipient cannot be reached: a rule was wrong, and is not any more. Each lift stands in the journal. Strikes are judged again too.
func (f *Feedback) Rejudge(ctx context.Context) (Corrected, error) {
	if f.o.Suppression == nil || f.o.Knowledge == nil {
		return Corrected{}, nil
	}
	k := f.o.Knowledge()
	seen, gone, err := f.o.Suppression.Each(ctx, correctPause, func(s suppression.Strike) string { return misread(k, s) })
	for _, e := range gone {
		f.tell(lifted(e, misread(k, suppression.Strike{Address: e.Address, Reason: e.Reason, Evidence: e.Evidence})))
		f.o.Count("corrected")
	}
	c := Corrected{Seen: seen, Lifted: len(gone)}
	if err != nil {
		return c, fmt.Errorf("judge the list again: %w", err)
	}
	if c.Lifted > 0 {
		f.o.Logger.Info("addresses were on the list by a misreading, and are lifted", "lifted", c.Lifted, "of", c.Seen)
	}
	return c, nil
}

// misread says why evidence does not stand for what was made of it; "" when it does.
func misread(k *provider.Knowledge, s suppression.Strike) string {
	v := s.Evidence
	if v.Phase == fromDNS || v.Code == 0 && v.Enhanced == "" && v.Text == "" {
		return "" // no answer that could be read anew
	}
	a := provider.Answer{Provider: v.Provider, Phase: v.Phase, Code: v.Code, Enhanced: v.Enhanced, Text: v.Text}
	m := k.Classify(a)
	if a.Code == 0 {
		a.Code = 500
	}
	r := RuleOn(m, a)
	if r.Reason == s.Reason && r.Domain == (s.Address.Local == "") {
		return ""
	}
	by := m.Rule
	if by == "" {
		by = "the codes alone"
	}
	return fmt.Sprintf("the answer was misread (%s): by %s it means %s", v.Rule, by, m.Category)
}
