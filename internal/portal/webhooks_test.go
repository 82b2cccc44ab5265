package portal_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/user"
	"postern/internal/webhook"
)

func TestWebhookPages(t *testing.T) {
	t.Parallel()
	g := start(t)
	if err := g.Accounts().PutCustomer(t.Context(), account.Customer{ID: "other", Name: "Other"}); err != nil {
		t.Fatal(err)
	}
	target := httptest.NewServer(http.NotFoundHandler())
	defer target.Close()
	for _, tc := range []struct {
		base string
		who  *client
	}{{"/c/shop/webhooks", g.as(t, user.CustomerAdmin, "shop")}, {"/o/webhooks", g.as(t, user.Operator, "")}} {
		c := tc.who
		if page := c.get(t, tc.base); !strings.Contains(page, `value="message.delivered"`) {
			t.Fatalf("no events to choose from:\n%s", page)
		}
		for _, bad := range []string{"", "http://hooks.example.org/", "https://127.0.0.1/", "https://user:x@hooks.example.org/", "https://hooks.example.org:25/", target.URL} {
			a := c.ask(t, "POST", tc.base, url.Values{"url": {bad}})
			if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `id="e-url"`) {
				t.Errorf("%q: %d", bad, a.status)
			}
		}
		a := c.ask(t, "POST", tc.base, url.Values{"url": {"https://hooks.invalid/x?a=<b>"}, "label": {`<i>"hook"`}, "event": {"message.bounced"}})
		secret := regexp.MustCompile(`whsec_[A-Za-z0-9_-]{43}`).FindString(a.body)
		if a.status != http.StatusOK || secret == "" || strings.Contains(a.body, "<i>") {
			t.Fatalf("%d %q\n%s", a.status, secret, a.body)
		}
		list := c.get(t, tc.base)
		at := regexp.MustCompile(tc.base + `/[a-z0-9]{10}`).FindString(list)
		if at == "" || strings.Contains(list, secret) || strings.Contains(c.get(t, at), secret) {
			t.Fatalf("%q, or the secret is shown twice", at)
		}
		if page := c.must(t, at+"/pause", nil); !strings.Contains(page, "paused") {
			t.Error("not paused")
		}
		if page := c.must(t, at+"/resume", nil); !strings.Contains(page, "goes on where it was") {
			t.Error("not resumed")
		}
		if page := c.must(t, at+"/replay", url.Values{"since": {time.Now().Add(-24 * time.Hour).Format("2006-01-02T15:04")}}); !strings.Contains(page, "is told again") {
			t.Error("not replayed")
		}
		for path, form := range map[string]url.Values{"/replay": {"since": {"2099-01-01T00:00"}}, "/again": {"event": {"x"}}} {
			if a := c.ask(t, "POST", at+path, form); a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s: %d", path, a.status)
			}
		}
		if a := c.ask(t, "POST", at+"/test", url.Values{}); a.status != http.StatusOK || !strings.Contains(a.body, "was not taken") {
			t.Errorf("test: %d", a.status)
		}
		if a := c.ask(t, "POST", at+"/secret", url.Values{}); a.status != http.StatusOK || !strings.Contains(a.body, "whsec_") || strings.Contains(a.body, secret) {
			t.Errorf("secret: %d", a.status)
		}
		if page := c.must(t, at, url.Values{"url": {"https://hooks.invalid/y"}, "label": {"other"}}); !strings.Contains(page, "is changed") {
			t.Error("not changed")
		}
		stranger := g.as(t, user.CustomerAdmin, "other")
		if tc.base[1] == 'c' {
			for _, path := range []string{"", "/pause", "/test", "/remove"} {
				if a := stranger.ask(t, "POST", strings.Replace(at, "/c/shop/", "/c/other/", 1)+path, url.Values{}); a.status != http.StatusNotFound {
					t.Errorf("another customer's %s: %d", path, a.status)
				}
			}
			if a := g.as(t, user.CustomerReader, "shop").ask(t, "POST", at+"/pause", url.Values{}); a.status != http.StatusNotFound {
				t.Errorf("a reader's act: %d", a.status)
			}
		}
		if fr := c.get(t, at+"?lang=fr"); !strings.Contains(fr, "Tentatives") || !strings.Contains(fr, at+"/replay?lang=fr") {
			t.Error("the French page leads elsewhere")
		}
		if page := c.must(t, at+"/remove", nil); !strings.Contains(page, "is removed") {
			t.Error("not removed")
		}
	}
}

// TestWebhookSnippets runs what the page gives to copy, where its runtime is here.
func TestWebhookSnippets(t *testing.T) {
	t.Parallel()
	secret, body := "whsec_x", []byte(`{"id":"a","events":[]}`)
	type request struct {
		header string
		body   []byte
		want   string
	}
	requests := func() []request { // signed when they are made: a signature is good for minutes
		good := webhook.Sign(time.Now(), body, []byte("whsec_new"), []byte(secret))
		return []request{
			{good, body, "yes"}, {good, append([]byte(" "), body...), "no"}, {webhook.Sign(time.Now(), body, []byte("other")), body, "no"},
			{webhook.Sign(time.Now().Add(-10*time.Minute), body, []byte(secret)), body, "no"}, {"", body, "no"}, {"t=x,v1=", body, "no"},
		}
	}
	for _, x := range []struct{ name, run, file, before, after string }{
		{"go", "go", "main.go", "package main\n\nimport (\n\t\"fmt\"\n\t\"io\"\n\t\"os\"\n)\n\n", "\nfunc main() {\n\tb, _ := io.ReadAll(os.Stdin)\n\tfmt.Print(map[bool]string{true: \"yes\", false: \"no\"}[genuine(os.Args[1], os.Args[2], b)])\n}\n"},
		{"node", "node", "main.cjs", "", "\nprocess.stdout.write(genuine(process.argv[2], process.argv[3], require(\"fs\").readFileSync(0)) ? \"yes\" : \"no\");\n"},
		{"php", "php", "main.php", "<?php\n", "\necho genuine($argv[1], $argv[2], file_get_contents('php://stdin')) ? 'yes' : 'no';\n"},
		{"python", "python3", "main.py", "", "\nimport sys\nsys.stdout.write('yes' if genuine(sys.argv[1], sys.argv[2], sys.stdin.buffer.read()) else 'no')\n"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			bin := demanded(t, x.run)
			text, err := os.ReadFile("hooksnippets/" + x.name + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range []string{"webhooks.md", "webhooks.fr.md"} {
				page, err := os.ReadFile("../../docs/operator/" + doc)
				if err != nil || !strings.Contains(string(page), string(text)) {
					t.Errorf("%s does not hold the snippet as it stands: %v", doc, err)
				}
			}
			file := filepath.Join(t.TempDir(), x.file)
			if err := os.WriteFile(file, []byte(x.before+string(text)+x.after), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{file}
			if x.name == "go" {
				program := filepath.Join(filepath.Dir(file), "program")
				if out, err := exec.CommandContext(t.Context(), bin, "build", "-o", program, file).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				bin, args = program, nil
			}
			for i, tc := range requests() {
				cmd := exec.CommandContext(t.Context(), bin, append(args, secret, tc.header)...)
				cmd.Stdin = strings.NewReader(string(tc.body))
				out, err := cmd.Output()
				if err != nil || string(out) != tc.want {
					t.Errorf("case %d: %q, want %q: %v", i, out, tc.want, err)
				}
			}
		})
	}
}
