package portal

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"postern/internal/aggregate"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/user"
)

// Bounds of the pages about reports.
const (
	reportDomainsShown = 30
	reportSourcesShown = 60
	reportRowsShown    = 200
	reportFailures     = 20
	reportUnreadShown  = 20
	reportUpload       = 32 << 20
)

// reportSpans are the days that a page may look back.
var reportSpans = []int{7, 28, 90}

// reportsRoutes are the pages about what receivers report, for customers and for the operator.
func (s *site) reportsRoutes() []route {
	get, post, c, o := http.MethodGet, http.MethodPost, "/c/{customer}/reports", "/o/reports"
	read, write, see, operate := over(user.MailRead), over(user.SetupWrite), gateway(user.GatewayRead), gateway(user.GatewayOperate)
	return append(s.unreadRoutes(), []route{
		{method: get, path: c, access: read, do: s.reportList},
		{method: post, path: c, access: write, act: "report.import", body: reportUpload, do: s.reportImport},
		{method: get, path: c + "/{domain}", access: read, do: s.reportDomain},
		{method: get, path: c + "/{domain}/source", access: read, do: s.reportSource},
		{method: post, path: c + "/{domain}/mark", access: write, act: "report.mark", do: s.reportMark},
		{method: get, path: o, access: see, do: s.reportList},
		{method: post, path: o, access: operate, act: "report.import", body: reportUpload, do: s.reportImport},
		{method: get, path: o + "/{domain}", access: see, do: s.reportDomain},
		{method: get, path: o + "/{domain}/source", access: see, do: s.reportSource},
		{method: post, path: o + "/{domain}/mark", access: operate, act: "report.mark", do: s.reportMark},
	}...)
}

// reportBase is the path of the list of a visit.
func (v *visit) reportBase() string {
	if v.customer.ID != "" {
		return "/c/" + v.customer.ID + "/reports"
	}
	return "/o/reports"
}

// reportIsOf reports whether a visit may see reports about a domain: a customer those of his domains.
func (v *visit) reportIsOf(d mail.Domain) bool {
	return v.customer.ID == "" || v.s.o.Accounts.OwnsDomain(v.customer, d)
}

// reportWrites reports whether the visitor may change something here.
func (v *visit) reportWrites() bool {
	if v.customer.ID != "" {
		return v.who.May(user.SetupWrite, v.customer.ID)
	}
	return v.who.May(user.GatewayOperate, "")
}

// reportNamed is the domain of the path; false when it is none, or somebody else's, and the answer is written.
func (v *visit) reportNamed() (mail.Domain, bool) {
	d, err := mail.ParseDomain(v.r.PathValue("domain"))
	if err != nil || v.s.o.Reports == nil || !v.reportIsOf(d) {
		v.missing()
		return "", false
	}
	return d, true
}

// reportSpan is the time that a page is about: whole days before today.
func (s *site) reportSpan(days int) (from, to time.Time) {
	to = s.o.Now().UTC().AddDate(0, 0, -1)
	return to.AddDate(0, 0, 1-days), to
}

// reportsPage is the list of domains.
type reportsPage struct {
	page
	Base      string
	Rows      []reportsRow
	Pager     pager
	Address   string // where reports are taken
	File      *field // nil: the visitor may not
	Operator  bool
	Unread    []unreadRow
	Again     *button // reads all of them again
	Receivers []receiverRow
}

type reportsRow struct {
	Name, URL, Policy, Last, Messages, Share, Known, TLS string
	Class                                                string // of the share
	Unproven                                             string // how much of it nobody vouches for; "": nothing
}

type receiverRow struct{ Name, Reports, Last, Warned, Unsigned, Unproven string }

func (s *site) reportList(v *visit) { s.showReports(v, http.StatusOK, "") }

