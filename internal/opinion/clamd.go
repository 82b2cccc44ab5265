package opinion

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ClamdOptions say where clamd is. Zero values take the defaults of this package.
type ClamdOptions struct {
	Address     string        // "unix:/run/clamav/clamd.ctl" or "host:port"
	Timeout     time.Duration // one question from its first byte to the answer, waiting for a connection included
	MaxSize     int64         // bytes of a message; larger ones are ErrTooLarge. clamd's own bound is its StreamMaxLength
	Connections int           // at one time; clamd's MaxThreads is a good measure
}

// Clamd asks a ClamAV daemon. It is safe for concurrent use.
type Clamd struct {
	o             ClamdOptions
	network, addr string
	gate          gate
}

const (
	clamdChunk  = 128 << 10 // bytes sent at a time
	clamdAnswer = 4 << 10   // bytes of an answer read
	signature   = 200       // bytes of a signature's name kept
)

// NewClamd checks the options. It connects to nothing.
func NewClamd(o ClamdOptions) (*Clamd, error) {
	network, addr, err := clamdAddress(o.Address)
	if err != nil {
		return nil, fmt.Errorf("clamd: %w", err)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	return &Clamd{o: o, network: network, addr: addr, gate: newGate(o.Connections)}, nil
}

// CheckClamdAddress reports what is wrong with an address of clamd.
func CheckClamdAddress(s string) error {
	_, _, err := clamdAddress(s)
	return err
}

func clamdAddress(s string) (network, addr string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !filepath.IsAbs(path) || len(path) > 107 || strings.ContainsRune(path, 0) { // sun_path holds 108 bytes
			return "", "", errors.New("the socket's path is not absolute or too long")
		}
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", "", errors.New("neither a socket nor an address with a port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", errors.New("the port is no number from 1 to 65535")
	}
	return "tcp", s, checkHost(host)
}

func (c *Clamd) fail(kind error, detail string, cause error) *Error {
	return &Error{Scanner: "clamd", Kind: kind, Detail: detail, Cause: cause}
}

// Ask sends the message and waits for the answer. Every error is an *Error.
func (c *Clamd) Ask(ctx context.Context, q Question) (Answer, error) {
	if int64(len(q.Raw)) > c.o.MaxSize {
		return Answer{}, c.fail(ErrTooLarge, fmt.Sprintf("%d bytes, at most %d are sent", len(q.Raw), c.o.MaxSize), nil)
	}
	text, err := c.talk(ctx, func(w net.Conn) error { return stream(w, q.Raw) })
	if err != nil {
		return Answer{}, err
	}
	return c.parse(text)
}

// Version asks clamd whether it is there and returns what it says of itself: version, number and date of its signatures.
func (c *Clamd) Version(ctx context.Context) (string, error) {
	command := func(text string) (string, error) {
		return c.talk(ctx, func(w net.Conn) error {
			_, err := io.WriteString(w, text)
			return err
		})
	}
	pong, err := command("zPING\x00")
	if err != nil {
		return "", err
	}
	if pong != "PONG" {
		return "", c.fail(ErrProtocol, fmt.Sprintf("PING was answered %q", word(pong, signature)), nil)
	}
	version, err := command("zVERSION\x00")
	return word(version, signature), err
}

// talk opens a connection, sends, and reads one answer that ends in NUL.
func (c *Clamd) talk(ctx context.Context, send func(net.Conn) error) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	if err := c.gate.enter(ctx); err != nil {
		return "", c.fail(ErrUnavailable, "", err)
	}
	defer c.gate.leave()
	conn, err := plainDialer().DialContext(ctx, c.network, c.addr)
	if err != nil {
		return "", c.fail(ErrUnavailable, "", err)
	}
	defer func() { _ = conn.Close() }()
	// The end of the time, or of the caller's patience, wakes whatever waits for the network.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	sent := send(conn)
	// clamd answers before the end and closes when the message is too long for it: what it said then counts more than that it
	// did not listen.
	answer, err := readAnswer(conn)
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() != nil:
		return "", c.fail(ErrUnavailable, fmt.Sprintf("not within %s", c.o.Timeout), ctx.Err())
	case errors.Is(err, errLongAnswer):
		return "", c.fail(ErrProtocol, "", err)
	case sent != nil:
		return "", c.fail(ErrUnavailable, "", sent)
	}
	return "", c.fail(ErrUnavailable, "", err)
}

// stream is the command INSTREAM: chunks behind their lengths, then one of length zero (clamd(8)).
func stream(w net.Conn, raw []byte) error {
	if _, err := io.WriteString(w, "zINSTREAM\x00"); err != nil {
		return err
	}
	for len(raw) > 0 {
		n := min(len(raw), clamdChunk)
		chunk := net.Buffers{binary.BigEndian.AppendUint32(nil, uint32(n)), raw[:n]}
		if _, err := chunk.WriteTo(w); err != nil {
			return err
		}
		raw = raw[n:]
	}
	_, err := w.Write([]byte{0, 0, 0, 0})
	return err
}

var errLongAnswer = errors.New("the answer does not end")

// readAnswer reads up to the first NUL. An answer that breaks off is none: half a word must not pass for the whole.
func readAnswer(r io.Reader) (string, error) {
	buf := make([]byte, clamdAnswer)
	n := 0
	for n < len(buf) {
		k, err := r.Read(buf[n:])
		if i := bytes.IndexByte(buf[n:n+k], 0); i >= 0 {
			return string(buf[:n+i]), nil
		}
		n += k
		if err != nil {
			return "", fmt.Errorf("the connection ended before an answer: %w", err)
		}
	}
	return "", errLongAnswer
}

// parse reads "stream: OK", "stream: NAME FOUND" or "... ERROR".
func (c *Clamd) parse(text string) (Answer, error) {
	said := func() string { return fmt.Sprintf("it said %q", word(text, signature)) }
	if strings.HasPrefix(text, "INSTREAM size limit exceeded") {
		return Answer{}, c.fail(ErrTooLarge, said()+"; see its StreamMaxLength", nil)
	}
	if strings.HasSuffix(text, " ERROR") {
		return Answer{}, c.fail(ErrUnavailable, said(), nil)
	}
	rest, ok := strings.CutPrefix(text, "stream: ")
	if ok && rest == "OK" {
		return Answer{}, nil
	}
	if name, found := strings.CutSuffix(rest, " FOUND"); ok && found && strings.TrimSpace(name) != "" {
		return Answer{Signature: word(name, signature)}, nil
	}
	return Answer{}, c.fail(ErrProtocol, said(), nil)
}
