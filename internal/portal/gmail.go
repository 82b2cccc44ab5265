package portal

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/postmaster"
	"postern/internal/user"
)

// gmailRoutes are the pages about what Gmail says of domains: of all for the operator, of his own for a customer.
func (s *site) gmailRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/o/postmaster-tools", access: gateway(user.GatewayRead), do: s.gmail},
		{method: http.MethodGet, path: "/o/postmaster-tools/{domain}", access: gateway(user.GatewayRead), do: s.gmailDomain},
		{method: http.MethodGet, path: "/c/{customer}/gmail", access: over(user.MailRead), do: s.gmail},
		{method: http.MethodGet, path: "/c/{customer}/gmail/{domain}", access: over(user.MailRead), do: s.gmailDomain},
	}
}

// Bounds of the pages.
const (
	gmailPage = 50 // domains
	gmailDays = 30
)

// gmailLine is a domain with its last figures.
type gmailLine struct {
	Domain, URL                       string
	Spam, Class, Word, Day            string
	SPF, DKIM, DMARC, TLS, Errors     string
	Open                              []string // demands that are not kept
	SPFBad, DKIMBad, DMARCBad, TLSBad bool
}

type gmailListPage struct {
	page
	Lede    string
	Lines   []gmailLine
	Pager   pager
	Off     bool // nothing is fetched
	Source  *sndsSource
	ForWhom string
}

// gmailBase is the path of the list: the customer's or the operator's.
func (v *visit) gmailBase() string {
	if v.customer.ID != "" {
		return "/c/" + v.customer.ID + "/gmail"
	}
	return "/o/postmaster-tools"
}

// gmailSees reports whether the visit may see a domain.
func (v *visit) gmailSees(domain string) bool {
	return v.customer.ID == "" || v.s.o.Accounts.OwnsDomain(v.customer, mail.Domain(domain))
}

// gmail lists the domains of which Gmail says something.
func (s *site) gmail(v *visit) {
	p, ctx := v.page, v.r.Context()
	d := gmailListPage{page: p, Off: true}
	d.Title = p.T("gmail.title")
	d.Lede = p.T("gmail.lede")
	if s.o.Postmaster == nil {
		v.show(http.StatusOK, "gmail.html", d)
		return
	}
	names, err := s.o.Postmaster.Domains(ctx)
	if err != nil {
		v.broken("figures of Gmail not read", err)
		return
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !v.gmailSees(n) })
	sources, err := s.o.Postmaster.Sources(ctx)
	if err != nil {
		v.broken("sources of figures not read", err)
		return
	}
	for _, x := range sources {
		if x.Name == postmaster.SourceGoogle {
			y := p.sndsSource(x)
			d.Off = false
			if v.customer.ID == "" {
				d.Source = &y
			}
		}
	}
	from := 0
	if n, err := strconv.Atoi(p.query.Get("from")); err == nil && n > 0 && n < len(names) {
		from = n
		d.Pager.First = p.URL(v.gmailBase())
	}
	if from+gmailPage < len(names) {
		d.Pager.Next = p.URL(v.gmailBase(), "from", strconv.Itoa(from+gmailPage))
	}
	now := s.o.Now()
	names = names[from:min(from+gmailPage, len(names))]
	said, err := s.o.Postmaster.Latest(ctx, names, now.AddDate(0, 0, 1-gmailDays), now)
	if err != nil {
		v.broken("figures of Gmail not read", err)
		return
	}
	for _, name := range names {
		d.Lines = append(d.Lines, p.gmailLine(name, p.URL(v.gmailBase()+"/"+name), said[name]))
	}
	v.show(http.StatusOK, "gmail.html", d)
}

// gmailLine sums a domain up by the last known value of each metric.
func (p page) gmailLine(name, url string, said postmaster.Said) gmailLine {
	share := func(m postmaster.Metric) (string, bool) {
		f, ok := said.Last[m]
		if !ok {
			return p.T("snds.unknown"), false
		}
		return p.gmailShare(f.Value), f.Value < .95
	}
	x := gmailLine{Domain: clean(name, 255), URL: url, Spam: p.T("snds.unknown"), Word: p.T("gmail.spam.unknown")}
	if f, ok := said.Last[postmaster.Spam]; ok {
		x.Spam, x.Day = p.gmailShare(f.Value), p.stepName(journal.Day, f.Day.In(p.location()).Add(12*time.Hour))
		x.Class, x.Word = p.gmailSpam(f.Value)
	}
	x.SPF, x.SPFBad = share(postmaster.SPFPassed)
	x.DKIM, x.DKIMBad = share(postmaster.DKIMPassed)
	x.DMARC, x.DMARCBad = share(postmaster.DMARCPass)
	x.TLS, x.TLSBad = share(postmaster.TLSIn)
	x.Errors, _ = share(postmaster.Refused)
	for _, r := range said.Demands {
		if r.State == postmaster.NeedsWork {
			x.Open = append(x.Open, p.gmailDemand(r.Name))
		}
	}
	return x
}

// gmailSpam judges a share of spam (Google's sender guidelines: below 0.1 %, never 0.3 %, read 2026-11).
func (p page) gmailSpam(share float64) (class, word string) {
	switch {
	case share >= .003:
		return "refused", p.T("gmail.spam.critical")
	case share >= .001:
		return "mend", p.T("gmail.spam.warning")
	}
	return "ready", p.T("gmail.spam.good")
}

// gmailShare writes a share.
func (p page) gmailShare(share float64) string {
	return locale.Number(p.Lang, math.Round(share*100_000)/1000) + "\u00a0%"
}

// gmailDemand names a demand.
func (p page) gmailDemand(name string) string {
	if key := "gmail.demand." + name; p.site.o.Catalog.Has("portal." + key) {
		return p.T(key)
	}
	return clean(strings.ReplaceAll(name, "_", " "), 60)
}

