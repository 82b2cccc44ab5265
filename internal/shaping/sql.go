package shaping

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"postern/internal/store"
)

type countRow struct {
	span, slot int64
	n          int
}

type dayRow struct {
	egress, provider string
	day              int64
	potDay
}

type warmRow struct {
	egress, provider string
	step             int
	day              int64
}

type allRows struct {
	reactions []Reaction
	lanes     map[string]*laneRows
	days      []dayRow
	warm      []warmRow
}

const reactionColumns = `id, lane, kind, customer, why, rule, evidence, started, ends, lasts, factor, pace, connections, probe, bulk_only, actor, ended, ended_by, scope, target`

func scanReaction(rows *store.Rows) (Reaction, error) {
	var r Reaction
	var lane, kind, why, scope string
	var lasts int64
	if err := rows.Scan(&r.ID, &lane, &kind, &r.Customer, &why, &r.Rule, &r.Evidence, &r.Started, &r.Ends, &lasts, &r.Factor, &r.Rate, &r.Connections,
		&r.Probe, &r.BulkOnly, &r.By, &r.Ended, &r.EndedBy, &scope, &r.Target); err != nil {
		return r, err
	}
	k, err := ParseKey(lane)
	if err != nil {
		return r, fmt.Errorf("lane %q: %w", lane, err)
	}
	r.Lane, r.Kind, r.Scope, r.Why, r.lasts = k, Kind(kind), Scope(scope), ParseWhy(why), time.Duration(lasts)*time.Microsecond
	return r, nil
}

