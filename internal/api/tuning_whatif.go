package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
)

// whatIf tries a change on one page of messages of the past.
func (s *server) whatIf(ctx context.Context, in *customerBody[WhatIfRequest, *WhatIfRequest]) (*body[WhatIf], error) {
	f, err := s.tests()
	if err != nil {
		return nil, err
	}
	r := in.Body
	if err := s.scope(r.Customer); err != nil {
		return nil, err
	}
	change := filter.Change{Customer: r.Customer, Points: r.Points, Threshold: r.Threshold}
	for to, list := range map[*[]account.Entry][]ListEntry{&change.Add: r.Add, &change.Remove: r.Remove} {
		for _, x := range list {
			e, err := x.read(cmp.Or(x.Customer, r.Customer))
			if err != nil {
				return nil, err
			}
			*to = append(*to, e)
		}
	}
	if len(r.Points)+len(r.Add)+len(r.Remove) == 0 && r.Threshold == 0 {
		return nil, invalid("nothing would change: name points, a threshold or list entries")
	}
	trial, err := f.WhatIf(change)
	if err != nil {
		return nil, because(http.StatusUnprocessableEntity, "invalid", plain(err))
	}
	if r.Limit == 0 {
		r.Limit = whatIfPage
	}
	tested, next, err := s.o.Journal.Verdicts(ctx, journal.VerdictQuery{Customer: r.Customer, Limit: r.Limit, Cursor: r.Cursor})
	if err != nil {
		return nil, s.fail(err)
	}
	t := tally{by: map[string]*WhatIfCustomer{}}
	for _, x := range tested {
		t.count(x, trial)
	}
	out := t.sum()
	out.Next = next
	return &body[WhatIf]{out}, nil
}

// tally counts one page.
type tally struct {
	out WhatIf
	by  map[string]*WhatIfCustomer
}

func (t *tally) count(x journal.Tested, trial *filter.WhatIf) {
	c := t.by[x.Customer]
	if c == nil {
		c = &WhatIfCustomer{Customer: x.Customer}
		t.by[x.Customer] = c
	}
	c.Looked++
	if t.out.Newest.IsZero() {
		t.out.Newest = x.At
	}
	t.out.Oldest = x.At
	if !x.Known {
		c.Open++
		return
	}
	was := x.Kind != journal.Accepted
	out := trial.Judge(filter.Past{Customer: x.Customer, Threshold: x.Brief.Threshold, Points: x.Brief.Points, Subject: subjectOf(x), At: x.At})
	if out.Open {
		c.Open++
		return
	}
	if was {
		c.Then++
	}
	if out.Held {
		c.Would++
	}
	example := WhatIfMessage{ID: string(x.ID), At: x.At, Customer: x.Customer, From: clip(x.HeaderFrom, 200), Subject: clip(x.Subject, 200), Then: x.Score, Would: out.Score}
	switch {
	case out.Held && !was:
		if c.NewlyStopped++; len(t.out.Stopped) < whatIfExamples {
			t.out.Stopped = append(t.out.Stopped, example)
		}
	case was && !out.Held:
		if c.NewlyPassed++; len(t.out.Passed) < whatIfExamples {
			t.out.Passed = append(t.out.Passed, example)
		}
	}
}

// subjectOf is what the lists look at, as far as the journal keeps it: the first author and the first recipient.
func subjectOf(x journal.Tested) account.Subject {
	s := account.Subject{ClientIP: x.ClientIP, Credential: x.Credential}
	if a, err := mail.ParseAddress(x.HeaderFrom); err == nil {
		s.From = []mail.Address{a}
	}
	if a, err := mail.ParseAddress(x.Recipient); err == nil {
		s.To, s.ToMore = []mail.Address{a}, max(0, x.Recipients-1)
	}
	return s
}

func (t *tally) sum() WhatIf {
	for _, c := range t.by {
		t.out.Customers = append(t.out.Customers, *c)
	}
	t.out.total()
	return t.out
}

