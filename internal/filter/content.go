package filter

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"postern/internal/mail"
)

// gtube is the Generic Test for Unsolicited Bulk Email: a text that every filter must stop, so that people can see theirs
// at work (https://spamassassin.apache.org/gtube/). It is put together here so that our own sources do not carry it.
var gtube = []byte("XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X")

func checkGTUBE(_ context.Context, s *scan) {
	if bytes.Contains(s.Message.Body, gtube) || strings.Contains(s.Message.Text(), string(gtube)) {
		s.hit("GTUBE", nil, "the test text of GTUBE stands in the message")
	}
}

// htmlParts returns the leaves that are HTML.
func (s *scan) htmlParts() []*mail.Part {
	var out []*mail.Part
	for _, p := range s.Message.Parts() {
		if p.HTML() != nil {
			out = append(out, p)
		}
	}
	return out
}

// sourceBytes is the length of a part's HTML source with line ends of one byte, as SpamAssassin counts it.
func sourceBytes(p *mail.Part) int {
	n := p.HTML().SourceBytes
	if p.Encoding == "base64" { // decoded as it is
		return n
	}
	return n - bytes.Count(p.Decoded(), []byte("\r\n"))
}

// checkHTML holds the tests on the HTML itself. The bounds are SpamAssassin's: they count the bytes of the decoded source, not
// of the visible words.
func checkHTML(_ context.Context, s *scan) {
	parts := s.htmlParts()
	if len(parts) == 0 {
		return
	}
	s.hit("HTML_MESSAGE", nil, fmt.Sprintf("part %s is text/html, %d bytes", parts[0].Path, sourceBytes(parts[0])))
	var mixed []string
	shortImage, imageOnly, linkImage := "", "", ""
	short := false // an image with little source around it, up to the largest bound
	for _, p := range parts {
		h, size := p.HTML(), sourceBytes(p)
		mixed = append(mixed, h.MixedCaseTags...)
		if len(h.Images) > 0 {
			if size <= 2800 {
				short = true
			}
			if size > 1600 && size <= 2000 {
				imageOnly = fmt.Sprintf("part %s: %d bytes of HTML with %d image(s), first %s", p.Path, size, len(h.Images), h.Images[0].URL)
			}
		}
		for _, l := range h.Links {
			if !l.HasImage {
				continue
			}
			linkImage = "link to " + l.URL + " holds an image"
			if size > 1536 && size <= 2048 {
				shortImage = fmt.Sprintf("part %s: %d bytes of HTML, %s", p.Path, size, linkImage)
			}
			break
		}
	}
	if len(mixed) > 0 {
		slices.Sort(mixed)
		mixed = slices.Compact(mixed)
		s.hit("HTML_MIXED_CASE_TAG", map[string]string{"Tag": mixed[0]}, mixed...)
	}
	if imageOnly != "" {
		s.hit("HTML_IMAGE_ONLY_20", nil, imageOnly)
	}
	if shortImage != "" {
		s.hit("HTML_SHORT_LINK_IMG_3", nil, shortImage)
	}
	if (short || linkImage != "") && !s.fromList() && !s.attachedImage() {
		if url := remoteImage(parts); url != "" {
			s.hit("T_REMOTE_IMAGE", map[string]string{"URL": url}, "image loaded from "+url)
		}
	}
}

// remoteImage returns the first image that a reader's program would fetch.
func remoteImage(parts []*mail.Part) string {
	for _, p := range parts {
		for _, img := range p.HTML().Images {
			if !img.Inline && img.URL != "" {
				return img.URL
			}
		}
	}
	return ""
}

// fromList reports mail of a list or a newsletter with a way out: remote images are its habit.
func (s *scan) fromList() bool {
	h := s.Message.Header
	return h.Has("List-Unsubscribe") || h.Has("List-Id") || h.Has("List-Post") || h.Has("Mailing-List")
}

func (s *scan) attachedImage() bool {
	for _, p := range s.Message.Parts() {
		if strings.HasPrefix(p.MediaType, "image/") {
			return true
		}
	}
	return false
}

