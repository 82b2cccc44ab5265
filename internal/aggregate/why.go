package aggregate

import (
	"fmt"
	"regexp"

	"postern/internal/locale"
)

// Reasons tells why reports could not be read in the reader's language. They are kept in English, as package report and this one say them; their French is
// recognised by their sentences. It never changes once made and is safe for concurrent use.
type Reasons struct{ twin *locale.Twin }

// NewReasons reads the sentences. It fails when their file is damaged, which the tests exclude.
func NewReasons() (*Reasons, error) {
	twin, err := locale.NewTwin("refusal")
	if err != nil {
		return nil, fmt.Errorf("aggregate: %w", err)
	}
	return &Reasons{twin}, nil
}

// aboutFile is the name of a file before what was wrong with it.
var aboutFile = regexp.MustCompile(`^("(?:[^"\\]|\\.){0,500}"): `)

// foreignReason is how a reason is told that no sentence says.
const foreignReason = "said in English: %q"

// In is a reason in a language: Outcome.Fault, Unread.Why of a report that is nobody else's, or a Refused of package report without its first words. What no
// sentence says is quoted, with a word that it is English.
func (r *Reasons) In(lang, why string) string {
	if lang != locale.French || why == "" {
		return why
	}
	name := ""
	for range 4 { // a file in an archive in a mail
		m := aboutFile.FindStringSubmatch(why)
		if m == nil {
			break
		}
		name += m[1] + "\u00a0: "
		why = why[len(m[0]):]
	}
	fr, ok := r.twin.Told(locale.French, why)
	if !ok {
		fr = fmt.Sprintf(r.twin.Text(locale.French, foreignReason), why)
	}
	return name + fr
}
