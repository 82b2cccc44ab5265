package delivery

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/smtp"
)

// meaning is what a server's answer means. What answers for a smarthost speaks for nobody's rules.
func (d *Delivery) meaning(dst *destination, phase string, code int, enhanced, text string) provider.Meaning {
	a := provider.Answer{Provider: dst.known, Phase: phase, Code: code, Enhanced: enhanced, Text: text}
	if dst.domain == smarthostDomain {
		a.Provider = ""
	}
	return d.o.Knowledge().Classify(a)
}

// phaseOf is in which phase of opening a connection an error came, in the words of the knowledge.
func phaseOf(err error) string {
	var c *smtp.ClientError
	if !errors.As(err, &c) {
		return ""
	}
	switch c.Phase {
	case smtp.PhaseHello:
		return "ehlo"
	case smtp.PhaseStartTLS, smtp.PhaseHandshake:
		return "tls"
	case smtp.PhaseConnect, smtp.PhaseGreeting:
		return "connect"
	}
	return ""
}

// event is an answer as the lanes hear of it.
func (d *Delivery) event(j *job, code int, text string, m provider.Meaning, connect bool) shaping.Event {
	e := shaping.Event{Customer: j.Customer, Stream: j.Credential, Sender: j.sender(), Route: j.route, Class: j.class(), Accepted: code >= 200 && code < 300, Connect: connect, Meaning: m, Code: code, Text: text, ID: j.ID}
	if j.Notice {
		e.Customer, e.Stream = "", ""
	}
	if d.o.Smarthost != nil { // one server, whatever the route is called
		e.Route = ""
	}
	return e
}

// said is one answer with its meaning.
type said struct {
	phase    string
	code     int
	enhanced string
	text     string
	meaning  provider.Meaning
	own      bool // in our words, because the server said nothing
}

// outcomesOf turns the server's replies into fates, and tells the lane. again is false when a reply asks us to come back on another connection.
func (d *Delivery) outcomesOf(c *link, j *job, res smtp.Result, err error) (again bool) {
	var talk []string
	again = true
	var last smtp.Reply
	var lastSaid said
	for i := range j.to {
		phase, reply := replyTo(res, i)
		var s said
		switch {
		case reply.Code != 0 && i > 0 && last.Code == reply.Code && lastSaid.phase == phase && strings.Join(last.Lines, " ") == lastSaid.text && strings.Join(reply.Lines, " ") == lastSaid.text:
			s = lastSaid
		case reply.Code >= 200 && reply.Code < 300:
			s = said{phase: phase, code: reply.Code, enhanced: dotted(reply.Enhanced), text: strings.Join(reply.Lines, " "), meaning: provider.Meaning{Category: provider.Accepted}}
		case reply.Code != 0:
			s = said{phase: phase, code: reply.Code, enhanced: dotted(reply.Enhanced), text: strings.Join(reply.Lines, " ")}
			s.meaning = d.meaning(j.dst, phase, s.code, s.enhanced, strings.Join(reply.Lines, "\n"))
		default:
			s = unanswered(res, err)
		}
		last, lastSaid = reply, s
		if s.code >= 300 && talk == nil {
			talk = conversation(c.Transcript())
		}
		if !s.own || s.meaning.Category == provider.NetworkError {
			code := s.code
			if s.own {
				code = 0
			}
			d.shaper.Observe(j.key, d.event(j, code, s.text, s.meaning, false))
		}
		if s.meaning.Do.IPv4 {
			d.four.add(j.ID, d.o.Now())
		}
		again = again && !s.meaning.Do.Reconnect
		d.report(j, outcome{to: &j.to[i], code: s.code, enhanced: s.enhanced, text: s.text, phase: s.phase, meaning: s.meaning, host: c.host, attempted: true, conversation: talk})
	}
	return again
}

// replyTo is the reply that decides about the i-th recipient, and where it came. Its code is 0 when there is none.
func replyTo(res smtp.Result, i int) (phase string, reply smtp.Reply) {
	switch {
	case res.Mail.Code != 0 && !res.Mail.OK():
		return "mail", res.Mail
	case i < len(res.Recipients) && res.Recipients[i].Code != 0 && !res.Recipients[i].OK():
		return "rcpt", res.Recipients[i]
	case res.Data.Code != 0:
		return "end", res.Data
	}
	return "", smtp.Reply{}
}