// checkTitle compares the HTML title with the subject: SpamAssassin fires where the title is 3.5 times as long and nothing is
// attached.
func checkTitle(_ context.Context, s *scan) {
	subject := strings.TrimSpace(s.Message.Subject())
	for _, p := range s.Message.Parts() {
		if strings.EqualFold(p.Disposition, "attachment") {
			return
		}
	}
	for _, p := range s.htmlParts() {
		title := strings.TrimSpace(p.HTML().Title)
		if title == "" || subject == "" || float64(len(title)) <= 3.5*float64(len(subject)) {
			continue
		}
		s.hit("HTML_TITLE_SUBJ_DIFF", map[string]string{"Title": title, "Subject": subject},
			fmt.Sprintf("title: %q (%d bytes), subject: %q (%d bytes)", title, len(title), subject, len(subject)))
		return
	}
}

// checkStructure looks at which texts the message offers.
func checkStructure(_ context.Context, s *scan) {
	html, other := 0, 0
	for _, p := range s.Message.Parts() {
		switch {
		case p.MediaType == "text/html":
			html++
		case strings.HasPrefix(p.MediaType, "text/"):
			other++
		}
	}
	top := s.Message.Root.MediaType
	if top == "text/html" || html > 0 && other == 0 {
		s.hit("MIME_HTML_ONLY", nil, fmt.Sprintf("Content-Type %s with %d HTML part(s) and no plain text", orDash(top), html))
		if top == "multipart/alternative" {
			s.hit("MIME_HTML_ONLY_MULTI", nil, "multipart/alternative offers no alternative to HTML")
		}
	}
}

// checkAlternative compares the two texts of every multipart/alternative word by word, as SpamAssassin does: the share of
// distinct words of the HTML that the plain text does not hold as often. Calendar invitations are left out.
func checkAlternative(_ context.Context, s *scan) {
	var walk func(p *mail.Part)
	walk = func(p *mail.Part) { // mail.Limits bounds the depth
		if p.MediaType == "multipart/alternative" {
			s.compareAlternatives(p)
		}
		for _, c := range p.Children {
			walk(c)
		}
	}
	walk(s.Message.Root)
}

func (s *scan) compareAlternatives(alt *mail.Part) {
	var plain, html []*mail.Part
	images, calendar := 0, false
	var collect func(p *mail.Part)
	collect = func(p *mail.Part) {
		switch {
		case p.MediaType == "text/calendar":
			calendar = true
		case p.MediaType == "text/plain":
			plain = append(plain, p)
		case p.HTML() != nil:
			html = append(html, p)
			images += len(p.HTML().Images)
		}
		for _, c := range p.Children {
			collect(c)
		}
	}
	for _, c := range alt.Children {
		collect(c)
	}
	if calendar || len(plain) == 0 || len(html) == 0 {
		return
	}
	have := map[string]int{}
	for _, p := range plain {
		words(p.Text(), have)
	}
	want := map[string]int{}
	for _, p := range html {
		words(p.HTML().Text, want)
	}
	if len(want) == 0 {
		if images == 0 {
			return
		}
		want["\x00image"] = 1 // an image alone counts as a word that the plain text lacks
	}
	missing, example := 0, ""
	for w, n := range want {
		if have[w] < n {
			missing++
			if example == "" || len(w) > len(example) || len(w) == len(example) && w < example {
				example = w
			}
		}
	}
	share := 100 * float64(missing) / float64(len(want))
	if share <= 99 {
		return
	}
	s.hit("MPART_ALT_DIFF", nil, fmt.Sprintf("part %s: %d of %d words of the HTML are not in the plain text, for example %q",
		orDash(alt.Path), missing, len(want), strings.Trim(example, "\x00")))
}

// maxWords bounds the words compared in one text.
const maxWords = 20000

// words counts the distinct words of a text, addresses of pages left out since HTML hides them behind links.
func words(text string, into map[string]int) {
	n := 0
	for text != "" && n < maxWords {
		var here string
		here, text = cutURL(text)
		for w := range strings.FieldsFuncSeq(here, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if n++; n > maxWords {
				return
			}
			into[strings.ToLower(w)]++
		}
	}
}

// cutURL returns what stands before the first URL of a text, and what comes after it.
func cutURL(text string) (before, after string) {
	i := strings.Index(text, "://")
	if i < 0 {
		return text, ""
	}
	start := i
	for start > 0 && (isAlphanumeric(text[start-1]) || strings.IndexByte("+-.", text[start-1]) >= 0) {
		start--
	}
	end := strings.IndexFunc(text[i:], unicode.IsSpace)
	if end < 0 {
		return text[:start], ""
	}
	return text[:start], text[i+end:]
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
