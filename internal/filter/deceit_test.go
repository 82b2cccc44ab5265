package filter

import "testing"

func TestShownSite(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, want string }{
		{"https://www.example.co.uk/a?b", "example.co.uk"},
		{" WWW.Example.org ", "example.org"},
		{"example.org", ""},
		{"notes.zip", ""},
		{"see https://example.org", ""},
		{"https://192.0.2.1/", ""},
		{"https://", ""},
		{"http://[::1", ""},
		{"https://localhost/x", ""},
	} {
		if got, ok := shownSite(tc.text); got != tc.want || ok != (tc.want != "") {
			t.Errorf("%q: got %q, %t", tc.text, got, ok)
		}
	}
	if !passesOn("https://scan.example.com/?u=https%3A%2F%2Fwww.example.org%2Fa", "example.org") || passesOn("https://evil.example.com/a", "example.org") {
		t.Error("a link that names the shown site passes readers on to it")
	}
}

func FuzzDeceit(f *testing.F) {
	for _, s := range []string{"раураl", "https://www.example.org/%", "www.", "http://[::1", "\xff"} {
		f.Add(s, "https://a.example/?"+s)
	}
	f.Fuzz(func(_ *testing.T, text, address string) {
		if shown, ok := shownSite(text); ok {
			passesOn(address, shown)
		}
		targetSite(address)
	})
}
