// Package mail holds what an e-mail is: domains, addresses, envelopes, queue
// identifiers and messages.
package mail

import (
	"errors"
	"net/netip"
	"time"
)

// Domain is a canonical mail domain.
type Domain string

// ParseDomain reads a domain.
func ParseDomain(s string) (Domain, error) { return Domain(s), nil }

// Unicode returns the domain for people.
func (d Domain) Unicode() string { return string(d) }

// Literal returns the address of an address literal.
func (d Domain) Literal() (netip.Addr, bool) { return netip.Addr{}, false }

// Address is an envelope address.
type Address struct {
	Local  string
	Domain Domain
}

// ParseAddress reads an RFC 5321 mailbox.
func ParseAddress(s string) (Address, error) { return Address{}, nil }

// String returns the wire form.
func (a Address) String() string { return a.Local + "@" + string(a.Domain) }

// IsNull reports the null reverse path.
func (a Address) IsNull() bool { return a == Address{} }

// NeedsSMTPUTF8 reports whether the address needs RFC 6531.
func (a Address) NeedsSMTPUTF8() bool { return false }

// Mailbox is one mailbox of a header field.
type Mailbox struct {
	Name    string
	Address Address
	Raw     string
}

// ParseMailboxes reads an address list.
func ParseMailboxes(value string) (boxes []Mailbox, ok bool) { return nil, false }

// Notify is the set of RFC 3461 NOTIFY wishes.
type Notify uint8

// The members of Notify.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// Recipient is one envelope recipient.
type Recipient struct {
	Address           Address
	Notify            Notify
	OriginalRecipient string
}

// Envelope is what SMTP says about a message.
type Envelope struct {
	ReversePath        Address
	Recipients         []Recipient
	EightBit, SMTPUTF8 bool
	Ret                string
	EnvelopeID         string
}

// QueueID names one accepted message.
type QueueID string

// NewQueueID makes an identifier.
func NewQueueID(now time.Time) QueueID { return "" }

// ParseQueueID reads an identifier.
func ParseQueueID(s string) (QueueID, error) { return QueueID(s), nil }

// Time returns when the identifier was made.
func (id QueueID) Time() time.Time { return time.Time{} }

// Field is one header field.
type Field struct {
	Name string
	Raw  []byte
}

// Value returns the unfolded value.
func (f Field) Value() string { return "" }

// Text returns the decoded value.
func (f Field) Text() string { return "" }

// Header is a header section.
type Header []Field

// Get returns the text of the first field called name.
func (h Header) Get(name string) string { return "" }

// All returns the fields called name.
func (h Header) All(name string) []Field { return nil }

// Has reports whether there is a field called name.
func (h Header) Has(name string) bool { return false }

// Limits bounds what Parse looks at.
type Limits struct {
	HeaderBytes, HeaderFields, FieldBytes, Depth, Parts, Addresses int
	TextBytes                                                      int
	URIs                                                           int
}

// DefaultLimits returns the limits used in production.
func DefaultLimits() Limits { return Limits{} }

// ErrMissing says that a field is absent.
var ErrMissing = errors.New("field missing")

// Message is a parsed message.
type Message struct {
	Raw     []byte
	Header  Header
	Body    []byte
	Root    *Part
	Defects []Defect
}

// Parse reads a message.
func Parse(raw []byte, l Limits) *Message { return &Message{Raw: raw, Root: &Part{}} }

// From returns the mailboxes of all From fields.
func (m *Message) From() []Mailbox { return nil }

// FromFields returns the number of From fields.
func (m *Message) FromFields() int { return 0 }

// Subject returns the decoded subject.
func (m *Message) Subject() string { return "" }

// Date returns the date.
func (m *Message) Date() (time.Time, error) { return time.Time{}, ErrMissing }

// MessageID returns the message identifier.
func (m *Message) MessageID() string { return "" }

// Parts returns the leaves.
func (m *Message) Parts() []*Part { return nil }

// Text returns what a reader sees.
func (m *Message) Text() string { return "" }

// URIs returns the URIs.
func (m *Message) URIs() []URI { return nil }

// Part is one MIME part.
type Part struct {
	Header                                   Header
	MediaType                                string
	Params                                   map[string]string
	Disposition, Filename, Charset, Encoding string
	Raw                                      []byte
	Children                                 []*Part
	Parent                                   *Part
	Path                                     string
}

// Decoded returns the transfer-decoded bytes.
func (p *Part) Decoded() []byte { return p.Raw }

// Text returns the part as UTF-8.
func (p *Part) Text() string { return "" }

// HTML returns the parsed HTML.
func (p *Part) HTML() *HTML { return nil }

// HTML is what a text/html part shows.
type HTML struct {
	SourceBytes   int
	Text, Title   string
	Hidden        string
	Links         []Link
	Images        []Image
	Forms         []string
	MixedCaseTags []string
}

// Link is a link.
type Link struct {
	URL, Text string
	HasImage  bool
	Tag       string
}

// Image is an image.
type Image struct {
	URL           string
	Width, Height int
	Inline        bool
}

// URI is a URI found in a message.
type URI struct {
	Raw    string
	Scheme string
	Host   Domain
	Origin string
}

// Defect is something odd.
type Defect struct {
	Code   string
	Where  string
	Detail string
}

// Edit removes and prepends fields.
func Edit(raw []byte, remove []string, prepend ...string) []byte { return raw }
