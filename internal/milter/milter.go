// Package milter is the filter as a service for other mail servers: Postfix and Sendmail ask it about each message over the milter
// protocol, and do what it says.
//
// # What it does
//
// It takes connections from mail servers, gathers one message after the other with its envelope, has package filter judge it, and
// answers: header fields with score and tests, and above the threshold quarantine (Postfix's hold queue), a refusal, or the fields
// alone. Fields of ours that came with the message are taken out, so that nobody can praise himself. It changes nothing else.
//
// Whose the mail is: the customer of the credential that the client authenticated with at the mail server, else the one whose
// network holds the client's address, else Settings.Customer, else nobody's with Settings.Threshold. A suspended customer's mail is
// refused whatever the score.
//
// The message judged is the one that will leave: fields in their order with their spaces, CRLF line ends, and on top the Received
// field that the mail server adds and does not show to milters. The signature that Postern adds to its own mail is not
// assumed; a signing milter belongs before this one.
//
// # What it does not
//
// It stores nothing and delivers nothing. It does not hold the sender to his own domains; that is the mail server's to do.
//
// # States
//
//	negotiate -> [connect -> hello] -> (mail -> rcpt... -> header... -> body... -> end)...
//
// An abort goes back before mail, quit ends. Anything out of this order ends the connection.
//
// # How it fails
//
// What stops a verdict (a broken filter, a needed scanner that is away, no memory left for the message) is answered as Settings.OnError says: 451, or the message
// passes with a field that says it was not tested. A message above Limits.MessageBytes goes as Settings.TooLarge says. Bytes that
// are no milter protocol, a panic or a server that offers too little end that one connection; the mail server then does what its
// own configuration says about milters that fail (Postfix: milter_default_action, tempfail unless set).
//
// # Who calls it
//
// app opens the listeners and calls Serve; nothing else does. The protocol gives no proof of who speaks: whoever can connect is
// believed, so listeners belong on loopback, on unix sockets or in Settings.Networks.
package milter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/listen"
)

// What happens to a message above the threshold (Settings.Action).
const (
	Quarantine = "quarantine" // the mail server keeps it until a person decides
	Reject     = "reject"     // 550 5.7.1
	Tag        = "tag"        // header fields only
)

// What happens to a message that cannot be judged (Settings.OnError, TooLarge).
const (
	TempFail = "tempfail" // the client keeps it and tries again
	Accept   = "accept"   // it passes, marked as not tested
)

// Settings may change while mail flows, by Reload.
type Settings struct {
	Customer  string         // account.Customer.ID of mail that nothing else assigns; "" = nobody's
	Threshold float64        // of nobody's mail; 0 = filter.DefaultThreshold
	Action    string         // Quarantine (default), Reject or Tag
	OnError   string         // TempFail (default) or Accept
	TooLarge  string         // Accept (default) or TempFail
	Networks  []netip.Prefix // who may connect besides this machine
}

func (s *Settings) fill() error {
	for _, x := range []struct {
		name  string
		value *string
		words []string
	}{
		{"action", &s.Action, []string{Quarantine, Reject, Tag}},
		{"on_error", &s.OnError, []string{TempFail, Accept}},
		{"too_large", &s.TooLarge, []string{Accept, TempFail}},
	} {
		if *x.value == "" {
			*x.value = x.words[0]
		}
		if !slices.Contains(x.words, *x.value) {
			return fmt.Errorf("milter.%s: %q is not known; expected %s", x.name, *x.value, strings.Join(x.words, " or "))
		}
	}
	if s.Threshold == 0 {
		s.Threshold = filter.DefaultThreshold
	}
	return nil
}

// Limits bound what mail servers may do. Zero values take the defaults.
type Limits struct {
	Connections   int           // open at once; default 500
	MessageBytes  int64         // of one message; default 25 MB
	InFlightBytes int64         // of all messages being received; default 1 GiB
	Recipients    int           // kept of one message, the rest is not looked at; default 1000
	Idle          time.Duration // without a packet; default 2 h, as libmilter: a client of the mail server may take its time
	Packet        time.Duration // for the rest of a packet and for taking an answer; default 60 s
	DrainGrace    time.Duration // how long a message may take to be answered after ctx ends; default 15 s
}

