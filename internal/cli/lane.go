package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) lane() *cobra.Command {
	cmd := branch("lane", "See and steer the lanes mail leaves on", c.laneList(), c.laneHistory(), c.lanePause(), c.laneLift())
	cmd.Aliases = []string{"lanes"}
	cmd.Long = "See and steer the lanes mail leaves on.\n\nA lane is the queue towards one provider from one of our addresses. `list` shows those that have work, and what is in " +
		"force on them and why; `history` what has been; `pause` lets nothing leave on one; `lift` ends what is in force."
	return cmd
}

func (c *command) laneList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Show the lanes that have work or something in force", Args: exactly(), RunE: c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		lanes, err := server.Lanes(ctx)
		if err != nil {
			return err
		}
		t := c.table("LANE", "WAITING", "SENDING", "CONNECTIONS", "PER MINUTE", "TODAY", "STATE")
		return printList(c, lanes, "No lane has work, and nothing is in force.", t, func(l api.Lane) { c.laneRow(t, l) })
	})})
}

// laneRow is one lane, and below it what is in force and how to lift it.
func (c *command) laneRow(t *table, l api.Lane) {
	number := func(n int) cell { return cell{text: fmt.Sprint(n), right: true} }
	state := cell{text: "working", style: green}
	switch {
	case len(l.InForce) > 0:
		if state = (cell{text: laneStates[l.InForce[0].Kind], style: yellow}); l.InForce[0].Scope != "" || l.InForce[0].Customer != "" {
			state.text = "in part " + state.text
		}
	case l.Waiting > 0 && l.Connections >= l.Limit:
		state = cell{text: "all connections busy", style: yellow}
	case l.Waiting == 0 && l.Busy == 0:
		state = cell{text: "idle", style: dim}
	}
	rate := fmt.Sprint(l.Sent)
	if l.Rate > 0 {
		rate += fmt.Sprintf(" of %.0f", l.Rate)
	}
	name := l.Lane
	if len(name) > 60 {
		name = name[:57] + "…"
	}
	t.row(name, number(l.Waiting), number(l.Busy), cell{text: fmt.Sprintf("%d of %d", l.Connections, l.Limit), right: true}, cell{text: rate, right: true}, number(l.Today), state)
	for _, r := range l.InForce {
		t.note(plainText, c.inForce(r))
		if r.Evidence != "" && r.Kind != "operator" {
			t.note(dim, "“"+r.Evidence+"”")
		}
	}
}

// laneStates are the kinds of what is in force, for people.
var laneStates = map[string]string{"pause": "paused", "slow": "slowed", "watch": "watched", "governor": "paused", "unreachable": "not reachable", "operator": "paused by hand"}

// inForce is a reaction in one line, with what lifts it.
func (c *command) inForce(r api.Reaction) string {
	now := c.now()
	by := ""
	if r.By != "" && r.By != "rule" {
		by = " by " + r.By
	}
	return fmt.Sprintf("%s. Since %s%s, until %s (%s). To lift it: postern lane lift %s", strings.TrimSuffix(r.Text, "."), clock(r.Started), by, clock(r.Ends), relative(r.Ends, now), r.ID)
}

func (c *command) laneHistory() *cobra.Command {
	limit := 100
	cmd := &cobra.Command{Use: "history [LANE]", Short: "Show what was in force in the last 30 days, and how it ended", Args: cobra.MaximumNArgs(1),
		Long:    "Show what was in force in the last 30 days and has ended, the latest end first: on which lane, for how long, why, and what ended it. LANE is a lane's name, or a provider's name for all its lanes.",
		Example: "  postern lane history orange\n  postern lane history --limit 1000 --json"}
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many, 1 to 10000")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 1 || limit > 10_000 {
			return usagef("--limit is between 1 and 10000")
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		all, err := server.History(cmd.Context(), strings.Join(args, ""), limit)
		if err != nil {
			return err
		}
		t := c.table("ENDED", "LANE", "WHAT", "FOR", "HOW IT ENDED")
		return printList(c, all, "Nothing has ended in the last 30 days.", t, func(r api.Reaction) {
			t.row(clock(r.Ended), r.Lane, laneStates[r.Kind], cell{text: short(r.Ended.Sub(r.Started)), right: true}, cmp.Or(r.EndedText, r.EndedBy))
			t.note(plainText, r.Text)
			if r.Evidence != "" && r.Kind != "operator" {
				t.note(dim, "“"+r.Evidence+"”")
			}
		})
	}
	return c.jsonFlag(cmd)
}

func (c *command) lanePause() *cobra.Command {
	var length time.Duration
	var reason, address string
	cmd := &cobra.Command{Use: "pause [LANE]", Short: "Let nothing leave on a lane for a while", Args: cobra.MaximumNArgs(1),
		Long: "Let nothing leave on a lane for a while. Its mail waits, and nobody else's does. LANE is a name that `postern lane list` shows, or that of a provider (`postern provider list`), whether it has mail " +
			"now or not. A provider alone stands for its lanes from all our addresses; --address alone for all lanes of that address, also those to come.",
		Example: "  postern lane pause orange --for 2h --reason \"their postmaster asked\"\n  postern lane pause orange --address 192.0.2.10 --for 30m\n  postern lane pause --address 192.0.2.10 --reason \"it moves\""}
	cmd.Flags().StringVar(&address, "address", "", "only mail from this of our `addresses`")
	cmd.Flags().DurationVar(&length, "for", time.Hour, "for so long, at most 30 days")
	cmd.Flags().StringVar(&reason, "reason", "", "`why`, for those who ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if length <= 0 || length > 30*24*time.Hour {
			return errors.New("--for is between a second and 720h (30 days)")
		}
		name := strings.Join(args, "")
		switch {
		case name == "" && address == "":
			return usagef("which lane? Name a provider, --address, or both")
		case name == "":
			name = "* " + address
		case address != "" && strings.Contains(name, " "):
			return usagef("%q names an address already; leave --address out", name)
		case address != "":
			name += " " + address
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		made, err := server.PauseLane(cmd.Context(), api.PauseRequest{Lane: name, Until: c.now().Add(length), Reason: reason})
		if err != nil {
			return err
		}
		for _, r := range made {
			if c.json {
				err = c.object(r)
			} else {
				err = c.say("%s is paused until %s; `postern lane lift %s` ends it", r.Lane, clock(r.Ends), r.ID)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return c.jsonFlag(cmd)
}

func (c *command) laneLift() *cobra.Command {
	return &cobra.Command{Use: "lift ID...", Short: "End what is in force on a lane", Args: cobra.MinimumNArgs(1),
		Long: "End what is in force on a lane now. ID is what `postern lane list` shows below the lane. The lane's mail comes forward at once, a little apart.",
		RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
			for _, id := range args {
				d, err := server.Lift(ctx, id)
				if err != nil {
					return err
				}
				if err := c.say("%s", d.Text); err != nil {
					return err
				}
			}
			return nil
		})}
}
