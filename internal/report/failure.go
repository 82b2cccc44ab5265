package report

import (
	"bytes"
	"errors"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postern/internal/mail"
)

// Feedback is a report about one message: a recipient's complaint (RFC 5965) or a failure of authentication (RFC 6591, RFC 9991). What is not told is
// empty.
type Feedback struct {
	Type         string // lower case: "abuse", "fraud", "virus", "not-spam", "opt-out", "auth-failure", "other"…
	UserAgent    string
	Version      string
	Arrival      time.Time
	Source       netip.Addr
	SourceText   string
	SourcePort   int
	MailFrom     string // of the message, without <>
	Recipients   []string
	EnvelopeID   string
	ReportingMTA string
	Domains      []string // Reported-Domain, lower case
	URIs         []string
	Results      []string // Authentication-Results
	Incidents    int64    // 1 when not told
	Original     Original // what came back of the message

	// Of failures of authentication.
	AuthFailure string // lower case: "dmarc", "spf", "dkim", "bodyhash", "signature", "revoked", "adsp"
	Delivery    string // what became of it: "delivered", "spam", "policy", "reject", "other"
	Alignment   string // Identity-Alignment (RFC 7489 7.3.1): "dkim, spf", "none"
	DKIMDomain  string
	Selector    string
	Identity    string
	SPFRecord   string
	DKIMRecord  string
}

// Bounds of a feedback report.
const (
	maxFeedback = 64 << 10 // bytes of the part for machines
	maxListed   = 100      // domains, addresses, results
)

// readFeedbackMail reads a complaint or a failure report from a mail. ok is false when it is none.
func readFeedbackMail(m *mail.Message) (Recognised, bool) {
	w := &warnings{}
	if p := feedbackPart(m.Root); p != nil {
		f := readFeedback(p.Decoded(), w)
		f.Original = originalOf(m)
		f.completed(m)
		return f.recognised(w), true
	}
	if f, ok := eximFailure(m, w); ok {
		w.add(WarnNoMachine, "")
		return f.recognised(w), true
	}
	b, err := ReadBounce(m)
	if err != nil || b.Kind != BounceComplaint {
		return Recognised{}, false
	}
	// Only the texts for people tell more: Microsoft's former JMRP and its relatives.
	f := &Feedback{Type: b.Feedback, Incidents: 1, Original: b.Original, MailFrom: b.Original.ReversePath}
	for _, r := range b.Recipients {
		f.Recipients = append(f.Recipients, r.Text)
	}
	f.source(firstIP(m.Subject()))
	if !f.Source.IsValid() {
		f.source(b.Original.Header.Get("X-Reporter-IP"))
	}
	if !f.Source.IsValid() {
		f.source(firstIP(m.Header.Get("X-Originating-IP")))
	}
	f.completed(m)
	w.add(WarnNoMachine, "")
	return Recognised{Kind: KindJMRP, Feedback: f, Warnings: w.list}, true
}

// recognised tells complaints and failures apart.
func (f *Feedback) recognised(w *warnings) Recognised {
	kind := KindComplaint
	if f.Type == "auth-failure" || f.Type == "dmarc" || f.Type != "abuse" && f.AuthFailure != "" {
		kind = KindFailure
	}
	return Recognised{Kind: kind, Feedback: f, Warnings: w.list}
}

// feedbackPart finds the part for machines; those that do not say so are told by their first field.
func feedbackPart(root *mail.Part) *mail.Part {
	var loose *mail.Part
	stack := []*mail.Part{root}
	for n := 0; len(stack) > 0 && n < 300; n++ {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		switch {
		case p == nil:
		case strings.HasSuffix(p.MediaType, "feedback-report"):
			return p
		case strings.HasPrefix(p.MediaType, "multipart/"):
			for i := len(p.Children) - 1; i >= 0; i-- {
				stack = append(stack, p.Children[i])
			}
		case loose == nil && !strings.HasPrefix(p.MediaType, "message/"):
			b := p.Decoded()
			if len(b) < maxFeedback && bytes.HasPrefix(bytes.ToLower(bytes.TrimLeft(b[:min(len(b), 200)], " \t\r\n")), []byte("feedback-type:")) {
				loose = p
			}
		}
	}
	return loose
}

