package learn

import (
	"crypto/sha1" //nolint:gosec // names tokens, protects nothing: what SpamAssassin's databases use
	"encoding/hex"
	"hash/maphash"
	"strings"
	"unicode"
	"unicode/utf8"

	"postern/internal/mail"
)

// Token is one clue in a message.
type Token struct {
	ID   int64  // the last 5 bytes of the SHA-1 of Text, as in SpamAssassin's databases
	Text string // valid UTF-8, at most 300 bytes
}

// Bounds of what is looked at. Beyond them a message tells nothing new.
const (
	maxText      = 50_000 // bytes of visible text, and as many of hidden text (SpamAssassin: 50,000)
	maxTokens    = 8192   // different tokens of a message
	maxURIs      = 200
	maxDigested  = 1 << 20 // bytes of an attachment that its digest covers
	maxDigests   = 20
	maxURIToken  = 100 // bytes of a piece of a URI
	maxWord      = 15  // characters of a token; a longer one is known by its beginning
	longBegin    = 7   // characters that a longer one is known by
	minWord      = 3
	maxTokenText = 300
)

// region is where a line stands; the words of a text are taken apart further than those of a header.
type region uint8

const (
	inHeader region = iota
	inBody
	inURI
)

// Tokens returns the different tokens of a message, in the order in which they were found. It reads the header, the visible and
// the hidden text of all text parts, the URIs, and a digest of every other part.
//
// Prefixes: H and the field's name for a header (H*F: for From; abbreviations in fieldShort), I*: for hidden text, UD: for a domain
// in text, U* and D* for the two sides of a mail address, sk: for the first 7 characters of a long word, u8: for two characters of
// a script without spaces, MIME: for the digest of a part.
func Tokens(m *mail.Message) []Token {
	t := tokenizer{seed: maphash.MakeSeed(), seen: make(map[uint64]struct{}, 1024), arena: make([]byte, 0, 16<<10), ends: make([]int32, 0, 1024)}
	t.header(m.Header)
	t.line(m.Subject(), "", inBody)
	visible, hidden := maxText, maxText
	for _, p := range m.Parts() {
		switch h := p.HTML(); {
		case h != nil:
			t.bounded(h.Text, "", &visible)
			t.bounded(h.Hidden, "I*:", &hidden)
		case p.MediaType == "text/plain":
			t.bounded(p.Rendered(), "", &visible)
		}
	}
	for i, u := range m.URIs() {
		if i == maxURIs {
			break
		}
		t.line(u.Raw, "", inURI)
	}
	t.digests(m)
	return t.tokens()
}

// tokenizer gathers tokens. Their texts lie end to end in arena: one allocation for all.
type tokenizer struct {
	seed  maphash.Seed
	seen  map[uint64]struct{}
	arena []byte
	ends  []int32
	lower []byte // the word in lower case
	plain []byte // the word without punctuation
	word  []byte // a word that had to be changed
}

// add takes a token whose text is the two parts together.
func (t *tokenizer) add(prefix string, text []byte) {
	if len(text) == 0 || len(t.ends) >= maxTokens || len(prefix)+len(text) > maxTokenText {
		return
	}
	start := len(t.arena)
	t.arena = append(append(t.arena, prefix...), text...)
	key := maphash.Bytes(t.seed, t.arena[start:])
	if _, again := t.seen[key]; again {
		t.arena = t.arena[:start]
		return
	}
	t.seen[key] = struct{}{}
	t.ends = append(t.ends, int32(len(t.arena)))
}

func (t *tokenizer) addString(prefix, text string) {
	t.word = append(t.word[:0], text...)
	t.add(prefix, t.word)
}

// tokens names what was gathered.
func (t *tokenizer) tokens() []Token {
	all := string(t.arena)
	out := make([]Token, len(t.ends))
	start := int32(0)
	for i, end := range t.ends {
		sum := sha1.Sum(t.arena[start:end]) //nolint:gosec // see the import
		b := sum[len(sum)-5:]
		out[i] = Token{ID: int64(b[0])<<32 | int64(b[1])<<24 | int64(b[2])<<16 | int64(b[3])<<8 | int64(b[4]), Text: all[start:end]}
		start = end
	}
	return out
}

