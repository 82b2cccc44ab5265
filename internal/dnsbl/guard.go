package dnsbl

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/dns"
)

// RefusalPause is how long a Guard leaves a zone alone that refused our resolver (SpamAssassin's dns_block_rule waits as long).
const RefusalPause = 300 * time.Second

// Refusal is one zone that refuses our resolver, as the operator should be told: once for each Zone and Since.
type Refusal struct {
	Zone     string
	Operator string
	Code     netip.Addr // the answer that meant the refusal; invalid: the DNS response code REFUSED
	Text     string     // what the code means, and the zone's own text, which may name the refused resolver
	Resolver netip.Addr // the address that was refused, where the zone names it (URIBL, Spamhaus); mostly invalid
	Since    time.Time  // first refusal since the zone last gave a true answer
	Last     time.Time  // latest refusal
}

// said is the refusal in a few words.
func (r Refusal) said() string {
	if !r.Code.IsValid() {
		return r.Text
	}
	return r.Code.String() + " (" + r.Text + ")"
}

// Guard makes lookups and remembers refusals, so that a zone that refused is not asked again for RefusalPause. Safe for many goroutines.
type Guard struct {
	now   func() time.Time
	panel atomic.Pointer[Panel] // whose health, rest and budgets hold for lookups here; nil: none

	mu       sync.Mutex
	refusals map[string]Refusal
}

// NewGuard makes a Guard; now nil means time.Now.
func NewGuard(now func() time.Time) *Guard {
	if now == nil {
		now = time.Now
	}
	return &Guard{now: now, refusals: map[string]Refusal{}}
}

// CheckIP is CheckIP, but Unknown with Refused and ErrPaused while the zone is left alone.
func (g *Guard) CheckIP(ctx context.Context, r dns.Resolver, l *List, ip netip.Addr) Listing {
	out, name := prepareIP(l, ip)
	return g.check(ctx, r, out, name)
}

// CheckDomain is CheckDomain, but Unknown with Refused and ErrPaused while the zone is left alone.
func (g *Guard) CheckDomain(ctx context.Context, r dns.Resolver, l *List, domain string) Listing {
	out, name := prepareDomain(l, domain)
	return g.check(ctx, r, out, name)
}

func (g *Guard) check(ctx context.Context, r dns.Resolver, out Listing, name string) Listing {
	if name == "" {
		return out
	}
	if g.Paused(out.List.Zone) {
		out.State, out.Refused = Unknown, true
		out.Err = fmt.Errorf("%s: %w", out.List.Zone, ErrPaused)
		return out
	}
	if p := g.panel.Load(); p != nil {
		if z := p.find(out.List.Zone); z != nil {
			return p.through(ctx, r, z, out, name)
		}
	}
	ask(ctx, r, &out, name)
	g.note(out)
	return out
}

func (g *Guard) note(out Listing) {
	g.mu.Lock()
	defer g.mu.Unlock()
	zone := out.List.Zone
	if !out.Refused {
		if out.State == Listed || out.State == Clean {
			delete(g.refusals, zone)
		}
		return
	}
	now := g.now()
	ref, known := g.refusals[zone]
	if !known {
		ref.Since = now
	}
	ref.Zone, ref.Operator, ref.Last = zone, out.List.Operator, now
	ref.Code, ref.Text = netip.Addr{}, "response code REFUSED"
	if at := slices.IndexFunc(out.Codes, func(ip netip.Addr) bool { _, is := out.List.refusal(ip); return is }); at >= 0 {
		ref.Code = out.Codes[at]
	}
	if len(out.Matched) > 0 {
		ref.Text = out.Matched[0].Meaning.EN
	}
	if out.Reason != "" {
		ref.Text += ": " + out.Reason
	}
	if ip := refusedResolver(out.Reason); ip.IsValid() {
		ref.Resolver = ip
	}
	g.refusals[zone] = ref
}

// refusedResolver is the address of the resolver that a zone's text says it refuses: "[Your DNS IP: 192.0.2.53]" (URIBL) or
// ".../returnc/pub/192.0.2.53/" (Spamhaus).
func refusedResolver(text string) netip.Addr {
	lower := strings.ToLower(text)
	for _, mark := range []string{"dns ip:", "/returnc/pub/"} {
		_, after, found := strings.Cut(lower, mark)
		if !found {
			continue
		}
		after = strings.TrimSpace(after)
		if end := strings.IndexFunc(after, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef.:", r) }); end >= 0 {
			after = after[:end]
		}
		if ip, err := netip.ParseAddr(strings.TrimRight(after, ".:")); err == nil {
			return ip.Unmap()
		}
	}
	return netip.Addr{}
}

// refusal is what is known of the zone's refusals.
func (g *Guard) refusal(zone string) (Refusal, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ref, is := g.refusals[zone]
	return ref, is
}

// Paused reports whether zone refused less than RefusalPause ago.
func (g *Guard) Paused(zone string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ref, known := g.refusals[zone]
	return known && g.now().Before(ref.Last.Add(RefusalPause))
}

