package checkup

import (
	"crypto/x509"

	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/tlspolicy"
)

// TLSAFor is the TLSA record that fits a certificate.
func TLSAFor(c *x509.Certificate) string { return tlspolicy.RecordFor(c).String() }

// ReadBanner is readBanner, for fuzzing.
func ReadBanner(r smtp.Reply) (name, rest string) {
	b := readBanner(r)
	return b.name, b.rest
}

// LooksMade is looksMade.
func LooksMade(local string) bool { return looksMade(local) }

// NearFreeMail is nearFreeMail.
func NearFreeMail(d mail.Domain) string { return nearFreeMail(d) }
