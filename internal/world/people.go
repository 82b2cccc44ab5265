package world

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"

	"postern/internal/mail"
	"postern/internal/user"
)

// person is somebody who signs in to the pages: his browser, with its cookies.
type person struct {
	reader
	address, password string
}

// inviteForm is the link of an invitation.
var inviteForm = regexp.MustCompile(`https?://[^\s<>"]+/invite/[^\s<>"]+`)

// people shows the pages behind the sign-in: a customer's user follows his invitation, sees his own mail and nobody else's; the operator sees all, and ends a
// session, which is out at once.
func (s *story) people(ctx context.Context) error {
	const contact = "contact@" + cheeseDomain
	to, err := mail.ParseAddress(contact)
	if err != nil {
		return err
	}
	u, _, err := s.g.Users().Add(ctx, user.User{Address: to, Name: "Camille Martin", Role: user.CustomerAdmin, Customer: "fromagerie", Language: s.out.lang})
	if err != nil {
		return err
	}
	invitation, err := s.letter(ctx, contact, func(l Letter) bool { return inviteForm.MatchString(firstText(l.Message())) })
	if err != nil {
		return err
	}
	s.out.mark(true, s.out.text("people.invited", "Mailbox", contact))
	s.out.quote(invitation.Message().Subject())
	link := strings.TrimRight(inviteForm.FindString(firstText(invitation.Message())), ".,;)")
	s.sender = newPerson(contact)
	home, err := s.sender.send(ctx, link, url.Values{"name": {"Camille Martin"}, "password": {s.sender.password}, "again": {s.sender.password}})
	if err != nil {
		return err
	}
	own, err := s.sender.open(ctx, http.MethodGet, s.g.base+"/c/fromagerie/messages")
	if err != nil {
		return err
	}
	if err := s.check(home.at.Path == "/c/fromagerie" && own.shows(s.mended), "people.own", "Subject", s.mended); err != nil {
		return err
	}
	_, foreign := s.sender.open(ctx, http.MethodGet, s.g.base+"/c/boutique/messages")
	_, above := s.sender.open(ctx, http.MethodGet, s.g.base+"/o/queue")
	if err := s.check(is404(foreign) && is404(above), "people.others"); err != nil {
		return err
	}
	if err := s.operatorSigns(ctx); err != nil {
		return err
	}
	sessions, err := s.g.Users().Sessions(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, x := range sessions {
		if err := s.g.Users().EndSession(ctx, u.ID, x.ID); err != nil {
			return err
		}
	}
	after, err := s.sender.open(ctx, http.MethodGet, s.g.base+"/c/fromagerie")
	if err != nil {
		return err
	}
	return s.check(after.at.Path == "/sign-in", "people.out")
}

// operatorSigns makes the operator, who signs in and sees what customers do.
func (s *story) operatorSigns(ctx context.Context) error {
	const address = "operator@postern.example"
	to, err := mail.ParseAddress(address)
	if err != nil {
		return err
	}
	_, secret, err := s.g.Users().Add(ctx, user.User{Address: to, Name: "Dominique", Role: user.Operator, Language: s.out.lang})
	if err != nil {
		return err
	}
	s.operator = newPerson(address)
	home, err := s.operator.send(ctx, s.g.base+"/invite/"+secret, url.Values{"name": {"Dominique"}, "password": {s.operator.password}, "again": {s.operator.password}})
	if err != nil {
		return err
	}
	customers, err := s.operator.open(ctx, http.MethodGet, s.g.base+"/o/customers")
	if err != nil {
		return err
	}
	return s.check(home.at.Path == "/o" && customers.shows("La Fromagerie") && customers.shows("La Boutique"), "people.operator")
}

// newPerson is somebody with a browser of his own and a password that nobody knows before.
func newPerson(address string) *person {
	jar, _ := cookiejar.New(nil) // fails for no options
	r := newReader()
	r.client.Jar = jar
	return &person{r, address, strings.ToLower(rand.Text()[:20])}
}

// send posts a form, as its page would, and returns the page that follows.
func (r reader) send(ctx context.Context, link string, form url.Values) (webPage, error) {
	return r.ask(ctx, http.MethodPost, link, form)
}

// errNotFound is the answer of a page that is not there, or not for this visitor.
var errNotFound = errors.New("no such page")

func is404(err error) bool { return errors.Is(err, errNotFound) }
