package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// TLSReport says how sessions towards a domain's servers went, seen by one sender within a day (RFC 8460 4).
type TLSReport struct {
	Organization string
	Contact      string
	ID           string
	Begin, End   time.Time // zero: not told
	Policies     []TLSPolicy
}

// TLSPolicy is what came of one policy.
type TLSPolicy struct {
	Type       string // lower case: "tlsa", "sts", "no-policy-found", or what the reporter calls it
	Domain     string // lower case
	Strings    []string
	MXHosts    []string
	Successful int64 // sessions
	Failed     int64
	Failures   []TLSFailure
}

// TLSFailure counts sessions that failed in one way.
type TLSFailure struct {
	Type        string // lower case, such as "certificate-expired" (RFC 8460 4.3)
	SendingIP   string
	MX          string
	Hello       string
	ReceivingIP string
	Sessions    int64
	Information string // additional-information
	Reason      string // failure-reason-code
}

// TLSResultTypes are the result types of RFC 8460 4.3.
func TLSResultTypes() []string {
	return []string{"starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted", "validation-failure", "tlsa-invalid", "dnssec-invalid",
		"dane-required", "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"}
}

// Sessions sums the report up.
func (t *TLSReport) Sessions() (successful, failed int64) {
	for _, p := range t.Policies {
		successful += p.Successful
		failed += p.Failed
	}
	return successful, failed
}

// Bounds of one TLS report.
const (
	maxTLSPolicies = 1000
	maxTLSFailures = 1000
	maxTLSTexts    = 50
)

// looseText is a text that some write as a number, or leave null.
type looseText string

// UnmarshalJSON takes a text, a number or a boolean as text; everything else is empty.
func (t *looseText) UnmarshalJSON(b []byte) error {
	var s string
	switch {
	case json.Unmarshal(b, &s) == nil:
		*t = looseText(s)
	case len(b) > 0 && b[0] != '{' && b[0] != '[' && string(b) != "null":
		*t = looseText(b)
	}
	return nil
}

func (t looseText) clipped(n int) string { return clipped(string(t), n) }

// looseTexts is a list that some write as one text.
type looseTexts []looseText

// UnmarshalJSON takes a text or a list.
func (t *looseTexts) UnmarshalJSON(b []byte) error {
	var list []looseText
	if json.Unmarshal(b, &list) == nil {
		*t = list
		return nil
	}
	var one looseText
	_ = one.UnmarshalJSON(b)
	if one != "" {
		*t = looseTexts{one}
	}
	return nil
}

