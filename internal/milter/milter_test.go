package milter_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/filter"
	"postern/internal/mail"
	"postern/internal/milter"
	"postern/internal/opinion"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// answers is a resolver made of a function.
type answers func(name string) dns.Answer

func (a answers) Query(_ context.Context, name string, _ dns.Type) dns.Answer { return a(name) }

// fixture is a server with real rooms around it. A customer is told from another by his threshold.
type fixture struct {
	*milter.Server
	addr     string
	user     string // credential of shop
	accounts *account.Ledger
	stop     func() error // ends Serve and returns what it returned
	mu       sync.Mutex
	events   []string
}

type setup struct {
	settings milter.Settings
	limits   milter.Limits
	crash    bool // the filter panics
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
	f := &fixture{}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	f.accounts, err = account.New(account.Options{DB: storetest.SQLite(t, store.MainSchema())})
	must(err)
	customer := func(id, network string, threshold float64) account.Customer {
		c := account.Customer{ID: id, Threshold: threshold, Domains: []mail.Domain{mail.Domain(id + ".test")}}
		if network != "" {
			c.Networks = []netip.Prefix{netip.MustParsePrefix(network)}
		}
		return c
	}
	must(f.accounts.SyncConfig(t.Context(), []account.Customer{customer("shop", "192.0.2.0/28", 4), customer("rival", "2001:db8::/32", 5), customer("other", "", 6),
		customer("gone", "198.51.100.0/24", 7)}, "test"))
	must(f.accounts.SetSuspended(t.Context(), "gone", true))
	must(f.accounts.Refresh(t.Context()))
	f.user, _, err = f.accounts.AddCredential(t.Context(), "shop", "test")
	must(err)
	scores := map[string]float64{}
	for _, x := range filter.Tests() {
		scores[x.Name] = 0
	}
	delete(scores, "VIRUS_FOUND") // nobody can set those of other scanners
	delete(scores, "OPINION_UNAVAILABLE")
	scores["GTUBE"] = 100
	resolver := answers(func(string) dns.Answer { return dns.Answer{Status: dns.Nothing, NXDomain: true} })
	if s.crash {
		scores = nil
		resolver = func(string) dns.Answer { panic("out of order") }
	}
	tests, err := filter.New(filter.Options{Resolver: resolver, Accounts: f.accounts, Lists: []dnsbl.List{}, Scores: scores, Unsigned: true, Opinions: s.opinions()})
	must(err)
	f.Server, err = milter.New(milter.Options{Hostname: "gate.test", Accounts: f.accounts, Filter: tests, Settings: s.settings, Limits: s.limits,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Count: func(e string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.events = append(f.events, e)
		}})
	must(err)
	network, addr := "tcp", "127.0.0.1:0"
	if s.unix {
		network, addr = "unix", filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, addr)
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

func (f *fixture) counted(event string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, e := range f.events {
		if e == event {
			n++
		}
	}
	return n
}

// mta is the mail server's side of the protocol, written for these tests.
type mta struct {
	net.Conn
	t       testing.TB
	options uint32 // agreed
}

func dial(t testing.TB, addr string) *mta {
	t.Helper()
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { _ = c.Close() })
	return &mta{Conn: c, t: t}
}

func frame(code byte, parts ...string) []byte {
	data := strings.Join(parts, "")
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1)), code), data...)
}

func (m *mta) send(code byte, parts ...string) {
	m.t.Helper()
	if _, err := m.Write(frame(code, parts...)); err != nil {
		m.t.Fatalf("send %c: %v", code, err)
	}
}

type answer struct {
	code byte
	data string
}

func (m *mta) read() (answer, error) {
	var head [5]byte
	if _, err := io.ReadFull(m, head[:]); err != nil {
		return answer{}, err
	}
	data := make([]byte, binary.BigEndian.Uint32(head[:4])-1)
	_, err := io.ReadFull(m, data)
	return answer{head[4], string(data)}, err
}

