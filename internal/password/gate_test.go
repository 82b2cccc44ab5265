package password

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const rememberFor = 5 * time.Minute

// cheap keeps tests fast; the form of the hash is the same.
var cheap = Cost{Memory: 64, Passes: 1, Threads: 1}

func TestVerifyAcceptsOnlyTheRightPassword(t *testing.T) {
	t.Parallel()
	stored, err := NewHasher().Hash(context.Background(), "correct horse", cheap)
	if err != nil {
		t.Fatal(err)
	}
	if !NewHasher().verify("correct horse", stored) {
		t.Error("right password denied")
	}
	for _, wrong := range []string{"", "correct horse ", "Correct horse", "correct hors"} {
		if NewHasher().verify(wrong, stored) {
			t.Errorf("%q accepted", wrong)
		}
	}
	if NewHasher().verify("", "") {
		t.Error("empty password fits an empty hash")
	}
}

// TestVerifyDeniesDamagedHashes corrupts every byte of a stored hash in several ways, cuts it everywhere and adds to it.
func TestVerifyDeniesDamagedHashes(t *testing.T) {
	t.Parallel()
	stored, err := NewHasher().Hash(context.Background(), "secret", cheap)
	if err != nil {
		t.Fatal(err)
	}
	try := func(damaged string) {
		t.Helper()
		if damaged == stored {
			return
		}
		p, err := parseHash(damaged)
		if err != nil {
			return // denied without a comparison
		}
		if p.cost.Memory > maxMemory || p.cost.Passes > maxPasses || p.cost.Threads > maxThreads {
			t.Fatalf("%q asks for %+v", damaged, p.cost)
		}
		if p.cost.Memory < 2000 && NewHasher().verify("secret", damaged) {
			t.Errorf("%q accepted", damaged)
		}
	}
	for i := range stored {
		for _, b := range []byte{0, ' ', '$', ',', '=', '0', '1', '9', 'A', 'b', '/', '+', '\n', 0xff, stored[i] ^ 1, stored[i] ^ 0x20, stored[i] ^ 0x80} {
			try(stored[:i] + string([]byte{b}) + stored[i+1:])
		}
		try(stored[:i])
		try(stored[i+1:])
		try(stored[:i] + stored[i+1:])
		try(stored[:i] + stored[i:i+1] + stored[i:])
	}
	for _, damaged := range []string{stored + "\n", stored + "=", stored + "$", " " + stored, strings.Replace(stored, "argon2id", "argon2i", 1),
		"$argon2id$v=19$m=999999,t=1,p=1$" + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43), "plain", "{PLAIN}secret", "secret"} {
		try(damaged)
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("")
	f.Add("$argon2id$v=19$m=8,t=1,p=4$$")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseHash(s)
		if err != nil {
			return
		}
		if len(p.salt) != saltBytes || len(p.key) != hashBytes || p.cost.Memory > maxMemory || p.cost.Passes > maxPasses || p.cost.Threads > maxThreads || p.cost.Passes == 0 || p.cost.Threads == 0 {
			t.Errorf("%q gave %+v", s, p)
		}
	})
}

func TestGateBlocksAfterFailuresAndDoubles(t *testing.T) {
	t.Parallel()
	g, err := NewGate(rememberFor)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	none := netip.Addr{}
	for i := range failuresPerUser {
		if !g.Admits("a", none, now) {
			t.Fatalf("blocked after %d failures", i)
		}
		g.Failed("a", none, now)
		now = now.Add(time.Minute)
	}
	// The fifth failure was a minute ago: its block has just ended.
	if !g.Admits("a", none, now) {
		t.Fatal("block longer than a minute")
	}
	for _, want := range []time.Duration{2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, 64 * time.Minute, 128 * time.Minute, 4 * time.Hour, 4 * time.Hour} {
		g.Failed("a", none, now)
		if g.Admits("a", none, now.Add(want-time.Second)) {
			t.Fatalf("admitted before %v", want)
		}
		now = now.Add(want)
		if !g.Admits("a", none, now) {
			t.Fatalf("still blocked after %v", want)
		}
	}
	if g.Admits("b", none, now) != true {
		t.Error("another user is blocked too")
	}
	now = now.Add(9 * time.Hour)
	g.Failed("a", none, now)
	if !g.Admits("a", none, now) {
		t.Error("old failures are not forgotten")
	}
}

func TestGateForgetsSlowFailures(t *testing.T) {
	t.Parallel()
	g, _ := NewGate(rememberFor)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for range 50 {
		g.Failed("a", netip.Addr{}, now)
		if !g.Admits("a", netip.Addr{}, now) {
			t.Fatal("blocked although failures are 16 minutes apart")
		}
		now = now.Add(16 * time.Minute)
	}
}

func TestGateCountsClientNetworks(t *testing.T) {
	t.Parallel()
	g, _ := NewGate(rememberFor)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for i := range failuresPerIP {
		// Another user and another address of the same /64 every time.
		g.Failed(fmt.Sprint("user", i), netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", i+1)), now)
	}
	if g.Admits("new", netip.MustParseAddr("2001:db8::ffff"), now) {
		t.Error("guesser's network is admitted")
	}
	if !g.Admits("new", netip.MustParseAddr("2001:db8:0:1::1"), now) || !g.Admits("new", netip.Addr{}, now) {
		t.Error("others are blocked")
	}
}

func TestGateLetsKnownAddressesPass(t *testing.T) {
	t.Parallel()
	g, _ := NewGate(rememberFor)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	home, guesser := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.9")
	g.Succeeded("a", home, now)
	for range failuresPerUser {
		g.Failed("a", guesser, now)
	}
	if g.Admits("a", guesser, now) {
		t.Error("guesser admitted")
	}
	if !g.Admits("a", netip.MustParseAddr("::ffff:192.0.2.1"), now) {
		t.Error("the owner is locked out by somebody else's failures")
	}
	later := now.Add(knownFor + time.Second)
	for range failuresPerUser {
		g.Failed("a", guesser, later)
	}
	if g.Admits("a", home, later) {
		t.Error("known for ever")
	}
}

func TestGateIsBounded(t *testing.T) {
	t.Parallel()
	g, _ := NewGate(rememberFor)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for i := range maxRemembered + 200 {
		user := fmt.Sprint(i)
		ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		g.Failed(user, ip, now)
		g.remember(user, "p", "h", now)
		g.Succeeded(user+"x", ip, now)
		now = now.Add(time.Millisecond)
	}
	if len(g.users) > maxRemembered || len(g.ips) > maxRemembered || len(g.right) > maxRemembered || len(g.known) > maxRemembered {
		t.Errorf("users %d, ips %d, right %d, known %d", len(g.users), len(g.ips), len(g.right), len(g.known))
	}
	if last := fmt.Sprint(maxRemembered + 199); !g.remembers(last, "p", "h", now) || g.remembers(last, "p", "other hash", now) {
		t.Error("the newest entry is gone, or fits another hash")
	}
	if g.remembers(fmt.Sprint(maxRemembered+199), "p", "h", now.Add(rememberFor)) {
		t.Error("remembered for too long")
	}
}
