package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"postern/internal/mail"
	"postern/internal/store"
)

// Modes of a customer: what happens to a message above the threshold.
const (
	ModeHold   = "hold"   // accepted and kept until somebody decides
	ModeReject = "reject" // refused in session
)

// Origins of a customer.
const (
	OriginConfig   = "config"
	OriginDatabase = "database"
)

// Defaults of a customer's zero values.
const (
	DefaultLanguage       = "fr"
	DefaultThreshold      = 3.0
	DefaultReleaseCeiling = 8.0
	maxScore              = 15.0
)

// maxPerCustomer bounds networks and domains of one customer.
const maxPerCustomer = 10_000

// Customer is who may send through us. Zero values of Language, Mode, Threshold and ReleaseCeiling mean
// the defaults above, which PutCustomer and SyncConfig fill in.
type Customer struct {
	ID       string         // a-z, 0-9 and -, at most 64; never changes
	Name     string         // for people
	Language string         // of notices and pages: "fr" or "en"
	Contact  mail.Address   // who gets notices and warnings; null = nobody
	Networks []netip.Prefix // client IPs that are this customer without a password
	Domains  []mail.Domain  // may appear, with all their subdomains, in header From and the reverse path
	Pool     string         // the pool this customer's mail leaves from; "" = default
	Mode     string         // ModeHold or ModeReject

	Threshold      float64 // a score strictly above blocks; 0..15
	SelfRelease    bool    // the sender may release his own held messages
	ReleaseCeiling float64 // ... up to this score; 0..15
	AnyFrom        bool    // any sender address is let through: only for relay networks of hosters
	Suspended      bool    // may not send
	Origin         string  // OriginConfig or OriginDatabase

	// ReturnPath is the envelope sender of his mail as it leaves: ReturnPathKept, ReturnPathOurs, or a domain that is one of his or below one;
	// "" is ReturnPathOurs where the gateway has a domain for it.
	ReturnPath      string
	DropAutoReplies bool // automatic answers that come to a return address are not passed on to the sender
}

// What Customer.ReturnPath may say beside a domain.
const (
	ReturnPathKept = "kept" // the sender's own address
	ReturnPathOurs = "ours" // a signed address of the gateway's domain
)

// ReturnDomain is the customer's own domain for return addresses, "" if he has none.
func (c Customer) ReturnDomain() mail.Domain {
	if c.ReturnPath == ReturnPathKept || c.ReturnPath == ReturnPathOurs {
		return ""
	}
	return mail.Domain(c.ReturnPath)
}

var idForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// fill puts the defaults where nothing is said.
func (c Customer) fill() Customer {
	if c.Language == "" {
		c.Language = DefaultLanguage
	}
	if c.Mode == "" {
		c.Mode = ModeHold
	}
	if c.Threshold == 0 {
		c.Threshold = DefaultThreshold
	}
	if c.ReleaseCeiling == 0 {
		c.ReleaseCeiling = max(DefaultReleaseCeiling, c.Threshold)
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	return c
}

// Validate returns every fault of c, one line each beginning with the field's name in the configuration, or nil. Whether a
// network, domain or pool is free or known is asked when it is stored.
func (c Customer) Validate() error {
	c = c.fill()
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !idForm.MatchString(c.ID) {
		bad("id: %q is not an id; expected a-z, 0-9 and - (not first or last), at most 64", c.ID)
	}
	if len(c.Name) > 200 || strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		bad("name: expected at most 200 bytes on one line")
	}
	if c.Language != "fr" && c.Language != "en" {
		bad("language: %q; expected fr or en", c.Language)
	}
	if !c.Contact.IsNull() {
		if a, err := mail.ParseAddress(c.Contact.String()); err != nil || a != c.Contact {
			bad("contact: %q is not a mail address", c.Contact.String())
		}
	}
	if c.Mode != ModeHold && c.Mode != ModeReject {
		bad("mode: %q; expected %s or %s", c.Mode, ModeHold, ModeReject)
	}
	if !(c.Threshold > 0 && c.Threshold <= maxScore) {
		bad("threshold: %v; expected more than 0 and at most %v", c.Threshold, maxScore)
	}
	if !(c.ReleaseCeiling > 0 && c.ReleaseCeiling <= maxScore) {
		bad("release_ceiling: %v; expected more than 0 and at most %v", c.ReleaseCeiling, maxScore)
	}
	if len(c.Networks) > maxPerCustomer || len(c.Domains) > maxPerCustomer {
		bad("networks, domains: more than %d", maxPerCustomer)
		return errors.Join(faults...)
	}
	networks := map[netip.Prefix]bool{}
	for _, n := range c.Networks {
		if err := CheckNetwork(n); err != nil {
			bad("networks: %w", err)
		} else if networks[n] {
			bad("networks: %s stands twice", n)
		}
		networks[n] = true
	}
	domains := map[mail.Domain]bool{}
	for _, d := range c.Domains {
		if err := CheckDomain(d); err != nil {
			bad("domains: %w", err)
		} else if domains[d] {
			bad("domains: %s stands twice", d)
		}
		domains[d] = true
	}
	if d := c.ReturnDomain(); d != "" {
		if err := CheckDomain(d); err != nil {
			bad("return_path: %w; expected %s, %s or a domain", err, ReturnPathKept, ReturnPathOurs)
		}
	}
	if c.AnyFrom && len(c.Networks) == 0 {
		bad("any_from: only a customer with networks may use any sender address; list his networks or his domains")
	}
	return errors.Join(faults...)
}

