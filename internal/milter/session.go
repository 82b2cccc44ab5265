package milter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"postern/internal/mail"
)

// session is the conversation with one mail server about one of its clients. The server keeps it for as long as the client is
// there, and asks about every message of that client.
type session struct {
	server *Server
	conn   net.Conn
	in     *bufio.Reader
	buf    []byte // of readPacket
	terms  terms

	client client
	hello  string
	macros map[string]string // of the message, and {client_...} of the connection

	message // under way

	mu       sync.Mutex // of what follows: Serve drains while the session works
	busy     bool       // a message is under way
	draining bool
}

// message is what is gathered of one.
type message struct {
	begun      bool
	envelope   mail.Envelope
	header     []byte // CRLF; fields of ours left out
	body       []byte
	forged     []forgery
	size       int64 // bytes seen
	reserved   int64 // of Server.inFlight
	tooLarge   bool
	noRoom     bool
	recipients int // seen, of which the envelope may hold fewer
}

// forgery counts the fields of one name that only we may write.
type forgery struct {
	name  string
	count int
}

// Macros whose values are kept, and whether they belong to the message.
var macrosKept = map[string]bool{"j": false, "v": false, "client_addr": false, "client_name": false,
	"i": true, "auth_authen": true, "mail_addr": true, "rcpt_addr": true, "tls_version": true}

// maxText bounds names and values that are kept: an SMTP command has no more than 512 bytes, with room for extensions.
const maxText = 2048

var (
	errDraining = errors.New("stopping")
	errOrder    = errors.New("out of order")
)

func newSession(s *Server, conn net.Conn) *session {
	return &session{server: s, conn: conn, in: bufio.NewReaderSize(conn, 4096), macros: make(map[string]string)}
}

// run serves until the server quits, breaks the protocol or ctx ends.
func (x *session) run(ctx context.Context) {
	first := true
	for {
		p, err := x.read()
		if err == nil && first != (p.code == cmdNegotiate) {
			err = fmt.Errorf("%w: command %q", errOrder, p.code)
		}
		var more bool
		if err == nil {
			first = false
			more, err = x.perform(ctx, p)
		}
		if err != nil {
			x.ended(err)
		}
		if err != nil || !more {
			return
		}
	}
}

// ended says why a connection ended, if that is not the ordinary course of things.
func (x *session) ended(err error) {
	var network net.Error
	switch {
	case errors.Is(err, io.EOF) && !x.begun, errors.Is(err, errDraining), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded) && !x.begun:
		return
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		x.server.o.Logger.Info("milter: the mail server left in the middle of a message", "error", err)
	default:
		x.server.o.Logger.Warn("milter: connection ended", "error", err)
	}
	x.server.o.Count("broken")
}

// read waits for the next packet. Between messages it may take long, and stopping ends it.
func (x *session) read() (packet, error) {
	x.mu.Lock()
	if x.draining && !x.busy {
		x.mu.Unlock()
		return packet{}, errDraining
	}
	_ = x.conn.SetReadDeadline(time.Now().Add(x.server.o.Limits.Idle))
	x.mu.Unlock()
	p, buf, err := readPacket(x.in, x.buf, func() { _ = x.conn.SetReadDeadline(time.Now().Add(x.server.o.Limits.Packet)) })
	x.buf = buf
	return p, err
}

// Drain ends the wait for the next message.
func (x *session) Drain() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.draining = true
	if !x.busy {
		_ = x.conn.SetReadDeadline(time.Now())
	}
}

func (x *session) setBusy(busy bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.busy = busy
}

func (x *session) write(b []byte) error {
	_ = x.conn.SetWriteDeadline(time.Now().Add(x.server.o.Limits.Packet))
	_, err := x.conn.Write(b)
	return err
}

// perform does one command. more is false after quit.
func (x *session) perform(ctx context.Context, p packet) (more bool, err error) {
	switch p.code {
	case cmdNegotiate:
		t, answer, err := agree(p.data)
		if err != nil {
			return false, err
		}
		x.terms = t
		return true, x.write(answer)
	case cmdMacro:
		x.macro(p.data)
		return true, nil
	case cmdConnect:
		x.reset()
		if x.client, err = readClient(p.data); err != nil {
			return false, err
		}
	case cmdHello:
		x.hello = clip(first(p.data), maxText)
	case cmdMail:
		x.begin(p.data)
	case cmdRcpt, cmdHeader, cmdBody, cmdEndHeader, cmdEndBody:
		if !x.begun {
			return false, fmt.Errorf("%w: command %q before the envelope", errOrder, p.code)
		}
		if err := x.gather(p); err != nil {
			return false, err
		}
		if p.code == cmdEndBody {
			answer := x.judged(ctx)
			x.reset()
			return true, x.write(answer)
		}
	case cmdData, cmdUnknown:
	case cmdAbort:
		x.reset()
		return true, nil
	case cmdQuitNew:
		x.reset()
		x.client, x.hello, x.macros = client{}, "", make(map[string]string)
		return true, nil
	case cmdQuit:
		return false, nil
	default:
		return false, fmt.Errorf("%w: command %q", errPacket, p.code)
	}
	if x.terms.options&silence[p.code] != 0 {
		return true, nil
	}
	return true, x.write(appendPacket(nil, answerContinue))
}

