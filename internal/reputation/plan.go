package reputation

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/store"
)

// targetPlan is what should be watched, and why.
type targetPlan struct {
	kind     Kind
	roles    string
	customer string
}

// The times of comparing what should be watched with what is.
const (
	syncEvery   = time.Minute
	seenEvery   = 12 * time.Hour // how stale Target.Seen may be
	unseenAfter = 48 * time.Hour // after which a target is not watched any more: other nodes have other addresses
	atOnce      = 500            // so many new domains are looked at at once; more are spread over the time between two looks
)

// wanted is everything that should be watched now, ranges apart.
func (w *Watch) wanted() map[string]targetPlan {
	type gathered struct {
		kind     Kind
		roles    []Role
		customer string
	}
	all := map[string]*gathered{}
	add := func(name string, kind Kind, role Role, customer string) {
		g := all[name]
		if g == nil {
			if len(all) >= MaxTargets {
				return
			}
			g = &gathered{kind: kind, customer: customer}
			all[name] = g
		}
		if !slices.Contains(g.roles, role) {
			g.roles = append(g.roles, role)
		}
		if g.customer == "" {
			g.customer = customer
		}
	}
	addName := func(name string, role Role, customer string) {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if dns.HostName(name) && strings.Contains(name, ".") {
			if _, err := netip.ParseAddr(name); err != nil {
				add(name, Domain, role, customer)
			}
		}
	}
	addName(w.o.Host, HostName, "")
	for _, d := range w.o.Domains {
		addName(string(d), Extra, "")
	}
	if w.o.Accounts != nil {
		for _, p := range w.o.Accounts.Pools() {
			for _, e := range p.Egress {
				if ip := e.IP.Unmap(); public(ip) {
					add(ip.String(), IP, Egress, "")
				}
				addName(e.HELO, HostName, "")
			}
		}
		for _, c := range w.o.Accounts.Customers() {
			for _, d := range c.Domains {
				addName(string(d), Sending, c.ID)
			}
			addName(string(c.ReturnDomain()), ReturnPath, c.ID)
		}
	}
	out := make(map[string]targetPlan, len(all))
	for name, g := range all {
		out[name] = targetPlan{g.kind, joinRoles(g.roles), g.customer}
	}
	return out
}

// public reports whether blocklists can know an address: nobody lists loopback and private networks.
func public(ip netip.Addr) bool {
	return ip.IsValid() && ip.IsGlobalUnicast() && !ip.IsPrivate()
}

// CheckRanges says what is wrong with ranges to go through: each must be a public network of its own, IPv4, or IPv6 of at most 65,536 addresses, and all together at
// most MaxRanged addresses.
func CheckRanges(ranges []netip.Prefix) error {
	total := 0
	for i, r := range ranges {
		size, ok := rangeSize(r)
		switch {
		case !ok:
			return fmt.Errorf("range %s: at most 65,536 addresses can be gone through", r)
		case r != r.Masked():
			return fmt.Errorf("range %s: not a network; meant is %s", r, r.Masked())
		case !public(r.Addr()):
			return fmt.Errorf("range %s: not public, so no blocklist knows it", r)
		case slices.ContainsFunc(ranges[:i], r.Overlaps):
			return fmt.Errorf("range %s: overlaps with another range", r)
		}
		if total += size; total > MaxRanged {
			return fmt.Errorf("range %s: more than %d addresses in all cannot be gone through in a day", r, MaxRanged)
		}
	}
	return nil
}

// rangeSize is the number of addresses.
func rangeSize(r netip.Prefix) (int, bool) {
	if !r.IsValid() {
		return 0, false
	}
	host := r.Addr().BitLen() - r.Bits()
	if host > 16 {
		return 0, false
	}
	return 1 << host, true
}

// sync compares what should be watched with what is, at most once a minute.
func (w *Watch) sync(ctx context.Context) error {
	_, err := w.compare(ctx, false)
	return err
}

