package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"postern/internal/mail"
)

// Bounds of what ParseDSN reads. What lies beyond is left out.
const (
	maxRecipients  = 1000
	maxStatusBytes = 1 << 20 // of one delivery status part
	maxParsedValue = 4 << 10 // bytes of one field value
	maxParts       = 200     // parts looked at
)

// ParseDSN reads the delivery status that m carries, as tolerantly as its
// meaning stays clear: fields in any order, groups that run together, missing
// types, comments after codes, other spellings of the media type. What the
// report does not say, or says in a way that cannot be understood, is left zero;
// addresses that do not parse are kept in FinalText and OriginalText.
//
// Original is the returned message or header, a slice of m. The error is
// [ErrNoDSN] when no part of m tells the fate of a recipient; the returned message
// is not searched, so that a bounce of a bounce speaks only for itself.
func ParseDSN(m *mail.Message) (DSN, error) {
	var d DSN
	if boxes := m.From(); len(boxes) > 0 {
		d.From, d.FromName = boxes[0].Address, boxes[0].Name
	}
	if boxes, _ := mail.ParseMailboxes(m.Header.Get("To")); len(boxes) > 0 {
		d.To = boxes[0].Address
	}
	d.Subject = m.Subject()
	d.MessageID = strings.Trim(m.MessageID(), "<> ")
	if date, err := m.Date(); err == nil {
		d.Date = date
	}
	if m.Root == nil {
		return d, ErrNoDSN
	}
	d.walk(m.Root)
	if len(d.Recipients) == 0 {
		return d, ErrNoDSN
	}
	return d, nil
}

// walk visits the parts in document order without recursion.
func (d *DSN) walk(root *mail.Part) {
	stack := []*mail.Part{root}
	for n := 0; len(stack) > 0 && n < maxParts; n++ {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		switch kind := p.MediaType; {
		case strings.HasSuffix(kind, "delivery-status"): // message/, message/global-, and text/ by mistake
			d.readStatus(p.Decoded())
		case kind == "message/rfc822" || kind == "message/global":
			d.keepOriginal(p, true)
		case strings.HasSuffix(kind, "rfc822-headers") || kind == "message/global-headers" || kind == "text/rfc822-header":
			d.keepOriginal(p, false)
		case strings.HasPrefix(kind, "multipart/"):
			for i := len(p.Children) - 1; i >= 0; i-- {
				stack = append(stack, p.Children[i])
			}
		case kind == "text/plain" && d.Text == "":
			d.Text = p.Text()
			d.Language = p.Header.Get("Content-Language")
		case kind == "text/html" && d.HTML == "":
			d.HTML = p.Text()
		}
	}
}

func (d *DSN) keepOriginal(p *mail.Part, full bool) {
	if d.Original == nil {
		d.Original, d.ReturnFull = p.Decoded(), full
	}
}

// readStatus reads the fields of one delivery status part.
func (d *DSN) readStatus(raw []byte) {
	if len(raw) > maxStatusBytes {
		raw = raw[:maxStatusBytes]
	}
	text := strings.ToValidUTF8(string(raw), "\uFFFD")
	var name string
	var value []byte
	current := -1 // recipient that the fields speak about
	flush := func() {
		if name != "" {
			d.readField(name, string(value), &current)
		}
		name, value = "", value[:0]
	}
	for len(text) > 0 {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" {
			flush()
			current = -1
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			if len(value)+len(line) <= maxParsedValue {
				value = append(append(value, ' '), strings.TrimSpace(line)...)
			}
			continue
		}
		flush()
		before, after, ok := strings.Cut(line, ":")
		if !ok || len(before) > 64 {
			continue
		}
		name = strings.ToLower(strings.TrimSpace(before))
		value = append(value, after[:min(len(after), maxParsedValue)]...)
	}
	flush()
}

