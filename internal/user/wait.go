package user

import (
	"net/netip"
	"strings"
	"time"
)

// Wait is how long somebody must wait before a proof is looked at again: a password of this address, or a code of this user ("": not known), from this
// network. 0: not at all. It tells nothing of whether there is such a user.
func (l *Ledger) Wait(address, user string, ip netip.Addr) time.Duration {
	key := strings.ToLower(strings.TrimSpace(address))
	if len(key) > 320 {
		key = key[:320]
	}
	wait := l.gate.Wait(key, ip, l.o.Now())
	if user != "" {
		wait = max(wait, l.gate.Wait(secondKey(user), netip.Addr{}, l.o.Now()))
	}
	return wait
}
