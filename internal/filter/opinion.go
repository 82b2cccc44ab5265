package filter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"postern/internal/opinion"
)

// OpinionAsker is another scanner. It bounds the time of each question itself; every error means that it has no opinion.
type OpinionAsker interface {
	Ask(ctx context.Context, q opinion.Question) (opinion.Answer, error)
}

// Opinion is another scanner and what its word is worth here.
type Opinion struct {
	Name      string       // "clamd", "rspamd": shown to people
	Asker     OpinionAsker // required
	Closed    bool         // a message that it gives no opinion on is not taken: Run fails. Else the message is judged without it
	Factor    float64      // points of RSPAMD_SUSPECT where rspamd would reject; 0: DefaultFactor
	MaxPoints float64      // most points of RSPAMD_SUSPECT; 0: DefaultMaxPoints
}

// Defaults of what rspamd's word is worth: what it would mark as spam (6 of 15 of its points unless configured otherwise) is just held,
// and no word of it alone makes more than these points.
const (
	DefaultFactor    = 8.0
	DefaultMaxPoints = 10.0
)

// ErrUnscanned is Run's error when a scanner that must be asked (Opinion.Closed) gave no opinion: the message must wait.
var ErrUnscanned = errors.New("message not scanned")

// ErrUnscannable is Run's error when such a scanner does not take messages of that size: waiting will not help.
var ErrUnscannable = errors.New("message too large to be scanned")

// Tests of this file.
const (
	virusFound    = "VIRUS_FOUND"
	rspamdSuspect = "RSPAMD_SUSPECT"
	noOpinion     = "OPINION_UNAVAILABLE" // never fires: it stands among the unknown, and says which scanner and why
)

// fixedScores are tests whose points nobody can set, and why.
var fixedScores = map[string]string{
	virusFound: "a message with a virus is held whatever its points; take filter.clamd away to have no virus found",
	noOpinion:  "it has no points; filter.clamd.on_error and filter.rspamd.on_error say what happens",
}

// Open reports whether a scanner that should have been asked gave no opinion, so that a verdict without its hits proves nothing.
func (v Verdict) Open() bool {
	for _, u := range v.Unknown {
		if u.Test == noOpinion {
			return true
		}
	}
	return false
}

func checkedOpinions(all []Opinion) error {
	for _, o := range all {
		if o.Asker == nil || o.Name == "" {
			return fmt.Errorf("filter: opinion %q has no scanner", o.Name)
		}
		if !(o.Factor >= 0 && o.MaxPoints >= 0) || math.IsInf(o.Factor, 0) {
			return fmt.Errorf("filter: points of opinion %q must not be negative", o.Name)
		}
	}
	return nil
}

// checkOpinions asks all other scanners at the same time. Their own time counts, not the deadline of the tests that ask the DNS.
func checkOpinions(ctx context.Context, s *scan) {
	if len(s.o.Opinions) == 0 {
		return
	}
	q := s.question()
	why := make([]string, len(s.o.Opinions))
	var wg sync.WaitGroup
	for i, o := range s.o.Opinions {
		wg.Go(func() {
			defer s.caught("opinions")
			why[i] = s.askOpinion(ctx, o, q)
		})
	}
	wg.Wait()
	var open []string
	for _, w := range why {
		if w != "" {
			open = append(open, w)
		}
	}
	if len(open) > 0 {
		s.notMeasured(noOpinion, strings.Join(open, "; "))
	}
}

// question is the message as its receivers will see it come, as all tests look at it.
func (s *scan) question() opinion.Question {
	q := opinion.Question{Raw: s.Message.Raw, QueueID: string(s.QueueID), IP: s.ClientIP, Hello: s.Hello, User: s.Credential}
	if len(s.Egress) > 0 && s.Egress[0].IP.IsValid() {
		q.IP, q.Hello, q.Hostname = s.Egress[0].IP, s.Egress[0].HELO, s.Egress[0].HELO
	}
	if p := s.Envelope.ReversePath; !p.IsNull() {
		q.From = p.String()
	}
	for _, r := range s.Envelope.Recipients {
		q.Recipients = append(q.Recipients, r.Address.String())
	}
	return q
}

// askOpinion asks one scanner and returns why it has no opinion, "" when it has one.
func (s *scan) askOpinion(ctx context.Context, o Opinion, q opinion.Question) string {
	begun := time.Now()
	answer, err := o.Asker.Ask(ctx, q)
	if ctx.Err() != nil {
		return o.Name + " was not asked to the end" // Run fails for the same reason
	}
	if s.o.Asked != nil {
		s.o.Asked(o.Name, time.Since(begun), err)
	}
	if err == nil {
		s.heard(o, answer)
		return ""
	}
	kind := opinion.ErrUnavailable
	for _, k := range []error{opinion.ErrTooLarge, opinion.ErrProtocol} {
		if errors.Is(err, k) {
			kind = k
		}
	}
	if o.Closed {
		state := ErrUnscanned
		if kind == opinion.ErrTooLarge {
			state = ErrUnscannable
		}
		s.mu.Lock()
		if s.unscanned == nil || state == ErrUnscannable { // the final reason counts
			s.unscanned = fmt.Errorf("filter: %w: %w", state, err)
		}
		s.mu.Unlock()
	}
	return o.Name + " " + kind.Error()
}

// heard turns an answer into hits.
func (s *scan) heard(o Opinion, a opinion.Answer) {
	if a.Signature != "" {
		s.hit(virusFound, map[string]string{"What": a.Signature}, o.Name+" found "+a.Signature)
	}
	points := suspicion(a, o)
	if points == 0 {
		return
	}
	evidence := []string{fmt.Sprintf("%s: %q, %.2f of %.2f points", o.Name, a.Action, a.Score, a.Required)}
	var why []string
	for _, x := range a.Symbols {
		if x.Score <= 0 || len(why) == maxEvidence-1 {
			continue
		}
		text := fmt.Sprintf("%s (%.2f)", x.Name, x.Score)
		if x.Description != "" {
			text += ": " + x.Description
		}
		if len(x.Options) > 0 {
			text += " [" + strings.Join(x.Options, ", ") + "]"
		}
		why = append(why, x.Name)
		evidence = append(evidence, text)
	}
	if len(why) == 0 {
		why = []string{a.Action}
	}
	s.hitFor(rspamdSuspect, points, map[string]string{"What": strings.Join(why, ", ")}, evidence...)
}

// Least shares of a full suspicion for what rspamd decided without regard to its points, for example by a module that forces an action: all
// of it where it would reject, and the usual 6 of 15 where it would mark the message.
const (
	shareReject = 1.0
	shareMark   = 0.4
)

// suspicion is what rspamd's word is worth: how far its score is on the way to a rejection, times the factor. What it would let pass is worth
// nothing in either direction: another scanner's good word does not make up for what the tests here found.
func suspicion(a opinion.Answer, o Opinion) float64 {
	share, least := 0.0, 0.0
	switch a.Action {
	case "", "no action", "greylist":
		return 0
	case "reject", "discard", "quarantine":
		least = shareReject
	case "add header", "rewrite subject":
		least = shareMark
	}
	if a.Required > 0 {
		share = a.Score / a.Required
	}
	factor, most := o.Factor, o.MaxPoints
	if factor == 0 {
		factor = DefaultFactor
	}
	if most == 0 {
		most = DefaultMaxPoints
	}
	return math.Round(100*min(most, factor*max(share, least))) / 100
}
