package intake

import (
	"encoding/json"

	"postern/internal/account"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
)

// reference is what leads back to a message.
func (in *Intake) reference(id mail.QueueID) string {
	if in.o.Reference == nil {
		return string(id)
	}
	return in.o.Reference(id)
}

// leaving is the reverse path under which a message will leave, null where it is the sender's own.
func (in *Intake) leaving(c account.Customer, id mail.QueueID, path mail.Address, author string) mail.Address {
	if in.o.Leaving == nil || path.IsNull() {
		return mail.Address{}
	}
	if a, other := in.o.Leaving(c, id, path, author); other {
		return a
	}
	return mail.Address{}
}

// maxAddressed bounds the list of recipients that the journal keeps, in bytes.
const maxAddressed = 200 << 10

// addressed is the fact that keeps the recipients of a message in their order, so that a return address, which holds a recipient's number,
// finds him when the message has left the spool. None where the acceptance names the only one, or where bounces do not come to us.
func (in *Intake) addressed(m *spool.Message) []journal.Fact {
	all := m.Envelope.Recipients
	if len(all) < 2 {
		return nil
	}
	c, _ := in.o.Accounts.Customer(m.Customer)
	if in.leaving(c, m.ID, m.Envelope.ReversePath, m.HeaderFrom).IsNull() {
		return nil
	}
	list := make([]string, len(all))
	for i, r := range all {
		list[i] = r.Address.String()
	}
	text, err := json.Marshal(list)
	if err != nil || len(text) > maxAddressed {
		return nil // bounces then find their recipient by the address that they name
	}
	return []journal.Fact{{Kind: journal.Addressed, At: m.Received, QueueID: m.ID, Customer: m.Customer, Actor: "rule", Detail: text}}
}
