package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Brief is what every message that was tested leaves of its verdict: the points of each test that fired, without evidence and words.
// Facts of kind Accepted carry nothing more (EncodeBrief); those of Held and Rejected carry the whole verdict, of which a Brief is a part.
type Brief struct {
	Raw       float64            // points, the plain sum
	Threshold float64            // points; held when the score is strictly above
	Held      bool               // what was decided
	Locked    bool               // held whatever the points
	Points    map[string]float64 // of the tests that fired
}

// EncodeBrief writes a Brief of a message that passed, as Detail of its fact: {"r":RAW,"t":THRESHOLD,"h":{TEST:POINTS}}, tests in
// the order given. Some 20 bytes per test.
func EncodeBrief(raw, threshold float64, points iter.Seq2[string, float64]) []byte {
	b := make([]byte, 0, 256)
	b = appendNumber(append(b, `{"r":`...), raw)
	b = appendNumber(append(b, `,"t":`...), threshold)
	b = append(b, `,"h":{`...)
	first := true
	for test, p := range points {
		if !plainName(test) || len(b) > maxDetail/2 {
			continue // no test is called so
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendNumber(append(append(append(b, '"'), test...), `":`...), p)
	}
	return append(b, "}}"...)
}

func appendNumber(b []byte, x float64) []byte { return strconv.AppendFloat(b, x, 'f', -1, 64) }

// plainName reports whether a name needs no escapes in JSON.
func plainName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
}

// DecodeBrief reads the Detail of a fact, whether it is a Brief or a whole verdict; ok is false for anything else.
func DecodeBrief(detail []byte) (b Brief, ok bool) {
	if len(detail) == 0 || detail[0] != '{' {
		return Brief{}, false
	}
	if b, ok := readBrief(string(detail)); ok {
		return b, true
	}
	var d struct {
		R *float64           `json:"r"`
		T float64            `json:"t"`
		H map[string]float64 `json:"h"`

		Raw       float64 `json:"raw"`
		Threshold float64 `json:"threshold"`
		Held      bool    `json:"held"`
		Locked    bool    `json:"locked"`
		Hits      []struct {
			Test   string  `json:"test"`
			Points float64 `json:"points"`
		} `json:"hits"`
	}
	if json.Unmarshal(detail, &d) != nil {
		return Brief{}, false
	}
	switch {
	case d.R != nil:
		b = Brief{Raw: *d.R, Threshold: d.T, Points: d.H}
	case d.Hits != nil:
		b = Brief{Raw: d.Raw, Threshold: d.Threshold, Held: d.Held, Locked: d.Locked, Points: make(map[string]float64, len(d.Hits))}
		for _, h := range d.Hits {
			b.Points[h.Test] = h.Points
		}
	default:
		return Brief{}, false
	}
	if b.Points == nil {
		b.Points = map[string]float64{}
	}
	return b, true
}

// readBrief reads exactly what EncodeBrief writes: a trial reads a hundred thousand of them. ok is false for anything else.
func readBrief(s string) (b Brief, ok bool) {
	number := func(before string) (x float64) {
		rest, found := strings.CutPrefix(s, before)
		end := strings.IndexAny(rest, ",}")
		if !found || end < 0 {
			ok = false
			return 0
		}
		x, err := strconv.ParseFloat(rest[:end], 64)
		ok = ok && err == nil
		s = rest[end:]
		return x
	}
	ok = true
	b.Raw, b.Threshold = number(`{"r":`), number(`,"t":`)
	rest, found := strings.CutPrefix(s, `,"h":{`)
	if !ok || !found {
		return Brief{}, false
	}
	b.Points = make(map[string]float64, strings.Count(rest, ":"))
	for s = rest; ok && s != "}}"; s = strings.TrimPrefix(s, ",") {
		name, after, found := strings.Cut(strings.TrimPrefix(s, `"`), `":`)
		if !found || !plainName(name) {
			return Brief{}, false
		}
		s = after
		b.Points[name] = number("")
	}
	return b, ok
}

// VerdictQuery selects messages that were tested. Zero fields do not restrict.
type VerdictQuery struct {
	Customer string
	Limit    int    // facts looked at, 1..5000; default 1000
	Cursor   string // from the page before
}

