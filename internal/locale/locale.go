// Package locale holds every sentence Postern says to a person, in French and in English.
//
// # What it holds
//
// The sentences live beside this file in texts/ROOM.LANG.yaml, one file per room and language, so that
// rooms grow without meeting in one file. A key is a dotted path that begins with its room or subject
// ("test.SPF_FAIL.explain", "notice.held.subject"); it may be written flat or nested. Keys named one,
// other, description, id, hash, zero, two, few or many directly below a text mean its plural forms to the
// file format, so no key may end in them. A plural text is written
//
//	queue.waiting:
//	  one: "{{.Count}} message is waiting"
//	  other: "{{.Count}} messages are waiting"
//
// and chosen by args["Count"] under the rules of the language (0 is singular in French, plural in English).
// Placeholders are {{.Name}} of Go's text/template. Texts are plain text: whoever shows them as HTML escapes
// them, and arguments are never read as templates.
//
// French authors type ordinary spaces: when the texts are read, the space before : ; ? ! » % and after « becomes
// a no-break space, except between back quotes, where text is to be copied as it stands.
//
// # What it does not
//
// It knows no message, no test and no page. It does not choose the reader's language; Match and Parse help
// those who do.
//
// # How it fails
//
// New fails when a text file cannot be read, which the package's own tests exclude: they also hold that
// every key exists in both languages with the same placeholders. After that nothing fails: Text answers with the English
// text when a language lacks a key, and with the key itself when no language has it; a placeholder without
// argument reads "?".
package locale

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// French and English are the two languages Postern speaks, as used for every lang argument. Any other
// value of lang means English.
const (
	French  = "fr"
	English = "en"
)

// Languages returns the supported languages, English (the one all others fall back to) first.
func Languages() []string { return []string{English, French} }

//go:embed texts
var embedded embed.FS

// Catalog holds the texts of all rooms in all languages. It never changes once made and is safe for
// concurrent use.
type Catalog struct {
	langs map[string]*texts
	keys  []string
}

// texts is one language: what stands still is kept ready, the rest is left to go-i18n.
type texts struct {
	lang      string
	localizer *i18n.Localizer
	messages  map[string]text
}

// text is one message of one language.
type text struct {
	plain  string   // the whole text when it has neither placeholders nor plural forms
	fields []string // the names of its placeholders, sorted
	plural bool     // it has several forms, chosen by Count
	source *i18n.Message
}

// New reads the texts built into the program. The error names the file and, for YAML faults, its line.
func New() (*Catalog, error) {
	sub, err := fs.Sub(embedded, "texts")
	if err != nil {
		return nil, fmt.Errorf("locale: %w", err)
	}
	return read(sub)
}

// read builds a catalog from the files ROOM.LANG.yaml of fsys.
func read(fsys fs.FS) (*Catalog, error) {
	bundle := i18n.NewBundle(language.English)
	bundle.RegisterUnmarshalFunc("yaml", yaml.Unmarshal)
	c := &Catalog{langs: map[string]*texts{}}
	for _, lang := range Languages() {
		c.langs[lang] = &texts{lang: lang, messages: map[string]text{}}
	}
	files, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("locale: %w", err)
	}
	for _, name := range files {
		if err := c.readFile(fsys, name, bundle); err != nil {
			return nil, fmt.Errorf("locale: %s: %w", name, err)
		}
	}
	for _, t := range c.langs {
		t.localizer = i18n.NewLocalizer(bundle, t.lang)
		for key := range t.messages {
			c.keys = append(c.keys, key)
		}
	}
	slices.Sort(c.keys)
	c.keys = slices.Compact(c.keys)
	return c, nil
}

