package dkim_test

import (
	"context"
	"crypto/sha256"
	"math/big"

	"postern/internal/dns"
)

func sha256Of(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func bigFrom(b []byte) *big.Int { return new(big.Int).SetBytes(b) }

// fixed answers TXT questions from a map, for fuzz targets and benchmarks, where a
// server would be what is measured.
type fixed map[string]string

// Query implements dns.Resolver.
func (f fixed) Query(_ context.Context, name string, typ dns.Type) dns.Answer {
	if text, ok := f[name]; ok && typ == dns.TypeTXT {
		return dns.Answer{Status: dns.Found, Records: []dns.Record{{Name: name, Type: typ, Text: text}}}
	}
	return dns.Answer{Status: dns.Nothing, NXDomain: true}
}
