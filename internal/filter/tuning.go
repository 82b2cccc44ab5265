package filter

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/near"
)

// Points that people set (account.Tuned): a customer's own, else everybody's, else those of filter.scores, else the catalogue's. 0 switches a
// test off. They hold for rules like for the tests written here. Tests whose points are made for each message, or that must not be
// touched, keep theirs (fixedPoints).
//
// Lists of allowed and denied senders, when all other tests are done, each taking precedence over those below it:
//
//  1. An operator's deny: DENY_LISTED, +100, and the message is locked: held or refused whatever its points, released by an operator
//     only. No allow counts beside it, whoever wrote it: when two operators disagree, waiting can be undone and sending cannot.
//  2. A virus: no list lets it through.
//  3. An operator's allow: ALLOW_LISTED, -100 or as much as it takes: never held. It may rest on From alone, which a forger writes. The
//     operator knows his network and can name a client or a login instead; at customers without any_from, From is bound to their domains.
//  4. The sender's own allow: CUSTOMER_ALLOWED. It has the power of the release that he may do by himself, no more:
//     - Points are threshold minus release ceiling. With them the score is at or below the threshold exactly when it was at or below the
//     ceiling. Above the ceiling they are 0: points taken off there would bring a message that only an operator may release within reach of
//     the sender's own release.
//     - Only with self_release, and only while the message is above the threshold: what passes anyway needs nothing.
//     - Who releases by hand has looked at the message; an entry looks at nothing. So it does not cover what is marked as fraud, phishing or a
//     script that was broken into (GroupDanger), whatever the points.
//     - An entry on From does not count at customers with any_from: there anybody in the network writes what he likes into From. At
//     others From was bound to the customer's domains before the tests ran, so a stranger cannot use it; who has broken into the
//     account can, and gets what the ceiling gives, without danger marks, from this one address.
//     - Logins, networks and whole From domains cannot be entered (package account): they would cover all that a hacked account sends.

// Tests of this file.
const (
	allowListed     = "ALLOW_LISTED"
	denyListed      = "DENY_LISTED"
	customerAllowed = "CUSTOMER_ALLOWED"
)

// listPoints are what a list of an operator counts for.
const listPoints = 100.0

// decided reports whether a test stands for a decision of people, which says nothing of the message or its sender.
func decided(test string) bool {
	return test == allowListed || test == denyListed || test == customerAllowed
}

// Denied reports whether an operator's list is what stops the message.
func (v Verdict) Denied() bool {
	_, denied := v.Hit(denyListed)
	return denied
}

// Dangerous reports whether a test of GroupDanger counts against the message: fraud, phishing, a script that was broken into.
func (f *Filter) Dangerous(v Verdict) bool {
	groups := f.now.Load().groups
	return slices.ContainsFunc(v.Hits, func(h Hit) bool { return h.Points > 0 && groups[h.Test] == GroupDanger })
}

// fixedPoints says why a test cannot have these points; "" when it can.
func fixedPoints(test string, points float64) string {
	why, fixed := fixedScores[test]
	switch {
	case fixed:
		return why
	case points == 0:
		return ""
	case test == "AWL":
		return "its points depend on the sender's past; 0 switches it off, nothing else can be set"
	case test == rspamdSuspect:
		return "its points are made of rspamd's, see filter.rspamd.factor; 0 switches it off"
	case decided(test):
		return "its points are what makes the lists work; 0 switches it off, nothing else can be set"
	}
	return ""
}

// set returns the points that people gave a test of this message, if they did.
func (s *scan) set(test string) (points float64, ok bool) {
	if points, ok = s.tuned.Points(test); ok {
		if _, fixed := fixedScores[test]; fixed {
			return 0, false
		}
	}
	return points, ok
}

// silent reports whether a test is switched off for this message.
func (s *scan) silent(test string) bool {
	if points, ok := s.set(test); ok {
		return points == 0
	}
	return s.off[test]
}

// ruleScores are the points that the run of the rules needs to know. The map is shared: nobody changes it.
func (s *scan) ruleScores() map[string]float64 {
	if all := s.tuned.All(); len(all) > 0 {
		return all
	}
	return s.o.Scores
}

// checkDecisions asks the lists, when all other tests are done.
func checkDecisions(_ context.Context, s *scan) {
	if !s.tuned.Lists() {
		return
	}
	m := s.tuned.Match(s.subject(), s.Now)
	if len(m.Deny)+len(m.Allow)+len(m.Own) == 0 {
		return
	}
	s.mu.Lock()
	sum := sumOf(s.hits)
	for _, h := range s.hits {
		sum.virus = sum.virus || h.Test == virusFound
		sum.danger = sum.danger || h.Points > 0 && s.groups[h.Test] == GroupDanger
	}
	s.mu.Unlock()
	standing := standing{denied: len(m.Deny) > 0, allowed: len(m.Allow) > 0}
	own := ownEntries(m.Own, s.Customer)
	standing.own = len(own) > 0
	threshold := s.Customer.Threshold
	if threshold == 0 {
		threshold = DefaultThreshold
	}
	test, points := decide(standing, sum, threshold, s.Customer.ReleaseCeiling, s.silent)
	entries := map[string][]account.Entry{denyListed: m.Deny, allowListed: m.Allow, customerAllowed: own}[test]
	if test == "" {
		return
	}
	var evidence []string
	for _, e := range entries {
		evidence = append(evidence, entryEvidence(e))
	}
	if test == customerAllowed && points == 0 {
		evidence = append(evidence, fmt.Sprintf("does not count: %.1f points without it, and the sender may release up to %.1f, without marks of fraud", sum.raw, s.Customer.ReleaseCeiling))
	}
	s.hitFor(test, points, map[string]string{"What": entries[0].String()}, evidence...)
}

