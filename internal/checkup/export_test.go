package checkup

import (
	"context"
	"slices"
	"time"

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

// JudgeSVG are the codes of judgeSVG, sorted.
func JudgeSVG(svg []byte) []string {
	var out []string
	for _, f := range judgeSVG(svg) {
		out = append(out, f.code)
	}
	slices.Sort(out)
	return out
}

// Unpacked is unpacked, for fuzzing.
func Unpacked(file []byte) ([]byte, error) { return unpacked(file) }

// JudgeMark reads and judges an evidence document, for fuzzing.
func JudgeMark(file []byte, names []string) {
	if chain, err := parseMarks(file); err == nil {
		judgeMark(chain, names, nil, time.Now())
	}
}

// LogotypeURI is logotypeURI, for fuzzing.
func LogotypeURI(der []byte) string { return logotypeURI(der) }
