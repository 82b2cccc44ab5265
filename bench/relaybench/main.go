// Command relaybench measures a mail relay from outside, whatever it is: it is both the clients that hand it messages and the
// server that all of them are delivered to, on loopback, and counts what goes in and what comes out.
//
//	relaybench -target 127.0.0.1:2525 -sink 127.0.0.1:2600 -messages 5000 -size 10240 -sessions 20 [-per-connection 100] [-pid 1234]
//	relaybench -dns                       serve the zone that the filter's tests need, print its address, until killed
//
// The relay must be set to deliver everything to the sink. Printed: accepted messages per second, delivered messages per second
// (from the first MAIL to the last arrival), CPU of the relay's processes per message (-pid: the parent; its children count),
// and their memory (proportional set size: pages that processes share count once).
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"postern/bench/sink"
	"postern/internal/dns/dnstest"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// result is one measurement, printed as one JSON line.
type result struct {
	Name        string  `json:"name"`
	Messages    int     `json:"messages"`
	Size        int     `json:"size"`
	Sessions    int     `json:"sessions"`
	PerConn     int     `json:"per_connection"`
	AcceptRate  float64 `json:"accepted_per_second"`
	EndRate     float64 `json:"delivered_per_second"`
	CPU         float64 `json:"relay_cpu_ms_per_message"`
	PSS         float64 `json:"relay_pss_mb"` // proportional set size of all its processes, the larger of two looks
	AcceptP50MS float64 `json:"accept_p50_ms"`
	AcceptP99MS float64 `json:"accept_p99_ms"`
	Failed      int     `json:"failed"`
}

func main() {
	target := flag.String("target", "", "address of the relay")
	sinkAt := flag.String("sink", "", "address to receive on")
	messages := flag.Int("messages", 5000, "messages in all")
	size := flag.Int("size", 10240, "bytes of each message")
	sessions := flag.Int("sessions", 20, "connections at one time")
	perConn := flag.Int("per-connection", 100, "messages on one connection")
	pid := flag.Int("pid", 0, "process of the relay, for its CPU and memory")
	name := flag.String("name", "relay", "what is measured, for the output")
	wait := flag.Duration("wait", 2*time.Minute, "how long the last message may take")
	zone := flag.Bool("dns", false, "serve the bench zone instead, and print where")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *zone {
		fail(serveZone(ctx))
		return
	}
	debug.SetGCPercent(1000) // what measures must not be a part of the load: it shares the processors with the relay
	s := &arrivals{want: int64(*messages), all: make(chan struct{})}
	_, err := sink.Serve(ctx, *sinkAt, s.took)
	fail(err)
	r, err := run(ctx, s, *target, *messages, *size, *sessions, *perConn, *pid, *wait)
	fail(err)
	r.Name = *name
	line, err := json.Marshal(r)
	fail(err)
	fmt.Println(string(line))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "relaybench:", err)
		os.Exit(1)
	}
}

// zoneText makes the bench's domains good ones: what the filter asks is answered, and the message passes.
const zoneText = `
$ORIGIN bench.test.
@ 300 IN SOA ns hostmaster 1 3600 600 86400 60
@ 300 IN NS ns
@ 300 IN MX 10 mx
@ 300 IN TXT "v=spf1 ip4:127.0.0.1 -all"
_dmarc 300 IN TXT "v=DMARC1; p=reject"
ns 300 IN A 127.0.0.1
mx 300 IN A 127.0.0.1
gate 300 IN A 127.0.0.1
$ORIGIN 127.in-addr.arpa.
@ 300 IN SOA ns.bench.test. hostmaster.bench.test. 1 3600 600 86400 60
1.0.0 300 IN PTR gate.bench.test.
`

func serveZone(ctx context.Context) error {
	s, err := dnstest.New(zoneText)
	if err != nil {
		return err
	}
	fmt.Println(s.Addr())
	defer s.Close()
	<-ctx.Done()
	return nil
}

// arrivals is what came out at the end, and when.
type arrivals struct {
	want int64
	got  atomic.Int64
	last atomic.Int64 // unix nanoseconds of the last arrival
	all  chan struct{}
	once sync.Once
}

// took counts a message.
func (s *arrivals) took() {
	s.last.Store(time.Now().UnixNano())
	if s.got.Add(1) == s.want {
		s.once.Do(func() { close(s.all) })
	}
}

// letters writes messages of about size bytes into one space: plain text in lines of 72 characters, each message with an own Message-ID.
type letters struct {
	size int
	b    []byte
}

