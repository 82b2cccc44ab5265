package learn_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// letter is a message of about 10 KB of text.
func letter(r *rand.Rand, n int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "Received: from a.example (a.example [192.0.2.9]) by b.example with ESMTP id 12345678; Sat, 21 Nov 2026 10:00:00 +0100\r\n"+
		"Message-ID: <%d.1234@a.example>\r\nFrom: Anne <anne@a.example>\r\nTo: bob@b.example\r\nSubject: Report number %d\r\n"+
		"Date: Sat, 21 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", n, n)
	for line := 0; b.Len() < 10_000; {
		w := fmt.Sprintf("word%d", int(r.ExpFloat64()*1500))
		if r.IntN(8) == 0 {
			w = strings.ToUpper(w[:1]) + w[1:] + "."
		}
		b.WriteString(w)
		if line += len(w) + 1; line > 70 {
			b.WriteString("\r\n")
			line = 0
		} else {
			b.WriteByte(' ')
		}
	}
	return []byte(b.String())
}

func benchLedger(b *testing.B, db *store.DB, o learn.Options) (*learn.Ledger, [][]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	l := open(b, db, o)
	var letters [][]byte
	for _, class := range []learn.Class{learn.Ham, learn.Spam} {
		var batch []*mail.Message
		for n := range learn.MinCorpus {
			raw := letter(r, 2*n+len(class)%2)
			letters = append(letters, raw)
			batch = append(batch, mail.Parse(raw, mail.DefaultLimits()))
		}
		if _, err := l.Learn(b.Context(), learn.Base, class, batch...); err != nil {
			b.Fatal(err)
		}
	}
	return l, letters
}

func BenchmarkTokens(b *testing.B) {
	raw := letter(rand.New(rand.NewPCG(1, 2)), 1)
	m := mail.Parse(raw, mail.DefaultLimits())
	m.URIs()
	for b.Loop() {
		learn.Tokens(m)
	}
	b.ReportMetric(float64(len(learn.Tokens(m))), "tokens")
}

// BenchmarkClassify: warm has every count in memory, cold reads all of them from the database. The message is parsed, as it is
// when the filter asks.
func BenchmarkClassify(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *store.DB{
		"sqlite":   func(t testing.TB) *store.DB { return storetest.SQLite(t, store.MainSchema()) },
		"postgres": func(t testing.TB) *store.DB { return storetest.Postgres(t, store.MainSchema()) },
	} {
		for _, memory := range []string{"warm", "cold"} {
			b.Run(name+"/"+memory, func(b *testing.B) {
				o := learn.Options{}
				if memory == "cold" {
					o.CachedTokens = 1
				}
				l, letters := benchLedger(b, open(b), o)
				var all []*mail.Message
				for _, raw := range letters {
					m := mail.Parse(raw, mail.DefaultLimits())
					m.URIs()
					all = append(all, m)
					classify(b, l, learn.Base, m)
				}
				b.ResetTimer()
				for i := 0; b.Loop(); i++ {
					if _, err := l.Classify(b.Context(), learn.Base, all[i%len(all)]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkLearn(b *testing.B) {
	l, _ := benchLedger(b, storetest.SQLite(b, store.MainSchema()), learn.Options{})
	r := rand.New(rand.NewPCG(3, 4))
	n := 10_000
	for b.Loop() {
		n++
		if _, err := l.Learn(b.Context(), "c", learn.Spam, mail.Parse(letter(r, n), mail.DefaultLimits())); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdjust(b *testing.B) {
	l := open(b, storetest.SQLite(b, store.MainSchema()), learn.Options{})
	s := learn.Sender{Customer: "c", From: address(b, "a@b.example"), ClientIP: ip("192.0.2.1"), Answers: "login:u"}
	record(b, l, s, 1, 2, 3)
	for b.Loop() {
		adjust(b, l, s, 4)
	}
}
