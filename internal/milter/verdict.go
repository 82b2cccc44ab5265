package milter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/mail"
)

// Our header fields. Nobody else may write a field whose name begins with X-Postern-.
const (
	scoreField  = "X-Postern-Score"
	statusField = "X-Postern-Status"
)

// maxForged bounds the fields of ours in one message: each costs the mail server a search.
const maxForged = 100

// judged returns the answer to the message under way.
func (x *session) judged(ctx context.Context) []byte {
	set := x.server.settings.Load()
	log := x.server.o.Logger.With("mta_id", clip(x.macros["i"], 40))
	forged := 0
	for _, f := range x.forged {
		forged += f.count
	}
	switch {
	case forged > maxForged:
		x.server.o.Count("rejected")
		log.Info("milter: refused, too many fields of ours", "fields", forged)
		return reply(550, "5.6.0", fmt.Sprintf("The message has %d header fields that begin with X-Postern-; they are not for senders", forged))
	case x.tooLarge:
		x.server.o.Count("too_large")
		log.Warn("milter: message above limits.message_size is not tested", "bytes", x.size, "limit", x.server.o.Limits.MessageBytes, "then", set.TooLarge)
		return x.untested(set.TooLarge, "larger than the filter takes")
	}
	customer, authenticated, credential := x.customer(set)
	if customer.Suspended {
		x.server.o.Count("suspended")
		log.Info("milter: refused, customer is suspended", "account", customer.ID)
		return reply(550, "5.7.1", "Customer "+customer.ID+" is suspended; ask the operator")
	}
	var v filter.Verdict
	err := errors.New("no memory left for messages (limits.in_flight)")
	if !x.noRoom {
		err = errors.New("the filter failed")
		x.server.contain("message", func() {
			now := x.server.o.Now()
			v, err = x.server.o.Filter.Run(ctx, filter.Input{
				QueueID: mail.QueueID(atom(x.macros["i"])), Message: mail.Parse(x.complete(now, authenticated), mail.Limits{}), Envelope: x.envelope, ClientIP: x.clientAddr(), Hello: x.hello,
				Authenticated: authenticated, Credential: credential, Customer: customer, Egress: x.server.o.Accounts.Pool(customer.Pool).Egress,
				Received: now, Now: now,
			})
		})
	}
	if errors.Is(err, filter.ErrUnscannable) && set.OnError == TempFail {
		// It will be as large the next time: as at the gateway's own doors, the client hears that now.
		x.server.o.Count("rejected")
		log.Info("milter: refused, too large for a scanner", "account", customer.ID, "error", err)
		return reply(552, "5.3.4", "The message is larger than the scanner of this server takes; send less at a time")
	}
	if err != nil {
		x.server.o.Count("error")
		log.Error("milter: message not tested", "account", customer.ID, "error", err, "then", set.OnError)
		return x.untested(set.OnError, "the filter failed")
	}
	x.server.o.Tested(v)
	return x.answer(set, v, customer, log.Info)
}

// customer says whose the message is. authenticated tells that the client logged in at the mail server, credential as whom.
func (x *session) customer(set *Settings) (c account.Customer, authenticated bool, credential string) {
	accounts := x.server.o.Accounts
	credential = x.macros["auth_authen"]
	authenticated = credential != ""
	if known, ok := accounts.Credential(strings.ToLower(credential)); authenticated && ok && !known.Revoked {
		if c, ok := accounts.Customer(known.Customer); ok {
			return c, true, known.User
		}
	}
	if ip := x.clientAddr(); ip.IsValid() {
		if c, ok := accounts.ByNetwork(ip); ok {
			return c, authenticated, credential
		}
	}
	if c, ok := accounts.Customer(set.Customer); ok {
		return c, authenticated, credential
	}
	return account.Customer{Threshold: set.Threshold}, authenticated, credential
}

// complete is the message as it will leave: on top the Received field of the mail server, which it does not show to milters.
func (x *session) complete(now time.Time, authenticated bool) []byte {
	raw := make([]byte, 0, len(x.header)+2+len(x.body))
	raw = append(append(append(raw, x.header...), "\r\n"...), x.body...)
	return mail.Edit(raw, nil, x.received(now, authenticated))
}

