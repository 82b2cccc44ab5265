// Package listen is the life of a listener whose clients are other programs on this machine or in a network named for them: it accepts
// connections, knows the sessions that are open, and ends them in order.
//
// It does not know what is spoken: the room that serves a protocol decides in its admit function whether a connection is let in, and does
// the session's work (milter, spamd). The doors for mail have a server of their own, because theirs are open to the world (package smtp).
//
// How it fails: a listener that cannot accept, for want of file descriptors for example, waits and tries again, and says so in the log; only
// one that breaks ends Serve with an error.
package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Session is one connection's work. Drain is told once that the service ends: what is under way may finish, nothing new begins.
type Session interface {
	comparable
	Drain()
}

// Options say how a service is run.
type Options struct {
	Name   string        // of the room, before each error and log line
	Grace  time.Duration // how long what is under way may take after ctx ends
	Logger *slog.Logger
}

// Serve accepts connections from l and gives them to admit until ctx ends. Then it closes l, drains the sessions, gives them Grace, ends the
// context that admit was given, closes what is left and returns nil. It returns an error only when l breaks by itself.
func Serve[S Session](ctx context.Context, l net.Listener, o Options, admit func(context.Context, *Sessions[S], net.Conn)) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	open := &Sessions[S]{all: make(map[S]net.Conn)}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = l.Close()
		open.drain()
		grace := time.AfterFunc(o.Grace, func() { cancel(); open.cut() })
		open.running.Wait()
		grace.Stop()
	})
	var pause time.Duration
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			admit(inner, open, conn)
			continue
		case ctx.Err() != nil:
			<-ended
			return nil
		case errors.Is(err, net.ErrClosed):
			stop()
			open.cut()
			open.running.Wait()
			return fmt.Errorf("%s: accept: %w", o.Name, err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second) // out of file descriptors, for example
		o.Logger.Error(o.Name+": cannot accept a connection, waiting", "error", err, "wait", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// Sessions are the open ones of one listener.
type Sessions[S Session] struct {
	running  sync.WaitGroup
	mu       sync.Mutex
	all      map[S]net.Conn
	draining bool
}

// Start runs a session and closes its connection at the end. While draining it is given nothing to do.
func (a *Sessions[S]) Start(x S, conn net.Conn, run func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all[x] = conn
	if a.draining {
		x.Drain()
	}
	a.running.Go(func() {
		defer func() {
			_ = conn.Close()
			a.mu.Lock()
			defer a.mu.Unlock()
			delete(a.all, x)
		}()
		run()
	})
}

func (a *Sessions[S]) drain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.draining = true
	for x := range a.all {
		x.Drain()
	}
}

func (a *Sessions[S]) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, conn := range a.all {
		_ = conn.Close()
	}
}

// Peer says whether a client is on this machine, and whether it may connect: this machine and the networks named may. Of a unix socket the
// folder it lies in decides.
func Peer(addr net.Addr, networks []netip.Prefix) (local, trusted bool) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return true, true
	}
	ip := tcp.AddrPort().Addr().Unmap()
	local = ip.IsLoopback()
	return local, local || slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
}
