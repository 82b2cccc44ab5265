package portal

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/user"
)

// searchRoutes are the operator's search of the journal and one message.
func (s *site) searchRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/o/messages", access: gateway(user.GatewayRead), do: s.opSearch},
		{method: http.MethodGet, path: "/o/messages/{id}", access: gateway(user.GatewayRead), do: s.opMessage},
		{method: http.MethodPost, path: "/o/messages/find", access: gateway(user.GatewayRead), act: "message.find", body: 200 << 10, do: s.opFind},
	}
}

// maxReport is how much of the report of a problem is read, in bytes.
const maxReport = 60_000

// opKinds are the kinds of facts in the order in which people look for them.
var opKinds = []journal.Kind{journal.Accepted, journal.Held, journal.Rejected, journal.Delivered, journal.Deferred, journal.Bounced, journal.Returned, journal.Expired, journal.Complaint,
	journal.Released, journal.Retested, journal.Dropped, journal.Attempt, journal.Notified, journal.DSN, journal.Asked, journal.LateDelay, journal.Confirmed, journal.AutoReply, journal.Unread,
	journal.Recovered, journal.Tuned, journal.Suppressed, journal.Listed, journal.Lifted, journal.BlockListed, journal.BlockDelisted, journal.DossierMoved, journal.ReportAlarm, journal.ReportOver, journal.Addressed}

// opFactRow is a fact in a table.
type opFactRow struct {
	At          opMoment
	Word        string
	Level       string // good, bad, slow or "": colours the word
	URL         string // of the message
	Subject     string
	From, To    string
	Customer    string
	CustomerURL string
	Text        string // the answer, or our reason
	Who         string // who did it, when a person did
	Score       string
}

// opFactRowOf puts a fact into a row.
func (v *visit) opFactRowOf(f journal.Fact) opFactRow {
	p := v.page
	r := opFactRow{At: p.opWhen(f.At), Word: p.opKind(f.Kind), Level: opLevel(f.Kind), Subject: clean(f.Subject, 120), From: clean(f.HeaderFrom, 120), To: clean(f.Recipient, 120), Text: opAnswer(f.Host, f.Code, f.Enhanced, f.Text)}
	if r.From == "" {
		r.From = clean(f.ReversePath, 120)
	}
	if f.QueueID != "" {
		r.URL = p.URL("/o/messages/" + string(f.QueueID))
	}
	if f.Customer != "" {
		r.Customer, r.CustomerURL = p.opCustomer(f.Customer), p.URL("/o/customers/"+f.Customer)
	}
	if f.Actor != "" && f.Actor != "rule" && f.Actor != journal.ActorNotice {
		r.Who = v.opActor(f.Actor)
	}
	switch f.Kind {
	case journal.Accepted, journal.Held, journal.Rejected, journal.Retested:
		r.Score = locale.Number(p.Lang, f.Score)
	}
	return r
}

// opKind is a kind of fact in words.
func (p page) opKind(k journal.Kind) string {
	if !slices.Contains(opKinds, k) {
		return clean(string(k), 40)
	}
	return p.T("search.kind." + strings.ReplaceAll(string(k), "-", "_"))
}

// opLevel is how a kind of fact looks.
func opLevel(k journal.Kind) string {
	switch k {
	case journal.Delivered, journal.Released, journal.Confirmed, journal.Lifted:
		return "good"
	case journal.Rejected, journal.Bounced, journal.Expired, journal.Complaint, journal.Returned, journal.Dropped, journal.Suppressed, journal.Listed:
		return "bad"
	case journal.Held, journal.Deferred, journal.LateDelay:
		return "slow"
	}
	return ""
}

// opFacts is a table of facts, for template "op-facts".
type opFacts struct {
	page
	Rows []opFactRow
	Live string // address of a stream that appends to it; "" none
	Of   bool   // all of one customer, whom the page names: no column says it again
}

// opSearchPage is the search of the journal.
type opSearchPage struct {
	page
	Action  string
	Fields  []field
	Asked   bool
	Table   opFacts
	Window  string // how far a search for words looked back
	Further string // address that looks further
	Pager   pager

	FindURL string
	Report  field
	Matches []opMatch
	Found   bool // a report was looked into
}

// opMatch is a message that a report may be about.
type opMatch struct {
	opFactRow
	Sure string // how sure it is
	By   string // what led there
}

