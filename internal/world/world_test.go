package world_test

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"postern/internal/world"
)

func asError[T error](err error, target *T) bool { return errors.As(err, target) }

// TestDemoOnce plays the whole story, twice at a time; every step of it is checked by the story itself.
func TestDemoOnce(t *testing.T) {
	t.Parallel()
	escape := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for _, tc := range []struct {
		lang, want string
		color      bool
		columns    int
	}{
		{"en", "Everything happened as told", false, 0},
		{"fr", "Tout s'est passé comme annoncé", true, 80},
	} {
		t.Run(tc.lang, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var out bytes.Buffer
			if err := world.Demo(t.Context(), world.DemoOptions{Once: true, Out: &out, Language: tc.lang, Color: tc.color, Columns: tc.columns, Dir: dir}); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
			text := escape.ReplaceAllString(out.String(), "")
			if !strings.Contains(text, tc.want) || strings.Contains(text, "✘") || strings.Contains(text, "world.") {
				t.Errorf("the story is not complete:\n%s", text)
			}
			if tc.color == (len(text) == out.Len()) {
				t.Error("colours are not as asked for")
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
