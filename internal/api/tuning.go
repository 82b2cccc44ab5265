package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/user"
)

// TestScore is the points of one test where they are not its own.
type TestScore struct {
	Test     string    `json:"test"`
	Customer string    `json:"customer,omitempty" doc:"For whom; absent: for everybody"`
	Points   float64   `json:"points" doc:"0: the test is off"`
	Default  float64   `json:"default" doc:"The test's own points"`
	Group    string    `json:"group,omitempty"`
	Origin   string    `json:"origin,omitempty" enum:"config,database" doc:"Where it was set; absent: nowhere, these are its own points"`
	By       string    `json:"by,omitempty"`
	At       time.Time `json:"at,omitzero"`
}

// Scores are points of tests.
type Scores struct {
	Scores []TestScore `json:"scores" nullable:"false"`
}

// ScoresRequest gives tests other points.
type ScoresRequest struct {
	Customer string             `json:"customer,omitempty" maxLength:"64" doc:"For whom; absent: for everybody"`
	Points   map[string]float64 `json:"points" nullable:"false" minProperties:"1" maxProperties:"500" doc:"By test; 0 switches it off"`
}

// UnsetRequest gives tests their own points back.
type UnsetRequest struct {
	Customer string   `json:"customer,omitempty" maxLength:"64"`
	Tests    []string `json:"tests" nullable:"false" minItems:"1" maxItems:"500"`
}

// ListEntry is one line of an allow or deny list.
type ListEntry struct {
	Kind     string    `json:"kind" enum:"allow,deny"`
	Customer string    `json:"customer,omitempty" maxLength:"64" doc:"Whose mail it is about; absent: everybody's"`
	Entry    string    `json:"entry" maxLength:"400" doc:"from:ADDRESS, from-domain:DOMAIN, to:ADDRESS, to-domain:DOMAIN, client:ADDRESS or NETWORK, credential:USER"`
	Until    time.Time `json:"until,omitzero" doc:"When it ends; absent: never"`
	Note     string    `json:"note,omitempty" maxLength:"200" doc:"Why; the sender of a message that is stopped reads it"`
	Own      bool      `json:"own,omitempty" doc:"Made by the sender himself, with no more power than his releasing has"`
	Ended    bool      `json:"ended,omitempty" readOnly:"true"`
	Origin   string    `json:"origin,omitempty" readOnly:"true" enum:"config,database"`
	By       string    `json:"by,omitempty" readOnly:"true"`
	At       time.Time `json:"at,omitzero" readOnly:"true"`
	Warning  string    `json:"warning,omitempty" readOnly:"true" doc:"What is doubtful about an entry that was just added"`
}

