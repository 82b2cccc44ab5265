package filter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/opinion"
)

// scripted is a scanner that says what it is told to.
type scripted func(ctx context.Context, q opinion.Question) (opinion.Answer, error)

func (s scripted) Ask(ctx context.Context, q opinion.Question) (opinion.Answer, error) {
	return s(ctx, q)
}

func says(a opinion.Answer, err error) scripted {
	return func(context.Context, opinion.Question) (opinion.Answer, error) { return a, err }
}

// opinions are the scanners of a case.
func (c goldenCase) opinions(t testing.TB) []Opinion {
	t.Helper()
	var out []Opinion
	switch name, found := strings.CutSuffix(c.Clamd, " FOUND"); {
	case found:
		out = append(out, Opinion{Name: "clamd", Asker: says(opinion.Answer{Signature: name}, nil)})
	case c.Clamd == "OK":
		out = append(out, Opinion{Name: "clamd", Asker: says(opinion.Answer{}, nil)})
	case c.Clamd == "unavailable":
		out = append(out, Opinion{Name: "clamd", Asker: says(opinion.Answer{}, &opinion.Error{Scanner: "clamd", Kind: opinion.ErrUnavailable, Detail: "192.0.2.99"})})
	case c.Clamd != "":
		t.Fatal(c.Clamd)
	}
	if c.Rspamd != "" {
		f := strings.Split(c.Rspamd, "/")
		a := opinion.Answer{Action: f[0], Symbols: []opinion.Symbol{{Name: f[3], Description: "a made-up symbol", Options: []string{"there"}}, {Name: "GOOD", Score: -1}}}
		if _, err := fmt.Sscan(f[1]+" "+f[2], &a.Score, &a.Required); err != nil {
			t.Fatal(c.Rspamd, err)
		}
		a.Symbols[0].Score = a.Score + 1
		out = append(out, Opinion{Name: "rspamd", Asker: says(a, nil)})
	}
	return out
}

func opinionInput(t *testing.T) Input {
	in := caseNamed(t, "101-plain").input(t)
	in.QueueID, in.Credential = "4XYZ", "anne"
	return in
}

func unavailable(name string) error {
	return &opinion.Error{Scanner: name, Kind: opinion.ErrUnavailable, Detail: "dial unix /run/x: no such file"}
}

// TestClosedOpinion: without the opinion of a scanner that must be asked there is no verdict.
func TestClosedOpinion(t *testing.T) {
	t.Parallel()
	in := opinionInput(t)
	large := &opinion.Error{Scanner: "clamd", Kind: opinion.ErrTooLarge}
	for _, tc := range []struct {
		name string
		err  error
		want error
	}{
		{"no answer", unavailable("clamd"), ErrUnscanned},
		{"nonsense", &opinion.Error{Scanner: "clamd", Kind: opinion.ErrProtocol}, ErrUnscanned},
		{"an error of no kind", errors.New("odd"), ErrUnscanned},
		{"too large", large, ErrUnscannable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := testFilter(t, Options{Resolver: nothing, Opinions: []Opinion{
				{Name: "rspamd", Asker: says(opinion.Answer{}, unavailable("rspamd")), Closed: true},
				{Name: "clamd", Asker: says(opinion.Answer{}, tc.err), Closed: true}}})
			v, err := f.Run(t.Context(), in)
			if !errors.Is(err, tc.want) || len(v.Hits) > 0 || tc.want == ErrUnscannable && errors.Is(err, ErrUnscanned) {
				t.Errorf("verdict %+v, error %v", v, err)
			}
		})
	}
	open := testFilter(t, Options{Resolver: nothing, Opinions: []Opinion{{Name: "clamd", Asker: says(opinion.Answer{}, large)},
		{Name: "rspamd", Asker: says(opinion.Answer{}, unavailable("rspamd"))}}})
	v, err := open.Run(t.Context(), in)
	if err != nil || !v.Open() {
		t.Fatal(v, err)
	}
	want := Unknown{"OPINION_UNAVAILABLE", "clamd does not take messages of this size; rspamd gave no answer"}
	found := false
	for _, u := range v.Unknown {
		found = found || u == want
	}
	if !found {
		t.Errorf("unknown: %+v", v.Unknown)
	}
}

