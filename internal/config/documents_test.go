package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"postern/internal/config"
	"postern/internal/locale"
)

// TestDocuments compares the documents that are printed from the table with their files; -update (make generate) rewrites them.
func TestDocuments(t *testing.T) {
	for path, want := range map[string]string{
		"../../docs/operator/configuration.md":    configurationDocument(t, locale.English),
		"../../docs/operator/configuration.fr.md": configurationDocument(t, locale.French),
		"../../packaging/postern.example.yaml":    config.Example(),
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

// sentences are those of the table that need a French twin.
func sentences() []string {
	var out []string
	for _, k := range config.Table() {
		for _, text := range []string{k.Doc, k.Unit} {
			if text != "" {
				out = append(out, text)
			}
		}
	}
	return out
}

// TestFrenchIsComplete: what the table says has its French in locale/twins/config.fr.yaml, and no French is idle.
func TestFrenchIsComplete(t *testing.T) {
	t.Parallel()
	twin, err := locale.NewTwin("config")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range twin.Missing(sentences()) {
		t.Errorf("internal/locale/twins/config.fr.yaml lacks\n- en: %q\n  fr: ", text)
	}
	for _, text := range twin.Idle(sentences()) {
		t.Errorf("internal/locale/twins/config.fr.yaml: no key says %q", text)
	}
}

// configurationHead is how the reference begins, by language.
var configurationHead = map[string]string{locale.English: `# Configuration

[Français](configuration.fr.md)

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
`, locale.French: `# Configuration

[English](configuration.md)

Imprimé depuis la table du code (` + "`make generate`" + `) : cette page ne peut pas être plus ancienne que le programme. Sur une machine, ` + "`postern config explain KEY`" + `
dit la même chose d'une clé, avec sa valeur présente et son origine, ` + "`postern config example`" + ` imprime un fichier entier commenté, et
` + "`postern config schema`" + ` un schéma JSON pour les éditeurs.

- **Fichiers.** Un fichier, ` + "`/etc/postern/postern.yaml`" + `, puis ` + "`conf.d/*.yaml`" + ` à côté, dans l'ordre de leurs noms : les tables sont fusionnées clé par clé, les listes
  et les valeurs remplacées entières. Aucun fichier est déjà une configuration complète : tout sur la boucle locale, cette machine peut envoyer.
- **Les durées** s'écrivent 90s, 5m, 1h30m, 7d. **Les tailles** s'écrivent 64KiB, 25MB (MB = 1 000 000 octets, MiB = 1 048 576).
- **Les secrets** ne figurent jamais dans la configuration : les clés qui finissent par ` + "`_file`" + ` nomment un fichier qui en contient un. Toute valeur simple peut être
  ` + "`${NAME}`" + `, prise dans l'environnement.
- **Les clés inconnues sont des erreurs**, avec fichier, ligne, colonne et la clé existante la plus proche. ` + "`postern config check`" + ` imprime toutes les fautes à la fois.
- **Rechargement.** Un changement prend effet aussitôt avec ` + "`postern reload`" + ` ou SIGHUP, sauf pour les clés marquées « redémarrage ». Une configuration fautive est
  refusée entière et celle qui tourne reste.
- ` + "`[]`" + ` dans une clé vaut pour chaque élément d'une liste, ` + "`*`" + ` pour un nom choisi librement.
`}

// configurationWords are the words of the reference's tables, by language.
var configurationWords = map[string][]string{
	locale.English: {"| key | default | form | meaning | |", "one of: ", " to ", "required", " Example: ", "restart"},
	locale.French:  {"| clé | défaut | forme | sens | |", "au choix : ", " à ", "obligatoire", " Exemple : ", "redémarrage"},
}

// configurationDocument is the reference of all keys as Markdown.
func configurationDocument(t *testing.T, lang string) string {
	t.Helper()
	twin, err := locale.NewTwin("config")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(configurationHead[lang])
	words := configurationWords[lang]
	section, rows := "", 0
	for _, k := range config.Table() {
		k.Doc, k.Unit = twin.Text(lang, k.Doc), twin.Text(lang, k.Unit)
		if top, _, _ := strings.Cut(strings.TrimSuffix(k.Path, "[]"), "."); strings.TrimSuffix(top, "[]") != section {
			section, rows = strings.TrimSuffix(top, "[]"), 0
			fmt.Fprintf(&b, "\n## %s\n", section)
			if k.Path == section && k.Default == "" && k.Sample == "" && !k.Restart {
				fmt.Fprintf(&b, "\n%s\n", markdownCell(k.Doc))
				continue
			}
		}
		if rows == 0 {
			b.WriteString("\n" + words[0] + "\n|---|---|---|---|---|\n")
		}
		rows++
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Path, code(k.Default), form(k, words), meaning(k, words), restart(k, words))
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

func form(k config.Key, words []string) string {
	var all []string
	if k.Unit != "" {
		all = append(all, markdownCell(k.Unit))
	}
	if len(k.Enum) > 0 {
		all = append(all, words[1]+strings.Join(k.Enum, ", "))
	}
	if k.Min != "" {
		all = append(all, k.Min+words[2]+k.Max)
	}
	if k.Required {
		all = append(all, words[3])
	}
	return strings.Join(all, "; ")
}

func meaning(k config.Key, words []string) string {
	text := markdownCell(k.Doc)
	if k.Sample != "" {
		text += words[4] + code(k.Sample) + "."
	}
	return text
}

func restart(k config.Key, words []string) string {
	if k.Restart {
		return words[5]
	}
	return ""
}
