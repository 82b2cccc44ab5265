// Package dnsbl is the directory of DNS block and allow lists, as data, and one honest lookup in four states.
//
// The directory (Directory, Dead) holds what each operator documents: the zone, what may be asked, what every answer means, which answers
// are refusals, how much a listing weighs, where a person looks it up or asks for removal, and on which terms the zone may be used.
//
// A lookup (CheckIP, CheckDomain, or the same of a Guard) ends in one of four states. Listed: the zone gave an answer that it documents
// as a listing. Clean: the zone denies, or gave only answers that it documents as no listing. Unknown: nobody can tell, because the DNS
// failed, the zone refused our resolver (Refused) or gave an answer that it does not document. Disabled: not asked at all, because the
// zone is dead, needs a key or a registration that is missing, or does not take such a target. Unknown is never shown as clean and never
// as listed: zones answer refused resolvers with addresses that a careless reader takes for listings of the whole world, and so do dead
// zones whose domain was sold.
//
// # Who asks
//
// A Guard, owned by the caller, makes single lookups and remembers refusals: a zone that refused is left alone for RefusalPause. A Panel is
// the lists in use of a whole gateway: Check looks one target up everywhere, Sweep many, Run examines each zone's test points (RFC 5782) at
// start and daily. What a Panel knows holds for its Guard too, so that the filter, the check-ups and the watch share one memory of refusals,
// one judgement of health and one budget.
//
// # States of a zone in a panel
//
// Usable. Closed: no key, no registration. Unproven: known from hearsay (Evidence) and proved by no test point yet. Unhealthy: empty, or it
// lists the world; looked at again each hour. Refused: it refuses our resolver. Resting: it did not answer several times. Budget: the day's
// questions are used up. Those in the first four are Disabled, the others Unknown with the reason; each comes back by itself.
//
// # How it fails
//
// A zone that is slow or silent holds a few of the panel's questions for one timeout, then rests; the others go on. What was not asked is in
// the Shortfall of a Sweep. What a Panel has learnt and counted is in memory: after a restart the budgets of the day begin anew. Keys stand in
// no error, text or field that can be printed; package dns is told not to log the names that hold them.
//
// Nothing here asks for removal from a list: Delisting says how a person does it.
package dnsbl

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Kind is what may be asked at a list; a set of bits.
type Kind uint8

// The kinds of targets.
const (
	IP4     Kind = 1 << iota // IPv4 addresses, octets reversed (RFC 5782 2.1)
	IP6                      // IPv6 addresses, 32 nibbles reversed (RFC 5782 2.4)
	Domain                   // domain names
	HostIP4                  // lists of hosts in URLs that take an IPv4 address in place of the name, octets reversed
	Hash                     // hashes of addresses or URLs: known to the directory, not asked by this package
)

// Access is what the operator asks before a zone gives answers that mean anything.
type Access string

// The ways to be let in.
const (
	Free         Access = "free"         // within the limits of Terms
	Key          Access = "key"          // the zone's name holds a personal key; see List.WithKey
	Registration Access = "registration" // the resolver's address must be registered; see List.Registered
	Web          Access = "web"          // no zone at all: a provider's own list, seen in refusals and on a page; see List.Zone
)

// Evidence is how well the facts of a list are attested.
type Evidence string

// The levels of evidence.
const (
	Documented Evidence = "A" // the operator's own pages, or rule sets that are in use everywhere
	Attested   Evidence = "B" // several others say so
	Hearsay    Evidence = "C" // in public collections of zones only: asked once its test points have proved it, see Panel
)

// Text is one short text in the languages of the house.
type Text struct{ EN, FR string }

// Pattern is a set of IPv4 addresses: four octets, each a number, a range or any: "127.0.0.2", "127.0.0.4-7", "127.0.*.255".
type Pattern string

// Match reports whether a is in the set. A pattern that is not well-formed matches nothing.
func (p Pattern) Match(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	octets, rest := a.As4(), string(p)
	for i, o := range octets {
		part, after, more := strings.Cut(rest, ".")
		if more != (i < 3) {
			return false
		}
		rest = after
		if part == "*" {
			continue
		}
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, err := strconv.ParseUint(low, 10, 8)
		to, err2 := strconv.ParseUint(high, 10, 8)
		if err != nil || err2 != nil || uint64(o) < from || uint64(o) > to {
			return false
		}
	}
	return true
}

// Code is one documented answer.
type Code struct {
	Pattern Pattern // the answers meant
	// Bit, when not zero, is a bit of the last octet: an answer has this code when the bit is set, beside others. Pattern still holds.
	Bit        byte
	Name       string // short and stable, for programs: "SBL", "black", "phish"
	Meaning    Text
	Neutral    bool // documented, but not a listing: a reputation, an age, an allow code in a block list
	EgressOnly bool // a statement about addresses that send directly: true of our egress, never to be held against a customer's address
}

func (c Code) match(a netip.Addr) bool {
	return c.Pattern.Match(a) && (c.Bit == 0 || a.As4()[3]&c.Bit != 0)
}

