package dkim_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"postern/internal/dkim"
	"postern/internal/dns/dnstest"
)

var signedAt = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// bothKeys are an RSA and an Ed25519 key of example.com, and the zone that
// publishes them.
func bothKeys(t testing.TB) (keys []dkim.Key, zone string) {
	t.Helper()
	for _, k := range []struct{ selector, algorithm string }{{"r1", dkim.RSASHA256}, {"e1", dkim.Ed25519SHA256}} {
		key, err := dkim.GenerateKey("example.com", k.selector, k.algorithm)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
		zone += key.RecordZone() + "\n"
	}
	return keys, zone
}

const plain = "From: Ann <ann@example.com>\r\nTo: bob@example.net\r\nSubject: Hello\r\n" +
	"Date: Fri, 20 Nov 2026 08:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\nHello Bob.\r\n"

// shapes are messages that canonicalisation must get right.
var shapes = []struct{ name, message string }{
	{"plain", plain},
	{"folded header", "From: Ann\r\n\t<ann@example.com>\r\nSubject:  a  \r\n   b\t c \r\nTo:bob@example.net\r\n\r\nx\r\n"},
	{"empty body", "From: ann@example.com\r\nSubject: x\r\n\r\n"},
	{"no body at all", "From: ann@example.com\r\nSubject: x\r\n"},
	{"header without final line end", "From: ann@example.com\r\nSubject: x"},
	{"only blank lines", "From: ann@example.com\r\n\r\n\r\n\r\n\r\n"},
	{"blanks as body", "From: ann@example.com\r\n\r\n \t \r\n  \r\n"},
	{"trailing blank lines", plain + "\r\n\r\n\r\n"},
	{"blank lines inside", plain + "\r\n\r\nend\r\n \r\n\t\r\n"},
	{"no final line end", plain + "last"},
	{"blanks in lines", "From: ann@example.com\r\n\r\n a \t b  \r\n\tc\t\r\n  \r\nd\r\n"},
	{"8-bit", "From: ann@example.com\r\nSubject: caf\xc3\xa9 \xe9\r\n\r\nd\xe9j\xe0 \xff\r\n"},
	{"duplicate fields", "From: ann@example.com\r\nTo: a@example.net\r\nSubject: one\r\nTo: b@example.net\r\nSUBJECT: two\r\n\r\nx\r\n"},
	{"list fields", "From: ann@example.com\r\nList-Unsubscribe: <https://example.com/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: a:b:c:d\r\nReferences: <a@b>\r\n <c@d>\r\n\r\nx\r\n"},
	{"empty field", "From: ann@example.com\r\nSubject:\r\nCc: \r\n\r\nx\r\n"},
	{"long lines", "From: ann@example.com\r\nSubject: " + strings.Repeat("word ", 180) + "\r\n\r\n" + strings.Repeat("0123456789", 2000) + "\r\n"},
	{"large body", plain + strings.Repeat("All work and no play  makes\tJack a dull boy. \r\n", 3000)},
}

func TestSignedIsVerified(t *testing.T) {
	t.Parallel()
	keys, zone := bothKeys(t)
	r := dnstest.Start(t, zone).Resolver(t)
	lookup := func(name string) ([]string, error) {
		for _, k := range keys {
			if k.RecordName() == name {
				return []string{k.Record()}, nil
			}
		}
		return nil, fmt.Errorf("unknown name %s", name)
	}
	for _, tc := range shapes {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			header, err := dkim.Sign([]byte(tc.message), keys, signedAt)
			if err != nil {
				t.Fatal(err)
			}
			signed := string(header) + tc.message
			for i, s := range dkim.Verify(t.Context(), r, []byte(signed), signedAt) {
				if s.Status != dkim.StatusPass || s.Expired || s.Algorithm != keys[i].Algorithm || s.BodyLength != -1 {
					t.Errorf("ours: %+v", s)
				}
			}
			if !strings.Contains(signed, "\r\n\r\n") {
				return // the other verifier wants the empty line
			}
			others, err := msgauth.VerifyWithOptions(strings.NewReader(signed), &msgauth.VerifyOptions{LookupTXT: lookup})
			if err != nil || len(others) != len(keys) {
				t.Fatalf("other verifier: %d results, %v", len(others), err)
			}
			for _, v := range others {
				if v.Err != nil {
					t.Errorf("other verifier: %v", v.Err)
				}
			}
		})
	}
}

