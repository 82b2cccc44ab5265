package portal

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/user"
)

// settingsRoutes are a customer's own settings.
func (s *site) settingsRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/c/{customer}/settings", access: over(user.SetupRead), do: func(v *visit) { s.showSettings(v, http.StatusOK, nil) }},
		{method: http.MethodPost, path: "/c/{customer}/settings", access: over(user.SetupWrite), act: "settings.change", do: s.settingsChange},
	}
}

// settingsPage shows what the customer can change and what his contract says.
type settingsPage struct {
	page
	Fields  []field // nil: nothing can be changed here
	Values  []fact  // the same to read only
	Fixed   string  // why
	Rules   []fact
	Notices []settingsNotice
}

// settingsNotice is a kind of mail that the gateway writes to the customer.
type settingsNotice struct{ Name, What string }

func (s *site) showSettings(v *visit, status int, fields []field) {
	c := v.customer
	x := settingsPage{page: v.page}
	x.Title, x.Path = x.T("settings.title"), "/c/"+c.ID+"/settings"
	switch {
	case c.Origin == account.OriginConfig:
		x.Fixed = x.T("settings.fixed.config")
	case !v.who.May(user.SetupWrite, c.ID):
		x.Fixed = x.T("settings.fixed.right")
	case fields != nil:
		x.Fields = fields
	default:
		x.Fields = x.settingsForm(c.Language, c.Contact.String(), !c.DropAutoReplies)
	}
	if c.Contact.IsNull() && x.Fields != nil && fields == nil {
		x.Fields[0].Value = ""
	}
	if x.Fixed != "" {
		contact := x.T("settings.contact.none")
		if !c.Contact.IsNull() {
			contact = clean(c.Contact.String(), 300)
		}
		replies := "settings.replies.yes"
		if c.DropAutoReplies {
			replies = "settings.replies.no"
		}
		x.Values = []fact{{Label: x.T("settings.contact"), Value: contact}, {Label: x.T("settings.language"), Value: x.T("language." + locale.Parse(c.Language))}, {Label: x.T("settings.replies"), Value: x.T(replies)}}
	}
	x.Rules = x.settingsRules(c)
	for _, kind := range []string{"held", "expired", "delayed", "failed"} {
		x.Notices = append(x.Notices, settingsNotice{x.T("settings.notice." + kind), x.T("settings.notice." + kind + ".what")})
	}
	v.show(status, "settings.html", x)
}

// settingsForm are the fields that can be changed.
func (p page) settingsForm(language, contact string, replies bool) []field {
	if contact == "<>" {
		contact = ""
	}
	return []field{
		{Name: "contact", Label: p.T("settings.contact"), Hint: p.T("settings.contact.hint"), Value: clean(contact, 320), Type: "email", Most: 320, Complete: "email"},
		{Name: "language", Label: p.T("settings.language"), Hint: p.T("settings.language.hint"), Type: "select", Options: []option{
			{locale.French, p.T("language.fr"), language == locale.French}, {locale.English, p.T("language.en"), language == locale.English}}},
		{Name: "replies", Label: p.T("settings.replies.field"), Hint: p.T("settings.replies.hint"), Type: "checkbox", Checked: replies},
	}
}

// settingsRules says what holds for a customer's mail, which only the operator changes.
func (p page) settingsRules(c account.Customer) []fact {
	out := []fact{{Label: p.T("settings.rule.mode"), Value: p.T("settings.rule.mode."+c.Mode, "Threshold", c.Threshold)}}
	release := p.T("settings.rule.release.no")
	if c.SelfRelease {
		release = p.T("settings.rule.release.yes", "Ceiling", c.ReleaseCeiling)
	}
	out = append(out, fact{Label: p.T("settings.rule.release"), Value: release})
	path := fact{Label: p.T("settings.rule.path")}
	switch d := c.ReturnDomain(); {
	case c.ReturnPath == account.ReturnPathKept:
		path.Value = p.T("settings.rule.path.kept")
	case d == "":
		path.Value = p.T("settings.rule.path.ours")
	default:
		path.Value = p.T("settings.rule.path.own", "Domain", d.Unicode())
	}
	out = append(out, path)
	from := p.T("settings.rule.from.own")
	if c.AnyFrom {
		from = p.T("settings.rule.from.any")
	}
	return append(out, fact{Label: p.T("settings.rule.from"), Value: from})
}

// settingsChange keeps what the form says.
func (s *site) settingsChange(v *visit) {
	if v.status = s.readForm(v.w, v.r); v.status != 0 {
		return
	}
	form := v.r.PostForm
	c := v.customer
	fields := v.page.settingsForm(form.Get("language"), form.Get("contact"), form.Get("replies") != "")
	v.about(c.ID, "")
	c.Contact, c.Language, c.DropAutoReplies = mail.Address{}, form.Get("language"), form.Get("replies") == ""
	if text := strings.TrimSpace(form.Get("contact")); text != "" {
		a, err := mail.ParseAddress(text)
		if err != nil || a.IsNull() || len(text) > 320 {
			fields[0].Fault = v.page.T("lists.fault.address")
		}
		c.Contact = a
	}
	if c.Language != locale.French && c.Language != locale.English {
		fields[1].Fault = v.page.T("settings.fault.language")
	}
	if slices.ContainsFunc(fields, func(f field) bool { return f.Fault != "" }) {
		s.showSettings(v, http.StatusUnprocessableEntity, fields)
		return
	}
	var changed []string
	if c.Contact != v.customer.Contact {
		changed = append(changed, "contact "+c.Contact.String())
	}
	if c.Language != v.customer.Language {
		changed = append(changed, "language "+c.Language)
	}
	if c.DropAutoReplies != v.customer.DropAutoReplies {
		changed = append(changed, "automatic answers")
	}
	v.about(c.ID, strings.Join(changed, ", "))
	err := s.o.Accounts.PutCustomer(v.r.Context(), c)
	switch {
	case errors.Is(err, account.ErrFromConfig):
		s.showSettings(v, http.StatusConflict, nil)
	case err != nil:
		v.broken("settings not kept", err)
	default:
		v.done("/c/"+c.ID+"/settings", "settings.done")
	}
}
