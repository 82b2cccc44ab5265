package portal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/suppression"
	"postern/internal/user"
)

// Bounds of the pages about addresses that are not written to.
const (
	suppressedRows = 50
	exportRows     = 2_000
	importBody     = suppression.MaxCSV + 64<<10
	maxNoteText    = 190 // characters of a note; the ledger keeps 200 bytes
	mostLifts      = 20
)

// suppressionRoutes are the list of addresses that a customer does not write to.
func (s *site) suppressionRoutes() []route {
	get, post, at := http.MethodGet, http.MethodPost, "/c/{customer}/suppression"
	return []route{
		{method: get, path: at, access: over(user.ListsRead), do: s.suppressionList},
		{method: get, path: at + "/address", access: over(user.ListsRead), do: s.suppressionAddress},
		{method: get, path: at + "/export.csv", access: over(user.ListsRead), do: s.suppressionExport},
		{method: post, path: at + "/add", access: over(user.ListsWrite), act: "suppression.add", do: s.suppressionAdd},
		{method: post, path: at + "/lift", access: over(user.ListsWrite), act: "suppression.lift", do: s.suppressionLift},
		{method: post, path: at + "/import", access: over(user.ListsWrite), act: "suppression.import", body: importBody, do: s.suppressionImport},
	}
}

// suppressionPage is the list.
type suppressionPage struct {
	page
	Base     string
	MayWrite bool
	What     field
	Reason   field
	Rows     []suppressedRow
	Pager    pager
	Asked    bool
	Add      []field
	AddOpen  bool
	File     field
	FileAs   field
	Faults   []string // what is wrong with an import, row by row
	Columns  string
}

// suppressedRow is one address on the list.
type suppressedRow struct {
	URL     string
	Address string
	Reason  string
	Since   string
	Until   string
	Hits    string
}

// suppressedPage is everything about one address.
type suppressedPage struct {
	page
	Base    string
	Address string
	Entries []suppressedEntry
	Lifts   []event
	Add     []field // offered when nothing keeps him from writing
	Free    bool    // it is written to
}

// suppressedEntry is one reason why an address is not written to.
type suppressedEntry struct {
	Name    string
	Explain string
	Fix     string
	Facts   []fact
	Answer  string
	Message string // address of the message whose answer it stands on
	Whole   string // address of the page of the whole domain, when the entry is about that
	Lift    *button
	Why     field  // asked when it is lifted
	NoLift  string // why it cannot be lifted here
}

func (s *site) suppressionList(v *visit) {
	q := strings.TrimSpace(v.r.URL.Query().Get("q"))
	if strings.Contains(strings.TrimPrefix(q, "@"), "@") {
		if a, err := suppression.ParseAddress(q); err == nil && len(q) <= maxWhat {
			v.redirect("/c/" + v.customer.ID + "/suppression/address?address=" + queryEscape(suppression.FormatAddress(a)))
			return
		}
	}
	s.showSuppression(v, http.StatusOK, nil)
}

// showSuppression shows the list; change makes of it what an act that was refused has to say.
func (s *site) showSuppression(v *visit, status int, change func(*suppressionPage)) {
	query := v.r.URL.Query()
	x := suppressionPage{page: v.page, Base: "/c/" + v.customer.ID + "/suppression", MayWrite: v.who.May(user.ListsWrite, v.customer.ID), Columns: strings.Join(suppression.Columns(), ", ")}
	x.Title, x.Path = x.T("lists.suppression.title"), x.Base
	what := clean(query.Get("q"), maxWhat)
	x.What = field{Name: "q", Label: x.T("lists.suppression.what"), Hint: x.T("lists.suppression.what.hint"), Value: what, Most: maxWhat, Type: "search", Mono: true}
	x.Reason = field{Name: "reason", Label: x.T("lists.suppression.reason"), Type: "select", Options: []option{{"", x.T("lists.suppression.any"), false}}}
	for _, r := range suppression.Reasons() {
		x.Reason.Options = append(x.Reason.Options, option{string(r), x.reasonName(r), query.Get("reason") == string(r)})
	}
	ask := suppression.Query{Customer: v.customer.ID, Own: true, Limit: suppressedRows, Cursor: cursorOf(v.r)}
	if r := suppression.Reason(query.Get("reason")); slices.Contains(suppression.Reasons(), r) {
		ask.Reason, x.Asked = r, true
	}
	if what != "" {
		x.Asked = true
		d, err := mail.ParseDomain(strings.TrimPrefix(what, "@"))
		if ask.Domain = d; err != nil {
			x.What.Fault, status = x.T("lists.suppression.fault.what"), http.StatusUnprocessableEntity
		}
	}
	if x.What.Fault == "" {
		entries, next, err := s.o.Suppression.List(v.r.Context(), ask)
		switch {
		case errors.Is(err, suppression.ErrInvalid):
			v.missing()
			return
		case err != nil:
			v.broken("suppression not listed", err)
			return
		}
		for _, e := range entries {
			x.Rows = append(x.Rows, x.suppressedRow(x.Base, e))
		}
		x.Pager = x.pages(x.Base, next, "q", what, "reason", string(ask.Reason))
	}
	x.Add = x.suppressionForm("", "", "", "")
	x.File = field{Name: "file", Label: x.T("lists.import.file"), Hint: x.T("lists.import.file.hint"), Type: "file", Required: true}
	x.FileAs = field{Name: "for", Label: x.T("lists.import.reason"), Hint: x.T("lists.import.reason.hint"), Type: "select", Options: x.reasonChoices(suppression.BySender)}
	if change != nil {
		change(&x)
	}
	v.show(status, "suppression.html", x)
}

