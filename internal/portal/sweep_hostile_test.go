package portal_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"postern/internal/portal"
	"postern/internal/user"
)

// evil is what a field or a header must never bring into a page: it breaks out of text, attributes and addresses, and turns the direction of text.
const evil = `zq"'><zqx zqa=1><script>alert(1)</script><img src=x onerror=alert(2)><a href="javascript:alert(3)">` + "\u202e\u2066\u0007"

// harmless checks that a page is made of our own elements only.
func harmless(t *testing.T, what, page string) {
	t.Helper()
	if len(what) > 200 {
		what = what[:200]
	}
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("%s: a comment: %q", what, n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		src, _ := attr(n, "src")
		switch n.Data {
		case "zqx", "iframe", "object", "embed", "base", "style", "applet", "audio", "video", "frame":
			t.Errorf("%s: <%s>", what, n.Data)
		case "script", "img":
			if !strings.HasPrefix(src, "/static/") && !strings.HasPrefix(src, "/me/code/image") || n.FirstChild != nil {
				t.Errorf("%s: <%s src=%q>", what, n.Data, src)
			}
		case "meta":
			if kind, _ := attr(n, "http-equiv"); kind != "" {
				t.Errorf("%s: <meta http-equiv=%q>", what, kind)
			}
		}
		for _, a := range n.Attr {
			v := strings.ToLower(strings.TrimLeftFunc(a.Val, func(r rune) bool { return r <= ' ' }))
			leads := slices.Contains([]string{"href", "src", "action", "formaction", "srcset", "poster", "data", "xlink:href"}, a.Key)
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "zqa" || a.Key == "srcdoc" || leads && regexp.MustCompile(`^(javascript|data|vbscript|blob|file):|^//`).MatchString(v) {
				t.Errorf("%s: <%s %s=%q>", what, n.Data, a.Key, a.Val)
			}
			if (n.Data == "form" || n.Data == "script" || n.Data == "link") && leads && !strings.HasPrefix(a.Val, "/") {
				t.Errorf("%s: <%s %s=%q> leads elsewhere", what, n.Data, a.Key, a.Val)
			}
		}
	}
	for i, r := range page {
		if unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' || unicode.Is(unicode.Bidi_Control, r) || r == '\uFEFF' || r == '\u2028' || r == '\u2029' {
			t.Errorf("%s: %U is let through: %q", what, r, page[max(0, i-80):min(len(page), i+20)])
			return
		}
	}
}

// examined checks an answer that may be a page.
func examined(t *testing.T, what string, a answer) {
	t.Helper()
	kind := a.header.Get("Content-Type")
	switch {
	case strings.HasPrefix(kind, "text/html"):
		harmless(t, what, a.body)
	case kind == "" && a.body == "", strings.HasPrefix(kind, "text/plain"), strings.HasPrefix(kind, "text/csv"), strings.HasPrefix(kind, "application/json"), strings.HasPrefix(kind, "image/png"), strings.HasPrefix(kind, "text/event-stream"):
	case strings.HasPrefix(kind, "message/rfc822"), strings.HasPrefix(kind, "application/octet-stream"):
		if !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") || !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: a file that a browser might show: %v", what, a.header)
		}
	default:
		t.Errorf("%s: an answer of kind %q", what, kind)
	}
}

// garbage are values that no page asked for.
var garbage = []string{"-1", "0", "99999999999999999999999999", "2026-02-30", "9999-99-99T99:99:99Z", "\x00", "\xff\xfe\xc0\xaf", "a\r\nX-Evil: 1", "../../../etc/passwd", "%00%0d%0a", "NaN", "1e309", strings.Repeat("A", 3000), "'; DROP TABLE user; --", evil}

