package pattern_test

import (
	"fmt"
	"strings"
	"testing"

	"postern/internal/rules/pattern"
)

type row struct {
	src, flags, text string
	want             string // offsets of the match and its groups as start:end, "-" for no match
}

// probes are texts that every row of the table is asked about when Perl is there to say what is right.
var probes = [][]byte{nil, []byte("\n"), []byte("a"), []byte("a\n"), []byte("ab\nab\n"), []byte("aaa bbb ccc"), []byte("foo bar"), []byte("FOO\nbar\n\n"),
	[]byte("\xe9\xc9\xdf\xff\xb5\xa0\x85"), []byte("\r\n\x0b\x0c\x00"), []byte("1234567890"), []byte("_-.@{}[]()"), []byte("abcabcabc"), []byte("aXbXc")}

var table = []row{
	// literals, escapes
	{`abc`, "", "xabcx", "1:4"}, {`abc`, "", "ab", "-"}, {``, "", "x", "0:0"}, {`a.c`, "", "a\nc", "-"}, {`a.c`, "s", "a\nc", "0:3"},
	{`\x41\x{42}\103\x9`, "", "ABC\t", "0:4"}, {`\042\0`, "", "\"\x00", "0:2"}, {`\o{101}`, "", "A", "0:1"}, {`\e\a\f\t`, "", "\x1b\x07\x0c\t", "0:4"},
	{`\cA\c[`, "", "\x01\x1b", "0:2"}, {`a{`, "", "a{", "0:2"}, {`a{,`, "", "a{,", "0:3"}, {`a{b}`, "", "a{b}", "0:4"}, {`{1`, "", "{1", "0:2"}, {`a}]`, "", "a}]", "0:3"},
	{`\.\*\/\@\-\#`, "", ".*/@-#", "0:6"}, {`\x{2019}`, "", "\x19", "-"}, {`\N{U+41}`, "", "A", "0:1"}, {`\Qa.b*\Ec+`, "", "a.b*cc", "0:6"}, {`\Qa+\E{2}`, "", "a++", "0:3"},
	{`\x{17f}|k`, "i", "K", "0:1"}, {`\x{178}`, "i", "\xff", "0:1"},
	// classes
	{`[abc]+`, "", "xcab", "1:4"}, {`[^abc]`, "", "abcd", "3:4"}, {`[]a]+`, "", "a]", "0:2"}, {`[^]a]`, "", "]ab", "2:3"}, {`[a\-z]+`, "", "-z", "0:2"}, {`[a-]+`, "", "-a", "0:2"},
	{`[\d-z]+`, "", "1-z", "0:3"}, {`[a-\d]+`, "", "a-1", "0:3"}, {`[\x41-\x43]+`, "", "ABCD", "0:3"}, {`[\b]`, "", "\b", "0:1"}, {`[[:alpha:]_]+`, "", "1ab_2", "1:4"},
	{`[[:^digit:]]+`, "", "12ab", "2:4"}, {`[[:punct:]]+`, "", "a!$~b", "1:4"}, {`[[:space:]]`, "", "\x0b", "0:1"}, {`[[:upper:]]+`, "i", "aB", "0:2"}, {`[[:xdigit:]]{2}`, "", "xF9", "1:3"},
	{`[[:blank:]]`, "", "\xa0\t", "1:2"}, {`[\s\S]`, "", "\n", "0:1"}, {`[^\W_]+`, "", "_ab_", "1:3"}, {`[[a]]`, "", "[]", "0:2"}, {`[a[:b]+`, "", "[:ab", "0:4"}, {`[\101-\103]`, "", "B", "0:1"},
	{`\d\D`, "", "1\xb2", "0:2"}, {`\w+`, "", "\xe9a_9\xe9", "1:4"}, {`\s+`, "", "a \t\r\n\x0b\x0c\xa0", "1:7"}, {`\S`, "", "\xa0", "0:1"}, {`\h+`, "", "\n\t \xa0", "1:4"}, {`\H`, "", "\xa0a", "1:2"},
	{`\v+`, "", "a\n\x0b\x0c\r\x85b", "1:6"}, {`\V+`, "", "\nab", "1:3"}, {`\N+`, "", "\nab\n", "1:3"}, {`\N{2}`, "", "\nab", "1:3"}, {`\R`, "", "a\r\nb", "1:3"}, {`a\R\nb`, "", "a\r\nb", "-"}, {`\R+`, "", "\n\r\n\x85", "0:4"},
	{`[\h\v]+`, "", "a \n", "1:3"},
	// letter case
	{`abc`, "i", "xABC", "1:4"}, {`\xe9`, "i", "\xc9", "0:1"}, {`\xe9`, "", "\xc9", "-"}, {`[\xe0-\xe5]`, "i", "\xc3", "0:1"}, {`[^\xe9]`, "i", "\xc9", "-"}, {`\xd7`, "i", "\xf7", "-"}, {`\xdf`, "i", "ss", "-"},
	{`\xff`, "i", "\xdf", "-"}, {`(?i)a(?-i)b`, "", "Ab", "0:2"}, {`(?i)a(?-i)b`, "", "AB", "-"}, {`(?i:a)b`, "", "Ab", "0:2"}, {`(?i:a)b`, "", "AB", "-"}, {`(?:a(?i)b|c)d`, "", "Cd", "0:2"}, {`(?^:a)`, "i", "A", "-"},
	{`(a)\1`, "i", "aA", "0:2,0:1"}, {`(\xe9)\1`, "i", "\xe9\xc9", "0:2,0:1"}, {`(?aa)(?i)[k]`, "", "K", "0:1"},
	// anchors
	{`^a`, "", "b\na", "-"}, {`^a`, "m", "b\na", "2:3"}, {`a$`, "", "a\n", "0:1"}, {`a$`, "", "a\n\n", "-"}, {`a$`, "m", "a\n\n", "0:1"}, {`a\z`, "", "a\n", "-"}, {`a\Z`, "", "a\n", "0:1"}, {`\Aa`, "m", "b\na", "-"},
	{`^`, "m", "a\n", "0:0"}, {`\n^`, "m", "a\n", "-"}, {`\n^`, "m", "a\nb", "1:2"}, {`$\n`, "", "a\n", "1:2"}, {`a$\n?b`, "", "a\nb", "-"}, {`$`, "", "\n", "0:0"}, {`^$`, "", "", "0:0"}, {`^$`, "m", "a\n\nb", "2:2"}, {`\z`, "", "ab", "2:2"},
	{`\bab\b`, "", "cab ab", "4:6"}, {`\Bb`, "", "b ab", "3:4"}, {`\b`, "", "\xe9", "-"}, {`\b`, "", "", "-"}, {`\B`, "", "", "0:0"}, {`a\b`, "", "a\xe9", "0:1"}, {`\b\b\ba`, "", "a", "0:1"}, {`(?:^|\s)x`, "", "a x", "1:3"},
	{`(?:$|,)b`, "", "a,b", "1:3"}, {`a(?:$|b)`, "", "a\n", "0:1"}, {`\Ba`, "", "a", "-"}, {`\ba$`, "", "b a\n", "2:3"},
	// repetition
	{`a*`, "", "baa", "0:0"}, {`a+`, "", "baa", "1:3"}, {`a?b`, "", "b", "0:1"}, {`a{2}`, "", "aaa", "0:2"}, {`a{2,}`, "", "baaa", "1:4"}, {`a{1,2}`, "", "aaa", "0:2"}, {`a{,2}b`, "", "aaab", "1:4"}, {`a{0}b`, "", "ab", "1:2"},
	{`a+?`, "", "aa", "0:1"}, {`a*?b`, "", "aab", "0:3"}, {`a{1,3}?`, "", "aaa", "0:1"}, {`<.+?>`, "", "<a><b>", "0:3"}, {`a??b`, "", "ab", "0:2"}, {`(?:ab){2}`, "", "xababab", "1:5"}, {`(?:a|b){3}`, "", "aba", "0:3"},
	{`(a|ab)(c|bcd)(d*)`, "", "abcd", "0:4,0:1,1:4,4:4"}, {`(?:a*)*b`, "", "aab", "0:3"}, {`(a*)+`, "", "b", "0:0,0:0"}, {`(?:a?){3}b`, "", "aab", "0:3"}, {`(?:a??)*b`, "", "aab", "0:3"}, {`(?:(?:a{0,2}){0,3}b){2}`, "", "aabaaaab", "0:8"},
	{`(a){2}`, "", "aa", "0:2,1:2"}, {`(?:(a)|b)*`, "", "ab", "0:2,0:1"}, {`(a*)*`, "", "aa", "0:2,2:2"}, {`(a*?)*?b`, "", "aab", "0:3,1:2"}, {`(?:x{2}){3}`, "", "xxxxxx", "0:6"}, {`^*a`, "", "ba", "1:2"},
	{`a{3,2}|b`, "", "aaab", "3:4"}, {`(?:ab?){2,4}?c`, "", "aabac", "0:5"}, {`(?:|a)+b`, "", "aab", "0:3"}, {`(?:a|){2}b`, "", "aab", "0:3"}, {`.{0,1100}z`, "s", strings.Repeat("y", 1200) + "z", "100:1201"},
	{`^.{1001}$`, "", strings.Repeat("y", 1001), "0:1001"}, {`^.{1001}$`, "", strings.Repeat("y", 1000), "-"}, {`^(?:ab){1500,}$`, "", strings.Repeat("ab", 1500), "0:3000"}, {`^(?:ab){1500,}$`, "", strings.Repeat("ab", 1499), "-"},
	{`^(?:a{1,30}b){1,40}$`, "", strings.Repeat("aaab", 40), "0:160"}, {`^(?:a{1,30}b){1,40}$`, "", strings.Repeat("aaab", 41), "-"}, {`^(?:(?:ab){2,300}c){2,300}$`, "", strings.Repeat("ababc", 9), "0:45"}, {`(?:(?:a|bc){2}d){150}`, "", strings.Repeat("abcd", 150), "0:600"},
	// possessive and atomic
	{`a++b`, "", "aab", "0:3"}, {`a++a`, "", "aaa", "-"}, {`a*+a`, "", "aa", "-"}, {`a?+a`, "", "a", "-"}, {`a{1,2}+a`, "", "aa", "-"}, {`a{1,2}+a`, "", "aaa", "0:3"}, {`(?:ab)++c`, "", "ababc", "0:5"}, {`(?:a|ab)++c`, "", "abc", "-"},
	{`(?>a*)a`, "", "aa", "-"}, {`(?>a|ab)c`, "", "abc", "-"}, {`(?>a*)b`, "", "aab", "0:3"}, {`((?>a+)b)+`, "", "aabab", "0:5,3:5"}, {`(?>(a+))b`, "", "aab", "0:3,0:2"}, {`"(?>[^"]*)"`, "", `x"ab"`, "1:5"},
	// look-around
	{`a(?=b)`, "", "acab", "2:3"}, {`a(?!b)`, "", "abac", "2:3"}, {`(?=.*b)a`, "", "ca b", "1:2"}, {`(?!abc)a`, "", "abcad", "3:4"}, {`(?<=a)b`, "", "bab", "2:3"}, {`(?<!a)b`, "", "abb", "2:3"}, {`(?<=a|cd)b`, "", "bcdb", "3:4"},
	{`(?<!foo|ba)x`, "", "fooxbaxx", "7:8"}, {`(?<=^|,)a`, "", "b,a", "2:3"}, {`(?<=(a))b\1`, "", "aba", "1:3,0:1"}, {`(?=(a+))\1b`, "", "aab", "0:3,0:2"}, {`(?!(a)b)a`, "", "aba", "2:3"}, {`^(?!.*\bfoo\b).*bar`, "", "a bar", "0:5"},
	{`^(?!.*\bfoo\b).*bar`, "", "foo bar", "-"}, {`(?=a)(?=.b)..c`, "", "abc", "0:3"}, {`(?!)|a`, "", "a", "0:1"}, {`(?=)a`, "", "a", "0:1"}, {`(?<!\d)\d{2}(?!\d)`, "", "123 45", "4:6"}, {`(?:(?=a)\w)+`, "", "aab", "0:2"}, {`(?!(?!a))a`, "", "ba", "1:2"},
	{`(?i)(?=[a4]x?)(?!ax)[a4\xe0][x\xd7]`, "", "AX4X", "2:4"}, {`(?<=\n)a`, "", "b\na", "2:3"}, {`(?<!^)a`, "", "aa", "1:2"}, {`(?=a*$)a`, "", "baab aa", "5:6"}, {`(?<=a{2,3})b`, "", "aab", "2:3"},
	// groups, references
	{`(a)(b)?`, "", "a", "0:1,0:1"}, {`(?<n>a)\k<n>`, "", "baa", "1:3,1:2"}, {`(?P<n>a)(?P=n)`, "", "aa", "0:2,0:1"}, {`(?'n'a)\k'n'\k{n}\g{n}`, "", "aaaa", "0:4,0:1"}, {`(a|b)\1`, "", "abb", "1:3,1:2"}, {`(a|b)\g{1}`, "", "abb", "1:3,1:2"},
	{`(a)(b)\g{-1}\g-2\g1`, "", "abbaa", "0:5,0:1,1:2"}, {`(\w+) \1`, "", "c ab ab", "2:7,2:4"}, {`(a)?\1b`, "", "b", "-"}, {`(a\1|x)+`, "", "xx", "0:2,1:2"}, {`(a|b\1)+`, "", "aba", "0:3,1:3"}, {`(?:(a)|(b))\1`, "", "bb", "-"}, {`(.)(.)\2\1`, "", "xabba", "1:5,1:2,2:3"},
	{`(['"])(.*?)\1`, "", `"it's"`, "0:6,0:1,1:5"}, {`^(.+)\n\1$`, "", "ab\nab", "0:5,0:2"}, {`(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)\10`, "", "abcdefghijj", "0:11,0:1,1:2,2:3,3:4,4:5,5:6,6:7,7:8,8:9,9:10"}, {`(a)\10`, "", "a\b", "0:2,0:1"},
	{`\1(a)|b`, "", "ab", "1:2"}, {`(?n)(a)(?<x>b)`, "", "ab", "0:2,1:2"}, {`(?:(?<n>a)|(?<n>b))\k<n>`, "", "bb", "0:2,-1:-1,0:1"}, {`(a(b(c)))`, "", "abc", "0:3,0:3,1:3,2:3"}, {`()a`, "", "a", "0:1,0:0"}, {`foo\Kbar`, "", "xfoobar", "4:7"},
	// alternation
	{`a|b|`, "", "c", "0:0"}, {`|a`, "", "a", "0:0"}, {`(?:a|b|c|d|e|f)g`, "", "xfg", "1:3"}, {`(?:abc|abd|abe|ab|b)x`, "", "abx", "0:3"}, {`abc|ab`, "", "ab", "0:2"}, {`ab|abc`, "", "abc", "0:2"}, {`(?:a|b|cc|d|ee|)z`, "", "eez", "0:3"},
	{`foo|bar$|^baz`, "", "xbar", "1:4"}, {`(?:x(?:a|b|c|d|e)|y(?:1|2|3|4|5))!`, "", "y3!", "0:3"}, {`(?:\d|\w|\s|.|a|b)\b`, "", "a", "0:1"},
	// /x and comments
	{"a b # c\n c", "x", "abc", "0:3"}, {`a\ b[ ]c`, "x", "a b c", "0:5"}, {`a(?#no ) +b`, "x", "aab", "0:3"}, {`a (?-x: )b`, "x", "a b", "0:3"}, {"(?x) a + # more a\n b", "", "aab", "0:3"}, {`[a b]+`, "xx", "ab", "0:2"},
}

