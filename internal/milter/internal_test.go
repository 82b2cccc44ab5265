package milter

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/filter"
)

// TestComplete: the message that is judged is the one that will leave.
func TestComplete(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 18, 40, 0, 0, time.UTC)
	s := &Server{o: Options{Hostname: "gate.test"}}
	s.o.Limits.fill()
	fields := []string{"From", " A <a@shop.test>", "Subject", "  two spaces", "X-Postern-Score", " 0", "X-None", "", "X-Tab", "\ttab",
		"DKIM-Signature", " v=1;\n\td=shop.test;\n b=abc", "X-Crlf", " a\r\n b"}
	const kept = "From: A <a@shop.test>\r\nSubject:  two spaces\r\nX-None:\r\nX-Tab:\ttab\r\n" +
		"DKIM-Signature: v=1;\r\n\td=shop.test;\r\n b=abc\r\nX-Crlf: a\r\n b\r\n\r\nbody\r\n..dots\r\n"
	for _, tc := range []struct {
		name          string
		client        client
		macros        map[string]string
		rcpt          []string
		authenticated bool
		received      string
	}{
		{"all known", client{"other.test", netip.MustParseAddr("198.51.100.1")},
			map[string]string{"j": "mta.test", "i": "4XyZ", "client_name": "web1.shop.test", "client_addr": "192.0.2.3", "tls_version": "TLSv1.3"}, []string{"<b@there.test>"}, true,
			"from web1 (web1.shop.test [192.0.2.3])\r\n by mta.test (Postern) with ESMTPSA id 4XyZ for <b@there.test>;\r\n Sat, 21 Nov 2026 18:40:00 +0000"},
		{"nothing known", client{}, nil, nil, false, "from web1 ([unknown]) by gate.test (Postern) with ESMTP id unknown; Sat, 21 Nov 2026 18:40:00 +0000"},
		{"no name, IPv6", client{"unknown", netip.MustParseAddr("2001:db8::1")}, map[string]string{"i": "a b\r\nX: y"}, []string{"<b@there.test>", "<c@there.test>"}, false,
			"from web1 ([IPv6:2001:db8::1]) by gate.test (Postern) with ESMTP id a?b??X:?y; Sat, 21 Nov 2026 18:40:00 +0000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			x := newSession(s, nil)
			x.client, x.hello, x.terms.options = tc.client, "web1", leadingSpace
			x.begin([]byte("<a@shop.test>\x00SMTPUTF9\x00"))
			for k, v := range tc.macros {
				x.macros[k] = v
			}
			for _, r := range tc.rcpt {
				if err := x.gather(packet{cmdRcpt, []byte(r + "\x00")}); err != nil {
					t.Fatal(err)
				}
			}
			for i := 0; i < len(fields); i += 2 {
				if err := x.gather(packet{cmdHeader, []byte(fields[i] + "\x00" + fields[i+1] + "\x00")}); err != nil {
					t.Fatal(err)
				}
			}
			for _, piece := range []string{"body\r", "\n..dots\r\n"} {
				if err := x.gather(packet{cmdBody, []byte(piece)}); err != nil {
					t.Fatal(err)
				}
			}
			got := string(x.complete(now, tc.authenticated))
			received, rest, _ := strings.Cut(got, "From: A")
			if rest = "From: A" + rest; rest != kept {
				t.Errorf("message %q\nexpected %q", rest, kept)
			}
			if got, want := strings.Join(strings.Fields(received), " "), "Received: "+strings.Join(strings.Fields(tc.received), " "); got != want {
				t.Errorf("trace field %q\nexpected    %q", got, want)
			}
			if s := x.envelope.ReversePath.String(); s != "a@shop.test" {
				t.Errorf("reverse path %q", s)
			}
			x.reset()
			if s.inFlight.Load() < 0 {
				t.Error("more memory given back than taken")
			}
		})
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ given, completed, want string }{
		{"<a@b.test>", "", "a@b.test"}, {"a@b.test", "x@y.test", "a@b.test"}, {"<>", "x@y.test", ""}, {"", "x@y.test", ""},
		{"<root>", "root@host.test", "root@host.test"}, {"<root>", "", ""}, {"<@>", "<", ""},
	} {
		if got := address(tc.given, tc.completed).String(); got != tc.want {
			t.Errorf("address(%q, %q) = %q; expected %q", tc.given, tc.completed, got, tc.want)
		}
	}
}

func TestStatusIsFolded(t *testing.T) {
	t.Parallel()
	v := filter.Verdict{Score: 4.26, Threshold: 3, Held: true}
	for range 40 {
		v.Hits = append(v.Hits, filter.Hit{Test: "A_TEST_OF_SOME_LENGTH"})
	}
	text := status(v)
	for line := range strings.SplitSeq("X-Postern-Status: "+text, "\n") {
		if len(line) > 78 {
			t.Errorf("line of %d octets: %q", len(line), line)
		}
	}
	if flat := strings.NewReplacer("\n", "", "\t", "").Replace(text); strings.Count(flat, "A_TEST_OF_SOME_LENGTH") != 40 || !strings.HasPrefix(flat, "Yes, score=4.3 required=3.0tests=A_") {
		t.Errorf("%q", text)
	}
}

// TestLocked: a message that is held whatever its score is held with that reason.
func TestLocked(t *testing.T) {
	t.Parallel()
	s := &Server{o: Options{Count: func(string) {}}}
	v := filter.Verdict{Score: 1, Threshold: 3, Held: true, Locked: true, Hits: []filter.Hit{{Test: "VIRUS_FOUND", Points: 1}}}
	for action, want := range map[string]string{Reject: "550 5.7.1 Refused: VIRUS_FOUND holds it whatever the score\x00", Quarantine: "qPostern: VIRUS_FOUND holds it whatever the score\x00"} {
		if got := string(newSession(s, nil).answer(&Settings{Action: action}, v, account.Customer{}, func(string, ...any) {})); !strings.Contains(got, want) {
			t.Errorf("%s: %q", action, got)
		}
	}
}

func TestReadPacketTakesNoMoreThanComes(t *testing.T) {
	t.Parallel()
	_, buf, err := readPacket(bufio.NewReader(bytes.NewReader([]byte{0, 0x10, 0, 0, 'B', 'x'})), nil, func() {})
	if !errors.Is(err, io.ErrUnexpectedEOF) || cap(buf) > 128<<10 {
		t.Errorf("%v, %d bytes for one", err, cap(buf))
	}
}
