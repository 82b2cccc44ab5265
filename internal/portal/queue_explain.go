package portal

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"postern/internal/delivery"
	"postern/internal/filter"
	"postern/internal/locale"
	"postern/internal/shaping"
	"postern/internal/spool"
)

// opText is a text of another room's in the page's language.
func (p page) opText(key string, args map[string]any) string {
	return p.site.o.Catalog.Text(p.Lang, key, args)
}

// opWhy tells people why something waits. Without words for it, it is the code and its arguments.
func (p page) opWhy(w shaping.Why) string {
	if w.Code == "" {
		return ""
	}
	if !p.site.o.Catalog.Has(w.Key()) {
		return clean(strings.TrimSpace(strings.Join(append([]string{w.Code}, w.Args...), " ")), 500)
	}
	key := w.Key()
	if w.Code == "operator" && w.Values()["Reason"] == "" {
		key = "notice.wait.operator"
	}
	return clean(p.opText(key, w.Values()), 1000)
}

// opMoment is a moment with its distance from now, for a table: "21 November 2026 at 18:40 (UTC+1)" and "in 3 hours".
type opMoment struct {
	Text  string // "" for no moment
	Stamp string // for machines
	Far   string // how far from now, in words
}

// opWhen writes a moment for people and machines; the zero moment is empty.
func (p page) opWhen(t time.Time) opMoment {
	if t.IsZero() {
		return opMoment{}
	}
	out := opMoment{Text: p.date(t), Stamp: t.UTC().Format(time.RFC3339)}
	d := t.Sub(p.site.o.Now())
	key := "queue.in"
	if d < 0 {
		d, key = -d, "queue.ago"
	}
	if d < time.Minute {
		out.Far = p.T("queue.now")
		return out
	}
	out.Far = p.T(key, "Wait", d.Round(time.Minute))
	return out
}

// opAnswer is a remote answer in one line.
func opAnswer(host string, code int, enhanced, text string) string {
	var b strings.Builder
	if host != "" {
		b.WriteString(host + ": ")
	}
	if code != 0 {
		fmt.Fprintf(&b, "%d ", code)
		if enhanced != "" && !strings.HasPrefix(text, enhanced) {
			b.WriteString(enhanced + " ")
		}
	}
	b.WriteString(text)
	return clean(strings.TrimSuffix(strings.TrimSpace(b.String()), ":"), 600)
}

// opWait is what one recipient waits for, in words.
type opWait struct {
	Address string
	State   string // held, waits, queued, deferred, done: colours the word
	Word    string
	What    string // what happens next
	Why     string
	Cause   string // the answer for which its lane stands still
	Answer  string // the last one
	Until   opMoment
	Tries   int
	Lane    string
	LaneURL string
}

// opNoTurn is the status that delivery gives a recipient that had no attempt because its lane had no place for it.
const opNoTurn = "4.4.5"

// opWaits tells for each recipient of a message what it waits for, at most most of them, those that are not settled first.
func (p page) opWaits(w spool.Work, most int) (out []opWait, more int) {
	standings := p.site.o.Delivery.Standings(w)
	causes := map[string]string{}
	for _, r := range p.site.o.Delivery.InForce() {
		if lane := r.Lane.String(); r.Evidence != "" && causes[lane] == "" && opStops(r) {
			causes[lane] = r.Evidence
		}
	}
	for _, settled := range []bool{false, true} {
		for _, r := range standings {
			if (r.Stage == delivery.StageSettled) != settled {
				continue
			}
			if len(out) == most {
				more++
				continue
			}
			x := p.opWait(r)
			if r.Stage == delivery.StageParked || r.Stage == delivery.StageWaiting {
				x.Cause = clean(causes[r.Lane], 600)
			}
			out = append(out, x)
		}
	}
	return out, more
}

