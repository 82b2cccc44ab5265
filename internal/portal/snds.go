package portal

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/locale"
	"postern/internal/postmaster"
	"postern/internal/report"
	"postern/internal/user"
)

// sndsRoutes are the operator's pages about what Microsoft says of the addresses that mail leaves from.
func (s *site) sndsRoutes() []route {
	read, write, setup := gateway(user.GatewayRead), gateway(user.GatewayOperate), gateway(user.SetupWrite)
	return []route{
		{method: http.MethodGet, path: "/o/snds", access: read, do: s.snds},
		{method: http.MethodGet, path: "/o/snds/export.csv", access: read, do: s.sndsExport},
		{method: http.MethodGet, path: "/o/snds/{ip}", access: read, do: s.sndsAddress},
		{method: http.MethodPost, path: "/o/snds/import", access: write, act: "snds.import", body: maxSNDSUpload + 64<<10, do: s.sndsImport},
		{method: http.MethodPost, path: "/o/snds/fetch", access: write, act: "snds.fetch", do: s.sndsFetch},
		{method: http.MethodPost, path: "/o/snds/connect", access: setup, act: "snds.sign-in", do: s.sndsConnect},
		{method: http.MethodGet, path: "/o/snds/callback", access: setup, do: s.sndsCallback},
		{method: http.MethodPost, path: "/o/snds/finish", access: setup, act: "snds.connect", do: s.sndsFinish},
		{method: http.MethodPost, path: "/o/snds/disconnect", access: setup, act: "snds.disconnect", do: s.sndsDisconnect},
	}
}

// Bounds of the pages.
const (
	maxSNDSUpload = 8 << 20 // bytes of a file
	sndsPage      = 50      // addresses of one page
	sndsExported  = 200_000 // rows of a day in a file
	sndsFaults    = 50      // rows that are told one by one
)

// sndsCell is one address on one day: a colour, a letter, and all of it in words.
type sndsCell struct{ Class, Letter, Title string }

// sndsLine is one address of the map.
type sndsLine struct {
	IP, URL         string
	State, Class    string
	Traps, Rate     string
	Hot             bool // there are trap hits
	Above           bool // more complaints than the average of all
	Cells           []sndsCell
	RedDays, Recips string
}

// sndsDay is the head of a column.
type sndsDay struct{ Day, Month, Full string }

// sndsSource is a way in.
type sndsSource struct {
	Name, State, Class, What string
	Worked, Next, Expires    opMoment
}

// sndsState is a range that Microsoft reports.
type sndsState struct {
	Range, Word, Class, Reason string
	Since                      opMoment
	Ended                      bool
}

type sndsMapPage struct {
	page
	Pager            pager
	Days             []sndsDay
	Lines            []sndsLine
	Tiles            []sndsTile
	Legend           []sndsCell
	Spans            []opLink // other lengths
	Span             string
	Silent           []string
	States, Past     []sndsState
	Sources          []sndsSource
	Fetch            *button
	File             *field
	ImportURL        string
	Faults           []string
	Export           string
	Connection       *sndsConnection
	Empty            bool
	MayAct, MaySetUp bool
}

// sndsTile is a figure with its words.
type sndsTile struct{ Value, Label, URL string }

// sndsConnection is the account of the interface of 2026.
type sndsConnection struct {
	There                  bool
	Possible               bool
	By                     string
	Made, Renewed, Expires opMoment
	Connect, Disconnect    *button
}

// snds shows the map.
func (s *site) snds(v *visit) {
	if s.o.Postmaster == nil {
		v.missing()
		return
	}
	s.showSNDS(v, http.StatusOK, nil, "")
}

// sndsSpan reads how many days are shown, and from which address on.
func (v *visit) sndsSpan() (days, from int) {
	days = 30
	if n, err := strconv.Atoi(v.page.query.Get("days")); err == nil && (n == 7 || n == 90) {
		days = n
	}
	if n, err := strconv.Atoi(v.page.query.Get("from")); err == nil && n > 0 && n < 1_000_000 {
		from = n
	}
	return days, from
}

