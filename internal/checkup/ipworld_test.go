package checkup_test

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/internal/checkup"
	"postern/internal/dns/dnstest"
	"postern/internal/dnsbl"
	"postern/internal/mail"
)

// noon is when the check-ups of addresses take place.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// authority signs the certificates of the mail servers, but for those of its rival, whom nobody trusts.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var authorities = sync.OnceValue(func() [2]authority {
	var out [2]authority
	for i := range out {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err) // no randomness
		}
		t := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprintf("Authority %d", i)}, NotBefore: noon.AddDate(-1, 0, 0),
			NotAfter: noon.AddDate(5, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
		if err != nil {
			panic(err)
		}
		out[i].key = key
		if out[i].cert, err = x509.ParseCertificate(der); err != nil {
			panic(err)
		}
	}
	return out
})

// certificate is one for a name, from and until some days from noon.
type certificate struct {
	name        string
	from, until int // days
	key         crypto.Signer
	rival       bool
}

func (c certificate) make(t testing.TB) tls.Certificate {
	t.Helper()
	if c.key == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c.key = key
	}
	if c.until == 0 {
		c.from, c.until = -30, 60
	}
	ca := authorities()[0]
	if c.rival {
		ca = authorities()[1]
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: c.name}, DNSNames: []string{c.name},
		NotBefore: noon.AddDate(0, 0, c.from), NotAfter: noon.AddDate(0, 0, c.until), KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, c.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: c.key, Leaf: leaf}
}

// shortKey is an RSA key as nobody should have one any more, made once.
var shortKey = sync.OnceValue(func() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	return key
})

// server is a mail server on loopback that says what a case wants.
type server struct {
	greeting string // "220 mx.example.org ESMTP" when empty
	caps     []string
	tls      *tls.Config
	implicit bool
	// rcpt answers a path in RCPT; nil refuses all.
	rcpt func(from, to string) string
	raw  func(net.Conn) // instead of all that
}

// network is DNS and the servers that a check-up can reach; every address that no server was put at refuses.
type network struct {
	dns   *dnstest.Server
	zone  string
	mu    sync.Mutex
	at    map[string]string // what is dialled -> where it listens
	mute  map[string]bool
	calls map[string]int
	data  []string // commands that would have sent a message
}

func newNetwork(t testing.TB, zone string) *network {
	return &network{dns: dnstest.Start(t, zone), zone: zone, at: map[string]string{}, mute: map[string]bool{}, calls: map[string]int{}}
}

func (n *network) dial(ctx context.Context, kind, addr string) (net.Conn, error) {
	n.mu.Lock()
	to, mute := n.at[addr], n.mute[addr]
	n.calls[addr]++
	n.mu.Unlock()
	switch {
	case mute:
		<-ctx.Done()
		return nil, ctx.Err()
	case to == "":
		return nil, &net.OpError{Op: "dial", Net: kind, Err: syscall.ECONNREFUSED}
	}
	return new(net.Dialer).DialContext(ctx, "tcp", to)
}

// serve puts a server at an address of the internet.
func (n *network) serve(t testing.TB, addr string, s server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	n.mu.Lock()
	n.at[addr] = l.Addr().String()
	n.mu.Unlock()
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
				if s.raw != nil {
					s.raw(conn)
					return
				}
				s.talk(n, conn)
			})
		}
	})
}

func (s server) talk(n *network, conn net.Conn) {
	if s.implicit {
		secured := tls.Server(conn, s.tls)
		if secured.Handshake() != nil {
			return
		}
		conn = secured
	}
	secret := s.implicit
	greeting := s.greeting
	if greeting == "" {
		greeting = "220 mx.example.org ESMTP"
	}
	say := func(line string) { _, _ = fmt.Fprintf(conn, "%s\r\n", line) }
	say(greeting)
	in := bufio.NewReader(conn)
	from := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			caps := s.caps
			if s.tls != nil && !secret {
				caps = append(slices.Clone(caps), "STARTTLS")
			}
			say("250-mx.example.org")
			for _, c := range caps {
				say("250-" + c)
			}
			say("250 SIZE 1000000")
		case "STARTTLS":
			say("220 go")
			secured := tls.Server(conn, s.tls)
			if secured.Handshake() != nil {
				return
			}
			conn, in, secret = secured, bufio.NewReader(secured), true
		case "MAIL":
			from = strings.TrimSuffix(strings.TrimPrefix(rest, "FROM:<"), ">")
			say("250 ok")
		case "RCPT":
			answer := "550 5.7.1 relaying denied"
			if s.rcpt != nil {
				answer = s.rcpt(from, strings.TrimSuffix(strings.TrimPrefix(rest, "TO:<"), ">"))
			}
			say(answer)
		case "RSET":
			say("250 ok")
		case "QUIT":
			say("221 bye")
			return
		case "DATA", "BDAT":
			n.mu.Lock()
			n.data = append(n.data, line)
			n.mu.Unlock()
			say("554 no message was to come")
		default:
			say("500 what")
		}
	}
}

// blocklist is a list of the test's own.
func blocklist(name string, weight int) dnsbl.List {
	return dnsbl.List{Name: name, Zone: name + ".bl.test", Kinds: dnsbl.IP4 | dnsbl.IP6, Weight: weight, Access: dnsbl.Free, LookupURL: "https://" + name + ".test/look",
		DelistURL: "https://" + name + ".test/delist", What: dnsbl.Text{EN: "bad senders", FR: "mauvais expéditeurs"}, Codes: []dnsbl.Code{
			{Pattern: "127.0.0.2", Name: "spam", Meaning: dnsbl.Text{EN: "sends spam", FR: "envoie du spam"}},
			{Pattern: "127.0.0.9", Name: "mixed", Meaning: dnsbl.Text{EN: "mixed", FR: "mêlé"}, Neutral: true}}}
}

// panel asks the lists at the internet's DNS, which answers their test points.
func (n *network) panel(t testing.TB, lists ...dnsbl.List) *dnsbl.Panel {
	t.Helper()
	text := n.zone
	for _, l := range lists {
		text += "\n2.0.0.127." + l.Zone + ". 300 IN A 127.0.0.2\n2.0.0.127." + l.Zone + ". 300 IN TXT \"test point\"\n"
	}
	if err := n.dns.Set(text); err != nil {
		t.Fatal(err)
	}
	p, err := dnsbl.NewPanel(dnsbl.PanelOptions{Resolver: n.dns.Resolver(t), Lists: lists, Timeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// checker looks at this internet.
func (n *network) checker(t testing.TB, change func(*checkup.CheckerOptions)) *checkup.Checker {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(authorities()[0].cert)
	o := checkup.CheckerOptions{Resolver: n.dns.Resolver(t), Now: func() time.Time { return noon },
		Probes: checkup.Probes{Dial: n.dial, Hostname: "gate.example.net", RootCAs: roots, Timeout: 5 * time.Second}}
	if change != nil {
		change(&o)
	}
	c, err := checkup.NewChecker(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sorted are the findings of some groups as "code=state", in the order of their names.
func sorted(r checkup.CheckReport, groups ...checkup.Group) []string {
	var out []string
	for _, f := range r.Findings {
		if slices.Contains(groups, f.Group) {
			out = append(out, f.Code+"="+string(f.State))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func target(t testing.TB, text string) checkup.Target {
	t.Helper()
	out, err := checkup.ParseTarget(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
