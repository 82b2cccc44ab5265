package filter

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/mail"
)

// FuzzRun puts any bytes through every check: no panic, a score within bounds, a verdict that can be stored and explained.
func FuzzRun(f *testing.F) {
	files, err := filepath.Glob("testdata/cases/*.msg")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	catalog, err := locale.New()
	if err != nil {
		f.Fatal(err)
	}
	filter := testFilter(f, Options{Resolver: nothing})
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := Input{Message: mail.Parse(raw, mail.DefaultLimits()), Customer: account.Customer{ID: "c"}}
		v, err := filter.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if v.Score < 0 || v.Score > MaxScore || math.IsNaN(v.Raw) || v.Held != (v.Score > DefaultThreshold) {
			t.Fatalf("score %g of raw %g, held %t", v.Score, v.Raw, v.Held)
		}
		if _, err := json.Marshal(v); err != nil {
			t.Fatal(err)
		}
		for _, h := range v.Hits {
			if e := Explain(catalog, "fr", h); e.Name == "" || e.Explain == "" || e.Fix == "" {
				t.Fatalf("%s has no text", h.Test)
			}
			for _, text := range h.Evidence {
				if len(text) > maxEvidenceText+3 {
					t.Fatalf("%s: evidence of %d bytes", h.Test, len(text))
				}
			}
		}
	})
}