// List is one zone with what its operator documents about it. A List is a value: a caller may change its copy.
type List struct {
	Name string // as people call it
	// Zone is where it is asked, no final dot, and stands for the list in settings, logs and metrics: a personal key stays "<key>" in it, see
	// WithKey. A list without a zone (Web) has the host name of its page here.
	Zone     string
	Operator string // who runs it; lists of one operator refuse and delist together
	Evidence Evidence
	Kinds    Kind
	What     Text // what it lists
	Codes    []Code
	// Refusals are answers that mean "your resolver gets no answer here". 127.255.255.0/24 means that at every zone and is not repeated.
	Refusals   []Code
	Weight     int    // 0..5: how much a listing hurts delivery; 0 is for display only
	LookupURL  string // where a person sees a listing
	DelistURL  string // where a person asks for removal; "" when there is no way or it is LookupURL
	Access     Access
	Registered bool   // set by the caller when Access is Registration and the resolver is registered
	Terms      Text   // limits and conditions of use
	Budget     Budget // what the terms come to; a zero field: no bound is known
	// RefusesRcode: the operator refuses resolvers with the DNS response code REFUSED, which elsewhere says nothing about a list.
	RefusesRcode bool
	// Traps: by its own account each listing rests on mail to spam traps. Of lists that traps feed beside other sources, a code says so (named "trap") or nothing does.
	Traps   bool
	Allow   bool   // an allow list: Listed is good
	Default bool   // asked by the filter without any key
	PartOf  string // zone that holds the same data: do not ask both
	// Skip: it says nothing about mail that leaves from us, or is for others; asked only where the settings name it.
	Skip bool
	// Registrable: a domain is asked as its registrable domain (public suffix list with private part), which is what such lists hold.
	Registrable bool
	// TestListed is the target of RFC 5782 5 that must be listed, as labels before the zone ("2.0.0.127"); "" when none is documented.
	TestListed string
	Delisting  Delisting

	key *string // the personal key; a pointer, so that no printing of a List shows it
}

// State is what a lookup found.
type State string

// The four states; see the package comment.
const (
	Listed   State = "listed"
	Clean    State = "clean"
	Unknown  State = "unknown"
	Disabled State = "disabled"
)

// Listing is the outcome of one lookup.
type Listing struct {
	List    *List
	Target  string // what was asked about, normalised: an address or a domain
	State   State
	Codes   []netip.Addr // the answers as they came, also undocumented ones
	Matched []Code       // the documented codes among them, neutral ones included
	Reason  string       // the operator's own text (TXT), one line of printable characters, at most 400 bytes; from outside: escape it
	Refused bool         // with Unknown: the zone refuses our resolver; says nothing about the target
	Err     error        // with Unknown and Disabled: why
}

// Against is the matched codes that count as listings: for an address of ours from which mail leaves (egress) and for domains all that are
// not neutral; for the address of a customer or other client also not those that are EgressOnly. Empty unless State is Listed.
func (l Listing) Against(egress bool) []Code {
	if l.State != Listed {
		return nil
	}
	var out []Code
	for _, c := range l.Matched {
		if !c.Neutral && (egress || !c.EgressOnly) {
			out = append(out, c)
		}
	}
	return out
}

// Why a lookup is Unknown or Disabled. Listing.Err wraps one of them, or an error of package dns.
var (
	ErrRefused      = errors.New("the zone refuses our resolver")
	ErrPaused       = errors.New("not asked again so soon after a refusal")
	ErrUndocumented = errors.New("answer that the zone does not document")
	ErrDead         = errors.New("the zone is dead")
	ErrKey          = errors.New("the zone needs a key")
	ErrRegistration = errors.New("the zone needs a registered resolver")
	ErrTarget       = errors.New("the zone does not take such a target")
	ErrWeb          = errors.New("the list has no zone: it is seen in refusals and on its page only")
)

// WithKey is l with a personal key, which is used in questions and shown nowhere: Zone keeps its "<key>". The key must be made of letters,
// digits and hyphens, as the operators hand them out.
func (l List) WithKey(key string) (List, error) {
	if !strings.Contains(l.Zone, "<key>") {
		return l, fmt.Errorf("%s: the zone takes no key", l.Zone)
	}
	key = strings.ToLower(key)
	if key == "" || len(key) > 63 || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return l, fmt.Errorf("%s: the key must be letters, digits and hyphens, at most 63", l.Zone)
	}
	l.key = &key
	return l, nil
}

// HasKey reports whether the list has its personal key.
func (l List) HasKey() bool { return l.key != nil }

// origin is the zone as it is asked, with the key.
func (l *List) origin() string {
	if l.key == nil {
		return l.Zone
	}
	return strings.Replace(l.Zone, "<key>", *l.key, 1)
}

// hide is text without the key, in whatever letter case it stands there.
func (l *List) hide(text string) string {
	if l.key == nil {
		return text
	}
	var out strings.Builder
	for n := len(*l.key); len(text) >= n; {
		if strings.EqualFold(text[:n], *l.key) {
			out.WriteString("<key>")
			text = text[n:]
			continue
		}
		out.WriteByte(text[0])
		text = text[1:]
	}
	return out.String() + text
}

// usable is nil when the zone may be asked at all.
func (l *List) usable() error {
	switch why, dead := Dead(l.Zone); {
	case dead:
		return fmt.Errorf("%s: %w: %s", l.Zone, ErrDead, why)
	case l.Access == Web:
		return fmt.Errorf("%s: %w", l.Zone, ErrWeb)
	case l.Kinds&^Hash == 0:
		return fmt.Errorf("%s: %w: it takes hashes", l.Zone, ErrTarget)
	case strings.Contains(l.Zone, "<") && l.key == nil:
		return fmt.Errorf("%s: %w", l.Zone, ErrKey)
	case l.Access == Registration && !l.Registered:
		return fmt.Errorf("%s: %w", l.Zone, ErrRegistration)
	}
	return nil
}
