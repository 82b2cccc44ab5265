package portal_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/aggregate"
	"postern/internal/mail"
	"postern/internal/postmaster"
)

// reportedPast is what receivers reported: about c1.example, in whose name two thousand addresses send each day, and about a thousand other domains; a million rows in all.
func (p *past) reportedPast(b *testing.B) {
	b.Helper()
	l, today := p.Reports(), time.Now().UTC().Truncate(24*time.Hour)
	if _, err := l.Overview(b.Context(), "c1.example", today.AddDate(0, 0, -28), today); err == nil {
		return // kept from before
	}
	any := func(mail.Domain) bool { return true }
	bring := func(name string, raw string) {
		got, err := l.Import(b.Context(), aggregate.Arrival{How: "upload", Name: name, Raw: []byte(raw)}, any)
		if must(b, err); got.Stored != 1 {
			b.Fatalf("%s: %+v", name, got)
		}
	}
	rows := number("POSTERN_BENCH_REPORTED", 1_000_000)
	report := func(domain string, from time.Time, days, sources, each int) string {
		var x strings.Builder
		fmt.Fprintf(&x, `<feedback><report_metadata><org_name>r%d.example</org_name><email>d@r.example</email><report_id>%s-%d</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata><policy_published><domain>%s</domain><p>none</p></policy_published>`,
			from.Unix()/86400%10, domain, from.Unix(), from.Unix(), from.AddDate(0, 0, days).Unix()-1, domain)
		for i := range sources {
			result := "fail"
			if i%50 == 0 {
				result = "pass"
			}
			fmt.Fprintf(&x, `<record><row><source_ip>%s</source_ip><count>%d</count><policy_evaluated><disposition>none</disposition><dkim>%s</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>%s</header_from></identifiers><auth_results><dkim><domain>%s</domain><selector>s1</selector><result>%s</result></dkim></auth_results></record>`,
				netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), each*(1+i%7), result, domain, domain, result)
		}
		return x.String() + "</feedback>"
	}
	for d := range 100 {
		at := today.AddDate(0, 0, -d-1)
		bring("many", report("c1.example", at, 1, rows/500, 1))
		bring("tls", fmt.Sprintf(`{"organization-name":"S%d","date-range":{"start-datetime":"%s","end-datetime":"%s"},"report-id":"%d","policies":[{"policy":{"policy-type":"sts","policy-domain":"c1.example"},"summary":{"total-successful-session-count":900,"total-failure-session-count":20},"failure-details":[{"result-type":"certificate-expired","receiving-mx-hostname":"mx%d.c1.example","failed-session-count":20}]}]}`,
			d%5, at.Format(time.RFC3339), at.AddDate(0, 0, 1).Add(-time.Second).Format(time.RFC3339), d, d))
	}
	for i := range 200 {
		bring("failure", fmt.Sprintf("From: ruf@r.example\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: auth-failure\r\nVersion: 1\r\nUser-Agent: x/1\r\nSource-IP: 192.0.2.%d\r\nReported-Domain: c1.example\r\nAuth-Failure: dmarc\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: x@c1.example\r\nMessage-ID: <%d@c1.example>\r\nReceived: from a by b; Sun, 1 Nov 2026 00:00:00 +0000\r\n\r\n--b--\r\n", i, i))
	}
	for i := range rows * 8 / 10 / (28 * 28) {
		bring("others", report(fmt.Sprintf("c%d.example", i+2), today.AddDate(0, 0, -28), 28, 28, 40))
	}
}

// sndsMillion is what Microsoft published: a million rows of three thousand addresses.
func (p *past) sndsMillion(b *testing.B) {
	b.Helper()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	if rows, err := p.Postmaster().Trend(b.Context(), netip.MustParseAddr("10.9.0.1"), today.AddDate(-1, 0, 0), today); err != nil || len(rows) > 0 {
		must(b, err)
		return
	}
	each := number("POSTERN_BENCH_SNDS", 1_000_000) / 330
	for d := range 330 {
		var file strings.Builder
		from := today.AddDate(0, 0, -d-2)
		for i := range each {
			ip := netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})
			fmt.Fprintf(&file, "%s,%s 12:00 AM,%s 12:00 AM,1000,990,900,%s,0.1%%,,,0,,,\n", ip, from.Format("1/2/2006"), from.AddDate(0, 0, 1).Format("1/2/2006"), []string{"GREEN", "YELLOW", "RED"}[(i+d)%3])
		}
		_, err := p.Postmaster().Import(b.Context(), []byte(file.String()), "bench")
		must(b, err)
	}
}

// gmailPast is what Gmail published of a thousand domains: seven hundred thousand figures.
func (p *past) gmailPast(b *testing.B) {
	b.Helper()
	today := time.Now().UTC().Truncate(24 * time.Hour)
	if all, err := p.Postmaster().Domains(b.Context()); err != nil || len(all) > 1 {
		must(b, err)
		return
	}
	for i := range number("POSTERN_BENCH_GMAIL", 1000) {
		domain := fmt.Sprintf("c%d.example", i+1)
		var figures []postmaster.Figure
		for d := range 100 {
			for _, m := range postmaster.Metrics() {
				figures = append(figures, postmaster.Figure{Domain: domain, Day: today.AddDate(0, 0, -d-2), Metric: m, Value: .9})
			}
		}
		must(b, p.Postmaster().PutGmail(b.Context(), domain, figures, []postmaster.Demand{{Domain: domain, Name: "spf", State: postmaster.NeedsWork}, {Domain: domain, Name: "tls", State: postmaster.Compliant}}))
	}
}
