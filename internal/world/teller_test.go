package world

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text, want string
		width            int
	}{
		{"empty", "", "", 10},
		{"fits", "one two", "one two", 7},
		{"breaks", "one two three", "one two|three", 8},
		{"long word", "a verylongword b", "a|verylongword|b", 5},
		{"no-break space", "cinq mots\u00a0: ici", "cinq|mots\u00a0:|ici", 7},
		{"accents count once", "été été", "été été", 7},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := strings.Join(wrap(tc.text, tc.width), "|"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestHostileText: what came by mail or DNS moves no cursor and makes no line of its own.
func TestHostileText(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	out := &teller{out: &b, width: 80}
	const evil = "a\x1b[2Jb\r\nc\u202ed\x00"
	out.quote(evil)
	out.row(cell{evil, 10, plain}, cell{evil, 0, plain})
	out.full(cell{evil, 4, plain}, cell{evil, 0, plain})
	out.mark(true, evil)
	if got := b.String(); strings.ContainsAny(got, "\x1b\r\u202e\x00") || strings.Count(got, "\n") != 4 {
		t.Errorf("got %q", got)
	}
}

func TestParagraphs(t *testing.T) {
	t.Parallel()
	got := paragraphs("Title\n=====\n\nfirst\nline\n\n\nsecond\n------\nthird", 3)
	if strings.Join(got, "|") != "Title|first line|second" {
		t.Errorf("got %q", got)
	}
}

// TestPageRecord: the record is the one on the page, the link the one in the notice, the button the one with the act.
func TestPageRecord(t *testing.T) {
	t.Parallel()
	p := webPage{at: parseURL(t, "http://127.0.0.1:1/m/abc"), body: `<code>v=spf1 ip4:127.0.9.9 -all</code><code>v=spf1 ip4:127.0.10.1 include:x.example ~all</code>
<form method="get" action="/m/abc/retest"></form><form method="POST" action="/m/abc/retest?lang=fr"></form>`}
	if got := p.record("ip4:127.0.10.1"); got != "v=spf1 ip4:127.0.10.1 include:x.example ~all" {
		t.Errorf("record %q", got)
	}
	if got, err := p.form("retest"); err != nil || got != "http://127.0.0.1:1/m/abc/retest?lang=fr" {
		t.Errorf("form %q, %v", got, err)
	}
	if _, err := p.form("release"); err == nil {
		t.Error("found a button that is not there")
	}
	if got := p.record("ip6:"); got != "" {
		t.Errorf("record %q", got)
	}
}

func parseURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
