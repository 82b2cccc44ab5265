package account

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// row is a customer as stored.
type row struct {
	Customer
	source string // the configuration file's name, for origin config
	gone   bool   // left the configuration file
}

// rows is everything the ledger keeps.
type rows struct {
	customers   []row
	credentials []Credential
	keys        []KeyRecord
	tuning      Tuning
	file        Tuning // what the configuration file says of points and lists
	fileSource  string
}

const customerColumns = `id, name, language, contact, pool, mode, threshold, self_release, release_ceiling, any_from, suspended, origin, source, gone, return_path, drop_auto_replies`

func scanCustomer(scan func(...any) error) (row, error) {
	var r row
	var contact string
	err := scan(&r.ID, &r.Name, &r.Language, &contact, &r.Pool, &r.Mode, &r.Threshold, &r.SelfRelease,
		&r.ReleaseCeiling, &r.AnyFrom, &r.Suspended, &r.Origin, &r.source, &r.gone, &r.ReturnPath, &r.DropAutoReplies)
	if err != nil {
		return row{}, err
	}
	if contact != "" {
		if r.Contact, err = mail.ParseAddress(contact); err != nil {
			return row{}, fmt.Errorf("account: contact of customer %s: %w", r.ID, err)
		}
	}
	return r, nil
}

func findCustomer(t *store.Tx, id string) (row, error) {
	r, err := scanCustomer(t.QueryRow(`SELECT `+customerColumns+` FROM account_customer WHERE id = ?`, id).Scan)
	if errors.Is(err, store.ErrNoRows) {
		err = fmt.Errorf("%w: customer %s", ErrNotFound, id)
	}
	return r, err
}

// readOwned reads a customer's networks and domains.
func readOwned(t *store.Tx, r *row) error {
	if err := readPairs(t, `SELECT network, customer FROM account_network WHERE customer = ? ORDER BY network`, func(network, _ string) error {
		p, err := netip.ParsePrefix(network)
		r.Networks = append(r.Networks, p)
		return err
	}, r.ID); err != nil {
		return err
	}
	return readPairs(t, `SELECT domain, customer FROM account_domain WHERE customer = ? ORDER BY domain`, func(domain, _ string) error {
		r.Domains = append(r.Domains, mail.Domain(domain))
		return nil
	}, r.ID)
}

func readAll(t *store.Tx) (rows, error) {
	var all rows
	var err error
	index := map[string]int{}
	customers := t.Query(`SELECT ` + customerColumns + ` FROM account_customer ORDER BY id`)
	for customers.Next() {
		r, err := scanCustomer(customers.Scan)
		if err != nil {
			return rows{}, err
		}
		index[r.ID] = len(all.customers)
		all.customers = append(all.customers, r)
	}
	if err := customers.Err(); err != nil {
		return rows{}, err
	}
	if err := readPairs(t, `SELECT network, customer FROM account_network ORDER BY network`, func(network, id string) error {
		p, err := netip.ParsePrefix(network)
		if i, ok := index[id]; ok && err == nil {
			all.customers[i].Networks = append(all.customers[i].Networks, p)
		}
		return err
	}); err != nil {
		return rows{}, err
	}
	if err := readPairs(t, `SELECT domain, customer FROM account_domain ORDER BY domain`, func(domain, id string) error {
		if i, ok := index[id]; ok {
			all.customers[i].Domains = append(all.customers[i].Domains, mail.Domain(domain))
		}
		return nil
	}); err != nil {
		return rows{}, err
	}
	credentials := t.Query(`SELECT name, customer, hash, label, created, revoked, messages_hour, messages_day, recipients_day, networks, used, used_ip FROM account_credential ORDER BY name`)
	for credentials.Next() {
		var c Credential
		var networks, ip string
		if err := credentials.Scan(&c.User, &c.Customer, &c.Hash, &c.Label, &c.Created, &c.Revoked, &c.Limits.MessagesHour, &c.Limits.MessagesDay,
			&c.Limits.RecipientsDay, &networks, &c.LastUsed, &ip); err != nil {
			return rows{}, err
		}
		if c.Networks, err = readNetworks(networks); err != nil {
			return rows{}, fmt.Errorf("account: networks of credential %s: %w", c.User, err)
		}
		c.LastIP, _ = netip.ParseAddr(ip) // "" is none
		all.credentials = append(all.credentials, c)
	}
	if err := credentials.Err(); err != nil {
		return rows{}, err
	}
	keys := t.Query(`SELECT domain, selector, algorithm, pem, created, active FROM account_key ORDER BY domain, selector`)
	for keys.Next() {
		var k KeyRecord
		var domain string
		if err := keys.Scan(&domain, &k.Selector, &k.Algorithm, &k.PEM, &k.Created, &k.Active); err != nil {
			return rows{}, err
		}
		k.Domain = mail.Domain(domain)
		all.keys = append(all.keys, k)
	}
	if err := keys.Err(); err != nil {
		return rows{}, err
	}
	all.tuning, err = readTuning(t)
	return all, err
}