func (m *mta) must(code byte) answer {
	m.t.Helper()
	a, err := m.read()
	if err != nil || a.code != code {
		m.t.Fatalf("got %c %q %v; expected %c", a.code, a.data, err, code)
	}
	return a
}

func number(n ...uint32) string {
	var b []byte
	for _, x := range n {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return string(b)
}

// hello negotiates as Postfix 3.7 does, or as a server of version 2.
func (m *mta) hello(version uint32) *mta {
	m.t.Helper()
	offer := uint32(0x1fffff)
	actions := uint32(0x1ff)
	if version == 2 {
		offer, actions = 0x3f, 0x3f
	}
	m.send('O', number(version, actions, offer))
	a := m.must('O')
	if len(a.data) < 12 || binary.BigEndian.Uint32([]byte(a.data)) != version {
		m.t.Fatalf("negotiation: %q", a.data)
	}
	m.options = binary.BigEndian.Uint32([]byte(a.data)[8:])
	if m.options&^offer != 0 {
		m.t.Fatalf("it took options that were not offered: %#x", m.options)
	}
	return m
}

// step sends a command and takes the answer if one is due.
func (m *mta) step(code byte, silent uint32, parts ...string) {
	m.t.Helper()
	m.send(code, parts...)
	if silent == 0 || m.options&silent == 0 {
		m.must('c')
	}
}

func (m *mta) macros(code byte, pairs ...string) {
	m.send('D', string(code), strings.Join(pairs, "\x00")+"\x00")
}

func (m *mta) connect(ip string) {
	m.t.Helper()
	family := "4"
	if strings.Contains(ip, ":") {
		family = "6"
	}
	m.macros('C', "j", "mta.test", "{client_addr}", ip, "{client_name}", "web1.shop.test", "v", "Postfix 3.7.11")
	m.step('C', 0x1000, "web1.shop.test\x00", family, "\x1f\x90", ip+"\x00")
	m.step('H', 0x2000, "web1.shop.test\x00")
}

// message sends one and returns all answers to its end. fields are name and value with the space after the colon.
func (m *mta) message(user string, fields []string, body string) []answer {
	m.t.Helper()
	m.macros('M', "i", "4XyZ", "{auth_authen}", user, "{mail_addr}", "news@shop.test")
	m.step('M', 0x4000, "<news@shop.test>\x00SIZE=100\x00BODY=8BITMIME\x00")
	m.macros('R', "{rcpt_addr}", "someone@there.test")
	m.step('R', 0x8000, "<someone@there.test>\x00")
	if m.options&0x200 == 0 {
		m.step('T', 0)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		value := fields[i+1]
		if m.options&0x100000 == 0 {
			value = strings.TrimPrefix(value, " ")
		}
		m.step('L', 0x80, fields[i], "\x00", value, "\x00")
	}
	if m.options&0x40 == 0 {
		m.step('N', 0)
	}
	for len(body) > 0 {
		n := min(len(body), 65535)
		m.step('B', 0x80000, body[:n])
		body = body[n:]
	}
	m.macros('E', "i", "4XyZ")
	m.send('E')
	return m.answers()
}

func (m *mta) answers() (all []answer) {
	m.t.Helper()
	for {
		a, err := m.read()
		if err != nil {
			m.t.Fatalf("answers %q then %v", all, err)
		}
		all = append(all, a)
		if strings.ContainsRune("acdrty", rune(a.code)) {
			return all
		}
	}
}

const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"

var plain = []string{"From", " news@shop.test", "To", " someone@there.test", "Subject", " hello", "Message-ID", " <1@shop.test>"}

// said is the answers as text: one line each.
func said(all []answer) string {
	var out []string
	for _, a := range all {
		out = append(out, fmt.Sprintf("%c%s", a.code, strings.ReplaceAll(a.data, "\x00", "|")))
	}
	return strings.Join(out, "\n")
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const fine = "hX-Postern-Score| 0.0|\nhX-Postern-Status| No, score=0.0 required=%s\n\ttests=none|\na"
	const bad = "hX-Postern-Score| 15.0|\nhX-Postern-Status| Yes, score=15.0 required=%s\n\ttests=GTUBE|\n"
	for _, tc := range []struct {
		name   string
		set    milter.Settings
		ip     string
		user   string // "shop": its credential
		body   string
		want   string
		event  string
		fields []string
	}{
		{"clean", milter.Settings{}, "203.0.113.5", "", "x\r\n", fmt.Sprintf(fine, "3.0"), "clean", plain},
		{"own threshold for nobody's mail", milter.Settings{Threshold: 2.5}, "203.0.113.5", "", "x\r\n", fmt.Sprintf(fine, "2.5"), "clean", plain},
		{"network", milter.Settings{Customer: "other"}, "192.0.2.3", "", "x\r\n", fmt.Sprintf(fine, "4.0"), "clean", plain},
		{"network IPv6", milter.Settings{}, "2001:db8::1", "", "x\r\n", fmt.Sprintf(fine, "5.0"), "clean", plain},
		{"credential before network", milter.Settings{}, "2001:db8::1", "shop", "x\r\n", fmt.Sprintf(fine, "4.0"), "clean", plain},
		{"unknown credential", milter.Settings{}, "2001:db8::1", "nobody@else", "x\r\n", fmt.Sprintf(fine, "5.0"), "clean", plain},
		{"configured customer", milter.Settings{Customer: "other"}, "203.0.113.5", "", "x\r\n", fmt.Sprintf(fine, "6.0"), "clean", plain},
		{"configured customer does not exist", milter.Settings{Customer: "no-such"}, "203.0.113.5", "", "x\r\n", fmt.Sprintf(fine, "3.0"), "clean", plain},
		{"suspended", milter.Settings{Action: milter.Tag}, "198.51.100.3", "", "x\r\n", "y550 5.7.1 Customer gone is suspended; ask the operator|", "suspended", plain},
		{"quarantine", milter.Settings{}, "192.0.2.3", "", gtube,
			fmt.Sprintf(bad, "4.0") + "qPostern: score 15.0 is above 4.0 (GTUBE first)|\na", "quarantined", plain},
		{"reject", milter.Settings{Action: milter.Reject}, "192.0.2.3", "", gtube, "y550 5.7.1 Refused: score 15.0 is above 4.0 (GTUBE first)|", "rejected", plain},
		{"tag", milter.Settings{Action: milter.Tag}, "192.0.2.3", "", gtube, fmt.Sprintf(bad, "4.0") + "a", "tagged", plain},
		{"forged fields", milter.Settings{}, "203.0.113.5", "", "x\r\n",
			"m\x00\x00\x00\x02X-Postern-Score||\nm\x00\x00\x00\x01X-Postern-Score||\nm\x00\x00\x00\x01x-postern-other||\n" + fmt.Sprintf(fine, "3.0"), "clean",
			append([]string{"X-Postern-Score", " 0", "x-postern-score ", " 1", "x-postern-other", "", "X-Postern", " stays", "X-Poster-n", " stays"}, plain...)},
		{"too many forged fields", milter.Settings{Action: milter.Tag}, "203.0.113.5", "", "x\r\n",
			"y550 5.6.0 The message has 101 header fields that begin with X-Postern-; they are not for senders|", "rejected",
			slices.Concat(plain, slices.Repeat([]string{"X-Postern-Score", " 0"}, 101))},
		{"no header, no body", milter.Settings{}, "203.0.113.5", "", "", fmt.Sprintf(fine, "3.0"), "clean", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, setup{settings: tc.set})
			if tc.user == "shop" {
				tc.user = strings.ToUpper(f.user) // any case, as at the door
			}
			for _, version := range []uint32{6, 2} {
				m := dial(t, f.addr).hello(version)
				m.connect(tc.ip)
				// The server keeps the connection for all messages of one client: who it is must not be forgotten after the first.
				for n := range 3 {
					want := tc.want
					if version == 2 {
						want = strings.ReplaceAll(want, "| ", "|")
					}
					// A removal carries its index in four bytes, which read as NUL are shown as such.
					got := said(m.message(tc.user, tc.fields, tc.body))
					if want = strings.ReplaceAll(want, "\x00", "|"); got != want {
						t.Errorf("version %d, message %d:\n%q\nexpected\n%q", version, n, got, want)
					}
				}
				m.send('Q')
			}
			if f.counted(tc.event) != 6 {
				t.Errorf("events %v; expected %s six times", f.events, tc.event)
			}
		})
	}
}

