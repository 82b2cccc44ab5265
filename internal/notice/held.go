package notice

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/spool"
)

// Reason is one test that counted against a held message, in the reader's language.
type Reason struct {
	Test   string  // name in the catalogue of tests
	Name   string  // what people call it
	Fix    string  // what to do; code between back quotes; may be empty
	Points float64 // added to the score
}

// HeldMail is what a notice about a held message needs.
type HeldMail struct {
	Message    spool.Message
	Threshold  float64  // points; the message is held because its score is above
	Reasons    []Reason // highest points first
	CanRelease bool     // the sender may release it himself
}

// Bounds of what a page shows.
const (
	maxReasons       = 5
	maxReasonText    = 1000 // characters of a fix; a DNS record may be long
	maxQuestion      = 4000 // bytes of a question
	maxQuestionLines = 60
	maxAlarm         = 20000 // bytes of an alarm
)

// reasonScore is the HoldReason of a message whose score was above the threshold.
const reasonScore = "score"

// Held tells the sender that a message waits for him: the envelope sender if his domain belongs to the customer, else the
// customer's contact; never a stranger. Many holds become one digest: see the package comment.
func (n *Notices) Held(ctx context.Context, h HeldMail) error {
	m := &h.Message
	if m.Notice {
		return nil
	}
	to, c, instead := n.addressee(m)
	if to.IsNull() {
		n.nobody(m, "held")
		return nil
	}
	now := n.o.Now()
	lang := n.language(m, c)
	k := hold{c: c, to: to, instead: instead, lang: lang, m: m, now: now}
	if n.gather(k) {
		return nil
	}
	p := n.heldPage(&h, lang, instead, now)
	if err := n.send(ctx, m.Customer, envelope{kind: "held", about: []mail.QueueID{m.ID}, id: n.newID(now), from: n.o.From, name: n.o.FromName, to: to, listID: n.listID(), now: now}, p); err != nil {
		k.late = true
		if n.gather(k) { // the spool may take the digest later
			n.o.Logger.Warn("a notice could not be queued: the message goes into the next digest", "queue_id", m.ID, "account", m.Customer, "error", err)
			return nil
		}
		return fmt.Errorf("notice about held %s: %w", m.ID, err)
	}
	return nil
}

// listID lets people sort notices about held mail, and allow-list them.
func (n *Notices) listID() string { return "held." + n.o.Hostname }

// send composes a notice and queues it.
func (n *Notices) send(ctx context.Context, customer string, e envelope, p *page) error {
	l, err := n.compose(e, p)
	if err != nil {
		return err
	}
	l.customer = customer
	return n.put(ctx, l)
}

// heldPage answers, in this order: what is with the message, why, who can let it go, what happens if nobody does, and when.
func (n *Notices) heldPage(h *HeldMail, lang string, instead bool, now time.Time) *page {
	m := &h.Message
	say := func(key string, args map[string]any) string { return n.text(lang, "held."+key, args) }
	p := &page{Lang: lang, Title: say("subject", map[string]any{"Subject": n.subject(lang, m.Subject)})}
	if instead {
		p.say("lead", say("lead.contact", nil))
	} else {
		p.say("lead", say("lead.sender", nil))
	}
	p.say("para", n.whyHeld(lang, m, h.Threshold))
	if h.CanRelease {
		p.say("para", say("who.you", nil))
	} else {
		p.say("para", say("who.operator", nil))
	}
	if !m.HoldUntil.IsZero() {
		p.say("para", say("until", map[string]any{"Until": n.local(m.HoldUntil)}))
	}
	key := "button.ask"
	if h.CanRelease {
		key = "button.release"
	}
	p.add(block{Kind: "button", Text: say(key, nil), Link: n.o.Links.For(m.ID, now)})
	p.say("para", say("link", map[string]any{"Until": n.local(now.Add(n.o.Links.ttl))}))
	n.addReasons(p, say("reasons", nil), h.Reasons)
	p.say("heading", say("about", nil))
	p.facts(n.messageFacts(lang, m)...)
	p.say("small", n.text(lang, "foot.held", map[string]any{"Host": n.o.Hostname}))
	return p
}

// whyHeld says in one sentence why m is held.
func (n *Notices) whyHeld(lang string, m *spool.Message, threshold float64) string {
	switch {
	case (m.HoldReason == reasonScore || m.HoldReason == "") && m.Score > 0:
		return n.text(lang, "held.why.score", map[string]any{"Score": m.Score, "Threshold": threshold})
	case m.HoldReason == spool.ReasonDamaged:
		return n.text(lang, "held.why.damaged", nil)
	}
	return n.text(lang, "held.why.operator", nil)
}

