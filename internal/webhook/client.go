package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postern/internal/dns"
)

// Bounds of a post.
const (
	postTime    = 15 * time.Second // from the question for the name to the end of the answer
	dialTime    = 5 * time.Second
	maxAnswer   = 64 << 10 // bytes of the answer that are read, to use the connection again
	maxHeader   = 64 << 10
	maxRetry    = 3 * time.Hour
	minRetry    = 10 * time.Second
	maxTargets  = 8 // addresses of one name that are tried
	maxIdlePool = 64
)

// Client posts. It asks DNS itself and connects to addresses that its policy allows only, at each post anew; it follows no redirect, uses no
// proxy, and speaks TLS 1.2 at least. It is safe for concurrent use.
type Client struct {
	policy   Policy
	resolver dns.Resolver // nil: the system's
	http     *http.Client
}

// NewClient makes a client. resolver nil is the system's. root nil are the system's certificate authorities.
func NewClient(policy Policy, resolver dns.Resolver, root *tls.Config) *Client {
	c := &Client{policy: policy, resolver: resolver}
	conf := &tls.Config{}
	if root != nil {
		conf = root.Clone()
	}
	conf.MinVersion = tls.VersionTLS12
	c.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{Proxy: nil, DialContext: c.dial, TLSClientConfig: conf, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialTime,
			ResponseHeaderTimeout: postTime, MaxResponseHeaderBytes: maxHeader, MaxIdleConns: maxIdlePool, MaxIdleConnsPerHost: 1,
			IdleConnTimeout: 30 * time.Second}, // short, so that a name that moved is asked anew
	}
	return c
}

// HTTP returns a client for other questions, which goes where the policy allows and follows no redirect, as posts do. An answer may begin so late.
func (c *Client) HTTP(wait time.Duration) *http.Client {
	t := c.http.Transport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = wait
	return &http.Client{Transport: t, CheckRedirect: c.http.CheckRedirect}
}

// errNoName: DNS knows no address of the host.
var errNoName = errors.New("the host has no address")

// dial connects to an address of the host that the policy allows.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ips, err := c.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTime, Control: c.control}
	last, tried := error(ErrForbidden), 0
	for _, ip := range ips {
		if !c.policy.Allows(ip) {
			continue
		}
		if tried++; tried > maxTargets {
			break
		}
		conn, err := d.DialContext(ctx, network, net.JoinHostPort(ip.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

// control looks at the address once more, as the system call gets it.
func (c *Client) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !c.policy.Allows(at.Addr()) {
		return ErrForbidden
	}
	return nil
}

// lookup finds the addresses of a host.
func (c *Client) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761 6.3
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	if c.resolver == nil {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	}
	answer := dns.Addrs(ctx, c.resolver, name)
	switch answer.Status {
	case dns.Found:
		var out []netip.Addr
		for _, r := range answer.Records {
			out = append(out, r.IP)
		}
		return out, nil
	case dns.Nothing:
		return nil, errNoName
	}
	return nil, fmt.Errorf("%w: %w", errNoName, answer.Err)
}

// Outcome is how an attempt ended, as a stable word.
type Outcome string

// The outcomes.
const (
	Taken       Outcome = "taken"      // the answer was 2xx
	Refused     Outcome = "refused"    // another answer; Status tells which
	Gone        Outcome = "gone"       // 410: the receiver wants no more
	Timeout     Outcome = "timeout"    // no answer in time
	Unnamed     Outcome = "no-address" // DNS knows no address of the host
	Forbidden   Outcome = "forbidden"  // the address does not lead to the internet
	Insecure    Outcome = "tls"        // no connection that is protected and proved
	Unreachable Outcome = "connection" // no connection, or it broke
)

// Answer is what came of a post.
type Answer struct {
	Outcome    Outcome
	Status     int           // of HTTP; 0: none came
	RetryAfter time.Duration // that the receiver asks for, bounded; 0: it does not
	Took       time.Duration
}

// Post sends a body, signed, and says what came of it. Only 2xx is taken.
func (c *Client) Post(ctx context.Context, target, delivery string, body []byte, now time.Time, secrets ...[]byte) Answer {
	ctx, cancel := context.WithTimeout(ctx, postTime)
	defer cancel()
	begin := time.Now()
	a := c.post(ctx, target, delivery, body, now, secrets)
	a.Took = time.Since(begin)
	return a
}

func (c *Client) post(ctx context.Context, target, delivery string, body []byte, now time.Time, secrets [][]byte) Answer {
	if c.policy.Check(target) != nil {
		return Answer{Outcome: Forbidden}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return Answer{Outcome: Unnamed}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Postern")
	req.Header.Set("Postern-Delivery", delivery)
	req.Header.Set("Postern-Signature", Sign(now, body, secrets...))
	res, err := c.http.Do(req)
	if err != nil {
		return Answer{Outcome: outcomeOf(ctx, err)}
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, maxAnswer)
	a := Answer{Status: res.StatusCode, Outcome: Refused}
	switch {
	case res.StatusCode >= 200 && res.StatusCode <= 299:
		a.Outcome = Taken
	case res.StatusCode == http.StatusGone:
		a.Outcome = Gone
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable:
		a.RetryAfter = RetryAfter(res.Header.Get("Retry-After"), now)
	}
	return a
}

// outcomeOf puts an error into a word. The error itself may tell of networks that the reader has no business with.
func outcomeOf(ctx context.Context, err error) Outcome {
	var timeout net.Error
	var record tls.RecordHeaderError
	var proof *tls.CertificateVerificationError
	var alert tls.AlertError
	var unknown *net.DNSError
	switch {
	case errors.Is(err, ErrForbidden):
		return Forbidden
	case errors.Is(err, errNoName), errors.As(err, &unknown):
		return Unnamed
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &proof), errors.As(err, &record), errors.As(err, &alert), strings.Contains(err.Error(), "tls: "):
		return Insecure
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	}
	return Unreachable
}

// RetryAfter reads the header field of that name (RFC 9110 10.2.3), seconds or a date, bounded to 10 s and 3 h. 0: it says nothing.
func RetryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > 60 {
		return 0
	}
	wait := time.Duration(0)
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		wait = time.Duration(min(n, uint64(maxRetry/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		wait = maxRetry
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	} else {
		return 0
	}
	return min(max(wait, minRetry), maxRetry)
}
