package cli

import (
	"strings"
	"testing"
	"time"

	"postern/internal/api"
)

// TestAlarmHistory: what stands, what ended and what has no end are told apart; a code that there is not is named with those that there are.
func TestAlarmHistory(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 18, 9, 30, 0, 0, time.UTC)
	over := at.Add(2 * time.Hour)
	run := answers(t, map[string]any{"/v1/alarms/history": api.AlarmHistory{Codes: []string{"queue-lane", "listing"}, Next: "c2", Lines: []api.AlarmLine{
		{Code: "queue-lane", Severity: "critical", Title: "Mail piles up\x1b[2J", Raised: at, Told: []string{"mail:anna@example.org", "webhook:pager"}, Again: 3},
		{Code: "queue-lane", Severity: "warning", Title: "Mail waits", Raised: at, Cleared: &over},
		{Code: "listing", Severity: "warning", Title: "Listed", Raised: at, Once: true}}}})
	none := answers(t, map[string]any{"/v1/alarms/history": api.AlarmHistory{}})
	for _, tc := range []struct {
		run   func(args ...string) (int, string, string)
		args  string
		code  int
		wants []string
	}{
		{run, "", 0, []string{"stands", "Mail piles up\ufffd[2J", "mail:anna@example.org, webhook:pager, 3 times again", "2026-11-18", "Mail waits", "–", "More: --cursor c2"}},
		{run, "--json --lang fr", 0, []string{`"told_again":3`, `"next":"c2"`}},
		{run, "--code listing", 0, []string{"Listed"}},
		{run, "--code colour", 2, []string{`there is no code "colour"; there are queue-lane, listing`}},
		{run, "--lang xx", 2, []string{"--lang xx is not known"}},
		{none, "", 0, []string{"No alarm is remembered."}},
	} {
		code, out, errs := tc.run(append([]string{"alarm", "history"}, strings.Fields(tc.args)...)...)
		if code != tc.code {
			t.Errorf("%s: exit %d\n%s%s", tc.args, code, out, errs)
		}
		for _, want := range tc.wants {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%s lacks %q:\n%s%s", tc.args, want, out, errs)
			}
		}
	}
}
