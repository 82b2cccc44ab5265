package smtp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/mail"
)

// What ServerOptions.BareNewline may say about a bare CR or bare LF in message data.
const (
	BareNewlineReject    = "reject"    // the message is refused with 554 5.6.0
	BareNewlineNormalize = "normalize" // each becomes CRLF
)

// ServerOptions sets up a Server. Hostname and Handler are needed, every other zero value is usable.
type ServerOptions struct {
	Name     string // what Conn.Listener says; empty: the address of the listener
	Hostname string // our name in the banner and in the EHLO reply
	Handler  Handler

	TLS         *tls.Config // nil: no STARTTLS, no implicit TLS. It is cloned; session tickets get keys of this server alone
	ImplicitTLS bool        // TLS from the first byte (RFC 8314 3.3)

	// OfferAuth announces and accepts AUTH PLAIN and LOGIN; sessions must implement Authenticator. Without TLS it is done for loopback
	// clients only, and nothing changes that: a password in the clear never crosses a network.
	OfferAuth   bool
	RequireAuth bool // MAIL only after AUTH (RFC 6409 4.3)

	// RequireTLS announces REQUIRETLS to clients under TLS (RFC 8689): whoever takes such a message out of the spool must keep the promise.
	RequireTLS bool

	Limits      Limits
	BareNewline string        // BareNewlineReject (default) or BareNewlineNormalize
	DrainGrace  time.Duration // how long a message in DATA may take to finish after ctx ends; default 30 s

	Logger *slog.Logger
	Now    func() time.Time // must run with the clock of the connections' deadlines; default time.Now
}

// Conn is what the server knows about one connection. The server writes it between calls of the session; the session may read
// it during its calls.
type Conn struct {
	ClientIP   netip.Addr           // unmapped; invalid when the transport has none
	LocalAddr  netip.AddrPort       // where the client reached us
	Hello      string               // argument of EHLO or HELO: printable ASCII, at most 255 bytes, not verified
	ESMTP      bool                 // greeted with EHLO
	TLS        *tls.ConnectionState // nil without TLS
	User       string               // who authenticated; "" before AUTH
	SessionID  string               // random, for logs and the Received field
	Listener   string               // ServerOptions.Name or the listener's address
	ServerName string               // ServerOptions.Hostname, for the Received field
}

// Handler decides who may talk to us.
type Handler interface {
	// NewSession is called before the banner. An error is sent in its place (554 or 421 fit) and the connection closed.
	NewSession(ctx context.Context, c *Conn) (Session, error)
}

// Session decides about the mail of one connection. Its methods are called one at a time. An *Error is sent as it is, every other
// error as 451 4.3.0; code 421 also closes the connection.
type Session interface {
	// Mail begins a transaction; t holds the reverse path and the MAIL parameters.
	Mail(ctx context.Context, t *Transaction) error
	// Rcpt is asked for every recipient; the server appends r to t.Envelope.Recipients when it returns nil.
	Rcpt(ctx context.Context, t *Transaction, r mail.Recipient) error
	// Data takes the whole message: CRLF line ends only, no NUL, dots unstuffed. The bytes belong to the session. Reply is what
	// the client is told; a zero Reply becomes "250 2.0.0 Ok". A nil error with a 2xx reply means we are responsible from now on.
	Data(ctx context.Context, t *Transaction, message []byte) (Reply, error)
	// Close ends the session; it is called once, whatever happened.
	Close()
}

// Authenticator is implemented by a Session when ServerOptions.OfferAuth is set. Error nil means the password is right; *Error is
// sent as it is; every other error is 454 4.7.0.
type Authenticator interface {
	Auth(ctx context.Context, c *Conn, user, password string) error
}

// Transaction is one message on its way in. Each MAIL command makes a new one; every exit (a reply to the end of the data,
// RSET, EHLO, STARTTLS, a failed BDAT) drops it.
type Transaction struct {
	Envelope     mail.Envelope
	DeclaredSize int64  // SIZE parameter in bytes (RFC 1870), 0 when not given
	BodyType     string // "7BIT", "8BITMIME" or "" (RFC 6152)
	AuthParam    string // AUTH parameter decoded, "<>" for unknown (RFC 4954 5); never to be trusted by itself
}