func TestBrokenFilter(t *testing.T) {
	t.Parallel()
	for then, want := range map[string]string{
		milter.TempFail: "y451 4.3.0 The message could not be tested; try again later|",
		milter.Accept:   "m|||\x01X-Postern-Score||\nhX-Postern-Status| Unknown, not tested: the filter failed|\na",
	} {
		f := start(t, setup{settings: milter.Settings{OnError: then}, crash: true})
		m := dial(t, f.addr).hello(6)
		m.connect("192.0.2.3")
		for range 2 {
			if got := said(m.message("", append([]string{"X-Postern-Score", " 0"}, plain...), "x\r\n")); got != want {
				t.Errorf("%s: %q", then, got)
			}
		}
		if f.counted("error") != 2 {
			t.Errorf("events %v", f.events)
		}
	}
}

// TestScanner: a scanner that must be asked and has no opinion. What is too large for it will be so again.
func TestScanner(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		then string
		why  error
		want string
	}{
		{milter.TempFail, opinion.ErrUnavailable, "y451 4.3.0 The message could not be tested; try again later|"},
		{milter.TempFail, opinion.ErrTooLarge, "y552 5.3.4 The message is larger than the scanner of this server takes; send less at a time|"},
		{milter.Accept, opinion.ErrTooLarge, "hX-Postern-Status| Unknown, not tested: the filter failed|\na"},
	} {
		m := dial(t, start(t, setup{settings: milter.Settings{OnError: tc.then}, scanner: tc.why}).addr).hello(6)
		if got := said(m.message("", plain, "x\r\n")); got != tc.want {
			t.Errorf("%s, %v: %q", tc.then, tc.why, got)
		}
	}
}

