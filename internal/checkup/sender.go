package checkup

import (
	"context"

	"postern/internal/dnsbl"
)

// sender looks at the address of a sender: what is true of the address alone, then all of its domain.
func (c *Checker) sender(ctx context.Context, t Target, ask Ask) ([]Finding, []dnsbl.Listing) {
	return nil, nil
}
