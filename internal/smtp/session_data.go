package smtp

import (
	"errors"
	"strconv"
)

// data is DATA (RFC 5321 4.1.1.4): allowed in stateRcpt only; every outcome ends the transaction, but a refusal for want of
// recipients, after which RCPT may still come.
func (s *session) data(args []byte) {
	switch {
	case len(args) > 0:
		s.fault(501, Enhanced{5, 5, 4}, "DATA takes no parameter")
		return
	case s.state == stateMail:
		s.fault(554, Enhanced{5, 5, 1}, "No valid recipients")
		return
	case s.state == stateChunks:
		s.fault(503, Enhanced{5, 5, 1}, "DATA after BDAT")
		return
	case s.state != stateRcpt:
		s.fault(503, Enhanced{5, 5, 1}, "MAIL and RCPT first")
		return
	}
	c := s.newCollector()
	if c.flaw.found() {
		s.reset()
		s.reply(c.flaw.reply())
		return
	}
	defer c.drop()
	s.say(354, Enhanced{}, "End data with <CRLF>.<CRLF>")
	s.enter(phaseData)
	if err := readDotted(s.in, c); err != nil {
		s.reset()
		if errors.Is(err, ErrFlood) {
			s.srv.count.closed.Add(1)
			s.reply(c.flaw.reply())
			s.closing = true
			return
		}
		s.lost(err)
		return
	}
	s.deliver(c)
}

// bdat is BDAT (RFC 3030): "BDAT size [LAST]", allowed in stateRcpt and stateChunks. The size is needed to stay in step: who does
// not say one is cut off. Chunks of a transaction that failed are read and thrown away.
func (s *session) bdat(args []byte) {
	l := &s.srv.limits
	size, last, ok := parseBDAT(string(args))
	if !ok {
		s.srv.count.errors.Add(1)
		s.srv.count.closed.Add(1)
		s.reset()
		s.say(501, Enhanced{5, 5, 4}, "Syntax: BDAT size [LAST], closing connection")
		s.closing = true
		return
	}
	if size > l.MessageBytes {
		s.reset()
		s.srv.count.closed.Add(1)
		s.reply(flawTooBig(l.MessageBytes).reply())
		s.closing = true
		return
	}
	if s.state != stateRcpt && s.state != stateChunks {
		missing := s.state == stateMail
		s.reset()
		if !s.discard(size) {
			return
		}
		if missing {
			s.fault(554, Enhanced{5, 5, 1}, "No valid recipients")
		} else {
			s.fault(503, Enhanced{5, 5, 1}, "MAIL and RCPT first")
		}
		return
	}
	if s.nchunk++; s.nchunk > l.Chunks {
		s.reset()
		s.srv.count.closed.Add(1)
		s.say(421, Enhanced{4, 7, 0}, "Too many chunks, closing connection")
		return
	}
	if s.state == stateRcpt {
		s.chunks, s.state = s.newCollector(), stateChunks
	}
	s.chunks.declared = max(s.chunks.declared, int64(len(s.chunks.msg))+size)
	s.enter(phaseData)
	if err := readCounted(s.in, size, s.chunks); err != nil {
		s.reset()
		s.lost(err)
		return
	}
	if f := s.chunks.flaw; f.found() {
		s.reset()
		s.srv.count.refused.Add(1)
		s.reply(f.reply())
		return
	}
	if !last {
		s.say(250, Enhanced{2, 0, 0}, strconv.FormatInt(size, 10)+" bytes received")
		return
	}
	c := s.chunks
	s.chunks = nil
	defer c.drop()
	s.deliver(c)
}

// parseBDAT reads "size [LAST]".
func parseBDAT(args string) (size int64, last, ok bool) {
	number := args
	for i := range len(args) {
		if args[i] == ' ' {
			number = args[:i]
			if !equalFoldASCII(args[i+1:], "LAST") {
				return 0, false, false
			}
			last = true
			break
		}
	}
	if !isDigits(number) || len(number) > 20 {
		return 0, false, false
	}
	size, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		size = 1<<63 - 1 // beyond every limit, and refused as such
	}
	return size, last, true
}

func equalFoldASCII(s, upper string) bool {
	if len(s) != len(upper) {
		return false
	}
	for i := range len(s) {
		if s[i]&^0x20 != upper[i] {
			return false
		}
	}
	return true
}

// discard reads n bytes of a chunk nobody wants; false when the connection is gone.
func (s *session) discard(n int64) bool {
	s.enter(phaseData)
	if err := readCounted(s.in, n, &collector{flaw: flaw{code: 503}}); err != nil {
		s.lost(err)
		return false
	}
	return true
}

// newCollector makes room for a message; its flaw is set when there is none.
func (s *session) newCollector() *collector {
	c := &collector{max: s.srv.limits.MessageBytes, declared: s.tx.DeclaredSize, budget: s.srv}
	if s.srv.reserve(reserveStep) {
		c.reserved = reserveStep
	} else {
		c.flaw = flawBusy()
	}
	return c
}

// deliver gives a message that was read to its end to the handler and answers. The transaction is over, whatever comes.
func (s *session) deliver(c *collector) {
	t := s.tx
	s.reset()
	msg, f := c.msg, c.flaw
	if !f.found() {
		msg, f = finish(msg, s.srv.o.BareNewline, s.srv.limits.LineBytes)
	}
	if f.found() {
		s.srv.count.refused.Add(1)
		s.reply(f.reply())
		return
	}
	size := int64(len(msg))
	r, err := s.handler.Data(s.group.ctx, t, msg)
	if err != nil {
		var internal bool
		if r, internal = replyOf(err); internal {
			s.logError("DATA", err)
		}
	} else if r.Code == 0 {
		r = Reply{Code: 250, Enhanced: Enhanced{2, 0, 0}, Lines: []string{"Ok"}}
	}
	if r.OK() {
		s.srv.count.messages.Add(1)
		s.srv.count.bytes.Add(size)
		s.errs, s.junk, s.refused = 0, 0, 0
	} else {
		s.srv.count.refused.Add(1)
	}
	s.reply(r)
}
