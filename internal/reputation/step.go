package reputation

import (
	"context"
	"time"

	"postern/internal/dnsbl"
)

// Who does a step. Text reputation.who.WHO.
type Who string

// The ones who do steps.
const (
	ByOperator Who = "operator" // of the gateway
	BySender   Who = "customer" // whose mail or domain it is
	ByNetwork  Who = "network"  // who runs the network: the provider of the addresses
)

// Step is one thing to do. Texts reputation.step.CODE.what and .how.
type Step struct {
	Code   string
	Causes []string // that it mends; empty: always, towards the list
	Who    Who
	Link   string    // path of the page where it is done, with the dossier's customer and address filled in; "" none
	Done   bool      // ticked
	At     time.Time // when
	By     string
	Note   string
}

// Delisting is the way out of one list.
type Delisting struct {
	Zone   string
	List   string
	Lookup string // where the listing is seen; "" nowhere
	dnsbl.Delisting
}

// Request is a request for removal, for a person to copy.
type Request struct {
	Dossier  string
	Language string // "en", "fr"
	Subject  string
	Body     string // plain text, lines of at most 78 columns but for names; what a person must fill in stands between GapOpen and GapClose
	Ways     []Delisting
	Warnings []Warning // reasons not to send it yet
}

// Warning is a reason to wait. Text reputation.warning.CODE with Args.
type Warning struct {
	Code string
	Args map[string]any
}

// Request prepares a request for removal in a language ("en", "fr") from what the dossier knows: what happened, what was mended (the ticked steps), since when, and who
// answers. It is never sent by the gateway. Errors: ErrNotFound.
func (w *Watch) Request(ctx context.Context, id, lang string) (Request, error) {
	return w.request(ctx, id, lang)
}
