package report_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"

	"postern/internal/report"
)

// wide writes a text in units of more than a byte.
func wide(s string, width int, big bool) []byte {
	var out []byte
	put := func(u uint32) {
		for i := range width {
			shift := 8 * i
			if big {
				shift = 8 * (width - 1 - i)
			}
			out = append(out, byte(u>>shift))
		}
	}
	if width == 4 {
		for _, c := range s {
			put(uint32(c))
		}
		return out
	}
	for _, u := range utf16.Encode([]rune(s)) {
		put(uint32(u))
	}
	return out
}

func TestReadEncodings(t *testing.T) {
	t.Parallel()
	named := func(charset, org string) string {
		return strings.NewReplacer("UTF-8", charset, "<org_name>r.example", "<org_name>"+org).Replace(wholeReport)
	}
	koi, err := charmap.KOI8R.NewEncoder().String(named("koi8-r", "Почта"))
	if err != nil {
		t.Fatal(err)
	}
	jis, err := japanese.ShiftJIS.NewEncoder().String(named("Shift_JIS", "日本"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		raw  []byte
		org  string
	}{
		{"UTF-16, no mark, smaller first", wide(wholeReport, 2, false), "r.example"},
		{"UTF-16, no mark, greater first", wide(wholeReport, 2, true), "r.example"},
		{"UTF-32", wide("\ufeff"+wholeReport, 4, false), "r.example"},
		{"UTF-32, no mark, greater first", wide(named("UTF-32", "Ωr"), 4, true), "Ωr"},
		{"UTF-16 in gzip", gzipped(wide(wholeReport, 2, true)), "r.example"},
		{"called UTF-16, is UTF-8", []byte(named("utf-16", "é")), "é"},
		{"KOI8-R", []byte(koi), "Почта"},
		{"Shift_JIS", []byte(jis), "日本"},
		{"unknown charset", []byte(named("x-none", "r.example")), "r.example"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			x := one(t, tc.raw, "")
			if n, _, _, _ := x.Aggregate.Messages(); n != 5 || x.Aggregate.Reporter != tc.org || len(x.Warnings) > 0 {
				t.Errorf("%d messages of %q, %v", n, x.Aggregate.Reporter, x.Warnings)
			}
		})
	}
}

func TestReadDates(t *testing.T) {
	t.Parallel()
	for begin, fine := range map[string]bool{
		"1793491200000": true, "1793491200000000": true, "1.7934912e9": true, "2026-11-01T00:00:00Z": true, "2026-11-01T01:00:00+01:00": true, "2026-11-01 00:00:00 UTC": true, "2026-11-01 00:00:00 +0000": true,
		"2026-11-01": true, "20261101": true, "Sun, 01 Nov 2026 00:00:00 +0000": true, "Sun Nov  1 00:00:00 2026": true, "2026-11-01T00:00Z": true, " 1793491200\n": true,
		"11/01/2026": false, "tomorrow": false, "99999999999999999999": false, "-5": false,
	} {
		t.Run(begin, func(t *testing.T) {
			t.Parallel()
			text := strings.NewReplacer("<begin>1793491200<", "<begin>"+begin+"<").Replace(wholeReport)
			x := one(t, []byte(text), "")
			if x.Aggregate.Begin.Unix() != 1793491200 || (len(x.Warnings) == 0) != fine {
				t.Errorf("%s, %v", x.Aggregate.Begin, x.Warnings) // the other end tells the day of what cannot be read
			}
			_, err := report.Read([]byte(strings.Replace(text, "<end>1793577599<", "<end><", 1)), "", report.ReadLimits{})
			switch {
			case fine && err != nil:
				t.Error(err)
			case !fine && (err == nil || !strings.Contains(err.Error(), begin[:2])):
				t.Errorf("%v does not say what it found", err)
			}
		})
	}
}

func TestReadAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:DB8::1": "2001:db8::1", "[2001:db8::1]": "2001:db8::1", "fe80::1%eth0": "fe80::1", "::ffff:192.0.2.9": "192.0.2.9", "IPv6:2001:db8::5": "2001:db8::5", "ipv4:192.0.2.9": "192.0.2.9",
		"[IPv6:2001:db8::5]": "2001:db8::5", "192.0.2.9:25": "192.0.2.9", "[2001:db8::1]:25": "2001:db8::1", "192.0.2.9/32": "192.0.2.9", "2001:db8::/128": "2001:db8::", "192.000.002.009": "192.0.2.9",
		"mail.shop.example [192.0.2.9]": "192.0.2.9", "192.0.2.9 (mail.shop.example)": "192.0.2.9",
		"192.0.2.0/24": "", "192.0.02.9": "", "unknown": "", "1.2.3": "", "": "", "[]": "",
	} {
		x := one(t, []byte(strings.Replace(wholeReport, "<source_ip>192.0.2.1<", "<source_ip>"+text+"<", 1)), "")
		got := x.Aggregate.Records[0].Source
		if got.IsValid() != (want != "") || got.IsValid() && got.String() != want {
			t.Errorf("%q: %v, want %q", text, got, want)
		}
		if n, _, _, _ := x.Aggregate.Messages(); n != 5 {
			t.Errorf("%q: %d messages", text, n)
		}
	}
}

