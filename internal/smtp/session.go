package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// state is where a session stands in RFC 5321. Every command names the states in which it is allowed.
type state uint8

const (
	stateNew    state = iota // no EHLO or HELO since the connection or STARTTLS
	stateReady               // greeted, no transaction
	stateMail                // MAIL accepted, no recipient yet
	stateRcpt                // at least one recipient
	stateChunks              // BDAT begun, not LAST
)

// phase is what the session goroutine is waiting for, as far as deadlines and the drain are concerned.
type phase uint8

const (
	phaseCommand phase = iota // a command: the drain may interrupt it
	phaseBetween              // the next BDAT of a message: as a command, but the drain lets it come
	phaseData                 // message data: the drain lets it finish
)

// errDraining ends the wait for a command when the server shuts down.
var errDraining = errors.New("server is draining")

// outFlush is how many bytes of replies may gather before they are sent although the client still has commands pending.
const outFlush = 4 << 10

// session is one connection. All but mu's fields belong to its goroutine.
type session struct {
	srv     *Server
	group   *group
	raw     net.Conn // as accepted
	conn    net.Conn // raw, or TLS over it
	in      *LineReader
	out     []byte // replies not sent yet
	c       *Conn
	handler Session
	ends    time.Time // by SessionTimeout

	state  state
	tx     *Transaction // nil but in stateMail, stateRcpt, stateChunks
	chunks *collector   // nil but in stateChunks
	nchunk int          // BDAT commands of this transaction

	closing  bool // close after the replies are sent
	quit     bool // the client said QUIT: it expects nothing more
	silent   bool // close without another word
	commands int  // command lines read
	messages int  // MAIL commands accepted
	errs     int  // client errors since the last accepted message
	junk     int  // commands that move no mail since the last accepted message
	refused  int  // recipients refused since the last accepted message
	authFail int
	base     int64 // bytes read from the client before the current data

	mu       sync.Mutex
	phase    phase
	deadline time.Time // of the current command
	begun    time.Time // of the current data
}

func newSession(srv *Server, g *group, conn net.Conn, c *Conn, now time.Time) *session {
	return &session{srv: srv, group: g, raw: conn, conn: conn, c: c, ends: now.Add(srv.limits.SessionTimeout)}
}

// run is the life of a session. A panic below it ends this connection only.
func (s *session) run() {
	defer func() {
		if p := recover(); p != nil {
			s.srv.count.panics.Add(1)
			s.srv.o.Logger.Error("smtp: session panicked, connection closed", "session", s.c.SessionID, "panic", p, "stack", string(debug.Stack()))
			s.say(421, Enhanced{4, 3, 0}, "Internal error, closing connection")
			s.flush()
		}
		s.reset()
		if s.in != nil {
			s.in.Release()
		}
	}()
	if s.srv.o.ImplicitTLS && !s.handshake() {
		return
	}
	handler, err := s.srv.o.Handler.NewSession(s.group.ctx, s.c)
	if err != nil {
		s.srv.count.refusedSess.Add(1)
		r, internal := replyOf(err)
		if internal {
			s.logError("new session", err)
			r.Code, r.Enhanced = 421, Enhanced{4, 3, 0}
		}
		s.reply(r)
		s.hangUp()
		return
	}
	s.handler = handler
	defer handler.Close()
	s.in = NewLineReader(s.conn, s.beforeRead)
	s.reply(Reply{Code: 220, Lines: []string{s.srv.o.Hostname + " ESMTP Postern"}})
	for !s.closing {
		if s.draining() && s.state < stateMail {
			s.shutDown()
			break
		}
		s.command()
	}
	s.hangUp()
}

// hangUp sends what is left to say and closes. The client may still be sending; closing at once would make the kernel reset the
// connection and our last words would be lost, so we wait a little for it to read them.
func (s *session) hangUp() {
	if s.silent {
		s.raw.Close()
		return
	}
	if s.flush() != nil || s.quit && s.conn == s.raw {
		return
	}
	s.raw.SetDeadline(s.srv.o.Now().Add(lingerTimeout))
	if over, ok := s.conn.(*tls.Conn); ok {
		over.CloseWrite()
	}
	if half, ok := s.raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		io.CopyN(io.Discard, s.raw, 256<<10)
	}
	s.raw.Close()
}