// showSNDS shows the map, with what was wrong with a file.
func (s *site) showSNDS(v *visit, status int, faults []string, fault string) {
	p, ctx := v.page, v.r.Context()
	days, from := v.sndsSpan()
	now := s.o.Now()
	h, err := s.o.Postmaster.Heat(ctx, now.AddDate(0, 0, 1-days), now, from, sndsPage)
	if err != nil {
		v.broken("figures of SNDS not read", err)
		return
	}
	d := sndsMapPage{page: p, Faults: faults, MayAct: v.who.May(user.GatewayOperate, ""), MaySetUp: v.who.May(user.SetupWrite, ""), Span: p.T("snds.span", "Count", days)}
	d.Title = p.T("snds.title")
	if d.Empty, err = s.o.Postmaster.Empty(ctx); err != nil {
		v.broken("figures of SNDS not read", err)
		return
	}
	for _, n := range []int{7, 30, 90} {
		if n != days {
			d.Spans = append(d.Spans, opLink{p.T("snds.span", "Count", n), p.URL("/o/snds", "days", strconv.Itoa(n))})
		}
	}
	w := p.sndsWords()
	for i, day := range slices.Backward(h.Days) { // the newest first: a small screen shows it without scrolling
		x := sndsDay{Day: day.Format("2"), Full: w.day(day)}
		if i == len(h.Days)-1 || day.AddDate(0, 0, 1).Day() == 1 {
			x.Month = w.month(day)
		}
		d.Days = append(d.Days, x)
	}
	for i := from; i < len(h.Lines) && i < from+sndsPage; i++ {
		d.Lines = append(d.Lines, p.sndsLine(w, h, h.Lines[i]))
	}
	at := func(n int) string {
		return p.URL("/o/snds", "days", p.query.Get("days"), "from", strconv.Itoa(n))
	}
	if from > 0 {
		d.Pager.First = at(0)
	}
	if from+sndsPage < len(h.Lines) {
		d.Pager.Next = at(from + sndsPage)
	}
	d.Tiles = []sndsTile{{p.count(float64(len(h.Lines))), p.T("snds.tile.known"), ""}, {p.count(float64(h.Red)), p.T("snds.tile.red"), ""}, {p.count(float64(h.Trapped)), p.T("snds.tile.trapped"), ""},
		{w.rate(h.Average), p.T("snds.tile.average"), ""}}
	for i, x := range h.Silent {
		if i == 100 {
			d.Silent = append(d.Silent, "…")
			break
		}
		d.Silent = append(d.Silent, prefixName(x))
	}
	d.Legend = []sndsCell{w.cell("", postmaster.Cell{Known: true, Colour: report.SNDSGreen}), w.cell("", postmaster.Cell{Known: true, Colour: report.SNDSYellow}),
		w.cell("", postmaster.Cell{Known: true, Colour: report.SNDSRed}), {"h-red h-trap", w.letters[report.SNDSRed] + "!", p.T("snds.legend.trap")}, {"h-some", "–", p.T("snds.legend.some")}, {"h-none", "·", p.T("snds.legend.none")}}
	d.Legend[0].Title, d.Legend[1].Title, d.Legend[2].Title = p.T("snds.legend.green"), p.T("snds.legend.yellow"), p.T("snds.legend.red")
	if !s.sndsBesides(v, &d) {
		return
	}
	d.Export = p.URL("/o/snds/export.csv", "days", p.query.Get("days"))
	if d.MayAct {
		d.ImportURL = p.URL("/o/snds/import")
		d.File = &field{Name: "file", Label: p.T("snds.import.file"), Hint: p.T("snds.import.hint", "Size", maxSNDSUpload>>20), Type: "file", Required: true, Fault: fault}
	}
	v.show(status, "snds.html", d)
}

// prefixName writes an address or a range.
func prefixName(x netip.Prefix) string {
	if x.IsSingleIP() {
		return x.Addr().String()
	}
	return x.String()
}

// sndsBesides adds what stands below the map: states, ways in, the account. False: the answer is written.
func (s *site) sndsBesides(v *visit, d *sndsMapPage) bool {
	p, ctx, room := v.page, v.r.Context(), s.o.Postmaster
	states, err := room.States(ctx)
	if err != nil {
		v.broken("states of SNDS not read", err)
		return false
	}
	events, err := room.Events(ctx, netip.Addr{}, 20)
	if err != nil {
		v.broken("states of SNDS not read", err)
		return false
	}
	sources, err := room.Sources(ctx)
	if err != nil {
		v.broken("sources of figures not read", err)
		return false
	}
	for i, x := range states {
		if i < 200 {
			d.States = append(d.States, p.sndsState(x, x.Since))
		}
	}
	for _, e := range events {
		x := p.sndsState(e.State, e.At)
		if x.Ended = !e.Began; x.Ended {
			x.Class = "ready"
		}
		d.Past = append(d.Past, x)
	}
	for _, x := range sources {
		d.Sources = append(d.Sources, p.sndsSource(x))
	}
	if d.MayAct && len(d.Sources) > 0 {
		d.Fetch = &button{URL: p.URL("/o/snds/fetch"), Label: p.T("snds.fetch"), Class: "second", Hint: p.T("snds.fetch.hint")}
	}
	c, err := room.Connection(ctx)
	if err != nil {
		v.broken("connection of SNDS not read", err)
		return false
	}
	x := sndsConnection{There: c.There, Possible: c.Possible, By: v.sndsBy(c.By), Made: p.opWhen(c.Made), Renewed: p.opWhen(c.Renewed), Expires: p.opWhen(c.Expires)}
	if d.MaySetUp && c.Possible {
		x.Connect = &button{URL: p.URL("/o/snds/connect"), Label: p.T("snds.connect.button"), Hint: p.T("snds.connect.hint")}
		if c.There {
			x.Connect.Label, x.Connect.Class = p.T("snds.connect.again"), "second"
			x.Disconnect = &button{URL: p.URL("/o/snds/disconnect"), Label: p.T("snds.disconnect"), Class: "danger", Sure: p.T("snds.disconnect.sure")}
		}
	}
	d.Connection = &x
	return true
}

