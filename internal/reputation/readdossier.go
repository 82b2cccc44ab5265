package reputation

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postern/internal/store"
)

func (w *Watch) readDossiers(ctx context.Context, q DossierQuery) (p DossierPage, err error) {
	limit := page(q.Limit, 50, 200)
	var c conditions
	if len(q.States) > 0 {
		states := make([]any, len(q.States))
		for i, s := range q.States {
			states[i] = string(s)
		}
		c.add("state IN (?"+strings.Repeat(", ?", len(states)-1)+")", states...)
	}
	for _, x := range []struct{ column, value string }{{"target", q.Target}, {"operator", q.Operator}, {"customer", q.Customer}} {
		if x.value != "" {
			c.add(x.column+" = ?", x.value)
		}
	}
	if q.Cursor != "" {
		at, id, ok := strings.Cut(q.Cursor, ".")
		changed, err := strconv.ParseInt(at, 36, 64)
		if !ok || err != nil || checkCursor(id) != nil {
			return p, fmt.Errorf("%w: cursor %.40q", ErrInvalid, q.Cursor)
		}
		c.add("(changed, id) < (?, ?)", changed, id)
	}
	err = w.db.Read(ctx, func(tx *store.Tx) (err error) {
		p.Dossiers, err = queryDossiers(tx, c.where()+` ORDER BY changed DESC, id DESC LIMIT ?`, append(slices.Clone(c.args), limit+1)...)
		return err
	})
	if err != nil {
		return p, fmt.Errorf("reputation: dossiers: %w", err)
	}
	if len(p.Dossiers) > limit {
		p.Dossiers = p.Dossiers[:limit]
		last := p.Dossiers[limit-1]
		p.Next = strconv.FormatInt(last.Changed.UnixMicro(), 36) + "." + last.ID
	}
	return p, nil
}

func (w *Watch) readDossier(ctx context.Context, id string) (d Dossier, err error) {
	var ticks map[string]Step
	err = w.db.Read(ctx, func(tx *store.Tx) (err error) {
		if d, err = findDossier(tx, id); err != nil {
			return err
		}
		if d.Listings, err = queryListings(tx, `dossier = ? ORDER BY id DESC LIMIT 50`, id); err != nil {
			return err
		}
		if d.Acts, err = queryActs(tx, `dossier = ? ORDER BY id DESC LIMIT 200`, id); err != nil {
			return err
		}
		if ticks, err = readTicks(tx, id); err != nil {
			return err
		}
		d.Related, err = related(tx, d)
		return err
	})
	if err != nil {
		return Dossier{}, fmt.Errorf("reputation: %w", err)
	}
	d.Checklist, d.Delisting = checklist(d, ticks), w.delistings(d.Listings)
	return d, nil
}

// findDossier reads one with its evidence.
func findDossier(tx *store.Tx, id string) (d Dossier, err error) {
	var evidence []byte
	found := false
	rows := tx.Query(`SELECT `+dossierColumns+`, evidence FROM reputation_dossier WHERE id = ?`, id)
	for rows.Next() {
		found = true
		if d, err = scanDossier(rows, &evidence); err != nil {
			return d, err
		}
	}
	if err := rows.Err(); err != nil {
		return d, err
	}
	if !found {
		return d, fmt.Errorf("%w: dossier %.40q", ErrNotFound, id)
	}
	d.Evidence = decodeEvidence(evidence)
	return d, nil
}

// related are other dossiers that last: of the same target, and of addresses of the same network.
func related(tx *store.Tx, d Dossier) (out []Dossier, err error) {
	if out, err = queryDossiers(tx, `target = ? AND id <> ? AND state <> ? ORDER BY changed DESC LIMIT 20`, d.Target, d.ID, string(Closed)); err != nil || d.Kind != IP {
		return out, err
	}
	near, err := queryListings(tx, `block = ? AND until = 0 AND dossier <> '' AND target <> ? ORDER BY id DESC LIMIT 100`, blockOf(d.Target), d.Target)
	if err != nil {
		return out, err
	}
	for _, l := range near {
		if len(out) >= 20 || slices.ContainsFunc(out, func(o Dossier) bool { return o.ID == l.Dossier }) {
			continue
		}
		more, err := queryDossiers(tx, `id = ? AND state <> ?`, l.Dossier, string(Closed))
		if err != nil {
			return out, err
		}
		out = append(out, more...)
	}
	return out, nil
}
