package smtp

import "context"

// Greeting returns the reply with which the peer opened the connection.
func (c *Client) Greeting() Reply { return c.greeting }

// Extensions returns what the peer offers now, keyword in upper case with its parameter. The map is a copy.
func (c *Client) Extensions() map[string]string {
	out := make(map[string]string, len(c.ext))
	for name, param := range c.ext {
		out[name] = param
	}
	return out
}

// Try asks what the peer would say to a sender and a recipient, and takes it back (RSET). No message can follow: DATA is never sent. The paths are
// written as they are given, between angle brackets, so that paths which [Client.Send] would never write can be tried too. rcpt is zero when MAIL was
// refused. With an error the connection is finished, but for [ErrBadParameter], with which nothing was sent.
func (c *Client) Try(ctx context.Context, reversePath, recipient string) (mail, rcpt Reply, err error) {
	if c.broken != nil {
		return Reply{}, Reply{}, c.broken
	}
	lines := [2]string{"MAIL FROM:<" + reversePath + ">", "RCPT TO:<" + recipient + ">"}
	for _, line := range lines {
		if err := checkCommand([]byte(line)); err != nil {
			return Reply{}, Reply{}, &ClientError{PhaseMail, err}
		}
	}
	c.limit = c.options.Now().Add(c.options.Timeouts.Session)
	done := c.watch(ctx)
	mail, rcpt, err = c.try(lines)
	return mail, rcpt, done(err)
}

func (c *Client) try(lines [2]string) (mail, rcpt Reply, err error) {
	if err := c.unsolicited(PhaseMail); err != nil {
		return mail, rcpt, err
	}
	if mail, err = c.exchange(PhaseMail, c.options.Timeouts.Mail, lines[0]); err != nil || c.broken != nil {
		return mail, rcpt, err
	}
	c.needReset = true
	if isPositive(mail) {
		if rcpt, err = c.exchange(PhaseRcpt, c.options.Timeouts.Rcpt, lines[1]); err != nil || c.broken != nil {
			return mail, rcpt, err
		}
	}
	return mail, rcpt, c.reset()
}
