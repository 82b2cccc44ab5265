package api

import (
	"context"
	"fmt"
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

// AlarmLine is a line of the history of alarms.
type AlarmLine struct {
	ID       string            `json:"id"`
	Key      string            `json:"key"`
	Code     string            `json:"code" doc:"What kind of alarm it is; the filter takes it"`
	Severity string            `json:"severity" enum:"warning,critical"`
	Title    string            `json:"title"`
	Text     string            `json:"text" doc:"What it means and what to do"`
	Args     map[string]string `json:"args,omitempty" doc:"What the sentences were filled with when they were told"`
	Raised   time.Time         `json:"raised"`
	Cleared  *time.Time        `json:"cleared,omitempty" doc:"When it ended; absent while it stands, and for what has no end"`
	Once     bool              `json:"once,omitempty" doc:"It happened and has no end"`
	Told     []string          `json:"told" nullable:"false" doc:"To whom: mail:ADDRESS, webhook:NAME"`
	Again    int               `json:"told_again" doc:"How often it was told again while it stood"`
	Latest   time.Time         `json:"last_told"`
}

// AlarmHistory is a page of the history of alarms, the latest first.
type AlarmHistory struct {
	Lines []AlarmLine `json:"alarms" nullable:"false"`
	Codes []string    `json:"codes" nullable:"false" doc:"The codes that there are"`
	Next  string      `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (h AlarmHistory) nextPage() string { return h.Next }

type alarmHistoryIn struct {
	InLanguage
	Paging
	Code string `query:"code" maxLength:"64" doc:"Only alarms of this code"`
}

func (s *server) addAlarms() {
	add(s, http.MethodGet, "/v1/alarms/history", "list-alarm-history", "What the operator was told of, to whom, and when it ended", gateway(user.GatewayRead), s.listAlarmHistory)
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

func (s *server) listAlarmHistory(ctx context.Context, in *alarmHistoryIn) (*body[AlarmHistory], error) {
	out := AlarmHistory{Lines: []AlarmLine{}, Codes: []string{}}
	if s.o.Alarms == nil {
		return &body[AlarmHistory]{out}, nil
	}
	q := alarm.HistoryQuery{Code: in.Code, Limit: in.Limit}
	var err error
	if in.Cursor != "" {
		if q.Before, err = readCursor(in.Cursor); err != nil {
			return nil, err
		}
	}
	lines, next, err := s.o.Alarms.History(ctx, q)
	if err != nil {
		return nil, s.fail(err)
	}
	for _, l := range lines {
		x := AlarmLine{l.ID, l.Key, l.Code, string(l.Severity), s.o.Alarms.Title(in.Lang, l.Alarm), s.o.Alarms.Text(in.Lang, l.Alarm), l.Args, l.Since, nil, l.Once, append([]string{}, l.Told...), l.Again, l.Latest}
		if !l.Cleared.IsZero() {
			x.Cleared = &l.Cleared
		}
		out.Lines = append(out.Lines, x)
	}
	out.Codes = append(out.Codes, s.o.Alarms.Codes()...)
	if next != "" {
		out.Next = writeCursor(next)
	}
	return &body[AlarmHistory]{out}, nil
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

// AlarmHistory returns a page of what was told: of one code, or "" of all.
func (c *Client) AlarmHistory(ctx context.Context, lang, code, cursor string, limit int) (AlarmHistory, error) {
	return get[AlarmHistory](ctx, c, "/v1/alarms/history", values("lang", lang, "code", code, "cursor", cursor, "limit", fmt.Sprint(limit)))
}
