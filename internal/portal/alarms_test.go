package portal_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/alarm"
	"postern/internal/user"
)

// TestAlarmHistory: the operator reads what he was told of, page by page and by kind, with its end.
func TestAlarmHistory(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { _ = g.Alarms().Run(ctx) })
	defer work.Wait()
	defer stop()
	g.Alarms().Raise(alarm.Alarm{Key: "spool.full", Severity: alarm.Critical, Code: "spool-full"})
	for i := range 60 {
		g.Alarms().Tell(alarm.Alarm{Key: fmt.Sprint("x ", i), Severity: alarm.Warning, Code: "floor", Args: map[string]string{"Name": fmt.Sprintf("Receiver%02d", i), "Address": "192.0.2.1", "Count": "5"}})
	}
	g.Alarms().Clear("spool.full")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		lines, _, err := g.Alarms().History(ctx, alarm.HistoryQuery{Code: "spool-full"})
		if all, _, _ := g.Alarms().History(ctx, alarm.HistoryQuery{Code: "floor"}); err == nil && len(lines) == 1 && !lines[0].Cleared.IsZero() && len(all) == 60 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("history: %+v, %v", lines, err)
		}
	}
	first := c.get(t, "/o/alarms?code=floor&lang=fr")
	if strings.Count(first, "est en train d") != 50 || !strings.Contains(first, "Historique") || !strings.Contains(first, "Webhooks des alertes") {
		t.Error("the first page does not show fifty lines and the rest of the page")
	}
	_, next, ok := strings.Cut(first, "before=")
	if !ok {
		t.Fatal("no next page")
	}
	next, _, _ = strings.Cut(next, "&")
	next, _, _ = strings.Cut(next, `"`)
	if page := c.get(t, "/o/alarms?code=floor&before="+next); strings.Count(page, "is forgetting") != 10 || strings.Contains(page, "Webhooks for alarms") {
		t.Error("the next page does not show the rest")
	}
	one := c.get(t, "/o/alarms?code=spool-full")
	if strings.Contains(one, "is forgetting") || !strings.Contains(one, "disk is nearly full") || strings.Contains(one, "still stands") || !strings.Contains(one, `<option value="spool-full" selected`) {
		t.Error("the filter does not show one ended alarm")
	}
}
