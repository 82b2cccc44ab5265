package portal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/account"
	"postern/internal/checkup"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/user"
	"postern/internal/visitor"
)

// domainsRoutes are the pages about a customer's domains.
func (s *site) domainsRoutes() []route {
	const base = "/c/{customer}/domains"
	const one = base + "/{domain}"
	read, write := over(user.SetupRead), over(user.SetupWrite)
	return []route{
		{method: http.MethodGet, path: base, access: read, do: s.domains},
		{method: http.MethodGet, path: base + "/add", access: write, do: s.domainChallenge},
		{method: http.MethodPost, path: base, access: write, act: "domain.add", do: s.addDomain},
		{method: http.MethodGet, path: one, access: read, do: s.domain},
		{method: http.MethodGet, path: one + "/zone.txt", access: read, do: s.domainZone},
		{method: http.MethodPost, path: one + "/check", access: read, act: "domain.check", do: s.checkDomain},
		{method: http.MethodPost, path: one + "/remove", access: write, act: "domain.remove", do: s.removeDomain},
		{method: http.MethodPost, path: one + "/keys", access: write, act: "key.make", do: s.makeKey},
		{method: http.MethodPost, path: one + "/keys/{selector}/activate", access: write, act: "key.activate", do: s.activateKey},
		{method: http.MethodPost, path: one + "/keys/{selector}/retire", access: write, act: "key.retire", do: s.retireKey},
	}
}

// Bounds of the pages about domains.
const (
	domainsShown  = 50    // of one page of the list
	checksKept    = 2_000 // reports kept for the list
	checkGoodFor  = 10 * time.Minute
	checkEvery    = 4 * time.Second // in the long run, for each user
	checkBurst    = 20
	keysPerDomain = 8
)

// domainChecks are the last reports of domains, so that lists need not ask DNS. They live in this process only.
type domainChecks struct {
	mu      sync.Mutex
	reports map[string]checkup.Report
	limit   *visitor.Limiter[string]
}

// allowed counts a look at DNS by a visitor; it returns how long he has to wait, else 0.
func (d *domainChecks) allowed(id string, now time.Time) time.Duration {
	d.mu.Lock()
	if d.limit == nil {
		d.limit = visitor.NewLimiter[string](checkBurst, checkBurst*checkEvery)
	}
	limit := d.limit
	d.mu.Unlock()
	return limit.Take(id, now).Wait
}

func checkKey(customer string, domain mail.Domain) string { return customer + " " + string(domain) }

func (d *domainChecks) last(customer string, domain mail.Domain) (checkup.Report, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.reports[checkKey(customer, domain)]
	return r, ok
}

func (d *domainChecks) keep(r checkup.Report) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reports == nil || len(d.reports) >= checksKept {
		d.reports = map[string]checkup.Report{} // all are asked for again when they are looked at
	}
	d.reports[checkKey(r.Customer, r.Domain)] = r
}

func (d *domainChecks) drop(customer string, domain mail.Domain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.reports, checkKey(customer, domain))
}

// look asks DNS about a domain.
func (s *site) look(ctx context.Context, customer string, d mail.Domain) (checkup.Report, error) {
	r, err := s.o.Advisor.SetUp(ctx, customer, d)
	if err == nil {
		s.checks.keep(r)
		if s.o.Forget != nil { // mail that comes now is judged by what was just seen, not by what the filter remembers
			s.o.Forget(namesBelow(r)...)
		}
	}
	return r, err
}

// mostForgotten bounds how many names a look at a domain makes forgotten.
const mostForgotten = 40

// namesBelow are the names of a domain that a report asked about. What belongs to others is none of its owner's business.
func namesBelow(r checkup.Report) []string {
	seen := map[string]bool{}
	for _, f := range r.Findings {
		for _, q := range f.Evidence {
			if len(seen) < mostForgotten && (q.Name == string(r.Domain) || strings.HasSuffix(q.Name, "."+string(r.Domain))) {
				seen[q.Name] = true
			}
		}
	}
	return slices.Collect(maps.Keys(seen))
}

