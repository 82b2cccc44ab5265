package intake

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"postern/internal/account"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// limitNews keeps a client that hammers on a limit from filling the journal: one fact a minute for each login and limit.
type limitNews struct {
	mu   sync.Mutex
	told map[string]time.Time
}

const (
	newsEvery = time.Minute
	maxNews   = 10_000
)

// due reports whether something may be told again, and notes that it is.
func (n *limitNews) due(what string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if last, ok := n.told[what]; ok && now.Sub(last) < newsEvery {
		return false
	}
	if n.told == nil || len(n.told) >= maxNews {
		n.told = map[string]time.Time{}
	}
	n.told[what] = now
	return true
}

// allowed reports whether the login may send one more message to so many recipients: nil, or the refusal.
func (s *session) allowed(env mail.Envelope, recipients int) error {
	if !s.known {
		return nil
	}
	now := s.in.o.Now()
	return s.limited(env, s.in.o.Accounts.Room(s.credential.User, recipients, now), now)
}

// limited turns a limit that is used up into the answer: which one, and when there is room again. Temporary, so that the client keeps the mail.
func (s *session) limited(env mail.Envelope, err error, now time.Time) error {
	var limit *account.LimitError
	if !errors.As(err, &limit) {
		return err
	}
	s.in.o.Count("refused:limit")
	text := fmt.Sprintf("This login may send %s; there is room again from %s UTC on", limitText(limit), limit.Until.UTC().Format("2006-01-02 15:04"))
	refusal := &smtp.Error{Code: 450, Enhanced: smtp.Enhanced{4, 7, 1}, Text: text + "\nUser " + limit.User + ": its limits are changed in the portal, or by the operator"}
	if s.in.limits.due(limit.User+" "+limit.Limit, now) {
		s.in.o.Journal.Post(journal.Fact{Kind: journal.Limited, At: now, Customer: s.customer.ID, Credential: limit.User, ClientIP: s.conn.ClientIP,
			ReversePath: env.ReversePath.String(), Code: refusal.Code, Enhanced: "4.7.1", Text: text, NextAt: limit.Until, Actor: "rule"})
	}
	return refusal
}

// limitText is a limit for people and logs.
func limitText(e *account.LimitError) string {
	what := map[string]string{account.MessagesPerHour: "messages an hour", account.MessagesPerDay: "messages a day", account.RecipientsPerDay: "recipients a day"}[e.Limit]
	if e.Most == 1 {
		what = strings.Replace(what, "s ", " ", 1)
	}
	return fmt.Sprintf("%d %s", e.Most, what)
}

// permanent reports whether a refusal is for good.
func permanent(err error) bool {
	var refusal *smtp.Error
	return errors.As(err, &refusal) && refusal.Code >= 500
}
