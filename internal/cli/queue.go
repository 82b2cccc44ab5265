package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) queue() *cobra.Command {
	return branch("queue", "See and steer the mail that is here", c.queueList(), c.queueShow(), c.queueExplain(), c.queueRetry(), c.queueHold(),
		c.queueRelease(), c.queueDrop(), c.queueRetest(), c.queueTop())
}

// stateStyle gives each state its looks.
func stateStyle(s api.State) style {
	switch s {
	case api.Held, api.Slowed, api.Deferred:
		return yellow
	case api.Delivered:
		return green
	case api.Rejected, api.Blocked, api.Expired:
		return red
	}
	return plainText
}

func (c *command) queueList() *cobra.Command {
	var q api.ListQuery
	var most int
	var ids bool
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the messages that are here", Args: exactly(),
		Long: "List the messages that are here, in the order of arrival, with the next event and its reason below each.\n" +
			"States: queued (waits for its first attempt), slowed (a limit of ours makes it wait), deferred (the receiver said later), held (waits for a person).",
		Example: "  postern queue list --state held\n  postern queue list --domain example.com\n  postern queue list --state held --ids | xargs postern queue release"}
	cmd.Flags().StringVar(&q.State, "state", "", "only `held` or queued (waiting for delivery)")
	cmd.Flags().StringVar(&q.Customer, "customer", "", "only this customer's, by `id`")
	cmd.Flags().StringVar(&q.Domain, "domain", "", "only messages with a recipient in this `domain`")
	cmd.Flags().IntVar(&most, "limit", 200, "at most so many; 0 for all")
	cmd.Flags().BoolVar(&ids, "ids", false, "queue IDs only, one per line")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		t := c.table("ID", "STATE", "AGE", "SIZE", "FROM", "TO")
		states, n, more := map[api.State]int{}, 0, false
		var bytes int64
		for {
			q.Limit = 500
			if most > 0 {
				q.Limit = min(500, most-n)
			}
			page, err := server.List(ctx, q)
			if err != nil {
				return err
			}
			for _, m := range page.Messages {
				n++
				bytes += m.Size
				states[m.State]++
				switch {
				case ids:
					err = c.say("%s", m.ID)
				case c.json:
					err = c.object(m)
				default:
					c.listed(t, m)
				}
				if err != nil {
					return err
				}
			}
			q.Cursor = page.Next
			if more = page.Next != ""; !more || most > 0 && n >= most {
				break
			}
		}
		if ids || c.json {
			return nil
		}
		return c.endOfList(t, states, n, bytes, more)
	})
	return c.jsonFlag(cmd)
}

// listed adds one message to the list: who and whom, and below it what happens next.
func (c *command) listed(t *table, m api.Message) {
	now := c.now()
	from := m.ReversePath
	if from == "" {
		from = "<>"
	}
	to := ""
	if len(m.Recipients) > 0 {
		to = m.Recipients[0].Address
		if more := len(m.Recipients) - 1; more > 0 {
			to += fmt.Sprintf(" +%d", more)
		}
	}
	t.row(m.ID, cell{text: string(m.State), style: stateStyle(m.State)}, cell{text: short(now.Sub(m.Received)), right: true},
		cell{text: size(m.Size), right: true}, from, to)
	if m.Subject != "" {
		t.note(plainText, "“"+m.Subject+"”")
	}
	next := "next attempt " + relative(m.NextAt, now) + " (" + clock(m.NextAt) + ")"
	switch {
	case m.State == api.Held:
		next = "held until " + clock(m.NextAt) + " (" + relative(m.NextAt, now) + ")"
	case !m.NextAt.After(now):
		next = ""
	}
	if next != "" && m.Why != "" {
		next += ": "
	}
	t.note(dim, next+m.Why)
}

func (c *command) endOfList(t *table, states map[api.State]int, n int, bytes int64, more bool) error {
	if n == 0 {
		return c.say("No message is here.")
	}
	if err := t.print(c.Stdout); err != nil {
		return err
	}
	var parts []string
	for _, s := range []api.State{api.Queued, api.Slowed, api.Deferred, api.Held} {
		if states[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", states[s], s))
		}
	}
	text := fmt.Sprintf("%s, %s: %s", count(n, "message"), size(bytes), strings.Join(parts, ", "))
	if more {
		text += ". There are more: --limit 0 lists all"
	}
	return c.say("%s", text)
}

func (c *command) queueShow() *cobra.Command {
	var language string
	cmd := &cobra.Command{Use: "show ID", Short: "Show one message: envelope, recipients, what the filter found", Args: exactly("a queue ID")}
	languageFlag(cmd, &language, "the explanations of tests")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		m, err := server.Message(ctx, args[0], language)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(m)
		}
		return c.printMessage(m)
	})
	return c.jsonFlag(cmd)
}

