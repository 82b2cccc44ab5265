package reputation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/store"
)

// How long nothing may happen in a dossier until somebody is reminded.
func remindAfter(s State, weight int) time.Duration {
	switch {
	case s == Open && weight >= 4:
		return 24 * time.Hour
	case s == Open, s == Mending:
		return 72 * time.Hour
	case s == Requested:
		return 7 * 24 * time.Hour
	}
	return 0
}

// dueAt is when a dossier's next reminder is; zero: never.
func dueAt(now time.Time, s State, weight int) time.Time {
	if d := remindAfter(s, weight); d > 0 {
		return now.Add(d)
	}
	return time.Time{}
}

// lasts reports whether the target of a dossier in this state is listed, by what is known.
func (s State) lasts() bool { return s == Open || s == Mending || s == Requested }

// moved is a dossier that came to another state, for the journal.
type moved struct {
	dossier  Dossier
	from, to State
	by, note string
}

func scanDossier(r scanner, more ...any) (d Dossier, err error) {
	var causes []byte
	var quiet int64
	var quietAt, look time.Time
	err = r.Scan(append([]any{&d.ID, &d.Target, &d.Operator, (*string)(&d.Kind), &d.Customer, &d.List, &d.Weight, (*string)(&d.State), &d.Opened, &d.Changed, &d.Listed, &d.Clean, &quiet, &quietAt,
		&d.Times, &look, &d.Due, &d.Gathered, &causes, &d.Former, &d.Later}, more...)...)
	d.Quiet, d.quietAt, d.look = time.Duration(quiet)*time.Microsecond, quietAt, look
	d.Causes = decodeCauses(causes)
	return d, err
}

// lockDossier reads a dossier to change it.
func lockDossier(tx *store.Tx, id string) (Dossier, error) {
	all, err := queryDossiers(tx, `id = ? FOR UPDATE`, id)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%w: dossier %.40q", ErrNotFound, id)
	}
	if err != nil {
		return Dossier{}, err
	}
	return all[0], nil
}

