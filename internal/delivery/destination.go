package delivery

import (
	"container/list"
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/mail"
	"postern/internal/provider"
)

// destination is where the mail of one recipient domain goes, as DNS said a moment ago. What it says does not change.
type destination struct {
	domain   mail.Domain
	provider *provider.Provider // what it takes; never nil
	known    string             // provider.Provider.Name, "default" for those nobody knows
	site     string             // shaping.Key.Provider
	route    string             // its exchangers, in one word
	signed   bool               // the MX answer was authenticated by DNSSEC
	alone    bool               // what TLS its mail must have is its own affair: it shares no connection with other domains
	hosts    []exchanger        // in the order to try them
	why      *trouble           // why there is nowhere to go; hosts is empty then
	until    time.Time          // asked again then

	latest atomic.Pointer[routeName] // nearly all its mail has the same
}

// routeName is the name of a destination's connections that greet by one name and meet the same demands on TLS.
type routeName struct{ helo, demands, name string }

// routeOf is such a name.
func (x *destination) routeOf(helo, demands string) string {
	r := x.latest.Load()
	if r == nil || r.helo != helo || r.demands != demands {
		r = &routeName{helo, demands, x.route + " " + helo + " " + demands}
		x.latest.Store(r)
	}
	return r.name
}

// exchanger is one host of a destination with its addresses.
type exchanger struct {
	name   string
	pref   uint16
	addrs  []netip.Addr
	signed bool // the address answer was authenticated by DNSSEC
}

// families says which families the destination has an address of.
func (x *destination) families() (four, six bool) {
	for _, h := range x.hosts {
		for _, a := range h.addrs {
			four, six = four || a.Is4(), six || !a.Is4()
		}
	}
	return four, six
}

// targets are the addresses that one attempt from an egress address tries, in order: by preference, equal preferences and the addresses of one
// host shuffled, families taking turns within a host so that a dead one does not use up the attempt.
func (x *destination) targets(egress netip.Addr, port uint16) []target {
	hosts := slices.Clone(x.hosts)
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, func(a, b exchanger) int { return int(a.pref) - int(b.pref) })
	var out []target
	for _, h := range hosts {
		var v4, v6 []netip.Addr
		for _, a := range h.addrs {
			switch {
			case egress.IsValid() && egress.Unmap().Is4() != a.Is4():
			case a.Is4():
				v4 = append(v4, a)
			default:
				v6 = append(v6, a)
			}
		}
		rand.Shuffle(len(v4), func(i, j int) { v4[i], v4[j] = v4[j], v4[i] })
		rand.Shuffle(len(v6), func(i, j int) { v6[i], v6[j] = v6[j], v6[i] })
		for len(v4)+len(v6) > 0 {
			for _, f := range []*[]netip.Addr{&v6, &v4} {
				if len(*f) > 0 {
					out, *f = append(out, target{host: h.name, addr: netip.AddrPortFrom((*f)[0], port), signed: h.signed}), (*f)[1:]
				}
			}
		}
		if len(out) >= maxAddresses {
			return out[:maxAddresses]
		}
	}
	return out
}

// Bounds of the directory: how many domains it remembers, how many it asks about at one time, and for how long an answer is used, whatever its TTL.
const (
	maxKnown   = 20000
	maxAsking  = 64
	minAnswer  = 5 * time.Second
	maxAnswer  = 15 * time.Minute
	maxDenial  = 5 * time.Minute  // DNS says that there is nowhere to go
	maxTrouble = 15 * time.Second // DNS cannot say now
)

// directory remembers destinations and asks for those it does not know, a few domains at a time. What waits for an answer waits with its domain.
type directory struct {
	mu      sync.Mutex
	data    *provider.Knowledge           // that the destinations were made with
	known   map[mail.Domain]*list.Element // of destination
	recent  *list.List                    // the one used last in front
	asking  map[mail.Domain][]*job        // who waits for an answer
	queue   []mail.Domain                 // of asking, whom nobody asks about yet
	askers  int
	unknown *provider.Provider // what receivers nobody knows take
}

func (w *directory) init() {
	w.known, w.recent, w.asking = map[mail.Domain]*list.Element{}, list.New(), map[mail.Domain][]*job{}
}

// forget makes the directory ask anew.
func (w *directory) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.known)
	w.recent.Init()
}

// freshLocked makes the directory forget what it made with knowledge that has been replaced.
func (w *directory) freshLocked(k *provider.Knowledge, perLane int) {
	if w.data == k {
		return
	}
	w.data = k
	clear(w.known)
	w.recent.Init()
	p := *k.Default()
	p.Limits.Connections = perLane
	w.unknown = &p
}

// get returns a destination that may still be used; nil when there is none.
func (w *directory) getLocked(domain mail.Domain, now time.Time) *destination {
	e := w.known[domain]
	if e == nil {
		return nil
	}
	dst := e.Value.(*destination)
	if !now.Before(dst.until) {
		return nil
	}
	w.recent.MoveToFront(e)
	return dst
}