// sndsBy names who connected the account.
func (v *visit) sndsBy(actor string) string {
	_, id, ok := strings.Cut(actor, ":")
	if !ok {
		return clean(actor, 100)
	}
	if u, err := v.s.o.Users.User(v.r.Context(), id); err == nil {
		return clean(cmp.Or(u.Name, u.Address.String()), 100)
	}
	return clean(id, 100)
}

func (p page) sndsState(x postmaster.State, at time.Time) sndsState {
	out := sndsState{Range: x.First.String(), Word: p.T("snds.state." + string(x.State)), Class: "mend", Reason: clean(x.Reason, 300), Since: p.opWhen(at)}
	if x.First != x.Last {
		out.Range += " – " + x.Last.String()
	}
	if x.State == report.SNDSBlocked {
		out.Class = "refused"
	}
	return out
}

// sndsSource says how a way in fares.
func (p page) sndsSource(x postmaster.Source) sndsSource {
	out := sndsSource{Name: clean(x.Name, 100), State: p.T("snds.source.works"), Class: "ready", Worked: p.opWhen(x.Worked), Next: p.opWhen(x.Next), Expires: p.opWhen(x.Expires)}
	if key := "snds.source.name." + x.Name; p.site.o.Catalog.Has("portal." + key) {
		out.Name = p.T(key)
	}
	switch {
	case x.Waiting:
		out.State, out.Class, out.Next = p.T("snds.source.waiting"), "", opMoment{}
	case x.Fault != "":
		out.State, out.Class, out.What = p.T("snds.source.fails"), "refused", p.T("snds.fault."+string(x.Fault))
	case x.Worked.IsZero():
		out.State, out.Class = p.T("snds.source.new"), ""
	}
	return out
}

// sndsWords are words that stand in every cell, looked up once.
type sndsWords struct {
	p                                       page
	letters, colours                        map[report.SNDSColour]string
	unknown, nothing, said, rates, hit, rcp string
	below                                   string
}

func (p page) sndsWords() sndsWords {
	w := sndsWords{p: p, letters: map[report.SNDSColour]string{}, colours: map[report.SNDSColour]string{}, unknown: p.T("snds.unknown"), nothing: p.T("snds.nothing"), said: p.T("snds.said"),
		rates: p.T("snds.cell.complaints"), hit: p.T("snds.cell.traps"), rcp: p.T("snds.cell.recipients"), below: "<\u00a0"}
	for _, c := range []report.SNDSColour{report.SNDSGreen, report.SNDSYellow, report.SNDSRed} {
		w.letters[c], w.colours[c] = p.T("snds.letter."+string(c)), p.T("snds.colour."+string(c))
	}
	return w
}

func (w sndsWords) day(t time.Time) string { return locale.Day(w.p.Lang, t.UTC()) }

func (w sndsWords) month(t time.Time) string {
	if w.p.Lang == locale.French {
		return t.UTC().Format("01/06")
	}
	return t.UTC().Format("Jan")
}

// rate writes a complaint rate.
func (w sndsWords) rate(r report.SNDSRate) string {
	if !r.Known {
		return w.unknown
	}
	text := locale.Number(w.p.Lang, r.Percent) + "\u00a0%"
	if r.Percent > 0 && r.Percent < .01 {
		text = w.below + locale.Number(w.p.Lang, .01) + "\u00a0%"
	}
	if r.Below {
		return w.below + text
	}
	return text
}

func (w sndsWords) number(n report.SNDSNumber) string {
	if !n.Known {
		return w.unknown
	}
	return locale.Number(w.p.Lang, float64(n.Value))
}

// cell writes one address on one day.
func (w sndsWords) cell(day string, c postmaster.Cell) sndsCell {
	if !c.Known {
		return sndsCell{"h-none", "·", day + w.nothing}
	}
	out := sndsCell{"h-some", "–", day + w.said}
	if c.Colour != "" {
		out = sndsCell{"h-" + string(c.Colour), w.letters[c.Colour], day + w.colours[c.Colour]}
	}
	out.Title += "; " + w.rates + " " + w.rate(c.Complaint) + "; " + w.hit + " " + w.number(c.Traps) + "; " + w.rcp + " " + w.number(c.Recipients)
	if c.Traps.Value > 0 {
		out.Class, out.Letter = out.Class+" h-trap", out.Letter+"!"
	}
	return out
}

func (p page) sndsLine(w sndsWords, h postmaster.Heat, l postmaster.Line) sndsLine {
	x := sndsLine{IP: l.IP.String(), URL: p.URL("/o/snds/" + l.IP.String()), Traps: w.number(l.Traps), Rate: w.rate(l.Complaint), Hot: l.Traps.Value > 0,
		Above: l.Complaint.Known && !l.Complaint.Below && l.Complaint.Percent > h.Average.Percent*1.0001}
	if l.State != nil {
		s := p.sndsState(*l.State, l.State.Since)
		x.State, x.Class = s.Word, s.Class
	}
	for i, c := range slices.Backward(l.Cells) {
		x.Cells = append(x.Cells, w.cell(w.day(h.Days[i])+": ", c))
	}
	return x
}
