package portal

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/spool"
	"postern/internal/user"
)

// customerRoutes are the operator's pages about those who may send. The path names a customer as {id} and not as {customer}: these are the gateway's pages about him, not his own.
func (s *site) customerRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	look, operate, change := gateway(user.GatewayRead), gateway(user.GatewayOperate), gateway(user.SetupWrite)
	return []route{
		{method: get, path: "/o/customers", access: look, do: s.opCustomers},
		{method: get, path: "/o/customers/{id}", access: look, do: s.opCustomerPage},
		{method: post, path: "/o/customers/{id}/suspend", access: operate, act: "customer.suspend", do: s.opSuspend},
		{method: post, path: "/o/customers/{id}/resume", access: operate, act: "customer.resume", do: s.opResume},
		{method: get, path: "/o/new-customer", access: change, do: s.opNewCustomer},
		{method: post, path: "/o/new-customer", access: change, act: "customer.add", body: maxCustomer, do: s.opAddCustomer},
		{method: get, path: "/o/customers/{id}/edit", access: change, do: s.opEditCustomer},
		{method: post, path: "/o/customers/{id}/edit", access: change, act: "customer.change", body: maxCustomer, do: s.opChangeCustomer},
		{method: post, path: "/o/customers/{id}/delete", access: change, act: "customer.delete", do: s.opDeleteCustomer},
	}
}

// maxCustomer is the size of the form of a customer, in bytes: some have thousands of domains.
const maxCustomer = 512 << 10

// opCustomerRow is a customer in the list.
type opCustomerRow struct {
	ID, Name, URL string
	Suspended     bool
	Domains       string
	Pool          string
	Threshold     string
	Queued, Held  string
	Origin        string
}

type opCustomersPage struct {
	page
	Action string
	Field  field
	Show   field
	Rows   []opCustomerRow
	All    string // how many there are
	Asked  bool
	Pager  pager
	AddURL string // "" for who may not
}

// opCustomers lists the customers, a page at a time; a word finds them by name, id, contact or domain.
func (s *site) opCustomers(v *visit) {
	p, q := v.page, v.opQuery()
	word, after, only := strings.ToLower(strings.TrimSpace(q.Get("q"))), q.Get("after"), q.Get("only")
	d := opCustomersPage{page: p, Action: p.URL("/o/customers"), Asked: word != "" || only != ""}
	d.Title = p.T("customers.title")
	d.Field = field{Name: "q", Label: p.T("customers.field.q"), Value: clean(q.Get("q"), 200)}
	d.Show = field{Name: "only", Label: p.T("customers.field.only"), Type: "select", Options: []option{{Value: "", Label: p.T("queue.any")},
		{"suspended", p.T("customers.only.suspended"), only == "suspended"}, {"mail", p.T("customers.only.mail"), only == "mail"}}}
	if v.who.May(user.SetupWrite, "") {
		d.AddURL = p.URL("/o/new-customer")
	}
	accounts, err := s.o.Spool.Accounts(v.r.Context())
	if err != nil {
		v.broken("customers' mail not counted", err)
		return
	}
	queued, held := map[string]int{}, map[string]int{}
	for _, a := range accounts {
		queued[a.Customer], held[a.Customer] = a.Queued, a.Held
	}
	all := s.o.Accounts.Customers()
	d.All = p.T("customers.all", "Count", len(all))
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	from, _ := slices.BinarySearchFunc(all, after, func(c account.Customer, id string) int { return strings.Compare(c.ID, id) })
	for i := from; i < len(all); i++ {
		c := all[i]
		if c.ID == after || only == "suspended" && !c.Suspended || only == "mail" && queued[c.ID]+held[c.ID] == 0 || !opMatches(c, word) {
			continue
		}
		if len(d.Rows) == opRows {
			d.Pager.Next = p.URL("/o/customers" + opEncode(q, "after", d.Rows[opRows-1].ID))
			break
		}
		d.Rows = append(d.Rows, opCustomerRow{ID: c.ID, Name: clean(cmp.Or(c.Name, c.ID), 100), URL: p.URL("/o/customers/" + c.ID), Suspended: c.Suspended, Domains: p.opSome(opDomains(c), 2),
			Pool: clean(cmp.Or(c.Pool, account.DefaultPool), 64), Threshold: locale.Number(p.Lang, c.Threshold), Queued: number(queued[c.ID]), Held: number(held[c.ID]), Origin: p.T("customers.origin." + c.Origin)})
	}
	if after != "" {
		d.Pager.First = p.URL("/o/customers" + opEncode(q, "after", ""))
	}
	v.show(http.StatusOK, "op-customers.html", d)
}

