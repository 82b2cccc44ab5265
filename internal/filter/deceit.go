package filter

import (
	"context"
	"net/url"
	"strings"

	"postern/internal/mail"
)

// Tests of links and names that show another site than they mean. What patterns can say of this stands in the rules about fraud (ruleset/1*.cf);
// here is what needs letters and domains to be compared.
const (
	linkTextOther = "LINK_TEXT_OTHER_SITE"
	hostImitates  = "HOST_FOREIGN_LETTERS"
)

// maxDeceitLinks bounds the links and hosts looked at.
const maxDeceitLinks = 500

// checkDeceit compares what links show with where they lead, and looks at hosts in letters that imitate others.
func checkDeceit(_ context.Context, s *scan) {
	if !s.fromList() { // newsletters count clicks by links through another site
		s.linkTexts()
	}
	s.foreignLetters()
}

// linkTexts looks for a link whose text is the address of a site and which leads to another.
func (s *scan) linkTexts() {
	n := 0
	for _, p := range s.htmlParts() {
		for _, l := range p.HTML().Links {
			if n++; n > maxDeceitLinks {
				return
			}
			shown, ok := shownSite(l.Text)
			if !ok || l.Tag != "a" {
				continue
			}
			target, ok := targetSite(l.URL)
			if !ok || shown == target || passesOn(l.URL, shown) {
				continue
			}
			s.hit(linkTextOther, map[string]string{"Domain": shown, "Target": target}, "shown: "+l.Text, "leads to: "+l.URL)
			return
		}
	}
}

// shownSite returns the registrable domain of a link's text that is nothing but a web address. Without a scheme it must begin with www., as
// names of files look like hosts.
func shownSite(text string) (string, bool) {
	text = strings.TrimSpace(text)
	lower := strings.ToLower(text)
	switch {
	case len(text) > 500 || strings.ContainsAny(text, " \t\n"):
		return "", false
	case strings.HasPrefix(lower, "www."):
		text = "http://" + text
	case !strings.HasPrefix(lower, "http://") && !strings.HasPrefix(lower, "https://"):
		return "", false
	}
	return targetSite(text)
}

// targetSite returns the registrable domain that a web address leads to.
func targetSite(address string) (string, bool) {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return "", false
	}
	d, err := mail.ParseDomain(u.Hostname())
	if err != nil {
		return "", false
	}
	site := registrable(d)
	return site, site != ""
}

// passesOn reports whether a link names the shown site as the place it passes readers on to: a scanner of links, a counter of clicks.
func passesOn(address, shown string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	return strings.Contains(strings.ToLower(u.Path+"?"+u.RawQuery), shown)
}

// foreignLetters looks for hosts, of links and of the sender, one label of which mixes alphabets or imitates a known name in letters of
// another (UTS 39: mixed-script and whole-script confusables).
func (s *scan) foreignLetters() {
	seen := map[mail.Domain]bool{}
	look := func(d mail.Domain, where string) bool {
		if seen[d] || len(seen) >= maxDeceitLinks || !strings.Contains(string(d), "xn--") {
			return false
		}
		seen[d] = true
		name := d.Unicode()
		for label := range strings.SplitSeq(name, ".") {
			if plain, deceives := mail.Imitation(label); deceives {
				s.hit(hostImitates, map[string]string{"Domain": name, "Name": plain}, where+": "+name+" ("+string(d)+")", "reads like: "+plain)
				return true
			}
		}
		return false
	}
	for _, b := range s.Message.From() {
		if look(b.Address.Domain, "From") {
			return
		}
	}
	for _, u := range s.Message.URIs() {
		if look(u.Host, "link") {
			return
		}
	}
}
