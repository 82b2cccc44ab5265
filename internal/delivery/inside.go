package delivery

import (
	"fmt"
	"net/netip"

	"postern/internal/dns"
	"postern/internal/mail"
)

// isInside reports whether an address is not on the internet and not allowed all the same (Tuning.Private). No mail exchanger of the
// internet can be there. Whoever may send, and anyone who owns a domain, could otherwise make the gateway speak to what listens beside
// it: a mail server on loopback takes everything from its own machine, and would be the open relay that the gateway is not.
func (d *Delivery) isInside(a netip.Addr) bool { return dns.Inside(a, d.tune.Load().Private) }

// outside leaves out the targets that are not on the internet. When none is left there is a trouble: a temporary one, because a
// name server that answers for another network is our trouble, unless the sender wrote the address himself.
func (d *Delivery) outside(list []target, domain mail.Domain) ([]target, *trouble) {
	kept := list[:0:0]
	for _, t := range list {
		if !d.isInside(t.addr.Addr()) {
			kept = append(kept, t)
		}
	}
	if len(kept) > 0 || len(list) == 0 {
		return kept, nil
	}
	t := &trouble{451, "4.4.4", fmt.Sprintf("The mail exchanger of %s, %s[%s], is not on the internet; this gateway does not speak to private addresses",
		domain, list[0].host, list[0].addr.Addr())}
	if _, literal := domain.Literal(); literal {
		t.code, t.enhanced = 550, "5.4.4"
	}
	return nil, t
}
