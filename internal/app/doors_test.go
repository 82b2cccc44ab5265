package app_test

import (
	"net/netip"
	"path/filepath"
	"testing"

	"postern/internal/app"
	"postern/internal/config"
	"postern/internal/dns/dnstest"
)

// TestSeveralAddressesOfOneDoor: a door listens on each of its addresses.
func TestSeveralAddressesOfOneDoor(t *testing.T) {
	t.Parallel()
	c, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	local := netip.MustParseAddrPort("127.0.0.1:0")
	c.Hostname, c.DataDir = "gate.receiver.test", filepath.Join(t.TempDir(), "data")
	c.DNS.Servers = []netip.AddrPort{netip.MustParseAddrPort(dnstest.Start(t, zone).Addr())}
	c.Listen.Relay.Address = []netip.AddrPort{local, local}
	c.Listen.Submission.Address, c.Listen.Submissions.Address = nil, []netip.AddrPort{local, local}
	c.Listen.Web, c.Listen.Metrics = []netip.AddrPort{local, local}, nil
	a, err := app.New(t.Context(), app.Options{Config: c, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if a.Addresses("relay") == "" || a.Addresses("submission") != "" {
		t.Errorf("relay at %q, submission at %q", a.Addresses("relay"), a.Addresses("submission"))
	}
}
