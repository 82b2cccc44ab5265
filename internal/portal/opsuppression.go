package portal

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/suppression"
	"postern/internal/user"
)

// opSuppressionRoutes are the operator's pages about addresses that are not written to.
func (s *site) opSuppressionRoutes() []route {
	read, write := gateway(user.ListsRead), gateway(user.ListsWrite)
	return []route{
		{method: http.MethodGet, path: "/o/suppression", access: read, do: s.opSuppression},
		{method: http.MethodGet, path: "/o/suppression/export.csv", access: read, do: s.opExport},
		{method: http.MethodPost, path: "/o/suppression/add", access: write, act: "suppression.add", do: s.opSuppress},
		{method: http.MethodPost, path: "/o/suppression/lift", access: write, act: "suppression.lift", do: s.opLiftAddress},
		{method: http.MethodPost, path: "/o/suppression/import", access: write, act: "suppression.import", body: suppression.MaxCSV + 64<<10, do: s.opImport},
	}
}

// opSuppressed is an entry of the list.
type opSuppressed struct {
	Address     string
	Whose       string
	WhoseURL    string
	Reason      string
	Explain     string
	Since       opMoment
	Until       opMoment
	By          string
	Note        string
	Answer      string
	Rule        string
	URL         string // of the message whose answer stands behind it
	Hits        string
	Ended       bool
	Customer    string // for the act
	Lift        bool
	AddressText string // for the act
}

// opLifted is an entry that was taken off.
type opLifted struct {
	Address, Whose, Reason, By, Why string
	At                              opMoment
}

type opSuppressionPage struct {
	page
	Action  string
	Fields  []field
	Rows    []opSuppressed
	Lifts   []opLifted
	Pager   pager
	Total   string
	MayAct  bool
	AddURL  string
	LiftURL string
	ImpURL  string
	Export  string
	Add     []field
	Import  []field
	Open    string // the form that has faults
	Faults  []string
	Back    string
}

// opReadSuppression reads the filter of the list; fault names the field that cannot be read.
func (v *visit) opReadSuppression() (q suppression.Query, at mail.Address, fault string) {
	x := v.r.URL.Query()
	q = suppression.Query{Customer: strings.TrimSpace(x.Get("customer")), Provider: strings.TrimSpace(x.Get("provider")), Limit: opRows, Cursor: x.Get("after")}
	if x.Get("own") != "" {
		q.Own = true
	}
	if r := suppression.Reason(x.Get("reason")); slices.Contains(suppression.Reasons(), r) {
		q.Reason = r
	}
	what := strings.TrimSpace(x.Get("address"))
	if what == "" {
		return q, at, ""
	}
	a, err := suppression.ParseAddress(what)
	if err != nil {
		return q, at, "address"
	}
	if a.Local == "" {
		q.Domain = a.Domain
		return q, at, ""
	}
	return q, a, ""
}

// opSuppression lists addresses that are not written to.
func (s *site) opSuppression(v *visit) {
	d, ok := s.opSuppressionPage(v)
	if ok {
		v.show(http.StatusOK, "op-suppression.html", d)
	}
}

