package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"postern/internal/mail"
)

// Bounds of what a DSN returns and says, in bytes.
const (
	maxReturnedHeader = 128 << 10 // of the original's header section
	maxReturnedBody   = 50 << 10  // of the original's body, with ReturnFull
	maxFieldValue     = 2000      // of one status field
	maxHeaderText     = 500       // subject and display name
	maxWrittenLine    = 998       // RFC 5322 2.1.1
	foldAt            = 76        // where a header line is broken when a space allows it
)

// dateLayout is the date-time of RFC 5322 3.3.
const dateLayout = "Mon, 02 Jan 2006 15:04:05 -0700"

// Bytes returns the notification as a complete message with CRLF line ends. It
// is to be sent with the null reverse path (RFC 3464 2) and may hold 8-bit bytes
// in the returned content; whether it needs SMTPUTF8 is for NeedsSMTPUTF8 to
// say. The error wraps ErrIncomplete.
func (d DSN) Bytes() ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	human := d.humanPart()
	status := d.statusPart()
	returned := d.returnedPart()
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(d.MessageID), human, status, returned} {
		fmt.Fprintf(sum, "%d:", len(part))
		sum.Write(part)
	}
	// The boundary depends on all that it separates: nobody can have put it there.
	boundary := "=_" + hex.EncodeToString(sum.Sum(nil)[:18])

	var b bytes.Buffer
	b.Grow(len(human) + len(status) + len(returned) + 2048)
	field(&b, "Date", d.Date.Format(dateLayout))
	field(&b, "From", mailbox(d.FromName, d.From))
	field(&b, "To", "<"+d.To.String()+">")
	field(&b, "Subject", encoded(d.Subject))
	field(&b, "Message-ID", "<"+clean(d.MessageID, true, 900)+">")
	field(&b, "Auto-Submitted", "auto-replied") // RFC 3834 5
	field(&b, "MIME-Version", "1.0")
	b.WriteString("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"" + boundary + "\"\r\n")
	b.WriteString("\r\nThis is a MIME-encapsulated message.\r\n")
	for _, part := range [][]byte{human, status, returned} {
		if len(part) == 0 {
			continue
		}
		b.WriteString("\r\n--" + boundary + "\r\n")
		b.Write(part)
	}
	b.WriteString("\r\n--" + boundary + "--\r\n")
	return b.Bytes(), nil
}

// NeedsSMTPUTF8 reports whether the notification can only be sent with the
// SMTPUTF8 extension, because its own From or To does.
func (d DSN) NeedsSMTPUTF8() bool { return d.From.NeedsSMTPUTF8() || d.To.NeedsSMTPUTF8() }

func (d DSN) check() error {
	missing := func(what string) error { return fmt.Errorf("%w: %s", ErrIncomplete, what) }
	switch {
	case clean(d.ReportingMTA, true, maxFieldValue) == "":
		return missing("ReportingMTA")
	case d.From.IsNull():
		return missing("From")
	case d.To.IsNull(): // RFC 5321 6.1: nothing is sent to the null reverse path
		return missing("To")
	case clean(d.MessageID, true, 900) == "":
		return missing("MessageID")
	case d.Date.IsZero():
		return missing("Date")
	case len(d.Recipients) == 0:
		return missing("Recipients")
	}
	for i, r := range d.Recipients {
		switch r.Action {
		case Failed, Delayed, Delivered, Relayed, Expanded:
		default:
			return missing(fmt.Sprintf("Action of recipient %d is %q", i+1, r.Action))
		}
		if statusCode(r.Status) != r.Status || r.Status == "" {
			return missing(fmt.Sprintf("Status of recipient %d is %q", i+1, r.Status))
		}
		if r.Final.IsNull() && clean(r.FinalText, true, maxFieldValue) == "" {
			return missing(fmt.Sprintf("Final of recipient %d", i+1))
		}
	}
	return nil
}

// humanPart is what a person reads: plain text, or both forms when there is HTML.
func (d DSN) humanPart() []byte {
	var b bytes.Buffer
	if d.HTML == "" {
		d.textPart(&b, "text/plain", d.Text)
		return b.Bytes()
	}
	sum := sha256.Sum256([]byte(d.MessageID + "\x00" + d.Text + "\x00" + d.HTML))
	boundary := "=_a" + hex.EncodeToString(sum[:18])
	b.WriteString("Content-Type: multipart/alternative;\r\n\tboundary=\"" + boundary + "\"\r\n")
	b.WriteString("\r\n--" + boundary + "\r\n")
	d.textPart(&b, "text/plain", d.Text)
	b.WriteString("\r\n--" + boundary + "\r\n")
	d.textPart(&b, "text/html", d.HTML)
	b.WriteString("\r\n--" + boundary + "--\r\n")
	return b.Bytes()
}

