package filter

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
)

// cpuTime is what this process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRun measures one message after its parts were parsed anew: with local tests alone, and with all tests over a warm DNS
// cache of a real client. cpu-ns/op is what it costs on a busy machine, where ns/op tells of the others.
func BenchmarkRun(b *testing.B) {
	var plain goldenCase
	for _, c := range loadCases(b) {
		if c.name == "101-plain" {
			plain = c
		}
	}
	newsletter, err := os.ReadFile("testdata/cases/414-newsletter.msg")
	if err != nil {
		b.Fatal(err)
	}
	text := func(size int) []byte {
		raw := plain.raw(b)
		for n := 0; len(raw) < size; n++ {
			raw = append(raw, fmt.Sprintf("Line %d says that the drawings of the house are ready to be seen.\r\n", n)...)
		}
		return raw
	}
	server := plain.world(b)
	client, err := dns.New(dns.Options{Servers: []string{server.Addr()}})
	if err != nil {
		b.Fatal(err)
	}
	ledger := testLedger(b)
	empty := answers(func(context.Context, string, dns.Type) dns.Answer { return dns.Answer{Status: dns.Nothing} })
	messages := map[string][]byte{"text2K": text(2 << 10), "text10K": text(10 << 10),
		"html10K": []byte(strings.ReplaceAll(strings.Replace(string(newsletter), "<p>The workshop", strings.Repeat("<p>One more thing to tell, and a <a href=\"https://good.example/x\">link</a>.</p>\n", 110)+"<p>The workshop", 1), "\n", "\r\n"))}
	for _, size := range []string{"text2K", "text10K", "html10K"} {
		raw := messages[size]
		for _, world := range []string{"local", "warm"} {
			b.Run(world+"/"+size, func(b *testing.B) {
				o := Options{Resolver: client, Accounts: ledger}
				if world == "local" {
					o.Resolver = empty
				}
				f := testFilter(b, o)
				if world == "local" {
					s := *f.now.Load()
					s.checks = nil
					for _, c := range checks() {
						if !c.network {
							s.checks = append(s.checks, c)
						}
					}
					f.now.Store(&s)
				}
				in := plain.input(b)
				if _, err := f.Run(b.Context(), in); err != nil { // warms the cache
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.SetBytes(int64(len(raw)))
				start := cpuTime()
				for b.Loop() {
					in.Message = mail.Parse(raw, mail.DefaultLimits())
					if _, err := f.Run(b.Context(), in); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpuTime()-start)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}