// opSuppressionPage makes the page; ok is false when it has answered already.
func (s *site) opSuppressionPage(v *visit) (d opSuppressionPage, ok bool) {
	const mostLifts = 20
	p, x, ctx := v.page, v.opQuery(), v.r.Context()
	q, at, fault := v.opReadSuppression()
	d = opSuppressionPage{page: p, Action: p.URL("/o/suppression"), MayAct: v.who.May(user.ListsWrite, ""), AddURL: p.URL("/o/suppression/add"), LiftURL: p.URL("/o/suppression/lift"), ImpURL: p.URL("/o/suppression/import"),
		Export: p.URL("/o/suppression/export.csv" + opEncode(x, "after", "")), Back: "/o/suppression" + opEncode(x, "", "")}
	if v.r.Method != http.MethodGet {
		d.Back = "/o/suppression"
	}
	d.Title = p.T("opsuppression.title")
	d.Total = p.T("opsuppression.total", "Count", s.o.Suppression.Figures().Entries)
	reasons := []option{{Value: "", Label: p.T("queue.any")}}
	for _, r := range suppression.Reasons() {
		reasons = append(reasons, option{string(r), p.opReason(r), q.Reason == r})
	}
	d.Fields = []field{
		{Name: "address", Label: p.T("opsuppression.field.address"), Value: clean(x.Get("address"), 400), Fault: v.opFault(fault != "", "opsuppression.fault.address")},
		{Name: "customer", Label: p.T("queue.field.customer"), Value: clean(q.Customer, 64)},
		{Name: "reason", Label: p.T("opsuppression.field.reason"), Type: "select", Options: reasons},
		{Name: "own", Label: p.T("opsuppression.field.own"), Type: "checkbox", Checked: q.Own},
	}
	d.Add, d.Import = v.opSuppressFields(), v.opImportFields()
	var all []suppression.Entry
	var err error
	switch {
	case fault != "":
	case at.Local != "":
		if all, err = s.o.Suppression.Find(ctx, at); err != nil {
			break
		}
		all = slices.DeleteFunc(all, func(e suppression.Entry) bool {
			return q.Customer != "" && e.Customer != "" && e.Customer != q.Customer
		})
		all = all[:min(len(all), 4*opRows)]
		var lifts []suppression.Lift
		if lifts, err = s.o.Suppression.Lifts(ctx, at, mostLifts); err != nil {
			break
		}
		for _, l := range lifts {
			d.Lifts = append(d.Lifts, opLifted{clean(suppression.FormatAddress(l.Entry.Address), 400), p.opWhose(l.Entry.Customer), p.opReason(l.Entry.Reason), v.opActor(l.By), clean(l.Why, 200), p.opWhen(l.At)})
		}
	default:
		var next string
		if all, next, err = s.o.Suppression.List(ctx, q); next != "" {
			d.Pager.Next = p.URL("/o/suppression" + opEncode(x, "after", next))
		}
		if errors.Is(err, suppression.ErrInvalid) { // the cursor was tampered with
			v.missing()
			return d, false
		}
	}
	if err != nil {
		v.broken("suppression list not read", err)
		return d, false
	}
	if q.Cursor != "" {
		d.Pager.First = p.URL("/o/suppression" + opEncode(x, "after", ""))
	}
	for _, e := range all {
		d.Rows = append(d.Rows, v.opSuppressedOf(e))
	}
	return d, true
}

// opReason is a reason in words.
func (p page) opReason(r suppression.Reason) string {
	return p.opText("suppression.reason."+string(r)+".name", nil)
}

// opWhose is for whom an entry counts.
func (p page) opWhose(customer string) string {
	if customer == "" {
		return p.T("opsuppression.everybody")
	}
	return p.opCustomer(customer)
}

func (v *visit) opSuppressedOf(e suppression.Entry) opSuppressed {
	p := v.page
	ev := e.Evidence
	x := opSuppressed{Address: clean(suppression.FormatAddress(e.Address), 400), Whose: p.opWhose(e.Customer), Reason: p.opReason(e.Reason), Since: p.opWhen(e.Since), Until: p.opWhen(e.Until), By: v.opActor(e.By),
		Note: clean(e.Note, 200), Answer: opAnswer(ev.Host, ev.Code, ev.Enhanced, ev.Text), Rule: clean(ev.Rule, 100), Hits: locale.Number(p.Lang, float64(e.Hits)), Customer: e.Customer,
		Ended: !e.Until.IsZero() && !p.site.o.Now().Before(e.Until)}
	x.AddressText = suppression.FormatAddress(e.Address)
	if e.Customer != "" {
		x.WhoseURL = p.URL("/o/customers/" + e.Customer)
	}
	if ev.QueueID != "" {
		x.URL = p.URL("/o/messages/" + string(ev.QueueID))
	}
	return x
}

// opSuppressFields ask whom nobody is to write to.
func (v *visit) opSuppressFields() []field {
	p := v.page
	return []field{
		{Name: "add_address", Label: p.T("opsuppression.field.add"), Hint: p.T("opsuppression.field.add.hint"), Value: clean(v.r.PostFormValue("add_address"), 400), Required: true, Mono: true, Most: 400},
		{Name: "add_customer", Label: p.T("opsuppression.field.whose"), Hint: p.T("opsuppression.field.whose.hint"), Value: clean(v.r.PostFormValue("add_customer"), 64), Most: 64},
		{Name: "add_until", Label: p.T("opsuppression.field.until"), Hint: p.T("opsuppression.field.until.hint"), Type: "date", Value: clean(v.r.PostFormValue("add_until"), 10)},
		{Name: "add_note", Label: p.T("opsuppression.field.note"), Value: clean(v.r.PostFormValue("add_note"), 200), Most: 200},
	}
}

