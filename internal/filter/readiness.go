package filter

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"postern/internal/dns"
	"postern/internal/mail"
)

// State of a requirement, or of a provider's card.
type State string

// The states of a requirement.
const (
	Met        State = "met"
	Missing    State = "missing" // not met, and it counts for mail of this kind
	Advised    State = "advised" // not met, but only advice for mail of this kind, or only from a volume on
	NotKnown   State = "unknown" // not measured, or not to be seen in one message
	NotForThis State = "n/a"     // the requirement is not for mail of this kind
)

// The states of a card. NotKnown is one of them too.
const (
	Ready   State = "ready"   // nothing that counts is missing
	ToMend  State = "mend"    // something is missing: spam folder, or refusal from a volume on
	Refused State = "refused" // something is missing whose lack is answered by refusals, whatever the volume
)

// Readiness says how far a message meets what one provider publishes: the provider's card. Cards weigh nothing in the score.
type Readiness struct {
	Provider     string    // key in the table of Providers
	State        State     // Ready, ToMend, Refused, or NotKnown
	Recipients   int       // how many recipients of the message are there
	Bulk         string    // what makes the message bulk mail: a key of readiness.bulk.*; "": it is a single message
	Requirements []Finding // in the order of the table
}

// Finding is one requirement, held against the message.
type Finding struct {
	ID       string
	State    State
	Why      string            // code of its texts readiness.why.*, "" when there is nothing to say
	Evidence string            // what was found, from outside; short
	Args     map[string]string // for the texts: records to copy and such
}

// Cards are the cards of one verdict, those of the message's recipients first. As JSON a finding stands once, for it is the same on
// each card, and each card only names its requirements by state.
type Cards []Readiness

// maxCardEvidence is the most that is kept of what was found, in bytes.
const maxCardEvidence = 200

type storedCards struct {
	Bulk  string                   `json:"bulk,omitempty"`
	Found map[string]storedFinding `json:"found"`
	Cards []storedCard             `json:"cards"`
}

type storedFinding struct {
	Why      string            `json:"why,omitempty"`
	Evidence string            `json:"evidence,omitempty"`
	Args     map[string]string `json:"args,omitempty"`
}

type storedCard struct {
	Provider   string             `json:"provider"`
	State      State              `json:"state"`
	Recipients int                `json:"recipients,omitempty"`
	Needs      map[State][]string `json:"needs"`
}

