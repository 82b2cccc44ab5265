package provider_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/internal/provider"
)

// row is one line of testdata/responses.csv.
type row struct{ id, provider, mx, reply, enhanced, text, phase, category, fault, hint string }

func readRows(t *testing.T) []row {
	t.Helper()
	f, err := os.Open("testdata/responses.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range all[0] {
		column[name] = i
	}
	var rows []row
	for _, r := range all[1:] {
		get := func(name string) string { return r[column[name]] }
		rows = append(rows, row{get("id"), get("provider"), get("mx_match"), get("reply"), get("enhanced"), get("text_fragment"), get("phase"), get("category"), get("fault"), get("retry_hint")})
	}
	return rows
}

// name finds the provider of a row: by its exchangers, else by the words of its name.
func (r row) name(k *provider.Knowledge) string {
	if pattern, _, _ := strings.Cut(r.mx, "|"); pattern != "*" {
		host := strings.Replace(pattern, "*", "mx1", 1)
		if p := k.Behind("customer.example", []string{host}); p != k.Default() {
			return p.Name
		}
		return "no provider behind " + host
	}
	for _, word := range strings.FieldsFunc(r.provider, func(r rune) bool { return r == '/' || r == ' ' }) {
		for _, p := range k.Providers() {
			if p != k.Default() && slices.Contains(strings.FieldsFunc(p.Title, func(r rune) bool { return r == '/' || r == ' ' || r == ',' }), word) {
				return p.Name
			}
		}
	}
	return ""
}

var (
	statusRange = regexp.MustCompile(`^([45x]\.\d+\.)(\d+)-(\d+)$`)
	places      = strings.NewReplacer("[ip]", "[192.0.2.1]", "<d>", "customer.example", "<id>", "4zVQ1", "[d]", "[customer.example]", "<domain>", "example.net", "#.#.#.#", "192.0.2.1", "x02", "102", "x03", "103", "x04", "104", "x05", "105")
	codeLike    = regexp.MustCompile(`[A-Z]{2}.*\d|\d.*[A-Z]{2}`)
)

// statuses are the enhanced statuses that a row stands for.
func (r row) statuses() []string {
	var out []string
	last := ""
	for part := range strings.SplitSeq(r.enhanced, " / ") {
		if m := statusRange.FindStringSubmatch(part); m != nil {
			out = append(out, m[1]+m[2], m[1]+m[3])
			continue
		}
		if part != "" && !strings.Contains(part, ".") { // "552 1 …": a number of the provider's own in front of the text
			last = part
			continue
		}
		out = append(out, part)
	}
	if last != "" {
		out = append(out, "")
	}
	return out
}

// texts are what a row's server may say: the whole, and each alternative that says enough alone.
func (r row) texts() []string {
	text := places.Replace(r.text)
	if text == r.text && strings.Contains(r.text, "(also ") {
		text, _, _ = strings.Cut(text, " (also ")
	}
	out := []string{strings.ReplaceAll(text, "...", " blah ")}
	if strings.Contains(text, "_104 ") || strings.Contains(text, "..._") { // "OFR..._104": a number stands in the gap
		out = []string{strings.ReplaceAll(strings.ReplaceAll(text, "..._", "006_"), "...", " blah ")}
	}
	for _, by := range []string{" / ", " | ", " .. "} {
		if parts := strings.Split(text, by); len(parts) > 1 {
			for _, p := range parts {
				if codeLike.MatchString(p) || len(strings.Fields(p)) > 3 {
					out = append(out, strings.ReplaceAll(p, "...", " blah "))
				}
			}
		}
	}
	return out
}

// answers are all answers of a row.
func (r row) answers(provided string) []provider.Answer {
	var out []provider.Answer
	codes := strings.Split(strings.NewReplacer("4xx", "450", "5xx", "550").Replace(r.reply), "/")
	for _, code := range codes {
		n, err := strconv.Atoi(code)
		if err != nil {
			panic(r.id + ": code " + code)
		}
		for _, enhanced := range r.statuses() {
			enhanced = strings.Replace(enhanced, "x", code[:1], 1)
			if enhanced != "" && len(codes) > 1 && enhanced[0] != code[0] && len(r.statuses()) > 1 {
				continue // 421 goes with 4.7.27, 550 with 5.7.27
			}
			for _, text := range r.texts() {
				out = append(out, provider.Answer{Provider: provided, Code: n, Enhanced: enhanced, Text: text})
			}
		}
	}
	return out
}

var span = regexp.MustCompile(`(\d+)(?:-(\d+))? ?(h|min)`)