// opMatches reports whether a customer is meant by a word, which is lower-case.
func opMatches(c account.Customer, word string) bool {
	if word == "" || strings.Contains(c.ID, word) || strings.Contains(strings.ToLower(c.Name), word) {
		return true
	}
	for _, d := range c.Domains {
		if strings.Contains(string(d), word) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(c.Contact.String()), word)
}

func opDomains(c account.Customer) []string {
	out := make([]string, len(c.Domains))
	for i, d := range c.Domains {
		out[i] = string(d)
	}
	return out
}

// opSome names the first of some things and counts the rest.
func (p page) opSome(all []string, most int) string {
	text := clean(strings.Join(all[:min(len(all), most)], ", "), 300)
	if len(all) > most {
		text = p.T("customers.some", "Names", text, "Count", len(all)-most)
	}
	return text
}

// opCustomerDetail is one customer as the operator sees him.
type opCustomerDetail struct {
	page
	Them       account.Customer
	Heading    string
	Own        string // address of the customer's own pages
	Tiles      []opTile
	About      []opAbout
	Points     []opPoints
	Entries    []opEntry
	MoreLists  int // entries that are not shown
	Links      []opLink
	Table      opFacts
	ReadOnly   string // where it is defined, when that is the configuration file
	MayOperate bool
	EditURL    string
	SuspendURL string
	Reason     field
	Resume     *button
	DeleteURL  string
	Type       field // of the deletion
}

// opPoints is a test with other points.
type opPoints struct{ Test, Points, By, Origin string }

// opEntry is an entry of a list.
type opEntry struct{ Kind, Entry, Note, By, Origin string }

// opNamed returns the customer that the path names; ok is false when it has answered already.
func (v *visit) opNamed() (c account.Customer, ok bool) {
	if c, ok = v.s.o.Accounts.Customer(v.r.PathValue("id")); !ok {
		v.missing()
	}
	return c, ok
}

// opCustomerPage shows one customer.
func (s *site) opCustomerPage(v *visit) {
	if c, ok := v.opNamed(); ok {
		s.opShowCustomer(v, c, http.StatusOK, "", "")
	}
}

func (s *site) opShowCustomer(v *visit, c account.Customer, status int, name, fault string) {
	const mostFacts = 20
	p, ctx := v.page, v.r.Context()
	d := opCustomerDetail{page: p, Table: opFacts{page: p, Of: true}, Them: c, Heading: clean(cmp.Or(c.Name, c.ID), 100), Own: p.URL("/c/" + c.ID), MayOperate: v.who.May(user.GatewayOperate, ""), SuspendURL: p.URL("/o/customers/" + c.ID + "/suspend")}
	d.Title = p.T("customers.customer_title", "Name", d.Heading)
	accounts, err := s.o.Spool.Accounts(ctx)
	if err != nil {
		v.broken("customer's mail not counted", err)
		return
	}
	d.Tiles = s.opCustomerTiles(v, c, accounts)
	d.About = s.opAboutCustomer(p, c)
	s.opCustomerTuning(v, &d, c.ID)
	for _, x := range []struct{ name, path string }{{"overview", ""}, {"messages", "/messages"}, {"suppression", "/suppression"}, {"allow", "/allow"}, {"domains", "/domains"}, {"credentials", "/credentials"}, {"users", "/users"}, {"history", "/history"}} {
		d.Links = append(d.Links, opLink{p.T("menu." + x.name), p.URL("/c/" + c.ID + x.path)})
	}
	facts, _, err := s.o.Journal.Search(ctx, journal.Query{Customer: c.ID, Limit: mostFacts})
	if err != nil {
		v.broken("customer's facts not read", err)
		return
	}
	for _, f := range facts {
		d.Table.Rows = append(d.Table.Rows, v.opFactRowOf(f))
	}
	d.Reason = field{Name: "reason", Label: p.T("customers.field.reason"), Hint: p.T("customers.field.reason.hint"), Required: true, Most: 200, Value: clean(v.r.PostFormValue("reason"), 200)}
	if c.Suspended && d.MayOperate {
		d.Resume = &button{URL: p.URL("/o/customers/" + c.ID + "/resume"), Label: p.T("customers.resume"), Sure: p.T("customers.resume.sure")}
	}
	switch {
	case c.Origin == account.OriginConfig:
		d.ReadOnly = p.T("customers.from_config")
	case v.who.May(user.SetupWrite, ""):
		d.EditURL, d.DeleteURL = p.URL("/o/customers/"+c.ID+"/edit"), p.URL("/o/customers/"+c.ID+"/delete")
		d.Type = field{Name: "typed", Label: p.T("customers.field.typed", "ID", c.ID), Required: true, Mono: true, Most: 64}
	}
	switch name {
	case "reason":
		d.Reason.Fault = fault
	case "typed":
		d.Type.Fault = fault
	}
	v.show(status, "op-customer.html", d)
}

