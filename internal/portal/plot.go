package portal

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/locale"
)

// plotOf says what a plot shows: quantities over time, drawn by page.plot without scripts.
type plotOf struct {
	ID     string // unique on the page: letters, digits and hyphens
	Title  string
	About  string // a sentence below the title, or ""
	Step   journal.Step
	Times  []time.Time // beginnings of the steps, oldest first, all of one width
	Series []plotSeries
	Lines  bool // lines beside each other; else bars upon each other, whose sum must mean something
	Apart  bool // values are no counts: their sums over time mean nothing and are not shown
}

// plotSeries is one quantity.
type plotSeries struct {
	Label  string
	Tone   string    // colour and pattern: one of the tones; "": by its place
	Values []float64 // one for each time, not negative; math.NaN: not known, which is not 0
}

// The tones, in the order in which they are given out: each has a colour, a pattern for bars, a dash and a mark for lines.
const (
	toneGood  = "good"  // green, solid
	toneCalm  = "calm"  // accent, rising stripes
	toneWarn  = "warn"  // amber, dots
	toneBad   = "bad"   // red, crosses
	toneQuiet = "quiet" // grey, level stripes
	tonePlain = "plain" // ink, upright stripes
)

var plotTones = []string{toneCalm, toneGood, toneWarn, toneBad, toneQuiet, tonePlain}

// plot is a figure for template "plot": {{template "plot" .Plot}}.
type plot struct {
	ID, Title, About string
	Empty            string // why there is no picture
	Axis, Area       template.HTML
	Legend           []plotKey
	Heads            []string // of the table: the step, then each series
	Rows             []plotRow
	Caption, Fold    string
}

// plotKey is one entry of the legend.
type plotKey struct {
	Label, Sum string
	Swatch     template.HTML
}

// plotRow is one step in the table.
type plotRow struct {
	When  string
	Cells []plotCell
}

// plotCell is one number; Label repeats the head for narrow screens.
type plotCell struct{ Label, Value string }

// Measures of the picture in pixels. Only its width follows the page, by percentages, so that text keeps its size at 320 pixels as on a wide screen.
const (
	plotTop    = 14.0
	plotBase   = 190.0
	plotHeight = 216
)

