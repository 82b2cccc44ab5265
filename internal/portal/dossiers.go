package portal

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"postern/internal/reputation"
	"postern/internal/user"
)

// dossierRoutes are the pages of dossiers: one for each target and operator of lists.
func (s *site) dossierRoutes() []route {
	if s.o.Reputation == nil {
		return nil
	}
	const one = "/o/dossiers/{dossier}"
	read, act := gateway(user.GatewayRead), gateway(user.GatewayOperate)
	return []route{
		{method: http.MethodGet, path: "/o/dossiers", access: read, do: s.dossiers},
		{method: http.MethodGet, path: one, access: read, do: s.dossier},
		{method: http.MethodGet, path: one + "/request", access: read, do: s.dossierRequest},
		{method: http.MethodPost, path: "/o/dossiers", access: act, act: "dossier.open", do: s.openDossier},
		{method: http.MethodPost, path: one + "/note", access: act, act: "dossier.note", do: s.noteDossier},
		{method: http.MethodPost, path: one + "/step", access: act, act: "dossier.step", do: s.tickDossier},
		{method: http.MethodPost, path: one + "/move", access: act, act: "dossier.move", do: s.moveDossier},
		{method: http.MethodPost, path: one + "/refresh", access: act, act: "dossier.refresh", do: s.refreshDossier},
	}
}

// dossierRow is a dossier in a list.
type dossierRow struct {
	Target, URL string
	Operator    string
	List        string
	Word, Class string
	Cause       string
	Customer    string
	Changed     opMoment
	Times       int
}

type dossiersPage struct {
	page
	Action string
	Form   []field
	Asked  bool
	Rows   []dossierRow
	Pager  pager
}

func dossierClass(s reputation.State) string {
	switch s {
	case reputation.Open:
		return "bad"
	case reputation.Mending, reputation.Requested:
		return "slow"
	case reputation.Clean:
		return "good"
	}
	return ""
}

func (p page) dossierRow(d reputation.Dossier) dossierRow {
	row := dossierRow{Target: d.Target, URL: p.URL("/o/dossiers/" + url.PathEscape(d.ID)), Operator: clean(d.Operator, 100), List: clean(d.List, 100), Word: p.rt("state."+string(d.State), nil),
		Class: dossierClass(d.State), Customer: p.ownerName(d.Customer), Changed: p.opWhen(d.Changed), Times: d.Times, Cause: p.T("dossier.unknown")}
	if len(d.Causes) > 0 && d.Causes[0].Points > 0 {
		row.Cause = p.rt("cause."+d.Causes[0].Code+".name", nil)
	}
	return row
}

// dossiers lists them.
func (s *site) dossiers(v *visit) {
	p, q := v.page, v.opQuery()
	query := reputation.DossierQuery{Target: strings.ToLower(strings.TrimSpace(q.Get("target"))), Cursor: q.Get("after"), Limit: watchRows}
	state := reputation.State(q.Get("state"))
	switch {
	case slices.Contains(reputation.States(), state):
		query.States = []reputation.State{state}
	case state != "all":
		query.States = []reputation.State{reputation.Open, reputation.Mending, reputation.Requested, reputation.Clean}
	}
	found, err := s.o.Reputation.Dossiers(v.r.Context(), query)
	if errors.Is(err, reputation.ErrInvalid) {
		v.redirect("/o/dossiers")
		return
	}
	if err != nil {
		v.broken("dossiers not read", err)
		return
	}
	d := dossiersPage{page: p, Action: p.URL("/o/dossiers"), Asked: q.Get("state") != "" || query.Target != "", Pager: p.watchPager("/o/dossiers", q, found.Next)}
	d.Title = p.T("dossier.heading")
	states := []option{{Value: "", Label: p.T("dossier.current")}}
	for _, x := range reputation.States() {
		states = append(states, option{string(x), p.rt("state."+string(x), nil), x == state})
	}
	states = append(states, option{"all", p.T("queue.any"), state == "all"})
	d.Form = []field{{Name: "target", Label: p.T("dossier.field.target"), Value: clean(q.Get("target"), 253), Mono: true, Most: 253, Complete: "off"}, {Name: "state", Label: p.T("dossier.field.state"), Type: "select", Options: states}}
	for _, x := range found.Dossiers {
		d.Rows = append(d.Rows, p.dossierRow(x))
	}
	v.show(http.StatusOK, "dossier.list", d)
}
