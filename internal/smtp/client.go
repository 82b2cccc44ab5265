package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Phase names the step of a client conversation in which something happened.
type Phase string

// The phases of a client conversation, in order.
const (
	PhaseConnect   Phase = "connect"
	PhaseGreeting  Phase = "greeting"
	PhaseHello     Phase = "hello"
	PhaseStartTLS  Phase = "starttls"
	PhaseHandshake Phase = "handshake"
	PhaseAuth      Phase = "auth"
	PhaseMail      Phase = "mail"
	PhaseRcpt      Phase = "rcpt"
	PhaseData      Phase = "data"      // the DATA command up to its 354
	PhaseBody      Phase = "body"      // message content up to the final dot
	PhaseFinalDot  Phase = "final dot" // the wait for the reply to the dot
	PhaseReset     Phase = "reset"
	PhaseQuit      Phase = "quit"
)

// ClientError says in which phase a conversation failed. Err is an [*Error]
// when the peer answered (its code decides between temporary and permanent),
// wraps [ErrProtocol] when the peer answered nonsense, and is a network or
// context error otherwise; the last two are temporary.
type ClientError struct {
	Phase Phase
	Err   error
}

// Error names the phase and the cause.
func (e *ClientError) Error() string { return "smtp " + string(e.Phase) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ClientError) Unwrap() error { return e.Err }

// The reasons for which the client refuses or gives up by itself.
var (
	// ErrProtocol says that the peer broke the protocol: not a reply, a reply
	// of a kind that cannot follow, too long, or unasked for. Temporary: the
	// next attempt may meet a sane host. The connection is finished.
	ErrProtocol = errors.New("peer breaks the protocol")
	// ErrClosed says that the connection is finished, by Close, Quit or an
	// earlier failure.
	ErrClosed = errors.New("smtp connection is closed")
	// ErrLocalAddr says that the egress address cannot be used on this
	// machine. The peer was not asked: it is our own trouble.
	ErrLocalAddr = errors.New("egress address is not usable")
	// ErrNotOffered says that the peer does not offer the extension asked for.
	ErrNotOffered = errors.New("extension is not offered")
	// ErrInsecureAuth says that credentials were not sent because the
	// connection has no TLS and does not stay on this machine.
	ErrInsecureAuth = errors.New("authentication refused without TLS")
	// ErrNoRecipients says that Send got an envelope without recipients.
	ErrNoRecipients = errors.New("envelope without recipients")
)

// What the client refuses to send, as permanent errors: trying again does not
// help. Nothing was sent then and the connection lives.
var (
	// ErrBadParameter says that an address or parameter cannot be put into a
	// command (CR, LF, NUL or too long).
	ErrBadParameter error = &Error{Code: 501, Enhanced: Enhanced{5, 5, 4}, Text: "value does not fit into an SMTP command"}
	// ErrNeeds8BitMIME says that the message holds 8-bit bytes and the peer
	// does not offer 8BITMIME (RFC 6152 3). The caller re-encodes the message
	// and tries again, or bounces it.
	ErrNeeds8BitMIME error = &Error{Code: 554, Enhanced: Enhanced{5, 6, 3}, Text: "message needs 8BITMIME, which the next server does not offer"}
	// ErrNeedsSMTPUTF8 says that an address or the header needs RFC 6531 and
	// the peer does not offer it (RFC 6531 3.5).
	ErrNeedsSMTPUTF8 error = &Error{Code: 553, Enhanced: Enhanced{5, 6, 7}, Text: "message needs SMTPUTF8, which the next server does not offer"}
	// ErrNeedsRequireTLS says that the sender demands TLS on the whole way and the peer does not promise it (RFC 8689 4.2.1).
	ErrNeedsRequireTLS error = &Error{Code: 550, Enhanced: Enhanced{5, 7, 30}, Text: "message needs REQUIRETLS, which the next server does not offer"}
	// ErrBareNewline says that the message holds a CR or LF that is not part of
	// a CRLF, or a NUL. Such a message may end early at a lax receiver and
	// smuggle a second one in (CVE-2023-51764 and its kin), so it never leaves.
	ErrBareNewline error = &Error{Code: 554, Enhanced: Enhanced{5, 6, 0}, Text: "message holds a bare CR, a bare LF or a NUL"}
	// ErrLineTooLong says that the message holds a line above [MaxTextLine].
	// The caller re-encodes the message or bounces it.
	ErrLineTooLong error = &Error{Code: 554, Enhanced: Enhanced{5, 6, 0}, Text: "message holds a line of more than 998 bytes"}
)

