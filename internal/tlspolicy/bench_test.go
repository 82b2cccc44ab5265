package tlspolicy_test

import (
	"testing"

	"postern/internal/tlspolicy"
)

// BenchmarkLocal is what every message pays: twenty rules, none of which fits.
func BenchmarkLocal(b *testing.B) {
	w := newWorld(b, nil, stsZone, func(o *tlspolicy.Options) {
		for range 20 {
			o.Tuning.Rules = append(o.Tuning.Rules, tlspolicy.Rule{Domain: "bank.example", Mode: tlspolicy.Verified})
		}
	})
	for b.Loop() {
		w.Local(tlspolicy.Question{Domain: "receiver.example"})
	}
}

// BenchmarkFor is what every connection pays: a domain with a policy that is known, behind a resolver without a cache.
func BenchmarkFor(b *testing.B) {
	w := newWorld(b, nil, stsZone)
	w.host("192.0.2.80", "mta-sts.example.org").set(text(enforce))
	q := ask("mx1.example.org")
	q.Authentic = false
	for b.Loop() {
		w.For(b.Context(), q)
	}
}
