package intake

import (
	"strings"
	"unicode"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// Identity binding: a customer may speak only in the name of his own domains, in the envelope and in every field a reader sees as
// the author. Without it, one customer forges another, with a valid signature (CERT VU#244112, EchoSpoofing 2024).

// authorFields are the fields that name an author or a sender (RFC 5322 3.6.2, 3.6.6).
var authorFields = []string{"From", "Sender", "Resent-From", "Resent-Sender"}

// mayUse checks one address. A null reverse path is the mark of bounces and auto-replies and is free.
func (in *Intake) mayUse(c account.Customer, where string, a mail.Address) error {
	if c.AnyFrom || a.IsNull() || in.o.Accounts.OwnsDomain(c, a.Domain) {
		return nil
	}
	return notYours(c, where, string(a.Domain))
}

func notYours(c account.Customer, where, domain string) error {
	return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1},
		Text: where + ": " + printable(domain) + " is not a domain of customer " + c.ID + "; send from one of your own domains, or have the operator add it"}
}

// mayAuthor checks every author field of a message. An address that cannot be read is refused too: receivers may read it
// in another way than we do.
func (in *Intake) mayAuthor(c account.Customer, m *mail.Message) error {
	if c.AnyFrom {
		return nil
	}
	for _, d := range m.Defects {
		if (d.Code == mail.DefectHeaderTooLarge || d.Code == mail.DefectHeaderTooMany) && strings.HasPrefix(d.Where, "line ") {
			// The message's own header, not that of a part; an author could stand where it was not read.
			return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 6, 0}, Text: "The header is too large to be read whole: " + d.Detail}
		}
	}
	for _, name := range authorFields {
		for _, f := range m.Header.All(name) {
			if len(f.Raw) >= in.o.MailSize.FieldBytes {
				return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 6, 0}, Text: "The field " + name + " is too long to be read whole"}
			}
			boxes, ok := mail.ParseMailboxes(f.Value())
			if !ok {
				return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 6, 0},
					Text: "The field " + name + " cannot be read as addresses: " + printable(clipText(f.Value(), 120))}
			}
			for _, b := range boxes {
				if b.Address.IsNull() {
					return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 6, 0},
						Text: "The field " + name + " holds an address that cannot be read: " + printable(clipText(b.Raw, 120))}
				}
				if !in.o.Accounts.OwnsDomain(c, b.Address.Domain) {
					return notYours(c, name, string(b.Address.Domain))
				}
			}
		}
	}
	return nil
}

// clipText bounds what is quoted back.
func clipText(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// printable keeps text from outside from forging a second reply line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}
