package opinion

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestPlainDialer: the address behind a name decides.
func TestPlainDialer(t *testing.T) {
	t.Parallel()
	control := plainDialer().Control
	for _, tc := range []struct {
		network, address string
		ok               bool
	}{
		{"tcp4", "127.0.0.1:3310", true}, {"tcp6", "[::1]:1", true}, {"tcp4", "192.168.1.1:1", true}, {"tcp6", "[fe80::1%eth0]:1", true}, {"unix", "/run/x", true},
		{"tcp4", "192.0.2.1:3310", false}, {"tcp6", "[2001:db8::1]:1", false}, {"tcp6", "[::ffff:192.0.2.1]:1", false}, {"tcp4", "100.64.0.1:1", false}, {"tcp", "nonsense", false},
	} {
		if err := control(tc.network, tc.address, nil); (err == nil) != tc.ok {
			t.Errorf("%s %s: %v", tc.network, tc.address, err)
		}
	}
	if near(netip.MustParseAddr("0.0.0.0")) {
		t.Error("the unspecified address is no neighbour")
	}
}

func clean(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !utf8.ValidString(s) || len(s) > maxWord || strings.ContainsAny(s, "\r\n\x00\x1b") {
			t.Errorf("unfit text %q", s)
		}
	}
}

// FuzzClamdAnswer: an answer is "nothing found" for exactly one text, and a name is fit to show.
func FuzzClamdAnswer(f *testing.F) {
	for _, s := range []string{"stream: OK\x00", "stream: Eicar-Test-Signature FOUND\x00", "INSTREAM size limit exceeded. ERROR\x00", "stream: x ERROR\x00", "PONG\x00", "", "stream: OK",
		"stream: \x1b\xff FOUND\x00stream: OK\x00"} {
		f.Add(s)
	}
	c := &Clamd{}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := readAnswer(strings.NewReader(s))
		if err != nil {
			if i := strings.IndexByte(s, 0); i >= 0 && i < clamdAnswer {
				t.Errorf("a whole answer is none: %v", err)
			}
			return
		}
		a, err := c.parse(text)
		if err == nil && a.Signature == "" && text != "stream: OK" {
			t.Errorf("clean: %q", text)
		}
		if err != nil && (a.Signature != "" || len(err.Error()) > 1000) {
			t.Errorf("%+v, %v", a, err)
		}
		clean(t, a.Signature)
	})
}

// FuzzRspamdAnswer: an answer without action and score is none, and all words in it are fit to show.
func FuzzRspamdAnswer(f *testing.F) {
	for _, s := range []string{`{"action":"add header","score":7.5,"required_score":15,"symbols":{"A":{"name":"A","score":1,"description":"d","options":["x"]}}}`,
		`{"is_skipped":true,"score":15.0,"required_score":15.0,"action":"reject","symbols":{"GTUBE":{"name":"GTUBE","score":0.0,"metric_score":0.0}},"messages":{"smtp_message":"Gtube pattern"}}`,
		`{"action":"soft reject","score":0}`, `{"error":"x"}`, `{"action":"\u0000\n","score":-1e308,"required_score":-1,"symbols":{"\u001b":{"options":["\r"]}}}`, `null`, `{}`, ``} {
		f.Add([]byte(s))
	}
	r := &Rspamd{}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := r.parse(b)
		if err != nil {
			if a.Action != "" || len(a.Symbols) > 0 || len(err.Error()) > 1500 {
				t.Errorf("%+v, %v", a, err)
			}
			return
		}
		if a.Action == "" || a.Action == soft || a.Required < 0 || len(a.Symbols) > maxSymbols {
			t.Errorf("%+v", a)
		}
		clean(t, a.Action)
		for _, s := range a.Symbols {
			clean(t, append([]string{s.Name, s.Description}, s.Options...)...)
			if len(s.Options) > maxOptions {
				t.Errorf("%d options", len(s.Options))
			}
		}
	})
}
