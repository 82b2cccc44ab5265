package world_test

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/dkim"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/world"
)

// start opens a world whose clock the test moves.
func start(t *testing.T) (*world.World, func(time.Duration)) {
	t.Helper()
	var passed atomic.Int64
	begin := time.Now()
	w, err := world.Start(t.Context(), world.Options{GreyFor: time.Minute, PenaltyFor: time.Hour,
		Now: func() time.Time { return begin.Add(time.Duration(passed.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, func(d time.Duration) { passed.Add(int64(d)) }
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	if s == "" {
		return mail.Address{}
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// sent is one message to one recipient.
type sent struct {
	client, from, to string
	message          string
	plain            bool // without TLS
}

// ask sends a message to a provider and returns the last word.
func ask(t *testing.T, w *world.World, m sent) smtp.Reply {
	t.Helper()
	to := address(t, m.to)
	p := w.Provider(string(to.Domain))
	c, err := smtp.Dial(t.Context(), netip.AddrPortFrom(p.IP, uint16(w.Port)), smtp.ClientOptions{Hostname: world.GatewayHost, LocalAddr: netip.MustParseAddr(m.client)})
	if err != nil {
		var said *smtp.Error
		if asError(err, &said) {
			return smtp.Reply{Code: said.Code, Enhanced: said.Enhanced, Lines: []string{said.Text}}
		}
		t.Fatal(err)
	}
	defer c.Close()
	if !m.plain {
		if err := c.StartTLS(t.Context(), &tls.Config{ServerName: p.Host, InsecureSkipVerify: true}); err != nil {
			t.Fatal(err)
		}
	}
	message := strings.ReplaceAll(m.message, "\n", "\r\n")
	if message == "" {
		message = "From: <" + m.from + ">\r\nSubject: x\r\n\r\nx\r\n"
	}
	res, err := c.Send(t.Context(), mail.Envelope{ReversePath: address(t, m.from), Recipients: []mail.Recipient{{Address: to}}}, []byte(message))
	if err != nil && res.Mail.Code == 0 {
		t.Fatal(err)
	}
	switch {
	case !res.Mail.OK():
		return res.Mail
	case !res.Recipients[0].OK():
		return res.Recipients[0]
	}
	return res.Data
}

// has fails unless a reply has the code and holds the words.
func has(t *testing.T, what string, r smtp.Reply, code int, words string) {
	t.Helper()
	if r.Code != code || !strings.Contains(r.String(), words) {
		t.Errorf("%s: %s; want %d with %q", what, r, code, words)
	}
}

const gate = "127.0.10.1"

func TestGreylist(t *testing.T) {
	t.Parallel()
	w, pass := start(t)
	m := sent{client: gate, from: "a@boutique.example", to: "camille@" + world.Greylist}
	has(t, "first", ask(t, w, m), 451, "4.7.1 [TSS04]")
	has(t, "at once again", ask(t, w, m), 451, "greylisted")
	pass(time.Minute)
	has(t, "later", ask(t, w, m), 250, "OK")
	other := m
	other.from = "b@boutique.example"
	has(t, "another sender", ask(t, w, other), 451, "greylisted")
	other = m
	other.client = "127.0.10.2"
	has(t, "another client", ask(t, w, other), 451, "greylisted")
	if got := w.Mailbox(address(t, m.to)); len(got) != 1 || !got[0].TLS || got[0].ClientIP.String() != gate {
		t.Errorf("mailbox: %+v", got)
	}
}

func TestErrorLimit(t *testing.T) {
	t.Parallel()
	w, pass := start(t)
	good := sent{client: gate, from: "a@boutique.example", to: "camille@" + world.ErrLimit}
	bad := good
	bad.to = "personne@" + world.ErrLimit
	has(t, "good", ask(t, w, good), 250, "")
	has(t, "first", ask(t, w, bad), 550, "5.1.1 User unknown")
	pass(2 * time.Minute) // errors fade
	for range 3 {
		has(t, "unknown", ask(t, w, bad), 550, "5.1.1 User unknown")
	}
	has(t, "too many", ask(t, w, good), 421, "Too many errors from your ip ("+gate+")")
	neighbour := good
	neighbour.client = "127.0.10.2"
	has(t, "another client", ask(t, w, neighbour), 250, "")
	pass(time.Hour)
	has(t, "after the penalty", ask(t, w, good), 250, "")
	has(t, "counted from zero", ask(t, w, bad), 550, "User unknown")
	has(t, "and still open", ask(t, w, good), 250, "")
}

func TestUserList(t *testing.T) {
	t.Parallel()
	w, _ := start(t)
	has(t, "unknown", ask(t, w, sent{client: gate, from: "a@boutique.example", to: "personne@" + world.UserList}), 550, "5.1.1 <personne@user-list.example> Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]")
	has(t, "known", ask(t, w, sent{client: gate, from: "a@boutique.example", to: "Camille@" + world.UserList}), 250, "")
	has(t, "no MX, unknown", ask(t, w, sent{client: gate, from: "a@boutique.example", to: "personne@" + world.NoMX}), 550, "User unknown")
	has(t, "no MX", ask(t, w, sent{client: gate, from: "a@boutique.example", to: "camille@" + world.NoMX, plain: true}), 250, "")
}

func TestAuthentic(t *testing.T) {
	t.Parallel()
	w, _ := start(t)
	key, err := dkim.GenerateKey("boutique.example", "k1", dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Names.Publish(world.Record{Name: key.RecordName(), Type: "TXT", Value: key.Record()}); err != nil {
		t.Fatal(err)
	}
	if err := w.Names.Publish(world.Record{Name: "open.example", Type: "A", Value: "127.0.40.1"}); err != nil {
		t.Fatal(err)
	}
	signed := "From: a@boutique.example\nTo: b@c.example\nSubject: x\nDate: Sat, 21 Nov 2026 10:00:00 +0000\n\nx\n"
	field, err := dkim.Sign([]byte(strings.ReplaceAll(signed, "\n", "\r\n")), []dkim.Key{key}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signed = strings.ReplaceAll(string(field), "\r\n", "\n") + signed
	const elsewhere = "127.0.40.1"
	for _, tc := range []struct {
		name string
		sent
		code  int
		words string
	}{
		{"SPF and DMARC pass", sent{client: gate, from: "a@boutique.example"}, 250, ""},
		{"SPF fails, DMARC without policy", sent{client: gate, from: "a@fromagerie.example"}, 550, "5.7.26 The MAIL FROM domain [fromagerie.example] has an SPF record with a hard fail policy"},
		{"DMARC says reject", sent{client: elsewhere, from: "a@banque.example"}, 550, "Unauthenticated email from banque.example is not accepted due to domain's DMARC policy"},
		{"SPF passes for another domain", sent{client: gate, from: "a@agence.example", message: "From: x@banque.example\nSubject: x\n\nx\n"}, 550, "DMARC policy"},
		{"nothing published", sent{client: elsewhere, from: "a@open.example"}, 550, "5.7.26 This mail has been blocked because the sender is unauthenticated"},
		{"DKIM alone", sent{client: elsewhere, from: "a@open.example", message: signed}, 250, ""},
		{"DKIM broken", sent{client: elsewhere, from: "a@open.example", message: signed + "more\n"}, 550, "DMARC policy"},
		{"null reverse path", sent{client: gate, from: "", message: "From: postmaster@gate.postern.example\nSubject: x\n\nx\n"}, 250, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.to = "camille@" + world.Authentic
			has(t, tc.name, ask(t, w, tc.sent), tc.code, tc.words)
		})
	}
	if got := w.Mailbox(address(t, "camille@"+world.Authentic)); len(got) != 3 || got[1].Auth.DKIMPass()[0] != "boutique.example" {
		t.Errorf("mailbox: %d letters", len(got))
	}
}

// TestSince: letters are counted beyond those remembered, and Await sees the ones that came before it.
func TestSince(t *testing.T) {
	t.Parallel()
	w, _ := start(t)
	m := sent{client: gate, from: "a@boutique.example", to: "camille@" + world.NoMX}
	ask(t, w, m)
	_, n := w.Since(0)
	ask(t, w, m)
	fresh, n2 := w.Since(n)
	if n != 1 || n2 != 2 || len(fresh) != 1 {
		t.Errorf("counted %d, then %d with %d new", n, n2, len(fresh))
	}
	l, err := w.Await(t.Context(), func(l world.Letter) bool { return l.For(address(t, m.to)) })
	if err != nil || l.Provider != world.NoMX || l.Message().Subject() != "x" {
		t.Errorf("%+v, %v", l, err)
	}
	if w.Provider("nowhere.example") != nil {
		t.Error("found a provider that does not exist")
	}
}
