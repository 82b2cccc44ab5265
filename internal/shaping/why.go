package shaping

import (
	"net/url"
	"slices"
	"strings"
)

// codes are the reasons to wait, each with the names of its arguments in the sentences of locale (shaping.why.CODE).
var codes = []struct {
	code  string
	names []string
}{
	{"adaptive", []string{"Provider"}},
	{"connections", []string{"Provider", "Limit"}},
	{"day", []string{"Provider", "Limit"}},
	{"floor", []string{"Provider", "Egress", "Limit"}},
	{"full", []string{"Provider"}},
	{"governor", []string{"Provider", "Share", "Customer"}},
	{"governor_customer", []string{"Provider", "Share", "Customer"}},
	{"hour", []string{"Provider", "Limit"}},
	{"operator", []string{"Provider", "Reason"}},
	{"operator_address", []string{"Address", "Reason"}},
	{"operator_gateway", []string{"Provider", "Reason"}},
	{"pause", []string{"Provider"}},
	{"pause_sender", []string{"Provider", "Sender"}},
	{"pause_stream", []string{"Provider", "Sender"}},
	{"probe", []string{"Provider"}},
	{"rate", []string{"Provider", "Limit"}},
	{"share", []string{"Provider"}},
	{"slow", []string{"Provider", "Limit"}},
	{"unreachable", []string{"Provider"}},
	{"unreachable_route", []string{"Provider", "Host"}},
	{"warmup", []string{"Provider", "Egress", "Limit"}},
	{"watch", []string{"Provider", "Other"}},
}

// Codes returns the codes of all reasons, sorted.
func Codes() []string {
	var out []string
	for _, c := range codes {
		out = append(out, c.code)
	}
	return out
}

// Names returns the names of a code's arguments, in their order: "Provider", "Limit".
func Names(code string) []string {
	for _, c := range codes {
		if c.code == code {
			return slices.Clone(c.names)
		}
	}
	return nil
}

// Key is the key of the sentence in locale, "shaping.why.CODE".
func (w Why) Key() string { return "shaping.why." + w.Code }

// Values are the arguments by name, as the sentence takes them; what is missing is empty.
func (w Why) Values() map[string]any {
	out := make(map[string]any, 3)
	for i, name := range Names(w.Code) {
		out[name] = ""
		if i < len(w.Args) {
			out[name] = w.Args[i]
		}
	}
	return out
}

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
	if w.Code, err = url.QueryUnescape(code); err != nil || w.Code == "" {
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

// siteTitle is what people call exchangers that nobody knows: the first of their names.
func siteTitle(site string) string {
	hosts, ok := strings.CutPrefix(site, "mx:")
	if !ok {
		return site
	}
	first, _, _ := strings.Cut(hosts, ",")
	return first
}
