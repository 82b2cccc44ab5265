package checkup

import (
	"context"

	"postern/internal/dns"
)

// MergeSPF is mergeSPF, for fuzzing.
func MergeSPF(found, terms []string) string { return mergeSPF(found, terms) }

// WalkSPF is walkSPF, for fuzzing.
func WalkSPF(ctx context.Context, r dns.Resolver, name, record string) *SPFTree {
	return walkSPF(ctx, r, name, record)
}

// ParseBIMI is parseBIMI, for fuzzing.
func ParseBIMI(text string) error {
	_, err := parseBIMI(text)
	return err
}

// Mended is mended, for fuzzing.
func Mended(text string) string { return mended(text) }

// Weight is what a group counts in the score.
func Weight(g Group) int { return weights[g] }
