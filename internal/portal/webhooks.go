package portal

import (
	"embed"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"postern/internal/locale"
	"postern/internal/user"
	"postern/internal/webhook"
)

// The snippets check a post's signature: one file each, as they stand.
//
//go:embed hooksnippets
var hookSnippetFiles embed.FS

// hookSnippetNames are the snippets in the order in which they are shown: file and title.
var hookSnippetNames = []struct{ file, title string }{{"go", "Go"}, {"node", "Node.js"}, {"php", "PHP"}, {"python", "Python"}}

// webhooksRoutes are the pages about webhooks: a customer's, and the gateway's.
func (s *site) webhooksRoutes() []route {
	var out []route
	for _, x := range []struct {
		base  string
		guard func(user.Right) access
	}{{"/c/{customer}/webhooks", over}, {"/o/webhooks", gateway}} {
		read, write := x.guard(user.HooksRead), x.guard(user.HooksWrite)
		one := x.base + "/{hook}"
		out = append(out,
			route{method: http.MethodGet, path: x.base, access: read, do: s.webhooks},
			route{method: http.MethodPost, path: x.base, access: write, act: "webhook.make", do: s.makeWebhook},
			route{method: http.MethodGet, path: one, access: read, do: s.webhook},
			route{method: http.MethodPost, path: one, access: write, act: "webhook.change", do: s.changeWebhook},
			route{method: http.MethodPost, path: one + "/pause", access: write, act: "webhook.pause", do: s.pauseWebhook},
			route{method: http.MethodPost, path: one + "/resume", access: write, act: "webhook.resume", do: s.resumeWebhook},
			route{method: http.MethodPost, path: one + "/test", access: write, act: "webhook.test", do: s.testWebhook},
			route{method: http.MethodPost, path: one + "/replay", access: write, act: "webhook.replay", do: s.replayWebhook},
			route{method: http.MethodPost, path: one + "/again", access: write, act: "webhook.again", do: s.webhookAgain},
			route{method: http.MethodPost, path: one + "/secret", access: write, act: "webhook.rotate", do: s.rotateWebhook},
			route{method: http.MethodPost, path: one + "/remove", access: write, act: "webhook.remove", do: s.removeWebhook},
		)
	}
	return out
}

// hooksPage is the list of webhooks, with a form to make one.
type hooksPage struct {
	page
	Lede   string
	Here   string
	Rows   []hookRow
	Fields []field // of the form to make one; nil: the visitor may not
	Events hookEvents
}

// hookRow is one webhook of the list.
type hookRow struct {
	URL, Label, Target string
	State, Class       string // in words, and how it looks
	What               string // what is the matter, or when it was told last
	Events             string
}

// hookEvents are the kinds of events to choose from.
type hookEvents struct {
	Picks []pick
	Fault string
}

// hookForm is what was typed.
type hookForm struct {
	webhook.Settings
	LabelFault, URLFault, EventsFault string
}

// hookEventsOf reads which events a form names; all of them, and none, mean all.
func hookEventsOf(words []string, gateway bool) []string {
	if len(words) >= len(webhook.Events(gateway)) {
		return nil
	}
	return words
}

func (s *site) webhooks(v *visit) { s.showWebhooks(v, http.StatusOK, hookForm{}) }

// mayHook reports whether the visitor may change webhooks here.
func (v *visit) mayHook() bool { return v.who.May(user.HooksWrite, v.customer.ID) }

// showWebhooks answers with the list; form is what was typed into that of a new one.
func (s *site) showWebhooks(v *visit, status int, form hookForm) {
	if s.o.Webhooks == nil {
		v.missing()
		return
	}
	hooks, _, err := s.o.Webhooks.List(v.r.Context(), webhook.Query{Customer: v.customer.ID, Limit: 200}) // fewer are allowed
	if err != nil {
		v.broken("webhooks not read", err)
		return
	}
	here := v.place() + "/webhooks"
	p := hooksPage{page: v.page, Here: v.page.URL(here), Lede: v.page.T("webhooks.lede")}
	if p.Title = p.T("webhooks.heading"); v.customer.ID == "" {
		p.Title, p.Lede = p.T("webhooks.heading_gateway"), p.T("webhooks.lede_gateway")
	}
	for i := range hooks {
		p.Rows = append(p.Rows, p.hookRow(&hooks[i], here))
	}
	if v.mayHook() {
		p.Fields, p.Events = p.hookFields(form), p.hookEvents(form, v.customer.ID == "")
	}
	v.show(status, "webhooks.list", p)
}

// hookName is what people call a webhook.
func hookName(h *webhook.Hook) string {
	if h.Label != "" {
		return clean(h.Label, 100)
	}
	return h.ID
}

func (p page) hookRow(h *webhook.Hook, here string) hookRow {
	row := hookRow{URL: p.URL(here + "/" + h.ID), Label: hookName(h), Target: clean(h.URL, 300), Events: p.T("webhooks.events_all")}
	row.State, row.Class, row.What = p.hookState(h)
	if len(h.Events) > 0 {
		row.Events = p.T("webhooks.events_some", "Count", len(h.Events))
	}
	return row
}

