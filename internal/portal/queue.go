package portal

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/user"
)

// queueRoutes are the operator's pages about mail that is in the spool.
func (s *site) queueRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	look, act := gateway(user.GatewayRead), gateway(user.MailAct)
	return []route{
		{method: get, path: "/o/queue", access: look, do: s.opQueue},
		{method: get, path: "/o/queue/top", access: look, do: s.opTop},
		{method: get, path: "/o/held", access: look, do: s.opHeld},
		{method: get, path: "/o/queue/drop", access: act, do: s.opDropSure},
		{method: post, path: "/o/queue/retry", access: act, act: "message.retry", do: s.opActs(opRetry)},
		{method: post, path: "/o/queue/hold", access: act, act: "message.hold", do: s.opActs(opHold)},
		{method: post, path: "/o/queue/release", access: act, act: "message.release", do: s.opActs(opRelease)},
		{method: post, path: "/o/queue/retest", access: act, act: "message.retest", do: s.opActs(opRetest)},
		{method: post, path: "/o/queue/drop", access: act, act: "message.drop", do: s.opActs(opDrop)},
		{method: post, path: "/o/queue/retry-all", access: gateway(user.GatewayOperate), act: "queue.retry-all", do: s.opRetryAll},
	}
}

// Bounds of lists.
const (
	opRows   = 50   // messages on one page
	opLooked = 1000 // messages that one page looks at to fill itself
)

// opRow is a message in a list.
type opRow struct {
	ID          string
	URL         string
	Subject     string
	From, To    string
	More        int // recipients beside To
	Customer    string
	CustomerURL string
	State, Word string
	Why         string
	Next        opMoment
	Came        opMoment
	Size        string
	Score       string
	Over        bool // the score is above the threshold
	Asked       bool
}

// opRowOf puts a message into a row.
func (p page) opRowOf(w spool.Work) opRow {
	r := opRow{ID: string(w.ID), URL: p.URL("/o/messages/" + string(w.ID)), Subject: clean(w.Subject, 120), From: clean(w.HeaderFrom, 120), Came: p.opWhen(w.Received),
		Size: locale.Bytes(p.Lang, w.Size), Score: locale.Number(p.Lang, w.Score), Customer: p.opCustomer(w.Customer)}
	if w.Customer != "" {
		r.CustomerURL = p.URL("/o/customers/" + w.Customer)
	}
	if r.Subject == "" {
		r.Subject = p.T("facts.no_subject")
	}
	if r.From == "" {
		r.From = clean(w.Envelope.ReversePath.String(), 120)
	}
	if n := len(w.Envelope.Recipients); n > 0 {
		r.To, r.More = clean(w.Envelope.Recipients[0].Address.String(), 120), n-1
	}
	if v, ok := opVerdict(w); ok {
		r.Over = w.Score > v.Threshold
	}
	r.State, r.Word, r.Next, r.Why = p.opSummary(w)
	return r
}

// opCustomer is what people call a customer.
func (p page) opCustomer(id string) string {
	if id == "" {
		return p.T("queue.itself")
	}
	if c, ok := p.site.o.Accounts.Customer(id); ok && c.Name != "" {
		return clean(c.Name, 100)
	}
	return clean(id, 64)
}

// opListPage is a list of messages in the spool.
type opListPage struct {
	page
	Fields  []field
	Action  string // of the filter
	Tiles   []opTile
	Rows    []opRow
	Back    string // this page's path, for acts
	Looked  string // that no more was looked at
	Pager   pager
	MayAct  bool
	All     *button // retry everything
	TopURL  string
	ListURL string
	Filters bool // something is filtered
	Urls    map[string]string
}

// age is how long something waits, in its largest unit, and what may break between number and unit: it stands in large letters.
func (p page) age(d time.Duration) string {
	for _, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute} {
		if d >= unit {
			d = d.Truncate(unit)
			break
		}
	}
	return breakable(locale.Duration(p.Lang, d.Truncate(time.Second)))
}

// breakable lets a value break between its number and its unit.
func breakable(text string) string { return strings.ReplaceAll(text, "\u00a0", " ") }

// opTile is a figure with its name.
type opTile struct {
	Label, Value, Note, URL string
}

// opFilter is what the list of the queue is filtered by.
type opFilter struct {
	spool.Filter
	stage   string // deferred, parked
	to      string // a whole recipient
	older   time.Duration
	least   float64 // score
	reason  string
	invalid string // the field that cannot be read
}

