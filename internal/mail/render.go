package mail

import (
	"strings"
)

// Rendered returns what a reader sees of this part alone: plain text as it is,
// HTML rendered; "" for parts that are not text. At most Limits.TextBytes.
func (p *Part) Rendered() string {
	if h := p.HTML(); h != nil {
		return h.Text
	}
	most := DefaultLimits().TextBytes
	if p.msg != nil {
		most = p.msg.limits.TextBytes
	}
	return clip(p.Text(), most)
}

// Text returns what a reader sees of the message, in the order of its parts and
// at most Limits.TextBytes: of a multipart/alternative the last version that can
// be shown (RFC 2046 5.1.4), of a multipart/related its root, of everything else
// all text parts that are not attachments, attached messages included. To see
// what other readers see, ask each of Parts. It is computed once.
func (m *Message) Text() string {
	m.textOnce.Do(func() {
		var b strings.Builder
		m.read(&b, m.Root)
		m.text = b.String()
	})
	return m.text
}

// read appends what a reader sees of p. The depth of the tree is limited.
func (m *Message) read(b *strings.Builder, p *Part) {
	if b.Len() >= m.limits.TextBytes || p.Disposition == "attachment" && p.Parent != nil {
		return
	}
	if len(p.Children) == 0 {
		text := p.Rendered()
		if text == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(clip(text, max(m.limits.TextBytes-b.Len(), 0)))
		return
	}
	switch p.MediaType {
	case "multipart/alternative":
		if best := richest(p); best != nil {
			m.read(b, best)
		}
	case "multipart/related":
		m.read(b, relatedRoot(p))
	default:
		for _, c := range p.Children {
			m.read(b, c)
		}
	}
}

// richest returns the last child that a mail client can show as a body.
func richest(p *Part) *Part {
	for i := len(p.Children) - 1; i >= 0; i-- {
		if c := p.Children[i]; showable(c) {
			return c
		}
	}
	return nil
}

// showable reports whether a client would choose p as a body. An HTML version
// that shows neither text nor image loses to the plain one.
func showable(p *Part) bool {
	switch {
	case p.Disposition == "attachment":
		return false
	case p.MediaType == "multipart/related":
		return len(p.Children) == 0 || showable(relatedRoot(p))
	case len(p.Children) > 0:
		for _, c := range p.Children {
			if showable(c) {
				return true
			}
		}
		return false
	case p.MediaType == "text/html":
		h := p.HTML()
		return h.Text != "" || len(h.Images) > 0
	}
	return p.MediaType == "text/plain" || p.isMultipart()
}

// relatedRoot is the child named by the start parameter, else the first (RFC
// 2387 3.2).
func relatedRoot(p *Part) *Part {
	if start := strings.Trim(p.Params["start"], " <>"); start != "" {
		for _, c := range p.Children {
			if id, ok := c.Header.value("Content-ID"); ok && strings.Trim(id, " <>") == start {
				return c
			}
		}
	}
	return p.Children[0]
}
