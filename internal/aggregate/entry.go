package aggregate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"postern/internal/store"
)

// weight is how often a report is added to a sum and to its unproven part: one that counts {1, 0}, one that does not {1, 1}, and one that was summed without proof and comes again with it {0, -1}.
type weight struct{ all, unproven int64 }

func (w weight) proven() int64 {
	if w.unproven > 0 {
		return 0
	}
	return 1
}

// ErrUnderWay: the same report came without proof, and its sums are being written.
var ErrUnderWay = errors.New("the same report is being summed up; try again in some minutes")

// entry is a report on its way into the sums.
type entry struct {
	key     string // of its row
	other   string // of the row of the same report that came without proof
	content string // hash of what it says
	weight  weight
}

// entryOf prepares a report's entry. A report without proof has a row of its own, so that nobody takes the place of a genuine report by sending its name first.
func entryOf(key, content string, m meta) entry {
	sum := sha256.Sum256([]byte(key + " unproven"))
	e := entry{key: key, other: hex.EncodeToString(sum[:]), content: content, weight: weight{all: 1}}
	if !m.proof.Counts() {
		e.key, e.other, e.weight = e.other, e.key, weight{1, 1}
	}
	return e
}

// place finds out what became of the report before: done is that of its row, -1 also when it came with proof and comes without it now.
func (e *entry) place(tx *store.Tx) (done int, found bool, err error) {
	done, found, _, err = rowOf(tx, e.key)
	if err != nil || found && e.weight.unproven > 0 {
		return done, found, err
	}
	whole, other, content, err := rowOf(tx, e.other)
	switch {
	case err != nil || !other:
	case e.weight.unproven > 0:
		return -1, true, nil
	case content != e.content:
	case whole != -1: // both parts of a sum would be wrong: it takes a moment, or minutes after a crash
		return 0, false, ErrUnderWay
	default:
		e.weight = weight{0, -1}
	}
	return done, found, err
}

// rowOf reads how far a report is summed.
func rowOf(tx *store.Tx, key string) (done int, found bool, content string, err error) {
	var n int64
	err = tx.QueryRow(sqlDone, key).Scan(&n, &content)
	if errors.Is(err, store.ErrNoRows) {
		return 0, false, "", nil
	}
	return int(n), err == nil, content, err
}

// contentOf is a hash of what a report adds to the sums.
func contentOf(units []*unit) string {
	h := sha256.New()
	for _, u := range units {
		fmt.Fprintln(h, u.source, u.day, u.sum, u.forwarded)
		rows := make([]string, 0, len(u.rows))
		for k, n := range u.rows {
			rows = append(rows, fmt.Sprintf("%q %d", k, n))
		}
		slices.Sort(rows)
		for _, r := range rows {
			_, _ = io.WriteString(h, r)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// replace forgets the row of the same report that came without proof.
func (e *entry) replace(tx *store.Tx) error {
	if e.weight.unproven >= 0 {
		return nil
	}
	_, err := tx.Exec(sqlReplaced, e.other)
	return err
}