func TestReadExtensions(t *testing.T) {
	t.Parallel()
	evil := `<extension name="x"><y:z xmlns:y="urn:y"><domain>evil.example</domain><p>reject</p><record><row><source_ip>9.9.9.9</source_ip><count>77</count></row></record></y:z></extension>`
	for _, before := range []string{"<report_metadata>", "</row>", "</auth_results>", "</record>", "<policy_published>"} {
		x := one(t, []byte(strings.Replace(wholeReport, before, before+evil, 1)), "")
		if n, _, _, _ := x.Aggregate.Messages(); n != 5 || len(x.Aggregate.Records) != 1 || x.Aggregate.Policy.Domain != "shop.example" || x.Aggregate.Policy.P != "none" || len(x.Warnings) > 0 {
			t.Errorf("behind %s: %+v %v", before, x.Aggregate, x.Warnings)
		}
	}
	several := strings.NewReplacer("<count>5</count>", "<count>1,234,567</count>").Replace(wholeReport)
	if n, _, _, _ := one(t, []byte(several), "").Aggregate.Messages(); n != 1_234_567 {
		t.Error(n)
	}
	unclosed := strings.Replace(wholeReport, "<record>", "<record><row><source_ip>192.0.2.2</source_ip><count>4</count></row><record>", 1)
	if n, _, _, _ := one(t, []byte(unclosed), "").Aggregate.Messages(); n != 9 {
		t.Error(n)
	}
}

const wholeTLS = `{"organization-name":"S","date-range":{"start-datetime":"2026-11-01T00:00:00Z","end-datetime":"2026-11-01T23:59:59Z"},"report-id":"1","policies":[{"policy":{"policy-type":"sts","policy-string":"version: STSv1","policy-domain":"shop.example","mx-host":"mx.shop.example"},"summary":{"total-successful-session-count":10,"total-failure-session-count":3},"failure-details":[{"result-type":"certificate-expired","failed-session-count":3}]}]}`

func TestReadSeveral(t *testing.T) {
	t.Parallel()
	second := strings.Replace(wholeReport, "<report_id>1<", "<report_id>2<", 1)
	in := func(m []byte) string {
		return "--f\r\nContent-Type: message/rfc822\r\n\r\n" + strings.ReplaceAll(string(m), "boundary=b", "boundary=inner") + "\r\n"
	}
	inner := func(m []byte) []byte { return bytes.ReplaceAll(m, []byte("--b"), []byte("--inner")) }
	mails := "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=f\r\n\r\n"
	mbox := func(m []byte) string {
		return "From a@b.example Sun Nov  1 01:00:00 2026\n" + strings.ReplaceAll(string(m), "\r\n", "\n") + "\n"
	}
	first, other := attached("application/zip", "x.zip", zipped("x.xml", wholeReport)), attached("application/gzip", "y.gz", gzipped([]byte(second)))
	for _, tc := range []struct {
		name string
		raw  string
		n    int
	}{
		{"two roots", wholeReport + second, 2},
		{"two roots within one", "<reports>" + strings.ReplaceAll(wholeReport+second, `<?xml version="1.0" encoding="UTF-8"?>`, "") + "</reports>", 2},
		{"two roots in gzip", string(gzipped([]byte(wholeReport + "\n" + second))), 2},
		{"a tail that is none", wholeReport + "\x00\x00 garbage", 1},
		{"two mails in a mail", mails + in(inner(first)) + in(inner(other)) + "--f--\r\n", 2},
		{"a report and a mail", mails + "--f\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(gzipped([]byte(wholeReport))) + "\r\n" + in(inner(other)) + "--f--\r\n", 2},
		{"mailbox", mbox(first) + mbox(other), 2},
		{"JSON list", "[" + wholeTLS + "," + wholeTLS + "]", 2},
		{"JSON lines", wholeTLS + "\n" + wholeTLS + "\n", 2},
		{"JSON and a tail", wholeTLS + "\x00\x00", 1},
		{"JSON in UTF-16", string(wide("\ufeff"+wholeTLS, 2, false)), 1},
		{"base64 of XML", base64.StdEncoding.EncodeToString([]byte(wholeReport)), 1},
		{"base64 of JSON", folded(base64.StdEncoding.EncodeToString([]byte(wholeTLS))), 1},
		{"blank before an archive", "\r\n" + string(zipped("x.xml", wholeReport)), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, err := report.Read([]byte(tc.raw), "", report.ReadLimits{})
			if err != nil || len(r.Reports) != tc.n || len(r.Refused) > 0 {
				t.Fatalf("%d reports, %v, %v", len(r.Reports), err, r.Refused)
			}
			for _, x := range r.Reports {
				if x.Kind == report.KindTLS {
					if ok, failed := x.TLS.Sessions(); ok != 10 || failed != 3 || x.TLS.Policies[0].Strings[0] != "version: STSv1" {
						t.Errorf("%+v", x.TLS)
					}
				} else if n, _, _, _ := x.Aggregate.Messages(); n != 5 {
					t.Errorf("%d messages", n)
				}
			}
		})
	}
}

