package returnpath_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/returnpath"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func codec(t testing.TB, keys ...[]byte) *returnpath.Codec {
	t.Helper()
	c, err := returnpath.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	c := codec(t, key(1))
	for i := range 500 {
		made := time.UnixMilli(int64(i) * 7_777_777_777).UTC()
		id := mail.NewQueueID(made)
		index := i - 1
		local := c.Local(id, index)
		if len(local) != 52 || local != strings.ToLower(local) {
			t.Fatalf("%q", local)
		}
		a, err := mail.ParseAddress(local + "@bounce.example")
		if err != nil || a.Local != local {
			t.Fatalf("%q is no local part: %v", local, err)
		}
		for _, form := range []string{local, strings.ToUpper(local), local[:9] + strings.ToUpper(local[9:30]) + local[30:]} {
			r, err := c.Read(form)
			if err != nil || r.ID != id || r.Recipient != index || !r.Made.Equal(made) || r.Public {
				t.Fatalf("%q: %+v %v", form, r, err)
			}
		}
		m := c.Reference(id)
		if _, err := c.Read(m); !errors.Is(err, returnpath.ErrNotOurs) {
			t.Fatalf("a public reference serves as return address: %v", err)
		}
		if r, err := c.ReadAny(m); err != nil || r.ID != id || r.Recipient != -1 || !r.Public {
			t.Fatalf("%q: %+v %v", m, r, err)
		}
		if _, err := c.Read("b" + m[1:]); !errors.Is(err, returnpath.ErrForged) {
			t.Fatalf("a reference was made a return address: %v", err)
		}
	}
	id := mail.NewQueueID(time.Now())
	if r, err := c.Read(c.Local(id, 70000)); err != nil || r.Recipient != -1 {
		t.Errorf("a recipient beyond the numbers: %+v %v", r, err)
	}
}

