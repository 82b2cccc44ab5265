package portal

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/webhook"
)

// hookPage is one webhook.
type hookPage struct {
	page
	Back, Here   string
	Name, Target string
	Secret       string // of one that was just made or rotated: shown once
	State, Class string
	What         string
	Facts        []labelled
	Acts         []button
	Tries        []hookTry
	Fields       []field // nil: the visitor may not
	Events       hookEvents
	ReplayURL    string
	Replay       []field
	AgainURL     string
	Again        []field
	Remove       *button
	Rotate       *button
	Snippets     []snippetView
}

// hookTry is one attempt.
type hookTry struct{ When, Why, Events, Range, Answer, Class, Took string }

// hookTold is what an act has to say on the page that it shows.
type hookTold struct {
	Secret                  string // shown once
	ReplayFault, AgainFault string
	Since, Event            string // as typed
}

// hookOf is the webhook of the path if it belongs here; else the answer is that there is none.
func (s *site) hookOf(v *visit) (webhook.Hook, bool) {
	if s.o.Webhooks == nil {
		v.missing()
		return webhook.Hook{}, false
	}
	h, err := s.o.Webhooks.Hook(v.r.Context(), v.r.PathValue("hook"))
	switch {
	case errors.Is(err, webhook.ErrNotFound), err == nil && h.Customer != v.customer.ID:
		v.missing()
	case err != nil:
		v.broken("webhook not read", err)
	default:
		v.about(h.ID, h.Label)
		return h, true
	}
	return webhook.Hook{}, false
}

func (s *site) webhook(v *visit) {
	if h, ok := s.hookOf(v); ok {
		s.showWebhook(v, http.StatusOK, h, hookForm{Settings: h.Settings}, hookTold{})
	}
}

// showWebhook answers with one webhook.
func (s *site) showWebhook(v *visit, status int, h webhook.Hook, form hookForm, told hookTold) {
	here := v.place() + "/webhooks/" + h.ID
	p := hookPage{page: v.page, Back: v.page.URL(v.place() + "/webhooks"), Here: v.page.URL(here), Name: hookName(&h), Target: clean(h.URL, 2000), Secret: told.Secret}
	p.Title, p.Path = p.T("webhooks.title", "Name", p.Name), here
	if told.Secret != "" {
		p.Path = "" // the other language would lose the secret
	}
	p.State, p.Class, p.What = p.hookState(&h)
	n, more, err := s.o.Webhooks.Waiting(v.r.Context(), &h)
	if err != nil {
		v.broken("what waits for a webhook not counted", err)
		return
	}
	tries, err := s.o.Webhooks.Attempts(v.r.Context(), h.ID)
	if err != nil {
		v.broken("attempts of a webhook not read", err)
		return
	}
	p.Facts = []labelled{{p.T("webhooks.fact.waiting"), p.counted(n, more)}, {p.T("webhooks.fact.taken"), locale.Number(p.Lang, float64(h.Taken))}, {p.T("webhooks.fact.made"), p.date(h.Created)}}
	if h.Former != "" && s.o.Now().Before(h.FormerEnds) {
		p.Facts = append(p.Facts, labelled{p.T("webhooks.fact.former"), p.T("webhooks.former_until", "When", p.date(h.FormerEnds))})
	}
	for _, a := range tries {
		p.Tries = append(p.Tries, p.hookTry(a))
	}
	if v.mayHook() {
		p.hookActs(v, &h, here, form, told)
	}
	p.Snippets = s.hookSnippets()
	v.show(status, "webhooks.one", p)
}

