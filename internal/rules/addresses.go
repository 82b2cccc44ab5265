package rules

import (
	"bytes"
	"regexp"
	"strings"

	"postern/internal/mail"
)

// mailbox is one entry of an address field: what :addr and :name are about.
type mailbox struct {
	address             string // as written, "" if there is none
	phrase              string
	hasAddress, hasName bool
}

const (
	quotedText = `"(?:[^"\\]++|\\.)*+"`
	looseBox   = `(?:` + quotedText + `|[^@\s<>()\[\],:;]+)@(?:[^"\s<>()\[\],:;]+|\[[\d:.]+\])`
	boxPhrase  = `((?:` + quotedText + `|[^",;<]++)+)`
)

var (
	// boxEntry is an entry up to the comma or semicolon behind it: 1 phrase and 2 what stands in angle brackets, or 3 an address alone, or
	// 4 words alone; then 5 a comment.
	boxEntry = mustBounded(`^\s*(?:(?:`+boxPhrase+`\s*)?<\s*([^>@]*\S+|\s*)\s*>(?:\s*<\s*(?:(?:`+quotedText+`)?\S+|\s*)\s*>)*|(?:(`+looseBox+`)|`+boxPhrase+
		`))(?:\s*\(((?:[^()\\]++|\\.)*+)\))?\s*(?:[,;]|\z)`, "i")
	boxShape    = mustMatcher(`^(?:`+looseBox+`)$`, "i")
	boxAngle    = mustBounded(`<(`+looseBox+`)>`, "i")
	boxComment  = mustMatcher(`\((?:[^()\\]++|\\.)*+\)`, "")
	phrasePiece = mustMatcher(`"((?:[^"\\]++|\\.)*+)"|([^"]++)`, "i")
	quotedName  = regexp.MustCompile(`^'(.*?)'$`)
)

// mostMailboxes bounds the entries of one field. A field is at most 8,192 bytes.
const mostMailboxes = 1000

// parseMailboxes reads a field as leniently as SpamAssassin: what it cannot read it leaves out. Nested comments, and fields in which it finds
// less than there are commas, it leaves to the stricter parser of the mail room if that finds more.
func parseMailboxes(line string) []mailbox {
	if strings.Trim(line, spaces) == "" {
		return nil
	}
	if box, ok := plainMailbox(line); ok {
		return []mailbox{box}
	}
	list := looseMailboxes(line)
	nested := strings.Count(line, "(") >= 2
	if nested || len(list) < strings.Count(line, ",")+1 {
		if strict := strictMailboxes(line); nested && len(strict) > 0 || len(strict) > len(list) {
			return strict
		}
	}
	return list
}

// plainMailbox reads the usual forms, a@b, Name <a@b> and "Name" <a@b>, without comments, escapes or lists.
func plainMailbox(line string) (box mailbox, ok bool) {
	line = strings.Trim(line, spaces)
	if strings.ContainsAny(line, `\()[],;:`) {
		return box, false
	}
	name, rest, angle := strings.Cut(line, "<")
	address := line
	if angle {
		if address = strings.TrimSuffix(rest, ">"); len(address) == len(rest) || strings.ContainsAny(address, "<>") {
			return box, false
		}
		if strings.HasPrefix(name, `"`) && strings.Count(name, `"`) == 2 {
			name = strings.Replace(name, `"`, "", 2)
		} else if strings.Contains(name, `"`) {
			return box, false
		}
		box.phrase, box.hasName = name, name != "" && name != address
	}
	if at := strings.IndexByte(address, '@'); at <= 0 || at == len(address)-1 || strings.Count(address, "@") != 1 || strings.ContainsAny(address, "\"<> \t\n\r\v\f") {
		return mailbox{}, false
	}
	box.address, box.hasAddress = address, true
	return box, true
}

// looseMailboxes reads entry by entry.
func looseMailboxes(line string) []mailbox {
	b := []byte(strings.TrimRight(strings.ReplaceAll(line, `\\`, ""), spaces))
	b = withoutGroup(b)
	if len(bytes.Trim(b, spaces)) == 0 {
		return nil
	}
	var list []mailbox
	for len(b) > 0 && len(list) < mostMailboxes {
		loc, ok, _ := boxEntry.Find(b, 0)
		if !ok || loc[1] == 0 {
			break
		}
		group := func(n int) (string, bool) {
			if loc[2*n] < 0 {
				return "", false
			}
			return string(b[loc[2*n]:loc[2*n+1]]), true
		}
		list = append(list, entry(group))
		b = b[loc[1]:]
	}
	if bytes.IndexByte(b, '@') < 0 {
		return list
	}
	for at := 0; len(list) < mostMailboxes; {
		loc, ok, _ := boxAngle.Find(b, at)
		if !ok {
			break
		}
		at = loc[1]
		if a := string(b[loc[2]:loc[3]]); saneQuotes(a) {
			list = append(list, mailbox{address: oneAt(a), hasAddress: true})
		}
	}
	return list
}

