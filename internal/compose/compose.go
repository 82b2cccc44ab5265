// Package compose builds a message from parts: who writes to whom, a subject, a text, HTML, attachments; values in, MIME out (RFC 5322, 2045 to 2049,
// 2183, 2387). It also fills placeholders, so that one set of parts makes a message for each recipient.
//
// It judges nothing but the form: no part can end the header or begin another field, no field that the gateway writes itself can be given, and every
// fault names the field and what to do (Fault). It holds no state and asks nobody.
package compose

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message"
	gomail "github.com/emersion/go-message/mail"

	"postern/internal/mail"
)

// Bounds of a message's parts. The bytes of the whole are for the caller to bound.
const (
	MaxSubject     = 900  // characters
	MaxMailboxes   = 1000 // in To and Cc together
	MaxAttachments = 100
	MaxFields      = 50
	maxValue       = 2000 // characters of a further field
	maxWord        = 900  // bytes without a space in a field that must be ASCII: lines have 998 at most (RFC 5322 2.1.1)
	maxName        = 255  // characters of a display name or a file name
)

// Mailbox is an address with a name for people.
type Mailbox struct {
	Name    string
	Address mail.Address
}

// Attachment is a file that goes with the message.
type Attachment struct {
	Name      string // file name as the reader sees it
	Type      string // media type; "" is application/octet-stream
	Content   []byte
	ContentID string // of an image that the HTML shows as cid:ID; "" for a file to save
}

// Field is a further header field.
type Field struct{ Name, Value string }

// Message is the parts. From and one of Text and HTML are required.
type Message struct {
	From        Mailbox
	ReplyTo     []Mailbox
	To, Cc      []Mailbox // as the header shows them; the envelope is another matter
	Subject     string
	Text        string // plain text; "" with HTML: none
	HTML        string
	Fields      []Field
	Attachments []Attachment
	Date        time.Time
	MessageID   string // without <>; "": the door adds one
}

// Fault is a part that cannot be taken.
type Fault struct {
	Field string // "subject", "attachments[2].type", "header.X-Tag"
	Text  string // what is wrong and what to do
}

// Error is "field: text".
func (f *Fault) Error() string { return f.Field + ": " + f.Text }

// Bytes writes the message with CRLF line ends. Every error is a *Fault.
func (m Message) Bytes() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	var h gomail.Header // fields are added on top of one another
	h.Set("MIME-Version", "1.0")
	for i := len(m.Fields) - 1; i >= 0; i-- {
		AddText(&h, m.Fields[i].Name, mime.QEncoding.Encode("utf-8", strings.TrimSpace(m.Fields[i].Value)))
	}
	AddText(&h, "Subject", mime.QEncoding.Encode("utf-8", strings.TrimSpace(m.Subject)))
	for _, x := range []struct {
		name  string
		boxes []Mailbox
	}{{"Cc", m.Cc}, {"To", m.To}, {"Reply-To", m.ReplyTo}, {"From", []Mailbox{m.From}}} {
		if len(x.boxes) > 0 {
			AddText(&h, x.name, displayedAll(x.boxes))
		}
	}
	if m.MessageID != "" {
		h.SetMessageID(m.MessageID)
	}
	if !m.Date.IsZero() {
		h.SetDate(m.Date)
	}
	var b bytes.Buffer
	if err := m.write(&b, h.Header); err != nil {
		return nil, &Fault{"message", err.Error()}
	}
	return b.Bytes(), nil
}

// part is a node of the MIME tree: a leaf with bytes, or a multipart with parts.
type part struct {
	header message.Header
	body   []byte
	parts  []part
}

