package reputation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/store"
)

// The bounds of alarms.
const (
	alarmWeight = 2                   // a listing of less weight is for display only
	rangesKey   = "reputation ranges" // one alarm for all addresses of ranges: no mail of ours leaves from them
)

// CriticalWeight is the weight from which on a listing is grave.
const CriticalWeight = 4

// AlarmKey names the alarm of a target and an operator of lists.
func AlarmKey(target, operator string) string { return "reputation " + target + " " + operator }

// tell says what a transaction changed, now that it is durable: in the log, in the journal, as alarms.
func (w *Watch) tell(ctx context.Context, a aftermath) {
	ranged := false
	for _, l := range a.began {
		w.counts.listed.Add(1)
		ranged = ranged || !l.Own
		if l.Own {
			w.log.Warn("listed", "target", l.Target, "list", l.List, "codes", strings.Join(l.Names, " "), "weight", l.Weight)
			w.fact(journal.BlockListed, l, "")
		}
	}
	for _, l := range a.ended {
		w.counts.delisted.Add(1)
		ranged = ranged || !l.Own
		if l.Own {
			w.log.Info("not listed any more", "target", l.Target, "list", l.List, "since", l.Since)
			w.fact(journal.BlockDelisted, l, "")
		}
	}
	for _, m := range a.moves {
		if w.o.Journal != nil {
			w.o.Journal.Post(journal.Fact{Kind: journal.DossierMoved, At: w.o.Now(), Customer: m.dossier.Customer, Actor: m.by, Host: m.dossier.Operator,
				Text: strings.TrimSpace(fmt.Sprintf("dossier %s %s: %s %s", m.dossier.ID, m.dossier.Target, m.to, m.note))})
		}
	}
	for u := range a.units {
		var ended Listing
		if i := slices.IndexFunc(a.ended, func(l Listing) bool { return unit{l.Target, l.Operator} == u && alarming(l) }); i >= 0 {
			ended = a.ended[i]
		}
		if err := w.tellUnit(ctx, u, ended); err != nil && ctx.Err() == nil {
			w.log.Warn("alarm about a listing not told yet", "target", u.target, "error", err) // the next comparison tells it
		}
	}
	if ranged {
		if err := w.tellRanges(ctx); err != nil && ctx.Err() == nil {
			w.log.Warn("alarm about ranges not told yet", "error", err)
		}
	}
	if a.gather || len(a.moves) > 0 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// fact writes a listing or its end into the journal, where the customer's programs hear of it.
func (w *Watch) fact(kind journal.Kind, l Listing, note string) {
	if w.o.Journal == nil || l.Weight == 0 {
		return
	}
	text := l.Target + ": " + l.List
	if len(l.Names) > 0 {
		text += " (" + strings.Join(l.Names, ", ") + ")"
	}
	if l.Reason != "" && kind == journal.BlockListed {
		text += ": " + l.Reason
	}
	f := journal.Fact{Kind: kind, At: w.o.Now(), Customer: l.Customer, Host: l.Zone, Text: text, Actor: ByRule, Category: l.Operator}
	f.EgressIP = parseIP(l.Target)
	w.o.Journal.Post(f)
}

// alarming reports whether a listing is worth an alarm.
func alarming(l Listing) bool { return l.Weight >= alarmWeight && !l.Wide }

// tellUnit raises or clears the alarm of one target and operator by what is stored. ended: a listing worth an alarm that has just ended; its zero value: none has.
func (w *Watch) tellUnit(ctx context.Context, u unit, ended Listing) error {
	var open []Listing
	err := w.db.Read(ctx, func(tx *store.Tx) (err error) {
		open, err = queryListings(tx, `target = ? AND until = 0 AND operator = ?`, u.target, u.operator)
		return err
	})
	if err != nil {
		return err
	}
	if open = slices.DeleteFunc(open, func(l Listing) bool { return !alarming(l) }); len(open) > 0 {
		w.raise(u, open)
		return nil
	}
	if w.o.Clear != nil {
		w.o.Clear(AlarmKey(u.target, u.operator))
	}
	if ended.ID != "" {
		w.tellEnd(u, ended)
	}
	return nil
}

// tellEnd says that a target is on no list of an operator any more. Its key is that of the listing that ended, so that it is one matter to whoever tells it again.
func (w *Watch) tellEnd(u unit, ended Listing) {
	if w.o.Tell != nil {
		w.o.Tell(Alarm{Key: AlarmKey(u.target, u.operator) + " ended " + ended.ID, Code: "delisting", Args: map[string]string{"Target": u.target, "Operator": u.operator}, Since: ended.Until})
	}
}

// raise tells of the listings of one target by one operator: one alarm, whatever the number of its lists.
func (w *Watch) raise(u unit, open []Listing) {
	if w.o.Raise == nil {
		return
	}
	slices.SortFunc(open, byWeight)
	var lists []string
	since := open[0].Since
	for _, l := range open {
		text := l.List
		if len(l.Names) > 0 {
			text += " (" + strings.Join(l.Names, ", ") + ")"
		}
		lists = append(lists, text)
		if l.Since.Before(since) {
			since = l.Since
		}
	}
	reason := open[0].Reason
	if reason == "" {
		reason = "-"
	}
	w.o.Raise(Alarm{Key: AlarmKey(u.target, u.operator), Critical: open[0].Weight >= CriticalWeight, Code: "listing", Since: since,
		Args: map[string]string{"Target": u.target, "Operator": u.operator, "Lists": strings.Join(lists, ", "), "Reason": reason, "Dossier": open[0].Dossier}})
}

// tellRanges raises or clears the one alarm about addresses of ranges.
func (w *Watch) tellRanges(ctx context.Context) error {
	var count int
	var newest []Listing
	err := w.db.Read(ctx, func(tx *store.Tx) (err error) {
		if err = tx.QueryRow(`SELECT count(DISTINCT target) FROM reputation_listing WHERE until = 0 AND own = 0 AND wide = 0 AND weight >= ?`, alarmWeight).Scan(&count); err != nil {
			return err
		}
		newest, err = queryListings(tx, `until = 0 AND own = 0 AND wide = 0 AND weight >= ? ORDER BY id DESC LIMIT 5`, alarmWeight)
		return err
	})
	if err != nil {
		return err
	}
	if count == 0 {
		if w.o.Clear != nil {
			w.o.Clear(rangesKey)
		}
		return nil
	}
	if w.o.Raise == nil {
		return nil
	}
	var some []string
	for _, l := range newest {
		some = append(some, l.Target+": "+l.List)
	}
	w.o.Raise(Alarm{Key: rangesKey, Code: "listing-range", Args: map[string]string{"Count": fmt.Sprint(count), "Newest": strings.Join(some, "\n")}})
	return nil
}

// tellAgain is how long the end of a listing is told again: room alarm knows what it has told for longer.
const tellAgain = 6 * time.Hour

// tellAll raises and ends all alarms by what is stored: what was not told when the process or the database failed, and what another node found. Room alarm tells
// each matter once.
func (w *Watch) tellAll(ctx context.Context) error {
	var open, ended []Listing
	err := w.db.Read(ctx, func(tx *store.Tx) (err error) {
		if open, err = queryListings(tx, `until = 0 AND own = 1 AND weight >= ? ORDER BY id LIMIT 5000`, alarmWeight); err != nil {
			return err
		}
		ended, err = queryListings(tx, `until > 0 AND until >= ? AND own = 1 AND weight >= ? AND answered = until ORDER BY until DESC LIMIT 1000`, w.o.Now().Add(-tellAgain), alarmWeight)
		return err
	})
	if err != nil {
		return fmt.Errorf("reputation: alarms: %w", err)
	}
	units := map[unit][]Listing{}
	for _, l := range open {
		if alarming(l) {
			u := unit{l.Target, l.Operator}
			units[u] = append(units[u], l)
		}
	}
	for u, listings := range units {
		w.raise(u, listings)
	}
	if w.o.Raised != nil && w.o.Clear != nil {
		for _, key := range w.o.Raised() {
			rest, ours := strings.CutPrefix(key, "reputation ")
			target, operator, _ := strings.Cut(rest, " ")
			if _, stands := units[unit{target, operator}]; ours && !stands && key != rangesKey {
				w.o.Clear(key)
			}
		}
	}
	done := map[unit]bool{}
	for _, l := range ended { // the last to end is the one that was told
		u := unit{l.Target, l.Operator}
		if _, stands := units[u]; alarming(l) && !stands && !done[u] {
			done[u] = true
			w.tellEnd(u, l)
		}
	}
	return w.tellRanges(ctx)
}

// followUp does what time alone does to dossiers: quiet grows, what has been clean for long enough closes, and who forgot is reminded.
func (w *Watch) followUp(ctx context.Context) error {
	mine, err := w.lease(ctx, "dossiers", 5*time.Minute)
	if err != nil || !mine {
		return err
	}
	for after := ""; ; {
		var page []Dossier
		err := w.db.Read(ctx, func(tx *store.Tx) (err error) {
			page, err = queryDossiers(tx, `state = ? AND id > ? ORDER BY id LIMIT 200`, string(Clean), after)
			return err
		})
		if err != nil {
			return fmt.Errorf("reputation: follow dossiers: %w", err)
		}
		for _, d := range page {
			if err := w.grow(ctx, d.ID); err != nil {
				return fmt.Errorf("reputation: follow dossier %s: %w", d.ID, err)
			}
			after = d.ID
		}
		if len(page) < 200 {
			break
		}
	}
	return w.remind(ctx)
}

// quietGap is how much of the time between two clean answers counts as covered by them.
func (w *Watch) quietGap() time.Duration { return max(24*time.Hour, 2*w.o.Every, 2*w.o.DomainsEvery) }

// grow adds to a clean dossier's quiet what answers have covered since, and closes it after QuietFor.
func (w *Watch) grow(ctx context.Context, id string) error {
	return w.change(ctx, id, func(tx *store.Tx, now time.Time, d Dossier, after *aftermath) error {
		if d.State != Clean {
			return nil
		}
		upTo, err := lastClean(tx, now, d)
		if err != nil || !upTo.After(d.quietAt) {
			return err
		}
		quiet := d.Quiet + min(upTo.Sub(d.quietAt), w.quietGap())
		if _, err := tx.Exec(`UPDATE reputation_dossier SET quiet = ?, quiet_at = ? WHERE id = ?`, quiet.Microseconds(), upTo, d.ID); err != nil || quiet < QuietFor {
			return err
		}
		return setState(tx, now, d, Closed, ByRule, "", after)
	})
}

// lastClean is up to when every list that had a target has said that it has not any more.
func lastClean(tx *store.Tx, now time.Time, d Dossier) (upTo time.Time, err error) {
	listings, err := queryListings(tx, `dossier = ?`, d.ID)
	if err != nil {
		return upTo, err
	}
	zones, err := readNotes(tx, d.Target)
	if err != nil {
		return upTo, err
	}
	if len(zones) == 0 { // an address of a range: its days tell
		block, _, slot := slotOf(d.Target)
		rows := tx.Query(`SELECT day, marks FROM reputation_day WHERE block = ? AND day >= ? ORDER BY day`, block, dayNumber(now)-2)
		for rows.Next() {
			var day int64
			var b []byte
			if err := rows.Scan(&day, &b); err != nil {
				return upTo, err
			}
			if m := readMark(b, slot); m.answered > 0 && m.weight == 0 {
				upTo = dayStart(day)
			}
		}
		return upTo, rows.Err()
	}
	upTo = now
	for _, l := range listings {
		if clean := moment(zones[l.Zone].Clean); clean.Before(upTo) {
			upTo = clean
		}
	}
	return upTo, nil
}

// remind tells of dossiers in which nothing has happened for too long.
func (w *Watch) remind(ctx context.Context) error {
	var due []Dossier
	now := w.o.Now()
	err := w.db.Read(ctx, func(tx *store.Tx) (err error) {
		due, err = queryDossiers(tx, `state IN (?, ?, ?) AND due > 0 AND due <= ? ORDER BY due LIMIT 100`, string(Open), string(Mending), string(Requested), now)
		return err
	})
	if err != nil {
		return fmt.Errorf("reputation: reminders: %w", err)
	}
	for _, d := range due {
		told := false
		err := w.change(ctx, d.ID, func(tx *store.Tx, now time.Time, d Dossier, _ *aftermath) error {
			if told = d.State.lasts() && !d.Due.IsZero() && !d.Due.After(now); !told {
				return nil
			}
			if _, err := tx.Exec(`UPDATE reputation_dossier SET due = ? WHERE id = ?`, dueAt(now, d.State, d.Weight), d.ID); err != nil {
				return err
			}
			return insertAct(tx, now, Act{Dossier: d.ID, Kind: Reminded, Actor: ByRule, Text: string(d.State)})
		})
		if err != nil {
			return fmt.Errorf("reputation: reminders: %w", err)
		}
		if told && w.o.Tell != nil {
			w.o.Tell(Alarm{Key: "dossier " + d.ID + " " + string(d.State), Code: "dossier-" + string(d.State), Critical: d.Weight >= CriticalWeight && d.State == Open,
				Args: map[string]string{"Target": d.Target, "Operator": d.Operator, "Dossier": d.ID, "Since": d.Listed.UTC().Format("2006-01-02 15:04 MST")}})
		}
	}
	return nil
}
