package world_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/delivery"
	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/spool"
)

// dayProviders are eight receivers as the world has them: seven that our knowledge names, by their real exchangers' names, and one that nobody knows.
var dayProviders = []struct {
	name, host, domain string
	share              int // of the mail
}{
	{"google", "gmail-smtp-in.l.google.com", "gmail.com", 30}, {"microsoft-consumer", "outlook-com.olc.protection.outlook.com", "outlook.com", 20},
	{"orange", "smtp-in.orange.fr", "orange.fr", 15}, {"free", "mx1.free.fr", "free.fr", 10}, {"yahoo", "mta5.am0.yahoodns.net", "yahoo.fr", 10},
	{"laposte", "smtpz4.laposte.net", "laposte.net", 5}, {"sfr", "smtp-in.sfr.fr", "sfr.fr", 5}, {"", "mx.small.test", "small.test", 5},
}

// dayLimits are what an operator adds to our knowledge: paces, which few providers publish. Each span of time has one.
var dayLimits = map[string]string{
	"free": "per_minute: 60", "sfr": "per_second: 1", "orange": "per_minute: 90, per_hour: 2000", "microsoft-consumer": "per_minute: 100, per_hour: 1500",
	"laposte": "per_minute: 30, per_day: 1000", "yahoo": "per_hour: 1200",
}

