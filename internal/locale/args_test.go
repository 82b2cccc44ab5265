package locale_test

import (
	"maps"
	"testing"

	"postern/internal/locale"
)

func TestArgs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		got, want map[string]any
	}{
		{"none", locale.Args(), map[string]any{}},
		{"pairs", locale.Args("Count", 3, "Name", "x"), map[string]any{"Count": 3, "Name": "x"}},
		{"a name without a value", locale.Args("Count", 3, "Name"), map[string]any{"Count": 3}},
		{"a name that is none", locale.Args(7, 3, "Name", "x"), map[string]any{"Name": "x"}},
		{"kept as strings", locale.ArgsOf(map[string]string{"Day": "2026-11-20", "Rate": "0.3"}), map[string]any{"Day": "2026-11-20", "Rate": "0.3"}},
		{"nothing kept", locale.ArgsOf(nil), map[string]any{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.got == nil || !maps.Equal(tc.got, tc.want) {
				t.Errorf("%v, want %v", tc.got, tc.want)
			}
		})
	}
}
