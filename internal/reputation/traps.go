package reputation

import (
	"cmp"
	"slices"
	"strings"
)

// trapWords are those by which answers, complaints and lists speak of spam traps, lower case.
var trapWords = []string{"spam trap", "spam-trap", "spamtrap", "honeypot", "honey pot", "trap hit", "trap address", "pristine trap", "piège à spam", "pièges à spam", "adresse piège", "adresses pièges", "adresse-piège"}

// SpeaksOfTrap reports whether a text from outside speaks of spam traps.
func SpeaksOfTrap(text string) bool {
	if len(text) < len("spamtrap") {
		return false
	}
	text = strings.ToLower(text)
	return slices.ContainsFunc(trapWords, func(w string) bool { return strings.Contains(text, w) })
}

// listedTraps are the hits that Microsoft counts and those that lists speak of: by a code, by what they hold, or in words.
func listedTraps(e Evidence) (out []TrapEvidence) {
	counted := TrapEvidence{Source: TrapSNDS}
	for _, d := range e.SNDS {
		if d.Traps > 0 {
			counted.Count += d.Traps
			counted.Last = d.Day
		}
	}
	if counted.Count > 0 {
		out = append(out, counted)
	}
	for _, l := range e.Listings {
		x := TrapEvidence{From: l.List, Text: l.Reason, Last: l.Since}
		switch {
		case slices.Contains(l.Names, "trap"):
			x.Source = TrapCode
		case l.Traps:
			x.Source = TrapList
		case SpeaksOfTrap(l.Reason):
			x.Source = TrapSaid
		default:
			continue
		}
		out = append(out, x)
	}
	return out
}

// trapsShown are the answers and complaints that speak of traps, the most frequent first.
func (r *reader) trapsShown() (out []TrapEvidence) {
	for _, x := range r.traps {
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b TrapEvidence) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Source, b.Source), cmp.Compare(a.From, b.From))
	})
	return out[:min(len(out), shownAnswers)]
}