// ListEntries are lines of allow and deny lists.
type ListEntries struct {
	Entries []ListEntry `json:"entries" nullable:"false"`
	Next    string      `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (l ListEntries) nextPage() string { return l.Next }

// WhatIfRequest is a change to try on the verdicts of the past.
type WhatIfRequest struct {
	Customer  string             `json:"customer,omitempty" maxLength:"64" doc:"Whose points, lists and messages; absent: everybody's"`
	Points    map[string]float64 `json:"points,omitempty" maxProperties:"500" doc:"By test; 0 switches it off"`
	Threshold float64            `json:"threshold,omitempty" minimum:"0" maximum:"15" doc:"Instead of the one that counted then"`
	Add       []ListEntry        `json:"add,omitempty" maxItems:"100" doc:"List entries more; only kind, customer, entry and own count"`
	Remove    []ListEntry        `json:"remove,omitempty" maxItems:"100" doc:"List entries less"`
	Limit     int                `json:"limit,omitempty" minimum:"0" maximum:"5000" doc:"Messages of this page; default 5000"`
	Cursor    string             `json:"cursor,omitempty" maxLength:"100" doc:"From the page before"`
}

// WhatIf is what a change would have made of messages of the past. Stopped means held or refused.
type WhatIf struct {
	Looked       int              `json:"looked" doc:"Messages looked at"`
	Open         int              `json:"open" doc:"Messages of which it cannot be told: no verdict was kept, the test was off, or recipients were not kept"`
	Then         int              `json:"then" doc:"Stopped then, of those of which it can be told"`
	Would        int              `json:"would" doc:"Stopped under the change"`
	NewlyStopped int              `json:"newly_stopped"`
	NewlyPassed  int              `json:"newly_passed"`
	Customers    []WhatIfCustomer `json:"customers" nullable:"false" doc:"The same by customer, the most changed first"`
	Stopped      []WhatIfMessage  `json:"stopped" nullable:"false" doc:"Some that would be stopped now"`
	Passed       []WhatIfMessage  `json:"passed" nullable:"false" doc:"Some that would pass now"`
	Newest       time.Time        `json:"newest,omitzero"`
	Oldest       time.Time        `json:"oldest,omitzero"`
	Next         string           `json:"next,omitempty" doc:"Cursor of the following page"`
}

func (w WhatIf) nextPage() string { return w.Next }

// WhatIfCustomer is one customer's part.
type WhatIfCustomer struct {
	Customer     string `json:"customer"`
	Looked       int    `json:"looked"`
	Open         int    `json:"open"`
	Then         int    `json:"then"`
	Would        int    `json:"would"`
	NewlyStopped int    `json:"newly_stopped"`
	NewlyPassed  int    `json:"newly_passed"`
}

// WhatIfMessage is one message that would fare otherwise.
type WhatIfMessage struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	Customer string    `json:"customer"`
	From     string    `json:"from,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	Then     float64   `json:"then" doc:"Score then"`
	Would    float64   `json:"would" doc:"Score under the change"`
}

// Bounds of a trial.
const (
	// MaxWhatIf is how many messages of the past one trial looks at.
	MaxWhatIf = 100_000
	// DefaultWhatIf is how many it looks at unless told otherwise.
	DefaultWhatIf = 10_000

	whatIfPage     = 5_000
	whatIfExamples = 20
)

func (r *ScoresRequest) scope() *string { return &r.Customer }
func (r *UnsetRequest) scope() *string  { return &r.Customer }
func (e *ListEntry) scope() *string     { return &e.Customer }
func (r *WhatIfRequest) scope() *string { return &r.Customer }

// addTuning registers points, lists and trials.
func (s *server) addTuning() {
	get, post, put := http.MethodGet, http.MethodPost, http.MethodPut
	add(s, get, "/v1/tuning/scores", "list-scores", "Points of tests where they are not their own", over(user.SetupRead), s.listScores)
	add(s, put, "/v1/tuning/scores", "set-scores", "Give tests other points, all of them or none", gateway(user.GatewayOperate).as("tests.set"), s.setScores)
	add(s, post, "/v1/tuning/scores/unset", "unset-scores", "Give tests their own points back", gateway(user.GatewayOperate).as("tests.unset").anew(), s.unsetScores)
	add(s, get, "/v1/tuning/lists", "list-entries", "Allow and deny lists", over(user.ListsRead), s.listEntries)
	add(s, post, "/v1/tuning/lists", "add-entry", "Put something on an allow or deny list", over(user.ListsWrite).as("list.add").anew(), s.addEntry)
	add(s, post, "/v1/tuning/lists/remove", "remove-entry", "Take something off a list", over(user.ListsWrite).as("list.remove").anew(), s.removeEntry)
	add(s, post, "/v1/tuning/what-if", "what-if", "What a change would have made of messages of the past; nothing is changed", gateway(user.GatewayRead), s.whatIf)
}

// tests refuses what cannot be done without the catalogue of tests.
func (s *server) tests() (*filter.Filter, error) {
	if s.o.Filter == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway tests nothing")
	}
	return s.o.Filter, nil
}

// scope checks that a customer exists; "" is everybody.
func (s *server) scope(id string) error {
	if id == "" {
		return nil
	}
	_, err := s.customer(id)
	return err
}

