package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/api"
	"postern/internal/postmaster"
	"postern/internal/report"
)

func (c *command) snds() *cobra.Command {
	cmd := branch("snds", "What Microsoft says of the addresses that mail leaves from", c.sndsList(), c.sndsShow(), c.sndsImport(), c.sndsSources(), c.sndsFetch())
	cmd.Long = "What Microsoft's Smart Network Data Services say of the addresses that mail leaves from: the colour of the filter by day (G green, below 10 % taken for\n" +
		"spam; Y yellow; R red, above 90 %), complaints, messages to traps, and what is blocked. A day of which nothing is known is shown as a dot: unknown is not zero."
	return cmd
}

func (c *command) sndsList() *cobra.Command {
	days := 30
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the addresses with a letter for each day, the worst first", Args: exactly()}
	cmd.Flags().IntVarP(&days, "days", "d", days, "so `many` days, at most 400")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if days < 1 || days > 400 {
			return usagef("--days %d: expected 1 to 400", days)
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		now := c.now()
		m, err := server.SNDS(cmd.Context(), now.AddDate(0, 0, 1-days), now)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(m)
		}
		return c.printSNDS(m)
	}
	return c.jsonFlag(cmd)
}

func (c *command) printSNDS(m api.SNDSMap) error {
	if len(m.Addresses) == 0 {
		if err := c.say("Nothing is known from %s to %s. `postern snds import` takes files, `postern snds sources` tells how fetching fares.", m.From, m.To); err != nil {
			return err
		}
		return errBad
	}
	from, err := time.Parse(time.DateOnly, m.From)
	if err != nil {
		return fmt.Errorf("the gateway answered a map from %q", m.From)
	}
	to, err := time.Parse(time.DateOnly, m.To)
	if err != nil || to.Before(from) || to.Sub(from) > 500*24*time.Hour {
		return fmt.Errorf("the gateway answered a map to %q", m.To)
	}
	span := int(to.Sub(from).Hours()/24) + 1
	t := c.table("ADDRESS", "STATE", "RED", "TRAPS", "COMPLAINTS", "LAST", m.From+" TO "+m.To)
	for _, a := range m.Addresses {
		state := cell{}
		if a.State != nil {
			state = cell{text: a.State.State, style: yellow}
			if a.State.State == "blocked" {
				state.style = red
			}
		}
		line := []byte(strings.Repeat(".", span))
		for _, d := range a.Days {
			if at, err := time.Parse(time.DateOnly, d.Day); err == nil && !at.Before(from) && !at.After(to) {
				line[int(at.Sub(from).Hours()/24)] = colourLetter(d.Colour)
			}
		}
		hot := plainText
		if a.Red > 0 {
			hot = red
		}
		t.row(a.IP, state, cell{text: strconv.Itoa(a.Red), right: true, style: hot}, cell{text: sndsAmount(a.Traps), right: true}, cell{text: sndsRate(a.Complaints), right: true}, a.Last, string(line))
	}
	if err := t.print(c.Stdout); err != nil {
		return err
	}
	if m.Average != nil {
		if err := c.say("Complaints of all addresses, by recipients: %s.", sndsRate(m.Average)); err != nil {
			return err
		}
	}
	if len(m.Silent) > 0 {
		return c.say("Nothing is known of %s: fewer than about 100 messages a day, or not authorised in SNDS.", strings.Join(m.Silent, ", "))
	}
	return nil
}

// colourLetter is a colour as one character; a day that is known without a colour is a question mark.
func colourLetter(colour string) byte {
	switch colour {
	case "green":
		return 'G'
	case "yellow":
		return 'Y'
	case "red":
		return 'R'
	}
	return '?'
}

func sndsAmount(n *int64) string {
	if n == nil {
		return "unknown"
	}
	return strconv.FormatInt(*n, 10)
}

func sndsRate(r *api.SNDSRate) string {
	if r == nil {
		return "unknown"
	}
	text := strconv.FormatFloat(float64(int64(r.Percent*1000+.5))/1000, 'f', -1, 64) + " %"
	if r.Below {
		return "< " + text
	}
	return text
}

func (c *command) sndsShow() *cobra.Command {
	days := 30
	cmd := &cobra.Command{Use: "show IP", Short: "Show what is known of one address, period by period", Args: exactly("an address")}
	cmd.Flags().IntVarP(&days, "days", "d", days, "so `many` days, at most 400")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		now := c.now()
		x, err := server.SNDSAddress(ctx, args[0], now.AddDate(0, 0, 1-days), now)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(x)
		}
		switch {
		case x.State != nil:
			err = c.say("Microsoft reports %s as %s since %s: %s", x.IP, x.State.State, clock(x.State.Since), x.State.Reason)
		case x.Clear:
			err = c.say("Microsoft does not report %s as abnormal.", x.IP)
		default:
			err = c.say("Whether Microsoft reports %s as abnormal is not known.", x.IP)
		}
		if err != nil {
			return err
		}
		if len(x.Rows) == 0 {
			if err := c.say("Nothing is known of it in this time."); err != nil {
				return err
			}
			return errBad
		}
		t := c.table("FROM", "TO", "RCPT", "DATA", "RECIPIENTS", "FILTER", "COMPLAINTS", "TRAPS", "HELO", "SENDER", "SOURCE")
		for _, r := range x.Rows {
			s := map[string]style{"green": green, "yellow": yellow, "red": red}[r.Colour]
			colour := r.Colour
			if colour == "" {
				colour = "unknown"
			}
			right := func(text string) cell { return cell{text: text, right: true} }
			t.row(sndsTime(r.Start), sndsTime(r.End), right(sndsAmount(r.RCPT)), right(sndsAmount(r.DATA)), right(sndsAmount(r.Recipients)), cell{text: colour, style: s}, right(sndsRate(r.Complaints)),
				right(sndsAmount(r.Traps)), r.HELO, r.Sender, r.Source)
		}
		return t.print(c.Stdout)
	})
	return c.jsonFlag(cmd)
}

