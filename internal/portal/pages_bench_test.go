package portal_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/app"
	"postern/internal/config"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/portal"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/suppression"
	"postern/internal/user"
	"postern/internal/webhook"
)

// BenchmarkPages renders every page that is registered, as an operator and as a customer's user, on a gateway with a long past: 1,000,000
// facts and 10,000 customers (POSTERN_BENCH_FACTS, POSTERN_BENCH_CUSTOMERS say otherwise). It prints the quickest, the median and the slowest
// of some requests in milliseconds, the slowest page first, and before that the least of the process's CPU time, which other work on the machine
// changes less. POSTERN_BENCH_DATA names a folder in which the past is kept for the next time, POSTERN_BENCH_PAGES is a regular expression of pages;
// POSTERN_BENCH_DATABASE=postgres has it in a PostgreSQL that ends with the benchmark.
//
//	go test ./internal/portal -run '^$' -bench Pages -benchtime 1x
func BenchmarkPages(b *testing.B) {
	p := newPast(b)
	asked := 0
	var operator, sender string
	type figure struct {
		who, path        string
		status           int
		min, median, max time.Duration
		cpu              time.Duration
		bytes            int
	}
	var all []figure
	only := regexp.MustCompile(os.Getenv("POSTERN_BENCH_PAGES"))
	for b.Loop() {
		all = nil
		for _, r := range portal.DeclaredRoutes() {
			if r.Method != http.MethodGet {
				continue
			}
			for _, path := range p.pathsOf(r.Path) {
				if !only.MatchString(path) {
					continue
				}
				if asked%20 == 0 { // nobody may ask so often
					operator, sender = p.signIn(b, user.Operator, ""), p.signIn(b, user.CustomerAdmin, "c1")
				}
				asked++
				for who, cookie := range map[string]string{"operator": operator, "customer": sender} {
					if who == "customer" && strings.HasPrefix(path, "/o") {
						continue
					}
					f := figure{who: who, path: path, cpu: time.Hour}
					var took []time.Duration
					for range 5 {
						began, cpu := time.Now(), spent()
						f.status, f.bytes = p.ask(b, path, cookie)
						took, f.cpu = append(took, time.Since(began)), min(f.cpu, spent()-cpu)
						if took[0] > 3*time.Second || f.bytes < 0 {
							break
						}
					}
					slices.Sort(took)
					f.min, f.median, f.max = took[0], took[len(took)/2], took[len(took)-1]
					all = append(all, f)
				}
			}
		}
	}
	slices.SortFunc(all, func(x, y figure) int { return cmp.Or(cmp.Compare(y.median, x.median), cmp.Compare(x.path, y.path)) })
	slow := 0
	for _, f := range all {
		if f.median > 100*time.Millisecond {
			slow++
		}
		fmt.Printf("cpu %7.1f %8.1f %8.1f %8.1f ms  %3d %7d bytes  %-8s %s\n", ms(f.cpu), ms(f.min), ms(f.median), ms(f.max), f.status, f.bytes, f.who, f.path)
	}
	b.ReportMetric(float64(len(all)), "pages")
	b.ReportMetric(float64(slow), "pages>100ms")
	b.ReportMetric(ms(all[0].median), "slowest-ms")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// spent is the CPU time of the process so far.
func spent() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// past is a gateway with a long past.
type past struct {
	*app.App
	message, held    mail.QueueID
	operator, sender string // IDs of users
	invited          string // what a link of an invitation ends with
	credential       string
	hooks            map[string]string // by customer
}

// number reads a number from the environment.
func number(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return usual
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// newPast opens the gateway and makes its past where it is not there yet.
func newPast(b *testing.B) *past {
	b.Helper()
	dir := os.Getenv("POSTERN_BENCH_DATA")
	if dir == "" {
		dir = b.TempDir()
	}
	must(b, os.MkdirAll(dir, 0o755))
	file := filepath.Join(dir, "postern.yaml")
	must(b, os.WriteFile(file, fmt.Appendf(nil, "hostname: gate.example.test\ndata_dir: %s\nstorage: {reserve: 16MiB}\ndns: {servers: [\"127.0.0.1:9\"]}\ndelivery: {pools: {default: [{ip: 127.0.0.1, helo: gate.example.test}]}}\n", dir), 0o600))
	c, err := config.Load(file)
	must(b, err)
	if os.Getenv("POSTERN_BENCH_DATABASE") == "postgres" {
		c.Storage.URL = storetest.PostgresURL(b, nil)
	}
	free := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	c.Listen.Relay.Address, c.Listen.Submission.Address, c.Listen.Submissions.Address, c.Listen.Web, c.Listen.Metrics = free, free, free, free, free
	ctx, stop := context.WithCancel(context.Background())
	p := &past{hooks: map[string]string{}}
	p.App, err = app.New(ctx, app.Options{Config: c, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Version: "bench"})
	must(b, err)
	p.queue(b) // before anybody delivers
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	b.Cleanup(func() { stop(); <-done })
	p.customers(b)
	p.objects(b)
	sndsPast(b, p.Postmaster())
	p.sndsMillion(b)
	p.gmailPast(b)
	p.reportedPast(b)
	if c.Storage.URL != "" { // the server of tests does not look at its tables by itself
		must(b, storetest.Open(b, store.Options{URL: c.Storage.URL, Migrations: store.MainSchema()}).Write(ctx, func(tx *store.Tx) error { _, err := tx.Exec("ANALYZE"); return err }))
	}
	ready := filepath.Join(dir, "ready")
	if names, err := os.ReadFile(ready); err == nil {
		fmt.Sscan(string(names), (*string)(&p.message), (*string)(&p.held))
		return p
	}
	p.make(b)
	must(b, os.WriteFile(ready, []byte(p.message+" "+p.held), 0o600))
	return p
}

// customers stands in for a configuration that has them: they must be told at every start.
func (p *past) customers(b *testing.B) {
	b.Helper()
	list := make([]account.Customer, number("POSTERN_BENCH_CUSTOMERS", 10_000))
	for i := range list {
		list[i] = account.Customer{ID: fmt.Sprintf("c%d", i+1), Name: fmt.Sprintf("Customer number %d", i+1), Language: []string{"fr", "en"}[i%2], Contact: parsed(b, fmt.Sprintf("owner@c%d.example", i+1)),
			Domains: []mail.Domain{mail.Domain(fmt.Sprintf("c%d.example", i+1))}, SelfRelease: true}
	}
	must(b, p.Accounts().SyncConfig(b.Context(), list, "bench"))
}

// queue fills the spool with mail that waits, half of it parked in lanes, where there is none: nothing of it is due during a run.
func (p *past) queue(b *testing.B) {
	b.Helper()
	ctx, now, lanes := b.Context(), time.Now(), []string{"orange", "gmail", "free", "yahoo", "microsoft"}
	st, err := p.Spool().Stats(ctx)
	must(b, err)
	for i := st.Queued; i < number("POSTERN_BENCH_QUEUED", 10_000); i++ {
		at, to := now.Add(-time.Duration(i)*time.Second), lanes[i%len(lanes)]
		m := spool.Message{ID: mail.NewQueueID(at), Customer: fmt.Sprintf("c%d", 1+i%300), Received: at, Expires: now.Add(30 * 24 * time.Hour), Subject: fmt.Sprintf("Newsletter %d", i), HeaderFrom: "news@c1.example",
			Envelope: mail.Envelope{ReversePath: parsed(b, "news@c1.example"), Recipients: []mail.Recipient{{Address: parsed(b, fmt.Sprintf("u%d@%s.example", i, to))}}}, Body: []byte("Subject: x\r\n\r\nx\r\n"), Score: 1}
		must(b, p.Spool().Put(ctx, &m))
	}
	for {
		due, err := p.Spool().Claim(ctx, 500)
		must(b, err)
		if len(due) == 0 {
			return
		}
		var later []spool.Outcome
		for i, w := range due {
			for _, r := range w.Recipients {
				o := spool.Outcome{ID: w.ID, Index: r.Index, State: spool.Queued, NextAt: now.Add(23 * time.Hour), Attempted: true, Code: 451, Enhanced: "4.7.1", Text: "4.7.1 try again later", Host: "mx1.orange.example[192.0.2.9]"}
				if i%2 == 0 {
					o.Attempted, o.Lane, o.Wait = false, strings.TrimSuffix(string(r.Address.Domain), ".example")+" 127.0.0.1", "rate"
				}
				later = append(later, o)
			}
		}
		must(b, p.Spool().Settle(ctx, later...))
	}
}

// objects makes what pages are about besides mail.
func (p *past) objects(b *testing.B) {
	b.Helper()
	ctx := b.Context()
	if _, p.sender = p.person(b, user.CustomerAdmin, "c1"); len(p.Accounts().Credentials("c1")) == 0 {
		_, _, err := p.Accounts().AddCredential(ctx, "c1", "web")
		must(b, err)
	}
	p.credential = p.Accounts().Credentials("c1")[0].User
	p.invited, p.operator = p.person(b, user.Operator, "")
	for _, customer := range []string{"", "c1"} {
		h, err := p.Webhooks().Add(ctx, customer, webhook.Settings{Label: "bench", URL: "https://hooks.example/in"}, "bench")
		must(b, err)
		_, err = p.Webhooks().Pause(ctx, h.ID)
		must(b, err)
		b.Cleanup(func() { _ = p.Webhooks().Remove(context.WithoutCancel(ctx), h.ID) })
		p.hooks[customer] = h.ID
	}
}

// make fills the gateway: facts of sixty days, mail in the spool, suppressed addresses.
func (p *past) make(b *testing.B) {
	b.Helper()
	ctx, r := b.Context(), rand.New(rand.NewPCG(1, 1))
	customers, facts := number("POSTERN_BENCH_CUSTOMERS", 10_000), number("POSTERN_BENCH_FACTS", 1_000_000)
	now := time.Now()
	var batch []journal.Fact
	for written := 0; written < facts; {
		at := now.Add(-time.Duration(float64(60*24*time.Hour) * (1 - float64(written)/float64(facts))))
		who := 1 + int(float64(customers)*r.Float64()*r.Float64()*r.Float64()) // few send most
		group := story(r, at, who)
		batch, written = append(batch, group...), written+len(group)
		if len(batch) >= 2000 {
			must(b, p.Journal().Append(ctx, batch...))
			batch = batch[:0]
		}
		p.message = group[0].QueueID
	}
	must(b, p.Journal().Append(ctx, batch...))
	for i := range number("POSTERN_BENCH_SPOOL", 5_000) {
		at := now.Add(-time.Duration(i) * time.Second)
		m := spool.Message{ID: mail.NewQueueID(at), Customer: fmt.Sprintf("c%d", 1+i%300), Received: at, Expires: now.Add(96 * time.Hour), Subject: fmt.Sprintf("Invoice %d", i), HeaderFrom: "news@c1.example",
			Envelope: mail.Envelope{ReversePath: parsed(b, "news@c1.example"), Recipients: []mail.Recipient{{Address: parsed(b, fmt.Sprintf("u%d@orange.example", i))}}}, Body: []byte("Subject: x\r\n\r\nx\r\n"), Score: 4,
			Verdict: []byte(`{"score":4,"raw":4,"threshold":3,"held":true,"hits":[{"test":"SPF_FAIL","points":3.5},{"test":"MISSING_DATE","points":0.5}]}`)}
		m.Size = int64(len(m.Body))
		m.Held, m.HoldReason, m.HoldUntil = true, "score", now.Add(72*time.Hour) // what is not held would be attempted
		if i%300 == 0 {
			p.held = m.ID
		}
		must(b, p.Spool().Put(ctx, &m))
	}
	var entries []suppression.Entry
	for i := range 20_000 {
		entries = append(entries, suppression.Entry{Customer: fmt.Sprintf("c%d", 1+i%500), Address: parsed(b, fmt.Sprintf("gone%d@orange.example", i)), Reason: suppression.BySender, By: "bench"})
		if len(entries) == 1000 {
			_, err := p.Suppression().AddAll(ctx, entries)
			must(b, err)
			entries = entries[:0]
		}
	}
	for f := (journal.Figures{Through: now}); !f.Through.IsZero(); time.Sleep(200 * time.Millisecond) {
		var err error
		f, err = p.Journal().Figures(ctx, journal.FiguresQuery{From: now.Add(-time.Hour), Step: journal.Hour})
		must(b, err)
	}
}

// story is what a message of the past left.
func story(r *rand.Rand, at time.Time, who int) []journal.Fact {
	f := journal.Fact{At: at, Kind: journal.Accepted, QueueID: mail.NewQueueID(at), Customer: fmt.Sprintf("c%d", who), Credential: "web", ClientIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(who)}),
		ReversePath: fmt.Sprintf("bounce@c%d.example", who), Recipient: fmt.Sprintf("user%d@%s.example", r.IntN(200_000), []string{"orange", "gmail", "free", "there"}[r.IntN(4)]), HeaderFrom: fmt.Sprintf("News <news@c%d.example>", who),
		Subject: fmt.Sprintf("Your order %d has left", r.IntN(1_000_000)), MessageID: fmt.Sprintf("<%d.%d@c%d.example>", at.UnixNano(), r.IntN(1000), who), Size: 20_000, Score: 0.9,
		Detail: brief(map[string]float64{"SPF_PASS": -0.1, "DKIM_VALID": -0.1, "MIME_HTML_ONLY": 0.1, "LONG_SUBJECT": 0.4, "DMARC_PASS": -0.1, "BAYES_20": -0.2})}
	if r.IntN(50) == 0 {
		f.Kind, f.Score = journal.Held, 4.2
		return []journal.Fact{f}
	}
	to := f
	to.Detail, to.At, to.Host, to.Code, to.Text, to.Attempt = nil, at.Add(3*time.Second), "mx1.orange.example[192.0.2.9]", 250, "2.0.0 OK: queued as 4F3A2", 1
	to.Kind, to.Provider = journal.Delivered, []string{"orange", "gmail", "free", "default", "yahoo", "microsoft"}[r.IntN(6)]
	out := []journal.Fact{f}
	if r.IntN(8) == 0 {
		late := to
		late.Kind, late.Code, late.Text, late.Category, late.NextAt = journal.Deferred, 451, "4.7.1 try again later", "speed", at.Add(time.Hour)
		out, to.Attempt, to.At = append(out, late), 2, at.Add(15*time.Minute)
	}
	switch r.IntN(60) {
	case 0, 1:
		to.Kind, to.Code, to.Text, to.Category = journal.Bounced, 550, "5.1.1 no such user here", "mailbox"
	case 2:
		spam := to
		spam.Kind, spam.Text = journal.Complaint, "abuse"
		out = append(out, spam)
	}
	return append(out, to)
}

