package portal

import (
	"strconv"
	"strings"

	"postern/internal/delivery"
	"postern/internal/shaping"
	"postern/internal/spool"
)

// mostWaits bounds the groups of recipients of one message that are told apart.
const mostWaits = 20

// wait is what some recipients of a message wait for.
type wait struct {
	Who    string
	Text   string   // what happens next, and when
	Why    []string // what keeps it
	Answer string   // the last answer of their server
}

// waits tells what the recipients of a message that is on its way wait for; those who wait for the same are told together.
func (m *messagePage) waits(w spool.Work) []wait {
	var out []wait
	at := map[string]int{}
	names := map[string][]string{}
	for _, r := range m.site.o.Delivery.Standings(w) {
		if r.Stage == delivery.StageSettled || r.Stage == delivery.StageHeld {
			continue
		}
		x := wait{Text: m.stage(r)}
		for _, y := range r.Why {
			x.Why = append(x.Why, m.why(y))
		}
		if r.Host != "" || r.Attempts > 0 && r.Enhanced != noTurn {
			x.Answer = clean(answerOf(r.Recipient), evidenceText)
		}
		key := x.Text + "\n" + strings.Join(x.Why, "\n") + "\n" + x.Answer
		if _, known := at[key]; !known {
			if len(out) == mostWaits {
				continue
			}
			at[key] = len(out)
			out = append(out, x)
		}
		names[key] = append(names[key], clean(r.Address.String(), 200))
	}
	for key, i := range at {
		all := names[key]
		out[i].Who = strings.Join(all[:min(3, len(all))], ", ")
		if more := len(all) - 3; more > 0 {
			out[i].Who = m.T("messages.wait.more", "Names", out[i].Who, "Count", more)
		}
	}
	return out
}

// stage is what happens to a recipient next.
func (m *messagePage) stage(r delivery.Standing) string {
	until := m.date(r.Until)
	switch {
	case r.Stage == delivery.StageScheduled && r.Attempts == 0:
		return m.T("messages.wait.scheduled.first", "When", until)
	case r.Stage == delivery.StageScheduled:
		return m.T("messages.wait.scheduled", "When", until, "Count", r.Attempts)
	case (r.Stage == delivery.StageParked || r.Stage == delivery.StageWaiting) && !r.Until.IsZero():
		return m.T("messages.wait.turn.until", "When", until)
	case r.Stage == delivery.StageParked || r.Stage == delivery.StageWaiting:
		return m.T("messages.wait.turn")
	case r.Stage == delivery.StageSending:
		return m.T("messages.wait.sending")
	case r.Stage == delivery.StageSettling:
		return m.T("messages.wait.settling")
	}
	return m.T("messages.wait.due")
}

// why says what keeps a message, in the words for senders: where the sentence for operators says more than other customers' senders may know, there
// is one of its own (notice.wait.CODE).
func (p page) why(w shaping.Why) string {
	c, args := p.site.o.Catalog, w.Values()
	for name, value := range args {
		if text, ok := value.(string); ok {
			args[name] = clean(text, 300)
		}
	}
	key := w.Key()
	if reason, told := args["Reason"].(string); c.Has("notice.wait."+w.Code) && (!told || reason == "") {
		key = "notice.wait." + w.Code
	}
	if !c.Has(key) {
		return p.T("messages.wait.turn")
	}
	return c.Text(p.Lang, key, args)
}

// answerOf is what a recipient's server said last, in one line.
func answerOf(r spool.Recipient) string {
	var b strings.Builder
	if r.Host != "" {
		b.WriteString(r.Host + ": ")
	}
	if code := strconv.Itoa(r.Code); r.Code != 0 && !strings.HasPrefix(r.Text, code) {
		b.WriteString(code + " ")
		if r.Enhanced != "" && !strings.HasPrefix(r.Text, r.Enhanced) {
			b.WriteString(r.Enhanced + " ")
		}
	}
	b.WriteString(r.Text)
	return strings.TrimSuffix(strings.TrimSpace(b.String()), ":")
}
