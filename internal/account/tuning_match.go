package account

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/mail"
)

// Tuned is what is in force for one customer at one moment: points of tests and lists. The zero value changes nothing. It shares memory with
// the ledger, never changes and is safe for concurrent use.
type Tuned struct{ own, all *tunedScope }

// tunedScope is one customer's part of a snapshot, or everybody's.
type tunedScope struct {
	points             map[string]float64
	allow, deny, sends *list // sends: the sender's own allow list

	once   sync.Once
	merged map[string]float64 // points over everybody's, made when somebody asks
}

// Tuned returns what is in force for a customer. It never waits and copies nothing.
func (l *Ledger) Tuned(customer string) Tuned {
	s := l.state.Load()
	return Tuned{own: s.tuning.scopes[customer], all: s.tuning.scopes[""]}
}

// Points are the points that somebody set for a test: the customer's, else everybody's. ok is false when its own points count.
func (t Tuned) Points(test string) (points float64, ok bool) {
	if points, ok = t.OwnPoints(test); ok || t.all == nil {
		return points, ok
	}
	points, ok = t.all.points[test]
	return points, ok
}

// OwnPoints are the points set for this customer alone.
func (t Tuned) OwnPoints(test string) (points float64, ok bool) {
	if t.own == nil {
		return 0, false
	}
	points, ok = t.own.points[test]
	return points, ok
}

// All are the points of all tests that somebody set, the customer's over everybody's; nil when there are none. The map is shared: only to be
// read.
func (t Tuned) All() map[string]float64 {
	switch {
	case t.own == nil && t.all == nil:
		return nil
	case t.own == nil || len(t.own.points) == 0:
		if t.all == nil {
			return nil
		}
		return t.all.points
	case t.all == nil || len(t.all.points) == 0:
		return t.own.points
	}
	t.own.once.Do(func() {
		t.own.merged = maps.Clone(t.all.points)
		maps.Copy(t.own.merged, t.own.points)
	})
	return t.own.merged
}

// Subject is what lists look at in a message.
type Subject struct {
	From       []mail.Address // all authors; one that could not be read is the null address
	To         []mail.Address // envelope recipients
	ToMore     int            // recipients that are not in To, because they are not known any more
	ClientIP   netip.Addr
	Credential string // "" = no login
}

// Match is what the lists say of a message. Only entries that have not ended count.
//
// An allow list speaks for a message when it covers all its From addresses, or all its recipients, or its client, or its login: a
// message to many is not let through because one of them is welcome. A deny list speaks against it as soon as one of them is on it.
type Match struct {
	Deny   []Entry // entries of operators that match, those of everybody first
	Allow  []Entry // entries of operators that together cover the message
	Own    []Entry // entries of the sender himself that together cover it
	Unsure bool    // recipients that are not known any more could change it
}

// Lists reports whether there is any list to ask.
func (t Tuned) Lists() bool {
	has := func(s *tunedScope) bool { return s != nil && (s.allow != nil || s.deny != nil || s.sends != nil) }
	return has(t.all) || has(t.own)
}

// Match looks the message up. It costs some map lookups, nothing when there is no list.
func (t Tuned) Match(s Subject, now time.Time) Match {
	var m Match
	var allow []*list
	for _, scope := range []*tunedScope{t.all, t.own} {
		if scope == nil {
			continue
		}
		if scope.deny != nil {
			m.Deny = append(m.Deny, scope.deny.any(s, now)...)
			m.Unsure = m.Unsure || s.ToMore > 0 && scope.deny.to
		}
		if scope.allow != nil {
			allow = append(allow, scope.allow)
			m.Unsure = m.Unsure || s.ToMore > 0 && scope.allow.to
		}
	}
	if len(allow) > 0 {
		m.Allow = cover(allow, s, now)
	}
	if t.own != nil && t.own.sends != nil {
		m.Own = cover([]*list{t.own.sends}, s, now)
		m.Unsure = m.Unsure || s.ToMore > 0 && t.own.sends.to
	}
	return m
}