// hookState puts the state into words.
func (p page) hookState(h *webhook.Hook) (state, class, what string) {
	state = p.T("webhooks.state." + string(h.State()))
	switch h.State() {
	case webhook.Stopped:
		return state, "refused", p.T("webhooks.stopped."+h.Stopped, "When", p.date(h.StoppedAt))
	case webhook.Paused:
		return state, "", p.T("webhooks.paused_what")
	case webhook.Failing:
		return state, "mend", p.T("webhooks.failing_what", "Since", p.date(h.FailingSince), "Answer", p.hookAnswer(h.LastOutcome, h.LastStatus), "Next", p.date(h.Next))
	}
	if h.Last.IsZero() {
		return state, "ready", p.T("webhooks.nothing_yet")
	}
	return state, "ready", p.T("webhooks.working_what", "When", p.date(h.Last))
}

// hookAnswer puts what came of a post into words.
func (p page) hookAnswer(o webhook.Outcome, status int) string {
	if status != 0 {
		return p.T("webhooks.outcome.status", "Status", status)
	}
	return p.T("webhooks.outcome." + string(o))
}

// hookFields are the inputs of what is chosen.
func (p page) hookFields(f hookForm) []field {
	return []field{
		{Name: "url", Label: p.T("webhooks.field.url"), Hint: p.T("webhooks.field.url_hint"), Value: clean(f.URL, 2000), Fault: f.URLFault, Type: "url", Required: true, Most: 2000, Mono: true, Complete: "off"},
		{Name: "label", Label: p.T("webhooks.field.label"), Hint: p.T("webhooks.field.label_hint"), Value: clean(f.Label, 200), Fault: f.LabelFault, Most: 100, Complete: "off"},
	}
}

// hookEvents are the events to choose from. None chosen means all.
func (p page) hookEvents(f hookForm, gateway bool) hookEvents {
	out := hookEvents{Fault: f.EventsFault}
	for _, e := range webhook.Events(gateway) {
		out.Picks = append(out.Picks, pick{Value: e.Word, Label: p.T("webhooks.event." + e.Word), Chosen: slices.Contains(f.Events, e.Word)})
	}
	return out
}

// typedHook reads the form of what is chosen.
func (v *visit) typedHook() hookForm {
	f := v.r.PostForm
	return hookForm{Settings: webhook.Settings{Label: strings.TrimSpace(clean(f.Get("label"), 400)), URL: strings.TrimSpace(f.Get("url")), Events: hookEventsOf(f["event"], v.customer.ID == "")}}
}

// hookFaults ties an error to the field that it is about; false: it is none of the visitor's.
func (v *visit) hookFaults(f *hookForm, err error) bool {
	for _, x := range []struct {
		is  error
		key string
	}{{webhook.ErrNoAddress, "address"}, {webhook.ErrScheme, "scheme"}, {webhook.ErrUserInfo, "user"}, {webhook.ErrPort, "port"}, {webhook.ErrForbidden, "forbidden"}, {webhook.ErrTooMany, "many"}} {
		if errors.Is(err, x.is) {
			f.URLFault = v.page.T("webhooks.fault." + x.key)
			return true
		}
	}
	switch {
	case errors.Is(err, webhook.ErrLabel):
		f.LabelFault = v.page.T("webhooks.fault.label")
	case errors.Is(err, webhook.ErrEvents):
		f.EventsFault = v.page.T("webhooks.fault.events")
	default:
		return false
	}
	return true
}

// makeWebhook makes a webhook and shows its secret, this once.
func (s *site) makeWebhook(v *visit) {
	if !v.read() {
		return
	}
	if s.o.Webhooks == nil {
		v.missing()
		return
	}
	form := v.typedHook()
	v.about(clean(form.Label, 100), "")
	if err := s.o.Webhooks.Check(form.URL); err != nil {
		v.hookFaults(&form, err)
		s.showWebhooks(v, http.StatusUnprocessableEntity, form)
		return
	}
	if !v.proved() {
		return
	}
	h, err := s.o.Webhooks.Add(v.r.Context(), v.customer.ID, form.Settings, v.who.Actor())
	switch {
	case err == nil:
		v.about(h.ID, h.Label)
		s.showWebhook(v, http.StatusOK, h, hookForm{Settings: h.Settings}, hookTold{Secret: h.Secret})
	case v.hookFaults(&form, err):
		s.showWebhooks(v, http.StatusUnprocessableEntity, form)
	default:
		v.broken("webhook not made", err)
	}
}

// hookSnippets are the snippets, ready to copy.
func (s *site) hookSnippets() (out []snippetView) {
	for _, x := range hookSnippetNames {
		text, err := hookSnippetFiles.ReadFile("hooksnippets/" + x.file + ".txt")
		if err != nil {
			s.o.Logger.Error("snippet not read", "snippet", x.file, "error", err)
			continue
		}
		out = append(out, snippetView{"check-" + x.file, x.title, string(text)})
	}
	return out
}

// counted writes a number that may be a bound.
func (p page) counted(n int, more bool) string {
	text := locale.Number(p.Lang, float64(n))
	if more {
		return p.T("webhooks.at_least", "Count", text)
	}
	return text
}

// hookEventRange names the events of an attempt.
func hookEventRange(a webhook.Attempt) string {
	switch {
	case a.First == 0:
		return ""
	case a.First == a.Last:
		return strconv.FormatInt(a.First, 10)
	}
	return strconv.FormatInt(a.First, 10) + " … " + strconv.FormatInt(a.Last, 10)
}