// sndsTime writes a time as SNDS gave it: it names no zone.
func sndsTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// sndsFile is what became of a file, as JSON.
type sndsFile struct {
	File  string `json:"file"`
	Error string `json:"error,omitempty"`
	api.SNDSImported
}

func (c *command) sndsImport() *cobra.Command {
	dry := false
	cmd := &cobra.Command{Use: "import FILE...|-", Short: "Take files of SNDS, in any of its shapes; bad rows are told one by one", Args: several("a file"),
		Long: "Take files of SNDS: data or IP status, CSV or JSON, of before 2026 or since. Rows that cannot be read are told one by one with their line and left out; the\n" +
			"others count. The same file twice changes nothing. Exit code 1 when any row was left out.",
		Example: "  postern snds import data.csv\n  curl -s \"$LINK\" | postern snds import -\n  postern snds import --dry-run old/*.csv"}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only read the files: no server is asked, nothing is kept")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var server *api.Client
		if !dry {
			var err error
			if server, err = c.server(); err != nil {
				return err
			}
		}
		var worst error
		for _, name := range args {
			data, err := c.sndsBytes(name)
			var got api.SNDSImported
			switch {
			case err != nil:
			case len(data) == 0:
				err = errors.New("the file is empty: nothing was downloaded, which is not the same as no figures; fetch it again")
			case dry:
				var did postmaster.Imported
				did, err = postmaster.Explain(data)
				if got = api.SNDSResult(did); len(got.Bad) > 0 {
					err = nil // the rows say it
				}
			default:
				got, err = server.ImportSNDS(cmd.Context(), name, data)
			}
			if err != nil {
				worst = errSaid
				if c.json {
					if err := c.object(sndsFile{File: name, Error: err.Error(), SNDSImported: api.SNDSImported{Bad: []api.SNDSFault{}}}); err != nil {
						return err
					}
					continue
				}
				c.warn("%s: %v", name, err)
				continue
			}
			if len(got.Bad) > 0 && worst == nil {
				worst = errBad
			}
			if c.json {
				err = c.object(sndsFile{File: name, SNDSImported: got})
			} else {
				err = c.printImported(name, got, dry)
			}
			if err != nil {
				return err
			}
		}
		return worst
	}
	return c.jsonFlag(cmd)
}

func (c *command) printImported(name string, got api.SNDSImported, dry bool) error {
	for _, b := range got.Bad {
		if err := c.say("%s: %s", name, b.Text); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%s: %s, %s read", name, got.Shape, count(got.Read, "row"))
	if !dry {
		text += fmt.Sprintf(": %d new, %d changed, %d known before", got.New, got.Changed, got.Same)
		if strings.HasPrefix(got.Shape, "status") {
			text = fmt.Sprintf("%s: %s, %s read: %d reported now that were not, %d no longer", name, got.Shape, count(got.Read, "range"), got.Began, got.Ended)
		}
	}
	if got.From != "" {
		text += ", " + got.From + " to " + got.To
	}
	if bad := len(got.Bad) + got.BadMore; bad > 0 {
		text += fmt.Sprintf("; %s left out", count(bad, "row"))
	}
	return c.say("%s", text)
}

// sndsBytes reads a file, "-" standard input.
func (c *command) sndsBytes(name string) ([]byte, error) {
	in := c.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, report.MaxSNDS+1))
	if err == nil && len(data) > report.MaxSNDS {
		err = report.ErrSNDSLarge
	}
	return data, err
}

func (c *command) sndsSources() *cobra.Command {
	cmd := &cobra.Command{Use: "sources", Short: "Show where figures of SNDS and Postmaster Tools come from, and how that fares", Args: exactly()}
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		x, err := server.SignalSources(ctx)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(x)
		}
		if len(x.Sources) == 0 {
			return c.say("No source is configured (snds, postmaster_tools).")
		}
		t := c.table("SOURCE", "STATE", "LAST WORKED", "ROWS", "NEXT", "ACCESS UNTIL")
		for _, s := range x.Sources {
			state := cell{text: "works", style: green}
			switch {
			case s.Waiting:
				state = cell{text: "no account is connected", style: dim}
			case s.Fault != "":
				state = cell{text: s.Fault + " since " + clock(s.Failing), style: red}
			case s.Worked.IsZero():
				state = cell{text: "not asked yet", style: dim}
			}
			t.row(s.Name, state, clock(s.Worked), cell{text: fmt.Sprint(s.Rows), right: true}, clock(s.Next), clock(s.Expires))
		}
		return t.print(c.Stdout)
	})
	return c.jsonFlag(cmd)
}

func (c *command) sndsFetch() *cobra.Command {
	cmd := &cobra.Command{Use: "fetch [SOURCE]", Short: "Ask a source now, or all of them", Args: cobra.MaximumNArgs(1)}
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		done, err := server.FetchSignals(ctx, strings.Join(args, ""))
		if err != nil {
			return err
		}
		if c.json {
			return c.object(done)
		}
		return c.say("%s", done.Text)
	})
	return c.jsonFlag(cmd)
}
