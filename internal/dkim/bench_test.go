package dkim_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"postern/internal/dkim"
)

// sized is a message of about n bytes with a header as mail programs write it.
func sized(n int) []byte {
	header := "Received: from host.example.com ([192.0.2.1]) by gate.example.com with ESMTPS id 1;\r\n\tFri, 20 Nov 2026 08:00:00 +0000\r\n" +
		"From: Ann Example <ann@example.com>\r\nTo: Bob <bob@example.net>, Carol <carol@example.net>\r\nSubject: The minutes of our meeting\r\n" +
		"Date: Fri, 20 Nov 2026 08:00:00 +0000\r\nMessage-ID: <20261120080000.1234@example.com>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n" +
		"List-Unsubscribe: <https://example.com/u/abcdefghijklmnopqrstuvwxyz>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\n"
	const line = "    <p class=3D\"text\">The quick brown fox jumps over the lazy dog again.</p>\r\n"
	return []byte(header + strings.Repeat(line, max(1, (n-len(header))/len(line))))
}

func BenchmarkSign(b *testing.B) {
	keys, _ := bothKeys(b)
	for _, size := range []int{2 << 10, 10 << 10, 100 << 10} {
		message := sized(size)
		for _, tc := range []struct {
			name string
			keys []dkim.Key
		}{{"ed25519", keys[1:]}, {"rsa2048", keys[:1]}, {"both", keys}} {
			b.Run(fmt.Sprintf("%s/%dKB", tc.name, size>>10), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := dkim.Sign(message, tc.keys, signedAt); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkRaw is the signature alone: what Sign cannot go below.
func BenchmarkRaw(b *testing.B) {
	keys, _ := bothKeys(b)
	sum := sha256.Sum256([]byte("x"))
	for i, options := range []crypto.SignerOpts{crypto.SHA256, crypto.Hash(0)} {
		b.Run(keys[i].Algorithm, func(b *testing.B) {
			for b.Loop() {
				if _, err := keys[i].Private.Sign(rand.Reader, sum[:], options); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	keys, _ := bothKeys(b)
	r := fixed{}
	for _, k := range keys {
		r[k.RecordName()] = k.Record()
	}
	for _, size := range []int{2 << 10, 10 << 10, 100 << 10} {
		message := sized(size)
		for i, name := range []string{"rsa2048", "ed25519"} {
			header, err := dkim.Sign(message, keys[i:i+1], signedAt)
			if err != nil {
				b.Fatal(err)
			}
			signed := append(header, message...)
			b.Run(fmt.Sprintf("%s/%dKB", name, size>>10), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if got := dkim.Verify(b.Context(), r, signed, signedAt); len(got) != 1 || got[0].Status != dkim.StatusPass {
						b.Fatalf("%+v", got)
					}
				}
			})
		}
	}
}

func FuzzVerify(f *testing.F) {
	keys, _ := bothKeys(f)
	r := fixed{}
	for _, k := range keys {
		r[k.RecordName()] = k.Record()
	}
	for _, shape := range shapes[:14] {
		header, err := dkim.Sign([]byte(shape.message), keys, signedAt)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(header, shape.message...))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		got := dkim.Verify(context.Background(), r, message, signedAt)
		if len(got) > dkim.MaxSignatures {
			t.Fatalf("%d signatures", len(got))
		}
		for _, s := range got {
			if s.Status == "" || (s.Status == dkim.StatusPass) != (s.Reason == "") || strings.ContainsAny(s.Reason, "\r\n") {
				t.Fatalf("%+v", s)
			}
		}
		header, err := dkim.Sign(message, keys[1:], signedAt)
		if err != nil {
			return
		}
		signed := append(header, message...)
		if s := dkim.Verify(context.Background(), r, signed, signedAt); len(s) == 0 || s[0].Status != dkim.StatusPass {
			t.Fatalf("own signature of %q: %+v", message, s)
		}
	})
}
