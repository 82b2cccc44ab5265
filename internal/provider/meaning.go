package provider

import (
	"strconv"
	"strings"
	"time"
)

// Answer is what a server said.
type Answer struct {
	Provider string // Provider.Name; "" unknown: only what holds for everybody is looked at
	Phase    string // "connect", "ehlo", "tls", "mail", "rcpt", "data", "end"; "" unknown
	Code     int    // of the reply; 0 none
	Enhanced string // "4.2.1"; "" none
	Text     string // lines joined by a space or a line feed; may repeat the code, may be wrapped or encoded
	// Own: the text is ours, not a server's (nobody answered, the DNS said no). No rule looks at it; the codes tell.
	Own bool
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
	// Pause: the lane stands still. When the party is SenderDomain or Message it is the sender's mail that should, not everybody's.
	Pause       time.Duration
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
	IPv4        bool // the next attempt of this recipient goes over IPv4: it is our IPv6 address that was refused
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

// Classify says what an answer means. It always says something; Rule is "" when only the codes told it. The meaning's Advice is not to be changed.
func (k *Knowledge) Classify(a Answer) Meaning {
	if a.Code == 0 || a.Enhanced == "" {
		a = a.complete()
	}
	if a.Code >= 200 && a.Code < 300 {
		return Meaning{Category: Accepted}
	}
	if !a.Own && !ours(a.Text) {
		q := a.question()
		for _, c := range [2]*chain{k.chains[a.Provider], k.everybody} {
			if r := c.first(&q); r != nil {
				m := r.Meaning
				m.Permanent = m.Permanent && (r.permanent || !temporary(a.Code, a.Enhanced))
				return m
			}
		}
	}
	m := byStatus(a.Code, a.Enhanced, a.Phase)
	m.Advice = k.texts[string(m.Category)]
	return m
}

// question makes an answer ready for rules.
func (a Answer) question() question {
	q := question{phase: a.Phase, enhanced: a.Enhanced}
	if a.Code > 0 {
		q.code = strconv.Itoa(a.Code)
		q.class = q.code[0]
	} else if a.Enhanced != "" {
		q.class = a.Enhanced[0]
	}
	q.plain, q.glued = fold(a.Text, a.Code, a.Enhanced)
	return q
}

// complete takes code and status from the beginning of the text where the answer lacks them.
func (a Answer) complete() Answer {
	rest := strings.TrimLeft(a.Text, " \t\r\n")
	if len(rest) >= 3 && digits(rest[:3]) && rest[0] >= '2' && rest[0] <= '5' && (len(rest) == 3 || rest[3] == ' ' || rest[3] == '-') {
		if a.Code == 0 {
			a.Code, _ = strconv.Atoi(rest[:3])
		}
		rest = strings.TrimLeft(rest[3:], " -")
	}
	word, _, _ := strings.Cut(rest, " ")
	word = strings.Trim(word, "#()[]:;,")
	if a.Enhanced == "" && isStatus(word) && (a.Code == 0 || int(word[0]-'0') == a.Code/100) {
		a.Enhanced = word
	}
	return a
}

// ownTexts are the beginnings, and what must follow, of what delivery writes where no server answered. They are a second lock behind Answer.Own: no
// rule may ever act on our own words.
var ownTexts = [][2]string{
	{"connect to ", "] port "}, {"mx of ", ": "}, {"addresses of ", ": "}, {"domain ", " does not exist (dns"}, {"domain ", " seems not to exist, but the name server"},
	{"domain ", " takes no mail"}, {"mail for ", " loops back to this gateway"}, {"the mail exchangers of ", " have no address"},
	{"the mail exchanger of ", " is not on the internet"}, {"the smarthost ", " has no address"}, {"no address to connect to", ""}, {"shutting down", ""},
	{"", " cannot be reached: the pool has no egress address"},
}

// ours reports whether a text is one of our own.
func ours(text string) bool {
	if len(text) > maxText {
		text = text[:maxText]
	}
	lower := ""
	for _, own := range ownTexts {
		if own[0] != "" && (len(text) < len(own[0]) || !strings.EqualFold(text[:len(own[0])], own[0])) {
			continue
		}
		if lower == "" {
			lower = strings.ToLower(text)
		}
		if strings.Contains(lower, own[1]) {
			return true
		}
	}
	return false
}

// saidBefore, toCommand are how mail programs wrap the answer of a server (Postfix, ourselves).
var (
	saidBefore = []string{" said before any mail: ", " said: ", " refused to talk to me: "}
	toCommand  = map[string]string{"mail from": "mail", "rcpt to": "rcpt", "end of data": "end", "data": "data", "helo": "ehlo", "ehlo": "ehlo", "starttls": "tls"}
)

// Read takes apart an answer as people paste it: "550 5.1.1 No such user", a line of a log such as "host mx.example[192.0.2.1] said: 550 … (in reply
// to RCPT TO command)", or a Diagnostic-Code with its "smtp;".
func Read(line string) Answer {
	var a Answer
	text := strings.TrimSpace(line)
	if rest, ok := strings.CutPrefix(strings.ToLower(text), "smtp;"); ok {
		text = strings.TrimSpace(text[len(text)-len(rest):])
	}
	for _, wrap := range saidBefore {
		if _, rest, ok := strings.Cut(text, wrap); ok {
			text = rest
			break
		}
	}
	if i := strings.LastIndex(text, "(in reply to "); i >= 0 {
		command := strings.ToLower(text[i+len("(in reply to "):])
		for name, phase := range toCommand {
			if strings.HasPrefix(command, name) {
				a.Phase = phase
			}
		}
		text = strings.TrimSpace(text[:i])
	}
	a.Text = text
	a = a.complete()
	if a.Code != 0 && len(a.Text) >= 3 && digits(a.Text[:3]) {
		a.Text = strings.TrimLeft(a.Text[3:], " -")
		a.Text = strings.TrimSpace(strings.TrimPrefix(a.Text, a.Enhanced))
	}
	return a
}
