package spamd_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/filter"
	"postern/internal/learn"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/opinion"
	"postern/internal/spamd"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// answers is a resolver made of a function.
type answers func(name string) dns.Answer

func (a answers) Query(_ context.Context, name string, _ dns.Type) dns.Answer { return a(name) }

// fixture is a server with real rooms around it. A customer is told from another by his threshold.
type fixture struct {
	*spamd.Server
	network, addr string
	learn         *learn.Ledger
	stop          func() error
	mu            sync.Mutex
	events        []string
}

type setup struct {
	settings spamd.Settings
	limits   spamd.Limits
	crash    bool
	unix     bool
	scanner  error // a scanner that must be asked has no opinion, and this is why
}

// mute is a scanner without opinion.
type mute struct{ why error }

func (m mute) Ask(context.Context, opinion.Question) (opinion.Answer, error) {
	return opinion.Answer{}, m.why
}

func (s setup) opinions() []filter.Opinion {
	if s.scanner == nil {
		return nil
	}
	return []filter.Opinion{{Name: "clamd", Asker: mute{s.scanner}, Closed: true}}
}

func start(t *testing.T, s setup) *fixture {
	t.Helper()
	f := &fixture{network: "tcp"}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db := storetest.SQLite(t, store.MainSchema())
	accounts, err := account.New(account.Options{DB: db})
	must(err)
	must(accounts.SyncConfig(t.Context(), []account.Customer{{ID: "shop", Language: "en", Threshold: 4, Domains: []mail.Domain{"shop.test"}},
		{ID: "boutique", Language: "fr", Threshold: 5, Domains: []mail.Domain{"boutique.test"}}}, "test"))
	must(accounts.Refresh(t.Context()))
	f.learn, err = learn.New(learn.Options{DB: db})
	must(err)
	catalog, err := locale.New()
	must(err)
	scores := map[string]float64{}
	for _, x := range filter.Tests() {
		scores[x.Name] = 0
	}
	delete(scores, "VIRUS_FOUND") // nobody can set those of other scanners
	delete(scores, "OPINION_UNAVAILABLE")
	scores["GTUBE"], scores["MISSING_DATE"] = 100, 1.5
	resolver := answers(func(string) dns.Answer { return dns.Answer{Status: dns.Nothing, NXDomain: true} })
	if s.crash {
		scores = nil
		resolver = func(string) dns.Answer { panic("out of order") }
	}
	tests, err := filter.New(filter.Options{Resolver: resolver, Accounts: accounts, Lists: []dnsbl.List{}, Scores: scores, Unsigned: true, ReadOnly: true, Opinions: s.opinions()})
	must(err)
	f.Server, err = spamd.New(spamd.Options{Hostname: "gate.test", Version: "1.2.3", Accounts: accounts, Filter: tests, Learn: f.learn, Catalog: catalog,
		Settings: s.settings, Limits: s.limits, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Count: func(e string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.events = append(f.events, e)
		}})
	must(err)
	addr := "127.0.0.1:0"
	if s.unix {
		f.network, addr = "unix", filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(f.network, addr)
	must(err)
	f.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx, l) }()
	f.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return f
}

func (f *fixture) counted(event string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.events, event)
}

func (f *fixture) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial(f.network, f.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends text as it is, closes that side as spamc does, and returns everything that comes back.
func (f *fixture) ask(t testing.TB, text string) string {
	t.Helper()
	c := f.dial(t)
	_, _ = io.WriteString(c, text) // a refusal may come, and close, before all is sent
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	out, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("reading the answer: %v after %q", err, out)
	}
	return string(out)
}

// request is a verb with its header lines and a message.
func request(verb, lines, message string) string {
	return fmt.Sprintf("%s SPAMC/1.5\r\nContent-length: %d\r\n%s\r\n%s", verb, len(message), lines, message)
}

const (
	gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
	top   = "From: news@shop.test\nTo: someone@there.test\nSubject: hello\nMessage-ID: <1@shop.test>\n"
	dated = "Date: Sat, 21 Nov 2026 18:40:00 +0000\n"
	ham   = top + dated + "\nHello.\n"
	spam  = top + dated + "\n" + gtube + "\n"
	meh   = top + "\nNo date.\n"
)

