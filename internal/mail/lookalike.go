package mail

import (
	"slices"
	"strings"
	"unicode"
)

// Imitation reports whether a label of a host is made to be read as another: Latin letters mixed with Cyrillic or Greek ones, or a known
// name, between hyphens or alone, written in letters that look like it. plain is what a reader takes it for.
func Imitation(label string) (plain string, deceives bool) {
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
