package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"postern/internal/tree"
)

// Source is what a configuration is read from besides its own text. The zero Source is the machine's.
type Source struct {
	Env      func(name string) (value string, ok bool) // nil: os.LookupEnv
	ReadFile func(name string) ([]byte, error)         // nil: os.ReadFile
}

func (s Source) fill() Source {
	if s.Env == nil {
		s.Env = os.LookupEnv
	}
	if s.ReadFile == nil {
		s.ReadFile = os.ReadFile
	}
	return s
}

// File is a configuration file already in memory.
type File struct {
	Name string
	Data []byte
}

// Load reads each path, a file or a folder holding postern.yaml, and the conf.d/*.yaml beside it, all in order. Without paths it is ZeroConfig.
// The error is Problems when the fault is in a file.
func Load(paths ...string) (*Config, error) { return Source{}.Load(paths...) }

// Load is the function Load with another environment.
func (s Source) Load(paths ...string) (*Config, error) {
	s = s.fill()
	if len(paths) == 0 {
		return s.ZeroConfig()
	}
	var files []File
	var warnings Problems
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path = filepath.Join(path, "postern.yaml")
		}
		names := []string{path}
		beside, err := filepath.Glob(filepath.Join(filepath.Dir(path), "conf.d", "*"))
		if err != nil {
			return nil, fmt.Errorf("config: %s: %w", path, err)
		}
		slices.Sort(beside)
		for _, name := range beside {
			switch filepath.Ext(name) {
			case ".yaml":
				names = append(names, name)
			case ".yml":
				warnings = append(warnings, Problem{Origin: Origin{File: name, Line: 1, Column: 1}, Text: "is not read; expected a name that ends in .yaml"})
			}
		}
		for _, name := range names {
			data, err := s.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("config: %w", err)
			}
			files = append(files, File{name, data})
		}
	}
	c, err := s.Parse(files...)
	if c != nil {
		c.Warnings = append(warnings, c.Warnings...)
	}
	return c, err
}

// Parse reads files already in memory; later ones lie over earlier ones. It is Load without the looking for files.
func (s Source) Parse(files ...File) (*Config, error) {
	s = s.fill()
	r := newReader(s)
	root := &tree.Node{Form: tree.Mapping}
	c := &Config{}
	for _, f := range files {
		n, problems := parseYAML(f.Name, f.Data)
		r.problems = append(r.problems, problems...)
		if n != nil {
			root = tree.Merge(root, n)
		}
		c.Files = append(c.Files, f.Name)
	}
	r.readStruct(root, reflect.ValueOf(c).Elem(), place{})
	c.origins = r.origins
	v := validation{Config: c, source: s, faults: r.problems}
	v.run()
	c.Warnings = v.warnings
	c.Warnings.sort()
	if err := v.faults.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// ZeroConfig is the configuration of a machine without configuration file: this machine alone may send, everything listens
// on loopback, and state is kept in /var/lib/postern when run by root, else in $XDG_STATE_HOME/postern or
// ~/.local/state/postern, else in ./postern-data.
func (s Source) ZeroConfig() (*Config, error) {
	s = s.fill()
	c, err := s.Parse()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		c.DataDir = "postern-data"
		if home, ok := s.Env("HOME"); ok && filepath.IsAbs(home) {
			c.DataDir = filepath.Join(home, ".local", "state", "postern")
		}
		if state, ok := s.Env("XDG_STATE_HOME"); ok && filepath.IsAbs(state) {
			c.DataDir = filepath.Join(state, "postern")
		}
	}
	return c, nil
}

// Default returns the values every key has when it is not written. It fails only when the table is wrong, which the
// package's tests exclude.
func Default() (*Config, error) { return Source{}.Parse() }

// Origin returns where the value of a key path ("delivery.retry", "customers[0].id") comes from: the zero Origin
// when it is a default or no key.
func (c *Config) Origin(path string) Origin {
	for path != "" {
		if at, ok := c.origins[path]; ok {
			return at
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return Origin{}
}
