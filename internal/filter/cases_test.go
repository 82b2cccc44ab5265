package filter

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/dns/dnstest"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

var update = flag.Bool("update", false, "write the .want files of testdata/cases anew")

// testNow is the time of every case.
var testNow = time.Date(2026, 11, 21, 18, 40, 0, 0, time.UTC)

// goldenCase is testdata/cases/NNN-name: .msg the message, .yaml these facts, .dns records beside world.dns, .want the verdict.
type goldenCase struct {
	name, dir string

	About string   `yaml:"about"`
	Hit   []string `yaml:"hit"`  // tests this case shows firing
	Near  []string `yaml:"near"` // tests that come close here and must not fire

	From          string             `yaml:"from"` // reverse path; "<>": null
	To            []string           `yaml:"to"`
	Client        string             `yaml:"client"`
	Hello         string             `yaml:"hello"`
	Authenticated bool               `yaml:"authenticated"`
	Egress        []string           `yaml:"egress"` // "address HELO"
	SMTPUTF8      bool               `yaml:"smtputf8"`
	Threshold     float64            `yaml:"threshold"`
	Scores        map[string]float64 `yaml:"scores"`
	Sign          string             `yaml:"sign"`    // "domain selector hours": signature the message arrives with, that many hours old
	Tamper        bool               `yaml:"tamper"`  // the body is changed after signing
	Login         string             `yaml:"login"`   // credential
	History       []float64          `yaml:"history"` // scores of the sender's earlier messages
	Domains       []string           `yaml:"domains"` // the customer's
	Lists         []string           `yaml:"lists"`   // "allow ENTRY", "deny ENTRY" for everybody; "own ENTRY" of the sender
	Ceiling       float64            `yaml:"ceiling"` // release ceiling of a sender who may release
	Clamd         string             `yaml:"clamd"`   // what clamd says: "OK", "NAME FOUND", or "unavailable"; empty: not asked
	Rspamd        string             `yaml:"rspamd"`  // what rspamd says: "ACTION/SCORE/REQUIRED/SYMBOL"; empty: not asked
}

func loadCases(t testing.TB) []goldenCase {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	var out []goldenCase
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c := goldenCase{From: "anne@good.example", To: []string{"bob@there.example"}, Client: "198.51.100.7", Hello: "client.good.example",
			Egress: []string{"192.0.2.25 mx.gate.example", "2001:db8::25 mx.gate.example"}}
		if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
			t.Fatal(f, err)
		}
		c.name, c.dir = strings.TrimSuffix(filepath.Base(f), ".yaml"), filepath.Dir(f)
		out = append(out, c)
	}
	return out
}

