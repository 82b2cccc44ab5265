package world

import (
	"fmt"
	"mime"
	"strings"
	"time"

	"postern/internal/mail"
)

// post is what a letter is written from.
type post struct {
	from, name, to string
	subject        string
	text           []string // paragraphs
	now            time.Time
}

func (p post) messageID() string {
	return fmt.Sprintf("<%s@%s>", mail.NewQueueID(p.now), p.from[strings.LastIndexByte(p.from, '@')+1:])
}

// newsletter is a message as it should be: text and HTML that say the same, one-click unsubscribe (RFC 8058), every field in order.
func (p post) newsletter() []byte {
	const boundary = "=_two_halves_of_one_letter"
	domain := p.from[strings.LastIndexByte(p.from, '@')+1:]
	lines := []string{
		"From: " + mime.QEncoding.Encode("utf-8", p.name) + " <" + p.from + ">",
		"To: " + p.to,
		"Subject: " + mime.QEncoding.Encode("utf-8", p.subject),
		"Date: " + p.now.Format(time.RFC1123Z),
		"Message-ID: " + p.messageID(),
		"List-Unsubscribe: <https://www." + domain + "/u/4f1c>, <mailto:unsubscribe@" + domain + ">",
		"List-Unsubscribe-Post: List-Unsubscribe=One-Click",
		"MIME-Version: 1.0",
		`Content-Type: multipart/alternative; boundary="` + boundary + `"`,
		"",
		"--" + boundary,
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
		"",
		strings.Join(p.text, "\r\n\r\n"),
		"",
		"--" + boundary,
		"Content-Type: text/html; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
		"",
		"<!DOCTYPE html>",
		"<html><head><title>" + p.subject + "</title></head><body>",
		"<p>" + strings.Join(p.text, "</p>\r\n<p>") + "</p>",
		"</body></html>",
		"--" + boundary + "--",
		"",
	}
	return []byte(strings.Join(lines, "\r\n"))
}

// broken is what an old script sends: HTML alone, tags that filters know from spam, and a date that no calendar has.
func (p post) broken() []byte {
	lines := []string{
		"From: " + mime.QEncoding.Encode("utf-8", p.name) + " <" + p.from + ">",
		"To: " + p.to,
		"Subject: " + mime.QEncoding.Encode("utf-8", p.subject),
		"Date: Thursday the 32th of November",
		"Message-ID: " + p.messageID(),
		"MIME-Version: 1.0",
		"Content-Type: text/html; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
		"",
		"<html><body><cEnTeR><p>" + strings.Join(p.text, "</p>\r\n<p>") + "</p>",
		`<p><a hReF="https://www.` + p.from[strings.LastIndexByte(p.from, '@')+1:] + `/">` + p.name + "</a></p></cEnTeR></body></html>",
		"",
	}
	return []byte(strings.Join(lines, "\r\n"))
}

// plain is a short message in text alone.
func (p post) plain() []byte {
	lines := []string{
		"From: " + mime.QEncoding.Encode("utf-8", p.name) + " <" + p.from + ">",
		"To: " + p.to,
		"Subject: " + mime.QEncoding.Encode("utf-8", p.subject),
		"Date: " + p.now.Format(time.RFC1123Z),
		"Message-ID: " + p.messageID(),
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
		"",
		strings.Join(p.text, "\r\n\r\n"),
		"",
	}
	return []byte(strings.Join(lines, "\r\n"))
}
