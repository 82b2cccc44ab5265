package report

import (
	"encoding/json"
	"strings"

	"postern/internal/mail"
)

// origin is who seems to have written a message.
type origin int

const (
	person  origin = iota // nothing speaks for a mail system
	unsure                // something does
	machine               // a mail system
)

// daemons are words in the From field of mail systems.
var daemons = []string{"mailer-daemon", "mailer_daemon", "postmaster", "mail delivery s", "mail deliver", "mail administrator", "system administrator", "mail system", "mail-daemon", "mailerdaemon",
	"bounce", "maildelivery", "microsoft exchange", "administrator@", "sns.amazonaws.com", "e-mail delivery", "email delivery", "poostmaster", "post_master", "<>", "mail router", "content-filter", "content filter"}

// subjects are words of the subjects of bounces, in lower case.
var subjects = []string{
	"undeliver", "returned mail", "returned to sender", "returning message", "delivery failure", "delivery failed", "delivery has failed", "delivery fail", "delivery status", "delivery report",
	"delivery notification", "delivery problem", "delivery_failure", "failure notice", "failure notification", "failed delivery", "mail failure", "mail delivery", "mail system error", "message frozen",
	"non-delivery", "nondeliver", "not delivered", "could not be delivered", "could not send message", "warning: message", "error sending your mail", "bounced mail", "bounce message", "mail error",
	"unzustellbar", "nicht zugestellt", "nicht zustellbar", "fehlgeschlagen", "non remis", "non distribu", "non délivr", "échec de", "echec de", "avis de non", "no se puede entregar", "no se ha podido",
	"devuelto", "no entregado", "no recapitabile", "non recapitabile", "mancato recapito", "impossibile recapitare", "olevererbart", "onbestelbaar", "niet bezorgd", "não entregue", "nao entregue", "niedostarcz",
	"配信不能", "配信できません", "配信エラー", "送信できません", "エラーメール", "недоставлен", "не доставлен", "退信", "delayed", "verzögert", "retard", "postmaster notify", "loop alert", "not member article",
	"delivery unsuccessful", "rejected mail", "message status", "error report",
}

// origins tells who seems to have written the message.
func (r *bounceReader) origins() origin {
	h := r.m.Header
	points := 0
	from := strings.ToLower(h.Get("From"))
	if from == "" {
		points++
	}
	for _, w := range daemons {
		if strings.Contains(from, w) {
			points += 2
			break
		}
	}
	subject := strings.ToLower(r.m.Subject())
	for _, w := range subjects {
		if strings.Contains(subject, w) {
			points += 2
			break
		}
	}
	if h.Has("X-Failed-Recipients") || r.statusN > 0 {
		points += 3
	}
	if path := strings.TrimSpace(h.Get("Return-Path")); path == "<>" {
		points++
	}
	if r.m.Root.MediaType == "multipart/report" {
		points += 2
	}
	if len(r.dsn.Recipients) > 0 {
		points += 3
	}
	if h.Has("X-MLServer") && strings.Contains(from, "-admin@") { // a mailing list's own notices (fml)
		points += 2
	}
	switch {
	case strings.HasPrefix(subject, "re:"), strings.HasPrefix(subject, "fwd:"):
		points--
	}
	switch {
	case points >= 3:
		return machine
	case points > 0 || r.out.Original.Header != nil:
		return unsure
	}
	return person
}

// failing are words that say, in a text, that something was not delivered; delaying that it is still tried.
var (
	failing = []string{"undeliver", "not delivered", "not be delivered", "could not deliver", "couldn't be delivered", "wasn't delivered", "unable to deliver", "can't deliver", "cannot deliver", "cannot be delivered",
		"delivery failed", "delivery has failed", "failed permanently", "delivery to the following", "permanent error", "permanent fatal error", "delivery error", "delivery problem", "fatal error",
		"did not reach", "not reach", "was rejected", "error while delivering", "error delivering", "trouble delivering", "trying to deliver", "returned to", "was not relayed", "has been rejected", "rejected by",
		"attempt to deliver", "attempting to deliver", "was not sent", "wasn't sent", "an error occurred", "transcript of session", "can not be delivered", "not possible to deliver", "could not send", "failure",
		"user unknown", "unknown user", "no such user", "mailbox full", "mailbox is full", "over quota", "quota", "does not exist", "may not exist", "doesn't exist", "permission to post",
		"konnte nicht", "nicht zugestellt", "unzustellbar", "n'a pas pu", "non remis", "pas été remis", "échec de la remise", "no ha podido", "no se pudo", "no pudo ser", "non è stato", "impossibile",
		"não foi", "não pôde", "配信できません", "送信に失敗", "送信できません", "配送できません", "届けることができません", "投稿", "не может быть доставлено", "не доставлено", "无法", "無法", "niet worden bezorgd", "kunde inte",
		"550 ", "554 ", "553 ", "552 ", "5.1.1", "duplicated message-id", "not a member of this mailing list", "not member article", "loop back warning", "loop condition", "security alert", "reject mail from", "reject spammers", "mail loop", "message loop", "has been frozen", "message frozen"}
	delaying = []string{"has been delayed", "is delayed", "been delayed", "warning message only", "you do not need to resend", "do not need to resend", "will be retried", "delivery attempts will continue", "still undelivered after",
		"has not yet been delivered", "not been delivered after", "will continue to try", "will keep trying", "could not be delivered yet", "temporarily undeliver", "wird weiterhin versucht", "verzögert", "a été retardé", "est retardé",
		"se seguirá intentando", "配信が遅れ"}
)