func (s *site) showReports(v *visit, status int, fault string) {
	if s.o.Reports == nil {
		v.missing()
		return
	}
	base := v.reportBase()
	p := reportsPage{page: v.page, Base: base, Operator: v.customer.ID == "", Address: s.o.ReportAddress}
	p.Title = p.T("reports.title")
	var below []mail.Domain
	if !p.Operator {
		below = append([]mail.Domain{}, v.customer.Domains...)
	}
	from, to := s.reportSpan(aggregate.DefaultRules().Window)
	after := v.r.URL.Query().Get("after")
	all, next, err := s.o.Reports.Domains(v.r.Context(), below, from, to, after, reportDomainsShown)
	if err != nil {
		v.broken("reports not read", err)
		return
	}
	for i := range all {
		if d := &all[i]; v.reportIsOf(mail.Domain(d.Domain)) {
			p.Rows = append(p.Rows, p.reportRow(d, base))
		}
	}
	if next != "" {
		p.Pager.Next = p.URL(base, "after", next)
	}
	if after != "" {
		p.Pager.First = p.URL(base)
	}
	if v.reportWrites() {
		p.File = &field{Name: "file", Label: p.T("reports.file"), Hint: p.T("reports.file.hint"), Type: "file", Required: true, Fault: fault}
	}
	if p.Operator {
		if err := s.reportOperator(v, &p); err != nil {
			v.broken("reports not read", err)
			return
		}
	}
	v.show(status, "reports.list", p)
}

func (p page) reportRow(d *aggregate.Domain, base string) reportsRow {
	row := reportsRow{Name: d.Domain, URL: p.URL(base + "/" + d.Domain), Policy: d.Policy.P, Last: p.reportDay(d.Last), Messages: p.count(float64(d.Window.Messages)), Share: p.reportShare(d.Window.Passed, d.Window.Messages),
		Known: p.T("reports.days", "Known", d.Known, "All", aggregate.DefaultRules().Window), TLS: p.reportDay(d.TLSLast), Class: reportClass(d.Window.Passed, d.Window.Messages), Unproven: p.reportUnproven(d.Unproven.Messages)}
	if row.Policy == "" {
		row.Policy = "–"
	}
	if d.Known == 0 {
		row.Messages, row.Share, row.Class = p.T("plot.unknown"), "–", ""
	}
	return row
}

func (s *site) reportOperator(v *visit, p *reportsPage) error {
	unread, err := s.o.Reports.Unread(v.r.Context(), "", reportUnreadShown)
	if err != nil {
		return err
	}
	again := false
	for _, x := range unread {
		p.Unread = append(p.Unread, p.unreadRow(v, &x))
		again = again || x.Kept
	}
	if again && v.reportWrites() {
		p.Again = &button{URL: p.URL("/o/reports/again"), Label: p.T("reports.again.every"), Class: "second"}
	}
	who, err := s.o.Reports.Receivers(v.r.Context(), 50)
	for _, r := range who {
		p.Receivers = append(p.Receivers, receiverRow{clean(r.Name, 100), p.count(float64(r.Reports)), p.reportDay(r.Last), p.count(float64(r.Warned)), p.count(float64(r.Unsigned)), p.count(float64(r.Unproven))})
	}
	return err
}

// reportUnproven says how much of a figure reports tell that nobody vouches for, "" for none.
func (p page) reportUnproven(n int64) string {
	if n == 0 {
		return ""
	}
	return p.T("reports.unproven.some", "Count", p.count(float64(n)))
}

// reportDay names a day, "–" for none.
func (p page) reportDay(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	layout := "2 Jan 2006"
	if p.Lang == locale.French {
		layout = "02/01/2006"
	}
	return t.UTC().Format(layout)
}

func (p page) reportShare(part, all int64) string {
	if all == 0 {
		return "–"
	}
	return locale.Number(p.Lang, float64(part*1000/all)/10) + "\u00a0%"
}

func reportClass(part, all int64) string {
	switch {
	case all == 0:
		return ""
	case part*100 >= all*99:
		return "ready"
	case part*100 >= all*90:
		return "mend"
	}
	return "refused"
}