// TestSweepGarbage: whatever stands in the query, in the path or in a form, of whatever kind and size, no route breaks, none answers with what was
// said in its headers, and no page holds what is not ours.
func TestSweepGarbage(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	operator, admin := &crew{role: user.Operator}, &crew{role: user.CustomerAdmin, customer: "alfa"}
	for _, r := range w.routes {
		if streams[r.Path] {
			continue
		}
		c := operator
		if r.Self || r.Public {
			c = admin
		}
		objects := w.a
		if !r.Customer && objects.paths[lastPattern(r.Path)] == "" {
			objects = w.o
		}
		path, _ := w.mine(t, c, r, objects, "alfa").path(t, r.Path, "alfa")
		name := r.Method + " " + r.Path
		ask := func(path string, form url.Values, header ...string) answer {
			t.Helper()
			a := w.send(t, c, r.Method, path, form, header...)
			examined(t, fmt.Sprintf("%s: %s (%d)", name, path, a.status), a)
			if (r.Self || r.Public) && r.Method == http.MethodPost { // his session may have ended
				c.now = nil
			}
			return a
		}
		if r.Method == http.MethodGet {
			for i, bad := range garbage {
				if i%3 != len(r.Path)%3 && bad != evil { // each on a third of the pages
					continue
				}
				q := url.Values{}
				for _, f := range w.fields {
					q.Set(f, bad)
				}
				ask(path+"?"+firstOf(q, 6000), nil)
			}
			many := url.Values{}
			for _, f := range w.fields {
				many[f] = []string{"a", "b", "c"}
			}
			ask(path+"?"+many.Encode()+"&%zz=%&;;&=", nil)
		}
		for _, bad := range garbage[5:11] { // in the place of what the path names
			if !strings.Contains(r.Path, "{") || r.Method == http.MethodPost && destructive(r) > 0 {
				break
			}
			var form url.Values
			if r.Method == http.MethodPost {
				form = url.Values{}
			}
			if r.Customer {
				at, _ := objects.path(t, r.Path, bad)
				ask(at, form)
			}
			other := objectsOf(maps.Clone(objects.paths))
			other.paths[lastPattern(r.Path)] = bad
			at, _ := other.path(t, r.Path, "alfa")
			ask(at, form)
		}
		if r.Method == http.MethodPost {
			w.a.held = w.a.hold(t, w.gateway) // what came before may have taken the last one
			w.a.paths["/c/{customer}/messages/{id}"], w.a.paths["/o/messages/{id}"] = string(w.a.held), string(w.a.held)
			path, _ = objects.path(t, r.Path, "alfa")
			w.badForms(t, r, c, path, ask)
		}
	}
	for _, line := range strings.Split(w.logs.String(), "\n") {
		if strings.Contains(line, "level=ERROR") {
			t.Errorf("logged as an error: %.300s", line)
		}
	}
	if w.busy.Load() > w.asked.Load()/20 {
		t.Errorf("%d of %d requests came too often", w.busy.Load(), w.asked.Load())
	}
	t.Logf("%d routes, %d requests", len(w.routes), w.asked.Load())
}

// objectsOf are things with these names.
func objectsOf(paths map[string]string) *things { return &things{paths: paths} }

// firstOf is a query of bounded length.
func firstOf(q url.Values, most int) string {
	text := q.Encode()
	if len(text) > most {
		text = text[:strings.LastIndexByte(text[:most], '&')]
	}
	return text
}

// badForms sends a route what browsers never send, and what people never type.
func (w *world) badForms(t *testing.T, r portal.Declared, c *crew, path string, ask func(string, url.Values, ...string) answer) {
	t.Helper()
	name := r.Method + " " + r.Path
	before := w.a.state(t, w.gateway)
	full := w.a.form(r.Path, w.fields)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}, {"Origin", "http://gate.example.test"}, {"Sec-Fetch-Site", "not said"}} {
		if slices.Contains(header, "not said") && c.role == "" {
			continue
		}
		if a := ask(path, full, header...); a.status != http.StatusForbidden {
			t.Errorf("%s with %v: %d", name, header, a.status)
		}
	}
	if status := w.announce(t, c, path); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%s with a body of a gigabyte: %d", name, status)
	}
	if after := w.a.state(t, w.gateway); after != before {
		t.Errorf("%s: what was refused changed something:\n%s", name, difference(before, after))
	}
	many := url.Values{}
	for i := range 10_000 {
		many.Set(fmt.Sprint("f", i), "")
	}
	ask(path, many)
	for _, bad := range []string{evil, "a\r\nX-Evil: 1\r\n\r\n\x00\xff\xfe", "-99999999999999999999999999"} {
		form := url.Values{}
		for _, f := range w.fields {
			form[f] = []string{bad, bad}
		}
		ask(path, form)
		for _, f := range []string{"id", "address", "customer", "typed", "what", "domain", "role"} { // what leads further in, with hostile words beside it
			form.Set(f, full.Get(f))
		}
		ask(path, form)
	}
	for _, kind := range []string{"application/json", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x", "a/b; c=", ""} {
		ask(path, url.Values{"id": {"{\"a\":"}}, "Content-Type", kind)
	}
}

