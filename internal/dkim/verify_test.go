package dkim_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/dkim"
	"postern/internal/dns/dnstest"
)

// handmade signs plain with Ed25519 under tags of the test's choosing. The body hash is
// right unless the tags bring their own.
type handmade struct {
	private ed25519.PrivateKey
	zone    string // line with the key, unless a test publishes another
}

func newHandmade(t testing.TB) handmade {
	t.Helper()
	key, err := dkim.GenerateKey("example.com", "s", dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return handmade{key.Private.(ed25519.PrivateKey), key.RecordZone() + "\n"}
}

// sign returns message under a DKIM-Signature with the given tags and a right b=, made
// without the package's own code: relaxed, over the one field whose relaxed form the
// caller gives.
func (h handmade) sign(tags, relaxedFrom, message string) string {
	const name = "DKIM-Signature: "
	unsigned := name + tags + "; b="
	relaxed := "dkim-signature:" + strings.Join(strings.Fields(strings.TrimPrefix(unsigned, name)), " ")
	sum := sha256Of(relaxedFrom + "\r\n" + relaxed)
	return unsigned + base64.StdEncoding.EncodeToString(ed25519.Sign(h.private, sum)) + "\r\n" + message
}

func TestVerifyStatuses(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	const from = "from:Ann <ann@example.com>"
	bh := base64.StdEncoding.EncodeToString(sha256Of("Hello Bob.\r\n"))
	base := "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=s; h=from; bh=" + bh
	p := h.zone[strings.Index(h.zone, "p="):strings.LastIndexByte(h.zone, '"')]
	record := func(text string) string { return txtLine("s._domainkey.example.com", text) }
	at := signedAt.Unix()
	for _, tc := range []struct {
		name, tags, zone string
		want, reason     string
		check            func(dkim.Signature) bool
	}{
		{name: "as is", tags: base, want: "pass"},
		{name: "domain case in d= and i=", tags: strings.Replace(base, "d=example.com", "d=Example.COM; i=Ann@EXAMPLE.com", 1), want: "pass",
			check: func(s dkim.Signature) bool { return s.Domain == "example.com" && s.Identity == "Ann@example.com" }},
		{name: "quoted-printable in i=", tags: base + "; i==41nn=40example=2Ecom", want: "pass",
			check: func(s dkim.Signature) bool { return s.Identity == "Ann@example.com" }},
		{name: "i= below d=", tags: base + "; i=@mail.example.com", want: "pass"},
		{name: "i= elsewhere", tags: base + "; i=@notexample.com", want: "permerror", reason: "i="},
		{name: "i= without at sign", tags: base + "; i=example.com", want: "permerror", reason: "i="},
		{name: "i= bad quoted-printable", tags: base + "; i==4@example.com", want: "permerror", reason: "i="},
		{name: "i= below d= with strict key", tags: base + "; i=@mail.example.com", zone: record("v=DKIM1; k=ed25519; t=s; " + p), want: "permerror", reason: "t=s"},
		{name: "testing key", tags: base, zone: record("v=DKIM1; k=ed25519; t=y:s; " + p), want: "pass", check: func(s dkim.Signature) bool { return s.Testing }},
		{name: "revoked", tags: base, zone: record("v=DKIM1; k=ed25519; p="), want: "permerror", reason: "revoked"},
		{name: "no key", tags: base, zone: "example.com. 60 IN A 192.0.2.1\n", want: "permerror", reason: "no key"},
		{name: "key for something else", tags: base, zone: record("v=DKIM1; k=ed25519; s=tlsrpt; " + p), want: "permerror", reason: "s="},
		{name: "key for sha1 only", tags: base, zone: record("v=DKIM1; k=ed25519; h=sha1; " + p), want: "permerror", reason: "h="},
		{name: "other record beside the key", tags: base, zone: record("hello") + h.zone, want: "pass"},
		{name: "no key record", tags: base, zone: record("v=spf1 -all"), want: "permerror", reason: "not a DKIM key record"},
		{name: "another version of key", tags: base, zone: record("v=DKIM2; k=ed25519; " + p), want: "permerror"},
		{name: "version not first in key", tags: base, zone: record("k=ed25519; v=DKIM1; " + p), want: "permerror"},
		{name: "no version in key", tags: base, zone: record("k=ed25519; " + p), want: "pass"},
		{name: "unknown key type", tags: base, zone: record("v=DKIM1; k=dilithium; " + p), want: "permerror", reason: "unknown key type"},
		{name: "short Ed25519 key", tags: base, zone: record("v=DKIM1; k=ed25519; p=AAAA"), want: "permerror", reason: "Ed25519 key of 3 bytes"},
		{name: "p= is no base64", tags: base, zone: record("v=DKIM1; k=ed25519; p=!!"), want: "permerror", reason: "base64"},
		{name: "RSA record for Ed25519 signature", tags: base, zone: record("v=DKIM1; " + rsaTag(t, 1024)), want: "permerror", reason: "published key is rsa"},
		{name: "wrong body hash", tags: strings.Replace(base, bh, base64.StdEncoding.EncodeToString(make([]byte, 32)), 1), want: "fail", reason: "body"},
		{name: "another key", tags: base, zone: newHandmade(t).zone, want: "fail", reason: "another key"},
		{name: "l= covers part", tags: strings.Replace(base, bh, base64.StdEncoding.EncodeToString(sha256Of("Hello")), 1) + "; l=5", want: "pass",
			check: func(s dkim.Signature) bool { return s.BodyLength == 5 }},
		{name: "l= of nothing", tags: strings.Replace(base, bh, base64.StdEncoding.EncodeToString(sha256Of("")), 1) + "; l=0", want: "pass",
			check: func(s dkim.Signature) bool { return s.BodyLength == 0 }},
		{name: "l= beyond the body", tags: base + "; l=13", want: "fail", reason: "l="},
		{name: "l= no number", tags: base + "; l=-1", want: "permerror", reason: "l="},
		{name: "l= of 76 digits", tags: base + "; l=" + strings.Repeat("9", 76), want: "fail", reason: "l="},
		{name: "expired", tags: fmt.Sprintf("%s; t=%d; x=%d", base, at-100, at-1), want: "policy", reason: "expired", check: func(s dkim.Signature) bool { return s.Expired }},
		{name: "expires now", tags: fmt.Sprintf("%s; t=%d; x=%d", base, at-100, at), want: "pass", check: func(s dkim.Signature) bool { return !s.Expired }},
		{name: "x= before t=", tags: fmt.Sprintf("%s; t=%d; x=%d", base, at, at-1), want: "permerror", reason: "x="},
		{name: "x= no time", tags: base + "; x=soon", want: "permerror", reason: "x="},
		{name: "version", tags: strings.Replace(base, "v=1", "v=2", 1), want: "permerror", reason: "version"},
		{name: "sha1", tags: strings.Replace(base, "ed25519-sha256", "rsa-sha1", 1), want: "policy", reason: "rsa-sha1"},
		{name: "unknown algorithm", tags: strings.Replace(base, "ed25519-sha256", "rot13", 1), want: "permerror", reason: "a=rot13"},
		{name: "unknown canonicalisation", tags: strings.Replace(base, "relaxed/relaxed", "loose", 1), want: "permerror", reason: "c="},
		{name: "unknown query", tags: base + "; q=http", want: "permerror", reason: "q="},
		{name: "From not signed", tags: strings.Replace(base, "h=from", "h=to:subject", 1), want: "permerror", reason: "From"},
		{name: "too many names", tags: strings.Replace(base, "h=from", "h=from"+strings.Repeat(":to", 100), 1), want: "policy", reason: "h="},
		{name: "tag missing", tags: strings.Replace(base, "s=s; ", "", 1), want: "permerror", reason: "s="},
		{name: "tag twice", tags: base + "; d=example.com", want: "permerror", reason: "twice"},
		{name: "bad selector", tags: strings.Replace(base, "s=s", "s=a b!", 1), want: "permerror", reason: "selector"},
		{name: "bad domain", tags: strings.Replace(base, "d=example.com", "d=[192.0.2.1]", 1), want: "permerror", reason: "domain"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.zone == "" {
				tc.zone = h.zone
			}
			r := dnstest.Start(t, tc.zone).Resolver(t)
			got := dkim.Verify(t.Context(), r, []byte(h.sign(tc.tags, from, plain)), signedAt)
			if len(got) != 1 || got[0].Status != tc.want || !strings.Contains(got[0].Reason, tc.reason) || (got[0].Status == "pass") != (got[0].Reason == "") {
				t.Fatalf("got %+v, want %s because of %q", got, tc.want, tc.reason)
			}
			if tc.check != nil && !tc.check(got[0]) {
				t.Errorf("got %+v", got[0])
			}
		})
	}
}

