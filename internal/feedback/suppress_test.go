package feedback_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/feedback"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/suppression"
)

// bench is feedback with a list, a journal and a clock.
type bench struct {
	*feedback.Feedback
	t       testing.TB
	list    *suppression.Ledger
	journal *journal.Journal

	mu      sync.Mutex
	now     time.Time
	know    *provider.Knowledge
	blocked string
	gone    bool
	outages []feedback.Outage
}

func newBench(t testing.TB, db *store.DB) *bench {
	b := &bench{t: t, now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), know: knowledge(t)}
	clock := func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }
	var err error
	if b.list, err = suppression.New(suppression.Options{DB: db, Now: clock, Logger: storetest.Logger(t)}); err != nil {
		t.Fatal(err)
	}
	if b.journal, err = journal.New(journal.Options{DB: db, Now: clock}); err != nil {
		t.Fatal(err)
	}
	b.Feedback = feedback.New(feedback.Options{Suppression: b.list, Journal: b.journal, Now: clock, Knowledge: func() *provider.Knowledge { return b.know },
		Blocked: func(p string) bool { return p == b.blocked }, Gone: func(context.Context, mail.Domain) bool { return b.gone },
		Alarm: func(o feedback.Outage) { b.outages = append(b.outages, o) }})
	return b
}

func onSQLite(t testing.TB) *bench { return newBench(t, storetest.SQLite(t, store.MainSchema())) }

func (b *bench) later(d time.Duration) { b.mu.Lock(); defer b.mu.Unlock(); b.now = b.now.Add(d) }

// hear has an answer judged and written down.
func (b *bench) hear(o feedback.Outcome) {
	b.t.Helper()
	b.put(o)
	b.work()
}

func (b *bench) put(o feedback.Outcome) {
	if o.At.IsZero() {
		o.At = b.now
	}
	if o.QueueID == "" {
		o.QueueID = mail.NewQueueID(b.now)
	}
	if o.Customer == "" {
		o.Customer = "bakery"
	}
	if o.Host == "" && !o.Own {
		o.Host = "mx.example[192.0.2.25]"
	}
	b.Settled(o)
}

// work does what waits.
func (b *bench) work() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		b.t.Fatal(err)
	}
	if err := b.journal.Flush(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	if n := b.Lost(); n > 0 {
		b.t.Fatalf("%d answers lost", n)
	}
}

