package feedback

import (
	"strings"

	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/report"
)

// Verdict is what a bounce means for one recipient.
type Verdict struct {
	Address  mail.Address // null when the bounce gives none that can be read
	Text     string       // the address as found
	Original string       // the address as the sender wrote it, when it is told and another one
	Action   string       // of RFC 3464; "" not told
	Status   string       // RFC 3463; "" not told
	Reply    int          // SMTP reply code; 0 not told
	provider.Meaning
	Phase      string // step at which it was refused; "" not told
	Diagnostic string // what the server said
	RemoteMTA  string // host that said it; "" not told
	Provider   string // name of the receiver whose rules were asked; "default" for unknown ones
}

// BounceRead is what a message that came back means.
type BounceRead struct {
	report.Bounce
	Verdicts []Verdict // one for each of Bounce.Recipients, in their order
}

// ReadBounce reads a message that came back and says what it means for each recipient. The error is [report.ErrNoBounce].
func ReadBounce(raw []byte, k *provider.Knowledge) (BounceRead, error) {
	b, err := report.ReadBounce(mail.Parse(raw, mail.Limits{}))
	if err != nil {
		return BounceRead{Bounce: b}, err
	}
	out := BounceRead{Bounce: b, Verdicts: make([]Verdict, 0, len(b.Recipients))}
	for i := range b.Recipients {
		out.Verdicts = append(out.Verdicts, judgeRecipient(&b, &b.Recipients[i], k))
	}
	return out, nil
}

func judgeRecipient(b *report.Bounce, r *report.BounceRecipient, k *provider.Knowledge) Verdict {
	v := Verdict{Address: r.Address, Text: r.Text, Original: r.Original, Action: r.Action, Status: r.Status, Reply: r.Reply, Phase: r.Phase, Diagnostic: r.Diagnostic, RemoteMTA: r.RemoteMTA}
	switch b.Kind {
	case report.BounceComplaint:
		v.Category = provider.Feedback
		return v
	case report.BounceAutoReply, report.BounceChallenge:
		v.Category = provider.Vacation
		return v
	}
	if r.Action == report.Delivered || r.Action == report.Relayed || r.Action == report.Expanded || strings.HasPrefix(r.Status, "2.") {
		v.Category = provider.Accepted
		return v
	}
	v.Provider = behind(b, r, k)
	v.Meaning = meaning(b, r, v.Provider, k)
	v.Permanent = v.Permanent && gone(v.Category)
	if v.Advice == nil {
		v.Advice = k.Advice(v.Category)
	}
	return v
}

// behind finds the receiver that answered: by the host that did, or by the recipient's domain.
func behind(b *report.Bounce, r *report.BounceRecipient, k *provider.Knowledge) string {
	var hosts []string
	if r.RemoteMTA != "" {
		hosts = []string{r.RemoteMTA}
	}
	p := k.Behind(r.Address.Domain, hosts)
	if p == k.Default() && b.ReportingMTA != "" { // a receiver that bounces what it took
		p = k.Behind("", []string{b.ReportingMTA})
	}
	return p.Name
}

// meaning asks the dictionary what was said about a recipient, and weighs it by what else the bounce tells.
func meaning(b *report.Bounce, r *report.BounceRecipient, receiver string, k *provider.Knowledge) provider.Meaning {
	answer := provider.Answer{Provider: receiver, Phase: r.Phase, Code: r.Reply, Enhanced: r.Status, Text: r.Diagnostic}
	m := k.Classify(answer)
	if receiver != k.Default().Name && !coded(m) {
		answer.Provider = ""
		if n := k.Classify(answer); coded(n) {
			m = n
		}
	}
	if (r.Phase == "data" || r.Phase == "end") && !telling(m) { // an unknown user told too late: settle says what that is worth
		answer.Phase = ""
		if n := k.Classify(answer); n.Category == provider.UserUnknown && telling(n) {
			m = n
		}
	}
	if r.Type == "x-unix" && !telling(m) { // a program ended badly: texts around it are about something else, but may say so
		for line := range strings.SplitSeq(r.Explained, "\n") {
			if n := k.Classify(provider.Answer{Text: line}); r.Diagnostic == "" && n.Category == provider.MailerError {
				return settle(n, r)
			}
		}
		return settle(m, r)
	}
	if m.Rule != "" && (m.Category != provider.UserUnknown && m.Category != provider.Filtered || certain(r.Status)) {
		return settle(m, r)
	}
	// The reporting system explains it in its own words, or the text does that stands before the recipients.
	for _, text := range [...]string{r.Explained, b.Lead} {
		if text == "" || text == r.Diagnostic {
			continue
		}
		more := k.Classify(provider.Answer{Provider: receiver, Phase: r.Phase, Code: r.Reply, Text: text})
		if telling(more) && (!telling(m) || closed(more)) {
			m = more
			break
		}
	}
	return settle(m, r)
}

