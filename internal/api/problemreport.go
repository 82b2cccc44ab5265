package api

import (
	"context"
	"net/http"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
)

// ProblemReport is what somebody pasted about mail that went wrong.
type ProblemReport struct {
	Text     string    `json:"text" minLength:"1" maxLength:"60000" doc:"An error text, a whole status notification, an address, a subject, a time, a Message-ID, a queue ID: any of them together"`
	Customer string    `json:"customer,omitempty" maxLength:"64" doc:"Only this customer's mail"`
	Since    time.Time `json:"since,omitzero" doc:"Only facts since then"`
}

// Match is a message that a report may be about.
type Match struct {
	ID     mail.QueueID `json:"id"`
	Weight float64      `json:"weight" doc:"How sure it is, 0 to 100"`
	By     []string     `json:"by" nullable:"false" doc:"What led there: id, message-id, reference, address, time, code, status, words, phrase"`
	Fact   Fact         `json:"fact" doc:"The fact that fits best"`
}

// Matches are the messages that a report may be about, the surest first.
type Matches struct {
	Matches []Match `json:"matches" nullable:"false"`
}

func (r *ProblemReport) scope() *string { return &r.Customer }

func (s *server) findProblem(ctx context.Context, in *customerBody[ProblemReport, *ProblemReport]) (*body[Matches], error) {
	if err := s.o.Journal.Flush(ctx); err != nil {
		s.o.Logger.Warn("facts not yet written", "error", err)
	}
	found, _, err := s.o.Journal.Find(ctx, journal.Problem{Text: in.Body.Text, Customer: in.Body.Customer, Since: in.Body.Since, Reference: s.o.Reference})
	if err != nil {
		return nil, s.fail(err)
	}
	out := Matches{Matches: []Match{}}
	for _, m := range found {
		out.Matches = append(out.Matches, Match{m.ID, m.Weight, append([]string{}, m.By...), factsOf([]journal.Fact{m.Fact})[0]})
	}
	return &body[Matches]{out}, nil
}

// Problem says which messages a report of a problem may be about.
func (c *Client) Problem(ctx context.Context, r ProblemReport) ([]Match, error) {
	out, err := send[Matches](ctx, c, http.MethodPost, "/v1/problem", r)
	return out.Matches, err
}
