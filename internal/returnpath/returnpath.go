// Package returnpath makes and reads our own return addresses (VERP): opaque, signed, so that a bounce or a redacted complaint finds its message, and a
// forged one finds nothing. The same reference goes into the Message-ID that we add and into a header field of our own.
//
// It keeps no state and looks nothing up.
package returnpath

import (
	"errors"
	"time"

	"postern/internal/mail"
)

// Errors that callers tell apart.
var (
	// ErrNotOurs: the address has not the form of ours.
	ErrNotOurs = errors.New("not one of our return addresses")
	// ErrForged: it has the form and not the signature.
	ErrForged = errors.New("return address with a wrong signature")
)

// Field is the header field that carries a reference.
const Field = "X-Postern-Ref"

// Ref is what a return address refers to.
type Ref struct {
	ID        mail.QueueID
	Recipient int       // index in the message's envelope; -1: any of them
	Made      time.Time // when the message was accepted (from ID)
}

// Codec makes and reads references with one key. Old keys are only read with.
type Codec struct{ keys [][]byte }

// New takes the keys, the newest first; each of at least 32 bytes.
func New(keys ...[]byte) (*Codec, error) { return &Codec{keys: keys}, nil }

// Local is the local part of the return address for a recipient of a message; recipient -1 stands for all of a transaction.
func (c *Codec) Local(id mail.QueueID, recipient int) string { return "" }

// Read reads a local part that Local made, whatever case it comes back in.
func (c *Codec) Read(local string) (Ref, error) { return Ref{}, ErrNotOurs }

// Find looks for a reference in any text, such as a Message-ID, a header or a redacted complaint.
func (c *Codec) Find(text []byte) (Ref, bool) { return Ref{}, false }