func (b *bench) reason(customer, to string) suppression.Reason {
	b.t.Helper()
	a, err := mail.ParseAddress(to)
	if err != nil {
		b.t.Fatal(err)
	}
	e, _, err := b.list.Check(b.t.Context(), customer, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return e.Reason
}

// answer is a final answer about an address.
func answer(to, text string) feedback.Outcome {
	a, err := mail.ParseAddress(to)
	if err != nil {
		panic(err)
	}
	x := provider.Read(text)
	return feedback.Outcome{Recipient: a, Code: x.Code, Enhanced: x.Enhanced, Text: x.Text, Phase: "rcpt"}
}

// at is an answer of a known receiver.
func at(p string, o feedback.Outcome) feedback.Outcome { o.Provider = p; return o }

// facts of responses.csv that can make an entry, and which.
var mayList = map[string]suppression.Reason{"userunknown": suppression.UnknownUser, "mailboxfull": suppression.MailboxFull, "suspend": suppression.Suspended,
	"filtered": suppression.Unwilling, "notaccept": suppression.NoMail}

var firstStatus = regexp.MustCompile(`^[45]\.\d+\.\d+`)

// TestRuleOnRealAnswers: of 172 answers of real servers exactly those suppress that are the recipient's or his domain's lasting fault, and no other
// ever, however often it is heard.
func TestRuleOnRealAnswers(t *testing.T) {
	t.Parallel()
	f, err := os.Open("../provider/testdata/responses.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	k := knowledge(t)
	listed := map[suppression.Reason]int{}
	for _, row := range rows[1:] {
		get := func(name string) string { return row[column[name]] }
		code, err := strconv.Atoi(strings.Replace(get("reply")[:3], "xx", "50", 1))
		if err != nil {
			t.Fatal(err)
		}
		host := strings.Replace(strings.Split(get("mx_match"), "|")[0], "*", "mx1", 1)
		a := provider.Answer{Provider: k.Behind("customer.example", []string{host}).Name, Code: code, Enhanced: firstStatus.FindString(get("enhanced")), Text: get("text_fragment"), Phase: "rcpt"}
		if get("phase") == "-" {
			a.Phase = ""
		}
		want := suppression.Reason("")
		if fault := get("fault"); fault == "recipient" || fault == "recipient-domain" {
			want = mayList[get("category")]
		}
		m := k.Classify(a)
		r := feedback.RuleOn(m, a)
		if r.Reason != want {
			t.Errorf("%s %s %d %s %q (%s, %s): %q by %s %s/%s, want %q", get("id"), a.Provider, code, a.Enhanced, a.Text, get("category"), get("fault"), r.Reason, m.Rule, m.Category, m.Party, want)
		}
		if r.Reason != "" && r.Need < 2 && (code < 500 || !m.Permanent) {
			t.Errorf("%s: one answer that may pass is enough", get("id"))
		}
		listed[r.Reason]++
	}
	t.Logf("%v", listed)
}

// TestOnlyRecipientFaults: whatever an answer is about, only the recipient's and his domain's own faults mean anything.
func TestOnlyRecipientFaults(t *testing.T) {
	t.Parallel()
	categories := []provider.Category{provider.AuthFailure, provider.BadReputation, provider.Blocked, provider.ContentError, provider.ExceedLimit, provider.Expired,
		provider.FailedStartTLS, provider.Feedback, provider.Filtered, provider.HasMoved, provider.HostUnknown, provider.MailboxFull, provider.MailerError, provider.MessageTooBig,
		provider.NetworkError, provider.NoRelaying, provider.NotAccept, provider.NotCompliantRFC, provider.OnHold, provider.PolicyViolation, provider.Rejected, provider.RequirePTR,
		provider.SecurityError, provider.SpamDetected, provider.Speeding, provider.Suppressed, provider.Suspend, provider.SyntaxError, provider.SystemError, provider.SystemFull,
		provider.TooManyConns, provider.Undefined, provider.UserUnknown, provider.Vacation, provider.VirusDetected}
	for _, c := range categories {
		for _, p := range []provider.Party{provider.SenderIP, provider.SenderDomain, provider.Config, provider.Volume, provider.Message, provider.OfProvider, provider.Nobody} {
			for _, permanent := range []bool{false, true} {
				for _, code := range []int{0, 250, 450, 550} {
					m := provider.Meaning{Category: c, Party: p, Permanent: permanent, Rule: "orange/x"}
					if r := feedback.RuleOn(m, provider.Answer{Code: code, Phase: "rcpt"}); r.Reason != "" {
						t.Errorf("%s of %s, %d: %+v", c, p, code, r)
					}
				}
			}
		}
	}
}

// TestBeforeRecipient: what a server says before it knows the recipient is not about him.
func TestBeforeRecipient(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"connect", "ehlo", "tls", "mail"} {
		m := provider.Meaning{Category: provider.UserUnknown, Party: provider.OfRecipient, Permanent: true, Rule: "orange/unknown-user"}
		if r := feedback.RuleOn(m, provider.Answer{Code: 550, Enhanced: "5.1.1", Phase: phase}); r.Reason != "" {
			t.Errorf("%s: %+v", phase, r)
		}
	}
}

func TestUnknownAtOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		b.hear(answer("nobody@b.example", "550 5.1.1 <nobody@b.example>: Recipient address rejected: User unknown in virtual mailbox table"))
		if got := b.reason("bakery", "nobody@b.example"); got != suppression.UnknownUser {
			t.Errorf("%q", got)
		}
		if got := b.reason("garage", "nobody@b.example"); got != "" {
			t.Errorf("another customer: %q", got)
		}
		o := answer("nobody@b.example", "550 5.1.1 User unknown in virtual mailbox table")
		o.Customer = "garage"
		b.hear(o)
		if got := b.reason("third", "nobody@b.example"); got != suppression.UnknownUser {
			t.Errorf("two customers heard it: %q", got)
		}
		// What a receiver's own rule says so surely counts for everybody at once.
		b.hear(at("orange", answer("nobody@orange.example", "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]")))
		if got := b.reason("garage", "nobody@orange.example"); got != suppression.UnknownUser {
			t.Errorf("%q", got)
		}
		facts, _, err := b.journal.Search(t.Context(), journal.Query{Kinds: []journal.Kind{journal.Listed}})
		if err != nil || len(facts) == 0 || facts[0].Actor != "rule" {
			t.Errorf("%+v %v", facts, err)
		}
	})
}

