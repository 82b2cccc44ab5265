package smtp

import "sync/atomic"

// Stats counts what a server did since it was made. All are totals that only grow, but Open and InFlightBytes.
type Stats struct {
	Open          int64 // connections open now
	InFlightBytes int64 // bytes booked now for messages being received or handled

	Connections    int64 // connections admitted
	RefusedTotal   int64 // refused: Limits.Connections
	RefusedIP      int64 // refused: Limits.ConnectionsPerIP
	RefusedNetwork int64 // refused: Limits.ConnectionsPerNetwork
	RefusedRate    int64 // refused: Limits.NewPerMinutePerIP
	RefusedSession int64 // refused by Handler.NewSession

	TLS          int64 // completed handshakes
	TLSFailures  int64 // failed handshakes
	Commands     int64 // command lines read
	Errors       int64 // client errors: syntax, sequence, refused MAIL
	Closed       int64 // connections closed by us for a limit or an attack pattern
	Timeouts     int64 // connections closed because the client was too slow
	AuthOK       int64
	AuthFailures int64
	Recipients   int64 // recipients accepted
	Messages     int64 // messages answered with 2xx
	Refused      int64 // messages read to the end and answered with 4xx or 5xx
	Bytes        int64 // bytes of messages answered with 2xx
	Panics       int64 // sessions ended by a recovered panic
}

// counters are the live form of Stats.
type counters struct {
	open, inFlight                                                                 atomic.Int64
	connections, refusedTotal, refusedIP, refusedNetwork, refusedRate, refusedSess atomic.Int64
	tls, tlsFailures, commands, errors, closed, timeouts                           atomic.Int64
	authOK, authFailures, recipients, messages, refused, bytes, panics             atomic.Int64
}

// Stats returns the counters; each is exact, together they are not one instant.
func (s *Server) Stats() Stats {
	c := &s.count
	return Stats{
		Open: c.open.Load(), InFlightBytes: c.inFlight.Load(),
		Connections: c.connections.Load(), RefusedTotal: c.refusedTotal.Load(), RefusedIP: c.refusedIP.Load(),
		RefusedNetwork: c.refusedNetwork.Load(), RefusedRate: c.refusedRate.Load(), RefusedSession: c.refusedSess.Load(),
		TLS: c.tls.Load(), TLSFailures: c.tlsFailures.Load(), Commands: c.commands.Load(), Errors: c.errors.Load(),
		Closed: c.closed.Load(), Timeouts: c.timeouts.Load(), AuthOK: c.authOK.Load(), AuthFailures: c.authFailures.Load(),
		Recipients: c.recipients.Load(), Messages: c.messages.Load(), Refused: c.refused.Load(), Bytes: c.bytes.Load(),
		Panics: c.panics.Load(),
	}
}

// reserve books n bytes of message memory; false when Limits.InFlightBytes would be exceeded.
func (s *Server) reserve(n int64) bool {
	if now := s.count.inFlight.Add(n); s.limits.InFlightBytes >= 0 && now > s.limits.InFlightBytes {
		s.count.inFlight.Add(-n)
		return false
	}
	return true
}

// release gives booked bytes back.
func (s *Server) release(n int64) { s.count.inFlight.Add(-n) }
