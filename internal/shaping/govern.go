package shaping

import (
	"fmt"
	"math"
	"time"

	"postern/internal/provider"
)

// The governor stops before the provider does, when too many recipients turn out not to exist: first the customer who causes it, and everybody when
// the lane's total comes near the provider's limit.

// nearLimit is the part of the provider's limit at which the whole lane stands.
const nearLimit = 0.9

// governorCount is the answers of a time, and those of them that say that there is no such recipient.
type governorCount struct{ answers, unknown *window }

func (g *governorCount) empty(now int64) bool {
	return g.answers == nil || g.answers.empty(now)
}

func (g *governorCount) add(now int64, of time.Duration, unknown bool) {
	if g.answers == nil || g.answers.span != int64(of) {
		g.answers, g.unknown = newWindow("", of, of/60+1, 0), newWindow("", of, of/60+1, 0)
	}
	g.answers.add(now, 1)
	g.unknown.roll(now)
	if unknown {
		g.unknown.add(now, 1)
	}
}

func (g *governorCount) share() float64 {
	if g.answers == nil || g.answers.sum == 0 {
		return 0
	}
	return float64(g.unknown.sum) / float64(g.answers.sum)
}

// govern counts an answer about a recipient, and stops whom it must.
func (l *lane) govern(now int64, e Event) {
	if l.p == nil || l.p.Governor.Unknown <= 0 || e.Connect || !proves(e) {
		return
	}
	g := l.p.Governor
	if g.Of <= 0 {
		g.Of = time.Hour
	}
	if g.Pause <= 0 {
		g.Pause = time.Hour
	}
	unknown := !e.Accepted && e.Meaning.Category == provider.UserUnknown
	l.gov.add(now, g.Of, unknown)
	s := l.share(e.Customer)
	if s == nil {
		s = l.makeShare(e.Customer, l.s.weight(e.Customer))
	}
	s.gov.add(now, g.Of, unknown)
	if !unknown {
		return
	}
	text := func(c *governorCount) string {
		return clip(fmt.Sprintf("%d of %d recipients unknown in %s; last: %s", c.unknown.sum, c.answers.sum, g.Of, evidence(e)))
	}
	if l.gov.answers.sum >= g.Least && l.gov.share() >= nearLimit*g.Unknown {
		who := l.culprit(now)
		l.react(now, Reaction{Kind: Governor, Why: l.why("governor", percent(l.gov.share()), who), Rule: e.Meaning.Rule, Evidence: text(&l.gov)}, g.Pause)
		l.gov = governorCount{}
		for _, o := range l.shares {
			o.gov = governorCount{}
		}
		return
	}
	if e.Customer != "" && !s.paused && s.gov.unknown.sum >= max(g.Least/4, 3) && s.gov.share() > g.Unknown {
		l.react(now, Reaction{Kind: Governor, Customer: e.Customer, Why: l.why("governor_customer", percent(s.gov.share()), e.Customer), Rule: e.Meaning.Rule,
			Evidence: text(&s.gov)}, g.Pause)
		s.gov = governorCount{}
	}
}

// culprit is the customer with the most unknown recipients.
func (l *lane) culprit(now int64) string {
	most, who := 0, ""
	for _, s := range l.shares {
		if s.gov.unknown == nil {
			continue
		}
		s.gov.unknown.roll(now)
		if n := s.gov.unknown.sum; n > most || n == most && n > 0 && s.customer < who {
			most, who = n, s.customer
		}
	}
	return who
}

func percent(f float64) string { return fmt.Sprint(int(math.Round(100 * f))) }
