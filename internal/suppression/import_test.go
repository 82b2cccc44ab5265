package suppression_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/suppression"
)

func TestImport(t *testing.T) {
	t.Parallel()
	operator := suppression.Import{Defaults: suppression.Defaults{Reason: suppression.ByOperator, By: "operator:eve"}}
	sender := suppression.Import{Sender: true, Defaults: suppression.Defaults{Customer: "shop", Reason: suppression.BySender, By: "sender:anna", Fixed: true}}
	refusing := operator
	refusing.Known = func(id string) error {
		if id == "nobody" {
			return errors.New("no customer " + id)
		}
		return nil
	}
	dry := operator
	dry.Check = true
	many := strings.Builder{}
	many.WriteString("address\n")
	for i := range 12_000 {
		fmt.Fprintf(&many, "a%d@b.example\n", i)
	}
	for _, tc := range []struct {
		name, file string
		how        suppression.Import
		want       suppression.Imported
		err        string
		listed     int
	}{
		{"operator's", "address,customer\na@b.example,shop\nc@b.example,\n", operator, suppression.Imported{Rows: 2, Changed: 2}, "", 2},
		{"again", "address\nold@b.example\nnew@b.example\n", operator, suppression.Imported{Rows: 2, Changed: 2}, "", 2},
		{"looked at only", "address\na@b.example\n", dry, suppression.Imported{Rows: 1}, "", 0},
		{"a bad row spoils all", "address,reason\na@b.example,\nc@b.example,because\n", operator, suppression.Imported{}, "line 3: reason", 0},
		{"an unknown customer", "address,customer\na@b.example,shop\nc@b.example,nobody\n", refusing, suppression.Imported{}, "no customer nobody", 0},
		{"what the ledger does not take", "address,customer\na@b.example," + strings.Repeat("c", 65) + "\n", operator, suppression.Imported{Rows: 1}, "entry 1", 0},
		{"nobody signs as another", "address,by,reason,hits\na@b.example,operator:root,operator,9\n", sender, suppression.Imported{Rows: 1, Changed: 1}, "", 1},
		{"an operator's entry stays", "address,reason\nstopped@b.example,complaint\nd@b.example,\n", sender, suppression.Imported{Rows: 2, Changed: 1}, "", 2},
		{"what was lifted stays so", "address,reason,by,heard\nlifted@b.example,unknown-user,rule,2026-11-20\nd@b.example,,,\n", operator, suppression.Imported{Rows: 2, Changed: 1}, "", 1},
		{"in pieces", many.String(), operator, suppression.Imported{Rows: 12_000, Changed: 12_000}, "", 12_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
				put := func(e suppression.Entry) {
					if err := l.Add(t.Context(), e); err != nil {
						t.Fatal(err)
					}
				}
				switch {
				case strings.Contains(tc.file, "stopped@"):
					put(suppression.Entry{Customer: "shop", Address: address("stopped@b.example"), Reason: suppression.ByOperator, By: "operator:root"})
				case strings.Contains(tc.file, "lifted@"):
					put(suppression.Entry{Address: address("lifted@b.example"), Reason: suppression.UnknownUser, By: suppression.ByRule})
					if err := l.Lift(t.Context(), "", address("lifted@b.example"), "operator:root"); err != nil {
						t.Fatal(err)
					}
				}
				got, err := l.Import(t.Context(), strings.NewReader(tc.file), tc.how)
				if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%+v, %v", got, err)
				}
				var out strings.Builder
				if err := l.Export(t.Context(), &out, suppression.Query{Limit: 5000}, func(all []suppression.Entry) {
					for _, e := range all {
						if tc.how.Sender && e.By != "operator:root" && (e.By != "sender:anna" || e.Reason != suppression.BySender || e.Hits != 0) {
							t.Errorf("%+v", e)
						}
					}
				}); err != nil {
					t.Fatal(err)
				}
				if n := strings.Count(out.String(), "\n") - 1; n != tc.listed {
					t.Errorf("%d entries, want %d:\n%.300s", n, tc.listed, out.String())
				}
			})
		})
	}
}

func TestExportEnds(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, _ *clock, _ *store.DB) {
		if err := l.Add(t.Context(), suppression.Entry{Address: mail.Address{Local: "=1+1", Domain: "b.example"}, Reason: suppression.ByOperator, By: "operator:eve"}); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := l.Export(t.Context(), &out, suppression.Query{}, nil); err != nil || !strings.Contains(out.String(), "\n'=1+1@b.example,") {
			t.Errorf("%q, %v", out.String(), err)
		}
		if err := l.Export(t.Context(), gone{}, suppression.Query{}, nil); !errors.Is(err, suppression.ErrUnread) {
			t.Errorf("nobody reads: %v", err)
		}
		out.Reset()
		if err := l.Export(t.Context(), &out, suppression.Query{Cursor: "?"}, nil); !errors.Is(err, suppression.ErrInvalid) || out.Len() > 0 {
			t.Errorf("a bad cursor: %v, %q", err, out.String())
		}
	})
}

type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
