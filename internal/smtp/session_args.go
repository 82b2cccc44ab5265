package smtp

import (
	"errors"
	"strconv"
	"strings"

	"postern/internal/mail"
)

// Longest values of RFC 3461 4.4 and 4.2, after decoding, in bytes.
const (
	maxEnvelopeID        = 100
	maxOriginalRecipient = 500
)

// splitPath takes "FROM:<path> parameters" apart; keyword is "FROM:" or "TO:". One space after the colon is tolerated, as many
// clients send it. The path comes without its angle brackets.
func splitPath(args, keyword string) (path, params string, ok bool) {
	if len(args) < len(keyword) || !strings.EqualFold(args[:len(keyword)], keyword) {
		return "", "", false
	}
	args = strings.TrimPrefix(args[len(keyword):], " ")
	if args == "" || args[0] != '<' {
		return "", "", false
	}
	quoted := false
	for i := 1; i < len(args); i++ {
		switch c := args[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && c == '<':
			return "", "", false
		case !quoted && c == '>':
			rest := args[i+1:]
			if rest != "" && rest[0] != ' ' {
				return "", "", false
			}
			return args[1:i], rest, true
		}
	}
	return "", "", false
}

// eachParam calls f for every "KEYWORD[=value]" of params with the keyword in upper case (RFC 5321 4.1.2 esmtp-param).
func eachParam(params string, f func(key, value string, given bool) *Error) *Error {
	var seen [16]string
	n := 0
	for params != "" {
		var word string
		if word, params, _ = strings.Cut(params, " "); word == "" {
			continue
		}
		key, value, given := strings.Cut(word, "=")
		if !isParamKeyword(key) || given && !isValue(value) {
			return &Error{Code: 501, Enhanced: Enhanced{5, 5, 4}, Text: "Syntax error in parameters"}
		}
		key = strings.ToUpper(key)
		for _, k := range seen[:n] {
			if k == key {
				return Errorf(501, Enhanced{5, 5, 4}, "Parameter %s given twice", key)
			}
		}
		if n == len(seen) {
			return &Error{Code: 501, Enhanced: Enhanced{5, 5, 4}, Text: "Too many parameters"}
		}
		seen[n] = key
		n++
		if e := f(key, value, given); e != nil {
			return e
		}
	}
	return nil
}

func isParamKeyword(s string) bool {
	if s == "" || len(s) > 32 || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-':
		default:
			return false
		}
	}
	return true
}

func isValue(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '=' || c == 0x7f {
			return false
		}
	}
	return true
}

// badValue is the answer to a parameter whose value we cannot read.
func badValue(key string) *Error {
	return Errorf(501, Enhanced{5, 5, 4}, "Bad value of parameter %s", key)
}

// parseMail reads the argument of MAIL into a transaction. maxBytes is the announced SIZE.
func parseMail(args string, maxBytes int64) (*Transaction, *Error) {
	path, params, ok := splitPath(args, "FROM:")
	if !ok {
		return nil, &Error{Code: 501, Enhanced: Enhanced{5, 5, 4}, Text: "Syntax: MAIL FROM:<address> [parameters]"}
	}
	t := &Transaction{}
	e := eachParam(params, func(key, value string, given bool) *Error {
		switch key {
		case "SIZE":
			n, err := strconv.ParseUint(value, 10, 63)
			switch {
			case errors.Is(err, strconv.ErrRange) && isDigits(value) && len(value) <= 20 || err == nil && int64(n) > maxBytes:
				r := flawTooBig(maxBytes)
				return &Error{Code: r.code, Enhanced: r.enh, Text: r.text}
			case err != nil || !isDigits(value):
				return badValue(key)
			}
			t.DeclaredSize = int64(n)
		case "BODY":
			if t.BodyType = strings.ToUpper(value); t.BodyType != "7BIT" && t.BodyType != "8BITMIME" {
				return badValue(key)
			}
			t.Envelope.EightBit = t.BodyType == "8BITMIME"
		case "SMTPUTF8":
			if given {
				return badValue(key)
			}
			t.Envelope.SMTPUTF8 = true
		case "REQUIRETLS":
			if given {
				return badValue(key)
			}
			t.Envelope.RequireTLS = true
		case "RET":
			if t.Envelope.Ret = strings.ToUpper(value); t.Envelope.Ret != "FULL" && t.Envelope.Ret != "HDRS" {
				return badValue(key)
			}
		case "ENVID":
			id, ok := decodeXtext(value)
			if !ok || id == "" || len(id) > maxEnvelopeID {
				return badValue(key)
			}
			t.Envelope.EnvelopeID = id
		case "AUTH":
			who, ok := decodeXtext(value)
			if !ok || who == "" {
				return badValue(key)
			}
			t.AuthParam = who
		default:
			return Errorf(555, Enhanced{5, 5, 4}, "Unsupported parameter %s", key)
		}
		return nil
	})
	if e != nil {
		return nil, e
	}
	if path != "" {
		if t.Envelope.ReversePath, e = parsePath(path, Enhanced{5, 1, 7}, t.Envelope.SMTPUTF8); e != nil {
			return nil, e
		}
	}
	return t, nil
}