func (p page) reasonName(r suppression.Reason) string {
	return p.site.o.Catalog.Text(p.Lang, "suppression.reason."+string(r)+".name", nil)
}

// personalReasons are what a person may say when he puts an address on the list.
var personalReasons = []suppression.Reason{suppression.BySender, suppression.Unsubscribed, suppression.Complaint, suppression.UnknownUser}

func (p page) reasonChoices(chosen suppression.Reason) []option {
	var out []option
	for _, r := range personalReasons {
		out = append(out, option{string(r), p.T("lists.reason." + string(r)), r == chosen})
	}
	return out
}

// suppressionForm are the fields to put one address on the list.
func (p page) suppressionForm(address, reason, until, note string) []field {
	return []field{
		{Name: "address", Label: p.T("lists.add.address"), Hint: p.T("lists.add.address.hint"), Value: clean(address, maxWhat), Most: maxWhat, Required: true, Mono: true},
		{Name: "as", Label: p.T("lists.suppression.reason"), Type: "select", Options: p.reasonChoices(suppression.Reason(cmp.Or(reason, string(suppression.BySender))))},
		{Name: "until", Label: p.T("lists.until"), Hint: p.T("lists.until.hint"), Type: "date", Value: clean(until, 20)},
		{Name: "note", Label: p.T("lists.note"), Hint: p.T("lists.note.hint"), Value: clean(note, 300), Most: maxNoteText},
	}
}

func (p page) suppressedRow(base string, e suppression.Entry) suppressedRow {
	address := suppression.FormatAddress(e.Address)
	row := suppressedRow{URL: p.URL(base+"/address", "address", address), Address: clean(address, 300), Reason: p.reasonName(e.Reason), Since: p.date(e.Since),
		Until: p.T("lists.until.lifted"), Hits: locale.Number(p.Lang, float64(e.Hits))}
	if !e.Until.IsZero() {
		row.Until = p.date(e.Until)
	}
	return row
}

// entriesOf are the entries that concern a customer: his own and everybody's, of an address and of its domain.
func (s *site) entriesOf(ctx context.Context, customer string, a mail.Address) ([]suppression.Entry, error) {
	all, err := s.o.Suppression.Find(ctx, a)
	if err != nil {
		return nil, err
	}
	now := s.o.Now()
	return slices.DeleteFunc(all, func(e suppression.Entry) bool {
		return e.Customer != "" && e.Customer != customer || !e.Until.IsZero() && !now.Before(e.Until)
	}), nil
}

// suppressionAddress shows everything about one address that concerns this customer. What is on the list for everybody is shown for a single address only, as
// the answer to whoever writes to it does: the whole list holds the recipients of others.
func (s *site) suppressionAddress(v *visit) {
	a, err := suppression.ParseAddress(v.r.URL.Query().Get("address"))
	if err != nil || len(v.r.URL.Query().Get("address")) > 2*maxWhat {
		v.missing()
		return
	}
	s.showSuppressed(v, http.StatusOK, a, nil)
}

