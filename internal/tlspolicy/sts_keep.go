package tlspolicy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/store"
)

// Pauses and lives of what is known about MTA-STS.
const (
	fetchAgain   = 5 * time.Minute     // RFC 8461 3.3: a failed fetch is not tried again sooner
	refreshAfter = 24 * time.Hour      // RFC 8461 3.3: "a suggested refresh frequency is once per day"
	refreshFor   = 30 * 24 * time.Hour // since mail was last written to the domain; then its policy may expire
	refreshBatch = 200                 // policies refreshed in one round
)

// stsEntry is what is remembered of one domain. Its fields are guarded by Book.mu.
type stsEntry struct {
	loaded  bool // the table was asked
	id      string
	policy  *STSPolicy // nil: none
	fetched time.Time
	expires time.Time
	used    time.Time // day of the last question, as the table has it

	failure, detail string    // of the last fetch
	failed          time.Time // when it was
	flight          *flight
}

// flight is a fetch under way that others wait for.
type flight struct{ done chan struct{} }

// valid is the policy in force at a moment, nil when there is none.
func (e *stsEntry) valid(now time.Time) *STSPolicy {
	if e.policy == nil || !now.Before(e.expires) {
		return nil
	}
	return e.policy
}

// entry is the memory of a domain, made when it is new; the oldest goes when there are too many.
func (b *Book) entry(d mail.Domain) *stsEntry {
	if e := b.entries[d]; e != nil {
		return e
	}
	for len(b.entries) >= maxEntries {
		delete(b.entries, b.turn[0])
		b.turn = b.turn[1:]
	}
	e := &stsEntry{}
	b.entries[d] = e
	b.turn = append(b.turn, d)
	return e
}

// sts is the MTA-STS policy of a domain, nil when there is none to keep to. failure says that the domain announces one which cannot be had.
func (b *Book) sts(ctx context.Context, d mail.Domain) (p *STSPolicy, failure, detail string) {
	e := b.known(ctx, d)
	id, err := b.announced(ctx, d)
	now := b.o.Now()
	b.mu.Lock()
	kept, same := e.valid(now), e.id == id
	resting := now.Sub(e.failed) < fetchAgain
	failure, detail = e.failure, e.detail
	b.mu.Unlock()
	switch {
	case err != nil && kept != nil:
		// RFC 8461 3.3: whoever can suppress the record must not be able to switch the policy off.
		b.touch(ctx, d, e, now)
		return kept, "", ""
	case errors.Is(err, ErrInvalidRecord):
		return nil, STSInvalid, err.Error()
	case err != nil:
		return nil, "", ""
	case kept != nil && (same || resting):
		b.touch(ctx, d, e, now)
		return kept, "", ""
	case resting:
		return nil, failure, detail
	}
	b.fetchOnce(ctx, d, e, id)
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := e.valid(b.o.Now()); p != nil {
		return p, "", ""
	}
	return nil, e.failure, e.detail
}

// announced is the id of the policy that the domain's record announces.
func (b *Book) announced(ctx context.Context, d mail.Domain) (string, error) {
	a := dns.TXT(ctx, b.o.Resolver, "_mta-sts."+string(d))
	if a.Status == dns.TryLater {
		return "", fmt.Errorf("record of MTA-STS: %w", a.Err)
	}
	texts := make([]string, 0, len(a.Records))
	for _, r := range a.Records {
		texts = append(texts, r.Text)
	}
	return ParseSTSRecord(texts)
}

// known is the memory of a domain, with what the table holds.
func (b *Book) known(ctx context.Context, d mail.Domain) *stsEntry {
	b.mu.Lock()
	e := b.entry(d)
	loaded := e.loaded
	b.mu.Unlock()
	if loaded || b.o.DB == nil {
		return e
	}
	row, err := b.load(ctx, d)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		b.o.Logger.Error("MTA-STS policy cannot be read", "rcpt_domain", d, "error", err)
		return e
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !e.loaded {
		e.loaded = true
		if row != nil && e.policy == nil {
			e.id, e.policy, e.fetched, e.expires, e.used = row.id, row.policy, row.fetched, row.expires, row.used
		}
	}
	return e
}

// touch notes once a day that mail is written to the domain, so that its policy is refreshed.
func (b *Book) touch(ctx context.Context, d mail.Domain, e *stsEntry, now time.Time) {
	b.mu.Lock()
	today := now.UTC().Truncate(24 * time.Hour)
	stale := e.used.Before(today)
	e.used = today
	b.mu.Unlock()
	if !stale || b.o.DB == nil {
		return
	}
	err := b.o.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(sqlUsed, micros(today), string(d))
		return err
	})
	if err != nil {
		b.o.Logger.Warn("use of an MTA-STS policy not noted", "rcpt_domain", d, "error", err)
	}
}

// fetchOnce fetches the policy of a domain, one caller for all who wait for it. It returns when the fetch is done or ctx has ended; the
// fetch then goes on, so that its result serves others.
func (b *Book) fetchOnce(ctx context.Context, d mail.Domain, e *stsEntry, id string) {
	b.mu.Lock()
	f := e.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		e.flight = f
		go b.renew(context.WithoutCancel(ctx), d, e, id, f)
	}
	b.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
	}
}

// renew fetches and keeps a policy. A policy that cannot be written to the table still holds in memory.
func (b *Book) renew(ctx context.Context, d mail.Domain, e *stsEntry, id string, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	text, p, failure, err := b.fetch(ctx, d)
	now := b.o.Now()
	b.mu.Lock()
	if err != nil {
		e.failure, e.detail, e.failed = failure, err.Error(), now
		if kept := e.valid(now); kept != nil && kept.Mode != STSNone {
			// RFC 8461 3.3: administrators should learn of it.
			b.o.Logger.Warn("MTA-STS policy cannot be refreshed; the one kept stays in force", "rcpt_domain", d, "until", e.expires, "error", err)
		} else {
			b.o.Logger.Info("MTA-STS policy cannot be fetched; mail goes on without", "rcpt_domain", d, "error", err)
		}
	} else {
		e.id, e.policy, e.fetched, e.expires = id, &p, now, now.Add(p.MaxAge)
		e.used = now.UTC().Truncate(24 * time.Hour)
		e.failure, e.detail, e.failed = "", "", time.Time{}
	}
	row := stsRow{domain: d, id: e.id, text: text, fetched: e.fetched, expires: e.expires, used: e.used}
	e.flight = nil
	b.mu.Unlock()
	if err == nil && b.o.DB != nil {
		if err := b.save(ctx, row); err != nil {
			b.o.Logger.Error("MTA-STS policy not kept; it holds until the next start", "rcpt_domain", d, "error", err)
		}
	}
	close(f.done)
}

// Refresh fetches the policies again that are a day old, as long as mail is written to their domains and their records are there, and forgets
// those that have expired. Run calls it.
func (b *Book) Refresh(ctx context.Context) {
	if b.o.DB == nil {
		return
	}
	now := b.o.Now()
	due, err := b.due(ctx, now)
	if err != nil {
		b.o.Logger.Error("MTA-STS policies cannot be read", "error", err)
		return
	}
	for _, d := range due {
		if ctx.Err() != nil {
			return
		}
		e := b.known(ctx, d)
		b.mu.Lock()
		resting := now.Sub(e.failed) < time.Hour || now.Sub(e.fetched) < refreshAfter
		b.mu.Unlock()
		if resting {
			continue
		}
		// A record that is gone means that the domain gave MTA-STS up: its policy runs out.
		if id, err := b.announced(ctx, d); err == nil {
			b.fetchOnce(ctx, d, e, id)
		}
	}
}
