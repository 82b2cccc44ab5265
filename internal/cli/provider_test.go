package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProviderCommands(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		args  []string
		stdin string
		code  int
		want  []string
	}{
		{"list", []string{"provider", "list"}, "", 0, []string{"orange", "*.olc.protection.outlook.com", "all others"}},
		{"show", []string{"provider", "show", "orange"}, "", 0, []string{"Orange, Wanadoo", "connections          2\n", "https://postmaster.orange.fr/", "read 2026-11-21", "orange/unknown-user", "at fault: recipient", "Doubt: "}},
		{"show in French", []string{"provider", "show", "free", "--lang", "fr"}, "", 0, []string{"Free bloque l'adresse", "our careful choice", "en cause\u00a0: adresse d'envoi"}},
		{"show any", []string{"provider", "show", "any"}, "", 0, []string{"any/"}},
		{"show nobody", []string{"provider", "show", "nobody"}, "", 1, []string{`no provider "nobody"`}},
		{"explain", []string{"provider", "explain", "--provider", "free", "550", "Too", "many", "spams", "from", "your", "IP"}, "", 0, []string{"free/spams-from-ip", "tried again", "Pause of 2 h"}},
		{"explain by exchanger", []string{"provider", "explain", "--mx", "smtp-in.orange.fr", "--lang", "fr", "552 5.1.1 Boîte du destinataire pleine."}, "", 0, []string{"orange/mailbox-full", "boîte pleine"}},
		{"explain by domain", []string{"provider", "explain", "--domain", "neuf.fr", "450 4.7.1 SFR_IN_101"}, "", 0, []string{"sfr/spam-rate"}},
		{"explain lines", []string{"provider", "explain", "--json", "-"}, "550 5.1.1 User unknown\n\n250 2.0.0 OK\n", 0, []string{`"category":"userunknown"`, `"category":"delivered"`}},
		{"explain what nobody knows", []string{"provider", "explain", "599 zzz"}, "", 1, []string{"told by code and status only"}},
		{"explain hostile text", []string{"provider", "explain", "550 \x1b[31mred\u202e"}, "", 1, []string{"told by code"}},
		{"explain for nobody", []string{"provider", "explain", "--provider", "nobody", "550 x"}, "", 2, []string{"--provider nobody is not known"}},
		{"explain for two", []string{"provider", "explain", "--provider", "free", "--mx", "a.b", "550 x"}, "", 2, []string{"exclude each other"}},
		{"language", []string{"provider", "show", "free", "--lang", "de"}, "", 2, []string{"--lang de is not known"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := shell{input: tc.stdin}.run(t.Context(), tc.args...)
			if code != tc.code {
				t.Errorf("exit code %d, want %d: %s", code, tc.code, stderr)
			}
			for _, want := range tc.want {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("missing %q in\n%s%s", want, stdout, stderr)
				}
			}
			if strings.ContainsAny(stdout, "\x1b\u202e") {
				t.Error("a control character got through")
			}
		})
	}
	for _, args := range [][]string{{"provider", "list", "--json"}, {"provider", "show", "orange", "--json"}, {"provider", "show", "any", "--json"}} {
		_, stdout, _ := (shell{}).run(t.Context(), args...)
		for l := range strings.Lines(stdout) {
			if !json.Valid([]byte(l)) {
				t.Errorf("%v: %q is no JSON", args, l)
			}
		}
	}
}

func TestProviderCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "lab.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const head = "name: lab\ntitle: Lab\nabout: {en: A test., fr: Un essai.}\nwho: {mx: [\"*.lab.test\"]}\nsources: [{what: a letter, read: 2026-11-22}]\nanswers:\n"
	write(head + "  - {id: a, text: [zebra], category: blocked, advice: blocked, test: [\"550 zebra\"]}\n")
	if code, stdout, stderr := (shell{}).run(t.Context(), "provider", "check", dir); code != 0 || !strings.Contains(stdout, "1 rule of yours for 1 provider") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	if code, stdout, _ := (shell{}).run(t.Context(), "provider", "list", "--dir", dir); code != 0 || !strings.Contains(stdout, "*.lab.test") {
		t.Errorf("%d %q", code, stdout)
	}
	write(head + "  - {id: a, text: [zebra], category: silly, advice: blocked, test: [\"550 lion\"]}\n")
	code, stdout, stderr := (shell{}).run(t.Context(), "provider", "check", dir)
	if code != 1 || !strings.Contains(stdout, `lab.yaml:7: lab/a: category "silly" is not known`) || !strings.Contains(stdout, "does not reach it") || !strings.Contains(stderr, "2 faults") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	if code, stdout, _ := (shell{}).run(t.Context(), "provider", "check", "--json", dir); code != 1 || !strings.Contains(stdout, `"line":7`) {
		t.Errorf("%d %q", code, stdout)
	}
	if code, _, _ := (shell{}).run(t.Context(), "provider", "check", filepath.Join(dir, "none")); code != 2 {
		t.Errorf("%d", code)
	}
}