func parsed(b *testing.B, s string) mail.Address {
	b.Helper()
	a, err := mail.ParseAddress(s)
	must(b, err)
	return a
}

// person makes a user and returns what he is invited with.
func (p *past) person(b *testing.B, role user.Role, customer string) (secret, id string) {
	b.Helper()
	u, secret, err := p.Users().Add(b.Context(), user.User{Address: parsed(b, fmt.Sprintf("%s%d@people.example", role, time.Now().UnixNano())), Name: "Bench", Role: role, Customer: customer, Language: "fr", Zone: "Europe/Paris"})
	must(b, err)
	return secret, u.ID
}

// signIn makes a user and returns the cookie of his session.
func (p *past) signIn(b *testing.B, role user.Role, customer string) string {
	b.Helper()
	_, id := p.person(b, role, customer)
	secret, _, err := p.Users().NewSession(b.Context(), id, netip.MustParseAddr("203.0.113.1"), "bench")
	must(b, err)
	return "postern=" + secret
}

// ask fetches a page. Pages that do not end, such as streams, are left after their first bytes: -1.
func (p *past) ask(b *testing.B, path, cookie string) (status, size int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Addresses("web")+path, nil)
	must(b, err)
	req.Header.Set("Cookie", cookie)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.Logf("%s: %v", path, err)
		return 0, 0
	}
	defer res.Body.Close()
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return res.StatusCode, -1
	}
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil {
		b.Logf("%s: %v", path, err)
	}
	return res.StatusCode, int(n)
}