// reportFile reads an upload. When ok is false the answer is written.
func (v *visit) reportFile() (name string, data []byte, ok bool) {
	parts, err := v.r.MultipartReader()
	for n := 0; err == nil && n < 10; n++ {
		part, e := parts.NextPart()
		if errors.Is(e, io.EOF) {
			break
		}
		if err = e; err != nil {
			break
		}
		var text []byte
		if text, err = io.ReadAll(part); err == nil && part.FormName() == "file" {
			name, data = part.FileName(), text
		}
	}
	if err == nil {
		return name, data, true
	}
	v.status = http.StatusBadRequest
	kind := "form"
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		v.status, kind = http.StatusRequestEntityTooLarge, "file"
		v.w.Header().Set("Connection", "close")
	}
	v.s.fail(v.w, v.r, v.status, kind)
	return "", nil, false
}

func (s *site) reportImport(v *visit) {
	name, data, ok := v.reportFile()
	if !ok {
		return
	}
	if s.o.Reports == nil {
		v.missing()
		return
	}
	v.about(clean(name, 200), "")
	var own func(mail.Domain) bool
	if v.customer.ID != "" {
		own = v.reportIsOf
	}
	got, err := s.o.Reports.Import(v.r.Context(), aggregate.Arrival{How: "upload", Customer: v.customer.ID, Name: name, Raw: data}, own)
	switch {
	case errors.Is(err, aggregate.ErrNotTaken):
		s.showReports(v, http.StatusUnprocessableEntity, v.page.T("reports.fault.foreign", "Domain", clean(got.Foreign, 253)))
	case errors.Is(err, aggregate.ErrUnderWay):
		s.showReports(v, http.StatusServiceUnavailable, v.page.T("reports.fault.busy"))
	case err != nil:
		v.broken("report not taken", err)
	case got.Fault == report.ErrNoReport.Error():
		s.showReports(v, http.StatusUnprocessableEntity, v.page.T("reports.fault.none"))
	case got.Stored+got.Duplicates == 0 && got.Fault != "":
		s.showReports(v, http.StatusUnprocessableEntity, v.page.T("reports.fault.refused", "Why", clean(s.o.Reports.Why(v.page.Lang, got.Fault), 300)))
	case got.Stored+got.Duplicates == 0:
		s.showReports(v, http.StatusUnprocessableEntity, v.page.T("reports.fault.other"))
	default:
		v.about(clean(name, 200), strings.Join(got.Domains, " "))
		v.done(v.reportBase(), "reports.done", "Stored", got.Stored, "Known", got.Duplicates)
	}
}

func (s *site) reportMark(v *visit) {
	d, ok := v.reportNamed()
	if !ok {
		return
	}
	source, mark := v.r.PostFormValue("source"), v.r.PostFormValue("mark")
	v.about(string(d)+" "+clean(source, 60), clean(mark, 20))
	if mark != "" && mark != aggregate.MarkOwn && mark != aggregate.MarkForeign {
		v.missing()
		return
	}
	switch err := s.o.Reports.Mark(v.r.Context(), d, source, mark, v.who.Actor()); {
	case errors.Is(err, aggregate.ErrNotFound):
		v.missing()
	case err != nil:
		v.broken("source not marked", err)
	default:
		v.done(v.reportBase()+"/"+string(d), "reports.marked", "Source", source)
	}
}

// reportPage is one domain.
type reportPage struct {
	page
	Back, Domain, Here string
	Spans              []reportLink
	Policy, Seen       string
	Known              string
	Messages, Share    string
	Unproven           string // that reports are among them that nobody vouches for, and what follows; "": none
	Advice             reportAdvice
	Troubles           []reportTrouble
	Trend              plot
	Sources            []sourceRow
	More               bool
	Receivers          []receiverSum
	TLS                *tlsPart
	Failures           []failureRow
}

type reportLink struct {
	Label, URL string
	Here       bool
}

type reportAdvice struct {
	Class, Word, Title, Text string
	Name, Record, Former     string
	Checks                   []reportCheck
}

type reportCheck struct{ Class, Word, Name, Have, Need, Sources string }