// Timeouts bounds how long the client waits, phase by phase. A zero field
// means the value of [DefaultTimeouts].
type Timeouts struct {
	Connect  time.Duration // TCP connection
	Greeting time.Duration // the 220 banner
	Hello    time.Duration // replies to EHLO, HELO, STARTTLS, AUTH; the TLS handshake
	Mail     time.Duration // reply to MAIL, also to RSET
	Rcpt     time.Duration // each reply to RCPT
	Data     time.Duration // the 354
	Block    time.Duration // the write of one block (16 KiB) of content
	FinalDot time.Duration // reply to the final dot
	Quit     time.Duration // reply to QUIT
	Session  time.Duration // opening as a whole; each Send as a whole, plus 1 s per 500 bytes of message
}

// DefaultTimeouts returns the waits of RFC 5321 4.5.3.2, with a shorter
// connect, a shorter QUIT and a limit on the whole.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Connect:  30 * time.Second,
		Greeting: 5 * time.Minute,
		Hello:    5 * time.Minute,
		Mail:     5 * time.Minute,
		Rcpt:     5 * time.Minute,
		Data:     2 * time.Minute,
		Block:    3 * time.Minute,
		FinalDot: 10 * time.Minute,
		Quit:     5 * time.Second,
		Session:  30 * time.Minute,
	}
}

func (t Timeouts) withDefaults() Timeouts {
	d := DefaultTimeouts()
	for _, f := range []struct{ have, def *time.Duration }{
		{&t.Connect, &d.Connect}, {&t.Greeting, &d.Greeting}, {&t.Hello, &d.Hello}, {&t.Mail, &d.Mail},
		{&t.Rcpt, &d.Rcpt}, {&t.Data, &d.Data}, {&t.Block, &d.Block}, {&t.FinalDot, &d.FinalDot},
		{&t.Quit, &d.Quit}, {&t.Session, &d.Session},
	} {
		if *f.have <= 0 {
			*f.have = *f.def
		}
	}
	return t
}

// slowestRate is the sending speed in bytes per second below which a Send is
// cut by its session limit.
const slowestRate = 500

// ClientOptions says how to reach and to greet a peer.
type ClientOptions struct {
	Hostname  string     // EHLO name; should resolve to LocalAddr and back; required
	LocalAddr netip.Addr // egress address to bind; invalid: the system chooses
	// Dial replaces the TCP dialer; it then binds the egress address itself.
	// A *tls.Conn whose handshake is done makes a session with implicit TLS.
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	Timeouts Timeouts
	Now      func() time.Time // clock of the deadlines; nil: time.Now
}

// Client is one connection to a server. It is used by one goroutine at a
// time; only Close may be called from another one. See Send for its reuse.
type Client struct {
	conn     net.Conn // what is spoken through: raw, or TLS over raw
	raw      net.Conn
	in       *LineReader
	options  ClientOptions
	remote   netip.AddrPort
	loopback bool
	tls      *tls.ConnectionState
	greeting Reply             // what the peer opened with
	ext      map[string]string // keyword in upper case -> parameter

	out       []byte // commands not yet written
	lines     []byte // the commands of the transaction, one after the other
	ends      []int  // of lines
	params    []byte // space for the parameters of MAIL
	data      dataWriter
	log       transcript
	needReset bool      // a transaction is open at the peer
	limit     time.Time // end of the session budget
	broken    error     // why nothing more can be sent; nil while usable

	mu      sync.Mutex
	aborted bool // context ended or closed: no new deadline may be set
}

