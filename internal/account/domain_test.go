package account_test

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/store"
)

// TestDomainsOneByOne: a domain is added and removed without touching the rest, and belongs to one customer.
func TestDomainsOneByOne(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		shop := account.Customer{ID: "shop", Networks: networks("192.0.2.0/24"), Domains: []mail.Domain{"shop.example"}, Contact: addr(t, "owner@shop.example"), ReturnPath: "bounce.shop.example"}
		for _, c := range []account.Customer{shop, {ID: "rival", Domains: []mail.Domain{"rival.example"}}} {
			if err := l.PutCustomer(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.SyncConfig(t.Context(), []account.Customer{{ID: "filed"}}, "postern.yaml"); err != nil {
			t.Fatal(err)
		}
		if err := l.SetSuspended(t.Context(), "shop", true); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for _, d := range []mail.Domain{"a.example", "b.example", "c.example", "a.example"} {
			all.Go(func() {
				if err := l.AddDomain(t.Context(), "shop", d); err != nil {
					t.Errorf("%s: %v", d, err)
				}
			})
		}
		all.Wait()
		c, _ := l.Customer("shop")
		if !slices.Equal(c.Domains, []mail.Domain{"a.example", "b.example", "c.example", "shop.example"}) || !c.Suspended || c.ReturnPath != "bounce.shop.example" || c.Contact != shop.Contact {
			t.Errorf("after adding: %+v", c)
		}
		if by, ok := l.ByNetwork(netip.MustParseAddr("192.0.2.1")); !ok || by.ID != "shop" {
			t.Error("its networks are gone")
		}
		for _, tc := range []struct {
			name string
			err  error
			want error
		}{
			{"another's", l.AddDomain(t.Context(), "shop", "rival.example"), account.ErrTaken},
			{"of the file", l.AddDomain(t.Context(), "filed", "d.example"), account.ErrFromConfig},
			{"of nobody", l.AddDomain(t.Context(), "nobody", "d.example"), account.ErrNotFound},
			{"not his", l.RemoveDomain(t.Context(), "shop", "rival.example"), account.ErrNotFound},
			{"of the file, removed", l.RemoveDomain(t.Context(), "filed", "d.example"), account.ErrFromConfig},
		} {
			if !errors.Is(tc.err, tc.want) {
				t.Errorf("%s: %v", tc.name, tc.err)
			}
		}
		if l.AddDomain(t.Context(), "shop", "co.uk") == nil {
			t.Error("a public suffix is added")
		}
		if l.RemoveDomain(t.Context(), "shop", "shop.example") == nil {
			t.Error("the domain of the return path is removed")
		}
		if err := l.RemoveDomain(t.Context(), "shop", "b.example"); err != nil {
			t.Error(err)
		}
		if c, _ := l.Customer("shop"); slices.Contains(c.Domains, "b.example") || len(c.Domains) != 3 {
			t.Errorf("after removing: %v", c.Domains)
		}
	})
}
