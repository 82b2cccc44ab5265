package rules

import (
	"regexp"
	"strings"
)

// htmlEvals look at the HTML parts (SpamAssassin's HTMLEval, HTTPSMismatch, URIEval).
var htmlEvals = map[string]evalFunc{
	"html_test":                {run: htmlTest, check: need(1, 1)},
	"html_eval":                {run: htmlEval, check: need(2, 2)},
	"html_range":               {run: htmlRange, check: need(2, 3)},
	"html_tag_exists":          {run: htmlTagExists, check: need(1, 1)},
	"html_tag_balance":         {run: htmlTagBalance, check: need(2, 2)},
	"html_image_only":          {run: htmlImageOnly, check: need(2, 2)},
	"html_image_ratio":         {run: htmlImageRatio, check: need(2, 2)},
	"html_text_match":          {run: htmlTextMatch, check: need(2, 2), pattern: 2},
	"html_text_not_match":      {run: htmlTextMatch, check: need(2, 2), pattern: 2},
	"html_title_subject_ratio": {run: htmlTitleRatio, check: need(1, 1)},
	// Every charset is welcome (ok_locales all), so that no charset is far away.
	"html_charset_faraway":      {run: func(*scan, *Rule) bool { return false }},
	"check_iframe_src":          {run: iframeSource},
	"check_https_http_mismatch": {run: httpsMismatch, check: need(0, 2)},
	"check_https_ip_mismatch":   {run: httpsIPMismatch},
	"check_uri_truncated":       {run: func(c *scan, _ *Rule) bool { c.uriDetails(); return c.v.uriTruncated }},
	"check_for_http_redirector": {run: httpRedirector},
}

func (c *scan) anyHTML(f func(h *htmlView) bool) bool {
	for _, h := range c.v.htmlParts() {
		if f(h) {
			return true
		}
	}
	return false
}

// number returns a measure by the name rules use.
func (h *htmlView) number(name string) (float64, bool) {
	n, ok := h.numbers[name]
	if !ok && h.flags[name] {
		return 1, true
	}
	return n, ok
}

func htmlTest(c *scan, r *Rule) bool {
	return c.anyHTML(func(h *htmlView) bool { n, ok := h.number(r.arg(0)); return ok && n != 0 })
}

func htmlEval(c *scan, r *Rule) bool {
	return c.anyHTML(func(h *htmlView) bool {
		n, ok := h.number(r.arg(0))
		if !ok {
			return false
		}
		hit, err := compare(n, r.arg(1))
		return err == nil && hit
	})
}

func htmlRange(c *scan, r *Rule) bool {
	return c.anyHTML(func(h *htmlView) bool { n, ok := h.number(r.arg(0)); return ok && r.between(n, 1, 2) })
}

func htmlTagExists(c *scan, r *Rule) bool {
	return c.anyHTML(func(h *htmlView) bool { _, ok := h.inside[r.arg(0)]; return ok })
}

func htmlTagBalance(c *scan, r *Rule) bool {
	return c.anyHTML(func(h *htmlView) bool {
		n, ok := h.inside[r.arg(0)]
		if !ok {
			return false
		}
		hit, err := compare(float64(n), r.arg(1))
		return err == nil && hit
	})
}

// htmlImageOnly compares the length of the source, not of the visible text, as SpamAssassin does.
func htmlImageOnly(c *scan, r *Rule) bool {
	return c.anyHTML(func(h *htmlView) bool { _, img := h.inside["img"]; return img && r.between(float64(h.length), 0, 1) })
}

func htmlImageRatio(c *scan, r *Rule) bool {
	return c.anyHTML(func(h *htmlView) bool {
		return h.imageArea > 0 && r.between(h.numbers["non_space_len"]/h.imageArea, 0, 1)
	})
}

func htmlTextMatch(c *scan, r *Rule) bool {
	want := r.call == "html_text_match"
	return c.anyHTML(func(h *htmlView) bool {
		var list []string
		switch r.arg(0) {
		case "anchor":
			list = h.anchor
		case "title":
			list = h.title
		case "comment":
			list = h.comment
		case "script":
			list = h.script
		}
		for _, s := range list {
			if r.compiled != nil && r.compiled.matches(s) == want {
				c.note(s)
				return true
			}
		}
		return false
	})
}

func htmlTitleRatio(c *scan, r *Rule) bool {
	subject := c.get("Subject")
	if subject == "" {
		return false
	}
	return c.anyHTML(func(h *htmlView) bool {
		longest := 0.0
		for _, t := range h.title {
			longest = max(longest, float64(len([]rune(t)))/float64(len(subject)))
		}
		return longest > r.num(0)
	})
}

func iframeSource(c *scan, _ *Rule) bool {
	return c.anyHTML(func(h *htmlView) bool {
		for _, u := range h.uris {
			if u.types["iframe"] {
				return true
			}
		}
		return false
	})
}

var (
	httpHost  = regexp.MustCompile(`(?i)^https?://([^/:?#]+)`)
	httpsText = regexp.MustCompile(`(?i)https://([^\s/:?#]+)`)
	httpIP    = regexp.MustCompile(`(?i)^https?:/*(?:[^@/]+@)?\d+\.\d+\.\d+\.\d+`)
	httpsIP   = regexp.MustCompile(`(?i)^https:/*(?:[^@/]+@)?\d+\.\d+\.\d+\.\d+`)
)

// httpsMismatch: the text of a link shows an https address in another domain than the link leads to.
func httpsMismatch(c *scan, r *Rule) bool {
	least := r.num(0)
	if least == 0 {
		least = 1
	}
	l := c.s.lists
	return c.anyHTML(func(h *htmlView) bool {
		hit, anchors := false, 0.0
		for _, key := range h.order {
			u := h.uris[key]
			m := httpHost.FindStringSubmatch(key)
			if len(u.texts) == 0 || m == nil || isIP(m[1]) {
				continue
			}
			target := l.registered(m[1])
			if domain, _ := l.uriDomain(target); domain == "" {
				continue
			}
			anchors++
			for _, t := range u.texts {
				s := httpsText.FindStringSubmatch(t)
				if s == nil {
					continue
				}
				shown := s[1]
				if !isIP(shown) {
					if shown = l.registered(shown); !l.domainValid(shown) {
						continue
					}
				}
				if shown != target {
					hit = true
					c.note(key + " shown as " + s[0])
					break
				}
			}
		}
		return hit && anchors >= least && (r.unbounded(1) || anchors < r.num(1))
	})
}

// httpsIPMismatch: a link to an IP address whose text shows an https address.
func httpsIPMismatch(c *scan, _ *Rule) bool {
	return c.anyHTML(func(h *htmlView) bool {
		for _, key := range h.order {
			if !httpIP.MatchString(key) {
				continue
			}
			for _, t := range h.uris[key].texts {
				if !httpsIP.MatchString(t) && strings.Contains(strings.ToLower(t), "https:") {
					c.note(key)
					return true
				}
			}
		}
		return false
	})
}

var redirectorURI = regexp.MustCompile(`(?i)^https?://([^/:?]+).+?(https?:/{0,2}?([^/:?]+).*)$`)

func httpRedirector(c *scan, _ *Rule) bool {
	for _, u := range c.uriList() {
		s := string(u)
		for n := 0; n < 20; n++ {
			m := redirectorURI.FindStringSubmatch(s)
			if m == nil {
				break
			}
			from, _ := c.s.lists.uriDomain(m[1])
			to, _ := c.s.lists.uriDomain(m[3])
			if from != to {
				return true
			}
			s = m[2]
		}
	}
	return false
}
