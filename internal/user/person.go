package user

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/mail"
	"postern/internal/store"
)

// inviteFor is how long an invitation may be accepted.
const inviteFor = 7 * 24 * time.Hour

// maxPage is how many rows one page of a list holds.
const maxPage = 200

// person is a user as stored.
type person struct {
	User
	hash string // argon2id of his password; "": none
	totp string // base32 key of one-time codes; "": none are asked
	step int64  // the last step of which a code was used
}

// personColumns with the table as p.
const personColumns = `p.id, p.address, p.name, p.role, p.customer, p.language, p.zone, p.disabled, p.created, p.last_seen, p.hash, p.totp, p.totp_step,
 (SELECT COUNT(*) FROM user_passkey k WHERE k.person = p.id), (SELECT COUNT(*) FROM user_identity i WHERE i.person = p.id)`

// into are the variables of personColumns; finish completes the person after Scan.
func (p *person) into(address *string, identities *int) []any {
	return []any{&p.ID, address, &p.Name, &p.Role, &p.Customer, &p.Language, &p.Zone, &p.Disabled, &p.Created, &p.LastSeen, &p.hash, &p.totp, &p.step, &p.Passkeys, identities}
}

func (p *person) finish(address string, identities int) (err error) {
	p.Password, p.TOTP, p.External = p.hash != "", p.totp != "", identities > 0
	if p.Address, err = mail.ParseAddress(address); err != nil {
		return fmt.Errorf("user: address of %s: %w", p.ID, err)
	}
	return nil
}

func scanPerson(scan func(...any) error, more ...any) (person, error) {
	var p person
	var address string
	var identities int
	if err := scan(append(p.into(&address, &identities), more...)...); err != nil {
		return person{}, err
	}
	return p, p.finish(address, identities)
}

// findPerson returns a user by id. Error: ErrNotFound.
func findPerson(t *store.Tx, id string) (person, error) {
	return onePerson(t.QueryRow(`SELECT `+personColumns+` FROM user_person p WHERE p.id = ?`, id))
}

// findAddress returns a user by address in any case. Error: ErrNotFound.
func findAddress(t *store.Tx, address string) (person, error) {
	return onePerson(t.QueryRow(`SELECT `+personColumns+` FROM user_person p WHERE p.address_key = ?`, strings.ToLower(address)))
}

func onePerson(row *store.Row) (person, error) {
	p, err := scanPerson(row.Scan)
	if errors.Is(err, store.ErrNoRows) {
		err = ErrNotFound
	}
	return p, err
}

// alive reports whether the user may ask for anything: he is not disabled, and his customer is there.
func (l *Ledger) alive(p person) bool {
	return !p.Disabled && (p.Customer == "" || l.o.Customer(p.Customer))
}

