package report

import "bytes"

// maxMessages is how many messages of a mailbox are read.
const maxMessages = 100_000

// SplitMailbox returns the messages of a mailbox in the mbox form (RFC 4155 and its relatives): each begins with a line "From …" that stands at the
// beginning, after an empty line or after the end of a multipart. ">From " inside a message is left as it is. What does not begin with such a line is one message; the parts are slices of
// raw. Linear in len(raw).
func SplitMailbox(raw []byte) [][]byte {
	if !separator(raw) {
		return [][]byte{raw}
	}
	var out [][]byte
	begin := afterLine(raw, 0)
	for at := begin; at < len(raw) && len(out) < maxMessages-1; {
		i := bytes.Index(raw[at:], []byte("\nFrom "))
		if i < 0 {
			break
		}
		at += i + 1
		if !emptyBefore(raw, at) || !separator(raw[at:]) {
			continue
		}
		out = append(out, raw[begin:at])
		begin = afterLine(raw, at)
		at = begin
	}
	return append(out, raw[begin:])
}

// separator reports whether data begins with the line before a message: "From address date", the date with a time and a year.
func separator(data []byte) bool {
	if !bytes.HasPrefix(data, []byte("From ")) {
		return false
	}
	line, _, _ := bytes.Cut(data[:min(len(data), 500)], []byte("\n"))
	time, year := false, false
	for _, word := range bytes.Fields(line) {
		time = time || len(word) >= 4 && isDigit(word[0]) && bytes.IndexByte(word, ':') > 0 && isDigit(word[len(word)-1])
		year = year || len(word) == 4 && (string(word[:2]) == "19" || string(word[:2]) == "20") && isDigit(word[2]) && isDigit(word[3])
	}
	return time && year && line[len("From ")] != ' '
}

func afterLine(data []byte, at int) int {
	if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(data)
}

// emptyBefore reports whether the line before a position is empty, or ends a message as programs write it that forget the empty line: a final boundary.
func emptyBefore(data []byte, at int) bool {
	before := bytes.TrimSuffix(data[:at-1], []byte("\r"))
	if len(before) == 0 || before[len(before)-1] == '\n' {
		return true
	}
	line := before[max(bytes.LastIndexByte(before[max(0, len(before)-300):], '\n')+1+max(0, len(before)-300), 0):]
	return len(line) > 4 && bytes.HasPrefix(line, []byte("--")) && bytes.HasSuffix(line, []byte("--"))
}
