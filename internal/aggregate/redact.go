package aggregate

import (
	"regexp"
	"strings"

	"postern/internal/mail"
	"postern/internal/report"
)

// localPart is what stands before the "@" of an address.
var localPart = regexp.MustCompile(`[^\s<>,;:"'()=\[\]@]{1,200}@`)

// redacted takes the local parts of addresses out of a text: the domain tells the owner what he needs.
func redacted(s string) string { return localPart.ReplaceAllString(s, "…@") }

// keptFields are the fields of a failed message that say how it travelled and who vouched for it, and nothing about whom it was for.
var keptFields = []string{"Authentication-Results", "Received-SPF", "DKIM-Signature", "Return-Path", "From", "Sender", "Date", "List-Id", "X-Mailer", "User-Agent"}

// headerOf is what is kept of a failed message's header.
func headerOf(f *report.Feedback) string {
	var b strings.Builder
	for _, name := range keptFields {
		for i, field := range f.Original.Header.All(name) {
			if i == 5 {
				break
			}
			value := field.Value()
			switch name {
			case "From", "Sender":
				value = domainIn(value)
				if value == "" {
					continue
				}
				value = "…@" + value
			case "DKIM-Signature":
				value = tags(value)
			default:
				value = redacted(value)
			}
			b.WriteString(name + ": " + clip(strings.Join(strings.Fields(value), " "), 1000) + "\n")
		}
	}
	return b.String()
}

// tags keeps of a signature who signed, with which key, and when.
func tags(s string) string {
	var out []string
	for _, t := range strings.Split(s, ";") {
		name, _, _ := strings.Cut(strings.TrimSpace(t), "=")
		switch strings.TrimSpace(name) {
		case "d", "s", "a", "c", "t", "x":
			out = append(out, strings.TrimSpace(t))
		}
	}
	return strings.Join(out, "; ")
}

// signerOf is the domain and selector of the failed message's signature.
func signerOf(f *report.Feedback) (domain, selector string) {
	if f.DKIMDomain != "" {
		return clip(f.DKIMDomain, 253), clip(f.Selector, 100)
	}
	fields := f.Original.Header.All("DKIM-Signature")
	if len(fields) == 0 {
		return "", ""
	}
	for _, t := range strings.Split(fields[0].Value(), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(t), "=")
		switch strings.TrimSpace(name) {
		case "d":
			domain = clip(strings.ToLower(strings.TrimSpace(value)), 253)
		case "s":
			selector = clip(strings.TrimSpace(value), 100)
		}
	}
	return domain, selector
}

// domainIn is the domain of the first address in a text.
func domainIn(s string) string {
	boxes, _ := mail.ParseMailboxes(s)
	for _, b := range boxes {
		if b.Address.Domain != "" {
			return string(b.Address.Domain)
		}
	}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		if d, err := mail.ParseDomain(strings.Trim(s[i+1:], "<> ")); err == nil {
			return string(d)
		}
	}
	return ""
}
