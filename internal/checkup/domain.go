package checkup

import (
	"context"
	"slices"
	"sync"

	"postern/internal/mail"
)

// domain looks at a domain from outside: what anybody's DNS says of it, its name servers one by one, the policies that it publishes, and the
// blocklists.
func (c *Checker) domain(ctx context.Context, d mail.Domain, ask Ask) part {
	looks := []func() part{}
	found := make([]part, len(looks))
	var all sync.WaitGroup
	for i, look := range looks {
		all.Go(func() { found[i] = look() })
	}
	all.Wait()
	var out part
	for _, p := range found {
		out.findings = slices.Concat(out.findings, p.findings)
		out.listings = append(out.listings, p.listings...)
		if p.spf != nil {
			out.spf = p.spf
		}
	}
	return out
}
