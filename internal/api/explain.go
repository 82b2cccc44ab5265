package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"postern/internal/delivery"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/spool"
)

// Explanation tells why a message is where it is, and what happens next.
type Explanation struct {
	ID         mail.QueueID `json:"id"`
	State      State        `json:"state"`
	NextAt     time.Time    `json:"next_at,omitzero" doc:"The next event; absent when nothing more happens"`
	Expires    time.Time    `json:"expires,omitzero" doc:"When delivery gives up"`
	HoldReason string       `json:"hold_reason,omitempty"`
	Sentences  []string     `json:"sentences" nullable:"false" doc:"The same for people, in English"`
	Recipients []Wait       `json:"recipients" nullable:"false"`
}

// Wait is what one recipient waits for.
type Wait struct {
	Address  string    `json:"address"`
	State    State     `json:"state"`
	Reason   string    `json:"reason" enum:"held,scheduled,parked,due,resolving,waiting,sending,settling,settled" doc:"held: a person decides. scheduled: the next attempt has its time. parked: its lane had no place for it, it comes back at a time or when the lane is free. due: its time has come. resolving: DNS is being asked where it goes. waiting: in its lane's queue. sending: an attempt is under way. settling: the outcome is being written down. settled: nothing more happens"`
	Until    time.Time `json:"until,omitzero"`
	Attempts int       `json:"attempts"`
	Answer   string    `json:"answer,omitempty" doc:"The last answer with its code and who gave it"`
	Lane     string    `json:"lane,omitempty" doc:"Name of its lane"`
	Ahead    int       `json:"ahead,omitempty" doc:"Messages that may go before it"`
	Why      string    `json:"why,omitempty" doc:"What keeps it in its lane"`
}

// waits tells for each recipient what it waits for.
func (s *server) waits(w spool.Work) []Wait {
	standings := s.o.Delivery.Standings(w)
	out := make([]Wait, 0, len(standings))
	for _, r := range standings {
		x := Wait{Address: r.Address.String(), Attempts: r.Attempts, Answer: answerOf(r.Host, r.Code, r.Enhanced, r.Text), Until: r.Until, Reason: string(r.Stage),
			Lane: r.Lane, Ahead: r.Ahead, State: Queued}
		if r.Attempts > 0 {
			x.State = Deferred
		}
		var why []string
		for _, y := range r.Why {
			why = append(why, s.why(y))
		}
		x.Why = strings.Join(why, "; ")
		switch r.Stage {
		case delivery.StageSettled:
			x.State = map[spool.State]State{spool.Delivered: Delivered, spool.Bounced: Rejected, spool.Dropped: Cancelled, spool.Expired: Expired}[r.State]
		case delivery.StageHeld:
			x.State = Held
		case delivery.StageParked, delivery.StageWaiting:
			x.State = Slowed
		}
		out = append(out, x)
	}
	return out
}

// rank orders states by how much there is to wait for.
var rank = map[State]int{Held: 5, Deferred: 4, Slowed: 3, Queued: 2}

// summary is the message's own state, next event and reason in one line.
func summary(w spool.Work, waits []Wait) (state State, next time.Time, why string) {
	state = Queued
	open := 0
	for _, x := range waits {
		if x.Reason == "settled" {
			continue
		}
		open++
		if why == "" || rank[x.State] > rank[state] {
			state, why = x.State, x.line()
		}
		if !x.Until.IsZero() && (next.IsZero() || x.Until.Before(next)) {
			next = x.Until
		}
	}
	if w.Held {
		return Held, w.HoldUntil, holdLine(w)
	}
	if settled := len(waits) - open; settled > 0 {
		why = fmt.Sprintf("%d of %d recipients settled; %s", settled, len(waits), why)
	}
	return state, next, why
}

