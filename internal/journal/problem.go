package journal

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"postern/internal/mail"
)

// Clues are what the report of a problem names: whatever somebody pasted, from one line of an error to a whole status notification.
type Clues struct {
	IDs        []mail.QueueID
	MessageIDs []string // without <>
	Addresses  []string // lower-case
	Spans      []Span   // times that are named
	Code       int      // SMTP reply code; 0 none
	Enhanced   string   // "5.1.1"; "" none
	Words      []string // of the rest, lower-case, each once, in the order of the text
	Phrases    []string // runs of words as they stood, lower-case, the longest first
}

// Span is a time that is named, as exactly as it is named.
type Span struct{ From, To time.Time }

// The bounds of a report.
const (
	maxProblem = 64 << 10
	maxClues   = 10 // of each sort
	maxWords   = 60
)

var (
	idPattern      = regexp.MustCompile(`(?i)\b[0-9a-hjkmnp-tv-z]{26}\b`)
	addressPattern = regexp.MustCompile(`[\pL\pN.!#$%&'*+/=?^_{|}~-]{1,64}@[\pL\pN](?:[\pL\pN.-]{0,250}[\pL\pN])?`)
	replyPattern   = regexp.MustCompile(`\b([245][0-5]\d)[ -]`)
	statusPattern  = regexp.MustCompile(`\b([245]\.\d{1,3}\.\d{1,3})\b`)
	timePatterns   = []struct {
		find    *regexp.Regexp
		layouts []string
		width   time.Duration
	}{
		{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)`), []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z0700"}, time.Second},
		{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?\b`), []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"}, time.Minute},
		{regexp.MustCompile(`\b\d{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d [+-]\d{4}`), []string{"2 Jan 2006 15:04:05 -0700"}, time.Second},
		{regexp.MustCompile(`\b\d{1,2}/\d{1,2}/\d{4},? (?:à )?\d{1,2}[:h]\d\d\b`), []string{"2/1/2006 15:04"}, time.Minute},
		{regexp.MustCompile(`\b\d{4}-\d\d-\d\d\b`), []string{"2006-01-02"}, 24 * time.Hour},
		{regexp.MustCompile(`\b\d{1,2}/\d{1,2}/\d{4}\b`), []string{"2/1/2006"}, 24 * time.Hour},
	}
)

// ReadClues finds the clues in a text. Times without a zone are of now's.
func ReadClues(text string, now time.Time) Clues {
	text = strings.ToValidUTF8(text[:min(len(text), maxProblem)], " ")
	var c Clues
	for _, s := range idPattern.FindAllString(text, -1) {
		if id, err := mail.ParseQueueID(s); err == nil && len(c.IDs) < maxClues && !slices.Contains(c.IDs, id) && plausible(id, now) {
			c.IDs = append(c.IDs, id)
		}
	}
	for _, at := range addressPattern.FindAllStringIndex(text, -1) {
		s := text[at[0]:at[1]]
		list := &c.Addresses
		if digits := strings.IndexFunc(s[:strings.IndexByte(s, '@')], unicode.IsDigit) >= 0; digits && at[0] > 0 && text[at[0]-1] == '<' {
			addOnce(&c.MessageIDs, s) // it may be either
		}
		addOnce(list, strings.ToLower(strings.Trim(s, ".")))
	}
	for _, p := range timePatterns {
		for _, s := range p.find.FindAllString(text, maxClues) {
			c.addTime(s, p.layouts, p.width, now)
		}
	}
	if m := replyPattern.FindStringSubmatch(text); m != nil {
		c.Code, _ = strconv.Atoi(m[1])
	}
	if m := statusPattern.FindStringSubmatch(text); m != nil {
		c.Enhanced = m[1]
	}
	c.readWords(text)
	return c
}

// plausible reports whether a queue ID's time can be one of ours: 26 characters of other systems look alike.
func plausible(id mail.QueueID, now time.Time) bool {
	at := id.Time()
	return at.After(now.AddDate(-10, 0, 0)) && at.Before(now.Add(24*time.Hour))
}