func (c *Catalog) readFile(fsys fs.FS, name string, bundle *i18n.Bundle) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	parts := strings.Split(name, ".")
	if len(parts) != 3 || c.langs[parts[1]] == nil {
		return fmt.Errorf("text files are named ROOM.LANG.yaml with LANG one of %s", strings.Join(Languages(), ", "))
	}
	t := c.langs[parts[1]]
	messages, err := i18n.ParseMessageBytes(data, unmarshal)
	if err != nil {
		return err
	}
	tag := language.Make(t.lang)
	for _, m := range messages {
		if _, twice := t.messages[m.ID]; twice {
			return fmt.Errorf("key %s exists already in another file", m.ID)
		}
		for _, form := range []*string{&m.One, &m.Other} {
			*form = strings.TrimRight(*form, "\n")
			if t.lang == French {
				*form = Typeset(*form)
			}
		}
		x, err := newText(m)
		if err != nil {
			return fmt.Errorf("key %s: %w", m.ID, err)
		}
		t.messages[m.ID] = x
		if err := bundle.AddMessages(tag, m); err != nil {
			return fmt.Errorf("key %s: %w", m.ID, err)
		}
	}
	return nil
}

// unmarshal reads YAML and lets an empty file be a file without texts.
func unmarshal(data []byte, v any) error {
	if err := yaml.Unmarshal(data, v); err != nil {
		return err
	}
	if p, ok := v.(*any); ok && *p == nil {
		*p = map[string]any{}
	}
	return nil
}

func newText(m *i18n.Message) (text, error) {
	if m.Zero != "" || m.Two != "" || m.Few != "" || m.Many != "" {
		return text{}, fmt.Errorf("only the forms one and other exist in French and English")
	}
	if m.Other == "" {
		return text{}, fmt.Errorf("the text is empty")
	}
	t := text{source: m, plural: m.One != ""}
	for _, form := range []string{m.One, m.Other} {
		trees, err := parse.Parse("text", form, "", "", nil)
		if err != nil {
			return text{}, err
		}
		for _, tree := range trees {
			if t.fields, err = placeholders(tree.Root, t.fields); err != nil {
				return text{}, err
			}
		}
	}
	slices.Sort(t.fields)
	t.fields = slices.Compact(t.fields)
	if len(t.fields) == 0 && !t.plural {
		t.plain = m.Other
	}
	return t, nil
}

// placeholders adds the names used as {{.Name}} below n. Nothing else is allowed in a text: sentences that
// need conditions are several sentences.
func placeholders(n *parse.ListNode, names []string) ([]string, error) {
	if n == nil {
		return names, nil
	}
	for _, item := range n.Nodes {
		switch item := item.(type) {
		case *parse.TextNode:
		case *parse.ActionNode:
			cmds := item.Pipe.Cmds
			if len(cmds) != 1 || len(cmds[0].Args) != 1 || len(item.Pipe.Decl) != 0 {
				return nil, fmt.Errorf("only {{.Name}} may stand in a text, found %s", item)
			}
			field, ok := cmds[0].Args[0].(*parse.FieldNode)
			if !ok || len(field.Ident) != 1 {
				return nil, fmt.Errorf("only {{.Name}} may stand in a text, found %s", item)
			}
			names = append(names, field.Ident[0])
		default:
			return nil, fmt.Errorf("only {{.Name}} may stand in a text, found %s", item)
		}
	}
	return names, nil
}

// Text returns the sentence of key in lang with args filled in. It never fails: see the package comment.
//
// Arguments appear as fmt prints them, but a float64 is written by Number, a time.Time by Date and a
// time.Duration by Duration. Count chooses the plural form and, being a quantity, is written by Number; other integers stay bare,
// for they are ports, codes and years.
func (c *Catalog) Text(lang, key string, args map[string]any) string {
	t := c.langs[lang]
	if t == nil {
		t = c.langs[English]
	}
	m, ok := t.messages[key]
	if !ok {
		t = c.langs[English]
		if m, ok = t.messages[key]; !ok {
			return key
		}
	}
	if m.plain != "" {
		return m.plain
	}
	data := make(map[string]any, len(m.fields))
	for _, name := range m.fields {
		data[name] = display(t.lang, name, args)
	}
	config := i18n.LocalizeConfig{MessageID: key, TemplateData: data}
	if m.plural {
		config.PluralCount = count(args["Count"])
	}
	s, err := t.localizer.Localize(&config)
	if err != nil || s == "" {
		return m.source.Other
	}
	return s
}

