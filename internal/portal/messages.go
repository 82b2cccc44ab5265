package portal

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/user"
)

// Bounds of the search for messages.
const (
	messageRows = 50       // facts of one page
	stateFacts  = 60       // the newest facts of a message, from which its state is told
	maxWhat     = 320      // characters searched for
	reportBody  = 96 << 10 // bytes of a pasted report, percent-encoded
	mostReport  = 20_000   // characters of it
)

// messageRoutes are the search for messages, the report of a problem, and the page of one message with its acts.
func (s *site) messageRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	routes := []route{
		{method: get, path: "/c/{customer}/messages", access: over(user.MailRead), do: s.messageSearch},
		{method: get, path: "/c/{customer}/messages/find", access: over(user.MailRead), do: func(v *visit) { v.redirect("/c/" + v.customer.ID + "/messages") }},
		{method: post, path: "/c/{customer}/messages/find", access: over(user.MailRead), act: "message.find", body: reportBody, do: s.messageFind},
		{method: get, path: "/c/{customer}/messages/{id}", access: over(user.MailRead), do: s.messageShow},
		{method: get, path: "/c/{customer}/messages/{id}/text", access: over(user.MailAct), do: s.messageText},
		{method: get, path: "/c/{customer}/messages/{id}/message.eml", access: over(user.MailAct), do: s.messageFile},
		{method: get, path: "/c/{customer}/messages/{id}/{act}", access: over(user.MailRead), do: s.messageBack},
	}
	for _, act := range []string{"retest", "release", "drop", "allow", "withdraw", "ask"} {
		routes = append(routes, route{method: post, path: "/c/{customer}/messages/{id}/" + act, access: over(user.MailAct), act: "message." + act, do: s.messageAct(act)})
	}
	return routes
}

// messageList is a list of messages that were looked for.
type messageList struct {
	page
	Base    string
	What    field
	Kind    field
	From    field
	Until   field
	Rows    []messageRow
	Pager   pager
	Asked   bool   // something was looked for
	Note    string // how far back was looked
	Further string // address of the same search, further back
	Report  field
	Found   bool // Rows are what a report may be about
}

// messageRow is one message.
type messageRow struct {
	URL      string
	Subject  string
	From, To string
	When     string
	Stamp    string
	Word     string // its state
	Class    string
	Answer   string // the last answer of a server
	Sure     string // how sure it is that a report is about it
}

// kindChoices are what the search can be narrowed to, with the facts that each means.
var kindChoices = []struct {
	name  string
	kinds []journal.Kind
}{
	{"", nil},
	{"held", []journal.Kind{journal.Held}},
	{"rejected", []journal.Kind{journal.Rejected}},
	{"delivered", []journal.Kind{journal.Delivered}},
	{"deferred", []journal.Kind{journal.Deferred}},
	{"bounced", []journal.Kind{journal.Bounced, journal.Expired, journal.Returned}},
	{"complaint", []journal.Kind{journal.Complaint}},
}

// arrivals are the facts of which each message has one.
var arrivals = []journal.Kind{journal.Accepted, journal.Held, journal.Rejected, journal.Recovered}

// fates are the facts that a search by words or address looks at.
var fates = []journal.Kind{journal.Accepted, journal.Held, journal.Rejected, journal.Recovered, journal.Delivered, journal.Deferred, journal.Bounced, journal.Expired, journal.Returned,
	journal.LateDelay, journal.Complaint, journal.AutoReply}

// newMessageList begins the page with its form.
func (v *visit) newMessageList() messageList {
	q := v.r.URL.Query()
	m := messageList{page: v.page, Base: "/c/" + v.customer.ID + "/messages"}
	m.Title = m.T("messages.title")
	m.What = field{Name: "q", Label: m.T("messages.what"), Hint: m.T("messages.what.hint"), Value: clean(q.Get("q"), maxWhat), Most: maxWhat, Type: "search"}
	m.Kind = field{Name: "kind", Label: m.T("messages.kind"), Type: "select"}
	for _, k := range kindChoices {
		label := k.name
		if label == "" {
			label = "all"
		}
		m.Kind.Options = append(m.Kind.Options, option{k.name, m.T("messages.kind." + label), q.Get("kind") == k.name})
	}
	m.From = field{Name: "from", Label: m.T("messages.from"), Type: "date", Value: clean(q.Get("from"), 10)}
	m.Until = field{Name: "until", Label: m.T("messages.until"), Type: "date", Value: clean(q.Get("until"), 10)}
	m.Report = field{Name: "report", Label: m.T("messages.report.label"), Hint: m.T("messages.report.hint"), Type: "textarea", Rows: 6, Most: mostReport, Required: true}
	return m
}