// total adds up the customers and puts them in order.
func (w *WhatIf) total() {
	w.Looked, w.Open, w.Then, w.Would, w.NewlyStopped, w.NewlyPassed = 0, 0, 0, 0, 0, 0
	for _, c := range w.Customers {
		w.Looked, w.Open, w.Then, w.Would = w.Looked+c.Looked, w.Open+c.Open, w.Then+c.Then, w.Would+c.Would
		w.NewlyStopped, w.NewlyPassed = w.NewlyStopped+c.NewlyStopped, w.NewlyPassed+c.NewlyPassed
	}
	slices.SortFunc(w.Customers, func(a, b WhatIfCustomer) int {
		return cmp.Or(cmp.Compare(b.NewlyStopped+b.NewlyPassed, a.NewlyStopped+a.NewlyPassed), cmp.Compare(b.Looked, a.Looked), strings.Compare(a.Customer, b.Customer))
	})
	if w.Customers == nil {
		w.Customers = []WhatIfCustomer{}
	}
	if w.Stopped == nil {
		w.Stopped = []WhatIfMessage{}
	}
	if w.Passed == nil {
		w.Passed = []WhatIfMessage{}
	}
}

// merge adds an older page.
func (w *WhatIf) merge(page WhatIf) {
	index := make(map[string]int, len(w.Customers))
	for i, c := range w.Customers {
		index[c.Customer] = i
	}
	for _, c := range page.Customers {
		i, known := index[c.Customer]
		if !known {
			w.Customers = append(w.Customers, c)
			continue
		}
		x := &w.Customers[i]
		x.Looked, x.Open, x.Then, x.Would = x.Looked+c.Looked, x.Open+c.Open, x.Then+c.Then, x.Would+c.Would
		x.NewlyStopped, x.NewlyPassed = x.NewlyStopped+c.NewlyStopped, x.NewlyPassed+c.NewlyPassed
	}
	w.Stopped = append(w.Stopped, page.Stopped[:min(len(page.Stopped), whatIfExamples-len(w.Stopped))]...)
	w.Passed = append(w.Passed, page.Passed[:min(len(page.Passed), whatIfExamples-len(w.Passed))]...)
	if w.Newest.IsZero() {
		w.Newest = page.Newest
	}
	if !page.Oldest.IsZero() {
		w.Oldest = page.Oldest
	}
	w.Next = page.Next
	w.total()
}

// Scores returns the points that are not the tests' own: of all customers, or what counts for one. all: every test.
func (c *Client) Scores(ctx context.Context, customer string, all bool) ([]TestScore, error) {
	q := values("customer", customer)
	if all {
		q.Set("all", "true")
	}
	out, err := get[Scores](ctx, c, "/v1/tuning/scores", q)
	return out.Scores, err
}

// SetScores gives tests other points.
func (c *Client) SetScores(ctx context.Context, r ScoresRequest) (Done, error) {
	return send[Done](ctx, c, http.MethodPut, "/v1/tuning/scores", r)
}

// UnsetScores gives tests their own points back.
func (c *Client) UnsetScores(ctx context.Context, r UnsetRequest) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/tuning/scores/unset", r)
}

// Entries returns the entries of a list ("allow", "deny", "": both), of all customers or what counts for one.
func (c *Client) Entries(ctx context.Context, kind, customer string) ([]ListEntry, error) {
	return pages(ctx, c, "/v1/tuning/lists", values("kind", kind, "customer", customer), func(p ListEntries) ([]ListEntry, string) { return p.Entries, p.Next })
}

// AddEntry puts something on a list.
func (c *Client) AddEntry(ctx context.Context, e ListEntry) (ListEntry, error) {
	return send[ListEntry](ctx, c, http.MethodPost, "/v1/tuning/lists", e)
}

// RemoveEntry takes something off a list.
func (c *Client) RemoveEntry(ctx context.Context, e ListEntry) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/tuning/lists/remove", e)
}

// WhatIf tries a change on the last messages of the past, page by page; progress hears how many were looked at after each. Cursor and Limit of
// the request are its own matter.
func (c *Client) WhatIf(ctx context.Context, r WhatIfRequest, last int, progress func(looked int)) (WhatIf, error) {
	var sum WhatIf
	sum.total()
	for left := last; left > 0; {
		r.Limit = min(left, whatIfPage)
		page, err := send[WhatIf](ctx, c, http.MethodPost, "/v1/tuning/what-if", r)
		if err != nil {
			return sum, err
		}
		sum.merge(page)
		if progress != nil {
			progress(sum.Looked)
		}
		if left, r.Cursor = left-r.Limit, page.Next; page.Next == "" {
			break
		}
	}
	sum.Next = ""
	return sum, nil
}
