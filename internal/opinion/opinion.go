// Package opinion asks another scanner about a message: clamd (viruses) and rspamd (spam), each over its own protocol. One question,
// one answer, no policy.
//
// # What it does
//
// [Clamd] sends the message over INSTREAM on a unix socket or over TCP and returns the name of what was found. [Rspamd] posts the message
// with its envelope to /checkv2 and returns action, score and symbols. Both open a connection for each question, and no more at one time
// than they are told; who finds all of them taken waits within his own time. Version asks whether the scanner is there at all, for the log.
//
// # What it does not
//
// It does not decide what an answer is worth, nor what happens to a message that nobody could scan: its caller (filter) does. It remembers
// nothing between questions and repeats none.
//
// # How it fails
//
// Every error is an [*Error] of one of three kinds: [ErrUnavailable] (no answer in time, or the scanner says that it cannot), [ErrTooLarge]
// (asking again will not help) and [ErrProtocol] (an answer that is none). Answers come from a program that reads hostile mail: their size,
// the time they take and every word in them are bounded, no redirect is followed, and what is not understood is never taken for "clean".
//
// Neither protocol without TLS hides the message on its way, so a plain connection is made only to this machine or a private network,
// whatever address a name leads to.
//
// # Who calls it
//
// filter, through an interface of its own; app makes the scanners; config asks CheckClamdAddress and CheckRspamdURL.
package opinion

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// Defaults of the options.
const (
	DefaultTimeout     = 15 * time.Second
	DefaultMaxSize     = 25_000_000 // bytes; Debian's clamd takes 25 MiB
	DefaultConnections = 8          // Debian's clamd has 12 threads
)

// Kinds of failure. Their texts may be shown to senders: they name no address of ours.
var (
	ErrUnavailable = errors.New("gave no answer")
	ErrTooLarge    = errors.New("does not take messages of this size")
	ErrProtocol    = errors.New("gave an answer that cannot be understood")
)

// Error is a question without an answer.
type Error struct {
	Scanner string // clamd, rspamd
	Kind    error  // ErrUnavailable, ErrTooLarge or ErrProtocol
	Detail  string // for the operator: it may name addresses and files
	Cause   error  // what the network said; nil: nothing
}

// Error is scanner, kind and detail in one line.
func (e *Error) Error() string {
	text := e.Scanner + " " + e.Kind.Error()
	for _, part := range []string{e.Detail, causeText(e.Cause)} {
		if part != "" {
			text += ": " + part
		}
	}
	return text
}

func causeText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Unwrap returns kind and cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Question is one message. Only Raw is needed; clamd looks at nothing else.
type Question struct {
	Raw        []byte     // the message, CRLF lines
	QueueID    string     // for the scanner's log
	IP         netip.Addr // the address it comes from, as receivers will see it
	Hello      string     // the name said in EHLO from there
	Hostname   string     // the name the address resolves to; "": not known
	From       string     // envelope sender; "": the null one
	Recipients []string   // envelope recipients; the first hundred are told
	User       string     // login of the sender; "": none
}

// Answer is what a scanner says. The zero Answer is clamd's "OK".
type Answer struct {
	Signature string   // clamd: name of what was found; "": nothing
	Action    string   // rspamd: what it would do, for example "no action", "add header", "reject"
	Score     float64  // rspamd: points, on its own scale
	Required  float64  // rspamd: points at which it would reject; 0: it has no such bound
	Symbols   []Symbol // rspamd: what fired, weightiest first, at most maxSymbols
}

// Symbol is a test of rspamd that fired.
type Symbol struct {
	Name        string
	Score       float64
	Description string   // what rspamd says of it; may be empty
	Options     []string // what it found, for example a host; at most maxOptions
}

// gate bounds the connections of one scanner.
type gate chan struct{}

func newGate(n int) gate {
	if n <= 0 {
		n = DefaultConnections
	}
	return make(gate, n)
}

// enter waits for a free place; leave it by calling leave.
func (g gate) enter(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	default:
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("all %d connections stayed busy: %w", cap(g), ctx.Err())
	}
}

func (g gate) leave() { <-g }

// plainDialer connects without TLS: only to a socket file, to this machine or to a private network, also where a name led elsewhere.
func plainDialer() *net.Dialer {
	return &net.Dialer{Control: func(network, address string, _ syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !near(ap.Addr()) {
			return fmt.Errorf("%s is not on this machine or a private network, and the connection has no TLS", address)
		}
		return nil
	}}
}

// near reports whether an address is this machine's or of a private network.
func near(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
}

// checkHost refuses a literal address out in the internet; a name is looked at when it is resolved.
func checkHost(host string) error {
	if ip, err := netip.ParseAddr(host); err == nil && !near(ip) {
		return fmt.Errorf("%s is not on this machine or a private network, and mail must not cross the internet in the clear", host)
	}
	if host == "" || len(host) > 253 || strings.ContainsAny(host, " /\\@?#%") {
		return errors.New("the host is missing or no name")
	}
	return nil
}

// word makes a text from outside fit to log and show: printable, at most limit bytes.
func word(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
	for len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	return s
}
