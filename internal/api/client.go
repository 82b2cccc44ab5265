package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postern/internal/mail"
)

// maxAnswer bounds what the client reads of one answer.
const maxAnswer = 64 << 20

// Client asks a running gateway through its operator's socket. Make one with NewClient; it is safe for concurrent use.
type Client struct {
	socket   string
	operator string
	language string // "": English
	http     *http.Client
}

// Problem is an error answer of the gateway.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
}

// Error is what is wrong and what to do.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = fmt.Sprintf("the gateway answered %d %s", p.Status, p.Title)
	}
	for _, e := range p.Errors {
		text += "\n  " + e.Location + ": " + e.Message
	}
	return text
}

// Kind is the stable word of the problem, for example "no-such-message".
func (p *Problem) Kind() string { return strings.TrimPrefix(p.Type, problemType) }

// ErrNoServer: nothing answers on the socket. The text says what to do.
var ErrNoServer = errors.New("no gateway answers")

// NewClient makes a client of the gateway behind a socket. operator is who acts, for the journal.
func NewClient(socket, operator string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, operator: operator, http: &http.Client{Timeout: requestTime + 5*time.Second,
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}}}
}

// In returns the same client for a reader of a language, "en" or "fr": problems and acts are told in it.
func (c *Client) In(language string) *Client {
	out := *c
	out.language = language
	return &out
}

// ask makes one request. in is the body, out takes the answer; both may be nil.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var content io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	address := "http://postern" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.operator != "" {
		r.Header.Set(OperatorHeader, c.operator)
	}
	if c.language != "" {
		r.Header.Set("Accept-Language", c.language)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return c.unreachable(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("answer of the gateway on %s: %w", c.socket, err)
	}
	if answer.StatusCode/100 != 2 {
		p := &Problem{}
		if json.Unmarshal(text, p) != nil || p.Status == 0 {
			return fmt.Errorf("what answers on %s is no Postern: status %s", c.socket, answer.Status)
		}
		return p
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("answer of the gateway on %s: %w", c.socket, err)
	}
	return nil
}

// unreachable says what to do when the socket does not answer.
func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no socket %s. Start the gateway with `postern serve`, or name its socket with --socket or its configuration with -c", ErrNoServer, c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: you may not open %s. Run this as root or as the gateway's user (sudo)", ErrNoServer, c.socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w on %s: it is not running any more. Start it with `postern serve`", ErrNoServer, c.socket)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("gateway on %s: %w", c.socket, err)
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var out T
	err := c.ask(ctx, http.MethodGet, path, query, nil, &out)
	return out, err
}

func send[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var out T
	err := c.ask(ctx, method, path, nil, in, &out)
	return out, err
}

// pages reads a list to its end.
func pages[P, T any](ctx context.Context, c *Client, path string, query url.Values, part func(P) ([]T, string)) ([]T, error) {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	q.Set("limit", strconv.Itoa(mostPage))
	all := []T{}
	for {
		p, err := get[P](ctx, c, path, q)
		if err != nil {
			return nil, err
		}
		some, next := part(p)
		if all = append(all, some...); next == "" {
			return all, nil
		}
		q.Set("cursor", next)
	}
}

func message(id, what string) string {
	path := "/v1/messages/" + url.PathEscape(id)
	if what != "" {
		path += "/" + what
	}
	return path
}

// Status returns how the gateway is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/v1/status", nil)
}

// Lanes returns the lanes that have work or something in force, the longest queue first.
func (c *Client) Lanes(ctx context.Context) ([]Lane, error) {
	out, err := get[Lanes](ctx, c, "/v1/lanes", nil)
	return out.Lanes, err
}

// PauseLane lets nothing leave on a lane until then, and returns what is in force therefore.
func (c *Client) PauseLane(ctx context.Context, r PauseRequest) ([]Reaction, error) {
	out, err := send[Reactions](ctx, c, http.MethodPost, "/v1/lanes/pause", r)
	return out.Reactions, err
}

// History returns what was in force in the last 30 days and has ended, the latest end first; of a lane or provider, "" of all.
func (c *Client) History(ctx context.Context, lane string, limit int) ([]Reaction, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if lane != "" {
		q.Set("lane", lane)
	}
	out, err := get[Reactions](ctx, c, "/v1/reactions/history", q)
	return out.Reactions, err
}

// Pools returns the pools of addresses with their warm-ups and floors.
func (c *Client) Pools(ctx context.Context) ([]Pool, error) {
	out, err := get[Pools](ctx, c, "/v1/pools", nil)
	return out.Pools, err
}

// Lift ends what is in force.
func (c *Client) Lift(ctx context.Context, id string) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/reactions/"+url.PathEscape(id)+"/lift", nil)
}

// Reload makes the gateway read its configuration again.
func (c *Client) Reload(ctx context.Context) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/reload", nil)
}

// ListQuery selects messages. Zero fields do not restrict.
type ListQuery struct {
	State    string // "queued", "held"
	Customer string
	Domain   string // of some recipient
	Limit    int    // of one page, 1..1000; 0: 100
	Cursor   string
}

// List returns one page of the queue, in the order of arrival.
func (c *Client) List(ctx context.Context, q ListQuery) (Messages, error) {
	v := values("state", q.State, "customer", q.Customer, "domain", q.Domain, "cursor", q.Cursor)
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return get[Messages](ctx, c, "/v1/messages", v)
}

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

// Message returns one message of the spool with its verdict in words of a language, "en" or "fr".
func (c *Client) Message(ctx context.Context, id, language string) (Message, error) {
	return get[Message](ctx, c, message(id, ""), values("language", language))
}

// ExplainIn tells why a message is where it is, in a language, "en" or "fr".
func (c *Client) ExplainIn(ctx context.Context, id, lang string) (Explanation, error) {
	return get[Explanation](ctx, c, message(id, "explain"), values("lang", lang))
}

// Trace returns the life of one message, oldest first.
func (c *Client) Trace(ctx context.Context, id mail.QueueID) ([]Fact, error) {
	out, err := get[Facts](ctx, c, message(string(id), "trace"), nil)
	return out.Facts, err
}

// SearchQuery selects facts. Zero fields do not restrict.
type SearchQuery struct {
	Text, Address, MessageID, Customer string
	Since, Until                       time.Time
	Limit                              int // of one page, 1..1000; 0: 100
	Cursor                             string
}

// Search returns one page of facts, the newest first.
func (c *Client) Search(ctx context.Context, q SearchQuery) (Facts, error) {
	v := values("text", q.Text, "address", q.Address, "message_id", q.MessageID, "customer", q.Customer, "cursor", q.Cursor)
	for name, t := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339))
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return get[Facts](ctx, c, "/v1/trace", v)
}

// Retry makes a queued message due now.
func (c *Client) Retry(ctx context.Context, id string) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, message(id, "retry"), nil)
}

// RetryAll makes every queued message due now.
func (c *Client) RetryAll(ctx context.Context) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/retry", nil)
}

// Hold sets a queued message aside.
func (c *Client) Hold(ctx context.Context, id string, r HoldRequest) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, message(id, "hold"), r)
}

// Release lets a held message go as it is.
func (c *Client) Release(ctx context.Context, id string) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, message(id, "release"), nil)
}

// Drop removes a message for good.
func (c *Client) Drop(ctx context.Context, id string) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, message(id, "drop"), nil)
}

// Retest tests a held message again.
func (c *Client) Retest(ctx context.Context, id string) (Retested, error) {
	return send[Retested](ctx, c, http.MethodPost, message(id, "retest"), nil)
}

// Customers returns those who may send, sorted by id.
func (c *Client) Customers(ctx context.Context) ([]Customer, error) {
	return pages(ctx, c, "/v1/customers", nil, func(p Customers) ([]Customer, string) { return p.Customers, p.Next })
}

