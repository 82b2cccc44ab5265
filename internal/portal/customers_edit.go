package portal

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"postern/internal/account"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
)

// opCustomerForm is the form of a customer, new or to be changed.
type opCustomerForm struct {
	page
	Action string
	Away   string
	New    bool
	Fields []field
	Fault  string // what belongs to no field
}

// opTyped are the fields of the form as they were typed.
type opTyped map[string]string

// The text fields of the form in their order; networks and domains are lists, one a line.
var opCustomerFields = []string{"id", "name", "language", "contact", "domains", "networks", "pool", "mode", "threshold", "self_release", "release_ceiling", "any_from", "return_path", "drop_auto_replies"}

// opNewCustomer shows the empty form.
func (s *site) opNewCustomer(v *visit) {
	t := opTyped{"language": v.page.Lang, "mode": account.ModeHold, "threshold": locale.Number(v.page.Lang, account.DefaultThreshold), "release_ceiling": locale.Number(v.page.Lang, account.DefaultReleaseCeiling)}
	s.opShowForm(v, http.StatusOK, "", t, nil)
}

// opEditCustomer shows the form of a customer.
func (s *site) opEditCustomer(v *visit) {
	c, ok := v.opNamed()
	if !ok {
		return
	}
	if c.Origin == account.OriginConfig {
		v.opRefused(http.StatusConflict, v.page.T("customers.from_config"), "/o/customers/"+c.ID)
		return
	}
	var networks []string
	for _, n := range c.Networks {
		networks = append(networks, n.String())
	}
	yes := map[bool]string{true: "yes"}
	t := opTyped{"id": c.ID, "name": c.Name, "language": c.Language, "contact": c.Contact.String(), "domains": strings.Join(opDomains(c), "\n"), "networks": strings.Join(networks, "\n"), "pool": c.Pool,
		"mode": c.Mode, "threshold": locale.Number(v.page.Lang, c.Threshold), "self_release": yes[c.SelfRelease], "release_ceiling": locale.Number(v.page.Lang, c.ReleaseCeiling), "any_from": yes[c.AnyFrom],
		"return_path": c.ReturnPath, "drop_auto_replies": yes[c.DropAutoReplies]}
	s.opShowForm(v, http.StatusOK, c.ID, t, nil)
}

// opShowForm shows the form; id is that of the customer to be changed, "" for a new one.
func (s *site) opShowForm(v *visit, status int, id string, t opTyped, faults map[string]string) {
	p := v.page
	d := opCustomerForm{page: p, New: id == "", Action: p.URL("/o/new-customer"), Away: p.URL("/o/customers"), Fault: faults[""]}
	d.Title = p.T("customers.new.title")
	if id != "" {
		d.Action, d.Away = p.URL("/o/customers/"+id+"/edit"), p.URL("/o/customers/"+id)
		d.Title = p.T("customers.edit.title", "Name", clean(cmp.Or(t["name"], id), 100))
	}
	choice := func(name string, values ...string) (out []option) {
		for _, x := range values {
			out = append(out, option{x, p.T("customers." + name + "." + x), t[name] == x})
		}
		return out
	}
	for _, name := range opCustomerFields {
		if name == "id" && id != "" {
			continue // never changes
		}
		label := name
		if name == "id" {
			label = "ident" // a key of texts cannot end in id
		}
		f := field{Name: name, Label: p.T("customers.field." + label), Value: typedAgain(t[name]), Fault: faults[name]}
		if key := "customers.hint." + label; s.o.Catalog.Has("portal." + key) {
			f.Hint = p.T(key)
		}
		switch name {
		case "id":
			f.Required, f.Mono, f.Most = true, true, 64
		case "domains", "networks":
			f.Type, f.Rows, f.Mono = "textarea", 5, true
		case "self_release", "any_from", "drop_auto_replies":
			f.Type, f.Checked = "checkbox", t[name] != ""
		case "mode":
			f.Type, f.Options = "select", choice("mode", account.ModeHold, account.ModeReject)
		case "language":
			f.Type, f.Options = "select", []option{{"fr", p.T("language.fr"), t[name] == "fr"}, {"en", p.T("language.en"), t[name] == "en"}}
		case "pool":
			f.Type = "select"
			for _, x := range s.o.Accounts.Pools() {
				f.Options = append(f.Options, option{x.Name, x.Name, cmp.Or(t[name], account.DefaultPool) == x.Name})
			}
		}
		d.Fields = append(d.Fields, f)
	}
	v.show(status, "op-customer-form.html", d)
}

// opAddCustomer adds a customer.
func (s *site) opAddCustomer(v *visit) {
	t := v.opTyped()
	id := strings.TrimSpace(t["id"])
	v.about(clean(id, 64), clean(t["name"], 200))
	c, faults := v.opRead(id, t)
	if _, taken := s.o.Accounts.Customer(id); taken && faults["id"] == "" {
		faults["id"] = v.page.T("customers.fault.taken")
	}
	s.opPut(v, "", c, t, faults, account.ToldAdded, "customers.done.add")
}

