package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// fail marks the connection as finished and returns err with its phase.
func (c *Client) fail(phase Phase, err error) error {
	var known *ClientError
	if !errors.As(err, &known) {
		err = &ClientError{phase, err}
	}
	if c.broken == nil {
		c.broken = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}

// watch makes ctx abort the reads and writes that follow. The returned function
// ends that and turns the error of an aborted operation into the context's.
func (c *Client) watch(ctx context.Context) func(error) error {
	if ctx.Done() == nil {
		return c.finish
	}
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.aborted = true
		c.raw.SetDeadline(time.Unix(1, 0))
	})
	return func(err error) error {
		if stop() {
			return c.finish(err)
		}
		// The deadline in the past stays: nothing more can be said. What was
		// answered before counts.
		phase := PhaseQuit
		var known *ClientError
		if errors.As(err, &known) {
			phase = known.Phase
		}
		cause := context.Cause(ctx)
		if c.broken == nil {
			c.broken = fmt.Errorf("%w: %w", ErrClosed, cause)
		}
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			return c.finish(&ClientError{phase, cause})
		}
		return c.finish(err)
	}
}

// finish closes the socket of a connection that has become unusable, so that a
// caller who forgets it holds no slot at the peer.
func (c *Client) finish(err error) error {
	if c.broken != nil {
		c.Close()
		c.in.Release()
	}
	return err
}

// deadline allows the next reads and writes d, within the session limit.
func (c *Client) deadline(d time.Duration) {
	t := c.options.Now().Add(d)
	if t.After(c.limit) {
		t = c.limit
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.aborted {
		c.conn.SetDeadline(t)
	}
}

// command queues one command line. The line is noted in the transcript.
func (c *Client) command(line []byte) {
	c.out = append(append(c.out, line...), '\r', '\n')
	c.log.command(line)
}

// flush writes the queued commands.
func (c *Client) flush(phase Phase, timeout time.Duration) error {
	c.deadline(timeout)
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return c.lastWords(phase, err)
	}
	return nil
}

// writeBlock writes one block of content.
func (c *Client) writeBlock(block []byte) error {
	c.deadline(c.options.Timeouts.Block)
	_, err := c.conn.Write(block)
	return err
}

// lastWords looks for a reply that a peer sent before it closed on our write,
// typically 421; the write error counts when there is none.
func (c *Client) lastWords(phase Phase, cause error) error {
	if errors.Is(cause, os.ErrDeadlineExceeded) || errors.Is(cause, net.ErrClosed) {
		return c.fail(phase, cause)
	}
	c.deadline(time.Second)
	r, err := ParseReply(c.in)
	if err != nil || r.Code < 400 {
		return c.fail(phase, cause)
	}
	c.log.answer(r)
	return c.fail(phase, replyError(r))
}

// reply reads one reply. A 421 finishes the connection but is returned as any
// other reply; the callers look at c.broken.
func (c *Client) reply(phase Phase, timeout time.Duration) (Reply, error) {
	if !c.in.wholeReply() {
		c.deadline(timeout)
	}
	r, err := ParseReply(c.in)
	if errors.Is(err, ErrReplySyntax) || errors.Is(err, ErrReplyTooLong) {
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if err != nil {
		return Reply{}, c.fail(phase, err)
	}
	c.log.answer(r)
	if r.Code == 421 {
		c.fail(phase, replyError(r))
	}
	return r, nil
}

// wholeReply reports that a reply of one line is there already, so that nothing will be read from the peer for it.
func (l *LineReader) wholeReply() bool {
	window := l.buf[l.r:l.w]
	return len(window) > 4 && window[3] == ' ' && bytes.IndexByte(window, '\n') > 0
}

// exchange sends one command and reads its reply.
func (c *Client) exchange(phase Phase, timeout time.Duration, line string) (Reply, error) {
	if err := checkCommand([]byte(line)); err != nil {
		return Reply{}, &ClientError{phase, err}
	}
	c.command([]byte(line))
	if err := c.flush(phase, timeout); err != nil {
		return Reply{}, err
	}
	return c.reply(phase, timeout)
}

// unsolicited fails when the peer said something that was not asked for. Only
// what has already arrived with an earlier reply is seen.
func (c *Client) unsolicited(phase Phase) error {
	if c.in.Buffered() == 0 {
		return nil
	}
	c.deadline(time.Second)
	r, err := ParseReply(c.in)
	if err == nil && r.Code == 421 {
		return c.fail(phase, replyError(r))
	}
	return c.fail(phase, fmt.Errorf("%w: unexpected data before the command", ErrProtocol))
}

// checkCommand guards against command injection: whatever a caller passed, a
// command stays one line.
func checkCommand(line []byte) error {
	if len(line) > maxCommandOut {
		return fmt.Errorf("%w: %d bytes", ErrBadParameter, len(line))
	}
	if bytes.IndexByte(line, '\r') >= 0 || bytes.IndexByte(line, '\n') >= 0 || bytes.IndexByte(line, 0) >= 0 {
		return fmt.Errorf("%w: line break or NUL", ErrBadParameter)
	}
	return nil
}

// maxCommandOut bounds a command line that we send, in bytes: 512 and what the
// extensions add (RFC 3461 alone adds 500 to RCPT, AUTH lines may be longer).
const maxCommandOut = 12 << 10

// isPositive reports whether r completes MAIL, RCPT, RSET or a message. The 2xx
// codes of other commands are excluded: a 220 or 221 in their place means that
// the two sides have lost step, and a message must not count as accepted then.
func isPositive(r Reply) bool {
	switch r.Code {
	case 211, 214, 220, 221, 235:
		return false
	}
	return r.Code >= 200 && r.Code < 300
}

func isRefusal(r Reply) bool { return r.Code >= 400 && r.Code < 600 }

// replyError turns a refusal into an error, and a reply that is none into a
// protocol error.
func replyError(r Reply) error {
	if !isRefusal(r) {
		return fmt.Errorf("%w: unexpected reply %s", ErrProtocol, r)
	}
	return r.Err()
}
