package portal

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/checkup"
	"postern/internal/dnsbl"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/user"
)

// checkupRoutes are the pages that look at any domain, IP or sender address from outside.
func (s *site) checkupRoutes() []route {
	read, all := over(user.SetupRead), gateway(user.GatewayRead)
	return []route{
		{method: http.MethodGet, path: "/c/{customer}/check", access: read, do: s.checkups},
		{method: http.MethodPost, path: "/c/{customer}/check", access: read, act: "check.run", do: s.runCheckup},
		{method: http.MethodGet, path: "/c/{customer}/check/{id}", access: read, do: s.checkup},
		{method: http.MethodGet, path: "/o/check", access: all, do: s.checkups},
		{method: http.MethodPost, path: "/o/check", access: all, act: "check.run", do: s.runCheckup},
		{method: http.MethodGet, path: "/o/check/{id}", access: all, do: s.checkup},
	}
}

// Bounds of check-ups on pages.
const (
	checkupsKept  = 500 // reports in memory, of all visitors
	checkupsShown = 20  // of one visitor, on his page
	maxTarget     = 320 // characters of what is checked
	maxSelectors  = 8
	maxSPFNodes   = 400 // terms of an SPF record with all that it includes, on a page

	probeBurst = 3               // check-ups of a customer that connect to mail servers, in a minute
	probeKept  = 5 * time.Minute // how long a mail server is not connected to again for customers
)

// checkups are the last reports, the newest first. They live in this process only: a report that is gone is made again.
type checkups struct {
	mu  sync.Mutex
	all []keptCheckup
}

// keptCheckup is a report and what it was made of.
type keptCheckup struct {
	id, user, customer string
	typed              checkupTyped
	report             checkup.CheckReport
	unprobed           bool // the customer's mail servers would have been connected to, had it not been too soon
}

// checkupTyped is what somebody typed into the form.
type checkupTyped struct {
	target, helo, selectors, ip string
	probe                       bool
}

func (k *checkups) keep(x keptCheckup) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append([]keptCheckup{x}, k.all[:min(len(k.all), checkupsKept-1)]...)
}

// of returns the reports that a visitor made on the pages of a customer, or of the gateway.
func (k *checkups) of(userID, customer string) []keptCheckup {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []keptCheckup
	for _, x := range k.all {
		if x.user == userID && x.customer == customer && len(out) < checkupsShown {
			out = append(out, x)
		}
	}
	return out
}

// checkupForm is the form of a check-up.
type checkupForm struct {
	URL    string
	Target field
	More   []field
	Probes string // what is said of connections that are made without being asked for
	Open   bool   // the fold of what else may be said
}

// checkupRow is one of the visitor's last reports.
type checkupRow struct {
	Target, URL        string
	State, Class, When string
	Points             string
}

type checkupsPage struct {
	page
	Form checkupForm
	Rows []checkupRow
}

func checkupBase(v *visit) string {
	if v.customer.ID != "" {
		return "/c/" + v.customer.ID + "/check"
	}
	return "/o/check"
}

func (s *site) checkups(v *visit) {
	s.showCheckups(v, http.StatusOK, checkupTyped{target: clean(v.r.URL.Query().Get("target"), maxTarget)}, nil)
}

// showCheckups answers with the form and the visitor's last reports; faults are by the name of the field.
func (s *site) showCheckups(v *visit, status int, typed checkupTyped, faults map[string]string) {
	p := checkupsPage{page: v.page, Form: v.checkupForm(typed, faults)}
	p.Title = p.T("check.heading")
	for _, x := range s.checked.of(v.who.ID, v.customer.ID) {
		state := x.report.State()
		row := checkupRow{Target: x.report.Target.String(), URL: p.URL(checkupBase(v) + "/" + x.id), State: p.stateWord(state), Class: stateClass(state), When: p.date(x.report.At), Points: "–"}
		if score := x.report.Score(); score.Measured {
			row.Points = locale.Number(p.Lang, float64(score.Points))
		}
		p.Rows = append(p.Rows, row)
	}
	v.show(status, "check.list", p)
}