type sourceRow struct {
	URL, Address, Name, Class, Word, About string
	Messages, Passed, SPF, DKIM, Last      string
	Alarming                               bool
	Unproven                               string // how much of it nobody vouches for; "": nothing
	Acts                                   []button
}

type receiverSum struct{ Name, Days, Messages, Share, Unproven string }

type tlsPart struct {
	Sum, Known string
	Unproven   string // how many sessions nobody vouches for; "": none
	Class      string
	Failures   []tlsRow
}

type tlsRow struct{ Result, MX, Sessions, Reason, Do, Unproven string }

type failureRow struct {
	When, Source, Author, What, Reporter, Header string
	Unproven                                     bool
}

func (s *site) reportDomain(v *visit) {
	d, ok := v.reportNamed()
	if !ok {
		return
	}
	days := 28
	for _, n := range reportSpans {
		if v.r.URL.Query().Get("days") == locale.Number(locale.English, float64(n)) {
			days = n
		}
	}
	ctx := v.r.Context()
	from, to := s.reportSpan(days)
	o, err := s.o.Reports.Overview(ctx, d, from, to)
	if errors.Is(err, aggregate.ErrNotFound) {
		v.missing()
		return
	}
	month := &o
	if err == nil && days != aggregate.DefaultRules().Window {
		var whole aggregate.Overview
		from, to := s.reportSpan(aggregate.DefaultRules().Window)
		whole, err = s.o.Reports.Overview(ctx, d, from, to)
		month = &whole
	}
	if err != nil {
		v.broken("reports not read", err)
		return
	}
	base := v.reportBase()
	here := base + "/" + string(d)
	p := reportPage{page: v.page, Back: v.page.URL(base), Domain: string(d), Here: v.page.URL(here), Policy: o.Policy.P, Seen: v.page.reportDay(o.Policied), More: o.More,
		Known: v.page.T("reports.days", "Known", o.Known, "All", days), Messages: v.page.count(float64(o.Window.Messages)), Share: v.page.reportShare(o.Window.Passed, o.Window.Messages)}
	p.Title = p.T("reports.domain.title", "Domain", string(d))
	for _, n := range reportSpans {
		p.Spans = append(p.Spans, reportLink{p.T("reports.span", "Days", n), p.URL(here, "days", locale.Number(locale.English, float64(n))), n == days})
	}
	p.Advice = p.reportAdvice(aggregate.Advise(month, month.Seen(), aggregate.DefaultRules(), s.o.ReportAddress))
	if n := o.Unproven.Messages; n > 0 {
		key := "reports.unproven"
		if o.CountsAll {
			key += ".counted"
		}
		p.Unproven = p.T(key, "Count", p.count(float64(n)))
	}
	p.Trend = p.reportTrend(&o)
	for i := range o.Sources {
		if i == reportSourcesShown {
			p.More = true
			break
		}
		p.Sources = append(p.Sources, p.sourceRow(v, &o.Sources[i], here))
	}
	for _, r := range o.Reporters {
		p.Receivers = append(p.Receivers, receiverSum{clean(r.Name, 100), p.count(float64(r.Days)), p.count(float64(r.Messages)), p.reportShare(r.Passed, r.Messages), p.reportUnproven(r.Unproven.Messages)})
	}
	if p.Troubles, err = s.reportTroubles(v, d); err != nil {
		v.broken("troubles of reports not read", err)
		return
	}
	if err := s.reportRest(ctx, &p, d, from, to, &o); err != nil {
		v.broken("reports not read", err)
		return
	}
	v.show(http.StatusOK, "reports.domain", p)
}

