package intake

import "context"

// ExpireHolds is one look of Run at the holds that are due.
func ExpireHolds(in *Intake, ctx context.Context) error { return in.expireHolds(ctx) }

// Canonical is canonical.
var Canonical = canonical
