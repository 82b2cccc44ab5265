package report

import (
	"strings"

	"postern/internal/mail"
)

// fromStatus makes recipients from a delivery status, and completes them from the text.
func (r *bounceReader) fromStatus(t *textRead) {
	single := len(r.dsn.Recipients) == 1
	for i := range r.dsn.Recipients {
		d := &r.dsn.Recipients[i]
		x := BounceRecipient{Address: d.Final, Text: untyped(d.FinalText), Action: d.Action, Status: d.Status, RemoteMTA: bareHost(d.RemoteMTA), Sorted: d.Sorted}
		if original := untyped(d.OriginalText); original != "" {
			if x.Text == "" || strings.IndexByte(x.Text, '@') < 0 && strings.IndexByte(original, '@') > 0 {
				x.Address, x.Text = d.Original, original
			} else if !strings.EqualFold(original, x.Text) {
				x.Original = original
			}
		}
		if kind, text, ok := strings.Cut(d.DiagnosticCode, ";"); ok && len(kind) < 32 && !strings.Contains(kind, " ") {
			x.Type, x.Diagnostic = strings.ToLower(kind), strings.TrimSpace(text)
		} else {
			x.Diagnostic = d.DiagnosticCode
		}
		if x.Diagnostic == "" {
			x.Diagnostic = d.Remark
		}
		if len(strings.Trim(x.Diagnostic, "0123456789 .")) == 0 { // the exit status of a program, and no text
			x.Diagnostic = ""
		}
		if x.Text == "" && x.Action == "" && x.Diagnostic == "" {
			continue
		}
		s := t.about2(x.Text, x.Original)
		if s == nil && single && len(t.about) == 1 {
			s = t.about[0]
		}
		if (x.Text == "" || strings.IndexByte(x.Text, '@') < 0) && s != nil {
			x.Text, x.Address = s.address, parsed(s.address)
		}
		r.complete(&x, s, t, single)
		r.out.Recipients = append(r.out.Recipients, x)
	}
}

// about2 finds what the text says about one of two spellings of a recipient.
func (t *textRead) about2(a, b string) *said {
	for _, s := range t.about {
		if strings.EqualFold(s.address, a) || b != "" && strings.EqualFold(s.address, b) {
			return s
		}
	}
	return nil
}

// fromText makes recipients from the text alone.
func (r *bounceReader) fromText(t *textRead) {
	single := len(t.about) == 1
	for _, s := range t.about {
		x := BounceRecipient{Address: parsed(s.address), Text: s.address}
		r.complete(&x, s, t, single)
		r.out.Recipients = append(r.out.Recipients, x)
	}
}

// fromOriginal takes the recipients from where else they are told: a field of the bounce, or the returned message.
func (r *bounceReader) fromOriginal(t *textRead) {
	if !t.failure && r.origins() != machine {
		return
	}
	value := r.m.Header.Get("X-Failed-Recipients")
	if value == "" {
		value = r.out.Original.To
	}
	boxes, _ := mail.ParseMailboxes(value)
	for i, b := range boxes {
		if b.Address.IsNull() || i == maxRecipients {
			continue
		}
		x := BounceRecipient{Address: b.Address, Text: b.Address.String()}
		r.complete(&x, nil, t, len(boxes) == 1)
		r.out.Recipients = append(r.out.Recipients, x)
		if t.delayed {
			x.Action = Delayed
		}
	}
}

