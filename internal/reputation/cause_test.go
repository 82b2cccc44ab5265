package reputation_test

import (
	"slices"
	"testing"
	"time"

	"postern/internal/reputation"
)

// scenario is evidence and what it must lead to.
type scenario struct {
	name     string
	kind     reputation.Kind
	evidence func(e *reputation.Evidence)
	first    string                // code of the likeliest cause; "" none that is likely or possible
	is       reputation.Likelihood // of first
	unlikely []string              // causes that must be unlikely
	unknown  []string              // causes that must be unknown
}

func as(zone, list string, weight int, names ...string) reputation.ListedAs {
	return reputation.ListedAs{Zone: zone, List: list, Weight: weight, Names: names}
}

// calm is traffic in which nobody stands out.
func calm(e *reputation.Evidence) {
	e.Senders = reputation.Senders{Known: true, All: reputation.Tally{Messages: 2000, Recipients: 2100, Delivered: 2080, Invalid: 8, Refused: 2}, Usual: 1000, Customers: 12,
		Senders: []reputation.Sender{{Customer: "shop", Name: "The Shop", Tally: reputation.Tally{Messages: 400, Recipients: 420, Invalid: 3}, Usual: 200, Jump: 1}}}
}

// loud is traffic in which one sender stands out for some reasons.
func loud(s reputation.Sender) func(*reputation.Evidence) {
	return func(e *reputation.Evidence) {
		calm(e)
		s.Customer, s.Name = "club", "The Club"
		e.Senders.Senders = append([]reputation.Sender{s}, e.Senders.Senders...)
		e.Senders.All.Messages += s.Tally.Messages
	}
}

func found(group, code, state string) reputation.FindingEvidence {
	return reputation.FindingEvidence{Group: group, Code: code, State: state}
}

func measured(e *reputation.Evidence, all ...reputation.FindingEvidence) {
	if e.Measured == nil {
		e.Measured = map[string]bool{}
	}
	for _, f := range all {
		e.Findings = append(e.Findings, f)
		if f.State != "unknown" {
			e.Measured[f.Group] = true
		}
	}
}

func days(colour string, n, traps int, complaints float64) (out []reputation.SNDSDay) {
	for range n {
		out = append(out, reputation.SNDSDay{Colour: colour, Recipients: 5000, Complaints: complaints, Traps: traps})
	}
	return out
}

var bulkSender = reputation.Sender{Tally: reputation.Tally{Messages: 900, Recipients: 900, Delivered: 600, Invalid: 280, Refused: 20}, Usual: 450, Jump: 1, Share: 0.3, Fault: 0.9, Ratio: 12,
	StandsOut: []string{"invalid", "refused"}, Credentials: []reputation.Login{{Credential: "club-1", Tally: reputation.Tally{Messages: 900, Invalid: 280}, Fault: 1, Addresses: 1}}}

var stolenSender = reputation.Sender{Tally: reputation.Tally{Messages: 4000, Recipients: 4000, Delivered: 2500, Invalid: 900, Refused: 400, High: 300}, Usual: 50, Jump: 40, Share: 0.6, Fault: 0.97, Ratio: 30,
	StandsOut: []string{"invalid", "refused", "score", "volume"}, Credentials: []reputation.Login{{Credential: "club-1", Label: "office", Tally: reputation.Tally{Messages: 4000, Invalid: 900, High: 300}, Fault: 1, Addresses: 44}}}

var byAddress = reputation.Sender{Tally: reputation.Tally{Messages: 800, Recipients: 800, Invalid: 300, Refused: 100}, Usual: -1, Fault: 0.95, Ratio: 20, StandsOut: []string{"invalid", "refused"},
	Credentials: []reputation.Login{{Credential: "", Tally: reputation.Tally{Messages: 800, Invalid: 300, Refused: 100}, Fault: 1, Addresses: 3}}}

// withStrangers is a sender with so many of a hundred recipients never written to before.
func withStrangers(s reputation.Sender, first int, usual float64) reputation.Sender {
	s.Strangers = reputation.Strangers{Known: true, Recipients: 100, First: first, Usual: usual}
	if s.Strangers.Unusual() {
		s.StandsOut = append(slices.Clone(s.StandsOut), "strangers")
	}
	return s
}

