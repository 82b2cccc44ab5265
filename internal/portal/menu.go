package portal

import (
	"strings"

	"postern/internal/user"
)

// menuGroup is a heading of the menu with its pages.
type menuGroup struct {
	Label string
	Items []menuItem
}

// menuItem is a page in the menu.
type menuItem struct {
	Label string
	URL   string
	Here  bool // the page that is shown, or one below it
}

// place is a page that the menu leads to: its text is portal.menu.NAME.
type place struct {
	name  string
	path  string // below the customer's or the operator's first page; "" is that page
	right user.Right
}

// The pages of a customer, in groups as the menu shows them.
var customerPlaces = []struct {
	name   string
	places []place
}{
	{"mail", []place{{"overview", "", user.MailRead}, {"held", "/held", user.MailRead}, {"messages", "/messages", user.MailRead}, {"providers", "/providers", user.MailRead}, {"reports", "/reports", user.MailRead}, {"gmail", "/gmail", user.MailRead}}},
	{"lists", []place{{"suppression", "/suppression", user.ListsRead}, {"allow", "/allow", user.ListsRead}}},
	{"setup", []place{{"domains", "/domains", user.SetupRead}, {"check", "/check", user.SetupRead}, {"reputation_mine", "/reputation", user.SetupRead}, {"credentials", "/credentials", user.SetupRead}, {"trust", "/trust", user.SetupRead}, {"settings", "/settings", user.SetupRead}}},
	{"access", []place{{"users", "/users", user.UsersRead}, {"tokens", "/tokens", user.UsersRead}, {"webhooks", "/webhooks", user.HooksRead}, {"history", "/history", user.UsersRead}}},
}

// The pages of the operator.
var operatorPlaces = []struct {
	name   string
	places []place
}{
	{"now", []place{{"today", "", user.GatewayRead}, {"live", "/live", user.GatewayRead}, {"alarms", "/alarms", user.GatewayRead}}},
	{"mail", []place{{"queue", "/queue", user.GatewayRead}, {"lanes", "/lanes", user.GatewayRead}, {"held", "/held", user.GatewayRead}, {"messages", "/messages", user.GatewayRead}, {"suppression", "/suppression", user.GatewayRead}}},
	{"senders", []place{{"customers", "/customers", user.GatewayRead}, {"addresses", "/addresses", user.GatewayRead}, {"reports", "/reports", user.GatewayRead}, {"snds", "/snds", user.GatewayRead}, {"postmaster-tools", "/postmaster-tools", user.GatewayRead}, {"tests", "/tests", user.GatewayRead}}},
	{"reputation", []place{{"reputation", "/reputation", user.GatewayRead}, {"dossiers", "/dossiers", user.GatewayRead}, {"check", "/check", user.GatewayRead}}},
	{"gateway", []place{{"configuration", "/configuration", user.GatewayRead}, {"users", "/users", user.UsersRead}, {"tokens", "/tokens", user.UsersRead}, {"webhooks", "/webhooks", user.HooksRead}, {"history", "/history", user.UsersRead}}},
}

// The pages that explain, open to everybody; their paths are whole.
var helpPlaces = []place{{name: "help_tests", path: "/help/tests"}, {name: "help_providers", path: "/help/providers"}, {name: "help_sender", path: "/help/sender"}, {name: "help_api", path: "/api/"}}

// menu is what the visitor may go to from here: the customer's pages where the path names one, else the operator's.
func (s *site) menu(v *visit) []menuGroup {
	groups, base, customer := operatorPlaces, "/o", ""
	switch {
	case v.customer.ID != "":
		groups, base, customer = customerPlaces, "/c/"+v.customer.ID, v.customer.ID
	case !v.who.Gateway():
		groups, base, customer = customerPlaces, "/c/"+v.who.Customer, v.who.Customer
	}
	var out []menuGroup
	for _, g := range groups {
		m := menuGroup{Label: v.page.T("menu.group." + g.name)}
		for _, x := range g.places {
			if !v.who.May(x.right, customer) {
				continue
			}
			path := base + x.path
			here := v.page.Path == path || x.path != "" && strings.HasPrefix(v.page.Path, path+"/")
			m.Items = append(m.Items, menuItem{v.page.T("menu." + x.name), v.page.URL(path), here})
		}
		if len(m.Items) > 0 {
			out = append(out, m)
		}
	}
	help := menuGroup{Label: v.page.T("menu.group.help")}
	for _, x := range helpPlaces {
		here := v.page.Path == x.path || strings.HasPrefix(v.page.Path, x.path+"/")
		help.Items = append(help.Items, menuItem{v.page.T("menu." + x.name), v.page.URL(x.path), here})
	}
	return append(out, help)
}