func TestTable(t *testing.T) {
	t.Parallel()
	for _, tc := range table {
		t.Run(tc.src, func(t *testing.T) {
			p, err := pattern.Compile(tc.src, tc.flags)
			if err != nil {
				t.Fatal(err)
			}
			text := []byte(tc.text)
			if have := answer(p, text); have != tc.want {
				t.Errorf("Find: %s, want %s", have, tc.want)
			}
			matched, budget := p.Match(text)
			if budget || matched != (tc.want != "-") {
				t.Errorf("Match: %v, %v", matched, budget)
			}
			var hits []int
			set := pattern.NewSet([]*pattern.Pattern{p})
			set.Matches(set.NewScratch(), text, func(i int) { hits = append(hits, i) }, func(int) { t.Error("skipped") })
			if (len(hits) == 1) != (tc.want != "-") {
				t.Errorf("Set: %v", hits)
			}
		})
	}
	t.Logf("%d rows", len(table))
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ src, flags, want string }{
		{`a(b`, "", "at byte 1: unmatched ("}, {`a)b`, "", "at byte 1: unmatched )"}, {`[ab`, "", "at byte 0: unmatched ["}, {`*a`, "", "follows nothing"}, {`a**`, "", "at byte 2: nested quantifiers"}, {`a{2}{3}`, "", "nested quantifiers"}, {`a\`, "", "backslash at the end"},
		{`(?<n`, "", "group's name"}, {`(?<1a>b)`, "", "group's name"}, {`\k<x>`, "", "does not exist"}, {`(a)\2`, "", "reference to group 2, but there are 1"}, {`[z-a]`, "", "backwards"}, {`[[:foo:]]`, "", "[:foo:] is unknown"}, {`(?R)`, "", "recursion"}, {`(?1)`, "", "recursion"},
		{`(?(1)a|b)`, "", "conditional"}, {`(?|a)`, "", "branch reset"}, {`(*SKIP)a`, "", "verbs"}, {`(?{1})`, "", "code"}, {`[\N]`, "", "no place"}, {`[\R]`, "", "no place"}, {`\G`, "", `\G is not supported`}, {`\X`, "", `\X`}, {`\p{L}`, "", `\p`}, {`\b{wb}`, "", `\b{..}`}, {`\N{SPACE}`, "", "name"}, {`(?z)a`, "", "(?z"}, {`a`, "g", "unknown flag"},
		{`(?<=a*)b`, "", "255"}, {`a{70000}`, "", "65534"}, {`(?#a`, "", "not closed"}, {`\x{zz}`, "", "bad number"}, {`\x{41`, "", "not closed"}, {strings.Repeat("(", 300) + strings.Repeat(")", 300), "", "nested more than 250"}, {strings.Repeat("a", 1<<20+1), "", "longer than"},
		{strings.Repeat("()", 1001), "", "capturing groups"}, {`\g{`, "", "not closed"}, {`\g`, "", "reference to nothing"}, {`(?i`, "", "unmatched"}, {`(?`, "", "unmatched"}, {`\`, "", "backslash"}, {`[\`, "", "backslash"}, {`(`, "", "unmatched"}, {`(?<!a+)b`, "", "lookbehind"},
	} {
		t.Run(fmt.Sprintf("%.20s", tc.src), func(t *testing.T) {
			_, err := pattern.Compile(tc.src, tc.flags)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