// TestVirusLocks: whatever thresholds and other tests say.
func TestVirusLocks(t *testing.T) {
	t.Parallel()
	in := opinionInput(t)
	in.Customer = account.Customer{ID: "c", Threshold: MaxScore}
	virus := []Opinion{{Name: "clamd", Asker: says(opinion.Answer{Signature: "Made.Up-1"}, nil)}}
	v, err := testFilter(t, Options{Resolver: nothing, Opinions: virus}).Run(t.Context(), in)
	if err != nil || !v.Held || !v.Locked || v.Score != MaxScore {
		t.Fatalf("%+v, %v", v, err)
	}
	if h, _ := v.Hit("VIRUS_FOUND"); h.Points != 100 || h.Evidence[0] != "clamd found Made.Up-1" || h.Args["What"] != "Made.Up-1" {
		t.Errorf("%+v", h)
	}
	for _, scores := range []map[string]float64{{"VIRUS_FOUND": 0}, {"VIRUS_FOUND": 1}, {"OPINION_UNAVAILABLE": 0}, {"RSPAMD_SUSPECT": 1}} {
		if _, err := New(Options{Resolver: nothing, Opinions: virus, Scores: scores}); err == nil {
			t.Errorf("scores %v were taken", scores)
		}
	}
	for _, o := range []Opinion{{Name: "clamd"}, {Asker: virus[0].Asker}, {Name: "x", Asker: virus[0].Asker, Factor: -1}} {
		if _, err := New(Options{Resolver: nothing, Opinions: []Opinion{o}}); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestSuspicion(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		action          string
		score, required float64
		o               Opinion
		want            float64
	}{
		{"no action", 3.9, 15, Opinion{}, 0},
		{"no action", -8, 15, Opinion{}, 0},
		{"greylist", 5, 15, Opinion{}, 0},
		{"add header", 6, 15, Opinion{}, 3.2},
		{"add header", 6, 15, Opinion{Factor: 5}, 2},
		{"add header", 9, 15, Opinion{}, 4.8},
		{"rewrite subject", 1, 15, Opinion{}, 3.2},
		{"reject", 15, 15, Opinion{}, 8},
		{"reject", 0, 0, Opinion{}, 8},
		{"reject", 1e308, 15, Opinion{}, 10},
		{"reject", 1e308, 1e-308, Opinion{}, 10},
		{"reject", 60, 15, Opinion{MaxPoints: 15}, 15},
		{"a word of its own", 7.5, 15, Opinion{}, 4},
		{"a word of its own", -7.5, 15, Opinion{}, 0},
		{"", 15, 15, Opinion{}, 0},
	} {
		if got := suspicion(opinion.Answer{Action: tc.action, Score: tc.score, Required: tc.required}, tc.o); got != tc.want {
			t.Errorf("%s %g of %g, %+v: %g, want %g", tc.action, tc.score, tc.required, tc.o, got, tc.want)
		}
	}
}

// TestOpinionHasItsOwnTime: a scanner slower than the deadline of the DNS tests is waited for, and what comes after it still works.
func TestOpinionHasItsOwnTime(t *testing.T) {
	t.Parallel()
	in := opinionInput(t)
	synctest.Test(t, func(t *testing.T) {
		slow := scripted(func(ctx context.Context, _ opinion.Question) (opinion.Answer, error) {
			select {
			case <-time.After(14 * time.Second):
				return opinion.Answer{Signature: "Slow.But-Sure"}, nil
			case <-ctx.Done():
				return opinion.Answer{}, ctx.Err()
			}
		})
		begun := time.Now()
		f := testFilter(t, Options{Resolver: nothing, Deadline: time.Second, Opinions: []Opinion{{Name: "clamd", Asker: slow}, {Name: "rspamd", Asker: slow}}, Now: time.Now})
		v, err := f.Run(t.Context(), in)
		if err != nil || !v.Locked || time.Since(begun) != 14*time.Second {
			t.Errorf("%+v, %v after %s: not both at once, or cut short", v, err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Run(ctx, in); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("end of the caller's time: %v", err)
		}
	})
}

// TestOpinionQuestion: the message is shown as its receivers will see it come.
func TestOpinionQuestion(t *testing.T) {
	t.Parallel()
	in := opinionInput(t)
	var mu sync.Mutex
	var got opinion.Question
	var heard []string
	ask := scripted(func(_ context.Context, q opinion.Question) (opinion.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		got = q
		return opinion.Answer{Action: "no action"}, nil
	})
	f := testFilter(t, Options{Resolver: nothing, Opinions: []Opinion{{Name: "rspamd", Asker: ask}}, Asked: func(name string, _ time.Duration, err error) {
		heard = append(heard, fmt.Sprint(name, " ", err))
	}})
	v, err := f.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Hit("RSPAMD_SUSPECT"); ok || v.Open() {
		t.Errorf("%+v", v)
	}
	if got.IP != netip.MustParseAddr("192.0.2.25") || got.Hello != "mx.gate.example" || got.From != "anne@good.example" || got.QueueID != "4XYZ" ||
		got.User != "anne" || len(got.Recipients) != 1 || got.Recipients[0] != "bob@there.example" || string(got.Raw) != string(in.Message.Raw) {
		t.Errorf("asked %+v", got)
	}
	if len(heard) != 1 || heard[0] != "rspamd <nil>" {
		t.Errorf("heard %q", heard)
	}
	in.Egress, in.Envelope.ReversePath = nil, mail.Address{}
	if _, err := f.Run(t.Context(), in); err != nil || got.IP != in.ClientIP || got.Hello != in.Hello || got.From != "" {
		t.Errorf("without egress asked %+v, %v", got, err)
	}
}

// TestOpinionPanics: a scanner's client that breaks leaves no verdict.
func TestOpinionPanics(t *testing.T) {
	t.Parallel()
	mad := scripted(func(context.Context, opinion.Question) (opinion.Answer, error) { panic("boom") })
	f := testFilter(t, Options{Resolver: answers(func(context.Context, string, dns.Type) dns.Answer { return dns.Answer{Status: dns.Nothing} }), Opinions: []Opinion{{Name: "clamd", Asker: mad}}})
	if _, err := f.Run(t.Context(), opinionInput(t)); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Error(err)
	}
}