func (s *site) showSuppressed(v *visit, status int, a mail.Address, said *banner) {
	x := suppressedPage{page: v.page, Base: "/c/" + v.customer.ID + "/suppression", Address: clean(suppression.FormatAddress(a), 300)}
	x.Title = x.Address
	if v.r.Method != http.MethodGet {
		x.Path = ""
	}
	if said != nil {
		x.Banner = said
	}
	entries, err := s.entriesOf(v.r.Context(), v.customer.ID, a)
	if err != nil {
		v.broken("suppression not read", err)
		return
	}
	may := v.who.May(user.ListsWrite, v.customer.ID)
	for _, e := range entries {
		x.Entries = append(x.Entries, x.suppressedEntry(v, e, a, may))
	}
	if x.Free = len(entries) == 0; x.Free && may {
		x.Add = x.suppressionForm(suppression.FormatAddress(a), "", "", "")
	}
	lifts, err := s.o.Suppression.Lifts(v.r.Context(), a, mostLifts)
	if err != nil {
		v.broken("suppression not read", err)
		return
	}
	for _, l := range lifts {
		if l.Entry.Customer == v.customer.ID {
			x.Lifts = append(x.Lifts, event{When: x.date(l.At), Stamp: l.At.UTC().Format(time.RFC3339), Text: x.T("lists.lifted."+byWord(l.By), "Reason", x.reasonName(l.Entry.Reason)), Detail: clean(l.Why, 300)})
		}
	}
	v.show(status, "suppression-address.html", x)
}

// byWord tells gateway, recipient, sender and operator apart; an operator's name is not the sender's business.
func byWord(by string) string {
	switch {
	case strings.HasPrefix(by, "operator:"):
		return "operator"
	case by == "sender", strings.HasPrefix(by, "sender:"), strings.HasPrefix(by, "user:"), strings.HasPrefix(by, "token:"):
		return "sender"
	case by == "recipient":
		return "recipient"
	}
	return "rule"
}

// suppressedEntry words one entry. Of those for everybody only the answer is told: note and message belong to whoever made it.
func (p page) suppressedEntry(v *visit, e suppression.Entry, a mail.Address, may bool) suppressedEntry {
	c, key := p.site.o.Catalog, "suppression.reason."+string(e.Reason)
	own := e.Customer == v.customer.ID
	x := suppressedEntry{Name: p.reasonName(e.Reason), Explain: c.Text(p.Lang, key+".explain", nil), Fix: c.Text(p.Lang, key+".fix", nil), Answer: clean(e.Evidence.Text, evidenceText)}
	add := func(name, value string, code bool) {
		if value != "" {
			x.Facts = append(x.Facts, fact{Label: p.T("lists.fact." + name), Value: value, Code: code})
		}
	}
	whom := "lists.whom.own"
	if !own {
		whom = "lists.whom.all"
	}
	add("whom", p.T(whom), false)
	if e.Address != a {
		add("domain", clean(suppression.FormatAddress(e.Address), 300), true)
	}
	add("since", p.date(e.Since), false)
	if e.Until.IsZero() {
		add("until", p.T("lists.until.lifted"), false)
	} else {
		add("until", p.date(e.Until), false)
	}
	add("by", p.T("lists.by."+byWord(e.By)), false)
	if own {
		add("note", clean(e.Note, 300), false)
		add("hits", locale.Number(p.Lang, float64(e.Hits)), false)
		if !e.LastHit.IsZero() {
			add("last", p.date(e.LastHit), false)
		}
		if e.Evidence.QueueID != "" {
			x.Message = p.URL("/c/" + v.customer.ID + "/messages/" + string(e.Evidence.QueueID))
		}
	}
	if x.Answer != "" {
		add("host", clean(e.Evidence.Host, 200), true)
		if !e.Evidence.At.IsZero() {
			add("heard", p.date(e.Evidence.At), false)
		}
	}
	switch {
	case own && e.Address != a:
		x.Whole = p.URL("/c/"+v.customer.ID+"/suppression/address", "address", suppression.FormatAddress(e.Address))
	case !may:
	case !own:
		x.NoLift = p.T("lists.nolift.all")
	case e.Reason == suppression.ByOperator && !v.who.Gateway():
		x.NoLift = p.T("lists.nolift.operator")
	default:
		sure := p.T("lists.lift.sure")
		switch e.Reason {
		case suppression.UnknownUser, suppression.NoMail, suppression.Suspended:
			sure = p.T("lists.lift.sure.hard")
		case suppression.Complaint, suppression.Unsubscribed, suppression.Unwilling:
			sure = p.T("lists.lift.sure.unwanted")
		}
		x.Lift = &button{URL: p.URL("/c/" + v.customer.ID + "/suppression/lift"), Label: p.T("lists.lift.button"), Class: "second", Sure: sure,
			Values: map[string]string{"address": suppression.FormatAddress(e.Address)}}
		x.Why = field{Name: "why", Label: p.T("lists.lift.why"), Hint: p.T("lists.lift.why.hint"), Most: maxNoteText}
	}
	return x
}

