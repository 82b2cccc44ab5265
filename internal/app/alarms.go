package app

import (
	"context"
	"strings"
	"sync"
	"time"

	"postern/internal/alarm"
	"postern/internal/filter"
	"postern/internal/locale"
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

// remedy is what the operator does, in both languages; the catalogue's own texts speak to senders.
type remedy struct{ en, fr string }

// remedies say what the operator does about a finding.
var remedies = map[string]remedy{
	"RDNS_NONE": {"Set a PTR record for this address to the gateway's HELO name, where the address was given to you (the provider's panel or IPAM).",
		"Donnez à cette adresse un enregistrement PTR vers le nom HELO de la passerelle, là où l'adresse vous a été attribuée (espace client de l'hébergeur ou IPAM)."},
	"RDNS_MISMATCH": {"Let the name in the PTR record have this address (A or AAAA), or set the PTR record to a name that has.",
		"Faites que le nom de l'enregistrement PTR ait cette adresse (A ou AAAA), ou mettez dans le PTR un nom qui l'a."},
	"HELO_MISMATCH": {"Let the HELO name of this pool (delivery.pools) have this address (A or AAAA), or choose a HELO name that has.",
		"Faites que le nom HELO de ce pool (delivery.pools) ait cette adresse (A ou AAAA), ou choisissez un nom HELO qui l'a."},
	"SPF_HELO_FAIL": {"Publish an SPF record for the HELO name that names its addresses, for example \"v=spf1 a -all\".",
		"Publiez pour le nom HELO un enregistrement SPF qui nomme ses adresses, par exemple « v=spf1 a -all »."},
	"EGRESS_LISTED": {"Find who caused it (postern trace, the journal around that time), stop it, then ask for removal on the list's own page.",
		"Trouvez qui en est la cause (postern trace, le journal autour de cette heure), arrêtez-le, puis demandez le retrait sur la page de la liste elle-même."},
}

// watchEvery is how long an alarm may wait.
const watchEvery = 30 * time.Second

// watch tells the operator what concerns only him, each matter once until alarm.remind is over, however many messages show it.
func (a *App) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.alarm()
			a.lookAtQueue(ctx, time.Now())
		}
	}
}

// alarm sends what has come up since the last look.
func (a *App) alarm() {
	a.blocklistAlarms()
	a.scannerAlarms(a.alarms.Raise, a.alarms.Clear)
	for key, h := range a.findings.take() {
		if h.Test == "EGRESS_LISTED" && a.reputation != nil && a.reputation.Watches(h.Args["IP"]) {
			continue // the watch tells of it, with a dossier
		}
		if h.Test == "RCVD_IN_DNSWL_BLOCKED" || h.Test == "URIBL_BLOCKED" || h.Test == "DENY_LISTED" {
			continue // blocklistAlarms says it; the operator's own list is no news to him
		}
		en, fr, mend := filter.Explain(a.metrics.catalog, locale.English, h), filter.Explain(a.metrics.catalog, locale.French, h), remedies[h.Test]
		a.alarms.Tell(alarm.Alarm{Key: "finding " + key, Severity: alarm.Warning, Code: "finding", Args: map[string]string{
			"Test": h.Test, "Points": locale.Number(locale.English, h.Points), "Points.fr": locale.Number(locale.French, h.Points), "Found": strings.Join(h.Evidence, "\n  "),
			"Name": en.Name, "Name.fr": fr.Name, "Explain": en.Explain, "Explain.fr": fr.Explain, "Mend": mend.en, "Mend.fr": mend.fr}})
	}
}