// Dial connects to addr, awaits the greeting and says EHLO (HELO where EHLO is
// refused with 5xx). The error is a [*ClientError]; a peer that answers
// anything but 220 or 250 appears in it as its [*Error].
func Dial(ctx context.Context, addr netip.AddrPort, o ClientOptions) (*Client, error) {
	o.Timeouts = o.Timeouts.withDefaults()
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Hostname == "" || strings.ContainsAny(o.Hostname, " \t\r\n\x00") || len(o.Hostname) > 255 {
		return nil, &ClientError{PhaseConnect, fmt.Errorf("EHLO name %q is not a host name", o.Hostname)}
	}
	limit := o.Now().Add(o.Timeouts.Session)
	conn, err := dialPeer(ctx, addr, o)
	if err != nil {
		return nil, &ClientError{PhaseConnect, err}
	}
	c := &Client{conn: conn, raw: conn, in: NewLineReader(conn, nil), options: o, remote: addr,
		loopback: addr.Addr().Unmap().IsLoopback(), limit: limit}
	c.data.flush = c.writeBlock
	if t, ok := conn.(*tls.Conn); ok {
		state := t.ConnectionState()
		c.tls = &state
	}
	done := c.watch(ctx)
	err = c.greet()
	if err = done(err); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// dialPeer opens the TCP connection from the egress address.
func dialPeer(ctx context.Context, addr netip.AddrPort, o ClientOptions) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Timeouts.Connect)
	defer cancel()
	network := "tcp6"
	if addr.Addr().Unmap().Is4() {
		network = "tcp4"
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	}
	if o.Dial != nil {
		return o.Dial(ctx, network, addr.String())
	}
	var d net.Dialer
	if o.LocalAddr.IsValid() {
		if o.LocalAddr.Unmap().Is4() != addr.Addr().Is4() {
			return nil, fmt.Errorf("%w: %s cannot reach %s", ErrLocalAddr, o.LocalAddr, addr.Addr())
		}
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(o.LocalAddr.Unmap(), 0))
	}
	conn, err := d.DialContext(ctx, network, addr.String())
	if errors.Is(err, syscall.EADDRNOTAVAIL) && o.LocalAddr.IsValid() {
		return nil, fmt.Errorf("%w: %s: %w", ErrLocalAddr, o.LocalAddr, err)
	}
	return conn, err
}

// greet awaits the banner and introduces us.
func (c *Client) greet() error {
	c.log.command(nil)
	r, err := c.reply(PhaseGreeting, c.options.Timeouts.Greeting)
	if err != nil {
		return err
	}
	c.greeting = r
	switch {
	case r.Code == 220:
	case r.Code >= 400:
		return c.fail(PhaseGreeting, replyError(r))
	default:
		return c.fail(PhaseGreeting, fmt.Errorf("%w: greeting with code %d", ErrProtocol, r.Code))
	}
	return c.hello()
}

// maxExtensions bounds the capabilities kept of one EHLO reply.
const maxExtensions = 64

// hello says EHLO, HELO after a 5xx (RFC 5321 3.2), and learns the extensions.
func (c *Client) hello() error {
	c.ext = nil
	r, err := c.exchange(PhaseHello, c.options.Timeouts.Hello, "EHLO "+c.options.Hostname)
	if err != nil {
		return err
	}
	if r.Code == 250 {
		c.ext = readExtensions(r)
		return nil
	}
	if r.Code >= 500 {
		refused := r
		if r, err = c.exchange(PhaseHello, c.options.Timeouts.Hello, "HELO "+c.options.Hostname); err != nil {
			// A host that hangs up after its 5xx has given its answer.
			return c.fail(PhaseHello, replyError(refused))
		}
		if r.Code == 250 {
			return nil
		}
	}
	if r.Code >= 400 {
		return c.fail(PhaseHello, replyError(r))
	}
	return c.fail(PhaseHello, fmt.Errorf("%w: %d after EHLO", ErrProtocol, r.Code))
}

