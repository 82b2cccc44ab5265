// Package account is the ledger of customers, their networks, domains, credentials and keys.
package account

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Customer is who may send through us.
type Customer struct {
	ID             string
	Name           string
	Language       string
	Contact        mail.Address
	Networks       []netip.Prefix
	Domains        []mail.Domain
	Pool           string
	Mode           string
	Threshold      float64
	SelfRelease    bool
	ReleaseCeiling float64
	AnyFrom        bool
	Suspended      bool
	Origin         string
}

// Credential authenticates a submission.
type Credential struct {
	User     string
	Customer string
	Hash     string
	Created  time.Time
	Revoked  bool
	Label    string
}

// Egress is one address and name mail leaves from.
type Egress struct {
	IP   netip.Addr
	HELO string
}

// Pool is the egress addresses used for a class of mail.
type Pool struct {
	Name   string
	Egress []Egress
}

// KeyRecord is one DKIM signing key.
type KeyRecord struct {
	Domain    mail.Domain
	Selector  string
	Algorithm string
	PEM       []byte
	Created   time.Time
	Active    bool
}

// Options configures New.
type Options struct {
	DB    *store.DB
	Pools []Pool
	Now   func() time.Time
}

// Errors callers tell apart with errors.Is.
var (
	ErrDenied     = errors.New("account: user name or password is wrong")
	ErrSuspended  = errors.New("account: customer is suspended")
	ErrThrottled  = errors.New("account: too many failed logins, try again later")
	ErrFromConfig = errors.New("account: customer is defined in the configuration file")
	ErrNotFound   = errors.New("account: not found")
)

// Ledger is the account ledger.
type Ledger struct{}

// New opens the ledger; call Refresh, SyncConfig or Run before asking it.
func New(o Options) (*Ledger, error) { return &Ledger{}, nil }

// Refresh reads customers, credentials and keys from the database into memory.
func (l *Ledger) Refresh(ctx context.Context) error { return nil }

// Run keeps the memory up to date with changes made by other processes until ctx ends.
func (l *Ledger) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// ByNetwork returns the customer whose longest network holds ip.
func (l *Ledger) ByNetwork(ip netip.Addr) (Customer, bool) { return Customer{}, false }

// Authenticate checks a user name and password.
func (l *Ledger) Authenticate(ctx context.Context, user, password string) (Credential, Customer, error) {
	return Credential{}, Customer{}, ErrDenied
}

// AuthenticateFrom is Authenticate with failures also counted against the client IP.
func (l *Ledger) AuthenticateFrom(ctx context.Context, ip netip.Addr, user, password string) (Credential, Customer, error) {
	return Credential{}, Customer{}, ErrDenied
}

// Customer returns a customer by id.
func (l *Ledger) Customer(id string) (Customer, bool) { return Customer{}, false }

// Customers returns all customers sorted by id.
func (l *Ledger) Customers() []Customer { return nil }

// PutCustomer adds or replaces a customer.
func (l *Ledger) PutCustomer(ctx context.Context, c Customer) error { return nil }

// DeleteCustomer removes a customer with its credentials.
func (l *Ledger) DeleteCustomer(ctx context.Context, id string) error { return nil }

// SetSuspended stops or lets go on a customer's sending, whatever its origin.
func (l *Ledger) SetSuspended(ctx context.Context, id string, suspended bool) error { return nil }

// AddCredential makes a new user name and password.
func (l *Ledger) AddCredential(ctx context.Context, customer, label string) (user, password string, err error) {
	return "", "", nil
}

// RevokeCredential ends a credential.
func (l *Ledger) RevokeCredential(ctx context.Context, user string) error { return nil }

// Credentials returns a customer's credentials sorted by user; hashes are left out.
func (l *Ledger) Credentials(customer string) []Credential { return nil }

// SyncConfig makes the customers of origin "config" equal to customers; source names the file.
func (l *Ledger) SyncConfig(ctx context.Context, customers []Customer, source string) error {
	return nil
}

// OwnsDomain reports whether d or a parent of it is one of c's domains.
func (l *Ledger) OwnsDomain(c Customer, d mail.Domain) bool { return false }

// SigningKeys returns the newest active key of each algorithm for d or its closest parent.
func (l *Ledger) SigningKeys(d mail.Domain) []KeyRecord { return nil }

// AddKey stores a signing key.
func (l *Ledger) AddKey(ctx context.Context, k KeyRecord) error { return nil }

// Keys returns all keys sorted by domain, selector.
func (l *Ledger) Keys() []KeyRecord { return nil }

// RetireKey ends a key's use for signing.
func (l *Ledger) RetireKey(ctx context.Context, d mail.Domain, selector string) error { return nil }

// Pool returns a pool by name; "" is the default pool.
func (l *Ledger) Pool(name string) Pool { return Pool{} }
