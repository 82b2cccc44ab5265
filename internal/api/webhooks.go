package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"postern/internal/user"
	"postern/internal/webhook"
)

// HookSettings are what is chosen of a webhook.
type HookSettings struct {
	Label  string   `json:"label,omitempty" maxLength:"200" doc:"For people; at most 100 characters"`
	URL    string   `json:"url" maxLength:"2000" doc:"https, on the internet, port 443 or from 1024 on"`
	Events []string `json:"events,omitempty" maxItems:"100" doc:"Which events are told; absent: all. See docs/operator/webhooks.md"`
}

func (h HookSettings) settings() webhook.Settings {
	return webhook.Settings{Label: h.Label, URL: h.URL, Events: h.Events}
}

// HookRequest says which webhook to make.
type HookRequest struct {
	Customer string `json:"customer,omitempty" maxLength:"64" doc:"Whose; absent: the gateway's, which is told the facts of all, or the token's customer"`
	HookSettings
}

func (r *HookRequest) scope() *string { return &r.Customer }

// Hook is an address that is told of facts.
type Hook struct {
	ID       string `json:"id"`
	Customer string `json:"customer,omitempty" doc:"Absent: the gateway's"`
	HookSettings
	State        webhook.State   `json:"state" enum:"working,failing,paused,stopped"`
	Stopped      string          `json:"stopped,omitempty" enum:"failing,gone" doc:"Why the gateway stopped it: it took nothing for three days, or answered 410"`
	StoppedAt    time.Time       `json:"stopped_at,omitzero"`
	FailingSince time.Time       `json:"failing_since,omitzero"`
	Next         time.Time       `json:"next,omitzero" doc:"Next attempt while it fails"`
	Last         time.Time       `json:"last,omitzero" doc:"Last attempt"`
	LastStatus   int             `json:"last_status,omitempty" doc:"HTTP status; absent: no answer came"`
	LastOutcome  webhook.Outcome `json:"last_outcome,omitempty"`
	Taken        int64           `json:"taken" doc:"Events it has taken in all"`
	FormerEnds   time.Time       `json:"former_ends,omitzero" doc:"Until when the former secret signs, too"`
	MadeBy       string          `json:"made_by,omitempty"`
	Created      time.Time       `json:"created"`
}

