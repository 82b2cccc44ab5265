package checkup

import (
	"math"
	"slices"
)

// weights are what the groups of a check-up count in its score: how much a fault in them hurts delivery.
var weights = map[Group]int{
	Lists: 25, Reverse: 20, Sender: 20, SPF: 15, DKIM: 15, DMARC: 15, Server: 15, MX: 10, NameServers: 10, TLS: 10,
	Range: 5, DNSSEC: 5, STS: 5, TLSReports: 3, CAA: 2, BIMI: 1,
}

// Ceiling is the most that a check-up with a problem can have: a figure near 100 would hide it.
const Ceiling = 79

// Mark is what one group brings to the score.
type Mark struct {
	Group  Group   `json:"group"`
	Weight int     `json:"weight"` // points that the group has to give
	Share  float64 `json:"share"`  // of them: 1 fine, 0.7 advice, 0 a problem
}

// Score is a check-up in one figure.
type Score struct {
	Points     int     `json:"points"`     // 0..100; 0 with Measured false
	Measured   bool    `json:"measured"`   // false: nothing was
	Marks      []Mark  `json:"marks"`      // of the groups that were measured, in the order of Groups
	Unmeasured []Group `json:"unmeasured"` // groups with something that is not known; what is not known counts for nothing
}

// Score sums up what was measured: each group gives its weight times 1 when the worst of its findings is fine, 0.7 when it is advice and 0
// when it is a problem; the score is the sum in percent of all that could be had. Unknown findings are left out and their groups named. What is
// optional and only could be better is left out as well: a domain loses nothing by doing without. With a problem in anything that is not optional
// the score is at most Ceiling.
func (r CheckReport) Score() Score {
	out := Score{Marks: []Mark{}, Unmeasured: []Group{}}
	sum, of, ceiling := 0.0, 0, 100
	for _, g := range Groups() {
		worst := State("")
		for _, f := range r.Of(g) {
			switch {
			case f.State == Unknown:
				if !slices.Contains(out.Unmeasured, g) {
					out.Unmeasured = append(out.Unmeasured, g)
				}
			case f.Optional && f.State == Advice:
			default:
				worst = Worse(worst, f.State)
			}
			if f.State == Problem && !f.Optional {
				ceiling = Ceiling
			}
		}
		weight := weights[g]
		if worst == "" || weight == 0 {
			continue
		}
		share := map[State]float64{Fine: 1, Advice: 0.7, Problem: 0}[worst]
		out.Marks = append(out.Marks, Mark{Group: g, Weight: weight, Share: share})
		sum += share * float64(weight)
		of += weight
	}
	if of > 0 {
		out.Measured = true
		out.Points = min(int(math.Round(100*sum/float64(of))), ceiling)
	}
	return out
}
