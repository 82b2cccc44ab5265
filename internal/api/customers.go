package api

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/mail"
)

// CustomerSettings are what may be set of a customer. Fields left out take their defaults.
type CustomerSettings struct {
	Name           string   `json:"name,omitempty" maxLength:"200" doc:"For people"`
	Language       string   `json:"language,omitempty" enum:"fr,en" doc:"Of notices and pages; default fr"`
	Contact        string   `json:"contact,omitempty" maxLength:"320" doc:"Who gets notices; absent: nobody"`
	Networks       []string `json:"networks,omitempty" maxItems:"1000" doc:"Client networks that are this customer without a password"`
	Domains        []string `json:"domains,omitempty" maxItems:"10000" doc:"May appear, with their subdomains, in From and the reverse path"`
	Pool           string   `json:"pool,omitempty" maxLength:"64" doc:"Egress pool; absent: the default one"`
	Mode           string   `json:"mode,omitempty" enum:"hold,reject" doc:"What happens to a message above the threshold; default hold"`
	Threshold      float64  `json:"threshold,omitempty" minimum:"0" maximum:"15" doc:"A score strictly above blocks; default 3"`
	SelfRelease    bool     `json:"self_release,omitempty" doc:"The sender may release his own held messages"`
	ReleaseCeiling float64  `json:"release_ceiling,omitempty" minimum:"0" maximum:"15" doc:"... up to this score; default 8"`
	AnyFrom        bool     `json:"any_from,omitempty" doc:"Any sender address is let through: only for relay networks of hosters"`

	ReturnPath      string `json:"return_path,omitempty" maxLength:"255" doc:"Envelope sender of his mail: kept, ours, or a domain of his that leads here; absent: as the gateway does"`
	DropAutoReplies bool   `json:"drop_auto_replies,omitempty" doc:"Automatic answers to a return address are not passed on to the sender"`
}

// Customer is one who may send.
type Customer struct {
	ID string `json:"id" maxLength:"64" doc:"a-z, 0-9 and -"`
	CustomerSettings
	Suspended   bool   `json:"suspended,omitempty" readOnly:"true"`
	Origin      string `json:"origin,omitempty" readOnly:"true" enum:"config,database" doc:"Where it is defined; those of the configuration are changed there"`
	Credentials int    `json:"credentials,omitempty" readOnly:"true" doc:"How many are valid"`
}

func (s *server) customerOf(c account.Customer) Customer {
	out := Customer{ID: c.ID, Suspended: c.Suspended, Origin: c.Origin, CustomerSettings: CustomerSettings{Name: c.Name, Language: c.Language,
		Contact: c.Contact.String(), Pool: c.Pool, Mode: c.Mode, Threshold: c.Threshold, SelfRelease: c.SelfRelease,
		ReleaseCeiling: c.ReleaseCeiling, AnyFrom: c.AnyFrom, ReturnPath: c.ReturnPath, DropAutoReplies: c.DropAutoReplies}}
	for _, n := range c.Networks {
		out.Networks = append(out.Networks, n.String())
	}
	for _, d := range c.Domains {
		out.Domains = append(out.Domains, string(d))
	}
	for _, x := range s.o.Accounts.Credentials(c.ID) {
		if !x.Revoked {
			out.Credentials++
		}
	}
	return out
}

