package config

import (
	"fmt"
	"strings"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/tree"
)

// minReturnKey is the least length of a key of return addresses, in characters.
const minReturnKey = 32

// returnPath looks at return addresses: the door must be open where the addresses are made, and no customer's choice may lack its domain.
func (v *validation) returnPath() {
	r := v.Delivery.ReturnPath
	for i, word := range strings.Fields(string(r.Key)) {
		if len(word) < minReturnKey {
			v.bad("delivery.return_path.key_file", "key %d has %d characters; expected at least %d random ones each", i+1, len(word), minReturnKey)
		}
	}
	if _, literal := r.Domain.Literal(); literal {
		v.bad("delivery.return_path.domain", "%s is an address; expected a domain whose MX leads here", r.Domain)
	}
	if r.Domain != "" && r.Domain == v.Hostname {
		v.doubt("delivery.return_path.domain", "%s is this gateway's own name, and answers to its notices go there too; a name of its own is clearer, like bounce.%s", r.Domain, r.Domain)
	}
	if _, err := mail.ParseAddress(r.Complaints + "@example.org"); err != nil || strings.HasPrefix(strings.ToLower(r.Complaints), "b-") {
		v.bad("delivery.return_path.complaints", "%q is no local part of an address; expected a name like fbl", tree.Clip(r.Complaints))
	}
	used := r.Domain != ""
	for i, c := range v.Config.Customers {
		path := fmt.Sprintf("customers[%d].return_path", i)
		switch c.ReturnPath {
		case "", account.ReturnPathKept:
		case account.ReturnPathOurs:
			if r.Domain == "" {
				v.bad(path, "there is no domain for return addresses; expected delivery.return_path.domain too, or a domain of the customer")
			}
		default:
			used = true
			a := v.account(c)
			if account.CheckDomain(a.ReturnDomain()) == nil && !a.Below(a.ReturnDomain()) {
				v.bad(path, "%s is none of the customer's domains, nor below one; expected a domain like bounce.DOMAIN", tree.Clip(c.ReturnPath))
			}
		}
	}
	if used && len(v.Listen.Bounces) == 0 && !(r.AtRelay && len(v.Listen.Relay.Address) > 0) {
		v.doubt("delivery.return_path", "no door takes what comes back: bounces are lost; set listen.bounces, or delivery.return_path.at_relay with listen.relay")
	}
}