func (d DSN) textPart(b *bytes.Buffer, mediaType, text string) {
	b.WriteString("Content-Type: " + mediaType + "; charset=utf-8\r\n")
	if lang := clean(d.Language, true, 64); lang != "" {
		field(b, "Content-Language", lang)
	}
	b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	quote(b, []byte(strings.TrimRight(text, "\r\n")+"\n"))
}

// quote writes p as quoted-printable text.
func quote(b *bytes.Buffer, p []byte) {
	w := quotedprintable.NewWriter(b)
	w.Write(p) // a bytes.Buffer takes everything
	w.Close()
}

// statusPart is the machine's part: RFC 3464, or RFC 6533 when an address holds
// UTF-8. The latter is quoted-printable, so it passes any transport.
func (d DSN) statusPart() []byte {
	global := false
	for _, r := range d.Recipients {
		global = global || r.Original.NeedsSMTPUTF8() || r.Final.NeedsSMTPUTF8()
	}
	var s bytes.Buffer
	status(&s, global, "Original-Envelope-Id", d.EnvelopeID)
	status(&s, global, "Reporting-MTA", "dns; "+d.ReportingMTA)
	if d.ReceivedFromMTA != "" {
		status(&s, global, "Received-From-MTA", "dns; "+d.ReceivedFromMTA)
	}
	statusDate(&s, "Arrival-Date", d.ArrivalDate)
	for _, r := range d.Recipients {
		s.WriteString("\r\n")
		if r.OriginalText != "" {
			status(&s, global, "Original-Recipient", r.OriginalText)
		} else if !r.Original.IsNull() {
			status(&s, global, "Original-Recipient", typedAddress(r.Original))
		}
		if !r.Final.IsNull() {
			status(&s, global, "Final-Recipient", typedAddress(r.Final))
		} else {
			status(&s, global, "Final-Recipient", r.FinalText)
		}
		status(&s, global, "Action", r.Action)
		status(&s, global, "Status", r.Status)
		if r.RemoteMTA != "" {
			status(&s, global, "Remote-MTA", "dns; "+r.RemoteMTA)
		}
		status(&s, global, "Diagnostic-Code", r.DiagnosticCode)
		statusDate(&s, "Last-Attempt-Date", r.LastAttempt)
		if r.Action == Delayed { // RFC 3464 2.3.9: only then
			statusDate(&s, "Will-Retry-Until", r.WillRetryUntil)
		}
	}
	var b bytes.Buffer
	if !global {
		b.WriteString("Content-Type: message/delivery-status\r\n\r\n")
		b.Write(s.Bytes())
		return b.Bytes()
	}
	b.WriteString("Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	quote(&b, s.Bytes())
	return b.Bytes()
}

// typedAddress writes "rfc822; a@b", or "utf-8; é@b" (RFC 6533 3).
func typedAddress(a mail.Address) string {
	if a.NeedsSMTPUTF8() {
		return "utf-8; " + a.String()
	}
	return "rfc822; " + a.String()
}

// status writes one status field, nothing when the value is empty.
func status(b *bytes.Buffer, unicode bool, name, value string) {
	if value = clean(value, !unicode, maxFieldValue); value != "" {
		field(b, name, value)
	}
}

func statusDate(b *bytes.Buffer, name string, t time.Time) {
	if !t.IsZero() {
		field(b, name, t.Format(dateLayout))
	}
}

// returnedPart is the original, or its header. Content whose lines do not fit
// into a message without re-encoding is not returned: message/rfc822 may not be
// encoded (RFC 2046 5.2.1), and a changed original would be no evidence.
func (d DSN) returnedPart() []byte {
	if len(d.Original) == 0 {
		return nil
	}
	header, body := splitOriginal(d.Original)
	eightBit, long := shapeOf(header)
	var b bytes.Buffer
	if d.ReturnFull && !long {
		if cut := trimLines(body, maxReturnedBody); !tooLong(cut) {
			kind := "message/rfc822"
			bodyEightBit, _ := shapeOf(cut)
			if eightBit {
				kind = "message/global" // RFC 6533 6
			}
			encoding := "7bit"
			if eightBit || bodyEightBit {
				encoding = "8bit"
			}
			b.WriteString("Content-Type: " + kind + "\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n")
			b.Write(header)
			b.WriteString("\r\n")
			b.Write(cut)
			return b.Bytes()
		}
	}
	kind := "text/rfc822-headers"
	if eightBit {
		kind = "message/global-headers"
	}
	b.WriteString("Content-Type: " + kind + "\r\n")
	if eightBit || long {
		b.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
		quote(&b, header)
	} else {
		b.WriteString("\r\n")
		b.Write(header)
	}
	return b.Bytes()
}

// splitOriginal returns the header section, capped at a line, and the body, both
// with CRLF line ends and without NUL.
func splitOriginal(raw []byte) (header, body []byte) {
	// A little more than can be used is enough to look at.
	raw = normalLines(raw[:min(len(raw), maxReturnedHeader+2*maxReturnedBody)])
	if bytes.HasPrefix(raw, []byte("\r\n")) {
		return nil, raw[2:]
	}
	header = raw
	if i := bytes.Index(raw, []byte("\r\n\r\n")); i >= 0 {
		header, body = raw[:i+2], raw[i+4:]
	}
	if len(header) > maxReturnedHeader {
		return trimLines(header, maxReturnedHeader), nil
	}
	return header, body
}

// normalLines returns raw with every line end as CRLF and without NUL.
func normalLines(raw []byte) []byte {
	out := make([]byte, 0, len(raw)+len(raw)/32+2)
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case 0:
		case '\r':
			if i+1 < len(raw) && raw[i+1] == '\n' {
				i++
			}
			out = append(out, '\r', '\n')
		case '\n':
			out = append(out, '\r', '\n')
		default:
			out = append(out, c)
		}
	}
	if n := len(out); n > 0 && out[n-1] != '\n' {
		out = append(out, '\r', '\n')
	}
	return out
}

