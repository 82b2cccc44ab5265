package reputation

import (
	"context"
	"time"

	"postern/internal/dnsbl"
)

// Kind is what a target is.
type Kind string

// The kinds of targets.
const (
	IP     Kind = "ip"
	Domain Kind = "domain"
)

// Role is why a target is watched. Text reputation.role.ROLE.
type Role string

// The roles.
const (
	Egress     Role = "egress"      // mail leaves from it
	Sending    Role = "sending"     // domain of a customer
	ReturnPath Role = "return-path" // domain of return addresses
	HostName   Role = "host"        // the gateway's name, or one that it gives in EHLO
	Extra      Role = "extra"       // named in the configuration
	Ranged     Role = "range"       // address of a range: it is or was listed
)

// Target is an address or a domain that is watched.
type Target struct {
	Name     string // the address or domain, normalised
	Kind     Kind
	Roles    []Role
	Customer string    // account.Customer.ID whose domain it is; "" the gateway's
	Since    time.Time // watched since
	Seen     time.Time // last time it belonged to what is watched
	Checked  time.Time // last look; zero: none yet
	Next     time.Time // next look; zero: with the next round of its range, or never
	Weight   int       // 0..5, the worst of its open listings
	Lists    int       // open listings that count (weight above 0)
	Unknown  int       // lists that gave no answer at the last look
	Zones    []Zone    // what each list says now, the worst first; only in the answer of Watch.Target. Empty for addresses of ranges
}

// Zone is what one list says of a target.
type Zone struct {
	Zone     string // name of the zone; a personal key in it is shown as "<key>"
	List     string // as people call it
	Operator string // who runs it
	Weight   int    // 0..5
	State    dnsbl.State
	Since    time.Time // of the state
	Codes    []string  // answers, as long as it is listed
	Names    []string  // names of the codes: "SBL"
	Reason   string    // the operator's own text, from outside: escape it
	Why      string    // with unknown and disabled: why, in English
	// Last is the last true answer, listed or clean; "" none yet. Where State is unknown or disabled it is what is known of before, not of now.
	Last     dnsbl.State
	Answered time.Time // when that was
	Clean    time.Time // the last clean answer; zero: none yet
}

// TargetQuery selects targets. Zero fields do not restrict.
type TargetQuery struct {
	Role     Role
	Customer string
	Listed   bool   // only those with open listings that count
	Text     string // part of the name
	Cursor   string // from the page before
	Limit    int    // 1..500, default 100
}

// TargetPage is one page of targets, by name.
type TargetPage struct {
	Targets []Target
	Next    string // Cursor of the following page; "" after the last
}

// Targets returns what is watched, one page at a time. Errors: ErrInvalid for a faulty cursor.
func (w *Watch) Targets(ctx context.Context, q TargetQuery) (TargetPage, error) {
	return w.readTargets(ctx, q)
}

// Target returns one target with what each list says. Errors: ErrNotFound.
func (w *Watch) Target(ctx context.Context, name string) (Target, error) {
	return w.readTarget(ctx, name)
}

// Summary is the state of everything in a few figures.
type Summary struct {
	Egress, EgressListed   int // addresses that mail leaves from; those with listings that count
	Domains, DomainsListed int
	Ranged, RangedListed   int // addresses of ranges; those with open listings
	Unlooked               int // egress addresses and domains that were not looked at within twice their time, or never
	Worst                  int // weight of the worst open listing of what is ours
	Dossiers               map[State]int
	Zones, ZonesUsable     int // lists of the panel, and those that are asked
}

// Summary returns it; cheap.
func (w *Watch) Summary(ctx context.Context) (Summary, error) { return w.readSummary(ctx) }
