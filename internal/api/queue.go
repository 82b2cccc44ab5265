package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/user"
)

// addMessages registers what is done with messages.
func (s *server) addMessages() {
	get, post := http.MethodGet, http.MethodPost
	read, act := over(user.MailRead), over(user.MailAct)
	add(s, get, "/v1/messages", "list-messages", "Messages in the spool, in the order of arrival", read, s.listMessages)
	add(s, get, "/v1/held", "list-held", "Messages that wait for a person", read, s.listHeld)
	add(s, get, "/v1/messages/{id}", "show-message", "One message with its recipients and verdict", read, s.showMessage)
	add(s, get, "/v1/messages/{id}/explain", "explain-message", "Why a message waits, and until when", read, s.explainMessage)
	add(s, get, "/v1/messages/{id}/trace", "trace-message", "The life of one message", read, s.traceMessage)
	add(s, get, "/v1/messages/{id}/source", "message-source", "A message that is kept, byte for byte", read.as("message.source"), s.messageSource)
	add(s, post, "/v1/messages/{id}/retry", "retry-message", "Try a queued message now", act.as("message.retry").anew(), s.retryMessage)
	add(s, post, "/v1/messages/{id}/hold", "hold-message", "Set a queued message aside", gateway(user.MailAct).as("message.hold").anew(), s.holdMessage)
	add(s, post, "/v1/messages/{id}/release", "release-message", "Let a held message go as it is; a customer's token may do so as far as his sender may", act.as("message.release").anew(), s.releaseMessage)
	add(s, post, "/v1/messages/{id}/drop", "drop-message", "Remove a message for good; its sender is not told", act.as("message.drop").anew(), s.dropMessage)
	add(s, post, "/v1/messages/{id}/retest", "retest-message", "Test a held message again; it is released when it is no longer above the threshold", act.as("message.retest").anew(), s.retestMessage)
	add(s, post, "/v1/messages/{id}/ask", "ask-about-message", "Send a question about a held message to the operator, once", act.as("message.ask"), s.askAboutMessage)
	add(s, post, "/v1/messages/{id}/allow", "allow-sender", "Put the sender of a held message on his customer's own allow list, for 90 days", act.as("message.allow").anew(), s.allowSender)
	add(s, post, "/v1/messages/{id}/withdraw", "withdraw-sender", "Take the entry of the customer's own allow list away that covers a held message", act.as("message.withdraw").anew(), s.withdrawSender)
	add(s, post, "/v1/retry", "retry-all", "Try every queued message now", gateway(user.GatewayOperate).as("queue.retry-all").anew(), s.retryAll)
	add(s, get, "/v1/trace", "search", "Facts about messages, the newest first", read, s.search)
	add(s, post, "/v1/problem", "find-problem", "Which messages a report of a problem may be about", read, s.findProblem)
	add(s, get, "/v1/return-address", "look-return-address", "What a return address refers to", gateway(user.MailRead), s.lookReturnAddress)
}

// messageOwner finds whose a message is: in the spool, or in the journal when it has left.
func (s *server) messageOwner(ctx context.Context, text string) (string, bool, error) {
	id, err := queueID(text)
	if err != nil {
		return "", false, err
	}
	w, err := s.o.Spool.Get(ctx, id)
	if err == nil {
		return w.Customer, true, nil
	}
	if !errors.Is(err, spool.ErrNotFound) {
		return "", false, err
	}
	facts, err := s.life(ctx, id)
	if err != nil {
		return "", false, err
	}
	for _, f := range facts {
		if f.Kind == journal.Accepted || f.Kind == journal.Held || f.Kind == journal.Rejected || f.Kind == journal.Recovered {
			return f.Customer, true, nil
		}
	}
	return "", false, nil
}

func (o *one) owner(ctx context.Context, s *server) (string, bool, error) {
	return s.messageOwner(ctx, o.ID)
}
func (o *one) kind() string { return noMessage }

func (a *Act) owner(ctx context.Context, s *server) (string, bool, error) {
	return s.messageOwner(ctx, a.ID)
}
func (a *Act) kind() string { return noMessage }

const noMessage = "no-such-message"

// one is the input of endpoints about one message.
type one struct {
	ID       string `path:"id" maxLength:"64" doc:"Queue ID"`
	Language string `query:"language" enum:"en,fr" default:"en" doc:"Language of the words of tests"`
}

func (o *one) id() (mail.QueueID, error) { return queueID(o.ID) }

// Act is the input of acts on one message.
type Act struct {
	ID string `path:"id" maxLength:"64" doc:"Queue ID"`
}

func queueID(text string) (mail.QueueID, error) {
	id, err := mail.ParseQueueID(text)
	if err != nil {
		return "", problem(http.StatusUnprocessableEntity, "no-queue-id", "%q is not a queue ID: it has 26 letters and digits, as the 250 answer and queue list show it", clip(text, 40))
	}
	return id, nil
}

