package reputation

import (
	"context"
	"net/netip"
	"time"
)

// Day is what one day (UTC) showed of a target.
type Day struct {
	Day      time.Time // its beginning
	Looked   bool      // false: not measured that day; the figures say nothing
	Weight   int       // 0..5, the worst listing that was seen
	Lists    int       // most lists at once that had it, those for display only included; 255 at most
	Answered int       // most lists that answered at one look; 255 at most
	Unknown  int       // fewest lists that did not answer at one look; 255 at most
}

// History returns the days of a target, the oldest first, one for each day of the window (at most DaysKept), also of those not measured.
func (w *Watch) History(ctx context.Context, target string, from, to time.Time) ([]Day, error) {
	return w.readHistory(ctx, target, from, to)
}

// Block returns what a day showed of the addresses of a network of at most 256: a /24 or longer, a /120 or longer; in their order. Day.Day is the day.
func (w *Watch) Block(ctx context.Context, network netip.Prefix, day time.Time) ([]Day, error) {
	return w.readBlock(ctx, network, day)
}

// Round is how far the daily round through a range has come.
type Round struct {
	Range    netip.Prefix
	Size     int // addresses
	Started  time.Time
	Position int            // addresses looked at in this round
	Listed   int            // addresses found listed in this round
	Unknown  int            // questions without an answer in this round
	Silent   map[string]int // the same by zone
	// Last is the round that was completed last; zero times: none yet.
	Last struct {
		Started, Ended  time.Time
		Listed, Unknown int
		Silent          map[string]int
	}
}

// Rounds returns the state of the ranges that are gone through, in the order of the configuration.
func (w *Watch) Rounds(ctx context.Context) ([]Round, error) { return w.readRounds(ctx) }