// tuned writes changes into the journal, under the name of who made them.
func (s *server) tuned(ctx context.Context, customer string, texts ...string) error {
	facts := make([]journal.Fact, len(texts))
	for i, text := range texts {
		facts[i] = journal.Fact{Kind: journal.Tuned, At: s.o.Now(), Customer: customer, Actor: actor(ctx), Text: text}
	}
	if err := s.o.Journal.Append(ctx, facts...); err != nil {
		return s.fail(fmt.Errorf("the change is in force, but the journal did not take it: %w", err))
	}
	s.o.Logger.Info("changed", "customer", customer, "what", clip(strings.Join(texts, "; "), 500), "actor", actor(ctx))
	return nil
}

type scoresIn struct {
	Customer string `query:"customer" maxLength:"64" doc:"What counts for this customer: his own points and everybody's"`
	All      bool   `query:"all" doc:"Every test, also those with their own points"`
}

func (in *scoresIn) scope() *string { return &in.Customer }

func (s *server) listScores(_ context.Context, in *scoresIn) (*body[Scores], error) {
	f, err := s.tests()
	if err != nil {
		return nil, err
	}
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	own := map[string]filter.Test{}
	order := map[string]int{}
	for i, t := range f.Catalogue() {
		own[t.Name], order[t.Name] = t, i
	}
	out := Scores{Scores: []TestScore{}}
	seen := map[string]bool{}
	overrides := s.o.Accounts.Overrides()
	for _, o := range overrides {
		if in.Customer != "" && o.Scope != in.Customer && (o.Scope != "" || slices.ContainsFunc(overrides, func(x account.Override) bool { return x.Scope == in.Customer && x.Test == o.Test })) {
			continue
		}
		seen[o.Test] = true
		t := own[o.Test]
		out.Scores = append(out.Scores, TestScore{Test: o.Test, Customer: o.Scope, Points: o.Points, Default: t.Points, Group: string(t.Group), Origin: o.Origin, By: o.By, At: o.At})
	}
	if in.All {
		for _, t := range own {
			if !seen[t.Name] {
				out.Scores = append(out.Scores, TestScore{Test: t.Name, Points: t.Points, Default: t.Points, Group: string(t.Group)})
			}
		}
		slices.SortFunc(out.Scores, func(x, y TestScore) int {
			return cmp.Or(cmp.Compare(order[x.Test], order[y.Test]), strings.Compare(x.Test, y.Test), strings.Compare(x.Customer, y.Customer))
		})
	}
	return &body[Scores]{out}, nil
}

func (s *server) setScores(ctx context.Context, in *customerBody[ScoresRequest, *ScoresRequest]) (*body[Done], error) {
	f, err := s.tests()
	if err != nil {
		return nil, err
	}
	r := in.Body
	if err := s.scope(r.Customer); err != nil {
		return nil, err
	}
	about(ctx, strings.Join(slices.Sorted(maps.Keys(r.Points)), " "), "")
	var faults, what []sentence
	var texts []string
	tuned := s.o.Accounts.Tuned(r.Customer)
	for _, test := range slices.Sorted(maps.Keys(r.Points)) {
		if err := f.CheckPoints(test, r.Points[test]); err != nil {
			faults = append(faults, sentence{"%v", []any{err}})
			continue
		}
		before := "as everybody"
		if p, ok := tuned.OwnPoints(test); ok && r.Customer != "" {
			before = number(p)
		} else if p, ok := tuned.Points(test); r.Customer == "" {
			if before = "its own"; ok {
				before = number(p)
			}
		}
		texts = append(texts, fmt.Sprintf("points of %s: %s (before: %s)", test, number(r.Points[test]), before))
		what = append(what, sentence{"%s %s", []any{test, number(r.Points[test])}})
	}
	if len(faults) > 0 {
		return nil, because(http.StatusUnprocessableEntity, "invalid", joined{faults, "\n"})
	}
	if err := s.o.Accounts.SetPoints(ctx, r.Customer, r.Points, actor(ctx)); err != nil {
		return nil, s.fail(err)
	}
	if err := s.tuned(ctx, r.Customer, texts...); err != nil {
		return nil, err
	}
	out := done("%s: %s; it counts from the next message on", forWhom(r.Customer), joined{what, ", "})
	out.Body.Count = len(r.Points)
	return out, nil
}

