package feedback_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"postern/internal/feedback"
	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/report"
)

// expectedRow is one line of an expected.csv: what a recipient of a bounce is known to mean.
type expectedRow struct{ file, status, reply, reason, hard string }

func expectedRows(tb testing.TB, folder string) map[string][]expectedRow {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", folder, "expected.csv"))
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string][]expectedRow{}
	for _, l := range lines[1:] {
		out[l[0]] = append(out[l[0]], expectedRow{l[0], l[2], l[3], l[4], l[5]})
	}
	return out
}

func shippedKnowledge(tb testing.TB) *provider.Knowledge {
	tb.Helper()
	k, err := provider.Load(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// TestBounces holds the judgement to bounces whose meaning is known: those of a public collection (set-of-emails, see LICENSE), and our own in the
// formats that it lacks.
func TestBounces(t *testing.T) {
	t.Parallel()
	k := shippedKnowledge(t)
	for folder, least := range map[string]float64{"bounces": 0.99, "crafted": 1} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			agree, total := 0, 0
			for file, rows := range expectedRows(t, folder) {
				raw, err := os.ReadFile(filepath.Join("testdata", folder, file))
				if err != nil {
					t.Fatal(err)
				}
				var got []feedback.Verdict
				for _, one := range report.SplitMailbox(raw) {
					b, _ := feedback.ReadBounce(one, k)
					got = append(got, b.Verdicts...)
				}
				for i, want := range rows {
					total++
					var v feedback.Verdict
					if i < len(got) {
						v = got[i]
					}
					hard := "0"
					if v.Permanent {
						hard = "1"
					}
					if string(v.Category) == want.reason && hard == want.hard {
						agree++
						continue
					}
					t.Logf("%s %d: %s %s, expected %s %s (%s %s), by rule %q from %.200q", file, i+1, v.Category, hard, want.reason, want.hard, want.reply, want.status, v.Rule, v.Diagnostic)
				}
			}
			if share := float64(agree) / float64(total); share < least {
				t.Errorf("%d of %d agree: %.2f %%, at least %.0f %% wanted", agree, total, 100*share, 100*least)
			}
		})
	}
}

// TestVerdictAdvises demands advice wherever a bounce says that something failed.
func TestVerdictAdvises(t *testing.T) {
	t.Parallel()
	k := shippedKnowledge(t)
	for file := range expectedRows(t, "crafted") {
		raw, err := os.ReadFile(filepath.Join("testdata", "crafted", file))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := feedback.ReadBounce(raw, k)
		for _, v := range b.Verdicts {
			if b.Kind == report.BounceFailed && (v.Advice["en"] == "" || v.Advice["fr"] == "") {
				t.Errorf("%s: no advice for %s by rule %q", file, v.Category, v.Rule)
			}
		}
	}
}

func FuzzReadBounce(f *testing.F) {
	names, _ := filepath.Glob("testdata/crafted/*.eml")
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	k := shippedKnowledge(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := feedback.ReadBounce(raw, k)
		again, _ := feedback.ReadBounce(raw, k)
		if err == nil && (len(b.Verdicts) != len(b.Recipients) || fmt.Sprint(b.Verdicts) != fmt.Sprint(again.Verdicts)) {
			t.Fatal("verdicts differ from one reading to the next")
		}
	})
}

func BenchmarkReadBounce(b *testing.B) {
	k := shippedKnowledge(b)
	var raws [][]byte
	names, _ := filepath.Glob("testdata/bounces/*.eml")
	size := int64(0)
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		raws, size = append(raws, raw), size+int64(len(raw))
	}
	b.SetBytes(size / int64(len(raws)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = feedback.ReadBounce(raws[i%len(raws)], k)
	}
}

func BenchmarkParseOnly(b *testing.B) {
	raw, err := os.ReadFile("testdata/bounces/lhost-postfix-29.eml")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_, _ = report.ReadBounce(mail.Parse(raw, mail.Limits{}))
	}
}
