package opinion_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/opinion"
)

// listen serves each connection by a function until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				serve(c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

// swallow reads a whole question of INSTREAM.
func swallow(c net.Conn) {
	var seen []byte
	buf := make([]byte, 64<<10)
	for !bytes.HasSuffix(seen, []byte{0, 0, 0, 0}) {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		seen = append(seen, buf[:n]...)
	}
}

// flood writes until the other side has had enough.
func flood(c net.Conn, text string) {
	block := []byte(strings.Repeat(text, 1000))
	for {
		if _, err := c.Write(block); err != nil {
			return
		}
	}
}

// patience is short for scanners that only time stops; the others have their end in themselves, however busy the machine is.
func patience(name string) time.Duration {
	switch name {
	case "silent", "slow", "one byte at a time", "endless from the start":
		return 300 * time.Millisecond
	}
	return time.Minute
}

// waitForEnd returns when the other side closes.
func waitForEnd(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// TestHostileClamd: whatever a scanner does, there is an error of a kind, in time.
func TestHostileClamd(t *testing.T) {
	t.Parallel()
	say := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			swallow(c)
			_, _ = io.WriteString(c, text)
		}
	}
	for _, tc := range []struct {
		name  string
		serve func(net.Conn)
		want  error
	}{
		{"ends at once", func(net.Conn) {}, opinion.ErrUnavailable},
		{"ends after the question", swallow, opinion.ErrUnavailable},
		{"silent", func(c net.Conn) { swallow(c); waitForEnd(c) }, opinion.ErrUnavailable},
		{"reads nothing", func(c net.Conn) { time.Sleep(400 * time.Millisecond) }, opinion.ErrUnavailable},
		{"endless", func(c net.Conn) { swallow(c); flood(c, "stream: OK") }, opinion.ErrProtocol},
		{"endless from the start", func(c net.Conn) { flood(c, "stream: OK") }, opinion.ErrUnavailable},
		{"one byte at a time", func(c net.Conn) {
			swallow(c)
			for {
				if _, err := c.Write([]byte("s")); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}, opinion.ErrUnavailable},
		{"breaks off", say("stream: OK"), opinion.ErrUnavailable},
		{"breaks off before FOUND", say("stream: OK-Not-Yet FOU"), opinion.ErrUnavailable},
		{"nothing", say("\x00"), opinion.ErrProtocol},
		{"OK of something else", say("other: OK\x00"), opinion.ErrProtocol},
		{"OK with more", say("stream: OK really\x00"), opinion.ErrProtocol},
		{"OK alone", say("OK\x00"), opinion.ErrProtocol},
		{"lower case", say("stream: ok\x00"), opinion.ErrProtocol},
		{"found nothing", say("stream:  FOUND\x00"), opinion.ErrProtocol},
		{"found no stream", say("Eicar FOUND\x00"), opinion.ErrProtocol},
		{"another protocol", say("220 mx.example.org ESMTP\r\n\x00"), opinion.ErrProtocol},
		{"error", say("stream: Can't allocate memory ERROR\x00"), opinion.ErrUnavailable},
		{"unknown command", say("UNKNOWN COMMAND\x00"), opinion.ErrProtocol},
		{"too large", say("INSTREAM size limit exceeded. ERROR\x00"), opinion.ErrTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := clamd(t, opinion.ClamdOptions{Address: listen(t, tc.serve), Timeout: patience(tc.name)})
			begun := time.Now()
			a, err := c.Ask(t.Context(), opinion.Question{Raw: bytes.Repeat([]byte("line\r\n"), 1<<20)})
			var typed *opinion.Error
			if !errors.Is(err, tc.want) || !errors.As(err, &typed) || a.Signature != "" {
				t.Errorf("%+v, %v; want %v", a, err, tc.want)
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			if err != nil && (len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\r\n\x00")) {
				t.Errorf("error text %q", err)
			}
		})
	}
	t.Run("a name made to hurt", func(t *testing.T) {
		c := clamd(t, opinion.ClamdOptions{Address: listen(t, say("stream: \x1b[31mX\r\nY\xff"+strings.Repeat("z", 2000)+" FOUND\x00"))})
		a, err := c.Ask(t.Context(), opinion.Question{Raw: []byte("x")})
		if err != nil || !strings.HasPrefix(a.Signature, "?[31mX??Y?zz") || len(a.Signature) != 200 {
			t.Errorf("%q, %v", a.Signature, err)
		}
	})
	t.Run("PING", func(t *testing.T) {
		for answer, want := range map[string]error{"PONG\x00": nil, "PANG\x00": opinion.ErrProtocol, "": opinion.ErrUnavailable} {
			c := clamd(t, opinion.ClamdOptions{Address: listen(t, func(c net.Conn) {
				buf := make([]byte, 20)
				n, _ := c.Read(buf)
				if string(buf[:n]) == "zVERSION\x00" {
					answer = "ClamAV 0\x00"
				}
				_, _ = io.WriteString(c, answer)
			})})
			if v, err := c.Version(t.Context()); !errors.Is(err, want) || want == nil && v != "ClamAV 0" {
				t.Errorf("%q: %q, %v", answer, v, err)
			}
		}
	})
}

