package cli_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postern/internal/locale"
)

// errorFormats are the formats of the errors that the code of a file makes.
func errorFormats(t *testing.T, file string, sentinels map[string]string) (out []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok || len(c.Args) == 0 {
			return true
		}
		name := ""
		switch fun := c.Fun.(type) {
		case *ast.Ident:
			name = fun.Name
		case *ast.SelectorExpr:
			if x, ok := fun.X.(*ast.Ident); ok {
				name = x.Name + "." + fun.Sel.Name
			}
		}
		lit, literal := c.Args[0].(*ast.BasicLit)
		if !slices.Contains([]string{"fmt.Errorf", "errors.New", "usagef"}, name) || !literal {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Args) > 1 {
			if id, ok := c.Args[1].(*ast.Ident); ok && sentinels[id.Name] != "" {
				text = strings.Replace(text, "%w", sentinels[id.Name], 1)
			}
		}
		for _, line := range strings.Split(strings.ReplaceAll(text, "%w", "%v"), "\n") {
			if strings.Trim(line, "%vsq. ") != "" {
				out = append(out, line)
			}
		}
		return true
	})
	return out
}

// TestErrorsAreFrench: the errors of commands that have --lang, and that no gateway answers, have their French in locale/twins/cli.fr.yaml, and no French is idle.
func TestErrorsAreFrench(t *testing.T) {
	t.Parallel()
	said := []string{"See `%s --help`.", "there is no message in %s", "the gateway answered %d %s",
		"open %s: no such file or directory", "open %s: permission denied", "stat %s: no such file or directory"} // of the system
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") && (strings.Contains(string(text), "languageFlag(") || file == "server.go") && file != "demo.go" {
			said = append(said, errorFormats(t, file, nil)...)
		}
	}
	said = append(said, errorFormats(t, "../api/client.go", map[string]string{"ErrNoServer": "no gateway answers"})...)
	for _, s := range errorFormats(t, "../checkup/server.go", map[string]string{"ErrRelayTest": "no test for an open relay"}) {
		if strings.HasPrefix(s, "no test for an open relay") {
			said = append(said, s)
		}
	}
	twin, err := locale.NewTwin("cli")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range twin.Missing(said) {
		t.Errorf("internal/locale/twins/cli.fr.yaml lacks\n- en: %q\n  fr: ", s)
	}
	for _, s := range twin.Idle(said) {
		t.Errorf("internal/locale/twins/cli.fr.yaml: nothing says %q", s)
	}
}

// TestErrorsInTheLanguageOfTheCommand: --lang fr has errors in French, too.
func TestErrorsInTheLanguageOfTheCommand(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"not known", []string{"blocklists", "no.such.example", "--lang", "fr"}, "le répertoire n'a pas de liste \"no.such.example\""},
		{"no gateway", []string{"--socket", none, "blocklists", "--lang", "fr"}, "aucune passerelle ne répond\u00a0: il n'y a pas de socket " + none},
		{"no file", []string{"report", none, "--lang", "fr"}, none + "\u00a0: ce fichier n'existe pas"},
		{"wrong target", []string{"check", "a..b", "--lang", "fr"}, "domaine non valable\u00a0: étiquette vide"},
		{"English", []string{"report", none}, "no such file or directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if code, out, errs := (shell{}).run(t.Context(), tc.args...); code == 0 || !strings.Contains(errs, tc.want) {
				t.Errorf("%d %q %q", code, out, errs)
			}
		})
	}
}