func (s *server) unsetScores(ctx context.Context, in *customerBody[UnsetRequest, *UnsetRequest]) (*body[Done], error) {
	r := in.Body
	if err := s.scope(r.Customer); err != nil {
		return nil, err
	}
	tests := slices.Compact(slices.Sorted(slices.Values(r.Tests)))
	about(ctx, strings.Join(tests, " "), "")
	if err := s.o.Accounts.UnsetPoints(ctx, r.Customer, tests...); err != nil {
		return nil, s.fail(err)
	}
	var texts []string
	for _, test := range tests {
		texts = append(texts, "points of "+clip(test, 100)+": no longer set")
	}
	if err := s.tuned(ctx, r.Customer, texts...); err != nil {
		return nil, err
	}
	out := done("%s: %s no longer set; it counts from the next message on", forWhom(r.Customer), strings.Join(tests, ", "))
	out.Body.Count = len(tests)
	return out, nil
}

func forWhom(customer string) sentence {
	if customer == "" {
		return say("for everybody")
	}
	return say("for customer %s", customer)
}

// number writes points without needless digits.
func number(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) }

func (s *server) entryOf(e account.Entry) ListEntry {
	return ListEntry{Kind: string(e.Kind), Customer: e.Scope, Entry: e.String(), Until: e.Until, Note: e.Note, Own: e.Own, Ended: e.Ended(s.o.Now()),
		Origin: e.Origin, By: e.By, At: e.At}
}

// read turns an entry into the ledger's; every fault is named.
func (e ListEntry) read(customer string) (account.Entry, error) {
	out, err := account.ParseEntry(e.Entry)
	if err != nil {
		return out, because(http.StatusUnprocessableEntity, "invalid", plain(err))
	}
	if !out.Until.IsZero() || out.Note != "" {
		return out, invalid("entry: write end and note into until and note")
	}
	out.Kind, out.Scope, out.Own, out.Until, out.Note = account.ListKind(e.Kind), customer, e.Own, e.Until, strings.TrimSpace(e.Note)
	return out, nil
}

type entriesIn struct {
	Paging
	Kind     string `query:"kind" enum:"allow,deny" doc:"Only this list"`
	Customer string `query:"customer" maxLength:"64" doc:"What counts for this customer: his own entries and everybody's; a token of a customer sees his own alone"`
}

func (in *entriesIn) scope() *string { return &in.Customer }

func (s *server) listEntries(ctx context.Context, in *entriesIn) (*body[ListEntries], error) {
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	everybodys := principal(ctx).Gateway()
	wanted := slices.DeleteFunc(s.o.Accounts.Entries(), func(e account.Entry) bool {
		return in.Kind != "" && in.Kind != string(e.Kind) || in.Customer != "" && e.Scope != in.Customer && (e.Scope != "" || !everybodys)
	})
	key := func(e account.Entry) string {
		return strings.Join([]string{e.Scope, string(e.Kind), string(e.What), e.Value, strconv.FormatBool(e.Own)}, "\x00")
	}
	slices.SortFunc(wanted, func(a, b account.Entry) int { return strings.Compare(key(a), key(b)) })
	wanted, next, err := pageOf(in.Paging, wanted, key)
	if err != nil {
		return nil, err
	}
	out := ListEntries{Entries: []ListEntry{}, Next: next}
	for _, e := range wanted {
		out.Entries = append(out.Entries, s.entryOf(e))
	}
	return &body[ListEntries]{out}, nil
}

type listEntryIn = customerBody[ListEntry, *ListEntry]