// spans reads "1-2 h", "30 min" as bounds.
func spans(s string) [][2]time.Duration {
	var out [][2]time.Duration
	for _, m := range span.FindAllStringSubmatch(s, -1) {
		unit := time.Hour
		if m[3] == "min" {
			unit = time.Minute
		}
		low, _ := strconv.Atoi(m[1])
		high := low
		if m[2] != "" {
			high, _ = strconv.Atoi(m[2])
		}
		out = append(out, [2]time.Duration{time.Duration(low) * unit, time.Duration(high) * unit})
	}
	return out
}

func within(d time.Duration, bounds [][2]time.Duration) bool {
	for _, b := range bounds {
		if d >= b[0] && d <= b[1] {
			return true
		}
	}
	return false
}

// hinted says what of a row's hint a meaning does not follow; "" it follows it.
func hinted(hint string, code int, m provider.Meaning) string {
	temporary := m.Temporary(code)
	switch {
	case strings.HasPrefix(hint, "no") && !strings.HasPrefix(hint, "none"):
		if temporary && code >= 500 {
			return "must not be tried again"
		}
		return ""
	case strings.HasPrefix(hint, "fix then"), strings.HasPrefix(hint, "retry after"):
		return "" // after somebody mended it: as the code says
	}
	if !temporary {
		return "must be tried again"
	}
	if _, rest, ok := strings.Cut(hint, "suspend"); ok {
		rest, _, _ = strings.Cut(rest, ";")
		rest, _, _ = strings.Cut(rest, "then")
		bounds := spans(rest)
		if strings.Contains(rest, ">=") {
			bounds[0][1] = 48 * time.Hour
		}
		if len(bounds) > 0 && !within(m.Do.Pause, bounds) || m.Do.Pause == 0 {
			return fmt.Sprintf("must pause, found %v", m.Do.Pause)
		}
	}
	for _, want := range []struct {
		words string
		ok    bool
	}{
		{"probe", m.Do.Probe}, {"concurrency 1", m.Do.Connections == 1}, {"with 1 connection", m.Do.Connections == 1}, {"1 connection for", m.Do.Connections == 1},
		{"lower concurrency", m.Do.Connections > 0}, {"reconnect", m.Do.Reconnect}, {"halve rate", m.Do.Slow == 0.5}, {"msg/min", m.Do.Slow > 0},
		{"throttle", m.Do.Slow > 0}, {"for bulk", m.Do.BulkOnly}, {"alert", m.Do.Alarm}, {"max 2 connections", m.Do.Connections == 2}, {"over IPv4", m.Do.IPv4},
		{"every 4 h for 48 h", m.Do.Schedule != nil && m.Do.Schedule.Every[0] == 4*time.Hour && m.Do.Schedule.For == 48*time.Hour},
		{"after 5/h", m.Do.After == 5 && m.Do.Within == time.Hour},
	} {
		if strings.Contains(hint, want.words) && !want.ok {
			return fmt.Sprintf("%q is not followed: %+v", want.words, m.Do)
		}
	}
	if _, rest, ok := strings.Cut(hint, "retry "); ok {
		rest, _, _ = strings.Cut(rest, ";")
		bounds := spans(rest)
		switch {
		case strings.HasPrefix(rest, "daily"), strings.HasPrefix(rest, "next day"):
			bounds = [][2]time.Duration{{24 * time.Hour, 24 * time.Hour}}
		}
		if len(bounds) > 0 && (m.Do.Schedule == nil || !within(m.Do.Schedule.Every[0], bounds)) {
			return fmt.Sprintf("the next attempt must come as hinted: %+v", m.Do.Schedule)
		}
	}
	return ""
}

// TestResponses holds the knowledge to answers that were collected from real servers.
func TestResponses(t *testing.T) {
	t.Parallel()
	k := load(t)
	rows := readRows(t)
	if len(rows) < 172 {
		t.Fatalf("only %d rows", len(rows))
	}
	tried := 0
	for _, r := range rows {
		for _, a := range r.answers(r.name(k)) {
			tried++
			m := k.Classify(a)
			what := fmt.Sprintf("%s (%s): %d %s %q", r.id, a.Provider, a.Code, a.Enhanced, a.Text)
			if string(m.Category) != r.category || string(m.Party) != r.fault {
				t.Errorf("%s: %s, %s by %q; want %s, %s", what, m.Category, m.Party, m.Rule, r.category, r.fault)
				continue
			}
			if m.Rule == "" {
				t.Errorf("%s: told by the codes only", what)
			}
			if fault := hinted(r.hint, a.Code, m); fault != "" {
				t.Errorf("%s: by %s: hint %q: %s", what, m.Rule, r.hint, fault)
			}
			if m.Party != provider.OfRecipient && m.Party != provider.RecipientDomain && m.Permanent {
				t.Errorf("%s: by %s: nobody but the recipient's side can be lost for good", what, m.Rule)
			}
		}
	}
	t.Logf("%d answers of %d rows", tried, len(rows))
}
