package checkup_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/checkup"
	"postern/internal/dkim"
	"postern/internal/dns/dnstest"
	"postern/internal/mail"
)

// outside is the world around the domains of the table: other people's zones.
const outside = `
. 300 IN SOA a.root. hostmaster.root. 1 1800 900 604800 86400
. 300 IN NS a.root.
test. 300 IN SOA a.nic.test. hostmaster.nic.test. 1 14400 3600 1209600 3600
test. 300 IN NS a.nic.test.
a.nic.test. 300 IN A 192.0.2.54
$ORIGIN dns.test.
ns1 300 IN A 192.0.2.53
ns2 300 IN A 198.51.100.53
near 300 IN A 192.0.2.59
inner 300 IN A 10.0.0.53
alias 300 IN CNAME ns2
$ORIGIN other.test.
@ 300 IN A 203.0.113.1
h1 300 IN A 203.0.113.11
h2 300 IN A 203.0.113.12
h3 300 IN A 203.0.113.13
h4 300 IN A 203.0.113.14
h5 300 IN A 203.0.113.15
h6 300 IN A 203.0.113.16
h7 300 IN A 203.0.113.17
h8 300 IN A 203.0.113.18
h9 300 IN A 203.0.113.19
h10 300 IN A 203.0.113.20
h11 300 IN A 203.0.113.21
_spf 300 IN TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"
_loop 300 IN TXT "v=spf1 include:shop.test -all"
many 300 IN MX 1 h1
many 300 IN MX 1 h2
many 300 IN MX 1 h3
many 300 IN MX 1 h4
many 300 IN MX 1 h5
many 300 IN MX 1 h6
many 300 IN MX 1 h7
many 300 IN MX 1 h8
many 300 IN MX 1 h9
many 300 IN MX 1 h10
many 300 IN MX 1 h11
shop.test._report._dmarc 300 IN TXT "v=DMARC1;"
$ORIGIN mailhost.test.
mx 300 IN A 192.0.2.26
mx 300 IN AAAA 2001:db8::26
$ORIGIN shop.test.
`

// keys are the DKIM records that the table publishes, made once.
var keys = sync.OnceValue(func() map[string]string {
	rsaKey, err := dkim.GenerateKey("shop.test", "s1", dkim.RSASHA256)
	if err != nil {
		panic(err) // no randomness
	}
	edKey, err := dkim.GenerateKey("shop.test", "s1", dkim.Ed25519SHA256)
	if err != nil {
		panic(err)
	}
	sized := func(bits uint) string {
		n := new(big.Int).SetBit(big.NewInt(1), int(bits-1), 1) // as good as any: nobody signs with it
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})
		if err != nil {
			panic(err)
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
	}
	return map[string]string{"rsa": rsaKey.Record(), "ed25519": edKey.Record(), "512": sized(512), "1024": sized(1024), "768": sized(768)}
})

// txt is a TXT record, cut into strings as its length needs.
func txt(name, value string) string {
	r := checkup.Record{Name: name + ".shop.test", Type: "TXT", Value: value, TTL: 300}
	if name == "@" {
		r.Name = "shop.test"
	}
	return r.Zone() + "\n"
}

// perfect is a domain with nothing to mend, in pieces that a set-up may take out or replace.
func perfect() map[string]string {
	return map[string]string{
		"soa":   "@ 300 IN SOA ns1.dns.test. hostmaster.shop.test. 2026112201 14400 3600 1209600 3600\n",
		"ns":    "@ 300 IN NS ns1.dns.test.\n@ 300 IN NS ns2.dns.test.\n",
		"mx":    "@ 300 IN MX 10 mx1\nmx1 300 IN A 192.0.2.25\nmx1 300 IN AAAA 2001:db8::25\n",
		"spf":   txt("@", "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"),
		"dkim":  txt("s1._domainkey", keys()["rsa"]),
		"dmarc": txt("_dmarc", "v=DMARC1; p=reject; rua=mailto:dmarc@shop.test"),
		"sts":   txt("_mta-sts", "v=STSv1; id=20261122"),
		"host":  "mta-sts 300 IN A 192.0.2.80\n",
		"rpt":   txt("_smtp._tls", "v=TLSRPTv1; rua=mailto:tls@shop.test"),
		"bimi":  txt("default._bimi", "v=BIMI1; l=https://logo.shop.test/logo.svg; a=https://logo.shop.test/vmc.pem"),
		"tlsa":  "_25._tcp.mx1 300 IN TLSA " + mxTLSA() + "\n",
		"logo":  "logo 300 IN A 192.0.2.80\n",
		"caa":   "@ 300 IN CAA 0 issue \"letsencrypt.org\"\n",
		"ds":    "@ 300 IN DS 12345 13 2 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF\n",
	}
}

