package webhook

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/journal"
)

// EventKind is one kind of event as receivers know it.
type EventKind struct {
	Word    string       // stable: "message.delivered"
	Kind    journal.Kind // of the facts it tells
	Gateway bool         // customers are not told
	Means   string       // in one English sentence, for the documentation
}

// kinds is all events in the order in which people read them.
var kinds = []EventKind{
	{"message.accepted", journal.Accepted, false, "The gateway took the message and answers for it."},
	{"message.accepted", journal.Recovered, false, "The same, found after a crash."},
	{"message.recipients", journal.Addressed, false, "The recipients of a message that has several."},
	{"message.held", journal.Held, false, "The message was set aside; `next` is the end of the hold."},
	{"message.rejected", journal.Rejected, false, "The message was refused; `code` and `text` are our answer."},
	{"message.released", journal.Released, false, "A held message was let through."},
	{"message.retested", journal.Retested, false, "A held message was tested again."},
	{"message.dropped", journal.Dropped, false, "The message, or one recipient of it, was removed."},
	{"message.delivered", journal.Delivered, false, "The receiving server took the message for this recipient."},
	{"message.deferred", journal.Deferred, false, "Not now; `next` is the next attempt."},
	{"message.bounced", journal.Bounced, false, "Given up for this recipient."},
	{"message.expired", journal.Expired, false, "Given up because of age, or a hold that ended."},
	{"message.returned", journal.Returned, false, "A server that had taken the message reported later that it cannot be delivered."},
	{"message.delayed", journal.LateDelay, false, "A server that has taken the message reported that it is late there."},
	{"message.confirmed", journal.Confirmed, false, "A server that has taken the message reported its delivery."},
	{"message.complaint", journal.Complaint, false, "The recipient's provider reported that he took the message for spam."},
	{"message.answered", journal.AutoReply, false, "A program answered in the recipient's name."},
	{"message.suppressed", journal.Suppressed, false, "A recipient was not written to because he is on the suppression list."},
	{"message.notified", journal.Notified, false, "A notice about the message was sent."},
	{"message.dsn", journal.DSN, false, "A delivery status notification about the message was sent."},
	{"message.asked", journal.Asked, false, "Somebody asked the operator about the message."},
	{"message.attempted", journal.Attempt, true, "An attempt began, or could not begin."},
	{"message.unread", journal.Unread, true, "Mail came to a return address that is none of these."},
	{"suppression.added", journal.Listed, false, "An address was put on the suppression list."},
	{"suppression.lifted", journal.Lifted, false, "An address was taken off the suppression list."},
	{"credential.limited", journal.Limited, false, "A credential had used up one of its limits, and mail was put off."},
	{"reputation.listed", journal.BlockListed, false, "A blocklist has taken up a domain of the customer, or an address of the gateway; `text` names the list and its reason."},
	{"reputation.delisted", journal.BlockDelisted, false, "The blocklist has dropped it again."},
	{"reputation.dossier", journal.DossierMoved, true, "The dossier of a listing came to another state."},
	{"reports.alarm", journal.ReportAlarm, false, "What receivers report about a domain needs somebody: `category` is `reports-source` (new unknown senders), `reports-share` (own mail passes less) or `reports-tls` (TLS sessions fail)."},
	{"reports.over", journal.ReportOver, false, "That is over."},
	{"filter.tuned", journal.Tuned, false, "Points of tests, or a list of allowed and denied senders, were changed."},
}

// testWord is the event of a test.
const testWord = "test"

// Events returns the kinds of events, each once: those that customers can be told of, or all of them for the gateway.
func Events(gateway bool) []EventKind {
	var out []EventKind
	for _, k := range kinds {
		if (gateway || !k.Gateway) && !slices.ContainsFunc(out, func(o EventKind) bool { return o.Word == k.Word }) {
			out = append(out, k)
		}
	}
	return out
}

// wordOf is the event of a fact; ok is false when it is told to nobody of that kind.
func wordOf(kind journal.Kind, gateway bool) (word string, ok bool) {
	for _, k := range kinds {
		if k.Kind == kind {
			return k.Word, gateway || !k.Gateway
		}
	}
	return "", false
}

