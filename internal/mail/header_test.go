package mail_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
)

func TestParseDate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want, why string }{
		{"Sat, 21 Nov 2026 10:11:12 +0100", "2026-11-21T10:11:12+01:00", ""},
		{"21 Nov 2026 10:11 -0330", "2026-11-21T10:11:00-03:30", ""},
		{"sat,21 nov 2026 10:11:12 GMT", "2026-11-21T10:11:12Z", ""},
		{"Sat (today) , 21 Nov 2026 10:11:12 (noon \\) (x)) EST (comment)", "2026-11-21T10:11:12-05:00", ""},
		{"Sat, 21 Nov 26 10:11:12 +0000", "2026-11-21T10:11:12Z", ""},
		{"6 Jan 97 10 : 11 : 12 UT", "1997-01-06T10:11:12Z", ""},
		{"6 Jan 101 10:11:12 UT", "2001-01-06T10:11:12Z", ""},
		{"31 Dec 2016 23:59:60 +0000", "2017-01-01T00:00:00Z", ""},
		{"29 Feb 2024 00:00:00 -0000", "2024-02-29T00:00:00Z", ""},
		{"32 Nov 2026 10:11:12 +0100", "", "day 32 out of range"},
		{"29 Feb 2026 10:11:12 +0100", "", "day 29 out of range (feb 2026 has 28 days)"},
		{"0 Nov 2026 10:11:12 +0100", "", "day 0 out of range"},
		{"21 Nox 2026 10:11:12 +0100", "", `month "Nox" unknown`},
		{"21 Nov 1850 10:11:12 +0100", "", "year 1850 out of range"},
		{"21 Nov 20266 10:11:12 +0100", "", `year "20266"`},
		{"21 Nov 2026 24:11:12 +0100", "", "hour 24 out of range"},
		{"21 Nov 2026 10:60:12 +0100", "", "minute 60 out of range"},
		{"21 Nov 2026 10:11:61 +0100", "", "second 61 out of range"},
		{"21 Nov 2026 101112 +0100", "", "is not hh:mm"},
		{"21 Nov 2026 10:11:12", "", "the zone is missing"},
		{"Sat, 21 Nov 2026 10:11:12", "", "the zone is missing"},
		{"21 Nov 2026 10:11:12 XYZ", "", `zone "XYZ" unknown`},
		{"21 Nov 2026 10:11:12 +1", "", `zone "+1" is not +hhmm`},
		{"21 Nov 2026 10:11:12 +0060", "", "zone +0060 out of range"},
		{"21 Nov 2026 10:11:12 +0100 more", "", `"more" follows the zone`},
		{"Fri, 21 Nov 2026 10:11:12 +0100", "2026-11-21T10:11:12+01:00", "21 nov 2026 is a sat, not a fri"},
		{"Sam, 21 Nov 2026 10:11:12 +0100", "", `weekday "Sam" unknown`},
		{"Sat 21 Nov 2026 10:11:12 +0100", "", "no comma"},
		{"2026-11-21T10:11:12Z", "", "incomplete"},
		{"", "", "empty"},
		{"(only a comment)", "", "empty"},
		{"21 Nov (open", "", "comment is not closed"},
		{"21 Nov 2026\x00 10:11:12 +0100", "", "may not stand"},
		{"Sat,", "", "incomplete"},
	} {
		t.Run(tc.in, func(t *testing.T) {
			t.Parallel()
			got, err := mail.ParseDate(tc.in)
			if tc.why == "" && err != nil {
				t.Fatal(err)
			}
			if tc.why != "" && (err == nil || !strings.Contains(err.Error(), tc.why) || !errors.Is(err, mail.ErrDate)) {
				t.Fatalf("error %v, want %q", err, tc.why)
			}
			if tc.want == "" {
				return
			}
			want, err := time.Parse(time.RFC3339, tc.want)
			if err != nil || !got.Equal(want) {
				t.Errorf("got %s, want %s (%v)", got, tc.want, err)
			}
		})
	}
	if _, err := mail.Parse([]byte("From: a@b.fr\r\n\r\n"), mail.DefaultLimits()).Date(); !errors.Is(err, mail.ErrMissing) {
		t.Errorf("missing: %v", err)
	}
}

