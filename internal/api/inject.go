package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/compose"
	"postern/internal/intake"
	"postern/internal/mail"
	"postern/internal/user"
)

// Bounds of a request to send. A message's own bound is Options.MessageBytes.
const (
	maxSendBody   = 36 << 20 // a message of 25 MiB in base64, and its envelope
	maxSendTo     = 1000     // recipients of one request
	maxSendBatch  = 100      // messages of one request
	sendersAtOnce = 4        // messages of one request that are tested at the same time
	repeatIt      = "retry in some seconds with the same Idempotency-Key"
)

// SendBox is an address with a name, as the header shows it.
type SendBox struct {
	Address string `json:"address" maxLength:"320"`
	Name    string `json:"name,omitempty" maxLength:"255"`
}

// SendRecipient is somebody who gets the message.
type SendRecipient struct {
	SendBox
	Substitutions map[string]string `json:"substitutions,omitempty" doc:"Values of {{name}} for this recipient. Who has any gets a message of his own"`
}

// SendAttachment is a file that goes with the message.
type SendAttachment struct {
	Name      string `json:"name" maxLength:"255" doc:"File name"`
	Type      string `json:"type,omitempty" maxLength:"255" doc:"Media type; default application/octet-stream"`
	Content   []byte `json:"content" doc:"Base64"`
	ContentID string `json:"content_id,omitempty" maxLength:"128" doc:"Of an image that the HTML shows as cid:ID"`
}

// SendMessage is a message to send: parts from which it is written, or the whole of it in raw.
type SendMessage struct {
	From          *SendBox          `json:"from,omitempty" doc:"Author: an address of one of the customer's domains. Not with raw"`
	ReturnPath    string            `json:"return_path,omitempty" maxLength:"320" doc:"Where bounces go, as MAIL FROM says by SMTP; default: the address in from"`
	To            []SendRecipient   `json:"to" minItems:"1" maxItems:"1000" doc:"Who gets it, and whom the header shows. With raw: who gets it"`
	Cc            []SendBox         `json:"cc,omitempty" maxItems:"1000" doc:"Also get it, and are shown"`
	Bcc           []SendBox         `json:"bcc,omitempty" maxItems:"1000" doc:"Also get it, and are shown to nobody"`
	ReplyTo       []SendBox         `json:"reply_to,omitempty" maxItems:"10"`
	Subject       string            `json:"subject,omitempty" maxLength:"900"`
	Text          string            `json:"text,omitempty" doc:"Plain text"`
	HTML          string            `json:"html,omitempty"`
	Headers       map[string]string `json:"headers,omitempty" doc:"Further header fields, such as List-Unsubscribe; those that the gateway writes cannot be given"`
	Attachments   []SendAttachment  `json:"attachments,omitempty" maxItems:"100"`
	Substitutions map[string]string `json:"substitutions,omitempty" doc:"Values of {{name}} in subject, text, html and headers, where a recipient has none of his own"`
	Separate      bool              `json:"separate,omitempty" doc:"Each recipient in to gets a message of his own, which shows nobody else"`
	Raw           []byte            `json:"raw,omitempty" doc:"The whole message (RFC 5322) in base64, instead of from, subject, text, html, headers and attachments"`
}

// SendRequest sends one message.
type SendRequest struct {
	Customer string `json:"customer,omitempty" maxLength:"64" doc:"Whose mail it is. A customer's token sends his"`
	SendMessage
}

// SendBatch sends several messages.
type SendBatch struct {
	Customer string        `json:"customer,omitempty" maxLength:"64" doc:"Whose mail it is. A customer's token sends his"`
	Messages []SendMessage `json:"messages" minItems:"1" maxItems:"100" doc:"Each is taken or refused by itself; 1,000 recipients in all"`
}

func (r *SendRequest) scope() *string { return &r.Customer }
func (r *SendBatch) scope() *string   { return &r.Customer }

// SentMessage is a message that was taken.
type SentMessage struct {
	ID         mail.QueueID `json:"id" doc:"Queue ID: what became of it tells /v1/messages/{id}/trace"`
	State      State        `json:"state" enum:"queued,held"`
	Recipients []string     `json:"recipients" nullable:"false" doc:"Who gets it"`
	Score      float64      `json:"score" doc:"Points of the tests, 0 to 15"`
	Threshold  float64      `json:"threshold" doc:"Above it the message is held"`
	Hits       []Hit        `json:"hits,omitempty" doc:"Of a held message: the tests that fired"`
	Link       string       `json:"link,omitempty" doc:"Of a held message: its page, which opens without signing in"`
}

