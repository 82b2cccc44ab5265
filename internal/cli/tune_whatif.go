package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

// patience is how long a trial runs before it says how far it is.
const patience = time.Second

func (c *command) tuneWhatIf() *cobra.Command {
	var r api.WhatIfRequest
	var last int
	var scores, allow, deny, noAllow, noDeny []string
	cmd := &cobra.Command{Use: "what-if", Short: "Say what a change would have made of the last messages; nothing is changed", Args: exactly(),
		Long: "Say what a change would have made of the last messages: how many were stopped (held or refused) then, and how many would be now. It uses the\n" +
			"points that the journal keeps of every message. What it cannot tell is counted as open: messages from before points were kept, tests that\n" +
			"were switched off, recipients that were not kept. The sender's mean (AWL) and rules that ask for other tests are taken as they came then.",
		Example: "  postern tune what-if --score MIME_HTML_ONLY=2 --score SPF_NONE=0\n  postern tune what-if --threshold 2.5 --customer bakery --last 100000\n" +
			"  postern tune what-if --deny from-domain:news.example"}
	f := cmd.Flags()
	f.StringArrayVar(&scores, "score", nil, "`TEST=POINTS` that would count; may be given again")
	f.Float64Var(&r.Threshold, "threshold", 0, "`points` above which a message would be stopped")
	f.StringVar(&r.Customer, "customer", "", "`id` of the customer whose points, lists and messages (default: everybody's)")
	f.IntVar(&last, "last", api.DefaultWhatIf, fmt.Sprintf("look at so many messages, at most %d", api.MaxWhatIf))
	f.StringArrayVar(&allow, "allow", nil, "`entry` more on the allow list; may be given again")
	f.StringArrayVar(&deny, "deny", nil, "`entry` more on the deny list; may be given again")
	f.StringArrayVar(&noAllow, "no-allow", nil, "`entry` less on the allow list; may be given again")
	f.StringArrayVar(&noDeny, "no-deny", nil, "`entry` less on the deny list; may be given again")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if r.Points, err = testPoints(scores); err != nil {
			return err
		}
		if last < 1 || last > api.MaxWhatIf {
			return usagef("--last %d is out of range; expected 1 to %d", last, api.MaxWhatIf)
		}
		for _, x := range []struct {
			to   *[]api.ListEntry
			kind string
			list []string
		}{{&r.Add, "allow", allow}, {&r.Add, "deny", deny}, {&r.Remove, "allow", noAllow}, {&r.Remove, "deny", noDeny}} {
			for _, entry := range x.list {
				*x.to = append(*x.to, api.ListEntry{Kind: x.kind, Customer: r.Customer, Entry: entry})
			}
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		progress, finish := c.progress(last)
		w, err := server.WhatIf(cmd.Context(), r, last, progress)
		finish()
		if err != nil {
			return err
		}
		return c.printWhatIf(w)
	}
	return c.jsonFlag(cmd)
}

// progress shows on a terminal how far a long work is.
func (c *command) progress(last int) (show func(done int), finish func()) {
	if _, ok := terminal(c.Stderr); !ok || c.json {
		return nil, func() {}
	}
	began, shown := c.now(), false
	show = func(done int) {
		if c.now().Sub(began) < patience {
			return
		}
		shown = true
		const width = 30
		full := width * min(done, last) / last
		_, _ = fmt.Fprintf(c.Stderr, "\r[%s%s] %d of %d messages", strings.Repeat("#", full), strings.Repeat(".", width-full), done, last)
	}
	return show, func() {
		if shown {
			_, _ = fmt.Fprint(c.Stderr, "\r\x1b[K")
		}
	}
}

// share is a part of a number in percent.
func share(part, whole int) string {
	if whole == 0 || part == 0 {
		return fmt.Sprint(part)
	}
	percent := 100 * float64(part) / float64(whole)
	if percent < 0.1 {
		return fmt.Sprintf("%d (under 0.1 %%)", part)
	}
	return fmt.Sprintf("%d (%.1f %%)", part, percent)
}

func (c *command) printWhatIf(w api.WhatIf) error {
	if c.json {
		if err := c.object(w); err != nil {
			return err
		}
		if w.Looked == 0 {
			return errBad
		}
		return nil
	}
	if w.Looked == 0 {
		c.warn("the journal holds no message that was tested")
		return errBad
	}
	changed := func(n int, s style) cell {
		if n == 0 {
			s = plainText
		}
		return cell{text: share(n, w.Looked-w.Open), style: s}
	}
	if err := c.pairs(c.Stdout, "Looked at", fmt.Sprintf("%s, %s to %s", count(w.Looked, "message"), clock(w.Oldest), clock(w.Newest)),
		"Open", share(w.Open, w.Looked), "Stopped then", share(w.Then, w.Looked-w.Open), "Stopped now", cell{text: share(w.Would, w.Looked-w.Open), style: bold},
		"Newly stopped", changed(w.NewlyStopped, yellow), "Newly passed", changed(w.NewlyPassed, green)); err != nil {
		return err
	}
	if w.NewlyStopped+w.NewlyPassed == 0 {
		return nil
	}
	number := func(n int) cell { return cell{text: fmt.Sprint(n), right: true} }
	t := c.table("CUSTOMER", "MESSAGES", "OPEN", "THEN", "NOW", "NEWLY STOPPED", "NEWLY PASSED")
	rows := 0
	for _, x := range w.Customers {
		if x.NewlyStopped+x.NewlyPassed > 0 && rows < 20 {
			rows++
			t.row(x.Customer, number(x.Looked), number(x.Open), number(x.Then), number(x.Would), number(x.NewlyStopped), number(x.NewlyPassed))
		}
	}
	if err := c.say(""); err != nil {
		return err
	}
	if err := t.print(c.Stdout); err != nil {
		return err
	}
	if err := c.printExamples("would be stopped now", w.Stopped, w.NewlyStopped); err != nil {
		return err
	}
	return c.printExamples("would pass now", w.Passed, w.NewlyPassed)
}

func (c *command) printExamples(what string, messages []api.WhatIfMessage, all int) error {
	if len(messages) == 0 {
		return nil
	}
	text := fmt.Sprintf("\n%s %s:", count(all, "message"), what)
	if all > len(messages) {
		text = fmt.Sprintf("\n%d of %d messages that %s:", len(messages), all, what)
	}
	if err := c.say("%s", text); err != nil {
		return err
	}
	t := c.table("QUEUE ID", "CAME", "CUSTOMER", "SCORE", "NOW", "FROM", "SUBJECT")
	for _, m := range messages {
		t.row(m.ID, clock(m.At), m.Customer, cell{text: points(m.Then), right: true}, cell{text: points(m.Would), right: true}, m.From, m.Subject)
	}
	return t.print(c.Stdout)
}