// opCustomerTuning fills in the customer's own points and lists.
func (s *site) opCustomerTuning(v *visit, d *opCustomerDetail, id string) {
	const most = 50
	p := d.page
	for _, o := range s.o.Accounts.Overrides() {
		if o.Scope == id && len(d.Points) < most {
			d.Points = append(d.Points, opPoints{clean(o.Test, 80), p.points(o.Points), opAuthor(v, o.By), p.T("customers.origin." + o.Origin)})
		}
	}
	for _, e := range s.o.Accounts.EntriesOf(id) {
		if e.Ended(s.o.Now()) {
			continue
		}
		if len(d.Entries) == most {
			d.MoreLists++
			continue
		}
		x := opEntry{Kind: p.T("customers.list." + string(e.Kind)), Entry: clean(e.String(), 300), Note: clean(e.Note, 200), By: opAuthor(v, e.By), Origin: p.T("customers.origin." + e.Origin)}
		if e.Own {
			x.Kind = p.T("customers.list.own")
		}
		d.Entries = append(d.Entries, x)
	}
}

// opAboutCustomer are the customer's settings.
func (s *site) opAboutCustomer(p page, c account.Customer) []opAbout {
	credentials := 0
	for _, x := range s.o.Accounts.Credentials(c.ID) {
		if !x.Revoked {
			credentials++
		}
	}
	var networks []string
	for _, n := range c.Networks {
		networks = append(networks, n.String())
	}
	release := p.T("customers.release.operator")
	if c.SelfRelease {
		release = p.T("customers.release.self", "Ceiling", c.ReleaseCeiling)
	}
	pool := cmp.Or(c.Pool, account.DefaultPool)
	path := cmp.Or(c.ReturnPath, p.T("customers.return.default"))
	if c.ReturnPath == account.ReturnPathKept || c.ReturnPath == account.ReturnPathOurs {
		path = p.T("customers.return." + c.ReturnPath)
	}
	about := []opAbout{
		{Name: p.T("customers.field.ident"), Value: c.ID, Mono: true},
		{Name: p.T("customers.field.contact"), Value: clean(c.Contact.String(), 320)},
		{Name: p.T("customers.field.language"), Value: p.T("language." + c.Language)},
		{Name: p.T("customers.field.threshold"), Value: p.T("customers.threshold", "Threshold", c.Threshold, "Mode", p.T("customers.mode."+c.Mode))},
		{Name: p.T("customers.field.self_release"), Value: release},
		{Name: p.T("customers.field.domains"), Value: p.opSome(opDomains(c), 20)},
		{Name: p.T("customers.field.networks"), Value: p.opSome(networks, 20)},
		{Name: p.T("customers.field.pool"), Value: clean(pool, 64), URL: p.URL("/o/addresses")},
		{Name: p.T("customers.field.return_path"), Value: clean(path, 255)},
		{Name: p.T("menu.credentials"), Value: p.T("customers.credentials", "Count", credentials), URL: p.URL("/c/" + c.ID + "/credentials")},
		{Name: p.T("customers.field.origin"), Value: p.T("customers.origin." + c.Origin)},
	}
	if c.AnyFrom {
		about = append(about, opAbout{Name: p.T("customers.field.any_from"), Value: p.T("customers.any_from.yes")})
	}
	for i := range about {
		about[i].Value = cmp.Or(about[i].Value, p.T("customers.none"))
	}
	return about
}

// opSuspend stops a customer's sending.
func (s *site) opSuspend(v *visit) {
	c, ok := v.opNamed()
	if !ok {
		return
	}
	reason := clean(v.r.PostFormValue("reason"), 200)
	v.about(c.ID, reason)
	v.entry.Customer = c.ID
	if reason == "" {
		s.opShowCustomer(v, c, http.StatusUnprocessableEntity, "reason", v.page.T("customers.fault.reason"))
		return
	}
	s.opStanding(v, c, true, account.ToldSuspended(reason))
}

// opResume lets a suspended customer send again.
func (s *site) opResume(v *visit) {
	if c, ok := v.opNamed(); ok {
		v.about(c.ID, "")
		v.entry.Customer = c.ID
		s.opStanding(v, c, false, account.ToldResumed)
	}
}

