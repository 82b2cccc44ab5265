package rules_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/rules"
)

// corpus returns the messages below the folder that POSTERN_CORPUS names: every POSTERN_CORPUS_STEP-th, default 3.
func corpus(tb testing.TB) [][]byte {
	tb.Helper()
	root := os.Getenv("POSTERN_CORPUS")
	if root == "" {
		tb.Skip("POSTERN_CORPUS names no folder of messages")
	}
	step, err := strconv.Atoi(os.Getenv("POSTERN_CORPUS_STEP"))
	if err != nil {
		step = 3
	}
	var list [][]byte
	n := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".eml") {
			return err
		}
		if n++; n%step != 0 {
			return nil
		}
		raw, err := os.ReadFile(path)
		list = append(list, raw)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

func processorTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCorpus scans all messages of a corpus with the stock rules and reports the processor time per message.
func BenchmarkCorpus(b *testing.B) {
	s, _, err := rules.Load([]string{stock}, rules.Options{Local: true})
	if err != nil {
		b.Skip(err)
	}
	list := corpus(b)
	scan := func() {
		for _, raw := range list {
			s.Run(rules.NewView(mail.Parse(raw, mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
		}
	}
	scan() // fills the caches of states
	b.ResetTimer()
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		scan()
	}
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/1000/float64(b.N*len(list)), "cpu-ms/msg")
}
