package config

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"postern/internal/dnsbl"
)

// Blocklists says how blocklists are asked: by the check-up, by the watch of our addresses and, within the same budgets, by the filter.
type Blocklists struct {
	Keys       BlocklistKeys              `key:"keys"`
	Registered []string                   `key:"registered"` // operators in lower case, see RegisteredWith
	Zones      map[string]bool            `key:"zones"`      // zone or name of a list in the built-in directory -> asked or not
	Budgets    map[string]BlocklistBudget `key:"budgets"`    // by zone
	Parallel   int                        `key:"parallel"`
	Timeout    time.Duration              `key:"timeout"`
}

// BlocklistKeys are personal keys; "" = none.
type BlocklistKeys struct {
	Spamhaus Secret `key:"spamhaus_file"`
	Abusix   Secret `key:"abusix_file"`
}

// BlocklistBudget bounds the questions at one zone. 0 = no bound, negative = that of the zone's terms.
type BlocklistBudget struct {
	PerDay    int     `key:"per_day"`
	PerSecond float64 `key:"per_second"`
}

func blocklistKeys() []Key {
	return []Key{
		{Path: "blocklists", Doc: "How blocklists are asked: by check-ups, by the watch of our addresses and, within the same budgets, by the filter. See blocklists.md in the manual."},
		{Path: "blocklists.keys", Doc: "Personal keys. The zones with a key take the place of the public ones and answer any name server. A key is shown nowhere."},
		{Path: "blocklists.keys.spamhaus_file", Unit: "file", Sample: "/etc/postern/spamhaus-dqs-key", Doc: "File with the key of Spamhaus' Data Query Service (DQS)."},
		{Path: "blocklists.keys.abusix_file", Unit: "file", Sample: "/etc/postern/abusix-key", Doc: "File with the key of Abusix Mail Intelligence."},
		{Path: "blocklists.registered", Default: "[]", Enum: []string{"barracuda", "validity", "invaluement"}, Sample: "[barracuda]", Doc: "Operators with whom the address of our name server is registered. Without it their zones are not asked, since they answer others nothing or wrongly."},
		{Path: "blocklists.zones", Default: "{}", Unit: "zone: true or false", Sample: "{dnsbl-3.uceprotect.net: false}", Doc: "Switches lists of the built-in directory on or off for check-ups and the watch; filter.dnsbl.zones does it for the filter."},
		{Path: "blocklists.zones.*", Doc: "Whether the list of that zone is asked."},
		{Path: "blocklists.budgets", Default: "{}", Unit: "zone: {per_day, per_second}", Doc: "Bounds on the questions at a zone, in place of those of its terms (docs/operator/blocklists.md). What a budget denies is unknown, never clean."},
		{Path: "blocklists.budgets.*", Unit: "budget", Doc: "The bounds of that zone."},
		{Path: "blocklists.budgets.*.per_day", Default: "-1", Unit: "questions", Min: "-1", Max: "1000000000", Doc: "Questions of a day (UTC). 0: no bound; -1: as the zone's terms say."},
		{Path: "blocklists.budgets.*.per_second", Default: "-1", Unit: "questions", Min: "-1", Max: "100000", Doc: "Questions of a second, evenly spread: 0.5 is one in two seconds. 0: no bound; -1: as the zone's terms say."},
		{Path: "blocklists.parallel", Default: "256", Unit: "questions", Min: "1", Max: "4096", Restart: true, Doc: "Questions under way at one time, over all zones."},
		{Path: "blocklists.timeout", Default: "5s", Unit: timeUnit, Min: "100ms", Max: "30s", Restart: true, Doc: "Wait for the answer to one question. A zone that gives none several times in a row is left alone for a while."},
	}
}

// Lists are the lists of the built-in directory with our keys and registrations, in its order.
func (c *Config) Lists() []dnsbl.List {
	all := dnsbl.Directory()
	keys := map[string]Secret{"Spamhaus": c.Blocklists.Keys.Spamhaus, "Abusix": c.Blocklists.Keys.Abusix}
	for i, l := range all {
		if key := keys[l.Operator]; key != "" && l.Access == dnsbl.Key {
			if with, err := l.WithKey(string(key)); err == nil { // else it was told when the configuration was read
				all[i] = with
			}
		}
		all[i].Registered = l.Access == dnsbl.Registration && slices.Contains(c.Blocklists.Registered, registeredAs(l.Operator))
	}
	return all
}

// registeredAs is an operator as blocklists.registered names it.
func registeredAs(operator string) string {
	return map[string]string{"Barracuda": "barracuda", "Validity": "validity", "invaluement": "invaluement"}[operator]
}

// BlocklistBudgets are the budgets that differ from those of the zones' terms.
func (c *Config) BlocklistBudgets() map[string]dnsbl.Budget {
	out := map[string]dnsbl.Budget{}
	for zone, b := range c.Blocklists.Budgets {
		l, _ := dnsbl.Find(zone) // the zero list for zones of our own
		terms := l.Budget
		if b.PerDay >= 0 {
			terms.PerDay = b.PerDay
		}
		if b.PerSecond >= 0 {
			terms.PerSecond = b.PerSecond
		}
		out[zone] = terms
	}
	return out
}

