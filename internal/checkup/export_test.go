package checkup

import (
	"context"

	"postern/internal/dns"
)

// MergeSPF is mergeSPF, for fuzzing.
func MergeSPF(found, terms []string) string { return mergeSPF(found, terms) }

// WalkSPF is walkSPF, for fuzzing.
func WalkSPF(ctx context.Context, r dns.Resolver, name, record string) {
	walkSPF(ctx, r, name, record)
}
