package portal

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"postern/internal/reputation"
)

// watchEvent is one change.
type watchEvent struct {
	At          opMoment
	Target, URL string
	Word, Class string
	List        string
	Text        string
	Dossier     string // address
}

func (p page) watchEvent(e reputation.Event) watchEvent {
	out := watchEvent{At: p.opWhen(e.At), Target: e.Target, URL: p.URL("/o/reputation/target/" + url.PathEscape(e.Target)), Word: p.T("watch.event." + string(e.Kind)), List: clean(e.List, 100)}
	switch e.Kind {
	case reputation.Listed:
		out.Class = listingClass(e.Weight)
	case reputation.Delisted:
		out.Class = "good"
	}
	out.Text = clean(listWords(e.Names, e.Text), 300)
	if e.Dossier != "" {
		out.Dossier = p.URL("/o/dossiers/" + url.PathEscape(e.Dossier))
	}
	return out
}

// watchEventsPage is all that changed.
type watchEventsPage struct {
	page
	Events []watchEvent
	Pager  pager
	Back   string
}

// watchEvents lists what changed, of everything.
func (s *site) watchEvents(v *visit) {
	p, q := v.page, v.opQuery()
	events, err := s.o.Reputation.Events(v.r.Context(), "", q.Get("after"), watchRows)
	if errors.Is(err, reputation.ErrInvalid) {
		v.redirect("/o/reputation/events")
		return
	}
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	d := watchEventsPage{page: p, Pager: p.watchPager("/o/reputation/events", q, events.Next), Back: p.URL("/o/reputation")}
	d.Title = p.T("watch.events")
	for _, e := range events.Events {
		d.Events = append(d.Events, p.watchEvent(e))
	}
	v.show(http.StatusOK, "watch.events", d)
}

// listWords are what a list answers: the names of its codes, and its own words where it has any.
func listWords(names []string, text string) string {
	out := strings.Join(names, ", ")
	switch {
	case text == "":
		return out
	case out == "":
		return text
	}
	return out + " · " + text
}
