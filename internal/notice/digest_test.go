package notice_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/spool"
)

// hold tells the desk of one more held message.
func hold(t testing.TB, d *desk, m spool.Message, i int) {
	t.Helper()
	m.ID = mail.QueueID(fmt.Sprintf("01kb4k2z88%016d", i))
	if err := d.Held(t.Context(), notice.HeldMail{Message: m, Threshold: 3}); err != nil {
		t.Fatal(err)
	}
}

// gatherSome makes three held messages, of which two go into a digest, and ends the time.
func gatherSome(t testing.TB, d *desk, m spool.Message) error {
	t.Helper()
	for i, subject := range []string{"First", "Second: <b>bold</b>", ""} {
		m.Subject, m.Score = subject, 3.5+float64(i)
		m.Envelope.Recipients = m.Envelope.Recipients[:len(m.Envelope.Recipients)-min(i, 1)]
		hold(t, d, m, i)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	d.clock.Add(time.Hour)
	return d.Run(ctx)
}

// TestDigest: what is above the limit is gathered and goes out as one mail when the time is over.
func TestDigest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, func(o *notice.Options) { o.DigestAfter, o.Now = 2, nil })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- d.Run(ctx) }()
		m := sent(t, "shop", "anna@shop.example", "en")
		m.HoldUntil = time.Now().Add(24 * time.Hour)
		for i := range 7 {
			hold(t, d, m, i)
			time.Sleep(5 * time.Minute)
		}
		if got := len(d.queued()); got != 2 {
			t.Errorf("within the hour: %d notices, want 2", got)
		}
		time.Sleep(24*time.Minute + 59*time.Second)
		synctest.Wait()
		if got := len(d.queued()); got != 2 {
			t.Errorf("a second before the hour is over: %d notices, want 2", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		queued := d.queued()
		if len(queued) != 3 {
			t.Fatalf("after the hour: %d notices, want 3", len(queued))
		}
		if digest := queued[2]; digest.Subject != "5 messages held" || digest.Envelope.Recipients[0].Address.String() != "anna@shop.example" {
			t.Errorf("digest %q to %v", digest.Subject, digest.Envelope.Recipients)
		}
		hold(t, d, m, 8) // a new hour has begun: single notices again
		if got := len(d.queued()); got != 4 {
			t.Errorf("after the digest: %d notices, want 4", got)
		}
		for i := range 3 {
			hold(t, d, m, 10+i)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := len(d.queued()); got != 6 {
			t.Errorf("after shutdown: %d notices, want 6: all that were gathered go out", got)
		}
		hold(t, d, m, 20)
		if got := len(d.queued()); got != 7 {
			t.Errorf("with nobody left to send digests: %d notices, want 7", got)
		}
	})
}

// TestDigestIsBounded: a burst costs one mail and bounded memory.
func TestDigestIsBounded(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	m := sent(t, "shop", "anna@shop.example", "en")
	for i := range 5 + notice.MaxEntries + 1000 {
		hold(t, d, m, i)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := d.Run(ctx); err != nil {
		t.Fatal(err)
	}
	queued := d.queued()
	if len(queued) != 6 {
		t.Fatalf("%d notices, want 5 and a digest", len(queued))
	}
	text := body(t, queued[5].Body, "text/plain")
	if got := strings.Count(text, "https://mail.example.net/m/"); got != notice.MaxEntries {
		t.Errorf("%d links, want %d", got, notice.MaxEntries)
	}
	if !strings.Contains(text, "1,200 more messages") || !strings.Contains(text, "1,000 other messages") {
		t.Errorf("the count is not told:\n%.600s", text)
	}
}

// TestDigestManySenders: ever new sender names, as a misused form makes them, end in one digest for the contact.
func TestDigestManySenders(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		customer, domain string
		digest           int
	}{{"shop", "shop.example", 1}, {"silent", "silent.example", 0}} {
		t.Run(tc.customer, func(t *testing.T) {
			d := newDesk(t)
			for i := range 3 * notice.MaxAddressees {
				hold(t, d, sent(t, tc.customer, fmt.Sprintf("form%d@%s", i, tc.domain), "en"), i)
			}
			if got := len(d.queued()); got != notice.MaxAddressees {
				t.Errorf("%d notices, want %d", got, notice.MaxAddressees)
			}
			ctx, stop := context.WithCancel(t.Context())
			stop()
			if err := d.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if got := len(d.queued()); got != notice.MaxAddressees+tc.digest {
				t.Errorf("with digests: %d notices, want %d", got, notice.MaxAddressees+tc.digest)
			}
		})
	}
}

// TestWindowsClose: memory is given back when the time is over.
func TestWindowsClose(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i := range 20 {
		hold(t, d, sent(t, "shop", fmt.Sprintf("user%d@shop.example", i), "en"), i)
	}
	if got := d.Windows(); got != 20 {
		t.Fatalf("%d windows, want 20", got)
	}
	d.clock.Add(time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := d.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := d.Windows(); got != 0 {
		t.Errorf("%d windows an hour later, want 0", got)
	}
}
