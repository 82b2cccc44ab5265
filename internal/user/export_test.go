package user

import "context"

// Computed is how many hashes of passwords were computed.
func (l *Ledger) Computed() int64 { return l.gate.Computed() }

// Sweep removes what has ended, as Run does.
func (l *Ledger) Sweep(ctx context.Context) error { return l.sweep(ctx) }

// ReadSecret and ReadToken say whether text from outside has the form of a secret or token.
func ReadSecret(s string) ([]byte, bool) { return readSecret(s) }

// ReadToken takes a token's secret apart.
func ReadToken(s string) (string, []byte, bool) { return readToken(s) }

// PlainCode is a code without what people type between its parts.
func PlainCode(s string) string { return plainCode(s) }

// Cut makes text from outside fit to keep.
func Cut(s string, bytes int) string { return cut(s, bytes) }

// Bounds that tests hold the package to.
const (
	MaxSessions = maxSessions
	SecondTries = secondTries
)
