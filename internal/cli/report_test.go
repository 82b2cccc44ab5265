package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReportJSON(t *testing.T) {
	files, err := filepath.Glob("../report/testdata/reports/*/*")
	if err != nil || len(files) < 9 {
		t.Fatal(len(files), err)
	}
	code, out, warned := shell{}.run(t.Context(), append([]string{"report", "--json"}, files...)...)
	if code != 0 || strings.Count(out, "\n") != len(files) {
		t.Fatalf("exit %d, %d lines: %s", code, strings.Count(out, "\n"), warned)
	}
	kinds := map[string]int{}
	for line := range strings.Lines(out) {
		var got struct {
			File, Kind, Error string
			Reports           []struct {
				Kind  string
				DMARC struct {
					Domain           string
					Messages, Passed int
				}
			}
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil || len(got.Reports) != 1 || got.Error != "" || got.Reports[0].Kind != got.Kind {
			t.Fatalf("%v in %s", err, line)
		}
		kinds[got.Kind]++
		if strings.Contains(got.File, "mimecast") && (got.Reports[0].DMARC.Domain != "ab.id.au" || got.Reports[0].DMARC.Messages != 1 || got.Reports[0].DMARC.Passed != 1) {
			t.Errorf("%+v", got)
		}
	}
	if kinds["dmarc"] != 6 || kinds["tls"] != 2 || kinds["failure"] != 1 {
		t.Error(kinds)
	}
}

func TestReportCommands(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const sample = "../report/testdata/reports/aggregate/usssa.com!example.com!1538784000!1538870399.xml"
	laughs := write("laughs.xml", `<!DOCTYPE x [<!ENTITY a "b">]><feedback>&a;</feedback>`)
	hello := write("hello.txt", "hello\n")
	hostile := write("hostile.xml", `<feedback><report_metadata><org_name>&#27;[31m x</org_name><report_id>1</report_id><date_range><begin>1793491200</begin><end>1793577599</end></date_range></report_metadata><policy_published><domain>a.example</domain><p>none</p></policy_published></feedback>`)
	for _, tc := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"English", []string{sample}, 0, []string{"DMARC report of usssa.com about example.com", "0 pass DMARC", "12.20.127.40", "fails"}},
		{"French", []string{"--lang", "fr", sample}, 0, []string{"Rapport DMARC de usssa.com sur example.com", "échoue"}},
		{"refused", []string{laughs}, 1, []string{"refused", "document type declaration"}},
		{"no report", []string{hello}, 1, []string{"no report that is known"}},
		{"as JSON", []string{"--json", hello, laughs}, 1, []string{`"kind":"none"`, `"error":"report refused`}},
		{"hostile text", []string{hostile}, 0, []string{"a.example", "counts no message"}},
		{"no such file", []string{filepath.Join(dir, "none.xml")}, 2, nil},
		{"no language", []string{"--lang", "xx", sample}, 2, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, warned := shell{}.run(t.Context(), append([]string{"report"}, tc.args...)...)
			if code != tc.code {
				t.Fatalf("exit %d: %s%s", code, out, warned)
			}
			for _, s := range tc.says {
				if !strings.Contains(out, s) {
					t.Errorf("%q is not in\n%s", s, out)
				}
			}
			if strings.Contains(out, "\x1b") {
				t.Errorf("an escape sequence came through: %q", out)
			}
		})
	}
}
