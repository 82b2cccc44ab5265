package cli

import (
	"strings"
	"testing"
	"time"

	"postern/internal/api"
)

// TestReputationCommands: what is listed, clean, partly known and never looked at are told apart, the exit code says whether something of ours is listed, and a
// list's own words do nothing to the terminal.
func TestReputationCommands(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 18, 9, 30, 0, 0, time.UTC)
	sum := api.Reputation{Egress: 2, EgressListed: 1, Domains: 3, Ranged: 256, RangedListed: 4, Unlooked: 1, Lists: 60, ListsUsable: 52}
	one := api.WatchedTarget{Target: "2001:db8::25", Lists: []api.WatchedList{{OnList: api.OnList{Zone: "bl.example.test", List: "Test List", Weight: 5, Names: []string{"SBL"}, Reason: "traps\x1b[2J"}, State: "listed", Since: &at},
		{OnList: api.OnList{List: "Quiet List", Weight: 2}, State: "unknown"}, {OnList: api.OnList{List: "Good List", Weight: 1}, State: "clean"}}}
	d := api.Dossier{ID: "d1", Target: "192.0.2.25", List: "Test\x1b List", State: "open", Listed: at, Causes: []api.DossierCause{
		{Code: "stolen", Name: "A stolen password", Likelihood: "likely", Points: 7, Reasons: []api.DossierReason{{Text: "one login sent 900 messages\x1b[31m", Points: 4}, {Text: "its site is clean", Points: -1}}}},
		Checklist: []api.DossierStep{{Code: "stop", What: "Stop the login", How: "Revoke its password.", Done: true}, {Code: "ask", What: "Ask for removal", How: "Use the list's form."}}}
	plain := api.Dossier{ID: "d2", Target: "shop.example", List: "Other List", State: "clean", Listed: at, Causes: []api.DossierCause{{Name: "Nothing speaks for it"}}}
	listed := answers(t, map[string]any{
		"/v1/reputation": sum,
		"/v1/reputation/targets": api.WatchedTargets{Targets: []api.WatchedTarget{{Target: "192.0.2.25", Roles: []string{"egress"}, Checked: &at, Listings: 2, Unknown: 3}, {Target: "a.example", Checked: &at, Unknown: 1},
			{Target: "b.example"}, {Target: "c.example", Checked: &at}}},
		"/v1/reputation/targets/2001:db8::25": one, "/v1/reputation/targets/2001:db8::25/look": one,
		"/v1/dossiers": api.Dossiers{Dossiers: []api.Dossier{d, plain}}, "/v1/dossiers/d1": d,
	})
	quiet := answers(t, map[string]any{"/v1/reputation": api.Reputation{Egress: 2, Domains: 1, Lists: 60, ListsUsable: 60}, "/v1/reputation/targets": api.WatchedTargets{}, "/v1/dossiers": api.Dossiers{}})
	for _, tc := range []struct {
		run   func(args ...string) (int, string, string)
		args  string
		code  int
		wants []string
	}{
		{listed, "list", 1, []string{"1 of 2 sending addresses and 0 of 3 domains are listed; 52 of 60 lists are asked.", "4 of 256 addresses of ranges are listed.", "1 were not looked at in time",
			"192.0.2.25  listed             2          3  egress", "a.example   partly known ", "b.example   not looked at ", "never", "c.example   clean "}},
		{listed, "list --json", 1, []string{`"egress_listed":1`, `"target":"b.example"`}},
		{quiet, "list", 0, []string{"0 of 2 sending addresses and 0 of 1 domains are listed; 60 of 60 lists are asked.\n"}},
		{listed, "show 2001:db8::25", 0, []string{"Test List   listed        5  2026-11-18", "SBL traps\ufffd", "Quiet List  unknown ", "Good List   clean "}},
		{listed, "look 2001:db8::25", 0, []string{"Test List   listed "}},
		{listed, "show --json 2001:db8::25", 0, []string{`"state":"listed"`}},
		{listed, "show 192.0.2.99", 2, nil},
		{listed, "show", 2, nil},
		{listed, "dossiers", 0, []string{"d1       192.0.2.25    Test\ufffd List  open   A stolen password ", "d2       shop.example  Other List  clean  not known yet "}},
		{listed, "dossiers --lang xx", 2, nil},
		{quiet, "dossiers", 0, []string{"There is no dossier."}},
		{listed, "dossier d1", 0, []string{"192.0.2.25  Test\ufffd List  open\n", "A stolen password  likely\n", "    +4  one login sent 900 messages\ufffd[31m\n", "    -1  its site is clean\n", "[x] Stop the login\n[ ] Ask for removal\n      Use the list's form.\n"}},
		{listed, "dossier --json d1", 0, []string{`"checklist":[{"code":"stop"`}},
		{listed, "dossier --lang xx d1", 2, nil},
		{listed, "dossier", 2, nil},
	} {
		code, out, errs := tc.run(append([]string{"reputation"}, strings.Fields(tc.args)...)...)
		if code != tc.code {
			t.Errorf("%s: exit %d\n%s%s", tc.args, code, out, errs)
		}
		for _, want := range tc.wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s lacks %q:\n%s%s", tc.args, want, out, errs)
			}
		}
		if strings.ContainsRune(out+errs, '\x1b') {
			t.Errorf("%s: a control character reached the terminal", tc.args)
		}
	}
}
