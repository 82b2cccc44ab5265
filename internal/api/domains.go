package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"postern/internal/account"
	"postern/internal/checkup"
	"postern/internal/mail"
)

// DomainRequest names a domain that becomes a customer's.
type DomainRequest struct {
	Customer string `json:"customer,omitempty" maxLength:"64" doc:"Whose; a token of a customer says its own in any case"`
	Domain   string `json:"domain" minLength:"1" maxLength:"255"`
}

func (r *DomainRequest) scope() *string { return &r.Customer }

// DomainChallenge is what proves a domain.
type DomainChallenge struct {
	Customer string    `json:"customer"`
	Domain   string    `json:"domain"`
	Record   DNSRecord `json:"record" doc:"Publish it, then add the domain. It is the same whenever it is asked for; afterwards it may go"`
}

type challengeIn struct {
	ForCustomer
	Domain string `path:"domain" maxLength:"255"`
}

// selfService checks that a customer's domains may be changed here, one by one, and reads the domain.
func (s *server) selfService(id, text string) (mail.Domain, error) {
	if s.o.Advisor == nil || !s.o.SelfService {
		return "", problem(http.StatusConflict, "off", "customers add no domains themselves here; the operator changes the customer (domains.self_service)")
	}
	if id == "" {
		return "", invalid("customer: say whose domain it is")
	}
	c, err := s.customer(id)
	if err != nil {
		return "", err
	}
	if c.Origin == account.OriginConfig {
		return "", problem(http.StatusConflict, "from-config", "customer %s is defined in the configuration; its domains are changed there", id)
	}
	d, err := mail.ParseDomain(strings.TrimSuffix(text, "."))
	if err == nil {
		err = checkup.CheckName(d)
	}
	if err != nil {
		return "", invalid("domain: %v", plain(err))
	}
	return d, nil
}

func (s *server) challengeDomain(_ context.Context, in *challengeIn) (*body[DomainChallenge], error) {
	d, err := s.selfService(in.Customer, in.Domain)
	if err != nil {
		return nil, err
	}
	r := s.o.Advisor.Challenge(in.Customer, d)
	return &body[DomainChallenge]{DomainChallenge{in.Customer, string(d), DNSRecord{r.Name, r.Type, r.Value, r.TTL, r.Replace, r.Choice}}}, nil
}

// addDomain gives a proved domain to a customer. Whose it was is looked at after the proof only: nobody learns who else is a customer.
func (s *server) addDomain(ctx context.Context, in *customerBody[DomainRequest, *DomainRequest]) (*body[Domain], error) {
	id := in.Body.Customer
	about(ctx, in.Body.Domain, "")
	d, err := s.selfService(id, in.Body.Domain)
	if err != nil {
		return nil, err
	}
	about(ctx, string(d), "")
	if err := s.mayLook(ctx); err != nil {
		return nil, err
	}
	switch q, err := s.o.Advisor.Prove(ctx, id, d); {
	case errors.Is(err, checkup.ErrNoAnswer):
		return nil, problem(http.StatusServiceUnavailable, "later", "DNS gave no answer about %s, so the domain was not added; try again in a minute", q.Name)
	case err != nil:
		return nil, problem(http.StatusConflict, "unproved", "%s has no TXT record %q (found: %s); publish it, wait until DNS shows it, then repeat the request",
			q.Name, s.o.Advisor.Challenge(id, d).Value, found(q))
	}
	if err := s.o.Accounts.AddDomain(ctx, id, d); err != nil {
		return nil, s.fail(err)
	}
	if err := s.tuned(ctx, id, account.ToldDomainAdded(d)); err != nil {
		return nil, err
	}
	return &body[Domain]{Domain{Customer: id, Domain: string(d), Keys: len(s.o.Accounts.SigningKeys(d))}}, nil
}

// found tells what DNS said, shortly.
func found(q checkup.Question) sentence {
	if len(q.Values) == 0 {
		return say("nothing")
	}
	return sentence{"%s", []any{clip(strings.Join(q.Values, "; "), 200)}}
}

// DomainRef is the part of an input that names a domain in its path.
type DomainRef struct {
	Domain string `path:"domain" maxLength:"255"`
}

func (in *DomainRef) owner(_ context.Context, s *server) (string, bool, error) {
	return s.domainOwner(in.Domain)
}
func (in *DomainRef) kind() string { return "not-found" }

func (s *server) removeDomain(ctx context.Context, in *DomainRef) (*body[Done], error) {
	id, there, err := s.domainOwner(in.Domain)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, problem(http.StatusNotFound, "not-found", "%q is no customer's domain; the list of domains has them all", clip(in.Domain, 100))
	}
	d, err := s.selfService(id, in.Domain)
	if err != nil {
		return nil, err
	}
	about(ctx, string(d), "")
	switch err := s.o.Accounts.RemoveDomain(ctx, id, d); {
	case errors.Is(err, account.ErrNotFound):
		return nil, problem(http.StatusNotFound, "not-found", "%s is no domain of its own in the list of customer %s; the list of domains has them all", d, id)
	case err != nil:
		return nil, s.fail(err)
	}
	if err := s.tuned(ctx, id, account.ToldDomainRemoved(d)); err != nil {
		return nil, err
	}
	return done("customer %s writes in the name of %s no more; its keys stay, and sign for nobody", id, d), nil
}

// mayLook counts a look at DNS.
func (s *server) mayLook(ctx context.Context) error {
	a := s.checks.Take(principal(ctx).ID, s.o.Now())
	if a.Wait == 0 {
		return nil
	}
	callOf(ctx).w.Header().Set("Retry-After", seconds(a.Wait))
	return problem(http.StatusTooManyRequests, "too-soon", "a look asks DNS many questions, so there are %d in a minute; wait %s seconds", s.checks.Most(), seconds(a.Wait))
}
