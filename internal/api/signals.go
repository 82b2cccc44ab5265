package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"postern/internal/mail"
	"postern/internal/postmaster"
	"postern/internal/report"
	"postern/internal/user"
)

// SNDSRate is a complaint rate.
type SNDSRate struct {
	Percent float64 `json:"percent" doc:"Complaints for each hundred recipients"`
	Below   bool    `json:"below,omitempty" doc:"It is below that; Microsoft tells no more"`
}

// SNDSDay is one address on one day.
type SNDSDay struct {
	Day        string    `json:"day" format:"date"`
	Colour     string    `json:"colour,omitempty" enum:"green,yellow,red" doc:"What Microsoft's filter took for spam: below 10 %, up to 90 %, above"`
	Complaints *SNDSRate `json:"complaints,omitempty" doc:"Absent: not known, which is not 0"`
	Traps      *int64    `json:"traps,omitempty" doc:"Messages to trap addresses. Absent: not known, which is not 0"`
	Recipients *int64    `json:"recipients,omitempty" doc:"Absent: not known, which is not 0"`
}

// SNDSState is what Microsoft does with the mail of a range of addresses.
type SNDSState struct {
	First  string    `json:"first" doc:"First address of the range"`
	Last   string    `json:"last" doc:"Last address of the range"`
	State  string    `json:"state" enum:"blocked,junked,bot,abnormal"`
	Reason string    `json:"reason,omitempty" doc:"As Microsoft says it"`
	Since  time.Time `json:"since" doc:"When it was first reported here"`
}

// SNDSAddress is what SNDS says of one address.
type SNDSAddress struct {
	IP         string     `json:"ip"`
	Known      int        `json:"known" doc:"Days of which something is known"`
	Red        int        `json:"red" doc:"Of them, red days"`
	Yellow     int        `json:"yellow" doc:"Of them, yellow days"`
	Green      int        `json:"green" doc:"Of them, green days"`
	Traps      *int64     `json:"traps,omitempty" doc:"Messages to trap addresses. Absent: not known, which is not 0"`
	Complaints *SNDSRate  `json:"complaints,omitempty" doc:"Average by recipients. Absent: not known, which is not 0"`
	Last       string     `json:"last,omitempty" doc:"The last day of which something is known"`
	State      *SNDSState `json:"state,omitempty" doc:"Absent: no report names it"`
	Days       []SNDSDay  `json:"days" nullable:"false" doc:"Days of which something is known; the others are unknown, not zero"`
}

