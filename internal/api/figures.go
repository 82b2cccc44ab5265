package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/user"
)

// Figures are counts over time.
type Figures struct {
	Points  []FigurePoint `json:"points" nullable:"false"`
	Since   time.Time     `json:"since,omitzero" doc:"When the figures begin"`
	Through time.Time     `json:"through,omitzero" doc:"Facts of a journal from before are still being counted; so far it came. Absent: all are"`
}

// FigurePoint is one step of them.
type FigurePoint struct {
	At    time.Time                `json:"at" doc:"Its beginning"`
	Known bool                     `json:"known" doc:"False: before the figures begin, or not counted yet; the counts say nothing"`
	Count map[journal.Figure]int64 `json:"count" nullable:"false" doc:"What is not there is 0. Kinds of facts, and =taken, =recipients, =stopped, =delayed, =judged"`
}

// ProviderFigures are the counts of one provider.
type ProviderFigures struct {
	Provider string                   `json:"provider" doc:"default: receivers that are nobody's in particular"`
	Count    map[journal.Figure]int64 `json:"count" nullable:"false"`
}

// ByProvider are the counts by who answered.
type ByProvider struct {
	Providers []ProviderFigures `json:"providers" nullable:"false"`
}

// TestFigures is how often a test fired.
type TestFigures struct {
	Test   string  `json:"test"`
	Hits   int64   `json:"hits" doc:"Messages"`
	Points float64 `json:"points" doc:"The sum"`
}

// ByTest is how often tests fired.
type ByTest struct {
	Tests  []TestFigures `json:"tests" nullable:"false"`
	Judged int64         `json:"judged" doc:"Messages that were tested"`
}

// OfTest is how often one test fired, over time.
type OfTest struct {
	Points []TestPoint `json:"points" nullable:"false"`
}

// TestPoint is one step of it.
type TestPoint struct {
	At     time.Time `json:"at" doc:"Its beginning"`
	Known  bool      `json:"known" doc:"False: before the figures begin, or not counted yet"`
	Hits   int64     `json:"hits" doc:"Messages on which it fired"`
	Judged int64     `json:"judged" doc:"Messages that were tested"`
}

// ByCustomer are the customers with the greatest figure.
type ByCustomer struct {
	Customers []CustomerFigure `json:"customers" nullable:"false"`
}

// CustomerFigure is the figure of one customer.
type CustomerFigure struct {
	Customer string `json:"customer"`
	Name     string `json:"name"`
	Count    int64  `json:"count"`
}

// addFigures registers counts.
func (s *server) addFigures() {
	add(s, http.MethodGet, "/v1/figures", "figures", "Messages and what became of them, over time", over(user.MailRead), s.figures)
	add(s, http.MethodGet, "/v1/figures/providers", "figures-by-provider", "What became of mail, by provider", over(user.MailRead), s.figuresByProvider)
	add(s, http.MethodGet, "/v1/figures/tests", "figures-by-test", "How often tests fired", over(user.MailRead), s.figuresByTest)
	add(s, http.MethodGet, "/v1/figures/tests/{test}", "figures-of-test", "How often one test fired, over time, on everybody's mail", gateway(user.GatewayRead), s.figuresOfTest)
	add(s, http.MethodGet, "/v1/figures/customers", "figures-by-customer", "Customers with the greatest figure, the greatest first", gateway(user.GatewayRead), s.figuresByCustomer)
}

type figuresIn struct {
	ForCustomer
	Since   time.Time `query:"since" doc:"Default: a day before until"`
	Until   time.Time `query:"until" doc:"Default: now"`
	Step    string    `query:"step" enum:"hour,day" default:"hour" doc:"hour: at most 35 days; day: at most 400"`
	Zone    string    `query:"zone" maxLength:"64" doc:"IANA time zone of days; default UTC"`
	Figures []string  `query:"figures" maxItems:"40" doc:"Only these, separated by commas"`
}

type windowIn struct {
	ForCustomer
	Since time.Time `query:"since" doc:"Default: a day before until"`
	Until time.Time `query:"until" doc:"Default: now"`
}

// window completes a stretch of time.
func (s *server) window(since, until time.Time) (from, to time.Time) {
	if until.IsZero() {
		until = s.o.Now()
	}
	if since.IsZero() {
		since = until.Add(-24 * time.Hour)
	}
	return since, until
}