// CheckDomain says why d cannot be a customer's domain, or nil: it must be canonical, below a public suffix and
// no address literal.
func CheckDomain(d mail.Domain) error {
	if _, literal := d.Literal(); literal {
		return fmt.Errorf("%s is an address, not a domain", d)
	}
	parsed, err := mail.ParseDomain(string(d))
	if err != nil {
		return fmt.Errorf("%q is not a domain: %w", string(d), err)
	}
	if parsed != d {
		return fmt.Errorf("%q is not in canonical form; did you mean %s?", string(d), parsed)
	}
	if suffix, icann := publicsuffix.PublicSuffix(string(d)); suffix == string(d) && (icann || !strings.Contains(suffix, ".")) {
		return fmt.Errorf("%s is a public suffix: it would let the customer write in the name of everybody below it", d)
	}
	return nil
}

// Customer returns the customer of that id.
func (l *Ledger) Customer(id string) (Customer, bool) {
	c, ok := l.state.Load().customers[id]
	if !ok {
		return Customer{}, false
	}
	return *c, true
}

// Customers returns all customers sorted by id.
func (l *Ledger) Customers() []Customer {
	s := l.state.Load()
	all := make([]Customer, len(s.sorted))
	for i, c := range s.sorted {
		all[i] = *c
	}
	return all
}

// Owner returns the customer whose domain d is, or the closest parent of d that anybody has.
func (l *Ledger) Owner(d mail.Domain) (Customer, bool) {
	s := l.state.Load()
	for name := range lineage(d) {
		if c, ok := s.domains[name]; ok {
			return *c, true
		}
	}
	return Customer{}, false
}

// OwnsDomain reports whether d or a parent of d is one of c's domains, and no closer parent belongs to another
// customer: who has example.org does not write for shop.example.org once that is somebody else's.
func (l *Ledger) OwnsDomain(c Customer, d mail.Domain) bool {
	s := l.state.Load()
	for name := range lineage(d) {
		if slices.Contains(c.Domains, name) {
			return true
		}
		if owner, ok := s.domains[name]; ok && owner.ID != c.ID {
			return false
		}
	}
	return false
}

// Below reports whether d is one of c's domains or below one, whoever else may have a closer one.
func (c Customer) Below(d mail.Domain) bool {
	for name := range lineage(d) {
		if slices.Contains(c.Domains, name) {
			return true
		}
	}
	return false
}

// ReturnDomain reports whether d is some customer's domain for return addresses.
func (l *Ledger) ReturnDomain(d mail.Domain) bool { return l.state.Load().returns[d] }

// ReturnDomains reports whether any customer has one.
func (l *Ledger) ReturnDomains() bool { return len(l.state.Load().returns) > 0 }

