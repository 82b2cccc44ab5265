package dnsbl_test

import (
	"encoding/csv"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postern/internal/dnsbl"
)

// shorthand is what the rows mean that name several zones in one, or none.
var shorthand = map[string][]string{
	"swl.spamhaus.org / _vouch.dwl.spamhaus.org":           {"swl.spamhaus.org", "_vouch.dwl.spamhaus.org"},
	"black.uribl.com / grey / red":                         {"black.uribl.com", "grey.uribl.com", "red.uribl.com"},
	"sa-trusted.bondedsender.org / sa-accredit.habeas.com": {"sa-trusted.bondedsender.org", "sa-accredit.habeas.com"},
	"fresh.spameatingmonkey.net / fresh10 / fresh15":       {"fresh.spameatingmonkey.net", "fresh10.spameatingmonkey.net", "fresh15.spameatingmonkey.net"},
	"<key>.nod / shorthash / diskhash .mail.abusix.zone":   {"<key>.nod.mail.abusix.zone", "<key>.shorthash.mail.abusix.zone", "<key>.diskhash.mail.abusix.zone"},
	"spam.rbl.blockedservers.com (+ rbl. / netscan.)":      {"spam.rbl.blockedservers.com", "rbl.blockedservers.com", "netscan.rbl.blockedservers.com"},
	"ivmSIP.invaluement.com / ivmSIP24 / ivmURI":           {"ivmsip.invaluement.com", "ivmsip24.invaluement.com", "ivmuri.invaluement.com"},
	"<domain>.lookup.dkimwl.org":                           {"lookup.dkimwl.org"},
	"csi.cloudmark.com (web)":                              {"csi.cloudmark.com"},
	"ipcheck.proofpoint.com (web)":                         {"ipcheck.proofpoint.com"},
	"Microsoft block list S3140/S3150 (web/SNDS)":          {"olcsupport.office.com"},
	"Vade/Hornet, Signal Spam (web)":                       {"sendertool.vadesecure.com"},
	"spamtrap.drbl.drand.net and other *.drbl.*":           {"spamtrap.drbl.drand.net", "x.drbl.example.org"},
	"dnsbl.anticaptcha.net (v6: dnsbl6)":                   {"dnsbl.anticaptcha.net", "dnsbl6.anticaptcha.net"},
	"*.sectoor.de (tor)":                                   {"tor.sectoor.de", "sectoor.de"},
	"*.sorbs.net (dnsbl, spam, new.spam, recent.spam, dul, smtp, http, socks, misc, web, zombie, rhsbl, safe, problems ...)": {"dnsbl.sorbs.net", "new.spam.dnsbl.sorbs.net", "sorbs.net"},
}

func zonesOf(cell string) []string {
	if zones, ok := shorthand[cell]; ok {
		return zones
	}
	var out []string
	for _, zone := range strings.Split(cell, " / ") {
		if below, wild := strings.CutPrefix(zone, "*."); wild {
			out = append(out, below)
			zone = "x." + below
		}
		out = append(out, zone)
	}
	return out
}

// TestEveryZone: each zone that was met in public is in the directory with its weight and evidence, or refused with a reason.
func TestEveryZone(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/zones.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, row := range rows[1:] {
		cell, status, weight, evidence := row[0], row[1], row[4], row[5]
		zones := zonesOf(cell)
		for _, zone := range zones {
			seen[zone] = true
			l, known := dnsbl.Find(zone)
			why, dead := dnsbl.Dead(zone)
			text, _ := dnsbl.DeadText(zone)
			switch {
			case known && dead, !known && !dead:
				t.Errorf("%s: in the directory: %v, refused: %v", zone, known, dead)
			case strings.HasPrefix(status, "dead") != dead && !strings.HasPrefix(status, "superseded") && !strings.HasPrefix(status, "renamed") && cell != "origin.asn.spameatingmonkey.net / origin.asn.cymru.com":
				t.Errorf("%s is %s, but refused: %v", zone, status, dead)
			case dead && (why == "" || why != text.EN || text.FR == "" || text.FR == text.EN):
				t.Errorf("%s is refused without a reason in both languages: %+v", zone, text)
			case dead:
				continue
			}
			if want, _ := strconv.Atoi(weight); l.Weight != want || string(l.Evidence) != evidence {
				t.Errorf("%s: weight %d evidence %s, want %s %s", zone, l.Weight, l.Evidence, weight, evidence)
			}
			if keyed := strings.HasPrefix(status, "keyed") && strings.HasPrefix(zone, "<key>"); keyed != (l.Access == dnsbl.Key) {
				t.Errorf("%s: %s, but %s", zone, status, l.Access)
			}
			if (status == "registration" || strings.Contains(status, "subscription")) != (l.Access == dnsbl.Registration) && zone != "bb.barracudacentral.org" {
				t.Errorf("%s: %s, but %s", zone, status, l.Access)
			}
			if (status == "web only") != (l.Access == dnsbl.Web) {
				t.Errorf("%s: %s, but %s", zone, status, l.Access)
			}
			if strings.Contains(status, "subset") && l.PartOf == "" {
				t.Errorf("%s holds what another list has, but does not say which", zone)
			}
		}
	}
	if len(rows) != 133 {
		t.Errorf("%d rows", len(rows)-1)
	}
	for _, l := range dnsbl.Directory() {
		if !seen[l.Zone] {
			t.Errorf("%s is in the directory, but in no row", l.Zone)
		}
	}
}

