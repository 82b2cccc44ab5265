package notice

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"postern/internal/mail"
)

// DefaultLinkTTL is how long the link in a notice opens its page.
const DefaultLinkTTL = 7 * 24 * time.Hour

// Errors of Links.Check.
var (
	ErrLinkForged  = errors.New("notice: this link is not one of ours")
	ErrLinkExpired = errors.New("notice: this link has expired")
)

// Links makes and checks the links of notices. A link opens the page of one message, without login, until it expires: the
// token holds the queue ID, the end of its life and a MAC over both, and nothing about people.
type Links struct {
	base   string
	secret []byte
	ttl    time.Duration
}

// NewLinks takes the portal's base URL ("https://mail.example.net"), a secret of at least 32 bytes and the links' life (0:
// DefaultLinkTTL).
func NewLinks(base string, secret []byte, ttl time.Duration) (*Links, error) {
	if len(secret) < 32 {
		return nil, errors.New("notice: the secret for links needs at least 32 bytes")
	}
	if ttl <= 0 {
		ttl = DefaultLinkTTL
	}
	return &Links{base: strings.TrimRight(base, "/"), secret: bytes.Clone(secret), ttl: ttl}, nil
}

// For returns the address of the page that explains message id.
func (l *Links) For(id mail.QueueID, now time.Time) string {
	return l.base + "/m/" + l.Token(id, now)
}

// Token returns the last part of the address: "ID.END.MAC", END in base 36 seconds since 1970.
func (l *Links) Token(id mail.QueueID, now time.Time) string {
	text := string(id) + "." + strconv.FormatInt(now.Add(l.ttl).Unix(), 36)
	return text + "." + l.mac(text)
}

// Check returns the message that a token opens.
func (l *Links) Check(token string, now time.Time) (mail.QueueID, error) {
	if len(token) > 100 {
		return "", ErrLinkForged
	}
	cut := strings.LastIndexByte(token, '.')
	if cut < 0 || !hmac.Equal([]byte(l.mac(token[:cut])), []byte(token[cut+1:])) {
		return "", ErrLinkForged
	}
	name, end, ok := strings.Cut(token[:cut], ".")
	if !ok {
		return "", ErrLinkForged
	}
	id, err := mail.ParseQueueID(name)
	if err != nil {
		return "", ErrLinkForged
	}
	seconds, err := strconv.ParseInt(end, 36, 64)
	if err != nil {
		return "", ErrLinkForged
	}
	if now.Unix() > seconds {
		return id, ErrLinkExpired
	}
	return id, nil
}

func (l *Links) mac(text string) string {
	h := hmac.New(sha256.New, l.secret)
	h.Write([]byte("postern link v1\x00" + text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}