// pathsOf are addresses of a route: with the objects of the past in the place of its wildcards, and with searches that find little.
func (p *past) pathsOf(pattern string) []string {
	about := map[string]string{"customer": "c1", "id": string(p.message), "name": "SPF_FAIL", "domain": "c1.example", "address": "gone0@orange.example", "lane": "orange%20127.0.0.1", "test": "SPF_FAIL", "ip": "192.0.2.1"}
	about["act"], about["user"], about["hook"], about["secret"], about["unread"] = "release", p.operator, p.hooks[""], p.invited, "0"
	switch {
	case strings.HasPrefix(pattern, "/c/{customer}/credentials/"):
		about["user"] = p.credential
	case strings.HasPrefix(pattern, "/c/"):
		about["user"], about["hook"] = p.sender, p.hooks["c1"]
	}
	path := pattern
	for name, value := range about {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	path = strings.ReplaceAll(path, "/help/providers/SPF_FAIL", "/help/providers/orange")
	path = strings.ReplaceAll(path, "/customers/"+string(p.message), "/customers/c1")
	out := []string{strings.TrimSuffix(path, "{$}")}
	switch {
	case pattern == "/c/{customer}", pattern == "/o", pattern == "/o/tests/{name}":
		out = append(out, path+"?days=90", path+"?days=1")
		if pattern == "/o/tests/{name}" {
			out = append(out, path+"?try=1", path+"?try=1&whose=c9000")
		}
	case strings.HasSuffix(pattern, "/messages/{id}"):
		out = append(out, strings.ReplaceAll(path, string(p.message), string(p.held)))
	case pattern == "/o/snds":
		out = append(out, path+"?days=90", path+"?days=90&from=50")
	case pattern == "/o/reports", pattern == "/o/postmaster-tools":
		out = append(out, path+"?after=example.c200", path+"?from=500")
	case strings.HasSuffix(pattern, "/reports/{domain}"):
		out = append(out, path+"?days=90", path+"?days=7")
	case strings.HasSuffix(pattern, "/reports/{domain}/source"):
		return []string{path + "?ip=10.0.0.50", path + "?ip=10.9.9.9"}
	case pattern == "/o/queue":
		out = append(out, path+"?state=parked", path+"?state=deferred&customer=c7", path+"?lane=orange+127.0.0.1", path+"?to=nobody%40nowhere.example", path+"?older=48")
	case strings.HasSuffix(pattern, "/messages"), strings.HasSuffix(pattern, "/held"), strings.HasSuffix(pattern, "/suppression"), pattern == "/o/customers":
		out = append(out, path+"?q=nothing+of+that+sort", path+"?q=user7%40gmail.example", path+"?text=nothing+of+that+sort", path+"?address=user7%40gmail.example")
	}
	return out
}