// plot draws quantities over time.
func (p page) plot(x plotOf) plot {
	out := plot{ID: x.ID, Title: x.Title, About: x.About, Fold: p.T("plot.table"), Caption: x.Title}
	for i := range x.Series {
		if x.Series[i].Tone == "" {
			x.Series[i].Tone = plotTones[i%len(plotTones)]
		}
	}
	if len(x.Times) == 0 || len(x.Series) == 0 || !anyKnown(x.Series) {
		out.Empty = p.T("plot.none")
		return out
	}
	d := drawing{p: p, x: x, n: len(x.Times), top: niceTop(highest(x))}
	out.Axis, out.Area = template.HTML(d.axis()), template.HTML(d.area()) // built from numbers and escaped text only
	for _, s := range x.Series {
		key := plotKey{Label: s.Label, Swatch: template.HTML(d.swatch(s.Tone))}
		if !x.Apart {
			key.Sum = p.count(sumOf(s.Values))
		}
		out.Legend = append(out.Legend, key)
	}
	out.Heads = []string{p.T("plot.head." + string(x.Step))}
	for _, s := range x.Series {
		out.Heads = append(out.Heads, s.Label)
	}
	for i, at := range x.Times {
		row := plotRow{When: p.stepName(x.Step, at)}
		for _, s := range x.Series {
			row.Cells = append(row.Cells, plotCell{s.Label, d.value(s, i)})
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// count writes a number of things.
func (p page) count(f float64) string { return locale.Number(p.Lang, math.Round(f)) }

// stepName names one step in full: "21 November 2026", "le 21/11/2026 à 14:00" without the zone, which the page has named.
func (p page) stepName(step journal.Step, at time.Time) string {
	at = at.In(p.location())
	layout := "2 January 2006"
	if p.Lang == locale.French {
		layout = "02/01/2006"
	}
	if step == journal.Hour {
		layout += " 15:04"
	}
	return at.Format(layout)
}

// stepTick names one step in few characters. Hours of midnight are named by their day.
func (p page) stepTick(step journal.Step, at time.Time) string {
	at = at.In(p.location())
	switch {
	case step == journal.Hour && at.Hour() == 0 || step == journal.Day:
		if p.Lang == locale.French {
			return at.Format("02/01")
		}
		return at.Format("2 Jan")
	case p.Lang == locale.French:
		return at.Format("15") + "\u00a0h"
	}
	return at.Format("15:04")
}

// drawing is one plot while it is drawn.
type drawing struct {
	p   page
	x   plotOf
	n   int
	top float64 // value of the highest line of the scale
}

// y is where a value stands.
func (d *drawing) y(v float64) float64 { return plotBase - v/d.top*(plotBase-plotTop) }

// slot is the width of one step in percent.
func (d *drawing) slot() float64 { return 100 / float64(d.n) }

// value writes a value of the table.
func (d *drawing) value(s plotSeries, i int) string {
	if i >= len(s.Values) || math.IsNaN(s.Values[i]) {
		return d.p.T("plot.unknown")
	}
	return locale.Number(d.p.Lang, s.Values[i])
}

// axis draws the names of the scale: a picture of fixed width beside the one that stretches.
func (d *drawing) axis() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="scale" width="46" height="%d" aria-hidden="true" focusable="false">`, plotHeight)
	for i := range 5 {
		v := d.top * float64(i) / 4
		if d.top == 4 || v == math.Trunc(v) || d.top < 1 {
			fmt.Fprintf(&b, `<text x="42" y="%s" text-anchor="end">%s</text>`, px(d.y(v)+4), template.HTMLEscapeString(d.p.short(v)))
		}
	}
	b.WriteString("</svg>")
	return b.String()
}

// area draws the rest.
func (d *drawing) area() string {
	var b strings.Builder
	id, esc := d.x.ID, template.HTMLEscapeString
	fmt.Fprintf(&b, `<svg class="area" width="100%%" height="%d" role="img" aria-label="%s" aria-describedby="%s-d"><title>%s</title><desc id="%s-d">%s</desc><defs>`,
		plotHeight, esc(d.x.Title), id, esc(d.x.Title), id, esc(d.describe()))
	for _, s := range d.x.Series {
		b.WriteString(pattern(id+"-"+s.Tone, s.Tone))
	}
	fmt.Fprintf(&b, `<pattern id="%s-gap" width="8" height="8" patternUnits="userSpaceOnUse"><path class="gap" d="M0 8L8 0"/></pattern></defs>`, id)
	for i := range 5 {
		class := "grid"
		if i == 0 {
			class = "ground"
		}
		y := px(d.y(d.top * float64(i) / 4))
		fmt.Fprintf(&b, `<line class="%s" x1="0" x2="100%%" y1="%s" y2="%s"/>`, class, y, y)
	}
	d.ticks(&b)
	if d.x.Lines {
		d.lines(&b)
	} else {
		d.bars(&b)
	}
	b.WriteString("</svg>")
	return b.String()
}

// describe tells in a sentence what the picture shows.
func (d *drawing) describe() string {
	var sums []string
	for _, s := range d.x.Series {
		sums = append(sums, s.Label+" "+d.p.count(sumOf(s.Values)))
	}
	if d.x.Apart {
		return d.p.T("plot.desc.apart", "From", d.p.stepName(d.x.Step, d.x.Times[0]), "To", d.p.stepName(d.x.Step, d.x.Times[d.n-1]))
	}
	return d.p.T("plot.desc", "From", d.p.stepName(d.x.Step, d.x.Times[0]), "To", d.p.stepName(d.x.Step, d.x.Times[d.n-1]), "Sums", strings.Join(sums, ", "))
}

// ticks names some of the steps: at most ten on a wide screen, and every second of those on a narrow one.
func (d *drawing) ticks(b *strings.Builder) {
	every := 1
	nice := []int{1, 2, 3, 6, 12, 24, 48, 96, 168}
	if d.x.Step == journal.Day {
		nice = []int{1, 2, 3, 5, 7, 10, 14, 28, 56, 112}
	}
	for _, k := range nice {
		if every = k; (d.n+k-1)/k <= 9 {
			break
		}
	}
	for i, k := 0, 0; i < d.n; i, k = i+every, k+1 {
		x := (float64(i) + .5) * d.slot()
		class := "tick"
		if k%2 == 1 && d.n > 4 {
			class = "tick wide"
		}
		fmt.Fprintf(b, `<line class="%s" x1="%s" x2="%s" y1="%s" y2="%s"/><text class="%s" x="%s" y="%d" text-anchor="middle">%s</text>`, class, pc(x), pc(x), px(plotBase), px(plotBase+5),
			class, pc(x), plotHeight-6, template.HTMLEscapeString(d.p.stepTick(d.x.Step, d.x.Times[i])))
	}
}

// bars draws the series upon each other.
func (d *drawing) bars(b *strings.Builder) {
	width := min(d.slot()*.78, 12)
	for i := range d.n {
		x := (float64(i)+.5)*d.slot() - width/2
		b.WriteString(`<g>`)
		d.hint(b, i)
		base, known := 0.0, false
		for _, s := range d.x.Series {
			if i >= len(s.Values) || math.IsNaN(s.Values[i]) {
				continue
			}
			known = true
			if s.Values[i] <= 0 {
				continue
			}
			from := d.y(base)
			base += s.Values[i]
			to := d.y(base)
			if from-to < 1.5 { // what is there is seen
				to = from - 1.5
			}
			fmt.Fprintf(b, `<rect class="bar t-%s" x="%s" width="%s" y="%s" height="%s" fill="url(#%s-%s)"/>`, s.Tone, pc(x), pc(width), px(to), px(from-to), d.x.ID, s.Tone)
		}
		d.gap(b, i, known)
		b.WriteString(`</g>`)
	}
}

// gap shows that nothing is known of a step.
func (d *drawing) gap(b *strings.Builder, i int, known bool) {
	if !known {
		fmt.Fprintf(b, `<rect x="%s" width="%s" y="%s" height="%s" fill="url(#%s-gap)"/>`, pc(float64(i)*d.slot()), pc(d.slot()), px(plotTop), px(plotBase-plotTop), d.x.ID)
	}
}

// hint gives a step its words, which show when the pointer rests on it.
func (d *drawing) hint(b *strings.Builder, i int) {
	parts := make([]string, 0, len(d.x.Series))
	for _, s := range d.x.Series {
		parts = append(parts, s.Label+" "+d.value(s, i))
	}
	fmt.Fprintf(b, `<title>%s</title><rect class="touch" x="%s" width="%s" y="0" height="%s"/>`,
		template.HTMLEscapeString(d.p.stepName(d.x.Step, d.x.Times[i])+"\n"+strings.Join(parts, "\n")), pc(float64(i)*d.slot()), pc(d.slot()), px(plotBase))
}

// lines draws the series beside each other. A line ends where nothing is known.
func (d *drawing) lines(b *strings.Builder) {
	for i := range d.n {
		b.WriteString(`<g>`)
		d.hint(b, i)
		known := false
		for _, s := range d.x.Series {
			known = known || i < len(s.Values) && !math.IsNaN(s.Values[i])
		}
		d.gap(b, i, known)
		b.WriteString(`</g>`)
	}
	marks := d.n <= 31
	for _, s := range d.x.Series {
		for i, v := range s.Values[:min(d.n, len(s.Values))] {
			if math.IsNaN(v) {
				continue
			}
			x := pc((float64(i) + .5) * d.slot())
			joined := i > 0 && !math.IsNaN(s.Values[i-1])
			if joined {
				fmt.Fprintf(b, `<line class="line l-%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, s.Tone, pc((float64(i)-.5)*d.slot()), px(d.y(s.Values[i-1])), x, px(d.y(v)))
			}
			alone := !joined && (i+1 >= len(s.Values) || math.IsNaN(s.Values[i+1]))
			if marks || alone {
				fmt.Fprintf(b, `<svg aria-hidden="true" x="%s" y="%s" overflow="visible"><path class="l-%s dot" d="%s"/></svg>`, x, px(d.y(v)), s.Tone, markOf(s.Tone))
			}
		}
	}
}

