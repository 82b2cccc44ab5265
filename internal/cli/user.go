package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/api"
	"postern/internal/user"
)

func (c *command) users() *cobra.Command {
	return branch("user", "Those who sign in to the pages", c.userAdd(), c.userList(),
		c.userAct("disable", "Let users sign in no more; their sessions end at once", func(s *api.Client, ctx context.Context, id string) (api.Done, error) { return s.SetUser(ctx, id, true) }),
		c.userAct("enable", "Let disabled users sign in again", func(s *api.Client, ctx context.Context, id string) (api.Done, error) {
			return s.SetUser(ctx, id, false)
		}),
		c.userAct("remove", "Remove users with their sessions and tokens", (*api.Client).RemoveUser), c.userReset(), c.userSessions())
}

func (c *command) userAdd() *cobra.Command {
	var r api.UserRequest
	var link bool
	var role string
	cmd := &cobra.Command{Use: "add ADDRESS", Short: "Invite a user: he gets a link by mail with which he sets his password", Args: exactly("a mail address"),
		Long: "Invite a user: he gets a link by mail with which he sets his password within seven days. The link is printed too with --link, and for the\n" +
			"first operator, who may have no mail yet.",
		Example: "  postern user add anna@example.org --role operator\n  postern user add owner@bakery.example --role admin --customer bakery --language fr"}
	f := cmd.Flags()
	f.StringVar(&role, "role", "", "`role`: operator, abuse, admin, reader (default operator, with --customer admin)")
	f.StringVar(&r.Customer, "customer", "", "`customer` whose user he is; none: the gateway's")
	f.StringVar(&r.Name, "name", "", "name, for people")
	f.StringVar(&r.Language, "language", "", "language of his pages and mails: `en` (default) or fr")
	f.StringVar(&r.Zone, "zone", "", "his time `zone`, such as Europe/Paris")
	f.BoolVar(&link, "link", false, "print the link")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		r.Address, r.Role = args[0], user.Role(role)
		if role == "" {
			r.Role = user.Operator
			if r.Customer != "" {
				r.Role = user.CustomerAdmin
			}
		}
		if r.Role == user.Operator && !link {
			first, err := c.nobodyYet(ctx, server)
			if err != nil {
				return err
			}
			link = first
		}
		x, err := server.AddUser(ctx, r)
		if err != nil {
			return err
		}
		return c.printInvited(x, link, "An invitation is on its way to "+x.User.Address+": with its link he sets his password within seven days.")
	})
	return c.jsonFlag(cmd)
}

// nobodyYet reports whether there is no operator.
func (c *command) nobodyYet(ctx context.Context, server *api.Client) (bool, error) {
	all, err := server.Users(ctx, "")
	for _, u := range all {
		if u.Role == user.Operator {
			return false, nil
		}
	}
	return err == nil, err
}

// printInvited shows a user whom a link was sent.
func (c *command) printInvited(x api.Invited, link bool, text string) error {
	if !link {
		x.Link = ""
	}
	if c.json {
		return c.object(x)
	}
	pairs := []any{"User", cell{text: x.User.Address, style: bold}, "Role", string(x.User.Role), "Customer", x.User.Customer}
	if x.Link != "" {
		pairs = append(pairs, "Link", cell{text: x.Link, style: bold})
	}
	if err := c.pairs(c.Stdout, pairs...); err != nil {
		return err
	}
	if x.Link != "" {
		c.warn("whoever has the link can use the account; it works once")
	}
	return c.say("%s", text)
}

func (c *command) userList() *cobra.Command {
	var customer string
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List users, of the gateway and of all customers or of one", Args: exactly()}
	cmd.Flags().StringVar(&customer, "customer", "", "only this `customer`'s")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, _ []string) error {
		all, err := server.Users(ctx, customer)
		if err != nil {
			return err
		}
		t := c.table("ADDRESS", "NAME", "ROLE", "CUSTOMER", "STATE", "PROOFS", "LAST SEEN", "ID")
		return printList(c, all, "Nobody can sign in yet. Make the first operator: postern user add ADDRESS --link", t, func(x api.User) {
			of := x.Customer
			if of == "" {
				of = "-"
			}
			t.row(x.Address, x.Name, string(x.Role), of, userState(x), proofs(x), clock(x.LastSeen), x.ID)
		})
	})
	return c.jsonFlag(cmd)
}

