package app

import (
	"net/netip"
	"strings"
	"testing"

	"postern/internal/account"
)

func TestPoolAddressesAreThisMachines(t *testing.T) {
	t.Parallel()
	pool := func(ips ...string) []account.Pool {
		p := account.Pool{Name: "bulk"}
		for _, ip := range ips {
			p.Egress = append(p.Egress, account.Egress{IP: netip.MustParseAddr(ip)})
		}
		return []account.Pool{p}
	}
	if err := checkEgress(pool("127.0.0.1", "127.0.0.77")); err != nil {
		t.Errorf("loopback: %v", err)
	}
	if err := checkEgress([]account.Pool{{Name: "any", Egress: []account.Egress{{HELO: "gate.example.org"}}}, {Name: "none"}}); err != nil {
		t.Errorf("no address: %v", err)
	}
	err := checkEgress(pool("127.0.0.1", "192.0.2.10", "2001:db8::25"))
	if err == nil {
		t.Fatal("addresses of nobody are taken")
	}
	for _, want := range []string{"delivery.pools.bulk[1].ip: 192.0.2.10 is not an address of this machine", "delivery.pools.bulk[2].ip: 2001:db8::25 is not"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "[0]") {
		t.Errorf("127.0.0.1 is refused: %v", err)
	}
}
