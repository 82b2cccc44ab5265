package account

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/password"
)

// crowd is a ledger of many customers that needs no database.
func crowd(tb testing.TB, customers int) *Ledger {
	tb.Helper()
	g, err := password.NewGate(rememberFor)
	if err != nil {
		tb.Fatal(err)
	}
	l := &Ledger{now: time.Now, gate: g}
	var r rows
	for i := range customers {
		r.customers = append(r.customers, row{Customer: Customer{
			ID:       fmt.Sprint("c", i),
			Networks: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24), netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), 32)},
			Domains:  []mail.Domain{mail.Domain(fmt.Sprintf("c%d.example.org", i))},
		}})
	}
	hash, err := g.Hash(context.Background(), "secret", password.Cost{Memory: 64, Passes: 1, Threads: 1})
	if err != nil {
		tb.Fatal(err)
	}
	r.credentials = []Credential{{User: "c1-user", Customer: "c1", Hash: hash}}
	l.state.Store(newSnapshot(r))
	return l
}

func BenchmarkByNetwork(b *testing.B) {
	l, ip := crowd(b, 10_000), netip.MustParseAddr("10.1.2.3")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := l.ByNetwork(ip); !ok {
			b.Fatal("nobody")
		}
	}
}

func BenchmarkOwnsDomain(b *testing.B) {
	l := crowd(b, 10_000)
	c, _ := l.Customer("c7")
	b.ReportAllocs()
	for b.Loop() {
		if !l.OwnsDomain(c, "mail.eu.c7.example.org") {
			b.Fatal("not his")
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	l := crowd(b, 10)
	b.Run("remembered", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := l.Authenticate(b.Context(), "c1-user", "secret"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