func TestVerbs(t *testing.T) {
	t.Parallel()
	f := start(t, setup{settings: spamd.Settings{Learn: true}})
	const ok = "SPAMD/1.1 0 EX_OK\r\n"
	const checker = "X-Spam-Checker-Version: Postern 1.2.3 on gate.test\n"
	const bad = checker + "X-Spam-Flag: YES\nX-Spam-Level: ***************\nX-Spam-Status: Yes, score=15.0 required=3.0\n\ttests=GTUBE\n"
	const fine = checker + "X-Spam-Status: No, score=0.0 required=3.0\n\ttests=none\n"
	crlf := strings.NewReplacer("\n", "\r\n")
	for _, tc := range []struct{ name, request, spam, body string }{
		{"CHECK spam", request("CHECK", "", spam), "True ; 15.0 / 3.0", ""},
		{"CHECK ham", request("CHECK", "", ham), "False ; 0.0 / 3.0", ""},
		{"CHECK for a customer", request("CHECK", "User: shop\r\n", meh), "False ; 1.5 / 4.0", ""},
		{"CHECK for nobody we know", request("CHECK", "User: root\r\n", meh), "False ; 1.5 / 3.0", ""},
		{"CHECK without length", "CHECK SPAMC/1.2\r\n\r\n" + spam, "True ; 15.0 / 3.0", ""},
		{"CHECK with LF lines", "CHECK SPAMC/1.2\n\n" + spam, "True ; 15.0 / 3.0", ""},
		{"CHECK of nothing", request("CHECK", "", ""), "False ; 1.5 / 3.0", ""},
		{"unknown header", request("CHECK", "X-New: thing\r\n", ham), "False ; 0.0 / 3.0", ""},
		{"more than was announced", request("CHECK", "", ham) + "rest", "False ; 0.0 / 3.0", ""},
		{"SYMBOLS", request("SYMBOLS", "", top+"\n"+gtube), "True ; 15.0 / 3.0", "GTUBE,MISSING_DATE"},
		{"SYMBOLS none", request("SYMBOLS", "", ham), "False ; 0.0 / 3.0", ""},
		{"REPORT_IFSPAM ham", request("REPORT_IFSPAM", "", meh), "No ; 1.5 / 3.0", ""},
		{"PROCESS spam", request("PROCESS", "", spam), "True ; 15.0 / 3.0", bad + spam},
		{"PROCESS CRLF", request("PROCESS", "", crlf.Replace(spam)), "True ; 15.0 / 3.0", crlf.Replace(bad + spam)},
		{"PROCESS replaces", request("PROCESS", "", "X-Spam-Flag: NO\nx-spam-status: No,\n folded\nX-Spam-Level : *\nX-Spam-Other: 1\nX-Spa: stays\n"+ham), "False ; 0.0 / 3.0",
			fine + "X-Spa: stays\n" + ham},
		{"PROCESS mbox", request("PROCESS", "", "From news@shop.test  Sat Nov 21 18:40:00 2026\n"+ham), "False ; 0.0 / 3.0",
			"From news@shop.test  Sat Nov 21 18:40:00 2026\n" + fine + ham},
		{"PROCESS mixed line ends", request("PROCESS", "", crlf.Replace(ham)+"bare\nend\r\n"), "False ; 0.0 / 3.0", crlf.Replace(fine+ham) + "bare\nend\r\n"},
		{"HEADERS", request("HEADERS", "", spam), "True ; 15.0 / 3.0", bad + top + dated + "\n"},
		{"compressed", request("PROCESS", "Compress: zlib\r\n", deflate(spam)), "True ; 15.0 / 3.0", bad + spam},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := ok + fmt.Sprintf("Content-length: %d\r\nSpam: %s\r\n\r\n", len(tc.body), tc.spam) + tc.body
			if strings.HasPrefix(tc.request, "CHECK") {
				want = ok + "Spam: " + tc.spam + "\r\n\r\n"
			}
			if got := f.ask(t, tc.request); got != want {
				t.Errorf("got\n%q\nexpected\n%q", got, want)
			}
		})
	}
	if got := f.ask(t, "PING SPAMC/1.2\r\n\r\n"); got != "SPAMD/1.5 0 PONG\r\n" {
		t.Errorf("PING: %q", got)
	}
	if got := f.ask(t, "SKIP SPAMC/1.2\r\n\r\n"); got != "" {
		t.Errorf("SKIP: %q", got)
	}
	for _, e := range []string{"check", "symbols", "report_ifspam", "process", "headers", "ping", "skip"} {
		if !f.counted(e) {
			t.Errorf("%s was not counted", e)
		}
	}
}

