package app_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"postern/internal/app"
	"postern/internal/config"
	"postern/internal/user"
)

// TestInvitationArrives: a user who is added gets a mail whose link makes him able to sign in.
func TestInvitationArrives(t *testing.T) {
	t.Parallel()
	a, r, _, stop := gateway(t, "web: {base_url: \"https://mail.receiver.test\"}"+customer)
	u, secret, err := a.Users().Add(t.Context(), user.User{Address: address(t, "anna@receiver.test"), Name: "Anna", Role: user.CustomerAdmin, Customer: "shop", Language: "fr"})
	if err != nil {
		t.Fatal(err)
	}
	got := r.next(t)
	text, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(got.data)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "https://mail.receiver.test/invite/"+secret) || !strings.Contains(string(text), "Bonjour Anna") {
		t.Errorf("mail:\n%s", text)
	}
	if _, err := a.Users().Accept(t.Context(), secret, "a green horse on the moon", address0, "Firefox"); err != nil {
		t.Error(err)
	}
	_, _, err = a.Users().Add(t.Context(), user.User{Address: address(t, "eve@receiver.test"), Role: user.CustomerAdmin, Customer: "nobody"})
	if err == nil {
		t.Error("a user of a customer who is not there")
	}
	if err := a.Users().AskReset(t.Context(), u.Address.String(), address0); err != nil {
		t.Fatal(err)
	}
	r.next(t)
	stop()
}

// lines is a log that tests read.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestFirstOperatorIsGreeted: the link stands in the log while there is no operator, and at no start after that.
func TestFirstOperatorIsGreeted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := regexp.MustCompile(`link=http://127\.0\.0\.1:\d+/invite/([A-Za-z0-9_-]{43})`)
	begin := func(while func(a *app.App, log *lines)) {
		c, err := config.Source{}.Parse(config.File{Name: "test.yaml", Data: []byte("hostname: gate.receiver.test\ndata_dir: " + filepath.Join(dir, "data") +
			"\nlisten: {relay: {address: []}, submission: {address: []}, submissions: {address: []}, web: [], metrics: []}\n")})
		if err != nil {
			t.Fatal(err)
		}
		c.Listen.Web = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")} // the kernel chooses
		log := &lines{}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		a, err := app.New(ctx, app.Options{Config: c, Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})), Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		while(a, log)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	begin(func(a *app.App, log *lines) {
		waitFor(t, "the link is in the log", func() bool { return link.MatchString(log.String()) })
		secret := link.FindStringSubmatch(log.String())[1]
		if _, err := a.Users().Setup(t.Context(), secret, user.User{Address: address(t, "anna@receiver.test")}, "a green horse on the moon", address0, ""); err != nil {
			t.Error(err)
		}
	})
	var last *lines
	begin(func(a *app.App, log *lines) {
		last = log
		if secret, err := a.Users().FirstLink(t.Context()); err != nil || secret != "" {
			t.Errorf("%q %v", secret, err)
		}
	})
	if link.MatchString(last.String()) {
		t.Errorf("a link although there is an operator:\n%s", last)
	}
}

// address0 is where the tests' users sign in from.
var address0 = netip.MustParseAddr("192.0.2.10")