// TestKeysForTLSReports: a key for reports about TLS vouches for them, and a key for something else for nothing.
func TestKeysForTLSReports(t *testing.T) {
	t.Parallel()
	h := newHandmade(t)
	tags := "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=s; h=from; bh=" + base64.StdEncoding.EncodeToString(sha256Of("Hello Bob.\r\n"))
	p := h.zone[strings.Index(h.zone, "p="):strings.LastIndexByte(h.zone, '"')]
	raw := []byte(h.sign(tags, "from:Ann <ann@example.com>", plain))
	for service, want := range map[string][2]string{"tlsrpt": {"permerror", "pass"}, "email": {"pass", "pass"}, "*": {"pass", "pass"}, "tlsrpt:email": {"pass", "pass"}, "chat": {"permerror", "permerror"}} {
		r := dnstest.Start(t, txtLine("s._domainkey.example.com", "v=DKIM1; k=ed25519; s="+service+"; "+p)).Resolver(t)
		if got := dkim.Verify(t.Context(), r, raw, signedAt); len(got) != 1 || got[0].Status != want[0] {
			t.Errorf("s=%s, mail: %+v, want %s", service, got, want[0])
		}
		if got := dkim.VerifyTLSReport(t.Context(), r, raw, signedAt); len(got) != 1 || got[0].Status != want[1] {
			t.Errorf("s=%s, report: %+v, want %s", service, got, want[1])
		}
	}
}

