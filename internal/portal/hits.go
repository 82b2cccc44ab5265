package portal

import (
	"cmp"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/locale"
)

// Bounds of what one page shows of a verdict that was damaged or made by a later version.
const (
	maxHits      = 200
	maxEvidence  = 20
	evidenceText = 600 // characters
)

// weightless is where points begin to be seen: below it they read as 0.
const weightless = 0.005

// hit is one test as the page shows it.
type hit struct {
	Test     string // technical name
	ID       string // of its element
	Name     string // in words
	Points   string
	Level    string // strong, medium, slight, none, good: colours the points
	Label    string // the level in words
	Evidence []string
	Explain  []block
	Fix      []block
	How      string // whether testing again or sending again proves the change
	Effect   string // the score without this test
	Leaves   bool   // without this test alone the message would leave
	Link     string // page of the list that lists
	LinkHost string
	Help     string // address of the page that explains the test; "" there is none
	Open     bool   // unfolded at first
}

// unknown is a test that was not measured.
type unknown struct{ Test, Name, Why string }

// gauge is the score on its scale, in percent of the width.
type gauge struct {
	Score, Threshold string // numbers
	ScoreAt          string // "24.7%"
	ThresholdAt      string
	Anchor           string // of the threshold's label: it must not leave the scale
	Ticks            []tick
	Over             bool
	Text             string // the same in words
}

type tick struct{ At, Anchor, Text string }

func percent(points float64) string {
	return strconv.FormatFloat(math.Min(100, math.Max(0, points/filter.MaxScore*100)), 'f', 2, 64) + "%"
}

func (m *messagePage) gauge(v intake.View) *gauge {
	verdict := v.Verdict
	g := &gauge{Score: m.number(verdict.Score, verdict.Threshold), Threshold: locale.Number(m.Lang, verdict.Threshold),
		ScoreAt: percent(verdict.Score), ThresholdAt: percent(verdict.Threshold), Over: verdict.Score > verdict.Threshold}
	key := "gauge.under"
	if g.Over {
		key = "gauge.over"
	}
	g.Text = m.T(key, "Score", g.Score, "Threshold", g.Threshold, "Max", filter.MaxScore)
	switch {
	case verdict.Threshold < 1:
		g.Anchor = "start"
	case verdict.Threshold > filter.MaxScore-1:
		g.Anchor = "end"
	default:
		g.Anchor = "middle"
	}
	g.Ticks = []tick{{"0%", "start", "0"}, {percent(5), "middle", "5"}, {percent(10), "middle", "10"}, {"100%", "end", "15"}}
	return g
}

// hits sorts the tests into those against the message and the others, and plans what to mend first.
func (m *messagePage) hits(v intake.View) {
	all := slices.Clone(v.Verdict.Hits)
	slices.SortStableFunc(all, func(a, b filter.Hit) int { return cmp.Compare(b.Points, a.Points) })
	if len(all) > maxHits {
		all = all[:maxHits]
	}
	first := m.plan(v, all)
	for _, h := range all {
		x := m.hit(v, h)
		if h.Points >= weightless {
			x.Open = first[h.Test] || len(m.Bad) == 0
			m.Bad = append(m.Bad, x)
		} else {
			m.Good = append(m.Good, x)
		}
	}
	for _, u := range v.Verdict.Unknown[:min(maxHits, len(v.Verdict.Unknown))] {
		m.Unknown = append(m.Unknown, unknown{clean(u.Test, 60), m.testName(u.Test), clean(u.Why, evidenceText)})
	}
}

// after is the score without some points.
func after(v filter.Verdict, points float64) float64 {
	return math.Min(filter.MaxScore, math.Max(0, math.Round((v.Raw-points)*1000)/1000))
}

