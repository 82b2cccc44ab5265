package aggregate

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"postern/internal/locale"
	"postern/internal/report"
)

// sentenceOf is a literal, or literals side by side with %s for what stands between them.
func sentenceOf(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(x.Value)
		return text
	case *ast.BinaryExpr:
		return sentenceOf(x.X) + sentenceOf(x.Y)
	}
	return "%s"
}

// reasonsInCode are the sentences that package report refuses with, and those of this package.
func reasonsInCode(t *testing.T) []string {
	t.Helper()
	out := []string{report.ErrNoReport.Error(), foreignReason,
		"its checksum is wrong", "it ends early"} // how an archive is damaged
	add := func(text string) {
		text = strings.TrimPrefix(text, "%s") // the name of the file
		if strings.Trim(strings.NewReplacer("%s", "", "%v", "").Replace(text), " :") != "" {
			out = append(out, text)
		}
	}
	files, err := filepath.Glob("../report/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "add.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "refusedf" {
					add(sentenceOf(n.Args[0]))
				}
			case *ast.CompositeLit:
				if id, ok := n.Type.(*ast.Ident); ok && id.Name == "brokenError" {
					add(sentenceOf(n.Elts[1]))
				}
			case *ast.FuncDecl:
				if n.Name.Name == "refusal" {
					ast.Inspect(n, func(n ast.Node) bool {
						if r, ok := n.(*ast.ReturnStmt); ok {
							add(sentenceOf(r.Results[0]))
						}
						return true
					})
				}
			}
			return true
		})
	}
	if len(out) < 30 {
		t.Fatalf("only %d reasons were found in the code", len(out))
	}
	return out
}

// TestReasonsAreFrench: every reason for which a report is not read has its French in locale/twins/refusal.fr.yaml, and no French is idle.
func TestReasonsAreFrench(t *testing.T) {
	t.Parallel()
	r, err := NewReasons()
	if err != nil {
		t.Fatal(err)
	}
	said := reasonsInCode(t)
	for _, s := range r.twin.Missing(said) {
		t.Errorf("internal/locale/twins/refusal.fr.yaml lacks\n- en: %q\n  fr: ", s)
	}
	for _, s := range r.twin.Idle(said) {
		t.Errorf("internal/locale/twins/refusal.fr.yaml: nothing says %q", s)
	}
}

// TestReasonsOfRealInput: what really cannot be read is told in French, with the name of the file before it.
func TestReasonsOfRealInput(t *testing.T) {
	t.Parallel()
	r, err := NewReasons()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, file, raw, french string }{
		{"no report", "x.txt", "hello", "ce n'est pas un rapport connu ici"},
		{"an entity", "x.xml", `<?xml version="1.0"?><!DOCTYPE feedback [<!ENTITY a "b">]><feedback/>`, "\"x.xml\"\u00a0: un XML avec une déclaration de type de document ou des entités n'est pas lu"},
		{"an archive that is damaged", "x.gz", "\x1f\x8b\x08\x00", "\"x.gz\"\u00a0: gzip dont le début est abîmé"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			read, err := report.Read([]byte(tc.raw), tc.file, report.ReadLimits{})
			if err == nil {
				t.Fatal("it was read")
			}
			why := strings.TrimPrefix(err.Error(), report.ErrRefused.Error()+": ")
			if got := r.In(locale.French, why); got != tc.french {
				t.Errorf("%q: %q (%v)", why, got, read.Refused)
			}
			if got := r.In(locale.English, why); got != why {
				t.Errorf("English: %q", got)
			}
		})
	}
	if got := r.In(locale.French, "a new reason"); got != "dit en anglais\u00a0: \"a new reason\"" {
		t.Errorf("%q", got)
	}
}
