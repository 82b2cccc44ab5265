package smtp_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern/internal/mail"
	"postern/internal/smtp"
)

// inbox is a handler that keeps what it gets and refuses recipients "no…".
type inbox struct {
	mu       sync.Mutex
	messages []string
	env      []mail.Envelope
	users    []string
}

func (b *inbox) NewSession(_ context.Context, c *smtp.Conn) (smtp.Session, error) {
	return &inboxSession{b, c}, nil
}

type inboxSession struct {
	*inbox
	conn *smtp.Conn
}

func (s *inboxSession) Mail(context.Context, *smtp.Transaction) error { return nil }
func (s *inboxSession) Rcpt(_ context.Context, _ *smtp.Transaction, r mail.Recipient) error {
	if strings.HasPrefix(r.Address.Local, "no") {
		return smtp.Errorf(550, smtp.Enhanced{5, 1, 1}, "No such user here")
	}
	return nil
}
func (s *inboxSession) Data(_ context.Context, t *smtp.Transaction, message []byte) (smtp.Reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, string(message))
	s.env = append(s.env, t.Envelope)
	s.users = append(s.users, s.conn.User)
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Lines: []string{"Kept"}}, nil
}
func (s *inboxSession) Close() {}
func (s *inboxSession) Auth(_ context.Context, _ *smtp.Conn, user, password string) error {
	if user != "user" || password != "secret" {
		return smtp.Errorf(535, smtp.Enhanced{5, 7, 8}, "Wrong password")
	}
	return nil
}

// TestClientMeetsServer lets the two halves of this package talk.
func TestClientMeetsServer(t *testing.T) {
	t.Parallel()
	box := &inbox{}
	server, err := smtp.NewServer(smtp.ServerOptions{Hostname: "mx.example", Handler: box, TLS: serverTLS(), OfferAuth: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()

	c, err := smtp.Dial(ctx, l.Addr().(*net.TCPAddr).AddrPort(), smtp.ClientOptions{Hostname: "out.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(ctx, clientTLS()); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(ctx, "user", "wrong"); classOf(err) != "reply 535" || !c.Usable() {
		t.Errorf("wrong password: %v", err)
	}
	if err := c.Auth(ctx, "user", "secret"); err != nil {
		t.Fatal(err)
	}
	var sent []string
	for i := range 50 {
		message := fmt.Sprintf("Subject: %d\r\n\r\n", i) + strings.Repeat(".\r\n..\r\n.x\r\ny\r\n", i*i)
		env := envelopeTo("x", "no", "y")
		env.Ret, env.EnvelopeID = "HDRS", "id+1"
		env.Recipients[0].Notify = mail.NotifyFailure
		env.Recipients[2].OriginalRecipient = "rfc822;old+y@rcpt.example"
		if i%5 == 4 {
			env = envelopeTo("no1", "no2")
		} else {
			sent = append(sent, message)
		}
		r, err := c.Send(ctx, env, []byte(message))
		if err != nil {
			t.Fatal(i, err)
		}
		if len(env.Recipients) == 3 {
			if !r.Data.OK() || !r.Recipients[0].OK() || r.Recipients[1].Enhanced != (smtp.Enhanced{5, 1, 1}) || !r.Recipients[2].OK() {
				t.Errorf("message %d: %+v", i, r)
			}
		} else if r.Data.Code != 0 || r.Recipients[0].Code != 550 || r.Recipients[1].Code != 550 {
			t.Errorf("message %d: %+v", i, r)
		}
	}
	if err := c.Reset(ctx); err != nil {
		t.Error(err)
	}
	if err := c.Quit(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if !slices.Equal(box.messages, sent) {
		t.Errorf("%d messages arrived, %d sent, or they differ", len(box.messages), len(sent))
	}
	for i, env := range box.env {
		if len(env.Recipients) != 2 || env.Ret != "HDRS" || env.EnvelopeID != "id+1" || env.Recipients[0].Notify != mail.NotifyFailure ||
			env.Recipients[1].OriginalRecipient != "rfc822;old+y@rcpt.example" || box.users[i] != "user" {
			t.Fatalf("envelope %d: %+v of %q", i, env, box.users[i])
		}
	}
}
