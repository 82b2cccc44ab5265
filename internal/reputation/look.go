package reputation

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"postern/internal/dnsbl"
	"postern/internal/store"
)

// The turns of looking at targets.
const (
	lookBatch = 64               // targets that are looked at together
	claimFor  = 10 * time.Minute // a target that was claimed by a node that died is free again after
)

// claimed is a target that this node looks at now.
type claimed struct {
	name     string
	kind     Kind
	roles    []Role
	customer string
	own      bool
}

// LookNow looks at a target at once, whatever its time. Errors: ErrNotFound, or ctx's.
func (w *Watch) LookNow(ctx context.Context, name string) error {
	t, err := w.readTarget(ctx, name)
	if err != nil {
		return err
	}
	return w.lookAt(ctx, []claimed{{t.Name, t.Kind, t.Roles, t.Customer, !slices.Equal(t.Roles, []Role{Ranged})}})
}

// lookDue looks at the targets whose time has come, one batch of them, or only at those of some names; more says that there are others.
func (w *Watch) lookDue(ctx context.Context, only ...string) (more bool, err error) {
	now := w.o.Now()
	var batch []claimed
	condition, args := `next > 0 AND next <= ?`, []any{now}
	if len(only) > 0 {
		condition += ` AND target IN (?` + strings.Repeat(", ?", len(only)-1) + `)`
		for _, name := range only {
			args = append(args, name)
		}
	}
	err = w.db.Write(ctx, func(tx *store.Tx) error {
		batch = nil
		due, err := query(tx, scanTarget, `SELECT `+targetColumns+` FROM reputation_target WHERE `+condition+` ORDER BY next LIMIT ? FOR UPDATE SKIP LOCKED`, append(slices.Clone(args), lookBatch)...)
		if err != nil {
			return err
		}
		for _, t := range due {
			if _, err := tx.Exec(`UPDATE reputation_target SET next = ? WHERE target = ?`, now.Add(claimFor), t.Name); err != nil {
				return err
			}
			batch = append(batch, claimed{t.Name, t.Kind, t.Roles, t.Customer, !slices.Equal(t.Roles, []Role{Ranged})})
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("reputation: claim what is due: %w", err)
	}
	if len(batch) == 0 {
		return false, nil
	}
	if err := w.lookAt(ctx, batch); err != nil {
		return false, err
	}
	return len(batch) == lookBatch, nil
}

// lookAt asks all lists about targets and writes down what they say.
func (w *Watch) lookAt(ctx context.Context, batch []claimed) error {
	answers, err := w.ask(ctx, batch)
	if err != nil {
		return err
	}
	for _, c := range batch {
		now := w.o.Now()
		var after aftermath
		err := w.db.Write(ctx, func(tx *store.Tx) (err error) {
			after, err = w.apply(tx, now, c, answers[c.name])
			return err
		})
		if err != nil {
			return fmt.Errorf("reputation: write down what lists say of %s: %w", c.name, err)
		}
		w.counts.looks.Add(1)
		w.tell(ctx, after)
	}
	return nil
}

// answer is what one list said of one target, as far as it matters here.
type answer struct {
	list   *dnsbl.List
	state  dnsbl.State
	codes  []string
	names  []string
	reason string
	why    string
}

// ask puts targets to all lists. It fails only when ctx ends: then nothing is known.
func (w *Watch) ask(ctx context.Context, batch []claimed) (map[string]map[string]answer, error) {
	out := make(map[string]map[string]answer, len(batch))
	targets := make([]dnsbl.Target, 0, len(batch))
	byRegistrable := map[string][]string{}
	for _, c := range batch {
		out[c.name] = map[string]answer{}
		if c.kind == IP {
			ip, _ := netip.ParseAddr(c.name)
			targets = append(targets, dnsbl.Target{IP: ip})
			continue
		}
		targets = append(targets, dnsbl.Target{Domain: c.name})
		if r, err := publicsuffix.EffectiveTLDPlusOne(c.name); err == nil && r != c.name && !w.isOwn(r) {
			byRegistrable[r] = append(byRegistrable[r], c.name)
		}
	}
	own := make(map[string]bool, len(batch))
	for _, c := range batch {
		own[c.name] = c.own
	}
	note := func(name string, l dnsbl.Listing) {
		if zones, asked := out[name]; asked {
			zones[l.List.Zone] = w.judge(l, own[name])
		}
	}
	err := w.o.Panel.Sweep(ctx, targets, func(l dnsbl.Listing) {
		if l.List.Allow {
			return
		}
		if l.List.Registrable {
			// Such lists hold registrable domains: what they say of ours is said of the domain itself where it is watched too.
			for _, name := range byRegistrable[l.Target] {
				note(name, l)
			}
		}
		note(l.Target, l)
	})
	if ctx.Err() != nil {
		return nil, fmt.Errorf("reputation: ask lists: %w", context.Cause(ctx))
	}
	_ = err // what was not asked is unknown, which the answers say one by one
	for _, z := range w.o.Panel.Zones() {
		if z.List.Allow {
			continue
		}
		for _, c := range batch {
			if _, told := out[c.name][z.List.Zone]; !told && takes(&z.List, c) && !w.shadowed(&z.List, c) {
				list := z.List
				why := "not asked"
				if z.Why != nil {
					why = z.Why.Error()
				}
				state := dnsbl.Disabled
				if z.Usable {
					state = dnsbl.Unknown
				}
				out[c.name][z.List.Zone] = answer{list: &list, state: state, why: bound(why, maxReason)}
			}
		}
	}
	return out, nil
}

// takes reports whether a list holds such targets.
func takes(l *dnsbl.List, c claimed) bool {
	switch {
	case c.kind == Domain:
		return l.Kinds&dnsbl.Domain != 0
	case strings.Contains(c.name, ":"):
		return l.Kinds&dnsbl.IP6 != 0
	}
	return l.Kinds&dnsbl.IP4 != 0
}

// shadowed reports whether a list's answer is one about another target, which is watched by itself.
func (w *Watch) shadowed(l *dnsbl.List, c claimed) bool {
	if c.kind != Domain || !l.Registrable {
		return false
	}
	r, err := publicsuffix.EffectiveTLDPlusOne(c.name)
	return err == nil && r != c.name && w.isOwn(r)
}

// judge is what a lookup means for a target. own: mail leaves from it, so that a list of addresses that should not send directly counts too.
func (w *Watch) judge(l dnsbl.Listing, own bool) answer {
	a := answer{list: l.List, state: l.State}
	switch l.State {
	case dnsbl.Listed:
		against := l.Against(own)
		if len(against) == 0 {
			a.state = dnsbl.Clean
			break
		}
		for _, ip := range l.Codes {
			a.codes = append(a.codes, ip.String())
		}
		for _, c := range against {
			if name := strings.ReplaceAll(c.Name, " ", "-"); !slices.Contains(a.names, name) {
				a.names = append(a.names, bound(name, 60))
			}
		}
		slices.Sort(a.codes)
		a.codes = slices.Compact(a.codes)
		a.codes = a.codes[:min(len(a.codes), 16)]
		a.reason = bound(l.Reason, maxReason)
	case dnsbl.Unknown, dnsbl.Disabled:
		if l.Err != nil {
			a.why = bound(l.Err.Error(), maxReason)
		}
	}
	if a.state == dnsbl.Listed || a.state == dnsbl.Clean {
		w.counts.answers.Add(1)
	} else {
		w.counts.unknown.Add(1)
	}
	return a
}

// operatorOf is who runs a list.
func operatorOf(l *dnsbl.List) string {
	return bound(cmp.Or(l.Operator, l.Name, l.Zone), maxWord)
}

// wideZones hold whole ranges because of some addresses in them: they say little of one address, and are never a reason for an alarm alone.
var wideZones = []string{"dnsbl-2.uceprotect.net", "dnsbl-3.uceprotect.net"}

func isWide(l *dnsbl.List) bool { return slices.Contains(wideZones, l.Zone) }

// aftermath is what must be told when a transaction is durable.
type aftermath struct {
	began, ended []Listing
	units        map[unit]bool // whose alarms may have changed
	moves        []moved
	gather       bool // a dossier waits
}

// unit is what there is one dossier and one alarm for.
type unit struct{ target, operator string }

func (a *aftermath) touch(l Listing) {
	if a.units == nil {
		a.units = map[unit]bool{}
	}
	if l.Own {
		a.units[unit{l.Target, l.Operator}] = true
	}
}

// apply writes down what all lists said of one target: its row, its listings, events, dossiers, and the mark of its day.
func (w *Watch) apply(tx *store.Tx, now time.Time, c claimed, answers map[string]answer) (after aftermath, err error) {
	before, err := readNotes(tx, c.name)
	if err != nil {
		return after, err
	}
	zones, unknown := takeNotes(before, answers, now)
	if c.own {
		if _, err := tx.Exec(`INSERT INTO reputation_zone (target, zones) VALUES (?, ?) ON CONFLICT (target) DO UPDATE SET zones = excluded.zones`, c.name, encodeNotes(zones)); err != nil {
			return after, err
		}
	}
	open, err := w.applyListings(tx, now, c, answers, &after)
	if err != nil {
		return after, err
	}
	m := markOf(answers)
	if err := putMarks(tx, now, map[string]mark{c.name: m}); err != nil {
		return after, err
	}
	return after, w.finishTarget(tx, now, c, open, unknown)
}

// finishTarget brings a target's row up to date.
func (w *Watch) finishTarget(tx *store.Tx, now time.Time, c claimed, open []Listing, unknown int) error {
	weight, lists, doubtful := 0, 0, false
	for _, l := range open {
		weight = max(weight, l.Weight)
		if l.Weight > 0 || !c.own {
			lists++
		}
		doubtful = doubtful || !l.Cleared.IsZero()
	}
	next := time.Time{}
	if c.own {
		next = now.Add(w.o.Every)
		if c.kind == Domain {
			next = now.Add(w.o.DomainsEvery)
		}
	}
	if doubtful && (next.IsZero() || next.After(now.Add(CleanAfter))) {
		next = now.Add(CleanAfter)
	}
	_, err := tx.Exec(`UPDATE reputation_target SET checked = ?, next = ?, weight = ?, lists = ?, unknown = ? WHERE target = ?`, now, next, weight, lists, unknown, c.name)
	return err
}

// takeNotes brings what is known of each list up to date.
func takeNotes(zones map[string]zoneNote, answers map[string]answer, now time.Time) (out map[string]zoneNote, unknown int) {
	out = make(map[string]zoneNote, len(answers))
	for zone, a := range answers {
		n := zones[zone]
		if n.State != a.state {
			n.State, n.Since = a.state, now.UnixMicro()
		}
		n.Zone, n.Codes, n.Names, n.Reason, n.Why = zone, a.codes, a.names, a.reason, a.why
		switch a.state {
		case dnsbl.Listed:
			n.Last, n.Answered = a.state, now.UnixMicro()
		case dnsbl.Clean:
			n.Last, n.Answered, n.Clean = a.state, now.UnixMicro(), now.UnixMicro()
		case dnsbl.Unknown:
			unknown++
		}
		out[zone] = n
	}
	for zone, n := range zones { // lists that are not in the panel any more: what they said last is not lost as long as they held the target
		if _, asked := out[zone]; !asked && n.Last == dnsbl.Listed {
			if n.State != dnsbl.Disabled {
				n.State, n.Since, n.Why = dnsbl.Disabled, now.UnixMicro(), "not among the lists in use any more"
			}
			out[zone] = n
		}
	}
	return out, unknown
}

// applyListings begins, goes on with and ends listings. It returns those that last.
func (w *Watch) applyListings(tx *store.Tx, now time.Time, c claimed, answers map[string]answer, after *aftermath) (open []Listing, err error) {
	before, err := queryListings(tx, `target = ? AND until = 0`, c.name)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, l := range before {
		known[l.Zone] = true
		ended, err := w.goOn(tx, now, c, &l, answers, after)
		if err != nil {
			return nil, err
		}
		if !ended {
			open = append(open, l)
		}
	}
	for zone, a := range answers {
		if a.state != dnsbl.Listed || known[zone] {
			continue
		}
		l := Listing{ID: newID(now), Target: c.name, Zone: zone, List: bound(a.list.Name, maxWord), Operator: operatorOf(a.list), Weight: a.list.Weight, Wide: isWide(a.list), Own: c.own,
			Customer: c.customer, Codes: a.codes, Names: a.names, Reason: a.reason, Since: now, Heard: now, Answered: now}
		if l.Own && l.Weight > 0 {
			if l.Dossier, err = joinDossier(tx, now, l, c.kind, ByRule, after); err != nil {
				return nil, err
			}
			after.gather = true
		}
		if err := insertListing(tx, l); err != nil {
			return nil, err
		}
		if err := insertEvent(tx, eventOf(Listed, now, l)); err != nil {
			return nil, err
		}
		after.touch(l)
		after.began = append(after.began, l)
		open = append(open, l)
	}
	return open, nil
}

// goOn takes what a list says now about a listing that lasts. A list that does not answer changes nothing.
func (w *Watch) goOn(tx *store.Tx, now time.Time, c claimed, l *Listing, answers map[string]answer, after *aftermath) (ended bool, err error) {
	a, asked := answers[l.Zone]
	if !asked {
		return false, nil
	}
	switch a.state {
	case dnsbl.Listed:
		changed := !slices.Equal(l.Codes, a.codes) || !slices.Equal(l.Names, a.names)
		l.Heard, l.Answered, l.Cleared, l.Weight, l.Names, l.Codes = now, now, time.Time{}, a.list.Weight, a.names, a.codes
		if a.reason != "" {
			l.Reason = a.reason
		}
		if l.Own = l.Own || c.own; l.Own && l.Weight > 0 && l.Dossier == "" { // it has become ours, or the list weighs more than before
			if l.Dossier, err = joinDossier(tx, now, *l, c.kind, ByRule, after); err != nil {
				return false, err
			}
			after.touch(*l)
		}
		if changed {
			after.touch(*l)
			if err := insertEvent(tx, eventOf(Changed, now, *l)); err != nil {
				return false, err
			}
		}
	case dnsbl.Clean:
		l.Answered = now
		switch {
		case l.Cleared.IsZero():
			l.Cleared = now
		case now.Sub(l.Cleared) >= CleanAfter:
			l.Until, ended = now, true
		}
	default:
		return false, nil
	}
	if err := updateListing(tx, *l); err != nil || !ended {
		return ended, err
	}
	after.touch(*l)
	after.ended = append(after.ended, *l)
	if err := insertEvent(tx, eventOf(Delisted, now, *l)); err != nil {
		return false, err
	}
	if l.Dossier != "" {
		return true, leaveDossier(tx, now, *l, after)
	}
	return true, nil
}
