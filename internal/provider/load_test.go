package provider_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/provider"
)

func load(t testing.TB, dirs ...string) *provider.Knowledge {
	t.Helper()
	k, err := provider.Load(dirs)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// folder writes files of an operator.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestRulesAreReached: each line of a rule's tests reaches that rule and no other, so that no rule is dead or stands behind one that swallows it.
func TestRulesAreReached(t *testing.T) {
	t.Parallel()
	k := load(t)
	reached := map[string]bool{}
	everyLine(k, func(name string, r *provider.Rule, line string) {
		got := k.Classify(r.Question(name, line))
		if got.Rule != r.ID {
			t.Errorf("%s:%d: %s: %q reaches %q", r.File, r.Line, r.ID, line, got.Rule)
		}
		reached[got.Rule] = true
		if k.Rule(r.ID) != r {
			t.Errorf("%s: found %v by its name", r.ID, k.Rule(r.ID))
		}
	})
	for _, id := range []string{"", "any", "any/", "free/nothing", "nobody/nothing"} {
		if r := k.Rule(id); r != nil {
			t.Errorf("%q names %s", id, r.ID)
		}
	}
	// Each alternative of a text, too, must be able to match: as an answer of its own words.
	for _, p := range k.Providers() {
		for _, r := range p.Rules {
			for _, text := range r.Texts {
				if strings.HasPrefix(text, "re:") {
					continue
				}
				words := strings.NewReplacer("#", "192.0.2.1", "@", "a@example.org", " * ", " xx ", "*", "").Replace(text)
				a := provider.Answer{Provider: p.Name, Text: words}
				if len(r.Phases) > 0 {
					a.Phase = r.Phases[0]
				}
				if len(r.Codes) > 0 {
					a.Code = map[int]int{1: 100, 2: 10, 3: 1}[len(r.Codes[0])] * atoi(t, r.Codes[0])
				}
				if len(r.Enhanced) > 0 {
					a.Enhanced = strings.Replace(strings.Split(r.Enhanced[0], "-")[0], "x", "5", 1)
				}
				if got := k.Classify(a); got.Rule != r.ID {
					t.Errorf("%s:%d: %s: its text %q reaches %q", r.File, r.Line, r.ID, text, got.Rule)
				}
			}
		}
	}
	if len(reached) < 150 {
		t.Errorf("only %d rules", len(reached))
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n := 0
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

// TestBehind: each provider by a real exchanger, and each way of recognising one.
func TestBehind(t *testing.T) {
	t.Parallel()
	k := load(t)
	seen := map[string]bool{}
	for _, tc := range []struct {
		exchangers string
		want       string
	}{
		{"mx1.free.fr mx2.free.fr", "free"},
		{"MX1.FREE.FR.", "free"},
		{"smtp-in.orange.fr smtp-in2.orange.fr", "orange"},
		{"smtpz4.laposte.net", "laposte"},
		{"smtp-in.sfr.fr", "sfr"},
		{"mx1.bbox.fr mx2.bbox.fr", "bouygues"},
		{"gmail-smtp-in.l.google.com alt1.gmail-smtp-in.l.google.com alt4.gmail-smtp-in.l.google.com", "google"},
		{"aspmx.l.google.com alt1.aspmx.l.google.com aspmx2.googlemail.com", "google"},
		{"smtp.google.com", "google"},
		{"outlook-com.olc.protection.outlook.com", "microsoft-consumer"},
		{"customer-fr.mail.protection.outlook.com", "microsoft365"},
		{"customer-fr.n-v1.mx.microsoft", "microsoft365"},
		{"mta5.am0.yahoodns.net mta6.am0.yahoodns.net", "yahoo"},
		{"mx-aol.mail.gm0.yahoodns.net", "yahoo"},
		{"mx01.mail.icloud.com mx02.mail.icloud.com", "apple"},
		{"mx00.gmx.net mx01.gmx.net", "gmx"},
		{"mx-ha02.web.de mx-ha03.web.de", "gmx"},
		{"mx00.ionos.fr mx01.ionos.fr", "ionos"},
		{"mx00.kundenserver.de", "ionos"},
		{"mx1.mail.ovh.net mx2.mail.ovh.net mx3.mail.ovh.net", "ovh"},
		{"redirect.ovh.net", "ovh"},
		{"spool.mail.gandi.net fb.mail.gandi.net", "gandi"},
		{"eu-smtp-inbound-1.mimecast.com eu-smtp-inbound-2.mimecast.com", "mimecast"},
		{"mxa-00112233.gslb.pphosted.com", "proofpoint"},
		{"d12345a.ess.barracudanetworks.com", "barracuda"},
		{"route1.mx.cloudflare.net", "cloudflare"},
		{"mxs.mail.ru", "mailru"},
		{"mx1.qq.com mx2.qq.com", "qq"},
		{"163mx01.mxmail.netease.com", "netease"},
		{"mx1a1.comcast.net", "comcast"},
		{"mx0.charter.net", "cox"},
		{"mx.tb.mail.iss.as9143.net", "ziggo"},
		{"smtpin.vvv.facebook.com", "facebook"},
		{"mfsmax.docomo.ne.jp", "docomo"},
		{"lsean.ezweb.ne.jp", "kddi"},
		{"cluster1.us.messagelabs.com cluster1a.us.messagelabs.com", "messagelabs"},
		{"mailin-01.mx.aol.com", "aol"},

		{"", "default"},
		{"mx.example.net", "default"},
		{"mx1.free.fr mx.example.net", "default"},    // a domain with one exchanger of its own
		{"mx1.free.fr smtp-in.orange.fr", "default"}, // two providers
		{"notfree.fr", "default"},                    // a name that only ends alike
		{"free.fr", "default"},                       // the suffix itself is no name below it
		{"home.hd.free.fr", "default"},               // a subscriber's own machine
		{"lfbn-1-2.w90-1.abo.wanadoo.fr", "default"},
		{"c-192-0-2-1.hsd1.ca.comcast.net", "default"},
		{"static.sta.abo.bbox.fr", "default"},
		{"vps-1234.vps.ovh.net", "default"}, // a customer's own machine
		{"mail.protection.outlook.com.evil.test", "default"},
		{". .. ", "default"},
	} {
		p := k.Behind("customer.example", strings.Fields(tc.exchangers))
		if p.Name != tc.want {
			t.Errorf("%q: %s, want %s", tc.exchangers, p.Name, tc.want)
		}
		seen[p.Name] = true
	}
	for _, p := range k.Providers() {
		if !seen[p.Name] {
			t.Errorf("%s: no real exchanger in this test leads to it", p.Name)
		}
		for _, mx := range p.Who.MX {
			if got := k.Behind("customer.example", []string{strings.ReplaceAll(mx, "*", "x1")}); got != p {
				t.Errorf("%s: its entry %s leads to %s", p.Name, mx, got.Name)
			}
		}
		for _, d := range p.Who.Mailboxes {
			if got := k.Behind(d, nil); got != p {
				t.Errorf("%s: its domain %s leads to %s", p.Name, d, got.Name)
			}
			if got := k.Behind(d, []string{"mx.example.net"}); got != k.Default() {
				t.Errorf("%s: exchangers tell before names of mailboxes, found %s", d, got.Name)
			}
		}
	}
}

// TestFrenchDomains: what French people have behind their @.
func TestFrenchDomains(t *testing.T) {
	t.Parallel()
	k := load(t)
	for domain, want := range map[mail.Domain]string{"free.fr": "free", "aliceadsl.fr": "free", "orange.fr": "orange", "wanadoo.fr": "orange", "voila.fr": "orange", "sfr.fr": "sfr",
		"neuf.fr": "sfr", "club-internet.fr": "sfr", "numericable.fr": "sfr", "noos.fr": "sfr", "cegetel.net": "sfr", "laposte.net": "laposte", "bbox.fr": "bouygues", "gmail.com": "google",
		"hotmail.fr": "microsoft-consumer", "live.fr": "microsoft-consumer", "outlook.fr": "microsoft-consumer", "yahoo.fr": "yahoo", "icloud.com": "apple", "gmx.fr": "gmx", "acme.example": "default"} {
		if got := k.Behind(domain, nil); got.Name != want {
			t.Errorf("%s: %s, want %s", domain, got.Name, want)
		}
	}
}

// TestShipped holds our own data to what it promises.
func TestShipped(t *testing.T) {
	t.Parallel()
	k := load(t)
	if len(k.Providers()) < 17 || k.Providers()[len(k.Providers())-1] != k.Default() || k.Default().Name != "default" {
		t.Fatalf("providers: %d", len(k.Providers()))
	}
	for _, p := range k.Providers() {
		if p.Limits.Connections == 0 || p.Limits.PerConnection == 0 || p.Limits.PerMessage == 0 {
			t.Errorf("%s: limits %+v", p.Name, p.Limits)
		}
		published := slices.ContainsFunc(p.Sources, func(s provider.Source) bool { return s.Address != "" })
		if !published && !slices.Contains(p.Careful, "limits.connections") {
			t.Errorf("%s: without a page that tells it, a limit is a careful value of ours", p.Name)
		}
		if p.Group != "" && k.GroupTitle(p.Group) == "" {
			t.Errorf("%s: group %s", p.Name, p.Group)
		}
		if k.Provider(p.Name) != p {
			t.Errorf("%s is not found by its name", p.Name)
		}
	}
	for name, want := range map[string]provider.Limits{
		"orange": {Connections: 2, PerConnection: 100, PerMessage: 100}, "laposte": {Connections: 2, PerConnection: 100, PerMessage: 100},
		"google": {Connections: 5, PerConnection: 50, PerMessage: 100, TLS: "required"}, "apple": {Connections: 10, PerConnection: 5, PerMessage: 100}, "default": {Connections: 10, PerConnection: 100, PerMessage: 100},
	} {
		if got := k.Provider(name).Limits; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if y := k.Provider("yahoo"); y.Limits.PerConnection != 20 || y.Retry.For != 48*time.Hour || y.Retry.Every[len(y.Retry.Every)-1] != 4*time.Hour {
		t.Errorf("yahoo: %+v %+v", y.Limits, y.Retry)
	}
	if f := k.Provider("free"); f.Governor.Unknown == 0 || f.Governor.Pause == 0 {
		t.Errorf("free: governor %+v", f.Governor)
	}
	if m := k.Provider("microsoft-consumer"); m.Floor != 100 {
		t.Errorf("microsoft-consumer: floor %d", m.Floor)
	}
	group := map[string]bool{}
	for _, p := range k.Providers() {
		if p.Group == "french-filter" {
			group[p.Name] = true
		}
	}
	if !reflect.DeepEqual(group, map[string]bool{"orange": true, "laposte": true, "sfr": true}) {
		t.Errorf("french-filter: %v", group)
	}
}

// TestDeterminism: the same question has the same answer, from the same knowledge and from one that was read again.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	a, b := load(t), load(t)
	everyLine(a, func(name string, r *provider.Rule, line string) {
		q := r.Question(name, line)
		first := a.Classify(q)
		for range 3 {
			if again := a.Classify(q); !reflect.DeepEqual(first, again) {
				t.Errorf("%s: %+v, then %+v", r.ID, first, again)
			}
		}
		if other := b.Classify(q); !reflect.DeepEqual(first, other) {
			t.Errorf("%s: %+v, in another %+v", r.ID, first, other)
		}
	})
}

const labHead = "name: lab\ntitle: Lab\nabout: {en: A test., fr: Un essai.}\nsources: [{what: a test, read: 2026-11-22}]\nwho: {mx: [\"*.lab.test\"]}\n"

// TestFaults: each mistake is named with file and line, all of them at once.
func TestFaults(t *testing.T) {
	t.Parallel()
	const rule = "  - {id: a, text: [\"zebra one\"], category: blocked, advice: blocked, test: [\"550 zebra one\"]}\n"
	for _, tc := range []struct {
		name, text string
		want       []string // "line: part of the message"
	}{
		{"not yaml", "name: [", []string{"1: this is not YAML"}},
		{"empty", "# nothing\n", []string{"1: the file is empty"}},
		{"no name", "title: x\n", []string{"1: name: is missing"}},
		{"bad name", "name: Big Lab\n", []string{"1: name: is missing or no plain word"}},
		{"unknown key", labHead + "limit: {}\n", []string{`6: lab: key "limit" is not known`}},
		{"twice", labHead + "title: Lab\n", []string{`6: key "title" stands here a second time`}},
		{"anchors", labHead + "floor: &x 3\n", []string{"6: anchors"}},
		{"nothing known", "name: lab\n", []string{"1: lab: title: is missing", "1: lab: sources: is missing", "1: lab: about: is missing", "1: lab: who: is missing"}},
		{"source without date", "name: lab\ntitle: Lab\nabout: {en: A., fr: B.}\nwho: {mx: [\"*.lab.test\"]}\nsources:\n  - {what: a page}\n  - {what: b, read: yesterday}\n", []string{"6: lab: a source needs what: and read:", `7: lab: "yesterday" is no date`}},
		{"one language", "name: lab\ntitle: Lab\nabout: {en: A.}\nwho: {mx: [\"*.lab.test\"]}\nsources: [{what: a, read: 2026-11-22}]\n", []string{`3: lab: the text in language "fr" is missing`}},
		{"numbers", labHead + "limits:\n  connections: many\n  per_second: 0\n  tls: maybe\n", []string{`7: lab: "many" is not a number`, `8: lab: "0" is not a number above 0`, `9: lab: tls: "maybe"`}},
		{"times", labHead + "retry:\n  every: [1h, soon]\n  for: 99d\n", []string{`7: lab: "soon" is no time`, `8: lab: "99d" is no time`}},
		{"governor", labHead + "governor: {unknown: 0.1}\n", []string{"6: lab: governor needs unknown, of, least and pause"}},
		{"who", labHead + "floor: 1\ncareful: [speed]\n", []string{`7: lab: careful: "speed" is not known`}},
		{"exchangers", "name: lab\ntitle: Lab\nabout: {en: A., fr: B.}\nsources: [{what: a, read: 2026-11-22}]\nwho:\n  mx: [\"*.com\", \"mx.*.test\", \"a b\"]\n  domains: [\"-\"]\n", []string{"1: lab: who: names neither mx nor domains", `6: lab: MX "*.com" is no host name`, `6: lab: MX "mx.*.test" would fit`, `6: lab: MX "a b"`, `7: lab: domain "-"`}},
		{"taken", "name: lab\ntitle: Lab\nabout: {en: A., fr: B.}\nsources: [{what: a, read: 2026-11-22}]\nwho: {mx: [\"*.orange.fr\"]}\n", []string{"orange: MX *.orange.fr belongs to lab already"}},
		{"group", labHead + "group: nobody\n", []string{`1: lab: group "nobody" is not known`}},
		{"rule without anything", labHead + "answers:\n  - {}\n", []string{"7: lab/a rule: id: is missing", "7: lab/a rule: nothing says", "7: lab/a rule: advice: is missing", "7: lab/a rule: test: is missing"}},
		{"categories", labHead + "answers:\n  - {id: a, text: [zebra], category: silly, party: moon, fate: perhaps, advice: blocked, test: [\"550 zebra\"]}\n", []string{`7: lab/a: category "silly" is not known; known are authfailure`, `7: lab/a: party "moon"`, `7: lab/a: fate "perhaps"`}},
		{"patterns", labHead + "answers:\n  - id: a\n    text: [\"re:(\", \"re:.*\", \"*\", \"||\", \"re:ABC\"]\n    code: \"22\"\n    enhanced: \"5\"\n    phase: later\n    category: blocked\n    advice: blocked\n    test: [\"550 x\"]\n",
			[]string{"7: lab/a: nothing says", "7: lab/a: its test line", "8: lab: the regular expression cannot be read", "8: lab: the regular expression matches everything", "8: lab: the text is empty", `8: lab: "||" is no word`, "8: lab: texts are compared in lower case", `9: lab: code "22"`, `10: lab: "5" is no enhanced status`, `11: lab: phase "later" is not known`}},
		{"do", labHead + "answers:\n  - {id: a, text: [zebra], category: blocked, advice: blocked, test: [\"550 zebra\"], do: {slow: 0.5}}\n  - {id: b, text: [lion], category: blocked, advice: blocked, test: [\"550 lion\"], do: {probe: true}}\n  - {id: c, text: [tiger], category: blocked, advice: blocked, test: [\"550 tiger\"], do: {after: 3}}\n",
			[]string{"7: lab: do: slow and connections need for:", "8: lab: do: probe and bulk_only are about a pause", "9: lab: do: after (above 1) and within"}},
		{"advice", labHead + "answers:\n  - {id: a, text: [zebra], category: blocked, advice: nobody-wrote-it, test: [\"550 zebra\"]}\n", []string{`7: lab: there is no shared advice of the name "nobody-wrote-it"`}},
		{"the same id", labHead + "answers:\n" + rule + rule, []string{`8: lab: id "a" stands already in`}},
		{"not reached", labHead + "answers:\n  - {id: a, text: [zebra], category: blocked, advice: blocked, test: [\"550 lion\"]}\n", []string{`7: lab/a: its test line "550 lion" does not reach it`}},
		{"shadowed", labHead + "answers:\n  - {id: a, text: [zebra], category: blocked, advice: blocked, test: [\"550 zebra\"]}\n  - {id: b, text: [\"zebra two\"], category: blocked, advice: blocked, test: [\"550 zebra two\"]}\n",
			[]string{`8: lab/b: its test line "550 zebra two" reaches lab/a, which stands before it`}},
		{"second document", labHead + "---\nname: b\n", []string{"7: a second document begins"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := provider.Load([]string{folder(t, map[string]string{"x.yaml": tc.text})})
			var faults provider.Faults
			if !errors.As(err, &faults) {
				t.Fatalf("error %v", err)
			}
			for _, want := range tc.want {
				line, text, ok := strings.Cut(want, ": ")
				if atoiOK(line) && ok {
					want = "x.yaml:" + line + ": " + text
				}
				if !strings.Contains(err.Error(), want) {
					t.Errorf("missing %q in\n%v", want, err)
				}
			}
			if len(faults) != len(tc.want) {
				t.Errorf("%d faults, want %d:\n%v", len(faults), len(tc.want), err)
			}
		})
	}
	if _, err := provider.Load([]string{filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func atoiOK(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// TestOperator: what operators write lies over ours.
func TestOperator(t *testing.T) {
	t.Parallel()
	ours := load(t)
	dir := folder(t, map[string]string{"1.yaml": `
name: orange
limits: {connections: 1}
who: {domains: [corporate.example], mx: ["mx.friend.example"]}
sources: [{what: "a letter from Orange", read: 2026-11-22}]
answers:
  - id: special
    text: ["ofr* 103"]
    category: policyviolation
    advice: {en: "Ours : no.", fr: "À nous : non."}
    test: ["550 OFR006_103 [103]"]
  - id: spam
    text: ["mail rejete"]
    code: "5"
    category: contenterror
    advice: contenterror
    test: ["550 5.2.0 Mail rejete."]
`, "2.yaml": labHead + "answers:\n  - {id: a, text: [zebra], category: blocked, advice: blocked, test: [\"550 zebra\"]}\n",
		"any.yaml": `
name: any
answers:
  - {id: zebra, text: [zebra], category: rejected, advice: rejected, test: ["550 zebra"]}
`, "readme.txt": "not read"})
	k := load(t, dir)
	o := k.Provider("orange")
	if o.Limits.Connections != 1 || o.Limits.PerConnection != 100 || len(o.Sources) != len(ours.Provider("orange").Sources)+1 {
		t.Errorf("orange: %+v, %d sources", o.Limits, len(o.Sources))
	}
	if k.Behind("corporate.example", []string{"mx.elsewhere.example"}) != o || k.Behind("b.example", []string{"mx.friend.example", "smtp-in.orange.fr"}) != o {
		t.Error("the operator's names do not lead to orange")
	}
	for _, tc := range []struct{ provider, line, rule string }{
		{"orange", "550 OFR006_103 [103]", "orange/special"},
		{"orange", "550 OFR006_102 [102]", "orange/cloudmark"},
		{"orange", "550 5.2.0 Mail rejete.", "orange/spam"},
		{"orange", "550 OFR_536", ""}, // the rule of that id is the operator's now
		{"lab", "550 zebra", "lab/a"},
		{"free", "550 zebra", "any/zebra"},
		{"", "550 zebra", "any/zebra"},
		{"no such provider", "550 zebra", "any/zebra"},
	} {
		a := provider.Read(tc.line)
		a.Provider = tc.provider
		if got := k.Classify(a); got.Rule != tc.rule {
			t.Errorf("%s: %q reaches %q, want %q", tc.provider, tc.line, got.Rule, tc.rule)
		}
	}
	if got := k.Classify(provider.Answer{Provider: "orange", Code: 550, Text: "OFR_103"}).Advice["fr"]; got != "À nous\u00a0: non." {
		t.Errorf("advice %q", got)
	}
	// A later folder lies over an earlier one.
	k = load(t, dir, folder(t, map[string]string{"x.yaml": "name: orange\nlimits: {connections: 3}\n"}))
	if k.Provider("orange").Limits.Connections != 3 || k.Behind("corporate.example", nil) != k.Provider("orange") {
		t.Error("the later folder does not lie over the earlier")
	}
}