// messageSearch shows the messages that are looked for, the newest first.
func (s *site) messageSearch(v *visit) {
	m := v.newMessageList()
	q, ok := m.query(v)
	if !ok {
		m.Asked = false
		s.messagePageOf(v, http.StatusUnprocessableEntity, m, latestMessages(v.customer.ID))
		return
	}
	s.messagePageOf(v, http.StatusOK, m, q)
}

// latestMessages asks for the newest messages of a customer.
func latestMessages(customer string) journal.Query {
	return journal.Query{Customer: customer, Limit: messageRows, Kinds: arrivals}
}

// messagePageOf answers with the messages that a query finds.
func (s *site) messagePageOf(v *visit, status int, m messageList, q journal.Query) {
	if status >= http.StatusBadRequest {
		m.Title = m.T("error.title", "Heading", m.Title)
	}
	s.flush(v.r.Context())
	found, err := s.o.Journal.Look(v.r.Context(), q)
	if errors.Is(err, journal.ErrInvalid) {
		v.missing()
		return
	}
	if err != nil {
		v.broken("messages not found", err)
		return
	}
	seen := map[mail.QueueID]bool{}
	for _, f := range found.Facts {
		if f.QueueID == "" || f.Customer != v.customer.ID || seen[f.QueueID] {
			continue
		}
		seen[f.QueueID] = true
		row, err := s.messageRow(v.r.Context(), m.page, m.Base, f)
		if err != nil {
			v.broken("message not read", err)
			return
		}
		m.Rows = append(m.Rows, row)
	}
	m.Pager = m.pages(m.Base, found.Next, "q", m.What.Value, "kind", v.r.URL.Query().Get("kind"), "from", m.From.Value, "until", m.Until.Value)
	if !found.Looked.IsZero() {
		m.Note, m.Further, m.Pager.Next = m.T("messages.window", "When", m.date(found.Looked)), m.Pager.Next, ""
	}
	v.show(status, "messages.html", m)
}

// flush makes visible what has just happened; what cannot be written yet is still worth showing without.
func (s *site) flush(ctx context.Context) {
	if err := s.o.Journal.Flush(ctx); err != nil {
		s.o.Logger.Warn("facts not yet written", "error", err)
	}
}

// query reads the form. When ok is false a field has a fault.
func (m *messageList) query(v *visit) (q journal.Query, ok bool) {
	ok = true
	q = journal.Query{Customer: v.customer.ID, Limit: messageRows, Cursor: cursorOf(v.r), Kinds: arrivals}
	zone := m.location()
	day := func(f *field) time.Time {
		if f.Value == "" {
			return time.Time{}
		}
		t, err := time.ParseInLocation(time.DateOnly, f.Value, zone)
		if err != nil || t.Year() < 1970 || t.Year() > 9000 {
			f.Fault, ok = m.T("messages.fault.date"), false
		}
		return t
	}
	if q.Since, q.Until = day(&m.From), day(&m.Until); !q.Until.IsZero() {
		q.Until = q.Until.AddDate(0, 0, 1) // the whole day
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		m.Until.Fault, ok = m.T("messages.fault.order"), false
	}
	what := strings.TrimSpace(m.What.Value)
	if m.Asked = what != ""; m.Asked {
		q.Kinds = fates
	}
	for _, k := range kindChoices {
		if k.name != "" && k.name == v.r.URL.Query().Get("kind") {
			q.Kinds, m.Asked = k.kinds, true
		}
	}
	m.Asked = m.Asked || !q.Since.IsZero() || !q.Until.IsZero()
	switch {
	case what == "":
	case strings.HasPrefix(what, "<") && strings.HasSuffix(what, ">"):
		q.MessageID = what
	case isAddress(what):
		q.Address = what
	default:
		q.Text = what
	}
	return q, ok
}