// TestOlderVersions: each client hears what it can read. The forms are those of spamd 4.0; Exim's is that of 1.2.
func TestOlderVersions(t *testing.T) {
	t.Parallel()
	f := start(t, setup{})
	marked := "X-Spam-Checker-Version: Postern 1.2.3 on gate.test\nX-Spam-Flag: YES\nX-Spam-Level: ***************\n" +
		"X-Spam-Status: Yes, score=15.0 required=3.0\n\ttests=GTUBE\n" + spam
	for _, tc := range []struct{ request, want string }{
		{"PROCESS SPAMC/1.2\r\n\r\n" + spam, fmt.Sprintf("SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\n\r\n", len(marked)) + marked},
		{"PROCESS SPAMC/1.1\r\n\r\n" + spam, "SPAMD/1.1 0 EX_OK\r\n" + marked},
		{"SYMBOLS SPAMC/1.2\r\n\r\n" + spam, "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 15.0 / 3.0\r\n\r\nGTUBE\r\n"},
		{"CHECK SPAMC/1.0\r\n\r\n" + spam, "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 15.0 / 3.0\r\n\r\n"},
	} {
		if got := f.ask(t, tc.request); got != tc.want {
			t.Errorf("got\n%q\nexpected\n%q", got, tc.want)
		}
	}
	exim := regexp.MustCompile(`^SPAMD/\S{1,7} 0 EX_OK\r\nSpam: \S+ ; 15.0 / 3.0\r\n\r\nPostern on`) // as its spam.c scans it
	if got := f.ask(t, fmt.Sprintf("REPORT SPAMC/1.2\r\nUser: nobody\r\nContent-length: %d\r\n\r\n%s", len(spam), spam)); !exim.MatchString(got) {
		t.Errorf("Exim hears %q", got)
	}
}

