package dkim

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// alwaysSigned are listed in h= once more than they occur, even when they do not
// occur at all: adding one to the message must break the signature.
var alwaysSigned = [...]string{
	"From", "To", "Cc", "Subject", "Date", "Reply-To", "Message-ID",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding",
}

// signedIfPresent are listed once more than they occur when they occur. Gmail
// wants Feedback-ID signed, RFC 8058 4 wants both List-Unsubscribe fields signed.
var signedIfPresent = [...]string{
	"Sender", "In-Reply-To", "References", "List-Id", "List-Unsubscribe",
	"List-Unsubscribe-Post", "Feedback-ID", "Content-Disposition", "Auto-Submitted",
	"Resent-From", "Resent-To", "Resent-Cc", "Resent-Date", "Resent-Message-ID", "Resent-Sender",
}

// foldAt is the length that a line of our field does not exceed, CRLF not counted
// (RFC 5322 2.1.1).
const foldAt = 78

// Sign makes one DKIM-Signature field per key, in the order of keys, each ending in
// CRLF, to be put before the message. raw is the message with CRLF line ends; it is
// not changed. now is t=. Errors wrap ErrBareNewline, ErrBadStart, ErrNoFrom,
// ErrTooManyFields or ErrBadKey; with an error there is no header.
func Sign(raw []byte, keys []Key, now time.Time) (header []byte, err error) {
	if hasBareNewline(raw) {
		return nil, ErrBareNewline
	}
	if len(raw) > 0 && (raw[0] == ' ' || raw[0] == '\t') {
		return nil, ErrBadStart
	}
	for _, k := range keys {
		if err := k.check(); err != nil {
			return nil, err
		}
	}
	fields, body := split(raw)
	names, signed, err := selectFields(fields)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	relaxedBody(h, body)
	var bodySum [sha256.Size]byte
	h.Sum(bodySum[:0])
	var own []byte
	for _, k := range keys {
		start := len(header)
		header = appendUnsigned(header, k, names, bodySum[:], now)
		own = relaxedField(own[:0], header[start:])
		h.Reset()
		h.Write(signed)
		h.Write(bytes.TrimSuffix(own, []byte("\r\n")))
		signature, err := signSum(k, h.Sum(nil))
		if err != nil {
			return nil, fmt.Errorf("dkim: sign with %s: %w", k.RecordName(), err)
		}
		header = appendBase64(header, signature)
		header = append(header, '\r', '\n')
	}
	return header, nil
}

// selectFields returns the names for h=, and the fields they select in the order
// of those names, in relaxed form.
func selectFields(fields []field) (names []string, signed []byte, err error) {
	size := 0
	for _, f := range fields {
		size += len(f.raw)
	}
	signed = make([]byte, 0, size+64)
	names = make([]string, 0, 32)
	add := func(name string, always bool) {
		count := 0
		for i := len(fields) - 1; i >= 0; i-- {
			if fields[i].isName(name) {
				signed = relaxedField(signed, fields[i].raw)
				names = append(names, name)
				count++
			}
		}
		if name == "From" && count == 0 {
			err = ErrNoFrom
		}
		if count > 0 || always {
			names = append(names, name)
		}
	}
	for _, name := range alwaysSigned {
		add(name, true)
	}
	for _, name := range signedIfPresent {
		add(name, false)
	}
	if err == nil && len(names) > MaxSignedHeaders {
		err = fmt.Errorf("%w: %d names, at most %d", ErrTooManyFields, len(names), MaxSignedHeaders)
	}
	return names, signed, err
}

// appendUnsigned appends the field up to and including "b=", folded. Every value
// in it is made here or has passed Key.check, so nothing can inject a line.
func appendUnsigned(dst []byte, k Key, names []string, bodySum []byte, now time.Time) []byte {
	l := folder{dst: append(dst, "DKIM-Signature:"...)}
	l.line = len("DKIM-Signature:")
	l.word("v=1;")
	l.word("a=" + k.Algorithm + ";")
	l.word("c=relaxed/relaxed;")
	l.word("d=" + string(k.Domain) + ";")
	l.word("s=" + k.Selector + ";")
	l.word("t=" + strconv.FormatInt(now.Unix(), 10) + ";")
	l.word("x=" + strconv.FormatInt(now.Add(Lifetime).Unix(), 10) + ";")
	for i, name := range names {
		switch {
		case i == 0 && len(names) == 1:
			l.word("h=" + name + ";")
		case i == 0:
			l.word("h=" + name)
		case i == len(names)-1:
			l.glued(":" + name + ";")
		default:
			l.glued(":" + name)
		}
	}
	l.word("bh=" + base64.StdEncoding.EncodeToString(bodySum) + ";")
	l.newLine()
	return append(l.dst, "b="...)
}

// folder writes words into a header field, beginning a new line before one that
// would not fit.
type folder struct {
	dst  []byte
	line int // length of the current line
}

// word appends a space and w.
func (l *folder) word(w string) {
	if l.line+1+len(w) > foldAt {
		l.newLine()
	} else {
		l.dst = append(l.dst, ' ')
		l.line++
	}
	l.dst = append(l.dst, w...)
	l.line += len(w)
}

// glued appends w without a space, except the one that begins a new line.
func (l *folder) glued(w string) {
	if l.line+len(w) > foldAt {
		l.newLine()
	}
	l.dst = append(l.dst, w...)
	l.line += len(w)
}

func (l *folder) newLine() {
	l.dst = append(l.dst, "\r\n "...)
	l.line = 1
}

// appendBase64 appends the value of b= after " b=" in lines that fit.
func appendBase64(dst, signature []byte) []byte {
	text := base64.StdEncoding.EncodeToString(signature)
	room := foldAt - len(" b=")
	for len(text) > room {
		dst = append(append(dst, text[:room]...), "\r\n "...)
		text = text[room:]
		room = foldAt - 1
	}
	return append(dst, text...)
}

// signSum signs a SHA-256 value: PKCS #1 v1.5 with RSA, or the value itself as the
// message of Ed25519 (RFC 8463 3).
func signSum(k Key, sum []byte) ([]byte, error) {
	options := crypto.SignerOpts(crypto.SHA256)
	if strings.HasPrefix(k.Algorithm, "ed25519") {
		options = crypto.Hash(0)
	}
	return k.Private.Sign(rand.Reader, sum, options)
}
