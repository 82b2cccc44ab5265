package checkup

import "postern/internal/locale"

// Text is a finding in a reader's language.
type Text struct {
	What string // what is the case
	Do   string // what to do; "" nothing
}

// Words puts a finding into words.
func Words(c *locale.Catalog, lang string, f Finding) Text {
	t := Text{What: c.Text(lang, "checkup."+f.Code+".what", f.Args)}
	if f.State != Fine {
		t.Do = c.Text(lang, "checkup."+f.Code+".do", f.Args)
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
