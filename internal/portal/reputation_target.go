package portal

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"postern/internal/dnsbl"
	"postern/internal/locale"
	"postern/internal/reputation"
	"postern/internal/user"
)

// watchZone is what one list says of a target.
type watchZone struct {
	List, Zone  string
	Word, Class string
	Since       opMoment
	Text        string
	Weight      string
	Silent      string // since when it has not answered
}

// watchMoment is one line of a timeline.
type watchMoment struct {
	At    opMoment
	Event *watchEvent
	Act   string // in words
	Who   string
	URL   string // of the dossier
}

// watchTargetPage is one target.
type watchTargetPage struct {
	page
	Name, Roles  string
	Whose        string
	CustomerURL  string
	Word, Class  string
	Checked, Due opMoment
	Look         *button
	CheckURL     string // of a check-up
	Listed       []watchZone
	Rest         []watchZone
	Fold         string
	Plot         plot
	Timeline     []watchMoment
	Dossiers     []dossierRow
	Back, Crumb  string
}

// watchedTarget is the operator's page of one target.
func (s *site) watchedTarget(v *visit) {
	t, ok := s.targetOf(v)
	if !ok {
		return
	}
	d, ok := s.targetPage(v, t)
	if !ok {
		return
	}
	p := v.page
	d.Back, d.Crumb = p.URL("/o/reputation"), p.T("watch.heading")
	d.CheckURL = p.URL("/o/check", "target", t.Name)
	if t.Customer != "" {
		d.CustomerURL = p.URL("/o/customers/" + t.Customer)
	}
	if v.who.May(user.GatewayOperate, "") {
		d.Look = &button{URL: p.URL("/o/reputation/target/" + url.PathEscape(t.Name) + "/look"), Label: p.T("watch.look")}
	}
	moments, err := s.o.Reputation.Timeline(v.r.Context(), t.Name, time.Time{}, watchRows)
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	for _, m := range moments {
		d.Timeline = append(d.Timeline, v.watchMoment(m))
	}
	dossiers, err := s.o.Reputation.Dossiers(v.r.Context(), reputation.DossierQuery{Target: t.Name, Limit: 20})
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	for _, x := range dossiers.Dossiers {
		d.Dossiers = append(d.Dossiers, p.dossierRow(x))
	}
	v.show(http.StatusOK, "watch.one", d)
}

// targetOf is the target of the path; else it answers.
func (s *site) targetOf(v *visit) (reputation.Target, bool) {
	t, err := s.o.Reputation.Target(v.r.Context(), v.r.PathValue("target"))
	switch {
	case errors.Is(err, reputation.ErrNotFound):
		v.missing()
		return t, false
	case err != nil:
		v.broken("watch not read", err)
		return t, false
	}
	return t, true
}

// targetPage is what both pages of a target show.
func (s *site) targetPage(v *visit, t reputation.Target) (watchTargetPage, bool) {
	p := v.page
	d := watchTargetPage{page: p, Name: t.Name, Roles: p.watchRoles(t.Roles), Checked: p.opWhen(t.Checked), Due: p.opWhen(t.Next)}
	d.Title = p.T("watch.title", "Target", t.Name)
	d.Word, d.Class = p.watchState(t)
	if t.Customer != "" {
		d.Whose = p.opCustomer(t.Customer)
	}
	for _, z := range t.Zones {
		row := p.watchZone(z)
		if z.State == dnsbl.Listed || z.State == dnsbl.Unknown {
			d.Listed = append(d.Listed, row)
		} else {
			d.Rest = append(d.Rest, row)
		}
	}
	d.Fold = p.T("check.lists.rest", "Count", len(d.Rest))
	var err error
	if d.Plot, err = s.targetPlot(v, t.Name); err != nil {
		v.broken("watch not read", err)
		return d, false
	}
	return d, true
}

// targetPlot draws on how many lists a target was, and how heavy they are, over the last ninety days.
func (s *site) targetPlot(v *visit, target string) (plot, error) {
	now, p := s.o.Now(), v.page
	days, err := s.o.Reputation.History(v.r.Context(), target, now.AddDate(0, 0, -watchDays), now)
	shown := make([]watchDay, len(days))
	for i, d := range days {
		shown[i] = watchDay{d.Day, d.Looked, d.Lists, d.Weight}
	}
	return p.watchPlot("listings", p.T("watch.plot"), p.T("watch.plot.lists"), p.T("watch.plot.weight"), shown), err
}

func (p page) watchZone(z reputation.Zone) watchZone {
	row := watchZone{List: clean(z.List, 100), Zone: z.Zone, Word: p.T("check.lists." + string(z.State)), Since: p.opWhen(z.Since), Weight: locale.Number(p.Lang, float64(z.Weight)),
		Text: clean(listWords(z.Names, z.Reason), 400)}
	switch z.State {
	case dnsbl.Listed:
		row.Class = listingClass(z.Weight)
	case dnsbl.Clean:
		row.Class = "good"
	}
	return row
}

func (v *visit) watchMoment(m reputation.Moment) watchMoment {
	p := v.page
	out := watchMoment{At: p.opWhen(m.At)}
	if m.Event != nil {
		e := p.watchEvent(*m.Event)
		out.Event = &e
		return out
	}
	if m.Act != nil {
		x := v.dossierAct(*m.Act)
		out.Act, out.Who, out.URL = x.Text, x.Who, p.URL("/o/dossiers/"+url.PathEscape(m.Act.Dossier))
	}
	return out
}

// lookNow looks at a target at once.
func (s *site) lookNow(v *visit) {
	if !v.read() {
		return
	}
	t, ok := s.targetOf(v)
	if !ok {
		return
	}
	v.about(t.Name, "")
	if wait := s.checks.allowed(v.who.ID, s.o.Now()); wait > 0 {
		v.status = http.StatusTooManyRequests
		s.busy(v.w, v.r, wait)
		return
	}
	if err := s.o.Reputation.LookNow(v.r.Context(), t.Name); err != nil {
		v.broken("target not looked at", err)
		return
	}
	v.done("/o/reputation/target/"+url.PathEscape(t.Name), "watch.looked")
}

// watchedDomain is one domain of the customer.
func (s *site) watchedDomain(v *visit) {
	t, ok := s.targetOf(v)
	if !ok {
		return
	}
	if t.Customer == "" || t.Customer != v.customer.ID {
		v.missing()
		return
	}
	d, ok := s.targetPage(v, t)
	if !ok {
		return
	}
	p := v.page
	d.Whose = ""
	d.Back, d.Crumb = p.URL("/c/"+v.customer.ID+"/reputation"), p.T("watch.mine")
	d.CheckURL = p.URL("/c/"+v.customer.ID+"/check", "target", t.Name)
	events, err := s.o.Reputation.Events(v.r.Context(), t.Name, "", watchRows)
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	for _, e := range events.Events {
		e.Dossier = ""
		x := p.watchEvent(e)
		x.URL = ""
		d.Timeline = append(d.Timeline, watchMoment{At: x.At, Event: &x})
	}
	v.show(http.StatusOK, "watch.one", d)
}
