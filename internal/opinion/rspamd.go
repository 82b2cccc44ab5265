package opinion

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// RspamdOptions say where rspamd's normal worker is. Zero values take the defaults of this package.
type RspamdOptions struct {
	URL         string        // http://127.0.0.1:11333; https:// when it is not on this machine or a private network
	Password    string        // for a worker or a proxy that wants one; "": none
	Timeout     time.Duration // one question, waiting for a connection included
	MaxSize     int64         // bytes of a message; larger ones are ErrTooLarge
	Connections int           // at one time
	TLS         *tls.Config   // of https://; nil: the system's certificates
}

// Rspamd asks an rspamd server. It is safe for concurrent use.
type Rspamd struct {
	o    RspamdOptions
	base string
	http *http.Client
	gate gate
}

// Bounds on what is told and heard.
const (
	rspamdAnswer     = 1 << 20 // bytes
	rspamdHeader     = 64 << 10
	rspamdRecipients = 100
	maxSymbols       = 100
	maxOptions       = 4
	maxWord          = 200 // bytes of a name, a description, a header's value
)

// NewRspamd checks the options. It connects to nothing.
func NewRspamd(o RspamdOptions) (*Rspamd, error) {
	u, err := rspamdURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("rspamd: %w", err)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	dialer := &net.Dialer{}
	if u.Scheme == "http" {
		dialer = plainDialer()
	}
	// One connection for each question: rspamd closes idle ones when it likes, and a question lost that way could not be told from
	// one that was answered. No proxy of the environment: mail goes where the configuration says.
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: rspamdHeader, TLSClientConfig: o.TLS}
	return &Rspamd{o: o, base: strings.TrimSuffix(u.String(), "/"), gate: newGate(o.Connections), http: &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// CheckRspamdURL reports what is wrong with a URL of rspamd.
func CheckRspamdURL(s string) error {
	_, err := rspamdURL(s)
	return err
}

func rspamdURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("no http:// or https:// URL with a host")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("a user, a query or a fragment has no place in it")
	}
	if u.Scheme == "http" {
		return u, checkHost(u.Hostname())
	}
	return u, nil
}

func (r *Rspamd) fail(kind error, detail string, cause error) *Error {
	return &Error{Scanner: "rspamd", Kind: kind, Detail: detail, Cause: cause}
}

// Ask sends the message with its envelope and waits for the answer. Every error is an *Error.
func (r *Rspamd) Ask(ctx context.Context, q Question) (Answer, error) {
	if int64(len(q.Raw)) > r.o.MaxSize {
		return Answer{}, r.fail(ErrTooLarge, fmt.Sprintf("%d bytes, at most %d are sent", len(q.Raw), r.o.MaxSize), nil)
	}
	body, _, err := r.talk(ctx, http.MethodPost, "/checkv2", q.Raw, q.header())
	if err != nil {
		return Answer{}, err
	}
	return r.parse(body)
}

// Version asks rspamd whether it is there and returns what it says of itself.
func (r *Rspamd) Version(ctx context.Context) (string, error) {
	body, header, err := r.talk(ctx, http.MethodGet, "/ping", nil, http.Header{})
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(string(body)) != "pong" {
		return "", r.fail(ErrProtocol, fmt.Sprintf("ping was answered %q", word(string(body), maxWord)), nil)
	}
	return word(header.Get("Server"), maxWord), nil
}

// header tells the envelope (https://rspamd.com/doc/developers/protocol.html, read 2026-11).
func (q Question) header() http.Header {
	h := http.Header{}
	add := func(name, value string) {
		if value = word(value, 4*maxWord); value != "" {
			h.Add(name, value)
		}
	}
	if q.IP.IsValid() {
		add("IP", q.IP.Unmap().WithZone("").String())
	}
	add("Helo", q.Hello)
	add("Hostname", q.Hostname)
	add("Queue-Id", q.QueueID)
	add("User", q.User)
	h.Set("From", "<>")
	if q.From != "" {
		h.Set("From", word(q.From, 4*maxWord))
	}
	for _, to := range q.Recipients[:min(len(q.Recipients), rspamdRecipients)] {
		add("Rcpt", to)
	}
	return h
}

