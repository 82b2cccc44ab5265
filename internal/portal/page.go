package portal

import (
	"bytes"
	"html/template"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/user"
)

// page is what every template gets: texts in one language, and links that keep it.
type page struct {
	site   *site
	Lang   string
	Chosen bool   // named by the address, so links keep it
	Path   string // of this page, for the language switch; empty: no switch
	Title  string

	Who      *user.Principal   // nil: not signed in
	Customer *account.Customer // whose page it is; nil: nobody's in particular
	Menu     []menuGroup
	Banner   *banner        // what the last act said
	Scripts  []string       // paths of scripts that the page may do without
	zone     *time.Location // of the visitor; nil: the clock's
	query    url.Values     // of the address, kept by the language switch
}

// page begins a page in the language that the address names, else in lang.
func (s *site) page(r *http.Request, lang string) page {
	p := page{site: s, Lang: lang}
	if q := r.URL.Query().Get("lang"); q == locale.French || q == locale.English {
		p.Lang, p.Chosen = q, true
	}
	return p
}

// T returns a text. Arguments are pairs of name and value.
func (p page) T(key string, pairs ...any) string {
	return p.site.o.Catalog.Text(p.Lang, "portal."+key, locale.Args(pairs...))
}

// In returns the same page in another language, for pages that speak both.
func (p page) In(lang string) page {
	p.Lang = lang
	return p
}

// URL returns the address of one of our paths, which may have a query, with pairs of name and value added to it.
func (p page) URL(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if p.Chosen {
		q.Set("lang", p.Lang)
	}
	if len(q) == 0 {
		return p.site.prefix + path
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return p.site.prefix + path + separator + q.Encode()
}

// OtherLang is the language of the switch, Switch its address.
func (p page) OtherLang() string {
	if p.Lang == locale.French {
		return locale.English
	}
	return locale.French
}

// Switch is the address of this page in the other language.
func (p page) Switch() string {
	q := maps.Clone(p.query)
	if q == nil {
		q = url.Values{}
	}
	q.Set("lang", p.OtherLang())
	return p.site.prefix + p.Path + "?" + q.Encode()
}

// Style, Icon and Host are the same on every page.
func (p page) Style() string { return p.site.prefix + p.site.style }

// Icon is the address of the site's sign.
func (p page) Icon() string { return p.site.prefix + p.site.icon }

// Host is the gateway's name.
func (p page) Host() string { return p.site.o.Hostname }

// number writes points: two decimals, or three where two would hide on which side of bound they are.
func (p page) number(f, bound float64) string {
	text := locale.Number(p.Lang, f)
	if f == bound || text != locale.Number(p.Lang, bound) {
		return text
	}
	text = strconv.FormatFloat(math.Round(f*1000)/1000, 'f', 3, 64)
	if p.Lang == locale.French {
		text = string(bytes.Replace([]byte(text), []byte("."), []byte(","), 1))
	}
	return text
}

// points writes points with their sign: "+2.5", "−0.1", "0".
func (p page) points(f float64) string {
	text := locale.Number(p.Lang, math.Abs(f))
	switch {
	case text == "0":
		return text
	case f < 0:
		return "\u2212" + text
	}
	return "+" + text
}

// date writes a moment in the clock's zone.
func (p page) date(t time.Time) string {
	return locale.Date(p.Lang, t.In(p.location()))
}

// location is the zone in which the visitor reads times.
func (p page) location() *time.Location {
	if p.zone != nil {
		return p.zone
	}
	return p.site.o.Now().Location()
}

// render writes a page, or the plainest of all pages when its template fails.
func (s *site) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.templates.ExecuteTemplate(&b, name, data); err != nil {
		s.o.Logger.Error("page not shown", "page", name, "error", err)
		http.Error(w, "This page cannot be shown at the moment. / Cette page ne peut pas être affichée pour le moment.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// beside hands a template two things: the page and one item of it.
func beside(page, item any) any { return struct{ Page, Item any }{page, item} }

// errorPage says what happened and what to do.
type errorPage struct {
	page
	Heading string
	What    string
	Do      string
}

// fail answers with a page that holds nothing of the request. kind names its texts: portal.error.KIND.*.
func (s *site) fail(w http.ResponseWriter, r *http.Request, status int, kind string) {
	s.failWith(w, r, status, kind)
}

func (s *site) failWith(w http.ResponseWriter, r *http.Request, status int, kind string, pairs ...any) {
	x, _ := signedIn(r)
	p := s.pageFor(r, x)
	if x.who.ID != "" {
		p.Who = &x.who
		p.Menu = s.menu(&visit{s: s, r: r, page: p, who: x.who})
	}
	e := errorPage{page: p, Heading: p.T("error." + kind + ".heading"), What: p.T("error."+kind+".what", pairs...), Do: p.T("error." + kind + ".do")}
	e.Title = p.T("error.title", "Heading", e.Heading)
	s.render(w, status, "error.html", e)
}

// busy tells a client that asks too often when to come back.
func (s *site) busy(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	s.failWith(w, r, http.StatusTooManyRequests, "busy", "Wait", time.Duration(seconds)*time.Second)
}

// startPage is the page of the bare address: in both languages, for it knows nobody.
type startPage struct {
	page
	Pages  []page
	SignIn bool // there is a sign-in
	Check  bool // anybody may check a domain
}

func (s *site) start(w http.ResponseWriter, r *http.Request) {
	if x, ok := signedIn(r); ok {
		http.Redirect(w, r, s.pageFor(r, x).URL(homeOf(x.who)), http.StatusSeeOther)
		return
	}
	p := s.page(r, locale.Match(r.Header.Get("Accept-Language")))
	p.Title = p.T("start.title", "Host", s.o.Hostname)
	s.render(w, http.StatusOK, "start.html", startPage{page: p, Pages: []page{p.In(p.Lang), p.In(p.OtherLang())}, SignIn: s.o.Users != nil, Check: s.o.PublicChecker != nil})
}

// ask returns the address's query with one more field, keeping the language.
func (p page) ask(name, value string) string {
	q := url.Values{name: {value}}
	if p.Chosen {
		q.Set("lang", p.Lang)
	}
	return "?" + q.Encode()
}

// anchor makes a name usable as the id of an element.
func anchor(name string) string {
	return "t-" + template.URLQueryEscaper(name)
}
