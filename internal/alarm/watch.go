package alarm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds say how much mail may pile up before the operator is told. 0 in a field switches it off.
type Bounds struct {
	Lane        int           // messages that wait for one lane
	LaneAge     time.Duration // age of the oldest of them
	Customer    int           // messages of one customer
	CustomerAge time.Duration
	Total       int
	TotalAge    time.Duration // age of the oldest message of all
}

// Pile is mail that waits for the same thing.
type Pile struct {
	Name   string // lane or customer
	Title  string // for people
	Count  int
	Oldest time.Time // arrival of the oldest; zero: none
	Why    string    // what is known of the reason, in English
}

// Queue is the queue at one moment.
type Queue struct {
	Lanes     []Pile
	Customers []Pile
	Total     Pile
	Silent    int   // messages without a next event: must be 0
	Mended    int64 // that the watchdog had to mend since the start
	Full      bool  // no new mail is taken: the disk is full
}

// mostPiles is how many lanes or customers have alarms of their own; the rest shows in the total.
const mostPiles = 20

// Watch compares the queue with the bounds, and raises and clears. An alarm ends when its figure is below four fifths of the bound, so that it does not come
// and go. It is called from one goroutine.
type Watch struct {
	Alarms *Alarms
	mended int64
}

// Look is called every half minute.
func (w *Watch) Look(now time.Time, b Bounds, q Queue) {
	stood := map[string]bool{}
	for _, x := range w.Alarms.Raised() {
		stood[x.Key] = true
	}
	stands := map[string]bool{}
	piles := func(kind string, list []Pile, most int, age time.Duration) {
		list = slices.Clone(list)
		slices.SortStableFunc(list, func(x, y Pile) int { return cmp.Compare(y.Count, x.Count) })
		for _, p := range list[:min(len(list), mostPiles)] {
			key := "queue." + kind
			if p.Name != "" {
				key += " " + p.Name
			}
			waited := time.Duration(0)
			if !p.Oldest.IsZero() {
				waited = now.Sub(p.Oldest)
			}
			x := Alarm{Key: key, Severity: Warning, Code: "queue-" + kind, Args: map[string]string{"Name": cmp.Or(p.Title, p.Name), "Count": fmt.Sprint(p.Count),
				"Age": waited.Round(time.Minute).String(), "Why": p.Why}}
			if above(p.Count, most, stood[key]) || above(int(waited), int(age), stood[key]) {
				w.Alarms.Raise(x)
				stands[key] = true
			}
		}
	}
	piles("lane", q.Lanes, b.Lane, b.LaneAge)
	piles("customer", q.Customers, b.Customer, b.CustomerAge)
	piles("total", []Pile{q.Total}, b.Total, b.TotalAge)
	for key := range stood {
		if strings.HasPrefix(key, "queue.") && !stands[key] {
			w.Alarms.Clear(key)
		}
	}
	if q.Full {
		w.Alarms.Raise(Alarm{Key: "spool.full", Severity: Critical, Code: "spool-full"})
	} else {
		w.Alarms.Clear("spool.full")
	}
	if q.Silent > 0 || q.Mended > w.mended {
		w.Alarms.Tell(Alarm{Key: "spool.silent", Severity: Critical, Code: "spool-silent", Args: map[string]string{"Count": fmt.Sprint(int64(q.Silent) + q.Mended - w.mended)}})
	}
	w.mended = q.Mended
}

// above compares with a bound; an alarm that stands ends later than it began.
func above(figure, bound int, stands bool) bool {
	if bound <= 0 {
		return false
	}
	if stands {
		return figure > bound/5*4
	}
	return figure > bound
}
