package spool_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// victimEnv tells this test binary to be the process that is killed: folder and database URL.
const victimEnv = "POSTERN_SPOOL_VICTIM"

func TestMain(m *testing.M) {
	if at := os.Getenv(victimEnv); at != "" {
		dir, url, _ := strings.Cut(at, "|")
		if err := victim(dir, url); err != nil {
			fmt.Fprintln(os.Stderr, "victim:", err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func victimSpool(ctx context.Context, dir, url string) (*store.DB, *spool.Spool, error) {
	db, err := store.Open(ctx, store.Options{URL: url, Migrations: store.SpoolSchema()})
	if err != nil {
		return nil, nil, err
	}
	s, err := spool.Open(spool.Options{DB: db, Dir: filepath.Join(dir, "bodies"), Node: "victim", InlineBytes: 20_000, Reserve: -1})
	return db, s, err
}

// victim puts mail as fast as it can and settles some of it, and prints what was answered: "+ id hash" after Put,
// "? id" before and "- id" after a Settle that ends the message.
func victim(dir, url string) error {
	ctx := context.Background()
	_, s, err := victimSpool(ctx, dir, url)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		line := fmt.Sprintf(format, args...) + "\n"
		mu.Lock()
		defer mu.Unlock()
		os.Stdout.WriteString(line) // one write: the parent reads whole lines or a last half one
	}
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			for {
				size := 500 + rand.IntN(4000)
				if rand.IntN(20) == 0 {
					size = 30_000
				}
				m := message(time.Now(), size)
				sum := sha256.Sum256(m.Body)
				if err := s.Put(ctx, m); err != nil {
					say("! put: %v", err)
					return
				}
				say("+ %s %s", m.ID, hex.EncodeToString(sum[:]))
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			for {
				works, err := s.Claim(ctx, 20)
				if err != nil {
					say("! claim: %v", err)
					return
				}
				var out []spool.Outcome
				for _, w := range works {
					o := spool.Outcome{ID: w.ID, State: spool.Delivered, Attempted: true}
					if rand.IntN(3) == 0 {
						o.State, o.NextAt = spool.Queued, time.Now().Add(time.Hour)
					} else {
						say("? %s", w.ID)
					}
					out = append(out, o)
				}
				if err := s.Settle(ctx, out...); err != nil {
					say("! settle: %v", err)
					return
				}
				for _, o := range out {
					if o.State.Final() {
						say("- %s", o.ID)
					}
				}
			}
		})
	}
	wg.Wait()
	return errors.New("stopped by itself")
}

// TestKill kills a process that accepts mail under load, again and again, at random moments, and looks for everything it
// had acknowledged. The parent is the only witness. POSTERN_KILLS sets the number of rounds (default 20, with -short 3).
func TestKill(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		killLoop(t, dir, "sqlite:"+filepath.Join(dir, "spool.db"), rounds(t, 20))
	})
	t.Run("postgres", func(t *testing.T) {
		killLoop(t, t.TempDir(), storetest.PostgresURL(t, store.SpoolSchema()), rounds(t, 5))
	})
}

func rounds(t *testing.T, normal int) int {
	if n, err := strconv.Atoi(os.Getenv("POSTERN_KILLS")); err == nil {
		return n
	}
	if testing.Short() {
		return min(normal, 3)
	}
	return normal
}

func killLoop(t *testing.T, dir, url string, rounds int) {
	hashes := map[mail.QueueID]string{} // acknowledged and not known to be settled
	maybe := map[mail.QueueID]bool{}    // a Settle was under way: may be gone
	settled := map[mail.QueueID]bool{}
	acknowledged := 0
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), victimEnv+"="+dir+"|"+url)
		out, err := cmd.StdoutPipe()
		must(t, err)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		must(t, cmd.Start())
		timer := time.AfterFunc(time.Duration(50+rand.IntN(450))*time.Millisecond, func() { cmd.Process.Kill() })
		lines := bufio.NewScanner(out)
		seen := 0
		for lines.Scan() {
			f := strings.Fields(lines.Text())
			switch {
			case len(f) == 3 && f[0] == "+" && len(f[2]) == 64:
				hashes[mail.QueueID(f[1])] = f[2]
				seen++
			case len(f) == 2 && f[0] == "?" && len(f[1]) == 26:
				maybe[mail.QueueID(f[1])] = true
			case len(f) == 2 && f[0] == "-" && len(f[1]) == 26:
				settled[mail.QueueID(f[1])] = true
			case len(f) > 0 && f[0] == "!":
				t.Errorf("round %d: %s", round, lines.Text())
			}
		}
		cmd.Wait()
		timer.Stop()
		if stderr.Len() > 0 {
			t.Fatalf("round %d: %s", round, stderr.String())
		}
		acknowledged += seen
		if round%5 == 4 || round == rounds-1 {
			killCheck(t, dir, url, hashes, maybe, settled)
		}
	}
	t.Logf("%d kills, %d messages acknowledged, %d settled, none lost", rounds, acknowledged, len(settled))
}

// killCheck opens what the kills left and compares it with what was acknowledged.
func killCheck(t *testing.T, dir, url string, hashes map[mail.QueueID]string, maybe, settled map[mail.QueueID]bool) {
	t.Helper()
	db, s, err := victimSpool(t.Context(), dir, url)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	for id, hash := range hashes {
		body, err := s.Body(t.Context(), id)
		switch {
		case errors.Is(err, spool.ErrNotFound) && maybe[id]:
			continue
		case err != nil:
			t.Errorf("acknowledged message %s is lost: %v", id, err)
			continue
		case settled[id]:
			t.Errorf("settled message %s came back", id)
		}
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != hash {
			t.Errorf("message %s came back with another body", id)
		}
	}
	// Empty the spool: what was put and not acknowledged must be whole too.
	stats(t, s)
	_, err = s.RetryAll(t.Context())
	must(t, err)
	for {
		works, err := s.Claim(t.Context(), 1000)
		must(t, err)
		if len(works) == 0 {
			break
		}
		var out []spool.Outcome
		for _, w := range works {
			if _, err := s.Body(t.Context(), w.ID); err != nil {
				t.Errorf("message %s: %v", w.ID, err)
			}
			out = append(out, spool.Outcome{ID: w.ID, State: spool.Delivered})
		}
		must(t, s.Settle(t.Context(), out...))
	}
	if st := stats(t, s); st.Queued != 0 {
		t.Errorf("not empty: %+v", st)
	}
	clear(hashes)
}