// plan finds the fewest tests, heaviest first, without which the message would leave, among those that the sender can mend.
func (m *messagePage) plan(v intake.View, all []filter.Hit) map[string]bool {
	first := make(map[string]bool)
	if v.Verdict.Score <= v.Verdict.Threshold || v.Status != intake.Waiting && v.Status != intake.Refused {
		return first
	}
	var names []string
	sum := 0.0
	for _, h := range all {
		if h.Points < weightless || m.site.tests[h.Test].Operator {
			continue
		}
		sum += h.Points
		first[h.Test] = true
		names = append(names, m.testName(h.Test))
		if after(v.Verdict, sum) <= v.Verdict.Threshold {
			break
		}
	}
	score := after(v.Verdict, sum)
	switch {
	case len(names) == 0:
		m.Plan = m.T("plan.operator")
	case score > v.Verdict.Threshold:
		m.Plan = m.T("plan.short", "Score", m.number(score, v.Verdict.Threshold), "Threshold", v.Verdict.Threshold)
	case len(names) > 3:
		m.Plan = m.T("plan.many", "Count", len(names), "Score", m.number(score, v.Verdict.Threshold))
	default:
		m.Plan = m.T("plan.enough", "Tests", m.list(names), "Score", m.number(score, v.Verdict.Threshold))
	}
	return first
}

// list joins names: "a, b and c".
func (m *messagePage) list(names []string) string {
	for i, n := range names {
		names[i] = m.T("list.quoted", "Name", n)
	}
	if len(names) == 1 {
		return names[0]
	}
	return m.T("list.last", "Names", strings.Join(names[:len(names)-1], ", "), "Last", names[len(names)-1])
}

// testName is a test's name in words, or its technical name when the catalogue of texts has none.
func (p page) testName(test string) string {
	if key := "test." + test + ".name"; p.site.o.Catalog.Has(key) {
		return p.site.o.Catalog.Text(p.Lang, key, nil)
	}
	return clean(test, 60)
}

func (m *messagePage) hit(v intake.View, h filter.Hit) hit {
	t, known := m.site.tests[h.Test]
	x := hit{Test: clean(h.Test, 60), ID: anchor(h.Test), Name: m.testName(h.Test), Points: m.points(h.Points)}
	switch {
	case h.Points >= 2:
		x.Level = "strong"
	case h.Points >= 0.5:
		x.Level = "medium"
	case h.Points >= weightless:
		x.Level = "slight"
	case h.Points < 0:
		x.Level = "good"
	default:
		x.Level = "none"
	}
	x.Label = m.T("level." + x.Level)
	if m.site.helps(h.Test) {
		x.Help = m.URL("/help/tests/" + url.PathEscape(h.Test))
	}
	for _, e := range h.Evidence[:min(maxEvidence, len(h.Evidence))] {
		if e = clean(e, evidenceText); e != "" {
			x.Evidence = append(x.Evidence, e)
		}
	}
	for k, a := range h.Args { // the verdict is stored: its texts are cleaned again where they are shown
		h.Args[k] = strings.ReplaceAll(clean(a, 2000), "`", "'") // back quotes are the catalogue's own
	}
	words := filter.Explain(m.site.o.Catalog, m.Lang, h)
	if words.Name != "" {
		x.Name, x.Explain = words.Name, rich(words.Explain)
	}
	if h.Points >= weightless {
		x.Fix = rich(words.Fix)
	}
	if nothing := m.site.o.Catalog.Text(m.Lang, "test.unknown", nil); len(h.Args) == 0 && strings.Contains(words.Explain+words.Fix, nothing) { // of what left long ago, only which tests hit is kept
		x.Explain, x.Fix = nil, nil
		if why := "help.group." + string(t.Group); m.site.o.Catalog.Has("portal." + why) {
			x.Explain = rich(m.T(why))
		}
	}
	if h.Points < weightless {
		return x
	}
	switch {
	case !known || v.Status != intake.Waiting && v.Status != intake.Refused:
	case t.Operator:
		x.How = m.T("how.operator")
	case v.Status == intake.Refused:
		x.How = m.T("how.anew")
	case retestable(t):
		x.How = m.T("how.retest")
	default:
		x.How = m.T("how.resend")
	}
	if v.Status == intake.Waiting || v.Status == intake.Refused {
		score := after(v.Verdict, h.Points)
		x.Leaves = score <= v.Verdict.Threshold
		key := "effect.held"
		if x.Leaves {
			key = "effect.leaves"
		}
		x.Effect = m.T(key, "Score", m.number(score, v.Verdict.Threshold))
	}
	if u, err := url.Parse(h.Args["URL"]); err == nil && t.Group == filter.GroupLists && u.Scheme == "https" && u.Host != "" {
		x.Link, x.LinkHost = u.String(), u.Host
	}
	return x
}
