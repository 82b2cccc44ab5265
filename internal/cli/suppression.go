package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) suppression() *cobra.Command {
	cmd := branch("suppression", "Addresses that are not written to", c.suppressionList(), c.suppressionShow(), c.suppressionAdd(), c.suppressionLift(), c.suppressionImport(),
		c.suppressionExport())
	cmd.Aliases = []string{"suppress"}
	cmd.Long = "Addresses that are not written to: because their servers said that there is no such recipient, that the mailbox is closed or full, that the domain\n" +
		"takes no mail, because the recipient complained, or because somebody put them there. Each entry counts for one customer, or for everybody, keeps the\n" +
		"answer it stands on, and ends by itself according to its reason. A whole domain is written @example.org. Answers that mean a block against this\n" +
		"gateway never put an address on the list."
	return cmd
}

// suppressionFlags are those that select entries.
func suppressionFlags(cmd *cobra.Command, q *api.SuppressionQuery) {
	f := cmd.Flags()
	f.StringVar(&q.Customer, "customer", "", "what counts for the customer with this `id`: his own entries and everybody's")
	f.BoolVar(&q.Own, "own", false, "only the customer's own; without --customer only everybody's")
	f.StringVar(&q.Domain, "domain", "", "only addresses of this `domain`")
	f.StringVar(&q.Reason, "reason", "", "only this `reason`: mailbox-full, suspended, unwilling, unknown-user, no-mail, complaint, unsubscribed, operator, sender")
	f.StringVar(&q.Provider, "provider", "", "only what this `receiver` said")
	f.StringVar(&q.Rule, "rule", "", "only what this `rule` understood, like orange/unknown-user")
	f.BoolVar(&q.Ended, "ended", false, "also entries that ended within the last week")
}

func (c *command) suppressionList() *cobra.Command {
	var q api.SuppressionQuery
	limit := 100
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List addresses that are not written to, the newest first", Args: exactly()}
	suppressionFlags(cmd, &q)
	cmd.Flags().IntVarP(&limit, "limit", "n", limit, "at most so `many`; 0 = all")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		t, shown, more := c.table("ADDRESS", "FOR", "REASON", "SINCE", "UNTIL", "HITS", "BY", "ANSWER"), 0, true
		for more && (limit <= 0 || shown < limit) {
			q.Limit = 1000
			if limit > 0 {
				q.Limit = min(q.Limit, limit-shown)
			}
			page, err := server.Suppressed(ctx, q)
			if err != nil {
				return err
			}
			for _, x := range page.Entries {
				if c.json {
					if err := c.object(x); err != nil {
						return err
					}
					continue
				}
				until := cell{text: clock(x.Until)}
				if x.Ended {
					until = cell{text: "ended " + clock(x.Until), style: dim}
				}
				t.row(x.Address, whose(x.Customer, "database"), x.Reason, clock(x.Since), until, cell{text: fmt.Sprint(x.Hits), right: true}, author(x.By, ""), said(x))
			}
			shown, q.Cursor, more = shown+len(page.Entries), page.Next, page.Next != ""
		}
		switch {
		case c.json:
			return nil
		case shown == 0:
			return c.say("Nothing is on the list.")
		}
		if err := t.print(c.Stdout); err != nil {
			return err
		}
		if more {
			return c.say("There are more; see them with -n 0, or choose with --customer, --domain, --reason.")
		}
		return nil
	})
	return c.jsonFlag(cmd)
}

// said is the answer that an entry stands on, or the note beside it.
func said(x api.Suppressed) string {
	text := strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", code(x.Code), x.Enhanced, x.Answer)), " ")
	if text == "" {
		text = x.Note
	}
	return text
}

