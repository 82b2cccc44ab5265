package portal

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/user"
)

// Bounds of the list of held messages.
const (
	heldRows    = 50 // messages of one page
	mostAtOnce  = 100
	retestTasks = 4 // messages tested at one time: each asks dozens of DNS questions
)

// heldRoutes are the list of a customer's held messages and the acts on several of them.
func (s *site) heldRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/c/{customer}/held", access: over(user.MailRead), do: s.heldList},
		{method: http.MethodGet, path: "/c/{customer}/held/delete", access: over(user.MailAct), do: s.heldSure},
		{method: http.MethodPost, path: "/c/{customer}/held/retest", access: over(user.MailAct), act: "message.retest", do: s.heldAct("retest")},
		{method: http.MethodPost, path: "/c/{customer}/held/release", access: over(user.MailAct), act: "message.release", do: s.heldAct("release")},
		{method: http.MethodPost, path: "/c/{customer}/held/delete", access: over(user.MailAct), act: "message.drop", do: s.heldAct("drop")},
	}
}

// heldList is the list of held messages.
type heldList struct {
	page
	Rows   []heldRow
	Pager  pager
	MayAct bool
	Lede   string
	Policy string // who may release
	Base   string // address of the list
	Sure   bool   // the page asks whether the rows are to be deleted
}

// heldRow is one held message.
type heldRow struct {
	ID       string
	URL      string
	From, To string
	Subject  string
	Score    string
	Over     bool
	Why      string
	Received string
	Stamp    string
	Until    string
	Select   string // label of its box
}

func (s *site) heldList(v *visit) { s.showHeld(v, http.StatusOK, nil) }

func (s *site) showHeld(v *visit, status int, said *banner) {
	base := "/c/" + v.customer.ID + "/held"
	works, next, err := s.o.Spool.List(v.r.Context(), spool.Filter{State: spool.Held, Customer: v.customer.ID, Limit: heldRows, Cursor: cursorOf(v.r)})
	if err != nil {
		v.broken("held messages not listed", err)
		return
	}
	h := heldList{page: v.page, MayAct: v.who.May(user.MailAct, v.customer.ID), Base: base}
	h.Title, h.Lede = h.T("held.title"), h.T("held.lede")
	if said != nil {
		h.Banner = said
	}
	switch {
	case v.who.Gateway():
		h.Policy = h.T("held.policy.operator")
	case v.customer.Suspended:
		h.Policy = h.T("held.policy.suspended")
	case v.customer.SelfRelease:
		h.Policy = h.T("held.policy.self", "Ceiling", v.customer.ReleaseCeiling)
	default:
		h.Policy = h.T("held.policy.none")
	}
	for _, w := range works {
		h.Rows = append(h.Rows, h.heldRow(base, w))
	}
	h.Pager = h.pages(base, next)
	v.show(status, "held.html", h)
}

// cursorOf is where the page of a list begins, as the address says; a queue ID has 26 characters.
func cursorOf(r *http.Request) string {
	c := r.URL.Query().Get("cursor")
	if len(c) > 400 {
		return ""
	}
	return c
}

// pages are the links of a list's pages. next is the cursor of the following page; pairs are kept.
func (p page) pages(path, next string, pairs ...string) pager {
	var out pager
	if p.query.Get("cursor") != "" {
		out.First = p.URL(path, pairs...)
	}
	if next != "" {
		out.Next = p.URL(path, append(pairs, "cursor", next)...)
	}
	return out
}

// heldRow puts a held message into a line. base is the address of the list beside which the messages' pages stand.
func (p page) heldRow(base string, w spool.Work) heldRow {
	row := heldRow{ID: string(w.ID), URL: p.URL(messagesBeside(base) + "/" + string(w.ID)), From: clean(w.HeaderFrom, 200), Subject: clean(w.Subject, 200),
		Why: p.holdReason(w), Received: p.date(w.Received), Stamp: w.Received.UTC().Format(time.RFC3339)}
	if row.Subject == "" {
		row.Subject = p.T("facts.no_subject")
	}
	if row.From == "" {
		row.From = clean(w.Envelope.ReversePath.String(), 200)
	}
	row.Select = p.T("held.select", "Subject", row.Subject)
	if to := w.Envelope.Recipients; len(to) > 0 {
		row.To = clean(to[0].Address.String(), 200)
		if len(to) > 1 {
			row.To = p.T("facts.to_more", "First", row.To, "Count", len(to)-1)
		}
	}
	if len(w.Verdict) > 0 {
		row.Score = p.number(w.Score, -1)
	}
	if !w.HoldUntil.IsZero() {
		row.Until = p.date(w.HoldUntil)
	}
	return row
}

// messagesBeside is the address of the messages' pages that belong to a list of held mail: of a customer, or of the operator.
func messagesBeside(base string) string { return base[:len(base)-len("/held")] + "/messages" }

// holdReason says in one line why a message is held: its heaviest test, in words.
func (p page) holdReason(w spool.Work) string {
	switch w.HoldReason {
	case "score", "":
	case "operator":
		return p.T("held.why.operator")
	case spool.ReasonDamaged:
		return p.T("held.why.damaged")
	default:
		return p.T("held.why.other")
	}
	var v struct {
		Hits []struct {
			Test   string  `json:"test"`
			Points float64 `json:"points"`
		} `json:"hits"`
	}
	if json.Unmarshal(w.Verdict, &v) != nil || len(v.Hits) == 0 {
		return p.T("held.why.untested")
	}
	worst, count := 0, 0
	for i, h := range v.Hits {
		if h.Points >= weightless {
			count++
		}
		if h.Points > v.Hits[worst].Points {
			worst = i
		}
	}
	name := p.testName(v.Hits[worst].Test)
	if count > 1 {
		return p.T("held.why.tests", "Name", name, "Count", count-1)
	}
	return name
}

