package filter

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"postern/internal/account"
)

// Change is a change to try on verdicts of the past. The zero value changes nothing.
type Change struct {
	Customer  string             // Customer.ID whose points and lists change; "" = everybody's
	Points    map[string]float64 // by test; 0 switches it off
	Threshold float64            // instead of the one that counted then; 0 = as then
	Add       []account.Entry    // list entries more
	Remove    []account.Entry    // list entries less
}

// Past is a verdict of the past as far as it was kept: without evidence.
type Past struct {
	Customer  string
	Threshold float64
	Points    map[string]float64 // of the tests that fired
	Subject   account.Subject    // what lists look at, as far as it is known
	At        time.Time          // entries that had ended then do not count
}

// Outcome is what a change would have made of a message.
type Outcome struct {
	Held  bool
	Score float64 // shown to people, 0..15
	// Open: it cannot be told. The change gives points to a test that is switched off, so that nobody knows whether it would have fired, and
	// the message would be held with it and pass without it; or the lists look at recipients that were not kept.
	Open bool
}

// WhatIf judges messages of the past again under a change. Make one with Filter.WhatIf; it is for one goroutine, and keeps what it has
// learned of each customer.
//
// It is exact for what is a sum: points, threshold, lists. It leaves aside what would have come differently by itself: the sender's mean (AWL)
// moves with the scores, and rules that ask for a test do not fire when it is switched off.
type WhatIf struct {
	set      *settings
	accounts *account.Ledger
	change   Change
	lists    bool // the change is about lists
	known    map[string]*stance
}

// stance is what a customer's settings make of the change.
type stance struct {
	customer account.Customer
	tuned    account.Tuned
	lists    account.Tuned
	points   map[string]float64 // of the change, without those that his own override
	dormant  []string           // tests of points that are switched off today
}

// WhatIf prepares a trial. The error names what is wrong with the change.
func (f *Filter) WhatIf(c Change) (*WhatIf, error) {
	set := f.now.Load()
	for _, test := range slices.Sorted(maps.Keys(c.Points)) {
		if err := f.CheckPoints(test, c.Points[test]); err != nil {
			return nil, err
		}
	}
	if c.Threshold < 0 || c.Threshold > MaxScore {
		return nil, fmt.Errorf("threshold: %v; expected more than 0 and at most %v", c.Threshold, MaxScore)
	}
	w := &WhatIf{set: set, accounts: set.o.Accounts, change: c, lists: len(c.Add)+len(c.Remove) > 0, known: make(map[string]*stance)}
	if w.accounts == nil {
		return nil, fmt.Errorf("this filter knows no customers")
	}
	_, err := w.accounts.With(c.Customer, c.Remove, c.Add) // names what is wrong with an entry
	return w, err
}

// stance returns what counts for a customer.
func (w *WhatIf) stance(id string) *stance {
	if st, ok := w.known[id]; ok {
		return st
	}
	st := &stance{tuned: w.accounts.Tuned(id)}
	st.customer, _ = w.accounts.Customer(id) // one that is gone has no ceiling and no lists
	st.lists = st.tuned
	if w.lists {
		st.lists, _ = w.accounts.With(id, w.change.Remove, w.change.Add) // checked by WhatIf
	}
	if w.change.Customer == "" || w.change.Customer == id {
		st.points = make(map[string]float64, len(w.change.Points))
		for test, p := range w.change.Points {
			if _, own := st.tuned.OwnPoints(test); own && w.change.Customer == "" {
				continue // his own points take precedence over everybody's
			}
			st.points[test] = p
			now, set := st.tuned.Points(test)
			if p != 0 && (set && now == 0 || !set && w.set.off[test]) {
				st.dormant = append(st.dormant, test)
			}
		}
	}
	if len(w.known) < maxStances {
		w.known[id] = st
	}
	return st
}

// maxStances bounds the customers that a trial remembers.
const maxStances = 10_000

// Judge decides one message of the past again.
func (w *WhatIf) Judge(p Past) Outcome {
	st := w.stance(p.Customer)
	threshold := p.Threshold
	if w.change.Threshold > 0 && (w.change.Customer == "" || w.change.Customer == p.Customer) {
		threshold = w.change.Threshold
	}
	var s sum
	_, s.virus = p.Points[virusFound]
	for test, points := range p.Points {
		if decided(test) {
			continue
		}
		if other, ok := st.points[test]; ok {
			points = other
		}
		s.raw += points
		s.danger = s.danger || points > 0 && w.set.groups[test] == GroupDanger
	}
	s.raw = thousandth(s.raw)
	lists, unsure := w.standing(st, p)
	out := w.outcome(st, lists, s, threshold)
	if unsure && !lists.denied {
		out.Open = true
	}
	for _, test := range st.dormant {
		if _, fired := p.Points[test]; fired {
			continue
		}
		with := s
		with.raw = thousandth(s.raw + st.points[test])
		with.danger = s.danger || st.points[test] > 0 && w.set.groups[test] == GroupDanger
		if w.outcome(st, lists, with, threshold).Held != out.Held {
			out.Open = true
		}
	}
	return out
}

// standing is what lists say: as they did then, unless the change is about lists. The sender's own list is asked anew either way, since it
// speaks only for what is above the threshold.
func (w *WhatIf) standing(st *stance, p Past) (out standing, unsure bool) {
	_, out.denied = p.Points[denyListed]
	_, out.allowed = p.Points[allowListed]
	_, out.own = p.Points[customerAllowed]
	m := st.lists.Match(p.Subject, p.At)
	if w.lists {
		out.denied, out.allowed, unsure = len(m.Deny) > 0, len(m.Allow) > 0, m.Unsure
	}
	out.own = st.customer.SelfRelease && (out.own || len(ownEntries(m.Own, st.customer)) > 0)
	return out, unsure
}

func (w *WhatIf) outcome(st *stance, lists standing, s sum, threshold float64) Outcome {
	off := func(test string) bool {
		points, set := st.points[test]
		if !set {
			points, set = st.tuned.Points(test)
		}
		return set && points == 0 || !set && w.set.off[test]
	}
	test, points := decide(lists, s, threshold, st.customer.ReleaseCeiling, off)
	score := min(MaxScore, max(0, thousandth(s.raw+points)))
	return Outcome{Score: score, Held: score > threshold || s.virus || test == denyListed}
}
