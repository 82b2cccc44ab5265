package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

var operatorName = regexp.MustCompile(`[^A-Za-z0-9._@-]+`)

// operator is the person who runs the command: the journal keeps it.
func (c *command) operator() string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if v, ok := c.Env(name); ok && v != "" {
			return strings.TrimLeft(operatorName.ReplaceAllString(v, "-"), "-._@")
		}
	}
	return fmt.Sprintf("uid-%d", os.Getuid())
}

// server returns a client of the running gateway.
func (c *command) server() (*api.Client, error) {
	path := c.socket
	if path == "" {
		path, _ = c.Env("POSTERN_SOCKET")
	}
	if path == "" {
		conf, err := c.load()
		if err != nil {
			return nil, fmt.Errorf("the configuration would tell where the gateway's socket is, but: %w\nName the socket with --socket PATH", err)
		}
		path = conf.AdminSocket()
	}
	return api.NewClient(path, c.operator()), nil
}

// served makes a command out of what asks the running gateway.
func (c *command) served(run func(ctx context.Context, server *api.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		server, err := c.server()
		if err != nil {
			return err
		}
		return run(cmd.Context(), server.In(c.language), args)
	}
}

// printList prints what the gateway told: with --json an object a line, else the sentence none, or a table with what row adds for each value.
func printList[T any](c *command, all []T, none string, t *table, row func(T)) error {
	switch {
	case c.json:
		for _, x := range all {
			if err := c.object(x); err != nil {
				return err
			}
		}
		return nil
	case len(all) == 0:
		return c.say("%s", none)
	}
	for _, x := range all {
		row(x)
	}
	return t.print(c.Stdout)
}

// each does an act for each name; one that fails does not stop the others.
func (c *command) each(names []string, act func(name string) (api.Done, error)) error {
	var failed error
	for _, name := range names {
		d, err := act(name)
		switch {
		case errors.Is(err, api.ErrNoServer):
			return err
		case err != nil:
			c.warn("%s: %v", name, err)
			failed = errSaid
			continue
		case c.json:
			err = c.object(d)
		default:
			err = c.say("%s", d.Text)
		}
		if err != nil {
			return err
		}
	}
	return failed
}

func (c *command) status() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "status", Short: "Show how the gateway is", Args: exactly(), RunE: c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		st, err := server.Status(ctx)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(st)
		}
		return c.printStatus(st)
	})})
}

func (c *command) printStatus(st api.Status) error {
	now := c.now()
	q := st.Queue
	queued := waiting(q.Queued) + " for delivery"
	if q.Queued > 0 {
		queued += fmt.Sprintf(", the oldest for %s", short(now.Sub(st.OldestMail)))
	}
	held := waiting(q.Held) + " for a person"
	if q.Held > 0 {
		held += fmt.Sprintf(", the oldest for %s; `postern queue list --state held` shows them", short(now.Sub(st.OldestHeld)))
	}
	disk := cell{text: size(q.Bytes) + " of mail"}
	if q.FreeBytes >= 0 {
		disk.text += ", " + size(q.FreeBytes) + " free"
	}
	if q.Full {
		disk = cell{text: disk.text + ": nearly full, no mail is taken; free some space", style: red}
	}
	lanes := count(st.Lanes, "lane") + " at work"
	if st.LanesDown > 0 {
		lanes += fmt.Sprintf(", %d of them stand still; `postern lane list` tells why", st.LanesDown)
	}
	var day []string
	for _, kind := range []string{"accepted", "held", "rejected", "delivered", "deferred", "bounced", "expired"} {
		if n := st.LastDay[kind]; n > 0 {
			day = append(day, fmt.Sprintf("%d %s", n, kind))
		}
	}
	if day == nil {
		day = []string{"nothing"}
	}
	pairs := []any{"Postern", cell{text: st.Version + ", running since " + both(st.Started, now), style: bold}, "Queue", queued, "Held", held, "Disk", disk,
		"Lanes", lanes, "Last 24 h", strings.Join(day, ", "), "Customers", fmt.Sprint(st.Customers)}
	if q.Silent > 0 {
		pairs = append(pairs, "Attention", cell{text: count(q.Silent, "message") + " without a next event: please report this", style: red})
	}
	if q.Damaged > 0 {
		pairs = append(pairs, "Attention", cell{text: fmt.Sprintf("%d stored bodies were damaged: check the disk; the messages are held", q.Damaged), style: red})
	}
	for _, r := range st.Refusals {
		pairs = append(pairs, "Attention", cell{text: fmt.Sprintf("%s refuses our name server (%s) since %s: %s", r.Zone, r.Code, clock(r.Since), r.Text), style: yellow})
	}
	return c.pairs(c.Stdout, pairs...)
}

// waiting is a number of messages with its verb.
func waiting(n int) string {
	if n == 1 {
		return "1 message waits"
	}
	return count(n, "message") + " wait"
}

func (c *command) reload() *cobra.Command {
	return &cobra.Command{Use: "reload", Short: "Make the gateway read its configuration again", Args: exactly(),
		Long: "Make the gateway read its configuration again, as SIGHUP does. A configuration with a fault is refused whole and the running one stays.",
		RunE: c.served(func(ctx context.Context, server *api.Client, _ []string) error {
			d, err := server.Reload(ctx)
			if err != nil {
				return err
			}
			return c.say("%s", d.Text)
		})}
}
