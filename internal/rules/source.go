package rules

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Limits on what is read. The rule files that SpamAssassin 4.0.1 installs hold 1.4 MB in 61 files and define 2,946 rules; their longest
// pattern is 224 KB long after its replacement tags.
const (
	maxFiles       = 1000
	maxFileBytes   = 16 << 20
	maxTotalBytes  = 128 << 20
	maxLineBytes   = 256 << 10
	maxRules       = 50000
	maxProblems    = 2000
	maxConditions  = 64 // nested if
	maxPattern     = 1 << 20
	maxExpression  = 64 << 10
	maxListEntries = 500000
)

// Options says for which surroundings rules are loaded.
type Options struct {
	Local   bool     // conditions and metas see local_tests_only as true
	Plugins []string // SpamAssassin plugins taken as present ("DKIM"); nil: those that SpamAssassin's own .pre files load
	// Given names tests whose results the host supplies to Finish. Metas may use them; a rule of that name in the files is neither run nor reported.
	Given []string
}

// File is one rule file in memory.
type File struct {
	Name string // base name; appears in reports
	Text []byte
}

// ErrNoRules says that a folder holds no rule file.
var ErrNoRules = errors.New("holds no .cf file")

// Load reads all .cf files of the folders: folder by folder, within a folder by name, as SpamAssassin does. The error is about the
// folders only; what is wrong inside files is in the report.
func Load(dirs []string, o Options) (*RuleSet, *LoadReport, error) {
	files, err := ReadFiles(dirs)
	if err != nil {
		return nil, nil, err
	}
	s, r := Parse(files, o)
	return s, r, nil
}

// ReadFiles reads what Load would, for hosts that add files of their own.
func ReadFiles(dirs []string) ([]File, error) {
	var files []File
	total := 0
	for _, dir := range dirs {
		names, err := ruleFiles(dir)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := readLimited(filepath.Join(dir, name))
			if err != nil {
				return nil, err
			}
			if total += len(text); total > maxTotalBytes || len(files) >= maxFiles {
				return nil, fmt.Errorf("%s: rule files exceed %d MB or %d files", dir, maxTotalBytes>>20, maxFiles)
			}
			files = append(files, File{Name: name, Text: text})
		}
	}
	return files, nil
}

func ruleFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".cf") && !strings.HasPrefix(e.Name(), ".") && !e.IsDir() && !notRules[e.Name()] {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoRules)
	}
	sort.Strings(names)
	return names, nil
}

// notRules are files beside the rules that have their ending: a template of local settings and the tests of the rules themselves.
var notRules = map[string]bool{"regression_tests.cf": true}

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("%s: is larger than %d MB, the most that is read", path, maxFileBytes>>20)
	}
	return text, nil
}
