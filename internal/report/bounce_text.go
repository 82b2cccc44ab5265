package report

import (
	"strings"

	"postern/internal/mail"
)

// said is what a text says about one recipient.
type said struct {
	address string
	text    strings.Builder
	dialog  []exchange // his part of the conversation
}

// exchange is one step of a conversation that a text quotes.
type exchange struct {
	command string
	reply   string
}

// textRead is what a text for people says.
type textRead struct {
	whole   string
	about   []*said
	weak    bool // the recipients were only mentioned in a sentence
	common  []exchange
	lead    string // before the first recipient
	delayed bool
	failure bool // it says that something was not delivered
	host    string
}

// textReader reads a text line by line.
type textReader struct {
	textRead
	sender  string
	now     *said
	byName  map[string]*said
	weakly  []weakMention
	leading strings.Builder
	step    exchange // being read
	ofWhom  *said    // whose step it is; nil: everybody's
	quoting byte     // 'r' a reply of the quoted conversation goes on in this line, 'c' a command
	pending []*said  // recipients that nothing was said about yet
}

type weakMention struct {
	address string
	line    int
}

// readText finds the recipients in a text and what is said about each. sender is whom the text was sent to.
func readText(lines []string, sender string) textRead {
	r := textReader{sender: sender, byName: map[string]*said{}}
	r.whole = strings.TrimSpace(strings.Join(lines, "\n"))
	low := strings.ToLower(r.whole)
	r.delayed = saysDelayed(low)
	r.failure = r.delayed || saysFailed(low)
	for i, line := range lines {
		r.line(line, i)
	}
	r.endStep()
	r.lead = strings.TrimSpace(r.leading.String())
	if len(r.about) == 0 {
		r.takeWeak(lines)
	}
	return r.textRead
}

// line takes one line in.
func (r *textReader) line(line string, at int) {
	t := strings.TrimSpace(line)
	if t == "" || r.conversation(line, t) {
		return
	}
	if strings.HasPrefix(t, "--") && !strings.HasPrefix(t, "-- ") || strings.HasPrefix(t, "__") || strings.HasPrefix(t, "==") || mimeNoise(t) {
		return
	}
	if host, ok := cutFold(strings.TrimPrefix(t, "... "), "while talking to "); ok {
		r.host = strings.TrimRight(host, ".:, ")
		if r.now != nil && r.now.text.Len() > 0 {
			r.now = nil // another conversation begins
		}
		return
	}
	if address, rest, certain := recipientLine(t); address != "" && !r.own(address, len(t) == len(address)) {
		if certain {
			r.begin(address)
			if rest != "" {
				r.say(rest)
			}
			return
		}
		if len(r.weakly) < maxRecipients {
			r.weakly = append(r.weakly, weakMention{address, at})
		}
	}
	if r.now == nil {
		if r.leading.Len() < maxSaid {
			r.leading.WriteString(t)
			r.leading.WriteByte('\n')
		}
		return
	}
	r.say(t)
}

// own reports whether an address is that of the one who gets the bounce, or alone in its line that of an administration that may be asked for help.
func (r *textReader) own(address string, alone bool) bool {
	low := strings.ToLower(address)
	local, _, _ := strings.Cut(low, "@")
	return low == r.sender || alone && (local == "postmaster" || local == "hostmaster" || local == "helpdesk") || local == "mailer-daemon"
}

func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// begin starts what is said about a recipient, or goes on with it.
func (r *textReader) begin(address string) {
	name := strings.ToLower(address)
	s := r.byName[name]
	if s == nil {
		if len(r.about) == maxRecipients {
			return
		}
		s = &said{address: address}
		r.byName[name] = s
		r.about = append(r.about, s)
		r.pending = append(r.pending, s)
	}
	r.now = s
}