func TestFieldText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "hello", "hello"},
		{"folded", "hello\r\n  world\r\n\tagain", "hello  world again"},
		{"Q", "=?utf-8?Q?caf=C3=A9_au_lait?=", "café au lait"},
		{"B", "=?UTF-8?B?Y2Fmw6k=?=", "café"},
		{"B without padding", "=?UTF-8?B?Y2Fmw6k?=", "café"},
		{"latin1 as windows-1252", "=?iso-8859-1?Q?=93x=94?=", "“x”"},
		{"neighbours", "=?utf-8?q?a?= \r\n =?utf-8?q?b?=", "ab"},
		{"neighbours touching", "=?utf-8?q?a?==?utf-8?q?b?=", "ab"},
		{"split character", "=?utf-8?q?caf=C3?= =?utf-8?q?=A9?=", "café"},
		{"split base64", "=?utf-8?b?w6k=?= =?utf-8?b?w6g=?=", "éè"},
		{"text between", "=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"},
		{"inside a word", "pre=?utf-8?q?a?=post", "preapost"},
		{"spaces inside", "=?utf-8?Q?hello my world?=", "hello my world"},
		{"language", "=?us-ascii*en?Q?hi?=", "hi"},
		{"unknown charset", "=?x-none?Q?caf=E9?=", "café"},
		{"japanese", "=?iso-2022-jp?B?GyRCJDMkcxsoQg==?=", "こん"},
		{"unterminated", "=?utf-8?Q?abc", "=?utf-8?Q?abc"},
		{"bad encoding letter", "=?utf-8?X?abc?=", "=?utf-8?X?abc?="},
		{"no injection", "=?utf-8?Q?a=0D=0ABcc:_x=00?=", "a  Bcc: x"},
		{"raw latin1", "caf\xe9", "café"},
		{"raw utf-8", "café", "café"},
		{"starts with equals", "=?utf-8?Q?=41=42?=", "AB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := mail.Field{Name: "Subject", Raw: []byte("Subject: " + tc.in + "\r\n")}
			if got := f.Text(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestHeaderDefects: one message per defect, and one near miss without any.
func TestHeaderDefects(t *testing.T) {
	t.Parallel()
	const ok = "From: a@b.fr\r\nDate: Sat, 21 Nov 2026 10:11:12 +0100\r\n"
	small := mail.DefaultLimits()
	small.HeaderBytes, small.HeaderFields, small.FieldBytes, small.Addresses = 2000, 20, 500, 5
	for _, tc := range []struct{ code, raw, where string }{
		{"", ok + "To: g: x@y.fr;\r\nMIME-Version: 1.0 (x)\r\nMessage-ID: <a.b@c>\r\nSubject: =?utf-8?q?x?=\r\n\r\nbody\r\n", ""},
		{mail.DefectNUL, ok + "\r\nbo\x00dy\r\n", "line 4"},
		{mail.DefectBareCR, ok + "\r\nbo\rdy\r\n", "line 4"},
		{mail.DefectBareLF, ok + "\r\nbo\ndy\r\n", "line 4"},
		{mail.DefectLFOnly, strings.ReplaceAll(ok+"\r\nx\r\n", "\r", ""), ""},
		{mail.DefectBodyLongLine, ok + "\r\n" + strings.Repeat("x", 999) + "\r\n", "line 4"},
		{mail.DefectHeaderLongLine, ok + "X: 1\r\n " + strings.Repeat("x", 998) + "\r\n\r\n", "line 4"},
		{mail.DefectHeaderNoColon, ok + "rubbish\r\nX: 1\r\n\r\n", "line 3"},
		{mail.DefectHeaderEmptyName, ok + ": rubbish\r\nX: 1\r\n\r\n", "line 3"},
		{mail.DefectHeaderBadName, ok + "a b: c\r\nX: 1\r\n\r\n", "line 3"},
		{mail.DefectHeaderSpaceColon, ok + "X : 1\r\n\r\n", "line 3"},
		{mail.DefectHeaderLeadingSpace, " " + ok + "\r\n", "line 1"},
		{mail.DefectHeaderBlankFold, ok + "X: 1\r\n \t\r\n y\r\n\r\n", "line 3"},
		{mail.DefectHeaderMboxFrom, "From a@b Sat Nov 21 10:00:00 2026\r\n" + ok + "\r\n", "line 1"},
		{mail.DefectHeaderNoSeparator, ok + "Hello you\r\nand you\r\n", "line 3"},
		{mail.DefectHeaderEmpty, "\r\nbody\r\n", "line 1"},
		{mail.DefectHeaderUTF8, ok + "X: é\r\n\r\n", "line 3"},
		{mail.DefectHeader8Bit, ok + "X: \xe9\r\n\r\n", "line 3"},
		{mail.DefectHeaderControl, ok + "X: \x07\r\n\r\n", "line 3"},
		{mail.DefectHeaderTooLarge, ok + strings.Repeat("X: 90123456789012345678901234567890\r\n"+" "+strings.Repeat("y", 200)+"\r\n", 10) + "\r\n", ""},
		{mail.DefectHeaderTooMany, ok + strings.Repeat("X: 1\r\n", 20) + "\r\n", ""},
		{mail.DefectHeaderFieldTooLong, ok + "X: " + strings.Repeat("y", 600) + "\r\n\r\n", "line 3"},
		{mail.DefectHeaderDuplicate, ok + "subject: a\r\nSubject: b\r\n\r\n", "line 4"},
		{mail.DefectHeaderMissingFrom, "Date: Sat, 21 Nov 2026 10:11:12 +0100\r\n\r\n", ""},
		{mail.DefectHeaderMissingDate, "From: a@b.fr\r\n\r\n", ""},
		{mail.DefectHeaderMissingSender, "From: a@b.fr, c@d.fr\r\nDate: Sat, 21 Nov 2026 10:11:12 +0100\r\n\r\n", ""},
		{mail.DefectHeaderBadDate, "From: a@b.fr\r\nDate: yesterday\r\n\r\n", "line 2"},
		{mail.DefectHeaderBadAddress, ok + "Cc: x y z\r\n\r\n", "line 3"},
		{mail.DefectHeaderTooManyAddresses, ok + "Cc: a@b.c,b@b.c,c@b.c,d@b.c,e@b.c\r\n\r\n", "line 3"},
		{mail.DefectHeaderBadMessageID, ok + "Message-ID: <a b@c>\r\n\r\n", "line 3"},
		{mail.DefectMIMEVersion, ok + "MIME-Version: 1.1\r\n\r\n", "line 3"},
		{mail.DefectMIMENoVersion, ok + "Content-Type: text/plain\r\n\r\n", ""},
	} {
		name := tc.code
		if name == "" {
			name = "none"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mail.Parse([]byte(tc.raw), small)
			checkMessage(t, []byte(tc.raw), m)
			if tc.code == "" {
				if len(m.Defects) > 0 {
					t.Errorf("defects in a sound message: %v", m.Defects)
				}
				return
			}
			for _, d := range m.Defects {
				if d.Code == tc.code && (tc.where == "" || d.Where == tc.where) {
					return
				}
			}
			t.Errorf("no %s at %q in %v", tc.code, tc.where, m.Defects)
		})
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	raw := []byte("Received: one\r\n two\r\nreceived: three\r\nX-Empty:\r\nSubject: =?utf-8?q?=C3=A9?=\r\n\r\nbody\r\n")
	m := mail.Parse(raw, mail.DefaultLimits())
	h := m.Header
	if len(h) != 4 || len(h.All("RECEIVED")) != 2 || !h.Has("x-empty") || h.Has("x") {
		t.Fatalf("%v", h)
	}
	if string(h[0].Raw) != "Received: one\r\n two\r\n" || h[1].Name != "received" || h.Get("received") != "one two" {
		t.Errorf("%q %q", h[0].Raw, h[1].Name)
	}
	if m.Subject() != "é" || h[3].Value() != "=?utf-8?q?=C3=A9?=" || string(m.Body) != "body\r\n" {
		t.Errorf("%q %q %q", m.Subject(), h[3].Value(), m.Body)
	}
}

func TestEdit(t *testing.T) {
	t.Parallel()
	long := "X-Long: " + strings.Repeat("word ", 30)
	for _, tc := range []struct {
		name, raw string
		remove    []string
		prepend   []string
		want      string
	}{
		{"nothing", "A: 1\r\n\r\nbody", nil, nil, "A: 1\r\n\r\nbody"},
		{"remove all", "Bcc: x\r\nA: 1\r\nbcc: y\r\n z\r\nB: 2\r\n\r\nBcc: stays\r\n", []string{"BCC"}, nil, "A: 1\r\nB: 2\r\n\r\nBcc: stays\r\n"},
		{"prepend in order", "A: 1\r\n\r\nb", nil, []string{"X: 1", "Y: 2"}, "X: 1\r\nY: 2\r\nA: 1\r\n\r\nb"},
		{"replace", "X: old\r\nA: 1\r\n\r\nb", []string{"x"}, []string{"X: new"}, "X: new\r\nA: 1\r\n\r\nb"},
		{"injection", "A: 1\r\n\r\nb", nil, []string{"X: 1\r\nBcc: evil@x.y\r\n\r\nbody\x00\n\r"}, "X: 1\r\n Bcc: evil@x.y\r\n body\r\nA: 1\r\n\r\nb"},
		{"folds stay", "\r\nb", nil, []string{"X: 1\r\n 2\r\n \r\n\t3"}, "X: 1\r\n 2\r\n\t3\r\n\r\nb"},
		{"bad names", "A: 1\r\n\r\nb", nil, []string{"no colon", ": x", "a b: c", "", "X\r\n: y", "é: x", "X : y"}, "A: 1\r\n\r\nb"},
		{"leading space", " A: 1\r\n\r\nb", nil, []string{"X: 1"}, "X: 1\r\nA: 1\r\n\r\nb"},
		{"mbox line", "From x Sat Nov 21 10:00:00 2026\r\nA: 1\r\n\r\nb", nil, []string{"X: 1"}, "X: 1\r\nA: 1\r\n\r\nb"},
		{"no separator", "A: 1\r\nHello\r\nyou\r\n", nil, []string{"X: 1"}, "X: 1\r\nA: 1\r\n\r\nHello\r\nyou\r\n"},
		{"no header", "Hello", nil, []string{"X: 1"}, "X: 1\r\n\r\nHello"},
		{"empty", "", nil, []string{"X: 1"}, "X: 1\r\n"},
		{"bytes kept", "A: \xe9\r\n\r\n\xff\x00", nil, []string{"X: \xe9"}, "X: \xe9\r\nA: \xe9\r\n\r\n\xff\x00"},
		{"fold", "A: 1\r\n\r\n", nil, []string{long}, "X-Long: " + strings.TrimSuffix(strings.Repeat("word ", 14), " ") + "\r\n " + strings.TrimSuffix(strings.Repeat("word ", 15), " ") + "\r\n word\r\nA: 1\r\n\r\n"},
		{"one long word", "\r\n", nil, []string{"X: " + strings.Repeat("y", 200) + " z"}, "X: " + strings.Repeat("y", 200) + "\r\n z\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			before := []byte(tc.raw)
			got := mail.Edit(before, tc.remove, tc.prepend...)
			if string(got) != tc.want {
				t.Errorf("got\n%q\nwant\n%q", got, tc.want)
			}
			if !bytes.Equal(before, []byte(tc.raw)) {
				t.Error("the given message was changed")
			}
		})
	}
}
