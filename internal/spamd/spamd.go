// Package spamd is the filter as a service for programs that know SpamAssassin's: it speaks the protocol of spamc and spamd, so that
// spamc, Exim, procmail and others ask Postern in its place.
//
// # What it does
//
// One connection brings one request: a verb, a few header lines, and a message. The answer is the verdict of package filter in the
// forms that the verbs ask for (SpamAssassin's spamd/PROTOCOL, version 1.5):
//
//	CHECK          the score only
//	SYMBOLS        the names of the tests that fired
//	REPORT         a report for people; REPORT_IFSPAM the same, empty for a message that passes
//	PROCESS        the message with X-Spam- fields; HEADERS its header only
//	TELL           learn the message as spam or ham, or forget it
//	PING           PONG
//	SKIP           nothing
//
// "Spam" means: scored above the threshold. The score is Postern's, 0 to 15.
//
// Whose the message is: the customer whose id the User line names, else Settings.Customer, else nobody's with Settings.Threshold.
// TELL learns for that customer, or into the base that counts for all. The envelope is not part of the protocol and is taken from the
// header: Return-Path, else From; To and Cc. X-Spam- fields in a message are somebody else's opinion: they are not looked at,
// not learned, and replaced in what is given back. Line ends and an mbox line ("From ") on top stay as they came.
//
// # What it does not
//
// It stores no message and remembers no sender: anybody on the machine could otherwise spoil or polish a sender's reputation by asking.
// It reports to no network ("remote" in TELL is left out of what was done). It speaks no TLS and asks no password: whoever can connect
// is served, so it listens on loopback or a unix socket, or is told the networks that may connect.
//
// # How it fails
//
// Every refusal is one line with a number of sysexits.h: 65 (message too large, compressed data broken), 69 (too many
// connections), 70 (the filter failed), 75 (no memory left, or a scanner that is needed is away), 76 (not the protocol), 77 (learning is not allowed here), 79 (too slow). A
// client that hears one passes its message on unchanged (spamc without -x). A panic ends one connection.
//
// # Who calls it
//
// app opens the listeners and calls Serve.
package spamd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/learn"
	"postern/internal/listen"
	"postern/internal/locale"
)

// Settings may change at run time, by Reload.
type Settings struct {
	Customer    string         // account.Customer.ID of messages that name none; "" = nobody's
	Threshold   float64        // of nobody's messages; 0 = filter.DefaultThreshold
	Language    string         // of reports about nobody's messages; "" = English
	Learn       bool           // clients on this machine may teach (TELL)
	LearnRemote bool           // clients in Networks too
	Networks    []netip.Prefix // who may connect besides this machine
}

// Limits bound what clients may do. Zero values take the defaults.
type Limits struct {
	Connections   int           // open at once; default 100
	MessageBytes  int64         // of one message, also after inflation; default 25 MB
	InFlightBytes int64         // of all messages being received or tested; default 1 GiB
	Request       time.Duration // for the request's lines; default 30 s
	Message       time.Duration // for the message; default 5 min
	Answer        time.Duration // for taking the answer; default 60 s
	DrainGrace    time.Duration // how long a request may take to be answered after ctx ends; default 15 s
}

func (l *Limits) fill() {
	l.Connections = cmp.Or(l.Connections, 100)
	l.MessageBytes = cmp.Or(l.MessageBytes, 25_000_000)
	l.InFlightBytes = cmp.Or(l.InFlightBytes, 1<<30)
	l.Request = cmp.Or(l.Request, 30*time.Second)
	l.Message = cmp.Or(l.Message, 5*time.Minute)
	l.Answer = cmp.Or(l.Answer, time.Minute)
	l.DrainGrace = cmp.Or(l.DrainGrace, 15*time.Second)
}

// Options is what New needs. Hostname, Accounts, Filter and Catalog are required.
type Options struct {
	Hostname string
	Version  string // ours, for X-Spam-Checker-Version
	Accounts *account.Ledger
	Filter   *filter.Filter // should be one that remembers no senders (filter.Options.ReadOnly)
	Learn    *learn.Ledger  // nil: TELL is refused
	Catalog  *locale.Catalog
	Settings Settings
	Limits   Limits
	// Count hears what became of each request: the verb in lower case ("check", "ping"); "refused" for a connection that was turned
	// away, "error" for a request that was not served. Nil: nobody.
	Count  func(event string)
	Tested func(filter.Verdict) // every verdict, for the figures; nil: nobody
	Logger *slog.Logger
	Now    func() time.Time
}

// Server answers clients. One Server may serve several listeners; they share its limits.
type Server struct {
	o        Options
	settings atomic.Pointer[Settings]
	open     atomic.Int64
	inFlight atomic.Int64
}

// New checks the options. It does no I/O.
func New(o Options) (*Server, error) {
	if o.Accounts == nil || o.Filter == nil || o.Catalog == nil || o.Hostname == "" {
		return nil, errors.New("spamd: host name, accounts, filter and catalog are required")
	}
	o.Limits.fill()
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Count == nil {
		o.Count = func(string) {}
	}
	if o.Tested == nil {
		o.Tested = func(filter.Verdict) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o}
	s.Reload(o.Settings)
	return s, nil
}

// Reload replaces the settings for every request that comes from now on.
func (s *Server) Reload(next Settings) {
	if next.Threshold == 0 {
		next.Threshold = filter.DefaultThreshold
	}
	if next.Language == "" {
		next.Language = locale.English
	}
	s.settings.Store(&next)
}

// Serve accepts connections from l until ctx ends. Then it closes l and the connections that have not asked yet, gives the
// others Limits.DrainGrace and returns nil. It returns an error only when l breaks by itself.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return listen.Serve(ctx, l, listen.Options{Name: "spamd", Grace: s.o.Limits.DrainGrace, Logger: s.o.Logger}, s.admit)
}

// admit starts a session, or says why not.
func (s *Server) admit(ctx context.Context, open *listen.Sessions[*session], conn net.Conn) {
	local, trusted := listen.Peer(conn.RemoteAddr(), s.settings.Load().Networks)
	switch {
	case !trusted:
		s.o.Logger.Warn("spamd: connection from an address outside spamd.networks", "address", conn.RemoteAddr().String())
	case s.open.Add(1) > int64(s.o.Limits.Connections):
		s.open.Add(-1)
		s.o.Logger.Warn("spamd: too many connections; raise spamd.connections", "limit", s.o.Limits.Connections)
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // one line fits into the socket's buffer
		_, _ = conn.Write(refusal(exUnavailable, "too many connections"))
	default:
		x := &session{server: s, conn: conn, local: local}
		open.Start(x, conn, func() {
			defer s.open.Add(-1)
			defer s.contain(x)
			x.run(ctx)
		})
		return
	}
	s.o.Count("refused")
	_ = conn.Close()
}

// contain ends a panic: one message must not end the gateway.
func (s *Server) contain(x *session) {
	if r := recover(); r != nil {
		s.o.Logger.Error("spamd: request failed", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		s.o.Count("error")
		x.write(refusal(exSoftware, "the request could not be served"))
	}
	x.release()
}
