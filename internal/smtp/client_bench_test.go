package smtp_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"postern/internal/smtp"
)

// discardServer accepts everything and keeps nothing: the floor against which the
// client is measured.
func discardServer(b *testing.B) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go discardSession(conn)
		}
	}()
	return l
}

func discardSession(conn net.Conn) {
	defer conn.Close()
	in, out := bufio.NewReaderSize(conn, 32<<10), bufio.NewWriter(conn)
	out.WriteString("220 mx\r\n")
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
				out.WriteString("250 2.0.0 Ok: queued as 4711\r\n")
			}
		case line[0] == 'E':
			out.WriteString("250-mx\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n")
		case line[0] == 'D':
			data = true
			out.WriteString("354 go ahead\r\n")
		default:
			out.WriteString("250 2.1.0 Ok\r\n")
		}
	}
}

func BenchmarkClientSend(b *testing.B) {
	for _, size := range []int{2, 10} {
		b.Run(fmt.Sprintf("%dKB", size), func(b *testing.B) {
			l := discardServer(b)
			c, err := smtp.Dial(context.Background(), l.Addr().(*net.TCPAddr).AddrPort(), smtp.ClientOptions{Hostname: "out.example"})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			message := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 74)+"\r\n", size*1024/76))
			env := envelopeTo("x")
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				r, err := c.Send(context.Background(), env, message)
				if err != nil || !r.Data.OK() {
					b.Fatal(r, err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
