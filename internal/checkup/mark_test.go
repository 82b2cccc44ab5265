package checkup_test

import (
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/checkup"
)

// goodSVG is a logo with nothing to mend.
const goodSVG = `<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.2" baseProfile="tiny-ps" viewBox="0 0 100 100">
<title>Shop</title>
<defs><linearGradient id="g"><stop offset="0" stop-color="#fff"/></linearGradient></defs>
<rect width="100" height="100" fill="url(#g)"/><use xlink:href="#g"/><path d="M0 0h10z"/></svg>
`

// svgWith is goodSVG with one thing put in another's place.
func svgWith(old, instead string) string { return strings.Replace(goodSVG, old, instead, 1) }

// TestSVG: each rule of SVG Tiny PS (draft-svg-tiny-ps-abrotman-08) is told when it is broken, and only then.
func TestSVG(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("<g>", 200) + strings.Repeat("</g>", 200)
	for _, tc := range []struct{ name, svg, want string }{
		{"good", goodSVG, ""},
		{"size instead of a view box", svgWith(`viewBox="0 0 100 100"`, `width="64px" height="64px"`), ""},
		{"commas in the view box", svgWith(`0 0 100 100`, `0,0,100,100`), ""},
		{"version 1.1", svgWith(`version="1.2"`, `version="1.1"`), "svg-version"},
		{"no profile", svgWith(` baseProfile="tiny-ps"`, ``), "svg-profile"},
		{"profile tiny", svgWith(`tiny-ps`, `tiny`), "svg-profile"},
		{"no title", svgWith(`<title>Shop</title>`, ``), "svg-title"},
		{"empty title", svgWith(`Shop`, ` `), "svg-title"},
		{"title of something else", svgWith(`<title>Shop</title>`, `<g><title>Shop</title></g>`), "svg-title"},
		{"script", svgWith(`<rect`, `<script>alert(1)</script><rect`), "svg-script"},
		{"event attribute", svgWith(`<rect`, `<rect onload="x()"`), "svg-script"},
		{"link", svgWith(`<use xlink:href="#g"/>`, `<a xlink:href="#g"/>`), "svg-script"},
		{"javascript in a reference", svgWith(`xlink:href="#g"`, `xlink:href=" JavaScript:x()"`), "svg-script"},
		{"animation", svgWith(`<path`, `<animate attributeName="x"/><path`), "svg-animation"},
		{"raster image", svgWith(`<path`, `<image xlink:href="data:image/png;base64,AAAA"/><path`), "svg-external svg-raster"},
		{"another document", svgWith(`<path`, `<foreignObject/><path`), "svg-raster"},
		{"external reference", svgWith(`"#g"`, `"https://other.test/x.svg#g"`), "svg-external"},
		{"external paint", svgWith(`url(#g)`, `url( 'https://other.test/x.svg#g')`), "svg-external"},
		{"second paint external", svgWith(`fill="url(#g)"`, `style="fill:url(#g);filter:url(http://x.test/)"`), "svg-external"},
		{"style sheet", svgWith(`<svg `, `<?xml-stylesheet href="x.css"?><svg `), "svg-external"},
		{"import", svgWith(`<path d`, `<path style="@import 'x.css'" d`), "svg-external"},
		{"xml:base", svgWith(`<path`, `<path xml:base="https://other.test/"`), "svg-external"},
		{"document type", svgWith(`<svg `, `<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"><svg `), "svg-doctype"},
		{"entity", svgWith(`<svg `, `<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><svg `), "svg-doctype"},
		{"entity used", strings.Replace(svgWith(`<svg `, `<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg `), "Shop", "&x;", 1), "svg-broken svg-doctype"},
		{"filter", svgWith(`<path`, `<filter id="f"/><path`), "svg-element"},
		{"style element", svgWith(`<path`, `<style>rect{}</style><path`), "svg-element"},
		{"style", svgWith(`<path`, `<path style="fill:#123"`), "svg-attribute"},
		{"opacity of a shape", svgWith(`<path`, `<path opacity=".5"`), "svg-attribute"},
		{"transformed gradient", svgWith(`<path`, `<linearGradient id="h" gradientUnits="userSpaceOnUse" gradientTransform="scale(2)"/><path`), "svg-attribute"},
		{"name of a drawing program", svgWith(`<path`, `<path data-name="layer 1"`), "svg-attribute"},
		{"attribute in other letters", svgWith(`viewBox`, `viewbox`), "svg-attribute svg-square"},
		{"attributes of SVG Tiny", svgWith(`<path`, `<g id="a" class="b" transform="scale(1)" fill-rule="evenodd" stroke-linejoin="round" vector-effect="none" xml:space="preserve"/><path`), ""},
		{"foreign attribute", svgWith(`<path`, `<path xmlns:i="https://drawing.test/" i:layer="1"`), ""},
		{"foreign element in the margin", svgWith(`<path`, `<i:x xmlns:i="https://drawing.test/"/><path`), ""},
		{"place on the root", svgWith(`baseProfile=`, `x="0" baseProfile=`), "svg-origin"},
		{"not square", svgWith(`0 0 100 100`, `0 0 200 100`), "svg-square"},
		{"view box of numbers that are none", svgWith(`0 0 100 100`, `0 0 NaN Inf`), "svg-square"},
		{"large", svgWith(`M0 0`, `M0 0`+strings.Repeat("h1v1", 9000)), "svg-large"},
		{"html", "<html><body>404</body></html>", "svg-element svg-profile svg-root svg-square svg-title svg-version"},
		{"half", goodSVG[:200], "svg-broken"},
		{"nothing", "", "svg-broken"},
		{"text", "no picture here", "svg-broken"},
		{"two roots", goodSVG + "<svg/>", "svg-broken"},
		{"deep", svgWith(`<path`, deep+`<path`), "svg-broken"},
		{"another encoding", svgWith("UTF-8", "UTF-16"), "svg-broken"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(checkup.JudgeSVG([]byte(tc.svg)), " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// FuzzSVG: whatever a stranger publishes as a logo is judged, each rule once.
func FuzzSVG(f *testing.F) {
	f.Add([]byte(goodSVG))
	f.Add([]byte(`<svg xmlns="http://www.w3.org/2000/svg"><!DOCTYPE a [<!ENTITY a "&a;&a;">]>&a;</svg>`))
	f.Add([]byte(`<a:b:c xmlns:a="x"><![CDATA[]]></a:b:c>`))
	f.Add([]byte(`<svg viewBox="0 0 1e999 1" style="url(url(#a)url(b"/>`))
	f.Fuzz(func(t *testing.T, svg []byte) {
		faults := checkup.JudgeSVG(svg)
		slices.Sort(faults)
		if len(slices.Compact(slices.Clone(faults))) != len(faults) {
			t.Errorf("%q", faults)
		}
		if file, err := checkup.Unpacked(svg); err == nil && len(file) > 512<<10 && len(svg) < 512<<10 {
			t.Errorf("%d bytes unfold to %d", len(svg), len(file))
		}
	})
}

// BenchmarkSVG is the judging of hostile logos as large as any that is read: linear, however they are made.
func BenchmarkSVG(b *testing.B) {
	const most = 512 << 10
	fill := func(begin, piece string) []byte {
		return []byte(begin + strings.Repeat(piece, (most-len(begin))/len(piece)))
	}
	for name, svg := range map[string][]byte{
		"attributes": fill("<svg ", `a="url(#x" `), "urls": fill(`<svg style="`, "url(#"), "nested": fill("<svg>", "<g>"), "elements": fill("<svg>", "<g/>"),
		"spaces": fill("<svg>", `<g xmlns:a="b"/>`), "directive": fill("<!DOCTYPE ", "<!ENTITY a 'b'>"), "text": fill("<svg><title>", " "), "comments": fill("<svg>", "<!---->"),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(svg)))
			for b.Loop() {
				checkup.JudgeSVG(svg)
			}
		})
	}
}

