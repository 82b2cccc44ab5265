package learn_test

import (
	"crypto/sha1"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"postern/internal/learn"
	"postern/internal/mail"
)

var update = flag.Bool("update", false, "write the .tokens files of testdata anew")

func texts(m *mail.Message) []string {
	var out []string
	for _, t := range learn.Tokens(m) {
		out = append(out, t.Text)
	}
	return out
}

// TestWords: what becomes of single words in the body.
func TestWords(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, body, want string }{
		{"short and stop words", "it is a yes with you", "yes"},
		{"case and punctuation", "sale NOW! BUY", "sale now! NOW now NOW! buy BUY"},
		{"title case at the start", "Hello dear Friend. Money comes. Fast", "hello dear friend Friend money comes fast"},
		{"title case after an empty line", "offer\n\nSpecial", "offer special"},
		{"not after a line end", "offer\nSpecial", "offer special Special"},
		{"sums and obfuscation", "$31,000,000 f*ck", "31000000 $31,000,000 f*ck"},
		{"long", "abcdefghijklmnop", "sk:abcdefg"},
		{"fifteen", "abcdefghijklmno", "abcdefghijklmno"},
		{"host", "see shop.acme.example today", "UD:shop.acme.example UD:acme.example UD:example sk:shopac sk:shop.ac today"},
		{"address", "write joe@acme.example", "write U*joe D*acme.example D*example sk:joeacm sk:joe@acm joeacmeexample joe@acme.example"},
		{"runs of dots and dashes", "wait...really--yes", "wait really yes"},
		{"quotes", `"quoted" 'single'`, "quoted single"},
		{"French elision", "l'offre d'achat qu'elle n'importe", "offre achat importe"},
		{"French accents", "é été déjà L'Été prochain", "déjà prochain"},
		{"Accents in capitals", "un ÉTRANGE colis", "étrange ÉTRANGE colis"},
		{"French stop words", "dans votre panier avec des produits", "panier produits"},
		{"script without spaces", "特別優惠活動限時免費贈送大獎快來領取吧", "u8:特別 u8:別優 u8:優惠 u8:惠活 u8:活動 u8:動限 u8:限時 u8:時免 u8:免費 u8:費贈 u8:贈送 u8:送大 u8:大獎 u8:獎快 u8:快來 u8:來領 u8:領取 u8:取吧"},
		{"long Cyrillic", "превосходительство", "sk:превосх"},
		{"each once", "spam spam spam", "spam"},
		{"typographic apostrophe", "it’s today’s offer", "today offer"},
		{"not a letter", "ham\u2028spam\ufffdbeer", "ham spam beer"},
	} {
		m := mail.Parse([]byte("Content-Type: text/plain; charset=utf-8\r\n\r\n"+strings.ReplaceAll(tc.body, "\n", "\r\n")), mail.DefaultLimits())
		var got []string
		for _, x := range texts(m) {
			if !strings.HasPrefix(x, "H") || !strings.Contains(x, ":") {
				got = append(got, x)
			}
		}
		if text := strings.Join(got, " "); text != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, text, tc.want)
		}
	}
}

// TestGoldenTokens holds the tokens of whole messages to testdata.
func TestGoldenTokens(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(texts(mail.Parse(raw, mail.DefaultLimits())), "\n") + "\n"
		want := strings.TrimSuffix(f, ".eml") + ".tokens"
		if *update {
			if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if old, err := os.ReadFile(want); err != nil || string(old) != got {
			t.Errorf("%s:\n%s(%v)", want, got, err)
		}
	}
}

// TestTokensOfTheWay: what this gateway puts on a message, and what other filters put, teaches nothing.
func TestTokensOfTheWay(t *testing.T) {
	t.Parallel()
	const rest = "From: a@b.example\nSubject: Report\nX-Mailer: Thing 1\n\nnumbers\n"
	plain := texts(parse(rest))
	for _, field := range []string{
		"Received: from b ([192.0.2.1]) by gate.example (Postern) with ESMTPA id 4f for <c@d.example>; Sat, 21 Nov 2026 18:40:00 +0000",
		"Date: Sat, 21 Nov 2026 18:40:00 +0000", "X-Spam-Status: Yes, score=9", "List-Unsubscribe: <https://list.example/u>",
		"Authentication-Results: mx.example; spf=pass", "X-Postern-Verdict: held", "Delivered-To: x@y.example", "X-MS-Exchange-Organization-SCL: 5",
	} {
		if got := texts(parse(field + "\n" + rest)); !slices.Equal(got, plain) {
			t.Errorf("%s changes the tokens: %q", field, got)
		}
	}
	if got := texts(parse("DKIM-Signature: v=1; d=b.example; s=x; b=abcd\n" + rest)); !slices.Contains(got, "HDKIM-Signature:1") || len(got) != len(plain)+1 {
		t.Errorf("a signature is more than present: %q", got)
	}
}

func TestTokenIsTheEndOfSHA1(t *testing.T) {
	t.Parallel()
	for _, x := range learn.Tokens(words("casino", "Jackpot!", "naïve")) {
		sum := sha1.Sum([]byte(x.Text))
		want := int64(0)
		for _, b := range sum[15:] {
			want = want<<8 | int64(b)
		}
		if x.ID != want || want < 0 || want >= 1<<40 {
			t.Errorf("%s is %x, want %x", x.Text, x.ID, want)
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, glob := range []string{"testdata/*.eml", "../mail/testdata/corpus/*.eml", "../mail/testdata/mime/*"} {
		files, _ := filepath.Glob(glob)
		for i, name := range files {
			if raw, err := os.ReadFile(name); err == nil && len(raw) < 8000 && i%3 == 0 {
				f.Add(raw)
			}
		}
	}
	f.Add([]byte("From: a@b.example\nContent-Type: text/plain; boundary=\"\n\n...--..'x' l' @ a@ .b U*D*"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tokens := learn.Tokens(mail.Parse(raw, mail.DefaultLimits()))
		seen := map[string]bool{}
		for _, x := range tokens {
			if x.Text == "" || len(x.Text) > 300 || !utf8.ValidString(x.Text) || seen[x.Text] || strings.ContainsAny(x.Text, " \n\r\t\x00") && !strings.HasPrefix(x.Text, "H") {
				t.Fatalf("token %q", x.Text)
			}
			seen[x.Text] = true
		}
		if len(tokens) > 8192 {
			t.Fatal(len(tokens))
		}
		again := learn.Tokens(mail.Parse(raw, mail.DefaultLimits()))
		if !slices.Equal(tokens, again) {
			t.Fatal("the same message has other tokens")
		}
	})
}
