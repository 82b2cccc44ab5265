package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// Options are the settings of a Client. The zero value is usable: it asks the servers of /etc/resolv.conf.
type Options struct {
	// Servers are asked in this order, each "ip:port" or "ip" (port 53). Empty: those of ResolvConf.
	Servers []string
	// ResolvConf is the file read when Servers is empty; default /etc/resolv.conf. Search lists and options in it are ignored; a file
	// without servers means 127.0.0.1 (resolv.conf(5)).
	ResolvConf string
	// Timeout is how long one attempt at one server may take; default 3 s.
	Timeout time.Duration
	// Attempts is how many attempts one question gets, going round the servers; default 3, at least the number of servers.
	Attempts int
	// Total bounds one question with all its attempts and its CNAME chain; default 15 s.
	Total time.Duration
	// CacheEntries and CacheBytes bound the cache; default 20000 answers and about 64 MiB. Negative CacheEntries: no cache.
	CacheEntries, CacheBytes int
	// MinTTL and MaxTTL bound how long an answer is kept; default 5 s and 1 h.
	MinTTL, MaxTTL time.Duration
	// Concurrency is how many questions may be at the servers at the same time; default 128. Up to 32 times as many wait their turn, the
	// others get ErrBusy.
	Concurrency int
	// TrustAD believes the AD bit of servers that are not on loopback (RFC 6840 5.8): only for a validating server over a trusted wire.
	TrustAD bool
	// Dial opens the connection to a server, network being "udp" or "tcp"; nil: a net.Dialer. Each Write to and Read from a "udp"
	// connection is one datagram. Each question gets its own connection, so that its source port is new.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Logger gets a line at debug level for each attempt that failed; nil: none.
	Logger *slog.Logger
}

const (
	tryLaterTTL   = 5 * time.Second // RFC 2308 7: failures may be cached up to 5 minutes; short, so that recovery shows at once
	maxChain      = 10              // CNAMEs followed for one question
	maxRecords    = 100             // records in one answer section
	waitingFactor = 32              // questions waiting for each one at the servers
)

// Client asks real servers; see the package comment. Safe for many goroutines. A question that its caller gave up goes on in the
// background until Options.Total at the latest, so that its answer serves others.
type Client struct {
	o       Options
	direct  bool // the servers are asked for what they hold themselves: no recursion is desired
	servers []*server
	cache   *cache
	slots   chan struct{}
	stats   counters

	mu      sync.Mutex
	flights map[key]*flight
}

type key struct {
	name string
	typ  Type
}

type flight struct {
	done   chan struct{}
	answer Answer // valid after done
}

// New makes a Client. It does no network I/O and starts no goroutine. It fails when a server's address or the resolv.conf is unusable.
func New(o Options) (*Client, error) {
	orDefault := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	orDefault(&o.Timeout, 3*time.Second)
	orDefault(&o.Total, 15*time.Second)
	orDefault(&o.MinTTL, 5*time.Second)
	orDefault(&o.MaxTTL, time.Hour)
	if o.MaxTTL < o.MinTTL {
		return nil, fmt.Errorf("dns: MaxTTL %v is below MinTTL %v", o.MaxTTL, o.MinTTL)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 128
	}
	if o.CacheEntries == 0 {
		o.CacheEntries = 20000
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 64 << 20
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	addrs := o.Servers
	if len(addrs) == 0 {
		var err error
		if addrs, err = fromResolvConf(o.ResolvConf); err != nil {
			return nil, err
		}
	}
	c := &Client{o: o, slots: make(chan struct{}, o.Concurrency), flights: map[key]*flight{}}
	for _, a := range addrs {
		s, err := newServer(a, o.TrustAD)
		if err != nil {
			return nil, err
		}
		c.servers = append(c.servers, s)
	}
	if c.o.Attempts <= 0 {
		c.o.Attempts = 3
	}
	c.o.Attempts = max(c.o.Attempts, len(c.servers))
	if o.CacheEntries > 0 {
		c.cache = newCache(o.CacheEntries, o.CacheBytes)
	}
	return c, nil
}

func fromResolvConf(file string) ([]string, error) {
	if file == "" {
		file = "/etc/resolv.conf"
	}
	conf, err := mdns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("dns: no servers configured and no usable %s: %w", file, err)
	}
	if len(conf.Servers) == 0 {
		return []string{"127.0.0.1"}, nil
	}
	return conf.Servers, nil
}

func newServer(addr string, trustAD bool) (*server, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		ip, err := netip.ParseAddr(strings.Trim(addr, "[]"))
		if err != nil {
			return nil, fmt.Errorf("dns: server %q is neither ip nor ip:port", addr)
		}
		ap = netip.AddrPortFrom(ip, 53)
	}
	return &server{addr: ap.String(), trusted: trustAD || ap.Addr().Unmap().IsLoopback()}, nil
}

// Query answers one question; see Resolver.
func (c *Client) Query(ctx context.Context, name string, typ Type) Answer {
	c.stats.questions.Add(1)
	name, ok := normal(name)
	if !ok {
		return Answer{Status: Nothing, NXDomain: true, Err: fmt.Errorf("%.300q: %w", name, ErrName)}
	}
	k := key{name, typ}
	if c.cache != nil {
		if a, ok := c.cache.get(k, time.Now()); ok {
			c.stats.cacheHits.Add(1)
			return a
		}
	}
	if err := ctx.Err(); err != nil {
		return gaveUp(k, err)
	}
	f := c.join(ctx, k)
	if f == nil {
		c.stats.busy.Add(1)
		return Answer{Err: fmt.Errorf("%s %s: %w", k.name, k.typ, ErrBusy)}
	}
	select {
	case <-f.done:
		return f.answer
	case <-ctx.Done():
		return gaveUp(k, context.Cause(ctx))
	}
}

