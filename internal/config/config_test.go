package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/config"
	"postern/internal/smtp"
)

var update = flag.Bool("update", false, "rewrite the expected messages")

func noEnv(string) (string, bool) { return "", false }

func parse(t testing.TB, text string) (*config.Config, error) {
	t.Helper()
	return config.Source{Env: noEnv}.Parse(config.File{Name: "x.yaml", Data: []byte(text)})
}

func mustParse(t testing.TB, text string) *config.Config {
	t.Helper()
	c, err := parse(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func defaults(t testing.TB) *config.Config {
	t.Helper()
	c, err := config.Default()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("only %d files (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := config.Source{Env: noEnv}.Parse(config.File{Name: file, Data: data})
			if err == nil || c != nil {
				t.Fatal("accepted")
			}
			var problems config.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("error of type %T", err)
			}
			got := strings.ReplaceAll(err.Error(), "testdata/bad/", "") + "\n"
			want := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(expected) {
				t.Errorf("got\n%s\nwant\n%s", got, expected)
			}
			if strings.Contains(got, "hunter2") || strings.Contains(got, "very-secret") {
				t.Error("a secret is shown")
			}
			for line := range strings.Lines(got) {
				if !regexp.MustCompile(`^\d\d-[a-z0-9-]+\.yaml:\d+:\d+: .`).MatchString(line) {
					t.Errorf("no place: %s", line)
				}
			}
		})
	}
}

func TestGoodConfiguration(t *testing.T) {
	t.Parallel()
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"LEVEL": "debug", "SMARTHOST_PASSWORD": "hunter2"}[name]
		return v, ok
	}
	for _, path := range []string{"testdata/good", "testdata/good/postern.yaml"} {
		c, err := config.Source{Env: env}.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			name      string
			got, want any
		}{
			{"folder beside the file", c.DataDir, "testdata/good/state"},
			{"scalar for a list", fmt.Sprint(c.Listen.Web), "[127.0.0.1:8025]"},
			{"empty list", len(c.Listen.Submission.Address), 0},
			{"IPv6", c.Listen.Relay.Address[1], netip.MustParseAddrPort("[2001:db8::10]:25")},
			{"secret file", string(c.Web.Secret), "secret-of-32-characters-or-more-01"},
			{"secret variable", string(c.Delivery.Smarthost.Password), "hunter2"},
			{"list replaced", fmt.Sprint(c.Delivery.Retry), "[2m0s]"},
			{"mapping merged", c.Delivery.Smarthost.Host, "127.0.0.1"},
			{"last file wins", c.Limits.Recipients, 600},
			{"size", c.Limits.MessageSize, config.Size(25_000_000)},
			{"variable", c.Log.Level, "debug"},
			{"number as text", c.Customers[1].Name, "42"},
			{"canonical domains", fmt.Sprint(c.Customers[1].Domains), "[xn--exmple-cua.org example.net]"},
			{"default of an item", c.Customers[0].Mode, "hold"},
			{"default beside", c.Limits.Connections, 4000},
			{"map", c.Filter.Scores["MIME_HTML_ONLY"], 0.5},
			{"bool map", c.Filter.DNSBL.Zones["zen.spamhaus.org"], false},
			{"origin", c.Origin("limits.recipients").String(), "testdata/good/conf.d/20-log.yaml:5"},
			{"origin of an item", c.Origin("customers[1].networks[1]").Line, 23},
			{"origin of a default", c.Origin("limits.hops").String(), "default"},
			{"socket", c.AdminSocket(), "testdata/good/state/admin.sock"},
			{"storage", c.StorageURL("spool.db"), "sqlite:testdata/good/state/spool.db"},
			{"base", c.BaseURL(), "https://mail.example.org"},
			{"files", len(c.Files), 3},
		} {
			if !reflect.DeepEqual(tc.got, tc.want) {
				t.Errorf("%s: got %v, want %v", tc.name, tc.got, tc.want)
			}
		}
		customers, source := c.Accounts()
		if len(customers) != 2 || source != "testdata/good/postern.yaml" || customers[0].Threshold != 3 || customers[1].Threshold != 4.5 || customers[0].Origin != account.OriginConfig {
			t.Errorf("Accounts: %+v, %s", customers, source)
		}
		if pools := c.Delivery.AccountPools(); len(pools) != 1 || len(pools[0].Egress) != 2 || pools[0].Egress[0].HELO != "bulk1.example.org" {
			t.Errorf("pools: %+v", pools)
		}
		dump := c.Effective() + fmt.Sprintf("%v %+v %#v", c, c, c)
		if strings.Contains(dump, "hunter2") || strings.Contains(dump, "secret-of-32") {
			t.Error("a secret is shown")
		}
		if !strings.Contains(dump, "recipients: 600  # testdata/good/conf.d/20-log.yaml:5") || !strings.Contains(dump, `password_file: "(secret)"  # testdata/good/postern.yaml:37`) {
			t.Errorf("effective:\n%s", c.Effective())
		}
	}
}