// TestAgain: what may pass is heard several times, on different days, before it counts, and a success takes it back.
func TestAgain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		need       int
		want       suppression.Reason
		to         string // whom it keeps from writing to
	}{
		{"soft code", "450 4.1.1 <x@b.example>: Recipient address rejected: User unknown in virtual alias table", 2, suppression.UnknownUser, "x@b.example"},
		{"a status of policy", "550 5.7.1 <x@b.example>: no such user", 2, suppression.UnknownUser, "x@b.example"},
		{"full", "552 5.2.2 Quota exceeded (mailbox for user is full)", 3, suppression.MailboxFull, "x@b.example"},
		{"full, softly", "452 4.2.2 Mailbox full", 3, suppression.MailboxFull, "x@b.example"},
		{"domain", "550 5.1.2 Host or domain name not found", 2, suppression.NoMail, "other@b.example"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := onSQLite(t)
			for i := range tc.need {
				if got := b.reason("bakery", tc.to); got != "" {
					t.Fatalf("after %d: %q", i, got)
				}
				b.hear(answer("x@b.example", tc.text))
				b.hear(answer("x@b.example", tc.text)) // the same day counts once
				if i == tc.need-2 {
					b.hear(answer("x@b.example", "250 2.0.0 Ok"))
					b.later(26 * time.Hour)
					b.hear(answer("x@b.example", tc.text))
					for range i {
						b.later(26 * time.Hour)
						b.hear(answer("x@b.example", tc.text))
					}
				}
				b.later(26 * time.Hour)
			}
			if got := b.reason("bakery", tc.to); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
			if got := b.reason("garage", tc.to); got != "" {
				t.Errorf("another customer: %q", got)
			}
		})
	}
}

// TestPoison: answers that blocked gateways get, some of them with the codes and words of unknown users, empty nobody's lists.
func TestPoison(t *testing.T) {
	t.Parallel()
	b := onSQLite(t)
	texts := []string{
		"550 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org",
		"550 5.1.1 Your IP address is blocked, see https://list.example/",
		"550 5.1.1 User unknown; also, 192.0.2.1 blocked using zen.spamhaus.org",
		"550 Too many spams from your IP",
		"550 5.7.1 Service refuse. Veuillez essayer plus tard.",
		"554 5.7.1 Access denied, banned sending IP [192.0.2.1]",
		"550 5.7.1 Message refused, DMARC verification Failed",
		"554 5.7.1 Spam detected",
		"550 5.7.1 <u@b.example>: Recipient address rejected: greylisted, try again later",
		"554 5.7.1 <u@b.example>: Recipient address rejected: your server 192.0.2.1 is listed in bl.example",
		"550 5.6.0 <u@b.example>: Recipient address rejected: Media error",
		"554 5.3.0 <u@b.example>: Recipient address rejected: Internal system error",
		"452 4.4.5 Insufficient disk space; try again later",
		"550 5.4.4 Name service error for name=b.example type=MX: Malformed or unexpected name server reply",
		"550 5.7.1 <u@b.example>: Sender address rejected: Domain not found",
		"550 5.1.8 <s@shop.example>: Sender address rejected: user unknown",
		"550 Requested action not taken: mailbox unavailable: your IP has a poor reputation",
		"550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages",
		"421 4.7.0 Try again later",
		"450 4.2.0 Greylisted",
		"550 5.4.7 Delivery expired",
		"",
	}
	for i, text := range texts {
		for day := range 5 {
			for _, phase := range []string{"connect", "mail", "rcpt", "end", ""} {
				o := answer(fmt.Sprintf("u%d@b.example", i), text)
				o.Phase = phase
				for _, p := range []string{"", "free", "orange"} {
					b.put(at(p, o))
				}
			}
			b.work()
			_ = day
			b.later(26 * time.Hour)
		}
		if got := b.reason("bakery", fmt.Sprintf("u%d@b.example", i)); got != "" {
			t.Errorf("%q made %q", text, got)
		}
	}
}

