package portal

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"postern/internal/filter"
	"postern/internal/locale"
	"postern/internal/provider"
)

// helpRoutes are public pages that explain tests, providers, and how to choose a sender address. They hold nothing of anybody.
func (s *site) helpRoutes() []route {
	get := http.MethodGet
	return []route{
		{method: get, path: "/help/tests", access: anybody(), do: s.helpTests},
		{method: get, path: "/help/tests/{name}", access: anybody(), do: s.helpTest},
		{method: get, path: "/help/providers", access: anybody(), do: s.helpProviders},
		{method: get, path: "/help/providers/{name}", access: anybody(), do: s.helpProvider},
		{method: get, path: "/help/sender", access: anybody(), do: s.helpSender},
	}
}

// helps reports whether there is a page that explains a test.
func (s *site) helps(test string) bool {
	return s.o.Users != nil && s.o.Catalog.Has("test."+test+".name") && s.o.Catalog.Has("test."+test+".explain")
}

// helpTestsPage lists the tests.
type helpTestsPage struct {
	page
	Groups []testGroup
}

// testGroup is a group of the catalogue.
type testGroup struct {
	ID    string
	Title string
	Tests []testLine
}

// testLine is one test in the list.
type testLine struct {
	URL, Name, Test, Points, Level string
}

// effectivePoints are the points that a test has for everybody now.
func (s *site) effectivePoints(t filter.Test) float64 {
	if points, ok := s.o.Accounts.Tuned("").Points(t.Name); ok {
		return points
	}
	return t.Points
}

// levelOf says how much points weigh.
func levelOf(points float64) string {
	switch {
	case points >= 2:
		return "strong"
	case points >= 0.5:
		return "medium"
	case points >= weightless:
		return "slight"
	case points < 0:
		return "good"
	}
	return "none"
}

func (s *site) helpTests(v *visit) {
	x := helpTestsPage{page: v.page}
	x.Title = x.T("help.tests.title")
	at := map[filter.Group]int{}
	for _, t := range s.o.Filter.Catalogue() {
		if !s.helps(t.Name) { // an operator's own rule: what it says of itself stands on the pages of the messages it stops
			continue
		}
		i, known := at[t.Group]
		if !known {
			i = len(x.Groups)
			at[t.Group] = i
			x.Groups = append(x.Groups, testGroup{ID: "g-" + string(t.Group), Title: filter.GroupTitle(s.o.Catalog, x.Lang, t.Group)})
		}
		points := s.effectivePoints(t)
		x.Groups[i].Tests = append(x.Groups[i].Tests, testLine{URL: x.URL("/help/tests/" + url.PathEscape(t.Name)), Name: x.testName(t.Name), Test: t.Name, Points: x.points(points), Level: levelOf(points)})
	}
	v.show(http.StatusOK, "help-tests.html", x)
}

// helpTestPage explains one test.
type helpTestPage struct {
	page
	Name    string
	Test    string
	Group   string
	Points  string
	Level   string
	Label   string
	Explain []block
	Fix     []block
	Mend    string // who can mend it, and how the change is proved
	Why     string // why receivers count it
	Back    string
}

func (s *site) helpTest(v *visit) {
	name := v.r.PathValue("name")
	all := s.o.Filter.Catalogue()
	i := slices.IndexFunc(all, func(t filter.Test) bool { return t.Name == name })
	if i < 0 || !s.helps(name) {
		v.missing()
		return
	}
	t := all[i]
	points := s.effectivePoints(t)
	x := helpTestPage{page: v.page, Test: t.Name, Group: filter.GroupTitle(s.o.Catalog, v.page.Lang, t.Group), Points: v.page.points(points), Level: levelOf(points), Back: v.page.URL("/help/tests")}
	words := filter.Explain(s.o.Catalog, x.Lang, filter.Hit{Test: t.Name, Args: s.example()})
	x.Name, x.Explain, x.Fix = words.Name, rich(words.Explain), rich(words.Fix)
	x.Title, x.Label = x.Name, x.T("level."+x.Level)
	if x.Level == "good" || x.Level == "none" {
		x.Fix = nil
	}
	if key := "help.group." + string(t.Group); s.o.Catalog.Has("portal." + key) {
		x.Why = x.T(key)
	}
	switch {
	case x.Fix == nil:
	case t.Operator:
		x.Mend = x.T("help.who.operator")
	case retestable(t):
		x.Mend = x.T("help.who.retest")
	default:
		x.Mend = x.T("help.who.resend")
	}
	v.show(http.StatusOK, "help-test.html", x)
}