func TestZeroConfig(t *testing.T) {
	t.Parallel()
	c, err := config.Source{Env: noEnv}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Customers) != 1 || c.Customers[0].ID != "local" || !c.Customers[0].AnyFrom || len(c.Warnings) != 0 || len(c.Files) != 0 {
		t.Errorf("%+v", c)
	}
	for _, addrs := range [][]netip.AddrPort{c.Listen.Relay.Address, c.Listen.Submission.Address, c.Listen.Submissions.Address, c.Listen.Web, c.Listen.Metrics} {
		for _, a := range addrs {
			if !a.Addr().IsLoopback() {
				t.Errorf("%s is no loopback address", a)
			}
		}
	}
	customers, _ := c.Accounts()
	for _, a := range customers {
		if err := a.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestLoadReportsMissingFiles(t *testing.T) {
	t.Parallel()
	if _, err := config.Load(filepath.Join(t.TempDir(), "nothing.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"postern.yaml": "", "conf.d/a.yml": "log: {level: debug}", "conf.d/README": "x: y"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings.Error(), "a.yml") || c.Log.Level != "info" {
		t.Errorf("warnings: %v", c.Warnings)
	}
}

func TestExampleSaysTheDefaults(t *testing.T) {
	t.Parallel()
	example := config.Example()
	c := mustParse(t, example)
	changed, restart := config.Diff(defaults(t), c)
	if len(changed)+len(restart) > 0 {
		t.Errorf("the example differs from the defaults in %v", changed)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	for _, k := range config.Table() {
		last := k.Path[strings.LastIndex(k.Path, ".")+1:]
		if last == "*" {
			last = "NAME"
		}
		if !strings.Contains(example, last+":") {
			t.Errorf("%s is not in the example", k.Path)
		}
		for _, word := range strings.Fields(k.Doc) {
			if !strings.Contains(example, word) {
				t.Errorf("%s: %q of its meaning is not in the example", k.Path, word)
			}
		}
	}
}

// TestEffectiveLoadsAgain: the dump is a configuration too.
func TestEffectiveLoadsAgain(t *testing.T) {
	t.Parallel()
	text := `
customers:
  - {id: acme, networks: [192.0.2.0/24], domains: [example.org], contact: '"odd # one"@example.org', name: "a: b # c"}
delivery: {pools: {bulk: [{ip: 192.0.2.1, helo: a.example.org}, {ip: "2001:db8::1"}]}}
filter: {scores: {SPF_FAIL: 1.25}, dnsbl: {extra: [{name: own, zone: bl.example.org}]}}
held: {keep: 90m}
limits: {message_size: 1500KB}
`
	c := mustParse(t, text)
	again := mustParse(t, c.Effective())
	if changed, _ := config.Diff(c, again); len(changed) > 0 {
		t.Errorf("%v differ after\n%s", changed, c.Effective())
	}
	if !strings.Contains(c.Effective(), "keep: 1h30m  # x.yaml:6") {
		t.Error(c.Effective())
	}
}

// TestTableAndStructsHaveTheSameKeys: every key has a field and every field a row.
func TestTableAndStructsHaveTheSameKeys(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := f.Tag.Get("key")
			if name == "" {
				continue
			}
			p := strings.TrimPrefix(path+"."+name, ".")
			have[p] = true
			ft := f.Type
			for ft.Kind() == reflect.Slice || ft.Kind() == reflect.Map {
				if ft.Kind() == reflect.Map {
					p += ".*"
					have[p] = true
				} else if ft.Elem().Kind() == reflect.Struct && hasKeys(ft.Elem()) {
					p += "[]"
				}
				ft = ft.Elem()
			}
			if ft.Kind() == reflect.Struct && hasKeys(ft) {
				walk(ft, p)
			}
		}
	}
	walk(reflect.TypeFor[config.Config](), "")
	rows := map[string]bool{}
	for _, k := range config.Table() {
		if rows[k.Path] {
			t.Errorf("%s stands twice in the table", k.Path)
		}
		rows[k.Path] = true
		if !have[k.Path] {
			t.Errorf("%s has no field", k.Path)
		}
		if len(k.Doc) < 8 || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: %q is no full sentence", k.Path, k.Doc)
		}
		if (k.Min == "") != (k.Max == "") {
			t.Errorf("%s: half a range", k.Path)
		}
	}
	for path := range have {
		if !rows[path] {
			t.Errorf("%s has no row in the table", path)
		}
	}
}

