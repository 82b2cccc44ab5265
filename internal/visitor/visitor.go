// Package visitor is what every web face needs to know of whoever sends a request, and tell his browser: where he really comes from, which
// network is counted as one, how often he may ask, and the header fields that protect what he reads.
//
// # Where a request comes from
//
// The web server before the gateway, which speaks HTTPS, runs on the same machine and sets X-Forwarded-For. Its last entry is believed, and only
// when the connection comes from loopback: everything before the last entry was written by the visitor himself, and from elsewhere all of it. Without
// the field all visitors are loopback, and share one limit.
//
// # What it does not
//
// It knows no accounts, sessions or tokens (package user), writes no answers and logs nothing: the faces refuse in their own form.
//
// # How it fails
//
// An address that cannot be read is the zero Addr, its network the zero Prefix: such visitors share one allowance. A Limiter that is full lets names it
// does not know share one allowance, so that its memory is bounded whatever comes.
package visitor

import (
	"net/http"
	"net/netip"
	"strings"
)

// Address returns where a request comes from: unmapped and without a zone; behind the web server on this machine the address that this server saw. The zero
// Addr when it cannot be told.
func Address(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := ap.Addr().Unmap()
	if addr.IsLoopback() {
		if all := r.Header.Values("X-Forwarded-For"); len(all) > 0 {
			last := all[len(all)-1]
			if a, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])); err == nil {
				addr = a.Unmap()
			}
		}
	}
	return addr.WithZone("")
}

// Network returns what counts as one visitor: an IPv4 address, an IPv6 /64 (one subscriber's network, RFC 6177 2). The zero Prefix for the zero Addr.
func Network(a netip.Addr) netip.Prefix {
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// Secure sets what every answer to a browser carries; policy is the Content-Security-Policy, https whether the site is reached over HTTPS only. There is no
// CORS: pages of other sites cannot read answers.
func Secure(h http.Header, policy string, https bool) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex, nofollow, noarchive")
	h.Set("Cache-Control", "no-store")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if https {
		h.Set("Strict-Transport-Security", "max-age=31536000") // RFC 6797 6.1.1: a year
	}
}