// complete adds what the text says about a recipient: replies of the quoted conversation, the explanation, status, code, step.
func (r *bounceReader) complete(x *BounceRecipient, s *said, t *textRead, single bool) {
	var dialog strings.Builder
	phase := ""
	take := func(steps []exchange) {
		for _, e := range steps {
			invited := false // "354 go ahead": what follows is about the content
			for line := range strings.SplitSeq(e.reply, "\n") {
				invited = invited || strings.HasPrefix(line, "354")
				if line == "" || line[0] != '4' && line[0] != '5' || dialog.Len() > maxSaid {
					continue
				}
				if dialog.Len() > 0 {
					dialog.WriteByte('\n')
				}
				dialog.WriteString(line)
				if phase != "" {
					continue
				}
				switch phase = commandPhase(e.command); {
				case phase == "" && e.command == "":
					phase = "connect"
				case phase == "data" && invited:
					phase = "end"
				}
			}
		}
	}
	if s != nil {
		take(s.dialog)
		x.Explained = s.text.String()
	}
	if single || dialog.Len() == 0 && x.Diagnostic == "" && x.Explained == "" {
		take(t.common)
	}
	if x.Explained == "" && !r.out.Structured {
		x.Explained = t.lead
	}
	if said := dialog.String(); said != "" {
		switch {
		case x.Diagnostic == "":
			x.Diagnostic = said
		case !strings.Contains(squeezed(said), squeezed(x.Diagnostic)):
			x.Diagnostic = said + "\n" + x.Diagnostic
		default:
			x.Diagnostic = said
		}
	}
	if x.Phase == "" {
		x.Phase = phase
	}
	for _, where := range [...]string{x.Diagnostic, x.Explained, t.lead} {
		if x.Phase != "" {
			break
		}
		if x.Phase = findPhase(strings.ToLower(strings.Join(strings.Fields(where), " "))); x.Phase == "" {
			x.Phase = commandAlone(where)
		}
	}
	class := byte(0)
	if x.Status != "" {
		class = x.Status[0]
	}
	sources := []string{x.Diagnostic, x.Explained}
	if single && !r.out.Structured {
		sources = append(sources, t.whole)
	}
	for _, where := range sources {
		if x.Reply != 0 {
			break
		}
		x.Reply = findReply(where, class)
		if x.Reply != 0 && (x.Diagnostic == "" || findReply(x.Diagnostic, 0) == 0) && x.Diagnostic == "" && x.Type != "x-unix" {
			x.Diagnostic = where
		}
	}
	replied := byte(0)
	if x.Reply != 0 {
		replied = byte('0' + x.Reply/100)
	}
	in := ""
	for _, where := range sources {
		if in = findStatus(where, replied); in != "" {
			break
		}
	}
	x.Status = betterStatus(x.Status, in, x.Reply)
	if x.Phase == "" && x.Reply == 0 && strings.EqualFold(x.Explained, "unknown user:") {
		x.Phase = "rcpt" // the label of the system that keeps the mailboxes
	}
	if x.Diagnostic == "" && x.Type != "x-unix" && (x.Explained != t.lead || r.statusN == 0) {
		x.Diagnostic = x.Explained
	}
	if x.RemoteMTA == "" {
		x.RemoteMTA = bareHost(t.host)
	}
	if x.RemoteMTA == "" {
		x.RemoteMTA = namedHost(x.Diagnostic + "\n" + x.Explained)
	}
	x.Diagnostic = cut(x.Diagnostic, maxSaid)
}

// squeezed leaves letters and digits only, for comparing texts that were wrapped.
func squeezed(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if isWordByte(s[i]) || s[i] >= 0x80 {
			b = append(b, s[i])
		}
	}
	return string(b)
}

func cut(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// untyped takes "rfc822;" and angle brackets off an address as found.
func untyped(s string) string {
	if kind, rest, ok := strings.Cut(s, ";"); ok && !strings.ContainsAny(kind, "@ ") {
		if strings.EqualFold(kind, "utf-8") {
			rest = decodeUTF8Address(rest)
		}
		s = rest
	}
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "<") {
		s, _, _ = strings.Cut(s[1:], ">")
	}
	if a, _, to := findAddress(s, 0); a != "" && to < len(s) {
		s = a
	}
	return strings.Trim(s, " <>\"'")
}

// bareHost takes addresses and remarks off a host's name.
func bareHost(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, " ([<"); i > 0 {
		s = s[:i]
	}
	return strings.ToLower(strings.Trim(s, ".<>[]() :"))
}

// hostWords stand before the name of the host that answered.
var hostWords = []string{"host ", "connected to ", "giving up on ", "remote server at ", "server for the recipient domain ", "smtp server <", "host: ", "receiving server: ", "talking to "}

// namedHost finds the host that a text says answered.
func namedHost(s string) string {
	low := strings.ToLower(s)
	for _, w := range hostWords {
		for at := 0; ; {
			i := strings.Index(low[at:], w)
			if i < 0 {
				break
			}
			at += i + len(w)
			end := at
			for end < len(low) && domainByte(low[end]) {
				end++
			}
			if h := strings.Trim(low[at:end], ".-"); strings.IndexByte(h, '.') > 0 && len(h) > 4 {
				return h
			}
		}
	}
	return ""
}
