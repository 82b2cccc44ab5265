package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const returned = "From: MAILER-DAEMON@mx.example\nTo: anna@shop.example\nSubject: failure notice\n\nHi. This is the qmail-send program at mx.example.\n\n<bob@dest.example>:\n" +
	"192.0.2.9 does not like recipient.\nRemote host said: 550 5.1.1 <bob@dest.example>... User Unknown\n\n<eve@dest.example>:\nRemote host said: 552 5.2.2 mailbox full\n"

func TestBounceJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "returned.eml")
	if err := os.WriteFile(file, []byte(returned), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, warned := shell{}.run(t.Context(), "bounce", "--json", file)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, warned)
	}
	var got struct {
		File, Kind string
		Recipients []struct {
			Address, Status, Category, Party string
			Reply                            int
			Permanent                        bool
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || strings.Count(out, "\n") != 1 {
		t.Fatalf("%v in %q", err, out)
	}
	if got.File != file || got.Kind != "failed" || len(got.Recipients) != 2 {
		t.Fatalf("%+v", got)
	}
	if r := got.Recipients[0]; r.Address != "bob@dest.example" || r.Status != "5.1.1" || r.Reply != 550 || r.Category != "userunknown" || !r.Permanent || r.Party != "recipient" {
		t.Errorf("first %+v", r)
	}
	if r := got.Recipients[1]; r.Category != "mailboxfull" || r.Permanent {
		t.Errorf("second %+v", r)
	}
}

func TestBounceCommands(t *testing.T) {
	from := "From a@b.example Thu Nov 19 10:00:00 2026\n"
	hostile := strings.ReplaceAll(returned, "User Unknown", "User Unknown \x1b[31m\u202e")
	dir := t.TempDir()
	box := filepath.Join(dir, "two.mbox")
	if err := os.WriteFile(box, []byte(from+returned+"\n"+from+returned), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		args  []string
		stdin string
		code  int
		want  []string
	}{
		{"standard input", []string{"bounce", "-"}, returned, 0, []string{"bob@dest.example", "unknown recipient", "550 5.1.1", "does not work", "mailbox full", "may work again"}},
		{"French", []string{"bounce", "--lang", "fr", "-"}, returned, 0, []string{"non distribué", "DESTINATAIRE", "ne fonctionne pas", "Cette adresse n'existe pas."}},
		{"explained", []string{"bounce", "--explain", "-"}, returned, 0, []string{"does not like recipient", "understood by rule any/"}},
		{"mailbox", []string{"bounce", box}, "", 0, []string{"two.mbox#1", "two.mbox#2"}},
		{"two messages in one input", []string{"bounce", "--json", "-"}, from + returned + "\n" + from + returned, 0, []string{`"file":"-"`}},
		{"no bounce", []string{"bounce", "-"}, "From: a@b.example\nSubject: x\n\ny\n", 1, []string{"no bounce"}},
		{"no bounce as JSON", []string{"bounce", "--json", "-"}, "From: a@b.example\nSubject: x\n\ny\n", 1, []string{`"kind":"none"`, `"recipients":[]`}},
		{"hostile text", []string{"bounce", "--explain", "-"}, hostile, 0, []string{"bob@dest.example"}},
		{"no file", []string{"bounce", filepath.Join(dir, "none.eml")}, "", 2, []string{"none.eml"}},
		{"language", []string{"bounce", "--lang", "de", "-"}, returned, 2, []string{"--lang de is not known"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := shell{input: tc.stdin}.run(t.Context(), tc.args...)
			if code != tc.code {
				t.Errorf("exit code %d, want %d: %s", code, tc.code, stderr)
			}
			for _, want := range tc.want {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("missing %q in\n%s%s", want, stdout, stderr)
				}
			}
			if strings.ContainsAny(stdout, "\x1b\u202e") {
				t.Errorf("control characters reach the terminal: %q", stdout)
			}
		})
	}
}
