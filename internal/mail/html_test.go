package mail_test

import (
	"reflect"
	"strings"
	"testing"

	"postern/internal/mail"
)

func html(src string) *mail.HTML {
	return mail.Parse([]byte(strings.Replace(htmlTop, "text/html", "text/html; charset=utf-8", 1)+src), mail.DefaultLimits()).Root.HTML()
}

func TestHTMLText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, src, text, hidden string }{
		{"words", " a \r\n b\tc ", "a b c", ""},
		{"paragraphs", "<p>a<p>b</p>c", "a\n\nb\n\nc", ""},
		{"breaks", "a<br>b<br/>c</br>d<br><br>e", "a\nb\nc\nd\n\ne", ""},
		{"blocks", "a<div>b</div><div>c<div>d</div></div>e", "a\nb\nc\nd\ne", ""},
		{"inline", "a<b>b</b><i> c</i>d", "ab cd", ""},
		{"headings", "<h1>T</h1>x", "T\n\nx", ""},
		{"list", "<ul><li>a<li>b</ul><ol><li>c</li><li><p>d</p></li></ol>", "- a\n- b\n\n1. c\n2. d", ""},
		{"table", "<table><tr><td>a</td><td>b</td></tr><tr><td>c<td>d</table>e", "a\tb\nc\td\ne", ""},
		{"pre", "<pre>a  b\r\n  c</pre>d", "a  b\n  c\n\nd", ""},
		{"entities", "&lt;a&gt; caf&eacute; &#8364; &amp;nbsp; a&nbsp;b", "<a> café € &nbsp; a\u00a0b", ""},
		{"link", `<a href="http://x.fr">here</a>`, "here", ""},
		{"alt", `a <img alt="a cat"> b`, "a a cat b", ""},
		{"button", `<input type=submit value=Go><input value=secret>`, "Go", ""},
		{"script and style", "a<script>x</script><style>y</style><!-- z -->b", "ab", ""},
		{"head", "<html><head><title>T</title><meta></head><body>b", "b", ""},
		{"display none", `a<div style="DISPLAY : None !important">x<b>y</b></div>b`, "a\nb", "xy"},
		{"child cannot undo display", `<p style="display:none"><b style="display:block">x</b></p>`, "", "x"},
		{"visibility", `<p style="visibility:hidden">x<b style="visibility:visible">y</b></p>`, "y", "x"},
		{"font size", `<span style="font-size:0">x</span><span style="font-size:0.5px">y</span><span style="font-size:1em">z</span>`, "z", "xy"},
		{"font shorthand", `<span style="font:bold 0/1 Arial">x</span>z`, "z", "x"},
		{"opacity", `<span style="opacity:0">x</span><span style="opacity:.5">y</span>`, "y", "x"},
		{"hidden attribute", `<p hidden>x</p>y`, "y", "x"},
		{"white on white", `<font color="#FFFFFF">x</font><span style="color:white">y</span>z`, "z", "xy"},
		{"white on black", `<table bgcolor=black><tr><td><font color=white>x</font></table>`, "x", ""},
		{"same on own", `<div style="background:#abc;color:#aabbcc">x</div>y`, "y", "x"},
		{"rgb", `<div style="color:rgb(255, 255,255)">x</div>y`, "y", "x"},
		{"background image", `<div style="color:#fff;background:url(x.png)">x</div>`, "x", ""},
		{"unknown colour", `<div style="color:papayawhip">x</div>`, "x", ""},
		{"off screen", `<div style="position:absolute;left:-9999px">x</div>y`, "y", "x"},
		{"no height", `<div style="max-height:0;overflow:hidden">x</div>y`, "y", "x"},
		{"hidden is closed", `<td style="display:none">x</td><td>y`, "y", "x"},
		{"span does not close over a block", `<span style="display:none"><div>x</span>y</div></span>z`, "z", "xy"},
		{"unclosed", "<div><p>a<b>b", "ab", ""},
		{"stray ends", "a</div></b></p>b", "a\n\nb", ""},
		{"textarea", "<textarea>a  b</textarea>", "a  b", ""},
		{"noscript is shown", "<noscript>a</noscript>", "a", ""},
		{"nothing", "", "", ""},
		{"not html", "just text", "just text", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := html(tc.src)
			if h.Text != tc.text || strings.Join(strings.Fields(h.Hidden), " ") != tc.hidden {
				t.Errorf("got %q hidden %q, want %q hidden %q", h.Text, h.Hidden, tc.text, tc.hidden)
			}
			if h.SourceBytes != len(tc.src) {
				t.Errorf("%d source bytes, want %d", h.SourceBytes, len(tc.src))
			}
		})
	}
}

