package rules_test

import (
	"testing"

	"postern/internal/mail"
	"postern/internal/rules"
)

// FuzzParse: rule files never crash the parser nor the run of what was made of them.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"header A Subject =~ /x/i\nscore A 1 2 3 4\ndescribe A text\nlang fr describe A texte\n",
		"body __B /a<X>b/\nreplace_tag X [x]\nreplace_rules __B\nmeta C (A && !B) + 2 > 1\n",
		"if (version >= 4.0) && plugin(Mail::SpamAssassin::Plugin::DKIM)\nuri U m{x}\nelse\nfull F /x/\nendif\n",
		"header E eval:check_for_shifted_date('-3', \"undef\")\nmimeheader M Content-Type =~ /x/ [if-unset: y]\ntflags M multiple maxhits=2 range=1-2 concat\n",
		"uri_detail D domain =~ /a/ text !~ /b/\nredirector_pattern m'/r\\?u=(.*)$'i\nenlist_uri_host (L) a.example !b.example\n",
		"header __C From:addr =~ /(?<DOM>\\w+)@/\nbody __D /%{DOM}/\nmeta X rules_matching(__*)\nmeta Y Z\nmeta Z Y\n",
	} {
		f.Add([]byte(s))
	}
	m := mail.Parse([]byte("From: a@b.example\r\nSubject: x\r\n\r\nhello http://c.example/x\r\n"), mail.DefaultLimits())
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		set, report := rules.Parse([]rules.File{{Name: "x.cf", Text: text}}, rules.Options{})
		if report.Rules != len(set.Rules()) {
			t.Fatalf("report says %d rules, the set has %d", report.Rules, len(set.Rules()))
		}
		set.Run(rules.NewView(m, rules.ViewOptions{}), rules.RunOptions{})
	})
}