// firstDomain is for examples.
func (c Customer) firstDomain() mail.Domain {
	if len(c.Domains) == 0 {
		return "example.org"
	}
	return c.Domains[0]
}

// lineage yields d and its parents, d first.
func lineage(d mail.Domain) func(yield func(mail.Domain) bool) {
	return func(yield func(mail.Domain) bool) {
		if _, literal := d.Literal(); literal {
			return
		}
		for name := string(d); name != ""; {
			if !yield(mail.Domain(name)) {
				return
			}
			_, name, _ = strings.Cut(name, ".")
		}
	}
}

// PutCustomer adds a customer or replaces the one of the same id. Its origin becomes "database". A customer of the
// configuration file is refused with ErrFromConfig; a network or domain of somebody else with ErrTaken.
func (l *Ledger) PutCustomer(ctx context.Context, c Customer) error {
	c = c.fill()
	c.Origin = OriginDatabase
	if err := l.faults(c); err != nil {
		return fmt.Errorf("account: customer %s: %w", c.ID, err)
	}
	return l.write(ctx, func(t *store.Tx) error {
		old, err := findCustomer(t, c.ID)
		switch {
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		case err == nil && old.gone:
			// A new customer under a name that left the configuration must not inherit its passwords.
			if err := disinherit(t, c.ID); err != nil {
				return err
			}
		case err == nil && old.Origin == OriginConfig:
			return fromConfig(old)
		}
		return storeCustomer(t, row{Customer: c})
	})
}

// AddDomain gives a domain to a customer of the database. Whether it is his is checked by who calls. One he has already is no error. Errors:
// ErrNotFound, ErrFromConfig, ErrTaken, or what CheckDomain says.
func (l *Ledger) AddDomain(ctx context.Context, customer string, d mail.Domain) error {
	return l.changeDomains(ctx, customer, func(c Customer) ([]mail.Domain, error) {
		if slices.Contains(c.Domains, d) {
			return c.Domains, nil
		}
		return append(slices.Clone(c.Domains), d), nil
	})
}

// RemoveDomain takes a domain from a customer of the database; its keys stay, and sign for nobody. Errors: ErrNotFound when it is not his,
// ErrFromConfig, or a fault when his return path lies in it.
func (l *Ledger) RemoveDomain(ctx context.Context, customer string, d mail.Domain) error {
	return l.changeDomains(ctx, customer, func(c Customer) ([]mail.Domain, error) {
		i := slices.Index(c.Domains, d)
		if i < 0 {
			return nil, fmt.Errorf("%w: domain %s of customer %s", ErrNotFound, d, customer)
		}
		c.Domains = slices.Delete(slices.Clone(c.Domains), i, i+1)
		if r := c.ReturnDomain(); r != "" && !c.Below(r) {
			return nil, fmt.Errorf("%w: bounces of customer %s come to %s, which lies in %s; an operator must first set return_path to %s, %s or a domain that stays",
				ErrInvalid, customer, r, d, ReturnPathKept, ReturnPathOurs)
		}
		return c.Domains, nil
	})
}

// changeDomains changes the domains as they stand in the database, so that two changes at the same time both count.
func (l *Ledger) changeDomains(ctx context.Context, customer string, change func(Customer) ([]mail.Domain, error)) error {
	return l.write(ctx, func(t *store.Tx) error {
		old, err := findCustomer(t, customer)
		switch {
		case err != nil:
			return err
		case old.gone:
			return fmt.Errorf("%w: customer %s", ErrNotFound, customer)
		case old.Origin == OriginConfig:
			return fromConfig(old)
		}
		if err := readOwned(t, &old); err != nil {
			return err
		}
		if old.Domains, err = change(old.Customer); err != nil {
			return err
		}
		if err := l.faults(old.Customer); err != nil {
			return fmt.Errorf("account: customer %s: %w", customer, err)
		}
		return storeCustomer(t, old)
	})
}

