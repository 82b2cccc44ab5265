package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/filter"
	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/store"
)

// verdict is what the filter said of one message.
type verdict struct {
	score float64
	hits  map[string]float64 // points by test
}

func (v verdict) held(threshold float64) bool { return v.score > threshold }

var errOffline = errors.New("not asked")

// offline answers every question of DNS with "try later".
type offline struct{}

// Query is dns.Resolver's.
func (offline) Query(context.Context, string, dns.Type) dns.Answer {
	return dns.Answer{Status: dns.TryLater, Err: errOffline}
}

func newFilter(l *learn.Ledger) (*filter.Filter, error) {
	return filter.New(filter.Options{Resolver: offline{}, Lists: []dnsbl.List{}, Unsigned: true, Offline: true, Learn: l, ReadOnly: true})
}

// judge runs the filter over items[i] for each i of which, on all processors, and writes what it says into out[i].
func judge(ctx context.Context, f *filter.Filter, items []*item, which []int, out []verdict) error {
	work := make(chan int)
	errs := make([]error, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for n := range errs {
		wg.Go(func() {
			for i := range work {
				v, err := f.Run(ctx, filter.Input{Message: items[i].message})
				if err != nil {
					errs[n] = fmt.Errorf("%s: %w", items[i].file, err)
					continue
				}
				out[i] = verdict{v.Score, map[string]float64{}}
				for _, h := range v.Hits {
					out[i].hits[h.Test] = h.Points
				}
			}
		})
	}
	for _, i := range which {
		work <- i
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

func judgePlain(ctx context.Context, items []*item) ([]verdict, error) {
	f, err := newFilter(nil)
	if err != nil {
		return nil, err
	}
	all := make([]int, len(items))
	for i := range all {
		all[i] = i
	}
	out := make([]verdict, len(items))
	return out, judge(ctx, f, items, all, out)
}

// divide puts every message into one of n parts, each kind evenly.
func divide(items []*item, n int, seed uint64) []int {
	order := rand.New(rand.NewPCG(seed, 0)).Perm(len(items))
	part, next := make([]int, len(items)), map[string]int{}
	for _, i := range order {
		part[i] = next[items[i].kind] % n
		next[items[i].kind]++
	}
	return part
}

// judgeBayes judges each part with what the others taught.
func judgeBayes(ctx context.Context, items []*item, folds int, seed uint64) ([]verdict, error) {
	part := divide(items, folds, seed)
	out := make([]verdict, len(items))
	for fold := range folds {
		if err := judgePart(ctx, items, part, fold, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func judgePart(ctx context.Context, items []*item, part []int, fold int, out []verdict) (err error) {
	dir, err := os.MkdirTemp("", "judgement")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(dir, "main.db"), Migrations: store.MainSchema()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	l, err := learn.New(learn.Options{DB: db})
	if err != nil {
		return err
	}
	lessons := map[learn.Class][]*mail.Message{}
	var which []int
	for i, it := range items {
		switch {
		case part[i] == fold:
			which = append(which, i)
		case it.spam():
			lessons[learn.Spam] = append(lessons[learn.Spam], it.message)
		default:
			lessons[learn.Ham] = append(lessons[learn.Ham], it.message)
		}
	}
	for class, messages := range lessons {
		for some := range slices.Chunk(messages, 100) {
			if _, err := l.Learn(ctx, learn.Base, class, some...); err != nil {
				return err
			}
		}
	}
	f, err := newFilter(l)
	if err != nil {
		return err
	}
	return judge(ctx, f, items, which, out)
}

var (
	kinds      = []string{easyHam, hardHam, "ham", spam}
	thresholds = []float64{2, 3, 4, 5}
)

// of reports whether a message belongs to a column of the table.
func of(it *item, kind string) bool { return it.kind == kind || kind == "ham" && !it.spam() }

// printTable prints the shares held by threshold: the mean over the runs and, of several, the worst.
func printTable(title string, items []*item, runs [][]verdict) {
	fmt.Printf("%-22s", "Held, "+title)
	for _, k := range kinds {
		fmt.Printf("%26s", k)
	}
	fmt.Println()
	for _, t := range thresholds {
		fmt.Printf("  score > %-12g", t)
		for _, k := range kinds {
			sum, worst, n := 0, -1, 0
			for _, verdicts := range runs {
				held := 0
				for i, it := range items {
					if of(it, k) && verdicts[i].held(t) {
						held++
					}
				}
				sum += held
				if worst < 0 || (k == spam) == (held < worst) {
					worst = held
				}
			}
			for _, it := range items {
				if of(it, k) {
					n++
				}
			}
			cell := fmt.Sprintf("%.1f = %.2f %%", float64(sum)/float64(len(runs)), 100*float64(sum)/float64(len(runs)*max(n, 1)))
			if len(runs) > 1 {
				cell += fmt.Sprintf(" (worst %.2f)", 100*float64(worst)/float64(max(n, 1)))
			}
			fmt.Printf("%26s", cell)
		}
		fmt.Println()
	}
	fmt.Println()
}

// printWrong names the ham held and the spam not held at the default threshold, with what hit.
func printWrong(title string, items []*item, verdicts []verdict) {
	for _, want := range []bool{false, true} {
		fmt.Printf("Judged wrongly %s: %s\n", title, map[bool]string{false: "ham held", true: "spam not held"}[want])
		for i, it := range items {
			if it.spam() != want || verdicts[i].held(filter.DefaultThreshold) == want {
				continue
			}
			fmt.Printf("  %5.1f %s %s\n", verdicts[i].score, it.file, hitList(verdicts[i]))
		}
	}
	fmt.Println()
}

func hitList(v verdict) string {
	var list []string
	for name, p := range v.hits {
		if p > -0.01 && p < 0.01 {
			continue
		}
		list = append(list, fmt.Sprintf("%s=%.1f", name, p))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// printRules prints what each test hit, and its worth: the messages that would be judged wrongly without its points, less those that
// would be judged rightly.
func printRules(items []*item, plain, bayes []verdict) {
	type row struct {
		easy, hard, spam int
		worth            [2]int
		points           float64
	}
	rows := map[string]*row{}
	for n, verdicts := range [][]verdict{plain, bayes} {
		for i, it := range items {
			v := verdicts[i]
			for name, p := range v.hits {
				r := rows[name]
				if r == nil {
					r = new(row)
					rows[name] = r
				}
				if n == 1 || !strings.HasPrefix(name, "BAYES_") {
					without := verdict{score: v.score - p}
					if right, was := without.held(filter.DefaultThreshold) == it.spam(), v.held(filter.DefaultThreshold) == it.spam(); was && !right {
						r.worth[n]++
					} else if !was && right {
						r.worth[n]--
					}
				}
				if n == 0 || strings.HasPrefix(name, "BAYES_") {
					r.points = p
					switch it.kind {
					case easyHam:
						r.easy++
					case hardHam:
						r.hard++
					default:
						r.spam++
					}
				}
			}
		}
	}
	names := make([]string, 0, len(rows))
	for name := range rows {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Printf("%-34s %7s %9s %9s %6s %12s %12s\n", "test", "points", "easy ham", "hard ham", "spam", "worth", "with Bayes")
	for _, name := range names {
		r := rows[name]
		fmt.Printf("%-34s %7.1f %9d %9d %6d %12d %12d\n", name, r.points, r.easy, r.hard, r.spam, r.worth[0], r.worth[1])
	}
}