// opChangeCustomer replaces a customer's settings.
func (s *site) opChangeCustomer(v *visit) {
	c, ok := v.opNamed()
	if !ok {
		return
	}
	t := v.opTyped()
	v.about(c.ID, clean(t["name"], 200))
	changed, faults := v.opRead(c.ID, t)
	s.opPut(v, c.ID, changed, t, faults, account.ToldChanged, "customers.done.change")
}

// opPut stores a customer, or shows the form again with its faults.
func (s *site) opPut(v *visit, id string, c account.Customer, t opTyped, faults map[string]string, told, done string) {
	if len(faults) == 0 {
		err := s.o.Accounts.PutCustomer(v.r.Context(), c)
		switch {
		case err == nil:
			v.entry.Customer = c.ID
			s.o.Logger.Info(told, "customer", c.ID, "actor", v.who.Actor())
			s.o.Journal.Post(journal.Fact{Kind: journal.Tuned, At: s.o.Now(), Customer: c.ID, Actor: v.who.Actor(), Text: told})
			v.done("/o/customers/"+c.ID, done, "Name", clean(cmp.Or(c.Name, c.ID), 100))
			return
		case errors.Is(err, account.ErrFromConfig):
			faults[""] = v.page.T("customers.from_config")
		case errors.Is(err, account.ErrTaken), errors.Is(err, account.ErrInvalid):
			faults[""] = v.opAccountFault(err)
		default:
			v.broken("customer not stored", err)
			return
		}
	}
	s.opShowForm(v, http.StatusUnprocessableEntity, id, t, faults)
}

// opTyped reads the form.
func (v *visit) opTyped() opTyped {
	t := opTyped{}
	for _, name := range opCustomerFields {
		t[name] = strings.ToValidUTF8(strings.ReplaceAll(v.r.PostFormValue(name), "\r\n", "\n"), "\uFFFD")
	}
	return t
}

// typedAgain is what was typed as a form may give it back: its lines stay.
func typedAgain(s string) string {
	text, _ := cleanLines(s)
	return text
}

// opRead turns what was typed into a customer; faults are by the field they belong to, "" for none.
func (v *visit) opRead(id string, t opTyped) (c account.Customer, faults map[string]string) {
	p := v.page
	faults = map[string]string{}
	c = account.Customer{ID: id, Name: strings.TrimSpace(t["name"]), Language: t["language"], Mode: t["mode"], SelfRelease: t["self_release"] != "", AnyFrom: t["any_from"] != "",
		ReturnPath: strings.TrimSpace(t["return_path"]), DropAutoReplies: t["drop_auto_replies"] != ""}
	if t["pool"] != account.DefaultPool {
		c.Pool = t["pool"]
	}
	if contact := strings.TrimSpace(t["contact"]); contact != "" {
		a, err := mail.ParseAddress(contact)
		if err != nil {
			faults["contact"] = p.T("customers.fault.contact")
		}
		c.Contact = a
	}
	for name, at := range map[string]*float64{"threshold": &c.Threshold, "release_ceiling": &c.ReleaseCeiling} {
		f, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(t[name]), ",", "."), 64)
		if err != nil || !(f > 0 && f <= 15) {
			faults[name] = p.T("customers.fault.points")
		}
		*at = f
	}
	for _, word := range strings.Fields(strings.ReplaceAll(t["networks"], ",", " ")) {
		n, err := opNetwork(word)
		if err == nil {
			err = account.CheckNetwork(n)
		}
		if err != nil {
			faults["networks"] = p.T("customers.fault.networks", "Word", clean(word, 60))
			continue
		}
		c.Networks = append(c.Networks, n)
	}
	for _, word := range strings.Fields(strings.ReplaceAll(t["domains"], ",", " ")) {
		d, err := mail.ParseDomain(word)
		if err == nil {
			err = account.CheckDomain(d)
		}
		if err != nil {
			faults["domains"] = p.T("customers.fault.domains", "Word", clean(word, 60))
			continue
		}
		c.Domains = append(c.Domains, d)
	}
	if len(faults) > 0 {
		return c, faults
	}
	// What is left: each line begins with the field's name.
	if err := c.Validate(); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			name, text, _ := strings.Cut(line, ": ")
			known := false
			for _, f := range opCustomerFields {
				known = known || f == name
			}
			if key := "customers.fault." + map[bool]string{true: "ident", false: name}[name == "id"]; known && v.s.o.Catalog.Has("portal."+key) && name != "contact" {
				text = p.T(key, "Word", clean(t[name], 60))
			}
			if !known {
				name, text = "", line
			}
			faults[name] = clean(text, 300)
		}
	}
	return c, faults
}

// opNetwork reads a network, or an address as the network of one.
func opNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), nil
	}
	n, err := netip.ParsePrefix(text)
	if err != nil {
		return n, fmt.Errorf("network: %w", err)
	}
	return n.Masked(), nil
}