// line is the reason in a few words.
func (x Wait) line() string {
	why := ""
	if x.Why != "" {
		why = ": " + x.Why
	}
	switch delivery.Stage(x.Reason) {
	case delivery.StageParked:
		return "waits for its turn in lane " + x.Lane + why
	case delivery.StageWaiting:
		text := "waits for its turn in lane " + x.Lane
		if x.Ahead > 0 {
			text += fmt.Sprintf(", at most %d messages before it", x.Ahead)
		}
		return text + why
	case delivery.StageDue:
		return "due now: it is taken up as soon as there is room for it"
	case delivery.StageResolving:
		return "DNS is being asked where its mail goes"
	case delivery.StageSending:
		return "an attempt is under way"
	case delivery.StageSettling:
		return "an attempt has just ended; what came of it is being written down"
	}
	if x.Answer == "" {
		return "waits for its next attempt"
	}
	return x.Answer
}

func holdLine(w spool.Work) string {
	switch w.HoldReason {
	case "score":
		var v filter.Verdict
		if json.Unmarshal(w.Verdict, &v) == nil && v.Threshold > 0 {
			return fmt.Sprintf("score %.1f is above %.1f: %s", w.Score, v.Threshold, heaviest(v, 3))
		}
		return fmt.Sprintf("score %.1f is above the threshold", w.Score)
	case "operator":
		return "set aside by an operator"
	case spool.ReasonDamaged:
		return "the stored bytes are not those that were accepted"
	}
	return w.HoldReason
}

// heaviest names the tests that weigh most.
func heaviest(v filter.Verdict, most int) string {
	var names []string
	for _, h := range v.Hits {
		if h.Points >= 0.05 && len(names) < most {
			names = append(names, fmt.Sprintf("%s %.1f", h.Test, h.Points))
		}
	}
	return strings.Join(names, ", ")
}

// answerOf is a remote answer in one line.
func answerOf(host string, code int, enhanced, text string) string {
	var b strings.Builder
	if host != "" {
		b.WriteString(host)
		b.WriteString(": ")
	}
	if code != 0 {
		fmt.Fprintf(&b, "%d ", code)
		if enhanced != "" && !strings.HasPrefix(text, enhanced) {
			b.WriteString(enhanced + " ")
		}
	}
	b.WriteString(text)
	return strings.TrimSuffix(strings.TrimSpace(b.String()), ":")
}

func (s *server) explainMessage(ctx context.Context, in *one) (*body[Explanation], error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	facts, err := s.life(ctx, id)
	if err != nil {
		return nil, s.fail(err)
	}
	w, err := s.o.Spool.Get(ctx, id)
	if errors.Is(err, spool.ErrNotFound) {
		if len(facts) == 0 {
			return nil, s.fail(err)
		}
		return &body[Explanation]{s.explainGone(id, facts)}, nil
	}
	if err != nil {
		return nil, s.fail(err)
	}
	return &body[Explanation]{s.explainWork(w, facts)}, nil
}

// explainWork explains a message that is in the spool.
func (s *server) explainWork(w spool.Work, facts []journal.Fact) Explanation {
	e := Explanation{ID: w.ID, Expires: w.Expires, HoldReason: w.HoldReason, Recipients: s.waits(w), Sentences: []string{}}
	e.State, e.NextAt, _ = summary(w, e.Recipients)
	say := func(format string, args ...any) { e.Sentences = append(e.Sentences, fmt.Sprintf(format, args...)) }
	if w.Held {
		s.explainHold(w, facts, say)
		return e
	}
	// Recipients that wait for the same thing are told together.
	groups, order := map[string][]string{}, []string{}
	for _, x := range e.Recipients {
		text := s.sentence(x)
		if groups[text] == nil {
			order = append(order, text)
		}
		groups[text] = append(groups[text], x.Address)
	}
	for _, text := range order {
		names := groups[text]
		if len(names) > 3 {
			names = append(names[:3:3], fmt.Sprintf("%d more", len(groups[text])-3))
		}
		say("%s: %s", strings.Join(names, ", "), text)
	}
	if !w.Expires.IsZero() {
		say("Delivery gives up at %s; the sender is told then.", s.when(w.Expires))
	}
	return e
}

