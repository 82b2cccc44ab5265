package spamd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Bounds of a request's lines. Real ones have a verb and at most seven header lines of a few words.
const (
	maxLine  = 1024 // bytes with the line end
	maxLines = 32
)

// The numbers of answers (sysexits.h; 79 is spamd's own).
const (
	exOK          = 0
	exDataErr     = 65
	exUnavailable = 69
	exSoftware    = 70
	exTempFail    = 75
	exProtocol    = 76
	exNoPerm      = 77
	exTimeout     = 79
)

var exNames = map[int]string{exOK: "EX_OK", exDataErr: "EX_DATAERR", exUnavailable: "EX_UNAVAILABLE", exSoftware: "EX_SOFTWARE",
	exTempFail: "EX_TEMPFAIL", exProtocol: "EX_PROTOCOL", exNoPerm: "EX_NOPERM", exTimeout: "EX_TIMEOUT"}

// Verbs.
const (
	verbCheck        = "CHECK"
	verbSymbols      = "SYMBOLS"
	verbReport       = "REPORT"
	verbReportIfSpam = "REPORT_IFSPAM"
	verbProcess      = "PROCESS"
	verbHeaders      = "HEADERS"
	verbTell         = "TELL"
	verbPing         = "PING"
	verbSkip         = "SKIP"
)

var requestLine = regexp.MustCompile(`^(CHECK|SYMBOLS|REPORT|REPORT_IFSPAM|PROCESS|HEADERS|TELL|PING|SKIP) SPAMC/([0-9]{1,3})\.([0-9]{1,3})$`)

// request is what a client asks, without the message.
type request struct {
	verb       string
	version    int    // of the client's protocol: 1005 is 1.5
	user       string // as given; it may name no customer
	length     int64  // bytes of the message as sent; -1: until the client closes its side
	compressed bool   // zlib
	class      string // TELL: "spam", "ham" or ""
	set        bool   // TELL: learn here
	remove     bool   // TELL: forget here
}

// fault is a refusal: a number of sysexits.h and one line.
type fault struct {
	code int
	text string
}

// Error is the line without the number.
func (f *fault) Error() string { return f.text }

func protocol(format string, args ...any) error {
	return &fault{exProtocol, fmt.Sprintf(format, args...)}
}

// refusal is the answer that carries a fault.
func refusal(code int, text string) []byte {
	return fmt.Appendf(nil, "SPAMD/1.1 %d %s: %s\r\n\r\n", code, exNames[code], text)
}

// readRequest reads the lines before the message. started is called when the first byte is there. io.EOF means that the client
// left without asking.
func readRequest(r *bufio.Reader, started func()) (request, error) {
	q := request{length: -1}
	if _, err := r.Peek(1); err != nil {
		return q, err
	}
	started()
	line, err := readLine(r)
	if err != nil {
		return q, err
	}
	parts := requestLine.FindStringSubmatch(line)
	if parts == nil {
		return q, protocol("bad request line; expected a verb and SPAMC/1.5")
	}
	major, _ := strconv.Atoi(parts[2]) // three digits at most
	minor, _ := strconv.Atoi(parts[3])
	q.verb, q.version = parts[1], 1000*major+minor
	if q.verb == verbPing || q.verb == verbSkip {
		return q, nil // real clients send no header with these, and wait
	}
	seen := make(map[string]bool)
	for n := 0; ; n++ {
		line, err := readLine(r)
		if err != nil {
			return q, err
		}
		if line == "" {
			return q, q.complete()
		}
		if n == maxLines {
			return q, protocol("more than %d header lines", maxLines)
		}
		name, value, ok := strings.Cut(line, ":")
		if name = strings.ToLower(name); !ok || name == "" || strings.ContainsAny(name, " \t") {
			return q, protocol("bad header line; expected a name, a colon and a value")
		}
		if seen[name] {
			return q, protocol("a header line is there twice")
		}
		seen[name] = true
		if err := q.header(name, strings.Trim(value, " \t")); err != nil {
			return q, err
		}
	}
}

// header takes one header line. What is not known is passed over: newer clients may say more.
func (q *request) header(name, value string) error {
	switch name {
	case "content-length":
		n, err := strconv.ParseUint(value, 10, 62)
		if err != nil || strings.HasPrefix(value, "+") {
			return protocol("bad Content-length; expected a number of bytes")
		}
		q.length = int64(n)
	case "user":
		q.user = value
	case "compress":
		if !strings.EqualFold(value, "zlib") {
			return protocol("unknown compression; expected zlib")
		}
		q.compressed = true
	case "message-class":
		if q.class = strings.ToLower(value); q.class != "spam" && q.class != "ham" {
			return protocol("bad Message-class; expected spam or ham")
		}
	case "set":
		return places(value, &q.set)
	case "remove":
		return places(value, &q.remove)
	}
	return nil
}

// places reads where to set or remove: here ("local"), or at services that collect such messages ("remote"), of which we know none.
func places(value string, local *bool) error {
	for p := range strings.SplitSeq(value, ",") {
		switch strings.ToLower(strings.Trim(p, " \t")) {
		case "local":
			*local = true
		case "remote":
		default:
			return protocol("bad Set or Remove; expected local or remote")
		}
	}
	return nil
}

// complete checks what single lines cannot tell.
func (q *request) complete() error {
	switch {
	case q.verb != verbTell:
		return nil
	case q.set && q.class == "":
		return protocol("Set without Message-class; expected spam or ham")
	case q.set && q.remove:
		return protocol("Set and Remove of the same place; expected one of them")
	}
	return nil
}

// readLine reads one line without its end, CRLF or LF.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", protocol("a line of more than %d bytes", maxLine)
	case errors.Is(err, io.EOF):
		return "", protocol("the request ends in the middle")
	case err != nil:
		return "", err
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
	if bytes.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return "", protocol("a control character in a line")
	}
	return string(line), nil
}