func code(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func (c *command) suppressionShow() *cobra.Command {
	var lang string
	cmd := &cobra.Command{Use: "show ADDRESS", Short: "Show why an address is not written to, and what was lifted before", Args: exactly("an address")}
	languageFlag(cmd, &lang, "the reasons")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		found, err := server.SuppressedAddress(ctx, args[0], lang)
		if err != nil {
			return err
		}
		if c.json {
			err := c.object(found)
			if err == nil && len(found.Entries) == 0 {
				err = errBad
			}
			return err
		}
		for i, x := range found.Entries {
			if i > 0 {
				if err := c.say(""); err != nil {
					return err
				}
			}
			until := clock(x.Until)
			switch {
			case x.Ended:
				until = "ended " + until
			case x.Until.IsZero():
				until = "it is lifted"
			}
			err := c.pairs(c.Stdout, "Address", cell{text: x.Address, style: bold}, "For", whose(x.Customer, "database"), "Reason", x.Name+" ("+x.Reason+")", "", x.Explain, "What to do", x.Fix,
				"Since", clock(x.Since), "Until", until, "By", author(x.By, ""), "Note", x.Note, "Answer", said(x), "Said by", x.Host, "Heard", clock(x.Heard), "Receiver", x.Provider,
				"Rule", x.Rule, "Message", string(x.QueueID), "Not sent", fmt.Sprintf("%d times, last %s", x.Hits, clock(x.LastHit)))
			if err != nil {
				return err
			}
		}
		if len(found.Lifts) > 0 {
			t := c.table("LIFTED", "BY", "FOR", "ADDRESS", "REASON", "SINCE", "WHY")
			for _, x := range found.Lifts {
				t.row(clock(x.At), author(x.By, ""), whose(x.Customer, "database"), x.Address, x.Reason, clock(x.Since), x.Why)
			}
			if err := c.say(""); err != nil {
				return err
			}
			if err := t.print(c.Stdout); err != nil {
				return err
			}
		}
		if len(found.Entries) == 0 {
			if err := c.say("%s is not on the list.", args[0]); err != nil {
				return err
			}
			return errBad
		}
		return nil
	})
	return c.jsonFlag(cmd)
}

func (c *command) suppressionAdd() *cobra.Command {
	var r api.SuppressRequest
	var until string
	cmd := &cobra.Command{Use: "add ADDRESS...", Short: "Put addresses or whole domains (@example.org) on the list", Args: several("an address"),
		Example: "  postern suppression add --customer bakery ann@example.org --note 'asked by phone'\n  postern suppression add @spamtrap.example"}
	f := cmd.Flags()
	f.StringVar(&r.Customer, "customer", "", "`id` of the customer who does not write to it any more (default: nobody does)")
	f.StringVar(&r.Reason, "reason", "", "`why` (default operator): unsubscribed, complaint, unknown-user, no-mail, ...")
	f.StringVar(&until, "until", "", "when it `ends`: 48h, 30d, 2027-01-31 (default: as the reason says)")
	f.StringVar(&r.Note, "note", "", "a `text` for those who look at it")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if r.Until, err = ending("--until", until, c.now()); err != nil {
			return err
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		return c.each(args, func(address string) (api.Done, error) {
			one := r
			one.Address = address
			return server.Suppress(cmd.Context(), one)
		})
	}
	return c.jsonFlag(cmd)
}

func (c *command) suppressionLift() *cobra.Command {
	var r api.LiftRequest
	cmd := &cobra.Command{Use: "lift ADDRESS...", Aliases: []string{"remove", "rm"}, Short: "Take addresses off the list; the same evidence does not bring them back",
		Args: several("an address"), Example: "  postern suppression lift --customer bakery ann@example.org --why 'mailbox is back'\n  postern suppression lift --all ann@example.org"}
	cmd.Flags().StringVar(&r.Customer, "customer", "", "`id` of the customer whose entry it is (default: everybody's)")
	cmd.Flags().BoolVar(&r.All, "all", false, "the entries of all customers, and everybody's")
	cmd.Flags().StringVar(&r.Why, "why", "", "the `reason`, for the audit")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		return c.each(args, func(address string) (api.Done, error) {
			one := r
			one.Address = address
			return server.LiftSuppressed(ctx, one)
		})
	})
	return c.jsonFlag(cmd)
}

// importPiece bounds what one request of an import carries, in bytes.
const importPiece = 40_000