// trimLines cuts p to at most n bytes at the end of a line.
func trimLines(p []byte, n int) []byte {
	if len(p) <= n {
		return p
	}
	return p[:bytes.LastIndexByte(p[:n], '\n')+1]
}

func shapeOf(p []byte) (eightBit, long bool) {
	for _, c := range p {
		if c >= 0x80 {
			eightBit = true
			break
		}
	}
	return eightBit, tooLong(p)
}

func tooLong(p []byte) bool {
	for len(p) > maxWrittenLine {
		i := bytes.IndexByte(p, '\n')
		if i < 0 || i > maxWrittenLine+1 {
			return true
		}
		p = p[i+1:]
	}
	return false
}

// mailbox writes a From with its display name.
func mailbox(name string, a mail.Address) string {
	if name = clean(name, false, maxHeaderText); name == "" {
		return "<" + a.String() + ">"
	}
	if text := encoded(name); text != name {
		return text + " <" + a.String() + ">"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" <` + a.String() + ">"
}

// encoded returns text for an unstructured field: as it is when plain ASCII,
// RFC 2047 words otherwise.
func encoded(text string) string {
	text = clean(text, false, maxHeaderText)
	if clean(text, true, maxHeaderText) == text {
		// What looks like an encoded word would be decoded by the reader.
		return strings.ReplaceAll(text, "=?", "= ?")
	}
	return strings.Join(strings.Fields(mime.BEncoding.Encode("utf-8", text)), " ")
}

// clean makes s fit into one header line: control characters and runs of white
// space become one space, the length is cut to n bytes at a character. With
// ascii, every other character becomes "?".
func clean(s string, ascii bool, n int) string {
	if len(s) > 4*n {
		s = s[:4*n]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r <= ' ' || r >= 0x7f && r <= 0xa0 || r == '\u2028' || r == '\u2029':
			return ' '
		case ascii && r > 0x7e:
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > n {
		s = strings.TrimSpace(strings.ToValidUTF8(s[:n], ""))
	}
	return s
}

// field writes "Name: value", folded at spaces where that is possible and by
// force where a word is longer than a line may be. value is clean.
func field(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	b.WriteByte(':')
	used := len(name) + 1
	for word := range strings.SplitSeq(value, " ") {
		if used > len(name)+1 && used+1+len(word) > foldAt {
			b.WriteString("\r\n")
			used = 0
		}
		b.WriteByte(' ')
		used++
		for used+len(word) > maxWrittenLine-100 {
			cut := maxWrittenLine - 100 - used
			for cut > 1 && word[cut]&0xc0 == 0x80 {
				cut--
			}
			b.WriteString(word[:cut] + "\r\n ")
			word, used = word[cut:], 1
		}
		b.WriteString(word)
		used += len(word)
	}
	b.WriteString("\r\n")
}
