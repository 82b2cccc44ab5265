package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// HTTP is the door of messages that come through the API: its client proved himself with a token before, so Submit takes his customer's id.
const HTTP Door = "http"

// Injection is a message that came through the API.
type Injection struct {
	Customer   string // account.Customer.ID: the caller has checked that the client may send for him
	Credential string // what the journal and the filter know the client by, such as "token:ID"
	ClientIP   netip.Addr
	Envelope   mail.Envelope // Recipients are those asked for
	Message    []byte        // as it would come by SMTP; line ends may be LF
}

// Receipt says what became of an injection: the message is stored, and will be delivered or waits for a person.
type Receipt struct {
	ID      mail.QueueID
	Held    bool
	Verdict filter.Verdict
	Link    string             // the message's page; "" when it is not held
	Refused []RefusedRecipient // recipients who are not written to; all others are
}

// RefusedRecipient is a recipient who was not taken, with the reason.
type RefusedRecipient struct {
	Address mail.Address
	Why     *Refusal
}

// Refusal is why an injection, or one of its recipients, was not taken: what a client would hear by SMTP.
type Refusal struct {
	Code     int          // SMTP reply code: 4xx may be tried again, 5xx may not
	Enhanced string       // "5.7.1"
	Text     string       // one or more lines, ASCII
	ID       mail.QueueID // of a message that was refused for its score: its verdict is kept; "" otherwise
}

// Error is the text.
func (r *Refusal) Error() string { return r.Text }

// Temporary reports whether the same injection may be taken later.
func (r *Refusal) Temporary() bool { return r.Code/100 == 4 }

// Submit takes a message in as the submission door does: the same binding of identities, suppression, limits, tests, and the same promise: it returns
// without an error only when the message is on stable storage. Every "no" is a *Refusal; nothing is stored then. A message whose every recipient is
// refused is refused.
func (in *Intake) Submit(ctx context.Context, sub Injection) (Receipt, error) {
	raw, err := canonical(sub.Message)
	if err != nil {
		return Receipt{}, err
	}
	s := &session{in: in, door: HTTP, known: true, conn: &smtp.Conn{ClientIP: sub.ClientIP, Listener: string(HTTP)},
		credential: account.Credential{User: sub.Credential, Customer: sub.Customer}}
	s.customer.ID = sub.Customer
	in.reverse(ctx, s)
	asked := sub.Envelope.Recipients
	t := &smtp.Transaction{Envelope: sub.Envelope, DeclaredSize: int64(len(raw))}
	t.Envelope.Recipients = nil
	header, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	t.Envelope.EightBit, t.Envelope.SMTPUTF8 = !isASCII(raw), !isASCII(header) || sub.Envelope.ReversePath.NeedsSMTPUTF8()
	for _, r := range asked {
		t.Envelope.SMTPUTF8 = t.Envelope.SMTPUTF8 || r.Address.NeedsSMTPUTF8()
	}
	if err := s.Mail(ctx, t); err != nil {
		return Receipt{}, refusal(err)
	}
	var out Receipt
	for _, r := range asked {
		if err := s.Rcpt(ctx, t, r); err != nil {
			why := refusal(err)
			if why.Temporary() { // all or none: the client repeats the whole
				return Receipt{}, why
			}
			out.Refused = append(out.Refused, RefusedRecipient{r.Address, why})
			continue
		}
		t.Envelope.Recipients = append(t.Envelope.Recipients, r)
	}
	switch {
	case len(asked) == 0:
		return Receipt{}, &Refusal{Code: 554, Enhanced: "5.5.1", Text: "The message has no recipients"}
	case len(t.Envelope.Recipients) == 0:
		return out, &Refusal{Code: 550, Enhanced: "5.7.1", Text: out.Refused[0].Why.Text}
	}
	if _, err := s.Data(ctx, t, raw); err != nil {
		why := refusal(err)
		if s.outcome.verdict.Held && !why.Temporary() {
			why.ID = s.outcome.id
		}
		return Receipt{}, why
	}
	out.ID, out.Held, out.Verdict = s.outcome.id, s.outcome.verdict.Held, s.outcome.verdict
	if out.Held {
		out.Link = in.o.Links.For(out.ID, in.o.Now())
	}
	return out, nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// outcome is what a session of door HTTP leaves of its message.
type outcome struct {
	id      mail.QueueID
	verdict filter.Verdict
}

// refusal turns what a session answers into what Submit does.
func refusal(err error) *Refusal {
	var e *smtp.Error
	if !errors.As(err, &e) {
		return &Refusal{Code: 451, Enhanced: "4.3.0", Text: "The message could not be taken; try again later"}
	}
	return &Refusal{Code: e.Code, Enhanced: e.Enhanced.String(), Text: e.Text}
}

// canonical returns the message with CRLF line ends. What a server on the way could take for another line end, or for the message's end, is refused, as
// it is by SMTP: a CR without LF, a NUL.
func canonical(raw []byte) ([]byte, error) {
	lone := 0 // LF without CR
	for i, c := range raw {
		switch {
		case c == 0:
			return nil, &Refusal{Code: 554, Enhanced: "5.6.0", Text: fmt.Sprintf("The message has a NUL byte at %d; remove it", i)}
		case c == '\r' && (i+1 == len(raw) || raw[i+1] != '\n'):
			return nil, &Refusal{Code: 554, Enhanced: "5.6.0", Text: fmt.Sprintf("The message has a carriage return without line feed at byte %d; end lines with CRLF or LF", i)}
		case c == '\n' && (i == 0 || raw[i-1] != '\r'):
			lone++
		}
	}
	end := len(raw) == 0 || raw[len(raw)-1] != '\n'
	if lone == 0 && !end {
		return raw, nil
	}
	out := make([]byte, 0, len(raw)+lone+2)
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	if end {
		out = append(out, '\r', '\n')
	}
	return out, nil
}