func (w *directory) putLocked(dst *destination) {
	if e := w.known[dst.domain]; e != nil {
		e.Value = dst
		w.recent.MoveToFront(e)
		return
	}
	w.known[dst.domain] = w.recent.PushFront(dst)
	if w.recent.Len() > maxKnown {
		last := w.recent.Back()
		w.recent.Remove(last)
		delete(w.known, last.Value.(*destination).domain)
	}
}

// drop makes the directory ask anew about one domain.
func (w *directory) drop(domain mail.Domain) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.known[domain]; e != nil {
		w.recent.Remove(e)
		delete(w.known, domain)
	}
}

// whereTo places a job when its domain's destination is known, and has DNS asked otherwise. It never waits.
func (d *Delivery) whereTo(ctx context.Context, domain mail.Domain, j *job) {
	w := &d.where
	w.mu.Lock()
	w.freshLocked(d.o.Knowledge(), d.o.PerLane)
	if dst := w.getLocked(domain, d.o.Now()); dst != nil {
		w.mu.Unlock()
		d.place(dst, j)
		return
	}
	waiting, asked := w.asking[domain]
	w.asking[domain] = append(waiting, j)
	start := false
	if !asked {
		w.queue = append(w.queue, domain)
		if start = w.askers < maxAsking; start {
			w.askers++
		}
	}
	w.mu.Unlock()
	if start {
		d.workers.Add(1)
		go d.ask(ctx)
	}
}

// ask answers for domains until none is left.
func (d *Delivery) ask(ctx context.Context) {
	defer d.workers.Done()
	w := &d.where
	for {
		w.mu.Lock()
		if len(w.queue) == 0 || ctx.Err() != nil {
			w.askers--
			w.mu.Unlock()
			return
		}
		domain := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()

		dst := d.resolve(ctx, domain)

		w.mu.Lock()
		jobs := w.asking[domain]
		delete(w.asking, domain)
		if ctx.Err() == nil {
			w.putLocked(dst)
		}
		w.mu.Unlock()
		for _, j := range jobs {
			if ctx.Err() != nil {
				d.unclaim(j) // an answer that was broken off says nothing
				continue
			}
			d.place(dst, j)
		}
	}
}

// takeBack removes and returns what waits for an answer and is not being asked about.
func (w *directory) takeBack() []*job {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*job
	for _, domain := range w.queue {
		out = append(out, w.asking[domain]...)
		delete(w.asking, domain)
	}
	w.queue = nil
	return out
}

// resolve finds out where the mail of a domain goes.
func (d *Delivery) resolve(ctx context.Context, domain mail.Domain) *destination {
	var found found
	if domain == smarthostDomain {
		found = d.findSmarthost(ctx)
	} else {
		found = d.find(ctx, domain)
	}
	now := d.o.Now()
	dst := &destination{domain: domain, hosts: found.hosts, signed: found.signed, why: found.why}
	most, least := maxAnswer, minAnswer
	switch {
	case found.why == nil:
	case found.why.code >= 500:
		most = maxDenial
	default:
		most, found.ttl = maxTrouble, maxTrouble
	}
	dst.until = now.Add(max(min(found.ttl, most), least))

	names := make([]string, 0, len(found.names))
	for _, n := range found.names {
		names = append(names, strings.ToLower(strings.TrimSuffix(n, ".")))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	d.identify(dst, names)
	dst.alone = d.o.TLS != nil && dst.why == nil && domain != smarthostDomain && d.o.TLS.Alone(ctx, domain, dst.signed)
	return dst
}

// maxSite bounds the exchangers that a lane is named after in full.
const maxSite = 200

// sumOf spreads names evenly over the numbers.
func sumOf(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

// identify says who stands behind a destination.
func (d *Delivery) identify(dst *destination, names []string) {
	if dst.domain == smarthostDomain {
		dst.provider, dst.known, dst.site, dst.route = d.smarthostProvider(), smarthostSite, smarthostSite, smarthostSite
		return
	}
	k := d.o.Knowledge()
	dst.route = strings.Join(names, ",")
	dst.provider = k.Behind(dst.domain, names)
	dst.known = dst.provider.Name
	dst.site = dst.provider.Name
	if dst.provider != k.Default() {
		return
	}
	switch {
	case len(names) == 0:
		dst.site = "mx:" + string(dst.domain)
	case len(dst.route) <= maxSite:
		dst.site = "mx:" + dst.route
	default:
		dst.site = fmt.Sprintf("mx:%s+%d#%016x", names[0], len(names)-1, sumOf(dst.route))
	}
	d.where.mu.Lock()
	defer d.where.mu.Unlock()
	d.where.freshLocked(k, d.o.PerLane)
	dst.provider = d.where.unknown
}