// perfectly is what a check-up says of perfect, by group.
func perfectly() map[string]string {
	return map[string]string{
		"lists": "lists.off=unknown", "spf": "spf.good=fine", "dkim": "dkim.key-fine=fine", "dmarc": "dmarc.enforced=fine", "mx": "mx.fine=fine",
		"ns": "ns.delegation-fine=fine ns.fine=fine", "dnssec": "dnssec.fine=fine", "caa": "caa.fine=fine", "sts": "sts.enforced=fine", "tlsrpt": "tlsrpt.fine=fine", "bimi": "bimi.fine=fine bimi.mark-roots=unknown",
		"server": "server.mx-unprobed=unknown", "tls": "dane.unheld=unknown",
	}
}

// goodMark is the evidence document of goodSVG, made once.
var goodMark = sync.OnceValue(func() []byte { return brandMark{}.pem() })

const goodPolicy = "version: STSv1\r\nmode: enforce\r\nmx: mx1.shop.test\r\nmx: mx2.shop.test\r\nmax_age: 604800\r\n"

// internet is the DNS, the name servers and the policy host of one set-up.
type internet struct {
	dns    *dnstest.Server // what the resolver knows; also ns1
	second *dnstest.Server // ns2; nil: the same as dns
	silent map[string]bool // addresses that do not answer at all
	astray bool            // every name server is somebody else, who does not know the zone
	parent *dnstest.Server // the name server of test., which delegates the zone
	above  string          // what it says of shop.test; "": what the zone says
	policy http.HandlerFunc
	files  map[string]http.HandlerFunc // of logo.shop.test
	cert   string                      // name in the certificate of the policy host

	mailers map[string]mailer // by what is dialled: "192.0.2.25:25"
	mail    *network          // where they are

	other      func(*dnstest.Server) // ns2 is a server of its own, and changed so
	otherPiece [2]string             // ns2 serves this piece instead

	mu      sync.Mutex
	dialled []string
	web     *httptest.Server
	roots   *x509.CertPool
}

