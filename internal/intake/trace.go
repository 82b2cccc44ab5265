package intake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/smtp"
)

// removed are the fields that never leave: blind copies (RFC 5322 3.6.3; every path, not only submission: programs rely on
// it), the return path that only the last server may write (RFC 5321 4.4), and lengths of other systems.
var removed = []string{"Bcc", "Resent-Bcc", "Return-Path", "Content-Length"}

// complete returns the message as it will be tested and stored: trace field on top, blind copies gone, and for submissions
// Date and Message-ID added where they are missing (RFC 6409 8.1, 8.3). At the relay door the message is another server's and
// a missing field is for the tests to name.
func (s *session) complete(raw []byte, id mail.QueueID, env mail.Envelope, now time.Time) []byte {
	add := []string{s.received(id, env, now)}
	if s.door != Relay {
		if !hasField(raw, "Date") {
			add = append(add, "Date: "+now.Format(time.RFC1123Z))
		}
		if !hasField(raw, "Message-ID") {
			add = append(add, "Message-ID: <"+s.in.reference(id)+"@"+s.in.o.Hostname+">")
		}
	}
	gone := removed
	if s.in.o.Reference != nil {
		gone = append(slices.Clone(removed), s.in.o.RefField) // one that was brought along could lead to another's message
		add = append(add, s.in.o.RefField+": "+s.in.reference(id))
	}
	return mail.Edit(raw, gone, add...)
}

// shorten re-encodes a message with lines above 998 octets, which no server need take (RFC 5321 4.5.3.1.6): scripts write whole
// pages on one line. sent is what the client sent, so that a refusal can name one of its own lines.
func shorten(complete, sent []byte) ([]byte, error) {
	if mail.LongLine(complete) == 0 {
		return complete, nil
	}
	out, _, err := mail.Reencode(complete, mail.Reencoding{})
	if err == nil {
		return out, nil
	}
	if _, _, own := mail.Reencode(sent, mail.Reencoding{}); own != nil {
		err = own
	}
	var why *mail.ReencodeError
	if !errors.As(err, &why) {
		return nil, err
	}
	return nil, &smtp.Error{Code: 554, Enhanced: smtp.Enhanced{5, 6, 0}, Text: fmt.Sprintf(
		"Line %d cannot be sent on: lines may have 998 characters (RFC 5321), and %s\n"+
			"Break long lines, or encode the part as quoted-printable or base64, and send again", why.Line, why.Why)}
}

// received is our trace field (RFC 5321 4.4; protocol names of RFC 3848 and 6531).
func (s *session) received(id mail.QueueID, env mail.Envelope, now time.Time) string {
	hello := s.conn.Hello
	if hello == "" {
		hello = "unknown"
	}
	b := make([]byte, 0, 256)
	add := func(texts ...string) {
		for _, t := range texts {
			b = append(b, t...)
		}
	}
	add("Received: from ", traceAtom(hello), " (")
	if name := s.client.Load(); name != nil {
		add(*name, " ")
	}
	add("[", traceIP(s), "]) by ", s.in.o.Hostname, " (Postern) with ", s.protocol(env), " id ", string(id))
	if t := s.conn.TLS; t != nil {
		add(" (", tls.VersionName(t.Version), " ", tls.CipherSuiteName(t.CipherSuite), ")")
	}
	// A "for" clause is only written for a single recipient: it would tell the others about each other (RFC 5321 7.6).
	if len(env.Recipients) == 1 && !env.Recipients[0].Address.NeedsSMTPUTF8() {
		add(" for <", env.Recipients[0].Address.String(), ">")
	}
	add("; ")
	return string(now.AppendFormat(b, time.RFC1123Z))
}

func traceIP(s *session) string {
	ip := s.conn.ClientIP
	switch {
	case !ip.IsValid():
		return "unknown"
	case ip.Is6():
		return "IPv6:" + ip.String()
	}
	return ip.String()
}

// traceAtom keeps a HELO name from breaking out of its place in the field.
func traceAtom(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`()<>;"\,`, r) {
			return r
		}
		return '?'
	}, s)
}

func (s *session) protocol(env mail.Envelope) string {
	p := "SMTP"
	switch {
	case s.door == HTTP:
		return "HTTP"
	case env.SMTPUTF8:
		p = "UTF8SMTP"
	case s.conn.ESMTP:
		p = "ESMTP"
	}
	if p == "SMTP" {
		return p
	}
	if s.conn.TLS != nil {
		p += "S"
	}
	if s.known {
		p += "A"
	}
	return p
}

// hasField reports whether a header field stands in the message, without parsing it.
func hasField(raw []byte, name string) bool {
	found := false
	eachFieldName(raw, func(n []byte) bool {
		found = bytes.EqualFold(n, []byte(name))
		return !found
	})
	return found
}

// countHops counts Received fields, up to one more than limit.
func countHops(raw []byte, limit int) int {
	n := 0
	eachFieldName(raw, func(name []byte) bool {
		if bytes.EqualFold(name, []byte("Received")) {
			n++
		}
		return n <= limit
	})
	return n
}

// eachFieldName calls f with the name of each header field until f returns false or the header ends.
func eachFieldName(raw []byte, f func(name []byte) bool) {
	for len(raw) > 0 {
		line := raw
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			line, raw = raw[:i], raw[i+1:]
		} else {
			raw = nil
		}
		line = bytes.TrimRight(line, "\r")
		if len(line) == 0 {
			return
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		if i := bytes.IndexByte(line, ':'); i > 0 && !f(bytes.TrimRight(line[:i], " \t")) {
			return
		}
	}
}
