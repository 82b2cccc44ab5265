package portal

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/user"
)

// Ends of a sender's own entries: who has left or was broken into leaves no door open for long.
const (
	allowDays     = 90
	allowDaysMost = 366
)

// allowRoutes are the sender's own allow list.
func (s *site) allowRoutes() []route {
	at := "/c/{customer}/allow"
	return []route{
		{method: http.MethodGet, path: at, access: over(user.ListsRead), do: func(v *visit) { s.showAllow(v, http.StatusOK, nil) }},
		{method: http.MethodPost, path: at + "/add", access: over(user.ListsWrite), act: "allow.add", do: s.allowAdd},
		{method: http.MethodPost, path: at + "/remove", access: over(user.ListsWrite), act: "allow.remove", do: s.allowRemove},
	}
}

// allowPage shows which senders and recipients are let through.
type allowPage struct {
	page
	Base    string
	Power   string // what an entry is worth, or why it is worth nothing
	Own     []allowRow
	Allowed []allowRow // by the operator, for this customer
	Denied  []allowRow
	Add     []field // nil: nothing can be added
	AddOpen bool
}

// allowRow is one entry.
type allowRow struct {
	What   string
	Value  string
	Until  string
	Ended  bool
	Note   string
	Made   string
	Remove *button
}

// ownChoices are what a sender's own entries may be about.
var ownChoices = []account.What{account.WhatFrom, account.WhatTo, account.WhatToDomain}

// useful reports whether own entries count for a customer: they have the power of his releasing, no more.
func useful(c account.Customer) bool { return c.SelfRelease && !c.Suspended }

func (s *site) showAllow(v *visit, status int, change func(*allowPage)) {
	x := allowPage{page: v.page, Base: "/c/" + v.customer.ID + "/allow"}
	x.Title, x.Path = x.T("lists.allow.title"), x.Base
	may := v.who.May(user.ListsWrite, v.customer.ID)
	switch {
	case v.customer.Suspended:
		x.Power = x.T("lists.allow.suspended")
	case !v.customer.SelfRelease:
		x.Power = x.T("lists.allow.none")
	default:
		x.Power = x.T("lists.allow.power", "Threshold", v.customer.Threshold, "Ceiling", v.customer.ReleaseCeiling)
	}
	for _, e := range s.o.Accounts.EntriesOf(v.customer.ID) {
		row := x.allowRow(e)
		switch {
		case e.Own:
			if may {
				row.Remove = &button{URL: x.URL(x.Base + "/remove"), Label: x.T("lists.allow.remove"), Class: "second small", Values: map[string]string{"what": string(e.What), "value": e.Value}}
			}
			x.Own = append(x.Own, row)
		case e.Kind == account.Deny:
			x.Denied = append(x.Denied, row)
		default:
			x.Allowed = append(x.Allowed, row)
		}
	}
	if may && useful(v.customer) {
		until := s.o.Now().In(x.location()).AddDate(0, 0, allowDays).Format(time.DateOnly)
		x.Add = x.allowForm(v.customer, "", "", until, "")
	}
	if change != nil {
		change(&x)
	}
	v.show(status, "allow.html", x)
}

func (p page) allowRow(e account.Entry) allowRow {
	row := allowRow{What: p.T("lists.what." + string(e.What)), Value: clean(e.Value, 320), Ended: e.Ended(p.site.o.Now()), Note: clean(e.Note, 300), Until: p.T("lists.until.lifted")}
	if !e.Until.IsZero() {
		row.Until = p.date(e.Until)
	}
	if !e.At.IsZero() {
		row.Made = p.date(e.At)
	}
	return row
}

// allowForm are the fields of a new entry. Where any sender address may be used, From proves nothing and is not offered.
func (p page) allowForm(c account.Customer, what, value, until, note string) []field {
	var whats []option
	for _, w := range ownChoices {
		if w != account.WhatFrom || !c.AnyFrom {
			whats = append(whats, option{string(w), p.T("lists.what." + string(w)), string(w) == what})
		}
	}
	return []field{
		{Name: "what", Label: p.T("lists.allow.what"), Type: "select", Options: whats},
		{Name: "value", Label: p.T("lists.allow.value"), Hint: p.T("lists.allow.value.hint"), Value: clean(value, maxWhat), Most: maxWhat, Required: true, Mono: true},
		{Name: "until", Label: p.T("lists.until"), Hint: p.T("lists.allow.until.hint", "Days", allowDaysMost), Type: "date", Value: clean(until, 20), Required: true},
		{Name: "note", Label: p.T("lists.note"), Hint: p.T("lists.note.hint"), Value: clean(note, 300), Most: maxNoteText},
	}
}

