package smtp

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// verb is an SMTP command we know.
type verb uint8

const (
	unknown verb = iota
	foreign      // a command of another protocol
	ehlo
	helo
	mailFrom
	rcptTo
	dataCmd
	bdat
	rset
	noop
	vrfy
	help
	quit
	startTLS
	authCmd
)

// verbOf looks a word up, in any case of letters. The HTTP methods and the like are there because a browser can be made to send
// mail commands in the body of a request to our port (ALPACA, 2021).
func verbOf(word []byte) verb {
	var up [8]byte
	if len(word) > len(up) {
		return unknown
	}
	for i, c := range word {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		up[i] = c
	}
	switch string(up[:len(word)]) {
	case "EHLO":
		return ehlo
	case "HELO":
		return helo
	case "MAIL":
		return mailFrom
	case "RCPT":
		return rcptTo
	case "DATA":
		return dataCmd
	case "BDAT":
		return bdat
	case "RSET":
		return rset
	case "NOOP":
		return noop
	case "VRFY":
		return vrfy
	case "HELP":
		return help
	case "QUIT":
		return quit
	case "STARTTLS":
		return startTLS
	case "AUTH":
		return authCmd
	case "GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "TRACE", "PRI":
		return foreign
	}
	return unknown
}

// command reads and answers one command.
func (s *session) command() {
	line, first, ok := s.readCommand()
	if !ok {
		return
	}
	word, args := splitWord(line)
	v := verbOf(word)
	if v == unknown && first {
		s.srv.count.errors.Add(1)
		s.srv.count.closed.Add(1)
		s.say(500, Enhanced{5, 5, 1}, "Command not recognized, closing connection")
		s.closing = true
		return
	}
	s.dispatch(v, args)
}

// readCommand reads one command line; ok is false when it was no command and has been answered. first says that it is the first
// of the connection.
func (s *session) readCommand() (line []byte, first, ok bool) {
	if s.state == stateChunks {
		s.enter(phaseBetween)
	} else {
		s.enter(phaseCommand)
	}
	first = s.commands == 0
	if first {
		// Looked at before the line is complete: a TLS ClientHello may not hold a line end for long.
		c, err := s.in.Peek()
		if err != nil {
			s.lost(err)
			return nil, first, false
		}
		if !isLetter(c) {
			s.slam()
			return nil, first, false
		}
	}
	longest := s.srv.limits.CommandBytes
	if s.srv.o.OfferAuth {
		longest = max(longest, s.srv.limits.AuthBytes) // an initial response may be long
	}
	line, err := s.in.ReadLine(longest)
	if err != nil && !errors.Is(err, ErrLongLine) && !errors.Is(err, ErrBareCR) && !errors.Is(err, ErrBareLF) {
		s.lost(err)
		return nil, first, false
	}
	s.commands++
	s.srv.count.commands.Add(1)
	word, _ := splitWord(line)
	v := verbOf(word)
	if v == foreign {
		s.slam()
		return nil, first, false
	}
	if err == nil && v != authCmd && len(line)+2 > s.srv.limits.CommandBytes {
		err = ErrLongLine
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrLongLine) && first:
		s.slam()
		return nil, first, false
	case errors.Is(err, ErrLongLine):
		s.fault(500, Enhanced{5, 5, 2}, "Line too long")
		return nil, first, false
	case errors.Is(err, ErrBareCR):
		s.fault(500, Enhanced{5, 5, 2}, "Bare CR in a command")
		return nil, first, false
	case errors.Is(err, ErrBareLF):
		// Going on would mean to guess where this command ends, and what hides behind the LF.
		s.srv.count.errors.Add(1)
		s.srv.count.closed.Add(1)
		s.say(500, Enhanced{5, 5, 2}, "Commands must end with CRLF, closing connection")
		s.closing = true
		return nil, first, false
	}
	if !isText(line) {
		s.fault(500, Enhanced{5, 5, 2}, "Control character or invalid UTF-8 in a command")
		return nil, first, false
	}
	return line, first, true
}

// slam closes without a word: whoever is there does not speak SMTP, and must not get an answer to relay.
func (s *session) slam() {
	s.srv.count.closed.Add(1)
	s.closing, s.silent = true, true
}

