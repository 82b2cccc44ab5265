package reputation

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"postern/internal/locale"
)

// Rank judges the causes of a listing by the evidence, the likeliest first. It is a pure function: the same evidence gives the same causes.
func Rank(kind Kind, e Evidence) []Cause {
	j := newJudge(kind, e)
	rules := map[string]func(*verdict){
		CauseNeighbour: j.neighbour, CauseRelay: j.relay, CauseInfected: j.infected, CauseCompromised: j.compromised, CauseSpoofing: j.spoofing, CauseReverse: j.reverse,
		CauseAuth: j.authentication, CauseBulk: j.bulk, CauseVolume: j.volume, CausePolicy: j.policy, CauseWide: j.wide,
	}
	var out []Cause
	for _, code := range Causes() {
		v := &verdict{Cause: Cause{Code: code}}
		j.hinted(v)
		rules[code](v)
		out = append(out, v.end())
	}
	rank := []Likelihood{Likely, Possible, UnknownLikelihood, Unlikely}
	slices.SortStableFunc(out, func(a, b Cause) int {
		return cmp.Or(cmp.Compare(slices.Index(rank, a.Likelihood), slices.Index(rank, b.Likelihood)), cmp.Compare(b.Points, a.Points))
	})
	return out
}

// verdict is a cause in the making.
type verdict struct {
	Cause
	measured bool // what the cause would show in was looked at
}

// add gives a reason. pairs are the arguments of its text.
func (v *verdict) add(points int, code string, pairs ...any) {
	v.Points += points
	v.Reasons = append(v.Reasons, Reason{Code: code, Points: points, Args: locale.Args(pairs...)})
}

// needs says which parts of the evidence would show the cause; one of them that was measured is enough to call it unlikely.
func (v *verdict) needs(part string, known bool) {
	if known {
		v.measured = true
	} else if !slices.Contains(v.Missing, part) {
		v.Missing = append(v.Missing, part)
	}
}

func (v *verdict) end() Cause {
	switch {
	case v.Points >= LikelyPoints:
		v.Likelihood = Likely
	case v.Points >= PossiblePoints:
		v.Likelihood = Possible
	case v.measured:
		v.Likelihood = Unlikely
	default:
		v.Likelihood = UnknownLikelihood
	}
	slices.SortStableFunc(v.Reasons, func(a, b Reason) int { return cmp.Compare(b.Points, a.Points) })
	return v.Cause
}

// judge holds what several rules ask of the evidence.
type judge struct {
	kind  Kind
	e     Evidence
	out   []Sender // those who stand out by faults
	loud  []Sender // ... by volume
	new   []Sender // ... by strangers, and not by faults
	quiet bool     // enough mail is known to say that nobody stands out
	daily float64  // messages a day against what is usual; 0 not known
}

func newJudge(kind Kind, e Evidence) *judge {
	j := &judge{kind: kind, e: e}
	for _, s := range e.Senders.Senders {
		switch {
		case slices.ContainsFunc(s.StandsOut, func(code string) bool { return code != "volume" && code != "strangers" }):
			j.out = append(j.out, s)
		case slices.Contains(s.StandsOut, "strangers"):
			j.new = append(j.new, s)
		}
		if slices.Contains(s.StandsOut, "volume") {
			j.loud = append(j.loud, s)
		}
	}
	j.quiet = e.Senders.Known && e.Senders.All.Messages >= 50 && len(j.out)+len(j.new) == 0
	from := laterOf(e.From, e.Senders.Since)
	if days := e.To.Sub(from).Hours() / 24; e.Senders.Usual > 0 && days > 0 {
		j.daily = float64(e.Senders.All.Messages) / max(days, 1.0/24) / e.Senders.Usual
	}
	return j
}

// finding is the worst state of the findings whose code begins so: "problem", "advice", "unknown", "fine"; "" there are none.
func (j *judge) finding(prefixes ...string) (state, code string) {
	rank := []string{"", "fine", "unknown", "advice", "problem"}
	for _, f := range j.e.Findings {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.Code, p) }) {
			continue
		}
		if slices.Index(rank, f.State) > slices.Index(rank, state) {
			state, code = f.State, f.Code
		}
	}
	return state, code
}

