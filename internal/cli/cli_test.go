package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/api"
	"postern/internal/app"
	"postern/internal/cli"
	"postern/internal/config"
	"postern/internal/delivery"
	"postern/internal/dns/dnstest"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/spool"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// shell runs commands as a shell would, without a terminal.
type shell struct {
	env   map[string]string
	input string
}

func (s shell) run(ctx context.Context, args ...string) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = cli.Main(ctx, cli.Process{Args: append([]string{"postern"}, args...), Stdin: strings.NewReader(s.input), Stdout: &stdout, Stderr: &stderr,
		Env: func(name string) (string, bool) { v, ok := s.env[name]; return v, ok }, Version: "1.0-test"})
	return code, stdout.String(), stderr.String()
}

// gateway is real rooms behind a real socket; nothing delivers, so that the spool stays as a test filled it.
type gateway struct {
	*app.App
	shell
	now  time.Time
	puts int
}

func start(t *testing.T) *gateway {
	t.Helper()
	names := dnstest.Start(t, "shop.example. 300 IN MX 10 mx.shop.example.\n")
	dir, err := os.MkdirTemp("", "p") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c, err := config.Source{}.Parse(config.File{Name: "test.yaml", Data: fmt.Appendf(nil, `
hostname: mx.example.org
data_dir: %s
storage: {reserve: 16MiB}
listen: {relay: {address: []}, submission: {address: []}, submissions: {address: []}, web: [], metrics: []}
dns: {servers: ["%s"], timeout: 1s, attempts: 1}
customers:
  - {id: shop, name: Boutique Élan 株, contact: owner@shop.example, networks: [127.0.0.1/32], domains: [shop.example]}
`, filepath.Join(dir, "data"), names.Addr())})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{now: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	if g.App, err = app.New(ctx, app.Options{Config: c, Version: "1.0-test"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = g.Run(ctx) // closes everything
	})
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	notices, err := notice.New(notice.Options{Accounts: g.Accounts(), Spool: g.Spool(), Catalog: catalog, Links: g.Links(), Hostname: "mx.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	lanes, err := delivery.New(delivery.Options{Hostname: "mx.example.org", Spool: g.Spool(), Journal: g.Journal(), Accounts: g.Accounts(), Notices: notices,
		Resolver: names.Resolver(t)})
	if err != nil {
		t.Fatal(err)
	}
	tests, err := filter.New(filter.Options{Resolver: names.Resolver(t), Accounts: g.Accounts()})
	if err != nil {
		t.Fatal(err)
	}
	h, err := api.New(api.Options{Accounts: g.Accounts(), Filter: tests, Desk: g.Desk(), Delivery: lanes, Journal: g.Journal(), Learn: g.Learn(), Suppression: g.Suppression(), Spool: g.Spool(), Catalog: catalog, Users: g.Users(), Version: "1.0-test"})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: httptest.NewUnstartedServer(h).Config}
	server.Start()
	t.Cleanup(server.Close)
	g.env = map[string]string{"POSTERN_SOCKET": socket, "SUDO_USER": "alice", "USER": "root"}
	return g
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// put stores a message that came three and a half hours ago, with its fact.
func (g *gateway) put(t *testing.T, subject string, held bool) mail.QueueID {
	t.Helper()
	g.puts++
	at := g.now.Add(-210*time.Minute + time.Duration(g.puts)*time.Second) // queue IDs sort by time
	m := spool.Message{ID: mail.NewQueueID(at), Customer: "shop", Hello: "client.shop.example", Received: at, Expires: g.now.Add(44*time.Hour + 30*time.Minute),
		Envelope: mail.Envelope{ReversePath: address(t, "anna@shop.example"), Recipients: []mail.Recipient{{Address: address(t, "bob@remote.example")},
			{Address: address(t, "carla@other.example")}}}, HeaderFrom: "Anna <anna@shop.example>", Subject: subject, MessageID: "<7@shop.example>",
		Body: []byte("From: anna@shop.example\r\nSubject: x\r\n\r\nHello\r\n")}
	kind := journal.Accepted
	if held {
		kind = journal.Held
		m.Held, m.HoldReason, m.HoldUntil, m.Score = true, "score", g.now.Add(60*time.Hour+30*time.Minute), 4.5
		m.Verdict, _ = json.Marshal(map[string]any{"score": 4.5, "raw": 4.499, "threshold": 3, "held": true, "at": at, "hits": []any{
			map[string]any{"test": "INVALID_DATE", "points": 3.0, "evidence": []string{"Date: \x1b]0;owned\x07 \u202e Foo"}, "args": map[string]string{"Date": "Foo", "Why": "no day", "Now": "now"}},
			map[string]any{"test": "MISSING_MID", "points": 1.5, "evidence": []string{"no Message-ID field"}},
			map[string]any{"test": "HTML_MESSAGE", "points": 0.001, "evidence": []string{"part 1"}}},
			"unknown": []any{map[string]string{"test": "SPF_PASS", "why": "no answer"}}})
	}
	id := m.ID
	if err := g.Spool().Put(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	if err := g.Journal().Append(t.Context(), journal.Fact{At: at, Kind: kind, QueueID: id, Customer: "shop", ReversePath: "anna@shop.example",
		HeaderFrom: m.HeaderFrom, Recipient: "bob@remote.example", Subject: subject, MessageID: m.MessageID, Score: m.Score}); err != nil {
		t.Fatal(err)
	}
	return id
}

// deferred says that the receiver of both recipients asked for patience.
func (g *gateway) deferred(t *testing.T, id mail.QueueID, text string) {
	t.Helper()
	next := g.now.Add(150 * time.Minute)
	for i, rcpt := range []string{"bob@remote.example", "carla@other.example"} {
		if err := g.Journal().Append(t.Context(), journal.Fact{At: g.now, Kind: journal.Deferred, QueueID: id, Customer: "shop", Recipient: rcpt,
			Host: "mx.remote.example[192.0.2.9]", Code: 451, Enhanced: "4.7.1", Text: text, NextAt: next, Attempt: 1}); err != nil {
			t.Fatal(err)
		}
		if err := g.Spool().Settle(t.Context(), spool.Outcome{ID: id, Index: i, State: spool.Queued, NextAt: next, Code: 451, Enhanced: "4.7.1", Text: text,
			Host: "mx.remote.example[192.0.2.9]", Attempted: true}); err != nil {
			t.Fatal(err)
		}
	}
}

// stable replaces what differs from run to run by marks of the same width.
func stable(text string) string {
	for _, r := range []struct{ from, to string }{
		{`\b[0-9a-hjkmnp-tv-z]{26}\b`, "QUEUEID-------------------"},
		{`\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b`, "DATE-DATE-- TIME-TM"},
		{`\b\d{4}-\d\d-\d\d \d\d:\d\d( [A-Z]{3,4}\b)?`, "DATE-DATE- TIME"},
		{`\d+ s ago`, "now"}, {`\d+ [kMG]?B free`, "N GB free"},
		{`\(in [^)]*\)`, "(in a while)"},
	} {
		text = regexp.MustCompile(r.from).ReplaceAllString(text, r.to)
	}
	return text
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (rewrite with -update if it is better):\n%s", path, got)
	}
}

// hostile is a subject or answer that attacks a terminal: escape sequences, C1 controls, line ends, changed writing direction.
const hostile = "Pay\x1b[31m now\x1b]0;owned\x07\x9b2J\u202etxt.exe\u2066\r\nDelivered: yes\u2028x\u009b1A"

// harmless reports what a terminal would act on.
func harmless(t *testing.T, what, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u2028\u2029", r)) {
			t.Errorf("%s prints %U: %q", what, r, text)
			return
		}
	}
}

