package notice_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/spool"
)

// TestTLSReport: the form of RFC 8460 5.3, once, and on its way whatever the recipient's TLS is worth.
func TestTLSReport(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := notice.TLSReport{To: address(t, "tls@example.org"), Subject: "Report Domain: example.org Submitter: gate.example Report-ID: <1@gate.example>",
		Filename: "gate.example!example.org!1795219200!1795305599!001.json.gz", GZ: bytes.Repeat([]byte{0x1f, 0x8b, 0}, 500), Domain: "example.org", Submitter: "gate.example"}
	for range 2 {
		if err := d.SendTLSReport(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got := d.one()
	if !got.Notice || !got.Envelope.TLSOptional || !got.Envelope.ReversePath.IsNull() || got.Envelope.Recipients[0].Address.String() != "tls@example.org" ||
		got.HeaderFrom != "postmaster@mx.example.net" || !got.Expires.Equal(start.Add(48*time.Hour)) {
		t.Errorf("envelope %+v", got)
	}
	m := mail.Parse(got.Body, mail.DefaultLimits())
	if len(m.Defects) > 0 {
		t.Errorf("defects %+v", m.Defects)
	}
	for name, want := range map[string]string{"TLS-Report-Domain": "example.org", "TLS-Report-Submitter": "gate.example", "TLS-Required": "No", "Subject": r.Subject,
		"Auto-Submitted": "auto-generated"} {
		if v := m.Header.Get(name); v != want {
			t.Errorf("%s: %q", name, v)
		}
	}
	if v := m.Header.Get("Content-Type"); !strings.HasPrefix(v, "multipart/report;") || !strings.Contains(v, "report-type=tlsrpt") {
		t.Errorf("Content-Type: %q", v)
	}
	if text := string(got.Body); !strings.Contains(text, "application/tlsrpt+gzip") || !strings.Contains(text, "filename="+r.Filename) {
		t.Errorf("attachment:\n%s", text)
	}
}

// TestNotificationKeepsRequireTLS: what is told about a message that must not travel in the clear does not either, and returns its header only.
func TestNotificationKeepsRequireTLS(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	m := sent(t, "shop", "anna@shop.example", "en")
	m.Envelope.RequireTLS = true
	if err := d.Failed(t.Context(), m, m.Body, failures(m, spool.Bounced)); err != nil {
		t.Fatal(err)
	}
	got := d.one()
	if !got.Envelope.RequireTLS || !strings.Contains(string(got.Body), "text/rfc822-headers") || strings.Contains(string(got.Body), "message/rfc822\r\n") {
		t.Errorf("%+v\n%s", got.Envelope, got.Body)
	}
}
