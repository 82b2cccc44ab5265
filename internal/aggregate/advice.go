package aggregate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rules are the bounds that Advise holds figures against. A policy that is stricter than the figures allow loses mail, so they are cautious.
type Rules struct {
	Window        int   // days looked at; 28: a month's mailings, whole weeks
	QuarantineFor int   // days of them that were reported before quarantine is proposed; 14
	RejectFor     int   // the same before reject is, all under quarantine; 21
	Messages      int64 // reported within the window; 100
	Share         int64 // per ten thousand of the mail that counts that passes; 9900
	SourceShare   int64 // per ten thousand of all mail that one unknown source may send unmarked; 100
	SourceLeast   int64 // messages below which an unknown source is noise; 10
	OwnShare      int64 // per ten thousand of an own source's mail that passes; 9500
	OwnLeast      int64 // messages of an own source below which its share says nothing; 10
	BackWindow    int   // days looked at for going back; 7
	BackShare     int64 // per ten thousand of own mail that fails before going back is advised; 200
	BackLeast     int64 // messages that failed before it is; 20
}

// DefaultRules are those that the pages state.
func DefaultRules() Rules {
	return Rules{Window: 28, QuarantineFor: 14, RejectFor: 21, Messages: 100, Share: 9900, SourceShare: 100, SourceLeast: 10, OwnShare: 9500, OwnLeast: 10, BackWindow: 7, BackShare: 200, BackLeast: 20}
}

// AdviceState says what to do with the policy.
type AdviceState string

// The states.
const (
	AdviceUnknown    AdviceState = "unknown"    // too little was reported to say anything
	AdviceNone       AdviceState = "none"       // there is no policy; publish one that asks for reports
	AdviceStay       AdviceState = "stay"       // stricter would lose mail; the rules that fail say why
	AdviceFinish     AdviceState = "finish"     // the policy is only half in force (pct, t=y): make it whole first
	AdviceQuarantine AdviceState = "quarantine" // ready for quarantine
	AdviceReject     AdviceState = "reject"     // ready for reject
	AdviceDone       AdviceState = "done"       // reject is in force and own mail passes
	AdviceBack       AdviceState = "back"       // own mail is lost under the policy: make it milder
)

// AdviceStates returns all of them.
func AdviceStates() []AdviceState {
	return []AdviceState{AdviceUnknown, AdviceNone, AdviceStay, AdviceFinish, AdviceQuarantine, AdviceReject, AdviceDone, AdviceBack}
}

// Rule codes.
const (
	RuleDays     = "days"     // enough days were reported
	RuleMessages = "messages" // enough messages were
	RuleShare    = "share"    // enough of the mail that counts passes
	RuleOwn      = "own"      // every own source passes
	RuleUnknown  = "unknown"  // no unknown source sends much
	RuleWhole    = "whole"    // the policy is in force for all mail
	RuleBack     = "back"     // own mail does not fail under the policy
)

// RuleCodes returns all of them.
func RuleCodes() []string {
	return []string{RuleDays, RuleMessages, RuleShare, RuleOwn, RuleUnknown, RuleWhole, RuleBack}
}

// Check is one rule held against the figures.
type Check struct {
	Code    string
	Fine    bool
	Have    string   // what was found
	Need    string   // what the rule asks
	Sources []string // that stand in the way, at most ten
}

// Advice says whether the policy can be stricter.
type Advice struct {
	State  AdviceState
	Policy string // in force: "none", "quarantine", "reject"; "": none was seen
	Next   string // proposed; "" when nothing is to change
	Name   string // of the record to publish; "" when nothing is to change
	Record string // to publish
	Former string // that it replaces, where it is known
	Checks []Check
}

// InForce is the policy in force for a domain, as its record says it or receivers saw it.
type InForce struct {
	Domain  string // where the record is
	Record  string // as published; "": not known, only what receivers saw
	P       string
	Percent int  // pct of RFC 7489; 100 when it is not told
	Testing bool // t=y of RFC 9989
	Doubted bool // reports tell it whose mail is not authenticated, and nothing else does: it is not believed
}