func (s *Shaper) readAll(ctx context.Context) (allRows, error) {
	var r allRows
	node := s.o.Node
	err := s.o.DB.Read(ctx, func(t *store.Tx) error {
		r = allRows{lanes: make(map[string]*laneRows)}
		rows := t.Query(`SELECT `+reactionColumns+` FROM shaping_reaction WHERE node = ? AND ended = 0 ORDER BY started, id`, node)
		defer rows.Close()
		for rows.Next() {
			v, err := scanReaction(rows)
			if err != nil {
				return err
			}
			r.reactions = append(r.reactions, v)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		lane := func(name string) *laneRows {
			v := r.lanes[name]
			if v == nil {
				v = &laneRows{slots: make(map[int64][]slot)}
				r.lanes[name] = v
			}
			return v
		}
		rows = t.Query(`SELECT lane, span, slot, n FROM shaping_count WHERE node = ? ORDER BY lane, span, slot`, node)
		for rows.Next() {
			var name string
			var span int64
			var v slot
			if err := rows.Scan(&name, &span, &v.no, &v.n); err != nil {
				return err
			}
			l := lane(name)
			l.slots[span] = append(l.slots[span], v)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rows = t.Query(`SELECT lane, ahead FROM shaping_lane WHERE node = ? AND ahead > 0`, node)
		for rows.Next() {
			var name string
			var ahead int
			if err := rows.Scan(&name, &ahead); err != nil {
				return err
			}
			l := lane(name)
			l.ahead = ahead
			for _, span := range []int64{60, 300} { // a lane of which nothing but this is stored
				l.slots[span] = append(l.slots[span], []slot{}...)
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rows = t.Query(`SELECT egress, provider, day, accepted, deferred, blocked FROM shaping_day WHERE node = ?`, node)
		for rows.Next() {
			var v dayRow
			if err := rows.Scan(&v.egress, &v.provider, &v.day, &v.accepted, &v.deferred, &v.blocked); err != nil {
				return err
			}
			r.days = append(r.days, v)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rows = t.Query(`SELECT egress, provider, step, day FROM shaping_warm WHERE node = ?`, node)
		for rows.Next() {
			var v warmRow
			if err := rows.Scan(&v.egress, &v.provider, &v.step, &v.day); err != nil {
				return err
			}
			r.warm = append(r.warm, v)
		}
		return rows.Err()
	})
	if err != nil {
		return r, fmt.Errorf("shaping: read: %w", err)
	}
	return r, nil
}

func (s *Shaper) writeReactions(ctx context.Context, writes map[string]Reaction) error {
	var all []Reaction
	for _, r := range writes {
		all = append(all, r)
	}
	newestFirst(all)
	slices.Reverse(all)
	err := s.o.DB.Write(ctx, func(t *store.Tx) error {
		for _, r := range all {
			if _, err := t.Exec(`INSERT INTO shaping_reaction (node, `+reactionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (id) DO UPDATE SET why = excluded.why, rule = excluded.rule, evidence = excluded.evidence, ends = excluded.ends, lasts = excluded.lasts,
				factor = excluded.factor, pace = excluded.pace, connections = excluded.connections, probe = excluded.probe, bulk_only = excluded.bulk_only, ended = excluded.ended,
				ended_by = excluded.ended_by`,
				s.o.Node, r.ID, r.Lane.String(), string(r.Kind), r.Customer, r.Why.String(), r.Rule, r.Evidence, r.Started, r.Ends, int64(r.lasts/time.Microsecond),
				r.Factor, r.Rate, r.Connections, r.Probe, r.BulkOnly, r.By, r.Ended, r.EndedBy, string(r.Scope), r.Target); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("shaping: store what is in force: %w", err)
	}
	return nil
}

func (s *Shaper) writeCounts(ctx context.Context, lanes []*saving, ended []Key, days []dayRow, warm []warmRow, last bool) error {
	node, now := s.o.Node, s.o.Now()
	err := s.o.DB.Write(ctx, func(t *store.Tx) error {
		if last {
			if _, err := t.Exec(`UPDATE shaping_lane SET ahead = 0, saved = ? WHERE node = ?`, now, node); err != nil {
				return err
			}
		}
		for _, k := range ended {
			if _, err := t.Exec(`DELETE FROM shaping_lane WHERE node = ? AND lane = ?`, node, k.String()); err != nil {
				return err
			}
		}
		for _, v := range lanes {
			name := v.l.key.String()
			for _, r := range v.rows {
				if _, err := t.Exec(`INSERT INTO shaping_count (node, lane, span, slot, n) VALUES (?, ?, ?, ?, ?)
					ON CONFLICT (node, lane, span, slot) DO UPDATE SET n = excluded.n`, node, name, r.span, r.slot, r.n); err != nil {
					return err
				}
			}
			if _, err := t.Exec(`INSERT INTO shaping_lane (node, lane, ahead, saved) VALUES (?, ?, ?, ?)
				ON CONFLICT (node, lane) DO UPDATE SET ahead = excluded.ahead, saved = excluded.saved`, node, name, v.ahead, now); err != nil {
				return err
			}
		}
		for _, d := range days {
			if _, err := t.Exec(`INSERT INTO shaping_day (node, egress, provider, day, accepted, deferred, blocked) VALUES (?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (node, egress, provider, day) DO UPDATE SET accepted = excluded.accepted, deferred = excluded.deferred, blocked = excluded.blocked`,
				node, d.egress, d.provider, d.day, d.accepted, d.deferred, d.blocked); err != nil {
				return err
			}
		}
		for _, w := range warm {
			if _, err := t.Exec(`INSERT INTO shaping_warm (node, egress, provider, step, day) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (node, egress, provider) DO UPDATE SET step = excluded.step, day = excluded.day`, node, w.egress, w.provider, w.step, w.day); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("shaping: store counts: %w", err)
	}
	return nil
}

// prune removes what is older than anybody asks for.
func (s *Shaper) prune(ctx context.Context) {
	if s.o.DB == nil {
		return
	}
	now := s.o.Now()
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	err := s.o.DB.Write(ctx, func(t *store.Tx) error {
		if _, err := t.Exec(`DELETE FROM shaping_reaction WHERE node = ? AND ended > 0 AND ended < ?`, s.o.Node, now.Add(-keepHistory)); err != nil {
			return err
		}
		if _, err := t.Exec(`DELETE FROM shaping_count WHERE node = ? AND (slot + 1) * span < ?`, s.o.Node, now.Unix()-2*86400); err != nil {
			return err
		}
		_, err := t.Exec(`DELETE FROM shaping_day WHERE node = ? AND day < ?`, s.o.Node, now.UnixNano()/dayLong-keepDays)
		return err
	})
	if err != nil && ctx.Err() == nil {
		s.o.Logger.Warn("old counts cannot be removed", "error", err)
	}
}

// History returns the reactions that have ended in the last 30 days, the latest end first, at most limit (0: 100).
func (s *Shaper) History(ctx context.Context, limit int) ([]Reaction, error) {
	return s.HistoryOf(ctx, "", limit)
}

// HistoryOf is History of one lane, by its name, or of a provider's lanes, by the provider's; "" of all.
func (s *Shaper) HistoryOf(ctx context.Context, lane string, limit int) ([]Reaction, error) {
	if limit <= 0 {
		limit = 100
	}
	var out []Reaction
	if s.o.DB == nil {
		s.keep.mu.Lock()
		defer s.keep.mu.Unlock()
		for i := len(s.keep.history) - 1; i >= 0 && len(out) < limit; i-- {
			if r := s.keep.history[i]; lane == "" || r.Lane.String() == lane || r.Lane.Provider == lane {
				out = append(out, r)
			}
		}
		return out, nil
	}
	if err := s.flushReactions(ctx); err != nil {
		return nil, err
	}
	err := s.o.DB.Read(ctx, func(t *store.Tx) error {
		out = nil
		rows := t.Query(`SELECT `+reactionColumns+` FROM shaping_reaction WHERE node = ? AND ended > 0 AND (? = '' OR lane = ? OR substr(lane, 1, ?) = ?)
			ORDER BY ended DESC, id DESC LIMIT ?`, s.o.Node, lane, lane, utf8.RuneCountInString(lane)+1, lane+" ", limit)
		defer rows.Close()
		for rows.Next() {
			r, err := scanReaction(rows)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("shaping: read history: %w", err)
	}
	return out, nil
}
