package checkup_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/internal/checkup"
	"postern/internal/locale"
)

var update = flag.Bool("update", false, "rewrite what is printed from the code in docs/operator/checkup.md and checkup.fr.md")

// statesOf are the states that a code of a domain has in the set-ups.
func statesOf(code string) []checkup.State {
	var out []checkup.State
	all := perfectly()
	for _, s := range setUps {
		all[s.name] = s.want
	}
	for _, said := range all {
		for _, one := range strings.Fields(said) {
			if c, state, ok := strings.Cut(one, "="); ok && c == code && !slices.Contains(out, checkup.State(state)) {
				out = append(out, checkup.State(state))
			}
		}
	}
	slices.Sort(out)
	return out
}

// others are the codes of an IP, of lists and of a sender's address, with their states. What the tests see is held against it by readable.
var others = map[string]string{
	"dane.fine": "fine", "dane.mismatch": "problem", "dane.mismatch-unsigned": "advice", "dane.unsigned": "advice", "dane.unusable": "problem",
	"dns.denied":     "unknown",
	"helo.elsewhere": "problem", "helo.fine": "fine", "helo.foreign": "problem", "helo.literal": "problem", "helo.no-address": "problem",
	"helo.no-host": "problem", "helo.other": "advice", "helo.unknown": "unknown", "helo.unset": "unknown",
	"lists.allowed": "fine", "lists.clean": "fine", "lists.display": "advice", "lists.keyless": "unknown", "lists.left-out": "unknown",
	"lists.listed": "problem", "lists.minor": "advice", "lists.odd": "unknown", "lists.off": "unknown", "lists.refused": "unknown",
	"lists.silent": "unknown", "lists.spent": "unknown", "lists.standing": "fine", "lists.unhealthy": "unknown", "lists.unproven": "unknown",
	"range.bad": "problem", "range.clean": "fine", "range.empty": "fine", "range.generic": "advice", "range.listed": "advice",
	"range.lists-unknown": "unknown", "range.own": "fine", "range.strangers": "advice", "range.unknown": "unknown", "range.whole": "fine",
	"relay.closed": "fine", "relay.doubtful": "advice", "relay.none": "fine", "relay.open": "problem", "relay.own": "unknown",
	"relay.unknown": "unknown",
	"reverse.bare":  "advice", "reverse.fine": "fine", "reverse.generic": "problem", "reverse.inside": "unknown", "reverse.mismatch": "problem",
	"reverse.no-host": "problem", "reverse.none": "problem", "reverse.partly": "advice", "reverse.several": "advice", "reverse.unknown": "unknown",
	"sender.absent": "problem", "sender.admin": "advice", "sender.capitals": "fine", "sender.catch-all": "unknown", "sender.disposable": "problem",
	"sender.duty": "problem", "sender.exists": "fine", "sender.freemail": "problem", "sender.idn": "advice", "sender.imitates": "problem",
	"sender.later": "unknown", "sender.literal": "problem", "sender.long": "advice", "sender.made": "advice", "sender.misspelt": "problem",
	"sender.nowhere": "problem", "sender.odd": "advice", "sender.person": "fine", "sender.program": "problem", "sender.quoted": "advice",
	"sender.refused": "unknown", "sender.return": "problem", "sender.return-aligned": "fine", "sender.return-other": "advice", "sender.route": "problem",
	"sender.server-other": "advice", "sender.server-own": "fine", "sender.shy": "unknown", "sender.silent": "advice", "sender.strangers": "unknown",
	"sender.unasked": "unknown", "sender.unknown": "unknown", "sender.utf8": "advice",
	"server.auth-plain": "problem", "server.closed": "fine", "server.fine": "fine", "server.inside": "unknown", "server.mx-closed": "problem",
	"server.name-unknown": "unknown", "server.no-name": "advice", "server.none": "fine", "server.other-name": "advice", "server.refuses": "unknown",
	"server.silent": "unknown", "server.strange": "problem", "server.unprobed": "unknown",
	"tls.agreed": "fine", "tls.early": "problem", "tls.expired": "advice problem", "tls.fine": "fine", "tls.handshake": "problem",
	"tls.mismatch": "problem", "tls.nameless": "advice", "tls.no-certificate": "problem", "tls.none": "problem", "tls.none-relay": "advice",
	"tls.old": "advice", "tls.only-old": "problem", "tls.short-key": "problem", "tls.soon": "advice", "tls.unknown": "unknown",
	"tls.untrusted": "problem", "tls.versions": "fine", "tls.versions-unknown": "unknown", "tls.weak": "advice",
}

// TestEveryCodeHasItsStates: the texts of IPs, lists and senders are those of others.
func TestEveryCodeHasItsStates(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, code := range codesOf(t, "ip", "lists", "sender") {
		known[code] = true
		if others[code] == "" {
			t.Errorf("%s has no states", code)
		}
	}
	for code := range others {
		if !known[code] {
			t.Errorf("%s has no text", code)
		}
	}
}