func TestGoldenOutputs(t *testing.T) {
	t.Parallel()
	g := start(t)
	one := g.put(t, "Facture de décembre 請求書", false)
	g.deferred(t, one, "Try again later")
	two := g.put(t, "Lettre", true)
	for _, tc := range []struct {
		name string
		args []string
	}{
		{"queue-list", []string{"queue", "list"}},
		{"queue-list-held", []string{"queue", "list", "--state", "held"}},
		{"queue-list-none", []string{"queue", "list", "--domain", "nowhere.example"}},
		{"queue-list-ids", []string{"queue", "list", "--ids"}},
		{"queue-show", []string{"queue", "show", string(one)}},
		{"queue-show-held", []string{"queue", "show", string(two)}},
		{"queue-show-held-fr", []string{"queue", "show", "--lang", "fr", string(two)}},
		{"queue-explain", []string{"queue", "explain", string(one)}},
		{"queue-explain-held", []string{"queue", "explain", string(two)}},
		{"trace-address", []string{"trace", "bob@remote.example"}},
		{"trace-id", []string{"trace", strings.ToUpper(string(one))}},
		{"status", []string{"status"}},
		{"lanes", []string{"lane", "list"}},
		{"lane-pause", []string{"lane", "pause", "orange", "--for", "2h", "--reason", "their postmaster asked"}},
		{"lane-list", []string{"lane", "list"}},
		{"lane-history-none", []string{"lane", "history", "orange"}},
		{"pool-list", []string{"pool", "list"}},
		{"customer-list", []string{"customer", "list"}},
		{"customer-show", []string{"customer", "show", "shop"}},
		{"credential-list-none", []string{"credential", "list"}},
		{"dkim-list-none", []string{"dkim", "list"}},
		{"help", []string{"--help"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, errs := g.run(t.Context(), tc.args...)
			if code != 0 || errs != "" {
				t.Fatalf("exit %d: %s", code, errs)
			}
			harmless(t, tc.name, out)
			golden(t, tc.name, stable(out))
		})
	}
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	g := start(t)
	id := g.put(t, hostile, false)
	g.deferred(t, id, hostile)
	g.put(t, "b", true)
	for _, args := range [][]string{{"queue", "list"}, {"queue", "show", string(id)}, {"queue", "explain", string(id)}, {"trace", "bob@remote.example"},
		{"status"}, {"lane", "pause", "sfr", "--reason", hostile}, {"lane", "list"}, {"pool", "list"}, {"customer", "list"}, {"customer", "show", "shop"}, {"credential", "add", "shop"}, {"credential", "list"},
		{"dkim", "new", "shop.example", "--algorithm", "both"}, {"dkim", "list"}, {"queue", "retry", string(id)}} {
		code, out, errs := g.run(t.Context(), append(args, "--json")...)
		if code != 0 || errs != "" || out == "" {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
		for line := range strings.Lines(out) {
			var object map[string]any
			if err := json.Unmarshal([]byte(line), &object); err != nil {
				t.Errorf("%v: %v: %s", args, err, line)
			}
		}
		harmless(t, fmt.Sprint(args), out)
	}
	_, out, _ := g.run(t.Context(), "queue", "show", "--json", string(id))
	var m api.Message
	if err := json.Unmarshal([]byte(out), &m); err != nil || !strings.Contains(m.Subject, "\u202etxt.exe") {
		t.Errorf("JSON must keep what was written: %q, %v", m.Subject, err)
	}
}

func TestHostileTextNeverReachesATerminal(t *testing.T) {
	t.Parallel()
	g := start(t)
	id := g.put(t, hostile, false)
	g.deferred(t, id, hostile)
	held := g.put(t, hostile, true)
	for _, args := range [][]string{{"queue", "list"}, {"queue", "show", string(id)}, {"queue", "show", string(held)}, {"queue", "explain", string(id)},
		{"queue", "explain", string(held)}, {"lane", "pause", "orange", "--reason", hostile}, {"lane", "list"}, {"lane", "pause", hostile}, {"lane", "history", hostile}, {"lane", "lift", hostile}, {"trace", "bob@remote.example"}, {"trace", hostile}, {"queue", "show", hostile}, {hostile}, {"queue", "hold", hostile},
		{"customer", "show", hostile}, {"customer", "add", hostile}, {"dkim", "new", hostile}, {"scan", hostile}, {"config", "explain", hostile}} {
		_, out, errs := g.run(t.Context(), args...)
		harmless(t, fmt.Sprint(args), out)
		harmless(t, fmt.Sprint(args), errs)
	}
}

func TestActs(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	id := string(g.put(t, "a", false))
	must := func(want string, args ...string) string {
		t.Helper()
		code, out, errs := g.run(ctx, args...)
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
		}
		return out
	}
	fails := func(code int, want string, args ...string) {
		t.Helper()
		got, out, errs := g.run(ctx, args...)
		if got != code || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d\n%s%s", args, got, out, errs)
		}
	}
	must("is due now", "queue", "retry", id)
	must("waiting", "queue", "top", "--once")
	must(`"customers":[{`, "queue", "top", "--json")
	must("1 message is due now", "queue", "retry", "--all")
	must("is held until", "queue", "hold", id, "--reason", "asked", "--for", "24h")
	must("operator:alice", "queue", "explain", id)
	fails(2, "the message is held", "queue", "retry", id)
	must("is released", "queue", "release", id)
	fails(2, "not held", "queue", "release", id, "abc")
	must("is removed", "queue", "drop", id)
	must("cancelled", "queue", "explain", id)
	fails(2, "trace tells", "queue", "show", id)
	fails(1, "nothing is known", "trace", "nobody@nowhere.example")
	if out := must("Found by its queue ID (100 % sure)", "trace", "What became of "+id+", please?"); !strings.Contains(out, "operator:") {
		t.Errorf("a pasted report leads to no story:\n%s", out)
	}
	must(`"weight":100`, "trace", "--json", "What became of "+id+", please?")
	fails(1, "nothing is known", "trace", "550 5.1.1 nobody has ever said this here")

	must("bakery.example", "customer", "add", "bakery", "--domain", "bakery.example", "--network", "192.0.2.0/28", "--contact", "m@bakery.example")
	must("5.0 points", "customer", "update", "bakery", "--threshold", "5")
	if out := must("bakery", "customer", "show", "bakery"); !strings.Contains(out, "m@bakery.example") {
		t.Error("an update of one setting lost another")
	}
	must("suspended", "customer", "suspend", "bakery")
	must("may send again", "customer", "resume", "bakery")
	code, out, errs := g.run(ctx, "credential", "add", "bakery", "--label", "shop")
	if code != 0 || !strings.Contains(out, "Password  ") || !strings.Contains(errs, "shown this once") {
		t.Errorf("credential: %d\n%s%s", code, out, errs)
	}
	user := strings.Fields(out)[1]
	must(user, "credential", "list", "bakery")
	must("0 messages (no limit), 0 recipients (no limit)", "credential", "limits", user)
	must("0 of 100 messages", "credential", "limits", user, "--messages-hour", "100", "--recipients-day", "5000", "--network", "192.0.2.0/24")
	must("0 of 5000 recipients", "credential", "limits", user, "--messages-hour", "0", "--network", "")
	must("5000 rcpt/d", "credential", "list", "bakery")
	must(`"recipients_day":5000`, "credential", "limits", user, "--json")
	must("cannot log in", "credential", "revoke", user)
	must("revoked", "credential", "list")
	must("is removed", "customer", "delete", "bakery")
	fails(2, "defined in the configuration", "customer", "delete", "shop")
	must("IN TXT", "dkim", "new", "shop.example", "--selector", "s1")
	must("postern dkim activate shop.example s2", "dkim", "new", "shop.example", "--selector", "s2", "--algorithm", "ed25519")
	must("is signed with selector s2", "dkim", "activate", "shop.example", "s2")
	must("no more", "dkim", "retire", "shop.example", "s1")
	must("inactive", "dkim", "list")
	fails(2, "without a configuration file", "reload")
}

