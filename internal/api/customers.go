package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/user"
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
	var faults []sentence
	if c.Contact != "" {
		a, err := mail.ParseAddress(c.Contact)
		if err != nil {
			faults = append(faults, say("contact: %v", err))
		}
		out.Contact = a
	}
	for _, n := range c.Networks {
		p, err := readNetwork(n)
		if err != nil {
			faults = append(faults, say("networks: %q is no network; expected 192.0.2.0/24 or 2001:db8::/48", clip(n, 50)))
			continue
		}
		out.Networks = append(out.Networks, p)
	}
	for _, d := range c.Domains {
		domain, err := mail.ParseDomain(d)
		if err != nil {
			faults = append(faults, say("domains: %v", err))
			continue
		}
		out.Domains = append(out.Domains, domain)
	}
	if len(faults) == 0 {
		if err := out.Validate(); err != nil {
			faults = append(faults, sentence{"%v", []any{plain(err)}})
		}
	}
	if len(faults) > 0 {
		return out, because(http.StatusUnprocessableEntity, "invalid", joined{faults, "\n"})
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

// addCustomers registers what is done with those who may send.
func (s *server) addCustomers() {
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	add(s, get, "/v1/customers", "list-customers", "Those who may send", gateway(user.GatewayRead), s.listCustomers)
	add(s, post, "/v1/customers", "add-customer", "Add a customer", gateway(user.SetupWrite).as("customer.add"), s.addCustomer)
	add(s, get, "/v1/customers/{id}", "show-customer", "One customer", over(user.SetupRead), s.showCustomer)
	add(s, put, "/v1/customers/{id}", "update-customer", "Replace a customer's settings", gateway(user.SetupWrite).as("customer.change"), s.updateCustomer)
	add(s, put, "/v1/customers/{id}/notices", "change-notices", "Who gets notices, in which language, and whether automatic answers are passed on", over(user.SetupWrite).as("settings.change"), s.changeNotices)
	add(s, del, "/v1/customers/{id}", "delete-customer", "Remove a customer with credentials", gateway(user.SetupWrite).as("customer.delete"), s.deleteCustomer)
	add(s, post, "/v1/customers/{id}/suspend", "suspend-customer", "Stop a customer's sending", gateway(user.GatewayOperate).as("customer.suspend").anew(), s.suspendCustomer)
	add(s, post, "/v1/customers/{id}/resume", "resume-customer", "Let a suspended customer send again", gateway(user.GatewayOperate).as("customer.resume").anew(), s.resumeCustomer)
}

// addCredentials registers what is done with user names and passwords of senders.
func (s *server) addCredentials() {
	get, post, del := http.MethodGet, http.MethodPost, http.MethodDelete
	add(s, get, "/v1/credentials", "list-credentials", "Credentials of all customers or of one", over(user.SetupRead), s.listCredentials)
	add(s, post, "/v1/credentials", "add-credential", "Make a user name and a password, shown this once", over(user.SetupWrite).as("credential.add").once(), s.addCredential)
	add(s, get, "/v1/credentials/{user}/use", "credential-use", "What a credential sent, today and in the last 30 days", over(user.SetupRead), s.credentialUse)
	add(s, http.MethodPut, "/v1/credentials/{user}", "update-credential", "Replace a credential's label, limits and networks", over(user.SetupWrite).as("credential.change"), s.updateCredential)
	add(s, del, "/v1/credentials/{user}", "revoke-credential", "End a credential at once", over(user.SetupWrite).as("credential.revoke"), s.revokeCredential)
}

// Customers are those who may send.
type Customers struct {
	Customers []Customer `json:"customers" nullable:"false"`
	Next      string     `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (c Customers) nextPage() string { return c.Next }

func (s *server) listCustomers(_ context.Context, in *Paging) (*body[Customers], error) {
	out := Customers{Customers: []Customer{}}
	all, next, err := pageOf(*in, s.o.Accounts.Customers(), func(c account.Customer) string { return c.ID })
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		out.Customers = append(out.Customers, s.customerOf(c))
	}
	out.Next = next
	return &body[Customers]{out}, nil
}

// shown is a customer with the tag of its settings, by which a change can tell that nobody else changed them.
type shown struct {
	ETag string `header:"ETag" doc:"Tag of the settings, for If-Match"`
	Body Customer
}

// tagOf is the entity tag of settings (RFC 9110 8.8.3).
func tagOf(c CustomerSettings) string {
	text, _ := json.Marshal(c) // strings and numbers
	sum := sha256.Sum256(text)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

// matches reports whether a field If-Match names a tag (RFC 9110 13.1.1).
func matches(field, tag string) bool {
	for x := range strings.SplitSeq(field, ",") {
		if x = strings.TrimSpace(x); x == "*" || x == tag {
			return true
		}
	}
	return false
}

// CustomerRef is the input of endpoints about one customer.
type CustomerRef struct {
	ID string `path:"id" maxLength:"64"`
}

func (c *CustomerRef) owner(_ context.Context, s *server) (string, bool, error) {
	_, ok := s.o.Accounts.Customer(c.ID)
	return c.ID, ok, nil
}
func (c *CustomerRef) kind() string { return "no-such-customer" }

// noCustomer answers who names a customer that is not there, or not his.
func (s *server) noCustomer(string) error { return missing("no-such-customer") }

func (s *server) customer(id string) (account.Customer, error) {
	c, ok := s.o.Accounts.Customer(id)
	if !ok {
		return c, problem(http.StatusNotFound, "no-such-customer", "there is no customer %q; customer list shows all", clip(id, 64))
	}
	return c, nil
}

func (s *server) showCustomer(_ context.Context, in *CustomerRef) (*shown, error) {
	c, err := s.customer(in.ID)
	if err != nil {
		return nil, err
	}
	out := s.customerOf(c)
	return &shown{tagOf(out.CustomerSettings), out}, nil
}

type addCustomerIn struct {
	Body Customer
}

func (s *server) addCustomer(ctx context.Context, in *addCustomerIn) (*shown, error) {
	about(ctx, in.Body.ID, "")
	s.customers.Lock()
	defer s.customers.Unlock()
	if _, taken := s.o.Accounts.Customer(in.Body.ID); taken {
		return nil, problem(http.StatusConflict, "taken", "there is a customer %q already; update it, or choose another id", in.Body.ID)
	}
	return s.putCustomer(ctx, in.Body.ID, in.Body.CustomerSettings, account.ToldAdded)
}

type updateCustomerIn struct {
	CustomerRef
	Match string `header:"If-Match" maxLength:"200" doc:"Tag of the settings as they were read: others' changes since then are not lost"`
	Body  CustomerSettings
}

func (s *server) updateCustomer(ctx context.Context, in *updateCustomerIn) (*shown, error) {
	s.customers.Lock()
	defer s.customers.Unlock()
	c, err := s.customer(in.ID)
	if err != nil {
		return nil, err
	}
	if tag := tagOf(s.customerOf(c).CustomerSettings); in.Match != "" && !matches(in.Match, tag) {
		return nil, changedSince()
	}
	return s.putCustomer(ctx, in.ID, in.Body, account.ToldChanged)
}

// NoticeSettings are what a customer sets himself.
type NoticeSettings struct {
	Contact         string `json:"contact,omitempty" maxLength:"320" doc:"Who gets notices; absent: nobody"`
	Language        string `json:"language" enum:"fr,en" doc:"Of notices and pages"`
	DropAutoReplies bool   `json:"drop_auto_replies,omitempty" doc:"Automatic answers to a return address are not passed on to the sender"`
}

type noticesIn struct {
	CustomerRef
	Match string `header:"If-Match" maxLength:"200" doc:"Tag of the customer's settings as they were read"`
	Body  NoticeSettings
}

func (s *server) changeNotices(ctx context.Context, in *noticesIn) (*shown, error) {
	s.customers.Lock()
	defer s.customers.Unlock()
	c, err := s.customer(in.ID)
	if err != nil {
		return nil, err
	}
	if in.Match != "" && !matches(in.Match, tagOf(s.customerOf(c).CustomerSettings)) {
		return nil, changedSince()
	}
	c.Contact, c.Language, c.DropAutoReplies = mail.Address{}, in.Body.Language, in.Body.DropAutoReplies
	if in.Body.Contact != "" {
		if c.Contact, err = mail.ParseAddress(in.Body.Contact); err != nil {
			return nil, invalid("contact: %v", err)
		}
	}
	if err := s.o.Accounts.PutCustomer(ctx, c); err != nil {
		return nil, s.fail(err)
	}
	if err := s.tuned(ctx, in.ID, account.ToldChanged); err != nil {
		return nil, err
	}
	if c, err = s.customer(in.ID); err != nil {
		return nil, err
	}
	out := s.customerOf(c)
	return &shown{tagOf(out.CustomerSettings), out}, nil
}

func changedSince() error {
	return problem(http.StatusPreconditionFailed, "changed", "the settings were changed since you read them; read them again, then repeat your change")
}

func (s *server) putCustomer(ctx context.Context, id string, settings CustomerSettings, told string) (*shown, error) {
	c, err := settings.read(id)
	if err != nil {
		return nil, err
	}
	if err := s.o.Accounts.PutCustomer(ctx, c); err != nil {
		return nil, s.fail(err)
	}
	if err := s.tuned(ctx, id, told); err != nil {
		return nil, err
	}
	if c, err = s.customer(id); err != nil {
		return nil, err
	}
	out := s.customerOf(c)
	return &shown{tagOf(out.CustomerSettings), out}, nil
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
	if s.o.Users != nil {
		if err := s.o.Users.RemoveCustomer(ctx, in.ID); err != nil {
			return nil, s.fail(err)
		}
	}
	if s.o.Suppression != nil {
		if err := s.o.Suppression.Erase(ctx, in.ID); err != nil {
			return nil, s.fail(err)
		}
	}
	if err := s.tuned(ctx, in.ID, account.ToldRemoved); err != nil {
		return nil, err
	}
	return done("customer %s is removed with networks, domains and credentials; mail already taken goes on", in.ID), nil
}

type suspendIn struct {
	CustomerRef
	Body *Suspension
}

// Suspension says why a customer is suspended.
type Suspension struct {
	Reason string `json:"reason,omitempty" maxLength:"200" doc:"Stands in the journal and in the audit log"`
}

func (s *server) suspendCustomer(ctx context.Context, in *suspendIn) (*body[Done], error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	return s.setSuspended(ctx, &in.CustomerRef, true, reason, done("customer %s is suspended: no mail is taken from it", in.ID))
}

func (s *server) resumeCustomer(ctx context.Context, in *CustomerRef) (*body[Done], error) {
	return s.setSuspended(ctx, in, false, "", done("customer %s may send again", in.ID))
}

func (s *server) setSuspended(ctx context.Context, in *CustomerRef, suspended bool, reason string, what *body[Done]) (*body[Done], error) {
	if _, err := s.customer(in.ID); err != nil {
		return nil, err
	}
	about(ctx, in.ID, reason)
	if err := s.o.Accounts.SetSuspended(ctx, in.ID, suspended); err != nil {
		return nil, s.fail(err)
	}
	told := account.ToldResumed
	if suspended {
		told = account.ToldSuspended(reason)
	}
	if err := s.tuned(ctx, in.ID, told); err != nil {
		return nil, err
	}
	return what, nil
}

// Credential is what authenticates a submission.
type Credential struct {
	User     string    `json:"user"`
	Customer string    `json:"customer"`
	Label    string    `json:"label,omitempty"`
	Created  time.Time `json:"created"`
	Revoked  bool      `json:"revoked,omitempty"`
	CredentialBounds
	LastUsed time.Time `json:"last_used,omitzero" doc:"When it last brought mail"`
	LastIP   string    `json:"last_ip,omitempty" doc:"From where"`
}

// CredentialBounds are what a credential may do.
type CredentialBounds struct {
	MessagesHour  int      `json:"messages_hour,omitempty" minimum:"0" maximum:"1000000000" doc:"Messages in any hour at most; absent: no limit"`
	MessagesDay   int      `json:"messages_day,omitempty" minimum:"0" maximum:"1000000000"`
	RecipientsDay int      `json:"recipients_day,omitempty" minimum:"0" maximum:"1000000000"`
	Networks      []string `json:"networks,omitempty" maxItems:"100" doc:"Client networks it is taken from; absent: from anywhere"`
}

// CredentialSettings are what may be changed of a credential.
type CredentialSettings struct {
	Label string `json:"label,omitempty" maxLength:"200" doc:"What uses it"`
	CredentialBounds
}

// CredentialUse is what a credential did.
type CredentialUse struct {
	MessagesHour  int             `json:"messages_hour" doc:"In the last hour"`
	MessagesDay   int             `json:"messages_day"`
	RecipientsDay int             `json:"recipients_day"`
	Days          []CredentialDay `json:"days" nullable:"false" doc:"Days with use in the last 30, the oldest first"`
}

// CredentialDay is what it did on a day.
type CredentialDay struct {
	Day        time.Time `json:"day" doc:"Midnight, UTC"`
	Messages   int       `json:"messages" doc:"Taken"`
	Recipients int       `json:"recipients"`
	Refused    int       `json:"refused" doc:"Messages"`
	Last       time.Time `json:"last,omitzero"`
	LastIP     string    `json:"last_ip,omitempty"`
}

func credentialOf(c account.Credential) Credential {
	out := Credential{User: c.User, Customer: c.Customer, Label: c.Label, Created: c.Created, Revoked: c.Revoked, LastUsed: c.LastUsed, LastIP: address(c.LastIP),
		CredentialBounds: CredentialBounds{MessagesHour: c.Limits.MessagesHour, MessagesDay: c.Limits.MessagesDay, RecipientsDay: c.Limits.RecipientsDay}}
	for _, n := range c.Networks {
		out.Networks = append(out.Networks, n.String())
	}
	return out
}

// read turns settings into the ledger's.
func (c CredentialSettings) read() (account.CredentialSettings, error) {
	out := account.CredentialSettings{Label: c.Label, Limits: account.Limits{MessagesHour: c.MessagesHour, MessagesDay: c.MessagesDay, RecipientsDay: c.RecipientsDay}}
	for _, n := range c.Networks {
		p, err := readNetwork(n)
		if err != nil {
			return out, invalid("networks: %q is no network; expected 192.0.2.0/24 or 2001:db8::/48", clip(n, 50))
		}
		out.Networks = append(out.Networks, p)
	}
	return out, nil
}

// Credentials are what authenticates submissions.
type Credentials struct {
	Credentials []Credential `json:"credentials" nullable:"false"`
	Next        string       `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (c Credentials) nextPage() string { return c.Next }

type pageIn struct {
	ForCustomer
	Paging
}

func (s *server) listCredentials(_ context.Context, in *pageIn) (*body[Credentials], error) {
	out := Credentials{Credentials: []Credential{}}
	customers := s.o.Accounts.Customers()
	if in.Customer != "" {
		c, err := s.customer(in.Customer)
		if err != nil {
			return nil, err
		}
		customers = []account.Customer{c}
	}
	var all []account.Credential
	for _, c := range customers {
		all = append(all, s.o.Accounts.Credentials(c.ID)...)
	}
	slices.SortFunc(all, func(a, b account.Credential) int { return strings.Compare(a.User, b.User) })
	all, next, err := pageOf(in.Paging, all, func(c account.Credential) string { return c.User })
	if err != nil {
		return nil, err
	}
	for _, x := range all {
		out.Credentials = append(out.Credentials, credentialOf(x))
	}
	out.Next = next
	return &body[Credentials]{out}, nil
}

// NewCredential is a user name with its password, which is shown here and never again.
type NewCredential struct {
	User     string `json:"user"`
	Password string `json:"password"`
	Customer string `json:"customer"`
}

func (r *CredentialRequest) scope() *string { return &r.Customer }

// CredentialRequest asks for a credential.
type CredentialRequest struct {
	Customer string `json:"customer,omitempty" maxLength:"64" doc:"Whose; a token of a customer may leave it out"`
	CredentialSettings
}

func (s *server) addCredential(ctx context.Context, in *customerBody[CredentialRequest, *CredentialRequest]) (*body[NewCredential], error) {
	if _, err := s.customer(in.Body.Customer); err != nil {
		return nil, err
	}
	settings, err := in.Body.read()
	if err != nil {
		return nil, err
	}
	name, password, err := s.o.Accounts.MakeCredential(ctx, in.Body.Customer, settings)
	if err != nil {
		return nil, s.fail(err)
	}
	about(ctx, name, in.Body.Label)
	s.o.Logger.Info("credential added", "customer", in.Body.Customer, "credential", name, "actor", actor(ctx))
	return &body[NewCredential]{NewCredential{name, password, in.Body.Customer}}, nil
}

// CredentialRef is the input of endpoints about one credential.
type CredentialRef struct {
	User string `path:"user" maxLength:"100"`
}

func (c *CredentialRef) owner(_ context.Context, s *server) (string, bool, error) {
	x, ok := s.o.Accounts.Credential(c.User)
	return x.Customer, ok, nil
}
func (c *CredentialRef) kind() string { return "not-found" }

func (s *server) revokeCredential(ctx context.Context, in *CredentialRef) (*body[Done], error) {
	if err := s.o.Accounts.RevokeCredential(ctx, in.User); err != nil {
		return nil, s.fail(err)
	}
	s.o.Logger.Info("credential revoked", "credential", in.User, "actor", actor(ctx))
	return done("%s cannot log in any more", in.User), nil
}

type updateCredentialIn struct {
	CredentialRef
	Body CredentialSettings
}

func (s *server) updateCredential(ctx context.Context, in *updateCredentialIn) (*body[Credential], error) {
	settings, err := in.Body.read()
	if err != nil {
		return nil, err
	}
	if err := s.o.Accounts.UpdateCredential(ctx, in.User, settings); err != nil {
		return nil, s.fail(err)
	}
	x, _ := s.o.Accounts.Credential(in.User)
	return &body[Credential]{credentialOf(x)}, nil
}

func (s *server) credentialUse(ctx context.Context, in *CredentialRef) (*body[CredentialUse], error) {
	const days = 30
	x, ok := s.o.Accounts.Credential(in.User)
	if !ok {
		return nil, missing("not-found")
	}
	now := s.o.Now()
	all, err := s.o.Accounts.Uses(ctx, x.Customer, now.AddDate(0, 0, -days))
	if err != nil {
		return nil, s.fail(err)
	}
	spent := s.o.Accounts.Spent(x.User, now)
	out := CredentialUse{spent.MessagesHour, spent.MessagesDay, spent.RecipientsDay, []CredentialDay{}}
	for _, d := range all[x.User] {
		out.Days = append(out.Days, CredentialDay{d.Day, d.Messages, d.Recipients, d.Refused, d.Last, address(d.LastIP)})
	}
	return &body[CredentialUse]{out}, nil
}
