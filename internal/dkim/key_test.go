package dkim_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"postern/internal/dkim"
	"postern/internal/dns/dnstest"
	"postern/internal/mail"
)

func TestKeyRoundTrip(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{dkim.RSASHA256, dkim.Ed25519SHA256} {
		k, err := dkim.GenerateKey("example.com", "Mail-2026", algorithm)
		if err != nil {
			t.Fatal(err)
		}
		again, err := dkim.ParseKey(k.PEM(), k.Domain, k.Selector)
		if err != nil {
			t.Fatal(err)
		}
		if again.Algorithm != algorithm || again.Record() != k.Record() || again.RecordName() != "mail-2026._domainkey.example.com" {
			t.Errorf("%s: %s %s", algorithm, again.RecordName(), again.Record())
		}
		if !k.Private.(interface{ Equal(crypto.PrivateKey) bool }).Equal(again.Private) {
			t.Errorf("%s: another private key came back", algorithm)
		}
		kind, _, _ := strings.Cut(algorithm, "-")
		if !strings.HasPrefix(k.Record(), "v=DKIM1; k="+kind+"; p=") {
			t.Errorf("record %q", k.Record())
		}
		for _, part := range k.RecordStrings() {
			if len(part) > 255 {
				t.Errorf("string of %d bytes", len(part))
			}
		}
		if strings.Join(k.RecordStrings(), "") != k.Record() {
			t.Errorf("strings do not join to the record")
		}
	}
}

func TestOldPEM(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
	if k, err := dkim.ParseKey(text, "example.com", "s"); err != nil || k.Algorithm != dkim.RSASHA256 {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestUnusableKeys(t *testing.T) {
	t.Parallel()
	good, err := dkim.GenerateKey("example.com", "s", dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name     string
		text     []byte
		domain   mail.Domain
		selector string
	}{
		{"no PEM", []byte("hello"), "example.com", "s"},
		{"empty", nil, "example.com", "s"},
		{"not a key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "example.com", "s"},
		{"no domain", good.PEM(), "", "s"},
		{"address", good.PEM(), "[192.0.2.1]", "s"},
		{"no selector", good.PEM(), "example.com", ""},
		{"line end in selector", good.PEM(), "example.com", "s\r\nX"},
		{"label too long", good.PEM(), "example.com", strings.Repeat("a", 64)},
	} {
		if _, err := dkim.ParseKey(tc.text, tc.domain, tc.selector); !errors.Is(err, dkim.ErrBadKey) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := dkim.GenerateKey("example.com", "s", "rsa-sha1"); !errors.Is(err, dkim.ErrBadKey) {
		t.Errorf("rsa-sha1: %v", err)
	}
	if got := (dkim.Key{}).Record(); got != "" {
		t.Errorf("record of no key: %q", got)
	}
}

func TestCheckPublished(t *testing.T) {
	t.Parallel()
	keys, zone := bothKeys(t)
	others, _ := bothKeys(t)
	for _, k := range keys {
		name := k.RecordName()
		spaced := strings.Replace(strings.Replace(k.Record(), "; ", " ;  ", 1), "p=", "t=y; p= ", 1)
		other := others[0].Record()
		for _, tc := range []struct {
			name, zone, state, found string
			mode                     dnstest.Mode
		}{
			{name: "match", zone: zone, state: "match", found: k.Record()},
			{name: "written otherwise", zone: txtLine(name, spaced), state: "match", found: spaced},
			{name: "second of two", zone: txtLine(name, other) + txtLine(name, k.Record()), state: "match", found: k.Record()},
			{name: "missing", zone: "", state: "missing"},
			{name: "other key", zone: txtLine(name, other), state: "mismatch", found: other},
			{name: "revoked", zone: txtLine(name, "v=DKIM1; p="), state: "mismatch", found: "v=DKIM1; p="},
			{name: "cut short", zone: txtLine(name, k.Record()[:40]), state: "mismatch", found: k.Record()[:40]},
			{name: "other text", zone: txtLine(name, "hello"), state: "mismatch", found: "hello"},
			{name: "key rather than text", zone: txtLine(name, "hello") + txtLine(name, other), state: "mismatch", found: other},
			{name: "no answer", zone: zone, state: "unknown", mode: dnstest.ServFail},
		} {
			t.Run(k.Algorithm+" "+tc.name, func(t *testing.T) {
				t.Parallel()
				server := dnstest.Start(t, tc.zone)
				server.Fail(name, tc.mode)
				state, found := dkim.CheckPublished(t.Context(), server.Resolver(t), k)
				if state != tc.state || found != tc.found {
					t.Errorf("%s %q, want %s %q", state, found, tc.state, tc.found)
				}
			})
		}
	}
}
