package reputation

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/dnsbl"
	"postern/internal/store"
)

// The pace of rounds.
const (
	roundEvery   = 24 * time.Hour
	roundLease   = 5 * time.Minute
	chunkMost    = 64 // addresses that are looked at together
	chunksADay   = 96 // a small range is looked at in pieces, too
	catchUp      = 4  // a round that is late goes so many times faster at most
	maxSilent    = 60 // zones of Round.Silent
	roundColumns = `network, size, started, position, listed, unknown, zones, last_start, last_end, last_listed, last_unknown, last_zones`
)

func scanRound(r scanner) (out Round, err error) {
	var network string
	var zones, last []byte
	if err := r.Scan(&network, &out.Size, &out.Started, &out.Position, &out.Listed, &out.Unknown, &zones, &out.Last.Started, &out.Last.Ended, &out.Last.Listed, &out.Last.Unknown, &last); err != nil {
		return out, err
	}
	if out.Range, err = netip.ParsePrefix(network); err != nil {
		return out, err
	}
	_ = json.Unmarshal(zones, &out.Silent) // written by us; without it the round has no such figures
	_ = json.Unmarshal(last, &out.Last.Silent)
	return out, nil
}

func findRound(tx *store.Tx, network netip.Prefix) (r Round, found bool, err error) {
	rows := tx.Query(`SELECT `+roundColumns+` FROM reputation_round WHERE network = ?`, network.String())
	for rows.Next() {
		if r, err = scanRound(rows); err != nil {
			return r, false, err
		}
		found = true
	}
	return r, found, rows.Err()
}