// readField takes one field in. current is the recipient of the group, -1 before
// the first field that speaks about one.
func (d *DSN) readField(name, value string, current *int) {
	value = clean(value, false, maxParsedValue)
	switch name {
	case "reporting-mta":
		first(&d.ReportingMTA, withoutType(value))
		return
	case "received-from-mta":
		first(&d.ReceivedFromMTA, withoutType(value))
		return
	case "original-envelope-id":
		first(&d.EnvelopeID, value)
		return
	case "arrival-date":
		if t, err := mail.ParseDate(value); err == nil && d.ArrivalDate.IsZero() {
			d.ArrivalDate = t
		}
		return
	case "final-recipient", "original-recipient", "action", "status", "remote-mta",
		"diagnostic-code", "last-attempt-date", "will-retry-until", "x-powermta-bouncecategory":
	default:
		return
	}
	// A group without blank line before it begins with a field that the
	// recipient at hand already has.
	if *current < 0 || name == "final-recipient" && d.Recipients[*current].FinalText != "" {
		if len(d.Recipients) == maxRecipients {
			return
		}
		d.Recipients = append(d.Recipients, DSNRecipient{})
		*current = len(d.Recipients) - 1
	}
	r := &d.Recipients[*current]
	switch name {
	case "x-powermta-bouncecategory":
		first(&r.Sorted, strings.ToLower(value))
	case "final-recipient":
		r.FinalText = value
		r.Final = typed(value)
	case "original-recipient":
		r.OriginalText = value
		r.Original = typed(value)
	case "action":
		word, _, _ := strings.Cut(strings.ToLower(value), " ")
		first(&r.Action, word)
	case "status":
		first(&r.Status, statusCode(value))
		if _, remark, ok := strings.Cut(value, "("); ok {
			first(&r.Remark, strings.TrimRight(remark, ") "))
		}
	case "remote-mta":
		first(&r.RemoteMTA, withoutType(value))
	case "diagnostic-code":
		kind, text, ok := strings.Cut(value, ";")
		if ok && len(kind) < 32 && !strings.Contains(kind, " ") {
			value = kind + "; " + strings.TrimSpace(text)
		}
		first(&r.DiagnosticCode, value)
	case "last-attempt-date":
		if t, err := mail.ParseDate(value); err == nil && r.LastAttempt.IsZero() {
			r.LastAttempt = t
		}
	case "will-retry-until":
		if t, err := mail.ParseDate(value); err == nil && r.WillRetryUntil.IsZero() {
			r.WillRetryUntil = t
		}
	}
}

func first(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// withoutType takes "dns;" off a typed name.
func withoutType(value string) string {
	if kind, name, ok := strings.Cut(value, ";"); ok && !strings.ContainsAny(kind, " .") {
		return strings.TrimSpace(name)
	}
	return value
}

// typed reads "rfc822; a@b" and its careless forms; the null address when it is
// none.
func typed(value string) mail.Address {
	kind, text, ok := strings.Cut(value, ";")
	if !ok {
		kind, text = "rfc822", value
	}
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "<") {
		text, _, _ = strings.Cut(text[1:], ">")
	}
	if strings.EqualFold(strings.TrimSpace(kind), "utf-8") {
		text = decodeUTF8Address(text)
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		// "a@b (comment)" and "a@b extra"
		text, _, _ = strings.Cut(text, " ")
		if a, err = mail.ParseAddress(text); err != nil {
			return mail.Address{}
		}
	}
	return a
}

// decodeUTF8Address replaces \x{HEX} by its character (RFC 6533 3).
func decodeUTF8Address(s string) string {
	if !strings.Contains(s, `\x{`) {
		return s
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		digits, after, closed := strings.Cut(rest, "}")
		n, err := strconv.ParseUint(digits, 16, 21)
		if !closed || err != nil || !utf8.ValidRune(rune(n)) {
			b.WriteString(`\x{`)
			s = rest
			continue
		}
		b.WriteRune(rune(n))
		s = after
	}
}

// statusCode returns the RFC 3463 code that value begins with, "" if none.
func statusCode(value string) string {
	value, _, _ = strings.Cut(value, " ")
	parts := strings.Split(value[:min(len(value), 12)], ".")
	if len(parts) != 3 || parts[0] != "2" && parts[0] != "4" && parts[0] != "5" {
		return ""
	}
	for _, p := range parts[1:] {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n > 999 || len(p) > 3 {
			return ""
		}
	}
	return fmt.Sprintf("%s.%s.%s", parts[0], parts[1], parts[2])
}
