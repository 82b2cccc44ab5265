package app

import (
	"testing"

	"postern/internal/filter"
)

// TestRemedies: every test that only the operator can mend tells him how, or is told in another way.
func TestRemedies(t *testing.T) {
	told := map[string]bool{"RCVD_IN_DNSWL_BLOCKED": true, "URIBL_BLOCKED": true, // by the alarm about refusals
		"DENY_LISTED": true} // he wrote the list
	for _, test := range filter.Tests() {
		if test.Operator && test.Points >= 0 && (remedies[test.Name].en == "" || remedies[test.Name].fr == "") && !told[test.Name] {
			t.Errorf("%s: the operator is not told what to do", test.Name)
		}
	}
}

// TestFindings: one finding for each matter, however many messages show it; good signs and senders' matters are none.
func TestFindings(t *testing.T) {
	var f findings
	operator := map[string]bool{"RDNS_NONE": true, "SPF_HELO_PASS": true}
	for range 1000 {
		f.note(filter.Verdict{Hits: []filter.Hit{
			{Test: "RDNS_NONE", Points: 2.4, Args: map[string]string{"IP": "192.0.2.1"}},
			{Test: "SPF_HELO_PASS", Points: -0.001},
			{Test: "SPF_FAIL", Points: 3.5},
		}}, operator)
	}
	f.note(filter.Verdict{Hits: []filter.Hit{{Test: "RDNS_NONE", Points: 2.4, Args: map[string]string{"IP": "192.0.2.2"}}}}, operator)
	if got := f.take(); len(got) != 2 {
		t.Errorf("findings: %v", got)
	}
	if got := f.take(); len(got) != 0 {
		t.Errorf("told twice: %v", got)
	}
}
