package reputation

import (
	"time"

	"postern/internal/dnsbl"
)

// Evidence is what was gathered for a dossier, and when. What could not be gathered is named in Missing: it is not known, and not nothing.
type Evidence struct {
	At       time.Time `json:"at"`
	From, To time.Time // the window of the journal
	Missing  []Missing `json:"missing,omitempty"`

	Listings    []ListedAs        `json:"listings,omitempty"`
	Senders     Senders           `json:"senders"`
	Recent      Tally             `json:"recent"` // of the last day, when the dossier was gathered; RecentKnown says whether it was read
	RecentKnown bool              `json:"recent_known,omitempty"`
	Answers     []AnswerEvidence  `json:"answers,omitempty"` // of receivers that name the list or refuse the address, the most frequent first
	SNDS        []SNDSDay         `json:"snds,omitempty"`    // the oldest first
	Traps       []TrapEvidence    `json:"traps,omitempty"`   // what says that mail went to spam traps. Empty: nothing does, which is not none: traps keep silent
	Neighbours  Neighbours        `json:"neighbours"`
	Findings    []FindingEvidence `json:"findings,omitempty"` // of the check-up, also those that are fine
	Warm        time.Time         `json:"warm,omitzero"`      // when the warm-up of an egress address began; zero: it has none
	Measured    map[string]bool   `json:"measured,omitempty"` // groups of the check-up that were looked at with an answer: "egress", "spf", "server"
}

// Missing is a part of the evidence that could not be gathered.
type Missing struct {
	Part string `json:"part"` // "senders", "strangers", "snds", "check", "neighbours": text reputation.part.PART
	Why  string `json:"why"`  // in English
}

// ListedAs is a listing as the list explains it.
type ListedAs struct {
	Zone   string       `json:"zone"`
	List   string       `json:"list"`
	Weight int          `json:"weight"`
	Wide   bool         `json:"wide,omitempty"`
	Traps  bool         `json:"traps,omitempty"` // the list rests on mail to spam traps, by its own account
	Names  []string     `json:"names,omitempty"`
	Means  []dnsbl.Text `json:"means,omitempty"`  // of the codes
	Reason string       `json:"reason,omitempty"` // from outside: escape it
	What   dnsbl.Text   `json:"what"`             // what the list holds
	Lookup string       `json:"lookup,omitempty"`
	Since  time.Time    `json:"since"`
}

// Senders is who sent from the address, or in the domain's name, in the window.
type Senders struct {
	Known     bool      `json:"known"`             // the journal was read
	Since     time.Time `json:"since,omitzero"`    // the facts that were read begin here; later than the window where it held too many
	Facts     int       `json:"facts"`             // that were read
	All       Tally     `json:"all"`               // everybody
	Usual     float64   `json:"usual"`             // messages a day in the four weeks before, of the customers below together; -1 not known
	Senders   []Sender  `json:"senders,omitempty"` // those who stand out first, then by volume; at most 10
	More      int       `json:"more,omitempty"`    // senders that are not shown
	Customers int       `json:"customers"`         // that sent
}

// Tally are figures of mail.
type Tally struct {
	Messages   int `json:"messages"`   // that left, or were tried
	Recipients int `json:"recipients"` // recipients with an answer
	Delivered  int `json:"delivered"`
	Invalid    int `json:"invalid"` // refused for good because the mailbox does not exist
	Refused    int `json:"refused"` // refused or put off because of reputation, spam or policy
	Complaints int `json:"complaints"`
	Traps      int `json:"traps,omitempty"` // answers and complaints that speak of a spam trap
	High       int `json:"high"`            // messages scored above their threshold: held or refused by us, and those let through all the same
	Blocked    int `json:"blocked"`         // messages that we held or refused
}

// Faults are the signs that lists go by: unknown recipients, refusals for spam, complaints and spam traps (ten each: they are rare), messages that score high.
func (t Tally) Faults() int { return t.Invalid + t.Refused + 10*(t.Complaints+t.Traps) + t.High }

// Strangers is how much of the mail went to recipients whom the customer never wrote to before, on the days of the window, whole ones (package learn). Mail that was held counts too.
type Strangers struct {
	Known      bool    `json:"known"`
	Recipients int     `json:"recipients"`
	First      int     `json:"first"` // of these, never written to before
	Usual      float64 `json:"usual"` // their share in the three months before, 0..1; -1 not known: too short a history
}

// Share is that of recipients never written to before, 0..1.
func (s Strangers) Share() float64 {
	if s.Recipients == 0 {
		return 0
	}
	return float64(s.First) / float64(s.Recipients)
}

// Unusual reports whether strangers have far more of the mail than usual: what a stolen password does, and a list that was bought.
func (s Strangers) Unusual() bool {
	return s.Known && s.Usual >= 0 && s.First >= 25 && s.Share() >= 0.2 && s.Share() >= 2*s.Usual
}

// Acquainted reports whether enough mail is known to say that it goes to whom it always goes.
func (s Strangers) Acquainted() bool {
	return s.Known && s.Usual >= 0 && s.Recipients >= 50 && s.Share() <= 1.25*s.Usual+0.05
}

