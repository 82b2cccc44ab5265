package listen_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/listen"
)

// waiter is a session that ends when it is drained, or never.
type waiter struct {
	drained chan struct{}
	stays   bool
}

func (w *waiter) Drain() { close(w.drained) }

func serve(t *testing.T, grace time.Duration, stays bool) (addr string, begun <-chan *waiter, l net.Listener, stop func(), done <-chan error) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, started := make(chan error, 1), make(chan *waiter, 1)
	go func() {
		ended <- listen.Serve(ctx, l, listen.Options{Name: "room", Grace: grace, Logger: slog.New(slog.DiscardHandler)},
			func(inner context.Context, open *listen.Sessions[*waiter], conn net.Conn) {
				w := &waiter{make(chan struct{}), stays}
				open.Start(w, conn, func() {
					started <- w
					if <-w.drained; w.stays {
						<-inner.Done()
					}
				})
			})
	}()
	return l.Addr().String(), started, l, cancel, ended
}

// TestServeEnds: the end drains what is open; what stays beyond the grace is cut, and either way Serve returns nil with every connection closed.
func TestServeEnds(t *testing.T) {
	t.Parallel()
	for name, stays := range map[string]bool{"drained": false, "cut": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, begun, _, stop, done := serve(t, 10*time.Millisecond, stays)
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			<-begun
			stop()
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
			if _, err := io.ReadAll(conn); err != nil {
				t.Errorf("the connection was not closed: %v", err)
			}
			if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr); err == nil {
				t.Error("the listener is still open")
			}
		})
	}
}

// TestServeBroken: a listener that is closed by somebody else is an error that names the room.
func TestServeBroken(t *testing.T) {
	t.Parallel()
	_, _, l, stop, done := serve(t, time.Minute, false)
	defer stop()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil || !strings.HasPrefix(err.Error(), "room: accept: ") {
		t.Errorf("Serve: %v", err)
	}
}

func TestPeer(t *testing.T) {
	t.Parallel()
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, tc := range []struct {
		addr           net.Addr
		local, trusted bool
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, true, true},
		{&net.TCPAddr{IP: net.IPv6loopback}, true, true},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.7")}, false, true},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 3, 7)}, false, false},
		{&net.UnixAddr{Name: "/run/x", Net: "unix"}, true, true},
	} {
		if local, trusted := listen.Peer(tc.addr, networks); local != tc.local || trusted != tc.trusted {
			t.Errorf("%v: local %v trusted %v", tc.addr, local, trusted)
		}
	}
}
