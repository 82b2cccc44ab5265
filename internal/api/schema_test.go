package api

import (
	"reflect"
	"testing"

	"postern/internal/checkup"
)

// Score has the name of another room's.
type Score struct{ Points float64 }

// TestSchemaNames: two rooms may name their things alike.
func TestSchemaNames(t *testing.T) {
	t.Parallel()
	r := newSchemas()
	for _, tc := range []struct {
		of   any
		want string
	}{
		{checkup.Score{}, "#/components/schemas/Score"},
		{Score{}, "#/components/schemas/ApiScore"},
		{&checkup.Score{}, "#/components/schemas/Score"},
		{Score{}, "#/components/schemas/ApiScore"},
	} {
		if got := r.Schema(reflect.TypeOf(tc.of), true, "x").Ref; got != tc.want {
			t.Errorf("%T: %s, want %s", tc.of, got, tc.want)
		}
	}
}