func (s *session) dispatch(v verb, args []byte) {
	switch v {
	case ehlo, helo:
		s.hello(v == ehlo, args)
	case mailFrom:
		s.mailFrom(args)
	case rcptTo:
		s.rcptTo(args)
	case dataCmd:
		s.data(args)
	case bdat:
		s.bdat(args)
	case rset:
		s.reset()
		if s.idle() {
			s.say(250, Enhanced{2, 0, 0}, "Ok")
		}
	case noop:
		if s.idle() {
			s.say(250, Enhanced{2, 0, 0}, "Ok")
		}
	case vrfy:
		if s.idle() {
			s.say(252, Enhanced{2, 5, 0}, "Cannot verify the address; send mail to find out")
		}
	case help:
		if s.idle() {
			s.say(214, Enhanced{2, 0, 0}, "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH QUIT: see RFC 5321")
		}
	case quit:
		s.say(221, Enhanced{2, 0, 0}, "Bye")
		s.closing, s.quit = true, true
	case startTLS:
		s.startTLS(args)
	case authCmd:
		s.auth(args)
	default:
		s.fault(500, Enhanced{5, 5, 1}, "Command not recognized")
	}
}

// hello is EHLO and HELO (RFC 5321 4.1.1.1): allowed in every state, ends a transaction.
func (s *session) hello(extended bool, args []byte) {
	s.reset()
	if !s.idle() {
		return
	}
	name := strings.TrimSpace(string(args))
	if name == "" {
		s.fault(501, Enhanced{5, 5, 4}, "Say who you are: EHLO your.host.name")
		return
	}
	s.c.Hello, s.c.ESMTP, s.state = helloName(name), extended, stateReady
	o := &s.srv.o
	if !extended {
		s.say(250, Enhanced{}, o.Hostname)
		return
	}
	lines := append(make([]string, 0, 12), o.Hostname)
	if o.TLS != nil && s.c.TLS == nil && s.c.User == "" {
		lines = append(lines, "STARTTLS")
	}
	if o.OfferAuth && s.mayAuth() {
		lines = append(lines, "AUTH PLAIN LOGIN")
	}
	if s.offersRequireTLS() {
		lines = append(lines, "REQUIRETLS")
	}
	s.reply(Reply{Code: 250, Lines: append(lines, s.srv.ehlo...)})
}

// offersRequireTLS: RFC 8689 2: the extension is announced under TLS only.
func (s *session) offersRequireTLS() bool { return s.srv.o.RequireTLS && s.c.TLS != nil }

// helloName makes what the client calls itself fit for a log and a Received field.
func helloName(name string) string {
	if len(name) > 255 {
		name = name[:255]
	}
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune("()<>\"\\;,", c) {
			return '?'
		}
		return c
	}, name)
}

// mailFrom is MAIL: allowed in stateReady only, begins a transaction.
func (s *session) mailFrom(args []byte) {
	l := &s.srv.limits
	switch {
	case s.state == stateNew:
		s.fault(503, Enhanced{5, 5, 1}, "Say EHLO first")
		return
	case s.state > stateReady:
		s.fault(503, Enhanced{5, 5, 1}, "Nested MAIL command")
		return
	case s.srv.o.RequireAuth && s.c.User == "":
		s.fault(530, Enhanced{5, 7, 0}, "Authentication required")
		return
	case l.Messages >= 0 && s.messages >= l.Messages:
		s.srv.count.closed.Add(1)
		s.say(421, Enhanced{4, 7, 0}, "Too many messages in one connection, please open another")
		return
	}
	t, e := parseMail(string(args), l.MessageBytes)
	if e != nil {
		s.fault(e.Code, e.Enhanced, e.Text)
		return
	}
	if t.Envelope.RequireTLS && !s.offersRequireTLS() {
		s.fault(555, Enhanced{5, 5, 4}, "Unsupported parameter REQUIRETLS: it needs TLS here")
		return
	}
	if err := s.handler.Mail(s.group.ctx, t); err != nil {
		r, internal := replyOf(err)
		if internal {
			s.logError("MAIL", err)
		}
		if !r.Permanent() || s.countError() {
			s.reply(r)
		}
		return
	}
	s.tx, s.state = t, stateMail
	s.messages++
	s.say(250, Enhanced{2, 1, 0}, "Ok")
}