func addOnce(list *[]string, s string) {
	if len(*list) < maxClues && !slices.Contains(*list, s) {
		*list = append(*list, s)
	}
}

func (c *Clues) addTime(s string, layouts []string, width time.Duration, now time.Time) {
	s = strings.NewReplacer("à ", "", "h", ":", ",", "").Replace(s)
	for _, layout := range layouts {
		at, err := time.ParseInLocation(layout, s, now.Location())
		if err != nil {
			continue
		}
		for _, known := range c.Spans { // a day of which the minute is known says nothing new
			if !at.After(known.From) && at.Add(width).After(known.From) {
				return
			}
		}
		if len(c.Spans) < maxClues {
			c.Spans = append(c.Spans, Span{at, at.Add(width)})
		}
		return
	}
}

// readWords gathers words and runs of words that no address, number or host name interrupts: those change from message to message.
func (c *Clues) readWords(text string) {
	text = strings.ToLower(addressPattern.ReplaceAllString(text, " | "))
	var run []string
	end := func() {
		if len(run) >= 2 {
			c.Phrases = append(c.Phrases, strings.Join(run, " "))
		}
		run = nil
	}
	for _, field := range strings.Fields(text) {
		word := strings.TrimFunc(field, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if word == "" || strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' && r != '-' && r != '’' }) {
			end()
			continue
		}
		if field[0] != word[0] { // punctuation before it
			end()
		}
		if len(c.Words) < maxWords && len(word) >= 3 && !slices.Contains(c.Words, word) {
			c.Words = append(c.Words, word)
		}
		if run = append(run, word); field[len(field)-1] != word[len(word)-1] || len(run) == 8 {
			end()
		}
	}
	end()
	slices.SortStableFunc(c.Phrases, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	c.Phrases = c.Phrases[:min(len(c.Phrases), maxClues)]
}

// Problem is a report of a problem: what somebody pasted, and where to look.
type Problem struct {
	Text     string
	Customer string    // "" everybody's
	Since    time.Time // zero: TextWindow back where only words lead
	// Reference finds one of our references in a text, such as that of a return address. nil: not looked for.
	Reference func(text []byte) (mail.QueueID, bool)
	Most      int // matches; default 10
}

// Match is a message that a report may be about.
type Match struct {
	ID     mail.QueueID
	Weight float64  // 0..100: how sure it is
	By     []string // stable words for what led there: "id", "message-id", "reference", "address", "time", "code", "status", "words", "phrase"
	Fact   Fact     // the fact that fits best
}

// Find says which messages a report may be about, the surest first.
func (j *Journal) Find(ctx context.Context, p Problem) ([]Match, Clues, error) {
	c := ReadClues(p.Text, j.o.Now())
	if p.Reference != nil {
		if id, ok := p.Reference([]byte(p.Text[:min(len(p.Text), maxProblem)])); ok {
			c.IDs = append([]mail.QueueID{id}, c.IDs...)
		}
	}
	found := map[mail.QueueID]Match{}
	take := func(facts []Fact, weight float64, by ...string) {
		for _, f := range facts {
			if f.QueueID == "" || p.Customer != "" && f.Customer != p.Customer {
				continue
			}
			m := c.weigh(f)
			if m.Weight += weight; weight > 0 {
				m.By = append(slices.Clone(by), m.By...)
			}
			m.Weight = min(m.Weight, 100)
			if old, known := found[m.ID]; !known || m.Weight > old.Weight || m.Weight == old.Weight && f.At.After(old.Fact.At) {
				found[m.ID] = m
			}
		}
	}
	for _, id := range c.IDs {
		facts, err := j.Trace(ctx, id)
		if err != nil {
			return nil, c, fmt.Errorf("find: %w", err)
		}
		take(facts, 100, "id")
	}
	for _, id := range c.MessageIDs {
		facts, _, err := j.Search(ctx, Query{MessageID: id, Customer: p.Customer, Since: p.Since, Limit: 200})
		if err != nil {
			return nil, c, fmt.Errorf("find: %w", err)
		}
		take(facts, 95, "message-id")
	}
	if len(found) == 0 {
		for _, q := range c.queries(p) {
			facts, err := j.searchOn(ctx, q)
			if err != nil {
				return nil, c, fmt.Errorf("find: %w", err)
			}
			take(facts, 0)
			if q.Text != "" && len(facts) > 0 {
				break // a shorter phrase finds no better
			}
		}
	}
	out := make([]Match, 0, len(found))
	for _, m := range found {
		if m.Weight >= leastWeight {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Weight, a.Weight), b.Fact.At.Compare(a.Fact.At), cmp.Compare(a.ID, b.ID))
	})
	if p.Most <= 0 {
		p.Most = 10
	}
	return out[:min(len(out), p.Most)], c, nil
}

