package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/config"
)

// TestSettings: every value is listed with its origin, and no secret is.
func TestSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := "a-secret-that-nobody-may-read-0123456789"
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("hook", secret)
	c, err := config.Load(write("postern.yaml", `
hostname: gate.example.org
alarm: {webhooks: [{name: oncall, url: "https://hooks.example.org/x", secret_file: hook}]}
customers:
  - {id: bakery, name: The Bakery, domains: [bakery.example.org]}
`))
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]config.Setting{}
	for _, x := range c.Settings() {
		if strings.Contains(x.Value, secret) || strings.Contains(x.Default, secret) {
			t.Errorf("%s shows the secret", x.Key)
		}
		if x.Doc == "" {
			t.Errorf("%s has no meaning", x.Key)
		}
		by[x.Key] = x
	}
	if x := by["hostname"]; x.Value != "gate.example.org" || !strings.HasSuffix(x.Origin, "postern.yaml:2") || !x.Restart {
		t.Errorf("hostname: %+v", x)
	}
	if x := by["log.level"]; x.Value != "info" || x.Origin != "" || x.Default != "info" {
		t.Errorf("log.level: %+v", x)
	}
	if x := by["customers[0].id"]; x.Value != "bakery" || x.Origin == "" {
		t.Errorf("customers[0].id: %+v", x)
	}
	found := false
	for key, x := range by {
		if strings.HasPrefix(key, "alarm.webhooks[0].secret") {
			found = x.Secret && x.Value == "set"
		}
	}
	if !found {
		t.Error("the webhook's secret is not said to be set")
	}
}
