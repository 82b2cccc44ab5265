package report

import (
	"bytes"
	"strings"

	"postern/internal/mail"
)

// collect sorts the parts of the message: texts for people, delivery status, complaint, returned message.
func (r *bounceReader) collect() {
	stack := []*mail.Part{r.m.Root}
	size := 0
	for n := 0; len(stack) > 0 && n < maxParts; n++ {
		p := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		kind := p.MediaType
		switch {
		case strings.HasSuffix(kind, "delivery-status"):
			r.statusN++
			r.dsn.readStatus(p.Decoded())
		case strings.HasSuffix(kind, "feedback-report"):
			r.arf = p
		case kind == "message/rfc822" || kind == "message/global":
			r.inner = append(r.inner, p)
			if r.origin == nil {
				r.origin = p
			}
		case headersOnly(kind):
			if r.origin == nil {
				r.origin = p
			}
		case strings.HasPrefix(kind, "multipart/"):
			for i := len(p.Children) - 1; i >= 0; i-- {
				stack = append(stack, p.Children[i])
			}
			if len(p.Children) == 0 { // a multipart without parts: its boundary is nowhere
				r.addText(validText(p.Raw), &size)
			}
		case kind == "text/html":
			if r.html == nil && r.origin == nil {
				r.html = p
			}
		case strings.HasPrefix(kind, "text/"):
			if r.origin == nil {
				r.addText(p.Text(), &size)
			}
		}
	}
	if len(r.lines) == 0 && r.html != nil {
		r.addText(r.html.Rendered(), &size)
	}
}

func headersOnly(kind string) bool {
	return strings.HasSuffix(kind, "rfc822-headers") || kind == "message/global-headers" || kind == "text/rfc822-header"
}

