package portal

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/user"
)

// credentialsRoutes are the pages about the ways in: what authenticates a submission.
func (s *site) credentialsRoutes() []route {
	const base = "/c/{customer}/credentials"
	read, write := over(user.SetupRead), over(user.SetupWrite)
	return []route{
		{method: http.MethodGet, path: base, access: read, do: s.credentials},
		{method: http.MethodPost, path: base, access: write, act: "credential.make", do: s.makeCredential},
		{method: http.MethodGet, path: base + "/{user}", access: read, do: s.credential},
		{method: http.MethodPost, path: base + "/{user}", access: write, act: "credential.change", do: s.changeCredential},
		{method: http.MethodPost, path: base + "/{user}/revoke", access: write, act: "credential.revoke", do: s.revokeCredential},
	}
}

// Bounds of the pages about credentials.
const (
	credentialsShown = 50
	useShown         = 30 // days
)

// credentialsPage is the list of credentials, with a form to make one and what programs need to use it.
type credentialsPage struct {
	page
	Here     string
	Rows     []credentialRow
	Pager    pager
	Revoked  bool    // revoked ones are shown
	Switch   string  // address that shows the others too, or hides them
	Fields   []field // of the form to make one; nil: the visitor may not
	Networks []string
	Relay    string // host and port for the networks
	SPF      string
	Domains  string // address of the page about them
	Snippets []snippetView
}

// credentialRow is one credential of the list.
type credentialRow struct {
	User, URL, Label string
	Made, Used       string
	Revoked          bool
	Limits           []string // "12 of 100 messages in the last hour"
	Use              string   // in words: messages of the last days
	Spark            template.HTML
}

// credentialPage is one credential.
type credentialPage struct {
	page
	Back, Here string
	User       string
	Label      string
	Secret     string // of one that was just made: shown once
	Revoked    bool
	Facts      []labelled
	Plot       plot
	Days       []credentialDay
	Fields     []field // nil: the visitor may not
	Revoke     *button
	Snippets   []snippetView
}

// labelled is a line of a list: what, and its value.
type labelled struct{ Name, Value string }

// credentialDay is what it did on a day.
type credentialDay struct{ Day, Messages, Recipients, Refused, Last string }

func (s *site) credentials(v *visit) {
	s.showCredentials(v, http.StatusOK, nil)
}

// showCredentials answers with the list; fields are those of the form to make one, as typed.
func (s *site) showCredentials(v *visit, status int, fields []field) {
	here := "/c/" + v.customer.ID + "/credentials"
	p := credentialsPage{page: v.page, Here: v.page.URL(here), Domains: v.page.URL("/c/" + v.customer.ID + "/domains")}
	p.Title = p.T("credentials.heading")
	q := v.r.URL.Query()
	p.Revoked = q.Get("revoked") == "yes"
	p.Switch = p.URL(here, "revoked", map[bool]string{false: "yes"}[p.Revoked])
	now := s.o.Now()
	uses, err := s.o.Accounts.Uses(v.r.Context(), v.customer.ID, now.AddDate(0, 0, -useShown+1))
	if err != nil {
		v.broken("use of credentials not read", err)
		return
	}
	after := q.Get("after")
	for _, c := range s.o.Accounts.Credentials(v.customer.ID) {
		if c.User <= after || c.Revoked && !p.Revoked {
			continue
		}
		if len(p.Rows) == credentialsShown {
			p.Pager.Next = p.URL(here, "after", p.Rows[len(p.Rows)-1].User, "revoked", q.Get("revoked"))
			break
		}
		p.Rows = append(p.Rows, s.credentialRow(p.page, c, uses[c.User], now))
	}
	if after != "" {
		p.Pager.First = p.URL(here)
	}
	if v.who.May(user.SetupWrite, v.customer.ID) {
		if p.Fields = fields; fields == nil {
			p.Fields = p.credentialFields(account.CredentialSettings{})
		}
	}
	for _, n := range v.customer.Networks {
		if len(p.Networks) == 50 {
			p.Networks = append(p.Networks, "…")
			break
		}
		p.Networks = append(p.Networks, n.String())
	}
	if s.o.Ways.Relay > 0 {
		p.Relay = fmt.Sprintf("%s:%d", s.o.Hostname, s.o.Ways.Relay)
	}
	p.SPF = strings.Join(s.o.Advisor.Terms(v.customer), " ")
	p.Snippets = s.snippets(p.page, v.customer, v.customer.ID+"-xxxxxxxx")
	v.show(status, "credentials.list", p)
}

