package checkup

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"postern/internal/tlspolicy"
)

// maxHops is how many redirects are followed for a file that a stranger names.
const maxHops = 3

// fetched is a file from the web, or why there is none.
type fetched struct {
	body    []byte
	err     error
	unknown bool // with err: the host was not reached; what it would have said is not known
}

// fetch gets a small file from an address that a stranger chose: https only, also where it is led on to; hosts that are not on the internet are not
// connected to. What was asked and answered is written down.
func (v *view) fetch(w *witness, address string, most int64) fetched {
	client := tlspolicy.OutsideClient(tlspolicy.FetchOptions{Resolver: v.o.Resolver, RootCAs: v.o.Probes.RootCAs, Dial: v.dial, Private: v.o.Probes.Inside,
		Timeout: min(v.timeout(), 10*time.Second)})
	client.CheckRedirect = func(r *http.Request, before []*http.Request) error {
		if len(before) > maxHops || !webAddress(r.URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	out := v.get(client, address, most)
	q := Question{Name: address, Type: http.MethodGet, Status: "found"}
	if out.err != nil {
		q.Status, q.Why = "try later", reason(out.err)
	} else {
		q.Values = []string{strconv.Itoa(len(out.body)) + " bytes"}
	}
	w.note(q)
	return out
}

func (v *view) get(client *http.Client, address string, most int64) fetched {
	req, err := http.NewRequestWithContext(v.ctx, http.MethodGet, address, nil)
	if err != nil {
		return fetched{err: err}
	}
	req.Header.Set("User-Agent", "Postern")
	res, err := client.Do(req)
	if err != nil {
		var unverified *tls.CertificateVerificationError
		var host x509.HostnameError
		var network *url.Error
		sure := errors.As(err, &unverified) || errors.As(err, &host) || errors.Is(err, tlspolicy.ErrInside)
		return fetched{err: err, unknown: !sure && errors.As(err, &network)}
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fetched{err: fmt.Errorf("the host answers %d, expected 200", res.StatusCode), unknown: res.StatusCode >= 500}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		return fetched{err: err, unknown: true}
	case int64(len(body)) > most:
		return fetched{err: fmt.Errorf("%w: more than %d KB", errLarge, most>>10)}
	}
	return fetched{body: body}
}
