package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/api"
)

// answers is a gateway of which only a few answers are known, by path.
func answers(t *testing.T, by map[string]any) func(args ...string) (code int, out, errs string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "postern-cli-") // a socket's name is short
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ok := by[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); _ = os.RemoveAll(dir) })
	return func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Main(context.Background(), Process{Args: append([]string{"postern", "--socket", filepath.Join(dir, "s")}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs})
		return code, out.String(), errs.String()
	}
}

// TestPoolList: warm addresses, new ones with their plan by receiver, and receivers about to forget; nothing a name holds acts on the terminal.
func TestPoolList(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC)
	run := answers(t, map[string]any{"/v1/pools": api.Pools{Pools: []api.Pool{
		{Name: "default", Overflow: "shared", Strict: true, Egress: []api.PoolAddress{
			{IP: "192.0.2.10", HELO: "out1.example.org", Floors: []api.Floor{
				{Egress: "192.0.2.10", Provider: "microsoft", Title: "Microsoft", Floor: 100, Days: []int{40, 12, 130}, Low: 2, Today: 7, Since: since.AddDate(0, 0, 2)},
				{Egress: "192.0.2.10", Provider: "gmx", Title: "GMX", Floor: 50, Days: []int{1, 2, 3}, Low: 5, Since: since}}},
			{IP: "192.0.2.11", HELO: "out2\x1b[31m.example.org", Since: since, Day: 5, Days: 14, WarmUps: []api.WarmUp{
				{Egress: "192.0.2.11", Provider: "orange", Title: "Orange", Step: 3, Steps: 14, Allowed: 400, Used: 123, Accepted: 101, Held: true}}}}},
		{Name: "shared", Egress: []api.PoolAddress{{IP: "2001:db8::12", HELO: "out3.example.org", Since: since.AddDate(-1, 0, 0), Days: 14, WarmUps: []api.WarmUp{
			{Egress: "2001:db8::12", Provider: "free", Title: "Free", Step: 2, Steps: 14, Allowed: 200, Used: 200, Accepted: 200}}}}},
		{Name: "any"},
	}}})
	code, out, errs := run("pool", "list")
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	const want = `POOL     ADDRESS       NAME IN HELO      STATE
default  192.0.2.10    out1.example.org  warm
    Microsoft is about to forget this address: fewer than 100 messages a day since 2026-11-20 (the days before today: 40, 12, 130; today so far: 7)
    GMX forgets this address: fewer than 50 messages a day since 2026-11-18 (the days before today: 1, 2, 3; today so far: 0)
         192.0.2.11    HELO  new: day 5 of 14
    Orange: day 4 of 14, 123 of today's 400 used, 101 taken; too many refusals today, so that tomorrow is the same day again
    what its warm-up has no room for leaves from the pool shared; what no address has room for waits for the next day
shared   2001:db8::12  out3.example.org  new to some
    Free: day 3 of 14, 200 of today's 200 used, 200 taken
any      any           -                 the system chooses
`
	if strings.Contains(out, "\x1b") {
		t.Errorf("a name acts on the terminal: %q", out)
	}
	if i := strings.Index(out, "out2"); i > 0 {
		out = out[:i] + "HELO" + out[strings.Index(out[i:], "  new: day")+i:]
	}
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if squeeze(out) != squeeze(want) {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	code, out, _ = run("pool", "list", "--json")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 3 || !strings.Contains(lines[0], `"allowed":400,"used":123`) || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestLaneHistory: what was in force, for how long, why, and what ended it.
func TestLaneHistory(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.Local)
	run := answers(t, map[string]any{"/v1/reactions/history": api.Reactions{Reactions: []api.Reaction{
		{ID: "1", Lane: "orange 192.0.2.10", Kind: "pause", Text: "Orange refuses mail sent in the name of bad.example.", Evidence: "550 5.7.1 \x1b[2Jno", Started: at.Add(-2 * time.Hour), Ended: at,
			EndedBy: "operator:eve", EndedText: "Lifted by the operator eve", Customer: "shop", Scope: "sender", Target: "bad.example"},
		{ID: "2", Lane: "free", Kind: "slow", Text: "Free asked for a slower pace.", Started: at.Add(-49 * time.Hour), Ended: at.Add(-48 * time.Hour), EndedBy: "time"}}}})
	code, out, errs := run("lane", "history")
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	for _, want := range []string{"2026-11-20 12:00  orange 192.0.2.10  paused", "2 h  Lifted by the operator eve", "bad.example", "550 5.7.1", "slowed", "1 h", "time"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("an answer acts on the terminal: %q", out)
	}
	if code, out, _ := run("lane", "history", "orange", "--json"); code != 0 || !strings.Contains(out, `"ended_by":"operator:eve"`) || !strings.Contains(out, `"target":"bad.example"`) {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, errs := run("lane", "history", "--limit", "0"); code != 2 && code != 64 || !strings.Contains(errs, "--limit") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
