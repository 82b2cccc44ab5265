package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postern/internal/aggregate"
	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/user"
)

// ReportSum counts messages in DMARC reports.
type ReportSum struct {
	Messages    int64 `json:"messages"`
	Passed      int64 `json:"passed" doc:"Messages that passed DMARC"`
	DKIM        int64 `json:"dkim" doc:"... by an aligned signature"`
	SPF         int64 `json:"spf" doc:"... by an aligned SPF result"`
	Quarantined int64 `json:"quarantined"`
	Rejected    int64 `json:"rejected"`
}

// ReportPart is what of a sum reports say whose mail is not authenticated as their reporter's: anybody may have written them.
type ReportPart struct {
	Messages int64 `json:"messages"`
	Passed   int64 `json:"passed"`
}

// ReportDomain is a domain that receivers report about.
type ReportDomain struct {
	Domain   string    `json:"domain"`
	Policy   string    `json:"policy,omitempty" doc:"p= of the DMARC record as receivers saw it last"`
	First    time.Time `json:"first,omitzero" doc:"Begin of the oldest DMARC report"`
	Last     time.Time `json:"last,omitzero" doc:"End of the newest one"`
	TLSLast  time.Time `json:"tls_last,omitzero" doc:"End of the newest TLS report"`
	Failures int64     `json:"failures" doc:"Failure reports that came"`
	Known    int       `json:"known" doc:"Days that some receiver reported; the others are unknown, not zero"`
	Sum      ReportSum `json:"sum"`

	Unauthenticated ReportPart `json:"unauthenticated" doc:"Of sum: what reports say whose mail is not authenticated. It counts neither in advice nor in alarms, unless reports.unauthenticated of the configuration says so"`
}

// ReportDomains is one page of domains.
type ReportDomains struct {
	Domains []ReportDomain `json:"domains" nullable:"false"`
	Next    string         `json:"next,omitempty" doc:"Cursor of the following page"`
}

func (l ReportDomains) nextPage() string { return l.Next }

// ReportDay is one day in DMARC reports.
type ReportDay struct {
	Day   string     `json:"day" format:"date"`
	Known bool       `json:"known" doc:"Some receiver reported it"`
	Sum   *ReportSum `json:"sum,omitempty" doc:"Absent: not known, which is not 0"`

	Unauthenticated int64 `json:"unauthenticated" doc:"Messages of sum that only reports without authentication tell"`
}

// ReportSource is an address that sends in the domain's name.
type ReportSource struct {
	IP        string    `json:"ip,omitempty" doc:"Absent: sources without an address, or too many to be kept"`
	Name      string    `json:"name,omitempty" doc:"Its name in DNS"`
	Confirmed bool      `json:"confirmed" doc:"The name leads back to the address"`
	Service   string    `json:"service,omitempty" doc:"Whose service it is by its confirmed name"`
	Class     string    `json:"class" enum:"own,passes,partly,forwarder,service,unknown,foreign"`
	Mark      string    `json:"mark,omitempty" enum:"own,foreign" doc:"What a person said"`
	Days      int       `json:"days" doc:"Days on which it was seen"`
	Last      string    `json:"last" format:"date"`
	Forwarded int64     `json:"forwarded" doc:"Messages of which a receiver says that they were forwarded"`
	Sum       ReportSum `json:"sum"`

	Unauthenticated ReportPart `json:"unauthenticated" doc:"Of sum: what reports say whose mail is not authenticated"`
}

// ReportCheck is a rule that the figures were held against.
type ReportCheck struct {
	Code    string   `json:"code" enum:"days,messages,share,own,unknown,whole,back"`
	Fine    bool     `json:"fine"`
	Have    string   `json:"have"`
	Need    string   `json:"need"`
	Sources []string `json:"sources,omitempty" doc:"Sources that stand in the way"`
}

// ReportAdvice says whether the DMARC policy can be stricter.
type ReportAdvice struct {
	State  string        `json:"state" enum:"unknown,none,stay,finish,quarantine,reject,done,back"`
	Policy string        `json:"policy,omitempty" doc:"The policy in force"`
	Next   string        `json:"next,omitempty" doc:"The policy that is proposed"`
	Name   string        `json:"name,omitempty" doc:"Name of the TXT record to publish"`
	Record string        `json:"record,omitempty" doc:"Its value"`
	Checks []ReportCheck `json:"checks" nullable:"false"`
}

