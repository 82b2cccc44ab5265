package filter

import "postern/internal/locale"

// Explanation is a test in a reader's language: its name, what it means, and what to change.
type Explanation struct {
	Name    string
	Explain string
	Fix     string
}

// Explain puts a hit into words. The texts are in package locale; the hit's arguments fill their placeholders.
func Explain(c *locale.Catalog, lang string, h Hit) Explanation {
	args := make(map[string]any, len(h.Args))
	for k, v := range h.Args {
		args[k] = v
	}
	key := "test." + h.Test + "."
	return Explanation{Name: c.Text(lang, key+"name", args), Explain: c.Text(lang, key+"explain", args), Fix: c.Text(lang, key+"fix", args)}
}
