package spamd

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"postern/internal/filter"
	"postern/internal/locale"
)

// reportWidth is where the lines of a report end, in characters.
const reportWidth = 78

// report is the verdict for people, in UTF-8 with LF line ends as clients print it.
func (s *Server) report(language string, v filter.Verdict) []byte {
	text := func(key string, args map[string]any) string {
		return s.o.Catalog.Text(language, "spamd.report."+key, args)
	}
	var b strings.Builder
	decision := "fine"
	if v.Held {
		decision = "held"
	}
	b.WriteString(wrap(text(decision, map[string]any{"Host": s.o.Hostname, "Score": v.Score, "Threshold": v.Threshold}), 0) + "\n\n")
	if len(v.Hits) == 0 {
		b.WriteString(text("none", nil) + "\n")
	}
	widest := 0
	for _, h := range v.Hits {
		widest = max(widest, len(h.Test))
	}
	for _, h := range v.Hits {
		head := fmt.Sprintf("%7s  %-*s  ", locale.Number(language, h.Points), min(widest, 30), h.Test)
		b.WriteString(head + wrap(filter.Explain(s.o.Catalog, language, h).Name, utf8.RuneCountInString(head)) + "\n")
	}
	if len(v.Unknown) > 0 {
		names := make([]string, 0, len(v.Unknown))
		for _, u := range v.Unknown {
			names = append(names, u.Test)
		}
		b.WriteString("\n" + wrap(text("unknown", map[string]any{"Tests": strings.Join(names, ", ")}), 0) + "\n")
	}
	return []byte(b.String())
}

// wrap breaks a text at spaces; lines after the first are indented.
func wrap(s string, indent int) string {
	var b strings.Builder
	column := indent
	for i, word := range strings.Fields(s) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > reportWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