// display returns the argument as it shall be read.
func display(lang, name string, args map[string]any) any {
	v, ok := args[name]
	if !ok || v == nil {
		return "?"
	}
	switch v := v.(type) {
	case float64:
		return Number(lang, v)
	case time.Time:
		return Date(lang, v)
	case time.Duration:
		return Duration(lang, v)
	}
	if n, ok := count(v).(int64); ok && name == "Count" {
		return Number(lang, float64(n))
	}
	return v
}

// count turns any kind of quantity into what go-i18n counts with; nil means "the other form".
func count(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case int64:
		return v
	case uint:
		return int64(min(v, 1<<62))
	case uint8:
		return int64(v)
	case uint16:
		return int64(v)
	case uint32:
		return int64(v)
	case uint64:
		return int64(min(v, 1<<62))
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		if _, err := strconv.ParseFloat(v, 64); err == nil && !strings.ContainsAny(v, "eExXnNiI_") {
			return v
		}
	}
	return nil
}

// Has reports whether any language has a text for key. Callers use it for optional texts only.
func (c *Catalog) Has(key string) bool {
	_, ok := slices.BinarySearch(c.keys, key)
	return ok
}

// Keys returns the keys of all languages, sorted. The slice is the caller's.
func (c *Catalog) Keys() []string { return slices.Clone(c.keys) }

// Typeset puts no-break spaces where French typography asks for them, outside back quotes: at : ; ? ! % and quote marks, between thousands (a narrow one),
// and between a number, or a placeholder, and its unit. Texts of this room have them already.
func Typeset(s string) string {
	if !strings.ContainsAny(s, ":;?!»«%0123456789}") {
		return s
	}
	const noBreak, narrow = '\u00a0', '\u202f'
	out := []rune(s)
	code := false
	for i, r := range out {
		if r == '`' {
			code = !code
		}
		if code || r != ' ' {
			continue
		}
		after := i+1 < len(out) && strings.ContainsRune(":;?!»%", out[i+1])
		switch {
		case after || i > 0 && out[i-1] == '«', hasUnit(out, i):
			out[i] = noBreak
		case inNumber(out, i):
			out[i] = narrow
		}
	}
	return string(out)
}

// inNumber reports whether a space parts thousands: one to three digits before it, exactly three behind it.
func inNumber(s []rune, space int) bool {
	before, behind := 0, 0
	for i := space - 1; i >= 0 && isDigit(s[i]); i-- {
		before++
	}
	for i := space + 1; i < len(s) && isDigit(s[i]); i++ {
		behind++
	}
	first := space - before - 1
	return before >= 1 && before <= 3 && behind == 3 && (first < 0 || !strings.ContainsRune(".,:/-", s[first]))
}

// units are the words that are not parted from their number.
var units = map[string]bool{"octet": true, "octets": true, "o": true, "Ko": true, "Mo": true, "Go": true, "To": true, "Kio": true, "Mio": true, "Gio": true, "bit": true, "bits": true,
	"ms": true, "s": true, "min": true, "h": true, "seconde": true, "secondes": true, "minute": true, "minutes": true, "heure": true, "heures": true, "jour": true, "jours": true,
	"semaine": true, "semaines": true, "mois": true, "an": true, "ans": true, "point": true, "points": true, "fois": true, "€": true}

// hasUnit reports whether a space stands between a number, or what stands for one, and a unit.
func hasUnit(s []rune, space int) bool {
	if space == 0 || !isDigit(s[space-1]) && !(space > 1 && s[space-1] == '}' && s[space-2] == '}') {
		return false
	}
	end := space + 1
	for end < len(s) && (unicode.IsLetter(s[end]) || s[end] == '€') {
		end++
	}
	return units[string(s[space+1:end])]
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }
