package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/learn"
	"postern/internal/mail"
)

// Limits of one request to learn.
const (
	maxLessonBody     = 24 << 20
	maxLessonMessages = 200
)

// MaxLesson bounds the messages of one LearnRequest together, in bytes.
const MaxLesson = 16 << 20

// LearnRequest gives messages to learn from.
type LearnRequest struct {
	Class    string   `json:"class" enum:"spam,ham,forget" doc:"What they are; forget takes back what was learned of them"`
	Customer string   `json:"customer,omitempty" maxLength:"100" doc:"Whose mail is judged by it; empty: everybody's"`
	Messages [][]byte `json:"messages" nullable:"false" minItems:"1" maxItems:"200" doc:"Whole messages, in base64"`
}

// Learned tells what a LearnRequest did and what is known now.
type Learned struct {
	Changed int   `json:"changed" doc:"Messages that were new, or were the other class before"`
	Known   int   `json:"known" doc:"Messages that had been learned like this already, or had never been where they were to be forgotten"`
	Spam    int64 `json:"spam" doc:"Unwanted messages learned in all, of this customer or of everybody"`
	Ham     int64 `json:"ham" doc:"Wanted messages learned in all"`
	Need    int   `json:"need" doc:"Messages of each class that must be learned before the tests answer"`
	Enough  bool  `json:"enough" doc:"So many are learned, for everybody and this customer together"`
}

// addLearn registers the endpoint that takes more than the others.
func (s *server) addLearn(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "learn", Method: http.MethodPost, Path: learnPath, Summary: "Learn wanted or unwanted mail",
		DefaultStatus: http.StatusOK, MaxBodyBytes: maxLessonBody, Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity}}, s.learn)
}

// learnPath takes whole messages: its requests may be larger than the others'.
const learnPath = "/v1/learn"

func (s *server) learn(ctx context.Context, in *struct {
	By
	Body LearnRequest
}) (*body[Learned], error) {
	if s.o.Learn == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway learns nothing")
	}
	r := in.Body
	if r.Customer != "" {
		if _, err := s.customer(r.Customer); err != nil {
			return nil, err
		}
	}
	if len(r.Messages) > maxLessonMessages {
		return nil, invalid(fmt.Sprintf("messages: %d in one request (at most %d)", len(r.Messages), maxLessonMessages))
	}
	var messages []*mail.Message
	for i, raw := range r.Messages {
		m := mail.Parse(raw, mail.DefaultLimits())
		if len(m.Header) == 0 {
			return nil, invalid(fmt.Sprintf("messages: number %d is no message: it has no header; nothing was learned", i+1))
		}
		messages = append(messages, m)
	}
	var n int
	var err error
	if r.Class == "forget" {
		n, err = s.o.Learn.Forget(ctx, r.Customer, messages...)
	} else {
		n, err = s.o.Learn.Learn(ctx, r.Customer, learn.Class(r.Class), messages...)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	out := Learned{Changed: n, Known: len(messages) - n, Need: learn.MinCorpus}
	if out.Spam, out.Ham, err = s.o.Learn.Totals(ctx, r.Customer); err != nil {
		return nil, s.fail(err)
	}
	spam, ham := out.Spam, out.Ham
	if r.Customer != "" {
		moreSpam, moreHam, err := s.o.Learn.Totals(ctx, learn.Base)
		if err != nil {
			return nil, s.fail(err)
		}
		spam, ham = spam+moreSpam, ham+moreHam
	}
	out.Enough = spam >= learn.MinCorpus && ham >= learn.MinCorpus
	s.o.Logger.Info("mail learned", "class", r.Class, "customer", r.Customer, "messages", len(messages), "changed", n, "actor", in.actor())
	return &body[Learned]{out}, nil
}

// Learn teaches the gateway what wanted and unwanted mail is.
func (c *Client) Learn(ctx context.Context, r LearnRequest) (Learned, error) {
	return send[Learned](ctx, c, http.MethodPost, learnPath, r)
}
