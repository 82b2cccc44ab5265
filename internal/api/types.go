package api

import (
	"encoding/json"
	"strings"
	"time"

	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/spool"
)

// State is where a message or recipient stands, in the word that people read.
type State string

// The states. They are the words of the pages and notices.
const (
	Accepted  State = "accepted"  // taken in
	Queued    State = "queued"    // waits for its first attempt, or is in one
	Slowed    State = "slowed"    // due, but a limit of ours makes it wait
	Held      State = "held"      // waits for a person
	Deferred  State = "deferred"  // the receiver said later, or could not be reached; it is tried again
	Delivered State = "delivered" // the receiver's server took it
	Rejected  State = "rejected"  // given up for good; the sender was told
	Blocked   State = "blocked"   // refused by us in session
	Expired   State = "expired"   // given up because of age
	Cancelled State = "cancelled" // removed by a person
)

// Message is one message in the spool.
type Message struct {
	ID          mail.QueueID `json:"id" doc:"Queue ID"`
	State       State        `json:"state" enum:"queued,slowed,held,deferred" doc:"Where it stands: the state of the recipient that has most to wait for"`
	Customer    string       `json:"customer,omitempty" doc:"Id of the customer; absent for the gateway's own mail"`
	Credential  string       `json:"credential,omitempty" doc:"What authenticated the submission; absent for a relay network"`
	ClientIP    string       `json:"client_ip,omitempty"`
	Hello       string       `json:"hello,omitempty" doc:"EHLO name of the client"`
	Pool        string       `json:"pool,omitempty" doc:"Egress pool; absent: the default one"`
	Received    time.Time    `json:"received"`
	Expires     time.Time    `json:"expires,omitzero" doc:"When delivery gives up"`
	Size        int64        `json:"size" doc:"Bytes"`
	ReversePath string       `json:"reverse_path" doc:"Envelope sender; empty for notices"`
	HeaderFrom  string       `json:"header_from,omitempty"`
	Subject     string       `json:"subject,omitempty"`
	MessageID   string       `json:"message_id,omitempty" doc:"Message-ID of the header"`
	Score       float64      `json:"score" doc:"Points, 0 to 15"`
	Notice      bool         `json:"notice,omitempty" doc:"Mail of the gateway itself"`
	HoldReason  string       `json:"hold_reason,omitempty" doc:"score, operator or damaged"`
	HoldUntil   time.Time    `json:"hold_until,omitzero" doc:"When the hold ends by itself"`
	NextAt      time.Time    `json:"next_at,omitzero" doc:"The next event: an attempt, or the end of the hold"`
	Why         string       `json:"why" doc:"Why it is not delivered yet, in one line"`
	Recipients  []Recipient  `json:"recipients" nullable:"false"`
	Verdict     *Verdict     `json:"verdict,omitempty" doc:"Only when one message is shown"`
}

// Recipient is one envelope recipient.
type Recipient struct {
	Address       string    `json:"address"`
	State         State     `json:"state"`
	Attempts      int       `json:"attempts"`
	NextAt        time.Time `json:"next_at,omitzero"`
	First         time.Time `json:"first,omitzero" doc:"First attempt"`
	Last          time.Time `json:"last,omitzero" doc:"Last attempt"`
	Code          int       `json:"code,omitempty" doc:"Last reply code; absent when none was read"`
	Enhanced      string    `json:"enhanced,omitempty" doc:"Enhanced status code of the last answer"`
	Answer        string    `json:"answer,omitempty" doc:"Last answer, or what kept us from getting one"`
	Host          string    `json:"host,omitempty" doc:"Who answered"`
	DelayNotified bool      `json:"delay_notified,omitempty" doc:"The sender was told that it is late"`
}

// Verdict is what the filter said of a message.
type Verdict struct {
	Score     float64          `json:"score"`
	Raw       float64          `json:"raw" doc:"Plain sum of the points"`
	Threshold float64          `json:"threshold"`
	Held      bool             `json:"held" doc:"The score is above the threshold"`
	At        time.Time        `json:"at,omitzero"`
	Hits      []Hit            `json:"hits" nullable:"false"`
	Unknown   []filter.Unknown `json:"unknown,omitempty" doc:"Tests that could not be measured"`
}

// Hit is a test that fired, with its words.
type Hit struct {
	Test     string   `json:"test"`
	Points   float64  `json:"points"`
	Evidence []string `json:"evidence" nullable:"false"`
	Name     string   `json:"name,omitempty"`
	Explain  string   `json:"explain,omitempty"`
	Fix      string   `json:"fix,omitempty"`
	Rule     string   `json:"rule,omitempty" doc:"Definition of the rule behind it; only where it was asked for"`
}

