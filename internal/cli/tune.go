package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) tune() *cobra.Command {
	cmd := branch("tune", "Points of tests, allow and deny lists, and what a change would do",
		c.tuneScores(), c.tuneList("allow", "let through"), c.tuneList("deny", "hold or refuse"), c.tuneWhatIf())
	cmd.Long = "Points of tests, allow and deny lists, for everybody or for one customer (--customer). A change counts from the next message on, on every\n" +
		"node, survives restarts, and stands in the journal with who made it. What the configuration file says is changed there only.\n" +
		"Of several settings the customer's counts, then everybody's, then the test's own points. A deny beats every allow."
	return cmd
}

func (c *command) tuneScores() *cobra.Command {
	var customer string
	cmd := branch("scores", "Points of tests", c.scoresList(&customer), c.scoresSet(&customer), c.scoresUnset(&customer))
	cmd.PersistentFlags().StringVar(&customer, "customer", "", "`id` of the customer whose mail it is about (default: everybody's)")
	return cmd
}

func (c *command) scoresList(customer *string) *cobra.Command {
	var all bool
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List points that are not the tests' own; with --customer, what counts for him", Args: exactly()}
	cmd.Flags().BoolVar(&all, "all", false, "every test")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		scores, err := server.Scores(ctx, *customer, all)
		if err != nil {
			return err
		}
		t := c.table("TEST", "POINTS", "BUILT-IN", "FOR", "SET BY", "SINCE")
		return printList(c, scores, "Every test has its own points. Give one others: postern tune scores set TEST=POINTS", t, func(x api.TestScore) {
			set := cell{text: exact(x.Points), right: true, style: yellow}
			switch {
			case x.Origin == "":
				set.style = plainText
			case x.Points == 0:
				set.text, set.style = "off", dim
			}
			t.row(x.Test, set, cell{text: exact(x.Default), right: true}, whose(x.Customer, x.Origin), author(x.By, x.Origin), clock(x.At))
		})
	})
	return c.jsonFlag(cmd)
}

// exact writes points as they were set.
func exact(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) }

// whose says for whom something counts; nothing is said of what nobody set.
func whose(customer, origin string) string {
	switch {
	case customer != "":
		return customer
	case origin == "":
		return "-"
	}
	return "everybody"
}

// author says who set something.
func author(by, origin string) string {
	switch {
	case origin == "config":
		return "configuration"
	case by == "":
		return "-"
	}
	return strings.TrimPrefix(by, "operator:")
}

// testPoints reads TEST=POINTS.
func testPoints(args []string) (map[string]float64, error) {
	out := map[string]float64{}
	for _, arg := range args {
		test, value, ok := strings.Cut(arg, "=")
		p, err := strconv.ParseFloat(value, 64)
		if !ok || err != nil || test == "" {
			return nil, usagef("%q is not TEST=POINTS, like SPF_NONE=0.5", arg)
		}
		if _, twice := out[test]; twice {
			return nil, usagef("%s is named twice", test)
		}
		out[test] = p
	}
	return out, nil
}

func (c *command) scoresSet(customer *string) *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "set TEST=POINTS...", Short: "Give tests other points; 0 switches a test off", Args: several("TEST=POINTS"),
		Example: "  postern tune scores set MIME_HTML_ONLY=0.5 SPF_NONE=2\n  postern tune scores --customer bakery set T_REMOTE_IMAGE=0",
		RunE: func(cmd *cobra.Command, args []string) error {
			points, err := testPoints(args)
			if err != nil {
				return err
			}
			server, err := c.server()
			if err != nil {
				return err
			}
			done, err := server.SetScores(cmd.Context(), api.ScoresRequest{Customer: *customer, Points: points})
			return c.tuned(done, err)
		}})
}

func (c *command) scoresUnset(customer *string) *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "unset TEST...", Short: "Give tests their own points back", Args: several("a test's name"), RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
		done, err := server.UnsetScores(ctx, api.UnsetRequest{Customer: *customer, Tests: args})
		return c.tuned(done, err)
	})})
}

// tuned prints what was done.
func (c *command) tuned(done api.Done, err error) error {
	switch {
	case err != nil:
		return err
	case c.json:
		return c.object(done)
	}
	return c.say("%s.", capital(done.Text))
}

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// entryForms is the help on how entries are written.
const entryForms = "An entry is from:ADDRESS, from-domain:DOMAIN, to:ADDRESS, to-domain:DOMAIN (domains with everything below), client:ADDRESS or NETWORK, or\n" +
	"credential:USER."