// brandMark is an evidence document for a logo. The zero value is one with nothing to mend.
type brandMark struct {
	names       []string // default._bimi.shop.test
	logo        string   // goodSVG
	from, until int      // days; -30, 300
	plain       bool     // without the purpose
	noLogo      bool
	kind        string // "data:image/svg+xml;base64"
	alone       bool   // without the certificates above
	swapped     bool   // the authority first
	stranger    bool   // beside another authority's certificate
}

type markAuthority struct {
	root, between *x509.Certificate
	key, rootKey  crypto.Signer
}

var markAuthorities = sync.OnceValue(func() [2]markAuthority {
	var out [2]markAuthority
	for i := range out {
		rootKey, key := markKey(), markKey()
		ca := func(name string, serial int64) *x509.Certificate {
			return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(5, 0, 0),
				IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		}
		root := ca("Mark Root", 1)
		out[i].root = sign(root, root, rootKey, rootKey)
		out[i].between = sign(ca("Mark Authority", 2), out[i].root, key, rootKey)
		out[i].key, out[i].rootKey = key, rootKey
	}
	return out
})

func markKey() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // no randomness
	}
	return key
}

func sign(c, above *x509.Certificate, key, by crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, c, above, key.Public(), by)
	if err != nil {
		panic(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return out
}

// logotype is the extension that holds a logo (RFC 9399 4.1).
func logotype(uri string) []byte {
	wrap := func(class, tag int, content ...[]byte) []byte {
		out, err := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: slices.Concat(content...)})
		if err != nil {
			panic(err)
		}
		return out
	}
	text := func(s string) []byte {
		out, err := asn1.MarshalWithParams(s, "ia5")
		if err != nil {
			panic(err)
		}
		return out
	}
	seq := func(content ...[]byte) []byte { return wrap(asn1.ClassUniversal, asn1.TagSequence, content...) }
	details := seq(text("image/svg+xml"), seq(seq(seq(), []byte{4, 1, 0})), seq(text(uri)))
	return seq(wrap(asn1.ClassContextSpecific, 2, wrap(asn1.ClassContextSpecific, 0, seq(seq(details)))))
}

