package dnsbl

import "testing"

// TestDeadInBothLanguages: whoever names a zone that must not be asked reads why, in his language.
func TestDeadInBothLanguages(t *testing.T) {
	t.Parallel()
	for _, all := range []map[string]Text{deadZones, deadTrees} {
		for zone, why := range all {
			if why.EN == "" || why.FR == "" || why.EN == why.FR {
				t.Errorf("%s: %+v", zone, why)
			}
			if got, dead := DeadText(zone); !dead || got != why {
				t.Errorf("%s: %v %+v", zone, dead, got)
			}
		}
	}
	for _, zone := range []string{"sub.ahbl.org.", "x.drbl.example"} {
		if why, dead := DeadText(zone); !dead || why.FR == "" {
			t.Errorf("%s: %v %+v", zone, dead, why)
		}
	}
}
