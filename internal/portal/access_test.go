package portal_test

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"postern/internal/filter"
	"postern/internal/spool"
)

func attr(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val, true
		}
	}
	return "", false
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

// TestAccessible checks the structure that readers by ear and by keyboard rely on, on every kind of page.
func TestAccessible(t *testing.T) {
	t.Parallel()
	g := start(t)
	at := rich(g, t, "shop")
	light := g.link(g.put(t, spool.Message{Subject: "x"}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5})))
	pages := map[string]string{"rich": g.get(t, at), "start": g.get(t, "/"), "light": g.get(t, light),
		"missing": g.ask(t, "GET", "/m/x", nil).body, "fault": g.ask(t, "POST", light+"/ask", map[string][]string{"question": {""}}).body,
		"refused": g.ask(t, "POST", at+"/release", map[string][]string{}).body}
	for name, page := range pages {
		t.Run(name, func(t *testing.T) { accessible(t, page) })
	}
}

func accessible(t *testing.T, page string) {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	ids, labels, elements := map[string]bool{}, map[string]bool{}, map[string]int{}
	level := 0
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Namespace == "" { // pictures have titles of their own
			elements[n.Data]++
		}
		if id, ok := attr(n, "id"); ok {
			if ids[id] {
				t.Errorf("two elements have the id %q", id)
			}
			ids[id] = true
		}
		if of, ok := attr(n, "for"); ok && n.Data == "label" {
			labels[of] = true
		}
		if lang, _ := attr(n, "lang"); n.Data == "html" && lang != "en" && lang != "fr" {
			t.Errorf("the page's language is %q", lang)
		}
		if len(n.Data) == 2 && n.Data[0] == 'h' && n.Data[1] >= '1' && n.Data[1] <= '6' {
			at := int(n.Data[1] - '0')
			if at > level+1 {
				t.Errorf("heading %q of level %d follows level %d", textOf(n), at, level)
			}
			level = at
		}
		switch n.Data {
		case "a", "button", "summary", "label", "h1", "h2", "h3", "h4", "title":
			if textOf(n) == "" {
				t.Errorf("<%s> has no text", n.Data)
			}
		case "script", "iframe", "style", "object", "embed":
			t.Errorf("the page holds <%s>", n.Data)
		case "form":
			if m, _ := attr(n, "method"); m != "post" && m != "get" { // what searches is asked for, what acts is sent
				t.Error("a form does not say how it is sent")
			}
		case "svg":
			hidden, _ := attr(n, "aria-hidden")
			if label, _ := attr(n, "aria-label"); hidden != "true" && label == "" {
				t.Error("a picture has no text")
			}
		}
		if _, ok := attr(n, "style"); ok {
			t.Errorf("<%s> has a style of its own, which the policy forbids", n.Data)
		}
	}
	for n := range doc.Descendants() {
		for _, key := range []string{"aria-labelledby", "aria-describedby"} {
			v, _ := attr(n, key)
			for _, id := range strings.Fields(v) {
				if !ids[id] {
					t.Errorf("%s names %q, which is not there", key, id)
				}
			}
		}
		if id, _ := attr(n, "id"); n.Data == "textarea" && !labels[id] {
			t.Error("a field has no label")
		}
	}
	for _, one := range []string{"h1", "main", "header", "footer", "title"} {
		if elements[one] != 1 {
			t.Errorf("%d <%s>", elements[one], one)
		}
	}
}

// TestContrast computes WCAG 2.2's contrast of every pair of colours the style sheet uses, in both schemes: 4.5 for text, 3 for
// the edges of controls and what carries meaning (success criteria 1.4.3 and 1.4.11).
func TestContrast(t *testing.T) {
	t.Parallel()
	g := start(t)
	path := regexp.MustCompile(`/static/style-[0-9a-f]+\.css`).FindString(g.get(t, "/"))
	css := g.get(t, path)
	light, dark, ok := strings.Cut(css, "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("the style sheet has no dark scheme")
	}
	named := regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`)
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]string{}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			colours[m[1]] = m[2]
		}
		for _, pair := range []struct {
			front, back string
			least       float64
		}{
			{"ink", "paper", 4.5}, {"ink", "card", 4.5}, {"ink", "code", 4.5}, {"quiet", "paper", 4.5}, {"quiet", "card", 4.5}, {"quiet", "code", 4.5},
			{"accent", "paper", 4.5}, {"accent", "card", 4.5}, {"accent", "code", 4.5}, {"on-accent", "accent", 4.5},
			{"red", "card", 4.5}, {"red", "red-paper", 4.5}, {"amber", "amber-paper", 4.5}, {"green", "card", 4.5}, {"green", "green-paper", 4.5},
			{"edge", "card", 3}, {"edge", "code", 3}, {"amber", "card", 3}, {"red", "code", 3}, {"green", "code", 3},
		} {
			if got := contrast(t, colours[pair.front], colours[pair.back]); got < pair.least {
				t.Errorf("%s: %s on %s: %.2f, at least %.1f", scheme, pair.front, pair.back, got, pair.least)
			}
		}
	}
	if rest := named.ReplaceAllString(css, ""); strings.Contains(strings.ReplaceAll(rest, "border-color: #999999", ""), ": #") {
		t.Error("the style sheet has a colour without a name, which this test does not see")
	}
}

// contrast is WCAG's ratio of relative luminances.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	if len(colour) != 6 {
		t.Fatalf("no colour: %q", colour)
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(colour[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// TestManyEvents: a message to thousands of recipients has a page of bounded length.
func TestManyEvents(t *testing.T) {
	t.Parallel()
	g := start(t)
	id := g.put(t, spool.Message{Subject: "x"}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5}))
	facts := deferrals(id, 3000)
	if err := g.Journal().Append(t.Context(), facts...); err != nil {
		t.Fatal(err)
	}
	page := g.get(t, g.link(id))
	if n := strings.Count(page, "<time "); n != 100 {
		t.Errorf("%d events are shown", n)
	}
	expect(t, page, "2,901 events are left out", fmt.Sprintf("r%d@receiver.example.test", 2999))
}