func TestDNSTroubleIsTemporary(t *testing.T) {
	t.Parallel()
	keys, zone := bothKeys(t)
	header, err := dkim.Sign([]byte(plain), keys, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	server := dnstest.Start(t, zone)
	server.Fail(keys[0].RecordName(), dnstest.ServFail)
	got := dkim.Verify(t.Context(), server.Resolver(t), append(header, plain...), signedAt)
	if len(got) != 2 || got[0].Status != dkim.StatusTempError || got[1].Status != dkim.StatusPass {
		t.Errorf("%+v", got)
	}
}

// TestOnlyFirstSignatures holds the limit before any work: the sixth is not looked up.
func TestOnlyFirstSignatures(t *testing.T) {
	t.Parallel()
	server := dnstest.Start(t, "")
	var b strings.Builder
	for i := range 50 {
		fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=s%d; h=from; bh=%s; b=AA\r\n", i, base64.StdEncoding.EncodeToString(make([]byte, 32)))
	}
	got := dkim.Verify(t.Context(), server.Resolver(t), []byte(b.String()+plain), signedAt)
	if len(got) != dkim.MaxSignatures {
		t.Errorf("%d signatures looked at", len(got))
	}
	if n := server.Count("s5._domainkey.example.com"); n != 0 {
		t.Errorf("sixth signature looked up %d times", n)
	}
}

func TestRSAKeySizes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		bits int
		want string
	}{{1024, "fail"}, {4096, "fail"}, {512, "policy"}, {1016, "policy"}, {4104, "policy"}, {8192, "policy"}} {
		t.Run(fmt.Sprint(tc.bits), func(t *testing.T) {
			t.Parallel()
			r := dnstest.Start(t, txtLine("s._domainkey.example.com", "v=DKIM1; "+rsaTag(t, tc.bits))).Resolver(t)
			message := "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s; h=from; b=AAAA;\r\n bh=" +
				base64.StdEncoding.EncodeToString(sha256Of("Hello Bob.\r\n")) + "\r\n" + plain
			got := dkim.Verify(t.Context(), r, []byte(message), signedAt)
			if len(got) != 1 || got[0].Status != tc.want || got[0].KeyBits != tc.bits {
				t.Errorf("%+v, want %s", got, tc.want)
			}
		})
	}
}