func gaveUp(k key, cause error) Answer {
	return Answer{Err: fmt.Errorf("%s %s: %w (%w)", k.name, k.typ, ErrTimeout, cause)}
}

// join is the flight for k, a running one or a new one; nil when too many are waiting.
func (c *Client) join(ctx context.Context, k key) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.flights[k]; ok {
		c.stats.shared.Add(1)
		return f
	}
	if len(c.flights) >= c.o.Concurrency*(1+waitingFactor) {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	c.flights[k] = f
	// The flight outlives its first caller: others may have joined it.
	go c.fly(context.WithoutCancel(ctx), k, f)
	return f
}

func (c *Client) fly(ctx context.Context, k key, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Total)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		f.answer = c.resolve(ctx, k)
		<-c.slots
	case <-ctx.Done():
		f.answer = Answer{Err: fmt.Errorf("%s %s: %w", k.name, k.typ, ErrBusy)}
	}
	if c.cache != nil && !errors.Is(f.answer.Err, ErrBusy) {
		c.cache.put(k, f.answer, time.Now())
	}
	c.mu.Lock()
	delete(c.flights, k)
	c.mu.Unlock()
	close(f.done)
}

// resolve asks for k and for the targets of CNAMEs that the answers leave open.
func (c *Client) resolve(ctx context.Context, k key) Answer {
	w := walk{typ: k.typ, ttl: c.o.MaxTTL, authentic: true}
	name, err := presentation(k.name)
	if err != nil {
		return Answer{Err: fmt.Errorf("%s %s: %w", k.name, k.typ, err), TTL: tryLaterTTL}
	}
	for {
		r, err := c.ask(ctx, name, k.typ)
		var done bool
		if err == nil {
			name, done, err = w.step(name, r)
		}
		if err != nil {
			return Answer{Err: fmt.Errorf("%s %s: %w", k.name, k.typ, err), TTL: tryLaterTTL}
		}
		if done {
			w.answer.TTL = max(w.answer.TTL, c.o.MinTTL)
			return w.answer
		}
	}
}

// ask puts one question to the servers until one gives an answer that says something.
func (c *Client) ask(ctx context.Context, name string, typ Type) (reply, error) {
	order := c.order(time.Now())
	final := make(map[*server]bool, len(order)) // servers that answered, but with nothing to say
	onlyTimeouts := true
	var last error
	for i := 0; i < c.o.Attempts && len(final) < len(order); i++ {
		s := order[i%len(order)]
		if final[s] {
			continue
		}
		// Where UDP gets no answer at all, a firewall may be in the way: the last attempt goes over TCP.
		viaTCP := i > 0 && i == c.o.Attempts-1 && onlyTimeouts
		m, err := c.attempt(ctx, s, name, typ, viaTCP)
		if err == nil {
			err = verdict(m)
		}
		if err == nil {
			s.good()
			return reply{msg: m, trusted: s.trusted}, nil
		}
		c.count(err)
		last = fmt.Errorf("server %s: %w", s.addr, err)
		c.o.Logger.Debug("DNS attempt failed", "name", shown(ctx, name), "type", typ.String(), "error", last)
		if errors.Is(err, ErrBogus) {
			// A server that does not validate must not overrule one that does.
			return reply{}, last
		}
		if errors.Is(err, ErrTimeout) || errors.Is(err, ErrNetwork) {
			s.failed(time.Now())
		} else {
			final[s] = !errors.Is(err, ErrMalformed)
		}
		onlyTimeouts = onlyTimeouts && errors.Is(err, ErrTimeout)
		if ctx.Err() != nil {
			break
		}
	}
	return reply{}, last
}

// order is the servers as configured, those that failed lately last.
func (c *Client) order(now time.Time) []*server {
	if len(c.servers) == 1 {
		return c.servers
	}
	order := make([]*server, 0, len(c.servers))
	for _, s := range c.servers {
		if !s.down(now) {
			order = append(order, s)
		}
	}
	for _, s := range c.servers {
		if s.down(now) {
			order = append(order, s)
		}
	}
	return order
}

// String is the mnemonic of the type, "TYPE123" for an unknown one.
func (t Type) String() string {
	return mdns.Type(t).String()
}

// presentation is a normal name as the codec writes names, with final dot and escapes, so that it compares equal to names in answers.
func presentation(name string) (string, error) {
	if name != "." {
		name += "."
	}
	var buf [256]byte
	if _, err := mdns.PackDomainName(name, buf[:], 0, nil, false); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	name, _, err := mdns.UnpackDomainName(buf[:], 0)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return name, nil
}

// normal is name in the form of the cache: lower case, no final dot, "." for the root; false when it cannot be a DNS name.
func normal(name string) (string, bool) {
	if name == "." {
		return name, true
	}
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	if name == "" || len(name) > 253 {
		return name, false
	}
	label, upper := 0, false
	for i := 0; i < len(name); i++ {
		switch b := name[i]; {
		case b == '.':
			if label == 0 {
				return name, false
			}
			label = 0
			continue
		case b <= ' ' || b >= 0x7f || b == '\\' || b == '"':
			return name, false
		case b >= 'A' && b <= 'Z':
			upper = true
		}
		if label++; label > 63 {
			return name, false
		}
	}
	if label == 0 {
		return name, false
	}
	if upper {
		name = strings.ToLower(name)
	}
	return name, true
}
