package portal

import (
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/report"
)

// sndsRow is one period of an address.
type sndsRow struct {
	From, To, RCPT, DATA, Recipients, Filter, Class, Rate, Traps, HELO, Sender, Comments, Source string
	TrapTime                                                                                     []string // from and to, where it is known
	Hot                                                                                          bool
}

type sndsAddressPage struct {
	page
	Word, Class, Lead string
	State             *sndsState
	Rows              []sndsRow
	Plots             []plot
	Past              []sndsState
	Spans             []opLink
	Span, Back        string
}

// sndsAddress shows one address.
func (s *site) sndsAddress(v *visit) {
	p, ctx := v.page, v.r.Context()
	ip, err := netip.ParseAddr(v.r.PathValue("ip"))
	if s.o.Postmaster == nil || err != nil || ip.Zone() != "" {
		v.missing()
		return
	}
	ip = ip.Unmap()
	days, _ := v.sndsSpan()
	now := s.o.Now()
	rows, err := s.o.Postmaster.Trend(ctx, ip, now.AddDate(0, 0, 1-days), now)
	if err != nil {
		v.broken("figures of SNDS not read", err)
		return
	}
	standing, err := s.o.Postmaster.Standing(ctx, ip)
	if err != nil {
		v.broken("states of SNDS not read", err)
		return
	}
	events, err := s.o.Postmaster.Events(ctx, ip, 50)
	if err != nil {
		v.broken("states of SNDS not read", err)
		return
	}
	w := p.sndsWords()
	d := sndsAddressPage{page: p, Word: p.T("snds.standing.unknown"), Class: "dropped", Lead: p.T("snds.standing.unknown.lead"), Span: p.T("snds.span", "Count", days), Back: p.URL("/o/snds")}
	d.Title = ip.String()
	switch {
	case standing.State != nil:
		x := p.sndsState(*standing.State, standing.State.Since)
		d.State, d.Word, d.Class, d.Lead = &x, x.Word, "held", p.T("snds.standing."+string(standing.State.State))
		if standing.State.State == report.SNDSBlocked {
			d.Class = "bounced"
		}
	case standing.Known:
		d.Word, d.Class, d.Lead = p.T("snds.standing.clear"), "delivered", p.T("snds.standing.clear.lead")
	}
	for _, n := range []int{7, 30, 90} {
		if n != days {
			d.Spans = append(d.Spans, opLink{p.T("snds.span", "Count", n), p.URL("/o/snds/"+ip.String(), "days", map[int]string{7: "7", 90: "90"}[n])})
		}
	}
	for _, e := range events {
		x := p.sndsState(e.State, e.At)
		if x.Ended = !e.Began; x.Ended {
			x.Class = "ready"
		}
		d.Past = append(d.Past, x)
	}
	figures := newSNDSFigures(now.AddDate(0, 0, 1-days), days)
	people := map[string]string{}
	for _, r := range slices.Backward(rows) {
		if actor, ok := strings.CutPrefix(r.Source, "upload by "); ok {
			if people[actor] == "" {
				people[actor] = v.sndsBy(actor)
			}
			r.Source = people[actor]
		}
		figures.add(r.SNDSRow)
		x := sndsRow{From: w.moment(r.Start), To: w.moment(r.End), RCPT: w.number(r.RCPT), DATA: w.number(r.DATA), Recipients: w.number(r.Recipients), Filter: w.unknown, Rate: w.rate(r.Complaint),
			Traps: w.number(r.TrapHits), Hot: r.TrapHits.Value > 0, HELO: clean(r.HELO, 255), Sender: clean(r.Sender, 255), Comments: clean(r.Comments, 300), Source: clean(r.Source, 100)}
		if r.Filter != "" {
			x.Filter, x.Class = w.colours[r.Filter], map[report.SNDSColour]string{report.SNDSGreen: "ready", report.SNDSYellow: "mend", report.SNDSRed: "refused"}[r.Filter]
		}
		if !r.TrapStart.IsZero() {
			x.TrapTime = []string{w.moment(r.TrapStart)}
			if end := w.moment(r.TrapEnd); end != "" {
				x.TrapTime = []string{x.TrapTime[0] + " –", end}
			}
		}
		d.Rows = append(d.Rows, x)
	}
	p.zone = time.UTC // the days of SNDS have no zone
	if len(rows) > 0 {
		d.Plots = []plot{
			p.plot(plotOf{ID: "snds-volume", Title: p.T("snds.plot.volume"), Step: journal.Day, Times: figures.days, Lines: true,
				Series: []plotSeries{{Label: "RCPT", Values: figures.rcpt}, {Label: "DATA", Values: figures.data}, {Label: p.T("snds.column.recipients"), Values: figures.recipients, Tone: tonePlain}}}),
			p.plot(plotOf{ID: "snds-rate", Title: p.T("snds.plot.rate"), About: p.T("snds.plot.rate.about"), Step: journal.Day, Times: figures.days, Lines: true, Apart: true,
				Series: []plotSeries{{Label: p.T("snds.plot.rate.label"), Values: figures.rate, Tone: toneWarn}}}),
			p.plot(plotOf{ID: "snds-traps", Title: p.T("snds.plot.traps"), Step: journal.Day, Times: figures.days, Series: []plotSeries{{Label: p.T("snds.column.traps"), Values: figures.traps, Tone: toneBad}}}),
		}
	}
	v.show(http.StatusOK, "snds-address.html", d)
}

// moment writes a time of SNDS, which has no zone, short enough for a column.
func (w sndsWords) moment(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case w.p.Lang == locale.French:
		return t.UTC().Format("02/01/2006 15:04")
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// sndsFigures are the values of plots, by day; math.NaN where nothing is known.
type sndsFigures struct {
	days                                []time.Time
	rcpt, data, recipients, rate, traps []float64
}

func newSNDSFigures(from time.Time, days int) *sndsFigures {
	f := &sndsFigures{}
	first := from.UTC().Truncate(24 * time.Hour)
	for i := range days {
		f.days = append(f.days, first.AddDate(0, 0, i))
		for _, s := range []*[]float64{&f.rcpt, &f.data, &f.recipients, &f.rate, &f.traps} {
			*s = append(*s, math.NaN())
		}
	}
	return f
}

func (f *sndsFigures) add(r report.SNDSRow) {
	i := int(r.Day().Sub(f.days[0]).Hours() / 24)
	if i < 0 || i >= len(f.days) {
		return
	}
	plus := func(s []float64, n report.SNDSNumber) {
		if n.Known {
			if math.IsNaN(s[i]) {
				s[i] = 0
			}
			s[i] += float64(n.Value)
		}
	}
	plus(f.rcpt, r.RCPT)
	plus(f.data, r.DATA)
	plus(f.recipients, r.Recipients)
	plus(f.traps, r.TrapHits)
	if r.Complaint.Known && (math.IsNaN(f.rate[i]) || r.Complaint.Percent*10 > f.rate[i]) {
		f.rate[i] = r.Complaint.Percent * 10
	}
}