// Event is one fact as receivers get it. What is empty is left out. It holds no part of a message but addresses and Message-ID.
type Event struct {
	ID         string     `json:"id"`    // the same each time the fact is told; greater numbers are later
	Event      string     `json:"event"` // a word of Events, or "test"
	At         time.Time  `json:"at"`
	Customer   string     `json:"customer,omitempty"`
	Message    string     `json:"message,omitempty"` // queue ID
	MessageID  string     `json:"message_id,omitempty"`
	From       string     `json:"from,omitempty"` // envelope sender
	HeaderFrom string     `json:"header_from,omitempty"`
	Recipient  string     `json:"recipient,omitempty"`
	Recipients []string   `json:"recipients,omitempty"` // of message.recipients
	Credential string     `json:"credential,omitempty"`
	ClientIP   string     `json:"client_ip,omitempty"`
	Size       int64      `json:"size,omitempty"`  // bytes
	Score      *float64   `json:"score,omitempty"` // points, 0..15
	Host       string     `json:"host,omitempty"`  // remote server
	Code       int        `json:"code,omitempty"`
	Enhanced   string     `json:"enhanced,omitempty"`
	Text       string     `json:"text,omitempty"` // what the remote server said, or our answer
	Category   string     `json:"category,omitempty"`
	Party      string     `json:"party,omitempty"` // who must mend it
	Provider   string     `json:"provider,omitempty"`
	Attempt    int        `json:"attempt,omitempty"`
	Next       *time.Time `json:"next,omitempty"`
	Actor      string     `json:"actor,omitempty"` // customers: sender, operator, rule

	Rule     string `json:"rule,omitempty"`      // the gateway's hooks only
	Lane     string `json:"lane,omitempty"`      // the gateway's hooks only
	EgressIP string `json:"egress_ip,omitempty"` // the gateway's hooks only
}

// Post is the body of a post.
type Post struct {
	ID     string  `json:"id"` // also in the header Postern-Delivery; the same at each attempt
	Events []Event `json:"events"`
}

// recipientsTold bounds Event.Recipients.
const recipientsTold = 1000

// eventOf puts a fact into the form in which the gateway, or the customer whom it belongs to, gets it.
func eventOf(f *journal.Fact, gateway bool) Event {
	word, _ := wordOf(f.Kind, gateway)
	e := Event{ID: strconv.FormatInt(f.ID, 10), Event: word, At: f.At.UTC(), Customer: f.Customer, Message: string(f.QueueID), MessageID: f.MessageID, From: f.ReversePath,
		HeaderFrom: f.HeaderFrom, Recipient: f.Recipient, Credential: f.Credential, Size: f.Size, Host: f.Host, Code: f.Code, Enhanced: f.Enhanced, Text: f.Text,
		Category: f.Category, Party: f.Party, Provider: f.Provider, Attempt: f.Attempt, Actor: f.Actor}
	if f.ClientIP.IsValid() {
		e.ClientIP = f.ClientIP.String()
	}
	if !f.NextAt.IsZero() {
		next := f.NextAt.UTC()
		e.Next = &next
	}
	switch f.Kind {
	case journal.Accepted, journal.Recovered, journal.Held, journal.Rejected, journal.Retested:
		if score := f.Score; !math.IsNaN(score) && !math.IsInf(score, 0) {
			e.Score = &score
		}
	case journal.Addressed:
		if json.Unmarshal(f.Detail, &e.Recipients) != nil {
			e.Recipients = nil
		}
		e.Recipients = e.Recipients[:min(len(e.Recipients), recipientsTold)]
	}
	if gateway {
		e.Rule, e.Lane = f.Rule, f.Lane
		if f.EgressIP.IsValid() {
			e.EgressIP = f.EgressIP.String()
		}
		return e
	}
	e.Actor = actorOf(f.Actor)
	if f.OwnWords() {
		e.Text = ""
	}
	if f.Kind == journal.Complaint {
		e.Recipient = "" // who complained is his own affair; suppression.added tells whom not to write to
	}
	return e
}

// actorOf tells gateway, sender and operator apart; an operator's name is not the customer's business.
func actorOf(a string) string {
	switch {
	case a == "":
		return ""
	case a == "sender", strings.HasPrefix(a, "user:"), strings.HasPrefix(a, "token:"):
		return "sender"
	case strings.HasPrefix(a, "operator"):
		return "operator"
	}
	return "rule"
}

// wants reports whether a hook is told of a fact. It is the one place that decides who may see what.
func (h *Hook) wants(f *journal.Fact) bool {
	gateway := h.Customer == ""
	if !gateway && f.Customer != h.Customer {
		return false
	}
	word, ok := wordOf(f.Kind, gateway)
	if !ok || !gateway && f.Kind == journal.Asked && strings.HasPrefix(f.Actor, "operator") {
		return false
	}
	return len(h.Events) == 0 || slices.Contains(h.Events, word)
}
