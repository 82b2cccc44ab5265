package feedback_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/feedback"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/suppression"
)

// shelf is the list and its journal in a file, with feedback that writes it.
type shelf struct {
	*feedback.Feedback
	list    *suppression.Ledger
	journal *journal.Journal
	db      *store.DB
	dir     string
}

func openShelf(t *testing.T, dir string) *shelf {
	t.Helper()
	s := &shelf{dir: dir, db: storetest.Open(t, store.Options{URL: "sqlite:" + filepath.Join(dir, "main.db"), Migrations: store.MainSchema()})}
	var err error
	if s.list, err = suppression.New(suppression.Options{DB: s.db}); err != nil {
		t.Fatal(err)
	}
	if err := s.list.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.journal, err = journal.New(journal.Options{DB: s.db}); err != nil {
		t.Fatal(err)
	}
	k := knowledge(t)
	s.Feedback = feedback.New(feedback.Options{Suppression: s.list, Journal: s.journal, Knowledge: func() *provider.Knowledge { return k }})
	return s
}

// crashed is what a crash at this moment leaves on the disk, opened anew: nothing is closed, flushed or finished.
func (s *shelf) crashed(t *testing.T) *shelf {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	return openShelf(t, dir)
}

// reason is why an address is not written to, and how many facts say that it was listed.
func (s *shelf) reason(t *testing.T, to string) (suppression.Reason, int) {
	t.Helper()
	a, err := mail.ParseAddress(to)
	if err != nil {
		t.Fatal(err)
	}
	e, _, err := s.list.Suppressed(t.Context(), "shop", a)
	if err != nil {
		t.Fatal(err)
	}
	facts, _, err := s.journal.Search(t.Context(), journal.Query{Kinds: []journal.Kind{journal.Listed}, Address: to})
	if err != nil {
		t.Fatal(err)
	}
	return e.Reason, len(facts)
}

// TestListedBefore250: once a bounce is answered with 250, what it means for the list outlives a crash at that very moment. While the list cannot be
// written the reporting server keeps the bounce, and nothing else has happened by it; when it comes again it counts once.
func TestListedBefore250(t *testing.T) {
	t.Parallel()
	var now atomic.Pointer[shelf]
	var dies atomic.Bool
	h := newHall(t, func(o *feedback.DoorOptions) {
		o.Heard = func(ctx context.Context, x feedback.Heard) error {
			err := now.Load().Heard(ctx, x)
			if err == nil && dies.Load() {
				err = errors.New("the power went off")
			}
			return err
		}
	})
	now.Store(openShelf(t, t.TempDir()))
	send := func(id mail.QueueID, to, status, text string) int {
		code, _ := h.send("", []string{h.path(id, 0)}, bounce(to, "failed", status, text))
		return code
	}
	const gone = "550 5.1.1 <gone@there.test>: Recipient address rejected: User unknown"
	id := h.sent("shop", time.Now().Add(-time.Hour), "gone@there.test")

	broken := now.Load()
	if err := broken.db.Close(); err != nil {
		t.Fatal(err)
	}
	if code := send(id, "gone@there.test", "5.1.1", gone); code != 451 || len(h.facts(id)) != 0 || len(h.queued()) != 0 {
		t.Fatalf("with a broken list: %d, facts %+v, %d notices", code, h.facts(id), len(h.queued()))
	}
	now.Store(openShelf(t, broken.dir))

	dies.Store(true) // after the list, before the journal's fact and 250
	if code := send(id, "gone@there.test", "5.1.1", gone); code != 451 || len(h.facts(id)) != 0 {
		t.Fatalf("in the crash: %d, facts %+v", code, h.facts(id))
	}
	dies.Store(false)
	now.Store(now.Load().crashed(t))
	if code := send(id, "gone@there.test", "5.1.1", gone); code != 250 || len(h.facts(id)) != 1 || len(h.queued()) != 1 {
		t.Fatalf("when it comes again: %d, facts %+v, %d notices", code, h.facts(id), len(h.queued()))
	}
	now.Store(now.Load().crashed(t))
	if r, facts := now.Load().reason(t, "gone@there.test"); r != suppression.UnknownUser || facts == 0 {
		t.Errorf("after the crash: %q, %d facts", r, facts)
	}

	// A doubtful answer is a strike: that outlives the crash too, and three of them on three days make the entry.
	for day := 3; day > 0; day-- {
		at := time.Now().Add(-time.Duration(day) * 24 * time.Hour)
		id := h.sent("shop", at, "full@there.test")
		x := feedback.Outcome{Customer: "shop", QueueID: id, Recipient: mail.Address{Local: "full", Domain: "there.test"}, At: at, Code: 552, Enhanced: "5.2.2", Text: "mailbox full"}
		if r, _ := now.Load().reason(t, "full@there.test"); r != "" {
			t.Errorf("listed with %d days to go: %s", day, r)
		}
		for range 2 { // the same again does not count again
			if err := now.Load().Returned(t.Context(), x); err != nil {
				t.Fatal(err)
			}
		}
		now.Store(now.Load().crashed(t))
	}
	if r, facts := now.Load().reason(t, "full@there.test"); r != suppression.MailboxFull || facts == 0 {
		t.Errorf("a full mailbox: %q, %d facts", r, facts)
	}
}

// TestOutageByBounces: an outage that bounces make known takes back what they put on the list, as one that answers make known does.
func TestOutageByBounces(t *testing.T) {
	t.Parallel()
	b := onSQLite(t)
	for i := range 60 {
		o := answer("u"+string(rune('a'+i/26))+string(rune('a'+i%26))+"@there.test", "550 5.1.1 no such user here")
		o.Customer, o.QueueID, o.At, o.Provider = "bakery", mail.NewQueueID(b.now), b.now, "there"
		if err := b.Returned(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, b); n != 0 || len(b.outages) != 1 {
		t.Errorf("%d on the list, outages %+v", n, b.outages)
	}
}
