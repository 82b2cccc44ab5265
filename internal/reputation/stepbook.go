package reputation

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"postern/internal/store"
)

// stepKind is a step as the book has it.
type stepKind struct {
	who    Who
	link   string // {customer}, {target}: filled in where they are known
	causes []string
}

// stepBook is every step, by code.
var stepBook = map[string]stepKind{
	"read-list":      {who: ByOperator},
	"find-cause":     {who: ByOperator, link: "/o/messages"},
	"login-stop":     {ByOperator, "/o/customers/{customer}", []string{CauseCompromised}},
	"login-change":   {BySender, "", []string{CauseCompromised}},
	"site-audit":     {BySender, "", []string{CauseCompromised}},
	"machine-find":   {BySender, "", []string{CauseInfected}},
	"machine-clean":  {BySender, "", []string{CauseInfected}},
	"port25-close":   {ByNetwork, "", []string{CauseInfected, CauseRelay}},
	"relay-close":    {ByOperator, "", []string{CauseRelay}},
	"relay-test":     {ByOperator, "/o/check?target={target}", []string{CauseRelay}},
	"ptr-set":        {ByNetwork, "", []string{CauseReverse}},
	"helo-match":     {ByOperator, "/o/check?target={target}", []string{CauseReverse}},
	"spf-publish":    {BySender, "/c/{customer}/domains", []string{CauseAuth, CauseSpoofing}},
	"dkim-sign":      {BySender, "/c/{customer}/domains", []string{CauseAuth}},
	"dmarc-publish":  {BySender, "/c/{customer}/domains", []string{CauseAuth, CauseSpoofing}},
	"backscatter":    {ByOperator, "", []string{CauseSpoofing}},
	"list-clean":     {BySender, "/c/{customer}/suppression", []string{CauseBulk}},
	"list-consent":   {BySender, "", []string{CauseBulk}},
	"unsubscribe":    {BySender, "/c/{customer}/providers", []string{CauseBulk}},
	"sender-stop":    {ByOperator, "/o/customers/{customer}", []string{CauseBulk, CauseCompromised, CauseVolume}},
	"volume-spread":  {BySender, "", []string{CauseVolume}},
	"warm-up":        {ByOperator, "/o/lanes", []string{CauseVolume}},
	"policy-exclude": {ByNetwork, "", []string{CausePolicy}},
	"neighbour-tell": {ByNetwork, "", []string{CauseNeighbour, CauseWide}},
	"other-address":  {ByOperator, "/o/addresses", []string{CauseNeighbour, CauseWide}},
	"wide-weigh":     {ByOperator, "", []string{CauseWide}},
	"ask-list":       {who: ByOperator},
	"watch-sender":   {who: ByOperator, link: "/o/messages"},
}

// stepOrder is the order of work: find out, stop, mend, ask, watch.
var stepOrder = []string{"read-list", "find-cause", "login-stop", "sender-stop", "relay-test", "relay-close", "port25-close", "login-change", "site-audit", "machine-find", "machine-clean", "ptr-set", "helo-match",
	"spf-publish", "dkim-sign", "dmarc-publish", "backscatter", "list-clean", "list-consent", "unsubscribe", "volume-spread", "warm-up", "policy-exclude", "wide-weigh", "neighbour-tell", "other-address",
	"ask-list", "watch-sender"}

// checklist is what to do for the causes that are likely or possible, and always; with what was ticked, also of causes that are neither any more.
func checklist(d Dossier, ticks map[string]Step) []Step {
	fitting := map[string]bool{}
	for _, c := range d.Causes {
		if c.Likelihood == Likely || c.Likelihood == Possible {
			fitting[c.Code] = true
		}
	}
	customer := d.Customer
	if customer == "" && len(d.Evidence.Senders.Senders) > 0 && len(d.Evidence.Senders.Senders[0].StandsOut) > 0 {
		customer = d.Evidence.Senders.Senders[0].Customer
	}
	var out []Step
	for _, code := range stepOrder {
		k := stepBook[code]
		done, ticked := ticks[code]
		if len(k.causes) > 0 && !ticked && !slices.ContainsFunc(k.causes, func(c string) bool { return fitting[c] }) {
			continue
		}
		s := Step{Code: code, Causes: k.causes, Who: k.who, Link: fillLink(k.link, customer, d.Target)}
		if ticked {
			s.Done, s.At, s.By, s.Note = true, done.At, done.By, done.Note
		}
		out = append(out, s)
	}
	return out
}

// fillLink fills in a path; "" when what belongs into it is not known.
func fillLink(link, customer, target string) string {
	if strings.Contains(link, "{customer}") && customer == "" {
		return ""
	}
	link = strings.ReplaceAll(link, "{customer}", url.PathEscape(customer))
	return strings.ReplaceAll(link, "{target}", url.QueryEscape(target))
}

// readTicks reads what was ticked.
func readTicks(tx *store.Tx, dossier string) (map[string]Step, error) {
	out := map[string]Step{}
	rows := tx.Query(`SELECT step, at, actor, note FROM reputation_step WHERE dossier = ?`, dossier)
	for rows.Next() {
		var s Step
		var at time.Time
		if err := rows.Scan(&s.Code, &at, &s.By, &s.Note); err != nil {
			return nil, err
		}
		s.At = at
		out[s.Code] = s
	}
	return out, rows.Err()
}

// delistings are the ways out of the lists of a dossier, the heaviest list first. Lists with the same way are shown once.
func (w *Watch) delistings(listings []Listing) (out []Delisting) {
	lists := w.lists()
	sorted := slices.Clone(listings)
	slices.SortStableFunc(sorted, func(a, b Listing) int {
		return cmp.Or(cmp.Compare(btoi(b.Until.IsZero()), btoi(a.Until.IsZero())), byWeight(a, b))
	})
	for _, l := range sorted {
		list, known := lists[l.Zone]
		if !known {
			continue
		}
		x := Delisting{Zone: l.Zone, List: l.List, Lookup: list.LookupURL, Delisting: list.Delisting}
		x.URL = cmp.Or(x.URL, list.DelistURL)
		if !slices.ContainsFunc(out, func(o Delisting) bool { return o.Zone == x.Zone || o.URL == x.URL && o.Way == x.Way && x.URL != "" }) {
			out = append(out, x)
		}
	}
	return out
}