// rcptTo is RCPT: allowed in stateMail and stateRcpt.
func (s *session) rcptTo(args []byte) {
	switch s.state {
	case stateMail, stateRcpt:
	case stateChunks:
		s.fault(503, Enhanced{5, 5, 1}, "RCPT after BDAT")
		return
	default:
		s.fault(503, Enhanced{5, 5, 1}, "MAIL first")
		return
	}
	l := &s.srv.limits
	r, e := parseRcpt(string(args), s.tx.Envelope.SMTPUTF8)
	if e != nil {
		s.fault(e.Code, e.Enhanced, e.Text)
		return
	}
	if len(s.tx.Envelope.Recipients) >= l.Recipients {
		s.refuse(Reply{Code: 452, Enhanced: Enhanced{4, 5, 3}, Lines: []string{"Too many recipients"}})
		return
	}
	if err := s.handler.Rcpt(s.group.ctx, s.tx, r); err != nil {
		reply, internal := replyOf(err)
		if internal {
			s.logError("RCPT", err)
		}
		s.refuse(reply)
		return
	}
	s.tx.Envelope.Recipients = append(s.tx.Envelope.Recipients, r)
	s.state = stateRcpt
	s.srv.count.recipients.Add(1)
	s.say(250, Enhanced{2, 1, 5}, "Ok")
}

// refuse answers a recipient that is not taken. A list with many bad addresses is no attack, so refusals become errors only
// beyond the number of recipients a message may have.
func (s *session) refuse(r Reply) {
	if s.refused++; s.refused <= s.srv.limits.Recipients || s.countError() {
		s.reply(r)
	}
}

// startTLS is STARTTLS (RFC 3207). Whatever was said before is forgotten, and a client that pipelined anything behind the command
// is cut off: those bytes may have been put there by somebody in the middle.
func (s *session) startTLS(args []byte) {
	switch {
	case s.srv.o.TLS == nil:
		s.fault(502, Enhanced{5, 5, 1}, "STARTTLS is not offered")
		return
	case s.c.TLS != nil:
		s.fault(503, Enhanced{5, 5, 1}, "TLS is already in use")
		return
	case s.c.User != "":
		s.fault(503, Enhanced{5, 5, 1}, "STARTTLS comes before AUTH")
		return
	case len(args) > 0:
		s.fault(501, Enhanced{5, 5, 4}, "STARTTLS takes no parameter")
		return
	case s.state == stateNew:
		s.fault(503, Enhanced{5, 5, 1}, "Say EHLO first")
		return
	case s.in.Buffered() > 0:
		s.srv.count.errors.Add(1)
		s.srv.count.closed.Add(1)
		s.say(554, Enhanced{5, 5, 0}, "Nothing may be pipelined after STARTTLS, closing connection")
		s.closing = true
		return
	}
	if !s.idle() {
		return
	}
	s.reset()
	s.state, s.c.Hello, s.c.ESMTP = stateNew, "", false
	s.say(220, Enhanced{2, 0, 0}, "Ready to start TLS")
	if s.flush() != nil || !s.handshake() {
		s.closing, s.silent = true, true
		return
	}
	s.in.Reset(s.conn)
}

// splitWord separates the verb from its arguments. A trailing space is tolerated, as RFC 5321 4.1.1 advises.
func splitWord(line []byte) (word, args []byte) {
	for len(line) > 0 && line[len(line)-1] == ' ' {
		line = line[:len(line)-1]
	}
	for i, c := range line {
		if c == ' ' {
			return line[:i], line[i+1:]
		}
	}
	return line, nil
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// isText reports printable ASCII or valid UTF-8, without control characters.
func isText(line []byte) bool {
	ascii := true
	for _, c := range line {
		if c < ' ' || c == 0x7f {
			return false
		}
		ascii = ascii && c < 0x80
	}
	return ascii || utf8.Valid(line)
}