func (l *Limits) fill() {
	l.Connections = cmp.Or(l.Connections, 500)
	l.MessageBytes = cmp.Or(l.MessageBytes, 25_000_000)
	l.InFlightBytes = cmp.Or(l.InFlightBytes, 1<<30)
	l.Recipients = cmp.Or(l.Recipients, 1000)
	l.Idle = cmp.Or(l.Idle, 2*time.Hour)
	l.Packet = cmp.Or(l.Packet, time.Minute)
	l.DrainGrace = cmp.Or(l.DrainGrace, 15*time.Second)
}

// Options is what New needs. Hostname, Accounts and Filter are required.
type Options struct {
	Hostname string // ours, where the mail server does not tell its own
	Accounts *account.Ledger
	Filter   *filter.Filter
	Settings Settings
	Limits   Limits
	// Count hears what became of each message: "clean", "tagged", "quarantined", "rejected", "suspended", "too_large", "error"; and
	// "refused" for a connection that was turned away, "broken" for one that ended because of what it sent. Nil: nobody.
	Count  func(event string)
	Tested func(filter.Verdict) // every verdict, for the figures; nil: nobody
	Logger *slog.Logger
	Now    func() time.Time
}

// Server answers mail servers. One Server may serve several listeners; they share its limits.
type Server struct {
	o        Options
	settings atomic.Pointer[Settings]
	open     atomic.Int64
	inFlight atomic.Int64
}

// New checks the options. It does no I/O.
func New(o Options) (*Server, error) {
	if o.Accounts == nil || o.Filter == nil || o.Hostname == "" {
		return nil, errors.New("milter: host name, accounts and filter are required")
	}
	o.Limits.fill()
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
	return s, s.Reload(o.Settings)
}

// Reload replaces the settings for every message that ends from now on. Wrong ones leave all as it was.
func (s *Server) Reload(next Settings) error {
	if err := next.fill(); err != nil {
		return err
	}
	s.settings.Store(&next)
	return nil
}

// Serve accepts connections from l until ctx ends. Then it closes l and the connections without a message under way, gives the others
// Limits.DrainGrace and returns nil. It returns an error only when l breaks by itself.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return listen.Serve(ctx, l, listen.Options{Name: "milter", Grace: s.o.Limits.DrainGrace, Logger: s.o.Logger}, s.admit)
}

// admit starts a session, or closes the connection: the mail server then does what it does without a milter.
func (s *Server) admit(ctx context.Context, open *listen.Sessions[*session], conn net.Conn) {
	_, trusted := listen.Peer(conn.RemoteAddr(), s.settings.Load().Networks)
	switch {
	case !trusted:
		s.o.Logger.Warn("milter: connection from an address outside milter.networks", "address", conn.RemoteAddr().String())
	case s.open.Add(1) > int64(s.o.Limits.Connections):
		s.open.Add(-1)
		s.o.Logger.Warn("milter: too many connections; raise milter.connections", "limit", s.o.Limits.Connections)
	default:
		x := newSession(s, conn)
		open.Start(x, conn, func() {
			defer s.open.Add(-1)
			defer x.reset()
			s.contain("connection", func() { x.run(ctx) })
		})
		return
	}
	s.o.Count("refused")
	_ = conn.Close()
}

// contain runs f and reports whether it ended without panic: one message must not end the gateway.
func (s *Server) contain(what string, f func()) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			s.o.Logger.Error("milter: "+what+" failed", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	f()
	return true
}

// reserve takes memory for n bytes of a message from what all may use together.
func (s *Server) reserve(n int64) bool {
	if s.inFlight.Add(n) <= s.o.Limits.InFlightBytes {
		return true
	}
	s.inFlight.Add(-n)
	return false
}
