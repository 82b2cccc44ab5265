package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/app"
)

func (c *command) rules() *cobra.Command {
	cmd := branch("rules", "Check rules in SpamAssassin's language", c.rulesCheck(), c.rulesSlowest())
	cmd.Long = "Check rules in SpamAssassin's language: the gateway's own, and folders of .cf files for filter.rules."
	return cmd
}

// ruleFault is one thing in rule files that was not used, for --json.
type ruleFault struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	What   string `json:"what"`
	Why    string `json:"why"`
	Leaves string `json:"leaves"` // "rule": it does not run; "setting": rules run all the same
}

// rulesChecked is the output of rules check --json.
type rulesChecked struct {
	Files       int            `json:"files"`
	Lines       int            `json:"lines"`
	Rules       int            `json:"rules"`
	Runnable    int            `json:"runnable"`
	Network     []string       `json:"network"`
	Unsupported int            `json:"unsupported"`
	Kinds       map[string]int `json:"kinds"`
	Faults      []ruleFault    `json:"faults"`
}

func (c *command) rulesCheck() *cobra.Command {
	all := false
	cmd := &cobra.Command{Use: "check [FOLDER...]", Short: "Say what runs, what does not, and why, with file and line",
		Long: "Read the .cf files of folders, together as one set, and say what runs, what does not, and why, with file and line. Without a folder the\n" +
			"gateway's own rules are read. Exit code 1 when a rule is not used.",
		Example: "  postern rules check /etc/postern/rules\n  postern rules check --all /usr/share/spamassassin"}
	cmd.Flags().BoolVar(&all, "all", false, "name settings that are not followed and the rules that need the network, too")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		r, err := checkRules(args)
		if err != nil {
			return err
		}
		bad := slices.ContainsFunc(r.Faults, func(f ruleFault) bool { return f.Leaves == "rule" })
		if c.json {
			err = c.object(r)
		} else {
			err = c.printRules(r, all)
		}
		if err == nil && bad {
			return errBad
		}
		return err
	}
	return c.jsonFlag(cmd)
}

func checkRules(dirs []string) (rulesChecked, error) {
	report, unsupported, err := app.CheckRules(dirs)
	if err != nil {
		return rulesChecked{}, err
	}
	r := rulesChecked{Files: report.Files, Lines: report.Lines, Rules: report.Rules, Runnable: report.Runnable, Network: append([]string{}, report.Network...),
		Unsupported: len(unsupported), Kinds: report.Kinds, Faults: []ruleFault{}}
	for _, p := range report.Problems {
		f := ruleFault{File: p.Where.File, Line: p.Where.Line, What: strings.TrimSpace(p.Directive + " " + p.Rule), Why: p.Reason, Leaves: "rule"}
		if p.Harmless {
			f.Leaves = "setting"
		}
		r.Faults = append(r.Faults, f)
	}
	return r, nil
}

func (c *command) printRules(r rulesChecked, all bool) error {
	kinds := c.table("kind", "rules")
	for _, k := range slices.Sorted(maps.Keys(r.Kinds)) {
		kinds.row(k, cell{text: fmt.Sprint(r.Kinds[k]), right: true})
	}
	kinds.row("all", cell{text: fmt.Sprint(r.Rules), right: true, style: bold})
	if err := kinds.print(c.Stdout); err != nil {
		return err
	}
	unused, settings := 0, 0
	for _, f := range r.Faults {
		if f.Leaves == "rule" {
			unused++
		} else {
			settings++
		}
	}
	_, _ = fmt.Fprintf(c.Stdout, "\n%s in %s.\n%s here, %d need the network and never run, ", count(r.Lines, "line"), count(r.Files, "file"),
		c.paint(green, count(r.Runnable, "rule")+" run"), len(r.Network))
	looks := green
	if unused > 0 {
		looks = red
	}
	_, _ = fmt.Fprintf(c.Stdout, "%s; %s not followed.\n", c.paint(looks, fmt.Sprintf("%d not understood", unused)), count(settings, "setting"))
	if all && len(r.Network) > 0 {
		_, _ = fmt.Fprint(c.Stdout, "\n"+c.paint(bold, "Need the network")+"\n"+wrap(strings.Join(r.Network, ", "), "  ", c.columns))
	}
	for _, part := range []struct{ leaves, title string }{{"rule", "Not used"}, {"setting", "Without effect; rules run all the same"}} {
		t := c.table("where", "what", "why")
		n := 0
		for _, f := range r.Faults {
			if f.Leaves == part.leaves && (all || part.leaves == "rule") {
				t.row(fmt.Sprintf("%s:%d", f.File, f.Line), f.What, f.Why)
				n++
			}
		}
		if n == 0 {
			continue
		}
		_, _ = fmt.Fprintln(c.Stdout, "\n"+c.paint(bold, part.title))
		if err := t.print(c.Stdout); err != nil {
			return err
		}
	}
	return nil
}

// ruleCost is one line of rules slowest --json.
type ruleCost struct {
	Rule         string  `json:"rule"`
	Microseconds float64 `json:"microseconds"` // per message
	Definition   string  `json:"definition"`
}

func (c *command) rulesSlowest() *cobra.Command {
	var dirs []string
	n, mbox := 10, false
	cmd := &cobra.Command{Use: "slowest FILE...|FOLDER...|-", Short: "Show which rules take the time", Args: several("files with a message each, folders of them, or - for standard input"),
		Long: "Run rules on messages and show which take the time, in microseconds per message. Patterns that are looked for together share the time of\n" +
			"their pass. Without --rules the gateway's own rules run.",
		Example: "  postern rules slowest --rules /etc/postern/rules samples/"}
	cmd.Flags().StringArrayVar(&dirs, "rules", nil, "`folder` of .cf files; may be given again")
	cmd.Flags().IntVar(&n, "top", n, "how many rules are shown")
	cmd.Flags().BoolVar(&mbox, "mbox", false, "the files are mailboxes with several messages")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		letters, err := c.letters(args, mbox)
		if err != nil {
			return err
		}
		timer, err := app.NewRuleTimer(dirs)
		if err != nil {
			return usagef("--rules: %v", err)
		}
		failed := false
		for l := range letters {
			if l.err != nil {
				c.warn("%v", l.err)
				failed = true
				continue
			}
			timer.Add(l.raw)
		}
		dearest, messages, definition := timer.Slowest(n)
		t := c.table("µs/message", "rule", "definition")
		for _, d := range dearest {
			cost := ruleCost{d.Rule, float64(d.Time.Nanoseconds()) / 1000 / float64(max(1, messages)), definition(d.Rule)}
			if c.json {
				if err := c.object(cost); err != nil {
					return err
				}
				continue
			}
			t.row(cell{text: fmt.Sprintf("%.1f", cost.Microseconds), right: true}, cost.Rule, cost.Definition)
		}
		if !c.json {
			_, _ = fmt.Fprintf(c.Stdout, "%s.\n\n", count(messages, "message"))
			if err := t.print(c.Stdout); err != nil {
				return err
			}
		}
		if failed {
			return errSaid
		}
		return nil
	}
	return c.jsonFlag(cmd)
}