// newsletter is a customer's own mail: many complaints, as much as ever, by one credential.
var newsletter = reputation.Sender{Tally: reputation.Tally{Messages: 900, Recipients: 900, Delivered: 890, Complaints: 12}, Usual: 450, Jump: 1, Share: 0.3, Fault: 0.9, Ratio: 12, StandsOut: []string{"complaints"},
	Credentials: []reputation.Login{{Credential: "club-1", Tally: reputation.Tally{Messages: 900, Complaints: 12}, Fault: 1, Addresses: 1}}}

func scenarios() []scenario {
	policyFine := []reputation.FindingEvidence{found("reverse", "reverse.fine", "fine")}
	return []scenario{
		{"PBL on an egress address", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			e.Listings = append(e.Listings, as("zen.spamhaus.org", "Spamhaus ZEN", 5, "PBL"))
			measured(e, found("reverse", "reverse.generic", "problem"))
		}, reputation.CausePolicy, reputation.Likely, []string{reputation.CauseCompromised, reputation.CauseWide, reputation.CauseSpoofing}, nil},
		{"CSS, a customer with a bought list", reputation.IP, func(e *reputation.Evidence) {
			loud(bulkSender)(e)
			e.Listings = append(e.Listings, as("zen.spamhaus.org", "Spamhaus ZEN", 5, "CSS"))
			e.SNDS = days("RED", 2, 5, 0.004)
			measured(e, policyFine...)
		}, reputation.CauseBulk, reputation.Likely, []string{reputation.CausePolicy, reputation.CauseReverse}, nil},
		{"traps at PSBL, SNDS green, nobody stands out", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			l := as("psbl.surriel.com", "PSBL", 3, "listed")
			l.Traps = true
			e.Listings = append(e.Listings, l)
			e.SNDS = days("GREEN", 5, 0, 0)
		}, "", "", []string{reputation.CauseBulk, reputation.CauseCompromised}, []string{reputation.CauseReverse}},
		{"XBL, nothing through us", reputation.IP, func(e *reputation.Evidence) {
			e.Senders = reputation.Senders{Known: true, All: reputation.Tally{Messages: 3}, Usual: -1}
			e.Listings = append(e.Listings, as("zen.spamhaus.org", "Spamhaus ZEN", 5, "XBL"))
		}, reputation.CauseInfected, reputation.Likely, []string{reputation.CausePolicy}, nil},
		{"XBL, a network without passwords stands out", reputation.IP, func(e *reputation.Evidence) {
			loud(byAddress)(e)
			e.Listings = append(e.Listings, as("zen.spamhaus.org", "Spamhaus ZEN", 5, "XBL"))
		}, reputation.CauseInfected, reputation.Likely, nil, nil},
		{"stolen password", reputation.IP, func(e *reputation.Evidence) {
			loud(stolenSender)(e)
			e.Listings = append(e.Listings, as("bl.spamcop.net", "SpamCop", 3, "listed"))
		}, reputation.CauseCompromised, reputation.Likely, []string{reputation.CausePolicy}, nil},
		{"stolen password, the list says exploit", reputation.IP, func(e *reputation.Evidence) {
			loud(stolenSender)(e)
			e.Listings = append(e.Listings, as("<key>.exploit.mail.abusix.zone", "Abusix exploit", 4, "exploit"))
		}, reputation.CauseCompromised, reputation.Likely, nil, nil},
		{"one of two credentials", reputation.IP, func(e *reputation.Evidence) {
			s := stolenSender
			s.Credentials = []reputation.Login{{Credential: "club-1", Tally: reputation.Tally{Invalid: 900}, Fault: 0.98, Addresses: 2}, {Credential: "club-2", Tally: reputation.Tally{Messages: 50}, Addresses: 1}}
			loud(s)(e)
			e.Listings = append(e.Listings, as("bl.spamcop.net", "SpamCop", 3, "listed"))
		}, reputation.CauseCompromised, reputation.Likely, nil, nil},
		{"a newsletter to whom it always goes", reputation.IP, func(e *reputation.Evidence) {
			loud(withStrangers(newsletter, 3, 0.04))(e)
			e.Listings = append(e.Listings, as("bl.spamcop.net", "SpamCop", 3, "listed"))
		}, reputation.CauseBulk, reputation.Likely, []string{reputation.CauseCompromised}, nil},
		{"a newsletter to a list that was bought", reputation.IP, func(e *reputation.Evidence) {
			loud(withStrangers(bulkSender, 92, 0.04))(e)
			e.Listings = append(e.Listings, as("bl.spamcop.net", "SpamCop", 3, "listed"))
		}, reputation.CauseBulk, reputation.Likely, nil, nil},
		{"an office that writes to strangers at once, from many places", reputation.IP, func(e *reputation.Evidence) {
			s := stolenSender
			s.Jump, s.StandsOut = 2, []string{"refused"}
			loud(withStrangers(s, 95, 0.03))(e)
			e.Listings = append(e.Listings, as("bl.example", "Example", 3, "listed"))
		}, reputation.CauseCompromised, reputation.Likely, nil, nil},
		{"strangers alone, before anything bounces", reputation.IP, func(e *reputation.Evidence) {
			s := withStrangers(reputation.Sender{Tally: reputation.Tally{Messages: 100, Recipients: 100, Delivered: 100}, Usual: 50, Jump: 1}, 80, 0.03)
			loud(s)(e)
			e.Listings = append(e.Listings, as("bl.example", "Example", 3, "listed"))
		}, reputation.CauseCompromised, reputation.Possible, nil, nil},
		{"receivers speak of traps", reputation.IP, func(e *reputation.Evidence) {
			s := newsletter
			s.Tally.Traps, s.StandsOut = 2, []string{"traps"}
			loud(s)(e)
			l := as("psbl.surriel.com", "PSBL", 3, "listed")
			l.Traps = true
			e.Listings = append(e.Listings, l)
		}, reputation.CauseBulk, reputation.Likely, nil, nil},
		{"neighbours, nobody of ours", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			e.Listings = append(e.Listings, as("b.barracudacentral.org", "Barracuda", 4, "listed"))
			e.Neighbours = reputation.Neighbours{Network: "198.51.100.0/24", Looked: 250, Listed: 30, Same: 12}
		}, reputation.CauseNeighbour, reputation.Likely, []string{reputation.CauseCompromised}, nil},
		{"listed neighbours are ours", reputation.IP, func(e *reputation.Evidence) {
			loud(bulkSender)(e)
			e.Listings = append(e.Listings, as("b.barracudacentral.org", "Barracuda", 4, "listed"))
			e.Neighbours = reputation.Neighbours{Network: "198.51.100.0/24", Looked: 250, Listed: 3, Same: 3, Ours: 3}
		}, reputation.CauseBulk, reputation.Likely, []string{reputation.CauseNeighbour}, nil},
		{"clean neighbourhood", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			e.Listings = append(e.Listings, as("b.barracudacentral.org", "Barracuda", 4, "listed"))
			e.Neighbours = reputation.Neighbours{Network: "198.51.100.0/24", Looked: 250}
		}, "", "", []string{reputation.CauseNeighbour}, nil},
		{"neighbours not measured", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			e.Listings = append(e.Listings, as("b.barracudacentral.org", "Barracuda", 4, "listed"))
		}, "", "", []string{reputation.CauseCompromised}, []string{reputation.CauseNeighbour, reputation.CauseRelay, reputation.CauseReverse}},
		{"only a list of networks", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			l := as("dnsbl-3.uceprotect.net", "UCEPROTECT-3", 0, "listed")
			l.Wide = true
			e.Listings = append(e.Listings, l)
		}, reputation.CauseWide, reputation.Likely, []string{reputation.CausePolicy}, nil},
		{"hijacked network", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			e.Listings = append(e.Listings, as("zen.spamhaus.org", "Spamhaus ZEN", 5, "DROP"))
		}, reputation.CauseWide, reputation.Likely, nil, nil},
		{"open relay found", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			e.Listings = append(e.Listings, as("bl.spamcop.net", "SpamCop", 3, "listed"))
			measured(e, found("server", "relay.open", "problem"))
		}, reputation.CauseRelay, reputation.Likely, nil, nil},
		{"the list says open relay, the test says no", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			l := as("bl.example", "Example", 3, "listed")
			l.Reason = "Open relay tested"
			e.Listings = append(e.Listings, l)
			measured(e, found("server", "relay.closed", "fine"))
		}, "", "", []string{reputation.CauseRelay}, nil},
		{"open proxy", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			l := as("dnsbl.dronebl.org", "DroneBL", 2, "socks")
			l.Reason = "Open proxy"
			e.Listings = append(e.Listings, l)
		}, reputation.CauseRelay, reputation.Likely, nil, nil},
		{"no reverse name, the list says so", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			e.Listings = append(e.Listings, as("all.spamrats.com", "SpamRATS all", 2, "noptr"))
			measured(e, found("reverse", "reverse.none", "problem"))
		}, reputation.CauseReverse, reputation.Likely, []string{reputation.CauseBulk}, nil},
		{"receivers ask for a reverse name", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			e.Answers = []reputation.AnswerEvidence{{Provider: "Gmail", Category: "requireptr", Count: 12}}
			measured(e, found("egress", "egress.mismatch", "problem"))
			e.Listings = append(e.Listings, as("bl.example", "Example", 2, "listed"))
		}, reputation.CauseReverse, reputation.Likely, nil, nil},
		{"mail without authentication", reputation.Domain, func(e *reputation.Evidence) {
			calm(e)
			e.Listings = append(e.Listings, as("bl.score.senderscore.com", "Validity", 3, "noauth"))
			measured(e, found("spf", "spf.absent", "problem"), found("dkim", "dkim.none", "problem"), found("dmarc", "dmarc.missing", "problem"))
		}, reputation.CauseAuth, reputation.Likely, nil, nil},
		{"receivers miss authentication", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			e.Answers = []reputation.AnswerEvidence{{Provider: "Gmail", Category: "authfailure", Count: 80}}
			e.Listings = append(e.Listings, as("bl.example", "Example", 2, "listed"))
		}, reputation.CauseAuth, reputation.Possible, nil, nil},
		{"a domain that others forge", reputation.Domain, func(e *reputation.Evidence) {
			e.Senders = reputation.Senders{Known: true, Usual: -1}
			e.Listings = append(e.Listings, as("multi.uribl.com", "URIBL", 4, "black"))
			measured(e, found("spf", "spf.fine", "fine"), found("dmarc", "dmarc.missing", "problem"))
		}, reputation.CauseSpoofing, reputation.Likely, nil, nil},
		{"a hacked site", reputation.Domain, func(e *reputation.Evidence) {
			e.Senders = reputation.Senders{Known: true, Usual: -1, All: reputation.Tally{Messages: 10}}
			l := as("dbl.spamhaus.org", "Spamhaus DBL", 5, "abused-phish")
			l.Reason = "compromised WordPress site"
			e.Listings = append(e.Listings, l)
			measured(e, found("dmarc", "dmarc.fine", "fine"))
		}, reputation.CauseCompromised, reputation.Likely, []string{reputation.CauseSpoofing}, nil},
		{"a jump on a new address", reputation.IP, func(e *reputation.Evidence) {
			loud(reputation.Sender{Tally: reputation.Tally{Messages: 9000, Recipients: 9000, Delivered: 8900}, Usual: 300, Jump: 15, StandsOut: []string{"volume"}})(e)
			e.Warm = e.At.Add(-3 * 24 * time.Hour)
			e.Listings = append(e.Listings, as("zen.spamhaus.org", "Spamhaus ZEN", 5, "CSS"))
		}, reputation.CauseVolume, reputation.Likely, []string{reputation.CausePolicy}, nil},
		{"backscatter", reputation.IP, func(e *reputation.Evidence) {
			calm(e)
			e.Listings = append(e.Listings, as("ips.backscatterer.org", "Backscatterer", 0, "listed"))
		}, reputation.CauseSpoofing, reputation.Likely, nil, nil},
		{"nothing is known", reputation.IP, func(e *reputation.Evidence) {
			e.Missing = []reputation.Missing{{Part: "senders", Why: "the database"}}
			e.Listings = append(e.Listings, as("bl.example", "Example", 3, "listed"))
		}, "", "", []string{reputation.CausePolicy, reputation.CauseWide}, []string{reputation.CauseNeighbour, reputation.CauseRelay, reputation.CauseInfected, reputation.CauseCompromised, reputation.CauseReverse,
			reputation.CauseAuth, reputation.CauseBulk, reputation.CauseVolume}},
	}
}

