package rules_test

import (
	"strings"
	"testing"

	"postern/internal/rules"
)

// TestEvals: every call has a message it hits and a near miss.
func TestEvals(t *testing.T) {
	t.Parallel()
	base := "Received: from mx.sender.example (mx.sender.example [192.0.2.1]) by gw.example (Postfix) with ESMTP id 4AB; Sat, 21 Nov 2026 10:00:00 +0000\n" +
		"From: Anna <anna@sender.example>\nTo: bob@there.example\nSubject: Hello there\nMessage-ID: <1@sender.example>\nDate: Sat, 21 Nov 2026 10:00:00 +0000\nMIME-Version: 1.0\n"
	with := func(field string) string {
		return strings.Replace(base, "MIME-Version: 1.0\n", field+"\nMIME-Version: 1.0\n", 1)
	}
	without := func(field string) string {
		at := strings.Index(base, "\n"+field+":") + 1
		return base[:at] + base[at+strings.IndexByte(base[at:], '\n')+1:]
	}
	html := func(body string) string {
		return base + "Content-Type: text/html\n\n<html><body>" + body + "</body></html>\n"
	}
	alternative := func(text, page string) string {
		return base + "Content-Type: multipart/alternative; boundary=b\n\n--b\n\n" + text + "\n--b\nContent-Type: text/html\n\n" + page + "\n--b--\n"
	}
	plain := base + "\nbody\n"
	const gif = "Content-Type: image/gif; name=\"a.gif\"\nContent-Transfer-Encoding: base64\n\nR0lGODlhZADIAAAAACwAAAAA\n" // 100 x 200
	const jpeg = "Content-Type: image/jpeg\nContent-Transfer-Encoding: base64\n\n/9j/wAARCADIAGQDASIAAhEBAxEB\n"           // 100 x 200
	for _, tc := range []struct{ name, rule, hit, miss string }{
		{"blank lines", "body A eval:check_blank_line_ratio('0', '60', '3')", base + "\na\n\nb\nc\nd\n", base + "\n\n\n\na\n\n\n\n"},
		{"body length", "body A eval:check_body_length('6')", base + "\nbody\n", base + "\nbody is long\n"},
		{"plain length", "body A eval:plaintext_body_length('5', '100')", plain, base + "\nab\n"},
		{"signature length", "body A eval:plaintext_sig_length('5', '100')", base + "\nbody\n-- \nAnna Example\n", plain},
		{"signature ratio", "body A eval:plaintext_body_sig_ratio('0', '1')", base + "\nab\n-- \nAnna Example\n", base + "\na long body of a letter\n-- \nAnna!\n"},
		{"stock info", "body A eval:check_stock_info('2')", base + "\nSymbol: ABCD\nCurrent Price: $1.20\nTarget Price: $5\n", base + "\nSymbol: ABCD\n"},
		{"no hotmail received", "header A eval:check_for_no_hotmail_received_headers()", strings.Replace(plain, "anna@sender.example", "anna@hotmail.com", 1), plain},
		{"forged hotmail", "header A eval:check_for_forged_hotmail_received_headers()", strings.Replace(plain, "from mx.sender.example (", "from x.hotmail.com (", 1), plain},
		{"forged yahoo", "header A eval:check_for_forged_yahoo_received_headers()", strings.Replace(plain, "anna@sender.example", "anna@yahoo.com", 1),
			strings.Replace(strings.Replace(plain, "anna@sender.example", "anna@yahoo.com", 1), "by gw.example", "by web1.mail.yahoo.com via HTTP, by gw.example", 1)},
		{"forged juno", "header A eval:check_for_forged_juno_received_headers()", strings.Replace(plain, "anna@sender.example", "anna@juno.com", 1), plain},
		{"forged gmail", "header A eval:check_for_forged_gmail_received_headers()", strings.Replace(plain, "anna@sender.example", "anna@gmail.com", 1), plain},
		{"eudoramail", "header A eval:check_for_forged_eudoramail_received_headers()", strings.Replace(plain, "anna@sender.example", "anna@eudoramail.com", 1), plain},
		{"free mail in the body", "freemail_domains free.example\nbody A eval:check_freemail_body()", base + "\nwrite to carl@free.example now\n", base + "\ncarl@free.example wrote:\n"},
		{"answer to another free mailbox", "freemail_domains free.example\nheader A eval:check_freemail_replyto('reply')",
			strings.Replace(base, "anna@sender.example", "anna@free.example", 1) + "\nwrite to carl@free.example now\n", strings.Replace(base, "anna@sender.example", "anna@free.example", 1) + "\nwrite to anna@free.example now\n"},
		{"illegal characters", "header A eval:check_illegal_chars('Subject', '0.00', '2')", strings.Replace(plain, "Hello there", "H\xe9llo th\xe9re \xe0\xe1", 1), plain},
		{"sorted recipients", "header A eval:sorted_recipients()", strings.Replace(plain, "bob@there.example", "a@x.example, b@x.example, c@x.example, d@x.example, e@x.example, f@x.example, g@x.example", 1),
			strings.Replace(plain, "bob@there.example", "g@x.example, b@x.example, a@x.example, d@x.example, c@x.example, f@x.example, e@x.example", 1)},
		{"similar recipients", "header A eval:similar_recipients('0.65', 'undef')", strings.Replace(plain, "bob@there.example", "bob1@x.example, bob2@x.example, bob3@x.example, bob4@x.example, bob5@x.example, bob6@x.example", 1), plain},
		{"missing To", "header A eval:check_for_missing_to_header()", without("To") + "\nbody\n", plain},
		{"shifted date", "header A eval:check_for_shifted_date('24', '48')", strings.Replace(plain, "Date: Sat, 21", "Date: Sun, 22", 1), plain},
		{"capitals in the subject", "header A eval:subject_is_all_caps()", strings.Replace(plain, "Hello there", "HELLO THERE YOU", 1), plain},
		{"address in the subject", "header A eval:check_for_to_in_subject('address')", strings.Replace(plain, "Hello there", "for bob@there.example", 1), plain},
		{"user in the subject", "header A eval:check_for_to_in_subject('user')", strings.Replace(plain, "Hello there", "bob, a word", 1), plain},
		{"number of fields", "header A eval:check_header_count_range('Subject', '2', '999')", with("Subject: again") + "\nbody\n", plain},
		{"equal domains", "header A eval:check_equal_from_domains()", "Return-Path: <x@other.example>\n" + plain, plain},
		{"tag balance", "body A eval:html_tag_balance('b', '> 0')", html("<b>x"), html("<b>x</b>")},
		{"image ratio", "body A eval:html_image_ratio('0.000', '0.5')", html("<img src=x.png width=100 height=100>words"), html("<img src=x.png width=2 height=2>" + strings.Repeat("words ", 40))},
		{"title ratio", "body A eval:html_title_subject_ratio('3')", html("<title>" + strings.Repeat("long ", 20) + "</title>x"), html("<title>Hello</title>x")},
		{"frame source", "body A eval:check_iframe_src()", html("<iframe src=\"cid:x\"></iframe>"), html("<img src=\"cid:x\">")},
		{"https to an address", "body A eval:check_https_ip_mismatch()", html("<a href=\"http://192.0.2.7/x\">https://bank.example/</a>"), html("<a href=\"https://bank.example/\">https://bank.example/</a>")},
		{"redirector", "body A eval:check_for_http_redirector()", base + "\nhttp://a.example/http://b.example/\n", base + "\nhttp://a.example/b\n"},
		{"white on white", "body A eval:html_test('font_low_contrast')", html("<font color=\"#fefefe\">x</font>"), html("<font color=black>x</font>")},
		{"white on white by style", "body A eval:html_test('font_low_contrast')", html("<div style=\"background-color: black\"><span style=\"color: rgb(1,1,1)\">x</span></div>"), html("<span style=\"color: rgb(1,1,1)\">x</span>")},
		{"font size", "body A eval:html_eval('max_size', '> 4')", html("<font size=+3>x</font>"), html("<font size=3>x</font>")},
		{"image by size", "body A eval:image_size_exact('gif', '200', '100')", base + gif, base + jpeg},
		{"image by range", "body A eval:image_size_range('jpeg', '150', '50', '250', '150')", base + jpeg, base + gif},
		{"image by name", "body A eval:image_named('a.gif')", base + gif, base + jpeg},
		{"pixels", "body A eval:pixel_coverage('all', '15000', '25000')", base + gif, plain},
		{"welcome relay", "welcomelist_bounce_relays gw.example\nbody A eval:have_any_bounce_relays()", plain, ""},
		{"own relay in a bounce", "welcomelist_bounce_relays gw.example\nbody A eval:check_welcomelist_bounce_relays()", base + "\nReceived: from x.example by gw.example with ESMTP\n", base + "\nReceived: from x.example by other.example with ESMTP\n"},
		{"to list", "enlist_addrlist (L) *@there.example\nheader A eval:check_to_in_list('L')", plain, strings.ReplaceAll(plain, "there.example", "else.example")},
		{"reply to list", "enlist_addrlist (L) *@r.example\nheader A eval:check_replyto_in_list('L')", with("Reply-To: x@r.example") + "\nbody\n", plain},
		{"ratio of parts", "header A eval:check_mime_multipart_ratio('0', '0.5')", alternative("a", "<p>"+strings.Repeat("words ", 30)), alternative(strings.Repeat("words ", 30), "<p>a")},
		{"illegal in ASCII", "body A eval:check_for_ascii_text_illegal()", base + "Content-Type: text/plain; charset=us-ascii\n\ncaf\xe9\n", base + "Content-Type: text/plain; charset=us-ascii\n\ncafe\n"},
		{"hidden characters", "body A eval:check_abundant_unicode_ratio('0.02')", base + "\n&#xD83D;&#xDE00;&#x2014; abc\n", plain},
		{"upper case", "body A eval:check_for_uppercase('50', '75')", base + "\n" + strings.Repeat("SHOUT LOUD quiet ", 20) + "\n", base + "\n" + strings.Repeat("all quiet here ", 20) + "\n"},
		{"odd alternative", "body A eval:check_ma_non_text()", base + "Content-Type: multipart/alternative; boundary=b\n\n--b\n\nx\n--b\nContent-Type: application/x-thing\n\ny\n--b--\n", alternative("x", "x")},
		{"long base64", "body A eval:check_base64_length('79')", base + "Content-Transfer-Encoding: base64\n\n" + strings.Repeat("QUJD", 30) + "\n", base + "Content-Transfer-Encoding: base64\n\nQUJD\n"},
		{"quoted-printable for nothing", "body A eval:check_qp_ratio('0.3')", base + "Content-Transfer-Encoding: quoted-printable\n\n=41=42=43=44=45=46\n", base + "Content-Transfer-Encoding: quoted-printable\n\nABCDEF\n"},
		{"no relays", "header A eval:check_no_relays()", base[strings.IndexByte(base, '\n')+1:] + "\nbody\n", plain},
		{"unparseable relay", "header A eval:check_relays_unparseable()", with("Received: from somewhere out there at noon") + "\nbody\n", plain},
		{"helo is another address", "header A eval:helo_ip_mismatch()", strings.Replace(plain, "from mx.sender.example (mx.sender.example [192.0.2.1])", "from 203.0.113.7 (mx.sender.example [192.0.2.1])", 1), plain},
		{"numeric helo", "header A eval:check_for_numeric_helo()", strings.Replace(plain, "from mx.sender.example (", "from 203.0.113.7 (", 1), plain},
		{"parse flags: no separator", "header A eval:check_msg_parse_flags('missing_head_body_separator')", base, plain},
		{"parse flags: epilogue", "header A eval:check_msg_parse_flags('mime_epilogue_exists')", alternative("a", "b") + "more\n", alternative("a", "b")},
		{"parse flags: part without header", "header A eval:check_msg_parse_flags('missing_mime_headers')", base + "Content-Type: multipart/mixed; boundary=b\n\n--b\ntext\n--b--\n", base + "Content-Type: multipart/mixed; boundary=b\n\n--b\nX: y\n\ntext\n--b--\n"},
		{"parse flags: part without separator", "header A eval:check_msg_parse_flags('missing_mime_head_body_separator')", base + "Content-Type: multipart/mixed; boundary=b\n\n--b\nX: y\ntext\n--b--\n", alternative("a", "b")},
		{"boundary missing", "header A eval:check_for_mime('mime_missing_boundary')", base + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n", alternative("a", "b")},
		{"base64 text", "header A eval:check_for_mime('mime_base64_encoded_text')", base + "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nQUJD\n", plain},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, report := parse(t, tc.rule+"\n", rules.Options{Local: true})
			for _, p := range report.Problems {
				t.Errorf("%+v", p)
			}
			if r := s.Run(view(tc.hit), rules.RunOptions{}); names(r.Hits) != "A" {
				t.Errorf("does not hit")
			}
			if tc.miss == "" {
				return
			}
			if r := s.Run(view(tc.miss), rules.RunOptions{}); names(r.Hits) != "" {
				t.Errorf("hits the near miss")
			}
		})
	}
}
