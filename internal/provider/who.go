package provider

import (
	"strings"

	"postern/internal/mail"
	"postern/internal/tree"
)

// Who is how a provider is recognised.
type Who struct {
	// MX are names of exchangers: "*.orange.fr" every name below orange.fr, "mx1.free.fr" that name, "mx*.example.net" with a star inside a label.
	MX []string
	// Domains belong to the provider whatever their exchangers are. An operator says so of a domain whose exchangers say nothing.
	Domains []mail.Domain
	// Mailboxes are domains of the provider's own mailboxes: it is told by them where nobody asked the DNS (behind a smarthost, in reports).
	Mailboxes []mail.Domain
}

// directory finds providers.
type directory struct {
	hosts     map[string]*Provider // whole names
	suffixes  map[string]*Provider // "orange.fr" for *.orange.fr
	globs     []glob
	domains   map[mail.Domain]*Provider
	mailboxes map[mail.Domain]*Provider
}

// glob is a name with stars inside its labels: of each label the parts between them.
type glob struct {
	labels   [][]string
	provider *Provider
}

func newDirectory(g *gatherer, providers []*Provider, at func(*Provider) tree.Place) *directory {
	d := &directory{hosts: map[string]*Provider{}, suffixes: map[string]*Provider{}, domains: map[mail.Domain]*Provider{}, mailboxes: map[mail.Domain]*Provider{}}
	for _, p := range providers {
		claim := func(what string, former *Provider) bool {
			if former != nil && former != p {
				g.bad(at(p), "%s: %s belongs to %s already; take it out of one of them", p.Name, what, former.Name)
			}
			return former == nil
		}
		for _, mx := range p.Who.MX {
			suffix, below := strings.CutPrefix(mx, "*.")
			switch {
			case below && !strings.Contains(suffix, "*"):
				if claim("MX "+mx, d.suffixes[suffix]) {
					d.suffixes[suffix] = p
				}
			case strings.Contains(mx, "*"):
				g := glob{provider: p}
				for label := range strings.SplitSeq(mx, ".") {
					g.labels = append(g.labels, strings.Split(label, "*"))
				}
				d.globs = append(d.globs, g)
			default:
				if claim("MX "+mx, d.hosts[mx]) {
					d.hosts[mx] = p
				}
			}
		}
		for _, x := range p.Who.Domains {
			if claim("domain "+string(x), d.domains[x]) {
				d.domains[x] = p
			}
		}
		for _, x := range p.Who.Mailboxes {
			if claim("mailbox domain "+string(x), d.mailboxes[x]) {
				d.mailboxes[x] = p
			}
		}
	}
	return d
}

// host returns the provider of one exchanger, nil when nobody knows it. The whole name counts most, then patterns, then the longest suffix.
func (d *directory) host(name string) *Provider {
	name = strings.TrimSuffix(name, ".")
	for i := range len(name) {
		if 'A' <= name[i] && name[i] <= 'Z' {
			name = strings.ToLower(name)
			break
		}
	}
	if p := d.hosts[name]; p != nil {
		return p
	}
	for i := range d.globs {
		if d.globs[i].fits(name) {
			return d.globs[i].provider
		}
	}
	for {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return nil
		}
		if p := d.suffixes[rest]; p != nil {
			return p
		}
		name = rest
	}
}

func (g *glob) fits(name string) bool {
	if strings.Count(name, ".") != len(g.labels)-1 {
		return false
	}
	for _, pattern := range g.labels {
		label, rest, _ := strings.Cut(name, ".")
		if len(pattern) == 1 && pattern[0] != label || len(pattern) > 1 && !fitsParts(pattern, label) {
			return false
		}
		name = rest
	}
	return true
}

// fitsParts reports whether a text begins with the first part, ends with the last, and has the others in between in their order.
func fitsParts(parts []string, s string) bool {
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// Behind returns the provider of a domain, told by its exchangers (host names) and, where the data says so, by the domain itself. All exchangers must
// belong to it: a domain that lists one exchanger of a provider beside its own is not the provider's. Without exchangers (nobody asked the DNS) the
// domains of the provider's own mailboxes tell. Never nil.
func (k *Knowledge) Behind(domain mail.Domain, exchangers []string) *Provider {
	if p := k.who.domains[domain]; p != nil {
		return p
	}
	if len(exchangers) == 0 {
		if p := k.who.mailboxes[domain]; p != nil {
			return p
		}
		return k.fallback
	}
	var all *Provider
	for _, host := range exchangers {
		p := k.who.host(host)
		if p == nil || all != nil && p != all {
			return k.fallback
		}
		all = p
	}
	return all
}
