package app

import (
	"context"
	"time"

	"postern/internal/config"
	"postern/internal/guess"
	"postern/internal/notice"
	"postern/internal/user"
)

// openUsers opens the ledger of those who sign in, and what knows the operator's identity provider.
func (a *App) openUsers(ctx context.Context, c *config.Config) (err error) {
	a.tellings = make(chan user.Telling, maxTellings)
	s := c.Web.Session
	a.users, err = user.New(user.Options{DB: a.mainDB, Logger: a.log, Host: a.host, BaseURL: c.BaseURL(), Tell: a.tellUser,
		Customer:     func(id string) bool { _, ok := a.accounts.Customer(id); return ok },
		IdleOperator: s.IdleOperator, IdleCustomer: s.IdleCustomer, Absolute: s.Absolute, KeepEntries: s.Audit})
	if err != nil {
		return err
	}
	gates := a.users.Gates()
	gates["mail"] = a.accounts.Gate()
	if a.guesses, err = guess.New(guess.Options{DB: a.mainDB, Gates: gates, Logger: a.log}); err != nil {
		return err
	}
	if err = a.guesses.Load(ctx); err != nil || c.Web.OIDC.Issuer == "" {
		return err
	}
	o := c.Web.OIDC
	a.identity, err = user.NewOIDC(a.users, user.OIDCOptions{Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: string(o.ClientSecret), Redirect: c.BaseURL() + "/sign-in/sso/done",
		GroupsClaim: o.GroupsClaim, OperatorGroup: o.OperatorGroup, AbuseGroup: o.AbuseGroup, AllowAddresses: o.AllowAddresses})
	return err
}

// Users returns the ledger of those who sign in.
func (a *App) Users() *user.Ledger { return a.users }

// maxTellings is how many mails about accounts may wait to be written.
const maxTellings = 256

// tellUser hands a mail about an account on. The act that it tells of neither waits for it nor fails with it.
func (a *App) tellUser(_ context.Context, x user.Telling) {
	select {
	case a.tellings <- x:
	default:
		a.log.Error("a mail about an account was not written: too many wait", "notice", x.Kind, "user", x.User.ID)
	}
}

// tellUsers writes the mails about accounts until ctx ends, and then those that wait.
func (a *App) tellUsers(ctx context.Context) error {
	for {
		select {
		case x := <-a.tellings:
			a.writeTelling(ctx, x)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			for {
				select {
				case x := <-a.tellings:
					a.writeTelling(last, x)
				default:
					return nil
				}
			}
		}
	}
}

// writeTelling queues one mail. A spool that takes nothing now is asked again for a minute.
func (a *App) writeTelling(ctx context.Context, x user.Telling) {
	n := notice.Account{Kind: x.Kind, To: x.User.Address, Name: x.User.Name, Language: x.User.Language, Link: x.Link, Ends: x.Ends, At: x.At, Agent: x.Agent,
		Help: a.config.Load().BaseURL() + "/me"}
	if x.IP.IsValid() {
		n.From = x.IP.String()
	}
	if x.User.Zone != "" {
		n.Zone, _ = time.LoadLocation(x.User.Zone) // checked when it was chosen; without it the gateway's
	}
	var err error
	for try := range 4 {
		if try > 0 {
			wait := time.NewTimer(20 * time.Second)
			select {
			case <-wait.C:
			case <-ctx.Done():
				wait.Stop()
			}
		}
		if err = a.notices.TellAccount(context.WithoutCancel(ctx), n); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		a.log.Error("a mail about an account was not written", "notice", x.Kind, "user", x.User.ID, "error", err)
	}
}

// greetOperator prints the link with which the first operator makes himself, while there is none: it is his key until then, so it goes
// into the log of the machine that he runs and nowhere else.
func (a *App) greetOperator(ctx context.Context) {
	secret, err := a.users.FirstLink(ctx)
	switch {
	case err != nil:
		a.log.Error("whether there is an operator could not be found out", "error", err)
	case secret != "":
		a.log.Warn("nobody can sign in yet: open this address to become the first operator, or run `postern user add`", "link", a.users.InviteLink(secret))
	}
}
