package rules_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/mail"
	"postern/internal/rules"
)

// letter is the message that the tables run on.
const letter = "Received: from mx.sender.example (mx.sender.example [192.0.2.1]) by gw.example (Postfix) with ESMTP id 4AB for <bob@there.example>; Sat, 21 Nov 2026 10:00:00 +0000\n" +
	"From: \"Anna Example\" <anna@sender.example>\n" +
	"To: bob@there.example, carl@there.example\n" +
	"Cc: dora@there.example\n" +
	"Subject: =?utf-8?q?Caf=C3=A9?= money offer\n" +
	"Message-ID: <1@sender.example>\n" +
	"Date: Sat, 21 Nov 2026 10:00:00 +0000\n" +
	"MIME-Version: 1.0\n" +
	"Content-Type: multipart/alternative; boundary=b\n" +
	"\n--b\nContent-Type: text/plain\n\nDear friend,  buy\nnow. buy again.\n\nSee http://www.shop.example/x?y=1 and bit.example\n" +
	"--b\nContent-Type: text/html\n\n<html><title>T</title><body bgcolor=white>Hello <a href=\"http://evil.example/a\">https://bank.example</a> <img src=x.png width=10 height=10><font color=white>hidden</font></body></html>\n--b--\n"

// tlds are needed where names in text count.
const tlds = "util_rb_tld example com\n"

