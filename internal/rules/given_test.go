package rules_test

import (
	"reflect"
	"strings"
	"testing"

	"postern/internal/mail"
	"postern/internal/rules"
)

func parse(t *testing.T, text string, o rules.Options) (*rules.RuleSet, *rules.LoadReport) {
	t.Helper()
	return rules.Parse([]rules.File{{Name: "test.cf", Text: []byte(tlds + text)}}, o)
}

func view(message string) *rules.View {
	return rules.NewView(mail.Parse([]byte(message), mail.DefaultLimits()), rules.ViewOptions{})
}

func names(hits []rules.Hit) string {
	var out []string
	for _, h := range hits {
		out = append(out, h.Rule)
	}
	return strings.Join(out, " ")
}

// TestGiven: metas combine rules with results of the host; what the files say of the host's tests is neither run nor reported.
func TestGiven(t *testing.T) {
	t.Parallel()
	const text = "meta BOTH HOST && __BUY\nbody __BUY /buy/\nmeta SUM HOST + OTHER > 2\nmeta NOT !OTHER\nbody OTHER /buy/\nscore OTHER 5\n" +
		"meta CHAIN BOTH && NET\nheader NET eval:check_for_spf_pass()\nmeta MORE __LATE\nmeta __LATE HOST\n"
	s, report := parse(t, text, rules.Options{Given: []string{"HOST", "OTHER", "NET", "UNUSED", "HOST"}})
	for _, p := range report.Problems {
		t.Errorf("problem: %+v", p)
	}
	if strings.Join(report.Given, " ") != "NET OTHER" || len(report.Network) != 0 || len(s.Unsupported()) != 0 {
		t.Errorf("given %v, network %v, unsupported %v", report.Given, report.Network, s.Unsupported())
	}
	for _, tc := range []struct {
		name  string
		given map[string]float64
		want  string
	}{
		{"nothing", nil, "NOT"},
		{"one", map[string]float64{"HOST": 1}, "BOTH MORE NOT"},
		{"two", map[string]float64{"HOST": 1, "OTHER": 2}, "BOTH MORE SUM"},
		{"chain", map[string]float64{"HOST": 1, "NET": 1}, "BOTH CHAIN MORE NOT"},
		{"not announced", map[string]float64{"ELSE": 1, "__BUY": 0}, "NOT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := s.Begin(view(letter), rules.RunOptions{}).Finish(tc.given)
			if got := names(r.Hits); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

// TestGivenAbsent: a test that nobody gives and no file defines is named in the report.
func TestGivenAbsent(t *testing.T) {
	t.Parallel()
	_, report := parse(t, "meta A HOST\n", rules.Options{})
	if len(report.Problems) != 1 || !strings.Contains(report.Problems[0].Reason, "HOST") {
		t.Errorf("%+v", report.Problems)
	}
}

// TestScoreOverride: points of one run take the place of those in the files; other runs do not see them.
func TestScoreOverride(t *testing.T) {
	t.Parallel()
	const text = "body A /buy/\nscore A 1\nbody __B /buy/\nmeta M __B\nscore M 2\nheader H exists:Cc\nscore H 0 1 0 1\nbody D /friend/\ntflags D multiple\nmeta OFF __B\nscore OFF 0\n"
	s, _ := parse(t, text, rules.Options{})
	for _, tc := range []struct {
		name   string
		set    int
		scores map[string]float64
		want   string
		points float64
	}{
		{"none", 0, nil, "A D M", 4},
		{"another", 0, map[string]float64{"A": 3.5}, "A D M", 6.5},
		{"negative", 0, map[string]float64{"A": -1}, "A D M", 2},
		{"off", 0, map[string]float64{"A": 0}, "D M", 3},
		{"off for metas too", 0, map[string]float64{"__B": 0}, "A D", 2},
		{"on in another set", 0, map[string]float64{"H": 4}, "A D H M", 8},
		{"off in its set", 1, map[string]float64{"H": 0}, "A D M", 4},
		{"meta off", 0, map[string]float64{"M": 0}, "A D", 2},
		{"meta on", 0, map[string]float64{"OFF": 1}, "A D M OFF", 5},
		{"unknown", 0, map[string]float64{"NOWHERE": 9}, "A D M", 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := s.Run(view(letter), rules.RunOptions{ScoreSet: tc.set, Scores: tc.scores})
			if got := names(r.Hits); got != tc.want || r.Score != tc.points {
				t.Errorf("%s with %v points, want %s with %v", got, r.Score, tc.want, tc.points)
			}
		})
	}
}

// TestSetChosenLate: the score set that counts is that of the end, whatever the run began with.
func TestSetChosenLate(t *testing.T) {
	t.Parallel()
	s, _ := parse(t, "body A /buy/\nscore A 0 1 2 3\nbody B /buy/\nscore B 1 0 0 0\nmeta M A && !B\nheader C Subject !~ /pills/\nscore C 0 0 0 1\n", rules.Options{})
	for set, want := range []string{"B", "A M", "A M", "A C M"} {
		for begin := range 4 {
			r := s.Begin(view(letter), rules.RunOptions{ScoreSet: begin}).FinishSet(set, nil)
			if got := names(r.Hits); got != want {
				t.Errorf("begun with %d, ended with %d: %s, want %s", begin, set, got, want)
			}
		}
	}
}

// TestReasons: a meta shows what the rules matched that it rests on, through other metas, each text once.
func TestReasons(t *testing.T) {
	t.Parallel()
	s, _ := parse(t, "body __BUY /buy now/\nheader __SUB Subject =~ /cheap/\nmeta __BOTH __BUY && __SUB\nmeta ALL_OF_IT __BOTH && __BUY && !__NONE\nbody __NONE /never/\n", rules.Options{})
	v := rules.NewView(mail.Parse([]byte("Subject: cheap things\r\n\r\nYou must buy now or never know.\r\n"), mail.DefaultLimits()), rules.ViewOptions{})
	if hits := s.Run(v, rules.RunOptions{Reasons: true}).Hits; len(hits) != 0 {
		t.Fatalf("%+v", hits)
	}
	v = rules.NewView(mail.Parse([]byte("Subject: cheap things\r\n\r\nYou must buy now.\r\n"), mail.DefaultLimits()), rules.ViewOptions{})
	hits := s.Run(v, rules.RunOptions{Reasons: true}).Hits
	if len(hits) != 1 || len(hits[0].Reasons) != 2 || !strings.Contains(hits[0].Reasons[0], "buy now") || !strings.Contains(hits[0].Reasons[1], "cheap") {
		t.Errorf("%+v", hits)
	}
	if hits := s.Run(v, rules.RunOptions{}).Hits; len(hits) != 1 || hits[0].Reasons != nil {
		t.Errorf("reasons that nobody asked for: %+v", hits)
	}
}

// TestHitsOnly: leaving out what decides nothing changes no hit, no reason and no score, on real mail and with every kind of rule that may wait.
func TestHitsOnly(t *testing.T) {
	t.Parallel()
	s, _ := parse(t, "body __A /alpha/\nbody __B /\\d{3}/\nuri __C /example/\nrawbody __D /gamma/\nheader __E Subject =~ /\\?$/\nfull __F /beta/\nbody __NEVER /zeta/\n"+
		"meta __AB __A && __B\nmeta ONE __AB || __NEVER\nmeta TWO __C + __D + __E > 1\nmeta THREE !__NEVER && __F\nmeta FOUR __NEVER && __A\nbody FIVE /alpha/\nmeta SIX TWO && FIVE\n", rules.Options{})
	for _, text := range []string{
		"Subject: what?\r\n\r\nalpha 123 beta http://www.example.com/ gamma\r\n",
		"Subject: what?\r\n\r\nalpha\r\n\r\n123\r\n\r\nzeta\r\n",
		"Subject: no\r\n\r\nbeta gamma http://www.example.com/\r\n",
		"Subject: alpha 123?\r\n\r\n\r\n",
	} {
		view := func() *rules.View {
			return rules.NewView(mail.Parse([]byte(text), mail.DefaultLimits()), rules.ViewOptions{})
		}
		all, some := s.Run(view(), rules.RunOptions{Reasons: true}), s.Run(view(), rules.RunOptions{Reasons: true, HitsOnly: true})
		if all.Score != some.Score || !reflect.DeepEqual(all.Hits, some.Hits) || !reflect.DeepEqual(all.Skipped, some.Skipped) {
			t.Errorf("%q\nall  %+v\nsome %+v", text, all.Hits, some.Hits)
		}
	}
}