// bounded reads a text as far as left allows.
func (t *tokenizer) bounded(s, prefix string, left *int) {
	if len(s) > *left {
		s = s[:*left]
		if i := strings.LastIndexAny(s, " \n"); i > 0 {
			s = s[:i]
		}
	}
	*left -= len(s)
	t.line(s, prefix, inBody)
}

// digests takes a token for each part that is not text.
func (t *tokenizer) digests(m *mail.Message) {
	n := 0
	for _, p := range m.Parts() {
		if strings.HasPrefix(p.MediaType, "text/") || len(p.Children) > 0 || len(p.Raw) == 0 {
			continue
		}
		if n++; n > maxDigests {
			return
		}
		b := p.Decoded()
		sum := sha1.Sum(b[:min(len(b), maxDigested)]) //nolint:gosec // see the import
		media := p.MediaType
		if len(media) > 100 {
			media = media[:100]
		}
		t.addString("MIME:", hex.EncodeToString(sum[:])+":"+strings.ToValidUTF8(media, "?"))
	}
}

// wordBytes are the ASCII characters that a word may have: quotes, dots and dashes for host names, $ and comma for sums of
// money, * and ! for what is meant to be read and not found.
var wordBytes = func() (set [128]bool) {
	for c := range set {
		set[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	}
	for _, c := range `-,@*!_'"$.` {
		set[c] = true
	}
	return set
}()

// line takes a text apart. A run of dots or dashes separates words; an empty line begins a paragraph.
func (t *tokenizer) line(s, prefix string, where region) {
	sentence := true // the next word begins a paragraph or follows a full stop
	breaks := 0
	for i := 0; i < len(s); {
		n, ok := wordRune(s[i:])
		if !ok {
			if s[i] == '\n' {
				breaks++
				sentence = sentence || breaks > 1
			}
			i += n
			continue
		}
		breaks = 0
		start := i
		for i < len(s) {
			if n, ok = wordRune(s[i:]); !ok {
				break
			}
			if (s[i] == '-' || s[i] == '.') && i > start {
				if run := runOf(s[i:]); run >= 3 || run == 2 && s[i] == '-' {
					break
				}
			}
			i += n
		}
		t.piece(s[start:i], prefix, where, sentence && where != inHeader)
		sentence = s[i-1] == '.'
		if i < len(s) && (s[i] == '-' || s[i] == '.') {
			i += runOf(s[i:])
		}
	}
}

// runOf is how often the first byte of s follows itself.
func runOf(s string) int {
	n := 1
	for n < len(s) && s[n] == s[0] {
		n++
	}
	return n
}

// wordRune reports whether s begins with a character of a word, and how long it is.
func wordRune(s string) (n int, ok bool) {
	if c := s[0]; c < utf8.RuneSelf {
		return 1, wordBytes[c]
	}
	r, n := utf8.DecodeRuneInString(s)
	return n, r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

// trimEdges takes off the quotes, dots, commas and dashes around a word.
func trimEdges(w string) string {
	for w != "" && isEdge(w[0]) {
		w = w[1:]
	}
	for w != "" && isEdge(w[len(w)-1]) {
		w = w[:len(w)-1]
	}
	return w
}

func isEdge(c byte) bool { return c == '\'' || c == '"' || c == '-' || c == '.' || c == ',' }

// piece makes tokens of one word with the punctuation around it.
func (t *tokenizer) piece(w, prefix string, where region, sentence bool) {
	w = trimEdges(w)
	if where == inBody {
		w = withoutElision(w)
	}
	if len(w) < minWord {
		return
	}
	n, ascii, upper, punct := look(w)
	if n < minWord {
		return
	}
	t.lower = appendLower(t.lower[:0], w, ascii)
	if stopWords[string(t.lower)] {
		return
	}
	if sentence && upper == 1 && firstUpper(w) {
		// Title Case at the beginning of a sentence is grammar, not style.
		w, upper = string(t.lower), 0
	}
	if where != inHeader {
		if at := strings.IndexByte(w, '@'); at > 0 && at < len(w)-1 {
			t.mailAddress("", w[:at], w[at+1:])
		} else if dottedName(w) {
			t.domain(w)
		}
	}
	if n > maxWord && strings.IndexByte(w, '*') < 0 {
		switch {
		case !ascii && t.withoutSpaces(w, prefix):
			return
		case where == inURI:
			w = clip(w, maxURIToken)
		default:
			w = "sk:" + firstRunes(w, longBegin)
		}
	}
	if where != inHeader && (upper > 0 || punct) {
		t.decompose(w, prefix, upper > 0, punct)
	}
	t.addString(prefix, w)
}

// withoutElision takes the French article or pronoun off its word: "l'offre" says "offre".
func withoutElision(w string) string {
	i := strings.IndexByte(w, '\'')
	if i == 1 && strings.IndexByte("lLdDnNsSjJmMtTcC", w[0]) >= 0 || i == 2 && (w[:2] == "qu" || w[:2] == "Qu") {
		if rest := w[i+1:]; len(rest) >= minWord {
			return rest
		}
	}
	return w
}

// look counts the characters and capitals of a word and finds punctuation.
func look(w string) (runes int, ascii bool, upper int, punct bool) {
	ascii = true
	for _, r := range w {
		runes++
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '_' || r == '*':
		case 'A' <= r && r <= 'Z':
			upper++
		case r < utf8.RuneSelf:
			punct = true
		default:
			ascii = false
			if unicode.IsUpper(r) {
				upper++
			}
		}
	}
	return runes, ascii, upper, punct
}

func firstUpper(w string) bool {
	r, _ := utf8.DecodeRuneInString(w)
	return unicode.IsUpper(r)
}

func appendLower(b []byte, w string, ascii bool) []byte {
	if !ascii {
		return append(b, strings.ToLower(w)...)
	}
	for i := range len(w) {
		c := w[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// decompose adds a word in lower case, without punctuation, and both: "Now!" also says "now!", "Now" and "now".
func (t *tokenizer) decompose(w, prefix string, upper, punct bool) {
	t.lower = appendLower(t.lower[:0], w, false)
	if upper {
		t.add(prefix, t.lower)
	}
	if !punct {
		return
	}
	t.plain = strip(t.plain[:0], w)
	t.add(prefix, t.plain)
	if upper {
		t.plain = strip(t.plain[:0], string(t.lower))
		t.add(prefix, t.plain)
	}
}

// strip appends w without punctuation; colons and stars mark prefixes and stay.
func strip(b []byte, w string) []byte {
	for i := range len(w) {
		if strings.IndexByte(`-,@!'"$.`, w[i]) < 0 {
			b = append(b, w[i])
		}
	}
	return b
}

// dottedName reports a dot between characters, followed by a letter: a host name, more or less.
func dottedName(w string) bool {
	for i := 1; i+1 < len(w); i++ {
		if c := w[i+1] | 0x20; w[i] == '.' && 'a' <= c && c <= 'z' {
			return true
		}
	}
	return false
}

// domain adds a host name and every domain above it.
func (t *tokenizer) domain(name string) {
	t.names("", "UD:", name)
}

// names adds a dotted name and what follows each of its dots, at most ten.
func (t *tokenizer) names(prefix, mark, name string) {
	for range 10 {
		if name == "" {
			return
		}
		t.word = append(append(t.word[:0], mark...), clip(name, maxURIToken)...)
		t.add(prefix, t.word)
		_, rest, more := strings.Cut(name, ".")
		if !more {
			return
		}
		name = rest
	}
}

// mailAddress adds the two sides of an address, and every domain above its own.
func (t *tokenizer) mailAddress(prefix, local, domain string) {
	t.word = append(append(t.word[:0], "U*"...), clip(local, maxURIToken)...)
	t.add(prefix, t.word)
	t.names(prefix, "D*", domain)
}

// withoutSpaces takes a word of a script without spaces apart, two characters at a time; false when it is none.
func (t *tokenizer) withoutSpaces(w, prefix string) bool {
	const cjk = '\u2e80' // radicals: where the scripts of East Asia begin
	found := false
	last := -1
	for i, r := range w {
		if r < cjk {
			last = -1
			continue
		}
		if last >= 0 {
			t.word = append(append(t.word[:0], "u8:"...), w[last:i+utf8.RuneLen(r)]...)
			t.add(prefix, t.word)
			found = true
		}
		last = i
	}
	return found
}

func firstRunes(w string, n int) string {
	for i := range w {
		if n == 0 {
			return w[:i]
		}
		n--
	}
	return w
}

// clip cuts a word to at most limit bytes, between characters.
func clip(w string, limit int) string {
	if len(w) <= limit {
		return w
	}
	for limit > 0 && !utf8.RuneStart(w[limit]) {
		limit--
	}
	return w[:limit]
}
