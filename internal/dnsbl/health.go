package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postern/internal/dns"
)

// ErrUnhealthy: the zone answers its test points wrongly, so it is empty or lists the world. Do not use it until it is mended.
var ErrUnhealthy = errors.New("the zone answers its test points wrongly")

// TestPoint is a name at which the answer is known beforehand (RFC 5782 5).
type TestPoint struct {
	Name   string // complete, with the zone
	Listed bool   // whether it must be listed
}

// TestPoints are the test points of l that its operator documents or RFC 5782 5 demands. The points that must not be listed are there for
// every list that denies in the usual way; the others only where they are documented.
func (l List) TestPoints() []TestPoint {
	var points []TestPoint
	if l.TestListed != "" {
		points = append(points, TestPoint{l.TestListed + "." + l.Zone, true})
	}
	if l.Kinds&(IP4|HostIP4) != 0 {
		points = append(points, TestPoint{"1.0.0.127." + l.Zone, false})
	}
	if l.Kinds&IP6 != 0 {
		// ::FFFF:7F00:1, as IPv6 although it maps 127.0.0.1.
		points = append(points, TestPoint{"1.0.0.0.0.0.f.7.f.f.f.f." + strings.Repeat("0.", 20) + l.Zone, false})
	}
	if l.Kinds&Domain != 0 {
		points = append(points, TestPoint{"invalid." + l.Zone, false})
	}
	return points
}

// Healthy asks the test points. nil: all as they must be. ErrUnhealthy: at least one is wrong. ErrRefused, another error of this package
// or one of package dns: not known, the zone could not be measured.
func (l List) Healthy(ctx context.Context, r dns.Resolver) error {
	if err := l.usable(); err != nil {
		return err
	}
	for _, p := range l.TestPoints() {
		out := Listing{List: &l}
		judge(&out, r.Query(ctx, p.Name, dns.TypeA))
		switch {
		case p.Listed && !out.Refused && len(out.Codes) > 0 && out.inside():
			// Any answer will do here: some operators give the test point a code of its own.
		case out.State == Listed && !p.Listed:
			return fmt.Errorf("%s: %w: %s is listed as %v", l.Zone, ErrUnhealthy, p.Name, out.Codes)
		case out.State == Clean && p.Listed:
			return fmt.Errorf("%s: %w: %s is not listed", l.Zone, ErrUnhealthy, p.Name)
		case errors.Is(out.Err, ErrUndocumented):
			return fmt.Errorf("%s: %w: %s gives %v", l.Zone, ErrUnhealthy, p.Name, out.Codes)
		case out.State == Unknown:
			return out.Err
		}
	}
	return nil
}

// inside: all answers are in 127/8.
func (l Listing) inside() bool {
	return !slices.ContainsFunc(l.Codes, func(ip netip.Addr) bool { return !Pattern("127.*.*.*").Match(ip) })
}
