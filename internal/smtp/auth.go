package smtp

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"
)

// Longest user name and password, in bytes (RFC 4616 2 asks for 255 each).
const maxCredential = 1024

// errAuthCancelled: the client sent "*" (RFC 4954 4).
var errAuthCancelled = errors.New("authentication cancelled")

// mayAuth reports whether a password may be sent now: under TLS, or from this very host.
func (s *session) mayAuth() bool { return s.c.TLS != nil || s.c.ClientIP.IsLoopback() }

// auth is AUTH (RFC 4954) with PLAIN and LOGIN. Nothing a client sends here is ever logged or echoed.
func (s *session) auth(args []byte) {
	authenticator, able := s.handler.(Authenticator)
	switch {
	case !s.srv.o.OfferAuth || !able:
		s.fault(502, Enhanced{5, 5, 1}, "AUTH is not offered")
		return
	case !s.mayAuth():
		s.fault(538, Enhanced{5, 7, 11}, "Encryption required: say STARTTLS first")
		return
	case s.state == stateNew || !s.c.ESMTP:
		s.fault(503, Enhanced{5, 5, 1}, "Say EHLO first")
		return
	case s.state != stateReady:
		s.fault(503, Enhanced{5, 5, 1}, "AUTH is not possible within a transaction")
		return
	case s.c.User != "":
		s.fault(503, Enhanced{5, 5, 1}, "Already authenticated")
		return
	}
	if !s.idle() {
		return
	}
	mechanism, initial, given := strings.Cut(string(args), " ")
	var user, password string
	var err error
	switch {
	case strings.EqualFold(mechanism, "PLAIN"):
		user, password, err = s.authPlain(initial, given)
	case strings.EqualFold(mechanism, "LOGIN"):
		user, password, err = s.authLogin(initial, given)
	default:
		s.fault(504, Enhanced{5, 5, 4}, "Unsupported mechanism: PLAIN and LOGIN are offered")
		return
	}
	var refusal *Error
	switch {
	case err == nil:
	case errors.Is(err, errAuthCancelled):
		s.authFailed(&Error{Code: 501, Enhanced: Enhanced{5, 7, 0}, Text: "Authentication cancelled"})
		return
	case errors.As(err, &refusal):
		s.authFailed(refusal)
		return
	default:
		s.lost(err)
		return
	}
	if err := authenticator.Auth(s.group.ctx, s.c, user, password); err != nil {
		if !errors.As(err, &refusal) {
			s.logError("AUTH", err)
			refusal = &Error{Code: 454, Enhanced: Enhanced{4, 7, 0}, Text: "Authentication is not possible just now, please try again later"}
		}
		r, _ := replyOf(refusal)
		s.authFailed(&Error{Code: r.Code, Enhanced: r.Enhanced, Text: refusal.Text})
		return
	}
	s.c.User = user
	s.srv.count.authOK.Add(1)
	s.say(235, Enhanced{2, 7, 0}, "Authentication successful")
}

// authFailed answers a failed AUTH and closes after AuthFailures of them. An internal fault is no guess and is not counted.
func (s *session) authFailed(e *Error) {
	s.srv.count.authFailures.Add(1)
	if e.Temporary() {
		s.reply(e.Reply())
		return
	}
	if s.authFail++; s.authFail >= s.srv.limits.AuthFailures {
		s.srv.count.closed.Add(1)
		s.say(421, Enhanced{4, 7, 0}, "Too many failed authentications, closing connection")
		return
	}
	if s.countError() {
		s.reply(e.Reply())
	}
}

// authPlain runs SASL PLAIN (RFC 4616): authzid NUL authcid NUL password.
func (s *session) authPlain(initial string, given bool) (user, password string, err error) {
	if !given {
		if initial, err = s.challenge(""); err != nil {
			return "", "", err
		}
	}
	raw, err := decodeResponse(initial)
	if err != nil {
		return "", "", err
	}
	parts := strings.Split(raw, "\x00")
	if len(parts) != 3 {
		return "", "", badCredentials()
	}
	// An identity other than the one whose password is shown would be acting for somebody else.
	if parts[0] != "" && parts[0] != parts[1] {
		return "", "", &Error{Code: 535, Enhanced: Enhanced{5, 7, 8}, Text: "Acting for another user is not supported"}
	}
	return checkCredentials(parts[1], parts[2])
}

// authLogin runs LOGIN (draft-murchison-sasl-login, the de facto standard).
func (s *session) authLogin(initial string, given bool) (user, password string, err error) {
	if !given {
		if initial, err = s.challenge("VXNlcm5hbWU6"); err != nil { // "Username:"
			return "", "", err
		}
	}
	if user, err = decodeResponse(initial); err != nil {
		return "", "", err
	}
	if initial, err = s.challenge("UGFzc3dvcmQ6"); err != nil { // "Password:"
		return "", "", err
	}
	if password, err = decodeResponse(initial); err != nil {
		return "", "", err
	}
	return checkCredentials(user, password)
}

// challenge asks and reads one response line, still encoded.
func (s *session) challenge(encoded string) (string, error) {
	s.say(334, Enhanced{}, encoded)
	s.enter(phaseCommand)
	line, err := s.in.ReadLine(s.srv.limits.AuthBytes)
	switch {
	case errors.Is(err, ErrLongLine):
		return "", &Error{Code: 500, Enhanced: Enhanced{5, 5, 6}, Text: "Authentication exchange line is too long"}
	case errors.Is(err, ErrBareCR), errors.Is(err, ErrBareLF):
		s.closing = true
		return "", &Error{Code: 501, Enhanced: Enhanced{5, 5, 2}, Text: "Lines must end with CRLF"}
	case err != nil:
		return "", err
	case string(line) == "*":
		return "", errAuthCancelled
	}
	return string(line), nil
}

// decodeResponse undoes strict base64 (RFC 4954 4); "=" is the empty response.
func decodeResponse(encoded string) (string, error) {
	if encoded == "=" {
		return "", nil
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return "", &Error{Code: 501, Enhanced: Enhanced{5, 5, 2}, Text: "Cannot decode the response: not base64"}
	}
	return string(raw), nil
}

func badCredentials() *Error {
	return &Error{Code: 535, Enhanced: Enhanced{5, 7, 8}, Text: "Authentication credentials invalid"}
}

// checkCredentials refuses what no account can have, before anything is looked up.
func checkCredentials(user, password string) (string, string, error) {
	ok := func(v string) bool {
		return v != "" && len(v) <= maxCredential && utf8.ValidString(v) && strings.IndexByte(v, 0) < 0
	}
	if !ok(user) || !ok(password) {
		return "", "", badCredentials()
	}
	return user, password, nil
}
