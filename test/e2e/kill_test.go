package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// bodyOf returns the part of a message below the header.
func bodyOf(raw string) string {
	_, body, _ := strings.Cut(raw, "\r\n\r\n")
	return body
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// TestKill: 64 clients send, the process is killed without warning again and again, and the only witness is outside: every message
// that was answered 250 arrives, unchanged (F1, I1, I2). POSTERN_KILLS sets how often it dies.
func TestKill(t *testing.T) {
	t.Parallel()
	kills := 5
	if s := os.Getenv("POSTERN_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	g := setup(t)
	var mu sync.Mutex
	answered := map[string]string{} // id -> digest of the body
	unknown := map[string]bool{}    // sent whole, no answer came
	stop := make(chan struct{})
	var clients sync.WaitGroup
	g.start()
	for n := range 64 {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("m-%d-%d-%x", n, i, rand.Uint32())
				message := letter(id) + strings.Repeat("Line "+id+" of the order.\r\n", rand.IntN(60))
				c, err := dial(g.relay)
				if err != nil {
					time.Sleep(20 * time.Millisecond)
					continue
				}
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				code := ""
				if code, _, err = c.reply(); err == nil && code == "220" {
					if code, _, err = c.say("EHLO client.customer.test"); err == nil {
						code, _, err = c.send("news@customer.test", "someone@receiver.test", message)
					}
				}
				c.Close()
				mu.Lock()
				switch {
				case err == nil && code == "250":
					answered[id] = digest(bodyOf(message))
				case err != nil:
					unknown[id] = true
				}
				mu.Unlock()
				if err != nil {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	for range kills {
		time.Sleep(time.Duration(100+rand.IntN(1200)) * time.Millisecond)
		g.kill()
		if rand.IntN(2) == 0 { // half of the time it dies again while it gets up
			g.launch()
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
			g.kill()
		}
		g.start()
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	clients.Wait()
	g.drained(60 * time.Second)

	arrived := map[string]int{}
	changed := 0
	for _, m := range g.mx.all() {
		_, rest, _ := strings.Cut(m.raw, "\r\nSubject: ")
		id, _, _ := strings.Cut(rest, "\r\n")
		if !strings.HasPrefix(id, "m-") {
			t.Errorf("not what was sent: %q", m.raw[:min(300, len(m.raw))])
			continue
		}
		arrived[id]++
		if want, ok := answered[id]; ok && digest(bodyOf(m.raw)) != want {
			changed++
		}
	}
	lost, twice := 0, 0
	for id := range answered {
		if arrived[id] == 0 {
			lost++
		}
	}
	for id, times := range arrived {
		twice += times - 1
		if _, ok := answered[id]; !ok && !unknown[id] {
			t.Errorf("%s arrived although it was refused", id)
		}
	}
	t.Logf("%d kills: %d answered 250, %d without an answer, %d arrived, %d lost, %d changed, %d duplicates", kills, len(answered), len(unknown), len(arrived), lost, changed, twice)
	if lost > 0 || changed > 0 {
		t.Errorf("%d lost, %d changed", lost, changed)
	}
	// docs/operator/durability.md: 256 outcomes may wait for their commit, and each of the lane's ten connections carries one message.
	if bound := kills * (256 + 10); twice > bound {
		t.Errorf("%d duplicates", twice)
	}
	if len(answered) < 50 {
		t.Errorf("only %d messages were taken: the test proves little", len(answered))
	}
}
