package portal

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/user"
)

// What the page of providers looks at.
const (
	cardDays     = 30  // days of results
	cardMessages = 500 // latest messages whose tests are held against what providers ask
	mostOthers   = 30  // receivers without a card that are shown
)

// cardRoutes are a customer's results and readiness by provider.
func (s *site) cardRoutes() []route {
	return []route{{method: http.MethodGet, path: "/c/{customer}/providers", access: over(user.MailRead), do: s.cards}}
}

// cardsPage shows what became of mail at each provider, and how far lately sent mail meets what it asks.
type cardsPage struct {
	page
	Lede   string
	Tested string // of how many messages readiness is told
	Cards  []resultCard
	Others []resultRow
}

// resultCard is one provider that says what it asks.
type resultCard struct {
	Name     string
	State    string // ready, mend, refused, unknown: colours the word
	Word     string
	Sentence string
	Results  []resultFigure // nil: nothing was sent there
	Needs    []cardNeed
	Help     string
}

// resultFigure is one figure of what became of mail.
type resultFigure struct{ Label, Value, Class string }

// cardNeed is one thing that a provider asks, held against lately sent mail.
type cardNeed struct {
	State string // met, missing, advised, unknown
	Word  string
	Name  string
	Found string
}

// resultRow is one receiver in the table of the others.
type resultRow struct {
	Name, Help                           string
	Delivered, Delayed, Failed, Returned string
}

// seen says which tests show that a requirement is met, and which that it is not. What is in neither cannot be told from the tests of a message that
// passed. local: not measured over the network, so that no hit means that it is met.
var seen = map[string]struct {
	met, missing []string
	local        bool
}{
	filter.NeedSPF:         {met: []string{"SPF_PASS"}, missing: []string{"SPF_FAIL", "SPF_SOFTFAIL", "SPF_NEUTRAL", "SPF_NONE", "SPF_PERMERROR"}},
	filter.NeedSPFNoFail:   {met: []string{"SPF_PASS", "SPF_SOFTFAIL", "SPF_NEUTRAL", "SPF_NONE"}, missing: []string{"SPF_FAIL"}},
	filter.NeedDKIM:        {met: []string{"DKIM_VALID"}, missing: []string{"DKIM_NONE", "DKIM_INVALID", "DKIM_KEY_UNPUBLISHED"}},
	filter.NeedDKIMAligned: {met: []string{"DKIM_VALID_AU"}, missing: []string{"DKIM_NONE", "DKIM_INVALID", "DKIM_KEY_UNPUBLISHED"}},
	filter.NeedSPFOrDKIM:   {met: []string{"SPF_PASS", "DKIM_VALID"}, missing: []string{"SPF_FAIL", "SPF_SOFTFAIL", "SPF_NEUTRAL", "SPF_NONE", "SPF_PERMERROR"}},
	filter.NeedAligned:     {met: []string{"DMARC_PASS", "DKIM_VALID_AU"}, missing: []string{"DMARC_FAIL_NONE", "DMARC_FAIL_QUARANTINE", "DMARC_FAIL_REJECT"}},
	filter.NeedDMARC:       {met: []string{"DMARC_PASS", "DMARC_FAIL_NONE", "DMARC_FAIL_QUARANTINE", "DMARC_FAIL_REJECT"}, missing: []string{"DMARC_MISSING"}},
	filter.NeedDMARCPass:   {met: []string{"DMARC_PASS"}, missing: []string{"DMARC_MISSING", "DMARC_FAIL_NONE", "DMARC_FAIL_QUARANTINE", "DMARC_FAIL_REJECT"}},
	filter.NeedForm:        {missing: []string{"HEADER_MALFORMED", "HEADER_DUPLICATE", "HEADER_8BIT", "MISSING_FROM", "MISSING_DATE", "INVALID_DATE", "MISSING_MID"}, local: true},
}

// helpName is the page of a provider of the filter's table: what is known of it stands under another name at times.
func helpName(key string) string {
	if key == "microsoft" {
		return "microsoft-consumer"
	}
	return key
}

// needCount counts for one requirement in how many messages it was met and not met.
type needCount struct{ met, missing int }

func countNeeds(tested []journal.Tested) (needs map[string]needCount, known int) {
	needs = map[string]needCount{}
	for _, t := range tested {
		if !t.Known {
			continue
		}
		known++
		has := func(names []string) bool {
			return slices.ContainsFunc(names, func(name string) bool { _, ok := t.Brief.Points[name]; return ok })
		}
		for id, x := range seen {
			n := needs[id]
			switch {
			case has(x.met):
				n.met++
			case has(x.missing):
				n.missing++
			case x.local:
				n.met++
			}
			needs[id] = n
		}
	}
	return needs, known
}

