// Package sink is the server at the end of a benchmark: it takes every message at once, tells that it did, and forgets it.
package sink

import (
	"context"
	"net"

	"postern/internal/mail"
	"postern/internal/smtp"
)

// Serve listens on addr until ctx ends and returns where. took is called for each message, from many goroutines.
func Serve(ctx context.Context, addr string, took func()) (string, error) {
	limits := smtp.DefaultLimits()
	limits.ConnectionsPerIP, limits.ConnectionsPerNetwork, limits.NewPerMinutePerIP, limits.Messages, limits.Junk = -1, -1, -1, -1, 1<<30
	server, err := smtp.NewServer(smtp.ServerOptions{Hostname: "sink.bench.test", Handler: handler{took}, Limits: limits})
	if err != nil {
		return "", err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	go func() { _ = server.Serve(ctx, l) }()
	return l.Addr().String(), nil
}

// handler is smtp's Handler and Session at once: it remembers nothing of a connection.
type handler struct{ took func() }

// NewSession lets anybody in.
func (h handler) NewSession(context.Context, *smtp.Conn) (smtp.Session, error) { return h, nil }

// Mail takes every sender.
func (handler) Mail(context.Context, *smtp.Transaction) error { return nil }

// Rcpt takes every recipient.
func (handler) Rcpt(context.Context, *smtp.Transaction, mail.Recipient) error { return nil }

// Data takes every message.
func (h handler) Data(context.Context, *smtp.Transaction, []byte) (smtp.Reply, error) {
	h.took()
	return smtp.Reply{}, nil
}

// Close forgets the connection.
func (handler) Close() {}