// read turns settings into the ledger's customer; every fault is named.
func (c CustomerSettings) read(id string) (account.Customer, error) {
	out := account.Customer{ID: id, Name: c.Name, Language: c.Language, Pool: c.Pool, Mode: c.Mode, Threshold: c.Threshold,
		SelfRelease: c.SelfRelease, ReleaseCeiling: c.ReleaseCeiling, AnyFrom: c.AnyFrom, ReturnPath: c.ReturnPath, DropAutoReplies: c.DropAutoReplies}
	var faults []string
	if c.Contact != "" {
		a, err := mail.ParseAddress(c.Contact)
		if err != nil {
			faults = append(faults, fmt.Sprintf("contact: %v", err))
		}
		out.Contact = a
	}
	for _, n := range c.Networks {
		p, err := readNetwork(n)
		if err != nil {
			faults = append(faults, fmt.Sprintf("networks: %q is no network; expected 192.0.2.0/24 or 2001:db8::/48", clip(n, 50)))
			continue
		}
		out.Networks = append(out.Networks, p)
	}
	for _, d := range c.Domains {
		domain, err := mail.ParseDomain(d)
		if err != nil {
			faults = append(faults, fmt.Sprintf("domains: %v", err))
			continue
		}
		out.Domains = append(out.Domains, domain)
	}
	if len(faults) == 0 {
		if err := out.Validate(); err != nil {
			faults = append(faults, plain(err))
		}
	}
	if len(faults) > 0 {
		return out, invalid(strings.Join(faults, "\n"))
	}
	return out, nil
}

// readNetwork reads a network, or an address as the network of one.
func readNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

// Customers are those who may send.
type Customers struct {
	Customers []Customer `json:"customers" nullable:"false"`
}

func (s *server) listCustomers(context.Context, *none) (*body[Customers], error) {
	out := Customers{Customers: []Customer{}}
	for _, c := range s.o.Accounts.Customers() {
		out.Customers = append(out.Customers, s.customerOf(c))
	}
	return &body[Customers]{out}, nil
}

// CustomerRef is the input of endpoints about one customer.
type CustomerRef struct {
	By
	ID string `path:"id" maxLength:"64"`
}

func (s *server) customer(id string) (account.Customer, error) {
	c, ok := s.o.Accounts.Customer(id)
	if !ok {
		return c, problem(http.StatusNotFound, "no-such-customer", fmt.Sprintf("there is no customer %q; customer list shows all", clip(id, 64)))
	}
	return c, nil
}

func (s *server) showCustomer(_ context.Context, in *CustomerRef) (*body[Customer], error) {
	c, err := s.customer(in.ID)
	if err != nil {
		return nil, err
	}
	return &body[Customer]{s.customerOf(c)}, nil
}

type addCustomerIn struct {
	By
	Body Customer
}

func (s *server) addCustomer(ctx context.Context, in *addCustomerIn) (*body[Customer], error) {
	if _, taken := s.o.Accounts.Customer(in.Body.ID); taken {
		return nil, problem(http.StatusConflict, "taken", fmt.Sprintf("there is a customer %q already; update it, or choose another id", in.Body.ID))
	}
	return s.putCustomer(ctx, in.By, in.Body.ID, in.Body.CustomerSettings, "added")
}

type updateCustomerIn struct {
	CustomerRef
	Body CustomerSettings
}

func (s *server) updateCustomer(ctx context.Context, in *updateCustomerIn) (*body[Customer], error) {
	if _, err := s.customer(in.ID); err != nil {
		return nil, err
	}
	return s.putCustomer(ctx, in.By, in.ID, in.Body, "changed")
}

func (s *server) putCustomer(ctx context.Context, who By, id string, settings CustomerSettings, what string) (*body[Customer], error) {
	c, err := settings.read(id)
	if err != nil {
		return nil, err
	}
	if err := s.o.Accounts.PutCustomer(ctx, c); err != nil {
		return nil, s.fail(err)
	}
	s.o.Logger.Info("customer "+what, "customer", id, "actor", who.actor())
	if c, err = s.customer(id); err != nil {
		return nil, err
	}
	return &body[Customer]{s.customerOf(c)}, nil
}

