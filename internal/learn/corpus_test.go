//go:build evaluation

package learn_test

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// TestCorpus learns half of a corpus and judges the other half, and prints the shares of ham and spam per class. POSTERN_CORPUS
// names a folder with subfolders such as easy-ham-1 and spam-2, one message per file:
//
//	POSTERN_CORPUS=DIR go test -tags evaluation -run Corpus -v ./internal/learn
func TestCorpus(t *testing.T) {
	root := os.Getenv("POSTERN_CORPUS")
	if root == "" {
		t.Fatal("POSTERN_CORPUS is not set")
	}
	l := open(t, storetest.SQLite(t, store.MainSchema()), learn.Options{})
	type item struct {
		m     *mail.Message
		class learn.Class
		kind  string
	}
	var judge []item
	lessons := map[learn.Class][]*mail.Message{}
	folders, err := filepath.Glob(filepath.Join(root, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		name := filepath.Base(folder)
		class, kind := learn.Ham, "easy ham"
		switch {
		case strings.HasPrefix(name, "spam"):
			class, kind = learn.Spam, "spam"
		case strings.HasPrefix(name, "hard-ham"):
			kind = "hard ham"
		case !strings.Contains(name, "ham"):
			continue
		}
		files, err := filepath.Glob(filepath.Join(folder, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.HasPrefix(raw, []byte("From ")) {
				_, raw, _ = bytes.Cut(raw, []byte("\n"))
			}
			m := mail.Parse(raw, mail.DefaultLimits())
			h := fnv.New32a()
			_, _ = h.Write(raw)
			if h.Sum32()%2 == 0 {
				lessons[class] = append(lessons[class], m)
			} else {
				judge = append(judge, item{m, class, kind})
			}
		}
	}
	start := time.Now()
	for class, list := range lessons {
		for i := 0; i < len(list); i += 50 {
			if _, err := l.Learn(t.Context(), learn.Base, class, list[i:min(i+50, len(list))]...); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := len(lessons[learn.Ham]) + len(lessons[learn.Spam])
	var b strings.Builder
	took := time.Since(start)
	fmt.Fprintf(&b, "learned %d ham, %d spam in %v (%v a message)\n", len(lessons[learn.Ham]), len(lessons[learn.Spam]), took.Round(time.Millisecond), (took / time.Duration(max(n, 1))).Round(time.Microsecond))
	kinds := []string{"easy ham", "hard ham", "spam"}
	table, sum := map[string]map[string]int{}, map[string]int{}
	start = time.Now()
	for _, x := range judge {
		r := classify(t, l, learn.Base, x.m)
		class := "none"
		if r.Measured {
			class = learn.Classes(r.Probability)[0]
			if r.Probability > 0.999 {
				class = "BAYES_999"
			}
		}
		if table[class] == nil {
			table[class] = map[string]int{}
		}
		table[class][x.kind]++
		sum[x.kind]++
	}
	fmt.Fprintf(&b, "judged %d in %v\n%-10s", len(judge), time.Since(start).Round(time.Millisecond), "class")
	for _, k := range kinds {
		fmt.Fprintf(&b, "%18s", k)
	}
	for _, class := range append(learn.AllClasses(), "none") {
		fmt.Fprintf(&b, "\n%-10s", class)
		for _, k := range kinds {
			fmt.Fprintf(&b, "%10d %6.2f%%", table[class][k], 100*float64(table[class][k])/float64(max(sum[k], 1)))
		}
	}
	t.Log("\n" + b.String())
	if wrong := table["BAYES_99"]["easy ham"] + table["BAYES_999"]["easy ham"]; wrong*500 > sum["easy ham"] {
		t.Errorf("%d of %d easy ham look like spam", wrong, sum["easy ham"])
	}
	if caught := table["BAYES_99"]["spam"] + table["BAYES_999"]["spam"]; caught*10 < 7*sum["spam"] {
		t.Errorf("only %d of %d spam are recognised", caught, sum["spam"])
	}
}
