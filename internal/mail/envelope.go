package mail

// Notify is the set of a recipient's NOTIFY wishes (RFC 3461 4.1). 0 means
// that none was given, which is to be treated as failure and delay.
type Notify uint8

// The members of Notify. NotifyNever excludes the others.
const (
	NotifyNever   Notify = 1 << iota // no report whatever happens
	NotifySuccess                    // report the delivery
	NotifyFailure                    // report that it cannot be delivered
	NotifyDelay                      // report that it is late
)

// Recipient is one forward path of an envelope.
type Recipient struct {
	Address           Address
	Notify            Notify
	OriginalRecipient string // ORCPT as "rfc822;x@example.org", xtext decoded (RFC 3461 4.2); "" if not given
}

// Envelope is what SMTP says about a message, apart from the message.
type Envelope struct {
	ReversePath Address // MAIL FROM; null for reports
	Recipients  []Recipient
	EightBit    bool   // BODY=8BITMIME was given (RFC 6152)
	SMTPUTF8    bool   // SMTPUTF8 was given (RFC 6531)
	Ret         string // "", "FULL" or "HDRS" (RFC 3461 4.3)
	EnvelopeID  string // ENVID, xtext decoded (RFC 3461 4.4); "" if not given
	RequireTLS  bool   // REQUIRETLS was given (RFC 8689 3): never without verified TLS, to servers that demand the same
	// TLSOptional: the header says "TLS-Required: No" (RFC 8689 5): what the recipient's domain asks of TLS is ignored for this message.
	TLSOptional bool
}
