package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/store"
)

// TestBacklog: with 200,000 queued messages the process starts and delivers within seconds (F20).
func TestBacklog(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	const count = 200_000
	g := setup(t, "01-smuggling/reject.yaml")
	data := filepath.Join(g.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	fill(t, data, count)
	t.Logf("%d messages put in %v", count, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	g.start()
	ready := time.Since(began)
	for len(g.mx.all()) == 0 {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("ready after %v, and nothing delivered after 30 s:\n%s", ready, g.log)
		}
		time.Sleep(time.Millisecond)
	}
	first := time.Since(began)
	time.Sleep(2 * time.Second)
	rate := float64(len(g.mx.all())) / (time.Since(began) - first).Seconds()
	rss := "?"
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid)); err == nil {
		for line := range lines(string(text)) {
			if len(line) > 6 && line[:6] == "VmRSS:" {
				rss = line[6:]
			}
		}
	}
	t.Logf("ready after %v, first delivery after %v, then about %.0f a second, memory%s", ready.Round(time.Millisecond), first.Round(time.Millisecond), rate, rss)
}

func lines(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > 0 {
			line := s
			for i := range s {
				if s[i] == '\n' {
					line = s[:i]
					break
				}
			}
			if !yield(line) {
				return
			}
			s = s[min(len(s), len(line)+1):]
		}
	}
}

// fill puts messages into the store of a gateway that does not run, as if it had accepted them.
func fill(t *testing.T, data string, count int) {
	t.Helper()
	ctx := t.Context()
	queue, err := store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(data, "spool.db"), Migrations: store.SpoolSchema()})
	if err != nil {
		t.Fatal(err)
	}
	main, err := store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(data, "postern.db"), Migrations: store.MainSchema()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := spool.Open(spool.Options{DB: queue, Dir: filepath.Join(data, "bodies"), Node: "gate.receiver.test", Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.New(journal.Options{DB: main})
	if err != nil {
		t.Fatal(err)
	}
	from, _ := mail.ParseAddress("news@customer.test")
	to, _ := mail.ParseAddress("someone@receiver.test")
	work := make(chan int, 4096)
	facts := make(chan journal.Fact, 4096)
	var putters, writer sync.WaitGroup
	for range 1024 { // as many share one commit
		putters.Go(func() {
			for i := range work {
				now := time.Now()
				m := &spool.Message{ID: mail.NewQueueID(now), Customer: "shop", Received: now, Expires: now.Add(48 * time.Hour), HeaderFrom: from.String(),
					Subject: "backlog", Body: []byte(letter(fmt.Sprint("b-", i))), Envelope: mail.Envelope{ReversePath: from, Recipients: []mail.Recipient{{Address: to}}}}
				if err := s.Put(ctx, m); err != nil {
					t.Error(err)
					return
				}
				facts <- journal.Fact{Kind: journal.Accepted, At: now, QueueID: m.ID, Customer: "shop", Actor: "rule"}
			}
		})
	}
	writer.Go(func() {
		var batch []journal.Fact
		flush := func() {
			if err := j.Append(ctx, batch...); err != nil {
				t.Error(err)
			}
			batch = nil
		}
		for f := range facts {
			if batch = append(batch, f); len(batch) == 2000 {
				flush()
			}
		}
		flush()
	})
	for i := range count {
		work <- i
	}
	close(work)
	putters.Wait()
	close(facts)
	writer.Wait()
	if err := queue.Close(); err != nil {
		t.Fatal(err)
	}
	if err := main.Close(); err != nil {
		t.Fatal(err)
	}
}
