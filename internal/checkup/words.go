package checkup

import (
	"postern/internal/dnsbl"
	"postern/internal/locale"
)

// Phrase is an argument of a finding that is itself a text: the key checkup.word.PHRASE. An argument may also be a dnsbl.Text.
type Phrase string

// orPhrase is text, or the phrase that stands where there is none.
func orPhrase(text string, p Phrase) any {
	if text == "" {
		return p
	}
	return text
}

// spoken are a finding's arguments in a language.
func spoken(c *locale.Catalog, lang string, args map[string]any) map[string]any {
	out := make(map[string]any, len(args))
	for name, v := range args {
		switch v := v.(type) {
		case Phrase:
			out[name] = c.Text(lang, "checkup.word."+string(v), nil)
		case dnsbl.Text:
			out[name] = meaning(v, lang)
		default:
			out[name] = v
		}
	}
	return out
}

// Text is a finding in a reader's language.
type Text struct {
	What string // what is the case
	Do   string // what to do; "" nothing
}

// Words puts a finding into words.
func Words(c *locale.Catalog, lang string, f Finding) Text {
	args := spoken(c, lang, f.Args)
	t := Text{What: c.Text(lang, "checkup."+f.Code+".what", args)}
	if f.State != Fine {
		do := "checkup." + f.Code + ".do"
		if f.Args["Page"] == Phrase("no-page") { // of the lists' findings: they have a sentence of their own for it
			do = "checkup." + f.Code + ".nowhere"
		}
		t.Do = c.Text(lang, do, args)
	}
	return t
}

// GroupName is a group's name, and why it matters.
func GroupName(c *locale.Catalog, lang string, g Group) (name, why string) {
	return c.Text(lang, "checkup.group."+string(g)+".name", nil), c.Text(lang, "checkup.group."+string(g)+".why", nil)
}

// StateName is a state in a word.
func StateName(c *locale.Catalog, lang string, s State) string {
	return c.Text(lang, "checkup.state."+string(s), nil)
}