// beforeRead runs each time the reader is about to block: the replies go out, the deadline is set.
func (s *session) beforeRead() error {
	if err := s.flush(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	deadline := s.deadline
	if s.phase == phaseData {
		deadline = s.dataDeadline()
	} else if s.phase == phaseCommand && s.draining() {
		return errDraining
	}
	return s.conn.SetReadDeadline(earlier(deadline, s.ends))
}

// dataDeadline is when the client has been too slow: when the average since the start of the data falls below MinRate (after
// 30 s), when nothing came for CommandTimeout, or at DataTimeout.
func (s *session) dataDeadline() time.Time {
	l := &s.srv.limits
	d := earlier(s.begun.Add(l.DataTimeout), s.srv.o.Now().Add(l.CommandTimeout))
	if l.MinRate > 0 {
		earned := time.Duration(float64(s.in.total-s.base) / float64(l.MinRate) * float64(time.Second))
		d = earlier(d, s.begun.Add(max(30*time.Second, earned)))
	}
	return d
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// wake interrupts the wait for a command; called by the drain from another goroutine.
func (s *session) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseCommand {
		s.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

func (s *session) draining() bool {
	select {
	case <-s.group.draining:
		return true
	default:
		return false
	}
}

// enter sets what the reads to come are for.
func (s *session) enter(p phase) {
	now := s.srv.o.Now()
	s.mu.Lock()
	s.phase = p
	if p != phaseData {
		wait := s.srv.limits.CommandTimeout
		if wait > crowdedTimeout && s.srv.gate.crowded() {
			wait = crowdedTimeout
		}
		s.deadline = now.Add(wait)
	} else {
		s.begun = now
		s.base = s.in.total - int64(s.in.Buffered())
	}
	s.mu.Unlock()
}

// flush sends the gathered replies.
func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	s.conn.SetWriteDeadline(earlier(s.srv.o.Now().Add(s.srv.limits.CommandTimeout), s.ends.Add(lingerTimeout)))
	_, err := s.conn.Write(s.out)
	if cap(s.out) > 1<<10 {
		s.out = nil
	}
	s.out = s.out[:0]
	return err
}

// say adds a reply of one line.
func (s *session) say(code int, enh Enhanced, text string) {
	s.out = appendReplyLine(s.out, Reply{Code: code, Enhanced: enh}, text, true)
	s.sent(code)
}

// reply adds a reply.
func (s *session) reply(r Reply) {
	s.out = appendReply(s.out, r)
	s.sent(r.Code)
}

func (s *session) sent(code int) {
	if code == 421 {
		s.closing = true
	}
	if len(s.out) > outFlush && s.flush() != nil {
		s.closing = true
	}
}

// fault answers a client error: it counts, it slows down beyond SoftErrors, and the last one closes.
func (s *session) fault(code int, enh Enhanced, text string) {
	if s.countError() {
		s.say(code, enh, text)
	}
}

// countError counts a client error; false when it was the last one, which has been answered with 421.
func (s *session) countError() bool {
	l := &s.srv.limits
	s.errs++
	s.srv.count.errors.Add(1)
	if s.errs >= l.Errors {
		s.srv.count.closed.Add(1)
		s.say(421, Enhanced{4, 7, 0}, "Too many errors, closing connection")
		return false
	}
	if over := s.errs - l.SoftErrors; over > 0 {
		s.pause(min(time.Duration(over)*250*time.Millisecond, 2*time.Second))
	}
	return true
}

// idle counts a command that moves no mail; false when it closed the connection.
func (s *session) idle() bool {
	s.junk++
	return s.junk <= s.srv.limits.Junk || s.countError()
}

// pause waits, but not through a shutdown.
func (s *session) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.group.draining:
	}
}

// reset drops the transaction and whatever it held. Every exit of a transaction comes here.
func (s *session) reset() {
	if s.chunks != nil {
		s.chunks.drop()
		s.chunks = nil
	}
	s.tx = nil
	s.nchunk = 0
	if s.state > stateReady {
		s.state = stateReady
	}
}

// shutDown says goodbye because the server stops.
func (s *session) shutDown() {
	s.say(421, Enhanced{4, 3, 2}, s.srv.o.Hostname+" Service shutting down")
}

// lost ends the session after a read error.
func (s *session) lost(err error) {
	s.closing = true
	switch {
	case errors.Is(err, errDraining), errors.Is(err, os.ErrDeadlineExceeded) && s.draining():
		s.shutDown()
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.srv.count.timeouts.Add(1)
		s.say(421, Enhanced{4, 4, 2}, s.srv.o.Hostname+" Too slow, closing connection")
	case errors.Is(err, ErrFlood):
		s.srv.count.closed.Add(1)
		s.say(500, Enhanced{5, 5, 2}, "Line too long, closing connection")
	default:
		s.silent = true
	}
}

// handshake runs TLS over the raw connection; false when it failed and the connection is of no more use.
func (s *session) handshake() bool {
	s.mu.Lock()
	if s.draining() {
		s.mu.Unlock()
		return false
	}
	s.raw.SetDeadline(earlier(s.srv.o.Now().Add(handshakeTimeout), s.ends))
	s.mu.Unlock()
	conn := tls.Server(s.raw, s.srv.tlsConfig())
	if err := conn.HandshakeContext(s.group.ctx); err != nil {
		s.srv.count.tlsFailures.Add(1)
		s.srv.o.Logger.Debug("smtp: TLS handshake failed", "session", s.c.SessionID, "client_ip", s.c.ClientIP, "error", err)
		return false
	}
	s.srv.count.tls.Add(1)
	st := conn.ConnectionState()
	s.conn, s.c.TLS = conn, &st
	return true
}

func (s *session) logError(what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	s.srv.o.Logger.Error("smtp: handler failed", "session", s.c.SessionID, "command", what, "error", err)
}
