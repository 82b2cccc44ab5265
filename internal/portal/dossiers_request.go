package portal

import (
	"net/http"
	"net/url"
	"strings"

	"postern/internal/locale"
	"postern/internal/reputation"
)

// dossierRequestPage is the request to a list, to copy.
type dossierRequestPage struct {
	page
	Target, Operator string
	Warnings         []string
	Subject          string
	Body             []textPart
	Ways             []dossierWay
	Language         string // of the request
	OtherURL         string // the same in the other language
	OtherName        string
	Back             string
}

// textPart is a piece of a text; a gap is what a person must fill in.
type textPart struct {
	Text string
	Gap  bool
}

// gapsOf divides a request into its text and its gaps.
func gapsOf(body string) (out []textPart) {
	for body != "" {
		before, rest, found := strings.Cut(body, reputation.GapOpen)
		gap, after, closed := strings.Cut(rest, reputation.GapClose)
		if !found || !closed {
			return append(out, textPart{Text: body})
		}
		out = append(out, textPart{Text: before}, textPart{reputation.GapOpen + gap + reputation.GapClose, true})
		body = after
	}
	return out
}

// dossierRequest prepares the request for removal, in the language that is asked for.
func (s *site) dossierRequest(v *visit) {
	x, ok := s.dossierOf(v)
	if !ok {
		return
	}
	p := v.page
	lang := v.r.URL.Query().Get("in")
	if lang != locale.French && lang != locale.English {
		lang = locale.English // what most lists read
		if len(x.Delisting) > 0 && x.Delisting[0].Lang == locale.French {
			lang = locale.French
		}
	}
	r, err := s.o.Reputation.Request(v.r.Context(), x.ID, lang)
	if err != nil {
		v.broken("request not prepared", err)
		return
	}
	here := "/o/dossiers/" + url.PathEscape(x.ID)
	d := dossierRequestPage{page: p, Target: x.Target, Operator: clean(x.Operator, 100), Subject: r.Subject, Body: gapsOf(r.Body), Language: lang, Back: p.URL(here)}
	d.Title = p.T("dossier.request.title", "Operator", d.Operator)
	for _, w := range r.Warnings {
		d.Warnings = append(d.Warnings, p.rt("warning."+w.Code, p.cleanArgs(w.Args)))
	}
	for _, w := range r.Ways {
		d.Ways = append(d.Ways, p.dossierWay(w))
	}
	other := locale.French
	if lang == locale.French {
		other = locale.English
	}
	d.OtherURL, d.OtherName = p.URL(here+"/request", "in", other), p.T("dossier.request.in."+other)
	v.show(http.StatusOK, "dossier.request", d)
}
