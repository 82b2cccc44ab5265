package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) credentialLimits() *cobra.Command {
	var x api.CredentialSettings
	cmd := &cobra.Command{Use: "limits USER", Short: "Show what a credential may send and has sent, or change what it may", Args: exactly("a user name"),
		Long: "Show what a credential may send and has sent, or change what it may: what is named changes, the rest stays. 0 takes a limit away, and\n" +
			"--network '' lets it be used from anywhere. Hours and days are those of UTC. What is above a limit hears 450 and comes again.",
		Example: "  postern credential limits bakery-abcdefgh --messages-hour 200 --recipients-day 5000\n  postern credential limits bakery-abcdefgh --network 192.0.2.0/24"}
	f := cmd.Flags()
	f.IntVar(&x.MessagesHour, "messages-hour", 0, "most `messages` of an hour; 0: no limit")
	f.IntVar(&x.MessagesDay, "messages-day", 0, "most `messages` of a day")
	f.IntVar(&x.RecipientsDay, "recipients-day", 0, "most `recipients` of a day")
	f.StringSliceVar(&x.Networks, "network", nil, "client `network` it is taken from; may be given again")
	f.StringVar(&x.Label, "label", "", "what uses it, for people")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		old, err := credentialOf(ctx, server, args[0])
		if err != nil {
			return err
		}
		y, changed := api.CredentialSettings{Label: old.Label, CredentialBounds: old.CredentialBounds}, false
		for name, take := range map[string]func(){
			"messages-hour": func() { y.MessagesHour = x.MessagesHour }, "messages-day": func() { y.MessagesDay = x.MessagesDay },
			"recipients-day": func() { y.RecipientsDay = x.RecipientsDay }, "label": func() { y.Label = x.Label },
			"network": func() { y.Networks = named(x.Networks) },
		} {
			if cmd.Flags().Changed(name) {
				take()
				changed = true
			}
		}
		if changed {
			if old, err = server.UpdateCredential(ctx, args[0], y); err != nil {
				return err
			}
		}
		use, err := server.CredentialUse(ctx, args[0])
		if err != nil {
			return err
		}
		return c.printLimits(old, use)
	})
	return c.jsonFlag(cmd)
}

// named leaves out the empty names of a list.
func named(values []string) []string {
	var out []string
	for _, v := range values {
		if v != "" {
			out = append(out, v)
		}
	}
	return out
}

// credentialOf finds a credential among those of its customer, whose id its name begins with.
func credentialOf(ctx context.Context, server *api.Client, user string) (api.Credential, error) {
	missing := fmt.Errorf("there is no credential %q; postern credential list shows all", user)
	at := strings.LastIndexByte(user, '-')
	if at < 0 {
		return api.Credential{}, missing
	}
	all, err := server.Credentials(ctx, user[:at])
	if err != nil {
		return api.Credential{}, err
	}
	for _, x := range all {
		if x.User == user {
			return x, nil
		}
	}
	return api.Credential{}, missing
}

func (c *command) printLimits(x api.Credential, use api.CredentialUse) error {
	if c.json {
		return c.object(struct {
			api.Credential
			Use api.CredentialUse `json:"use"`
		}{x, use})
	}
	networks := "anywhere"
	if len(x.Networks) > 0 {
		networks = strings.Join(x.Networks, ", ")
	}
	messages, refused := 0, 0
	for _, d := range use.Days {
		messages, refused = messages+d.Messages, refused+d.Refused
	}
	return c.pairs(c.Stdout, "User", cell{text: x.User, style: bold}, "Label", x.Label,
		"Last hour", used(use.MessagesHour, x.MessagesHour, "messages"), "Last 24 hours", used(use.MessagesDay, x.MessagesDay, "messages")+", "+used(use.RecipientsDay, x.RecipientsDay, "recipients"),
		"Last 30 days", fmt.Sprintf("%d messages, %d refused", messages, refused), "Last used", lastUse(x), "Taken from", networks)
}

// used is what is used of a limit.
func used(n, most int, what string) string {
	if most == 0 {
		return fmt.Sprintf("%d %s (no limit)", n, what)
	}
	return fmt.Sprintf("%d of %d %s", n, most, what)
}

func lastUse(x api.Credential) string {
	switch {
	case x.LastUsed.IsZero():
		return "never"
	case x.LastIP != "":
		return clock(x.LastUsed) + " from " + x.LastIP
	}
	return clock(x.LastUsed)
}

// limitsOf are a credential's limits in one cell.
func limitsOf(x api.Credential) string {
	var out []string
	for _, l := range []struct {
		most int
		unit string
	}{{x.MessagesHour, "/h"}, {x.MessagesDay, "/d"}, {x.RecipientsDay, " rcpt/d"}} {
		if l.most > 0 {
			out = append(out, strconv.Itoa(l.most)+l.unit)
		}
	}
	if len(x.Networks) > 0 {
		out = append(out, "networks")
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, " ")
}
