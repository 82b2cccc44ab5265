package smtp

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"postern/internal/mail"
)

// clientParameters are the ESMTP parameters of one transaction, as far as the peer
// offers the extensions.
type clientParameters struct {
	mail []byte // " SIZE=1234 BODY=8BITMIME ..."
	dsn  bool   // NOTIFY and ORCPT may be used
	utf8 bool   // SMTPUTF8 is in force
}

// parameters decides what is said beside the addresses, and refuses a message
// that needs what the peer does not offer.
func (c *Client) parameters(env mail.Envelope, shape dataShape) (clientParameters, error) {
	p := clientParameters{mail: c.params[:0]}
	defer func() { c.params = p.mail[:0] }()
	if _, offered := c.Extension("SIZE"); offered {
		p.mail = strconv.AppendInt(append(p.mail, " SIZE="...), shape.size, 10)
	}
	if shape.eightBit {
		if _, offered := c.Extension("8BITMIME"); !offered {
			return p, ErrNeeds8BitMIME
		}
		p.mail = append(p.mail, " BODY=8BITMIME"...)
	}
	if needsSMTPUTF8(env, shape) {
		if _, offered := c.Extension("SMTPUTF8"); !offered {
			return p, ErrNeedsSMTPUTF8
		}
		p.utf8 = true
		p.mail = append(p.mail, " SMTPUTF8"...)
	}
	if env.RequireTLS {
		// RFC 8689 4.2.1: the next server must have said, under TLS, that it will demand the same of the one after it.
		if _, offered := c.Extension("REQUIRETLS"); !offered || c.tls == nil {
			return p, ErrNeedsRequireTLS
		}
		p.mail = append(p.mail, " REQUIRETLS"...)
	}
	if _, p.dsn = c.Extension("DSN"); p.dsn {
		if env.Ret == "FULL" || env.Ret == "HDRS" {
			p.mail = append(append(p.mail, " RET="...), env.Ret...)
		}
		// RFC 3461 4.4: at most 100 characters, printable before encoding.
		if id := appendXtext(nil, env.EnvelopeID); env.EnvelopeID != "" && len(id) <= 100 && isPrintableASCII(env.EnvelopeID) {
			p.mail = append(append(p.mail, " ENVID="...), id...)
		}
	}
	return p, nil
}

// needsSMTPUTF8 reports whether a UTF-8 address travels, or a header that the
// submitter declared to be internationalised. Raw 8-bit bytes in a header that
// nobody declared so are common and only need 8BITMIME in practice.
func needsSMTPUTF8(env mail.Envelope, shape dataShape) bool {
	if env.SMTPUTF8 && shape.headerEightBit || env.ReversePath.NeedsSMTPUTF8() {
		return true
	}
	for i := range env.Recipients {
		if env.Recipients[i].Address.NeedsSMTPUTF8() {
			return true
		}
	}
	return false
}

func (p *clientParameters) appendMail(line []byte, reversePath mail.Address) []byte {
	line = append(line, "MAIL FROM:<"...)
	if !reversePath.IsNull() {
		line = append(line, reversePath.String()...)
	}
	line = append(line, '>')
	return append(line, p.mail...)
}

func (p *clientParameters) appendRcpt(line []byte, r *mail.Recipient) []byte {
	line = append(line, "RCPT TO:<"...)
	line = append(line, r.Address.String()...)
	line = append(line, '>')
	if !p.dsn {
		return line
	}
	if r.Notify != 0 {
		line = appendNotify(append(line, " NOTIFY="...), r.Notify)
	}
	if r.OriginalRecipient != "" {
		mark := len(line)
		var ok bool
		if line, ok = p.appendORCPT(append(line, " ORCPT="...), r.OriginalRecipient); !ok {
			line = line[:mark]
		}
	}
	return line
}

// appendNotify writes the NOTIFY list; NEVER stands alone (RFC 3461 4.1).
func appendNotify(line []byte, n mail.Notify) []byte {
	if n&mail.NotifyNever != 0 {
		return append(line, "NEVER"...)
	}
	for _, wish := range []struct {
		bit  mail.Notify
		name string
	}{{mail.NotifySuccess, "SUCCESS,"}, {mail.NotifyFailure, "FAILURE,"}, {mail.NotifyDelay, "DELAY,"}} {
		if n&wish.bit != 0 {
			line = append(line, wish.name...)
		}
	}
	return bytes.TrimSuffix(line, []byte{','})
}

// appendORCPT writes "type;xtext" (RFC 3461 4.2) or "utf-8;..." (RFC 6533 3);
// false when the value does not fit the format: the parameter is then left out.
func (p *clientParameters) appendORCPT(line []byte, original string) ([]byte, bool) {
	start := len(line)
	kind, address, ok := strings.Cut(original, ";")
	if !ok || !isKeyword(kind) || address == "" {
		return line, false
	}
	line = append(append(line, kind...), ';')
	if strings.EqualFold(kind, "utf-8") {
		line = appendUTF8Address(line, address, p.utf8)
	} else if !isPrintableASCII(address) {
		return line, false
	} else {
		line = appendXtext(line, address)
	}
	// RFC 3461 4.2: at most 500 characters.
	return line, len(line)-start <= 500
}

// appendUTF8Address writes a utf-8 typed address: as it is when SMTPUTF8 is in
// force, with \x{HEX} otherwise (RFC 6533 3, utf-8-addr-xtext).
func appendUTF8Address(line []byte, address string, unicode bool) []byte {
	for _, r := range address {
		switch {
		case r > 0x7f && unicode:
			line = append(line, string(r)...)
		case r <= ' ' || r >= 0x7f || r == '\\' || r == '+' || r == '=':
			line = append(line, `\x{`...)
			line = append(line, strings.ToUpper(strconv.FormatInt(int64(r), 16))...)
			line = append(line, '}')
		default:
			line = append(line, byte(r))
		}
	}
	return line
}

// appendXtext encodes s as RFC 3461 4 asks: "+", "=" and everything that is not
// printable ASCII becomes +HH.
func appendXtext(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; c > ' ' && c < 0x7f && c != '+' && c != '=' {
			b = append(b, c)
		} else {
			b = append(b, '+', hex[c>>4], hex[c&15])
		}
	}
	return b
}

func isPrintableASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// refusalOf returns the reply that err carries, if the peer gave one.
func refusalOf(err error) (Reply, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e.Reply(), true
	}
	return Reply{}, false
}
