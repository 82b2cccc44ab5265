package dns

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Options are the settings of a Client. The zero value is usable: it asks the servers of /etc/resolv.conf.
type Options struct {
	// Servers are asked in this order, each "host:port" or "host" (port 53), host being an IP address. Empty: those of ResolvConf.
	Servers []string
	// ResolvConf is the file read when Servers is empty; default /etc/resolv.conf. Search lists and options in it are ignored.
	ResolvConf string
	// Timeout is how long one attempt at one server may take; default 3 s.
	Timeout time.Duration
	// Attempts is how many attempts one question gets, going round the servers; default 3, at least the number of servers.
	Attempts int
	// Total bounds one question with all its attempts and its CNAME chain; default 15 s.
	Total time.Duration
	// CacheEntries bounds the cache; default 20000. Negative: no cache.
	CacheEntries int
	// MinTTL and MaxTTL bound how long an answer is kept; default 5 s and 1 h.
	MinTTL, MaxTTL time.Duration
	// Concurrency is how many questions may be at the servers at the same time; default 128.
	Concurrency int
	// TrustAD believes the AD bit of servers that are not on loopback (RFC 6840 5.8): only for a validating server over a trusted wire.
	TrustAD bool
	// Dial opens the connection to a server, network being "udp" or "tcp"; nil: a net.Dialer. Each Write to and Read from a "udp"
	// connection is one datagram.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Logger gets a line at debug level for each attempt that failed; nil: none.
	Logger *slog.Logger
}

// Client asks real servers; see the package comment. Safe for many goroutines.
type Client struct {
	o Options
}

// New makes a Client. It does no network I/O and starts no goroutine. It fails when a server's address or the resolv.conf is unusable.
func New(o Options) (*Client, error) {
	return &Client{o: o}, nil
}

// Query answers one question; see Resolver.
func (c *Client) Query(ctx context.Context, name string, typ Type) Answer {
	return Answer{Err: ErrServFail}
}
