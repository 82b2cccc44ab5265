package checkup_test

import (
	"slices"
	"strings"
	"testing"

	"postern/internal/checkup"
	"postern/internal/dns/dnstest"
	"postern/internal/locale"
)

// second starts another server for ns2, with the same zone, and lets f change it.
func second(f func(*dnstest.Server)) func(*internet) {
	return func(n *internet) { n.other = f }
}

// otherZone lets ns2 serve the zone with one piece replaced.
func otherZone(name, text string) func(*internet) {
	return func(n *internet) { n.otherPiece = [2]string{name, text} }
}

// run checks a set-up and returns the report.
func (s setUp) run(t *testing.T) checkup.CheckReport {
	t.Helper()
	pieces := perfect()
	for name, text := range s.zone {
		pieces[name] = text
	}
	n := newInternet(t, zoneOf(pieces))
	if s.world != nil {
		s.world(n)
	}
	if n.other != nil || n.otherPiece[0] != "" {
		if n.otherPiece[0] != "" {
			pieces[n.otherPiece[0]] = n.otherPiece[1]
		}
		n.second = dnstest.Start(t, zoneOf(pieces))
		if n.other != nil {
			n.other(n.second)
		}
	}
	target, ask := s.of, checkup.Ask{Selectors: []string{"s1"}}
	if target.Kind == "" {
		target = shopTest
	}
	if s.ask != nil {
		ask = *s.ask
	}
	r, err := n.checker(t).Check(t.Context(), target, ask)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expected is what must be said, by group.
func (s setUp) expected() map[string]string {
	out := perfectly()
	if s.only {
		out = map[string]string{}
	}
	own := map[string][]string{}
	for _, w := range strings.Fields(s.want) {
		if g, gone := strings.CutPrefix(w, "-"); gone {
			delete(out, g)
			continue
		}
		g, _, _ := strings.Cut(w, ".")
		if g == "dane" {
			g = "tls"
		}
		own[g] = append(own[g], w)
	}
	for g, all := range own {
		slices.Sort(all)
		out[g] = strings.Join(all, " ")
	}
	return out
}

// TestSetUpsOfDomains is the table: for each set-up exactly what is expected is said, in both languages, and nothing is said of what was not asked.
func TestSetUpsOfDomains(t *testing.T) {
	t.Parallel()
	c, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range setUps {
		if names[s.name] || s.rule == "" && s.name != "perfect" {
			t.Errorf("%s: named twice, or without its rule", s.name)
		}
		names[s.name] = true
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r := s.run(t)
			got, want := said(r), s.expected()
			for _, g := range checkup.Groups() {
				if got[string(g)] == want[string(g)] {
					continue
				}
				t.Errorf("%s: got %q, want %q (%s)", g, got[string(g)], want[string(g)], s.rule)
				for _, f := range r.Of(g) {
					t.Logf("%s %s %v %v", f.Code, f.Subject, f.Args, f.Evidence)
				}
			}
			speaks(t, c, r)
		})
	}
	if len(setUps) < 40 {
		t.Errorf("%d set-ups", len(setUps))
	}
}

// speaks looks whether every finding has its words, and what is not fine its evidence and what to do.
func speaks(t *testing.T, c *locale.Catalog, r checkup.CheckReport) {
	t.Helper()
	for _, lang := range locale.Languages() {
		for _, f := range r.Findings {
			w := checkup.Words(c, lang, f)
			if w.What == "" || strings.HasPrefix(w.What, "checkup.") || strings.HasPrefix(w.Do, "checkup.") || strings.Contains(w.What+w.Do, "<no value>") {
				t.Errorf("%s in %s: %q %q", f.Code, lang, w.What, w.Do)
			}
			if f.State != checkup.Fine && w.Do == "" {
				t.Errorf("%s in %s: what is to be done?", f.Code, lang)
			}
			if len(f.Evidence) == 0 && f.Code != "lists.off" && f.Code != "dkim.no-selector" {
				t.Errorf("%s: no evidence", f.Code)
			}
		}
	}
}