// coded reports whether a code or the name of a limit said what happened: that means the same wherever it comes from, also where the server that wrote
// it stands before another one.
func coded(m provider.Meaning) bool {
	return strings.HasPrefix(m.Rule, "any/coded-") || m.Rule == "any/reputation" || m.Rule == "any/connections"
}

// telling reports whether a text said what happened, and not only a code.
func telling(m provider.Meaning) bool {
	return m.Rule != "" && !strings.HasPrefix(m.Rule, "any/status-")
}

// closed reports whether an explanation says more about the mailbox than that nobody is there.
func closed(m provider.Meaning) bool {
	return m.Category == provider.Suspend || m.Category == provider.MailboxFull || m.Category == provider.HasMoved
}

// certain reports whether a status says by itself that the address is wrong (RFC 3463 3.2).
func certain(status string) bool { return status == "5.1.1" || status == "5.1.0" || status == "5.1.3" }

// gone reports whether a category is the end of an address. A mailbox that is full or closed may open again, whatever the answer says of itself.
func gone(c provider.Category) bool {
	return c == provider.UserUnknown || c == provider.HostUnknown || c == provider.HasMoved || c == provider.NotAccept
}

// sorted is what sending systems file a failure under (PowerMTA), for answers that say nothing themselves. That an address does not exist is not taken
// from there.
var sorted = map[string]provider.Category{"policy-related": provider.PolicyViolation, "spam-related": provider.SpamDetected, "spam-block": provider.Blocked, "quota-issues": provider.MailboxFull,
	"inactive-mailbox": provider.Suspend, "message-expired": provider.Expired, "no-answer-from-host": provider.NetworkError, "bad-connection": provider.NetworkError, "routing-errors": provider.SystemError,
	"content-related": provider.ContentError, "virus-related": provider.VirusDetected, "relaying-issues": provider.NoRelaying}

// settle holds a meaning against how it was told.
func settle(m provider.Meaning, r *report.BounceRecipient) provider.Meaning {
	switch {
	case m.Rule == "any/access-denied" && r.Phase == "mail":
		m.Category, m.Advice = provider.Rejected, nil // refused in answer to MAIL: it is about the sender
	case m.Rule == "any/recipient-refused" && (r.Phase == "data" || r.Phase == "end"),
		(m.Rule == "any/unknown-user" || m.Rule == "docomo/at-rcpt") && r.Phase != "rcpt" && !certain(r.Status):
		// Nobody knows whether the server said so in answer to RCPT. Filters say the same of recipients that exist.
		m.Category, m.Permanent, m.Advice = provider.Filtered, false, nil
	case m.Rule != "":
	case sorted[r.Sorted] != "":
		m = provider.Meaning{Category: sorted[r.Sorted]}
	case r.Type == "x-unix":
		m = provider.Meaning{Category: provider.MailerError, Party: provider.OfProvider}
	case r.Action == report.Delayed || r.Action == "expired":
		m = provider.Meaning{Category: provider.Expired, Party: provider.OfProvider}
	case r.Phase == "connect" || r.Phase == "ehlo":
		m = provider.Meaning{Category: provider.Blocked, Party: provider.SenderIP}
	case r.Reply > 400 && r.Reply < 408 || r.Reply > 500 && r.Reply < 508:
		m = provider.Meaning{Category: provider.SyntaxError, Party: provider.Config}
	case r.Diagnostic != "":
		m = provider.Meaning{Category: provider.OnHold, Party: provider.Nobody}
	default:
		m = provider.Meaning{Category: provider.Undefined}
	}
	return m
}