func TestPKCS1PublicKey(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := dkim.Key{Domain: "example.com", Selector: "s", Algorithm: dkim.RSASHA256, Private: private}
	header, err := dkim.Sign([]byte(plain), []dkim.Key{key}, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	p := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&private.PublicKey))
	r := dnstest.Start(t, txtLine(key.RecordName(), "p="+p)).Resolver(t)
	got := dkim.Verify(t.Context(), r, append(header, plain...), signedAt)
	if len(got) != 1 || got[0].Status != dkim.StatusPass || got[0].KeyBits != 2048 {
		t.Errorf("%+v", got)
	}
}

func TestSignedMailExpires(t *testing.T) {
	t.Parallel()
	keys, zone := bothKeys(t)
	r := dnstest.Start(t, zone).Resolver(t)
	header, err := dkim.Sign([]byte(plain), keys, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	signed := append(header, plain...)
	for _, tc := range []struct {
		after time.Duration
		want  string
	}{{dkim.Lifetime, dkim.StatusPass}, {dkim.Lifetime + time.Second, dkim.StatusPolicy}} {
		for _, s := range dkim.Verify(t.Context(), r, signed, signedAt.Add(tc.after)) {
			if s.Status != tc.want || s.Expired != (tc.want == dkim.StatusPolicy) {
				t.Errorf("after %v: %+v", tc.after, s)
			}
		}
	}
}

// TestBareLineFeeds verifies a signed message as a file with Unix line ends holds it.
func TestBareLineFeeds(t *testing.T) {
	t.Parallel()
	keys, zone := bothKeys(t)
	r := dnstest.Start(t, zone).Resolver(t)
	header, err := dkim.Sign([]byte(plain), keys, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	unix := strings.ReplaceAll(string(header)+plain, "\r\n", "\n")
	for _, s := range dkim.Verify(t.Context(), r, []byte(unix), signedAt) {
		if s.Status != dkim.StatusPass {
			t.Errorf("%+v", s)
		}
	}
}

func TestUnsigned(t *testing.T) {
	t.Parallel()
	r := dnstest.Start(t, "").Resolver(t)
	for _, message := range []string{"", "\r\n", "no field\r\n\r\n", " continuation\r\n", plain, "\r\nDKIM-Signature: v=1\r\n"} {
		if got := dkim.Verify(t.Context(), r, []byte(message), signedAt); len(got) != 0 {
			t.Errorf("%q: %+v", message, got)
		}
	}
}

// rsaTag is "p=…" with a public key of the given size. It is made up: nobody has the
// private half, and sizes are possible that no library generates any more.
func rsaTag(t testing.TB, bits int) string {
	t.Helper()
	n := make([]byte, bits/8)
	if _, err := rand.Read(n); err != nil {
		t.Fatal(err)
	}
	n[0] |= 0x80
	n[len(n)-1] |= 1
	key := &rsa.PublicKey{N: bigFrom(n), E: 65537}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return "k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
}
