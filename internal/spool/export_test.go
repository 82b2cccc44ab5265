package spool

import "context"

// Undoubt removes refused messages that the database kept, as Run does.
func Undoubt(ctx context.Context, s *Spool) error { return s.undoubt(ctx) }

// Sweep looks once for body files without a message, as Run does.
func Sweep(ctx context.Context, s *Spool) error { return s.sweep(ctx) }

// Watch runs the watchdog once.
func Watch(ctx context.Context, s *Spool) error { return s.watch(ctx) }

// Beat moves the heartbeat once.
func Beat(ctx context.Context, s *Spool) error { return s.beat(ctx) }

// Observe looks once for dead nodes.
func Observe(ctx context.Context, s *Spool) error { return s.observe(ctx) }

// EncodeMeta and DecodeMeta are the form of the column meta.
func EncodeMeta(m *Message) []byte          { return encodeMeta(m) }
func DecodeMeta(b []byte, m *Message) error { return decodeMeta(b, m) }

// Forget makes memory lose a message that the store holds, as only a mistake could.
func Forget(s *Spool, m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(m.ID)
}