// emptyLines are those that some write between fields.
var emptyLines = regexp.MustCompile(`\r?\n(?:[ \t]*\r?\n)+`)

// readFeedback reads the fields of the part for machines.
func readFeedback(raw []byte, w *warnings) *Feedback {
	raw = emptyLines.ReplaceAll(bytes.TrimLeft(raw[:min(len(raw), maxFeedback)], " \t\r\n"), []byte("\n"))
	h := mail.Parse(append(append([]byte(nil), raw...), "\r\n\r\n"...), mail.Limits{HeaderFields: 500}).Header
	f := &Feedback{Incidents: 1}
	get := func(name string, n int) string { return clipped(h.Get(name), n) }
	f.Type = lowerTrim(get("Feedback-Type", 60))
	f.UserAgent, f.Version = get("User-Agent", maxName), get("Version", 20)
	for _, x := range []struct{ name, value string }{{"Feedback-Type", f.Type}, {"User-Agent", f.UserAgent}, {"Version", f.Version}} {
		if x.value == "" {
			w.add(WarnMissing, x.name)
		}
	}
	date := get("Arrival-Date", 100)
	if date == "" {
		date = get("Received-Date", 100) // RFC 5965's drafts, and Yahoo
	}
	if date != "" {
		t, err := mail.ParseDate(date)
		if err != nil && !errors.Is(err, mail.ErrDateWeekday) {
			w.add(WarnDate, date)
		}
		f.Arrival = t
	}
	f.source(get("Source-IP", 200))
	f.SourcePort, _ = strconv.Atoi(get("Source-Port", 5))
	f.MailFrom = strings.Trim(get("Original-Mail-From", maxName), "<> ")
	f.EnvelopeID, f.ReportingMTA = get("Original-Envelope-Id", maxName), clipped(withoutType(h.Get("Reporting-MTA")), maxName)
	list := func(name string, change func(string) string) (out []string) {
		for _, x := range h.All(name) {
			if s := change(clipped(x.Text(), maxName)); s != "" && len(out) < maxListed {
				out = append(out, s)
			}
		}
		return out
	}
	address := func(s string) string { return strings.Trim(untyped(s), "<> ") }
	f.Recipients = list("Original-Rcpt-To", address)
	f.Domains = list("Reported-Domain", func(s string) string { return strings.TrimSuffix(strings.ToLower(s), ".") })
	f.URIs = list("Reported-URI", func(s string) string { return s })
	for _, x := range h.All("Authentication-Results") {
		if len(f.Results) < maxListed {
			f.Results = append(f.Results, clipped(x.Text(), 1000))
		}
	}
	if s := get("Incidents", 20); s != "" {
		n, ok := number(s)
		if !ok || n == 0 {
			w.add(WarnNumber, s)
			n = 1
		}
		f.Incidents = n
	}
	f.AuthFailure, f.Delivery, f.Alignment = lowerTrim(get("Auth-Failure", 60)), lowerTrim(get("Delivery-Result", 60)), lowerTrim(get("Identity-Alignment", 60))
	f.DKIMDomain, f.Selector, f.Identity = strings.ToLower(get("DKIM-Domain", maxName)), get("DKIM-Selector", maxName), get("DKIM-Identity", maxName)
	f.SPFRecord, f.DKIMRecord = get("SPF-DNS", 1000), get("DKIM-Selector-DNS", 1000)
	if f.Type == "" && lowerTrim(h.Get("Abuse-Type")) == "complaint" {
		f.Type = "abuse"
	}
	if len(f.Recipients) == 0 {
		for _, name := range []string{"Removal-Recipient", "Original-Recipient"} {
			if s := address(get(name, maxName)); s != "" {
				f.Recipients = append(f.Recipients, s)
			}
		}
	}
	return f
}

