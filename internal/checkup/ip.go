package checkup

import (
	"context"

	"postern/internal/dnsbl"
)

// ip looks at an address: lists, reverse name, neighbours, and the servers that answer there. Bounded in time; what could not be measured is
// Unknown.
func (c *Checker) ip(ctx context.Context, t Target, ask Ask) ([]Finding, []dnsbl.Listing) {
	return nil, nil
}
