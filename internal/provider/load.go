package provider

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"postern/internal/tree"
)

//go:embed knowledge/*.yaml
var shipped embed.FS

// maxFiles is how many files a folder of the operator may hold.
const maxFiles = 500

// anyName is the file and the name of what holds for every receiver.
const anyName = "any"

// Load reads our own knowledge and then the *.yaml files of dirs, in order of their names. A provider of the same name replaces ours field by
// field: lists of names (who) and sources grow, answers come before ours and take the place of those with the same id, everything else is
// replaced. The error is of type Faults when files were read and not understood: it names file and line of every fault.
func Load(dirs []string) (*Knowledge, error) {
	g := &gatherer{}
	var files []*tree.Node
	read := func(from fs.FS, prefix, glob string, set int) error {
		names, err := fs.Glob(from, glob)
		if err != nil {
			return err
		}
		if len(names) > maxFiles {
			return fmt.Errorf("%s holds %d files; at most %d", prefix, len(names), maxFiles)
		}
		for _, name := range names {
			data, err := fs.ReadFile(from, name)
			if err != nil {
				return err
			}
			if root := g.parse(filepath.Join(prefix, name), set, data); root != nil {
				files = append(files, root)
			}
		}
		return nil
	}
	if err := read(shipped, "", "knowledge/*.yaml", 0); err != nil {
		return nil, err
	}
	for i, dir := range dirs {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = errors.New("it is a file; name the folder it lies in")
		}
		if err != nil {
			return nil, fmt.Errorf("provider knowledge: %s: %w", dir, err)
		}
		if err := read(os.DirFS(dir), dir, "*.yaml", i+1); err != nil {
			return nil, fmt.Errorf("provider knowledge: %w", err)
		}
	}
	return g.assemble(files)
}

// Parse reads files by their names, without our own knowledge: for what checks files, and for tests.
func Parse(files map[string][]byte) (*Knowledge, error) {
	g := &gatherer{}
	var roots []*tree.Node
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if root := g.parse(name, 1, files[name]); root != nil {
			roots = append(roots, root)
		}
	}
	return g.assemble(roots)
}

// assemble puts files together, the later ones over the earlier.
func (g *gatherer) assemble(files []*tree.Node) (*Knowledge, error) {
	k := &Knowledge{groups: map[string]string{}, texts: map[string]map[string]string{}}
	merged := map[string]*tree.Node{}
	var order []string
	slices.SortStableFunc(files, func(a, b *tree.Node) int { return cmp.Compare(has(a, "name"), has(b, "name")) }) // what others name first
	for _, f := range files {
		if f.Get("name") == nil && (f.Get("groups") != nil || f.Get("advice") != nil) {
			reader{gatherer: g, name: "shared texts"}.shared(f, k)
			continue
		}
		name := f.Get("name")
		if name == nil || name.Form != tree.Scalar || !plainName(name.Text) {
			g.bad(f.At, "name: is missing or no plain word; write the provider's name in small letters, such as name: orange")
			continue
		}
		if merged[name.Text] == nil {
			merged[name.Text] = f
			order = append(order, name.Text)
			continue
		}
		g.overlay(merged[name.Text], f)
	}
	slices.Sort(order)
	places := map[*Provider]tree.Place{}
	for _, name := range order {
		r := reader{g, name, map[string]tree.Place{}, k.texts}
		if name == anyName {
			k.any = r.anyRules(merged[name])
			continue
		}
		p := r.provider(merged[name])
		places[p] = merged[name].At
		if p.Group != "" && k.groups[p.Group] == "" {
			g.bad(merged[name].At, "%s: group %q is not known; name it under groups: with a title", name, tree.Clip(p.Group))
		}
		if name == "default" {
			k.fallback = p
		} else {
			k.providers = append(k.providers, p)
		}
	}
	if k.fallback == nil {
		k.fallback = &Provider{Name: "default", Title: "default"}
	}
	k.providers = append(k.providers, k.fallback)
	k.who = newDirectory(g, k.providers, func(p *Provider) tree.Place { return places[p] })
	k.byName = map[string]*Provider{}
	k.chains = map[string]*chain{}
	for _, p := range k.providers {
		k.byName[p.Name] = p
		if len(p.Rules) > 0 {
			k.chains[p.Name] = newChain(p.Rules)
		}
	}
	k.everybody = newChain(k.any)
	k.tryOperators(g)
	if len(g.faults) > 0 {
		slices.SortStableFunc(g.faults, func(a, b Fault) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
		return nil, g.faults
	}
	return k, nil
}

func has(n *tree.Node, key string) int {
	if n.Get(key) == nil {
		return 0
	}
	return 1
}

// tryOperators demands of the operator's rules that their test lines reach them. Ours are held to it by the room's tests.
func (k *Knowledge) tryOperators(g *gatherer) {
	try := func(provider string, r *Rule) {
		if !r.Operator {
			return
		}
		for _, line := range r.Tests {
			got := k.Classify(r.Question(provider, line))
			switch {
			case got.Rule == r.ID:
			case got.Rule == "":
				g.bad(r.at, "%s: its test line %q does not reach it, nor any other rule; compare text, code and enhanced", r.ID, tree.Clip(line))
			default:
				g.bad(r.at, "%s: its test line %q reaches %s, which stands before it; put it higher or make that one narrower", r.ID, tree.Clip(line), got.Rule)
			}
		}
	}
	for _, p := range k.providers {
		for _, r := range p.Rules {
			try(p.Name, r)
		}
	}
	for _, r := range k.any {
		try("", r)
	}
}

func plainName(s string) bool {
	if s == "" || len(s) > 40 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && i > 0) {
			return false
		}
	}
	return true
}

