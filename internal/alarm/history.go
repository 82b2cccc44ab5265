package alarm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// The history: one line for each time that something stood or happened, with the words that were told, to whom, and when it ended. Nodes that share a database
// write one line: what comes under the key of a line that is live belongs to it.

// mostLines bounds the history, whatever Options.Keep says: beyond it the oldest lines go.
const mostLines = 100_000

// Line is a line of the history. Alarm.Since says when it was raised, Args are those of the words as they were told.
type Line struct {
	ID string
	Alarm
	Cleared time.Time // zero: not ended, or Once
	Once    bool      // it happened and has no end
	Told    []string  // "mail:ADDRESS" and "webhook:NAME"; a webhook took it up, Hooks says how it fares
	Again   int       // how often it was told again while it stood
	Latest  time.Time // when it was last told
}

// HistoryQuery chooses lines.
type HistoryQuery struct {
	Code   string // "": every code
	Before string // ID of the last line of the page before; "": the first page
	Limit  int    // 1 to 1000; 0: 100
}

// History returns lines, the latest raised first, and the ID to go on before; "" on the last page.
func (a *Alarms) History(ctx context.Context, q HistoryQuery) (lines []Line, next string, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, 1000)
	where, args := []string{"1 = 1"}, []any{}
	if q.Code != "" {
		where, args = append(where, "code = ?"), append(args, q.Code)
	}
	if q.Before != "" {
		where, args = append(where, "id < ?"), append(args, q.Before)
	}
	args = append(args, q.Limit+1)
	err = a.o.DB.Read(ctx, func(tx *store.Tx) (err error) {
		lines, err = readLines(tx, strings.Join(where, " AND "), args)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("alarm: read history: %w", err)
	}
	if len(lines) > q.Limit {
		lines = lines[:q.Limit]
		next = lines[q.Limit-1].ID
	}
	return lines, next, nil
}

// Codes are the codes that an alarm may have, in order.
func (a *Alarms) Codes() (out []string) {
	for _, key := range a.o.Catalog.Keys() {
		if code, ok := strings.CutPrefix(key, "alarm."); ok {
			if code, ok = strings.CutSuffix(code, ".title"); ok && code != "test" {
				out = append(out, code)
			}
		}
	}
	slices.Sort(out)
	return out
}

// record is something that was told and belongs in the history.
type record struct {
	telling
	told []string
	line string // of the history, where there is one already: only told is missing in it
}

// keepLocked puts something on the list of what is to be written.
func (a *Alarms) keepLocked(r ...record) {
	room := max(0, maxRaised-len(a.unwritten))
	if len(r) > room {
		a.o.Logger.Error("too much of the history of alarms could not be written: some of it is lost", "lines", len(r)-room)
		r = r[:room]
	}
	a.unwritten = append(a.unwritten, r...)
}

// halfway is how old a line that nobody was told of must be until another node, or this one after a restart, tells it.
const halfway = time.Minute

// claimed is what came of claiming a telling.
type claimed struct {
	mine    bool   // this node is the one that tells
	written bool   // the history has it, but for whom it was told to
	line    string // where that is to be written; "": nowhere
}

// claim decides by the history which node tells: the one that begins, goes on with or ends the line. Without the database each node tells for itself: twice is
// better than not at all.
func (a *Alarms) claim(ctx context.Context, t telling) (c claimed) {
	if t.event == "test" {
		return claimed{mine: true, written: true}
	}
	err := a.o.DB.Write(context.WithoutCancel(ctx), func(tx *store.Tx) (err error) {
		c.line, c.mine, err = claim(tx, t, a.o.Remind)
		return err
	})
	if err != nil {
		return claimed{mine: true}
	}
	c.written = true
	return c
}

// claim begins, goes on with or ends the line of a telling; false: another node has done so.
func claim(tx *store.Tx, t telling, remind time.Duration) (line string, mine bool, err error) {
	const live = `key = ? AND live = 1 AND once = 0`
	switch t.event {
	case "cleared":
		// It stands no more with the line's end: a node that starts just now would find it standing, and begin another line.
		if err := removeStanding(tx, t.Key); err != nil {
			return "", false, err
		}
		n, err := tx.Exec(`UPDATE alarm_history SET cleared = ?, live = 0 WHERE `+live, t.at, t.Key)
		return "", n > 0, err
	case "reminder":
		n, err := tx.Exec(`UPDATE alarm_history SET again = again + 1, latest = ? WHERE `+live+` AND latest <= ?`, t.at, t.Key, t.at.Add(-remind/2))
		if err != nil || n > 0 {
			return "", n > 0, err
		}
	}
	line, begun, err := begin(tx, record{telling: t}, remind)
	if err != nil || begun || t.event == "reminder" {
		return line, begun, err
	}
	// Written down, and then the process died before anybody was told.
	n, err := tx.Exec(`UPDATE alarm_history SET latest = ? WHERE key = ? AND live = 1 AND told = '[]' AND latest <= ?`, t.at, t.Key, t.at.Add(-halfway))
	return line, n > 0, err
}