func (t looseTexts) clipped(n int, w *warnings) (out []string) {
	for _, x := range t {
		if len(out) == maxTLSTexts {
			w.add(WarnTooMany, "")
			break
		}
		if s := x.clipped(n); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// looseList is a list that some write as its only item.
type looseList[T any] []T

// UnmarshalJSON takes a list or one item. What is no object is left out, and what goes far beyond the bounds of a report.
func (l *looseList[T]) UnmarshalJSON(b []byte) error {
	list := []json.RawMessage{b}
	if len(b) > 0 && b[0] == '[' {
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
	}
	for _, x := range list {
		if len(x) == 0 || x[0] != '{' || len(*l) > max(maxTLSPolicies, maxTLSFailures) {
			continue
		}
		var one T
		if err := json.Unmarshal(x, &one); err != nil {
			return err
		}
		*l = append(*l, one)
	}
	return nil
}

type tlsJSON struct {
	Organization looseText `json:"organization-name"`
	Range        struct {
		Start looseText `json:"start-datetime"`
		End   looseText `json:"end-datetime"`
	} `json:"date-range"`
	Contact  looseText              `json:"contact-info"`
	ID       looseText              `json:"report-id"`
	Policies looseList[tlsOnPolicy] `json:"policies"`
}

type tlsOnPolicy struct {
	Policy struct {
		Type    looseText  `json:"policy-type"`
		Strings looseTexts `json:"policy-string"`
		Domain  looseText  `json:"policy-domain"`
		MXHost  looseTexts `json:"mx-host"`
		MXHosts looseTexts `json:"mx-host-pattern"` // of drafts
	} `json:"policy"`
	Summary struct {
		Successful looseText `json:"total-successful-session-count"`
		Failed     looseText `json:"total-failure-session-count"`
		Failed2    looseText `json:"total-failed-session-count"` // of some that mixed the two names up
	} `json:"summary"`
	Failures looseList[tlsOnFailure] `json:"failure-details"`
}

type tlsOnFailure struct {
	Type        looseText `json:"result-type"`
	SendingIP   looseText `json:"sending-mta-ip"`
	MX          looseText `json:"receiving-mx-hostname"`
	Hello       looseText `json:"receiving-mx-helo"`
	ReceivingIP looseText `json:"receiving-ip"`
	Sessions    looseText `json:"failed-session-count"`
	Information looseText `json:"additional-information"`
	Further     looseText `json:"additional-info-uri"` // of drafts
	Reason      looseText `json:"failure-reason-code"`
}

// json recognises a report in JSON.
func (r *reader) json(raw []byte, w *warnings, name string, path []string) {
	if int64(len(raw)) > r.limits.JSON {
		r.refuse(refusedf("%sJSON of more than %s, the most that is read", about(name), bytesText(r.limits.JSON)))
		return
	}
	raw = bytes.TrimSpace(narrow(raw))
	if err := measured(raw); err != nil {
		r.refuse(named(err, name))
		return
	}
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
		w.add(WarnEncoding, "")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	for n := 0; n < maxReports; n++ { // some write several, one behind the other
		var one json.RawMessage
		switch err := d.Decode(&one); {
		case errors.Is(err, io.EOF):
			return
		case err != nil && n > 0:
			if last := len(r.out.Reports) - 1; last >= 0 {
				r.out.Reports[last].Warnings = append(r.out.Reports[last].Warnings, Warning{WarnTrailing, "", 1})
			}
			return
		case err != nil:
			if raw[0] == '{' && (bytes.Contains(raw, []byte(`"policies"`)) || bytes.Contains(raw, []byte(`"xarf_version"`)) || bytes.Contains(raw, []byte(`"report-id"`))) {
				r.refuse(refusedf("%sJSON that cannot be read at byte %d: %v; fetch it from the mail again", about(name), d.InputOffset(), err))
			}
			return
		}
		list := []json.RawMessage{one}
		if one[0] == '[' && json.Unmarshal(one, &list) != nil {
			return
		}
		for i, x := range list {
			if n > 0 || i > 0 {
				w = &warnings{}
			}
			if len(x) > 0 && x[0] == '{' {
				r.object(x, w, name, path)
			}
		}
	}
}

// object recognises one report.
func (r *reader) object(raw []byte, w *warnings, name string, path []string) {
	var which struct {
		XARF     json.RawMessage `json:"xarf_version"`
		Version  json.RawMessage `json:"Version"`
		Reporter json.RawMessage `json:"ReporterInfo"`
		Report   json.RawMessage `json:"Report"`
		Policies json.RawMessage `json:"policies"`
		ID       json.RawMessage `json:"report-id"`
		Range    json.RawMessage `json:"date-range"`
		Name     json.RawMessage `json:"organization-name"`
	}
	if json.Unmarshal(raw, &which) != nil {
		return
	}
	switch {
	case len(which.XARF) > 0:
		x, err := readXARF4(raw, w)
		if err != nil {
			r.refuse(named(err, name))
			return
		}
		r.add(Recognised{Kind: KindXARF, Name: name, Path: path, XARF: x, Warnings: w.list})
	case len(which.Report) > 0 && (len(which.Reporter) > 0 || len(which.Version) > 0):
		x, err := readXARF3(raw, w)
		if err != nil {
			r.refuse(named(err, name))
			return
		}
		r.add(Recognised{Kind: KindXARF, Name: name, Path: path, XARF: x, Warnings: w.list})
	case len(which.Policies) > 0 || len(which.ID) > 0 && (len(which.Range) > 0 || len(which.Name) > 0):
		t, err := readTLS(raw, name, w)
		if err != nil {
			r.refuse(named(err, name))
			return
		}
		r.add(Recognised{Kind: KindTLS, Name: name, Path: path, TLS: t, Warnings: w.list})
	}
}

// measured refuses JSON that takes much more memory than bytes: deep nesting, and very many small things.
func measured(raw []byte) error {
	depth, objects, elements, text := 0, 0, 0, false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if text {
			switch c {
			case '\\':
				i++
			case '"':
				text = false
			}
			continue
		}
		switch c {
		case '"':
			text = true
		case '{', '[':
			objects++
			if depth++; depth > maxDepth {
				return refusedf("JSON nested deeper than %d", maxDepth)
			}
		case '}', ']':
			depth--
		case ',':
			elements++
		}
	}
	if objects > maxObjects || elements > maxElements {
		return refusedf("JSON with %d objects and %d values, more than any report has", objects, elements)
	}
	return nil
}

// readTLS reads a TLS report.
func readTLS(raw []byte, name string, w *warnings) (*TLSReport, error) {
	var j tlsJSON
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, refusedf("a TLS report that cannot be read: %v", err)
	}
	t := &TLSReport{Organization: j.Organization.clipped(maxName), Contact: j.Contact.clipped(maxName), ID: j.ID.clipped(maxName),
		Begin: moment(string(j.Range.Start)), End: moment(string(j.Range.End))}
	for _, x := range []struct{ what, value string }{{"organization-name", t.Organization}, {"report-id", t.ID}} {
		if x.value == "" {
			w.add(WarnMissing, x.what)
		}
	}
	if len(j.Policies) == 0 {
		w.add(WarnMissing, "policies")
	}
	n, known := parseName(name)
	switch {
	case t.Begin.IsZero() || t.End.IsZero():
		if t.Begin, t.End = wholeDay(t.Begin, t.End); known {
			t.Begin, t.End = n.Begin, n.End
		}
		w.add(WarnNoRange, "")
	case t.End.Before(t.Begin):
		t.Begin, t.End = t.End, t.Begin
		w.add(WarnNoRange, "")
	}
	if t.Begin.IsZero() {
		return nil, refusedf("the TLS report does not say of which time it speaks%s; a file called receiver!domain!begin!end.json would", quoted(strings.TrimSpace(j.Range.Start.clipped(40)+" "+j.Range.End.clipped(40))))
	}
	if t.End.Sub(t.Begin) > 25*time.Hour {
		w.add(WarnRange, t.End.Sub(t.Begin).Round(time.Hour).String())
	}
	for i, p := range j.Policies {
		if i == maxTLSPolicies {
			w.add(WarnTooMany, "policies")
			break
		}
		t.Policies = append(t.Policies, p.read(n, w))
	}
	return t, nil
}