// reportRest reads TLS and failure reports.
func (s *site) reportRest(ctx context.Context, p *reportPage, d mail.Domain, from, to time.Time, o *aggregate.Overview) error {
	if !o.TLSLast.IsZero() {
		t, err := s.o.Reports.TLS(ctx, d, from, to)
		if err != nil {
			return err
		}
		all := t.Successful + t.Failed
		part := &tlsPart{Sum: p.T("reports.tls.sum", "Successful", p.count(float64(t.Successful)), "Failed", p.count(float64(t.Failed)), "Share", p.reportShare(t.Successful, all)),
			Known: p.T("reports.days", "Known", t.Known, "All", len(t.Days)), Class: reportClass(t.Successful, all), Unproven: p.reportUnproven(t.Unproven)}
		for _, f := range t.Failures {
			key := f.Result
			if !slices.Contains(report.TLSResultTypes(), key) {
				key = "other"
			}
			part.Failures = append(part.Failures, tlsRow{clean(f.Result, 60), clean(f.MX, 253), p.count(float64(f.Sessions)), clean(f.Reason, 200), s.o.Catalog.Text(p.Lang, "report.tls.result."+key, nil), p.reportUnproven(f.Unproven)})
		}
		p.TLS = part
	}
	if o.Failures == 0 {
		return nil
	}
	some, err := s.o.Reports.Failures(ctx, d, reportFailures)
	for _, f := range some {
		p.Failures = append(p.Failures, failureRow{p.date(f.Received), clean(f.Source, 60), clean(f.Author, 253), clean(strings.TrimSpace(f.Failure+" "+f.Delivery), 120), clean(f.Reporter, 253), reportHeader(f.Header), !f.Proof.Counts()})
	}
	return err
}

// reportHeader makes kept header fields fit for a page.
func reportHeader(s string) string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		if l != "" && len(out) < 60 {
			out = append(out, clean(l, 1000))
		}
	}
	return strings.Join(out, "\n")
}

func (p page) reportAdvice(a aggregate.Advice) reportAdvice {
	out := reportAdvice{Class: map[aggregate.AdviceState]string{aggregate.AdviceQuarantine: "ready", aggregate.AdviceReject: "ready", aggregate.AdviceDone: "ready", aggregate.AdviceStay: "mend", aggregate.AdviceFinish: "mend", aggregate.AdviceNone: "mend", aggregate.AdviceBack: "refused"}[a.State],
		Title: p.T("reports.advice." + string(a.State) + ".title"), Text: p.T("reports.advice." + string(a.State) + ".text"), Name: a.Name, Record: a.Record, Former: a.Former}
	for _, c := range a.Checks {
		x := reportCheck{Class: "met", Word: p.T("reports.rule.fine"), Name: p.T("reports.rule." + c.Code), Have: c.Have, Need: c.Need, Sources: strings.Join(c.Sources, ", ")}
		if !c.Fine {
			x.Class, x.Word = "missing", p.T("reports.rule.open")
		}
		out.Checks = append(out.Checks, x)
	}
	return out
}

// reportTrend draws what passes, day by day. A day that nobody reported is not known.
func (p page) reportTrend(o *aggregate.Overview) plot {
	x := plotOf{ID: "trend", Title: p.T("reports.trend"), About: p.T("reports.trend.about"), Step: journal.Day}
	both, one, none := plotSeries{Label: p.T("reports.passed"), Tone: toneGood}, plotSeries{Label: p.T("reports.failed"), Tone: toneWarn}, plotSeries{Label: p.T("reports.stopped"), Tone: toneBad}
	for _, d := range o.Days {
		x.Times = append(x.Times, d.At)
		if !d.Known {
			both.Values, one.Values, none.Values = append(both.Values, math.NaN()), append(one.Values, math.NaN()), append(none.Values, math.NaN())
			continue
		}
		stopped := min(d.Quarantined+d.Rejected, d.Messages-d.Passed)
		both.Values = append(both.Values, float64(d.Passed))
		one.Values = append(one.Values, float64(d.Messages-d.Passed-stopped))
		none.Values = append(none.Values, float64(stopped))
	}
	x.Series = []plotSeries{both, one, none}
	p.zone = time.UTC // reports count days of UTC
	return p.plot(x)
}

