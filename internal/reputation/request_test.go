package reputation_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/dnsbl"
	"postern/internal/locale"
	"postern/internal/reputation"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

var update = flag.Bool("update", false, "print the golden files anew")

// TestRequests: requests for different causes at lists with different forms, as they are sent.
func TestRequests(t *testing.T) {
	t.Parallel()
	s := newScene(t, storetest.SQLite(t, store.MainSchema()))
	since := time.Date(2026, 11, 20, 7, 42, 0, 0, time.UTC)
	way := func(zone string) (out []reputation.Delisting) {
		for _, l := range dnsbl.Directory() {
			if l.Zone == zone {
				out = append(out, reputation.Delisting{Zone: zone, List: l.Name, Lookup: l.LookupURL, Delisting: l.Delisting})
			}
		}
		if len(out) == 0 {
			t.Fatalf("no list %s", zone)
		}
		return out
	}
	done := func(codes ...string) (out []reputation.Step) {
		for i, code := range codes {
			out = append(out, reputation.Step{Code: code, Done: true, At: since.Add(time.Duration(6+i) * time.Hour)})
		}
		return out
	}
	sender := func(t reputation.Tally) reputation.Senders {
		return reputation.Senders{Known: true, All: t, Senders: []reputation.Sender{{Customer: "club", Name: "The Club", Tally: t, StandsOut: []string{"invalid"}}}}
	}
	ptr := func(code, state, name string) []reputation.FindingEvidence {
		return []reputation.FindingEvidence{{Group: "reverse", Code: code, State: state, Args: map[string]any{"Name": name}}}
	}
	fine := ptr("reverse.fine", "fine", "gate.example.org")
	bulk := reputation.Tally{Messages: 1300, Recipients: 1290, Delivered: 900, Invalid: 310, Refused: 80, Complaints: 4}
	stolen := reputation.Tally{Messages: 5210, Recipients: 5100, Delivered: 2400, Invalid: 1900, Refused: 800, Complaints: 21}
	calm := reputation.Tally{Messages: 640, Recipients: 640, Delivered: 633, Invalid: 6, Refused: 1}
	for _, tc := range []struct {
		name   string
		kind   reputation.Kind
		zone   string
		codes  []string
		cause  string
		e      reputation.Evidence
		steps  []reputation.Step
		gaps   int
		absent string // words that must not stand there
	}{
		{"01-bulk-css", reputation.IP, "zen.spamhaus.org", []string{"CSS"}, reputation.CauseBulk, reputation.Evidence{Senders: sender(bulk), Findings: fine, Recent: calm, RecentKnown: true}, done("sender-stop", "list-clean", "list-consent"), 0, "The Club"},
		{"02-compromised-spamcop", reputation.IP, "bl.spamcop.net", nil, reputation.CauseCompromised, reputation.Evidence{Senders: sender(stolen), Findings: fine, Recent: stolen, RecentKnown: true}, done("login-stop", "login-change"), 0, "The Club"},
		{"03-infected-barracuda", reputation.IP, "b.barracudacentral.org", nil, reputation.CauseInfected, reputation.Evidence{Findings: fine}, done("port25-close", "machine-clean"), 1, ""},
		{"04-policy-pbl", reputation.IP, "zen.spamhaus.org", []string{"PBL"}, reputation.CausePolicy, reputation.Evidence{Findings: ptr("reverse.generic", "problem", "198-51-100-10.dyn.example.net")}, nil, 2, ""},
		{"05-reverse-spamrats", reputation.IP, "all.spamrats.com", []string{"noptr"}, reputation.CauseReverse, reputation.Evidence{Findings: ptr("reverse.none", "problem", "10.100.51.198.in-addr.arpa")}, done("ptr-set"), 1, ""},
		{"06-neighbour-uceprotect", reputation.IP, "dnsbl-1.uceprotect.net", nil, reputation.CauseNeighbour, reputation.Evidence{Findings: fine}, done("neighbour-tell"), 0, ""},
		{"07-spoofing-uribl", reputation.Domain, "multi.uribl.com", []string{"black"}, reputation.CauseSpoofing, reputation.Evidence{}, done("spf-publish", "dmarc-publish"), 0, "HELO"},
		{"08-hacked-site-dbl", reputation.Domain, "dbl.spamhaus.org", []string{"abused-phish"}, reputation.CauseCompromised, reputation.Evidence{Senders: sender(bulk)}, done("site-audit"), 0, "HELO"},
		{"09-volume-mailspike", reputation.IP, "bl.mailspike.net", []string{"zero-hour"}, reputation.CauseVolume, reputation.Evidence{Senders: sender(reputation.Tally{Messages: 9000, Recipients: 9000, Delivered: 8900, Invalid: 60}), Findings: ptr("reverse.mismatch", "problem", "old.example.net")}, done("volume-spread", "warm-up"), 1, ""},
		{"10-nothing-known-psbl", reputation.IP, "psbl.surriel.com", nil, "", reputation.Evidence{}, nil, 3, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			list := way(tc.zone)
			d := reputation.Dossier{Target: egress, Kind: tc.kind, List: list[0].List, Listed: since, Evidence: tc.e, Checklist: tc.steps, Delisting: list, State: reputation.Open,
				Listings: []reputation.Listing{{List: list[0].List, Names: tc.codes}}}
			d.Evidence.From, d.Evidence.To, d.Evidence.At = since.AddDate(0, 0, -2), since.AddDate(0, 0, 1), since.AddDate(0, 0, 3)
			if tc.kind == reputation.Domain {
				d.Target = domain
			}
			if tc.cause != "" {
				d.Causes = []reputation.Cause{{Code: tc.cause, Likelihood: reputation.Likely, Points: 7}}
			}
			for _, lang := range locale.Languages() {
				body, gaps := s.watch.RequestBody(d, lang)
				if gaps != tc.gaps || strings.Count(body, reputation.GapOpen) != gaps || strings.Count(body, reputation.GapClose) != gaps {
					t.Errorf("%s: %d gaps, want %d", lang, gaps, tc.gaps)
				}
				if tc.absent != "" && strings.Contains(body, tc.absent) || strings.Contains(body, "<no value>") || strings.Contains(body, "reputation.") {
					t.Errorf("%s: says %q or what is no sentence", lang, tc.absent)
				}
				for _, f := range list[0].Fields {
					want := map[dnsbl.Field]string{dnsbl.FieldIP: egress, dnsbl.FieldDomain: d.Target, dnsbl.FieldContact: "postmaster@example.org"}[f]
					if f == dnsbl.FieldPhone && !strings.Contains(body, "[") || want != "" && !strings.Contains(body, want) {
						t.Errorf("%s: the form asks for %s", lang, f)
					}
				}
				for line := range strings.Lines(body) {
					if len([]rune(line)) > 79 && !strings.Contains(line, ": ") {
						t.Errorf("%s: a long line: %s", lang, line)
					}
				}
				file := filepath.Join("testdata", "request", tc.name+"."+lang+".txt")
				if *update {
					if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil || string(want) != body {
					t.Errorf("%s: %v; -update prints it anew\n%s", file, err, body)
				}
			}
		})
	}
	if names := slices.Sorted(slices.Values(locale.Languages())); len(names) != 2 {
		t.Errorf("languages %v", names)
	}
}
