package dkim_test

import (
	"testing"

	"postern/internal/dkim"
	"postern/internal/mail"
)

// TestKeyring: the same text gives the same key, another domain or selector its own, rubbish an error each time.
func TestKeyring(t *testing.T) {
	t.Parallel()
	k, err := dkim.GenerateKey("example.org", "a", dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var ring dkim.Keyring
	for range 2 {
		for _, want := range []struct {
			domain   mail.Domain
			selector string
		}{{"example.org", "a"}, {"example.net", "a"}, {"example.org", "b"}} {
			got, err := ring.Parse(k.PEM(), want.domain, want.selector)
			if err != nil || got.Selector != want.selector || got.Domain != want.domain || got.Record() != k.Record() {
				t.Errorf("%v: %v, %v", want, got.Selector, err)
			}
		}
		if _, err := ring.Parse([]byte("rubbish"), "example.org", "a"); err == nil {
			t.Error("rubbish was read as a key")
		}
	}
}