// answersOf counts the answers of some categories.
func (j *judge) answersOf(categories ...string) (n int, example AnswerEvidence) {
	for _, a := range j.e.Answers {
		if slices.Contains(categories, a.Category) {
			if n += a.Count; a.Count > example.Count {
				example = a
			}
		}
	}
	return n, example
}

// hint is what a code of a list, or words in its reason, say of the cause.
type hint struct {
	names  []string // of codes
	zones  []string // parts of zones
	words  []string // in the list's own text, lower case
	traps  bool     // lists that rest on spam traps
	cause  string
	points int
}

// hints are what lists themselves say. Sources: the lists' own pages, as in package dnsbl, read 2026-11.
var hints = []hint{
	{names: []string{"PBL"}, cause: CausePolicy, points: 7},
	{names: []string{"dyna", "generic", "residential"}, cause: CausePolicy, points: 4},
	{names: []string{"dyna", "generic"}, cause: CauseReverse, points: 5},
	{names: []string{"noptr", "nordns"}, cause: CauseReverse, points: 7},
	{names: []string{"XBL", "exploit", "spam-drone", "irc-drone", "ddos-drone", "botnet"}, cause: CauseInfected, points: 5},
	{names: []string{"XBL", "exploit", "spam-drone", "botnet", "web-exploit"}, cause: CauseCompromised, points: 3},
	{zones: []string{"bip.virusfree.cz"}, cause: CauseInfected, points: 4},
	{zones: []string{"blocklist.de", "authbl"}, names: []string{"auth", "brute-force"}, cause: CauseInfected, points: 4},
	{zones: []string{"blocklist.de"}, names: []string{"web-exploit"}, cause: CauseCompromised, points: 3},
	{names: []string{"socks", "http-proxy"}, cause: CauseRelay, points: 4},
	{names: []string{"SBL"}, cause: CauseBulk, points: 2},
	{names: []string{"CSS", "L5", "L4", "L3", "score"}, cause: CauseBulk, points: 2},
	{names: []string{"CSS", "zero-hour"}, cause: CauseVolume, points: 2},
	{names: []string{"zero-hour"}, cause: CauseCompromised, points: 2},
	{names: []string{"noauth"}, cause: CauseAuth, points: 4},
	{names: []string{"trap"}, traps: true, zones: []string{"bl.spamcop.net", "unsubscore.com", "lashback.com"}, cause: CauseBulk, points: 3},
	{zones: []string{"truncate.gbudb.net"}, cause: CauseBulk, points: 2},
	{names: []string{"phish", "malware", "abused-phish", "abused-malware", "abused-spam", "abused-redirector", "abused-botnet", "PH", "MW", "CR"}, cause: CauseCompromised, points: 5},
	{names: []string{"spam", "black", "ABUSE", "heuristic"}, cause: CauseBulk, points: 2},
	{zones: []string{"backscatter"}, cause: CauseSpoofing, points: 6},
	{names: []string{"DROP"}, cause: CauseWide, points: 7},

	{words: []string{"open relay", "open-relay", "relais ouvert"}, cause: CauseRelay, points: 6},
	{words: []string{"open proxy", "socks proxy"}, cause: CauseRelay, points: 4},
	{words: []string{"infected", "botnet", "trojan", "malware", "virus", "bot "}, cause: CauseInfected, points: 3},
	{words: []string{"compromised", "hacked", "wordpress", "joomla", "brute force", "stolen"}, cause: CauseCompromised, points: 3},
	{words: append([]string{"unsolicited bulk"}, trapWords...), cause: CauseBulk, points: 3},
	{words: []string{"dynamic", "dialup", "residential", "end-user", "policy"}, cause: CausePolicy, points: 3},
	{words: []string{"no reverse", "missing ptr", "no ptr", "no rdns", "generic rdns", "reverse dns"}, cause: CauseReverse, points: 4},
	{words: []string{"spoof", "forged", "backscatter"}, cause: CauseSpoofing, points: 3},
	{words: []string{"sudden", "volume", "new sender", "snowshoe"}, cause: CauseVolume, points: 2},
	{words: []string{"whole range", "entire range", "network block", "your isp", "escalat"}, cause: CauseWide, points: 4},
}