func TestHTMLElements(t *testing.T) {
	t.Parallel()
	h := html(`<title> The
 title </title><title>no</title><base href="https://base.fr/dir/x?y">
<a href=" http://x.fr/&amp;a
b ">go <b>there</b><img src="cid:1" width="1" height=2></a>
<a href=rel>r</a><a href="/abs">s</a><a href="//other.fr">t</a><a href="#top">u</a><a name=x>v</a>
<map><area href="http://area.fr" alt="A"></map>
<img src="http://i.fr/p.png" width="50%" style="height:10px"><img src=data:image/gif;base64,R0l>
<form action="/post"><input formaction="http://f.fr"></form><form></form>
<iframe src="http://frame.fr"></iframe><meta http-equiv=Refresh content="0; URL=http://meta.fr">
<td background="http://bg.fr">`)
	links := []mail.Link{
		{URL: "https://base.fr/dir/x?y", Tag: "base"},
		{URL: "http://x.fr/&ab", Text: "go there", HasImage: true, Tag: "a"},
		{URL: "https://base.fr/dir/rel", Text: "r", Tag: "a"},
		{URL: "https://base.fr/abs", Text: "s", Tag: "a"},
		{URL: "https://other.fr", Text: "t", Tag: "a"},
		{URL: "#top", Text: "u", Tag: "a"},
		{URL: "http://area.fr", Text: "A", Tag: "area"},
		{URL: "http://frame.fr", Tag: "iframe"},
		{URL: "http://meta.fr", Tag: "meta"},
	}
	if !reflect.DeepEqual(h.Links, links) {
		t.Errorf("links %+v", h.Links)
	}
	images := []mail.Image{
		{URL: "cid:1", Width: 1, Height: 2, Inline: true},
		{URL: "http://i.fr/p.png", Width: -1, Height: 10},
		{URL: "data:image/gif;base64,R0l", Width: -1, Height: -1, Inline: true},
		{URL: "http://bg.fr", Width: -1, Height: -1},
	}
	if !reflect.DeepEqual(h.Images, images) {
		t.Errorf("images %+v", h.Images)
	}
	if want := []string{"https://base.fr/post", "http://f.fr", ""}; !reflect.DeepEqual(h.Forms, want) {
		t.Errorf("forms %q", h.Forms)
	}
	if h.Title != "The title" {
		t.Errorf("title %q", h.Title)
	}
}

