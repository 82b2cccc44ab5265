package notice

import (
	"context"
	"fmt"
	"slices"
	"time"

	"postern/internal/locale"
	"postern/internal/mail"
)

// Account is what somebody who signs in must hear about his account.
type Account struct {
	Kind     string // one of AccountKinds
	To       mail.Address
	Name     string // his, for people; "" is fine
	Language string
	Zone     *time.Location // in which he reads times; nil: the gateway's
	Link     string         // a secret; "" for kinds that lead nowhere
	Ends     time.Time      // of the link
	At       time.Time      // when it happened
	From     string         // network address it was done from; "": not known
	Agent    string         // program it was done with; "": not known
	Help     string         // page where one signs in and sees one's sessions
}

// AccountKinds are the kinds of Account: "invite" and "reset" carry a link, the others tell what changed.
func AccountKinds() []string {
	return []string{"invite", "reset", "password", "second", "passkey", "address", "network"}
}

// TellAccount queues a mail about somebody's own account. The link in it is his key until it ends, so the mail is never gathered, logged or shown.
// Unlike other notices it may go to anybody: the address is one that an operator or a customer's own user has named.
func (n *Notices) TellAccount(ctx context.Context, a Account) error {
	if !slices.Contains(AccountKinds(), a.Kind) {
		return fmt.Errorf("notice: there is no notice about an account of kind %q", a.Kind)
	}
	lang := locale.Parse(a.Language)
	zone := a.Zone
	if zone == nil {
		zone = n.o.Now().Location()
	}
	when := func(t time.Time) string { return locale.Date(lang, t.In(zone)) }
	args := map[string]any{"Host": n.o.Hostname, "Address": shownAddress(a.To), "Until": when(a.Ends), "When": when(a.At)}
	p := &page{Lang: lang, Title: n.text(lang, "user."+a.Kind+".subject", args)}
	if name := tidy(a.Name, maxName); name != "" {
		p.say("para", n.text(lang, "user.hello", map[string]any{"Name": name}))
	}
	p.say("lead", n.text(lang, "user."+a.Kind+".lead", args))
	facts := []pair{{n.text(lang, "user.fact.address", nil), shownAddress(a.To)}}
	if a.Link == "" {
		facts = append(facts, pair{n.text(lang, "user.fact.when", nil), when(a.At)})
	}
	if a.From != "" {
		facts = append(facts, pair{n.text(lang, "user.fact.from", nil), tidy(a.From, maxName)})
	}
	if a.Agent != "" {
		facts = append(facts, pair{n.text(lang, "user.fact.agent", nil), tidy(a.Agent, maxSubject)})
	}
	if a.Link != "" {
		p.add(block{Kind: "button", Text: n.text(lang, "user."+a.Kind+".button", args), Link: a.Link})
		p.say("para", n.text(lang, "user."+a.Kind+".until", args))
	}
	p.facts(facts...)
	p.say("para", n.text(lang, "user."+a.Kind+".else", args))
	if a.Link == "" && a.Help != "" {
		p.add(block{Kind: "button", Text: n.text(lang, "user.help", args), Link: a.Help})
	}
	p.say("small", n.text(lang, "foot.operator", args))
	now := n.o.Now()
	if err := n.send(ctx, "", envelope{id: n.newID(now), from: n.o.From, name: n.o.FromName, to: a.To, now: now, kind: "user-" + a.Kind}, p); err != nil {
		return fmt.Errorf("account notice: %w", err)
	}
	return nil
}