// withoutGroup takes the name of a group ("friends: a@b, c@d;") off.
func withoutGroup(b []byte) []byte {
	end := bytes.IndexAny(b, `"()<>`)
	if end < 0 {
		end = len(b)
	}
	colon := bytes.LastIndexByte(b[:end], ':')
	if colon <= 0 {
		return b
	}
	if b = bytes.TrimLeft(b[colon+1:], spaces); len(b) > 0 && b[0] == ';' {
		return nil
	}
	return b
}

// entry makes a mailbox of the groups of boxEntry.
func entry(group func(int) (string, bool)) mailbox {
	var box mailbox
	inAngle := false
	if box.phrase, box.hasName = group(1); !box.hasName {
		box.phrase, box.hasName = group(4)
	}
	if box.address, inAngle = group(2); inAngle {
		box.address = replaceAll(boxComment, box.address, "")
		box.hasAddress = boxShape.matches(box.address)
	} else {
		box.address, box.hasAddress = group(3)
	}
	box.hasAddress = box.hasAddress && saneQuotes(box.address)
	if box.hasName {
		box.phrase = unquotePhrase(box.phrase)
		switch at := strings.IndexByte(box.phrase, '@'); {
		case !box.hasAddress && at >= 0 && boxShape.matches(box.phrase) && saneQuotes(box.phrase) && fqdnValid(asciiHost(beforeAt(box.phrase[at+1:]))):
			box.address, box.hasAddress, box.hasName = box.phrase, true, false
		case box.phrase == "" || box.hasAddress && box.phrase == box.address:
			box.hasName = false
		}
	}
	if comment, ok := group(5); ok && !box.hasName {
		box.phrase, box.hasName = comment, true
	}
	if box.hasAddress {
		box.address = oneAt(box.address)
	}
	return box
}

func beforeAt(s string) string {
	s, _, _ = strings.Cut(s, "@")
	return s
}

// oneAt cuts an address before its second @.
func oneAt(s string) string {
	local, rest, ok := strings.Cut(s, "@")
	if !ok {
		return s
	}
	return local + "@" + beforeAt(rest)
}

// saneQuotes refuses what only mistakes leave behind: "" before the @, a single quote sign.
func saneQuotes(s string) bool {
	return !strings.HasPrefix(s, `""@`) && strings.Count(s, `"`) != 1
}

// unquotePhrase takes quote signs and what they protect apart, and comments out.
func unquotePhrase(s string) string {
	if !strings.ContainsAny(s, `"(`) {
		return s
	}
	var out strings.Builder
	b := []byte(s)
	for at := 0; at < len(b); {
		loc, ok, _ := phrasePiece.Find(b, at)
		if !ok || loc[1] == at {
			break
		}
		if loc[2] >= 0 {
			out.WriteString(strings.ReplaceAll(string(b[loc[2]:loc[3]]), `\`, ""))
		} else {
			out.WriteString(replaceAll(boxComment, string(b[loc[4]:loc[5]]), ""))
		}
		at = loc[1]
	}
	return out.String()
}

// replaceAll puts with in place of every match.
func replaceAll(m *matcher, s, with string) string {
	b := []byte(s)
	var out []byte
	from := 0
	for at := 0; at <= len(b); {
		loc, ok, _ := m.Find(b, at)
		if !ok {
			break
		}
		out = append(append(out, b[from:loc[0]]...), with...)
		from = loc[1]
		at = max(loc[1], at+1)
	}
	if from == 0 {
		return s
	}
	return string(append(out, b[from:]...))
}

// strictMailboxes reads with the parser of the mail room.
func strictMailboxes(line string) []mailbox {
	boxes, _ := mail.ParseMailboxes(unfold(strings.ReplaceAll(strings.TrimSpace(line), "\n", " ")))
	var list []mailbox
	for _, b := range boxes {
		a := boxAddress(b)
		list = append(list, mailbox{address: a, hasAddress: a != "", phrase: b.Name, hasName: b.Name != ""})
	}
	return list
}

// mailboxes reads a field once.
func (v *View) mailboxes(line string) []mailbox {
	list, ok := v.boxes[line]
	if !ok {
		if v.boxes == nil {
			v.boxes = map[string][]mailbox{}
		}
		list = parseMailboxes(line)
		v.boxes[line] = list
	}
	return list
}

// addresses returns the addresses or the display names of address fields.
func (v *View) addresses(lines []string, r request) []string {
	var out []string
	for _, line := range lines {
		for _, box := range v.mailboxes(line) {
			switch {
			case r.addr:
				if box.hasAddress {
					out = append(out, box.address)
				}
			case !box.hasName:
			case r.raw:
				out = append(out, box.phrase)
			default:
				name := decodeHeader(box.phrase, "")
				if words := strings.FieldsFunc(name, isASCIISpace); len(words) > 0 {
					name = quotedName.ReplaceAllString(strings.Join(words, " "), "$1")
				}
				out = append(out, name)
			}
		}
	}
	return out
}

func isASCIISpace(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }
