package account_test

import (
	"net/netip"
	"testing"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// TestSigningKeysForOwner: a key signs for the domain's owner and for mail of domains nobody owns, never for another customer.
func TestSigningKeysForOwner(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l, err := account.New(account.Options{DB: db})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []account.Customer{
			{ID: "bank", Domains: []mail.Domain{"bank.example"}, Contact: mail.Address{Local: "it", Domain: "bank.example"}},
			{ID: "hoster", AnyFrom: true, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Contact: mail.Address{Local: "it", Domain: "hoster.example"}},
		} {
			if err := l.PutCustomer(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		k, err := dkim.GenerateKey("bank.example", "s", dkim.Ed25519SHA256)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []mail.Domain{"bank.example", "free.example"} {
			if err := l.AddKey(t.Context(), account.KeyRecord{Domain: d, Selector: "s", Algorithm: account.Ed25519, PEM: k.PEM(), Active: true}); err != nil {
				t.Fatal(err)
			}
		}
		for _, tc := range []struct {
			customer string
			domain   mail.Domain
			keys     int
		}{
			{"bank", "bank.example", 1},
			{"bank", "mail.bank.example", 1},
			{"hoster", "bank.example", 0},
			{"hoster", "mail.bank.example", 0},
			{"hoster", "free.example", 1},
			{"", "bank.example", 0},
		} {
			if got := l.SigningKeysFor(tc.customer, tc.domain); len(got) != tc.keys {
				t.Errorf("%q signs %s with %d keys; expected %d", tc.customer, tc.domain, len(got), tc.keys)
			}
		}
	})
}
