package shaping_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"postern/internal/provider"
	"postern/internal/shaping"
)

func pool(name string, ips ...string) shaping.Pool {
	p := shaping.Pool{Name: name}
	for _, ip := range ips {
		p.Egress = append(p.Egress, shaping.Egress{IP: netip.MustParseAddr(ip), HELO: "gate.example.org"})
	}
	return p
}

func shaper(t *testing.T, o shaping.Options) *shaping.Shaper {
	t.Helper()
	s, err := shaping.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// choices counts where the messages 0 … n-1 leave from.
func choices(t *testing.T, s *shaping.Shaper, name string, n int) (of map[string]int, each []string) {
	t.Helper()
	of = map[string]int{}
	for i := range n {
		e, err := s.Choose(name, "orange", orange(provider.Limits{}), true, true, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		of[e.IP.String()]++
		each = append(each, e.IP.String())
	}
	return of, each
}

func TestChooseIsStable(t *testing.T) {
	t.Parallel()
	four := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}
	s := shaper(t, shaping.Options{Pools: []shaping.Pool{pool("default", four...)}})
	of, before := choices(t, s, "default", 4000)
	for _, ip := range four {
		if of[ip] < 850 || of[ip] > 1150 {
			t.Errorf("%s got %d of 4000", ip, of[ip])
		}
	}
	_, again := choices(t, s, "no such pool", 4000)
	_, without := choices(t, shaper(t, shaping.Options{Pools: []shaping.Pool{pool("default", four[:3]...)}}), "", 4000)
	for i := range before {
		if before[i] != again[i] {
			t.Fatalf("message %d: %s, then %s", i, before[i], again[i])
		}
		if before[i] != four[3] && without[i] != before[i] {
			t.Fatalf("message %d moved from %s to %s though only %s is gone", i, before[i], without[i], four[3])
		}
	}
}

func TestChooseByFamily(t *testing.T) {
	t.Parallel()
	s := shaper(t, shaping.Options{Pools: []shaping.Pool{pool("default", "192.0.2.1", "2001:db8::1"), pool("six", "2001:db8::1"), {Name: "any"}, {Name: "name", Egress: []shaping.Egress{{HELO: "x.example.org"}}}}})
	for i := range uint64(50) {
		if e, err := s.Choose("default", "x", nil, true, false, i); err != nil || !e.IP.Is4() {
			t.Errorf("%v %v", e, err)
		}
		if e, err := s.Choose("default", "x", nil, false, true, i); err != nil || !e.IP.Is6() {
			t.Errorf("%v %v", e, err)
		}
	}
	if _, err := s.Choose("six", "x", nil, true, false, 1); !errors.Is(err, shaping.ErrNoEgress) {
		t.Errorf("IPv6 towards IPv4: %v", err)
	}
	if e, err := s.Choose("any", "x", nil, true, false, 1); err != nil || e.IP.IsValid() {
		t.Errorf("%v %v", e, err)
	}
	if e, err := s.Choose("name", "x", nil, true, false, 1); err != nil || e.HELO != "x.example.org" {
		t.Errorf("%v %v", e, err)
	}
}

// TestSpill: from an address from which nobody can be reached messages move, from one that is blocked they do not, unless the pool says otherwise.
func TestSpill(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		spill            shaping.Spill
		trouble, blocked bool // moves
	}{{"", true, false}, {shaping.SpillTrouble, true, false}, {shaping.SpillAlways, true, true}, {shaping.SpillNever, false, false}} {
		t.Run("spill "+string(tc.spill), func(t *testing.T) {
			t.Parallel()
			for _, blocked := range []bool{false, true} {
				p := pool("default", "192.0.2.1", "192.0.2.2")
				p.Spill = tc.spill
				s := shaper(t, shaping.Options{Pools: []shaping.Pool{p}})
				k := shaping.Key{Egress: p.Egress[0].IP, Provider: "orange"}
				want := tc.trouble
				if blocked {
					s.Observe(k, answer(item("a"), 550, "550 no", spams))
					want = tc.blocked
				} else if _, err := s.PauseLane(t.Context(), k, time.Now().Add(time.Hour), "x", "operator:eve"); err != nil {
					t.Fatal(err)
				}
				of, _ := choices(t, s, "default", 100)
				if moved := of["192.0.2.1"] == 0; moved != want {
					t.Errorf("blocked %v: %v", blocked, of)
				}
				k.Egress = p.Egress[1].IP
				if _, err := s.PauseLane(t.Context(), k, time.Now().Add(time.Hour), "x", "operator:eve"); err != nil {
					t.Fatal(err)
				}
				if of, _ := choices(t, s, "default", 100); len(of) != 2 {
					t.Errorf("none may send, each message stays with its own: %v", of)
				}
			}
		})
	}
}