// opReadFilter reads the filter of a list from the address.
func (v *visit) opReadFilter() opFilter {
	q := v.r.URL.Query()
	f := opFilter{Filter: spool.Filter{Customer: strings.TrimSpace(q.Get("customer")), Lane: strings.TrimSpace(q.Get("lane")), Limit: 100, Cursor: q.Get("after")}}
	switch q.Get("state") {
	case "queued":
		f.State = spool.Queued
	case "deferred", "parked":
		f.State, f.stage = spool.Queued, q.Get("state")
	case "held":
		f.State = spool.Held
	}
	if to := strings.TrimSpace(q.Get("to")); to != "" {
		domain := to
		if a, err := mail.ParseAddress(to); err == nil {
			f.to, domain = strings.ToLower(a.String()), string(a.Domain)
		}
		d, err := mail.ParseDomain(strings.TrimPrefix(domain, "@"))
		if err != nil {
			f.invalid = "to"
		}
		f.Domain = d
	}
	if h, err := strconv.Atoi(q.Get("older")); err == nil && h > 0 && h <= 24*30 {
		f.older = time.Duration(h) * time.Hour
	}
	if p, err := strconv.ParseFloat(strings.ReplaceAll(q.Get("score"), ",", "."), 64); err == nil && p > 0 && p <= 15 {
		f.least = p
	}
	if f.reason = q.Get("reason"); f.reason != "" {
		f.State = spool.Held
	}
	if _, err := mail.ParseQueueID(f.Cursor); err != nil {
		f.Cursor = ""
	}
	return f
}

// takes reports whether a message passes what the spool's own filter does not know.
func (f opFilter) takes(w spool.Work) bool {
	if f.least > 0 && w.Score < f.least || f.reason != "" && w.HoldReason != f.reason {
		return false
	}
	if f.to != "" && !slices.ContainsFunc(w.Recipients, func(r spool.Recipient) bool { return strings.EqualFold(r.Address.String(), f.to) }) {
		return false
	}
	open := func(r spool.Recipient) bool { return !r.State.Final() }
	switch f.stage {
	case "deferred":
		return slices.ContainsFunc(w.Recipients, func(r spool.Recipient) bool { return open(r) && r.Attempts > 0 })
	case "parked":
		return slices.ContainsFunc(w.Recipients, func(r spool.Recipient) bool { return open(r) && r.Lane != "" })
	}
	return true
}

// opList reads one page of messages. next is the cursor of the following page; looked says that the page ended before it was full.
func (s *site) opList(ctx context.Context, f opFilter) (works []spool.Work, next string, looked bool, err error) {
	if f.invalid != "" {
		return nil, "", false, nil
	}
	until := time.Time{}
	if f.older > 0 {
		until = s.o.Now().Add(-f.older)
	}
	for seen := 0; ; {
		found, more, err := s.o.Spool.List(ctx, f.Filter)
		if err != nil {
			return nil, "", false, err
		}
		for i, w := range found {
			if !until.IsZero() && w.Received.After(until) {
				return works, "", false, nil // the list is in the order of arrival
			}
			if f.takes(w) {
				works = append(works, w)
			}
			if len(works) == opRows && (i < len(found)-1 || more != "") {
				return works, string(w.ID), false, nil
			}
		}
		if seen += len(found); more == "" {
			return works, "", false, nil
		}
		if seen >= opLooked {
			return works, more, true, nil
		}
		f.Cursor = more
	}
}

// opQueue lists messages in the spool.
func (s *site) opQueue(v *visit) {
	f := v.opReadFilter()
	d, ok := s.opListPage(v, f, "/o/queue")
	if !ok {
		return
	}
	p, q := v.page, v.r.URL.Query()
	st, err := s.o.Spool.Stats(v.r.Context())
	if err != nil {
		v.broken("queue not counted", err)
		return
	}
	d.Title = p.T("queue.title")
	d.Tiles = p.opQueueTiles(st)
	state := []option{{Value: "", Label: p.T("queue.any")}}
	for _, x := range []string{"queued", "deferred", "parked", "held"} {
		state = append(state, option{x, p.T("queue.state." + x), q.Get("state") == x})
	}
	older := []option{{Value: "", Label: p.T("queue.any")}}
	for _, h := range []int{1, 4, 12, 24, 48} {
		older = append(older, option{strconv.Itoa(h), locale.Duration(p.Lang, time.Duration(h)*time.Hour), q.Get("older") == strconv.Itoa(h)})
	}
	d.Fields = []field{
		{Name: "customer", Label: p.T("queue.field.customer"), Value: clean(f.Customer, 64)},
		{Name: "state", Label: p.T("queue.field.state"), Type: "select", Options: state},
		{Name: "lane", Label: p.T("queue.field.lane"), Type: "select", Options: s.opLaneOptions(v, f.Lane)},
		{Name: "to", Label: p.T("queue.field.to"), Value: clean(q.Get("to"), 320), Fault: v.opFault(f.invalid == "to", "queue.fault.to")},
		{Name: "older", Label: p.T("queue.field.older"), Type: "select", Options: older},
	}
	if v.who.May(user.GatewayOperate, "") {
		d.All = &button{URL: p.URL("/o/queue/retry-all"), Label: p.T("queue.retry_all"), Class: "second", Sure: p.T("queue.retry_all.sure", "Count", st.Queued)}
	}
	v.show(http.StatusOK, "op-queue.html", d)
}

// opFault is the text of a fault, or none.
func (v *visit) opFault(wrong bool, key string) string {
	if !wrong {
		return ""
	}
	return v.page.T(key)
}

