package feedback

import "postern/internal/provider"

// Category says what an answer means, and so whose doing it is.
type Category string

// The categories.
const (
	Accepted    Category = "accepted"
	UnknownUser Category = "unknown user" // there is no such recipient, or his domain takes no mail: the sender's list is at fault
	Refused     Category = "refused"      // the message is refused for what it is: spam, a virus, a broken form
	Other       Category = "other"        // final, and nobody's doing that could be told: a block against us, a full mailbox, a missing record
	Temporary   Category = "temporary"    // to be tried again
)

// maxText bounds what is read of an answer. RFC 5321 4.5.3.1.5 allows 512 bytes a line.
const maxText = 2000

// Judge says what the meaning of a server's answer says of the sender. Temporary answers are judged too, so far as they name an unknown user
// (450 4.1.1); whether the answer is final, the code tells.
func Judge(m provider.Meaning, a provider.Answer) Category {
	code := a.Code
	switch {
	case code >= 200 && code < 300:
		return Accepted
	case code < 400 || code >= 600:
		return Temporary // no answer of RFC 5321: nothing is known
	case addressWrong(m) && !mailboxExists(m, a):
		return UnknownUser
	case code < 500:
		return Temporary
	case m.Party == provider.Message && ofMessage[m.Category]:
		return Refused
	}
	return Other
}

// ofMessage are refusals of a message for what it is. Its size is not among them: that is no sign of what the sender is.
var ofMessage = map[provider.Category]bool{provider.SpamDetected: true, provider.VirusDetected: true, provider.NotCompliantRFC: true, provider.ContentError: true,
	provider.PolicyViolation: true}

// addressWrong reports whether there is no such recipient.
func addressWrong(m provider.Meaning) bool {
	switch m.Category {
	case provider.UserUnknown, provider.HasMoved:
		return m.Party == provider.OfRecipient
	case provider.HostUnknown, provider.NotAccept:
		return m.Party == provider.RecipientDomain
	}
	return false
}

// classify says what an answer means, when nobody has said it yet. Without knowledge nothing is known.
func (f *Feedback) classify(o Outcome) provider.Meaning {
	switch {
	case o.Meaning.Category != "":
		return o.Meaning
	case f.o.Knowledge == nil:
		return provider.Meaning{Category: provider.Undefined}
	}
	return f.o.Knowledge().Classify(provider.Answer{Provider: o.Provider, Phase: o.Phase, Code: o.Code, Enhanced: o.Enhanced, Text: o.Text[:min(len(o.Text), maxText)], Own: o.Own})
}
