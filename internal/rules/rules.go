// Package rules reads, compiles and runs rules written in SpamAssassin's rule language (the .cf files that SpamAssassin 4.0 installs or
// that sa-update fetches) on our parsed messages.
//
// # What it does
//
// Load reads the .cf files of folders in SpamAssassin's order (by name), follows their conditions (if, ifplugin, else) and makes a RuleSet:
// patterns for header, body, rawbody, full, uri, mimeheader and uri_detail rules, expressions for metas, Go functions for eval rules.
// NewView prepares a message the way SpamAssassin shows it to its rules: decoded headers, body lines, raw chunks, HTML measures, relays. It
// takes the bytes apart itself, since SpamAssassin reads damaged headers, multiparts and addresses in ways of its own.
// RuleSet.Run runs all active rules on a View and says which hit, with what score and why. A host with tests of its own names them in
// Options.Given, calls Begin, does its own part meanwhile and hands its results to Finish, where metas combine both.
//
// # What it does not do
//
// It knows patterns, not policy: no threshold, no verdict. It asks no network: rules that need DNS or another service (SPF, DKIM, block
// lists, Razor, askdns…) are loaded, listed, and never run. It has no Bayes. Text options (report, add_header) are read and dropped.
//
// # How it fails
//
// Rule files are outside bytes. Nothing in them is fatal: what cannot be read, is not known or cannot run is named in the LoadReport with
// file, line and reason, and the rest is used. Sizes and numbers are limited (see the constants in source.go). Patterns run within a step
// budget, each its own and all of a message one together; a rule that exceeds it is in Result.Skipped, neither hit nor forgotten. Fields,
// parts and HTML tags beyond the limits in tree.go and htmltoken.go are left aside, and Result.Cut says so.
//
// # Concurrency
//
// A RuleSet does not change after Load and may be run by many goroutines at once; a View belongs to one goroutine.
//
// The meaning of the language follows the documentation of Mail::SpamAssassin::Conf, version 4.0.1.
package rules

import (
	"sort"
	"strings"
)

// Kind is what a rule looks at.
type Kind uint8

// The kinds of rules. Rules of kind Empty have a name and a score but nothing to test (defined by "reuse" only).
const (
	Empty Kind = iota
	Header
	Body
	RawBody
	Full
	URI
	MIMEHeader
	URIDetail
	Eval
	Meta
	AskDNS
)

var kindNames = [...]string{"empty", "header", "body", "rawbody", "full", "uri", "mimeheader", "uri_detail", "eval", "meta", "askdns"}

// String returns the directive that defines such a rule.
func (k Kind) String() string { return kindNames[k] }

// Position is where something stands in the rule files.
type Position struct {
	File string // base name
	Line int    // from 1
}

// Rule is one rule as loaded.
type Rule struct {
	Name     string
	Kind     Kind
	Target   string // Header, MIMEHeader: the header with its modifiers, "Subject:raw"; Eval: header, body, rawbody, full or uri
	Text     string // the pattern, expression or call as written
	Where    Position
	Scores   [4]float64 // points by score set: 0 neither network nor Bayes, 1 network, 2 Bayes, 3 both
	Priority int        // as written; the order of running does not depend on it
	Flags    string     // tflags, space separated
	Network  bool       // asks the network or another service: never runs here
	Problem  string     // why the rule cannot run; "" if it can

	pattern  source // pattern as written, without delimiters
	compiled *matcher
	negated  bool
	exists   bool
	unset    *string // [if-unset: x]
	call     string  // eval function
	args     []string
	criteria []criterion // uri_detail
	expr     *expr       // meta
	given    bool        // the host supplies the result
	template bool        // pattern holds %{NAME}
	shell    *matcher    // template with anything in place of the names: where it does not match, the rule cannot; nil if there is none
	captures bool        // pattern has named groups
	multiple bool
	maxHits  int // with multiple; 0: no limit
	noSubj   bool
	partMin  int // mimeheader: tflags range=, parts numbered from 1
	partMax  int
	concat   bool
}

// Sub reports whether the rule is a building block of others: its name begins with two underscores and it has no points of its own.
func (r *Rule) Sub() bool { return strings.HasPrefix(r.Name, "__") }

// RuleSet is a compiled set of rules. Make one with Load or Parse.
type RuleSet struct {
	rules    []*Rule
	index    map[string]int
	given    map[string]int               // where the results of the host's tests stand among the values of a run
	describe map[string]map[string]string // language -> rule -> sentence
	lists    *lists
	local    bool
	plan     plan
	filled   filledTemplates
}

// Rules returns all rules by name. Read only.
func (s *RuleSet) Rules() []*Rule { return s.rules }

// Rule returns the rule called name, nil if there is none.
func (s *RuleSet) Rule(name string) *Rule {
	if i, ok := s.index[name]; ok {
		return s.rules[i]
	}
	return nil
}

// Describe returns the sentence that describes a rule in a language ("fr"; "" or "en" is the default text), "" if there is none.
// A missing translation is answered with the default text.
func (s *RuleSet) Describe(name, language string) string {
	if d, ok := s.describe[strings.ToLower(language)][name]; ok {
		return d
	}
	return s.describe[""][name]
}

// Problem is one thing in the rule files that was not used, or a rule that cannot run.
type Problem struct {
	Where     Position
	Directive string // the first word of the line
	Rule      string // the rule concerned, "" if none
	Reason    string // a short English sentence
	Harmless  bool   // rules run all the same: a meta names a rule that is not there and counts as 0, or a setting is not followed
}

// LoadReport says what became of the rule files.
type LoadReport struct {
	Files    int            // read
	Lines    int            // read
	Rules    int            // defined, of any kind
	Runnable int            // rules that can run here and have points or are sub-rules in score set 0 or 2
	Kinds    map[string]int // number of rules by kind
	Network  []string       // rules that need the network, by name
	Off      []string       // rules that could run and have no points in any score set, by name
	// Unsupported are the rules that cannot run here for a reason other than the network, by name; Rule, Where and Reason are set.
	Unsupported []Problem
	Given       []string  // rules of the files that are not run as the host supplies their results, by name
	Problems    []Problem // at most maxProblems, in the order found
	Dropped     int       // problems beyond that
}

func (r *LoadReport) add(p Problem) {
	if len(r.Problems) >= maxProblems {
		r.Dropped++
		return
	}
	r.Problems = append(r.Problems, p)
}

// Unsupported returns the rules that cannot run here for a reason other than the network, by name, with the reason.
func (s *RuleSet) Unsupported() map[string]string {
	out := map[string]string{}
	for _, r := range s.rules {
		if r.Problem != "" && !r.Network && !r.given {
			out[r.Name] = r.Problem
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
