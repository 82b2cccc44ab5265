package smtp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"postern/internal/smtp"
)

// talk writes the pieces to a server over a pipe, each as a segment of its own, and returns all the server said.
func talk(s *smtp.Server, ip string, pieces ...string) string {
	ours, theirs := net.Pipe()
	heard := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(ours)
		heard <- string(all)
	}()
	go func() {
		for _, p := range pieces {
			if p == "" {
				continue
			}
			if _, err := io.WriteString(ours, p); err != nil {
				return
			}
		}
	}()
	s.ServeConn(context.Background(), from(theirs, ip))
	return <-heard
}

// codes are the reply codes in what the server said, multi-line replies once.
func codes(said string) string {
	var out []string
	for _, line := range strings.Split(said, "\r\n") {
		if len(line) >= 4 && line[3] == ' ' {
			out = append(out, line[:3])
		}
	}
	return strings.Join(out, " ")
}

// endMarks are the generated attempts at an end of data: line ends of every kind around one or two dots.
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

// The mail an attacker hides behind a false end of data (SMTP smuggling, December 2023).
const smuggled = "MAIL FROM:<evil@evil.test>\r\nRCPT TO:<victim@b.test>\r\nDATA\r\nsmuggled\r\n"

// checkClean fails when a stored message could be taken for two by anybody it is sent to.
func checkClean(t *testing.T, what, msg string) {
	t.Helper()
	rest := strings.ReplaceAll(msg, "\r\n", "")
	if strings.ContainsAny(rest, "\r\n\x00") {
		t.Errorf("%s: the stored message holds a bare CR, LF or NUL: %q", what, msg)
	}
	if msg != "" && !strings.HasSuffix(msg, "\r\n") {
		t.Errorf("%s: the stored message does not end with CRLF: %q", what, msg)
	}
}

// TestSmuggling sends every end mark, cut at every place, by DATA and by BDAT and under both policies: it is one message or
// a refusal, never two, and what is stored holds no line end but CRLF.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{smtp.BareNewlineReject, smtp.BareNewlineNormalize} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			b := &box{}
			s := newServer(t, b, func(o *smtp.ServerOptions) {
				o.BareNewline = policy
				o.Limits.ConnectionsPerIP, o.Limits.ConnectionsPerNetwork = -1, -1
			})
			tried := 0
			for _, mark := range endMarks() {
				if strings.Contains("\r\na"+mark+smuggled, "\r\n.\r\n") {
					continue // a true end of data
				}
				for cut := range len(mark) + 1 {
					tried += 2
					smuggleData(t, s, b, mark, cut)
					smuggleChunks(t, s, b, mark, cut)
				}
			}
			t.Logf("%d variants", tried)
			if tried < 5000 {
				t.Errorf("only %d variants were tried", tried)
			}
		})
	}
}

const smuggleStart = "EHLO x\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\n"

func smuggleData(t *testing.T, s *smtp.Server, b *box, mark string, cut int) {
	t.Helper()
	b.mails = nil
	said := talk(s, "192.0.2.1", smuggleStart+"DATA\r\n", "a"+mark[:cut], mark[cut:]+smuggled+".\r\n", "QUIT\r\n")
	checkSmuggled(t, fmt.Sprintf("DATA %q cut at %d", mark, cut), b, codes(said), "220 250 250 250 354 ", "221")
}

func smuggleChunks(t *testing.T, s *smtp.Server, b *box, mark string, cut int) {
	t.Helper()
	b.mails = nil
	head, tail := "a"+mark[:cut], mark[cut:]+smuggled+".\r\n"
	said := talk(s, "192.0.2.1", smuggleStart+fmt.Sprintf("BDAT %d\r\n", len(head))+head,
		fmt.Sprintf("BDAT %d LAST\r\n", len(tail)), tail[:cut], tail[cut:], "QUIT\r\n")
	checkSmuggled(t, fmt.Sprintf("BDAT %q cut at %d", mark, cut), b, codes(said), "220 250 250 250 250 ", "221")
}