// Fact is one line of the journal.
type Fact struct {
	ID          int64        `json:"id"`
	At          time.Time    `json:"at"`
	Kind        journal.Kind `json:"kind"`
	State       State        `json:"state,omitempty" doc:"Where it brought the message or recipient"`
	QueueID     mail.QueueID `json:"queue_id,omitempty"`
	Customer    string       `json:"customer,omitempty"`
	Credential  string       `json:"credential,omitempty"`
	ClientIP    string       `json:"client_ip,omitempty"`
	ReversePath string       `json:"reverse_path,omitempty"`
	Recipient   string       `json:"recipient,omitempty"`
	HeaderFrom  string       `json:"header_from,omitempty"`
	Subject     string       `json:"subject,omitempty"`
	MessageID   string       `json:"message_id,omitempty"`
	Size        int64        `json:"size,omitempty"`
	Score       float64      `json:"score,omitempty"`
	Host        string       `json:"host,omitempty"`
	EgressIP    string       `json:"egress_ip,omitempty"`
	Code        int          `json:"code,omitempty"`
	Enhanced    string       `json:"enhanced,omitempty"`
	Text        string       `json:"text,omitempty"`
	NextAt      time.Time    `json:"next_at,omitzero"`
	Attempt     int          `json:"attempt,omitempty"`
	Actor       string       `json:"actor,omitempty"`
}

// stateOfFact is where a fact brings what it is about.
func stateOfFact(k journal.Kind) State {
	return map[journal.Kind]State{journal.Accepted: Accepted, journal.Recovered: Accepted, journal.Held: Held, journal.Rejected: Blocked,
		journal.Released: Queued, journal.Dropped: Cancelled, journal.Delivered: Delivered, journal.Deferred: Deferred,
		journal.Bounced: Rejected, journal.Expired: Expired}[k]
}

func factOf(f journal.Fact) Fact {
	out := Fact{ID: f.ID, At: f.At, Kind: f.Kind, State: stateOfFact(f.Kind), QueueID: f.QueueID, Customer: f.Customer, Credential: f.Credential,
		ReversePath: f.ReversePath, Recipient: f.Recipient, HeaderFrom: f.HeaderFrom, Subject: f.Subject, MessageID: f.MessageID, Size: f.Size,
		Score: f.Score, Host: f.Host, Code: f.Code, Enhanced: f.Enhanced, Text: f.Text, NextAt: f.NextAt, Attempt: f.Attempt, Actor: f.Actor}
	if f.ClientIP.IsValid() {
		out.ClientIP = f.ClientIP.String()
	}
	if f.EgressIP.IsValid() {
		out.EgressIP = f.EgressIP.String()
	}
	return out
}

func factsOf(facts []journal.Fact) []Fact {
	out := make([]Fact, 0, len(facts))
	for _, f := range facts {
		out = append(out, factOf(f))
	}
	return out
}

// messageOf describes what the spool knows, with the reason why it waits.
func (s *server) messageOf(w spool.Work) Message {
	m := Message{ID: w.ID, Customer: w.Customer, Credential: w.Credential, Hello: w.Hello, Pool: w.Pool, Received: w.Received, Expires: w.Expires,
		Size: w.Size, ReversePath: w.Envelope.ReversePath.String(), HeaderFrom: w.HeaderFrom, Subject: w.Subject, MessageID: w.MessageID,
		Score: w.Score, Notice: w.Notice, HoldReason: w.HoldReason, HoldUntil: w.HoldUntil, Recipients: []Recipient{}}
	if w.ClientIP.IsValid() {
		m.ClientIP = w.ClientIP.String()
	}
	waits := s.waits(w)
	for i, r := range w.Recipients {
		m.Recipients = append(m.Recipients, Recipient{Address: r.Address.String(), State: waits[i].State, Attempts: r.Attempts, NextAt: waits[i].Until,
			First: r.First, Last: r.Last, Code: r.Code, Enhanced: r.Enhanced, Answer: r.Text, Host: r.Host, DelayNotified: r.DelayNotified})
	}
	m.State, m.NextAt, m.Why = summary(w, waits)
	return m
}

// verdictOf reads a stored verdict and puts its hits into words; nil when there is none.
func (s *server) verdictOf(stored []byte, lang string) *Verdict {
	var v filter.Verdict
	if len(stored) == 0 || json.Unmarshal(stored, &v) != nil {
		return nil
	}
	return s.wordsOf(v, lang)
}

// wordsOf puts a verdict's hits into words.
func (s *server) wordsOf(v filter.Verdict, lang string) *Verdict {
	out := Words(s.o.Catalog, lang, v)
	return &out
}

// Words puts the hits of a verdict into words of a language; without a catalogue only their names are there.
func Words(catalog *locale.Catalog, lang string, v filter.Verdict) Verdict {
	out := Verdict{Score: v.Score, Raw: v.Raw, Threshold: v.Threshold, Held: v.Held, At: v.At, Unknown: v.Unknown, Hits: []Hit{}}
	for _, h := range v.Hits {
		hit := Hit{Test: h.Test, Points: h.Points, Evidence: append([]string{}, h.Evidence...)}
		if catalog != nil {
			e := filter.Explain(catalog, lang, h)
			hit.Name, hit.Explain, hit.Fix = e.Name, strings.TrimSpace(e.Explain), strings.TrimSpace(e.Fix)
		}
		out.Hits = append(out.Hits, hit)
	}
	return out
}
