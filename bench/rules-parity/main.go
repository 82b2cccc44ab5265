// Command rules-parity compares our engine for SpamAssassin's rules with SpamAssassin itself, message by message and rule by rule.
//
//	find CORPUS -type f | oracle.pl [--texts] /usr/share/spamassassin > oracle.txt
//	rules-parity [-rules DIR] [-q] [-texts] [-values] oracle.txt...
//
// SpamAssassin answers about each message in a process of its own. Every decision that differs is printed as "MESSAGE RULE WHO", where WHO
// is the side that hit: spamassassin or postern; -values also prints rules that both hit, but not equally often. A table by folder says of
// how many messages all decisions are equal. With texts in the oracle file, differing body lines, raw chunks, URIs and headers are
// printed too (-texts): they explain most differences. Last comes the processor time per message, measured in a second pass over all of
// them in one goroutine.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postern/internal/mail"
	"postern/internal/rules"
)

type message struct {
	file    string
	hits    map[string]string
	body    []string
	raw     []string
	uris    []string
	headers map[string]string
}

// comparison is what was asked for and what came of it.
type comparison struct {
	quiet, texts, values bool
	set                  *rules.RuleSet
	folders              map[string]*tally
	rules                map[string]*[2]int // by rule: hit by SpamAssassin only, hit by us only
	all                  tally
}

// tally counts for a folder or for all.
type tally struct{ messages, exact, decisions, differ, skipped int }

