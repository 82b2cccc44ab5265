package house_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/internal/house"
)

var update = flag.Bool("update", false, "rewrite docs/HOUSE.md from the plan")

const root = "../.." // the module's folder

// source is one parsed Go file of the module.
type source struct {
	path string // slash path below the root
	room string // room below internal/, "" for cmd
	test bool
	file *ast.File
	fset *token.FileSet
	rows int
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || rel == "bin" || rel == "dist") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && rel != "." {
				return filepath.SkipDir // a module of its own, such as a benchmark against other software
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, rel, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s := source{path: rel, test: strings.HasSuffix(rel, "_test.go"), file: f, fset: fset, rows: strings.Count(string(text), "\n")}
		if rest, ok := strings.CutPrefix(rel, "internal/"); ok {
			s.room, _, _ = strings.Cut(rest, "/")
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("only %d Go files found: the walk is broken", len(out))
	}
	return out
}

// testOnly names packages that live beside the real thing and serve tests; only tests and `world` may import them.
var testOnly = map[string]bool{"dnstest": true, "opiniontest": true, "smtptest": true, "storetest": true, "crashfs": true}

func TestImports(t *testing.T) {
	plan := map[string]house.Room{}
	for _, r := range house.Plan {
		plan[r.Name] = r
	}
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if s.room == "" {
			continue
		}
		seen[s.room] = true
		r, ok := plan[s.room]
		if !ok {
			t.Errorf("%s: room %q is not in the plan (internal/house/plan.go)", s.path, s.room)
			continue
		}
		for _, imp := range s.file.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			rest, ok := strings.CutPrefix(path, "postern/internal/")
			if !ok {
				continue
			}
			to, _, _ := strings.Cut(rest, "/")
			last := rest[strings.LastIndex(rest, "/")+1:]
			switch {
			case to == s.room:
			case testOnly[last] && (s.test || s.room == "world" || testOnly[dirName(s.path)]):
			case s.test && strings.HasSuffix(s.file.Name.Name, "_test"): // black-box tests may build what they need
			case slices.Contains(r.May, to) && !testOnly[last]:
			case testOnly[dirName(s.path)] && slices.Contains(r.May, to):
			default:
				t.Errorf("%s imports %s: not in the plan", s.path, rest)
			}
		}
	}
	for _, r := range house.Plan {
		if !seen[r.Name] {
			t.Errorf("room %s is in the plan but has no Go file: rooms appear when they have content", r.Name)
		}
	}
}

func dirName(path string) string {
	dir := path[:strings.LastIndex(path, "/")]
	return dir[strings.LastIndex(dir, "/")+1:]
}

// TestPlanHasNoCycle: arrows run down or, on one floor, in one direction.
func TestPlanHasNoCycle(t *testing.T) {
	may := map[string][]string{}
	for _, r := range house.Plan {
		may[r.Name] = r.May
	}
	var visit func(name string, path []string)
	done := map[string]bool{}
	visit = func(name string, path []string) {
		if slices.Contains(path, name) {
			t.Fatalf("cycle: %s", strings.Join(append(path, name), " -> "))
		}
		if done[name] {
			return
		}
		for _, to := range may[name] {
			if _, ok := may[to]; !ok {
				t.Errorf("room %s may import %s, which is not in the plan", name, to)
			}
			visit(to, append(path, name))
		}
		done[name] = true
	}
	for _, r := range house.Plan {
		visit(r.Name, nil)
	}
}

// mayPanic lists the files that panic, each for an invariant that only a programmer can break.
var mayPanic = map[string]string{
	"internal/config/print.go":  "the table of keys is wrong: found by the first test",
	"internal/config/schema.go": "the table of keys is wrong: found by the first test",
	"internal/config/read.go":   "the table of keys is wrong: found by the first test",
	"internal/store/schema.go":  "an embedded folder is missing",
	"internal/rules/match.go":   "a pattern that stands in our own source and does not compile",
	"internal/store/writer.go":  "hands a panic of the caller's function back to its caller",
	"internal/filter/filter.go": "a check reports a test that the catalogue lacks; caught as a broken verdict",
}

// TestNoPanicNoBackground: panic only where listed; context.Background only where a process or a scrape begins.
func TestNoPanicNoBackground(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || testOnly[dirName(s.path)] {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch f := call.Fun.(type) {
			case *ast.Ident:
				if f.Name == "panic" && mayPanic[s.path] == "" {
					t.Errorf("%s:%d: panic outside the listed files", s.path, s.fset.Position(n.Pos()).Line)
				}
			case *ast.SelectorExpr:
				x, ok := f.X.(*ast.Ident)
				if ok && x.Name == "context" && (f.Sel.Name == "Background" || f.Sel.Name == "TODO") && s.room != "app" && s.room != "" {
					t.Errorf("%s:%d: context.%s outside cmd and app", s.path, s.fset.Position(n.Pos()).Line, f.Sel.Name)
				}
			}
			return true
		})
	}
}

var attics = []string{"util", "utils", "common", "helpers", "misc", "types", "shared", "base", "core", "lib"}

// longFiles and longFunctions list what may exceed the measure, with the reason.
var (
	longFiles     = map[string]string{}
	longFunctions = map[string]string{}
)