func (s *site) credentialRow(p page, c account.Credential, days []account.Day, now time.Time) credentialRow {
	row := credentialRow{User: c.User, URL: p.URL("/c/" + c.Customer + "/credentials/" + c.User), Label: clean(c.Label, 200), Made: p.date(c.Created), Revoked: c.Revoked,
		Used: p.usedText(c), Limits: s.limitTexts(p, c, now)}
	messages := 0
	for _, d := range days {
		messages += d.Messages
	}
	row.Use = p.T("credentials.use", "Count", messages, "Days", useShown)
	row.Spark = spark(days, now)
	return row
}

// usedText says when a credential was used last, and from where.
func (p page) usedText(c account.Credential) string {
	switch {
	case c.LastUsed.IsZero():
		return p.T("credentials.never_used")
	case c.LastIP.IsValid():
		return p.T("credentials.used_from", "When", p.date(c.LastUsed), "IP", c.LastIP.String())
	}
	return p.date(c.LastUsed)
}

// limitTexts are the limits with what is used up of them.
func (s *site) limitTexts(p page, c account.Credential, now time.Time) []string {
	used := s.o.Accounts.Spent(c.User, now)
	var out []string
	for _, x := range []struct {
		key        string
		used, most int
	}{{"hour", used.MessagesHour, c.Limits.MessagesHour}, {"day", used.MessagesDay, c.Limits.MessagesDay}, {"recipients", used.RecipientsDay, c.Limits.RecipientsDay}} {
		if x.most > 0 {
			out = append(out, p.T("credentials.limit."+x.key, "Used", locale.Number(p.Lang, float64(x.used)), "Most", locale.Number(p.Lang, float64(x.most))))
		}
	}
	return out
}