func (c *command) suppressionImport() *cobra.Command {
	r := api.ImportRequest{}
	cmd := &cobra.Command{Use: "import [FILE]", Short: "Add entries from CSV, as export writes it; only the column address is needed", Args: cobra.MaximumNArgs(1),
		Long: "Add entries from CSV, as `postern suppression export` writes it. Only the column address (or email) is needed, or a file with nothing but addresses.\n" +
			"Separate cells by commas. The whole file is checked before anything is taken. Without FILE, standard input is read."}
	f := cmd.Flags()
	f.StringVar(&r.Customer, "customer", "", "`id` of the customer whose entries they are (default: as the rows say, else everybody's)")
	f.StringVar(&r.Reason, "reason", "", "`reason` where a row says none (default operator)")
	f.BoolVar(&r.Check, "check", false, "only say what is wrong")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, name := c.Stdin, "standard input"
		if len(args) == 1 && args[0] != "-" {
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = file.Close() }()
			in, name = file, args[0]
		}
		pieces, err := csvPieces(in)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		rows, changed := 0, 0
		for _, check := range []bool{true, false} {
			if !check && r.Check {
				break
			}
			for _, p := range pieces {
				one := r
				one.CSV, one.Line, one.Check = p.text, p.line, check
				done, err := server.ImportSuppressed(cmd.Context(), one)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if check {
					rows += done.Count
				} else {
					changed += done.Count
				}
			}
		}
		text := fmt.Sprintf("%d rows taken, %d of them new, stronger or longer", rows, changed)
		if r.Check {
			text = fmt.Sprintf("%d rows can be taken", rows)
		}
		return c.tuned(api.Done{Text: text, Count: changed}, nil)
	}
	return c.jsonFlag(cmd)
}

// csvPiece is a part of a file, with the names of the columns first.
type csvPiece struct {
	text string
	line int // of the file, so that errors can be counted from it
}

// maxImport bounds a file that is imported, in bytes.
const maxImport = 1 << 30

// csvPieces cuts a file into pieces that one request carries.
func csvPieces(in io.Reader) (all []csvPiece, err error) {
	limited := &io.LimitedReader{R: in, N: maxImport + 1}
	r := csv.NewReader(limited)
	r.FieldsPerRecord, r.ReuseRecord = -1, true
	var head []string
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	begin, next := 0, 0 // lines of the file: the first of this piece, the one after what is in it
	flush := func() {
		if b.Len() > 0 && begin > 0 {
			all = append(all, csvPiece{b.String(), begin - 1}) // the names of the columns stand where the line before was
		}
		b.Reset()
		begin = 0
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		at, _ := r.FieldPos(0)
		if head == nil {
			row[0] = strings.TrimPrefix(row[0], "\ufeff")
			if head = append(head, row...); len(row) > 1 || !strings.Contains(row[0], "@") {
				continue
			}
			head = []string{"address"} // nothing but addresses
		}
		if gap := at - next; gap > 1000 && begin > 0 {
			flush()
		}
		for ; begin > 0 && next < at; next++ {
			b.WriteByte('\n') // a line that the reader left out: errors are told with the file's own numbers
		}
		if begin == 0 {
			begin, next = at, at
			if err := w.Write(head); err != nil {
				return nil, err
			}
			w.Flush()
		}
		if err := w.Write(row); err != nil {
			return nil, err
		}
		w.Flush()
		for _, cell := range row {
			next += strings.Count(cell, "\n")
		}
		if next++; b.Len() > importPiece {
			flush()
		}
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("the file is larger than %d MB; take it in parts", maxImport>>20)
	}
	flush()
	if len(all) == 0 {
		return nil, errors.New("there are no rows")
	}
	return all, nil
}

func (c *command) suppressionExport() *cobra.Command {
	var q api.SuppressionQuery
	cmd := &cobra.Command{Use: "export", Short: "Print the list as CSV, the newest first", Args: exactly(),
		Long: "Print the list as CSV, the newest first. Cells that a spreadsheet would take for a formula begin with an apostrophe, which import takes away."}
	suppressionFlags(cmd, &q)
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		q.Limit = 2000
		for {
			page, err := server.ExportSuppressed(ctx, q)
			if err != nil {
				return err
			}
			if _, err := io.WriteString(c.Stdout, page.CSV); err != nil {
				return err
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				return nil
			}
		}
	})
	return cmd
}
