package config

import "postern/internal/tree"

// limits bound a configuration file.
var limits = tree.Limits{Bytes: 2 << 20, Lines: 50_000, Brackets: 100_000, Nesting: 1000, Depth: 32,
	TooLong: "keep customers by the thousand in the database (postern customer add)", Second: "expected one document per file (no --- in the middle)"}

// parseYAML reads one file. The node is a mapping, nil when the file has no content or does not parse.
func parseYAML(file string, data []byte) (*tree.Node, Problems) {
	root, faults := tree.Read(file, 0, data, limits)
	var problems Problems
	for _, f := range faults {
		problems = append(problems, Problem{Origin: f.At, Text: f.Text})
	}
	return root, problems
}