func (v *visit) checkupForm(typed checkupTyped, faults map[string]string) checkupForm {
	p := v.page
	f := checkupForm{URL: p.URL(checkupBase(v)), Target: field{Name: "target", Label: p.T("check.target"), Hint: p.T("check.target_hint"), Value: typed.target,
		Fault: faults["target"], Required: true, Most: maxTarget, Mono: true, Complete: "off"}}
	f.More = []field{
		{Name: "helo", Label: p.T("check.helo"), Hint: p.T("check.helo_hint"), Value: typed.helo, Fault: faults["helo"], Most: 253, Mono: true, Complete: "off"},
		{Name: "selectors", Label: p.T("check.selectors"), Hint: p.T("check.selectors_hint"), Value: typed.selectors, Fault: faults["selectors"], Most: 500, Mono: true, Complete: "off"},
		{Name: "ip", Label: p.T("check.ip"), Hint: p.T("check.ip_hint"), Value: typed.ip, Fault: faults["ip"], Most: 500, Mono: true, Complete: "off"},
	}
	if v.customer.ID != "" && v.s.o.ProbeOwn {
		f.Probes = p.T("check.probe_own")
	}
	if v.mayProbe() {
		f.More = append(f.More, field{Name: "probe", Type: "checkbox", Label: p.T("check.probe"), Hint: p.T("check.probe_hint"), Checked: typed.probe})
	}
	f.Open = len(faults) > 0 && faults["target"] == "" || typed.helo+typed.selectors+typed.ip != "" || typed.probe
	return f
}

// mayProbe: only operators let the gateway connect to others' mail servers.
func (v *visit) mayProbe() bool { return v.customer.ID == "" && v.who.May(user.GatewayOperate, "") }

// ownProbe: the mail servers of a domain that is the customer's own are connected to without being asked for, unless that was done too often; then it
// reports false, and late.
func (v *visit) ownProbe(t checkup.Target) (probe, late bool) {
	if v.customer.ID == "" || !v.s.o.ProbeOwn || t.Kind != checkup.OfDomain || !v.s.o.Accounts.OwnsDomain(v.customer, t.Domain) {
		return false, false
	}
	late = v.s.probes.Take(v.customer.ID, v.s.o.Now()).Wait > 0
	return !late, late
}

// runCheckup looks at what was typed.
func (s *site) runCheckup(v *visit) {
	if !v.read() {
		return
	}
	form := v.r.PostForm
	typed := checkupTyped{target: clean(form.Get("target"), maxTarget), helo: clean(form.Get("helo"), 253), selectors: clean(form.Get("selectors"), 500),
		ip: clean(form.Get("ip"), 500), probe: form.Get("probe") == "yes" && v.mayProbe()}
	v.about(typed.target, "")
	target, ask, faults := v.checkupAsk(typed)
	if len(faults) > 0 {
		s.showCheckups(v, http.StatusUnprocessableEntity, typed, faults)
		return
	}
	if wait := s.checks.allowed(v.who.ID, s.o.Now()); wait > 0 {
		v.status = http.StatusTooManyRequests
		s.busy(v.w, v.r, wait)
		return
	}
	own, late := v.ownProbe(target)
	if own {
		ask.Probe, ask.Reuse = true, probeKept
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), actTime)
	defer cancel()
	report, err := s.o.Checker.Check(ctx, target, ask)
	if err != nil {
		v.broken("check-up not made", err)
		return
	}
	v.about(target.String(), string(report.State()))
	id := rand.Text()
	s.checked.keep(keptCheckup{id: id, user: v.who.ID, customer: v.customer.ID, typed: typed, report: report, unprobed: late})
	v.redirect(checkupBase(v) + "/" + id)
}

// checkupAsk reads what was typed.
func (v *visit) checkupAsk(typed checkupTyped) (t checkup.Target, ask checkup.Ask, faults map[string]string) {
	faults = map[string]string{}
	t, err := checkup.ParseTarget(typed.target)
	if err != nil {
		faults["target"] = v.page.T("check.fault.target")
	}
	if typed.helo != "" {
		d, err := mail.ParseDomain(strings.TrimSuffix(typed.helo, "."))
		if err != nil {
			faults["helo"] = v.page.T("check.fault.helo")
		}
		ask.HELO = string(d)
	}
	ask.Selectors = wordsOf(typed.selectors)
	if len(ask.Selectors) > maxSelectors || slices.ContainsFunc(ask.Selectors, func(x string) bool { return checkup.CheckSelector(x) != nil }) {
		faults["selectors"] = v.page.T("check.fault.selectors", "Most", maxSelectors)
	}
	for _, text := range wordsOf(typed.ip) {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" || len(ask.IPs) == maxSelectors {
			faults["ip"] = v.page.T("check.fault.ip", "Most", maxSelectors)
			break
		}
		ask.IPs = append(ask.IPs, ip.Unmap())
	}
	ask.Probe, ask.Customer = typed.probe, v.customer.ID
	return t, ask, faults
}

