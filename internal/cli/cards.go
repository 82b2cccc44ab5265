package cli

import (
	"fmt"
	"slices"
	"strings"

	"postern/internal/api"
)

// scanCard and scanNeed are the providers' part of the documented output of scan --json.
type scanCard struct {
	Provider     string     `json:"provider"`
	State        string     `json:"state"`
	Requirements []scanNeed `json:"requirements"`
}

type scanNeed struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Why      string `json:"why,omitempty"`
	Evidence string `json:"evidence"`
}

func scanCards(providers []api.Provider) []scanCard {
	var out []scanCard
	for _, p := range providers {
		card := scanCard{Provider: p.Provider, State: string(p.State), Requirements: []scanNeed{}}
		for _, r := range p.Requirements {
			card.Requirements = append(card.Requirements, scanNeed{r.ID, string(r.State), r.Why, r.Evidence})
		}
		out = append(out, card)
	}
	return out
}

// cardStyle is the look of a card's state.
func cardStyle(p api.Provider) style {
	switch p.State {
	case api.CardReady:
		return green
	case api.CardToMend:
		return yellow
	case api.CardRefused:
		return red
	}
	return plainText
}

// printCards prints a line for each provider: its state and what is missing; then, once for all, what to do about it.
func (c *command) printCards(providers []api.Provider) error {
	if len(providers) == 0 {
		return nil
	}
	names, words := 0, 0
	for _, p := range providers {
		names, words = max(names, textWidth(cardName(p))), max(words, textWidth(clean(p.Word)))
	}
	_, _ = fmt.Fprint(c.Stdout, "\n"+c.paint(bold, "Providers")+" (no part of the score; * recipients of this message)\n")
	if bulk := clean(providers[0].Bulk); bulk != "" {
		_, _ = fmt.Fprint(c.Stdout, c.paint(dim, wrap(bulk, "  ", c.columns)))
	}
	for _, p := range providers {
		name, word := cardName(p), clean(p.Word)
		head := "  " + name + strings.Repeat(" ", names-textWidth(name)) + "  "
		indent := strings.Repeat(" ", textWidth(head)+words+2)
		text := strings.TrimPrefix(wrap(openNeeds(p), indent, c.columns), indent)
		line := head + c.paint(cardStyle(p), word) + strings.Repeat(" ", words-textWidth(word)) + "  " + text
		_, _ = fmt.Fprintln(c.Stdout, strings.TrimRight(line, " \n"))
	}
	return c.printMend(providers)
}

// cardName is a provider's name, marked when recipients are there.
func cardName(p api.Provider) string {
	if p.Recipients > 0 {
		return clean(p.Name) + " *"
	}
	return clean(p.Name)
}

// openNeeds names what a card's state comes from: what is missing, or what is not known.
func openNeeds(p api.Provider) string {
	var missing, unknown, advised []string
	for _, r := range p.Requirements {
		switch {
		case r.State == api.NeedMissing:
			missing = append(missing, clean(r.Name))
		case r.State == api.NotKnown && r.Counts:
			unknown = append(unknown, clean(r.Name))
		case r.State == api.NeedAdvised:
			advised = append(advised, clean(r.Name))
		}
	}
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, strings.Join(missing, ", "))
	}
	switch {
	case len(unknown) > 3: // without the network it would be most of them on each line
		parts = append(parts, fmt.Sprintf("%d points not measured", len(unknown)))
	case len(unknown) > 0:
		parts = append(parts, "not measured: "+strings.Join(unknown, ", "))
	}
	if len(advised) > 0 {
		parts = append(parts, "advised: "+strings.Join(advised, ", "))
	}
	if len(parts) == 0 && p.State == api.NotKnown {
		return clean(p.Sentence)
	}
	return strings.Join(parts, "; ")
}

// printMend prints what to do about the requirements that are missing, those of the same reason once.
func (c *command) printMend(providers []api.Provider) error {
	var said []string
	for _, p := range providers {
		for _, r := range p.Requirements {
			if r.State != api.NeedMissing || r.Fix == "" || slices.Contains(said, r.Why) {
				continue
			}
			if said = append(said, r.Why); len(said) == 1 {
				_, _ = fmt.Fprintln(c.Stdout)
			}
			_, _ = fmt.Fprintln(c.Stdout, "  "+c.paint(bold, clean(r.Name)))
			if r.Evidence != "" {
				_, _ = fmt.Fprintln(c.Stdout, c.paint(dim, "    found: "+clean(r.Evidence)))
			}
			if r.Found != "" {
				_, _ = fmt.Fprint(c.Stdout, wrap(clean(r.Found), "    ", c.columns))
			}
			_, _ = fmt.Fprint(c.Stdout, wrap("→ "+clean(r.Fix), "    ", c.columns))
		}
	}
	return nil
}
