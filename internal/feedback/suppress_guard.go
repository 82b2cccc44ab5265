package feedback

import (
	"context"
	"fmt"
	"sync"
	"time"

	"postern/internal/mail"
	"postern/internal/suppression"
)

// Outage is a receiver that suddenly says of many addresses that there is no such user: its directory is out, or somebody writes to a list of
// addresses that were guessed.
type Outage struct {
	Provider  string      // provider.Provider.Name; "" when it is about a domain
	Domain    mail.Domain // "" when it is about a provider
	At        time.Time
	Answers   int     // final answers of the last hour
	Unknown   int     // of them, unknown users
	Usual     float64 // share of unknown users before, 0..1
	TakenBack int     // entries of the last hour that were lifted again
}

// What makes an outage.
const (
	outageLeast = 20   // unknown users in an hour
	outageShare = 0.20 // above the usual share of all answers
	outageFor   = time.Hour

	slotTime   = 10 * time.Minute
	slots      = 6
	halfLife   = 24.0 * 6 // slots after which the past weighs half
	priorSeen  = 20.0     // what is presumed of a receiver that is not known yet: one in twenty does not exist
	priorShare = 0.05
	mostKeys   = 20_000
)

// guard counts the unknown users of each receiver, by provider and by domain. It keeps no time of its own.
type guard struct {
	mu   sync.Mutex
	keys map[guardKey]*hour
}

type guardKey struct {
	provider string
	domain   mail.Domain
}

// hour is the last hour of a receiver, in slots, and what was usual before.
type hour struct {
	slot          int64 // number of the newest slot
	count         [slots]tally
	seen, unknown float64 // before the last hour, decayed
	outage        time.Time
}

type tally struct{ answers, unknown int }

// observe counts an answer. wary: the receiver is in an outage; outage: it has just begun.
func (g *guard) observe(e event, now time.Time) (wary bool, outage *Outage) {
	if e.Own || e.Code < 200 || e.Code > 599 || e.Code >= 300 && e.Code < 500 && !addressWrong(e.meaning) {
		return false, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.keys == nil {
		g.keys = make(map[guardKey]*hour)
	}
	unknown := e.Code >= 400 && addressWrong(e.meaning)
	for _, k := range []guardKey{{provider: e.Provider}, {domain: e.Recipient.Domain}} {
		if k == (guardKey{}) || k.provider == everybodyElse {
			continue
		}
		h := g.hour(k, now)
		if h == nil {
			continue
		}
		begun := h.add(now, unknown)
		if begun != nil && outage == nil {
			outage = begun
			outage.Provider, outage.Domain = k.provider, k.domain
		}
		wary = wary || now.Before(h.outage)
	}
	return wary, outage
}

// wary reports whether the receiver of an answer is in an outage, without counting the answer.
func (g *guard) wary(e event, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range []guardKey{{provider: e.Provider}, {domain: e.Recipient.Domain}} {
		if h := g.keys[k]; h != nil && k.provider != everybodyElse && now.Before(h.outage) {
			return true
		}
	}
	return false
}

// everybodyElse is the provider of those that nobody knows: they have nothing in common.
const everybodyElse = "default"

// hour returns a receiver's, making room when there are too many; nil when there is none.
func (g *guard) hour(k guardKey, now time.Time) *hour {
	if h := g.keys[k]; h != nil {
		return h
	}
	if len(g.keys) >= mostKeys {
		for old, h := range g.keys {
			if slotOf(now)-h.slot > slots && (k.provider != "" || old.provider == "") {
				delete(g.keys, old)
			}
		}
		if len(g.keys) >= mostKeys && k.provider == "" {
			return nil
		}
	}
	h := &hour{slot: slotOf(now)}
	g.keys[k] = h
	return h
}

func slotOf(t time.Time) int64 { return t.Unix() / int64(slotTime/time.Second) }

// add counts an answer and tells when an outage begins.
func (h *hour) add(now time.Time, unknown bool) *Outage {
	h.turn(slotOf(now), now.Before(h.outage))
	t := &h.count[h.slot%slots]
	t.answers++
	if unknown {
		t.unknown++
	}
	var sum tally
	for _, c := range h.count {
		sum.answers += c.answers
		sum.unknown += c.unknown
	}
	usual := (h.unknown + priorSeen*priorShare) / (h.seen + priorSeen)
	if !unknown || sum.unknown < outageLeast || float64(sum.unknown) < (usual+outageShare)*float64(sum.answers) {
		return nil
	}
	begun := !now.Before(h.outage)
	h.outage = now.Add(outageFor)
	if !begun {
		return nil
	}
	return &Outage{At: now, Answers: sum.answers, Unknown: sum.unknown, Usual: usual}
}

// turn moves to a newer slot. What leaves the hour becomes part of the past, unless it was an outage: that must not become usual.
func (h *hour) turn(slot int64, outage bool) {
	if slot-h.slot > 100*slots { // long idle: forget step by step no further than what is left anyway
		*h = hour{slot: slot, seen: h.seen / 4, unknown: h.unknown / 4}
		return
	}
	const keep = 1 - 0.693147/halfLife
	for h.slot < slot {
		h.slot++
		old := &h.count[h.slot%slots]
		h.seen, h.unknown = h.seen*keep, h.unknown*keep
		if !outage {
			h.seen += float64(old.answers)
			h.unknown += float64(old.unknown)
		}
		*old = tally{}
	}
}

// takeBack lifts what an outage put on the list before it was seen, and tells the operator.
func (f *Feedback) takeBack(ctx context.Context, o Outage) {
	what := o.Provider
	which := func(e suppression.Entry) bool { return e.Evidence.Provider == o.Provider }
	if o.Domain != "" {
		what = string(o.Domain)
		which = func(e suppression.Entry) bool { return e.Address.Domain == o.Domain }
	}
	why := fmt.Sprintf("%s said \"no such user\" of %d in %d within an hour, far more than usual: taken for an outage of its directory", what, o.Unknown, o.Answers)
	f.insist(ctx, "entries not taken back", func() error {
		back, err := f.o.Suppression.TakeBack(ctx, o.At.Add(-slots*slotTime), which, why)
		o.TakenBack = len(back)
		for _, e := range back {
			f.tell(lifted(e, why))
		}
		return err
	})
	f.o.Count("outage")
	f.o.Logger.Warn("many unknown users at once: counted as doubtful until it is over", "provider", o.Provider, "rcpt_domain", o.Domain, "answers", o.Answers, "unknown", o.Unknown,
		"usual", fmt.Sprintf("%.0f %%", 100*o.Usual), "taken_back", o.TakenBack)
	f.o.Alarm(o)
}