func run(t *testing.T, text, message string, set int) (map[string]float64, *rules.LoadReport) {
	t.Helper()
	s, report := rules.Parse([]rules.File{{Name: "test.cf", Text: []byte(tlds + text)}}, rules.Options{Local: true})
	r := s.Run(rules.NewView(mail.Parse([]byte(message), mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{ScoreSet: set})
	hits := map[string]float64{}
	for _, h := range append(r.Hits, r.Subs...) {
		hits[h.Rule] = h.Value
	}
	return hits, report
}

// TestHits: A is the rule at work; it hits, or with "no" it does not. Every kind of rule has a near miss.
func TestHits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"header", "header A Subject =~ /money/", "A"},
		{"header is decoded", "header A Subject =~ /Caf\\xc3\\xa9/", "A"},
		{"header raw", "header A Subject:raw =~ /=\\?utf-8/", "A"},
		{"header not raw", "header A Subject =~ /utf-8/", ""},
		{"header negated", "header A Subject !~ /pills/", "A"},
		{"header negated near miss", "header A Subject !~ /money/", ""},
		{"header missing matches empty", "header A X-None =~ /^$/", "A"},
		{"header missing negated", "header A X-None !~ /x/", "A"},
		{"if-unset", "header A X-None =~ /^UNSET$/ [if-unset: UNSET]", "A"},
		{"if-unset but set", "header A Subject =~ /^UNSET$/ [if-unset: UNSET]", ""},
		{"exists", "header A exists:Cc", "A"},
		{"exists near miss", "header A exists:Bcc", ""},
		{"addr", "header A From:addr =~ /^anna\\@sender\\.example$/", "A"},
		{"addr many", "header A To:addr =~ /carl/", "A"},
		{"addr first", "header A To:first:addr =~ /bob/", "A"},
		{"name", "header A From:name =~ /^Anna Example$/", "A"},
		{"domain", "header A From:addr:domain =~ /^sender\\.example$/", "A"},
		{"host", "header A Received:host =~ /example/", "A"},
		{"ip", "header A Received:ip =~ /^192\\.0\\.2\\.1$/", "A"},
		{"revip", "header A Received:revip =~ /^1\\.2\\.0\\.192$/", "A"},
		{"ToCc", "header A ToCc =~ /dora/", "A"},
		{"MESSAGEID", "header A MESSAGEID =~ /<1\\@/", "A"},
		{"ALL", "header A ALL =~ /^Subject: Caf/m", "A"},
		{"ALL-EXTERNAL", "header A ALL-EXTERNAL =~ /^From:/m", "A"},
		{"relays", "header A X-Spam-Relays-External =~ /^\\[ ip=192\\.0\\.2\\.1 rdns=mx\\.sender\\.example helo=mx\\.sender\\.example by=gw\\.example /", "A"},
		{"relays none trusted", "header A X-Spam-Relays-Trusted =~ /./", ""},
		{"body joins lines", "body A /buy now/", "A"},
		{"body sees the subject first", "body A /^Caf.* money offer$/", "A"},
		{"body nosubject", "body A /money offer/\ntflags A nosubject", ""},
		{"body sees rendered HTML", "body A /Hello https:..bank/", "A"},
		{"body sees no tags", "body A /<a href/", ""},
		{"body pattern in braces", "body A m{dear}i", "A"},
		{"rawbody", "rawbody A /<a href=.http/", "A"},
		{"rawbody keeps line ends", "rawbody A /buy\\nnow/", "A"},
		{"full", "full A /^Received:.*--b--/s", "A"},
		{"uri in text", "uri A m;^http://www\\.shop\\.example/x;", "A"},
		{"uri in HTML", "uri A /evil\\.example/", "A"},
		{"uri without scheme", "uri A m;^http://bit\\.example$;", "A"},
		{"uri near miss", "uri A /bank\\.invalid/", ""},
		{"uri_detail", "uri_detail A domain =~ /^evil/ text =~ /bank/", "A"},
		{"uri_detail near miss", "uri_detail A domain =~ /^shop/ text =~ /bank/", ""},
		{"mimeheader", "mimeheader A Content-Type =~ /^text.html/", "A"},
		{"mimeheader range", "mimeheader A Content-Type =~ /^text.html/\ntflags A range=1-2", ""},
		{"mimeheader concat", "mimeheader A Content-Type =~ /plain\\ntext.html/\ntflags A concat", "A"},
		{"meta and", "body __A /buy/\nheader __B Subject =~ /money/\nmeta A __A && __B", "A"},
		{"meta not", "body __A /pills/\nmeta A !__A", "A"},
		{"meta sums", "body __A /buy/\nbody __B /Dear/\nbody __C /pills/\nmeta A (__A + __B + __C) > 1", "A"},
		{"meta sums near miss", "body __A /buy/\nbody __B /Dear/\nbody __C /pills/\nmeta A (__A + __B + __C) > 2", ""},
		{"meta of metas in any order", "meta A __M\nmeta __M __N || __O\nbody __N /buy/", "A"},
		{"meta unknown counts 0", "meta A __NOWHERE + 1 == 1", "A"},
		{"meta empty", "meta A ()", ""},
		{"meta xor", "body __A /buy/\nmeta A __A ^ 0", "A"},
		{"meta rules_matching", "body __XA /buy/\nscore __XA 1\nbody __XB /Dear/\nscore __XB 1\nmeta A rules_matching(__X?) == 2", "A"},
		{"meta local_tests_only", "meta A local_tests_only", "A"},
		{"meta with division by zero", "meta A 1 / 0", ""},
		{"multiple", "body __A /buy/\ntflags __A multiple\nmeta A __A == 2", "A"},
		{"maxhits", "body __A /buy/\ntflags __A multiple maxhits=1\nmeta A __A == 1", "A"},
		{"not multiple", "body __A /buy/\nmeta A __A == 1", "A"},
		{"replace tags", "replace_tag X [bp]\nreplace_inter S \\s*\nreplace_post P +\nbody A /<inter S><post P><X>uy/i\nreplace_rules A", "A"},
		{"nested replace tags", "replace_tag Y u\nreplace_tag X b<Y>y\nbody A /<X> now/\nreplace_rules A", "A"},
		{"captures", "header __C From:addr =~ /\\@(?<DOM>\\w+)\\./\nheader A Message-ID =~ /%{DOM}/", "A"},
		{"captures unset", "header __C From:addr =~ /(?<DOM>nobody)/\nheader A Message-ID =~ /%{DOM}|1/", ""},
		{"score 0 does not run", "body A /buy/\nscore A 0", ""},
		{"later definition wins", "body A /pills/\nbody A /buy/", "A"},
		{"back-reference", "body A /\\b(buy) .*\\1/", "A"},
		{"lookahead", "body A /Dear (?!enemy)/", "A"},
		{"comment and \\#", "body A /buy/ # all\nrawbody __B /\\#/", "A"},
		{"if true", "if (version >= 3.004) && !(version > 9)\nbody A /buy/\nendif", "A"},
		{"if false", "if (version < 3.004)\nbody A /buy/\nendif", ""},
		{"else", "if (version < 3.004)\nbody A /pills/\nelse\nbody A /buy/\nendif", "A"},
		{"ifplugin", "ifplugin Mail::SpamAssassin::Plugin::HTMLEval\nbody A /buy/\nendif", "A"},
		{"ifplugin absent", "ifplugin Mail::SpamAssassin::Plugin::Nowhere\nbody A /buy/\nendif", ""},
		{"plugin, can, has", "if plugin(Mail::SpamAssassin::Plugin::DKIM) && can(Mail::SpamAssassin::Conf::feature_capture_rules) && has(Mail::SpamAssassin::Plugin::BodyEval::has_check_body_length) && !can(Mail::SpamAssassin::Conf::feature_none)\nbody A /buy/\nendif", "A"},
		{"perl_version and local_tests_only", "if (perl_version >= 5.010) && local_tests_only\nbody A /buy/\nendif", "A"},
		{"enable_compat", "enable_compat old_names\nif can(Mail::SpamAssassin::Conf::compat_old_names)\nbody A /buy/\nendif", "A"},
		{"loadplugin", "loadplugin Mail::SpamAssassin::Plugin::Mine\nifplugin Mail::SpamAssassin::Plugin::Mine\nbody A /buy/\nendif", "A"},
		{"nested if in a false one", "if (version < 1)\nif (version > 1)\nbody A /buy/\nelse\nbody A /buy/\nendif\nendif", ""},
		{"require_version of another", "require_version 9.9\nbody A /buy/", ""},
		{"html_tag_exists", "body A eval:html_tag_exists('img')", "A"},
		{"html_test", "body A eval:html_test('font_low_contrast')", "A"},
		{"html_range", "body A eval:html_range('length', '100', '1000')", "A"},
		{"html_image_only", "body A eval:html_image_only(0, 400)", "A"},
		{"html_image_only near miss", "body A eval:html_image_only(400, 800)", ""},
		{"html_text_match", "body A eval:html_text_match('anchor', 'bank')", "A"},
		{"https mismatch", "body A eval:check_https_http_mismatch('1', '10')", "A"},
		{"multipart difference", "body A eval:multipart_alternative_difference('99', '100')", "A"},
		{"mime html only", "body A eval:check_for_mime_html_only()", ""},
		{"mime html", "body A eval:check_for_mime_html()", "A"},
		{"shifted date", "header A eval:check_for_shifted_date('undef', '3')", "A"},
		{"shifted date near miss", "header A eval:check_for_shifted_date('3', 'undef')", ""},
		{"freemail", "freemail_domains sender.example\nheader A eval:check_freemail_from()", "A"},
		{"freemail welcome", "freemail_domains sender.example\nfreemail_welcomelist anna@sender.example\nheader A eval:check_freemail_from()", ""},
		{"freemail glob", "freemail_domains *.example\nheader A eval:check_freemail_header('From')", "A"},
		{"welcomelist", "welcomelist_from *@sender.example\nheader A eval:check_from_in_welcomelist()", "A"},
		{"whitelist_from_rcvd", "whitelist_from_rcvd *@sender.example sender.example\nheader A eval:check_from_in_whitelist()", "A"},
		{"whitelist_from_rcvd other relay", "whitelist_from_rcvd *@sender.example other.example\nheader A eval:check_from_in_whitelist()", ""},
		{"blocklist_to", "blocklist_to dora@there.example\nheader A eval:check_to_in_blocklist()", "A"},
		{"addrlist", "enlist_addrlist (L) *@sender.example\nheader A eval:check_from_in_list('L')", "A"},
		{"uri host", "enlist_uri_host (L) evil.example\nbody A eval:check_uri_host_listed('L')", "A"},
		{"uri host excepted", "enlist_uri_host (L) example !evil.example !bank.example !www.shop.example !bit.example !x.png !sender.example !there.example\nbody A eval:check_uri_host_listed('L')", ""},
		{"all trusted", "header A eval:check_all_trusted()", ""},
		{"uppercase", "body A eval:check_for_uppercase('0', '50')", ""},
		{"body length", "body A eval:check_body_length('4096')", "A"},
		{"image count none", "body A eval:image_count('all', 1)", ""},
		{"redirector", "redirector_pattern m'/x\\?y=(\\d)'\nuri A /shop/", "A"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			hits, report := run(t, tc.text+"\n", letter, 0)
			if got := hits["A"] > 0; got != (tc.want == "A") {
				t.Errorf("hit %v, want %v; all hits %v; problems %v", got, tc.want == "A", hits, report.Problems)
			}
		})
	}
}

