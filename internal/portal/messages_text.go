package portal

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/user"
)

// Bounds of what a page shows of a message.
const (
	mostFields     = 150
	fieldText      = 1_500
	mostLines      = 2_000
	lineText       = 2_000
	mostShown      = 200_000 // bytes of text in all
	mostAttached   = 100
	attachmentName = 200
)

// textPage shows a message's own text.
type textPage struct {
	page
	Subject  string
	Back     string
	File     string // address of the whole message, to download
	Fields   []fact
	MoreOf   int // fields that are left out
	Text     string
	FromHTML bool // there is no plain text: what is shown was taken from the HTML
	Cut      bool
	Attached []attached
}

// attached is one part that is named and not shown.
type attached struct{ Name, Kind, Size string }

// body returns the message of the path with its bytes. Reading is written into the audit log: it is somebody's letter.
func (s *site) body(v *visit) (view messageRef, raw []byte, ok bool) {
	found, ok := s.theMessage(v)
	if !ok {
		return view, nil, false
	}
	raw, err := s.o.Spool.Body(v.r.Context(), found.ID)
	switch {
	case errors.Is(err, spool.ErrNotFound):
		v.missing()
		return view, nil, false
	case err != nil:
		v.broken("message not read", err)
		return view, nil, false
	}
	e := user.Entry{Actor: v.who.Actor(), Name: v.who.Name, Customer: v.customer.ID, Act: "message.read", Subject: string(found.ID), IP: addressOf(v.r)}
	if err := s.o.Users.Note(context.WithoutCancel(v.r.Context()), e); err != nil {
		v.broken("audit log not written", err)
		return view, nil, false
	}
	return messageRef{found.ID, found.Subject}, raw, true
}

type messageRef struct {
	id      mail.QueueID
	subject string
}

// messageText shows header and plain text, never HTML as HTML.
func (s *site) messageText(v *visit) {
	ref, raw, ok := s.body(v)
	if !ok {
		return
	}
	path := v.seatOf(ref.id).path
	t := textPage{page: v.page, Subject: clean(ref.subject, 200), Back: v.page.URL(path), File: v.page.URL(path + "/message.eml")}
	if t.Subject == "" {
		t.Subject = t.T("facts.no_subject")
	}
	t.Title = t.T("messages.text.title", "Subject", t.Subject)
	m := mail.Parse(raw, mail.DefaultLimits())
	for i, f := range m.Header {
		if i == mostFields {
			t.MoreOf = len(m.Header) - mostFields
			break
		}
		t.Fields = append(t.Fields, fact{Label: clean(f.Name, 100), Value: clean(f.Text(), fieldText)})
	}
	var plain []string
	for _, p := range m.Parts() {
		file := p.Disposition == "attachment" || p.Filename != ""
		if !file && p.MediaType == "text/plain" {
			plain = append(plain, p.Text())
			continue
		}
		if !file && p.MediaType == "text/html" || len(t.Attached) == mostAttached {
			continue
		}
		a := attached{clean(p.Filename, attachmentName), clean(p.MediaType, 100), locale.Bytes(t.Lang, int64(len(p.Decoded())))}
		if a.Name == "" {
			a.Name = t.T("messages.text.unnamed")
		}
		t.Attached = append(t.Attached, a)
	}
	text := strings.Join(plain, "\n\n")
	if strings.TrimSpace(text) == "" {
		text = m.Text()
		t.FromHTML = strings.TrimSpace(text) != ""
	}
	t.Text, t.Cut = cleanLines(text)
	v.show(http.StatusOK, "messages-text.html", t)
}

// cleanLines is clean for a text of many lines. cut reports that some was left out.
func cleanLines(s string) (text string, cut bool) {
	if len(s) > mostShown {
		s, cut = s[:mostShown], true
	}
	lines := strings.Split(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n"), "\n")
	if len(lines) > mostLines {
		lines, cut = lines[:mostLines], true
	}
	var b strings.Builder
	for _, line := range lines {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		b.WriteString(strings.Repeat(" ", min(indent, 80)))
		b.WriteString(clean(line, lineText))
		b.WriteByte('\n')
	}
	return strings.Trim(b.String(), "\n"), cut
}

// messageFile sends the whole message as a file.
func (s *site) messageFile(v *visit) {
	ref, raw, ok := s.body(v)
	if !ok {
		return
	}
	v.attachment(string(ref.id)+".eml", raw)
}
