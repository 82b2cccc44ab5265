package suppression

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"postern/internal/mail"
)

// mostAtOnce is how many entries one transaction takes: beyond, other writers would wait too long.
const mostAtOnce = 5000

// Import is how a file of entries is taken.
type Import struct {
	Defaults
	// Sender says that the file comes from the customer himself: its entries are his own, nobody's name but By stands under them, and what an operator put
	// on his list stays as it is.
	Sender bool
	// Known says whether a customer that a row names may have entries. It is asked once for each; an error ends the import before anything is written. nil: all.
	Known func(customer string) error
	Check bool // only says what would be taken
}

// Imported is what an import did.
type Imported struct {
	Rows    int // of the file
	Changed int // new, stronger or longer than what stood there
}

// String is the import as the journal writes it.
func (i Imported) String() string {
	return fmt.Sprintf("import of %d rows, %d of them new, stronger or longer", i.Rows, i.Changed)
}

// Import reads a file as ReadCSV does and adds its entries. Faults are all found before anything is written: RowError for rows (joined, at most 20), ErrInvalid for
// what the ledger does not take, ErrTooMany, what Known says. Rows that answers made elsewhere and that were lifted here since are left out. More than 5,000
// rows are written in pieces: an error of the database in between leaves the earlier ones, and Imported counts them.
func (l *Ledger) Import(ctx context.Context, r io.Reader, how Import) (Imported, error) {
	all, err := ReadCSV(r, how.Defaults)
	if err != nil {
		return Imported{}, err
	}
	done := Imported{Rows: len(all)}
	known := map[string]bool{}
	for _, e := range all {
		if how.Known != nil && !known[e.Customer] {
			if err := how.Known(e.Customer); err != nil {
				return Imported{}, err
			}
			known[e.Customer] = true
		}
	}
	if how.Sender {
		if all, err = l.sendersOwn(ctx, all, how.Defaults); err != nil {
			return Imported{}, err
		}
	}
	if err := l.CheckAll(all); err != nil || how.Check {
		return done, err
	}
	for piece := range slices.Chunk(all, mostAtOnce) {
		n, err := l.addAll(ctx, piece, true)
		if done.Changed += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

// sendersOwn makes entries the customer's own, and leaves out what an operator decided.
func (l *Ledger) sendersOwn(ctx context.Context, all []Entry, d Defaults) ([]Entry, error) {
	kept, err := l.Guarded(ctx, d.Customer, mail.Address{})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(e Entry) bool { return kept[normal(e.Address)] })
	for i := range all {
		all[i].Customer, all[i].By, all[i].Hits = d.Customer, d.By, 0
		if all[i].Reason == ByOperator {
			all[i].Reason = BySender
		}
	}
	return all, nil
}

// Guarded returns what an operator put on a customer's list: the customer neither replaces nor lifts it. An address limits it to that one and its domain.
func (l *Ledger) Guarded(ctx context.Context, customer string, a mail.Address) (map[mail.Address]bool, error) {
	out := map[mail.Address]bool{}
	q := Query{Customer: customer, Own: true, Reason: ByOperator, Address: a, Limit: mostAtOnce}
	for {
		entries, next, err := l.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			out[e.Address] = true
		}
		if q.Cursor = next; next == "" {
			return out, nil
		}
	}
}

// Export writes all that a query finds as WriteCSV does, page by page, so that memory holds one. shown, if any, is called with each page before it is written, and may
// change what is shown of its entries. Nothing is written when the first page cannot be read.
func (l *Ledger) Export(ctx context.Context, w io.Writer, q Query, shown func([]Entry)) error {
	for head := true; ; head = false {
		entries, next, err := l.List(ctx, q)
		if err != nil {
			return err
		}
		if shown != nil {
			shown(entries)
		}
		if err := WriteCSV(w, entries, head); err != nil {
			return fmt.Errorf("%w: %w", ErrUnread, err)
		}
		if q.Cursor = next; next == "" {
			return nil
		}
	}
}

// ErrUnread: whoever reads an export takes no more.
var ErrUnread = errors.New("suppression: the export is not read")