// MarshalJSON implements json.Marshaler.
func (c Cards) MarshalJSON() ([]byte, error) {
	out := storedCards{Found: map[string]storedFinding{}, Cards: []storedCard{}}
	for _, r := range c {
		card := storedCard{Provider: r.Provider, State: r.State, Recipients: r.Recipients, Needs: map[State][]string{}}
		out.Bulk = r.Bulk
		for _, f := range r.Requirements {
			card.Needs[f.State] = append(card.Needs[f.State], f.ID)
			if f.Why != "" || f.Evidence != "" {
				out.Found[f.ID] = storedFinding{f.Why, f.Evidence, f.Args}
			}
		}
		out.Cards = append(out.Cards, card)
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler. What a later version stored is kept as it is, behind what this one knows.
func (c *Cards) UnmarshalJSON(text []byte) error {
	var in storedCards
	if err := json.Unmarshal(text, &in); err != nil {
		return err
	}
	*c = nil
	for _, card := range in.Cards {
		r := Readiness{Provider: card.Provider, State: card.State, Recipients: card.Recipients, Bulk: in.Bulk}
		for state, ids := range card.Needs {
			for _, id := range ids {
				f := in.Found[id]
				r.Requirements = append(r.Requirements, Finding{id, state, f.Why, f.Evidence, f.Args})
			}
		}
		p, _ := providerOf(r.Provider)
		place := func(f Finding) int {
			if i := slices.IndexFunc(p.Requirements, func(q Requirement) bool { return q.ID == f.ID }); i >= 0 {
				return i
			}
			return len(p.Requirements)
		}
		slices.SortFunc(r.Requirements, func(a, b Finding) int {
			if x, y := place(a), place(b); x != y {
				return x - y
			}
			return strings.Compare(a.ID, b.ID)
		})
		*c = append(*c, r)
	}
	return nil
}

// measured is one finding before a provider looks at it: Met, Missing, NotKnown or NotForThis.
type measured struct {
	Finding
	soft bool // when missing, it is no more than advice
	hard bool // when missing, it counts for all mail: the sender's own domain asks receivers not to take it
}

func met(evidence string) measured {
	return measured{Finding: Finding{State: Met, Evidence: evidence}}
}

func missing(why, evidence string, args map[string]string) measured {
	return measured{Finding: Finding{State: Missing, Why: why, Evidence: evidence, Args: args}}
}

func notKnown(why, evidence string) measured {
	return measured{Finding: Finding{State: NotKnown, Why: why, Evidence: evidence}}
}

// held returns a requirement as it counts for a message: bulk or not.
func (r Requirement) held(m measured, bulk bool) Finding {
	f := m.Finding
	f.ID = r.ID
	switch {
	case r.Effect == EffectNote:
		if f = (Finding{ID: r.ID, State: NotKnown, Why: r.ID}); r.For == ForBulk && !bulk {
			f.State, f.Why = NotForThis, ""
		}
	case r.For == ForBulk && !bulk:
		f = Finding{ID: r.ID, State: NotForThis}
	case f.State == Missing && (!r.counts(bulk) || m.soft) && !m.hard:
		f.State = Advised
	}
	return f
}

// counts reports whether the card depends on the requirement: advice, and what volume senders must meet on a single message, is
// shown but weighs nothing.
func (r Requirement) counts(bulk bool) bool {
	return r.Effect != EffectAdvice && r.Effect != EffectNote && (r.For == ForAll || bulk)
}

// severe reports whether mail may be refused for what was found, whatever its sender's volume.
func (r Requirement) severe(f Finding) bool {
	return f.State == Missing && (r.Effect == EffectRefuse && r.For == ForAll || f.Why == whyRejected)
}

// What the sender's own DMARC policy asks receivers to do with the message.
const (
	whyFiled    = "dmarc_fail_quarantine"
	whyRejected = "dmarc_fail_reject"
)

// card holds what was measured against what a provider asks.
func (p Provider) card(found map[string]measured, bulk string) Readiness {
	out := Readiness{Provider: p.Key, State: Ready, Bulk: bulk, Requirements: make([]Finding, 0, len(p.Requirements))}
	unknown := 0
	for _, r := range p.Requirements {
		f := r.held(found[r.ID], bulk != "")
		out.Requirements = append(out.Requirements, f)
		switch {
		case r.severe(f):
			out.State = Refused
		case f.State == Missing && out.State != Refused:
			out.State = ToMend
		case f.State == NotKnown && r.counts(bulk != ""):
			unknown++
		}
	}
	if out.State == Ready && (unknown > 0 || !p.measurable()) {
		out.State = NotKnown
	}
	return out
}

// measurable reports whether anything that the provider asks can be seen in a message.
func (p Provider) measurable() bool {
	return slices.ContainsFunc(p.Requirements, func(r Requirement) bool { return r.Effect != EffectNote })
}

// checkReadiness makes the cards out of what the other checks found: it asks nothing that they did not ask.
func checkReadiness(ctx context.Context, s *scan) {
	mine := s.recipientsAt()
	bulk := s.bulk()
	found := s.measure(ctx, bulk != "")
	for id, m := range found {
		m.Evidence = clip(m.Evidence, maxCardEvidence)
		if m.Args != nil {
			m.Args = clipArgs(m.Args)
		}
		found[id] = m
	}
	var yours, others Cards
	for _, p := range providerTable {
		r := p.card(found, bulk)
		switch r.Recipients = mine[p.Key]; {
		case r.Recipients > 0:
			yours = append(yours, r)
		case p.Main:
			others = append(others, r)
		}
	}
	s.cards = append(yours, others...)
}

// recipientsAt counts the recipients at each provider: by domain, or by the mail exchangers that the checks asked for.
func (s *scan) recipientsAt() map[string]int {
	out := map[string]int{}
	known := map[mail.Domain]string{}
	for _, r := range s.Envelope.Recipients {
		d := r.Address.Domain
		key, ok := known[d]
		if !ok {
			var hosts []string
			if m, remembers := s.resolver.(*memory); remembers {
				if a, asked := m.known(string(d), dns.TypeMX); asked {
					for _, rec := range a.Records {
						hosts = append(hosts, rec.Host)
					}
				}
			}
			for _, p := range providerTable {
				if p.Takes(d, hosts) {
					key = p.Key
					break
				}
			}
			known[d] = key
		}
		if key != "" {
			out[key]++
		}
	}
	return out
}

// manyRecipients is how many make a message without other marks bulk mail, and so do as many messages of nearly the same text.
const manyRecipients = 50

// bulk says what shows that the message is one of many: a mark of its own, or what its sender did before. What was seen when the message
// came stands when it is tested again.
func (s *scan) bulk() string {
	mark := bulkMark(s.Message, len(s.Envelope.Recipients))
	earlier := s.Earlier != nil && len(s.Earlier.Providers) > 0 && s.Earlier.Providers[0].Bulk == "alike"
	if mark == "" && (earlier || s.observed != nil && s.observed.Alike.Messages >= manyRecipients) {
		return "alike"
	}
	return mark
}

// bulkMark says what shows that a message is one of many: a field that lists and senders of newsletters set, or its recipients. It is
// the key of the sentence readiness.bulk.*; "" for a single message.
func bulkMark(m *mail.Message, recipients int) string {
	switch {
	case m.Header.Has("List-Unsubscribe"):
		return "list_unsubscribe"
	case m.Header.Has("List-Id"):
		return "list_id"
	case slices.Contains([]string{"bulk", "list", "junk"}, strings.ToLower(strings.TrimSpace(m.Header.Get("Precedence")))):
		return "precedence"
	case m.Header.Has("Feedback-ID"):
		return "feedback_id"
	case recipients >= manyRecipients:
		return "recipients"
	}
	return ""
}

// String is a card in one line, for tests and logs.
func (r Readiness) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", r.Provider, r.State)
	for _, f := range r.Requirements {
		fmt.Fprintf(&b, " %s=%s", f.ID, f.State)
		if f.Why != "" {
			fmt.Fprintf(&b, "(%s)", f.Why)
		}
	}
	return b.String()
}
