package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"postern/internal/config"
)

// TestDocuments compares the documents that are printed from the table with their files; -update (make generate) rewrites them.
func TestDocuments(t *testing.T) {
	for path, want := range map[string]string{
		"../../docs/operator/configuration.md": configurationDocument(),
		"../../packaging/postern.example.yaml": config.Example(),
	} {
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is stale: run `make generate`", path)
		}
	}
}

// configurationDocument is the reference of all keys as Markdown.
func configurationDocument() string {
	var b strings.Builder
	b.WriteString(`# Configuration

Printed from the table in the code (` + "`make generate`" + `): this page cannot be older than the program. On a machine, ` + "`postern config explain KEY`" + ` tells the
same about one key with its present value and where that comes from, ` + "`postern config example`" + ` prints a whole file with comments, and
` + "`postern config schema`" + ` a JSON Schema for editors.

- **Files.** One file, ` + "`/etc/postern/postern.yaml`" + `, then ` + "`conf.d/*.yaml`" + ` beside it in order of their names: mappings are merged key by key, lists and
  values replaced whole. No file at all is a complete configuration: everything on loopback, this machine may send.
- **Times** are written 90s, 5m, 1h30m, 7d. **Sizes** are written 64KiB, 25MB (MB = 1,000,000 bytes, MiB = 1,048,576).
- **Secrets** never stand in the configuration: keys that end in ` + "`_file`" + ` name a file that holds one. Any plain value may be ` + "`${NAME}`" + `, taken from the
  environment.
- **Unknown keys are errors**, with file, line, column and the nearest key that exists. ` + "`postern config check`" + ` prints all faults at once.
- **Reload.** A change takes effect at once with ` + "`postern reload`" + ` or SIGHUP, except for the keys marked "restart". A configuration with a fault is
  refused whole and the running one stays.
- ` + "`[]`" + ` in a key stands for each item of a list, ` + "`*`" + ` for a name chosen freely.
`)
	section, rows := "", 0
	for _, k := range config.Table() {
		if top, _, _ := strings.Cut(strings.TrimSuffix(k.Path, "[]"), "."); strings.TrimSuffix(top, "[]") != section {
			section, rows = strings.TrimSuffix(top, "[]"), 0
			fmt.Fprintf(&b, "\n## %s\n", section)
			if k.Path == section && k.Default == "" && k.Sample == "" && !k.Restart {
				fmt.Fprintf(&b, "\n%s\n", markdownCell(k.Doc))
				continue
			}
		}
		if rows == 0 {
			b.WriteString("\n| key | default | form | meaning | |\n|---|---|---|---|---|\n")
		}
		rows++
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Path, code(k.Default), form(k), meaning(k), restart(k))
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}

func markdownCell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "*", `\*`).Replace(s)
}

func form(k config.Key) string {
	var all []string
	if k.Unit != "" {
		all = append(all, markdownCell(k.Unit))
	}
	if len(k.Enum) > 0 {
		all = append(all, "one of: "+strings.Join(k.Enum, ", "))
	}
	if k.Min != "" {
		all = append(all, k.Min+" to "+k.Max)
	}
	if k.Required {
		all = append(all, "required")
	}
	return strings.Join(all, "; ")
}

func meaning(k config.Key) string {
	text := markdownCell(k.Doc)
	if k.Sample != "" {
		text += " Example: " + code(k.Sample) + "."
	}
	return text
}

func restart(k config.Key) string {
	if k.Restart {
		return "restart"
	}
	return ""
}