// opSearch searches the journal.
func (s *site) opSearch(v *visit) {
	p, q := v.page, v.opQuery()
	d := s.opSearchPage(v)
	query := journal.Query{Text: strings.TrimSpace(q.Get("text")), Address: strings.TrimSpace(q.Get("address")), MessageID: strings.TrimSpace(q.Get("message_id")), Customer: strings.TrimSpace(q.Get("customer")),
		Limit: opRows, Cursor: q.Get("after")}
	kind := journal.Kind(q.Get("kind"))
	if slices.Contains(opKinds, kind) {
		query.Kinds = []journal.Kind{kind}
	}
	var bad bool
	if query.Since, bad = v.opDay(q.Get("since"), 0); bad {
		d.Fields[5].Fault = p.T("search.fault.date")
	}
	if query.Until, bad = v.opDay(q.Get("until"), 1); bad {
		d.Fields[6].Fault = p.T("search.fault.date")
	}
	if d.Asked = len(q) > 0; !d.Asked {
		v.show(http.StatusOK, "op-search.html", d)
		return
	}
	if id, err := mail.ParseQueueID(query.Text); err == nil && len(q) == 1 {
		v.redirect("/o/messages/" + string(id))
		return
	}
	if err := s.o.Journal.Flush(v.r.Context()); err != nil {
		s.o.Logger.Warn("facts not yet written", "error", err)
	}
	found, err := s.o.Journal.Look(v.r.Context(), query)
	if errors.Is(err, journal.ErrInvalid) { // the cursor was tampered with
		v.missing()
		return
	}
	if err != nil {
		v.broken("journal not searched", err)
		return
	}
	for _, f := range found.Facts {
		d.Table.Rows = append(d.Table.Rows, v.opFactRowOf(f))
	}
	if query.Cursor != "" {
		d.Pager.First = p.URL("/o/messages" + opEncode(q, "after", ""))
	}
	following := p.URL("/o/messages" + opEncode(q, "after", found.Next))
	switch {
	case !found.Looked.IsZero():
		d.Window, d.Further = p.T("search.looked", "When", p.date(found.Looked)), following
	case found.Next != "":
		d.Pager.Next = following
	case query.Text != "" && query.Address == "" && query.MessageID == "" && query.Customer == "" && query.Since.IsZero():
		d.Window = p.T("search.window", "Days", int(journal.TextWindow/(24*time.Hour)))
	}
	v.show(http.StatusOK, "op-search.html", d)
}

// opSearchPage makes the page with its fields.
func (s *site) opSearchPage(v *visit) opSearchPage {
	p, q := v.page, v.r.URL.Query()
	kinds := []option{{Value: "", Label: p.T("queue.any")}}
	for _, k := range opKinds {
		kinds = append(kinds, option{string(k), p.opKind(k), q.Get("kind") == string(k)})
	}
	d := opSearchPage{page: p, Table: opFacts{page: p}, Action: p.URL("/o/messages"), FindURL: p.URL("/o/messages/find")}
	d.Title = p.T("search.title")
	d.Fields = []field{
		{Name: "text", Label: p.T("search.field.text"), Value: clean(q.Get("text"), 200)},
		{Name: "address", Label: p.T("search.field.address"), Value: clean(q.Get("address"), 320)},
		{Name: "message_id", Label: p.T("facts.message_ref"), Value: clean(q.Get("message_id"), 500)},
		{Name: "customer", Label: p.T("queue.field.customer"), Value: clean(q.Get("customer"), 64)},
		{Name: "kind", Label: p.T("search.field.kind"), Type: "select", Options: kinds},
		{Name: "since", Label: p.T("search.field.since"), Type: "date", Value: clean(q.Get("since"), 10)},
		{Name: "until", Label: p.T("search.field.until"), Type: "date", Value: clean(q.Get("until"), 10)},
	}
	d.Report = field{Name: "report", Label: p.T("search.report.label"), Hint: p.T("search.report.hint"), Type: "textarea", Rows: 6, Mono: true, Required: true}
	return d
}

// opDay reads a day of the visitor's zone as its beginning, days later; zero for none.
func (v *visit) opDay(text string, days int) (t time.Time, bad bool) {
	if text == "" {
		return t, false
	}
	t, err := time.ParseInLocation(time.DateOnly, text, v.page.location())
	if err != nil || t.Year() < 2000 || t.Year() > 9000 {
		return time.Time{}, true
	}
	return t.AddDate(0, 0, days), false
}

// opFind says which messages a report that somebody pasted may be about.
func (s *site) opFind(v *visit) {
	p := v.page
	text := v.r.PostFormValue("report")
	v.about("report", strconv.Itoa(len(text))+" bytes")
	d := s.opSearchPage(v)
	d.Report.Value, _ = cleanLines(text[:min(len(text), maxReport)])
	if strings.TrimSpace(text) == "" || len(text) > maxReport {
		d.Report.Fault = p.T("search.fault.report")
		v.show(http.StatusUnprocessableEntity, "op-search.html", d)
		return
	}
	if err := s.o.Journal.Flush(v.r.Context()); err != nil {
		s.o.Logger.Warn("facts not yet written", "error", err)
	}
	found, _, err := s.o.Journal.Find(v.r.Context(), journal.Problem{Text: text, Reference: s.o.Reference})
	if err != nil {
		v.broken("report not looked into", err)
		return
	}
	d.Found = true
	for _, m := range found {
		var by []string
		for _, word := range m.By {
			by = append(by, p.T("search.by."+strings.ReplaceAll(clean(word, 20), "-", "_")))
		}
		d.Matches = append(d.Matches, opMatch{opFactRow: v.opFactRowOf(m.Fact), Sure: locale.Number(p.Lang, float64(int(m.Weight+0.5))), By: strings.Join(by, ", ")})
	}
	v.show(http.StatusOK, "op-search.html", d)
}
