package checkup_test

import (
	"maps"
	"strings"
	"testing"

	"postern/internal/checkup"
)

// TestMending publishes what is proposed in every set-up: afterwards the finding is gone, and nothing that was fine has become worse.
func TestMending(t *testing.T) {
	t.Parallel()
	proposed := map[string]bool{}
	for _, s := range setUps {
		proposes := strings.Contains(s.want, "spf.") || strings.Contains(s.want, "dmarc.") || strings.Contains(s.want, "tlsrpt.")
		if s.only || s.of.Kind != "" || !proposes || strings.Contains(s.want, "unknown") {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			pieces := perfect()
			maps.Copy(pieces, s.zone)
			before := s.run(t)
			for _, f := range before.Findings {
				if len(f.Records) == 0 || f.State == checkup.Fine || strings.HasPrefix(f.Code, "dmarc.reports-") {
					continue
				}
				proposed[f.Code] = true
				after := maps.Clone(pieces)
				piece := map[string]string{"spf": "spf", "dmarc": "dmarc", "tlsrpt": "rpt"}[string(f.Group)]
				if piece == "" {
					t.Errorf("%s proposes records", f.Code)
					continue
				}
				after[piece] = f.Records[0].Zone() + "\n"
				again := setUp{zone: after, ask: s.ask}.run(t)
				for _, g := range again.Findings {
					// What is advised step by step may have a next step.
					if g.Group == f.Group && (g.State == checkup.Problem || g.Code == f.Code && g.Subject == f.Subject) && g.Code != "spf.lacks" {
						t.Errorf("%s: %q leads to %s", f.Code, f.Records[0].Value, g.Code)
					}
				}
				if f.Code == "spf.lacks" && again.StateOf(checkup.SPF) == checkup.Problem {
					t.Errorf("%q: our addresses still do not pass", f.Records[0].Value)
				}
			}
		})
	}
	for _, code := range []string{"spf.none", "spf.near-miss", "spf.type99", "spf.many", "spf.everyone", "spf.loop", "spf.invalid", "spf.over-lookups", "spf.over-voids",
		"spf.near-limit", "spf.dead-names", "spf.no-target", "spf.no-end", "spf.lacks", "dmarc.missing", "dmarc.several", "dmarc.unusable", "dmarc.warnings", "dmarc.psd",
		"dmarc.testing", "dmarc.blind", "dmarc.none", "dmarc.sub-open", "tlsrpt.none", "tlsrpt.malformed"} {
		if !proposed[code] {
			t.Errorf("%s proposes nothing in any set-up", code)
		}
	}
}
