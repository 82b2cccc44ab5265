package intake

import (
	"strings"

	"postern/internal/mail"
)

// The classes of a message, the most urgent first (spool.Message.Class).
const (
	transactional = 0 // a person waits for it: a confirmation, a password, a letter
	normal        = 1
	bulk          = 2 // one of many alike: it gives way
)

// Bounds of the classes.
const (
	fewRecipients  = 5       // of a transactional message at most
	manyRecipients = 20      // of a message that is not bulk at most
	lightSize      = 1 << 20 // bytes of a transactional message at most
)

// classOf says how urgent a message is, by what it says of itself: those who send in bulk must say so to be taken (RFC 2919, 8058, Gmail's
// Feedback-ID), and automatic answers say so too (RFC 3834). Who hides it gains little: lanes share their turns between customers first.
func classOf(m *mail.Message, recipients int, size int64) int {
	h := m.Header
	auto := word(h.Get("Auto-Submitted"))
	switch precedence := word(h.Get("Precedence")); {
	case h.Has("List-Unsubscribe"), h.Has("List-Id"), h.Has("Feedback-ID"), precedence == "bulk", precedence == "list", precedence == "junk",
		auto == "auto-replied", recipients > manyRecipients:
		return bulk
	case recipients > fewRecipients, size > lightSize, auto != "" && auto != "no":
		return normal
	}
	return transactional
}

// word is the first word of a field's value, in lower case, without parameters.
func word(value string) string {
	value, _, _ = strings.Cut(value, ";")
	value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
	return strings.ToLower(value)
}
