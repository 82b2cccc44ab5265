package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"regexp"
	"strings"
)

// scanLimit is the size of a message above which scan reads no further, in bytes: what large receivers take, with room.
const scanLimit = 100 << 20

// letter is one message to work on, or why it could not be read.
type letter struct {
	name string // the file, and "#3" for the third message of a mailbox
	raw  []byte
	err  error
}

// letters reads one message after the other from files, from the files of folders and from standard input. Mailboxes (a name that ends in
// .mbox, or everything when mbox is set) hold several.
func (c *command) letters(args []string, mbox bool) (iter.Seq[letter], error) {
	files, err := messageFiles(args)
	if err != nil {
		return nil, err
	}
	return func(yield func(letter) bool) {
		for _, name := range files {
			if !c.file(name, mbox || strings.HasSuffix(strings.ToLower(name), ".mbox"), yield) {
				return
			}
		}
	}, nil
}

// file yields the messages of one file; it answers whether more is wanted.
func (c *command) file(name string, mbox bool, yield func(letter) bool) bool {
	r := c.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return yield(letter{name: name, err: err})
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	if r == nil {
		return yield(letter{name: name, err: errors.New("-: there is no standard input")})
	}
	if mbox {
		return mailbox(name, r, yield)
	}
	raw, err := io.ReadAll(io.LimitReader(r, scanLimit+1))
	return yield(checked(name, raw, err))
}

// checked refuses what is no message to work on.
func checked(name string, raw []byte, err error) letter {
	switch {
	case err != nil:
		err = fmt.Errorf("%s: %w", name, err)
	case len(raw) > scanLimit:
		err = fmt.Errorf("%s: is larger than %s, the most that is read of one message", name, size(scanLimit))
	case len(bytes.TrimSpace(raw)) == 0:
		err = fmt.Errorf("%s: is empty; expected a message", name)
	default:
		return letter{name: name, raw: raw}
	}
	return letter{name: name, err: err}
}

// separator is the line that begins each message of a mailbox (RFC 4155): an address and a date. A sentence that begins with "From "
// has neither.
var separator = regexp.MustCompile(`^From \S+ .*\d\d:\d\d.*\d{4}`)

// quotedFrom is a line of a message that would look like a separator (the "mboxrd" form).
var quotedFrom = regexp.MustCompile(`^>+From `)

// mailbox yields the messages of a mailbox, reading it once.
func mailbox(name string, r io.Reader, yield func(letter) bool) bool {
	lines, raw, n, blank, whole := bufio.NewReaderSize(r, 64<<10), []byte(nil), 0, true, true
	end := func(err error) bool {
		n++
		m := checked(fmt.Sprintf("%s#%d", name, n), raw, err)
		raw = nil
		return yield(m)
	}
	for {
		line, err := lines.ReadSlice('\n')
		begins := blank && separator.Match(line)
		switch {
		case begins && len(bytes.TrimSpace(raw)) > 0:
			if !end(nil) {
				return false
			}
		case begins:
			raw = nil
		case len(raw) <= scanLimit: // what is longer is refused when it ends
			if whole && quotedFrom.Match(line) {
				line = line[1:]
			}
			raw = append(raw, line...)
		}
		blank = whole && len(bytes.TrimRight(line, "\r\n")) == 0
		whole = !errors.Is(err, bufio.ErrBufferFull) // a longer line comes in pieces
		switch {
		case err == nil || errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return len(bytes.TrimSpace(raw)) == 0 && n > 0 || end(nil)
		default:
			return end(err)
		}
	}
}

// wireForm drops the "From " line and makes every line end CRLF; a lone CR stays, it is a fault of the message.
func wireForm(raw []byte) []byte {
	if bytes.HasPrefix(raw, []byte("From ")) {
		if end := bytes.IndexByte(raw, '\n'); end >= 0 {
			raw = raw[end+1:]
		}
	}
	out := make([]byte, 0, len(raw)+bytes.Count(raw, []byte{'\n'}))
	for i, b := range raw {
		if b == '\n' && (i == 0 || raw[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, b)
	}
	return out
}