func (m brandMark) pem() []byte {
	if m.names == nil {
		m.names = []string{"default._bimi.shop.test"}
	}
	if m.logo == "" {
		m.logo = goodSVG
	}
	if m.until == 0 {
		m.from, m.until = -30, 300
	}
	if m.kind == "" {
		m.kind = "data:image/svg+xml;base64"
	}
	ca := markAuthorities()[0]
	c := &x509.Certificate{SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "Shop"}, DNSNames: m.names, NotBefore: time.Now().AddDate(0, 0, m.from), NotAfter: time.Now().AddDate(0, 0, m.until)}
	if !m.plain {
		c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 31}}
	}
	if !m.noLogo {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write([]byte(m.logo))
		_ = z.Close()
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 12}, Value: logotype(m.kind + "," + base64.StdEncoding.EncodeToString(packed.Bytes()))}}
	}
	chain := []*x509.Certificate{sign(c, ca.between, markKey(), ca.key), ca.between, ca.root}
	switch {
	case m.alone:
		chain = chain[:1]
	case m.swapped:
		slices.Reverse(chain)
	case m.stranger:
		chain[1], chain[2] = markAuthorities()[1].between, markAuthorities()[1].root
	}
	var out []byte
	for _, c := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// BenchmarkMark is the reading of hostile evidence documents as large as any that is read.
func BenchmarkMark(b *testing.B) {
	for name, piece := range map[string]string{"begins": "-----BEGIN CERTIFICATE-----\n", "half": "-----BEGIN ", "crossed": "-----BEGIN A-----\nAAAA\n-----END B-----\n", "ends": "\n-----END CERTIFICATE-----",
		"headers": "a:b\n", "whole": string(goodMark())} {
		file := []byte(strings.Repeat(piece, (1<<20)/len(piece)))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				checkup.JudgeMark(file, nil)
			}
		})
	}
}

// FuzzMark: whatever a stranger publishes as evidence, or puts into a certificate, is read or refused.
func FuzzMark(f *testing.F) {
	f.Add(brandMark{}.pem(), logotype("data:image/svg+xml;base64,AAAA"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, file, extension []byte) {
		checkup.JudgeMark(file, []string{"shop.test"})
		checkup.LogotypeURI(extension)
	})
}