func (s *server) figures(ctx context.Context, in *figuresIn) (*body[Figures], error) {
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(in.Zone)
	if err != nil || in.Zone == "Local" {
		return nil, invalid("zone: there is no time zone %q (such as Europe/Paris)", clip(in.Zone, 64))
	}
	q := journal.FiguresQuery{Customer: in.Customer, Step: journal.Step(in.Step), Zone: zone}
	q.From, q.To = s.window(in.Since, in.Until)
	for _, x := range in.Figures {
		q.Figures = append(q.Figures, journal.Figure(x))
	}
	got, err := s.o.Journal.Figures(ctx, q)
	if err != nil {
		return nil, s.fail(err)
	}
	out := Figures{Points: []FigurePoint{}, Since: got.Since, Through: got.Through}
	for _, p := range got.Points {
		out.Points = append(out.Points, FigurePoint{p.At, p.Known, p.Count})
	}
	return &body[Figures]{out}, nil
}

func (s *server) figuresByProvider(ctx context.Context, in *windowIn) (*body[ByProvider], error) {
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	q := journal.FiguresQuery{Customer: in.Customer}
	q.From, q.To = s.window(in.Since, in.Until)
	got, err := s.o.Journal.ByProvider(ctx, q)
	if err != nil {
		return nil, s.fail(err)
	}
	out := ByProvider{Providers: []ProviderFigures{}}
	for _, p := range got {
		out.Providers = append(out.Providers, ProviderFigures{p.Provider, p.Count})
	}
	return &body[ByProvider]{out}, nil
}

func (s *server) figuresByTest(ctx context.Context, in *windowIn) (*body[ByTest], error) {
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	q := journal.FiguresQuery{Customer: in.Customer}
	q.From, q.To = s.window(in.Since, in.Until)
	got, judged, err := s.o.Journal.TestSums(ctx, q)
	if err != nil {
		return nil, s.fail(err)
	}
	out := ByTest{Tests: []TestFigures{}, Judged: judged}
	for _, x := range got {
		out.Tests = append(out.Tests, TestFigures{x.Test, x.Hits, x.Points})
	}
	return &body[ByTest]{out}, nil
}

type testIn struct {
	Test  string    `path:"test" maxLength:"100"`
	Since time.Time `query:"since" doc:"Default: a day before until"`
	Until time.Time `query:"until" doc:"Default: now"`
	Step  string    `query:"step" enum:"hour,day" default:"hour" doc:"hour: at most 35 days; day: at most 400"`
}

func (s *server) figuresOfTest(ctx context.Context, in *testIn) (*body[OfTest], error) {
	f, err := s.tests()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(f.Catalogue(), func(t filter.Test) bool { return t.Name == in.Test }) {
		return nil, problem(http.StatusNotFound, "not-found", "there is no test %q; /v1/tuning/scores?all=true lists them", clip(in.Test, 100))
	}
	q := journal.FiguresQuery{Step: journal.Step(in.Step)}
	q.From, q.To = s.window(in.Since, in.Until)
	got, err := s.o.Journal.TestPoints(ctx, in.Test, q)
	if err != nil {
		return nil, s.fail(err)
	}
	out := OfTest{Points: []TestPoint{}}
	for _, p := range got {
		out.Points = append(out.Points, TestPoint{p.At, p.Known, p.Hits, p.Judged})
	}
	return &body[OfTest]{out}, nil
}

type topIn struct {
	Since  time.Time `query:"since" doc:"Default: a day before until"`
	Until  time.Time `query:"until" doc:"Default: now. At most 48 hours after since; hours count whole"`
	Figure string    `query:"figure" maxLength:"40" default:"=taken" doc:"A kind of facts, or =taken, =recipients, =stopped, =delayed, =judged"`
	Limit  int       `query:"limit" minimum:"1" maximum:"200" default:"20"`
}

func (s *server) figuresByCustomer(ctx context.Context, in *topIn) (*body[ByCustomer], error) {
	from, to := s.window(in.Since, in.Until)
	if in.Since.IsZero() {
		from = from.Truncate(time.Hour).Add(time.Hour)
	}
	got, err := s.o.Journal.Top(ctx, journal.Figure(in.Figure), from, to, in.Limit)
	if err != nil {
		return nil, s.fail(err)
	}
	out := ByCustomer{Customers: []CustomerFigure{}}
	for _, x := range got {
		out.Customers = append(out.Customers, CustomerFigure{x.Customer, s.nameOf(x.Customer), x.Count})
	}
	return &body[ByCustomer]{out}, nil
}
