package dkim_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/dkim"
	"postern/internal/dns/dnstest"
)

// goldenNow lies after every t= in testdata/golden; none of its signatures has x=.
var goldenNow = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// golden is the part of a .result file that this package's answer holds too.
type golden struct {
	Results []struct {
		Domain, Selector, State string
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.msg")
	if err != nil || len(files) != 11 {
		t.Fatalf("found %d golden messages, want 11 (%v)", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".msg")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			message := strings.ReplaceAll(readGolden(t, name, ".msg"), "\n", "\r\n")
			server := dnstest.Start(t, "")
			loadZone(t, server, readGolden(t, name, ".dns"))
			var want golden
			if text := readGolden(t, name, ".result"); text != "" {
				if err := json.Unmarshal([]byte(text), &want); err != nil {
					t.Fatal(err)
				}
			}
			got := dkim.Verify(t.Context(), server.Resolver(t), []byte(message), goldenNow)
			if len(got) != len(want.Results) {
				t.Fatalf("%d signatures, want %d: %+v", len(got), len(want.Results), got)
			}
			for i, w := range want.Results {
				if s := state(got[i].Status); s != w.State {
					t.Errorf("signature %d: %s (%s), want %s", i, got[i].Status, got[i].Reason, w.State)
				}
				if w.Domain != "" && (string(got[i].Domain) != w.Domain || got[i].Selector != w.Selector) {
					t.Errorf("signature %d: %s/%s, want %s/%s", i, got[i].Domain, got[i].Selector, w.Domain, w.Selector)
				}
			}
		})
	}
}

// state says a Status in the words of the .result files.
func state(status string) string {
	switch status {
	case dkim.StatusPass:
		return "SUCCESS"
	case dkim.StatusTempError:
		return "TEMPFAIL"
	}
	return "PERMFAIL"
}

// readGolden reads a file of a case; a file that holds only another file's name
// stands for that one, and one that is not there is empty.
func readGolden(t *testing.T, name, ext string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/golden", name+ext))
	if os.IsNotExist(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	if other := strings.TrimSpace(string(b)); strings.HasSuffix(other, ext) && !strings.Contains(other, "\n") {
		return readGolden(t, strings.TrimSuffix(other, ext), ext)
	}
	return string(b)
}

// loadZone serves the records of a .dns file: "name: text" with lines continued by
// a backslash, where the text TEMPERROR makes the server fail and PERMERROR means
// that the name does not exist.
func loadZone(t *testing.T, server *dnstest.Server, text string) {
	t.Helper()
	var zone strings.Builder
	var failing []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case !ok || value == "PERMERROR":
		case value == "TEMPERROR":
			failing = append(failing, name)
		default:
			zone.WriteString(txtLine(name, value))
		}
	}
	if err := server.Set(zone.String()); err != nil {
		t.Fatal(err)
	}
	for _, name := range failing {
		server.Fail(name, dnstest.ServFail)
	}
}

// txtLine is a zone line with a TXT record in strings of at most 255 bytes.
func txtLine(name, value string) string {
	line := name + ". 60 IN TXT"
	for len(value) > 255 {
		line += ` "` + value[:255] + `"`
		value = value[255:]
	}
	return line + ` "` + value + "\"\n"
}
