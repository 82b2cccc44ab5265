package mail

import (
	"bytes"
	"strings"
)

// mixedCase notes center and href written in mixed case in the raw start tag.
func (r *renderer) mixedCase(raw []byte) {
	const most = 100
	i := 1
	for i < len(raw) && raw[i] > ' ' && raw[i] != '>' && raw[i] != '/' {
		i++
	}
	if name := raw[min(1, len(raw)):i]; len(r.out.MixedCaseTags) < most && isMixed(name, "center") {
		r.out.MixedCaseTags = append(r.out.MixedCaseTags, "<"+string(name))
	}
	for i < len(raw) && len(r.out.MixedCaseTags) < most {
		for i < len(raw) && (raw[i] <= ' ' || raw[i] == '/' || raw[i] == '>') {
			i++
		}
		start := i
		for i < len(raw) && raw[i] > ' ' && raw[i] != '=' && raw[i] != '>' && raw[i] != '/' {
			i++
		}
		if i == start {
			i++ // a stray "="
			continue
		}
		if name := raw[start:i]; isMixed(name, "href") {
			r.out.MixedCaseTags = append(r.out.MixedCaseTags, string(name)+"=")
		}
		i = skipAttrValue(raw, i)
	}
}

// skipAttrValue moves over "= value" at i.
func skipAttrValue(raw []byte, i int) int {
	j := i
	for j < len(raw) && raw[j] <= ' ' {
		j++
	}
	if j >= len(raw) || raw[j] != '=' {
		return i
	}
	for j++; j < len(raw) && raw[j] <= ' '; j++ {
	}
	if j < len(raw) && (raw[j] == '"' || raw[j] == '\'') {
		k := bytes.IndexByte(raw[j+1:], raw[j])
		if k < 0 {
			return len(raw)
		}
		return j + 1 + k + 1
	}
	for j < len(raw) && raw[j] > ' ' && raw[j] != '>' {
		j++
	}
	return j
}

// isMixed reports whether name is want written neither all lower nor all upper.
func isMixed(name []byte, want string) bool {
	if len(name) != len(want) || !strings.EqualFold(string(name), want) {
		return false
	}
	lower, upper := false, false
	for _, c := range name {
		lower = lower || c >= 'a'
		upper = upper || c < 'a'
	}
	return lower && upper
}