func TestCauses(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	words := catalog(t)
	for _, tc := range scenarios() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := reputation.Evidence{At: now, From: now.Add(-48 * time.Hour), To: now}
			tc.evidence(&e)
			causes := reputation.Rank(tc.kind, e)
			if len(causes) != len(reputation.Causes()) {
				t.Fatalf("%d causes", len(causes))
			}
			first := causes[0]
			speaks := first.Likelihood == reputation.Likely || first.Likelihood == reputation.Possible
			if tc.first == "" && speaks || tc.first != "" && (first.Code != tc.first || first.Likelihood != tc.is) {
				t.Errorf("the first is %s, %s with %d points: %+v", first.Code, first.Likelihood, first.Points, first.Reasons)
			}
			for _, c := range causes {
				switch {
				case slices.Contains(tc.unlikely, c.Code) && c.Likelihood != reputation.Unlikely, slices.Contains(tc.unknown, c.Code) && c.Likelihood != reputation.UnknownLikelihood:
					t.Errorf("%s is %s with %d points: %+v", c.Code, c.Likelihood, c.Points, c.Reasons)
				}
				if c.Likelihood == reputation.UnknownLikelihood && len(c.Missing) == 0 {
					t.Errorf("%s is unknown, and nothing is missing", c.Code)
				}
				sum := 0
				for _, r := range c.Reasons {
					sum += r.Points
					if !words.Has("reputation.reason." + r.Code) {
						t.Errorf("reason %s has no text", r.Code)
					}
				}
				if sum != c.Points {
					t.Errorf("%s: reasons have %d points, the cause %d", c.Code, sum, c.Points)
				}
			}
			if again := reputation.Rank(tc.kind, e); !slices.EqualFunc(again, causes, func(a, b reputation.Cause) bool { return a.Code == b.Code && a.Points == b.Points }) {
				t.Error("the same evidence gave other causes")
			}
		})
	}
}

