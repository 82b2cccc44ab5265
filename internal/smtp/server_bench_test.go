package smtp_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"postern/internal/smtp"
)

// BenchmarkAccept measures messages accepted and thrown away over loopback, the client included in the same process. The client
// pipelines as a good one does; "many" sends 1,000 messages in one connection, "one" one.
func BenchmarkAccept(b *testing.B) {
	for _, size := range []int{2 << 10, 10 << 10, 100 << 10} {
		for _, per := range []int{1000, 1} {
			b.Run(fmt.Sprintf("%dKB/%d", size>>10, per), func(b *testing.B) { benchAccept(b, size, per) })
		}
	}
}

func benchAccept(b *testing.B, size, per int) {
	thrown := &box{onData: func(context.Context, *smtp.Transaction, []byte) (smtp.Reply, error) {
		return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Lines: []string{"Ok: queued as ID"}}, nil
	}}
	addr := serve(b, thrown, func(o *smtp.ServerOptions) { o.Limits.ConnectionsPerIP = -1; o.Limits.ConnectionsPerNetwork = -1 })
	line := strings.Repeat("0123456789", 7) + "\r\n"
	body := []byte(strings.Repeat(line, size/len(line)) + ".\r\n")
	b.SetParallelism(10)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	cpu := cpuTime()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for more := pb.Next(); more; {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			r := bufio.NewReaderSize(conn, 4096)
			answers := func(n int) bool {
				for n > 0 {
					line, err := r.ReadSlice('\n')
					if err != nil || line[0] >= '4' {
						b.Errorf("%s %v", line, err)
						return false
					}
					if line[3] == ' ' {
						n--
					}
				}
				return true
			}
			ok := answers(1)
			conn.Write([]byte("EHLO client.test\r\n"))
			ok = ok && answers(1)
			begin := []byte("MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n")
			for n := 0; ok && more && n < per; n++ {
				conn.Write(begin)
				ok = answers(3)
				conn.Write(body)
				ok = ok && answers(1)
				more = pb.Next()
			}
			if ok {
				conn.Write([]byte("QUIT\r\n"))
				answers(1)
			}
			conn.Close()
			if !ok {
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric((cpuTime()-cpu)*1e6/float64(b.N), "cpu-µs/msg")
}

// cpuTime is what this process has used, in seconds.
func cpuTime() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkFinish measures the check of the line ends alone.
func BenchmarkFinish(b *testing.B) {
	msg := bytes.Repeat([]byte(strings.Repeat("0123456789", 7)+"\r\n"), 142)
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		smtp.Finish(msg, smtp.BareNewlineReject, 64<<10)
	}
}
