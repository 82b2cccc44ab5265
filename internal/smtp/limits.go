package smtp

import (
	"errors"
	"fmt"
	"time"
)

// Limits bounds what one server takes from its clients. In ServerOptions a zero field means the value of DefaultLimits;
// for Connections, ConnectionsPerIP, ConnectionsPerNetwork, NewPerMinutePerIP, Messages, InFlightBytes and MinRate a
// negative value means no limit.
type Limits struct {
	Connections           int // open connections in all; above 80 % CommandTimeout shrinks to 10 s
	ConnectionsPerIP      int // open connections of one client: an IPv4 address or an IPv6 /64
	ConnectionsPerNetwork int // open connections of one IPv4 /24 or IPv6 /48
	NewPerMinutePerIP     int // connections begun within one minute by one IPv4 address or IPv6 /64
	Messages              int // MAIL commands per connection, announced as MAILMAX (RFC 9422)
	Recipients            int // recipients per message, announced as RCPTMAX (RFC 9422)
	Errors                int // client errors without an accepted message between; the last one closes the connection
	SoftErrors            int // client errors after which every further one is answered with a growing delay
	Junk                  int // commands that move no mail (NOOP, RSET, VRFY, HELP, EHLO ...) without an accepted message; beyond it each is an error
	CommandBytes          int // command line with its CRLF, in bytes (RFC 5321 4.5.3.1.4 asks for at least 512)
	AuthBytes             int // AUTH command or response line, in bytes (RFC 4954 4 asks for 12288)
	AuthFailures          int // refused AUTH commands; the last one closes the connection
	LineBytes             int // line of message text with its CRLF, in bytes

	MessageBytes  int64 // message with CRLF line ends and without stuffed dots, in bytes; announced as SIZE (RFC 1870)
	InFlightBytes int64 // bytes of all messages being received or handled at one time

	CommandTimeout time.Duration // wait for one whole command line (RFC 5321 4.5.3.2.7: at least 5 minutes)
	DataTimeout    time.Duration // whole message data
	SessionTimeout time.Duration // whole connection
	MinRate        int           // bytes per second that message data must keep up on average after its first 30 s
	Chunks         int           // BDAT commands per message (RFC 3030)
}

// DefaultLimits returns the limits Postern starts with. They sit within those of Postfix, Exim, mox and Stalwart and
// above every minimum of RFC 5321 4.5.3.
func DefaultLimits() Limits {
	return Limits{
		Connections:           4000,
		ConnectionsPerIP:      50,
		ConnectionsPerNetwork: 200,
		NewPerMinutePerIP:     120,
		Messages:              1000,
		Recipients:            1000,
		Errors:                10,
		SoftErrors:            5,
		Junk:                  100,
		CommandBytes:          2048,
		AuthBytes:             12288,
		AuthFailures:          3,
		LineBytes:             64 << 10,
		MessageBytes:          50 << 20,
		InFlightBytes:         512 << 20,
		CommandTimeout:        300 * time.Second,
		DataTimeout:           30 * time.Minute,
		SessionTimeout:        60 * time.Minute,
		MinRate:               500,
		Chunks:                10000,
	}
}

// withDefaults returns l with every zero field replaced by the default.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ field, def *int }{
		{&l.Connections, &d.Connections},
		{&l.ConnectionsPerIP, &d.ConnectionsPerIP},
		{&l.ConnectionsPerNetwork, &d.ConnectionsPerNetwork},
		{&l.NewPerMinutePerIP, &d.NewPerMinutePerIP},
		{&l.Messages, &d.Messages},
		{&l.Recipients, &d.Recipients},
		{&l.Errors, &d.Errors},
		{&l.SoftErrors, &d.SoftErrors},
		{&l.Junk, &d.Junk},
		{&l.CommandBytes, &d.CommandBytes},
		{&l.AuthBytes, &d.AuthBytes},
		{&l.AuthFailures, &d.AuthFailures},
		{&l.LineBytes, &d.LineBytes},
		{&l.MinRate, &d.MinRate},
		{&l.Chunks, &d.Chunks},
	} {
		if *f.field == 0 {
			*f.field = *f.def
		}
	}
	for _, f := range []struct{ field, def *int64 }{
		{&l.MessageBytes, &d.MessageBytes},
		{&l.InFlightBytes, &d.InFlightBytes},
	} {
		if *f.field == 0 {
			*f.field = *f.def
		}
	}
	for _, f := range []struct{ field, def *time.Duration }{
		{&l.CommandTimeout, &d.CommandTimeout},
		{&l.DataTimeout, &d.DataTimeout},
		{&l.SessionTimeout, &d.SessionTimeout},
	} {
		if *f.field == 0 {
			*f.field = *f.def
		}
	}
	return l
}

// Validate says what makes the limits unusable; zero fields are fine, they become defaults.
func (l Limits) Validate() error {
	l = l.withDefaults()
	var errs []error
	atLeast := func(name string, value, least int) {
		if value < least {
			errs = append(errs, fmt.Errorf("%s: %d is too small, at least %d is needed", name, value, least))
		}
	}
	atLeast("recipients", l.Recipients, 1)
	atLeast("errors", l.Errors, 1)
	atLeast("soft_errors", l.SoftErrors, 1)
	atLeast("junk", l.Junk, 1)
	atLeast("command_bytes", l.CommandBytes, 512)
	atLeast("auth_bytes", l.AuthBytes, 512)
	atLeast("auth_failures", l.AuthFailures, 1)
	atLeast("line_bytes", l.LineBytes, 1000)
	atLeast("chunks", l.Chunks, 1)
	atMost := func(name string, value, most int) {
		if value > most {
			errs = append(errs, fmt.Errorf("%s: %d is too large, at most %d is possible", name, value, most))
		}
	}
	atMost("command_bytes", l.CommandBytes, largeBuffer)
	atMost("auth_bytes", l.AuthBytes, largeBuffer)
	if l.MessageBytes < 1024 {
		errs = append(errs, fmt.Errorf("message_bytes: %d is too small, at least 1024 is needed", l.MessageBytes))
	}
	if l.InFlightBytes > 0 && l.InFlightBytes < l.MessageBytes {
		errs = append(errs, fmt.Errorf("in_flight_bytes: %d is smaller than message_bytes %d: the largest message could never pass", l.InFlightBytes, l.MessageBytes))
	}
	for name, d := range map[string]time.Duration{"command_timeout": l.CommandTimeout, "data_timeout": l.DataTimeout, "session_timeout": l.SessionTimeout} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s: %v is negative", name, d))
		}
	}
	return errors.Join(errs...)
}