// Tested is one message that was tested when it arrived.
type Tested struct {
	ID         mail.QueueID
	At         time.Time
	Kind       Kind // Accepted, Held or Rejected
	Customer   string
	Credential string
	ClientIP   netip.Addr
	HeaderFrom string
	Recipient  string // the first
	Recipients int    // how many there were
	Subject    string
	Score      float64
	Brief      Brief
	Known      bool // Brief was kept
}

const verdictColumns = `id, at, kind, queue_id, customer, credential, client_ip, recipient, header_from, subject, score, text, actor, detail`

// Verdicts returns what the tests said of messages, the newest first, one page at a time; next is the Cursor of the following page, "" after
// the last one. What operators set aside later is not among it. It walks an index and holds one page in memory. A page ends early when it has
// passed Scan facts, whatever they are: it may then be empty and not the last.
func (j *Journal) Verdicts(ctx context.Context, q VerdictQuery) (tested []Tested, next string, err error) {
	if q.Limit <= 0 {
		q.Limit = 1000
	}
	q.Limit = min(q.Limit, 5000)
	look := Query{Customer: q.Customer, Kinds: testedKinds, Cursor: q.Cursor}
	if _, _, ok := parseCursor(q.Cursor); q.Cursor != "" && !ok {
		return nil, "", fmt.Errorf("verdicts: %w cursor %q", ErrInvalid, q.Cursor)
	}
	walks, _ := look.walks()
	err = j.db.Read(ctx, func(tx *store.Tx) (err error) {
		end, err := scanEnd(tx, &look, walks)
		if err != nil {
			return err
		}
		statement, args := sqlVerdicts(q, end)
		if tested, next, err = readTested(tx.Query(statement, args...), q.Limit); err == nil && next == "" && end != (mark{}) {
			next = end.cursor()
		}
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("verdicts: %w", err)
	}
	return tested, next, nil
}

// testedKinds are the kinds of facts that may carry what the tests said.
var testedKinds = []Kind{Accepted, Held, Recovered, Rejected}

// sqlVerdicts is the question for a page that ends at a mark, if not the zero one, or when it is full.
func sqlVerdicts(q VerdictQuery, end mark) (statement string, args []any) {
	statement = `SELECT ` + verdictColumns + ` FROM journal_fact WHERE kind IN ('accepted', 'held', 'recovered', 'rejected')`
	if q.Customer != "" {
		statement, args = statement+` AND customer = ?`, append(args, q.Customer)
	}
	if at, id, ok := parseCursor(q.Cursor); ok {
		statement, args = statement+` AND (at, id) < (?, ?)`, append(args, at, id)
	}
	if end != (mark{}) {
		statement, args = statement+` AND (at, id) >= (?, ?)`, append(args, end.at, end.id)
	}
	return statement + ` ORDER BY at DESC, id DESC LIMIT ?`, append(args, q.Limit)
}

// readTested reads one page of verdictColumns.
func readTested(rows *store.Rows, limit int) (tested []Tested, next string, err error) {
	n := 0
	for rows.Next() {
		var t Tested
		var factID int64
		var client, text, actor string
		var detail []byte
		if err := rows.Scan(&factID, &t.At, (*string)(&t.Kind), (*string)(&t.ID), &t.Customer, &t.Credential, &client, &t.Recipient, &t.HeaderFrom,
			&t.Subject, &t.Score, &text, &actor, &detail); err != nil {
			return nil, "", err
		}
		if n++; n == limit {
			next = strconv.FormatInt(t.At.UnixMicro(), 36) + "." + strconv.FormatInt(factID, 36)
		}
		if t.Kind == Held && strings.HasPrefix(actor, "operator:") {
			continue
		}
		if t.Kind == Recovered {
			t.Kind = Accepted
		}
		t.ClientIP, _ = netip.ParseAddr(client)
		if t.Recipients = 1; t.Recipient == "" {
			t.Recipients = 0
		}
		_, _ = fmt.Sscanf(text, "%d recipients", &t.Recipients)
		t.Brief, t.Known = DecodeBrief(detail)
		if t.Known && t.Kind == Accepted {
			t.Brief.Held = false
		}
		tested = append(tested, t)
	}
	return tested, next, rows.Err()
}