// Refusals are the zones that refuse our resolver now, sorted by zone. A zone leaves the list when it gives a true answer again.
func (g *Guard) Refusals() []Refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Refusal, 0, len(g.refusals))
	for _, ref := range g.refusals {
		out = append(out, ref)
	}
	slices.SortFunc(out, func(a, b Refusal) int { return strings.Compare(a.Zone, b.Zone) })
	return out
}

// OperatorRefusal is what one operator's refusals come to: one notice, however many of its zones refuse.
type OperatorRefusal struct {
	Operator string   // the zone, where no operator is known
	Zones    []string // sorted
	Code     netip.Addr
	Text     string     // of the latest refusal
	Resolver netip.Addr // the address that was refused, where a zone names it
	Since    time.Time  // the first
	Last     time.Time
	Out      Text // the way out
}

// ByOperator gathers refusals by the operator of their zones, sorted by operator.
func ByOperator(refusals []Refusal) []OperatorRefusal {
	by := map[string]*OperatorRefusal{}
	for _, r := range refusals {
		name := r.Operator
		if name == "" {
			name = r.Zone
		}
		o := by[name]
		if o == nil {
			o = &OperatorRefusal{Operator: name, Since: r.Since, Out: wayOut(r.Operator)}
			by[name] = o
		}
		o.Zones = append(o.Zones, r.Zone)
		if r.Resolver.IsValid() {
			o.Resolver = r.Resolver
		}
		if r.Since.Before(o.Since) {
			o.Since = r.Since
		}
		if !r.Last.Before(o.Last) {
			o.Last, o.Code, o.Text = r.Last, r.Code, r.Text
		}
	}
	var out []OperatorRefusal
	for _, name := range slices.Sorted(maps.Keys(by)) {
		slices.Sort(by[name].Zones)
		out = append(out, *by[name])
	}
	return out
}

// Refusals are the operators that refuse our resolver now, sorted by name. An operator leaves the list when its zones answer again.
func (p *Panel) Refusals() []OperatorRefusal { return ByOperator(p.o.Guard.Refusals()) }

// wayOut is what the operator of a gateway does about a refusal, beside having its own resolver.
func wayOut(operator string) Text {
	own := Text{
		EN: "Run a recursive resolver of your own, on this machine or next to it, name it in dns.servers, and let it ask the DNS itself instead of forwarding to a public resolver.",
		FR: "Installez votre propre résolveur récursif, sur cette machine ou à côté, indiquez-le dans dns.servers, et laissez-le interroger lui-même le DNS au lieu de transmettre à un résolveur public.",
	}
	more := map[string]Text{
		"Spamhaus": {"Or ask Spamhaus for a DQS key and set blocklists.keys.spamhaus: the zones with a key answer any resolver.",
			"Ou demandez une clé DQS à Spamhaus et renseignez blocklists.keys.spamhaus : les zones à clé répondent à tout résolveur."},
		"Validity": {"Validity answers registered resolvers only: register its address in your MyValidity account, then name validity in blocklists.registered.",
			"Validity ne répond qu'aux résolveurs enregistrés : enregistrez son adresse dans votre compte MyValidity, puis nommez validity dans blocklists.registered."},
		"Barracuda": {"Barracuda answers registered resolvers only: register its address at barracudacentral.org, then name barracuda in blocklists.registered.",
			"Barracuda ne répond qu'aux résolveurs enregistrés : enregistrez son adresse sur barracudacentral.org, puis nommez barracuda dans blocklists.registered."},
		"URIBL": {"If your own resolver is refused, its volume is too high: lower blocklists.budgets for multi.uribl.com, or ask URIBL for a data feed.",
			"Si c'est votre propre résolveur qui est refusé, son volume est trop élevé : baissez blocklists.budgets pour multi.uribl.com, ou demandez à URIBL un flux de données."},
		"SURBL": {"If your own resolver is refused, its volume is too high: lower blocklists.budgets for multi.surbl.org, or ask SURBL for a data feed.",
			"Si c'est votre propre résolveur qui est refusé, son volume est trop élevé : baissez blocklists.budgets pour multi.surbl.org, ou demandez à SURBL un flux de données."},
		"DNSWL": {"If your own resolver is refused, its volume is too high: lower blocklists.budgets for list.dnswl.org, or take a subscription at DNSWL.",
			"Si c'est votre propre résolveur qui est refusé, son volume est trop élevé : baissez blocklists.budgets pour list.dnswl.org, ou prenez un abonnement chez DNSWL."},
		"SPFBL": {"SPFBL allows one question in 100 ms: leave its budget as it is.", "SPFBL admet une question par 100 ms : laissez son budget tel quel."},
		"SpamRATS": {"SpamRATS wants resolvers to have a reverse name: give the resolver's address one.",
			"SpamRATS veut que le résolveur ait un nom inverse : donnez-en un à son adresse."},
	}[operator]
	if more.EN == "" {
		return own
	}
	return Text{own.EN + " " + more.EN, own.FR + " " + more.FR}
}