func saysFailed(low string) bool { return containsAny(low, failing) }
func saysDelayed(low string) bool {
	return containsAny(low, delaying) && !strings.Contains(low, "giving up")
}

func containsAny(s string, words []string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// autoSubjects are words that subjects of automatic answers begin with or hold, in lower case.
var autoSubjects = []string{
	"automatic reply", "auto reply", "auto-reply", "autoreply", "auto response", "auto-response", "autoresponse", "auto:", "automatic response", "automated reply", "automated response", "autosvar",
	"out of office", "out of the office", "out-of-office", "on vacation", "away from", "away until", "i am away", "i'm away", "vacation", "on leave", "on holiday", "absence", "absent",
	"réponse automatique", "reponse automatique", "absent du bureau", "en congé", "abwesenheit", "automatische antwort", "abwesend", "respuesta automática", "respuesta automatica", "fuera de la oficina",
	"ausente", "resposta automática", "risposta automatica", "fuori sede", "fuori ufficio", "automatisch antwoord", "afwezig", "automatiskt svar", "frånvaro", "automaattinen vastaus", "自動返信", "自動応答", "不在",
	"автоответ", "автоматический ответ", "自动回复", "自動回覆", "자동 회신", "autorespon",
}

// challenges are words of systems that ask the sender to prove himself.
var challenges = []string{"to deliver your message", "confirm that you", "verify that you are", "challenge", "boxbe", "spamarrest", "please confirm", "prove that you are", "confirmez que vous", "bitte bestätigen sie",
	"complete the following", "click the link below to", "to approve your message", "whitelist", "approved senders", "mailinblack", "confirm your email", "authentifier", "one time confirmation", "one-time"}

// challengeSubjects are words of their subjects.
var challengeSubjects = []string{"confirm", "verify", "verification", "challenge", "authoriz", "authentif", "approve your", "action required", "bestätig", "please reply", "[boxbe]", "message en attente", "sender", "your message to"}

// automatic recognises automatic answers (RFC 3834) and challenges.
func (r *bounceReader) automatic() (BounceKind, bool) {
	h := r.m.Header
	signs := 0
	auto := strings.ToLower(h.Get("Auto-Submitted"))
	if strings.HasPrefix(auto, "auto-replied") || strings.HasPrefix(auto, "auto-generated") || strings.HasPrefix(auto, "vacation") {
		signs += 2
	}
	for _, name := range [...]string{"X-Autoreply", "X-Autorespond", "X-Autoreply-From", "X-Auto-Reply-From", "X-Autoresponder", "X-Mail-Autoreply", "X-Vacation", "X-AutoReply-Domain", "X-FC-MachineGenerated", "X-POST-MessageClass"} {
		if h.Has(name) {
			signs += 2
			break
		}
	}
	if v := strings.ToLower(h.Get("Precedence")); v == "auto_reply" || v == "auto-reply" {
		signs += 2
	} else if v == "bulk" || v == "junk" {
		signs++
	}
	if strings.EqualFold(h.Get("X-Apple-Action"), "vacation") {
		signs += 2
	}
	if h.Has("X-Auto-Response-Suppress") {
		signs++
	}
	subject := strings.ToLower(r.m.Subject())
	if containsAny(subject, autoSubjects) && !strings.HasPrefix(subject, "re: ") {
		signs += 2
	}
	if path := strings.TrimSpace(h.Get("Return-Path")); path == "<>" {
		signs++
	}
	text := strings.ToLower(cut(strings.Join(r.lines, "\n"), 8<<10))
	if signs > 0 && containsAny(text, []string{"out of the office", "away on vacation", "on vacation", "i am away", "currently away", "out of office", "congé", "absent", "abwesend", "vacaciones", "vacation", "we have received your", "received your message"}) {
		signs++
	}
	if signs < 2 && !(signs == 1 && h.Has("In-Reply-To") && strings.HasPrefix(subject, "auto")) {
		if containsAny(subject, challengeSubjects) && challengeText(text) {
			r.answerer()
			return BounceChallenge, true
		}
		return "", false
	}
	r.answerer()
	r.out.Text = cut(strings.Join(r.lines, "\n"), maxBounceText)
	if containsAny(subject, challengeSubjects) && challengeText(text) || h.Has("X-Boxbe-Message-Id") {
		return BounceChallenge, true
	}
	return BounceAutoReply, true
}

// challengeText reports whether a text asks for a proof: one word of theirs is not enough.
func challengeText(low string) bool {
	n := 0
	for _, w := range challenges {
		if strings.Contains(low, w) {
			n++
		}
	}
	return n >= 2
}

// answerer takes the one whose mailbox answered as the recipient.
func (r *bounceReader) answerer() {
	r.out.Recipients = r.out.Recipients[:0]
	for _, b := range r.m.From() {
		if !b.Address.IsNull() {
			r.out.Recipients = append(r.out.Recipients, BounceRecipient{Address: b.Address, Text: b.Address.String()})
			break
		}
	}
}

// complaint reads the report of a complaint: RFC 5965, and messages of Microsoft's JMRP without a machine's part.
func (r *bounceReader) complaint() bool {
	if r.arf != nil {
		return r.readFeedback()
	}
	from := strings.ToLower(r.m.Header.Get("From"))
	jmrp := strings.Contains(from, "staff@hotmail.com") || strings.Contains(from, "staff@jmrp") || r.m.Header.Has("X-HmXmrOriginalRecipient") ||
		strings.HasPrefix(strings.ToLower(r.m.Subject()), "complaint about message from ")
	if !jmrp || r.origin == nil {
		return false
	}
	r.out.Kind, r.out.Feedback = BounceComplaint, "abuse"
	to := r.out.Original.Header.Get("X-HmXmrOriginalRecipient")
	if to == "" {
		to = r.out.Original.To
	}
	r.complained(to)
	return true
}

func (r *bounceReader) readFeedback() bool {
	raw := r.arf.Decoded()
	h := mail.Parse(append(append([]byte(nil), raw[:min(len(raw), 64<<10)]...), "\r\n\r\n"...), mail.Limits{}).Header
	r.out.Kind, r.out.Structured = BounceComplaint, true
	r.out.Feedback = strings.ToLower(strings.TrimSpace(h.Get("Feedback-Type")))
	r.out.ReportingMTA = withoutType(h.Get("Reporting-MTA"))
	for _, f := range h.All("Original-Rcpt-To") {
		if r.complained(f.Value()); len(r.out.Recipients) >= maxRecipients {
			break
		}
	}
	if len(r.out.Recipients) == 0 {
		for _, name := range [...]string{"Removal-Recipient", "Original-Recipient"} {
			r.complained(untyped(h.Get(name)))
		}
	}
	if len(r.out.Recipients) == 0 {
		r.complained(r.out.Original.To)
	}
	if r.out.Original.ReversePath == "" {
		r.out.Original.ReversePath = strings.Trim(h.Get("Original-Mail-From"), "<> ")
	}
	return true
}

func (r *bounceReader) complained(value string) {
	boxes, _ := mail.ParseMailboxes(value)
	for _, b := range boxes {
		text := b.Address.String()
		if b.Address.IsNull() {
			if text = strings.Trim(b.Raw, "<> "); text == "" {
				continue
			}
		}
		if len(r.out.Recipients) < maxRecipients {
			r.out.Recipients = append(r.out.Recipients, BounceRecipient{Address: b.Address, Text: text})
		}
	}
}

// sesNotice is what Amazon SES posts about a message (its developer guide, "Amazon SNS notification contents for Amazon SES", read 2026-11).
type sesNotice struct {
	Message          json.RawMessage `json:"Message"`
	NotificationType string          `json:"notificationType"`
	EventType        string          `json:"eventType"`
	Mail             struct {
		Source        string   `json:"source"`
		MessageID     string   `json:"messageId"`
		Destination   []string `json:"destination"`
		CommonHeaders struct {
			From      []string `json:"from"`
			To        []string `json:"to"`
			MessageID string   `json:"messageId"`
			Subject   string   `json:"subject"`
		} `json:"commonHeaders"`
	} `json:"mail"`
	Bounce struct {
		Type       string `json:"bounceType"`
		SubType    string `json:"bounceSubType"`
		Reporting  string `json:"reportingMTA"`
		Recipients []struct {
			Address    string `json:"emailAddress"`
			Action     string `json:"action"`
			Status     string `json:"status"`
			Diagnostic string `json:"diagnosticCode"`
		} `json:"bouncedRecipients"`
	} `json:"bounce"`
	Complaint struct {
		Type       string `json:"complaintFeedbackType"`
		Recipients []struct {
			Address string `json:"emailAddress"`
		} `json:"complainedRecipients"`
	} `json:"complaint"`
	Delivery struct {
		Recipients []string `json:"recipients"`
		Response   string   `json:"smtpResponse"`
		Reporting  string   `json:"reportingMTA"`
	} `json:"delivery"`
}

// notice reads a notice as JSON (Amazon SES by SNS and mail), alone or with text around it, its lines folded or not.
func (r *bounceReader) notice() bool {
	raw := ""
	for i, line := range r.lines {
		if t := strings.TrimSpace(line); strings.HasPrefix(t, "{") {
			raw = strings.Join(r.lines[i:], "\n")
			break
		} else if t != "" {
			return false
		}
	}
	if raw == "" || !strings.Contains(raw, "notificationType") && !strings.Contains(raw, "eventType") {
		return false
	}
	if before, _, ok := strings.Cut(raw, "\n\n--\n"); ok {
		raw = before
	}
	if before, _, ok := strings.Cut(raw, "\n--\n"); ok {
		raw = before
	}
	raw = strings.ReplaceAll(raw, "!\n ", "") // sendmail's way of breaking lines that are too long
	var n sesNotice
	if json.Unmarshal([]byte(raw), &n) != nil && json.Unmarshal([]byte(strings.ReplaceAll(raw, "\n", "")), &n) != nil {
		return false
	}
	if len(n.Message) > 0 {
		var inner string
		if json.Unmarshal(n.Message, &inner) != nil {
			inner = string(n.Message)
		}
		if n = (sesNotice{}); json.Unmarshal([]byte(inner), &n) != nil {
			return false
		}
	}
	r.out.Structured, r.out.Text = true, cut(strings.Join(r.lines, "\n"), maxBounceText)
	c := n.Mail.CommonHeaders
	r.out.Original = Original{MessageID: c.MessageID, ReversePath: n.Mail.Source, From: strings.Join(c.From, ", "), To: strings.Join(c.To, ", "), Subject: c.Subject}
	switch {
	case len(n.Bounce.Recipients) > 0:
		r.out.Kind, r.out.ReportingMTA = BounceFailed, withoutType(n.Bounce.Reporting)
		for _, b := range n.Bounce.Recipients[:min(len(n.Bounce.Recipients), maxRecipients)] {
			d := DSN{Recipients: []DSNRecipient{{Final: parsed(b.Address), FinalText: b.Address, Action: strings.ToLower(b.Action), Status: statusCode(b.Status), DiagnosticCode: b.Diagnostic}}}
			r.dsn = d
			r.fromStatus(&textRead{})
			if x := &r.out.Recipients[len(r.out.Recipients)-1]; x.Explained == "" {
				x.Explained = "SES: " + n.Bounce.Type + " " + n.Bounce.SubType
			}
		}
	case len(n.Complaint.Recipients) > 0:
		r.out.Kind, r.out.Feedback = BounceComplaint, n.Complaint.Type
		for _, b := range n.Complaint.Recipients[:min(len(n.Complaint.Recipients), maxRecipients)] {
			r.complained(b.Address)
		}
	case len(n.Delivery.Recipients) > 0:
		r.out.Kind, r.out.ReportingMTA = BounceDelivered, n.Delivery.Reporting
		for _, a := range n.Delivery.Recipients[:min(len(n.Delivery.Recipients), maxRecipients)] {
			r.out.Recipients = append(r.out.Recipients, BounceRecipient{Address: parsed(a), Text: a, Action: Delivered, Diagnostic: n.Delivery.Response,
				Status: findStatus(n.Delivery.Response, '2'), Reply: 250})
		}
	default:
		return false
	}
	return true
}
