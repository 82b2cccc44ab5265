// Command queue measures what a long queue costs: it fills the spool of a gateway with messages of 2 KB (50 customers, several hundred
// domains, one message in ten parked in a lane), and measures at each length what accepting and delivering one more message costs,
// how long counts and lists take, and how the gateway starts on top of it.
//
//	go run ./bench/queue [-n 1000,10000,100000,1000000] [-dir DIR] [-gateway ./bin/postern] [-deliver 12000]
//
// Without -gateway only the spool is measured: Put, and Claim with Body and Settle, CPU of this process per message. With it, each length
// is also given to a real gateway whose smarthost is a sink on loopback: time from its start to the open door and to the first
// message delivered, its CPU per message (over some thousand messages, after the first), its largest memory. A cost that is the same in
// each row is the aim; what parking costs shows when much is delivered. One million needs about 10 GB in DIR.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/store"
)

// host is the gateway's name: the spool belongs to it, whoever opens it.
const host = "gate.bench.test"

func main() {
	lengths := flag.String("n", "1000,10000,100000,1000000", "lengths of the queue, rising")
	dir := flag.String("dir", "", "folder for the queue; empty: a temporary one")
	gateway := flag.String("gateway", "", "program of the gateway; empty: only the spool is measured")
	probe := flag.Int("probe", 5000, "messages put, and delivered, for a figure")
	size := flag.Int("size", 2048, "bytes of a message")
	share := flag.Int("deliver", 12_000, "messages that the gateway delivers, at most half of the queue")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *lengths, *dir, *gateway, *probe, *size, *share); err != nil {
		fmt.Fprintln(os.Stderr, "queue:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, lengths, dir, gateway string, probe, size, share int) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "postern-queue"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	fmt.Printf("%9s | %s\n", "queued", headings)
	for text := range strings.SplitSeq(lengths, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return err
		}
		var row figures
		if err := measureSpool(ctx, dir, n, probe, size, &row); err != nil {
			return fmt.Errorf("%d messages: %w", n, err)
		}
		if gateway != "" {
			if err := measureGateway(ctx, dir, gateway, min(share, n/2), &row); err != nil {
				return fmt.Errorf("%d messages: %w", n, err)
			}
		}
		fmt.Printf("%9d | %s\n", n, row)
	}
	return nil
}

// headings name the columns of figures.
const headings = "put µs deliver µs park µs | open s claim s | stats ms backlogs ms accounts ms list ms lane list ms | hurry µs | heap MB || ready s first s µs/msg peak MB"

// figures are one row.
type figures struct {
	put, deliver, park                       time.Duration // CPU of one message
	open, claim                              time.Duration // from the closed file to the open spool, and to the first messages
	stats, backlogs, accounts, list, laneful time.Duration
	hurry                                    time.Duration // of one recipient, by the clock
	heapMB                                   float64
	ready, first, each                       time.Duration // of the gateway
	peakMB                                   float64
}

func (f figures) String() string {
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	ms := func(d time.Duration) float64 { return us(d) / 1e3 }
	return fmt.Sprintf("%6.0f %10.0f %7.0f | %6.2f %7.2f | %8.1f %11.1f %11.1f %7.1f %12.1f | %8.1f | %7.0f || %7.1f %7.1f %6.0f %7.0f",
		us(f.put), us(f.deliver), us(f.park), f.open.Seconds(), f.claim.Seconds(), ms(f.stats), ms(f.backlogs), ms(f.accounts), ms(f.list), ms(f.laneful),
		us(f.hurry), f.heapMB, f.ready.Seconds(), f.first.Seconds(), us(f.each), f.peakMB)
}

// queue is the spool under measurement, with the journal that a gateway would have.
type queue struct {
	spoolDB, mainDB *store.DB
	spool           *spool.Spool
	journal         *journal.Journal
	body            []byte
	made            atomic.Int64
}

func openQueue(ctx context.Context, dir string, size int) (*queue, error) {
	q := &queue{body: letter(size)}
	var err error
	if q.spoolDB, err = store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(dir, "spool.db"), Migrations: store.SpoolSchema()}); err != nil {
		return nil, err
	}
	if q.mainDB, err = store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(dir, "postern.db"), Migrations: store.MainSchema()}); err != nil {
		return nil, err
	}
	if q.journal, err = journal.New(journal.Options{DB: q.mainDB}); err != nil {
		return nil, err
	}
	q.spool, err = spool.Open(spool.Options{DB: q.spoolDB, Dir: filepath.Join(dir, "bodies"), Node: host})
	if err == nil {
		err = q.spool.Start(ctx)
	}
	return q, err
}

func (q *queue) close() error { return errors.Join(q.spoolDB.Close(), q.mainDB.Close()) }

func letter(size int) []byte {
	var b strings.Builder
	b.WriteString("From: Bench <sender@bench.test>\r\nTo: <rcpt@bench.test>\r\nSubject: queued\r\nMessage-ID: <1@bench.test>\r\n\r\n")
	for b.Len() < size {
		b.WriteString("the quick brown fox jumps over the lazy dog while mail waits its turn\r\n")
	}
	return []byte(b.String())
}

// lanes are those in which parked mail waits.
const lanes = 8

func lane(n int64) string { return "192.0.2." + strconv.FormatInt(n%lanes, 10) + "|provider" }

