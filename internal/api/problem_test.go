package api_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postern/internal/locale"
)

// source is the code of a package without its tests.
type source struct {
	files  map[string]*ast.File
	places *token.FileSet
	texts  map[string]string // of its constants, and of its errors made with errors.New and fmt.Errorf
}

func read(t *testing.T, dir string, only ...string) *source {
	t.Helper()
	s := &source{map[string]*ast.File{}, token.NewFileSet(), map[string]string{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*ast.File{}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if all[name], err = parser.ParseFile(s.places, dir+"/"+name, nil, 0); err != nil {
			t.Fatal(err)
		}
		if len(only) == 0 || slices.Contains(only, name) {
			s.files[name] = all[name]
		}
	}
	if len(only) > 0 && len(only) != len(s.files) {
		t.Fatalf("%s: of %v only %d are there", dir, only, len(s.files))
	}
	for range 2 { // a sentinel may be made from another
		for _, f := range all {
			ast.Inspect(f, func(n ast.Node) bool {
				v, ok := n.(*ast.ValueSpec)
				if !ok || len(v.Names) != len(v.Values) {
					return true
				}
				for i, name := range v.Names {
					if text, ok := s.text(v.Values[i]); ok {
						s.texts[name.Name] = text
					} else if c, ok := v.Values[i].(*ast.CallExpr); ok && slices.Contains([]string{"errors.New", "fmt.Errorf"}, called(c)) {
						if text, ok := s.format(c, 0); ok {
							s.texts[name.Name] = text
						}
					}
				}
				return true
			})
		}
	}
	return s
}

// text is a literal, a constant, or several side by side.
func (s *source) text(x ast.Expr) (string, bool) {
	switch x := x.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(x.Value)
		return text, err == nil && x.Kind == token.STRING
	case *ast.Ident:
		text, ok := s.texts[x.Name]
		return text, ok
	case *ast.BinaryExpr:
		a, ok := s.text(x.X)
		b, also := s.text(x.Y)
		return a + b, ok && also && x.Op == token.ADD
	}
	return "", false
}

var anyVerb = regexp.MustCompile(`%[+#]?(?:\.\d+)?[a-zA-Z%]`)

// format is the format of a call, with the texts of the package's own errors in the places of these.
func (s *source) format(c *ast.CallExpr, at int) (string, bool) {
	if len(c.Args) <= at {
		return "", false
	}
	text, ok := s.text(c.Args[at])
	next := at
	text = anyVerb.ReplaceAllStringFunc(text, func(place string) string {
		if place == "%%" {
			return place
		}
		next++
		if !strings.HasSuffix(place, "w") {
			return place
		}
		if next < len(c.Args) {
			if id, isName := c.Args[next].(*ast.Ident); isName && s.texts[id.Name] != "" {
				return s.texts[id.Name]
			}
		}
		return "%v"
	})
	return text, ok
}

// called is the name of what is called, with its package.
func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
		return "." + f.Sel.Name
	case *ast.IndexExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name
		}
	}
	return ""
}

// prose reports whether a format has words or signs of its own.
func prose(format string) bool {
	return strings.Trim(anyVerb.ReplaceAllString(format, ""), " ") != ""
}

// constructors make sentences from a format: the place of the format among their arguments.
var constructors = map[string]int{"problem": 2, "invalid": 0, "say": 0, "done": 0}

// ownSentences are the formats of every problem, act and word that the code of this package makes. A place that makes one past the constructors is a fault.
func ownSentences(t *testing.T) []string {
	t.Helper()
	var out []string
	s := read(t, ".")
	for name, f := range s.files {
		where := func(n ast.Node) string { return s.places.Position(n.Pos()).String() }
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				what := called(n)
				if strings.HasPrefix(what, "huma.Error") && what != "huma.ErrorDetail" || strings.HasPrefix(what, "huma.NewError") || what == "http.Error" {
					t.Errorf("%s: %s makes a problem in English only; use problem", where(n), what)
				}
				at, is := constructors[what]
				if !is {
					return true
				}
				format, ok := s.text(n.Args[at])
				if !ok {
					t.Errorf("%s: the format of %s is no literal", where(n), what)
				} else if prose(format) {
					out = append(out, format)
				}
			case *ast.CompositeLit:
				out = append(out, literalSentences(t, s, name, n)...)
			}
			return true
		})
	}
	return out
}