const fine = `{"action":"add header","score":7.5,"required_score":15,"symbols":{"A":{"score":1,"options":["x"]},"B":{"score":-9,"description":"d"}}}`

// TestHostileRspamd: the same over HTTP.
func TestHostileRspamd(t *testing.T) {
	t.Parallel()
	say := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	for _, tc := range []struct {
		name  string
		serve http.HandlerFunc
		want  error
	}{
		{"fine", say(200, fine), nil},
		{"no symbols", say(200, `{"action":"reject","score":1,"required_score":null}`), nil},
		{"symbols of no use", say(200, `{"action":"reject","score":1,"symbols":{"A":{"score":1,"options":{"x":1}},"B":{"options":[1,null,"x"]}}}`), nil},
		{"silent", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, opinion.ErrUnavailable},
		{"slow", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, opinion.ErrUnavailable},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
					return
				}
			}
		}, opinion.ErrProtocol},
		{"huge", say(200, `{"action":"`+strings.Repeat("x", 2<<20)+`","score":0}`), opinion.ErrProtocol},
		{"deep", say(200, strings.Repeat("[", 100_000)), opinion.ErrProtocol},
		{"empty", say(200, ""), opinion.ErrProtocol},
		{"a page", say(200, "<html>It works!</html>"), opinion.ErrProtocol},
		{"cut", say(200, fine[:len(fine)-3]), opinion.ErrProtocol},
		{"twice", say(200, fine+fine), opinion.ErrProtocol},
		{"no action", say(200, `{"score":0,"required_score":15}`), opinion.ErrProtocol},
		{"no score", say(200, `{"action":"no action","required_score":15}`), opinion.ErrProtocol},
		{"a list", say(200, `[]`), opinion.ErrProtocol},
		{"null", say(200, `null`), opinion.ErrProtocol},
		{"score in words", say(200, `{"action":"no action","score":"low"}`), opinion.ErrProtocol},
		{"beyond numbers", say(200, `{"action":"no action","score":1e999}`), opinion.ErrProtocol},
		{"soft reject", say(200, `{"action":"soft reject","score":0,"required_score":15}`), opinion.ErrUnavailable},
		{"error in the answer", say(200, `{"error":"cannot scan"}`), opinion.ErrUnavailable},
		{"password", say(403, `{"error":"invalid password"}`), opinion.ErrUnavailable},
		{"500 with a fine answer", say(500, fine), opinion.ErrUnavailable},
		{"404", say(404, ""), opinion.ErrUnavailable},
		{"too large", say(413, ""), opinion.ErrTooLarge},
		{"204", say(204, ""), opinion.ErrProtocol},
		{"201", say(201, fine), opinion.ErrProtocol},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Redirect(w, r, elsewhere.URL+"/checkv2", http.StatusTemporaryRedirect)
		}, opinion.ErrProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tc.serve)
			defer server.Close()
			r := rspamd(t, opinion.RspamdOptions{URL: server.URL, Timeout: patience(tc.name)})
			a, err := r.Ask(t.Context(), opinion.Question{Raw: bytes.Repeat([]byte("line\r\n"), 1<<16)})
			var typed *opinion.Error
			if !errors.Is(err, tc.want) || err != nil && (!errors.As(err, &typed) || a.Action != "") {
				t.Errorf("%+v, %v; want %v", a, err, tc.want)
			}
			if err != nil && (len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\r\n\x00")) {
				t.Errorf("error text %q", err)
			}
		})
	}
	for name, serve := range map[string]func(net.Conn){
		"no HTTP":        func(c net.Conn) { _, _ = io.WriteString(c, "220 mx ESMTP\r\n"); waitForEnd(c) },
		"endless header": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"); flood(c, "X-Y: z\r\n") },
		"ends at once":   func(net.Conn) {},
		"length that lies": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+fine)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rspamd(t, opinion.RspamdOptions{URL: "http://" + listen(t, serve), Timeout: time.Minute})
			if a, err := r.Ask(t.Context(), opinion.Question{Raw: []byte("x")}); !errors.Is(err, opinion.ErrUnavailable) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// TestRspamdRequest: what it is told, and that nothing of it can be a header of its own.
