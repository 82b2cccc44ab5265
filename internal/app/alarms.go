package app

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"postern/internal/filter"
)

// findings gathers what the tests of customers' mail found that only the operator can mend: a listing or a missing name of our own
// addresses, a blocklist that refuses our name server. Senders are told that the operator knows; this is how he does.
type findings struct {
	mu    sync.Mutex
	fresh map[string]filter.Hit // by test and what it is about, since the last look
}

// maxFindings bounds the memory between two looks.
const maxFindings = 200

// note keeps the hits of a verdict that concern the operator.
func (f *findings) note(v filter.Verdict, operator map[string]bool) {
	for _, h := range v.Hits {
		if !operator[h.Test] || h.Points < 0 {
			continue
		}
		key := h.Test + " " + h.Args["IP"] + h.Args["Target"] + h.Args["Zone"] + h.Args["Hello"]
		f.mu.Lock()
		if f.fresh == nil {
			f.fresh = make(map[string]filter.Hit)
		}
		if len(f.fresh) < maxFindings {
			f.fresh[key] = h
		}
		f.mu.Unlock()
	}
}

func (f *findings) take() map[string]filter.Hit {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.fresh
	f.fresh = nil
	return out
}

// remedies say what the operator does about a finding; the catalogue's own texts speak to senders.
var remedies = map[string]string{
	"RDNS_NONE":     "Set a PTR record for this address to the gateway's HELO name, where the address was given to you (the provider's panel or IPAM).",
	"RDNS_MISMATCH": "Let the name in the PTR record have this address (A or AAAA), or set the PTR record to a name that has.",
	"HELO_MISMATCH": "Let the HELO name of this pool (delivery.pools) have this address (A or AAAA), or choose a HELO name that has.",
	"SPF_HELO_FAIL": "Publish an SPF record for the HELO name that names its addresses, for example \"v=spf1 a -all\".",
	"EGRESS_LISTED": "Find who caused it (postern trace, the journal around that time), stop it, then ask for removal on the list's own page.",
}

// watchEvery is how long an alarm may wait.
const watchEvery = 30 * time.Second

// watch tells the operator what concerns only him, one mail for each matter and day, however many messages show it.
func (a *App) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.alarm(ctx)
			a.lookAtQueue(ctx, time.Now())
		}
	}
}

// alarm sends what has come up since the last look.
func (a *App) alarm(ctx context.Context) {
	tell := func(key, subject, text string) {
		if err := a.notices.Alarm(ctx, key, subject, text); err != nil {
			a.log.Error("operator not told", "alarm", key, "error", err)
		}
	}
	a.blocklistAlarms()
	a.scannerAlarms(tell)
	for key, h := range a.findings.take() {
		if h.Test == "EGRESS_LISTED" && a.reputation != nil && a.reputation.Watches(h.Args["IP"]) {
			continue // the watch tells of it, with a dossier
		}
		if h.Test == "RCVD_IN_DNSWL_BLOCKED" || h.Test == "URIBL_BLOCKED" || h.Test == "DENY_LISTED" {
			continue // blocklistAlarms says it; the operator's own list is no news to him
		}
		e := filter.Explain(a.metrics.catalog, "en", h)
		tell("finding:"+key, h.Test+": "+e.Name, fmt.Sprintf("Mail that leaves through this gateway is marked down by its receivers because of the gateway itself.\n\n"+
			"%s (%s, %.1f points on every message)\n\n%s\n\nFound:\n  %s\n\nTo mend:\n%s\n",
			e.Name, h.Test, h.Points, e.Explain, strings.Join(h.Evidence, "\n  "), remedies[h.Test]))
	}
}
