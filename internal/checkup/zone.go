package checkup

import (
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"

	"postern/internal/mail"
)

// Strings are the pieces of a TXT record, of at most 255 bytes each (RFC 1035 3.3), which readers join without space.
func (r Record) Strings() []string {
	const most = 255
	var out []string
	text := r.Value
	for len(text) > most {
		out, text = append(out, text[:most]), text[most:]
	}
	return append(out, text)
}

// Zone is the record as a line of a zone file.
func (r Record) Zone() string {
	if r.Type != "TXT" {
		return fmt.Sprintf("%s. %d IN %s %s", r.Name, r.TTL, r.Type, r.Value)
	}
	parts := r.Strings()
	for i, p := range parts {
		parts[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p) + `"`
	}
	text := strings.Join(parts, " ")
	if len(parts) > 1 {
		text = "( " + text + " )"
	}
	return fmt.Sprintf("%s. %d IN TXT %s", r.Name, r.TTL, text)
}

// Host is the name as most web forms want it: without the registered domain, "@" for that itself.
func (r Record) Host() string {
	zone, err := publicsuffix.EffectiveTLDPlusOne(strings.TrimLeft(r.Name, "_"))
	if err != nil {
		return r.Name
	}
	if r.Name == zone {
		return "@"
	}
	return strings.TrimSuffix(r.Name, "."+zone)
}

// Snippet is what is to be published, as text of a zone file: of ways to choose between the first.
func (r Report) Snippet() string {
	var b strings.Builder
	fmt.Fprintf(&b, "; %s\n", r.Domain)
	written := map[string]bool{}
	for _, f := range r.Findings {
		for _, rec := range f.Records {
			if f.Operator || rec.Choice > 1 || written[rec.Zone()] {
				continue
			}
			written[rec.Zone()] = true
			for _, old := range rec.Replace {
				fmt.Fprintf(&b, "; - %s %s %s\n", rec.Name, rec.Type, comment(old))
			}
			b.WriteString(rec.Zone() + "\n")
		}
	}
	return b.String()
}

// comment keeps a stranger's text within one comment of a zone file.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, clip(s, 600))
}

// Registered is the registered domain of a name, for people who look for the zone to edit; the name itself where there is none.
func Registered(d mail.Domain) string {
	zone, err := publicsuffix.EffectiveTLDPlusOne(string(d))
	if err != nil {
		return string(d)
	}
	return zone
}
