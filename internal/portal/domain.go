package portal

import (
	"errors"
	"net/http"
	"strings"

	"postern/internal/account"
	"postern/internal/checkup"
	"postern/internal/dkim"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/user"
)

// domainPage leads through the set-up of one domain.
type domainPage struct {
	page
	Domain      string
	State       string // in a word
	Class       string
	Lead        string
	When        string
	Steps       []domainStep
	Optional    []domainStep
	Gateway     []domainStep // the operator's
	Check       button
	Zone        string // address of the file; "": nothing to publish
	Remove      *button
	RemoveTitle string
	Back        string
}

// domainStep is one group of findings.
type domainStep struct {
	Number       int // 0: not a step of the sender's
	ID           string
	Name, Why    string
	State, Class string
	Findings     []findingView
	Make         *keyForm // of DKIM: a key can be made
}

// keyForm makes a key.
type keyForm struct {
	URL       string
	Algorithm field
	Label     string
	Hint      string
	Again     bool // there is one already: in a fold
}

// findingView is one finding.
type findingView struct {
	State, Class string
	What, Do     []block
	Choices      []choiceView // ways to choose between; one: what to publish
	Found        []questionView
	Acts         []button
	Fold         string // title of the evidence
}

// choiceView is the records of one way.
type choiceView struct {
	Title   string // "": there is but one way
	Records []recordView
}

// recordView is a record to copy.
type recordView struct {
	ID                      string
	Name, Host, Type, Value string
	TTL                     string
	Replace                 []string
	Zone                    string
}

// questionView is what was asked, and found.
type questionView struct {
	Asked  string
	Answer string   // where there are no values
	Values []string // as published
}

// inPage hands a part of a page to its template, with the page's texts.
func inPage(p any, it any) any {
	return struct {
		Page any
		It   any
	}{p, it}
}

// Bounds of what strangers publish, on pages.
const maxShown = 1000

func (p page) recordView(id string, r checkup.Record) recordView {
	out := recordView{ID: id, Name: r.Name, Host: r.Host(), Type: r.Type, Value: r.Value, TTL: locale.Number(p.Lang, float64(r.TTL)), Zone: r.Zone()}
	for _, old := range r.Replace {
		out.Replace = append(out.Replace, clean(old, maxShown))
	}
	return out
}

func (p page) questionView(q checkup.Question) questionView {
	out := questionView{Asked: clean(q.Name, 300) + " " + q.Type}
	for _, v := range q.Values {
		out.Values = append(out.Values, clean(v, maxShown))
	}
	switch {
	case q.Why != "":
		out.Answer = p.T("domains.answer.later", "Why", clean(q.Why, 300))
	case q.NoName:
		out.Answer = p.T("domains.answer.no_name")
	case len(out.Values) == 0:
		out.Answer = p.T("domains.answer.nothing")
	}
	return out
}

func (s *site) domain(v *visit) {
	if d, ok := s.domainOf(v); ok {
		s.showDomain(v, http.StatusOK, d)
	}
}

func (s *site) showDomain(v *visit, status int, d mail.Domain) {
	r, ok := s.lately(v, d)
	if !ok {
		return
	}
	here := "/c/" + v.customer.ID + "/domains/" + string(d)
	writes := v.who.May(user.SetupWrite, v.customer.ID)
	p := domainPage{page: v.page, Domain: string(d), State: v.page.stateWord(r.State()), Class: stateClass(r.State()), When: v.page.date(r.At),
		Lead: v.page.T("domains.lead." + string(r.State())), Back: v.page.URL("/c/" + v.customer.ID + "/domains"),
		Check: button{URL: v.page.URL(here + "/check"), Label: v.page.T("domains.check")}}
	p.Title = p.T("domains.title", "Domain", string(d))
	for _, g := range checkup.Groups() {
		found := r.Of(g)
		if len(found) == 0 {
			continue
		}
		state := r.StateOf(g)
		step := domainStep{ID: "s-" + string(g), State: p.stateWord(state), Class: stateClass(state)}
		step.Name, step.Why = checkup.GroupName(s.o.Catalog, p.Lang, g)
		for i, f := range found {
			step.Findings = append(step.Findings, s.findingView(v, d, f, writes, string(g)+"-"+string(rune('a'+i%26))))
			for _, rec := range f.Records {
				if !f.Operator && rec.Choice < 2 {
					p.Zone = p.URL(here + "/zone.txt")
				}
			}
		}
		switch {
		case g == checkup.Egress:
			p.Gateway = append(p.Gateway, step)
		case found[0].Optional:
			if state == checkup.Advice {
				step.State, step.Class = p.T("domains.optional_badge"), "optional"
				for i := range step.Findings {
					step.Findings[i].Class = "optional"
				}
			}
			p.Optional = append(p.Optional, step)
		default:
			step.Number = len(p.Steps) + 1
			if g == checkup.DKIM && writes && found[0].Code != "dkim.off" {
				step.Make = p.keyForm(here, found)
			}
			p.Steps = append(p.Steps, step)
		}
	}
	if writes && v.customer.Origin == account.OriginDatabase && s.o.Ways.SelfService && containsDomain(v.customer, d) {
		p.Remove = &button{URL: p.URL(here + "/remove"), Label: p.T("domains.remove"), Class: "danger", Sure: p.T("domains.remove_sure")}
	}
	v.show(status, "domains.one", p)
}

