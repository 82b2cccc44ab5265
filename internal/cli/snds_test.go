package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/api"
)

func TestSNDSCommands(t *testing.T) {
	t.Parallel()
	traps := int64(26)
	state := &api.SNDSState{First: "192.0.2.1", Last: "192.0.2.1", State: "blocked", Reason: "complaints\x1b[2J", Since: time.Date(2026, 9, 28, 0, 0, 0, 0, time.UTC)}
	day := api.SNDSDay{Day: "2026-09-28", Colour: "red", Complaints: &api.SNDSRate{Percent: .1, Below: true}, Traps: &traps}
	dir := t.TempDir()
	file := filepath.Join(dir, "data.csv")
	good := "192.0.2.1,9/28/2026 12:00 AM,9/29/2026 12:00 AM,812,790,780,GREEN,< 0.1%,,,,mail.example.net,,\r\n"
	if err := os.WriteFile(file, []byte(good+"nonsense\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "page.csv")
	if err := os.WriteFile(page, []byte("<html>sign in</html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := answers(t, map[string]any{
		"/v1/snds": api.SNDSMap{From: "2026-09-27", To: "2026-09-29", Addresses: []api.SNDSAddress{{IP: "192.0.2.1", Red: 1, Traps: &traps, Last: "2026-09-28", State: state, Days: []api.SNDSDay{day}},
			{IP: "192.0.2.2", Days: []api.SNDSDay{{Day: "2026-09-27", Colour: "green"}, {Day: "2026-09-29"}}}}, Silent: []string{"192.0.2.9"}},
		"/v1/snds/addresses/192.0.2.1": api.SNDSRows{IP: "192.0.2.1", State: state, Rows: []api.SNDSRow{{Start: state.Since, End: state.Since.Add(24 * time.Hour), HELO: "mail\x1b", Source: "folder", SNDSDay: day}}},
		"/v1/snds/sources":             api.SignalSources{Sources: []api.SignalSource{{Name: "link main", Fault: "signed-out", Failing: state.Since}, {Name: "snds", Waiting: true}}},
		"/v1/snds/fetch":               api.Done{Text: "the source is asked"},
		"/v1/snds/import":              api.SNDSImported{Shape: "legacy-csv", Read: 1, New: 1, From: "2026-09-28", To: "2026-09-28", Bad: []api.SNDSFault{{Line: 2, Text: "line 2: the row has"}}},
	})
	for _, tc := range []struct {
		args  []string
		code  int
		wants []string
	}{
		{[]string{"list"}, 0, []string{"192.0.2.1  blocked    1       26     unknown  2026-09-28  .R.\n", "192.0.2.2             0  unknown     unknown              G.?\n", "Nothing is known of 192.0.2.9:"}},
		{[]string{"show", "192.0.2.1"}, 0, []string{"reports 192.0.2.1 as blocked since", "complaints\ufffd", "< 0.1 %", "red", "mail\ufffd"}},
		{[]string{"sources"}, 0, []string{"signed-out since", "no account is connected"}},
		{[]string{"fetch", "snds"}, 0, []string{"the source is asked"}},
		{[]string{"import", file}, 1, []string{"data.csv: line 2: the row has\n", "legacy-csv, 1 row read: 1 new, 0 changed, 0 known before, 2026-09-28 to 2026-09-28; 1 row left out"}},
		{[]string{"import", "--json", file}, 1, []string{`"shape":"legacy-csv"`, `"bad":[{"line":2`}},
		{[]string{"import", "--dry-run", file}, 1, []string{"line 2: the row has another number of columns", "legacy-csv, 1 row read, 2026-09-28 to 2026-09-28; 1 row left out"}},
		{[]string{"import", "--dry-run", page}, 2, nil},
		{[]string{"import", os.DevNull}, 2, nil},
		{[]string{"import", filepath.Join(dir, "nothing")}, 2, nil},
		{[]string{"import"}, 2, nil},
		{[]string{"list", "--days", "1000"}, 2, nil},
	} {
		code, out, errs := run(append([]string{"snds"}, tc.args...)...)
		if code != tc.code {
			t.Errorf("%s: exit %d\n%s%s", strings.Join(tc.args, " "), code, out, errs)
		}
		for _, want := range tc.wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s lacks %q:\n%s%s", strings.Join(tc.args, " "), want, out, errs)
			}
		}
		if strings.ContainsRune(out+errs, '\x1b') {
			t.Errorf("%s: a control character reached the terminal", strings.Join(tc.args, " "))
		}
	}
}
