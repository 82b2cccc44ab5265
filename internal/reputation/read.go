package reputation

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/dnsbl"
	"postern/internal/store"
)

// conditions gathers the WHERE clause of a question.
type conditions struct {
	parts []string
	args  []any
}

func (c *conditions) add(part string, args ...any) {
	c.parts, c.args = append(c.parts, part), append(c.args, args...)
}

func (c *conditions) where() string {
	if len(c.parts) == 0 {
		return "1 = 1"
	}
	return strings.Join(c.parts, " AND ")
}

// page bounds the number of rows of an answer.
func page(limit, usual, most int) int {
	if limit <= 0 {
		return usual
	}
	return min(limit, most)
}

func checkCursor(cursor string) error {
	if len(cursor) > 300 || strings.ContainsAny(cursor, "\x00\r\n") {
		return fmt.Errorf("%w: cursor %.40q", ErrInvalid, cursor)
	}
	return nil
}

func (w *Watch) readTargets(ctx context.Context, q TargetQuery) (p TargetPage, err error) {
	if err := checkCursor(q.Cursor); err != nil {
		return p, err
	}
	limit := page(q.Limit, 100, 500)
	var c conditions
	if q.Customer != "" {
		c.add("customer = ?", q.Customer)
	}
	if q.Listed {
		c.add("lists > 0")
	}
	if q.Role != "" {
		c.add("' ' || roles || ' ' LIKE ?", "% "+string(q.Role)+" %")
	}
	if q.Text != "" {
		c.add("target LIKE ? ESCAPE '!'", "%"+strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(strings.ToLower(bound(q.Text, 300)))+"%")
	}
	if q.Cursor != "" {
		c.add("target > ?", q.Cursor)
	}
	err = w.db.Read(ctx, func(tx *store.Tx) (err error) {
		p.Targets, err = query(tx, scanTarget, `SELECT `+targetColumns+` FROM reputation_target WHERE `+c.where()+` ORDER BY target LIMIT ?`, append(slices.Clone(c.args), limit+1)...)
		return err
	})
	if err != nil {
		return p, fmt.Errorf("reputation: targets: %w", err)
	}
	if len(p.Targets) > limit {
		p.Targets = p.Targets[:limit]
		p.Next = p.Targets[limit-1].Name
	}
	return p, nil
}