// put accepts one message, as intake does.
func (q *queue) put(ctx context.Context) (*spool.Message, error) {
	n := q.made.Add(1)
	now := time.Now()
	m := &spool.Message{ID: mail.NewQueueID(now), Customer: fmt.Sprintf("customer%02d", n%50), Received: now, Expires: now.Add(48 * time.Hour),
		HeaderFrom: "sender@bench.test", Subject: "queued", MessageID: "<1@bench.test>", Language: "en", Verdict: []byte(`{"score":0}`), Body: q.body,
		Envelope: mail.Envelope{ReversePath: mail.Address{Local: "sender", Domain: "bench.test"},
			Recipients: []mail.Recipient{{Address: mail.Address{Local: fmt.Sprintf("user%d", n), Domain: mail.Domain(fmt.Sprintf("d%d.bench.test", n%700))}}}}}
	if err := q.spool.Put(ctx, m); err != nil {
		return nil, err
	}
	q.journal.Post(journal.Fact{Kind: journal.Accepted, At: now, QueueID: m.ID, Customer: m.Customer, ReversePath: "sender@bench.test",
		Recipient: m.Envelope.Recipients[0].Address.String(), HeaderFrom: m.HeaderFrom, Subject: m.Subject, Size: int64(len(m.Body))})
	return m, nil
}

// workers is how many messages are in the making at one time.
const workers = 64

// fill puts n messages.
func (q *queue) fill(ctx context.Context, n int) ([]*spool.Message, error) {
	all := make([]*spool.Message, n)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || failed.Load() != nil {
					return
				}
				m, err := q.put(ctx)
				if err != nil {
					failed.Store(&err)
					return
				}
				m.Body = nil
				all[i] = m
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return all, q.journal.Flush(ctx)
}

// settle ends claimed messages, a hundred per call, like the delivery does.
func (q *queue) settle(ctx context.Context, messages []*spool.Message, outcome func(*spool.Message) spool.Outcome) error {
	for len(messages) > 0 {
		n := min(100, len(messages))
		batch := make([]spool.Outcome, n)
		for i, m := range messages[:n] {
			batch[i] = outcome(m)
		}
		messages = messages[n:]
		if err := q.spool.Settle(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}

// park puts a share of the queue into lanes, for an hour.
func parked(m *spool.Message, n int64) spool.Outcome {
	return spool.Outcome{ID: m.ID, State: spool.Queued, NextAt: time.Now().Add(time.Hour), Lane: lane(n), Wait: "rate"}
}

// deliver claims n messages, reads their bodies and ends them.
func (q *queue) deliver(ctx context.Context, n int) error {
	for n > 0 {
		works, err := q.spool.Claim(ctx, min(n, 100))
		if err != nil {
			return err
		}
		if len(works) == 0 {
			return errors.New("nothing is due")
		}
		outcomes := make([]spool.Outcome, 0, len(works))
		for i := range works {
			if _, err := q.spool.Body(ctx, works[i].ID); err != nil {
				return err
			}
			outcomes = append(outcomes, spool.Outcome{ID: works[i].ID, State: spool.Delivered, Attempted: true, Code: 250})
		}
		if err := q.spool.Settle(ctx, outcomes...); err != nil {
			return err
		}
		n -= len(works)
	}
	return nil
}

func measureSpool(ctx context.Context, dir string, n, probe, size int, row *figures) error {
	q, err := openQueue(ctx, dir, size)
	if err != nil {
		return err
	}
	st, err := q.spool.Stats(ctx)
	if err != nil {
		return err
	}
	if missing := n - st.Queued; missing > 0 {
		if _, err := q.fill(ctx, missing*9/10); err != nil {
			return err
		}
		waiting, err := q.fill(ctx, missing-missing*9/10)
		if err != nil {
			return err
		}
		count := int64(0)
		began := cpu()
		if err := q.settle(ctx, waiting, func(m *spool.Message) spool.Outcome { count++; return parked(m, count) }); err != nil {
			return err
		}
		row.park = (cpu() - began) / time.Duration(max(len(waiting), 1))
	}
	if err := q.close(); err != nil {
		return err
	}
	runtime.GC()
	began := time.Now()
	if q, err = openQueue(ctx, dir, size); err != nil {
		return err
	}
	row.open = time.Since(began)
	if err := q.deliver(ctx, 100); err != nil {
		return err
	}
	row.claim = time.Since(began)
	used := cpu()
	if _, err := q.fill(ctx, probe); err != nil {
		return err
	}
	row.put = (cpu() - used) / time.Duration(probe)
	probe = min(probe, n/2)
	used = cpu()
	if err := q.deliver(ctx, probe); err != nil {
		return err
	}
	row.deliver = (cpu() - used) / time.Duration(probe)
	if err := q.look(ctx, row); err != nil {
		return err
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	row.heapMB = float64(mem.HeapAlloc) / 1e6
	return q.close()
}

// look measures what people and metrics ask.
func (q *queue) look(ctx context.Context, row *figures) error {
	timed := func(d *time.Duration, f func() error) error {
		began := time.Now()
		err := f()
		*d = time.Since(began)
		return err
	}
	return errors.Join(
		timed(&row.stats, func() error { _, err := q.spool.Stats(ctx); return err }),
		timed(&row.backlogs, func() error { _, err := q.spool.Backlogs(ctx); return err }),
		timed(&row.accounts, func() error { _, err := q.spool.Accounts(ctx); return err }),
		timed(&row.list, func() error {
			_, _, err := q.spool.List(ctx, spool.Filter{State: spool.Queued, Customer: "customer07"})
			return err
		}),
		timed(&row.laneful, func() error { _, _, err := q.spool.List(ctx, spool.Filter{Lane: lane(1)}); return err }),
		func() error {
			began := time.Now()
			n, err := q.spool.Hurry(ctx, lane(3), time.Minute)
			row.hurry = time.Since(began) / time.Duration(max(n, 1))
			return err
		}(),
	)
}

// cpu is the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