// faults is Validate plus what only the ledger knows.
func (l *Ledger) faults(c Customer) error {
	err := c.Validate()
	if _, ok := l.pools[c.Pool]; !ok && c.Pool != "" {
		var names []string
		for _, p := range l.Pools() {
			names = append(names, p.Name)
		}
		err = errors.Join(err, fmt.Errorf("pool: %q is not defined; expected one of %s", c.Pool, strings.Join(names, ", ")))
	}
	if d := c.ReturnDomain(); d != "" && !c.Below(d) {
		err = errors.Join(err, fmt.Errorf("return_path: %s is none of the customer's domains, nor below one; expected a domain like bounce.%s", d, c.firstDomain()))
	}
	if err != nil {
		return refusal{err}
	}
	return nil
}

// refusal is what breaks a rule, in its own words: ErrInvalid for those who ask with errors.Is.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Is tells that the error is of the kind ErrInvalid.
func (r refusal) Is(target error) bool { return target == ErrInvalid }

func fromConfig(old row) error {
	return fmt.Errorf("%w: customer %s stands in %s; change it there", ErrFromConfig, old.ID, old.source)
}

// DeleteCustomer removes a customer with networks, domains, credentials, points and list entries. DKIM keys stay. Errors: ErrNotFound,
// ErrFromConfig.
func (l *Ledger) DeleteCustomer(ctx context.Context, id string) error {
	return l.write(ctx, func(t *store.Tx) error {
		old, err := findCustomer(t, id)
		if err != nil {
			return err
		}
		if old.gone {
			return fmt.Errorf("%w: customer %s", ErrNotFound, id)
		}
		if old.Origin == OriginConfig {
			return fromConfig(old)
		}
		if err := disinherit(t, id); err != nil {
			return err
		}
		return deleteCustomer(t, id)
	})
}

// SetSuspended stops a customer's sending or allows it again, whatever its origin. It holds across restarts and
// configuration changes. Error: ErrNotFound.
func (l *Ledger) SetSuspended(ctx context.Context, id string, suspended bool) error {
	return l.write(ctx, func(t *store.Tx) error {
		n, err := t.Exec(`UPDATE account_customer SET suspended = ? WHERE id = ? AND gone = 0`, suspended, id)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: customer %s", ErrNotFound, id)
		}
		return err
	})
}

// SyncConfig makes the customers of origin "config" equal to the given ones; source names the file they stand
// in, for ErrFromConfig. Customers that are no longer given stop sending at once; their suspension and
// credentials are kept for the case that they come back. It is one transaction: any fault leaves all as it was.
func (l *Ledger) SyncConfig(ctx context.Context, customers []Customer, source string) error {
	given := map[string]bool{}
	var faults []error
	filled := make([]Customer, len(customers))
	for i, c := range customers {
		c = c.fill()
		c.Origin = OriginConfig
		filled[i] = c
		if given[c.ID] {
			faults = append(faults, fmt.Errorf("account: %s: customer %s stands twice", source, c.ID))
		}
		given[c.ID] = true
		if err := l.faults(c); err != nil {
			faults = append(faults, fmt.Errorf("account: %s: customer %s: %w", source, c.ID, err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	return l.write(ctx, func(t *store.Tx) error {
		all, err := readAll(t)
		if err != nil {
			return err
		}
		was := map[string]row{}
		for _, old := range all.customers {
			was[old.ID] = old
			if old.Origin != OriginConfig {
				continue
			}
			// Networks and domains are let go first, so that they may move from one customer to another.
			if err := dropOwnership(t, old.ID); err != nil {
				return err
			}
			if !given[old.ID] {
				if _, err := t.Exec(`UPDATE account_customer SET gone = 1 WHERE id = ?`, old.ID); err != nil {
					return err
				}
			}
		}
		for _, c := range filled {
			old, exists := was[c.ID]
			if exists && old.Origin == OriginDatabase {
				return fmt.Errorf("%w: customer %s of %s exists in the database already; give it another id or delete that one", ErrTaken, c.ID, source)
			}
			c.Suspended = old.Suspended
			if err := storeCustomer(t, row{Customer: c, source: source}); err != nil {
				return fmt.Errorf("account: %s: customer %s: %w", source, c.ID, err)
			}
		}
		return nil
	})
}
