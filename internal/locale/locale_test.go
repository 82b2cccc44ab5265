package locale_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/locale"
)

func catalog(t testing.TB) *locale.Catalog {
	t.Helper()
	c, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTextFillsAndFallsBack(t *testing.T) {
	t.Parallel()
	c := catalog(t)
	for _, tc := range []struct {
		name, lang, key string
		args            map[string]any
		want            string
	}{
		{"plain", "fr", "locale.yes", nil, "oui"},
		{"english", "en", "locale.yes", nil, "yes"},
		{"unknown language", "de", "locale.yes", nil, "yes"},
		{"empty language", "", "locale.yes", nil, "yes"},
		{"unknown key", "fr", "locale.nothing.of.the.kind", nil, "locale.nothing.of.the.kind"},
		{"zero is singular in French", "fr", "locale.recipients", map[string]any{"Count": 0}, "0 destinataire"},
		{"zero is plural in English", "en", "locale.recipients", map[string]any{"Count": 0}, "0 recipients"},
		{"one", "en", "locale.recipients", map[string]any{"Count": uint8(1)}, "1 recipient"},
		{"many", "fr", "locale.recipients", map[string]any{"Count": int64(12345)}, "12\u202f345 destinataires"},
		{"half a point", "fr", "locale.points", map[string]any{"Count": 1.5}, "1,5\u00a0point"},
		{"text count", "en", "locale.points", map[string]any{"Count": "2.5"}, "2.5 points"},
		{"count missing", "en", "locale.points", nil, "? points"},
		{"count of a wrong kind", "en", "locale.points", map[string]any{"Count": []int{1}}, "[1] points"},
		{"count not a number", "en", "locale.points", map[string]any{"Count": "{{.X}}"}, "{{.X}} points"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := c.Text(tc.lang, tc.key, tc.args); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTextIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	c := catalog(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				want := fmt.Sprintf("%d destinataires", n+2)
				if got := c.Text("fr", "locale.recipients", map[string]any{"Count": n + 2}); got != want {
					t.Errorf("goroutine %d: got %q, want %q", i, got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestParseAndMatch(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"fr": "fr", "FR": "fr", "fr-CA": "fr", "fr_FR.UTF-8": "fr", "en": "en", "": "en", "frisian": "en", "de": "en"} {
		if got := locale.Parse(in); got != want {
			t.Errorf("Parse(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"fr-FR,fr;q=0.9,en-US;q=0.8": "fr",
		"en-US,en;q=0.9,fr;q=0.5":    "en",
		"de,fr;q=0.5":                "fr",
		"en;q=0.2, fr-CH":            "fr",
		"*":                          "en",
		"":                           "en",
		";;;q=x":                     "en",
		strings.Repeat("fr,", 5000):  "en",
	} {
		if got := locale.Match(in); got != want {
			t.Errorf("Match(%.40q) = %q, want %q", in, got, want)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	paris := time.FixedZone("CET", 3600)
	at := time.Date(2026, 11, 21, 18, 40, 5, 0, paris)
	india := time.FixedZone("IST", 5*3600+1800)
	for _, tc := range []struct{ name, got, want string }{
		{"date fr", locale.Date("fr", at), "le 21/11/2026 à 18:40 (UTC+1)"},
		{"date en", locale.Date("en", at), "21 November 2026 at 18:40 (UTC+1)"},
		{"day fr", locale.Day("fr", at), "21/11/2026"},
		{"day en", locale.Day("en", at), "21 November 2026"},
		{"date utc", locale.Date("fr", at.UTC()), "le 21/11/2026 à 17:40 (UTC)"},
		{"date half hour", locale.Date("en", at.In(india)), "21 November 2026 at 23:10 (UTC+5:30)"},
		{"date west", locale.Date("en", at.In(time.FixedZone("", -3*3600))), "21 November 2026 at 14:40 (UTC-3)"},
		{"number fr", locale.Number("fr", 1234567.891), "1\u202f234\u202f567,89"},
		{"number en", locale.Number("en", 1234567.891), "1,234,567.89"},
		{"number small", locale.Number("fr", 3), "3"},
		{"number half", locale.Number("fr", 3.5), "3,5"},
		{"number negative", locale.Number("en", -1000), "-1,000"},
		{"number nearly zero", locale.Number("en", -0.001), "0"},
		{"number below one", locale.Number("en", -0.1), "-0.1"},
		{"bytes fr", locale.Bytes("fr", 25_000_000), "25\u00a0Mo"},
		{"bytes fraction", locale.Bytes("fr", 1_520_000), "1,5\u00a0Mo"},
		{"bytes en", locale.Bytes("en", 1_520_000), "1.5\u00a0MB"},
		{"bytes few", locale.Bytes("en", 999), "999\u00a0bytes"},
		{"bytes one", locale.Bytes("fr", 1), "1\u00a0octet"},
		{"bytes rounding up", locale.Bytes("en", 999_999), "1\u00a0MB"},
		{"duration fr", locale.Duration("fr", 27*time.Hour+5*time.Minute), "1\u00a0jour et 3\u00a0heures"},
		{"duration en", locale.Duration("en", 90*time.Second), "1\u00a0minute and 30\u00a0seconds"},
		{"duration gap", locale.Duration("en", 24*time.Hour+time.Minute), "1\u00a0day"},
		{"duration short", locale.Duration("fr", time.Millisecond), "moins d'une seconde"},
		{"duration negative", locale.Duration("en", -2*time.Hour), "2\u00a0hours"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("got %q, want %q", tc.got, tc.want)
			}
		})
	}
}

func BenchmarkText(b *testing.B) {
	c := catalog(b)
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Text("fr", "locale.unknown", nil)
		}
	})
	b.Run("plural", func(b *testing.B) {
		b.ReportAllocs()
		args := map[string]any{"Count": 12}
		for b.Loop() {
			c.Text("fr", "locale.recipients", args)
		}
	})
}

func FuzzMatch(f *testing.F) {
	for _, s := range []string{"fr-FR,fr;q=0.9,en;q=0.8", "", "*", ";q=", "en-" + strings.Repeat("a-", 100), "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, lang := range []string{locale.Match(s), locale.Parse(s)} {
			if lang != locale.French && lang != locale.English {
				t.Errorf("%q gave %q", s, lang)
			}
		}
	})
}
