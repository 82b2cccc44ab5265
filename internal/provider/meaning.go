package provider

import "time"

// Answer is what a server said.
type Answer struct {
	Provider string // Provider.Name; "" unknown: only what holds for everybody is looked at
	Phase    string // "connect", "ehlo", "tls", "mail", "rcpt", "data", "end"; "" unknown
	Code     int    // of the reply; 0 none
	Enhanced string // "4.2.1"; "" none
	Text     string // lines joined by a space or a line feed; may repeat the code, may be wrapped or encoded
}

// Category is what an answer is about: one of the words that sisimai uses for reasons, with the same meaning.
type Category string

// The categories. Accepted is no reason: it stands for 2xx.
const (
	Accepted        Category = "delivered"
	AuthFailure     Category = "authfailure"
	BadReputation   Category = "badreputation"
	Blocked         Category = "blocked"
	ContentError    Category = "contenterror"
	ExceedLimit     Category = "exceedlimit"
	Expired         Category = "expired"
	FailedStartTLS  Category = "failedstarttls"
	Feedback        Category = "feedback"
	Filtered        Category = "filtered"
	HasMoved        Category = "hasmoved"
	HostUnknown     Category = "hostunknown"
	MailboxFull     Category = "mailboxfull"
	MailerError     Category = "mailererror"
	MessageTooBig   Category = "mesgtoobig"
	NetworkError    Category = "networkerror"
	NoRelaying      Category = "norelaying"
	NotAccept       Category = "notaccept"
	NotCompliantRFC Category = "notcompliantrfc"
	OnHold          Category = "onhold"
	PolicyViolation Category = "policyviolation"
	Rejected        Category = "rejected"
	RequirePTR      Category = "requireptr"
	SecurityError   Category = "securityerror"
	SpamDetected    Category = "spamdetected"
	Speeding        Category = "speeding"
	Suppressed      Category = "suppressed"
	Suspend         Category = "suspend"
	SyntaxError     Category = "syntaxerror"
	SystemError     Category = "systemerror"
	SystemFull      Category = "systemfull"
	TooManyConns    Category = "toomanyconn"
	Undefined       Category = "undefined"
	UserUnknown     Category = "userunknown"
	Vacation        Category = "vacation"
	VirusDetected   Category = "virusdetected"
)

// Party is at fault, and so must mend.
type Party string

// The parties.
const (
	SenderIP        Party = "sender-ip"     // our address: its reputation, a listing
	SenderDomain    Party = "sender-domain" // the domain mail is sent in the name of
	Config          Party = "config"        // our set-up, or the sender's: DNS, authentication, TLS
	Volume          Party = "volume"        // our pace
	Message         Party = "message"       // this message's content or form
	OfRecipient     Party = "recipient"     // this mailbox
	RecipientDomain Party = "recipient-domain"
	OfProvider      Party = "provider" // the receiver's own trouble
	Nobody          Party = ""
)

// Fate is what an answer means for the recipient's message, whatever its code says.
type Fate int

// The fates.
const (
	AsCode Fate = iota // 2xx delivered, 4xx later, 5xx bounced
	Later              // tried again, also after a 5xx: a block that passes
	Final              // given up, also after a 4xx: trying again cannot help
)

// Do is how sending changes after an answer. The zero value: not at all.
type Do struct {
	Pause       time.Duration // the lane stands still
	Probe       bool          // after the pause one message goes first, and the rest when it was taken
	Slow        float64       // the lane's rate is multiplied by it (0 < Slow < 1); 0 or 1: not
	Connections int           // connections of the lane at most; 0: unchanged
	For         time.Duration // how long Slow and Connections hold
	Reconnect   bool          // only this connection is at its end
	Schedule    *Retry        // retries of this recipient follow this schedule instead
	Watch       bool          // the other providers of the group are watched, slowed and probed too
	Alarm       bool          // the operator is told
	After       int           // it takes so many of these answers within Within before the lane reacts; 0: the first
	Within      time.Duration
	BulkOnly    bool // transactional mail goes on
}

// Meaning is what an answer says.
type Meaning struct {
	Category Category
	Party    Party
	// Permanent: this recipient cannot be reached by this or any other message, by the recipient's or his domain's fault: no block against us, no
	// refusal of one message, nothing that may pass (what sisimai calls a hard bounce).
	Permanent bool
	Fate      Fate
	Do        Do
	Rule      string            // "free/spams-from-ip"; "" no rule matched, told by the codes
	Advice    map[string]string // by language "en", "fr": what to do about it; nil none
}

// Temporary reports whether the message is tried again after an answer of that code.
func (m Meaning) Temporary(code int) bool {
	switch m.Fate {
	case Later:
		return true
	case Final:
		return false
	}
	return code < 200 || code >= 300 && code < 500
}

// Classify says what an answer means. It always says something; Rule is "" when only the codes told it.
func (k *Knowledge) Classify(a Answer) Meaning { return Meaning{Category: Undefined} }