// spark is a small picture of use by day: what was taken, and in red what was refused. Numbers only, so it is safe as it stands.
func spark(days []account.Day, now time.Time) template.HTML {
	const width, height = 6, 32
	today := now.UTC().Truncate(24 * time.Hour)
	top := 1
	for _, d := range days {
		top = max(top, d.Messages+d.Refused)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="spark" viewBox="0 0 %d %d" preserveAspectRatio="none" aria-hidden="true" focusable="false">`, width*useShown, height)
	for _, d := range days {
		at := useShown - 1 - int(today.Sub(d.Day).Hours()/24)
		if at < 0 || at >= useShown {
			continue
		}
		bar := func(n int, class string, from int) int {
			if n <= 0 {
				return 0
			}
			high := max(n*(height-2)/top, 1)
			fmt.Fprintf(&b, `<rect%s x="%d" y="%d" width="%d" height="%d"/>`, class, at*width+1, height-1-from-high, width-2, high)
			return high
		}
		taken := bar(d.Messages, "", 0)
		bar(d.Refused, ` class="no"`, taken)
	}
	fmt.Fprintf(&b, `<line x1="0" x2="%d" y1="%d" y2="%d"/></svg>`, width*useShown, height, height)
	return template.HTML(b.String())
}

// credentialFields are the inputs of what may be set.
func (p page) credentialFields(c account.CredentialSettings) []field {
	number := func(name string, n int) field {
		f := field{Name: name, Label: p.T("credentials.field." + name), Hint: p.T("credentials.field.limit_hint"), Type: "number", Complete: "off"}
		if n > 0 {
			f.Value = strconv.Itoa(n)
		}
		return f
	}
	var networks []string
	for _, n := range c.Networks {
		networks = append(networks, n.String())
	}
	return []field{
		{Name: "label", Label: p.T("credentials.field.label"), Hint: p.T("credentials.field.label_hint"), Value: c.Label, Most: 100, Complete: "off"},
		number("messages_hour", c.Limits.MessagesHour), number("messages_day", c.Limits.MessagesDay), number("recipients_day", c.Limits.RecipientsDay),
		{Name: "networks", Label: p.T("credentials.field.networks"), Hint: p.T("credentials.field.networks_hint"), Value: strings.Join(networks, "\n"), Type: "textarea", Rows: 2, Mono: true, Most: 5000},
	}
}

// typedCredential reads the form; ok is false where a field has a fault.
func (v *visit) typedCredential() (c account.CredentialSettings, fields []field, ok bool) {
	f := v.r.PostForm
	faults := map[string]string{}
	number := func(name string) int {
		text := strings.Join(strings.Fields(f.Get(name)), "")
		if text == "" {
			return 0
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 1_000_000_000 {
			faults[name] = v.page.T("credentials.fault.number")
			return 0
		}
		return n
	}
	c.Label = clean(f.Get("label"), 100)
	if len(c.Label) > 200 {
		faults["label"] = v.page.T("credentials.fault.label")
	}
	c.Limits = account.Limits{MessagesHour: number("messages_hour"), MessagesDay: number("messages_day"), RecipientsDay: number("recipients_day")}
	words := strings.FieldsFunc(f.Get("networks"), func(r rune) bool { return r == ',' || r == ';' || r <= ' ' })
	for _, text := range words {
		n, err := netip.ParsePrefix(text)
		if err != nil {
			var ip netip.Addr
			if ip, err = netip.ParseAddr(text); err == nil {
				n = netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen())
			}
		}
		if err != nil || len(words) > 100 || n.Addr().Is4In6() || n.Addr().Zone() != "" {
			faults["networks"] = v.page.T("credentials.fault.networks", "Text", clean(text, 60))
			break
		}
		c.Networks = append(c.Networks, n.Masked())
	}
	if len(faults) == 0 && c.Validate() != nil {
		faults["networks"] = v.page.T("credentials.fault.networks", "Text", "")
	}
	fields = v.page.credentialFields(c)
	for i := range fields {
		fields[i].Fault = faults[fields[i].Name]
		if fields[i].Fault != "" {
			fields[i].Value = clean(f.Get(fields[i].Name), 2000)
		}
	}
	return c, fields, len(faults) == 0
}

// makeCredential makes a credential and shows its password, this once.
func (s *site) makeCredential(v *visit) {
	if !v.read() {
		return
	}
	settings, fields, ok := v.typedCredential()
	v.about(settings.Label, "")
	if !ok {
		s.showCredentials(v, http.StatusUnprocessableEntity, fields)
		return
	}
	if !v.proved() {
		return
	}
	name, secret, err := s.o.Accounts.MakeCredential(v.r.Context(), v.customer.ID, settings)
	if err != nil {
		v.broken("credential not made", err)
		return
	}
	v.about(name, settings.Label)
	s.o.Logger.Info("credential added", "customer", v.customer.ID, "credential", name, "actor", v.who.Actor())
	c, _ := s.o.Accounts.Credential(name)
	s.showCredential(v, http.StatusOK, c, nil, secret)
}

// credentialOf is the credential of the path if it is the customer's; else the answer is that there is none.
func (s *site) credentialOf(v *visit) (account.Credential, bool) {
	c, ok := s.o.Accounts.Credential(v.r.PathValue("user"))
	if !ok || c.Customer != v.customer.ID {
		v.missing()
		return account.Credential{}, false
	}
	return c, true
}

func (s *site) credential(v *visit) {
	if c, ok := s.credentialOf(v); ok {
		s.showCredential(v, http.StatusOK, c, nil, "")
	}
}

// showCredential answers with one credential; fields are those of the form, as typed; secret is that of one just made.
func (s *site) showCredential(v *visit, status int, c account.Credential, fields []field, secret string) {
	here := "/c/" + v.customer.ID + "/credentials"
	now := s.o.Now()
	p := credentialPage{page: v.page, Back: v.page.URL(here), Here: v.page.URL(here + "/" + c.User), User: c.User, Label: clean(c.Label, 200), Secret: secret, Revoked: c.Revoked}
	p.Title = p.T("credentials.title", "User", c.User)
	p.Path = "/c/" + v.customer.ID + "/credentials/" + c.User // of the language switch, also when it was just made
	if secret != "" {
		p.Path = "" // the other language would lose the password
	}
	uses, err := s.o.Accounts.Uses(v.r.Context(), v.customer.ID, now.AddDate(0, 0, -useShown+1))
	if err != nil {
		v.broken("use of credentials not read", err)
		return
	}
	days := uses[c.User]
	p.Facts = []labelled{{p.T("credentials.fact.made"), p.date(c.Created)}, {p.T("credentials.fact.used"), p.usedText(c)}}
	for _, text := range s.limitTexts(p.page, c, now) {
		p.Facts = append(p.Facts, labelled{p.T("credentials.fact.limit"), text})
	}
	if len(c.Networks) > 0 {
		var all []string
		for _, n := range c.Networks {
			all = append(all, n.String())
		}
		p.Facts = append(p.Facts, labelled{p.T("credentials.fact.networks"), strings.Join(all, ", ")})
	}
	p.Plot = p.plot(usePlot(p.page, days, now))
	for i := len(days) - 1; i >= 0; i-- {
		d := days[i]
		row := credentialDay{Day: locale.Day(p.Lang, d.Day), Messages: locale.Number(p.Lang, float64(d.Messages)), Recipients: locale.Number(p.Lang, float64(d.Recipients)), Refused: locale.Number(p.Lang, float64(d.Refused))}
		if !d.Last.IsZero() {
			row.Last = p.date(d.Last)
			if d.LastIP.IsValid() {
				row.Last = p.T("credentials.used_from", "When", p.date(d.Last), "IP", d.LastIP.String())
			}
		}
		p.Days = append(p.Days, row)
	}
	if v.who.May(user.SetupWrite, v.customer.ID) && !c.Revoked {
		if p.Fields = fields; fields == nil {
			p.Fields = p.credentialFields(account.CredentialSettings{Label: c.Label, Limits: c.Limits, Networks: c.Networks})
		}
		p.Revoke = &button{URL: p.Here + "/revoke", Label: p.T("credentials.revoke"), Class: "danger", Sure: p.T("credentials.revoke_sure")}
		p.Revoke.URL = p.URL(here + "/" + c.User + "/revoke")
	}
	if !c.Revoked {
		p.Snippets = s.snippets(p.page, v.customer, c.User)
	}
	v.show(status, "credentials.one", p)
}

func usePlot(p page, days []account.Day, now time.Time) plotOf {
	x := plotOf{ID: "use", Title: p.T("credentials.plot.title", "Days", useShown), About: p.T("credentials.plot.about"), Step: journal.Day}
	taken, refused := make([]float64, useShown), make([]float64, useShown)
	today := now.UTC().Truncate(24 * time.Hour)
	for i := range useShown {
		x.Times = append(x.Times, today.AddDate(0, 0, i-useShown+1))
	}
	for _, d := range days {
		if i := useShown - 1 - int(today.Sub(d.Day).Hours()/24); i >= 0 && i < useShown {
			taken[i], refused[i] = float64(max(d.Messages, 0)), float64(max(d.Refused, 0))
		}
	}
	x.Series = []plotSeries{{Label: p.T("credentials.plot.taken"), Tone: toneGood, Values: taken}, {Label: p.T("credentials.plot.refused"), Tone: toneBad, Values: refused}}
	return x
}

// changeCredential changes label, limits and networks.
func (s *site) changeCredential(v *visit) {
	c, ok := s.credentialOf(v)
	if !ok || !v.read() {
		return
	}
	settings, fields, ok := v.typedCredential()
	v.about(c.User, fmt.Sprintf("%d/h %d/d %d rcpt/d, %d networks", settings.Limits.MessagesHour, settings.Limits.MessagesDay, settings.Limits.RecipientsDay, len(settings.Networks)))
	switch {
	case c.Revoked:
		v.missing()
		return
	case !ok:
		s.showCredential(v, http.StatusUnprocessableEntity, c, fields, "")
		return
	case !v.proved():
		return
	}
	if err := s.o.Accounts.UpdateCredential(v.r.Context(), c.User, settings); err != nil {
		v.broken("credential not changed", err)
		return
	}
	s.o.Logger.Info("credential changed", "customer", v.customer.ID, "credential", c.User, "actor", v.who.Actor())
	v.done("/c/"+v.customer.ID+"/credentials/"+c.User, "credentials.done.changed")
}

// revokeCredential ends a credential.
func (s *site) revokeCredential(v *visit) {
	c, ok := s.credentialOf(v)
	if !ok || !v.read() {
		return
	}
	v.about(c.User, clean(c.Label, 200))
	if !v.proved() {
		return
	}
	switch err := s.o.Accounts.RevokeCredential(v.r.Context(), c.User); {
	case errors.Is(err, account.ErrNotFound):
		v.missing()
	case err != nil:
		v.broken("credential not revoked", err)
	default:
		s.o.Logger.Info("credential revoked", "credential", c.User, "actor", v.who.Actor())
		v.done("/c/"+v.customer.ID+"/credentials", "credentials.done.revoked", "User", c.User)
	}
}