// announce says that a body of a gigabyte follows, and returns the answer's status.
func (w *world) announce(t *testing.T, c *crew, path string) int {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	n := w.visitor.Add(1)
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: gate.example.test\r\nX-Forwarded-For: 198.18.%d.%d\r\nCookie: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1073741824\r\n\r\n", path, n/250%250, n%250, w.next(t, c)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	w.asked.Add(1)
	text, _ := io.ReadAll(res.Body)
	w.carries(t, "POST "+path+" of a gigabyte", answer{res.StatusCode, string(text), res.Header})
	return res.StatusCode
}

// TestSweepLeads: every parameter that says where to go on leads to a page of ours.
func TestSweepLeads(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	operator, admin := &crew{role: user.Operator}, &crew{role: user.CustomerAdmin, customer: "alfa"}
	elsewhere := []string{"https://evil.example", "//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, "/\t/evil.example", "/\n/evil.example", "javascript:alert(1)", "https:evil.example", "/%2f/evil.example", "/..//evil.example", "/.//evil.example", "/o/..//evil.example", "/%5cevil.example", "/o/%2e%2e//evil.example", "@evil.example", "/o/\r\nX-Evil: 1", "?x", "", "/o//evil.example/..", "http://gate.example.test@evil.example/"}
	for _, r := range w.routes {
		if streams[r.Path] {
			continue
		}
		c := operator
		if r.Self || r.Public {
			c = admin
		}
		objects := w.a
		if !r.Customer && objects.paths[lastPattern(r.Path)] == "" {
			objects = w.o
		}
		path, _ := w.mine(t, c, r, objects, "alfa").path(t, r.Path, "alfa")
		for i, to := range elsewhere {
			if r.Method == http.MethodPost && i > 7 && !r.Self && !r.Public && !strings.HasPrefix(r.Path, "/o/lanes") && !strings.HasPrefix(r.Path, "/o/queue") {
				break // what takes a "back" is above
			}
			q := url.Values{}
			for _, f := range []string{"next", "back", "lang", "cursor", "after", "done", "to", "from", "url", "return", "redirect"} {
				q.Set(f, to)
			}
			form := url.Values(nil)
			if r.Method == http.MethodPost {
				form = objects.form(r.Path, w.fields)
				for f := range q {
					form.Set(f, to)
				}
			}
			a := w.send(t, c, r.Method, path+"?"+q.Encode(), form) // send checks where it leads
			if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
				harmless(t, r.Method+" "+r.Path, a.body)
			}
			if at := a.header.Get("Location"); at != "" {
				if u, err := url.Parse("https://gate.example.test"); err != nil {
					t.Fatal(err)
				} else if next, err := u.Parse(at); err != nil || next.Host != "gate.example.test" || next.Scheme != "https" {
					t.Errorf("%s %s with %q leads to %q", r.Method, r.Path, to, cmp.Or(at, "nowhere"))
				}
			}
			if r.Method == http.MethodPost && (r.Self || r.Public) {
				c.now = nil
			}
		}
	}
	if w.busy.Load() > w.asked.Load()/20 {
		t.Errorf("%d of %d requests came too often", w.busy.Load(), w.asked.Load())
	}
	t.Logf("%d requests", w.asked.Load())
}