func wordsOf(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == ';' })
}

// checkupPage is one report.
type checkupPage struct {
	page
	Target       string
	State, Class string
	Lead, When   string
	Back         string
	Late         string // why mail servers were not connected to
	Points       string // of a hundred; "": nothing was measured
	Share        int    // the same, for the bar
	Unmeasured   string // what is not in the points
	Groups       []domainStep
	Lists        *checkupLists
	SPF          *spfView
	Again        button
	Form         checkupForm
}

// checkupLists are the blocklists by what they answered.
type checkupLists struct {
	Summary string
	Rows    []listRow // listed and unknown ones first
	Rest    []listRow // clean, and not asked
	Fold    string
}

type listRow struct {
	Name, Zone         string
	State, Word, Class string
	Text               string // what it says, or why it did not answer
	Weight             string
	Lookup             string // address of its page
}

// spfView is an SPF record as a tree.
type spfView struct {
	Record string
	Cost   string
	Nodes  []spfNodeView
	Cut    bool
}

type spfNodeView struct {
	Term, Cost, Note string
	Bad              bool
	Children         []spfNodeView
}

func (s *site) checkup(v *visit) {
	id := v.r.PathValue("id")
	all := s.checked.of(v.who.ID, v.customer.ID)
	i := slices.IndexFunc(all, func(x keptCheckup) bool { return x.id == id })
	if i < 0 {
		v.page.Banner = &banner{"bad", v.page.T("check.gone")}
		s.showCheckups(v, http.StatusNotFound, checkupTyped{}, nil)
		return
	}
	x := all[i]
	p := s.checkupView(v, x.report)
	p.Title = p.T("check.title", "Target", p.Target)
	if x.unprobed {
		p.Late = p.T("check.probe_late")
	}
	p.Back = v.page.URL(checkupBase(v))
	p.Again = button{URL: p.Back, Label: p.T("check.again"), Values: x.typed.values()}
	v.show(http.StatusOK, "check.one", p)
}

// checkupView puts a report into words.
func (s *site) checkupView(v *visit, r checkup.CheckReport) checkupPage {
	p := checkupPage{page: v.page, Target: r.Target.String(), State: v.page.stateWord(r.State()), Class: stateClass(r.State()), When: v.page.T("check.when", "When", v.page.date(r.At), "Seconds", seconds(v.page.Lang, r.Took)),
		Lead: v.page.T("check.lead." + string(r.State()))}
	if score := r.Score(); score.Measured {
		p.Points, p.Share = locale.Number(p.Lang, float64(score.Points)), score.Points
		var names []string
		for _, g := range score.Unmeasured {
			name, _ := checkup.GroupName(s.o.Catalog, p.Lang, g)
			short, _, _ := strings.Cut(name, ":")
			names = append(names, strings.TrimSpace(short))
		}
		p.Unmeasured = strings.Join(names, ", ")
	}
	for _, g := range checkup.Groups() {
		found := r.Of(g)
		if len(found) == 0 {
			continue
		}
		step := domainStep{ID: "s-" + string(g), State: p.stateWord(r.StateOf(g)), Class: stateClass(r.StateOf(g))}
		step.Name, step.Why = checkup.GroupName(s.o.Catalog, p.Lang, g)
		for i, f := range found {
			f.Args = maps.Clone(f.Args) // the report stays as it is while the page cleans what it shows
			step.Findings = append(step.Findings, s.findingView(v, "", f, false, string(g)+"-"+locale.Number("en", float64(i))))
		}
		p.Groups = append(p.Groups, step)
	}
	p.Lists = p.page.listsOf(r.Listings)
	p.SPF = p.page.spfOf(r.SPF)
	return p
}

func seconds(lang string, d time.Duration) string {
	return locale.Number(lang, float64(max(d.Round(100*time.Millisecond), 100*time.Millisecond))/float64(time.Second))
}

func (t checkupTyped) values() map[string]string {
	out := map[string]string{"target": t.target, "helo": t.helo, "selectors": t.selectors, "ip": t.ip}
	if t.probe {
		out["probe"] = "yes"
	}
	return out
}