// SendRefusal is a recipient, or a whole message, that was not taken.
type SendRefusal struct {
	Message    int      `json:"message" doc:"Which of the batch, from 0"`
	Recipients []string `json:"recipients" nullable:"false" doc:"Who does not get it"`
	Kind       string   `json:"kind" doc:"Word of the problem, as in urn:postern:problem:WORD"`
	Code       int      `json:"code,omitempty" doc:"SMTP code of the refusal"`
	Enhanced   string   `json:"enhanced,omitempty"`
	Text       string   `json:"text" doc:"Why, and what to do"`
	Later      bool     `json:"later,omitempty" doc:"The same request may be taken later"`
	Link       string   `json:"link,omitempty" doc:"Of a message that was refused for its score: the page that says why"`
}

// Sent says what became of a request to send.
type Sent struct {
	Messages []SentMessage `json:"messages" nullable:"false" doc:"What was taken: stored durably, and delivered or held from now on"`
	Refused  []SendRefusal `json:"refused,omitempty" doc:"What was not"`
}

// addSend registers the way in for mail.
func (s *server) addSend() {
	a := over(user.MailSend).as("message.send").upTo(maxSendBody)
	add(s, http.MethodPost, "/v1/send", "send", "Send a message", a, s.send)
	add(s, http.MethodPost, "/v1/send/batch", "send-batch", "Send several messages", a, s.sendBatch)
}

func (s *server) send(ctx context.Context, in *customerBody[SendRequest, *SendRequest]) (*body[Sent], error) {
	return s.sendAll(ctx, in.Body.Customer, []SendMessage{in.Body.SendMessage})
}

func (s *server) sendBatch(ctx context.Context, in *customerBody[SendBatch, *SendBatch]) (*body[Sent], error) {
	return s.sendAll(ctx, in.Body.Customer, in.Body.Messages)
}

// posting is one message on its way to intake, with its place in the request.
type posting struct {
	intake.Injection
	message int
}

// sendAll takes all messages whose form is right, or none: a fault of form is the caller's and concerns the request. What the tests and lists say concerns
// each message by itself.
func (s *server) sendAll(ctx context.Context, customer string, messages []SendMessage) (*body[Sent], error) {
	if s.o.Submit == nil {
		return nil, problem(http.StatusNotFound, "no-sending", "this gateway takes no mail over HTTP; send it by SMTP")
	}
	if customer == "" {
		return nil, invalid("customer: is missing; say whose mail it is")
	}
	c := callOf(ctx)
	var all []posting
	recipients := 0
	for i, m := range messages {
		where := "body"
		if len(messages) > 1 {
			where = fmt.Sprintf("body.messages[%d]", i)
		}
		some, err := s.postings(m, where, messageSeed(c.seed, i))
		if err != nil {
			return nil, err
		}
		for _, p := range some {
			p.message, p.Customer, p.Credential, p.ClientIP = i, customer, c.who.Actor(), c.entry.IP
			recipients += len(p.Envelope.Recipients)
			all = append(all, p)
		}
		if recipients > maxSendTo {
			return nil, invalid("%s: the request has more than %d recipients; send it in several", where, maxSendTo)
		}
	}
	out := s.submit(ctx, all)
	about(ctx, idsOf(out.Messages), fmt.Sprintf("%d taken, %d refused", len(out.Messages), len(out.Refused)))
	if len(out.Messages) == 0 {
		return nil, refused(c.w, out.Refused)
	}
	return &body[Sent]{out}, nil
}

// messageSeed is what names the Message-ID of a message that is sent again with the same Idempotency-Key; "" for none.
func messageSeed(seed string, i int) string {
	if seed == "" {
		return ""
	}
	return fmt.Sprintf("%s %d", seed, i)
}

// submit hands messages over, some at a time, and gathers the answers in their order.
func (s *server) submit(ctx context.Context, all []posting) Sent {
	type answer struct {
		receipt intake.Receipt
		err     error
	}
	answers := make([]answer, len(all))
	var group sync.WaitGroup
	slots := make(chan struct{}, sendersAtOnce)
	for i, p := range all {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := ctx.Err(); err != nil { // the request's time is over: what is not begun is told
				answers[i].err = &intake.Refusal{Code: 451, Enhanced: "4.3.0", Text: "The time of the request was over before this message was looked at; " + repeatIt}
				return
			}
			answers[i].receipt, answers[i].err = s.o.Submit(ctx, p.Injection)
		})
	}
	group.Wait()
	out := Sent{Messages: []SentMessage{}}
	for i, a := range answers {
		for _, x := range a.receipt.Refused {
			out.Refused = append(out.Refused, refusalOf(all[i].message, []string{x.Address.String()}, x.Why, ""))
		}
		if a.err != nil {
			var no *intake.Refusal
			if !errors.As(a.err, &no) {
				no = &intake.Refusal{Code: 451, Enhanced: "4.3.0", Text: "The message could not be taken; try again later"}
			}
			link := ""
			if no.ID != "" && s.o.Link != nil {
				link = s.o.Link(no.ID)
			}
			if len(a.receipt.Refused) < len(all[i].Envelope.Recipients) { // else each of them has his own reason already
				out.Refused = append(out.Refused, refusalOf(all[i].message, addressesOf(all[i].Envelope.Recipients), no, link))
			}
			continue
		}
		out.Messages = append(out.Messages, sentOf(all[i], a.receipt))
	}
	return out
}

