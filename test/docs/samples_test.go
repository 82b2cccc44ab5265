package docs_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"postern/internal/config"
)

var block = regexp.MustCompile("(?ms)^```(sh|yaml)\n(.*?)^```")

// TestSampleConfigurationsLoad reads every piece of configuration that a document shows. Files they name (certificates, passwords) are
// not there; nothing else may be wrong.
func TestSampleConfigurationsLoad(t *testing.T) {
	t.Parallel()
	source := config.Source{Env: func(string) (string, bool) { return "", false }}
	for page, text := range pages(t) {
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			if m[1] != "yaml" || strings.HasPrefix(m[2], "scrape_configs:") || strings.HasPrefix(m[2], "groups:") || m[2] == receiversExample {
				continue
			}
			_, err := source.Parse(config.File{Name: page, Data: []byte(m[2])})
			var problems config.Problems
			if err != nil && !errors.As(err, &problems) {
				t.Errorf("%s: %v", page, err)
			}
			for _, p := range problems {
				if !strings.HasSuffix(p.Key, "_file") {
					t.Errorf("%s: %v", page, p.Error())
				}
			}
		}
	}
}

// TestTranslationsShowTheSameCommands compares the code of a page and its translation, without comments.
func TestTranslationsShowTheSameCommands(t *testing.T) {
	t.Parallel()
	comment := regexp.MustCompile(`(?m)[ \t]*(^|[ \t])#.*$`)
	all := pages(t)
	for page, text := range all {
		english, isFrench := strings.CutSuffix(page, ".fr.md")
		if !isFrench {
			continue
		}
		ours, theirs := block.FindAllStringSubmatch(text, -1), block.FindAllStringSubmatch(all[english+".md"], -1)
		for i := range min(len(ours), len(theirs)) {
			if a, b := comment.ReplaceAllString(ours[i][2], ""), comment.ReplaceAllString(theirs[i][2], ""); a != b {
				t.Errorf("%s: block %d differs from %s.md's:\n%s\n%s", page, i+1, english, a, b)
			}
		}
	}
}