// raw is the message as the gateway got it: CRLF, with the signature the case asks for.
func (c goldenCase) raw(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, c.name+".msg"))
	if err != nil {
		t.Fatal(err)
	}
	raw := bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	if c.Sign == "" {
		return raw
	}
	var domain, selector string
	var hours int
	if _, err := fmt.Sscan(c.Sign, &domain, &selector, &hours); err != nil {
		t.Fatal(err)
	}
	header, err := dkim.Sign(raw, []dkim.Key{testKey(t, mail.Domain(domain), selector)}, testNow.Add(-time.Duration(hours)*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	raw = append(header, raw...)
	if c.Tamper {
		raw = append(raw, "A line added on the way.\r\n"...)
	}
	return raw
}

func (c goldenCase) input(t testing.TB) Input {
	t.Helper()
	in := Input{Message: mail.Parse(c.raw(t), mail.DefaultLimits()), Hello: c.Hello, Authenticated: c.Authenticated, Credential: c.Login, Now: testNow,
		Customer: account.Customer{ID: "case-" + c.name, Threshold: c.Threshold, SelfRelease: c.Ceiling > 0, ReleaseCeiling: c.Ceiling}}
	for _, d := range c.Domains {
		in.Customer.Domains = append(in.Customer.Domains, mail.Domain(d))
	}
	var err error
	if c.From != "<>" {
		if in.Envelope.ReversePath, err = mail.ParseAddress(c.From); err != nil {
			t.Fatal(err)
		}
	}
	for _, to := range c.To {
		a, err := mail.ParseAddress(to)
		if err != nil {
			t.Fatal(err)
		}
		in.Envelope.Recipients = append(in.Envelope.Recipients, mail.Recipient{Address: a})
	}
	in.Envelope.SMTPUTF8 = c.SMTPUTF8
	in.ClientIP = netip.MustParseAddr(c.Client)
	for _, e := range c.Egress {
		ip, helo, _ := strings.Cut(e, " ")
		in.Egress = append(in.Egress, account.Egress{IP: netip.MustParseAddr(ip), HELO: helo})
	}
	return in
}

// world starts the DNS of a case. Lines ";! MODE NAME" order trouble: servfail, refused, timeout.
func (c goldenCase) world(t testing.TB) *dnstest.Server {
	t.Helper()
	text, err := os.ReadFile("testdata/cases/world.dns")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(filepath.Join(c.dir, c.name+".dns"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	zone := string(text) + "\n" + string(own)
	s := dnstest.Start(t, zone)
	modes := map[string]dnstest.Mode{"servfail": dnstest.ServFail, "refused": dnstest.Refused, "timeout": dnstest.Timeout}
	for line := range strings.Lines(zone) {
		order, ok := strings.CutPrefix(line, ";! ")
		if !ok {
			continue
		}
		f := strings.Fields(order)
		mode, known := modes[f[0]]
		if len(f) != 2 || !known {
			t.Fatalf("%s: order %q", c.name, line)
		}
		s.Fail(f[1], mode)
	}
	return s
}

// testKey is the one key of all cases, under a domain and a selector.
func testKey(t testing.TB, d mail.Domain, selector string) dkim.Key {
	t.Helper()
	pem, err := os.ReadFile("testdata/cases/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	k, err := dkim.ParseKey(pem, d, selector)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// testLedger holds our signing keys of the world's domains.
func testLedger(t testing.TB) *account.Ledger {
	t.Helper()
	db := storetest.SQLite(t, store.MainSchema())
	l, err := account.New(account.Options{DB: db})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, d := range []mail.Domain{"good.example", "unpublished.example", "mismatch.example", "dkimbroken.example", "xn--caf-dma.example"} {
		k := testKey(t, d, "s1")
		if err := l.AddKey(ctx, account.KeyRecord{Domain: d, Selector: "s1", Algorithm: k.Algorithm, PEM: k.PEM(), Active: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

func testFilter(t testing.TB, o Options) *Filter {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return testNow }
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func names(v Verdict) (hits, unknown []string) {
	for _, h := range v.Hits {
		hits = append(hits, h.Test)
	}
	for _, u := range v.Unknown {
		unknown = append(unknown, u.Test)
	}
	return hits, unknown
}

// golden is a verdict as text.
func golden(v Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "score %g raw %g held %t\n", v.Score, v.Raw, v.Held)
	for _, h := range v.Hits {
		fmt.Fprintf(&b, "%+g %s\n", h.Points, h.Test)
		for _, e := range h.Evidence {
			fmt.Fprintf(&b, "    %s\n", e)
		}
	}
	for _, u := range v.Unknown {
		fmt.Fprintf(&b, "? %s\n    %s\n", u.Test, u.Why)
	}
	return b.String()
}

// TestCases runs every case against a real resolver and a real server.
func TestCases(t *testing.T) {
	t.Parallel()
	ledger := testLedger(t)
	experience := testExperience(t)
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range loadCases(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := c.world(t)
			o := Options{Resolver: server.Resolver(t), Accounts: ledger, Scores: c.Scores, Learn: experience, Opinions: c.opinions(t)}
			in := c.input(t)
			if len(c.History) > 0 {
				o.Learn = c.past(t, in)
			}
			if len(c.Lists) > 0 {
				o.Accounts = testLedger(t)
				tunedFor(t, o.Accounts, in.Customer.ID, c.Lists...)
			}
			f := testFilter(t, o)
			v, err := f.Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			hits, unknown := names(v)
			for _, want := range c.Hit {
				if !slices.Contains(hits, want) {
					t.Errorf("%s did not fire", want)
				}
			}
			for _, near := range c.Near {
				if slices.Contains(hits, near) {
					t.Errorf("%s fired", near)
				}
			}
			if len(slices.Compact(slices.Sorted(slices.Values(hits)))) != len(hits) {
				t.Errorf("a test stands twice: %v", hits)
			}
			want := filepath.Join(c.dir, c.name+".want")
			text := golden(v)
			if *update {
				if err := os.WriteFile(want, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if old, err := os.ReadFile(want); err != nil || string(old) != text {
				t.Errorf("%s:\n%s\ngot:\n%s(%v)", want, old, text, err)
			}
			checkTexts(t, catalog, v)
			if len(unknown) == 0 && !slices.Contains(hits, customerAllowed) { // that one depends on what all others find
				// Rules wait for all checks.
				checkEachAlone(t, f, in, slices.DeleteFunc(hits, func(name string) bool { return f.now.Load().book.groups[name] != "" }))
			}
		})
	}
}

// checkTexts proves that every hit carries what its texts want.
func checkTexts(t *testing.T, catalog *locale.Catalog, v Verdict) {
	t.Helper()
	for _, lang := range locale.Languages() {
		missing := catalog.Text(lang, "test.unknown", nil)
		for _, h := range v.Hits {
			e := Explain(catalog, lang, h)
			for _, text := range []string{e.Name, e.Explain, e.Fix} {
				if text == "" || strings.Contains(text, missing) || strings.Contains(text, "no value") || strings.Contains(text, "{{") {
					t.Errorf("%s of %s: %s (args %v)", lang, h.Test, text, h.Args)
				}
			}
		}
	}
}

// checkEachAlone proves that every check reports only tests it names, and that the checks together report what the filter does.
func checkEachAlone(t *testing.T, f *Filter, in Input, all []string) {
	t.Helper()
	var found []string
	for _, c := range checks() {
		alone := *f.now.Load()
		alone.checks = []check{c}
		g := new(Filter)
		g.now.Store(&alone)
		v, err := g.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		hits, unknown := names(v)
		for _, name := range slices.Concat(hits, unknown) {
			if !slices.Contains(c.tests, name) {
				t.Errorf("check %s reported %s", c.name, name)
			}
		}
		found = append(found, hits...)
	}
	slices.Sort(found)
	if slices.Sort(all); !slices.Equal(found, all) {
		t.Errorf("checks alone reported %v, together %v", found, all)
	}
}

// TestEveryTestHasCases proves that every row of the catalogue fires in a case and nearly fires in another.
func TestEveryTestHasCases(t *testing.T) {
	t.Parallel()
	hit, near := map[string]string{}, map[string]string{}
	catalogue := map[string]bool{}
	for _, test := range nativeTests() {
		if catalogue[test.Name] {
			t.Errorf("%s stands twice in the catalogue", test.Name)
		}
		catalogue[test.Name] = true
	}
	for _, c := range loadCases(t) {
		for _, n := range c.Hit {
			hit[n] = c.name
		}
		for _, n := range c.Near {
			near[n] = c.name
		}
		for _, n := range slices.Concat(c.Hit, c.Near) {
			if !catalogue[n] {
				t.Errorf("%s: no test %s", c.name, n)
			}
		}
	}
	for _, x := range scenarios {
		for _, n := range x.shows {
			hit[n] = x.name
		}
		for _, n := range x.near {
			near[n] = x.name
		}
	}
	owner := map[string]string{}
	for _, c := range checks() {
		for _, n := range c.tests {
			if owner[n] != "" || !catalogue[n] {
				t.Errorf("%s of check %s: owned by %q, in catalogue %t", n, c.name, owner[n], catalogue[n])
			}
			owner[n] = c.name
		}
	}
	for n := range catalogue {
		if n == noOpinion {
			hit[n] = "never: it stands among the unknown only"
		}
		if hit[n] == "" || near[n] == "" || owner[n] == "" {
			t.Errorf("%s: hit in case %q, near miss in case %q, check %q", n, hit[n], near[n], owner[n])
		}
	}
}

// TestEveryNetworkCheckHasAnUnknownCase proves that trouble with the DNS is shown for every check that asks it, and never as a hit.
func TestEveryNetworkCheckHasAnUnknownCase(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range loadCases(t) {
		want, err := os.ReadFile(filepath.Join(c.dir, c.name+".want"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(want)) {
			if name, ok := strings.CutPrefix(line, "? "); ok {
				seen[strings.TrimSpace(name)] = true
			}
		}
	}
	for _, c := range checks() {
		if c.network && !slices.ContainsFunc(c.tests, func(n string) bool { return seen[n] }) {
			t.Errorf("check %s: no case in which it is not measured", c.name)
		}
	}
}

// TestTextsOfEveryTest proves that every test has its texts in every language.
func TestTextsOfEveryTest(t *testing.T) {
	t.Parallel()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range locale.Languages() {
		operator := map[string]string{"en": "You have nothing to change", "fr": "Vous n'avez rien à changer"}[lang]
		for _, test := range Tests() {
			full := map[string]string{}
			for _, p := range placeholders {
				full[p] = "VALUE"
			}
			for _, h := range []Hit{{Test: test.Name}, {Test: test.Name, Args: full}} {
				e := Explain(catalog, lang, h)
				for part, text := range map[string]string{"name": e.Name, "explain": e.Explain, "fix": e.Fix} {
					if text == "test."+test.Name+"."+part || text == "" {
						t.Errorf("%s: no text %s.%s", lang, test.Name, part)
					}
					if strings.ContainsAny(text, "{}") || strings.Contains(text, "no value") || strings.Contains(strings.ReplaceAll(text, "`", " "), " ? ") && lang == "en" {
						t.Errorf("%s %s.%s: %s", lang, test.Name, part, text)
					}
				}
				if n := len([]rune(e.Name)); n > 60 || strings.Contains(e.Name, "\n") {
					t.Errorf("%s: name of %s has %d letters: %s", lang, test.Name, n, e.Name)
				}
				if test.Operator && test.Points >= 0 && !strings.Contains(strings.ReplaceAll(e.Fix, "\u00a0", " "), operator) {
					t.Errorf("%s: %s does not say that the sender has nothing to change: %s", lang, test.Name, e.Fix)
				}
			}
		}
		for _, g := range []Group{GroupIdentity, GroupLists, GroupHeader, GroupContent, GroupExperience, GroupBehaviour, GroupOpinion, GroupDanger, GroupSpam, GroupRules} {
			if title := GroupTitle(catalog, lang, g); strings.HasPrefix(title, "test.") {
				t.Errorf("%s: no title of group %s", lang, g)
			}
		}
	}
}
