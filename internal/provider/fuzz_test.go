package provider_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"postern/internal/provider"
)

// FuzzClassify: any text is answered, the same way each time, and never by a rule of another provider.
func FuzzClassify(f *testing.F) {
	k := load(f)
	everyLine(k, func(name string, r *provider.Rule, line string) { f.Add(name, line, "") })
	f.Add("free", "=?utf-8?B?////?= =E9=\r\n\xe9\xc3\u00a9 ::: 1.2.3.4.5 a@b@c &amp;&#0; e-mail #.#.#.#", "4.7.1")
	f.Fuzz(func(t *testing.T, name, line, enhanced string) {
		a := provider.Read(line)
		a.Provider = name
		if enhanced != "" {
			a.Enhanced = enhanced
		}
		m := k.Classify(a)
		if m.Category == "" {
			t.Fatalf("%q: no category", line)
		}
		owner, _, _ := strings.Cut(m.Rule, "/")
		if m.Rule != "" && owner != "any" && owner != name {
			t.Fatalf("%q of %q was told by %s", line, name, m.Rule)
		}
		if again := k.Classify(a); !reflect.DeepEqual(m, again) {
			t.Fatalf("%q: %+v, then %+v", line, m, again)
		}
		a.Own = true
		if own := k.Classify(a); own.Rule != "" {
			t.Fatalf("%q: a text of ours reached %s", line, own.Rule)
		}
	})
}

// FuzzLoad: any file is read or refused with a line; what was read can be asked.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("knowledge/*.yaml")
	if err != nil || len(files) < 10 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && len(data) < 5000 {
			f.Add(data)
		}
	}
	f.Add([]byte(labHead + "answers:\n  - {id: a, text: [zebra, \"re:x+\"], enhanced: x.7.1-9, category: blocked, advice: blocked, test: [\"550 5.7.1 zebra\"]}\n"))
	f.Add([]byte("groups: {a: {title: b}}\nadvice: {c: {en: d, fr: e}}\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		k, err := provider.Parse(map[string][]byte{filepath.Join(dir, "x.yaml"): data})
		if d := time.Since(began); d > 3*time.Second {
			t.Fatalf("%d bytes took %v", len(data), d)
		}
		if err != nil {
			if !strings.Contains(err.Error(), "x.yaml:") {
				t.Fatalf("the error names no place: %v", err)
			}
			return
		}
		for _, p := range k.Providers() {
			k.Classify(provider.Answer{Provider: p.Name, Code: 550, Text: "zebra x"})
			k.Behind("x.example", []string{"mx.x.example"})
		}
	})
}
