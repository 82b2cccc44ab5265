package spamd

import (
	"bytes"
	"fmt"
	"strings"

	"postern/internal/filter"
	"postern/internal/mail"
)

// ownField begins the names of the fields that say what a filter thought of a message.
const ownField = "x-spam-"

// message is a message as a client gave it.
type message struct {
	mbox []byte // the line "From " of an mbox file on top, with its end; procmail gives and wants it back
	lf   bool   // lines end in LF alone
	wire []byte // CRLF, without mbox; mixed line ends stay as they are
}

func newMessage(raw []byte) message {
	var m message
	if bytes.HasPrefix(raw, []byte("From ")) {
		if end := bytes.IndexByte(raw, '\n'); end >= 0 {
			m.mbox, raw = raw[:end+1], raw[end+1:]
		}
	}
	m.wire = raw
	if m.lf = !bytes.Contains(raw, []byte("\r\n")); m.lf {
		m.wire = bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
	}
	return m
}

// parse reads the message as its receiver will: without the fields of other filters, and with CRLF line ends throughout.
func (m message) parse() *mail.Message {
	raw := m.wire
	if bytes.Count(raw, []byte{'\n'}) != bytes.Count(raw, []byte("\r\n")) {
		raw = bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	}
	return mail.Parse(mail.Edit(raw, foreign(raw)), mail.Limits{})
}

// marked is the message with our fields on top in place of other filters'.
func (m message) marked(fields []string) []byte {
	out := mail.Edit(m.wire, foreign(m.wire), fields...)
	if m.lf {
		out = bytes.ReplaceAll(out, []byte("\r\n"), []byte("\n"))
	}
	return append(bytes.Clone(m.mbox), out...)
}

// foreign names the fields of the header that say what a filter thought.
func foreign(raw []byte) []string {
	seen := make(map[string]bool)
	var names []string
	for len(raw) > 0 {
		line := raw
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			line, raw = raw[:i], raw[i+1:]
		} else {
			raw = nil
		}
		if len(bytes.TrimRight(line, "\r")) == 0 {
			break
		}
		i := bytes.IndexByte(line, ':')
		if i < len(ownField) || !strings.EqualFold(string(line[:len(ownField)]), ownField) {
			continue
		}
		name := string(bytes.ToLower(bytes.TrimRight(line[:i], " \t")))
		if !seen[name] && len(names) < maxForeign {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// maxForeign bounds the names that are looked for in each field: SpamAssassin writes six, others a few of their own.
const maxForeign = 50

// header is the part of a message before its body, with the empty line.
func header(raw []byte) []byte {
	for at := 0; at < len(raw); {
		end := bytes.IndexByte(raw[at:], '\n')
		if end < 0 {
			break
		}
		if len(bytes.TrimRight(raw[at:at+end], "\r")) == 0 {
			return raw[:at+end+1]
		}
		at += end + 1
	}
	return raw
}

// mostRecipients bounds how many recipients are taken from a header.
const mostRecipients = 100

// envelope is read from the header: the protocol does not carry it.
func envelope(m *mail.Message) mail.Envelope {
	var e mail.Envelope
	for _, box := range m.From() {
		if e.ReversePath.IsNull() {
			e.ReversePath = box.Address
		}
	}
	if path := m.Header.Get("Return-Path"); path != "" {
		if a, err := mail.ParseAddress(strings.Trim(path, "<> ")); err == nil {
			e.ReversePath = a
		}
	}
	for _, name := range []string{"To", "Cc"} {
		for _, field := range m.Header.All(name) {
			boxes, _ := mail.ParseMailboxes(field.Value())
			for _, box := range boxes {
				if !box.Address.IsNull() && len(e.Recipients) < mostRecipients {
					e.Recipients = append(e.Recipients, mail.Recipient{Address: box.Address})
				}
			}
		}
	}
	return e
}

// symbols are the names of the tests that fired.
func symbols(v filter.Verdict) []string {
	names := make([]string, 0, len(v.Hits))
	for _, h := range v.Hits {
		names = append(names, h.Test)
	}
	return names
}

// points are score and threshold as text: one decimal, or more where one would make a score above the threshold look equal to it.
func points(v filter.Verdict) (score, threshold string) {
	for decimals := 1; ; decimals++ {
		score, threshold = fmt.Sprintf("%.*f", decimals, v.Score), fmt.Sprintf("%.*f", decimals, v.Threshold)
		if !v.Held || score != threshold || decimals == 3 {
			return score, threshold
		}
	}
}

// maxStatusLine is where the list of tests is folded, in octets (RFC 5322 2.1.1: 78 at most).
const maxStatusLine = 76

// fields are the header fields with the verdict, in SpamAssassin's names and forms, which mail programs and delivery rules know.
func (s *Server) fields(v filter.Verdict) []string {
	score, threshold := points(v)
	yes := "No"
	out := []string{"X-Spam-Checker-Version: Postern " + s.o.Version + " on " + s.o.Hostname}
	if v.Held {
		yes = "Yes"
		out = append(out, "X-Spam-Flag: YES")
	}
	if stars := int(v.Score); stars > 0 {
		out = append(out, "X-Spam-Level: "+strings.Repeat("*", stars))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "X-Spam-Status: %s, score=%s required=%s\r\n\ttests=", yes, score, threshold)
	line := len("\ttests=")
	for i, name := range symbols(v) {
		if i > 0 {
			b.WriteByte(',')
			line++
		}
		if line+len(name) >= maxStatusLine {
			b.WriteString("\r\n\t")
			line = 1
		}
		b.WriteString(name)
		line += len(name)
	}
	if len(v.Hits) == 0 {
		b.WriteString("none")
	}
	return append(out, b.String())
}
