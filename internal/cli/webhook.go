package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) webhook() *cobra.Command {
	return branch("webhook", "Tell programs what becomes of mail", c.webhookList(), c.webhookAdd(), c.webhookAct("pause", "Tell webhooks nothing until they are resumed; nothing is lost"),
		c.webhookAct("resume", "Go on where webhooks were, whether paused, stopped or failing"), c.webhookReplay(), c.webhookAct("remove", "Take webhooks away"),
		c.webhookAct("test", "Post an event \"test\" now and say what came of it"))
}

func (c *command) webhookList() *cobra.Command {
	customer := ""
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List webhooks and how they fare", Args: exactly()}
	cmd.Flags().StringVar(&customer, "customer", "", "only those of this `customer`")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		all, err := server.Webhooks(ctx, customer)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(all)
		}
		if len(all) == 0 {
			return c.say("There is no webhook.")
		}
		t := c.table("ID", "OF", "LABEL", "STATE", "TAKEN", "ADDRESS", "LAST ANSWER")
		for _, h := range all {
			of := h.Customer
			if of == "" {
				of = "the gateway"
			}
			s := green
			switch h.State {
			case "failing", "paused":
				s = yellow
			case "stopped":
				s = red
			}
			t.row(h.ID, of, clean(h.Label), cell{text: string(h.State), style: s}, cell{text: fmt.Sprint(h.Taken), right: true}, clean(h.URL), hookAnswer(string(h.LastOutcome), h.LastStatus))
		}
		return t.print(c.Stdout)
	})
	return c.jsonFlag(cmd)
}

// hookAnswer is what came of a post in words.
func hookAnswer(outcome string, status int) string {
	if status != 0 {
		return fmt.Sprintf("%s (%d)", outcome, status)
	}
	return outcome
}

func (c *command) webhookAdd() *cobra.Command {
	var r api.HookRequest
	cmd := &cobra.Command{Use: "add URL", Short: "Make a webhook; its secret is shown this once", Args: exactly("URL"),
		Long: "Make a webhook. Without --customer it is the gateway's and is told the facts of all customers. Its secret is shown this once."}
	cmd.Flags().StringVar(&r.Customer, "customer", "", "`customer` whose facts it is told")
	cmd.Flags().StringVar(&r.Label, "label", "", "`text` for people")
	cmd.Flags().StringSliceVar(&r.Events, "event", nil, "`word` of an event, such as message.bounced; repeat for several; none: all")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		r.URL = args[0]
		h, err := server.AddWebhook(ctx, r)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(h)
		}
		return c.say("Webhook %s is made. Its secret is not shown again:\n%s", h.ID, h.Secret)
	})
	return c.jsonFlag(cmd)
}

// webhookAct is an act with webhooks that needs their IDs only.
func (c *command) webhookAct(name, short string) *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: name + " ID...", Short: short, Args: several("ID"), RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
		return c.each(args, func(id string) (api.Done, error) {
			switch name {
			case "pause":
				_, err := server.PauseWebhook(ctx, id)
				return api.Done{Text: "webhook " + id + " is paused"}, err
			case "resume":
				_, err := server.ResumeWebhook(ctx, id)
				return api.Done{Text: "webhook " + id + " goes on where it was"}, err
			case "remove":
				return server.RemoveWebhook(ctx, id)
			}
			a, err := server.TryWebhook(ctx, id)
			if err == nil && a.Outcome != "taken" {
				err = errors.New("the test was not taken: " + hookAnswer(string(a.Outcome), a.Status))
			}
			return api.Done{Text: "webhook " + id + " took the test, answer " + fmt.Sprint(a.Status)}, err
		})
	})})
}

func (c *command) webhookReplay() *cobra.Command {
	var since, event string
	cmd := &cobra.Command{Use: "replay ID", Short: "Tell a webhook everything again from a time or an event on", Args: exactly("ID"),
		Long: "Tell a webhook everything again from a time or an event on, as far back as the journal goes. Events keep their IDs."}
	cmd.Flags().StringVar(&since, "since", "", "from this `time` on: 2h, 3d, or 2026-12-24T12:00:00Z")
	cmd.Flags().StringVar(&event, "event", "", "from the event with this `ID` on")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r := api.ReplayRequest{Event: event}
		if (since == "") == (event == "") {
			return errors.New("name either --since or --event")
		}
		if since != "" {
			var err error
			if r.Since, err = moment(since, c.now()); err != nil {
				return err
			}
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		h, err := server.ReplayWebhook(cmd.Context(), args[0], r)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(h)
		}
		return c.say("Webhook %s is told everything again from there.", h.ID)
	}
	return c.jsonFlag(cmd)
}
