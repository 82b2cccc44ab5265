package filter

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Verdict is what the filter says of one message. It is stored with the message as JSON; field names are stable.
type Verdict struct {
	Score     float64       `json:"score"`     // points, 0..15, shown to people
	Raw       float64       `json:"raw"`       // points, the plain sum of the hits; may be negative or above 15
	Threshold float64       `json:"threshold"` // points; the message is held when Score is strictly above
	Held      bool          `json:"held"`
	Locked    bool          `json:"locked,omitempty"`    // a virus or an operator's deny: held whatever the score, and only an operator may release it
	Hits      []Hit         `json:"hits"`                // tests that fired, highest points first
	Unknown   []Unknown     `json:"unknown,omitempty"`   // tests that could not be measured
	Providers Cards         `json:"providers,omitempty"` // how far it meets what providers publish; no part of the score
	At        time.Time     `json:"at"`
	Elapsed   time.Duration `json:"elapsed"` // nanoseconds
}

// Hit is a test that fired.
type Hit struct {
	Test     string            `json:"test"`     // name in the catalogue, for example SPF_FAIL
	Points   float64           `json:"points"`   // added to the raw score; negative speaks for the message
	Evidence []string          `json:"evidence"` // what was found: the header line, the host, the record
	Args     map[string]string `json:"args,omitempty"`
}

// Unknown is a test that was not measured, for example because a name server did not answer.
type Unknown struct {
	Test string `json:"test"`
	Why  string `json:"why"`
}

// Bounds on what a verdict may carry: it is stored, mailed and shown, and its contents come from outside.
const (
	maxEvidence     = 8    // lines per hit
	maxEvidenceText = 300  // bytes per line
	maxArgText      = 2000 // bytes per argument: DNS records to copy, of which a part would be worse than none
)

// Bounds on a whole verdict: the journal keeps it in one row. A message that fires hundreds of tests keeps the words of the heaviest.
const (
	maxVerdictText = 128 << 10 // bytes of evidence and arguments as JSON
	maxUnknown     = 200       // tests named as not measured
)

// slim keeps the texts of hits, heaviest first, within maxVerdictText: those beyond lose theirs.
func slim(hits []Hit) {
	left := maxVerdictText
	for i := range hits {
		h := &hits[i]
		size := 0
		for _, e := range h.Evidence {
			size += jsonSize(e)
		}
		for k, a := range h.Args {
			size += len(k) + jsonSize(a)
		}
		if size <= left {
			left -= size
			continue
		}
		h.Evidence, h.Args = []string{}, nil
	}
}

// jsonSize is about what a text takes in JSON, where some characters become escapes of six bytes.
func jsonSize(s string) int {
	n := len(s) + 3
	for i := range len(s) {
		switch s[i] {
		case '<', '>', '&', '"', '\\':
			n += 5
		}
	}
	return n
}

// clip makes text from outside fit to store and show: no control characters or line breaks, valid UTF-8, bounded
// to limit bytes.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// clipArgs returns a copy with every value clipped; empty values are left out.
func clipArgs(args map[string]string) map[string]string {
	out := make(map[string]string, len(args))
	for k, v := range args {
		if v != "" {
			out[k] = clip(v, maxArgText)
		}
	}
	return out
}

// Hit returns the hit of the named test, if it fired.
func (v Verdict) Hit(test string) (Hit, bool) {
	for _, h := range v.Hits {
		if h.Test == test {
			return h, true
		}
	}
	return Hit{}, false
}
