package app_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"postern/internal/alarm"
	"postern/internal/journal"
	"postern/internal/reputation"
)

// TestWatch: a gateway finds a listed domain of its own by itself, says so, and opens a dossier with evidence.
func TestWatch(t *testing.T) {
	t.Parallel()
	a, _, _, _ := gateway(t, "reputation: {domains: [listed.test]}\nblocklists: {zones: {dbl.spamhaus.org: true}}\nnotice: {operator: ops@customer.test}\n"+customer)
	w := a.Reputation()
	var d reputation.Dossier
	waitFor(t, "a dossier with evidence", func() bool {
		p, err := w.Dossiers(t.Context(), reputation.DossierQuery{Target: "listed.test"})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Dossiers) == 0 || p.Dossiers[0].Gathered.IsZero() {
			return false
		}
		d, err = w.Dossier(t.Context(), p.Dossiers[0].ID)
		return err == nil
	})
	if d.Operator == "" || d.Weight != 5 || !d.Evidence.Senders.Known || len(d.Evidence.Findings) == 0 || len(d.Delisting) != 1 {
		t.Fatalf("%+v", d)
	}
	key := reputation.AlarmKey("listed.test", d.Operator)
	i := slices.IndexFunc(a.Alarms().Raised(), func(x alarm.Alarm) bool { return x.Key == key })
	if i < 0 || a.Alarms().Raised()[i].Severity != alarm.Critical {
		t.Fatalf("alarms %+v", a.Alarms().Raised())
	}
	for _, lang := range []string{"en", "fr"} {
		if title := a.Alarms().Title(lang, a.Alarms().Raised()[i]); !strings.Contains(title, "listed.test") {
			t.Error(title)
		}
	}
	waitFor(t, "a fact", func() bool {
		found, err := a.Journal().Look(t.Context(), journal.Query{Kinds: []journal.Kind{journal.BlockListed}})
		return err == nil && len(found.Facts) == 1
	})
	r, err := w.Request(t.Context(), d.ID, "fr")
	if err != nil || !strings.Contains(r.Body, "ops@customer.test") {
		t.Fatalf("%s %v", r.Body, err)
	}
	if target, err := w.Target(t.Context(), "customer.test"); err != nil || target.Checked.IsZero() || target.Lists != 0 {
		t.Fatalf("%+v %v", target, err)
	}
	answer, err := http.Get("http://" + a.Addresses("metrics") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	figures, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(figures), "postern_reputation_worst_weight 5\n") || !strings.Contains(string(figures), `postern_reputation_dossiers{state="open"} 1`) {
		t.Fatalf("figures: %v", err)
	}
}

func TestWatchSwitchedOff(t *testing.T) {
	t.Parallel()
	a, _, _, _ := gateway(t, "reputation: {enabled: false}\n"+customer)
	if a.Reputation() != nil {
		t.Fatal("it watches")
	}
}
