package filter

import "postern/internal/locale"

// Explanation is a test in a reader's language: its name, what it means, and what to change.
type Explanation struct {
	Name    string
	Explain string
	Fix     string
}

// placeholders are all the arguments that the texts of tests may use. Values are what the hit carries, from outside: to be escaped
// by whoever shows the texts as HTML.
var placeholders = []string{"Date", "Domain", "Domains", "Hello", "Hours", "IP", "List", "Mechanisms", "Messages", "Name", "Now", "Number", "PolicyDomain",
	"Record", "Sender", "Share", "Subject", "Suggested", "Tag", "Target", "Title", "URL", "Usual", "What", "Why", "Zone"}

// Explain puts a hit into words. The texts are in package locale; the hit's arguments fill their placeholders, and one that the
// hit does not carry (a verdict stored by an older version, an answer that had no such part) reads "not known" in lang. Of a test
// that no text speaks of all parts are "".
func Explain(c *locale.Catalog, lang string, h Hit) Explanation {
	args := make(map[string]any, len(placeholders))
	for _, k := range placeholders {
		if v := h.Args[k]; v != "" {
			args[k] = v
		} else {
			args[k] = c.Text(lang, "test.unknown", nil)
		}
	}
	key := "test." + h.Test + "."
	if text := h.Args["Describe"]; text != "" { // an operator's rule: it says of itself what it means
		if fr := h.Args["DescribeFR"]; lang == locale.French && fr != "" {
			text = fr
		}
		args["Title"], key = text, "test.rule."
	}
	if !c.Has(key + "name") {
		return Explanation{}
	}
	return Explanation{Name: c.Text(lang, key+"name", args), Explain: c.Text(lang, key+"explain", args), Fix: c.Text(lang, key+"fix", args)}
}

// GroupTitle is the title of a group in lang.
func GroupTitle(c *locale.Catalog, lang string, g Group) string {
	return c.Text(lang, "test.group."+string(g), nil)
}
