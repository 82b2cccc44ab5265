package rules_test

import (
	"strings"
	"sync"
	"testing"

	"postern/internal/rules"
)

// TestProfile: what rules cost is told by rule, over runs in several goroutines.
func TestProfile(t *testing.T) {
	t.Parallel()
	s, _ := parse(t, "body A /buy/\nbody B /a.*b.*c.*d/\nheader C Subject =~ /offer$/\nbody D eval:html_tag_exists('img')\nmeta E A && B\nbody OFF /x/\nscore OFF 0\n", rules.Options{})
	p := s.NewProfile()
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 20 {
				s.Run(view(letter), rules.RunOptions{Profile: p})
			}
		})
	}
	wait.Wait()
	if p.Messages() != 80 {
		t.Errorf("%d messages", p.Messages())
	}
	list := p.Slowest(10)
	if len(list) == 0 || len(p.Slowest(1)) != 1 {
		t.Fatalf("%v", list)
	}
	for i, c := range list {
		if c.Time <= 0 || c.Rule == "OFF" || i > 0 && c.Time > list[i-1].Time {
			t.Errorf("%v", list)
		}
	}
	other, _ := parse(t, "body A /buy/\n", rules.Options{})
	other.Run(view(letter), rules.RunOptions{Profile: p})
	if p.Messages() != 80 {
		t.Error("a run of another set was counted")
	}
}

// TestReportCounts: every rule is counted once.
func TestReportCounts(t *testing.T) {
	t.Parallel()
	_, r := parse(t, "body A /x/\nbody OFF /x/\nscore OFF 0\nheader N eval:check_rbl('x', 'x.example.')\nbody U eval:check_moon_phase()\nbody V /(/\nmeta M A\nbody G /x/\n",
		rules.Options{Given: []string{"G"}})
	if r.Rules != 7 || r.Runnable != 2 || strings.Join(r.Network, " ") != "N" || strings.Join(r.Off, " ") != "OFF" || strings.Join(r.Given, " ") != "G" || len(r.Unsupported) != 2 {
		t.Fatalf("%+v", r)
	}
	if u := r.Unsupported[0]; u.Rule != "U" || !strings.Contains(u.Reason, "check_moon_phase") || u.Where != (rules.Position{File: "test.cf", Line: 6}) {
		t.Errorf("%+v", u)
	}
	if r.Kinds["body"] != 4 || r.Kinds["eval"] != 2 || r.Kinds["meta"] != 1 {
		t.Errorf("%v", r.Kinds)
	}
}
