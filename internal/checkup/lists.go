package checkup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/internal/dnsbl"
)

// mainWeight is the weight from which a list counts among the main ones: without its answer an address is not known to be clean.
const mainWeight = 3

// lists looks a target up in all blocklists, and sums up their answers: one finding for each listing, one for what is clean, and one for each
// reason for which nothing is known.
func (c *Checker) lists(ctx context.Context, t dnsbl.Target, ask Ask) ([]Finding, []dnsbl.Listing) {
	f := Finding{Group: Lists, State: Unknown, Subject: t.String(), Optional: ask.NoLists, Args: map[string]any{"Target": t.String()}}
	if ask.NoLists || c.o.Panel == nil {
		f.Code = map[bool]string{true: "lists.left-out", false: "lists.off"}[ask.NoLists]
		return []Finding{f}, nil
	}
	kind := dnsbl.Domain
	switch {
	case t.IP.Is4():
		kind = dnsbl.IP4
	case t.IP.IsValid():
		kind = dnsbl.IP6
	}
	of, done := 0, 0
	for _, z := range c.o.Panel.Zones() {
		if z.Usable && z.List.Kinds&kind != 0 {
			of++
		}
	}
	all := c.o.Panel.Check(ctx, t, func(l dnsbl.Listing) {
		if ask.Progress != nil && l.State != dnsbl.Disabled && done < of {
			done++
			ask.Progress(done, of)
		}
	})
	return judgeListings(t.String(), all), all
}