// lately is the last report about a domain, or a new one where that is old.
func (s *site) lately(v *visit, d mail.Domain) (checkup.Report, bool) {
	if r, ok := s.checks.last(v.customer.ID, d); ok && s.o.Now().Sub(r.At) < checkGoodFor {
		return r, true
	}
	if wait := s.checks.allowed(v.who.ID, s.o.Now()); wait > 0 {
		v.status = http.StatusTooManyRequests
		s.busy(v.w, v.r, wait)
		return checkup.Report{}, false
	}
	r, err := s.look(v.r.Context(), v.customer.ID, d)
	switch {
	case errors.Is(err, checkup.ErrNotHis), errors.Is(err, account.ErrNotFound):
		v.missing()
		return r, false
	case err != nil:
		v.broken("domain not looked at", err)
		return r, false
	}
	return r, true
}

// domainsPage is the list of domains.
type domainsPage struct {
	page
	Here    string
	Find    field
	Search  bool // many: a form to find one
	Rows    []domainRow
	Pager   pager
	Add     *field // nil: the visitor may not
	AddURL  string
	HowElse []block // why he may not, and who can
}

// domainRow is one domain of the list.
type domainRow struct {
	Name, URL    string
	State, Class string
	When         string
	Marks        []domainMark
}

// domainMark is the state of one group, in a word.
type domainMark struct{ Name, State, Class string }

// stateClass is the badge of a state.
func stateClass(s checkup.State) string {
	switch s {
	case checkup.Fine:
		return "ready"
	case checkup.Advice:
		return "mend"
	case checkup.Problem:
		return "refused"
	}
	return ""
}

func (p page) stateWord(s checkup.State) string {
	return checkup.StateName(p.site.o.Catalog, p.Lang, s)
}

func (s *site) domains(v *visit) {
	q := v.r.URL.Query()
	s.showDomains(v, http.StatusOK, field{Value: clean(q.Get("find"), 253)}, q.Get("after"), field{})
}

// showDomains answers with the list; add carries what was typed and its fault.
func (s *site) showDomains(v *visit, status int, find field, after string, add field) {
	here := "/c/" + v.customer.ID + "/domains"
	p := domainsPage{page: v.page, Here: v.page.URL(here), AddURL: v.page.URL(here + "/add")}
	p.Title = p.T("domains.heading")
	p.Search = len(v.customer.Domains) > domainsShown
	p.Find = field{Name: "find", Label: p.T("domains.find"), Value: find.Value, Most: 253, Mono: true, Complete: "off"}
	names := slices.Clone(v.customer.Domains)
	slices.Sort(names)
	wanted := strings.ToLower(strings.TrimSpace(find.Value))
	for _, d := range names {
		if string(d) <= after || wanted != "" && !strings.Contains(string(d), wanted) {
			continue
		}
		if len(p.Rows) == domainsShown {
			p.Pager.Next = p.URL(here, "after", p.Rows[len(p.Rows)-1].Name, "find", wanted)
			break
		}
		p.Rows = append(p.Rows, s.domainRow(v, d))
	}
	if after != "" {
		p.Pager.First = p.URL(here, "find", wanted)
	}
	switch {
	case !v.who.May(user.SetupWrite, v.customer.ID):
		p.HowElse = rich(p.T("domains.readonly"))
	case v.customer.Origin == account.OriginConfig:
		p.HowElse = rich(p.T("domains.config", "Customer", v.customer.ID))
	case !s.o.Ways.SelfService:
		p.HowElse = rich(p.T("domains.operator"))
	default:
		add.Name, add.Label, add.Hint, add.Most, add.Required, add.Mono, add.Complete = "domain", p.T("domains.add.label"), p.T("domains.add.hint"), 253, true, true, "off"
		p.Add = &add
	}
	v.show(status, "domains.list", p)
}

