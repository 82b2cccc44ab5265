package portal

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/user"
)

// Bounds of the text for recipients.
const (
	mostDomains = 200   // offered to choose from
	mostDraft   = 1_800 // characters of a mailto address: longer ones are cut by mail programs
)

// trustRoutes are a text for a customer's recipients: what they can do so that his mail reaches them.
func (s *site) trustRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/c/{customer}/trust", access: over(user.SetupRead), do: s.trust},
		{method: http.MethodGet, path: "/c/{customer}/trust/text.txt", access: over(user.SetupRead), do: s.trustText},
	}
}

// trustParts are the mail programs that the text is about, in its order.
var trustParts = []string{"outlook", "microsoft365", "gmail", "workspace", "apple", "thunderbird", "france"}

// trustPage is the form and the text.
type trustPage struct {
	page
	Base      string
	Address   field
	Domain    field
	Language  field
	Parts     []trustPart
	Text      string // ready to copy; "" while something is missing
	TextLang  string
	Draft     string // mailto address
	Short     bool   // the draft does not hold the text: it is to be pasted
	File      string // address of the text as a file
	SetUp     string // address of the page on the domain's set-up
	NoDomains bool
}

// trustPart is one mail program to choose.
type trustPart struct {
	Name, Label string
	Checked     bool
}

// trustChoice is what the form asks for.
type trustChoice struct {
	address mail.Address
	domain  mail.Domain
	lang    string
	parts   []string
	fault   string // portal text key of what is wrong with the address; ""
}

// trustChoice reads the form; what is missing is filled in.
func (v *visit) trustChoice() trustChoice {
	q := v.r.URL.Query()
	c := trustChoice{lang: v.page.Lang, parts: trustParts}
	if l := q.Get("for"); l == locale.French || l == locale.English {
		c.lang = l
	}
	if chosen := q["part"]; len(chosen) > 0 {
		c.parts = slices.DeleteFunc(slices.Clone(trustParts), func(p string) bool { return !slices.Contains(chosen, p) })
	}
	for _, d := range v.customer.Domains {
		if c.domain == "" || string(d) == q.Get("domain") {
			c.domain = d
		}
	}
	text := strings.TrimSpace(q.Get("address"))
	if text == "" {
		if v.s.o.Accounts.OwnsDomain(v.customer, v.customer.Contact.Domain) && v.customer.Contact.Domain == c.domain {
			c.address = v.customer.Contact
		}
		return c
	}
	a, err := mail.ParseAddress(text)
	switch {
	case err != nil || a.IsNull() || len(text) > 320:
		c.fault = "lists.fault.address"
	case !v.customer.AnyFrom && !v.s.o.Accounts.OwnsDomain(v.customer, a.Domain):
		c.fault = "trust.fault.foreign"
	default:
		c.address = a
		if c.domain == "" || v.customer.Below(a.Domain) || v.customer.AnyFrom {
			c.domain = a.Domain
		}
	}
	return c
}

// trustLetter is the text for recipients, as plain text.
func (s *site) trustLetter(c trustChoice, who account.Customer) (subject, text string) {
	say := func(key string) string {
		return s.o.Catalog.Text(c.lang, "portal.trust.letter."+key, map[string]any{"Name": clean(who.Name, 100), "Address": c.address.String(), "Domain": string(c.domain)})
	}
	var b strings.Builder
	b.WriteString(say("intro"))
	for _, part := range c.parts {
		b.WriteString("\n\n" + say(part+".title") + "\n" + say(part))
	}
	b.WriteString("\n\n" + say("limits") + "\n\n" + say("end"))
	return say("subject"), b.String()
}

func (s *site) trust(v *visit) {
	q := v.r.URL.Query()
	c := v.trustChoice()
	base := "/c/" + v.customer.ID + "/trust"
	x := trustPage{page: v.page, Base: base, TextLang: c.lang, NoDomains: len(v.customer.Domains) == 0 && !v.customer.AnyFrom}
	x.Title = x.T("trust.title")
	value := clean(q.Get("address"), 320)
	if value == "" && !c.address.IsNull() {
		value = c.address.String()
	}
	x.Address = field{Name: "address", Label: x.T("trust.address"), Hint: x.T("trust.address.hint"), Value: value, Type: "email", Most: 320, Required: true, Mono: true}
	status := http.StatusOK
	if c.fault != "" {
		x.Address.Fault, status = x.T(c.fault), http.StatusUnprocessableEntity
	}
	x.Domain = field{Name: "domain", Label: x.T("trust.domain"), Type: "select"}
	for _, d := range v.customer.Domains[:min(len(v.customer.Domains), mostDomains)] {
		x.Domain.Options = append(x.Domain.Options, option{string(d), d.Unicode(), d == c.domain})
	}
	x.Language = field{Name: "for", Label: x.T("trust.language"), Type: "select", Options: []option{{locale.French, x.T("language.fr"), c.lang == locale.French}, {locale.English, x.T("language.en"), c.lang == locale.English}}}
	for _, p := range trustParts {
		x.Parts = append(x.Parts, trustPart{p, x.T("trust.part." + p), slices.Contains(c.parts, p)})
	}
	if slices.Contains(v.customer.Domains, c.domain) {
		x.SetUp = x.URL("/c/" + v.customer.ID + "/domains/" + url.PathEscape(string(c.domain)))
	}
	if !c.address.IsNull() && c.fault == "" && len(c.parts) > 0 {
		subject, text := s.trustLetter(c, v.customer)
		x.Text = text
		draft := "mailto:?subject=" + mailEscape(subject) + "&body=" + mailEscape(strings.ReplaceAll(text, "\n", "\r\n"))
		if x.Short = len(draft) > mostDraft; x.Short {
			draft = "mailto:?subject=" + mailEscape(subject)
		}
		x.Draft = draft
		ask := url.Values{"address": {c.address.String()}, "domain": {string(c.domain)}, "for": {c.lang}, "part": c.parts}
		x.File = x.URL(base + "/text.txt?" + ask.Encode())
	}
	v.show(status, "trust.html", x)
}

// mailEscape writes text into a mailto address (RFC 6068 5: spaces are %20, not +).
func mailEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// trustText sends the text as a file.
func (s *site) trustText(v *visit) {
	c := v.trustChoice()
	if c.fault != "" || c.address.IsNull() || len(c.parts) == 0 {
		v.missing()
		return
	}
	subject, text := s.trustLetter(c, v.customer)
	h := v.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+c.lang+`.txt"`)
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	v.status = http.StatusOK
	_, _ = v.w.Write([]byte(strings.ReplaceAll(subject+"\n\n"+text+"\n", "\n", "\r\n")))
}