func (s *site) cards(v *visit) {
	ctx := v.r.Context()
	x := cardsPage{page: v.page}
	x.Title = x.T("cards.title")
	x.Lede = x.T("cards.lede", "Days", cardDays)
	tested, _, err := s.o.Journal.Verdicts(ctx, journal.VerdictQuery{Customer: v.customer.ID, Limit: cardMessages})
	if err != nil {
		v.broken("verdicts not read", err)
		return
	}
	needs, known := countNeeds(tested)
	if known > 0 {
		x.Tested = x.T("cards.tested", "Count", known)
	}
	figures, err := s.o.Journal.ByProvider(ctx, journal.FiguresQuery{Customer: v.customer.ID, From: s.o.Now().Add(-cardDays * 24 * time.Hour), Step: journal.Day})
	if err != nil {
		v.broken("figures not read", err)
		return
	}
	by := map[string]map[journal.Figure]int64{}
	for _, f := range figures {
		by[f.Provider] = f.Count
	}
	for _, p := range filter.Providers() {
		name := helpName(p.Key)
		count := by[name]
		if !p.Main && len(count) == 0 {
			continue
		}
		delete(by, name)
		card := resultCard{Name: p.Name, Results: x.results(count), Help: x.URL("/help/providers/" + name)}
		x.needs(&card, p, needs)
		x.Cards = append(x.Cards, card)
	}
	know := s.o.Knowledge()
	for _, f := range figures {
		if by[f.Provider] == nil || len(x.Others) == mostOthers {
			continue
		}
		row := resultRow{Name: x.T("cards.everybody")}
		if p := know.Provider(f.Provider); p != nil && p != know.Default() {
			row.Name, row.Help = x.receiver(p), x.URL("/help/providers/"+p.Name)
		}
		n := func(kinds ...journal.Figure) string {
			var sum int64
			for _, k := range kinds {
				sum += f.Count[k]
			}
			return locale.Number(x.Lang, float64(sum))
		}
		row.Delivered, row.Delayed = n(journal.Figure(journal.Delivered)), n(journal.Delayed)
		row.Failed, row.Returned = n(journal.Figure(journal.Bounced), journal.Figure(journal.Expired)), n(journal.Figure(journal.Returned), journal.Figure(journal.Complaint))
		x.Others = append(x.Others, row)
	}
	v.show(http.StatusOK, "cards.html", x)
}

// results are the figures of a card; nil when there are none.
func (p page) results(count map[journal.Figure]int64) []resultFigure {
	if len(count) == 0 {
		return nil
	}
	var out []resultFigure
	add := func(name, class string, always bool, kinds ...journal.Figure) {
		var n int64
		for _, k := range kinds {
			n += count[k]
		}
		if n == 0 && !always {
			return
		}
		if n == 0 {
			class = ""
		}
		out = append(out, resultFigure{p.T("cards.figure." + name), locale.Number(p.Lang, float64(n)), class})
	}
	add("delivered", "good", true, journal.Figure(journal.Delivered))
	add("delayed", "warn", true, journal.Delayed)
	add("failed", "bad", true, journal.Figure(journal.Bounced), journal.Figure(journal.Expired))
	add("returned", "bad", false, journal.Figure(journal.Returned))
	add("complaint", "bad", false, journal.Figure(journal.Complaint))
	return out
}

// needs holds what was counted against what a provider asks.
func (p page) needs(card *resultCard, asks filter.Provider, counts map[string]needCount) {
	c := p.site.o.Catalog
	word := func(state string) string { return c.Text(p.Lang, "readiness.need_state."+state, nil) }
	missing, severe, known, open := 0, false, 0, 0
	for _, r := range asks.Requirements {
		if r.Effect == filter.EffectNote {
			continue
		}
		_, measurable := seen[r.ID]
		n := counts[r.ID]
		if !measurable {
			open++
			continue
		}
		x := cardNeed{Name: c.Text(p.Lang, "readiness.need."+r.ID, nil), State: "unknown"}
		all := n.met + n.missing
		counting := r.For == filter.ForAll && r.Effect != filter.EffectAdvice
		switch {
		case all == 0:
			x.Found = p.T("cards.need.unknown")
		case n.missing == 0:
			known++
			x.State, x.Found = "met", p.T("cards.need.met", "Count", n.met)
		default:
			known++
			x.State = "advised"
			if counting {
				x.State = "missing"
				missing++
				severe = severe || r.Effect == filter.EffectRefuse && n.missing*2 >= all
			}
			x.Found = p.T("cards.need.missing", "Count", n.missing, "All", all)
		}
		x.Word = word(x.State)
		card.Needs = append(card.Needs, x)
	}
	order := []string{"missing", "advised", "unknown", "met"}
	slices.SortStableFunc(card.Needs, func(a, b cardNeed) int {
		return cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State))
	})
	switch {
	case known == 0:
		card.State = "unknown"
	case severe:
		card.State = "refused"
	case missing > 0:
		card.State = "mend"
	default:
		card.State = "ready"
	}
	card.Word = c.Text(p.Lang, "readiness.card_state."+card.State+".word", nil)
	card.Sentence = p.T("cards.sentence."+card.State, "Name", asks.Name, "Count", missing)
	if len(card.Needs) == 0 {
		card.Sentence = c.Text(p.Lang, "readiness.card_state.nothing", map[string]any{"Name": asks.Name})
	} else if open > 0 && card.State == "ready" {
		card.Sentence += " " + p.T("cards.open", "Count", open)
	}
}
