package cli

import (
	"os"
	"strings"
	"testing"
	"time"

	"postern/internal/api"
)

// topOf is a gateway at work: a lane that stands still, one that is slowed, one whose connections are busy, one idle.
func topOf() api.Top {
	now := time.Date(2026, 11, 22, 8, 30, 0, 0, time.Local)
	lane := func(name, provider, egress string, waiting, busy, used, of int, rate float64, sent, today int) api.TopLane {
		return api.TopLane{Lane: api.Lane{Lane: name, Provider: provider, Egress: egress, Waiting: waiting, Busy: busy, Connections: used, Limit: of, Rate: rate, Sent: sent, Today: today}}
	}
	free := lane("free 192.0.2.10", "Free", "192.0.2.10", 0, 0, 0, 2, 0, 0, 1203)
	free.Parked, free.OldestAt, free.Stands, free.Until = 18230, now.Add(-100*time.Minute), true, now.Add(20*time.Minute)
	free.Because = "Free refuses this address for a while: too many spams from your IP. One message goes first when the pause ends."
	orange := lane("orange 192.0.2.10", "Orange", "192.0.2.10", 500, 2, 2, 2, 30, 29, 15022)
	orange.Parked, orange.OldestAt, orange.Until, orange.Because = 920, now.Add(-30*time.Minute), now.Add(time.Hour), "Orange asked for a slower pace."
	google := lane("google 192.0.2.11", "Google", "192.0.2.11", 40, 5, 5, 5, 0, 812, 99120)
	small := lane("mx:mx.small.example", "mx.small.example", "", 0, 0, 0, 10, 0, 0, 3)
	return api.Top{At: now, Oldest: now.Add(-9 * time.Hour), Alarms: 1, Queue: api.Queue{Queued: 20712, Held: 12, Bytes: 1 << 30},
		LastMinute: map[string]int64{"accepted": 1200, "delivered": 841, "deferred": 12, "bounced": 3}, Lanes: []api.TopLane{free, orange, google, small},
		Customers: []api.TopCustomer{{ID: "acme", Name: "Acme\x1b[31m Ltd", Queued: 19400, Parked: 19100, Lanes: 2, Oldest: now.Add(-100 * time.Minute)},
			{ID: "b", Name: "Bäckerei", Queued: 12, Oldest: now.Add(-9 * time.Hour)}, {Name: "the gateway itself", Queued: 1, Oldest: now.Add(-time.Minute)}}}
}

func TestQueueTopPicture(t *testing.T) {
	t.Parallel()
	c := &command{columns: 140}
	text := c.picture(topOf(), 40)
	for _, want := range []string{"20\u202f712 waiting", "18\u202f230", "stands still for 20 min", "too many spams", "slower for 1 h", "29 of 30", "▮▮ 2/2", "all connections busy", "idle", "1 alarm", "Bäckerei", "12 deferred"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("a customer's name acts on the terminal:\n%q", text)
	}
	for _, lines := range []int{10, 14, 24} {
		if got := strings.Count(c.picture(topOf(), lines), "\n"); got > lines+2 {
			t.Errorf("%d lines on a terminal of %d", got, lines)
		}
	}
	if path := os.Getenv("POSTERN_PICTURE"); path != "" { // for people who look
		c.color = true
		if err := os.WriteFile(path, []byte(c.picture(topOf(), 40)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
