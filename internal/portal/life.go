package portal

import (
	"strings"
	"time"

	"postern/internal/intake"
	"postern/internal/journal"
)

// Bounds of the list of events: a message to many recipients has thousands.
const (
	firstEvents = 20
	lastEvents  = 80
)

// event is a line of a message's life.
type event struct {
	When   string
	Stamp  string // for machines
	Text   string
	Detail string // what the other server said, or the question asked
}

// life puts the journal's facts into words, oldest first. leftOut counts those in the middle that are not shown.
func (m *messagePage) life(v intake.View) (out []event, leftOut int) {
	facts := gather(v.Facts)
	if n := len(facts) - firstEvents - lastEvents; n > 0 {
		leftOut = n
		facts = append(facts[:firstEvents:firstEvents], facts[len(facts)-lastEvents:]...)
	}
	for _, f := range facts {
		if text, detail := m.event(f); text != "" {
			out = append(out, event{When: m.date(f.At), Stamp: f.At.UTC().Format(time.RFC3339), Text: text, Detail: clean(detail, 600)})
		}
	}
	return out, leftOut
}

// tally counts the recipients whose servers took the message, and those for whom it was given up: one message to many may
// end both ways.
func tally(facts []journal.Fact) (accepted, failed int) {
	fate := make(map[string]journal.Kind)
	for _, f := range facts {
		switch {
		case f.Kind == journal.Delivered, f.Kind == journal.Bounced, f.Kind == journal.Returned, f.Kind == journal.Expired && f.Attempt > 0:
			fate[f.Recipient] = f.Kind
		}
	}
	for _, kind := range fate {
		if kind == journal.Delivered {
			accepted++
		} else {
			failed++
		}
	}
	return accepted, failed
}

// counted is a fact, or several of one kind in a row of which the last is kept.
type counted struct {
	journal.Fact
	n int
}

// gather joins tests again that follow each other.
func gather(facts []journal.Fact) []counted {
	var out []counted
	for _, f := range facts {
		if k := len(out) - 1; k >= 0 && f.Kind == journal.Retested && out[k].Kind == f.Kind {
			out[k] = counted{f, out[k].n + 1}
			continue
		}
		out = append(out, counted{f, 1})
	}
	return out
}

// event words one fact. Texts of our own rooms in a fact are for the operator and are not repeated; those of remote servers are.
func (m *messagePage) event(f counted) (text, detail string) {
	who := clean(f.Recipient, 300)
	if who == "" {
		who = m.T("life.a_recipient")
	}
	host := clean(f.Host, 300)
	if host == "" {
		host = m.T("life.a_server")
	}
	switch f.Kind {
	case journal.Accepted, journal.Recovered, journal.Held, journal.Rejected, journal.DSN:
		return m.T("life." + string(f.Kind)), ""
	case journal.Released, journal.Dropped:
		return m.T("life." + string(f.Kind) + "." + actor(f.Actor)), ""
	case journal.Retested:
		return m.T("life.retested", "Count", f.n, "Score", f.Score), ""
	case journal.Attempt:
		if f.Host == "" && f.Enhanced == noTurn { // our own words on what keeps it; they may name others who send
			return m.T("life.parked", "When", m.date(f.NextAt)), ""
		}
		return m.T("life.attempt"), f.Text
	case journal.Delivered:
		return m.T("life.delivered", "Recipient", who, "Server", host), f.Text
	case journal.Deferred:
		if f.NextAt.IsZero() {
			return m.T("life.deferred", "Recipient", who), f.Text
		}
		return m.T("life.deferred_until", "Recipient", who, "When", m.date(f.NextAt)), f.Text
	case journal.Bounced:
		return m.T("life.bounced", "Recipient", who), f.Text
	case journal.Expired:
		if f.Attempt > 0 {
			return m.T("life.expired.age", "Recipient", who), f.Text
		}
		return m.T("life.expired.hold"), ""
	case journal.Returned, journal.LateDelay, journal.Confirmed, journal.AutoReply:
		return m.T("life."+string(f.Kind), "Recipient", who), f.Text
	case journal.Complaint:
		return m.T("life.complaint"), "" // who complained is his own affair
	case journal.Notified:
		return m.T("life.notified", "Recipient", who), ""
	case journal.Asked:
		return m.T("life.asked"), f.Text
	case journal.Tuned:
		return m.T("life.allowed"), ""
	}
	return "", ""
}

// noTurn is the status that delivery gives a recipient that had no attempt because its lane had no place for it.
const noTurn = "4.4.5"

// actor tells gateway, sender and operator apart; an operator's name is not the sender's business.
func actor(a string) string {
	switch {
	case a == "sender", strings.HasPrefix(a, "user:"), strings.HasPrefix(a, "token:"):
		return "sender"
	case strings.HasPrefix(a, "operator"):
		return "operator"
	}
	return "rule"
}