func deflate(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

// TestReport: in the customer's language, else in the configured one.
func TestReport(t *testing.T) {
	t.Parallel()
	f := start(t, setup{settings: spamd.Settings{Language: "fr", Customer: "no-such"}})
	for _, tc := range []struct{ verb, user, words, points, test string }{
		{"REPORT", "shop", "above the threshold of 4", "    100  GTUBE", "1.5  MISSING_DATE"},
		{"REPORT_IFSPAM", "boutique", "au-dessus du seuil de 5", "    100  GTUBE", "1,5  MISSING_DATE"},
		{"REPORT", "nobody", "au-dessus du seuil de 3", "    100  GTUBE", "1,5  MISSING_DATE"},
	} {
		got := f.ask(t, request(tc.verb, "User: "+tc.user+"\r\n", top+"\n"+gtube))
		_, body, _ := strings.Cut(got, "\r\n\r\n")
		flat := strings.Join(strings.Fields(body), " ")
		if !strings.Contains(flat, tc.words) || !strings.Contains(body, tc.points) || !strings.Contains(body, tc.test) || strings.Contains(body, "\r") {
			t.Errorf("%s for %s:\n%s", tc.verb, tc.user, body)
		}
		for line := range strings.SplitSeq(body, "\n") {
			if len([]rune(line)) > 78 {
				t.Errorf("long line %q", line)
			}
		}
	}
	if got := f.ask(t, request("REPORT", "User: shop\r\n", ham)); !strings.Contains(got, "No test fired.") {
		t.Errorf("%q", got)
	}
}

func TestTell(t *testing.T) {
	t.Parallel()
	f := start(t, setup{settings: spamd.Settings{Learn: true}})
	const did, removed, nothing = "SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\nContent-length: 0\r\n\r\n", "SPAMD/1.1 0 EX_OK\r\nDidRemove: local\r\nContent-length: 0\r\n\r\n",
		"SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n"
	for _, tc := range []struct {
		name, lines, want   string
		scope               string
		spamCount, hamCount int64
		marked              bool // the message comes with the fields of a filter
	}{
		{name: "spam", lines: "Message-class: spam\r\nSet: local\r\n", want: did, spamCount: 1},
		{name: "spam again, with the fields of a filter", lines: "Message-class: spam\r\nSet: local\r\n", want: nothing, spamCount: 1, marked: true},
		{name: "ham after all", lines: "Message-class: ham\r\nSet: local, remote\r\n", want: did, hamCount: 1},
		{name: "a customer's own", lines: "User: shop\r\nMessage-class: Spam\r\nSet: local\r\n", want: did, scope: "shop", spamCount: 1},
		{name: "forgotten", lines: "Remove: local\r\n", want: removed},
		{name: "forgotten already", lines: "Remove: local\r\n", want: nothing},
		{name: "remote only", lines: "Message-class: spam\r\nSet: remote\r\n", want: nothing},
	} {
		message := ham
		if tc.marked {
			message = "X-Spam-Status: No\n" + ham
		}
		if got := f.ask(t, request("TELL", tc.lines, message)); got != tc.want {
			t.Errorf("%s: %q", tc.name, got)
		}
		spam, ham, err := f.learn.Totals(t.Context(), tc.scope)
		if err != nil || spam != tc.spamCount || ham != tc.hamCount {
			t.Errorf("%s: %d spam, %d ham, %v", tc.name, spam, ham, err)
		}
	}
	f.Reload(spamd.Settings{Learn: false})
	if got := f.ask(t, request("TELL", "Message-class: spam\r\nSet: local\r\n", spam)); !strings.HasPrefix(got, "SPAMD/1.1 77 EX_NOPERM: ") {
		t.Errorf("learning switched off: %q", got)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	f := start(t, setup{settings: spamd.Settings{Learn: true}, limits: spamd.Limits{MessageBytes: 100_000}})
	bomb := deflate(strings.Repeat("a", 5_000_000))
	for _, tc := range []struct {
		name, request string
		code          string
	}{
		{"empty line", "\r\n", "76 EX_PROTOCOL"},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", "76 EX_PROTOCOL"},
		{"unknown verb", "LEARN SPAMC/1.5\r\n\r\n", "76 EX_PROTOCOL"},
		{"lower case", "check SPAMC/1.5\r\n\r\n", "76 EX_PROTOCOL"},
		{"no version", "CHECK\r\n\r\n", "76 EX_PROTOCOL"},
		{"wrong version", "CHECK SPAMC/one\r\n\r\n", "76 EX_PROTOCOL"},
		{"long line", "CHECK SPAMC/1.5" + strings.Repeat(" ", 5000) + "\r\n\r\n", "76 EX_PROTOCOL"},
		{"ends in the line", "CHECK SPAMC/1.5", "76 EX_PROTOCOL"},
		{"ends in the header", "CHECK SPAMC/1.5\r\nUser: a\r\n", "76 EX_PROTOCOL"},
		{"no colon", "CHECK SPAMC/1.5\r\nUser\r\n\r\n", "76 EX_PROTOCOL"},
		{"space in a name", "CHECK SPAMC/1.5\r\nUser : a\r\n\r\n", "76 EX_PROTOCOL"},
		{"control character", "CHECK SPAMC/1.5\r\nUser: a\x00\r\n\r\n", "76 EX_PROTOCOL"},
		{"bare CR", "CHECK SPAMC/1.5\r\nUser: a\rb\r\n\r\n", "76 EX_PROTOCOL"},
		{"length twice", "CHECK SPAMC/1.5\r\nContent-length: 1\r\nContent-Length: 2\r\n\r\nab", "76 EX_PROTOCOL"},
		{"length below zero", "CHECK SPAMC/1.5\r\nContent-length: -1\r\n\r\n", "76 EX_PROTOCOL"},
		{"length with sign", "CHECK SPAMC/1.5\r\nContent-length: +1\r\n\r\na", "76 EX_PROTOCOL"},
		{"length beyond numbers", "CHECK SPAMC/1.5\r\nContent-length: 99999999999999999999\r\n\r\n", "76 EX_PROTOCOL"},
		{"many lines", "CHECK SPAMC/1.5\r\n" + func() (s string) {
			for i := range 40 {
				s += fmt.Sprintf("h%d: x\r\n", i)
			}
			return s
		}() + "\r\n", "76 EX_PROTOCOL"},
		{"unknown compression", "CHECK SPAMC/1.5\r\nCompress: bzip2\r\n\r\n", "76 EX_PROTOCOL"},
		{"unknown class", "TELL SPAMC/1.5\r\nMessage-class: junk\r\n\r\n", "76 EX_PROTOCOL"},
		{"unknown place", "TELL SPAMC/1.5\r\nSet: here\r\n\r\n", "76 EX_PROTOCOL"},
		{"set without class", "TELL SPAMC/1.5\r\nSet: local\r\n\r\n", "76 EX_PROTOCOL"},
		{"set and remove", "TELL SPAMC/1.5\r\nMessage-class: spam\r\nSet: local\r\nRemove: local\r\n\r\n", "76 EX_PROTOCOL"},
		{"short message", "CHECK SPAMC/1.5\r\nContent-length: 100\r\n\r\nabc", "65 EX_DATAERR"},
		{"announced too large", "CHECK SPAMC/1.5\r\nContent-length: 100001\r\n\r\nabc", "65 EX_DATAERR"},
		{"too large without length", "CHECK SPAMC/1.5\r\n\r\n" + strings.Repeat("a", 200_000), "65 EX_DATAERR"},
		{"no zlib", request("CHECK", "Compress: zlib\r\n", ham), "65 EX_DATAERR"},
		{"zlib cut off", request("CHECK", "Compress: zlib\r\n", deflate(ham)[:20]), "65 EX_DATAERR"},
		{"inflates too far", request("CHECK", "Compress: zlib\r\n", bomb), "65 EX_DATAERR"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := f.ask(t, tc.request)
			if !strings.HasPrefix(got, "SPAMD/1.1 "+tc.code+": ") || !regexp.MustCompile(`^[ -~]+\r\n\r\n$`).MatchString(got) {
				t.Errorf("%q; expected %s", got, tc.code)
			}
		})
	}
	if got := f.ask(t, ""); got != "" {
		t.Errorf("a client that says nothing hears %q", got)
	}
	if got := f.ask(t, request("CHECK", "", spam)); !strings.Contains(got, "Spam: True") {
		t.Errorf("after all that: %q", got)
	}
}

func TestTooSlow(t *testing.T) {
	t.Parallel()
	f := start(t, setup{limits: spamd.Limits{Request: 50 * time.Millisecond, Message: 50 * time.Millisecond}})
	for _, text := range []string{"CHECK SPAM", "CHECK SPAMC/1.5\r\nContent-length: 10\r\n\r\nabc"} {
		c := f.dial(t)
		_, _ = io.WriteString(c, text)
		if out, _ := io.ReadAll(c); !strings.HasPrefix(string(out), "SPAMD/1.1 79 EX_TIMEOUT: ") {
			t.Errorf("%q: %q", text, out)
		}
	}
	if out, _ := io.ReadAll(f.dial(t)); len(out) != 0 { // asks nothing
		t.Errorf("%q", out)
	}
}

func TestNoMemory(t *testing.T) {
	t.Parallel()
	f := start(t, setup{limits: spamd.Limits{InFlightBytes: 50_000}})
	for range 3 { // what was taken comes back
		if got := f.ask(t, request("CHECK", "", ham+strings.Repeat("a", 100_000))); !strings.HasPrefix(got, "SPAMD/1.1 75 EX_TEMPFAIL: ") {
			t.Errorf("%q", got)
		}
		if got := f.ask(t, request("CHECK", "", ham)); !strings.Contains(got, "Spam: False") {
			t.Errorf("%q", got)
		}
	}
}

func TestBrokenFilter(t *testing.T) {
	t.Parallel()
	f := start(t, setup{crash: true})
	if got := f.ask(t, request("PROCESS", "", ham)); !strings.HasPrefix(got, "SPAMD/1.1 70 EX_SOFTWARE: ") {
		t.Errorf("%q", got)
	}
}

// TestScanner: a scanner that must be asked and has no opinion.
func TestScanner(t *testing.T) {
	t.Parallel()
	for why, want := range map[error]string{opinion.ErrUnavailable: "SPAMD/1.1 75 EX_TEMPFAIL: ", opinion.ErrTooLarge: "SPAMD/1.1 65 EX_DATAERR: "} {
		if got := start(t, setup{scanner: why}).ask(t, request("CHECK", "", ham)); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %q", why, got)
		}
	}
}