// say adds to what is said about the recipient at hand, and about those before him that nothing was said about.
func (r *textReader) say(t string) {
	if len(r.pending) > 1 && r.pending[len(r.pending)-1] == r.now && len(r.pending) <= 50 {
		for _, p := range r.pending[:len(r.pending)-1] {
			add(p, t)
		}
	}
	if len(r.pending) > 0 && r.pending[len(r.pending)-1] != r.now {
		r.pending = r.pending[:0]
	}
	add(r.now, t)
	if len(r.pending) > 0 {
		r.pending = r.pending[:0]
	}
}

func add(s *said, t string) {
	if s.text.Len()+len(t) > maxSaid {
		return
	}
	if s.text.Len() > 0 {
		s.text.WriteByte('\n')
	}
	s.text.WriteString(t)
}

// conversation takes a line of a quoted conversation in: ">>> RCPT TO:<a@b>" and "<<< 550 …" (Sendmail and many others), " In:  …" and " Out: …"
// (Postfix).
func (r *textReader) conversation(line, t string) bool {
	command, isCommand := strings.CutPrefix(t, ">>> ")
	if !isCommand && strings.HasPrefix(line, " In:") {
		command, isCommand = strings.TrimSpace(t[3:]), true
	}
	if isCommand && commandPhase(command) == "" && !plainCommand(command) {
		isCommand = false
	}
	if isCommand {
		r.endStep()
		r.step.command, r.quoting = command, 'c'
		r.ofWhom = r.whose(command)
		return true
	}
	reply, isReply := strings.CutPrefix(t, "<<< ")
	if !isReply && strings.HasPrefix(line, " Out:") {
		reply, isReply = strings.TrimSpace(t[4:]), true
	}
	if isReply {
		if r.step.reply != "" && len(r.step.reply) < maxSaid {
			r.step.reply += "\n"
		}
		if len(r.step.reply) < maxSaid {
			r.step.reply += reply
		}
		r.quoting = 'r'
		return true
	}
	if r.quoting == 'c' && strings.HasPrefix(line, "      ") {
		r.step.command += " " + t
		if r.ofWhom == nil {
			r.ofWhom = r.whose(r.step.command)
		}
		return true
	}
	if r.quoting == 'r' && strings.HasPrefix(line, "      ") && strings.HasPrefix(t, "<<<") {
		return true
	}
	r.quoting = 0
	return false
}

func plainCommand(s string) bool {
	s = strings.ToUpper(s)
	return s == "." || s == "QUIT" || s == "RSET" || s == "XFORWARD" || strings.HasPrefix(s, "XFORWARD ") || strings.HasPrefix(s, "AUTH ")
}

// whose returns the recipient that an RCPT command names.
func (r *textReader) whose(command string) *said {
	if commandPhase(command) != "rcpt" {
		return nil
	}
	address, _, _ := findAddress(command, 0)
	if address == "" {
		return nil
	}
	s := r.byName[strings.ToLower(address)]
	if s == nil && len(r.about) < maxRecipients {
		before := r.now
		r.begin(address)
		s = r.now
		if before != nil {
			r.now = before
		}
	}
	return s
}

func (r *textReader) endStep() {
	if r.step.reply != "" {
		if r.ofWhom != nil {
			r.ofWhom.dialog = append(r.ofWhom.dialog, r.step)
		} else if len(r.common) < 100 {
			r.common = append(r.common, r.step)
		}
	}
	r.step, r.ofWhom = exchange{}, nil
}

// takeWeak takes the addresses that sentences mention, when no line is about a recipient.
func (r *textReader) takeWeak(lines []string) {
	r.weak = true
	for _, w := range r.weakly {
		if r.byName[strings.ToLower(w.address)] != nil {
			continue
		}
		r.begin(w.address)
		for i := w.line; i < len(lines) && r.now.text.Len() < maxSaid; i++ {
			if t := strings.TrimSpace(lines[i]); t != "" {
				add(r.now, t)
			}
		}
		if len(r.about) >= 20 {
			break
		}
	}
}

// mimeNoise reports whether a line is a field of a MIME part in a text that lost its form.
func mimeNoise(t string) bool {
	return len(t) > 13 && strings.EqualFold(t[:8], "content-") && strings.Contains(t, ":")
}

