package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/suppression"
)

// SetRefuseSuppressed says whether recipients who are not written to are refused at RCPT (true, the beginning), or accepted and bounced by delivery.
func (in *Intake) SetRefuseSuppressed(refuse bool) { in.acceptSuppressed.Store(!refuse) }

// Suppressed returns the refusal of a recipient whom a customer does not write to, for every door alike; nil when there is none, or when such
// recipients are accepted. It counts a hit, so ask once for a recipient. Our own notices do not come this way.
func (in *Intake) Suppressed(ctx context.Context, customer string, to mail.Address) error {
	if in.o.Suppression == nil || in.acceptSuppressed.Load() {
		return nil
	}
	e, found, err := in.o.Suppression.Check(ctx, customer, to)
	switch {
	case err != nil:
		in.o.Logger.Error("the list of addresses that are not written to cannot be read", "account", customer, "error", err)
		return &smtp.Error{Code: 451, Enhanced: smtp.Enhanced{4, 3, 0}, Text: "The recipient could not be checked; try again later"}
	case !found:
		return nil
	}
	in.o.Count("refused:suppressed")
	return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: suppressedText(e)}
}

// suppressedText is what a sender's software hears: why, since when, what the receiver said, and who can mend it. Two lines at most, ASCII.
func suppressedText(e suppression.Entry) string {
	what := "This address is"
	if e.Address.Local == "" {
		what = "Addresses at " + string(e.Address.Domain) + " are"
	}
	text := fmt.Sprintf("Not sent: suppressed since %s, %s", e.Since.UTC().Format(time.DateOnly), reasonText[e.Reason])
	if !e.Until.IsZero() {
		text += fmt.Sprintf("; tried again from %s on", e.Until.UTC().Format(time.DateOnly))
	}
	second := what + " on the suppression list of this gateway; its operator can lift it"
	if v := e.Evidence; v.Text != "" {
		said := strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", v.Code, v.Enhanced, v.Text)), " ")
		second = fmt.Sprintf("Its server said: %s (this gateway's operator can lift it)", shortened(strings.TrimPrefix(said, "0 "), 160))
	}
	return ascii(text) + "\n" + ascii(second)
}

// reasonText are the reasons in a few words, for programs' logs; people read them in their language elsewhere.
var reasonText = map[suppression.Reason]string{
	suppression.MailboxFull:  "the mailbox was full again and again",
	suppression.Suspended:    "the mailbox is closed",
	suppression.Unwilling:    "the recipient does not take mail from you",
	suppression.UnknownUser:  "there is no such recipient",
	suppression.NoMail:       "the domain takes no mail",
	suppression.Complaint:    "the recipient reported your mail as spam",
	suppression.Unsubscribed: "the recipient unsubscribed",
	suppression.ByOperator:   "the operator decided so",
	suppression.BySender:     "you decided so",
}

func shortened(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// ascii replaces what an SMTP reply must not hold (RFC 5321 4.2).
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// suppressed refuses a recipient in a session, and writes it down.
func (s *session) suppressed(ctx context.Context, env mail.Envelope, to mail.Address) error {
	err := s.in.Suppressed(ctx, s.customer.ID, to)
	var refusal *smtp.Error
	if errors.As(err, &refusal) && refusal.Code >= 500 {
		s.in.o.Journal.Post(journal.Fact{Kind: journal.Suppressed, At: s.in.o.Now(), Customer: s.customer.ID, Credential: s.credential.User, ClientIP: s.conn.ClientIP,
			ReversePath: env.ReversePath.String(), Recipient: to.String(), Code: refusal.Code, Enhanced: "5.7.1", Text: strings.ReplaceAll(refusal.Text, "\n", ". "), Actor: "rule"})
	}
	return err
}
