package world_test

import (
	"testing"

	"postern/internal/world"
)

// TestDemoOnce plays the whole story; every step of it is checked by the story itself.
func TestDemoOnce(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"en", "fr"} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			if err := world.Demo(t.Context(), world.DemoOptions{Once: true, Out: t.Output(), Language: lang, Dir: t.TempDir()}); err != nil {
				t.Error(err)
			}
		})
	}
}
