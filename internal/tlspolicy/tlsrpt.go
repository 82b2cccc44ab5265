package tlspolicy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
)

// Bounds of what a domain may ask for.
const (
	maxURIs     = 5        // addresses that one domain's report goes to
	maxURIBytes = 1000     // of one of them
	maxReport   = 10 << 20 // bytes of a report that ReadReport reads, unpacked
	maxFailures = 1000     // failure details in one policy of a report
)

// ErrNoReports: the domain wants no reports.
var ErrNoReports = errors.New("no TLS-RPT record")

// ErrInvalidRPT: its record cannot be read.
var ErrInvalidRPT = errors.New("invalid TLS-RPT record")

// ParseRPTRecord reads the TXT records of _smtp._tls.DOMAIN and returns where its reports go: "mailto:" and "https:" URIs, at most five
// (RFC 8460 3). Other schemes are skipped.
func ParseRPTRecord(texts []string) (uris []string, err error) {
	var found [][]string
	for _, t := range texts {
		if fields, ok := recordFields(t, "TLSRPTv1"); ok {
			found = append(found, fields)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%w: %d records with v=TLSRPTv1, expected one", ErrNoReports, len(found))
	}
	for _, f := range found[0] {
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("%w: %.40q is not of the form name=value", ErrInvalidRPT, f)
		}
		if strings.Trim(name, " \t") != "rua" || len(uris) > 0 {
			continue
		}
		for u := range strings.SplitSeq(value, ",") {
			if u = strings.Trim(u, " \t"); len(uris) < maxURIs && (reportTo(u) != mail.Address{} || reportURL(u) != "") {
				uris = append(uris, u)
			}
		}
	}
	if len(uris) == 0 {
		return nil, fmt.Errorf("%w: no rua that can be used", ErrInvalidRPT)
	}
	return uris, nil
}

// reportTo is the address of a mailto: URI, null when it is none.
func reportTo(uri string) mail.Address {
	scheme, rest, _ := strings.Cut(uri, ":")
	if !strings.EqualFold(scheme, "mailto") || len(uri) > maxURIBytes {
		return mail.Address{}
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest, err := url.PathUnescape(rest)
	if err != nil {
		return mail.Address{}
	}
	a, err := mail.ParseAddress(rest)
	if _, literal := a.Domain.Literal(); err != nil || literal {
		return mail.Address{}
	}
	return a
}

// reportURL is an https: URI in its proper form, "" when it is none.
func reportURL(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || len(uri) > maxURIBytes || !strings.EqualFold(u.Scheme, "https") || u.User != nil || !dns.HostName(u.Hostname()) {
		return ""
	}
	return u.String()
}

// Report is a TLS report (RFC 8460 4).
type Report struct {
	Organization string         `json:"organization-name"`
	DateRange    DateRange      `json:"date-range"`
	Contact      string         `json:"contact-info"`
	ID           string         `json:"report-id"`
	Policies     []PolicyResult `json:"policies"`
}

// DateRange is the time a report is about, in UTC.
type DateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// PolicyResult is what came of one policy.
type PolicyResult struct {
	Policy   ReportedPolicy  `json:"policy"`
	Summary  Summary         `json:"summary"`
	Failures []FailureDetail `json:"failure-details,omitempty"`
}

// ReportedPolicy is a policy in a report (RFC 8460 4.4).
type ReportedPolicy struct {
	Type    string   `json:"policy-type"` // "tlsa", "sts", "no-policy-found"
	Strings []string `json:"policy-string,omitempty"`
	Domain  string   `json:"policy-domain"`
	MXHost  OneOrAll `json:"mx-host,omitempty"`
}

// OneOrAll is a list that some write as one text: RFC 8460's grammar and its example differ.
type OneOrAll []string

// UnmarshalJSON reads a text or a list of them.
func (l *OneOrAll) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = OneOrAll{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// Summary counts sessions.
type Summary struct {
	Successful int64 `json:"total-successful-session-count"`
	Failed     int64 `json:"total-failure-session-count"`
}

// FailureDetail counts the sessions that failed in one way.
type FailureDetail struct {
	Type        string `json:"result-type"`
	SendingIP   string `json:"sending-mta-ip,omitempty"`
	MX          string `json:"receiving-mx-hostname,omitempty"`
	Hello       string `json:"receiving-mx-helo,omitempty"`
	ReceivingIP string `json:"receiving-ip,omitempty"`
	Sessions    int64  `json:"failed-session-count"`
	Information string `json:"additional-information,omitempty"`
	Reason      string `json:"failure-reason-code,omitempty"`
}

// Pack is the report as it travels: JSON, compressed (RFC 8460 5.1). The same report always gives the same bytes.
func (r Report) Pack() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// ReadReport reads what Pack made, and the reports of others, compressed or not.
func ReadReport(b []byte) (Report, error) {
	var r Report
	if len(b) > 2 && b[0] == 0x1f && b[1] == 0x8b {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return r, fmt.Errorf("TLS report: %w", err)
		}
		if b, err = io.ReadAll(io.LimitReader(z, maxReport+1)); err != nil {
			return r, fmt.Errorf("TLS report: %w", err)
		}
	}
	if len(b) > maxReport {
		return r, fmt.Errorf("TLS report: more than %d bytes", maxReport)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("TLS report: %w", err)
	}
	return r, nil
}