// Server accepts mail by SMTP. One Server may serve several listeners; they share its limits.
type Server struct {
	o      ServerOptions
	limits Limits // with defaults filled in
	ehlo   []string
	gate   *gate
	count  counters

	ticketMu   sync.Mutex
	ticketKeys [][32]byte // newest first
	ticketAt   time.Time
}

// Defaults and fixed times of the server.
const (
	defaultGrace     = 30 * time.Second
	handshakeTimeout = 30 * time.Second
	crowdedTimeout   = 10 * time.Second // CommandTimeout while more than 80 % of the connections are in use
	lingerTimeout    = time.Second      // how long we wait for the client to read our last words
	ticketLife       = 24 * time.Hour   // a TLS ticket key is used this long and accepted as long again
)

// NewServer checks the options and makes a server. It does no I/O.
func NewServer(o ServerOptions) (*Server, error) {
	switch {
	case o.Handler == nil:
		return nil, errors.New("smtp server: no handler")
	case o.Hostname == "" || strings.ContainsFunc(o.Hostname, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return nil, fmt.Errorf("smtp server: hostname: %q is not a host name", o.Hostname)
	case o.ImplicitTLS && o.TLS == nil:
		return nil, errors.New("smtp server: implicit TLS needs a TLS configuration")
	case o.RequireAuth && !o.OfferAuth:
		return nil, errors.New("smtp server: AUTH is required but not offered")
	case o.BareNewline != "" && o.BareNewline != BareNewlineReject && o.BareNewline != BareNewlineNormalize:
		return nil, fmt.Errorf("smtp server: bare_newline: %q is neither %q nor %q", o.BareNewline, BareNewlineReject, BareNewlineNormalize)
	}
	if err := o.Limits.Validate(); err != nil {
		return nil, fmt.Errorf("smtp server: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.DrainGrace == 0 {
		o.DrainGrace = defaultGrace
	}
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
	}
	s := &Server{o: o, limits: o.Limits.withDefaults()}
	s.gate = newGate(s.limits)
	s.ehlo = []string{
		"PIPELINING",
		"SIZE " + strconv.FormatInt(s.limits.MessageBytes, 10),
		"8BITMIME",
		"ENHANCEDSTATUSCODES",
		"SMTPUTF8",
		"CHUNKING",
		"DSN",
		s.limitsKeyword(),
	}
	return s, nil
}

// limitsKeyword announces what a client should not exceed (RFC 9422).
func (s *Server) limitsKeyword() string {
	k := "LIMITS RCPTMAX=" + strconv.Itoa(s.limits.Recipients)
	if s.limits.Messages > 0 {
		k += " MAILMAX=" + strconv.Itoa(s.limits.Messages)
	}
	return k
}

// group is the connections of one Serve call, which drain together.
type group struct {
	ctx      context.Context // of the handlers: outlives Serve's by the grace
	wg       sync.WaitGroup
	mu       sync.Mutex
	sessions map[*session]struct{}
	draining chan struct{} // closed when Serve's context ends
	ended    chan struct{} // closed when all sessions know, and grace is set
	grace    *time.Timer
}

// drain tells every session to finish.
func (g *group) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.draining)
	for s := range g.sessions {
		s.wake()
	}
}

// add takes a session in; one that comes during the drain learns of it at its first read.
func (g *group) add(s *session) {
	g.mu.Lock()
	g.sessions[s] = struct{}{}
	g.mu.Unlock()
}

func (g *group) remove(s *session) {
	g.mu.Lock()
	delete(g.sessions, s)
	g.mu.Unlock()
}

// cut closes every connection that is left.
func (g *group) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.sessions {
		s.raw.Close()
	}
}