// literalSentences looks at sentences and problems that are made without a constructor.
func literalSentences(t *testing.T, s *source, file string, n *ast.CompositeLit) (out []string) {
	t.Helper()
	what := fmt.Sprint(n.Type)
	if x, ok := n.Type.(*ast.SelectorExpr); ok {
		what = x.Sel.Name
	}
	if list, ok := n.Type.(*ast.ArrayType); ok && file == "problem.go" { // meanings
		if row, ok := list.Elt.(*ast.StructType); ok && len(row.Fields.List) == 4 {
			for _, x := range n.Elts {
				if text, ok := s.text(x.(*ast.CompositeLit).Elts[3]); !ok {
					t.Errorf("%s: the advice is no literal", s.places.Position(x.Pos()))
				} else if text != "" {
					out = append(out, text)
				}
			}
		}
	}
	if file == "trouble.go" || file == "problem.go" || file == "api.go" {
		return out
	}
	switch what {
	case "trouble", "ErrorModel":
		t.Errorf("%s: a problem is made past problem", s.places.Position(n.Pos()))
	case "sentence":
		if text, ok := s.text(n.Elts[0]); len(n.Elts) > 0 && (!ok || prose(text)) {
			t.Errorf("%s: a sentence is made past say", s.places.Position(n.Pos()))
		}
	case "Done":
		if file != "api.go" && file != "sample.go" {
			t.Errorf("%s: an act is told past done", s.places.Position(n.Pos()))
		}
	}
	return out
}

// rooms are the packages whose errors speak of what a request says. What is left out is the trouble of the gateway, which requests meet as "internal".
var rooms = []struct {
	dir   string
	files []string // none: all
	begin string   // only texts that begin so, without the room's own prefix
	skip  string   // a pattern of texts that no request meets
}{
	{dir: ".", files: []string{"answer.go", "suppression.go", "tuning.go"}, skip: `^api: |^(read|write|keep|forget|remove)`},
	{dir: "../mail", files: []string{"address.go", "domain.go"}},
	{dir: "../account", files: []string{"customer.go", "tuning.go", "account.go", "key.go", "network.go", "credential.go", "sql.go"},
		skip: `^(Options|pool %q: names|read: |random|%v$|%s: (customer )?%|customer %s: %v|DKIM key: %v|user name or pass|customer is susp|too many failed|the credential is not taken|IPv4 written|key: kind|store|open|%s: %v$)`},
	{dir: "../user", begin: "user: not "},
	{dir: "../webhook", files: []string{"address.go", "hook.go", "webhook.go"}, skip: `^(database|not found$|there are as many|too much|the host has no address)`},
	{dir: "../suppression", files: []string{"csv.go", "sql.go", "suppression.go", "change.go", "list.go"}, begin: "suppression: not accepted: ", skip: `^(%v|no database|%s)$`},
	{dir: "../checkup", files: []string{"check.go", "challenge.go"}, skip: `^checkup: `},
	{dir: "../dkim", files: []string{"key.go"}, skip: `generate key`},
	{dir: "../compose"},
	{dir: "../reputation", begin: "reputation: not"},
	{dir: "../filter", files: []string{"tuning.go", "tuning_whatif.go"}},
	{dir: "../journal", files: []string{"search.go", "figures.go", "verdicts.go"}, skip: `%v$`},
	{dir: "../learn", files: []string{"train.go"}, skip: `%v$`},
	{dir: "../spool", files: []string{"operate.go", "spool.go", "list.go"}, skip: `%v$|^open |^put |^%d of `},
	{dir: "../delivery", files: []string{"operate.go"}},
	{dir: "../report", files: []string{"snds.go", "snds_value.go"}, skip: `^(a web page|no SNDS|line %d)`},
}