func hasKeys(t reflect.Type) bool {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("key") != "" {
			return true
		}
	}
	return false
}

// TestSamplesLoad: what the example shows as possible is possible.
func TestSamplesLoad(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, k := range config.Table() {
		if k.Sample == "" || strings.HasSuffix(k.Path, "_file") {
			continue
		}
		lines, indent := "", ""
		path := strings.ReplaceAll(k.Path, ".*", ".name")
		parts := strings.Split(path, ".")
		for i, part := range parts {
			name, item := strings.CutSuffix(part, "[]")
			if i == len(parts)-1 {
				lines += indent + name + ": " + k.Sample + "\n"
				if strings.HasPrefix(k.Path, "web.oidc.") {
					for _, sibling := range []string{"issuer: https://id.example.org", "client_id: x", "operator_group: x"} {
						if other, _, _ := strings.Cut(sibling, ":"); other != name {
							lines += indent + sibling + "\n"
						}
					}
				}
				break
			}
			lines += indent + name + ":\n"
			indent += "  "
			if item {
				lines += indent + "- "
				indent += "  "
				if strings.HasPrefix(k.Path, "customers") && !strings.HasSuffix(k.Path, ".id") {
					lines += "id: x\n" + indent
				} else if strings.Contains(k.Path, "extra") && !strings.HasSuffix(k.Path, ".name") {
					lines += "name: x\n" + indent
				} else if strings.Contains(k.Path, "pools") && !strings.HasSuffix(k.Path, ".ip") {
					lines += "ip: 192.0.2.1\n" + indent
				}
				if strings.Contains(k.Path, "extra") && !strings.HasSuffix(k.Path, ".zone") {
					lines += "zone: example.org\n" + indent
				}
				if strings.Contains(k.Path, "webhooks") {
					for _, sibling := range []string{"name: x", "url: https://hooks.example.org/x", "secret_file: " + secret} {
						if name, _, _ := strings.Cut(sibling, ":"); name != parts[i+1] {
							lines += sibling + "\n" + indent
						}
					}
				}
				lines += parts[i+1] + ": " + k.Sample + "\n"
				break
			}
		}
		if _, err := parse(t, lines); err != nil && !(k.Path == "delivery.smarthost.user") {
			t.Errorf("%s: %v in\n%s", k.Path, err, lines)
		}
	}
}