// Serve accepts connections from l until ctx ends. Then it closes l, tells idle sessions 421 4.3.2, gives sessions that are
// receiving or handling a message DrainGrace to finish, cuts the rest and returns nil. It returns an error only when l breaks
// by itself; running out of file descriptors is waited out.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	name := s.o.Name
	if name == "" {
		name = l.Addr().String()
	}
	g, finish := s.newGroup(ctx, func() { l.Close() })
	defer finish()
	var pause time.Duration
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("smtp server: accept: %w", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.o.Logger.Error("smtp: cannot accept a connection, waiting", "listener", name, "error", err, "wait", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		s.admit(g, conn, name)
	}
}

// ServeConn serves one connection that exists already, under the same limits, and returns when it is over.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn) {
	g, finish := s.newGroup(ctx, func() {})
	s.admit(g, conn, s.o.Name)
	g.wg.Wait()
	finish()
}

// newGroup begins a group that drains when ctx ends, for at most the grace; finish drains it if that has not happened and waits
// for its sessions.
func (s *Server) newGroup(ctx context.Context, onEnd func()) (g *group, finish func()) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g = &group{ctx: inner, sessions: map[*session]struct{}{}, draining: make(chan struct{})}
	end := func() {
		onEnd()
		g.drain()
		g.grace = time.AfterFunc(s.o.DrainGrace, func() {
			cancel()
			g.cut()
		})
		close(g.ended)
	}
	g.ended = make(chan struct{})
	stop := context.AfterFunc(ctx, end)
	return g, func() {
		if stop() {
			end()
		}
		<-g.ended
		g.wg.Wait()
		g.grace.Stop()
		cancel()
	}
}

// admit starts a session for conn or turns it away.
func (s *Server) admit(g *group, conn net.Conn, listener string) {
	now := s.o.Now()
	remote := addrPort(conn.RemoteAddr())
	ip := remote.Addr()
	if no := s.gate.enter(ip, now); no != admitted {
		s.turnAway(conn, no, now)
		return
	}
	s.count.connections.Add(1)
	s.count.open.Add(1)
	ss := newSession(s, g, conn, &Conn{
		ClientIP: ip, LocalAddr: addrPort(conn.LocalAddr()), SessionID: rand.Text()[:12],
		Listener: listener, ServerName: s.o.Hostname,
	}, now)
	g.add(ss)
	g.wg.Go(func() {
		defer func() {
			conn.Close()
			g.remove(ss)
			s.gate.leave(ip)
			s.count.open.Add(-1)
		}()
		ss.run()
	})
}

// turnAway says why and closes, without a goroutine or a buffer. The few bytes fit into the socket's buffer, so the accept
// loop does not wait.
func (s *Server) turnAway(conn net.Conn, no refusal, now time.Time) {
	switch no {
	case refusedIP:
		s.count.refusedIP.Add(1)
	case refusedNetwork:
		s.count.refusedNetwork.Add(1)
	case refusedRate:
		s.count.refusedRate.Add(1)
	default:
		s.count.refusedTotal.Add(1)
	}
	if !s.o.ImplicitTLS {
		conn.SetWriteDeadline(now.Add(lingerTimeout))
		conn.Write(appendReply(nil, Reply{Code: 421, Enhanced: Enhanced{4, 7, 0}, Lines: []string{s.o.Hostname + " " + no.text()}}))
	}
	conn.Close()
}

// tlsConfig is the configuration of the next handshake. Ticket keys are random and of this server alone, so that a ticket
// of one listener's service is worth nothing at another, and change daily.
func (s *Server) tlsConfig() *tls.Config {
	if s.o.TLS.SessionTicketsDisabled {
		return s.o.TLS
	}
	s.ticketMu.Lock()
	defer s.ticketMu.Unlock()
	if now := s.o.Now(); len(s.ticketKeys) == 0 || now.Sub(s.ticketAt) >= ticketLife {
		var key [32]byte
		rand.Read(key[:])
		s.ticketKeys = append([][32]byte{key}, s.ticketKeys[:min(1, len(s.ticketKeys))]...)
		s.ticketAt = now
		s.o.TLS.SetSessionTicketKeys(s.ticketKeys)
	}
	return s.o.TLS
}

// addrPort is the address of a TCP connection, unmapped; the zero value for other transports.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}
