package app_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/aggregate"
	"postern/internal/app"
	"postern/internal/dkim"
)

// dailyReport is what one receiver saw in the name of customer.test some days ago.
func dailyReport(id string, daysAgo, passed, strangers int) string {
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -daysAgo)
	return fmt.Sprintf(`<feedback><report_metadata><org_name>big.test</org_name><email>dmarc@big.test</email><report_id>%s</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>
<policy_published><domain>customer.test</domain><p>none</p></policy_published>
<record><row><source_ip>127.0.0.1</source_ip><count>%d</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row><identifiers><header_from>customer.test</header_from></identifiers><auth_results/></record>
<record><row><source_ip>198.51.100.7</source_ip><count>%d</count><policy_evaluated><disposition>none</disposition><dkim>fail</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>customer.test</header_from></identifiers><auth_results/></record></feedback>`,
		id, day.Unix(), day.Unix()+86399, passed, strangers)
}

// reportMail puts reports into one mail of big.test, signed where there is a key.
func reportMail(t *testing.T, key *dkim.Key, reports ...string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("From: noreply@big.test\r\nTo: dmarc@reports.test\r\nSubject: Report domain: customer.test\r\nDate: " + time.Now().Format(time.RFC1123Z) + "\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for _, r := range reports {
		b.WriteString("--b\r\nContent-Type: text/xml\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		text := base64.StdEncoding.EncodeToString([]byte(r))
		for len(text) > 76 {
			b.WriteString(text[:76] + "\r\n")
			text = text[76:]
		}
		b.WriteString(text + "\r\n")
	}
	b.WriteString("--b--\r\n")
	if key == nil {
		return b.String()
	}
	head, err := dkim.Sign([]byte(b.String()), []dkim.Key{*key}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return string(head) + b.String()
}

// TestReportsOverSMTP: a report that nobody vouches for is taken at the door and shown, and changes neither advice nor alarms, until the operator lets it; one that its
// reporter signed does.
func TestReportsOverSMTP(t *testing.T) {
	t.Parallel()
	key, err := dkim.GenerateKey("big.test", "s1", dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	gate := func(t *testing.T, setting string) *app.App {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o700); err != nil {
			t.Fatal(err)
		}
		text := "listen: {bounces: \"127.0.0.1:2526\"}\nreports: {address: dmarc@reports.test" + setting + "}\n"
		if err := os.WriteFile(filepath.Join(dir, "conf.d", "50.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, _, dns, _ := gatewayIn(t, dir, customer)
		if err := dns.Set(zone + fmt.Sprintf("$ORIGIN .\n_dmarc.big.test. 60 IN TXT \"v=DMARC1; p=reject\"\nbig.test. 60 IN TXT \"v=spf1 -all\"\ns1._domainkey.big.test. 60 IN TXT %q\n", key.Record())); err != nil {
			t.Fatal(err)
		}
		return a
	}
	// take brings a mail to the door and waits until so many messages are reported.
	take := func(t *testing.T, a *app.App, raw string, messages int64) aggregate.Overview {
		t.Helper()
		if code := bring(t, a.Addresses("bounces"), "bounce@big.test", "dmarc@reports.test", raw); code != 250 {
			t.Fatal(code)
		}
		today := time.Now().UTC()
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			o, err := a.Reports().Overview(t.Context(), "customer.test", today.AddDate(0, 0, -28), today.AddDate(0, 0, -1))
			summed := int64(0)
			for _, x := range o.Sources {
				summed += x.Messages
			}
			if err == nil && o.Window.Messages == messages && summed == messages {
				return o
			}
			if time.Now().After(end) {
				t.Fatalf("%d messages, not %d: %v", o.Window.Messages, messages, err)
			}
		}
	}
	advice := func(o aggregate.Overview) aggregate.AdviceState {
		return aggregate.Advise(&o, o.Seen(), aggregate.DefaultRules(), "").State
	}
	troubles := func(t *testing.T, a *app.App, want int) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // the gateway itself may be looking
			if err := a.Reports().Judge(t.Context()); err != nil {
				t.Fatal(err)
			}
			all, err := a.Reports().Troubles(t.Context(), "customer.test")
			if err != nil || len(all) > want || time.Now().After(end) {
				t.Fatalf("%d alarms, not %d: %+v %v", len(all), want, all, err)
			}
			if len(all) == want {
				return
			}
		}
	}
	var month []string
	for n := range 28 {
		month = append(month, dailyReport(fmt.Sprint("m", n), n+1, 100, 0))
	}
	t.Run("show", func(t *testing.T) {
		t.Parallel()
		a := gate(t, "")
		o := take(t, a, reportMail(t, nil, month...), 2800)
		if got := advice(o); got != aggregate.AdviceUnknown || o.Unproven.Messages != 2800 {
			t.Errorf("forged reports unlock %q, %+v", got, o.Unproven)
		}
		if o = take(t, a, reportMail(t, &key, append(month, dailyReport("more", 1, 1, 0))...), 2801); advice(o) != aggregate.AdviceQuarantine || o.Unproven.Messages != 0 {
			t.Errorf("signed reports: %q, %+v", advice(o), o.Unproven)
		}
		o = take(t, a, reportMail(t, nil, dailyReport("f", 1, 0, 9000)), 11801)
		if troubles(t, a, 0); advice(o) != aggregate.AdviceQuarantine || o.Unproven.Messages != 9000 {
			t.Errorf("a forged report turns the advice to %q, %+v", advice(o), o.Unproven)
		}
		changed := bytes.Replace([]byte(reportMail(t, &key, dailyReport("g", 1, 0, 9000))), []byte("Subject: Report"), []byte("Subject: A report"), 1)
		o = take(t, a, string(changed), 20801)
		if troubles(t, a, 0); advice(o) != aggregate.AdviceQuarantine || o.Unproven.Messages != 18000 {
			t.Errorf("one that was changed on the way: %q, %+v", advice(o), o.Unproven)
		}
		o = take(t, a, reportMail(t, &key, dailyReport("h", 1, 0, 9000)), 29801)
		if troubles(t, a, 1); advice(o) != aggregate.AdviceStay {
			t.Errorf("a signed one: %q", advice(o))
		}
	})
	t.Run("count", func(t *testing.T) {
		t.Parallel()
		a := gate(t, ", unauthenticated: count")
		if o := take(t, a, reportMail(t, nil, month...), 2800); advice(o) != aggregate.AdviceQuarantine || !o.CountsAll {
			t.Errorf("%q", advice(o))
		}
		take(t, a, reportMail(t, nil, dailyReport("f", 1, 0, 9000)), 11800)
		troubles(t, a, 1)
	})
}