// swatch is the sign of a series in the legend.
func (d *drawing) swatch(tone string) string {
	if d.x.Lines {
		return fmt.Sprintf(`<svg class="swatch" width="28" height="14" aria-hidden="true" focusable="false"><line class="line l-%s" x1="0" y1="7" x2="28" y2="7"/><svg aria-hidden="true" x="14" y="7" overflow="visible"><path class="l-%s dot" d="%s"/></svg></svg>`, tone, tone, markOf(tone))
	}
	return fmt.Sprintf(`<svg class="swatch" width="20" height="14" aria-hidden="true" focusable="false"><rect class="bar t-%s" x="1" y="1" width="18" height="12" fill="url(#%s-%s)"/></svg>`, tone, d.x.ID, tone)
}

// pattern is the filling of a tone, told apart without colour.
func pattern(id, tone string) string {
	drawn := map[string]string{
		toneGood:  `<rect class="f" width="8" height="8"/>`,
		toneCalm:  `<rect class="b" width="8" height="8"/><path class="s" d="M-2 2L2-2M0 8L8 0M6 10L10 6"/>`,
		toneWarn:  `<rect class="b" width="8" height="8"/><circle class="f" cx="2" cy="2" r="1.4"/><circle class="f" cx="6" cy="6" r="1.4"/>`,
		toneBad:   `<rect class="b" width="8" height="8"/><path class="s" d="M0 0L8 8M0 8L8 0"/>`,
		toneQuiet: `<rect class="b" width="8" height="8"/><path class="s" d="M0 2H8M0 6H8"/>`,
		tonePlain: `<rect class="b" width="8" height="8"/><path class="s" d="M2 0V8M6 0V8"/>`,
	}[tone]
	return fmt.Sprintf(`<pattern id="%s" class="t-%s" width="8" height="8" patternUnits="userSpaceOnUse">%s</pattern>`, id, tone, drawn)
}

