package portal

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// slots is the size of a limiter's table. Networks that fall into one slot share its allowance: memory is fixed whatever comes.
const slots = 1 << 14

// limiter is the generic cell rate algorithm per client network: one request per interval in the long run, burst at once.
type limiter struct {
	every time.Duration
	burst time.Duration // how far the theoretical arrival may run ahead
	seed  maphash.Seed

	mu   sync.Mutex
	next [slots]int64 // theoretical arrival of the next request, nanoseconds since 1970
}

func newLimiter(every time.Duration, burst int) *limiter {
	return &limiter{every: every, burst: every * time.Duration(burst), seed: maphash.MakeSeed()}
}

// take counts a request. It returns 0 when the request is within the limit, else how long to wait; refused requests do not
// count.
func (l *limiter) take(client netip.Prefix, now time.Time) time.Duration {
	return l.takeSlot(maphash.Comparable(l.seed, client)%slots, now)
}

// takeName is take for a user who is signed in.
func (l *limiter) takeName(id string, now time.Time) time.Duration {
	return l.takeSlot(maphash.String(l.seed, id)%slots, now)
}

func (l *limiter) takeSlot(slot uint64, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	arrival := max(l.next[slot], now.UnixNano()) + int64(l.every)
	if wait := arrival - now.UnixNano() - int64(l.burst); wait > 0 {
		return time.Duration(wait)
	}
	l.next[slot] = arrival
	return 0
}

// clientOf returns the network a request comes from: an IPv4 address or an IPv6 /64, behind the web server on this machine
// the one that this server saw.
func clientOf(r *http.Request) netip.Prefix {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
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
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.WithZone("").Prefix(bits)
	return p
}
