package reputation

import (
	"context"
	"net/netip"
	"time"
)

// LookTurn looks at everything that is due, as Run does every quarter of a minute.
func (w *Watch) LookTurn(ctx context.Context) error { return w.lookTurn(ctx) }

// DossierTurn does what is due in dossiers, and what Run does hourly.
func (w *Watch) DossierTurn(ctx context.Context) error {
	var tidied time.Time
	return w.dossierTurn(ctx, &tidied)
}

// RoundTurn does one piece of a round when its time has come.
func (w *Watch) RoundTurn(ctx context.Context, network netip.Prefix, last time.Time) (time.Time, bool, error) {
	return w.roundTurn(ctx, network, last)
}

// Steps are the codes of all steps.
func Steps() []string { return stepOrder }

// StepCauses are the causes that a step mends.
func StepCauses(code string) []string { return stepBook[code].causes }

// Wrap is how lines of a request are broken.
func Wrap(s, indent string, width int) string { return wrap(s, indent, width) }

// GatherNow gathers the evidence of one dossier, whoever waits.
func (w *Watch) GatherNow(ctx context.Context, id string) error {
	d, err := w.readDossier(ctx, id)
	if err != nil {
		return err
	}
	return w.gatherOne(ctx, d)
}

// Arrivals looks at what is new, as Run does when the accounts have changed.
func (w *Watch) Arrivals(ctx context.Context) error { return w.arrivals(ctx) }

// RequestBody is the text of a request for a dossier, with the number of gaps in it.
func (w *Watch) RequestBody(d Dossier, lang string) (string, int) {
	return w.requestBody(d, lang)
}
