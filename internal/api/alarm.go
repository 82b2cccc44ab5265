package api

import (
	"context"
	"net/http"
	"time"

	"postern/internal/alarm"
	"postern/internal/user"
)

// Alarm is something the operator must know of.
type Alarm struct {
	Key      string    `json:"key"`
	Severity string    `json:"severity" enum:"warning,critical"`
	Since    time.Time `json:"since"`
	Title    string    `json:"title"`
	Text     string    `json:"text" doc:"What it means and what to do"`
}

// Alarms are those that stand, the oldest first, and how the webhooks fare.
type Alarms struct {
	Alarms []Alarm           `json:"alarms" nullable:"false"`
	Hooks  []alarm.HookStats `json:"webhooks" nullable:"false"`
}

func (s *server) addAlarms() {
	add(s, http.MethodGet, "/v1/alarms", "list-alarms", "What the operator must know of now", gateway(user.GatewayRead), s.listAlarms)
	add(s, http.MethodPost, "/v1/alarms/test", "test-webhooks", "Post a test to every webhook", gateway(user.HooksWrite).as("alarm.test"), s.testWebhooks)
}

// InLanguage is the part of an input that says in which language texts are wanted.
type InLanguage struct {
	Lang string `query:"lang" enum:"en,fr" default:"en"`
}

func (s *server) listAlarms(_ context.Context, in *InLanguage) (*body[Alarms], error) {
	out := Alarms{Alarms: []Alarm{}, Hooks: []alarm.HookStats{}}
	if s.o.Alarms == nil {
		return &body[Alarms]{out}, nil
	}
	for _, x := range s.o.Alarms.Raised() {
		out.Alarms = append(out.Alarms, Alarm{x.Key, string(x.Severity), x.Since, s.o.Alarms.Title(in.Lang, x), s.o.Alarms.Text(in.Lang, x)})
	}
	out.Hooks = append(out.Hooks, s.o.Alarms.Hooks()...)
	return &body[Alarms]{out}, nil
}

func (s *server) testWebhooks(ctx context.Context, _ *none) (*body[Done], error) {
	if s.o.Alarms == nil || len(s.o.Alarms.Hooks()) == 0 {
		return nil, problem(http.StatusConflict, "no-webhook", "no webhook is configured; name one in alarm.webhooks")
	}
	s.o.Alarms.Test()
	s.o.Logger.Info("webhooks are tested on request", "actor", actor(ctx))
	return done("a test is on its way to %d webhooks; postern alarm list shows what came of it", len(s.o.Alarms.Hooks())), nil
}

// Alarms returns what stands and how the webhooks fare.
func (c *Client) Alarms(ctx context.Context, lang string) (Alarms, error) {
	return get[Alarms](ctx, c, "/v1/alarms", values("lang", lang))
}

// TestWebhooks posts a test to every webhook.
func (c *Client) TestWebhooks(ctx context.Context) (Done, error) {
	return send[Done](ctx, c, http.MethodPost, "/v1/alarms/test", nil)
}