func TestWrongCalls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("hostname: mx.example.org\ncolour: red\nlog: {level: loud}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"unknown command", []string{"queu"}, 2, "did you mean queue?"},
		{"unknown below", []string{"queue", "lst"}, 2, "did you mean list?"},
		{"branch alone", []string{"queue"}, 2, "needs one of: list, show"},
		{"unknown flag", []string{"status", "--colour"}, 2, "See `postern status --help`"},
		{"missing argument", []string{"queue", "show"}, 2, "needs a queue ID"},
		{"too many", []string{"queue", "show", "a", "b"}, 2, "one argument too many"},
		{"retry nothing", []string{"queue", "retry"}, 2, "--all"},
		{"retry both", []string{"queue", "retry", "--all", "x"}, 2, "--all"},
		{"bad length", []string{"queue", "hold", "x", "--for", "soon"}, 2, "--for"},
		{"bad since", []string{"trace", "--since", "soon", "x"}, 2, "expected 48h"},
		{"bad language", []string{"scan", "--lang", "de", "x"}, 2, "expected"},
		{"bad address", []string{"scan", "--ip", "x", "y"}, 2, "no address"},
		{"rules", []string{"scan", "--rules", "dir", "x"}, 2, "--rules"},
		{"bad algorithm", []string{"dkim", "new", "x.example", "--algorithm", "md5"}, 2, "expected rsa, ed25519 or both"},
		{"missing file", []string{"scan", "--local", filepath.Join(dir, "none.eml")}, 2, "no such file"},
		{"no server", []string{"status", "--socket", filepath.Join(dir, "none.sock")}, 2, "postern serve"},
		{"no server for a key", []string{"dkim", "new", "x.example", "--socket", filepath.Join(dir, "none.sock")}, 2, "--out FOLDER"},
		{"faulty configuration", []string{"config", "check", bad}, 2, "bad.yaml:2:1"},
		{"every fault is said", []string{"config", "check", bad}, 2, "bad.yaml:3:"},
		{"serve with faults", []string{"serve", "-c", bad}, 2, "bad.yaml:2:1"},
		{"missing configuration", []string{"status", "-c", filepath.Join(dir, "none.yaml")}, 2, "--socket PATH"},
		{"unknown key", []string{"config", "explain", "delivery.retri"}, 1, "did you mean delivery.retry?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			code, _, errs := shell{}.run(t.Context(), tc.args...)
			if code != tc.code || !strings.Contains(errs, tc.says) {
				t.Errorf("exit %d: %s", code, errs)
			}
		})
	}
}

func TestWithoutServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	if err := os.WriteFile(good, fmt.Appendf(nil, "hostname: mx.example.org\ndata_dir: %s\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		says string
	}{
		{"version", []string{"version"}, "postern 1.0-test"},
		{"check", []string{"config", "check", "-c", good}, "good.yaml:1"},
		{"schema", []string{"config", "schema"}, `"$schema"`},
		{"example", []string{"config", "example"}, "hostname:"},
		{"explain", []string{"config", "explain", "delivery.retry"}, "Waits between attempts"},
		{"key", []string{"dkim", "new", "x.example", "--selector", "s", "--algorithm", "both", "--out", filepath.Join(dir, "keys")}, "se._domainkey.x.example. IN TXT"},
		{"completion", []string{"completion", "bash"}, "bash completion"},
		{"completes", []string{"__complete", "queue", "re"}, "release"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, errs := shell{}.run(t.Context(), tc.args...)
			if code != 0 || !strings.Contains(out, tc.says) {
				t.Errorf("exit %d: %s%s", code, out, errs)
			}
		})
	}
	_, schema, _ := shell{}.run(t.Context(), "config", "schema")
	if !json.Valid([]byte(schema)) {
		t.Error("the schema is no JSON")
	}
	info, err := os.Stat(filepath.Join(dir, "keys", "sr.x.example.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
	if code, _, errs := (shell{}).run(t.Context(), "dkim", "new", "x.example", "--selector", "s", "--algorithm", "both", "--out", filepath.Join(dir, "keys")); code != 2 ||
		!strings.Contains(errs, "not overwritten") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// gone is a reader that has closed: `postern config example | head`.
type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestClosedOutput(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	if code := cli.Main(t.Context(), cli.Process{Args: []string{"postern", "config", "example"}, Stdout: gone{}, Stderr: &stderr}); code != 2 {
		t.Errorf("exit %d", code)
	}
}
