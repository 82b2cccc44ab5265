package portal

import (
	"cmp"
	"errors"
	"net/http"

	"postern/internal/intake"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/user"
)

// opMessagePage is one message as the operator sees it: why it waits, its life, and what can be done.
type opMessagePage struct {
	page
	ID      string
	Subject string
	State   string
	Word    string
	Lines   []string // why, in sentences
	Waits   []opWait
	More    int // recipients that are not shown
	Facts   []opFactRow
	LeftOut int
	About   []opAbout
	Theirs  string // the page as the sender sees it; "" for our own mail
	Here    bool   // it is in the spool
	Held    bool
	Score   bool // it is the tests that hold it
	MayAct  bool
	Back    string
	Urls    map[string]string
}

// opAbout is a fact about something: a name and its value.
type opAbout struct {
	Name, Value string
	URL         string
	Mono        bool
}

// Bounds of a message's page.
const (
	opMostWaits = 50
	opMostFacts = 100
)

// opMessage shows one message, whosever it is.
func (s *site) opMessage(v *visit) {
	id, err := mail.ParseQueueID(v.r.PathValue("id"))
	if err != nil {
		v.missing()
		return
	}
	if err := s.o.Journal.Flush(v.r.Context()); err != nil {
		s.o.Logger.Warn("facts not yet written", "error", err)
	}
	view, err := s.o.Desk.View(v.r.Context(), id)
	if errors.Is(err, intake.ErrNotFound) {
		v.missing()
		return
	}
	if err != nil {
		v.broken("message not shown", err)
		return
	}
	p := v.page
	d := opMessagePage{page: p, ID: string(id), Subject: clean(view.Subject, 200), MayAct: v.who.May(user.MailAct, ""), Back: "/o/messages/" + string(id), Urls: map[string]string{}}
	if d.Subject == "" {
		d.Subject = p.T("facts.no_subject")
	}
	for _, act := range []string{"retry", "hold", "release", "retest", "drop"} {
		d.Urls[act] = p.URL("/o/queue/" + act)
	}
	if view.Customer.ID != "" {
		d.Theirs = p.URL("/c/" + view.Customer.ID + "/messages/" + string(id))
	}
	d.Title = p.T("search.message.title", "Subject", d.Subject)
	d.About = p.opAboutMessage(view)
	w, err := s.o.Spool.Get(v.r.Context(), id)
	switch {
	case err == nil:
		d.Here, d.Held, d.Score = true, w.Held, w.HoldReason == "score"
		d.Waits, d.More = p.opWaits(w, opMostWaits)
		d.State, d.Word, _, _ = p.opSummary(w)
		if w.Held {
			d.Lines = append(d.Lines, p.T("search.message.held", "Why", p.opHold(w)), p.T("search.message.held_until", "When", p.date(w.HoldUntil)))
		} else if !w.Expires.IsZero() {
			d.Lines = append(d.Lines, p.T("search.message.gives_up", "When", p.date(w.Expires)))
		}
	case errors.Is(err, spool.ErrNotFound):
		d.State, d.Word = "done", p.T("search.status."+cmp.Or(string(view.Status), "unknown"))
		d.Lines = append(d.Lines, p.T("search.message.gone"))
	default:
		v.broken("message not read", err)
		return
	}
	facts := view.Facts
	if n := len(facts) - opMostFacts; n > 0 {
		d.LeftOut = n
		facts = append(facts[:opMostFacts/4:opMostFacts/4], facts[len(facts)-opMostFacts*3/4:]...)
	}
	for _, f := range facts {
		d.Facts = append(d.Facts, v.opFactRowOf(f))
	}
	v.show(http.StatusOK, "op-message.html", d)
}

// opAboutMessage are the header fields and the origin of a message.
func (p page) opAboutMessage(view intake.View) []opAbout {
	customer := opAbout{Name: p.T("queue.field.customer"), Value: p.opCustomer(view.Customer.ID)}
	if view.Customer.ID != "" {
		customer.URL = p.URL("/o/customers/" + view.Customer.ID)
	}
	to := clean(view.To, 320)
	if view.Recipients > 1 {
		to = p.T("facts.to_more", "First", to, "Count", view.Recipients-1)
	}
	all := []opAbout{customer,
		{Name: p.T("facts.from"), Value: clean(view.From, 320)}, {Name: p.T("facts.to"), Value: to},
		{Name: p.T("facts.received"), Value: p.date(view.Received)}, {Name: p.T("facts.client"), Value: clean(view.ClientIP, 60)},
		{Name: p.T("facts.message_ref"), Value: clean(view.MessageID, 300), Mono: true}, {Name: p.T("facts.queue_ref"), Value: string(view.ID), Mono: true}}
	if view.Verdict.Threshold > 0 {
		score := p.T("search.message.score", "Score", view.Verdict.Score, "Threshold", view.Verdict.Threshold, "Tests", p.opHeaviest(view.Verdict, 5))
		all = append(all, opAbout{Name: p.T("queue.field.score_now"), Value: score})
	}
	var out []opAbout
	for _, x := range all {
		if x.Value != "" {
			out = append(out, x)
		}
	}
	return out
}