func (s *server) addEntry(ctx context.Context, in *listEntryIn) (*body[ListEntry], error) {
	about(ctx, in.Body.Kind+" "+in.Body.Entry, in.Body.Note)
	if err := s.ownEntry(ctx, &in.Body); err != nil {
		return nil, err
	}
	e, err := in.Body.read(in.Body.Customer)
	if err != nil {
		return nil, err
	}
	e.By = actor(ctx)
	if e, err = s.o.Accounts.AddEntry(ctx, e); err != nil {
		return nil, s.fail(err)
	}
	text := fmt.Sprintf("%s: %s added", listOf(e), e)
	if !e.Until.IsZero() {
		text += " until " + e.Until.UTC().Format(time.RFC3339)
	}
	if e.Note != "" {
		text += " (" + e.Note + ")"
	}
	if err := s.tuned(ctx, e.Scope, text); err != nil {
		return nil, err
	}
	out := s.entryOf(e)
	out.Warning = s.forgeable(reader(ctx), e)
	return &body[ListEntry]{out}, nil
}

// listOf names the list of an entry, as pages and the desk write it into the journal.
func listOf(e account.Entry) string {
	if e.Own {
		return "sender's own " + string(e.Kind) + " list"
	}
	return string(e.Kind) + " list"
}

// ownFor is how long an entry counts that a customer makes himself, as on his pages.
const ownFor = 90 * 24 * time.Hour

// ownEntry checks who may write an entry: a customer only his own, which have no more power than his releasing has.
func (s *server) ownEntry(ctx context.Context, e *ListEntry) error {
	if principal(ctx).Gateway() {
		if e.Own {
			return invalid("own: a sender's own entries are made on the page of his message, or with a token of his")
		}
		return s.scope(e.Customer)
	}
	c, err := s.customer(e.Customer)
	switch most := s.o.Now().Add(ownFor); {
	case err != nil:
		return err
	case e.Kind != string(account.Allow):
		return invalid("kind: a customer keeps an allow list only")
	case c.AnyFrom:
		return invalid("entry: whoever may write in any name keeps no allow list, because anybody could write the name on it")
	case e.Until.IsZero() || e.Until.After(most):
		e.Until = most
	}
	e.Own = true
	return nil
}

// forgeable warns of an entry that lets pass what anybody can write: From, at customers who may write in any name.
func (s *server) forgeable(lang string, e account.Entry) string {
	if e.Kind != account.Allow || e.What != account.WhatFrom && e.What != account.WhatFromDomain {
		return ""
	}
	var all []sentence
	for _, c := range s.o.Accounts.Customers() {
		if c.AnyFrom && (e.Scope == "" || e.Scope == c.ID) {
			all = append(all, sentence{"%s", []any{c.ID}})
		}
	}
	if len(all) == 0 {
		return ""
	}
	return s.render(lang, say("whoever sends through %s may write this into From and is let through; a client or credential cannot be written", few(all)))
}

// few names the first of some customers and counts the rest.
func few(all []sentence) sentence {
	if len(all) <= 3 {
		return sentence{"%s", []any{joined{all, ", "}}}
	}
	return say("%s and %d others", all[0], len(all)-1)
}

func (s *server) removeEntry(ctx context.Context, in *listEntryIn) (*body[Done], error) {
	about(ctx, in.Body.Kind+" "+in.Body.Entry, "")
	if err := s.scope(in.Body.Customer); err != nil {
		return nil, err
	}
	if !principal(ctx).Gateway() {
		in.Body.Own = true
	}
	e, err := in.Body.read(in.Body.Customer)
	if err != nil {
		return nil, err
	}
	if err := s.o.Accounts.RemoveEntry(ctx, e); err != nil {
		return nil, s.fail(err)
	}
	if err := s.tuned(ctx, e.Scope, fmt.Sprintf("%s: %s removed", listOf(e), e)); err != nil {
		return nil, err
	}
	return done("%s: %s is off the %s list; it counts from the next message on", forWhom(e.Scope), e, e.Kind), nil
}
