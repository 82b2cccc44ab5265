package milter

import (
	"context"
	"net"
)

// Converse serves one connection without admission, and returns how many bytes of messages are still reserved at its end.
func (s *Server) Converse(ctx context.Context, conn net.Conn) int64 {
	x := newSession(s, conn)
	x.run(ctx)
	x.reset()
	return s.inFlight.Load()
}