func (s *server) explainHold(w spool.Work, facts []journal.Fact, say func(string, ...any)) {
	switch w.HoldReason {
	case "score":
		say("Held by the filter: %s.", holdLine(w))
	case spool.ReasonDamaged:
		say("Held because the stored bytes are not those that were accepted: restore the body from a backup, or drop the message.")
	default:
		text := "Held by an operator"
		for _, f := range facts {
			if f.Kind == journal.Held && f.Actor != "" {
				text = fmt.Sprintf("Held by %s at %s", f.Actor, s.when(f.At))
				if f.Text != "" {
					text += ": " + f.Text
				}
			}
		}
		say("%s.", text)
	}
	say("It waits for a person until %s; then it is removed, and the sender is told.", s.when(w.HoldUntil))
	say("Release it, drop it, or have it tested again.")
}

// sentence is what one recipient waits for.
func (s *server) sentence(x Wait) string {
	last := ""
	if x.Answer != "" {
		last = " The last answer: " + x.Answer
	}
	switch x.Reason {
	case "settled":
		return fmt.Sprintf("%s.%s", x.State, last)
	case "scheduled":
		if x.Attempts == 0 {
			return fmt.Sprintf("the next attempt is at %s.%s", s.when(x.Until), last)
		}
		return fmt.Sprintf("attempt %d did not succeed, the next one is at %s.%s", x.Attempts, s.when(x.Until), last)
	case "parked":
		return fmt.Sprintf("%s, until %s or until the lane is free.%s", x.line(), s.when(x.Until), last)
	case "waiting":
		if !x.Until.IsZero() {
			return fmt.Sprintf("%s, until %s.%s", x.line(), s.when(x.Until), last)
		}
	}
	return x.line() + "." + last
}

// explainGone explains a message that has left the spool, or was never in it.
func (s *server) explainGone(id mail.QueueID, facts []journal.Fact) Explanation {
	e := Explanation{ID: id, State: Accepted, Sentences: []string{}, Recipients: []Wait{}}
	last := map[string]journal.Fact{}
	for _, f := range facts {
		if st := stateOfFact(f.Kind); st != "" {
			e.State = st
			if f.Recipient != "" || st == Blocked || st == Cancelled {
				last[f.Recipient] = f
			}
		}
	}
	ended := e.State == Cancelled || e.State == Expired
	names := make([]string, 0, len(last))
	for name, f := range last {
		// What a recipient waited for when the whole message ended is over.
		if st := stateOfFact(f.Kind); !ended || rank[st] == 0 && st != Accepted {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		f := last[name]
		x := Wait{Address: name, State: stateOfFact(f.Kind), Reason: "settled", Attempts: f.Attempt, Answer: answerOf(f.Host, f.Code, f.Enhanced, f.Text)}
		who := name
		if who == "" {
			who = "the message"
		}
		text := fmt.Sprintf("%s: %s at %s", who, x.State, s.when(f.At))
		if f.Actor != "" {
			text += " by " + f.Actor
		}
		if x.Answer != "" {
			text += ". " + x.Answer
		}
		e.Sentences = append(e.Sentences, text)
		if name != "" {
			e.Recipients = append(e.Recipients, x)
		}
	}
	e.Sentences = append(e.Sentences, "It is not in the spool: nothing more happens to it.")
	return e
}

// when writes a moment for people, with how far it is from now.
func (s *server) when(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	now := s.o.Now()
	d := t.Sub(now)
	text := t.In(now.Location()).Format("2006-01-02 15:04 MST")
	if d >= 0 {
		return text + " (in " + locale.Duration(locale.English, d) + ")"
	}
	return text + " (" + locale.Duration(locale.English, -d) + " ago)"
}