func (c *command) tuneList(kind, what string) *cobra.Command {
	var customer string
	long := map[string]string{
		"allow": "What is always let through. A message is let through when an entry covers its client or its login, or when entries cover all its From\n" +
			"addresses or all its recipients. Nothing with a virus is, and nothing that a deny list names. From is easily forged by whoever may use\n" +
			"the customer's network: name a client or a credential where you can.",
		"deny": "What is always held, or refused for customers whose mode says so. One address of a message is enough. The sender sees entry and note, and\n" +
			"cannot release the message.",
	}[kind]
	cmd := branch(kind, "What is always "+map[string]string{"allow": "let through", "deny": "held or refused"}[kind],
		c.entriesList(kind, what, &customer), c.entryAdd(kind, &customer), c.entryRemove(kind, &customer))
	cmd.Long = long + "\n\n" + entryForms
	cmd.PersistentFlags().StringVar(&customer, "customer", "", "`id` of the customer whose mail it is about (default: everybody's)")
	return cmd
}

func (c *command) entriesList(kind, what string, customer *string) *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the entries; with --customer, what counts for him", Args: exactly(), RunE: c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		entries, err := server.Entries(ctx, kind, *customer)
		if err != nil {
			return err
		}
		t := c.table("ENTRY", "FOR", "UNTIL", "MADE BY", "SINCE", "NOTE")
		return printList(c, entries, fmt.Sprintf("The list is empty. To %s something: postern tune %s add ENTRY", what, kind), t, func(x api.ListEntry) {
			until := cell{text: clock(x.Until)}
			entry := cell{text: x.Entry}
			if x.Ended {
				until, entry.style = cell{text: "ended " + clock(x.Until), style: red}, dim
			}
			by := author(x.By, x.Origin)
			if x.Own {
				by = "the sender"
			}
			t.row(entry, whose(x.Customer, x.Origin), until, by, clock(x.At), x.Note)
		})
	})})
}

func (c *command) entryAdd(kind string, customer *string) *cobra.Command {
	var until, note string
	cmd := &cobra.Command{Use: "add ENTRY...", Short: "Put entries on the list, or change end and note of those that are there", Long: entryForms, Args: several("an entry"),
		Example: "  postern tune " + kind + " add from-domain:news.example --until 30d --note 'asked by phone'\n  postern tune " + kind + " --customer bakery add client:192.0.2.10"}
	cmd.Flags().StringVar(&until, "until", "", "when it `ends`: 48h, 30d, 2027-01-31 (default: never)")
	cmd.Flags().StringVar(&note, "note", "", "why; the `text` is shown to the sender of a message that is stopped")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ends, err := ending("--until", until, c.now())
		if err != nil {
			return err
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		return c.each(args, func(entry string) (api.Done, error) {
			x, err := server.AddEntry(cmd.Context(), api.ListEntry{Kind: kind, Customer: *customer, Entry: entry, Until: ends, Note: note})
			if err != nil {
				return api.Done{}, err
			}
			text := fmt.Sprintf("%s is on the %s list for %s", x.Entry, kind, whose(x.Customer, x.Origin))
			if !x.Until.IsZero() {
				text += " until " + clock(x.Until)
			}
			if x.Warning != "" {
				c.warn("%s: %s", x.Entry, x.Warning)
			}
			return api.Done{Text: text + "; it counts from the next message on"}, nil
		})
	}
	return c.jsonFlag(cmd)
}

func (c *command) entryRemove(kind string, customer *string) *cobra.Command {
	var own bool
	cmd := &cobra.Command{Use: "remove ENTRY...", Aliases: []string{"rm"}, Short: "Take entries off the list", Args: several("an entry")}
	if kind == "allow" {
		cmd.Flags().BoolVar(&own, "own", false, "an entry that the customer's sender made himself")
	}
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		return c.each(args, func(entry string) (api.Done, error) {
			return server.RemoveEntry(ctx, api.ListEntry{Kind: kind, Customer: *customer, Entry: entry, Own: own})
		})
	})
	return c.jsonFlag(cmd)
}

// printSettings prints facts that are about no message: what somebody changed.
func (c *command) printSettings(facts []api.Fact, more bool) error {
	if len(facts) == 0 {
		return nil
	}
	t := c.table("TIME", "WHAT", "FOR", "BY", "CHANGE")
	for _, f := range facts {
		text := f.Text
		if f.Recipient != "" {
			text = f.Recipient + ": " + happened(f)
		}
		t.row(clock(f.At), word(f), whose(f.Customer, "database"), author(f.Actor, ""), text)
	}
	if err := t.print(c.Stdout); err != nil || !more {
		return err
	}
	return c.say("")
}