func customer(id, what string) string {
	path := "/v1/customers/" + url.PathEscape(id)
	if what != "" {
		path += "/" + what
	}
	return path
}

// Customer returns one customer.
func (c *Client) Customer(ctx context.Context, id string) (Customer, error) {
	return get[Customer](ctx, c, customer(id, ""), nil)
}

// AddCustomer adds a customer; only its id and settings count.
func (c *Client) AddCustomer(ctx context.Context, x Customer) (Customer, error) {
	return send[Customer](ctx, c, http.MethodPost, "/v1/customers", x)
}

// UpdateCustomer replaces a customer's settings whole.
func (c *Client) UpdateCustomer(ctx context.Context, id string, x CustomerSettings) (Customer, error) {
	return send[Customer](ctx, c, http.MethodPut, customer(id, ""), x)
}

// DeleteCustomer removes a customer.
func (c *Client) DeleteCustomer(ctx context.Context, id string) (Done, error) {
	return send[Done](ctx, c, http.MethodDelete, customer(id, ""), nil)
}

// Suspend stops a customer's sending. The reason stands in the journal; "": none is given.
func (c *Client) Suspend(ctx context.Context, id, reason string) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, customer(id, "suspend"), Suspension{Reason: reason})
}

// Resume lets a suspended customer send again.
func (c *Client) Resume(ctx context.Context, id string) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, customer(id, "resume"), nil)
}

// Credentials returns the credentials of a customer, or of all when customer is "".
func (c *Client) Credentials(ctx context.Context, customer string) ([]Credential, error) {
	return pages(ctx, c, "/v1/credentials", values("customer", customer), func(p Credentials) ([]Credential, string) { return p.Credentials, p.Next })
}

// AddCredential makes a user name and a password, which this answer alone shows.
func (c *Client) AddCredential(ctx context.Context, customer, label string) (NewCredential, error) {
	return send[NewCredential](ctx, c, http.MethodPost, "/v1/credentials", CredentialRequest{Customer: customer, CredentialSettings: CredentialSettings{Label: label}})
}

// RevokeCredential ends a credential.
func (c *Client) RevokeCredential(ctx context.Context, user string) (Done, error) {
	return send[Done](ctx, c, http.MethodDelete, "/v1/credentials/"+url.PathEscape(user), nil)
}

// UpdateCredential replaces a credential's label, limits and networks.
func (c *Client) UpdateCredential(ctx context.Context, user string, settings CredentialSettings) (Credential, error) {
	return send[Credential](ctx, c, http.MethodPut, "/v1/credentials/"+url.PathEscape(user), settings)
}

// CredentialUse returns what a credential sent.
func (c *Client) CredentialUse(ctx context.Context, user string) (CredentialUse, error) {
	return send[CredentialUse](ctx, c, http.MethodGet, "/v1/credentials/"+url.PathEscape(user)+"/use", nil)
}

// Keys returns the signing keys of a domain, or of all when domain is "".
func (c *Client) Keys(ctx context.Context, domain string) ([]SigningKey, error) {
	return pages(ctx, c, "/v1/dkim", values("domain", domain), func(p SigningKeys) ([]SigningKey, string) { return p.Keys, p.Next })
}

// AddKeys makes or stores signing keys.
func (c *Client) AddKeys(ctx context.Context, r KeyRequest) ([]SigningKey, error) {
	out, err := send[SigningKeys](ctx, c, http.MethodPost, "/v1/dkim", r)
	return out.Keys, err
}

// ActivateKey makes the gateway sign with a key.
func (c *Client) ActivateKey(ctx context.Context, domain, selector string) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/dkim/"+url.PathEscape(domain)+"/"+url.PathEscape(selector)+"/activate", nil)
}

// RetireKey makes the gateway sign with a key no more.
func (c *Client) RetireKey(ctx context.Context, domain, selector string) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/dkim/"+url.PathEscape(domain)+"/"+url.PathEscape(selector)+"/retire", nil)
}
