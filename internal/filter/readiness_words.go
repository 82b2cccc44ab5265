package filter

import (
	"strings"
	"time"

	"postern/internal/locale"
)

// Card is a provider's card in a reader's language. Evidence and what stands in the texts' back quotes come from outside: to be escaped by
// whoever shows them.
type Card struct {
	Provider   string
	Name       string // of the provider
	State      State
	Word       string // the state
	Sentence   string // the state, in a sentence
	Recipients int    // of the message, there
	Bulk       string // what makes the message bulk mail, or that it is a single one: a sentence
	Source     string // where the requirements were read, and when: a sentence
	URL        string // of that place, "" if there is none
	Items      []CardItem
}

// CardItem is one requirement of a card.
type CardItem struct {
	Finding
	Word   string // the state
	Name   string // what is asked
	Asked  string // of whom, and what happens otherwise: a sentence
	Found  string // what was found: a sentence, "" when the evidence says it all
	Fix    string // what to do, "" when there is nothing to do
	Counts bool   // the card's state depends on it
	Severe bool   // it is missing, and mail may be refused for that whatever the sender's volume
}

// ExplainCards puts cards into words. A provider or requirement of a later version is shown by its key.
func ExplainCards(c *locale.Catalog, lang string, cards Cards) []Card {
	out := make([]Card, 0, len(cards))
	for _, r := range cards {
		out = append(out, explainCard(c, lang, r))
	}
	return out
}

func explainCard(c *locale.Catalog, lang string, r Readiness) Card {
	p, known := providerOf(r.Provider)
	if !known {
		p = Provider{Key: r.Provider, Name: r.Provider, Requirements: []Requirement{}}
	}
	card := Card{Provider: r.Provider, Name: p.Name, State: r.State, Recipients: r.Recipients, URL: p.URL}
	count, advised := 0, 0
	for _, f := range r.Requirements {
		req, _ := p.Requirement(f.ID)
		counts := f.State == Missing || req.counts(r.Bulk != "")
		if counts && f.State == r.State.sought() {
			count++
		}
		if f.State == Advised {
			advised++
		}
		card.Items = append(card.Items, CardItem{Finding: f, Word: wordOr(c, lang, "readiness.need_state."+stateOf(f), string(f.State)),
			Name: wordOr(c, lang, "readiness.need."+f.ID, f.ID), Asked: asked(c, lang, p, req), Found: foundText(c, lang, r.Provider, f),
			Fix: fixText(c, lang, f), Counts: counts, Severe: req.severe(f)})
	}
	card.Word = wordOr(c, lang, "readiness.card_state."+stateKey(r.State)+".word", string(r.State))
	key := "readiness.card_state." + stateKey(r.State) + ".sentence"
	switch {
	case r.State == NotKnown && known && !p.measurable():
		key = "readiness.card_state.nothing"
	case r.State == Ready && advised > 0:
		key, count = "readiness.card_state.ready.but", advised
	}
	if c.Has(key) {
		card.Sentence = c.Text(lang, key, map[string]any{"Name": p.Name, "Count": count})
	}
	card.Bulk = wordOr(c, lang, "readiness.kind.single", "")
	if r.Bulk != "" {
		card.Bulk = wordOr(c, lang, "readiness.kind."+r.Bulk, "")
	}
	if known {
		card.Source = c.Text(lang, "readiness.source."+string(p.Basis), map[string]any{"Read": month(lang, p.Read)})
	}
	return card
}

// month writes a year and month: "November 2026", "novembre 2026".
func month(lang, s string) string {
	t, err := time.Parse("2006-01", s)
	if err != nil {
		return s
	}
	if lang != locale.French {
		return t.Format("January 2006")
	}
	names := []string{"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"}
	return names[t.Month()-1] + t.Format(" 2006")
}

// sought is the state of requirements that a card's state counts.
func (s State) sought() State {
	if s == NotKnown {
		return NotKnown
	}
	return Missing
}

// stateOf is the state of a finding as part of a text's key: what cannot be seen in any single message is a note.
func stateOf(f Finding) string {
	if f.Why == f.ID {
		return "note"
	}
	return stateKey(f.State)
}

// stateKey is a state as part of a text's key.
func stateKey(s State) string {
	if s == NotForThis {
		return "not_for_this"
	}
	return string(s)
}

func wordOr(c *locale.Catalog, lang, key, otherwise string) string {
	if c.Has(key) {
		return c.Text(lang, key, nil)
	}
	return otherwise
}

// asked says of whom a provider asks something, and what happens otherwise.
func asked(c *locale.Catalog, lang string, p Provider, r Requirement) string {
	if r.ID == "" || r.Effect == EffectNote {
		return ""
	}
	key := "readiness.scope." + string(r.For)
	if r.For != ForAll && p.Daily == 0 {
		key += "_unnamed"
	}
	return c.Text(lang, key, map[string]any{"Daily": locale.Number(lang, float64(p.Daily))}) + " " + c.Text(lang, "readiness.effect."+string(r.Effect), nil)
}

func foundText(c *locale.Catalog, lang, provider string, f Finding) string {
	key := "readiness.why." + f.Why + ".found"
	if f.Why == f.ID { // a note: each provider has its own
		key = "readiness.note." + provider + "." + f.ID
	}
	if f.Why == "" || !c.Has(key) {
		return ""
	}
	return strings.TrimSpace(c.Text(lang, key, findingArgs(c, lang, f)))
}

func fixText(c *locale.Catalog, lang string, f Finding) string {
	key := "readiness.why." + f.Why + ".fix"
	if f.Why == "" || f.State == Met || f.State == NotForThis || !c.Has(key) {
		return ""
	}
	return strings.TrimSpace(c.Text(lang, key, findingArgs(c, lang, f)))
}

func findingArgs(c *locale.Catalog, lang string, f Finding) map[string]any {
	args := make(map[string]any, len(placeholders))
	for _, k := range placeholders {
		if v := f.Args[k]; v != "" {
			args[k] = v
		} else {
			args[k] = c.Text(lang, "test.unknown", nil)
		}
	}
	return args
}
