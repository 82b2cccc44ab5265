package portal

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/user"
)

// entriesPerPage is how many lines one page of the record shows.
const entriesPerPage = 50

// historyRoutes are the record of acts: about a customer, and about the gateway and everybody.
func (s *site) historyRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/c/{customer}/history", access: over(user.UsersRead), do: s.history},
		{method: http.MethodGet, path: "/o/history", access: gateway(user.UsersRead), do: s.history},
	}
}

// historyPage is a page of the record.
type historyPage struct {
	page
	Lede    string
	Here    string
	Filters []field
	Entries []entryRow
	Pager   pager
}

// entryRow is one line of the record.
type entryRow struct {
	Stamp, When, Who, WhoURL, Kind, What, Subject, Text, IP string
	Failed                                                  bool
}

func (s *site) history(v *visit) {
	q := v.r.URL.Query()
	who, act := clean(q.Get("who"), 100), clean(q.Get("act"), 60)
	query := user.EntryQuery{Customer: v.customer.ID, Everybody: v.customer.ID == "", Actor: who, Act: act, Limit: entriesPerPage}
	query.Before, _ = strconv.ParseInt(q.Get("before"), 10, 64)
	query.Before = max(query.Before, 0)
	list, err := s.o.Users.Entries(v.r.Context(), query)
	if err != nil {
		v.broken("record not read", err)
		return
	}
	here := v.place() + "/history"
	p := historyPage{page: v.page, Lede: v.page.T("history.lede"), Here: v.page.URL(here)}
	p.Title = p.T("history.heading")
	people := []option{{"", p.T("history.everybody"), who == ""}}
	for _, e := range list.Entries {
		row := v.entryRow(e)
		if e.Actor != "" {
			row.WhoURL = p.URL(here, "who", e.Actor, "act", act)
			if !slices.ContainsFunc(people, func(o option) bool { return o.Value == e.Actor }) {
				people = append(people, option{e.Actor, row.Who, e.Actor == who})
			}
		}
		p.Entries = append(p.Entries, row)
	}
	people = s.people(v, people, who)
	kinds := []option{{"", p.T("history.all"), act == ""}}
	for _, a := range s.actsKnown(v.customer.ID != "") {
		kinds = append(kinds, option{a, p.actText(a), a == act})
	}
	slices.SortStableFunc(kinds[1:], func(a, b option) int { return strings.Compare(a.Label, b.Label) })
	p.Filters = []field{
		{Name: "who", Label: p.T("history.by"), Type: "select", Options: people},
		{Name: "act", Label: p.T("history.kind"), Type: "select", Options: kinds},
	}
	if list.Next > 0 {
		p.Pager.Next = p.URL(here, "who", who, "act", act, "before", strconv.FormatInt(list.Next, 10))
	}
	if query.Before > 0 {
		p.Pager.First = p.URL(here, "who", who, "act", act)
	}
	v.show(http.StatusOK, "history.list", p)
}

// people completes the choice of persons by the place's first users, and by the one who is chosen.
func (s *site) people(v *visit, out []option, chosen string) []option {
	list, err := s.o.Users.Users(v.r.Context(), user.UserQuery{Customer: v.customer.ID, Limit: usersPerPage})
	if err != nil {
		s.o.Logger.Warn("users not read for a filter", "error", err)
	}
	for _, u := range list.Users {
		actor := u.Principal().Actor()
		if !slices.ContainsFunc(out, func(o option) bool { return o.Value == actor }) {
			out = append(out, option{actor, userName(u), actor == chosen})
		}
	}
	if !slices.ContainsFunc(out, func(o option) bool { return o.Value == chosen }) {
		out = append(out, option{chosen, chosen, true})
	}
	slices.SortStableFunc(out[1:], func(a, b option) int { return strings.Compare(strings.ToLower(a.Label), strings.ToLower(b.Label)) })
	return out
}

// actsKnown are the acts that routes declare, over a customer or all, each once and sorted.
func (s *site) actsKnown(customer bool) []string {
	out := []string{"sign-in", "sign-in.second"}
	for _, rt := range s.routes() {
		if rt.act != "" && (!customer || rt.access.customer || rt.access.self || rt.access.anybody) {
			out = append(out, rt.act)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// actText is an act in words. What has no words of its own is named as it is written.
func (p page) actText(act string) string {
	if key := "portal.history.act." + act; p.site.o.Catalog.Has(key) {
		return p.T("history.act." + act)
	}
	return p.T("history.unknown", "Act", clean(act, 60))
}

func (v *visit) entryRow(e user.Entry) entryRow {
	p := v.page
	row := entryRow{Stamp: e.At.UTC().Format(time.RFC3339), When: p.date(e.At), Who: clean(e.Name, 100), What: p.actText(e.Act), Subject: clean(e.Subject, 300), Text: clean(e.Text, 500), Failed: e.Failed}
	kind, id, _ := strings.Cut(e.Actor, ":")
	switch kind {
	case "operator", "token", "user":
		row.Kind = p.T("history.actor." + kind)
		if id == "" {
			row.Kind = p.T("history.actor.host")
		}
	case "":
		row.Kind = p.T("history.actor.nobody")
	}
	if row.Who == "" {
		row.Who, row.Kind = row.Kind, ""
	}
	if row.Who == "" {
		row.Who = clean(e.Actor, 100)
	}
	if e.IP.IsValid() {
		row.IP = e.IP.String()
	}
	return row
}
