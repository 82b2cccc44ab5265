package portal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/suppression"
	"postern/internal/user"
)

// TestSenderLooks looks at the pages of a sender, with mail as people write it: nothing is wider than the screen, and readers by ear find their way.
func TestSenderLooks(t *testing.T) {
	t.Parallel()
	b := browse(t, false)
	g := start(t)
	admin := g.as(t, user.CustomerAdmin, "shop")
	_ = g.put(t, spool.Message{Subject: "Votre facture n° 2026-1187 du 20 novembre", HeaderFrom: "Boulangerie Martin <factures@shop.example.test>"}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5, Args: map[string]string{"Domain": "shop.example.test", "IP": "127.0.0.1", "Suggested": "v=spf1 ip4:127.0.0.1 ~all"}}, filter.Hit{Test: "DMARC_MISSING", Points: 0.5}))
	_ = g.put(t, spool.Message{Subject: "Soldes d’automne : -30 % sur toute la boutique jusqu’à dimanche, livraison offerte", HeaderFrom: "La Boutique <news@shop.example.test>", Envelope: mail.Envelope{ReversePath: address(t, "news@shop.example.test"), Recipients: []mail.Recipient{{Address: address(t, "jean-baptiste.de-la-tour@receiver.example.test")}, {Address: address(t, "b@receiver.example.test")}}}}, verdict(filter.Hit{Test: "MIME_HTML_ONLY", Points: 1.1}, filter.Hit{Test: "DOMAIN_LISTED", Points: 4}))
	id := g.put(t, spool.Message{Subject: "Password reset for your account", HeaderFrom: "Accounts <accounts@shop.example.test>"}, light)
	now := time.Now()
	letter := spool.Message{ID: mail.NewQueueID(now), Customer: "shop", Received: now, Expires: now.Add(90 * time.Hour), Subject: "Compte rendu du conseil d’administration", HeaderFrom: "Marie Lefèvre <marie@shop.example.test>",
		Envelope: mail.Envelope{ReversePath: address(t, "marie@shop.example.test"), Recipients: []mail.Recipient{{Address: address(t, "paul@slow.example.test")}}}}
	letter.Body = []byte("From: Marie =?utf-8?q?Lef=C3=A8vre?= <marie@shop.example.test>\r\nTo: paul@nowhere.example.test\r\nSubject: Compte rendu\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBonjour Paul,\r\n\r\nvoici le compte rendu.\r\n\r\n  - point 1\r\n  - point 2\r\n\r\nMarie\r\n--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"compte-rendu.pdf\"\r\n\r\nxxxx\r\n--b--\r\n")
	letter.Size = int64(len(letter.Body))
	if err := g.dns.Set(zone(broken + "slow 300 IN MX 10 far\nfar 300 IN A 127.0.0.9\n")); err != nil {
		t.Fatal(err)
	}
	if err := g.Spool().Put(t.Context(), &letter); err != nil {
		t.Fatal(err)
	}
	if err := g.Journal().Append(t.Context(), journal.Fact{Kind: journal.Accepted, QueueID: letter.ID, Customer: "shop", Subject: letter.Subject, HeaderFrom: letter.HeaderFrom, Recipient: "paul@slow.example.test"}); err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for i, k := range []journal.Kind{journal.Delivered, journal.Bounced, journal.Deferred, journal.Delivered} {
		q := mail.NewQueueID(now.Add(-time.Duration(i) * time.Hour))
		ids = append(ids, string(q))
		detail := journal.EncodeBrief(0.3, 3, func(yield func(string, float64) bool) {
			_ = yield("SPF_PASS", -0.001) && yield("DKIM_VALID", -0.1) && (i > 0 || yield("DMARC_MISSING", 0.5)) && yield("MISSING_MID", 0.5)
		})
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		must(g.Journal().Append(t.Context(), journal.Fact{Kind: journal.Accepted, At: now.Add(-time.Duration(i) * time.Hour), QueueID: q, Customer: "shop", Subject: []string{"Votre commande 4711 est expédiée", "Invitation à l’assemblée générale", "Your invoice", "Newsletter novembre"}[i], HeaderFrom: "contact@shop.example.test", Recipient: []string{"anne@orange.fr", "inconnu@free.fr", "bob@gmail.com", "zoe@outlook.com"}[i], Detail: detail},
			journal.Fact{Kind: k, At: now.Add(-time.Duration(i)*time.Hour + time.Minute), QueueID: q, Customer: "shop", Recipient: []string{"anne@orange.fr", "inconnu@free.fr", "bob@gmail.com", "zoe@outlook.com"}[i], Host: []string{"smtp-in.orange.fr[193.252.22.65]", "mx1.free.fr[212.27.48.6]", "gmail-smtp-in.l.google.com[142.250.1.27]", "outlook-com.olc.protection.outlook.com[52.101.8.36]"}[i], Code: []int{250, 550, 421, 250}[i], Enhanced: "", Text: []string{"250 OK queued", "550 5.1.1 <inconnu@free.fr>: Recipient address rejected: User unknown", "421-4.7.28 Our system has detected an unusual rate of unsolicited mail", "250 2.6.0 Queued mail for delivery"}[i], Attempt: 1, NextAt: now.Add(time.Hour), Provider: []string{"orange", "free", "google", "microsoft-consumer"}[i]}))
	}
	for _, e := range []suppression.Entry{{Customer: "shop", Address: address(t, "inconnu@free.fr"), Reason: suppression.UnknownUser, By: "rule", Evidence: suppression.Evidence{Code: 550, Text: "550 5.1.1 <inconnu@free.fr>: Recipient address rejected: User unknown", Host: "mx1.free.fr[212.27.48.6]", QueueID: mail.QueueID(ids[1])}},
		{Customer: "shop", Address: address(t, "jean.dupont@wanadoo.fr"), Reason: suppression.Complaint, By: "recipient", Evidence: suppression.Evidence{}}, {Customer: "shop", Address: mail.Address{Domain: "fermee.example.org"}, Reason: suppression.BySender, By: "sender:x", Note: "Société fermée"}} {
		if _, err := g.Suppression().AddAll(t.Context(), []suppression.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = g.Accounts().AddEntry(t.Context(), account.Entry{Scope: "shop", Own: true, Kind: account.Allow, What: account.WhatFrom, Value: "rapports@shop.example.test", Until: now.AddDate(0, 2, 0), Note: "Rapports de nuit"})
	_, _ = g.Accounts().AddEntry(t.Context(), account.Entry{Scope: "shop", Kind: account.Deny, What: account.WhatToDomain, Value: "example.net", Note: "Liste achetée"})
	name, secret, _ := strings.Cut(admin.cookie, "=")
	b.do(t, call(network.SetCookie, network.SetCookieParams{Name: name, Value: secret, URL: g.base}))
	looks := []struct {
		width        int64
		lang, colour string
	}{{1280, "fr", "light"}, {375, "en", "dark"}}
	for _, p := range [][2]string{
		{"held", "/c/shop/held"}, {"held-sure", "/c/shop/held/delete?id=" + string(id)}, {"messages", "/c/shop/messages"}, {"message", "/c/shop/messages/" + string(id)}, {"waiting", "/c/shop/messages/" + string(letter.ID)},
		{"text", "/c/shop/messages/" + string(letter.ID) + "/text"}, {"suppression", "/c/shop/suppression"}, {"suppressed", "/c/shop/suppression/address?address=inconnu@free.fr"}, {"allow", "/c/shop/allow"},
		{"providers", "/c/shop/providers"}, {"settings", "/c/shop/settings"}, {"trust", "/c/shop/trust"}, {"help-tests", "/help/tests"}, {"help-test", "/help/tests/SPF_FAIL"}, {"help-providers", "/help/providers"},
		{"help-provider", "/help/providers/orange"}, {"help-sender", "/help/sender"},
	} {
		for _, x := range looks {
			sep := "?"
			if strings.Contains(p[1], "?") {
				sep = "&"
			}
			b.do(t, size(x.width, 900), scheme(x.colour), chromedp.Navigate(g.base+p[1]+sep+"lang="+x.lang))
			label := "sender-" + p[0] + "-" + x.lang + "-" + x.colour
			b.fits(t, label)
			page := get(t, b, chromedp.OuterHTML(chromedp.CSS("html")))
			accessible(t, page)
			if m := untranslated.FindString(page); m != "" {
				t.Errorf("%s: text is missing: %q", label, m)
			}
			b.shoot(t, label, true)
		}
	}
}