func userState(x api.User) cell {
	switch {
	case x.Disabled:
		return cell{text: "disabled", style: red}
	case !x.Password && x.Passkeys == 0 && !x.External:
		return cell{text: "invited", style: yellow}
	}
	return cell{text: "may sign in", style: green}
}

// proofs is how a user proves who he is.
func proofs(x api.User) string {
	var words []string
	if x.Password {
		words = append(words, "password")
	}
	if x.TOTP {
		words = append(words, "codes")
	}
	if x.Passkeys > 0 {
		words = append(words, count(x.Passkeys, "passkey"))
	}
	if x.External {
		words = append(words, "provider")
	}
	if words == nil {
		return "-"
	}
	return strings.Join(words, ", ")
}

// userID finds a user by id or address.
func userID(ctx context.Context, server *api.Client, name string) (string, error) {
	if !strings.Contains(name, "@") {
		return name, nil
	}
	all, err := server.FindUsers(ctx, name)
	if err != nil {
		return "", err
	}
	for _, u := range all {
		if strings.EqualFold(u.Address, name) {
			return u.ID, nil
		}
	}
	return "", fmt.Errorf("there is no user with the address %s; `postern user list` shows them all", name)
}

func (c *command) userAct(name, text string, act func(*api.Client, context.Context, string) (api.Done, error)) *cobra.Command {
	return c.jsonFlag(&cobra.Command{Use: name + " USER...", Short: text, Args: several("a user's address or id"), RunE: c.served(func(ctx context.Context, server *api.Client, args []string) error {
		return c.each(args, func(name string) (api.Done, error) {
			id, err := userID(ctx, server, name)
			if err != nil {
				return api.Done{}, err
			}
			return act(server, ctx, id)
		})
	})})
}

func (c *command) userReset() *cobra.Command {
	var link bool
	cmd := &cobra.Command{Use: "reset USER", Short: "Send a user a link with which he sets a new password", Args: exactly("a user's address or id")}
	cmd.Flags().BoolVar(&link, "link", false, "print the link, too")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		id, err := userID(ctx, server, args[0])
		if err != nil {
			return err
		}
		x, err := server.SendLink(ctx, id)
		if err != nil {
			return err
		}
		return c.printInvited(x, link, "A link is on its way to "+x.User.Address+": with it he sets a new password. One-time codes and passkeys stay as they are.")
	})
	return c.jsonFlag(cmd)
}

func (c *command) userSessions() *cobra.Command {
	var end []string
	var all bool
	cmd := &cobra.Command{Use: "sessions USER", Short: "List where a user is signed in, or sign him out", Args: exactly("a user's address or id")}
	cmd.Flags().StringSliceVar(&end, "end", nil, "end the session with this `id`; may be given again")
	cmd.Flags().BoolVar(&all, "end-all", false, "end all of them")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		id, err := userID(ctx, server, args[0])
		if err != nil {
			return err
		}
		sessions, err := server.Sessions(ctx, id)
		if err != nil {
			return err
		}
		if all {
			for _, s := range sessions {
				end = append(end, s.ID)
			}
		}
		if len(end) > 0 {
			return c.each(end, func(session string) (api.Done, error) { return server.EndSession(ctx, id, session) })
		}
		return c.printSessions(sessions)
	})
	return c.jsonFlag(cmd)
}

func (c *command) printSessions(sessions []api.Session) error {
	t := c.table("ID", "SINCE", "SEEN", "ENDS", "FROM", "WITH")
	return printList(c, sessions, "He is signed in nowhere.", t, func(s api.Session) {
		t.row(s.ID, clock(s.Created), clock(s.Seen), clock(s.Ends), s.IP, s.Agent)
	})
}