func (w *Watch) readRounds(ctx context.Context) (out []Round, err error) {
	err = w.db.Read(ctx, func(tx *store.Tx) error {
		out = nil
		for _, network := range w.o.Ranges {
			r, found, err := findRound(tx, network)
			if err != nil {
				return err
			}
			if !found {
				size, _ := rangeSize(network)
				r = Round{Range: network, Size: size}
			}
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reputation: rounds: %w", err)
	}
	return out, nil
}

// chunkOf is how many addresses of a range are looked at together.
func chunkOf(size int) int { return min(max(size/chunksADay, 1), chunkMost) }

// roundTurn does one piece of the round through a range if its time has come. next is when the next one has.
func (w *Watch) roundTurn(ctx context.Context, network netip.Prefix, last time.Time) (next time.Time, did bool, err error) {
	now := w.o.Now()
	if err := w.sync(ctx); err != nil { // what is ours must be known first: it is looked at by itself
		return now.Add(time.Minute), false, err
	}
	mine, err := w.lease(ctx, "round "+network.String(), roundLease)
	if err != nil {
		return now.Add(time.Minute), false, fmt.Errorf("reputation: range %s: %w", network, err)
	}
	if !mine {
		return now.Add(roundLease / 2), false, nil
	}
	r, err := w.beginRound(ctx, network, now)
	if err != nil {
		return now.Add(time.Minute), false, fmt.Errorf("reputation: range %s: %w", network, err)
	}
	if r.Position >= r.Size {
		return r.Started.Add(roundEvery), false, nil
	}
	count := min(chunkOf(r.Size), r.Size-r.Position, 256-r.Position%256)
	pace := roundEvery / time.Duration(r.Size)
	due := r.Started.Add(pace * time.Duration(r.Position))
	if earliest := last.Add(pace * time.Duration(count) / catchUp); due.Before(earliest) {
		due = earliest
	}
	if now.Before(due) {
		return due, false, nil
	}
	if err := w.lookAlong(ctx, r, count); err != nil {
		return now.Add(time.Minute), false, fmt.Errorf("reputation: range %s: %w", network, err)
	}
	return r.Started.Add(pace * time.Duration(r.Position+count)), true, nil
}

// beginRound returns the round that is under way, and begins one when the last began a day ago.
func (w *Watch) beginRound(ctx context.Context, network netip.Prefix, now time.Time) (r Round, err error) {
	err = w.db.Write(ctx, func(tx *store.Tx) error {
		var found bool
		if r, found, err = findRound(tx, network); err != nil {
			return err
		}
		switch {
		case !found:
			size, _ := rangeSize(network)
			r = Round{Range: network, Size: size, Started: now}
			_, err = tx.Exec(`INSERT INTO reputation_round (`+roundColumns+`) VALUES (?, ?, ?, 0, 0, 0, ?, 0, 0, 0, 0, ?)`, network.String(), size, now, []byte("{}"), []byte("{}"))
			return err
		case r.Position >= r.Size && now.Sub(r.Started) >= roundEvery:
			r.Started, r.Position, r.Listed, r.Unknown, r.Silent = now, 0, 0, 0, nil
			_, err = tx.Exec(`UPDATE reputation_round SET started = ?, position = 0, listed = 0, unknown = 0, zones = ? WHERE network = ?`, now, []byte("{}"), network.String())
			return err
		}
		return nil
	})
	return r, err
}

// seen is what a piece of a round found at one address.
type seen struct {
	mark    mark
	answers map[string]answer // listed and clean ones; the clean are dropped where nothing is open
}

// lookAlong looks at the next addresses of a round.
func (w *Watch) lookAlong(ctx context.Context, r Round, count int) error {
	names := make([]string, 0, count)
	targets := make([]dnsbl.Target, 0, count)
	found := make(map[string]*seen, count)
	for i := range count {
		ip := addressAt(r.Range, r.Position+i)
		name := ip.String()
		if w.isOwn(name) {
			continue // looked at by itself, and more often
		}
		names, targets = append(names, name), append(targets, dnsbl.Target{IP: ip})
		found[name] = &seen{answers: map[string]answer{}}
	}
	open, others, err := w.openAlong(ctx, names)
	if err != nil {
		return err
	}
	silent := map[string]int{}
	_ = w.o.Panel.Sweep(ctx, targets, func(l dnsbl.Listing) { // what was not asked is unknown, which the answers say one by one
		s := found[l.Target]
		if s == nil || l.List.Allow {
			return
		}
		a := w.judge(l, false)
		s.mark.add(a.state, l.List.Weight)
		switch {
		case a.state == dnsbl.Unknown:
			silent[l.List.Zone]++
		case a.state == dnsbl.Listed, a.state == dnsbl.Clean && open[l.Target][l.List.Zone]:
			s.answers[l.List.Zone] = a
		}
	})
	if ctx.Err() != nil {
		return fmt.Errorf("ask lists: %w", context.Cause(ctx))
	}
	var after aftermath
	err = w.db.Write(ctx, func(tx *store.Tx) error {
		after = aftermath{}
		return w.applyAlong(tx, w.o.Now(), r, count, found, others, silent, &after)
	})
	if err != nil {
		return fmt.Errorf("write down what lists say: %w", err)
	}
	w.counts.looks.Add(int64(len(names)))
	w.tell(ctx, after)
	return nil
}

// addressAt is an address of a range by its place.
func addressAt(network netip.Prefix, offset int) netip.Addr {
	b := network.Addr().AsSlice()
	for i := len(b) - 1; offset > 0 && i >= 0; i-- {
		offset += int(b[i])
		b[i] = byte(offset)
		offset >>= 8
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

// openAlong reads which zones have which of the addresses, as far as is known, and which addresses another node watches as its own.
func (w *Watch) openAlong(ctx context.Context, names []string) (open map[string]map[string]bool, others map[string]bool, err error) {
	if len(names) == 0 {
		return nil, nil, nil
	}
	err = w.db.Read(ctx, func(tx *store.Tx) error {
		open, others = map[string]map[string]bool{}, map[string]bool{}
		listings, err := queryListings(tx, `block = ? AND until = 0`, blockOf(names[0]))
		if err != nil {
			return err
		}
		for _, l := range listings {
			if open[l.Target] == nil {
				open[l.Target] = map[string]bool{}
			}
			open[l.Target][l.Zone] = true
		}
		args := make([]any, 0, len(names)+1)
		for _, n := range names {
			args = append(args, n)
		}
		rows := tx.Query(`SELECT target FROM reputation_target WHERE target IN (?`+strings.Repeat(", ?", len(names)-1)+`) AND roles <> ? AND next > 0`, append(args, string(Ranged))...)
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			others[name] = true
		}
		return rows.Err()
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read what is listed: %w", err)
	}
	return open, others, nil
}

// applyAlong writes down one piece of a round, unless another node has moved on.
func (w *Watch) applyAlong(tx *store.Tx, now time.Time, r Round, count int, found map[string]*seen, others map[string]bool, silent map[string]int, after *aftermath) error {
	marks := make(map[string]mark, len(found))
	names := make([]string, 0, len(found))
	for name, s := range found {
		if !others[name] {
			marks[name] = s.mark
			names = append(names, name)
		}
	}
	slices.Sort(names)
	listed, unknown := r.Listed, r.Unknown
	for _, name := range names {
		s := found[name]
		unknown += s.mark.unknown
		if s.mark.lists > 0 {
			listed++
		}
	}
	total := map[string]int{}
	for _, counts := range []map[string]int{r.Silent, silent} {
		for zone, n := range counts {
			if _, known := total[zone]; known || len(total) < maxSilent {
				total[zone] += n
			}
		}
	}
	zones, err := json.Marshal(total)
	if err != nil {
		return err
	}
	position := r.Position + count
	statement, args := `UPDATE reputation_round SET position = ?, listed = ?, unknown = ?, zones = ?`, []any{position, listed, unknown, zones}
	if position >= r.Size {
		statement += `, last_start = ?, last_end = ?, last_listed = ?, last_unknown = ?, last_zones = ?`
		args = append(args, r.Started, now, listed, unknown, zones)
	}
	n, err := tx.Exec(statement+` WHERE network = ? AND started = ? AND position = ?`, append(args, r.Range.String(), r.Started, r.Position)...)
	if err != nil || n == 0 {
		return err // another node has been here
	}
	if err := putMarks(tx, now, marks); err != nil {
		return err
	}
	for _, name := range names {
		if s := found[name]; len(s.answers) > 0 {
			if err := w.applyRanged(tx, now, name, s, after); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyRanged writes down the listings of an address of a range. Only such an address has a row as a target.
func (w *Watch) applyRanged(tx *store.Tx, now time.Time, name string, s *seen, after *aftermath) error {
	if _, err := tx.Exec(`INSERT INTO reputation_target (`+targetColumns+`) VALUES (?, ?, ?, '', ?, ?, 0, 0, 0, 0, 0) ON CONFLICT (target) DO UPDATE SET seen = excluded.seen, roles = excluded.roles`,
		name, string(IP), string(Ranged), now, now); err != nil {
		return err
	}
	c := claimed{name: name, kind: IP, roles: []Role{Ranged}}
	open, err := w.applyListings(tx, now, c, s.answers, after)
	if err != nil {
		return err
	}
	return w.finishTarget(tx, now, c, open, s.mark.unknown)
}

// runRounds goes through the ranges until ctx ends.
func (w *Watch) runRounds(ctx context.Context) {
	last := make(map[netip.Prefix]time.Time, len(w.o.Ranges))
	next := make(map[netip.Prefix]time.Time, len(w.o.Ranges))
	for len(w.o.Ranges) > 0 {
		for _, network := range w.o.Ranges {
			now := w.o.Now()
			if now.Before(next[network]) {
				continue
			}
			at, did, err := w.roundTurn(ctx, network, last[network])
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				w.counts.failed.Add(1)
				w.log.Warn("range not looked at; will be tried again", "range", network.String(), "error", err)
			}
			if next[network] = at; did {
				last[network] = now
			}
		}
		soonest := slices.MinFunc(w.o.Ranges, func(a, b netip.Prefix) int { return cmp.Or(next[a].Compare(next[b]), 0) })
		if !sleep(ctx, min(max(next[soonest].Sub(w.o.Now()), 50*time.Millisecond), time.Minute)) {
			return
		}
	}
}

// sleep waits; false when ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
