package dkim

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"postern/internal/mail"
)

// tag is one name=value of a tag list.
type tag struct{ name, value string }

// tagList is a parsed tag list (RFC 6376 3.2) in the order written.
type tagList []tag

// get returns a tag's value and whether it is there. Names are case-sensitive.
func (l tagList) get(name string) (string, bool) {
	for _, t := range l {
		if t.name == name {
			return t.value, true
		}
	}
	return "", false
}

// parseTagList reads "a=b; c=d". Values keep inner white space, folding included;
// empty entries (";;") are passed over as many signers write them at the end; a name
// given twice makes the whole list invalid (RFC 6376 3.2).
func parseTagList(s string) (tagList, error) {
	var list tagList
	for len(s) > 0 {
		var spec string
		spec, s, _ = strings.Cut(s, ";")
		spec = strings.Trim(spec, fws)
		if spec == "" {
			continue
		}
		name, value, ok := strings.Cut(spec, "=")
		if !ok {
			return nil, fmt.Errorf("tag list: %q has no =", mail.Glimpse(spec))
		}
		name, value = strings.TrimRight(name, fws), strings.TrimLeft(value, fws)
		if !tagName(name) {
			return nil, fmt.Errorf("tag list: %q is no tag name", mail.Glimpse(name))
		}
		if i := strings.IndexFunc(value, badInValue); i >= 0 {
			return nil, fmt.Errorf("tag list: control character in %s=", name)
		}
		if _, twice := list.get(name); twice {
			return nil, fmt.Errorf("tag list: %s= given twice", mail.Glimpse(name))
		}
		if len(list) == maxTags {
			return nil, fmt.Errorf("tag list: more than %d tags", maxTags)
		}
		list = append(list, tag{name, value})
	}
	if len(list) == 0 {
		return nil, errors.New("tag list: empty")
	}
	return list, nil
}

// fws is folding white space.
const fws = " \t\r\n"

func tagName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

func badInValue(r rune) bool {
	return r < ' ' && r != '\t' && r != '\r' && r != '\n' || r == 0x7f
}

// stripFWS removes all folding white space, as in base64 values and selectors.
func stripFWS(s string) string {
	if !strings.ContainsAny(s, fws) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(fws, r) {
			return -1
		}
		return r
	}, s)
}

// decodeBase64 reads base64 with folding white space inside; missing padding is
// let pass, anything else is not.
func decodeBase64(s string) ([]byte, error) {
	s = strings.TrimRight(stripFWS(s), "=")
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("invalid base64")
	}
	return b, nil
}

// decodeQP reads DKIM-quoted-printable (RFC 6376 2.11): "=" and two hexadecimal
// digits stand for a byte, white space for nothing.
func decodeQP(s string) (string, error) {
	s = stripFWS(s)
	if !strings.Contains(s, "=") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '=' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errors.New("invalid quoted-printable")
		}
		v, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", errors.New("invalid quoted-printable")
		}
		b.WriteByte(byte(v))
		i += 2
	}
	return b.String(), nil
}

// decimal reads an unsigned decimal tag value; RFC 6376 allows up to 76 digits,
// which saturate.
func decimal(s string) (int64, error) {
	if s == "" || len(s) > 76 {
		return 0, errors.New("not a number")
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, errors.New("not a number")
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, nil // only the range is left to fail
	}
	return n, nil
}