// writeRecords puts what was told in the history: to whom, or all of it where it could not be claimed.
func writeRecords(tx *store.Tx, all []record, remind time.Duration) error {
	for _, r := range all {
		var err error
		switch {
		case r.line != "":
			err = addTold(tx, r.line, r.told)
		case r.event == "raised", r.event == "once":
			_, _, err = begin(tx, r, remind)
		case r.event == "reminder": // of two nodes that tell again one counts
			_, err = tx.Exec(`UPDATE alarm_history SET again = again + 1, latest = ? WHERE key = ? AND live = 1 AND once = 0 AND latest <= ?`, r.at, r.Key, r.at.Add(-remind/2))
		case r.event == "cleared":
			_, err = tx.Exec(`UPDATE alarm_history SET cleared = ?, live = 0 WHERE key = ? AND live = 1 AND once = 0`, r.at, r.Key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin writes a new line, or completes the one that another node, or this one before it stopped, has written. begun: the line is new, or has grown worse.
func begin(tx *store.Tx, r record, remind time.Duration) (line string, begun bool, err error) {
	if r.event == "once" {
		if _, err := tx.Exec(`UPDATE alarm_history SET live = 0 WHERE key = ? AND live = 1 AND once = 1 AND raised <= ?`, r.Key, r.at.Add(-remind)); err != nil {
			return "", false, err
		}
	}
	list, err := json.Marshal(r.Args)
	if err != nil {
		return "", false, err
	}
	line = string(mail.NewQueueID(r.Since))
	n, err := tx.Exec(`INSERT INTO alarm_history (id, key, severity, code, args, raised, cleared, once, live, told, again, latest) VALUES (?,?,?,?,?,?,0,?,1,'[]',0,?) ON CONFLICT DO NOTHING`,
		line, r.Key, string(r.Severity), r.Code, string(list), r.Since, r.event == "once", r.at)
	if err != nil {
		return "", false, err
	}
	if n > 0 {
		return line, true, addTold(tx, line, r.told)
	}
	lines, err := readLines(tx, "key = ? AND live = 1", []any{r.Key, 1})
	if err != nil || len(lines) == 0 {
		return "", false, err
	}
	old := lines[0]
	if err := addTold(tx, old.ID, r.told); err != nil {
		return "", false, err
	}
	if old.Severity == Warning && r.Severity == Critical { // it grew worse, and is told in new words
		n, err = tx.Exec(`UPDATE alarm_history SET severity = ?, args = ?, latest = ? WHERE id = ? AND severity = ?`, string(r.Severity), string(list), r.at, old.ID, string(Warning))
		return old.ID, n > 0, err
	}
	return old.ID, false, nil
}

// addTold puts more of those who were told into a line.
func addTold(tx *store.Tx, line string, told []string) error {
	if len(told) == 0 {
		return nil
	}
	lines, err := readLines(tx, "id = ?", []any{line, 1})
	if err != nil || len(lines) == 0 {
		return err
	}
	all := lines[0].Told
	for _, who := range told {
		if !slices.Contains(all, who) {
			all = append(all, who)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE alarm_history SET told = ? WHERE id = ?`, string(text), line)
	return err
}

func readLines(tx *store.Tx, where string, args []any) (out []Line, err error) {
	rows := tx.Query(`SELECT id, key, severity, code, args, raised, cleared, once, told, again, latest FROM alarm_history WHERE `+where+` ORDER BY id DESC LIMIT ?`, args...)
	for rows.Next() {
		var l Line
		var severity, list, told string
		if err := rows.Scan(&l.ID, &l.Key, &severity, &l.Code, &list, &l.Since, &l.Cleared, &l.Once, &told, &l.Again, &l.Latest); err != nil {
			return nil, err
		}
		l.Severity = Severity(severity)
		if err := json.Unmarshal([]byte(list), &l.Args); err != nil {
			return nil, fmt.Errorf("alarm %q: %w", l.Key, err)
		}
		if err := json.Unmarshal([]byte(told), &l.Told); err != nil {
			return nil, fmt.Errorf("alarm %q: %w", l.Key, err)
		}
		out = append(out, l)
	}
	return out, rows.Err()
}

// readOnce returns what was told once since a moment, so that a restart does not tell it again.
func readOnce(tx *store.Tx, since time.Time) (map[string]time.Time, error) {
	lines, err := readLines(tx, "once = 1 AND id >= ?", []any{firstID(since), maxOnce})
	out := make(map[string]time.Time, len(lines))
	for _, l := range lines {
		if l.Latest.After(out[l.Key]) {
			out[l.Key] = l.Latest
		}
	}
	return out, err
}

// firstID is below the identifiers of lines raised since then.
func firstID(at time.Time) string {
	const clock = 10 // letters of a queue id that say the time
	return string(mail.NewQueueID(at))[:clock]
}

// forget removes lines that are too old, and the oldest of too many; what stands stays.
func (a *Alarms) forget(ctx context.Context) {
	now := a.o.Now()
	if now.Sub(a.forgot) < time.Hour {
		return
	}
	err := a.o.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM alarm_history WHERE id < ? AND (live = 0 OR once = 1)`, firstID(now.Add(-a.o.Keep))); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM alarm_history WHERE (live = 0 OR once = 1) AND id <= (SELECT id FROM alarm_history ORDER BY id DESC LIMIT 1 OFFSET ?)`, a.o.Most)
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			a.o.Logger.Warn("old lines of the history of alarms not removed, trying again", "error", err)
		}
		return
	}
	a.forgot = now
}
