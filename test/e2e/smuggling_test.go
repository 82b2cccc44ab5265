package e2e_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// endMarks are generated attempts at an end of data: line ends of every kind around one or two dots.
func endMarks() []string {
	pieces := []string{"\r", "\n", "\x00", "\r\n"}
	around := []string{""}
	for _, a := range pieces {
		around = append(around, a)
		for _, b := range pieces {
			around = append(around, a+b)
		}
	}
	var marks []string
	seen := map[string]bool{}
	for _, before := range around {
		for _, dots := range []string{".", ".."} {
			for _, after := range around {
				if m := before + dots + after; !seen[m] {
					seen[m] = true
					marks = append(marks, m)
				}
			}
		}
	}
	return marks
}

// TestSmuggling: every way to end a message that is none, through the relay door and out to another server. The hidden second mail is
// one that the customer might send, so that only the framing keeps it from being a message (SMTP smuggling, December 2023; T-A1).
func TestSmuggling(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"reject", "normalize"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			g := setup(t, "01-smuggling/"+policy+".yaml")
			g.start()
			var mu sync.Mutex
			accepted, refused := map[int]bool{}, 0
			type vector struct {
				n    int
				mark string
				bdat bool
				cut  bool // the mark travels in pieces
			}
			work := make(chan vector)
			var all sync.WaitGroup
			for range 16 {
				all.Go(func() {
					for v := range work {
						c, err := dial(g.relay)
						if err != nil {
							t.Error(err)
							continue
						}
						body := fmt.Sprintf("From: news@customer.test\r\nSubject: vector-%d-\r\n\r\nbefore", v.n)
						hidden := "MAIL FROM:<evil@customer.test>\r\nRCPT TO:<victim@receiver.test>\r\nDATA\r\nFrom: evil@customer.test\r\nSubject: smuggled\r\n\r\nsmuggled\r\n"
						open := "EHLO x.customer.test\r\nMAIL FROM:<good@customer.test>\r\nRCPT TO:<someone@receiver.test>\r\n"
						var pieces []string
						if v.bdat {
							content := body + v.mark + hidden
							pieces = []string{open, fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content), "QUIT\r\n"}
						} else {
							pieces = []string{open + "DATA\r\n", body + v.mark + hidden + "\r\n.\r\nQUIT\r\n"}
						}
						if v.cut {
							last := pieces[len(pieces)-1]
							at := len(body) + len(v.mark)/2
							pieces = append(pieces[:len(pieces)-1], last[:at], last[at:])
						}
						_, _, _ = c.reply()
						for i, p := range pieces {
							if !v.bdat && i == 1 { // after the replies to the envelope and the 354
								for range 4 {
									_, _, _ = c.reply()
								}
							}
							if v.cut && i > 1 {
								time.Sleep(time.Millisecond)
							}
							_, _ = io.WriteString(c, p)
						}
						said, _ := io.ReadAll(c.in)
						c.Close()
						mu.Lock()
						if n := strings.Count(string(said), "queued as"); n == 1 {
							accepted[v.n] = true
						} else if n == 0 {
							refused++
						} else {
							t.Errorf("%q (BDAT %v) became %d messages: %q", v.mark, v.bdat, n, said)
						}
						mu.Unlock()
					}
				})
			}
			n := 0
			for _, mark := range endMarks() {
				if strings.Contains(mark, "\r\n.\r\n") {
					continue // a true end of data
				}
				for _, bdat := range []bool{false, true} {
					for _, cut := range []bool{false, true} {
						if cut && (bdat || len(mark) < 2) {
							continue
						}
						work <- vector{n, mark, bdat, cut}
						n++
					}
				}
			}
			for _, mark := range []string{"\r\n.\r\n", "\r\n.\r\n\r\n", "\r\n\r\n.\r\n"} { // inside a chunk not even a true one ends anything
				work <- vector{n, mark, true, false}
				n++
			}
			close(work)
			all.Wait()
			g.drained(60 * time.Second)
			got := map[string]int{}
			for _, m := range g.mx.all() {
				if m.from != "FROM:<good@customer.test>" && !strings.HasPrefix(m.from, "FROM:<good@customer.test> ") || strings.Contains(strings.Join(m.to, " "), "victim") {
					if !strings.HasPrefix(m.from, "FROM:<>") {
						t.Errorf("a smuggled message left: %s -> %v", m.from, m.to)
					}
					continue
				}
				rest := strings.ReplaceAll(m.raw, "\r\n", "")
				if strings.ContainsAny(rest, "\r\n\x00") {
					t.Errorf("a bare CR, LF or NUL left: %q", m.raw)
				}
				if strings.Contains("\r\n"+m.raw, "\r\n.\r\n") {
					t.Errorf("an end of data inside a message: %q", m.raw)
				}
				_, rest, _ = strings.Cut(m.raw, "vector-")
				id, _, _ := strings.Cut(rest, "-")
				got[id]++
			}
			for id, times := range got {
				if times != 1 {
					t.Errorf("vector %s arrived %d times", id, times)
				}
			}
			if len(got) != len(accepted) {
				t.Errorf("%d accepted, %d arrived", len(accepted), len(got))
			}
			for _, odd := range g.mx.odd {
				t.Errorf("the next server was told: %s", odd)
			}
			t.Logf("%s: %d vectors, %d taken as one message, %d refused, 0 split", policy, n, len(accepted), refused)
			if n < 1000 {
				t.Errorf("only %d vectors", n)
			}
		})
	}
}