func (s *site) domainRow(v *visit, d mail.Domain) domainRow {
	p := v.page
	row := domainRow{Name: string(d), URL: p.URL("/c/" + v.customer.ID + "/domains/" + string(d)), State: p.T("domains.unchecked")}
	r, ok := s.checks.last(v.customer.ID, d)
	if !ok {
		return row
	}
	row.State, row.Class, row.When = p.stateWord(r.State()), stateClass(r.State()), p.date(r.At)
	for _, g := range []checkup.Group{checkup.SPF, checkup.DKIM, checkup.DMARC, checkup.ReturnPath, checkup.Exists} {
		if state := r.StateOf(g); state != "" {
			row.Marks = append(row.Marks, domainMark{p.T("domains.short." + string(g)), p.stateWord(state), stateClass(state)})
		}
	}
	return row
}

// mayAddDomains reports whether domains may be added and removed here; else it answers.
func (s *site) mayAddDomains(v *visit) bool {
	if v.customer.Origin == account.OriginConfig || !s.o.Ways.SelfService {
		v.page.Banner = nil
		s.showDomains(v, http.StatusUnprocessableEntity, field{}, "", field{})
		return false
	}
	return true
}

// typedDomain reads a domain that somebody typed; fault says what is wrong with it.
func (p page) typedDomain(text string) (d mail.Domain, fault string) {
	text = strings.TrimSpace(text)
	if len(text) > 300 {
		text = text[:300]
	}
	text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(text, "https://"), "http://"), "/")
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		text = text[at+1:]
	}
	d, err := mail.ParseDomain(strings.TrimSuffix(text, "."))
	if err == nil {
		err = checkup.CheckName(d)
	}
	if err != nil {
		return "", p.T("domains.fault.name")
	}
	return d, ""
}

// challengePage shows the record that proves a domain.
type challengePage struct {
	page
	Here   string // the list
	Domain string
	Record recordView
	Fault  string
	Found  []questionView
}

// domainChallenge shows what to publish to prove a domain. It changes nothing: the record follows from customer and domain.
func (s *site) domainChallenge(v *visit) {
	if !s.mayAddDomains(v) {
		return
	}
	typed := v.r.URL.Query().Get("domain")
	d, fault := v.page.typedDomain(typed)
	if fault != "" {
		s.showDomains(v, http.StatusUnprocessableEntity, field{}, "", field{Value: clean(typed, 253), Fault: fault})
		return
	}
	if slices.Contains(v.customer.Domains, d) {
		v.redirect("/c/" + v.customer.ID + "/domains/" + string(d))
		return
	}
	s.showChallenge(v, http.StatusOK, d, "", nil)
}

func (s *site) showChallenge(v *visit, status int, d mail.Domain, fault string, found []questionView) {
	p := challengePage{page: v.page, Here: v.page.URL("/c/" + v.customer.ID + "/domains"), Domain: string(d), Fault: fault, Found: found}
	p.Title = p.T("domains.add.title", "Domain", string(d))
	p.Record = p.recordView("challenge", s.o.Advisor.Challenge(v.customer.ID, d))
	v.show(status, "domains.challenge", p)
}