func insertAct(tx *store.Tx, now time.Time, a Act) error {
	step := a.Step
	if a.Kind == MovedTo {
		step = string(a.From) + " " + string(a.To)
	}
	// Several acts of one transaction happen at the same moment; their order is that of their IDs.
	id, last := newID(now), ""
	if err := tx.QueryRow(`SELECT coalesce(max(id), '') FROM reputation_act WHERE dossier = ?`, a.Dossier).Scan(&last); err != nil {
		return err
	}
	if id <= last {
		id = nextID(last)
	}
	_, err := tx.Exec(`INSERT INTO reputation_act (`+actColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`, id, a.Dossier, now, string(a.Kind), bound(a.Actor, maxWord), step, bound(a.Text, maxText))
	return err
}

func scanAct(r scanner) (a Act, err error) {
	err = r.Scan(&a.ID, &a.Dossier, &a.At, (*string)(&a.Kind), &a.Actor, &a.Step, &a.Text)
	if from, to, ok := strings.Cut(a.Step, " "); ok && a.Kind == MovedTo {
		a.Step, a.From, a.To = "", State(from), State(to)
	}
	return a, err
}

// joinDossier finds or opens the dossier that a new listing belongs to. One that is clean, or was closed by a person, is opened again; after QuietFor of clean days the
// matter is over, and a listing is another one: its dossier names the former.
func joinDossier(tx *store.Tx, now time.Time, l Listing, kind Kind, by string, after *aftermath) (id string, err error) {
	found, err := queryDossiers(tx, `target = ? AND operator = ? AND later = '' FOR UPDATE`, l.Target, l.Operator)
	if err != nil {
		return "", err
	}
	former := ""
	if len(found) > 0 {
		past, err := isPast(tx, now, found[0])
		if err != nil {
			return "", err
		}
		if !past {
			return reopenDossier(tx, now, found[0], l, by, after)
		}
		former = found[0].ID
	}
	d := Dossier{ID: newDossierID(), Target: l.Target, Operator: l.Operator, Kind: kind, Customer: l.Customer, List: l.List, Weight: max(l.Weight, 1), State: Open, Former: former}
	if former != "" {
		if _, err := tx.Exec(`UPDATE reputation_dossier SET later = ? WHERE id = ?`, d.ID, former); err != nil {
			return "", err
		}
	}
	if _, err := tx.Exec(`INSERT INTO reputation_dossier (`+dossierColumns+`, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 1, ?, ?, 0, ?, ?, '', ?)`,
		d.ID, l.Target, l.Operator, string(kind), l.Customer, l.List, d.Weight, string(Open), now, now, l.Since, now, dueAt(now, Open, d.Weight), []byte("[]"), former, []byte("{}")); err != nil {
		return "", err
	}
	after.moves = append(after.moves, moved{dossier: d, to: Open, by: by})
	return d.ID, insertAct(tx, now, Act{Dossier: d.ID, Kind: Opened, Actor: by, Text: l.List})
}

// isPast reports whether the matter of a dossier is over: closed, no list of the operator has the target, and none had it for QuietFor. One that was closed because
// nobody watched the target any more has no clean days; it counts from then.
func isPast(tx *store.Tx, now time.Time, d Dossier) (bool, error) {
	since := d.Clean
	if since.IsZero() {
		since = d.Changed
	}
	if d.State != Closed || now.Sub(since) < QuietFor {
		return false, nil
	}
	left, err := openListings(tx, d.ID)
	return left == 0, err
}

// openListings counts the listings of a dossier that last.
func openListings(tx *store.Tx, dossier string) (n int, err error) {
	err = tx.QueryRow(`SELECT count(*) FROM reputation_listing WHERE dossier = ? AND until = 0`, dossier).Scan(&n)
	return n, err
}

// reopenDossier takes note of a listing in a dossier that is there.
func reopenDossier(tx *store.Tx, now time.Time, d Dossier, l Listing, by string, after *aftermath) (id string, err error) {
	weight := max(l.Weight, 1)
	list := d.List
	if weight > d.Weight || !d.State.lasts() {
		list = l.List
	}
	if d.State.lasts() {
		if _, err := tx.Exec(`UPDATE reputation_dossier SET list = ?, weight = ?, changed = ?, look = ? WHERE id = ?`, list, max(weight, d.Weight), now, now, d.ID); err != nil {
			return "", err
		}
		return d.ID, insertAct(tx, now, Act{Dossier: d.ID, Kind: Joined, Actor: by, Text: l.List})
	}
	if _, err := tx.Exec(`UPDATE reputation_dossier SET list = ?, weight = ?, state = ?, customer = ?, changed = ?, listed = ?, clean = 0, quiet = 0, quiet_at = 0, times = times + 1, look = ?, due = ? WHERE id = ?`,
		list, weight, string(Open), l.Customer, now, l.Since, now, dueAt(now, Open, weight), d.ID); err != nil {
		return "", err
	}
	if _, err := tx.Exec(`DELETE FROM reputation_step WHERE dossier = ?`, d.ID); err != nil { // what was mended did not help, or not for long: each step is looked at again
		return "", err
	}
	after.moves = append(after.moves, moved{dossier: d, from: d.State, to: Open, by: by})
	return d.ID, insertAct(tx, now, Act{Dossier: d.ID, Kind: Reopened, Actor: by, Text: l.List})
}

// leaveDossier takes note of the end of a listing. With the last one the dossier is clean.
func leaveDossier(tx *store.Tx, now time.Time, l Listing, after *aftermath) error {
	d, err := lockDossier(tx, l.Dossier)
	if errors.Is(err, ErrNotFound) {
		return nil // it has left by age
	}
	if err != nil {
		return err
	}
	left, err := openListings(tx, d.ID)
	if err != nil {
		return err
	}
	if left > 0 {
		if _, err := tx.Exec(`UPDATE reputation_dossier SET changed = ?, look = ? WHERE id = ?`, now, now, d.ID); err != nil {
			return err
		}
		return insertAct(tx, now, Act{Dossier: d.ID, Kind: Left, Actor: ByRule, Text: l.List})
	}
	state := Clean
	if d.State == Closed {
		state = Closed
	}
	if _, err := tx.Exec(`UPDATE reputation_dossier SET state = ?, changed = ?, clean = ?, quiet = 0, quiet_at = ?, look = 0, due = 0 WHERE id = ?`, string(state), now, now, now, d.ID); err != nil {
		return err
	}
	if err := insertAct(tx, now, Act{Dossier: d.ID, Kind: Left, Actor: ByRule, Text: l.List}); err != nil || d.State == state {
		return err
	}
	after.moves = append(after.moves, moved{dossier: d, from: d.State, to: state, by: ByRule})
	return insertAct(tx, now, Act{Dossier: d.ID, Kind: MovedTo, Actor: ByRule, From: d.State, To: state})
}

// closeUnwatched closes the dossiers of a target that is not watched any more: nobody will know whether it is clean.
func closeUnwatched(tx *store.Tx, now time.Time, target string, after *aftermath) error {
	all, err := queryDossiers(tx, `target = ? AND state <> ? FOR UPDATE`, target, string(Closed))
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := setState(tx, now, d, Closed, ByRule, "not watched any more", after); err != nil {
			return err
		}
	}
	return nil
}

// setState moves a dossier and writes down who did.
func setState(tx *store.Tx, now time.Time, d Dossier, to State, by, note string, after *aftermath) error {
	look := time.Time{}
	if to.lasts() {
		look = now
	}
	if _, err := tx.Exec(`UPDATE reputation_dossier SET state = ?, changed = ?, due = ?, look = ? WHERE id = ?`, string(to), now, dueAt(now, to, d.Weight), look, d.ID); err != nil {
		return err
	}
	after.moves = append(after.moves, moved{dossier: d, from: d.State, to: to, by: by, note: note})
	return insertAct(tx, now, Act{Dossier: d.ID, Kind: MovedTo, Actor: by, From: d.State, To: to, Text: note})
}

// change runs an act of a person.
func (w *Watch) change(ctx context.Context, id string, fn func(tx *store.Tx, now time.Time, d Dossier, after *aftermath) error) error {
	var after aftermath
	err := w.db.Write(ctx, func(tx *store.Tx) error {
		after = aftermath{}
		d, err := lockDossier(tx, id)
		if err != nil {
			return err
		}
		return fn(tx, w.o.Now(), d, &after)
	})
	if err != nil {
		return fmt.Errorf("dossier %.40s: %w", id, err)
	}
	w.tell(ctx, after)
	return nil
}

// acted says that a person did something: reminders begin anew.
func acted(tx *store.Tx, now time.Time, d Dossier) error {
	_, err := tx.Exec(`UPDATE reputation_dossier SET changed = ?, due = ? WHERE id = ?`, now, dueAt(now, d.State, d.Weight), d.ID)
	return err
}

func checkBy(by string) error {
	if by == "" || by == ByRule || len(by) > maxWord {
		return fmt.Errorf("%w: nobody answers for it", ErrInvalid)
	}
	return nil
}

func (w *Watch) note(ctx context.Context, id, by, text string) error {
	text = strings.TrimSpace(text)
	if err := checkBy(by); err != nil {
		return err
	}
	if text == "" || len(text) > maxText {
		return fmt.Errorf("%w: a note has 1 to %d bytes", ErrInvalid, maxText)
	}
	return w.change(ctx, id, func(tx *store.Tx, now time.Time, d Dossier, _ *aftermath) error {
		if err := acted(tx, now, d); err != nil {
			return err
		}
		return insertAct(tx, now, Act{Dossier: d.ID, Kind: Noted, Actor: by, Text: text})
	})
}

func (w *Watch) tick(ctx context.Context, id, step string, done bool, by, note string) error {
	if err := checkBy(by); err != nil {
		return err
	}
	if _, known := stepBook[step]; !known {
		return fmt.Errorf("%w: there is no step %.60q", ErrInvalid, step)
	}
	note = bound(strings.TrimSpace(note), maxText)
	return w.change(ctx, id, func(tx *store.Tx, now time.Time, d Dossier, after *aftermath) error {
		if !done {
			n, err := tx.Exec(`DELETE FROM reputation_step WHERE dossier = ? AND step = ?`, d.ID, step)
			if err != nil || n == 0 {
				return err
			}
			if err := acted(tx, now, d); err != nil {
				return err
			}
			return insertAct(tx, now, Act{Dossier: d.ID, Kind: Unticked, Actor: by, Step: step, Text: note})
		}
		if _, err := tx.Exec(`INSERT INTO reputation_step (dossier, step, at, actor, note) VALUES (?, ?, ?, ?, ?)
 ON CONFLICT (dossier, step) DO UPDATE SET at = excluded.at, actor = excluded.actor, note = excluded.note`, d.ID, step, now, by, note); err != nil {
			return err
		}
		if err := insertAct(tx, now, Act{Dossier: d.ID, Kind: Ticked, Actor: by, Step: step, Text: note}); err != nil {
			return err
		}
		if d.State == Open {
			return setState(tx, now, d, Mending, by, "", after)
		}
		return acted(tx, now, d)
	})
}

func (w *Watch) move(ctx context.Context, id string, to State, by, note string) error {
	if err := checkBy(by); err != nil {
		return err
	}
	note = bound(strings.TrimSpace(note), maxText)
	return w.change(ctx, id, func(tx *store.Tx, now time.Time, d Dossier, after *aftermath) error {
		switch {
		case d.State == to:
			return nil
		case !slices.Contains(Moves(d.State), to):
			return fmt.Errorf("%w: from %s to %s", ErrInvalid, d.State, to)
		case to == Closed && d.State.lasts() && note == "":
			return fmt.Errorf("%w: %s is still listed; say why the dossier is closed all the same", ErrInvalid, d.Target)
		case d.Later != "":
			return fmt.Errorf("%w: the matter goes on in dossier %s", ErrInvalid, d.Later)
		case to == Open && d.State == Closed:
			left, err := openListings(tx, d.ID)
			if err != nil {
				return err
			}
			if left == 0 {
				to = Clean // it goes on being watched until it has been clean for long enough
			}
		}
		return setState(tx, now, d, to, by, note, after)
	})
}

func (w *Watch) refresh(ctx context.Context, id string) error {
	err := w.change(ctx, id, func(tx *store.Tx, now time.Time, d Dossier, after *aftermath) error {
		after.gather = true
		_, err := tx.Exec(`UPDATE reputation_dossier SET look = ? WHERE id = ?`, now, d.ID)
		return err
	})
	return err
}

func (w *Watch) openByHand(ctx context.Context, listing, by string) (id string, err error) {
	if err := checkBy(by); err != nil {
		return "", err
	}
	var after aftermath
	err = w.db.Write(ctx, func(tx *store.Tx) error {
		after = aftermath{gather: true}
		all, err := queryListings(tx, `id = ? FOR UPDATE`, listing)
		if err != nil {
			return err
		}
		if len(all) == 0 || !all[0].Until.IsZero() {
			return fmt.Errorf("%w: no open listing %.40q", ErrNotFound, listing)
		}
		l := all[0]
		if id = l.Dossier; id != "" {
			return nil
		}
		kind := Domain
		if blockOf(l.Target) != "" {
			kind = IP
		}
		if id, err = joinDossier(tx, w.o.Now(), l, kind, by, &after); err != nil {
			return err
		}
		l.Dossier = id
		return updateListing(tx, l)
	})
	if err != nil {
		return "", fmt.Errorf("open a dossier: %w", err)
	}
	w.tell(ctx, after)
	return id, nil
}
