package user

import "slices"

// Right is one kind of thing that may be done. Roles are sets of rights; a token's scopes are rights too.
type Right string

// The rights. What is read or done concerns one customer, but for the last two, which concern the whole gateway.
const (
	MailRead   Right = "mail:read"   // messages, their life, verdicts, figures
	MailAct    Right = "mail:act"    // test again, release, hold, drop, retry, ask
	MailSend   Right = "mail:send"   // hand in messages over HTTP
	ListsRead  Right = "lists:read"  // suppression, allow and deny lists
	ListsWrite Right = "lists:write" // ... and change them
	SetupRead  Right = "setup:read"  // domains, credentials, keys, settings
	SetupWrite Right = "setup:write" // ... and change them
	HooksRead  Right = "hooks:read"  // webhooks
	HooksWrite Right = "hooks:write" // ... and change them
	UsersRead  Right = "users:read"  // users and tokens
	UsersWrite Right = "users:write" // ... and change them

	GatewayRead    Right = "gateway:read"    // lanes, queue, customers, configuration: what all customers share
	GatewayOperate Right = "gateway:operate" // pause, lift, points of tests, customers' standing
)

// Rights returns all rights, in the order in which people read them.
func Rights() []Right {
	return []Right{MailRead, MailAct, MailSend, ListsRead, ListsWrite, SetupRead, SetupWrite, HooksRead, HooksWrite, UsersRead, UsersWrite, GatewayRead, GatewayOperate}
}

// Role is what a user is.
type Role string

// The roles. Operator and AbuseDesk belong to no customer and act for all; the others belong to one.
const (
	Operator       Role = "operator" // everything
	AbuseDesk      Role = "abuse"    // sees everything; acts on mail, lists and customers' standing; changes no settings and no users
	CustomerAdmin  Role = "admin"    // everything of his customer
	CustomerReader Role = "reader"   // sees his customer
)

// Roles returns all roles, the mightiest first.
func Roles() []Role { return []Role{Operator, AbuseDesk, CustomerAdmin, CustomerReader} }

// Gateway reports whether the role belongs to the gateway and not to a customer.
func (r Role) Gateway() bool { return r == Operator || r == AbuseDesk }

// Rights returns what the role may do; nil for a role that does not exist.
func (r Role) Rights() []Right {
	switch r {
	case Operator:
		return Rights()
	case AbuseDesk:
		return []Right{MailRead, MailAct, ListsRead, ListsWrite, SetupRead, HooksRead, UsersRead, GatewayRead, GatewayOperate}
	case CustomerAdmin:
		return []Right{MailRead, MailAct, MailSend, ListsRead, ListsWrite, SetupRead, SetupWrite, HooksRead, HooksWrite, UsersRead, UsersWrite}
	case CustomerReader:
		return []Right{MailRead, ListsRead, SetupRead, HooksRead, UsersRead}
	}
	return nil
}

// Principal is who asks: a user with a session, a token, or the operator's socket. The zero Principal may do nothing.
type Principal struct {
	ID       string // of the user or token: what the journal calls him
	Name     string // for people
	Role     Role
	Customer string  // account.Customer.ID; "" for roles of the gateway
	Rights   []Right // what he may do: the role's, or fewer for a token
	Token    bool    // a program with a token
	Language string  // "fr" or "en"
	Zone     string  // IANA time zone; "" the gateway's
}

// May reports whether the principal has a right over a customer; customer "" is the gateway as a whole, which only its own roles have rights over.
func (p Principal) May(r Right, customer string) bool {
	if !slices.Contains(p.Rights, r) {
		return false
	}
	return p.Gateway() || customer != "" && customer == p.Customer
}

// Gateway reports whether the principal acts for the gateway and not for one customer.
func (p Principal) Gateway() bool { return p.Role.Gateway() && p.Customer == "" }

// Actor is the principal as the journal and the audit log write him: "operator:ID", "user:ID" or "token:ID".
func (p Principal) Actor() string {
	switch {
	case p.Token:
		return "token:" + p.ID
	case p.Gateway():
		return "operator:" + p.ID
	}
	return "user:" + p.ID
}
