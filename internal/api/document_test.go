package api_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"postern/internal/api"
	"postern/internal/journal"
	"postern/internal/user"
)

// TestDocumentation: every operation has a page in both languages, which loads nothing but our style.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	x := start(t)
	links := regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)
	missing := regexp.MustCompile(`\bapi\.[a-z_.]+\b`)
	for _, lang := range []string{"en", "fr"} {
		a := x.over(t, "GET", "/?lang="+lang, "", "", "Remote", "10.1.1."+strconv.Itoa(len(lang)))
		if a.status != 200 || !strings.Contains(a.text, `lang="`+lang+`"`) || strings.Contains(a.text, "<script") {
			t.Fatalf("%d %.300s", a.status, a.text)
		}
		if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("policy %q", csp)
		}
		for i, o := range x.operations(t) {
			if !strings.Contains(a.text, "/operations/"+o.id+"?") {
				t.Errorf("%s is not on the list", o.id)
			}
			b := x.over(t, "GET", "/operations/"+o.id+"?lang="+lang, "", "", "Remote", "10.1.2."+strconv.Itoa(i))
			if b.status != 200 || !strings.Contains(b.text, "curl -sS") || !strings.Contains(b.text, string(o.right)) {
				t.Errorf("%s: %d %.300s", o.id, b.status, b.text)
			}
			if word := missing.FindString(strings.ReplaceAll(b.text, "postern/api", "")); word != "" {
				t.Errorf("%s: no text %s", o.id, word)
			}
		}
		if word := missing.FindString(strings.ReplaceAll(a.text, "openapi.json", "")); word != "" {
			t.Errorf("no text %s", word)
		}
		for _, m := range links.FindAllStringSubmatch(a.text, -1) {
			if !strings.HasPrefix(m[1], "/postern/") && !strings.HasPrefix(m[1], "openapi.json?lang=") {
				t.Errorf("link to %s", m[1])
			}
			if path, ok := strings.CutPrefix(m[1], "/postern/api"); ok && strings.Contains(path, "style") {
				if s := x.over(t, "GET", path, "", ""); s.status != 200 || !strings.HasPrefix(s.header.Get("Content-Type"), "text/css") {
					t.Errorf("style: %d", s.status)
				}
			}
		}
	}
	if a := x.over(t, "GET", "/operations/none", "", ""); a.status != 404 {
		t.Errorf("no operation: %d", a.status)
	}
}

// TestWordsAreDocumented: each word that the code answers with is explained, in both languages, and no other.
func TestWordsAreDocumented(t *testing.T) {
	t.Parallel()
	documented := api.ProblemWords()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := readTexts()
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`(?:(?:problem|because)\(http\.Status\w+, |, http\.Status\w+, |missing\(|noMessage = |return )"([a-z]+(?:-[a-z]+)*)"`)
	used := map[string]bool{}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range word.FindAllStringSubmatch(string(text), -1) {
			used[m[1]] = true
		}
	}
	for w := range used {
		if !documented[w] && len(w) > 1 && w != "gateway" && w != "customer" { // what other functions return
			t.Errorf("%s is not documented", w)
		}
	}
	for w := range documented {
		if !used[w] {
			t.Errorf("%s is documented and never answered", w)
		}
		if !catalog.Has("api.word." + strings.ReplaceAll(w, "-", "_")) {
			t.Errorf("%s has no text", w)
		}
	}
}

// runtime are the programs that run examples.
var runtimes = []struct {
	file string
	run  []string
}{
	{"example.sh", []string{"curl", "sh"}},
	{"example.go", []string{"go", "go", "run"}},
	{"example.mjs", []string{"node", "node"}},
	{"example.php", []string{"php", "php"}},
	{"example.py", []string{"python3", "python3"}},
}

// TestExamplesRun runs the examples of the documentation, as they stand there, against a gateway.
func TestExamplesRun(t *testing.T) {
	t.Parallel()
	x := start(t)
	server := httptest.NewServer(x.api.Web())
	t.Cleanup(server.Close)
	admin, operator := x.token(t, user.CustomerAdmin, "shop"), x.token(t, user.Operator, "")
	for _, rt := range runtimes {
		t.Run(rt.run[0], func(t *testing.T) {
			if _, err := exec.LookPath(rt.run[0]); err != nil {
				if os.Getenv("POSTERN_CI") != "" {
					t.Fatalf("%s is not installed, and POSTERN_CI asks for it", rt.run[0])
				}
				t.Skip(rt.run[0] + " is not installed")
			}
			for _, tc := range []struct{ id, token, says string }{
				{"search", admin, `"facts"`},
				{"suppress", admin, "gone@remote.example"},
				{"lift-suppressed", admin, "written to again"},
				{"figures", admin, `"points"`},
				{"release-message", operator, "released"},
			} {
				all, err := x.api.Examples(tc.id, server.URL+"/api")
				if err != nil {
					t.Fatal(err)
				}
				text := all[rt.file]
				id := ""
				if tc.id == "release-message" {
					id = string(x.put(t, held))
					text = strings.ReplaceAll(text, api.SampleMessage, id)
				}
				file := filepath.Join(t.TempDir(), rt.file)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				run := exec.CommandContext(t.Context(), rt.run[1], append(rt.run[2:], file)...)
				run.Env = append(os.Environ(), "POSTERN_TOKEN="+tc.token, "no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1", "GOFLAGS=", "GOWORK=off")
				out, err := run.CombinedOutput()
				if err != nil || !strings.Contains(string(out), tc.says) {
					t.Fatalf("%s: %v\n%s\n%s", tc.id, err, out, text)
				}
				if id != "" {
					facts, err := x.client.Trace(t.Context(), x.lastID)
					if err != nil || facts[len(facts)-1].Kind != journal.Released || !strings.HasPrefix(facts[len(facts)-1].Actor, "token:") {
						t.Errorf("%+v, %v", facts, err)
					}
				}
				run.Env = append(run.Env, "POSTERN_TOKEN=pst_wrong")
				if tc.id == "search" {
					again := exec.CommandContext(t.Context(), rt.run[1], append(rt.run[2:], file)...)
					again.Env = run.Env
					if out, err := again.CombinedOutput(); err == nil || !strings.Contains(string(out), "bad-token") {
						t.Errorf("with a wrong token: %v\n%s", err, out)
					}
				}
			}
		})
	}
}
