// Package provider is what is known about receivers, as data: who stands behind a mail exchanger, what pace and manners it wants, when to try
// again, and what its answers mean. The data is YAML: ours, embedded in the binary (knowledge/*.yaml), then the operator's own files.
//
// What it does: [Load] reads and checks the data, [Knowledge.Behind] finds the provider of a domain by its exchangers, [Knowledge.Classify]
// says what an answer means. What it does not: it keeps no state, asks no network, knows no time and reacts to nothing; shaping reacts.
//
// Who calls it: delivery and shaping (limits, schedule, what to do), feedback (whose fault), cli and api (explanations).
//
// How it fails: Load refuses data that cannot be understood, with file and line. Behind and Classify always answer: the default provider, and a
// meaning told by the enhanced code and the code alone.
package provider

import (
	"time"

	"postern/internal/mail"
)

// Knowledge is everything known about receivers. It does not change; a new one replaces it when the operator's files change. Its methods may be
// called from many goroutines.
type Knowledge struct {
	providers []*Provider
	fallback  *Provider
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
func (k *Knowledge) Providers() []*Provider { return k.providers }

// Provider returns one by its name, nil when there is none.
func (k *Knowledge) Provider(name string) *Provider {
	for _, p := range k.providers {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Behind returns the provider of a domain, told by its exchangers (host names) and, where the data says so, by the domain itself. Never nil.
func (k *Knowledge) Behind(domain mail.Domain, exchangers []string) *Provider { return k.fallback }