// opImportFields ask for a list.
func (v *visit) opImportFields() []field {
	p := v.page
	return []field{
		{Name: "file", Label: p.T("opsuppression.field.file"), Hint: p.T("opsuppression.field.file.hint"), Type: "file", Required: true},
		{Name: "import_customer", Label: p.T("opsuppression.field.whose"), Hint: p.T("opsuppression.field.whose.hint"), Value: clean(v.r.PostFormValue("import_customer"), 64), Most: 64},
	}
}

// opSuppressFault shows the page again with a fault in one of its forms.
func (s *site) opSuppressFault(v *visit, form, name string, faults ...string) {
	d, ok := s.opSuppressionPage(v)
	if !ok {
		return
	}
	d.Open = form
	for _, fields := range [][]field{d.Add, d.Import} {
		for i := range fields {
			if fields[i].Name == name {
				fields[i].Fault = faults[0]
				faults = faults[1:]
			}
		}
	}
	d.Faults = faults
	v.show(http.StatusUnprocessableEntity, "op-suppression.html", d)
}

// opSuppressionFault tells why the ledger refused.
func (v *visit) opSuppressionFault(err error) string {
	switch {
	case errors.Is(err, suppression.ErrTooMany):
		return v.page.T("opsuppression.fault.full", "Count", suppression.MaxEntries)
	case errors.Is(err, suppression.ErrLifted):
		return v.page.T("opsuppression.fault.lifted")
	case errors.Is(err, suppression.ErrNotFound):
		return v.page.T("opsuppression.fault.gone")
	}
	return clean(strings.TrimPrefix(strings.ReplaceAll(err.Error(), "suppression: ", ""), "not accepted: "), 500)
}

// opSuppress puts an address on the list.
func (s *site) opSuppress(v *visit) {
	p, ctx := v.page, v.r.Context()
	text, customer, note := strings.TrimSpace(v.r.PostFormValue("add_address")), strings.TrimSpace(v.r.PostFormValue("add_customer")), clean(v.r.PostFormValue("add_note"), 200)
	v.about(clean(text, 400), note)
	a, err := suppression.ParseAddress(text)
	if err != nil {
		s.opSuppressFault(v, "add", "add_address", p.T("opsuppression.fault.address"))
		return
	}
	if _, ok := s.o.Accounts.Customer(customer); customer != "" && !ok {
		s.opSuppressFault(v, "add", "add_customer", p.T("opsuppression.fault.customer"))
		return
	}
	v.entry.Customer = customer
	until, bad := v.opDay(v.r.PostFormValue("add_until"), 1)
	if bad || !until.IsZero() && !until.After(s.o.Now()) {
		s.opSuppressFault(v, "add", "add_until", p.T("opsuppression.fault.until"))
		return
	}
	e := suppression.Entry{Customer: customer, Address: a, Reason: suppression.ByOperator, Until: until, By: v.who.Actor(), Note: note}
	changed, err := s.o.Suppression.AddAll(ctx, []suppression.Entry{e})
	if err != nil {
		s.opSuppressFault(v, "add", "add_address", v.opSuppressionFault(err))
		return
	}
	if changed == 0 {
		s.opSuppressFault(v, "add", "add_address", p.T("opsuppression.fault.there"))
		return
	}
	f := journal.Fact{Kind: journal.Listed, At: s.o.Now(), Customer: customer, Recipient: suppression.FormatAddress(a), Text: string(suppression.ByOperator) + ": " + note, NextAt: until, Actor: v.who.Actor()}
	if err := s.o.Journal.Append(ctx, f); err != nil {
		v.broken("an address is on the list, but that was not written into the journal", err)
		return
	}
	v.done("/o/suppression", "opsuppression.done.add", "Address", suppression.FormatAddress(a), "Whose", p.opWhose(customer))
}

