package aggregate_test

import (
	"strings"
	"testing"

	"postern/internal/aggregate"
)

// sourceOf is a source of some class.
func sourceOf(text string, class aggregate.Class, passed, messages int64) aggregate.Source {
	return aggregate.Source{Text: text, Class: class, Sum: aggregate.Sum{Messages: messages, Passed: passed}}
}

func TestAdvise(t *testing.T) {
	t.Parallel()
	own := sourceOf("192.0.2.1", aggregate.ClassOwn, 1000, 1000)
	for _, tc := range []struct {
		name    string
		known   int
		sources []aggregate.Source
		recent  []aggregate.Source
		force   aggregate.InForce
		want    aggregate.AdviceState
		record  string
		fails   string
	}{
		{"no policy", 20, []aggregate.Source{own}, nil, aggregate.InForce{Domain: "shop.example", Percent: 100}, aggregate.AdviceNone, "v=DMARC1; p=none; rua=mailto:d@r.example", ""},
		{"ready for quarantine", 14, []aggregate.Source{own}, nil, aggregate.InForce{Domain: "shop.example", P: "none", Percent: 100, Record: "v=DMARC1; p=none; sp=none; rua=mailto:x@y.example"},
			aggregate.AdviceQuarantine, "v=DMARC1; p=quarantine; sp=none; rua=mailto:x@y.example", ""},
		{"too few days", 13, []aggregate.Source{own}, nil, aggregate.InForce{P: "none", Percent: 100}, aggregate.AdviceUnknown, "", "days"},
		{"too few messages", 28, []aggregate.Source{sourceOf("192.0.2.1", aggregate.ClassOwn, 99, 99)}, nil, aggregate.InForce{P: "none", Percent: 100}, aggregate.AdviceUnknown, "", "messages"},
		{"own source fails", 28, []aggregate.Source{own, sourceOf("192.0.2.2", aggregate.ClassPartly, 2, 20)}, nil, aggregate.InForce{P: "none", Percent: 100}, aggregate.AdviceStay, "", "share own"},
		{"unknown source", 28, []aggregate.Source{own, sourceOf("198.51.100.7", aggregate.ClassUnknown, 0, 40)}, nil, aggregate.InForce{P: "none", Percent: 100}, aggregate.AdviceStay, "", "unknown"},
		{"unknown source that is small", 28, []aggregate.Source{own, sourceOf("198.51.100.7", aggregate.ClassUnknown, 0, 9)}, nil, aggregate.InForce{P: "none", Percent: 100}, aggregate.AdviceQuarantine, "v=DMARC1; p=quarantine; rua=mailto:d@r.example", ""},
		{"source that is not his", 28, []aggregate.Source{own, sourceOf("198.51.100.7", aggregate.ClassForeign, 0, 9000)}, nil, aggregate.InForce{P: "none", Percent: 100}, aggregate.AdviceQuarantine, "v=DMARC1; p=quarantine; rua=mailto:d@r.example", ""},
		{"forwarders", 28, []aggregate.Source{own, sourceOf("198.51.100.7", aggregate.ClassForwarder, 0, 300)}, nil, aggregate.InForce{P: "none", Percent: 100}, aggregate.AdviceQuarantine, "v=DMARC1; p=quarantine; rua=mailto:d@r.example", ""},
		{"service in many small pieces", 28, append([]aggregate.Source{own}, pieces(10, 3)...), nil, aggregate.InForce{P: "none", Percent: 100}, aggregate.AdviceStay, "", "unknown"},
		{"only strangers", 28, []aggregate.Source{sourceOf("198.51.100.7", aggregate.ClassForeign, 0, 900)}, nil, aggregate.InForce{P: "none", Percent: 100}, aggregate.AdviceStay, "", "share"},
		{"ready for reject", 21, []aggregate.Source{own}, []aggregate.Source{own}, aggregate.InForce{P: "quarantine", Percent: 100, Record: "v=DMARC1;p=quarantine;pct=100"}, aggregate.AdviceReject, "v=DMARC1; p=reject", ""},
		{"reject needs more days", 20, []aggregate.Source{own}, nil, aggregate.InForce{P: "quarantine", Percent: 100}, aggregate.AdviceUnknown, "", "days"},
		{"half in force", 28, []aggregate.Source{own}, nil, aggregate.InForce{P: "quarantine", Percent: 20, Record: "v=DMARC1; p=quarantine; pct=20"}, aggregate.AdviceFinish, "v=DMARC1; p=quarantine", "whole"},
		{"testing", 28, []aggregate.Source{own}, nil, aggregate.InForce{P: "reject", Percent: 100, Testing: true, Record: "v=DMARC1; p=reject; t=y"}, aggregate.AdviceFinish, "v=DMARC1; p=reject", "whole"},
		{"done", 28, []aggregate.Source{own}, []aggregate.Source{own}, aggregate.InForce{P: "reject", Percent: 100}, aggregate.AdviceDone, "", ""},
		{"back to none", 28, []aggregate.Source{own}, []aggregate.Source{sourceOf("192.0.2.1", aggregate.ClassOwn, 70, 100)}, aggregate.InForce{P: "quarantine", Percent: 100}, aggregate.AdviceBack, "v=DMARC1; p=none; rua=mailto:d@r.example", "back"},
		{"back to quarantine", 3, []aggregate.Source{own}, []aggregate.Source{sourceOf("192.0.2.1", aggregate.ClassOwn, 70, 100)}, aggregate.InForce{P: "reject", Percent: 100, Record: "v=DMARC1; p=reject; sp=reject"}, aggregate.AdviceBack,
			"v=DMARC1; p=quarantine; sp=reject", "days back"},
		{"a few lost are no reason", 28, []aggregate.Source{own}, []aggregate.Source{sourceOf("192.0.2.1", aggregate.ClassOwn, 81, 100)}, aggregate.InForce{P: "reject", Percent: 100}, aggregate.AdviceDone, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			o := &aggregate.Overview{Sources: tc.sources, Recent: tc.recent}
			o.Known = tc.known
			for _, s := range tc.sources {
				o.Window.Messages += s.Messages
				o.Window.Passed += s.Passed
			}
			a := aggregate.Advise(o, tc.force, aggregate.DefaultRules(), "d@r.example")
			var fails []string
			for _, c := range a.Checks {
				if !c.Fine {
					fails = append(fails, c.Code)
				}
			}
			if a.State != tc.want || a.Record != tc.record || strings.Join(fails, " ") != tc.fails {
				t.Errorf("%s, record %q, fails %q\n%+v", a.State, a.Record, fails, a.Checks)
			}
		})
	}
}

func pieces(n int, each int64) (out []aggregate.Source) {
	for i := range n {
		s := sourceOf("198.51.100."+string(rune('0'+i)), aggregate.ClassService, 0, each)
		s.Name, s.Named = "a.sendgrid.net", aggregate.NameConfirmed
		out = append(out, s)
	}
	return out
}
