package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"text/template"
)

// Snippet is an example of one operation in one language.
type snippet struct {
	Language string // for people
	File     string // name of a file that holds it, for tests
	Text     string
}

// snippetData is what the examples are made from.
type snippetData struct {
	Method, URL, JSON, Indented string
	Body, Once                  bool
}

// snippets are an operation's examples against the API at base. They read the token from POSTERN_TOKEN and end with a failure when the
// answer is one.
func (op *operation) snippets(base string) ([]snippet, error) {
	d := snippetData{Method: op.Method, URL: base + op.target(), Body: op.sample.body != nil, Once: op.Method != http.MethodGet && op.act != ""}
	if d.Body {
		var flat, deep bytes.Buffer
		for _, x := range []struct {
			to     *bytes.Buffer
			indent string
		}{{&flat, ""}, {&deep, "  "}} {
			enc := json.NewEncoder(x.to)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", x.indent)
			if err := enc.Encode(op.sample.body); err != nil {
				return nil, err
			}
		}
		d.JSON, d.Indented = strings.TrimSpace(flat.String()), strings.TrimSpace(deep.String())
	}
	var out []snippet
	for _, x := range snippetForms {
		t, err := template.New(x.file).Funcs(template.FuncMap{"python": python}).Parse(x.text)
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		if err := t.Execute(&b, d); err != nil {
			return nil, err
		}
		out = append(out, snippet{x.language, x.file, strings.TrimLeft(b.String(), "\n")})
	}
	return out, nil
}

// python writes JSON as Python reads it.
func python(text string) string {
	return strings.NewReplacer(": true", ": True", ": false", ": False", ": null", ": None").Replace(text)
}

// snippetForms are the examples' forms.
var snippetForms = []struct{ language, file, text string }{
	{"curl", "example.sh", `
curl -sS --fail-with-body{{if ne .Method "GET"}} -X {{.Method}}{{end}} \
  -H "Authorization: Bearer $POSTERN_TOKEN" \
{{- if .Once}}
  -H "Idempotency-Key: $(cat /proc/sys/kernel/random/uuid)" \
{{- end}}
{{- if .Body}}
  -H 'Content-Type: application/json' \
  -d '{{.JSON}}' \
{{- end}}
  '{{.URL}}'
`},
	{"Go", "example.go", `
package main

import (
{{- if .Once}}
	"crypto/rand"
{{- end}}
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
{{- if .Body}}
	"strings"
{{- end}}
)

func main() {
	req, err := http.NewRequest("{{.Method}}", "{{.URL}}", {{if .Body}}strings.NewReader(` + "`{{.JSON}}`" + `){{else}}nil{{end}})
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("POSTERN_TOKEN"))
{{- if .Body}}
	req.Header.Set("Content-Type", "application/json")
{{- end}}
{{- if .Once}}
	req.Header.Set("Idempotency-Key", rand.Text())
{{- end}}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	if res.StatusCode >= 300 {
		log.Fatalf("%s: %s", res.Status, text)
	}
	fmt.Println(string(text))
}
`},
	{"Node", "example.mjs", `
{{if .Once}}import { randomUUID } from "node:crypto";

{{end}}const res = await fetch("{{.URL}}", {
  method: "{{.Method}}",
  headers: {
    Authorization: ` + "`Bearer ${process.env.POSTERN_TOKEN}`" + `,
{{- if .Body}}
    "Content-Type": "application/json",
{{- end}}
{{- if .Once}}
    "Idempotency-Key": randomUUID(),
{{- end}}
  },
{{- if .Body}}
  body: JSON.stringify({{.Indented}}),
{{- end}}
});
const text = await res.text();
if (!res.ok) {
  console.error(res.status, text);
  process.exit(1);
}
console.log(text);
`},
	{"PHP", "example.php", `
<?php
$header = [
    'Authorization: Bearer ' . getenv('POSTERN_TOKEN'),
{{- if .Body}}
    'Content-Type: application/json',
{{- end}}
{{- if .Once}}
    'Idempotency-Key: ' . bin2hex(random_bytes(16)),
{{- end}}
];
$context = stream_context_create(['http' => [
    'method' => '{{.Method}}',
    'header' => implode("\r\n", $header),
{{- if .Body}}
    'content' => '{{.JSON}}',
{{- end}}
    'ignore_errors' => true,
]]);
$text = file_get_contents('{{.URL}}', false, $context);
if (!preg_match('{^HTTP/\S+ 2}', $http_response_header[0])) {
    fwrite(STDERR, $text . "\n");
    exit(1);
}
echo $text, "\n";
`},
	{"Python", "example.py", `
{{if .Body}}import json
{{end}}import os
import sys
import urllib.error
import urllib.request
{{- if .Once}}
import uuid
{{- end}}

req = urllib.request.Request("{{.URL}}", method="{{.Method}}")
req.add_header("Authorization", "Bearer " + os.environ["POSTERN_TOKEN"])
{{- if .Once}}
req.add_header("Idempotency-Key", str(uuid.uuid4()))
{{- end}}
{{- if .Body}}
req.add_header("Content-Type", "application/json")
req.data = json.dumps({{python .Indented}}).encode()
{{- end}}
try:
    with urllib.request.urlopen(req) as res:
        print(res.read().decode())
except urllib.error.HTTPError as err:
    sys.exit(f"{err.code}: {err.read().decode()}")
`},
}
