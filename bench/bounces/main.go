// Command bounces measures how Postern reads bounces: how often it agrees with a corpus whose meaning is known, and how fast it is on one core: by
// processor time, since other programs may run on the same machine.
//
//	bounces -corpus DIR [-only FILE] [-rows] [-for 3s] [-profile FILE]
//
// DIR holds messages (*.eml) and expected.csv with the columns file, index, status, reply, reason, hard_bounce, one row for each recipient. A row agrees
// when the category and permanent or not are the same; status and reply codes are compared too, but do not count. -only names a file with the names
// of the messages to take, one a line.
package main

import (
	"cmp"
	"encoding/csv"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"postern/internal/feedback"
	"postern/internal/provider"
	"postern/internal/report"
)

type row struct{ file, status, reply, reason, hard string }

func main() {
	corpus := flag.String("corpus", "", "folder of the messages and expected.csv")
	only := flag.String("only", "", "file with the names of the messages to take")
	rows := flag.Bool("rows", false, "print every row that differs with what was read")
	span := flag.Duration("for", 3*time.Second, "how long the speed is measured; 0: not")
	profile := flag.String("profile", "", "write a profile of the processor to this file")
	flag.Parse()
	if err := run(*corpus, *only, *rows, *span, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bounces:", err)
		os.Exit(2)
	}
}

func run(corpus, only string, rows bool, span time.Duration, profile string) error {
	k, err := provider.Load(nil)
	if err != nil {
		return err
	}
	expected, err := read(filepath.Join(corpus, "expected.csv"))
	if err != nil {
		return err
	}
	if only != "" {
		b, err := os.ReadFile(only)
		if err != nil {
			return err
		}
		names := strings.Fields(string(b))
		maps.DeleteFunc(expected, func(file string, _ []row) bool { return !slices.Contains(names, file) })
	}
	var raws [][]byte
	confused := map[string]int{}
	total, agree, codes := 0, 0, 0
	for _, file := range slices.Sorted(maps.Keys(expected)) {
		raw, err := os.ReadFile(filepath.Join(corpus, file))
		if err != nil {
			return err
		}
		raws = append(raws, raw)
		var b feedback.BounceRead
		for _, one := range report.SplitMailbox(raw) {
			read, _ := feedback.ReadBounce(one, k)
			b.Verdicts = append(b.Verdicts, read.Verdicts...)
		}
		for i, want := range expected[file] {
			total++
			got := row{reason: "nothing", hard: "0"}
			var v feedback.Verdict
			if i < len(b.Verdicts) {
				v = b.Verdicts[i]
				got = row{status: v.Status, reason: string(v.Category), hard: map[bool]string{true: "1", false: "0"}[v.Permanent]}
				if v.Reply != 0 {
					got.reply = fmt.Sprint(v.Reply)
				}
			}
			if (got.status == want.status || strings.Contains(want.status, ".0.9")) && got.reply == want.reply {
				codes++
			}
			if got.reason == want.reason && got.hard == want.hard {
				agree++
				continue
			}
			confused[fmt.Sprintf("%-16s read as %-16s hard %s as %s", want.reason, got.reason, want.hard, got.hard)]++
			if rows {
				fmt.Printf("%s %d: expected %s %s %s %s\n   read %s %s %s %s by %q phase %q provider %q type %q\n   <%s> %.400q\n", file, i+1, want.status, want.reply, want.reason, want.hard,
					got.status, got.reply, got.reason, got.hard, v.Rule, v.Phase, v.Provider, v.Action, v.Text, v.Diagnostic)
			}
		}
		if len(b.Verdicts) > len(expected[file]) {
			fmt.Printf("%s: %d recipients read, %d expected: %v\n", file, len(b.Verdicts), len(expected[file]), addresses(b))
		}
	}
	fmt.Printf("\n%d of %d rows agree: %.2f %%  (status and reply as told: %d)\n", agree, total, 100*float64(agree)/float64(max(total, 1)), codes)
	for _, c := range slices.SortedFunc(maps.Keys(confused), func(a, b string) int { return cmp.Or(confused[b]-confused[a], cmp.Compare(a, b)) }) {
		fmt.Printf("%4d  %s\n", confused[c], c)
	}
	if span > 0 && len(raws) > 0 {
		return speed(raws, k, span, profile)
	}
	return nil
}

func addresses(b feedback.BounceRead) (out []string) {
	for _, v := range b.Verdicts {
		out = append(out, v.Text)
	}
	return out
}

func speed(raws [][]byte, k *provider.Knowledge, span time.Duration, profile string) error {
	runtime.GOMAXPROCS(1)
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	n, bytes := 0, 0
	begin, busy := time.Now(), processor()
	for time.Since(begin) < span {
		for _, raw := range raws {
			_, _ = feedback.ReadBounce(raw, k)
			bytes += len(raw)
		}
		n += len(raws)
	}
	took := (processor() - busy).Seconds()
	fmt.Printf("\n%.0f messages for each second of processor time, %.1f MB (%.0f messages/s by the clock of this machine)\n", float64(n)/took, float64(bytes)/took/1e6,
		float64(n)/time.Since(begin).Seconds())
	return nil
}

// processor is the time that this process has computed so far, its garbage collector included.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func read(name string) (map[string][]row, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	out := map[string][]row{}
	for _, l := range lines[1:] {
		if len(l) != 6 {
			return nil, fmt.Errorf("%s: a line has %d columns, not 6", name, len(l))
		}
		out[l[0]] = append(out[l[0]], row{l[0], l[2], l[3], l[4], l[5]})
	}
	return out, nil
}