// listsOf puts the answers of blocklists into rows.
func (p page) listsOf(all []dnsbl.Listing) *checkupLists {
	if len(all) == 0 {
		return nil
	}
	out := &checkupLists{}
	count := map[dnsbl.State]int{}
	shown := slices.Clone(all)
	order := []dnsbl.State{dnsbl.Listed, dnsbl.Unknown, dnsbl.Clean, dnsbl.Disabled}
	slices.SortStableFunc(shown, func(a, b dnsbl.Listing) int {
		return cmp.Or(slices.Index(order, a.State)-slices.Index(order, b.State), cmp.Compare(b.List.Weight, a.List.Weight))
	})
	for _, l := range shown {
		count[l.State]++
		row := p.listRow(l)
		if l.State == dnsbl.Listed || l.State == dnsbl.Unknown {
			out.Rows = append(out.Rows, row)
		} else {
			out.Rest = append(out.Rest, row)
		}
	}
	out.Summary = p.T("check.lists.summary", "Listed", count[dnsbl.Listed], "Clean", count[dnsbl.Clean], "Unknown", count[dnsbl.Unknown], "Disabled", count[dnsbl.Disabled])
	out.Fold = p.T("check.lists.rest", "Count", len(out.Rest))
	return out
}

func (p page) listRow(l dnsbl.Listing) listRow {
	x := checkup.ListingOf(l, p.Lang)
	row := listRow{Name: x.List, Zone: x.Zone, State: string(x.State), Word: p.T("check.lists." + string(x.State)), Weight: locale.Number(p.Lang, float64(x.Weight)), Lookup: x.Lookup}
	switch {
	case x.State == dnsbl.Listed && x.Allow:
		row.Word, row.Class = p.T("check.lists.allowed"), "ready"
	case x.State == dnsbl.Listed && x.Weight == 0:
		row.Class = ""
	case x.State == dnsbl.Listed:
		row.Class = "refused"
	case x.State == dnsbl.Clean && !x.Allow:
		row.Class = "ready"
	}
	var texts []string
	texts = append(texts, x.Meaning...)
	if t := clean(x.Reason, 400); t != "" {
		texts = append(texts, t)
	}
	if l.Err != nil {
		texts = append(texts, p.listWhy(l.Err))
	}
	row.Text = strings.Join(texts, " · ")
	return row
}

// listWhy is why a list gave no answer.
func (p page) listWhy(err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{{dnsbl.ErrDead, "dead"}, {dnsbl.ErrKey, "key"}, {dnsbl.ErrRegistration, "registration"}, {dnsbl.ErrRefused, "refused"}, {dnsbl.ErrPaused, "refused"},
		{dnsbl.ErrUndocumented, "undocumented"}, {dnsbl.ErrTarget, "target"}, {dnsbl.ErrUnhealthy, "unhealthy"}} {
		if errors.Is(err, known.err) {
			return p.T("check.lists.why." + known.name)
		}
	}
	return p.T("check.lists.why.silent")
}

// spfOf is an SPF tree for a page.
func (p page) spfOf(t *checkup.SPFTree) *spfView {
	if t == nil {
		return nil
	}
	out := &spfView{Record: clean(t.Record, maxShown), Cost: p.T("check.spf.cost", "Lookups", t.Lookups, "Voids", t.Voids)}
	left := maxSPFNodes
	out.Nodes = p.spfNodes(t.Nodes, &left)
	out.Cut = left < 0
	return out
}

func (p page) spfNodes(all []*checkup.SPFNode, left *int) []spfNodeView {
	var out []spfNodeView
	for _, n := range all {
		if *left--; *left < 0 {
			break
		}
		x := spfNodeView{Term: clean(n.Term, 300)}
		if n.Lookups > 0 {
			x.Cost = p.T("check.spf.lookups", "Count", n.Lookups)
		}
		switch n.Result {
		case "", "found":
		default:
			x.Note, x.Bad = p.T("check.spf.result."+strings.ReplaceAll(n.Result, " ", "_")), n.Result != "macro"
		}
		for i, ip := range n.Addresses {
			if i == 0 && x.Note == "" {
				x.Note = ip.String()
			} else if i < 4 {
				x.Note += ", " + ip.String()
			}
		}
		if len(n.Addresses) > 4 {
			x.Note += ", …"
		}
		x.Children = p.spfNodes(n.Children, left)
		out = append(out, x)
	}
	return out
}
