package world_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
)

// fault is one way for a receiver to be unwell. It lasts an hour; then all is well, or, with forever, never.
type fault struct {
	name    string
	act     func(step string, n int) string
	forever bool
	end     journal.Kind // how a message for it must end; "" delivered
}

// at answers text at one step.
func at(step, text string) func(string, int) string {
	return func(s string, _ int) string {
		if s == step {
			return text
		}
		return ""
	}
}

// faults are providers that hang at every step of the protocol, drop the connection, answer garbage, lie in EHLO, change their mind between RCPT and DATA
// and storm with 4xx.
func faults() []fault {
	var all []fault
	for _, step := range []string{"connect", "banner", "ehlo", "mail", "rcpt", "data", "dot", "quit"} {
		all = append(all, fault{name: "hangs at " + step, act: at(step, hang)}, fault{name: "drops at " + step, act: at(step, drop)})
		if step == "connect" {
			continue
		}
		for _, garbage := range []string{"\x00\x01\x02", "HTTP/1.1 400 Bad Request", strings.Repeat("2", 600), "25", "250-never\r\n250-ends", "999 what"} {
			all = append(all, fault{name: fmt.Sprintf("says %.12q at %s", garbage, step), act: at(step, garbage)})
		}
	}
	for _, step := range []string{"banner", "ehlo", "mail", "rcpt", "data", "dot"} {
		all = append(all, fault{name: "421 at " + step, act: at(step, "421 4.3.2 closing")}, fault{name: "451 at " + step, act: at(step, "451 4.3.0 not now")})
	}
	for _, garbage := range []string{hang, drop, "not TLS at all\r\n", "\x15\x03\x01\x00\x02\x02\x28"} {
		all = append(all, fault{name: fmt.Sprintf("fails in the TLS handshake with %.8q", garbage), act: func(s string, _ int) string {
			return map[string]string{"ehlo": "250-mx\r\n250-STARTTLS\r\n250 8BITMIME", "starttls": "220 go on", "handshake": garbage}[s]
		}})
	}
	return append(all,
		fault{name: "drops in the body", act: at("body", drop)},
		fault{name: "lies in EHLO", act: at("ehlo", "250-mx\r\n250-STARTTLS\r\n250-SIZE banana\r\n250-LIMITS RCPTMAX=0\r\n250 8BITMIME")},
		fault{name: "has too small a SIZE", act: at("ehlo", "250-mx\r\n250 SIZE 10")},
		fault{name: "changes its mind at DATA", act: at("data", "550 5.1.1 <x@y>: user unknown after all"), forever: true, end: journal.Bounced},
		fault{name: "refuses every recipient", act: at("rcpt", "550 5.1.1 user unknown"), forever: true, end: journal.Bounced},
		fault{name: "refuses the message", act: at("dot", "554 5.6.0 malformed"), forever: true, end: journal.Bounced},
		fault{name: "storms with 4xx for ever", act: at("rcpt", "450 4.2.1 the mailbox is busy"), forever: true, end: journal.Expired},
		fault{name: "hangs for ever", act: at("banner", hang), forever: true, end: journal.Expired},
		fault{name: "refuses connections for ever", act: at("connect", drop), forever: true, end: journal.Expired},
	)
}

// TestFaultCampaign gives each unwell receiver mail: every message ends delivered or bounced with a reason, and until then waits with a time and a reason.
func TestFaultCampaign(t *testing.T) {
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { campaign(t, f) })
		})
	}
}

func campaign(t *testing.T, f fault) {
	v := newVirtual(t)
	r := v.add(&receiver{name: "unwell", host: "mx.unwell.test", domains: []string{"unwell.test"}, latency: 50 * time.Millisecond, act: f.act})
	v.add(&receiver{name: "home", host: "mx.senders.test", domains: []string{"senders.test", "c00.test"}, latency: 50 * time.Millisecond})
	g := startGateway(t, v, fastFolder(t), 1, nil)
	defer g.stop()
	var ids []mail.QueueID
	for i := range 5 {
		ids = append(ids, g.put(letter{to: fmt.Sprintf("r%d@unwell.test", i)}))
	}
	time.Sleep(30 * time.Minute)
	waitsWithReason(t, g, f.name)
	time.Sleep(30 * time.Minute)
	if !f.forever {
		r.mu.Lock()
		r.act = nil
		r.mu.Unlock()
	}
	rest := 6 * time.Hour
	if f.forever {
		rest = 50 * time.Hour // until messages expire
	}
	time.Sleep(rest)
	want := f.end
	if want == "" {
		want = journal.Delivered
	}
	for _, id := range ids {
		facts, err := g.journal.Trace(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if len(facts) == 0 {
			t.Errorf("%s: no fact", id)
			continue
		}
		if last := facts[len(facts)-1]; last.Kind != want || last.Text == "" {
			t.Errorf("ended as %s: %d %q; expected %s", last.Kind, last.Code, last.Text, want)
		}
	}
	left, _, err := g.spool.List(context.Background(), spool.Filter{})
	if err != nil || len(left) > 0 {
		t.Errorf("%d messages are left in the spool: %v", len(left), err)
	}
	if stats, err := g.spool.Stats(context.Background()); err != nil || stats.Silent != 0 || stats.Mended != 0 {
		t.Errorf("silent %d, mended %d: %v", stats.Silent, stats.Mended, err)
	}
}

// TestNameServersAreDark has every name server silent for an hour: mail waits and then arrives, and nobody gets a bounce.
func TestNameServersAreDark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t)
		r := v.add(&receiver{name: "fine", host: "mx.fine.test", domains: []string{"fine.test"}, latency: 50 * time.Millisecond})
		v.dark = true
		g := startGateway(t, v, fastFolder(t), 1, nil)
		defer g.stop()
		for i := range 20 {
			g.put(letter{to: fmt.Sprintf("r%d@fine.test", i)})
		}
		time.Sleep(time.Hour)
		waitsWithReason(t, g, "in the dark")
		v.mu.Lock()
		v.dark = false
		v.mu.Unlock()
		time.Sleep(5 * time.Hour)
		if len(r.taken) != 20 {
			t.Errorf("%d of 20 messages arrived", len(r.taken))
		}
	})
}

// waitsWithReason checks that what is queued has a next event and a reason.
func waitsWithReason(t *testing.T, g *gateway, when string) {
	t.Helper()
	works, _, err := g.spool.List(context.Background(), spool.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range works {
		for _, r := range item.Recipients {
			if r.State != spool.Queued {
				continue
			}
			if r.NextAt.IsZero() || r.Text == "" && r.Wait == "" {
				t.Errorf("%s: %s waits until %v for %q %q", when, r.Address, r.NextAt, r.Text, r.Wait)
			}
		}
	}
}