// parseRcpt reads the argument of RCPT.
func parseRcpt(args string, utf8 bool) (mail.Recipient, *Error) {
	var r mail.Recipient
	path, params, ok := splitPath(args, "TO:")
	if !ok {
		return r, &Error{Code: 501, Enhanced: Enhanced{5, 5, 4}, Text: "Syntax: RCPT TO:<address> [parameters]"}
	}
	e := eachParam(params, func(key, value string, _ bool) *Error {
		switch key {
		case "NOTIFY":
			n, ok := parseNotify(value)
			if !ok {
				return badValue(key)
			}
			r.Notify = n
		case "ORCPT":
			typ, addr, ok := strings.Cut(value, ";")
			decoded, valid := decodeXtext(addr)
			if !ok || !valid || !isParamKeyword(typ) || decoded == "" || len(value) > maxOriginalRecipient {
				return badValue(key)
			}
			r.OriginalRecipient = strings.ToLower(typ) + ";" + decoded
		default:
			return Errorf(555, Enhanced{5, 5, 4}, "Unsupported parameter %s", key)
		}
		return nil
	})
	if e != nil {
		return r, e
	}
	switch {
	case path == "":
		return r, &Error{Code: 501, Enhanced: Enhanced{5, 1, 3}, Text: "The null address cannot receive mail"}
	case strings.EqualFold(path, "postmaster"):
		// RFC 5321 4.5.1 wants it of hosts that receive mail; we only send.
		return r, &Error{Code: 550, Enhanced: Enhanced{5, 1, 1}, Text: "No mailboxes here: give the postmaster's domain"}
	}
	r.Address, e = parsePath(path, Enhanced{5, 1, 3}, utf8)
	return r, e
}

// parsePath reads the address of a path; enh is the code for a malformed one.
func parsePath(path string, enh Enhanced, utf8 bool) (mail.Address, *Error) {
	if path[0] == '@' {
		return mail.Address{}, &Error{Code: 501, Enhanced: enh, Text: "Source routes are not supported"}
	}
	a, err := mail.ParseAddress(path)
	if err != nil || a.IsNull() {
		return mail.Address{}, &Error{Code: 501, Enhanced: enh, Text: "Malformed address"}
	}
	if !utf8 && (a.NeedsSMTPUTF8() || !isASCII(path)) {
		return mail.Address{}, &Error{Code: 553, Enhanced: Enhanced{5, 6, 7}, Text: "Non-ASCII address needs the SMTPUTF8 parameter of MAIL"}
	}
	return a, nil
}

// parseNotify reads "NEVER" or a list of SUCCESS, FAILURE and DELAY (RFC 3461 4.1).
func parseNotify(value string) (mail.Notify, bool) {
	if strings.EqualFold(value, "NEVER") {
		return mail.NotifyNever, true
	}
	var n mail.Notify
	for word := range strings.SplitSeq(value, ",") {
		var bit mail.Notify
		switch strings.ToUpper(word) {
		case "SUCCESS":
			bit = mail.NotifySuccess
		case "FAILURE":
			bit = mail.NotifyFailure
		case "DELAY":
			bit = mail.NotifyDelay
		}
		if bit == 0 || n&bit != 0 {
			return 0, false
		}
		n |= bit
	}
	return n, true
}

// decodeXtext undoes the encoding of RFC 3461 4: "+2B" is "+". What comes out is printable ASCII (or UTF-8 that came in).
func decodeXtext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' {
			if i+2 >= len(s) || !isUpperHex(s[i+1]) || !isUpperHex(s[i+2]) {
				return "", false
			}
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			// RFC 3461 4.4: decoded, it must be printable; a CR LF in here would end up in a DSN's header.
			if n < ' ' || n > '~' {
				return "", false
			}
			c = byte(n)
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

func isUpperHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
