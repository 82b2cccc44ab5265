package checkup

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/mail"
)

// Bounds of the look at neighbours.
const (
	neighboursDeadline = 10 * time.Second
	neighboursAtOnce   = 16 // questions under way: they all go to the same name servers
	neighboursSilent   = 12 // questions without an answer after which no more are asked
	neighboursEnough   = 8  // answers from which something can be said
	sampleSize         = 8  // neighbours looked up in the main lists
	sampleIPv6         = 24 // neighbours asked on each side of an IPv6 address, and from the beginning of its /64
)

// neighbour is one address of the same range.
type neighbour struct {
	ip      netip.Addr
	status  dns.Status
	name    string
	generic bool
}

// neighbourhood is what was found of a range.
type neighbourhood struct {
	prefix                 netip.Prefix
	asked, answered, named int
	generic, own           int
	strangers              map[string]int // registered domains of others, and how many of their names are not generic
	others                 []neighbour    // that have a name, the nearest first
	ownZone                string
	unanswered             string // why some gave no answer
	first                  []Question
}

// neighbours looks at the range that receivers take an address together with: its /24, or its /64, of which a part is asked.
func (c *Checker) neighbours(ctx context.Context, ip netip.Addr, n named, ask Ask) []Finding {
	ctx, cancel := context.WithTimeout(ctx, neighboursDeadline)
	defer cancel()
	h := c.askRange(ctx, ip, n)
	out := []Finding{h.finding(ip)}
	if ask.NoLists || c.o.Panel == nil {
		return out
	}
	if ip.Is6() {
		return append(out, Finding{Group: Range, Code: "range.whole", State: Fine, Optional: true, Subject: h.prefix.String(), Args: map[string]any{"Range": h.prefix.String()}})
	}
	return append(out, c.sample(ctx, ip, h))
}