func TestLimitOfSize(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		set    milter.Settings
		limits milter.Limits
		size   int
		want   string
		event  string
	}{
		{"below", milter.Settings{}, milter.Limits{MessageBytes: 200_000}, 190_000, "a", "clean"},
		{"above", milter.Settings{}, milter.Limits{MessageBytes: 200_000}, 300_000, "hX-Postern-Status| Unknown, not tested: larger than the filter takes|\na", "too_large"},
		{"above, tempfail", milter.Settings{TooLarge: milter.TempFail}, milter.Limits{MessageBytes: 200_000}, 300_000, "y451 4.3.0 The message could not be tested; try again later|", "too_large"},
		{"no memory", milter.Settings{}, milter.Limits{InFlightBytes: 100_000}, 190_000, "y451 4.3.0 The message could not be tested; try again later|", "error"},
		{"no memory, accept", milter.Settings{OnError: milter.Accept}, milter.Limits{InFlightBytes: 100_000}, 190_000, "hX-Postern-Status| Unknown, not tested: the filter failed|\na", "error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, setup{settings: tc.set, limits: tc.limits})
			m := dial(t, f.addr).hello(6)
			m.connect("203.0.113.5")
			for range 2 { // the memory must come back
				if got := said(m.message("", plain, strings.Repeat("0123456789abcdef", tc.size/16))); !strings.HasSuffix(got, tc.want) {
					t.Errorf("%q; expected %q", got, tc.want)
				}
			}
			if got := said(m.message("", plain, "x\r\n")); !strings.HasSuffix(got, "\na") {
				t.Errorf("a small message after it: %q", got)
			}
			if f.counted(tc.event) < 2 {
				t.Errorf("events %v", f.events)
			}
		})
	}
}