// Messages is one page of the queue.
type Messages struct {
	Messages []Message `json:"messages" nullable:"false"`
	Next     string    `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (m Messages) nextPage() string { return m.Next }

// Page is the input of lists.
type Page struct {
	ForCustomer
	Paging
	Domain string `query:"domain" maxLength:"255" doc:"Only messages with a recipient in this domain"`
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
	if _, err := mail.ParseQueueID(p.Cursor); p.Cursor != "" && err != nil {
		return nil, badCursor()
	}
	f := spool.Filter{State: state, Customer: p.Customer, Limit: p.Limit, Cursor: p.Cursor}
	if p.Domain != "" {
		d, err := mail.ParseDomain(p.Domain)
		if err != nil {
			return nil, invalid("domain: %v", err)
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
	f := s.factAbout(ctx, journal.Attempt, w)
	f.Text, f.NextAt = "an attempt now was asked for", f.At
	if err := s.o.Journal.Append(ctx, f); err != nil {
		return nil, s.fail(err)
	}
	if err := s.o.Spool.Retry(ctx, id); err != nil {
		return nil, s.fail(err)
	}
	return done("%s is due now", id), nil
}

func (s *server) retryAll(ctx context.Context, _ *none) (*body[Done], error) {
	n, err := s.o.Spool.RetryAll(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	s.o.Logger.Info("every queued message is due now", "messages", n, "actor", actor(ctx))
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
		return nil, problem(http.StatusConflict, "held", "the message is held already: %s", spoken(func(lang string) string { return s.tell(lang).hold(w) }))
	}
	f := s.factAbout(ctx, journal.Held, w)
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
	return done("%s is held until %s", id, s.spokenTime(w.HoldUntil)), nil
}

func (s *server) releaseMessage(ctx context.Context, in *Act) (*body[Done], error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	if _, err := s.o.Desk.Release(ctx, id, actor(ctx), !principal(ctx).Gateway()); err != nil {
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
	switch _, err = s.o.Desk.Drop(ctx, id, actor(ctx)); {
	case errors.Is(err, intake.ErrNotHeld):
		w, err := s.o.Spool.Get(ctx, id)
		if err != nil {
			return nil, s.fail(err)
		}
		if err := s.o.Journal.Append(ctx, s.factAbout(ctx, journal.Dropped, w)); err != nil {
			return nil, s.fail(err)
		}
		if err := s.o.Spool.Drop(ctx, id, actor(ctx)); err != nil {
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
	v, err := s.o.Desk.RetestFor(ctx, id, actor(ctx), !principal(ctx).Gateway())
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

// factAbout is a fact of an act on a message.
func (s *server) factAbout(ctx context.Context, kind journal.Kind, w spool.Work) journal.Fact {
	f := journal.Fact{At: s.o.Now(), Kind: kind, QueueID: w.ID, Customer: w.Customer, Credential: w.Credential, ClientIP: w.ClientIP,
		ReversePath: w.Envelope.ReversePath.String(), HeaderFrom: w.HeaderFrom, Subject: w.Subject, MessageID: w.MessageID, Size: w.Size,
		Score: w.Score, Actor: actor(ctx)}
	if len(w.Recipients) == 1 {
		f.Recipient = w.Recipients[0].Address.String()
	}
	return f
}

// Question is what a sender asks the operator about a held message.
type Question struct {
	Text string `json:"text" minLength:"1" maxLength:"1000" doc:"For the operator, who gets it by mail"`
}

type askIn struct {
	Act
	Body Question
}

func (s *server) askAboutMessage(ctx context.Context, in *askIn) (*body[Done], error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	if _, err := s.o.Desk.AskAs(ctx, id, in.Body.Text, actor(ctx)); err != nil {
		return nil, s.fail(err)
	}
	return done("the operator was asked about %s", id), nil
}

func (s *server) allowSender(ctx context.Context, in *Act) (*body[Done], error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	v, err := s.o.Desk.AllowAs(ctx, id, actor(ctx))
	if err != nil {
		return nil, s.fail(err)
	}
	return done("%s is on the own allow list of customer %s until %s; test %s again to let it go", v.Allowed, v.Customer.ID, s.spokenTime(v.Allowed.Until), id), nil
}

func (s *server) withdrawSender(ctx context.Context, in *Act) (*body[Done], error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	if _, err := s.o.Desk.WithdrawAs(ctx, id, actor(ctx)); err != nil {
		return nil, s.fail(err)
	}
	return done("the sender of %s is on no own allow list", id), nil
}

// source is a message as it is kept.
type source struct {
	Type string `header:"Content-Type"`
	Save string `header:"Content-Disposition"`
	Body []byte
}

func (s *server) messageSource(ctx context.Context, in *Act) (*source, error) {
	id, err := queueID(in.ID)
	if err != nil {
		return nil, err
	}
	content, err := s.o.Spool.Body(ctx, id)
	if err != nil {
		return nil, s.fail(err)
	}
	return &source{"message/rfc822", `attachment; filename="` + string(id) + `.eml"`, content}, nil
}

// Facts are lines of the journal.
type Facts struct {
	Facts  []Fact    `json:"facts" nullable:"false"`
	Next   string    `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one. A page may be short, or empty, and not the last"`
	Looked time.Time `json:"looked,omitzero" doc:"How far back this page looked when it ended early, because it had to compare many facts"`
}

func (f Facts) nextPage() string { return f.Next }

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
	ForCustomer
	Paging
	Text      string    `query:"text" maxLength:"500" doc:"Part of subject, header From, remote host or answer; looks back 14 days unless since is given"`
	Address   string    `query:"address" maxLength:"320" doc:"Whole address: reverse path, recipient or header From"`
	MessageID string    `query:"message_id" maxLength:"998" doc:"Message-ID of the header, with or without <>"`
	Since     time.Time `query:"since"`
	Until     time.Time `query:"until"`
	Kinds     []string  `query:"kinds" maxItems:"20" doc:"Only facts of these kinds, separated by commas"`
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
	found, err := s.o.Journal.Look(ctx, q)
	if err != nil {
		return nil, s.fail(err)
	}
	return &body[Facts]{Facts{factsOf(found.Facts), found.Next, found.Looked}}, nil
}

// spokenTime is a moment to come, in words.
func (s *server) spokenTime(at time.Time) spoken {
	return func(lang string) string { return s.tell(lang).when(at) }
}