// zoneOf is the zone text of pieces.
func zoneOf(pieces map[string]string) string {
	names := make([]string, 0, len(pieces))
	for name := range pieces {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(outside)
	for _, name := range names {
		b.WriteString(pieces[name])
	}
	return b.String()
}

func newInternet(t testing.TB, zone string) *internet {
	t.Helper()
	n := &internet{dns: dnstest.Start(t, zone), above: delegationOf(zone), silent: map[string]bool{}, cert: "mta-sts.shop.test", policy: serves("text/plain", goodPolicy),
		files: map[string]http.HandlerFunc{"/logo.svg": serves("image/svg+xml", goodSVG), "/vmc.pem": serves("application/x-pem-file", string(goodMark()))}}
	n.dns.SetSecure(true)
	return n
}

// nic is the zone above, as far as it is not about shop.test.
const nic = `
test. 300 IN SOA a.nic.test. hostmaster.nic.test. 1 14400 3600 1209600 3600
test. 300 IN NS a.nic.test.
a.nic.test. 300 IN A 192.0.2.54
$ORIGIN shop.test.
`

// delegationOf are the NS records of shop.test in a zone text, with the addresses of those that lie in it.
func delegationOf(zone string) string {
	_, own, _ := strings.Cut(zone, "$ORIGIN shop.test.\n")
	names := map[string]bool{}
	var b strings.Builder
	for line := range strings.Lines(own) {
		if host, ok := strings.CutPrefix(line, "@ 300 IN NS "); ok {
			names[strings.TrimSpace(host)] = true
			b.WriteString(line)
		}
	}
	for line := range strings.Lines(own) {
		owner, rest, _ := strings.Cut(line, " ")
		if names[owner] && (strings.HasPrefix(rest, "300 IN A ") || strings.HasPrefix(rest, "300 IN AAAA ")) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// serves is a page of a policy host.
func serves(kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write([]byte(text))
	}
}

// dial leads the addresses of the tests' internet to the servers behind them.
func (n *internet) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dialled = append(n.dialled, addr)
	n.mu.Unlock()
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	to := ""
	switch {
	case n.silent[ap.Addr().String()] && network == "udp":
		c, _ := net.Pipe() // takes nothing, says nothing, until the deadline
		return c, nil
	case n.silent[ap.Addr().String()]:
		<-ctx.Done()
		return nil, ctx.Err()
	case ap.Port() == 53 && n.second != nil && (n.astray || ap.Addr().String() == "198.51.100.53"):
		to = n.second.Addr()
	case ap.Port() == 53 && ap.Addr().String() == "192.0.2.54" && n.parent != nil:
		to = n.parent.Addr()
	case ap.Port() == 53 && ap.Addr().Is4():
		to = n.dns.Addr()
	case ap.Port() == 25 && n.mail != nil:
		return n.mail.dial(ctx, network, addr)
	case ap.Port() == 443 && ap.Addr().String() == "192.0.2.80" && n.web != nil:
		to = n.web.Listener.Addr().String()
	default:
		return nil, errors.New("connection refused")
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

// checker is a Checker in this internet.
func (n *internet) checker(t testing.TB, with ...func(*checkup.CheckerOptions)) *checkup.Checker {
	t.Helper()
	n.serve(t)
	if n.parent == nil && n.above != "" {
		n.parent = dnstest.Start(t, nic+n.above)
		n.parent.SetAuthority(true)
	}
	o := checkup.CheckerOptions{Resolver: n.dns.Resolver(t), Probes: checkup.Probes{Dial: n.dial, RootCAs: n.roots, Timeout: 4 * time.Second}}
	if n.mail != nil {
		o.Probes.Hostname = "gate.test"
	}
	for _, f := range with {
		f(&o)
	}
	c, err := checkup.NewChecker(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve starts the policy host with a certificate for n.cert.
func (n *internet) serve(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: n.cert}, DNSNames: []string{n.cert, "logo.shop.test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	n.roots = x509.NewCertPool()
	n.roots.AddCert(cert)
	n.web = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host != "logo.shop.test":
			n.policy(w, r)
		case n.files[r.URL.Path] == nil:
			http.NotFound(w, r)
		default:
			n.files[r.URL.Path](w, r)
		}
	}))
	n.web.Config.ErrorLog = nil
	n.web.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	n.web.StartTLS()
	t.Cleanup(n.web.Close)
	for addr, m := range n.mailers {
		if n.mail == nil {
			n.mail = &network{at: map[string]string{}, mute: map[string]bool{}, calls: map[string]int{}}
		}
		if m.gone {
			continue
		}
		if m.name == "" {
			m.name = "mx1.shop.test"
		}
		s := server{greeting: "220 mx1.shop.test ESMTP"}
		own := mxKey()
		if m.rekeyed {
			own = markKey()
		}
		if !m.plain {
			leaf := sign(&x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{m.name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 2, 0)}, cert, own, key)
			s.tls = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: own}}}
		}
		n.mail.serve(t, addr, s)
	}
}

// mailer is an exchanger of shop.test. The zero value shows a certificate for mx1.shop.test with mxKey.
type mailer struct {
	name    string // in the certificate
	plain   bool   // without encryption
	rekeyed bool   // with another key
	gone    bool   // nothing listens
}

// mxKey is the key of the exchangers, made once, for it stands in the zone as well.
var mxKey = sync.OnceValue(markKey)

// mxTLSA is the record for it.
func mxTLSA() string {
	der, err := x509.MarshalPKIXPublicKey(mxKey().Public())
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("3 1 1 %x", sha256.Sum256(der))
}

// said is what a report says, by group: "spf.none=problem", several in the order of the alphabet.
func said(r checkup.CheckReport) map[string]string {
	all := map[string][]string{}
	for _, f := range r.Findings {
		all[string(f.Group)] = append(all[string(f.Group)], fmt.Sprintf("%s=%s", f.Code, f.State))
	}
	out := map[string]string{}
	for g, findings := range all {
		slices.Sort(findings)
		out[g] = strings.Join(slices.Compact(findings), " ")
	}
	return out
}

// shopTest is the domain of most set-ups.
var shopTest = checkup.Target{Kind: checkup.OfDomain, Domain: "shop.test"}

// of is a domain as a target.
func of(d mail.Domain) checkup.Target { return checkup.Target{Kind: checkup.OfDomain, Domain: d} }