// hookActs are what may be done with it.
func (p *hookPage) hookActs(v *visit, h *webhook.Hook, here string, form hookForm, told hookTold) {
	p.Fields, p.Events = p.hookFields(form), p.page.hookEvents(form, h.Customer == "")
	switch h.State() {
	case webhook.Stopped, webhook.Paused:
		p.Acts = append(p.Acts, button{URL: p.URL(here + "/resume"), Label: p.T("webhooks.resume"), Hint: p.T("webhooks.resume_hint")})
	case webhook.Failing:
		p.Acts = append(p.Acts, button{URL: p.URL(here + "/resume"), Label: p.T("webhooks.now"), Hint: p.T("webhooks.now_hint")},
			button{URL: p.URL(here + "/pause"), Label: p.T("webhooks.pause"), Class: "second", Hint: p.T("webhooks.pause_hint")})
	default:
		p.Acts = append(p.Acts, button{URL: p.URL(here + "/pause"), Label: p.T("webhooks.pause"), Class: "second", Hint: p.T("webhooks.pause_hint")})
	}
	p.Acts = append(p.Acts, button{URL: p.URL(here + "/test"), Label: p.T("webhooks.test"), Class: "second", Hint: p.T("webhooks.test_hint")})
	p.ReplayURL, p.AgainURL = p.URL(here+"/replay"), p.URL(here+"/again")
	since := told.Since
	if since == "" {
		since = v.s.o.Now().In(p.location()).Add(-time.Hour).Format(hookTime)
	}
	p.Replay = []field{{Name: "since", Label: p.T("webhooks.replay_since"), Hint: p.T("webhooks.replay_hint", "Zone", p.location().String()), Type: "datetime-local", Value: clean(since, 30), Fault: told.ReplayFault, Required: true}}
	p.Again = []field{{Name: "event", Label: p.T("webhooks.again_event"), Hint: p.T("webhooks.again_hint"), Value: clean(told.Event, 30), Fault: told.AgainFault, Required: true, Most: 20, Mono: true, Complete: "off"}}
	p.Rotate = &button{URL: p.URL(here + "/secret"), Label: p.T("webhooks.rotate"), Class: "second", Sure: p.T("webhooks.rotate_sure")}
	p.Remove = &button{URL: p.URL(here + "/remove"), Label: p.T("webhooks.remove"), Class: "danger", Sure: p.T("webhooks.remove_sure")}
}

func (p *hookPage) hookTry(a webhook.Attempt) hookTry {
	x := hookTry{When: p.date(a.At), Why: p.T("webhooks.why." + a.Why), Events: locale.Number(p.Lang, float64(a.Events)), Range: hookEventRange(a), Answer: p.hookAnswer(a.Outcome, a.Status),
		Class: "refused", Took: p.T("webhooks.took", "Count", a.Took.Milliseconds())}
	if a.Outcome == webhook.Taken {
		x.Class = "ready"
	}
	return x
}

// changeWebhook changes address, label and events.
func (s *site) changeWebhook(v *visit) {
	h, ok := s.hookOf(v)
	if !ok || !v.read() {
		return
	}
	form := v.typedHook()
	if form.URL != h.URL { // where the facts go from now on
		if err := s.o.Webhooks.Check(form.URL); err == nil && !v.proved() {
			return
		}
	}
	changed, err := s.o.Webhooks.Update(v.r.Context(), h.ID, form.Settings)
	switch {
	case err == nil:
		v.about(changed.ID, changed.Label)
		v.done(v.place()+"/webhooks/"+h.ID, "webhooks.done.changed")
	case v.hookFaults(&form, err):
		s.showWebhook(v, http.StatusUnprocessableEntity, h, form, hookTold{})
	default:
		v.broken("webhook not changed", err)
	}
}

// hookAct does an act without a form and goes back to the webhook's page.
func (s *site) hookAct(v *visit, key string, act func(ctx context.Context, id string) (webhook.Hook, error)) {
	h, ok := s.hookOf(v)
	if !ok || !v.read() {
		return
	}
	if _, err := act(v.r.Context(), h.ID); err != nil {
		v.broken("act on a webhook not done", err)
		return
	}
	v.done(v.place()+"/webhooks/"+h.ID, key)
}

func (s *site) pauseWebhook(v *visit) {
	s.hookAct(v, "webhooks.done.paused", func(ctx context.Context, id string) (webhook.Hook, error) { return s.o.Webhooks.Pause(ctx, id) })
}

func (s *site) resumeWebhook(v *visit) {
	s.hookAct(v, "webhooks.done.resumed", func(ctx context.Context, id string) (webhook.Hook, error) { return s.o.Webhooks.Resume(ctx, id) })
}

// testWebhook posts a test and says what came of it.
func (s *site) testWebhook(v *visit) {
	h, ok := s.hookOf(v)
	if !ok || !v.read() {
		return
	}
	a, err := s.o.Webhooks.Test(v.r.Context(), h.ID)
	s.hookSent(v, &h, a, err, hookTold{})
}

