package smtp

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// Sizes of the read buffers, in bytes. An idle connection holds the small one; the large one is borrowed for message
// data and for lines that do not fit.
const (
	smallBuffer = 4 << 10
	largeBuffer = 64 << 10
	// maxDiscard is how much of one over-long line is read and thrown away while looking for its end. A peer that goes on
	// is flooding, not mistyping.
	maxDiscard = 1 << 20
)

// Errors of LineReader.ReadLine. After ErrLongLine, ErrBareCR and ErrBareLF the reader stands behind the bad line and
// can be used on; after ErrFlood it cannot.
var (
	// ErrLongLine: the line, with its line end, is longer than asked for. It was discarded.
	ErrLongLine = errors.New("line too long")
	// ErrBareLF: the line ended with LF alone (RFC 5321 2.3.8 knows only CRLF). The line is returned all the same.
	ErrBareLF = errors.New("line ends with a bare LF")
	// ErrBareCR: a CR that is not followed by LF stands inside the line. The line is returned all the same.
	ErrBareCR = errors.New("bare CR inside a line")
	// ErrFlood: more than 1 MiB came without a line end.
	ErrFlood = errors.New("line without end")
)

// LineReader is the only thing in this package that reads from a connection. It hands out lines in bounded memory
// whatever the peer sends. It is not safe for concurrent use.
type LineReader struct {
	src    io.Reader
	buf    []byte
	r, w   int
	total  int64        // bytes read from src so far
	before func() error // called before every blocking Read: flushes pending output, sets the deadline
	small  *[]byte      // the pooled small buffer, nil while a large one is in use
	large  *[]byte      // the pooled large buffer, nil while the small one is in use
	// keepLarge holds on to the large buffer while message data is read.
	keepLarge bool
}

// bufferPools lend read buffers; they hold no protocol state.
var (
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	largeBuffers = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

// NewLineReader reads from src. before, which may be nil, is called each time just before the reader would block in
// src.Read; an error it returns ends the read.
func NewLineReader(src io.Reader, before func() error) *LineReader {
	l := &LineReader{src: src, before: before}
	l.small = smallBuffers.Get().(*[]byte)
	l.buf = *l.small
	return l
}

// Release gives the buffers back. The reader must not be used afterwards.
func (l *LineReader) Release() {
	if l.small != nil {
		smallBuffers.Put(l.small)
		l.small = nil
	}
	if l.large != nil {
		largeBuffers.Put(l.large)
		l.large = nil
	}
	l.buf, l.r, l.w = nil, 0, 0
}

// Reset drops everything buffered and reads from src from now on: what STARTTLS needs (RFC 3207 section 4.2).
func (l *LineReader) Reset(src io.Reader) {
	l.src, l.r, l.w = src, 0, 0
}

// Buffered is the number of bytes read from the peer and not handed out yet.
func (l *LineReader) Buffered() int { return l.w - l.r }

// ReadLine returns the next line without its line end; the slice is valid until the next call. max counts the whole
// line in bytes, CRLF included, and may not exceed 64 KiB. See ErrLongLine, ErrBareLF, ErrBareCR and ErrFlood; other errors
// are those of the connection. A last line cut off by the end of the stream is io.ErrUnexpectedEOF.
func (l *LineReader) ReadLine(max int) ([]byte, error) {
	seen := 0 // bytes of the window already searched
	for {
		window := l.buf[l.r:l.w]
		if i := bytes.IndexByte(window[seen:], '\n'); i >= 0 {
			end := seen + i
			line := window[:end]
			l.r += end + 1
			if end+1 > max {
				return nil, ErrLongLine
			}
			if end == 0 || line[end-1] != '\r' {
				return line, ErrBareLF
			}
			line = line[:end-1]
			if bytes.IndexByte(line, '\r') >= 0 {
				return line, ErrBareCR
			}
			return line, nil
		}
		seen = len(window)
		if seen >= max {
			return nil, l.discardLine(seen)
		}
		if err := l.fill(); err != nil {
			if err == io.EOF && l.Buffered() > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// discardLine reads up to and including the next LF, keeping nothing.
func (l *LineReader) discardLine(dropped int) error {
	l.r, l.w = 0, 0
	for dropped < maxDiscard {
		if err := l.fill(); err != nil {
			return err
		}
		if i := bytes.IndexByte(l.buf[:l.w], '\n'); i >= 0 {
			l.r = i + 1
			return ErrLongLine
		}
		dropped += l.w
		l.r, l.w = 0, 0
	}
	return ErrFlood
}

// Peek returns the next byte without taking it.
func (l *LineReader) Peek() (byte, error) {
	if l.r == l.w {
		if err := l.fill(); err != nil {
			return 0, err
		}
	}
	return l.buf[l.r], nil
}

// fill reads once from the peer behind what is buffered, making room first. On return without error at least one more
// byte is buffered.
func (l *LineReader) fill() error {
	if l.r == l.w {
		l.r, l.w = 0, 0
		l.shrink()
	} else if l.w == len(l.buf) {
		if l.r > 0 {
			l.w = copy(l.buf, l.buf[l.r:l.w])
			l.r = 0
		} else if !l.grow() {
			return ErrFlood
		}
	}
	if l.before != nil {
		if err := l.before(); err != nil {
			return err
		}
	}
	for range 100 {
		n, err := l.src.Read(l.buf[l.w:])
		if n > 0 {
			l.w += n
			l.total += int64(n)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// grow moves the window into a large buffer; false when it is there already.
func (l *LineReader) grow() bool {
	if l.large != nil {
		return false
	}
	l.large = largeBuffers.Get().(*[]byte)
	l.w = copy(*l.large, l.buf[l.r:l.w])
	l.r = 0
	l.buf = *l.large
	smallBuffers.Put(l.small)
	l.small = nil
	return true
}

// shrink goes back to the small buffer; the window must be empty.
func (l *LineReader) shrink() {
	if l.large == nil || l.keepLarge {
		return
	}
	l.small = smallBuffers.Get().(*[]byte)
	l.buf = *l.small
	largeBuffers.Put(l.large)
	l.large = nil
}
