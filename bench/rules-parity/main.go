// Command rules-parity compares our engine for SpamAssassin's rules with SpamAssassin itself, message by message and rule by rule.
//
//	oracle.pl [--texts] /usr/share/spamassassin FILE... > oracle.txt
//	rules-parity [-rules DIR] [-v] oracle.txt
//
// Every rule that hit on one side only is printed with its message (-v) and counted. With texts in the oracle file, differing body lines,
// raw chunks, URIs and headers are counted too: they explain most differences.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
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

func main() {
	dir := flag.String("rules", "/usr/share/spamassassin", "`folder` of rules")
	verbose := flag.Bool("v", false, "print every differing rule with its message")
	texts := flag.Bool("texts", false, "print differing texts")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: rules-parity [-rules DIR] [-v] ORACLE")
		os.Exit(2)
	}
	if err := compare(*dir, flag.Arg(0), *verbose, *texts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compare(dir, oracle string, verbose, texts bool) error {
	begin := time.Now()
	set, report, err := rules.Load([]string{dir}, rules.Options{Local: true})
	if err != nil {
		return err
	}
	fmt.Printf("loaded %d rules from %d files in %v: %d runnable, %d network, %d unsupported\n", report.Rules, report.Files,
		time.Since(begin).Round(time.Millisecond), report.Runnable, len(report.Network), len(set.Unsupported()))
	list, err := readOracle(oracle)
	if err != nil {
		return err
	}
	missing, extra := map[string]int{}, map[string]int{}
	var spent time.Duration
	decisions, differ, skipped := 0, 0, 0
	for _, m := range list {
		raw, err := os.ReadFile(m.file)
		if err != nil {
			return err
		}
		begin := time.Now()
		view := rules.NewView(mail.Parse(raw, mail.DefaultLimits()), rules.ViewOptions{})
		result := set.Run(view, rules.RunOptions{})
		spent += time.Since(begin)
		ours := map[string]bool{}
		for _, h := range append(result.Hits, result.Subs...) {
			ours[h.Rule] = true
		}
		skipped += len(result.Skipped)
		decisions += report.Runnable
		for name := range m.hits {
			if !ours[name] {
				missing[name]++
				differ++
				if verbose {
					fmt.Printf("- %s %s\n", name, m.file)
				}
			}
		}
		for name := range ours {
			if m.hits[name] == "" {
				extra[name]++
				differ++
				if verbose {
					fmt.Printf("+ %s %s\n", name, m.file)
				}
			}
		}
		if texts {
			compareTexts(set, view, m)
		}
	}
	counted("missing here", missing)
	counted("extra here", extra)
	fmt.Printf("%d messages, %d rule decisions, %d differ (%.4f %%), %d rules differ, %d given up\n", len(list), decisions, differ,
		100*float64(differ)/float64(max(decisions, 1)), len(missing)+len(extra), skipped)
	fmt.Printf("%.2f ms per message (parse, view, run; cold caches included)\n", float64(spent.Microseconds())/1000/float64(max(len(list), 1)))
	return nil
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
				fmt.Printf("%s %d differs in %s\n  theirs %.300q\n  ours   %.300q\n", what, i, m.file, a, b)
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
			fmt.Printf("header %s differs in %s\n  theirs %.400q\n  ours   %.400q\n", name, m.file, want, got)
		}
	}
	for name, got := range t.Headers {
		if _, ok := m.headers[name]; !ok && len(m.body) > 0 {
			fmt.Printf("header %s only here in %s\n  ours   %.400q\n", name, m.file, got)
		}
	}
}

func counted(title string, m map[string]int) {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool {
		return m[names[i]] > m[names[j]] || m[names[i]] == m[names[j]] && names[i] < names[j]
	})
	fmt.Printf("%s: %d rules\n", title, len(names))
	for _, n := range names {
		fmt.Printf("  %5d %s\n", m[n], n)
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
