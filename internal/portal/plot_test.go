package portal

import (
	"bytes"
	"encoding/xml"
	"html/template"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"postern/internal/journal"
	"postern/internal/locale"
)

// plotted draws a plot and returns it as the page has it.
func plotted(t *testing.T, lang string, x plotOf) string {
	t.Helper()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{o: Options{Catalog: catalog, Now: time.Now}}
	p := page{site: s, Lang: lang, zone: time.UTC}
	tree, err := template.ParseFS(files, "templates/plot.html")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	x.ID, x.Title = "x", "Title <&>"
	if err := tree.ExecuteTemplate(&b, "plot", p.plot(x)); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("not well formed: %v\n%s", err, b.String())
		}
		if e, ok := token.(xml.StartElement); ok {
			for _, a := range e.Attr {
				if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
	return b.String()
}

func TestPlot(t *testing.T) {
	t.Parallel()
	nan, at := math.NaN(), time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	times := func(n int, step time.Duration) (all []time.Time) {
		for i := range n {
			all = append(all, at.Add(time.Duration(i)*step))
		}
		return all
	}
	for _, tc := range []struct {
		name, lang string
		plot       plotOf
		want, not  []string
	}{
		{"no points", "en", plotOf{Step: journal.Day}, []string{"nothing to show"}, []string{"<svg", "<table"}},
		{"nothing known", "fr", plotOf{Step: journal.Day, Times: times(2, 24*time.Hour), Series: []plotSeries{{Label: "a", Values: []float64{nan, nan}}}}, []string{"rien à montrer"}, []string{"<svg"}},
		{"one point", "en", plotOf{Step: journal.Day, Times: times(1, 24*time.Hour), Series: []plotSeries{{Label: "Delivered", Tone: toneGood, Values: []float64{3}}}},
			[]string{`<td class="num" data-label="Delivered">3</td>`, "20 Nov", "20 November 2026", `width="12%"`, `fill="url(#x-good)"`}, nil},
		{"unknown is not zero", "fr", plotOf{Step: journal.Hour, Times: times(3, time.Hour), Series: []plotSeries{{Label: "a", Values: []float64{0, nan, 2}}}},
			[]string{"inconnu", "url(#x-gap)", "01\u00a0h", "20/11", `data-label="a">0</td>`}, nil},
		{"a line ends at a gap", "en", plotOf{Lines: true, Step: journal.Hour, Times: times(3, time.Hour), Series: []plotSeries{{Label: "a", Values: []float64{1, nan, 2}}}}, []string{`class="l-calm dot"`}, []string{`class="line l-calm" x1="16`}},
		{"huge", "en", plotOf{Step: journal.Day, Times: times(2, 24*time.Hour), Series: []plotSeries{{Label: "a", Values: []float64{2.4e9, 1}}}}, []string{"2,400,000,000", "\u00a0bn"}, nil},
		{"few values", "en", plotOf{Step: journal.Day, Times: times(3, 24*time.Hour), Series: []plotSeries{{Label: "a<b>", Values: []float64{1}}}}, []string{"a&lt;b&gt;", "not known"}, []string{"<b>"}},
		{"shares have no sums", "en", plotOf{Apart: true, Lines: true, Step: journal.Day, Times: times(2, 24*time.Hour), Series: []plotSeries{{Label: "a", Values: []float64{50, 70}}}}, []string{"70"}, []string{"120"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			text := plotted(t, tc.lang, tc.plot)
			for _, w := range tc.want {
				if !strings.Contains(text, w) {
					t.Errorf("lacks %q\n%s", w, text)
				}
			}
			for _, w := range tc.not {
				if strings.Contains(text, w) {
					t.Errorf("holds %q\n%s", w, text)
				}
			}
		})
	}
}

// TestNiceTop: the scale reaches over its values, not too far, and its four parts are numbers that people read.
func TestNiceTop(t *testing.T) {
	t.Parallel()
	for v := 1.0; v < 1e12; v *= 1.37 {
		top := niceTop(v)
		if top < v || top > max(4, 2.6*v) || top/4 != math.Trunc(top/4) {
			t.Errorf("niceTop(%v) = %v", v, top)
		}
	}
}