func TestVerifiesWhatOthersSign(t *testing.T) {
	t.Parallel()
	keys, zone := bothKeys(t)
	r := dnstest.Start(t, zone).Resolver(t)
	for _, tc := range shapes {
		if !strings.Contains(tc.message, "\r\n\r\n") {
			continue
		}
		for _, canon := range []string{"simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"} {
			t.Run(tc.name+" "+canon, func(t *testing.T) {
				t.Parallel()
				header, body, _ := strings.Cut(canon, "/")
				for _, k := range keys {
					var signed bytes.Buffer
					err := msgauth.Sign(&signed, strings.NewReader(tc.message), &msgauth.SignOptions{
						Domain: "example.com", Selector: k.Selector, Signer: k.Private,
						HeaderCanonicalization: msgauth.Canonicalization(header),
						BodyCanonicalization:   msgauth.Canonicalization(body),
						HeaderKeys:             []string{"From", "Subject", "Subject", "To", "To", "Cc"},
					})
					if err != nil {
						t.Fatal(err)
					}
					got := dkim.Verify(t.Context(), r, signed.Bytes(), signedAt)
					if len(got) != 1 || got[0].Status != dkim.StatusPass {
						t.Errorf("%s: %+v", k.Algorithm, got)
					}
				}
			})
		}
	}
}

func TestSignedFieldIsTidy(t *testing.T) {
	t.Parallel()
	keys, _ := bothKeys(t)
	for _, tc := range shapes {
		header, err := dkim.Sign([]byte(tc.message), keys, signedAt)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if n := strings.Count(string(header), "DKIM-Signature:"); n != len(keys) {
			t.Errorf("%s: %d fields, want %d", tc.name, n, len(keys))
		}
		if strings.Contains(string(header), " l=") {
			t.Errorf("%s: l= written", tc.name)
		}
		lines := strings.Split(strings.TrimSuffix(string(header), "\r\n"), "\r\n")
		for _, line := range lines {
			if len(line) > 78 || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%s: line of %d: %q", tc.name, len(line), line)
			}
			if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "DKIM-Signature: v=1;") {
				t.Errorf("%s: line begins a field of its own: %q", tc.name, line)
			}
		}
		if !strings.Contains(string(header), fmt.Sprintf("t=%d; x=%d;", signedAt.Unix(), signedAt.Add(7*24*time.Hour).Unix())) {
			t.Errorf("%s: t= and x= not seven days apart: %s", tc.name, header)
		}
	}
}

// TestOversigned holds h= to its promise: each protected name once more than it occurs.
func TestOversigned(t *testing.T) {
	t.Parallel()
	keys, zone := bothKeys(t)
	r := dnstest.Start(t, zone).Resolver(t)
	message := "From: a@example.com\r\nTo: b@example.net\r\nTo: c@example.net\r\nFeedback-ID: x\r\n\r\nx\r\n"
	header, err := dkim.Sign([]byte(message), keys[1:], signedAt)
	if err != nil {
		t.Fatal(err)
	}
	got := dkim.Verify(t.Context(), r, append(header, message...), signedAt)
	count := map[string]int{}
	for _, name := range got[0].Headers {
		count[name]++
	}
	want := map[string]int{"from": 2, "to": 3, "cc": 1, "subject": 1, "date": 1, "reply-to": 1, "message-id": 1,
		"mime-version": 1, "content-type": 1, "content-transfer-encoding": 1, "feedback-id": 2}
	for name, n := range want {
		if count[name] != n {
			t.Errorf("%s listed %d times, want %d", name, count[name], n)
		}
	}
	if len(count) != len(want) {
		t.Errorf("names in h=: %v", count)
	}
}