func TestReadForwardedFailure(t *testing.T) {
	t.Parallel()
	fields := "Feedback-Type: auth-failure\r\nVersion: 1\r\n\r\nUser-Agent: x/1\r\nSource-IP: [IPv6:2001:DB8::1]\r\n\r\nReported-Domain: shop.example\r\nAuth-Failure: dmarc\r\n"
	own := "From: r@r.example\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report for an email message received from IP 192.0.2.9.\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n" +
		fields + "--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: Boss <boss@shop.example>\r\nSubject: Pay\r\n\r\nx\r\n--b--\r\n"
	forwarded := "From: a@b.example\r\nContent-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report for an email message received from IP 192.0.2.9.\r\n--f\r\nContent-Type: message/rfc822\r\n\r\n" + own + "--f--\r\n"
	for name, raw := range map[string]string{"own": own, "forwarded": forwarded} {
		x := one(t, []byte(raw), "")
		if x.Kind != report.KindFailure || x.Feedback.AuthFailure != "dmarc" || x.Feedback.SourceText != "2001:db8::1" || x.Feedback.From() != "shop.example" {
			t.Errorf("%s: %s %+v", name, x.Kind, x.Feedback)
		}
	}
}

func TestReadForeignArchives(t *testing.T) {
	t.Parallel()
	for head, name := range map[string]string{"BZh91AY": "bzip2", "\xFD7zXZ\x00": "xz", "7z\xBC\xAF\x27\x1C": "7-Zip", "Rar!\x1A\x07\x01": "RAR", strings.Repeat("\x00", 257) + "ustar" + strings.Repeat("\x00", 300): "tar"} {
		raw := []byte(head + strings.Repeat("x", 100))
		for _, in := range [][]byte{raw, attached("application/octet-stream", "x", raw), gzipped(raw)} {
			_, err := report.Read(in, "", report.ReadLimits{})
			if !errors.Is(err, report.ErrRefused) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "unpack") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestReadMemory holds the memory that small things take to bounds: bytes alone do not.
func TestReadMemory(t *testing.T) {
	head := wholeReport[:strings.Index(wholeReport, "<record>")]
	many := head + strings.Repeat("<record/>", 60_000) + "</feedback>"
	var files []string
	for i := range 90 {
		files = append(files, fmt.Sprint(i, ".xml"), many)
	}
	for _, tc := range []struct {
		name, says string
		raw        []byte
	}{
		{"records of many files", "more records", zipped(files...)},
		{"records of many roots", "more records", []byte(strings.Repeat(head+strings.Repeat("<record/>", 1000)+"</feedback>", 300))},
		{"signatures", "signatures", []byte(head + strings.Repeat("<record><auth_results>"+strings.Repeat("<dkim/>", 100)+"</auth_results></record>", 40_000) + "</feedback>")},
		{"numbers for policies", "", []byte(`{"report-id":"1","date-range":{"start-datetime":"2026-11-01"},"policies":[` + strings.Repeat("1,", 1_900_000) + "1]}")},
		{"policies", "", []byte(`{"report-id":"1","date-range":{"start-datetime":"2026-11-01"},"policies":[` + strings.Repeat("{},", 90_000) + "{}]}")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := report.Read(tc.raw, "", report.ReadLimits{})
			runtime.ReadMemStats(&after)
			said := fmt.Sprint(err, r.Refused)
			if tc.says != "" && !strings.Contains(said, tc.says) {
				t.Errorf("%d reports, %s", len(r.Reports), said[:min(len(said), 500)])
			}
			if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 500 {
				t.Errorf("%d MiB allocated in all", used)
			}
		})
	}
}
