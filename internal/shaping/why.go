package shaping

import (
	"net/url"
	"strings"
)

// String writes a reason as one short text, for the spool: the code and its arguments, each escaped, parted by spaces.
func (w Why) String() string {
	if w.Code == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString(url.QueryEscape(w.Code))
	for _, a := range w.Args {
		b.WriteByte(' ')
		b.WriteString(url.QueryEscape(a))
	}
	return b.String()
}

// ParseWhy reads what String wrote. Text that String did not write comes back as a reason whose code is that text.
func ParseWhy(s string) Why {
	if s == "" {
		return Why{}
	}
	code, rest, more := strings.Cut(s, " ")
	w := Why{}
	var err error
	if w.Code, err = url.QueryUnescape(code); err != nil {
		return Why{Code: s}
	}
	for more {
		var arg string
		arg, rest, more = strings.Cut(rest, " ")
		v, err := url.QueryUnescape(arg)
		if err != nil {
			return Why{Code: s}
		}
		w.Args = append(w.Args, v)
	}
	return w
}