// write builds the smallest tree that holds everything: mixed(alternative(text, related(html, images)), files).
func (m Message) write(w io.Writer, top message.Header) error {
	var files, images []part
	for _, a := range m.Attachments {
		if a.ContentID != "" {
			images = append(images, a.part())
		} else {
			files = append(files, a.part())
		}
	}
	var bodies []part
	if m.Text != "" || m.HTML == "" {
		bodies = append(bodies, textual("text/plain", m.Text))
	}
	if m.HTML != "" {
		bodies = append(bodies, several("related", append([]part{textual("text/html", m.HTML)}, images...)))
	} else {
		files = append(images, files...)
	}
	root := several("mixed", append([]part{several("alternative", bodies)}, files...))
	for f := root.header.Fields(); f.Next(); {
		top.Set(f.Key(), f.Value())
	}
	writer, err := message.CreateWriter(w, top)
	if err != nil {
		return err
	}
	return root.fill(writer)
}

// several puts parts together; one part stands for itself.
func several(how string, parts []part) part {
	if len(parts) == 1 {
		return parts[0]
	}
	p := part{parts: parts}
	p.header.SetContentType("multipart/"+how, nil)
	return p
}

func textual(kind, text string) part {
	var p part
	p.header.Set("Content-Transfer-Encoding", "quoted-printable")
	p.header.SetContentType(kind, map[string]string{"charset": "utf-8"})
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	p.body = []byte(strings.ReplaceAll(text, "\n", "\r\n"))
	return p
}

func (a Attachment) part() part {
	var p part
	p.header.Set("Content-Transfer-Encoding", "base64")
	kind, params, _ := mime.ParseMediaType(a.Type) // check has seen it
	if kind == "" {
		kind, params = "application/octet-stream", nil
	}
	p.header.SetContentType(kind, params)
	how := "attachment"
	if a.ContentID != "" {
		how = "inline"
		p.header.Set("Content-Id", "<"+a.ContentID+">")
	}
	p.header.Set("Content-Disposition", mime.FormatMediaType(how, map[string]string{"filename": a.Name})) // RFC 2231 beyond ASCII
	p.body = a.Content
	return p
}

// fill writes the bytes or the parts below a header that was written, and ends it.
func (p part) fill(w *message.Writer) error {
	if len(p.parts) == 0 {
		if _, err := w.Write(p.body); err != nil {
			return err
		}
		return w.Close()
	}
	for _, x := range p.parts {
		below, err := w.CreatePart(x.header)
		if err != nil {
			return err
		}
		if err := x.fill(below); err != nil {
			return err
		}
	}
	return w.Close()
}

// reserved are the fields that are written from the parts or by the gateway, or that would forge where a message comes from.
var reserved = map[string]bool{"from": true, "sender": true, "to": true, "cc": true, "bcc": true, "reply-to": true, "subject": true, "date": true, "message-id": true,
	"mime-version": true, "return-path": true, "received": true, "received-spf": true, "authentication-results": true, "dkim-signature": true}

