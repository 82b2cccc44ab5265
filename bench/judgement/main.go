// Command judgement measures how the filter judges a corpus of wanted and unwanted mail, and fits the points of its rules.
//
//	go run ./bench/judgement -corpus DIR [-folds 2] [-seeds 3] [-seed 1] [-rules] [-wrong] [-fit [-write]]
//
// DIR has folders of messages, one per file: names that begin with "spam" hold unwanted mail, those with "hard-ham" wanted mail that
// looks unwanted (newsletters, offers that were asked for), others with "ham" in their name everyday mail. An mbox "From " line is
// taken off.
//
// The filter is the gateway's own: filter.New with the rules that are built in, asking no network, so that tests of identity and of
// blocklists are not measured and score nothing. Each message is judged without Bayes once, and with Bayes by a ledger that learned the
// other parts of the corpus (-folds parts; 2 is half and half), for each of -seeds ways to divide it. Ledgers are fresh databases, and no
// sender's past takes part.
//
// It prints the shares held above thresholds 2 to 5 by kind, mean and worst over the seeds; with -wrong the ham that was held and the
// spam that was not, by file with what hit; with -rules each test with the ham and spam it hit and what it is worth: how many more
// messages would be judged wrongly without it.
//
// -fit looks for better points of the rules in internal/filter/ruleset/2*.cf, judges them on parts of the corpus that they were not
// fitted on, and prints suggestions; -write puts them into the "score" lines. See fit.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// options are what was asked for.
type options struct {
	corpus       string
	folds, seeds int
	seed         uint64
	rules, wrong bool
	fit, write   bool
	dir          string
}

func main() {
	var o options
	flag.StringVar(&o.corpus, "corpus", "", "`folder` of the corpus")
	flag.IntVar(&o.folds, "folds", 2, "parts the corpus is divided into; one is judged by what the others taught")
	flag.IntVar(&o.seeds, "seeds", 3, "how often it is divided anew")
	flag.Uint64Var(&o.seed, "seed", 1, "first of the seeds")
	flag.BoolVar(&o.rules, "rules", false, "print each test with what it hit")
	flag.BoolVar(&o.wrong, "wrong", false, "print what was judged wrongly")
	flag.BoolVar(&o.fit, "fit", false, "fit the points of the rules")
	flag.BoolVar(&o.write, "write", false, "with -fit: write them into the rule files")
	flag.StringVar(&o.dir, "ruleset", "internal/filter/ruleset", "`folder` of the rule files that -write changes")
	flag.Parse()
	if o.corpus == "" || o.folds < 2 || o.seeds < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "judgement:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	items, err := load(o.corpus)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, it := range items {
		counts[it.kind]++
	}
	fmt.Printf("%d messages: %d easy ham, %d hard ham, %d spam\n", len(items), counts[easyHam], counts[hardHam], counts[spam])
	start := time.Now()
	plain, err := judgePlain(ctx, items)
	if err != nil {
		return err
	}
	fmt.Printf("judged without Bayes in %v\n", time.Since(start).Round(time.Millisecond))
	bayes := make([][]verdict, o.seeds)
	for n := range bayes {
		start = time.Now()
		if bayes[n], err = judgeBayes(ctx, items, o.folds, o.seed+uint64(n)); err != nil {
			return err
		}
		fmt.Printf("judged with Bayes, seed %d, %d parts, in %v\n", o.seed+uint64(n), o.folds, time.Since(start).Round(time.Millisecond))
	}
	fmt.Println()
	printTable("without Bayes", items, [][]verdict{plain})
	printTable("with Bayes", items, bayes)
	if o.wrong {
		printWrong("without Bayes", items, plain)
		printWrong("with Bayes, first seed", items, bayes[0])
	}
	if o.rules {
		printRules(items, plain, bayes[0])
	}
	if o.fit {
		return fit(o, items, plain, bayes)
	}
	return nil
}
