package notice_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/notice"
)

const messageID = mail.QueueID("01kb4k2z8800000000000000zz")

func newLinks(t testing.TB, key string) *notice.Links {
	t.Helper()
	l, err := notice.NewLinks("https://mail.example.net/", []byte(key), 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLinksOpenOneMessageUntilTheyExpire(t *testing.T) {
	t.Parallel()
	l := newLinks(t, secret)
	token := l.Token(messageID, start)
	if url := l.For(messageID, start); url != "https://mail.example.net/m/"+token {
		t.Errorf("address %q", url)
	}
	if strings.ContainsAny(token, "@+/= ") || len(token) > 100 {
		t.Errorf("token %q does not fit a path", token)
	}
	for _, tc := range []struct {
		name string
		at   time.Time
		want error
	}{
		{"at once", start, nil},
		{"a clock that went back", start.Add(-time.Hour), nil},
		{"last second", start.Add(notice.DefaultLinkTTL), nil},
		{"over", start.Add(notice.DefaultLinkTTL + time.Second), notice.ErrLinkExpired},
		{"much later", start.AddDate(10, 0, 0), notice.ErrLinkExpired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, err := l.Check(token, tc.at)
			if !errors.Is(err, tc.want) || id != messageID {
				t.Errorf("got %q, %v; want %v", id, err, tc.want)
			}
		})
	}
}

func TestLinksRefuseWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	l := newLinks(t, secret)
	token := l.Token(messageID, start)
	other := newLinks(t, strings.Repeat("x", 32)).Token(messageID, start)
	id, rest, _ := strings.Cut(token, ".")
	end, mac, _ := strings.Cut(rest, ".")
	for name, forged := range map[string]string{
		"empty": "", "dots": "...", "no mac": id + "." + end + ".", "only id": id, "other key": other,
		"longer life": id + "." + end + "z." + mac, "later": id + ".zzzzzz." + mac, "upper case id": strings.ToUpper(id) + "." + end + "." + mac,
		"another message": "01kb4k2z8800000000000000zy." + end + "." + mac, "twice": token + "." + token, "padding": token + "=",
		"space": token + " ", "huge": strings.Repeat("a", 1<<20), "short mac": token[:len(token)-1], "nul": token + "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := l.Check(forged, start); !errors.Is(err, notice.ErrLinkForged) || got != "" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	for i := range token {
		for bit := range 8 {
			b := []byte(token)
			b[i] ^= 1 << bit
			if got, err := l.Check(string(b), start); !errors.Is(err, notice.ErrLinkForged) || got != "" {
				t.Fatalf("byte %d, bit %d changed: got %q, %v", i, bit, got, err)
			}
		}
	}
}

func TestLinksNeedASecret(t *testing.T) {
	t.Parallel()
	if _, err := notice.NewLinks("https://x", []byte("short"), 0); err == nil {
		t.Error("a short secret was taken")
	}
}

// FuzzLinkCheck: nothing but what Token made opens a page.
func FuzzLinkCheck(f *testing.F) {
	l := newLinks(f, secret)
	good := l.Token(messageID, start)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add("")
	f.Add("a.b.c")
	f.Add(string(messageID) + ".-1.")
	f.Fuzz(func(t *testing.T, token string) {
		id, err := l.Check(token, start)
		if err == nil && token != good {
			t.Fatalf("%q opens %s", token, id)
		}
		if err != nil && !errors.Is(err, notice.ErrLinkForged) && !errors.Is(err, notice.ErrLinkExpired) {
			t.Fatalf("%q: %v", token, err)
		}
	})
}