func containsDomain(c account.Customer, d mail.Domain) bool {
	for _, x := range c.Domains {
		if x == d {
			return true
		}
	}
	return false
}

func (p page) keyForm(here string, found []checkup.Finding) *keyForm {
	k := &keyForm{URL: p.URL(here + "/keys"), Label: p.T("domains.key.make"), Hint: p.T("domains.key.hint"), Again: found[0].Code != "dkim.none"}
	if k.Again {
		k.Hint = p.T("domains.key.again")
	}
	k.Algorithm = field{Name: "algorithm", Label: p.T("domains.key.algorithm"), Type: "select", Options: []option{
		{"rsa", p.T("domains.key.rsa"), true}, {"ed25519", p.T("domains.key.ed25519"), false}}}
	return k
}

func (s *site) findingView(v *visit, d mail.Domain, f checkup.Finding, writes bool, id string) findingView {
	p := v.page
	for name, x := range f.Args {
		if text, ok := x.(string); ok {
			f.Args[name] = clean(text, maxShown)
		}
	}
	words := checkup.Words(s.o.Catalog, p.Lang, f)
	out := findingView{State: p.stateWord(f.State), Class: stateClass(f.State), What: rich(words.What), Do: rich(words.Do), Fold: p.T("domains.evidence", "Count", len(f.Evidence))}
	for i, rec := range f.Records {
		if n := len(out.Choices); n == 0 || f.Records[i-1].Choice != rec.Choice {
			c := choiceView{}
			if rec.Choice > 0 && f.Records[len(f.Records)-1].Choice > 1 {
				c.Title = p.T("domains.way", "Number", rec.Choice)
			}
			out.Choices = append(out.Choices, c)
		}
		last := &out.Choices[len(out.Choices)-1]
		last.Records = append(last.Records, p.recordView(id+"-"+string(rune('0'+i%10)), rec))
	}
	for _, q := range f.Evidence {
		out.Found = append(out.Found, p.questionView(q))
	}
	if !writes || f.Group != checkup.DKIM || f.Subject == "" {
		return out
	}
	key := "/c/" + v.customer.ID + "/domains/" + string(d) + "/keys/" + f.Subject
	switch f.Code {
	case "dkim.ready":
		out.Acts = append(out.Acts, button{URL: p.URL(key + "/activate"), Label: p.T("domains.key.activate")})
	case "dkim.fine", "dkim.absent", "dkim.differs", "dkim.revoked", "dkim.several", "dkim.testing", "dkim.short":
		out.Acts = append(out.Acts, button{URL: p.URL(key + "/retire"), Label: p.T("domains.key.retire"), Class: "second small", Sure: p.T("domains.key.retire_sure")})
	}
	return out
}

