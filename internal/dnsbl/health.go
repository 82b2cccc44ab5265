package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"postern/internal/dns"
)

// ErrUnhealthy: the zone answers its test points wrongly, so it must not be used until it is mended. The others are its forms.
var (
	ErrUnhealthy  = errors.New("the zone answers its test points wrongly")
	ErrWildcard   = fmt.Errorf("%w: it lists the world", ErrUnhealthy)
	ErrEmpty      = fmt.Errorf("%w: it is empty", ErrUnhealthy)
	ErrGone       = fmt.Errorf("%w: our name server says there is no such zone", ErrUnhealthy)
	ErrKeyUnknown = fmt.Errorf("%w: it answers as if it did not know the key", ErrUnhealthy)
)

// TestPoint is a name at which the answer is known beforehand (RFC 5782 5).
type TestPoint struct {
	Labels string // before the zone
	Listed bool   // whether it must be listed; false: it must not
	// Sure: a wrong answer proves the zone unhealthy. Points that must be listed and are only RFC 5782's rule, not documented by the operator,
	// are not sure: several zones do not follow. What they answer rightly proves the zone alive all the same.
	Sure bool
}

// TestPoints are the test points of l: what its operator documents, what RFC 5782 5 demands, and a name that nobody ever listed, for
// zones that list the world but for the points everybody tries.
func (l List) TestPoints() []TestPoint {
	var points []TestPoint
	add := func(labels string, listed, sure bool) {
		if !slices.ContainsFunc(points, func(p TestPoint) bool { return p.Labels == labels }) {
			points = append(points, TestPoint{labels, listed, sure})
		}
	}
	if l.TestListed != "" {
		add(l.TestListed, true, true)
	}
	if l.Kinds&(IP4|HostIP4) != 0 {
		add("1.0.0.127", false, true)
		add(testPoint, true, false)
	}
	if l.Kinds&IP6 != 0 {
		// ::FFFF:7F00:1 and :2, as IPv6 although they map 127.0.0.1 and .2.
		mapped := ".0.0.0.0.0.f.7.f.f.f.f" + strings.Repeat(".0", 20)
		add("1"+mapped, false, true)
		add("2"+mapped, true, false)
	}
	if l.Kinds&Domain != 0 {
		add("invalid", false, true)
		add("test", true, false)
	}
	// No address and no domain looks so: only what lists everything has it.
	return append(points, TestPoint{"nobody-" + strconv.FormatUint(rand.Uint64(), 36), false, false})
}

// Health is what the test points of a zone say.
type Health struct {
	Err error // nil: nothing is wrong; ErrUnhealthy, ErrRefused, or another error of this package or of package dns: not measured
	// Proven: a point that must be listed is, so the zone holds what it says and hears us.
	Proven bool

	refusal Listing // with ErrRefused
}

// Examine asks the test points. When none proves that the zone is there, it asks for the zone itself: a list that is gone, and a name server that
// denies whatever it is asked, give the same answer for every target, and it means nothing.
func (l List) Examine(ctx context.Context, r dns.Resolver) Health {
	if err := l.usable(); err != nil {
		return Health{Err: err}
	}
	if l.key != nil {
		ctx = dns.Private(ctx)
	}
	var h Health
	for _, p := range l.TestPoints() {
		out := Listing{List: &l}
		judge(&out, r.Query(ctx, p.Labels+"."+l.origin(), dns.TypeA))
		inside := len(out.Codes) > 0 && out.inside()
		switch {
		case out.Refused && p.Sure:
			if len(out.Codes) > 0 {
				out.Reason = cut(l.hide(reason(ctx, r, p.Labels+"."+l.origin())), textBytes)
			}
			return Health{Err: out.Err, Proven: h.Proven, refusal: out}
		case p.Listed && inside:
			h.Proven = true // any answer will do: some operators give the test point a code of its own
		case !p.Listed && out.State == Listed, len(out.Codes) > 0 && !inside && !out.Refused:
			h.Err = fmt.Errorf("%s: %w: %s is listed as %v", l.Zone, ErrWildcard, p.Labels, out.Codes)
			return h
		case p.Sure && errors.Is(out.Err, ErrUndocumented):
			h.Err = fmt.Errorf("%s: %w: %s gives %v", l.Zone, ErrUnhealthy, p.Labels, out.Codes)
			return h
		case p.Sure && p.Listed && out.State == Clean && l.key != nil:
			h.Err = fmt.Errorf("%s: %w: %s is not listed", l.Zone, ErrKeyUnknown, p.Labels)
			return h
		case p.Sure && p.Listed && out.State == Clean:
			h.Err = fmt.Errorf("%s: %w: %s is not listed", l.Zone, ErrEmpty, p.Labels)
			return h
		case p.Sure && out.State == Unknown:
			h.Err = out.Err
			return h // nobody knows; more questions would only wait longer
		}
	}
	if h.Err != nil || h.Proven || l.key != nil {
		return h
	}
	switch a := r.Query(ctx, l.origin(), dns.TypeSOA); {
	case a.Err != nil:
		h.Err = trouble(&l, a.Err)
	case a.Status == dns.Nothing && a.NXDomain:
		h.Err = fmt.Errorf("%s: %w", l.Zone, ErrGone)
	}
	return h
}

// Healthy is the error of Examine. nil: all points are as they must be.
func (l List) Healthy(ctx context.Context, r dns.Resolver) error { return l.Examine(ctx, r).Err }

// inside: all answers are in 127/8.
func (l Listing) inside() bool {
	return !slices.ContainsFunc(l.Codes, func(ip netip.Addr) bool { return !strings.HasPrefix(ip.String(), "127.") || !ip.Is4() })
}