// TestOwnWords: what we say ourselves suppresses nobody; what the DNS said of a domain, twice, does.
func TestOwnWords(t *testing.T) {
	t.Parallel()
	b := onSQLite(t)
	own := func(to, text string) feedback.Outcome {
		o := answer(to, text)
		o.Own, o.Phase = true, ""
		return o
	}
	for range 4 {
		b.put(own("a@b.example", "550 5.1.1 user unknown"))
		b.put(own("a@b.example", "451 4.4.1 connect to mx.b.example[192.0.2.1] port 25: connection refused"))
		b.put(own("a@b.example", "554 5.4.6 Mail for b.example loops back to this gateway"))
		b.put(own("typo@gone.example", "550 5.1.2 Domain gone.example does not exist (DNS: NXDOMAIN)"))
		b.put(own("x@null.example", "556 5.1.10 Domain null.example takes no mail (null MX)"))
		b.work()
		b.later(26 * time.Hour)
	}
	for to, want := range map[string]suppression.Reason{"a@b.example": "", "other@gone.example": suppression.NoMail, "y@null.example": suppression.NoMail} {
		if got := b.reason("bakery", to); got != want {
			t.Errorf("%s: %q", to, got)
		}
		if got := b.reason("garage", to); got != "" {
			t.Errorf("%s: another customer: %q", to, got)
		}
	}
	b.gone = true // the second look agrees
	for range 2 {
		b.hear(own("typo@certain.example", "550 5.1.2 Domain certain.example does not exist (DNS: NXDOMAIN)"))
		b.later(26 * time.Hour)
	}
	if got := b.reason("garage", "x@certain.example"); got != suppression.NoMail {
		t.Errorf("certain for everybody: %q", got)
	}
}

// TestBlocked: while a provider blocks us, its "user unknown" is only a strike.
func TestBlocked(t *testing.T) {
	t.Parallel()
	b := onSQLite(t)
	b.blocked = "orange"
	text := "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]"
	b.hear(at("orange", answer("u@orange.example", text)))
	b.hear(at("laposte", answer("u@laposte.example", "550 5.1.1 Adresse destinataire invalide. Invalid recipient. LPN007_416")))
	if got := b.reason("bakery", "u@orange.example"); got != "" {
		t.Errorf("%q", got)
	}
	if got := b.reason("bakery", "u@laposte.example"); got != suppression.UnknownUser {
		t.Errorf("%q", got)
	}
	b.later(26 * time.Hour)
	b.hear(at("orange", answer("u@orange.example", text)))
	if got := b.reason("bakery", "u@orange.example"); got != suppression.UnknownUser {
		t.Errorf("heard again on another day: %q", got)
	}
	if got := b.reason("garage", "u@orange.example"); got != "" {
		t.Errorf("for everybody, though blocked: %q", got)
	}
}

// TestOutage: a receiver whose directory is out says of everybody that he does not exist. What it said before that was seen is taken back.
func TestOutage(t *testing.T) {
	t.Parallel()
	b := onSQLite(t)
	unknown := "550 5.1.1 User unknown in virtual mailbox table"
	at := func(i int, text string) feedback.Outcome {
		o := answer(fmt.Sprintf("u%d@big.example", i), text)
		o.Provider = "default"
		return o
	}
	// Two days of ordinary mail, with some that do not exist.
	for h := range 48 {
		for i := range 50 {
			text := "250 2.0.0 Ok"
			if i < 3 {
				text = unknown
			}
			b.put(at(1000*(h+1)+i, text))
		}
		b.work()
		b.later(time.Hour)
	}
	if got := b.reason("bakery", "u1001@big.example"); got != suppression.UnknownUser {
		t.Fatalf("usual unknown user: %q", got)
	}
	before := count(t, b)
	for i := range 300 {
		b.put(at(i, unknown))
		if i%20 == 0 {
			b.work()
			b.later(time.Minute)
		}
	}
	b.work()
	if n := count(t, b); n != before {
		t.Errorf("%d users of a lost directory are on the list", n-before)
	}
	if len(b.outages) != 1 || b.outages[0].Domain != "big.example" || b.outages[0].TakenBack == 0 || b.outages[0].Usual > 0.1 {
		t.Errorf("%+v", b.outages)
	}
	// Other receivers are judged as ever.
	b.hear(answer("x@small.example", unknown))
	if got := b.reason("bakery", "x@small.example"); got != suppression.UnknownUser {
		t.Errorf("%q", got)
	}
	// The directory is back: they get their mail, and what is unknown then is unknown.
	b.later(3 * time.Hour)
	for i := range 300 {
		b.put(at(i, "250 2.0.0 Ok"))
	}
	b.hear(at(5000000, unknown))
	if got := b.reason("bakery", "u5000000@big.example"); got != suppression.UnknownUser {
		t.Errorf("after the outage: %q", got)
	}
	if got := b.reason("bakery", "u7@big.example"); got != "" {
		t.Errorf("%q", got)
	}
}