// isAddress reports whether what somebody looks for is one mail address.
func isAddress(s string) bool {
	if !strings.Contains(s, "@") || strings.ContainsAny(s, " \t") {
		return false
	}
	a, err := mail.ParseAddress(s)
	return err == nil && !a.IsNull()
}

// messageRow puts the message of a fact into a line: its present state and the last answer.
func (s *site) messageRow(ctx context.Context, p page, base string, f journal.Fact) (messageRow, error) {
	facts, _, err := s.o.Journal.Search(ctx, journal.Query{Text: string(f.QueueID), Limit: stateFacts})
	if err != nil {
		return messageRow{}, err
	}
	first := f
	for _, x := range facts {
		if x.Subject != "" || x.HeaderFrom != "" {
			first = x
		}
	}
	if first.HeaderFrom == "" && len(facts) == stateFacts { // a message to many: its arrival is further back
		if arrival, _, err := s.o.Journal.Search(ctx, journal.Query{Text: string(f.QueueID), Limit: 1, Kinds: arrivals}); err == nil && len(arrival) > 0 {
			first = arrival[0]
		}
	}
	row := messageRow{URL: p.URL(base + "/" + string(f.QueueID)), Subject: clean(first.Subject, 200), From: clean(first.HeaderFrom, 200), To: clean(first.Recipient, 200)}
	if row.To == "" {
		row.To = clean(f.Recipient, 200)
	}
	if row.From == "" {
		row.From = clean(first.ReversePath, 200)
	}
	if row.Subject == "" {
		row.Subject = p.T("facts.no_subject")
	}
	at := f.QueueID.Time()
	row.When, row.Stamp = p.date(at), at.UTC().Format(time.RFC3339)
	status, answer := stateOf(facts)
	row.Class, row.Word = status, p.T("state."+status+".word")
	if answer.Text != "" {
		row.Answer = clean(answerOf(spool.Recipient{Host: answer.Host, Code: answer.Code, Enhanced: answer.Enhanced, Text: answer.Text}), 300)
	}
	return row, nil
}

// stateOf tells a message's state and the last answer of a server from its newest facts, which come newest first.
func stateOf(facts []journal.Fact) (status string, answer journal.Fact) {
	state := intake.Leaving
	oldest := make([]journal.Fact, 0, len(facts))
	for i := len(facts) - 1; i >= 0; i-- {
		f := facts[i]
		oldest = append(oldest, f)
		switch f.Kind {
		case journal.Accepted, journal.Released, journal.Recovered:
			state = intake.Leaving
		case journal.Held:
			state = intake.Waiting
		case journal.Rejected:
			state = intake.Refused
		case journal.Delivered:
			state = intake.Delivered
		case journal.Bounced, journal.Returned:
			state = intake.Failed
		case journal.Dropped:
			state = intake.Dropped
		case journal.Expired:
			state = intake.Expired
		}
		switch f.Kind {
		case journal.Delivered, journal.Deferred, journal.Bounced, journal.Returned, journal.LateDelay:
			answer = f
		}
	}
	if accepted, failed := tally(oldest); accepted > 0 && failed > 0 {
		return "partly", answer
	}
	return string(state), answer
}