// addReasons shows the tests that counted most.
func (n *Notices) addReasons(p *page, heading string, reasons []Reason) {
	if len(reasons) == 0 {
		return
	}
	b := block{Kind: "reasons"}
	for _, r := range reasons[:min(len(reasons), maxReasons)] {
		b.Items = append(b.Items, reason{Title: tidy(r.Name, maxSubject), Points: n.o.Catalog.Text(p.Lang, "locale.points", map[string]any{"Count": r.Points}),
			Fix: tidy(r.Fix, maxReasonText)})
	}
	p.say("heading", heading)
	p.add(b)
	if rest := len(reasons) - maxReasons; rest > 0 {
		p.say("para", n.text(p.Lang, "held.reasons.more", map[string]any{"Count": rest}))
	}
}

// HoldExpired tells the sender that a held message was removed because nobody acted. It is called before the message goes,
// and again when that fails: see the package comment.
func (n *Notices) HoldExpired(ctx context.Context, m spool.Message) error {
	if m.Notice {
		return nil
	}
	key := toldKey(m.ID, "expired", 0)
	n.mu.Lock()
	_, told := n.told.noted(key)
	n.mu.Unlock()
	if told {
		return nil
	}
	to, c, instead := n.addressee(&m)
	if to.IsNull() {
		n.nobody(&m, "hold expired")
		return nil
	}
	now, lang := n.o.Now(), n.language(&m, c)
	say := func(key string, args map[string]any) string { return n.text(lang, "expired."+key, args) }
	p := &page{Lang: lang, Title: say("subject", map[string]any{"Subject": n.subject(lang, m.Subject)})}
	if instead {
		p.say("lead", say("lead.contact", nil))
	} else {
		p.say("lead", say("lead.sender", nil))
	}
	threshold, reasons := n.verdict(lang, &m, c)
	until := m.HoldUntil
	if until.IsZero() {
		until = now
	}
	p.say("para", say("held", map[string]any{"Since": n.local(m.Received), "Until": n.local(until)}))
	p.say("para", n.whyHeld(lang, &m, threshold))
	p.say("para", say("next", nil))
	n.addReasons(p, say("reasons", nil), reasons)
	p.say("heading", n.text(lang, "held.about", nil))
	p.facts(n.messageFacts(lang, &m)...)
	p.say("small", n.text(lang, "foot.held", map[string]any{"Host": n.o.Hostname}))
	id := n.derive(m.ID, "expired", nil)
	if err := n.send(ctx, m.Customer, envelope{kind: "hold-expired", about: []mail.QueueID{m.ID}, id: id, from: n.o.From, name: n.o.FromName, to: to, listID: n.listID(), now: now}, p); err != nil {
		return fmt.Errorf("notice of the end of %s: %w", m.ID, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told.note(key, now)
	return nil
}

// storedVerdict is what of a stored verdict (JSON of filter.Verdict) a notice repeats.
type storedVerdict struct {
	Threshold float64 `json:"threshold"`
	Hits      []struct {
		Test   string            `json:"test"`
		Points float64           `json:"points"`
		Args   map[string]string `json:"args"`
	} `json:"hits"`
}

// verdict reads the verdict kept with m. A damaged or missing one gives no reasons, and the customer's threshold of today.
func (n *Notices) verdict(lang string, m *spool.Message, c account.Customer) (threshold float64, reasons []Reason) {
	var v storedVerdict
	if json.Unmarshal(m.Verdict, &v) != nil || v.Threshold <= 0 {
		return c.Threshold, nil
	}
	for _, hit := range v.Hits {
		key := "test." + hit.Test
		if hit.Points <= 0 || !n.o.Catalog.Has(key+".name") {
			continue
		}
		args := locale.ArgsOf(hit.Args)
		reasons = append(reasons, Reason{Test: hit.Test, Name: n.o.Catalog.Text(lang, key+".name", args), Fix: n.o.Catalog.Text(lang, key+".fix", args), Points: hit.Points})
	}
	return v.Threshold, reasons
}

// Asked forwards a sender's question about a held message to the operator; an answer goes to the customer's contact. It may
// be asked again and again: the caller limits that.
func (n *Notices) Asked(ctx context.Context, m spool.Message, question string) error {
	c, _ := n.o.Accounts.Customer(m.Customer)
	now, lang := n.o.Now(), n.language(&m, c)
	say := func(key string, args map[string]any) string { return n.text(lang, "asked."+key, args) }
	p := &page{Lang: lang, Title: say("subject", map[string]any{"Subject": n.subject(lang, m.Subject)})}
	p.say("lead", say("lead", nil))
	if lines := questionLines(question); len(lines) > 0 {
		p.lines("", lines...)
	} else {
		p.say("para", say("silent", nil))
	}
	if c.Contact.IsNull() {
		p.say("para", say("answer.nobody", nil))
	} else {
		p.say("para", say("answer.contact", map[string]any{"Contact": shownAddress(c.Contact)}))
	}
	p.add(block{Kind: "button", Text: say("button", nil), Link: n.o.Links.For(m.ID, now)})
	if !m.HoldUntil.IsZero() {
		p.say("para", say("until", map[string]any{"Until": n.local(m.HoldUntil)}))
	}
	threshold, reasons := n.verdict(lang, &m, c)
	n.addReasons(p, n.text(lang, "held.reasons", nil), reasons)
	p.say("heading", say("about", nil))
	who := tidy(c.Name, maxSubject)
	if who == "" {
		who = m.Customer
	}
	facts := []pair{{n.text(lang, "fact.customer", nil), who}}
	if m.Score > 0 {
		facts = append(facts, pair{n.text(lang, "fact.score", nil), n.text(lang, "fact.score.value", map[string]any{"Score": m.Score, "Threshold": threshold})})
	}
	p.facts(append(facts, n.messageFacts(lang, &m)...)...)
	p.say("small", n.text(lang, "foot.operator", map[string]any{"Host": n.o.Hostname}))
	if err := n.send(ctx, m.Customer, envelope{kind: "asked", about: []mail.QueueID{m.ID}, id: n.newID(now), from: n.o.From, name: n.o.FromName, to: n.o.Operator, replyTo: c.Contact, now: now}, p); err != nil {
		return fmt.Errorf("question about %s: %w", m.ID, err)
	}
	return nil
}

// questionLines makes a text that somebody typed fit to be shown, with its line breaks.
func questionLines(text string) []string {
	if len(text) > maxQuestion {
		text = strings.ToValidUTF8(text[:maxQuestion], "") + " […]"
	}
	return shownLines(text, maxQuestionLines)
}

// shownLines makes each line of a text tidy, at most limit lines; more than one empty line in a row become one.
func shownLines(text string, limit int) []string {
	var out []string
	for line := range strings.Lines(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")) {
		if len(out) == limit {
			out = append(out, "[…]")
			break
		}
		if line = tidy(line, maxQuestion); line != "" || len(out) > 0 && out[len(out)-1] != "" {
			out = append(out, line)
		}
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// alarmEvery is how often the operator hears the same thing.
const alarmEvery = 24 * time.Hour

// Alarm tells the operator something once per key and day, in the words of the caller.
func (n *Notices) Alarm(ctx context.Context, key, subject, text string) error {
	now := n.o.Now()
	n.mu.Lock()
	last, told := n.alarms.noted(key)
	if told && now.Sub(last) < alarmEvery {
		n.mu.Unlock()
		return nil
	}
	n.alarms.note(key, now) // before it is queued: two that come at once are one
	n.mu.Unlock()
	p := &page{Lang: locale.English, Title: strings.TrimSpace("[Postern] " + tidy(subject, maxSubject))}
	if len(text) > maxAlarm {
		text = strings.ToValidUTF8(text[:maxAlarm], "") + " […]"
	}
	for part := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if lines := shownLines(part, 200); len(lines) > 0 {
			p.say("para", strings.Join(lines, "\n"))
		}
	}
	p.say("para", n.text(p.Lang, "alarm.again", nil))
	p.say("small", n.text(p.Lang, "foot.operator", map[string]any{"Host": n.o.Hostname}))
	err := n.send(ctx, "", envelope{id: n.newID(now), from: n.o.From, name: n.o.FromName, to: n.o.Operator, now: now}, p)
	if err != nil {
		n.mu.Lock()
		n.alarms.note(key, now.Add(-alarmEvery))
		n.mu.Unlock()
		return fmt.Errorf("alarm: %w", err)
	}
	return nil
}

// recipientSummary is the first recipient, and how many more there are.
func (n *Notices) recipientSummary(lang string, to []mail.Recipient) string {
	if len(to) == 0 {
		return ""
	}
	value := shownAddress(to[0].Address)
	if len(to) > 1 {
		value = n.text(lang, "fact.to.more", map[string]any{"First": value, "Count": len(to) - 1})
	}
	return value
}
