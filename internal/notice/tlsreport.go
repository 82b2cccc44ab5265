package notice

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/emersion/go-message"
	gomail "github.com/emersion/go-message/mail"

	"postern/internal/compose"
	"postern/internal/mail"
)

// TLSReport is a report about TLS towards a domain, to be sent to an address that the domain published for it (RFC 8460).
type TLSReport struct {
	To        mail.Address
	Subject   string // RFC 8460 5.3
	Filename  string // RFC 8460 5.1
	GZ        []byte // the report, compressed
	Domain    string // it is about
	Submitter string // ours
}

// SendTLSReport queues a report by mail (RFC 8460 5.3). It is the one notice that goes to somebody outside, at the address that he asks for; a
// repeated call does nothing while the first one is in the spool. It goes even where TLS fails, which is what it tells of (RFC 8460 3).
func (n *Notices) SendTLSReport(ctx context.Context, r TLSReport) error {
	id := n.derive(mail.QueueID(r.Filename+" "+r.To.String()), "tlsrpt", nil)
	messageID := string(id) + "@" + n.o.Hostname
	sum := sha256.Sum256(append([]byte(messageID), r.GZ...))

	var h gomail.Header // fields are added on top of one another
	h.SetContentType("multipart/report", map[string]string{"report-type": "tlsrpt", "boundary": "=_" + hex.EncodeToString(sum[:18])})
	h.Set("MIME-Version", "1.0")
	h.Set("Auto-Submitted", "auto-generated")
	h.Set("TLS-Required", "No") // RFC 8689 5
	h.Set("TLS-Report-Submitter", headerText(r.Submitter, maxName*2))
	h.Set("TLS-Report-Domain", headerText(r.Domain, maxName*3))
	h.SetMessageID(messageID)
	compose.AddText(&h, "Subject", headerText(r.Subject, maxTitle*2))
	h.Set("To", "<"+r.To.String()+">")
	compose.AddText(&h, "From", compose.Displayed(n.o.FromName, n.o.From))
	h.SetDate(n.o.Now())

	var b bytes.Buffer
	w, err := message.CreateWriter(&b, h.Header)
	if err != nil {
		return fmt.Errorf("compose TLS report: %w", err)
	}
	text := "This is an aggregate TLS report from " + headerText(r.Submitter, maxName*2) + " about mail for " + headerText(r.Domain, maxName*3) + ",\n" +
		"sent because its DNS asks for reports (RFC 8460). The report itself is attached.\n"
	if err := writePart(w, "text/plain", "en", text); err != nil {
		return fmt.Errorf("compose TLS report: %w", err)
	}
	var ph message.Header
	ph.Set("Content-Transfer-Encoding", "base64")
	ph.SetContentDisposition("attachment", map[string]string{"filename": r.Filename})
	ph.SetContentType("application/tlsrpt+gzip", nil)
	part, err := w.CreatePart(ph)
	if err == nil {
		if _, err = part.Write(r.GZ); err == nil {
			err = part.Close()
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("compose TLS report: %w", err)
	}
	return n.put(ctx, letter{kind: "tlsrpt", id: id, lang: "en", from: n.o.From, to: r.To, subject: r.Subject, messageID: "<" + messageID + ">", raw: b.Bytes(),
		utf8: n.o.From.NeedsSMTPUTF8() || r.To.NeedsSMTPUTF8(), lenient: true})
}
