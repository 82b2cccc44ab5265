package password

import (
	"encoding/hex"
	"net/netip"
	"time"
)

// What a gate has shut is worth sharing: with the nodes beside this one, and with the process after a restart. What is below the bound is not: it would be a write
// for each wrong password, and all that a guesser wins without it is the bound once more per node. A good login writes nothing, unless it ends a lock.

// Lock is a gate shut for a user or a client network.
type Lock struct {
	Name   string // digest of a user's name, in hex, or a network
	Count  int    // failures
	Last   time.Time
	Until  time.Time // shut until then
	Forget time.Time // nothing is left of it then
	// Known are networks that the user signed in from lately: they are let through all the same.
	Known []Known
	// Over: the lock ended before its time, because the user came in.
	Over bool
}

// Known is a network that a user signed in from.
type Known struct {
	Network netip.Prefix
	Until   time.Time
}

// mostKnown bounds the networks of one lock.
const mostKnown = 20

// changes are the names of what others do not know yet. Where nobody shares, they stay bounded, and are never asked for.
type changes struct {
	users    map[name]bool
	networks map[netip.Prefix]bool
}

func note[K comparable](changed map[K]bool, key K) {
	if len(changed) < maxRemembered {
		changed[key] = true
	}
}

func newChanges() changes { return changes{map[name]bool{}, map[netip.Prefix]bool{}} }

// Changes returns at most so many locks that began, grew or ended since they were last returned, and forgets that they did; Changed puts one back that could not
// be told.
func (g *Gate) Changes(most int, now time.Time) (out []Lock) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for who := range g.shared.users {
		if len(out) == most {
			return out
		}
		delete(g.shared.users, who)
		l := lock(hex.EncodeToString(who[:]), g.users[who])
		for pair, until := range g.known {
			if pair.user == who && now.Before(until) && len(l.Known) < mostKnown && !l.Over {
				l.Known = append(l.Known, Known{pair.from, until})
			}
		}
		out = append(out, l)
	}
	for from := range g.shared.networks {
		if len(out) == most {
			return out
		}
		delete(g.shared.networks, from)
		out = append(out, lock(from.String(), g.ips[from]))
	}
	return out
}

func lock(name string, f *failures) Lock {
	if f == nil || f.blocked.IsZero() {
		return Lock{Name: name, Over: true}
	}
	f.shared = true
	return Lock{Name: name, Count: f.count, Last: f.last, Until: f.blocked, Forget: f.forgotten()}
}

// Changed notes that a lock is to be told again.
func (g *Gate) Changed(l Lock) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if from, err := netip.ParsePrefix(l.Name); err == nil {
		note(g.shared.networks, from)
	} else if who, ok := parseName(l.Name); ok {
		note(g.shared.users, who)
	}
}

func parseName(text string) (n name, ok bool) {
	size, err := hex.Decode(n[:], []byte(text[:min(len(text), 2*len(n))]))
	return n, err == nil && size == len(n) && len(text) == 2*len(n)
}

// Learn takes in all the locks that there are. Of two accounts of one lock the graver holds; one that is gone there, and was there before, ends here too.
func (g *Gate) Learn(all []Lock, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	users, networks := map[name]bool{}, map[netip.Prefix]bool{}
	for _, l := range all {
		if now.After(l.Forget) {
			continue
		}
		if from, err := netip.ParsePrefix(l.Name); err == nil {
			networks[from] = true
			learn(g.ips, from, l, now)
			continue
		}
		who, ok := parseName(l.Name)
		if !ok || g.shared.users[who] && g.users[who] == nil { // it ended here, and the others do not know yet
			continue
		}
		users[who] = true
		learn(g.users, who, l, now)
		for _, k := range l.Known {
			pair := knownPair{who, k.Network}
			if k.Until.After(g.known[pair]) {
				makeRoom(g.known, func(until time.Time) time.Time { return until }, now.After)
				g.known[pair] = k.Until
			}
		}
	}
	end(g.users, users, g.shared.users)
	end(g.ips, networks, g.shared.networks)
}

// learn takes in one lock.
func learn[K comparable](table map[K]*failures, key K, l Lock, now time.Time) {
	f := table[key]
	if f == nil {
		makeRoom(table, func(f *failures) time.Time { return f.last }, func(f *failures) bool { return f.over(now) })
		f = &failures{}
		table[key] = f
	}
	f.shared = true
	if l.Until.After(f.blocked) {
		f.count, f.last, f.blocked = max(f.count, l.Count), l.Last, l.Until
	}
}

// end takes away what was shared and is no more.
func end[K comparable](table map[K]*failures, there, changed map[K]bool) {
	for key, f := range table {
		if f.shared && !there[key] && !changed[key] {
			delete(table, key)
		}
	}
}
