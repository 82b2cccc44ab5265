package mail

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// encodedLine is the longest line of base64 and quoted-printable (RFC 2045 6.7,
// 6.8).
const encodedLine = 76

// encodingFor chooses the transfer encoding of a leaf, or says why it may have
// none.
func (r *reencoder) encodingFor(p *Part) (encoding, why string) {
	switch {
	case p.encoded():
		return p.Encoding, ""
	case strings.HasPrefix(p.MediaType, "message/"):
		// RFC 2046 5.2.2.1 and 5.2.3, RFC 6522 3: 7bit only.
		return "", "it stands in a " + p.MediaType + " part, which may not be encoded"
	case strings.HasPrefix(p.Encoding, "x-") || strings.Contains(p.Encoding, "uu") || strings.Contains(p.Encoding, "yenc"):
		return "", "its Content-Transfer-Encoding is no standard one"
	case !strings.HasPrefix(p.MediaType, "text/"):
		return "base64", ""
	}
	special := 0
	for _, c := range p.Raw {
		if !quotedPlain[c] {
			special++
		}
	}
	if quoted := len(p.Raw) + 2*special; quoted+quoted/encodedLine*3 > len(p.Raw)*4/3+len(p.Raw)/57*2 {
		return "base64", ""
	}
	return "quoted-printable", ""
}

// quotedPlain are the octets that stand for themselves in quoted-printable,
// white space and line ends inside a line's text counted among them.
var quotedPlain = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '='
	}
	t['\t'], t['\r'], t['\n'] = true, true, true
	return t
}()

const upperHex = "0123456789ABCDEF"

// appendQuotedPrintable appends src in quoted-printable (RFC 2045 6.7). Line ends
// as in eol stay line ends, every other CR and LF is encoded, so that decoding
// gives src again. No line begins with "--" or "From ": one could be taken for a
// boundary, the other is changed by mail stores.
func appendQuotedPrintable(out, src []byte, eol string) []byte {
	for len(src) > 0 {
		line, hard := src, false
		if i := bytes.Index(src, []byte(eol)); i >= 0 {
			line, hard = src[:i], true
			src = src[i+len(eol):]
		} else {
			src = nil
		}
		out = appendQuotedLine(out, line, eol)
		if hard {
			out = append(out, eol...)
		}
	}
	return out
}

// appendQuotedLine appends one line of text, broken where it is too long.
func appendQuotedLine(out, line []byte, eol string) []byte {
	col := 0
	for i := 0; i < len(line); {
		c := line[i]
		plain := quotedPlain[c] && c != '\r' && c != '\n'
		switch {
		case isWSP(c):
			plain = i < len(line)-1 // at the end of a line it is lost on the way
		case col == 0 && c == '-':
			plain = i+1 >= len(line) || line[i+1] != '-'
		case col == 0 && c == 'F':
			plain = !bytes.HasPrefix(line[i:], []byte("From "))
		}
		width := 1
		if !plain {
			width = 3
		}
		room := encodedLine
		if i+1 < len(line) {
			room-- // for the "=" of a soft line break
		}
		if col+width > room {
			out = append(append(out, '='), eol...)
			col = 0
			continue
		}
		if plain {
			out = append(out, c)
		} else {
			out = append(out, '=', upperHex[c>>4], upperHex[c&15])
		}
		col += width
		i++
	}
	return out
}

// appendBase64Lines appends src in base64, the last line without its end.
func appendBase64Lines(out, src []byte, eol string) []byte {
	const chunk = encodedLine / 4 * 3
	for {
		n := min(len(src), chunk)
		out = base64.StdEncoding.AppendEncode(out, src[:n])
		if src = src[n:]; len(src) == 0 {
			return out
		}
		out = append(out, eol...)
	}
}