func (p page) opWait(r delivery.Standing) opWait {
	x := opWait{Address: clean(r.Address.String(), 320), Tries: r.Attempts, Until: p.opWhen(r.Until), Lane: clean(r.Lane, 400), State: "queued", Word: p.opText("explain.state.queued", nil)}
	if r.Lane != "" {
		x.LaneURL = p.URL(opLanePath(r.Lane))
	}
	if r.Attempts > 0 || r.Host != "" || r.Enhanced != opNoTurn {
		x.Answer = opAnswer(r.Host, r.Code, r.Enhanced, r.Text)
	}
	var why []string
	for _, y := range r.Why {
		why = append(why, p.opWhy(y))
	}
	x.Why = strings.Join(why, " ")
	if r.Attempts > 0 {
		x.State, x.Word = "deferred", p.opText("explain.state.deferred", nil)
	}
	switch r.Stage {
	case delivery.StageSettled:
		word := map[spool.State]string{spool.Delivered: "delivered", spool.Bounced: "rejected", spool.Dropped: "cancelled", spool.Expired: "expired"}[r.State]
		x.State, x.Word = "done", p.opText("explain.state."+word, nil)
	case delivery.StageHeld:
		x.State, x.Word, x.What = "held", p.opText("explain.state.held", nil), p.T("queue.stage.held")
	case delivery.StageParked, delivery.StageWaiting:
		x.State, x.Word = "waits", p.opText("explain.state.slowed", nil)
		x.What = p.T("queue.stage.parked")
		if r.Stage == delivery.StageWaiting {
			x.What = p.T("queue.stage.waiting", "Count", r.Ahead)
		}
	case delivery.StageScheduled:
		x.What = p.T("queue.stage.scheduled", "Count", r.Attempts)
	default: // due, resolving, sending, settling
		x.What = p.opText("explain."+string(r.Stage), nil)
	}
	return x
}

// opSummary is what a message waits for in a line of a list: the state, the next event, why.
func (p page) opSummary(w spool.Work) (state, word string, next opMoment, why string) {
	if w.Held {
		return "held", p.opText("explain.state.held", nil), p.opWhen(w.HoldUntil), p.opHold(w)
	}
	rank := map[string]int{"deferred": 4, "waits": 3, "queued": 2}
	state, word = "queued", p.opText("explain.state.queued", nil)
	var soonest time.Time
	for _, r := range p.site.o.Delivery.Standings(w) {
		if r.Stage == delivery.StageSettled {
			continue
		}
		x := p.opWait(r)
		if why == "" || rank[x.State] > rank[state] {
			state, word = x.State, x.Word
			if why = x.Why; why == "" {
				why = x.Answer
			}
			if why == "" {
				why = x.What
			}
		}
		if !r.Until.IsZero() && (soonest.IsZero() || r.Until.Before(soonest)) {
			soonest = r.Until
		}
	}
	return state, word, p.opWhen(soonest), why
}

// opHold is why a message is held, in words.
func (p page) opHold(w spool.Work) string {
	switch w.HoldReason {
	case "score":
		args := map[string]any{"Score": w.Score}
		v, ok := opVerdict(w)
		if !ok || v.Threshold <= 0 {
			return p.opText("explain.hold.score", args)
		}
		args["Threshold"], args["Tests"] = v.Threshold, p.opHeaviest(v, 3)
		return clean(p.opText("explain.hold.tests", args), 500)
	case "operator":
		return p.opText("explain.hold.operator", nil)
	case spool.ReasonDamaged:
		return p.opText("explain.hold.damaged", nil)
	}
	return clean(w.HoldReason, 200)
}

// opVerdict is what the tests said of a message; ok is false when none is kept.
func opVerdict(w spool.Work) (v filter.Verdict, ok bool) {
	return v, json.Unmarshal(w.Verdict, &v) == nil && v.Threshold > 0
}

// opHeaviest names the tests that weigh most.
func (p page) opHeaviest(v filter.Verdict, most int) string {
	var names []string
	for _, h := range v.Hits {
		if h.Points >= 0.05 && len(names) < most {
			names = append(names, clean(h.Test, 60)+"\u00a0"+locale.Number(p.Lang, h.Points))
		}
	}
	return strings.Join(names, ", ")
}

// opStops reports whether nothing leaves on a lane because of what is in force.
func opStops(r shaping.Reaction) bool {
	if r.Customer != "" || r.Scope != shaping.WholeLane {
		return false
	}
	switch r.Kind {
	case shaping.Pause, shaping.Unreachable, shaping.Governor, shaping.Operator:
		return true
	}
	return false
}
