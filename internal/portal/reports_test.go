package portal_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"postern/internal/aggregate"
	"postern/internal/mail"
	"postern/internal/user"
)

// reportAbout is a DMARC report about a day some days ago: good mail from one source, and an unknown one.
func reportAbout(reporter, domain string, daysAgo int) []byte {
	begin := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -daysAgo)
	return fmt.Appendf(nil, `<feedback><report_metadata><org_name>%s</org_name><email>d@r.example</email><report_id>%s-%d</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>
<policy_published><domain>%s</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>90</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row><identifiers><header_from>%s</header_from></identifiers>
<auth_results><dkim><domain>%s</domain><selector>s1</selector><result>pass</result></dkim></auth_results></record>
<record><row><source_ip>198.51.100.7</source_ip><count>7</count><policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>%s</header_from></identifiers><auth_results/></record></feedback>`,
		reporter, reporter, begin.Unix(), begin.Unix(), begin.Unix()+86399, domain, domain, domain, domain)
}

// reported brings reports about a domain in: DMARC of some days, TLS, and one that cannot be read.
func reported(t testing.TB, l *aggregate.Ledger, domain, reporter string) {
	t.Helper()
	all := func(mail.Domain) bool { return true }
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	tls := fmt.Sprintf(`{"organization-name":%q,"date-range":{"start-datetime":"%sT00:00:00Z","end-datetime":"%sT23:59:59Z"},"report-id":"t","policies":[{"policy":{"policy-type":"sts","policy-domain":%q},
"summary":{"total-successful-session-count":90,"total-failure-session-count":10},"failure-details":[{"result-type":"certificate-expired","receiving-mx-hostname":"mx.example","failed-session-count":10}]}]}`, reporter, yesterday, yesterday, domain)
	raws := [][]byte{[]byte(tls)}
	for _, n := range []int{1, 2, 4} {
		raws = append(raws, reportAbout(reporter, domain, n))
	}
	for _, raw := range raws {
		if out, err := l.Import(t.Context(), aggregate.Arrival{How: "upload", Raw: raw}, all); err != nil || out.Fault != "" {
			t.Fatal(err, out.Fault)
		}
	}
	if err := l.Put(t.Context(), aggregate.Arrival{How: "mail", Sender: reporter, Raw: []byte("From: a@b.example\r\nSubject: hi\r\n\r\nhello " + reporter + "\r\n")}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { // the gateway reads it, now or in a moment
		if waiting, err := l.Unread(t.Context(), "", 100); err != nil || time.Now().After(end) {
			t.Fatal("never read", err)
		} else if len(waiting) > 0 {
			return
		}
	}
}

func TestReportPages(t *testing.T) {
	t.Parallel()
	g := start(t)
	reported(t, g.Reports(), "shop.example.test", "big.example")
	reported(t, g.Reports(), "boutique.example.test", "other.example")
	if err := g.Reports().Judge(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := g.as(t, user.CustomerAdmin, "shop")
	page := c.get(t, "/c/shop/reports")
	expect(t, page, "shop.example.test", "3 of 28 days", "291")
	if strings.Contains(page, "boutique") {
		t.Error("a customer sees another's domain")
	}
	page = c.get(t, "/c/shop/reports/shop.example.test")
	expect(t, page, "Too little is known", "198.51.100.7", "unknown", "alarming", "It is not mine", "big.example", "certificate-expired", "renew it", "3 of 28 days", "To look at", "TLS sessions with your servers fail: 10 of 100")
	expect(t, c.get(t, "/c/shop/reports/shop.example.test/source?ip=198.51.100.7"), "fails", "delivered")
	page = c.must(t, "/c/shop/reports/shop.example.test/mark", url.Values{"source": {"198.51.100.7"}, "mark": {"foreign"}})
	expect(t, page, "Noted about 198.51.100.7", "not yours")
	for _, path := range []string{"/c/shop/reports/boutique.example.test", "/c/shop/reports/boutique.example.test/source?ip=192.0.2.1", "/c/shop/reports/nothing.example.test", "/c/boutique/reports", "/o/reports", "/o/reports/shop.example.test"} {
		if a := c.ask(t, "GET", path, nil); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := c.upload(t, "/c/shop/reports", "", string(reportAbout("big.example", "boutique.example.test", 6))); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "none of your domains") {
		t.Error(a.status)
	}
	if a := c.upload(t, "/c/shop/reports", "", "hello"); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "no report that is known") {
		t.Error(a.status)
	}
	if a := c.upload(t, "/c/shop/reports", "", string(reportAbout("big.example", "shop.example.test", 6))); a.status != http.StatusSeeOther {
		t.Error(a.status)
	}
	o := g.as(t, user.Operator, "")
	page = o.get(t, "/o/reports")
	expect(t, page, "shop.example.test", "boutique.example.test", "Not counted", "this is no report", "other.example", "Forget")
	expect(t, o.get(t, "/o/reports/shop.example.test?lang=fr"), "On en sait trop peu", "inconnus")
	unread, err := g.Reports().Unread(t.Context(), "", 1)
	if err != nil || len(unread) != 1 {
		t.Fatal(len(unread), err)
	}
	id := unread[0].ID
	file := o.ask(t, "GET", "/o/reports/"+id+"/file", nil)
	if file.status != http.StatusOK || !strings.Contains(file.body, "hello ") || file.header.Get("Content-Type") != "application/octet-stream" || file.header.Get("X-Content-Type-Options") != "nosniff" ||
		file.header.Get("Content-Disposition") != `attachment; filename="report-`+id+`.bin"` || !strings.Contains(file.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%d %v", file.status, file.header)
	}
	expect(t, o.must(t, "/o/reports/again", url.Values{"id": {id}}), "still cannot be read")
	expect(t, o.must(t, "/o/reports/again", nil), "They are read again: 2.")
	for _, x := range []*client{c, g.as(t, user.CustomerReader, "shop")} {
		if a := x.ask(t, "GET", "/o/reports/"+id+"/file", nil); a.status == http.StatusOK {
			t.Errorf("%s has the bytes", x.user.Role)
		}
	}
	reader := g.as(t, user.CustomerReader, "shop")
	if page := reader.get(t, "/c/shop/reports/shop.example.test"); strings.Contains(page, "It is not mine") {
		t.Error("a reader is offered acts")
	}
}

// TestUnprovenReportsAreMarked: figures that nobody vouches for are shown, and said to be so.
func TestUnprovenReportsAreMarked(t *testing.T) {
	t.Parallel()
	g := start(t)
	l := g.Reports()
	raw := append([]byte("From: noreply@big.example.test\r\nSubject: Report\r\nContent-Type: text/xml\r\n\r\n"), reportAbout("big.example.test", "shop.example.test", 2)...)
	if err := l.Put(t.Context(), aggregate.Arrival{How: "mail", Raw: raw}); err != nil {
		t.Fatal(err)
	}
	c, o := g.as(t, user.CustomerAdmin, "shop"), g.as(t, user.Operator, "")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { // the gateway reads it, now or in a moment
		now := time.Now()
		if o, err := l.Overview(t.Context(), "shop.example.test", now.AddDate(0, 0, -27), now); err == nil && len(o.Sources) == 2 {
			break
		} else if now.After(end) {
			t.Fatal("never read", err)
		}
	}
	expect(t, c.get(t, "/c/shop/reports"), "of which 97 not authenticated")
	page := c.get(t, "/c/shop/reports/shop.example.test")
	expect(t, page, "97 of these messages are told by reports whose mail is not authenticated", "90 of the messages not authenticated", "7 of the messages not authenticated", "of which 97 not authenticated", "Too little is known")
	if strings.Contains(page, "alarming") {
		t.Error("what nobody vouches for alarms")
	}
	expect(t, c.get(t, "/c/shop/reports/shop.example.test?lang=fr"), "97 de ces messages viennent de rapports dont l", "7 des messages non authentifiés")
	expect(t, o.get(t, "/o/reports"), "Not authenticated")
	if _, err := l.Import(t.Context(), aggregate.Arrival{How: "upload", Raw: raw}, nil); err != nil { // the operator trusts it
		t.Fatal(err)
	}
	if page := c.get(t, "/c/shop/reports/shop.example.test"); strings.Contains(page, "not authenticated") || !strings.Contains(page, "97 messages were reported") {
		t.Error("given by a person, and yet marked")
	}
}
