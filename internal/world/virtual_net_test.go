package world_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/internal/dns"
	"postern/internal/provider"
)

// virtual is an internet in memory and in virtual time: connections are pipes, names answer from a map, and waiting costs nothing. It lives in a
// bubble of testing/synctest. Its receivers are written apart from our own server, so that they judge by what is on the wire.
type virtual struct {
	t     testing.TB
	mu    sync.Mutex
	hosts map[netip.Addr]*receiver
	names map[string]*receiver // mail domain -> who takes its mail
	// dark says that no name server answers.
	dark  bool
	conns sync.WaitGroup
}

func newVirtual(t testing.TB) *virtual {
	return &virtual{t: t, hosts: map[netip.Addr]*receiver{}, names: map[string]*receiver{}}
}

// add puts a receiver on the net.
func (v *virtual) add(r *receiver) *receiver {
	v.mu.Lock()
	defer v.mu.Unlock()
	r.v = v
	r.ip = netip.AddrFrom4([4]byte{203, 0, 113, byte(len(v.hosts) + 1)})
	v.hosts[r.ip] = r
	for _, d := range r.domains {
		v.names[d] = r
	}
	return r
}

// Query implements dns.Resolver: an MX and an A record for each receiver, a root that answers, and nothing else.
func (v *virtual) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return dns.Answer{Status: dns.TryLater, Err: dns.ErrTimeout}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.dark {
		return dns.Answer{Status: dns.TryLater, Err: fmt.Errorf("%s: %w", name, dns.ErrTimeout)}
	}
	found := func(r dns.Record) dns.Answer {
		r.Name, r.Type, r.TTL = name, typ, 5*time.Minute
		return dns.Answer{Status: dns.Found, Records: []dns.Record{r}, TTL: 5 * time.Minute}
	}
	name = strings.TrimSuffix(name, ".")
	if name == "" && typ == dns.TypeNS {
		return found(dns.Record{Host: "ns.test"})
	}
	if r := v.names[name]; r != nil && typ == dns.TypeMX {
		return found(dns.Record{Host: r.host, Pref: 10})
	}
	for _, r := range v.hosts {
		if r.host == name {
			if typ == dns.TypeA {
				return found(dns.Record{IP: r.ip})
			}
			return dns.Answer{Status: dns.Nothing, TTL: 5 * time.Minute}
		}
	}
	return dns.Answer{Status: dns.Nothing, NXDomain: true, TTL: 5 * time.Minute}
}

// dial connects to a receiver.
func (v *virtual) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	r := v.hosts[ap.Addr()]
	v.mu.Unlock()
	if r == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	switch r.says("connect", 0) {
	case hang:
		<-ctx.Done()
		return nil, ctx.Err()
	case drop:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	select {
	case <-time.After(r.latency):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ours, theirs := net.Pipe()
	v.conns.Go(func() {
		defer func() { _ = theirs.Close() }()
		r.serve(theirs)
	})
	return ours, nil
}

// What a receiver may do instead of answering.
const (
	hang = "\x00hang" // says nothing until the client gives up
	drop = "\x00drop" // ends the connection
)

// receiver is a provider's exchanger.
type receiver struct {
	name    string // of the provider's knowledge, for people
	host    string
	domains []string
	ip      netip.Addr
	latency time.Duration
	limits  provider.Limits // counted here; what exceeds them stands in excess
	// act may change what is said at a step: connect, banner, ehlo, starttls, handshake, mail, rcpt, data, body, dot, quit. n counts the messages of the connection. "" is the
	// good answer.
	act func(step string, n int) string

	v      *virtual
	mu     sync.Mutex
	open   map[string]int         // connections by egress
	sent   map[string][]time.Time // messages by egress: the latest day
	excess []string
	taken  []taken
	most   int // connections at one time
}

// taken is one message that a receiver took, for one recipient.
type taken struct {
	at     time.Time
	to     string
	id     string // of the Message-ID
	egress string
}

func (r *receiver) says(step string, n int) string {
	r.mu.Lock()
	act := r.act
	r.mu.Unlock()
	if act == nil {
		return ""
	}
	return act(step, n)
}

// serve is one connection.
func (r *receiver) serve(c net.Conn) {
	in := bufio.NewReader(c)
	say := func(step string, n int, good string) error {
		text := r.says(step, n)
		switch text {
		case hang:
			_, err := io.Copy(io.Discard, in)
			return errors.Join(errGone, err)
		case drop:
			return errGone
		case "":
			text = good
		}
		time.Sleep(r.latency)
		_, err := io.WriteString(c, text+"\r\n")
		return err
	}
	egress := ""
	defer func() {
		r.mu.Lock()
		r.open[egress]--
		r.mu.Unlock()
	}()
	if r.count(&egress, "?"); say("banner", 0, "220 "+r.host+" ESMTP") != nil {
		return
	}
	n := 0
	var to []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, arg, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO", "HELO":
			r.count(&egress, arg)
			err = say("ehlo", n, "250-"+r.host+"\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
		case "MAIL":
			n++
			to = nil
			r.message(egress, n)
			err = say("mail", n, "250 2.1.0 fine")
		case "RCPT":
			if err = say("rcpt", n, "250 2.1.5 fine"); r.says("rcpt", n) == "" {
				to = append(to, strings.Trim(strings.TrimPrefix(strings.ToUpper(arg), "TO:"), "<>"))
			}
		case "DATA":
			if len(to) == 0 {
				err = say("data", n, "554 5.5.1 no recipients")
				break
			}
			if err = say("data", n, "354 go on"); err != nil || r.says("data", n) != "" {
				break
			}
			var id string
			if id, err = r.body(in, n); err != nil {
				return
			}
			r.keep(n, to, id, egress)
			err = say("dot", n, "250 2.0.0 taken")
		case "STARTTLS":
			if err = say("starttls", n, "502 5.5.1 what?"); strings.HasPrefix(r.says("starttls", n), "220") {
				if text := r.says("handshake", n); text == hang {
					_, _ = io.Copy(io.Discard, in)
				} else {
					_, _ = io.WriteString(c, text)
				}
				return
			}
		case "RSET", "NOOP":
			err = say("rset", n, "250 2.0.0 fine")
		case "QUIT":
			_ = say("quit", n, "221 2.0.0 bye")
			return
		default:
			err = say("other", n, "502 5.5.1 what?")
		}
		if err != nil {
			return
		}
	}
}

