package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/api"
)

func (c *command) customers() *cobra.Command {
	return branch("customer", "Those who may send", c.customerAdd(), c.customerUpdate(), c.customerList(), c.customerShow(),
		c.customerSuspend(),
		c.customerAct("resume", "Let a suspended customer send again", (*api.Client).Resume),
		c.customerAct("delete", "Remove a customer with networks, domains and credentials", (*api.Client).DeleteCustomer))
}

// settingFlags are the flags of a customer's settings.
func settingFlags(cmd *cobra.Command, x *api.CustomerSettings) {
	f := cmd.Flags()
	f.StringVar(&x.Name, "name", "", "name, for people")
	f.StringVar(&x.Language, "language", "", "language of notices and pages: `fr` (default) or en")
	f.StringVar(&x.Contact, "contact", "", "`address` that gets notices")
	f.StringSliceVar(&x.Networks, "network", nil, "client `network` that needs no password, as 192.0.2.0/24; may be given again")
	f.StringSliceVar(&x.Domains, "domain", nil, "`domain` that may appear in From; may be given again")
	f.StringVar(&x.Pool, "pool", "", "egress `pool`")
	f.StringVar(&x.Mode, "mode", "", "what happens above the threshold: `hold` (default) or reject")
	f.Float64Var(&x.Threshold, "threshold", 0, "`points` above which a message is held (default 3)")
	f.BoolVar(&x.SelfRelease, "self-release", false, "the sender may release his own held messages")
	f.Float64Var(&x.ReleaseCeiling, "release-ceiling", 0, "... up to this number of `points` (default 8)")
	f.BoolVar(&x.AnyFrom, "any-from", false, "let any sender address through (relay networks of hosters only)")
	f.StringVar(&x.ReturnPath, "return-path", "", "envelope sender of his mail: kept, ours, or a `domain` of his that leads here")
	f.BoolVar(&x.DropAutoReplies, "drop-auto-replies", false, "keep automatic answers from the sender")
}

func (c *command) customerAdd() *cobra.Command {
	var x api.Customer
	cmd := &cobra.Command{Use: "add ID", Short: "Add a customer", Args: exactly("an id (a-z, 0-9 and -)"),
		Example: "  postern customer add bakery --name 'Boulangerie Martin' --contact owner@bakery.example --domain bakery.example"}
	settingFlags(cmd, &x.CustomerSettings)
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		x.ID = args[0]
		added, err := server.AddCustomer(ctx, x)
		if err != nil {
			return err
		}
		return c.printCustomer(added)
	})
	return c.jsonFlag(cmd)
}

func (c *command) customerUpdate() *cobra.Command {
	var x api.CustomerSettings
	cmd := &cobra.Command{Use: "update ID", Short: "Change the settings that are named, leave the others", Args: exactly("a customer's id")}
	settingFlags(cmd, &x)
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		old, err := server.Customer(ctx, args[0])
		if err != nil {
			return err
		}
		y := old.CustomerSettings
		for name, take := range map[string]func(){
			"name": func() { y.Name = x.Name }, "language": func() { y.Language = x.Language }, "contact": func() { y.Contact = x.Contact },
			"network": func() { y.Networks = x.Networks }, "domain": func() { y.Domains = x.Domains }, "pool": func() { y.Pool = x.Pool },
			"mode": func() { y.Mode = x.Mode }, "threshold": func() { y.Threshold = x.Threshold }, "self-release": func() { y.SelfRelease = x.SelfRelease },
			"release-ceiling": func() { y.ReleaseCeiling = x.ReleaseCeiling }, "any-from": func() { y.AnyFrom = x.AnyFrom },
			"return-path": func() { y.ReturnPath = x.ReturnPath }, "drop-auto-replies": func() { y.DropAutoReplies = x.DropAutoReplies },
		} {
			if cmd.Flags().Changed(name) {
				take()
			}
		}
		changed, err := server.UpdateCustomer(ctx, args[0], y)
		if err != nil {
			return err
		}
		return c.printCustomer(changed)
	})
	return c.jsonFlag(cmd)
}

func (c *command) customerList() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the customers", Args: exactly(), RunE: c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		customers, err := server.Customers(ctx)
		if err != nil {
			return err
		}
		t := c.table("ID", "NAME", "STATE", "MODE", "DOMAINS", "NETWORKS", "CREDENTIALS", "DEFINED IN")
		return printList(c, customers, "There is no customer yet, so no mail is taken. Add one: postern customer add ID --domain DOMAIN", t, func(x api.Customer) {
			t.row(x.ID, x.Name, sending(x), fmt.Sprintf("%s > %s", x.Mode, points(x.Threshold)), few(x.Domains), few(x.Networks),
				cell{text: fmt.Sprint(x.Credentials), right: true}, x.Origin)
		})
	})})
}

