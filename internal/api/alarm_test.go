package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"postern/internal/alarm"
	"postern/internal/api"
	"postern/internal/user"
)

// TestAlarmHistory: what was told, page by page, in the language asked for.
func TestAlarmHistory(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	token := x.token(t, user.Operator, "")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.Alarms().Run(ctx) }()
	defer func() { stop(); <-ended }()
	for i := range 5 {
		x.Alarms().Tell(alarm.Alarm{Key: fmt.Sprint("x ", i), Severity: alarm.Warning, Code: "floor", Args: map[string]string{"Name": fmt.Sprint("R", i), "Address": "192.0.2.1", "Count": "5"}})
	}
	x.Alarms().Raise(alarm.Alarm{Key: "spool.full", Severity: alarm.Critical, Code: "spool-full"})
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if lines, _, err := x.Alarms().History(ctx, alarm.HistoryQuery{Code: "spool-full"}); err == nil && len(lines) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the history is not written")
		}
	}
	ask := func(query string) (out api.AlarmHistory) {
		t.Helper()
		a := x.over(t, "GET", "/v1/alarms/history?"+query, token, "")
		if err := json.Unmarshal([]byte(a.text), &out); err != nil || a.status != 200 {
			t.Fatalf("%d %s %v", a.status, a.text, err)
		}
		return out
	}
	one, seen := ask("limit=4&code=floor&lang=fr"), 0
	seen += len(one.Lines)
	two := ask("limit=4&code=floor&lang=fr&cursor=" + one.Next)
	seen += len(two.Lines)
	if seen != 5 || two.Next != "" || !slices.Contains(one.Codes, "floor") {
		t.Errorf("%d lines, then %q", seen, two.Next)
	}
	full := ask("code=spool-full&lang=fr")
	if len(full.Lines) != 1 || full.Lines[0].Title != "Plus aucun message n'est accepté\u00a0: le disque est presque plein" || full.Lines[0].Cleared != nil || full.Lines[0].Severity != "critical" {
		t.Errorf("%+v", full)
	}
	if a := x.over(t, "GET", "/v1/alarms/history?cursor=xx", token, ""); a.status != 422 {
		t.Errorf("a wrong cursor: %d", a.status)
	}
}
