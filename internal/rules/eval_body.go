package rules

import (
	"bytes"
	"regexp"
	"strings"
)

// bodyEvals look at the text (SpamAssassin's BodyEval).
var bodyEvals = map[string]evalFunc{
	"multipart_alternative_difference":       {run: alternativeDifference, check: need(2, 2)},
	"multipart_alternative_difference_count": {run: alternativeCount, check: need(2, 2)},
	"check_blank_line_ratio":                 {run: blankLines, check: need(2, 3)},
	"tvd_vertical_words":                     {run: verticalWords, check: need(2, 2)},
	"check_stock_info":                       {run: stockInfo, check: need(1, 1)},
	"check_body_length":                      {run: bodyLength, check: need(1, 1)},
	"plaintext_body_length":                  {run: plainLength, check: need(1, 2)},
	"plaintext_sig_length":                   {run: plainLength, check: need(1, 2)},
	"plaintext_body_sig_ratio":               {run: plainLength, check: need(1, 2)},
}

// alternatives are how much the HTML of a multipart/alternative says that its text does not.
type alternatives struct {
	difference float64 // percent of the distinct words
	html, text int     // distinct words
}

func (c *scan) alternatives() alternatives {
	return remember(c.v, "alternatives", func() (a alternatives) {
		nodes := c.v.nodes
		if len(nodes) == 3 && nodes[0].mediaType == "multipart/alternative" && nodes[1].mediaType == "text/html" && nodes[2].mediaType == "text/calendar" {
			return a
		}
		for _, n := range nodes {
			if !strings.HasPrefix(n.mediaType, "multipart/alternative") {
				continue
			}
			html, text := map[string]int{}, map[string]int{}
			n.gather(html, text)
			if len(html) == 0 {
				continue
			}
			a.html, a.text = len(html), len(text)
			left := 0
			for word, times := range html {
				if times-text[word] >= 1 || text[word] == 0 {
					left++
				}
			}
			a.difference = max(a.difference, 100*float64(left)/float64(len(html)))
		}
		return a
	})
}

// gather counts the words of all text below a part.
func (n *node) gather(html, text map[string]int) {
	for _, child := range n.children {
		child.gather(html, text)
	}
	if !strings.HasPrefix(n.mediaType, "text") || !n.leaf {
		return
	}
	t, ok := n.render()
	if !ok {
		return
	}
	into := text
	if n.html != nil {
		into = html
	}
	for _, w := range strings.Fields(t.s) {
		if strings.IndexFunc(w, func(r rune) bool { return r >= 0x80 || r < 0x80 && isWordByte(byte(r)) }) >= 0 {
			into[w]++
		}
	}
	if n.html != nil && len(html) == 0 {
		if _, img := n.html.inside["img"]; img {
			html["\n"] = 1
		}
	}
}

func alternativeDifference(c *scan, r *Rule) bool {
	x := c.alternatives().difference
	return (r.num(0) == 0 || x > r.num(0)) && (r.unbounded(1) || x <= r.num(1))
}

func alternativeCount(c *scan, r *Rule) bool {
	a := c.alternatives()
	return float64(a.html) > r.num(1) && a.html > 0 && float64(a.text)/float64(a.html) > r.num(0)
}

func blankLines(c *scan, r *Rule) bool {
	blank, lines := 0, 0
	for _, chunk := range c.v.rawChunks() {
		for _, line := range splitLines(chunk) {
			lines++
			if len(bytes.TrimSpace(line)) == 0 {
				blank++
			}
		}
	}
	ratio := -1.0
	if lines > 0 && float64(lines) >= max(r.num(2), 1) {
		ratio = 100 * float64(blank) / float64(lines)
	}
	return r.num(0) == 0 && ratio <= r.num(1) || ratio > r.num(0) && ratio <= r.num(1)
}

func verticalWords(c *scan, r *Rule) bool {
	worst := remember(c.v, "vertical", func() int {
		worst := -1
		for _, line := range c.body() {
			if len(line) <= 5 {
				continue
			}
			blanks := bytes.Count(line, []byte(" "))
			rest := len(line) - blanks
			percent := 100
			if blanks <= rest && rest > 0 {
				percent = 100 * blanks / rest
			}
			worst = max(worst, percent)
		}
		return worst
	})
	high := r.num(1)
	if high >= 100 {
		high = 101
	}
	return float64(worst) >= r.num(0) && float64(worst) < high
}

var (
	labelled  = regexp.MustCompile(`(?m)^\s*([^:\s][^:\n]{2,29})\s*:\s*\S`)
	stockWord = regexp.MustCompile(`(^trad(?:e|ing)date|company(?:name)?|s\w?(?:t\w?o\w?c\w?k|y\w?m(?:\w?b\w?o\w?l)?)|t(?:arget|icker)|` +
		`(?:opening|current)p(?:rice)?|p(?:rojected|osition)|expectations|weeks?high|marketperformance|` +
		`(?:year|week|month|day|price)(?:target|estimates?)|sector|r(?:ecommendation|ating))$`)
)

// stockInfo counts the labels of a share tip ("Symbol:", "Target price:") in the first plain text.
func stockInfo(c *scan, r *Rule) bool {
	found := remember(c.v, "stock", func() int {
		hits := map[string]bool{}
		for _, n := range c.v.nodes {
			if n.mediaType != "text/plain" {
				continue
			}
			if t, ok := n.render(); ok {
				for _, chunk := range shortParagraphs([]byte(t.s)) {
					for _, m := range labelled.FindAllSubmatch(chunk, 1000) {
						word := strings.Map(func(r rune) rune {
							if r >= 'a' && r <= 'z' {
								return r
							}
							return -1
						}, strings.ToLower(string(m[1])))
						if s := stockWord.FindString(word); s != "" {
							hits[s] = true
						}
					}
				}
			}
			break
		}
		return len(hits)
	})
	return r.num(0) == 0 || float64(found) >= r.num(0)
}

func bodyLength(c *scan, r *Rule) bool {
	return float64(len(c.v.section.body)) <= r.num(0)
}

var signatureLine = regexp.MustCompile(`(?m)^-- ?\r?$`)

func plainLength(c *scan, r *Rule) bool {
	for _, n := range c.v.nodes {
		if !strings.HasPrefix(n.mediaType, "text/plain") {
			continue
		}
		text := n.decode()
		body, sig := len(text), 0
		for _, m := range signatureLine.FindAllIndex(text, -1) {
			if len(text)-m[1] > 4 {
				body, sig = m[0], len(text)-m[1]
			}
		}
		x := float64(body)
		switch r.call {
		case "plaintext_sig_length":
			x = float64(sig)
		case "plaintext_body_sig_ratio":
			if x = 1e6; sig > 0 {
				x = float64(body) / float64(sig)
			}
		}
		return x >= r.num(0) && (r.unbounded(1) || x <= r.num(1))
	}
	return false
}