func checkSmuggled(t *testing.T, what string, b *box, got, before, after string) {
	t.Helper()
	switch {
	case got == before+"250 "+after && len(b.mails) == 1:
		l := b.mails[0]
		if l.t.Envelope.ReversePath.Local != "a" || !strings.Contains(l.msg, "smuggled") {
			t.Errorf("%s: stored %q from %v", what, l.msg, l.t.Envelope.ReversePath)
		}
		checkClean(t, what, l.msg)
	case got == before+"554 "+after && len(b.mails) == 0:
	default:
		t.Errorf("%s: replies %s, %d messages", what, got, len(b.mails))
	}
}

// TestTrueEndOfData is the control: the real end mark ends the data wherever it is cut.
func TestTrueEndOfData(t *testing.T) {
	t.Parallel()
	b := &box{}
	s := newServer(t, b, nil)
	const end = "\r\n.\r\n"
	for cut := range len(end) + 1 {
		for second := cut; second <= len(end); second++ {
			b.mails = nil
			got := codes(talk(s, "192.0.2.1", smuggleStart+"DATA\r\n", "a"+end[:cut], end[cut:second], end[second:]+smuggled, ".\r\nQUIT\r\n"))
			if got != "220 250 250 250 354 250 250 250 354 250 221" || len(b.mails) != 2 || b.mails[0].msg != "a\r\n" || b.mails[1].msg != "smuggled\r\n" {
				t.Errorf("cut at %d and %d: %s %+v", cut, second, got, b.mails)
			}
		}
	}
}

// TestStartTLSInjection puts commands where somebody in the middle would: none may be carried over into the protected session
// ("Why TLS is better without STARTTLS", USENIX Security 2021).
func TestStartTLSInjection(t *testing.T) {
	t.Parallel()
	b := &box{}
	s := newServer(t, b, func(o *smtp.ServerOptions) { o.TLS = boxTLS(); o.OfferAuth = true })
	for _, injected := range []string{
		"N", "\r", "\r\n", "\n", "NOOP\r\n", "EHLO evil\r\n", "MAIL FROM:<evil@evil.test>\r\n", "RSET\r\nMAIL FROM:<e@e.test>\r\nRCPT TO:<v@v.test>\r\nDATA\r\n",
		"AUTH PLAIN AGEAYg==\r\n", "AUTH LOGIN\r\n", "STARTTLS\r\n", "QUIT\r\n", "\x16\x03\x01\x00\x01", "BDAT 5 LAST\r\nhello", strings.Repeat("x", 3000),
	} {
		for _, before := range []string{"", "MAIL FROM:<a@a.test>\r\n", "MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\n"} {
			said := talk(s, "192.0.2.1", "EHLO x\r\n"+before+"STARTTLS\r\n"+injected)
			if got := codes(said); !strings.HasSuffix(got, " 554") || strings.Contains(said, "Ready to start TLS") {
				t.Errorf("%q: %s", injected, got)
			}
		}
	}
	for _, wrong := range []string{"STARTTLS x\r\n", "STARTTLS\n", "STARTTLS\rNOOP\r\n", "STARTTLS \x00\r\n"} {
		if said := talk(s, "192.0.2.1", "EHLO x\r\n"+wrong, "QUIT\r\n"); strings.Contains(said, "Ready to start TLS") {
			t.Errorf("%q was taken for STARTTLS: %s", wrong, said)
		}
	}
}

// talkAndClose is talk with a client that closes after its last byte.
func talkAndClose(s *smtp.Server, ip, said string) string {
	ours, theirs := net.Pipe()
	over := make(chan struct{})
	go func() { s.ServeConn(context.Background(), from(theirs, ip)); close(over) }()
	heard := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(ours)
		heard <- string(all)
	}()
	io.WriteString(ours, said)
	ours.Close()
	<-over
	return <-heard
}