// TestWords: every code that a page shows has its texts.
func TestWords(t *testing.T) {
	t.Parallel()
	c := catalog(t)
	var keys []string
	for _, x := range reputation.Causes() {
		keys = append(keys, "cause."+x+".name", "cause."+x+".means", "request.cause."+x)
		if !slices.ContainsFunc(reputation.Steps(), func(s string) bool { return slices.Contains(reputation.StepCauses(s), x) }) {
			t.Errorf("no step mends %s", x)
		}
	}
	for _, x := range reputation.Steps() {
		keys = append(keys, "step."+x+".what", "step."+x+".how")
	}
	for _, x := range []reputation.TrapSource{reputation.TrapSNDS, reputation.TrapAnswer, reputation.TrapComplaint, reputation.TrapCode, reputation.TrapList, reputation.TrapSaid} {
		keys = append(keys, "trap."+string(x))
	}
	for _, x := range reputation.States() {
		keys = append(keys, "state."+string(x))
	}
	keys = append(keys, "role.egress", "role.sending", "role.return-path", "role.host", "role.extra", "role.range", "who.operator", "who.customer", "who.network", "likelihood.likely", "likelihood.possible",
		"likelihood.unlikely", "likelihood.unknown", "part.senders", "part.strangers", "part.snds", "part.check", "part.neighbours", "part.listings", "stands.invalid", "stands.refused", "stands.complaints", "stands.traps", "stands.strangers", "stands.score", "stands.volume")
	for _, k := range keys {
		if !c.Has("reputation." + k) {
			t.Errorf("no text reputation.%s", k)
		}
	}
}
