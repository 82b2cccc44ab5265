package world_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
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

// trigger is a writer that acts once, when a text was written.
type trigger struct {
	mu   sync.Mutex
	all  bytes.Buffer
	when string
	do   func()
}

func (w *trigger) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.all.Write(p)
	if w.do != nil && strings.Contains(w.all.String(), w.when) {
		w.do()
		w.do = nil
	}
	return n, err
}

// TestDemoGoesOn: without Once the demonstration keeps sending, shows how to take part, and ends cleanly when it is interrupted.
func TestDemoGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &trigger{when: "Senders go on sending", do: stop}
	if err := world.Demo(ctx, world.DemoOptions{Out: out, Dir: dir}); err != nil {
		t.Errorf("%v\n%s", err, out.all.String())
	}
	for _, want := range []string{"A held message", "http://127.0.0.1:", "swaks --server 127.0.0.1 --port ", "postern --socket " + dir} {
		if !strings.Contains(out.all.String(), want) {
			t.Errorf("%q is missing:\n%s", want, out.all.String())
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDemoInterrupted: a story that was not told to its end is no success.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &trigger{when: "A broken newsletter is held", do: stop}
	err := world.Demo(ctx, world.DemoOptions{Once: true, Out: out, Dir: t.TempDir()})
	if !errors.Is(err, context.Canceled) || errors.Is(err, world.ErrNotAsTold) {
		t.Errorf("got %v", err)
	}
}

// TestDemoWithoutReader: when nobody reads on, the demonstration ends and leaves nothing behind.
func TestDemoWithoutReader(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	dir := t.TempDir()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := world.Demo(t.Context(), world.DemoOptions{Out: w, Dir: dir}); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