// entryEvidence names an entry with its note. Who made it is in the journal, and for operators in their lists.
func entryEvidence(e account.Entry) string {
	text := e.String()
	if !e.Until.IsZero() {
		text += " until " + e.Until.UTC().Format("2006-01-02 15:04 UTC")
	}
	if e.Note != "" {
		text += " (" + e.Note + ")"
	}
	return text
}

// subject is what lists look at. A message with several From fields has no author that a list could speak for: receivers show one of
// them, and nobody knows which.
func (s *scan) subject() account.Subject {
	out := account.Subject{ClientIP: s.ClientIP, Credential: s.Credential}
	for _, b := range s.Message.From() {
		out.From = append(out.From, b.Address)
	}
	if s.Message.FromFields() > 1 {
		out.From = append(out.From, mail.Address{}) // on no allow list
	}
	for _, r := range s.Envelope.Recipients {
		out.To = append(out.To, r.Address)
	}
	return out
}

// ownEntries are the sender's own entries that count for a customer.
func ownEntries(all []account.Entry, c account.Customer) []account.Entry {
	if !c.SelfRelease {
		return nil
	}
	if !c.AnyFrom {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(e account.Entry) bool { return e.What == account.WhatFrom || e.What == account.WhatFromDomain })
}

// standing is what lists say of a message.
type standing struct{ denied, allowed, own bool }

// sum is what the other tests say of it.
type sum struct {
	raw           float64 // points without those of lists
	virus, danger bool
}

// sumOf adds up the points of all tests but those of lists, to a thousandth.
func sumOf(hits []Hit) sum {
	var s sum
	for _, h := range hits {
		if !decided(h.Test) {
			s.raw += h.Points
		}
	}
	s.raw = thousandth(s.raw)
	return s
}

// thousandth cuts what adding decimal fractions leaves behind; the result is never a negative zero.
func thousandth(points float64) float64 { return math.Round(points*1000)/1000 + 0 }

// decide names the test of the lists that fires and its points; "" when none does.
func decide(st standing, s sum, threshold, ceiling float64, silent func(test string) bool) (test string, points float64) {
	switch {
	case st.denied && !silent(denyListed):
		return denyListed, listPoints
	case s.virus:
		return "", 0
	case st.allowed && !silent(allowListed):
		return allowListed, -math.Max(listPoints, math.Ceil(s.raw))
	case st.own && !silent(customerAllowed) && s.raw > threshold:
		if s.danger || s.raw > ceiling {
			return customerAllowed, 0
		}
		return customerAllowed, thousandth(threshold - ceiling)
	}
	return "", 0
}

// Catalogue returns all tests that this filter can report, the operator's rules included, with their own points: without regard to what
// people set.
func (f *Filter) Catalogue() []Test { return append(nativeTests(), f.now.Load().book.Tests()...) }

// CheckPoints says why a test cannot have these points, or nil. A name that is no test's is told with those nearest to it.
func (f *Filter) CheckPoints(test string, points float64) error {
	set := f.now.Load()
	if _, ok := set.points[test]; !ok {
		return fmt.Errorf("there is no test %s%s", clip(test, 64), didYouMean(test, set.points))
	}
	if why := fixedPoints(test, points); why != "" {
		return fmt.Errorf("%s: %s", test, why)
	}
	return nil
}

// didYouMean names the tests nearest to a word: those that differ by few letters, else those that hold it.
func didYouMean(word string, tests map[string]float64) string {
	word = strings.ToUpper(word)
	if word == "" || len(word) > 64 {
		return ""
	}
	type match struct {
		name  string
		steps int
	}
	var found []match
	for name := range tests {
		switch steps := near.Distance(word, name); {
		case steps <= max(2, len(word)/4):
			found = append(found, match{name, steps})
		case len(word) >= 3 && strings.Contains(name, word):
			found = append(found, match{name, 100 + len(name)})
		}
	}
	if len(found) == 0 {
		return "; `postern tune scores list` shows all"
	}
	slices.SortFunc(found, func(a, b match) int {
		if a.steps != b.steps {
			return a.steps - b.steps
		}
		return strings.Compare(a.name, b.name)
	})
	var names []string
	for _, n := range found[:min(3, len(found))] {
		names = append(names, n.name)
	}
	return "; did you mean " + strings.Join(names, " or ") + "?"
}