// gmailRow is a demand of a domain.
type gmailRow struct {
	Name, Class, Word, Reason string
	Since                     opMoment
}

type gmailDomainPage struct {
	page
	Domain, Class, Word, Lead string
	Demands                   []gmailRow
	Plots                     []plot
	Loops                     []sndsTile
	Back                      string
}

// gmailDomain shows one domain.
func (s *site) gmailDomain(v *visit) {
	p, ctx := v.page, v.r.Context()
	name := strings.ToLower(v.r.PathValue("domain"))
	if s.o.Postmaster == nil || !v.gmailSees(name) {
		v.missing()
		return
	}
	now := s.o.Now()
	first := now.AddDate(0, 0, 1-gmailDays)
	figures, err := s.o.Postmaster.Figures(ctx, name, first, now)
	if err != nil {
		v.broken("figures of Gmail not read", err)
		return
	}
	demands, err := s.o.Postmaster.Demands(ctx, name)
	if err != nil {
		v.broken("demands of Gmail not read", err)
		return
	}
	if len(figures)+len(demands) == 0 && v.customer.ID == "" {
		v.missing()
		return
	}
	d := gmailDomainPage{page: p, Domain: clean(name, 255), Word: p.T("gmail.spam.unknown"), Class: "dropped", Lead: p.T("gmail.lead.unknown"), Back: p.URL(v.gmailBase())}
	d.Title = p.T("gmail.title.domain", "Domain", d.Domain)
	for _, f := range figures {
		if f.Metric == postmaster.Spam {
			var class string
			class, d.Word = p.gmailSpam(f.Value)
			d.Class = map[string]string{"ready": "delivered", "mend": "held", "refused": "bounced"}[class]
			d.Lead = p.T("gmail.lead."+class, "Rate", p.gmailShare(f.Value), "Day", p.stepName(journal.Day, f.Day.In(p.location()).Add(12*time.Hour)))
		}
	}
	for _, r := range demands {
		x := gmailRow{Name: p.gmailDemand(r.Name), Word: p.T("gmail.state." + string(r.State)), Since: p.opWhen(r.Since)}
		x.Class = map[postmaster.DemandState]string{postmaster.Compliant: "ready", postmaster.NeedsWork: "refused"}[r.State]
		if key := "gmail.reason." + r.Reason; r.Reason != "" && s.o.Catalog.Has("portal."+key) {
			x.Reason = p.T(key)
		}
		d.Demands = append(d.Demands, x)
	}
	d.Plots, d.Loops = p.gmailPlots(first, figures)
	v.show(http.StatusOK, "gmail-domain.html", d)
}

// gmailPlots draws the figures of a domain.
func (p page) gmailPlots(from time.Time, figures []postmaster.Figure) (plots []plot, loops []sndsTile) {
	first := from.UTC().Truncate(24 * time.Hour)
	days := make([]time.Time, gmailDays)
	values := map[postmaster.Metric][]float64{}
	for i := range days {
		days[i] = first.AddDate(0, 0, i)
	}
	for _, f := range figures {
		s := values[f.Metric]
		if s == nil {
			s = make([]float64, gmailDays)
			for i := range s {
				s[i] = math.NaN()
			}
			values[f.Metric] = s
		}
		if i := int(f.Day.Sub(first).Hours() / 24); i >= 0 && i < gmailDays {
			s[i] = f.Value
		}
	}
	times := func(m postmaster.Metric, by float64) []float64 {
		out := slices.Clone(values[m])
		for i := range out {
			out[i] *= by
		}
		return out
	}
	p.zone = time.UTC
	if len(figures) == 0 {
		return nil, nil
	}
	plots = append(plots,
		p.plot(plotOf{ID: "gmail-spam", Title: p.T("gmail.plot.spam"), About: p.T("gmail.plot.spam.about"), Step: journal.Day, Times: days, Lines: true, Apart: true,
			Series: []plotSeries{{Label: p.T("gmail.plot.spam.label"), Values: times(postmaster.Spam, 1000), Tone: toneBad}}}),
		p.plot(plotOf{ID: "gmail-proof", Title: p.T("gmail.plot.proof"), About: p.T("gmail.plot.proof.about"), Step: journal.Day, Times: days, Lines: true, Apart: true,
			Series: []plotSeries{{Label: "SPF", Values: times(postmaster.SPFPassed, 100)}, {Label: "DKIM", Values: times(postmaster.DKIMPassed, 100)}, {Label: "DMARC", Values: times(postmaster.DMARCPass, 100), Tone: tonePlain},
				{Label: "TLS", Values: times(postmaster.TLSIn, 100), Tone: toneQuiet}}}),
		p.plot(plotOf{ID: "gmail-errors", Title: p.T("gmail.plot.errors"), About: p.T("gmail.plot.errors.about"), Step: journal.Day, Times: days, Lines: true, Apart: true,
			Series: []plotSeries{{Label: p.T("gmail.plot.errors.now"), Values: times(postmaster.Refused, 100), Tone: toneBad}, {Label: p.T("gmail.plot.errors.later"), Values: times(postmaster.Delayed, 100), Tone: toneWarn}}}))
	last := map[string]float64{}
	for _, f := range figures {
		if id, ok := strings.CutPrefix(string(f.Metric), "loop "); ok {
			last[id] = f.Value
		}
	}
	for id, v := range last {
		loops = append(loops, sndsTile{Value: p.gmailShare(v), Label: clean(id, 100)})
	}
	slices.SortFunc(loops, func(a, b sndsTile) int { return strings.Compare(a.Label, b.Label) })
	return plots, loops
}