func TestWarmUpOverflows(t *testing.T) {
	t.Parallel()
	c := newClock()
	warming := func(name string, warm ...string) shaping.Pool {
		p := pool(name, append([]string{"192.0.2.1"}, warm...)...)
		p.Egress[0].Warm = c.Now().Truncate(24 * time.Hour)
		return p
	}
	alone, over, strict := warming("alone"), warming("over"), warming("strict")
	over.Overflow, strict.Strict = "warm", true
	make := func(p shaping.Pool) *shaping.Shaper {
		return shaper(t, shaping.Options{Now: c.Now, WarmUp: []int{50, 100}, Pools: []shaping.Pool{p, pool("warm", "192.0.2.7")}})
	}
	if of, _ := choices(t, make(warming("own", "192.0.2.2", "192.0.2.3")), "own", 1000); of["192.0.2.1"] != 50 || len(of) != 3 {
		t.Errorf("own warm addresses: %v", of)
	}
	if of, _ := choices(t, make(over), "over", 1000); of["192.0.2.1"] != 50 || of["192.0.2.7"] != 950 {
		t.Errorf("overflow: %v", of)
	}
	if of, _ := choices(t, make(alone), "alone", 1000); of["192.0.2.1"] != 1000 {
		t.Errorf("no message waits for warm-up alone: %v", of)
	}

	s := make(strict)
	for i := range uint64(60) {
		_, err := s.Choose("strict", "orange", orange(provider.Limits{}), true, false, i)
		var full *shaping.WarmUpError
		if errors.As(err, &full) != (i >= 50) {
			t.Fatalf("message %d: %v", i, err)
		}
		if full != nil && (full.Wait.Why.Code != "warmup" || fmt.Sprint(full.Wait.Why.Args) != "[Orange 192.0.2.1 50]" || full.Wait.Until.Before(c.Now().Truncate(24*time.Hour).Add(24*time.Hour))) {
			t.Errorf("%+v", full)
		}
	}
	if _, err := s.Choose("strict", "orange", orange(provider.Limits{}), true, false, 7); err != nil {
		t.Errorf("a message that was counted is tried again: %v", err)
	}
	if _, err := s.Choose("strict", "other", &provider.Provider{Name: "other"}, true, false, 70); err != nil {
		t.Errorf("another provider: %v", err)
	}
	w := s.WarmUps()
	if len(w) != 2 || w[0].Provider != "orange" || w[0].Used != 50 || w[0].Allowed != 50 || w[0].Step != 0 || w[0].Steps != 2 {
		t.Errorf("progress: %+v", w)
	}
	c.Add(24 * time.Hour)
	if of, _ := choices(t, s, "strict", 100); of["192.0.2.1"] != 100 {
		t.Errorf("the second day: %v", of)
	}
	c.Add(24 * time.Hour)
	if of, _ := choices(t, s, "strict", 1000); of["192.0.2.1"] != 1000 || len(s.WarmUps()) > 1 {
		t.Errorf("warm: %v %+v", of, s.WarmUps())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for name, p := range map[string][]shaping.Pool{
		"twice":    {{Name: "a"}, {Name: "a"}},
		"nameless": {{}},
		"overflow": {{Name: "a", Overflow: "b"}},
		"spill":    {{Name: "a", Spill: "sometimes"}},
	} {
		if _, err := shaping.New(shaping.Options{Pools: p}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