// allowAdd makes an entry of the sender's own.
func (s *site) allowAdd(v *visit) {
	if v.status = s.readForm(v.w, v.r); v.status != 0 {
		return
	}
	form := v.r.PostForm
	v.about(clean(form.Get("what")+":"+form.Get("value"), 300), "")
	if !useful(v.customer) {
		s.showAllow(v, http.StatusForbidden, func(x *allowPage) { x.Banner = &banner{"bad", x.Power} })
		return
	}
	p := v.page
	fields := p.allowForm(v.customer, form.Get("what"), form.Get("value"), form.Get("until"), form.Get("note"))
	e := account.Entry{Scope: v.customer.ID, Own: true, Kind: account.Allow, What: account.What(form.Get("what")), Value: strings.TrimSpace(form.Get("value")), Note: strings.TrimSpace(form.Get("note")), By: v.who.Actor()}
	fault := func(i int, key string, pairs ...any) { fields[i].Fault = p.T("lists.fault."+key, pairs...) }
	if !slices.ContainsFunc(fields[0].Options, func(o option) bool { return o.Value == string(e.What) }) {
		fault(0, "what")
	}
	if e.What == account.WhatToDomain {
		if d, err := mail.ParseDomain(strings.TrimPrefix(e.Value, "@")); err != nil || !strings.Contains(string(d), ".") {
			fault(1, "domain")
		} else {
			e.Value = string(d)
		}
	} else if a, err := mail.ParseAddress(e.Value); err != nil || a.IsNull() {
		fault(1, "address")
	} else if e.What == account.WhatFrom && !s.o.Accounts.OwnsDomain(v.customer, a.Domain) {
		fault(1, "foreign", "Domain", string(a.Domain))
	}
	var day string
	if e.Until, day = p.lastDay(form.Get("until")); day != "" {
		fields[2].Fault = day
	} else if e.Until.IsZero() || e.Until.After(s.o.Now().AddDate(0, 0, allowDaysMost+1)) {
		fault(2, "until", "Days", allowDaysMost)
	}
	if len(e.Note) > 200 || strings.ContainsFunc(e.Note, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		fault(3, "note")
	}
	if !slices.ContainsFunc(fields, func(f field) bool { return f.Fault != "" }) {
		made, err := s.o.Accounts.AddEntry(v.r.Context(), e)
		switch {
		case err == nil:
			v.about(made.String(), made.Note)
			v.wrote(journal.Fact{Kind: journal.Tuned, Text: fmt.Sprintf("sender's own allow list: %s added until %s", made, made.Until.UTC().Format(time.RFC3339))})
			v.done("/c/"+v.customer.ID+"/allow", "lists.done.allowed", "Value", made.Value)
			return
		case errors.Is(err, account.ErrInvalid):
			fault(1, "value", "Most", account.MaxOwnEntries)
		default:
			v.broken("entry not made", err)
			return
		}
	}
	s.showAllow(v, http.StatusUnprocessableEntity, func(x *allowPage) {
		x.Add, x.AddOpen, x.Title = fields, true, x.T("error.title", "Heading", x.Title)
	})
}

// allowRemove takes away an entry of the sender's own.
func (s *site) allowRemove(v *visit) {
	if v.status = s.readForm(v.w, v.r); v.status != 0 {
		return
	}
	e := account.Entry{Scope: v.customer.ID, Own: true, Kind: account.Allow, What: account.What(v.r.PostForm.Get("what")), Value: v.r.PostForm.Get("value")}
	v.about(clean(e.String(), 300), "")
	err := s.o.Accounts.RemoveEntry(v.r.Context(), e)
	switch {
	case errors.Is(err, account.ErrNotFound), errors.Is(err, account.ErrInvalid):
		v.missing()
	case errors.Is(err, account.ErrFromConfig):
		s.showAllow(v, http.StatusConflict, func(x *allowPage) { x.Banner = &banner{"bad", x.T("lists.fault.config")} })
	case err != nil:
		v.broken("entry not removed", err)
	default:
		v.wrote(journal.Fact{Kind: journal.Tuned, Text: fmt.Sprintf("sender's own allow list: %s removed", e)})
		v.done("/c/"+v.customer.ID+"/allow", "lists.done.removed", "Value", clean(e.Value, 200))
	}
}
