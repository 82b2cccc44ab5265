package smtp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
)

// StartTLS changes to TLS (RFC 3207) and says EHLO again. Everything learned
// before is dropped: buffered bytes, capabilities. A peer that sent more than
// its 220 before the handshake is refused with [ErrProtocol], because those
// bytes could be an attacker's (USENIX Security 2021, "Why TLS is better
// without STARTTLS").
//
// [ErrNotOffered] and a refusal by the peer leave the connection usable in
// plain text; whether to go on so is the caller's policy. Any other error
// finishes it.
func (c *Client) StartTLS(ctx context.Context, cfg *tls.Config) error {
	if c.broken != nil {
		return c.broken
	}
	if c.tls != nil {
		return &ClientError{PhaseStartTLS, fmt.Errorf("%w: TLS is active already", ErrNotOffered)}
	}
	if _, ok := c.Extension("STARTTLS"); !ok {
		return &ClientError{PhaseStartTLS, ErrNotOffered}
	}
	c.limit = c.options.Now().Add(c.options.Timeouts.Session)
	done := c.watch(ctx)
	return done(c.startTLS(cfg))
}

func (c *Client) startTLS(cfg *tls.Config) error {
	if err := c.unsolicited(PhaseStartTLS); err != nil {
		return err
	}
	r, err := c.exchange(PhaseStartTLS, c.options.Timeouts.Hello, "STARTTLS")
	switch {
	case err != nil:
		return err
	case c.broken != nil || isRefusal(r):
		return &ClientError{PhaseStartTLS, replyError(r)}
	case r.Code != 220:
		return c.fail(PhaseStartTLS, fmt.Errorf("%w: %d to STARTTLS", ErrProtocol, r.Code))
	case c.in.Buffered() > 0:
		return c.fail(PhaseStartTLS, fmt.Errorf("%w: data between the 220 and the TLS handshake", ErrProtocol))
	}
	secured := tls.Client(c.raw, cfg)
	c.deadline(c.options.Timeouts.Hello)
	if err := secured.Handshake(); err != nil {
		return c.fail(PhaseHandshake, err)
	}
	state := secured.ConnectionState()
	c.mu.Lock()
	c.conn = secured
	c.mu.Unlock()
	c.tls = &state
	c.in.Reset(secured)
	return c.hello()
}

// Auth logs in with PLAIN (RFC 4616) or, where only that is offered, LOGIN.
// Credentials leave only under TLS or to a loopback address, otherwise the
// error is [ErrInsecureAuth]. The transcript shows them as asterisks. A refusal
// is an [*Error] (535 for a wrong password) and leaves the connection usable.
func (c *Client) Auth(ctx context.Context, user, password string) error {
	if c.broken != nil {
		return c.broken
	}
	if c.tls == nil && !c.loopback {
		return &ClientError{PhaseAuth, ErrInsecureAuth}
	}
	if strings.Contains(user, "\x00") || strings.Contains(password, "\x00") || len(user) > 1024 || len(password) > 1024 {
		return &ClientError{PhaseAuth, ErrBadParameter}
	}
	offered, _ := c.Extension("AUTH")
	var login func(user, password string) (Reply, error)
	for _, mechanism := range strings.Fields(strings.ToUpper(offered)) {
		if mechanism == "PLAIN" {
			login = c.authPlain
			break
		}
		if mechanism == "LOGIN" {
			login = c.authLogin
		}
	}
	if login == nil {
		return &ClientError{PhaseAuth, fmt.Errorf("%w: AUTH PLAIN or LOGIN (offered: %q)", ErrNotOffered, offered)}
	}
	c.limit = c.options.Now().Add(c.options.Timeouts.Session)
	done := c.watch(ctx)
	r, err := login(user, password)
	if err == nil && r.Code != 235 {
		err = &ClientError{PhaseAuth, replyError(r)}
		if !isRefusal(r) {
			err = c.fail(PhaseAuth, err)
		}
	}
	return done(err)
}

func (c *Client) authPlain(user, password string) (Reply, error) {
	if err := c.unsolicited(PhaseAuth); err != nil {
		return Reply{}, err
	}
	response := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	// RFC 4954 4: an initial response that makes the command longer than 512
	// bytes waits for the server's empty challenge.
	if len(response) <= 400 {
		return c.secret("AUTH PLAIN ", response)
	}
	r, err := c.exchange(PhaseAuth, c.options.Timeouts.Hello, "AUTH PLAIN")
	if err != nil || r.Code != 334 {
		return r, err
	}
	return c.secret("", response)
}

func (c *Client) authLogin(user, password string) (Reply, error) {
	if err := c.unsolicited(PhaseAuth); err != nil {
		return Reply{}, err
	}
	r, err := c.exchange(PhaseAuth, c.options.Timeouts.Hello, "AUTH LOGIN")
	for _, answer := range []string{user, password} {
		if err != nil || r.Code != 334 {
			// 235 before the password was asked for is no login.
			if err == nil && r.Code < 400 {
				err = c.fail(PhaseAuth, fmt.Errorf("%w: %d in place of a challenge", ErrProtocol, r.Code))
			}
			return r, err
		}
		r, err = c.secret("", base64.StdEncoding.EncodeToString([]byte(answer)))
	}
	return r, err
}

// secret sends a line whose second half the transcript must not show.
func (c *Client) secret(shown, hidden string) (Reply, error) {
	c.out = append(append(append(c.out, shown...), hidden...), '\r', '\n')
	c.log.command([]byte(shown + "********"))
	err := c.flush(PhaseAuth, c.options.Timeouts.Hello)
	clear(c.out[:cap(c.out)])
	if err != nil {
		return Reply{}, err
	}
	return c.reply(PhaseAuth, c.options.Timeouts.Hello)
}