// unanswered is what it means that a recipient got no reply.
func unanswered(res smtp.Result, err error) said {
	switch refused := new(smtp.Error); {
	case res.AfterDot:
		return said{phase: "end", code: 451, enhanced: "4.4.2", own: true, meaning: meansNetwork,
			text: "connection lost after the whole message was sent: the server may have it, and it may arrive twice"}
	case errors.As(err, &refused) && !isBroken(err):
		return said{code: refused.Code, enhanced: dotted(refused.Enhanced), text: refused.Text, own: true, meaning: meansOurForm}
	case err != nil:
		return said{code: 451, enhanced: "4.4.2", text: err.Error(), own: true, meaning: meansNetwork}
	}
	return said{code: 451, enhanced: "4.5.0", text: "the server did not answer for this recipient", own: true, meaning: meansNetwork}
}

// failAll gives every recipient of a job the same trouble.
func (d *Delivery) failAll(j *job, t trouble, attempted bool) {
	m := t.meaning
	if m.Category == "" {
		m = d.o.Knowledge().Classify(provider.Answer{Code: t.code, Enhanced: t.enhanced, Text: t.text, Own: true})
	}
	for i := range j.to {
		d.report(j, outcome{to: &j.to[i], code: t.code, enhanced: t.enhanced, text: t.text, meaning: m, attempted: attempted})
	}
}

func dotted(e smtp.Enhanced) string {
	if e == (smtp.Enhanced{2, 0, 0}) {
		return "2.0.0" // nearly always
	}
	return e.String()
}

func conversation(ex []smtp.Exchange) []string {
	out := []string{}
	for _, e := range ex {
		if e.Sent != "" {
			out = append(out, "> "+e.Sent)
		}
		for _, line := range e.Received {
			out = append(out, "< "+line)
		}
	}
	return out
}

// The longest pause after an answer that asks for patience (greylisting): long enough for the usual lists, and short of what a person would notice. It
// holds for the first attempts; a server that is never satisfied gets the schedule.
const (
	patientMost     = 15 * time.Minute
	patientAttempts = 4
)

// nextAttempt is when a deferred recipient is tried again. Its own answer's schedule counts first, then the provider's, then the configured one, with
// a tenth of jitter, so that mail that failed together does not come back together. over: the schedule ends here.
func (d *Delivery) nextAttempt(o *outcome) (at time.Time, over bool) {
	now, n := d.o.Now(), o.to.Attempts+1
	retry := provider.Retry{Every: d.tune.Load().Retry}
	if s := o.meaning.Do.Schedule; s != nil && len(s.Every) > 0 {
		retry = *s
	} else if o.dst != nil && len(o.dst.provider.Retry.Every) > 0 {
		retry = o.dst.provider.Retry
	}
	pause := retry.Every[min(max(n, 1), len(retry.Every))-1]
	if o.meaning.Category == provider.OnHold && n <= patientAttempts {
		pause = min(pause, patientMost)
	}
	at = now.Add(pause + time.Duration((rand.Float64()-0.5)*0.2*float64(pause)))
	if retry.For <= 0 {
		return at, false
	}
	first := o.to.First
	if first.IsZero() {
		first = now
	}
	switch end := first.Add(retry.For); {
	case !at.After(end):
		return at, false
	case now.Before(end.Add(-time.Minute)):
		return end, false // one last attempt at the end
	default:
		return at, true
	}
}

// onlyFour remembers the messages whose IPv6 source was refused: their next attempt goes over IPv4. It forgets when it holds too many, or when a day
// has passed; then the message is refused once more.
type onlyFour struct {
	mu  sync.Mutex
	ids map[mail.QueueID]time.Time
}

const maxOnlyFour = 10000

func (f *onlyFour) add(id mail.QueueID, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ids == nil || len(f.ids) >= maxOnlyFour {
		f.ids = map[mail.QueueID]time.Time{}
	}
	f.ids[id] = now
}

// has reports whether a message is to avoid IPv6.
func (f *onlyFour) has(id mail.QueueID, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.ids) == 0 {
		return false
	}
	since, ok := f.ids[id]
	if ok && now.Sub(since) > 24*time.Hour {
		delete(f.ids, id)
		return false
	}
	return ok
}