func TestLimitsAreThoseOfTheServer(t *testing.T) {
	t.Parallel()
	got, want := defaults(t).Limits.SMTP(), smtp.DefaultLimits()
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	t.Parallel()
	s := config.Secret("hunter2")
	data, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprintf("%v %+v %#v %s %q ", s, s, s, s, s) + string(data); strings.Contains(all, "hunter2") {
		t.Error(all)
	}
	c := mustParse(t, "storage: {url: postgres://postern@db.example.org/postern?sslmode=require}")
	c.Storage.Password = "p@ss/word"
	if got := c.StorageURL("x"); got != "postgres://postern:p%40ss%2Fword@db.example.org/postern?sslmode=require" {
		t.Error(got)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	old := mustParse(t, "log: {level: info}\ncustomers: [{id: a, networks: [192.0.2.0/24]}]\ndelivery: {pools: {a: [{ip: 192.0.2.1}]}}")
	changed, restart := config.Diff(old, mustParse(t, "log: {level: debug, format: json}\ncustomers: [{id: a, networks: [192.0.2.0/25]}]\nlisten: {web: '127.0.0.1:1'}\nfilter: {scores: {A_B: 1}}"))
	if want := "[customers[0].networks delivery.pools.a[0].helo delivery.pools.a[0].ip delivery.pools.a[0].warm_since filter.scores.A_B listen.web log.format log.level]"; fmt.Sprint(changed) != want {
		t.Errorf("changed %v, want %v", changed, want)
	}
	if want := "[delivery.pools.a[0].helo delivery.pools.a[0].ip delivery.pools.a[0].warm_since listen.web log.format]"; fmt.Sprint(restart) != want {
		t.Errorf("restart %v, want %v", restart, want)
	}
	secret := mustParse(t, "")
	secret.Web.Secret = "one"
	other := mustParse(t, "")
	other.Web.Secret = "two"
	if changed, _ := config.Diff(secret, other); !slices.Equal(changed, []string{"web.secret_file"}) {
		t.Errorf("secret: %v", changed)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "held: {keep: 24h}\n")
	for path, want := range map[string][]string{
		"held.keep":         {"value:   24h", "from:    x.yaml:1", "default: 72h", "meaning:"},
		"customers[0].mode": {"value:   hold", "from:    default"},
		"customers[].mode":  {"one of: hold, reject"},
		"delivery":          {"meaning:"},
	} {
		text, ok := c.Explain(path)
		for _, w := range want {
			if !ok || !strings.Contains(text, w) {
				t.Errorf("%s: %q is missing in\n%s", path, w, text)
			}
		}
	}
	if text, ok := c.Explain("held.kep"); ok || !strings.Contains(text, "did you mean held.keep?") {
		t.Errorf("unknown key: %s", text)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"container gateway", "listen: {relay: {address: '0.0.0.0:25'}}\ncustomers: [{id: a, networks: [172.17.0.0/16]}]", "customers[0].networks[0]: 172.17.0.0/16 may hold a container gateway"},
		{"relay for nobody", "listen: {relay: {address: '0.0.0.0:25'}}", "listen.relay.address: the relay is reached from outside, but no customer"},
		{"metrics", "listen: {metrics: '0.0.0.0:9025'}", "listen.metrics[0]: 0.0.0.0:9025 is reached"},
		{"no service", "listen: {relay: {address: []}, submission: {address: []}, submissions: {address: []}}", "no SMTP service"},
		{"no customers", "customers: []", "nobody may send"},
		{"clear delivery", "delivery: {tls: none}", "in the clear"},
		{"port", "delivery: {port: 2526}", "is for tests"},
		{"filter off", "filter: {enabled: false}", "untested"},
		{"late notice", "delivery: {expire: 3h}", "nobody is told"},
		{"short link", "held: {keep: 10d, link_ttl: 1d}", "stops working"},
		{"useless smarthost key", "delivery: {smarthost: {user: x}}", "delivery.smarthost.user: has no effect"},
		{"short name", "hostname: gate", "no full host name"},
		{"virus scanner with a small measure", "filter: {clamd: {address: '127.0.0.1:3310'}}", "filter.clamd.max_size: smaller than limits.message_size (50MiB): messages between are refused"},
		{"virus scanner with a small measure, open", "filter: {clamd: {address: 'unix:/run/clamd.ctl', on_error: pass}}", "without a look for viruses"},
		{"soft errors", "limits: {soft_errors: 50}", "never delayed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustParse(t, tc.text)
			if len(c.Warnings) != 1 || !strings.Contains(c.Warnings.Error(), tc.want) {
				t.Errorf("got %q, want one about %q", c.Warnings.Error(), tc.want)
			}
		})
	}
}

// TestNoConfigurationIsAnOpenRelay tries every listener with every way of trusting somebody: what loads
// trusts only networks that CheckNetwork lets through, and no password travels without TLS.
func TestNoConfigurationIsAnOpenRelay(t *testing.T) {
	t.Parallel()
	loaded := 0
	for _, relay := range []string{"127.0.0.1:25", "0.0.0.0:25", "'[::]:25'"} {
		for _, submission := range []string{"127.0.0.1:587", "0.0.0.0:587", "'[::]:587'", "[]"} {
			for _, network := range []string{"0.0.0.0/0", "'::/0'", "128.0.0.0/1", "8.0.0.0/7", "'2000::/3'", "'::ffff:0:0/96'", "'64:ff9b::/96'", "'2002::/16'", "192.0.2.0/24", "'2001:db8::/32'", "10.0.0.0/8"} {
				for _, anyFrom := range []bool{true, false} {
					c, err := parse(t, fmt.Sprintf("listen: {relay: {address: %s}, submission: {address: %s}}\ncustomers: [{id: a, networks: [%s], any_from: %v}]", relay, submission, network, anyFrom))
					if err != nil {
						continue
					}
					loaded++
					for _, a := range c.Listen.Submission.Address {
						if !a.Addr().IsLoopback() {
							t.Errorf("submission on %s without certificate", a)
						}
					}
					for _, stranger := range []string{"203.0.113.77", "2a00:1450::1", "1.1.1.1", "64:ff9b::101:101"} {
						for _, n := range c.Customers[0].Networks {
							if n.Contains(netip.MustParseAddr(stranger)) {
								t.Errorf("%s trusts %s", n, stranger)
							}
						}
					}
				}
			}
		}
	}
	if want := 3 * 2 * 3 * 2; loaded != want {
		t.Errorf("%d configurations loaded, want %d", loaded, want)
	}
}