// received is written in the form of Postern's own trace field (RFC 5321 4.4), so that the tests read it the same way.
func (x *session) received(now time.Time, authenticated bool) string {
	or := func(s, other string) string {
		if s == "" {
			return other
		}
		return s
	}
	from := "[unknown]"
	if ip := x.clientAddr(); ip.Is4() {
		from = "[" + ip.String() + "]"
	} else if ip.IsValid() {
		from = "[IPv6:" + ip.String() + "]"
	}
	name := or(x.macros["client_name"], x.client.name)
	if name != "" && name != "unknown" && !strings.HasPrefix(name, "[") {
		from = atom(name) + " " + from
	}
	protocol := "ESMTP"
	if x.envelope.SMTPUTF8 {
		protocol = "UTF8SMTP"
	}
	if x.macros["tls_version"] != "" {
		protocol += "S"
	}
	if authenticated {
		protocol += "A"
	}
	recipient := ""
	if x.recipients == 1 && len(x.envelope.Recipients) == 1 && !x.envelope.Recipients[0].Address.NeedsSMTPUTF8() {
		recipient = " for <" + x.envelope.Recipients[0].Address.String() + ">"
	}
	return fmt.Sprintf("Received: from %s (%s) by %s (Postern) with %s id %s%s; %s", atom(or(x.hello, "unknown")), from,
		atom(or(x.macros["j"], x.server.o.Hostname)), protocol, atom(or(x.macros["i"], "unknown")), recipient, now.Format(time.RFC1123Z))
}

// atom keeps a word from outside from breaking out of its place in the field.
func atom(s string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`()<>;"\,`, r) {
			return r
		}
		return '?'
	}, clip(s, 255))
}

// answer turns a verdict into what the mail server is to do.
func (x *session) answer(set *Settings, v filter.Verdict, c account.Customer, log func(string, ...any)) []byte {
	fields := []string{scoreField, fmt.Sprintf("%.1f", v.Score), statusField, status(v)}
	if !v.Held {
		x.server.o.Count("clean")
		return x.passes(fields, "")
	}
	top := "no single test"
	if len(v.Hits) > 0 {
		top = v.Hits[0].Test
	}
	why := fmt.Sprintf("score %.1f is above %.1f (%s first)", v.Score, v.Threshold, top)
	if v.Score <= v.Threshold {
		why = top + " holds it whatever the score"
	}
	event := map[string]string{Quarantine: "quarantined", Reject: "rejected", Tag: "tagged"}[set.Action]
	x.server.o.Count(event)
	log("milter: message "+event, "account", c.ID, "score", v.Score, "threshold", v.Threshold, "test", top)
	switch set.Action {
	case Reject:
		return reply(550, "5.7.1", "Refused: "+why)
	case Tag:
		return x.passes(fields, "")
	}
	return x.passes(fields, "Postern: "+why)
}

// untested is the answer to a message without a verdict.
func (x *session) untested(then, why string) []byte {
	if then == TempFail {
		return reply(451, "4.3.0", "The message could not be tested; try again later")
	}
	return x.passes([]string{statusField, "Unknown, not tested: " + why}, "")
}

// passes lets the message go, without the fields that only we may write and with ours; with a reason it goes into quarantine.
func (x *session) passes(fields []string, quarantine string) []byte {
	var b []byte
	for _, f := range x.forged {
		// From the last to the first: Postfix counts anew after each removal, Sendmail does not.
		for i := f.count; i > 0; i-- {
			b = appendPacket(b, answerChangeHeader, string(binary.BigEndian.AppendUint32(nil, uint32(i))), f.name, "\x00\x00")
		}
	}
	space := ""
	if x.terms.options&leadingSpace != 0 {
		space = " "
	}
	for i := 0; i+1 < len(fields); i += 2 {
		b = appendPacket(b, answerAddHeader, fields[i], "\x00", space, fields[i+1], "\x00")
	}
	if quarantine != "" {
		b = appendPacket(b, answerQuarantine, quarantine, "\x00")
	}
	return appendPacket(b, answerAccept)
}

// reply is an SMTP reply. The text must hold no % (it is a format to Sendmail) and one line.
func reply(code int, enhanced, text string) []byte {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '%' {
			return '?'
		}
		return r
	}, clip(text, 400))
	return appendPacket(nil, answerReply, fmt.Sprintf("%d %s %s\x00", code, enhanced, text))
}

// maxStatusLine is where the list of tests is folded, in octets (RFC 5322 2.1.1: 78 at most).
const maxStatusLine = 76

// status is the value of the status field, in the form that mail programs know from SpamAssassin; lines are folded with LF, which the
// mail server makes CRLF.
func status(v filter.Verdict) string {
	yes := "No"
	if v.Held {
		yes = "Yes"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, score=%.1f required=%.1f\n\ttests=", yes, v.Score, v.Threshold)
	line := len("\ttests=")
	for i, h := range v.Hits {
		if i > 0 {
			b.WriteByte(',')
			line++
		}
		if line+len(h.Test) >= maxStatusLine {
			b.WriteString("\n\t")
			line = 1
		}
		b.WriteString(h.Test)
		line += len(h.Test)
	}
	if len(v.Hits) == 0 {
		b.WriteString("none")
	}
	return b.String()
}
