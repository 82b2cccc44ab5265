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
	v.Provider = behind(r, k)
	v.Meaning = meaning(b, r, v.Provider, k)
	return v
}

// behind finds the receiver that answered: by the host that did, or by the recipient's domain.
func behind(r *report.BounceRecipient, k *provider.Knowledge) string {
	var hosts []string
	if r.RemoteMTA != "" {
		hosts = []string{r.RemoteMTA}
	}
	return k.Behind(r.Address.Domain, hosts).Name
}

// vague are categories that say little: another text of the bounce may say more.
func vague(m provider.Meaning) bool {
	switch m.Category {
	case provider.Undefined, provider.OnHold:
		return true
	}
	return false
}

func meaning(b *report.Bounce, r *report.BounceRecipient, receiver string, k *provider.Knowledge) provider.Meaning {
	ask := func(text string) provider.Meaning {
		return k.Classify(provider.Answer{Provider: receiver, Phase: r.Phase, Code: r.Reply, Enhanced: r.Status, Text: text})
	}
	m := ask(r.Diagnostic)
	return m
}
