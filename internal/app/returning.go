package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"postern/internal/account"
	"postern/internal/config"
	"postern/internal/dkim"
	"postern/internal/feedback"
	"postern/internal/intake"
	"postern/internal/mail"
	"postern/internal/returnpath"
	"postern/internal/smtp"
	"postern/internal/spool"
)

// returning is what comes back: the references in our mail, and the door where mail to them is read.
type returning struct {
	codec  *returnpath.Codec
	door   *feedback.Door
	domain mail.Domain // delivery.return_path.domain
	relay  bool        // the relay's listener takes what comes back too
}

// openReturning reads the key of references, or makes one at the first start.
func (a *App) openReturning(_ context.Context, c *config.Config) error {
	keys, err := returnKeys(c)
	if err != nil {
		return err
	}
	r := c.Delivery.ReturnPath
	a.returning = returning{domain: r.Domain, relay: r.AtRelay}
	if a.returning.codec, err = returnpath.New(keys...); err != nil {
		return err
	}
	operator := c.Notice.Operator
	if operator.IsNull() {
		operator = c.Notice.From
	}
	if operator.IsNull() {
		operator = mail.Address{Local: "postmaster", Domain: mail.Domain(a.host)} // as notices have it
	}
	a.returning.door, err = feedback.NewDoor(feedback.DoorOptions{Codec: a.returning.codec, Takes: a.takesReturns, Accounts: a.accounts, Journal: a.journal, Notices: a.notices,
		Operator: operator, Feedback: a.feedback, Heard: a.feedback.Heard, Complaints: r.Complaints, Reporters: r.Reporters, Signed: a.signedBy, Knowledge: a.knowledge,
		Logger: a.log, Hops: c.Limits.Hops, Reports: reportAddresses(c), Report: a.tookReport, MaxBytes: max(10<<20, int64(c.Reports.Max)),
		Count: a.metrics.events("postern_return_events_total", "What came to return addresses: returned (by category), late-delay, confirmed, auto-reply, complaint, unread, and what was refused, by reason.")})
	return err
}

// returnKeys are the keys of references, the newest first.
func returnKeys(c *config.Config) ([][]byte, error) {
	if key := c.Delivery.ReturnPath.Key; key != "" {
		return returnpath.ReadKeys([]byte(key))
	}
	path := filepath.Join(c.DataDir, "return-path.key")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		fresh := make([]byte, 32)
		if _, err := rand.Read(fresh); err != nil {
			return nil, err
		}
		text = []byte(hex.EncodeToString(fresh) + "\n")
		err = writeFile(path, text)
	}
	if err != nil {
		return nil, fmt.Errorf("the key of return addresses: %w", err)
	}
	keys, err := returnpath.ReadKeys(text)
	if err != nil {
		return nil, fmt.Errorf("the key of return addresses in %s: %w; remove the file to make a new one (bounces of mail sent until now are then refused)", path, err)
	}
	return keys, nil
}

// takesReturns reports whether mail for return addresses of a domain comes to us.
func (a *App) takesReturns(d mail.Domain) bool {
	return d != "" && (d == a.returning.domain || a.accounts.ReturnDomain(d))
}

// returnDomain is the domain of the return addresses of a customer's mail; "" when the sender's own reverse path is kept. Under our own domain SPF
// no longer speaks for the author's, so what leaves without a signature of that domain keeps its path: DMARC would fail.
func (a *App) returnDomain(c account.Customer, path mail.Address, author string) mail.Domain {
	if path.IsNull() || c.ReturnPath == account.ReturnPathKept || !a.accounts.OwnsDomain(c, path.Domain) {
		return ""
	}
	if d := c.ReturnDomain(); d != "" {
		return d
	}
	from, err := mail.ParseAddress(author)
	if err != nil || a.returning.domain == "" || !a.config.Load().DKIM.Sign || len(a.accounts.SigningKeysFor(c.ID, from.Domain)) == 0 {
		return ""
	}
	return a.returning.domain
}

// leaving is the reverse path of a message as its receiver will see it, for the tests; other is false where it is the sender's.
func (a *App) leaving(c account.Customer, id mail.QueueID, path mail.Address, author string) (mail.Address, bool) {
	d := a.returnDomain(c, path, author)
	if d == "" {
		return mail.Address{}, false
	}
	return mail.Address{Local: a.returning.codec.Local(id, -1), Domain: d}, true
}

// maxOwnPath is how many recipients a message may have for each to get a return address of his own, and with it a transaction of his own. The
// bounces of more recipients are told apart by the addresses they name.
const maxOwnPath = 5

// returnPath is the reverse path of one recipient of a message.
func (a *App) returnPath(m *spool.Message, recipient int) (mail.Address, bool) {
	if m.Notice || m.Envelope.ReversePath.IsNull() {
		return mail.Address{}, false
	}
	c, ok := a.accounts.Customer(m.Customer)
	if !ok {
		return mail.Address{}, false
	}
	d := a.returnDomain(c, m.Envelope.ReversePath, m.HeaderFrom)
	if d == "" {
		return mail.Address{}, false
	}
	if len(m.Envelope.Recipients) > maxOwnPath {
		recipient = -1
	}
	return mail.Address{Local: a.returning.codec.Local(m.ID, recipient), Domain: d}, true
}

// reference leads back to a message in a text that somebody pasted.
func (a *App) reference(text []byte) (mail.QueueID, bool) {
	r, ok := a.returning.codec.Find(text)
	return r.ID, ok
}

// signedBy are the domains whose signatures of a message verify.
func (a *App) signedBy(ctx context.Context, raw []byte) []mail.Domain {
	var out []mail.Domain
	for _, s := range dkim.Verify(ctx, a.resolver, raw, time.Now()) {
		if s.Status == dkim.StatusPass && !s.Testing && s.BodyLength < 0 {
			out = append(out, s.Domain)
		}
	}
	return out
}

// handler is a listener's, with the door for what comes back behind it: a client that nobody knows gets no further than that door.
func (a *App) handler(d intake.Door) smtp.Handler {
	return a.returning.door.Behind(a.intake.Handler(d), func(ip netip.Addr) bool {
		if d == intake.Submission || !a.returning.relay || a.returning.domain == "" && !a.accounts.ReturnDomains() && len(reportAddresses(a.config.Load())) == 0 {
			return true // strangers are the listener's own matter
		}
		_, ok := a.accounts.ByNetwork(ip)
		return ok
	})
}

// openBounces opens the listeners that serve nothing but what comes back.
func (a *App) openBounces(ctx context.Context, c *config.Config) error {
	var servers []*smtp.Server
	for _, addr := range c.Listen.Bounces {
		server, err := smtp.NewServer(smtp.ServerOptions{Name: "bounces", Hostname: a.host, Handler: a.returning.door, TLS: a.tlsConfig(),
			Limits: a.returning.door.Limits(c.Limits.SMTP()), BareNewline: smtp.BareNewlineNormalize, Logger: a.log})
		if err != nil {
			return fmt.Errorf("listen.bounces: %w", err)
		}
		l, err := listen(ctx, "tcp", addr)
		if err != nil {
			return fmt.Errorf("listen.bounces: %w", err)
		}
		a.doors = append(a.doors, door{"bounces", server, l})
		servers = append(servers, server)
	}
	a.metrics.watchServers("bounces", servers)
	return nil
}