func (s *server) deleteCustomer(ctx context.Context, in *CustomerRef) (*body[Done], error) {
	if _, err := s.customer(in.ID); err != nil {
		return nil, err
	}
	if err := s.o.Accounts.DeleteCustomer(ctx, in.ID); err != nil {
		return nil, s.fail(err)
	}
	if s.o.Learn != nil {
		if err := s.o.Learn.Erase(ctx, in.ID); err != nil {
			return nil, s.fail(err)
		}
	}
	if s.o.Suppression != nil {
		if err := s.o.Suppression.Erase(ctx, in.ID); err != nil {
			return nil, s.fail(err)
		}
	}
	s.o.Logger.Info("customer removed", "customer", in.ID, "actor", in.actor())
	return done("customer %s is removed with networks, domains and credentials; mail already taken goes on", in.ID), nil
}

func (s *server) suspendCustomer(ctx context.Context, in *CustomerRef) (*body[Done], error) {
	return s.setSuspended(ctx, in, true, "customer %s is suspended: no mail is taken from it")
}

func (s *server) resumeCustomer(ctx context.Context, in *CustomerRef) (*body[Done], error) {
	return s.setSuspended(ctx, in, false, "customer %s may send again")
}

func (s *server) setSuspended(ctx context.Context, in *CustomerRef, suspended bool, text string) (*body[Done], error) {
	if _, err := s.customer(in.ID); err != nil {
		return nil, err
	}
	if err := s.o.Accounts.SetSuspended(ctx, in.ID, suspended); err != nil {
		return nil, s.fail(err)
	}
	s.o.Logger.Info("customer's sending changed", "customer", in.ID, "suspended", suspended, "actor", in.actor())
	return done(text, in.ID), nil
}

// Credential is what authenticates a submission.
type Credential struct {
	User     string    `json:"user"`
	Customer string    `json:"customer"`
	Label    string    `json:"label,omitempty"`
	Created  time.Time `json:"created"`
	Revoked  bool      `json:"revoked,omitempty"`
}

// Credentials are what authenticates submissions.
type Credentials struct {
	Credentials []Credential `json:"credentials" nullable:"false"`
}

func (s *server) listCredentials(_ context.Context, in *struct {
	Customer string `query:"customer" maxLength:"64" doc:"Only this customer's"`
}) (*body[Credentials], error) {
	out := Credentials{Credentials: []Credential{}}
	customers := s.o.Accounts.Customers()
	if in.Customer != "" {
		c, err := s.customer(in.Customer)
		if err != nil {
			return nil, err
		}
		customers = []account.Customer{c}
	}
	for _, c := range customers {
		for _, x := range s.o.Accounts.Credentials(c.ID) {
			out.Credentials = append(out.Credentials, Credential{x.User, x.Customer, x.Label, x.Created, x.Revoked})
		}
	}
	return &body[Credentials]{out}, nil
}

// NewCredential is a user name with its password, which is shown here and never again.
type NewCredential struct {
	User     string `json:"user"`
	Password string `json:"password"`
	Customer string `json:"customer"`
}

// CredentialRequest asks for a credential.
type CredentialRequest struct {
	Customer string `json:"customer" maxLength:"64"`
	Label    string `json:"label,omitempty" maxLength:"200" doc:"What uses it"`
}

func (s *server) addCredential(ctx context.Context, in *struct {
	By
	Body CredentialRequest
}) (*body[NewCredential], error) {
	if _, err := s.customer(in.Body.Customer); err != nil {
		return nil, err
	}
	user, password, err := s.o.Accounts.AddCredential(ctx, in.Body.Customer, in.Body.Label)
	if err != nil {
		return nil, s.fail(err)
	}
	s.o.Logger.Info("credential added", "customer", in.Body.Customer, "credential", user, "actor", in.actor())
	return &body[NewCredential]{NewCredential{user, password, in.Body.Customer}}, nil
}

func (s *server) revokeCredential(ctx context.Context, in *struct {
	By
	User string `path:"user" maxLength:"100"`
}) (*body[Done], error) {
	if err := s.o.Accounts.RevokeCredential(ctx, in.User); err != nil {
		return nil, s.fail(err)
	}
	s.o.Logger.Info("credential revoked", "credential", in.User, "actor", in.actor())
	return done("%s cannot log in any more", in.User), nil
}
