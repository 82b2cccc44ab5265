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
	Providers []Provider       `json:"providers,omitempty" doc:"How far the message meets what providers publish, its recipients' first; no part of the score"`
}

// The states of cards and of requirements, as package filter names them.
const (
	CardReady   = filter.Ready
	CardToMend  = filter.ToMend
	CardRefused = filter.Refused
	NeedMissing = filter.Missing
	NeedAdvised = filter.Advised
	NotKnown    = filter.NotKnown // of both
)

// Provider is a provider's card: what it asks, held against one message.
type Provider struct {
	Provider     string        `json:"provider" doc:"Key: google, yahoo, microsoft, orange, laposte, apple, sfr, free"`
	State        filter.State  `json:"state" enum:"ready,mend,refused,unknown" doc:"refused: mail is probably refused"`
	Recipients   int           `json:"recipients,omitempty" doc:"How many recipients of the message are there"`
	Requirements []Requirement `json:"requirements" nullable:"false"`
	Name         string        `json:"name,omitempty"`
	Word         string        `json:"word,omitempty" doc:"The state in a word"`
	Sentence     string        `json:"sentence,omitempty" doc:"The state in a sentence"`
	Bulk         string        `json:"bulk,omitempty" doc:"What makes the message bulk mail, or that it is a single one"`
	Source       string        `json:"source,omitempty" doc:"Where the requirements were read, and when"`
	URL          string        `json:"url,omitempty"`
}

// Requirement is one requirement of a provider, with its words.
type Requirement struct {
	ID       string       `json:"id"`
	State    filter.State `json:"state" enum:"met,missing,advised,unknown,n/a" doc:"advised: not met, but no more than advice for mail of this kind"`
	Why      string       `json:"why,omitempty" doc:"Code of what was found"`
	Evidence string       `json:"evidence,omitempty" doc:"What was found"`
	Counts   bool         `json:"counts,omitempty" doc:"The card's state depends on it"`
	Name     string       `json:"name,omitempty"`
	Asked    string       `json:"asked,omitempty" doc:"Of whom, and what happens otherwise"`
	Found    string       `json:"found,omitempty"`
	Fix      string       `json:"fix,omitempty"`
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
	Category    string       `json:"category,omitempty" doc:"What the answer is about: a reason of postern provider classify"`
	Party       string       `json:"party,omitempty" doc:"Who must mend it: sender-ip, sender-domain, config, volume, message, recipient, recipient-domain, provider"`
	Rule        string       `json:"rule,omitempty" doc:"What told so; absent: the codes"`
	Provider    string       `json:"provider,omitempty" doc:"Who answered; default: a receiver nobody knows"`
	Lane        string       `json:"lane,omitempty" doc:"Where it waits, or was refused"`
}

// stateOfFact is where a fact brings what it is about.
func stateOfFact(k journal.Kind) State {
	return map[journal.Kind]State{journal.Accepted: Accepted, journal.Recovered: Accepted, journal.Held: Held, journal.Rejected: Blocked,
		journal.Released: Queued, journal.Dropped: Cancelled, journal.Delivered: Delivered, journal.Deferred: Deferred,
		journal.Bounced: Rejected, journal.Returned: Rejected, journal.Expired: Expired}[k]
}

func factOf(f journal.Fact) Fact {
	out := Fact{ID: f.ID, At: f.At, Kind: f.Kind, State: stateOfFact(f.Kind), QueueID: f.QueueID, Customer: f.Customer, Credential: f.Credential,
		ReversePath: f.ReversePath, Recipient: f.Recipient, HeaderFrom: f.HeaderFrom, Subject: f.Subject, MessageID: f.MessageID, Size: f.Size,
		Score: f.Score, Host: f.Host, Code: f.Code, Enhanced: f.Enhanced, Text: f.Text, NextAt: f.NextAt, Attempt: f.Attempt, Actor: f.Actor,
		Category: f.Category, Party: f.Party, Rule: f.Rule, Provider: f.Provider, Lane: f.Lane}
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
	t := s.tell(locale.English)
	waits := t.waits(w)
	for i, r := range w.Recipients {
		m.Recipients = append(m.Recipients, Recipient{Address: r.Address.String(), State: waits[i].State, Attempts: r.Attempts, NextAt: waits[i].Until,
			First: r.First, Last: r.Last, Code: r.Code, Enhanced: r.Enhanced, Answer: r.Text, Host: r.Host, DelayNotified: r.DelayNotified})
	}
	m.State, m.NextAt, m.Why = t.summary(w, waits)
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
	out.Providers = providersOf(catalog, lang, v.Providers)
	return out
}

// providersOf puts cards into words of a language; without a catalogue only what was stored is there.
func providersOf(catalog *locale.Catalog, lang string, cards filter.Cards) []Provider {
	var out []Provider
	for _, r := range cards {
		p := Provider{Provider: r.Provider, State: r.State, Recipients: r.Recipients, Requirements: []Requirement{}}
		for _, f := range r.Requirements {
			p.Requirements = append(p.Requirements, Requirement{ID: f.ID, State: f.State, Why: f.Why, Evidence: f.Evidence})
		}
		out = append(out, p)
	}
	if catalog == nil {
		return out
	}
	for i, c := range filter.ExplainCards(catalog, lang, cards) {
		p := &out[i]
		p.Name, p.Word, p.Sentence, p.Bulk, p.Source, p.URL = c.Name, c.Word, c.Sentence, c.Bulk, c.Source, c.URL
		for j, x := range c.Items {
			r := &p.Requirements[j]
			r.Counts, r.Name, r.Asked, r.Found, r.Fix = x.Counts, x.Name, x.Asked, x.Found, x.Fix
		}
	}
	return out
}
