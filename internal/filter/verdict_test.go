package filter

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestVerdictHasASize: whatever fires, a verdict fits into a row of the journal, and the heaviest tests keep their words.
func TestVerdictHasASize(t *testing.T) {
	t.Parallel()
	s := &scan{settings: &settings{points: map[string]float64{}, off: map[string]bool{}}}
	for i := range 2000 {
		name := fmt.Sprintf("TEST_%04d", i)
		s.points[name] = 1
		long := strings.Repeat("<&\"", 1000)
		s.hitFor(name, float64(i), map[string]string{"What": long, "Record": long}, long, long, long)
		s.points["UNKNOWN_"+name] = 1
		s.notMeasured("UNKNOWN_"+name, long)
	}
	v := s.verdict(3)
	text, err := json.Marshal(v.Hits[:600])
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 256<<10 {
		t.Errorf("six hundred hits take %d bytes", len(text))
	}
	if first := v.Hits[0]; len(first.Evidence) != 3 || len(first.Args["Record"]) < 1999 {
		t.Errorf("the heaviest test lost its words: %d lines", len(first.Evidence))
	}
	if last := v.Hits[1999]; len(last.Evidence) != 0 || len(last.Args) != 0 {
		t.Errorf("the lightest test: %+v", last)
	}
	if len(v.Unknown) != maxUnknown {
		t.Errorf("%d tests not measured", len(v.Unknown))
	}
}
