package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/app"
	"postern/internal/config"
)

// TestKnowledgeOfReceivers: the operator's files count from the start and after a reload; one with a fault is refused, and the former knowledge stays.
func TestKnowledgeOfReceivers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "receivers")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "conf.d", "10-receivers.yaml"), fmt.Sprintf("delivery: {providers: [%q]}\n", folder))
	write(filepath.Join(folder, "orange.yaml"), "name: orange\nlimits: {connections: 1}\n")
	a, _, _, _ := gatewayIn(t, dir, customer)
	if n := a.Knowledge().Provider("orange").Limits.Connections; n != 1 {
		t.Errorf("%d connections at the start", n)
	}
	write(filepath.Join(folder, "orange.yaml"), "name: orange\nlimits: {connections: several}\n")
	if err := a.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "delivery.providers: ") || !strings.Contains(err.Error(), "orange.yaml:2: ") {
		t.Errorf("reload: %v", err)
	}
	if n := a.Knowledge().Provider("orange").Limits.Connections; n != 1 {
		t.Errorf("%d connections after a reload that was refused", n)
	}
	write(filepath.Join(folder, "orange.yaml"), "name: orange\nlimits: {connections: 3}\n")
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := a.Knowledge().Provider("orange").Limits.Connections; n != 3 {
		t.Errorf("%d connections after a reload", n)
	}

	write(filepath.Join(folder, "bad.yaml"), "name: [\n")
	c, err := config.Source{}.Parse(config.File{Name: "x.yaml", Data: fmt.Appendf(nil, "data_dir: %s\ndelivery: {providers: [%q]}\n", t.TempDir(), folder)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.New(t.Context(), app.Options{Config: c}); err == nil || !strings.Contains(err.Error(), "bad.yaml:") {
		t.Errorf("a start with a faulty file: %v", err)
	}
}