// blocklists refuses what could only do harm: dead zones, lists that do not exist, keys that cannot be keys.
func (v *validation) blocklists() {
	known := map[string]bool{}
	for _, l := range dnsbl.Directory() {
		known[l.Zone], known[l.Name] = true, true
	}
	own := map[string]bool{}
	for i, x := range v.Filter.DNSBL.Extra {
		if x.Zone != "" {
			v.alive(fmt.Sprintf("filter.dnsbl.extra[%d].zone", i), string(x.Zone), "remove it")
		}
		own[string(x.Zone)] = true
		if known[string(x.Zone)] {
			v.bad(fmt.Sprintf("filter.dnsbl.extra[%d].zone", i), "%s is in the built-in directory; switch it on with filter.dnsbl.zones, which knows what its answers mean", x.Zone)
		}
	}
	for path, zones := range map[string]map[string]bool{"filter.dnsbl.zones": v.Filter.DNSBL.Zones, "blocklists.zones": v.Blocklists.Zones} {
		for _, zone := range slices.Sorted(maps.Keys(zones)) {
			if zones[zone] && !v.alive(path+"."+zone, zone, "remove it or set it to false") {
				continue
			}
			if _, dead := dnsbl.Dead(zone); !known[zone] && !dead {
				v.bad(path+"."+zone, "the built-in directory has no such list; expected a zone or name of docs/operator/blocklists.md; a list of your own goes to filter.dnsbl.extra")
			}
		}
	}
	for _, zone := range slices.Sorted(maps.Keys(v.Blocklists.Budgets)) {
		l, ok := dnsbl.Find(zone)
		switch {
		case own[zone]:
		case !ok:
			v.bad("blocklists.budgets."+zone, "no list has this zone; expected a zone of docs/operator/blocklists.md or of filter.dnsbl.extra")
		default:
			v.within("blocklists.budgets."+zone, l.Budget, v.Blocklists.Budgets[zone])
		}
	}
	for path, key := range map[string]Secret{"blocklists.keys.spamhaus_file": v.Blocklists.Keys.Spamhaus, "blocklists.keys.abusix_file": v.Blocklists.Keys.Abusix} {
		if key == "" {
			continue
		}
		if _, err := (dnsbl.List{Zone: "<key>.example"}).WithKey(string(key)); err != nil && !v.told(path) {
			v.bad(path, "the file holds no key; expected one line of letters, digits and hyphens, at most 63")
		}
	}
}

// alive complains about a dead zone: what it is, why it is refused, and what to do.
func (v *validation) alive(path, zone, remedy string) bool {
	why, dead := dnsbl.Dead(zone)
	if dead {
		v.bad(path, "%s must not be asked: %s; %s", zone, why, remedy)
	}
	return !dead
}

// within doubts a budget above what the operator's terms allow.
func (v *validation) within(path string, terms dnsbl.Budget, b BlocklistBudget) {
	if terms.PerDay > 0 && (b.PerDay == 0 || b.PerDay > terms.PerDay) {
		v.doubt(path+".per_day", "more than the %d a day that the zone's terms, or courtesy, allow: the operator may refuse this name server", terms.PerDay)
	}
	if terms.PerSecond > 0 && (b.PerSecond == 0 || b.PerSecond > terms.PerSecond) {
		v.doubt(path+".per_second", "more than the %g a second that the zone's terms, or courtesy, allow: the operator may refuse this name server", terms.PerSecond)
	}
}

// PanelLists are the lists of check-ups and the watch: what is worth asking of the directory, as the configuration switches it, what the
// filter asks, and lists of our own.
func (c *Config) PanelLists() []dnsbl.List {
	all := c.Lists()
	want := map[string]bool{}
	for _, l := range dnsbl.InUse(all) {
		want[l.Zone] = true
	}
	for _, l := range c.FilterLists() {
		want[l.Zone] = true
	}
	out := c.extraLists()
	for _, l := range all {
		if on, named := switched(c.Blocklists.Zones, l); named {
			want[l.Zone] = on
		}
		if want[l.Zone] {
			out = append(out, l)
		}
	}
	return out
}

// FilterLists are the lists that the filter asks: the directory's defaults, those with our key in their place, as the configuration
// switches them, and lists of our own.
func (c *Config) FilterLists() []dnsbl.List {
	out := []dnsbl.List{}
	all := c.Lists()
	defaults, keyed := map[string]bool{}, map[string]bool{} // zones; of keyed: those that a list with our key replaces
	for _, l := range all {
		defaults[l.Zone] = l.Default
	}
	for _, l := range all {
		keyed[l.PartOf] = keyed[l.PartOf] || l.Access == dnsbl.Key && l.HasKey() && defaults[l.PartOf]
	}
	for _, l := range all {
		on, named := switched(c.Filter.DNSBL.Zones, l)
		if !named {
			on = l.Default && !keyed[l.Zone] || l.HasKey() && defaults[l.PartOf] && !c.off(l.PartOf)
		}
		if on {
			out = append(out, l)
		}
	}
	return append(out, c.extraLists()...)
}

// off reports whether the filter is told not to ask the public zone, and so not its twin with a key either.
func (c *Config) off(zone string) bool {
	l, ok := dnsbl.Find(zone)
	on, named := switched(c.Filter.DNSBL.Zones, l)
	return ok && named && !on
}

func switched(zones map[string]bool, l dnsbl.List) (on, named bool) {
	if on, named = zones[l.Zone]; !named {
		on, named = zones[l.Name]
	}
	return on, named
}

func (c *Config) extraLists() []dnsbl.List {
	var out []dnsbl.List
	for _, x := range c.Filter.DNSBL.Extra {
		kinds := dnsbl.IP4 | dnsbl.IP6
		if x.Kind == "domain" {
			kinds = dnsbl.Domain
		}
		out = append(out, dnsbl.List{Name: x.Name, Zone: string(x.Zone), Operator: x.Name, Kinds: kinds, Access: dnsbl.Free, Evidence: dnsbl.Documented, Weight: 3,
			Codes: []dnsbl.Code{{Pattern: "127.0.0.*", Name: "listed", Meaning: dnsbl.Text{EN: "listed", FR: "inscrit"}}}})
	}
	return out
}