// hinted adds the strongest of what lists say by their codes, and the strongest of what they say in words.
func (j *judge) hinted(v *verdict) {
	var code, said hint
	var by, in ListedAs
	for _, l := range j.e.Listings {
		reason := strings.ToLower(l.Reason)
		for _, h := range hints {
			if h.cause != v.Code {
				continue
			}
			if h.points > code.points && (slices.ContainsFunc(h.names, func(n string) bool { return slices.Contains(l.Names, n) }) ||
				slices.ContainsFunc(h.zones, func(z string) bool { return strings.Contains(l.Zone, z) }) || h.traps && l.Traps) {
				code, by = h, l
			}
			if h.points > said.points && slices.ContainsFunc(h.words, func(w string) bool { return strings.Contains(reason, w) }) {
				said, in = h, l
			}
		}
	}
	if code.points > 0 {
		v.add(code.points, "list", "List", by.List, "Names", strings.Join(by.Names, ", "))
	}
	if said.points > 0 {
		v.add(said.points, "said", "List", in.List, "Text", in.Reason)
	}
}

func (j *judge) neighbour(v *verdict) {
	if j.kind == Domain { // it has none
		v.measured = true
		return
	}
	n := j.e.Neighbours
	state, _ := j.finding("range.bad", "range.listed", "range.clean")
	v.needs("neighbours", n.Looked >= 32 || j.e.Measured["range"] && state != "")
	others := n.Same - n.Ours
	switch {
	case others >= 8:
		v.add(6, "neighbours", "Count", others, "Network", n.Network)
	case others >= 2:
		v.add(4, "neighbours", "Count", others, "Network", n.Network)
	case others == 1:
		v.add(1, "neighbours", "Count", others, "Network", n.Network)
	case n.Looked >= 128:
		v.add(-4, "no-neighbours", "Count", n.Looked, "Network", n.Network)
	}
	if n.Looked >= 32 && n.Listed*10 >= n.Looked {
		v.add(2, "bad-network", "Count", n.Listed, "Looked", n.Looked, "Network", n.Network)
	}
	if state == "problem" || state == "advice" && others == 0 {
		v.add(2, "range-finding")
	}
	if n.Ours > 0 && n.Ours == n.Same {
		v.add(-3, "neighbours-ours", "Count", n.Ours)
	}
	j.own(v, 2, 3)
}

// own weighs whether anything of ours shows: for causes that lie with others.
func (j *judge) own(v *verdict, quiet, loud int) {
	switch {
	case len(j.out) > 0:
		v.add(-loud, "stands-out", "Name", j.out[0].name(), "Share", percent(j.out[0].Fault))
	case j.quiet && v.Points > 0:
		v.add(quiet, "nobody", "Count", j.e.Senders.All.Messages)
	}
}

func (s Sender) name() string { return cmp.Or(s.Name, s.Customer, "?") }

// percent and tenths are figures as people read them.
func percent(share float64) float64 { return math.Round(100 * share) }
func tenths(x float64) float64      { return math.Round(10*x) / 10 }

func (j *judge) relay(v *verdict) {
	state, code := j.finding("server.relay", "relay.")
	v.needs("check", state == "problem" || state == "fine" || state == "advice")
	switch state {
	case "problem":
		v.add(8, "relay-open", "Code", code)
	case "fine":
		v.add(-6, "relay-closed")
	}
	for _, s := range j.out {
		if s.Customer == "" {
			v.add(3, "nobody-known", "Count", s.Tally.Messages)
		}
	}
}

func (j *judge) infected(v *verdict) {
	known := j.e.Senders.Known
	v.needs("senders", known)
	if v.Points > 0 && known && j.e.Senders.All.Messages < 20 {
		v.add(3, "not-through-us", "Count", j.e.Senders.All.Messages)
	}
	for _, s := range j.out {
		for _, l := range s.Credentials {
			if l.Credential == "" && l.Fault >= 0.5 && l.Tally.Faults() >= 10 {
				v.add(4, "by-address", "Name", s.name(), "Count", l.Addresses, "Share", percent(l.Fault))
				return
			}
		}
	}
	if known && len(j.out) > 0 {
		v.add(-2, "with-password", "Name", j.out[0].name())
	}
}