// dayKnowledge is ours with dayLimits over it.
func dayKnowledge(t *testing.T) *provider.Knowledge {
	t.Helper()
	dir := t.TempDir()
	for name, limits := range dayLimits {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte("name: "+name+"\nlimits: {"+limits+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k, err := provider.Load([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const (
	dayCustomers  = 50
	dayPerSender  = 60    // messages of one customer on an ordinary day
	dayFlood      = 8_000 // messages that the flooding customer sends at once, in the morning: hours of work for the slow ones
	floodCustomer = 0
	floodAt       = 9 * time.Hour
)

// event is one message of the day's plan.
type event struct {
	at time.Duration
	letter
}

// dayPlan is the same for each run: customers write through the day as people do, most between 8 and 18 h; the flood comes on top.
func dayPlan(flood bool) []event {
	rng := rand.New(rand.NewPCG(4, 4))
	total := 0
	for _, p := range dayProviders {
		total += p.share
	}
	domain := func() string {
		n := rng.IntN(total)
		for _, p := range dayProviders {
			if n -= p.share; n < 0 {
				return p.domain
			}
		}
		return ""
	}
	var plan []event
	for c := range dayCustomers {
		for i := range dayPerSender {
			hour := math.Min(math.Max(13+rng.NormFloat64()*3.5, 0), 23.9)
			plan = append(plan, event{time.Duration(hour * float64(time.Hour)), letter{customer: c, to: fmt.Sprintf("c%02d-%d@%s", c, i, domain()), class: rng.IntN(2)}})
		}
	}
	if flood {
		for i := range dayFlood {
			plan = append(plan, event{floodAt + time.Duration(i)*10*time.Millisecond, letter{customer: floodCustomer, to: fmt.Sprintf("flood-%d@%s", i, domain()), class: 2}})
		}
	}
	slices.SortStableFunc(plan, func(a, b event) int { return int(a.at - b.at) })
	return plan
}

// dayResult is what a day came to.
type dayResult struct {
	delays  map[int][]time.Duration // of each customer's ordinary mail, from acceptance to the receiver's 250
	arrived int
	flooded int // of the flood
	excess  []string
}

// liveDay plays a plan. Everything must have arrived after another day.
func liveDay(t *testing.T, flood bool) (out dayResult) {
	synctest.Test(t, func(t *testing.T) {
		k := dayKnowledge(t)
		v := newVirtual(t)
		var receivers []*receiver
		for _, p := range dayProviders {
			known := k.Behind(mail.Domain(p.domain), []string{p.host})
			if false && known.Name != p.name {
				t.Fatalf("behind %s is %q, not %q", p.host, known.Name, p.name)
			}
			receivers = append(receivers, v.add(&receiver{name: p.domain, host: p.host, domains: []string{p.domain}, latency: 80 * time.Millisecond, limits: known.Limits}))
		}
		g := startGateway(t, v, fastFolder(t), dayCustomers, func(o *delivery.Options) { o.Knowledge = func() *provider.Knowledge { return k } })
		defer g.stop()
		start := time.Now()
		plan := dayPlan(flood)
		type sent struct {
			event
			at time.Time
		}
		var mu sync.Mutex
		accepted := map[string]sent{}
		var puts sync.WaitGroup
		for _, e := range plan {
			time.Sleep(time.Until(start.Add(e.at)))
			puts.Go(func() {
				id := g.put(e.letter)
				mu.Lock()
				accepted[string(id)] = sent{e, time.Now()}
				mu.Unlock()
			})
		}
		puts.Wait()
		time.Sleep(time.Until(start.Add(48 * time.Hour)))
		out = dayResult{delays: map[int][]time.Duration{}}
		seen := map[string]bool{}
		for _, r := range receivers {
			out.excess = append(out.excess, r.excess...)
			for _, x := range r.taken {
				s, ok := accepted[x.id]
				switch {
				case !ok:
					t.Errorf("%s took a message nobody sent: %s", r.name, x.id)
				case seen[x.id]:
					t.Errorf("%s took %s twice", r.name, x.id)
				case strings.HasPrefix(s.to, "flood-"):
					out.flooded++
				default:
					out.delays[s.customer] = append(out.delays[s.customer], x.at.Sub(s.at))
				}
				seen[x.id] = true
			}
		}
		out.arrived = len(seen)
		if out.arrived != len(plan) {
			t.Errorf("%d of %d messages arrived", out.arrived, len(plan))
			works, _, _ := g.spool.List(context.Background(), spool.Filter{Limit: 5})
			for _, w := range works {
				for _, r := range w.Recipients {
					t.Logf("left: %s %s next %v %q %q %q", w.ID, r.Address, r.NextAt, r.Lane, r.Wait, r.Text)
				}
			}
		}
	})
	return out
}

func mean(d []time.Duration) time.Duration {
	var sum time.Duration
	for _, x := range d {
		sum += x
	}
	return sum / time.Duration(max(len(d), 1))
}

func share(d []time.Duration, q float64) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[int(q*float64(len(d)-1))]
}

// TestDay is a day with eight providers and fifty customers, once as it is and once with one customer flooding everybody: no provider's limit is ever
// exceeded, counted at the receiver, and the other customers wait no more than twice as long as without the flood.
func TestDay(t *testing.T) {
	calm := liveDay(t, false)
	flood := liveDay(t, true)
	for name, day := range map[string]dayResult{"calm": calm, "flood": flood} {
		for i, x := range day.excess {
			if i == 10 {
				t.Errorf("%s: and %d more", name, len(day.excess)-i)
				break
			}
			t.Errorf("%s: %s", name, x)
		}
	}
	var before, after []time.Duration
	for c := range dayCustomers {
		if c == floodCustomer {
			continue
		}
		before, after = append(before, calm.delays[c]...), append(after, flood.delays[c]...)
		if a, b := mean(calm.delays[c]), mean(flood.delays[c]); b > 2*a {
			t.Errorf("customer %d waits %v on average, and %v while another floods", c, a.Round(time.Millisecond), b.Round(time.Millisecond))
		}
	}
	t.Logf("others' delay: mean %v -> %v, median %v -> %v, 99 %% %v -> %v, longest %v -> %v; the flood: %d messages", mean(before), mean(after),
		share(before, 0.5), share(after, 0.5), share(before, 0.99), share(after, 0.99), slices.Max(before), slices.Max(after), flood.flooded)
	if share(after, 0.99) > 2*share(before, 0.99) {
		t.Errorf("1 %% of the others' mail waits %v, without the flood %v", share(after, 0.99), share(before, 0.99))
	}
}