// readExtensions reads the capability lines of an EHLO reply (RFC 5321 4.1.1.1).
// Lines that are not of that form are skipped.
func readExtensions(r Reply) map[string]string {
	ext := make(map[string]string, len(r.Lines))
	for i, line := range r.Lines {
		if i == 0 || len(ext) == maxExtensions {
			continue
		}
		name, param, _ := strings.Cut(line, " ")
		if len(name) > 5 && strings.EqualFold(name[:5], "AUTH=") {
			// Servers from before RFC 2554 write AUTH=LOGIN.
			param = name[5:] + " " + param
			name = "AUTH"
		}
		if !isKeyword(name) {
			continue
		}
		name = strings.ToUpper(name)
		if _, again := ext[name]; !again {
			ext[name] = strings.TrimSpace(printableText(param))
		}
	}
	return ext
}

func isKeyword(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if !(c >= 'a' && c <= 'z' || s[i] >= '0' && s[i] <= '9' || i > 0 && (s[i] == '-' || s[i] == '_')) {
			return false
		}
	}
	return true
}

// Extension returns the parameter of an extension that the peer offers now,
// for example Extension("SIZE"). After StartTLS only what was said under TLS
// counts.
func (c *Client) Extension(name string) (param string, ok bool) {
	param, ok = c.ext[strings.ToUpper(name)]
	return param, ok
}

// Reset aborts what transaction the peer may have open (RSET).
func (c *Client) Reset(ctx context.Context) error {
	if c.broken != nil {
		return c.broken
	}
	c.limit = c.options.Now().Add(c.options.Timeouts.Session)
	done := c.watch(ctx)
	return done(c.reset())
}

func (c *Client) reset() error {
	if err := c.unsolicited(PhaseReset); err != nil {
		return err
	}
	r, err := c.exchange(PhaseReset, c.options.Timeouts.Mail, "RSET")
	if err != nil {
		return err
	}
	if !isPositive(r) {
		return c.fail(PhaseReset, replyError(r))
	}
	c.needReset = false
	return nil
}

// Quit says QUIT, waits a moment for the answer and closes. It returns an
// error only when the connection was usable and the peer did not answer 221;
// messages answered before are not affected by it.
func (c *Client) Quit(ctx context.Context) error {
	if c.broken != nil {
		return nil
	}
	c.limit = c.options.Now().Add(c.options.Timeouts.Quit)
	done := c.watch(ctx)
	r, err := c.exchange(PhaseQuit, c.options.Timeouts.Quit, "QUIT")
	if err == nil && r.Code != 221 {
		err = c.fail(PhaseQuit, fmt.Errorf("%w: %d after QUIT", ErrProtocol, r.Code))
	}
	if c.broken == nil {
		c.broken = ErrClosed
	}
	return done(err)
}

// Close closes the connection at once. It may be called twice, and from
// another goroutine to abort what goes on.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	// The TCP connection is closed under TLS: its close_notify could block on a
	// peer that does not read, and QUIT has already said the end.
	return c.raw.Close()
}

// Usable reports whether another transaction can be tried on the connection.
func (c *Client) Usable() bool { return c.broken == nil }

// Transcript returns the conversation since the last Send began (since the
// connection when there was none), bounded, masked and printable.
func (c *Client) Transcript() []Exchange { return c.log.exchanges() }

// TLS returns the state of the TLS session, nil in plain text.
func (c *Client) TLS() *tls.ConnectionState { return c.tls }

// Remote returns the address dialled.
func (c *Client) Remote() netip.AddrPort { return c.remote }

// LocalAddr returns our end of the connection; invalid when it has none.
func (c *Client) LocalAddr() netip.AddrPort {
	if a, ok := c.raw.LocalAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