// next is the n-th message. It lives until the next one is written.
func (l *letters) next(n int) []byte {
	l.b = fmt.Appendf(l.b[:0], "From: Bench <sender@bench.test>\r\nTo: <rcpt@bench.test>\r\nSubject: bench message %d\r\nDate: %s\r\nMessage-ID: <%d.%d@bench.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
		n, time.Now().Format(time.RFC1123Z), n, time.Now().UnixNano())
	const words = "the quick brown fox jumps over the lazy dog while mail goes its way ok\r\n"
	for len(l.b) < l.size-len(words) {
		l.b = append(l.b, words...)
	}
	return l.b
}

func run(ctx context.Context, s *arrivals, target string, messages, size, sessions, perConn, pid int, wait time.Duration) (result, error) {
	addr, err := netip.ParseAddrPort(target)
	if err != nil {
		return result{}, err
	}
	r := result{Messages: messages, Size: size, Sessions: sessions, PerConn: perConn}
	before, _ := usage(pid)
	times := make([]time.Duration, messages)
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range sessions {
		wg.Add(1)
		go func() {
			defer wg.Done()
			client(ctx, addr, size, perConn, messages, &next, &failed, times)
		}()
	}
	wg.Wait()
	accepted := time.Since(begin)
	_, loaded := usage(pid)
	r.Failed = int(failed.Load())
	if r.Failed > 0 {
		return r, fmt.Errorf("%d of %d messages were not accepted", r.Failed, messages)
	}
	select {
	case <-s.all:
	case <-time.After(wait):
		return r, fmt.Errorf("only %d of %d messages arrived after %s", s.got.Load(), messages, wait)
	}
	total := time.Unix(0, s.last.Load()).Sub(begin)
	time.Sleep(300 * time.Millisecond) // the relay writes down its last outcomes
	after, idle := usage(pid)
	r.AcceptRate, r.EndRate = float64(messages)/accepted.Seconds(), float64(messages)/total.Seconds()
	r.CPU, r.PSS = (after-before).Seconds()*1000/float64(messages), max(loaded, idle)
	r.AcceptP50MS, r.AcceptP99MS = percentile(times, 0.50), percentile(times, 0.99)
	return r, nil
}

func client(ctx context.Context, addr netip.AddrPort, size, perConn, messages int, next, failed *atomic.Int64, times []time.Duration) {
	from, _ := mail.ParseAddress("sender@bench.test")
	to, _ := mail.ParseAddress("rcpt@bench.test")
	env := mail.Envelope{ReversePath: from, Recipients: []mail.Recipient{{Address: to}}}
	text := letters{size: size}
	var c *smtp.Client
	sent := 0
	defer func() {
		if c != nil {
			_ = c.Quit(ctx)
		}
	}()
	for {
		n := int(next.Add(1)) - 1
		if n >= messages || ctx.Err() != nil {
			return
		}
		start := time.Now()
		if c != nil && sent >= perConn {
			_ = c.Quit(ctx)
			c = nil
		}
		if c == nil {
			var err error
			if c, err = smtp.Dial(ctx, addr, smtp.ClientOptions{Hostname: "client.bench.test"}); err != nil {
				fmt.Fprintln(os.Stderr, err)
				failed.Add(1)
				c = nil
				continue
			}
			sent = 0
		}
		res, err := c.Send(ctx, env, text.next(n))
		sent++
		if err != nil || res.Data.Code != 250 || strings.Contains(strings.Join(res.Data.Lines, " "), "held") {
			fmt.Fprintln(os.Stderr, "not accepted:", err, res.Mail, res.Recipients, res.Data)
			failed.Add(1)
			if err != nil {
				_ = c.Close()
				c = nil
			}
		}
		times[n] = time.Since(start)
	}
}

func percentile(times []time.Duration, p float64) float64 {
	sorted := slices.Clone(times)
	slices.Sort(sorted)
	return float64(sorted[int(p*float64(len(sorted)-1))].Microseconds()) / 1000
}

// usage adds up CPU time and proportional memory of a process and all that descend from it; CPU also of those that have ended.
func usage(pid int) (cpu time.Duration, pssMB float64) {
	if pid == 0 {
		return 0, 0
	}
	children := map[int][]int{}
	stats := map[int][]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, d := range dirs {
		text, err := os.ReadFile(d)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		p, _ := strconv.Atoi(strings.Split(d, "/")[2])
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], p)
		stats[p] = fields
	}
	var walk func(p int)
	walk = func(p int) {
		f := stats[p]
		if len(f) > 14 {
			for _, i := range []int{11, 12, 13, 14} { // utime, stime, and those of reaped children
				ticks, _ := strconv.ParseInt(f[i], 10, 64)
				cpu += time.Duration(ticks) * 10 * time.Millisecond
			}
			pssMB += proportional(p)
		}
		for _, c := range children[p] {
			walk(c)
		}
	}
	walk(pid)
	return cpu, pssMB
}

// proportional is the proportional set size of one process in MB.
func proportional(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1000
		}
	}
	return 0
}