func count(t testing.TB, b *bench) (n int) {
	t.Helper()
	q := suppression.Query{Limit: 1000}
	for {
		page, next, err := b.list.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if n += len(page); next == "" {
			return n
		}
		q.Cursor = next
	}
}

func TestComplained(t *testing.T) {
	t.Parallel()
	b := onSQLite(t)
	a := mail.Address{Local: "Ann", Domain: "b.example"}
	c := feedback.Complaint{Customer: "bakery", Recipient: a, QueueID: mail.NewQueueID(b.now), Text: "abuse", Host: "fbl.example"}
	if err := b.Complained(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b.later(20 * 365 * 24 * time.Hour)
	if got := b.reason("bakery", "ann@b.example"); got != suppression.Complaint {
		t.Errorf("%q", got)
	}
	if got := b.reason("garage", "ann@b.example"); got != "" {
		t.Errorf("%q", got)
	}
	if err := b.list.Lift(t.Context(), "bakery", a, "operator:eve"); err != nil {
		t.Fatal(err)
	}
	if err := b.Complained(t.Context(), c); err != nil { // the same report, delivered twice
		t.Fatal(err)
	}
	if got := b.reason("bakery", "ann@b.example"); got != "" {
		t.Errorf("came back: %q", got)
	}
	for _, nothing := range []feedback.Complaint{{}, {Customer: "bakery"}, {Recipient: a}} {
		if err := b.Complained(t.Context(), nothing); err != nil {
			t.Error(err)
		}
	}
}

// TestRejudge: a wrong rule of the operator's suppressed addresses; when it is mended they are lifted, and only they.
func TestRejudge(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		dir := t.TempDir()
		rule := func(category, extra string) {
			t.Helper()
			text := "name: acme\ntitle: Acme\nabout: {en: A receiver., fr: Un destinataire.}\nsources:\n  - {what: log, address: \"https://acme.example/\", read: 2026-11-21}\n" +
				"who:\n  mx: [\"*.acme.example\"]\nanswers:\n  - id: zx99\n    text: [\"code zx99\"]\n    category: " + category + "\n" + extra +
				"    advice: " + category + "\n    test: [\"550 5.7.1 refused, code ZX99\"]\n"
			if err := os.WriteFile(filepath.Join(dir, "acme.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			b.know = knowledge(t, dir)
		}
		rule("userunknown", "")
		for i := range 5 {
			b.put(at("acme", answer(fmt.Sprintf("u%d@acme.example", i), "550 5.7.1 refused, code ZX99")))
		}
		b.put(answer("real@b.example", "550 5.1.1 User unknown in virtual mailbox table"))
		soft := at("acme", answer("soft@acme.example", "450 4.7.1 refused, code ZX99"))
		b.put(soft)
		b.work()
		if got := b.reason("bakery", "u3@acme.example"); got != suppression.UnknownUser {
			t.Fatalf("%q", got)
		}
		if c, err := b.Rejudge(t.Context()); err != nil || c.Lifted != 0 {
			t.Fatalf("nothing changed: %+v %v", c, err)
		}
		rule("blocked", "    party: sender-ip\n")
		b.later(time.Hour)
		c, err := b.Rejudge(t.Context())
		b.work()
		if err != nil || c.Lifted < 5 || c.Seen < 6 {
			t.Fatalf("%+v %v", c, err)
		}
		for i := range 5 {
			for _, customer := range []string{"bakery", "garage"} {
				if got := b.reason(customer, fmt.Sprintf("u%d@acme.example", i)); got != "" {
					t.Errorf("%q", got)
				}
			}
		}
		if got := b.reason("bakery", "real@b.example"); got != suppression.UnknownUser {
			t.Errorf("%q", got)
		}
		facts, _, err := b.journal.Search(t.Context(), journal.Query{Kinds: []journal.Kind{journal.Lifted}})
		if err != nil || len(facts) != c.Lifted || !strings.Contains(facts[0].Text, "misread") {
			t.Errorf("%+v %v", facts, err)
		}
		// The strike of the wrong rule is forgotten with it: one more of a right one does not suffice.
		rule("userunknown", "")
		b.later(26 * time.Hour)
		b.hear(soft)
		if got := b.reason("bakery", "soft@acme.example"); got != "" {
			t.Errorf("%q", got)
		}
	})
}