// SNDSMap is what SNDS says of all addresses.
type SNDSMap struct {
	From      string        `json:"from" format:"date"`
	To        string        `json:"to" format:"date"`
	Addresses []SNDSAddress `json:"addresses" nullable:"false" doc:"The worst first"`
	Average   *SNDSRate     `json:"average,omitempty" doc:"Complaints of all addresses, by recipients"`
	Silent    []string      `json:"silent" nullable:"false" doc:"Addresses that mail leaves from of which nothing is known: too little mail, or not authorised in SNDS"`
	Next      string        `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (m SNDSMap) nextPage() string { return m.Next }

// SNDSRow is what SNDS says of an address in one period.
type SNDSRow struct {
	Start     time.Time `json:"start"`
	End       time.Time `json:"end,omitzero"`
	RCPT      *int64    `json:"rcpt,omitempty" doc:"RCPT commands. Absent: not known, which is not 0"`
	DATA      *int64    `json:"data,omitempty" doc:"DATA commands. Absent: not known, which is not 0"`
	TrapStart time.Time `json:"trap_start,omitzero"`
	TrapEnd   time.Time `json:"trap_end,omitzero"`
	HELO      string    `json:"helo,omitempty" doc:"A sample; none since 2026"`
	Sender    string    `json:"sender,omitempty" doc:"A sample"`
	Comments  string    `json:"comments,omitempty"`
	Source    string    `json:"source" doc:"Where it came from"`
	Seen      time.Time `json:"seen" doc:"When it came or last changed"`
	SNDSDay
}

// SNDSRows are the periods of one address.
type SNDSRows struct {
	IP    string     `json:"ip"`
	Rows  []SNDSRow  `json:"rows" nullable:"false" doc:"Oldest first"`
	State *SNDSState `json:"state,omitempty" doc:"Absent: no report names it"`
	Clear bool       `json:"clear" doc:"A report of the last 48 hours does not name it. False without a state: not known"`
}

// SNDSImport is a file of SNDS.
type SNDSImport struct {
	Name string `json:"name,omitempty" maxLength:"200" doc:"Of the file, for the audit log"`
	Data []byte `json:"data" doc:"The file, in base64: any of the shapes that SNDS sends, at most 16 MB"`
}

// SNDSFault is a row that was left out.
type SNDSFault struct {
	Line  int    `json:"line"`
	Field string `json:"field,omitempty"`
	Code  string `json:"code" doc:"columns, quote, long, object, ip, time, period, number, rate, colour, answer, range"`
	Value string `json:"value,omitempty"`
	Text  string `json:"text"`
}

// SNDSImported is what became of a file.
type SNDSImported struct {
	Shape   string      `json:"shape" doc:"legacy-csv, csv, json, status-csv, status-json"`
	Read    int         `json:"read" doc:"Rows that could be read"`
	New     int         `json:"new" doc:"Of them, periods that were not known"`
	Changed int         `json:"changed" doc:"Of them, periods with other figures than before"`
	Same    int         `json:"same" doc:"Of them, periods that were known"`
	From    string      `json:"from,omitempty"`
	To      string      `json:"to,omitempty"`
	Began   int         `json:"began" doc:"Ranges that are reported now and were not"`
	Ended   int         `json:"ended" doc:"Ranges that were reported and are not"`
	Bad     []SNDSFault `json:"bad" nullable:"false" doc:"Rows that were left out, at most 1000"`
	BadMore int         `json:"bad_more,omitempty" doc:"Others beyond those"`
}

// SignalSource is a way in of providers' figures. Links and tokens are never told.
type SignalSource struct {
	Name    string    `json:"name"`
	Fault   string    `json:"fault,omitempty" enum:"signed-out,nothing,malformed,forbidden,busy,unexpected,unreadable,large,unreachable,key,folder,internal" doc:"Why the last attempt failed; absent: it worked"`
	Failing time.Time `json:"failing,omitzero" doc:"Since when it fails"`
	Tried   time.Time `json:"tried,omitzero" doc:"Last attempt"`
	Worked  time.Time `json:"worked,omitzero" doc:"Last attempt that worked"`
	Next    time.Time `json:"next,omitzero" doc:"Next attempt"`
	Expires time.Time `json:"expires,omitzero" doc:"When the permission ends, as far as is known"`
	Waiting bool      `json:"waiting,omitempty" doc:"An account must be connected first, on the page SNDS"`
	Rows    int64     `json:"rows"`
}

// SignalSources are the ways in.
type SignalSources struct {
	Sources []SignalSource `json:"sources" nullable:"false"`
	States  []SNDSState    `json:"states" nullable:"false" doc:"Ranges that Microsoft reports now"`
}

// SignalFetch says which source is asked.
type SignalFetch struct {
	Source string `json:"source,omitempty" maxLength:"200" doc:"Its name; absent: all"`
}

// GmailFigure is one of Gmail's figures of a domain and day.
type GmailFigure struct {
	Day    string  `json:"day" format:"date"`
	Metric string  `json:"metric" doc:"spam, spf, dkim, dmarc, tls, errors, errors later, or loop and the ID of a feedback loop"`
	Value  float64 `json:"value" doc:"A share from 0 to 1"`
}

// GmailDemand is one of what Gmail demands of senders.
type GmailDemand struct {
	Name   string    `json:"name"`
	State  string    `json:"state" enum:"compliant,needs-work,unknown"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// GmailDomain is what Gmail says of a domain.
type GmailDomain struct {
	Domain  string        `json:"domain"`
	Figures []GmailFigure `json:"figures" nullable:"false" doc:"Days and figures of which something is known; the others are unknown, not zero"`
	Demands []GmailDemand `json:"demands" nullable:"false"`
}

// GmailDomains are the domains of which Gmail says something.
type GmailDomains struct {
	Domains []GmailDomain `json:"domains" nullable:"false"`
	Next    string        `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (g GmailDomains) nextPage() string { return g.Next }

// maxSNDSBody is a file of report.MaxSNDS in base64, and room around it.
const maxSNDSBody = report.MaxSNDS/3*4 + 64<<10

// addSignals registers what providers say of our addresses and domains.
func (s *server) addSignals() {
	get, post := http.MethodGet, http.MethodPost
	read, write := gateway(user.GatewayRead), gateway(user.GatewayOperate)
	add(s, get, "/v1/snds", "list-snds", "What Microsoft SNDS says of the addresses that mail leaves from, by day", read, s.listSNDS)
	add(s, get, "/v1/snds/sources", "signal-sources", "Where figures of SNDS and Postmaster Tools come from, and how that fares", read, s.listSignalSources)
	add(s, get, "/v1/snds/addresses/{ip}", "show-snds", "What SNDS says of one address, period by period", read, s.showSNDS)
	add(s, post, "/v1/snds/import", "import-snds", "Take a file of SNDS; rows that cannot be read are told and left out", write.as("snds.import").anew().upTo(maxSNDSBody), s.importSNDS)
	add(s, post, "/v1/snds/fetch", "fetch-signals", "Ask a source now", write.as("snds.fetch").anew(), s.fetchSignals)
	add(s, get, "/v1/postmaster-tools", "list-gmail-figures", "What Gmail says of a customer's domains, or of all", over(user.MailRead), s.listGmail)
}

// signalSamples are the samples of those operations.
func signalSamples() map[string]sample {
	return map[string]sample{
		"list-snds":          {query: [][2]string{{"limit", "50"}}},
		"show-snds":          {path: map[string]string{"ip": "192.0.2.10"}},
		"import-snds":        {body: SNDSImport{Name: "data.csv", Data: []byte("192.0.2.10,9/28/2026 12:00 AM,9/29/2026 12:00 AM,812,790,780,GREEN,< 0.1%,,,,mail.example.net,news@example.net,\r\n")}},
		"fetch-signals":      {body: SignalFetch{Source: "snds"}},
		"list-gmail-figures": {query: [][2]string{{"domain", "shop.example"}}},
	}
}

// signals is the room.
func (s *server) signals() (*postmaster.Postmaster, error) {
	if s.o.Postmaster == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway keeps no figures of providers")
	}
	return s.o.Postmaster, nil
}

// DaySpan is the part of an input that says which days are meant.
type DaySpan struct {
	Since time.Time `query:"since" doc:"Default: 30 days before until"`
	Until time.Time `query:"until" doc:"Default: now. At most 400 days after since"`
}

// span completes a stretch of days.
func (d DaySpan) span(now time.Time) (from, to time.Time) {
	from, to = d.Since, d.Until
	if to.IsZero() {
		to = now
	}
	if from.IsZero() || from.After(to) {
		from = to.AddDate(0, 0, -29)
	}
	return from, to
}

type sndsIn struct {
	DaySpan
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"Addresses of one page"`
	Cursor string `query:"cursor" maxLength:"2000" doc:"next of the page before"`
}

func (s *server) listSNDS(ctx context.Context, in *sndsIn) (*body[SNDSMap], error) {
	p, err := s.signals()
	if err != nil {
		return nil, err
	}
	skip := 0
	if in.Cursor != "" {
		text, err := readCursor(in.Cursor)
		if err != nil {
			return nil, err
		}
		if skip, err = strconv.Atoi(text); err != nil || skip < 0 {
			return nil, badCursor()
		}
	}
	from, to := in.span(s.o.Now())
	h, err := p.Heat(ctx, from, to, skip, in.Limit)
	if err != nil {
		return nil, s.fail(err)
	}
	out := SNDSMap{From: h.Days[0].Format(time.DateOnly), To: h.Days[len(h.Days)-1].Format(time.DateOnly), Addresses: []SNDSAddress{}, Average: sndsRate(h.Average), Silent: []string{}}
	for i := skip; i < len(h.Lines) && i < skip+in.Limit; i++ {
		out.Addresses = append(out.Addresses, sndsAddress(h.Days, h.Lines[i]))
	}
	if skip+in.Limit < len(h.Lines) {
		out.Next = writeCursor(strconv.Itoa(skip + in.Limit))
	}
	for _, x := range h.Silent {
		name := x.String()
		if x.IsSingleIP() {
			name = x.Addr().String()
		}
		out.Silent = append(out.Silent, name)
	}
	return &body[SNDSMap]{out}, nil
}

func sndsAddress(days []time.Time, l postmaster.Line) SNDSAddress {
	a := SNDSAddress{IP: l.IP.String(), Known: l.Days, Red: l.Red, Yellow: l.Yellow, Green: l.Green, Traps: sndsNumber(l.Traps), Complaints: sndsRate(l.Complaint), Days: []SNDSDay{}}
	if !l.Last.IsZero() {
		a.Last = l.Last.Format(time.DateOnly)
	}
	if l.State != nil {
		a.State = sndsState(*l.State)
	}
	for i, c := range l.Cells {
		if c.Known {
			a.Days = append(a.Days, SNDSDay{days[i].Format(time.DateOnly), string(c.Colour), sndsRate(c.Complaint), sndsNumber(c.Traps), sndsNumber(c.Recipients)})
		}
	}
	return a
}

func sndsNumber(n report.SNDSNumber) *int64 {
	if !n.Known {
		return nil
	}
	return &n.Value
}

func sndsRate(r report.SNDSRate) *SNDSRate {
	if !r.Known {
		return nil
	}
	return &SNDSRate{r.Percent, r.Below}
}

func sndsState(x postmaster.State) *SNDSState {
	return &SNDSState{x.First.String(), x.Last.String(), string(x.State), x.Reason, x.Since}
}

type sndsOneIn struct {
	IP string `path:"ip" maxLength:"45"`
	DaySpan
}

func (s *server) showSNDS(ctx context.Context, in *sndsOneIn) (*body[SNDSRows], error) {
	p, err := s.signals()
	if err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(in.IP)
	if err != nil || ip.Zone() != "" {
		return nil, invalid("%q is no IP address", clip(in.IP, 45))
	}
	from, to := in.span(s.o.Now())
	rows, err := p.Trend(ctx, ip, from, to)
	if err != nil {
		return nil, s.fail(err)
	}
	standing, err := p.Standing(ctx, ip)
	if err != nil {
		return nil, s.fail(err)
	}
	out := SNDSRows{IP: ip.Unmap().String(), Rows: []SNDSRow{}, Clear: standing.Known && standing.State == nil}
	if standing.State != nil {
		out.State = sndsState(*standing.State)
	}
	for _, r := range rows {
		out.Rows = append(out.Rows, SNDSRow{Start: r.Start, End: r.End, RCPT: sndsNumber(r.RCPT), DATA: sndsNumber(r.DATA), TrapStart: r.TrapStart, TrapEnd: r.TrapEnd, HELO: r.HELO,
			Sender: r.Sender, Comments: r.Comments, Source: r.Source, Seen: r.Seen,
			SNDSDay: SNDSDay{r.Day().Format(time.DateOnly), string(r.Filter), sndsRate(r.Complaint), sndsNumber(r.TrapHits), sndsNumber(r.Recipients)}})
	}
	return &body[SNDSRows]{out}, nil
}

func (s *server) importSNDS(ctx context.Context, in *bodyOf[SNDSImport]) (*body[SNDSImported], error) {
	about(ctx, "file "+clip(in.Body.Name, 200), "")
	p, err := s.signals()
	if err != nil {
		return nil, err
	}
	did, err := p.Import(ctx, in.Body.Data, "upload by "+actor(ctx))
	if err != nil && !errors.Is(err, postmaster.ErrNoRows) {
		return nil, sndsFail(s, err)
	}
	about(ctx, "file "+clip(in.Body.Name, 200), fmt.Sprintf("%d rows, %d new, %d changed, %d left out", did.Read, did.New, did.Changed, len(did.Bad)+did.BadMore))
	return &body[SNDSImported]{SNDSResult(did)}, nil
}

// SNDSResult is what became of a file, in words and numbers; also of one that was only looked at (postmaster.Explain).
func SNDSResult(did postmaster.Imported) SNDSImported {
	out := SNDSImported{Shape: string(did.Shape), Read: did.Read, New: did.New, Changed: did.Changed, Same: did.Same, Began: did.Began, Ended: did.Ended, Bad: []SNDSFault{}, BadMore: did.BadMore}
	if !did.From.IsZero() {
		out.From, out.To = did.From.Format(time.DateOnly), did.To.Format(time.DateOnly)
	}
	for _, b := range did.Bad {
		out.Bad = append(out.Bad, SNDSFault{b.Line, b.Field, b.Code, b.Value, b.Error()})
	}
	return out
}

// sndsFail tells why a file was refused.
func sndsFail(s *server, err error) error {
	switch {
	case errors.Is(err, report.ErrSNDSPage):
		return invalid("the file is a web page, not figures: the sign-in or the key had expired when it was saved; fetch it again")
	case errors.Is(err, report.ErrSNDSLarge):
		return because(http.StatusUnprocessableEntity, "invalid", err)
	case errors.Is(err, report.ErrNoSNDS):
		return invalid("the file holds no SNDS figures; expected the CSV or JSON of SNDS's data or IP status")
	}
	return s.fail(err)
}

func (s *server) listSignalSources(ctx context.Context, _ *none) (*body[SignalSources], error) {
	p, err := s.signals()
	if err != nil {
		return nil, err
	}
	all, err := p.Sources(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	states, err := p.States(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	out := SignalSources{Sources: []SignalSource{}, States: []SNDSState{}}
	for _, x := range all {
		out.Sources = append(out.Sources, SignalSource{Name: x.Name, Fault: string(x.Fault), Failing: x.Failing, Tried: x.Tried, Worked: x.Worked, Next: x.Next, Expires: x.Expires,
			Waiting: x.Waiting, Rows: x.Rows})
	}
	for _, x := range states {
		out.States = append(out.States, *sndsState(x))
	}
	return &body[SignalSources]{out}, nil
}

func (s *server) fetchSignals(ctx context.Context, in *bodyOf[SignalFetch]) (*body[Done], error) {
	about(ctx, in.Body.Source, "")
	p, err := s.signals()
	if err != nil {
		return nil, err
	}
	if err := p.Again(in.Body.Source); err != nil {
		return nil, problem(http.StatusNotFound, "not-found", "no such source is configured; /v1/snds/sources lists them")
	}
	return done("the source is asked within a moment; the list of sources tells what came of it"), nil
}

type gmailIn struct {
	ForCustomer
	Paging
	DaySpan
	Domain string `query:"domain" maxLength:"255" doc:"Only this domain"`
}

func (s *server) listGmail(ctx context.Context, in *gmailIn) (*body[GmailDomains], error) {
	p, err := s.signals()
	if err != nil {
		return nil, err
	}
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	names, err := p.Domains(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	names = slices.DeleteFunc(names, func(d string) bool { return in.Domain != "" && d != in.Domain || !s.seesDomain(in.Customer, d) })
	page, next, err := pageOf(in.Paging, names, func(d string) string { return d })
	if err != nil {
		return nil, err
	}
	from, to := in.span(s.o.Now())
	out := GmailDomains{Domains: []GmailDomain{}, Next: next}
	for _, name := range page {
		d := GmailDomain{Domain: name, Figures: []GmailFigure{}, Demands: []GmailDemand{}}
		figures, err := p.Figures(ctx, name, from, to)
		if err != nil {
			return nil, s.fail(err)
		}
		demands, err := p.Demands(ctx, name)
		if err != nil {
			return nil, s.fail(err)
		}
		for _, f := range figures {
			d.Figures = append(d.Figures, GmailFigure{f.Day.Format(time.DateOnly), string(f.Metric), f.Value})
		}
		for _, x := range demands {
			d.Demands = append(d.Demands, GmailDemand{x.Name, string(x.State), x.Reason, x.Since})
		}
		out.Domains = append(out.Domains, d)
	}
	return &body[GmailDomains]{out}, nil
}

// seesDomain reports whether a domain is the customer's; "" is everybody.
func (s *server) seesDomain(customer, domain string) bool {
	if customer == "" {
		return true
	}
	c, ok := s.o.Accounts.Customer(customer)
	return ok && s.o.Accounts.OwnsDomain(c, mail.Domain(domain))
}

func spanValues(since, until time.Time) url.Values {
	v := url.Values{}
	for name, at := range map[string]time.Time{"since": since, "until": until} {
		if !at.IsZero() {
			v.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	return v
}

// SNDS returns what SNDS says of all addresses; zero times are the last 30 days.
func (c *Client) SNDS(ctx context.Context, since, until time.Time) (SNDSMap, error) {
	q := spanValues(since, until)
	q.Set("limit", "500")
	var out SNDSMap
	for {
		page, err := get[SNDSMap](ctx, c, "/v1/snds", q)
		if err != nil {
			return out, err
		}
		page.Addresses = append(out.Addresses, page.Addresses...)
		if out = page; page.Next == "" {
			return out, nil
		}
		q.Set("cursor", page.Next)
	}
}

// SNDSAddress returns what SNDS says of one address; zero times are the last 30 days.
func (c *Client) SNDSAddress(ctx context.Context, ip string, since, until time.Time) (SNDSRows, error) {
	return get[SNDSRows](ctx, c, "/v1/snds/addresses/"+url.PathEscape(ip), spanValues(since, until))
}

// ImportSNDS takes a file.
func (c *Client) ImportSNDS(ctx context.Context, name string, data []byte) (SNDSImported, error) {
	return send[SNDSImported](ctx, c, http.MethodPost, "/v1/snds/import", SNDSImport{name, data})
}

// SignalSources returns where figures come from, and how that fares.
func (c *Client) SignalSources(ctx context.Context) (SignalSources, error) {
	return get[SignalSources](ctx, c, "/v1/snds/sources", nil)
}

// FetchSignals asks a source now, "" all of them.
func (c *Client) FetchSignals(ctx context.Context, source string) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/snds/fetch", SignalFetch{source})
}