// around are the neighbours of an address, the nearest first.
func around(ip netip.Addr) (netip.Prefix, []netip.Addr) {
	if ip.Is4() {
		prefix := netip.PrefixFrom(ip, 24).Masked()
		return prefix, spiral(ip, prefix, 255)
	}
	prefix := netip.PrefixFrom(ip, 64).Masked()
	out := spiral(ip, prefix, sampleIPv6)
	for a, i := prefix.Addr(), 0; i <= sampleIPv6; a, i = a.Next(), i+1 {
		if a != ip && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return prefix, out
}

// spiral are the addresses of a prefix up to most away.
func spiral(ip netip.Addr, prefix netip.Prefix, most int) []netip.Addr {
	var out []netip.Addr
	up, down := ip, ip
	for range most {
		if up = up.Next(); prefix.Contains(up) {
			out = append(out, up)
		}
		if down = down.Prev(); prefix.Contains(down) {
			out = append(out, down)
		}
	}
	return out
}

// askRange asks for the names of the neighbours.
func (c *Checker) askRange(ctx context.Context, ip netip.Addr, n named) *neighbourhood {
	h := &neighbourhood{strangers: map[string]int{}}
	prefix, all := around(ip)
	h.prefix = prefix
	if len(n.names) > 0 {
		h.ownZone = Registered(mail.Domain(n.names[0]))
	}
	found := make([]neighbour, len(all))
	var (
		mu     sync.Mutex
		silent int
		next   int
		work   sync.WaitGroup
	)
	for range neighboursAtOnce {
		work.Go(func() {
			for {
				mu.Lock()
				i := next
				if i == len(all) || silent >= neighboursSilent || ctx.Err() != nil {
					mu.Unlock()
					return
				}
				next++
				mu.Unlock()
				a := dns.PTR(ctx, c.o.Resolver, all[i])
				found[i] = neighbour{ip: all[i], status: a.Status}
				mu.Lock()
				h.asked++
				if a.Status == dns.TryLater {
					silent++
					h.unanswered = reason(a.Err)
				}
				mu.Unlock()
				if a.Status == dns.Found {
					found[i].name = a.Records[0].Host
					_, found[i].generic = GenericName(found[i].name, all[i])
				}
			}
		})
	}
	work.Wait()
	for _, x := range found {
		h.count(x)
	}
	return h
}

func (h *neighbourhood) count(x neighbour) {
	if !x.ip.IsValid() || x.status == dns.TryLater {
		return
	}
	h.answered++
	if x.status != dns.Found {
		return
	}
	h.named++
	h.others = append(h.others, x)
	if len(h.first) < maxEvidence/2 {
		h.first = append(h.first, Question{Name: dns.ReverseName(x.ip), Type: "PTR", Status: x.status.String(), Values: []string{clip(x.name, 255)}})
	}
	zone := Registered(mail.Domain(x.name))
	switch {
	case x.generic:
		h.generic++
	case zone == h.ownZone:
		h.own++
	default:
		h.strangers[zone]++
	}
}

// finding says what the names of a range tell about it.
func (h *neighbourhood) finding(ip netip.Addr) Finding {
	var zones []string
	for z := range h.strangers {
		zones = append(zones, z)
	}
	slices.SortFunc(zones, func(a, b string) int {
		if d := h.strangers[b] - h.strangers[a]; d != 0 {
			return d
		}
		if a < b {
			return -1
		}
		return 1
	})
	f := Finding{Group: Range, Subject: h.prefix.String(), State: Fine, Evidence: h.first, Args: map[string]any{"IP": ip.String(), "Range": h.prefix.String(),
		"Answered": h.answered, "Named": h.named, "Generic": h.generic, "Own": h.own, "Count": len(zones), "Names": orPhrase(clip(names(zones, 6), 300), "no-name"),
		"Zone": orPhrase(h.ownZone, "no-name")}}
	switch {
	case h.answered < neighboursEnough:
		f.Code, f.State, f.Optional = "range.unknown", Unknown, true
		f.Args["Why"] = h.unanswered
		if h.unanswered == "" {
			f.Args["Why"] = "no answer in time"
		}
	case h.generic >= neighboursEnough && 2*h.generic >= h.named:
		f.Code, f.State = "range.generic", Advice
	case h.named == 0:
		f.Code = "range.empty"
	case len(zones) > 0:
		f.Code, f.State, f.Optional = "range.strangers", Advice, true
	default:
		f.Code = "range.own"
	}
	return f
}

// sample looks a few neighbours up in the main lists: those of others first, for theirs is the risk.
func (c *Checker) sample(ctx context.Context, ip netip.Addr, h *neighbourhood) Finding {
	f := Finding{Group: Range, Subject: h.prefix.String(), Args: map[string]any{"IP": ip.String(), "Range": h.prefix.String()}}
	chosen := pick(h.others, h.ownZone)
	if len(chosen) == 0 {
		_, near := around(ip)
		chosen = near[:min(len(near), sampleSize)]
	}
	var targets []dnsbl.Target
	for _, a := range chosen {
		targets = append(targets, dnsbl.Target{IP: a})
	}
	listed, answered := map[string][]string{}, map[string]bool{}
	main := func(l dnsbl.List) bool {
		return !l.Allow && l.Weight >= mainWeight && l.PartOf == "" && l.Kinds&dnsbl.IP4 != 0
	}
	// A shortfall shows in what was answered.
	_ = c.o.Panel.Among(ctx, targets, main, func(l dnsbl.Listing) {
		if l.State == dnsbl.Listed || l.State == dnsbl.Clean {
			answered[l.Target] = true
		}
		if l.State == dnsbl.Listed && len(l.Against(false)) > 0 {
			listed[l.Target] = append(listed[l.Target], l.List.Name)
			if len(f.Evidence) < maxEvidence {
				f.Evidence = append(f.Evidence, listQuestion(l.Target, l))
			}
		}
	})
	var bad []string
	for _, a := range chosen {
		if lists := listed[a.String()]; len(lists) > 0 {
			bad = append(bad, a.String()+" ("+names(lists, 3)+")")
		}
	}
	f.Args["Sample"], f.Args["Listed"], f.Args["Neighbours"] = len(answered), len(bad), clip(names(bad, sampleSize), 400)
	switch {
	case len(bad) >= 3 || len(bad) > 0 && 2*len(bad) >= len(answered):
		f.Code, f.State = "range.bad", Problem
	case len(bad) > 0:
		f.Code, f.State = "range.listed", Advice
	case len(answered) == 0:
		f.Code, f.State, f.Optional = "range.lists-unknown", Unknown, true
	default:
		f.Code, f.State = "range.clean", Fine
	}
	return f
}

// pick chooses neighbours for the sample: names of others before those of the own organisation, each the nearest first.
func pick(all []neighbour, own string) []netip.Addr {
	var out []netip.Addr
	for _, strange := range []bool{true, false} {
		for _, x := range all {
			if len(out) < sampleSize && strange == (x.generic || Registered(mail.Domain(x.name)) != own) {
				out = append(out, x.ip)
			}
		}
	}
	return out
}
