package reputation

import (
	"context"
	"net/netip"
	"time"

	"postern/internal/locale"
)

type targetPlan struct{}
type vocabulary struct{}

func newVocabulary(*locale.Catalog) *vocabulary { return nil }

// CheckRanges says what is wrong with ranges to go through: each must be a network of its own, IPv4, or IPv6 of at most 65,536 addresses, and all together at most
// MaxRanged addresses.
func CheckRanges([]netip.Prefix) error { return nil }

// Run watches until ctx ends.
func (w *Watch) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (w *Watch) readTargets(context.Context, TargetQuery) (p TargetPage, err error)           { return }
func (w *Watch) readTarget(context.Context, string) (t Target, err error)                     { return t, ErrNotFound }
func (w *Watch) readSummary(context.Context) (s Summary, err error)                           { return }
func (w *Watch) readListings(context.Context, ListingQuery) (p ListingPage, err error)        { return }
func (w *Watch) readEvents(context.Context, string, string, int) (p EventPage, err error)     { return }
func (w *Watch) readTimeline(context.Context, string, time.Time, int) (m []Moment, err error) { return }
func (w *Watch) readHistory(context.Context, string, time.Time, time.Time) (d []Day, err error) {
	return
}
func (w *Watch) readBlock(context.Context, netip.Prefix, time.Time) (d []Day, err error)      { return }
func (w *Watch) readRounds(context.Context) (r []Round, err error)                            { return }
func (w *Watch) readDossiers(context.Context, DossierQuery) (p DossierPage, err error)        { return }
func (w *Watch) readDossier(context.Context, string) (d Dossier, err error)                   { return d, ErrNotFound }
func (w *Watch) readActs(context.Context, string, string, int) (a []Act, n string, err error) { return }
func (w *Watch) openByHand(context.Context, string, string) (string, error)                   { return "", ErrNotFound }
func (w *Watch) note(context.Context, string, string, string) error                           { return ErrNotFound }
func (w *Watch) tick(context.Context, string, string, bool, string, string) error             { return ErrNotFound }
func (w *Watch) move(context.Context, string, State, string, string) error                    { return ErrNotFound }
func (w *Watch) refresh(context.Context, string) error                                        { return ErrNotFound }
func (w *Watch) request(context.Context, string, string) (r Request, err error) {
	return r, ErrNotFound
}
