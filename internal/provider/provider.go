// Package provider is what is known about receivers, as data: who stands behind a mail exchanger, what pace and manners it wants, when to try
// again, and what its answers mean. The data is YAML: ours, embedded in the binary (knowledge/*.yaml), then the operator's own files.
//
// What it does: [Load] reads and checks the data, [Knowledge.Behind] finds the provider of a domain by its exchangers, [Knowledge.Classify]
// says what an answer means, [Read] takes apart an answer that somebody pasted. What it does not: it keeps no state, asks no network, knows no time
// and reacts to nothing; shaping reacts.
//
// The files: one per provider; any.yaml, rules that hold for every receiver; advice.yaml, texts that rules share, and what can be said about a category
// where no rule knows better; groups.yaml, providers that share a filter. docs/operator/receivers.md describes their keys.
//
// The order in which an answer is compared: the operator's rules for the provider, ours for it, the operator's for everybody, ours for everybody, then
// the enhanced status, then the code, then the step of the conversation. The first that fits counts. Texts are compared as folded words (see fold), so
// that wrapping, case, accents, encodings and a reply's repeated code do not matter; words announce the rules that may fit, so that the number of rules
// hardly does. What we say ourselves where no server answered is told by its codes alone.
//
// Who calls it: delivery and shaping (limits, schedule, what to do), feedback (whose fault), cli and api (explanations).
//
// How it fails: Load refuses data that cannot be understood, with file and line. Behind and Classify always answer: the default provider, and a
// meaning told by the enhanced code and the code alone.
package provider

import (
	"slices"
	"strings"
	"time"

	"postern/internal/tree"
)

// Knowledge is everything known about receivers. It does not change; a new one replaces it when the operator's files change. Its methods may be
// called from many goroutines.
type Knowledge struct {
	providers []*Provider // the default last
	fallback  *Provider
	byName    map[string]*Provider
	groups    map[string]string            // titles
	texts     map[string]map[string]string // advice by name: categories and what rules share
	who       *directory
	chains    map[string]*chain // by provider's name
	everybody *chain
	any       []*Rule
}

// Provider is a receiver, or many that behave alike: domains that share exchangers and rules.
type Provider struct {
	Name   string // stable: "orange"
	Title  string // for people: "Orange"
	Group  string // providers that share a filter: trouble at one is a warning for all; "" alone
	Limits Limits
	Retry  Retry
	// Floor is the messages a day and address below which the provider forgets the address and treats it as unknown again; 0: it does not.
	Floor    int
	Governor Governor
	Who      Who
	About    map[string]string // by language: what is known in a sentence or two
	Careful  []string          // values that are published nowhere and are our own careful choice: "limits.connections", "retry"
	Sources  []Source
	Rules    []*Rule // in their order
}

// Source is where something is known from.
type Source struct {
	What    string // whose page or which collection, and how good it is
	Address string // "" none
	Read    string // date, 2006-01-02
}

// Rule says what some answers mean. Its fields are not to be changed.
type Rule struct {
	ID       string // "free/spams-from-ip"; of what holds for everybody "any/…"
	Codes    []string
	Enhanced []string
	Phases   []string
	Texts    []string // one of them must be there
	Not      []string // none of them
	Meaning  Meaning
	Doubt    string   // why one should not rely on it; "" nothing known against it
	Tests    []string // answers that must reach it
	Operator bool     // from the operator's files
	File     string
	Line     int

	text, not []*pattern
	statuses  []status
	permanent bool // the rule itself says whether the recipient is lost
	at        tree.Place
}

// Question is the answer that a line of Tests stands for.
func (r *Rule) Question(provider, line string) Answer {
	a := Read(line)
	a.Provider = provider
	if len(r.Phases) > 0 && a.Phase == "" {
		a.Phase = r.Phases[0]
	}
	return a
}

// Code is a code of the answers that the rule is about, 400 or 500 when all begin alike, 0 when they may begin either way.
func (r *Rule) Code() int {
	class := byte(0)
	for _, c := range r.Codes {
		if class != 0 && class != c[0] {
			return 0
		}
		class = c[0]
	}
	for _, s := range r.statuses {
		if len(r.Codes) > 0 {
			break
		}
		if s.class < 0 || class != 0 && class != byte('0'+s.class) {
			return 0
		}
		class = byte('0' + s.class)
	}
	if class == 0 {
		return 0
	}
	return int(class-'0') * 100
}

// Limits is what a provider takes from one egress address. 0 in a field means no limit of its own.
type Limits struct {
	Connections   int // at one time
	PerConnection int // messages on one connection
	PerMessage    int // recipients in one transaction
	PerSecond     float64
	PerMinute     int // messages
	PerHour       int
	PerDay        int
	TLS           string // "required": it refuses mail without; "": as the domain's own policy says
}

// Retry is when a deferred message is tried again. Empty: the configured schedule.
type Retry struct {
	Every []time.Duration // after the first, second, … attempt; the last one repeats
	For   time.Duration   // how long; 0: until the message expires
}

// Governor stops sending before the provider does, when too many recipients turn out not to exist.
type Governor struct {
	Unknown float64       // share of unknown recipients above which the lane pauses, 0..1; 0: no governor
	Of      time.Duration // in the latest so long
	Least   int           // counted from so many answers on
	Pause   time.Duration
}

// Default returns the provider of those that nobody knows.
func (k *Knowledge) Default() *Provider { return k.fallback }

// Providers returns all, the default last.
func (k *Knowledge) Providers() []*Provider { return slices.Clone(k.providers) }

// Provider returns one by its name, nil when there is none.
func (k *Knowledge) Provider(name string) *Provider { return k.byName[name] }

// Any returns the rules that hold for every receiver, in their order.
func (k *Knowledge) Any() []*Rule { return slices.Clone(k.any) }

// Rule returns the rule of an ID, nil when there is none: the files may have changed since it was noted.
func (k *Knowledge) Rule(id string) *Rule {
	owner, _, _ := strings.Cut(id, "/")
	rules := k.any
	if p := k.byName[owner]; p != nil {
		rules = p.Rules
	}
	for _, r := range rules {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// Advice returns what can be said about a category when nothing else is known, by language; nil when nothing can.
func (k *Knowledge) Advice(c Category) map[string]string { return k.texts[string(c)] }

// GroupTitle returns the name of a group for people, "" when there is none of that name.
func (k *Knowledge) GroupTitle(group string) string { return k.groups[group] }
