package api

import (
	"context"
	"net/http"
	"strings"

	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/user"
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
	Messages [][]byte `json:"messages" nullable:"false" minItems:"1" maxItems:"200" doc:"Whole messages, in base64; of a complaint (feedback report) the message that it is about is learned"`
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

// addLearn registers the endpoints that take more than the others.
func (s *server) addLearn() {
	add(s, http.MethodPost, learnPath, "learn", "Learn wanted or unwanted mail", gateway(user.GatewayOperate).as("learn").upTo(maxLessonBody).anew(), s.learn)
	add(s, http.MethodPost, classifyPath, "classify", "Say how like spam a message is", gateway(user.GatewayRead).upTo(maxLessonBody), s.classify)
}

// learnPath takes whole messages: its requests may be larger than the others'.
const learnPath = "/v1/learn"

func (s *server) learn(ctx context.Context, in *bodyOf[LearnRequest]) (*body[Learned], error) {
	if s.o.Learn == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway learns nothing")
	}
	r := in.Body
	if r.Customer != "" {
		if _, err := s.customer(r.Customer); err != nil {
			return nil, err
		}
	}
	out, err := Teach(ctx, s.o.Learn, r)
	if err != nil {
		return nil, s.fail(err)
	}
	s.o.Logger.Info("mail learned", "class", r.Class, "customer", r.Customer, "messages", len(r.Messages), "changed", out.Changed, "actor", actor(ctx))
	return &body[Learned]{out}, nil
}

// Teach does what a LearnRequest asks for. The error is a problem when the request is wrong, else the database's.
func Teach(ctx context.Context, ledger *learn.Ledger, r LearnRequest) (Learned, error) {
	if len(r.Messages) > maxLessonMessages {
		return Learned{}, invalid("messages: %d in one request (at most %d)", len(r.Messages), maxLessonMessages)
	}
	var messages []*mail.Message
	for i, raw := range r.Messages {
		m := complainedOf(mail.Parse(raw, mail.DefaultLimits()))
		if len(m.Header) == 0 {
			return Learned{}, invalid("messages: number %d is no message: it has no header; nothing was learned", i+1)
		}
		messages = append(messages, m)
	}
	var n int
	var err error
	if r.Class == "forget" {
		n, err = ledger.Forget(ctx, r.Customer, messages...)
	} else {
		n, err = ledger.Learn(ctx, r.Customer, learn.Class(r.Class), messages...)
	}
	if err != nil {
		return Learned{}, err
	}
	out := Learned{Changed: n, Known: len(messages) - n, Need: learn.MinCorpus}
	if out.Spam, out.Ham, err = ledger.Totals(ctx, r.Customer); err != nil {
		return Learned{}, err
	}
	spam, ham := out.Spam, out.Ham
	if r.Customer != "" {
		moreSpam, moreHam, err := ledger.Totals(ctx, learn.Base)
		if err != nil {
			return Learned{}, err
		}
		spam, ham = spam+moreSpam, ham+moreHam
	}
	out.Enough = spam >= learn.MinCorpus && ham >= learn.MinCorpus
	return out, nil
}

// complainedOf is the message that a complaint (a feedback report, RFC 5965) is about: what was marked as spam, not the report around it. Other
// messages, and reports that hold no whole message, are returned as they are.
func complainedOf(m *mail.Message) *mail.Message {
	if m.Root.MediaType != "multipart/report" || !strings.EqualFold(m.Root.Params["report-type"], "feedback-report") {
		return m
	}
	for _, p := range m.Root.Children {
		if p.MediaType == "message/rfc822" {
			return mail.Parse(p.Decoded(), mail.DefaultLimits())
		}
	}
	return m
}

// ClassifyRequest asks how like spam a message is.
type ClassifyRequest struct {
	Customer string `json:"customer,omitempty" maxLength:"100" doc:"Whose experience is asked, beside everybody's"`
	Message  []byte `json:"message" doc:"A whole message, in base64"`
}

// classifyPath takes a whole message.
const classifyPath = "/v1/learn/classify"

// Classification is how like spam a message is.
type Classification struct {
	Measured    bool    `json:"measured" doc:"False when too little was learned, or nothing of the message is known; the probability means nothing then"`
	Probability float64 `json:"probability" doc:"That the message is spam, 0 to 1"`
	Clues       []Clue  `json:"clues" nullable:"false" doc:"What decided, strongest first"`
	Known       int     `json:"known" doc:"Tokens of the message that were seen before"`
	Spam        int64   `json:"spam" doc:"Unwanted messages that the answer rests on"`
	Ham         int64   `json:"ham" doc:"Wanted messages that the answer rests on"`
}

// Clue is a token that speaks for or against a message.
type Clue struct {
	Text        string  `json:"text"`
	Probability float64 `json:"probability" doc:"That a message which holds it is spam, 0 to 1"`
}

func (s *server) classify(ctx context.Context, in *bodyOf[ClassifyRequest]) (*body[Classification], error) {
	if s.o.Learn == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway learns nothing")
	}
	r, err := s.o.Learn.Classify(ctx, in.Body.Customer, mail.Parse(in.Body.Message, mail.DefaultLimits()))
	if err != nil {
		return nil, s.fail(err)
	}
	out := Classification{Measured: r.Measured, Probability: r.Probability, Clues: make([]Clue, len(r.Clues)), Known: r.Known, Spam: r.Spam, Ham: r.Ham}
	for i, c := range r.Clues {
		out.Clues[i] = Clue{c.Text, c.Probability}
	}
	return &body[Classification]{out}, nil
}

// Classify asks how like spam a message is, after what the gateway learned for a customer. It is a filter.Classify.
func (c *Client) Classify(ctx context.Context, customer string, m *mail.Message) (learn.Result, error) {
	r, err := send[Classification](ctx, c, http.MethodPost, classifyPath, ClassifyRequest{Customer: customer, Message: m.Raw})
	out := learn.Result{Measured: r.Measured, Probability: r.Probability, Known: r.Known, Spam: r.Spam, Ham: r.Ham}
	for _, x := range r.Clues {
		out.Clues = append(out.Clues, learn.Clue{Text: x.Text, Probability: x.Probability})
	}
	return out, err
}

// Learn teaches the gateway what wanted and unwanted mail is.
func (c *Client) Learn(ctx context.Context, r LearnRequest) (Learned, error) {
	return send[Learned](ctx, c, http.MethodPost, learnPath, r)
}
