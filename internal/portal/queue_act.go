package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/user"
)

// opDoing is an act of an operator on one message; it returns the customer whose message it is.
type opDoing struct {
	name string // texts queue.done.NAME
	do   func(ctx context.Context, v *visit, id mail.QueueID) (customer string, err error)
}

var errOpHeld = errors.New("portal: the message is held")

// The acts on a message. Each leaves the facts in the journal that the same act of the API leaves.
var (
	opRetry = opDoing{"retry", func(ctx context.Context, v *visit, id mail.QueueID) (string, error) {
		w, err := v.s.o.Spool.Get(ctx, id)
		if err != nil {
			return "", err
		}
		if w.Held {
			return w.Customer, errOpHeld
		}
		f := v.opFact(journal.Attempt, w)
		f.Text, f.NextAt = "an operator asked for an attempt now", f.At
		if err := v.s.o.Journal.Append(ctx, f); err != nil {
			return w.Customer, err
		}
		return w.Customer, v.s.o.Spool.Retry(ctx, id)
	}}
	opHold = opDoing{"hold", func(ctx context.Context, v *visit, id mail.QueueID) (string, error) {
		w, err := v.s.o.Spool.Get(ctx, id)
		if err != nil {
			return "", err
		}
		if w.Held && w.HoldReason != "operator" {
			return w.Customer, errOpHeld // its own reason would be lost, and with it what people are told about it
		}
		f := v.opFact(journal.Held, w)
		f.Text, f.Detail = clean(v.r.PostFormValue("reason"), 500), w.Verdict
		if err := v.s.o.Journal.Append(ctx, f); err != nil {
			return w.Customer, err
		}
		return w.Customer, v.s.o.Spool.Hold(ctx, id, "operator", time.Time{})
	}}
	opRelease = opDoing{"release", func(ctx context.Context, v *visit, id mail.QueueID) (string, error) {
		view, err := v.s.o.Desk.Release(ctx, id, v.who.Actor(), false)
		return view.Customer.ID, err
	}}
	opRetest = opDoing{"retest", func(ctx context.Context, v *visit, id mail.QueueID) (string, error) {
		view, err := v.s.o.Desk.RetestFor(ctx, id, v.who.Actor(), false)
		if err == nil && view.Status == intake.Waiting {
			return view.Customer.ID, errOpStays
		}
		return view.Customer.ID, err
	}}
	opDrop = opDoing{"drop", func(ctx context.Context, v *visit, id mail.QueueID) (string, error) {
		view, err := v.s.o.Desk.Drop(ctx, id, v.who.Actor())
		if !errors.Is(err, intake.ErrNotHeld) {
			return view.Customer.ID, err
		}
		w, err := v.s.o.Spool.Get(ctx, id) // the desk knows held mail only
		if err != nil {
			return "", err
		}
		if err := v.s.o.Journal.Append(ctx, v.opFact(journal.Dropped, w)); err != nil {
			return w.Customer, err
		}
		return w.Customer, v.s.o.Spool.Drop(ctx, id, v.who.Actor())
	}}
)

// errOpStays: a message was tested again and stays held. It is no failure.
var errOpStays = errors.New("portal: it stays held")

// opFact is a fact of an operator's act on a message.
func (v *visit) opFact(kind journal.Kind, w spool.Work) journal.Fact {
	f := journal.Fact{At: v.s.o.Now(), Kind: kind, QueueID: w.ID, Customer: w.Customer, Credential: w.Credential, ClientIP: w.ClientIP,
		ReversePath: w.Envelope.ReversePath.String(), HeaderFrom: w.HeaderFrom, Subject: w.Subject, MessageID: w.MessageID, Size: w.Size, Score: w.Score, Actor: v.who.Actor()}
	if len(w.Recipients) == 1 {
		f.Recipient = w.Recipients[0].Address.String()
	}
	return f
}

// opIDs reads the messages that are meant: those chosen, or all that were shown.
func (v *visit) opIDs() []mail.QueueID {
	_ = v.r.ParseForm()
	names := v.r.Form["id"]
	if v.r.Form.Get("all") != "" {
		names = v.r.Form["shown"]
	}
	var out []mail.QueueID
	for _, name := range names {
		if id, err := mail.ParseQueueID(name); err == nil && !slices.Contains(out, id) && len(out) < 2*opRows {
			out = append(out, id)
		}
	}
	return out
}

// opBack is where an act leads to: the list or message that it came from.
func (v *visit) opBack(otherwise string) string {
	back := localPath(v.r.FormValue("back"))
	if strings.HasPrefix(back, "/o/") && len(back) < 2000 {
		return back
	}
	return otherwise
}

