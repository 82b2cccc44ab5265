package world

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"

	"postern/internal/mail"
	"postern/internal/smtp"
)

// senderDomain is a domain that mail is sent from, with the records its owner published.
type senderDomain struct{ name, spf, dmarc string }

// The domains of those who send, and of one who is impersonated.
const (
	shopDomain    = "boutique.example"
	cheeseDomain  = "fromagerie.example" // forgot the gateway in its SPF record
	cellarDomain  = "caves.example"      // as well, and never mends it
	agencyDomain  = "agence.example"
	hostingDomain = "hosting.example"
	bankDomain    = "banque.example" // somebody else's
)

func senderDomains() []senderDomain {
	return []senderDomain{
		{shopDomain, spfOfGateway, "v=DMARC1; p=reject"},
		{cheeseDomain, "v=spf1 ip4:127.0.40.7 -all", "v=DMARC1; p=none"},
		{cellarDomain, "v=spf1 ip4:127.0.40.8 -all", "v=DMARC1; p=none"},
		{agencyDomain, spfOfGateway, ""},
		{hostingDomain, spfOfGateway, "v=DMARC1; p=none"},
		{bankDomain, "v=spf1 ip4:127.0.40.9 -all", "v=DMARC1; p=reject"},
	}
}

// Sender is somebody who hands mail to the gateway: with a login at the submission door, or from a network at the relay door.
type Sender struct {
	IP             netip.Addr // where it connects from; invalid: the system's choice
	Hello          string
	User, Password string // none: no login
}

// The clients at the relay door.
var (
	cheeseClient  = Sender{IP: netip.MustParseAddr("127.0.30.1"), Hello: "web1.fromagerie.example"}
	agencyClient  = Sender{IP: netip.MustParseAddr("127.0.30.2"), Hello: "office.agence.example"}
	hostingClient = Sender{IP: netip.MustParseAddr("127.0.30.3"), Hello: "web17.hosting.example"}
)

// Send hands one message over. A refusal is in the result; the error says that there was no conversation.
func (s Sender) Send(ctx context.Context, at netip.AddrPort, env mail.Envelope, message []byte) (smtp.Result, error) {
	c, err := smtp.Dial(ctx, at, smtp.ClientOptions{Hostname: s.Hello, LocalAddr: s.IP})
	if err != nil {
		return smtp.Result{}, err
	}
	defer func() { _ = c.Close() }()
	if _, offered := c.Extension("STARTTLS"); offered {
		// The certificate was made a moment ago and nobody vouches for it.
		if err := c.StartTLS(ctx, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}); err != nil {
			return smtp.Result{}, err
		}
	}
	if s.User != "" {
		if err := c.Auth(ctx, s.User, s.Password); err != nil {
			return smtp.Result{}, err
		}
	}
	result, err := c.Send(ctx, env, message)
	if err != nil {
		return result, err
	}
	return result, c.Quit(ctx)
}

// said is the last word of a conversation: the first refusal, else the answer to the message.
func said(r smtp.Result) smtp.Reply {
	if !r.Mail.OK() {
		return r.Mail
	}
	if r.Data.Code == 0 {
		for _, one := range r.Recipients {
			if !one.OK() {
				return one
			}
		}
	}
	return r.Data
}

// queueID reads our name of an accepted message from the gateway's answer.
func queueID(r smtp.Reply) (mail.QueueID, error) {
	_, rest, ok := strings.Cut(r.Text(), "queued as ")
	if !ok {
		return "", fmt.Errorf("the answer names no queue ID: %s", r)
	}
	word, _, _ := strings.Cut(rest, " ")
	return mail.ParseQueueID(word)
}

// envelope makes an envelope from addresses that are known to be right.
func envelope(from string, to ...string) mail.Envelope {
	env := mail.Envelope{ReversePath: address(from)}
	for _, one := range to {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: address(one)})
	}
	return env
}

// address reads an address of this world; all of them are constants of this package.
func address(s string) mail.Address {
	at := strings.LastIndexByte(s, '@')
	return mail.Address{Local: s[:at], Domain: mail.Domain(s[at+1:])}
}