// Seen is the policy as the receivers' reports tell it.
func (o *Overview) Seen() InForce {
	p := o.Policy
	if o.Doubted && !o.CountsAll {
		return InForce{Domain: o.Domain.Domain, Percent: 100, Doubted: true}
	}
	f := InForce{Domain: o.Domain.Domain, P: p.P, Percent: 100, Testing: p.Testing == "y"}
	if n, err := strconv.Atoi(p.Percent); err == nil && n >= 0 && n < 100 {
		f.Percent = n
	}
	return f
}

// Advise holds an overview of Rules.Window days against the rules. reports is the address for reports in a record that has to be written anew.
//
// The mail that counts is that of sources which are known to be the domain's: own, passing, passing in part. What forwarders break does not count:
// receivers know them, and no policy of the owner mends it. What unknown sources send does not count either, but stands in the way until it is small
// or a person has said whose it is: the rarely used system that nobody thought of looks like this. What reports say whose mail is not authenticated counts for nothing, unless
// the operator wants it.
func Advise(o *Overview, now InForce, r Rules, reports string) Advice {
	o = o.counted()
	a := Advice{Policy: now.P, Name: "_dmarc." + now.Domain, Former: now.Record}
	if now.P == "" && now.Doubted {
		a.State, a.Name = AdviceUnknown, ""
		a.Checks, _ = measure(o, r, r.QuarantineFor)
		return a
	}
	if now.P == "" {
		a.State, a.Next = AdviceNone, "none"
		a.Record = record(now, "none", reports)
		return a
	}
	need := r.QuarantineFor
	if now.P != "none" {
		need = r.RejectFor
	}
	checks, enough := measure(o, r, need)
	a.Checks = checks
	back, lost := losing(o, r)
	strict := now.P == "quarantine" || now.P == "reject"
	if strict {
		a.Checks = append(a.Checks, back)
	}
	whole := now.Percent == 100 && !now.Testing
	if strict {
		have := "100 %"
		if now.Testing {
			have = "t=y"
		} else if now.Percent < 100 {
			have = fmt.Sprintf("pct=%d", now.Percent)
		}
		a.Checks = append(a.Checks, Check{Code: RuleWhole, Fine: whole, Have: have, Need: "100 %"})
	}
	fine := !slices.ContainsFunc(checks, func(c Check) bool { return !c.Fine })
	milder := map[string]string{"quarantine": "none", "reject": "quarantine"}
	switch {
	case strict && lost:
		a.State, a.Next = AdviceBack, milder[now.P]
	case !enough:
		a.State = AdviceUnknown
	case !fine:
		a.State = AdviceStay
	case strict && !whole:
		a.State, a.Next = AdviceFinish, now.P
	case now.P == "none":
		a.State, a.Next = AdviceQuarantine, "quarantine"
	case now.P == "quarantine":
		a.State, a.Next = AdviceReject, "reject"
	default:
		a.State = AdviceDone
	}
	if a.Next == "" {
		a.Name, a.Former = "", ""
		return a
	}
	a.Record = record(now, a.Next, reports)
	return a
}

// counted is the overview by the reports that count.
func (o *Overview) counted() *Overview {
	if o.CountsAll || o.Unproven.Messages == 0 && o.Guessed == 0 {
		return o
	}
	out := *o
	out.Window, out.Known = o.Window.less(o.Unproven), o.Known-o.Guessed
	out.Unproven, out.Guessed = Part{}, 0
	out.Sources, out.Recent = countedOf(o.Sources), countedOf(o.Recent)
	return &out
}

// counts reports whether a source's mail is the domain's own.
func (s *Source) counts() bool {
	return s.Class == ClassOwn || s.Class == ClassPasses || s.Class == ClassPartly
}