// opActs does something to one message or many.
func (s *site) opActs(act opDoing) func(*visit) {
	return func(v *visit) {
		ids, back := v.opIDs(), v.opBack("/o/queue")
		if len(ids) == 0 {
			v.opRefused(http.StatusUnprocessableEntity, v.page.T("queue.fault.none"), back)
			return
		}
		ctx, cancel := context.WithTimeout(v.r.Context(), actTime)
		defer cancel()
		var entries []user.Entry
		done, stays, fault := 0, 0, ""
		for _, id := range ids {
			customer, err := act.do(ctx, v, id)
			e := v.entry
			e.Customer, e.Subject, e.Text = customer, string(id), clean(v.r.PostFormValue("reason"), 500)
			switch {
			case errors.Is(err, errOpStays):
				stays++
			case err != nil:
				e.Failed = true
				if fault == "" {
					fault = v.opFaultOf(err)
				}
			default:
				done++
			}
			entries = append(entries, e)
		}
		slices.SortStableFunc(entries, func(a, b user.Entry) int { // what was done is the visit's own line
			switch {
			case a.Failed == b.Failed:
				return 0
			case b.Failed:
				return -1
			}
			return 1
		})
		v.entry = entries[0]
		if len(entries) > 1 {
			if err := s.o.Users.Note(context.WithoutCancel(v.r.Context()), entries[1:]...); err != nil {
				s.o.Logger.Error("audit log not written", "act", v.entry.Act, "actor", v.entry.Actor, "messages", len(entries)-1, "error", err)
			}
		}
		failed := len(ids) - done - stays
		if done+stays == 0 {
			v.opRefused(http.StatusConflict, fault, back)
			return
		}
		var text []string
		if done > 0 {
			text = append(text, v.page.T("queue.done."+act.name, "Count", done))
		}
		if stays > 0 {
			text = append(text, v.page.T("queue.done.stays", "Count", stays))
		}
		if failed > 0 {
			text = append(text, v.page.T("queue.done.failed", "Count", failed), fault)
		}
		v.done(back, "queue.done.said", "Text", strings.Join(text, " "))
	}
}

// opFaultOf tells why an act on a message did not work.
func (v *visit) opFaultOf(err error) string {
	for _, x := range []struct {
		is  error
		key string
	}{
		{errOpHeld, "held"}, {intake.ErrNotFound, "gone"}, {spool.ErrNotFound, "gone"}, {intake.ErrNotHeld, "not_held"}, {spool.ErrNotHeld, "not_held"},
		{intake.ErrNotKept, "not_kept"}, {intake.ErrTooSoon, "too_soon"}, {filter.ErrUnscanned, "unscanned"}, {filter.ErrUnscannable, "unscannable"},
		{spool.ErrDamaged, "damaged"}, {spool.ErrLost, "elsewhere"}, {spool.ErrFull, "full"}, {context.DeadlineExceeded, "time"},
	} {
		if errors.Is(err, x.is) {
			return v.page.T("queue.fault." + x.key)
		}
	}
	v.s.o.Logger.Error("operator's act failed", "act", v.route.act, "error", err)
	return v.page.T("queue.fault.internal")
}

// opRefusedPage says why an act was not done.
type opRefusedPage struct {
	page
	Why  string
	Back string
}

// opRefused answers an act that was not done with the reason and the way back.
func (v *visit) opRefused(status int, why, back string) {
	p := v.page
	p.Title = p.T("queue.refused.title")
	v.show(status, "op-refused.html", opRefusedPage{page: p, Why: why, Back: p.URL(back)})
}

// opDropPage asks before messages are removed.
type opDropPage struct {
	page
	Rows []opRow
	Back string // path
	Do   string // address of the act
	Away string // address of the way back
}

// opDropSure asks before messages are removed.
func (s *site) opDropSure(v *visit) {
	back := v.opBack("/o/queue")
	d := opDropPage{page: v.page, Back: back, Do: v.page.URL("/o/queue/drop"), Away: v.page.URL(back)}
	d.Title = v.page.T("queue.drop.title")
	for _, id := range v.opIDs() {
		w, err := s.o.Spool.Get(v.r.Context(), id)
		if err != nil {
			continue // it is gone: there is nothing to ask
		}
		d.Rows = append(d.Rows, v.page.opRowOf(w))
	}
	if len(d.Rows) == 0 {
		v.opRefused(http.StatusUnprocessableEntity, v.page.T("queue.fault.none"), back)
		return
	}
	v.show(http.StatusOK, "op-drop.html", d)
}

// opRetryAll makes every queued message due now.
func (s *site) opRetryAll(v *visit) {
	v.about("queue", "")
	n, err := s.o.Spool.RetryAll(v.r.Context())
	if err != nil {
		v.broken("messages not made due", err)
		return
	}
	s.o.Logger.Info("every queued message is due now", "messages", n, "actor", v.who.Actor())
	v.entry.Text = fmt.Sprintf("%d messages", n)
	v.done("/o/queue", "queue.done.retry", "Count", n)
}