func sentOf(p posting, r intake.Receipt) SentMessage {
	out := SentMessage{ID: r.ID, State: Queued, Score: r.Verdict.Score, Threshold: r.Verdict.Threshold, Link: r.Link}
	for _, x := range p.Envelope.Recipients {
		if !slices.ContainsFunc(r.Refused, func(no intake.RefusedRecipient) bool { return no.Address == x.Address }) {
			out.Recipients = append(out.Recipients, x.Address.String())
		}
	}
	if r.Held {
		out.State = Held
		for _, h := range r.Verdict.Hits {
			out.Hits = append(out.Hits, Hit{Test: h.Test, Points: h.Points, Evidence: h.Evidence})
		}
	}
	return out
}

func addressesOf(recipients []mail.Recipient) []string {
	out := make([]string, len(recipients))
	for i, r := range recipients {
		out[i] = r.Address.String()
	}
	return out
}

func refusalOf(message int, recipients []string, no *intake.Refusal, link string) SendRefusal {
	kind := "refused"
	if no.Temporary() {
		kind = "later"
	}
	return SendRefusal{Message: message, Recipients: recipients, Kind: kind, Code: no.Code, Enhanced: no.Enhanced, Text: strings.ReplaceAll(no.Text, "\n", "; "), Later: no.Temporary(), Link: link}
}

// refused is the problem of a request of which nothing was taken: the first reason, with all of them below.
func refused(w http.ResponseWriter, all []SendRefusal) error {
	first := all[0]
	status := http.StatusUnprocessableEntity
	if !slices.ContainsFunc(all, func(r SendRefusal) bool { return !r.Later }) {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "60")
	}
	p := because(status, first.Kind, foreign(first.Text))
	p.Instance = first.Link
	for _, r := range all {
		p.Errors = append(p.Errors, &huma.ErrorDetail{Location: fmt.Sprintf("messages[%d]", r.Message), Message: r.Text, Value: r.Recipients})
	}
	return p
}

func idsOf(all []SentMessage) string {
	ids := make([]string, 0, 20)
	for _, m := range all[:min(len(all), 15)] {
		ids = append(ids, string(m.ID))
	}
	return strings.Join(ids, " ")
}

