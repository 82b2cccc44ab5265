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
	waitFor(t, "the alarm in the history", func() bool {
		lines, _, err := g.Alarms().History(ctx, alarm.HistoryQuery{Code: "spool-full"})
		return err == nil && len(lines) == 1 && len(lines[0].Told) > 0
	})
	for i := range 60 {
		g.Alarms().Tell(alarm.Alarm{Key: fmt.Sprint("x ", i), Severity: alarm.Warning, Code: "floor", Args: map[string]string{"Name": fmt.Sprintf("Receiver%02d", i), "Address": "192.0.2.1", "Count": "5"}})
	}
	g.Alarms().Clear("spool.full")
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
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

// TestAlarmsStanding: what is critical stands first, and each leads to where it is seen to.
func TestAlarmsStanding(t *testing.T) {
	t.Parallel()
	g := start(t)
	ago := func(hours int) time.Time { return time.Now().Add(-time.Duration(hours) * time.Hour) }
	args := map[string]string{"Target": "192.0.2.1"}
	for _, name := range strings.Fields("Operator Lists Reason Dossier Count Newest") {
		args[name] = "3"
	}
	raise := func(key string, severity alarm.Severity, code string, hours int) {
		g.Alarms().Raise(alarm.Alarm{Key: key, Severity: severity, Code: code, Since: ago(hours), Args: args})
	}
	c, page := g.as(t, user.Operator, ""), ""
	waitFor(t, "three alarms that stand", func() bool { // the watch ends those that are not its own when it begins
		raise("reputation 192.0.2.1 Alpha Org", alarm.Warning, "listing", 9)
		raise("reputation ranges", alarm.Warning, "listing-range", 8)
		raise("reputation 192.0.2.9 Alpha Org", alarm.Critical, "listing", 1)
		page = c.get(t, "/o/alarms")
		return strings.Contains(page, `target/192.0.2.1"`) && strings.Contains(page, `target/192.0.2.9"`) && strings.Contains(page, `href="/o/reputation">Blocklists</a></p>`)
	})
	expect(t, page, `href="/o/reputation/target/192.0.2.1"`, `href="/o/dossiers?target=192.0.2.1"`, `href="#history"`)
	if critical, warning := strings.Index(page, `target/192.0.2.9"`), strings.Index(page, `target/192.0.2.1"`); critical < 0 || critical > warning {
		t.Error("what is critical does not stand first")
	}
}