// listActor is the visitor as entries of the list name him.
func (v *visit) listActor() string {
	if v.who.Gateway() {
		return "operator:" + v.who.ID
	}
	return "sender:" + v.who.ID
}

// suppressionAdd puts one address on the list.
func (s *site) suppressionAdd(v *visit) {
	if v.status = s.readForm(v.w, v.r); v.status != 0 {
		return
	}
	form := v.r.PostForm
	fields := v.page.suppressionForm(form.Get("address"), form.Get("as"), form.Get("until"), form.Get("note"))
	v.about(clean(form.Get("address"), 300), clean(form.Get("as"), 30))
	refuse := func() {
		s.showSuppression(v, http.StatusUnprocessableEntity, func(x *suppressionPage) {
			x.Add, x.AddOpen, x.Title = fields, true, x.T("error.title", "Heading", x.Title)
		})
	}
	a, err := suppression.ParseAddress(form.Get("address"))
	if err != nil {
		fields[0].Fault = v.page.T("lists.fault.address")
	}
	reason := suppression.Reason(form.Get("as"))
	if !slices.Contains(personalReasons, reason) {
		fields[1].Fault = v.page.T("lists.fault.reason")
	}
	until, fault := v.page.lastDay(form.Get("until"))
	fields[2].Fault = fault
	if len(form.Get("note")) > 200 {
		fields[3].Fault = v.page.T("lists.fault.note")
	}
	if slices.ContainsFunc(fields, func(f field) bool { return f.Fault != "" }) {
		refuse()
		return
	}
	address := suppression.FormatAddress(a)
	e := suppression.Entry{Customer: v.customer.ID, Address: a, Reason: reason, Until: until, By: v.listActor(), Note: strings.TrimSpace(form.Get("note"))}
	back := "/c/" + v.customer.ID + "/suppression/address?address=" + queryEscape(address)
	guarded, err := s.guardedEntries(v, a)
	if err != nil {
		v.broken("suppression not read", err)
		return
	}
	if guarded[a] {
		v.done(back, "lists.done.already", "Address", address)
		return
	}
	changed, err := s.o.Suppression.AddAll(v.r.Context(), []suppression.Entry{e})
	switch {
	case errors.Is(err, suppression.ErrInvalid):
		fields[0].Fault = v.page.T("lists.fault.address")
		refuse()
		return
	case errors.Is(err, suppression.ErrTooMany):
		fields[0].Fault = v.page.T("lists.fault.full")
		refuse()
		return
	case err != nil:
		v.broken("suppression not changed", err)
		return
	case changed == 0:
		v.done(back, "lists.done.already", "Address", address)
		return
	}
	v.wrote(journal.Fact{Kind: journal.Listed, Recipient: address, Text: string(reason) + ": " + e.Note, NextAt: until})
	v.done(back, "lists.done.added", "Address", address)
}

// guardedEntries are addresses that an operator put on this customer's list: his users neither replace nor lift such entries. a limits it to one address.
func (s *site) guardedEntries(v *visit, a mail.Address) (map[mail.Address]bool, error) {
	if v.who.Gateway() {
		return nil, nil
	}
	return s.o.Suppression.Guarded(v.r.Context(), v.customer.ID, a)
}

// wrote puts what was done into the journal. The act is done by then: a journal that cannot be written is told to the operator's log.
func (v *visit) wrote(facts ...journal.Fact) {
	for i := range facts {
		facts[i].At, facts[i].Customer, facts[i].Actor = v.s.o.Now(), v.customer.ID, v.who.Actor()
	}
	if err := v.s.o.Journal.Append(context.WithoutCancel(v.r.Context()), facts...); err != nil {
		v.s.o.Logger.Error("it is done, but was not written into the journal", "act", v.entry.Act, "actor", v.who.Actor(), "error", err)
	}
}

