// Package docs_test holds the documents to the code: links resolve, commands, flags, make targets, metrics and limits exist,
// translations have the same sections, and the pages that are printed from the code are fresh.
package docs_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/internal/cli"
	"postern/internal/config"
)

const root = "../.."

// pages returns every Markdown file of the project by its slash path below the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "node_modules" || name == "dist") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".md") {
			return nil
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		out[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, must := range []string{"README.md", "README.fr.md", "docs/operator/guide.md", "docs/operator/guide.fr.md"} {
		if out[must] == "" {
			t.Fatalf("%s is missing", must)
		}
	}
	return out
}

var (
	fence   = regexp.MustCompile("(?ms)^```[^\n]*\n.*?^```")
	heading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
)

// headings returns a page's headings without the lines of code blocks that begin with #.
func headings(text string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		out = append(out, m[1])
	}
	return out
}

var notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)

// anchor is the fragment under which a forge shows a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

func TestLinksResolve(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			at := page
			if target != "" {
				at = filepath.ToSlash(filepath.Join(filepath.Dir(page), target))
				if _, err := os.Stat(filepath.Join(root, at)); err != nil {
					t.Errorf("%s: the link %s leads nowhere", page, m[1])
					continue
				}
			}
			if fragment != "" && !slices.ContainsFunc(headings(all[at]), func(h string) bool { return anchor(h) == fragment }) {
				t.Errorf("%s: no heading of %s has the anchor #%s", page, at, fragment)
			}
		}
	}
}

func TestTranslationsHaveTheSameSections(t *testing.T) {
	t.Parallel()
	all := pages(t)
	levels := regexp.MustCompile(`(?m)^#{1,6} `)
	for page, text := range all {
		english, isFrench := strings.CutSuffix(page, ".fr.md")
		if !isFrench {
			continue
		}
		french := levels.FindAllString(fence.ReplaceAllString(text, ""), -1)
		if want := levels.FindAllString(fence.ReplaceAllString(all[english+".md"], ""), -1); !slices.Equal(french, want) {
			t.Errorf("%s has %d headings, %s.md has %d, or their levels differ", page, len(french), english, len(want))
		}
		if blocks, want := len(fence.FindAllString(text, -1)), len(fence.FindAllString(all[english+".md"], -1)); blocks != want {
			t.Errorf("%s has %d code blocks, %s.md has %d", page, blocks, english, want)
		}
	}
}

func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	literal := regexp.MustCompile(`"(postern_[a-z0-9_]+)"`)
	exist := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range literal.FindAllSubmatch(text, -1) {
			exist[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(exist) < 10 {
		t.Fatalf("only %d metrics found in the source", len(exist))
	}
	for _, file := range []string{"docs/operator/metrics.md", "docs/operator/metrics.fr.md"} {
		named := map[string]bool{}
		for _, name := range regexp.MustCompile(`\bpostern_[a-z0-9_]+`).FindAllString(pages(t)[file], -1) {
			for _, part := range []string{"_bucket", "_sum", "_count"} { // of histograms
				if base := strings.TrimSuffix(name, part); exist[base] {
					name = base
				}
			}
			named[name] = true
			if !exist[name] {
				t.Errorf("%s: no metric has the name %s", file, name)
			}
		}
		for name := range exist {
			if !named[name] {
				t.Errorf("%s does not tell of %s", file, name)
			}
		}
	}
}

func TestEveryLimitIsDocumented(t *testing.T) {
	t.Parallel()
	page := pages(t)["docs/operator/limits.md"]
	for _, k := range config.Table() {
		if !strings.HasPrefix(k.Path, "limits.") {
			continue
		}
		if row := "| `" + k.Path + "` | " + k.Default + " |"; !strings.Contains(page, row) {
			t.Errorf("docs/operator/limits.md lacks a row that begins %s", row)
		}
	}
}

// help is what the program prints for a command.
func help(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cli.Main(t.Context(), cli.Process{Args: append(append([]string{"postern"}, args...), "--help"), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out})
	return out.String()
}

var (
	inline = regexp.MustCompile("`([^`\n]+)`")
	call   = regexp.MustCompile(`(?:^|[\s|;&(])postern ([a-z][^|;&#)]*)`)
	word   = regexp.MustCompile(`^[a-z][a-z-]*$`)
	flags  = regexp.MustCompile(`(?:^|\s)(--[a-z][a-z-]*)`)
)

// snippets returns the code of a page: blocks line by line, and what stands in back quotes.
func snippets(text string) []string {
	var out []string
	for _, block := range fence.FindAllString(text, -1) {
		head, body, _ := strings.Cut(block, "\n")
		if head == "```sh" || head == "```console" {
			out = append(out, strings.Split(strings.ReplaceAll(body, "\\\n", " "), "\n")...)
		}
	}
	for _, m := range inline.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		out = append(out, m[1])
	}
	return out
}

func TestEveryCommandExists(t *testing.T) {
	t.Parallel()
	checked := 0
	for page, text := range pages(t) {
		for _, s := range snippets(text) {
			for _, m := range call.FindAllStringSubmatch(strings.ReplaceAll(s, "sudo -u postern ", ""), -1) {
				checked++
				if wrong := wrongCall(t, m[1]); wrong != "" {
					t.Errorf("%s: `postern %s`: %s", page, strings.TrimSpace(m[1]), wrong)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d commands found in the documents: the search is broken", checked)
	}
}

func wrongCall(t *testing.T, rest string) string {
	t.Helper()
	fields := strings.Fields(rest)
	text := help(t, fields[0])
	if !strings.Contains(text, "\n  postern "+fields[0]) {
		return "there is no such command"
	}
	for n := 2; strings.Contains(text, "Available Commands:") && len(fields) >= n && word.MatchString(fields[n-1]); n++ {
		text = help(t, fields[:n]...)
		if !strings.Contains(text, "\n  postern "+strings.Join(fields[:n], " ")) {
			return "there is no such command"
		}
	}
	for _, m := range flags.FindAllStringSubmatch(rest, -1) {
		if !strings.Contains(text, m[1]) {
			return "there is no flag " + m[1]
		}
	}
	return ""
}

func TestEveryMakeTargetExists(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile(`(?:^|[\s;&])make ([a-z]+)`)
	for page, text := range pages(t) {
		for _, s := range snippets(text) {
			for _, m := range target.FindAllStringSubmatch(s, -1) {
				if !bytes.Contains(makefile, []byte("\n"+m[1]+":")) {
					t.Errorf("%s: the Makefile has no target %s", page, m[1])
				}
			}
		}
	}
}

// TestNoRegistryHosts: documents work without naming where a tool fetches its modules from.
func TestNoRegistryHosts(t *testing.T) {
	t.Parallel()
	host := regexp.MustCompile(`\b(?:proxy|sum|registry|index|deb|security)\.[a-z]+\.(?:org|com|io|dev)\b`)
	for page, text := range pages(t) {
		if m := host.FindString(text); m != "" {
			t.Errorf("%s names the host %s", page, m)
		}
	}
}

// TestCompletionIsFresh compares the packaged completion of bash with what the program prints.
func TestCompletionIsFresh(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if code := cli.Main(t.Context(), cli.Process{Args: []string{"postern", "completion", "bash"}, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}); code != 0 {
		t.Fatalf("exit %d: %s", code, out.String())
	}
	fresh(t, "packaging/completion.bash", out.String())
}
