package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLearn(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	dir := t.TempDir()
	for i := range 60 {
		text := fmt.Sprintf("Message-ID: <%d@x.example>\n\nword\n", i)
		if i%2 == 0 {
			text = "From someone Sat Nov 21 18:40:00 2026\n" + text
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.eml", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := filepath.Join(dir, "0.eml")
	g.input = "Message-ID: <stdin@x.example>\n\nword\n"
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"spam", dir}, 0, "60 messages learned as spam; 60 spam and 0 ham are known, and the tests answer from 200 of each."},
		{[]string{"spam", one, "-"}, 0, "1 message learned as spam, 1 left as they were; 61 spam"},
		{[]string{"ham", one}, 0, "1 message learned as ham; 60 spam and 1 ham"},
		{[]string{"forget", one}, 0, "1 message forgotten; 60 spam and 0 ham"},
		{[]string{"ham", "--customer", "shop", one}, 0, "1 message learned as ham; 0 spam and 1 ham"},
		{[]string{"ham", "--json", "--customer", "shop", one}, 0, `{"changed":0,"known":1,"spam":0,"ham":1,"need":200,"enough":false}`},
		{[]string{"ham", "--customer", "nobody", one}, 2, ""},
		{[]string{"ham", filepath.Join(dir, "none")}, 2, ""},
		{[]string{"ham", empty}, 2, ""},
		{[]string{"ham", t.TempDir()}, 2, ""},
		{[]string{"ham"}, 2, ""},
		{[]string{"maybe", one}, 2, ""},
	} {
		code, out, errs := g.run(ctx, append([]string{"learn"}, tc.args...)...)
		if code != tc.code || !strings.Contains(out, tc.says) || tc.code != 0 && errs == "" {
			t.Errorf("learn %v: %d %q %q", tc.args, code, out, errs)
		}
	}
}
