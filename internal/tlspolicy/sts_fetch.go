package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
)

// fetchTimeout bounds one fetch with all its steps (RFC 8461 3.3: "such as one minute").
const fetchTimeout = time.Minute

// ErrInside: a host has only addresses that are not on the internet.
var ErrInside = errors.New("is not on the internet")

// FetchOptions is what NewFetcher needs. Resolver is required.
type FetchOptions struct {
	Resolver dns.Resolver
	RootCAs  *x509.CertPool                                                    // nil: the system's
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error) // to an address that was looked up and may be connected to; nil: a net.Dialer
	Private  []netip.Prefix                                                    // networks that are not on the internet and hold policy hosts all the same
	Now      func() time.Time                                                  // nil: time.Now
	Timeout  time.Duration                                                     // of a fetch with all its steps; 0: one minute
}

// Fetcher gets MTA-STS policies as a Book does, and keeps none: for those who look at a domain without writing to it. Safe for many goroutines.
type Fetcher struct{ client *http.Client }

// NewFetcher makes a Fetcher. It does no I/O.
func NewFetcher(o FetchOptions) *Fetcher { return &Fetcher{client: OutsideClient(o)} }

// OutsideClient is the HTTP client of a Fetcher, for other small files at addresses that strangers chose: certificates are checked, hosts that are
// not on the internet are not connected to, redirects are not followed, nothing is kept. The caller bounds what he reads.
func OutsideClient(o FetchOptions) *http.Client {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 20 * time.Second}).DialContext
	}
	if o.Timeout <= 0 {
		o.Timeout = fetchTimeout
	}
	return newClient(&o, func() []netip.Prefix { return o.Private })
}

// Policy gets the policy of a domain from its policy host (RFC 8461 3.3). failure is the result type of RFC 8460 4.3.2.2 for an error: STSFetchError,
// STSWebPKI or STSInvalid, with which text is what was found. The error wraps ErrInside, ErrInvalidPolicy or what went wrong on the network.
func (f *Fetcher) Policy(ctx context.Context, d mail.Domain) (text []byte, p STSPolicy, failure string, err error) {
	return fetchPolicy(ctx, f.client, d)
}

// newClient is the HTTP client for policy hosts and report receivers: HTTPS with a checked certificate, addresses on the internet only, no
// redirect, no proxy, nothing kept.
func newClient(o *FetchOptions, private func() []netip.Prefix) *http.Client {
	return &http.Client{
		Timeout:       o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // RFC 8461 3.3: 3xx MUST NOT be followed
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				return dialOutside(ctx, o, private(), addr)
			},
			TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12, Time: o.Now},
			TLSHandshakeTimeout:    20 * time.Second,
			ResponseHeaderTimeout:  30 * time.Second,
			MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true, // a small answer must not unfold into a large one
		},
	}
}

// dialOutside connects to a host that somebody else named: its addresses are looked up by our resolver, and those that are not on the internet
// are left out.
func dialOutside(ctx context.Context, o *FetchOptions, private []netip.Prefix, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	var ips []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = append(ips, ip)
	} else {
		a := dns.Addrs(ctx, o.Resolver, host)
		if a.Status != dns.Found {
			return nil, errors.Join(fmt.Errorf("addresses of %s: %s", host, a.Status), a.Err)
		}
		for _, r := range a.Records {
			ips = append(ips, r.IP.Unmap())
		}
	}
	last := fmt.Errorf("%s %w", host, ErrInside)
	tried := 0
	for _, ip := range ips {
		if dns.Inside(ip, private) {
			continue
		}
		if tried++; tried > 4 {
			break
		}
		c, err := o.Dial(ctx, "tcp", netip.AddrPortFrom(ip, uint16(n)).String())
		if err == nil {
			return c, nil
		}
		last = err
	}
	return nil, last
}

// fetch gets and reads the policy of a domain (RFC 8461 3.3). failure is the result type of RFC 8460 for an error.
func (b *Book) fetch(ctx context.Context, d mail.Domain) (text []byte, p STSPolicy, failure string, err error) {
	select {
	case b.fetches <- struct{}{}:
		defer func() { <-b.fetches }()
	case <-ctx.Done():
		return nil, p, STSFetchError, fmt.Errorf("too many policy hosts are asked at the same time: %w", ctx.Err())
	}
	return fetchPolicy(ctx, b.client, d)
}

func fetchPolicy(ctx context.Context, client *http.Client, d mail.Domain) (text []byte, p STSPolicy, failure string, err error) {
	text, err = get(ctx, client, "https://"+policyHost(d)+"/.well-known/mta-sts.txt")
	if err != nil {
		failure = STSFetchError
		var unverified *tls.CertificateVerificationError
		var host x509.HostnameError
		if errors.As(err, &unverified) || errors.As(err, &host) {
			failure = STSWebPKI
		}
		return nil, p, failure, err
	}
	if p, err = ParseSTSPolicy(text); err != nil {
		return text, p, STSInvalid, err
	}
	return text, p, "", nil
}

// get gets a small text.
func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "Postern")
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d, expected 200", url, res.StatusCode)
	}
	// RFC 8461 3.3: so that no user of a web space can publish a policy for all of the domain.
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "text/plain" {
		return nil, fmt.Errorf("%s is of type %.60q, expected text/plain", url, res.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPolicyBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if len(body) > maxPolicyBytes {
		return nil, fmt.Errorf("%s is longer than %d bytes", url, maxPolicyBytes)
	}
	return body, nil
}