func TestLoadIsFast(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("customers:\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "  - {id: c%d, networks: [10.%d.%d.0/24], domains: [c%d.example.org]}\n", i, i/256, i%256, i)
	}
	start := time.Now()
	if c := mustParse(t, b.String()); len(c.Customers) != 5000 {
		t.Error(len(c.Customers))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("5000 customers took %v", took)
	} else {
		t.Logf("5000 customers took %v", took)
	}
}

func BenchmarkParse(b *testing.B) {
	text := config.Example()
	b.ReportAllocs()
	for b.Loop() {
		mustParse(b, text)
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add(config.Example())
	source := config.Source{Env: noEnv, ReadFile: func(string) ([]byte, error) { return []byte("secret-of-32-characters-or-more-01"), nil }}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := source.Parse(config.File{Name: "x.yaml", Data: []byte(text)})
		if (c == nil) == (err == nil) {
			t.Fatal("neither or both of configuration and error")
		}
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		customers, _ := c.Accounts()
		for _, a := range customers {
			if err := a.Validate(); err != nil {
				t.Errorf("customer %q: %v", a.ID, err)
			}
		}
		if _, err := source.Parse(config.File{Name: "y.yaml", Data: []byte(strings.ReplaceAll(c.Effective(), `_file: "(secret)"`, `_file: secret`))}); err != nil {
			t.Errorf("the effective configuration does not load: %v\n%s", err, c.Effective())
		}
	})
}

// TestTuning: points and lists of the file reach the ledger in its own form, and survive being printed and read again.
func TestTuning(t *testing.T) {
	t.Parallel()
	c, err := parse(t, `
customers:
  - {id: first, domains: [first.example]}
  - id: "42"
    scores: {SPF_NONE: -0.5, DKIM_NONE: 0}
    allow: "to:Bob@partner.example"
    deny: ["from:shop@example.net until 2036-01-31 -- hacked: twice", "client:198.51.100.7"]
filter:
  scores: {MIME_HTML_ONLY: 0.5, SPF_FAIL: 0}
  allow: [credential:monitoring]
`)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var got []string
		tuning := c.Tuning()
		for _, o := range tuning.Overrides {
			got = append(got, fmt.Sprintf("%s %s %v", o.Scope, o.Test, o.Points))
		}
		for _, e := range tuning.Entries {
			got = append(got, fmt.Sprintf("%s %s %s %s %s", e.Scope, e.Kind, e, e.Until.Format(time.DateOnly), e.Note))
		}
		slices.Sort(got)
		want := []string{" MIME_HTML_ONLY 0.5", " SPF_FAIL 0", " allow credential:monitoring 0001-01-01 ", "42 DKIM_NONE 0", "42 SPF_NONE -0.5",
			"42 allow to:bob@partner.example 0001-01-01 ", "42 deny client:198.51.100.7 0001-01-01 ", "42 deny from:shop@example.net 2036-02-01 hacked: twice"}
		if !slices.Equal(got, want) {
			t.Errorf("%q\nwant %q", got, want)
		}
		if c, err = parse(t, c.Effective()); err != nil {
			t.Fatal(err)
		}
	}
	doubtful, err := parse(t, `{filter: {allow: ["from:a@b.example", "to:a@b.example"]}}`) // the customer of no file at all may write any From
	if err != nil || !strings.Contains(doubtful.Warnings.Error(), "filter.allow[0]: whoever sends through customer local") || strings.Contains(doubtful.Warnings.Error(), "allow[1]") {
		t.Errorf("%v %v", doubtful.Warnings, err)
	}
	if s := c.CustomerScores(); len(s) != 1 || s["42"]["SPF_NONE"] != -0.5 {
		t.Errorf("%v", s)
	}
}