func (j *judge) compromised(v *verdict) {
	v.needs("senders", j.e.Senders.Known)
	if j.quiet {
		v.add(-3, "nobody", "Count", j.e.Senders.All.Messages)
		return
	}
	for _, s := range slices.Concat(j.out, j.new) {
		before := v.Points
		if s.Jump >= 4 {
			v.add(4, "jump", "Name", s.name(), "Factor", tenths(s.Jump))
		}
		if s.Strangers.Unusual() {
			v.strangers(3, "strangers", s)
		}
		for _, l := range s.Credentials {
			switch {
			case l.Tally.Faults() < 20 || l.Credential == "":
			case l.Addresses >= 10:
				v.add(4, "many-addresses", "Name", s.name(), "Credential", cmp.Or(l.Label, l.Credential), "Count", l.Addresses)
			case l.Fault >= 0.8 && len(s.Credentials) > 1:
				v.add(3, "one-credential", "Name", s.name(), "Credential", cmp.Or(l.Label, l.Credential), "Share", percent(l.Fault))
			}
		}
		if slices.Contains(s.StandsOut, "score") {
			v.add(2, "score", "Name", s.name(), "Count", s.Tally.High)
		}
		if s.Strangers.Acquainted() { // who steals a password has a list of his own
			v.strangers(-3, "acquainted", s)
		}
		if v.Points > before {
			return // one sender is enough: reasons of several do not add up
		}
		if s.Jump > 0 && s.Jump < 1.5 {
			v.add(-2, "usual", "Name", s.name())
			return
		}
	}
}

// strangers gives a reason about whom a sender writes to.
func (v *verdict) strangers(points int, code string, s Sender) {
	v.add(points, code, "Name", s.name(), "Count", s.Strangers.First, "Of", s.Strangers.Recipients, "Share", percent(s.Strangers.Share()), "Usual", percent(s.Strangers.Usual))
}

func (j *judge) spoofing(v *verdict) {
	if j.kind == IP {
		v.measured = true
		if v.Points == 0 {
			v.add(-4, "not-forgeable")
		}
		return
	}
	policy, _ := j.finding("dmarc.")
	spf, _ := j.finding("spf.")
	v.needs("check", policy != "" && policy != "unknown")
	v.needs("senders", j.e.Senders.Known)
	if j.e.Senders.Known && j.e.Senders.All.Messages == 0 {
		v.add(4, "none-of-ours")
	}
	switch policy {
	case "problem", "advice":
		v.add(2, "dmarc-open")
	case "fine":
		v.add(-4, "dmarc-closed")
	}
	if spf == "problem" {
		v.add(2, "spf-open")
	}
	if len(j.out) > 0 {
		v.add(-3, "stands-out", "Name", j.out[0].name(), "Share", percent(j.out[0].Fault))
	}
}

func (j *judge) reverse(v *verdict) {
	if j.kind == Domain {
		v.measured = true
		return
	}
	state, code := j.finding("reverse.", "egress.")
	v.needs("check", state != "" && state != "unknown")
	switch state {
	case "problem":
		v.add(6, "reverse", "Code", code)
	case "advice":
		v.add(2, "reverse", "Code", code)
	case "fine":
		v.add(-4, "reverse-fine")
	}
	if n, a := j.answersOf("requireptr"); n > 0 {
		v.add(4, "answers", "Count", n, "Provider", a.Provider)
	}
}

func (j *judge) authentication(v *verdict) {
	bad, fine := 0, 0
	for _, group := range []string{"spf", "dkim", "dmarc"} {
		switch state, code := j.finding(group + "."); state {
		case "problem":
			bad++
			v.add(3, "auth", "Code", code)
		case "fine":
			fine++
		}
	}
	v.needs("check", bad+fine > 0)
	if n, a := j.answersOf("authfailure"); n >= 5 {
		v.add(4, "answers", "Count", n, "Provider", a.Provider)
	} else if j.kind == IP {
		v.needs("senders", j.e.Senders.Known && j.e.Senders.All.Messages > 0)
	}
	if fine == 3 {
		v.add(-4, "auth-fine")
	}
}

func (j *judge) bulk(v *verdict) {
	v.needs("senders", j.e.Senders.Known)
	traps, red, yellow, green, complaints := 0, 0, 0, 0, 0.0
	for _, d := range j.e.SNDS {
		traps += max(d.Traps, 0)
		complaints = max(complaints, d.Complaints)
		switch strings.ToUpper(d.Colour) {
		case "RED":
			red++
		case "YELLOW":
			yellow++
		case "GREEN":
			green++
		}
	}
	if j.kind == IP {
		v.needs("snds", len(j.e.SNDS) > 0)
	}
	if traps > 0 {
		v.add(4, "snds-traps", "Count", traps)
	}
	switch {
	case red > 0:
		v.add(3, "snds-red", "Count", red)
	case yellow > 0:
		v.add(1, "snds-yellow", "Count", yellow)
	case green >= 3:
		v.add(-2, "snds-green", "Count", green)
	}
	if complaints >= 0.003 {
		v.add(2, "snds-complaints", "Rate", tenths(100*complaints))
	}
	for _, s := range j.out {
		before := v.Points
		if slices.Contains(s.StandsOut, "invalid") {
			v.add(3, "invalid", "Name", s.name(), "Count", s.Tally.Invalid, "Share", percent(float64(s.Tally.Invalid)/float64(max(s.Tally.Recipients, 1))))
		}
		if slices.Contains(s.StandsOut, "complaints") {
			v.add(3, "complaints", "Name", s.name(), "Count", s.Tally.Complaints)
		}
		if slices.Contains(s.StandsOut, "refused") {
			v.add(2, "refused", "Name", s.name(), "Count", s.Tally.Refused)
		}
		if slices.Contains(s.StandsOut, "traps") {
			v.add(4, "traps", "Name", s.name(), "Count", s.Tally.Traps)
		}
		if v.Points > before {
			if s.Jump > 0 && s.Jump < 2 {
				v.add(1, "usual", "Name", s.name())
			}
			switch {
			case s.Strangers.Unusual() && slices.Contains(s.StandsOut, "invalid"): // a list that was bought is new and bad
				v.strangers(1, "strangers", s)
			case s.Strangers.Acquainted():
				v.strangers(1, "acquainted", s)
			}
			break
		}
	}
	if j.quiet && j.e.Senders.All.Messages >= 200 {
		v.add(-2, "nobody", "Count", j.e.Senders.All.Messages)
	}
}

func (j *judge) volume(v *verdict) {
	v.needs("senders", j.daily > 0 || len(j.loud) > 0)
	if len(j.loud) > 0 {
		s := j.loud[0]
		if s.Jump > 0 {
			v.add(4, "jump", "Name", s.name(), "Factor", tenths(s.Jump))
		} else {
			v.add(4, "first-mail", "Name", s.name(), "Count", s.Tally.Messages)
		}
	}
	switch {
	case j.daily >= 3:
		v.add(3, "total-jump", "Factor", tenths(j.daily))
	case j.daily > 0 && j.daily <= 1.5:
		v.add(-3, "total-usual", "Factor", tenths(j.daily))
	}
	if !j.e.Warm.IsZero() && j.e.At.Sub(j.e.Warm) < 30*24*time.Hour {
		v.add(3, "new-address", "Count", int(j.e.At.Sub(j.e.Warm).Hours()/24))
		v.measured = true
	}
	if n, a := j.answersOf("speeding", "exceedlimit", "toomanyconn"); n >= 10 {
		v.add(2, "answers", "Count", n, "Provider", a.Provider)
	}
}

func (j *judge) policy(v *verdict) {
	v.needs("listings", len(j.e.Listings) > 0)
	if v.Points == 0 && len(j.e.Listings) > 0 {
		v.add(-3, "no-policy")
	}
}

func (j *judge) wide(v *verdict) {
	v.needs("listings", len(j.e.Listings) > 0)
	some, all := 0, len(j.e.Listings)
	for _, l := range j.e.Listings {
		if l.Wide {
			some++
		}
	}
	switch {
	case some == 0 && v.Points == 0 && all > 0:
		v.add(-3, "not-wide")
	case some > 0 && some == all:
		v.add(8, "only-wide", "List", j.e.Listings[0].List)
	case some > 0:
		v.add(3, "also-wide", "Count", some)
		j.own(v, 2, 2)
	}
}
