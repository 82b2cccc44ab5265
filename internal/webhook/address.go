package webhook

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Policy is where posts may go. The zero Policy is the internet.
type Policy struct {
	// Trusted addresses come from the gateway's configuration: they may lead anywhere by https, and to this machine by http, too.
	Trusted bool
	// Private are networks that are not on the internet and may be posted to all the same; http is allowed to this machine when it is in one of them.
	Private []netip.Prefix
}

// Bounds of an address.
const maxURL = 2000

// Why an address is refused.
var (
	ErrNoAddress = errors.New("this is no web address")
	ErrScheme    = errors.New("posts go by https")
	ErrUserInfo  = errors.New("a name and password in the address are not sent; use the signature")
	ErrPort      = errors.New("posts go to port 443 or to one from 1024 on")
	ErrForbidden = errors.New("the address does not lead to the internet")
)

// Check says whether posts may go to an address, as far as it tells by itself; where its name leads is looked at with each post.
func (p Policy) Check(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" || u.Hostname() == "" || len(text) > maxURL {
		return ErrNoAddress
	}
	for _, r := range text {
		if r <= ' ' || r >= 0x7f {
			return ErrNoAddress
		}
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	ip, err := netip.ParseAddr(host)
	literal := err == nil
	here := host == "localhost" || strings.HasSuffix(host, ".localhost") || literal && ip.Unmap().IsLoopback()
	switch u.Scheme {
	case "https":
	case "http":
		if !here || !p.Trusted && !p.here() {
			return ErrScheme
		}
	default:
		return ErrScheme
	}
	if p.Trusted {
		return nil
	}
	if u.User != nil {
		return ErrUserInfo
	}
	if text := u.Port(); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n > 65535 || n < 1024 && n != 443 {
			return ErrPort
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return ErrNoAddress
	} else if u.Scheme == "http" {
		return ErrPort
	}
	switch {
	case literal && (ip.Zone() != "" || !p.Allows(ip)), !literal && here && !p.here():
		return ErrForbidden
	case !literal && !here && !isName(host):
		return ErrNoAddress
	}
	return nil
}

// isName reports whether a host may be the name of a machine on the internet: at least two labels, the last of them not a number, so that no
// spelling of an IP address ("127.1", "0x7f.0.0.1") is taken for one.
func isName(host string) bool {
	labels := strings.Split(host, ".")
	last := labels[len(labels)-1]
	if len(host) > 253 || len(labels) < 2 || last == "" || last[0] >= '0' && last[0] <= '9' {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for _, r := range l {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return false
			}
		}
	}
	return true
}

// here reports whether this machine may be posted to.
func (p Policy) here() bool {
	return p.allowed(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || p.allowed(netip.IPv6Loopback())
}

func (p Policy) allowed(ip netip.Addr) bool {
	return slices.ContainsFunc(p.Private, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// Allows reports whether an IP address may be connected to.
func (p Policy) Allows(ip netip.Addr) bool {
	ip = ip.WithZone("").Unmap()
	switch {
	case !ip.IsValid():
		return false
	case p.Trusted || p.allowed(ip):
		return true
	case ip.Is4():
		return !slices.ContainsFunc(closed4, func(n netip.Prefix) bool { return n.Contains(ip) })
	}
	if inner, carries := carried(ip); carries {
		return p.Allows(inner)
	}
	return global6.Contains(ip) && !slices.ContainsFunc(closed6, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// carried is the IPv4 address in an IPv6 address that a translator on the way turns into it (RFC 6052 2.1, RFC 3056 2).
func carried(ip netip.Addr) (inner netip.Addr, ok bool) {
	b := ip.As16()
	switch {
	case nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// Networks that are not the internet (IANA special-purpose registries, RFC 6890), and what clouds answer their guests with.
var (
	closed4 = networks("0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.31.196.0/24 192.52.193.0/24" +
		" 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4" +
		" 168.63.129.16/32") // Azure's WireServer (Microsoft Learn, read 2026-11)
	closed6   = networks("2001::/23 2001:db8::/32 3fff::/20 2620:4f:8000::/48")
	global6   = netip.MustParsePrefix("2000::/3")
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

func networks(text string) (out []netip.Prefix) {
	for _, s := range strings.Fields(text) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