// ReportOverview is what receivers report about one domain.
type ReportOverview struct {
	ReportDomain
	From      string         `json:"from" format:"date"`
	To        string         `json:"to" format:"date"`
	Days      []ReportDay    `json:"days" nullable:"false"`
	Sources   []ReportSource `json:"sources" nullable:"false" doc:"The largest first, at most 300"`
	Receivers []ReportedBy   `json:"receivers" nullable:"false"`
	Advice    ReportAdvice   `json:"advice"`

	Troubles []ReportTrouble `json:"troubles" nullable:"false" doc:"What somebody should look at; each ends by itself when the reports say that it is over"`
}

// ReportedBy is what one receiver reported.
type ReportedBy struct {
	Name string    `json:"name"`
	Days int       `json:"days"`
	Last string    `json:"last" format:"date" doc:"The newest day that it reported"`
	Sum  ReportSum `json:"sum"`

	Unauthenticated ReportPart `json:"unauthenticated" doc:"Of sum: what reports in its name say whose mail is not authenticated as its"`
}

// ReportTLS is what senders report of their TLS sessions.
type ReportTLS struct {
	Domain     string `json:"domain"`
	Known      int    `json:"known" doc:"Days that some receiver reported; the others are unknown, not zero"`
	Successful int64  `json:"successful" doc:"Sessions"`
	Failed     int64  `json:"failed" doc:"Sessions"`

	Unauthenticated int64 `json:"unauthenticated" doc:"Sessions of both that reports tell whose mail is not authenticated"`

	Failures []ReportTLSFailure `json:"failures" nullable:"false"`
}