// Hooks is one page of webhooks.
type Hooks struct {
	Hooks []Hook `json:"webhooks" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (h Hooks) nextPage() string { return h.Next }

// HookDetail is a webhook with what waits for it.
type HookDetail struct {
	Hook
	Waiting     int  `json:"waiting" doc:"Events that it has not taken"`
	WaitingMore bool `json:"waiting_more,omitempty" doc:"There are others beyond those counted"`
}

// NewHook is a webhook with its secret, which is shown here and never again.
type NewHook struct {
	Hook
	Secret string `json:"secret" doc:"Signs each post: HMAC-SHA256 of TIME.BODY, key: this text"`
}

// HookAttempt is one post.
type HookAttempt struct {
	At       time.Time       `json:"at"`
	Delivery string          `json:"delivery" doc:"Postern-Delivery"`
	Why      string          `json:"why" enum:"facts,again,test"`
	Events   int             `json:"events"`
	First    string          `json:"first,omitempty" doc:"ID of its first event"`
	Last     string          `json:"last,omitempty" doc:"ID of its last event"`
	Status   int             `json:"status,omitempty" doc:"HTTP status; absent: no answer came"`
	Outcome  webhook.Outcome `json:"outcome" enum:"taken,refused,gone,timeout,no-address,forbidden,tls,connection"`
	Took     int64           `json:"took_ms"`
}

// HookAttempts are the last ones, the newest first.
type HookAttempts struct {
	Attempts []HookAttempt `json:"attempts" nullable:"false"`
}

// ReplayRequest says from where events are told again.
type ReplayRequest struct {
	Since time.Time `json:"since,omitzero" doc:"From this time on"`
	Event string    `json:"event,omitempty" maxLength:"20" pattern:"^[0-9]*$" doc:"Or from this event on: its ID"`
}

// AgainRequest names one event.
type AgainRequest struct {
	Event string `json:"event" maxLength:"20" pattern:"^[0-9]+$" doc:"Its ID"`
}

// addWebhooks registers what is done with webhooks.
func (s *server) addWebhooks() {
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	read, write := over(user.HooksRead), over(user.HooksWrite)
	add(s, get, "/v1/webhooks", "list-webhooks", "Webhooks of a customer, or of all, by ID", read, s.listHooks)
	add(s, post, "/v1/webhooks", "add-webhook", "Make a webhook; its secret is shown this once", write.as("webhook.make").once(), s.addHook)
	add(s, get, "/v1/webhooks/{id}", "show-webhook", "One webhook, with what waits for it", read, s.showHook)
	add(s, put, "/v1/webhooks/{id}", "update-webhook", "Replace address, label and events of a webhook", write.as("webhook.change"), s.updateHook)
	add(s, del, "/v1/webhooks/{id}", "delete-webhook", "Take a webhook away", write.as("webhook.remove"), s.removeHook)
	add(s, post, "/v1/webhooks/{id}/secret", "rotate-webhook", "Give a webhook a new secret; the former one signs, too, for 24 hours", write.as("webhook.rotate").once(), s.rotateHook)
	add(s, post, "/v1/webhooks/{id}/pause", "pause-webhook", "Tell a webhook nothing until it is resumed; nothing is lost", write.as("webhook.pause").anew(), s.pauseHook)
	add(s, post, "/v1/webhooks/{id}/resume", "resume-webhook", "Go on where a webhook was, whether it was paused, stopped or failing", write.as("webhook.resume").anew(), s.resumeHook)
	add(s, post, "/v1/webhooks/{id}/test", "try-webhook", "Post an event \"test\" now and say what came of it", write.as("webhook.test"), s.tryHook)
	add(s, post, "/v1/webhooks/{id}/replay", "replay-webhook", "Tell everything again from a time or an event on, as far back as the journal goes", write.as("webhook.replay"), s.replayHook)
	add(s, post, "/v1/webhooks/{id}/again", "send-webhook-again", "Post one event again now and say what came of it", write.as("webhook.again"), s.sendHookAgain)
	add(s, get, "/v1/webhooks/{id}/attempts", "webhook-attempts", "The last posts to a webhook, at most 100, the newest first", read, s.listHookAttempts)
}

// hooks is the room.
func (s *server) hooks() (*webhook.Webhooks, error) {
	if s.o.Webhooks == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway has no webhooks")
	}
	return s.o.Webhooks, nil
}

// HookRef is the input of endpoints about one webhook.
type HookRef struct {
	ID string `path:"id" maxLength:"64" doc:"ID of the webhook"`
}

func (r *HookRef) owner(ctx context.Context, s *server) (string, bool, error) {
	w, err := s.hooks()
	if err != nil {
		return "", false, err
	}
	h, err := w.Hook(ctx, r.ID)
	if errors.Is(err, webhook.ErrNotFound) {
		return "", false, nil
	}
	return h.Customer, err == nil, err
}
func (r *HookRef) kind() string { return "not-found" }

func hookOf(ctx context.Context, h webhook.Hook, now time.Time) Hook {
	out := Hook{ID: h.ID, Customer: h.Customer, HookSettings: HookSettings{Label: h.Label, URL: h.URL, Events: h.Events}, State: h.State(), Stopped: h.Stopped, StoppedAt: h.StoppedAt,
		FailingSince: h.FailingSince, Next: h.Next, Last: h.Last, LastStatus: h.LastStatus, LastOutcome: h.LastOutcome, Taken: h.Taken, Created: h.Created}
	if h.Former != "" && now.Before(h.FormerEnds) {
		out.FormerEnds = h.FormerEnds
	}
	if principal(ctx).Gateway() {
		out.MadeBy = h.MadeBy
	}
	return out
}

func attemptOf(a webhook.Attempt) HookAttempt {
	out := HookAttempt{At: a.At, Delivery: a.Delivery, Why: a.Why, Events: a.Events, Status: a.Status, Outcome: a.Outcome, Took: a.Took.Milliseconds()}
	if a.First > 0 {
		out.First, out.Last = strconv.FormatInt(a.First, 10), strconv.FormatInt(a.Last, 10)
	}
	return out
}

type hooksIn struct {
	ForCustomer
	Paging
}

func (s *server) listHooks(ctx context.Context, in *hooksIn) (*body[Hooks], error) {
	w, err := s.hooks()
	if err != nil {
		return nil, err
	}
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	after := ""
	if in.Cursor != "" {
		if after, err = readCursor(in.Cursor); err != nil {
			return nil, err
		}
	}
	hooks, next, err := w.List(ctx, webhook.Query{Customer: in.Customer, Everybody: in.Customer == "", After: after, Limit: min(in.Limit, 200)})
	if err != nil {
		return nil, s.fail(err)
	}
	out := Hooks{Hooks: []Hook{}}
	for _, h := range hooks {
		out.Hooks = append(out.Hooks, hookOf(ctx, h, s.o.Now()))
	}
	if next != "" {
		out.Next = writeCursor(next)
	}
	return &body[Hooks]{out}, nil
}

func (s *server) addHook(ctx context.Context, in *customerBody[HookRequest, *HookRequest]) (*body[NewHook], error) {
	about(ctx, in.Body.Label, in.Body.Customer)
	w, err := s.hooks()
	if err != nil {
		return nil, err
	}
	if err := s.scope(in.Body.Customer); err != nil {
		return nil, err
	}
	h, err := w.Add(ctx, in.Body.Customer, in.Body.settings(), actor(ctx))
	if err != nil {
		return nil, s.fail(err)
	}
	about(ctx, h.ID, h.Label)
	return &body[NewHook]{NewHook{hookOf(ctx, h, s.o.Now()), h.Secret}}, nil
}

func (s *server) showHook(ctx context.Context, in *HookRef) (*body[HookDetail], error) {
	w, err := s.hooks()
	if err != nil {
		return nil, err
	}
	h, err := w.Hook(ctx, in.ID)
	if err != nil {
		return nil, s.fail(err)
	}
	n, more, err := w.Waiting(ctx, &h)
	if err != nil {
		return nil, s.fail(err)
	}
	return &body[HookDetail]{HookDetail{hookOf(ctx, h, s.o.Now()), n, more}}, nil
}

// hookAct does an act with a webhook and answers what it is then.
func (s *server) hookAct(ctx context.Context, act func(w *webhook.Webhooks) (webhook.Hook, error)) (*body[Hook], error) {
	w, err := s.hooks()
	if err != nil {
		return nil, err
	}
	h, err := act(w)
	if err != nil {
		return nil, s.fail(err)
	}
	about(ctx, h.ID, h.Label)
	return &body[Hook]{hookOf(ctx, h, s.o.Now())}, nil
}

type updateHookIn struct {
	HookRef
	Body HookSettings
}

func (s *server) updateHook(ctx context.Context, in *updateHookIn) (*body[Hook], error) {
	return s.hookAct(ctx, func(w *webhook.Webhooks) (webhook.Hook, error) { return w.Update(ctx, in.ID, in.Body.settings()) })
}

func (s *server) removeHook(ctx context.Context, in *HookRef) (*body[Done], error) {
	w, err := s.hooks()
	if err != nil {
		return nil, err
	}
	if err := w.Remove(ctx, in.ID); err != nil {
		return nil, s.fail(err)
	}
	return done("webhook %s is taken away", in.ID), nil
}

func (s *server) rotateHook(ctx context.Context, in *HookRef) (*body[NewHook], error) {
	w, err := s.hooks()
	if err != nil {
		return nil, err
	}
	h, err := w.Rotate(ctx, in.ID)
	if err != nil {
		return nil, s.fail(err)
	}
	about(ctx, h.ID, h.Label)
	return &body[NewHook]{NewHook{hookOf(ctx, h, s.o.Now()), h.Secret}}, nil
}

func (s *server) pauseHook(ctx context.Context, in *HookRef) (*body[Hook], error) {
	return s.hookAct(ctx, func(w *webhook.Webhooks) (webhook.Hook, error) { return w.Pause(ctx, in.ID) })
}

func (s *server) resumeHook(ctx context.Context, in *HookRef) (*body[Hook], error) {
	return s.hookAct(ctx, func(w *webhook.Webhooks) (webhook.Hook, error) { return w.Resume(ctx, in.ID) })
}

type replayHookIn struct {
	HookRef
	Body ReplayRequest
}

func (s *server) replayHook(ctx context.Context, in *replayHookIn) (*body[Hook], error) {
	from := webhook.From{At: in.Body.Since}
	switch {
	case in.Body.Event != "":
		from.Fact, _ = strconv.ParseInt(in.Body.Event, 10, 64) // digits; too many are the greatest
	case in.Body.Since.IsZero():
		return nil, invalid("name since or event: from where is it told again?")
	}
	return s.hookAct(ctx, func(w *webhook.Webhooks) (webhook.Hook, error) { return w.Replay(ctx, in.ID, from) })
}

func (s *server) tryHook(ctx context.Context, in *HookRef) (*body[HookAttempt], error) {
	w, err := s.hooks()
	if err != nil {
		return nil, err
	}
	a, err := w.Test(ctx, in.ID)
	if err != nil {
		return nil, s.fail(err)
	}
	return &body[HookAttempt]{attemptOf(a)}, nil
}

type againHookIn struct {
	HookRef
	Body AgainRequest
}

func (s *server) sendHookAgain(ctx context.Context, in *againHookIn) (*body[HookAttempt], error) {
	w, err := s.hooks()
	if err != nil {
		return nil, err
	}
	id, _ := strconv.ParseInt(in.Body.Event, 10, 64)
	a, err := w.Again(ctx, in.ID, id)
	if err != nil {
		return nil, s.fail(err)
	}
	return &body[HookAttempt]{attemptOf(a)}, nil
}

func (s *server) listHookAttempts(ctx context.Context, in *HookRef) (*body[HookAttempts], error) {
	w, err := s.hooks()
	if err != nil {
		return nil, err
	}
	if _, err := w.Hook(ctx, in.ID); err != nil {
		return nil, s.fail(err)
	}
	all, err := w.Attempts(ctx, in.ID)
	if err != nil {
		return nil, s.fail(err)
	}
	out := HookAttempts{Attempts: []HookAttempt{}}
	for _, a := range all {
		out.Attempts = append(out.Attempts, attemptOf(a))
	}
	return &body[HookAttempts]{out}, nil
}

func hookPath(id, act string) string { return "/v1/webhooks/" + url.PathEscape(id) + act }

// Webhooks lists the webhooks of a customer, "" those of all.
func (c *Client) Webhooks(ctx context.Context, customer string) ([]Hook, error) {
	return pages(ctx, c, "/v1/webhooks", values("customer", customer), func(p Hooks) ([]Hook, string) { return p.Hooks, p.Next })
}

// Webhook returns one webhook with what waits for it.
func (c *Client) Webhook(ctx context.Context, id string) (HookDetail, error) {
	return get[HookDetail](ctx, c, hookPath(id, ""), nil)
}

// AddWebhook makes a webhook.
func (c *Client) AddWebhook(ctx context.Context, r HookRequest) (NewHook, error) {
	return send[NewHook](ctx, c, http.MethodPost, "/v1/webhooks", r)
}

// RemoveWebhook takes a webhook away.
func (c *Client) RemoveWebhook(ctx context.Context, id string) (Done, error) {
	return send[Done](ctx, c, http.MethodDelete, hookPath(id, ""), nil)
}

// PauseWebhook tells it nothing until ResumeWebhook.
func (c *Client) PauseWebhook(ctx context.Context, id string) (Hook, error) {
	return send[Hook](ctx, c, http.MethodPost, hookPath(id, "/pause"), nil)
}

// ResumeWebhook goes on where it was.
func (c *Client) ResumeWebhook(ctx context.Context, id string) (Hook, error) {
	return send[Hook](ctx, c, http.MethodPost, hookPath(id, "/resume"), nil)
}

// ReplayWebhook tells it again what it was told.
func (c *Client) ReplayWebhook(ctx context.Context, id string, r ReplayRequest) (Hook, error) {
	return send[Hook](ctx, c, http.MethodPost, hookPath(id, "/replay"), r)
}

// TryWebhook posts a test.
func (c *Client) TryWebhook(ctx context.Context, id string) (HookAttempt, error) {
	return send[HookAttempt](ctx, c, http.MethodPost, hookPath(id, "/test"), nil)
}
