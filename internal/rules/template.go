package rules

import (
	"strings"
	"sync"
)

// template runs a rule whose pattern holds %{NAME}: what other rules captured under that name. Without a capture it does not run.
func (c *scan) template(i int) {
	r := c.s.rules[i]
	complete := true
	text := templateName.ReplaceAllStringFunc(r.pattern.text, func(t string) string {
		values := c.captured[templateName.FindStringSubmatch(t)[1]]
		if len(values) == 0 {
			complete = false
			return ""
		}
		quoted := make([]string, len(values))
		for k, s := range values {
			quoted[k] = quoteBytes(s)
		}
		return "(?:" + strings.Join(quoted, "|") + ")"
	})
	if !complete {
		return
	}
	var texts [][]byte
	switch r.Kind {
	case Header:
		texts = [][]byte{c.headerOr(r)}
	case Body:
		if texts = c.body(); r.noSubj && len(texts) > 0 {
			texts = texts[1:]
		}
	case RawBody:
		texts = c.v.rawChunks()
	case URI:
		texts = c.uriList()
	case Full:
		texts = [][]byte{c.v.full}
	}
	m := c.s.filled.known(text, r.pattern.flags)
	if m == nil && r.shell != nil && !r.negated {
		possible := false
		for _, b := range texts {
			if ok, budget := r.shell.MatchIn(b, &c.budget); ok || budget {
				possible = true
				break
			}
		}
		if !possible {
			return
		}
	}
	if m == nil {
		var err error
		if m, err = c.s.filled.compile(text, r.pattern.flags); err != nil {
			c.skipped[i] = true
			return
		}
	}
	c.single(i, m, texts)
}

// filledTemplates keeps the patterns that templates became: what they are filled with, such as the author's domain, comes again and again.
type filledTemplates struct {
	mu       sync.Mutex
	patterns map[string]*matcher
}

// mostFilled bounds the patterns kept; beyond, all are dropped.
const mostFilled = 512

// known returns the pattern if it is kept, nil if not.
func (t *filledTemplates) known(text, flags string) *matcher {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.patterns[flags+"/"+text]
}

// compile makes the pattern and keeps it.
func (t *filledTemplates) compile(text, flags string) (*matcher, error) {
	m, err := compileMatcher(text, flags)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.patterns == nil || len(t.patterns) >= mostFilled {
		t.patterns = make(map[string]*matcher)
	}
	t.patterns[flags+"/"+text] = m
	return m, nil
}

func quoteBytes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if !isWordByte(s[i]) && s[i] < 0x80 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