// messageFind looks for the messages that a pasted report may be about.
func (s *site) messageFind(v *visit) {
	if v.status = s.readForm(v.w, v.r); v.status != 0 {
		return
	}
	v.about("report", "")
	m := v.newMessageList()
	m.Path, m.Found = m.Base, true
	text := strings.TrimSpace(v.r.PostForm.Get("report"))
	m.Report.Value, _ = cleanLines(text)
	if text == "" || len([]rune(text)) > mostReport {
		m.Report.Fault = m.T("messages.fault.report")
		m.Found = false
		s.messagePageOf(v, http.StatusUnprocessableEntity, m, latestMessages(v.customer.ID))
		return
	}
	s.flush(v.r.Context())
	matches, _, err := s.o.Journal.Find(v.r.Context(), journal.Problem{Text: text, Customer: v.customer.ID, Reference: s.o.Reference})
	if err != nil {
		v.broken("report not looked for", err)
		return
	}
	for _, x := range matches {
		if x.Fact.Customer != v.customer.ID {
			continue
		}
		row, err := s.messageRow(v.r.Context(), m.page, m.Base, x.Fact)
		if err != nil {
			v.broken("message not read", err)
			return
		}
		switch {
		case x.Weight >= 90:
			row.Sure = m.T("messages.sure.certain")
		case x.Weight >= 40:
			row.Sure = m.T("messages.sure.probable")
		default:
			row.Sure = m.T("messages.sure.possible")
		}
		m.Rows = append(m.Rows, row)
	}
	v.show(http.StatusOK, "messages.html", m)
}

// theMessage returns the message of the path, which must be this customer's. When ok is false the answer is written.
func (s *site) theMessage(v *visit) (view intake.View, ok bool) {
	id, err := mail.ParseQueueID(v.r.PathValue("id"))
	if err != nil {
		v.missing()
		return view, false
	}
	s.flush(v.r.Context())
	view, err = s.o.Desk.View(v.r.Context(), id)
	switch {
	case errors.Is(err, intake.ErrNotFound), err == nil && view.Customer.ID != v.customer.ID:
		v.missing()
		return view, false
	case err != nil:
		v.broken("message not shown", err)
		return view, false
	}
	return view, true
}

// messageShow is the page of one message, for whoever is signed in.
func (s *site) messageShow(v *visit) {
	view, ok := s.theMessage(v)
	if !ok {
		return
	}
	m := s.portalMessage(v, view)
	if said := m.result(v.r.URL.Query().Get("done"), view); said != nil {
		m.Banner = said
	}
	v.show(http.StatusOK, "message.html", m)
}

// portalMessage is the page of a message with what only those who are signed in see.
func (s *site) portalMessage(v *visit, view intake.View) *messagePage {
	st := v.seatOf(view.ID)
	m := s.describe(v.page, st, view)
	base := "/c/" + v.customer.ID
	m.List = []option{{Value: m.URL(base + "/messages"), Label: m.T("messages.back.messages")}, {Value: m.URL(base + "/held"), Label: m.T("messages.back.held")}}
	w, err := s.o.Spool.Get(v.r.Context(), view.ID)
	if err != nil {
		return m
	}
	if st.acts {
		m.Text = m.URL(st.path + "/text")
	}
	if !w.Held {
		if m.Waits = m.waits(w); len(m.Waits) > 0 && !w.Expires.IsZero() {
			m.GivesUp = m.T("messages.wait.gives_up", "When", m.date(w.Expires))
		}
	}
	return m
}

// messageAct does what a form on a message's page asks for.
func (s *site) messageAct(act string) func(*visit) {
	return func(v *visit) {
		view, ok := s.theMessage(v)
		if !ok {
			return
		}
		v.about(string(view.ID), clean(view.Subject, 200))
		if status := s.readForm(v.w, v.r); status != 0 {
			v.status = status
			return
		}
		st := v.seatOf(view.ID)
		err := s.perform(v.r, st, view.ID, act)
		if err == nil {
			v.redirect(st.path + "?done=" + act)
			return
		}
		status, key := refusal(err)
		if status == http.StatusInternalServerError {
			s.o.Logger.Error("act not done", "queue_id", view.ID, "act", act, "error", err)
		}
		if status == http.StatusTooManyRequests {
			v.w.Header().Set("Retry-After", "5")
		}
		if view, ok = s.theMessage(v); !ok {
			return
		}
		m := s.portalMessage(v, view)
		m.refuse(key, questionOf(v.r))
		v.show(status, "message.html", m)
	}
}

// messageBack leads whoever reloads or opens the address of an act to the message.
func (s *site) messageBack(v *visit) {
	id, err := mail.ParseQueueID(v.r.PathValue("id"))
	if err != nil {
		v.missing()
		return
	}
	v.redirect("/c/" + v.customer.ID + "/messages/" + string(id))
}
