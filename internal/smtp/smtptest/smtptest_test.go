package smtptest_test

import (
	"net"
	"strings"
	"testing"

	"postern/internal/smtp/smtptest"
)

// TestBothSides plays one dialog from both sides.
func TestBothSides(t *testing.T) {
	t.Parallel()
	script := `
		# a comment
		S: 220 mx.test
		C: EHLO x
		R: 250 mx.test
		C| "DATA\r\n"
		S| "354 go\r\n"
		D: Subject: a\n\nb
		S: 250 ok
		C: QUIT
		S: EOF`
	h := smtptest.Serve(t, script)
	smtptest.Client(t, h.Addr().String(), script)
}

// TestPlayFails names the line and what came instead.
func TestPlayFails(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"S: 220 a\nS: 250 b": `script line 2 "S: 250 b": got "550 no"`,
		"S: 220 a\nS: EOF":   `want the connection closed, got "550 no`,
		"X: what":            "not a step",
		"S: TLS":             "no TLS configuration",
		"C| unquoted":        "not a quoted string",
	} {
		ours, theirs := net.Pipe()
		go func() { theirs.Write([]byte("220 a\r\n550 no\r\n")); theirs.Close() }()
		err := smtptest.Dialog{}.Play(ours, script)
		ours.Close()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", script, err, want)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, text string
		want          bool
	}{
		{"abc", "abc", true}, {"abc", "abcd", false}, {"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "ac", true},
		{"a*b*c", "a-b-c", true}, {"a*b*c", "a-c", false}, {"ab*ba", "aba", false},
	} {
		if got := smtptest.Match(tc.pattern, tc.text); got != tc.want {
			t.Errorf("Match(%q, %q) = %v", tc.pattern, tc.text, got)
		}
	}
}
