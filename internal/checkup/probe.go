package checkup

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// Probes says how servers are connected to. Whether they are is Ask's matter.
type Probes struct {
	// Dial makes a TCP connection, for tests and for egress addresses; nil: the system's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Hostname is the name given in EHLO; "": no mail server is connected to.
	Hostname string
	// Inside are networks that are not on the internet and may be connected to all the same; see dns.Inside.
	Inside  []netip.Prefix
	RootCAs *x509.CertPool // nil: the system's
	Timeout time.Duration  // of one connection with all that is said on it; 0: 10 s
}

// Mine is what the operator says is his.
type Mine struct {
	IPs     []netip.Prefix
	Domains []mail.Domain // with all below them
}

// RelayTest is a test for an open relay: it is made only against a server that is ours or Mine, with a mailbox at a domain that is.
type RelayTest struct {
	To mail.Address // whom mail through an open relay would reach; no message is ever sent
}

// ours reports whether an address is one that mail of ours leaves from, or that the operator says is his.
func (c *Checker) ours(ip netip.Addr, ask Ask) bool {
	ip = ip.Unmap()
	return slices.ContainsFunc(c.o.Egress, func(e EgressAddress) bool { return e.IP.Unmap() == ip }) ||
		slices.ContainsFunc(ask.Mine.IPs, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// owns reports whether a domain is at or below one that the operator says is his.
func (m Mine) owns(d mail.Domain) bool {
	if ip, literal := d.Literal(); literal {
		return slices.ContainsFunc(m.IPs, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	return slices.ContainsFunc(m.Domains, func(own mail.Domain) bool { return d == own || strings.HasSuffix(string(d), "."+string(own)) })
}

// mayProbe is why an address is not connected to: a code below "server.", "" it is.
func (c *Checker) mayProbe(ip netip.Addr, ask Ask) string {
	switch {
	case !c.probes(ask):
		return "unprobed"
	case dns.Inside(ip, c.o.Probes.Inside):
		return "inside"
	}
	return ""
}

// Ports of mail servers.
const (
	portRelay      = 25  // between servers
	portSubmitTLS  = 465 // submission under TLS (RFC 8314)
	portSubmission = 587 // submission with STARTTLS (RFC 6409)
)

// reach is what came of a connection.
type reach string

const (
	doorOpen    reach = "open"    // it spoke SMTP
	doorRefuses reach = "refuses" // it spoke SMTP, and does not want to speak to us: 4xx, 5xx
	doorClosed  reach = "closed"  // nothing listens
	doorSilent  reach = "silent"  // no answer in time
	doorStrange reach = "strange" // something listens that does not speak SMTP
)

// door is what one port showed.
type door struct {
	ip       netip.Addr
	port     int
	reach    reach
	greeting smtp.Reply
	plain    map[string]string    // offered without TLS; nil at a port that begins with TLS
	secret   map[string]string    // offered under TLS
	tls      *tls.ConnectionState // nil without
	tlsErr   error                // why there is no TLS although it is offered, or must be
	versions map[uint16]reach     // of TLS, as they were tried one by one; nil when they were not
	err      error
	said     []smtp.Exchange
	seen     time.Time // of a connection that was made for an earlier check-up, when; zero: for this one
}

// ways are all suites that Go knows, weak ones too: what a server does is measured, and no secret is sent.
func ways() []uint16 {
	var out []uint16
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		out = append(out, s.ID)
	}
	return out
}

// clientTLS is how TLS is measured: any certificate and any version is taken, and judged afterwards.
func (c *Checker) clientTLS(name string, low, high uint16) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: low, MaxVersion: high, CipherSuites: ways(), RootCAs: c.o.Probes.RootCAs}
}

// dial connects to a port. Every connection of a check-up to a mail server is made here.
func (c *Checker) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.o.Probes.Dial != nil {
		return c.o.Probes.Dial(ctx, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// timeout bounds one connection.
func (c *Checker) timeout() time.Duration {
	if c.o.Probes.Timeout > 0 {
		return c.o.Probes.Timeout
	}
	return 10 * time.Second
}

// session opens an SMTP session, with TLS from the first byte where cfg says so at a port that begins with it.
func (c *Checker) session(ctx context.Context, at netip.AddrPort, cfg *tls.Config) (*smtp.Client, error) {
	t := c.timeout()
	o := smtp.ClientOptions{Hostname: c.o.Probes.Hostname, Timeouts: smtp.Timeouts{Connect: t, Greeting: t, Hello: t, Mail: t, Rcpt: t, Quit: time.Second, Session: t},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := c.dial(ctx, network, addr)
			if err != nil || at.Port() != portSubmitTLS {
				return raw, err
			}
			secured := tls.Client(raw, cfg)
			if err := secured.HandshakeContext(ctx); err != nil {
				_ = raw.Close()
				return nil, &handshakeError{err}
			}
			return secured, nil
		}}
	return smtp.Dial(ctx, at, o)
}

// handshakeError is a TLS handshake that failed at a port that begins with it.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// knock makes the one connection to a port that a check-up makes at anybody's server, says EHLO, changes to TLS where it is offered, and leaves
// politely.
func (c *Checker) knock(ctx context.Context, ip netip.Addr, port int, name string) door {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	d := door{ip: ip, port: port}
	cfg := c.clientTLS(name, tls.VersionTLS10, tls.VersionTLS13)
	s, err := c.session(ctx, netip.AddrPortFrom(ip, uint16(port)), cfg)
	if err != nil {
		d.fail(err)
		return d
	}
	defer func() { _ = s.Close() }()
	d.reach, d.greeting = doorOpen, s.Greeting()
	if port == portSubmitTLS {
		d.secret, d.tls = s.Extensions(), s.TLS()
	} else {
		d.plain = s.Extensions()
		if _, offered := d.plain["STARTTLS"]; offered {
			if err := s.StartTLS(ctx, cfg); err != nil {
				d.tlsErr = err
			} else {
				d.secret, d.tls = s.Extensions(), s.TLS()
			}
		}
	}
	_ = s.Quit(ctx)
	d.said = s.Transcript()
	return d
}

// fail says what an error of the first words means.
func (d *door) fail(err error) {
	d.err = err
	var reply *smtp.Error
	var shake *handshakeError
	var opening *smtp.ClientError
	switch {
	case errors.As(err, &reply):
		d.reach, d.greeting = doorRefuses, reply.Reply()
	case errors.As(err, &shake) && !timedOut(err):
		d.reach, d.tlsErr = doorStrange, shake.err
	case timedOut(err):
		d.reach = doorSilent
	case errors.Is(err, syscall.ECONNREFUSED):
		d.reach = doorClosed
	case errors.As(err, &opening) && opening.Phase != smtp.PhaseConnect:
		d.reach = doorStrange
	default:
		d.reach = doorSilent // no route, a firewall's refusal: nothing is known of the server
	}
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// tlsVersions are all that Go can speak; SSL 3 and older are not tried.
var tlsVersions = []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}

// tryVersions makes one connection for each version of TLS that is not known yet, one after the other: at servers of ours only.
func (c *Checker) tryVersions(ctx context.Context, d *door, name string) {
	d.versions = map[uint16]reach{d.tls.Version: doorOpen}
	for _, v := range tlsVersions {
		if v == d.tls.Version {
			continue
		}
		d.versions[v] = c.tryVersion(ctx, d, name, v)
	}
}

func (c *Checker) tryVersion(ctx context.Context, d *door, name string, v uint16) reach {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	cfg := c.clientTLS(name, v, v)
	s, err := c.session(ctx, netip.AddrPortFrom(d.ip, uint16(d.port)), cfg)
	var shake *handshakeError
	switch {
	case errors.As(err, &shake) && !timedOut(err):
		return doorRefuses
	case err != nil:
		return doorSilent
	}
	defer func() { _ = s.Close() }()
	if d.port != portSubmitTLS {
		var ended *smtp.ClientError
		err := s.StartTLS(ctx, cfg)
		if errors.As(err, &ended) && ended.Phase == smtp.PhaseHandshake && !timedOut(err) {
			return doorRefuses
		}
		if err != nil {
			return doorSilent
		}
	}
	_ = s.Quit(ctx)
	return doorOpen
}

// question is the evidence of a connection.
func (d door) question() Question {
	q := Question{Name: netip.AddrPortFrom(d.ip, uint16(d.port)).String(), Type: "CONNECT", Status: "found"}
	for _, e := range d.said {
		if len(q.Values) >= maxValues {
			break
		}
		if e.Sent != "" {
			q.Values = append(q.Values, "> "+clip(e.Sent, 200))
		}
		for _, line := range e.Received[:min(len(e.Received), 20)] {
			if len(q.Values) < 2*maxValues {
				q.Values = append(q.Values, clip(line, 200))
			}
		}
	}
	switch d.reach {
	case doorRefuses:
		q.Values = []string{clip(replyText(d.greeting), 400)}
	case doorClosed:
		q.Status = "nothing"
	case doorSilent, doorStrange:
		q.Status, q.Why = "try later", reason(d.err)
	}
	if !d.seen.IsZero() {
		q.Values = append([]string{"(" + d.seen.UTC().Format("2006-01-02 15:04:05") + " UTC)"}, q.Values...)
	}
	if d.tls != nil {
		q.Values = append(q.Values, tls.VersionName(d.tls.Version)+" "+tls.CipherSuiteName(d.tls.CipherSuite))
	}
	return q
}

// replyText is a reply in one line.
func replyText(r smtp.Reply) string {
	text := strconv.Itoa(r.Code)
	if !r.Enhanced.IsZero() {
		text += " " + r.Enhanced.String()
	}
	return fmt.Sprintf("%s %s", text, strings.Join(r.Lines, " "))
}

// ErrRelayTest wraps why a test for an open relay is not made.
var ErrRelayTest = errors.New("no test for an open relay")

// nonce is a text that nobody has used as a mailbox.
func nonce() string { return strings.ToLower(rand.Text()[:12]) }
