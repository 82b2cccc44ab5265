package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"postern/internal/delivery"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/shaping"
	"postern/internal/spool"
)

// Explanation tells why a message is where it is, and what happens next.
type Explanation struct {
	ID         mail.QueueID `json:"id"`
	State      State        `json:"state"`
	NextAt     time.Time    `json:"next_at,omitzero" doc:"The next event; absent when nothing more happens"`
	Expires    time.Time    `json:"expires,omitzero" doc:"When delivery gives up"`
	HoldReason string       `json:"hold_reason,omitempty"`
	Sentences  []string     `json:"sentences" nullable:"false" doc:"The same for people, in the language asked for"`
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
	Why      string    `json:"why,omitempty" doc:"What keeps it in its lane, in the language asked for"`
	Cause    string    `json:"cause,omitempty" doc:"The answer for which its lane stands still; only in explanations"`
}

// waits tells for each recipient what it waits for.
func (t teller) waits(w spool.Work) []Wait {
	standings := t.s.o.Delivery.Standings(w)
	out := make([]Wait, 0, len(standings))
	for _, r := range standings {
		x := Wait{Address: r.Address.String(), Attempts: r.Attempts, Until: r.Until, Reason: string(r.Stage), Lane: r.Lane, Ahead: r.Ahead, State: Queued}
		if r.Attempts > 0 || r.Host != "" || r.Enhanced != noTurn {
			x.Answer = answerOf(r.Host, r.Code, r.Enhanced, r.Text) // else it is what Why says
		}
		if r.Attempts > 0 {
			x.State = Deferred
		}
		var why []string
		for _, y := range r.Why {
			why = append(why, Why(t.s.texts, t.lang, y))
		}
		x.Why = strings.Join(why, " ")
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

// noTurn is the status that delivery gives a recipient that had no attempt because its lane had no place for it.
const noTurn = "4.4.5"

// causes adds the answers for which lanes stand still.
func (t teller) causes(waits []Wait) {
	by := map[string]string{}
	for _, r := range t.s.o.Delivery.InForce() {
		if lane := r.Lane.String(); r.Rule != "" && r.Evidence != "" && by[lane] == "" && standsStill([]shaping.Reaction{r}) {
			by[lane] = r.Evidence
		}
	}
	for i := range waits {
		if x := &waits[i]; x.State == Slowed {
			x.Cause = by[x.Lane]
		}
	}
}

// teller tells people in one language.
type teller struct {
	s    *server
	lang string
}

func (s *server) tell(lang string) teller { return teller{s, locale.Parse(lang)} }

func (t teller) text(key string, args map[string]any) string {
	return t.s.texts.Text(t.lang, "explain."+key, args)
}

// rank orders states by how much there is to wait for.
var rank = map[State]int{Held: 5, Deferred: 4, Slowed: 3, Queued: 2}

// summary is the message's own state, next event and reason in one line.
func (t teller) summary(w spool.Work, waits []Wait) (state State, next time.Time, why string) {
	state = Queued
	open := 0
	for _, x := range waits {
		if x.Reason == "settled" {
			continue
		}
		open++
		if why == "" || rank[x.State] > rank[state] {
			state, why = x.State, t.line(x)
		}
		if !x.Until.IsZero() && (next.IsZero() || x.Until.Before(next)) {
			next = x.Until
		}
	}
	if w.Held {
		return Held, w.HoldUntil, t.hold(w)
	}
	if settled := len(waits) - open; settled > 0 {
		why = t.text("settled_of", map[string]any{"Settled": settled, "All": len(waits), "Why": why})
	}
	return state, next, why
}

// line is the reason in a few words.
func (t teller) line(x Wait) string {
	if st := delivery.Stage(x.Reason); (st == delivery.StageParked || st == delivery.StageWaiting) && x.Why != "" {
		return t.text("lane", map[string]any{"Lane": x.Lane, "Why": x.Why})
	}
	return t.now(x)
}

// now is what happens to a recipient, without the reason.
func (t teller) now(x Wait) string {
	switch st := delivery.Stage(x.Reason); st {
	case delivery.StageParked:
		return t.text("turn", map[string]any{"Lane": x.Lane})
	case delivery.StageWaiting:
		if x.Ahead > 0 {
			return t.text("turn.ahead", map[string]any{"Lane": x.Lane, "Count": x.Ahead})
		}
		return t.text("turn", map[string]any{"Lane": x.Lane})
	case delivery.StageDue, delivery.StageResolving, delivery.StageSending, delivery.StageSettling:
		return t.text(string(st), nil)
	}
	if x.Answer == "" {
		return t.text("next", nil)
	}
	return x.Answer
}

// hold is why a message is held.
func (t teller) hold(w spool.Work) string {
	switch w.HoldReason {
	case "score":
		args := map[string]any{"Score": t.points(w.Score)}
		var v filter.Verdict
		if json.Unmarshal(w.Verdict, &v) != nil || v.Threshold <= 0 {
			return t.text("hold.score", args)
		}
		args["Threshold"], args["Tests"] = t.points(v.Threshold), t.heaviest(v, 3)
		return t.text("hold.tests", args)
	case "operator":
		return t.text("hold.operator", nil)
	case spool.ReasonDamaged:
		return t.text("hold.damaged", nil)
	}
	return w.HoldReason
}

// points is a score with one decimal.
func (t teller) points(f float64) string {
	s := strconv.FormatFloat(f, 'f', 1, 64)
	if t.lang == locale.French {
		s = strings.ReplaceAll(s, ".", ",")
	}
	return s
}

// heaviest names the tests that weigh most.
func (t teller) heaviest(v filter.Verdict, most int) string {
	var names []string
	for _, h := range v.Hits {
		if h.Points >= 0.05 && len(names) < most {
			names = append(names, h.Test+" "+t.points(h.Points))
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

// asked is the input of an explanation.
type asked struct {
	ID   string `path:"id" maxLength:"64" doc:"Queue ID"`
	Lang string `query:"lang" enum:"en,fr" default:"en" doc:"Language of the words"`
}

func (a *asked) owner(ctx context.Context, s *server) (string, bool, error) {
	return s.messageOwner(ctx, a.ID)
}
func (a *asked) kind() string { return noMessage }

func (s *server) explainMessage(ctx context.Context, in *asked) (*body[Explanation], error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	facts, err := s.life(ctx, id)
	if err != nil {
		return nil, s.fail(err)
	}
	t := s.tell(in.Lang)
	w, err := s.o.Spool.Get(ctx, id)
	if errors.Is(err, spool.ErrNotFound) {
		if len(facts) == 0 {
			return nil, s.fail(err)
		}
		return &body[Explanation]{t.gone(id, facts)}, nil
	}
	if err != nil {
		return nil, s.fail(err)
	}
	return &body[Explanation]{t.explain(w, facts)}, nil
}

// explain explains a message that is in the spool.
func (t teller) explain(w spool.Work, facts []journal.Fact) Explanation {
	e := Explanation{ID: w.ID, Expires: w.Expires, HoldReason: w.HoldReason, Recipients: t.waits(w), Sentences: []string{}}
	t.causes(e.Recipients)
	e.State, e.NextAt, _ = t.summary(w, e.Recipients)
	if w.Held {
		e.Sentences = t.explainHold(w, facts)
		return e
	}
	// Recipients that wait for the same thing are told together.
	groups, order := map[string][]string{}, []string{}
	for _, x := range e.Recipients {
		text := t.sentence(x)
		if groups[text] == nil {
			order = append(order, text)
		}
		groups[text] = append(groups[text], x.Address)
	}
	for _, text := range order {
		names := groups[text]
		if len(names) > 3 {
			names = append(names[:3:3], t.text("more", map[string]any{"Count": len(groups[text]) - 3}))
		}
		e.Sentences = append(e.Sentences, t.text("who", map[string]any{"Names": strings.Join(names, ", "), "What": text}))
	}
	if !w.Expires.IsZero() {
		e.Sentences = append(e.Sentences, t.text("gives_up", map[string]any{"Time": t.when(w.Expires)}))
	}
	return e
}

func (t teller) explainHold(w spool.Work, facts []journal.Fact) []string {
	var first string
	switch w.HoldReason {
	case "score":
		first = t.text("held.score", map[string]any{"Why": t.hold(w)})
	case spool.ReasonDamaged:
		first = t.text("held.damaged", nil)
	default:
		first = t.text("held.operator", nil)
		for _, f := range facts {
			if f.Kind != journal.Held || f.Actor == "" {
				continue
			}
			args := map[string]any{"Who": f.Actor, "Time": t.when(f.At), "Why": f.Text}
			if first = t.text("held.by", args); f.Text != "" {
				first = t.text("held.by.because", args)
			}
		}
	}
	return []string{first, t.text("held.until", map[string]any{"Time": t.when(w.HoldUntil)}), t.text("held.acts", nil)}
}

// sentence is what one recipient waits for, why, and what was said last.
func (t teller) sentence(x Wait) string {
	until := map[string]any{"What": t.now(x), "Until": t.when(x.Until), "Attempts": x.Attempts}
	var out []string
	switch x.Reason {
	case "settled":
		out = append(out, t.text("state."+string(x.State), nil)+".")
	case "scheduled":
		key := "scheduled"
		if x.Attempts == 0 {
			key = "scheduled.first"
		}
		out = append(out, t.text(key, until))
	case "parked":
		out = append(out, t.text("until.free", until))
	default:
		if x.Until.IsZero() || x.Reason != "waiting" {
			out = append(out, t.now(x)+".")
			break
		}
		out = append(out, t.text("until", until))
	}
	if x.Why != "" {
		out = append(out, x.Why)
	}
	if x.Cause != "" {
		out = append(out, t.text("cause", map[string]any{"Answer": x.Cause}))
	}
	if x.Answer != "" {
		out = append(out, t.text("last", map[string]any{"Answer": x.Answer}))
	}
	return strings.Join(out, " ")
}

// gone explains a message that has left the spool, or was never in it.
func (t teller) gone(id mail.QueueID, facts []journal.Fact) Explanation {
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
		args := map[string]any{"Who": name, "State": t.text("state."+string(x.State), nil), "Time": t.when(f.At), "Actor": f.Actor}
		if name == "" {
			args["Who"] = t.text("gone.message", nil)
		}
		text := t.text("gone", args)
		if f.Actor != "" && f.Actor != "rule" && f.Actor != journal.ActorNotice {
			text = t.text("gone.by", args)
		}
		if x.Answer != "" {
			text += " " + x.Answer
		}
		e.Sentences = append(e.Sentences, text)
		if name != "" {
			e.Recipients = append(e.Recipients, x)
		}
	}
	e.Sentences = append(e.Sentences, t.text("gone.end", nil))
	return e
}

// when writes a moment for people, with how far it is from now.
func (t teller) when(at time.Time) string {
	if at.IsZero() {
		return t.text("when.unknown", nil)
	}
	now := t.s.o.Now()
	d := at.Sub(now)
	form, key := "2006-01-02 15:04 MST", "when.future"
	if t.lang == locale.French {
		form = "02/01/2006 15:04 MST"
	}
	if d < 0 {
		d, key = -d, "when.past"
	}
	return t.text(key, map[string]any{"Time": at.In(now.Location()).Format(form), "Wait": d})
}
