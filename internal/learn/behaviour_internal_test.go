package learn

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestTally(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 7, 0, 0, 0, time.UTC)
	var x tally
	at := start
	for d := range 200 {
		at = start.AddDate(0, 0, d)
		for range 5 {
			at = at.Add(30 * time.Minute)
			x.add(at, cMessages, 1)
			x.add(at, cRecipients, 2)
			x.add(at, cAccepted, 2)
		}
		x.dayAt(slotOf(at, 24*time.Hour)).senders = 3
	}
	if len(x.tens) > keepTens || len(x.hours) > keepHours || len(x.days) != keepDays {
		t.Errorf("%d tens, %d hours, %d days", len(x.tens), len(x.hours), len(x.days))
	}
	c := conduct(at, []*tally{&x})
	want := Conduct{Established: true, Days: keepDays - 1, Hour: Figures{Messages: 2, Recipients: 4}, Day: Figures{Messages: 5, Recipients: 10},
		UsualHour: Figures{Recipients: 4}, UsualDay: Figures{Recipients: 10}, Senders: 3, UsualSenders: 3}
	if c != want {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
	// Two nodes are the sum of both.
	if c := conduct(at, []*tally{&x, &x}); c.Hour.Recipients != 8 || c.UsualDay.Recipients != 20 || c.Days != keepDays-1 {
		t.Errorf("two nodes: %+v", c)
	}
	// The busiest day counts half after 45 days, and nothing after 92.
	for days, recipients := range map[int]int{46: 5, 90: 3, 93: 0} {
		if c := conduct(at.AddDate(0, 0, days), []*tally{&x}); c.UsualDay.Recipients != recipients {
			t.Errorf("after %d days the usual is %d, want %d", days, c.UsualDay.Recipients, recipients)
		}
	}
	var again tally
	r := &reader{b: x.encode(nil)}
	if err := again.decode(r); err != nil || !reflect.DeepEqual(again, x) || len(r.b) != 0 {
		t.Errorf("written and read: %v, %d bytes left", err, len(r.b))
	}
	// A clock that runs backwards loses nothing.
	x.add(at.Add(-48*time.Hour), cMessages, 1)
	if c := conduct(at, []*tally{&x}); c.Day.Messages != 6 || c.Hour.Messages != 3 {
		t.Errorf("after a step back: %+v", c)
	}
}

// TestAlarmsMakeNoHistory: what was held is no past, unless most of it was delivered in the end.
func TestAlarmsMakeNoHistory(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		delivered int
		want      int
		alarms    int
	}{{"held", 40, 0, 460}, {"released", 450, 450, 0}} {
		t.Run(tc.name, func(t *testing.T) {
			at := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
			var x tally
			x.add(at, cRecipients, 500)
			x.add(at, cAccepted, 40)
			x.dayAt(slotOf(at, 24*time.Hour)).alarms = 460
			x.add(at.Add(time.Hour), cDelivered, tc.delivered)
			if c := conduct(at.AddDate(0, 0, 1), []*tally{&x}); c.UsualHour.Recipients < tc.want*9/10 || c.UsualHour.Recipients > tc.want {
				t.Errorf("usual hour %d", c.UsualHour.Recipients)
			}
			if c := conduct(at.AddDate(0, 0, 3), []*tally{&x}); c.Alarms != tc.alarms {
				t.Errorf("%d alarms", c.Alarms)
			}
			if c := conduct(at.AddDate(0, 0, 4), []*tally{&x}); c.Alarms != 0 {
				t.Errorf("%d alarms after four days", c.Alarms)
			}
		})
	}
}

func TestScriptOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, head, want string
		site             bool
	}{
		{"none", "From: a@b.example\r\nX-Spam: no\r\n\r\nX-PHP-Script: body\r\n", "", false},
		{"php script", "X-PHP-Script: www.shop.example/contact.php for 203.0.113.9, 10.0.0.1\r\n\r\n", "www.shop.example/contact.php", true},
		{"query", "x-php-script: shop.example/i.php?id=7 for ::1\r\n", "shop.example/i.php", true},
		{"originating", "Subject: x\r\nX-PHP-Originating-Script: 1001:class-phpmailer.php\r\n", "1001:class-phpmailer.php", false},
		{"folded", "X-PHP-Originating-Script:\r\n\t1001:mail.php\r\nFrom: x\r\n", "1001:mail.php", false},
		{"cpanel", "X-Source: /usr/bin/php\r\nX-Source-Args: /usr/bin/php /home/u/public_html/x.php\r\nX-Source-Dir: shop.example:/public_html\r\n",
			"shop.example:/public_html /usr/bin/php /home/u/public_html/x.php", true},
		{"empty", "X-Source: \r\nX-Source-Args:\r\nX-Source-Dir: \r\n", "", false},
		{"long", "X-PHP-Script: " + strings.Repeat("a", 60_000) + "\r\n", strings.Repeat("a", 1000), true},
		{"control", "X-PHP-Script: a\x00b\x1b[2J\u202e.php\r\n", "a b [2J .php", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, site := scriptOf([]byte(tc.head)); got != tc.want || site != tc.site {
				t.Errorf("%q %t", got, site)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	ip := netip.MustParseAddr("192.0.2.7")
	head := []byte("X-PHP-Originating-Script: 33:form.php\r\n")
	cases := []struct {
		text string
		id   Identity
	}{
		{"login web12", IdentityOf("c", "web12", ip, "shop.example", nil)},
		{"script 33:form.php of shop.example at 192.0.2.7", IdentityOf("c", "", ip, "shop.example", head)},
		{"script 33:form.php of shop.example of login web12", IdentityOf("c", "web12", ip, "shop.example", head)},
		{"author domain shop.example", IdentityOf("c", "", ip, "shop.example", nil)},
		{"client 192.0.2.7", IdentityOf("c", "", netip.MustParseAddr("::ffff:192.0.2.7"), "", nil)},
		{"client unknown address", IdentityOf("c", "", netip.Addr{}, "", nil)},
		{"client 2001:db8:0:7::/64", IdentityOf("c", "", netip.MustParseAddr("2001:db8:0:7::42%eth0"), "", nil)},
	}
	keys := map[digest]string{}
	for _, tc := range cases {
		if got := tc.id.String(); got != tc.text {
			t.Errorf("%q, want %q", got, tc.text)
		}
		for _, customer := range []string{"c", "d"} {
			tc.id.Customer = customer
			if k := tc.id.key(); keys[k] != "" {
				t.Errorf("%s of %s has the key of %s", tc.text, customer, keys[k])
			} else {
				keys[k] = tc.text
			}
		}
	}
	if a, b := IdentityOf("c", "", netip.MustParseAddr("2001:db8:0:7::1"), "", nil), IdentityOf("c", "", netip.MustParseAddr("2001:db8:0:7:ffff::"), "", nil); a.key() != b.key() {
		t.Error("an IPv6 client becomes another one by taking another address of its network")
	}
	// The login's case and the client's address do not make another sender of the same login; another address makes another script.
	if a, b := IdentityOf("c", "Web12", ip, "x.example", nil), IdentityOf("c", "web12", netip.MustParseAddr("192.0.2.8"), "y.example", nil); a.key() != b.key() {
		t.Error("one login, two identities")
	}
	if a, b := IdentityOf("c", "", ip, "shop.example", head), IdentityOf("c", "", netip.MustParseAddr("192.0.2.8"), "shop.example", head); a.key() == b.key() {
		t.Error("two servers, one script")
	}
}

func TestTextHash(t *testing.T) {
	t.Parallel()
	table := newSpreads()
	const text = `Bonjour Marie, votre colis numéro 4711 est arrivé au dépôt et attend le paiement des frais de douane avant son départ. Réglez la
 somme de 2,99 euros sur https://colis.example/p/AB12 avant demain soir, sinon le colis sera renvoyé à son expéditeur sans autre avis de notre part.`
	base, ok := textHash(table, text)
	if !ok {
		t.Fatal("too short?")
	}
	for name, other := range map[string]string{
		"name, number, link": strings.NewReplacer("Marie", "Jean-Pierre", "4711", "998877", "2,99", "3.49", "AB12", "zz/9?q=7").Replace(text),
		"one word":           strings.Replace(text, "demain soir", "demain matin", 1),
		"layout":             strings.ReplaceAll(text, " ", "\r\n "),
	} {
		if h, _ := textHash(table, other); !alike(base, h, alikeBits) {
			t.Errorf("%s: differs", name)
		}
	}
	far := 0
	rng := rand.New(rand.NewPCG(3, 4))
	words := strings.Fields(strings.Repeat("le la un devis facture chantier cuisine jardin voiture rendez mardi jeudi merci bonjour plan photo prix livraison salle mur toit porte fenêtre couleur modèle ", 1))
	for range 300 {
		var b strings.Builder
		for range 60 {
			fmt.Fprintf(&b, "%s ", words[rng.IntN(len(words))])
		}
		if h, ok := textHash(table, b.String()); ok && !alike(base, h, alikeBits) {
			far++
		}
	}
	if far != 300 {
		t.Errorf("%d of 300 other texts are told apart", far)
	}
	if _, ok := textHash(table, "Merci, à mardi."); ok {
		t.Error("a short text is like any other")
	}
}

func TestClusters(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	c := &clusters{since: at.AddDate(0, 0, -30)}
	for id := range uint32(100) {
		c.look(42, id, 1, 1, at, true)
	}
	l := c.look(42|1<<63, 7, 1, 1, at, false)
	if l.Identities != alikeSenders-1 || l.Messages != 100 || l.Recipients != 100 {
		t.Errorf("%+v", l)
	}
	if l := c.look(42, 7, 0, 0, at, false); l.Identities != 0 {
		t.Errorf("mail to known people is told of: %+v", l)
	}
	// A product's own text is sent for longer.
	if l := c.look(42, 7, 1, 1, at.Add(alikeKnown-time.Hour), true); l.Identities == 0 {
		t.Error("forgotten too early")
	}
	if l := c.look(42, 7, 1, 1, at.Add(alikeKnown+time.Hour), true); l.Identities != 0 {
		t.Errorf("a product's text: %+v", l)
	}
	// The memory is bounded, and what many send is not pushed out by invented texts.
	rng := rand.New(rand.NewPCG(5, 6))
	for range 3 * alikeMost {
		c.look(rng.Uint64(), 1, 1, 1, at.Add(alikeKnown), true)
	}
	if len(c.all) != alikeMost {
		t.Errorf("%d texts", len(c.all))
	}
	if i := c.find(42, slotOf(at.Add(alikeKnown), tenMinutes)); i < 0 {
		t.Error("the text of a hundred senders was pushed out")
	}
	n := 0
	for b := range c.index {
		for _, list := range c.index[b] {
			n += len(list)
		}
	}
	if n != 8*alikeMost {
		t.Errorf("%d entries in the index", n)
	}
}

func TestSeenTable(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 10, 0, 30, 0, 0, time.UTC)
	table := &seenTable{most: 1000}
	h := func(n int) uint64 { return mix(uint64(n)+1) & hashMask }
	if s, c := table.attempt(h(1), at, true); !s || !c {
		t.Error("a stranger")
	}
	if s, c := table.attempt(h(1), at.Add(time.Minute), true); !s || c {
		t.Error("a stranger counts once an hour")
	}
	if s, c := table.attempt(h(1), at.Add(time.Hour), true); !s || !c {
		t.Error("an hour later he counts again")
	}
	if first, write := table.deliver(h(1), at); !first || !write {
		t.Error("first delivery")
	}
	if first, write := table.deliver(h(1), at.AddDate(0, 0, 3)); first || write {
		t.Error("a known recipient is written once a week")
	}
	if first, write := table.deliver(h(1), at.AddDate(0, 0, 8)); first || !write {
		t.Error("after a week the day is written anew")
	}
	if s, c := table.attempt(h(1), at, true); s || c {
		t.Error("known")
	}
	// A million strangers do not push out the known.
	for n := range 500 {
		table.deliver(h(n), at)
	}
	for n := range 1_000_000 {
		table.attempt(h(1_000+n), at.Add(time.Duration(n/100_000)*time.Hour), true)
	}
	for n := range 500 {
		if s, _ := table.attempt(h(n), at, false); s {
			t.Fatalf("recipient %d was pushed out", n)
		}
	}
	if len(table.slots) > 2048 || table.full {
		t.Errorf("%d slots, full %t", len(table.slots), table.full)
	}
	// With more recipients than fit, the older half leaves.
	for n := range 5000 {
		table.deliver(h(10_000_000+n), at.AddDate(0, 0, n/100))
	}
	if len(table.slots) > 2048 || table.n > 1536 || !table.full {
		t.Errorf("%d slots, %d used, full %t", len(table.slots), table.n, table.full)
	}
	if s, _ := table.attempt(h(10_000_000+4999), at.AddDate(0, 0, 50), false); s {
		t.Error("the newest recipient left")
	}
	n := 0
	for _, e := range table.slots {
		if e != 0 {
			n++
		}
	}
	if n != table.n {
		t.Errorf("%d entries counted as %d", n, table.n)
	}
}

func FuzzBehaviourState(f *testing.F) {
	s := &subject{campaigns: []campaign{{form: 7, sender: "a@b.example", first: 3, last: 4, recipients: 5}}}
	s.own.add(time.Unix(1_800_000_000, 0), cMessages, 3)
	f.Add(s.encode())
	f.Add([]byte{})
	f.Add([]byte{1, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		own, campaigns, _, err := decodeState(b)
		if err != nil {
			return
		}
		if len(own.tens) > keepTens || len(own.hours) > keepHours || len(own.days) > keepDays || len(campaigns) > mostCampaigns {
			t.Fatal("out of bounds")
		}
		x := &subject{own: own, campaigns: campaigns}
		again, more, _, err := decodeState(x.encode())
		if err != nil || !reflect.DeepEqual(again, own) || !reflect.DeepEqual(more, campaigns) {
			t.Fatalf("written again it reads otherwise: %v", err)
		}
		conduct(time.Unix(1_800_000_000, 0), []*tally{&own})
		var c cluster
		c.decodeSenders(b)
		if len(c.senders) > alikeSenders {
			t.Fatal("out of bounds")
		}
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add([]byte("X-PHP-Script: a.example/b.php for 1.2.3.4\r\nX-Source-Dir: c\r\n d\r\nX-Source-Args: e\r\n\r\n"))
	f.Add([]byte("x-php-originating-script:\n\t1:\xff\n"))
	table := newSpreads()
	f.Fuzz(func(t *testing.T, b []byte) {
		id := IdentityOf("c", "", netip.Addr{}, "a.example", b)
		if len(id.Script) > 1300 || len(id.String()) > 300 || strings.ContainsAny(id.String(), "\r\n\x00") {
			t.Fatalf("%q", id)
		}
		// What stands after the header's end is the body's.
		if i := bytes.Index(b, []byte("\n\r\n")); i >= 0 && i < scanHead/2 {
			if other := IdentityOf("c", "", netip.Addr{}, "a.example", b[:i+1]); other != id {
				t.Fatalf("%v, without the body %v", id, other)
			}
		}
		textHash(table, string(b))
		formHash(table, b)
	})
}

// TestRefresh: a running node hears what another counts, and loses nothing of its own.
func TestRefresh(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
		node := func(name string) *Ledger {
			l, err := New(Options{DB: db, Node: name, Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		count := func(l *Ledger, n int) (b Behaviour) {
			for range n {
				var err error
				if b, err = l.Observe(t.Context(), Observation{Identity: IdentityOf("c", "anne", netip.Addr{}, "", nil), At: now}); err != nil {
					t.Fatal(err)
				}
			}
			return b
		}
		a, b := node("a"), node("b")
		count(a, 5)
		count(b, 7)
		if err := a.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.refresh(t.Context(), now.Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		want := 13
		if db.Engine() == "sqlite" {
			want = 8 // one process alone opens the file: nobody else is asked
		}
		if got := count(b, 1).Own.Hour.Messages; got != want {
			t.Errorf("%d messages, want %d", got, want)
		}
		// The same row again replaces the first.
		count(a, 1)
		if err := errors.Join(a.flush(t.Context()), b.refresh(t.Context(), now.Add(-time.Minute))); err != nil {
			t.Fatal(err)
		}
		if got := count(b, 1).Own.Hour.Messages; got != want+1+min(1, want-8) {
			t.Errorf("%d messages after the second time", got)
		}
	})
}

// TestSettledIsBounded: what finds no room is lost and counted, and nobody waits.
func TestSettledIsBounded(t *testing.T) {
	t.Parallel()
	l, err := New(Options{DB: storetest.SQLite(t, store.MainSchema()), Waiting: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		l.Settled(Settlement{Identity: Identity{Customer: "c", Kind: ByLogin}, Fate: Delivered})
	}
	if l.Lost() != 90 {
		t.Errorf("%d lost", l.Lost())
	}
}

// TestLeaving: what leaves memory before it is written down is found again, and written when the database works.
func TestLeaving(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	l, err := New(Options{DB: storetest.SQLite(t, store.MainSchema()), BehaviourBytes: 20_000, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	see := func(i int) Behaviour {
		b, err := l.Observe(t.Context(), Observation{Identity: IdentityOf("c", fmt.Sprint("u", i), netip.Addr{}, "", nil), At: now})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i := range 200 {
		for range 3 {
			see(i)
		}
	}
	if n := len(l.behaviour.subjects); n > 40 || len(l.behaviour.leaving) < 150 {
		t.Errorf("%d in memory, %d leaving", n, len(l.behaviour.leaving))
	}
	if got := see(3).Own.Hour.Messages; got != 4 {
		t.Errorf("before it is written: %d messages", got)
	}
	if err := l.flush(t.Context()); err != nil || len(l.behaviour.leaving) != 0 {
		t.Fatal(err, len(l.behaviour.leaving))
	}
	for i := range 200 {
		want := 4
		if i == 3 {
			want = 5
		}
		if got := see(i).Own.Hour.Messages; got != want {
			t.Fatalf("u%d: %d messages, want %d", i, got, want)
		}
	}
}
