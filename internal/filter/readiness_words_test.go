package filter

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/internal/dns"
	"postern/internal/locale"
	"postern/internal/mail"
)

// TestCardsAsJSON: cards survive being stored, are small, and what a later version stored is not lost.
func TestCardsAsJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]readyCase{"good": {mail: bulkMail, signer: "shop.example"}, "bad": {mail: bulkMail, from: "x@nowhere.example"}} {
		v := c.run(t)
		text, err := json.Marshal(v.Providers)
		if err != nil {
			t.Fatal(err)
		}
		var back Cards
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		for i, r := range v.Providers {
			if fmt.Sprintf("%+v", back[i]) != fmt.Sprintf("%+v", r) {
				t.Errorf("%s:\n got %+v\nwant %+v", name, back[i], r)
			}
		}
		if len(text) > 4500 {
			t.Errorf("%s: %d bytes: %s", name, len(text), text)
		}
		t.Logf("%s: %d bytes", name, len(text))
	}
	var v Verdict
	if err := json.Unmarshal([]byte(`{"score":1}`), &v); err != nil || v.Providers != nil {
		t.Errorf("a verdict without cards: %v, %v", v.Providers, err)
	}
	if text, err := json.Marshal(v); err != nil || strings.Contains(string(text), "providers") {
		t.Errorf("no cards: %s, %v", text, err)
	}
	later := `{"bulk":"moon","found":{"new_need":{"why":"new_why","evidence":"x"}},"cards":[{"provider":"newmail","state":"odd","needs":{"odd":["new_need"],"met":["spf"]}},` +
		`{"provider":"google","state":"mend","needs":{"missing":["new_need","spf"]}}]}`
	var cards Cards
	if err := json.Unmarshal([]byte(later), &cards); err != nil || len(cards) != 2 || len(cards[0].Requirements) != 2 || cards[1].Requirements[1].Evidence != "x" {
		t.Errorf("got %+v, %v", cards, err)
	}
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	if words := ExplainCards(catalog, "fr", cards); words[0].Name != "newmail" || words[1].Items[0].Name != "SPF validé" {
		t.Errorf("got %+v", words)
	}
	for _, broken := range []string{`{"cards":[{}]}`, `{"cards":null}`, `{"cards":[{"needs":null,"provider":"google"}]}`, `{}`, `null`} {
		if err := json.Unmarshal([]byte(broken), &cards); err != nil {
			t.Errorf("%s: %v", broken, err)
		}
		ExplainCards(catalog, "en", cards)
	}
	if err := json.Unmarshal([]byte(`[1]`), &cards); err == nil {
		t.Error("cards of another form were read")
	}
}

// TestProvidersTable: the table is whole, and every provider's requirements can be told of in both languages.
func TestProvidersTable(t *testing.T) {
	t.Parallel()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, p := range Providers() {
		if p.Key == "" || p.Name == "" || p.Read < "2026-01" || len(p.MX) == 0 || !slices.Contains([]Basis{BasisPage, BasisCopy, BasisOthers}, p.Basis) ||
			(p.URL == "") != (p.Basis == BasisOthers) || p.URL != "" && !strings.HasPrefix(p.URL, "https://") {
			t.Errorf("%s: %+v", p.Key, p)
		}
		for _, d := range p.Domains {
			if other := seen[string(d)]; other != "" {
				t.Errorf("%s belongs to %s and %s", d, other, p.Key)
			}
			if seen[string(d)] = p.Key; !p.Takes(d, nil) {
				t.Errorf("%s does not take %s", p.Key, d)
			}
		}
		for _, host := range p.MX {
			if !p.Takes("company.example", []string{"MX." + host + "."}) || p.Takes("company.example", []string{"not" + host, host + ".example"}) {
				t.Errorf("%s: exchanger %s", p.Key, host)
			}
		}
		ids := map[string]bool{}
		for _, r := range p.Requirements {
			if ids[r.ID] {
				t.Errorf("%s asks %s twice", p.Key, r.ID)
			}
			ids[r.ID] = true
			keys := []string{"readiness.need." + r.ID, "readiness.scope." + string(r.For), "readiness.source." + string(p.Basis)}
			if r.Effect == EffectNote {
				keys = append(keys, "readiness.note."+p.Key+"."+r.ID)
			} else {
				keys = append(keys, "readiness.effect."+string(r.Effect))
			}
			for _, key := range keys {
				if !catalog.Has(key) {
					t.Errorf("no text %s", key)
				}
			}
		}
	}
}

