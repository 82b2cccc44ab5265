package api_test

import (
	"strings"
	"testing"
	"time"

	"postern/internal/api"
)

// TestLanes: a lane is paused by name, seen with its reason in words, and lifted; what is wrong is said.
func TestLanes(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	until := time.Now().Add(2 * time.Hour).Truncate(time.Second)
	made, err := g.client.PauseLane(ctx, api.PauseRequest{Lane: "orange", Until: until, Reason: "their postmaster asked"})
	if err != nil || len(made) != 1 || made[0].Kind != "operator" || made[0].By != "operator:alice" || !strings.Contains(made[0].Text, "their postmaster asked") || !made[0].Ends.Equal(until) {
		t.Fatalf("paused: %+v, %v", made, err)
	}
	lanes, err := g.client.Lanes(ctx)
	if err != nil || len(lanes) != 1 || lanes[0].Lane != "orange" || len(lanes[0].InForce) != 1 {
		t.Fatalf("lanes: %+v, %v", lanes, err)
	}
	if st, err := g.client.Status(ctx); err != nil || st.Lanes != 1 || st.LanesDown != 1 {
		t.Errorf("status: %d lanes, %d stand still, %v", st.Lanes, st.LanesDown, err)
	}
	if status, _, text := g.raw(t, "GET", "/v1/reactions", "", ""); status != 200 || !strings.Contains(text, made[0].ID) {
		t.Fatalf("in force: %d %s", status, text)
	}
	if d, err := g.client.Lift(ctx, made[0].ID); err != nil || !strings.Contains(d.Text, "orange") {
		t.Errorf("lifted: %+v, %v", d, err)
	}
	if status, _, text := g.raw(t, "GET", "/v1/reactions", "", ""); status != 200 || strings.Contains(text, made[0].ID) {
		t.Errorf("still in force: %d %s", status, text)
	}
	for lane, n := range map[string]int{"": 1, "orange": 1, "orang": 0, "orange 192.0.2.1": 0} {
		past, err := g.client.History(ctx, lane, 10)
		if err != nil || len(past) != n || n > 0 && (past[0].ID != made[0].ID || past[0].EndedBy != "operator:alice" || past[0].EndedText == "" || past[0].Ended.IsZero()) {
			t.Errorf("history of %q: %+v, %v", lane, past, err)
		}
	}
	if _, err := g.client.Lift(ctx, made[0].ID); kind(t, err) != "not-found" {
		t.Errorf("lifted twice: %v", err)
	}
	for name, r := range map[string]api.PauseRequest{
		"past":    {Lane: "orange", Until: g.now.Add(-time.Hour)},
		"no lane": {Lane: "orange 1.2.3", Until: until},
		"nobody":  {Lane: "greylist.example", Until: until},
	} {
		if _, err := g.client.PauseLane(ctx, r); kind(t, err) != "invalid" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := g.client.PauseLane(ctx, api.PauseRequest{Lane: "gogle", Until: until}); err == nil || !strings.Contains(err.Error(), "google") {
		t.Errorf("a name with a slip: %v", err)
	}
	all, err := g.client.PauseLane(ctx, api.PauseRequest{Lane: "*", Until: until})
	if err != nil || len(all) != 1 || all[0].Lane != "*" || !strings.Contains(all[0].Text, "paused all mail") {
		t.Errorf("all lanes: %+v %v", all, err)
	}
}