// recipientLine returns the address that a line is about, and what the line says about it. certain is false when a sentence only mentions it.
func recipientLine(t string) (address, rest string, certain bool) {
	if strings.IndexByte(t, '@') < 0 {
		return "", "", false
	}
	for _, bullet := range [...]string{">>> ", "* ", "-- ", "- ", "• ", "> "} {
		if s, ok := strings.CutPrefix(t, bullet); ok {
			t = strings.TrimSpace(s)
			break
		}
	}
	address, from, to := findAddress(t, 0)
	if address == "" {
		return "", "", false
	}
	before, after := t[:from], t[to:]
	open := strings.HasSuffix(before, "<")
	if open {
		before = before[:len(before)-1]
		after = strings.TrimPrefix(after, ">")
	}
	before = strings.TrimRight(before, " \t\"'([{«“")
	if before == "" {
		return address, afterAddress(after), restIsPlausible(after)
	}
	low := strings.ToLower(before)
	if strings.HasSuffix(before, ":") || strings.HasSuffix(before, "：") {
		label := strings.Trim(low, " :：*-\t")
		if i := strings.LastIndexAny(label, ".;"); i >= 0 {
			label = label[i+1:]
		}
		switch {
		case notRecipient(label):
			return "", "", false
		case isRecipientLabel(label):
			said := afterAddress(after)
			if said == "" || len(label) > 24 {
				said = strings.TrimSpace(t[:from] + " " + said) // "User mailbox exceeds allowed size: a@b"
			}
			return address, said, true
		}
	}
	if code := findReply(before, 0); code != 0 && len(strings.TrimLeft(before, "0123456789.# -")) == 0 && open && strings.HasPrefix(after, "...") {
		return address, t, true // "554 <a@b>... 550 Host unknown"
	}
	if isName(before) && open && (after == "" || strings.HasPrefix(after, ":") || strings.HasPrefix(after, " on ")) && !notRecipient(low) {
		return address, afterAddress(after), after != "" || false
	}
	if mentions(low, strings.ToLower(after)) {
		return address, "", false
	}
	return "", "", false
}

// afterAddress takes what joins an address with what is said about it off.
func afterAddress(s string) string {
	for {
		s = strings.TrimLeft(s, " \t:;,.>)]-=")
		switch {
		case strings.HasPrefix(s, "<mailto:"):
			_, s, _ = strings.Cut(s, ">")
			continue
		case strings.HasPrefix(s, "<"):
			if a, _, to := findAddress(s, 0); a != "" && to <= strings.IndexByte(s+">", '>') {
				_, s, _ = strings.Cut(s, ">")
				continue
			}
		}
		return strings.TrimSpace(s)
	}
}

// restIsPlausible tells a line about a recipient from one that greets the reader or quotes somebody.
func restIsPlausible(after string) bool {
	low := strings.ToLower(strings.TrimSpace(after))
	switch {
	case strings.HasSuffix(low, "wrote:"), strings.HasSuffix(low, " a écrit :"), strings.HasSuffix(low, "schrieb:"):
		return false
	case strings.HasPrefix(low, "様") || strings.HasPrefix(low, "您好") || strings.HasPrefix(low, "，"):
		return false
	}
	return true
}

func isName(s string) bool {
	return len(s) < 60 && !strings.ContainsAny(s, ":;.!?=@") && len(strings.Fields(s)) <= 4
}

// recipientLabels are words of labels before a failed recipient's address.
var recipientLabels = []string{
	"recipient", "address", "user", "mailbox", "account", "undeliver", "unknown", "fail", "deliver", "reach", "empfänger", "destinat", "destinacion", "dest", "relayed to", "rcpt",
	"following", "adresse", "dirección", "direccion", "宛先", "受信者", "получател", "was not", "could not", "rejected", "message to", "mail to", "sent to", "full", "invalid", "quota",
	"exceed", "disabled", "unable", "loop", "reject mail",
}

