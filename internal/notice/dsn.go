package notice

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/spool"
)

// Failure is one recipient with what the remote server said.
type Failure struct {
	Recipient    spool.Recipient // with Code, Enhanced, Text, Host of the last answer
	Conversation []string        // the SMTP lines of the last attempt, "> " ours, "< " theirs

	// What the answer means, as package provider says it. Empty: told from code and words.
	Category string            // "userunknown", "blocked", …
	Party    string            // who must mend it: "recipient", "sender-ip", …
	Advice   map[string]string // what to do about it, by language, where more is known than the category tells; it stands instead of our general advice
	Wait     Text              // why it waits for its turn without an attempt, a reason of package shaping; zero: it does not
}

// Text names a sentence of the catalogue.
type Text struct {
	Key  string
	Args map[string]any
}

// maxDescribed is how many recipients of one notification are explained to the person; the rest are listed. The machine's
// part names all.
const (
	maxDescribed = 15
	maxListed    = 100
)

// Failed sends a DSN (RFC 3464) with action failed to the envelope sender. A null reverse path gets none.
func (n *Notices) Failed(ctx context.Context, m spool.Message, body []byte, failed []Failure) error {
	return n.status(ctx, m, body, report.Failed, failed)
}

// Delayed sends a DSN with action delayed; delivery goes on until m.Expires.
func (n *Notices) Delayed(ctx context.Context, m spool.Message, body []byte, late []Failure) error {
	return n.status(ctx, m, body, report.Delayed, late)
}

// Delivered sends a DSN with action relayed to those who asked for it (NOTIFY=SUCCESS): the recipient's server took the
// message; whether it reports further is its own affair.
func (n *Notices) Delivered(ctx context.Context, m spool.Message, body []byte, done []Failure) error {
	return n.status(ctx, m, body, report.Relayed, done)
}

// status writes and queues one notification; see the package comment for whom it goes to and what a repeated call does.
func (n *Notices) status(ctx context.Context, m spool.Message, body []byte, action string, about []Failure) error {
	return n.statusOf(ctx, m, body, action, action, "", about)
}

// statusOf is status for a kind of notice of its own, with a sentence more about it.
func (n *Notices) statusOf(ctx context.Context, m spool.Message, body []byte, action, kind, note string, about []Failure) error {
	if m.Notice || m.Envelope.ReversePath.IsNull() || len(about) == 0 {
		return nil // RFC 3464 2, RFC 5321 6.1
	}
	about = n.untold(&m, kind, about)
	if len(about) == 0 {
		return nil
	}
	now := n.o.Now()
	to, c, instead := n.addressee(&m)
	if to.IsNull() {
		n.nobody(&m, kind)
		return nil
	}
	if instead && !n.mayTellContact(c.ID, now) {
		n.o.Logger.Warn("too many status notifications about unknown senders for one contact: none is written for this message",
			"notice", kind, "queue_id", m.ID, "account", m.Customer)
		return nil
	}
	lang := n.language(&m, c)
	indexes := make([]int, len(about))
	for i, f := range about {
		indexes[i] = f.Recipient.Index
	}
	id := n.derive(m.ID, kind, indexes)
	p := n.statusPage(&m, lang, action, about)
	if note != "" {
		p.Blocks = slices.Insert(p.Blocks, 1, block{Kind: "para", Text: n.text(lang, note, nil)})
	}
	html, err := p.html()
	if err != nil {
		return fmt.Errorf("status notification of %s: %w", m.ID, err)
	}
	// RFC 8689 5: the notification tells about a message that must not travel in the clear, so it asks for the same, and returns the header only.
	d := report.DSN{ReportingMTA: n.o.Hostname, ArrivalDate: n.local(m.Received), EnvelopeID: m.Envelope.EnvelopeID, From: n.daemon, To: to,
		FromName: n.o.FromName, Subject: headerText(p.Title, maxTitle), Language: lang, Text: p.text(), HTML: html, MessageID: string(id) + "@" + n.o.Hostname, Date: now,
		Original: n.returned(body), ReturnFull: n.o.ReturnBytes > 0 && !strings.EqualFold(m.Envelope.Ret, "HDRS") && !m.Envelope.RequireTLS}
	if m.Envelope.ReversePath != to {
		d.EnvelopeID = "" // RFC 3464 2.2.1: it is for the system that gave it
	}
	for _, f := range about {
		d.Recipients = append(d.Recipients, n.statusRecipient(&m, action, f.Recipient))
	}
	raw, err := d.Bytes()
	if err != nil {
		return fmt.Errorf("status notification of %s: %w", m.ID, err)
	}
	if err := n.put(ctx, letter{kind: kind, about: []mail.QueueID{m.ID}, id: id, customer: m.Customer, lang: lang, from: n.daemon, to: to, subject: d.Subject, messageID: "<" + d.MessageID + ">",
		raw: threaded(raw, m.MessageID), utf8: d.NeedsSMTPUTF8(), secure: m.Envelope.RequireTLS}); err != nil {
		return fmt.Errorf("status notification of %s: %w", m.ID, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range about {
		n.told.note(toldKey(m.ID, kind, f.Recipient.Index), now)
	}
	return nil
}

func toldKey(id mail.QueueID, kind string, index int) string {
	return string(id) + " " + kind + " " + strconv.Itoa(index)
}

// untold leaves out the recipients that this process has told about, and puts the others in their order.
func (n *Notices) untold(m *spool.Message, kind string, about []Failure) []Failure {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []Failure
	for _, f := range about {
		if _, ok := n.told.noted(toldKey(m.ID, kind, f.Recipient.Index)); !ok {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b Failure) int { return a.Recipient.Index - b.Recipient.Index })
	return out
}

// threaded names the message that is reported on (RFC 3834 3.1.6), if its Message-ID is of the proper form.
func threaded(raw []byte, messageID string) []byte {
	id := "<" + strings.Trim(strings.TrimSpace(messageID), "<>") + ">"
	if len(id) < 5 || len(id) > 200 || !strings.Contains(id, "@") {
		return raw
	}
	for _, c := range []byte(id[1 : len(id)-1]) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`<>()",;\`, c) >= 0 {
			return raw
		}
	}
	return mail.Edit(raw, nil, "In-Reply-To: "+id, "References: "+id)
}

// returned is the header of the original and as much of its body as may be returned, cut at a line.
func (n *Notices) returned(body []byte) []byte {
	end := bytes.Index(body, []byte("\r\n\r\n"))
	if end < 0 || len(body)-end-4 <= n.o.ReturnBytes {
		return body
	}
	cut := body[:end+4+n.o.ReturnBytes]
	return cut[:max(end+4, bytes.LastIndexByte(cut, '\n')+1)]
}

// statusRecipient is the machine's line about one recipient.
func (n *Notices) statusRecipient(m *spool.Message, action string, r spool.Recipient) report.DSNRecipient {
	out := report.DSNRecipient{OriginalText: r.OriginalRecipient, Final: r.Address, Action: action, Status: statusCode(action, r), LastAttempt: n.local(r.Last)}
	if r.Last.IsZero() {
		out.LastAttempt = time.Time{}
	}
	out.RemoteMTA, _, _ = strings.Cut(r.Host, "[")
	if said := answer(r); said != "" {
		kind := "smtp; "
		if r.Host == "" { // RFC 3464 2.3.6: nobody said it over SMTP
			kind = "x-postern; "
		}
		out.DiagnosticCode = kind + said
	}
	if action == report.Delayed {
		out.WillRetryUntil = n.local(m.Expires)
	}
	return out
}

// statusCode is an RFC 3463 code that suits the action; the code in the answer stays in the diagnostic text.
func statusCode(action string, r spool.Recipient) string {
	if action == report.Failed && r.State == spool.Expired {
		return "4.4.7" // RFC 3463 3.5: delivery time expired; the cause was temporary to the end
	}
	class, detail, _ := strings.Cut(r.Enhanced, ".")
	switch action {
	case report.Delayed:
		if class == "4" && goodDetail(detail) {
			return r.Enhanced
		}
		return "4.0.0"
	case report.Failed:
		if (class == "5" || class == "4") && goodDetail(detail) {
			return r.Enhanced
		}
		return "5.0.0"
	}
	if class == "2" && goodDetail(detail) {
		return r.Enhanced
	}
	return "2.0.0"
}

func goodDetail(s string) bool {
	subject, detail, ok := strings.Cut(s, ".")
	for _, part := range []string{subject, detail} {
		if len(part) < 1 || len(part) > 3 || strings.Trim(part, "0123456789") != "" || len(part) > 1 && part[0] == '0' {
			return false
		}
	}
	return ok
}

// answer is what was said about a recipient, as one line: "550 5.1.1 No such user".
func answer(r spool.Recipient) string {
	text := tidy(r.Text, maxAnswer)
	if r.Enhanced != "" && !strings.HasPrefix(text, r.Enhanced) {
		text = tidy(r.Enhanced, 20) + " " + text
	}
	if r.Code > 0 && !strings.HasPrefix(text, strconv.Itoa(r.Code)) {
		text = strconv.Itoa(r.Code) + " " + text
	}
	return strings.TrimSpace(text)
}

// statusPage is the person's part.
func (n *Notices) statusPage(m *spool.Message, lang, action string, about []Failure) *page {
	kind := map[string]string{report.Failed: "failed", report.Delayed: "delayed", report.Relayed: "delivered"}[action]
	say := func(key string, args map[string]any) string { return n.text(lang, "dsn."+key, args) }
	p := &page{Lang: lang, Title: say(kind+".subject", map[string]any{"Subject": n.subject(lang, m.Subject)})}
	p.say("lead", say(kind+".lead", map[string]any{"Count": len(about)}))
	switch action {
	case report.Delayed:
		p.say("para", say("delayed.next", map[string]any{"Until": n.local(m.Expires)}))
	case report.Relayed:
		p.say("para", say("delivered.hint", nil))
	}
	var talk talk
	for i, f := range about {
		if i == maxDescribed {
			break
		}
		n.describe(p, m, action, f, &talk)
	}
	if rest := about[min(len(about), maxDescribed):]; len(rest) > 0 {
		var list []string
		for _, f := range rest[:min(len(rest), maxListed)] {
			list = append(list, shownAddress(f.Recipient.Address)+"  "+answer(f.Recipient))
		}
		p.say("heading", say("more", map[string]any{"Count": len(rest)}))
		p.lines("", list...)
	}
	p.say("heading", say("about", nil))
	p.facts(n.messageFacts(lang, m)...)
	p.say("small", n.text(lang, "foot.dsn", map[string]any{"Host": n.o.Hostname}))
	return p
}

// talk remembers the conversations shown on a page: the one that was shown just before is not shown again, and after
// maxTalks there are no more.
type talk struct {
	last  []string
	count int
}

const maxTalks = 5

// describe adds what happened to one recipient.
func (n *Notices) describe(p *page, m *spool.Message, action string, f Failure, shown *talk) {
	r, lang := f.Recipient, p.Lang
	say := func(key string, args map[string]any) string { return n.text(lang, "dsn."+key, args) }
	p.say("heading", shownAddress(r.Address))
	why, waits := f.why(), n.o.Catalog.Has(f.Wait.Key)
	switch {
	case why != whyPermanent || action == report.Failed && r.State != spool.Expired:
	case answer(r) == "":
		why = whyExpired
		if action == report.Delayed {
			why = whyTemporary
		}
	default: // no refusal for good: we go on, or went on until the end
		why = whyTemporary
	}
	if action != report.Relayed {
		if r.State == spool.Expired {
			p.say("para", say("gave_up", map[string]any{"Wait": n.o.Now().Sub(m.Received)}))
		}
		if waits {
			p.say("para", n.waits(lang, f.Wait))
		} else {
			p.say("para", n.text(lang, "why."+why+".means", nil))
		}
		switch advice := f.Advice[lang]; { // one advice only
		case advice != "":
			p.say("para", say("advice", map[string]any{"Advice": advice}))
		case action == report.Failed:
			p.say("para", say("act", map[string]any{"Act": n.text(lang, "why."+why+".act", nil)}))
		}
	}
	var facts []pair
	if said := answer(r); said != "" && (r.Host != "" || !waits) { // our words for the wait stand above
		key := "fact.answer"
		if r.Host == "" {
			key = "fact.finding"
		}
		facts = append(facts, pair{say(key, nil), said})
	}
	if r.Host != "" {
		facts = append(facts, pair{say("fact.server", nil), tidy(r.Host, maxAddress)})
	}
	if parties[f.Party] && action != report.Relayed {
		facts = append(facts, pair{say("fact.party", nil), n.text(lang, "party."+f.Party, nil)})
	}
	if r.Attempts > 0 {
		first := r.First
		if first.IsZero() {
			first = r.Last
		}
		args := map[string]any{"Count": r.Attempts, "First": n.local(first), "Last": n.local(r.Last)}
		key := "attempts.one"
		if r.Attempts > 1 && !first.Equal(r.Last) {
			key = "attempts.many"
		}
		if !r.Last.IsZero() {
			facts = append(facts, pair{say("fact.attempts", nil), say(key, args)})
		}
	}
	if action == report.Delayed && r.NextAt.After(r.Last) {
		facts = append(facts, pair{say("fact.next", nil), locale.Date(lang, n.local(r.NextAt))})
	}
	p.facts(facts...)
	if lines := conversation(f.Conversation); len(lines) > 0 && shown.count < maxTalks && !slices.Equal(lines, shown.last) {
		p.lines(say("conversation", nil), lines...)
		shown.last, shown.count = lines, shown.count+1
	}
}

// waits says why a message waits for its turn. Where a sentence says more than other customers' senders may know, or lacks a word, there is one for
// senders: notice.wait.CODE.
func (n *Notices) waits(lang string, t Text) string {
	code := t.Key[strings.LastIndexByte(t.Key, '.')+1:]
	if reason, told := t.Args["Reason"].(string); n.o.Catalog.Has("notice.wait."+code) && (!told || reason == "") {
		return n.text(lang, "wait."+code, t.Args)
	}
	return n.o.Catalog.Text(lang, t.Key, t.Args)
}

// conversation makes the lines of a session fit to be shown; a long one loses its middle.
func conversation(lines []string) []string {
	var out []string
	for i, line := range lines {
		if len(lines) > maxLines && i == maxLines/2 {
			out = append(out, "[…]")
		}
		if len(lines) > maxLines && i >= maxLines/2 && i < len(lines)-maxLines/2 {
			continue
		}
		if line = tidy(line, maxLine); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// messageFacts name the message that a notice is about.
func (n *Notices) messageFacts(lang string, m *spool.Message) []pair {
	name := func(key string) string { return n.text(lang, "fact."+key, nil) }
	facts := []pair{{name("subject"), n.subject(lang, m.Subject)}}
	if from := tidy(m.HeaderFrom, maxAddress); from != "" {
		facts = append(facts, pair{name("from"), from})
	}
	if to := n.recipientSummary(lang, m.Envelope.Recipients); to != "" {
		facts = append(facts, pair{name("to"), to})
	}
	facts = append(facts, pair{name("accepted"), locale.Date(lang, n.local(m.Received))})
	if m.Size > 0 {
		facts = append(facts, pair{name("size"), locale.Bytes(lang, m.Size)})
	}
	if id := tidy(m.MessageID, maxAddress); id != "" {
		facts = append(facts, pair{name("message_id"), id})
	}
	return append(facts, pair{name("queue_id"), string(m.ID)})
}

// subject is a subject fit to be shown.
func (n *Notices) subject(lang, s string) string {
	if s = tidy(s, maxSubject); s == "" {
		return n.text(lang, "no_subject", nil)
	}
	return s
}

// shownAddress is an address as people know it: with the domain in their own script.
func shownAddress(a mail.Address) string {
	s := a.String()
	if u := a.Domain.Unicode(); u != "" && u != string(a.Domain) && strings.HasSuffix(s, "@"+string(a.Domain)) {
		s = strings.TrimSuffix(s, string(a.Domain)) + u
	}
	return tidy(s, maxAddress)
}