// leastWeight is what a match must have: one address, or half of the words.
const leastWeight = 15

// slack is how far from a named time a fact may lie: clocks differ, and people round.
const slack = 15 * time.Minute

// queries are the searches to make when nothing is named that is one message's alone.
func (c Clues) queries(p Problem) (all []Query) {
	base := Query{Customer: p.Customer, Since: p.Since, Limit: 500}
	if len(c.Spans) > 0 {
		base.Since, base.Until = c.Spans[0].From, c.Spans[0].To
		for _, s := range c.Spans {
			if s.From.Before(base.Since) {
				base.Since = s.From
			}
			if s.To.After(base.Until) {
				base.Until = s.To
			}
		}
		base.Since, base.Until = base.Since.Add(-slack), base.Until.Add(slack)
	}
	for _, a := range c.Addresses {
		q := base
		q.Address = a
		all = append(all, q)
	}
	if len(c.Addresses) > 0 && len(c.Spans) > 0 { // the time may be that of reading, not of sending
		for _, a := range c.Addresses {
			all = append(all, Query{Customer: p.Customer, Since: p.Since, Limit: 500, Address: a})
		}
	}
	for _, phrase := range c.Phrases {
		q := base
		q.Text = phrase
		all = append(all, q)
	}
	if len(c.Phrases) == 0 && len(c.Words) > 0 {
		q := base
		q.Text = slices.MaxFunc(c.Words, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
		all = append(all, q)
	}
	if len(all) == 0 && len(c.Spans) > 0 {
		all = append(all, base)
	}
	return all
}

// weigh says how well a fact fits the clues, 0..90.
func (c Clues) weigh(f Fact) Match {
	m := Match{ID: f.QueueID, Fact: f}
	add := func(weight float64, by string) {
		if weight > 0 {
			m.Weight += weight
			m.By = append(m.By, by)
		}
	}
	addresses := 0.0
	for _, a := range c.Addresses {
		switch {
		case strings.EqualFold(a, f.Recipient):
			addresses += 25
		case strings.EqualFold(a, f.ReversePath), strings.Contains(strings.ToLower(f.HeaderFrom), a):
			addresses += 15
		}
	}
	add(min(addresses, 40), "address")
	for _, s := range c.Spans {
		if !f.At.Before(s.From.Add(-slack)) && f.At.Before(s.To.Add(slack)) {
			add(15, "time")
			break
		}
	}
	if c.Code != 0 && c.Code == f.Code {
		add(8, "code")
	}
	if c.Enhanced != "" && c.Enhanced == f.Enhanced {
		add(7, "status")
	}
	text := strings.ToLower(f.Subject + "\n" + f.HeaderFrom + "\n" + f.Host + "\n" + f.Text)
	if len(c.Words) > 0 {
		hits := 0
		for _, w := range c.Words {
			if strings.Contains(text, w) {
				hits++
			}
		}
		if part := float64(hits) / float64(len(c.Words)); part >= 0.3 {
			add(20*part, "words")
		}
	}
	for _, phrase := range c.Phrases {
		if strings.Contains(text, phrase) {
			add(min(15, float64(len(phrase))/2), "phrase")
			break
		}
	}
	return m
}