// TestForged: no change of a single character gets through, and neither does another key.
func TestForged(t *testing.T) {
	t.Parallel()
	c := codec(t, key(1))
	local := c.Local(mail.NewQueueID(time.Now()), 3)
	for i := range local {
		for _, with := range "abcdefghijklmnopqrstuvwxyz0123456789-=." {
			other := local[:i] + string(with) + local[i+1:]
			if other == local {
				continue
			}
			if r, err := c.ReadAny(other); err == nil {
				t.Fatalf("%q instead of %q is read: %+v", other, local, r)
			}
		}
	}
	if _, err := codec(t, key(2)).Read(local); !errors.Is(err, returnpath.ErrForged) {
		t.Errorf("another key: %v", err)
	}
	for _, text := range []string{"", "b-", "postmaster", local + "a", local[:51], "b-" + strings.Repeat("a", 50), "b-" + strings.Repeat("é", 25), "B-" + strings.Repeat("7", 50)} {
		if r, err := c.Read(text); err == nil {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

// TestRotation: what an old key signed is read, and only the newest signs.
func TestRotation(t *testing.T) {
	t.Parallel()
	before, after := codec(t, key(1)), codec(t, key(2), key(1))
	id := mail.NewQueueID(time.Now())
	if r, err := after.Read(before.Local(id, 1)); err != nil || r.ID != id {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := before.Read(after.Local(id, 1)); !errors.Is(err, returnpath.ErrForged) {
		t.Errorf("%v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	if _, err := returnpath.New(); err == nil {
		t.Error("no key")
	}
	if _, err := returnpath.New(make([]byte, 31)); err == nil {
		t.Error("a short key")
	}
	secret := "0123456789abcdef0123456789abcdef"
	keys, err := returnpath.ReadKeys([]byte(secret + "\n\n  " + strings.ToUpper(secret) + "\n"))
	if err != nil || len(keys) != 2 || string(keys[0]) != secret {
		t.Errorf("%q %v", keys, err)
	}
	for _, text := range []string{"", " \n", secret + " tooshortbutsecret"} {
		if _, err := returnpath.ReadKeys([]byte(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	c := codec(t, key(1))
	id, second := mail.NewQueueID(time.Unix(1.7e9, 0)), mail.NewQueueID(time.Unix(1.7e9, 0))
	local, reference := c.Local(id, 2), c.Reference(id)
	for _, tc := range []struct {
		name, text string
		index      int
		public     bool
	}{
		{"message id", "Message-ID: <" + reference + "@gate.example>\r\n", -1, true},
		{"our field", "X-Postern-Ref: " + reference, -1, true},
		{"reverse path", "Return-Path: <" + local + "@bounce.example>", 2, false},
		{"alone", local, 2, false},
		{"upper case", strings.ToUpper("original-mail-from: <" + local + "@BOUNCE.EXAMPLE>"), 2, false},
		{"the address goes first", reference + " " + local, 2, false},
		{"the first of two", reference + " " + c.Reference(second), -1, true},
		{"soft break", "Message-ID: <" + reference[:20] + "=\r\n" + reference[20:41] + "=\n" + reference[41:] + "@gate.example>", -1, true},
		{"coded bracket", "Message-ID: =3C" + reference + "=40gate.example", -1, true},
		{"forged one before", codec(t, key(9)).Local(id, 1) + "\n" + local, 2, false},
		{"dashes before", "b-b-m-" + local, 2, false},
		{"in quotes", `"` + local + `"`, 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, ok := c.Find([]byte("x\r\n" + tc.text + "\r\ny"))
			if !ok || r.ID != id || r.Recipient != tc.index || r.Public != tc.public {
				t.Errorf("%q: %+v %v", tc.text, r, ok)
			}
		})
	}
	for _, text := range []string{"", "b-", "x" + local, local + "q", local[:51], strings.Replace(local, "-", "", 1), codec(t, key(9)).Local(id, 1), local[:20] + "\r\n" + local[20:]} {
		if r, ok := c.Find([]byte(text)); ok {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

func FuzzRead(f *testing.F) {
	c := codec(f, key(1))
	local := c.Local(mail.NewQueueID(time.Unix(1.7e9, 0)), 5)
	f.Add(local)
	f.Add(strings.ToUpper(local))
	f.Add(c.Reference(mail.NewQueueID(time.Unix(1.7e9, 0))))
	f.Add("b-" + strings.Repeat("a", 50))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := c.Read(text)
		if err != nil {
			if r != (returnpath.Ref{}) {
				t.Fatalf("%+v with %v", r, err)
			}
			return
		}
		if c.Local(r.ID, r.Recipient) != strings.ToLower(text) {
			t.Fatalf("%q reads as %+v and is written differently", text, r)
		}
	})
}

func FuzzFind(f *testing.F) {
	c := codec(f, key(1))
	local := c.Local(mail.NewQueueID(time.Unix(1.7e9, 0)), 5)
	f.Add([]byte("Message-ID: <" + local + "@x>"))
	f.Add([]byte("b-=\r\n" + local[2:]))
	f.Add([]byte(strings.Repeat("b-", 100)))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, ok := c.Find(text)
		if !ok {
			return
		}
		flat := strings.ToLower(strings.NewReplacer("=\r\n", "", "=\n", "").Replace(string(text)))
		if !strings.Contains(flat, c.Local(r.ID, r.Recipient)) && !strings.Contains(flat, c.Reference(r.ID)) {
			t.Fatalf("%+v is not in %q", r, text)
		}
	})
}

func BenchmarkLocal(b *testing.B) {
	c := codec(b, key(1))
	id := mail.NewQueueID(time.Now())
	for b.Loop() {
		c.Local(id, 1)
	}
}

func BenchmarkFind(b *testing.B) {
	c := codec(b, key(1))
	for _, what := range []string{"plain text without any - or with some, b- and m- and so on\r\n", "b-" + strings.Repeat("a", 50) + "\r\n", "b-", "m-aaaaaaaaaaaaa="} {
		text := bytes.Repeat([]byte(what), 1<<20/len(what))
		b.Run(fmt.Sprintf("%.6q", what), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				c.Find(text)
			}
		})
	}
}
