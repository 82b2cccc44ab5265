// Package pattern matches Perl-compatible patterns, as content rules written for SpamAssassin use them, against texts that
// anybody may send. It promises three things: the verdict is Perl's, a message costs about as much as reading it a few times
// however many patterns there are, and no text and no pattern makes it hang or grow without bound.
//
// # Meaning
//
// Patterns and texts are bytes, each byte a character of Latin-1, as under Perl's qr/../aa: \w \d \s \b know ASCII only (\s
// includes vertical tab, \h includes 0xA0), (?i) folds ASCII and Latin-1 letters, $ and \Z match at the end and before a
// final newline, {n,m} goes up to 65534. Known are: classes, POSIX classes, greedy, lazy and possessive repetition, groups,
// named groups, look-ahead, look-behind up to 255 bytes, atomic groups, backreferences by number and name, inline flags
// imsxn, comments, \Q..\E (which SpamAssassin itself would not see, as Perl reads it before the pattern), \K, \R. Refused
// with a SyntaxError that says what and where: recursion, conditions, code, branch reset, verbs, \G, \X, \p{..}, \b{..},
// named characters, and what would become too large.
//
// # How a pattern is matched
//
// A pattern is parsed into a tree (parse.go, escape.go, ast.go). The tree is relaxed (relax.go) into one that an automaton can
// follow, which matches at least as much: look-around vanishes, a backreference becomes whatever its group could match, a
// large counted repetition loses its upper bound. Where nothing had to be relaxed the pattern is Exact. The relaxed tree
// becomes a Thompson automaton whose alternatives share their beginnings (program.go), and that is run as a deterministic one
// whose states are made when a text first needs them (dfa.go). One table look-up per byte decides; a cache of states that is
// full is dropped and begun anew. If the automaton says no, the answer is no. If it says yes and the pattern is exact, the
// answer is yes. Otherwise, and for captures, a backtracker (code.go, backtrack.go) has the last word: it counts its steps,
// remembers failures once an attempt becomes long, and gives up when Options.Steps are spent.
//
// # How many patterns are matched
//
// From each relaxed tree a set of words is drawn of which every match contains one (literal.go). A Set looks for the words of
// all its patterns in one pass (search.go). Only patterns of which a word occurs are asked, and only about the part of the
// text around it where they can match. Patterns without such words are joined, a few to an automaton (set.go).
//
// # Bounds
//
// Time: the search for words and each automaton are linear in the text; making states is bounded per text, and a joined
// automaton that exceeds the bound is replaced by its members, a single one by the backtracker, which has its budget; a Set
// spends one budget on all texts between two Resets of its Scratch. Giving up is reported as such (budget true, skipped),
// never as a verdict. Memory: programs by their size in instructions, states by
// number and bytes, the backtracker's stack by its steps. Recursion: the parser and everything behind it descend at most 250
// levels.
//
// The package reads nothing, keeps no state between texts but caches, and knows nothing of rules, headers or scores: the
// package above it does. Everything is safe for concurrent use except Scratch, of which each goroutine has its own.
package pattern