// compare compares what should be watched with what is, where it is time or at once, and returns the names of what was not watched here before. Of the first
// comparison of a process it returns none: everything is looked at in its time.
func (w *Watch) compare(ctx context.Context, atOnce bool) (fresh []string, err error) {
	w.syncing.Lock()
	defer w.syncing.Unlock()
	now := w.o.Now()
	w.mu.Lock()
	first, due, former := w.synced.IsZero(), now.Sub(w.synced) >= syncEvery, w.targets
	hourly := first || now.Truncate(time.Hour).After(w.synced.Truncate(time.Hour))
	w.mu.Unlock()
	if !first && !due && !atOnce {
		return nil, nil
	}
	want := w.wanted()
	if err := w.join(ctx, now, want, former, hourly); err != nil {
		return nil, err
	}
	if hourly {
		if err := w.unwatch(ctx, now, want); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	w.synced, w.targets = now, want
	w.mu.Unlock()
	for name := range want {
		if _, known := former[name]; !known && !first {
			fresh = append(fresh, name)
		}
	}
	slices.Sort(fresh)
	return fresh, nil
}

// join writes down targets that are new or changed, and hourly that the others are still watched.
func (w *Watch) join(ctx context.Context, now time.Time, want, former map[string]targetPlan, hourly bool) error {
	var fresh []string
	for name, p := range want {
		if old, known := former[name]; !known || old != p || hourly {
			fresh = append(fresh, name)
		}
	}
	slices.Sort(fresh)
	domains := 0
	for _, name := range fresh {
		if want[name].kind == Domain {
			domains++
		}
	}
	for piece := range slices.Chunk(fresh, 200) {
		err := w.db.Write(ctx, func(tx *store.Tx) error {
			for _, name := range piece {
				p := want[name]
				next := now
				if p.kind == Domain && domains > atOnce {
					next = now.Add(spread(name, w.o.DomainsEvery))
				}
				n, err := tx.Exec(`UPDATE reputation_target SET kind = ?, roles = ?, customer = ?, seen = ?, next = CASE WHEN next > 0 THEN next ELSE ? END
 WHERE target = ? AND (roles <> ? OR customer <> ? OR seen < ? OR next = 0)`,
					string(p.kind), p.roles, p.customer, now, next, name, p.roles, p.customer, now.Add(-seenEvery))
				if err != nil {
					return err
				}
				if n > 0 { // listings of an address of a range are ours now
					if _, err := tx.Exec(`UPDATE reputation_listing SET own = 1, customer = ? WHERE target = ? AND until = 0`, p.customer, name); err != nil {
						return err
					}
					continue
				}
				if _, err := tx.Exec(`INSERT INTO reputation_target (`+targetColumns+`) VALUES (?, ?, ?, ?, ?, ?, 0, ?, 0, 0, 0) ON CONFLICT (target) DO NOTHING`,
					name, string(p.kind), p.roles, p.customer, now, now, next); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("reputation: what is watched: %w", err)
		}
	}
	return nil
}

// spread is a time below most that is always the same for a name.
func spread(name string, most time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return time.Duration(float64(most) * float64(h.Sum32()) / (1 << 32))
}

// unwatch ends the watch of what no node has had among its own for two days.
func (w *Watch) unwatch(ctx context.Context, now time.Time, want map[string]targetPlan) error {
	var gone []string
	err := w.db.Read(ctx, func(tx *store.Tx) error {
		gone = nil
		rows := tx.Query(`SELECT target FROM reputation_target WHERE next > 0 AND seen < ? AND roles <> ? LIMIT 1000`, now.Add(-unseenAfter), string(Ranged))
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			if _, wanted := want[name]; !wanted {
				gone = append(gone, name)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("reputation: what is not watched any more: %w", err)
	}
	for _, name := range gone {
		var after aftermath
		err := w.db.Write(ctx, func(tx *store.Tx) error {
			after = aftermath{}
			open, err := queryListings(tx, `target = ? AND until = 0 ORDER BY id`, name)
			if err != nil {
				return err
			}
			for _, l := range open {
				l.Until = now
				if err := updateListing(tx, l); err != nil {
					return err
				}
				if err := insertEvent(tx, eventOf(Unwatched, now, l)); err != nil {
					return err
				}
				after.touch(l)
			}
			if err := closeUnwatched(tx, now, name, &after); err != nil {
				return err
			}
			_, err = tx.Exec(`UPDATE reputation_target SET next = 0, weight = 0, lists = 0 WHERE target = ?`, name)
			return err
		})
		if err != nil {
			return fmt.Errorf("reputation: end the watch of %s: %w", name, err)
		}
		w.tell(ctx, after)
	}
	return nil
}

// eventOf is a change of a listing.
func eventOf(kind EventKind, now time.Time, l Listing) Event {
	return Event{ID: newID(now), At: now, Target: l.Target, Kind: kind, Zone: l.Zone, List: l.List, Operator: l.Operator, Weight: l.Weight, Names: l.Names, Text: l.Reason, Dossier: l.Dossier}
}

// Watches reports whether an address or a domain is watched here as ours. Until the first look it is not.
func (w *Watch) Watches(name string) bool { return w.isOwn(name) }

// isOwn reports whether a name is watched as ours here.
func (w *Watch) isOwn(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, own := w.targets[name]
	return own
}

// domainOf is the domain of an address or of a header field, lower case; "" none.
func domainOf(address string) string {
	if i := strings.LastIndexByte(address, '<'); i >= 0 {
		address = strings.TrimSuffix(address[i+1:], ">")
	}
	a, err := mail.ParseAddress(strings.TrimSpace(address))
	if err != nil {
		return ""
	}
	return strings.ToLower(string(a.Domain))
}

// byWeight orders listings: the worst first, then the oldest.
func byWeight(a, b Listing) int {
	return cmp.Or(cmp.Compare(b.Weight, a.Weight), a.Since.Compare(b.Since), cmp.Compare(a.Zone, b.Zone))
}
