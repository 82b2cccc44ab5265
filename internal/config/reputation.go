package config

import (
	"net/netip"
	"time"

	"postern/internal/mail"
)

// Reputation says what of ours is watched on blocklists; see package reputation.
type Reputation struct {
	Enabled      bool           `key:"enabled"`
	Every        time.Duration  `key:"every"`
	DomainsEvery time.Duration  `key:"domains_every"`
	Ranges       []netip.Prefix `key:"ranges"`
	Domains      []mail.Domain  `key:"domains"`
	Window       time.Duration  `key:"window"`
	Keep         time.Duration  `key:"keep"`
}

func reputationKeys() []Key {
	return []Key{
		{Path: "reputation", Doc: "The watch of our addresses and domains on blocklists, and the dossiers of their listings; see reputation.md in the manual. Which lists are asked and how often they may be is set under blocklists."},
		{Path: "reputation.enabled", Default: "true", Restart: true, Doc: "Watch the addresses of delivery.pools, the domains of customers and of return addresses, and the names that the gateway gives. Addresses that are not public are not watched."},
		{Path: "reputation.every", Default: "1h", Unit: timeUnit, Min: "10m", Max: "24h", Restart: true, Doc: "Time between two looks at an address that mail leaves from."},
		{Path: "reputation.domains_every", Default: "6h", Unit: timeUnit, Min: "30m", Max: "48h", Restart: true, Doc: "Time between two looks at a domain."},
		{Path: "reputation.ranges", Default: "[]", Unit: "list of networks", Sample: "[198.51.0.0/16]", Restart: true, Doc: "Ranges of one's own network that are gone through once a day, evenly spread: each at most a /16 (IPv6 /112), 262,144 addresses in all. Listings in them open no dossier, and one alarm tells of all."},
		{Path: "reputation.domains", Default: "[]", Unit: "list of domains", Sample: "[example.org]", Restart: true, Doc: "Domains that are watched beside those that are known here."},
		{Path: "reputation.window", Default: "48h", Unit: timeUnit, Min: "1h", Max: "168h", Restart: true, Doc: "How far before a listing the journal is read for its dossier: who sent what."},
		{Path: "reputation.keep", Default: "400d", Unit: timeUnit, Min: "30d", Max: "3650d", Restart: true, Doc: "How long listings that ended, their events and closed dossiers are kept. What each day showed of an address is kept 100 days."},
	}
}

// maxRanged is how many addresses all ranges may have: reputation.MaxRanged.
const maxRanged = 4 << 16

// reputation looks whether the ranges can be gone through in a day.
func (v *validation) reputation() {
	total := 0
	for i, r := range v.Reputation.Ranges {
		host := r.Addr().BitLen() - r.Bits()
		switch {
		case host > 16:
			v.bad("reputation.ranges", "%s is too large: a range has at most 65,536 addresses (a /16, or IPv6 /112)", r)
			continue
		case r != r.Masked():
			v.bad("reputation.ranges", "%s is no network; expected %s", r, r.Masked())
		case !r.Addr().IsGlobalUnicast() || r.Addr().IsPrivate():
			v.bad("reputation.ranges", "%s is not public, so no blocklist knows it", r)
		}
		for _, other := range v.Reputation.Ranges[:i] {
			if other.Overlaps(r) {
				v.bad("reputation.ranges", "%s overlaps with %s", r, other)
			}
		}
		total += 1 << host
	}
	if total > maxRanged {
		v.bad("reputation.ranges", "%d addresses in all; at most %d can be gone through in a day", total, maxRanged)
	}
}
