package near_test

import (
	"testing"

	"postern/internal/near"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"same", "same", 0}, {"gmail.com", "gmial.com", 1}, {"gmail.com", "gmai.com", 1}, {"gmail.com", "gmaill.com", 1},
		{"gmail.com", "gmajl.com", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}, {"élan", "elan", 1}, {"orange", "free", 4}, {"ab", "ba", 1}, {"abcd", "badc", 2},
	} {
		if got := near.Distance(tc.a, tc.b); got != tc.want {
			t.Errorf("%q to %q: %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := near.Distance(tc.b, tc.a); got != tc.want {
			t.Errorf("%q to %q: %d, want %d", tc.b, tc.a, got, tc.want)
		}
	}
}
