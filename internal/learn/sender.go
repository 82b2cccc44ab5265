package learn

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"

	"postern/internal/mail"
	"postern/internal/store"
)

// Sender is whose reputation is meant: an address, from a network, under somebody's answer. Each of the three keeps a forger out:
// who writes the same address from elsewhere, or without the signature or the login, is another sender.
type Sender struct {
	Customer string       // account.Customer.ID
	From     mail.Address // author of the header
	ClientIP netip.Addr   // who gave us the message; only its /16 (IPv4) or /48 (IPv6) counts. Invalid: not known
	// Answers is who proves to be the author: "dkim:" and the domain of a valid signature that fits From, or "login:" and the
	// credential. Empty: nobody.
	Answers string
}

// key is the digest under which a sender is kept.
func (s Sender) key() []byte {
	network := "-"
	if ip := s.ClientIP.Unmap().WithZone(""); ip.IsValid() {
		bits := 48
		if ip.Is4() {
			bits = 16
		}
		if p, err := ip.Prefix(bits); err == nil {
			network = p.String()
		}
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{s.Customer, strings.ToLower(s.From.String()), network, strings.ToLower(s.Answers)}, "\x00")))
	return sum[:16]
}

// valid reports whether there is a sender to remember.
func (s Sender) valid() bool { return !s.From.IsNull() && len(s.Customer) <= 200 }

// Adjust returns how many points the sender's mean adds to a message that scored so many, and how many messages the mean rests on:
// Factor of the way from the score to the mean, at most Reputation.Most either way. It is zero for fewer than MinCount messages, and
// never below zero where nobody answers for the sender: anyone could be he.
func (l *Ledger) Adjust(ctx context.Context, s Sender, score float64) (points float64, count int, err error) {
	if !s.valid() || !good(score) {
		return 0, 0, nil
	}
	var mean, n float64
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		mean, n = 0, 0
		if err := tx.QueryRow(sqlSender, s.key()).Scan(&mean, &n); err != nil && !errors.Is(err, store.ErrNoRows) {
			return err
		}
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("reputation: %w", err)
	}
	r := l.o.Reputation
	count = int(n)
	if count < r.MinCount {
		return 0, count, nil
	}
	points = (mean - score) * r.Factor
	points = math.Min(r.Most, math.Max(-r.Most, points))
	if s.Answers == "" {
		points = math.Max(0, points)
	}
	return math.Round(points*1000)/1000 + 0, count, nil
}

// Record adds the score of one message to the sender's mean, durable on return. Each new message weighs a little more than each
// before it (Reputation.Dilution), and the past never more than Reputation.Memory messages, so that who mends his ways is believed after some time.
func (l *Ledger) Record(ctx context.Context, s Sender, score float64) error {
	return l.record(ctx, []job{{sender: s, score: score}})
}

// record adds scores in one transaction.
func (l *Ledger) record(ctx context.Context, scores []job) error {
	day, d, most := l.day(), l.o.Reputation.Dilution, float64(l.o.Reputation.Memory)
	err := l.db.Write(ctx, func(tx *store.Tx) error {
		for _, j := range scores {
			if !j.sender.valid() || !good(j.score) {
				continue
			}
			if _, err := tx.Exec(sqlScored, j.sender.key(), j.sender.Customer, j.score, day, d, most, most, d, most, most); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reputation: %w", err)
	}
	return nil
}