// codesOf are the codes that the texts of some rooms are for, in the order of the files.
func codesOf(t *testing.T, rooms ...string) []string {
	t.Helper()
	var out []string
	for _, room := range rooms {
		text, err := os.ReadFile("../locale/texts/checkup-" + room + ".en.yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range whats.FindAllStringSubmatch(string(text), -1) {
			out = append(out, m[1])
		}
	}
	return out
}

var whats = regexp.MustCompile(`(?m)^checkup\.(\S+)\.what:`)

// TestEveryCodeHasASetUp: what can be said of a domain from outside is said in one of the set-ups.
func TestEveryCodeHasASetUp(t *testing.T) {
	t.Parallel()
	codes := codesOf(t, "domain")
	if len(codes) < 80 {
		t.Fatalf("only %d codes", len(codes))
	}
	for _, c := range codes {
		if len(statesOf(c)) == 0 && c != "spf.not-ours" { // TestNotOurs
			t.Errorf("%s is said in no set-up", c)
		}
	}
}

var field = regexp.MustCompile(`\{\{\.?([A-Za-z]+)\}\}`)

// printed is what the page has from the code: the weights of the score, and every code with what it says.
func printed(t *testing.T, c *locale.Catalog, lang string) string {
	t.Helper()
	head := map[string][]string{"en": {"Group", "Name", "Points", "Code", "State", "What it says"}, "fr": {"Groupe", "Nom", "Points", "Code", "État", "Ce qu'il dit"}}[lang]
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s | %s |\n|---|---|---|\n", head[0], head[1], head[2])
	for _, g := range checkup.Groups() {
		name, _ := checkup.GroupName(c, lang, g)
		points := "-"
		if w := checkup.Weight(g); w > 0 {
			points = fmt.Sprint(w)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", g, name, points)
	}
	for _, x := range []struct {
		title  map[string]string
		rooms  []string
		states func(code string) []checkup.State
	}{
		{map[string]string{"en": "Codes of a domain", "fr": "Codes d'un domaine"}, []string{"domain"}, statesOf},
		{map[string]string{"en": "Codes of an IP, of blocklists, of a sender's address", "fr": "Codes d'une IP, des listes de blocage, d'une adresse d'expéditeur"}, []string{"ip", "lists", "sender"}, func(code string) (out []checkup.State) {
			for s := range strings.FieldsSeq(others[code]) {
				out = append(out, checkup.State(s))
			}
			return out
		}},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| %s | %s | %s |\n|---|---|---|\n", x.title[lang], head[3], head[4], head[5])
		codes := codesOf(t, x.rooms...)
		slices.Sort(codes)
		order := checkup.Groups()
		slices.SortStableFunc(codes, func(a, b string) int { return slices.Index(order, groupOf(a)) - slices.Index(order, groupOf(b)) })
		for _, code := range codes {
			var words []string
			for _, s := range x.states(code) {
				words = append(words, checkup.StateName(c, lang, s))
			}
			if len(words) == 0 {
				continue
			}
			text := c.Text(lang, "checkup."+code+".what", placeholders)
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", code, strings.Join(words, ", "), strings.ReplaceAll(text, "|", "\\|"))
		}
	}
	return b.String()
}

// groupOf is the group that a code is shown in.
func groupOf(code string) checkup.Group {
	first, _, _ := strings.Cut(code, ".")
	switch first {
	case "helo":
		return checkup.Reverse
	case "relay":
		return checkup.Server
	case "dane":
		return checkup.TLS
	}
	return checkup.Group(first)
}

// placeholders stand for what texts are filled with.
var placeholders = func() map[string]any {
	out := map[string]any{}
	for _, room := range []string{"domain", "ip", "lists", "sender"} {
		text, err := os.ReadFile("../locale/texts/checkup-" + room + ".en.yaml")
		if err != nil {
			panic(err)
		}
		for _, m := range field.FindAllStringSubmatch(string(text), -1) {
			out[m[1]] = "{" + strings.ToUpper(m[1]) + "}"
		}
	}
	return out
}()

// TestDocument holds the page for operators to the code.
func TestDocument(t *testing.T) {
	t.Parallel()
	c, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- printed from the code: go test ./internal/checkup -run TestDocument -update -->\n", "<!-- end of what is printed -->\n"
	for lang, page := range map[string]string{"en": "../../docs/operator/checkup.md", "fr": "../../docs/operator/checkup.fr.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(text), begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for what is printed", page)
		}
		want := before + begin + printed(t, c, lang) + end + after
		if want == string(text) {
			continue
		}
		if !*update {
			t.Errorf("%s differs from the code: run go test ./internal/checkup -run TestDocument -update", page)
			continue
		}
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
