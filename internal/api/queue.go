package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/spool"
)

// one is the input of endpoints about one message.
type one struct {
	ID       string `path:"id" maxLength:"64" doc:"Queue ID"`
	Language string `query:"language" enum:"en,fr" default:"en" doc:"Language of the words of tests"`
}

func (o *one) id() (mail.QueueID, error) { return queueID(o.ID) }

// Act is the input of acts on one message.
type Act struct {
	By
	ID string `path:"id" maxLength:"64" doc:"Queue ID"`
}

func queueID(text string) (mail.QueueID, error) {
	id, err := mail.ParseQueueID(text)
	if err != nil {
		return "", problem(http.StatusUnprocessableEntity, "no-queue-id", fmt.Sprintf("%q is not a queue ID: it has 26 letters and digits, as the 250 answer and queue list show it", clip(text, 40)))
	}
	return id, nil
}

// Messages is one page of the queue.
type Messages struct {
	Messages []Message `json:"messages" nullable:"false"`
	Next     string    `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

// Page is the input of lists.
type Page struct {
	Customer string `query:"customer" maxLength:"64" doc:"Only this customer's"`
	Domain   string `query:"domain" maxLength:"255" doc:"Only messages with a recipient in this domain"`
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor   string `query:"cursor" maxLength:"64" doc:"next of the page before"`
}

type messagesIn struct {
	Page
	State string `query:"state" enum:"queued,held" doc:"Only messages that wait for an attempt, or for a person"`
}

func (s *server) listMessages(ctx context.Context, in *messagesIn) (*body[Messages], error) {
	return s.list(ctx, in.Page, spool.State(in.State))
}

func (s *server) listHeld(ctx context.Context, in *Page) (*body[Messages], error) {
	return s.list(ctx, *in, spool.Held)
}

func (s *server) list(ctx context.Context, p Page, state spool.State) (*body[Messages], error) {
	f := spool.Filter{State: state, Customer: p.Customer, Limit: p.Limit, Cursor: p.Cursor}
	if p.Domain != "" {
		d, err := mail.ParseDomain(p.Domain)
		if err != nil {
			return nil, invalid(fmt.Sprintf("domain: %v", err))
		}
		f.Domain = d
	}
	works, next, err := s.o.Spool.List(ctx, f)
	if err != nil {
		return nil, s.fail(err)
	}
	out := Messages{Messages: make([]Message, 0, len(works)), Next: next}
	for _, w := range works {
		out.Messages = append(out.Messages, s.messageOf(w))
	}
	return &body[Messages]{out}, nil
}

func (s *server) showMessage(ctx context.Context, in *one) (*body[Message], error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	w, err := s.o.Spool.Get(ctx, id)
	if err != nil {
		return nil, s.fail(err)
	}
	m := s.messageOf(w)
	m.Verdict = s.verdictOf(w.Verdict, in.Language)
	return &body[Message]{m}, nil
}

func (s *server) retryMessage(ctx context.Context, in *Act) (*body[Done], error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	w, err := s.o.Spool.Get(ctx, id)
	if err != nil {
		return nil, s.fail(err)
	}
	if w.Held {
		return nil, problem(http.StatusConflict, "held", "the message is held: release it, and it is tried at once")
	}
	f := s.factAbout(journal.Attempt, w, in.By)
	f.Text, f.NextAt = "an operator asked for an attempt now", f.At
	if err := s.o.Journal.Append(ctx, f); err != nil {
		return nil, s.fail(err)
	}
	if err := s.o.Spool.Retry(ctx, id); err != nil {
		return nil, s.fail(err)
	}
	return done("%s is due now", id), nil
}

func (s *server) retryAll(ctx context.Context, in *By) (*body[Done], error) {
	n, err := s.o.Spool.RetryAll(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	s.o.Logger.Info("every queued message is due now", "messages", n, "actor", in.actor())
	out := done("%d messages are due now", n)
	if n == 1 {
		out = done("1 message is due now")
	}
	out.Body.Count = n
	return out, nil
}

// HoldRequest says why and how long a message is set aside.
type HoldRequest struct {
	Reason string    `json:"reason,omitempty" maxLength:"500" doc:"For the journal"`
	Until  time.Time `json:"until,omitzero" doc:"When the hold ends by itself; absent: as configured"`
}

type holdIn struct {
	Act
	Body HoldRequest
}

func (s *server) holdMessage(ctx context.Context, in *holdIn) (*body[Done], error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	if !in.Body.Until.IsZero() && !in.Body.Until.After(s.o.Now()) {
		return nil, invalid("until: is past; name a later time, or none")
	}
	w, err := s.o.Spool.Get(ctx, id)
	if err != nil {
		return nil, s.fail(err)
	}
	if w.Held && w.HoldReason != "operator" {
		// Its own reason would be lost, and with it what people are told about it.
		return nil, problem(http.StatusConflict, "held", "the message is held already: "+s.tell(locale.English).hold(w))
	}
	f := s.factAbout(journal.Held, w, in.By)
	f.Text, f.NextAt, f.Detail = in.Body.Reason, in.Body.Until, w.Verdict
	if err := s.o.Journal.Append(ctx, f); err != nil {
		return nil, s.fail(err)
	}
	if err := s.o.Spool.Hold(ctx, id, "operator", in.Body.Until); err != nil {
		return nil, s.fail(err)
	}
	if w, err = s.o.Spool.Get(ctx, id); err != nil {
		return nil, s.fail(err)
	}
	return done("%s is held until %s", id, s.tell(locale.English).when(w.HoldUntil)), nil
}

func (s *server) releaseMessage(ctx context.Context, in *Act) (*body[Done], error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	if _, err := s.o.Desk.Release(ctx, id, in.actor(), false); err != nil {
		return nil, s.fail(err)
	}
	return done("%s is released and due now", id), nil
}

// dropMessage removes held mail through the desk, and queued mail here: the desk knows held mail only.
func (s *server) dropMessage(ctx context.Context, in *Act) (*body[Done], error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	switch _, err = s.o.Desk.Drop(ctx, id, in.actor()); {
	case errors.Is(err, intake.ErrNotHeld):
		w, err := s.o.Spool.Get(ctx, id)
		if err != nil {
			return nil, s.fail(err)
		}
		if err := s.o.Journal.Append(ctx, s.factAbout(journal.Dropped, w, in.By)); err != nil {
			return nil, s.fail(err)
		}
		if err := s.o.Spool.Drop(ctx, id, in.actor()); err != nil {
			return nil, s.fail(err)
		}
	case err != nil:
		return nil, s.fail(err)
	}
	return done("%s is removed", id), nil
}

// Retested is what a second test of a held message said.
type Retested struct {
	Released bool     `json:"released" doc:"It is no longer above the threshold and leaves"`
	Text     string   `json:"text"`
	Verdict  *Verdict `json:"verdict"`
}

type retestIn struct {
	Act
	Language string `query:"language" enum:"en,fr" default:"en"`
}

func (s *server) retestMessage(ctx context.Context, in *retestIn) (*body[Retested], error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	v, err := s.o.Desk.Retest(ctx, id, in.actor())
	if err != nil {
		return nil, s.fail(err)
	}
	out := Retested{Released: v.Status != intake.Waiting, Verdict: s.wordsOf(v.Verdict, in.Language)}
	out.Text = fmt.Sprintf("%s has %.1f points and stays held: the threshold is %.1f", id, v.Verdict.Score, v.Verdict.Threshold)
	if out.Released {
		out.Text = fmt.Sprintf("%s has %.1f points, the threshold is %.1f: released", id, v.Verdict.Score, v.Verdict.Threshold)
	}
	return &body[Retested]{out}, nil
}

// factAbout is a fact of an operator's act on a message.
func (s *server) factAbout(kind journal.Kind, w spool.Work, who By) journal.Fact {
	f := journal.Fact{At: s.o.Now(), Kind: kind, QueueID: w.ID, Customer: w.Customer, Credential: w.Credential, ClientIP: w.ClientIP,
		ReversePath: w.Envelope.ReversePath.String(), HeaderFrom: w.HeaderFrom, Subject: w.Subject, MessageID: w.MessageID, Size: w.Size,
		Score: w.Score, Actor: who.actor()}
	if len(w.Recipients) == 1 {
		f.Recipient = w.Recipients[0].Address.String()
	}
	return f
}

// Facts are lines of the journal.
type Facts struct {
	Facts []Fact `json:"facts" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

// life returns the facts of a message, those included that are on their way into the journal: who asks right after an act wants to see it.
func (s *server) life(ctx context.Context, id mail.QueueID) ([]journal.Fact, error) {
	if err := s.o.Journal.Flush(ctx); err != nil {
		s.o.Logger.Warn("facts not yet written", "error", err) // what is there already is still worth telling
	}
	return s.o.Journal.Trace(ctx, id)
}

func (s *server) traceMessage(ctx context.Context, in *one) (*body[Facts], error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	facts, err := s.life(ctx, id)
	if err != nil {
		return nil, s.fail(err)
	}
	if len(facts) == 0 {
		return nil, s.fail(intake.ErrNotFound)
	}
	return &body[Facts]{Facts{Facts: factsOf(facts)}}, nil
}

type searchIn struct {
	Text      string    `query:"text" maxLength:"500" doc:"Part of subject, header From, remote host or answer; looks back 14 days unless since is given"`
	Address   string    `query:"address" maxLength:"320" doc:"Whole address: reverse path, recipient or header From"`
	MessageID string    `query:"message_id" maxLength:"998" doc:"Message-ID of the header, with or without <>"`
	Customer  string    `query:"customer" maxLength:"64"`
	Since     time.Time `query:"since"`
	Until     time.Time `query:"until"`
	Kinds     []string  `query:"kinds" maxItems:"20" doc:"Only facts of these kinds, separated by commas"`
	Limit     int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor    string    `query:"cursor" maxLength:"64"`
}

func (s *server) search(ctx context.Context, in *searchIn) (*body[Facts], error) {
	q := journal.Query{Text: in.Text, Address: in.Address, MessageID: in.MessageID, Customer: in.Customer, Since: in.Since, Until: in.Until,
		Limit: in.Limit, Cursor: in.Cursor}
	for _, k := range in.Kinds {
		q.Kinds = append(q.Kinds, journal.Kind(k))
	}
	if err := s.o.Journal.Flush(ctx); err != nil {
		s.o.Logger.Warn("facts not yet written", "error", err)
	}
	facts, next, err := s.o.Journal.Search(ctx, q)
	if err != nil {
		return nil, s.fail(err)
	}
	return &body[Facts]{Facts{factsOf(facts), next}}, nil
}
