package rules

import "strings"

// mime runs a mimeheader rule: the headers of each part.
func (c *scan) mime(i int) {
	r := c.s.rules[i]
	name, raw := strings.TrimSuffix(r.Target, ":raw"), strings.HasSuffix(r.Target, ":raw")
	limit := 1
	if r.maxHits > 0 {
		limit = r.maxHits
	} else if r.multiple {
		limit = 1000
	}
	var joined strings.Builder
	matched := false
	for k, n := range c.v.nodes {
		if k+1 < r.partMin {
			continue
		}
		if r.partMax > 0 && k+1 > r.partMax || matched && !r.multiple {
			break
		}
		value := n.headerValue(name, raw)
		if value == nil {
			value = r.unset
		}
		if r.concat {
			joined.WriteString(strings.TrimSuffix(*value, "\n") + "\n")
			continue
		}
		if c.mimeValue(i, *value, limit) {
			matched = true
			break
		}
	}
	if r.concat {
		matched = c.mimeValue(i, joined.String(), limit)
	}
	if r.negated {
		c.values[i] = truth(!matched)
	}
}

func (c *scan) mimeValue(i int, value string, limit int) bool {
	r := c.s.rules[i]
	n, budget := r.compiled.count([]byte(value), limit, &c.budget)
	if budget {
		c.skipped[i] = true
	}
	if n == 0 {
		return false
	}
	if !r.negated {
		c.where[i] = []byte(value)
		if !r.multiple {
			n = 1
		}
		c.values[i] += float64(n)
	}
	return true
}

// headerValue returns the last value of a field of the part, or all its headers for ALL; nil if there is none.
func (n *node) headerValue(name string, raw bool) *string {
	if name == "ALL" {
		var all strings.Builder
		for i := range n.fields {
			f := &n.fields[i]
			if raw {
				all.WriteString(f.name + ":" + f.raw)
			} else {
				all.WriteString(f.name + ": " + f.decode())
			}
		}
		s := all.String()
		return &s
	}
	for i := len(n.fields) - 1; i >= 0; i-- {
		if f := &n.fields[i]; strings.EqualFold(f.name, name) {
			s := f.raw
			if !raw {
				s = f.decode()
			}
			return &s
		}
	}
	return nil
}

// detail runs a uri_detail rule: all criteria must hold for one URI.
func (c *scan) detail(i int) {
	r := c.s.rules[i]
	for _, d := range c.uriDetails() {
		all := true
		for _, k := range r.criteria {
			if !k.holds(d) {
				all = false
				break
			}
		}
		if all {
			c.values[i] = 1
			c.note(d.raw)
			return
		}
	}
}

func (k *criterion) holds(d *uriDetail) bool {
	var values []string
	switch k.key {
	case "raw":
		values = []string{d.raw}
	case "type":
		values = sortedKeys(d.types)
	case "cleaned":
		values = d.cleaned
	case "text":
		values = d.texts
	case "domain":
		values = sortedKeys(d.domains)
	case "host":
		values = sortedKeys(d.hosts)
	}
	for _, s := range values {
		if k.pattern.matches(s) != k.negated {
			return true
		}
	}
	return false
}