func (w *Watch) readTarget(ctx context.Context, name string) (t Target, err error) {
	var notes map[string]zoneNote
	found := false
	err = w.db.Read(ctx, func(tx *store.Tx) (err error) {
		rows := tx.Query(`SELECT `+targetColumns+` FROM reputation_target WHERE target = ?`, name)
		for rows.Next() {
			found = true
			if t, err = scanTarget(rows); err != nil {
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		notes, err = readNotes(tx, name)
		return err
	})
	switch {
	case err != nil:
		return t, fmt.Errorf("reputation: target: %w", err)
	case !found:
		return t, fmt.Errorf("%w: target %.100q", ErrNotFound, name)
	}
	lists := w.lists()
	for zone, n := range notes {
		z := Zone{Zone: zone, List: zone, State: n.State, Since: moment(n.Since), Codes: n.Codes, Names: n.Names, Reason: n.Reason, Why: n.Why, Last: n.Last, Answered: moment(n.Answered), Clean: moment(n.Clean)}
		if l, known := lists[zone]; known {
			z.List, z.Operator, z.Weight = cmp.Or(l.Name, zone), operatorOf(&l), l.Weight
		}
		t.Zones = append(t.Zones, z)
	}
	rank := []dnsbl.State{dnsbl.Listed, dnsbl.Unknown, dnsbl.Disabled, dnsbl.Clean}
	slices.SortFunc(t.Zones, func(a, b Zone) int {
		return cmp.Or(cmp.Compare(slices.Index(rank, a.State), slices.Index(rank, b.State)), cmp.Compare(b.Weight, a.Weight), cmp.Compare(a.Zone, b.Zone))
	})
	return t, nil
}

func (w *Watch) readSummary(ctx context.Context) (s Summary, err error) {
	now := w.o.Now()
	err = w.db.Read(ctx, func(tx *store.Tx) error {
		s = Summary{Dossiers: map[State]int{}}
		rows := tx.Query(`SELECT kind, roles, count(*), sum(CASE WHEN lists > 0 THEN 1 ELSE 0 END), max(weight),
 sum(CASE WHEN next > 0 AND (checked = 0 OR kind = 'ip' AND checked < ? OR kind <> 'ip' AND checked < ?) THEN 1 ELSE 0 END) FROM reputation_target WHERE next > 0 OR roles = ? GROUP BY kind, roles`,
			now.Add(-2*w.o.Every), now.Add(-2*w.o.DomainsEvery), string(Ranged))
		for rows.Next() {
			var kind Kind
			var roles string
			var count, listed, weight, late int
			if err := rows.Scan((*string)(&kind), &roles, &count, &listed, &weight, &late); err != nil {
				return err
			}
			switch {
			case roles == string(Ranged):
				s.RangedListed += listed
				continue
			case kind == IP:
				s.Egress, s.EgressListed = s.Egress+count, s.EgressListed+listed
			default:
				s.Domains, s.DomainsListed = s.Domains+count, s.DomainsListed+listed
			}
			s.Worst, s.Unlooked = max(s.Worst, weight), s.Unlooked+late
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rows = tx.Query(`SELECT state, count(*) FROM reputation_dossier GROUP BY state`)
		for rows.Next() {
			var state State
			var n int
			if err := rows.Scan((*string)(&state), &n); err != nil {
				return err
			}
			s.Dossiers[state] = n
		}
		return rows.Err()
	})
	if err != nil {
		return s, fmt.Errorf("reputation: summary: %w", err)
	}
	for _, r := range w.o.Ranges {
		size, _ := rangeSize(r)
		s.Ranged += size
	}
	for _, z := range w.o.Panel.Zones() {
		if !z.List.Allow {
			s.Zones++
			if z.Usable {
				s.ZonesUsable++
			}
		}
	}
	return s, nil
}

func (w *Watch) readListings(ctx context.Context, q ListingQuery) (p ListingPage, err error) {
	if err := checkCursor(q.Cursor); err != nil {
		return p, err
	}
	limit := page(q.Limit, 100, 500)
	var c conditions
	if q.Open {
		c.add("until = 0")
	}
	if q.Within != "" {
		network, err := netip.ParsePrefix(q.Within)
		if err != nil || !q.Open {
			return p, fmt.Errorf("%w: network %.60q", ErrInvalid, q.Within)
		}
		first, last := rangeOfBlocks(network.Masked())
		if len(first) == 0 {
			return p, fmt.Errorf("%w: network %s is larger than a /16", ErrInvalid, network)
		}
		if last == "" {
			c.add("block = ?", first)
		} else {
			c.add("block LIKE ?", last)
		}
	}
	for _, x := range []struct{ column, value string }{{"target", q.Target}, {"customer", q.Customer}, {"dossier", q.Dossier}} {
		if x.value != "" {
			c.add(x.column+" = ?", x.value)
		}
	}
	if q.Own {
		c.add("own = 1")
	}
	if q.Weight > 0 {
		c.add("weight >= ?", q.Weight)
	}
	if q.Cursor != "" {
		c.add("id < ?", q.Cursor)
	}
	err = w.db.Read(ctx, func(tx *store.Tx) (err error) {
		p.Listings, err = queryListings(tx, c.where()+` ORDER BY id DESC LIMIT ?`, append(slices.Clone(c.args), limit+1)...)
		return err
	})
	if err != nil {
		return p, fmt.Errorf("reputation: listings: %w", err)
	}
	if len(p.Listings) > limit {
		p.Listings = p.Listings[:limit]
		p.Next = p.Listings[limit-1].ID
	}
	return p, nil
}

// rangeOfBlocks is the block of a network of at most 256 addresses, or a pattern of blocks for an IPv4 /16.
func rangeOfBlocks(network netip.Prefix) (block, pattern string) {
	switch host := network.Addr().BitLen() - network.Bits(); {
	case host <= 8:
		return blockPrefix(network.Addr()).String(), ""
	case network.Addr().Is4() && host == 16:
		b := network.Addr().As4()
		return "-", fmt.Sprintf("%d.%d.%%", b[0], b[1])
	}
	return "", ""
}

func (w *Watch) readEvents(ctx context.Context, target, cursor string, limit int) (p EventPage, err error) {
	if err := checkCursor(cursor); err != nil {
		return p, err
	}
	limit = page(limit, 100, 500)
	var c conditions
	if target != "" {
		c.add("target = ?", target)
	}
	if cursor != "" {
		c.add("id < ?", cursor)
	}
	err = w.db.Read(ctx, func(tx *store.Tx) (err error) {
		p.Events, err = queryEvents(tx, c.where()+` ORDER BY id DESC LIMIT ?`, append(slices.Clone(c.args), limit+1)...)
		return err
	})
	if err != nil {
		return p, fmt.Errorf("reputation: events: %w", err)
	}
	if len(p.Events) > limit {
		p.Events = p.Events[:limit]
		p.Next = p.Events[limit-1].ID
	}
	return p, nil
}

func (w *Watch) readTimeline(ctx context.Context, target string, before time.Time, limit int) (out []Moment, err error) {
	limit = page(limit, 100, 500)
	end := "g" // above all IDs, which are hexadecimal
	if !before.IsZero() {
		end = firstID(before)
	}
	err = w.db.Read(ctx, func(tx *store.Tx) error {
		out = nil
		events, err := queryEvents(tx, `target = ? AND id < ? ORDER BY id DESC LIMIT ?`, target, end, limit)
		if err != nil {
			return err
		}
		for i := range events {
			out = append(out, Moment{At: events[i].At, Event: &events[i]})
		}
		rows := tx.Query(`SELECT id FROM reputation_dossier WHERE target = ?`, target)
		var ids []string
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, id := range ids {
			acts, err := queryActs(tx, `dossier = ? AND id < ? ORDER BY id DESC LIMIT ?`, id, end, limit)
			if err != nil {
				return err
			}
			for i := range acts {
				out = append(out, Moment{At: acts[i].At, Act: &acts[i]})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reputation: timeline: %w", err)
	}
	slices.SortStableFunc(out, func(a, b Moment) int { return b.At.Compare(a.At) })
	return out[:min(len(out), limit)], nil
}

func (w *Watch) readActs(ctx context.Context, id, cursor string, limit int) (acts []Act, next string, err error) {
	if err := checkCursor(cursor); err != nil {
		return nil, "", err
	}
	limit = page(limit, 100, 500)
	end := cmp.Or(cursor, "g")
	err = w.db.Read(ctx, func(tx *store.Tx) (err error) {
		acts, err = queryActs(tx, `dossier = ? AND id < ? ORDER BY id DESC LIMIT ?`, id, end, limit+1)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("reputation: acts: %w", err)
	}
	if len(acts) > limit {
		acts = acts[:limit]
		next = acts[limit-1].ID
	}
	return acts, next, nil
}