// judgeListings puts the answers of lists into findings.
func judgeListings(target string, all []dnsbl.Listing) []Finding {
	var out []Finding
	var clean []string
	silent := map[string][]dnsbl.Listing{} // by code
	for _, l := range all {
		switch l.State {
		case dnsbl.Listed:
			out = append(out, listed(target, l))
		case dnsbl.Clean:
			if len(l.Matched) > 0 {
				out = append(out, standing(target, l))
			}
			if !l.List.Allow {
				clean = append(clean, l.List.Name)
			}
		default:
			if code := silence(l); code != "" {
				silent[code] = append(silent[code], l)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return b.State.rank() - a.State.rank() })
	if len(clean) > 0 {
		out = append(out, Finding{Group: Lists, Code: "lists.clean", State: Fine, Subject: target,
			Args: map[string]any{"Target": target, "Count": len(clean), "Names": names(clean, 12)}})
	}
	answered := len(out) > 0
	for _, code := range silences {
		if some := silent[code]; len(some) > 0 {
			f := unheard(target, code, some)
			f.Optional = f.Optional && (answered || code == "lists.keyless") // when no list answered, nothing is known, whatever the reason
			out = append(out, f)
		}
	}
	if len(all) == 0 {
		out = append(out, Finding{Group: Lists, Code: "lists.off", State: Unknown, Subject: target, Args: map[string]any{"Target": target}})
	}
	return out
}

// listed is the finding for a listing. How much it weighs decides: a list that hardly anybody asks is worth a look and no more.
func listed(target string, l dnsbl.Listing) Finding {
	f := Finding{Group: Lists, Subject: l.List.Name, Args: map[string]any{"Target": target, "List": l.List.Name, "Zone": l.List.Zone, "Weight": l.List.Weight,
		"Meaning": meanings(l), "Reason": orPhrase(l.Reason, "no-reason"), "Page": orPhrase(l.List.DelistURL, "no-page")}}
	if l.List.DelistURL == "" {
		f.Args["Page"] = orPhrase(l.List.LookupURL, "no-page")
	}
	f.Args["Lookup"] = orPhrase(l.List.LookupURL, "no-page")
	switch {
	case l.List.Allow:
		f.Code, f.State = "lists.allowed", Fine
	case l.List.Weight >= 2:
		f.Code, f.State = "lists.listed", Problem
	case l.List.Weight == 1:
		f.Code, f.State = "lists.minor", Advice
	default:
		f.Code, f.State, f.Optional = "lists.display", Advice, true
	}
	f.Evidence = []Question{listQuestion(target, l)}
	return f
}

// standing is what a list says of a target without listing it: a reputation, an age.
func standing(target string, l dnsbl.Listing) Finding {
	return Finding{Group: Lists, Code: "lists.standing", State: Fine, Optional: true, Subject: l.List.Name, Evidence: []Question{listQuestion(target, l)},
		Args: map[string]any{"Target": target, "List": l.List.Name, "Meaning": meanings(l)}}
}

// silences are the codes for lists of which nothing is known, in the order in which they are shown. Those that nobody asked are never held against the
// target.
var silences = []string{"lists.refused", "lists.silent", "lists.odd", "lists.spent", "lists.unhealthy", "lists.unproven", "lists.keyless"}

// silence is the code for a list of which nothing is known; "" for one that does not concern the target.
func silence(l dnsbl.Listing) string {
	is := func(all ...error) bool {
		return slices.ContainsFunc(all, func(err error) bool { return errors.Is(l.Err, err) })
	}
	switch {
	case is(dnsbl.ErrTarget, dnsbl.ErrWeb, dnsbl.ErrDead):
		return ""
	case is(dnsbl.ErrKey, dnsbl.ErrRegistration, dnsbl.ErrKeyUnknown):
		return "lists.keyless"
	case is(dnsbl.ErrUnhealthy):
		return "lists.unhealthy"
	case is(dnsbl.ErrUnproven):
		return "lists.unproven"
	case l.Refused || is(dnsbl.ErrRefused, dnsbl.ErrPaused):
		return "lists.refused"
	case is(dnsbl.ErrUndocumented):
		return "lists.odd"
	case is(dnsbl.ErrBudget, dnsbl.ErrResting):
		return "lists.spent"
	}
	return "lists.silent"
}

// unheard is the finding for lists that gave no answer. It counts when a main list is among those that were asked.
func unheard(target, code string, some []dnsbl.Listing) Finding {
	f := Finding{Group: Lists, Code: code, State: Unknown, Subject: target, Optional: true}
	var all []string
	why := map[string][]string{}
	var order []string
	for _, l := range some {
		all = append(all, l.List.Name)
		f.Optional = f.Optional && (l.List.Weight < mainWeight || slices.Index(silences, code) >= slices.Index(silences, "lists.unhealthy"))
		r := "no answer"
		if l.Err != nil {
			r = listingReason(l.Err)
		}
		if why[r] == nil {
			order = append(order, r)
		}
		why[r] = append(why[r], l.List.Name)
	}
	for _, r := range order {
		f.Evidence = append(f.Evidence, Question{Name: target, Type: "DNSBL", Status: "try later", Values: why[r][:min(len(why[r]), maxValues)], Why: r})
		if len(f.Evidence) == maxEvidence {
			break
		}
	}
	f.Args = map[string]any{"Target": target, "Count": len(some), "Names": names(all, 12), "Why": clip(strings.Join(order, "; "), 300)}
	return f
}

func listQuestion(target string, l dnsbl.Listing) Question {
	q := Question{Name: target, Type: "DNSBL", Server: l.List.Zone, Status: "found"}
	if l.State == dnsbl.Clean && len(l.Codes) == 0 {
		q.Status = "nothing"
	}
	for _, code := range l.Codes[:min(len(l.Codes), maxValues)] {
		q.Values = append(q.Values, code.String())
	}
	if l.Reason != "" {
		q.Values = append(q.Values, l.Reason)
	}
	return q
}

// meanings are what the answers mean, in both languages. An answer without a documented meaning says what the list lists.
func meanings(l dnsbl.Listing) dnsbl.Text {
	var en, fr []string
	for _, m := range l.Matched {
		en, fr = append(en, m.Meaning.EN), append(fr, m.Meaning.FR)
	}
	if len(en) == 0 {
		return l.List.What
	}
	return dnsbl.Text{EN: strings.Join(en, "; "), FR: strings.Join(fr, " ; ")}
}

// names joins up to most names.
func names(all []string, most int) string {
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s, … (+%d)", strings.Join(all[:most], ", "), len(all)-most)
}