// opLiftAddress takes an entry off the list.
func (s *site) opLiftAddress(v *visit) {
	p, ctx, back := v.page, v.r.Context(), v.opBack("/o/suppression")
	text, customer, why := v.r.PostFormValue("address"), v.r.PostFormValue("customer"), clean(v.r.PostFormValue("why"), 200)
	v.about(clean(text, 400), why)
	if _, ok := s.o.Accounts.Customer(customer); ok {
		v.entry.Customer = customer
	}
	a, err := suppression.ParseAddress(text)
	if err != nil {
		v.opRefused(http.StatusUnprocessableEntity, p.T("opsuppression.fault.address"), back)
		return
	}
	e, err := s.o.Suppression.LiftBecause(ctx, customer, a, v.who.Actor(), why)
	if err != nil {
		v.opRefused(http.StatusConflict, v.opSuppressionFault(err), back)
		return
	}
	f := journal.Fact{Kind: journal.Lifted, At: s.o.Now(), QueueID: e.Evidence.QueueID, Customer: e.Customer, Recipient: suppression.FormatAddress(a), Text: string(e.Reason) + ": " + why, Actor: v.who.Actor()}
	if err := s.o.Journal.Append(ctx, f); err != nil {
		v.broken("an address is off the list, but that was not written into the journal", err)
		return
	}
	v.done(back, "opsuppression.done.lift", "Address", suppression.FormatAddress(a), "Whose", p.opWhose(customer))
}

// opImport adds the entries of a file, all or none.
func (s *site) opImport(v *visit) {
	p, ctx := v.page, v.r.Context()
	v.about("file", "")
	file, head, err := v.r.FormFile("file")
	if err != nil {
		s.opSuppressFault(v, "import", "file", p.T("opsuppression.fault.file"))
		return
	}
	defer file.Close()
	v.about(clean(head.Filename, 200), "")
	customer := strings.TrimSpace(v.r.PostFormValue("import_customer"))
	if _, ok := s.o.Accounts.Customer(customer); customer != "" && !ok {
		s.opSuppressFault(v, "import", "import_customer", p.T("opsuppression.fault.customer"))
		return
	}
	v.entry.Customer = customer
	how := suppression.Import{Defaults: suppression.Defaults{Customer: customer, Reason: suppression.ByOperator, By: v.listActor(), Fixed: customer != ""}, Known: func(id string) error {
		if _, ok := s.o.Accounts.Customer(id); id != "" && !ok {
			return unknownCustomer(id)
		}
		return nil
	}}
	got, err := s.o.Suppression.Import(ctx, file, how)
	var unknown unknownCustomer
	var row *suppression.RowError
	switch {
	case errors.As(err, &unknown):
		s.opSuppressFault(v, "import", "file", p.T("opsuppression.fault.customer_row", "ID", clean(string(unknown), 64)))
		return
	case errors.As(err, &row):
		s.opSuppressFault(v, "import", "file", append([]string{p.T("opsuppression.fault.rows")}, p.csvFaults(err)...)...)
		return
	case errors.Is(err, suppression.ErrInvalid), errors.Is(err, suppression.ErrTooMany) && got.Changed == 0:
		s.opSuppressFault(v, "import", "file", v.opSuppressionFault(err))
		return
	case err != nil:
		v.broken(fmt.Sprintf("import of %d rows stopped after %d", got.Rows, got.Changed), err)
		return
	}
	v.entry.Text = fmt.Sprintf("%d rows, %d new", got.Rows, got.Changed)
	f := journal.Fact{Kind: journal.Listed, At: s.o.Now(), Customer: customer, Text: got.String(), Actor: v.who.Actor()}
	if err := s.o.Journal.Append(ctx, f); err != nil {
		v.broken("entries are on the list, but that was not written into the journal", err)
		return
	}
	v.done("/o/suppression", "opsuppression.done.import", "Count", got.Rows, "New", got.Changed)
}

// unknownCustomer is a customer that a row names and that there is not.
type unknownCustomer string

func (id unknownCustomer) Error() string { return "no customer " + string(id) }

// opExport writes what is listed under the page's filter as CSV.
func (s *site) opExport(v *visit) {
	q, at, fault := v.opReadSuppression()
	if fault != "" {
		v.missing()
		return
	}
	q.Limit, q.Cursor, q.Address = exportRows, "", at
	v.sendList(q, "suppression", nil)
}