// Acquaintance is Strangers of a customer and of his credentials.
type Acquaintance struct {
	All    Strangers
	Logins map[string]Strangers // by credential; "" without one. Those that are missing are not known
}

// TrapSource is who says that mail went to a spam trap. Text reputation.trap.SOURCE.
type TrapSource string

// The sources.
const (
	TrapSNDS      TrapSource = "snds"      // Microsoft counts hits: Count of them
	TrapAnswer    TrapSource = "answer"    // Count answers and bounces of From say so
	TrapComplaint TrapSource = "complaint" // Count complaints by From say so
	TrapCode      TrapSource = "code"      // From, a list, says so by a code
	TrapList      TrapSource = "list"      // From is a list that holds nothing else
	TrapSaid      TrapSource = "said"      // From, a list, says so in words
)

// TrapEvidence is one thing that says that mail went to spam traps.
type TrapEvidence struct {
	Source  TrapSource `json:"source"`
	From    string     `json:"from,omitempty"`  // provider, reporter or list
	Count   int        `json:"count,omitempty"` // 0: nobody counts
	Last    time.Time  `json:"last,omitzero"`
	Text    string     `json:"text,omitempty"` // from outside: escape it
	QueueID string     `json:"queue_id,omitempty"`
}

// Sender is one customer's, or one of his credentials', part in the traffic.
type Sender struct {
	Customer    string    `json:"customer"`       // account.Customer.ID; "" nobody known
	Name        string    `json:"name,omitempty"` // for people
	Tally       Tally     `json:"tally"`
	Usual       float64   `json:"usual"` // messages a day in the four weeks before; -1 not known
	Share       float64   `json:"share"` // of the messages, 0..1
	Fault       float64   `json:"fault"` // of the faults, 0..1
	Ratio       float64   `json:"ratio"` // faults per message against the average of the others; 0: too few of either to say
	Jump        float64   `json:"jump"`  // messages a day against Usual; 0 not known
	Strangers   Strangers `json:"strangers"`
	StandsOut   []string  `json:"stands_out,omitempty"`  // why, codes: "invalid", "refused", "complaints", "traps", "score", "strangers", "volume". Texts reputation.stands.CODE
	Credentials []Login   `json:"credentials,omitempty"` // the one with the most faults first, at most 5
}

// Login is one credential's part.
type Login struct {
	Credential string    `json:"credential"` // "" without a password, by address
	Label      string    `json:"label,omitempty"`
	Tally      Tally     `json:"tally"`
	Fault      float64   `json:"fault"` // of the customer's faults, 0..1
	Strangers  Strangers `json:"strangers"`
	Addresses  int       `json:"addresses"`          // client IPs that used it, 50 at most are counted
	Examples   []string  `json:"examples,omitempty"` // queue IDs of faults, at most 5
}

// AnswerEvidence is what receivers answered.
type AnswerEvidence struct {
	Provider string    `json:"provider"`
	Category string    `json:"category"`
	Names    bool      `json:"names"` // the answer names the list or its operator
	Count    int       `json:"count"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Code     int       `json:"code"`
	Text     string    `json:"text"` // from outside: escape it
	QueueID  string    `json:"queue_id"`
}

// SNDSDay is one day of Microsoft's figures.
type SNDSDay struct {
	Day        time.Time `json:"day"`
	Colour     string    `json:"colour"`     // "GREEN", "YELLOW", "RED"; "" unknown
	Recipients int       `json:"recipients"` // messages that Microsoft counted
	Complaints float64   `json:"complaints"` // 0..1; -1 unknown
	Traps      int       `json:"traps"`      // hits; -1 unknown
}

// Neighbours are the other addresses of the network. Of those that are ours every list says what it says; of others only the round through a range does: without one (Ranged)
// nothing is known of them.
type Neighbours struct {
	Network string      `json:"network,omitempty"` // "198.51.100.0/24"
	Ranged  bool        `json:"ranged"`            // the daily round goes through all of it
	Looked  int         `json:"looked"`            // of its addresses that were measured in the last two days, ours among them
	Listed  int         `json:"listed"`            // of those that are listed by anybody with weight
	Same    int         `json:"same"`              // by this operator
	Ours    int         `json:"ours"`              // of those listed by this operator, egress addresses of ours
	Own     []Neighbour `json:"own,omitempty"`     // ours that are listed, by whomever, at most 16
	Others  []Neighbour `json:"others,omitempty"`  // not ours and listed, those of this operator first, at most 16
}

// Neighbour is a listed address of the network.
type Neighbour struct {
	Address string   `json:"address"`
	Lists   []string `json:"lists"`             // that count; lists of whole networks say nothing of one address
	Same    bool     `json:"same,omitempty"`    // one of them is this operator's
	Dossier string   `json:"dossier,omitempty"` // of this address
}

// FindingEvidence is a finding of the check-up (package checkup: texts checkup.CODE.what and .do).
type FindingEvidence struct {
	Group   string         `json:"group"`
	Code    string         `json:"code"`
	State   string         `json:"state"`
	Subject string         `json:"subject,omitempty"`
	Args    map[string]any `json:"args,omitempty"`
}
