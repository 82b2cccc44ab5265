package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"postern/internal/feedback"
	"postern/internal/mail"
)

// ReturnAddress is what a return address, or another reference of ours, refers to.
type ReturnAddress struct {
	QueueID   mail.QueueID `json:"queue_id"`
	Made      time.Time    `json:"made" doc:"When the message was accepted"`
	Public    bool         `json:"public" doc:"It is the reference of a Message-ID or of our header field, and no address that takes mail"`
	Index     int          `json:"index" doc:"The recipient's number in the envelope; -1: any of them"`
	Recipient string       `json:"recipient,omitempty"`
	Known     bool         `json:"known" doc:"The journal knows the message"`
	Customer  string       `json:"customer,omitempty"`
	Sender    string       `json:"sender,omitempty" doc:"The reverse path that the sender gave"`
	From      string       `json:"from,omitempty"`
	Subject   string       `json:"subject,omitempty"`
}

type lookIn struct {
	Text string `query:"text" maxLength:"8192" doc:"An address, a Message-ID, or any text that holds one"`
}

func (s *server) lookReturnAddress(ctx context.Context, in *lookIn) (*body[ReturnAddress], error) {
	if s.o.Look == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway makes no return addresses")
	}
	m, err := s.o.Look(ctx, in.Text)
	switch {
	case errors.Is(err, feedback.ErrForged):
		return nil, problem(http.StatusNotFound, "forged", "it has the form of one of our return addresses and a wrong signature: forged, damaged, or made with a key that is gone")
	case errors.Is(err, feedback.ErrNotOurs):
		return nil, problem(http.StatusNotFound, "not-ours", "there is no return address or reference of this gateway in it")
	case err != nil:
		return nil, s.fail(err)
	}
	return &body[ReturnAddress]{returnAddressOf(m)}, nil
}

func returnAddressOf(m feedback.Made) ReturnAddress {
	a := m.Accepted
	return ReturnAddress{QueueID: m.Ref.ID, Made: m.Ref.Made, Public: m.Ref.Public, Index: m.Ref.Recipient, Recipient: m.Recipient.String(), Known: a.Kind != "",
		Customer: a.Customer, Sender: a.ReversePath, From: a.HeaderFrom, Subject: a.Subject}
}

// ReturnAddress says what a return address refers to.
func (c *Client) ReturnAddress(ctx context.Context, text string) (ReturnAddress, error) {
	return get[ReturnAddress](ctx, c, "/v1/return-address", url.Values{"text": {text}})
}
