package journal

import (
	"time"
)

// Step is the width of the points of a figure over time.
type Step string

// The steps. Days are those of the zone that is asked for.
const (
	Hour Step = "hour"
	Day  Step = "day"
)

// Figure names what is counted. Every Kind is a figure too: the number of its facts.
type Figure string

// Figures that are not simply the number of facts of one kind.
const (
	// Taken: messages that were taken, each once: Accepted, Recovered, and Held on arrival.
	Taken Figure = "=taken"
	// Recipients: the recipients of those messages.
	Recipients Figure = "=recipients"
	// Stopped: messages held on arrival. What an operator sets aside later is not among them.
	Stopped Figure = "=stopped"
	// Delayed: recipients whose first attempt was answered "not now". Kind Deferred counts every such answer.
	Delayed Figure = "=delayed"
	// Judged: messages of which the journal keeps what the tests said, taken or refused.
	Judged Figure = "=judged"
)

// Point is one step of figures.
type Point struct {
	At    time.Time        // its beginning, in the zone that was asked for
	Known bool             // false: before the figures begin, or not counted yet; its counts say nothing
	Count map[Figure]int64 // figures that are not in it are 0
}
