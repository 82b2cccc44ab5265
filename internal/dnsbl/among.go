package dnsbl

import (
	"context"
	"slices"
)

// Among is Sweep at those lists only that want picks. A zone's turn is waited for no longer than the timeout of a question.
func (p *Panel) Among(ctx context.Context, targets []Target, want func(List) bool, each func(Listing)) error {
	if each == nil {
		each = func(Listing) {}
	}
	s := p.newSweep(targets, p.o.Timeout, each)
	s.lanes = slices.DeleteFunc(s.lanes, func(l *lane) bool { return !want(*l.z.list) })
	s.left = len(s.lanes)
	return s.run(ctx)
}