// With returns the lists that would be in force for a customer after entries were removed and others added, for trying a change. Removed ones that
// are not there change nothing. It knows no points.
func (l *Ledger) With(customer string, removed, added []Entry) (Tuned, error) {
	s := l.state.Load()
	gone := map[[5]string]bool{}
	for _, e := range removed {
		e, err := e.check()
		if err != nil {
			return Tuned{}, err
		}
		gone[e.key()] = true
	}
	var entries []Entry
	keep := func(scope string) {
		from, _ := slices.BinarySearchFunc(s.tuning.entries, scope, func(e Entry, id string) int { return strings.Compare(e.Scope, id) })
		for _, e := range s.tuning.entries[from:] {
			if e.Scope != scope {
				break
			}
			if !gone[e.key()] {
				entries = append(entries, e)
			}
		}
	}
	keep("")
	if customer != "" {
		keep(customer)
	}
	for _, e := range added {
		e, err := e.check()
		if err != nil {
			return Tuned{}, err
		}
		if e.Scope == "" || e.Scope == customer {
			entries = append(entries, e)
		}
	}
	scopes := scopesOf(nil, entries)
	return Tuned{own: scopes[customer], all: scopes[""]}, nil
}

// list is one allow or deny list, indexed.
type list struct {
	exact              map[listKey]*Entry
	networks           map[netip.Prefix]*Entry
	lengths4, lengths6 []int // of networks, longest first
	from, to           bool  // it has entries about authors, about recipients
}

type listKey struct {
	what  What
	value string
}

func (l *list) add(e *Entry) {
	switch e.What {
	case WhatClient:
		p, err := parseClient(e.Value)
		if err != nil {
			return
		}
		if l.networks == nil {
			l.networks = map[netip.Prefix]*Entry{}
		}
		l.networks[p] = e
		lengths := &l.lengths6
		if p.Addr().Is4() {
			lengths = &l.lengths4
		}
		if !slices.Contains(*lengths, p.Bits()) {
			*lengths = append(*lengths, p.Bits())
			slices.SortFunc(*lengths, func(a, b int) int { return b - a })
		}
		return
	case WhatFrom, WhatFromDomain:
		l.from = true
	case WhatTo, WhatToDomain:
		l.to = true
	}
	if l.exact == nil {
		l.exact = map[listKey]*Entry{}
	}
	l.exact[listKey{e.What, e.Value}] = e
}

// find returns the entry of that part and value unless it has ended.
func (l *list) find(what What, value string, now time.Time) *Entry {
	if e := l.exact[listKey{what, value}]; e != nil && !e.Ended(now) {
		return e
	}
	return nil
}

// address returns the closest entry about an address: itself, its domain, a domain above.
func (l *list) address(exact, domain What, a mail.Address, now time.Time) *Entry {
	if a.IsNull() {
		return nil
	}
	if e := l.find(exact, foldAddress(a), now); e != nil {
		return e
	}
	if _, literal := a.Domain.Literal(); literal {
		return l.find(domain, string(a.Domain), now)
	}
	for d := range lineage(a.Domain) {
		if e := l.find(domain, string(d), now); e != nil {
			return e
		}
	}
	return nil
}

func (l *list) author(a mail.Address, now time.Time) *Entry {
	if !l.from {
		return nil
	}
	return l.address(WhatFrom, WhatFromDomain, a, now)
}

func (l *list) recipient(a mail.Address, now time.Time) *Entry {
	if !l.to {
		return nil
	}
	return l.address(WhatTo, WhatToDomain, a, now)
}

// sender returns the entries about client and login.
func (l *list) sender(s Subject, now time.Time) []Entry {
	var found []Entry
	if ip := s.ClientIP.Unmap().WithZone(""); ip.IsValid() && len(l.networks) > 0 {
		lengths := l.lengths6
		if ip.Is4() {
			lengths = l.lengths4
		}
		for _, bits := range lengths {
			if p, err := ip.Prefix(bits); err == nil {
				if e := l.networks[p]; e != nil && !e.Ended(now) {
					found = append(found, *e)
					break
				}
			}
		}
	}
	if s.Credential != "" {
		if e := l.find(WhatCredential, strings.ToLower(s.Credential), now); e != nil {
			found = append(found, *e)
		}
	}
	return found
}