// TestAbort: a transaction that is given up leaves nothing for the next, and the client stays known.
func TestAbort(t *testing.T) {
	t.Parallel()
	f := start(t, setup{})
	m := dial(t, f.addr).hello(6)
	m.connect("192.0.2.3")
	m.macros('M', "i", "first", "{auth_authen}", "someone")
	m.step('M', 0x4000, "<news@shop.test>\x00")
	m.step('L', 0x80, "X-Postern-Score\x00 0\x00")
	m.step('B', 0x80000, gtube)
	m.send('A')
	if got := said(m.message("", plain, "x\r\n")); !strings.Contains(got, "required=4.0") || strings.Contains(got, "GTUBE") || strings.Contains(got, "m|") {
		t.Errorf("after an abort: %q", got)
	}
	m.send('K') // another client on the same connection
	m.connect("2001:db8::7")
	if got := said(m.message("", plain, "x\r\n")); !strings.Contains(got, "required=5.0") {
		t.Errorf("after a new client: %q", got)
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	f := start(t, setup{unix: true})
	m := dial(t, f.addr).hello(6)
	m.step('C', 0x1000, "localhost\x00U")
	if got := said(m.message("", plain, "x\r\n")); !strings.HasSuffix(got, "\na") {
		t.Errorf("%q", got)
	}
}

// TestHostile: what is no milter protocol ends its own connection and nothing else.
func TestHostile(t *testing.T) {
	t.Parallel()
	f := start(t, setup{limits: milter.Limits{Packet: 200 * time.Millisecond}})
	good := frame('O', number(6, 0x1ff, 0x1fffff))
	for name, bytes := range map[string][]byte{
		"empty packet":            {0, 0, 0, 0},
		"huge packet":             {0xff, 0xff, 0xff, 0xff, 'O'},
		"packet that never comes": {0, 0, 0, 200, 'O', 1, 2},
		"HTTP":                    []byte("GET / HTTP/1.1\r\n\r\n"),
		"no negotiation":          frame('M', "<a@b.test>\x00"),
		"short negotiation":       frame('O', number(6, 1)),
		"old version":             frame('O', number(1, 0x1ff, 0)),
		"no quarantine":           frame('O', number(6, 0x1f, 0x1fffff)),
		"negotiation twice":       append(bytes.Clone(good), good...),
		"connect without NUL":     append(bytes.Clone(good), frame('C', "abc")...),
		"connect without port":    append(bytes.Clone(good), frame('C', "abc\x004\x00")...),
		"connect from nonsense":   append(bytes.Clone(good), frame('C', "abc\x004\x00\x00nonsense\x00")...),
		"unknown command":         append(bytes.Clone(good), frame('z')...),
		"body before envelope":    append(bytes.Clone(good), frame('B', "x")...),
		"end before envelope":     append(bytes.Clone(good), frame('E')...),
		"field without value":     append(append(bytes.Clone(good), frame('M', "<>\x00")...), frame('L', "Subject\x00")...),
		"field without name":      append(append(bytes.Clone(good), frame('M', "<>\x00")...), frame('L', "\x00x\x00")...),
	} {
		m := dial(t, f.addr)
		if _, err := m.Write(bytes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for {
			a, err := m.read()
			if err != nil {
				if err, slow := err.(net.Error); slow && err.Timeout() {
					t.Errorf("%s: the connection stays open", name)
				}
				break
			}
			if a.code != 'O' {
				t.Errorf("%s: answer %c %q", name, a.code, a.data)
			}
		}
	}
	// Odd but possible: no strings where strings are due.
	m := dial(t, f.addr).hello(6)
	m.send('D', "")
	m.send('D', "C")
	m.send('D', "Mi")
	m.step('H', 0x2000, "")
	m.step('M', 0x4000, "")
	m.step('R', 0x8000, "")
	m.step('L', 0x80, "Name\x00\x00")
	m.send('E', "last piece")
	if got := said(m.answers()); !strings.HasSuffix(got, "\na") {
		t.Errorf("odd: %q", got)
	}
}

func TestLimitOfConnections(t *testing.T) {
	t.Parallel()
	f := start(t, setup{limits: milter.Limits{Connections: 2}})
	a, b := dial(t, f.addr).hello(6), dial(t, f.addr).hello(6)
	c := dial(t, f.addr)
	if _, err := c.read(); err == nil {
		t.Error("a third connection was served")
	}
	a.send('Q')
	if _, err := a.read(); err == nil {
		t.Error("the connection stays open after quit")
	}
	for end := time.Now().Add(time.Minute); ; {
		d := dial(t, f.addr)
		_, err := d.Write(frame('O', number(6, 0x1ff, 0x1fffff)))
		if err == nil {
			_, err = d.read()
		}
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the place of a connection that ended is not given again")
		}
	}
	_ = b
	if f.counted("refused") == 0 {
		t.Errorf("events %v", f.events)
	}
}

// TestDrain: at the end idle connections close at once, and a message under way is still answered.
func TestDrain(t *testing.T) {
	t.Parallel()
	f := start(t, setup{})
	idle, busy := dial(t, f.addr).hello(6), dial(t, f.addr).hello(6)
	busy.connect("192.0.2.3")
	busy.step('M', 0x4000, "<news@shop.test>\x00")
	busy.send('N')
	busy.must('c') // it has read the envelope
	ended := make(chan error, 1)
	go func() { ended <- f.stop() }()
	if _, err := idle.read(); err == nil {
		t.Error("the idle connection got an answer")
	}
	busy.step('B', 0x80000, "x\r\n")
	busy.send('E')
	if got := said(busy.answers()); !strings.HasSuffix(got, "\na") {
		t.Errorf("the message under way: %q", got)
	}
	if _, err := busy.read(); err == nil {
		t.Error("it goes on after its message")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestGrace: who does not finish is cut.
func TestGrace(t *testing.T) {
	t.Parallel()
	f := start(t, setup{limits: milter.Limits{DrainGrace: 50 * time.Millisecond}})
	busy := dial(t, f.addr).hello(6)
	busy.step('M', 0x4000, "<news@shop.test>\x00")
	busy.send('N')
	busy.must('c')
	if err := f.stop(); err != nil {
		t.Error(err)
	}
	if _, err := busy.read(); err == nil {
		t.Error("not cut")
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	f := start(t, setup{})
	m := dial(t, f.addr).hello(6)
	m.connect("203.0.113.5")
	if err := f.Reload(milter.Settings{Action: "no-such"}); err == nil || !strings.Contains(err.Error(), "milter.action") {
		t.Errorf("a wrong action: %v", err)
	}
	if err := f.Reload(milter.Settings{Action: milter.Reject, Customer: "other"}); err != nil {
		t.Fatal(err)
	}
	if got := said(m.message("", plain, gtube)); got != "y550 5.7.1 Refused: score 15.0 is above 6.0 (GTUBE first)|" {
		t.Errorf("after the reload: %q", got)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	f := start(t, setup{})
	var all sync.WaitGroup
	for i := range 20 {
		m := dial(t, f.addr)
		all.Go(func() {
			m.hello(6)
			m.connect("192.0.2.3")
			for n := range 10 {
				body := "x\r\n"
				if (i+n)%2 == 0 {
					body = gtube
				}
				if got := said(m.message("", plain, body)); strings.Contains(got, "GTUBE") != (body == gtube) {
					t.Errorf("%q", got)
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkMessage is the cost of the protocol around the filter: one message over loopback, with a filter that has nothing to do.
func BenchmarkMessage(b *testing.B) {
	accounts, err := account.New(account.Options{DB: storetest.SQLite(b, store.MainSchema())})
	if err != nil {
		b.Fatal(err)
	}
	tests, err := filter.New(filter.Options{Disabled: true})
	if err != nil {
		b.Fatal(err)
	}
	s, err := milter.New(milter.Options{Hostname: "gate.test", Accounts: accounts, Filter: tests})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	m := dial(b, l.Addr().String()).hello(6)
	m.connect("192.0.2.3")
	body := strings.Repeat("Here is a line of the message, as long as most.\r\n", 200)
	_ = m.SetDeadline(time.Time{})
	for b.Loop() {
		m.message("", plain, body)
	}
	cancel()
	_ = m.Close()
	<-done
}
