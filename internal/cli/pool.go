package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) pool() *cobra.Command {
	cmd := branch("pool", "See the addresses mail leaves from, and how warm they are", c.poolList())
	cmd.Aliases = []string{"pools"}
	cmd.Long = "See the addresses mail leaves from, by the pool of the class of mail: their names, their warm-up, and the receivers that are about to forget them."
	return cmd
}

func (c *command) poolList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Show the pools, their addresses, warm-ups and floors", Args: exactly(),
		Long: "Show the pools and their addresses. Below an address that is new: what its plan allows today towards each receiver it has written to, and how much of it is used. Below any address: the receivers " +
			"that forget an address which sends too little, where yesterday was too little.",
		RunE: c.served(func(ctx context.Context, server *api.Client, _ []string) error {
			pools, err := server.Pools(ctx)
			if err != nil {
				return err
			}
			t := c.table("POOL", "ADDRESS", "NAME IN HELO", "STATE")
			return printList(c, pools, "There are no pools: mail leaves from whichever address the system chooses.", t,
				func(p api.Pool) { c.poolRows(t, p) })
		})})
}

// poolRows are the addresses of a pool, each with what is to be known of it.
func (c *command) poolRows(t *table, p api.Pool) {
	if len(p.Egress) == 0 {
		t.row(p.Name, "any", "-", cell{text: "the system chooses", style: dim})
	}
	for i, e := range p.Egress {
		name := ""
		if i == 0 {
			name = p.Name
		}
		state := cell{text: "warm", style: green}
		switch {
		case e.Day > 0:
			state = cell{text: fmt.Sprintf("new: day %d of %d", e.Day, e.Days), style: yellow}
		case !e.Warm():
			state = cell{text: "new to some", style: yellow}
		}
		t.row(name, cmp.Or(e.IP, "any"), e.HELO, state)
		for _, w := range e.WarmUps {
			t.note(plainText, warmUpText(w))
		}
		for _, f := range e.Floors {
			t.note(yellow, floorText(f))
		}
	}
	var more []string
	if p.Overflow != "" {
		more = append(more, "what its warm-up has no room for leaves from the pool "+p.Overflow)
	}
	if p.Strict {
		more = append(more, "what no address has room for waits for the next day")
	}
	if len(more) > 0 {
		t.note(dim, strings.Join(more, "; "))
	}
}

// warmUpText is how far an address has come towards one receiver.
func warmUpText(w api.WarmUp) string {
	s := fmt.Sprintf("%s: day %d of %d, %d of today's %d used, %d taken", cmp.Or(w.Title, w.Provider), w.Step+1, w.Steps, w.Used, w.Allowed, w.Accepted)
	if w.Held {
		s += "; too many refusals today, so that tomorrow is the same day again"
	}
	return s
}

// floorText is how little one receiver gets from an address.
func floorText(f api.Floor) string {
	days := make([]string, len(f.Days))
	for i, n := range f.Days {
		days[i] = fmt.Sprint(n)
	}
	what := "is about to forget"
	if f.Low >= len(f.Days) {
		what = "forgets"
	}
	return fmt.Sprintf("%s %s this address: fewer than %d messages a day since %s (the days before today: %s; today so far: %d)", cmp.Or(f.Title, f.Provider), what, f.Floor,
		f.Since.Format(time.DateOnly), strings.Join(days, ", "), f.Today)
}