// measure holds the figures against the rules for being stricter. enough: so much was reported that they say something.
func measure(o *Overview, r Rules, days int) (checks []Check, enough bool) {
	var counted, passed int64
	var failing, unknown []string
	groups := map[string]int64{}
	for i := range o.Sources {
		s := &o.Sources[i]
		switch {
		case s.counts():
			counted += s.Messages
			passed += s.Passed
			if s.Messages >= r.OwnLeast && s.Passed*10_000 < s.Messages*r.OwnShare {
				failing = append(failing, s.Text)
			}
		case s.Class == ClassUnknown || s.Class == ClassService:
			group := s.Text // addresses of one owner are one source
			if s.Named == NameConfirmed {
				group = Registrable(s.Name)
			}
			groups[group] += s.Failed()
		}
	}
	for g, n := range groups {
		if n >= r.SourceLeast && n*10_000 > o.Window.Messages*r.SourceShare {
			unknown = append(unknown, g)
		}
	}
	slices.SortFunc(unknown, func(x, y string) int {
		if groups[x] != groups[y] {
			return int(min(max(groups[y]-groups[x], -1), 1))
		}
		return strings.Compare(x, y)
	})
	share := int64(0)
	if counted > 0 {
		share = passed * 10_000 / counted
	}
	first := func(all []string) []string { return all[:min(len(all), 10)] }
	checks = []Check{
		{Code: RuleDays, Fine: o.Known >= days, Have: strconv.Itoa(o.Known), Need: strconv.Itoa(days)},
		{Code: RuleMessages, Fine: o.Window.Messages >= r.Messages, Have: strconv.FormatInt(o.Window.Messages, 10), Need: strconv.FormatInt(r.Messages, 10)},
		{Code: RuleShare, Fine: counted > 0 && share >= r.Share, Have: percent(share), Need: percent(r.Share)},
		{Code: RuleOwn, Fine: len(failing) == 0, Have: strconv.Itoa(len(failing)), Need: "0", Sources: first(failing)},
		{Code: RuleUnknown, Fine: len(unknown) == 0, Have: strconv.Itoa(len(unknown)), Need: "0", Sources: first(unknown)},
	}
	return checks, checks[0].Fine && checks[1].Fine
}

// losing reports whether own mail fails in the last days.
func losing(o *Overview, r Rules) (Check, bool) {
	var messages, failed int64
	for i := range o.Recent {
		if s := &o.Recent[i]; s.counts() {
			messages += s.Messages
			failed += s.Failed()
		}
	}
	share := int64(0)
	if messages > 0 {
		share = failed * 10_000 / messages
	}
	lost := failed >= r.BackLeast && share > r.BackShare
	return Check{Code: RuleBack, Fine: !lost, Have: percent(share), Need: percent(r.BackShare)}, lost
}

// percent writes a share per ten thousand.
func percent(n int64) string {
	s := strconv.FormatFloat(float64(n)/100, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + " %"
}

// record is the policy's record with another handling: the published one where it is known, else a new one.
func record(now InForce, p, reports string) string {
	if now.Record == "" {
		out := "v=DMARC1; p=" + p
		if reports != "" {
			out += "; rua=mailto:" + reports
		}
		return out
	}
	var out []string
	done := false
	for _, part := range strings.Split(now.Record, ";") {
		part = strings.TrimSpace(part)
		tag, _, _ := strings.Cut(part, "=")
		switch strings.ToLower(strings.TrimSpace(tag)) {
		case "":
			continue
		case "p":
			if done {
				continue
			}
			part, done = "p="+p, true
		case "t", "pct": // RFC 9989 knows no pct, and t=y would halve what is asked
			continue
		case "ri", "rf": // nobody reads them any more
			continue
		}
		out = append(out, part)
	}
	if !done {
		at := min(len(out), 1)
		out = slices.Insert(out, at, "p="+p)
	}
	return strings.Join(out, "; ")
}