// makeKey makes a signing key of a domain. It does not sign before its record is seen: an unpublished signature helps nobody.
func (s *site) makeKey(v *visit) {
	d, ok := s.domainOf(v)
	if !ok || !v.read() {
		return
	}
	v.about(string(d), "")
	algorithm := map[string]string{"rsa": account.RSA, "ed25519": account.Ed25519}[v.r.PostForm.Get("algorithm")]
	taken, number := map[string]bool{}, 0
	for _, k := range s.o.Accounts.Keys() {
		if k.Domain == d {
			taken[k.Selector] = true
			number++
		}
	}
	if algorithm == "" || number >= keysPerDomain {
		v.page.Banner = &banner{"bad", v.page.T("domains.fault.key")}
		s.showDomain(v, http.StatusUnprocessableEntity, d)
		return
	}
	selector := "p" + s.o.Now().UTC().Format("20060102")
	for _, ending := range []string{"", "b", "c", "d", "e", "f", "g", "h", "i"} {
		if !taken[selector+ending] {
			selector += ending
			break
		}
	}
	k, err := dkim.GenerateKey(d, selector, algorithm)
	if err == nil {
		err = s.o.Accounts.AddKey(v.r.Context(), account.KeyRecord{Domain: d, Selector: selector, Algorithm: algorithm, PEM: k.PEM()})
	}
	switch {
	case errors.Is(err, account.ErrTaken):
		v.page.Banner = &banner{"bad", v.page.T("domains.fault.key")}
		s.showDomain(v, http.StatusUnprocessableEntity, d)
	case err != nil:
		v.broken("signing key not made", err)
	default:
		v.about(string(d), selector+" "+algorithm)
		s.checks.drop(v.customer.ID, d)
		s.o.Logger.Info("signing key added", "domain", d, "selector", selector, "algorithm", algorithm, "active", false, "actor", v.who.Actor())
		v.done("/c/"+v.customer.ID+"/domains/"+string(d), "domains.done.key", "Selector", selector)
	}
}

// keyOf is the key that the path names, and the domain it belongs to: the domain itself or a parent of the same customer.
func (s *site) keyOf(v *visit, d mail.Domain) (account.KeyRecord, bool) {
	selector := v.r.PathValue("selector")
	for name := string(d); name != ""; _, name, _ = strings.Cut(name, ".") {
		if !s.o.Accounts.OwnsDomain(v.customer, mail.Domain(name)) {
			break
		}
		for _, k := range s.o.Accounts.Keys() {
			if string(k.Domain) == name && k.Selector == selector {
				return k, true
			}
		}
	}
	v.missing()
	return account.KeyRecord{}, false
}

// activateKey lets a key sign, once its record is seen.
func (s *site) activateKey(v *visit) {
	d, ok := s.domainOf(v)
	if !ok || !v.read() {
		return
	}
	k, ok := s.keyOf(v, d)
	if !ok {
		return
	}
	v.about(string(k.Domain), k.Selector)
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
	for _, f := range r.Of(checkup.DKIM) {
		if f.Subject != k.Selector || f.Code != "dkim.ready" {
			continue
		}
		if err := s.o.Accounts.ActivateKey(v.r.Context(), k.Domain, k.Selector); err != nil {
			v.broken("signing key not activated", err)
			return
		}
		s.checks.drop(v.customer.ID, d)
		s.o.Logger.Info("signing key changed", "domain", k.Domain, "selector", k.Selector, "active", true, "actor", v.who.Actor())
		v.done("/c/"+v.customer.ID+"/domains/"+string(d), "domains.done.activated", "Selector", k.Selector)
		return
	}
	v.page.Banner = &banner{"bad", v.page.T("domains.fault.not_seen")}
	s.showDomain(v, http.StatusUnprocessableEntity, d)
}

// retireKey ends a key's use.
func (s *site) retireKey(v *visit) {
	d, ok := s.domainOf(v)
	if !ok || !v.read() {
		return
	}
	k, ok := s.keyOf(v, d)
	if !ok {
		return
	}
	v.about(string(k.Domain), k.Selector)
	if err := s.o.Accounts.RetireKey(v.r.Context(), k.Domain, k.Selector); err != nil {
		v.broken("signing key not retired", err)
		return
	}
	s.checks.drop(v.customer.ID, d)
	s.o.Logger.Info("signing key changed", "domain", k.Domain, "selector", k.Selector, "active", false, "actor", v.who.Actor())
	v.done("/c/"+v.customer.ID+"/domains/"+string(d), "domains.done.retired", "Selector", k.Selector)
}