// talk makes one request and reads its whole answer.
func (r *Rspamd) talk(ctx context.Context, method, path string, message []byte, header http.Header) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	if err := r.gate.enter(ctx); err != nil {
		return nil, nil, r.fail(ErrUnavailable, "", err)
	}
	defer r.gate.leave()
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(message))
	if err != nil {
		return nil, nil, r.fail(ErrUnavailable, "", err)
	}
	req.Header = header
	req.Header.Set("User-Agent", "Postern")
	if r.o.Password != "" {
		req.Header.Set("Password", r.o.Password)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, nil, r.broken(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, rspamdAnswer+1))
	switch {
	case err != nil:
		return nil, nil, r.broken(ctx, err)
	case len(body) > rspamdAnswer:
		return nil, nil, r.fail(ErrProtocol, fmt.Sprintf("longer than %d bytes", rspamdAnswer), nil)
	case resp.StatusCode != http.StatusOK:
		return nil, nil, r.refused(resp.StatusCode, body)
	}
	return body, resp.Header, nil
}

// broken is a connection that failed, or took too long.
func (r *Rspamd) broken(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return r.fail(ErrUnavailable, fmt.Sprintf("not within %s", r.o.Timeout), ctx.Err())
	}
	return r.fail(ErrUnavailable, "", err)
}

// refused is an answer with another status than 200.
func (r *Rspamd) refused(status int, body []byte) *Error {
	detail := fmt.Sprintf("HTTP status %d", status)
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &said) == nil && said.Error != "" {
		detail += fmt.Sprintf(", it said %q", word(said.Error, maxWord))
	}
	switch {
	case status == http.StatusRequestEntityTooLarge:
		return r.fail(ErrTooLarge, detail, nil)
	case status >= 400:
		return r.fail(ErrUnavailable, detail, nil)
	}
	return r.fail(ErrProtocol, detail, nil) // a redirect would take the mail elsewhere
}

// rspamdReply is what /checkv2 answers; the parts that nobody here reads are left out.
type rspamdReply struct {
	Error    string                  `json:"error"`
	Action   string                  `json:"action"`
	Score    *float64                `json:"score"`
	Required *float64                `json:"required_score"`
	Symbols  map[string]rspamdSymbol `json:"symbols"`
}

type rspamdSymbol struct {
	Score       float64         `json:"score"`
	Description string          `json:"description"`
	Options     json.RawMessage `json:"options"`
}

// soft is the action by which rspamd says that it has no final opinion yet.
const soft = "soft reject"

func (r *Rspamd) parse(body []byte) (Answer, error) {
	var in rspamdReply
	if err := json.Unmarshal(body, &in); err != nil {
		return Answer{}, r.fail(ErrProtocol, "", err)
	}
	switch {
	case in.Error != "":
		return Answer{}, r.fail(ErrUnavailable, fmt.Sprintf("it said %q", word(in.Error, maxWord)), nil)
	case in.Action == soft:
		return Answer{}, r.fail(ErrUnavailable, "it asks to try again later (soft reject)", nil)
	case in.Action == "" || in.Score == nil:
		return Answer{}, r.fail(ErrProtocol, "action or score is missing", nil)
	}
	out := Answer{Action: word(in.Action, maxWord), Score: *in.Score}
	if in.Required != nil && *in.Required > 0 {
		out.Required = *in.Required
	}
	for name, s := range in.Symbols {
		out.Symbols = append(out.Symbols, Symbol{Name: word(name, maxWord), Score: s.Score, Description: word(s.Description, maxWord), Options: options(s.Options)})
	}
	slices.SortFunc(out.Symbols, func(a, b Symbol) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Score), math.Abs(a.Score)), cmp.Compare(a.Name, b.Name))
	})
	out.Symbols = out.Symbols[:min(len(out.Symbols), maxSymbols)]
	return out, nil
}

// options are the texts of a list; anything else in its place is not worth refusing the answer for.
func options(raw json.RawMessage) []string {
	var all []any
	if len(raw) == 0 || json.Unmarshal(raw, &all) != nil {
		return nil
	}
	var out []string
	for _, x := range all {
		if s, ok := x.(string); ok && len(out) < maxOptions {
			out = append(out, word(s, maxWord))
		}
	}
	return out
}
