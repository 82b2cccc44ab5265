package notice

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"strings"
	"time"

	"github.com/emersion/go-message"
	gomail "github.com/emersion/go-message/mail"

	"postern/internal/compose"
	"postern/internal/mail"
)

// envelope is what the header of a notice says besides the page.
type envelope struct {
	id      mail.QueueID
	from    mail.Address
	name    string // display name of from
	to      mail.Address
	replyTo mail.Address // null: no Reply-To
	listID  string       // "" = no List-Id
	now     time.Time
	kind    string         // which notice, for Options.Told
	about   []mail.QueueID // the messages it is about
}

// compose writes a notice as multipart/alternative. The same input always gives the same bytes. Addresses are typed, all
// texts have been through tidy or are our own.
func (n *Notices) compose(e envelope, p *page) (letter, error) {
	html, err := p.html()
	if err != nil {
		return letter{}, err
	}
	text := p.text()
	messageID := string(e.id) + "@" + n.o.Hostname
	sum := sha256.Sum256([]byte(messageID + "\x00" + text + "\x00" + html))

	var h gomail.Header // fields are added on top of one another
	h.SetContentType("multipart/alternative", map[string]string{"boundary": "=_" + hex.EncodeToString(sum[:18])})
	h.Set("MIME-Version", "1.0")
	h.Set("Auto-Submitted", "auto-generated") // RFC 3834 5: not in reply to a message
	if e.listID != "" {
		h.Set("List-Id", "<"+e.listID+">") // RFC 2919
	}
	h.SetMessageID(messageID)
	subject := headerText(p.Title, maxTitle)
	compose.AddText(&h, "Subject", mime.QEncoding.Encode("utf-8", subject))
	h.Set("To", "<"+e.to.String()+">") // the wire form: net/mail would quote a quoted local part again
	if !e.replyTo.IsNull() {
		h.Set("Reply-To", "<"+e.replyTo.String()+">")
	}
	compose.AddText(&h, "From", compose.Displayed(e.name, e.from))
	h.SetDate(e.now)

	var b bytes.Buffer
	w, err := message.CreateWriter(&b, h.Header)
	if err != nil {
		return letter{}, fmt.Errorf("compose notice: %w", err)
	}
	for _, part := range []struct{ kind, body string }{{"text/plain", text}, {"text/html", html}} {
		if err := writePart(w, part.kind, p.Lang, part.body); err != nil {
			return letter{}, fmt.Errorf("compose notice: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return letter{}, fmt.Errorf("compose notice: %w", err)
	}
	utf8 := e.from.NeedsSMTPUTF8() || e.to.NeedsSMTPUTF8() || e.replyTo.NeedsSMTPUTF8()
	return letter{kind: e.kind, about: e.about, id: e.id, lang: p.Lang, from: e.from, to: e.to, subject: subject, messageID: "<" + messageID + ">", raw: b.Bytes(), utf8: utf8}, nil
}

func writePart(w *message.Writer, kind, lang, body string) error {
	var h message.Header
	h.Set("Content-Transfer-Encoding", "quoted-printable")
	h.Set("Content-Language", lang)
	h.SetContentType(kind, map[string]string{"charset": "utf-8"})
	part, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(part, strings.ReplaceAll(body, "\n", "\r\n")); err != nil {
		return err
	}
	return part.Close()
}
