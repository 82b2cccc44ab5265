package delivery_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"postern/internal/delivery"
	"postern/internal/mail"
	"postern/internal/spool"
)

// cpu is the processor time used so far: on a busy machine the clock says little.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// willing is a receiver in memory that takes everything, forgets it, and costs next to nothing.
func willing(context.Context, string, string) (net.Conn, error) {
	ours, its := net.Pipe()
	go func() {
		defer its.Close()
		in, out := bufio.NewReaderSize(its, 32<<10), bufio.NewWriter(its)
		_, _ = out.WriteString("220 mx.there.test\r\n")
		for data := false; ; {
			if in.Buffered() == 0 && out.Flush() != nil {
				return
			}
			line, err := in.ReadSlice('\n')
			switch {
			case err != nil:
				return
			case data:
				if string(line) == ".\r\n" {
					data = false
					_, _ = out.WriteString("250 2.0.0 Ok: queued as 4711\r\n")
				}
			case line[0] == 'E':
				_, _ = out.WriteString("250-mx.there.test\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n")
			case line[0] == 'D':
				data = true
				_, _ = out.WriteString("354 go ahead\r\n")
			case line[0] == 'Q':
				_, _ = out.WriteString("221 2.0.0 Bye\r\n")
				_ = out.Flush()
				return
			default:
				_, _ = out.WriteString("250 2.1.0 Ok\r\n")
			}
		}
	}()
	return ours, nil
}

// BenchmarkDeliver is the way of a message from the spool to a receiver that is always quick, and the writing down of what became of it: Claim,
// lane, connection, journal, Settle. The messages are put into the spool before the clock runs.
func BenchmarkDeliver(b *testing.B) {
	for _, tc := range []struct {
		name  string
		paths bool // each recipient has a reverse path of its own
		to    int  // recipients of a message
	}{{"one recipient", false, 1}, {"own return path", true, 1}, {"ten recipients", true, 10}} {
		b.Run(tc.name, func(b *testing.B) {
			w := idle(b, one, func(o *delivery.Options) {
				o.Dial, o.Logger = willing, nil
				if tc.paths {
					o.ReturnPath = func(*spool.Message, int) (mail.Address, bool) {
						return mail.Address{Local: "b+0123456789", Domain: "gate.test"}, true
					}
				}
			})
			var to []string
			for i := range tc.to {
				to = append(to, fmt.Sprintf("you%d@there.test", i))
			}
			body := []byte(letter + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 27))
			next := make(chan *spool.Message)
			var putting sync.WaitGroup
			for range 64 {
				putting.Go(func() {
					for m := range next {
						if err := w.spool.Put(b.Context(), m); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for range b.N {
				m := w.compose(to...)
				m.Body = body
				next <- m
			}
			close(next)
			putting.Wait()
			b.ReportAllocs()
			b.ResetTimer()
			began := cpu(b)
			w.run()
			w.await("delivered", b.N*tc.to)
			b.StopTimer()
			b.ReportMetric(float64(cpu(b)-began)/float64(b.N)/1000, "cpu-µs/op")
			w.stop()
		})
	}
}