func validText(b []byte) string {
	if len(b) > maxBounceText {
		b = b[:maxBounceText]
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// addText takes a text for people in, line by line up to where the returned message begins. Fields of a delivery status that stand in it are read as
// such: programs that break the MIME form, or never had one, write them there.
func (r *bounceReader) addText(s string, size *int) {
	if strings.Count(s, "\n") > maxBounceLines || len(s) > maxBounceText {
		s = s[:min(len(s), maxBounceText)]
	}
	if r.after != "" {
		return
	}
	fields := 0
	for at := 0; at < len(s) && len(r.lines) < maxBounceLines; {
		end := strings.IndexByte(s[at:], '\n')
		next := len(s)
		if end < 0 {
			end = len(s)
		} else {
			end += at
			next = end + 1
		}
		line := strings.TrimRight(s[at:end], " \t\r")
		if originalBegins(line) || fields == 0 && headerBegins(s[at:]) {
			r.after = s[at:]
			if originalBegins(line) {
				r.after = s[next:]
			}
			break
		}
		if statusField(line) {
			fields++
		}
		if *size += len(line) + 1; *size > maxBounceText {
			break
		}
		r.lines = append(r.lines, line)
		at = next
	}
	if fields >= 2 {
		r.dsn.readStatus([]byte(strings.Join(r.lines, "\n")))
	}
	if len(r.lines) > 0 && r.lines[len(r.lines)-1] != "" {
		r.lines = append(r.lines, "")
	}
}

// statusField reports whether a line is a field of a delivery status (RFC 3464) that tells something.
func statusField(line string) bool {
	name, _, ok := strings.Cut(line, ":")
	if !ok || len(name) > 20 || len(name) < 6 {
		return false
	}
	switch strings.ToLower(name) {
	case "final-recipient", "original-recipient", "diagnostic-code", "action", "status":
		return true
	}
	return false
}

// dashed are words of the lines that stand before a returned message, between dashes or not.
var dashed = []string{
	"this is a copy of", "original message", "message follows", "copy of the message", "copy of your message", "copy of the mail header", "message header", "headers follow",
	"unsent message", "returned message", "undelivered message", "the header of the original", "mensaje original", "message d'origine", "ursprungliche nachricht",
	"ursprüngliche nachricht", "included is a copy", "enclosed is a copy", "below this line", "below the next line", "message text follows", "unprocessed message", "start of message",
	"beginning of original", "original headers", "intestazioni originali", "ursprungshuvuden", "bounced message", "body of original", "non-delivered message", "original mail as follows",
}

// originalBegins reports whether a line announces the returned message.
func originalBegins(line string) bool {
	if len(line) < 12 || len(line) > 120 {
		return false
	}
	t := strings.TrimLeft(line, " \t*=_>#")
	ruled := len(t) > 2 && t[0] == '-' && t[1] == '-'
	if !ruled {
		// Without a rule only a line that is nothing else: "Original message follows.", "Message headers follow:", "Original message headers:".
		if len(t) > 70 || t == "" {
			return false
		}
		switch t[len(t)-1] {
		case '.', ':', '-', '*', '=':
		default:
			return false
		}
	}
	low := strings.ToLower(t)
	if strings.Contains(low, "transcript") || strings.Contains(low, "header fields:") || strings.Contains(low, "received at") {
		return false
	}
	for _, w := range dashed {
		if i := strings.Index(low, w); i >= 0 {
			return ruled || i == 0 || i < 24 && (strings.Contains(low, "follow") || strings.Contains(low, "copy"))
		}
	}
	return strings.Contains(low, "message d'origine :") || strings.Contains(low, "d’origine :")
}

// headerBegins reports whether a text goes on with a message header: trace fields, or several fields that only messages have.
func headerBegins(s string) bool {
	if len(s) < 12 {
		return false
	}
	switch s[0] | 0x20 {
	case 'r', 'x', 'd', 'a', 'm', 'f', '>':
	default:
		return false
	}
	if strings.HasPrefix(s, "From ") && len(s) > 30 { // an mbox line before a pasted message
		_, rest, _ := strings.Cut(s, "\n")
		return headerBegins(rest)
	}
	found := 0
	for n := 0; n < 12 && s != ""; n++ {
		line, rest, _ := strings.Cut(s, "\n")
		s = rest
		if line == "" || line == "\r" {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		if !ok || len(name) > 60 || strings.ContainsAny(name, " \t") {
			return false
		}
		switch strings.ToLower(name) {
		case "return-path", "received", "dkim-signature", "message-id", "mime-version", "delivered-to", "x-originating-ip", "arc-seal", "domainkey-signature":
			found += 2
		case "from", "to", "date", "subject", "content-type":
			found++
		}
	}
	return found >= 4
}

// fieldsOnly leaves out the lines of a header that are neither a field nor its continuation: programs that paste headers lose the blanks of folded lines.
func fieldsOnly(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		raw = rest
		name, _, ok := bytes.Cut(line, []byte(":"))
		if len(line) > 1 && (line[0] == ' ' || line[0] == '\t' || ok && len(name) > 0 && bytes.IndexByte(name, ' ') < 0) {
			out = append(append(out, line...), '\n')
		}
	}
	return append(out, '\n')
}

// readOriginal reads the header of the returned message.
func (r *bounceReader) readOriginal() {
	var raw []byte
	switch {
	case r.origin != nil:
		if raw = r.origin.Decoded(); len(bytes.TrimSpace(raw)) == 0 {
			raw = r.origin.Raw
		}
	case r.after != "":
		raw = []byte(strings.TrimLeft(r.after, "\r\n \t-=*"))
	default:
		return
	}
	if len(raw) > 64<<10 {
		raw = raw[:64<<10]
	}
	if end := bytes.Index(raw, []byte("\n\n")); end > 0 {
		raw = raw[:end+2]
	} else if end := bytes.Index(raw, []byte("\r\n\r\n")); end > 0 {
		raw = raw[:end+4]
	}
	h := mail.Parse(fieldsOnly(raw), mail.Limits{HeaderFields: 200}).Header
	if len(h) == 0 {
		return
	}
	r.out.Original = Original{Header: h, MessageID: h.Get("Message-ID"), ReversePath: strings.Trim(h.Get("Return-Path"), "<> "),
		From: h.Get("From"), To: h.Get("To"), Subject: h.Get("Subject")}
}
