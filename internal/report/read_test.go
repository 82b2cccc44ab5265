package report_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"postern/internal/report"
)

// aggregateSample is the figures of a sample, as a person reads them in the file.
type aggregateSample struct {
	file                     string
	reporter, id, domain     string
	begin, end               int64
	policy                   string
	records                  int
	all, passed, dkim, spf   int64
	sources, warned, wrapped string
}

func TestReadAggregateSamples(t *testing.T) {
	t.Parallel()
	for _, want := range []aggregateSample{
		{"aggregate/addisonfoods.com!example.com!1536105600!1536191999.xml", "addisonfoods.com", "3ceb5548498640beaeb47327e202b0b9", "example.com", 1536105600, 1536191999, "none/none", 1, 1, 0, 0, 0, "109.203.100.17", "", ""},
		{"aggregate/example.net!example.com!1529366400!1529452799.xml", "example.net", "b043f0e264cf4ea995e93765242f6dfb", "example.com", 1529366400, 1529452799, "none/none", 1, 1, 0, 0, 0, "199.230.200.36", "stray-text", ""},
		{"aggregate/fastmail.com!example.com!1516060800!1516147199!102675056.xml.gz", "FastMail Pty Ltd", "102675056", "indemed.com", 1516060800, 1516147199, "none/none", 1, 1, 0, 0, 0, "104.195.80.20", "name-differs", "gzip"},
		{"aggregate/mimecast-weird-gzip.eml", "Mimecast", "157a5fe30ec76f4bc0d8bccfc96c118a167a1280fee7c7465af5115e73082e5e", "ab.id.au", 1693353600, 1693439999, "reject/none", 1, 1, 1, 1, 1, "40.93.199.22", "trailing", "mail gzip"},
		{"aggregate/usssa.com!example.com!1538784000!1538870399.xml", "usssa.com", "8953b4d4a4ee4218b6ac0e2cb2667ee1", "example.com", 1538784000, 1538870399, "none/none", 2, 2, 0, 0, 0, "12.20.127.40 199.230.200.36", "", ""},
		{"aggregate_invalid/report_with_upper_cased_pass.xml", "example.com", "aggr_report_example.com_20191202_1638", "example.com", 1574955300, 1575304683, "reject/", 1, 1, 1, 1, 1, "23.104.41.189", "value-case range", ""},
	} {
		t.Run(filepath.Base(want.file), func(t *testing.T) {
			t.Parallel()
			x := only(t, filepath.Join("testdata/reports", want.file))
			a := x.Aggregate
			if x.Kind != report.KindAggregate || a == nil {
				t.Fatalf("kind %s", x.Kind)
			}
			all, passed, dkim, spf := a.Messages()
			var sources []string
			for _, r := range a.Records {
				sources = append(sources, r.Source.String())
			}
			got := aggregateSample{want.file, a.Reporter, a.ID, a.Policy.Domain, a.Begin.Unix(), a.End.Unix(), a.Policy.P + "/" + a.Policy.SP, len(a.Records), all, passed, dkim, spf,
				strings.Join(sources, " "), codes(x.Warnings), strings.Join(x.Path, " ")}
			if got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func codes(all []report.Warning) string {
	var out []string
	for _, w := range all {
		out = append(out, w.Code)
	}
	return strings.Join(out, " ")
}

// only reads a file that holds one report.
func only(t *testing.T, file string) report.Recognised {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return one(t, raw, file)
}

func one(t *testing.T, raw []byte, name string) report.Recognised {
	t.Helper()
	r, err := report.Read(raw, name, report.ReadLimits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Reports) != 1 || len(r.Refused) != 0 {
		t.Fatalf("%d reports, refused: %v", len(r.Reports), r.Refused)
	}
	return r.Reports[0]
}

func TestReadTLSSamples(t *testing.T) {
	t.Parallel()
	ru := only(t, "testdata/reports/smtp_tls/mail.ru.json").TLS
	if ok, failed := ru.Sessions(); ok != 0 || failed != 1 || ru.Organization != "Mail.ru" || len(ru.Policies) != 1 || ru.Policies[0].Domain != "example.com" || len(ru.Policies[0].Failures) != 2 ||
		ru.Policies[0].Failures[1].Reason != "bad https response code: 500" || ru.Policies[0].Failures[0].Type != "sts-policy-fetch-error" || !ru.End.Equal(time.Date(2024, 2, 23, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", ru)
	}
	x := only(t, "testdata/reports/smtp_tls/rfc8460.json").TLS
	if ok, failed := x.Sessions(); ok != 5326 || failed != 303 || x.Organization != "Company-X" || x.ID != "5065427c-23d3-47ca-b6e0-946ea0e8c4be" || len(x.Policies[0].Strings) != 4 || x.Policies[0].MXHosts[0] != "*.mail.company-y.example" {
		t.Errorf("%+v", x)
	}
	var got []string
	for _, f := range x.Policies[0].Failures {
		got = append(got, fmt.Sprint(f.Type, " ", f.Sessions))
	}
	if s := strings.Join(got, ", "); s != "certificate-expired 100, starttls-not-supported 200, validation-failure 3" {
		t.Error(s)
	}
}

func TestReadTLSDeviations(t *testing.T) {
	t.Parallel()
	const head = `{"organization-name":"X","date-range":{"start-datetime":"2026-11-01T00:00:00Z","end-datetime":"2026-11-01T23:59:59Z"},"report-id":"1"`
	for _, tc := range []struct {
		name, text, warned string
		policies           int
		ok, failed         int64
	}{
		{"no policies", head + `}`, "value-missing", 0, 0, 0},
		{"null policies", head + `,"policies":null}`, "value-missing", 0, 0, 0},
		{"one policy without a list", head + `,"policies":{"policy":{"policy-type":"tlsa","policy-domain":"a.example"},"summary":{"total-successful-session-count":3,"total-failure-session-count":"2"}}}`, "", 1, 3, 2},
		{"empty policy", head + `,"policies":[{}]}`, "value-missing", 1, 0, 0},
		{"unknown type and result", head + `,"policies":[{"policy":{"policy-type":"other","policy-string":null,"policy-domain":"A.example.","mx-host":["x"]},"summary":{"total-successful-session-count":1,"total-failure-session-count":1},"failure-details":[{"result-type":"new-thing","failed-session-count":1}]}]}`, "value-unknown", 1, 1, 1},
		{"negative count", head + `,"policies":[{"policy":{"policy-type":"sts","policy-domain":"a.example"},"summary":{"total-successful-session-count":-4,"total-failure-session-count":1.0}}]}`, "number", 1, 0, 1},
		{"extra members", head + `,"x":{"y":[1,2,{"z":null}]},"policies":[{"policy":{"policy-type":"no-policy-found","policy-domain":"a.example","new":1},"summary":{"total-successful-session-count":7,"total-failure-session-count":0},"failure-details":null}]}`, "", 1, 7, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			x := one(t, []byte(tc.text), "")
			ok, failed := x.TLS.Sessions()
			if x.Kind != report.KindTLS || len(x.TLS.Policies) != tc.policies || ok != tc.ok || failed != tc.failed || codes(x.Warnings) != tc.warned {
				t.Errorf("%d policies, %d ok, %d failed, warnings %s", len(x.TLS.Policies), ok, failed, codes(x.Warnings))
			}
		})
	}
}

func TestReadFeedbackSamples(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file                                    string
		kind                                    report.Kind
		feedback, agent, source, from, to, fail string
		domain, subject, arrival                string
		results                                 int
	}{
		{"reports/failure/dmarc_ruf_report_linkedin.eml", report.KindFailure, "auth-failure", "Lua/1.0", "10.10.10.10", "", "recipient@linkedin.com", "dmarc", "example.com", "Subject line, could be UTF8 encoded", "2019-04-30T02:09:00Z", 1},
		{"arf/001.eml", report.KindComplaint, "abuse", "SomeGenerator/1.0", "192.0.2.1", "", "", "", "example.net", "Earn money", "0001-01-01T00:00:00Z", 0},
		{"arf/002.eml", report.KindComplaint, "abuse", "SomeGenerator/1.0", "192.0.2.1", "somespammer@example.net", "user@example.com", "", "example.net", "", "2005-03-08T18:00:00Z", 1},
		{"arf/003.eml", report.KindFailure, "auth-failure", "SomeDKIMFilter/1.0", "192.0.2.1", "randomuser@example.net", "user@example.com", "bodyhash", "example.net", "This is a test", "2010-04-14T19:15:31Z", 1},
		{"arf/004.eml", report.KindFailure, "auth-failure", "OpenDMARC-Filter/1.3.2", "148.163.85.135", "info@interpublication.org", "", "dmarc", "interpublication.org", "Wir kaufen dein Auto!", "0001-01-01T00:00:00Z", 1},
		{"arf/005.eml", report.KindFailure, "auth-failure", "Someisp!Mail-Feedback/1.0", "192.0.2.1", "anexample.reply@a.sender.example", "", "bodyhash", "a.sender.example", "You have a new bill from your bank", "2011-10-08T20:15:58Z", 1},
	} {
		t.Run(filepath.Base(tc.file), func(t *testing.T) {
			t.Parallel()
			x := only(t, filepath.Join("testdata", tc.file))
			f := x.Feedback
			got := fmt.Sprint(x.Kind, f.Type, f.UserAgent, f.SourceText, f.MailFrom, f.Recipients, f.AuthFailure, f.Domains, f.Original.Subject, f.Arrival.UTC().Format(time.RFC3339), len(f.Results))
			to := []string{}
			if tc.to != "" {
				to = []string{tc.to}
			}
			want := fmt.Sprint(tc.kind, tc.feedback, tc.agent, tc.source, tc.from, to, tc.fail, []string{tc.domain}, tc.subject, tc.arrival, tc.results)
			if got != want {
				t.Errorf("\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

func TestReadXARFSamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/xarf/*.json")
	if err != nil || len(files) < 30 {
		t.Fatal(len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			x := only(t, file).XARF
			if x == nil || !x.Known || x.ID == "" || x.Source == "" || x.Reporter == "" || x.Time.IsZero() || len(x.Evidence) == 0 {
				t.Errorf("%+v", x)
			}
			if base := strings.TrimSuffix(filepath.Base(file), ".json"); strings.ReplaceAll(x.Category+"-"+x.Type, "_", "-") != base {
				t.Errorf("%s/%s", x.Category, x.Type)
			}
		})
	}
}

func TestReadFormerXARF(t *testing.T) {
	t.Parallel()
	x := one(t, []byte(`{"Version":"2","ReporterInfo":{"ReporterOrg":"Example","ReporterOrgDomain":"example.com","ReporterOrgEmail":"abuse@example.com"},"Disclosure":true,
"Report":{"ReportClass":"Activity","ReportType":"LoginAttack","Date":"2026-11-01T10:00:00Z","Source":{"IP":"192.0.2.7","Port":52311,"Type":"ip-address"},"Attachment":[{"ContentType":"text/plain","Data":"eA=="}]}}`), "").XARF
	if x.Type != "loginattack" || x.SourceIP.String() != "192.0.2.7" || x.SourcePort != 52311 || x.Reporter != "Example" || x.Known {
		t.Errorf("%+v", x)
	}
	m := one(t, []byte("From: fail2ban@example.com\r\nTo: abuse@example.net\r\nSubject: [X-ARF] 192.0.2.9\r\nX-XARF: PLAIN\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; charset=utf-8; boundary=b\r\n\r\n"+
		"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nDear Sir\r\n--b\r\nContent-Type: text/plain; charset=utf-8; name=\"report.txt\"\r\n\r\n---\r\nReported-From: fail2ban@example.com\r\nCategory: abuse\r\nReport-ID: 1@example.com\r\n"+
		"Report-Type: login-attack\r\nService: ssh\r\nVersion: 0.2\r\nDate: Sun, 01 Nov 2026 10:00:00 +0000\r\nSource-Type: ip-address\r\nSource: 192.0.2.9\r\nPort: 22\r\n--b\r\nContent-Type: text/plain; name=\"logfile.log\"\r\n\r\nFailed password\r\n--b--\r\n"), "")
	if m.Kind != report.KindXARF || m.XARF.SourceIP.String() != "192.0.2.9" || m.XARF.Type != "login-attack" || m.XARF.Version != "0.2" || len(m.XARF.Evidence) != 1 || m.XARF.Time.IsZero() {
		t.Errorf("%+v", m.XARF)
	}
}

func TestReadComplaintWithoutMachinePart(t *testing.T) {
	t.Parallel()
	x := one(t, []byte("From: staff@hotmail.com\r\nSubject: complaint about message from 192.0.2.4\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n"+
		"X-HmXmrOriginalRecipient: <anna@hotmail.example>\r\nReturn-Path: news@shop.example\r\nFrom: Shop <news@shop.example>\r\nSubject: Offer\r\nMessage-ID: <1@shop.example>\r\n\r\nBuy\r\n--b--\r\n"), "")
	if f := x.Feedback; x.Kind != report.KindJMRP || f.Source.String() != "192.0.2.4" || f.Recipients[0] != "anna@hotmail.example" || f.Original.MessageID != "<1@shop.example>" || f.From() != "shop.example" {
		t.Errorf("%s %+v", x.Kind, x.Feedback)
	}
}

func TestReadEximFailure(t *testing.T) {
	t.Parallel()
	x := one(t, []byte("From: postmaster@receiver.example\r\nSubject: DMARC Forensic Report for shop.example from IP 192.0.2.5\r\nContent-Type: text/plain\r\n\r\n"+
		"A message claiming to be from you has failed the published DMARC\npolicy for your domain.\n\n  Sender Domain: shop.example\n  Sender IP Address: 192.0.2.5\n  Received Date: Sun, 01 Nov 2026 10:00:00 +0000\n  SPF Alignment: no\n  DKIM Alignment: yes\n  DMARC Results: Quarantine\n\n"+
		"------ This is a copy of the headers that were received before the error\n       was detected.\n\nReceived: from x by y\nFrom: Shop <news@shop.example>\nSubject: Offer\n"), "")
	f := x.Feedback
	if x.Kind != report.KindFailure || f.Source.String() != "192.0.2.5" || f.Alignment != "dkim" || f.Delivery != "quarantine" || f.Domains[0] != "shop.example" || f.Original.Subject != "Offer" {
		t.Errorf("%s %+v", x.Kind, f)
	}
}

// wholeReport is a report of one record.
const wholeReport = `<?xml version="1.0" encoding="UTF-8"?><feedback><report_metadata><org_name>r.example</org_name><email>a@r.example</email><report_id>1</report_id>
<date_range><begin>1793491200</begin><end>1793577599</end></date_range></report_metadata><policy_published><domain>shop.example</domain><p>none</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>5</count><policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf></policy_evaluated></row>
<identifiers><header_from>shop.example</header_from></identifiers><auth_results><dkim><domain>shop.example</domain><selector>s</selector><result>pass</result></dkim><spf><domain>x.example</domain><result>fail</result></spf></auth_results></record></feedback>`

func TestReadAggregateDeviations(t *testing.T) {
	t.Parallel()
	put := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(wholeReport) }
	for _, tc := range []struct {
		name, text, file, warned string
		count, passed            int64
	}{
		{"as it should be", wholeReport, "", "", 5, 5},
		{"no declaration", put(`<?xml version="1.0" encoding="UTF-8"?>`, ""), "", "", 5, 5},
		{"invalid UTF-8", put("r.example</org", "r\xe9.example\xff</org"), "", "encoding", 5, 5},
		{"latin1", put("UTF-8", "ISO-8859-1", "r.example</org", "r\xe9.example</org"), "", "", 5, 5},
		{"upper case", put("<dkim>pass</dkim>", "<dkim>PASS</dkim>"), "", "value-case", 5, 5},
		{"empty reason", put("<spf>fail</spf>", "<spf>fail</spf><reason></reason>"), "", "reason-empty", 5, 5},
		{"reason alone", put("<spf>fail</spf>", "<spf>fail</spf><reason/>"), "", "reason-empty", 5, 5},
		{"reason", put("<spf>fail</spf>", "<spf>fail</spf><reason><type>forwarded</type><comment>arc=pass &amp; more</comment></reason>"), "", "", 5, 5},
		{"two days", put("1793577599", "1793664000"), "", "range", 5, 5},
		{"seconds with a fraction", put("1793491200", "1793491200.0"), "", "", 5, 5},
		{"turned round", put("<begin>1793491200", "<begin>1793577599", "<end>1793577599", "<end>1793491200"), "", "range-missing", 5, 5},
		{"range from the name", put("<begin>1793491200</begin>", "", "<end>1793577599</end>", ""), "r.example!shop.example!1793491200!1793577599.xml", "range-missing", 5, 5},
		{"name without a receiver", put("<org_name>r.example</org_name>", ""), "!shop.example!1793491200!1793577599.xml", "value-missing", 5, 5},
		{"no organisation", put("<org_name>r.example</org_name>", ""), "r.example!shop.example!1793491200!1793577599!9.xml.gz", "value-missing from-name", 5, 5},
		{"no published policy", put("<policy_published><domain>shop.example</domain><p>none</p></policy_published>", ""), "", "value-missing no-domain", 5, 5},
		{"extra elements", put("<row>", "<x><y>1</y></x><row>", "</report_metadata>", "<z>1</z></report_metadata>"), "", "extra-element", 5, 5},
		{"namespace with a prefix", put("<feedback>", `<d:feedback xmlns:d="urn:ietf:params:xml:ns:dmarc-2.0">`, "</feedback>", "</d:feedback>", "<record>", "<d:record>", "</record>", "</d:record>"), "", "", 5, 5},
		{"within a schema", put("<feedback>", `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><feedback>`, "</feedback>", "</feedback></xs:schema>"), "", "", 5, 5},
		{"end tag missing", put("</feedback>", ""), "", "truncated", 5, 5},
		{"end tag forgotten inside", put("</policy_evaluated>", ""), "", "nesting", 5, 5},
		{"comments and data", put("<count>5</count>", "<!-- <count>9</count> --><count><![CDATA[5]]></count>"), "", "", 5, 5},
		{"no result", put("<dkim>pass</dkim>", ""), "", "value-missing", 5, 0},
		{"hard fail", put("<result>fail</result>", "<result>hardfail</result>"), "", "value-unknown", 5, 5},
		{"count is no number", put("<count>5</count>", "<count>many</count>"), "", "number", 0, 0},
		{"source is no address", put("192.0.2.1", "unknown"), "", "address", 5, 5},
		{"two ids", put("<report_id>1</report_id>", "<report_id>1</report_id><report_id>2</report_id>"), "", "repeated", 5, 5},
		{"ampersand alone", put("<email>a@r.example", "<email>a&b; c@r.example"), "", "", 5, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			x := one(t, []byte(tc.text), tc.file)
			n, passed, _, _ := x.Aggregate.Messages()
			if n != tc.count || passed != tc.passed || codes(x.Warnings) != tc.warned || x.Aggregate.Policy.Domain != "shop.example" {
				t.Errorf("%d messages, %d passed, warnings %q, domain %s", n, passed, codes(x.Warnings), x.Aggregate.Policy.Domain)
			}
			if x.Aggregate.Begin.Unix() != 1793491200 {
				t.Error(x.Aggregate.Begin)
			}
		})
	}
}

func TestReadRFC9990(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("<feedback>", `<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0">`, "<report_id>1</report_id>", "<report_id>1</report_id><error>late</error>", "<p>none</p>",
		"<p>reject</p><sp>quarantine</sp><np>reject</np><testing>y</testing><discovery_method>treewalk</discovery_method><fo>1</fo>", "<disposition>none</disposition>", "<disposition>pass</disposition>",
		"</report_metadata>", "<generator>Gen 1</generator></report_metadata>").Replace(wholeReport)
	x := one(t, []byte(text), "")
	a := x.Aggregate
	if p := a.Policy; len(x.Warnings) > 0 || a.Namespace != "urn:ietf:params:xml:ns:dmarc-2.0" || p.NP != "reject" || p.Testing != "y" || p.Discovery != "treewalk" || a.Generator != "Gen 1" || a.Errors[0] != "late" || a.Records[0].Disposition != "pass" {
		t.Errorf("%+v %v", a, x.Warnings)
	}
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

func zipped(files ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, _ := w.Create(files[i])
		_, _ = io.WriteString(f, files[i+1])
	}
	_ = w.Close()
	return b.Bytes()
}

// attached is a mail with one attachment.
func attached(mediaType, name string, data []byte) []byte {
	return fmt.Appendf(nil, "From: dmarc@r.example\r\nSubject: Report Domain: shop.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nA report is attached.\r\n--b\r\n"+
		"Content-Type: %s\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"%s\"\r\n\r\n%s\r\n--b--\r\n", mediaType, name, folded(base64.StdEncoding.EncodeToString(data)))
}

func folded(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return b.String() + s
}

func TestReadWrapped(t *testing.T) {
	t.Parallel()
	utf16 := []byte{0xFF, 0xFE}
	for _, c := range wholeReport {
		utf16 = append(utf16, byte(c), byte(c>>8))
	}
	forwarded := fmt.Appendf(nil, "From: a@b.example\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\nContent-Type: message/rfc822\r\n\r\n%s\r\n--f--\r\n", attached("application/zip", "x.zip", zipped("x.xml", wholeReport)))
	for _, tc := range []struct {
		name string
		raw  []byte
		path string
	}{
		{"zip", zipped("r.example!shop.example!1793491200!1793577599.xml", wholeReport), "zip"},
		{"gzip", gzipped([]byte(wholeReport)), "gzip"},
		{"gzip in zip", zipped("x.xml.gz", string(gzipped([]byte(wholeReport)))), "zip gzip"},
		{"UTF-16", utf16, ""},
		{"byte order mark", []byte("\xEF\xBB\xBF" + wholeReport), ""},
		{"mail with zip", attached("application/zip", "x.zip", zipped("x.xml", wholeReport)), "mail zip"},
		{"mail with gzip that is called zip", attached("application/zip", "x.zip", gzipped([]byte(wholeReport))), "mail gzip"},
		{"mail with zip that is called text", attached("text/plain", "x.txt", zipped("x.xml", wholeReport)), "mail zip"},
		{"mail with xml", attached("application/octet-stream", "x.xml", []byte(wholeReport)), "mail"},
		{"mail with xml as text", attached("text/xml", "x.xml", []byte(wholeReport)), "mail"},
		{"forwarded", forwarded, "mail mail zip"},
		{"the mail is the attachment", fmt.Appendf(nil, "From: a@b.example\r\nContent-Type: application/zip; name=x.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n", folded(base64.StdEncoding.EncodeToString(zipped("x.xml", wholeReport)))), "mail zip"},
		{"base64 without saying so", fmt.Appendf(nil, "From: a@b.example\r\nContent-Type: application/octet-stream\r\n\r\n%s\r\n", folded(base64.StdEncoding.EncodeToString(gzipped([]byte(wholeReport))))), "mail gzip"},
		{"gzip in two members", append(gzipped([]byte(wholeReport[:500])), gzipped([]byte(wholeReport[500:]))...), "gzip"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			x := one(t, tc.raw, "")
			if n, _, _, _ := x.Aggregate.Messages(); n != 5 || strings.Join(x.Path, " ") != tc.path || len(x.Warnings) > 0 {
				t.Errorf("%d messages in %q, warnings %v", n, x.Path, x.Warnings)
			}
		})
	}
	several, err := report.Read(zipped("a.xml", wholeReport, "__MACOSX/._a.xml", "x", "b.xml", strings.Replace(wholeReport, ">1</report_id>", ">2</report_id>", 1), "readme.txt", "hello"), "", report.ReadLimits{})
	if err != nil || len(several.Reports) != 2 || several.Reports[1].Aggregate.ID != "2" {
		t.Errorf("%d reports, %v", len(several.Reports), err)
	}
	tls := one(t, attached("application/tlsrpt+gzip", "a!b.example!1!2.json.gz", gzipped([]byte(`{"organization-name":"X","date-range":{"start-datetime":"2026-11-01T00:00:00Z","end-datetime":"2026-11-01T23:59:59Z"},"report-id":"1","policies":[]}`))), "")
	if tls.Kind != report.KindTLS || strings.Join(tls.Path, " ") != "mail gzip" {
		t.Errorf("%+v", tls)
	}
}

// endless is a stream that compresses well.
func endless(before string, fill byte, n int) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = io.WriteString(w, before)
	block := bytes.Repeat([]byte{fill}, 1<<20)
	for range n {
		_, _ = w.Write(block)
	}
	_ = w.Close()
	return b.Bytes()
}

func TestReadHostile(t *testing.T) {
	manyFiles := func() []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for i := range 100_000 {
			_, _ = w.CreateRaw(&zip.FileHeader{Name: fmt.Sprint(i)})
		}
		_ = w.Close()
		return b.Bytes()
	}
	laughs := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]><feedback><report_metadata><org_name>&lol2;</org_name></report_metadata></feedback>`
	external := strings.Replace(wholeReport, "<feedback>", `<!DOCTYPE feedback [<!ENTITY x SYSTEM "file:///etc/passwd">]><feedback>`, 1)
	inner := strings.Replace(wholeReport, "<row>", `<!ENTITY x "y"><row>`, 1)
	attributes := strings.Replace(wholeReport, "<row>", "<row "+strings.Repeat(`a="" `, 100)+">", 1)
	for _, tc := range []struct {
		name, says string
		raw        []byte
	}{
		{"100 MB as it is", "more than 32 MiB", bytes.Repeat([]byte("<feedback>"), 10<<20)},
		{"100 MB in gzip", "times its size", endless("<feedback><report_metadata><org_name>", 'x', 100)},
		{"bomb behind the end", "times its size", endless(wholeReport, ' ', 100)},
		{"bomb of zip", "times its size", zipped("x.xml", "<feedback>"+strings.Repeat(" ", 30<<20))},
		{"zip in zip", "zip archive inside", zipped("x.zip", string(zipped("x.xml", wholeReport)))},
		{"100,000 files", "100000 files", manyFiles()},
		{"200 files", "more than 100 files", zipped(strings.Split(strings.Repeat("a.txt,x,", 199)+"a.txt,x", ",")...)},
		{"gzip in gzip in gzip", "gzip inside gzip", gzipped(gzipped(gzipped([]byte(wholeReport))))},
		{"billion laughs", "document type declaration", []byte(laughs)},
		{"external entity", "document type declaration", []byte(external)},
		{"entity later", "document type declaration", []byte(inner)},
		{"laughs in zip", "document type declaration", zipped("x.xml", laughs)},
		{"deep", "nested deeper", []byte("<feedback>" + strings.Repeat("<a>", 1_000_000))},
		{"attributes", "attributes", []byte(attributes)},
		{"long tag", "tag is longer", []byte(`<feedback><a b="` + strings.Repeat("x", 1<<20) + `">`)},
		{"in the middle", "ends in the middle", []byte(wholeReport[:len(wholeReport)-200])},
		{"records", "more records than are read", []byte("<feedback>" + strings.Repeat("<record/>", 200_001))},
		{"deep JSON", "nested deeper", []byte(`{"policies":` + strings.Repeat("[", 100_000))},
		{"many objects", "more than any report", []byte(`{"policies":[` + strings.Repeat("{},", 200_000) + `{}]}`)},
		{"broken JSON", "cannot be read", []byte(`{"policies":[{"policy":`)},
		{"broken gzip", "damaged", gzipped([]byte(wholeReport))[:200]},
		{"two rows in a record", "record 1 has two rows", []byte(strings.Replace(wholeReport, "</row>", "</row><row><source_ip>192.0.2.77</source_ip><count>9</count></row>", 1))},
		{"two rows, the first empty", "record 1 has two rows", []byte(strings.Replace(wholeReport, "<row>", "<row></row><row>", 1))},
		{"no domain", "which domain", []byte("<feedback><report_metadata><org_name>x</org_name></report_metadata><record></record></feedback>")},
		{"no time", "which time", []byte(strings.NewReplacer("<begin>1793491200</begin>", "", "<end>1793577599</end>", "").Replace(wholeReport))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			r, err := report.Read(tc.raw, "", report.ReadLimits{})
			runtime.ReadMemStats(&after)
			if !errors.Is(err, report.ErrRefused) || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("%d reports, %v", len(r.Reports), err)
			}
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
				t.Errorf("%q is no clear line", err)
			}
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 400 {
				t.Errorf("%d MiB allocated in all, in %s", used, time.Since(began))
			}
		})
	}
}

func TestReadNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " ", "hello", "<html><body>hi</body></html>", "<!DOCTYPE html><html></html>", "{}", "[]", `{"a":1}`, "<a><b/></a>", "PK", "From: a@b.example\r\nSubject: hi\r\n\r\nhello\r\n", "\x1f", "<", "{"} {
		if r, err := report.Read([]byte(text), "", report.ReadLimits{}); !errors.Is(err, report.ErrNoReport) {
			t.Errorf("%q: %d reports, %v", text, len(r.Reports), err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/reports/*/*", "testdata/arf/*.eml", "testdata/xarf/*.json"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw, filepath.Base(file))
		}
	}
	f.Add(zipped("a.xml", wholeReport), "a.zip")
	f.Add(attached("application/gzip", "x", gzipped([]byte(wholeReport))), "")
	f.Add([]byte("<feedback><![CDATA[]]]]><!-- --- --></feedback>"), "")
	f.Fuzz(func(t *testing.T, raw []byte, name string) {
		r, err := report.Read(raw, name, report.ReadLimits{Unpacked: 4 << 20, JSON: 1 << 20})
		if err == nil && len(r.Reports) == 0 || err != nil && len(r.Reports) > 0 {
			t.Fatal(len(r.Reports), err)
		}
		for _, x := range r.Reports {
			set := 0
			for _, is := range []bool{x.Aggregate != nil, x.Feedback != nil, x.TLS != nil, x.XARF != nil} {
				if is {
					set++
				}
			}
			if set != 1 || len(x.Warnings) > 40 {
				t.Fatalf("%+v", x)
			}
		}
	})
}

func BenchmarkReadAggregate(b *testing.B) {
	record := wholeReport[strings.Index(wholeReport, "<record>"):strings.Index(wholeReport, "</feedback>")]
	raw := []byte(strings.Replace(wholeReport, "</feedback>", strings.Repeat(record, 10_000)+"</feedback>", 1))
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := report.Read(raw, "", report.ReadLimits{}); err != nil {
			b.Fatal(err)
		}
	}
}
