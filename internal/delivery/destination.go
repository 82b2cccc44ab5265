package delivery

import (
	"time"

	"postern/internal/mail"
	"postern/internal/provider"
)

// destination is where the mail of one recipient domain goes, as DNS said a moment ago. It does not change.
type destination struct {
	domain   mail.Domain
	provider *provider.Provider
	site     string    // shaping.Key.Provider
	route    string    // its exchangers, in one word
	signed   bool      // the MX answer was authenticated by DNSSEC
	until    time.Time // asked again then
}