// networksText is how networks are stored, and readNetworks reads them back.
func networksText(networks []netip.Prefix) string {
	texts := make([]string, len(networks))
	for i, n := range networks {
		texts[i] = n.String()
	}
	return strings.Join(texts, " ")
}

func readNetworks(text string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range strings.Fields(text) {
		n, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

func readPairs(t *store.Tx, query string, each func(a, b string) error, args ...any) error {
	pairs := t.Query(query, args...)
	for pairs.Next() {
		var a, b string
		if err := pairs.Scan(&a, &b); err != nil {
			return err
		}
		if err := each(a, b); err != nil {
			return err
		}
	}
	return pairs.Err()
}

// storeCustomer writes r with networks and domains. Something that belongs to another customer is ErrTaken.
func storeCustomer(t *store.Tx, r row) error {
	if err := deleteCustomer(t, r.ID); err != nil {
		return err
	}
	if _, err := t.Exec(`INSERT INTO account_customer (`+customerColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		r.ID, r.Name, r.Language, r.Contact.String(), r.Pool, r.Mode, r.Threshold, r.SelfRelease, r.ReleaseCeiling,
		r.AnyFrom, r.Suspended, r.Origin, r.source, r.gone, r.ReturnPath, r.DropAutoReplies); err != nil {
		return err
	}
	for _, n := range r.Networks {
		if err := claim(t, "network", n.String(), r.ID); err != nil {
			return err
		}
	}
	for _, d := range r.Domains {
		if err := claim(t, "domain", string(d), r.ID); err != nil {
			return err
		}
	}
	return nil
}

// claim writes a row of account_network or account_domain unless somebody else has it.
func claim(t *store.Tx, what, value, customer string) error {
	var owner string
	switch err := t.QueryRow(`SELECT customer FROM account_`+what+` WHERE `+what+` = ?`, value).Scan(&owner); {
	case err == nil:
		return fmt.Errorf("%w: %s %s belongs to customer %s", ErrTaken, what, value, owner)
	case !errors.Is(err, store.ErrNoRows):
		return err
	}
	_, err := t.Exec(`INSERT INTO account_`+what+` (`+what+`, customer) VALUES (?, ?)`, value, customer)
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %s %s belongs to another customer", ErrTaken, what, value)
	}
	return err
}

func dropOwnership(t *store.Tx, id string) error {
	if _, err := t.Exec(`DELETE FROM account_network WHERE customer = ?`, id); err != nil {
		return err
	}
	_, err := t.Exec(`DELETE FROM account_domain WHERE customer = ?`, id)
	return err
}

func deleteCustomer(t *store.Tx, id string) error {
	if err := dropOwnership(t, id); err != nil {
		return err
	}
	_, err := t.Exec(`DELETE FROM account_customer WHERE id = ?`, id)
	return err
}

// disinherit removes what a new customer of the same id must not inherit: credentials, other points, list entries.
func disinherit(t *store.Tx, customer string) error {
	if err := deleteTuning(t, customer); err != nil {
		return err
	}
	if _, err := t.Exec(`DELETE FROM account_window WHERE credential IN (SELECT name FROM account_credential WHERE customer = ?)`, customer); err != nil {
		return err
	}
	if _, err := t.Exec(`DELETE FROM account_use WHERE credential IN (SELECT name FROM account_credential WHERE customer = ?)`, customer); err != nil {
		return err
	}
	_, err := t.Exec(`DELETE FROM account_credential WHERE customer = ?`, customer)
	return err
}

func insertCredential(t *store.Tx, c Credential) error {
	_, err := t.Exec(`INSERT INTO account_credential (name, customer, hash, label, created, revoked, messages_hour, messages_day, recipients_day, networks) VALUES (?,?,?,?,?,?,?,?,?,?)`,
		c.User, c.Customer, c.Hash, c.Label, c.Created, c.Revoked, c.Limits.MessagesHour, c.Limits.MessagesDay, c.Limits.RecipientsDay, networksText(c.Networks))
	return err
}

func insertKey(t *store.Tx, k KeyRecord) error {
	_, err := t.Exec(`INSERT INTO account_key (domain, selector, algorithm, pem, created, active) VALUES (?,?,?,?,?,?)`,
		string(k.Domain), k.Selector, k.Algorithm, k.PEM, k.Created, k.Active)
	return err
}

// setKeyActive returns ErrNotFound when there is no such key.
func setKeyActive(t *store.Tx, d mail.Domain, selector string, active bool) error {
	n, err := t.Exec(`UPDATE account_key SET active = ? WHERE domain = ? AND selector = ?`, active, string(d), selector)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: key %s of %s", ErrNotFound, selector, d)
	}
	return err
}

// micros cuts t to what the database keeps, so that a value reads back as it was written.
func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
