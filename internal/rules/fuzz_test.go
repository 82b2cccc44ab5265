package rules_test

import (
	"testing"

	"postern/internal/mail"
	"postern/internal/rules"
)

// FuzzParse: rule files never crash the parser nor the run of what was made of them.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"header A Subject =~ /x/i\nscore A 1 2 3 4\ndescribe A text\nlang fr describe A texte\n",
		"body __B /a<X>b/\nreplace_tag X [x]\nreplace_rules __B\nmeta C (A && !B) + 2 > 1\n",
		"if (version >= 4.0) && plugin(Mail::SpamAssassin::Plugin::DKIM)\nuri U m{x}\nelse\nfull F /x/\nendif\n",
		"header E eval:check_for_shifted_date('-3', \"undef\")\nmimeheader M Content-Type =~ /x/ [if-unset: y]\ntflags M multiple maxhits=2 range=1-2 concat\n",
		"uri_detail D domain =~ /a/ text !~ /b/\nredirector_pattern m'/r\\?u=(.*)$'i\nenlist_uri_host (L) a.example !b.example\n",
		"header __C From:addr =~ /(?<DOM>\\w+)@/\nbody __D /%{DOM}/\nmeta X rules_matching(__*)\nmeta Y Z\nmeta Z Y\n",
	} {
		f.Add([]byte(s))
	}
	m := mail.Parse([]byte("From: a@b.example\r\nSubject: x\r\n\r\nhello http://c.example/x\r\n"), mail.DefaultLimits())
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<16 {
			return
		}
		set, report := rules.Parse([]rules.File{{Name: "x.cf", Text: text}}, rules.Options{})
		if report.Rules != len(set.Rules()) {
			t.Fatalf("report says %d rules, the set has %d", report.Rules, len(set.Rules()))
		}
		set.Run(rules.NewView(m, rules.ViewOptions{}), rules.RunOptions{})
	})
}

// FuzzView: no message crashes what rules see, and its parts keep their bounds.
func FuzzView(f *testing.F) {
	f.Add([]byte(letter))
	f.Add([]byte("Received: from a (b [192.0.2.1]) by c (Postfix) with ESMTP id x; Sat, 21 Nov 2026 10:00:00 +0000\nSubject: =?utf-8?b?w6k=?=\n =?utf-8?q?=C3?=\n\nwww.x.example a@b.example <http://1.2.3.4/%41>"))
	f.Add([]byte("Content-Type: text/html\n\n<a href='//x.example'>x<!-- <script>y</script><title>z<b style='color:rgb(1,2,3);display:none'>&#149;&eacute;<plaintext>"))
	f.Add([]byte("Content-Type: image/gif; name=a.html\nContent-Transfer-Encoding: base64\n\nR0lGODlhAQABAIAAAP=\n"))
	set, _ := rules.Parse([]rules.File{{Name: "x.cf", Text: []byte(tlds + "header A ALL =~ /x/\nheader B X-Spam-Relays-External =~ /ip=/\nbody C /x/\nrawbody D /x/\nuri E /x/\n" +
		"body F eval:html_range('length', '1', 'inf')\nbody G eval:check_https_http_mismatch()\nheader H eval:check_for_shifted_date('1', '2')\nheader I eval:check_freemail_replyto()\n" +
		"freemail_domains x.example\nbody J eval:image_count('all', 1)\nbody K eval:multipart_alternative_difference('1', '2')\nheader L From:name =~ /x/\nheader M From:addr:domain =~ /x/\n" +
		"body N eval:check_stock_info('1')\nheader O eval:check_for_forged_received_trail()\nmimeheader P ALL =~ /x/\nheader Q eval:similar_recipients('0.1', 'undef')\n")}}, rules.Options{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1<<16 {
			return
		}
		v := rules.NewView(mail.Parse(raw, mail.DefaultLimits()), rules.ViewOptions{})
		set.Run(v, rules.RunOptions{})
		for _, line := range set.Texts(v).Body {
			if len(line) > 2048+1 {
				t.Fatalf("a body line has %d bytes", len(line))
			}
		}
	})
}

// FuzzDamaged: no message, however damaged, breaks what rules see of it.
func FuzzDamaged(f *testing.F) {
	f.Add("From: \"a\\\" <b@c> (d (e)), f@g;\nReply-To: <x@y\nContent-Type: multipart/mixed; boundary=\"b\n\n--b\nA: b\n--b\n\ntext\n--b--\nx")
	f.Add("x\ny\nz\nq\nContent-Type: text/html\r\n\r\n<a href=http://0x1.2.3.0/>=?x?b?=?= <title>")
	f.Add("From a\nReceived: from x (y [1.2.3.4]) by z; 1 Jan 20 25:61:61 +9999\nSubject: =?iso-2022-jp?B?GyRC?=\nContent-Transfer-Encoding: base64\n\nAA=BB===C")
	set, _ := rules.Parse([]rules.File{{Name: "x.cf", Text: []byte(tlds + "header A From:addr =~ /x/\nheader B ToCc:name =~ /x/\nheader C ALL:raw =~ /(.)\\1{5}/\nheader D X-Spam-Relays-External =~ /ip=/\n" +
		"body E /e/\ntflags E multiple\nheader F eval:check_freemail_replyto('reply')\nbody G eval:check_base64_length('79')\nbody H eval:html_test('font_low_contrast')\nuri I /x/\nrawbody J /y/\n")}}, rules.Options{Local: true})
	f.Fuzz(func(t *testing.T, message string) {
		r := set.Run(rules.NewView(mail.Parse([]byte(message), mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
		if r.Spent.Steps > rules.MostSteps {
			t.Errorf("%+v", r.Spent)
		}
	})
}
