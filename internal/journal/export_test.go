package journal

import "context"

// Prune runs one turn of the retention.
func Prune(ctx context.Context, j *Journal) error { return j.prune(ctx) }