// chosen returns the messages that a selection names, all of them held and this customer's. When ok is false the answer is written.
func (s *site) chosen(v *visit, ids []string) (works []spool.Work, ok bool) {
	if len(ids) > mostAtOnce {
		ids = ids[:mostAtOnce]
	}
	seen := map[mail.QueueID]bool{}
	for _, text := range ids {
		id, err := mail.ParseQueueID(text)
		if err != nil {
			v.missing()
			return nil, false
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		w, err := s.o.Spool.Get(v.r.Context(), id)
		switch {
		case errors.Is(err, spool.ErrNotFound): // gone since the list was shown, or never there
			w = spool.Work{Message: spool.Message{ID: id}}
			if owner, known := s.ownerOf(v.r.Context(), id); !known || owner != v.customer.ID {
				v.missing()
				return nil, false
			}
		case err != nil:
			v.broken("message not read", err)
			return nil, false
		case w.Customer != v.customer.ID:
			v.missing()
			return nil, false
		}
		works = append(works, w)
	}
	return works, true
}

// ownerOf is the customer of a message that has left the spool.
func (s *site) ownerOf(ctx context.Context, id mail.QueueID) (customer string, known bool) {
	facts, _, err := s.o.Journal.Search(ctx, journal.Query{Text: string(id), Limit: 1, Kinds: []journal.Kind{journal.Accepted, journal.Held, journal.Rejected, journal.Recovered}})
	if err != nil || len(facts) == 0 {
		return "", false
	}
	return facts[0].Customer, true
}

// heldSure asks whether the chosen messages are to be deleted.
func (s *site) heldSure(v *visit) {
	works, ok := s.chosen(v, v.r.URL.Query()["id"])
	if !ok {
		return
	}
	if len(works) == 0 {
		s.showHeld(v, http.StatusUnprocessableEntity, &banner{"bad", v.page.T("held.fault.none")})
		return
	}
	base := "/c/" + v.customer.ID + "/held"
	h := heldList{page: v.page, Base: base, Sure: true}
	h.Title, h.Lede = h.T("held.sure.title", "Count", len(works)), h.T("held.sure.lede")
	for _, w := range works {
		h.Rows = append(h.Rows, h.heldRow(base, w))
	}
	v.show(http.StatusOK, "held.html", h)
}

// seatOf is the visitor's seat at a message of the customer of the path.
func (v *visit) seatOf(id mail.QueueID) seat {
	return seat{path: "/c/" + v.customer.ID + "/messages/" + string(id), actor: v.who.Actor(), sender: !v.who.Gateway(), acts: v.who.May(user.MailAct, v.customer.ID)}
}

// heldAct does one act on each of the chosen messages.
func (s *site) heldAct(act string) func(*visit) {
	return func(v *visit) {
		if v.status = s.readForm(v.w, v.r); v.status != 0 {
			return
		}
		works, ok := s.chosen(v, v.r.PostForm["id"])
		if !ok {
			return
		}
		if len(works) == 0 {
			v.about("none", "")
			s.showHeld(v, http.StatusUnprocessableEntity, &banner{"bad", v.page.T("held.fault.none")})
			return
		}
		faults := s.performAll(v, act, works)
		done, failed, why, released := 0, 0, "", 0
		for i, err := range faults {
			if err == nil {
				done++
				if act == "retest" && !s.stillHeld(v.r.Context(), works[i].ID) {
					released++
				}
				continue
			}
			failed++
			if _, key := refusal(err); why == "" {
				why = v.page.T("held.left." + key)
			}
		}
		v.noteEach(works, faults)
		var text string
		if done > 0 {
			text = v.page.T("held.done."+act, "Count", done, "Released", released)
		}
		if failed > 0 {
			if text != "" {
				text += " "
			}
			text += v.page.T("held.left", "Count", failed, "Why", why)
		}
		if done == 0 {
			s.showHeld(v, http.StatusConflict, &banner{"bad", text})
			return
		}
		v.say("/c/"+v.customer.ID+"/held", text)
	}
}

func (s *site) stillHeld(ctx context.Context, id mail.QueueID) bool {
	w, err := s.o.Spool.Get(ctx, id)
	return err == nil && w.Held
}

// performAll does an act on several messages, some at one time, and returns what became of each.
func (s *site) performAll(v *visit, act string, works []spool.Work) []error {
	faults := make([]error, len(works))
	places := make(chan struct{}, retestTasks)
	var all sync.WaitGroup
	for i, w := range works {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			faults[i] = s.perform(v.r, v.seatOf(w.ID), w.ID, act)
			if faults[i] != nil && !errors.Is(faults[i], intake.ErrTooSoon) && !errors.Is(faults[i], intake.ErrNotHeld) && !errors.Is(faults[i], intake.ErrNotAllowed) {
				s.o.Logger.Warn("act not done", "queue_id", w.ID, "act", act, "error", faults[i])
			}
		})
	}
	all.Wait()
	return faults
}

// noteEach writes a line of the audit log for each of several messages; the last is left to the route.
func (v *visit) noteEach(works []spool.Work, faults []error) {
	var entries []user.Entry
	for i, w := range works {
		e := v.entry
		e.Subject, e.Text, e.Failed = string(w.ID), clean(w.Subject, 200), faults[i] != nil
		entries = append(entries, e)
	}
	last := entries[len(entries)-1]
	v.about(last.Subject, last.Text)
	if len(entries) == 1 {
		return
	}
	if err := v.s.o.Users.Note(context.WithoutCancel(v.r.Context()), entries[:len(entries)-1]...); err != nil {
		v.s.o.Logger.Error("audit log not written", "act", v.entry.Act, "actor", v.entry.Actor, "error", err)
	}
}
