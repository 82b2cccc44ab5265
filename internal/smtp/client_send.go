package smtp

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"postern/internal/mail"
)

// Result is what the peer said about one message.
type Result struct {
	Mail       Reply   // reply to MAIL; zero when none came
	Recipients []Reply // in the order of the envelope; zero where none came. When MAIL is refused, each holds its reply
	Data       Reply   // final word on the content, for the recipients with a 2xx reply: the reply to the final dot or a refusal of DATA; zero when none came
	AfterDot   bool    // the final dot went out and no usable reply came back: the peer may have the message
}

// commandGroup is how many bytes of commands are written before their replies
// are read. It keeps both directions well within the socket buffers, so that
// neither side waits for the other (RFC 2920 3.1).
const commandGroup = 4 << 10

// Send hands one message to the peer and may be called again on the same
// connection for the next one; no RSET is spent between messages that were
// answered. Commands are pipelined when the peer offers it (RFC 2920).
//
// The Result is always as complete as the conversation got. A nil error says
// that the connection can be used on and every question is answered: a
// recipient is delivered to when both its reply and Data are 2xx, and refused by
// the first of them that is not. With an error,
// a recipient whose Reply is zero, or is 2xx while Data is zero, has no answer:
// it is to be tried again, and may get the message twice when AfterDot is true.
//
// Errors that finish the connection are a [*ClientError]. Those that leave it
// usable because nothing was sent are permanent: [ErrBareNewline],
// [ErrLineTooLong], [ErrNeeds8BitMIME], [ErrNeedsSMTPUTF8], [ErrNeedsRequireTLS], [ErrBadParameter].
// A 421, wherever it comes, is noted in its place and finishes the connection.
//
// ErrNeedsSMTPUTF8 speaks for the whole envelope although one address may cause
// it: the caller may send to the others apart. When ctx ends while the last reply
// is being read, the error can be nil and the connection finished; Usable tells.
func (c *Client) Send(ctx context.Context, env mail.Envelope, message []byte) (Result, error) {
	result := Result{Recipients: make([]Reply, len(env.Recipients))}
	if c.broken != nil {
		return result, c.broken
	}
	if len(env.Recipients) == 0 {
		return result, ErrNoRecipients
	}
	shape, err := inspectData(message)
	if err != nil {
		return result, err
	}
	params, err := c.parameters(env, shape)
	if err != nil {
		return result, err
	}
	t := clientTransaction{c: c, env: &env, message: message, shape: shape, params: params, result: &result}
	// Every line is tried out before the first one leaves.
	if err := t.checkCommands(); err != nil {
		return result, err
	}
	c.log.clear()
	c.limit = c.options.Now().Add(c.options.Timeouts.Session + time.Duration(len(message)/slowestRate)*time.Second)
	done := c.watch(ctx)
	err = t.run()
	return result, done(err)
}

// clientTransaction is one run of Send.
type clientTransaction struct {
	c       *Client
	env     *mail.Envelope
	message []byte
	shape   dataShape
	params  clientParameters
	result  *Result

	asked    int  // commands sent, in the order of step
	answered int  // replies read
	accepted int  // recipients with a 2xx
	goAhead  bool // DATA was answered 354
}

// The commands of a transaction are numbered: 0 is RSET, 1 is MAIL, then one
// RCPT per recipient, then DATA.
const (
	stepReset = 0
	stepMail  = 1
	stepRcpt  = 2
)

func (t *clientTransaction) stepData() int { return stepRcpt + len(t.env.Recipients) }

var (
	lineReset = []byte("RSET")
	lineData  = []byte("DATA")
)

// command is the line of one step, as checkCommands built it.
func (t *clientTransaction) command(step int) []byte {
	switch step {
	case stepReset:
		return lineReset
	case t.stepData():
		return lineData
	}
	begin := 0
	if step > stepMail {
		begin = t.c.ends[step-stepMail-1]
	}
	return t.c.lines[begin:t.c.ends[step-stepMail]]
}

// checkCommands builds all lines and makes sure that they can be sent.
func (t *clientTransaction) checkCommands() error {
	c := t.c
	if cap(c.lines) > maxKeptLines { // somebody had many recipients
		c.lines, c.ends = nil, nil
	}
	c.lines, c.ends = t.params.appendMail(c.lines[:0], t.env.ReversePath), c.ends[:0]
	if err := checkCommand(c.lines); err != nil {
		return err
	}
	c.ends = append(c.ends, len(c.lines))
	for i := range t.env.Recipients {
		begin := len(c.lines)
		c.lines = t.params.appendRcpt(c.lines, &t.env.Recipients[i])
		if err := checkCommand(c.lines[begin:]); err != nil {
			return err
		}
		c.ends = append(c.ends, len(c.lines))
	}
	return nil
}

// maxKeptLines bounds what a connection keeps for the commands of its next transaction, in bytes.
const maxKeptLines = 16 << 10

// run speaks the whole transaction.
func (t *clientTransaction) run() error {
	c := t.c
	if err := c.unsolicited(PhaseMail); err != nil {
		return err
	}
	if err := t.envelope(); err != nil {
		return err
	}
	if !t.goAhead {
		return nil
	}
	if err := c.unsolicited(PhaseBody); err != nil {
		return err
	}
	if t.accepted == 0 {
		return t.emptyMessage()
	}
	return t.content()
}

