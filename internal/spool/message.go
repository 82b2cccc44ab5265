package spool

import (
	"net/netip"
	"time"

	"postern/internal/mail"
)

// State is where a recipient stands. A message is held as a whole; each recipient ends on its own.
type State string

// The states. Queued and Held wait; the others are final: the last recipient that becomes final removes the message.
const (
	Queued    State = "queued"    // waits for its next attempt at NextAt
	Held      State = "held"      // waits for a person until the message's HoldUntil
	Delivered State = "delivered" // the remote server took it
	Bounced   State = "bounced"   // given up for good; a DSN was owed
	Dropped   State = "dropped"   // removed by a person
	Expired   State = "expired"   // given up because of age
)

// Final reports whether the recipient needs nothing more from us.
func (s State) Final() bool {
	return s == Delivered || s == Bounced || s == Dropped || s == Expired
}

// Message is one accepted message: its envelope, what was said about it, and (only for Put) its bytes.
// Values returned by the spool share memory with it: read them, do not change them.
type Message struct {
	ID         mail.QueueID  // ours; time-sortable; the key of everything
	Customer   string        // account.Customer.ID
	Credential string        // what authenticated the submission; "" for a relay network
	Pool       string        // name of the egress pool; "" = default
	ClientIP   netip.Addr    // who brought it; invalid for our own mail
	Hello      string        // the client's EHLO name, as said
	Received   time.Time     // when it was accepted; Put sets the present when zero
	Expires    time.Time     // when delivery gives up; the spool keeps it, delivery decides
	Envelope   mail.Envelope // recipients in the order Recipient.Index counts
	Size       int64         // bytes of the body; Put sets it from Body
	HeaderFrom string        // header From, for people and search
	Subject    string        // decoded subject, for people
	MessageID  string        // Message-ID of the header
	Score      float64       // points shown, 0..15
	Verdict    []byte        // JSON of filter.Verdict; opaque here
	Held       bool          // waits for a person
	HoldReason string        // stable word: "score", "damaged", "operator", …
	HoldUntil  time.Time     // when a hold ends by itself (DueHolds); Put and Hold set Options.HoldFor when zero
	Notice     bool          // our own mail (notice, DSN): no notice is ever sent about it
	Language   string        // "fr" or "en": the customer's
	Class      int           // urgency, 0 the most urgent; opaque here
	Body       []byte        // the message, CRLF lines; only for Put, which keeps the slice: do not change it afterwards
}

// Recipient is one envelope recipient and where it stands.
type Recipient struct {
	Index          int // position in Message.Envelope.Recipients
	mail.Recipient     // address and RFC 3461 wishes
	State          State
	Attempts       int       // attempts made so far
	NextAt         time.Time // next attempt (Queued); the hold's end (Held)
	First, Last    time.Time // first and last attempt; zero before
	Code           int       // last reply code; 0 when none was read
	Enhanced       string    // last enhanced code, "4.2.1"; "" when none
	Text           string    // last answer, valid UTF-8, at most 1,000 bytes
	Host           string    // who answered: "mx.example.net[192.0.2.1]"
	DelayNotified  bool      // the sender was told that it is late
	Lane           string    // where it waits for its turn; "" when it waits for its next attempt
	Wait           string    // why it waits there, in the words of who put it there; opaque here
}

// Work is a message with the recipients that are due.
type Work struct {
	Message
	Recipients []Recipient
}

// Outcome is what became of one recipient after an attempt or a decision.
type Outcome struct {
	ID            mail.QueueID
	Index         int       // Recipient.Index
	State         State     // Queued for a deferral (with NextAt), or a final state
	NextAt        time.Time // deferral: next attempt; zero = now; at most Options.MaxWait ahead
	Code          int
	Enhanced      string
	Text          string
	Host          string
	Attempted     bool // counts as an attempt: Attempts, First and Last move
	DelayNotified bool // the sender has been told of the delay; never unset once set
	// Lane and Wait, with Queued, say that the recipient waits for its turn and why: it is parked. Unless Attempted is
	// set, code, text and host of the last attempt stay as they were. An outcome without Lane ends the waiting.
	Lane, Wait string
}

// Filter selects messages for List. Zero fields do not restrict.
type Filter struct {
	State    State       // Queued or Held
	Customer string      // exact
	Domain   mail.Domain // some recipient's domain
	Lane     string      // some recipient waits in it
	Limit    int         // 1..1000, default 100
	Cursor   string      // from the page before
}

// Stats is the spool at one moment, for the whole cluster except where it says "this node".
type Stats struct {
	Queued      int           // messages waiting for an attempt or in one
	Held        int           // messages waiting for a person
	Claimed     int           // messages of which a recipient is in an attempt (this node)
	Bytes       int64         // bodies of queued and held messages
	HeldBytes   int64         // of which held
	Oldest      time.Time     // arrival of the oldest queued message; zero when none
	OldestHeld  time.Time     // arrival of the oldest held message; zero when none
	Silent      int           // queued messages without a next event (this node): must be 0; the watchdog mends and logs them
	Mended      int64         // messages the watchdog had to mend since Start (this node)
	Recovered   int           // messages found from an earlier life of this node at Start
	Adopted     int64         // messages taken over from dead nodes since Start
	Damaged     int64         // bodies whose hash did not match since Start (this node)
	Full        bool          // Put refuses: free space is below the reserve (this node)
	Free        int64         // free bytes when last looked (this node); -1 unknown
	Window      int           // messages known in memory (this node)
	OldestClaim time.Duration // age of the oldest claim (this node)
}
