// Package report knows the formats in which the mail system speaks about mail.
//
// It holds the delivery status notification (DSN): [DSN] is the value,
// [DSN.Bytes] writes it as a complete message (RFC 3464 inside the
// multipart/report of RFC 6522, the internationalised forms of RFC 6533 when
// an address or a returned header needs them) and [ParseDSN] reads the ones
// that others write.
//
// It reads what comes back in any form: [ReadBounce] takes a bounce, an automatic
// answer (RFC 3834), a challenge or a complaint (RFC 5965), with or without a part
// for machines, and gives a [Bounce]: the kind, what became of each recipient, and
// what the returned message was. [SplitMailbox] takes a mailbox apart before.
//
// It reads what receivers and others report about us: [Read] recognises DMARC aggregate reports
// (RFC 7489, RFC 9990), failure reports (RFC 6591, RFC 9991), TLS reports (RFC 8460), complaints (RFC 5965, and
// Microsoft's former JMRP) and abuse in the X-ARF and XARF forms, in whatever they travel: mail, gzip, zip, plain.
//
// The package is pure: bytes in, values out and back, no clock, no network,
// no log, no state. It decides nothing: whom to notify is the caller's
// affair (notice), what a failure means for an address as well (feedback).
//
// What it writes is safe to send: every value is stripped of control
// characters before it enters a header or a status field, text travels as
// quoted-printable UTF-8, no line exceeds 998 bytes, the result carries
// Auto-Submitted (RFC 3834) and is to be sent with the null reverse path.
// The same DSN always gives the same bytes.
//
// What it reads is hostile: reading is linear, bounded in recipients, text,
// nesting, field and line length, never panics, and leaves empty what a report does
// not say. Archives are unfolded as a stream within [ReadLimits]; XML with a document
// type declaration is refused.
//
// It fails with [ErrNoDSN] (nothing like a delivery status was found) and
// [ErrNoBounce] (the message speaks of no other) and [ErrNoReport] or [ErrRefused] (reports) when reading, and with [ErrIncomplete] (a field that the format demands is not
// set) when writing.
package report

import (
	"errors"
	"time"

	"postern/internal/mail"
)

// ErrNoDSN says that a message holds no delivery status part.
var ErrNoDSN = errors.New("no delivery status in the message")

// ErrIncomplete says that a DSN cannot be written because a value that the
// format demands is missing; the wrapping text names it.
var ErrIncomplete = errors.New("incomplete delivery status notification")

// The actions of RFC 3464 2.3.3.
const (
	Failed    = "failed"    // given up
	Delayed   = "delayed"   // still trying
	Delivered = "delivered" // in the mailbox
	Relayed   = "relayed"   // handed to a system that does not report
	Expanded  = "expanded"  // handed to several addresses
)

// DSN is a delivery status notification: one message that says what became
// of another one, recipient by recipient.
type DSN struct {
	ReportingMTA    string    // host that reports, without "dns;"; required when writing
	ArrivalDate     time.Time // when the message was accepted; zero: not said
	EnvelopeID      string    // ENVID of RFC 3461 4.4, decoded; empty: not given
	ReceivedFromMTA string    // host that brought the message, without "dns;"; empty: not said
	Recipients      []DSNRecipient

	From     mail.Address // header From of the notification; required when writing
	To       mail.Address // whom it informs: the reverse path of the original; required when writing
	FromName string       // display name of From; empty: none
	Subject  string       // any UTF-8; written as RFC 2047 words when needed
	Language string       // RFC 5646 tag of Text, for example "fr"; empty: no Content-Language

	Text      string    // what a person reads, UTF-8, lines ended by \n or \r\n
	HTML      string    // the same as HTML document, optional
	MessageID string    // without <>; required when writing
	Date      time.Time // of the notification; required when writing

	Original   []byte // the message reported on, as much of it as there is; empty: nothing is returned
	ReturnFull bool   // writing: return content too (RET=FULL), not only the header; reading: the report did
}

// DSNRecipient is the fate of one recipient.
type DSNRecipient struct {
	Original     mail.Address // as the sender wrote it (ORCPT); null: not said
	OriginalText string       // "type;address" as given or found; written in place of Original when set
	Final        mail.Address // as the reporting host used it; null when it does not parse
	FinalText    string       // "type;address" as found; written in place of Final when that is null

	Action         string    // Failed, Delayed, Delivered, Relayed or Expanded; lower case
	Status         string    // RFC 3463 code, for example "5.1.1"
	Remark         string    // what stands behind the status in brackets; only read
	Sorted         string    // under what the reporting system files it (X-PowerMTA-BounceCategory); only read
	RemoteMTA      string    // host that answered, without "dns;"; empty: none did
	DiagnosticCode string    // "type; text", for example "smtp; 550 5.1.1 unknown"
	LastAttempt    time.Time // zero: not said
	WillRetryUntil time.Time // zero: not said; only with Delayed
}