// envelope sends the commands up to DATA, in groups when the peer pipelines,
// and stops asking as soon as nothing can come of it.
func (t *clientTransaction) envelope() error {
	c := t.c
	_, pipelining := c.Extension("PIPELINING")
	if !c.needReset {
		t.asked, t.answered = stepMail, stepMail
	}
	for t.answered <= t.stepData() {
		if t.hopeless() {
			return nil
		}
		for t.asked <= t.stepData() {
			line := t.command(t.asked)
			if len(c.out) > 0 && (!pipelining || len(c.out)+len(line)+2 > commandGroup) {
				break
			}
			c.command(line)
			t.asked++
		}
		phase, timeout := t.phase(t.answered)
		if err := c.flush(phase, timeout); err != nil {
			return err
		}
		for t.answered < t.asked {
			phase, timeout := t.phase(t.answered)
			r, err := c.reply(phase, timeout)
			if err != nil {
				return err
			}
			if err := t.note(t.answered, r); err != nil {
				return err
			}
			t.answered++
		}
	}
	return nil
}

// hopeless reports that no recipient can be reached by going on: MAIL was
// refused, or all recipients were and DATA has not been sent with them.
func (t *clientTransaction) hopeless() bool {
	return t.answered > stepMail && isRefusal(t.result.Mail) || t.answered == t.stepData() && t.accepted == 0
}

func (t *clientTransaction) phase(step int) (Phase, time.Duration) {
	timeouts := &t.c.options.Timeouts
	switch step {
	case stepReset:
		return PhaseReset, timeouts.Mail
	case stepMail:
		return PhaseMail, timeouts.Mail
	case t.stepData():
		return PhaseData, timeouts.Data
	}
	return PhaseRcpt, timeouts.Rcpt
}

// note puts the reply to a step where it belongs. The error finishes the
// connection.
func (t *clientTransaction) note(step int, r Reply) error {
	phase, _ := t.phase(step)
	ok := isPositive(r)
	if !ok && !isRefusal(r) && step != t.stepData() {
		return t.c.fail(phase, fmt.Errorf("%w: %d in this place", ErrProtocol, r.Code))
	}
	switch step {
	case stepReset:
		if !ok {
			return t.c.fail(phase, replyError(r))
		}
		t.c.needReset = false
	case stepMail:
		t.result.Mail = r
		t.c.needReset = ok
		if !ok {
			for i := range t.result.Recipients {
				t.result.Recipients[i] = r
			}
		}
	case t.stepData():
		if err := t.noteData(r); err != nil {
			return err
		}
	default:
		// After a refused MAIL the replies to the RCPT commands that were
		// already under way say nothing new.
		if !isRefusal(t.result.Mail) {
			t.result.Recipients[step-stepRcpt] = r
			if ok {
				t.accepted++
			}
		}
	}
	if t.c.broken != nil { // a 421
		return &ClientError{phase, replyError(r)}
	}
	return nil
}

func (t *clientTransaction) noteData(r Reply) error {
	switch {
	case r.Code == 354:
		t.goAhead = true
	case isRefusal(r):
		if t.accepted > 0 {
			t.result.Data = r
		}
	default:
		return t.c.fail(PhaseData, fmt.Errorf("%w: %d to DATA", ErrProtocol, r.Code))
	}
	return nil
}

// emptyMessage ends a DATA that a pipelining peer allowed although it had
// refused every recipient (RFC 2920 3.1): a lone dot, and a refusal is expected.
func (t *clientTransaction) emptyMessage() error {
	c := t.c
	c.out = append(c.out, ".\r\n"...)
	c.log.command([]byte("."))
	if err := c.flush(PhaseBody, c.options.Timeouts.Block); err != nil {
		return err
	}
	r, err := c.reply(PhaseFinalDot, c.options.Timeouts.FinalDot)
	if err != nil {
		return err
	}
	c.needReset = false
	if c.broken != nil {
		return &ClientError{PhaseFinalDot, replyError(r)}
	}
	if !isRefusal(r) {
		return c.fail(PhaseFinalDot, fmt.Errorf("%w: %d to a message without recipients", ErrProtocol, r.Code))
	}
	return nil
}

// content sends the message and takes the final reply.
func (t *clientTransaction) content() error {
	c := t.c
	c.log.command([]byte("[" + strconv.Itoa(len(t.message)) + " bytes of message]"))
	if err := c.data.write(t.message, t.shape.dots); err != nil {
		// The dot has not left whole: whatever the peer says now is a refusal.
		err = c.lastWords(PhaseBody, err)
		if r, ok := refusalOf(err); ok {
			t.result.Data = r
		}
		return err
	}
	r, err := c.reply(PhaseFinalDot, c.options.Timeouts.FinalDot)
	switch {
	case err != nil:
		t.result.AfterDot = true
		return err
	case isPositive(r), isRefusal(r):
		t.result.Data = r
		c.needReset = false
	default:
		t.result.AfterDot = true
		return c.fail(PhaseFinalDot, fmt.Errorf("%w: %d after the message", ErrProtocol, r.Code))
	}
	if c.broken != nil {
		return &ClientError{PhaseFinalDot, replyError(r)}
	}
	return nil
}
