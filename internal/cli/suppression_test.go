package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/suppression"
)

func TestSuppression(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	addresses := file("addresses.csv", "ann@remote.example\n=sum@remote.example\n@gone.example\n")
	bad := file("bad.csv", "address,reason\nann@remote.example,because\n\nnobody,operator\n")
	evidence := suppression.Entry{Customer: "shop", Address: address(t, "Bob@remote.example"), Reason: suppression.UnknownUser, By: suppression.ByRule,
		Evidence: suppression.Evidence{Code: 550, Enhanced: "5.1.1", Text: "no such \x1b[31muser", Host: "mx.remote.example[192.0.2.1]", Provider: "orange", Rule: "orange/unknown-user", Phase: "rcpt"}}
	if err := g.Suppression().Add(ctx, evidence); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"list", 0, "bob@remote.example  shop  unknown-user  NOW  "},
		{"list --provider free", 0, "Nothing is on the list."},
		{"list --json --rule orange/unknown-user", 0, `"name":"No such recipient"`},
		{"list --reason because", 2, "reason"},
		{"show bob@remote.example", 0, "550 5.1.1 no such"},
		{"show bob@remote.example --lang fr", 0, "Destinataire inexistant"},
		{"show nobody@remote.example", 1, "is not on the list"},
		{"show nobody@@", 2, "is no address"},
		{"add --customer shop --note asked carla@other.example", 0, "for customer shop: carla@other.example is not written to from now on"},
		{"add --customer shop carla@other.example", 0, "is on the list already"},
		{"add --customer nobody x@other.example", 2, "there is no customer"},
		{"add @spam.example", 0, "for everybody: @spam.example is not written to"},
		{"add --reason because x@y.example", 2, "reason"},
		{"add --until yesterday x@y.example", 2, "--until"},
		{"add", 2, "needs an address"},
		{"lift bob@remote.example", 2, "for everybody: bob@remote.example is not on the list; there is bob@remote.example for shop"},
		{"lift --customer shop --why gone bob@remote.example", 0, "for customer shop: bob@remote.example is written to again"},
		{"lift --customer shop bob@remote.example", 2, "is not on the list"},
		{"lift --all carla@other.example", 0, "carla@other.example is written to again"},
		{"lift --all --customer shop carla@other.example", 2, "leave customer out"},
		{"show bob@remote.example", 1, "alice"},
		{"import --check " + addresses, 0, "3 rows can be taken."},
		{"import --customer shop --reason unsubscribed " + addresses, 0, "3 rows taken, 3 of them new, stronger or longer."},
		{"import --json --customer shop --reason unsubscribed " + addresses, 0, `"3 rows taken, 0 of them new`},
		{"import " + bad, 2, "line 4"},
		{"import " + filepath.Join(dir, "none.csv"), 2, "no such file"},
		{"export --own --customer shop", 0, "'=sum@remote.example,shop,unsubscribed,"},
		{"", 2, "needs one of: list, show, add, lift, import, export"},
	} {
		code, out, errs := g.run(ctx, append([]string{"suppression"}, strings.Fields(tc.args)...)...)
		text := moments.ReplaceAllString(out, "NOW")
		if code != tc.code || !strings.Contains(text+errs, tc.says) && !strings.Contains(out+errs, tc.says) || code == 0 && errs != "" {
			t.Errorf("suppression %s: %d\n%s\n%s\nwant %s", tc.args, code, text, errs, tc.says)
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("suppression %s: an escape sequence reaches the terminal", tc.args)
		}
	}
	// What is exported is imported again, in many pieces.
	var b strings.Builder
	b.WriteString("email,note\n")
	for i := range 3000 {
		fmt.Fprintf(&b, "reader%d@many.example,\"a note, %d\"\n", i, i)
	}
	if code, out, errs := g.run(ctx, "suppression", "import", "--customer", "shop", file("many.csv", b.String())); code != 0 || !strings.Contains(out, "3000 rows taken, 3000") {
		t.Fatal(code, out, errs)
	}
	code, all, errs := g.run(ctx, "suppression", "export")
	if code != 0 || strings.Count(all, "\n") != 3000+3+1+1 {
		t.Fatal(code, strings.Count(all, "\n"), errs)
	}
	if code, out, errs := g.run(ctx, "suppression", "import", file("again.csv", all)); code != 0 || !strings.Contains(out, " 0 of them new") {
		t.Error(code, out, errs)
	}
	if code, out, _ := g.run(ctx, "suppression", "list", "-n", "5"); code != 0 || !strings.Contains(out, "There are more") {
		t.Error(code, out)
	}
	if code, out, _ := g.run(ctx, "trace", "--customer", "shop", "gone"); code != 0 || !strings.Contains(out, "lifted") {
		t.Error(code, out)
	}
}