// TestDelisting: for every list that counts there is a way out, in both languages, with all that a request needs.
func TestDelisting(t *testing.T) {
	t.Parallel()
	ways := []dnsbl.Way{dnsbl.SelfService, dnsbl.Form, dnsbl.Expires, dnsbl.Owner, dnsbl.None}
	check := func(t *testing.T, d dnsbl.Delisting) {
		for name, text := range map[string]dnsbl.Text{"before": d.Before, "how": d.How, "takes": d.Takes} {
			if text.EN == "" || text.FR == "" || text.EN == text.FR {
				t.Errorf("%s: %q, %q", name, text.EN, text.FR)
			}
		}
		if !slices.Contains(ways, d.Way) {
			t.Errorf("way %q", d.Way)
		}
		if d.URL != "" && !strings.HasPrefix(d.URL, "https://") {
			t.Errorf("URL %q", d.URL)
		}
		asked := d.Way == dnsbl.SelfService || d.Way == dnsbl.Form || d.Way == dnsbl.Owner
		if asked && d.URL == "" {
			t.Error("nowhere to ask")
		}
		if d.Text && (d.Lang != "en" && d.Lang != "fr" || len(d.Fields) == 0) || !d.Text && d.Lang != "" || !asked && d.Text {
			t.Errorf("a request that cannot be written: %+v", d)
		}
		if d.NeverPay && (!strings.Contains(d.How.EN, "ever pay") || !strings.Contains(d.How.FR, "payez jamais")) {
			t.Error("does not say never to pay")
		}
	}
	for _, l := range dnsbl.Directory() {
		t.Run(l.Zone, func(t *testing.T) {
			if l.Operator == "" {
				t.Error("no operator")
			}
			check(t, l.Delisting)
			for _, c := range l.Codes {
				check(t, dnsbl.Listing{List: &l, State: dnsbl.Listed, Matched: []dnsbl.Code{c}}.Delisting())
			}
			if l.Allow && l.Delisting.Way != dnsbl.None {
				t.Errorf("an allow list with a way out: %s", l.Delisting.Way)
			}
			if l.Weight >= 3 && !l.Allow && strings.Contains(l.Delisting.How.EN, "nothing more is attested") {
				t.Error("a list of weight without a procedure of its own")
			}
		})
	}
	// What a code says goes before what the list says.
	zen := list(t, "zen.spamhaus.org")
	for name, way := range map[string]dnsbl.Way{"SBL": dnsbl.Owner, "CSS": dnsbl.SelfService, "PBL": dnsbl.SelfService, "other": dnsbl.Form} {
		got := dnsbl.Listing{List: zen, State: dnsbl.Listed, Matched: []dnsbl.Code{{Name: name}}}.Delisting()
		if got.Way != way {
			t.Errorf("%s: %s, want %s", name, got.Way, way)
		}
	}
}

// TestDefaults: what a panel of the directory asks without any key.
func TestDefaults(t *testing.T) {
	t.Parallel()
	var ip4, asked, hearsay int
	for _, l := range dnsbl.InUse(dnsbl.Directory()) {
		asked++
		if l.Kinds&dnsbl.IP4 != 0 && l.Access == dnsbl.Free {
			ip4++
		}
		if l.Evidence == dnsbl.Hearsay {
			hearsay++
		}
		if l.PartOf != "" || l.Skip || l.Access == dnsbl.Web || l.Kinds == dnsbl.Hash {
			t.Errorf("%s should not be asked", l.Zone)
		}
	}
	t.Logf("%d lists, %d of IPv4 addresses that are free, %d on hearsay", asked, ip4, hearsay)
	if asked < 60 {
		t.Errorf("only %d lists", asked)
	}
}