func (p page) sourceRow(v *visit, s *aggregate.Source, here string) sourceRow {
	row := sourceRow{URL: p.URL(here+"/source", "ip", s.Text), Address: s.Text, Word: p.T("reports.class." + string(s.Class)), About: p.T("reports.class." + string(s.Class) + ".about"), Alarming: s.Alarming(),
		Messages: p.count(float64(s.Messages)), Passed: p.reportShare(s.Passed, s.Messages), SPF: p.reportShare(s.SPF, s.Messages), DKIM: p.reportShare(s.DKIM, s.Messages), Last: p.reportDay(s.Last),
		Class: map[aggregate.Class]string{aggregate.ClassOwn: "ready", aggregate.ClassPasses: "ready", aggregate.ClassPartly: "mend", aggregate.ClassService: "mend", aggregate.ClassUnknown: "refused"}[s.Class]}
	if n := s.Unproven.Messages; n > 0 {
		row.Unproven = p.T("reports.unproven.source", "Count", p.count(float64(n)))
	}
	switch s.Named {
	case aggregate.NameConfirmed:
		row.Name = s.Name
		if s.Service != "" {
			row.Name = s.Service + " (" + s.Name + ")"
		}
	case aggregate.NameUnconfirmed:
		row.Name = p.T("reports.name.unconfirmed", "Name", clean(s.Name, 253))
	case aggregate.NameNone:
		row.Name = p.T("reports.name.none")
	default:
		row.Name = p.T("reports.name.unknown")
	}
	if s.Text == "" {
		row.Address, row.Name, row.URL = p.T("reports.noaddress"), "", ""
		return row
	}
	if !v.reportWrites() || s.Ours {
		return row
	}
	act := func(mark string) {
		row.Acts = append(row.Acts, button{URL: p.URL(here + "/mark"), Label: p.T("reports.mark." + cmpOr(mark, "none")), Class: "second small", Values: map[string]string{"source": s.Text, "mark": mark}})
	}
	switch {
	case s.Mark != "":
		act("")
	case s.Class != aggregate.ClassPasses:
		act(aggregate.MarkOwn)
		act(aggregate.MarkForeign)
	}
	return row
}

func cmpOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// reportSourcePage is one source in all detail.
type reportSourcePage struct {
	page
	Back, Domain, Source string
	Rows                 []reportRow
}

type reportRow struct{ Day, Messages, Done, DKIM, SPF, From, Path, Signer, Reason, Unproven string }

func (s *site) reportSource(v *visit) {
	d, ok := v.reportNamed()
	if !ok {
		return
	}
	source := v.r.URL.Query().Get("ip")
	from, to := s.reportSpan(90)
	rows, err := s.o.Reports.Rows(v.r.Context(), d, source, from, to, reportRowsShown)
	if err != nil {
		v.broken("reports not read", err)
		return
	}
	if len(rows) == 0 && v.r.URL.Query().Has("ip") {
		v.missing()
		return
	}
	p := reportSourcePage{page: v.page, Back: v.page.URL(v.reportBase() + "/" + url.PathEscape(string(d))), Domain: string(d), Source: source}
	p.Title = p.T("reports.source.title", "Source", source, "Domain", string(d))
	word := func(key, value string, known ...string) string {
		switch {
		case value == "":
			value = "unknown"
		case !slices.Contains(known, value):
			value = "other"
		}
		return s.o.Catalog.Text(p.Lang, "report."+key+"."+value, nil)
	}
	for _, r := range rows {
		p.Rows = append(p.Rows, reportRow{p.reportDay(r.At), p.count(float64(r.Messages)), word("done", r.Disposition, "none", "quarantine", "reject", "pass"), word("result", r.DKIM, "pass", "fail"), word("result", r.SPF, "pass", "fail"),
			clean(r.HeaderFrom, 253), clean(strings.TrimSpace(r.Path+" "+r.PathResult), 300), clean(strings.TrimSpace(r.Signer+" "+r.Selector+" "+r.Signature), 400), clean(r.Reason, 60), p.reportUnproven(r.Unproven)})
	}
	v.show(http.StatusOK, "reports.source", p)
}
