package portal_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"postern/internal/filter"
	"postern/internal/spool"
)

// finding is one requirement of a card.
func finding(id string, state filter.State, why, evidence string, args map[string]string) filter.Finding {
	return filter.Finding{ID: id, State: state, Why: why, Evidence: evidence, Args: args}
}

// cards are those of a newsletter without DKIM and without one-click, to Orange and Gmail; one name server does not answer.
func cards() filter.Cards {
	spf := finding(filter.NeedSPF, filter.Met, "", "shop.example.test from 192.0.2.25: pass (ip4:192.0.2.25)", nil)
	either := spf
	either.ID = filter.NeedSPFOrDKIM
	dkim := finding(filter.NeedDKIM, filter.Missing, "dkim_unpublished", "r1._domainkey.shop.example.test", map[string]string{"Domain": "shop.example.test",
		"Name": "r1._domainkey.shop.example.test", "Record": "v=DKIM1; k=rsa; p=" + strings.Repeat("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A", 12) + "IDAQAB"})
	dmarc := finding(filter.NeedDMARC, filter.Met, "", "_dmarc.shop.example.test: v=DMARC1; p=none", nil)
	pass := finding(filter.NeedDMARCPass, filter.Met, "", "From shop.example.test: SPF aligned, DKIM not aligned", nil)
	rua := finding(filter.NeedDMARCReports, filter.Missing, "dmarc_no_rua", dmarc.Evidence, map[string]string{"PolicyDomain": "shop.example.test",
		"Suggested": "v=DMARC1; p=none; rua=mailto:dmarc@shop.example.test"})
	ptr := finding(filter.NeedPTR, filter.Met, "", "192.0.2.25 PTR gate.example.test", nil)
	hello := finding(filter.NeedHello, filter.NotKnown, "dns", "addresses of gate.example.test: no answer", nil)
	tls := finding(filter.NeedTLS, filter.Met, "tls_offered", "", nil)
	form := finding(filter.NeedForm, filter.Met, "", "", nil)
	click := finding(filter.NeedOneClick, filter.Missing, "no_unsubscribe_post", "List-Unsubscribe: <https://shop.example.test/leave?"+strings.Repeat("averylongtoken", 8)+">", nil)
	link := finding(filter.NeedBodyLink, filter.Met, "", "Se désinscrire https://shop.example.test/leave", nil)
	id := finding(filter.NeedFeedbackID, filter.Missing, "no_feedback_id", "", nil)
	advised := func(f filter.Finding) filter.Finding { f.State = filter.Advised; return f }
	note := func(id string) filter.Finding { return finding(id, filter.NotKnown, id, "", nil) }
	aligned := pass
	aligned.ID = filter.NeedAligned
	return filter.Cards{
		{Provider: "orange", State: filter.Refused, Recipients: 2, Bulk: "list_unsubscribe", Requirements: []filter.Finding{spf, dkim, dmarc, pass, ptr, hello, form, tls, click, id,
			note(filter.NeedComplaintRate), note(filter.NeedConsent), note(filter.NeedLimits)}},
		{Provider: "google", State: filter.ToMend, Recipients: 1, Bulk: "list_unsubscribe", Requirements: []filter.Finding{either, ptr, tls, form, spf, dkim, dmarc, pass, click, link,
			advised(id), note(filter.NeedComplaintRate)}},
		{Provider: "yahoo", State: filter.ToMend, Bulk: "list_unsubscribe", Requirements: []filter.Finding{either, ptr, form, spf, dkim, dmarc, pass, advised(rua), click, link}},
		{Provider: "microsoft", State: filter.NotKnown, Bulk: "list_unsubscribe", Requirements: []filter.Finding{ptr, form, finding(filter.NeedDKIMKey, filter.NotKnown, "dns", "the key of d=shop.example.test is not available now", nil), link}},
		{Provider: "laposte", State: filter.ToMend, Bulk: "list_unsubscribe", Requirements: []filter.Finding{ptr, aligned, dmarc, rua, advised(dkim), note(filter.NeedLimits)}},
		{Provider: "free", State: filter.NotKnown, Recipients: 1, Bulk: "list_unsubscribe", Requirements: []filter.Finding{note(filter.NeedAddresses)}},
		{Provider: "apple", State: filter.Ready, Bulk: "list_unsubscribe", Requirements: []filter.Finding{ptr, form, link}},
	}
}

func carded(g *gateway, t *testing.T, c filter.Cards) string {
	v := verdict(filter.Hit{Test: "DKIM_NONE", Points: 3.5, Args: map[string]string{"Domain": "shop.example.test"}})
	v.Providers = c
	return g.link(g.put(t, spool.Message{Subject: "News of November", HeaderFrom: "news@shop.example.test"}, v))
}

