package portal

import (
	"net/url"
	"slices"
	"strings"

	"postern/internal/filter"
)

// Bounds of what one page shows of cards that were damaged or made by a later version.
const (
	maxCards     = 12
	maxCardItems = 40
)

// providers is the section on what the providers ask.
type providers struct {
	Bulk  string // what makes the message bulk mail, or that it is not
	Cards []providerCard
	Mend  []mend
}

// providerCard is one provider's card.
type providerCard struct {
	ID       string // of its element
	Name     string
	State    string // ready, mend, refused, unknown: colours the word
	Word     string
	Sentence string
	Yours    string // how many recipients are there, "" for none
	Missing  []need // leads to what is to mend
	Needs    []need
	Source   string
	Link     string // the provider's page
	Host     string
}

// need is one requirement on a card.
type need struct {
	ID       string // of the element that says what to do
	State    string // met, missing, advised, unknown, note, other: colours the word
	Word     string
	Name     string
	Asked    string
	Found    []block
	Evidence string
}

// mend is one reason why requirements are not met, told once for all providers that ask one of them.
type mend struct {
	ID       string
	Level    string // strong, medium, slight: colours its edge
	Word     string
	Name     string
	Asked    string // by whom
	Advised  string
	Found    []block
	Evidence string
	Fix      []block

	asking, advising []string
	severe           bool
}

// providers makes the section; nil when the verdict has no cards.
func (m *messagePage) providers(verdict filter.Verdict) *providers {
	cards := verdict.Providers[:min(maxCards, len(verdict.Providers))]
	if len(cards) == 0 {
		return nil
	}
	for _, r := range cards {
		for i, f := range r.Requirements {
			args := make(map[string]string, len(f.Args))
			for k, a := range f.Args { // the verdict is stored: its texts are cleaned again where they are shown
				args[k] = strings.ReplaceAll(clean(a, 2000), "`", "'") // back quotes are the catalogue's own
			}
			r.Requirements[i].Args = args
		}
	}
	out := &providers{}
	var all []mend
	for _, c := range filter.ExplainCards(m.site.o.Catalog, m.Lang, cards) {
		out.Bulk = c.Bulk
		card := providerCard{ID: "provider-" + anchor(c.Provider), Name: clean(c.Name, 60), State: level(string(c.State), "ready", "mend", "refused"),
			Word: clean(c.Word, 40), Sentence: c.Sentence, Source: c.Source}
		if c.Recipients > 0 {
			card.Yours = m.T("providers.yours", "Count", c.Recipients)
		}
		if u, err := url.Parse(c.URL); err == nil && u.Scheme == "https" {
			card.Link, card.Host = u.String(), u.Host
		}
		for _, i := range c.Items[:min(maxCardItems, len(c.Items))] {
			n := m.need(i)
			card.Needs = append(card.Needs, n)
			if i.State == filter.Missing {
				card.Missing = append(card.Missing, n)
			}
			if i.State == filter.Missing || i.State == filter.Advised {
				all = mended(all, n, i, card.Name)
			}
		}
		out.Cards = append(out.Cards, card)
	}
	for _, x := range all {
		if len(x.asking) > 0 {
			x.Level, x.Word = "medium", m.site.o.Catalog.Text(m.Lang, "readiness.need_state.missing", nil)
			x.Asked = m.T("providers.mend.asked", "Names", m.names(x.asking))
			if x.severe {
				x.Level = "strong"
			}
		} else {
			x.Level, x.Word = "slight", m.site.o.Catalog.Text(m.Lang, "readiness.need_state.advised", nil)
		}
		if len(x.advising) > 0 {
			x.Advised = m.T("providers.mend.advised", "Names", m.names(x.advising))
		}
		out.Mend = append(out.Mend, x)
	}
	order := []string{"strong", "medium", "slight"}
	slices.SortStableFunc(out.Mend, func(a, b mend) int { return slices.Index(order, a.Level) - slices.Index(order, b.Level) })
	return out
}

// mended adds a provider to what is to mend.
func mended(all []mend, n need, i filter.CardItem, provider string) []mend {
	at := slices.IndexFunc(all, func(x mend) bool { return x.ID == n.ID }) // the same reason, under whatever name it is asked
	if at < 0 {
		all = append(all, mend{ID: n.ID, Name: n.Name, Found: n.Found, Evidence: n.Evidence, Fix: rich(i.Fix)})
		at = len(all) - 1
	}
	all[at].severe = all[at].severe || i.Severe
	x := &all[at]
	switch {
	case slices.Contains(x.asking, provider):
	case i.State == filter.Missing:
		if len(x.asking) == 0 {
			x.Name = n.Name
		}
		x.asking = append(x.asking, provider)
		x.advising = slices.DeleteFunc(x.advising, func(name string) bool { return name == provider })
	case !slices.Contains(x.advising, provider):
		x.advising = append(x.advising, provider)
	}
	return all
}

func (m *messagePage) need(i filter.CardItem) need {
	n := need{ID: "mend-" + anchor(i.Why), State: level(string(i.State), "met", "missing", "advised", "unknown"), Word: clean(i.Word, 40), Name: clean(i.Name, 80),
		Asked: i.Asked, Found: rich(i.Found), Evidence: clean(i.Evidence, evidenceText)}
	if i.Why == i.ID {
		n.State = "note"
	}
	return n
}

// level is a state that has a look of its own, or "other".
func level(state string, known ...string) string {
	if slices.Contains(known, state) {
		return state
	}
	return "other"
}

// names joins names: "a, b and c".
func (m *messagePage) names(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return m.T("list.last", "Names", strings.Join(names[:len(names)-1], ", "), "Last", names[len(names)-1])
}
