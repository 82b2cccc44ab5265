package reputation

import (
	"context"
	"time"
)

// Listing is one stay of a target on one list.
type Listing struct {
	ID       string
	Target   string
	Zone     string
	List     string // as people call it
	Operator string
	Weight   int    // 0..5; 0 is for display only
	Wide     bool   // the list holds whole ranges: it says little of this address
	Own      bool   // of an egress address or a domain of ours; else of an address of a range
	Customer string // whose domain; "" the gateway's
	Codes    []string
	Names    []string  // of the codes
	Reason   string    // the operator's own text, from outside: escape it
	Since    time.Time // first answer that said so
	Heard    time.Time // last answer that said so
	Answered time.Time // last true answer of either kind
	Cleared  time.Time // first clean answer after Heard; zero: none. The listing goes on until a second one
	Until    time.Time // when it ended; zero: it lasts
	Dossier  string    // ID; "" none
}

// Silent says since when the list has given no answer about the target, if it has not for longer than a day; zero: it answers.
func (l Listing) Silent(now time.Time) time.Time {
	if l.Until.IsZero() && now.Sub(l.Answered) > 25*time.Hour {
		return l.Answered
	}
	return time.Time{}
}

// ListingQuery selects listings. Zero fields do not restrict.
type ListingQuery struct {
	Target   string
	Customer string // whose domains
	Dossier  string
	Open     bool   // only those that last
	Own      bool   // only egress addresses and domains
	Within   string // a network: only addresses in it that are listed now, "198.51.100.0/24"; it needs Open
	Weight   int    // at least
	Cursor   string
	Limit    int // 1..500, default 100
}

// ListingPage is one page of listings, the newest first.
type ListingPage struct {
	Listings []Listing
	Next     string
}

// Listings returns listings, one page at a time.
func (w *Watch) Listings(ctx context.Context, q ListingQuery) (ListingPage, error) {
	return w.readListings(ctx, q)
}

// EventKind is what changed. Text reputation.event.KIND.
type EventKind string

// The kinds of events.
const (
	Listed    EventKind = "listed"    // a listing began
	Delisted  EventKind = "delisted"  // it ended
	Changed   EventKind = "changed"   // the list gives other codes than before
	Unwatched EventKind = "unwatched" // the target is not watched any more; its listings ended without an answer
)

// Event is one change.
type Event struct {
	ID       string
	At       time.Time
	Target   string
	Kind     EventKind
	Zone     string
	List     string
	Operator string
	Weight   int
	Names    []string // of the codes
	Text     string   // the operator's own text, from outside: escape it
	Dossier  string
}

// EventPage is one page of events, the newest first.
type EventPage struct {
	Events []Event
	Next   string
}

// Events returns what changed, of a target, or of everything where it is "".
func (w *Watch) Events(ctx context.Context, target, cursor string, limit int) (EventPage, error) {
	return w.readEvents(ctx, target, cursor, limit)
}

// Moment is one line of a target's timeline: an event of a list, or an act in one of its dossiers. One of the two is set.
type Moment struct {
	At    time.Time
	Event *Event
	Act   *Act
}

// Timeline returns what happened about a target, the newest first, at most limit (1..500, default 100) before a time (zero: now).
func (w *Watch) Timeline(ctx context.Context, target string, before time.Time, limit int) ([]Moment, error) {
	return w.readTimeline(ctx, target, before, limit)
}
