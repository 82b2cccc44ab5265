package account_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func each(t *testing.T, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	storetest.Each(t, store.MainSchema(), f)
}

func open(t *testing.T, db *store.DB) *account.Ledger {
	t.Helper()
	l, err := account.New(account.Options{DB: db, Pools: []account.Pool{{Name: "bulk", Egress: []account.Egress{{HELO: "bulk.example.net"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func networks(s ...string) (all []netip.Prefix) {
	for _, n := range s {
		all = append(all, netip.MustParsePrefix(n))
	}
	return all
}

func addr(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCustomersComeBackAsWritten(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		want := account.Customer{
			ID: "acme", Name: "Acmé & Cie", Language: "en", Contact: addr(t, "post@example.org"),
			Networks: networks("192.0.2.0/24", "2001:db8::/32"), Domains: []mail.Domain{"example.net", "example.org"},
			Pool: "bulk", Mode: account.ModeReject, Threshold: 4.5, SelfRelease: true, ReleaseCeiling: 7.25, AnyFrom: true, Suspended: true,
		}
		if err := l.PutCustomer(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		want.Origin = account.OriginDatabase
		for _, ledger := range []*account.Ledger{l, open(t, db)} {
			got, ok := ledger.Customer("acme")
			if !ok || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		if err := l.PutCustomer(t.Context(), account.Customer{ID: "plain"}); err != nil {
			t.Fatal(err)
		}
		got, _ := l.Customer("plain")
		if got.Language != "fr" || got.Mode != "hold" || got.Threshold != 3 || got.ReleaseCeiling != 8 || got.Name != "plain" {
			t.Errorf("defaults: %+v", got)
		}
		if all := l.Customers(); len(all) != 2 || all[0].ID != "acme" {
			t.Errorf("Customers: %+v", all)
		}
		if err := l.DeleteCustomer(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		if _, ok := l.ByNetwork(netip.MustParseAddr("192.0.2.1")); ok {
			t.Error("network of a deleted customer")
		}
		if err := l.DeleteCustomer(t.Context(), "acme"); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("second delete: %v", err)
		}
	})
}

func TestByNetworkFindsTheLongest(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		for _, c := range []account.Customer{
			{ID: "wide", Networks: networks("10.0.0.0/8", "2001:db8::/32")},
			{ID: "narrow", Networks: networks("10.1.0.0/16", "2001:db8:1::/48")},
			{ID: "one", Networks: networks("10.1.2.3/32", "::1/128")},
		} {
			if err := l.PutCustomer(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		for ip, want := range map[string]string{
			"10.9.9.9": "wide", "10.1.9.9": "narrow", "10.1.2.3": "one", "11.0.0.1": "", "::ffff:10.1.2.3": "one",
			"2001:db8:2::1": "wide", "2001:db8:1::1": "narrow", "::1": "one", "::1%lo": "one", "2001:db9::1": "", "127.0.0.1": "",
		} {
			if c, ok := l.ByNetwork(netip.MustParseAddr(ip)); c.ID != want || ok != (want != "") {
				t.Errorf("%s: got %q, want %q", ip, c.ID, want)
			}
		}
		if _, ok := l.ByNetwork(netip.Addr{}); ok {
			t.Error("no address belongs to somebody")
		}
		err := l.PutCustomer(t.Context(), account.Customer{ID: "thief", Networks: networks("10.1.0.0/16")})
		if !errors.Is(err, account.ErrTaken) || !strings.Contains(err.Error(), "narrow") {
			t.Errorf("network of another: %v", err)
		}
		if _, ok := l.Customer("thief"); ok {
			t.Error("half a customer was stored")
		}
	})
}

func TestCheckNetworkRefusesOpenRelays(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"0.0.0.0/0": "open relay", "::/0": "open relay", "128.0.0.0/1": "open relay", "10.0.0.0/7": "open relay",
		"2000::/3": "open relay", "2001::/18": "open relay", "2002::/16": "open relay", "64:ff9b::/96": "NAT64", "64:ff9b::/103": "NAT64", "64:ff9b::/90": "NAT64",
		"::ffff:0.0.0.0/96": "IPv4", "::ffff:10.0.0.0/104": "IPv4", "10.1.2.3/8": "did you mean 10.0.0.0/8 or 10.1.2.3/32", "224.0.0.0/8": "no address",
	} {
		if err := account.CheckNetwork(netip.MustParsePrefix(s)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", s, err, want)
		}
	}
	for _, s := range []string{"10.0.0.0/8", "192.0.2.1/32", "2001::/19", "::1/128", "fd00::/32", "64:ff9b::c000:200/120"} {
		if err := account.CheckNetwork(netip.MustParsePrefix(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	if account.CheckNetwork(netip.Prefix{}) == nil {
		t.Error("zero prefix accepted")
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := account.Customer{
		ID: "Not An ID", Name: "two\nlines", Language: "de", Contact: mail.Address{Local: "a", Domain: "-.-"},
		Networks: networks("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/8"), Domains: []mail.Domain{"com", "co.uk", "Example.ORG", "example.org", "example.org", "[192.0.2.1]"},
		Mode: "maybe", Threshold: -1, ReleaseCeiling: 99,
	}.Validate()
	for _, want := range []string{"id:", "name:", "language:", "contact:", "networks: 0.0.0.0/0", "networks: 10.0.0.0/8 stands twice", "domains: com is a public suffix",
		"domains: co.uk is", `did you mean example.org`, "domains: example.org stands twice", "domains: [192.0.2.1]", "mode:", "threshold:", "release_ceiling:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
	if err := (account.Customer{ID: "x", AnyFrom: true}).Validate(); err == nil {
		t.Error("any_from without networks accepted")
	}
	if err := (account.Customer{ID: "x", Networks: networks("10.0.0.0/8"), AnyFrom: true}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestOwnsDomain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		for _, c := range []account.Customer{
			{ID: "a", Domains: []mail.Domain{"example.org"}},
			{ID: "b", Domains: []mail.Domain{"shop.example.org", "example.net"}},
		} {
			if err := l.PutCustomer(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		a, _ := l.Customer("a")
		b, _ := l.Customer("b")
		for _, tc := range []struct {
			domain mail.Domain
			a, b   bool
		}{
			{"example.org", true, false}, {"www.example.org", true, false}, {"x.y.example.org", true, false},
			{"shop.example.org", false, true}, {"eu.shop.example.org", false, true}, {"notexample.org", false, false},
			{"example.net", false, true}, {"org", false, false}, {"", false, false}, {"[192.0.2.1]", false, false}, {"example.org.evil.test", false, false},
		} {
			if l.OwnsDomain(a, tc.domain) != tc.a || l.OwnsDomain(b, tc.domain) != tc.b {
				t.Errorf("%s: a %v, b %v", tc.domain, l.OwnsDomain(a, tc.domain), l.OwnsDomain(b, tc.domain))
			}
		}
		if err := l.PutCustomer(t.Context(), account.Customer{ID: "c", Domains: []mail.Domain{"example.net"}}); !errors.Is(err, account.ErrTaken) {
			t.Errorf("domain of another: %v", err)
		}
	})
}

func TestSyncConfig(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		l, ctx := open(t, db), t.Context()
		sync := func(customers ...account.Customer) {
			t.Helper()
			if err := l.SyncConfig(ctx, customers, "/etc/postern/postern.yaml"); err != nil {
				t.Fatal(err)
			}
		}
		one := account.Customer{ID: "one", Networks: networks("192.0.2.0/24"), Domains: []mail.Domain{"example.org"}}
		two := account.Customer{ID: "two"}
		sync(one, two)
		if err := l.PutCustomer(ctx, account.Customer{ID: "own"}); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{l.PutCustomer(ctx, account.Customer{ID: "one"}), l.DeleteCustomer(ctx, "one")} {
			if !errors.Is(err, account.ErrFromConfig) || !strings.Contains(err.Error(), "/etc/postern/postern.yaml") {
				t.Errorf("edit of a configured customer: %v", err)
			}
		}
		// An operator's decision and the passwords survive every synchronisation, even an absence.
		if err := l.SetSuspended(ctx, "one", true); err != nil {
			t.Fatal(err)
		}
		user, password, err := l.AddCredential(ctx, "one", "")
		if err != nil {
			t.Fatal(err)
		}
		sync(one, two)
		if c, _ := l.Customer("one"); !c.Suspended || c.Origin != account.OriginConfig || len(c.Networks) != 1 {
			t.Errorf("after sync: %+v", c)
		}
		two.Networks, two.Domains = one.Networks, one.Domains // what was one's is two's
		sync(two)
		if _, ok := l.Customer("one"); ok {
			t.Error("customer that left the file is still there")
		}
		if c, _ := l.ByNetwork(netip.MustParseAddr("192.0.2.1")); c.ID != "two" {
			t.Errorf("network went to %q", c.ID)
		}
		if _, _, err := l.Authenticate(ctx, user, password); !errors.Is(err, account.ErrDenied) {
			t.Errorf("login of a customer that left: %v", err)
		}
		sync(account.Customer{ID: "one"}, two)
		if _, _, err := l.Authenticate(ctx, user, password); !errors.Is(err, account.ErrSuspended) {
			t.Errorf("login after coming back: %v", err)
		}
		if err := l.SyncConfig(ctx, []account.Customer{{ID: "own"}}, "f"); !errors.Is(err, account.ErrTaken) {
			t.Errorf("id of a database customer: %v", err)
		}
		if err := l.SyncConfig(ctx, []account.Customer{{ID: "x"}, {ID: "x"}, {ID: "y", Pool: "nope"}}, "f"); err == nil ||
			!strings.Contains(err.Error(), "x stands twice") || !strings.Contains(err.Error(), "expected one of bulk, default") {
			t.Errorf("faulty list: %v", err)
		}
		if len(l.Customers()) != 3 {
			t.Errorf("a refused list changed something: %+v", l.Customers())
		}
		// A new customer under a left name inherits no password.
		sync(two)
		if err := l.PutCustomer(ctx, account.Customer{ID: "one"}); err != nil {
			t.Fatal(err)
		}
		if len(l.Credentials("one")) != 0 {
			t.Error("inherited credentials")
		}
	})
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		l, ctx := open(t, db), t.Context()
		if err := l.PutCustomer(ctx, account.Customer{ID: "acme"}); err != nil {
			t.Fatal(err)
		}
		user, password, err := l.AddCredential(ctx, "acme", "web shop")
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^acme-[a-z2-7]{8}$`).MatchString(user) || !regexp.MustCompile(`^[a-z2-7]{32}$`).MatchString(password) {
			t.Errorf("user %q, password of %d", user, len(password))
		}
		for range 2 { // the second time from memory
			c, who, err := l.Authenticate(ctx, strings.ToUpper(user), password)
			if err != nil || c.User != user || c.Label != "web shop" || c.Hash != "" || who.ID != "acme" {
				t.Fatalf("got %v %+v, %v", c, who, err)
			}
		}
		for _, pair := range [][2]string{{user, password + "x"}, {user, ""}, {"nobody", password}, {"", ""}, {user, strings.Repeat("x", 5000)}} {
			if c, who, err := l.Authenticate(ctx, pair[0], pair[1]); !errors.Is(err, account.ErrDenied) || c.User != "" || who.ID != "" {
				t.Errorf("%.20q: %v %v", pair, c, err)
			}
		}
		if err := l.SetSuspended(ctx, "acme", true); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.Authenticate(ctx, user, password); !errors.Is(err, account.ErrSuspended) || !account.IsRefusal(err) {
			t.Errorf("suspended: %v", err)
		}
		if err := l.SetSuspended(ctx, "acme", false); err != nil {
			t.Fatal(err)
		}
		if err := l.RevokeCredential(ctx, user); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.Authenticate(ctx, user, password); !errors.Is(err, account.ErrDenied) {
			t.Errorf("revoked: %v", err)
		}
		if all := l.Credentials("acme"); len(all) != 1 || !all[0].Revoked || all[0].Hash != "" || all[0].Created.IsZero() {
			t.Errorf("Credentials: %+v", all)
		}
		for _, err := range []error{l.RevokeCredential(ctx, "nobody"), l.SetSuspended(ctx, "nobody", true), second(l.AddCredential(ctx, "nobody", ""))} {
			if !errors.Is(err, account.ErrNotFound) {
				t.Errorf("unknown: %v", err)
			}
		}
	})
}

func second(_, _ string, err error) error { return err }

func TestGuessingIsThrottled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
		l, err := account.New(account.Options{DB: db, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		if err := l.PutCustomer(ctx, account.Customer{ID: "acme"}); err != nil {
			t.Fatal(err)
		}
		user, password, err := l.AddCredential(ctx, "acme", "")
		if err != nil {
			t.Fatal(err)
		}
		home, guesser := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.9")
		if _, _, err := l.AuthenticateFrom(ctx, home, user, password); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, _, err := l.AuthenticateFrom(ctx, guesser, user, "guess"); !errors.Is(err, account.ErrDenied) {
				t.Fatal(err)
			}
		}
		if _, _, err := l.AuthenticateFrom(ctx, guesser, user, password); !errors.Is(err, account.ErrThrottled) {
			t.Errorf("sixth try: %v", err)
		}
		if _, _, err := l.AuthenticateFrom(ctx, home, user, password); err != nil {
			t.Errorf("the owner is locked out: %v", err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		now = now.Add(time.Hour)
		if _, _, err := l.AuthenticateFrom(ended, guesser, user, "x"); account.IsRefusal(err) && !errors.Is(err, account.ErrDenied) {
			t.Errorf("ended context: %v", err)
		}
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		l, ctx := open(t, db), t.Context()
		at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		edPEM, rsaPEM := pemEd25519(t), pemRSA(t)
		for _, k := range []account.KeyRecord{
			{Domain: "example.org", Selector: "p1", Algorithm: account.RSA, PEM: rsaPEM, Created: at, Active: true},
			{Domain: "example.org", Selector: "p2", Algorithm: account.RSA, PEM: rsaPEM, Created: at.Add(time.Hour), Active: true},
			{Domain: "example.org", Selector: "p3", Algorithm: account.RSA, PEM: rsaPEM, Created: at.Add(2 * time.Hour)},
			{Domain: "example.org", Selector: "e1", Algorithm: account.Ed25519, PEM: edPEM, Created: at, Active: true},
			{Domain: "shop.example.org", Selector: "s1", Algorithm: account.Ed25519, PEM: edPEM, Created: at, Active: true},
		} {
			if err := l.AddKey(ctx, k); err != nil {
				t.Fatal(err)
			}
			if err := l.AddKey(ctx, k); !errors.Is(err, account.ErrTaken) {
				t.Errorf("twice: %v", err)
			}
		}
		expect := func(d mail.Domain, want ...string) {
			t.Helper()
			var got []string
			for _, k := range l.SigningKeys(d) {
				got = append(got, k.Selector)
				if len(k.PEM) == 0 || strings.Contains(fmt.Sprintf("%v %+v %#v", k, k, k), "PRIVATE") || strings.Contains(fmt.Sprintf("%v", k), "[45") {
					t.Errorf("key %v: PEM missing, or in the log", k)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: got %v, want %v", d, got, want)
			}
		}
		expect("example.org", "e1", "p2")
		expect("www.example.org", "e1", "p2")
		expect("shop.example.org", "s1")
		expect("eu.shop.example.org", "s1")
		expect("example.net")
		if err := l.RetireKey(ctx, "example.org", "p2"); err != nil {
			t.Fatal(err)
		}
		expect("example.org", "e1", "p1")
		if err := l.ActivateKey(ctx, "example.org", "p3"); err != nil {
			t.Fatal(err)
		}
		expect("example.org", "e1", "p3")
		if err := l.RetireKey(ctx, "example.org", "nope"); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("unknown key: %v", err)
		}
		if all := l.Keys(); len(all) != 5 || all[0].Selector != "e1" || !all[1].Created.Equal(at) {
			t.Errorf("Keys: %v", all)
		}
		for name, k := range map[string]account.KeyRecord{
			"algorithm": {Domain: "example.com", Selector: "x", Algorithm: account.RSA, PEM: edPEM},
			"selector":  {Domain: "example.com", Selector: "X y", Algorithm: account.Ed25519, PEM: edPEM},
			"domain":    {Domain: "com", Selector: "x", Algorithm: account.Ed25519, PEM: edPEM},
			"key":       {Domain: "example.com", Selector: "x", Algorithm: account.Ed25519, PEM: []byte("secret material")},
		} {
			if err := l.AddKey(ctx, k); err == nil || !strings.Contains(err.Error(), name+":") || strings.Contains(err.Error(), "secret material") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func pemEd25519(t *testing.T) []byte {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(t, key)
}

func pemRSA(t *testing.T) []byte {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf(t, key)
}

// TestRunSeesOtherLedgers stands for several nodes on one database.
func TestRunSeesOtherLedgers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		writer, reader := open(t, db), open(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- reader.Run(ctx) }()
		if err := writer.PutCustomer(ctx, account.Customer{ID: "new"}); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); ; {
			if _, ok := reader.Customer("new"); ok {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the other ledger never saw the change")
			}
			db.Notify("account")
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestNewRefusesFaultyOptions(t *testing.T) {
	t.Parallel()
	if _, err := account.New(account.Options{}); err == nil {
		t.Error("no database accepted")
	}
	each(t, func(t *testing.T, db *store.DB) {
		if _, err := account.New(account.Options{DB: db, Pools: []account.Pool{{Name: "a"}, {Name: "a"}}}); err == nil {
			t.Error("pool twice accepted")
		}
		l := open(t, db)
		if p := l.Pool("bulk"); p.Name != "bulk" || len(p.Egress) != 1 {
			t.Errorf("Pool(bulk) = %+v", p)
		}
		if l.Pool("").Name != "default" || l.Pool("unknown").Name != "default" || len(l.Pools()) != 2 {
			t.Error("default pool")
		}
	})
}