// makers are the functions that make the text of an error from a format.
var makers = []string{"errors.New", "fmt.Errorf", "bad"}

// roomErrors are the formats of the errors of rooms that a request may meet, as problems tell them.
func roomErrors(t *testing.T) (out []string) {
	t.Helper()
	prefix := strings.NewReplacer("account: ", "", "spool: ", "", "journal: ", "", "user: not accepted: ", "", "user: ", "", "webhook: ", "", "suppression: ", "", "not accepted: ", "")
	for _, r := range rooms {
		s := read(t, r.dir, r.files...)
		skip := regexp.MustCompile(cmp.Or(r.skip, `^$`))
		take := func(text string, ok bool) {
			if !ok || !strings.HasPrefix(text, r.begin) {
				return
			}
			if text = prefix.Replace(text); prose(text) && !skip.MatchString(text) {
				out = append(out, text)
			}
		}
		for _, f := range s.files {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if called(n) == "bad" { // what it wraps is the room's ErrInvalid
						text, ok := s.format(n, 0)
						take(r.begin+text, ok)
					} else if slices.Contains(makers, called(n)) {
						take(s.format(n, 0))
					}
				case *ast.CompositeLit:
					if x, ok := n.Type.(*ast.Ident); ok && x.Name == "Fault" && len(n.Elts) == 2 { // of compose
						take(s.faultText(n.Elts[1]))
					}
				}
				return true
			})
		}
	}
	return out
}

// faultText is the text of a compose.Fault behind its field.
func (s *source) faultText(x ast.Expr) (string, bool) {
	text, ok := s.text(x)
	if c, isCall := x.(*ast.CallExpr); isCall && called(c) == "fmt.Sprintf" {
		text, ok = s.format(c, 0)
	}
	return "%s: " + text, ok
}

// librarySentences are what the library that reads requests says of a faulty one: the messages of its package validation, and those that stand in its code.
func librarySentences(t *testing.T) []string {
	t.Helper()
	p, err := build.Import("github.com/danielgtaylor/huma/v2/validation", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{
		"validation failed", "request body is required", "cannot read request body", "request body is too large limit=%d bytes", "request body read timeout",
		"unsupported media type", "unknown content type: %v",
		"unknown query parameter", "required %s parameter is missing", "expected at most one value, but received multiple values",
		"expected value to match exactly one schema but matched multiple", "invalid integer", "invalid float", "invalid floating value", "invalid boolean",
		"invalid value: %v", "invalid date/time for format %s", "unparsable value",
		// Of encoding/json.
		"unexpected end of JSON input", "invalid character %s looking for beginning of value", "invalid character %s after object key:value pair",
		"invalid character %s looking for beginning of object key string",
	}
	messages := read(t, p.Dir).texts
	if len(messages) < 30 {
		t.Fatalf("only %d messages in %s", len(messages), p.Dir)
	}
	return slices.AppendSeq(out, maps.Values(messages))
}

// wordsInErrors are values that rooms put into their errors as words.
var wordsInErrors = []string{"network", "domain"} // of account, what belongs to somebody else

// TestProblemsAreFrench: every problem, act and word that the code of this package makes, and every error of a room that a request meets, has its French in
// locale/twins/problem.fr.yaml; no French is idle, and no place makes a sentence that the test does not see.
func TestProblemsAreFrench(t *testing.T) {
	t.Parallel()
	twin, err := locale.NewTwin("problem")
	if err != nil {
		t.Fatal(err)
	}
	own := ownSentences(t)
	if len(own) < 150 {
		t.Fatalf("only %d sentences were found in the code", len(own))
	}
	said := slices.Concat(own, roomErrors(t), librarySentences(t), wordsInErrors)
	for _, s := range twin.Missing(said) {
		t.Errorf("internal/locale/twins/problem.fr.yaml lacks\n- en: %q\n  fr: ", s)
	}
	for _, s := range twin.Idle(said) {
		t.Errorf("internal/locale/twins/problem.fr.yaml: nothing says %q", s)
	}
}
