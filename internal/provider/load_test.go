package provider_test

import (
	"testing"

	"postern/internal/provider"
)

func load(t testing.TB, dirs ...string) *provider.Knowledge {
	t.Helper()
	k, err := provider.Load(dirs)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestRulesAreReached: each line of a rule's tests reaches that rule and no other.
func TestRulesAreReached(t *testing.T) {
	t.Parallel()
	k := load(t)
	try := func(name string, rules []*provider.Rule) {
		for _, r := range rules {
			for _, line := range r.Tests {
				if got := k.Classify(r.Question(name, line)); got.Rule != r.ID {
					t.Errorf("%s:%d: %s: %q reaches %q", r.File, r.Line, r.ID, line, got.Rule)
				}
			}
		}
	}
	for _, p := range k.Providers() {
		try(p.Name, p.Rules)
	}
	try("", k.Any())
}