// checked returns the user as he may be stored, or ErrInvalid with what is wrong.
func (l *Ledger) checked(u User) (User, error) {
	u.Name, u.Customer, u.Zone = strings.TrimSpace(u.Name), strings.TrimSpace(u.Customer), strings.TrimSpace(u.Zone)
	if u.Language == "" {
		u.Language = "en"
	}
	switch {
	case u.Address.IsNull():
		return u, fmt.Errorf("%w: an address is missing", ErrInvalid)
	case utf8.RuneCountInString(u.Name) > 100 || strings.ContainsFunc(u.Name, unicode.IsControl):
		return u, fmt.Errorf("%w: a name has at most 100 characters, on one line", ErrInvalid)
	case !slices.Contains(Roles(), u.Role):
		return u, fmt.Errorf("%w: there is no role %q (there are operator, abuse, admin, reader)", ErrInvalid, u.Role)
	case u.Role.Gateway() && u.Customer != "":
		return u, fmt.Errorf("%w: role %s is one of the gateway and belongs to no customer", ErrInvalid, u.Role)
	case !u.Role.Gateway() && u.Customer == "":
		return u, fmt.Errorf("%w: role %s needs a customer", ErrInvalid, u.Role)
	case u.Customer != "" && !l.o.Customer(u.Customer):
		return u, fmt.Errorf("%w: there is no customer %q", ErrInvalid, u.Customer)
	case u.Language != "en" && u.Language != "fr":
		return u, fmt.Errorf("%w: language %q is neither fr nor en", ErrInvalid, u.Language)
	}
	if _, err := mail.ParseAddress(u.Address.String()); err != nil {
		return u, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	if _, err := time.LoadLocation(u.Zone); err != nil || u.Zone == "Local" {
		return u, fmt.Errorf("%w: there is no time zone %q (such as Europe/Paris)", ErrInvalid, u.Zone)
	}
	return u, nil
}

// Add makes a user and returns him with the secret of an invitation link, with which he sets his password within 7 days; Options.Tell
// gets it too. Errors: ErrTaken, ErrInvalid.
func (l *Ledger) Add(ctx context.Context, u User) (User, string, error) {
	u, err := l.checked(u)
	if err != nil {
		return User{}, "", err
	}
	secret, hash, err := newSecret()
	if err != nil {
		return User{}, "", err
	}
	now := l.now()
	err = l.o.DB.Write(ctx, func(t *store.Tx) error {
		if u, err = l.insertPerson(t, u, ""); err != nil {
			return err
		}
		return l.putOnce(t, once{kind: onceInvite, person: u.ID, created: now, ends: now.Add(inviteFor)}, hash)
	})
	if err != nil {
		return User{}, "", taken(err)
	}
	l.tell(ctx, Telling{Kind: TellInvite, User: u, Link: l.InviteLink(secret), Ends: now.Add(inviteFor)})
	return u, secret, nil
}

// insertPerson writes a checked user, with a password's hash or without.
func (l *Ledger) insertPerson(t *store.Tx, u User, hash string) (User, error) {
	id, err := newID()
	if err != nil {
		return u, err
	}
	u = User{ID: id, Address: u.Address, Name: u.Name, Role: u.Role, Customer: u.Customer, Language: u.Language, Zone: u.Zone, Disabled: u.Disabled, Created: l.now(), Password: hash != ""}
	_, err = t.Exec(`INSERT INTO user_person (id, address, address_key, name, role, customer, language, zone, disabled, created, last_seen, hash, totp, totp_step) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		u.ID, u.Address.String(), strings.ToLower(u.Address.String()), u.Name, u.Role, u.Customer, u.Language, u.Zone, u.Disabled, u.Created, time.Time{}, hash, "", 0)
	return u, err
}

// taken says what a key that exists already means here.
func taken(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return ErrTaken
	}
	return err
}

// tell hands a mail over; what it costs is the mail's business.
func (l *Ledger) tell(ctx context.Context, x Telling) {
	if x.At.IsZero() {
		x.At = l.now()
	}
	l.o.Tell(context.WithoutCancel(ctx), x)
}

// User returns one user. Error: ErrNotFound.
func (l *Ledger) User(ctx context.Context, id string) (User, error) {
	var p person
	err := l.o.DB.Read(ctx, func(t *store.Tx) (err error) {
		p, err = findPerson(t, id)
		return err
	})
	return p.User, err
}

// ByAddress returns the user who signs in with an address, in any case. Error: ErrNotFound.
func (l *Ledger) ByAddress(ctx context.Context, address string) (User, error) {
	var p person
	err := l.o.DB.Read(ctx, func(t *store.Tx) (err error) {
		p, err = findAddress(t, address)
		return err
	})
	return p.User, err
}

// UserQuery chooses users.
type UserQuery struct {
	Customer  string // users of this customer; "": of the gateway
	Everybody bool   // of the gateway and of all customers; Customer is not looked at
	Text      string // part of the address or of the name; case is of no importance; "": all
	After     string // the Next of the page before; "": the first page
	Limit     int    // 1..200; 0: 200
}

// UserPage is a page of users, by address.
type UserPage struct {
	Users []User
	Next  string // "": the last page
}

// Users lists users.
func (l *Ledger) Users(ctx context.Context, q UserQuery) (UserPage, error) {
	limit := pageLimit(q.Limit)
	sql, args := `SELECT `+personColumns+`, p.address_key FROM user_person p WHERE p.address_key > ?`, []any{q.After}
	if !q.Everybody {
		sql, args = sql+` AND p.customer = ?`, append(args, q.Customer)
	}
	if text := strings.ToLower(strings.TrimSpace(q.Text)); text != "" {
		like := "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text) + "%"
		sql, args = sql+` AND (p.address_key LIKE ? ESCAPE '!' OR lower(p.name) LIKE ? ESCAPE '!')`, append(args, like, like)
	}
	var page UserPage
	err := l.o.DB.Read(ctx, func(t *store.Tx) error {
		page = UserPage{}
		var last string
		rows := t.Query(sql+` ORDER BY p.address_key LIMIT ?`, append(args, limit+1)...)
		for rows.Next() {
			if len(page.Users) == limit {
				page.Next = last
				break
			}
			p, err := scanPerson(rows.Scan, &last)
			if err != nil {
				return err
			}
			page.Users = append(page.Users, p.User)
		}
		return rows.Err()
	})
	return page, err
}

// pageLimit bounds how many rows a page has.
func pageLimit(n int) int {
	if n <= 0 || n > maxPage {
		return maxPage
	}
	return n
}

// Update changes a user's address, name, role, language and zone; what else u holds is not looked at. A role changes what his sessions
// and tokens may do at once. Nobody moves from one customer to another, or to the gateway: that is another user.
// Errors: ErrNotFound, ErrTaken, ErrInvalid, ErrLast.
func (l *Ledger) Update(ctx context.Context, u User) (User, error) {
	var before, after person
	err := l.o.DB.Write(ctx, func(t *store.Tx) (err error) {
		if before, err = findPerson(t, u.ID); err != nil {
			return err
		}
		next := before.User
		next.Address, next.Name, next.Role, next.Language, next.Zone = u.Address, u.Name, u.Role, u.Language, u.Zone
		if next, err = l.checked(next); err != nil {
			return err
		}
		if before.Role == Operator && next.Role != Operator {
			if err := notLast(t, before); err != nil {
				return err
			}
		}
		if _, err := t.Exec(`UPDATE user_person SET address = ?, address_key = ?, name = ?, role = ?, language = ?, zone = ? WHERE id = ?`,
			next.Address.String(), strings.ToLower(next.Address.String()), next.Name, next.Role, next.Language, next.Zone, u.ID); err != nil {
			return err
		}
		if next.Address != before.Address { // links that went to the former address end with it
			if _, err := t.Exec(`DELETE FROM user_once WHERE person = ? AND kind IN (?, ?)`, u.ID, onceInvite, onceReset); err != nil {
				return err
			}
		}
		after, err = findPerson(t, u.ID)
		return err
	})
	if err != nil {
		return User{}, taken(err)
	}
	if after.Address != before.Address && (before.Password || before.External || before.Passkeys > 0) {
		l.tell(ctx, Telling{Kind: TellAddress, User: before.User})
	}
	return after.User, nil
}

// notLast returns ErrLast when the user is the only operator who is not disabled. The rows stay locked until the transaction ends, so
// that two operators do not take away each other.
func notLast(t *store.Tx, p person) error {
	if p.Role != Operator || p.Disabled {
		return nil
	}
	rows, others := t.Query(`SELECT id FROM user_person WHERE role = ? AND disabled = 0 ORDER BY id FOR UPDATE`, Operator), 0
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		if id != p.ID {
			others++
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if others == 0 {
		return ErrLast
	}
	return nil
}

// SetDisabled lets a user sign in no more, or again. His sessions and open links end at once; his tokens are refused while he is disabled.
// Errors: ErrNotFound, ErrLast.
func (l *Ledger) SetDisabled(ctx context.Context, id string, disabled bool) error {
	return l.o.DB.Write(ctx, func(t *store.Tx) error {
		p, err := findPerson(t, id)
		if err != nil {
			return err
		}
		if disabled {
			if err := notLast(t, p); err != nil {
				return err
			}
			if err := execAll(t, id, `DELETE FROM user_session WHERE person = ?`, `DELETE FROM user_once WHERE person = ?`); err != nil {
				return err
			}
		}
		_, err = t.Exec(`UPDATE user_person SET disabled = ? WHERE id = ?`, disabled, id)
		return err
	})
}

// personTables are those with rows of a user, but for user_person.
var personTables = []string{
	`DELETE FROM user_session WHERE person = ?`, `DELETE FROM user_once WHERE person = ?`, `DELETE FROM user_recovery WHERE person = ?`,
	`DELETE FROM user_passkey WHERE person = ?`, `DELETE FROM user_network WHERE person = ?`, `DELETE FROM user_identity WHERE person = ?`,
	`DELETE FROM user_token WHERE person = ?`,
}

// Remove takes a user away with all he has; his sessions and tokens end at once. The audit log keeps what he did. Errors: ErrNotFound, ErrLast.
func (l *Ledger) Remove(ctx context.Context, id string) error {
	return l.o.DB.Write(ctx, func(t *store.Tx) error {
		p, err := findPerson(t, id)
		if err != nil {
			return err
		}
		if err := notLast(t, p); err != nil {
			return err
		}
		return remove(t, id)
	})
}

func remove(t *store.Tx, id string) error {
	if err := execAll(t, id, personTables...); err != nil {
		return err
	}
	return execAll(t, id, `DELETE FROM user_person WHERE id = ?`)
}

// RemoveCustomer takes away all users and tokens of a customer who left, so that a new customer of the same name does not inherit them.
func (l *Ledger) RemoveCustomer(ctx context.Context, customer string) error {
	if customer == "" {
		return fmt.Errorf("%w: no customer is named", ErrInvalid)
	}
	return l.o.DB.Write(ctx, func(t *store.Tx) error {
		var ids []string
		rows := t.Query(`SELECT id FROM user_person WHERE customer = ?`, customer)
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, id := range ids {
			if err := remove(t, id); err != nil {
				return err
			}
		}
		return execAll(t, customer, `DELETE FROM user_token WHERE customer = ?`)
	})
}

// execAll runs statements that have one argument.
func execAll(t *store.Tx, arg string, statements ...string) error {
	for _, s := range statements {
		if _, err := t.Exec(s, arg); err != nil {
			return err
		}
	}
	return nil
}