// example stands where the texts of tests name parts of a message.
func (s *site) example() map[string]string {
	egress := s.o.Accounts.Pool("").Egress
	ip := "192.0.2.1"
	if len(egress) > 0 && egress[0].IP.IsValid() {
		ip = egress[0].IP.String()
	}
	return map[string]string{"Date": "Sun, 22 Nov 2026 08:00:00 +0100", "Domain": "example.org", "Domains": "example.org", "Hello": s.o.Hostname, "Hours": "24", "IP": ip, "List": "zen.spamhaus.org",
		"Mechanisms": "ip4:" + ip, "Messages": "20", "Name": "example", "Now": "Sun, 22 Nov 2026 08:00:00 +0100", "Number": "10", "PolicyDomain": "example.org", "Record": "v=spf1 mx ~all", "Sender": "info@example.org",
		"Share": "10", "Subject": "…", "Suggested": filter.SuggestSPF("", egress), "Tag": "a", "Target": "example.net", "Title": "…", "URL": "https://example.net/", "Usual": "2", "What": "…", "Why": "…", "Zone": "zen.spamhaus.org"}
}

// helpProvidersPage lists who is known.
type helpProvidersPage struct {
	page
	Main   []providerLine // those that say what they ask
	Others []providerLine
}

// providerLine is one provider in the list.
type providerLine struct{ URL, Title, About string }

func (s *site) helpProviders(v *visit) {
	x := helpProvidersPage{page: v.page}
	x.Title = x.T("help.providers.title")
	know := s.o.Knowledge()
	asked := map[string]bool{}
	for _, p := range filter.Providers() {
		asked[helpName(p.Key)] = true
	}
	for _, p := range know.Providers() {
		if p == know.Default() {
			continue
		}
		line := providerLine{x.URL("/help/providers/" + url.PathEscape(p.Name)), x.receiver(p), p.About[x.Lang]}
		if asked[p.Name] {
			x.Main = append(x.Main, line)
		} else {
			x.Others = append(x.Others, line)
		}
	}
	v.show(http.StatusOK, "help-providers.html", x)
}

// helpProviderPage is what is known of one provider.
type helpProviderPage struct {
	page
	Name      string
	About     string
	Group     string
	Mailboxes string
	Asks      []providerAsk
	Source    string
	Link      string
	LinkHost  string
	Limits    []string
	Careful   bool // some of the limits are our own choice
	Retry     string
	Contact   []block
	Forms     []option // addresses to write to, with their names
	Answers   []providerAnswer
	Sources   []providerSource
	Back      string
}

// providerAsk is one thing that a provider asks.
type providerAsk struct{ Name, Asked string }

// providerAnswer is what some of a provider's answers mean.
type providerAnswer struct {
	ID      string
	Example string
	What    string // what it is about
	Party   string // who must mend it
	Advice  string
}

// providerSource is where something is known from.
type providerSource struct{ What, URL, Host, Read string }

// contacts are where a provider takes letters about refused mail. Read on the providers' pages and in their answers, 2026-11.
var contacts = map[string][]string{
	"apple":              {"mailto:icloudadmin@apple.com"},
	"free":               {"https://postmaster.free.fr/"},
	"gmx":                {"https://postmaster.gmx.net/en/case"},
	"google":             {"https://support.google.com/mail/contact/gmail_bulk_sender_escalation"},
	"laposte":            {"https://postmaster.laposte.net/"},
	"microsoft-consumer": {"https://olcsupport.office.com/"},
	"microsoft365":       {"https://sender.office.com/"},
	"orange":             {"https://postmaster.orange.fr/"},
	"yahoo":              {"https://senders.yahooinc.com/contact"},
}

func (s *site) helpProvider(v *visit) {
	know := s.o.Knowledge()
	p := know.Provider(helpName(v.r.PathValue("name")))
	if p == nil || p == know.Default() {
		v.missing()
		return
	}
	c := s.o.Catalog
	x := helpProviderPage{page: v.page, Name: v.page.receiver(p), About: p.About[v.page.Lang], Back: v.page.URL("/help/providers")}
	x.Title = x.T("help.provider.title", "Name", x.Name)
	if p.Group != "" {
		x.Group = x.T("help.provider.group")
	}
	var boxes []string
	for _, d := range p.Who.Mailboxes[:min(len(p.Who.Mailboxes), 30)] {
		boxes = append(boxes, d.Unicode())
	}
	x.Mailboxes = strings.Join(boxes, ", ")
	x.asks(p.Name)
	x.limits(p)
	if key := "help.contact." + p.Name; c.Has("portal." + key) {
		x.Contact = rich(x.T(key))
	} else {
		x.Contact = rich(x.T("help.contact.none"))
	}
	for _, address := range contacts[p.Name] {
		x.Forms = append(x.Forms, option{Value: address, Label: strings.TrimPrefix(strings.TrimPrefix(address, "mailto:"), "https://")})
	}
	for _, r := range p.Rules {
		if r.Operator && v.who.ID == "" { // the operator's own notes are for those who send through him
			continue
		}
		a := providerAnswer{ID: clean(r.ID, 80), What: c.Text(x.Lang, "provider.category."+string(r.Meaning.Category), nil), Advice: r.Meaning.Advice[x.Lang]}
		if len(r.Tests) > 0 {
			a.Example = clean(r.Tests[0], 300)
		}
		party := r.Meaning.Party
		if party == "" {
			party = "nobody"
		}
		a.Party = c.Text(x.Lang, "provider.party."+string(party), nil)
		x.Answers = append(x.Answers, a)
	}
	for _, src := range p.Sources {
		line := providerSource{What: src.What}
		if t, err := time.Parse(time.DateOnly, src.Read); err == nil {
			line.Read = x.day(t)
		}
		if u, err := url.Parse(src.Address); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
			line.URL, line.Host = u.String(), u.Host
		}
		x.Sources = append(x.Sources, line)
	}
	v.show(http.StatusOK, "help-provider.html", x)
}

