package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/smtp"
)

// Smarthost is a server that takes all our mail, instead of the recipients' own (RFC 5321 calls it a relay).
type Smarthost struct {
	Host           string // name or IP
	Port           int    // default 587
	User, Password string // no login when User is empty
	// TLS is "required" (default: STARTTLS with a checked certificate), "implicit" (port 465, checked), "opportunistic" (STARTTLS
	// where offered, unchecked) or "none". A login needs one of the first two, or a smarthost on loopback.
	TLS string
}

// smarthostSite names the one lane (of each egress address) that everything goes through when there is a smarthost; smarthostDomain is what the
// directory knows it by, which no recipient's domain can be.
const (
	smarthostSite   = "smarthost"
	smarthostDomain = mail.Domain(":smarthost")
)

func (s *Smarthost) check() error {
	if s.Host == "" {
		return errors.New("delivery: smarthost without a host")
	}
	switch s.TLS {
	case "", "required", "implicit":
	case "none", "opportunistic":
		if ip, err := netip.ParseAddr(s.Host); s.User != "" && (err != nil || !ip.IsLoopback()) {
			return fmt.Errorf("delivery: a password is only sent to a smarthost whose certificate is checked; TLS is %q", s.TLS)
		}
	default:
		return fmt.Errorf("delivery: smarthost TLS is %q; expected required, implicit, opportunistic or none", s.TLS)
	}
	return nil
}

func (s *Smarthost) port() uint16 {
	switch {
	case s.Port != 0:
		return uint16(s.Port)
	case s.TLS == "implicit":
		return 465
	}
	return 587
}

// findSmarthost resolves the smarthost. What is wrong with it is ours to mend, never the recipient's fault.
func (d *Delivery) findSmarthost(ctx context.Context) found {
	s := d.o.Smarthost
	if ip, err := netip.ParseAddr(s.Host); err == nil {
		return found{hosts: []exchanger{{name: s.Host, addrs: []netip.Addr{ip.Unmap()}}}, names: []string{s.Host}, ttl: maxAnswer}
	}
	h, ttl, why := d.addresses(ctx, s.Host)
	f := found{names: []string{s.Host}, ttl: ttl, why: why}
	if len(h.addrs) == 0 && why == nil {
		f.why = &trouble{451, "4.4.4", "The smarthost " + s.Host + " has no address", meansOurs}
	}
	if f.why == nil {
		f.hosts = []exchanger{h}
	}
	return f
}

// smarthostProvider is the smarthost as a receiver: it has our own limits only.
func (d *Delivery) smarthostProvider() *provider.Provider {
	return &provider.Provider{Name: smarthostSite, Title: d.o.Smarthost.Host, Limits: provider.Limits{Connections: d.o.PerLane, PerConnection: d.o.PerConn, PerMessage: d.o.PerMessage}}
}

// openSmarthost connects to the smarthost, greets and logs in.
func (d *Delivery) openSmarthost(ctx context.Context, t target, e shaping.Egress) (*link, error) {
	s := d.o.Smarthost
	o := smtp.ClientOptions{Hostname: e.HELO, LocalAddr: e.IP, Dial: d.o.Dial, Timeouts: d.o.Timeouts}
	if s.TLS == "implicit" {
		o.Dial = d.dialTLS(s)
	}
	c, err := smtp.Dial(ctx, t.addr, o)
	if err != nil {
		return nil, err
	}
	l := &link{Client: c, host: t.String(), egress: e.IP}
	if err := d.login(ctx, l, s); err != nil {
		_ = c.Close()
		return nil, err
	}
	return l, nil
}

// login secures the connection to the smarthost and logs in. Its certificate is checked: it sees all our mail.
func (d *Delivery) login(ctx context.Context, l *link, s *Smarthost) error {
	_, offered := l.Extension("STARTTLS")
	switch {
	case s.TLS == "opportunistic" && offered:
		if err := l.StartTLS(ctx, opportunistic(s.Host)); err != nil {
			return err
		}
	case s.TLS == "" || s.TLS == "required":
		if err := l.StartTLS(ctx, &tls.Config{ServerName: s.Host, RootCAs: d.o.RootCAs, MinVersion: tls.VersionTLS12}); err != nil {
			return err
		}
	}
	if s.User == "" {
		return nil
	}
	return l.Auth(ctx, s.User, s.Password)
}

func (d *Delivery) dialTLS(s *Smarthost) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		dial := d.o.Dial
		if dial == nil {
			dial = (&net.Dialer{}).DialContext
		}
		raw, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := tls.Client(raw, &tls.Config{ServerName: s.Host, RootCAs: d.o.RootCAs, MinVersion: tls.VersionTLS12})
		if err := c.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, err
		}
		return c, nil
	}
}