// any returns the entries that match any part of the message, each once.
func (l *list) any(s Subject, now time.Time) []Entry {
	found := l.sender(s, now)
	add := func(e *Entry) {
		if e != nil && !slices.ContainsFunc(found, func(x Entry) bool { return x.key() == e.key() }) {
			found = append(found, *e)
		}
	}
	if l.from {
		for _, a := range s.From {
			add(l.author(a, now))
		}
	}
	if l.to {
		for _, a := range s.To {
			if len(found) == maxFound {
				break
			}
			add(l.recipient(a, now))
		}
	}
	return found
}

// maxFound bounds the entries named for one message.
const maxFound = 8

// cover returns the entries of the lists that speak for the whole message: each family (authors, recipients, client, login) for itself.
func cover(lists []*list, s Subject, now time.Time) []Entry {
	var found []Entry
	for _, l := range lists {
		found = append(found, l.sender(s, now)...)
	}
	found = append(found, covered(lists, s.From, (*list).author, now)...)
	if s.ToMore == 0 {
		found = append(found, covered(lists, s.To, (*list).recipient, now)...)
	}
	return found
}

// covered returns the entries that cover all addresses, none when one of them is on no list.
func covered(lists []*list, addresses []mail.Address, find func(*list, mail.Address, time.Time) *Entry, now time.Time) []Entry {
	var found []Entry
next:
	for _, a := range addresses {
		for _, l := range lists {
			if e := find(l, a, now); e != nil {
				if len(found) < maxFound && !slices.ContainsFunc(found, func(x Entry) bool { return x.key() == e.key() }) {
					found = append(found, *e)
				}
				continue next
			}
		}
		return nil
	}
	return found
}

// tuningState is the tuning part of a snapshot.
type tuningState struct {
	overrides []Override // sorted; what the configuration says hides the database's
	entries   []Entry
	scopes    map[string]*tunedScope
	source    string
}

func newTuningState(kept, file Tuning, source string) tuningState {
	s := tuningState{source: source, overrides: slices.Clone(file.Overrides), entries: slices.Clone(file.Entries)}
	type pair struct{ scope, test string }
	inFile := map[pair]bool{}
	for _, o := range file.Overrides {
		inFile[pair{o.Scope, o.Test}] = true
	}
	for _, o := range kept.Overrides {
		if !inFile[pair{o.Scope, o.Test}] {
			s.overrides = append(s.overrides, o)
		}
	}
	known := map[[5]string]bool{}
	for _, e := range file.Entries {
		known[e.key()] = true
	}
	for _, e := range kept.Entries {
		if !known[e.key()] {
			s.entries = append(s.entries, e)
		}
	}
	slices.SortFunc(s.overrides, func(a, b Override) int {
		return cmp.Or(strings.Compare(a.Scope, b.Scope), strings.Compare(a.Test, b.Test))
	})
	slices.SortFunc(s.entries, compareEntries)
	s.scopes = scopesOf(s.overrides, s.entries)
	return s
}

// scopesOf indexes points and entries by scope.
func scopesOf(overrides []Override, entries []Entry) map[string]*tunedScope {
	scopes := map[string]*tunedScope{}
	scope := func(id string) *tunedScope {
		if scopes[id] == nil {
			scopes[id] = &tunedScope{}
		}
		return scopes[id]
	}
	for _, o := range overrides {
		s := scope(o.Scope)
		if s.points == nil {
			s.points = map[string]float64{}
		}
		s.points[o.Test] = o.Points
	}
	for i := range entries {
		s, e := scope(entries[i].Scope), &entries[i]
		l := &s.allow
		switch {
		case e.Own:
			l = &s.sends
		case e.Kind == Deny:
			l = &s.deny
		}
		if *l == nil {
			*l = &list{}
		}
		(*l).add(e)
	}
	return scopes
}