// TestTamperingBreaksTheSignature is the replay and forgery test: content appended,
// header fields added, changed or removed after signing.
func TestTamperingBreaksTheSignature(t *testing.T) {
	t.Parallel()
	keys, zone := bothKeys(t)
	r := dnstest.Start(t, zone).Resolver(t)
	header, err := dkim.Sign([]byte(plain), keys, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	signed := string(header) + plain
	type change struct {
		name, message, want string
	}
	changes := []change{
		{"untouched", signed, dkim.StatusPass},
		{"trace field added", "Received: from x by y\r\n" + signed, dkim.StatusPass},
		{"blank lines appended", signed + "\r\n\r\n", dkim.StatusPass},
		{"body appended", signed + "Buy now.\r\n", dkim.StatusFail},
		{"body prepended", strings.Replace(signed, "Hello Bob.", "Buy. Hello Bob.", 1), dkim.StatusFail},
		{"line joined", strings.Replace(signed, "Hello Bob.", "HelloBob.", 1), dkim.StatusFail},
		{"subject changed", strings.Replace(signed, "Subject: Hello", "Subject: Hullo", 1), dkim.StatusFail},
		{"subject removed", strings.Replace(signed, "Subject: Hello\r\n", "", 1), dkim.StatusFail},
		{"signature's own tag changed", strings.ReplaceAll(signed, "x=", "x=9"), dkim.StatusFail},
	}
	for _, name := range []string{"From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"} {
		field := name + ": forged@example.org\r\n"
		changes = append(changes,
			change{name + " added on top", field + signed, dkim.StatusFail},
			change{name + " added below", strings.Replace(signed, "\r\n\r\n", "\r\n"+field+"\r\n", 1), dkim.StatusFail})
	}
	for _, tc := range changes {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := dkim.Verify(t.Context(), r, []byte(tc.message), signedAt)
			if len(got) != 2 {
				t.Fatalf("%d signatures", len(got))
			}
			for _, s := range got {
				if s.Status != tc.want {
					t.Errorf("%s: %s (%s), want %s", s.Algorithm, s.Status, s.Reason, tc.want)
				}
			}
		})
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	keys, _ := bothKeys(t)
	with := func(change func(*dkim.Key)) []dkim.Key {
		k := keys[1]
		change(&k)
		return []dkim.Key{k}
	}
	for _, tc := range []struct {
		name, message string
		keys          []dkim.Key
		want          error
	}{
		{"bare LF", "From: a@example.com\r\n\r\nx\ny\r\n", keys, dkim.ErrBareNewline},
		{"bare CR", "From: a@example.com\r\n\r\nx\ry\r\n", keys, dkim.ErrBareNewline},
		{"CR at the end", plain + "\r", keys, dkim.ErrBareNewline},
		{"CR CR LF", plain + "\r\r\n", keys, dkim.ErrBareNewline},
		{"LF first", "\n" + plain, keys, dkim.ErrBareNewline},
		{"begins with a continuation", " x\r\n" + plain, keys, dkim.ErrBadStart},
		{"no From", "To: a@example.com\r\n\r\nx\r\n", keys, dkim.ErrNoFrom},
		{"From only in the body", "To: a@example.com\r\n\r\nFrom: x\r\n", keys, dkim.ErrNoFrom},
		{"too many To", strings.Repeat("To: a@example.com\r\n", 99) + plain, keys, dkim.ErrTooManyFields},
		{"line end in selector", plain, with(func(k *dkim.Key) { k.Selector = "a\r\nX: y" }), dkim.ErrBadKey},
		{"line end in domain", plain, with(func(k *dkim.Key) { k.Domain = "example.com\r\nX: y" }), dkim.ErrBadKey},
		{"tag in selector", plain, with(func(k *dkim.Key) { k.Selector = "a;l=0" }), dkim.ErrBadKey},
		{"no key", plain, with(func(k *dkim.Key) { k.Private = nil }), dkim.ErrBadKey},
		{"wrong algorithm", plain, with(func(k *dkim.Key) { k.Algorithm = dkim.RSASHA256 }), dkim.ErrBadKey},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			header, err := dkim.Sign([]byte(tc.message), tc.keys, signedAt)
			if !errors.Is(err, tc.want) || header != nil {
				t.Errorf("got %q, %v; want %v", header, err, tc.want)
			}
		})
	}
}

func TestSignWithoutKeys(t *testing.T) {
	t.Parallel()
	header, err := dkim.Sign([]byte(plain), nil, signedAt)
	if len(header) != 0 || err != nil {
		t.Errorf("%q, %v", header, err)
	}
}