func TestMixedCaseTags(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		src  string
		want []string
	}{
		{`<cEnTeR>`, []string{"<cEnTeR"}},
		{`<Center class=x>`, []string{"<Center"}},
		{`<a HreF="x">`, []string{"HreF="}},
		{`<a title=x Href = x>`, []string{"Href="}},
		{`<CeNtEr><A hREF=x/>`, []string{"<CeNtEr", "hREF="}},
		{`<center></cEnTeR><CENTER><a href=x><A HREF=x>`, nil},
		{`<a title="<cEnTeR hReF=x">`, nil},
		{`<a title='hReF=' data-hReF=x>`, nil},
		{`<!-- <cEnTeR> --><script>"<cEnTeR>"</script>`, nil},
		{`<Table><tD BgColor=x>`, nil},
		{`<centeR`, nil},
	} {
		t.Run(tc.src, func(t *testing.T) {
			t.Parallel()
			if got := html(tc.src).MixedCaseTags; !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSourceBytes(t *testing.T) {
	t.Parallel()
	raw := htmlTop + ""
	raw = strings.Replace(raw, "\r\n\r\n", "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", 1) + "<p>caf=E9=\r\n</p>"
	m := mail.Parse([]byte(raw), mail.DefaultLimits())
	if h := m.Root.HTML(); h.SourceBytes != len("<p>caf\xe9</p>") || h.Text != "café" {
		t.Errorf("%d bytes, text %q", h.SourceBytes, h.Text)
	}
	if mail.Parse([]byte(top+"\r\n<p>"), mail.DefaultLimits()).Root.HTML() != nil {
		t.Error("text/plain has no HTML")
	}
}

func TestURIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text string
		want string // "scheme host raw", joined by ";"
	}{
		{"see http://example.com/a?b=c.", "http example.com http://example.com/a?b=c"},
		{"(https://example.com/a_(b))", "https example.com https://example.com/a_(b)"},
		{"HTTP://EXAMPLE.com/", "http example.com HTTP://EXAMPLE.com/"},
		{"<ftp://a.fr>,\"http://b.fr\"", "ftp a.fr ftp://a.fr;http b.fr http://b.fr"},
		{"www.example.com, and ftp.example.com!", "http www.example.com www.example.com;ftp ftp.example.com ftp.example.com"},
		{"xwww.example.com", ""},
		{"write to a.b@example.com.", "mailto example.com mailto:a.b@example.com"},
		{"mailto:a@example.com?subject=x", "mailto example.com mailto:a@example.com?subject=x"},
		{"bit.ly/abc", "http bit.ly bit.ly/abc"},
		{"and/or a.b e.g. file.txt/x 3.5/4 example.com", ""},
		{"http://user:pw@host.fr:8080/x", "http host.fr http://user:pw@host.fr:8080/x"},
		{"http://good.fr@evil.fr/", "http evil.fr http://good.fr@evil.fr/"},
		{"http://evil.fr\\@good.fr/", "http evil.fr http://evil.fr\\@good.fr/"},
		{"http://%65vil.fr/", "http evil.fr http://%65vil.fr/"},
		{"http://3232235521/ http://0x7f.1/", "http [192.168.0.1] http://3232235521/;http [127.0.0.1] http://0x7f.1/"},
		{"http://[2001:db8::1]/", "http [IPv6:2001:db8::1] http://[2001:db8::1]/"},
		{"http://café.fr/", "http xn--caf-dma.fr http://café.fr/"},
		{"http://a_b.fr/", "http a_b.fr http://a_b.fr/"},
		{"http:// mailto: www. @ :", ""},
		{"http://x.fr http://x.fr", "http x.fr http://x.fr"},
		{"見てhttp://x.fr/。", "http x.fr http://x.fr/"},
	} {
		t.Run(tc.text, func(t *testing.T) {
			t.Parallel()
			m := mail.Parse([]byte(top+"\r\n"+tc.text+"\r\n"), mail.DefaultLimits())
			var got []string
			for _, u := range m.URIs() {
				got = append(got, u.Scheme+" "+string(u.Host)+" "+u.Raw)
				if u.Origin != "text" {
					t.Errorf("origin %q", u.Origin)
				}
			}
			if s := strings.Join(got, ";"); s != tc.want {
				t.Errorf("got %q, want %q", s, tc.want)
			}
		})
	}
	m := mail.Parse([]byte(htmlTop+`<a href="http://l.fr">http://l.fr</a><img src=http://i.fr><img src=cid:x><form action=http://f.fr></form><a href="rel">www.t.fr</a> <a href="//p.fr/x">p</a><a href="javascript:x">j</a>`), mail.DefaultLimits())
	var got []string
	for _, u := range m.URIs() {
		got = append(got, u.Origin+" "+string(u.Host))
	}
	if s := strings.Join(got, ";"); s != "a l.fr;a p.fr;img i.fr;form f.fr;text www.t.fr" {
		t.Errorf("html: %s", s)
	}
}
