package filter

import "testing"

func TestImitation(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		label, plain string
		deceives     bool
	}{
		{"раураl", "paypal", true},
		{"аррӏе", "apple", true},
		{"gòogle", "google", true},
		{"ąmeli-carte", "ameli-carte", true},
		{"micrоsoft", "microsoft", true},
		{"bücher", "bucher", false},
		{"société", "societe", false},
		{"пример", "", false},
		{"ελλάδα", "", false},
		{"paypal", "", false},
		{"日本", "", false},
		{"pâtisserie-orange", "", false},
		{"crédit-agricole", "credit-agricole", true},
		{"", "", false},
	} {
		plain, deceives := imitation(tc.label)
		if deceives != tc.deceives || deceives && plain != tc.plain {
			t.Errorf("%q: got %q, %t; want %q, %t", tc.label, plain, deceives, tc.plain, tc.deceives)
		}
	}
}

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
		imitation(text)
		if shown, ok := shownSite(text); ok {
			passesOn(address, shown)
		}
		targetSite(address)
	})
}