func (c *command) tokens() *cobra.Command {
	return branch("token", "What programs sign their API requests with", c.tokenAdd(), c.tokenList(), c.tokenRevoke())
}

func (c *command) tokenAdd() *cobra.Command {
	var r api.TokenRequest
	var rights []string
	var ends string
	cmd := &cobra.Command{Use: "add USER", Short: "Make a token in the name of a user; it is shown this once", Args: exactly("a user's address or id"),
		Long: "Make a token in the name of a user; it is shown this once. It may do some of what he may, never more, and ends with him. Rights:\n  " + rightWords(),
		Example: "  postern token add owner@bakery.example --customer bakery --label 'web shop' --right mail:send --ends 365d\n" +
			"  postern token add anna@example.org --label monitoring --right gateway:read"}
	f := cmd.Flags()
	f.StringVar(&r.Customer, "customer", "", "`customer` whose mail it is about; none: the gateway's")
	f.StringVar(&r.Label, "label", "", "what uses it, for people (required)")
	f.StringSliceVar(&rights, "right", nil, "`right` it has; may be given again (required)")
	f.StringVar(&ends, "ends", "", "when it ends: a `time` from now such as 90d, or a date such as 2027-06-30 (default: never)")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if r.Label == "" || len(rights) == 0 {
			return usagef("%s needs --label and at least one --right", cmd.CommandPath())
		}
		if r.Ends, err = ending("--ends", ends, c.now()); err != nil {
			return err
		}
		for _, word := range rights {
			r.Rights = append(r.Rights, user.Right(strings.TrimSpace(word)))
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		r.User = args[0]
		x, err := server.AddToken(cmd.Context(), r)
		if err != nil {
			return err
		}
		if c.json {
			return c.object(x)
		}
		if err := c.pairs(c.Stdout, "Token", cell{text: x.Secret, style: bold}, "Rights", words(x.Token.Rights), "Ends", until(x.Token.Ends)); err != nil {
			return err
		}
		c.warn("the token is shown this once and cannot be read again; a lost one is revoked and replaced")
		return nil
	}
	return c.jsonFlag(cmd)
}

// until is when something ends, for people.
func until(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return clock(t)
}

func words(rights []user.Right) string {
	var out []string
	for _, r := range rights {
		out = append(out, string(r))
	}
	return strings.Join(out, " ")
}

func rightWords() string { return words(user.Rights()) }

func (c *command) tokenList() *cobra.Command {
	cmd := &cobra.Command{Use: "list [CUSTOMER]", Aliases: []string{"ls"}, Short: "List tokens, of the gateway or of a customer", Args: func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("%s takes one customer's id or none", cmd.CommandPath())
		}
		return nil
	}}
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		all, err := server.Tokens(ctx, strings.Join(args, ""))
		if err != nil {
			return err
		}
		now := c.now()
		t := c.table("ID", "LABEL", "STATE", "RIGHTS", "ENDS", "LAST USED", "MADE BY")
		return printList(c, all, "There is no token. Make one: postern token add USER --label LABEL --right RIGHT", t, func(x api.Token) {
			state := cell{text: "valid", style: green}
			switch {
			case x.Revoked:
				state = cell{text: "revoked", style: dim}
			case !x.Ends.IsZero() && !now.Before(x.Ends):
				state = cell{text: "ended", style: dim}
			}
			t.row(x.ID, x.Label, state, words(x.Rights), until(x.Ends), clock(x.LastUsed), x.User)
		})
	})
	return c.jsonFlag(cmd)
}

func (c *command) tokenRevoke() *cobra.Command {
	var customer string
	cmd := &cobra.Command{Use: "revoke ID...", Short: "End tokens at once", Args: several("a token's id")}
	cmd.Flags().StringVar(&customer, "customer", "", "`customer` whose token it is; none: the gateway's")
	cmd.RunE = c.served(func(ctx context.Context, server *api.Client, args []string) error {
		return c.each(args, func(id string) (api.Done, error) { return server.RevokeToken(ctx, customer, id) })
	})
	return c.jsonFlag(cmd)
}