// ReportTLSFailure is one way in which sessions failed.
type ReportTLSFailure struct {
	Result   string `json:"result" doc:"Result type of RFC 8460"`
	MX       string `json:"mx,omitempty"`
	IP       string `json:"ip,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Sessions int64  `json:"sessions"`
	Last     string `json:"last" format:"date"`

	Unauthenticated int64 `json:"unauthenticated" doc:"Sessions of them that only reports without authentication tell"`
}

// ReportEntry is a report that counts.
type ReportEntry struct {
	Kind     string    `json:"kind" enum:"dmarc,tls"`
	Domain   string    `json:"domain"`
	Reporter string    `json:"reporter"`
	ReportID string    `json:"report_id"`
	Begin    time.Time `json:"begin"`
	End      time.Time `json:"end"`
	Received time.Time `json:"received"`
	How      string    `json:"how" enum:"mail,upload,api"`
	Signed   string    `json:"signed,omitempty" doc:"Domains whose signatures of the mail verified"`
	Messages int64     `json:"messages" doc:"Of TLS reports: sessions"`
	Passed   int64     `json:"passed"`
	Warnings []string  `json:"warnings,omitempty" doc:"Where it departs from its standard"`

	Proof  string `json:"proof,omitempty" enum:"given,authenticated,unauthenticated,mismatch,unknown" doc:"Who vouches for it. given: a person or a program brought it in. authenticated: SPF or DKIM vouch for the author of the mail, and that is the reporter. unauthenticated: neither does. mismatch: they vouch for somebody else than the reporter. unknown: the DNS gave no answer. Absent: it came before this was looked at, and counts"`
	Author string `json:"author,omitempty" doc:"Domain of the author of the mail"`
}

// ReportList is one page of reports.
type ReportList struct {
	Reports []ReportEntry `json:"reports" nullable:"false" doc:"The newest first"`
	Next    string        `json:"next,omitempty" doc:"Cursor of the following page"`
}

func (l ReportList) nextPage() string { return l.Next }

// ReportImport is a file with reports.
type ReportImport struct {
	Customer string `json:"customer,omitempty" maxLength:"64" doc:"Whose domains it may be about; absent: everybody's"`
	Name     string `json:"name,omitempty" maxLength:"300" doc:"Name of the file, which may fill in what the report leaves out"`
	Data     []byte `json:"data" doc:"The file in base64: XML, JSON, gzip, zip or a mail, at most 10 MB"`
}

func (r *ReportImport) scope() *string { return &r.Customer }

// ReportImported is what became of it.
type ReportImported struct {
	Stored     int      `json:"stored" doc:"Reports that count now"`
	Duplicates int      `json:"duplicates" doc:"Reports that counted before"`
	Domains    []string `json:"domains,omitempty"`
	Others     []string `json:"others,omitempty" doc:"Kinds that were recognised and are not kept"`
	Fault      string   `json:"fault,omitempty" doc:"Why something could not be read"`
}

// ReportUnread is something that came in and does not count.
type ReportUnread struct {
	ID       string    `json:"id"`
	Received time.Time `json:"received"`
	Foreign  bool      `json:"foreign" doc:"It is about a domain that nobody here has; why names it"`
	From     string    `json:"from,omitempty"`
	ClientIP string    `json:"client_ip,omitempty"`
	Size     int64     `json:"size"`
	Why      string    `json:"why"`
	Proof    string    `json:"proof,omitempty" enum:"given,authenticated,unauthenticated,unknown" doc:"Whether the mail is authenticated as its author's"`
}

// ReportsUnread is one page of them.
type ReportsUnread struct {
	Unread []ReportUnread `json:"unread" nullable:"false" doc:"The newest first"`
	Next   string         `json:"next,omitempty" doc:"Cursor of the following page"`
}

func (l ReportsUnread) nextPage() string { return l.Next }

// ReportMark is what a person says about a source.
type ReportMark struct {
	Source string `json:"source" maxLength:"60" doc:"The address"`
	Mark   string `json:"mark,omitempty" enum:"own,foreign" doc:"own: it sends for the domain. foreign: it does not. Absent: the mark is taken back"`
}

// maxReportBody bounds an upload, in base64.
const maxReportBody = 14 << 20

// reportDays is the default window.
const reportDays = 28

type reportDomainsIn struct {
	ForCustomer
	Paging
}

type reportDomainIn struct {
	DomainRef
	Days int `query:"days" minimum:"1" maximum:"400" default:"28" doc:"Days back from yesterday, UTC"`
}

type reportsIn struct {
	ForCustomer
	Paging
	Domain string `query:"domain" maxLength:"255"`
}

type reportMarkIn struct {
	DomainRef
	Body ReportMark
}

type unreadRef struct {
	ID string `path:"id" maxLength:"64"`
}

// addReports registers what receivers report about domains.
func (s *server) addReports() {
	get, post := http.MethodGet, http.MethodPost
	read, write := over(user.MailRead), over(user.SetupWrite)
	add(s, get, "/v1/reports", "list-reports", "DMARC and TLS reports that came, the newest first", read, s.listReports)
	add(s, post, "/v1/reports", "import-report", "Bring a report in; what came before counts once", write.as("report.import").anew().upTo(maxReportBody), s.importReport)
	add(s, get, "/v1/reports/domains", "list-report-domains", "Domains that receivers report about, with the sums of 28 days", read, s.listReportDomains)
	add(s, get, "/v1/reports/domains/{domain}", "show-report-domain", "Who sends in a domain's name, what passes, and whether its policy can be stricter", read, s.showReportDomain)
	add(s, get, "/v1/reports/domains/{domain}/tls", "show-report-tls", "How TLS sessions with a domain's servers went", read, s.showReportTLS)
	add(s, post, "/v1/reports/domains/{domain}/mark", "mark-report-source", "Say whether a source sends for the domain", write.as("report.mark").anew(), s.markReportSource)
	s.addReportsCame()
}

// reports is the room.
func (s *server) reports() (*aggregate.Ledger, error) {
	if s.o.Reports == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway keeps no reports")
	}
	return s.o.Reports, nil
}

// reportFail turns an error of the room into a problem.
func (s *server) reportFail(err error) error {
	switch {
	case errors.Is(err, aggregate.ErrNotFound):
		return problem(http.StatusNotFound, "not-found", "no report about it came")
	case errors.Is(err, aggregate.ErrNotTaken):
		return problem(http.StatusUnprocessableEntity, "invalid", "the report is about a domain that is not yours: %s", strings.TrimPrefix(err.Error(), aggregate.ErrNotTaken.Error()+": "))
	case errors.Is(err, aggregate.ErrUnderWay):
		return problem(http.StatusServiceUnavailable, "later", "the same report is being summed up; try again in some minutes")
	}
	return s.fail(err)
}

// reportSpan is the time of a request: whole days before today.
func (s *server) reportSpan(days int) (from, to time.Time) {
	if days <= 0 {
		days = reportDays
	}
	to = s.o.Now().UTC().AddDate(0, 0, -1)
	return to.AddDate(0, 0, 1-days), to
}

func reportSum(x aggregate.Sum) ReportSum { return ReportSum(x) }

func reportPart(x aggregate.Part) ReportPart { return ReportPart(x) }

func reportDomain(d *aggregate.Domain) ReportDomain {
	return ReportDomain{Domain: d.Domain, Policy: d.Policy.P, First: d.First, Last: d.Last, TLSLast: d.TLSLast, Failures: d.Failures, Known: d.Known, Sum: reportSum(d.Window), Unauthenticated: reportPart(d.Unproven)}
}

// reportDomainsOf are the domains whose reports a request may be about; nil: all.
func (s *server) reportDomainsOf(customer string) ([]mail.Domain, error) {
	if customer == "" {
		return nil, nil
	}
	c, err := s.customer(customer)
	if err != nil {
		return nil, err
	}
	return append([]mail.Domain{}, c.Domains...), nil
}

func (s *server) listReportDomains(ctx context.Context, in *reportDomainsIn) (*body[ReportDomains], error) {
	l, err := s.reports()
	if err != nil {
		return nil, err
	}
	below, err := s.reportDomainsOf(in.Customer)
	if err != nil {
		return nil, err
	}
	from, to := s.reportSpan(reportDays)
	all, next, err := l.Domains(ctx, below, from, to, in.Cursor, max(min(in.Limit, mostPage), 1))
	if err != nil {
		return nil, s.reportFail(err)
	}
	out := ReportDomains{Domains: []ReportDomain{}, Next: next}
	for i := range all {
		if s.reportIsOf(in.Customer, all[i].Domain) {
			out.Domains = append(out.Domains, reportDomain(&all[i]))
		}
	}
	return &body[ReportDomains]{out}, nil
}

// reportIsOf reports whether a domain is a customer's, and no closer one's. "": the gateway's, which is all.
func (s *server) reportIsOf(customer, domain string) bool {
	if customer == "" {
		return true
	}
	c, ok := s.o.Accounts.Customer(customer)
	return ok && s.o.Accounts.OwnsDomain(c, mail.Domain(domain))
}

// reportsOn is the room, and the domain that a path names.
func (s *server) reportsOn(domain string) (*aggregate.Ledger, mail.Domain, error) {
	l, err := s.reports()
	if err != nil {
		return nil, "", err
	}
	d, err := mail.ParseDomain(domain)
	if err != nil {
		return nil, "", invalid("domain: %v", plain(err))
	}
	return l, d, nil
}

func (s *server) showReportDomain(ctx context.Context, in *reportDomainIn) (*body[ReportOverview], error) {
	l, d, err := s.reportsOn(in.Domain)
	if err != nil {
		return nil, err
	}
	from, to := s.reportSpan(in.Days)
	o, err := l.Overview(ctx, d, from, to)
	if err != nil {
		return nil, s.reportFail(err)
	}
	advised := &o
	if in.Days != reportDays {
		from, to := s.reportSpan(reportDays)
		month, err := l.Overview(ctx, d, from, to)
		if err != nil {
			return nil, s.reportFail(err)
		}
		advised = &month
	}
	out := reportOverview(&o, aggregate.Advise(advised, advised.Seen(), aggregate.DefaultRules(), s.o.ReportAddress))
	if out.Troubles, err = reportTroubles(ctx, l, d); err != nil {
		return nil, s.reportFail(err)
	}
	return &body[ReportOverview]{out}, nil
}

func reportOverview(o *aggregate.Overview, a aggregate.Advice) ReportOverview {
	out := ReportOverview{ReportDomain: reportDomain(&o.Domain), From: o.From.Format(time.DateOnly), To: o.To.Format(time.DateOnly), Days: []ReportDay{}, Sources: []ReportSource{}, Receivers: []ReportedBy{},
		Advice: ReportAdvice{State: string(a.State), Policy: a.Policy, Next: a.Next, Name: a.Name, Record: a.Record, Checks: []ReportCheck{}}}
	for _, d := range o.Days {
		x := ReportDay{Day: d.At.Format(time.DateOnly), Known: d.Known}
		if d.Known {
			sum := reportSum(d.Sum)
			x.Sum, x.Unauthenticated = &sum, d.Unproven.Messages
		}
		out.Days = append(out.Days, x)
	}
	for i := range o.Sources {
		x := &o.Sources[i]
		out.Sources = append(out.Sources, ReportSource{x.Text, x.Name, x.Named == aggregate.NameConfirmed, x.Service, string(x.Class), x.Mark, x.Days, x.Last.Format(time.DateOnly), x.Forwarded, reportSum(x.Sum), reportPart(x.Unproven)})
	}
	for _, r := range o.Reporters {
		out.Receivers = append(out.Receivers, ReportedBy{r.Name, r.Days, r.Last.Format(time.DateOnly), reportSum(r.Sum), reportPart(r.Unproven)})
	}
	for _, c := range a.Checks {
		out.Advice.Checks = append(out.Advice.Checks, ReportCheck(c))
	}
	return out
}

func (s *server) showReportTLS(ctx context.Context, in *reportDomainIn) (*body[ReportTLS], error) {
	l, d, err := s.reportsOn(in.Domain)
	if err != nil {
		return nil, err
	}
	from, to := s.reportSpan(in.Days)
	o, err := l.TLS(ctx, d, from, to)
	if err != nil {
		return nil, s.reportFail(err)
	}
	out := ReportTLS{Domain: string(d), Known: o.Known, Successful: o.Successful, Failed: o.Failed, Unauthenticated: o.Unproven, Failures: []ReportTLSFailure{}}
	for _, f := range o.Failures {
		out.Failures = append(out.Failures, ReportTLSFailure{f.Result, f.MX, f.IP, f.Reason, f.Sessions, f.Last.Format(time.DateOnly), f.Unproven})
	}
	return &body[ReportTLS]{out}, nil
}

func (s *server) listReports(ctx context.Context, in *reportsIn) (*body[ReportList], error) {
	l, err := s.reports()
	if err != nil {
		return nil, err
	}
	if _, err := s.reportDomainsOf(in.Customer); err != nil {
		return nil, err
	}
	if in.Domain == "" && in.Customer != "" {
		return nil, invalid("domain: say of which domain; /v1/reports/domains lists them")
	}
	var d mail.Domain
	if in.Domain != "" {
		if d, err = mail.ParseDomain(in.Domain); err != nil {
			return nil, invalid("domain: %v", plain(err))
		}
	}
	if !s.reportIsOf(in.Customer, string(d)) {
		return nil, missing("not-found")
	}
	all, next, err := l.Reports(ctx, d, in.Cursor, max(min(in.Limit, mostPage), 1))
	if err != nil {
		return nil, s.reportFail(err)
	}
	out := ReportList{Reports: []ReportEntry{}, Next: next}
	for _, r := range all {
		e := ReportEntry{Kind: string(r.Kind), Domain: r.Domain, Reporter: r.Reporter, ReportID: r.ReportID, Begin: r.Begin, End: r.End, Received: r.Received, How: r.How, Signed: r.Signed, Messages: r.Messages, Passed: r.Passed, Proof: string(r.Proof), Author: r.Author}
		for _, w := range r.Warnings {
			e.Warnings = append(e.Warnings, w.Code)
		}
		out.Reports = append(out.Reports, e)
	}
	return &body[ReportList]{out}, nil
}

func (s *server) importReport(ctx context.Context, in *customerBody[ReportImport, *ReportImport]) (*body[ReportImported], error) {
	l, err := s.reports()
	if err != nil {
		return nil, err
	}
	if _, err := s.reportDomainsOf(in.Body.Customer); err != nil {
		return nil, err
	}
	var own func(mail.Domain) bool
	if id := in.Body.Customer; id != "" {
		own = func(d mail.Domain) bool { return s.reportIsOf(id, string(d)) }
	}
	about(ctx, clip(in.Body.Name, 200), "")
	got, err := l.Import(ctx, aggregate.Arrival{How: "api", Customer: in.Body.Customer, Name: in.Body.Name, Raw: in.Body.Data}, own)
	if err != nil {
		return nil, s.reportFail(err)
	}
	if got.Fault == report.ErrNoReport.Error() || got.Fault != "" && got.Stored+got.Duplicates+len(got.Others) == 0 {
		return nil, invalid("data: %v", spoken(func(lang string) string { return l.Why(lang, got.Fault) }))
	}
	about(ctx, strings.Join(got.Domains, " "), fmt.Sprintf("%d new, %d known", got.Stored, got.Duplicates))
	return &body[ReportImported]{reportImported(l, reader(ctx), got)}, nil
}

func reportImported(l *aggregate.Ledger, lang string, got aggregate.Outcome) ReportImported {
	out := ReportImported{Stored: got.Stored, Duplicates: got.Duplicates, Domains: got.Domains, Fault: l.Why(lang, got.Fault)}
	for _, k := range got.Others {
		out.Others = append(out.Others, string(k))
	}
	return out
}

func (in *reportMarkIn) kind() string { return "not-found" }

func (s *server) markReportSource(ctx context.Context, in *reportMarkIn) (*body[Done], error) {
	l, d, err := s.reportsOn(in.Domain)
	if err != nil {
		return nil, err
	}
	about(ctx, string(d)+" "+clip(in.Body.Source, 60), in.Body.Mark)
	if err := l.Mark(ctx, d, in.Body.Source, in.Body.Mark, actor(ctx)); err != nil {
		return nil, s.reportFail(err)
	}
	mark := say("no mark")
	switch in.Body.Mark {
	case "own":
		mark = say("own")
	case "foreign":
		mark = say("foreign")
	}
	return done("%s: %s", clip(in.Body.Source, 60), mark), nil
}

type unreadIn struct{ Paging }

func (s *server) listUnreadReports(ctx context.Context, in *unreadIn) (*body[ReportsUnread], error) {
	l, err := s.reports()
	if err != nil {
		return nil, err
	}
	limit := max(min(in.Limit, mostPage), 1)
	all, err := l.Unread(ctx, in.Cursor, limit+1)
	if err != nil {
		return nil, s.reportFail(err)
	}
	out := ReportsUnread{Unread: []ReportUnread{}}
	if len(all) > limit {
		all = all[:limit]
		out.Next = all[limit-1].ID
	}
	for _, x := range all {
		if !x.Foreign {
			x.Why = l.Why(reader(ctx), x.Why)
		}
		out.Unread = append(out.Unread, ReportUnread{x.ID, x.Received, x.Foreign, x.Sender, x.ClientIP, x.Size, x.Why, string(x.Proof)})
	}
	return &body[ReportsUnread]{out}, nil
}

func (s *server) dropUnreadReport(ctx context.Context, in *unreadRef) (*body[Done], error) {
	l, err := s.reports()
	if err != nil {
		return nil, err
	}
	if err := l.Drop(ctx, in.ID); err != nil {
		return nil, s.reportFail(err)
	}
	return done("forgotten"), nil
}

// ImportReport brings a report in.
func (c *Client) ImportReport(ctx context.Context, r ReportImport) (ReportImported, error) {
	return send[ReportImported](ctx, c, http.MethodPost, "/v1/reports", r)
}

// ReportOverview asks what receivers report about a domain.
func (c *Client) ReportOverview(ctx context.Context, domain string) (ReportOverview, error) {
	return send[ReportOverview](ctx, c, http.MethodGet, "/v1/reports/domains/"+url.PathEscape(domain), nil)
}
