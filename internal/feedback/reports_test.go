package feedback_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"postern/internal/feedback"
	"postern/internal/mail"
	"postern/internal/smtp"
)

func TestReportsAboutDomains(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var taken []string
	var trouble error
	h := newHall(t, func(o *feedback.DoorOptions) {
		o.Reports = []mail.Address{{Local: "dmarc", Domain: returnDomain}, {Local: "tlsrpt", Domain: "reports.gate.test"}}
		o.Reported = 5
		o.Report = func(_ context.Context, r feedback.Reported) error {
			mu.Lock()
			defer mu.Unlock()
			if trouble == nil {
				taken = append(taken, r.ClientIP.String()+" "+r.ReversePath.String()+" "+string(r.Message[:min(len(r.Message), 20)]))
			}
			return trouble
		}
	})
	text := "From: noreply@r.test\nSubject: Report domain: shop.test\n\n<feedback></feedback>\n"
	for _, tc := range []struct {
		to   string
		code int
	}{
		{"dmarc@" + returnDomain, 250},
		{"DMARC+shop.test@" + strings.ToUpper(returnDomain), 250},
		{"tlsrpt@reports.gate.test", 250},
		{"dmarc@reports.gate.test", 550},      // another domain than the one that was given
		{"postmaster@reports.gate.test", 550}, // its other addresses are somebody else's
		{"x@reports.gate.test", 550},
		{"dmarcx@" + returnDomain, 550},
		{"dmarc@shop.test", 550},
		{"dmarc@elsewhere.test", 550},
		{"bob@elsewhere.test", 550},
	} {
		if code, msg := h.send("noreply@r.test", []string{tc.to}, text); code != tc.code {
			t.Errorf("%s: %d %s", tc.to, code, msg)
		}
	}
	if code, _ := h.send("a@b.test", []string{"dmarc@" + returnDomain, "bob@elsewhere.test"}, text); code != 550 {
		t.Error("relayed beside a report", code)
	}
	if len(taken) != 3 || taken[0] != "127.0.0.1 noreply@r.test From: noreply@r.test" || h.count("report") != 3 {
		t.Errorf("%q", taken)
	}
	mu.Lock()
	trouble = errors.New("the disk is full")
	mu.Unlock()
	if code, _ := h.send("a@b.test", []string{"dmarc@" + returnDomain}, text); code != 451 {
		t.Error("not durable, and yet answered", code)
	}
	mu.Lock()
	trouble = nil
	mu.Unlock()
	if code, _ := h.send("a@b.test", []string{"dmarc@" + returnDomain}, text); code != 250 {
		t.Error(code)
	}
	if code, _ := h.send("a@b.test", []string{"dmarc@" + returnDomain}, text); code != 450 {
		t.Error("more than the bound within a minute", code)
	}
}

// TestReportsBesideCustomers: a known client's own mail and reports do not mix, and a stranger reaches the address for reports and nothing else.
func TestReportsBesideCustomers(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	h := newHall(t, func(o *feedback.DoorOptions) {
		o.Reports = []mail.Address{{Local: "dmarc", Domain: "reports.gate.test"}}
		o.Report = func(context.Context, feedback.Reported) error { n.Add(1); return nil }
	})
	own := ownHandler{}
	known := h.listen(h.door.Behind(own, func(netip.Addr) bool { return true }), smtp.Limits{})
	stranger := h.listen(h.door.Behind(own, func(netip.Addr) bool { return false }), smtp.Limits{})
	const text = "Subject: x\n\nx\n"
	for _, tc := range []struct {
		addr, to string
		code     int
	}{
		{known, "dmarc@reports.gate.test", 250}, {known, "bob@there.test", 250}, {known, "x@reports.gate.test", 250},
		{stranger, "dmarc@reports.gate.test", 250}, {stranger, "bob@there.test", 550}, {stranger, "x@reports.gate.test", 550},
	} {
		if code, msg := h.sendTo(tc.addr, "a@b.test", []string{tc.to}, text); code != tc.code {
			t.Errorf("%s: %d %s", tc.to, code, msg)
		}
	}
	if n.Load() != 2 {
		t.Error(n.Load())
	}
}

// ownHandler takes everything, as for a customer.
type ownHandler struct{}

func (ownHandler) NewSession(context.Context, *smtp.Conn) (smtp.Session, error) {
	return ownHandler{}, nil
}
func (ownHandler) Mail(context.Context, *smtp.Transaction) error                 { return nil }
func (ownHandler) Rcpt(context.Context, *smtp.Transaction, mail.Recipient) error { return nil }
func (ownHandler) Data(context.Context, *smtp.Transaction, []byte) (smtp.Reply, error) {
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Lines: []string{"Ok"}}, nil
}
func (ownHandler) Close() {}
