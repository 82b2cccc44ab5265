package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"postern/internal/alarm"
	"postern/internal/config"
	"postern/internal/delivery"
	"postern/internal/dns"
	"postern/internal/feedback"
	"postern/internal/mail"
	"postern/internal/shaping"
	"postern/internal/suppression"
)

// openSuppression reads the list of addresses that are not written to, and makes the room that keeps it.
func (a *App) openSuppression(ctx context.Context, c *config.Config) (err error) {
	a.suppression, err = suppression.New(suppression.Options{DB: a.mainDB, Logger: a.log, Keep: keepSuppressed(c), Off: !c.Suppression.Enabled})
	if err != nil {
		return err
	}
	if err := a.suppression.Refresh(ctx); err != nil {
		return err
	}
	blocks := &blocks{in: func() []shaping.Reaction { return a.delivery.InForce() }}
	a.feedback = feedback.New(feedback.Options{Learn: a.learn, Suppression: a.suppression, Knowledge: a.knowledge, Journal: a.journal, Blocked: blocks.against, Gone: a.gone,
		Alarm: a.outage, Logger: a.log,
		Count: a.metrics.events("postern_suppression_events_total", "Addresses put on the list of those not written to, by reason; outages of receivers seen, entries corrected, answers lost.")})
	return nil
}

func keepSuppressed(c *config.Config) map[suppression.Reason]time.Duration {
	k := c.Suppression.Keep
	return map[suppression.Reason]time.Duration{suppression.MailboxFull: k.MailboxFull, suppression.Suspended: k.Suspended, suppression.Unwilling: k.Unwilling,
		suppression.UnknownUser: k.UnknownUser, suppression.NoMail: k.NoMail}
}

// tuneSuppression takes over what may change while mail flows.
func (a *App) tuneSuppression(c *config.Config) {
	_ = a.suppression.Tune(keepSuppressed(c), !c.Suppression.Enabled) // no reason is unknown, no time negative: config saw to it
	a.intake.SetRefuseSuppressed(c.Suppression.AtRcpt == "refuse")
}

// settled has the ends of deliveries judged.
func (a *App) settled(s delivery.Settled) {
	m := s.Message
	a.feedback.Settled(feedback.Outcome{Customer: m.Customer, Credential: m.Credential, ClientIP: m.ClientIP, HeaderFrom: m.HeaderFrom, Head: s.Head, Recipient: s.Recipient,
		At: s.At, Code: s.Code, Enhanced: s.Enhanced, Text: s.Text, QueueID: m.ID, Provider: s.Provider, Phase: s.Phase, Host: s.Host, Own: s.Host == "", Meaning: s.Meaning})
}

// gone reports whether a domain takes no mail, asked past the cache, of a resolver that still knows the root.
func (a *App) gone(ctx context.Context, d mail.Domain) bool {
	mx := dns.MX(ctx, a.fresh, string(d))
	switch {
	case mx.Status == dns.Found && len(mx.Records) == 1 && (mx.Records[0].Host == "" || mx.Records[0].Host == "."):
		return true // RFC 7505
	case mx.Status != dns.Nothing || !mx.NXDomain:
		return false
	}
	return dns.Canary(ctx, a.fresh, "") == nil
}

// outage tells the operator that a receiver suddenly knows none of its users.
func (a *App) outage(o feedback.Outage) {
	name := string(o.Domain)
	if p := a.knowledge().Provider(o.Provider); p != nil && o.Provider != "" {
		name = p.Title
	}
	a.alarms.Tell(alarm.Alarm{Key: "suppression.outage " + o.Provider + string(o.Domain), Severity: alarm.Warning, Code: "outage", Since: o.At, Args: map[string]string{
		"Name": name, "Unknown": fmt.Sprint(o.Unknown), "Answers": fmt.Sprint(o.Answers), "Usual": fmt.Sprintf("%.0f", 100*o.Usual), "Lifted": fmt.Sprint(o.TakenBack)}})
}

// blocks remembers for a moment which providers refuse us.
type blocks struct {
	in func() []shaping.Reaction

	mu   sync.Mutex
	at   time.Time
	them map[string]bool
}

// blocksFor is how old the memory may be.
const blocksFor = 2 * time.Second

// against reports whether a lane of a provider stands still, or is watched, because of what the provider answered.
func (b *blocks) against(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.them == nil || now.Sub(b.at) > blocksFor {
		b.at, b.them = now, make(map[string]bool)
		for _, r := range b.in() {
			if r.By == "rule" && r.Scope == shaping.WholeLane && (r.Kind == shaping.Pause || r.Kind == shaping.Watch) {
				b.them[r.Lane.Provider] = true
			}
		}
	}
	return b.them[name]
}

// Suppression returns the list of addresses that are not written to.
func (a *App) Suppression() *suppression.Ledger { return a.suppression }