// postings turns one message of a request into those that are handed over: one, or one for each recipient. where names it in errors.
func (s *server) postings(m SendMessage, where, seed string) ([]posting, error) {
	path, err := returnPath(m, where)
	if err != nil {
		return nil, err
	}
	to, err := recipientsOf(m, where)
	if err != nil {
		return nil, err
	}
	if len(m.Raw) > 0 {
		if m.From != nil || m.Subject != "" || m.Text != "" || m.HTML != "" || len(m.Headers)+len(m.Attachments)+len(m.Cc)+len(m.ReplyTo)+len(m.Substitutions) > 0 || m.Separate || ownValues(m) {
			return nil, invalid("%s.raw: is the whole message; leave out the parts, cc and substitutions", where)
		}
		return s.whole(where, path, slices.Concat(to.to, to.bcc), m.Raw)
	}
	parts, err := partsOf(m, to, where)
	if err != nil {
		return nil, err
	}
	parts.Date = s.o.Now()
	if !m.Separate && !ownValues(m) {
		if seed != "" {
			parts.MessageID = s.messageID(seed)
		}
		return s.written(where, path, slices.Concat(to.to, to.cc, to.bcc), parts, m.Substitutions)
	}
	if len(m.Cc)+len(m.Bcc) > 0 {
		return nil, invalid("%s: cc and bcc do not go with a message for each recipient; put everybody into to", where)
	}
	var out []posting
	for i, r := range m.To {
		own := parts
		own.To = parts.To[i : i+1]
		if seed != "" {
			own.MessageID = s.messageID(fmt.Sprintf("%s/%d", seed, i))
		}
		values := maps.Clone(m.Substitutions)
		if values == nil {
			values = map[string]string{}
		}
		maps.Copy(values, r.Substitutions)
		some, err := s.written(fmt.Sprintf("%s.to[%d]", where, i), path, to.to[i:i+1], own, values)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

// messageID is the same for the same seed, so that a message that is sent twice by mistake has one Message-ID.
func (s *server) messageID(seed string) string {
	sum := sha256.Sum256([]byte(seed))
	return hex.EncodeToString(sum[:16]) + "@" + s.o.Hostname
}

func ownValues(m SendMessage) bool {
	return slices.ContainsFunc(m.To, func(r SendRecipient) bool { return len(r.Substitutions) > 0 })
}

// written writes a message from its parts.
func (s *server) written(where string, path mail.Address, to []mail.Address, parts compose.Message, values map[string]string) ([]posting, error) {
	var err error
	if values != nil {
		if parts, err = parts.Fill(values); err != nil {
			return nil, fault(where, err)
		}
	}
	raw, err := parts.Bytes()
	if err != nil {
		return nil, fault(where, err)
	}
	return s.whole(where, path, to, raw)
}

// whole makes the posting of a written message.
func (s *server) whole(where string, path mail.Address, to []mail.Address, raw []byte) ([]posting, error) {
	if most := s.o.MessageBytes; most > 0 && int64(len(raw)) > most {
		return nil, problem(http.StatusRequestEntityTooLarge, "too-large", "%s: the message has %d bytes; %d at most", where, len(raw), most)
	}
	env := mail.Envelope{ReversePath: path}
	seen := map[mail.Address]bool{}
	for _, a := range to {
		if !seen[a] {
			seen[a] = true
			env.Recipients = append(env.Recipients, mail.Recipient{Address: a})
		}
	}
	return []posting{{Injection: intake.Injection{Envelope: env, Message: raw}}}, nil
}

// fault tells a fault of a part with its place in the request.
func fault(where string, err error) error {
	var f *compose.Fault
	if errors.As(err, &f) {
		return invalid("%s.%v", where, foreign(f.Error()))
	}
	return invalid("%s: %v", where, err)
}

// returnPath is MAIL FROM: what the request names, else the author.
func returnPath(m SendMessage, where string) (mail.Address, error) {
	text, field := m.ReturnPath, ".return_path"
	if text == "" && m.From != nil {
		text, field = m.From.Address, ".from.address"
	}
	if text == "" {
		if len(m.Raw) > 0 {
			return mail.Address{}, invalid("%s.return_path: is missing; with raw say where bounces go", where)
		}
		return mail.Address{}, invalid("%s.from: is missing; give the address that the message is from", where)
	}
	return addressIn(text, where+field)
}

func addressIn(text, where string) (mail.Address, error) {
	a, err := mail.ParseAddress(strings.TrimSpace(text))
	if err != nil || a.IsNull() {
		return mail.Address{}, invalid("%s: %q is no mail address such as anna@example.org", where, clip(text, 80))
	}
	return a, nil
}

// sendingTo are the recipients of a message, read.
type sendingTo struct{ to, cc, bcc []mail.Address }

func recipientsOf(m SendMessage, where string) (out sendingTo, err error) {
	read := func(text, place string, into *[]mail.Address) error {
		a, err := addressIn(text, place)
		*into = append(*into, a)
		return err
	}
	for i, r := range m.To {
		if err := read(r.Address, fmt.Sprintf("%s.to[%d].address", where, i), &out.to); err != nil {
			return out, err
		}
	}
	for i, r := range m.Cc {
		if err := read(r.Address, fmt.Sprintf("%s.cc[%d].address", where, i), &out.cc); err != nil {
			return out, err
		}
	}
	for i, r := range m.Bcc {
		if err := read(r.Address, fmt.Sprintf("%s.bcc[%d].address", where, i), &out.bcc); err != nil {
			return out, err
		}
	}
	return out, nil
}

// partsOf are the parts as compose wants them.
func partsOf(m SendMessage, to sendingTo, where string) (compose.Message, error) {
	out := compose.Message{Subject: m.Subject, Text: m.Text, HTML: m.HTML}
	if m.From == nil {
		return out, invalid("%s.from: is missing; give the address that the message is from", where)
	}
	from, err := addressIn(m.From.Address, where+".from.address")
	if err != nil {
		return out, err
	}
	out.From = compose.Mailbox{Name: m.From.Name, Address: from}
	for i, r := range m.To {
		out.To = append(out.To, compose.Mailbox{Name: r.Name, Address: to.to[i]})
	}
	for i, r := range m.Cc {
		out.Cc = append(out.Cc, compose.Mailbox{Name: r.Name, Address: to.cc[i]})
	}
	for i, r := range m.ReplyTo {
		a, err := addressIn(r.Address, fmt.Sprintf("%s.reply_to[%d].address", where, i))
		if err != nil {
			return out, err
		}
		out.ReplyTo = append(out.ReplyTo, compose.Mailbox{Name: r.Name, Address: a})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		out.Fields = append(out.Fields, compose.Field{Name: name, Value: m.Headers[name]})
	}
	for _, a := range m.Attachments {
		out.Attachments = append(out.Attachments, compose.Attachment{Name: a.Name, Type: a.Type, Content: a.Content, ContentID: a.ContentID})
	}
	return out, nil
}