// source reads an address that may have a host or a port behind it.
func (f *Feedback) source(s string) {
	s = strings.TrimSpace(s)
	if s == "" {
		return
	}
	f.SourceText = clipped(s, 100)
	if ip, port := looseAddress(s); ip.IsValid() {
		f.Source, f.SourceText = ip, ip.String()
		if port != 0 {
			f.SourcePort = port
		}
	}
}

// completed takes from the returned message and the report's text what the fields leave out.
func (f *Feedback) completed(m *mail.Message) {
	if f.MailFrom == "" {
		f.MailFrom = f.Original.ReversePath
	}
	if !f.Source.IsValid() && f.SourceText == "" {
		if t := m.Text(); t != "" {
			f.source(firstIP(t[:min(len(t), 2000)]))
		}
	}
	if len(f.Domains) == 0 {
		if boxes, _ := mail.ParseMailboxes(f.Original.From); len(boxes) > 0 && boxes[0].Address.Domain != "" {
			f.Domains = []string{string(boxes[0].Address.Domain)}
		}
	}
}

// From returns the domain of the message's author, as far as the report tells it.
func (f *Feedback) From() string {
	if boxes, _ := mail.ParseMailboxes(f.Original.From); len(boxes) > 0 && boxes[0].Address.Domain != "" {
		return string(boxes[0].Address.Domain)
	}
	if len(f.Domains) > 0 {
		return f.Domains[0]
	}
	return ""
}

// originalOf reads the returned message's header.
func originalOf(m *mail.Message) Original {
	r := &bounceReader{m: m}
	r.collect()
	r.readOriginal()
	return r.out.Original
}

// addressWord finds what looks like an IP address behind "IP" or in brackets.
var addressWord = regexp.MustCompile(`(?i)(?:\bIP(?: address)?[\s:]+|from\s|\[)\[?([0-9a-f:.]{3,45})\]?`)

// firstIP is the first IP address that a text names; "" when it names none.
func firstIP(s string) string {
	for _, x := range addressWord.FindAllStringSubmatch(s[:min(len(s), 4000)], 20) {
		word := strings.TrimRight(x[1], ".:")
		if ip, err := netip.ParseAddr(word); err == nil {
			return ip.String()
		}
	}
	return ""
}

// eximFailure reads the failure reports that Exim's sample configuration writes (its chapter 58, "DMARC support"): text alone, with the header behind it.
func eximFailure(m *mail.Message, w *warnings) (*Feedback, bool) {
	text := m.Text()
	text = text[:min(len(text), maxBounceText)]
	at := strings.Index(text, "A message claiming to be from you has failed")
	if at < 0 || at > 2000 {
		return nil, false
	}
	f := &Feedback{Type: "auth-failure", AuthFailure: "dmarc", Incidents: 1}
	lines := strings.Split(text[at:], "\n")
	for i, line := range lines[:min(len(lines), 60)] {
		name, value, ok := strings.Cut(line, ":")
		value = clipped(value, maxName)
		if strings.Contains(line, "copy of the headers") {
			rest := strings.TrimLeft(strings.Join(lines[i+1:], "\n"), "\n\r -")
			h := mail.Parse(fieldsOnly([]byte(rest)), mail.Limits{HeaderFields: 200}).Header
			f.Original = Original{Header: h, MessageID: h.Get("Message-ID"), ReversePath: strings.Trim(h.Get("Return-Path"), "<> "), From: h.Get("From"), To: h.Get("To"), Subject: h.Get("Subject")}
			break
		}
		if !ok {
			continue
		}
		switch lowerTrim(name) {
		case "sender domain":
			f.Domains = []string{strings.ToLower(value)}
		case "sender ip address":
			f.source(value)
		case "received date":
			t, err := mail.ParseDate(value)
			if err != nil && !errors.Is(err, mail.ErrDateWeekday) {
				w.add(WarnDate, value)
			}
			f.Arrival = t
		case "spf alignment", "dkim alignment":
			what, _, _ := strings.Cut(lowerTrim(name), " ")
			if lowerTrim(value) == "yes" {
				f.Alignment = strings.TrimPrefix(f.Alignment+", "+what, ", ")
			}
		case "dmarc results":
			f.Delivery = lowerTrim(value)
		}
	}
	f.completed(m)
	return f, true
}