var errGone = errors.New("the receiver ended the connection")

// body reads a message and returns its Message-ID.
func (r *receiver) body(in *bufio.Reader, n int) (id string, err error) {
	for lines := 0; ; lines++ {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return id, nil
		}
		if rest, ok := strings.CutPrefix(line, "Message-ID: "); ok && id == "" {
			id = strings.Trim(strings.TrimSpace(rest), "<>")
		}
		if lines == 2 && r.says("body", n) == drop {
			return "", errGone
		}
	}
}

// keep remembers a message that will be answered 250.
func (r *receiver) keep(n int, to []string, id, egress string) {
	if text := r.says("dot", n); text != "" && !strings.HasPrefix(text, "2") {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range to {
		r.taken = append(r.taken, taken{time.Now(), strings.ToLower(a), id, egress})
	}
}

// count moves a connection to the egress that its EHLO names, and judges how many there are.
func (r *receiver) count(egress *string, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open, r.sent = map[string]int{}, map[string][]time.Time{}
	}
	if *egress != "" {
		r.open[*egress]--
	}
	*egress = name
	r.open[name]++
	if name == "?" {
		return
	}
	r.most = max(r.most, r.open[name])
	if most := r.limits.Connections; most > 0 && r.open[name] > most {
		r.excess = append(r.excess, fmt.Sprintf("%s: %d connections from %s; it takes %d", r.name, r.open[name], name, most))
	}
}

// message judges one more message against the limits, in any span of time that ends now.
func (r *receiver) message(egress string, ofConnection int) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	all := append(r.sent[egress], now)
	if i := slices.IndexFunc(all, func(at time.Time) bool { return now.Sub(at) < 24*time.Hour }); i > 0 {
		all = all[i:]
	}
	r.sent[egress] = all
	if most := r.limits.PerConnection; most > 0 && ofConnection > most {
		r.excess = append(r.excess, fmt.Sprintf("%s: message %d on one connection; it takes %d", r.name, ofConnection, most))
	}
	for _, w := range []struct {
		span time.Duration
		most int
	}{{time.Second, int(r.limits.PerSecond)}, {time.Minute, r.limits.PerMinute}, {time.Hour, r.limits.PerHour}, {24 * time.Hour, r.limits.PerDay}} {
		if w.most > 0 && len(all) > w.most && now.Sub(all[len(all)-1-w.most]) < w.span {
			r.excess = append(r.excess, fmt.Sprintf("%s: more than %d messages in %v from %s", r.name, w.most, w.span, egress))
		}
	}
}

// ends waits until every connection has ended: a bubble must not end before its goroutines.
func (v *virtual) ends() { v.conns.Wait() }