// opHeld lists held messages of all customers.
func (s *site) opHeld(v *visit) {
	f := v.opReadFilter()
	f.State, f.stage = spool.Held, ""
	d, ok := s.opListPage(v, f, "/o/held")
	if !ok {
		return
	}
	p, q := v.page, v.r.URL.Query()
	d.Title = p.T("queue.held.title")
	reason := []option{{Value: "", Label: p.T("queue.any")}}
	for _, x := range []string{"score", "operator", spool.ReasonDamaged} {
		reason = append(reason, option{x, p.T("queue.reason." + x), f.reason == x})
	}
	d.Fields = []field{
		{Name: "customer", Label: p.T("queue.field.customer"), Value: clean(f.Customer, 64)},
		{Name: "score", Label: p.T("queue.field.score"), Value: clean(q.Get("score"), 10)},
		{Name: "reason", Label: p.T("queue.field.reason"), Type: "select", Options: reason},
		{Name: "to", Label: p.T("queue.field.to"), Value: clean(q.Get("to"), 320), Fault: v.opFault(f.invalid == "to", "queue.fault.to")},
	}
	v.show(http.StatusOK, "op-held.html", d)
}

// opListPage makes a page with one page of messages; ok is false when it has answered already.
func (s *site) opListPage(v *visit, f opFilter, path string) (d opListPage, ok bool) {
	works, next, looked, err := s.opList(v.r.Context(), f)
	if err != nil {
		v.broken("queue not listed", err)
		return d, false
	}
	p := v.page
	d = opListPage{page: p, Action: p.URL(path), MayAct: v.who.May(user.MailAct, ""), TopURL: p.URL("/o/queue/top"), ListURL: p.URL("/o/queue"), Urls: map[string]string{}}
	for _, act := range []string{"retry", "hold", "release", "retest", "drop"} {
		d.Urls[act] = p.URL("/o/queue/" + act)
	}
	for _, w := range works {
		d.Rows = append(d.Rows, p.opRowOf(w))
	}
	q := v.opQuery()
	d.Filters = len(q) > 0
	d.Back = path + opEncode(q, "", "")
	if f.Cursor != "" {
		d.Pager.First = p.URL(path + opEncode(q, "after", ""))
	}
	if next != "" {
		d.Pager.Next = p.URL(path + opEncode(q, "after", next))
	}
	if looked {
		d.Looked = p.T("queue.looked", "Count", opLooked)
	}
	return d, true
}

// opQuery is the address's query without what is empty and without the language, which links add themselves.
func (v *visit) opQuery() url.Values {
	out := url.Values{}
	for name, values := range v.r.URL.Query() {
		if name != "lang" && len(values) > 0 && values[0] != "" && len(values[0]) <= 500 && len(out) < 20 {
			out.Set(name, values[0])
		}
	}
	return out
}

// opEncode writes a query with one field replaced, "" for none.
func opEncode(q url.Values, name, value string) string {
	c := url.Values{}
	for k, x := range q {
		if k != name {
			c[k] = x
		}
	}
	if name != "" && value != "" {
		c.Set(name, value)
	}
	if len(c) == 0 {
		return ""
	}
	return "?" + c.Encode()
}

// opQueueTiles are the figures above the queue.
func (p page) opQueueTiles(st spool.Stats) []opTile {
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	tiles := []opTile{
		{Label: p.T("queue.tile.queued"), Value: number(st.Queued), URL: p.URL("/o/queue?state=queued")},
		{Label: p.T("queue.tile.claimed"), Value: number(st.Claimed)},
		{Label: p.T("queue.tile.held"), Value: number(st.Held), URL: p.URL("/o/held")},
		{Label: p.T("queue.tile.bytes"), Value: breakable(locale.Bytes(p.Lang, st.Bytes))},
	}
	if !st.Oldest.IsZero() {
		tiles = append(tiles, opTile{Label: p.T("queue.tile.oldest"), Value: p.age(p.site.o.Now().Sub(st.Oldest))})
	}
	if st.Full {
		tiles = append(tiles, opTile{Label: p.T("queue.tile.full"), Value: breakable(locale.Bytes(p.Lang, st.Free))})
	}
	return tiles
}

// opLaneOptions are the lanes in which mail is parked, and the one that is asked for.
func (s *site) opLaneOptions(v *visit, chosen string) []option {
	out := []option{{Value: "", Label: v.page.T("queue.any")}}
	backlogs, err := s.o.Spool.Backlogs(v.r.Context())
	if err != nil {
		s.o.Logger.Warn("backlogs not read", "error", err)
	}
	seen := map[string]bool{"": true}
	for _, b := range backlogs {
		if !seen[b.Lane] && len(out) < 200 {
			seen[b.Lane] = true
			out = append(out, option{b.Lane, v.page.opLaneTitle(b.Lane), b.Lane == chosen})
		}
	}
	if !seen[chosen] {
		out = append(out, option{chosen, v.page.opLaneTitle(chosen), true})
	}
	return out
}
