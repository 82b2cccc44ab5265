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

var errInside = errors.New("is not on the internet")

// newClient is the HTTP client for policy hosts and report receivers: HTTPS with a checked certificate, addresses on the internet only, no
// redirect, no proxy, nothing kept.
func (b *Book) newClient() *http.Client {
	return &http.Client{
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // RFC 8461 3.3: 3xx MUST NOT be followed
		Transport: &http.Transport{
			DialContext:            b.dial,
			TLSClientConfig:        &tls.Config{RootCAs: b.o.RootCAs, MinVersion: tls.VersionTLS12, Time: b.o.Now},
			TLSHandshakeTimeout:    20 * time.Second,
			ResponseHeaderTimeout:  30 * time.Second,
			MaxResponseHeaderBytes: 16 << 10,
			DisableKeepAlives:      true,
			DisableCompression:     true, // a small answer must not unfold into a large one
		},
	}
}

// dial connects to a host that somebody else named: its addresses are looked up by our resolver, and those that are not on the internet
// are left out.
func (b *Book) dial(ctx context.Context, _, addr string) (net.Conn, error) {
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
		a := dns.Addrs(ctx, b.o.Resolver, host)
		if a.Status != dns.Found {
			return nil, errors.Join(fmt.Errorf("addresses of %s: %s", host, a.Status), a.Err)
		}
		for _, r := range a.Records {
			ips = append(ips, r.IP.Unmap())
		}
	}
	last := fmt.Errorf("%s %w", host, errInside)
	tried := 0
	for _, ip := range ips {
		if dns.Inside(ip, b.tune.Load().Private) {
			continue
		}
		if tried++; tried > 4 {
			break
		}
		c, err := b.o.Dial(ctx, "tcp", netip.AddrPortFrom(ip, uint16(n)).String())
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
	text, err = b.get(ctx, "https://"+policyHost(d)+"/.well-known/mta-sts.txt")
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
		return nil, p, STSInvalid, err
	}
	return text, p, "", nil
}

// get gets a small text.
func (b *Book) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "Postern")
	res, err := b.client.Do(req)
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