// webhookAgain sends one event again.
func (s *site) webhookAgain(v *visit) {
	h, ok := s.hookOf(v)
	if !ok || !v.read() {
		return
	}
	told := hookTold{Event: strings.TrimSpace(v.r.PostForm.Get("event"))}
	id, err := strconv.ParseInt(told.Event, 10, 64)
	if err != nil || id <= 0 {
		told.AgainFault = v.page.T("webhooks.fault.event")
		s.showWebhook(v, http.StatusUnprocessableEntity, h, hookForm{Settings: h.Settings}, told)
		return
	}
	v.about(h.ID, "event "+told.Event)
	a, err := s.o.Webhooks.Again(v.r.Context(), h.ID, id)
	if errors.Is(err, journal.ErrNoFact) {
		told.AgainFault = v.page.T("webhooks.fault.no_event")
		s.showWebhook(v, http.StatusUnprocessableEntity, h, hookForm{Settings: h.Settings}, told)
		return
	}
	s.hookSent(v, &h, a, err, told)
}

// hookSent says what came of a post that was made by hand.
func (s *site) hookSent(v *visit, h *webhook.Hook, a webhook.Attempt, err error, told hookTold) {
	at := v.place() + "/webhooks/" + h.ID
	switch {
	case errors.Is(err, webhook.ErrBusy):
		v.page.Banner = &banner{"bad", v.page.T("webhooks.fault.busy")}
		s.showWebhook(v, http.StatusTooManyRequests, *h, hookForm{Settings: h.Settings}, told)
	case err != nil:
		v.broken("webhook not sent", err)
	case a.Outcome == webhook.Taken:
		v.done(at, "webhooks.done.sent", "Answer", v.page.hookAnswer(a.Outcome, a.Status))
	default:
		v.page.Banner = &banner{"bad", v.page.T("webhooks.fault.sent", "Answer", v.page.hookAnswer(a.Outcome, a.Status))}
		s.showWebhook(v, http.StatusOK, *h, hookForm{Settings: h.Settings}, told)
	}
}

// hookTime is how browsers write a moment.
const hookTime = "2006-01-02T15:04"

// replayWebhook tells everything again from a time on.
func (s *site) replayWebhook(v *visit) {
	h, ok := s.hookOf(v)
	if !ok || !v.read() {
		return
	}
	told := hookTold{Since: v.r.PostForm.Get("since")}
	at, err := time.ParseInLocation(hookTime, told.Since, v.page.location())
	if err != nil || at.After(s.o.Now()) {
		told.ReplayFault = v.page.T("webhooks.fault.since")
		s.showWebhook(v, http.StatusUnprocessableEntity, h, hookForm{Settings: h.Settings}, told)
		return
	}
	v.about(h.ID, "since "+at.UTC().Format(time.RFC3339))
	if _, err := s.o.Webhooks.Replay(v.r.Context(), h.ID, webhook.From{At: at}); err != nil {
		v.broken("webhook not replayed", err)
		return
	}
	v.done(v.place()+"/webhooks/"+h.ID, "webhooks.done.replay", "When", v.page.date(at))
}

// rotateWebhook makes a new secret and shows it, this once.
func (s *site) rotateWebhook(v *visit) {
	h, ok := s.hookOf(v)
	if !ok || !v.read() || !v.proved() {
		return
	}
	h, err := s.o.Webhooks.Rotate(v.r.Context(), h.ID)
	if err != nil {
		v.broken("webhook's secret not changed", err)
		return
	}
	s.showWebhook(v, http.StatusOK, h, hookForm{Settings: h.Settings}, hookTold{Secret: h.Secret})
}

// removeWebhook takes a webhook away.
func (s *site) removeWebhook(v *visit) {
	h, ok := s.hookOf(v)
	if !ok || !v.read() {
		return
	}
	if err := s.o.Webhooks.Remove(v.r.Context(), h.ID); err != nil {
		v.broken("webhook not removed", err)
		return
	}
	v.done(v.place()+"/webhooks", "webhooks.done.removed", "Name", hookName(&h))
}