// addDomain gives a proved domain to the customer. Whose it was is looked at after the proof only: nobody learns who else is a customer.
func (s *site) addDomain(v *visit) {
	if !v.read() || !s.mayAddDomains(v) {
		return
	}
	typed := v.r.PostForm.Get("domain")
	d, fault := v.page.typedDomain(typed)
	v.about(clean(typed, 253), "")
	if fault != "" {
		s.showDomains(v, http.StatusUnprocessableEntity, field{}, "", field{Value: clean(typed, 253), Fault: fault})
		return
	}
	v.about(string(d), "")
	if wait := s.checks.allowed(v.who.ID, s.o.Now()); wait > 0 {
		v.status = http.StatusTooManyRequests
		s.busy(v.w, v.r, wait)
		return
	}
	found, err := s.o.Advisor.Prove(v.r.Context(), v.customer.ID, d)
	asked := []questionView{v.page.questionView(found)}
	switch {
	case errors.Is(err, checkup.ErrNoAnswer):
		s.showChallenge(v, http.StatusUnprocessableEntity, d, v.page.T("domains.fault.no_answer"), asked)
		return
	case err != nil:
		s.showChallenge(v, http.StatusUnprocessableEntity, d, v.page.T("domains.fault.unproved"), asked)
		return
	}
	switch err := s.o.Accounts.AddDomain(v.r.Context(), v.customer.ID, d); {
	case errors.Is(err, account.ErrTaken):
		s.showChallenge(v, http.StatusUnprocessableEntity, d, v.page.T("domains.fault.taken"), nil)
	case errors.Is(err, account.ErrNotFound), errors.Is(err, account.ErrFromConfig):
		v.missing()
	case err != nil:
		v.broken("domain not added", err)
	default:
		s.o.Logger.Info("domain added", "customer", v.customer.ID, "domain", d, "actor", v.who.Actor())
		v.wrote(journal.Fact{Kind: journal.Tuned, Text: account.ToldDomainAdded(d)})
		v.done("/c/"+v.customer.ID+"/domains/"+string(d), "domains.done.added", "Domain", string(d))
	}
}

// removeDomain takes a domain from the customer.
func (s *site) removeDomain(v *visit) {
	d, ok := s.domainOf(v)
	if !ok || !v.read() || !s.mayAddDomains(v) {
		return
	}
	v.about(string(d), "")
	if !v.proved() {
		return
	}
	switch err := s.o.Accounts.RemoveDomain(v.r.Context(), v.customer.ID, d); {
	case errors.Is(err, account.ErrNotFound), errors.Is(err, account.ErrFromConfig):
		v.missing()
	case err != nil:
		v.page.Banner = &banner{"bad", v.page.T("domains.fault.in_use")}
		s.showDomain(v, http.StatusUnprocessableEntity, d)
	default:
		s.checks.drop(v.customer.ID, d)
		s.o.Logger.Info("domain removed", "customer", v.customer.ID, "domain", d, "actor", v.who.Actor())
		v.wrote(journal.Fact{Kind: journal.Tuned, Text: account.ToldDomainRemoved(d)})
		v.done("/c/"+v.customer.ID+"/domains", "domains.done.removed", "Domain", string(d))
	}
}

// domainOf is the domain of the path if it is the customer's, or below one of his; else the answer is that there is none.
func (s *site) domainOf(v *visit) (mail.Domain, bool) {
	d, err := mail.ParseDomain(v.r.PathValue("domain"))
	if err != nil || string(d) != v.r.PathValue("domain") || account.CheckDomain(d) != nil || !s.o.Accounts.OwnsDomain(v.customer, d) {
		v.missing()
		return "", false
	}
	return d, true
}

// checkDomain looks at a domain anew.
func (s *site) checkDomain(v *visit) {
	d, ok := s.domainOf(v)
	if !ok || !v.read() {
		return
	}
	v.about(string(d), "")
	if wait := s.checks.allowed(v.who.ID, s.o.Now()); wait > 0 {
		v.status = http.StatusTooManyRequests
		s.busy(v.w, v.r, wait)
		return
	}
	r, err := s.look(v.r.Context(), v.customer.ID, d)
	if err != nil {
		v.broken("domain not looked at", err)
		return
	}
	v.about(string(d), string(r.State()))
	v.done("/c/"+v.customer.ID+"/domains/"+string(d), "domains.done.checked", "Seconds", fmt.Sprintf("%.1f", r.Took.Seconds()))
}

// domainZone is what is to be published, as a file.
func (s *site) domainZone(v *visit) {
	d, ok := s.domainOf(v)
	if !ok {
		return
	}
	r, ok := s.lately(v, d)
	if !ok {
		return
	}
	v.status = http.StatusOK
	h := v.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+string(d)+`.zone.txt"`)
	_, _ = v.w.Write([]byte(r.Snippet()))
}
