package filter

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"unicode"

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
			if plain, deceives := imitation(label); deceives {
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

// imitation reports whether a label of a host is made to be read as another: Latin letters mixed with Cyrillic or Greek ones, or a known
// name, between hyphens or alone, written in letters that look like it. plain is what a reader takes it for.
func imitation(label string) (plain string, deceives bool) {
	latin, other := false, false
	var b strings.Builder
	for _, r := range label {
		switch {
		case unicode.In(r, unicode.Cyrillic, unicode.Greek):
			other = true
		case unicode.Is(unicode.Latin, r):
			latin = true
		}
		if p, ok := looksLike[r]; ok {
			r = p
		}
		b.WriteRune(unicode.ToLower(r))
	}
	plain = b.String()
	if plain == label {
		return "", false
	}
	if latin && other {
		return plain, true
	}
	parts, read := append(strings.Split(label, "-"), label), append(strings.Split(plain, "-"), plain)
	for i, part := range parts {
		if part != read[i] && slices.Contains(imitated, read[i]) {
			return plain, true
		}
	}
	return "", false
}

// imitated are names that swindlers imitate in other letters. None of them has an accent of its own.
var imitated = strings.Fields(`amazon ameli antai apple binance bnpparibas boursobank boursorama chronopost coinbase colissimo credit-agricole
	creditagricole dhl docusign facebook fedex google icloud impots instagram ionos labanquepostale laposte ledger linkedin metamask microsoft
	netflix office365 orange outlook ovh ovhcloud paypal revolut sfr societegenerale whatsapp`)

// looksLike are letters that readers take for Latin ones: from Cyrillic, Greek, and Latin with marks (after UTS 39, version 16).
var looksLike = map[rune]rune{
	'а': 'a', 'в': 'b', 'с': 'c', 'ԁ': 'd', 'е': 'e', 'ё': 'e', 'һ': 'h', 'н': 'h', 'і': 'i', 'ї': 'i', 'ј': 'j', 'к': 'k', 'ӏ': 'l', 'м': 'm',
	'п': 'n', 'о': 'o', 'р': 'p', 'ԛ': 'q', 'г': 'r', 'ѕ': 's', 'т': 't', 'у': 'y', 'ѵ': 'v', 'ԝ': 'w', 'х': 'x',
	'α': 'a', 'ε': 'e', 'η': 'n', 'ι': 'i', 'κ': 'k', 'ν': 'v', 'ο': 'o', 'ρ': 'p', 'τ': 't', 'υ': 'u', 'χ': 'x', 'ω': 'w',
	'à': 'a', 'á': 'a', 'â': 'a', 'ã': 'a', 'ä': 'a', 'å': 'a', 'ā': 'a', 'ą': 'a', 'ạ': 'a', 'ç': 'c', 'ć': 'c', 'č': 'c', 'ḍ': 'd', 'ď': 'd',
	'è': 'e', 'é': 'e', 'ê': 'e', 'ë': 'e', 'ē': 'e', 'ė': 'e', 'ę': 'e', 'ẹ': 'e', 'ɡ': 'g', 'ģ': 'g', 'ğ': 'g', 'ħ': 'h', 'ḥ': 'h',
	'ì': 'i', 'í': 'i', 'î': 'i', 'ï': 'i', 'ī': 'i', 'ı': 'i', 'ị': 'i', 'ķ': 'k', 'ḳ': 'k', 'ł': 'l', 'ļ': 'l', 'ḷ': 'l', 'ṃ': 'm', 'ñ': 'n',
	'ń': 'n', 'ņ': 'n', 'ṇ': 'n', 'ò': 'o', 'ó': 'o', 'ô': 'o', 'õ': 'o', 'ö': 'o', 'ø': 'o', 'ō': 'o', 'ọ': 'o', 'ṛ': 'r', 'ŕ': 'r', 'ś': 's',
	'ş': 's', 'š': 's', 'ṣ': 's', 'ţ': 't', 'ť': 't', 'ṭ': 't', 'ù': 'u', 'ú': 'u', 'û': 'u', 'ü': 'u', 'ū': 'u', 'ụ': 'u', 'ṿ': 'v', 'ẉ': 'w',
	'ý': 'y', 'ÿ': 'y', 'ỵ': 'y', 'ź': 'z', 'ż': 'z', 'ž': 'z', 'ẓ': 'z',
}
