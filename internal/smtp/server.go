package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
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

	OfferAuth   bool // announce and accept AUTH PLAIN and LOGIN; sessions must implement Authenticator
	RequireAuth bool // MAIL only after AUTH (RFC 6409 4.3)
	// RequireTLSForAuth states that AUTH without TLS is refused but to loopback clients. The server always behaves so: a
	// password in the clear never crosses a network.
	RequireTLSForAuth bool

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
	o ServerOptions
}

// NewServer checks the options and makes a server. It does no I/O.
func NewServer(o ServerOptions) (*Server, error) {
	return nil, errors.New("not yet")
}

// Serve accepts connections from l until ctx ends, then drains and returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	<-ctx.Done()
	return l.Close()
}