// TestProviderCards: each card says its state and what is missing; what is to mend stands once, with the record to copy and who asks it.
func TestProviderCards(t *testing.T) {
	t.Parallel()
	g := start(t)
	at := carded(g, t, cards())
	page := g.get(t, at+"?lang=en")
	expect(t, page, "What the providers ask", "Refusal likely", "2 recipients of this message", "Orange will probably refuse this message. 3 points are not met.",
		"has a List-Unsubscribe field", "r1._domainkey.shop.example.test</code>", "v=DMARC1; p=none; rua=mailto:dmarc@shop.example.test", "Asked by Orange, Gmail and Yahoo.",
		"Advised by La Poste.", "postmaster.orange.fr", "5,000 messages a day", "Free publishes no rule", "1 point could not be measured")
	expect(t, g.get(t, at+"?lang=fr"), "Ce que demandent les fournisseurs", "Rejet probable", "2 destinataires de ce message", "Demandé par Orange, Gmail et Yahoo.",
		"5\u202f000 messages par jour", "est restée sans réponse")
	if n := strings.Count(page, `id="mend-t-dkim_unpublished"`); n != 1 {
		t.Errorf("what to do about DKIM stands %d times", n)
	}
	if n := strings.Count(page, `href="#mend-t-dkim_unpublished"`); n != 3 {
		t.Errorf("%d cards lead to DKIM, want 3", n)
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("id %s stands twice", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !ids[m[1]] {
			t.Errorf("#%s leads nowhere", m[1])
		}
	}
	if orange, yahoo := strings.Index(page, "provider-t-orange"), strings.Index(page, "provider-t-yahoo"); orange < 0 || yahoo < orange {
		t.Errorf("the recipients' cards are not first: %d, %d", orange, yahoo)
	}
	old := g.get(t, carded(g, t, nil))
	expect(t, old, "!What the providers ask", "!Ce que demandent les fournisseurs")
}

// TestHostileCards: whatever stored cards hold, the page's elements are the same as with harmless texts.
func TestHostileCards(t *testing.T) {
	t.Parallel()
	g := start(t)
	fill := func(text string) filter.Cards {
		args := map[string]string{}
		for _, k := range []string{"Domain", "IP", "Hello", "Name", "Record", "Suggested", "Mechanisms", "PolicyDomain", "Sender"} {
			args[k] = text
		}
		c := filter.Cards{{Provider: text, State: filter.State(text), Recipients: 1, Bulk: "x", Requirements: []filter.Finding{finding(text, filter.State(text), text, text, args)}}}
		for _, p := range filter.Providers() {
			r := filter.Readiness{Provider: p.Key, State: filter.Refused, Bulk: "x"}
			for i, q := range p.Requirements {
				why := []string{"spf_fail", "dkim_unpublished", "dmarc_no_rua", "no_unsubscribe_post", "helo_no_name", "dmarc_fail"}[i%6]
				r.Requirements = append(r.Requirements, finding(q.ID, []filter.State{filter.Missing, filter.Advised, filter.Met}[i%3], why, text, args))
			}
			c = append(c, r)
		}
		return c
	}
	harmless, harmful := carded(g, t, fill(strings.Repeat("word", len(polyglot)/4))), carded(g, t, fill(polyglot))
	for _, lang := range []string{"en", "fr"} {
		page := g.get(t, harmful+"?lang="+lang)
		if want, got := skeleton(t, g.get(t, harmless+"?lang="+lang)), skeleton(t, page); !reflect.DeepEqual(want, got) {
			for i := range min(len(want), len(got)) {
				if want[i] != got[i] {
					t.Fatalf("%s: element %d is %q, want %q", lang, i, got[i], want[i])
				}
			}
			t.Errorf("%s: %d elements, want %d", lang, len(got), len(want))
		}
		for _, bad := range []string{"\u202e", "<img src=x", "</scRipt/"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page holds %q", lang, bad)
			}
		}
	}
	var c filter.Cards
	if err := json.Unmarshal([]byte(`{"cards":[{"provider":"google"},{}]}`), &c); err != nil {
		t.Fatal(err)
	}
	expect(t, g.get(t, carded(g, t, c)), "Gmail")
}

// TestCardsLook: the cards are no wider than the screen, folded and unfolded, in both languages and schemes, without a script.
func TestCardsLook(t *testing.T) {
	t.Parallel()
	b := browse(t, false)
	g := start(t)
	at := carded(g, t, cards())
	for _, width := range []int64{1200, 375, 320} {
		for _, lang := range []string{"en", "fr"} {
			for _, colours := range []string{"light", "dark"} {
				if width == 320 && colours == "dark" {
					continue
				}
				b.do(t, size(width, 800), scheme(colours), chromedp.Navigate(g.base+at+"?"+url.Values{"lang": {lang}}.Encode()))
				label := fmt.Sprintf("cards-%s-%s-%d", lang, colours, width)
				b.fits(t, label)
				b.shoot(t, label, true)
				b.do(t, chromedp.Click(chromedp.CSS("#provider-t-orange summary")), chromedp.Click(chromedp.CSS("#mend-t-dkim_unpublished summary")),
					chromedp.Click(chromedp.CSS("#mend-t-no_unsubscribe_post summary")))
				b.fits(t, label+"-open")
				b.shoot(t, label+"-open", true)
			}
		}
	}
	b.quiet(t, g.base)
}
