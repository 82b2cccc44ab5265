package intake

import (
	"strings"

	"postern/internal/mail"
)

// tlsOptional reports whether the author wants his message delivered whatever the recipients' domains ask of TLS: "TLS-Required: No". The field
// counts for messages without REQUIRETLS only (RFC 8689 4.1), and alone: two of them contradict or repeat one another.
func tlsOptional(env mail.Envelope, m *mail.Message) bool {
	fields := m.Header.All("TLS-Required")
	return !env.RequireTLS && len(fields) == 1 && strings.EqualFold(strings.TrimSpace(fields[0].Value()), "no")
}