func (p *tlsOnPolicy) read(name reportName, w *warnings) TLSPolicy {
	out := TLSPolicy{Type: strings.ToLower(p.Policy.Type.clipped(60)), Domain: strings.TrimSuffix(strings.ToLower(p.Policy.Domain.clipped(maxName)), "."),
		Strings: p.Policy.Strings.clipped(maxRemark, w), MXHosts: append(p.Policy.MXHost, p.Policy.MXHosts...).clipped(maxName, w)}
	switch out.Type {
	case "tlsa", "sts", "no-policy-found":
	case "":
		w.add(WarnMissing, "policy-type")
	default:
		w.add(WarnValue, out.Type)
	}
	if out.Domain == "" {
		out.Domain = name.Domain
		w.add(WarnMissing, "policy-domain")
	}
	out.Successful = sessions(p.Summary.Successful, "total-successful-session-count", w)
	if p.Summary.Failed == "" {
		p.Summary.Failed = p.Summary.Failed2
	}
	out.Failed = sessions(p.Summary.Failed, "total-failure-session-count", w)
	for i, f := range p.Failures {
		if i == maxTLSFailures {
			w.add(WarnTooMany, "failure-details")
			break
		}
		x := TLSFailure{Type: strings.ToLower(f.Type.clipped(60)), SendingIP: f.SendingIP.clipped(60), MX: strings.ToLower(f.MX.clipped(maxName)), Hello: f.Hello.clipped(maxName),
			ReceivingIP: f.ReceivingIP.clipped(60), Sessions: sessions(f.Sessions, "failed-session-count", w), Information: f.Information.clipped(maxRemark), Reason: f.Reason.clipped(maxRemark)}
		if x.Information == "" {
			x.Information = f.Further.clipped(maxRemark)
		}
		if !knownResult(x.Type) {
			w.add(WarnValue, x.Type)
		}
		out.Failures = append(out.Failures, x)
	}
	return out
}

func knownResult(t string) bool {
	for _, k := range TLSResultTypes() {
		if t == k {
			return true
		}
	}
	return false
}

// sessions reads a count; one that is missing is nought and told.
func sessions(t looseText, what string, w *warnings) int64 {
	if t == "" {
		w.add(WarnMissing, what)
		return 0
	}
	n, ok := number(string(t))
	if !ok {
		w.add(WarnNumber, string(t))
	}
	return n
}