func TestLimitOfConnections(t *testing.T) {
	t.Parallel()
	f := start(t, setup{limits: spamd.Limits{Connections: 1}})
	first := f.dial(t)
	if _, err := io.WriteString(first, "CHECK SPAMC/1.5\r\n"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; { // until the first is admitted, the second may be
		c := f.dial(t)
		out, _ := io.ReadAll(io.LimitReader(c, 10_000))
		if strings.HasPrefix(string(out), "SPAMD/1.1 69 EX_UNAVAILABLE: ") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a second connection hears %q", out)
		}
	}
	if !f.counted("refused") {
		t.Error("not counted")
	}
}

func TestUnixSocketAndDrain(t *testing.T) {
	t.Parallel()
	f := start(t, setup{unix: true, settings: spamd.Settings{Learn: true}})
	if got := f.ask(t, request("TELL", "Message-class: spam\r\nSet: local\r\n", spam)); !strings.Contains(got, "DidSet") {
		t.Errorf("a unix socket is this machine: %q", got)
	}
	idle, busy := f.dial(t), f.dial(t)
	if _, err := io.WriteString(busy, "CHECK SPAMC/1.5\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !f.counted("check"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the request was never read")
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- f.stop() }()
	if out, err := io.ReadAll(idle); err != nil || len(out) != 0 {
		t.Errorf("idle: %q %v", out, err)
	}
	if _, err := io.WriteString(busy, spam); err != nil {
		t.Error(err)
	}
	_ = busy.(*net.UnixConn).CloseWrite()
	if out, err := io.ReadAll(busy); err != nil || !strings.Contains(string(out), "Spam: True") {
		t.Errorf("the request under way: %q %v", out, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial(f.network, f.addr); err == nil {
		t.Error("it still listens")
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	if _, err := spamd.New(spamd.Options{}); err == nil {
		t.Error("made without rooms")
	}
	f := start(t, setup{settings: spamd.Settings{Learn: true}})
	far := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 1}
	for _, tc := range []struct {
		name string
		set  spamd.Settings
		verb string
		want string
	}{
		{"not allowed", spamd.Settings{}, "CHECK", ""},
		{"allowed", spamd.Settings{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, "CHECK", "SPAMD/1.1 0 EX_OK"},
		{"may not teach", spamd.Settings{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Learn: true}, "TELL", "SPAMD/1.1 77"},
		{"may teach", spamd.Settings{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Learn: true, LearnRemote: true}, "TELL", "SPAMD/1.1 0"},
	} {
		f.Reload(tc.set)
		here, there := tcpPair(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Serve(ctx, &one{conn: &elsewhere{Conn: there, from: far}, ctx: ctx}) }()
		_, _ = io.WriteString(here, request(tc.verb, "Message-class: spam\r\nSet: local\r\n", spam))
		out, _ := io.ReadAll(here)
		if !strings.HasPrefix(string(out), tc.want) || tc.want == "" && len(out) > 0 {
			t.Errorf("%s: %q", tc.name, out)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// elsewhere is a connection that says it comes from another machine.
type elsewhere struct {
	net.Conn
	from net.Addr
}

func (e *elsewhere) RemoteAddr() net.Addr { return e.from }

// one is a listener with one connection.
type one struct {
	mu   sync.Mutex
	conn net.Conn
	ctx  context.Context
}

func (o *one) Accept() (net.Conn, error) {
	o.mu.Lock()
	c := o.conn
	o.conn = nil
	o.mu.Unlock()
	if c != nil {
		return c, nil
	}
	<-o.ctx.Done()
	return nil, errors.New("closed")
}

func (o *one) Close() error   { return nil }
func (o *one) Addr() net.Addr { return &net.TCPAddr{} }

func tcpPair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	here, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if there, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	_ = here.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	return here, there
}