func sending(x api.Customer) cell {
	if x.Suspended {
		return cell{text: "suspended", style: red}
	}
	return cell{text: "may send", style: green}
}

// few names the first of some values and counts the rest.
func few(values []string) string {
	switch len(values) {
	case 0:
		return "-"
	case 1, 2:
		return strings.Join(values, ", ")
	}
	return fmt.Sprintf("%s +%d", values[0], len(values)-1)
}

func (c *command) customerShow() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "show ID", Short: "Show one customer", Args: exactly("a customer's id"), RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
		x, err := server.Customer(ctx, args[0])
		if err != nil {
			return err
		}
		return c.printCustomer(x)
	})})
}

func (c *command) printCustomer(x api.Customer) error {
	if c.json {
		return c.object(x)
	}
	release := "by an operator only"
	if x.SelfRelease {
		release = "by the sender up to " + points(x.ReleaseCeiling) + " points, above by an operator"
	}
	from := "addresses of the domains only"
	if x.AnyFrom {
		from = "any address"
	}
	contact := x.Contact
	if contact == "" {
		contact = "nobody: held mail is told to no one (set --contact)"
	}
	return c.pairs(c.Stdout, "Customer", cell{text: x.ID, style: bold}, "Name", x.Name, "State", sending(x), "Language", x.Language, "Contact", contact,
		"Domains", strings.Join(x.Domains, ", "), "Networks", strings.Join(x.Networks, ", "), "Senders", from, "Return path", x.ReturnPath, "Pool", x.Pool,
		"Filter", fmt.Sprintf("%s what is above %s points", x.Mode, points(x.Threshold)), "Release", release,
		"Credentials", fmt.Sprint(x.Credentials), "Defined in", x.Origin)
}

// customerSuspend stops a customer's sending, with a reason for those who ask later.
func (c *command) customerSuspend() *cobra.Command {
	var reason string
	cmd := c.customerAct("suspend", "Stop a customer's sending at once", func(server *api.Client, ctx context.Context, id string) (api.Done, error) {
		return server.Suspend(ctx, id, reason)
	})
	cmd.Example = "  postern customer suspend bakery --reason 'its password leaked'"
	cmd.Flags().StringVar(&reason, "reason", "", "`why`; stands in the journal and in the audit log, at most 200 characters")
	return cmd
}

func (c *command) customerAct(name, text string, act func(*api.Client, context.Context, string) (api.Done, error)) *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: name + " ID...", Short: text, Args: several("a customer's id"), RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
		return c.each(args, func(id string) (api.Done, error) { return act(server, ctx, id) })
	})})
}

func (c *command) credentials() *cobra.Command {
	return branch("credential", "What authenticates a submission", c.credentialAdd(), c.credentialList(), c.credentialLimits(), c.credentialRevoke())
}

func (c *command) credentialAdd() *cobra.Command {
	var label string
	cmd := &cobra.Command{Use: "add CUSTOMER", Short: "Make a user name and a password; the password is shown this once", Args: exactly("a customer's id"),
		Example: "  postern credential add bakery --label 'web shop'"}
	cmd.Flags().StringVar(&label, "label", "", "what uses it, for people")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		x, err := server.AddCredential(ctx, args[0], label)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(x)
		}
		if err := c.pairs(c.Stdout, "User", cell{text: x.User, style: bold}, "Password", cell{text: x.Password, style: bold}); err != nil {
			return err
		}
		c.warn("the password is shown this once and cannot be read again; a lost one is replaced with a new credential")
		return nil
	})
	return c.jsonFlag(cmd)
}

func (c *command) credentialList() *cobra.Command {
	cmd := &cobra.Command{Use: "list [CUSTOMER]", Aliases: []string{"ls"}, Short: "List credentials, of all customers or of one", Args: func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("%s takes one customer's id or none", cmd.CommandPath())
		}
		return nil
	}}
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		all, err := server.Credentials(ctx, strings.Join(args, ""))
		if err != nil {
			return err
		}
		t := c.table("USER", "CUSTOMER", "STATE", "LIMITS", "LAST USED", "CREATED", "LABEL")
		return printList(c, all, "There is no credential. Make one: postern credential add CUSTOMER", t, func(x api.Credential) {
			state := cell{text: "valid", style: green}
			if x.Revoked {
				state = cell{text: "revoked", style: dim}
			}
			t.row(x.User, x.Customer, state, limitsOf(x), lastUse(x), clock(x.Created), x.Label)
		})
	})
	return c.jsonFlag(cmd)
}

func (c *command) credentialRevoke() *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: "revoke USER...", Short: "End credentials at once", Args: several("user names"), RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
		return c.each(args, func(user string) (api.Done, error) { return server.RevokeCredential(ctx, user) })
	})})
}