func isRecipientLabel(label string) bool {
	for _, w := range recipientLabels {
		if strings.Contains(label, w) {
			return true
		}
	}
	return false
}

// notRecipient reports whether a label belongs to another address than a failed recipient's.
func notRecipient(label string) bool {
	switch label {
	case "to", "from", "cc", "bcc", "sender", "reply-to", "reply to", "return-path", "message-id", "subject", "email", "e-mail", "mail", "date", "original-envelope-id", "envelope-id",
		"mail from", "x-original-to", "delivered-to", "de", "von", "an", "à", "f", "h", "for", "envelope-from", "as":
		return true
	}
	for _, w := range [...]string{"postmaster", "contact", "sender", "from ", "return-path", "message-id", "message id", "help", "support", "reply-to", "reported by", "absender", "expéditeur", "送信者",
		"reporting-mta", "remote-mta", "received", "references", "in-reply-to", "write to", "forward", "report-id", "mts-id"} {
		if strings.Contains(label, w) {
			return true
		}
	}
	return false
}

// mentions reports whether a sentence around an address speaks of a delivery to it.
func mentions(before, after string) bool {
	for _, w := range [...]string{"contact", "please send mail to", "for assistance", "for help", "for further", "questions", "from ", "sender", "sent by", "by <", "addressed to postmaster", "on behalf", "behalf of", "envelope-from", "message-id:", " id:"} {
		if strings.HasSuffix(before, w) || strings.Contains(before, w) && w != "from " && w != "by <" {
			return false
		}
	}
	if strings.HasSuffix(before, "from") || strings.HasSuffix(before, "by") {
		return false
	}
	for _, w := range [...]string{"deliver", "recipient", "mailbox", "user", "account", "reach", "message to", "mail to", "email to", "sent to", "rcpt", "address", "fail", "rejected", "undeliver", "problem", "error", "remis", "destinat", "zustell", "empfänger", "bounce", "unable", "could not", "duplicate", "member of this mailing list"} {
		if strings.Contains(before, w) {
			return true
		}
	}
	for _, w := range [...]string{"undeliver", "not be delivered", "not delivered", "unknown", "does not exist", "not found", "fail", "rejected", "could not", "couldn't", "is full", "quota"} {
		if strings.Contains(after, w) {
			return true
		}
	}
	return false
}

// findAddress returns the first mail address in s from a position on, and where it stands.
func findAddress(s string, at int) (address string, from, to int) {
	for at < len(s) {
		i := strings.IndexByte(s[at:], '@')
		if i < 0 {
			return "", 0, 0
		}
		i += at
		from, to = i, i+1
		for from > at && from > i-65 && localByte(s[from-1]) {
			from--
		}
		if from == i && from > at && s[from-1] == '"' { // "a b"@example.org
			if q := strings.LastIndexByte(s[max(at, i-66):from-1], '"'); q >= 0 {
				from = max(at, i-66) + q
			}
		}
		for to < len(s) && to < i+256 && domainByte(s[to]) {
			to++
		}
		for to > i+1 && (s[to-1] == '.' || s[to-1] == '-') {
			to--
		}
		for from < i && (s[from] == '.' || s[from] == '-' || s[from] == '\'' || s[from] == '=' || s[from] == '*' || s[from] == '`') {
			from++
		}
		if from < i && to > i+1 && (isWordByte(s[to-1]) || s[to-1] >= 0x80) && (strings.IndexByte(s[i+1:to], '.') > 0 || from > 0 && s[from-1] == '<') {
			return s[from:to], from, to
		}
		at = i + 1
	}
	return "", 0, 0
}

func localByte(c byte) bool {
	return isWordByte(c) || strings.IndexByte("!#$%&'*+-/=?^`{|}~.", c) >= 0
}

func domainByte(c byte) bool { return isWordByte(c) || c == '.' || c == '-' }

// parsed reads an address as found; null when it is none.
func parsed(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		return mail.Address{}
	}
	return a
}