// TestWordsOfCards: whatever is not met is explained, with what to do, and without a value that is missing.
func TestWordsOfCards(t *testing.T) {
	t.Parallel()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	silent := answers(func(context.Context, string, dns.Type) dns.Answer {
		return dns.Answer{Status: dns.TryLater, Err: dns.ErrTimeout}
	})
	for name, c := range map[string]readyCase{"good": {mail: bulkMail, signer: "shop.example"}, "bad": {mail: bulkMail, from: "x@nowhere.example", tls: TLSNever},
		"single": {mail: singleMail, to: []string{"a@sfr.fr", "b@free.fr", "c@icloud.com"}}, "silent": {mail: bulkMail, signer: "shop.example", resolver: silent},
		"unaligned": {mail: bulkMail, signer: "sender.example", from: "b@sender.example", zone: [2]string{"; rua=mailto:dmarc@shop.example", ""}}} {
		v := c.run(t)
		for _, lang := range locale.Languages() {
			gap := catalog.Text(lang, "test.unknown", nil)
			for _, card := range ExplainCards(catalog, lang, v.Providers) {
				if card.Word == "" || card.Sentence == "" || card.Bulk == "" || card.Source == "" || strings.Contains(card.Sentence, "?") {
					t.Errorf("%s %s: %+v", name, lang, card)
				}
				for _, i := range card.Items {
					all := i.Name + i.Found + i.Fix + i.Asked
					if i.Name == i.ID || strings.Contains(all, gap) || strings.Contains(all, "{{") || strings.Contains(all, "no value") {
						t.Errorf("%s %s %s: %+v", name, lang, card.Provider, i)
					}
					if (i.State == Missing || i.State == Advised) && (i.Found == "" || i.Fix == "") {
						t.Errorf("%s %s: nothing is said of %s", lang, card.Provider, i.Why)
					}
					if i.State == NotKnown && i.Found == "" {
						t.Errorf("%s %s: unknown without a reason: %+v", lang, card.Provider, i)
					}
				}
			}
		}
	}
}

// FuzzCards: what is stored is read without harm, and reads the same when it is stored again.
func FuzzCards(f *testing.F) {
	f.Add([]byte(`{"bulk":"list_id","found":{"spf":{"why":"spf_fail","evidence":"x","args":{"Domain":"a"}}},"cards":[{"provider":"google","state":"mend","recipients":1,` +
		`"needs":{"missing":["spf"],"met":["tls"]}}]}`))
	f.Add([]byte(`{"cards":[{"provider":"x","needs":{"":["",""]}},{}]}`))
	f.Add([]byte(`null`))
	catalog, err := locale.New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var cards, again Cards
		if json.Unmarshal(text, &cards) != nil {
			return
		}
		ExplainCards(catalog, "fr", cards)
		stored, err := json.Marshal(cards)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(stored, &again); err != nil || len(again) != len(cards) {
			t.Fatalf("%v: %s", err, stored)
		}
		if once, err := json.Marshal(again); err != nil || string(once) != string(stored) {
			t.Fatalf("%v:\n%s\n%s", err, stored, once)
		}
	})
}

// FuzzUnsubscribe: addresses of any field and texts of any kind are read within bounds.
func FuzzUnsubscribe(f *testing.F) {
	f.Add("<https://a.example/x>, <mailto:b@c.example>", "text/html", `<a href="https://a.example/x?y">Leave</a>`)
	f.Add("<<>><:>", "text/plain", "To unsubscribe: www.a.example/é")
	f.Fuzz(func(t *testing.T, field, kind, body string) {
		if n := len(unsubscribeAddresses(field)); n > 8 {
			t.Fatalf("%d addresses", n)
		}
		m := mail.Parse([]byte("List-Unsubscribe: "+field+"\r\nContent-Type: "+kind+"\r\n\r\n"+body), mail.DefaultLimits())
		s := &scan{Input: Input{Message: m}, settings: &settings{}}
		s.bodyLinkFound()
		s.formFound()
		bulkMark(m, 1)
	})
}