// lastDay reads the last day on which something counts, in the visitor's zone, and returns the moment after it; zero for none.
func (p page) lastDay(text string) (end time.Time, fault string) {
	if text = strings.TrimSpace(text); text == "" {
		return time.Time{}, ""
	}
	t, err := time.ParseInLocation(time.DateOnly, text, p.location())
	switch {
	case err != nil:
		return time.Time{}, p.T("messages.fault.date")
	case !t.AddDate(0, 0, 1).After(p.site.o.Now()):
		return time.Time{}, p.T("lists.fault.past")
	case t.Year() > 9000:
		return time.Time{}, p.T("messages.fault.date")
	}
	return t.AddDate(0, 0, 1), ""
}

// suppressionLift takes an address of the customer's own off the list.
func (s *site) suppressionLift(v *visit) {
	if v.status = s.readForm(v.w, v.r); v.status != 0 {
		return
	}
	a, err := suppression.ParseAddress(v.r.PostForm.Get("address"))
	if err != nil {
		v.about("none", "")
		v.missing()
		return
	}
	address, why := suppression.FormatAddress(a), clean(v.r.PostForm.Get("why"), maxNoteText)
	v.about(address, why)
	entries, err := s.entriesOf(v.r.Context(), v.customer.ID, a)
	if err != nil {
		v.broken("suppression not read", err)
		return
	}
	at := slices.IndexFunc(entries, func(e suppression.Entry) bool { return e.Customer == v.customer.ID && e.Address == a })
	if at < 0 {
		v.missing()
		return
	}
	e := entries[at]
	if e.Reason == suppression.ByOperator && !v.who.Gateway() {
		s.showSuppressed(v, http.StatusForbidden, a, &banner{"bad", v.page.T("lists.nolift.operator")})
		return
	}
	if _, err := s.o.Suppression.LiftBecause(v.r.Context(), v.customer.ID, a, v.listActor(), why); err != nil && !errors.Is(err, suppression.ErrNotFound) {
		v.broken("suppression not lifted", err)
		return
	}
	v.wrote(journal.Fact{Kind: journal.Lifted, QueueID: e.Evidence.QueueID, Recipient: address, Text: string(e.Reason) + ": " + why})
	back := "/c/" + v.customer.ID + "/suppression/address?address=" + queryEscape(address)
	if len(entries) > 1 {
		v.done(back, "lists.done.lifted.but", "Address", address)
		return
	}
	v.done(back, "lists.done.lifted", "Address", address)
}

// suppressionImport adds the entries of a CSV file: all of them, or none.
func (s *site) suppressionImport(v *visit) {
	v.about("file", "")
	text, reason, ok := v.csvFile()
	if !ok {
		return
	}
	refuse := func(faults ...string) {
		s.showSuppression(v, http.StatusUnprocessableEntity, func(x *suppressionPage) {
			x.Faults, x.Title = faults, x.T("error.title", "Heading", x.Title)
			x.File.Fault = x.T("lists.import.fault")
			x.FileAs.Options = x.reasonChoices(reason)
		})
	}
	if len(text) > suppression.MaxCSV {
		refuse(v.page.T("lists.import.fault.size"))
		return
	}
	how := suppression.Import{Sender: !v.who.Gateway(), Defaults: suppression.Defaults{Customer: v.customer.ID, Reason: reason, By: v.listActor(), Fixed: true}}
	got, err := s.o.Suppression.Import(v.r.Context(), bytes.NewReader(text), how)
	switch {
	case errors.Is(err, suppression.ErrInvalid), errors.Is(err, suppression.ErrTooMany) && got.Changed == 0:
		refuse(v.page.csvFaults(err)...)
		return
	case err != nil:
		v.broken(fmt.Sprintf("import of %d rows stopped after %d", got.Rows, got.Changed), err)
		return
	}
	v.about("file", fmt.Sprintf("%d rows, %d new, stronger or longer", got.Rows, got.Changed))
	v.wrote(journal.Fact{Kind: journal.Listed, Text: got.String()})
	v.done("/c/"+v.customer.ID+"/suppression", "lists.done.imported", "Rows", got.Rows, "Count", got.Changed)
}

// suppressionExport sends the customer's own entries as a file.
func (s *site) suppressionExport(v *visit) {
	q := suppression.Query{Customer: v.customer.ID, Own: true, Limit: exportRows}
	v.sendList(q, "suppression-"+v.customer.ID, func(entries []suppression.Entry) {
		for i := range entries {
			if byWord(entries[i].By) == "operator" && !v.who.Gateway() {
				entries[i].By = "operator:gateway" // which operator is not the sender's business
			}
		}
	})
}