// overlay lays a file over what is known under its name.
func (g *gatherer) overlay(under, over *tree.Node) {
	for _, e := range over.Entries {
		old := under.Get(e.Key)
		switch {
		case e.Key == "answers" && old != nil && old.Form == tree.List && e.Value.Form == tree.List:
			under.Put(tree.Entry{Key: e.Key, At: e.At, Value: overAnswers(old, e.Value)})
		case e.Key == "sources" && old != nil && old.Form == tree.List && e.Value.Form == tree.List:
			under.Put(tree.Entry{Key: e.Key, At: old.At, Value: &tree.Node{Form: tree.List, At: old.At, Items: slices.Concat(old.Items, e.Value.Items)}})
		case old != nil && old.Form == tree.Mapping && e.Value.Form == tree.Mapping:
			for _, x := range e.Value.Entries {
				was := old.Get(x.Key)
				if e.Key == "who" && was != nil && was.Form == tree.List && x.Value.Form == tree.List {
					x.Value = &tree.Node{Form: tree.List, At: was.At, Items: slices.Concat(was.Items, x.Value.Items)}
				}
				old.Put(x)
			}
		default:
			under.Put(e)
		}
	}
}

// overAnswers puts the later rules first and leaves out the earlier ones whose ids they take.
func overAnswers(under, over *tree.Node) *tree.Node {
	taken := map[string]bool{}
	for _, a := range over.Items {
		if id := a.Get("id"); id != nil && id.Form == tree.Scalar {
			taken[id.Text] = true
		}
	}
	out := &tree.Node{Form: tree.List, At: over.At, Items: slices.Clone(over.Items)}
	for _, a := range under.Items {
		if id := a.Get("id"); id == nil || !taken[id.Text] {
			out.Items = append(out.Items, a)
		}
	}
	return out
}

// shared reads a file of what several providers use: titles of groups, and advice that rules name instead of writing it out. Advice under the name of a
// category is given where no rule knows better.
func (r reader) shared(f *tree.Node, k *Knowledge) {
	named := func(what string, read func(name string, n *tree.Node)) func(*tree.Node) {
		return func(n *tree.Node) {
			if n.Form != tree.Mapping {
				r.bad(n.At, "%s: found %s; expected name: value lines", what, n.Form)
				return
			}
			for _, e := range n.Entries {
				if !plainName(e.Key) {
					r.bad(e.At, "%s: %q: write names in small letters, digits and hyphens, at most 40", what, tree.Clip(e.Key))
					continue
				}
				read(e.Key, e.Value)
			}
		}
	}
	r.fields(f, r.name, map[string]func(*tree.Node){
		"groups": named("groups", func(name string, n *tree.Node) {
			title := ""
			r.fields(n, "group "+name, map[string]func(*tree.Node){"title": r.text(&title)})
			if k.groups[name] = title; title == "" {
				r.bad(n.At, "group %s: title: is missing", name)
			}
		}),
		"advice": named("advice", func(name string, n *tree.Node) {
			text := map[string]string{}
			reader{gatherer: r.gatherer, name: "advice " + name}.advice(&text)(n)
			k.texts[name] = text
		}),
	})
}