// markOf is the mark of a tone on lines: a disc, a square, a triangle, a cross, a diamond, a bar.
func markOf(tone string) string {
	switch tone {
	case toneGood:
		return "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z"
	case toneCalm:
		return "M-3.5-3.5h7v7h-7z"
	case toneWarn:
		return "M0-4.5L4.5 3.5h-9z"
	case toneBad:
		return "M-4-4L4 4M-4 4L4-4"
	case toneQuiet:
		return "M0-4.5L4.5 0L0 4.5L-4.5 0z"
	}
	return "M0-4.5V4.5"
}

// short writes a value of the scale in at most five characters.
func (p page) short(v float64) string {
	units := []string{"", "k", "M", "bn", "tn"}
	if p.Lang == locale.French {
		units = []string{"", "k", "M", "Md", "Bn"}
	}
	i := 0
	for v >= 1000 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	text := locale.Number(p.Lang, math.Round(v*100)/100)
	if units[i] == "" {
		return text
	}
	return text + "\u00a0" + units[i]
}

// niceTop is the top of a scale of four parts that people read easily, at least v.
func niceTop(v float64) float64 {
	if v <= 4 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 4
	}
	unit := math.Pow(10, math.Floor(math.Log10(v/4)))
	for _, k := range []float64{1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10} {
		if 4*k*unit >= v && k*unit == math.Trunc(k*unit) {
			return 4 * k * unit
		}
	}
	return 40 * unit
}

// highest is the highest place that a plot reaches.
func highest(x plotOf) float64 {
	top := 0.0
	for i := range x.Times {
		sum := 0.0
		for _, s := range x.Series {
			if i >= len(s.Values) || math.IsNaN(s.Values[i]) {
				continue
			}
			if sum += max(s.Values[i], 0); x.Lines {
				top = max(top, s.Values[i])
			}
		}
		if !x.Lines {
			top = max(top, sum)
		}
	}
	return top
}

func anyKnown(all []plotSeries) bool {
	for _, s := range all {
		for _, v := range s.Values {
			if !math.IsNaN(v) {
				return true
			}
		}
	}
	return false
}

// sumOf adds up what is known.
func sumOf(values []float64) (sum float64) {
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += v
		}
	}
	return sum
}

// px and pc write a length.
func px(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }
func pc(f float64) string { return strconv.FormatFloat(math.Round(f*1000)/1000, 'f', -1, 64) + "%" }