func (c *command) printMessage(m api.Message) error {
	now := c.now()
	next := "Next event"
	if m.State == api.Held {
		next = "Held until"
	}
	from := m.ReversePath
	if from == "" {
		from = "<> (no sender: a notice)"
	}
	client := m.ClientIP
	if m.Hello != "" {
		client = strings.TrimSpace(client + " (" + m.Hello + ")")
	}
	if m.Credential != "" {
		client += ", logged in as " + m.Credential
	}
	if err := c.pairs(c.Stdout, "Message", cell{text: string(m.ID), style: bold}, "State", cell{text: string(m.State), style: stateStyle(m.State)},
		"Why", m.Why, next, both(m.NextAt, now), "Customer", m.Customer, "Envelope from", from, "From", m.HeaderFrom, "Subject", m.Subject,
		"Message-ID", m.MessageID, "Received", both(m.Received, now), "Gives up", both(m.Expires, now), "Size", size(m.Size), "Client", client,
		"Pool", m.Pool); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(c.Stdout)
	t := c.table("RECIPIENT", "STATE", "ATTEMPTS", "LAST", "NEXT")
	for _, r := range m.Recipients {
		answer := r.Answer
		if r.Code != 0 {
			answer = strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, strings.TrimPrefix(r.Answer, r.Enhanced))), " ")
		}
		if r.Host != "" {
			answer = r.Host + ": " + answer
		}
		at := "-"
		if !r.NextAt.IsZero() {
			at = relative(r.NextAt, now)
			if !r.NextAt.After(now) {
				at = "now"
			}
		}
		t.row(r.Address, cell{text: string(r.State), style: stateStyle(r.State)}, cell{text: fmt.Sprint(r.Attempts), right: true}, relative(r.Last, now), at)
		if answer != "" {
			t.lines(dim, answer)
		}
	}
	if err := t.print(c.Stdout); err != nil {
		return err
	}
	if m.Verdict == nil {
		return nil
	}
	_, _ = fmt.Fprintln(c.Stdout)
	return c.printVerdict(*m.Verdict)
}

func (c *command) queueExplain() *cobra.Command {
	var language string
	cmd := &cobra.Command{Use: "explain ID", Short: "Say why a message waits, and until when", Args: exactly("a queue ID")}
	languageFlag(cmd, &language, "the sentences")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		e, err := server.ExplainIn(ctx, args[0], language)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(e)
		}
		head := c.paint(bold, clean(string(e.ID))) + "  " + c.paint(stateStyle(e.State), clean(string(e.State)))
		if e.NextAt.After(c.now()) {
			head += ", next event " + both(e.NextAt, c.now())
		}
		_, _ = fmt.Fprintln(c.Stdout, head)
		for _, s := range e.Sentences {
			_, _ = fmt.Fprint(c.Stdout, wrap(clean(s), "  ", c.columns))
		}
		return nil
	})
	return c.jsonFlag(cmd)
}

func (c *command) queueRetry() *cobra.Command {
	var all bool
	cmd := &cobra.Command{Use: "retry ID... | --all", Short: "Try messages now instead of at their time"}
	cmd.Flags().BoolVar(&all, "all", false, "every queued message")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if all == (len(args) > 0) {
			return usagef("%s needs queue IDs, or --all alone", cmd.CommandPath())
		}
		return nil
	}
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		if all {
			args = []string{"all"}
		}
		return c.each(args, func(id string) (api.Done, error) {
			if all {
				return server.RetryAll(ctx)
			}
			return server.Retry(ctx, id)
		})
	})
	return c.jsonFlag(cmd)
}

func (c *command) queueHold() *cobra.Command {
	var reason string
	var length time.Duration
	cmd := &cobra.Command{Use: "hold ID...", Short: "Set queued messages aside until they are released", Args: several("queue IDs"),
		Example: "  postern queue hold 06ev2c9d3kq0zt4n8m1x7y5a2b --reason 'customer asked' --for 24h"}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the journal")
	cmd.Flags().DurationVar(&length, "for", 0, "`length` of the hold, as 90m or 24h (default: as configured)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if length < 0 {
			return usagef("--for %s: expected a length of time such as 24h", length)
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		r := api.HoldRequest{Reason: reason}
		if length > 0 {
			r.Until = c.now().Add(length)
		}
		return c.each(args, func(id string) (api.Done, error) { return server.Hold(cmd.Context(), id, r) })
	}
	return c.jsonFlag(cmd)
}

func (c *command) queueRelease() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "release ID...", Short: "Let held messages go as they are", Args: several("queue IDs"),
		RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
			return c.each(args, func(id string) (api.Done, error) { return server.Release(ctx, id) })
		})})
}

func (c *command) queueDrop() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "drop ID...", Short: "Remove messages for good; their senders are not told", Args: several("queue IDs"),
		Long: "Remove messages for good. Their senders are not told. On a terminal it asks first, unless --yes is given."}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		if _, person := terminal(c.Stdin); person && !yes {
			if !c.agreed(fmt.Sprintf("Remove %s for good?", count(len(args), "message"))) {
				return c.say("Nothing is removed.")
			}
		}
		return c.each(args, func(id string) (api.Done, error) { return server.Drop(ctx, id) })
	})
	return c.jsonFlag(cmd)
}

// agreed asks a person; everything but a plain yes is no.
func (c *command) agreed(question string) bool {
	_, _ = fmt.Fprint(c.Stderr, question+" [y/N] ")
	line, _ := bufio.NewReader(c.Stdin).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

func (c *command) queueRetest() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "retest ID...", Short: "Test held messages again; those no longer above the threshold are released", Args: several("queue IDs"),
		RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
			return c.each(args, func(id string) (api.Done, error) {
				r, err := server.Retest(ctx, id)
				return api.Done{Text: r.Text}, err
			})
		})})
}