func main() {
	var c comparison
	dir := flag.String("rules", "/usr/share/spamassassin", "`folder` of rules")
	flag.BoolVar(&c.quiet, "q", false, "print no single difference")
	flag.BoolVar(&c.texts, "texts", false, "print differing texts")
	flag.BoolVar(&c.values, "values", false, "print rules that hit unequally often")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: rules-parity [-rules DIR] [-q] [-texts] [-values] ORACLE...")
		os.Exit(2)
	}
	if err := c.run(*dir, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (c *comparison) run(dir string, oracles []string) error {
	begin := time.Now()
	set, report, err := rules.Load([]string{dir}, rules.Options{Local: true})
	if err != nil {
		return err
	}
	c.set, c.folders, c.rules = set, map[string]*tally{}, map[string]*[2]int{}
	unsupported := set.Unsupported()
	fmt.Printf("rules: %d loaded from %d files in %v, %d run here, %d need the network, %d unsupported\n", report.Rules, report.Files,
		time.Since(begin).Round(time.Millisecond), report.Runnable, len(report.Network), len(unsupported))
	for name, why := range unsupported {
		fmt.Printf("unsupported: %s: %s\n", name, why)
	}
	var list []*message
	for _, path := range oracles {
		more, err := readOracle(path)
		if err != nil {
			return err
		}
		list = append(list, more...)
	}
	raws := make([][]byte, len(list))
	for i, m := range list {
		if raws[i], err = os.ReadFile(m.file); err != nil {
			return err
		}
		c.message(m, raws[i], report.Runnable)
	}
	c.print()
	if len(list) == 0 {
		return nil
	}
	before := cpu()
	for _, raw := range raws {
		set.Run(rules.NewView(mail.Parse(raw, mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
	}
	spent := cpu() - before
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	fmt.Printf("cpu: %.2f ms per message (parse, view, run; warm, with its share of collecting garbage), memory %d MiB\n",
		float64(spent.Microseconds())/1000/float64(len(list)), mem.Sys>>20)
	return nil
}

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// message compares one message.
func (c *comparison) message(m *message, raw []byte, decisions int) {
	view := rules.NewView(mail.Parse(raw, mail.DefaultLimits()), rules.ViewOptions{})
	result := c.set.Run(view, rules.RunOptions{})
	ours := map[string]float64{}
	for _, h := range append(result.Hits, result.Subs...) {
		ours[h.Rule] = h.Value
	}
	differ := 0
	count := func(rule, who string, side int) {
		if c.rules[rule] == nil {
			c.rules[rule] = &[2]int{}
		}
		c.rules[rule][side]++
		differ++
		if !c.quiet {
			fmt.Printf("%s %s %s\n", m.file, rule, who)
		}
	}
	for _, rule := range keys(m.hits) {
		x, ok := ours[rule]
		if !ok {
			count(rule, "spamassassin", 0)
		} else if n, err := strconv.ParseFloat(m.hits[rule], 64); c.values && (err != nil || n != x) {
			fmt.Printf("%s %s: %s times by spamassassin, %v by postern\n", m.file, rule, m.hits[rule], x)
		}
	}
	for _, rule := range keys(ours) {
		if m.hits[rule] == "" {
			count(rule, "postern", 1)
		}
	}
	for _, rule := range result.Skipped {
		fmt.Printf("%s %s given up\n", m.file, rule)
	}
	folder := filepath.Base(filepath.Dir(m.file))
	if c.folders[folder] == nil {
		c.folders[folder] = &tally{}
	}
	for _, t := range []*tally{c.folders[folder], &c.all} {
		t.messages++
		t.decisions += decisions
		t.differ += differ
		t.skipped += len(result.Skipped)
		if differ == 0 {
			t.exact++
		}
	}
	if c.texts {
		compareTexts(c.set, view, m)
	}
}

func (c *comparison) print() {
	fmt.Printf("\n%-40s %14s %14s\n", "rules that differ", "spamassassin", "postern")
	names := keys(c.rules)
	sort.SliceStable(names, func(i, j int) bool {
		a, b := c.rules[names[i]], c.rules[names[j]]
		return a[0]+a[1] > b[0]+b[1]
	})
	for _, n := range names {
		fmt.Printf("%-40s %14d %14d\n", n, c.rules[n][0], c.rules[n][1])
	}
	fmt.Printf("\n%-24s %9s %9s %8s %11s %8s %9s\n", "folder", "messages", "exact", "share", "decisions", "differ", "given up")
	row := func(name string, t *tally) {
		fmt.Printf("%-24s %9d %9d %7.2f%% %11d %8d %9d\n", name, t.messages, t.exact, 100*float64(t.exact)/float64(max(t.messages, 1)), t.decisions, t.differ, t.skipped)
	}
	for _, name := range keys(c.folders) {
		row(name, c.folders[name])
	}
	row("all", &c.all)
}

// around cuts both texts to what stands around their first difference.
func around(a, b string) (string, string) {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	from := max(at-60, 0)
	return a[from:min(at+120, len(a))], b[from:min(at+120, len(b))]
}

func keys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

func compareTexts(set *rules.RuleSet, view *rules.View, m *message) {
	t := set.Texts(view)
	show := func(what string, want, got []string) {
		if len(want) == 0 && what != "uri" {
			return
		}
		for i := 0; i < max(len(want), len(got)); i++ {
			a, b := "(none)", "(none)"
			if i < len(want) {
				a = want[i]
			}
			if i < len(got) {
				b = got[i]
			}
			if a != b {
				a, b = around(a, b)
				fmt.Printf("%s %d differs in %s\n  theirs %q\n  ours   %q\n", what, i, m.file, a, b)
				return
			}
		}
	}
	show("body", m.body, t.Body)
	show("raw", m.raw, t.RawBody)
	sort.Strings(t.URIs)
	show("uri", m.uris, t.URIs)
	for name, want := range m.headers {
		if got, ok := t.Headers[name]; ok && got != want {
			want, got = around(want, got)
			fmt.Printf("header %s differs in %s\n  theirs %q\n  ours   %q\n", name, m.file, want, got)
		}
	}
	for name, got := range t.Headers {
		if _, ok := m.headers[name]; !ok && len(m.body) > 0 {
			fmt.Printf("header %s only here in %s\n  ours   %.400q\n", name, m.file, got)
		}
	}
}

func readOracle(path string) ([]*message, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	r := bufio.NewReader(f)
	var list []*message
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF && line == "" {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		var kind, name string
		var size int
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("%s: bad record %q", path, line)
		}
		kind, name = parts[0], parts[2]
		if _, err := fmt.Sscan(parts[1], &size); err != nil {
			return nil, err
		}
		value := make([]byte, size+1)
		if _, err := io.ReadFull(r, value); err != nil {
			return nil, err
		}
		value = bytes.TrimSuffix(value, []byte("\n"))
		if kind == "M" {
			list = append(list, &message{file: name, hits: map[string]string{}, headers: map[string]string{}})
			continue
		}
		m := list[len(list)-1]
		switch kind {
		case "T":
			m.hits[name] = string(value)
		case "B":
			m.body = append(m.body, string(value))
		case "R":
			m.raw = append(m.raw, string(value))
		case "U":
			m.uris = append(m.uris, string(value))
		case "H":
			m.headers[name] = string(value)
		}
	}
}