// macro keeps what the server tells about the command that follows.
func (x *session) macro(data []byte) {
	if len(data) < 2 {
		return
	}
	if data[0] == cmdMail {
		x.forget()
	}
	all := texts(data[1:])
	for i := 0; i+1 < len(all); i += 2 {
		name := strings.Trim(all[i], "{}")
		if _, kept := macrosKept[name]; kept {
			x.macros[name] = clip(all[i+1], maxText)
		}
	}
}

// forget drops the macros of a message.
func (x *session) forget() {
	for name, ofMessage := range macrosKept {
		if ofMessage {
			delete(x.macros, name)
		}
	}
}

// reset drops the message under way.
func (x *session) reset() {
	if x.begun {
		x.forget()
	}
	x.server.inFlight.Add(-x.reserved)
	x.message = message{}
	if cap(x.buf) > 128<<10 {
		x.buf = nil // what one large field took is not kept for the life of the connection
	}
	x.setBusy(false)
}

// begin starts a message: its reverse path and the parameters of MAIL.
func (x *session) begin(data []byte) {
	x.begun = false // the macros are those of this MAIL already
	x.reset()
	x.begun = true
	x.setBusy(true)
	x.envelope.ReversePath = address(first(data), x.macros["mail_addr"])
	all := texts(data)
	for _, parameter := range all[min(1, len(all)):] {
		switch strings.ToUpper(parameter) {
		case "SMTPUTF8":
			x.envelope.SMTPUTF8 = true
		case "BODY=8BITMIME":
			x.envelope.EightBit = true
		}
	}
}

// gather takes one piece of the message.
func (x *session) gather(p packet) error {
	switch p.code {
	case cmdRcpt:
		x.recipients++
		if a := address(first(p.data), x.macros["rcpt_addr"]); !a.IsNull() && len(x.envelope.Recipients) < x.server.o.Limits.Recipients {
			x.envelope.Recipients = append(x.envelope.Recipients, mail.Recipient{Address: a})
		}
		delete(x.macros, "rcpt_addr")
	case cmdHeader:
		name, value, ok := strings.Cut(strings.TrimSuffix(string(p.data), "\x00"), "\x00")
		if !ok || name == "" {
			return fmt.Errorf("%w: a header field without name or value", errPacket)
		}
		x.field(name, value)
	case cmdBody, cmdEndBody: // libmilter allows a last piece in the end itself
		if len(p.data) > 0 && x.room(len(p.data)) {
			x.body = append(x.body, p.data...)
		}
	}
	return nil
}

// room counts n more bytes and reports whether they may be kept. A message that is too large, or for which there is no memory, is
// still read to its end, because the server sends it anyway, and answered then.
func (x *session) room(n int) bool {
	x.size += int64(n)
	switch {
	case x.tooLarge || x.noRoom:
	case x.size > x.server.o.Limits.MessageBytes:
		x.tooLarge = true
	case !x.server.reserve(int64(n)):
		x.noRoom = true
	default:
		x.reserved += int64(n)
		return true
	}
	x.header, x.body = nil, nil
	x.server.inFlight.Add(-x.reserved)
	x.reserved = 0
	return false
}

// ownField begins the names of the fields that only we write.
const ownField = "x-postern-"

// field takes one header field as it will leave: servers fold with LF, and without leadingSpace they take off the space after the colon.
func (x *session) field(name, value string) {
	bare := strings.TrimRight(name, " \t")
	if len(bare) > len(ownField) && strings.EqualFold(bare[:len(ownField)], ownField) {
		for i, f := range x.forged {
			if strings.EqualFold(f.name, bare) {
				x.forged[i].count++
				return
			}
		}
		if len(x.forged) <= maxForged {
			x.forged = append(x.forged, forgery{bare, 1})
		}
		return
	}
	if !x.room(len(name) + len(value) + len(":\r\n")) {
		return
	}
	x.header = append(append(x.header, name...), ':')
	if x.terms.options&leadingSpace == 0 {
		x.header = append(x.header, ' ')
	}
	for i := range len(value) {
		if value[i] == '\n' && (i == 0 || value[i-1] != '\r') {
			x.header = append(x.header, '\r')
		}
		x.header = append(x.header, value[i])
	}
	x.header = append(x.header, '\r', '\n')
}

// first is the first NUL-ended string of data.
func first(data []byte) string {
	if all := texts(data); len(all) > 0 {
		return all[0]
	}
	return ""
}

// address reads an address of the envelope: as the client gave it, else as the server completed it (a local user's name). What is
// neither is null, and the tests that need it say so.
func address(given, completed string) mail.Address {
	for _, s := range []string{given, completed} {
		s = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "<"), ">")
		if a, err := mail.ParseAddress(s); err == nil {
			return a
		}
		if s == "" {
			break
		}
	}
	return mail.Address{}
}

// clip bounds text from outside.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// clientAddr is the address of the mail server's client: what the macro says, else the connect command.
func (x *session) clientAddr() netip.Addr {
	if a, ok := readAddr(x.macros["client_addr"]); ok {
		return a
	}
	return x.client.addr
}