func TestMeasures(t *testing.T) {
	commented := map[string]bool{}
	packages := map[string]bool{}
	for _, s := range sources(t) {
		dir := s.path[:max(0, strings.LastIndex(s.path, "/"))]
		for _, part := range strings.Split(dir, "/") {
			if slices.Contains(attics, part) {
				t.Errorf("%s: a folder named %q gathers dust; name it by what it holds", s.path, part)
			}
		}
		if !s.test {
			packages[dir] = true
			if s.file.Doc != nil && len(s.file.Doc.Text()) > 60 {
				commented[dir] = true
			}
		}
		if s.rows > 800 && longFiles[s.path] == "" {
			t.Errorf("%s has %d lines (at most 800)", s.path, s.rows)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || s.test {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > 100 && longFunctions[s.path+":"+f.Name.Name] == "" {
				t.Errorf("%s: %s has %d lines (at most 100)", s.path, f.Name.Name, n)
			}
			if f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s: no init functions", s.path)
			}
		}
		for _, imp := range s.file.Imports {
			switch path := strings.Trim(imp.Path.Value, `"`); {
			case path == "log" && !s.test:
				t.Errorf("%s: imports log; take a *slog.Logger", s.path)
			case path == "os/exec" && !s.test && !testOnly[dirName(s.path)] && !strings.HasPrefix(s.path, "bench/"):
				// The daemon never starts a process: a shell is where mail servers died (reliability: D3).
				t.Errorf("%s: imports os/exec", s.path)
			}
		}
	}
	for dir := range packages {
		if !commented[dir] {
			t.Errorf("package %s has no package comment that says what it does", dir)
		}
	}
}

// TestExportedNamesAreDocumented: an exported name without a comment is a promise nobody wrote down.
func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.room == "" {
			continue
		}
		complain := func(pos token.Pos, name string) {
			t.Errorf("%s:%d: exported %s has no comment", s.path, s.fset.Position(pos).Line, name)
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					complain(d.Pos(), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
							complain(spec.Pos(), spec.Name.Name)
						}
					case *ast.ValueSpec:
						for _, n := range spec.Names {
							if n.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
								complain(n.Pos(), n.Name)
							}
						}
					}
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.IsExported()
	}
	return true
}

var tableName = regexp.MustCompile(`(?i)CREATE TABLE (?:IF NOT EXISTS )?([a-z_]+)`)

// TestTablesHaveOneOwner: a table's name begins with its room, and only that room's Go files speak of it.
func TestTablesHaveOneOwner(t *testing.T) {
	owner := map[string]string{}
	files, _ := filepath.Glob(filepath.Join(root, "internal/store/schema/*/*.sql"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tableName.FindAllStringSubmatch(string(text), -1) {
			room, _, _ := strings.Cut(m[1], "_")
			if _, err := os.Stat(filepath.Join(root, "internal", room)); err != nil {
				t.Errorf("%s: table %s does not begin with a room's name", filepath.Base(f), m[1])
			}
			owner[m[1]] = room
		}
	}
	if len(owner) < 5 {
		t.Fatalf("only %d tables found", len(owner))
	}
	for _, s := range sources(t) {
		if s.test || s.room == "house" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			for table, room := range owner {
				if s.room != room && regexp.MustCompile(`\b`+table+`\b`).MatchString(lit.Value) {
					t.Errorf("%s:%d names table %s, which belongs to %s", s.path, s.fset.Position(lit.Pos()).Line, table, room)
				}
			}
			return true
		})
	}
}

// fuzzed are the rooms that read outside bytes: each must have at least one fuzz target.
var fuzzed = []string{"mail", "dns", "smtp", "spf", "dkim", "dmarc", "report", "config", "spool", "notice", "rules", "opinion", "milter", "spamd", "tlspolicy"}

func TestParsersAreFuzzed(t *testing.T) {
	found := map[string]int{}
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test && strings.HasPrefix(f.Name.Name, "Fuzz") {
				found[s.room]++
			}
		}
	}
	for _, room := range fuzzed {
		if found[room] == 0 {
			t.Errorf("room %s reads outside bytes and has no fuzz target", room)
		}
	}
}

// TestHouseDocument: docs/HOUSE.md is printed from the plan.
func TestHouseDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("# The house\n\nPrinted from `internal/house/plan.go` by `make generate`; the test beside it fails on any arrow that is not drawn here.\n\n" +
		"Mail flows one way: `intake -> filter -> spool -> delivery`. What must travel backwards is written into a ledger by the\n" +
		"later room and read there by the earlier one. A room imports only the rooms its row names, the standard library and the\n" +
		"module's dependencies.\n\n")
	floor := ""
	for _, r := range house.Plan {
		if r.Floor != floor {
			floor = r.Floor
			fmt.Fprintf(&b, "\n## %s\n\n| room | what it does | may import |\n|---|---|---|\n", floor)
		}
		may := strings.Join(r.May, ", ")
		if may == "" {
			may = "-"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Name, r.Purpose, may)
	}
	path := filepath.Join(root, "docs/HOUSE.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/HOUSE.md differs from the plan: run `make generate`")
	}
}
