package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"postern/internal/smtp"
)

// TestParseReply reads replies good, odd and hostile.
func TestParseReply(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want smtp.Reply
		err  error
	}{
		{"250 Ok\r\n", smtp.Reply{Code: 250, Lines: []string{"Ok"}}, nil},
		{"250\r\n", smtp.Reply{Code: 250, Lines: []string{""}}, nil},
		{"250 2.1.0 Ok\r\n", smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 1, 0}, Lines: []string{"Ok"}}, nil},
		{"550 5.1.1\r\n", smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Lines: []string{""}}, nil},
		{"550-5.1.1 no\r\n550 5.1.1 such user\r\n", smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Lines: []string{"no", "such user"}}, nil},
		{"550-5.1.1 no\r\n550 such user\r\n", smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Lines: []string{"no", "such user"}}, nil},
		{"550 4.1.1 contradiction\r\n", smtp.Reply{Code: 550, Lines: []string{"4.1.1 contradiction"}}, nil},
		{"550 5.1 short\r\n", smtp.Reply{Code: 550, Lines: []string{"5.1 short"}}, nil},
		{"250 a\x1b[2J\x00b\r\n", smtp.Reply{Code: 250, Lines: []string{"a?[2J?b"}}, nil},
		{"250 bare\n", smtp.Reply{Code: 250, Lines: []string{"bare"}}, nil},
		{"250 b\rare\r\n", smtp.Reply{Code: 250, Lines: []string{"b?are"}}, nil},
		{"250-a\r\n550 b\r\n", smtp.Reply{}, smtp.ErrReplySyntax},
		{"\r\n", smtp.Reply{}, smtp.ErrReplySyntax},
		{"HTTP/1.1 400 Bad\r\n", smtp.Reply{}, smtp.ErrReplySyntax},
		{"199 x\r\n", smtp.Reply{}, smtp.ErrReplySyntax},
		{"600 x\r\n", smtp.Reply{}, smtp.ErrReplySyntax},
		{"250_x\r\n", smtp.Reply{}, smtp.ErrReplySyntax},
		{"250 cut", smtp.Reply{}, io.ErrUnexpectedEOF},
		{"250-more\r\n", smtp.Reply{}, io.EOF},
		{"", smtp.Reply{}, io.EOF},
		{"250 " + strings.Repeat("x", 2042) + "\r\n", smtp.Reply{Code: 250, Lines: []string{strings.Repeat("x", 2042)}}, nil},
		{"250 " + strings.Repeat("x", 2043) + "\r\n", smtp.Reply{}, smtp.ErrReplyTooLong},
		{strings.Repeat("250-x\r\n", 100) + "250 x\r\n", smtp.Reply{}, smtp.ErrReplyTooLong},
		{strings.Repeat("x", 3<<20), smtp.Reply{}, smtp.ErrReplyTooLong},
	} {
		for _, r := range []io.Reader{strings.NewReader(tc.in), iotest.OneByteReader(strings.NewReader(tc.in))} {
			l := smtp.NewLineReader(r, nil)
			got, err := smtp.ParseReply(l)
			if !reflect.DeepEqual(got, tc.want) || !errors.Is(err, tc.err) {
				t.Errorf("%.60q: got %+v, %v", tc.in, got, err)
			}
			l.Release()
		}
	}
}

// TestLineReader cuts lines whatever the size of the reads.
func TestLineReader(t *testing.T) {
	t.Parallel()
	in := "one\r\n\r\ntwo\nthr\ree\r\n" + strings.Repeat("x", 98) + "\r\n" + strings.Repeat("y", 99) + "\r\nlast\r\ncut"
	want := []string{"one <nil>", " <nil>", "two " + smtp.ErrBareLF.Error(), "thr\ree " + smtp.ErrBareCR.Error(), strings.Repeat("x", 98) + " <nil>",
		" " + smtp.ErrLongLine.Error(), "last <nil>", " unexpected EOF"}
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in)), "halves": iotest.HalfReader(strings.NewReader(in))} {
		l := smtp.NewLineReader(r, nil)
		for _, w := range want {
			line, err := l.ReadLine(100)
			if got := fmt.Sprintf("%s %v", line, err); got != w {
				t.Errorf("%s: got %q, want %q", name, got, w)
			}
		}
		l.Release()
	}
}

// TestIsTemporary asks the code, and calls everything else temporary.
func TestIsTemporary(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{io.EOF, true},
		{context.DeadlineExceeded, true},
		{&smtp.Error{Code: 450}, true},
		{&smtp.Error{Code: 550}, false},
		{fmt.Errorf("rcpt: %w", &smtp.Error{Code: 550}), false},
		{smtp.Reply{Code: 452}.Err(), true},
		{smtp.Reply{Code: 250}.Err(), false},
	} {
		if got := smtp.IsTemporary(tc.err); got != tc.want {
			t.Errorf("%v: %v", tc.err, got)
		}
	}
}

// TestReplyString puts a reply on one line.
func TestReplyString(t *testing.T) {
	t.Parallel()
	r := smtp.Reply{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Lines: []string{"no", "such user"}}
	if got := r.String(); got != "550 5.1.1 no such user" {
		t.Error(got)
	}
	if got := (smtp.Reply{}).String(); got != "" {
		t.Error(got)
	}
	if !r.Permanent() || r.Temporary() || r.OK() {
		t.Error("550 is permanent")
	}
}
