package portal_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"postern/internal/journal"
	"postern/internal/user"
)

// stream opens the stream of events; lines come until it ends.
func (c *client) stream(t *testing.T, path string) (status int, lines <-chan string, leave func()) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", c.g.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", c.cookie)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	out := make(chan string, 1000)
	go func() {
		defer close(out)
		for scan := bufio.NewScanner(res.Body); scan.Scan(); {
			out <- scan.Text()
		}
	}()
	return res.StatusCode, out, func() { res.Body.Close() }
}

// next waits for a line that holds a text; ok is false when the stream ended.
func next(t *testing.T, lines <-chan string, text string) (line string, ok bool) {
	t.Helper()
	end := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok || strings.Contains(line, text) {
				return line, ok
			}
		case <-end:
			t.Fatalf("%q never came", text)
		}
	}
}

// TestLive: facts come as they are written and as the filter says; a session that ends takes the stream with it.
func TestLive(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	a := c.ask(t, "GET", "/o/live", nil)
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy of the live view: %s", csp)
	}
	if csp := c.ask(t, "GET", "/o/queue", nil).header.Get("Content-Security-Policy"); strings.Contains(csp, "script-src") {
		t.Errorf("policy of another page: %s", csp)
	}
	status, all, _ := c.stream(t, "/o/live/stream")
	if status != http.StatusOK {
		t.Fatalf("stream: %d", status)
	}
	_, some, _ := c.stream(t, "/o/live/stream?kind=bounced&customer=shop")
	next(t, all, "retry:")
	next(t, some, "retry:")
	facts := []journal.Fact{{Kind: journal.Accepted, Customer: "shop", Subject: hostileMarkup + "\ndata: x"}, {Kind: journal.Bounced, Customer: "boutique", Subject: "not asked for"}, {Kind: journal.Bounced, Customer: "shop", Subject: "asked for"}}
	if err := g.Journal().Append(t.Context(), facts...); err != nil {
		t.Fatal(err)
	}
	line, _ := next(t, all, "onerror")
	if !strings.HasPrefix(line, "data: {") || strings.Contains(line, "<script>") || strings.Contains(line, "\u202e") {
		t.Errorf("an event: %s", line)
	}
	if line, _ := next(t, some, "data: "); !strings.Contains(line, `"asked for"`) {
		t.Errorf("the filtered stream: %s", line)
	}
	list, err := g.Users().Sessions(t.Context(), c.user.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range list {
		if err := g.Users().EndSession(t.Context(), c.user.ID, x.ID); err != nil {
			t.Fatal(err)
		}
	}
	if line, ok := next(t, all, "never"); ok {
		t.Errorf("the stream outlives its session: %s", line)
	}
	if _, ok := next(t, some, "never"); ok {
		t.Error("the other stream outlives its session")
	}
}

// TestLiveIsBounded: no more than twenty listeners; who leaves makes room.
func TestLiveIsBounded(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	var leave []func()
	for range 20 {
		status, lines, end := c.stream(t, "/o/live/stream")
		if status != http.StatusOK {
			t.Fatalf("stream: %d", status)
		}
		next(t, lines, "retry:")
		leave = append(leave, end)
	}
	if status, _, _ := c.stream(t, "/o/live/stream"); status != http.StatusServiceUnavailable {
		t.Errorf("one listener too many: %d", status)
	}
	leave[0]()
	waitFor(t, "room for another listener", func() bool { status, _, end := c.stream(t, "/o/live/stream"); end(); return status == http.StatusOK })
}