var (
	fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
	contentID = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,128}$`)
)

func (m Message) check() error {
	if m.From.Address.IsNull() {
		return &Fault{"from", "is missing; give the address that the message is from"}
	}
	if m.Text == "" && m.HTML == "" {
		return &Fault{"text", "text and html are both empty; give one of them"}
	}
	if n := utf8.RuneCountInString(m.Subject); n > MaxSubject {
		return &Fault{"subject", fmt.Sprintf("has %d characters; %d at most", n, MaxSubject)}
	}
	if len(m.To)+len(m.Cc) > MaxMailboxes {
		return &Fault{"to", fmt.Sprintf("to and cc have %d addresses; %d at most", len(m.To)+len(m.Cc), MaxMailboxes)}
	}
	one := func(field, s string, most int) error {
		if !utf8.ValidString(s) {
			return &Fault{field, "is not UTF-8 text"}
		}
		if strings.ContainsFunc(s, unicode.IsControl) {
			return &Fault{field, "holds a line end or another control character; take it out"}
		}
		if utf8.RuneCountInString(s) > most {
			return &Fault{field, fmt.Sprintf("is longer than %d characters", most)}
		}
		return nil
	}
	if err := one("subject", m.Subject, MaxSubject); err != nil {
		return err
	}
	for field, boxes := range map[string][]Mailbox{"from": {m.From}, "reply_to": m.ReplyTo, "to": m.To, "cc": m.Cc} {
		for _, b := range boxes {
			if err := one(field, b.Name, maxName); err != nil {
				return err
			}
		}
	}
	if err := one("message_id", m.MessageID, maxName); err != nil || strings.ContainsAny(m.MessageID, "<> ") {
		return &Fault{"message_id", "is no identifier such as 2026-1@example.org, without angle brackets"}
	}
	for field, text := range map[string]string{"text": m.Text, "html": m.HTML} {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return &Fault{field, "is not UTF-8 text, or holds a NUL character"}
		}
	}
	if err := m.checkFields(one); err != nil {
		return err
	}
	return m.checkAttachments(one)
}

func (m Message) checkFields(one func(field, s string, most int) error) error {
	if len(m.Fields) > MaxFields {
		return &Fault{"headers", fmt.Sprintf("%d further fields; %d at most", len(m.Fields), MaxFields)}
	}
	for _, f := range m.Fields {
		where, low := "headers."+clip(f.Name), strings.ToLower(f.Name)
		switch {
		case !fieldName.MatchString(f.Name):
			return &Fault{where, "is no name of a header field: letters, digits and hyphens, at most 64"}
		case reserved[low] || strings.HasPrefix(low, "content-") || strings.HasPrefix(low, "resent-") || strings.HasPrefix(low, "arc-"):
			return &Fault{where, "cannot be given: it is written from the other parts or by the gateway"}
		}
		if err := one(where, f.Value, maxValue); err != nil {
			return err
		}
		for word := range strings.FieldsSeq(f.Value) {
			if len(word) > maxWord {
				return &Fault{where, fmt.Sprintf("holds a word of %d bytes; %d at most fit on a line", len(word), maxWord)}
			}
		}
		if strings.TrimSpace(f.Value) == "" {
			return &Fault{where, "is empty; leave it out"}
		}
		free := strings.HasPrefix(low, "x-") || low == "comments" || low == "keywords" || low == "organization"
		if !free && strings.ContainsFunc(f.Value, func(r rune) bool { return r > unicode.MaxASCII }) {
			return &Fault{where, "may hold ASCII only (RFC 5322)"}
		}
	}
	return nil
}

func (m Message) checkAttachments(one func(field, s string, most int) error) error {
	if len(m.Attachments) > MaxAttachments {
		return &Fault{"attachments", fmt.Sprintf("%d files; %d at most", len(m.Attachments), MaxAttachments)}
	}
	for i, a := range m.Attachments {
		where := fmt.Sprintf("attachments[%d]", i)
		if err := one(where+".name", a.Name, maxName); err != nil {
			return err
		}
		if len(a.Name) > maxName { // encoded it must fit on a line
			return &Fault{where + ".name", fmt.Sprintf("is longer than %d bytes", maxName)}
		}
		if a.Name == "" {
			return &Fault{where + ".name", "is missing; give the file's name"}
		}
		if a.ContentID != "" && !contentID.MatchString(a.ContentID) {
			return &Fault{where + ".content_id", "may hold letters, digits and . _ @ - only, at most 128, without angle brackets"}
		}
		if a.Type == "" {
			continue
		}
		kind, _, err := mime.ParseMediaType(a.Type)
		switch {
		case err != nil || !strings.Contains(kind, "/") || len(a.Type) > maxName:
			return &Fault{where + ".type", "is no media type such as application/pdf"}
		case strings.HasPrefix(kind, "multipart/"), strings.HasPrefix(kind, "message/"):
			return &Fault{where + ".type", "multipart and message types cannot be attached; use application/octet-stream, or send the whole message as raw"}
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s), "?")
}