// asks is what the filter's table says of a provider.
func (x *helpProviderPage) asks(name string) {
	c := x.site.o.Catalog
	for _, p := range filter.Providers() {
		if helpName(p.Key) != name {
			continue
		}
		card := filter.ExplainCards(c, x.Lang, filter.Cards{askedOf(p)})[0]
		for _, i := range card.Items {
			ask := providerAsk{Name: i.Name, Asked: i.Asked}
			if ask.Asked == "" {
				ask.Asked = i.Found
			}
			x.Asks = append(x.Asks, ask)
		}
		x.Source = card.Source
		if u, err := url.Parse(card.URL); err == nil && u.Scheme == "https" {
			x.Link, x.LinkHost = u.String(), u.Host
		}
	}
}

// askedOf is a provider's card with nothing held against it.
func askedOf(p filter.Provider) filter.Readiness {
	r := filter.Readiness{Provider: p.Key, State: filter.NotKnown}
	for _, q := range p.Requirements {
		f := filter.Finding{ID: q.ID, State: filter.NotKnown}
		if q.Effect == filter.EffectNote {
			f.Why = q.ID
		}
		r.Requirements = append(r.Requirements, f)
	}
	return r
}

// limits puts a provider's pace into words.
func (x *helpProviderPage) limits(p *provider.Provider) {
	l := p.Limits
	add := func(name string, n int) {
		if n > 0 {
			x.Limits = append(x.Limits, x.T("help.limit."+name, "Count", n))
		}
	}
	add("connections", l.Connections)
	add("per_connection", l.PerConnection)
	add("per_message", l.PerMessage)
	add("minute", l.PerMinute)
	add("hour", l.PerHour)
	add("day", l.PerDay)
	if l.TLS == "required" {
		x.Limits = append(x.Limits, x.T("help.limit.tls"))
	}
	if p.Governor.Unknown > 0 {
		x.Limits = append(x.Limits, x.T("help.limit.unknown", "Share", locale.Number(x.Lang, p.Governor.Unknown*100), "Pause", p.Governor.Pause))
	}
	x.Careful = slices.ContainsFunc(p.Careful, func(s string) bool { return strings.HasPrefix(s, "limits") || s == "governor" })
	if len(p.Retry.Every) > 0 {
		var waits []string
		for _, d := range p.Retry.Every {
			waits = append(waits, locale.Duration(x.Lang, d))
		}
		x.Retry = x.T("help.retry", "Waits", strings.Join(waits, ", "))
		if p.Retry.For > 0 {
			x.Retry = x.T("help.retry.for", "Waits", strings.Join(waits, ", "), "For", p.Retry.For)
		}
	}
}

// day writes a date without its time.
func (p page) day(t time.Time) string {
	return locale.Day(p.Lang, t)
}

// helpSenderPage says how to choose a sender address.
type helpSenderPage struct {
	page
	Points []senderPoint
}

// senderPoint is one piece of advice, with the tests that look at it.
type senderPoint struct {
	ID    string
	Title string
	Text  []block
	Tests []option
}

// senderTests are the tests behind each piece of advice.
var senderTests = []struct {
	name  string
	tests []string
}{
	{"exists", []string{"FROM_DOMAIN_MISSING", "FROM_NO_MX_A", "SENDER_DOMAIN_MISSING", "SENDER_NO_MX_A", "SENDER_NULL_MX"}},
	{"own", []string{"SPF_FAIL", "DMARC_FAIL_REJECT", "FROM_FOREIGN_DOMAIN"}},
	{"role", []string{"ROLE_SENDER"}},
	{"noreply", []string{"NOREPLY_SENDER"}},
	{"stable", []string{"SENDER_CHANGED", "MANY_SENDERS"}},
	{"match", []string{"DKIM_NONE", "MULTIPLE_FROM_DOMAINS", "HELO_MISMATCH", "RDNS_NONE"}},
	{"name", nil},
}

func (s *site) helpSender(v *visit) {
	x := helpSenderPage{page: v.page}
	x.Title = x.T("help.sender.title")
	for _, a := range senderTests {
		point := senderPoint{ID: a.name, Title: x.T("help.sender." + a.name), Text: rich(x.T("help.sender." + a.name + ".text"))}
		for _, t := range a.tests {
			if _, known := s.tests[t]; known && s.helps(t) {
				point.Tests = append(point.Tests, option{Value: x.URL("/help/tests/" + t), Label: x.testName(t)})
			}
		}
		x.Points = append(x.Points, point)
	}
	v.show(http.StatusOK, "help-sender.html", x)
}
