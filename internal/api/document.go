package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/locale"
	"postern/internal/user"
)

//go:embed pages
var pageFiles embed.FS

// site is the documentation for people, made once from what is registered.
type site struct {
	openapi   map[string][]byte // the OpenAPI document by language
	templates *template.Template
	style     []byte
	stylePath string // with its hash: it may be kept for ever
	groups    []group
	byID      map[string]*operation
}

// group is operations about one thing.
type group struct {
	Name       string // text api.group.NAME
	Operations []*operation
}

// writePages prepares what documents serves.
func (s *server) writePages() (err error) {
	if err := s.exemplify(); err != nil {
		return err
	}
	english, err := json.MarshalIndent(s.api.OpenAPI(), "", " ")
	if err != nil {
		return err
	}
	french, err := s.translated(english)
	if err != nil {
		return err
	}
	s.site.openapi = map[string][]byte{locale.English: english, locale.French: french}
	if s.site.templates, err = template.ParseFS(pageFiles, "pages/*.html"); err != nil {
		return err
	}
	if s.site.style, err = pageFiles.ReadFile("pages/style.css"); err != nil {
		return err
	}
	sum := sha256.Sum256(s.site.style)
	s.site.stylePath = "/style-" + hex.EncodeToString(sum[:8]) + ".css"
	s.site.byID = map[string]*operation{}
	for _, op := range s.order {
		s.site.byID[op.OperationID] = op
		name := groupKey(op.group)
		if n := len(s.site.groups); n == 0 || s.site.groups[n-1].Name != name {
			s.site.groups = append(s.site.groups, group{Name: name})
		}
		g := &s.site.groups[len(s.site.groups)-1]
		g.Operations = append(g.Operations, op)
	}
	return nil
}

// document answers with the OpenAPI document: in English, or in the language that the request asks.
func (s *server) document(w http.ResponseWriter, r *http.Request) {
	lang := languageOf(r)
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
	w.Header().Set("Content-Language", lang)
	w.Header().Add("Vary", "Accept-Language")
	_, _ = w.Write(s.site.openapi[lang])
}

// documents answers who reads: the path is below /api.
func (s *server) documents(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.nothingHere(w, r)
		return
	}
	id, one := strings.CutPrefix(r.URL.Path, "/operations/")
	switch {
	case r.URL.Path == "/":
		s.show(w, r, "index", nil)
	case r.URL.Path == "/openapi.json":
		s.document(w, r)
	case r.URL.Path == s.site.stylePath:
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		_, _ = w.Write(s.site.style)
	case one && s.site.byID[id] != nil:
		s.show(w, r, "operation", s.site.byID[id])
	default:
		s.nothingHere(w, r)
	}
}

// page is what a page of the documentation is made from.
type page struct {
	s         *server
	Lang      string
	Here      string // path below /api
	Operation *operation
	Snippets  []snippet
	In, Out   []table
}

