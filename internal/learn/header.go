package learn

import (
	"net/netip"
	"strings"

	"postern/internal/mail"
)

// Bounds of a header: fields read, and bytes of each.
const (
	maxFields     = 200
	maxField      = 2000
	maxFieldName  = 64
	maxAddresses  = 20 // of one field
	receivedFirst = 2  // Received fields read: the two oldest, where the sender's own software speaks
)

// header adds the tokens of the header fields. Every field's tokens carry its name, because a word means something else in each.
func (t *tokenizer) header(h mail.Header) {
	received := make([]mail.Field, 0, 8)
	for i := range h {
		if i == maxFields {
			break
		}
		f := h[i]
		name := strings.ToLower(f.Name)
		switch {
		case name == "received":
			if v := f.Value(); !strings.Contains(v, "(Postern) with ") { // our own trace field stands in every message
				received = append(received, f)
			}
		case ignored(name):
		default:
			t.field(f, name)
		}
	}
	for _, f := range received[max(0, len(received)-receivedFirst):] {
		t.received(clip(f.Value(), maxField))
	}
}

func (t *tokenizer) field(f mail.Field, name string) {
	prefix := "H" + fieldShort[name] + ":"
	if prefix == "H:" {
		prefix = "H" + strings.ToValidUTF8(clip(f.Name, maxFieldName), "?") + ":"
	}
	bare := strings.TrimPrefix(strings.TrimPrefix(name, "x-"), "resent-")
	switch {
	case present[name]: // the value is different in every message
		t.addString(prefix, "1")
	case addressField[bare]:
		t.addresses(f, prefix)
		if name == "from" || name == "to" || name == "cc" {
			t.addresses(f, "H*Ad:")
		}
	case name == "message-id" || name == "in-reply-to" || name == "references":
		v := messageID(clip(f.Value(), maxField))
		t.line(v, prefix, inHeader)
		t.line(v, "H*MI:", inHeader)
	case name == "content-type":
		t.line(contentType(clip(f.Text(), maxField)), prefix, inHeader)
	case name == "x-mailer" || name == "user-agent":
		v := clip(f.Text(), maxField)
		t.line(v, prefix, inHeader)
		t.line(v, "H*UA:", inHeader)
	case name == "mime-version":
		t.line(strings.Replace(clip(f.Text(), maxField), "1.0", "", 1), prefix, inHeader)
	default:
		t.line(clip(f.Text(), maxField), prefix, inHeader)
	}
}

// addresses adds the sides of each address; names of people tell little and change much.
func (t *tokenizer) addresses(f mail.Field, prefix string) {
	boxes, _ := mail.ParseMailboxes(clip(f.Value(), maxField))
	for i, b := range boxes {
		if i == maxAddresses {
			return
		}
		if !b.Address.IsNull() {
			t.mailAddress(prefix, b.Address.Local, string(b.Address.Domain))
		}
	}
}

// received adds what a trace field says of hosts and software: without queue numbers and dates, and addresses also by their /24.
func (t *tokenizer) received(v string) {
	if i := strings.LastIndexByte(v, ';'); i >= 0 {
		v = v[:i] // the date
	}
	const prefix = "H*r:"
	skip := false
	for _, w := range strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(" \t()[]<>;=", r) }) {
		if skip {
			skip = false
			continue
		}
		switch w {
		case "id":
			skip = true // a queue number
			continue
		case "with", "from", "for", "by", "SMTP", "ESMTP":
			continue
		}
		ip, err := netip.ParseAddr(strings.TrimPrefix(w, "IPv6:"))
		if err != nil {
			t.line(w, prefix, inHeader)
			continue
		}
		t.addString(prefix, "ip*"+ip.WithZone("").String())
		bits := 48
		if ip.Is4() {
			bits = 24
		}
		if near, err := ip.WithZone("").Prefix(bits); err == nil && !ip.IsPrivate() {
			t.addString(prefix, near.Addr().String())
		}
	}
}

// messageID splits identifiers where software puts its parts together, and leaves out what is different each time.
func messageID(v string) string {
	var b strings.Builder
	for _, id := range strings.Fields(v) {
		left, right, _ := strings.Cut(strings.Trim(id, "<>"), "@")
		switch parts := strings.Split(left, "$"); {
		case len(parts) == 3 && hexadecimal(parts[0], 12) && hexadecimal(parts[1], 8) && hexadecimal(parts[2], 8):
			// Outlook Express: time, and a number of the machine.
			left = "OEA" + parts[0][:4] + " OEB" + parts[1][:4] + " OEC" + parts[2]
		case len(left) == 16 && left[6] == '-' && left[13] == '-': // Exim
			left = ""
		case len(left) > 24 && strings.HasPrefix(left, "20") && left[14] == '.' && hexadecimal(left[15:], len(left)-15): // Sendmail
			left = ""
		}
		b.WriteString(" " + left + " " + right)
	}
	return strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return ' '
	}, b.String())
}

func hexadecimal(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// contentType keeps the pattern of a boundary, which is the software's, and not its digits.
func contentType(v string) string {
	lower := strings.ToLower(v)
	if len(lower) != len(v) {
		return v
	}
	if i := strings.Index(lower, "boundary="); i >= 0 {
		rest := v[i+len("boundary="):]
		end := strings.IndexAny(rest, "; \t")
		if strings.HasPrefix(rest, `"`) {
			end = strings.IndexByte(rest[1:], '"') + 1
		}
		if end <= 0 {
			end = len(rest)
		}
		var b strings.Builder
		b.WriteString(v[:i] + " " + strings.TrimPrefix(rest[end:], `"`) + " ")
		for _, r := range strings.Trim(rest[:end], `"`) {
			switch {
			case '0' <= r && r <= '9' || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F':
				b.WriteByte('H')
			case strings.ContainsRune("-_.=", r):
				b.WriteByte(' ')
			default:
				b.WriteRune(r)
			}
		}
		v = b.String()
	}
	return strings.NewReplacer("text", "", "charset", "").Replace(v)
}