func (s *site) opStanding(v *visit, c account.Customer, suspended bool, text string) {
	if err := s.o.Accounts.SetSuspended(v.r.Context(), c.ID, suspended); err != nil {
		v.broken("customer's standing not changed", err)
		return
	}
	s.o.Logger.Info("customer's sending changed", "customer", c.ID, "suspended", suspended, "actor", v.who.Actor())
	s.o.Journal.Post(journal.Fact{Kind: journal.Tuned, At: s.o.Now(), Customer: c.ID, Actor: v.who.Actor(), Text: text})
	key := "customers.done.resume"
	if suspended {
		key = "customers.done.suspend"
	}
	v.done("/o/customers/"+c.ID, key, "Name", clean(cmp.Or(c.Name, c.ID), 100))
}

// opDeleteCustomer removes a customer with everything that is his but the facts about his mail.
func (s *site) opDeleteCustomer(v *visit) {
	c, ok := v.opNamed()
	if !ok {
		return
	}
	v.about(c.ID, clean(c.Name, 200))
	v.entry.Customer = c.ID
	if strings.TrimSpace(v.r.PostFormValue("typed")) != c.ID {
		s.opShowCustomer(v, c, http.StatusUnprocessableEntity, "typed", v.page.T("customers.fault.typed", "ID", c.ID))
		return
	}
	ctx := v.r.Context()
	if err := s.o.Accounts.DeleteCustomer(ctx, c.ID); err != nil {
		v.opRefused(http.StatusConflict, v.opAccountFault(err), "/o/customers/"+c.ID)
		return
	}
	if s.o.Learn != nil {
		if err := s.o.Learn.Erase(ctx, c.ID); err != nil {
			v.broken("what was learned from a customer not erased", err)
			return
		}
	}
	if err := s.o.Suppression.Erase(ctx, c.ID); err != nil {
		v.broken("customer's suppression list not erased", err)
		return
	}
	s.o.Logger.Info("customer removed", "customer", c.ID, "actor", v.who.Actor())
	s.o.Journal.Post(journal.Fact{Kind: journal.Tuned, At: s.o.Now(), Customer: c.ID, Actor: v.who.Actor(), Text: account.ToldRemoved})
	v.done("/o/customers", "customers.done.delete", "Name", clean(cmp.Or(c.Name, c.ID), 100))
}

// opCustomerTiles are a customer's figures: what is here now, and what became of his mail lately.
func (s *site) opCustomerTiles(v *visit, c account.Customer, accounts []spool.Account) []opTile {
	p := v.page
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	queued, held := 0, 0
	var oldest time.Time
	for _, a := range accounts {
		if a.Customer == c.ID {
			queued, held, oldest = a.Queued, a.Held, a.Oldest
		}
	}
	tiles := []opTile{
		{Label: p.T("queue.tile.queued"), Value: number(queued), URL: p.URL("/o/queue", "customer", c.ID)},
		{Label: p.T("queue.tile.held"), Value: number(held), URL: p.URL("/o/held", "customer", c.ID)},
	}
	if !oldest.IsZero() {
		tiles = append(tiles, opTile{Label: p.T("queue.tile.oldest"), Value: p.age(s.o.Now().Sub(oldest))})
	}
	names := []string{"taken", "stopped", "delivered", "bounced", "complaint"}
	figures := []journal.Figure{journal.Taken, journal.Stopped, journal.Figure(journal.Delivered), journal.Figure(journal.Bounced), journal.Figure(journal.Complaint)}
	week, err := s.o.Journal.Figures(v.r.Context(), journal.FiguresQuery{Customer: c.ID, From: s.o.Now().AddDate(0, 0, -7).Truncate(time.Hour), Step: journal.Hour, Figures: figures})
	if err != nil {
		s.o.Logger.Warn("customer's figures not read", "error", err) // the rest of the page is worth showing
		return tiles
	}
	for i, x := range figures {
		tiles = append(tiles, opTile{Label: p.T("customers.week." + names[i]), Value: number(int(week.Sum(x)))})
	}
	return tiles
}

// opAccountFault tells why the ledger of customers refused something.
func (v *visit) opAccountFault(err error) string {
	return clean(strings.TrimPrefix(strings.ReplaceAll(fmt.Sprint(err), "account: ", ""), "not accepted: "), 500)
}

// opAuthor is who set something; "" for what stands in the configuration.
func opAuthor(v *visit, by string) string {
	if by == "" {
		return ""
	}
	return v.opActor(by)
}