// show answers with a page in the language that the address names, or the reader's.
func (s *server) show(w http.ResponseWriter, r *http.Request, name string, op *operation) {
	p := page{s: s, Lang: languageOf(r), Here: r.URL.Path, Operation: op}
	var err error
	if op != nil {
		if p.Snippets, err = op.snippets(p.Base()); err == nil {
			p.In, p.Out = s.requestTables(op), s.answerTables(op)
		}
	}
	var b bytes.Buffer
	if err == nil {
		err = s.site.templates.ExecuteTemplate(&b, name, p)
	}
	if err != nil {
		s.o.Logger.Error("documentation not shown", "page", r.URL.Path, "error", err)
		s.refuse(w, r, problem(http.StatusInternalServerError, "internal", "the page cannot be shown; the log says why"))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

// T is a text of the documentation.
func (p page) T(key string) string {
	return p.s.texts.Text(p.Lang, "api."+key, map[string]any{"Most": p.s.asked.Most(), "Link": "openapi.json"})
}

// Told is a sentence of the OpenAPI document in the reader's language.
func (p page) Told(english string) string { return p.s.told(p.Lang, english) }

// URL is a path of the documentation, in the reader's language.
func (p page) URL(path string) string { return p.s.prefix + "/api" + path + "?lang=" + p.Lang }

// Style is the path of the style sheet.
func (p page) Style() string { return p.s.prefix + "/api" + p.s.site.stylePath }

// Home is the path of the pages.
func (p page) Home() string { return p.s.prefix + "/" }

// Base is the address of the API.
func (p page) Base() string { return strings.TrimSuffix(p.s.o.BaseURL, "/") + "/api" }

// Other is the other language.
func (p page) Other() string {
	if p.Lang == locale.French {
		return locale.English
	}
	return locale.French
}

// Switch is this page in the other language.
func (p page) Switch() string { return p.s.prefix + "/api" + p.Here + "?lang=" + p.Other() }

// Groups are all operations.
func (p page) Groups() []group { return p.s.site.groups }

// Group is a group's name.
func (p page) Group(name string) string { return p.T("group." + name) }

// row is a line of a table: what it is about, and what it says.
type row struct {
	Name, Type, Text string
	Status           int
	Required         bool
}

// Rights says what rights allow.
func (p page) Rights() []row {
	var out []row
	for _, r := range user.Rights() {
		out = append(out, row{Name: string(r), Text: p.T("right." + strings.ReplaceAll(string(r), ":", "_"))})
	}
	return out
}

// Words says what problems mean.
func (p page) Words() []row {
	var out []row
	for _, x := range words {
		out = append(out, row{Name: x.word, Status: x.status, Text: p.T("word." + strings.ReplaceAll(x.word, "-", "_"))})
	}
	return out
}

// Over is over whom the operation asks its right.
func (p page) Over() string { return p.T("over." + p.Operation.over()) }

// Right is the right that the operation asks.
func (p page) Right() string { return string(p.Operation.right) }

// Act is its word in the audit log.
func (p page) Act() string { return p.Operation.act }

// Secret reports whether the answer is shown once.
func (p page) Secret() bool { return p.Operation.secret }

// Parameters are those of path, query and fields.
func (p page) Parameters() []row {
	var out []row
	for _, x := range p.Operation.Parameters {
		if x.Ref == languageRef {
			x = p.s.api.OpenAPI().Components.Parameters["language"]
		}
		out = append(out, row{Name: x.Name, Type: typeOf(x.Schema) + ", " + p.T("in."+x.In), Text: p.Told(x.Description), Required: x.Required})
	}
	return out
}

// table is the fields of one kind of object.
type table struct {
	Name string
	Rows []row
}

func (s *server) requestTables(op *operation) []table {
	if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
		return nil
	}
	return s.tables(op.RequestBody.Content["application/json"].Schema)
}

func (s *server) answerTables(op *operation) []table {
	ok := op.Responses["200"]
	if ok == nil || ok.Content["application/json"] == nil {
		return nil
	}
	return s.tables(ok.Content["application/json"].Schema)
}

// tables are an object's fields, and those of the objects in it, each once.
func (s *server) tables(root *huma.Schema) []table {
	var out []table
	seen := map[string]bool{}
	queue := []*huma.Schema{root}
	for len(queue) > 0 {
		x := queue[0]
		queue = queue[1:]
		switch {
		case x == nil:
			continue
		case x.Ref != "":
			if seen[x.Ref] {
				continue
			}
			seen[x.Ref] = true
		case x.Items != nil:
			queue = append(queue, x.Items)
			continue
		default:
			continue
		}
		object := s.api.OpenAPI().Components.Schemas.SchemaFromRef(x.Ref)
		if object == nil || len(object.Properties) == 0 {
			continue
		}
		t := table{Name: nameOf(x.Ref)}
		required := map[string]bool{}
		for _, name := range object.Required {
			required[name] = true
		}
		for _, name := range sortedNames(object.Properties) {
			f := object.Properties[name]
			if name == "$schema" {
				continue
			}
			t.Rows = append(t.Rows, row{Name: name, Type: typeOf(f), Text: f.Description, Required: required[name]})
			queue = append(queue, f)
		}
		out = append(out, t)
	}
	return out
}

// typeOf is a type for people.
func typeOf(x *huma.Schema) string {
	switch {
	case x == nil:
		return ""
	case x.Ref != "":
		return nameOf(x.Ref)
	case x.Type == "array":
		return "[" + typeOf(x.Items) + "]"
	case len(x.Enum) > 0:
		var out []string
		for _, v := range x.Enum {
			out = append(out, fmt.Sprint(v))
		}
		return strings.Join(out, " | ")
	case x.Format != "" && x.Type == "string":
		return x.Format
	}
	return x.Type
}

func nameOf(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

func sortedNames(fields map[string]*huma.Schema) []string { return slices.Sorted(maps.Keys(fields)) }

// fields is tables with the page they are on.
type fields struct {
	Page   page
	Tables []table
}

// Fields is for the template of tables.
func (p page) Fields(all []table) fields { return fields{p, all} }