func TestRspamdRequest(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, fine)
	}))
	t.Cleanup(server.Close)
	r := rspamd(t, opinion.RspamdOptions{URL: server.URL + "/scanner/", Password: "secret word"})
	var to []string
	for i := range 1000 {
		to = append(to, fmt.Sprintf("r%d@there.example", i))
	}
	a, err := r.Ask(t.Context(), opinion.Question{Raw: []byte("From: x\r\n\r\nhello\r\n"), Hello: "mx\r\nPassword: none", From: "été@good.example\x00", Recipients: to})
	if err != nil || a.Action != "add header" || a.Score != 7.5 || a.Required != 15 || len(a.Symbols) != 2 || a.Symbols[0].Name != "B" || a.Symbols[1].Options[0] != "x" {
		t.Errorf("%+v, %v", a, err)
	}
	if got.Method != "POST" || got.URL.Path != "/scanner/checkv2" || string(body) != "From: x\r\n\r\nhello\r\n" || got.ContentLength != int64(len(body)) {
		t.Errorf("%s %s %d %q", got.Method, got.URL, got.ContentLength, body)
	}
	h := got.Header
	if h.Get("Helo") != "mx??Password: none" || len(h["Password"]) != 1 || h.Get("Password") != "secret word" || h.Get("From") != "été@good.example?" ||
		len(h["Rcpt"]) != 100 || h.Get("Ip") != "" || h.Get("User") != "" {
		t.Errorf("header %v", h)
	}
}

// TestConnectionsAreBounded: no more at one time than told, and who waits gives up in his own time.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	enter := func() func() {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return func() { now.Add(-1) }
	}
	release := make(chan struct{})
	address := listen(t, func(c net.Conn) {
		defer enter()()
		swallow(c)
		<-release
		_, _ = io.WriteString(c, "stream: OK\x00")
	})
	c := clamd(t, opinion.ClamdOptions{Address: address, Timeout: time.Minute, Connections: 3})
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if _, err := c.Ask(t.Context(), opinion.Question{Raw: []byte("x")}); err != nil {
				t.Error(err)
			}
		})
	}
	for now.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Ask(ctx, opinion.Question{Raw: []byte("x")}); !errors.Is(err, opinion.ErrUnavailable) || !strings.Contains(err.Error(), "all 3 connections") {
		t.Errorf("while all are busy: %v", err)
	}
	close(release)
	wg.Wait()
	if most.Load() != 3 {
		t.Errorf("%d connections at one time", most.Load())
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"unix:/run/clamav/clamd.ctl": true, "127.0.0.1:3310": true, "[::1]:3310": true, "[fd00::5]:3310": true, "10.1.2.3:3310": true, "clamd:3310": true,
		"": false, "unix:": false, "unix:clamd.ctl": false, "unix:/" + strings.Repeat("x", 200): false, "127.0.0.1": false, "127.0.0.1:0": false, "127.0.0.1:http": false,
		"192.0.2.1:3310": false, "[2001:db8::1]:3310": false, ":3310": false, "a b:3310": false,
	} {
		if err := opinion.CheckClamdAddress(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
	for url, ok := range map[string]bool{
		"http://127.0.0.1:11333": true, "http://[::1]:11333/": true, "http://localhost:11333": true, "http://rspamd:11333/x": true, "https://rspamd.example.org": true, "https://192.0.2.1": true,
		"": false, "127.0.0.1:11333": false, "ftp://127.0.0.1": false, "http://": false, "http://192.0.2.1:11333": false, "http://u:p@127.0.0.1": false, "http://127.0.0.1/?x": false,
		"http://127.0.0.1/#x": false, "unix:/run/rspamd": false,
	} {
		if err := opinion.CheckRspamdURL(url); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestLargeMessagesAreNotSent(t *testing.T) {
	t.Parallel()
	address := listen(t, func(net.Conn) { t.Error("connected") })
	q := opinion.Question{Raw: make([]byte, 11)}
	if _, err := clamd(t, opinion.ClamdOptions{Address: address, MaxSize: 10}).Ask(t.Context(), q); !errors.Is(err, opinion.ErrTooLarge) {
		t.Error(err)
	}
	if _, err := rspamd(t, opinion.RspamdOptions{URL: "http://" + address, MaxSize: 10}).Ask(t.Context(), q); !errors.Is(err, opinion.ErrTooLarge) {
		t.Error(err)
	}
}