// TestScores: columns, defaults, relative scores.
func TestScores(t *testing.T) {
	t.Parallel()
	s, _ := rules.Parse([]rules.File{{Name: "x.cf", Text: []byte("body A /x/\nbody T_B /x/\nbody C /x/\ntflags C nice\nbody D /x/\nscore D 1 2 3 4\n" +
		"body E /x/\nscore E 2\nscore E (1)\nbody F /x/\nscore F 1\nscore F (1) (2) (3) (4)\nbody T_G /x/\ntflags T_G nice\n")}}, rules.Options{})
	for name, want := range map[string][4]float64{"A": {1, 1, 1, 1}, "T_B": {.01, .01, .01, .01}, "C": {-1, -1, -1, -1}, "D": {1, 2, 3, 4},
		"E": {3, 3, 3, 3}, "F": {2, 3, 4, 5}, "T_G": {-.01, -.01, -.01, -.01}} {
		if got := s.Rule(name).Scores; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// TestScoreSets: a rule without points in a set does not run there; sub-rules run and add nothing.
func TestScoreSets(t *testing.T) {
	t.Parallel()
	const text = "body A /buy/\nscore A 0 1 0 1.5\nbody __S /buy/\n"
	for set, want := range []float64{0, 1, 0, 1.5} {
		s, _ := rules.Parse([]rules.File{{Name: "x.cf", Text: []byte(text)}}, rules.Options{})
		r := s.Run(rules.NewView(mail.Parse([]byte(letter), mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{ScoreSet: set})
		if r.Score != want || len(r.Subs) != 1 {
			t.Errorf("set %d: %v, want %v points", set, r, want)
		}
	}
}

// TestReport: nothing that is not used goes unsaid.
func TestReport(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, text, want string }{
		{"unknown directive", "frobnicate 1", "is not known"},
		{"no delimiters", "body A buy", "no delimiters"},
		{"no end", "body A /buy", "no closing"},
		{"delimiter inside", "body A /a/b/", "stands unquoted"},
		{"bad pattern", "body A /(/", "cannot be used"},
		{"code in pattern", "body A /(?{ 1 })/", "Perl code"},
		{"bad flag", "body A /x/E", "is no flag"},
		{"bad name", "body 1A /x/", "rule name"},
		{"no value", "body A", "needs a value"},
		{"bad header test", "header A Subject ~ /x/", "expected a header"},
		{"bad modifier", "header A Subject:upper =~ /x/", "no modifier"},
		{"bad meta", "meta A (B &&", "ends too early"},
		{"meta with odd characters", "meta A B; C", "not allowed"},
		{"cycle", "meta A B\nmeta B A", "depends on itself"},
		{"missing dependency", "meta A B", "not defined"},
		{"unknown eval", "body A eval:check_moon_phase()", "not supported"},
		{"bad eval arguments", "body A eval:html_test($x)", "cannot be read"},
		{"too few eval arguments", "body A eval:html_test()", "takes 1 to 1"},
		{"bad score", "score A high", "no score"},
		{"two scores", "score A 1 2", "one score or four"},
		{"unclosed if", "if (version > 1)", "not closed"},
		{"endif alone", "endif", "without an if"},
		{"else alone", "else", "without an if"},
		{"bad condition", "if version >\nendif", "cannot be read"},
		{"other version", "require_version 3.0", "wants SpamAssassin"},
		{"list without name", "enlist_uri_host x.example", "name of a list"},
		{"setting not followed", "trusted_networks 192.0.2.0/24", "is not followed"},
		{"long line", "body A /" + strings.Repeat("x", 300<<10) + "/", "too long"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, report := run(t, "# first\n"+tc.text+"\n", letter, 0)
			for _, p := range report.Problems {
				if strings.Contains(p.Reason, tc.want) && p.Where.File == "test.cf" && p.Where.Line >= 2 {
					return
				}
			}
			t.Errorf("no problem says %q: %v", tc.want, report.Problems)
		})
	}
}

// TestNetwork: rules that ask the network are loaded, listed and not run.
func TestNetwork(t *testing.T) {
	t.Parallel()
	hits, report := run(t, "header A eval:check_rbl('x', 'x.example.')\nheader B eval:check_for_spf_pass()\naskdns C _SENDERDOMAIN_.x.example A 1\nbody D eval:check_bayes('0.99', '1')\nmeta E !A\n", letter, 0)
	if strings.Join(report.Network, " ") != "A B C D" || hits["A"]+hits["B"]+hits["C"]+hits["D"] != 0 || hits["E"] != 1 {
		t.Errorf("network %v, hits %v", report.Network, hits)
	}
}

// TestDescribe: texts in languages.
func TestDescribe(t *testing.T) {
	t.Parallel()
	s, _ := rules.Parse([]rules.File{{Name: "x.cf", Text: []byte("body A /x/\ndescribe A Hello\nlang fr describe A Bonjour\n")}}, rules.Options{})
	for language, want := range map[string]string{"": "Hello", "en": "Hello", "fr": "Bonjour", "de": "Hello"} {
		if got := s.Describe("A", language); got != want {
			t.Errorf("%q: %q", language, got)
		}
	}
}

// TestEvidence is one short valid line.
func TestEvidence(t *testing.T) {
	t.Parallel()
	s, _ := rules.Parse([]rules.File{{Name: "x.cf", Text: []byte("body A /buy.*/\nrawbody B /Dear.*/s\n")}}, rules.Options{})
	r := s.Run(rules.NewView(mail.Parse([]byte(letter), mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
	for _, h := range r.Hits {
		if h.Evidence == "" || len(h.Evidence) > 200 || strings.ContainsAny(h.Evidence, "\r\n\t") {
			t.Errorf("%s: %q", h.Rule, h.Evidence)
		}
	}
}

// TestContext: what has not run when time is up is skipped, not clean.
func TestContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, _ := rules.Parse([]rules.File{{Name: "x.cf", Text: []byte("body A /buy/\n")}}, rules.Options{})
	r := s.Run(rules.NewView(mail.Parse([]byte(letter), mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{Context: ctx})
	if len(r.Hits) != 0 || len(r.Skipped) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestLoad: folders in order of names; other files are left alone.
func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"20_b.cf": "score A 3\n", "10_a.cf": "body A /x/\nscore A 2\n", "readme.txt": "nonsense\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, report, err := rules.Load([]string{dir}, rules.Options{})
	if err != nil || report.Files != 2 || s.Rule("A").Scores[0] != 3 || len(report.Problems) != 0 {
		t.Errorf("%v %+v", err, report)
	}
	if _, _, err := rules.Load([]string{t.TempDir()}, rules.Options{}); !errors.Is(err, rules.ErrNoRules) {
		t.Errorf("empty folder: %v", err)
	}
	if _, _, err := rules.Load([]string{filepath.Join(dir, "none")}, rules.Options{}); err == nil {
		t.Error("missing folder: no error")
	}
}

// stock is where SpamAssassin's own rules are, when it is installed.
const stock = "/usr/share/spamassassin"

// TestStockRules: of the rules that SpamAssassin installs, all load, and all that need no network can run.
func TestStockRules(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(filepath.Join(stock, "72_active.cf")); err != nil {
		t.Skip("SpamAssassin's rules are not installed in " + stock)
	}
	s, report, err := rules.Load([]string{stock}, rules.Options{Local: true})
	if err != nil {
		t.Fatal(err)
	}
	if bad := s.Unsupported(); len(bad) > 0 {
		t.Errorf("cannot run: %v", bad)
	}
	for _, p := range report.Problems {
		if !p.Harmless {
			t.Errorf("%+v", p)
		}
	}
	r := s.Run(rules.NewView(mail.Parse([]byte(letter), mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
	if len(r.Skipped) > 0 || len(r.Hits) == 0 {
		t.Errorf("%+v", r)
	}
}

func BenchmarkStockRules(b *testing.B) {
	s, _, err := rules.Load([]string{stock}, rules.Options{Local: true})
	if err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		s.Run(rules.NewView(mail.Parse([]byte(letter), mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
	}
}
