package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) reputation() *cobra.Command {
	return branch("reputation", "See what blocklists say of our addresses and domains", c.reputationList(), c.reputationShow(), c.reputationLook(), c.dossierList(), c.dossierShow())
}

func (c *command) reputationList() *cobra.Command {
	all := false
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List what is on a blocklist that counts", Args: exactly(),
		Long: "List the addresses and domains that are on a blocklist that counts, and say in a line how everything stands. Exit code 1 while something of ours is listed."}
	cmd.Flags().BoolVar(&all, "all", false, "list what is watched, listed or not")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		sum, err := server.Reputation(ctx)
		if err != nil {
			return err
		}
		found, err := server.Watched(ctx, !all)
		if err != nil {
			return err
		}
		if c.json {
			err = c.object(struct {
				Summary api.Reputation      `json:"summary"`
				Targets []api.WatchedTarget `json:"targets"`
			}{sum, found.Targets})
		} else {
			err = c.printReputation(sum, found)
		}
		if err == nil && sum.EgressListed+sum.DomainsListed > 0 {
			err = errBad
		}
		return err
	})
	return c.jsonFlag(cmd)
}

func (c *command) printReputation(sum api.Reputation, found api.WatchedTargets) error {
	if err := c.say("%d of %d sending addresses and %d of %d domains are listed; %d of %d lists are asked.", sum.EgressListed, sum.Egress, sum.DomainsListed, sum.Domains, sum.ListsUsable, sum.Lists); err != nil {
		return err
	}
	if sum.Ranged > 0 {
		_ = c.say("%d of %d addresses of ranges are listed.", sum.RangedListed, sum.Ranged)
	}
	if sum.Unlooked > 0 {
		_ = c.say("%s", c.paint(yellow, fmt.Sprintf("%d were not looked at in time: they are not known to be clean.", sum.Unlooked)))
	}
	if len(found.Targets) == 0 {
		return nil
	}
	t := c.table("TARGET", "STATE", "LISTS", "NO ANSWER", "ROLE", "LAST LOOK")
	for _, x := range found.Targets {
		state := cell{text: "clean", style: green}
		switch {
		case x.Listings > 0:
			state = cell{text: "listed", style: red}
		case x.Checked == nil:
			state = cell{text: "not looked at", style: dim}
		case x.Unknown > 0:
			state = cell{text: "partly known", style: yellow}
		}
		look := "never"
		if x.Checked != nil {
			look = both(*x.Checked, c.now())
		}
		t.row(x.Target, state, cell{text: fmt.Sprint(x.Listings), right: true}, cell{text: fmt.Sprint(x.Unknown), right: true}, strings.Join(x.Roles, ", "), look)
	}
	return t.print(c.Stdout)
}

func (c *command) reputationShow() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "show ADDRESS|DOMAIN", Short: "Show what each list says of one address or domain", Args: exactly("the address or domain"), RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
		x, err := server.WatchedTarget(ctx, args[0])
		if err != nil {
			return err
		}
		return c.printWatched(x)
	})})
}

func (c *command) reputationLook() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "look ADDRESS|DOMAIN", Short: "Ask all lists about one address or domain now", Args: exactly("the address or domain"), RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
		x, err := server.LookWatched(ctx, args[0])
		if err != nil {
			return err
		}
		return c.printWatched(x)
	})})
}

func (c *command) printWatched(x api.WatchedTarget) error {
	if c.json {
		return c.object(x)
	}
	t := c.table("LIST", "STATE", "WEIGHT", "SINCE", "WHAT IT SAYS")
	for _, l := range x.Lists {
		style := dim
		switch l.State {
		case "listed":
			style = red
		case "clean":
			style = green
		case "unknown":
			style = yellow
		}
		since := ""
		if l.Since != nil {
			since = both(*l.Since, c.now())
		}
		t.row(l.List, cell{text: l.State, style: style}, cell{text: fmt.Sprint(l.Weight), right: true}, since, clean(strings.Join(append(l.Names, l.Reason), " ")))
	}
	return t.print(c.Stdout)
}

func (c *command) dossierList() *cobra.Command {
	lang, state := "en", ""
	cmd := &cobra.Command{Use: "dossiers", Short: "List the dossiers of listings, with the likeliest cause of each", Args: exactly()}
	languageFlag(cmd, &lang, "the texts")
	cmd.Flags().StringVar(&state, "state", "", "only those in a `state`: open, mending, requested, clean or closed")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		all, err := server.Dossiers(ctx, state, lang)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(all)
		}
		if len(all.Dossiers) == 0 {
			return c.say("%s", c.paint(green, "There is no dossier."))
		}
		t := c.table("DOSSIER", "TARGET", "LIST", "STATE", "LIKELIEST CAUSE", "LISTED SINCE")
		for _, d := range all.Dossiers {
			cause := "not known yet"
			if len(d.Causes) > 0 && d.Causes[0].Points > 0 {
				cause = d.Causes[0].Name
			}
			t.row(d.ID, d.Target, clean(d.List), cell{text: d.State, style: dossierStyle(d.State)}, cause, both(d.Listed, c.now()))
		}
		return t.print(c.Stdout)
	})
	return c.jsonFlag(cmd)
}

func dossierStyle(state string) style {
	switch state {
	case "open":
		return red
	case "mending", "requested":
		return yellow
	case "clean":
		return green
	}
	return dim
}

func (c *command) dossierShow() *cobra.Command {
	var lang string
	cmd := &cobra.Command{Use: "dossier ID", Short: "Show one dossier: its causes with the evidence, and what to do", Args: exactly("the dossier's ID")}
	languageFlag(cmd, &lang, "the texts")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		d, err := server.Dossier(ctx, args[0], lang)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(d)
		}
		_, _ = fmt.Fprintf(c.Stdout, "%s  %s  %s\n\n", c.paint(bold, d.Target), clean(d.List), c.paint(dossierStyle(d.State), d.State))
		for _, x := range d.Causes {
			_, _ = fmt.Fprintf(c.Stdout, "%s  %s\n", c.paint(bold, x.Name), x.Likelihood)
			for _, r := range x.Reasons {
				_, _ = fmt.Fprint(c.Stdout, wrap(fmt.Sprintf("%+d  %s", r.Points, clean(r.Text)), "    ", c.columns))
			}
		}
		_, _ = fmt.Fprintln(c.Stdout)
		for _, x := range d.Checklist {
			mark := "[ ]"
			if x.Done {
				mark = c.paint(green, "[x]")
			}
			_, _ = fmt.Fprintf(c.Stdout, "%s %s\n", mark, x.What)
			if !x.Done {
				_, _ = fmt.Fprint(c.Stdout, wrap(clean(x.How), "      ", c.columns))
			}
		}
		return nil
	})
	return c.jsonFlag(cmd)
}
